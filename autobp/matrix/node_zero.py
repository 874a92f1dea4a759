"""The bias as node 0: θ = (b | W), ML15's loop over samples, and Brawer's equations.

For the numbering of layers see :mod:`autobp.matrix`.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from autobp.matrix.arguments import (
    activations_of,
    all_finite,
    inputs_of,
    matrices,
    network,
    numbers,
    penalty_factor,
    real,
    targets_of,
)  # fmt: skip
from autobp.matrix.formulas import ACTIVATIONS, LINEAR, Activations, Array, Biases, Cost, Layers
from autobp.matrix.steps import (
    activation_of,
    cost_and_nabla,
    derivative_of,
    output_error,
    penalty_of,
    with_unit,
)  # fmt: skip


def to_theta(W: Sequence[ArrayLike], b: Biases) -> Layers:
    """θ[l] = (b[l] | W[l]), shape (n_out, 1 + n_in): column 0 holds the weights from the bias unit a_0 = 1.

    It takes a gradient (dW, db) as well. Raises ValueError where a layer has no bias.
    """
    weights, biases = network(W, b)
    theta = []
    for l, (w, bias) in enumerate(zip(weights, biases, strict=True)):
        if bias is None:
            raise ValueError(f"b[{l}] is None, but with node 0 every layer has a bias; pass zeros if meant")
        theta.append(np.column_stack([bias, w]))
    return tuple(theta)


def from_theta(theta: Sequence[ArrayLike]) -> tuple[Layers, Layers]:
    """(W, b) of θ[l], each (n_out, 1 + n_in), as new arrays; the inverse of `to_theta`.

    `backprop(*from_theta(theta), X, Y, ...)` works from θ, and `to_theta(result.dW, result.db)` is ∂C/∂θ.
    """
    full = matrices("theta", theta, unit=1)
    return tuple(t[:, 1:].copy() for t in full), tuple(t[:, 0].copy() for t in full)


@dataclass(frozen=True, eq=False)
class Accumulation:
    """What ML15's loop over samples leaves. Index 0 is the input; see the module's note on numbering."""

    cost: float  #: J(Θ), penalty included
    z: Layers  #: (m, s_l), row i from sample i; z[0] = X
    a: Layers  #: (m, 1 + s_l), column 0 the unit a_0 = 1; the output's, without it, (m, K)
    delta: Layers  #: δ of each sample, (m, s_l)
    Delta: Layers  #: Δ, the shapes of θ: the sum of δ aᵀ over the samples
    D: Layers  #: ∂J/∂Θ: Δ/m + (λ/m) Θ, in column 0 Δ/m


def accumulate(
    theta: Sequence[ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    *,
    activations: Activations = "sigmoid",
    cost: str | Cost = "binary_cross_entropy",
    l2: float = 0.0,
) -> Accumulation:
    """ML15's algorithm: each sample on its own through the network and back, Δ := Δ + δ aᵀ, and then D.

    theta[l]: (s_(l+1), 1 + s_l); the rest as for `backprop`. D adds λ/m times θ, the derivative of the
    λ/(2m) Σ θ² in J (the document prints λ), except in column 0. δ^L is BP1, for the defaults a - y.
    """
    Theta = matrices("theta", theta, unit=1)
    W = [t[:, 1:] for t in Theta]
    inputs = inputs_of(X, W)
    depth, m, lam = len(Theta), len(inputs), penalty_factor(l2)
    sigma = activations_of(activations, depth)
    targets = targets_of(Y, (m, len(Theta[-1])), cost, sigma[-1])

    cost_x, passes = [], []
    Delta = [np.zeros_like(t) for t in Theta]
    with np.errstate(all="ignore"):
        for i in range(m):
            z, a = [inputs[i]], [with_unit(inputs[i])]
            for l in range(depth):
                z.append(real(f"z[{l + 1}] of sample {i}", Theta[l] @ a[l]))
                a.append(with_unit(activation_of(sigma, z, l + 1)))
            a[depth] = a[depth][1:]  # the output layer has no bias unit

            (C_x,), nabla_a = cost_and_nabla(cost, a[depth][None], targets[i][None])
            delta = [output_error(nabla_a, derivative_of(sigma, z, depth)[None])[0]]
            for l in reversed(range(depth)):
                back = (Theta[l].T @ delta[0])[1:]  # row 0 of Θᵀδ would be the bias unit's error
                delta.insert(0, back * derivative_of(sigma, z, l))
            for l in range(depth):
                Delta[l] += np.outer(delta[l + 1], a[l])
            cost_x.append(C_x)
            passes.append((z, a, delta))

        D = [Delta[l] / m for l in range(depth)]
        for l in range(depth):
            D[l][:, 1:] += lam / m * Theta[l][:, 1:]
        J = float(np.mean(cost_x)) + penalty_of(W, lam, m)
    z_of, a_of, delta_of = (
        tuple(np.stack([one[part][l] for one in passes]) for l in range(depth + 1)) for part in range(3)
    )
    all_finite(cost=[J], delta=delta_of, D=D)
    return Accumulation(J, z_of, a_of, delta_of, tuple(Delta), tuple(D))


@dataclass(frozen=True, eq=False)
class Brawer:
    """Brawer's quantities under his names, node 0 included in every layer; numbers are his equations'.

    Index 0 is his layer 1, the input; see the module's note on numbering. Here z is a node's value, with
    z_0 = 1, and h(z) what others call a.
    """

    J: float  #: (18)
    theta: Layers  #: (1 + s_(l+1), 1 + s_l), row 0 by (6)
    C: Layers  #: (7), the shapes of theta; from the input to the last hidden layer
    z: Layers  #: (1), (1a), (5): (m, 1 + s_l)
    h: Layers  #: h^l(z^l): (m, 1 + s_l)
    Psi: Layers  #: (15), h' of z: (m, 1 + s_l)
    M: Layers  #: (31): (m, 1 + s_(l+1), 1 + s_l), from the input to the last hidden layer
    delta: Layers  #: (20), (34), (40): (m, 1 + s_l), column 0 zero
    delta_vectorized: Layers  #: (48), with column 0 of θ dropped: (m, s_l)
    gradient: Layers  #: (44) to (46): ∂J/∂θ, (s_(l+1), 1 + s_l), the shapes of the theta given


def brawer(
    theta: Sequence[ArrayLike], X: ArrayLike, Y: ArrayLike, *, activations: Activations = "sigmoid"
) -> Brawer:
    """Cross-entropy and its gradient by Brawer's equations, which treat the bias as one more node.

    theta[l]: (s_(l+1), 1 + s_l); X: (m, n); Y: (m, K) in 0..1. h^1 is the identity. Hidden layers may have
    any h with h(1) ≠ 0, for (7) divides by it; the output is a sigmoid, for (42) holds only there. Raises
    ValueError where that is not so, and as `backprop` does.
    """
    full = matrices("theta", theta, unit=1)
    inputs = inputs_of(X, [t[:, 1:] for t in full])
    depth, m = len(full), len(inputs)
    h_of = activations_of(activations, depth)
    if h_of[-1] != ACTIVATIONS["sigmoid"]:
        raise ValueError("activations: Brawer's (42), δ = h - y, needs a sigmoid in the output layer")
    targets = targets_of(Y, (m, len(full[-1])), "binary_cross_entropy", h_of[-1])
    not_bias = [np.arange(1 + s) != 0 for s in (inputs.shape[1], *map(len, full))]  # 1 - I_p,0

    theta_0 = [np.vstack([np.eye(1, t.shape[1]), t]) for t in full]  # (6)
    C, z, h = [], [with_unit(inputs)], [with_unit(inputs)]  # (1), (1a)
    with np.errstate(all="ignore"):
        for l in range(depth):
            h_1 = float(h_of[l][0](np.ones(1))[0])
            if h_1 == 0 or not math.isfinite(h_1):
                raise ValueError(f"activations[{l - 1}] has h(1) = {h_1}, by which Brawer's (7) divides")
            C.append(np.where(not_bias[l], 1.0, 1 / h_1) * np.ones_like(theta_0[l]))  # (7)
            z.append(real(f"z[{l + 1}]", h[l] @ (theta_0[l] * C[l]).T))  # (5), and with it (8)
            h.append(activation_of(h_of, z, l + 1))
        Psi = [derivative_of(h_of, z, l) for l in range(depth + 1)]  # (15)
        M = [theta_0[l] * C[l] * Psi[l][:, None, :] for l in range(depth)]  # (31)

        J = float(cost_and_nabla("binary_cross_entropy", h[-1][:, 1:], targets)[0].mean())  # (18)
        delta = [(h[-1] - with_unit(targets)) * not_bias[-1]]  # (20), (42)
        delta_v = [delta[0][:, 1:]]
        for l in reversed(range(depth)):
            delta.insert(0, np.einsum("mk,mkp->mp", delta[0][:, 1:], M[l][:, 1:]) * not_bias[l])  # (34), (40)
            delta_v.insert(0, delta_v[0] @ full[l][:, 1:] * Psi[l][:, 1:])  # (48)
        gradient = [delta[l + 1][:, 1:].T @ (C[l][1] * h[l]) / m for l in range(depth)]  # (44)
    all_finite(delta=delta, delta_vectorized=delta_v, gradient=gradient)
    groups = (tuple(layers) for layers in (theta_0, C, z, h, Psi, M, delta, delta_v, gradient))
    return Brawer(J, *groups)


def logistic_regression(theta: ArrayLike, X: ArrayLike, y: ArrayLike) -> tuple[float, Array]:
    """Cost and gradient of logistic regression, Brawer's two-layer case (28)-(29).

    theta: (1 + n,), the bias first; X: (m, n); y: (m,) in 0..1. Returns J and, with x_0 = 1,
    ∂J/∂θ_q = (1/m) Σ (h(z) - y) x_q, shape (1 + n,). J is computed from z: finite however saturated h is.
    """
    row = numbers("theta", theta, 1)[None, :]
    x = with_unit(inputs_of(X, [t[:, 1:] for t in matrices("theta", [row], unit=1)]))
    cost = "binary_cross_entropy_with_logits"
    targets = targets_of(numbers("y", y, 1)[:, None], (len(x), 1), cost, LINEAR)
    with np.errstate(all="ignore"):
        cost_x, error = cost_and_nabla(cost, real("z", x @ row.T), targets)  # error = h(z) - y
        J, gradient = cost_x.mean(), (error * x).mean(axis=0)
    all_finite(J=[J], gradient=[gradient])
    return float(J), gradient
