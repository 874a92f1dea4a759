"""How the Backpropagation algorithm works: the four fundamental equations, each against the graph.

    BP1   δ^L = ∇_a C ⊙ σ'(z^L)                 BP3   ∂C/∂b_j^l = δ_j^l
    BP2   δ^l = (w^(l+1))ᵀ δ^(l+1) ⊙ σ'(z^l)    BP4   ∂C/∂w_jk^l = a_k^(l-1) δ_j^l

The network is 2-3-2, tanh and then the sigmoid, and C = ½ Σ (y - a)² of one sample.

Mended here: for a w^l of shape n × m the page has z^l, a^l, b^l and δ^l as m × 1, where they are n × 1; it
writes ∇_a^C for ∇_a C. With C the mean over samples, BP3 and BP4 are means too, and its steps leave that out.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, entries, grad

from autobp import Value

x, y = np.array([0.5, -1.2]), np.array([0.0, 1.0])
WEIGHTS = {
    2: np.array([[0.4, -0.9], [0.7, 0.2], [-0.5, 0.6]]),
    3: np.array([[1.2, -0.8, 0.3], [0.5, 0.9, -1.1]]),
}
BIASES = {2: np.array([0.1, -0.3, 0.2]), 3: np.array([-0.4, 0.6])}


def graph():
    """w, b, z and C on Values."""
    w = {l: np.array([[Value(w_jk) for w_jk in row] for row in WEIGHTS[l]]) for l in WEIGHTS}
    b = {l: np.array([Value(b_j) for b_j in BIASES[l]]) for l in BIASES}
    z2 = w[2] @ x + b[2]
    z3 = w[3] @ np.array([z_j.tanh() for z_j in z2]) + b[3]
    C = sum((y_j - z_j.sigmoid()) ** 2 for y_j, z_j in zip(y, z3, strict=True)) / 2
    C.backward()
    return w, b, {2: z2, 3: z3}, C


def main() -> int:
    w, b, z, C = graph()

    # steps 1 and 2: the activation of the input, and z and a of each layer, on numbers alone
    a = {1: x}
    a[2] = np.tanh(WEIGHTS[2] @ a[1] + BIASES[2])
    a[3] = 1 / (1 + np.exp(-(WEIGHTS[3] @ a[2] + BIASES[3])))

    table = BothSides(__doc__)
    print(f"2-3-2, tanh and sigmoid; x = {x}, y = {y}, a^3 = {a[3].round(4)}, C = {C.data:.6f}")

    # steps 3 and 4: the errors, from the last layer backwards
    delta = {3: (a[3] - y) * a[3] * (1 - a[3])}
    delta[2] = WEIGHTS[3].T @ delta[3] * (1 - a[2] ** 2)
    table.heading("BP1: the error of the last layer")
    table.rows(entries("δ^3", (2,)), grad(z[3]), delta[3])
    table.heading("BP2: the error of the layer before")
    table.rows(entries("δ^2", (3,)), grad(z[2]), delta[2])

    # step 5: the gradient
    table.heading("BP3: the gradient by the biases is the error")
    for l in (2, 3):
        table.rows(entries(f"∂C/∂b^{l}", b[l].shape), grad(b[l]), delta[l])
    table.heading("BP4: the gradient by the weights is activation in times error out")
    for l in (2, 3):
        table.rows(entries(f"∂C/∂w^{l}", w[l].shape), grad(w[l]), np.outer(delta[l], a[l - 1]))
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
