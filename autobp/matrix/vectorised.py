"""BP1-BP4 for all samples at once. For the numbering of layers see :mod:`autobp.matrix`."""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from autobp.matrix.arguments import (
    activations_of,
    all_finite,
    inputs_of,
    network,
    penalty_factor,
    real,
    targets_of,
)  # fmt: skip
from autobp.matrix.formulas import Activation, Activations, Array, Biases, Cost, Layers
from autobp.matrix.steps import activation_of, cost_and_nabla, derivative_of, output_error, penalty_of


@dataclass(frozen=True, eq=False)
class Forward:
    """The forward pass. Index 0 is the input; see the module's note on numbering."""

    z: Layers  #: weighted inputs, (m, n_l); z[0] = X
    a: Layers  #: activations, (m, n_l); a[0] = X


@dataclass(frozen=True, eq=False)
class Backprop:
    """All that BP1-BP4 compute, by its name in the field. Index 0 is the input; see the note on numbering.

    Each δ is one sample's own, ∂C_x/∂z: the 1/m of the mean cost enters only with dW and db.
    """

    cost: float  #: C = data_cost + penalty
    data_cost: float  #: (1/m) Σ_x C_x
    penalty: float  #: λ/(2m) Σ w², biases left out
    cost_x: Array  #: C_x of each sample, (m,)
    z: Layers  #: weighted inputs, (m, n_l); z[0] = X
    a: Layers  #: activations, (m, n_l); a[0] = X
    sigma_prime: Layers  #: σ'(z), (m, n_l); ones at the input; for a softmax output its Jacobian, (m, K, K)
    nabla_a: Array  #: ∇_a C_x = ∂C_x/∂a at the output, (m, K)
    delta: Layers  #: δ = ∂C_x/∂z, (m, n_l); delta[0] = ∂C_x/∂x
    dW: Layers  #: ∂C/∂W[l], the shape of W[l], penalty included
    db: tuple[Array | None, ...]  #: ∂C/∂b[l], (n_out,); None where a layer has no bias


def forward(W: Sequence[ArrayLike], b: Biases, X: ArrayLike, activations: Activations) -> Forward:
    """z = W a + b and a = σ(z), layer by layer. Arguments and errors as for `backprop`."""
    weights, biases = network(W, b)
    return _forward(weights, biases, inputs_of(X, weights), activations_of(activations, len(weights)))


def _forward(W: Layers, b: Sequence[Array | None], X: Array, sigma: Sequence[Activation]) -> Forward:
    z, a = [X], [X]
    with np.errstate(all="ignore"):  # what overflows is caught, and named, by `real`
        for l in range(len(W)):
            bias = b[l] if b[l] is not None else 0.0
            z.append(real(f"z[{l + 1}]", a[l] @ W[l].T + bias))
            a.append(activation_of(sigma, z, l + 1))
    return Forward(tuple(z), tuple(a))


def backprop(
    W: Sequence[ArrayLike],
    b: Biases,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    activations: Activations,
    cost: str | Cost,
    l2: float = 0.0,
) -> Backprop:
    """Cost and gradient of a fully connected network by BP1-BP4, all samples at once.

    W[l]: (n_out, n_in). b: vectors (n_out,); None, for all or for one layer, means no bias. X: (m, n) and
    Y: (m, K), rows are samples. l2 is the λ ≥ 0 of λ/(2m) Σ w².

    activations: one for every layer, or a sequence with one for each W; a name in `ACTIVATIONS` (softmax for
    the output only) or a tuple (σ, σ') of elementwise functions of z.
    cost: a name in `COSTS`, or a tuple of functions of a and y, (m, K) each: C_x, (m,), and ∂C_x/∂a, (m, K).
    Cross-entropy targets lie in 0..1, and for softmax add up to 1 in each row; the hinge's are ±1.

    BP1 is computed as it is written, ∇_a C ⊙ σ'(z). Near saturation 1 - a has few digits, and a sigmoid that
    is exactly 0 or 1 on the wrong side makes binary cross-entropy infinite: that raises. The cost on logits
    has neither trouble.

    Raises ValueError for shapes that do not fit, values out of range and results that are not finite, and
    TypeError for what is not numbers or functions. Source: the study note on Nielsen's chapter 2 and the
    slides, with the mean over samples and the penalty of the induction proof and ML15.
    """
    weights, biases = network(W, b)
    inputs = inputs_of(X, weights)
    depth, m, lam = len(weights), len(inputs), penalty_factor(l2)
    sigma = activations_of(activations, depth)
    targets = targets_of(Y, (m, len(weights[-1])), cost, sigma[-1])

    net = _forward(weights, biases, inputs, sigma)
    with np.errstate(all="ignore"):
        cost_x, nabla_a = cost_and_nabla(cost, net.a[-1], targets)
        sigma_prime = [derivative_of(sigma, net.z, l) for l in range(depth + 1)]

        delta = [output_error(nabla_a, sigma_prime[-1])]  # BP1
        for l in reversed(range(depth)):
            delta.insert(0, delta[0] @ weights[l] * sigma_prime[l])  # BP2: δ^l = (w^(l+1))ᵀ δ^(l+1) ⊙ σ'(z^l)
        db = [None if biases[l] is None else delta[l + 1].mean(axis=0) for l in range(depth)]  # BP3
        dW = [delta[l + 1].T @ net.a[l] / m + lam / m * weights[l] for l in range(depth)]  # BP4, and λ's part

        data_cost, penalty = float(cost_x.mean()), penalty_of(weights, lam, m)
    all_finite(cost=[data_cost + penalty], delta=delta, dW=dW, db=[d for d in db if d is not None])
    return Backprop(
        data_cost + penalty, data_cost, penalty, cost_x,
        net.z, net.a, tuple(sigma_prime), nabla_a, tuple(delta), tuple(dW), tuple(db),
    )  # fmt: skip
