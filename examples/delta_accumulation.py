"""Neural Networks - Backpropagation (ML15): the loop over samples that accumulates Δ, then D, the gradient.

The network is 2-2-2-1 with a unit a_0 = 1 in every layer but the last; its weights, in column 0 of Θ, are not
regularised. For each sample δ runs backwards and Δ^(l) += δ^(l+1) a^(l)ᵀ; then

    D_ij = Δ_ij / m + λ/m Θ_ij  for j ≠ 0,        D_i0 = Δ_i0 / m

The graph knows nothing of δ or Δ: it is the samples' costs, whose gradients add up as Δ does, and then the
regularised cost of all samples, differentiated once.

Mended here: the page has λ Θ_ij for λ/m Θ_ij; δ^(L) = 0 - y in step 3; no minus in cost(i); δ^(l) = Θᵀδ^(l+1)
⊙ g'(z^(l)) with column 0 of Θ, which does not fit; and δ_2^(2) without its g'.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, entries, grad

from autobp import Value

X = np.array([[0.0, 1.0], [1.0, 0.5], [-0.7, 0.3]])
Y = np.array([1.0, 0.0, 1.0])
LAMBDA = 0.5
THETA = {
    1: np.array([[0.1, 0.8, -0.4], [-0.2, 0.3, 0.9]]),
    2: np.array([[0.4, -0.7, 0.2], [0.5, 1.1, -0.6]]),
    3: np.array([[-0.3, 0.6, 1.2]]),
}


def graph(Theta, x, y):
    """z by layer and the cost of one sample, on Values."""
    a, z = np.array([Value(1.0), *[Value(x_j) for x_j in x]]), {}
    for l in Theta:
        z[l + 1] = Theta[l] @ a
        a = np.array([Value(1.0), *[z_i.sigmoid() for z_i in z[l + 1]]])
    h = a[1]
    return z, -(y * h.log() + (1 - y) * (1 - h).log())


def errors(x, y):
    """a and δ by layer, on numbers alone."""
    a = {1: np.append(1.0, x)}
    for l in THETA:
        a[l + 1] = 1 / (1 + np.exp(-THETA[l] @ a[l]))
        if l < 3:
            a[l + 1] = np.append(1.0, a[l + 1])
    delta = {4: a[4] - y}
    for l in (3, 2):
        delta[l] = THETA[l][:, 1:].T @ delta[l + 1] * a[l][1:] * (1 - a[l][1:])
    return a, delta


def main() -> int:
    table = BothSides(__doc__)
    Theta = {l: np.array([[Value(w) for w in row] for row in THETA[l]]) for l in THETA}
    m = len(X)

    Delta = {l: np.zeros(THETA[l].shape) for l in THETA}
    costs = []
    for i, (x, y) in enumerate(zip(X, Y, strict=True), 1):
        z, cost = graph(Theta, x, y)
        cost.backward()
        costs.append(cost)
        a, delta = errors(x, y)
        table.heading(f"sample {i}: x = {x}, y = {y:g}, h(x) = {a[4][0]:.4f}, cost = {cost.data:.6f}")
        for l in (3, 2, 1):
            table.rows(entries(f"δ^({l + 1})", delta[l + 1].shape), grad(z[l + 1]), delta[l + 1])
            Delta[l] += np.outer(delta[l + 1], a[l])
        table.heading(f"Δ after sample {i}")
        for l in Theta:
            table.rows(entries(f"Δ^({l})", Delta[l].shape, columns_from=0), grad(Theta[l]), Delta[l])

    J = sum(costs) / m + LAMBDA / (2 * m) * sum((Theta[l][:, 1:] ** 2).sum() for l in Theta)
    for theta in (theta for l in Theta for theta in Theta[l].flat):
        theta.grad = 0.0  # Δ has accumulated there
    J.backward()

    table.heading(f"all {m} samples, λ = {LAMBDA}: J = {J.data:.6f}, and its gradient D")
    for l in Theta:
        D = Delta[l] / m
        D[:, 1:] += LAMBDA / m * THETA[l][:, 1:]
        table.rows(entries(f"D^({l})", D.shape, columns_from=0), grad(Theta[l]), D)
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
