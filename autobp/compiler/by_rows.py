"""Some rows of what is computed row for row, from these rows of what it is computed from.

The first axis of an array is its rows here: of what belongs to the steps of a loop, the steps.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from autobp import ir
from autobp.ir.substituting import of_operands

#: The field with the shape of the arrays that have one.
_SHAPES: Mapping[type[ir.Array], str] = {ir.Map: "over", ir.Sum: "over", ir.Reshape: "to", ir.Fill: "to"}


class RowView(NamedTuple):
    """How a view takes a part of rows: of the ``first``, and of every ``apart``-th from there on.

    Attributes:
        at: where the part begins in a row.
        width: the elements of a row.
    """

    first: int
    apart: int
    at: int
    width: int


def row_view(view: ir.View) -> RowView | None:
    """How a view takes of each row the same part; None where it does not."""
    if not view.source.shape or not view.shape:
        return None
    width = math.prod(view.source.shape[1:])
    within = [(n - 1) * stride for n, stride in zip(view.shape[1:], view.strides[1:], strict=True)]
    first, at = divmod(view.base, width)
    low, high = sum(min(x, 0) for x in within), sum(max(x, 0) for x in within)
    if view.strides[0] % width or view.strides[0] <= 0 or at + low < 0 or at + high >= width:
        return None
    return RowView(first, view.strides[0] // width, at, width)


def operands_by_rows(array: ir.Array) -> Sequence[tuple[ir.Array, bool]] | None:
    """The operands of an array that is computed row for row, and whether each goes by rows too.

    None where it is not computed so. What does not go by rows is the same for all of them.
    """
    shape, operands = array.shape, array.operands
    if not shape or shape[0] == 1:
        return None
    n = shape[0]
    if isinstance(array, ir.RowDot):
        shape = np.broadcast_shapes(*[x.shape for x in operands])
        return None if len(shape) == 1 else _alike(operands, shape)
    if isinstance(array, ir.Map | ir.Sum | ir.Elementwise | ir.Fill):
        return _alike(operands, shape)
    if isinstance(array, ir.MatMul):
        rows, columns = array.rows, array.columns
        stacked = len(columns.shape) > 2
        fits = len(rows.shape) > 1 and (not stacked or (len(rows.shape) > 2 and columns.shape[0] == n))
        return [(rows, True), (columns, stacked)] if fits else None
    if isinstance(array, ir.Reduce) and len(array.source.shape) > 1:
        return [(array.source, True)]
    if isinstance(array, ir.Reshape) and array.source.shape[:1] == (n,):
        return [(array.source, True)]
    if isinstance(array, ir.View) and array.source.shape[:1] == (n,):
        found = row_view(array)
        return [(array.source, True)] if found is not None and found[:2] == (0, 1) else None
    return None


def _alike(operands: Sequence[ir.Array], shape: ir.Shape) -> Sequence[tuple[ir.Array, bool]]:
    return [(x, len(x.shape) == len(shape) and x.shape[0] == shape[0]) for x in operands]


def is_computed(array: ir.Array) -> bool:
    """Whether rows of an array with samples are computed, from arrays that a caller has or that are small."""
    while isinstance(array, ir.View | ir.Reshape):
        if isinstance(array, ir.View) and row_view(array) is None:
            return False
        if isinstance(array, ir.Reshape) and operands_by_rows(array) is None:
            return False
        array = array.source
    return array.batched and operands_by_rows(array) is not None


class Rows(ABC):
    """Writes what is computed row for row for some rows.

    Attributes:
        n: how many they are.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._made: dict[tuple[ir.Array, int, int], ir.Array] = {}

    @abstractmethod
    def given(self, array: ir.Array, first: int, apart: int) -> ir.Array:
        """Rows of what is there as a whole."""

    @abstractmethod
    def whole(self, array: ir.Array) -> ir.Array:
        """What is the same for all rows."""

    def goes_into(self, array: ir.Array) -> bool:
        """Whether rows of an array are computed here."""
        return is_computed(array)

    def rows(self, array: ir.Array, first: int = 0, apart: int = 1) -> ir.Array:
        """Rows of an array: the ``first``, and every ``apart``-th from there on."""
        key = array, first, apart
        if key not in self._made:
            self._made[key] = self._rows(array, first, apart)
        return self._made[key]

    def source(self, view: ir.View, first: int, apart: int) -> ir.Array:
        """What rows of a view are views of."""
        found = row_view(view)
        assert found is not None
        return self.rows(view.source, found.first + found.apart * first, found.apart * apart)

    def operand(self, array: ir.Array, x: ir.Array, by_row: bool, first: int, apart: int) -> ir.Array:
        """What rows of an array are computed from."""
        return self.rows(x, first, apart) if by_row else self.whole(x)

    def _rows(self, array: ir.Array, first: int, apart: int) -> ir.Array:
        if not self.goes_into(array):
            return self.given(array, first, apart)
        if isinstance(array, ir.View):
            found = row_view(array)
            assert found is not None
            source = self.source(array, first, apart)
            return ir.View(source, found.at, (self.n, *array.shape[1:]), (found.width, *array.strides[1:]))
        parts = operands_by_rows(array)
        assert parts is not None
        by = {x: self.operand(array, x, by_row, first, apart) for x, by_row in parts}
        made = of_operands(array, by)
        field = _SHAPES.get(type(array))
        if field is None:
            return made
        shape: dict[str, Any] = {field: (self.n, *array.shape[1:])}
        return replace(made, **shape)  # type: ignore[type-var]


def some_rows(array: ir.Array, first: int, apart: int, shape: Sequence[int]) -> ir.View:
    """Rows of an array as a view: the ``first``, and every ``apart``-th, in a shape, (…, n), of rows."""
    rest = array.shape[1:]
    width = math.prod(rest)
    dense = [math.prod(rest[i + 1 :]) for i in range(len(rest))]
    steps = [math.prod(shape[i + 1 :]) * apart * width for i in range(len(shape))]
    return ir.View(array, first * width, (*shape, *rest), (*steps, *dense))
