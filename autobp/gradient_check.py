"""check_grad: a gradient against differences of the function itself, and why they differ where they do."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autobp.by_hand import BY_HAND
from autobp.chain import topological_order
from autobp.differences import EPSILON, RESOLVED, Estimate, complex_step, differences, rounding_of
from autobp.engine import Value
from autobp.functional import grad
from autobp.registry import Operation, evaluate, partials_at
from autobp.state import watch_reads
from autobp.structures import flatten

__all__ = ["Component", "GradientCheck", "check_grad"]

Verdict = Literal["agrees", "off", "cannot tell"]


@dataclass(frozen=True)
class Component:
    """One component of a checked gradient: true where it agrees.

    Attributes:
        name: where in the argument it stands, such as ``x[0][1]``.
        gradient: the gradient that was checked.
        expected: the derivative from the function's values.
        uncertainty: an estimate of the error of ``expected``.
        method: "complex step" or "differences".
        verdict: "agrees"; "off", where the function's values say something else; "cannot tell", where
            what they say is too rough, or depends on the way in which they are asked.
        reason: where they do not agree, the likely reason.
    """

    name: str
    gradient: float
    expected: float
    uncertainty: float
    method: str
    verdict: Verdict
    reason: str

    @property
    def ok(self) -> bool:
        """Whether the two agree."""
        return self.verdict == "agrees"

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        line = (
            f"{self.name}: gradient {self.gradient:.10g}, {self.method} {self.expected:.10g} "
            f"± {self.uncertainty:.1g}"
        )
        if self.ok:
            return line
        if self.verdict == "off":
            return f"{line}: off by {abs(self.gradient - self.expected):.3g}\n    {self.reason}"
        return f"{line}: cannot tell\n    {self.reason}"


@dataclass(frozen=True)
class GradientCheck:
    """What :func:`check_grad` found, component by component. It is true where all of them agree."""

    components: tuple[Component, ...]

    @property
    def ok(self) -> bool:
        return all(component.ok for component in self.components)

    @property
    def wrong(self) -> tuple[Component, ...]:
        """The components that are off."""
        return tuple([component for component in self.components if component.verdict == "off"])

    @property
    def unclear(self) -> tuple[Component, ...]:
        """The components of which it cannot tell whether they are right."""
        return tuple([component for component in self.components if component.verdict == "cannot tell"])

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        n = len(self.components)
        if self.ok:
            return f"all {n} components of the gradient agree" if n != 1 else f"agrees: {self.components[0]}"
        heads = []
        if self.wrong:
            heads.append(f"{len(self.wrong)} of {n} components of the gradient are off")
        if self.unclear:
            heads.append(f"of {len(self.unclear)} of {n} components it cannot tell")
        return "\n".join(["; ".join(heads), *map(str, self.wrong), *map(str, self.unclear)])


def check_grad(
    f: Callable[[Any], Any], x: Any, gradient: Any = None, *, rtol: float = 1e-6, atol: float | None = None
) -> GradientCheck:
    """Compare the gradient of f at x with what the values of f near x say.

    Central differences are extrapolated over a ladder of steps, and the step with the smallest error estimate
    is used (after Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", 1982). A step counts only where
    the slopes to the left and to the right draw near each other, and by more than rounding, so that the steps
    find the scale of the function by themselves. Where every operation in the graph is analytic, the complex
    step (Squire and Trapp, "Using complex variables to estimate derivatives of real functions", 1998) on the
    recorded graph sharpens the result. Where the steps contradict one another, or the complex step, or
    leave the derivative open, the verdict is "cannot tell".

    Args:
        f: a function of one argument that returns one Value.
        x: the argument: a number, or an array, list, tuple or dict of numbers. Values count as their numbers.
        gradient: the gradient to check, in the structure of x, such as one derived by hand; by default,
            the one that ``autobp.grad(f)(x)`` gives.
        rtol: how far the two may differ, relative to the larger.
        atol: how far they may differ beyond that, and beyond the error of the differences; by default 1e-9
            of the steepest slope between x and what is near it.

    Returns:
        A report: ``bool(report)`` or ``report.ok`` tells whether all is well, ``str(report)`` which component
        is off or unclear, by how much, and the likely reason.

    Raises what f raises at x itself; TypeError and ValueError where f or x are not of this form.
    """
    scalars, structure = flatten(x, "x")
    point = [s.data if isinstance(s, Value) else float(s) for s in scalars]

    def record(numbers: list[float]) -> tuple[Value, list[Value]]:
        leaves = [Value(number) for number in numbers]
        y = f(structure.build(iter(leaves)))
        if isinstance(y, np.ndarray) and y.ndim == 0:
            y = y.item()
        return (y if isinstance(y, Value) else Value(y)), leaves

    if gradient is None:
        record(point)  # what f raises comes from here
        claimed, _ = flatten(grad(f)(structure.build(iter(point))), "the gradient")
    else:
        claimed, given = flatten(gradient, "the gradient")
        if given.describe() != structure.describe():
            raise ValueError(f"the gradient has the structure {given.describe()}, x {structure.describe()}")
    numbers = [c.data if isinstance(c, Value) else float(c) for c in claimed]
    root, leaves = record(point)
    noise = rounding_of(root)
    components = []
    for i, name in enumerate(structure.names("x")):
        place = _Place(record, point, i, root, leaves[i], noise)
        components.append(_component(name, place, numbers[i], rtol, atol))
    return GradientCheck(tuple(components))


@dataclass(frozen=True)
class _Place:
    """A point, the argument that is moved there, and the graph that was recorded of it."""

    record: Callable[[list[float]], tuple[Value, list[Value]]]
    point: list[float]
    i: int
    root: Value
    leaf: Value
    noise: float

    @property
    def x(self) -> float:
        return self.point[self.i]

    def along(self, t: float) -> float:
        """f where the argument is t; NaN where it is not defined."""
        try:
            return self.record([*self.point[: self.i], t, *self.point[self.i + 1 :]])[0].data
        except (ValueError, ArithmeticError):
            return math.nan


def _component(name: str, place: _Place, claimed: float, rtol: float, atol: float | None) -> Component:
    y, again = place.root.data, place.along(place.x)
    if again != y and not (math.isnan(again) and math.isnan(y)):
        reason = f"f is not the same function at each call: it gave {y!r}, then {again!r} at this point"
        return Component(name, claimed, math.nan, math.inf, "differences", "cannot tell", reason)
    sharper = complex_step(place.root, place.leaf)
    found = differences(place.along, place.x, y, place.noise, sharper)
    best = found.best
    tolerance = 1e-9 * found.steepest_within(16.0 * best.step) if atol is None else atol
    method, expected, uncertainty = "differences", best.slope, best.error
    contradicted = found.contradictory
    # how uncertain a derivative near 0 may be, where there is no other measure
    floor = max(tolerance, 1e-6 * found.steepest_within(math.inf), 1e-9 * min(1.0, abs(y)))
    if sharper is not None:
        bound = 10.0 * best.error + rtol * abs(best.slope)
        near = abs(sharper - best.slope) <= bound and best.error <= 1e-2 * abs(sharper) + floor
        if near or found.confirm_nearer(sharper):
            method, expected, uncertainty = "complex step", sharper, 10.0 * EPSILON * abs(sharper)
            contradicted = False
        elif abs(sharper - best.slope) > bound + tolerance:
            contradicted = True
    larger = max(abs(claimed), abs(expected))
    # differences that hardly resolve the derivative must not let anything pass
    resolved = uncertainty <= max(RESOLVED * larger, floor)
    # the gradient's own rounding, in the measure of a straight line through 0
    rounding = 4.0 * EPSILON * abs(y / place.x) if place.x != 0.0 else 0.0
    near = abs(claimed - expected) <= rtol * larger + tolerance + rounding + 10.0 * uncertainty
    agrees = (resolved and near and not contradicted) or (
        sharper is None and found.is_symmetric(claimed, rtol, tolerance, floor)
    )
    if agrees or (near and claimed == 0.0 and _is_constant(place)):
        return Component(name, claimed, expected, uncertainty, method, "agrees", "")
    decided, reason = _reason(place, claimed, best, resolved, contradicted)
    off = decided if decided is not None else resolved and not contradicted
    return Component(
        name, claimed, expected, uncertainty, method, "off" if off and not near else "cannot tell", reason
    )


# ---------------------------------------------------------------------------------------------- the reason


def _reason(
    place: _Place, gradient: float, best: Estimate, resolved: bool, contradicted: bool
) -> tuple[bool | None, str]:
    """Whether the reason decides that the gradient is off or that nobody can tell, and the likely reason."""
    y, x = place.root.data, place.x
    if not math.isfinite(y):
        return False, f"f(x) is {y!r}, and has no derivative"
    reached = _reached(place.root, place.leaf)
    if not math.isfinite(gradient):
        return resolved, next(_non_finite(reached), f"the gradient is {gradient!r}")
    for node in reached:
        wrong = _wrong_rule(node)
        if wrong:
            return True, wrong
    h = min(best.step, 1e-4 * max(1.0, abs(x))) if math.isfinite(best.step) else 1e-4 * max(1.0, abs(x))
    irregular = "" if resolved else _irregular(place, h)
    if irregular:
        return False, irregular
    if any(node.operation is not None and node.operation.name == "stop_gradient" for node in reached):
        reason = "the graph holds stop_gradient (detach): differences move what the gradient holds constant"
        return True, reason
    if any(node.operation is BY_HAND for node in reached):
        return True, "the graph holds a node made by hand, whose local derivatives or _backward are its own"
    hidden = _hidden_reads(place.record, place.point)
    if hidden:
        return True, f"f uses {hidden}, through which no derivative passes"
    if not resolved:
        reason = f"lost precision: f = {y:.6g} is so large, or so rough, that differences drown in rounding"
        return False, reason
    if contradicted:
        return False, "steps of different lengths, or the complex step, say different things of f here"
    reason = "the gradient that was given is wrong, or f depends on x in a way that its graph does not show"
    return None, reason


def _irregular(place: _Place, h: float) -> str:
    """The edge, the jump or the kink that shows within a step; "" where none does."""
    x, y, along = place.x, place.root.data, place.along
    left = (3.0 * y - 4.0 * along(x - h) + along(x - 2.0 * h)) / (2.0 * h)
    right = (-3.0 * y + 4.0 * along(x + h) - along(x + 2.0 * h)) / (2.0 * h)
    if math.isnan(left) or math.isnan(right):
        side = "left" if math.isnan(left) else "right"
        return f"x is at the edge of where f is defined: a step of {h:g} to its {side} leaves it"
    if abs(left - right) <= 1e-5 * max(abs(left), abs(right)) + 100.0 * (EPSILON * abs(y) + place.noise) / h:
        return ""
    nearest = 1e-5 * h
    size = abs(along(x + nearest) - along(x - nearest))
    if size > 1e-2 * abs(along(x + h) - along(x - h)) and size > 1e-6 * abs(y):
        return f"a jump: f changes by {size:.3g} within a step of {nearest:.2g}"
    slopes = f"the slope is {left:.6g} on its left, {right:.6g} on its right"
    return f"a kink at or within {h:g} of this point: {slopes}"


def _reached(root: Value, x: Value) -> list[Value]:
    """The computed nodes that depend on x, in topological order."""
    order = topological_order(root)
    depends = {id(x)}
    found = []
    for node in order:
        if any(id(parent) in depends for parent in node.parents):
            depends.add(id(node))
            found.append(node)
    return found


def _is_constant(place: _Place) -> bool:
    """Whether some operation on every way from x to f has values that do not change: relu of -1, floor.

    So f's derivative is 0, however large f is and however much of a change rounding would drown.
    """
    moved = {id(place.leaf)}
    for node in _reached(place.root, place.leaf):
        operation, operands = node.operation, [parent.data for parent in node.parents]
        if operation is None or operation is BY_HAND:
            return False
        for k, parent in enumerate(node.parents):
            if id(parent) in moved and id(node) not in moved:
                along = _towards(operation, operands, k, node.constants)
                slopes = [e.slope for e in differences(along, operands[k], node.data, 0.0).estimates[-4:]]
                if not slopes or any(slope != 0.0 for slope in slopes):
                    moved.add(id(node))
    return id(place.root) not in moved


def _non_finite(nodes: list[Value]) -> Iterator[str]:
    for node in nodes:
        for parent, partial in zip(node.parents, node.partials, strict=False):
            if not math.isfinite(partial):
                name = node.operation.name if node.operation is not None else ""
                shown = ", ".join(f"{p.data:.6g}" for p in node.parents)
                yield f"{name}({shown}) has the local derivative {partial} towards {parent.data:.6g}"


def _wrong_rule(node: Value) -> str:
    """What is wrong with the local derivatives of a node's operation at this point; "" if nothing shows."""
    operation = node.operation
    if operation is None or operation is BY_HAND or operation.selects:
        return ""
    operands = [parent.data for parent in node.parents]
    partials = partials_at(operation, node.data, *operands, *node.constants)
    if len(partials) != len(operands):
        return f"operation {operation.name} has {len(operands)} operands and {len(partials)} partials"
    for k, partial in enumerate(partials):
        along = _towards(operation, operands, k, node.constants)
        best = differences(along, operands[k], node.data, 0.0).best
        expected = best.slope
        # at a kink the error is as large as the derivative
        if abs(partial - expected) > 1e-4 * max(abs(partial), abs(expected)) + 100.0 * best.error:
            shown = ", ".join(f"{x:.6g}" for x in operands)
            return (
                f"the rule of operation {operation.name}: at ({shown}) its local derivative towards operand "
                f"{k + 1} is {partial:.8g}, and its values say {expected:.8g}"
            )
    return ""


def _towards(
    operation: Operation, operands: list[float], k: int, constants: tuple[float, ...]
) -> Callable[[float], float]:
    """The operation as a function of its k-th operand."""

    def along(t: float) -> float:
        return evaluate(operation, *operands[:k], t, *operands[k + 1 :], *constants)

    return along


def _hidden_reads(record: Callable[[list[float]], tuple[Value, list[Value]]], point: list[float]) -> str:
    """How f reads the numbers in Values beside its graph; "" if it does not."""
    seen: list[str] = []
    # whatever f raises while it is watched, what it read before is seen
    with watch_reads(lambda value, what: seen.append(what)), contextlib.suppress(Exception):
        record(point)
    return ", ".join(sorted(set(seen)))
