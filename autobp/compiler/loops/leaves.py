"""What the body of a loop takes from around it: its leaves, each with what it is in every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from autobp.compiler.loops.recurrence import Recurrence
from autobp.ir import Array, Constant, Floats, Indices

#: A leaf of the body: a number that all steps have, or an element of an array around the loop by the array's
#: number and its own among all that the body takes from there.
Leaf = float | tuple[int, int]


class Around(Protocol):
    """The program around a loop, as far as it is built."""

    def number(self, node: int) -> float | None:
        """The value of a constant; None of other nodes."""

    def places(self, nodes: Indices) -> tuple[Indices, Indices]:
        """Of nodes the numbers of their arrays, -1 of constants, and their positions there."""

    def add(self, array: Array) -> int:
        """The number of a new array."""

    def collect(self, outputs: Sequence[int]) -> Array:
        """Nodes as one flat array."""


class Leaves:
    """The leaves of a loop's body.

    Attributes:
        tables: of each array around the loop, by number, the positions (steps, n) of the n leaves from there.
    """

    def __init__(self, around: Around, loop: Recurrence) -> None:
        self._around = around
        self._leaf_of: dict[bytes, Leaf] = {}
        self.tables: dict[int, Indices] = {}
        picked: dict[int, dict[bytes, Indices]] = {}
        mixed: dict[bytes, dict[bytes, Indices]] = {}
        numbers: dict[bytes, Floats] = {}
        for family in loop.families:
            self._add_family({column.tobytes(): column for column in family})
        for column in loop.columns():
            key = column.tobytes()
            if key in self._leaf_of:
                continue
            values = [around.number(x) for x in column.tolist()]
            known = np.array([x for x in values if x is not None])
            if len(known) == len(values):
                if not self._same(key, known):
                    numbers[key] = known
                continue
            arrays, positions = around.places(column)
            if (arrays == arrays[0]).all():
                picked.setdefault(int(arrays[0]), {})[key] = positions
            else:
                mixed.setdefault(arrays.tobytes(), {})[key] = column
        for offsets in [member.offsets for member in loop.body if member.terms]:
            if not self._same(_key(offsets), offsets):
                numbers[_key(offsets)] = offsets
        for alike in mixed.values():
            self._add(around.collect(np.concatenate(list(alike.values())).tolist()), list(alike))
        if numbers:
            self._add(Constant(np.concatenate(list(numbers.values()))), list(numbers))
        for array, columns in picked.items():
            self._number(array, list(columns), np.stack(list(columns.values()), axis=1))

    def _add_family(self, columns: Mapping[bytes, Indices]) -> None:
        """Number the leaves of nodes that are computed alike as elements of one array."""
        nodes = np.concatenate(list(columns.values())).tolist()
        values = [self._around.number(x) for x in nodes]
        known = np.array([x for x in values if x is not None])
        if len(known) < len(nodes):
            self._add(self._around.collect(nodes), list(columns))
        elif len(set(map(repr, values))) == 1:
            self._leaf_of.update(dict.fromkeys(columns, float(known[0])))
        else:
            self._add(Constant(known), list(columns))

    def of_nodes(self, column: Indices) -> Leaf:
        """The leaf that stands for nodes outside the loop, one for each step."""
        return self._leaf_of[column.tobytes()]

    def of_numbers(self, values: Floats) -> Leaf:
        """The leaf that stands for an offset in all steps."""
        return self._leaf_of[_key(values)]

    def _same(self, key: bytes, values: Floats) -> bool:
        """Whether numbers, one for each step, are one number; -0.0 and 0.0 are two."""
        bits = values.view(np.int64)
        if (bits != bits[0]).any():
            return False
        self._leaf_of[key] = float(values[0])
        return True

    def _add(self, array: Array, keys: Sequence[bytes]) -> None:
        """Number the leaves whose elements are those of an array, leaf after leaf and step by step."""
        table = np.arange(array.size, dtype=np.int64).reshape(len(keys), -1).T
        self._number(self._around.add(array), keys, table)

    def _number(self, array: int, keys: Sequence[bytes], table: Indices) -> None:
        """Number leaves in the order of the positions that they have, first in the first step."""
        order = np.lexsort(table[::-1])
        self.tables[array] = table[:, order]
        for i, k in enumerate(order.tolist()):
            self._leaf_of[keys[k]] = (array, i)


def _key(offsets: Floats) -> bytes:
    return b"offsets" + offsets.tobytes()
