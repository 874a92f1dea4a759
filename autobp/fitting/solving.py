"""SciPy's search for the parameters, and whether it has arrived."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.fitting.needed import scipy
from autobp.fitting.objectives import LeastSquares, Likelihood, Objective
from autobp.fitting.parameters import Layout

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PRECISION = 1e-15  # what SciPy is asked for: as near as rounding lets it
_ARRIVED = 1e-3  # standard errors from the optimum: less than anyone can see in a result


@dataclass(frozen=True)
class Solution:
    """Where a search ended.

    Attributes:
        theta: all n parameters.
        at_bound: which of them stand at a bound that they are pressed against.
        converged: whether theta is within a thousandth of a standard error of an optimum.
        message: why, in words.
        evaluations: of the model.
    """

    theta: Array
    at_bound: Mask
    converged: bool
    message: str
    evaluations: int


def solve(objective: Objective, parameters: Layout, start: Array, free: Mask, limit: int) -> Solution:
    """Search from ``start`` with the parameters in ``free``; the others stay.

    What a search leaves close to a bound is set on it where that is no worse, and the rest is searched again.

    Args:
        limit: of evaluations of the model, for each of SciPy's methods.
    """
    theta, count = _search(objective, parameters, start, free, limit)
    at_bound = np.zeros(len(theta), dtype=bool)
    pressed, snapped = _pressed(objective, parameters, theta, free)
    if pressed.any():
        moving = free & ~pressed
        again, more = _search(objective, parameters, snapped, moving, limit) if moving.any() else (snapped, 1)
        count += more
        slack = 1e-9 * abs(objective.deviance(theta))
        if objective.deviance(again) <= objective.deviance(theta) + slack:
            theta, at_bound = again, pressed
    moving = free & ~at_bound
    found = Solution(theta, at_bound, False, "", count)
    if not math.isfinite(objective.deviance(theta)):
        return replace(found, message="the model is not finite where the search ended")
    if not moving.any():
        return replace(found, converged=True, message="every parameter is at a bound")
    there = objective.assess(theta, moving, parameters.names)
    if not there.is_minimum:
        return replace(found, message="where the search ended a direction leads on: a saddle, no optimum")
    if _leads_down(objective, parameters, theta, there.flat_steps):
        return replace(
            found, message="the slope is 0 where the search ended, but a direction leads on: start elsewhere"
        )
    if math.isinf(there.distance):
        return replace(found, message="the derivatives are not finite where the search ended")
    if not there.distance < _ARRIVED:
        return replace(
            found, message=f"the search ended {there.distance:.2g} standard errors from where the slope is 0"
        )
    return replace(
        found, converged=True, message=f"within {there.distance:.1g} standard errors of the optimum"
    )


def _leads_down(objective: Objective, parameters: Layout, theta: Array, flat: Array) -> bool:
    """Whether a step along a mixture of flat directions makes the fit better: flat at this point alone."""
    if len(flat) == 0:
        return False
    best = objective.deviance(theta)
    size = np.maximum(np.abs(theta), 1.0)
    for mixture in np.random.default_rng(0).normal(size=(16, len(flat))):
        step = mixture @ flat
        step *= 1e-2 / np.abs(step / size).max()
        for side in (step, -step):
            trial = np.clip(theta + side, parameters.lower, parameters.upper)
            if objective.deviance(trial) < best * (1.0 - 1e-9) - 1e-9 * abs(best) * (best < 0.0):
                return True
    return False


def _search(
    objective: Objective, parameters: Layout, start: Array, free: Mask, limit: int
) -> tuple[Array, int]:
    if isinstance(objective, LeastSquares):
        return _least_squares(objective, parameters, start, free, limit)
    assert isinstance(objective, Likelihood)
    return _largest_likelihood(objective, parameters, start, free, limit)


def _pressed(objective: Objective, parameters: Layout, theta: Array, free: Mask) -> tuple[Mask, Array]:
    """Which parameters lie at or next to a bound, with a slope that leads out; and theta with them on it."""
    gradient = objective.assess(theta, free, parameters.names).gradient
    snapped = np.array(theta)
    pressed = np.zeros(len(theta), dtype=bool)
    for bound, outward in ((parameters.lower, gradient > 0.0), (parameters.upper, gradient < 0.0)):
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(bound), np.abs(parameters.start - bound))
            near = free & np.isfinite(bound) & (np.abs(theta - bound) <= 1e-4 * size) & outward
        pressed |= near
        snapped[near] = bound[near]
    return pressed, snapped


# ------------------------------------------------------------------------------------- least squares


def _least_squares(
    objective: LeastSquares, parameters: Layout, start: Array, free: Mask, limit: int
) -> tuple[Array, int]:
    """The better of two of SciPy's methods, of which the second is tried where the first does not arrive."""
    bounded = np.isfinite(parameters.lower[free]).any() or np.isfinite(parameters.upper[free]).any()
    simple = not bounded and objective.loss == "linear" and objective.data.y.size >= int(free.sum())
    best, count = start, 0
    for method in ("lm", "trf") if simple else ("trf", "dogbox"):
        theta, more = _by_method(objective, parameters, start, free, method, limit)
        count += more
        if objective.deviance(theta) < objective.deviance(best):
            best = theta
        there = objective.assess(best, free, parameters.names)
        if there.distance < _ARRIVED and math.isfinite(objective.deviance(best)):
            break
    return (_polished(objective, parameters, best, free) if objective.loss == "linear" else best), count


def _polished(objective: LeastSquares, parameters: Layout, theta: Array, free: Mask) -> Array:
    """Steps of Gauss and Newton while the slope becomes less: a sum of squares is flat where it ends.

    SciPy's methods stop where the sum no longer falls, and the parameters are known to half its digits then.
    """
    inside = free & (theta > parameters.lower) & (theta < parameters.upper)
    if not inside.any() or not math.isfinite(objective.deviance(theta)):
        return theta
    step, slope = objective.newton_step(theta, inside)
    for _ in range(30):
        trial = np.clip(theta + step, parameters.lower, parameters.upper)
        if not objective.deviance(trial) <= objective.deviance(theta) * (1.0 + 1e-10):
            break
        next_step, next_slope = objective.newton_step(trial, inside)
        if not next_slope < 0.9 * slope:
            break
        theta, step, slope = trial, next_step, next_slope
    return theta


def _by_method(
    objective: LeastSquares, parameters: Layout, start: Array, free: Mask, method: str, limit: int
) -> tuple[Array, int]:
    def whole(t: Array) -> Array:
        theta = np.array(start)
        theta[free] = t
        return theta

    bounds = (parameters.lower[free], parameters.upper[free]) if method != "lm" else (-np.inf, np.inf)
    options: dict[str, Any] = {"loss": objective.loss, "f_scale": objective.f_scale} if method != "lm" else {}
    x, count = start[free], 0
    for _ in range(3):  # a search that begins anew has forgotten how short its steps had become
        with np.errstate(all="ignore"):
            found = scipy("optimize").least_squares(
                lambda t: objective.bounded_residuals(whole(t)),
                x,
                jac=lambda t: np.nan_to_num(objective.jacobian(whole(t))[:, free], posinf=0.0, neginf=0.0),
                method=method, bounds=bounds, x_scale="jac",
                ftol=_PRECISION, xtol=_PRECISION, gtol=_PRECISION, max_nfev=limit, **options,
            )  # fmt: skip
        count += int(found.nfev)
        moved = np.abs(found.x - x) > 1e-12 * np.abs(found.x)
        x = found.x
        if not moved.any():
            break
    return whole(x), count


# ---------------------------------------------------------------------------------------- likelihoods


def _largest_likelihood(
    objective: Likelihood, parameters: Layout, start: Array, free: Mask, limit: int
) -> tuple[Array, int]:
    """SciPy's trust region with the Hessian, or its method for bounds; then Newton's steps."""
    count = 0
    # parameters of very different size are measured by how fast the likelihood bends along each
    size = np.sqrt(np.abs(np.diag(objective.hessian(start))))[free]
    size = np.where(np.isfinite(size) & (size > 0.0), size, 1.0)

    def whole(t: Array) -> Array:
        theta = np.array(start)
        theta[free] = t / size
        return theta

    def value(t: Array) -> tuple[float, Array]:
        nonlocal count
        count += 1
        cost, gradient = objective.gradient(whole(t))
        return cost, gradient[free] / size

    def curvature(t: Array) -> Array:
        return np.asarray(
            np.nan_to_num(objective.hessian(whole(t))[np.ix_(free, free)] / np.outer(size, size))
        )

    lower, upper = parameters.lower[free], parameters.upper[free]
    options: dict[str, Any] = {"maxiter": limit}
    with np.errstate(all="ignore"):
        if np.isfinite(lower).any() or np.isfinite(upper).any():
            bounds = list(zip(lower * size, upper * size, strict=True))
            options.update(ftol=_PRECISION, gtol=1e-10)
            found = scipy("optimize").minimize(
                value, start[free] * size, jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
        else:
            options["gtol"] = 1e-8
            found = scipy("optimize").minimize(
                value, start[free] * size, jac=True, hess=curvature, method="trust-exact", options=options
            )
    return _newton(objective, parameters, whole(found.x), free), count


def _newton(objective: Likelihood, parameters: Layout, theta: Array, free: Mask) -> Array:
    """Newton's steps along what is known, while each makes the likelihood larger or the slope smaller."""
    inside = free & (theta > parameters.lower) & (theta < parameters.upper)
    for _ in range(20):
        if not inside.any():
            return theta
        cost, gradient = objective.gradient(theta)
        bend = objective.hessian(theta)[np.ix_(inside, inside)]
        if not np.isfinite(bend).all():
            return theta
        step = np.zeros(len(theta))
        scale = np.sqrt(np.abs(np.diag(bend)))
        scale[scale == 0.0] = 1.0
        step[inside] = (
            -np.linalg.lstsq(bend / np.outer(scale, scale), gradient[inside] / scale, rcond=1e-12)[0] / scale
        )
        trial = np.clip(theta + step, parameters.lower, parameters.upper)
        new, slope = objective.gradient(trial)
        flatter = np.abs(slope[inside] / scale).max() < 0.5 * np.abs(gradient[inside] / scale).max()
        if not (new < cost or (flatter and new <= cost + 1e-12 * abs(cost))):
            return theta
        theta = trial
    return theta
