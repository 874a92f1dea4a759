"""Random recurrences with numbers that are not finite: steps have what scalars have, NaN where they have NaN.

Bodies, carried states, lags, first steps that differ and what is left are drawn; so are the places of NaN and
infinities in data and parameters. What the scalars refuse, as an overflow of finite numbers, is not compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_loops import Case, Drawn, as_values, linear, loops_of
from test_through_time import total

import autobp
from autobp import Value
from autobp.compiler import executable
from autobp.compiler.loops.finding import Limits
from autobp.functions import sigmoid, tanh
from autobp.machine import NoMachineCode

odd = st.sampled_from((math.nan, math.nan, math.inf, -math.inf, 1e300, -0.0))


def above(v: Value) -> Value:
    """A choice, whose comparison makes a number of NaN."""
    return autobp.where(autobp.greater(v, 0.1), 0.5 * v, autobp.sin(v))


class OddDrawn(Drawn):
    """With operations in which an infinity or a NaN comes to an end, and units that read only some others."""

    ending = 4  # so many of them, the first, may make a number of NaN or of an infinity
    unary = (
        above,
        autobp.relu,
        lambda v: autobp.clip(v, -0.6, 0.7),
        lambda v: 0.5 / (v * v + 0.3),
        autobp.abs,
        lambda v: autobp.exp(-v * v),
        tanh,
        sigmoid,
        lambda v: 0.5 * v,
        lambda v: v - 1,
    )

    def __init__(self, draw: Any) -> None:
        super().__init__(draw)
        self.reads_all = draw(st.booleans())
        self.recipes = [
            (self.integer(0, self.ending - 1), ("+", recipe, ("input", 0))) for recipe in self.recipes
        ]

    def products(self, W: Any, h: Any) -> Any:
        if self.reads_all:
            return linear(W, h)
        return [
            row[0] * h[0] + sum(w * v for w, v in zip(row[i:], h[i:], strict=True)) for i, row in enumerate(W)
        ]


#: Whatever can be a loop is one.
EVERY = Limits(6, 1, 1.0, 0, 100.0)


@pytest.fixture(autouse=True)
def whatever_repeats_is_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    programs_of = executable.programs_of
    every = lambda graph, signature: programs_of(graph, signature, EVERY)  # noqa: E731
    monkeypatch.setattr(executable, "programs_of", every)


@st.composite
def odd_recurrences(draw: Any) -> Case:
    """A recurrence with a few odd numbers in its data, and sometimes one among its parameters."""
    function, parameters, data = OddDrawn(draw).case()
    places = [(x, i) for x in data for i in np.ndindex(x.shape)]
    for _ in range(draw(st.integers(1, 3))):
        x, i = draw(st.sampled_from(places))
        x[i] = draw(odd)
    if draw(st.integers(0, 3)) == 0:
        draw(st.sampled_from(parameters)).data = draw(odd)
    return function, parameters, data


def eager(function: Callable[..., Any], case: Case) -> tuple[list[Any], np.ndarray]:
    """What a function gives for each row, and the gradient of the mean of a cost."""
    _, parameters, data = case
    for p in parameters:
        p.grad = 0.0
    found = [function(*[as_values(x[i]) for x in data]) for i in range(len(data[0]))]
    if isinstance(found[0], Value):
        for cost in found:
            cost.backward()
        return [cost.data for cost in found], np.array([p.grad for p in parameters]) / len(found)
    return [[v.data for v in flat(row)] for row in found], np.zeros(0)


def flat(x: Any) -> list[Value]:
    return [x] if isinstance(x, Value) else [v for y in x for v in flat(y)]


def assert_the_same(found: Any, expected: Any, message: str) -> None:
    """NaN where there is NaN, the infinity that there is, and elsewhere the number up to rounding."""
    expected = np.asarray(expected, dtype=float)
    found = np.reshape(found, expected.shape)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * scale, err_msg=message)


def check(case: Case, **options: Any) -> Counter[str]:
    """Hold cost, gradient and outputs of a case against the scalars; and say what came up in it."""
    function, parameters, data = case
    seen: Counter[str] = Counter()

    def cost(x: Any, first: Any) -> Any:
        return total(function(x, first))

    def outputs(x: Any, first: Any) -> Any:
        return flat(function(x, first))

    try:
        (costs, gradient), (rows, _) = eager(cost, case), eager(outputs, case)
    except (ValueError, ZeroDivisionError, OverflowError):
        return seen  # the scalars refuse finite numbers that have no finite result
    step = autobp.compile(cost, parameters, example=(data[0][0], data[1][0]), **options)
    theta = step.theta
    value, slopes = step(theta, *data)
    assert_the_same(value, np.mean(costs), "cost")
    assert_the_same(step.value(theta, *data), np.mean(costs), "the cost alone")
    assert_the_same(slopes, gradient, "gradient")
    of_outputs = autobp.compile(outputs, parameters, example=(data[0][0], data[1][0]), **options)
    assert_the_same(of_outputs(theta, *data), rows, "outputs")
    seen["loop"] += bool(loops_of(step.program))
    odd = not all(np.isfinite(x).all() for x in (theta, *data))
    seen["odd numbers and a finite gradient"] += odd and bool(np.isfinite(gradient).all())
    seen["NaN in part of a gradient"] += bool(np.isnan(gradient).any() and np.isfinite(gradient).any())
    return seen


MANY: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def hunt(examples: int, **options: Any) -> Counter[str]:
    """Check so many random recurrences; what came up in them."""
    seen: Counter[str] = Counter()

    @settings(max_examples=examples, **MANY)
    @given(odd_recurrences())
    def one_after_another(case: Case) -> None:
        found = check(case, **options)
        assume(found)
        seen.update(found)

    one_after_another()
    return seen


def test_steps_have_what_the_scalars_have() -> None:
    seen = hunt(30)
    assert min(seen["loop"], seen["odd numbers and a finite gradient"]) > 0, seen


def test_machine_code_has_what_the_scalars_have() -> None:
    try:
        hunt(6, backend="c")
    except NoMachineCode as error:
        pytest.skip(str(error))


@pytest.mark.long
def test_hundreds_of_steps_have_what_the_scalars_have() -> None:
    seen = hunt(600)
    assert min(seen.values()) > 0, seen
