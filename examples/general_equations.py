"""Steven Brawer, Derivation of Back Propagation Equations: a value z for each node, node 0 for the bias.

    (5)   z_j^l = Σ_k θ_jk^(l-1) h^(l-1)(z_k^(l-1)) C_jk^(l-1)
    (7)   C_jk^l = 1/h^l(1) for k = 0, else 1
    (15)  Ψ^l(z) = ∂h^l(z)/∂z
    (31)  M_jk^l = θ_jk^l C_jk^l Ψ^l(z_k^l), which is ∂z_j^(l+1)/∂z_k^l
    (42)  δ_p^L = h^L(z_p^L) - y_p
    (43)  δ_p^l = Σ_k δ_k^(l+1) θ_kp^l Ψ^l(z_p^l), which is Σ_k δ_k^(l+1) M_kp^l
    (44)  ∂J/∂θ_pq^l = 1/m Σ_i δ_p^(l+1) C_1q^l h^l(z_q^l)

The network is 3-2-2-2 with a tanh and a softplus layer, m = 2 samples and the cross-entropy; then logistic
regression, which is what is left for L = 2.

Mended here: the page has y for y_p in (42); sums over samples from i = 0 in (44) and (46); (48) with column 0
of θ; and it says below (35) that M_k0 is 0, which it is not, as the rows of M show.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, entries, grad

from autobp import Value

X = np.array([[0.5, -1.0, 0.8], [-0.3, 0.9, 1.4]])
Y = np.array([[1.0, 0.0], [0.0, 1.0]])
THETA = {
    1: np.array([[0.3, 0.7, -0.2, 0.5], [-0.1, -0.6, 0.9, 0.4]]),
    2: np.array([[0.2, 1.1, -0.7], [-0.5, 0.6, 0.8]]),
    3: np.array([[0.4, -0.9, 1.3], [0.1, 0.7, -0.4]]),
}
L = 4


def softplus(z):
    return np.log1p(np.exp(z))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


h = {1: lambda z: z, 2: np.tanh, 3: softplus, L: sigmoid}
on_Values = {1: lambda z: z, 2: Value.tanh, 3: Value.softplus, L: Value.sigmoid}
Psi = {1: np.ones_like, 2: lambda z: 1 / np.cosh(z) ** 2, 3: sigmoid}
# C_1q^l of (7), for all q; its first index does not matter
C = {l: np.array([1 / h[l](np.ones(())), *np.ones(THETA[l].shape[1] - 1)]) for l in THETA}


def values_of_nodes(theta, x, h):
    """z and h(z) by layer, node 0 first, on numbers or on Values; theta[l] has no row 0: (6) is constant."""
    z, output = {1: x}, {}
    for l in range(1, L):
        output[l] = np.array([h[l](z_k) for z_k in z[l]])
        z[l + 1] = (theta[l] * C[l]) @ output[l]
        if l + 1 < L:
            z[l + 1] = np.array([type(x[0])(1.0), *z[l + 1]])
    output[L] = np.array([h[L](z_k) for z_k in z[L]])
    return z, output


def cross_entropy(a, y):
    return -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum()


def main() -> int:
    table = BothSides(__doc__)
    theta = {l: np.array([[Value(w) for w in row] for row in THETA[l]]) for l in THETA}
    m, costs = len(X), []
    for l in C:
        print(f"C_1q^{l} = {C[l].round(4)}")

    gradient = {l: np.zeros(THETA[l].shape) for l in THETA}
    for i, (x, y) in enumerate(zip(X, Y, strict=True), 1):
        with_x_0 = np.append(1.0, x)
        nodes, outputs = values_of_nodes(theta, [Value(x_k) for x_k in with_x_0], on_Values)
        costs.append(cross_entropy(outputs[L], y))
        z, output = values_of_nodes(THETA, with_x_0, h)
        table.heading(f"sample {i}: h^L(z^L) = {output[L].round(4)}, y = {y}; the values z, (5)")
        for l in range(2, L + 1):
            names = entries(f"z^{l}", z[l].shape, rows_from=int(l == L))
            table.rows(names, [node.data for node in nodes[l]], z[l])

        M = {l: THETA[l] * C[l] * Psi[l](z[l]) for l in THETA}
        table.heading(f"sample {i}: M, (31), which is ∂z^(l+1)/∂z^l")
        for l in (2, 3):
            later = nodes[l + 1][-len(THETA[l]) :]
            table.rows(entries(f"M^{l}", M[l].shape, columns_from=0), jacobian(later, nodes[l]), M[l])

        for node in (node for layer in nodes.values() for node in layer):
            node.grad = 0.0
        for theta_pq in (theta_pq for l in theta for theta_pq in theta[l].flat):
            theta_pq.grad = 0.0
        costs[-1].backward()
        table.heading(f"sample {i}: (42) and (43)")
        delta = {L: output[L] - y}
        table.rows(entries("δ^4", (2,)), grad(nodes[L]), delta[L])
        for l in (3, 2):
            delta[l] = M[l][:, 1:].T @ delta[l + 1]  # where k > 0 and C is 1
            table.rows(entries(f"δ^{l}", (2,)), grad(nodes[l])[1:], delta[l])
        for l in THETA:
            gradient[l] += np.outer(delta[l + 1], C[l] * output[l]) / m

    for theta_pq in (theta_pq for l in theta for theta_pq in theta[l].flat):
        theta_pq.grad = 0.0  # the last sample's own gradient is there
    J = sum(costs) / m
    J.backward()
    table.heading(f"all {m} samples: J = {J.data:.6f}; (44), and for column 0, the bias, (46)")
    for l in theta:
        table.rows(entries(f"∂J/∂θ^{l}", theta[l].shape, columns_from=0), grad(theta[l]), gradient[l])
    logistic_regression(table)
    return table.verdict()


def jacobian(tops, nodes):
    """∂top/∂node of each pair, a backward pass for each top."""
    rows = []
    for top in tops:
        for node in nodes:
            node.grad = 0.0
        top.backward()
        rows.append(grad(nodes))
    return np.array(rows)


def logistic_regression(table):
    """L = 2 and one class: (29) against the graph."""
    weights = np.array([0.2, -0.4, 0.7, 0.1])
    theta = np.array([Value(w) for w in weights])
    with_x_0, y = np.column_stack([np.ones(len(X)), X]), Y[:, 0]
    outputs = [(theta @ x).sigmoid() for x in with_x_0]
    J = sum(cross_entropy(np.array([a]), y_i) for a, y_i in zip(outputs, y, strict=True)) / len(X)
    J.backward()
    table.heading(f"L = 2, K = 1: J = {J.data:.6f}; logistic regression, (29)")
    error = sigmoid(with_x_0 @ weights) - y
    table.rows(entries("∂J/∂θ", (1, 4), columns_from=0), [grad(theta)], [error @ with_x_0 / len(X)])


if __name__ == "__main__":
    sys.exit(main())
