"""Activations and costs with their derivatives, written out for arrays: (σ, σ') and (C_x, ∇_a C_x)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
Layers: TypeAlias = tuple[Array, ...]
#: σ and σ', each taking z elementwise, an array of any shape.
Activation: TypeAlias = tuple[Callable[[Array], Array], Callable[[Array], Array]]
#: C_x(a, y) of each row, (m, K), (m, K) -> (m,), and its derivative ∂C_x/∂a, -> (m, K).
Cost: TypeAlias = tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]
Activations: TypeAlias = str | Activation | Sequence[str | Activation]
Biases: TypeAlias = Sequence[ArrayLike | None] | None


LINEAR: Activation = (lambda z: z, np.ones_like)


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


def softmax_jacobian(z: Array) -> Array:
    """∂a_j/∂z_k = a_j (I_jk - a_k), shape (..., K, K): softmax is the one σ that mixes neurons."""
    a = _softmax(z)
    return np.asarray(a[..., :, None] * (np.eye(a.shape[-1]) - a[..., None, :]), dtype=np.float64)


#: By name, (σ, σ'). At their kink relu has σ'(0) = 0 and leaky_relu 0.01, as in PyTorch; gelu is the exact
#: one, with erf; leaky_relu's slope is 0.01 and elu's α is 1. The sigmoid's σ' is a (1 - a), rounded as a is:
#: a more exact one would not cancel the a (1 - a) below cross-entropy's ∂C/∂a, and BP1 would lose digits.
ACTIVATIONS: dict[str, Activation] = {
    "linear": LINEAR,
    "identity": LINEAR,
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
    "softmax": (_softmax, softmax_jacobian),
}



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
#: Those that take logits, and so want a linear last layer.
ON_LOGITS = ("binary_cross_entropy_with_logits", "softmax_cross_entropy")
