"""Robust losses by name: how much less than its square a large residual counts.

The names are those of ``scipy.optimize.least_squares``, which minimizes ½ c² Σ ρ((r/c)²), c its ``f_scale``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _huber(z: Array) -> tuple[Array, Array, Array]:
    large = np.maximum(z, 1.0)
    root = np.sqrt(large)
    inner = z <= 1.0
    return (
        np.where(inner, z, 2.0 * root - 1.0),
        np.where(inner, 1.0, 1.0 / root),
        np.where(inner, 0.0, -0.5 / (large * root)),
    )


def _soft_l1(z: Array) -> tuple[Array, Array, Array]:
    t = 1.0 + z
    return 2.0 * (np.sqrt(t) - 1.0), t**-0.5, -0.5 * t**-1.5


def _cauchy(z: Array) -> tuple[Array, Array, Array]:
    return np.log1p(z), 1.0 / (1.0 + z), -1.0 / (1.0 + z) ** 2


def _arctan(z: Array) -> tuple[Array, Array, Array]:
    t = 1.0 + z * z
    return np.arctan(z), 1.0 / t, -2.0 * z / t**2


def _linear(z: Array) -> tuple[Array, Array, Array]:
    return z, np.ones_like(z), np.zeros_like(z)


#: ρ, ρ' and ρ'' of z = (r/c)², by name.
LOSSES: dict[str, Callable[[Array], tuple[Array, Array, Array]]] = {
    "linear": _linear, "soft_l1": _soft_l1, "huber": _huber, "cauchy": _cauchy, "arctan": _arctan,
}  # fmt: skip


def influence(loss: str, residuals: Array, f_scale: float) -> tuple[Array, Array, Array]:
    """For each residual r: what it adds to twice the cost, c²ρ; half the slope of that, ψ = rρ'; and ψ'."""
    z = (residuals / f_scale) ** 2
    rho, first, second = LOSSES[loss](z)
    return f_scale**2 * rho, residuals * first, first + 2.0 * z * second
