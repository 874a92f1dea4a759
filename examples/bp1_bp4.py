"""How the Backpropagation algorithm works: the four fundamental equations, each against the graph.

    BP1   δ^L = ∇_a C ⊙ σ'(z^L)                 BP3   ∂C/∂b_j^l = δ_j^l
    BP2   δ^l = (w^(l+1))ᵀ δ^(l+1) ⊙ σ'(z^l)    BP4   ∂C/∂w_jk^l = a_k^(l-1) δ_j^l

The network is 2-3-2, tanh and then the sigmoid, and C = ½ Σ (y - a)² of one sample.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, data, entries, grad

from autobp import Value

x, y = np.array([0.5, -1.2]), np.array([0.0, 1.0])
w = {
    2: np.array([[Value(0.4), Value(-0.9)], [Value(0.7), Value(0.2)], [Value(-0.5), Value(0.6)]]),
    3: np.array([[Value(1.2), Value(-0.8), Value(0.3)], [Value(0.5), Value(0.9), Value(-1.1)]]),
}
b = {2: np.array([Value(0.1), Value(-0.3), Value(0.2)]), 3: np.array([Value(-0.4), Value(0.6)])}


def main() -> int:
    # steps 1 and 2: the activation of the input, and z and a of each layer
    a, z = {1: np.array([Value(x_k) for x_k in x])}, {}
    z[2] = w[2] @ a[1] + b[2]
    a[2] = np.array([z_j.tanh() for z_j in z[2]])
    z[3] = w[3] @ a[2] + b[3]
    a[3] = np.array([z_j.sigmoid() for z_j in z[3]])
    C = ((y - a[3]) ** 2).sum() / 2
    C.backward()

    table = BothSides(__doc__)
    print(f"2-3-2, tanh and sigmoid; x = {x}, y = {y}, a^3 = {data(a[3]).round(4)}, C = {C.data:.6f}")

    # steps 3 and 4: the errors, from the last layer backwards
    slope = {2: 1 - data(a[2]) ** 2, 3: data(a[3]) * (1 - data(a[3]))}
    delta = {3: (data(a[3]) - y) * slope[3]}
    delta[2] = data(w[3]).T @ delta[3] * slope[2]
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
        table.rows(entries(f"∂C/∂w^{l}", w[l].shape), grad(w[l]), np.outer(delta[l], data(a[l - 1])))
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
