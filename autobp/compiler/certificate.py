"""The certificate of a program: at any numbers, row by row, it gives what its graph gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.agreement import Agreement, Agreements
from autobp.compiler.witness import Witness, agree
from autobp.ir import Floats, Indices, Shape
from autobp.reading.graph import Graph

_AT_ONCE = 250_000  # numbers of a walk


@dataclass(frozen=True)
class Quantity(Agreement):
    """One result of a program against the graph's, where they are furthest apart: true where they agree.

    Attributes:
        name: "cost", "outputs", or "dW1" for the derivatives by the matrix W1.
        shape: of one row's.
        largest: the graph's largest absolute entry, of all rows.
        difference: the absolute difference, where it is largest as a part of its bound.
        bound: what rounding explains there.
        row: the row, or None for the mean over all.
        entry: the index within the quantity.
        program, graph: both numbers there.
    """

    name: str
    shape: Shape
    largest: float
    difference: float
    bound: float
    row: int | None
    entry: tuple[int, ...]
    program: float
    graph: float

    @property
    def ok(self) -> bool:
        """Whether rounding explains the difference; so it is where the graph comes to no finite number."""
        return bool(agree(self.program, np.float64(self.graph), np.float64(self.bound)))


@dataclass(frozen=True)
class Certificate(Agreements[Quantity]):
    """What ``step.verify`` found: true where the program gives what the graph gives. ``str`` is a table.

    Attributes:
        quantities: the cost and the derivatives by each matrix, or the outputs.
        n_rows: m.
        n_nodes: the scalar operations and leaves of the graph, which is walked once for each row.
    """

    quantities: tuple[Quantity, ...]
    n_rows: int
    n_nodes: int

    @property
    def compared(self) -> tuple[Quantity, ...]:
        """The quantities, each in every row and in the mean."""
        return self.quantities

    def __str__(self) -> str:
        rows = f"{self.n_rows} row{'s' * (self.n_rows != 1)}"
        width = max(9, *[len(quantity.name) for quantity in self.quantities])
        lines = [
            f"The program against the graph of {self.n_nodes:,} scalars that it was made of: {rows}",
            "",
            f"{'quantity':{width}} {'shape':>10} {'largest entry':>14} {'difference':>11} {'bound':>9}",
        ]
        for quantity in self.quantities:
            shape = "×".join(str(n) for n in quantity.shape) or "scalar"
            lines.append(
                f"{quantity.name:{width}} {shape:>10} {quantity.largest:14.6g} {quantity.difference:11.2e} "
                f"{quantity.bound:9.2e}  {'ok' if quantity.ok else 'DIFFERS'}"
            )
        return "\n".join([*lines, "", self._conclusion()])

    def _conclusion(self) -> str:
        failed = self.first_failure
        if failed is None:
            return f"All {len(self.quantities)} agree, row by row and in the mean, to what rounding explains."
        index = f"[{','.join(map(str, failed.entry))}]" if failed.entry else ""
        where = "in the mean over the rows" if failed.row is None else f"in row {failed.row}"
        return (
            f"{sum(not quantity.ok for quantity in self.quantities)} of {len(self.quantities)} differ. "
            f"{failed.name}{index} {where} is {failed.program:.10g} by the program and {failed.graph:.10g} "
            f"by the graph; rounding explains a difference of {failed.bound:.2g}."
        )


def certify(
    run: Callable[..., Any],
    graph: Graph,
    matrices: Sequence[tuple[str, Indices]],
    result_shape: Shape | None,
    theta: Floats,
    arrays: Sequence[Floats],
) -> Certificate:
    """Hold a program against its graph at some numbers.

    Args:
        run: the program, ``run(theta, *arrays)``: (cost, gradient), or outputs.
        matrices: (name, positions in theta) of each matrix of parameters.
        result_shape: of the outputs for one row; None for a cost.
        arrays: the arguments, with rows.
    """
    is_cost = result_shape is None
    m = len(arrays[0]) if arrays else 1
    alone = _alone(run, is_cost, theta, arrays)
    expected, bounds = _walked(graph, is_cost, theta, arrays, alone)
    found = alone
    if is_cost and m > 1:  # the mean, as the last row
        with np.errstate(all="ignore"):
            mean, of_mean = np.hstack(run(theta, *arrays)), (expected / m).sum(0)
            right = agree(mean, of_mean, (bounds / m).sum(0))
            if not right.all():  # rows may be right to the last digit, where their sum cannot be
                everything = _walked(graph, is_cost, theta, arrays, np.where(right, alone, np.nan))[1]
            of_bounds = ((bounds if right.all() else everything) / m).sum(0)
        found, expected = np.vstack([found, mean]), np.vstack([expected, of_mean])
        bounds = np.vstack([bounds, of_bounds])
    parts: list[tuple[str, Shape, Any]] = [("outputs", result_shape or (), slice(None))]
    if is_cost:
        parts = [("cost", (), slice(0, 1))]
        parts += [(f"d{name}", at.shape, 1 + at.reshape(-1)) for name, at in matrices]
    quantities = [
        _quantity(name, shape, found[:, at], expected[:, at], bounds[:, at], m) for name, shape, at in parts
    ]
    return Certificate(tuple(quantities), m, len(graph))


def _alone(run: Callable[..., Any], is_cost: bool, theta: Floats, arrays: Sequence[Floats]) -> Floats:
    """What the program gives for each row, (m, n): the outputs; or cost and gradient of that row alone."""
    if not is_cost:
        return np.asarray(run(theta, *arrays)).reshape(len(arrays[0]) if arrays else 1, -1)
    if not arrays:
        return np.hstack(run(theta))[None, :]
    rows = [[array[row : row + 1] for array in arrays] for row in range(len(arrays[0]))]
    return np.array([np.hstack(run(theta, *row)) for row in rows])


def _walked(
    graph: Graph, is_cost: bool, theta: Floats, arrays: Sequence[Floats], found: Floats
) -> tuple[Floats, Floats]:
    """What the graph gives for each row, (m, n), and what ``found`` may differ from it by; some at a time."""
    expected, bounds = np.empty(found.shape), np.empty(found.shape)
    at_once = max(1, _AT_ONCE // len(graph))
    for first in range(0, len(found), at_once):
        rows = slice(first, min(len(found), first + at_once))
        some = [array[rows].reshape(rows.stop - rows.start, -1) for array in arrays]
        witness = Witness(graph, is_cost, theta, some)
        expected[rows], bounds[rows] = witness.numbers, witness.bounds(found[rows])
    return expected, bounds


def _quantity(name: str, shape: Shape, found: Floats, expected: Floats, bounds: Floats, m: int) -> Quantity:
    """One quantity where it is furthest from the graph's, as a part of the bound."""
    with np.errstate(all="ignore"):
        difference = np.abs(found - expected)
        part = np.where(difference > 0.0, difference / bounds, 0.0)
        part = np.where(np.isnan(difference), np.inf, part)
    part = np.where(np.isfinite(expected), part, -1.0)
    part = np.where(agree(found, expected, bounds), np.minimum(part, 1.0), part)
    row, at = np.unravel_index(int(np.argmax(part)), part.shape)
    entry = tuple([int(i) for i in np.unravel_index(int(at), shape)]) if shape else ()
    finite = np.abs(expected[np.isfinite(expected)])
    return Quantity(
        name,
        shape,
        float(finite.max()) if finite.size else float("nan"),
        float(difference[row, at]),
        float(bounds[row, at]),
        int(row) if row < m else None,
        entry,
        float(found[row, at]),
        float(expected[row, at]),
    )
