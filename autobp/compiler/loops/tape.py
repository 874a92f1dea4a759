"""The computed nodes of a canonical graph in one row, and what each looks like.

A node looks like another where both apply one operation to operands that look alike at first sight: leaves of
one role, constants, results of one operation. Which operands they are, and which numbers the constants are,
does not count. Repetition of what nodes look like is where loops are searched for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autobp.compiler.canonical import LEAF, MAP, SUM, Canonical
from autobp.ir import Indices

_CONSTANT, _NOTHING = -1, -2


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """Nodes in one row, operands first, and their operands in one row too.

    Attributes:
        graph: what they are nodes of.
        nodes: (n,) their numbers there.
        codes: (n,) what they look like: equal for nodes that look alike.
        levels: (n,) how high they stand over the leaves.
        starts: (n + 1,) where each node's operands start.
        operands: the operands by number, those of a node in an order that depends on what they look like.
        sources: where in the row each of them stands; -1 for leaves and constants.
        terms: by the code of a sum, of each of its terms the sign, and whether it is a product.
    """

    graph: Canonical
    nodes: Indices
    codes: Indices
    levels: Indices
    starts: Indices
    operands: Indices
    sources: Indices
    terms: Mapping[int, Sequence[tuple[int, bool]]]

    def __len__(self) -> int:
        return len(self.nodes)

    def owners(self) -> Indices:
        """Of each operand the number in the row of the node that has it."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))

    def by_level(self) -> Tape:
        """The same nodes in the order of their levels, and where these are equal, as before."""
        return self._picked(np.argsort(self.levels, kind="stable"))

    def deepest_first(self) -> Tape:
        """The same nodes in the order in which a walk meets them that goes to the highest operand first.

        Rows of a table whose cells are computed from three neighbours stand in one piece each then, whichever
        neighbour was written first.
        """
        starts, sources, levels = self.starts.tolist(), self.sources.tolist(), self.levels.tolist()
        order: list[int] = []
        seen = [False] * len(self)
        for root in reversed(range(len(self))):
            waiting = [root]
            while waiting:
                node = waiting[-1]
                if seen[node]:
                    waiting.pop()
                    continue
                operands = [x for x in sources[starts[node] : starts[node + 1]] if x >= 0 and not seen[x]]
                if operands:
                    waiting += sorted(operands, key=levels.__getitem__)
                else:
                    seen[node] = True
                    order.append(node)
        return self._picked(np.array(order, dtype=np.int64))

    def without(self, places: Indices) -> Tape:
        """The row without the nodes at some places: to the others they are as leaves."""
        left = np.ones(len(self), dtype=bool)
        left[places] = False
        return self._picked(np.flatnonzero(left))

    def _picked(self, order: Indices) -> Tape:
        """The nodes at some places, each once, in the order of these."""
        place = np.full(len(self) + 1, -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        counts = np.diff(self.starts)[order]
        starts = np.append(0, np.cumsum(counts)).astype(np.int64)
        slots = np.arange(starts[-1]) + np.repeat(self.starts[:-1][order] - starts[:-1], counts)
        return replace(
            self,
            nodes=self.nodes[order],
            codes=self.codes[order],
            levels=self.levels[order],
            starts=starts,
            operands=self.operands[slots],
            sources=place[self.sources[slots]],
        )


def operands_of(graph: Canonical, node: int) -> list[int]:
    """The operands of a node, as they are written."""
    if graph.kinds[node] == SUM:
        return [x for _, a, b in graph.terms[node] for x in (a, b) if x >= 0]
    return list(graph.operands[node])


def tape_of(graph: Canonical, levels: Sequence[int]) -> Tape:
    """The row of a graph's computed nodes, as they were recorded.

    Args:
        levels: of each node of the graph.
    """
    nodes = [node for node in graph.order if graph.kinds[node] != LEAF]
    place = [-1] * len(graph.kinds)
    for i, node in enumerate(nodes):
        place[node] = i
    reader = _Reader(graph, place)
    codes = []
    starts, operands = [0], []
    for node in nodes:
        code, found = reader.read(node)
        codes.append(code)
        operands += found
        starts.append(len(operands))
    as_array = np.array(operands, dtype=np.int64)
    return Tape(
        graph,
        np.array(nodes, dtype=np.int64),
        np.array(codes, dtype=np.int64),
        np.array(levels, dtype=np.int64)[nodes],
        np.array(starts, dtype=np.int64),
        as_array,
        np.array(place, dtype=np.int64)[as_array] if operands else as_array,
        reader.terms,
    )


class _Reader:
    """Says what nodes look like, operands before what is computed from them."""

    def __init__(self, graph: Canonical, place: Sequence[int]) -> None:
        self._graph = graph
        self._where = list(place)  # of leaves, the position in their array
        self._codes: dict[Any, int] = {}
        self.terms: dict[int, tuple[tuple[int, bool], ...]] = {}
        self._looks = [_CONSTANT] * len(graph.kinds)
        for node in graph.order:
            if graph.kinds[node] == LEAF:
                self._looks[node] = self._number(("leaf", graph.roles[node]))
                self._where[node] = graph.positions[node]

    def _number(self, key: Any) -> int:
        return self._codes.setdefault(key, len(self._codes))

    def read(self, node: int) -> tuple[int, list[int]]:
        """The code of a node, and its operands in order."""
        graph, looks, where = self._graph, self._looks, self._where
        kind = graph.kinds[node]
        if kind == SUM:
            terms = []
            for sign, a, b in graph.terms[node]:
                if b < 0:
                    terms.append((sign, looks[a], _NOTHING, where[a], -1, a, b))
                elif looks[b] < looks[a]:
                    terms.append((sign, looks[b], looks[a], where[b], where[a], b, a))
                else:
                    terms.append((sign, looks[a], looks[b], where[a], where[b], a, b))
            terms.sort()
            looks[node] = self._number((SUM, len(terms)))
            code = self._number((SUM, graph.offsets[node] != 0.0, *[term[:3] for term in terms]))
            if code not in self.terms:
                self.terms[code] = tuple([(term[0], term[6] >= 0) for term in terms])
            return code, [x for term in terms for x in term[5:] if x >= 0]
        operands = list(graph.operands[node])
        operation = graph.operations[node]
        assert operation is not None
        if kind != MAP:
            operands.sort(key=lambda x: (looks[x], where[x]))
        looks[node] = self._number((kind, operation.name))
        code = self._number((kind, operation.name, graph.constants[node], *[looks[x] for x in operands]))
        return code, operands
