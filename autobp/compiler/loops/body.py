"""The graph of one step of a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autobp.compiler.canonical import LEAF, SUM, Canonical, Term
from autobp.compiler.loops.leaves import Leaf, Leaves
from autobp.compiler.loops.recurrence import BodyNode, Recurrence
from autobp.ops import Operation
from autobp.reading.graph import CONSTANT

#: Node k of the body m steps ago, (k, m): a number that steps carry on. With m = 0 it is this step's.
State = tuple[int, int]


class Body(NamedTuple):
    """The graph of a step.

    Attributes:
        graph: a leaf's role is the number of the array that it is from.
        nodes: the nodes and states of the loop, by number.
    """

    graph: Canonical
    nodes: Mapping[State, int]


def body_of(
    graph: Canonical,
    loop: Recurrence,
    leaves: Leaves,
    states: Mapping[State, tuple[int, int]],
    results: Sequence[int],
) -> Body:
    """The graph of a step of a loop.

    Args:
        states: the array, by number, and the position there of each state.
        results: the nodes of the body that a step leaves.
    """
    writer = _Writer()
    nodes = {state: writer.leaf(place) for state, place in states.items()}
    for k, member in enumerate(loop.body):
        nodes[k, 0] = writer.member(graph, member, leaves, nodes)
    return Body(writer.canonical([nodes[k, 0] for k in results]), nodes)


class _Writer:
    """A graph in the making."""

    def __init__(self) -> None:
        self._order: list[int] = []
        self._kinds: list[int] = []
        self._operations: list[Operation | None] = []
        self._operands: list[tuple[int, ...]] = []
        self._constants: list[tuple[float, ...]] = []
        self._terms: dict[int, list[Term]] = {}
        self._offsets: dict[int, float] = {}
        self._fixed: dict[int, float] = {}
        self._roles: list[int] = []
        self._positions: list[int] = []
        self._known: dict[str, int] = {}

    def canonical(self, outputs: Sequence[int]) -> Canonical:
        """What is written so far."""
        return Canonical(
            self._order,
            self._kinds,
            self._operations,
            self._operands,
            self._constants,
            self._terms,
            self._offsets,
            self._fixed,
            self._roles,
            self._positions,
            outputs,
        )

    def _node(
        self,
        kind: int,
        operation: Operation | None = None,
        operands: tuple[int, ...] = (),
        constants: tuple[float, ...] = (),
        place: tuple[int, int] = (CONSTANT, -1),
    ) -> int:
        self._kinds.append(kind)
        self._operations.append(operation)
        self._operands.append(operands)
        self._constants.append(constants)
        self._roles.append(place[0])
        self._positions.append(place[1])
        return len(self._kinds) - 1

    def leaf(self, leaf: Leaf) -> int:
        """A leaf, made when it is first asked for."""
        key = repr(leaf)  # -0.0 and 0.0 are two, and NaN is itself
        if key not in self._known:
            if isinstance(leaf, float):
                node = self._node(LEAF)
                self._fixed[node] = leaf
            else:
                node = self._node(LEAF, place=leaf)
                self._order.append(node)
            self._known[key] = node
        return self._known[key]

    def member(self, graph: Canonical, member: BodyNode, leaves: Leaves, nodes: Mapping[State, int]) -> int:
        """A node of the body."""
        operands = []
        for column, own in zip(member.operands.T, member.own, strict=True):
            operands.append(self.leaf(leaves.of_nodes(column)) if own is None else nodes[own.number, own.lag])
        first = int(member.nodes.max())  # any will do
        if not member.terms:
            kind, operation = graph.kinds[first], graph.operations[first]
            node = self._node(kind, operation, tuple(operands), graph.constants[first])
            self._order.append(node)
            return node
        rest = iter(operands)
        terms = [(sign, next(rest), next(rest) if product else -1) for sign, product in member.terms]
        offset = leaves.of_numbers(member.offsets)
        if not isinstance(offset, float):
            terms.append((1, self.leaf(offset), -1))
        node = self._node(SUM)
        self._terms[node] = terms
        self._offsets[node] = offset if isinstance(offset, float) else 0.0
        self._order.append(node)
        return node
