"""The flat graph: operations, operands and numbers in lists, parents before children.

It is recorded from Values once, without recursion, and read by number from then on: a position in a list
costs a tenth of what a Value in a dictionary does, and a million nodes are nothing unusual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autobp.engine import BY_HAND, Value, topological_order
from autobp.ops import Operation

#: What a leaf of a graph stands for, where it is read as a program.
CONSTANT, PARAMETER = -1, 0  # argument k is k + 1


class Graph:
    """A scalar graph in flat lists, parents before children.

    Attributes:
        operations: the operation that made each node, None for leaves.
        parents: the numbers of each node's operands, in order, repeated where one was used twice.
        constants: the plain numbers that belong to its operation.
        values: what each node was when the graph was recorded.
        roles: of leaves: CONSTANT, PARAMETER, or 1 + the number of the argument.
        positions: of parameters and arguments' elements: the index in theta or in the flattened argument.
        labels: of nodes that have one.
        outputs: the numbers of the results.
        nodes: the Values themselves, by number; empty after :meth:`release`.
        numbers: of each Value, by its id; empty likewise.
    """

    def __init__(self) -> None:
        self.operations: list[Operation | None] = []
        self.parents: list[tuple[int, ...]] = []
        self.constants: list[tuple[float, ...]] = []
        self.values: list[float] = []
        self.roles: list[int] = []
        self.positions: list[int] = []
        self.labels: dict[int, str] = {}
        self.outputs: list[int] = []
        self.nodes: list[Value] = []
        self.numbers: dict[int, int] = {}
        self._consumers: list[list[int]] | None = None

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def root(self) -> int:
        """The last node: the result, where the graph has one."""
        return len(self.parents) - 1

    @property
    def consumers(self) -> list[list[int]]:
        """For each node the numbers of those computed from it, in order, each once. Found when asked for."""
        if self._consumers is None:
            self._consumers = [[] for _ in self.parents]
            for number, parents in enumerate(self.parents):
                for parent in dict.fromkeys(parents):
                    self._consumers[parent].append(number)
        return self._consumers

    def number(self, value: Value) -> int | None:
        """The number of a Value; None for one that is not in the graph."""
        return self.numbers.get(id(value))

    def label(self, number: int) -> str:
        """A node's label, or ""."""
        return self.labels.get(number, "")

    def is_leaf(self, number: int) -> bool:
        """Whether a node was given and not computed."""
        return self.operations[number] is None

    def release(self) -> None:
        """Let go of the Values, which take more room than all the lists."""
        self.nodes = []
        self.numbers = {}

    def same_structure(self, other: Graph) -> bool:
        """Whether both record the same operations on the same leaves and constants."""
        return (
            len(self.parents) == len(other.parents)
            and self.parents == other.parents
            and self.roles == other.roles
            and self.positions == other.positions
            and self.constants == other.constants
            and self.outputs == other.outputs
            and all(a is b for a, b in zip(self.operations, other.operations, strict=True))
            and all(
                a == b or (a != a and b != b)
                for a, b, role, op in zip(self.values, other.values, self.roles, self.operations, strict=True)
                if op is None and role == CONSTANT
            )
        )


def record(outputs: Sequence[Value], leaves: Mapping[int, tuple[int, int]] | None = None) -> Graph:
    """The graph of some Values, in topological order; of one, it is the last node.

    Args:
        outputs: the results, at least one.
        leaves: (role, position) of the nodes that are no constants, by their id.
    """
    graph = Graph()
    # A node over all outputs puts them into one order.
    order = topological_order(outputs[0] if len(outputs) == 1 else Value(0.0, tuple(outputs), "outputs"))
    if len(outputs) > 1:
        order.pop()
    numbers = {id(node): number for number, node in enumerate(order)}
    graph.nodes = order
    graph.numbers = numbers
    graph.operations = [node._operation for node in order]
    graph.values = [node._data for node in order]
    graph.roles = [CONSTANT] * len(order)
    graph.positions = [-1] * len(order)
    graph.constants = [() if node._details is None else node._details.constants for node in order]
    graph.labels = {number: node.label for number, node in enumerate(order) if node.label}
    parents = graph.parents
    for node in order:
        parent, parent2 = node._parent, node._parent2
        if parent2 is not None and parent is not None:
            parents.append((numbers[id(parent)], numbers[id(parent2)]))
        elif parent is not None:
            parents.append((numbers[id(parent)],))
        elif node._details is not None:
            parents.append(tuple([numbers[id(x)] for x in node._details.parents]))
        else:
            parents.append(())
    for key, (role, position) in (leaves or {}).items():
        if key in numbers:
            graph.roles[numbers[key]], graph.positions[numbers[key]] = role, position
    graph.outputs = [numbers[id(output)] for output in outputs]
    return graph


def describe(graph: Graph, node: int, depth: int = 3) -> str:
    """A scalar node in words: its label, or its operation on its operands."""
    if node in graph.labels:
        return graph.labels[node]
    op = graph.operations[node]
    if op is None:
        role, position = graph.roles[node], graph.positions[node]
        if role < 0:
            return f"{graph.values[node]:g}"
        return f"theta[{position}]" if role == 0 else f"argument {role}[{position}]"
    if depth == 0:
        return "…"
    inner = [describe(graph, parent, depth - 1) for parent in graph.parents[node][:4]]
    inner += [f"{constant:g}" for constant in graph.constants[node]]
    return f"{op.name}({', '.join(inner)})"


def local_derivatives(node: Value) -> tuple[float, ...]:
    """A node's local derivatives; of one made by hand, by calling its _backward, with gradients put back.

    A parent that such a node uses twice has its whole derivative at its first use.

    Raises TypeError where a node made by hand has no derivative.
    """
    if node.operation is not BY_HAND:
        return node.partials
    concerned = list(dict.fromkeys([node, *node.parents]))
    before = [n._grad for n in concerned]
    try:
        for n in concerned:
            n._grad = 0.0
        node._grad = 1.0
        node._backward()
        unseen = {id(parent): parent._grad for parent in node.parents}
        return tuple([unseen.pop(id(parent), 0.0) for parent in node.parents])
    finally:
        for n, grad in zip(concerned, before, strict=True):
            n._grad = grad
