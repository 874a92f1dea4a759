"""What was observed: rows of data, what was measured in each, how exactly, and the group it belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.arguments import real
from autobp.fitting.needed import scipy

Array = NDArray[np.float64]
NanPolicy = Literal["raise", "omit"]


@dataclass(frozen=True)
class Observations:
    """Rows of data.

    Attributes:
        arguments: what the model gets beside the parameters, each (m, …).
        y: what was measured, (m, q).
        sigma: the standard deviations of y, (m, q), or their covariance's factor (m, m); ones if unknown.
        groups: the index of each row's group as numbers, (m,), where there are groups.
        omitted: how many rows were left out for a NaN.
    """

    arguments: tuple[Array, ...]
    y: Array
    sigma: Array
    correlated: bool
    groups: Array | None
    omitted: int

    @property
    def rows(self) -> tuple[Array, ...]:
        """What a compiled model takes: arguments, and the groups' indices where there are any."""
        return self.arguments if self.groups is None else (*self.arguments, self.groups)

    def whitened(self, values: Array) -> Array:
        """(m, q, …) divided by σ, or by the covariance's factor, as (m·q, …)."""
        flat = values.reshape(self.y.size, *values.shape[2:])
        if self.correlated:
            whole = flat.reshape(len(flat), -1)
            solved = scipy("linalg").solve_triangular(self.sigma, whole, lower=True, check_finite=False)
            return np.asarray(solved).reshape(flat.shape)
        return np.asarray(flat / self.sigma.reshape(-1, *[1] * (flat.ndim - 1)))

    @property
    def count(self) -> int:
        """How many measurements there are; those of an infinite σ, or no weight, are none."""
        return self.y.size if self.correlated else int(np.isfinite(self.sigma).sum())

    @property
    def log_sigmas(self) -> float:
        """Σ ln σ, or half the logarithm of the covariance's determinant."""
        sigmas = np.diag(self.sigma) if self.correlated else self.sigma[np.isfinite(self.sigma)]
        return float(np.log(sigmas).sum())


def observations(
    X: Any,
    y: ArrayLike,
    sigma: ArrayLike | None,
    weights: ArrayLike | None,
    groups: Sequence[Any] | None,
    nan_policy: NanPolicy,
) -> tuple[Observations, tuple[Any, ...]]:
    """The observations, and the labels of groups in order.

    Raises ValueError where lengths differ, an entry is missing (nan_policy "raise") or infinite, or a σ is
    not positive; TypeError where an entry is no number.
    """
    arguments = [numbers_in_rows(f"X[{i}]" if isinstance(X, tuple) else "X", x)
                 for i, x in enumerate(X if isinstance(X, tuple) else (X,))]  # fmt: skip
    measured = numbers_in_rows("y", y)
    if measured.ndim > 2:
        raise ValueError(f"y has {measured.ndim} axes; it must be (m,), or (m, q) for a model of q outputs")
    m = len(measured)
    for x in arguments:
        if len(x) != m:
            raise ValueError(f"X has {len(x)} rows and y {m}: both have one row for each observation")
    if groups is not None and len(groups) != m:
        raise ValueError(f"groups has {len(groups)} labels, and there are {m} rows")
    measured = measured.reshape(m, -1)
    spread, correlated = _sigma(sigma, weights, measured)
    kept = _kept([*arguments, measured], None if correlated else spread, nan_policy, m)
    labels: tuple[Any, ...] = ()
    index = None
    if groups is not None:
        chosen = [group for group, keep in zip(groups, kept, strict=True) if keep]
        labels = tuple(dict.fromkeys(chosen))
        index = np.array([labels.index(group) for group in chosen], dtype=np.float64)
    if correlated:
        spread = _factor(spread[np.ix_(kept, kept)])
    else:
        spread = spread[kept]
        if not (spread > 0.0).all():
            raise ValueError(f"sigma must be positive; the least is {spread.min():.6g}")
    made = Observations(
        tuple([x[kept] for x in arguments]), measured[kept], spread, correlated, index, int(m - kept.sum())
    )
    return made, labels


def numbers_in_rows(what: str, given: Any) -> Array:
    """An array with a row for each observation; ValueError or TypeError where it is none."""
    try:
        array = real(what, given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what} must hold numbers, with rows of one length: {error}") from None
    if array.ndim == 0:
        raise ValueError(f"{what} is one number; it needs a row for each observation")
    return array


def _sigma(sigma: ArrayLike | None, weights: ArrayLike | None, y: Array) -> tuple[Array, bool]:
    """σ for each measurement, or the covariance as it was given; and which of the two."""
    if sigma is not None and weights is not None:
        raise ValueError("give sigma or weights, not both: weights are 1/sigma²")
    if weights is not None:
        given = _spread("weights", weights, y)
        if (given < 0.0).any():
            raise ValueError(f"weights must not be negative; the least is {given.min():.6g}")
        with np.errstate(divide="ignore"):
            return 1.0 / np.sqrt(given), False  # what weighs nothing has an infinite σ
    if sigma is None:
        return np.ones_like(y), False
    array = real("sigma", sigma)
    if array.shape == (len(y), len(y)) and y.shape[1] == 1 and len(y) > 1:
        return array, True
    return _spread("sigma", sigma, y), False


def _spread(what: str, given: ArrayLike, y: Array) -> Array:
    array = real(what, given)
    if array.shape == (len(y),):
        array = array[:, None]
    try:
        return np.array(np.broadcast_to(array, y.shape))
    except ValueError:
        raise ValueError(
            f"{what} has the shape {np.shape(given)}; it must be a number, one for each row ({len(y)},), or "
            f"one for each measurement {y.shape}"
        ) from None


def _kept(data: Sequence[Array], spread: Array | None, nan_policy: NanPolicy, m: int) -> NDArray[np.bool_]:
    """Which rows have no NaN; what is infinite is refused, but for a σ."""
    if nan_policy not in ("raise", "omit"):
        raise ValueError(f'nan_policy must be "raise" or "omit"; got {nan_policy!r}')
    missing = np.zeros(m, dtype=bool)
    for array in data if spread is None else [*data, spread]:
        missing |= np.isnan(array.reshape(m, -1)).any(axis=1)
    for array in data:
        if np.isinf(array).any():
            row = int(np.argwhere(np.isinf(array.reshape(m, -1)).any(axis=1))[0, 0])
            raise ValueError(f"row {row} holds an infinite number; leave it out")
    if nan_policy == "raise" and missing.any():
        raise ValueError(
            f'row {int(np.argmax(missing))} holds NaN; fill in what is missing, or give nan_policy="omit" to '
            f"leave out such rows, {int(missing.sum())} of {m}"
        )
    if missing.all():
        raise ValueError("no row is without NaN")
    return ~missing


def _factor(covariance: Array) -> Array:
    if not np.isfinite(covariance).all():
        raise ValueError("sigma is a covariance matrix, (m, m), with entries that are not finite")
    if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0.0):
        raise ValueError("sigma is a covariance matrix, (m, m), but not symmetric")
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise ValueError("sigma is a covariance matrix, (m, m), but not positive definite") from None


def log_two_pi() -> float:
    """ln 2π."""
    return math.log(2.0 * math.pi)
