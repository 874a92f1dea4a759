"""Tables of dynamic programming: rows of cells, each computed from cells to its left and in the rows above.

A row of cells repeats within a row of the tape that repeats itself. Which cell reads which follows from where
they stand; where a cell reads a node that is none of the table's, as at its borders, it reads it in place of
a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from autobp.compiler.loops.periods import Run, runs_of, stretches
from autobp.compiler.loops.tape import Tape
from autobp.compiler.loops.timing import core_of, edges_of
from autobp.ir import Indices

_TRIES = 4  # repetitions of rows that are looked into
_MOST_TRIMS = 8  # rows and columns that are left out where cells differ at a border
_MOST_NODES = 200  # of a cell

Marks = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Link:
    """What a cell reads: node ``number`` of the cell so many rows above and so many columns to the left."""

    number: int
    rows: int
    columns: int

    @property
    def is_inner(self) -> bool:
        """Whether it is the same cell."""
        return not self.rows and not self.columns


@dataclass(frozen=True, eq=False)
class Operand:
    """One operand of a node of a cell, in all cells.

    Attributes:
        sources: (rows, columns) where in the tape it stands; -1 for leaves and constants.
        nodes: (rows, columns) its numbers in the graph.
        link: where it is read from; None where it is no cell's.
        inside: (rows, columns) whether it is read from there, and not from outside the table.
    """

    sources: Indices
    nodes: Indices
    link: Link | None
    inside: Marks


@dataclass(frozen=True, eq=False)
class Table:
    """A table of cells.

    Attributes:
        tape: where it was found.
        places: of each node of a cell, operands first, (rows, columns) where in the tape it stands.
        operands: of each node of a cell, its operands.
    """

    tape: Tape
    places: Sequence[Indices]
    operands: Sequence[Sequence[Operand]]

    @property
    def shape(self) -> tuple[int, int]:
        """The rows and columns."""
        n_rows, n_columns = self.places[0].shape
        return n_rows, n_columns

    def is_computed_by_diagonals(self) -> bool:
        """Whether cells read only those of diagonals before, some of their own row and some of rows above.

        What only reads the rows above, or only its own, is a recurrence of whole rows, or of one.
        """
        links = self.links()
        before = all(rows + columns > 0 for rows, columns in links)
        return before and any(not rows for rows, _ in links) and any(rows for rows, _ in links)

    def links(self) -> list[tuple[int, int]]:
        """Of what is read from other cells, how many rows and columns away."""
        found = [x.link for operands in self.operands for x in operands if x.link is not None]
        return [(x.rows, x.columns) for x in found if not x.is_inner]


def table_of(tape: Tape, least: int) -> Table | None:
    """The largest table in a graph, of at least so many rows and columns; None where there is none."""
    runs = [run for run in runs_of(tape.codes, least) if run.period >= 2 * least]
    runs.sort(key=attrgetter("length"), reverse=True)
    best: Table | None = None
    for run in runs[:_TRIES]:
        for stretch in stretches(tape, run, least):
            if best is not None and stretch.length <= sum(x.size for x in best.places):
                continue
            found = _table_in(tape, stretch, least)
            if found is not None:
                best = found
    return best


def _table_in(tape: Tape, run: Run, least: int) -> Table | None:
    """The table whose rows are the periods of a run."""
    core = core_of(edges_of(tape, run), run.period)
    for cuts in _cells_of(tape, run, core, least):
        best: tuple[int, list[Indices]] | None = None
        for cells in cuts:
            some = [x[len(x) // 2 - 2 : len(x) // 2 + 2] for x in cells]
            tried = _closed(tape, run, core, some, 3)
            if tried is not None and tried.is_computed_by_diagonals():
                score = len(set(_moved(tried).links()))
                if best is None or score < best[0]:
                    best = score, cells
        found = None if best is None else _closed(tape, run, core, best[1], least)
        if found is not None and found.is_computed_by_diagonals():
            return _moved(found)
    return None


def _closed(tape: Tape, run: Run, core: Marks, cells: Sequence[Indices], least: int) -> Table | None:
    """The table of cells and of what is computed between them; None where it gets too small."""
    places, trims = list(cells), 0
    while min(places[0].shape) >= least:
        table, odd = _linked(tape, places)
        if 2 * odd.sum() > odd.size:
            return None  # no border leaves so many out
        between = None if odd.any() else _between(table, run, core)
        if between is not None:
            odd = tape.codes[between] != tape.codes[_middle(between)]
            odd |= between < 0
            if not odd.any():
                places.insert(0, between)
                continue
        if not odd.any():
            return table
        trimmed = _trimmed(places, odd)
        trims += 1
        if trimmed is None or trims > _MOST_TRIMS:
            return None
        places = trimmed
    return None


def _between(table: Table, run: Run, core: Marks) -> Indices | None:
    """What most cells read that is computed from other cells and is no cell's, (rows, columns) places."""
    if len(table.places) >= _MOST_NODES:
        return None
    for operands in table.operands:
        for x in operands:
            place = _middle(x.sources) - run.start
            if x.link is None and 0 <= place < run.length and core[place % run.period]:
                near = x.sources[x.sources.shape[0] // 2]
                if (near[1:] != near[:-1]).any():  # each cell its own
                    return x.sources
    return None


def _middle(x: Indices) -> int:
    """The element of a cell in the middle of a table, where there is no border."""
    return int(x[x.shape[0] // 2, x.shape[1] // 2])


def _cells_of(tape: Tape, run: Run, in_core: Marks, least: int) -> Iterator[list[list[Indices]]]:
    """Of each node of a cell, (rows, columns) places in the tape, wherever a row is a repetition of cells.

    There are as many ways to cut the row into cells as a cell has nodes.
    """
    start, period, length = run
    core = np.flatnonzero(in_core)
    n = len(core)
    if n < 2 * least:
        return
    codes = tape.codes[start + core]
    inner = [x for x in runs_of(np.concatenate([codes, codes]), least) if x.period * least <= n]
    inner.sort(key=lambda x: (-min(x.length, n), x.period))
    for first, size, n_nodes in inner[:_TRIES]:
        columns = min(n_nodes, n) // size
        if size > _MOST_NODES or columns < least:
            continue
        cuts = []
        for cut in range(first % n, first % n + size):
            whole = min(columns, (first % n + min(n_nodes, n) - cut) // size)
            turns, there = np.divmod(cut + np.arange(whole * size), n)
            places = start + core[there] + period * turns
            rows = (start + length - 1 - int(places.max())) // period + 1
            if rows >= least and whole >= least:
                table = places.reshape(whole, size) + period * np.arange(rows)[:, None, None]
                cuts.append([table[:, :, k] for k in range(size)])
        yield cuts


def _linked(tape: Tape, places: Sequence[Indices]) -> tuple[Table, Marks]:
    """The table with these nodes, and which of its cells read other cells than those around them do."""
    cells = np.stack(places)
    n_rows, n_columns = places[0].shape
    r, t = n_rows // 2, n_columns // 2
    number, row, column = np.full((3, len(tape) + 1), -1, dtype=np.int64)  # last: of leaves, constants
    number[cells] = np.arange(len(cells))[:, None, None]
    row[cells], column[cells] = np.arange(n_rows)[:, None], np.arange(n_columns)
    counts = tape.starts[cells[:, r, t] + 1] - tape.starts[cells[:, r, t]]
    readers = np.repeat(np.arange(len(cells)), counts)  # of all operands of a cell, which node has them
    slots = tape.starts[cells[readers]]
    slots += (np.arange(len(readers)) - np.repeat(np.cumsum(counts) - counts, counts))[:, None, None]
    sources, nodes = tape.sources[slots], tape.operands[slots]
    read = sources[:, r, t]
    up, left = r - row[read], t - column[read]
    expected = _shifted(cells[number[read]], up, left)
    inside = (sources == expected) & (expected >= 0) & (number[read] >= 0)[:, None, None]
    inner = (number[read] >= 0) & (up == 0) & (left == 0)
    odd = (((number[sources] >= 0) | inner[:, None, None]) & ~inside).any(axis=0)
    operands: list[list[Operand]] = [[] for _ in places]
    links = zip(readers.tolist(), number[read].tolist(), up.tolist(), left.tolist(), strict=True)
    for q, (k, *link) in enumerate(links):
        operands[k].append(Operand(sources[q], nodes[q], Link(*link) if link[0] >= 0 else None, inside[q]))
    return Table(tape, places, operands), odd


def _shifted(tables: Indices, rows: Indices, columns: Indices) -> Indices:
    """Tables whose elements r, t are those so many rows above and columns to the left; -1 outside them."""
    _, n, m = tables.shape
    r = np.arange(n) - rows[:, None]
    t = np.arange(m) - columns[:, None]
    there = ((r >= 0) & (r < n))[:, :, None] & ((t >= 0) & (t < m))[:, None, :]
    which = np.arange(len(tables))[:, None, None]
    return np.where(there, tables[which, r.clip(0, n - 1)[:, :, None], t.clip(0, m - 1)[:, None, :]], -1)


def _trimmed(places: Sequence[Indices], odd: Marks) -> list[Indices] | None:
    """The table without the row or column at its border that has most odd cells; None where none has any."""
    borders = [
        (odd[0].mean(), np.s_[1:, :]),
        (odd[-1].mean(), np.s_[:-1, :]),
        (odd[:, 0].mean(), np.s_[:, 1:]),
        (odd[:, -1].mean(), np.s_[:, :-1]),
    ]
    share, kept = max(borders, key=lambda border: border[0])
    return [x[kept] for x in places] if share > 0 else None


def _moved(table: Table) -> Table:
    """The table with each node in the cell that reads it, where it is only for that one.

    What a cell does with what it reads is then its own, and fewer numbers are kept of each.
    """
    k = len(table.places) - 1
    while k >= 0:
        readers = [x for operands in table.operands for x in operands if x.link and x.link.number == k]
        links = {x.link for x in readers}
        own = {x.link for x in table.operands[k] if x.link is not None}
        there = readers[0].sources if readers else None
        link = links.pop() if len(links) == 1 else None
        if (
            link is not None
            and there is not None
            and not link.is_inner
            and len(own) <= 1
            and all((x.sources == there).all() for x in readers)
            and (there >= 0).all()
            and (table.tape.codes[there] == table.tape.codes[table.places[k].flat[0]]).all()
        ):
            rest = [x for i, x in enumerate(table.places) if i != k]
            moved, odd = _linked(table.tape, [there, *rest])
            if not odd.any() and len(np.unique(np.concatenate(moved.places))) == np.size(moved.places):
                table = moved
                continue  # node k is the one that stood before it
        k -= 1
    return table
