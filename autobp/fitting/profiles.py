"""Profiles: one parameter is moved, the others follow, and the fit becomes worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobp.fitting.needed import scipy
from autobp.fitting.objectives import Objective
from autobp.fitting.parameters import Layout
from autobp.fitting.solving import solve

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """How much worse the best fit is where a parameter has other values.

    After Bates and Watts, "Nonlinear Regression Analysis and Its Applications", 6.1.

    Attributes:
        name: the parameter's.
        values: where it was put, in order, (k,).
        deviations: for each the signed root of how much the deviance grew, in units of σ², (k,): a straight
            line of slope 1/error where the model is as good as linear.
        level: of the interval.
        lower, upper: its ends, where the deviation is the quantile of that level; infinite where none is
            found, or the parameter's own bound.
    """

    name: str
    values: Array
    deviations: Array
    level: float
    lower: float
    upper: float


def profile(
    objective: Objective,
    parameters: Layout,
    theta: Array,
    free: NDArray[np.bool_],
    i: int,
    error: float,
    variance: float,
    quantile: float,
    level: float,
    limit: int,
) -> Profile:
    """The profile of parameter i around the optimum theta, as far as the interval goes on both sides."""
    best = objective.deviance(theta)
    others = np.array(free)
    others[i] = False
    known: dict[float, float] = {float(theta[i]): 0.0}
    nearest = [np.array(theta)]

    def deviation(value: float) -> float:
        start = np.array(nearest[0])
        start[i] = value
        if others.any():
            start = solve(objective, parameters, start, others, limit).theta
        nearest[0] = start
        grown = (objective.deviance(start) - best) / variance
        if grown < -1e-4:
            raise ValueError(
                f"with {parameters.names[i]} at {value:.6g} the fit becomes better: what was found is a "
                "local optimum; fit again with a start there"
            )
        found = (
            math.copysign(math.sqrt(max(grown, 0.0)), value - theta[i]) if math.isfinite(grown) else math.nan
        )
        if math.isfinite(found):
            known[value] = found
        return found

    ends = []
    for side, bound in ((-1.0, parameters.lower[i]), (1.0, parameters.upper[i])):
        nearest[0] = np.array(theta)
        ends.append(_end(deviation, float(theta[i]), side * error * quantile, side * quantile, float(bound)))
    order = sorted(known)
    return Profile(parameters.names[i], np.array(order), np.array([known[x] for x in order]), level, *ends)


def _end(
    deviation: Callable[[float], float], centre: float, step: float, wanted: float, bound: float
) -> float:
    """Where the deviation is ``wanted``: bracketed by doubling steps, then found by Brent's method."""
    inner, outer = centre, centre + step
    for _ in range(12):
        outside = outer <= bound if step < 0.0 else outer >= bound
        outer = bound if outside else outer
        found = deviation(outer)
        if not math.isfinite(found):
            outer = 0.5 * (inner + outer)
            continue
        if abs(found) >= abs(wanted):
            root = scipy("optimize").brentq(
                lambda value: deviation(value) - wanted, inner, outer, xtol=1e-7 * abs(step), rtol=1e-12
            )
            return float(root)
        if outside:
            return bound
        inner, outer = outer, outer + 2.0 * (outer - centre)
    return math.copysign(math.inf, step)
