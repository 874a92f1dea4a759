"""Loops for a few rows run on floats: the numbers of arrays and of scalars, where floats raise too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autobp
from autobp import Value
from autobp.backends import numpy_calls
from autobp.backends.float_loops import FEW
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.compiler import functions
from autobp.functions import atan2, exp, greater, hypot, log, maximum, minimum, softplus, sqrt, tanh, where
from tests.test_loops import (
    Case,
    autoregression,
    controlled,
    hidden_markov,
    kalman,
    logistic_map,
    lotka_volterra,
    newton_within,
    runge_kutta,
    unrolled_descent,
)


def one_of_floats_and_one_of_arrays(T: int) -> Case:
    """A loop of numbers, whose last one begins a loop of units, and another of numbers after that."""
    rng = np.random.default_rng(3)
    W, a = [[Value(x) for x in row] for row in rng.uniform(-0.5, 0.5, (12, 12))], Value(0.7)

    def loss(x: Any) -> Any:
        s: Any = 0.0
        for t in range(T):
            s = tanh(a * s + x[t])
        h = [s] * 12
        for t in range(T):
            h = [tanh(sum(p * q for p, q in zip(row, h, strict=True)) + x[t]) for row in W]
        s = h[0] + h[11]
        for t in range(T):
            s = tanh(a * s - x[t])
        return s * s

    return loss, [a, *[w for row in W for w in row]], (rng.standard_normal((3, T)),)


def two_species(T: int) -> Case:
    """States of two units, and a cost."""
    outputs, parameters, data = lotka_volterra(T)
    return lambda s: sum(u * v - v for u, v in outputs(s)), parameters, data


MODELS = [
    two_species,
    unrolled_descent,
    hidden_markov,
    one_of_floats_and_one_of_arrays,
    kalman,
    runge_kutta,
    autoregression,
    controlled,
    newton_within,
    logistic_map,
]


def stepped(case: Case, few: int, monkeypatch: pytest.MonkeyPatch) -> autobp.Step:
    """A step whose loops run on floats up to so many rows."""
    monkeypatch.setattr(functions, "FEW", few)
    function, parameters, data = case
    return autobp.compile(function, parameters, example=[x[0] for x in data])


def both(case: Case, rows: int, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Cost and gradient of some rows, on floats and on arrays."""
    theta = np.array([p.data for p in case[1]])
    data = [np.resize(x, (rows, *x.shape[1:])) for x in case[2]]
    found = []
    for few in (FEW, 0):
        cost, gradient = stepped(case, few, monkeypatch)(theta, *data)
        found.append(np.array([cost, *gradient]))
    return found[0], found[1]


def scalars(case: Case, rows: int) -> np.ndarray:
    """Cost and gradient of some rows, one after another, in scalars."""
    function, parameters, data = case
    total = np.zeros(1 + len(parameters))
    for i in range(rows):
        for p in parameters:
            p.grad = 0.0
        cost = function(*[values(x[i % len(x)]) for x in data])
        cost.backward()
        total += np.array([cost.data, *[p.grad for p in parameters]]) / rows
    return total


def values(x: Any) -> Any:
    return Value(float(x)) if np.ndim(x) == 0 else [values(row) for row in x]


def text_of(case: Case, rows: int | None) -> str:
    """What runs for so many rows."""
    function, parameters, data = case
    step = autobp.compile(function, parameters, example=[x[0] for x in data])
    executable, _, _ = step._prepare(np.array([p.data for p in parameters]), data)
    program = list(executable.programs.values())[-1]
    return numpy_calls.write("f", program, schedule(program), SourceModule(), "", rows)


@pytest.mark.parametrize("rows", [1, 3, FEW])
@pytest.mark.parametrize("model", MODELS)
def test_floats_give_what_arrays_and_scalars_give(
    model: Callable[[int], Case], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = model(60)
    on_floats, on_arrays = both(case, rows, monkeypatch)
    largest = max(1.0, np.abs(on_arrays).max())
    np.testing.assert_allclose(on_floats, on_arrays, rtol=1e-12, atol=1e-14 * largest)
    np.testing.assert_allclose(on_floats, scalars(case, rows), rtol=1e-11, atol=1e-13 * largest)


@pytest.mark.parametrize(
    "model", [kalman, runge_kutta, autoregression, controlled, logistic_map, two_species]
)
def test_no_step_of_a_loop_on_floats_calls_numpy(model: Callable[[int], Case]) -> None:
    for rows, expected in ((2, False), (None, True)):
        lines = text_of(model(60), rows).splitlines()
        inside = [x for x in lines if x.startswith("        ")]
        assert inside
        assert any("np." in x for x in inside) == expected


def test_more_rows_are_arrays() -> None:
    case = kalman(30)
    step = autobp.compile(case[0], case[1], example=[x[0] for x in case[2]], backend="numpy")
    executable, theta, _ = step._prepare(np.array([0.9, 0.1, 0.5]), case[2])
    for rows in (FEW, FEW + 1):
        executable.run("cost_and_gradient", theta, [np.ones((rows, 30))])
    assert {rows for _, rows in executable._of_few} == {2, FEW}


#: Bodies that are out of range of floats for the numbers beside them, (weight, input): arrays have ∞ or NaN.
OUT_OF_RANGE = {
    "division by zero": (lambda w, s, x: s + w / x, 1.0, 0.0),
    "infinity less infinity": (lambda w, s, x: s * w - s * s, 2.0, math.inf),
    "too large for exp": (lambda w, s, x: s + exp(w * x), 1.0, 1000.0),
    "log of nothing": (lambda w, s, x: s * 0.5 + log(w * x), 1.0, 0.0),
    "log of less": (lambda w, s, x: s * 0.5 + log(w * x), 1.0, -1.0),
    "root of less": (lambda w, s, x: s * 0.5 + sqrt(w * x), 1.0, -1.0),
    "sine of infinity": (lambda w, s, x: s * 0.5 + (w * x).sin(), 1.0, math.inf),
    "power": (lambda w, s, x: s * 0.5 + (w * x) ** -1.5, 1.0, 0.0),
    "power of less": (lambda w, s, x: s * 0.5 + (w * x) ** 0.5, 1.0, -2.0),
    "what is not taken": (lambda w, s, x: s * 0.5 + where(greater(x, 0.0), log(w * x), w), 1.0, -1.0),
    "no number": (lambda w, s, x: s * 0.5 + maximum(w * x, 0.0), 1.0, math.nan),
    "growing": (lambda w, s, x: w * s * s + x, 3.0, 2.0),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
@pytest.mark.parametrize("rows", [1, 3])
def test_where_floats_raise_arrays_have_the_word(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, weight, number = OUT_OF_RANGE[name]
    w = Value(0.5)

    def loss(x: Any) -> Any:
        s = Value(0.1)
        for t in range(40):
            s = body(w, s, x[t])
        return s * s

    data = np.full((rows, 40), 0.6)
    data[-1, 7] = number
    found = []
    for few in (FEW, 0):
        monkeypatch.setattr(functions, "FEW", few)
        cost, gradient = autobp.compile(loss, [w], example=[np.full(40, 0.6)])(np.array([weight]), data)
        found.append(np.array([cost, *gradient]))
    np.testing.assert_array_equal(*[np.isfinite(x) for x in found])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_a_function_without_samples_runs_on_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = Value(0.3), Value(0.8)

    def loss() -> Any:
        s = a
        for _ in range(50):
            s = tanh(b * s + a)
        return s * s

    on_floats, on_arrays = both((loss, [a, b], ()), 1, monkeypatch)
    np.testing.assert_allclose(on_floats, on_arrays, rtol=1e-13)


TERMS: list[Callable[..., Any]] = [
    lambda w, s, r, x: tanh(w * s + x),
    lambda w, s, r, x: s * 0.5 + x * r,
    lambda w, s, r, x: maximum(s, r * w) * 0.5 + minimum(x, w),
    lambda w, s, r, x: softplus(s - x) * w,
    lambda w, s, r, x: exp(-s * s) + r * x,
    lambda w, s, r, x: where(greater(s, x), s * 0.9, w * r),
    lambda w, s, r, x: sqrt(s * s + x * x + 0.1) * w,
    lambda w, s, r, x: (s - r) / (1.0 + x * x) + w,
    lambda w, s, r, x: hypot(s, x + 2.0) * w + atan2(r, 1.5 + x * x),
    lambda w, s, r, x: 0.5 * s + w * w,
    lambda w, s, r, x: abs(s - r) * w + 0.1 * (1.5 + x * x) ** w,
]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, len(TERMS) - 1), min_size=2, max_size=4),
    st.integers(1, FEW),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_random_recurrences_on_floats(chosen: list[int], rows: int, seed: int, each: bool) -> None:
    rng = np.random.default_rng(seed)
    w = [Value(x) for x in rng.uniform(0.2, 0.9, len(chosen))]

    def loss(x: Any) -> Any:
        s: list[Any] = [0.1 * x[0], *w[1:]]
        cost = Value(0.0)
        for t in range(24):
            s = [TERMS[k](w[i], s[i], s[i - 1], x[t]) for i, k in enumerate(chosen)]
            cost = cost + s[0] * s[0] if each else cost
        return cost + s[-1] * s[-1]

    with pytest.MonkeyPatch.context() as patch:
        case = loss, w, (rng.standard_normal((rows, 24)),)
        on_floats, on_arrays = both(case, rows, patch)
        largest = max(1.0, np.abs(on_arrays).max())
        np.testing.assert_allclose(on_floats, on_arrays, rtol=1e-11, atol=1e-13 * largest)
        np.testing.assert_allclose(on_floats, scalars(case, rows), rtol=1e-10, atol=1e-12 * largest)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 3), st.integers(1, 4), st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 3))
def test_random_recurrences_of_units_on_floats(n: int, rows: int, seed: int, body: int, cost: int) -> None:
    rng = np.random.default_rng(seed)
    W = [[Value(x) for x in row] for row in rng.uniform(-0.7, 0.7, (n, n))]
    c = [Value(x) for x in rng.uniform(0.1, 0.9, n)]
    units = range(n)

    def after(s: list[Any], x: Any, t: int) -> list[Any]:
        product = [sum(W[i][j] * s[j] for j in units) for i in units]
        return [
            lambda: [tanh(p + x[t]) for p in product],
            lambda: [s[i] + 0.1 * s[i - 1] * c[i] * x[t] for i in units],
            lambda: [tanh(s[i - 1]) * c[i] + x[t] * c[0] for i in units],
            lambda: [exp(-p * p) / (1.0 + sum(q * q for q in s)) for p in product],
            lambda: [maximum(p, s[i]) * 0.8 + s[0] * c[i] for i, p in enumerate(product)],
        ][body]()

    def loss(x: Any) -> Any:
        s: list[Any] = c if cost % 2 else [0.3 * x[0]] * n
        total = Value(0.0)
        for t in range(24):
            s = after(s, x, t)
            total = total + s[0] * s[-1] if cost > 1 else total
        return total + sum(p * p for p in s)

    with pytest.MonkeyPatch.context() as patch:
        case = loss, [*[w for row in W for w in row], *c], (rng.standard_normal((rows, 24)),)
        on_floats, on_arrays = both(case, rows, patch)
        largest = max(1.0, np.abs(on_arrays).max())
        np.testing.assert_allclose(on_floats, on_arrays, rtol=1e-11, atol=1e-13 * largest)
        np.testing.assert_allclose(on_floats, scalars(case, rows), rtol=1e-10, atol=1e-12 * largest)
