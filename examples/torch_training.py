"""A compiled cost inside a PyTorch training loop: the model in scalars, the optimiser PyTorch's.

The curve is a·exp(-b·t) + c with a robust cost, which no layer of PyTorch has; its gradient is the compiled
one. PyTorch's Adam takes the steps, and its scheduler lowers their size.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import autobp
from autobp import Value

TRUTH = (2.5, 1.3, 0.5)


def measured(m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Times and what was measured then, with some outliers."""
    rng = np.random.default_rng(0)
    t = rng.uniform(0.0, 4.0, size=m)
    a, b, c = TRUTH
    y = a * np.exp(-b * t) + c + rng.normal(scale=0.05, size=m)
    y[rng.choice(m, size=m // 20, replace=False)] += 3.0
    return torch.from_numpy(t), torch.from_numpy(y)


def main() -> int:
    a, b, c = parameters = [Value(1.0, label="a"), Value(1.0, label="b"), Value(0.0, label="c")]

    def loss(t: Value, y: Value) -> Value:
        e = (a * autobp.exp(-b * t) + c - y) / 0.1
        return (1.0 + e * e).log()  # Cauchy's: an outlier pulls little

    step = autobp.compile(loss, parameters)
    cost = autobp.torch_cost(step)
    t, y = measured(400)
    theta = torch.tensor(step.theta, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=300)
    for epoch in range(300):
        optimizer.zero_grad()
        value = cost(theta, t, y)
        value.backward()
        optimizer.step()
        schedule.step()
        if epoch % 100 == 0:
            print(f"epoch {epoch:3}: cost {value.item():.4f}")
    step.write_back(theta.detach().numpy())
    for parameter, true in zip(parameters, TRUTH, strict=True):
        print(f"{parameter.label} = {parameter.data:.3f}, truly {true}")
    return 0 if all(abs(p.data - true) < 0.05 for p, true in zip(parameters, TRUTH, strict=True)) else 1


if __name__ == "__main__":
    sys.exit(main())
