"""The derivative of loops: backpropagation through time, against the scalars and other witnesses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from test_loops import ANY, MODELS, Case, as_values, loops_of, recurrences, rnn, size_of

import autobp
from autobp import Value, ir
from autobp.backends import c_text, numpy_calls, numpy_text
from autobp.backends.aliasing import verify
from autobp.backends.latex import equations
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.compiler.differentiate import differentiate
from autobp.compiler.loops.finding import Limits
from autobp.compiler.pipeline import Signature, programs_of
from autobp.compiler.recording import record_function
from autobp.compiler.total import mean_cost
from autobp.functions import relu, sqrt, tanh
from autobp.ir.substituting import substituted
from autobp.machine import memory as memory_module
from autobp.ops import TABLE


def total(x: Any) -> Any:
    """The sum of all numbers of nested lists."""
    if isinstance(x, list | tuple):
        return sum([total(y) for y in x[1:]], total(x[0]))
    return x


def program_of(case: Case, loops: Limits | None = ANY) -> ir.Program:
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


def test_a_state_that_waits_a_step_is_an_array_one_way_and_a_number_the_other():
    """The loop forwards keeps it as arrays of one element, of which the one backwards takes the numbers."""
    a, b, c = [Value(x) for x in (0.3, 0.5, 0.6)]

    def loss(x: Any) -> Any:
        u, before, s, before_s, total = Value(0.1), Value(0.2), [Value(0.1), Value(0.2)], Value(0.3), 0.0 * x
        for _ in range(12):
            new = [tanh(b * s[0] + before), tanh(c * s[1] + before_s)]
            u, before, s, before_s = tanh(a * u), u, new, s[1]
            total = total + u + new[0] + new[1]
        return total

    program = check((loss, [a, b, c], (np.zeros(2),)))
    assert loops_of(program)


# ------------------------------------------------------------------------------------- loops made by hand

M, T = 3, 6
X = ir.Input(0, (T, 2))
THETA = ir.Theta(9)
A = ir.View(THETA, 0, (2, 2), (2, 1))
B = ir.View(THETA, 4, (2,), (1,))
C = ir.View(THETA, 6, (2,), (1,))
D = ir.View(THETA, 8, (1,), (1,))
BY_STEP = ir.Reshape(X, (T, 2))


def local(*shape: int, samples: bool = True) -> ir.Local:
    return ir.Local(shape, samples)


def applied(name: str, *arrays: ir.Array) -> ir.Array:
    return ir.Map(arrays, np.broadcast_shapes(*[x.shape for x in arrays]), TABLE[name])


def added(*arrays: ir.Array) -> ir.Array:
    return ir.Sum(arrays, np.broadcast_shapes(*[x.shape for x in arrays]), (1.0,) * len(arrays))


def samples(array: ir.Array) -> ir.Array:
    return ir.Fill(array, array.shape, True)


def everything(*arrays: ir.Array) -> ir.Array:
    """The sum of the squares of all elements, with samples (1,)."""
    sums = []
    for x in arrays:
        flat = ir.Reshape(x if x.batched else samples(x), (x.size,))
        sums.append(ir.RowDot(flat, flat))
    return added(*sums) if len(sums) > 1 else sums[0]


def with_gradient(output: ir.Array) -> ir.Program:
    """The program of the mean of an output, and its gradient."""
    outputs = ir.Program((THETA, X), (output,), {X: "x"})
    value, derivative = mean_cost(outputs), differentiate(outputs)
    made = substituted((*value.results, derivative.gradient), derivative.loops)
    results = made[value.results[0]], made[derivative.gradient]
    return replace(value, results=results)


def recurrent(falling: bool = False) -> ir.Loop:
    """h = tanh(A h + x_t + b), which leaves h² and c·x."""
    h, x, a, b = local(2), local(2), local(2, 2, samples=False), local(2, samples=False)
    after = applied("tanh", added(ir.MatMul(h, a), x, b))
    body = ir.Program((h, x, a, b), (after, applied("multiply", after, after), applied("multiply", x, b)), {})
    return ir.Loop(T, body, (samples(C),), (BY_STEP,), (A, B), falling)


def two_states(falling: bool = False) -> ir.Loop:
    """Two states that change places, one of them without samples."""
    h, k, u, x, d = local(2), local(2), local(2, samples=False), local(2), local(1, samples=False)
    slower = applied("multiply", u, applied("cos", d))
    after = added(applied("multiply", k, u), applied("sin", x))
    body = ir.Program((h, k, u, x, d), (k, after, slower, ir.Reduce(applied("multiply", h, x))), {})
    return ir.Loop(T, body, (samples(B), samples(C), B), (BY_STEP,), (D,), falling)


def own_weights() -> ir.Loop:
    """Weights of each step's own, which have no samples."""
    h, w = local(2), local(1, samples=False)
    body = ir.Program((h, w), (applied("exp", applied("multiply", applied("sin", h), w)),), {})
    return ir.Loop(T, body, (samples(C),), (ir.View(THETA, 0, (T, 1), (1, 1)),))


def nested(falling: bool = False) -> ir.Loop:
    """A loop in the steps of a loop, which takes a product at each of them."""
    k, a, z = local(2), local(2, 2, samples=False), local(2)
    inner = ir.Program((k, z, a), (applied("tanh", added(ir.MatMul(k, a), z)), applied("multiply", k, k)), {})
    h, x, v = local(2), local(2), local(2, 2, samples=False)
    within = ir.Loop(4, inner, (h,), (), (x, v), not falling)
    squares = ir.Reduce(ir.View(ir.Result(within, 1), 0, (2, 4), (1, 2)))
    after = added(ir.Result(within, 0), x)
    outer = ir.Program((h, x, v), (after, squares), {})
    return ir.Loop(T, outer, (samples(C),), (BY_STEP,), (A,), falling)


def not_carried() -> ir.Loop:
    """A state that the next step does not read, and one that nothing reads."""
    h, k, x, b = local(2), local(2), local(2), local(2, samples=False)
    body = ir.Program((h, k, x, b), (x, applied("sin", k), applied("multiply", h, b)), {})
    return ir.Loop(T, body, (samples(C), samples(B)), (BY_STEP,), (B,))


def with_stacks() -> ir.Loop:
    """Rows within a step: the weights' products have an axis to sum over beside the steps."""
    h, x, a = local(3, 2), local(2), local(2, 2, samples=False)
    after = applied("tanh", added(ir.MatMul(h, a), ir.Reshape(x, (1, 2))))
    body = ir.Program((h, x, a), (after,), {})
    return ir.Loop(T, body, (ir.Fill(C, (3, 2), True),), (BY_STEP,), (A,))


def without_samples() -> ir.Loop:
    h, a, d = (local(*shape, samples=False) for shape in ((2,), (2, 2), (1,)))
    body = ir.Program((h, a, d), (applied("sin", added(ir.MatMul(h, a), d)), applied("exp", h)), {})
    return ir.Loop(T, body, (C,), (), (A, D))


def large() -> ir.Loop:
    """What each step adds to the adjoint of an invariant is large, and no product: summed as it goes."""
    h, v = local(1), local(100, samples=False)
    after = applied("sin", added(h, ir.Reduce(applied("multiply", applied("sin", v), v))))
    body = ir.Program((h, v), (after,), {})
    return ir.Loop(T, body, (samples(D),), (), (ir.Fill(ir.View(THETA, 0, (1,), (1,)), (100,), False),))


def linear() -> ir.Loop:
    """What each step adds to the adjoint of an invariant is a bare number."""
    h, x, b = local(2), local(2), local(2, samples=False)
    body = ir.Program((h, x, b), (applied("sin", added(h, x)), added(x, b)), {})
    return ir.Loop(T, body, (samples(C),), (BY_STEP,), (B,))


def squares_of(loop: ir.Loop, *numbers: int) -> ir.Array:
    return everything(*[ir.Result(loop, number) for number in numbers])


LOOPS: Mapping[str, Callable[[], ir.Array]] = {
    "a state": lambda: squares_of(recurrent(), 0),
    "an output": lambda: squares_of(recurrent(), 1),
    "an output that no state is read for": lambda: squares_of(recurrent(), 2),
    "a state and outputs": lambda: squares_of(recurrent(), 0, 1, 2),
    "falling": lambda: squares_of(recurrent(True), 0, 1),
    "one step's output": lambda: everything(ir.View(ir.Result(recurrent(), 1), 4, (2,), (1,))),
    "the same adjoint in all steps": lambda: ir.Reduce(ir.Reshape(ir.Result(recurrent(), 1), (2 * T,))),
    "two states": lambda: squares_of(two_states(), 0, 1, 2, 3),
    "two states, one without samples": lambda: squares_of(two_states(), 2),
    "two states, falling": lambda: squares_of(two_states(True), 0, 3),
    "weights by step": lambda: squares_of(own_weights(), 0),
    "a loop in a loop": lambda: squares_of(nested(), 0, 1),
    "a loop in a falling loop": lambda: squares_of(nested(True), 0, 1),
    "a state that is not carried": lambda: squares_of(not_carried(), 0, 2),
    "states that nothing reads": lambda: squares_of(not_carried(), 1),
    "rows within a step": lambda: squares_of(with_stacks(), 0),
    "no samples": lambda: squares_of(without_samples(), 0, 1),
    "a number in all steps": lambda: ir.Reduce(ir.Reshape(ir.Result(linear(), 1), (2 * T,))),
    "a large adjoint": lambda: squares_of(large(), 0),
}


def after(loop: ir.Loop) -> ir.Loop:
    """A loop after another, on what that has left."""
    h, x = local(2), local(2)
    body = ir.Program((h, x), (applied("sin", applied("multiply", added(h, x), x)),), {})
    return ir.Loop(T, body, (ir.Result(loop, 0),), (ir.Result(loop, 1),))


def complex_step(program: ir.Program, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient from the cost at theta + i·h, where nothing cancels."""
    module = SourceModule()
    text = module.text([numpy_text.write("f", program, module, "").text], "")
    text = text.replace("np.empty(", "1j * np.zeros(")
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    found = []
    for i in range(len(theta)):
        there = theta.astype(complex)
        there[i] += 1e-100j
        found.append(namespace["f"](there, x).imag / 1e-100)
    return np.array(found)


@pytest.mark.parametrize("case", [*LOOPS, "a loop after a loop"])
def test_gradients_of_loops_are_those_of_the_complex_step(case: str) -> None:
    output = LOOPS[case]() if case in LOOPS else squares_of(after(recurrent()), 0)
    rng = np.random.default_rng(1)
    theta, x = rng.uniform(-0.9, 0.9, 9), rng.standard_normal((M, T, 2))
    both = with_gradient(output)
    _, gradient = computed(both, theta, [x])
    expected = complex_step(replace(both, results=both.results[:1]), theta, x)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_what_nothing_reads_gets_no_adjoint() -> None:
    both = with_gradient(squares_of(not_carried(), 1))
    (backward,) = [loop for loop in loops_of(both) if loop.falling]
    assert len(backward.initial) == 1
    (forward,) = [loop for loop in loops_of(both) if not loop.falling]
    assert len(forward.body.results) == 4  # the states and the output, and the state before each step


def test_one_product_after_the_loop_is_the_gradient_of_weights() -> None:
    both = with_gradient(squares_of(recurrent(), 0))
    products = [x for x in both.arrays if isinstance(x, ir.Product) and x.spec == "columns"]
    assert [x.delta.shape for x in products] == [(T, 2)]
    (backward,) = [loop for loop in loops_of(both) if loop.falling]
    assert not [x for x in backward.body.arrays if isinstance(x, ir.Product) and x.spec == "columns"]


def test_the_source_reads_as_backpropagation_through_time() -> None:
    text = numpy_text.write("f", program_of(rnn(30)), SourceModule(), "").text
    lines = [line.strip() for line in text.splitlines()]
    head = lines.index("for t in range(29, -1, -1):")
    assert lines[head - 2 : head + 4] == [
        "dh = delta2 @ W2",
        "delta1 = np.empty((m, 30, 5))",
        "for t in range(29, -1, -1):",
        "t7 = dh * (1.0 - t4[:, t] * t4[:, t])",
        "delta1[:, t] = t7",
        "dh = t7 @ t2",
    ]
    assert "hs[:, t] = h" in lines


@pytest.mark.parametrize("names", [["h", "hs"], ["dh", "hs_2"], ["t", "dh"]])
def test_names_of_the_way_back_are_no_ones_else(names: list[str]) -> None:
    function, parameters, data = rnn(20)
    graph, shape = record_function(function, parameters, [x[0] for x in data])
    labels = [["dh", "dh1", "h", ""][i % 4] for i in range(len(parameters))]
    signature = Signature(labels, names, [x.shape[1:] for x in data], shape)
    program = programs_of(graph, signature, ANY).programs["cost_and_gradient"]
    _, gradient = computed(program, np.array([p.data for p in parameters]), data)
    np.testing.assert_allclose(gradient, eager((function, parameters, data))[1], rtol=0, atol=1e-13)
    assert [program.names[x] for x in program.inputs] == names


# ---------------------------------------------------------------------------- NaN, infinity, what selects


def guarded(x: Any, w: Any) -> Any:
    """√(relu(s)) step after step, where s is below 0 in some of them: the root's slope is infinite at 0."""
    s = w * x[0]
    for t in range(len(x)):
        s = sqrt(relu(s)) * 0.5 + w * x[t]
    return s * s


def test_what_was_not_selected_gets_0_of_an_infinite_adjoint_in_every_step() -> None:
    w = Value(0.7)
    x = np.array([[1.0, -2.0] * 8, [-1.0] * 16, [0.3] * 16])
    case = (lambda x: guarded(x, w)), [w], (x,)
    program = program_of(case)
    assert any(loop.falling for loop in loops_of(program))
    expected = eager(case)[1]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(computed(program, np.array([0.7]), [x])[1], expected, rtol=1e-13)


@pytest.mark.parametrize("where", ["in the next step", "after the loop"])
def test_an_infinite_adjoint_may_come_from_a_later_step(where: str) -> None:
    """h = relu(√h + b·x), or relu(h + b·x) and a root after the loop: what was not selected gets 0 of ∞."""
    h, x, b = local(2), local(2), local(2, samples=False)
    inner = where == "in the next step"
    before = applied("sqrt", h) if inner else h
    after = applied("relu", added(before, applied("multiply", x, b)))
    loop = ir.Loop(T, ir.Program((h, x, b), (after,), {}), (samples(C),), (BY_STEP,), (B,))
    last: ir.Array = ir.Result(loop, 0)
    program = with_gradient(ir.Reduce(last if inner else applied("sqrt", last)))
    theta, x_ = np.full(9, 0.5), np.random.default_rng(2).standard_normal((M, T, 2))
    x_[0, 3], x_[1, -1] = -9.0, -9.0
    w = [Value(v) for v in theta]

    def outputs(rows: Any) -> Any:
        s = [w[6], w[7]]
        for row in rows:
            s = [relu((sqrt(p) if inner else p) + q * c) for p, q, c in zip(s, row, w[4:6], strict=True)]
        return s if inner else [sqrt(p) for p in s]

    _, expected = eager((outputs, w, (x_,)))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(computed(program, theta, [x_])[1], expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e150])
def test_numbers_that_are_not_finite_pass_through(bad: float) -> None:
    w, v = Value(0.7), Value(0.2)

    def loss(x: Any) -> Any:
        s = w * x[0]
        for t in range(16):
            s = tanh(s * v) * s + x[t] / (1.0 + s * s)
        return s

    x = np.random.default_rng(3).standard_normal((1, 16))
    x[0, 7] = bad
    case = loss, [w, v], (x,)
    program = program_of(case)
    assert any(loop.falling for loop in loops_of(program))
    expected, found = eager(case), computed(program, np.array([0.7, 0.2]), [x])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)


# -------------------------------------------------------------------------------------- another witness


def test_the_gradient_of_a_recurrent_network_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    case = rnn(30)
    (_, parameters, (x, y)), program = case, program_of(case)
    theta = np.array([p.data for p in parameters])
    cost, gradient = computed(program, theta, [x, y])
    vector = torch.tensor(theta, requires_grad=True)
    W, U, b, o = vector[:25].view(5, 5), vector[25:35].view(5, 2), vector[35:40], vector[40:]
    h = torch.zeros(len(x), 5, dtype=torch.float64)
    for t in range(30):
        h = torch.tanh(h @ W.T + torch.tensor(x[:, t]) @ U.T + b)
    mean = ((h @ o - torch.tensor(y)) ** 2).mean()
    mean.backward()
    assert cost == pytest.approx(mean.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, vector.grad.numpy(), rtol=0, atol=1e-14)


# ----------------------------------------------------------------------------------------------- memory


def test_the_memory_that_is_told_is_what_is_allocated() -> None:
    work = schedule(program_of(rnn(30))).work

    memory: dict[int, int] = {}
    views = 0

    def see(x: Any) -> None:
        nonlocal views
        if isinstance(x, list):
            for y in x:
                see(y)
            return
        views += x.base is not None
        while x.base is not None:
            x = x.base
        memory[id(x)] = x.nbytes

    allocated = work.allocate(7)
    see(allocated)
    views -= len(work.by_step)  # each is seen with its samples first too
    assert views >= 2 * 30
    assert work.n_bytes(7) == sum(memory.values()) + 128 * views
    assert work.n_bytes(8) - work.n_bytes(7) > 8 * 30 * 5  # the states of all steps


@pytest.mark.parametrize("backend", ["numpy", "c"])
def test_what_does_not_fit_into_memory_is_told_before_it_is_allocated(backend: str, monkeypatch: Any) -> None:
    if backend == "c" and shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    monkeypatch.setattr(memory_module, "memory_of_machine", lambda: 20_000)
    monkeypatch.setattr(c_text, "with_loops_of_samples", lambda program: program)  # all states are kept
    w = [Value(0.5 + 0.01 * t) for t in range(40)]

    def steps(x: Any) -> Any:
        for each in w:
            x = (each * x + 0.1).tanh()
        return x * x

    step = autobp.compile(steps, w, example=(1.0,), backend=backend)
    step(step.theta, np.ones(10))
    with pytest.raises(MemoryError, match=r"10,000 rows.* GB of memory.*fewer rows at a time"):
        step(step.theta, np.ones(10_000))
    step(step.theta, np.ones(10))
