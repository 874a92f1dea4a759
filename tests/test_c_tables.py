"""Graphs in which hardly two scalars are alike: machine code from tables of their operations."""

from __future__ import annotations

import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value
from autobp.compiler import Step, tables
from autobp.compiler.tabled import Tabled
from autobp.machine import NoMachineCode

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
    ),
    pytest.mark.usefixtures("own_cache"),
]
ONE = [
    "tanh",
    "sin",
    "sigmoid",
    "relu",
    "abs",
    "softplus",
    "gelu",
    "atan",
    "exp",
    "negative",
]
TWO = ["maximum", "minimum", "atan2", "logaddexp", "multiply", "subtract", "add"]


@pytest.fixture
def any_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph is taken for one without arrays."""
    monkeypatch.setattr(tables, "MOST_ARRAYS", -1)
    monkeypatch.setattr(tables, "ALIKE", np.inf)


def wild(n: int, w: list[Value], given: list[Any], seed: int) -> list[Any]:
    """n scalars, each of operations and operands that are drawn by lot; the last ones."""
    rng = random.Random(seed)
    nodes: list[Any] = [*w, *given]
    while len(nodes) < n:
        a, b, c = (rng.choice(nodes[-60:]) for _ in range(3))
        lot = rng.random()
        if lot < 0.3:
            nodes.append(0.5 * a - 0.4 * b + 0.1)
        elif lot < 0.5:
            nodes.append(a * b - c * 0.25)
        elif lot < 0.6:
            nodes.append(autobp.where(autobp.greater(a, b), b, c))
        elif lot < 0.8:
            nodes.append(getattr(autobp, rng.choice(TWO))(a, b).tanh())
        else:
            nodes.append(getattr(autobp, rng.choice(ONE))(a).tanh())
    return nodes[-20:]


def parameters(n: int = 9) -> list[Value]:
    return [Value(0.3 * k - 1.0, label=f"w{k}") for k in range(n)]


def steps(function: Any, w: list[Value], example: Any = None) -> tuple[Step, Step]:
    """The function on tables, and on NumPy."""
    options = {} if example is None else {"example": example}
    by_tables = autobp.compile(function, w, backend="c", **options)
    assert type(by_tables._executable()) is Tabled
    return by_tables, autobp.compile(function, w, **options)


def agree(found: Any, expected: Any) -> None:
    for x, y in zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("seed", range(2))
def test_a_graph_of_data_gives_what_numpy_gives(any_graph: None, seed: int) -> None:
    w = parameters()

    def loss(x: Any, y: Any) -> Any:
        return autobp.sum([(a - y) ** 2 for a in wild(70, w, [*x], seed)[-8:]])

    by_tables, by_numpy = steps(loss, w, ([0.1, 0.2, 0.3], 0.5))
    rng = np.random.default_rng(seed)
    for m in (1, 7, 8, 9, 30):
        X, Y = rng.normal(size=(m, 3)), rng.normal(size=m)
        theta = rng.normal(size=9)
        found, expected = by_tables(theta, X, Y), by_numpy(theta, X, Y)
        agree(found[0], expected[0])
        agree(found[1], expected[1])
        agree(by_tables.value(theta, X, Y), expected[0])
    assert by_tables.verify(theta, X, Y).ok


def test_a_large_graph_gives_what_the_engine_gives() -> None:
    w = parameters()
    loss = autobp.sum([a * a for a in wild(6000, w, [], 1)])
    step = autobp.compile(loss, w, backend="auto")
    assert step.backend == "c: hardly two of its scalars are alike"
    cost, gradient = step(step.theta)
    loss.backward()
    assert cost == pytest.approx(loss.data, rel=1e-12)
    np.testing.assert_allclose(gradient, [x.grad for x in w], rtol=1e-10)
    theta = step.theta + 0.01
    step.write_back(theta)
    again = autobp.sum([a * a for a in wild(6000, w, [], 1)])
    assert step(theta)[0] == pytest.approx(again.data, rel=1e-12)
    assert "static const int OPERANDS[]" in step.c_source


def test_outputs_and_what_leads_nowhere(any_graph: None) -> None:
    w = parameters(4)
    a, b = steps(lambda x: [[x[0], w[1]], [x[1] * 2.0 - w[0], x[1].exp()]], w, ([1.0, 2.0],))
    X = np.array([[1.0, -0.0], [np.inf, np.nan], [5e-324, 710.0]])
    found, expected = a(a.theta, X), b(a.theta, X)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    a, b = steps([w[0] * w[1], w[2]], w)
    assert np.array_equal(a(a.theta), b(a.theta))
    a, b = steps(lambda x, y: w[0] * 3.0, w, (1.0, [2.0]))
    assert a(a.theta, [1.0, 1.0], [[1.0], [1.0]])[1].tolist() == [3.0, 0.0, 0.0, 0.0]


def test_signs_of_zeros_are_the_engines(any_graph: None) -> None:
    w = [Value(1.0)]

    def outputs(x: Any, y: Any) -> list[Any]:
        return [x + y, -x, x - y, -(x * y), 1.0 / (x * w[0] + y)]

    step, _ = steps(outputs, w, (1.0, 1.0))
    edges = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e308, 5e-324]
    X, Y = (x.ravel() for x in np.meshgrid(edges, edges))
    found = step(step.theta, X, Y)
    with autobp.engine.ieee():
        pairs = zip(X.tolist(), Y.tolist(), strict=True)
        expected = np.array([[z.data for z in outputs(Value(x), Value(y))] for x, y in pairs])
    np.testing.assert_array_equal(found, expected)
    signs = ~np.isnan(expected)  # that of NaN means nothing
    np.testing.assert_array_equal(np.signbit(found)[signs], np.signbit(expected)[signs])


def test_nothing_passes_to_what_was_not_selected(any_graph: None) -> None:
    w = [Value(1.0), Value(-1.0)]
    step, by_numpy = steps(lambda x: autobp.sqrt(autobp.relu(w[0] * x)) + w[1] * x, w, (1.0,))
    for x in (2.0, -1.0):
        agree(step([1.0, 2.0], [x])[1], by_numpy([1.0, 2.0], [x])[1])
    assert step([1.0, 2.0], [-1.0])[1].tolist() == [0.0, -1.0]


def test_what_has_arrays_loops_or_an_index_has_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    w = parameters()

    def kind(function: Any, *example: Any) -> type:
        return type(autobp.compile(function, w, backend="auto", example=example)._executable())

    net = autobp.MLP(3, [40, 1], activation="tanh", seed=0)
    made = autobp.compile(net, net.parameters(), backend="auto", example=([1.0, 2.0, 3.0],))
    assert type(made._executable()) is not Tabled
    monkeypatch.setattr(tables, "MOST_ARRAYS", 20)
    assert kind(lambda x: autobp.sum(wild(60, w, [x], 0)), 1.0) is Tabled
    assert kind(lambda x: autobp.sum([w[k % 9] * x for k in range(60)]), 1.0) is not Tabled

    def recurrence(x: Any) -> Any:
        for _ in range(30):
            x = (x * w[0] + w[1]).tanh() - 0.5 * x
        return x

    assert kind(recurrence, 1.0) is not Tabled
    chosen = autobp.functions.take
    assert kind(lambda i: autobp.sum(wild(60, w, [chosen(w, i)], 0)), 1.0) is not Tabled
    checked = autobp.compile(
        lambda x: autobp.sum(wild(60, w, [x], 0)), w, backend="auto", check=True, example=(1.0,)
    )
    assert type(checked._executable()) is not Tabled


def test_arrays_are_there_when_they_are_asked_for(any_graph: None) -> None:
    w = parameters(3)
    step, by_numpy = steps(lambda x: (w[0] * x + w[1]) ** 2, w, (1.0,))
    assert "arrays" not in step._executable().__dict__
    for name in ("source", "latex", "theta"):
        assert np.array_equal(getattr(step, name), getattr(by_numpy, name))
    assert str(step.program) == str(by_numpy.program)
    assert len(step) == len(by_numpy)
    assert repr(step) == repr(by_numpy)
    assert step.report() == by_numpy.report()
    with pytest.raises(AttributeError):
        step._executable().nothing  # noqa: B018


def test_a_pickle_and_no_compiler(any_graph: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = parameters(3)
    step, by_numpy = steps(lambda x: (w[0] * x + w[1]) ** 2, w, (1.0,))
    either = autobp.compile(lambda x: (w[0] * x + w[1]) ** 2, w, backend="auto", example=(1.0,))
    data, of_either = pickle.dumps(step), pickle.dumps(either)
    shutil.rmtree(own_cache)
    again = pickle.loads(data)
    assert again(step.theta, [1.0, 2.0])[0] == step(step.theta, [1.0, 2.0])[0]
    monkeypatch.setenv("CC", "no-such-compiler")
    again = pickle.loads(of_either)
    assert again(step.theta, [1.0, 2.0])[0] == by_numpy(step.theta, [1.0, 2.0])[0]
    assert "no-such-compiler" in again.backend
    with pytest.raises(NoMachineCode, match="no-such-compiler"):
        pickle.loads(data)(step.theta, [1.0])


def test_an_operation_of_python_code(any_graph: None) -> None:
    autobp.operation("halves_", lambda xp, x: float(x) / 2.0, lambda xp, y, x: (0.5,))
    try:
        w = [Value(2.0)]
        graph = autobp.functions.tanh(w[0].halves_()) if hasattr(w[0], "halves_") else None
        assert graph is not None
        assert "Python code" in autobp.compile(graph, w, backend="auto").backend
        with pytest.raises(NoMachineCode, match="Python code"):
            autobp.compile(graph, w, backend="c")
    finally:
        autobp.ops.TABLE.pop("halves_", None)


def test_an_exported_file(any_graph: None, tmp_path: Path) -> None:
    w = parameters()

    def loss(x: Any) -> Any:
        return autobp.sum([a * a for a in wild(90, w, [*x], 3)])

    autobp.compile(loss, w, backend="c", example=([0.1, 0.2],)).export_c(tmp_path / "model.c")
    sanitized = ["cc", "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    for compiler in (["cc", "-std=c99"], ["g++"], sanitized):
        command = [*compiler, "-Wall", "-Wextra", "-Werror", "model.c", "-lm"]
        if shutil.which(compiler[0]) is None:
            continue
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        if "cannot find" in done.stderr:  # the sanitizers' libraries
            continue
        assert done.returncode == 0, done.stderr
        ran = subprocess.run([str(tmp_path / "a.out")], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "cost_and_gradient: 10 of 10" in ran.stdout


def test_the_page_tells_of_tables() -> None:
    page = (Path(__file__).parents[1] / "docs" / "machine-code.md").read_text(encoding="utf-8")
    assert f"over {tables.MOST_ARRAYS:,} kinds of scalars" in page
