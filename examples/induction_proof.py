"""Neural Network Backward Propagation: the proof that goes from 3×1 over 3×2 and 3×2×1 to 3×2×2.

    δ^(L) = a^(L) - y
    δ^(l) = θ^(l)ᵀ δ^(l+1) .× g(z^(l))(1 - g(z^(l)))
    ∂J/∂θ_ij^(l) = δ_i^(l+1) a_j^(l)

No bias, the sigmoid everywhere, and J is the cross-entropy of one sample.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, data, entries, grad

from autobp import Value

x = np.array([0.9, -0.4, 1.3])
y = {1: np.array([1.0]), 2: np.array([1.0, 0.0])}
THETA = {
    "3×1": [[[0.2, -0.5, 0.7]]],
    "3×2": [[[0.2, -0.5, 0.7], [-0.3, 0.8, 0.1]]],
    "3×2×1": [[[0.2, -0.5, 0.7], [-0.3, 0.8, 0.1]], [[1.1, -0.6]]],
    "3×2×2": [[[0.2, -0.5, 0.7], [-0.3, 0.8, 0.1]], [[1.1, -0.6], [0.4, 0.9]]],
}


def main() -> int:
    table = BothSides(__doc__)
    for name, weights in THETA.items():
        theta = [np.array([[Value(w) for w in row] for row in matrix]) for matrix in weights]
        L = len(theta) + 1

        a, z = {1: np.array([Value(x_j) for x_j in x])}, {}
        for l, theta_l in enumerate(theta, 1):
            z[l + 1] = theta_l @ a[l]
            a[l + 1] = np.array([z_i.sigmoid() for z_i in z[l + 1]])
        targets = y[len(a[L])]
        J = -(targets * np.log(a[L]) + (1 - targets) * np.log(1 - a[L])).sum()
        J.backward()

        table.heading(f"{name}: a^({L}) = {data(a[L]).round(4)}, y = {targets}, J = {J.data:.6f}")
        delta = data(a[L]) - targets
        for l in range(L - 1, 0, -1):
            table.rows(entries(f"δ^({l + 1})", delta.shape), grad(z[l + 1]), delta)
            gradient = np.outer(delta, data(a[l]))
            table.rows(entries(f"∂J/∂θ^({l})", gradient.shape), grad(theta[l - 1]), gradient)
            slope = data(a[l]) * (1 - data(a[l]))
            delta = data(theta[l - 1]).T @ delta * slope
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
