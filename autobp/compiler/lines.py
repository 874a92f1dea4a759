"""Which line of the caller's code computes a node of a graph.

A function that is traced cannot see its numbers, so that it computes the same nodes of arguments that are not
numbers at all. Whatever depends on those is not finite, and is announced while its line runs. Nothing is kept
while a function is compiled, and what is asked for later costs one more trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp.compiler.place import callers_line
from autobp.compiler.recording import traced
from autobp.engine import Value, watch_results
from autobp.ir import Shape
from autobp.reading.graph import Graph, record


def lines_of(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[Shape], graph: Graph
) -> dict[int, tuple[str, int]]:
    """File and line by the number of a node, for nodes that depend on arguments.

    Args:
        samples: the shape of one sample of each argument.
        graph: what was recorded of the function.

    None for any node where the function does something else by now, and for a node whose operation two lines
    apply to the same operands: which of them computes it is not seen.
    """
    found: dict[tuple[Any, ...], tuple[str, int] | None] = {}
    operands_seen = []  # ids stay unique while the Values live

    def on_result(name: str, operands: tuple[Value, ...]) -> None:
        operands_seen.append(operands)
        key, line = (name, *map(id, operands)), callers_line(sys._getframe(1))
        if found.setdefault(key, line) != line:
            found[key] = None

    try:
        with watch_results(on_result):
            trace = traced(function, parameters, [np.full(shape, np.nan) for shape in samples])
    except Exception:  # the user's function raises what it likes
        return {}
    again = record(trace.outputs, trace.leaves)
    if not again.same_structure(graph):
        return {}
    lines = {}
    for number, (operation, parents) in enumerate(zip(again.operations, again.parents, strict=True)):
        if operation is not None:
            key = (operation.name, *[id(again.nodes[parent]) for parent in parents])
            line = found.get(key)
            if line is not None:
                lines[number] = line
    return lines
