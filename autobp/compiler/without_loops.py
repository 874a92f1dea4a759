"""The program of a graph in which no loop was found: the colours, levels or both that make the fewest arrays.

Nodes of one colour are an array (:mod:`~autobp.compiler.group`). Where sums have terms of several colours,
each of others, as in a pruned network, there are more colours at each level than at the one below. Then those
that meet in sums are joined (:mod:`~autobp.compiler.joined`), where that leaves at most three quarters of the
arrays. Where no colours help, what one operation computes at one level is an array
(:mod:`~autobp.compiler.irregular`).
"""

from __future__ import annotations

from collections.abc import Sequence

from autobp.compiler.canonical import Canonical
from autobp.compiler.group import Builder, arguments_of
from autobp.compiler.irregular import Bound, by_level
from autobp.compiler.joined import JoinedBuilder, are_mixed
from autobp.compiler.levels import by_height
from autobp.ir import Argument, Array, Indices, Program, Shape

_FEWER = 0.75  # of the arrays of colours that are not joined: so many may be left


def without_loops(
    graph: Canonical, n_parameters: int, samples: Sequence[Shape]
) -> tuple[Program, dict[Array, Indices]]:
    """The program of a graph's outputs, flat and in their order, without names.

    Args:
        samples: the shapes of the arguments.

    Returns:
        the program, and of the arrays that hold scalar nodes, which ones, by position; -1 for none.
    """
    arguments = arguments_of(n_parameters, samples)
    builder, exceeded = built(graph, arguments)
    if exceeded is not None:
        return by_level(graph, arguments, exceeded.forms)
    output = builder.collect(graph.outputs)
    return Program(arguments, (output,), {}), builder.scalars


def built(graph: Canonical, arguments: Sequence[Argument]) -> tuple[Builder, Bound | None]:
    """The arrays of colours, joined or not; or those up to where there are too many, and what they exceed."""
    levels, bound = by_height(graph), Bound(graph)
    builder, joined = Builder(graph, arguments), None
    n_nodes = 0
    for number, nodes in enumerate(levels):
        alike = builder.alike(nodes)
        builder.build(alike)
        n_nodes += len(nodes)
        if joined is None and are_mixed(builder, alike):
            joined = _Joined(graph, arguments, levels, bound)
        if joined is not None and joined.has_few(number, len(builder.arrays)):
            return joined.builder, None
        if bound.is_exceeded(number, n_nodes, len(builder.arrays)):
            return builder, bound
    return builder, None


class _Joined:
    """The arrays of joined colours.

    Attributes:
        builder: with all of them, unless there are too many.
    """

    def __init__(
        self, graph: Canonical, arguments: Sequence[Argument], levels: Sequence[list[int]], bound: Bound
    ) -> None:
        self.builder = JoinedBuilder(graph, arguments)
        self._numbers: list[int] = []  # of arrays, up to each level
        n_nodes = 0
        for number, nodes in enumerate(levels):
            self.builder.build_level(nodes)
            n_nodes += len(nodes)
            self._numbers.append(len(self.builder.arrays))
            if bound.is_exceeded(number, n_nodes, len(self.builder.arrays)):
                self._numbers = []
                break

    def has_few(self, level: int, n_arrays: int) -> bool:
        """Whether it has fewer arrays, up to a level, than there are without it."""
        return bool(self._numbers) and self._numbers[level] <= _FEWER * n_arrays
