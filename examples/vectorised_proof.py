"""Back propagation proof (Intuition), slides: all vectorised equations at once, under two costs.

    δ^L = ∂C/∂a^L ⊙ σ'(z^L)      δ^l = (w^(l+1)ᵀ δ^(l+1)) ⊙ σ'(z^l)      dw^l = δ^l a^(l-1)ᵀ      db^l = δ^l

Only ∂C/∂a^L depends on the cost: a - y under the quadratic one, (a - y) / (a(1 - a)) under the cross-entropy,
where with a sigmoid δ^L is a - y. The network is 3-2-2, the sigmoid throughout; the input is layer 1.

Mended here: the slides' ∂C/∂a^L of the cross-entropy has a plus for a minus in its first line, and then the
numerator a - y - y + a for a - ay - y + ay; one line has z_j^l for δ_j^l; the quadratic cost has q for a, and
shapes n_e for n_l. "Same for any activation" holds for those that act on each z alone, not for a softmax.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, entries, grad

from autobp import Value

x, y = np.array([0.6, -0.3, 1.1]), np.array([1.0, 0.0])
WEIGHTS = {2: np.array([[0.5, -0.7, 0.2], [0.9, 0.4, -0.6]]), 3: np.array([[1.0, -0.8], [0.3, 0.7]])}
BIASES = {2: np.array([0.1, -0.2]), 3: np.array([0.4, -0.5])}
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


def graph(cost):
    """w, b, z and C on Values."""
    w = {l: np.array([[Value(w_ji) for w_ji in row] for row in WEIGHTS[l]]) for l in WEIGHTS}
    b = {l: np.array([Value(b_j) for b_j in BIASES[l]]) for l in BIASES}
    a, z = {1: x}, {}
    for l in (2, 3):
        z[l] = w[l] @ a[l - 1] + b[l]
        a[l] = np.array([z_j.sigmoid() for z_j in z[l]])
    C = cost(a[3])
    C.backward()
    return w, b, z, C


def main() -> int:
    table = BothSides(__doc__)
    a = {1: x}
    for l in (2, 3):  # the formula side's own forward pass, on numbers alone
        a[l] = 1 / (1 + np.exp(-(WEIGHTS[l] @ a[l - 1] + BIASES[l])))
    slope = {l: a[l] * (1 - a[l]) for l in (2, 3)}
    for name, (cost, da) in COSTS.items():
        w, b, z, C = graph(cost)
        table.heading(f"{name}: a^L = {a[3].round(4)}, y = {y}, C = {C.data:.6f}")
        delta = {3: da(a[3]) * slope[3]}
        delta[2] = (WEIGHTS[3].T @ delta[3]) * slope[2]
        for l in (3, 2):
            table.rows(entries(f"δ^{l}", delta[l].shape), grad(z[l]), delta[l])
        for l in (3, 2):
            table.rows(entries(f"dw^{l}", w[l].shape), grad(w[l]), np.outer(delta[l], a[l - 1]))
            table.rows(entries(f"db^{l}", b[l].shape), grad(b[l]), delta[l])
    table.heading("cross-entropy with a sigmoid: δ^L = a - y")
    table.rows(entries("δ^3", (2,)), grad(z[3]), a[3] - y)
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
