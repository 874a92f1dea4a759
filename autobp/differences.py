"""The derivative of a function from its values: differences over a ladder of steps, and the complex step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.chain import gradients, topological_order
from autobp.engine import Value
from autobp.registry import NUMPY

EPSILON = float(np.finfo(np.float64).eps)
RESOLVED = 1e-3  # differences whose error is a larger part of the derivative say nothing

_COMPLEX_STEP = 1e-20  # of x: no difference is taken, so nothing cancels however small it is
_STEPS = 44  # each a quarter of the one before: from 0.1 to 1e-27


@dataclass(frozen=True)
class Estimate:
    """A slope from differences over a step; how far off it may be by itself, and by what the sides say."""

    slope: float
    central_error: float
    side_error: float
    secant: float  # the steeper of the mean slopes to x; 0 at a jump, where it grows with every step
    step: float

    @property
    def error(self) -> float:
        return self.central_error + self.side_error

    def confirms(self, derivative: float) -> bool:
        """Whether it says the same, and is sure of a thousandth."""
        return abs(self.slope - derivative) <= 10.0 * self.error <= 1e-3 * abs(derivative)

    @property
    def relative(self) -> float:
        """The error as a part of the slope; infinite where that is 0."""
        return self.error / abs(self.slope) if self.slope != 0.0 else math.inf

    @property
    def resolved(self) -> bool:
        return self.relative <= RESOLVED


NOTHING = Estimate(math.nan, math.inf, math.inf, 0.0, math.nan)


@dataclass(frozen=True)
class Differences:
    """What the steps of a ladder say of a slope."""

    estimates: tuple[Estimate, ...]

    @property
    def best(self) -> Estimate:
        """The one with the least error: as a part of the slope, where some resolve it."""
        resolved = [e for e in self.estimates if e.resolved]
        if resolved:
            return min(resolved, key=lambda e: e.relative)
        return min(self.estimates, key=lambda e: e.error, default=NOTHING)

    @property
    def contradictory(self) -> bool:
        """Whether two steps in a row resolve another slope: f has details that the longer ones jump over."""
        best = self.best
        apart = 1e-2 * abs(best.slope) + 10.0 * best.error
        as_good = max(1e-6, 1e3 * best.relative)
        other = [
            e.resolved and e.relative <= as_good and abs(e.slope - best.slope) > apart + 10.0 * e.error
            for e in self.estimates
        ]
        return any(
            first and second and abs(e.slope - d.slope) <= 1e-2 * abs(e.slope)
            for first, second, d, e in zip(other, other[1:], self.estimates, self.estimates[1:], strict=False)
        )

    def confirm_nearer(self, derivative: float) -> bool:
        """Whether a step confirms a derivative that is shorter than the best one's, which jumps over it."""
        return any(e.confirms(derivative) for e in self.estimates if e.step < self.best.step)

    def steepest_within(self, step: float) -> float:
        """The steepest mean slope between x and a point that is no further away."""
        return max([e.secant for e in self.estimates if e.step <= step], default=0.0)

    def is_symmetric(self, claimed: float, rtol: float, tolerance: float, floor: float) -> bool:
        """Whether every central difference confirms what is claimed, as at the tip of abs."""
        best = min([e.central_error for e in self.estimates], default=math.inf)
        return best <= max(RESOLVED * abs(claimed), floor) and all(
            abs(claimed - e.slope) <= rtol * abs(claimed) + tolerance + 10.0 * e.central_error
            for e in self.estimates
        )


def differences(
    f: Callable[[float], float], x: float, y: float, noise: float, sharper: float | None = None
) -> Differences:
    """f'(x) from differences over a ladder of steps, from a tenth of the larger of 1 and |x| down.

    The central difference and the second one, (f(x+h) - 2f(x) + f(x-h))/h², are extrapolated to h = 0. What
    they change by from step to step, the second one times h, and rounding are the error: at a kink, or where
    the step is longer than the function's own scale, the slopes of the two sides differ, and the second
    difference does not settle. The ladder ends where rounding drowns the derivative, or where a step
    confirms ``sharper``.

    Args:
        y: f(x).
        noise: what rounding does to y.
    """
    h = 0.1 * max(1.0, abs(x))
    estimates: list[Estimate] = []
    steepest = 0.0
    coarse = bend = before = bend_before = previous = math.nan
    for _ in range(_STEPS):
        if h < 16.0 * EPSILON * abs(x):
            break
        above, below = x + h, x - h
        f_above = f(above)
        f_below = f(below) if math.isfinite(f_above) else math.nan
        if not (math.isfinite(f_above) and math.isfinite(f_below)):
            # the edge of where f is defined may be much nearer than 1
            h = 0.1 * abs(x) if h > abs(x) > 0.0 else h / 4.0
            coarse = bend = before = bend_before = previous = math.nan
            continue
        right, left = (f_above - y) / (above - x), (y - f_below) / (x - below)
        central, second = (f_above - f_below) / (above - below), (right - left) / h
        slope, bent = (16.0 * central - coarse) / 15.0, (16.0 * second - bend) / 15.0
        rounding = (EPSILON * max(abs(f_above), abs(f_below), abs(y)) + noise) / h
        secant = max(abs(left), abs(right))
        shown = previous if secant <= 3.0 * previous and rounding <= 1e-3 * secant else 0.0
        steepest, previous = max(steepest, shown), secant
        estimate = Estimate(slope, abs(slope - before) + rounding, h * abs(bent - bend_before), shown, h)
        if math.isfinite(estimate.error):
            estimates.append(estimate)
            if sharper is not None and estimate.confirms(sharper):
                break
            least = min([e.relative for e in estimates if e.resolved], default=math.inf)
            if rounding > max(1e3 * least, 1e-12) * abs(slope) > 0.0 or rounding > steepest > 0.0:
                break
        coarse, bend, before, bend_before = central, second, slope, bent
        h /= 4.0
    return Differences(tuple(estimates))


def rounding_of(root: Value) -> float:
    """How far rounding moves a graph's result: half a unit in the last place of each node, by its adjoint."""
    nodes = topological_order(root)
    adjoints = gradients(root, nodes)
    terms = [
        abs(adjoint * node.data)
        for node, adjoint in zip(nodes, adjoints, strict=True)
        if node.operation is not None
    ]
    return 0.5 * EPSILON * sum([term for term in terms if math.isfinite(term)])


def complex_step(root: Value, x: Value) -> float | None:
    """∂root/∂x from the recorded graph on complex numbers; None where an operation is not analytic."""
    size = abs(x.data)
    h = size * _COMPLEX_STEP if size > 1e-80 else 1e-100
    data: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in topological_order(root):
            operation = node.operation
            if operation is None:
                data[id(node)] = np.complex128(complex(node.data, h if node is x else 0.0))
            elif not operation.analytic:
                return None
            else:
                try:
                    operands = [data[id(parent)] for parent in node.parents]
                    data[id(node)] = operation.value(NUMPY, *operands, *node.constants)
                except TypeError:  # erf, which NumPy does not have on complex numbers
                    return None
    step = float(np.imag(data[id(root)])) / h
    return step if math.isfinite(step) else None
