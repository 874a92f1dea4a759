"""A program proves itself: what differs from its graph is not handed out, and rounding is no fault."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutants import MUTANTS

import autobp
from autobp import MLP, Value, costs
from autobp.compiler import verified
from autobp.compiler.verified import ProgramDiffers
from autobp.compiler.witness import Witness
from autobp.reading.graph import PARAMETER, record
from autobp.reading.walk import adjoints_of, leaves, values_of

N = 3


def everything(w: list[Any], x: list[Any]) -> Any:
    """A cost in which the compiler's ways come up: layers, rows of several lengths, sums over tables."""
    hidden = [autobp.sum([w[N * i + j] * x[j] for j in range(N)]).tanh() for i in range(N)]
    z = [
        autobp.sum([w[9 + N * i + j] * hidden[j] for j in range(N)]) + w[18 + i] - 0.3 * hidden[i]
        for i in range(N)
    ]
    rows = [autobp.sum([w[j] * x[j] for j in range(i + 1)]).sigmoid() for i in range(N)]
    table = [[(hidden[i] * z[j]).exp() for j in range(N)] for i in range(N)]
    sums = [autobp.sum([table[i][j] for j in range(N)]).log() * (i + 1.0) for i in range(N)]
    scaled = [0.5 * z[0] - 0.25 * z[1] + 2.0 * z[2]]
    return autobp.sum([*sums, *rows, *scaled]) + autobp.softmax(z)[1] * hidden[2]


def weights() -> list[Value]:
    rng = random.Random(7)
    return [Value(rng.uniform(-1.0, 1.0), label=f"w{i}") for i in range(21)]


SAMPLE = [0.7, -0.4, 1.3]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_compiler_hands_out_nothing(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    w = weights()

    def loss(x: Any) -> Any:
        return everything(w, x)

    autobp.compile(loss, w, example=(SAMPLE,))
    mutant(monkeypatch)
    step = autobp.compile(loss, w)
    for _ in range(2):  # nor the second time
        with pytest.raises(ProgramDiffers) as raised:
            step(step.theta, [SAMPLE, SAMPLE])
    assert "CONTRIBUTING.md" in str(raised.value)
    x = [Value(v) for v in SAMPLE]
    with pytest.raises(ProgramDiffers):
        autobp.compile(everything(w, x), w, inputs=[x])


def test_the_statement_and_the_scalar_at_fault_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    net = MLP(3, [3, 2], activation="tanh", seed=0)

    def loss(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y)

    def message(name: str) -> str:
        with monkeypatch.context() as patch:
            next(mutant for mutant in MUTANTS if mutant.__name__ == name)(patch)
            with pytest.raises(ProgramDiffers) as raised:
                autobp.compile(loss, net.parameters(), example=(SAMPLE, [0.0, 1.0]))
        return str(raised.value)

    forward = message("a_matrix_is_transposed")
    assert "the cost that value() gives is" in forward
    assert "The first statement that differs is `z1 = t1 + b1`: it has" in forward
    assert ", the scalar add(" in forward
    backward = message("a_derivative_is_off")
    assert "the derivative by W1[1,1], theta[0], is" in backward
    assert "The first statement that differs is `delta2 =" in backward
    assert ", the derivative by the scalar add(" in backward
    assert f"NumPy {np.__version__}" in backward
    assert "python -m autobp --version" in backward


def test_how_to_report_is_told_in_contributing() -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert ProgramDiffers.__name__ in text
    assert "python -m autobp --version" in text


def test_for_a_program_that_comes_to_no_number_where_the_graph_does_the_graph_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changed(source: str) -> Any:
        return compile(source.replace(", gradient\n", ", gradient * np.nan\n"), "<broken>", "exec")

    net = MLP(2, [3, 1], activation="sigmoid", seed=0)

    def loss(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y)

    sample = ([0.1, 0.2], [1.0])
    step = autobp.compile(loss, net.parameters(), example=sample)
    monkeypatch.setattr(verified.__package__ + ".functions.compile_source", changed)
    broken = autobp.compile(loss, net.parameters(), example=sample)
    x, y = np.array([sample[0], [0.5, -1.0]]), np.array([[1.0], [0.0]])
    assert np.allclose(broken(step.theta, x, y)[1], step(step.theta, x, y)[1], rtol=1e-13)


# ------------------------------------------------------------------------------------------- no false alarms


def recurrence(w: list[Any], x: list[Any]) -> Any:
    """Sixty steps, over which bounds by absolute values would grow beyond all measure."""
    state = [x[0], x[1], x[2]]
    for _ in range(60):
        state = [
            (4.0 * autobp.sum([w[3 * i + j] * state[j] for j in range(3)]) + x[i]).tanh() for i in range(3)
        ]
    return autobp.sum(state)


ILL_CONDITIONED: dict[str, Callable[[list[Any], list[Any]], Any]] = {
    "a recurrence": recurrence,
    "a difference of large sums": lambda w, x: (
        autobp.sum([w[i] * x[i % 3] * 1e8 for i in range(10)])
        - autobp.sum([w[i] * x[i % 3] * 1e8 for i in range(9)])
    ),
    "a long sum of both signs": lambda w, x: autobp.sum(
        [(-1.0) ** i * 10.0 ** (i % 17) * w[i % 5] * x[i % 3] for i in range(60)]
    ),
    "a logarithm of what is left": lambda w, x: -(1.0 - (30.0 + w[0] * x[0]).sigmoid()).log(),
    "a logarithm of nearly 1": lambda w, x: -((36.0 + w[0] * x[0]).sigmoid()).log(),
    "an underflow": lambda w, x: (-(740.0 + w[0] * x[0])).exp().log() * w[1],
    "softplus where it is small": lambda w, x: (-(300.0 + w[0] * x[0])).softplus() + w[1] * x[1],
    "a gradient that cancels": lambda w, x: (
        (w[0] * x[0] + w[1]).exp() - (w[0] * x[0] + w[1]).exp() * (1.0 + 1e-13)
    ),
    "a kink at the number": lambda w, x: (
        (w[0] * x[0] + w[1] * x[1] + w[2] * x[2]) - (w[2] * x[2] + w[1] * x[1] + w[0] * x[0])
    ).relu(),
    "two equal maxima": lambda w, x: autobp.maximum(
        w[0] * x[0] + w[1] * x[1] + w[2] * x[2], w[2] * x[2] + (w[1] * x[1] + w[0] * x[0])
    ),
    "a large angle": lambda w, x: (1e12 * w[0] * x[0] + w[1] * x[1]).sin(),
    "a high power": lambda w, x: (1.0 + w[0] * x[0]) ** 500.0,
    "saturated": lambda w, x: (40.0 * w[0] * x[0]).tanh() * (1.0 - (300.0 * w[1]).tanh() ** 2),
    "cross-entropy of a softmax": lambda w, x: (
        -autobp.softmax([40.0 * w[i] * x[i] for i in range(3)])[0].log()
    ),
    "variance of what is far from 0": lambda w, x: autobp.sum(
        [(w[0] * 1e6 + x[i] - autobp.sum([w[0] * 1e6 + v for v in x]) / 3.0) ** 2 for i in range(3)]
    ),
    "an infinite cost": lambda w, x: (w[0] * 1e308 * 1e10) + w[1],
    "no number": lambda w, x: (-(w[0] * w[0])).log() + w[1],
}


@pytest.mark.parametrize("name", ILL_CONDITIONED)
@pytest.mark.parametrize("seed", range(5))
def test_what_rounding_explains_is_no_fault(name: str, seed: int) -> None:
    rng = random.Random(seed)
    w = [Value(rng.uniform(-1.0, 1.0)) for _ in range(10)]
    x = [rng.uniform(-1.0, 1.0) for _ in range(3)]
    formula = ILL_CONDITIONED[name]
    step = autobp.compile(lambda x: formula(w, x), w, example=(x,))
    theta = np.array([rng.uniform(-2.0, 2.0) for _ in w])
    certificate = step.verify(theta, [[rng.gauss(0.0, 1.0) for _ in x] for _ in range(4)])
    assert certificate.ok, str(certificate)


def test_a_recurrence_is_held_closely_though_bounds_by_absolute_values_would_say_nothing() -> None:
    w = [Value(v) for v in (0.6, -0.8, 0.8, 0.6)]  # a rotation
    state = [Value(0.3), Value(-0.2)]
    for _ in range(120):
        state = [w[0] * state[0] + w[1] * state[1], w[2] * state[0] + w[3] * state[1]]
    root = state[0] + 0.5 * state[1]
    graph = record([root], {id(v): (PARAMETER, i) for i, v in enumerate(w)})
    witness = Witness(graph, True, np.array([v.data for v in w]), [])
    bounds = witness.of_rounding(np.array([0]))[0]
    assert np.all(bounds[0] < 1e-9 * np.abs(witness.numbers[0]).max())
    absolute = {id(root): 1.0}
    for node in reversed(autobp.engine.topological_order(root)):
        for parent, partial in zip(node.parents, node.partials, strict=True):
            absolute[id(parent)] = absolute.get(id(parent), 0.0) + abs(partial) * absolute[id(node)]
    assert 2.0**-53 * absolute[id(w[0])] > 1e-6


# --------------------------------------------------------------------------------------- the graph's own walk


@pytest.mark.parametrize("seed", range(20))
def test_the_walk_gives_what_the_engine_gives(seed: int) -> None:
    rng = random.Random(seed)
    w = [Value(rng.uniform(-1.0, 1.0)) for _ in range(21)]
    rows = [[rng.uniform(-1.0, 1.0) for _ in range(3)] for _ in range(4)]
    x = [Value(v) for v in rows[0]]
    root = everything(w, x) + (w[0] - 0.9).relu().sqrt() + autobp.take(w[:3], Value(1.0))
    leaf = {id(v): (PARAMETER, i) for i, v in enumerate(w)} | {id(v): (1, i) for i, v in enumerate(x)}
    graph = record([root], leaf)
    root.backward()
    alone = adjoints_of(graph, graph.root, graph.values)
    assert [alone[graph.numbers[id(v)]] for v in w] == [v.grad for v in w]
    values = values_of(graph, leaves(graph, np.array([v.data for v in w]), [np.array(rows)]))
    adjoints = adjoints_of(graph, graph.root, values)
    for k, row in enumerate(rows):
        for v in w:
            v.grad = 0.0
        root = everything(w, row) + (w[0] - 0.9).relu().sqrt() + autobp.take(w[:3], Value(1.0))
        root.backward()
        assert np.broadcast_to(values[-1], 4)[k] == pytest.approx(root.data, rel=1e-14)
        found = [np.broadcast_to(adjoints[graph.numbers[id(v)]], 4)[k] for v in w]
        assert found == pytest.approx([v.grad for v in w], rel=1e-12, abs=1e-15)


# ----------------------------------------------------------------------------------------------- certificates


def network() -> tuple[MLP, Any, Any, Any]:
    """The network of docs/compile.md, its step, inputs and targets."""
    net = MLP(2, [3, 1], activation="sigmoid", seed=0)
    step = autobp.compile(lambda x, y: costs.binary_cross_entropy(net(x), y), net.parameters())
    return net, step, np.random.default_rng(0).random((10, 2)), np.ones(10)


def without_numbers(text: str) -> str:
    return re.sub(r" +\d\S*", " #", text)


def test_the_certificate_in_the_documents_is_what_is_printed() -> None:
    text = (Path(__file__).parents[1] / "docs" / "compile.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```\n(The program against the graph .*?)\n```$", text, re.DOTALL | re.MULTILINE)
    _, step, X, Y = network()
    assert without_numbers(str(step.verify(step.theta, X, Y))) == without_numbers(shown)


def test_a_certificate_says_that_each_row_and_the_mean_agree() -> None:
    _, step, X, Y = network()
    certificate = step.verify(step.theta, X, Y)
    assert certificate
    assert certificate.first_failure is None
    assert [q.name for q in certificate.quantities] == ["cost", "dW1", "db1", "dW2", "db2"]
    assert all(q.difference <= q.bound < 1e-11 for q in certificate.quantities)
    text = str(certificate)
    assert text.startswith("The program against the graph of 46 scalars that it was made of: 10 rows\n")
    assert text.endswith("All 5 agree, row by row and in the mean, to what rounding explains.")
    assert pickle.loads(pickle.dumps(step)).verify(step.theta, X, Y).ok


def test_a_certificate_names_the_row_and_the_entry_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    _, step, X, Y = network()
    call = type(step).__call__
    row = X[3]

    def wrong(self: Any, theta: Any, *arguments: Any) -> Any:
        cost, gradient = call(self, theta, *arguments)
        if len(arguments[0]) == 1 and np.array_equal(arguments[0][0], row):
            gradient[list(theta).index(theta[4])] *= 1.0 + 1e-9
        return cost, gradient

    monkeypatch.setattr(type(step), "__call__", wrong)
    certificate = step.verify(step.theta, X, Y)
    failed = certificate.first_failure
    assert not certificate
    assert failed is not None
    assert (failed.name, failed.row, failed.entry) == ("dW1", 3, (1, 1))
    assert failed.program == pytest.approx(failed.graph, rel=2e-9)
    assert "1 of 5 differ. dW1[1,1] in row 3 is" in str(certificate)
    assert "DIFFERS" in str(certificate)

    def wrong_mean(self: Any, theta: Any, *arguments: Any) -> Any:
        cost, gradient = call(self, theta, *arguments)
        return (cost + 1e-9, gradient) if len(arguments[0]) > 1 else (cost, gradient)

    monkeypatch.setattr(type(step), "__call__", wrong_mean)
    assert "cost in the mean over the rows is" in str(step.verify(step.theta, X, Y))


def test_outputs_and_graphs_without_data_have_certificates() -> None:
    net, step, X, _ = network()
    outputs = autobp.compile(net, net.parameters())
    assert "outputs" in str(outputs.verify(outputs.theta, X))
    whole = autobp.compile(lambda: sum(p * p for p in net.parameters()), net.parameters())
    certificate = whole.verify(whole.theta)
    assert certificate
    assert certificate.n_rows == 1
    with pytest.raises(TypeError, match="takes 3 arguments"):
        step.verify(step.theta, X)


def test_numbers_that_are_not_finite_are_no_fault_where_the_graph_has_them_too() -> None:
    _, step, X, Y = network()
    X[2, 0], X[5, 1] = np.nan, np.inf
    assert step.verify(step.theta, X, Y)
    assert step.verify(step.theta * 1e5, X, Y)


def test_a_mean_whose_sum_is_out_of_range_is_no_fault() -> None:
    w = Value(1.0)
    step = autobp.compile(lambda x: w * x, [w], example=(1e308,))
    assert step.verify(step.theta, np.full(5, 1e308))
