"""The matrix formulas of backpropagation in NumPy: a witness that knows nothing of the scalar graph.

Everything is written out here by itself, activations and costs and their derivatives included, so that
agreement with the scalar engine means something. Four ways lead to one gradient:

- `backprop`            BP1-BP4 for all samples at once (study note on Nielsen, chapter 2; the slides'
                        vectorised proof; without biases the induction proof),
- `accumulate`          the loop over samples that adds up Δ, then D (ML15),
- `brawer`              C, M and Ψ with the bias as node 0 (Brawer 2017, equations 5 to 48),
- `logistic_regression` Brawer's two-layer case (28)-(29).

**Numbering.** The documents call the input layer 1 and the output layer L; here the same layers have
the indices 0 to L-1. `z[l]`, `a[l]`, `sigma_prime[l]` and `delta[l]` belong to layer index l, with rows for
samples. `W[l]`, `b[l]`, `theta[l]`, `dW[l]` and `db[l]` lead from index l to index l+1: what the induction
proof, ML15 and Brawer call θ^(l+1), and the study note and the slides w^(l+2). So

    z[l+1] = a[l] @ W[l].T + b[l]        dW[l] = delta[l+1].T @ a[l] / m

At the input, as in Brawer, z[0] = a[0] = X and σ' = 1, whence delta[0] is ∂C_x/∂x, the derivative
by the inputs, which the documents leave out.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ACTIVATIONS", "COSTS", "Accumulation", "Backprop", "Brawer", "Forward",
    "accumulate", "backprop", "brawer", "forward", "from_theta", "logistic_regression", "to_theta",
]  # fmt: skip

Array: TypeAlias = NDArray[np.float64]
Layers: TypeAlias = tuple[Array, ...]
#: σ and σ', each taking z elementwise, an array of any shape.
Activation: TypeAlias = tuple[Callable[[Array], Array], Callable[[Array], Array]]
#: C_x(a, y) of each row, (m, K), (m, K) -> (m,), and its derivative ∂C_x/∂a, -> (m, K).
Cost: TypeAlias = tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]
Activations: TypeAlias = str | Activation | Sequence[str | Activation]
Biases: TypeAlias = Sequence[ArrayLike | None] | None


# -- activations: (σ, σ') ---------------------------------------------------------------------------------

_LINEAR: Activation = (lambda z: z, np.ones_like)


def _sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))  # never above 1, so that no z overflows
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _normal_cdf(z: Array) -> Array:
    erfc = np.vectorize(math.erfc, otypes=[np.float64])  # erfc, not 1 + erf: no cancellation for z << 0
    return np.asarray(0.5 * erfc(-z / math.sqrt(2.0)), dtype=np.float64)


def _normal_pdf(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), dtype=np.float64)


def _softmax_jacobian(z: Array) -> Array:
    """∂a_j/∂z_k = a_j (I_jk - a_k), shape (..., K, K): softmax is the one σ that mixes neurons."""
    a = _softmax(z)
    return np.asarray(a[..., :, None] * (np.eye(a.shape[-1]) - a[..., None, :]), dtype=np.float64)


#: By name, (σ, σ'). At their kink relu has σ'(0) = 0 and leaky_relu 0.01, as in PyTorch; gelu is the exact
#: one, with erf; leaky_relu's slope is 0.01 and elu's α is 1. The sigmoid's σ' is a (1 - a), rounded as a is:
#: a more exact one would not cancel the a (1 - a) below cross-entropy's ∂C/∂a, and BP1 would lose digits.
ACTIVATIONS: dict[str, Activation] = {
    "linear": _LINEAR,
    "identity": _LINEAR,
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1.0 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
        lambda z: np.exp(np.minimum(z, 0.0)),
    ),
    "gelu": (lambda z: z * _normal_cdf(z), lambda z: _normal_cdf(z) + z * _normal_pdf(z)),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1.0 + z * (1.0 - _sigmoid(z)))),
    "softplus": (lambda z: np.logaddexp(0.0, z), _sigmoid),
    "softmax": (_softmax, _softmax_jacobian),
}


# -- costs: (C_x, ∂C_x/∂a), a sample in each row ----------------------------------------------------------

def _over(y: Array, a: Array) -> Array:
    return np.divide(y, a, out=np.zeros_like(a), where=y != 0)  # 0/0 is 0: no target, no term


def _times_log(y: Array, a: Array) -> Array:
    return y * np.log(a, out=np.zeros_like(a), where=y != 0)


#: By name, (C_x, ∇_a C_x). The two on logits want a linear last layer: there a = z and σ' = 1, so that BP1 as
#: it stands gives the well-known δ = σ(z) - y, however saturated. At its kink hinge has derivative 0.
COSTS: dict[str, Cost] = {
    "quadratic": (lambda a, y: 0.5 * ((a - y) ** 2).sum(axis=-1), lambda a, y: a - y),
    "binary_cross_entropy": (
        lambda a, y: -(_times_log(y, a) + _times_log(1.0 - y, 1.0 - a)).sum(axis=-1),
        lambda a, y: -_over(y, a) + _over(1.0 - y, 1.0 - a),
    ),
    "binary_cross_entropy_with_logits": (
        lambda z, y: (y * np.logaddexp(0.0, -z) + (1.0 - y) * np.logaddexp(0.0, z)).sum(axis=-1),
        lambda z, y: (1.0 - y) * _sigmoid(z) - y * _sigmoid(-z),  # σ(z) - y, with no digits cancelled
    ),
    "softmax_cross_entropy": (
        lambda z, y: (y * (np.logaddexp.reduce(z, axis=-1, keepdims=True) - z)).sum(axis=-1),
        lambda z, y: y.sum(axis=-1, keepdims=True) * _softmax(z) - y,
    ),
    "hinge": (
        lambda a, y: np.maximum(0.0, 1.0 - y * a).sum(axis=-1),
        lambda a, y: np.where(1.0 - y * a > 0, -y, 0.0),
    ),
}
_ON_LOGITS = ("binary_cross_entropy_with_logits", "softmax_cross_entropy")


# -- BP1-BP4 ----------------------------------------------------------------------------------------------

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
    weights, biases = _network(W, b)
    return _forward(weights, biases, _inputs(X, weights), _activations(activations, len(weights)))


def _forward(W: Layers, b: Sequence[Array | None], X: Array, sigma: Sequence[Activation]) -> Forward:
    z, a = [X], [X]
    with np.errstate(all="ignore"):  # what overflows is caught, and named, by _real
        for l in range(len(W)):
            bias = b[l] if b[l] is not None else 0.0
            z.append(_real(f"z[{l + 1}]", a[l] @ W[l].T + bias))
            a.append(_activation(sigma, z, l + 1))
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
    weights, biases = _network(W, b)
    inputs = _inputs(X, weights)
    depth, m, lam = len(weights), len(inputs), _penalty_factor(l2)
    sigma = _activations(activations, depth)
    targets = _targets(Y, (m, len(weights[-1])), cost, sigma[-1])

    net = _forward(weights, biases, inputs, sigma)
    with np.errstate(all="ignore"):
        cost_x, nabla_a = _cost_and_nabla(cost, net.a[-1], targets)
        sigma_prime = [_derivative(sigma, net.z, l) for l in range(depth + 1)]

        delta = [_output_error(nabla_a, sigma_prime[-1])]  # BP1
        for l in reversed(range(depth)):
            delta.insert(0, delta[0] @ weights[l] * sigma_prime[l])  # BP2: δ^l = (w^(l+1))ᵀ δ^(l+1) ⊙ σ'(z^l)
        db = [None if biases[l] is None else delta[l + 1].mean(axis=0) for l in range(depth)]  # BP3
        dW = [delta[l + 1].T @ net.a[l] / m + lam / m * weights[l] for l in range(depth)]  # BP4, and λ's part

        data_cost, penalty = float(cost_x.mean()), _penalty(weights, lam, m)
    _all_finite(cost=[data_cost + penalty], delta=delta, dW=dW, db=[d for d in db if d is not None])
    return Backprop(
        data_cost + penalty, data_cost, penalty, cost_x,
        net.z, net.a, tuple(sigma_prime), nabla_a, tuple(delta), tuple(dW), tuple(db),
    )  # fmt: skip


def _output_error(nabla_a: Array, sigma_prime: Array) -> Array:
    """BP1: δ^L = ∇_a C ⊙ σ'(z^L); where σ mixes neurons (softmax), its Jacobian, transposed, times ∇_a C."""
    if sigma_prime.ndim == nabla_a.ndim:
        return nabla_a * sigma_prime
    return np.asarray(np.einsum("mj,mjk->mk", nabla_a, sigma_prime), dtype=np.float64)


def _penalty(W: Sequence[Array], lam: float, m: int) -> float:
    return float(lam / (2 * m) * sum((w**2).sum() for w in W))


# -- the bias as node 0 -----------------------------------------------------------------------------------

def to_theta(W: Sequence[ArrayLike], b: Biases) -> Layers:
    """θ[l] = (b[l] | W[l]), shape (n_out, 1 + n_in): column 0 holds the weights from the bias unit a_0 = 1.

    It takes a gradient (dW, db) as well. Raises ValueError where a layer has no bias.
    """
    weights, biases = _network(W, b)
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
    full = _matrices("theta", theta, unit=1)
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
    Theta = _matrices("theta", theta, unit=1)
    W = [t[:, 1:] for t in Theta]
    inputs = _inputs(X, W)
    depth, m, lam = len(Theta), len(inputs), _penalty_factor(l2)
    sigma = _activations(activations, depth)
    targets = _targets(Y, (m, len(Theta[-1])), cost, sigma[-1])

    cost_x, passes = [], []
    Delta = [np.zeros_like(t) for t in Theta]
    with np.errstate(all="ignore"):
        for i in range(m):
            z, a = [inputs[i]], [_with_unit(inputs[i])]
            for l in range(depth):
                z.append(_real(f"z[{l + 1}] of sample {i}", Theta[l] @ a[l]))
                a.append(_with_unit(_activation(sigma, z, l + 1)))
            a[depth] = a[depth][1:]  # the output layer has no bias unit

            (C_x,), nabla_a = _cost_and_nabla(cost, a[depth][None], targets[i][None])
            delta = [_output_error(nabla_a, _derivative(sigma, z, depth)[None])[0]]
            for l in reversed(range(depth)):
                back = (Theta[l].T @ delta[0])[1:]  # row 0 of Θᵀδ would be the bias unit's error
                delta.insert(0, back * _derivative(sigma, z, l))
            for l in range(depth):
                Delta[l] += np.outer(delta[l + 1], a[l])
            cost_x.append(C_x)
            passes.append((z, a, delta))

        D = [Delta[l] / m for l in range(depth)]
        for l in range(depth):
            D[l][:, 1:] += lam / m * Theta[l][:, 1:]
        J = float(np.mean(cost_x)) + _penalty(W, lam, m)
    z_of, a_of, delta_of = (
        tuple(np.stack([one[part][l] for one in passes]) for l in range(depth + 1)) for part in range(3)
    )
    _all_finite(cost=[J], delta=delta_of, D=D)
    return Accumulation(J, z_of, a_of, delta_of, tuple(Delta), tuple(D))


def _with_unit(a: Array) -> Array:
    return np.concatenate([np.ones_like(a[..., :1]), a], axis=-1)


# -- Brawer's equations -----------------------------------------------------------------------------------

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
    full = _matrices("theta", theta, unit=1)
    inputs = _inputs(X, [t[:, 1:] for t in full])
    depth, m = len(full), len(inputs)
    h_of = _activations(activations, depth)
    if h_of[-1] != ACTIVATIONS["sigmoid"]:
        raise ValueError("activations: Brawer's (42), δ = h - y, needs a sigmoid in the output layer")
    targets = _targets(Y, (m, len(full[-1])), "binary_cross_entropy", h_of[-1])
    not_bias = [np.arange(1 + s) != 0 for s in (inputs.shape[1], *map(len, full))]  # 1 - I_p,0

    theta_0 = [np.vstack([np.eye(1, t.shape[1]), t]) for t in full]  # (6)
    C, z, h = [], [_with_unit(inputs)], [_with_unit(inputs)]  # (1), (1a)
    with np.errstate(all="ignore"):
        for l in range(depth):
            h_1 = float(h_of[l][0](np.ones(1))[0])
            if h_1 == 0 or not math.isfinite(h_1):
                raise ValueError(f"activations[{l - 1}] has h(1) = {h_1}, by which Brawer's (7) divides")
            C.append(np.where(not_bias[l], 1.0, 1 / h_1) * np.ones_like(theta_0[l]))  # (7)
            z.append(_real(f"z[{l + 1}]", h[l] @ (theta_0[l] * C[l]).T))  # (5), and with it (8)
            h.append(_activation(h_of, z, l + 1))
        Psi = [_derivative(h_of, z, l) for l in range(depth + 1)]  # (15)
        M = [theta_0[l] * C[l] * Psi[l][:, None, :] for l in range(depth)]  # (31)

        J = float(_cost_and_nabla("binary_cross_entropy", h[-1][:, 1:], targets)[0].mean())  # (18)
        delta = [(h[-1] - _with_unit(targets)) * not_bias[-1]]  # (20), (42)
        delta_v = [delta[0][:, 1:]]
        for l in reversed(range(depth)):
            delta.insert(0, np.einsum("mk,mkp->mp", delta[0][:, 1:], M[l][:, 1:]) * not_bias[l])  # (34), (40)
            delta_v.insert(0, delta_v[0] @ full[l][:, 1:] * Psi[l][:, 1:])  # (48)
        gradient = [delta[l + 1][:, 1:].T @ (C[l][1] * h[l]) / m for l in range(depth)]  # (44)
    _all_finite(delta=delta, delta_vectorized=delta_v, gradient=gradient)
    groups = (tuple(layers) for layers in (theta_0, C, z, h, Psi, M, delta, delta_v, gradient))
    return Brawer(J, *groups)


def logistic_regression(theta: ArrayLike, X: ArrayLike, y: ArrayLike) -> tuple[float, Array]:
    """Cost and gradient of logistic regression, Brawer's two-layer case (28)-(29).

    theta: (1 + n,), the bias first; X: (m, n); y: (m,) in 0..1. Returns J and, with x_0 = 1,
    ∂J/∂θ_q = (1/m) Σ (h(z) - y) x_q, shape (1 + n,). J is computed from z: finite however saturated h is.
    """
    row = _numbers("theta", theta, 1)[None, :]
    x = _with_unit(_inputs(X, [t[:, 1:] for t in _matrices("theta", [row], unit=1)]))
    cost = "binary_cross_entropy_with_logits"
    targets = _targets(_numbers("y", y, 1)[:, None], (len(x), 1), cost, _LINEAR)
    with np.errstate(all="ignore"):
        cost_x, error = _cost_and_nabla(cost, _real("z", x @ row.T), targets)  # error = h(z) - y
        J, gradient = cost_x.mean(), (error * x).mean(axis=0)
    _all_finite(J=[J], gradient=[gradient])
    return float(J), gradient


# -- steps that the formulations share, and checks --------------------------------------------------------

def _activation(sigma: Sequence[Activation], z: Sequence[Array], l: int) -> Array:
    return _checked(f"a[{l}], the activation's value,", sigma[l][0](z[l]), z[l].shape)


def _derivative(sigma: Sequence[Activation], z: Sequence[Array], l: int) -> Array:
    shape = z[l].shape + z[l].shape[-1:] if sigma[l][1] is _softmax_jacobian else z[l].shape
    return _checked(f"sigma_prime[{l}], the activation's derivative,", sigma[l][1](z[l]), shape)


def _cost_and_nabla(cost: str | Cost, a: Array, y: Array) -> tuple[Array, Array]:
    value, derivative = COSTS[cost] if isinstance(cost, str) else cost
    if cost == "binary_cross_entropy":
        advice = "; binary_cross_entropy_with_logits on a linear last layer has no such limit"
        if ((a < 0) | (a > 1)).any():
            raise ValueError(f"{cost} needs outputs in 0..1, and they go from {a.min()} to {a.max()}{advice}")
        if (infinite := ((a == 0) & (y > 0)) | ((a == 1) & (y < 1))).any():
            x, k = np.argwhere(infinite)[0]
            where = f"output {k} of sample {x} is exactly {a[x, k]:g} for the target {y[x, k]:g}"
            raise ValueError(f"{cost} is infinite: {where}{advice}")
    cost_x = _checked("cost_x, the cost's value,", value(a, y), (len(a),))
    return cost_x, _checked("nabla_a, the cost's derivative,", derivative(a, y), a.shape)


def _real(name: str, array: NDArray[Any]) -> Array:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    if (bad := ~np.isfinite(array)).any():
        at = tuple(map(int, np.argwhere(bad)[0]))
        raise ValueError(f"{name} is {array[at]} at {at}: not a finite number, or no longer one")
    return array.astype(np.float64, copy=False)


def _checked(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    if np.shape(value) != shape:
        raise ValueError(f"{name} has shape {np.shape(value)}, expected {shape}")
    return _real(name, np.asarray(value))


def _all_finite(**named: Sequence[ArrayLike]) -> None:
    for name, layers in named.items():
        for l, layer in enumerate(layers):
            _real(f"{name}[{l}]", np.asarray(layer))


def _numbers(name: str, value: ArrayLike, dimensions: int) -> Array:
    try:
        array = np.array(value)  # a copy: what a result carries must not change under it
    except ValueError as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    array = _real(name, array)
    if array.ndim != dimensions or array.size == 0:
        hint = "; rows are samples, one sample is a row" if name in ("X", "Y") else ""
        raise ValueError(f"{name} has shape {array.shape}, expected {dimensions} dimensions, none 0{hint}")
    return array


def _matrices(name: str, given: Sequence[ArrayLike], unit: int) -> Layers:
    """Weight matrices that fit one another; `unit` is 1 where each has a column 0 for the bias unit."""
    matrices = tuple(_numbers(f"{name}[{l}]", w, 2) for l, w in enumerate(given))
    if not matrices:
        raise ValueError(f"{name} is empty: a network needs at least one weight matrix")
    if unit and matrices[0].shape[1] < 2:
        raise ValueError(f"{name}[0] has shape {matrices[0].shape}: it needs a column beside the bias's")
    for l, (before, w) in enumerate(pairwise(matrices), start=1):
        if w.shape[1] != len(before) + unit:
            why = f"{name}[{l - 1}] leads to {len(before)} neurons" + unit * ", and column 0 is for the bias"
            expected = (len(w), len(before) + unit)
            raise ValueError(f"{name}[{l}] has shape {w.shape}, expected {expected}: {why}")
    return matrices


def _network(W: Sequence[ArrayLike], b: Biases) -> tuple[Layers, tuple[Array | None, ...]]:
    weights = _matrices("W", W, unit=0)
    b = [None] * len(weights) if b is None else b
    if len(b) != len(weights):
        raise ValueError(f"b has {len(b)} entries for {len(weights)} matrices in W; None means no bias")
    biases = tuple(None if vector is None else _numbers(f"b[{l}]", vector, 1) for l, vector in enumerate(b))
    for l, (bias, w) in enumerate(zip(biases, weights, strict=True)):
        if bias is not None and len(bias) != len(w):
            raise ValueError(f"b[{l}] has shape {bias.shape}, expected ({len(w)},) as W[{l}] is {w.shape}")
    return weights, biases


def _inputs(X: ArrayLike, W: Sequence[Array]) -> Array:
    inputs = _numbers("X", X, 2)
    if inputs.shape[1] != W[0].shape[1]:
        expected = f"(m, {W[0].shape[1]}), which the first layer of shape {W[0].shape} takes"
        raise ValueError(f"X has shape {inputs.shape}, expected {expected}")
    return inputs


def _activations(given: Activations, depth: int) -> tuple[Activation, ...]:
    """σ of every layer, by layer index: the input's is the identity (Brawer's (3))."""
    each: Any = [given] * depth if isinstance(given, str) or _is_pair(given) else given
    if not isinstance(each, Sequence):
        raise TypeError(f"activations is {given!r}, expected a name, a tuple (σ, σ'), or a sequence of these")
    if len(each) != depth:
        raise ValueError(f"activations has {len(each)} entries for {depth} layers")
    sigma = [_LINEAR]
    for l, one in enumerate(each):
        if not isinstance(one, str) and not _is_pair(one):
            raise TypeError(f"activations[{l}] is {one!r}, expected a name or a tuple (σ, σ') of functions")
        if isinstance(one, str) and one not in ACTIVATIONS:
            raise ValueError(f"activations[{l}] is {one!r}; known {', '.join(ACTIVATIONS)} or (σ, σ')")
        sigma.append(ACTIVATIONS[one] if isinstance(one, str) else one)
        if sigma[-1][1] is _softmax_jacobian and l < depth - 1:
            raise ValueError(f"activations[{l}] is softmax, which only the output layer may have")
    return tuple(sigma)


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and all(map(callable, given))


def _targets(Y: ArrayLike, shape: tuple[int, int], cost: str | Cost, output: Activation) -> Array:
    if isinstance(cost, str) and cost not in COSTS:
        raise ValueError(f"cost is {cost!r}; known: {', '.join(COSTS)}, or a tuple of functions (C, ∂C/∂a)")
    if not (isinstance(cost, str) or _is_pair(cost)):
        raise TypeError(f"cost is {cost!r}, expected a name or a tuple of functions (C, ∂C/∂a)")
    if cost in _ON_LOGITS and output != _LINEAR:
        raise ValueError(f"{cost} takes logits: the last activation must be linear, for the cost has its own")
    y = _numbers("Y", Y, 2)
    if y.shape != shape:
        raise ValueError(f"Y has shape {y.shape}, expected {shape}: a row a sample, a column an output")
    if isinstance(cost, str) and "cross_entropy" in cost and ((y < 0) | (y > 1)).any():
        raise ValueError(f"Y goes from {y.min()} to {y.max()}, but {cost} needs targets in 0..1")
    if cost == "softmax_cross_entropy" and (off := np.abs(y.sum(axis=1) - 1) > 1e-9).any():
        x = int(np.argmax(off))
        raise ValueError(f"Y[{x}] adds up to {y[x].sum()}, but {cost} needs rows that add up to 1")
    if cost == "hinge" and (np.abs(y) != 1).any():
        raise ValueError(f"Y has {y[np.abs(y) != 1][0]}, but hinge needs targets 1 or -1")
    return y


def _penalty_factor(l2: float) -> float:
    if not isinstance(l2, Real):
        raise TypeError(f"l2 is {l2!r}, expected a number")
    if not (math.isfinite(l2) and l2 >= 0):
        raise ValueError(f"l2 is {l2}, expected a finite number ≥ 0")
    return float(l2)
