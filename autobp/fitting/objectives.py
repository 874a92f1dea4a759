"""What a fit makes small: a sum of squares, or of a robust loss; or minus the logarithm of a likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autobp.fitting.information import Information, information, root_of
from autobp.fitting.losses import influence
from autobp.fitting.model import CompiledLikelihood, CompiledModel
from autobp.fitting.observations import Observations, log_two_pi

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_EPSILON = float(np.finfo(np.float64).eps)
_WORST = 1e100  # what a residual or a cost is taken for that is not finite: no step leads there


@dataclass(frozen=True)
class Assessment:
    """Where a point lies, and what is known there of the parameters.

    Attributes:
        distance: from the optimum, in standard errors, by a quadratic model.
        gradient: of half the deviance by all parameters, (n,).
        covariance: of the parameters, (n, n): 0 for those that are not free, infinite where nothing is known.
        flat: the directions along which nothing is known, in words.
        flat_steps: the same as rows, each a step of theta, (f, n).
        is_minimum: whether no direction leads down.
    """

    distance: float
    gradient: Array
    covariance: Array
    flat: tuple[str, ...]
    flat_steps: Array
    is_minimum: bool


class Objective(Protocol):
    """What is minimized."""

    @property
    def data(self) -> Observations:
        """What was observed."""

    def deviance(self, theta: Array) -> float:
        """Twice what is minimized: χ², or minus twice the logarithm of the likelihood."""

    def assess(self, theta: Array, free: Mask, names: tuple[str, ...]) -> Assessment:
        """Where theta lies."""

    def log_likelihood(self, theta: Array) -> float:
        """The logarithm of the likelihood, NaN where there is none."""

    def variance(self, theta: Array, k: int) -> float:
        """What the deviance is measured in: the variance of residuals with k parameters free, or 1."""


@dataclass(frozen=True)
class LeastSquares:
    """The residuals of a model in units of σ, and the sum of their squares or of a robust loss."""

    model: CompiledModel
    data: Observations
    loss: str
    f_scale: float
    absolute_sigma: bool

    def residuals(self, theta: Array) -> Array:
        """(m·q,)."""
        return self.data.whitened(self.model.value(theta, self.data.rows) - self.data.y)

    def bounded_residuals(self, theta: Array) -> Array:
        """The residuals, with a large number for what is not finite."""
        return np.nan_to_num(self.residuals(theta), nan=_WORST, posinf=_WORST, neginf=-_WORST)

    def jacobian(self, theta: Array) -> Array:
        """Of the residuals, (m·q, n)."""
        return self.data.whitened(self.model.jacobian(theta, self.data.rows))

    @property
    def rounding(self) -> float:
        """What rounding leaves of a residual at least."""
        return _EPSILON * float(np.abs(self.data.whitened(self.data.y)).max())

    def deviance(self, theta: Array) -> float:
        with np.errstate(over="ignore"):
            found = float(influence(self.loss, self.residuals(theta), self.f_scale)[0].sum())
        return found if math.isfinite(found) else math.inf

    def variance(self, theta: Array, k: int) -> float:
        if self.absolute_sigma:
            return 1.0
        dof = self.data.count - k
        return self.deviance(theta) / dof if dof > 0 else math.nan

    def newton_step(self, theta: Array, free: Mask) -> tuple[Array, float]:
        """The step of Gauss and Newton for squares from theta, (n,), and the length of the slope there.

        The length is infinite, and there is no step, where the derivatives are not finite.
        """
        columns = self.jacobian(theta)[:, free]
        if not np.isfinite(columns).all():
            return np.zeros(len(theta)), math.inf
        found = information(columns)
        parts = found.along(self.residuals(theta))
        known = ~found.is_flat
        step = np.zeros(len(theta))
        step[free] = -(found.directions[known].T @ (parts / found.singular[known])) / found.lengths
        return step, float(np.linalg.norm(parts))

    def assess(self, theta: Array, free: Mask, names: tuple[str, ...]) -> Assessment:
        residuals, jacobian = self.residuals(theta), self.jacobian(theta)
        _, psi, bend = influence(self.loss, residuals, self.f_scale)
        gradient = jacobian.T @ psi
        columns = jacobian[:, free]
        if not (np.isfinite(columns).all() and np.isfinite(psi).all()):
            return _unknown(gradient, free)
        found = information(columns)
        k = int((~found.is_flat).sum())
        variance = self.variance(theta, k)
        slope = float(np.linalg.norm(found.along(psi)))
        # no search comes nearer than rounding lets it, where the data are met all but exactly
        if slope <= 16.0 * math.sqrt(k) * self.rounding:
            slope = 0.0
        distance = slope / math.sqrt(variance if variance > 0.0 else 1.0)
        covariance = self._covariance(found, columns, psi, bend, variance)
        return Assessment(
            distance,
            gradient,
            _spread(covariance, free),
            found.flat_directions(_names(names, free)),
            _flat_steps(found, free),
            True,
        )

    def _covariance(
        self, found: Information, columns: Array, psi: Array, bend: Array, variance: float
    ) -> Array:
        """σ²(JᵀJ)⁻¹; for a robust loss H⁻¹ Jᵀψ²J H⁻¹, that of M-estimators (Huber, "Robust Statistics")."""
        if self.loss == "linear":
            return found.inverse * variance
        dof = len(psi) - columns.shape[1]
        root, convex = root_of((columns.T * bend) @ columns)
        if not convex or dof <= 0:
            return np.full((columns.shape[1],) * 2, math.nan)
        inverse = information(root).inverse
        return np.asarray(inverse @ ((columns.T * psi**2) @ columns) @ inverse * (len(psi) / dof))

    def log_likelihood(self, theta: Array) -> float:
        """Of normal errors: with the σ given, or with the one that makes it largest."""
        if self.loss != "linear":
            return math.nan
        chi2, m = self.deviance(theta), self.data.count
        if self.absolute_sigma:
            return -0.5 * (chi2 + m * log_two_pi()) - self.data.log_sigmas
        if chi2 == 0.0:
            return math.inf
        return -0.5 * m * (log_two_pi() + math.log(chi2 / m) + 1.0) - self.data.log_sigmas


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of what was measured, by a density of one's own."""

    model: CompiledLikelihood
    data: Observations

    @property
    def rows(self) -> tuple[Array, ...]:
        """What the program takes."""
        return (*self.data.rows, self.data.y)

    def deviance(self, theta: Array) -> float:
        found = -2.0 * self.model.value(theta, self.rows)
        return found if math.isfinite(found) else math.inf

    def variance(self, theta: Array, k: int) -> float:
        return 1.0

    def gradient(self, theta: Array) -> tuple[float, Array]:
        """Minus the logarithm, and its gradient; a large number where it is not finite."""
        value, slopes = self.model.gradient(theta, self.rows)
        return (-value if math.isfinite(value) else _WORST), np.nan_to_num(-slopes, posinf=0.0, neginf=0.0)

    def hessian(self, theta: Array) -> Array:
        """Of minus the logarithm, (n, n)."""
        return -self.model.hessian(theta, self.rows)

    def assess(self, theta: Array, free: Mask, names: tuple[str, ...]) -> Assessment:
        _, slopes = self.model.gradient(theta, self.rows)
        gradient, bend = -slopes, self.hessian(theta)[np.ix_(free, free)]
        if not (np.isfinite(gradient[free]).all() and np.isfinite(bend).all()):
            return _unknown(gradient, free)
        root, convex = root_of(bend)
        found = information(root)
        known = ~found.is_flat
        parts = found.directions[known] @ (gradient[free] / found.lengths) / found.singular[known]
        return Assessment(
            float(np.linalg.norm(parts)),
            gradient,
            _spread(found.inverse, free),
            found.flat_directions(_names(names, free)),
            _flat_steps(found, free),
            convex,
        )

    def log_likelihood(self, theta: Array) -> float:
        return -0.5 * self.deviance(theta)


def _unknown(gradient: Array, free: Mask) -> Assessment:
    """Where derivatives are not finite."""
    k = int(free.sum())
    nothing = np.zeros((0, len(free)))
    return Assessment(math.inf, gradient, _spread(np.full((k, k), math.nan), free), (), nothing, True)


def _spread(covariance: Array, free: Mask) -> Array:
    """The covariance of all parameters: 0 for those that are not free."""
    whole = np.zeros((len(free), len(free)))
    whole[np.ix_(free, free)] = covariance
    return whole


def _flat_steps(found: Information, free: Mask) -> Array:
    steps = np.zeros((int(found.is_flat.sum()), len(free)))
    steps[:, free] = found.directions[found.is_flat] / found.lengths
    return steps


def _names(names: tuple[str, ...], free: Mask) -> list[str]:
    return [name for name, is_free in zip(names, free, strict=True) if is_free]
