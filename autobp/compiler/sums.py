"""What is known of the sums that a user wrote: what they hold, and which additions are one long sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobp.ops import ADD, SUBTRACT
from autobp.reading.graph import Graph

_LONG = 8  # additions in a row from which on they may be one sum, whatever signs they have
_REPEATED = 4  # times each kind of term must then come up, on average

#: What is among the terms of a sum, as flags of one number; of the terms of two sums, their union. Kinds of
#: numbers that carry no rounding error of their own have a flag each, from FIRST_KIND on.
NOTHING, ADDED, SUBTRACTED, PRODUCT, NO_PRODUCT, FIRST_KIND = 0, 1, 2, 4, 8, 16
BOTH_SIGNS = ADDED | SUBTRACTED


def negated(contents: int) -> int:
    """What is among the terms when their signs are turned round."""
    signs = contents & BOTH_SIGNS
    return contents if signs in (NOTHING, BOTH_SIGNS) else contents ^ BOTH_SIGNS


def has_both_signs(contents: int) -> bool:
    """Whether some terms are added and others subtracted."""
    return contents & BOTH_SIGNS == BOTH_SIGNS


def has_several_kinds(contents: int) -> bool:
    """Whether numbers without rounding errors of more than one kind are among the terms."""
    kinds = contents // FIRST_KIND
    return kinds & (kinds - 1) != 0


def runs_of_sums(graph: Graph, uses: Sequence[int]) -> set[int]:
    """The sums that only go on: each is an operand of the next addition of a long, repetitive row of them.

    ``acc = acc + a - b`` in a loop is one sum, and so is ``acc = a + acc``. A formula of a few terms is not:
    there the order may be what matters.
    """
    operations, parents, roles = graph.operations, graph.parents, graph.roles
    runs: set[int] = set()
    for side, also in ((0, SUBTRACT), (1, ADD)):
        length = [0] * len(operations)  # of the row that ends with an addition
        longest = 0
        for node, op in enumerate(operations):
            if op is ADD or op is also:
                x = parents[node][side]
                before = length[x]
                if before and uses[x] == 1 and not _are_alike(graph, x, parents[node][1 - side]):
                    length[node] = before + 1
                    longest = max(longest, before + 1)
                else:
                    length[node] = 1
        if longest < _LONG:
            continue
        seen: set[int] = set()
        for last in range(len(length) - 1, -1, -1):
            if length[last] < _LONG or last in seen:
                continue
            row = [last]
            for _ in range(length[last] - 1):
                row.append(parents[row[-1]][side])
            seen.update(row)
            terms = [parents[node][1 - side] for node in row]
            kinds = {(operations[n], operations[x], roles[x]) for n, x in zip(row, terms, strict=True)}
            if len(row) >= _REPEATED * len(kinds):
                runs.update(row[1:])
    return runs


def _are_alike(graph: Graph, x: int, y: int) -> bool:
    """Whether two operands are sums of one kind: then neither goes on in the other."""
    operations = graph.operations
    return operations[x] is operations[y] and signature(graph, x) == signature(graph, y)


def signature(graph: Graph, node: int) -> Any:
    """What a node is at first sight: its operation and role, and those of its operands."""
    operations, roles = graph.operations, graph.roles
    operands = [(operations[x], roles[x]) for x in graph.parents[node][:4]]
    return operations[node], roles[node], *operands
