"""How nodes of a canonical graph stand: how high over the leaves, and below what."""

from __future__ import annotations

from autobp.compiler.canonical import FLAT, LEAF, SUM, Canonical
from autobp.ops import BUILT_IN, CONSTANT_POWER, POWER, TABLE, TAKE, WHERE, Operation

#: Operations that may make a number of NaN, all operands or the first: x**0 is one.
_COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
_OF_ALL = {CONSTANT_POWER, POWER, *[TABLE[name] for name in _COMPARISONS]}
_OF_FIRST = {WHERE, TAKE}


def levels_of(graph: Canonical) -> list[int]:
    """Of each node the length of the longest path that leads to it; 0 of leaves and constants."""
    level = [0] * len(graph.kinds)
    for node in graph.order:
        kind = graph.kinds[node]
        if kind == LEAF:
            continue
        height = 0
        if kind == SUM:
            for _, a, b in graph.terms[node]:
                if level[a] > height:
                    height = level[a]
                if b >= 0 and level[b] > height:
                    height = level[b]
        else:
            for x in graph.operands[node]:
                if level[x] > height:
                    height = level[x]
        level[node] = height + 1
    return level


def by_height(graph: Canonical) -> list[list[int]]:
    """The nodes above the leaves, by the longest path that leads to them."""
    level = levels_of(graph)
    levels: list[list[int]] = [[] for _ in range(max(level, default=0))]
    for node in graph.order:
        if graph.kinds[node] != LEAF:
            levels[level[node] - 1].append(node)
    return levels


def by_depth(graph: Canonical) -> list[list[int]]:
    """The nodes above the leaves, by the longest path from them to an output: each as late as may be.

    So the units of a layer stand beside one another, also those that have no weight left, and no height.
    """
    top = max([height for node, height in enumerate(levels_of(graph)) if height], default=0)
    latest = [top] * len(graph.kinds)
    levels: list[list[int]] = [[] for _ in range(top)]
    for node in reversed(graph.order):
        if graph.kinds[node] == LEAF:
            continue
        level = latest[node]
        levels[level - 1].append(node)
        for x in operands_of(graph, node):
            latest[x] = min(latest[x], level - 1)
    for level_ in levels:
        level_.reverse()
    return levels


def operands_of(graph: Canonical, node: int) -> list[int]:
    """What a node is computed from; of a sum the factors of its terms."""
    if graph.kinds[node] == SUM:
        return [x for _, *factors in graph.terms[node] for x in factors if x >= 0]
    return list(graph.operands[node])


def reached_by_derivatives(graph: Canonical) -> set[int]:
    """The nodes that an output depends on by another way than through an operation that is flat."""
    found = set(graph.outputs)
    for node in reversed(graph.order):
        if node not in found:
            continue
        if graph.kinds[node] == SUM:
            found.update(operands_of(graph, node))
        elif graph.operations[node] not in FLAT:
            found.update(graph.operands[node])
    return found


def leading_to_numbers(graph: Canonical) -> set[int]:
    """The nodes whose NaN may become a number again further up: in a comparison, a choice, x**0."""
    found: set[int] = set()
    for node in reversed(graph.order):
        if graph.kinds[node] == SUM:
            if node in found:
                found.update(operands_of(graph, node))
            continue
        operation, operands = graph.operations[node], graph.operands[node]
        if node in found or _may_swallow(operation, graph.constants[node]):
            found.update(operands)
        elif operation in _OF_FIRST:
            found.add(operands[0])
    return found


def _may_swallow(operation: Operation | None, constants: tuple[float, ...]) -> bool:
    """Whether a NaN in any operand may go under; what a rule of somebody's own does is not known."""
    if operation is None:
        return False
    own = BUILT_IN.get(operation.name) is not operation
    return own or (operation in _OF_ALL and constants in ((), (0.0,)))
