"""Gradients from checkpoints: those that are computed from everything that was kept, with less memory."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from test_compiled_loops import Squeezing, compiled
from test_loops import (
    ANY,
    MODELS,
    Case,
    gru,
    kalman,
    loops_of,
    lstm,
    newton_within,
    recurrences,
    rnn,
    temporal_classification,
)
from test_through_time import LOOPS, THETA, M, X, complex_step, computed, eager, guarded, total

from autobp import Value, exp, ir, tanh
from autobp.backends.schedule import schedule
from autobp.compiler import checkpoints, stretches
from autobp.compiler.differentiate import differentiate
from autobp.compiler.pipeline import Compiled, Signature, of_cost, outputs_of
from autobp.compiler.recording import record_function
from autobp.compiler.step import Step
from autobp.compiler.stretches import in_stretches
from autobp.compiler.total import mean_cost
from autobp.compiler.verified import ProgramDiffers
from autobp.ir.substituting import substituted
from autobp.machine import memory as memory_module


def programs_of(case: Case) -> tuple[ir.Program, ir.Program]:
    """The programs of cost and gradient of a function: keeping everything, and from checkpoints."""
    function, parameters, data = case
    graph, shape = record_function(lambda *x: total(function(*x)), parameters, [x[0] for x in data])
    names = [f"x{i}" for i in range(len(data))]
    signature = Signature([p.label for p in parameters], names, [x.shape[1:] for x in data], shape)
    forward = outputs_of(graph, signature, ANY)
    made = in_stretches(forward.outputs)
    fewer = of_cost(replace(forward, outputs=made.outputs, scalars={}), made.recomputed)
    return of_cost(forward).programs["cost_and_gradient"], fewer.programs["cost_and_gradient"]


def kept(program: ir.Program) -> int:
    """The bytes that a row takes."""
    work = schedule(program).work
    return work.n_bytes(2) - work.n_bytes(1)


def check(case: Case) -> tuple[ir.Program, ir.Program]:
    """Both programs of a case, which give the cost and the gradient of the scalars."""
    programs = programs_of(case)
    expected = eager(case)
    scale = max(1.0, np.abs(expected[1]).max())
    for program in programs:
        cost, gradient = computed(program, np.array([p.data for p in case[1]]), case[2])
        assert cost == pytest.approx(expected[0], rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=1e-13 * scale)
    return programs


# -------------------------------------------------------------------------------------------- right numbers


@pytest.mark.parametrize("model", MODELS)
def test_gradients_from_checkpoints_are_those_of_the_scalars(model: Callable[[int], Case]) -> None:
    everything, fewer = check(model(40))
    assert len(loops_of(fewer)) > len(loops_of(everything))


@pytest.mark.parametrize("steps", [16, 17, 36, 37, 41, 42, 43])
@pytest.mark.parametrize("model", [rnn, gru])
def test_steps_need_not_be_a_whole_number_of_stretches(model: Callable[[int], Case], steps: int) -> None:
    check(model(steps))


def lagged(steps: int, lag: int) -> Case:
    """Costs that read states of several steps ago, at some steps, and the first and the last on their own."""
    a, b, c = Value(0.6), Value(0.4), Value(0.3)

    def loss(x: Any, y: Any) -> Any:
        h, k, hs, ks = x[0], y[0], [], []
        for t in range(steps):
            h, k = tanh(a * h + b * x[t]), tanh(c * k + 0.1 * h)
            hs.append(h)
            ks.append(k)
        cost = hs[0] * ks[0] + hs[-1] * y[0] + ks[-1] * ks[-1]
        for t in range(lag, steps):
            cost = cost + hs[t] * ks[t - lag] * y[t - lag] + (hs[t - lag] - y[t]) ** 2
        for t in range(3, steps - 2):
            cost = cost + exp(hs[t - 1] - x[t]) * ks[t]
        return cost

    rng = np.random.default_rng(21)
    return loss, [a, b, c], (rng.standard_normal((3, steps)), rng.standard_normal((3, steps)))


@pytest.mark.parametrize("lag", [1, 2, 5, 20])
@pytest.mark.parametrize("steps", [40, 61])
def test_costs_may_read_steps_of_before(steps: int, lag: int) -> None:
    everything, fewer = check(lagged(steps, lag))
    assert len(loops_of(fewer)) > len(loops_of(everything))


@settings(max_examples=25, deadline=None)
@given(recurrences())
def test_random_recurrences(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "LEAST", 4)
        check((lambda *x: total(case[0](*x)) + 0.0 * case[1][0], *case[1:]))


@pytest.mark.parametrize("case", LOOPS)
def test_loops_made_by_hand(case: str, monkeypatch: Any) -> None:
    """Loops that fall keep everything, others go by stretches of 3 of their 6 steps."""
    monkeypatch.setattr(stretches, "LEAST", 4)
    output = LOOPS[case]()
    outputs = ir.Program((THETA, X), (output,), {X: "x"})
    made = in_stretches(outputs)
    value, derivative = mean_cost(made.outputs), differentiate(made.outputs, made.recomputed)
    new = substituted((*value.results, derivative.gradient), derivative.loops)
    both = replace(value, results=(new[value.results[0]], new[derivative.gradient]))
    rng = np.random.default_rng(1)
    point, rows = rng.uniform(-0.9, 0.9, 9), rng.standard_normal((M, 6, 2))
    _, gradient = computed(both, point, [rows])
    expected = complex_step(mean_cost(outputs), point, rows)
    assert made.recomputed or "falling" in case
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_what_was_not_selected_gets_0_of_an_infinite_adjoint_in_every_stretch() -> None:
    w = Value(0.7)
    x = np.array([[1.0, -2.0] * 10, [-1.0] * 20, [0.3] * 20])
    case = (lambda x: guarded(x, w)), [w], (x,)
    expected = eager(case)[1]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(computed(programs_of(case)[1], np.array([0.7]), [x])[1], expected, rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e150])
def test_numbers_that_are_not_finite_pass_through(bad: float) -> None:
    function, parameters, (x, y) = rnn(20)
    x[1, 7, 0] = bad
    case = function, parameters, (x, y)
    theta = np.array([p.data for p in parameters])
    everything, fewer = [computed(program, theta, (x, y)) for program in programs_of(case)]
    np.testing.assert_allclose(fewer[0], everything[0], rtol=1e-12)
    np.testing.assert_allclose(fewer[1], everything[1], rtol=1e-12, atol=1e-13)


# ---------------------------------------------------------------------------------------------- less memory


def of_many(model: Callable[[int], Case], steps: int, rows: int) -> tuple[Step, list[np.ndarray]]:
    """The step of a case that NumPy runs, and data of many rows."""
    case = model(steps)
    rng = np.random.default_rng(20)
    return compiled(case, backend="numpy"), [rng.standard_normal((rows, *x.shape[1:])) for x in case[2]]


def peak(step: Step, data: list[np.ndarray]) -> tuple[tuple[float, np.ndarray], int]:
    """What a call gives, and the most memory that it had."""
    step(step.theta, *[x[:20] for x in data])  # what is made at a first call
    tracemalloc.start()
    try:
        found = step(step.theta, *data)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("model", "part"), [(rnn, 4), (lstm, 4), (gru, 5), (kalman, 3), (newton_within, 6)])
def test_above_a_limit_less_is_kept(model: Callable[[int], Case], part: int, monkeypatch: Any) -> None:
    step, data = of_many(model, 150, 1000)
    expected, everything = peak(step, data)
    again = pickle.loads(pickle.dumps(step))
    monkeypatch.setattr(checkpoints, "memory_of_machine", lambda: everything)
    _ = again.executable.from_checkpoints  # to be made takes memory too
    found, fewer = peak(again, data)
    assert part * fewer < everything
    assert found[0] == pytest.approx(expected[0], rel=1e-13)
    scale = np.abs(expected[1]).max()
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-13 * scale)
    assert step(step.theta, *[x[:1] for x in data])[0] == again(step.theta, *[x[:1] for x in data])[0]


def test_four_times_as_many_steps_take_twice_the_memory() -> None:
    few, many = programs_of(rnn(64)), programs_of(rnn(256))
    assert kept(many[0]) > 3.8 * kept(few[0])
    assert kept(many[1]) < 2.1 * kept(few[1])


def test_where_checkpoints_save_little_everything_is_kept(monkeypatch: Any) -> None:
    step, data = of_many(temporal_classification, 40, 50)
    expected = step(step.theta, *data)
    again = pickle.loads(pickle.dumps(step))
    monkeypatch.setattr(checkpoints, "most_kept", lambda: 0)
    np.testing.assert_array_equal(again(step.theta, *data)[1], expected[1])


def test_what_does_not_fit_even_so_is_told(monkeypatch: Any) -> None:
    step, data = of_many(rnn, 40, 5000)
    monkeypatch.setattr(memory_module, "memory_of_machine", lambda: 100_000)
    monkeypatch.setattr(checkpoints, "memory_of_machine", lambda: 100_000)
    with pytest.raises(MemoryError, match=r"5,000 rows.*fewer rows at a time"):
        step(step.theta, *data)


def test_where_the_system_does_not_say_how_much_memory_there_is(monkeypatch: Any) -> None:
    monkeypatch.setattr(checkpoints, "memory_of_machine", lambda: None)
    assert checkpoints.most_kept() == 2**30


def interrupt_at_once() -> None:
    raise KeyboardInterrupt


def test_an_interrupt_is_heard_while_a_stretch_is_computed_once_more() -> None:
    with Squeezing(interrupt_at_once) as operation:
        run = operation.step(49, backend="numpy").executable.from_checkpoints.run
        x = np.random.default_rng(1).standard_normal((1, 49))
        operation.calls = 0
        expected = run("cost_and_gradient", np.array([0.5]), [x])
        assert operation.calls == 2 * 49
        operation.calls, operation.wanted = 0, 70
        with pytest.raises(KeyboardInterrupt):
            run("cost_and_gradient", np.array([0.5]), [x])
        np.testing.assert_array_equal(run("cost_and_gradient", np.array([0.5]), [x])[1], expected[1])


def test_what_differs_from_the_graph_is_not_handed_out(monkeypatch: Any) -> None:
    step = compiled(rnn(40), backend="numpy")

    def wrong(*arguments: Any) -> Compiled:
        compiled = of_cost(*arguments)
        value, both = compiled.programs.values()
        halved = ir.Sum((both.results[1],), both.results[1].shape, (0.5,))
        whole = ir.Assemble((halved,), (None,), (False,), False, halved.shape, False)
        programs = {"value": value, "cost_and_gradient": replace(both, results=(both.results[0], whole))}
        return replace(compiled, programs=programs)

    monkeypatch.setattr(checkpoints, "of_cost", wrong)
    with pytest.raises(ProgramDiffers, match="the derivative by"):
        _ = step.executable.from_checkpoints
