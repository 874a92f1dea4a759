"""Steven Brawer, Derivation of Back Propagation Equations: a value z for each node, node 0 for the bias.

    (5)   z_j^l = Σ_k θ_jk^(l-1) h^(l-1)(z_k^(l-1)) C_jk^(l-1)
    (7)   C_jk^l = 1/h^l(1) for k = 0, else 1
    (31)  M_jk^l = θ_jk^l C_jk^l Ψ^l(z_k^l)
    (42)  δ_p^L = h^L(z_p^L) - y_p
    (43)  δ_p^l = Σ_k δ_k^(l+1) θ_kp^l Ψ^l(z_p^l), which is Σ_k δ_k^(l+1) M_kp^l
    (44)  ∂J/∂θ_pq^l = 1/m Σ_i δ_p^(l+1) C_1q^l h^l(z_q^l)

The network is 3-2-2-2 with a tanh and a softplus layer, m = 2 samples and the cross-entropy; then logistic
regression, which is what is left for L = 2.
"""

# ruff: noqa: E741  (l is the document's letter for a layer)

import sys

import numpy as np
from both_sides import BothSides, data, entries, grad

from autobp import Value

X = np.array([[0.5, -1.0, 0.8], [-0.3, 0.9, 1.4]])
Y = np.array([[1.0, 0.0], [0.0, 1.0]])
THETA = {
    1: [[0.3, 0.7, -0.2, 0.5], [-0.1, -0.6, 0.9, 0.4]],
    2: [[0.2, 1.1, -0.7], [-0.5, 0.6, 0.8]],
    3: [[0.4, -0.9, 1.3], [0.1, 0.7, -0.4]],
}
h = {1: lambda z: z, 2: lambda z: z.tanh(), 3: lambda z: z.softplus()}
h_at_1 = {1: 1.0, 2: np.tanh(1.0), 3: np.log1p(np.e)}
Psi = {2: lambda z: 1 / np.cosh(z) ** 2, 3: lambda z: 1 / (1 + np.exp(-z))}


def forward(theta, x):
    """z and h(z) by layer, node 0 first; theta[l] has no row for node 0, which has no input."""
    L = len(theta) + 1
    z, output = {1: np.array([Value(1.0), *[Value(x_k) for x_k in x]])}, {}
    for l in range(1, L):
        output[l] = np.array([h[l](z_k) for z_k in z[l]])
        z[l + 1] = (theta[l] * C(theta, l)) @ output[l]
        if l + 1 < L:
            z[l + 1] = np.array([Value(1.0), *z[l + 1]])
    output[L] = np.array([z_k.sigmoid() for z_k in z[L]])
    return z, output


def C(theta, l):
    """C_1q^l of (7), for all q; its first index does not matter."""
    return np.array([1 / h_at_1[l], *np.ones(theta[l].shape[1] - 1)])


def cross_entropy(a, y):
    return -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum()


def main() -> int:
    table = BothSides(__doc__)
    theta = {l: np.array([[Value(w) for w in row] for row in rows]) for l, rows in THETA.items()}
    samples = [forward(theta, x) for x in X]
    m, L = len(X), 4

    gradient = {l: np.zeros(theta[l].shape) for l in theta}
    for i, ((z, output), y) in enumerate(zip(samples, Y, strict=True), 1):
        cost = cross_entropy(output[L], y)
        cost.backward()
        table.heading(f"sample {i}: h^L(z^L) = {data(output[L]).round(4)}, y = {y}; (42) and (43)")
        delta = {L: data(output[L]) - y}
        table.rows(entries("δ^4", (2,)), grad(z[L]), delta[L])
        for l in (3, 2):
            M = data(theta[l])[:, 1:] * Psi[l](data(z[l])[1:])  # (31), where k > 0 and C is 1
            delta[l] = M.T @ delta[l + 1]
            table.rows(entries(f"δ^{l}", (2,)), grad(z[l])[1:], delta[l])
        for l in theta:
            gradient[l] += np.outer(delta[l + 1], C(theta, l) * data(output[l])) / m

    for theta_pq in (theta_pq for l in theta for theta_pq in theta[l].flat):
        theta_pq.grad = 0.0  # the samples' own gradients have accumulated there
    J = sum(cross_entropy(output[L], y) for (_, output), y in zip(samples, Y, strict=True)) / m
    J.backward()
    table.heading(f"all {m} samples: J = {J.data:.6f}; (44), and for column 0, the bias, (46)")
    for l in theta:
        table.rows(entries(f"∂J/∂θ^{l}", theta[l].shape, columns_from=0), grad(theta[l]), gradient[l])

    theta = {1: np.array([[Value(0.2), Value(-0.4), Value(0.7), Value(0.1)]])}
    outputs = [forward(theta, x)[1][2] for x in X]
    J = sum(cross_entropy(output, y[:1]) for output, y in zip(outputs, Y, strict=True)) / m
    J.backward()
    table.heading(f"L = 2, K = 1: J = {J.data:.6f}; logistic regression, (29)")
    with_x_0 = np.column_stack([np.ones(m), X])
    residual = 1 / (1 + np.exp(-with_x_0 @ data(theta[1])[0])) - Y[:, 0]
    table.rows(entries("∂J/∂θ", (1, 4), columns_from=0), grad(theta[1]), [residual @ with_x_0 / m])
    return table.verdict()


if __name__ == "__main__":
    sys.exit(main())
