"""Derivatives of recurrences beyond the gradient: loops, right, and of one size for any number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compiled_derivatives import differences, in_machine_code
from test_compiled_loops import compiled
from test_loops import (
    ANY,
    MODELS,
    Case,
    asian_option,
    autoregression,
    encoder_and_decoder,
    gru,
    hidden_markov,
    kalman,
    linear,
    loops_of,
    lotka_volterra,
    recurrences,
    rnn,
    runge_kutta,
    size_of,
    values,
)
from test_through_time import total

import autobp
from autobp import Value, ir
from autobp.backends import numpy_calls
from autobp.backends.aliasing import verify
from autobp.backends.numpy_text import source_of
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.compiler.derivatives import walked
from autobp.compiler.derivatives.formulas import NoDerivative
from autobp.compiler.derivatives.made import made_of
from autobp.compiler.derivatives.programs import program_of
from autobp.compiler.derivatives.pruning import pruned
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.loops.finding import Limits
from autobp.compiler.pipeline import Signature, outputs_of
from autobp.compiler.recording import record_function
from autobp.functions import maximum, relu, sqrt
from autobp.reading.graph import Graph

Recorded = tuple[Graph, Signature]


def recorded(case: Case, of_cost: bool) -> Recorded:
    """The graph of a function; of a cost, that of the sum of what it gives."""
    function, parameters, data = case

    def outputs(*arguments: Any) -> Any:
        found = function(*arguments)
        return [found] if isinstance(found, Value) else found

    made = (lambda *x: total(function(*x))) if of_cost else outputs
    graph, shape = record_function(made, parameters, [x[0] for x in data])
    names = [f"x{i}" for i in range(len(data))]
    return graph, Signature([p.label for p in parameters], names, [x.shape[1:] for x in data], shape)


def program(found: Recorded, wanted: Wanted, loops: Limits | None = ANY) -> ir.Program:
    made = program_of(wanted, outputs_of(*found, loops))
    made.verify()
    return made


def computed(program: ir.Program, theta: Any, arrays: Sequence[Any]) -> tuple[Any, Any]:
    """What a program gives, by the calls that run, twice, and by the source that is read, which agree."""
    plan, calls = schedule(program), SourceModule()
    verify(plan)
    running: dict[str, Any] = {}
    reading: dict[str, Any] = {}
    exec(calls.text([numpy_calls.write("f", program, plan, calls, "")], ""), running)
    exec(source_of({"f": program}, "", {"f": ""}).text, reading)
    work = plan.work.allocate(len(arrays[0]) if program.has_samples else 0)
    with np.errstate(all="ignore"):
        first, derivative = running["f"](theta, *arrays, work)
        again = running["f"](theta, *arrays, work)
        read = reading["f"](theta, *arrays)
    np.testing.assert_array_equal(again[1], derivative)
    scale = max(1.0, np.abs(derivative).max(initial=0.0))
    np.testing.assert_allclose(read[1], derivative, rtol=0, atol=1e-12 * scale)
    return first, derivative


def matrices(found: Recorded, by: int, theta: Any, data: Sequence[Any]) -> Any:
    """Each row's Jacobian, (m, outputs, n), by the chain rule from node to node."""
    walks = walked.Walks(*found, by)
    rows = walked.jacobian(found[0], by, walks.size, theta, [x.reshape(len(x), -1) for x in data])
    return rows[:, walks.n_outputs :].reshape(len(rows), walks.n_outputs, walks.size)


def products(found: Recorded, by: int, theta: Any, data: Sequence[Any], v: Any) -> Any:
    """Each row's Hessian times its v, (m, n), by the graph of the engine's own derivative."""
    graph = walked.Walks(*found, by).product_with_hessian()
    return walked.numbers(graph, theta, [*[x.reshape(len(x), -1) for x in data], v])[:, 1:]


def check_of_cost(found: Recorded, case: Case, kind: str, by: int = 0) -> ir.Program:
    """The program of a derivative of a cost, which computes what the engine's derivative of the graph is."""
    made = program(found, Wanted(kind, by))
    theta, data = np.array([p.data for p in case[1]]), list(case[2])
    m, n = len(data[0]), made.arguments[by].size
    if kind == "rows":
        expected = matrices(found, by, theta, data)[:, 0]
        derivative = computed(made, theta, data)[1]
    else:
        v = np.random.default_rng(0).normal(size=(m if by else 1, n))
        expected = products(found, by, theta, data, np.broadcast_to(v, (m, n)))
        expected = expected if by else expected.mean(0)
        last = [v if by else v[0]] if kind == "hvp" else []
        derivative = computed(made, theta, [*data, *last])[1]
        if kind == "hessian":
            derivative = np.einsum("mij,mj->mi", derivative, v) if by else derivative @ v[0]
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(derivative, expected, rtol=0, atol=1e-11 * scale)
    return made


def check_of_outputs(found: Recorded, case: Case, kind: str, by: int) -> ir.Program:
    """The same of outputs."""
    made = program(found, Wanted(kind, by))
    theta, data = np.array([p.data for p in case[1]]), list(case[2])
    expected = matrices(found, by, theta, data)
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    if kind != "columns":
        last = made.inputs[-1]
        m = len(data[0])
        v = np.random.default_rng(0).normal(size=(*([m] if last.batched else []), *last.sample))
        data.append(v)
        axes = "mqn,mn->mq" if kind == "jvp" else "mqn,mq->mn"
        expected = np.einsum(axes, expected, v if last.batched else np.broadcast_to(v, (m, *v.shape)))
    if kind == "vjp" and not by:
        expected = expected.sum(0)
    derivative = computed(made, theta, data)[1]
    np.testing.assert_allclose(derivative, expected, rtol=0, atol=1e-11 * scale, err_msg=kind)
    return made


# ---------------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("kind", ["hessian", "hvp", "rows"])
@pytest.mark.parametrize("model", MODELS)
def test_derivatives_of_costs(model: Callable[[int], Case], kind: str) -> None:
    case = model(30)
    assert loops_of(check_of_cost(recorded(case, True), case, kind))


@pytest.mark.parametrize("kind", ["hessian", "hvp", "rows"])
@pytest.mark.parametrize("model", [rnn, kalman, lotka_volterra, hidden_markov])
def test_derivatives_by_an_argument(model: Callable[[int], Case], kind: str) -> None:
    case = model(20)
    assert loops_of(check_of_cost(recorded(case, True), case, kind, 1))


def states(T: int) -> Case:
    """What a recurrence leaves of each step, two numbers each, of which the second forgets the first step."""
    rng = np.random.default_rng(3)
    W, b = values(rng, 2, 2), values(rng, 2)

    def outputs(x: Any) -> Any:
        h, found = [x[0][0], x[0][1]], []
        for t in range(T):
            z = linear(W, h)
            h = [(z[0] + b[0] + x[t][0]).tanh(), (b[1] * x[t][1]).sigmoid() * h[0]]
            found.append(h)
        return found

    return outputs, [w for row in W for w in row] + b, (rng.normal(size=(3, T, 2)),)


@pytest.mark.parametrize("model", [states, autoregression, runge_kutta])
@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("kind", ["columns", "jvp", "vjp", "pulled"])
def test_derivatives_of_outputs(model: Callable[[int], Case], by: int, kind: str) -> None:
    case = model(20)
    assert loops_of(check_of_outputs(recorded(case, False), case, kind, by))


@pytest.mark.parametrize("model", [rnn, gru, kalman, runge_kutta, encoder_and_decoder, asian_option])
def test_programs_do_not_grow_with_the_steps(model: Callable[[int], Case]) -> None:
    sizes = []
    for steps in {encoder_and_decoder: (40, 60), asian_option: (40, 60)}.get(model, (20, 60)):
        found = recorded(model(steps), True)
        sizes.append([size_of(program(found, Wanted(kind))) for kind in ("hvp", "hessian", "rows")])
    assert sizes[0] == sizes[1]


@settings(max_examples=40, deadline=None)
@given(recurrences(), st.sampled_from(["hvp", "hessian", "rows", "gradient"]), st.booleans())
def test_random_recurrences(case: Case, kind: str, weighted: bool) -> None:
    """Costs: loops against the same derivative with the steps written out, which the engine's are held to."""
    found = recorded(case, True)
    theta, data = np.array([p.data for p in case[1]]), list(case[2])
    random = np.random.default_rng(0)
    wanted = Wanted(kind, 0, 0, weighted)
    if weighted and kind in ("hessian", "hvp", "gradient"):
        data.append(random.uniform(size=2))
    else:
        wanted = Wanted(kind)
    if kind == "hvp":
        data.append(random.normal(size=len(theta)))
    looped, unrolled = program(found, wanted), program(found, wanted, None)
    expected = computed(unrolled, theta, data)
    derivative = computed(looped, theta, data)
    scale = max(1.0, np.abs(expected[1]).max(initial=0.0))
    np.testing.assert_allclose(derivative[0], expected[0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(derivative[1], expected[1], rtol=0, atol=1e-10 * scale)


@settings(max_examples=30, deadline=None)
@given(recurrences(), st.sampled_from(["columns", "jvp", "vjp", "pulled"]), st.integers(0, 2))
def test_random_outputs(case: Case, kind: str, by: int) -> None:
    """Outputs: against the engine's derivatives of the graph."""
    check_of_outputs(recorded(case, False), case, kind, by)


def test_an_output_has_no_derivative_by_what_it_does_not_depend_on() -> None:
    """Neither the infinite slope of another output, at 0, nor another's rows reach what depends on none."""
    p = Value(1.0)

    def outputs(x: Any) -> Any:
        return [3.0 * p + maximum(p, 0.5), 2.0 * x[0] * p, maximum(x[0], p) * x[0], x[0].sqrt()]

    graph, _ = record_function(outputs, [p], [np.ones(1)])
    by_x = walked.jacobian(graph, 1, 1, np.ones(1), [np.array([[0.0], [4.0]])])
    np.testing.assert_array_equal(by_x[:, 4:], [[0.0, 2.0, 1.0, np.inf], [0.0, 2.0, 8.0, 0.25]])
    by_p = walked.jacobian(graph, 0, 1, np.ones(1), [np.array([[0.0], [4.0]])])
    np.testing.assert_array_equal(by_p[:, 4:], [[4.0, 0.0, 0.0, 0.0], [4.0, 8.0, 0.0, 0.0]])


# ------------------------------------------------------------------------------------------ steps of a user


@pytest.mark.parametrize("model", [kalman, rnn, hidden_markov])
def test_steps_have_the_differences_of_their_gradients(model: Callable[[int], Case]) -> None:
    case = model(40)
    step = compiled(case)
    theta, data = step.theta, case[2]
    expected = differences(lambda t: step(t, *data)[1], theta)
    found = step.hessian(theta, *data)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * scale)
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-12 * scale)
    v = np.linspace(-1.0, 1.0, len(theta))
    np.testing.assert_allclose(step.hvp(theta, v, *data), found @ v, rtol=0, atol=1e-12 * scale)
    costs, gradients = step.rows(theta, *data)
    cost, gradient = step(theta, *data)
    assert np.mean(costs) == pytest.approx(cost, rel=1e-13)
    np.testing.assert_allclose(gradients.mean(0), gradient, rtol=0, atol=1e-13 * np.abs(gradients).max())


def check_machine_code(case: Case, kinds: Sequence[str]) -> None:
    function, parameters, data = case
    costs: dict[int, Callable[..., Any]] = {
        1: lambda x: total(function(x)),
        2: lambda x, y: total(function(x, y)),
    }
    cost = costs[len(data)]
    fast, slow = in_machine_code(cost, parameters), autobp.compile(cost, parameters)
    theta = slow.theta
    v = np.linspace(-1.0, 1.0, len(theta))
    for kind in kinds:
        arguments = [theta, *([v] if kind == "hvp" else []), *data]
        expected, found = [np.hstack(list(map(np.ravel, getattr(x, kind)(*arguments)))) for x in (slow, fast)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
        assert made_of(fast._executable(), Wanted(kind)).choice.name == "c"


def test_machine_code_goes_through_loops() -> None:
    check_machine_code(rnn(40), ["hvp", "rows"])


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_machine_code_of_all_models(model: Callable[[int], Case]) -> None:
    check_machine_code(model(40), ["hvp", "rows", "hessian"])


# -------------------------------------------------------------------------------------- what is carried


def test_a_tangent_that_is_zero_is_not_carried() -> None:
    """A state of data alone has none; one that a parameter reaches later has one, though it begins with 0."""
    w = Value(0.7)

    def loss(x: Any) -> Any:
        mean, level, far = x[0], x[0] * 0.0, x[1]
        for t in range(40):
            next_level = (w * mean + 0.5 * level).sin()
            mean, level, far = (0.9 * mean + x[t]).tanh(), next_level, (far + level).tanh()
        return far * mean

    case: Case = (loss, [w], (np.random.default_rng(0).normal(size=(3, 40)),))
    found = recorded(case, True)
    check_of_cost(found, case, "hvp")
    outputs: Case = (lambda x: [loss(x)], *case[1:])
    (loop,) = loops_of(program(recorded(outputs, False), Wanted("jvp")))
    assert len(loop.initial) == 3 + 2


def test_tangents_in_a_body_are_called_after_what_they_are_of() -> None:
    step = compiled(rnn(40))
    source = step.source_of("hvp")
    body = source[source.index("for t in range(40):") :].split("for t in")[1]
    assert "h_dot = " in body


def test_a_loop_leaves_only_what_is_needed() -> None:
    """Of a loop's gradient the Hessian needs the tangent, and nothing that the gradient alone is made of."""
    case = kalman(40)
    found = recorded(case, True)
    made = program(found, Wanted("hvp"))
    for loop in loops_of(made):
        used = {x.number for x in made.arrays if isinstance(x, ir.Result) and x.loop is loop}
        states = len(loop.initial)
        assert used >= set(range(states, len(loop.body.results)))
    assert pruned(made).arrays == made.arrays


def test_edges_in_a_loop_are_the_engines() -> None:
    """Where a root in a step has an infinite derivative, the graph answers."""
    w = [Value(0.5), Value(1.0)]

    def loss(x: Any) -> Any:
        h = Value(0.0) + x[0]
        for t in range(30):
            h = (w[0] * relu(h) + w[1] * x[t]).tanh() + maximum(h, 0.0) * 0.1
        return sqrt(relu(h))

    x = np.full((2, 30), 0.3)
    x[1, -6:] = -3.0
    step = autobp.compile(loss, w)
    theta = step.theta
    unrolled = program(recorded((loss, w, (x,)), True), Wanted("hessian"), None)
    expected = computed(unrolled, theta, [x[:1]])[1]
    found = step.hessian(theta, x)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected / 2, rtol=1e-10, atol=1e-13)


def test_rules_that_are_python_code_are_refused_in_a_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from autobp.ops import TABLE

    op = TABLE["tanh"]

    def branches(xp: Any, y: Any, x: Any) -> tuple[Any]:
        return (1.0 - y * y if x > -100.0 else 0.0,)

    monkeypatch.setattr(op, "partials", branches)
    step = compiled(rnn(40))
    data = rnn(40)[2]
    with pytest.raises(NoDerivative, match="the operation tanh has rules that Python runs"):
        step.hessian(step.theta, *data)
