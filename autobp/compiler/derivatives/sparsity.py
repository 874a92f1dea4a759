"""Which derivatives can be other than 0, and in how few directions all of them can be had.

Columns of a Jacobian of which no row has two are found together, by one direction: they get one colour. The
products with a direction for each colour then hold every entry, each once (Curtis, Powell and Reid, 1974).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autobp.ir import Floats, Indices
from autobp.ops import STOP_GRADIENT
from autobp.reading.graph import Graph


def rows_of(graph: Graph, by: int) -> list[list[int]]:
    """For each output, the elements that it depends on, rising.

    Args:
        by: 0 for theta; k for the k-th argument.
    """
    reached: list[int] = []  # of each node, a bit for each element
    for number, parents in enumerate(graph.parents):
        if graph.operations[number] is None:
            reached.append(1 << graph.positions[number] if graph.roles[number] == by else 0)
            continue
        found = 0
        if graph.operations[number] is not STOP_GRADIENT:
            for parent in parents:
                found |= reached[parent]
        reached.append(found)
    return [_bits(reached[number]) for number in graph.outputs]


def _bits(number: int) -> list[int]:
    """The positions of the bits that are set."""
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found


def colours_of(rows: Sequence[Sequence[int]], n: int) -> Indices:
    """A colour for each of n columns, 0, 1, …, none of them twice in a row; greedily, fullest rows first."""
    users: list[list[int]] = [[] for _ in range(n)]
    for i, row in enumerate(rows):
        for column in row:
            users[column].append(i)
    colours = np.full(n, -1, dtype=np.int64)
    taken: list[set[int]] = [set() for _ in rows]
    order = dict.fromkeys([column for row in sorted(rows, key=len, reverse=True) for column in row])
    for column in order:
        used = set().union(*[taken[i] for i in users[column]])
        colour = next(c for c in range(len(used) + 1) if c not in used)
        colours[column] = colour
        for i in users[column]:
            taken[i].add(colour)
    colours[colours < 0] = 0  # columns of zeros
    return colours


def directions_of(colours: Indices) -> Floats:
    """The direction of each colour: 1 in its columns, (colours, n)."""
    directions = np.zeros((int(colours.max(initial=0)) + 1, len(colours)))
    directions[colours, np.arange(len(colours))] = 1.0
    return directions
