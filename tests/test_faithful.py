"""Compiled programs keep what the user grouped: held against exact arithmetic, not against the eager engine.

The bar is a running error analysis of the computation as it is written: each operation adds half a unit in
the last place of its result, and passes on what its operands bring. A compiled value or derivative may be
four times that far from the exact one, however lucky the eager engine's roundings are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import autobp
from autobp import Value
from autobp.engine import topological_order

UNIT = 2.0**-53
SMALLEST = 5e-324
ALLOWED = 4.0


# ------------------------------------------------------------------------------------- two other arithmetics


class Exact:
    """A number and its derivatives by the weights, as fractions."""

    def __init__(self, value: Any, derivatives: Sequence[Any]) -> None:
        self.value = Fraction(value)
        self.derivatives = [Fraction(d) for d in derivatives]

    def _like(self, other: Any) -> Exact:
        return other if isinstance(other, Exact) else Exact(other, [0] * len(self.derivatives))

    def __add__(self, other: Any) -> Exact:
        other = self._like(other)
        both = zip(self.derivatives, other.derivatives, strict=True)
        return Exact(self.value + other.value, [d + e for d, e in both])

    def __mul__(self, other: Any) -> Exact:
        other = self._like(other)
        both = zip(self.derivatives, other.derivatives, strict=True)
        return Exact(self.value * other.value, [d * other.value + self.value * e for d, e in both])

    def __truediv__(self, other: float) -> Exact:
        return self * (1 / Fraction(other))

    def __neg__(self) -> Exact:
        return self * -1

    def __sub__(self, other: Any) -> Exact:
        return self + -self._like(other)

    def __rsub__(self, other: Any) -> Exact:
        return -self + other

    __radd__, __rmul__ = __add__, __mul__


class Running(NamedTuple):
    """A rounded number, and how far from the exact one it may be."""

    value: float
    error: float = 0.0

    def plus(self, other: Running) -> Running:
        value = self.value + other.value
        return Running(value, self.error + other.error + UNIT * abs(value))

    def times(self, other: Running) -> Running:
        value = self.value * other.value
        error = abs(self.value) * other.error + abs(other.value) * self.error + self.error * other.error
        return Running(value, error + UNIT * abs(value) + SMALLEST)

    def over(self, other: Running) -> Running:
        value = self.value / other.value
        error = self.error / abs(other.value)
        return Running(value, error + UNIT * abs(value) + SMALLEST)

    def minus(self) -> Running:
        return Running(-self.value, self.error)


def running(root: Value, weights: Sequence[Value]) -> list[Running]:
    """A value and its derivatives by the weights, as the eager engine computes them."""
    order = topological_order(root)
    numbers: dict[int, Running] = {}
    partials: dict[int, list[Running]] = {}
    one = Running(1.0)
    for node in order:
        operands = [numbers[id(x)] for x in node.parents]
        name = node.operation.name if node.operation else ""
        if name == "add":
            made, mine = operands[0].plus(operands[1]), [one, one]
        elif name == "subtract":
            made, mine = operands[0].plus(operands[1].minus()), [one, one.minus()]
        elif name == "multiply":
            made, mine = operands[0].times(operands[1]), operands[::-1]
        elif name == "divide":
            made, mine = operands[0].over(operands[1]), [one.over(operands[1]), Running(0.0)]
            assert not node.parents[1].parents
        elif name == "negative":
            made, mine = operands[0].minus(), [one.minus()]
        else:
            assert not name, name
            made, mine = Running(node.data), []
        assert made.value == node.data
        numbers[id(node)], partials[id(node)] = made, mine
    adjoints = {id(node): Running(0.0) for node in order}
    adjoints[id(root)] = one
    for node in reversed(order):
        for x, partial in zip(node.parents, partials[id(node)], strict=True):
            adjoints[id(x)] = adjoints[id(x)].plus(partial.times(adjoints[id(node)]))
    return [numbers[id(root)], *[adjoints.get(id(w), Running(0.0)) for w in weights]]


# ------------------------------------------------------------------------------------------- what users write


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b, and what its rounding lost (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def lost(a: Any, b: Any) -> Any:
    """What the rounding of a + b loses."""
    return two_sum(a, b)[1]


def kahan(*values: Any) -> Any:
    """A compensated sum."""
    total, carry = values[0], 0.0
    for x in values[1:]:
        y = x - carry
        t = total + y
        carry, total = (t - total) - y, t
    return total


def neumaier(*values: Any) -> Any:
    """A compensated sum that adds what it lost at the end."""
    total, errors = values[0], 0.0
    for x in values[1:]:
        total, error = two_sum(total, x)
        errors = errors + error
    return total + errors


def pairwise(*values: Any) -> Any:
    """A sum of the sums of both halves."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    return pairwise(*values[:half]) + pairwise(*values[half:])


def on_grid(x: Any) -> Any:
    """x rounded to a whole number."""
    return (x + 1.5 * 2.0**52) - 1.5 * 2.0**52


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (two_sum, lost, kahan, neumaier, pairwise, on_grid)
}


def loss_of(formula: str) -> Callable[[Any, Any], Any]:
    """A formula in w[i] and x[i] as a function of both."""
    made: Callable[[Any, Any], Any] = eval(f"lambda w, x: {formula}", dict(FUNCTIONS))
    return made


def errors(formula: str, weights: Sequence[float], rows: Sequence[Sequence[float]]) -> list[str]:
    """What is further from the exact mean and its derivatives than is allowed."""
    loss = loss_of(formula)
    w = [Value(v) for v in weights]
    n, m = 1 + len(w), len(rows)
    exact, bounds = [Fraction(0)] * n, [0.0] * n
    for row in rows:
        unit = [Exact(v, [i == j for j in range(len(w))]) for i, v in enumerate(weights)]
        result = loss(unit, [Exact(v, [0] * len(w)) for v in row])
        root = loss(w, [Value(v) for v in row])
        assume(isinstance(root, Value))
        own = running(root, w)
        assume(all(math.isfinite(x.value) and math.isfinite(x.error) for x in own))
        exact = [a + b for a, b in zip(exact, [result.value, *result.derivatives], strict=True)]
        # the rows are terms of one sum, in any order
        rounded = UNIT if m > 1 else 0.0
        bounds = [b + x.error + rounded * abs(x.value) for b, x in zip(bounds, own, strict=True)]
    step = autobp.compile(lambda x: loss(w, x), w)
    cost, gradient = step(step.theta, np.array(rows))
    wrong = []
    for name, x, e, bound in zip(["cost", *"abc"], [cost, *gradient], exact, bounds, strict=False):
        allowed = ALLOWED * (bound / m + UNIT * abs(float(e / m)) + SMALLEST)
        if not math.isfinite(x) or abs(Fraction(float(x)) - e / m) > allowed:
            wrong.append(f"{name}: {x!r}, exact {float(e / m)!r} ± {allowed:.2g}")
    return wrong


# ------------------------------------------------------------------------------------------------ the fuzzer

LEAVES = [*[f"x[{i}]" for i in range(5)], "w[0]", "w[1]"]
CONSTANTS = ["1e16", "3.0", "0.001", "1.0", "1e-20", "1e150", "1e-150"]


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Formulas of formulas."""
    several = st.lists(inner, min_size=2, max_size=4)
    signs = st.lists(st.sampled_from("++-"), min_size=4, max_size=4)
    chain = st.builds(
        lambda terms, signs: f"({''.join(f' {s} {t}' for s, t in zip(signs, terms, strict=False))[3:]})",
        several,
        signs,
    )
    pair = st.builds(lambda a, op, b: f"({a} {op} {b})", inner, st.sampled_from("++--*"), inner)
    called = st.builds(
        lambda f, args: f"{f}({', '.join(args)})", st.sampled_from(["kahan", "neumaier", "pairwise"]), several
    )
    error = st.builds(lambda a, b: f"lost({a}, {b})", inner, inner)
    constant = st.builds(
        lambda a, op, c: f"({a} {op} {c})", inner, st.sampled_from("++-*"), st.sampled_from(CONSTANTS)
    )
    divided = st.builds(lambda a, c: f"({a} / {c})", inner, st.sampled_from(["3.0", "1e16", "7e-3"]))
    complement = st.builds(lambda c, a: f"({c} - {a})", st.sampled_from(CONSTANTS), inner)
    one = st.builds(lambda f, a: f"{f}({a})", st.sampled_from(["-", "on_grid"]), inner)
    return st.one_of(pair, chain, called, error, constant, divided, complement, one)


FORMULAS = st.recursive(st.sampled_from(LEAVES), grown, max_leaves=8)
LOOPS = st.builds(
    lambda f, n: f"sum(({f.replace('x[0]', 'x[i]')}) for i in range({n}))", FORMULAS, st.integers(2, 5)
)
SIZES = st.one_of(
    st.sampled_from([1.0, 1e16, 1e16 + 2.0, 1e8, 1e8 + 1e-6, 1e-3]),
    st.floats(0.5, 2.0),
    st.builds(math.ldexp, st.floats(0.5, 1.0), st.integers(-120, 120)),
)
NUMBERS = st.builds(lambda x, sign: x * sign, SIZES, st.sampled_from([1.0, -1.0]))
#: Numbers among which some cancel, but for what is small.
CANCELLING = st.builds(
    lambda big, small, last: [big, -big, big + small, small, last], NUMBERS, NUMBERS, NUMBERS
).flatmap(st.permutations)
ROW = st.one_of(CANCELLING, CANCELLING, st.lists(NUMBERS, min_size=5, max_size=5))
ROWS = st.integers(1, 3).flatmap(lambda m: st.lists(ROW, min_size=m, max_size=m))
WEIGHTS = st.lists(st.one_of(st.just(1.0), NUMBERS), min_size=2, max_size=2)
PROGRAMS = given(formula=st.one_of(FORMULAS, LOOPS), weights=WEIGHTS, rows=ROWS)
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def holds(formula: str, weights: list[float], rows: list[list[float]]) -> None:
    """A formula's program is as near as the formula itself; on failure, what it takes to see it."""
    if "w[" not in formula:
        formula = f"w[0] * {formula}"
    wrong = errors(formula, weights, rows)
    assert not wrong, f"loss = lambda w, x: {formula}\nw = {weights}\nrows = {rows}\n" + "\n".join(wrong)


@settings(max_examples=250, deadline=None, suppress_health_check=SLOW, derandomize=True)
@PROGRAMS
def test_programs_are_as_near_as_what_was_written(
    formula: str, weights: list[float], rows: list[list[float]]
) -> None:
    holds(formula, weights, rows)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None, suppress_health_check=SLOW)
@PROGRAMS
def test_many_programs_are_as_near_as_what_was_written(
    formula: str, weights: list[float], rows: list[list[float]]
) -> None:
    holds(formula, weights, rows)
