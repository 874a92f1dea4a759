"""What counts where a program's result is not finite: its parts, and in the end the graph's own walk.

A program is fast because it computes arrays whole, and so a NaN or an infinity can spread in it: over the
zeros that a short row was padded with, from 0·log p where p is 0, over a sum that is out of range though the
mean is not. No guard against that stands in the program. Its result is looked at, and where a number is not
finite

- the rows are halved, and means over the parts are taken from the program where they are finite;
- rows whose data are not finite, and single rows that remain, are walked over as the graph has them
  (:mod:`autobp.reading.walk`): by the table's rules and the chain rule, as the engine does.

What comes of that depends on the numbers alone, so that the same numbers give the same bits. Of a row whose
cost is finite the program's derivatives stay where they are finite. Where the cost is not, none of them is
trusted: a derivative may have made a number of a NaN, as relu' does, which is 0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autobp.compiler.witness import Witness
from autobp.ir import Floats, Indices
from autobp.reading.graph import Graph

_PROBES = 64  # parts that are tried by the program before the rest is walked over
_AT_ONCE = 2_000_000  # numbers of a walk

#: The mean cost over some rows, and derivatives after it where they are wanted.
Mean = Callable[[Sequence[Floats]], Floats]
#: Each row's cost, and derivatives after it, by the graph itself, (m, n).
Walk = Callable[[Sequence[Floats]], Floats]


def mean_with_care(
    found: Floats, mean: Mean, walk: Walk, theta: Floats, arrays: Sequence[Floats]
) -> Floats:
    """The mean cost, and derivatives after it, where the program's are not all finite.

    Args:
        found: what the program gave, (1 + n,) or (1,).
        mean: the program.
        walk: the graph's own walk.
        arrays: the arguments, with rows.
    """
    if np.isfinite(found).all():
        return found
    m = len(arrays[0]) if arrays else 1
    if m == 1:
        return _row(found, walk(arrays)[0])
    parts = _Parts(mean, m)
    known = [np.isfinite(array.reshape(m, -1)).all(1) for array in arrays]
    odd = ~np.all([*known, np.full(m, np.isfinite(theta).all())], axis=0)
    left = [*np.flatnonzero(odd), *parts.rows_left([array[~odd] for array in arrays], np.flatnonzero(~odd))]
    if left:
        rows = walk([array[left] for array in arrays])
        for row, number in zip(rows, map(int, left), strict=True):
            parts.add(_row(parts.single.get(number, row), row), 1)
    return parts.total


def rows_with_care(found: Floats, n_outputs: int, walk: Walk, arrays: Sequence[Floats]) -> Floats:
    """What there is of each row, (m, n), where the program's numbers are not all finite.

    Args:
        n_outputs: how many of them are outputs, or a cost; what comes after is derived from these, and not
            trusted where one of them is not finite.
    """
    left = np.flatnonzero(~np.isfinite(found).all(1))
    if not len(left):
        return found
    some = found[left]
    walked = walk([array[left] for array in arrays])
    trusted = np.isfinite(some)
    trusted[~trusted[:, :n_outputs].all(1), n_outputs:] = False
    merged: Floats = found.copy()
    merged[left] = np.where(trusted, some, walked)
    return merged


class _Parts:
    """A mean that is put together from those over parts of the rows.

    Attributes:
        total: what there is of it.
        single: of rows that were tried alone, what the program gave for them.
    """

    def __init__(self, mean: Mean, m: int) -> None:
        self.mean, self.m = mean, m
        self.total: Floats = np.zeros(1)
        self.single: dict[int, Floats] = {}
        self.probes = 0

    def add(self, mean: Floats, rows: int) -> None:
        self.total = self.total + mean * (rows / self.m)

    def rows_left(self, arrays: Sequence[Floats], numbers: Indices) -> list[int]:
        """Add the means over parts that are finite, and give the numbers of the rows that are in none."""
        left: list[int] = []
        stack = [(0, len(numbers))] if len(numbers) else []
        while stack:
            first, last = stack.pop()
            if self.probes >= _PROBES:
                left.extend(numbers[first:last])
                continue
            self.probes += 1
            found = self.mean([np.ascontiguousarray(array[first:last]) for array in arrays])
            if np.isfinite(found).all():
                self.add(found, last - first)
            elif last - first == 1:
                self.single[int(numbers[first])] = found
                left.append(int(numbers[first]))
            else:
                middle = (first + last) // 2
                stack += [(middle, last), (first, middle)]
        return left


def _row(found: Floats, walked: Floats) -> Floats:
    """A row's cost, and its gradient after it, of what the program and the walk gave for it."""
    return _merged(found, walked) if np.isfinite(found[0]) else walked


def _merged(found: Floats, walked: Floats) -> Floats:
    """The program's numbers, and the walk's in place of those that are not finite."""
    merged: Floats = np.where(np.isfinite(found), found, walked)
    return merged


def walked(graph: Graph, theta: Floats, arrays: Sequence[Floats], n: int, is_cost: bool = True) -> Floats:
    """Each row's outputs, or its cost and what of its gradient there is room for in n numbers, (m, n)."""
    m = len(arrays[0]) if arrays else 1
    flat = [array.reshape(m, -1) for array in arrays]
    at_once = max(1, _AT_ONCE // len(graph))
    found = np.empty((m, n))
    for first in range(0, m, at_once):
        some = [array[first : first + at_once] for array in flat]
        walk = Witness(graph, is_cost and n > 1, theta, some)
        found[first : first + at_once] = walk.numbers[:, :n]
    return found
