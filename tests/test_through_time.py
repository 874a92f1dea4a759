"""The derivative of loops: backpropagation through time, against the scalars and other witnesses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from test_loops import MODELS, Case, as_values, loops_of, recurrences, size_of

from autobp import ir
from autobp.backends import numpy_calls, numpy_text
from autobp.backends.aliasing import verify
from autobp.backends.latex import equations
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.compiler.pipeline import Signature, programs_of
from autobp.compiler.recording import record_function


def total(x: Any) -> Any:
    """The sum of all numbers of nested lists."""
    if isinstance(x, list | tuple):
        return sum([total(y) for y in x[1:]], total(x[0]))
    return x


def program_of(case: Case, loops: bool = True) -> ir.Program:
    """The program of cost and gradient of a function; of outputs, of their sum."""
    function, parameters, data = case
    graph, shape = record_function(lambda *x: total(function(*x)), parameters, [x[0] for x in data])
    names = [f"x{i}" for i in range(len(data))]
    signature = Signature([p.label for p in parameters], names, [x.shape[1:] for x in data], shape)
    return programs_of(graph, signature, loops).programs["cost_and_gradient"]


def computed(program: ir.Program, theta: np.ndarray, data: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
    """Cost and gradient, by the calls that run and by the source that is read, which agree."""
    program.verify()
    plan, calls, text = schedule(program), SourceModule(), SourceModule()
    verify(plan)
    functions: list[dict[str, Any]] = [{}, {}]
    exec(calls.text([numpy_calls.write("f", program, plan, calls, "")], ""), functions[0])
    exec(text.text([numpy_text.write("f", program, text, "").text], ""), functions[1])
    assert equations(program)
    work = plan.work.allocate(len(data[0]) if data else 0)
    with np.errstate(all="ignore"):
        cost, gradient = functions[0]["f"](theta, *data, work)
        again = functions[0]["f"](theta, *data, work)
        read = functions[1]["f"](theta, *data)
    np.testing.assert_array_equal(again[1], gradient)
    scale = max(1.0, np.abs(gradient[np.isfinite(gradient)]).max(initial=0.0))
    np.testing.assert_allclose(read[1], gradient, rtol=0, atol=1e-13 * scale)
    return float(cost), gradient


def eager(case: Case) -> tuple[float, np.ndarray]:
    """The mean cost over the rows and its gradient, in scalars."""
    function, parameters, data = case
    for p in parameters:
        p.grad = 0.0
    rows = len(data[0])
    costs = [total(function(*[as_values(x[i]) for x in data])) for i in range(rows)]
    for cost in costs:
        cost.backward()
    gradient = np.array([p.grad for p in parameters]) / rows
    return sum(cost.data for cost in costs) / rows, gradient


def check(case: Case) -> ir.Program:
    """The program of a case, whose cost and gradient are those of the scalars."""
    program = program_of(case)
    cost, gradient = computed(program, np.array([p.data for p in case[1]]), case[2])
    expected = eager(case)
    assert cost == pytest.approx(expected[0], rel=1e-12, abs=1e-12)
    scale = max(1.0, np.abs(expected[1]).max())
    np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=1e-13 * scale)
    return program


# ----------------------------------------------------------------------------------- recurrences in scalars


@pytest.mark.parametrize("model", MODELS)
def test_gradients_of_models_are_those_of_the_scalars(model: Callable[[int], Case]) -> None:
    program = check(model(40))
    loops = loops_of(program)
    assert any(loop.falling for loop in loops)
    assert any(not loop.falling for loop in loops)


@pytest.mark.parametrize("model", MODELS)
def test_the_program_does_not_grow_with_the_steps(model: Callable[[int], Case]) -> None:
    assert size_of(program_of(model(60))) == size_of(program_of(model(40)))


@settings(max_examples=60, deadline=None)
@given(recurrences())
def test_gradients_of_random_recurrences_are_those_of_the_scalars(case: Case) -> None:
    check((lambda *x: total(case[0](*x)) + 0.0 * case[1][0], *case[1:]))
