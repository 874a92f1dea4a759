"""fit_model: from a scalar model and data to its parameters and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autobp.arguments import unknown
from autobp.fitting.densities import DENSITIES
from autobp.fitting.losses import LOSSES
from autobp.fitting.model import CompiledLikelihood, CompiledModel
from autobp.fitting.needed import scipy
from autobp.fitting.objectives import LeastSquares, Likelihood, Objective
from autobp.fitting.observations import NanPolicy, observations
from autobp.fitting.parameters import Parameter, layout
from autobp.fitting.result import ModelFit
from autobp.fitting.solving import solve


def fit_model(
    model: Callable[..., Any],
    X: Any,
    y: ArrayLike,
    parameters: Mapping[str, float | ArrayLike | Parameter],
    *,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    weights: ArrayLike | None = None,
    loss: str = "linear",
    f_scale: float = 1.0,
    likelihood: str | Callable[[Any, Any], Any] | None = None,
    groups: Sequence[Any] | None = None,
    nan_policy: NanPolicy = "raise",
    max_evaluations: int = 2000,
) -> ModelFit:
    """Fit a scalar model to data, by least squares or by a likelihood, with the errors of its parameters.

    Args:
        model: ``model(p, x)`` of one row, in scalar operations: ``p.rate`` is a parameter, x a number or a
            list as a row of X is; it gives a number, or a list of q of them.
        X: (m,) or (m, k), or a tuple of such arrays for a model of several arguments, ``model(p, x1, x2)``.
        y: what was measured, (m,), or (m, q).
        parameters: by name a start, or a :class:`Parameter` with bounds, fixed, or not shared among groups.
            A list of numbers is a parameter that is a list.
        sigma: standard deviations of y, one number, (m,) or (m, q), or their covariance (m, m).
        absolute_sigma: whether sigma is known; if not, it says how rows compare, and its size is estimated
            from the residuals, as ``scipy.optimize.curve_fit`` does.
        weights: instead of sigma, 1/sigma².
        loss: "linear" for squares; "soft_l1", "huber", "cauchy" or "arctan" let residuals beyond ``f_scale``
            count for less.
        f_scale: from where on, in units of sigma.
        likelihood: "poisson" for counts whose mean the model gives, "bernoulli" for 0 and 1 whose probability
            of 1 it gives, or a function ``log_density(output, y)`` of one row in scalar operations.
        groups: a label for each row; parameters that are not shared have a value for each.
        nan_policy: "raise", or "omit" to leave out rows that hold NaN.
        max_evaluations: of the model, for each way of searching that is tried.

    Returns:
        a :class:`~autobp.fitting.ModelFit`: values, errors, covariance, bands, profiles; ``str`` is a table.
        Where the search did not arrive, a parameter is at its bound or a direction is flat, it says so.

    Raises:
        TypeError, ValueError: what was given does not fit, or the model is not finite at the start.
        ImportError: SciPy is missing.
        what ``autobp.compile`` raises, and the model itself.
    """
    scipy("optimize")
    _check(loss, f_scale, likelihood, sigma, weights)
    data, labels = observations(X, y, sigma, weights, groups, nan_policy)
    places = layout(parameters, labels)
    names = ["x"] if len(data.arguments) == 1 else [f"x{i + 1}" for i in range(len(data.arguments))]
    compiled = CompiledModel(model, places, names)
    objective: Objective
    if likelihood is None:
        objective = LeastSquares(compiled, data, loss, float(f_scale), absolute_sigma)
    else:
        density = likelihood
        if isinstance(density, str):
            _check_measured(density, data.y)
            density = DENSITIES[density].log_density
        objective = Likelihood(CompiledLikelihood(model, density, places, names), data)
    _check_start(compiled, objective, places.start)
    solution = solve(objective, places, places.start, ~places.fixed, max_evaluations)
    kind = (
        "least squares" if likelihood is None else likelihood if isinstance(likelihood, str) else "likelihood"
    )
    return ModelFit(kind, places, compiled, objective, solution, max_evaluations)


def _check(
    loss: str, f_scale: float, likelihood: object, sigma: ArrayLike | None, weights: ArrayLike | None
) -> None:
    if loss not in LOSSES:
        raise ValueError(unknown("loss", loss, LOSSES))
    if not f_scale > 0.0:
        raise ValueError(f"f_scale must be positive; got {f_scale}")
    if isinstance(likelihood, str) and likelihood not in DENSITIES:
        raise ValueError(unknown("likelihood", likelihood, DENSITIES, more=", or a function of (output, y)"))
    if likelihood is not None and (sigma is not None or weights is not None or loss != "linear"):
        raise ValueError(
            "sigma, weights and loss are for least squares; a likelihood says itself what rows count"
        )


def _check_measured(likelihood: str, y: Any) -> None:
    allowed = DENSITIES[likelihood].allows(y)
    if not allowed.all():
        row, k = np.argwhere(~allowed)[0]
        measured = DENSITIES[likelihood].measured
        raise ValueError(f"{likelihood}: measurements must be {measured}; row {row} has {y[row, k]:g}")


def _check_start(model: CompiledModel, objective: Objective, start: Any) -> None:
    value = model.value(start, objective.data.rows)
    if value.shape != objective.data.y.shape:
        raise ValueError(
            f"the model gives {value.shape[1]} numbers for a row, and y has {objective.data.y.shape[1]}"
        )
    if not np.isfinite(value).all():
        row = int(np.argwhere(~np.isfinite(value))[0, 0])
        raise ValueError(f"at the start the model gives {value[row]} for row {row}; choose another start")
    if not np.isfinite(objective.deviance(start)):
        raise ValueError("at the start the likelihood is 0 or not finite; choose another start")
