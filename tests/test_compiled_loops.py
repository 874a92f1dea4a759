"""Steps whose programs have loops: everything that is asked of a step is answered for them too."""

from __future__ import annotations

import pickle
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_loops import (
    MODELS,
    Case,
    asian_option,
    controlled,
    gru,
    hidden_markov,
    kalman,
    linear,
    loops_of,
    lstm,
    rnn,
    runge_kutta,
    temporal_classification,
    unrolled_descent,
    values,
)
from test_through_time import eager, total

import autobp
from autobp import Value, ops
from autobp.compiler.step import Step
from autobp.functions import tanh
from autobp.machine import NoMachineCode

Model = Callable[[int], Case]


def compiled(case: Case, **options: Any) -> Step:
    """The step of a case; of outputs, of their sum."""
    function, parameters, data = case
    functions: dict[int, Callable[..., Any]] = {
        1: lambda x: total(function(x)),
        2: lambda x, y: total(function(x, y)),
    }
    example = [x[0] for x in data]
    return autobp.compile(functions[len(data)], parameters, example=example, **options)


def check(step: Step, case: Case) -> None:
    cost, gradient = step(step.theta, *case[2])
    expected = eager(case)
    assert cost == pytest.approx(expected[0], rel=1e-12, abs=1e-12)
    scale = max(1.0, np.abs(expected[1]).max())
    np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=1e-13 * scale)
    value = step.value(step.theta, *case[2])
    # compilers of C may call exp for several numbers in one function, and one by one in the other
    assert value == (cost if step.backend.startswith("numpy") else pytest.approx(cost, rel=1e-14))


@pytest.mark.parametrize("model", MODELS)
def test_steps_with_loops(model: Model) -> None:
    case = model(100 if model is asian_option else 40)
    step = compiled(case)
    assert loops_of(step.program)
    check(step, case)
    assert step.verify(step.theta, *case[2])
    again = pickle.loads(pickle.dumps(step))
    expected = step(step.theta, *case[2])
    np.testing.assert_array_equal(again(step.theta, *case[2])[1], expected[1])
    namespace: dict[str, Any] = {}
    exec(step.source, namespace)
    cost, gradient = namespace["cost_and_gradient"](step.theta, *case[2])
    assert cost == pytest.approx(expected[0], rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=1e-13 * max(1.0, np.abs(gradient).max()))


@pytest.mark.parametrize("model", [rnn, lstm, kalman, temporal_classification, unrolled_descent])
def test_machine_code_runs_loops(model: Model) -> None:
    case = model(40)
    try:
        step = compiled(case, backend="c")
    except NoMachineCode as error:
        pytest.skip(str(error))
    assert loops_of(step.program)
    check(step, case)


SAME = [rnn, lstm, gru, kalman, runge_kutta, hidden_markov, unrolled_descent, temporal_classification]


@pytest.mark.parametrize("model", [*SAME, asian_option])
def test_a_step_does_not_grow_with_the_steps_of_its_loops(model: Model) -> None:
    few, many = (28 if model is temporal_classification else 20), 80
    assert len(compiled(model(few))) == len(compiled(model(many)))


@pytest.mark.long
@pytest.mark.parametrize("model", [*SAME, asian_option])
def test_a_step_of_400_steps_is_one_of_20(model: Model) -> None:
    assert len(compiled(model(28 if model is temporal_classification else 20))) == len(compiled(model(400)))


def test_few_steps_are_written_out() -> None:
    assert loops_of(compiled(rnn(15)).program) == []
    assert loops_of(compiled(rnn(20)).program)


# ---------------------------------------------------------------------------------------- what reads a step


def test_equations_have_the_recurrence_and_the_errors_of_a_step() -> None:
    latex = compiled(rnn(30)).latex.splitlines()
    forward = latex.index(r"&\text{for } \tau = 1, \ldots, 30\text{:} \\")
    assert latex[forward + 1] == (
        r"&\quad t_{5} = \tanh\left(t_{3} + {z^{1}}_{\tau} + h {t_{2}}^{\top}\right) \\"
    )
    assert r"&\quad h \leftarrow t_{5} \\" in latex
    backward = latex.index(r"&\text{for } \tau = 30, \ldots, 1\text{:} \\")
    assert latex[backward + 2] == r"&\quad {\delta^{1}}_{\tau} = t_{7} \\"
    assert latex[backward + 3] == r"&\quad \mathit{dh} \leftarrow t_{7} t_{2} \\"


def test_a_report_says_which_loops_there_are_and_why_others_are_none() -> None:
    lines = compiled(rnn(30)).report().splitlines()
    assert lines[2].startswith("loop of 30 steps of 3 arrays, carries h (5)")
    assert lines[3].startswith("loop of 30 steps backwards of 2 arrays, carries dh (5)")
    assert "no loop: " in compiled(controlled(20)).report()


def test_a_page_shows_a_loop_and_says_that_it_computes_nothing(tmp_path: Any) -> None:
    case = rnn(20)
    step = compiled(case)
    autobp.page(step, tmp_path / "loop.html", data=case[2])
    text = (tmp_path / "loop.html").read_text()
    assert "Nothing is computed anew: the program has a loop, whose steps a page does not carry out." in text


def test_a_check_names_the_statement_in_a_loop_that_is_not_finite() -> None:
    w = Value(0.5, label="w")

    def loss(x: Any) -> Any:
        h = w * x[0]
        for t in range(20):
            h = autobp.log(h * h + x[t])
        return h

    step = autobp.compile(loss, [w], example=(np.ones(20),), check=True)
    assert loops_of(step.program)
    X = np.ones((2, 20))
    step([0.5], X)
    X[1, 7] = -1e9
    with pytest.raises(FloatingPointError, match=r"= np\.log\(.*\nmade nan at \[1, 0\]"):
        step([0.5], X)


def test_threads_have_memory_of_their_own() -> None:
    case = lstm(40)
    step = compiled(case)
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((4, 40, 3)) for _ in range(4)]
    expected = [step(step.theta, x)[1] for x in data]
    wrong = []

    def run(i: int) -> None:
        for _ in range(20):
            if not np.array_equal(step(step.theta, data[i])[1], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Squeezing:
    """An operation of Python code, which cannot be recorded and is called at each step of a loop.

    Attributes:
        calls: how many there were.
        wanted: the one that interrupts.
    """

    def __init__(self, interrupt: Callable[[], Any]) -> None:
        self.interrupt = interrupt
        self.calls, self.wanted = 0, -1

    def __enter__(self) -> Squeezing:
        self.squeeze = autobp.operation("squeeze", self.value, self.partials)
        return self

    def __exit__(self, *error: object) -> None:
        ops.TABLE.pop("squeeze", None)

    def value(self, xp: Any, x: Any) -> Any:
        self.calls += 1
        if self.calls == self.wanted:
            self.interrupt()
        return float(x) / (1.0 + float(x) ** 2)

    def partials(self, xp: Any, y: Any, x: Any) -> Any:
        return ((1.0 - float(x) ** 2) / (1.0 + float(x) ** 2) ** 2,)

    def step(self, steps: int, **options: Any) -> Step:
        """A recurrence of so many of its calls."""
        w = Value(0.5)

        def loss(x: Any) -> Any:
            h = w * x[0]
            for t in range(steps):
                h = self.squeeze(h) + x[t]
            return h

        return autobp.compile(loss, [w], example=(np.ones(steps),), **options)


def interrupt_by_a_signal() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_loop_hears_an_interrupt() -> None:
    """After it the step computes as before: what was left half way is written anew."""
    with Squeezing(interrupt_by_a_signal) as operation:
        step = operation.step(50)
        assert loops_of(step.program)
        x = np.random.default_rng(1).standard_normal((1, 50))
        expected = step([0.5], x)
        operation.calls, operation.wanted = 0, 30
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
        try:
            with pytest.raises(KeyboardInterrupt):
                step([0.5], x)
        finally:
            signal.signal(signal.SIGINT, before)
        assert operation.calls == 30
        operation.wanted = -1
        again = step([0.5], x)
        assert again[0] == expected[0]
        np.testing.assert_array_equal(again[1], expected[1])


# ------------------------------------------------------------------------------------------- other witnesses


def test_a_plain_recurrent_network_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    case = rnn(30)
    step, (x, y) = compiled(case), case[2]
    assert len(loops_of(step.program)) == 2
    W, U, b, o = np.split(step.theta, [25, 35, 40])
    cell = torch.nn.RNN(2, 5, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh_l0.copy_(torch.tensor(W.reshape(5, 5)))
        cell.weight_ih_l0.copy_(torch.tensor(U.reshape(5, 2)))
        cell.bias_ih_l0.copy_(torch.tensor(b))
        cell.bias_hh_l0.zero_()
    out = torch.tensor(o, requires_grad=True)
    cost = ((cell(torch.tensor(x))[0][:, -1] @ out - torch.tensor(y)) ** 2).mean()
    cost.backward()
    found, gradient = step(step.theta, x, y)
    slopes = [cell.weight_hh_l0.grad, cell.weight_ih_l0.grad, cell.bias_ih_l0.grad, out.grad]
    expected = np.concatenate([g.numpy().reshape(-1) for g in slopes])
    assert found == pytest.approx(cost.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-14 * max(1.0, np.abs(expected).max()))


def test_a_long_short_term_memory_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    case = lstm(30)
    step, (x,) = compiled(case), case[2]
    theta = step.theta
    W, U, b = theta[:64].reshape(4, 4, 4), theta[64:112].reshape(4, 4, 3), theta[112:].reshape(4, 4)
    order = [0, 1, 3, 2]  # PyTorch's gates: i, f, g, o
    cell = torch.nn.LSTM(3, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh_l0.copy_(torch.tensor(W[order].reshape(16, 4)))
        cell.weight_ih_l0.copy_(torch.tensor(U[order].reshape(16, 3)))
        cell.bias_ih_l0.copy_(torch.tensor(b[order].reshape(16)))
        cell.bias_hh_l0.zero_()
    cost = cell(torch.tensor(x))[0].sum() / len(x)
    cost.backward()
    found, gradient = step(theta, x)
    back = np.argsort(order)
    slopes = [cell.weight_hh_l0.grad, cell.weight_ih_l0.grad, cell.bias_ih_l0.grad]
    expected = [g.numpy().reshape(4, -1)[back].reshape(-1) for g in slopes]
    assert found == pytest.approx(cost.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, np.concatenate(expected), rtol=0, atol=1e-12)


def test_a_gated_recurrent_unit_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    case = gru(30)
    step, (x, y) = compiled(case), case[2]
    vector = torch.tensor(step.theta, requires_grad=True)
    W, U, o = vector[:48].view(3, 4, 4), vector[48:72].view(3, 4, 2), vector[72:]
    h, cost = torch.zeros(len(x), 4, dtype=torch.float64), 0.0
    for t in range(30):
        x_t = torch.tensor(x[:, t])
        z, r = [torch.sigmoid(h @ W[k].T + x_t @ U[k].T) for k in (0, 1)]
        n = torch.tanh((r * h) @ W[2].T + x_t @ U[2].T)
        h = (1 - z) * n + z * h
        cost = cost + (h @ o - torch.tensor(y[:, t])) ** 2
    cost.mean().backward()
    found, gradient = step(step.theta, x, y)
    assert found == pytest.approx(cost.mean().item(), rel=1e-12)
    np.testing.assert_allclose(gradient, vector.grad.numpy(), rtol=0, atol=1e-12)


def test_connectionist_temporal_classification_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    case = temporal_classification(40)
    step, (x,) = compiled(case), case[2]
    vector = torch.tensor(step.theta, requires_grad=True)
    logs = torch.log_softmax(torch.tensor(x) @ vector.view(4, 3).T, -1).transpose(0, 1)
    lengths = [torch.full((len(x),), n) for n in (40, 3)]
    labels = torch.tensor([[1, 2, 3]] * len(x))
    cost = torch.nn.functional.ctc_loss(logs, labels, *lengths, reduction="none").mean()
    cost.backward()
    found, gradient = step(step.theta, x)
    assert found == pytest.approx(cost.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, vector.grad.numpy(), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------- sequences of any length


def test_sequences_that_are_padded_are_one_program() -> None:
    """A mask by step keeps the state where a sequence has ended, and its gradient is that of each length."""
    rng = np.random.default_rng(3)
    W, u, o = values(rng, 3, 3), values(rng, 3), values(rng, 3)
    parameters = [p for row in W for p in row] + u + o

    def last(x: Any, mask: Any) -> Any:
        h: list[Any] = [0.0] * 3
        for t in range(24):
            new = [tanh(p + q * x[t]) for p, q in zip(linear(W, h), u, strict=True)]
            h = [mask[t] * n + (1 - mask[t]) * old for n, old in zip(new, h, strict=True)]
        return sum(p * q for p, q in zip(o, h, strict=True))

    lengths = [24, 7, 16]
    x, mask = rng.standard_normal((3, 24)), np.array([np.arange(24) < n for n in lengths], dtype=float)
    step = autobp.compile(last, parameters, example=(x[0], mask[0]))
    assert loops_of(step.program)
    cost, gradient = step(step.theta, x, mask)
    for p in parameters:
        p.grad = 0.0
    costs = []
    for row, n in zip(x, lengths, strict=True):
        h: list[Any] = [0.0] * 3
        for t in range(n):
            h = [tanh(p + q * row[t]) for p, q in zip(linear(W, h), u, strict=True)]
        costs.append(sum(p * q for p, q in zip(o, h, strict=True)))
        costs[-1].backward()
    assert cost == pytest.approx(np.mean([c.data for c in costs]), rel=1e-13)
    np.testing.assert_allclose(gradient, [p.grad / 3 for p in parameters], rtol=0, atol=1e-14)


def test_sequences_of_a_length_are_a_program_of_it() -> None:
    """A step is traced once for each length of its arguments."""
    w, u = Value(0.4), Value(-0.3)

    def loss(x: Any) -> Any:
        h: Any = 0.0
        for x_t in x:
            h = tanh(w * h + u * x_t)
        return h * h

    step = autobp.compile(loss, [w, u])
    rng = np.random.default_rng(4)
    for n in (20, 30):
        x = rng.standard_normal((3, n))
        cost, gradient = step(step.theta, x)
        expected = eager((loss, [w, u], (x,)))
        assert cost == pytest.approx(expected[0], rel=1e-13)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-12, atol=1e-15)
        (forward, backward) = loops_of(step.program)
        assert forward.steps == backward.steps == n


# ---------------------------------------------------------------------------------------------- the document


def test_the_document_of_loops_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[1] / "docs" / "loops.md").read_text(encoding="utf-8")
    first, by_length, padded, explained = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (printed,) = re.findall(r"```text\n(    for t in .*?)```", text, re.DOTALL)
    (derived,) = re.findall(r"```text\n(  h⁽ᵗ⁾ .*?)```", text, re.DOTALL)
    space: dict[str, Any] = {}
    exec(first, space)
    out = capsys.readouterr().out
    assert printed in out
    assert "\nloop of 100 steps of " in out
    exec(by_length, space)
    assert loops_of(space["by_length"].program)
    exec(padded, space)
    assert loops_of(space["padded"].program)
    w, u = space["w"], space["u"]
    for p in (w, u):
        p.grad = 0.0
    costs = [space["last"](np.ones(n).tolist()) for n in space["lengths"]]
    for cost in costs:
        cost.backward()
    assert space["cost"] == pytest.approx(np.mean([c.data for c in costs]), rel=1e-13)
    np.testing.assert_allclose(space["gradient"], [w.grad / 3, u.grad / 3], rtol=1e-12)
    exec(explained, space)
    assert set(derived.splitlines()) < set(capsys.readouterr().out.splitlines())


def test_a_step_that_differs_parts_a_loop() -> None:
    w = Value(0.7)

    def loss(x: Any) -> Any:
        h = tanh(x[0])
        for t in range(60):
            h = autobp.sin(w * h) * x[t] if t == 30 else tanh(w * h + x[t] * h)
        return h

    case = loss, [w], (np.random.default_rng(5).standard_normal((3, 60)),)
    step = compiled(case)
    check(step, case)
    assert [loop.steps for loop in loops_of(step.program) if not loop.falling] == [30, 29]
