"""Graphs with nothing side by side: their operations in tables, gone through on floats, row by row.

A long chain of operations that do not repeat has no arrays, and a statement of NumPy's for each of them would
take longer to compile and to run than the engine takes. So a loop goes through the tables, forwards and back,
by the operation table's own rules on floats. For many rows, where vectors pay, and where a rule raises, as
log 0 does, the graph's own walk (:mod:`autobp.reading.walk`) takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp.backends.c_tables import ONE, SUM_OF_PRODUCTS, Form, Tables
from autobp.chain import stops
from autobp.compiler.recording import no_garbage_collection
from autobp.ir import Floats
from autobp.ops import FLOATS, MULTIPLY, Operation

#: What an entry of the table does, from a number on: the commonest are told apart.
_PRODUCT, _SUM, _DIFFERENCE, _ANY_SUM, _FUNCTION, _ANY = range(6)
_MOST_ROWS = 12  # from which on vectors take less time

#: An operation: what it does, its first two operands, and what else it takes.
Entry = tuple[int, int, int, Any]
#: Of the arguments: each row's outputs, or its cost and gradient, (m, 1 + n_parameters).
Walk = Callable[[Floats, Sequence[Floats]], Floats]


class FloatFunction:
    """One of the functions of a graph, called with (theta, …data, work) as one that NumPy runs.

    Args:
        entries: the operations of the tables.
        walk: what there is of each row where floats do not do.
        with_gradient: whether the gradient is wanted beside the cost.
    """

    def __init__(self, tables: Tables, entries: Sequence[Entry], walk: Walk, with_gradient: bool) -> None:
        self._tables, self._walk, self._with_gradient = tables, walk, with_gradient
        self._entries = entries
        self.direct: None = None  # there is no faster way in
        self._constants: list[float] = tables.constants.tolist()
        self._outputs: list[int] = tables.outputs.tolist()

    def work(self, m: int) -> None:
        """No work area: floats need none."""

    def __call__(self, theta: Floats, *arguments: Any) -> Any:
        """What the function gives for parameters and data, the last argument being for others' work area."""
        return self.looked_at(theta, *arguments)[0]

    def looked_at(self, theta: Floats, *arguments: Any) -> tuple[Any, bool]:
        """The same, and whether all of it is finite."""
        arrays: Sequence[Floats] = arguments[:-1]
        m = len(arrays[0]) if arrays else 1
        rows = self._walk(theta, arrays) if m > _MOST_ROWS else self._row_by_row(theta, arrays, m)
        shape = self._tables.result_shape
        if shape is not None:
            return rows.reshape((m, *shape) if arrays else shape), bool(np.isfinite(rows).all())
        mean: Floats = rows.mean(0) if m > 1 else rows[0]
        return (mean[0], mean[1:]) if self._with_gradient else mean[0], bool(np.isfinite(mean).all())

    def _row_by_row(self, theta: Floats, arrays: Sequence[Floats], m: int) -> Floats:
        tables = self._tables
        given = [self._constants + theta[tables.parameters].tolist()] * m
        for (_, _, positions), array in zip(tables.arguments, arrays, strict=True):
            flat = array.reshape(m, -1)[:, positions].tolist()
            given = [some + more for some, more in zip(given, flat, strict=True)]
        try:
            return np.array([self._row(list(values)) for values in given])
        except (ArithmeticError, ValueError):  # where floats raise, arrays give ∞ or NaN
            return self._walk(theta, arrays)

    def _row(self, values: list[float]) -> list[float]:
        """A row's outputs, or its cost, and its gradient after it where it is wanted."""
        go_forward(self._entries, values)
        found = [values[slot] for slot in self._outputs]
        if not self._with_gradient:
            return found
        adjoints = [0.0] * len(values)
        adjoints[self._outputs[0]] = 1.0
        go_back(self._entries, values, adjoints)
        gradient = [0.0] * self._tables.n_parameters
        for slot, position in enumerate(self._tables.parameters.tolist(), len(self._constants)):
            gradient[position] = adjoints[slot]
        return found + gradient


def entries_of(tables: Tables) -> list[Entry]:
    """The operations of tables, in order."""
    starts, operands = tables.starts.tolist(), tables.operands.tolist()
    found: list[Entry] = []
    with no_garbage_collection():
        for kind, count in tables.runs.tolist():
            form = tables.forms[kind]
            for _ in range(count):
                k = len(found)
                found.append(_entry(form, operands[starts[k] : starts[k + 1]]))
    return found


def _entry(form: Form, slots: list[int]) -> Entry:
    if form == SUM_OF_PRODUCTS:
        if len(slots) == 4 and slots[1] == slots[3] == ONE and max(slots[0], slots[2]) >= 0:
            first, second = (slots[0], slots[2]) if slots[0] >= 0 else (slots[2], slots[0])
            return (_SUM, first, second, None) if second >= 0 else (_DIFFERENCE, first, -1 - second, None)
        pairs = zip(slots[::2], slots[1::2], strict=True)
        return _ANY_SUM, 0, 0, [(1.0, a, b) if a >= 0 else (-1.0, -1 - a, b) for a, b in pairs]
    if form.operation is MULTIPLY:
        return _PRODUCT, slots[0], slots[1], None
    operation = form.operation
    assert operation is not None
    if len(slots) == 1 and not form.constants:
        selecting = operation if operation.selects else None
        return _FUNCTION, slots[0], 0, (operation.value, operation.partials, selecting)
    return _ANY, 0, 0, (operation, form.constants, slots)


def go_forward(entries: Sequence[Entry], values: list[float]) -> None:
    """Append what each operation computes."""
    operation: Operation
    for what, a, b, more in entries:
        if what == _PRODUCT:
            y = values[a] * values[b]
        elif what == _SUM:
            y = values[a] + values[b]
        elif what == _DIFFERENCE:
            y = values[a] - values[b]
        elif what == _ANY_SUM:
            y = 0.0
            for sign, a, b in more:
                y += sign * values[a] * values[b]
        elif what == _FUNCTION:
            y = more[0](FLOATS, values[a])
        else:
            operation, constants, slots = more
            y = operation.value(FLOATS, *[values[slot] for slot in slots], *constants)
        values.append(y)


def go_back(entries: Sequence[Entry], values: Sequence[float], adjoints: list[float]) -> None:
    """Add to the adjoints what each operation passes to its operands, the last one first."""
    operation: Operation
    k = len(values)
    for what, a, b, more in reversed(entries):
        k -= 1
        g = adjoints[k]
        if what == _PRODUCT:
            adjoints[a] += g * values[b]
            adjoints[b] += g * values[a]
        elif what == _SUM:
            adjoints[a] += g
            adjoints[b] += g
        elif what == _DIFFERENCE:
            adjoints[a] += g
            adjoints[b] -= g
        elif what == _ANY_SUM:
            for sign, a, b in more:
                adjoints[a] += sign * g * values[b]
                adjoints[b] += sign * g * values[a]
        elif what == _FUNCTION:
            _, derivative, selecting = more
            partial = derivative(FLOATS, values[k], values[a])[0]
            if selecting is None or not stops(selecting, partial):
                adjoints[a] += partial * g
        else:
            operation, constants, slots = more
            partials = operation.partials(FLOATS, values[k], *[values[slot] for slot in slots], *constants)
            for slot, partial in zip(slots, partials, strict=True):
                if not stops(operation, partial):
                    adjoints[slot] += partial * g
