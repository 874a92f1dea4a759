"""In which order the nodes of a graph are computed where some of them are loops."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from autobp.compiler.canonical import Canonical
from autobp.compiler.levels import by_height
from autobp.compiler.loops.recurrence import Recurrence
from autobp.compiler.loops.tape import Tape

_FAR = 1 << 60  # higher than any node stands


@dataclass(frozen=True)
class Placed:
    """A loop among a graph's nodes, and those of its nodes that are read outside it."""

    loop: Recurrence
    read: Set[int]


@dataclass
class Level:
    """What can be computed together: nodes, and loops."""

    nodes: list[int] = field(default_factory=list)
    loops: list[Placed] = field(default_factory=list)


#: A node, and what it is computed from: nodes, and loops by numbers of their own.
_Row = tuple[int, list[int]]


def levels_with(tape: Tape, loops: Sequence[Recurrence]) -> list[Level] | None:
    """The levels of a graph's nodes and loops; None where a loop needs what comes after it.

    Args:
        tape: all computed nodes of the graph, as they were recorded.
    """
    n = len(tape.graph.kinds)
    loop_of = np.full(n, -1, dtype=np.int64)
    for i, loop in enumerate(loops):
        loop_of[list(loop.members())] = i
    place = np.where(loop_of < 0, np.arange(n, dtype=np.int64), n + loop_of)  # of a loop's nodes, the loop's
    readers, read = place[tape.nodes][tape.owners()], place[tape.operands]
    crossing = readers != read
    inputs = [np.unique(read[crossing & (readers == n + i)]).tolist() for i in range(len(loops))]
    bounds, operands = tape.starts.tolist(), read.tolist()
    rows: list[_Row] = [
        (node, operands[bounds[k] : bounds[k + 1]])
        for k, node in enumerate(place[tape.nodes].tolist())
        if node < n
    ]
    level = [0] * n + [_FAR] * len(loops)
    _raise(level, rows)
    after = [row for row in rows if level[row[0]] > _FAR]  # the rest stand where they do whatever loops do
    level[n:] = [0] * len(loops)
    for _ in range(len(loops) + 2):
        before = level[n:]
        _raise(level, after)
        level[n:] = [1 + max(map(level.__getitem__, nodes), default=0) for nodes in inputs]
        if level[n:] == before:
            break
    else:
        return None
    found = [Level() for _ in range(max(level, default=0))]
    for node, _ in rows:
        found[level[node] - 1].nodes.append(node)
    needed = np.append(tape.operands[crossing], tape.graph.outputs)
    for i, loop in enumerate(loops):
        found[level[n + i] - 1].loops.append(Placed(loop, set(needed[loop_of[needed] == i].tolist())))
    return [x for x in found if x.nodes or x.loops]


def _raise(level: list[int], rows: Sequence[_Row]) -> None:
    """Put each node above what it is computed from."""
    for node, operands in rows:
        height = 0
        for x in operands:
            if level[x] > height:
                height = level[x]
        level[node] = height + 1


def plain_levels(graph: Canonical) -> list[Level]:
    """The levels of a graph's nodes, none of them in a loop."""
    return [Level(nodes) for nodes in by_height(graph)]
