"""What is computed step for step from what a loop leaves by step, up to sums over steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autobp import ir
from autobp.compiler.by_rows import operands_by_rows, row_view


class Late(NamedTuple):
    """An array by step of which a row is read ``by`` steps after it is there."""

    array: ir.Array
    by: int


class After:
    """What is computed from what a loop leaves by step.

    Row r of such an array is there with step r + shift of the loop, as the latest is of the rows that it is
    computed from.

    Attributes:
        dependent: all that depends on the loop.
        shifts: of what is computed step for step, what the loop leaves among it.
        sums: the sums of that over steps.
        ends: what is read of only the first step, or the last.
        results: what the loop leaves.
    """

    def __init__(self, program: ir.Program, loop: ir.Loop) -> None:
        self.loop = loop
        self.dependent: set[ir.Array] = {loop}
        self.shifts: dict[ir.Array, int] = {}
        self.sums: list[ir.Array] = []
        self.ends: dict[ir.View, int] = {}
        self.results: list[ir.Result] = []
        for array in program.arrays:
            if not self.dependent.isdisjoint(array.operands):
                self.dependent.add(array)
                self._look_at(array)

    def _look_at(self, array: ir.Array) -> None:
        if isinstance(array, ir.Result) and array.loop is self.loop:
            self.results.append(array)
            if array.number >= len(self.loop.initial):
                self.shifts[array] = 0
        elif isinstance(array, ir.View):
            self._look_at_view(array)
        elif _is_sum(array):
            if self._known([(x, True) for x in array.operands]):
                self.sums.append(array)
        elif (parts := operands_by_rows(array)) is not None and self._known(parts):
            self.shifts[array] = self._latest(array)

    def _look_at_view(self, view: ir.View) -> None:
        if view.source not in self.shifts:
            return
        shift, found = self.shifts[view.source], row_view(view)
        if found is not None and found.apart == 1 and view.shape[0] > 1:
            self.shifts[view] = shift + found.first
            return
        width = math.prod(view.source.shape[1:])
        reach = sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
        step = view.base // width + shift
        within = min(view.strides, default=0) >= 0 and view.base % width + reach < width
        if within and step in (0, self.loop.steps - 1):
            self.ends[view] = step

    def _known(self, parts: Sequence[tuple[ir.Array, bool]]) -> bool:
        """Whether operands are computed step for step too, or do not depend on the loop."""
        return all(x not in self.dependent or (by_row and x in self.shifts) for x, by_row in parts)

    def _latest(self, array: ir.Array) -> int:
        return max(self.shifts[x] for x in array.operands if x in self.shifts)

    def steps(self, array: ir.Array) -> range:
        """The steps with which the rows of an array by step, or of what a sum adds up, are there."""
        shift = self.shifts[array] if array in self.shifts else self._latest(array)
        rows = array.shape[0] if array in self.shifts else array.operands[0].shape[0]
        return range(shift, shift + rows)

    def late(self, array: ir.Array, operand: ir.Array) -> int:
        """How many steps after it is there a row of an operand is read."""
        if isinstance(array, ir.View) or operand not in self.shifts:
            return 0
        return self.steps(array).start - self.shifts[operand]

    def within(self, read: ir.Array) -> Iterator[ir.Array]:
        """What is computed step for step for a sum or an end, itself too."""
        seen, stack = {read}, [read]
        while stack:
            array = stack.pop()
            yield array
            for x in array.operands:
                if x in self.shifts and x not in seen:
                    seen.add(x)
                    stack.append(x)

    def around(self, read: ir.Array) -> Iterator[ir.Array]:
        """What a sum or an end needs that does not depend on the loop."""
        for array in self.within(read):
            yield from [x for x in array.operands if x not in self.dependent]

    def all_late(self, reads: Sequence[ir.Array]) -> list[Late]:
        """The rows that some sums and ends read after they are there."""
        found = {
            Late(x, self.late(array, x)): None
            for read in reads
            for array in self.within(read)
            for x in array.operands
            if x in self.shifts
        }
        return [x for x in found if x.by]


def _is_sum(array: ir.Array) -> bool:
    """Whether an array is a sum over the only axis of others."""
    if not isinstance(array, ir.RowDot) and not (isinstance(array, ir.Reduce) and array.ufunc == "add"):
        return False
    return len({x.shape for x in array.operands}) == 1 and len(array.operands[0].shape) == 1
