"""What a fit found, and how well it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobp.fitting.model import CompiledModel
from autobp.fitting.needed import scipy
from autobp.fitting.objectives import Assessment, LeastSquares, Objective
from autobp.fitting.observations import numbers_in_rows
from autobp.fitting.parameters import Layout, Named
from autobp.fitting.profiles import Profile, profile
from autobp.fitting.solving import Solution
from autobp.fitting.table import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


class Prediction(NamedTuple):
    """What a fitted model gives for rows, and its standard error, each (m,) or (m, q)."""

    value: Array
    error: Array


class ModelFit:
    """A fitted model: parameters by name, what they are known to, and what the model predicts.

    Attributes:
        kind: "least squares", or the likelihood's name.
        names: of the n numbers fitted or fixed, such as ``rate``, ``w[0]``, ``rate[group]``.
        theta: the numbers, (n,).
        converged: whether the search arrived; ``message`` says how near, or why not.
        at_bound: names of parameters that stand at a bound. The errors of others are those at that bound.
        flat: directions along which the data say nothing, in words: errors are infinite there.
        evaluations: of the model.
    """

    def __init__(
        self,
        kind: str,
        parameters: Layout,
        model: CompiledModel,
        objective: Objective,
        solution: Solution,
        limit: int,
    ) -> None:
        self.kind = kind
        self.names = parameters.names
        self.theta = solution.theta
        self.converged = solution.converged
        self.message = solution.message
        self.evaluations = solution.evaluations
        self.at_bound = tuple([n for n, at in zip(self.names, solution.at_bound, strict=True) if at])
        self.layout = parameters
        self.objective = objective
        self.limit = limit
        self._model = model
        self._free = ~parameters.fixed & ~solution.at_bound
        self._start = parameters.start

    @cached_property
    def _assessment(self) -> Assessment:
        return self.objective.assess(self.theta, self._free, self.names)

    # ------------------------------------------------------------------------------------ parameters

    @property
    def values(self) -> dict[str, float]:
        """The parameters by name."""
        return dict(zip(self.names, self.theta.tolist(), strict=True))

    @property
    def parameters(self) -> Named:
        """The parameters as the model gets them, for ``model(fit.parameters, x)``.

        One that is not shared is a dict from a group's label to the value there.
        """
        return self.layout.by_group(self.theta.tolist())

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by name: 0 where fixed, NaN at a bound, infinite along a flat direction."""
        with np.errstate(invalid="ignore"):
            errors = np.sqrt(np.diag(self.covariance))
        errors = np.where([name in self.at_bound for name in self.names], math.nan, errors)
        return dict(zip(self.names, errors.tolist(), strict=True))

    @property
    def covariance(self) -> Array:
        """Of the parameters, (n, n); rows and columns of 0 for those that are fixed or at a bound."""
        return self._assessment.covariance

    @property
    def correlation(self) -> Array:
        """(n, n); NaN for parameters that are fixed, at a bound or along a flat direction."""
        with np.errstate(all="ignore"):
            error = np.sqrt(np.diag(self.covariance))
            return np.asarray(self.covariance / np.outer(error, error))

    @property
    def flat(self) -> tuple[str, ...]:
        return self._assessment.flat

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which parameters were fitted and are at no bound, (n,)."""
        return np.array(self._free)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be, a line each; none where all is well."""
        lines = [] if self.converged else [f"NOT CONVERGED: {self.message}"]
        for name in self.at_bound:
            lines.append(
                f"AT ITS BOUND: {name} is {self.values[name]:.6g}; the errors of others hold with it there"
            )
        lines.extend([f"FLAT: the data say nothing along {direction}" for direction in self.flat])
        lines.extend(self._on_residuals())
        omitted = self.objective.data.omitted
        if omitted:
            lines.append(f"{omitted} rows with NaN were left out")
        return tuple(lines)

    def _on_residuals(self) -> list[str]:
        if not isinstance(self.objective, LeastSquares) or self.objective.absolute_sigma:
            return []
        if self.degrees_of_freedom <= 0:
            return ["NO DEGREES OF FREEDOM: as many parameters as measurements; there are no errors"]
        left = math.sqrt(self.reduced_chi2) / (self.objective.rounding or 1.0)
        if left < 1e4:
            return [
                f"ROUNDING: residuals are {left:.0f} times what rounding leaves; errors are as rough as that"
            ]
        return []

    # ------------------------------------------------------------------------------------ goodness

    @property
    def observed(self) -> int:
        """The number of measurements."""
        return self.objective.data.count

    @property
    def degrees_of_freedom(self) -> int:
        """Measurements less directions in which parameters were fitted."""
        return self.observed - self._fitted

    @property
    def _fitted(self) -> int:
        return int(self._free.sum()) - len(self.flat)

    @property
    def residuals(self) -> Array:
        """What was measured less what the model gives, in units of y: (m,), or (m, q)."""
        data = self.objective.data
        return _flat(data.y - self._model.value(self.theta, data.rows))

    @property
    def chi2(self) -> float:
        """Σ (residual/σ)², of a robust loss its sum; NaN for a likelihood."""
        return self.objective.deviance(self.theta) if self.is_least_squares else math.nan

    @property
    def reduced_chi2(self) -> float:
        """χ² for each degree of freedom; NaN where there is none."""
        return self.chi2 / self.degrees_of_freedom if self.degrees_of_freedom > 0 else math.nan

    @property
    def log_likelihood(self) -> float:
        """Its logarithm; NaN for a robust loss.

        For least squares it is that of normal errors, with the σ that makes it largest where σ is not known.
        """
        return self.objective.log_likelihood(self.theta)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2k - 2 ln L; k counts an estimated σ too."""
        return 2.0 * self._estimated - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """The Bayesian criterion, k ln m - 2 ln L."""
        return self._estimated * math.log(self.observed) - 2.0 * self.log_likelihood

    @property
    def _estimated(self) -> int:
        of_sigma = isinstance(self.objective, LeastSquares) and not self.objective.absolute_sigma
        return self._fitted + of_sigma

    @property
    def is_least_squares(self) -> bool:
        """Whether it is no likelihood."""
        return isinstance(self.objective, LeastSquares)

    # ------------------------------------------------------------------------------------ what follows

    def quantile(self, level: float) -> float:
        """How many standard errors a two-sided interval has on each side: Student's t, or the normal's."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be between 0 and 1, as 0.95; got {level}")
        stats, tail = scipy("stats"), 0.5 + 0.5 * level
        estimated = isinstance(self.objective, LeastSquares) and not self.objective.absolute_sigma
        if estimated:
            return (
                float(stats.t.ppf(tail, self.degrees_of_freedom)) if self.degrees_of_freedom > 0 else math.nan
            )
        return float(stats.norm.ppf(tail))

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """A confidence interval for each parameter, from its standard error; ``profile`` has better ones."""
        k = self.quantile(level)
        return {
            name: (x - k * self.errors[name], x + k * self.errors[name]) for name, x in self.values.items()
        }

    def profile(self, name: str, level: float = 0.95) -> Profile:
        """How much worse the fit is as one parameter is moved and the others follow, and its interval.

        Raises ValueError where the parameter is not known, fixed or at a bound, or the fit has not converged.
        """
        if not self.converged:
            raise ValueError(f"the fit has not converged ({self.message}); it has no profiles")
        i = self.layout.index(name)
        if not self._free[i]:
            raise ValueError(f"{name} is fixed or at a bound, and has no profile")
        error = self.errors[name]
        if not math.isfinite(error):
            raise ValueError(f"{name} has no finite standard error: the data do not determine it")
        variance = self.objective.variance(self.theta, self._fitted)
        return profile(self.objective, self.layout, self.theta, self._free, i, error, variance,
                       self.quantile(level), level, self.limit)  # fmt: skip

    def predict(self, X: Any, groups: Sequence[Any] | None = None) -> Prediction:
        """What the model gives for rows, and its standard error by the delta method, √(J C Jᵀ).

        Args:
            X: as it was fitted: (m,), (m, k), or a tuple of such.
            groups: a label for each row, where the fit has groups.

        Raises ValueError where shapes do not fit or a group is not known.
        """
        arguments = [numbers_in_rows("X", x) for x in (X if isinstance(X, tuple) else (X,))]
        rows = (*arguments, *self._indices(groups, len(arguments[0])))
        jacobian = self._model.jacobian(self.theta, rows)
        with np.errstate(invalid="ignore"):
            variance = np.einsum("mqi,ij,mqj->mq", jacobian[..., self._free], self._free_covariance,
                                 jacobian[..., self._free])  # fmt: skip
            return Prediction(
                _flat(self._model.value(self.theta, rows)), _flat(np.sqrt(np.maximum(variance, 0.0)))
            )

    def band(
        self, X: Any, level: float = 0.95, groups: Sequence[Any] | None = None, observations: bool = False
    ) -> tuple[Array, Array]:
        """The lower and upper ends of a confidence band for what the model gives at rows.

        With ``observations`` it is one for a new measurement there, whose sigma is 1.
        Raises ValueError for a likelihood with observations.
        """
        value, error = self.predict(X, groups)
        if observations:
            if not self.is_least_squares:
                raise ValueError("a band for measurements needs least squares; a likelihood has no σ")
            error = np.sqrt(error**2 + self.objective.variance(self.theta, self._fitted))
        k = self.quantile(level)
        return value - k * error, value + k * error

    @property
    def _free_covariance(self) -> Array:
        return self.covariance[np.ix_(self._free, self._free)]

    def _indices(self, groups: Sequence[Any] | None, m: int) -> tuple[Array, ...]:
        known = self.layout.groups
        if not known:
            if groups is not None:
                raise ValueError("the fit has no groups")
            return ()
        if groups is None or len(groups) != m:
            raise ValueError(
                f"the fit has groups; give groups=, one of {list(known)} for each of the {m} rows"
            )
        for group in groups:
            if group not in known:
                raise ValueError(f"the group {group!r} was not fitted; there are {list(known)}")
        return (np.array([known.index(group) for group in groups], dtype=np.float64),)

    def plot(self, level: float = 0.95) -> Figure:
        """A figure: data and model with its confidence band where X is one number a row, and residuals below.

        Raises ImportError where matplotlib is not installed.
        """
        from autobp.fitting.picture import picture

        return picture(self, level)

    def __str__(self) -> str:
        return table(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.6g}" for name, value in list(self.values.items())[:6])
        return f"<fit by {self.kind}{'' if self.converged else ', not converged'}: {shown}>"


def _flat(values: Array) -> Array:
    """(m,) for one output."""
    return np.asarray(values[:, 0] if values.shape[1] == 1 else values)
