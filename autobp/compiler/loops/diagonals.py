"""A table of dynamic programming as a recurrence over its diagonals.

All cells of a diagonal from bottom left to top right can be computed at once, from the diagonals before it:
cell (r, t) in step r + t. A lane of the loop has the cells of a column (of a row, if there are fewer rows),
one in each step. Before its first cell and after its last one a lane computes something that nobody reads,
from constants: in each step, what comes from another cell goes through a ``where``, which has the cell where
there is one, what the border says where the table ends, and a constant where the lane has no cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from autobp.compiler.canonical import LEAF, MAP, Canonical
from autobp.compiler.loops.recurrence import BodyNode, Own, Recurrence
from autobp.compiler.loops.tables import Link, Marks, Operand, Table
from autobp.ir import Indices
from autobp.ops import WHERE

_SAFE = 0.5  # what a lane without a cell computes from: near 0 and 1, and neither


@dataclass(frozen=True, eq=False)
class _Read:
    """What cells read of other cells.

    Attributes:
        link: of which ones.
        nodes: (rows, columns) of the graph, whether cells or what stands in place of them.
        flags: (steps, lanes) the constants 1 where it is a cell, else 0.
        others: (steps, lanes) what stands in place of cells.
    """

    link: Link
    nodes: Indices
    flags: Indices
    others: Indices


def over_diagonals(graph: Canonical, table: Table) -> tuple[Canonical, Recurrence] | None:
    """The recurrence, and the graph with a few nodes more: constants, and the ``where``.

    None where a cell reads what is not computed before its diagonal, or a cell in place of another.
    """
    if any(rows + columns < 1 for rows, columns in table.links()):
        return None
    offsets = [
        [graph.offsets[node] for node in table.tape.nodes[at].reshape(-1).tolist()] if terms else []
        for at, terms in zip(table.places, _terms(table), strict=True)
    ]
    if any(len(set(map(repr, x))) > 1 for x in offsets):
        return None
    writer = _Writer(table, [x[0] if x else None for x in offsets], len(graph.kinds))
    n = len(writer.numbers)
    wider = replace(
        graph,
        kinds=[*graph.kinds, MAP, *[LEAF] * n],
        operations=[*graph.operations, WHERE, *[None] * n],
        operands=[*graph.operands, *[()] * (n + 1)],
        constants=[*graph.constants, *[()] * (n + 1)],
        fixed={**graph.fixed, **writer.numbers},
    )
    made = writer.recurrence()
    return None if made.reads_itself() else (wider, made)


def _terms(table: Table) -> list[Sequence[tuple[int, bool]]]:
    tape = table.tape
    return [tape.terms.get(int(tape.codes[at.flat[0]]), ()) for at in table.places]


class _Writer:
    """Writes the recurrence of a table, lane by lane.

    Attributes:
        numbers: the constants that it reads, by the numbers that these have as nodes.
    """

    def __init__(self, table: Table, offsets: Sequence[float | None], first: int) -> None:
        self._table = table
        self._offsets = offsets
        self._where, self._flags = first, np.array([first + 1, first + 2])
        self.numbers = {first + 1: 0.0, first + 2: 1.0}
        rows, columns = table.shape
        self._turned = rows < columns  # a lane for each row then
        self._lanes, self._steps = min(rows, columns), rows + columns - 1
        self._reads: list[_Read] = []
        self._own: list[list[Own | int | Indices]] = []  # in each cell: a read by number, or columns
        self._filler = np.full(self._steps, self._safe())
        self._families: list[list[Indices]] = []
        for operands in table.operands:
            self._own.append([self._operand(x) for x in operands])
        self._size = len(self._reads) + len(table.places)

    def _safe(self) -> int:
        """A new constant. What has one of its own is not taken for what other nodes read."""
        node = self._where + len(self.numbers) + 1
        self.numbers[node] = _SAFE
        return node

    def _skewed(self, x: Indices | Marks, fill: int) -> Indices:
        """What is of cells as (steps, lanes), ``fill`` where a lane has no cell."""
        by_lane = x.T if not self._turned else x
        found = np.full((self._steps, self._lanes), fill, dtype=np.int64)
        for lane, cells in enumerate(by_lane):
            found[lane : lane + len(cells), lane] = cells
        return found

    def _operand(self, x: Operand) -> Own | int | Indices:
        if x.link is not None and x.link.is_inner:
            return Own(x.link.number, 0)
        if x.link is None:
            return self._from_outside(x.nodes)
        for i, read in enumerate(self._reads):
            if read.link == x.link and np.array_equal(read.nodes, x.nodes):
                return i
        inside = self._skewed(x.inside, 0)
        others = np.where(inside == 1, safe := self._safe(), self._skewed(x.nodes, safe))
        self._reads.append(_Read(x.link, x.nodes, self._flags[inside], others))
        self._families.append(list(others.T))
        return len(self._reads) - 1

    def _from_outside(self, nodes: Indices) -> Indices:
        """What is no cell's, (steps, lanes): the same node all along in a lane, or constants at its ends."""
        by_lane = nodes if self._turned else nodes.T
        if (by_lane == by_lane[:, :1]).all():
            return np.broadcast_to(by_lane[:, 0], (self._steps, self._lanes))
        found = self._skewed(nodes, self._safe())
        self._families.append(list(found.T))
        return found

    def recurrence(self) -> Recurrence:
        """The recurrence."""
        body: list[list[BodyNode]] = [[] for _ in range(self._lanes)]
        before: dict[tuple[int, int], int] = {}
        for read in self._reads:
            self._write_read(read, body, before)
        flags = [column for read in self._reads for column in read.flags.T]
        for k, terms in enumerate(_terms(self._table)):
            self._write_node(k, terms, body)
        return Recurrence(list(chain(*body)), before, [flags, *self._families])

    def _write_read(
        self, read: _Read, body: Sequence[list[BodyNode]], before: dict[tuple[int, int], int]
    ) -> None:
        link = read.link
        across, lag = link.rows if self._turned else link.columns, link.rows + link.columns
        nodes = np.full(self._steps, self._where)
        for lane, members in enumerate(body):
            number = self._number((lane - across) % self._lanes, link.number)
            before.update({(number, m): int(self._filler[0]) for m in range(1, lag + 1)})
            operands = np.stack([read.flags[:, lane], self._filler, read.others[:, lane]], axis=1)
            members.append(BodyNode(nodes, operands, [None, Own(number, lag), None], (), np.zeros(0)))

    def _write_node(self, k: int, terms: Sequence[tuple[int, bool]], body: Sequence[list[BodyNode]]) -> None:
        tape = self._table.tape
        nodes = self._skewed(tape.nodes[self._table.places[k]], -1)
        offset = self._offsets[k]
        offsets = np.zeros(0) if offset is None else np.full(self._steps, offset)
        for lane, members in enumerate(body):
            own: list[Own | None] = []
            columns = []
            for x in self._own[k]:
                if isinstance(x, np.ndarray):
                    own.append(None)
                    columns.append(np.ascontiguousarray(x[:, lane]))
                    continue
                number = lane * self._size + x if isinstance(x, int) else self._number(lane, x.number)
                own.append(Own(number, 0))
                columns.append(self._filler)
            operands = np.stack(columns, axis=1)
            members.append(BodyNode(np.ascontiguousarray(nodes[:, lane]), operands, own, terms, offsets))

    def _number(self, lane: int, k: int) -> int:
        return lane * self._size + len(self._reads) + k
