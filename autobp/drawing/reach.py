"""How far the arrows of a picture reach, and which leaves are drawn again where they are used.

A layout engine gives each arrow a place in every column that it passes: a graph of two hundred nodes whose
weights are used at each of twenty steps has thousands of such places, and takes minutes. So a leaf that is
used far from its first use is drawn again there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from autobp.reading.graph import Graph

#: The columns that a picture's arrows pass, all of them together: past these, leaves are drawn again, as far
#: as needed; and where that does not suffice, the picture is a summary.
EASY: Final = 250
HARD: Final = 1500
_NEAR = 3  # columns from a leaf's box, as far as uses share it


def columns(graph: Graph, shown: Sequence[int]) -> dict[int, int]:
    """For each of some nodes, in order, its distance from the leaves, the longest; leaves stand before their
    first use."""
    column: dict[int, int] = {}
    for number in shown:
        below = [column[parent] for parent in graph.parents[number] if parent in column]
        column[number] = 1 + max(below, default=-1)
    first: dict[int, int] = {}
    for number in shown:
        for parent in graph.parents[number]:
            first[parent] = min(first.get(parent, column[number]), column[number])
    return {n: first[n] - 1 if n in first and graph.is_leaf(n) else column[n] for n in shown}


class Reach:
    """The columns of a picture and what its arrows pass.

    Attributes:
        again: for a use (a node and its operand) the number of the operand's further box, from 1; a use that
            is not there has the first.
        passed: the columns that arrows pass, leaves drawn again as ``again`` says.
    """

    def __init__(self, graph: Graph, shown: Collection[int], *, may_repeat: bool = True) -> None:
        self._graph = graph
        self._column = columns(graph, sorted(shown))
        uses: dict[int, list[int]] = {}
        for number in shown:
            for parent in dict.fromkeys(graph.parents[number]):
                if parent in self._column:
                    uses.setdefault(parent, []).append(number)
        lengths = {operand: self._length(operand, users) for operand, users in uses.items()}
        self.passed = sum(lengths.values())
        self.again: dict[tuple[int, int], int] = {}
        for leaf in sorted(lengths, key=lambda operand: -lengths[operand]) if may_repeat else ():
            if self.passed <= EASY:
                break
            if graph.is_leaf(leaf) and lengths[leaf]:
                self.passed -= lengths[leaf]
                self.passed += self._repeat(leaf, sorted(uses[leaf], key=lambda user: self._column[user]))

    def _length(self, operand: int, users: Sequence[int]) -> int:
        return sum(max(0, self._column[user] - self._column[operand] - 1) for user in users)

    def _repeat(self, leaf: int, users: Sequence[int]) -> int:
        """Give uses that are far from one another a box each; the columns that are passed then."""
        boxes, stands, passed = 0, self._column[leaf], 0
        for user in users:
            if self._column[user] - stands > _NEAR:
                boxes, stands = boxes + 1, self._column[user] - 1
            if boxes:
                self.again[user, leaf] = boxes
            passed += max(0, self._column[user] - stands - 1)
        return passed
