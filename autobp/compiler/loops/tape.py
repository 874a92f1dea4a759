"""The computed nodes of a canonical graph in one row, and what each looks like.

A node looks like another where both apply one operation to operands that look alike at first sight: leaves of
one role, constants, results of one operation. Which operands they are, and which numbers the constants are,
does not count. Repetition of what nodes look like is where loops are searched for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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

    @cached_property
    def _reads(self) -> tuple[Indices, Indices]:
        """What is read, in order, and by which node each time."""
        order = order_of(self.operands)
        return self.operands[order], self.nodes[self.owners()[order]]

    def readers_of(self, node: int) -> list[int]:
        """The nodes that read a node, each once."""
        read, readers = self._reads
        a, b = read.searchsorted(node), read.searchsorted(node, "right")
        found: list[int] = readers[a:b].tolist()
        return list(dict.fromkeys(found))

    def by_level(self) -> Tape:
        """The same nodes in the order of their levels, and where these are equal, as before."""
        return self._picked(np.argsort(self.levels, kind="stable"))

    def deepest_first(self) -> Tape:
        """The same nodes in the order in which a walk meets them that goes to the highest operand first.

        Rows of a table whose cells are computed from three neighbours stand in one piece each then, whichever
        neighbour was written first.
        """
        highest_last = np.lexsort((self.levels[self.sources], self.owners()))
        starts, sources = self.starts.tolist(), self.sources[highest_last].tolist()
        order: list[int] = []
        is_open, is_done = [False] * len(self), [False] * len(self)
        for root in reversed(range(len(self))):
            waiting = [root]
            while waiting:
                node = waiting[-1]
                if not is_open[node]:
                    is_open[node] = True
                    row = sources[starts[node] : starts[node + 1]]
                    waiting += [x for x in row if x >= 0 and not is_done[x]]
                    continue
                waiting.pop()
                if not is_done[node]:
                    is_done[node] = True
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


def order_of(numbers: Indices) -> Indices:
    """The order of numbers, equal ones as they stand: in linear time, 16 bits at once, where they are few."""
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= 1 << 32:
        return np.argsort(numbers, kind="stable")
    order = np.argsort((numbers & 0xFFFF).astype(np.uint16), kind="stable")
    if numbers.max() < 1 << 16:
        return order
    return order[np.argsort((numbers >> 16).astype(np.uint16)[order], kind="stable")]


def tape_of(graph: Canonical, levels: Sequence[int]) -> Tape:
    """The row of a graph's computed nodes, as they were recorded.

    Args:
        levels: of each node of the graph.
    """
    kinds = graph.kinds
    nodes = [node for node in graph.order if kinds[node] != LEAF]
    place = np.full(len(kinds), -1, dtype=np.int64)
    place[nodes] = np.arange(len(nodes))
    reader = _Reader(graph, place.tolist())
    codes = reader.read(nodes)
    operands = np.array(reader.operands, dtype=np.int64)
    return Tape(
        graph,
        np.array(nodes, dtype=np.int64),
        np.array(codes, dtype=np.int64),
        np.array(levels, dtype=np.int64)[nodes],
        np.array(reader.starts, dtype=np.int64),
        operands,
        place[operands],
        reader.terms,
    )


class _Reader:
    """Says what nodes look like, operands before what is computed from them.

    Attributes:
        starts: where the operands of each node that was read start, and where those of the next will.
        operands: of all of them, those of a node in order.
        terms: by the code of a sum, of each of its terms the sign, and whether it is a product.
    """

    def __init__(self, graph: Canonical, where: list[int]) -> None:
        self._graph = graph
        self._where = where  # of computed nodes their places, and of leaves the position in their array
        self._codes: dict[Any, int] = {}
        self.starts, self.operands = [0], list[int]()
        self.terms: dict[int, tuple[tuple[int, bool], ...]] = {}
        self._looks = [_CONSTANT] * len(graph.kinds)
        for node in graph.order:
            if graph.kinds[node] == LEAF:
                self._looks[node] = self._number(("leaf", graph.roles[node]))
                self._where[node] = graph.positions[node]

    def _number(self, key: Any) -> int:
        return self._codes.setdefault(key, len(self._codes))

    def read(self, nodes: Sequence[int]) -> list[int]:
        """The codes of nodes."""
        graph, looks, number = self._graph, self._looks, self._number
        codes = []
        for node in nodes:
            kind = graph.kinds[node]
            if kind == SUM:
                codes.append(self._read_sum(node))
            else:
                operation = graph.operations[node]
                assert operation is not None
                operands = graph.operands[node]
                if kind != MAP:
                    operands = sorted(operands, key=lambda x: (looks[x], self._where[x]))
                self.operands += operands
                looks[node] = number((kind, operation.name))
                seen = [looks[x] for x in operands]
                codes.append(number((kind, operation.name, graph.constants[node], *seen)))
            self.starts.append(len(self.operands))
        return codes

    def _read_sum(self, node: int) -> int:
        looks, where = self._looks, self._where
        terms = []
        for sign, a, b in self._graph.terms[node]:
            if b < 0:
                terms.append((sign, looks[a], _NOTHING, where[a], -1, a, b))
            elif looks[b] < looks[a]:
                terms.append((sign, looks[b], looks[a], where[b], where[a], b, a))
            else:
                terms.append((sign, looks[a], looks[b], where[a], where[b], a, b))
        terms.sort()
        looks[node] = self._number((SUM, len(terms)))
        code = self._number((SUM, self._graph.offsets[node] != 0.0, *[term[:3] for term in terms]))
        if code not in self.terms:
            self.terms[code] = tuple([(term[0], term[6] >= 0) for term in terms])
        for term in terms:
            self.operands.append(term[5])
            if term[6] >= 0:
                self.operands.append(term[6])
        return code
