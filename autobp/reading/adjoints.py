"""The chain rule on a flat graph, in numbers.

An adjoint is ∂root/∂node. Each node passes its own, times the local derivative, on to its operands, where
:func:`autobp.chain.stops` does not stop it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from autobp.chain import stops
from autobp.ops import FLOATS, Operation, evaluate, partials_at
from autobp.reading.graph import Graph, local_derivatives


class Differentiated:
    """A graph with its derivatives.

    Attributes:
        graph: the graph; its Values are still there.
        partials: local derivatives, one for each of a node's parents.
        adjoint: ∂root/∂node, the numbers that backward() would put into grad.

    Raises TypeError where a node made by hand has no derivative.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.partials = [local_derivatives(node) for node in graph.nodes]
        self.adjoint = [0.0] * len(graph)
        self.adjoint[-1] = 1.0
        for i in range(len(graph) - 1, -1, -1):
            self._pass_on(i)

    def _pass_on(self, i: int) -> None:
        operation, above = self.graph.operations[i], self.adjoint[i]
        if operation is None:
            return
        for parent, partial in zip(self.graph.parents[i], self.partials[i], strict=True):
            if not stops(operation, partial):
                self.adjoint[parent] += partial * above

    def partial(self, consumer: int, parent: int) -> float:
        """∂consumer/∂parent, of all the uses of the parent together."""
        pairs = zip(self.graph.parents[consumer], self.partials[consumer], strict=True)
        return total(partial for i, partial in pairs if i == parent)

    def is_stopped(self, consumer: int, parent: int) -> bool:
        """Whether the product of adjoint and partial along an edge is not 0, but counts as 0: the consumer
        did not select the parent, and its adjoint is infinite or undefined."""
        if math.isfinite(self.adjoint[consumer]):
            return False
        pairs = zip(self.graph.parents[consumer], self.partials[consumer], strict=True)
        operation = self.graph.operations[consumer]
        assert operation is not None  # it has a parent
        return all(stops(operation, partial) for i, partial in pairs if i == parent)


def total(terms: Iterable[float]) -> float:
    """The sum, from the first term to the last, as backward() adds up."""
    total = 0.0
    for term in terms:
        total += term
    return total


def slopes(
    graph: Graph, order: Sequence[int], given: Mapping[int, float], wrt: Sequence[int]
) -> list[float] | None:
    """∂top/∂x at other numbers than the graph's own, for each x of ``wrt``; in IEEE 754 arithmetic.

    Args:
        order: the nodes to compute anew, in order, the top last.
        given: numbers that some nodes have there; those that are neither given nor computed keep theirs.

    None where a node has no rule for numbers.
    """
    data = dict(given)
    partials: dict[int, tuple[float, ...]] = {}
    adjoint = dict.fromkeys([*order, *wrt], 0.0)
    adjoint[order[-1]] = 1.0
    for i in order:
        operation = graph.operations[i]
        if operation is None:
            data.setdefault(i, graph.values[i])
            continue
        operands = [data[p] if p in data else graph.values[p] for p in graph.parents[i]]
        try:
            data[i], partials[i] = _applied(operation, [*operands, *graph.constants[i]], given.get(i))
        except TypeError:
            return None
    for i in sorted(partials, reverse=True):
        operation = graph.operations[i]
        assert operation is not None  # it has partials
        for p, partial in zip(graph.parents[i], partials[i], strict=True):
            if p in adjoint and not stops(operation, partial):
                adjoint[p] += partial * adjoint[i]
    return [adjoint[x] for x in wrt]


def _applied(
    operation: Operation, operands: Sequence[float], y: float | None
) -> tuple[float, tuple[float, ...]]:
    """The result, y where that is given, and the local derivatives."""
    try:
        result = operation.value(FLOATS, *operands) if y is None else y
        return result, operation.partials(FLOATS, result, *operands)
    except (ArithmeticError, ValueError):
        result = evaluate(operation, *operands) if y is None else y
        return result, partials_at(operation, result, *operands)
