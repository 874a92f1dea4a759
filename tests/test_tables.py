"""Tables of dynamic programming: a loop over their diagonals, whatever their size and whoever wrote them."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autobp
from autobp import Value
from autobp.compiler.canonical import canonicalise
from autobp.compiler.levels import levels_of
from autobp.compiler.loops.tables import table_of
from autobp.compiler.loops.tape import tape_of
from autobp.compiler.recording import record_function
from autobp.functions import exp, log, logsumexp, maximum, minimum

Loss = Callable[[Any, Any], Value]
MINIMA: dict[str, Callable[..., Any]] = {
    "lse": lambda *x: -logsumexp([-a for a in x]),
    "exp": lambda *x: -log(sum(exp(-a) for a in x)),
    "min": lambda a, b, c: minimum(minimum(a, b), c),
}


def soft_edit(kind: str = "lse") -> tuple[Loss, list[Value]]:
    w, g = Value(1.0, label="w"), Value(0.7, label="g")

    def loss(x: Any, y: Any) -> Value:
        n, m = len(x), len(y)
        d: list[list[Any]] = [[None] * (m + 1) for _ in range(n + 1)]
        d[0][0] = Value(0.0)
        for i in range(1, n + 1):
            d[i][0] = d[i - 1][0] + g
        for j in range(1, m + 1):
            d[0][j] = d[0][j - 1] + g
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                cost = w * (x[i - 1] - y[j - 1]) ** 2
                d[i][j] = MINIMA[kind](d[i - 1][j] + g, d[i][j - 1] + g, d[i - 1][j - 1] + cost)
        return d[n][m]

    return loss, [w, g]


def soft_dtw(kind: str = "lse", border: float = 1e6) -> tuple[Loss, list[Value]]:
    w = Value(1.0, label="w")

    def loss(x: Any, y: Any) -> Value:
        before: list[Any] = [0.0] + [border] * len(y)
        for x_i in x:
            row: list[Any] = [border]
            for j, y_j in enumerate(y):
                row.append(w * (x_i - y_j) ** 2 + MINIMA[kind](before[j + 1], row[j], before[j]))
            before = row
        return before[-1]

    return loss, [w]


def by_recursion(kind: str = "lse") -> tuple[Loss, list[Value]]:
    w, g = Value(1.1, label="w"), Value(0.3, label="g")

    def loss(x: Any, y: Any) -> Value:
        @functools.cache
        def cell(i: int, j: int) -> Any:
            if not i or not j:
                return g * (i + j)
            best = MINIMA[kind](cell(i, j - 1), cell(i - 1, j), cell(i - 1, j - 1))
            return best + w * abs(x[i - 1] - y[j - 1])

        return cell(len(x), len(y))

    return loss, [w, g]


def by_reduce() -> tuple[Loss, list[Value]]:
    """A table of an object array, by columns, each with a ``reduce`` along it."""
    w, u = Value(0.4, label="w"), Value(0.3, label="u")

    def loss(x: Any, y: Any) -> Value:
        h = np.full((len(x) + 1, len(y) + 1), 0.0, dtype=object)
        for j in range(1, len(y) + 1):

            def add(left: Any, i: int, j: int = j) -> Any:
                h[i, j] = (w * left + u * h[i, j - 1] + x[i - 1] * y[j - 1]).tanh()
                return h[i, j]

            functools.reduce(add, range(1, len(x) + 1), h[0, j])
        return (h[len(x), len(y)] - 1.0) ** 2

    return loss, [w, u]


TABLES = {
    "edit lse": soft_edit,
    "edit exp": lambda: soft_edit("exp"),
    "edit min": lambda: soft_edit("min"),
    "dtw lse": soft_dtw,
    "dtw exp": lambda: soft_dtw("exp", 500.0),
    "dtw min": lambda: soft_dtw("min"),
    "recursion": by_recursion,
    "reduce": by_reduce,
}


def data(n: int, m: int, rows: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, n)), rng.normal(size=(rows, m)) + 0.2


def by_engine(loss: Loss, parameters: Sequence[Value], X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The mean cost and its gradient, from the engine's own walk."""
    found = np.zeros(1 + len(parameters))
    for x, y in zip(X, Y, strict=True):
        for p in parameters:
            p.grad = 0.0
        cost = loss([Value(a) for a in x], [Value(a) for a in y])
        cost.backward()
        found += np.array([cost.data, *[p.grad for p in parameters]]) / len(X)
    return found


def check(loss: Loss, parameters: Sequence[Value], X: np.ndarray, Y: np.ndarray, **options: Any) -> Any:
    """The step of a table, after it was compared with the engine."""
    step = autobp.compile(loss, parameters, example=(X[0], Y[0]), **options)
    cost, gradient = step(step.theta, X, Y)
    wanted = by_engine(loss, parameters, X, Y)
    np.testing.assert_allclose([cost, *gradient], wanted, rtol=1e-10, atol=1e-12)
    return step


def diagonals(loss: Loss, parameters: Sequence[Value], n: int, m: int) -> tuple[int, int] | None:
    """The shape of the table that is found."""
    X, Y = data(n, m)
    graph = canonicalise(record_function(loss, parameters, [X[0], Y[0]])[0])
    found = table_of(tape_of(graph, levels_of(graph)), 8)
    return None if found is None else found.shape


@pytest.mark.parametrize("name", TABLES)
def test_statements_do_not_grow_with_a_table(name: str) -> None:
    sizes = []
    for n, m in ((13, 15), (20, 24)):
        loss, parameters = TABLES[name]()
        step = check(loss, parameters, *data(n, m))
        sizes.append(len(step))
    assert len(set(sizes)) == 1, sizes
    assert sizes[0] < 450


@pytest.mark.parametrize("name", TABLES)
def test_nearly_all_cells_are_in_one_table(name: str) -> None:
    shape = diagonals(*TABLES[name](), 20, 24)
    assert shape is not None
    assert min(shape) >= 16
    assert max(shape) >= 20


def test_what_lanes_without_a_cell_compute_reaches_nothing() -> None:
    # with cells at the border in their place they would compute log(3·e⁻⁵⁰⁰), or log(0) and its slope
    loss, parameters = soft_dtw("exp", 500.0)
    X, Y = data(16, 16, rows=5)
    step = check(loss, parameters, X, Y)
    assert "np.where" in step.source
    assert np.isfinite(np.concatenate([[step(step.theta, X, Y)[0]], step(step.theta, X, Y)[1]])).all()


def test_a_number_that_is_none_passes_through_a_table_as_through_the_engine() -> None:
    loss, parameters = soft_dtw()
    X, Y = data(14, 14)
    step = check(loss, parameters, X, Y)
    X[1, 5] = np.nan
    cost, gradient = step(step.theta, X, Y)
    assert np.isnan([cost, *gradient]).all()


def test_cells_that_read_two_rows_above_are_a_table_too() -> None:
    w = Value(0.3, label="w")

    def loss(x: Any, y: Any) -> Value:
        rows: list[list[Any]] = [[0.1] * (len(y) + 2)] * 2
        for x_i in x:
            row: list[Any] = [0.2, 0.3]
            for j, y_j in enumerate(y, start=2):
                row.append((w * rows[-1][j] + 0.5 * rows[-2][j - 2] - w * row[j - 1] + x_i * y_j).tanh())
            rows.append(row)
        return rows[-1][-1]

    step = check(loss, [w], *data(16, 15))
    assert diagonals(loss, [w], 16, 15) is not None
    assert len(step) < 450


def test_rows_that_do_not_read_each_other_are_no_table() -> None:
    w = Value(0.3, label="w")

    def loss(x: Any, y: Any) -> Value:
        total: Any = 0.0
        for x_i in x:
            h: Any = 0.0
            for y_j in y:
                h = (w * h + x_i * y_j).tanh()
            total = total + h
        return total

    assert diagonals(loss, [w], 16, 16) is None
    check(loss, [w], *data(16, 16))


def test_the_value_alone_has_the_loop_too() -> None:
    loss, parameters = soft_edit()
    X, Y = data(16, 16)
    step = check(loss, parameters, X, Y)
    assert step.value(step.theta, X, Y) == pytest.approx(step(step.theta, X, Y)[0], rel=1e-12)


def test_second_derivatives_of_a_table_are_those_of_differences() -> None:
    loss, parameters = soft_edit()
    X, Y = data(14, 14, rows=2)
    step = check(loss, parameters, X, Y)
    h = 1e-5
    columns = []
    for i in range(2):
        up, down = step.theta.copy(), step.theta.copy()
        up[i] += h
        down[i] -= h
        columns.append((step(up, X, Y)[1] - step(down, X, Y)[1]) / (2 * h))
    np.testing.assert_allclose(step.hessian(step.theta, X, Y), np.array(columns).T, rtol=1e-6, atol=1e-7)


links = st.lists(
    st.sampled_from([(1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (1, 2), (2, 1)]),
    min_size=2,
    max_size=4,
    unique=True,
)


@settings(max_examples=10, deadline=None)
@given(
    links=links,
    shape=st.tuples(st.integers(10, 14), st.integers(10, 14)),
    form=st.sampled_from(["tanh", "max", "lse", "products"]),
    border=st.sampled_from(["constant", "parameter", "input", "row"]),
    reads=st.sampled_from(["last", "row", "column", "all"]),
    seed=st.integers(0, 10_000),
)
def test_random_tables_agree_with_the_engine(
    links: list[tuple[int, int]], shape: tuple[int, int], form: str, border: str, reads: str, seed: int
) -> None:
    n, m = shape
    rng = np.random.default_rng(seed)
    parameters = [Value(a, label=f"p[{i + 1}]") for i, a in enumerate(rng.normal(size=6) * 0.5)]
    w, g = parameters[:4], parameters[4]

    def outside(x: Any, y: Any, i: int, j: int) -> Any:
        if border == "parameter":
            return g
        if border == "input":
            return x[i] if 0 <= i < n else y[j % m]
        return 0.1 * (i + 3) + 0.2 * (j % 3) if border == "row" else 0.25

    def cell(x: Any, y: Any, i: int, j: int, read: Sequence[Any]) -> Any:
        if form == "max":
            return functools.reduce(maximum, read) * parameters[5] + x[i] * w[0] - y[j]
        if form == "lse":
            return logsumexp([a * b for a, b in zip(read, w, strict=False)]) - (x[i] - y[j]) ** 2
        if form == "products":
            return (read[0] * read[-1] + w[1] * x[i]).sigmoid() - w[2] * y[j]
        total = sum((a * b for a, b in zip(read, w, strict=False)), start=x[i] * y[j])
        return total.tanh()

    def loss(x: Any, y: Any) -> Any:
        table: dict[tuple[int, int], Any] = {}
        for i in range(n):
            for j in range(m):
                read = [
                    table[i - r, j - t] if (i - r, j - t) in table else outside(x, y, i - r, j - t)
                    for r, t in links
                ]
                table[i, j] = cell(x, y, i, j, read)
        if reads == "last":
            return table[n - 1, m - 1] ** 2
        if reads == "row":
            return sum(table[n - 1, j] * y[j] for j in range(m))
        if reads == "column":
            return sum(table[i, m - 1] for i in range(n))
        return sum(a * a for a in table.values())

    check(loss, parameters, *data(n, m, seed=seed))


def test_the_equations_of_a_table_have_no_second_subscript() -> None:
    loss, parameters = by_reduce()
    X, Y = data(14, 14)
    latex = autobp.compile(loss, parameters, example=(X[0], Y[0])).latex
    assert r"\mathrel{+}=" in latex
    assert not re.search(r"[A-Za-z]_\{[^{}]*\}_\{", latex)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", ["edit lse", "dtw min"])
def test_tables_run_as_machine_code(name: str) -> None:
    loss, parameters = TABLES[name]()
    X, Y = data(12, 13)
    step = check(loss, parameters, X, Y, backend="c")
    assert str(step.backend).startswith("c")


@pytest.mark.parametrize("odd", [7, 12])
def test_a_column_that_reads_otherwise_is_in_no_table_with_the_others(odd: int) -> None:
    w, u = Value(0.4, label="w"), Value(0.3, label="u")

    def loss(x: Any, y: Any) -> Value:
        row: list[Any] = [Value(0.1) * w for _ in range(len(y) + 1)]
        for x_i in x:
            new: list[Any] = [0.2]
            for j, y_j in enumerate(y, start=1):
                above = row[j - 2] if j == odd else row[j]
                new.append((w * new[j - 1] + u * above + x_i * y_j).tanh())
            row = new
        return row[-1] ** 2

    check(loss, [w, u], *data(16, 24))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("n", [(20, 20), (30, 17)])
def test_a_table_is_found_whichever_neighbour_is_first(order: Sequence[int], n: Sequence[int]) -> None:
    """The walk to the corner goes to what was written first, and so records rows in pieces of any shape."""
    gap, scale = Value(0.7), Value(0.4)

    def loss(x: Any, y: Any) -> Value:
        above = [gap * float(j) for j in range(len(y) + 1)]
        for i, x_i in enumerate(x):
            row = [gap * float(i + 1)]
            for j, y_j in enumerate(y):
                ways = above[j] + scale * (x_i - y_j) ** 2, above[j + 1] + gap, row[j] + gap
                row.append(-logsumexp([-ways[k] for k in order]))
            above = row
        return above[-1]

    step = check(loss, [gap, scale], *data(*n))
    assert len(step) < 320
