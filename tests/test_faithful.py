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


def from_the_right(*values: Any) -> Any:
    """A sum from the last value to the first."""
    total = values[-1]
    for x in values[-2::-1]:
        total = x + total
    return total


def alternating(x: Any) -> Any:
    """A loop that adds and subtracts."""
    total = 0.0
    for i in range(10):
        total = total + x[2 * i] - x[2 * i + 1]
    return total


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (two_sum, lost, kahan, neumaier, pairwise, on_grid, from_the_right, alternating)
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
        try:
            root = loss(w, [Value(v) for v in row])
        except OverflowError:
            assume(False)
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


# ------------------------------------------------------------------------------------- what users grouped


def near(x: float, relative: float) -> Any:
    """Equal but for a relative error, however small x is."""
    return pytest.approx(x, rel=relative, abs=0.0)


def compiled(
    formula: str, rows: Any, weights: Sequence[float] = (1.0,)
) -> tuple[float, np.ndarray[Any, Any], Any]:
    """The cost and the gradient of a formula's program, and the program."""
    loss, w = loss_of(formula), [Value(v) for v in weights]
    step = autobp.compile(lambda x: loss(w, x), w)
    return *step(step.theta, np.array(rows)), step


def test_a_difference_is_taken_sample_by_sample() -> None:
    rng = np.random.default_rng(0)
    a = 1.75e9 + np.cumsum(rng.random(10_000))
    b = a + 1e-3 * rng.random(10_000)
    exact = float(sum(Fraction(x) - Fraction(y) for x, y in zip(b, a, strict=True)) / len(a))
    cost, _, step = compiled("w[0] * x[1] - x[0]", np.stack([a, b], axis=1))
    assert cost == near(exact, 1e-12)
    assert step.value(step.theta, np.stack([a, b], axis=1)) == cost


GROUPED = [
    ("w[0] * ((x[0] - x[1]) + (x[2] - x[3]))", [1e16, 1e16 - 2.0, 1.0, 0.0], 3.0),
    ("w[0] * ((x[0] + x[1]) + (x[2] + x[3]))", [1e16, -1e16, 1.0, 1e-3], 1.001),
    ("w[0] * (x[0] + (x[1] + (x[2] + x[3])))", [1e-3, 1.0, 1e16, -1e16], 1.001),
    ("w[0] * (x[0] - (x[1] - (x[2] - x[3])))", [1e-3, 1.0, 1e16, 1e16], -0.999),
    ("w[0] * (x[0] - x[1] + x[2])", [1e16, 1e16, 1e-3], 1e-3),
    ("w[0] * (x[0] + x[1] - x[2])", [1e-3, 1e16, 1e16], 0.0),
    ("w[0] * (x[2] + x[1] + x[0])", [1e-3, 1e16, -1e16], 1e-3),
    ("w[1] + x[0] + w[0] * x[1]", [-1e16, 1e-3], 1e-3),
    ("w[0] * (x[0] + 1e16 + x[1])", [-1e16, 1e-3], 1e-3),
    ("w[0] * (x[0] + 1e16 - 1e16)", [1e-3], 0.0),
    ("w[0] * (1.0 - x[0] + 1e-20)", [1.0], 1e-20),
    ("w[0] * (-(x[0] - x[1]) + x[2])", [1e16, 1e16, 1e-3], 1e-3),
    ("w[0] * on_grid(x[0])", [2.7], 3.0),
    ("w[0] * lost(x[0], x[1])", [1e16, 1.0], 1.0),
    ("w[0] * neumaier(x[0], x[1], x[2], x[3])", [1e16, 1.0, -1e16, 1e-3], 1.001),
    ("w[0] * kahan(x[0], x[1], x[2], x[3], x[4])", [1.0, 1e-16, 1e-16, 1e-16, 1e-16], 1.0 + 4e-16),
]


@pytest.mark.parametrize(("formula", "row", "value"), GROUPED)
def test_what_is_grouped_stays_together(formula: str, row: list[float], value: float) -> None:
    weights = [1.0, 1e16] if "w[1]" in formula else [1.0]
    for rows in ([row], [row, row, row]):
        cost, gradient, _ = compiled(formula, rows, weights)
        assert cost == near(value, 4e-16)
        if len(weights) == 1:
            assert gradient[0] == near(value, 4e-16)


@pytest.mark.parametrize(("formula", "row", "value"), GROUPED)
def test_the_source_shows_what_is_grouped(formula: str, row: list[float], value: float) -> None:
    weights = [1.0, 1e16] if "w[1]" in formula else [1.0]
    _, _, step = compiled(formula, [row], weights)
    namespace: dict[str, Any] = {}
    exec(step.source, namespace)
    assert float(namespace["value"](step.theta, np.array([row]))) == near(value, 4e-16)


@pytest.mark.parametrize("written", ["sum(x[i] - x[1000 + i] for i in range(1000))", "kahan"])
def test_many_small_differences_of_large_numbers(written: str) -> None:
    rng = np.random.default_rng(1)
    a = 1e8 + rng.random(1000)
    b = a - 1e-9 * rng.integers(0, 100, 1000)
    n = 1000 if written != "kahan" else 50
    exact = float(sum(Fraction(x) - Fraction(y) for x, y in zip(a[:n], b[:n], strict=True)))
    if written == "kahan":
        written = f"kahan(*[x[i] - x[1000 + i] for i in range({n})])"
    cost, gradient, step = compiled(f"w[0] * {written}", [np.concatenate([a, b])])
    assert cost == near(exact, 1e-13)
    assert gradient[0] == near(exact, 1e-13)
    if n == 1000:
        assert len(step) < 10


def test_constants_are_not_folded_into_one_another() -> None:
    z = [Value(50.0), Value(0.0)]
    step = autobp.compile(lambda x: -autobp.log(1.0 - autobp.softmax([z[0] * x, z[1] * x])[0] + 1e-20), z)
    cost, gradient = step(step.theta, np.ones(1))
    assert cost == near(-math.log(1e-20), 1e-15)
    assert np.isfinite(gradient).all()
    p = Value(1.0)
    step = autobp.compile(lambda x: -autobp.log(1.0 - p * x + 1e-15), [p])
    cost, gradient = step(step.theta, np.ones(1))
    assert cost == near(-math.log(1e-15), 1e-15)
    assert gradient[0] == near(1e15, 1e-15)


@pytest.mark.parametrize("compile_it", [True, False])
def test_a_cost_with_a_small_constant_trains(compile_it: bool) -> None:
    net = autobp.MLP(2, [2], activation="softmax", seed=0)
    for parameter in net.parameters():
        parameter.data = 60.0 * parameter.data + 20.0

    def cost(outputs: Any, y: Any) -> Any:
        return -autobp.log(1.0 - outputs[0] + 1e-20)

    history = autobp.fit(
        net, np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros((2, 2)), cost=cost, epochs=2, compiled=compile_it
    )
    assert np.isfinite(history.cost).all()


@pytest.mark.parametrize(
    ("loss", "value", "derivative"),
    [
        (
            lambda w: (3.0 * w).tanh() * 1e300 * 1e-200 * 1e-200,
            math.tanh(3.0) * 1e-100,
            0.0,  # 1e-200·1e-200 comes first on the way back, as it is written
        ),
        (lambda w: (w * 1e-200 * 1e300).sin() * 1e-50, math.sin(1e100) * 1e-50, math.cos(1e100) * 1e50),
        (lambda w: w * 1e300 * 1e-250 * 1e-50, 1.0, 1.0),
        (lambda w: (w * w * 1e-300 + 0.0 * w) * 1e200 * 1e100 + w, 2.0, 3.0),
    ],
)
def test_constant_factors_do_not_leave_the_range(
    loss: Callable[[Value], Value], value: float, derivative: float
) -> None:
    w = Value(1.0)
    step = autobp.compile(lambda x: loss(w * x), [w])
    cost, gradient = step(step.theta, np.ones(2))
    assert cost == near(value, 1e-14)
    assert gradient[0] == near(derivative, 1e-14)


def test_a_factor_that_vanishes_is_not_met_by_one_that_overflows() -> None:
    w = Value(1.0)
    step = autobp.compile(lambda x: ((3e-200 * w * x) ** 2 * 1e300) * 1e100, [w])
    assert step.value(step.theta, np.ones(3)) == 0.0


def test_the_mean_of_rows_near_the_end_of_the_range() -> None:
    w = Value(1.0)
    step = autobp.compile(lambda x: w * x, [w])
    rows = np.full(7, 1e308)
    cost, gradient = step(step.theta, rows)
    assert cost == near(1e308, 1e-15)
    assert gradient[0] == near(1e308, 1e-15)
    assert step.value(step.theta, rows) == cost
    assert step.value(step.theta, np.array([1e308, np.inf, 1e308])) == np.inf
    assert math.isnan(step(step.theta, np.array([1e308, 1.0, np.nan, 1e308]))[0])


@pytest.mark.parametrize("z", [-720.0, -40.0, -1.0, 0.0, 2.0, 36.0, 60.0, 700.0])
def test_the_logarithm_of_a_sigmoid(z: float) -> None:
    w = Value(z)
    step = autobp.compile(lambda x: (w * x).sigmoid().log(), [w])
    cost, gradient = step(step.theta, np.ones(1))
    assert cost == near(-math.log1p(math.exp(-z)) if z > -700 else z, 1e-15)
    assert gradient[0] == near(1.0 / (1.0 + math.exp(min(z, 709.0))), 1e-15)


@pytest.mark.parametrize(
    ("formula", "statements"),
    [
        ("sum(x[i] for i in range(20)) * w[0]", 7),
        ("from_the_right(*[x[i] for i in range(20)]) * w[0]", 7),
        ("w[0] * alternating(x)", 9),
        ("sum((w[0] * x[i]) ** 2 + x[i] for i in range(20))", 12),
    ],
)
def test_a_long_loop_is_one_sum(formula: str, statements: int) -> None:
    rng = np.random.default_rng(2)
    rows = rng.random((3, 20))
    cost, _, step = compiled(formula, rows)
    loss = loss_of(formula)
    assert cost == near(np.mean([loss([1.0], row) for row in rows]), 1e-14)
    assert len(step) <= statements


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


@settings(max_examples=500, deadline=None, suppress_health_check=SLOW, derandomize=True)
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
