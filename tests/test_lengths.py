"""Sequences of other lengths: each has a program of its own, and machine code that all lengths share."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from test_loops import Case, as_values, loops_of, recurrences
from test_through_time import total

import autobp
from autobp import Value
from autobp.backends import c_general, c_parts, c_text
from autobp.backends.c_general import GeneralSource, general
from autobp.backends.c_memory import MOST_BY_STEP
from autobp.backends.without_numbers import without_numbers
from autobp.compiler import Step, functions
from autobp.compiler.machine_code import Wanted
from autobp.compiler.step import executable_of
from autobp.functions import logsumexp, tanh
from autobp.machine import toolchain
from benchmarks import recurrent_models

needs_a_compiler = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)

Function = Callable[..., Any]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch, own_cache: Any) -> list[str]:
    """What the compiler is given meanwhile."""
    given: list[str] = []
    build = toolchain.Toolchain.build

    def noted(self: toolchain.Toolchain, source: str, *options: str) -> bytes:
        if "Python.h" not in source:
            given.append(source)
        return build(self, source, *options)

    monkeypatch.setattr(toolchain.Toolchain, "build", noted)
    return given


def values(*numbers: float) -> list[Value]:
    return [Value(x) for x in numbers]


def eager(function: Function, parameters: Sequence[Value], data: Sequence[np.ndarray]) -> tuple[float, Any]:
    """The mean cost over the rows and its gradient, in scalars."""
    for p in parameters:
        p.grad = 0.0
    costs = [function(*[as_values(x) for x in row]) for row in zip(*data, strict=True)]
    for cost in costs:
        cost.backward()
    return sum(x.data for x in costs) / len(costs), np.array([p.grad for p in parameters]) / len(costs)


def check_numbers(step: Step, function: Function, parameters: Sequence[Value], *data: np.ndarray) -> None:
    """The step gives what the scalars give."""
    cost, gradient = step(step.theta, *data)
    expected, derivatives = eager(function, parameters, data)
    scale = max(1.0, np.abs(derivatives).max())
    assert cost == pytest.approx(expected, rel=1e-11, abs=1e-13)
    np.testing.assert_allclose(gradient, derivatives, rtol=1e-10, atol=1e-12 * scale)
    assert step.value(step.theta, *data) == pytest.approx(expected, rel=1e-11, abs=1e-13)


def check(step: Step, function: Function, parameters: Sequence[Value], *data: np.ndarray) -> None:
    """And what a step gives that has seen no other length; its program is that one's, byte for byte."""
    check_numbers(step, function, parameters, *data)
    fresh = autobp.compile(function, parameters, backend="numpy")
    cost, gradient = fresh(step.theta, *data)
    assert step.source.partition("\n")[2] == fresh.source.partition("\n")[2]
    assert str(step.program) == str(fresh.program)
    if step.backend.startswith("numpy"):
        again, slopes = step(step.theta, *data)
        assert again == cost
        np.testing.assert_array_equal(slopes, gradient)


# ------------------------------------------------------------------------- recurrences that show a length

w, u, v = values(0.7, 0.4, -0.3)


def mean_over_time(x: Any) -> Any:
    """One over the length is a constant of the program, and so is the length."""
    h, cost = 0.0, 0.0
    for x_t in x:
        h = tanh(w * h + u * x_t + 1.0 / len(x))
        cost = cost + (h - v) ** 2
    return cost / len(x)


def with_numbers_by_step(x: Any) -> Any:
    """A table of numbers, as long as there are steps, and zeros and infinities apart."""
    h = 0.1 * v
    for t, x_t in enumerate(x):
        h = tanh(w * h + u * x_t * (1.0 + 0.125 * (t % 7)) / (t + 1))
    return (h - 0.25) ** 2


def with_odd_ends(x: Any) -> Any:
    h, before, cost = u * 1.0, v * 1.0, 0.0
    for t, x_t in enumerate(x):
        h, before = (tanh if t > 2 else autobp.sin)(w * h + u * before - x_t), h
        if t > 4:
            cost = cost + (0.3 if t < len(x) - 1 else 0.7) * h * h
    return cost + (h - before) ** 2 * w


def one_after_another(x: Any) -> Any:
    h = u * 0.5
    for x_t in x:
        h = autobp.sigmoid(w * h + x_t)
    g, cost = v * h, 0.0
    for x_t in reversed(x):
        g = tanh(g * u + h * x_t)
        cost = cost + g * x_t
    return cost * cost


def nested_loops(x: Any) -> Any:
    h = u * 0.5
    for x_t in x:
        for _ in range(20):
            h = 0.9 * h + 0.1 * tanh(w * h + v * x_t)
    return h * h


def as_wide_as_long(x: Any) -> Any:
    """Units side by side, which repeat as steps do."""
    h = [u * (0.1 * k) for k in range(20)]
    for x_t in x:
        all_of_them = sum(h)
        h = [tanh(w * a + v * all_of_them + x_t) for a in h]
    return logsumexp(h)


RECURRENCES = [
    mean_over_time,
    with_numbers_by_step,
    with_odd_ends,
    one_after_another,
    nested_loops,
    as_wide_as_long,
]


def rows(length: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(length).normal(size=(n, length))


@pytest.mark.parametrize("function", RECURRENCES)
def test_other_lengths_have_what_scalars_have(function: Function) -> None:
    step = autobp.compile(function, [w, u, v], backend="numpy")
    for length in (30, 20, 40, 61, 5):
        check(step, function, [w, u, v], rows(length))


@needs_a_compiler
@pytest.mark.parametrize("function", RECURRENCES[:-1])
def test_other_lengths_have_what_scalars_have_in_machine_code(function: Function, texts: list[str]) -> None:
    """The first length has a text of its own, the second one for all."""
    step = autobp.compile(function, [w, u, v], backend="c")
    lengths = (30, 39, 61, 55, 40)
    for length in lengths:
        check(step, function, [w, u, v], rows(length, 9))
        assert loops_of(step.program)
    assert len(texts) == 2
    for length in lengths:  # none has the numbers of those after it
        check(step, function, [w, u, v], rows(length, 9))


@needs_a_compiler
@pytest.mark.parametrize(
    "name",
    [
        "RNN",
        "Runge–Kutta",
        *[pytest.param(x, marks=pytest.mark.long) for x in ("Kalman filter", "LSTM", "HMM, forward", "CTC")],
    ],
)
def test_models_are_built_once_for_all_lengths_but_the_first(name: str, texts: list[str]) -> None:
    (model,) = [model for model in recurrent_models.MODELS if model.name == name]
    theta = values(*model.theta.tolist() if isinstance(model.theta, np.ndarray) else model.theta)
    function = (
        (lambda x: model.scalars(theta, x))
        if len(model.row) == 1
        else (lambda x, y: model.scalars(theta, x, y))
    )
    step = autobp.compile(function, theta, backend="c")
    for length in (37, 41, 90):
        rng = np.random.default_rng(length)
        shapes = [[length if n == recurrent_models.STEPS else n for n in shape] for shape in model.row]
        check(step, function, theta, *[rng.normal(size=(5, *shape)) for shape in shapes])
    assert len(texts) == 2
    again = pickle.loads(pickle.dumps(step))
    data = [rng.normal(size=(5, *shape)) for shape in shapes]
    assert again(step.theta, *data)[0] == step(step.theta, *data)[0]
    assert len(texts) == 2


@needs_a_compiler
def test_what_is_almost_the_known_recurrence_has_its_own_numbers(texts: list[str]) -> None:
    """One constant, one operation, one edge, one step is another, in one length alone."""
    odd: dict[int, str] = {33: "constant", 35: "operation", 37: "edge", 39: "step", 41: "sign"}

    def function(x: Any) -> Any:
        kind = odd.get(len(x), "")
        h, g, cost = u * 0.5, v * 0.5, 0.0
        for t, x_t in enumerate(x):
            s = w * h + (0.31 if kind == "constant" else 0.3) * x_t
            s = s - v * g if kind == "sign" else s + v * g
            s = s * s if kind == "step" and t == 17 else s
            f = autobp.sin if kind == "operation" and t > 0 else tanh
            h, g = f(s), (g if kind == "edge" and t == 20 else h)
            cost = cost + h * g
        return cost / len(x)

    for backend in ("c", "numpy"):
        step = autobp.compile(function, [w, u, v], backend=backend)
        for length in (30, 33, 34, 35, 37, 39, 41, 42):
            check_numbers(step, function, [w, u, v], rows(length))


def filtered(x: Any) -> Any:
    """A filter, whose variances have nothing of a sample."""
    mean, variance, cost = 0.0, 1.0, 0.0
    for x_t in x:
        variance = w * w * variance + u * u
        gain = variance / (variance + v * v)
        cost = cost + autobp.log(variance) + (x_t - w * mean) ** 2 * gain
        mean, variance = mean + gain * (x_t - mean), (1.0 - gain) * variance
    return cost / len(x)


@needs_a_compiler
@pytest.mark.long
def test_arrays_lie_elsewhere_where_steps_are_many(texts: list[str]) -> None:
    """What has a number of each step is a function's own array as long as there are few."""
    step = autobp.compile(filtered, [w, u, v], backend="c")
    for length in (30, MOST_BY_STEP - 11, MOST_BY_STEP + 40, MOST_BY_STEP + 90, 55):
        check_numbers(step, filtered, [w, u, v], rows(length))
    assert len(texts) == 3
    assert f"[{MOST_BY_STEP}];" in texts[1]
    assert f"[{MOST_BY_STEP}];" not in texts[2]


@needs_a_compiler
def test_long_functions_of_any_length_are_written_in_parts(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_text, "LONGEST_OF_ANY_LENGTH", 30)
    monkeypatch.setattr(c_parts, "_PART", 10)
    step = autobp.compile(filtered, [w, u, v], backend="c")
    for length in (30, 41, 64):
        check_numbers(step, filtered, [w, u, v], rows(length, 17))
    assert len(texts) == 2
    assert "value_part2(" in texts[1]
    assert "value_part2(" not in texts[0]


@needs_a_compiler
def test_steps_with_other_constants_share_code_and_no_numbers(texts: list[str]) -> None:
    def with_constant(c: float) -> Function:
        def function(x: Any) -> Any:
            h = 0.0
            for x_t in x:
                h = tanh(w * h + c * x_t + u)
            return (h - c) ** 2

        return function

    made = [(autobp.compile(with_constant(c), [w, u], backend="c"), c) for c in (0.37, -1.25e-05, 123.5)]
    for length in (30, 39):
        for step, c in made:
            check_numbers(step, with_constant(c), [w, u], rows(length))
    assert len(texts) == len(made) + 2  # a minus is no number
    for step, c in made:
        check_numbers(step, with_constant(c), [w, u], rows(39))


@needs_a_compiler
def test_outputs_of_each_step_and_derivatives_of_any_length(texts: list[str]) -> None:
    def states(x: Any) -> Any:
        h, left = 0.1, []
        for x_t in x:
            h = tanh(w * h + u * x_t)
            left.append([h, h * v])
        return left

    by_c, by_numpy = [autobp.compile(states, [w, u, v], backend=backend) for backend in ("c", "numpy")]
    theta = by_c.theta
    for length in (30, 39, 50, 61):
        found = by_c(theta, rows(length))
        assert found.shape == (3, length, 2)
        np.testing.assert_allclose(found, by_numpy(theta, rows(length)), rtol=1e-12, atol=1e-14)
    assert len(texts) == 2
    texts.clear()
    by_c, by_numpy = [
        autobp.compile(mean_over_time, [w, u, v], backend=backend) for backend in ("c", "numpy")
    ]
    for length in (30, 39, 50, 61):
        expected = by_numpy.hessian(theta, rows(length))
        np.testing.assert_allclose(by_c.hessian(theta, rows(length)), expected, rtol=1e-10, atol=1e-12)
    assert len(texts) == 4


@needs_a_compiler
def test_auto_builds_nothing_new_for_another_length(texts: list[str]) -> None:
    """What is there for any length needs no calls to pay for it; what is not there does."""
    step = autobp.compile(mean_over_time, [w, u, v], backend="auto", calls=40_000)
    for length in range(60, 90, 3):
        step(step.theta, rows(length))
        assert step.backend.startswith("c: ")
    assert len(texts) == 2
    few = autobp.compile(mean_over_time, [w, u, v], backend="auto", calls=10)
    few(few.theta, rows(60))
    few(few.theta, rows(63))
    assert few.backend.startswith("numpy: ")
    assert len(texts) == 2


@needs_a_compiler
@pytest.mark.long
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(recurrences())
def test_random_recurrences_of_any_length_are_the_program(case: Case) -> None:
    """The text for any length with the numbers of one gives what the text of this one gives."""
    function, parameters, data = case

    def cost(*x: Any) -> Any:
        return total(function(*x)) + 0.0 * parameters[0]

    example, names = [x[0] for x in data], [f"x{i}" for i in range(len(data))]
    made = [
        executable_of(cost, parameters, names, example, False, Wanted("c", before=before))
        for before in (frozenset(), frozenset([""]))
    ]
    theta = np.array([p.data for p in parameters])
    alone, of_any_length = [x.run("cost_and_gradient", theta, data) for x in made]
    for found, expected in zip(of_any_length, alone, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


# --------------------------------------------------------------------------------------- texts and numbers


@pytest.mark.parametrize("function", RECURRENCES[:-1])
def test_lengths_share_the_code_that_numpy_runs(function: Function) -> None:
    """One for an even number of steps and one for an odd, whose last states lie in other buffers."""
    step = autobp.compile(function, [w, u, v], backend="numpy")
    for length in (30, 39):
        check_numbers(step, function, [w, u, v], rows(length))
    made = functions.compile_source.cache_info().misses
    for length in (50, 71, 80, 99, 34):
        check_numbers(step, function, [w, u, v], rows(length))
    assert functions.compile_source.cache_info().misses == made


def test_a_source_without_numbers_does_the_same() -> None:
    source = '''"""Of 1,234 scalars."""
import numpy as np
def value(x, ones12, ones3):
    """The 40 numbers."""
    t14 = x[:, 10:20][::-1] * 0.05 + 1e-20 - 1.5e-07 * 1e+16 - 12
    return t14 * 0.5 + 7 - ones12.sum() * ones3.sum() / 123.0, range(17, -1, -1), t14.shape[-1]
'''
    text, numbers = without_numbers(source)
    assert list(numbers.values()) == [40, 10, 20, 0.05, 1e-20, 1.5e-07, 1e16, 12, 123.0, 17]
    found: list[Any] = []
    x = np.random.default_rng(0).normal(size=(3, 25))
    for written, more in ((source, {}), (text, numbers)):
        namespace: dict[str, Any] = dict(more)
        exec(written, namespace)
        found.append(namespace["value"](x, np.ones(12), np.ones(3)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    another = source.replace("12", "142").replace("0.05", "0.125").replace("1,234", "9")
    assert without_numbers(another)[0] == text


def test_a_name_that_looks_like_that_of_a_number_is_its_own() -> None:
    def loss(number_0: Any) -> Any:
        h = 0.0
        for x_t in number_0:
            h = tanh(w * h + u * x_t)
        return h * h

    step = autobp.compile(loss, [w, u], backend="numpy")
    for length in (30, 39):
        check_numbers(step, loss, [w, u], rows(length))


def general_of(function: Function, length: int) -> GeneralSource:
    step = autobp.compile(function, [w, u, v], example=(np.zeros(length),), backend="numpy")
    return general(step.executable.programs)


def test_texts_are_the_same_and_numbers_are_not() -> None:
    for function in (mean_over_time, with_numbers_by_step, one_after_another):
        texts = {general_of(function, length).text for length in (30, 39, 61, 500)}
        assert len(texts) == 1, function.__name__
        numbers = {general_of(function, length).longs.tobytes() for length in (30, 39, 61)}
        assert len(numbers) == 3


def test_a_name_of_a_number_is_no_name_of_the_program() -> None:
    def loss(nl0: Any, nd0: Any) -> Any:
        h = 0.0
        for x_t in nl0:
            h = tanh(w * h + u * x_t + 0.3 * nd0)
        return h * h

    step = autobp.compile(loss, [w, u], example=(np.zeros(30), 0.0), backend="numpy")
    text = general(step.executable.programs).text
    assert "const double *nl0" in text
    assert "static long n_l0;" in text


def test_what_stands_in_the_text_is_said() -> None:
    """Numbers below the least, and usual ones, are no names; tables of numbers are handed in."""
    found = general_of(with_numbers_by_step, 30)
    assert "static const double *C1;" in found.text
    assert 0.25 in found.doubles
    assert 30 in found.longs or 29 in found.longs
    assert f"void {c_general.TOLD}(" in found.text
