"""Neural Network Backward Propagation: the proof that goes from 3×1 over 3×2 and 3×2×1 to 3×2×2.

    δ^(L) = a^(L) - y
    δ^(l) = θ^(l)ᵀ δ^(l+1) .× g(z^(l))(1 - g(z^(l)))
    ∂J/∂θ_ij^(l) = δ_i^(l+1) a_j^(l)

No bias, the sigmoid everywhere, and J is the cross-entropy of one sample.

Mended here: the page prints one y^(i) for both outputs of 3×2 and 3×2×2, where each has its own y_k; it has
∂J/∂θ_ij^(l) = (a_i^(l+1) - y^(i)) a_j^(l) for every layer, which holds for the last alone; and its derivation
for the first layer of 3×2×2 breaks off at "part 2". That one is carried on below, in symbols.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, entries, grad

from autobp import Value, explain

x = np.array([0.9, -0.4, 1.3])
y = {1: np.array([1.0]), 2: np.array([1.0, 0.0])}
THETA = {
    "3×1": [[[0.2, -0.5, 0.7]]],
    "3×2": [[[0.2, -0.5, 0.7], [-0.3, 0.8, 0.1]]],
    "3×2×1": [[[0.2, -0.5, 0.7], [-0.3, 0.8, 0.1]], [[1.1, -0.6]]],
    "3×2×2": [[[0.2, -0.5, 0.7], [-0.3, 0.8, 0.1]], [[1.1, -0.6], [0.4, 0.9]]],
}


def graph(weights):
    """θ, z, a and J on Values."""
    theta = {
        l: np.array([[Value(w, label=f"θ{l}[{i},{j}]") for j, w in enumerate(row, 1)]
                     for i, row in enumerate(matrix, 1)])
        for l, matrix in enumerate(weights, 1)
    }  # fmt: skip
    a, z = {1: np.array([Value(x_j) for x_j in x])}, {}
    for l in theta:
        z[l + 1] = theta[l] @ a[l]
        a[l + 1] = np.array([z_i.sigmoid() for z_i in z[l + 1]])
    targets = y[len(weights[-1])]
    outputs = zip(targets, a[len(theta) + 1], strict=True)
    J = -sum(y_k * h.log() + (1 - y_k) * (1 - h).log() for y_k, h in outputs)
    J.backward()
    return theta, z, J


def formulas(weights):
    """a^(L), and by layer δ and ∂J/∂θ, from numbers alone."""
    theta = dict(enumerate(map(np.array, weights), 1))
    L = len(theta) + 1
    a = {1: x}
    for l in theta:
        a[l + 1] = 1 / (1 + np.exp(-theta[l] @ a[l]))
    delta = {L: a[L] - y[len(a[L])]}
    for l in range(L - 1, 1, -1):
        delta[l] = theta[l].T @ delta[l + 1] * a[l] * (1 - a[l])
    return a[L], delta, {l: np.outer(delta[l + 1], a[l]) for l in theta}


def main() -> int:
    table = BothSides(__doc__)
    for name, weights in THETA.items():
        theta, z, J = graph(weights)
        output, delta, gradient = formulas(weights)
        L = len(theta) + 1
        table.heading(f"{name}: a^({L}) = {output.round(4)}, y = {y[len(output)]}, J = {J.data:.6f}")
        for l in range(L - 1, 0, -1):
            table.rows(entries(f"δ^({l + 1})", delta[l + 1].shape), grad(z[l + 1]), delta[l + 1])
            table.rows(entries(f"∂J/∂θ^({l})", gradient[l].shape), grad(theta[l]), gradient[l])

    print("\nthe derivation that the page breaks off, of 3×2×2 by θ_11^(1): part 1, part 2, and all together")
    together = explain(J, theta[1][0, 0], notation="induction").text.rpartition("Together\n")[2]
    print("\n".join(f"  {line}" for line in together.splitlines()))
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
