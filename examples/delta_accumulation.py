"""Neural Networks - Backpropagation (ML15): the loop over samples that accumulates Δ, then D, the gradient.

The network is 2-2-2-1 with a unit a_0 = 1 in every layer but the last; its weights, in column 0 of Θ, are not
regularised. For each sample δ runs backwards and Δ^(l) += δ^(l+1) a^(l)ᵀ; then

    D_ij = Δ_ij / m + λ/m Θ_ij  for j ≠ 0,        D_i0 = Δ_i0 / m

The graph knows nothing of δ or Δ: it is the regularised cost of all samples, differentiated once.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, data, entries, grad

from autobp import Value

X = np.array([[0.0, 1.0], [1.0, 0.5], [-0.7, 0.3]])
Y = np.array([1.0, 0.0, 1.0])
LAMBDA = 0.5
THETA = {
    1: [[0.1, 0.8, -0.4], [-0.2, 0.3, 0.9]],
    2: [[0.4, -0.7, 0.2], [0.5, 1.1, -0.6]],
    3: [[-0.3, 0.6, 1.2]],
}


def forward(Theta, x):
    """z and a of each layer, a_0 = 1 added to all but the last."""
    a, z = {1: np.array([Value(1.0), *[Value(x_j) for x_j in x]])}, {}
    for l in Theta:
        z[l + 1] = Theta[l] @ a[l]
        a[l + 1] = np.array([z_i.sigmoid() for z_i in z[l + 1]])
        if l < 3:
            a[l + 1] = np.array([Value(1.0), *a[l + 1]])
    return z, a


def main() -> int:
    table = BothSides(__doc__)
    Theta = {l: np.array([[Value(w) for w in row] for row in rows]) for l, rows in THETA.items()}
    samples = [forward(Theta, x) for x in X]
    m = len(samples)

    Delta = {l: np.zeros(Theta[l].shape) for l in Theta}
    for i, ((z, a), y) in enumerate(zip(samples, Y, strict=True), 1):
        h = a[4][0]
        cost = -(y * h.log() + (1 - y) * (1 - h).log())
        cost.backward()
        table.heading(f"sample {i}: x = {X[i - 1]}, y = {y:g}, h(x) = {h.data:.4f}, cost = {cost.data:.6f}")
        delta = data(a[4]) - y
        for l in (3, 2, 1):
            table.rows(entries(f"δ^({l + 1})", delta.shape), grad(z[l + 1]), delta)
            Delta[l] += np.outer(delta, data(a[l]))
            if l > 1:
                a_l = data(a[l])[1:]
                delta = data(Theta[l])[:, 1:].T @ delta * a_l * (1 - a_l)

    outputs = [a[4][0] for _, a in samples]
    fit = -sum(y * h.log() + (1 - y) * (1 - h).log() for h, y in zip(outputs, Y, strict=True)) / m
    J = fit + LAMBDA / (2 * m) * sum((Theta[l][:, 1:] ** 2).sum() for l in Theta)
    for theta in (theta for l in Theta for theta in Theta[l].flat):
        theta.grad = 0.0  # the samples' own gradients have accumulated there
    J.backward()

    table.heading(f"all {m} samples, λ = {LAMBDA}: J = {J.data:.6f}, and its gradient D")
    for l in Theta:
        D = Delta[l] / m
        D[:, 1:] += LAMBDA / m * data(Theta[l])[:, 1:]
        table.rows(entries(f"∂J/∂Θ^({l})", D.shape, columns_from=0), grad(Theta[l]), D)
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
