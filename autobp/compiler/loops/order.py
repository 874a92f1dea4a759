"""In which order the nodes of a graph are computed where some of them are loops."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from autobp.compiler.canonical import LEAF, Canonical
from autobp.compiler.loops.recurrence import Recurrence
from autobp.compiler.loops.tape import operands_of


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


def levels_with(graph: Canonical, loops: Sequence[Recurrence]) -> list[Level] | None:
    """The levels of a graph's nodes and loops; None where a loop needs what comes after it."""
    loop_of = [-1] * len(graph.kinds)
    for i, loop in enumerate(loops):
        for node in loop.members():
            loop_of[node] = i
    level = [0] * len(graph.kinds)
    heights = [0] * len(loops)
    read = set(graph.outputs)
    operands = [(node, operands_of(graph, node)) for node in graph.order if graph.kinds[node] != LEAF]
    for _ in range(len(loops) + 2):
        before = list(heights)
        for node, inner_nodes in operands:
            own = loop_of[node]
            height = 0
            for x in inner_nodes:
                inner = loop_of[x]
                if inner < 0:
                    height = max(height, level[x])
                elif inner != own:
                    height = max(height, heights[inner])
                    read.add(x)
            if own < 0:
                level[node] = height + 1
            else:
                heights[own] = max(heights[own], height + 1)
        if heights == before:
            break
    else:
        return None
    found = [Level() for _ in range(max([*level, *heights], default=0))]
    for node in graph.order:
        if graph.kinds[node] != LEAF and loop_of[node] < 0:
            found[level[node] - 1].nodes.append(node)
    for loop, height in zip(loops, heights, strict=True):
        found[height - 1].loops.append(Placed(loop, loop.members() & read))
    return [x for x in found if x.nodes or x.loops]


def plain_levels(graph: Canonical) -> list[Level]:
    """The levels of a graph's nodes, none of them in a loop."""
    found = levels_with(graph, [])
    assert found is not None, "without loops there is always an order"
    return found
