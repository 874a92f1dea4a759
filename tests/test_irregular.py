"""Graphs that are no stack of matrices: tables that data choose from, and what has no pattern."""

from __future__ import annotations

import math
import pickle
import random
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value, ir
from autobp.compiler import by_floats, tables
from autobp.compiler.canonical import canonicalise
from autobp.compiler.irregular import forms_by_level
from autobp.compiler.tabled import Tabled
from autobp.compiler.verified import ProgramDiffers
from autobp.reading.graph import record

RNG = np.random.default_rng(7)


def values(*shape: int) -> Any:
    """Parameters, as nested lists."""
    numbers = RNG.normal(size=shape)
    return np.vectorize(Value, otypes=[object])(numbers).tolist()


def leaves(*lists: Any) -> list[Value]:
    return [x for each in lists for x in np.array(each, dtype=object).reshape(-1)]


# ------------------------------------------------------------------------------------------ tables of rows

ROWS, WIDTH = 300, 5


def embedded(words: int = 2) -> tuple[Any, list[Value], Any, Any]:
    """A loss that reads rows of a table: the loss, its parameters, indices that repeat, targets."""
    table, u = values(ROWS, WIDTH), values(WIDTH)

    def loss(words: Any, y: Any) -> Value:
        z = 0.0
        for i in words:
            row = [autobp.take([table[k][j] for k in range(ROWS)], i) for j in range(WIDTH)]
            z = z + sum((x.tanh() * w for x, w in zip(row, u, strict=True)), 0.0)
        return (z - y[0]) ** 2

    indices = RNG.integers(0, ROWS, size=(9, words)).astype(float)
    indices[1] = indices[0]  # a row of the table that two samples read
    return loss, leaves(table, u), indices, RNG.normal(size=(9, 1))


def by_hand(theta: Any, indices: Any, y: Any) -> tuple[float, Any]:
    """The same in NumPy, a sample at a time."""
    table, u = theta[: ROWS * WIDTH].reshape(ROWS, WIDTH), theta[ROWS * WIDTH :]
    cost, dtable, du = 0.0, np.zeros_like(table), np.zeros_like(u)
    for words, target in zip(indices.astype(int), y[:, 0], strict=True):
        a = np.tanh(table[words])
        error = a.sum(0) @ u - target
        cost += error**2 / len(y)
        for k, row in zip(words, a, strict=True):
            dtable[k] += 2 / len(y) * error * u * (1 - row**2)
        du += 2 / len(y) * error * a.sum(0)
    return cost, np.concatenate([dtable.ravel(), du])


@pytest.mark.parametrize("words", [1, 2, 3])
@pytest.mark.parametrize("backend", ["numpy", "c", "source"])
def test_a_table_is_read_by_a_gather_and_its_gradient_scattered(words, backend):
    loss, parameters, indices, y = embedded(words)
    step = autobp.compile(
        loss,
        parameters,
        example=([0.0] * words, [1.0]),
        backend="numpy" if backend == "source" else backend,
    )
    run = step
    if backend == "source":
        module: dict[str, Any] = {}
        exec(step.source, module)
        run = module["cost_and_gradient"]
    cost, gradient = run(step.theta, indices, y)
    expected = by_hand(step.theta, indices, y)
    assert cost == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12, atol=1e-14)
    kinds = [type(x) for x in step.program.arrays]
    assert kinds.count(ir.ScatterAdd) == 1
    assert ir.OneHot not in kinds
    assert step.verify(step.theta, indices, y)


def test_a_table_in_other_libraries_arrays():
    torch = pytest.importorskip("torch")
    loss, parameters, indices, y = embedded()
    step = autobp.compile(loss, parameters, example=([0.0] * 2, [1.0]))
    cost, gradient = step(*[torch.tensor(x, dtype=torch.float64) for x in (step.theta, indices, y)])
    expected = by_hand(step.theta, indices, y)
    assert float(cost) == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient.numpy(), expected[1], rtol=1e-12, atol=1e-14)


def test_a_table_of_few_rows_stays_a_product_with_zeros_and_ones():
    w = values(6)
    step = autobp.compile(lambda i: autobp.take(w, i[0]) ** 2, w, example=([0.0],))
    assert "one_hot" in str(step.program)


@pytest.mark.parametrize("backend", ["numpy", "c"])
@pytest.mark.parametrize("wrong", [-1.0, 0.5, float(ROWS), math.nan])
def test_an_index_that_no_row_has_raises(backend, wrong):
    loss, parameters, indices, y = embedded()
    step = autobp.compile(loss, parameters, example=([0.0] * 2, [1.0]), backend=backend)
    indices[3, 1] = wrong
    with pytest.raises(IndexError, match="take: the index"):
        step(step.theta, indices, y)


@pytest.mark.parametrize("backend", ["numpy", "c"])
def test_a_row_that_is_not_finite_stays_alone(backend):
    loss, parameters, indices, y = embedded()
    step = autobp.compile(loss, parameters, example=([0.0] * 2, [1.0]), backend=backend)
    y[4] = math.nan
    _, gradient = step(step.theta, indices, y)
    table = gradient[: ROWS * WIDTH].reshape(ROWS, WIDTH)
    read = np.zeros(ROWS, dtype=bool)
    read[indices[4].astype(int)] = True
    np.testing.assert_array_equal(np.isnan(table).any(1), read)
    untouched = np.setdiff1d(np.arange(ROWS), indices.astype(int))
    assert (table[untouched] == 0.0).all()


def test_second_derivatives_through_a_table():
    loss, parameters, indices, y = embedded()
    step = autobp.compile(loss, parameters, example=([0.0] * 2, [1.0]))
    v = RNG.normal(size=len(parameters))
    h = 1e-6
    up, down = (by_hand(step.theta + s * v, indices, y)[1] for s in (h, -h))
    np.testing.assert_allclose(step.hvp(step.theta, v, indices, y), (up - down) / (2 * h), atol=1e-7)
    rows = step.rows(step.theta, indices, y)
    rows = rows[1] if isinstance(rows, tuple) else rows
    np.testing.assert_allclose(rows.mean(0), by_hand(step.theta, indices, y)[1], atol=1e-13)


def test_the_hessian_of_a_table():
    w, u = values(70), values(2)

    def loss(i: Any) -> Value:
        return (autobp.take(w, i[0]) * u[0]).exp() + autobp.take(w, i[1]) * u[1]

    step = autobp.compile(loss, [*w, *u], example=([0.0, 1.0],))
    indices = np.array([[3.0, 3.0], [3.0, 69.0], [0.0, 12.0]])
    hessian = step.hessian(step.theta, indices)
    h, expected = 1e-6, []
    for k in range(len(step.theta)):
        e = np.zeros_like(step.theta)
        e[k] = h
        expected.append((step(step.theta + e, indices)[1] - step(step.theta - e, indices)[1]) / (2 * h))
    np.testing.assert_allclose(hessian, expected, atol=1e-8)


def test_a_table_within_a_recurrence():
    table, r = values(90, 2), values(2)
    T = 12

    def loss(words: Any) -> Value:
        h = [Value(0.0), Value(0.0)]
        for i in words:
            h = [(r[j] * h[1 - j] + autobp.take([row[j] for row in table], i)).tanh() for j in range(2)]
        return (h[0] - 0.3) ** 2 + h[1] ** 2

    parameters = leaves(table, r)
    step = autobp.compile(loss, parameters, example=([float(t) for t in range(T)],))
    indices = RNG.integers(0, 90, size=(4, T)).astype(float)
    cost, gradient = step(step.theta, indices)
    costs, expected = [], np.zeros(len(parameters))
    for words in indices:
        for p in parameters:
            p.grad = 0.0
        value = loss([Value(x) for x in words])
        value.backward()
        costs.append(value.data)
        expected += [p.grad / len(indices) for p in parameters]
    assert cost == pytest.approx(np.mean(costs), rel=1e-12)
    np.testing.assert_allclose(gradient, expected, atol=1e-14)


# ---------------------------------------------------------------------------------------- what has no pattern


OPERATIONS = (
    lambda a, b, c: a * b * 0.5,
    lambda a, b, c: a - b * c,
    lambda a, b, c: (a + b + c).tanh(),
    lambda a, b, c: a.sin() + 0.25,
    lambda a, b, c: autobp.where(autobp.greater(a, b), a, c * 0.5),
    lambda a, b, c: (a * a + b * b + 1.0).log(),
    lambda a, b, c: (a * b).tanh() / (c * c + 1.5),
    lambda a, b, c: autobp.maximum(a.tanh(), b.tanh()),
    lambda a, b, c: 1.0 - autobp.sigmoid(a) * b.cos(),
)


class Random:
    """A loss of random operations on random earlier values, the same each time it is called."""

    def __init__(self, seed: int, n: int, inputs: int = 0, leaves: int = 40) -> None:
        rng = random.Random(seed)
        self.parameters = [Value(rng.gauss(0.0, 1.0)) for _ in range(leaves)]
        self.steps = [
            (rng.random(), rng.random(), rng.random(), rng.randrange(len(OPERATIONS))) for _ in range(n)
        ]
        self.rows = np.random.default_rng(seed).normal(size=(5, inputs)) if inputs else None

    def sample(self, x: Any) -> Value:
        return self.whole(x)

    def whole(self, x: Any = ()) -> Value:
        nodes = [*self.parameters, *x]
        for i, j, k, which in self.steps:
            a, b, c = (nodes[int(x * len(nodes))] for x in (i, j, k))
            nodes.append(OPERATIONS[which](a, b, c))
        return sum((x.tanh() ** 2 for x in nodes[-len(self.steps) // 3 :]), Value(0.0))

    def eager(self) -> tuple[float, Any]:
        """The mean cost and its gradient by the engine, row by row."""
        rows = [[]] if self.rows is None else [[Value(x) for x in row] for row in self.rows]
        found = []
        for row in rows:
            for p in self.parameters:
                p.grad = 0.0
            value = self.whole(row)
            value.backward()
            found.append([value.data, *[p.grad for p in self.parameters]])
        cost, *gradient = np.mean(found, axis=0)
        return cost, gradient

    def step(self, **options: Any) -> Any:
        """The graph compiled."""
        if self.rows is None:
            return autobp.compile(self.whole(), self.parameters, **options)
        return autobp.compile(self.sample, self.parameters, example=(self.rows[0],), **options)


def check_odd_numbers(graph: Random | Chain, step: Any) -> None:
    """Of a number that is not finite counts what the engine has."""
    for odd in (math.inf, -math.inf, math.nan):
        graph.rows[2, 1] = odd
        cost, gradient = step(step.theta, graph.rows)
        expected = graph.eager()
        np.testing.assert_allclose(cost, expected[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-12)


def is_pooled(step: Any) -> bool:
    """Whether levels were computed from a pool."""
    pools = [x for x in step.program.arrays if isinstance(x, ir.Assemble)]
    return len(pools) > 3


@pytest.mark.parametrize("inputs", [0, 6])
@pytest.mark.parametrize("seed", range(2))
def test_a_random_graph_is_a_few_statements_a_level(seed, inputs):
    graph = Random(seed, 800, inputs)
    step = graph.step()
    arguments = () if graph.rows is None else (graph.rows,)
    cost, gradient = step(step.theta, *arguments)
    expected = graph.eager()
    assert cost == pytest.approx(expected[0], rel=1e-12)
    scale = np.abs(expected[1]).max()
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-12 * scale)
    assert is_pooled(step)
    step.program.verify()
    x = [Value(0.5) for _ in range(inputs)]
    leaves = {id(v): (role, i) for role, some in ((0, graph.parameters), (1, x)) for i, v in enumerate(some)}
    recorded = record([graph.whole(x)], leaves)
    forms = forms_by_level(canonicalise(recorded))
    assert len(step) < 5 * sum(len(at_level) + 1 for at_level in forms)


def test_the_statements_of_a_random_graph_grow_with_its_levels_alone():
    few, many = Random(0, 700), Random(0, 2800)
    lengths = [len(x.step()) for x in (few, many)]
    assert lengths[1] < 2 * lengths[0]


def test_second_derivatives_of_a_random_graph():
    graph = Random(3, 700, 4)
    step = graph.step()
    assert is_pooled(step)
    v = RNG.normal(size=len(graph.parameters))
    h = 1e-6
    up, down = (step(step.theta + s * v, graph.rows)[1] for s in (h, -h))
    difference = (up - down) / (2 * h)
    scale = np.abs(difference).max()
    np.testing.assert_allclose(step.hvp(step.theta, v, graph.rows), difference, atol=1e-6 * scale)


@pytest.mark.parametrize("act", [autobp.tanh, autobp.sigmoid])
def test_a_pruned_network_does_not_fall_apart(act):
    """Rows with one weight that is left, none, and units that nothing reads."""
    rng = random.Random(0)
    width, lengths = 60, []
    for depth in (2, 4, 6):
        kept = [
            [(j, Value(rng.gauss(0, 0.5))) for j in range(width) if rng.random() < 0.05]
            for _ in range(width * depth)
        ]
        layers = [kept[k : k + width] for k in range(0, len(kept), width)]

        def loss(x: Any, y: Any, layers: Any = layers) -> Value:
            for layer in layers:
                x = [act(sum(w * x[j] for j, w in row)) if row else 0.0 for row in layer]
            return sum((a - t) ** 2 for a, t in zip(x, y, strict=True))

        parameters = [w for row in kept for _, w in row]
        step = autobp.compile(loss, parameters, example=([0.1] * width, [0.2] * width))
        lengths.append(len(step))
        X, Y = RNG.normal(size=(3, width)), RNG.normal(size=(3, width))
        assert step.verify(step.theta, X, Y)
    assert lengths[2] < 110


def test_an_infinite_number_stays_what_the_engine_has():
    graph = Random(5, 700, 4)
    step = graph.step()
    assert is_pooled(step)
    check_odd_numbers(graph, step)


# ------------------------------------------------------------------------------------ nothing side by side


class Chain:
    """Operations that do not repeat, each on what the one before gave, and on parameters and data."""

    def __init__(self, seed: int, n: int, inputs: int = 0) -> None:
        rng = random.Random(seed)
        self.parameters = [Value(rng.uniform(0.5, 1.0)) for _ in range(7)]
        self.steps = [(rng.randrange(7), rng.random(), rng.randrange(9)) for _ in range(n)]
        self.rows = np.random.default_rng(seed).uniform(0.5, 1.0, size=(5, inputs)) if inputs else None

    def whole(self, x: Any = ()) -> Value:
        v = self.parameters[0] * 1.0
        for at, lot, which in self.steps:
            p = self.parameters[at]
            other = x[int(lot * len(x))] if len(x) and lot < 0.5 else p
            if which == 0:
                v = v * other
            elif which == 1:
                v = v + other
            elif which == 2:
                v = v.tanh()
            elif which == 3:
                v = other - v.sin()
            elif which == 4:
                v = (v * v + p * other + 1.0).log()
            elif which == 5:
                v = autobp.maximum(v, other) * 0.5
            elif which == 6:
                v = v / (1.0 + other * other)
            elif which == 7:
                v = autobp.where(autobp.greater(v, other), v * 0.75, -v) + 0.1
            else:
                v = v.exp() - p * v - other * 2.0
        return v.tanh()

    def sample(self, x: Any) -> Value:
        return self.whole(x)

    eager, step = Random.eager, Random.step


def by_tables(step: Any) -> bool:
    """Whether a graph is run from tables, on floats."""
    return isinstance(step._executable(), Tabled)


@pytest.mark.parametrize("inputs", [0, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_chain_runs_from_tables_of_its_operations(seed, inputs):
    graph = Chain(seed, 1600, inputs)
    step = graph.step(backend="numpy")
    assert by_tables(step)
    assert step.backend == "numpy: asked for"
    arguments = () if graph.rows is None else (graph.rows,)
    cost, gradient = step(step.theta, *arguments)
    expected = graph.eager()
    assert cost == pytest.approx(expected[0], rel=1e-13)
    assert step.value(step.theta, *arguments) == cost
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-10, atol=1e-14)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of few scalars run from tables too."""
    monkeypatch.setattr(tables, "MOST_ARRAYS", 50)


def test_a_chain_has_as_many_rows_as_one_likes(few_are_many):
    """Few go by floats, many by vectors; of an odd one counts what the engine has."""
    graph = Chain(1, 150, 3)
    step = graph.step()
    assert by_tables(step)
    for m in (0, 1, 2, 11, 12, 13, 40):
        graph.rows = np.random.default_rng(m).uniform(0.5, 1.0, size=(m, 3))
        if m == 0:
            with pytest.raises(ValueError, match="row"):
                step(step.theta, graph.rows)
            continue
        cost, gradient = step(step.theta, graph.rows)
        expected = graph.eager()
        assert cost == pytest.approx(expected[0], rel=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-13)
    check_odd_numbers(graph, step)


def test_the_outputs_of_a_chain():
    graph = Chain(2, 1600, 3)

    def outputs(x: Any) -> list[Value]:
        v = graph.whole(x)
        return [v, v * v, v - x[0]]

    step = autobp.compile(outputs, graph.parameters, example=(graph.rows[0],))
    assert by_tables(step)
    found = step(step.theta, graph.rows)
    expected = [[v.data for v in outputs([Value(x) for x in row])] for row in graph.rows]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_chain_in_a_file_is_the_same_chain():
    graph = Chain(3, 1600)
    step = graph.step()
    again = pickle.loads(pickle.dumps(step))
    assert by_tables(again)
    np.testing.assert_array_equal(again(step.theta)[1], step(step.theta)[1])


def test_a_chain_has_its_second_derivatives_and_its_program(few_are_many):
    graph = Chain(4, 150)
    step = graph.step()
    assert by_tables(step)
    theta, v = step.theta, RNG.normal(size=7)
    h = 1e-6
    difference = (step(theta + h * v)[1] - step(theta - h * v)[1]) / (2 * h)
    np.testing.assert_allclose(step.hvp(theta, v), difference, rtol=1e-5, atol=1e-6 * abs(difference).max())
    module: dict[str, Any] = {}
    exec(step.source, module)
    np.testing.assert_allclose(module["cost_and_gradient"](theta)[1], step(theta)[1], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("kind", ["_PRODUCT", "_SUM", "_DIFFERENCE"])
def test_a_fault_in_the_tables_is_found_before_they_are_handed_out(few_are_many, monkeypatch, kind):
    """One entry reads an operand in place of the other."""
    w = [Value(0.3 + 0.1 * k) for k in range(5)]
    rng = random.Random(0)
    v = w[0]
    for _ in range(150):
        p, which = rng.choice(w), rng.randrange(3)
        v = (v * p).tanh() if which == 0 else (v + p).tanh() if which == 1 else (p - v).sin()
    assert by_tables(autobp.compile(v, w, backend="numpy"))
    right, seen = by_floats._entry, []

    def wrong(form: Any, slots: Any) -> Any:
        what, a, b, more = right(form, slots)
        if what == getattr(by_floats, kind):
            seen.append(a)
            b = a
        return what, a, b, more

    monkeypatch.setattr(by_floats, "_entry", wrong)
    with pytest.raises(ProgramDiffers):
        autobp.compile(v, w, backend="numpy")
    assert seen
