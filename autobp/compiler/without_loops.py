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
from autobp.compiler.levels import by_depth, by_height
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
    return _program(graph, arguments, builder), builder.scalars


def _program(graph: Canonical, arguments: Sequence[Argument], builder: Builder) -> Program:
    return Program(tuple(arguments), (builder.collect(graph.outputs),), {})


def built(graph: Canonical, arguments: Sequence[Argument]) -> tuple[Builder, Bound | None]:
    """The arrays of colours, joined or not; or those up to where there are too many, and what they exceed."""
    bound = Bound(graph)
    builder = Builder(graph, arguments)
    joined: JoinedBuilder | None = None
    n_nodes, is_tried = 0, False
    for number, nodes in enumerate(by_height(graph)):
        alike = builder.alike(nodes)
        builder.build(alike)
        n_nodes += len(nodes)
        if not is_tried and are_mixed(builder, alike):
            joined, is_tried = _joined(graph, arguments, bound), True
        if joined is not None and joined.n_arrays <= _FEWER * len(builder.arrays):
            return joined, None
        if bound.is_exceeded(number, n_nodes, len(builder.arrays)):
            return (builder, bound) if joined is None else (joined, None)
    if joined is not None:
        n_joined, n_plain = [len(_program(graph, arguments, x).arrays) for x in (joined, builder)]
        if n_joined <= _FEWER * n_plain:
            return joined, None
    return builder, None


def _joined(graph: Canonical, arguments: Sequence[Argument], bound: Bound) -> JoinedBuilder | None:
    """The arrays of joined colours; None where there are too many."""
    builder, n_nodes = JoinedBuilder(graph, arguments), 0
    for number, nodes in enumerate(by_depth(graph)):
        builder.build_level(nodes)
        n_nodes += len(nodes)
        if bound.is_exceeded(number, n_nodes, builder.n_arrays):
            return None
    return builder
