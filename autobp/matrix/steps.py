"""The steps that the formulations share: σ, σ' and the cost at a layer, BP1, the penalty, the bias unit."""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autobp.matrix.arguments import checked
from autobp.matrix.formulas import COSTS, Activation, Array, Cost, softmax_jacobian


def activation_of(sigma: Sequence[Activation], z: Sequence[Array], l: int) -> Array:
    """a[l] = σ(z[l])."""
    return checked(f"a[{l}], the activation's value,", sigma[l][0](z[l]), z[l].shape)


def derivative_of(sigma: Sequence[Activation], z: Sequence[Array], l: int) -> Array:
    """σ'(z[l]); of softmax its Jacobian."""
    shape = z[l].shape + z[l].shape[-1:] if sigma[l][1] is softmax_jacobian else z[l].shape
    return checked(f"sigma_prime[{l}], the activation's derivative,", sigma[l][1](z[l]), shape)


def cost_and_nabla(cost: str | Cost, a: Array, y: Array) -> tuple[Array, Array]:
    """C_x of each row and ∇_a C_x; ValueError where the outputs make the cost infinite."""
    value, derivative = COSTS[cost] if isinstance(cost, str) else cost
    if isinstance(cost, str) and cost in _OUTPUTS:
        _OUTPUTS[cost](cost, a, y)
    cost_x = checked("cost_x, the cost's value,", value(a, y), (len(a),))
    return cost_x, checked("nabla_a, the cost's derivative,", derivative(a, y), a.shape)


def _finite_logarithms(cost: str, a: Array, y: Array) -> None:
    advice = "; binary_cross_entropy_with_logits on a linear last layer has no such limit"
    if ((a < 0) | (a > 1)).any():
        raise ValueError(f"{cost} needs outputs in 0..1, and they go from {a.min()} to {a.max()}{advice}")
    if (infinite := ((a == 0) & (y > 0)) | ((a == 1) & (y < 1))).any():
        x, k = np.argwhere(infinite)[0]
        where = f"output {k} of sample {x} is exactly {a[x, k]:g} for the target {y[x, k]:g}"
        raise ValueError(f"{cost} is infinite: {where}{advice}")


#: What raises ValueError where the cost is not finite at the outputs.
_OUTPUTS: dict[str, Callable[[str, Array, Array], None]] = {"binary_cross_entropy": _finite_logarithms}


def output_error(nabla_a: Array, sigma_prime: Array) -> Array:
    """BP1: δ^L = ∇_a C ⊙ σ'(z^L); where σ mixes neurons (softmax), its Jacobian, transposed, times ∇_a C."""
    if sigma_prime.ndim == nabla_a.ndim:
        return nabla_a * sigma_prime
    return np.asarray(np.einsum("mj,mjk->mk", nabla_a, sigma_prime), dtype=np.float64)


def penalty_of(W: Sequence[Array], lam: float, m: int) -> float:
    """λ/(2m) Σ w²."""
    return float(lam / (2 * m) * sum((w**2).sum() for w in W))


def with_unit(a: Array) -> Array:
    """The layer with the unit a_0 = 1 before it."""
    return np.concatenate([np.ones_like(a[..., :1]), a], axis=-1)
