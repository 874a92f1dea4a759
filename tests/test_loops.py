"""Recurrences become loops: right for whoever wrote them and however, and only where they are recurrences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autobp
from autobp import Value, ir
from autobp.backends import numpy_calls, numpy_text
from autobp.backends.aliasing import verify
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.compiler.canonical import canonicalise
from autobp.compiler.levels import levels_of
from autobp.compiler.loops.finding import Limits, Note
from autobp.compiler.loops.order import levels_with
from autobp.compiler.loops.periods import runs_of
from autobp.compiler.loops.recurrence import BodyNode, Own, Recurrence, recurrence_of
from autobp.compiler.loops.tape import order_of, tape_of
from autobp.compiler.pipeline import Signature, programs_of
from autobp.compiler.recording import record_function
from autobp.compiler.report import report
from autobp.functions import exp, log, logsumexp, maximum, sigmoid, tanh

Case = tuple[Callable[..., Any], list[Value], tuple[np.ndarray, ...]]


#: Loops of few steps too, and those that are hardly worth it.
ANY = Limits(8, 24, 0.6, 0, 1.5)


def program_of(case: Case, loops: Limits | None = ANY) -> ir.Program:
    """The program of the outputs of a function; of a cost, as one output."""
    function, parameters, data = case

    def outputs(*arguments: Any) -> Any:
        found = function(*arguments)
        return [found] if isinstance(found, Value) else found

    graph, shape = record_function(outputs, parameters, [x[0] for x in data])
    names = [f"x{i}" for i in range(len(data))]
    signature = Signature([p.label for p in parameters], names, [x.shape[1:] for x in data], shape)
    program = programs_of(graph, signature, loops).programs["value"]
    program.verify()
    return program


def computed(program: ir.Program, theta: np.ndarray, data: Sequence[np.ndarray]) -> np.ndarray:
    """The outputs for all rows, by the calls that run and by the source that is read."""
    plan, calls, text = schedule(program), SourceModule(), SourceModule()
    verify(plan)
    functions: list[dict[str, Any]] = [{}, {}]
    exec(calls.text([numpy_calls.write("f", program, plan, calls, "")], ""), functions[0])
    exec(text.text([numpy_text.write("f", program, text, "").text], ""), functions[1])
    m = len(data[0]) if data else 0
    with np.errstate(all="ignore"):
        found = np.array(functions[0]["f"](theta, *data, plan.work.allocate(m)))
        read = np.array(functions[1]["f"](theta, *data))
    # over what lies by step, sums run in another order: their rounding is that of the largest numbers in them
    # sums in another order: to as much of the largest number that goes into them
    largest = max([1.0, *[float(np.abs(x).max(initial=0.0)) for x in (theta, *data)]])
    np.testing.assert_allclose(read, found, rtol=1e-14, atol=1e-14 * largest)
    return found


def eager(case: Case) -> np.ndarray:
    """The outputs for all rows, one after another, in scalars."""
    function, _, data = case
    rows = range(len(data[0])) if data else range(1)
    found = []
    for i in rows:
        out = function(*[as_values(x[i]) for x in data])
        found.append(numbers([out] if isinstance(out, Value) else out))
    return np.array(found)


def as_values(x: Any) -> Any:
    return Value(float(x)) if np.ndim(x) == 0 else [as_values(row) for row in x]


def numbers(x: Any) -> Any:
    return x.data if isinstance(x, Value) else [numbers(y) for y in x]


def loops_of(program: ir.Program) -> list[ir.Loop]:
    """The loops of a program, and of their bodies."""
    found: list[ir.Loop] = []
    for array in program.arrays:
        if isinstance(array, ir.Loop):
            found += [array, *loops_of(array.body)]
    return found


def size_of(program: ir.Program) -> int:
    """The arrays of a program and its bodies."""
    return sum(1 + (size_of(x.body) if isinstance(x, ir.Loop) else 0) for x in program.arrays)


def check(case: Case, tolerance: float = 1e-13) -> ir.Program:
    """The program of a case, which computes what the scalars do."""
    program = program_of(case)
    theta = np.array([p.data for p in case[1]])
    expected = eager(case)
    found = np.broadcast_to(computed(program, theta, case[2]), expected.shape)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    return program


# ---------------------------------------------------------------------------------------------- the models


def values(rng: np.random.Generator, *shape: int) -> Any:
    return as_values(0.4 * rng.standard_normal(shape))


def flat(*xs: Any) -> list[Value]:
    return [y for x in xs for y in ([x] if isinstance(x, Value) else flat(*x))]


def linear(W: Any, x: Any) -> list[Any]:
    return [sum(w * v for w, v in zip(row, x, strict=True)) for row in W]


def rnn(T: int, H: int = 5) -> Case:
    rng = np.random.default_rng(1)
    W, U, b, o = values(rng, H, H), values(rng, H, 2), values(rng, H), values(rng, H)

    def loss(x: Any, y: Any) -> Any:
        h = [0.0] * H
        for t in range(T):
            h = [tanh(p + q + c) for p, q, c in zip(linear(W, h), linear(U, x[t]), b, strict=True)]
        return (sum(a * c for a, c in zip(o, h, strict=True)) - y) ** 2

    return loss, flat(W, U, b, o), (rng.standard_normal((4, T, 2)), rng.standard_normal(4))


def lstm(T: int, H: int = 4) -> Case:
    rng = np.random.default_rng(2)
    W, U, b = values(rng, 4, H, H), values(rng, 4, H, 3), values(rng, 4, H)

    def outputs(x: Any) -> Any:
        h, c, left = [Value(0.0)] * H, [Value(0.0)] * H, []
        for t in range(T):
            i, f, o, g = [
                [p + q + r for p, q, r in zip(linear(W[k], h), linear(U[k], x[t]), b[k], strict=True)]
                for k in range(4)
            ]
            c = [sigmoid(f[j]) * c[j] + sigmoid(i[j]) * tanh(g[j]) for j in range(H)]
            h = [sigmoid(o[j]) * tanh(c[j]) for j in range(H)]
            left.append(h)
        return left

    return outputs, flat(W, U, b), (rng.standard_normal((3, T, 3)),)


def gru(T: int, H: int = 4) -> Case:
    rng = np.random.default_rng(3)
    W, U, o = values(rng, 3, H, H), values(rng, 3, H, 2), values(rng, H)

    def loss(x: Any, y: Any) -> Any:
        h, total = [Value(0.0)] * H, 0.0
        for t in range(T):
            z = [sigmoid(p + q) for p, q in zip(linear(W[0], h), linear(U[0], x[t]), strict=True)]
            r = [sigmoid(p + q) for p, q in zip(linear(W[1], h), linear(U[1], x[t]), strict=True)]
            gated = [p * q for p, q in zip(r, h, strict=True)]
            n = [tanh(p + q) for p, q in zip(linear(W[2], gated), linear(U[2], x[t]), strict=True)]
            h = [(1 - z[j]) * n[j] + z[j] * h[j] for j in range(H)]
            total = total + (sum(p * q for p, q in zip(o, h, strict=True)) - y[t]) ** 2
        return total

    return loss, flat(W, U, o), (rng.standard_normal((3, T, 2)), rng.standard_normal((3, T)))


def kalman(T: int) -> Case:
    a, q, r = Value(0.9), Value(0.1), Value(0.5)

    def loss(z: Any) -> Any:
        m, P, L = 0.0, 1.0, 0.0
        for t in range(T):
            m, P = a * m, a * a * P + q
            S, e = P + r, z[t] - m
            K = P / S
            L = L + 0.5 * (log(S) + e * e / S)
            m, P = m + K * e, (1 - K) * P
        return L

    return loss, [a, q, r], (np.random.default_rng(4).standard_normal((5, T)),)


def runge_kutta(T: int) -> Case:
    k, c, h = Value(1.5), Value(0.3), 0.05

    def slope(s: Any) -> Any:
        return [s[1], -k * s[0].sin() - c * s[1]]

    def loss(s: Any, y: Any) -> Any:
        L = 0.0
        for t in range(T):
            k1 = slope(s)
            k2 = slope([p + q * (h / 2) for p, q in zip(s, k1, strict=True)])
            k3 = slope([p + q * (h / 2) for p, q in zip(s, k2, strict=True)])
            k4 = slope([p + q * h for p, q in zip(s, k3, strict=True)])
            s = [
                p + (u + 2 * v + 2 * w + z) * (h / 6) for p, u, v, w, z in zip(s, k1, k2, k3, k4, strict=True)
            ]
            L = L + (s[0] - y[t]) ** 2
        return L

    rng = np.random.default_rng(5)
    return loss, [k, c], (rng.standard_normal((3, 2)), rng.standard_normal((3, T)))


def hidden_markov(T: int, S: int = 3) -> Case:
    rng = np.random.default_rng(6)
    A, mu = values(rng, S, S), values(rng, S)

    def loss(x: Any) -> Any:
        logA = [[a - logsumexp(row) for a in row] for row in A]
        alpha = [-0.5 * (x[0] - mu[s]) ** 2 for s in range(S)]
        for t in range(1, T):
            alpha = [
                logsumexp([alpha[i] + logA[i][j] for i in range(S)]) - 0.5 * (x[t] - mu[j]) ** 2
                for j in range(S)
            ]
        return -logsumexp(alpha)

    return loss, flat(A, mu), (rng.standard_normal((4, T)),)


def logistic_map(T: int) -> Case:
    r = Value(3.1)
    return (lambda x: reduce(lambda p, _: r * p * (1 - p), range(T), x)), [r], (np.linspace(0.1, 0.9, 5),)


def lotka_volterra(T: int) -> Case:
    p = [Value(x) for x in (1.0, 0.5, 0.8, 0.3)]

    def outputs(s: Any) -> Any:
        def after(u: Any, v: Any, t: int) -> list[Any]:
            if t == T:
                return []
            new = u + 0.02 * (p[0] * u - p[1] * u * v), v + 0.02 * (p[3] * u * v - p[2] * v)
            return [new, *after(*new, t + 1)]

        return after(s[0], s[1], 0)

    return outputs, p, (np.random.default_rng(7).uniform(0.5, 2, (3, 2)),)


def autoregression(T: int) -> Case:
    a, b, c = Value(0.5), Value(0.3), Value(0.1)

    def loss(x: Any) -> Any:
        s, L = [x[0], x[1]], 0.0
        for t in range(2, T):
            s.append(tanh(a * s[-1] + b * s[-2] + c * x[t]))
            L = L + s[-1] * s[-1]
        return L

    return loss, [a, b, c], (np.random.default_rng(8).standard_normal((4, T)),)


def asian_option(T: int) -> Case:
    s0, vol, rate = Value(100.0), Value(0.2), Value(0.03)

    def loss(z: Any) -> Any:
        s, total = s0, 0.0
        for t in range(T):
            s = s * exp((rate - 0.5 * vol * vol) / T + vol * math.sqrt(1 / T) * z[t])
            total = total + s
        return exp(-rate) * maximum(total / T - 100.0, 0.0)

    return loss, [s0, vol, rate], (np.random.default_rng(9).standard_normal((20, T)),)


def controlled(T: int) -> Case:
    """A parameter of its own for each step."""
    u = [Value(0.1 * math.sin(t)) for t in range(T)]

    def loss(s: Any) -> Any:
        p, v, L = s[0], s[1], 0.0
        for t in range(T):
            p, v = p + 0.1 * v, v + 0.1 * (u[t] - p.sin())
            L = L + p * p + 0.1 * u[t] * u[t]
        return L

    return loss, u, (np.random.default_rng(10).standard_normal((4, 2)),)


def newton_within(T: int, J: int = 10) -> Case:
    """A loop in the steps of a loop."""
    a, b = Value(0.5), Value(0.3)

    def loss(x: Any) -> Any:
        s = x[0]
        for t in range(T):
            y = s * a
            for _ in range(J):
                y = y - (y * y - s * s) / (2 * y + b)
            s = tanh(y + x[t])
        return s * s

    return loss, [a, b], (np.random.default_rng(11).uniform(0.5, 1, (4, T)),)


def encoder_and_decoder(T: int) -> Case:
    """Two loops, one after another."""
    rng = np.random.default_rng(12)
    A, B, E, o = values(rng, 4, 4), values(rng, 4, 2), values(rng, 4, 4), values(rng, 4)

    def loss(x: Any, y: Any) -> Any:
        h, L = [0.0] * 4, 0.0
        for t in range(T):
            h = [tanh(p + q) for p, q in zip(linear(A, h), linear(B, x[t]), strict=True)]
        for t in range(T):
            h = [sigmoid(q) for q in linear(E, h)]
            L = L + (sum(p * q for p, q in zip(o, h, strict=True)) - y[t]) ** 2
        return L

    return loss, flat(A, B, E, o), (rng.standard_normal((3, T, 2)), rng.standard_normal((3, T)))


def unrolled_descent(T: int) -> Case:
    rate, start = Value(0.05), [Value(0.3), Value(-0.2)]

    def loss(x: Any, y: Any) -> Any:
        def error(a: Any, b: Any) -> Any:
            return (tanh(a * x[0] + b * x[1]) - y) ** 2

        w = start
        for _ in range(T):
            slopes = autobp.grad(error, argnums=(0, 1))(*w)
            w = [p - rate * q for p, q in zip(w, slopes, strict=True)]
        return error(*w)

    rng = np.random.default_rng(13)
    return loss, [rate, *start], (rng.standard_normal((5, 2)), rng.standard_normal(5))


def temporal_classification(T: int, S: int = 4) -> Case:
    """The cost of connectionist temporal classification: the states grow in the first steps."""
    rng = np.random.default_rng(14)
    W, labels = values(rng, S, 3), [0, 1, 0, 2, 0, 3, 0]

    def loss(x: Any) -> Any:
        alpha: list[Any] = []
        for t in range(T):
            z = linear(W, x[t])
            logs = [q - logsumexp(z) for q in z]
            if t == 0:
                alpha = [logs[labels[0]], logs[labels[1]], *[None] * (len(labels) - 2)]
                continue
            new = []
            for s, label in enumerate(labels):
                skips = s > 1 and label and label != labels[s - 2]
                ways = [alpha[s], *alpha[max(s - 1, 0) : s], *([alpha[s - 2]] if skips else [])]
                ways = [a for a in ways if a is not None]
                new.append(logsumexp(ways) + logs[label] if ways else None)
            alpha = new
        return -logsumexp(alpha[-2:])

    return loss, flat(W), (rng.standard_normal((3, T, 3)),)


MODELS = [
    temporal_classification,
    rnn,
    lstm,
    gru,
    kalman,
    runge_kutta,
    hidden_markov,
    logistic_map,
    lotka_volterra,
    autoregression,
    asian_option,
    controlled,
    newton_within,
    encoder_and_decoder,
    unrolled_descent,
]


@pytest.mark.parametrize("model", MODELS)
def test_models_are_loops_and_right(model: Callable[[int], Case]) -> None:
    program = check(model(40))
    several = {newton_within: 3, encoder_and_decoder: 2, temporal_classification: 2}
    assert len(loops_of(program)) == several.get(model, 1)


@pytest.mark.parametrize("model", MODELS)
def test_the_program_does_not_grow_with_the_steps(model: Callable[[int], Case]) -> None:
    assert size_of(program_of(model(60))) == size_of(program_of(model(40)))


@pytest.mark.parametrize(("model", "steps"), [(rnn, 40), (lstm, 40), (gru, 40), (hidden_markov, 39)])
def test_all_steps_are_in_the_loop(model: Callable[[int], Case], steps: int) -> None:
    (loop,) = loops_of(program_of(model(40)))
    assert loop.steps == steps


def test_the_body_of_a_loop_is_what_one_would_write() -> None:
    lines = str(program_of(rnn(40))).splitlines()
    (head,) = [i for i, line in enumerate(lines) if " for t = 0 … 39" in line]
    body = [line.strip() for line in lines[head + 1 :] if line.startswith("    ")]
    assert body == [
        "h: m×5 ← fill(0, m×5), then t5",
        "t1: m×5 ← z1[t]",
        "t2: 5×5 ← theta[5i + j]",
        "t3: 5 ← theta[35 + i]",
        "t5: m×5 = tanh(t3 + t1 + h · t2ᵀ)",
    ]


# ------------------------------------------------------------------------------------ steps that are odd


def with_an_odd_step(T: int, odd: int, what: str) -> Case:
    """A recurrence of which one step does something else."""
    w, c = Value(0.7), Value(-0.4)

    def outputs(x: Any) -> Any:
        h, left = tanh(x[0]), []
        for t in range(T):
            is_odd, sign = t == odd, 1
            u, before = tanh(w * h), h
            v, f, k = u, tanh, 0.25
            if is_odd and what == "another node like it":
                v = tanh(w * x[1])
            elif is_odd and what == "another state":
                before = tanh(x[2])
            elif is_odd and what == "another operation":
                f = autobp.sin
            elif is_odd and what == "another number":
                k = 0.5
            elif is_odd and what == "another parameter":
                before = before + c
            elif is_odd and what == "another sign":
                sign = -1
            d = 2 + u * u
            q = u / (3 + u * u) if is_odd and what == "another divisor" else u / d
            p = sigmoid(v) * x[3 + t]
            rest = u * before - c * c + q * sigmoid(d) + k
            h = f(rest + p if sign > 0 else rest - p)
            left.append(h)
        return left

    return outputs, [w, c], (np.random.default_rng(15).standard_normal((3, T + 3)),)


@pytest.mark.parametrize("odd", [0, 1, 14, 28, 29])
@pytest.mark.parametrize(
    "what",
    [
        "another node like it",
        "another state",
        "another operation",
        "another number",
        "another parameter",
        "another sign",
        "another divisor",
    ],
)
def test_an_odd_step_is_computed_as_it_is(odd: int, what: str) -> None:
    assert loops_of(check(with_an_odd_step(30, odd, what), 1e-15))


def test_what_stands_before_the_first_step_may_differ_by_who_reads_it() -> None:
    w = Value(0.7)

    def loss(x: Any) -> Any:
        h = tanh(x[0])
        for t in range(40):
            g = tanh(x[1]) if t == 0 else h
            h = tanh(sigmoid(h) * x[2 + t] + w * autobp.cos(g))
        return h

    assert loops_of(check((loss, [w], (np.random.default_rng(16).standard_normal((3, 42)),)), 1e-15))


def test_a_step_that_the_loop_reads_from_outside_stays_outside() -> None:
    """At 200 steps several of them look like one, and what one copy reads from outside is another copy."""
    check(temporal_classification(200), 1e-12)


def test_numbers_by_step_stay_different() -> None:
    def loss(x: Any) -> Any:
        h = x
        for t in range(20):
            h = tanh(h * (1.0 + 0.1 * t) + 0.01 * t * t)
        return h

    program = check((loss, [], (np.linspace(-1, 1, 5),)), 1e-15)
    (loop,) = loops_of(program)
    assert len(loop.sequences) == 2


def test_rows_within_a_step_are_no_steps() -> None:
    function, parameters, data = rnn(20)
    graph, _ = record_function(function, parameters, [x[0] for x in data])
    canonical = canonicalise(graph)
    tape = tape_of(canonical, levels_of(canonical))
    for run in runs_of(tape.codes, 8):
        found = recurrence_of(tape, run, 8)
        assert found is None or run.period >= 2 * 5, "a row of W was taken for a step"


@pytest.mark.parametrize("most", [10, 1 << 16, 1 << 20, 1 << 40])
def test_numbers_are_put_in_order_as_a_stable_sort_does(most: int) -> None:
    rng = np.random.default_rng(0)
    for low in (0, -5):
        numbers = np.append(rng.integers(low, most, 500), [0, most - 1] * 3)
        np.testing.assert_array_equal(order_of(numbers), np.argsort(numbers, kind="stable"))


def runs_by_hand(codes: list[int], least: int) -> set[tuple[int, int, int]]:
    """(start, period, length) of what repeats itself that often and can be made no longer."""
    found = set()
    for period in range(1, len(codes) // least + 1):
        start = 0
        for i in range(period, len(codes) + 1):
            if i == len(codes) or codes[i] != codes[i - period]:
                if i - start >= least * period:
                    found.add((start, period, i - start))
                start = i - period + 1
    return found


def test_runs_are_those_that_comparing_each_with_each_finds() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 7, 30, 80):
        for k in range(30):
            codes = rng.integers(0, 1 + k % 4, n)
            if k % 2 and n:
                codes = np.resize(codes[: 1 + k % 5], n)
                codes[n // 2] += k % 3
            found = runs_of(codes, 3)
            by_hand = runs_by_hand(codes.tolist(), 3)
            assert by_hand >= set(found)
            # a period's multiples tell nothing new
            least = {(s, p, m) for s, p, m in by_hand if not any(p % q == 0 and q < p for _, q, _ in by_hand)}
            assert least <= set(found)


def test_a_loop_that_needs_what_comes_after_it_has_no_place() -> None:
    x = Value(0.3)
    nodes = [x]
    for _ in range(6):
        nodes.append(tanh(nodes[-1]))
    graph, _ = record_function(lambda: nodes[-1], [x], [])
    canonical = canonicalise(graph)
    tape = tape_of(canonical, levels_of(canonical))

    def loop(numbers: list[int]) -> Recurrence:
        operands = np.array(numbers)[:, None] - 1
        return Recurrence([BodyNode(np.array(numbers), operands, [Own(0, 1)], (), np.zeros(0))], {(0, 1): 0})

    levels = levels_with(tape, [loop([2, 3, 4])])
    assert levels is not None
    assert [level.nodes for level in levels] == [[1], [], [5], [6]]
    (placed,) = levels[1].loops
    assert placed.read == {4}
    assert levels_with(tape, [loop([2, 4])]) is None  # node 3 reads it and is read by it
    levels = levels_with(tape, [loop([5, 6]), loop([2, 3])])
    assert levels is not None
    assert [[x.loop.steps for x in level.loops] for level in levels] == [[], [2], [], [2]]
    assert levels_with(tape, [loop([2, 5]), loop([3, 4])]) is None


# ------------------------------------------------------------------------------------- random recurrences


class Drawn:
    """A random recurrence: what each state becomes is drawn once, and then computed step after step."""

    fewest, most = 9, 20  # steps
    unary: Sequence[Callable[[Any], Any]] = (tanh, sigmoid, autobp.sin, lambda v: 0.5 * v, lambda v: v - 1)

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.steps = self.integer(self.fewest, self.most)
        self.width = self.integer(1, 3)
        self.states = self.integer(1, 3)
        self.lags = self.integer(1, 3)
        self.recipes = [self.recipe(3) for _ in range(self.states)]
        self.carried = [self.integer(0, 3) for _ in range(self.states)]
        self.from_data = self.integer(0, 2) > 0
        self.ends = self.integer(0, 3)
        self.odd_step = self.integer(-1, 2)

    def products(self, W: Any, h: Any) -> Any:
        """What units take from the state before."""
        return linear(W, h)

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def recipe(self, depth: int) -> Any:
        """What an element of a state is computed by: a tree of operations on leaves."""
        kind = self.integer(0, 5 if depth else 2)
        if kind == 0:
            return "state", self.integer(0, 2), self.integer(1, 3), self.integer(0, 2)
        if kind == 1:
            return "input", self.integer(0, 1)
        if kind == 2:
            return "number", self.integer(0, 5)
        if kind == 3:
            return self.integer(0, len(self.unary) - 1), self.recipe(depth - 1)
        return "+-*m/"[self.integer(0, 4)], self.recipe(depth - 1), self.recipe(depth - 1)

    def case(self) -> Case:
        rng = np.random.default_rng(self.integer(0, 3))
        own = values(rng, self.steps)
        tied, W = values(rng, 4), values(rng, self.states, self.width, self.width)
        history = self.lags

        def leaf(kind: Any, past: list[Any], now: list[Any], t: int, i: int, x: Any) -> Any:
            if kind[0] == "input":
                return x[t][(i + kind[1]) % 2]
            if kind[0] == "state":
                _, which, lag, unit = kind
                which %= self.states
                steps = now if which < len(now) and unit == 2 else past[-min(lag, history)]
                return steps[which][(i + unit) % self.width]
            k = kind[1]
            return [tied[0], tied[i % 4], own[t], 0.5, 0.1 * (t + 1), tied[1] * tied[2]][k]

        def element(recipe: Any, *where: Any) -> Any:
            kind, *operands = recipe
            if kind in ("input", "state", "number"):
                return leaf(recipe, *where)
            x, *y = [element(operand, *where) for operand in operands]
            if isinstance(kind, int):
                return self.unary[kind](Value(0.0) + x)
            if kind == "m":
                return maximum(Value(0.0) + x, y[0])
            if kind == "/":
                return x / (1.5 + tanh(Value(0.0) + y[0]))
            return x + y[0] if kind == "+" else x - y[0] if kind == "-" else x * y[0]

        def function(x: Any, first: Any) -> Any:
            if not self.from_data:
                first = [0.0] * self.width
            past = [[[v + 0.1 * k for v in first] for _ in range(self.states)] for k in range(history)]
            left, total = [], 0.0
            for t in range(self.steps):
                now: list[Any] = []
                for k, recipe in enumerate(self.recipes):
                    new = [element(recipe, past, now, t, i, x) for i in range(self.width)]
                    if self.carried[k] == 1:
                        new = [p + q for p, q in zip(new, self.products(W[k], past[-1][k]), strict=True)]
                    elif self.carried[k] > 1:
                        new = [p - 0.5 * q for p, q in zip(new, past[0][k], strict=True)]
                    if t == self.odd_step:
                        new = [exp(-v * v) for v in new]
                    now.append([tanh(Value(0.0) + v) for v in new])
                past = [*past[1:], now]
                left.append(now)
                total = total + sum(v * v for v in now[0])
            return [total, left, past[-1], [step[-1][0] for step in left[::2]]][self.ends]

        data = rng.standard_normal((2, self.steps, 2)), rng.standard_normal((2, self.width))
        return function, flat(own, tied, W), data


@st.composite
def recurrences(draw: Any) -> Case:
    return Drawn(draw).case()


@settings(max_examples=60, deadline=None)
@given(recurrences())
def test_random_recurrences_agree_with_scalars(case: Case) -> None:
    check(case)


# ------------------------------------------------------------------------------------------------- the report


def test_the_report_of_a_step_names_its_matrices():
    net = autobp.MLP(2, [3, 1], seed=0)
    step = autobp.compile(
        lambda x, y: autobp.costs.quadratic(net(x), y), net.parameters(), example=([0.1, 0.2], [1.0])
    )
    assert step.report() == f"{len(step)} statements\nmatrices of parameters: W1 3×2, W2 1×3; 2 others"


def test_the_report_of_a_loop_says_what_it_carries_takes_and_leaves():
    w = Value(0.5, label="w")

    def outputs(x: Any) -> Any:
        states, h = [], x[0]
        for t in range(40):
            h = (w * h + x[t]).tanh()
            states.append(h)
        return states

    program = program_of((outputs, [w], (np.full((1, 40), 0.1),)))
    said = report(program, [], 7, [Note("a note", [])], [], [[]] * len(loops_of(program)), {})
    loop = next(array for array in program.arrays if isinstance(array, ir.Loop))
    assert said.splitlines()[0] == "7 statements"
    assert f"loop of {loop.steps} steps of " in said
    assert ", carries h (1), takes 1 number for each step, leaves 1 of each step" in said
    assert said.endswith("\nno loop: a note")
