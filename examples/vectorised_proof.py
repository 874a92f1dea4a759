"""Back propagation proof (Intuition), slides: all vectorised equations at once, under two costs.

    δ^L = ∂C/∂a^L ⊙ σ'(z^L)      δ^l = (w^(l+1)ᵀ δ^(l+1)) ⊙ σ'(z^l)      dw^l = δ^l a^(l-1)ᵀ      db^l = δ^l

Only ∂C/∂a^L depends on the cost: a - y under the quadratic one, (a - y) / (a(1 - a)) under the cross-entropy,
where with a sigmoid δ^L is a - y. The network is 3-2-2, the sigmoid throughout.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, data, entries, grad

from autobp import Value

x, y = np.array([0.6, -0.3, 1.1]), np.array([1.0, 0.0])
WEIGHTS = {1: [[0.5, -0.7, 0.2], [0.9, 0.4, -0.6]], 2: [[1.0, -0.8], [0.3, 0.7]]}
BIASES = {1: [0.1, -0.2], 2: [0.4, -0.5]}
COSTS = {
    "quadratic, ½ Σ (y - a)²": (
        lambda a: ((y - a) ** 2).sum() / 2,
        lambda a: a - y,
    ),
    "cross-entropy, -Σ (y log a + (1 - y) log(1 - a))": (
        lambda a: -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum(),
        lambda a: (a - y) / (a * (1 - a)),
    ),
}


def main() -> int:
    table = BothSides(__doc__)
    for name, (cost, da) in COSTS.items():
        w = {l: np.array([[Value(w_ji) for w_ji in row] for row in rows]) for l, rows in WEIGHTS.items()}
        b = {l: np.array([Value(b_j) for b_j in row]) for l, row in BIASES.items()}
        a, z = {0: np.array([Value(x_i) for x_i in x])}, {}
        for l in (1, 2):
            z[l] = w[l] @ a[l - 1] + b[l]
            a[l] = np.array([z_j.sigmoid() for z_j in z[l]])
        C = cost(a[2])
        C.backward()

        table.heading(f"{name}: a^L = {data(a[2]).round(4)}, y = {y}, C = {C.data:.6f}")
        slope = {l: data(a[l]) * (1 - data(a[l])) for l in (1, 2)}
        delta = {2: da(data(a[2])) * slope[2]}
        delta[1] = (data(w[2]).T @ delta[2]) * slope[1]
        for l in (2, 1):
            table.rows(entries(f"δ^{l}", delta[l].shape), grad(z[l]), delta[l])
        for l in (2, 1):
            table.rows(entries(f"dw^{l}", w[l].shape), grad(w[l]), np.outer(delta[l], data(a[l - 1])))
            table.rows(entries(f"db^{l}", b[l].shape), grad(b[l]), delta[l])
    table.heading("cross-entropy with a sigmoid: δ^L = a - y")
    table.rows(entries("δ^2", (2,)), grad(z[2]), data(a[2]) - y)
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
