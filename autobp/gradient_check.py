"""check_grad: a gradient against differences of the function itself, and why they differ where they do."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.by_hand import BY_HAND
from autobp.chain import topological_order
from autobp.engine import Value
from autobp.functional import grad
from autobp.registry import NUMPY, Operation, evaluate, partials_at
from autobp.state import watch_reads
from autobp.structures import flatten

__all__ = ["Component", "GradientCheck", "check_grad"]

_EPSILON = float(np.finfo(np.float64).eps)
_COMPLEX_STEP = 1e-20  # no difference is taken, so nothing cancels however small it is


@dataclass(frozen=True)
class Component:
    """One component of a checked gradient: true where it agrees.

    Attributes:
        name: where in the argument it stands, such as ``x[0][1]``.
        gradient: the gradient that was checked.
        expected: the derivative from the function's values.
        uncertainty: an estimate of the error of ``expected``.
        method: "complex step" or "differences".
        ok: whether the two agree.
        reason: where they do not, the likely reason.
    """

    name: str
    gradient: float
    expected: float
    uncertainty: float
    method: str
    ok: bool
    reason: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        line = (
            f"{self.name}: gradient {self.gradient:.10g}, {self.method} {self.expected:.10g} "
            f"± {self.uncertainty:.1g}"
        )
        if self.ok:
            return line
        return f"{line}: off by {abs(self.gradient - self.expected):.3g}\n    {self.reason}"


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
        return tuple([component for component in self.components if not component.ok])

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        n = len(self.components)
        if self.ok:
            return f"all {n} components of the gradient agree" if n != 1 else f"agrees: {self.components[0]}"
        head = f"{len(self.wrong)} of {n} components of the gradient are off"
        return "\n".join([head, *map(str, self.wrong)])


def check_grad(
    f: Callable[[Any], Any], x: Any, gradient: Any = None, *, rtol: float = 1e-6, atol: float = 1e-9
) -> GradientCheck:
    """Compare the gradient of f at x with what the values of f near x say.

    Central differences are extrapolated over a ladder of steps, and the step with the smallest error estimate
    is used (after Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", 1982). Where every operation in
    the graph is analytic, the complex step (Squire and Trapp, "Using complex variables to estimate
    derivatives of real functions", 1998) on the recorded graph sharpens the result, if both agree.

    Args:
        f: a function of one argument that returns one Value.
        x: the argument: a number, or an array, list, tuple or dict of numbers. Values count as their numbers.
        gradient: the gradient to check, in the structure of x, such as one derived by hand; by default,
            the one that ``autobp.grad(f)(x)`` gives.
        rtol: how far the two may differ, relative to the larger.
        atol: how far they may differ beyond that, and beyond the error of the differences.

    Returns:
        A report: ``bool(report)`` or ``report.ok`` tells whether all is well, ``str(report)`` which component
        is off, by how much, and the likely reason.

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

    def value(numbers: list[float]) -> float:
        try:
            return record(numbers)[0].data
        except (ValueError, ArithmeticError):
            return math.nan

    root, leaves = record(point)
    if gradient is None:
        claimed, _ = flatten(grad(f)(structure.build(iter(point))), "the gradient")
    else:
        claimed, given = flatten(gradient, "the gradient")
        if given.describe() != structure.describe():
            raise ValueError(f"the gradient has the structure {given.describe()}, x {structure.describe()}")
    claimed = [c.data if isinstance(c, Value) else float(c) for c in claimed]
    components = []
    for i, name in enumerate(structure.names("x")):

        def along(t: float, i: int = i) -> float:
            return value([*point[:i], t, *point[i + 1 :]])

        method = "differences"
        expected, uncertainty = _difference(along, point[i])
        sharper = _complex_step(root, leaves[i])
        if (
            sharper is not None
            and uncertainty <= 1e-2 * abs(sharper) + atol
            and abs(sharper - expected) <= 10.0 * uncertainty + rtol * abs(expected)
        ):
            method, expected, uncertainty = "complex step", sharper, 10.0 * _EPSILON * abs(sharper)
        larger = max(abs(claimed[i]), abs(expected))
        # differences that hardly resolve the derivative must not let anything pass
        resolved = uncertainty <= max(1e-3 * larger, atol)
        ok = resolved and abs(claimed[i] - expected) <= rtol * larger + atol + 10.0 * uncertainty
        reason = "" if ok else _reason(record, along, point, i, claimed[i], expected, uncertainty, resolved)
        components.append(Component(name, claimed[i], expected, uncertainty, method, ok, reason))
    return GradientCheck(tuple(components))


def _difference(f: Callable[[float], float], x: float) -> tuple[float, float]:
    """f'(x) and an estimate of its error, from central differences over a ladder of steps."""
    best, error = _ladder(f, x, 0.1 * max(1.0, abs(x)))
    if math.isinf(error) and x != 0.0:  # the edge of where f is defined may be much nearer than 1
        best, error = _ladder(f, x, 0.1 * abs(x))
    return best, error


def _ladder(f: Callable[[float], float], x: float, h: float) -> tuple[float, float]:
    best, least = math.nan, math.inf
    coarse = extrapolated = math.nan
    for _ in range(12):
        above, below = f(x + h), f(x - h)
        fine = (above - below) / ((x + h) - (x - h))
        previous, extrapolated = extrapolated, (16.0 * fine - coarse) / 15.0
        error = abs(extrapolated - previous) + _EPSILON * max(abs(above), abs(below)) / h
        if error < least:
            best, least = extrapolated, error
        coarse = fine
        h /= 4.0
    return best, least


def _complex_step(root: Value, x: Value) -> float | None:
    """∂root/∂x from the recorded graph on complex numbers; None where an operation is not analytic."""
    data: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in topological_order(root):
            operation = node.operation
            if operation is None:
                data[id(node)] = np.complex128(complex(node.data, _COMPLEX_STEP if node is x else 0.0))
            elif not operation.analytic:
                return None
            else:
                try:
                    operands = [data[id(parent)] for parent in node.parents]
                    data[id(node)] = operation.value(NUMPY, *operands, *node.constants)
                except TypeError:  # erf, which NumPy does not have on complex numbers
                    return None
    step = float(np.imag(data[id(root)])) / _COMPLEX_STEP
    return step if math.isfinite(step) else None


# ---------------------------------------------------------------------------------------------- the reason


def _reason(
    record: Callable[[list[float]], tuple[Value, list[Value]]],
    along: Callable[[float], float],
    point: list[float],
    i: int,
    gradient: float,
    expected: float,
    uncertainty: float,
    resolved: bool,
) -> str:
    x = point[i]
    root, leaves = record(point)
    y = root.data
    again = along(x)
    if again != y and not (math.isnan(again) and math.isnan(y)):
        return f"f is not the same function at each call: it gave {y!r} and then {again!r} at the same point"
    if not math.isfinite(y):
        return f"f(x) is {y!r}, and has no derivative"
    reached = _reached(root, leaves[i])
    if not math.isfinite(gradient):
        return next(_non_finite(reached), f"the gradient is {gradient!r}")
    h = 1e-4 * max(1.0, abs(x))
    left = (3.0 * y - 4.0 * along(x - h) + along(x - 2.0 * h)) / (2.0 * h)
    right = (-3.0 * y + 4.0 * along(x + h) - along(x + 2.0 * h)) / (2.0 * h)
    if math.isnan(left) or math.isnan(right):
        side = "left" if math.isnan(left) else "right"
        return f"x is at the edge of where f is defined: a step of {h:g} to its {side} leaves it"
    noise = 1e-5 * max(abs(left), abs(right)) + 100.0 * _EPSILON * abs(y) / h
    for node in reached:
        wrong = _wrong_rule(node)
        if wrong:
            return wrong
    if abs(left - right) > noise:
        size = abs(along(x + 1e-9 * max(1.0, abs(x))) - along(x - 1e-9 * max(1.0, abs(x))))
        if size > 1e-6 * (1.0 + abs(y)):
            return f"a jump: f changes by {size:.3g} within a step of 1e-9"
        return (
            f"a kink at or within {h:g} of this point: the slope is {left:.6g} on its left, "
            f"{right:.6g} on its right"
        )
    hidden = _hidden_reads(record, point)
    stopped = [
        node for node in reached if node.operation is not None and node.operation.name == "stop_gradient"
    ]
    if stopped:
        return "the graph holds stop_gradient (detach): the differences move what the gradient holds constant"
    if any(node.operation is BY_HAND for node in reached):
        return "the graph holds a node made by hand, whose local derivatives or _backward are its own"
    if hidden:
        return f"f uses {hidden}, through which no derivative passes"
    if not resolved or abs(gradient - expected) <= 1e3 * _EPSILON * max(1.0, abs(y)) / h:
        return f"lost precision: f = {y:.6g} is so large, or so rough, that its differences drown in rounding"
    return "the gradient that was given is wrong, or f depends on x in a way that its graph does not show"


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
        expected, uncertainty = _difference(
            lambda t, k=k: _value(operation, [*operands[:k], t, *operands[k + 1 :]], node.constants),  # type: ignore[misc]
            operands[k],
        )
        if abs(partial - expected) > 1e-4 * max(abs(partial), abs(expected)) + 100.0 * uncertainty:
            if not _smooth(operation, operands, k, node.constants):
                continue
            shown = ", ".join(f"{x:.6g}" for x in operands)
            return (
                f"the rule of operation {operation.name}: at ({shown}) its local derivative towards operand "
                f"{k + 1} is {partial:.8g}, and its values say {expected:.8g}"
            )
    return ""


def _value(operation: Operation, operands: list[float], constants: tuple[float, ...]) -> float:
    return evaluate(operation, *operands, *constants)


def _smooth(operation: Operation, operands: list[float], k: int, constants: tuple[float, ...]) -> bool:
    """Whether the operation's one-sided slopes at this point are the same."""
    x = operands[k]
    h = 1e-4 * max(1.0, abs(x))

    def at(t: float) -> float:
        return _value(operation, [*operands[:k], t, *operands[k + 1 :]], constants)

    right, left = (at(x + h) - at(x)) / h, (at(x) - at(x - h)) / h
    return abs(right - left) <= 1e-2 * max(abs(right), abs(left)) + 1e-6


def _hidden_reads(record: Callable[[list[float]], tuple[Value, list[Value]]], point: list[float]) -> str:
    """How f reads the numbers in Values beside its graph; "" if it does not."""
    seen: list[str] = []
    # whatever f raises while it is watched, what it read before is seen
    with watch_reads(lambda value, what: seen.append(what)), contextlib.suppress(Exception):
        record(point)
    return ", ".join(sorted(set(seen)))
