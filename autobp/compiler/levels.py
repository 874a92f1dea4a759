"""How high nodes stand over the leaves of a canonical graph."""

from __future__ import annotations

from autobp.compiler.canonical import LEAF, SUM, Canonical


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
