"""Trace a function of Values into a flat record of its graph, and catch what a trace cannot hold.

A graph records operations, not Python's decisions. Whatever would be fixed by the numbers of this one trace
— a branch on ``v.data``, a comparison, a random number — is refused with the place in the caller's code:
reads through the engine's watch, random numbers by tracing twice, comparing, and looking whether the shared
generators have moved on.
"""

from __future__ import annotations

import gc
import linecache
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import numpy as np

from autobp.engine import BY_HAND, Value, ieee, topological_order, watch_reads
from autobp.ops import Operation

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: What a leaf of a graph stands for.
CONSTANT, PARAMETER = -1, 0  # argument k is k + 1


class Graph:
    """A scalar graph in flat lists, parents before children.

    Attributes:
        operations: the operation that made each node, None for leaves.
        parents: the numbers of each node's operands.
        constants: the plain numbers that belong to its operation.
        values: what each node was at the trace.
        roles: of leaves: CONSTANT, PARAMETER, or 1 + the number of the argument.
        positions: of parameters and arguments' elements: the index in theta or in the flattened argument.
        labels: of nodes that have one.
        outputs: the numbers of the results.
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

    def same_structure(self, other: Graph) -> bool:
        """Whether both record the same operations on the same leaves and constants."""
        return (
            self.parents == other.parents
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


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage, would have the collector search them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def record(outputs: Sequence[Value], leaves: dict[int, tuple[int, int]]) -> Graph:
    """The graph of some Values; ``leaves`` gives (role, position) of traced leaves by their id.

    Raises TypeError where a node was made by hand, or a traced leaf is the result of an operation.
    """
    graph = Graph()
    # A node over all outputs puts them into one order.
    order = topological_order(outputs[0] if len(outputs) == 1 else Value(0.0, tuple(outputs), "outputs"))
    if len(outputs) > 1:
        order.pop()
    numbers = {id(node): number for number, node in enumerate(order)}
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
    if BY_HAND in graph.operations:
        node = order[graph.operations.index(BY_HAND)]
        raise TypeError(
            f"{node!r} was made by hand and has no rule in the operation table, so it cannot be "
            "compiled; register one with autobp.operation(name, value, partials)"
        )
    for key, (role, position) in leaves.items():
        if key in numbers:
            number = numbers[key]
            graph.roles[number], graph.positions[number] = role, position
            if graph.operations[number] is not None:
                raise TypeError(
                    f"{order[number]!r} is the result of an operation; parameters and inputs must be leaves"
                )
    graph.outputs = [numbers[id(output)] for output in outputs]
    return graph


def nested(array: np.ndarray[Any, Any], wrap: Callable[[float], Any]) -> Any:
    """An array as a scalar or nested list, each element wrapped."""
    if array.ndim == 0:
        return wrap(float(array))
    return [nested(row, wrap) for row in array]


def collected(result: Any) -> Any:
    """A scalar, or a nested list of all that can be gone through; TypeError for a dict, a set or a text."""
    if isinstance(result, np.ndarray):
        result = result.tolist()
    if isinstance(result, str | bytes | Mapping | Set):
        kind = type(result).__name__
        raise TypeError(f"the function returned a {kind}; compile needs a Value, or a nested list of Values")
    if isinstance(result, Value) or not hasattr(result, "__iter__"):
        return result
    return [collected(element) for element in result]


def flatten(result: Any) -> Iterator[Any]:
    """The scalars of a nested list, in order."""
    if isinstance(result, Value) or not hasattr(result, "__iter__"):
        yield result
    else:
        for element in result:
            yield from flatten(element)


def shape_of(result: Any) -> tuple[int, ...]:
    """The shape of a nested list of scalars; ValueError where it is ragged."""
    if isinstance(result, Value) or not hasattr(result, "__iter__"):
        return ()
    shapes = [shape_of(element) for element in result]
    if len(set(shapes)) > 1:
        raise ValueError("the function returned lists of different lengths; a result needs one shape")
    return (len(shapes), *(shapes[0] if shapes else ()))


def trace(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[np.ndarray[Any, Any]]
) -> tuple[Graph, tuple[int, ...] | None]:
    """Record ``function`` of one sample: its graph, and the shape of a nested result (None for a scalar).

    Raises:
        TypeError: the function reads data that it depends on, or returns something else than Values.
        ValueError: two traces differ, or random numbers are drawn.
    """
    graph, shape = _trace_once(function, parameters, samples)
    before = _random_state()
    again, shape_again = _trace_once(function, parameters, samples)
    if shape != shape_again or not (len(graph.parents) == len(again.parents) and graph.same_structure(again)):
        raise ValueError(
            "two traces of the function on the same sample gave different graphs: something in it, a random "
            "number or a counter, would be fixed at what it was in one trace. Pass it in as an argument"
        )
    if _random_state() != before:
        # Two traces may well agree on one coin that was thrown.
        raise ValueError(
            "the function draws random numbers: what they decide would be fixed at what it was in one trace. "
            "Draw them outside and pass them in as an argument"
        )
    return graph, shape


def _random_state() -> tuple[Any, ...]:
    """Where the generators that all of a process shares have come to."""
    name, key, *rest = np.random.get_state()  # noqa: NPY002 (the generator that is shared is the old one)
    return random.getstate(), name, np.asarray(key).tobytes(), *rest


def _trace_once(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[np.ndarray[Any, Any]]
) -> tuple[Graph, tuple[int, ...] | None]:
    leaves = {id(parameter): (PARAMETER, i) for i, parameter in enumerate(parameters)}
    arguments = []
    kept: list[Value] = []  # ids stay unique while the Values live

    for role, sample in enumerate(samples, start=1):
        first = len(kept)

        def leaf(x: float) -> Value:
            kept.append(Value(x))
            return kept[-1]

        arguments.append(nested(sample, leaf))
        leaves |= {id(value): (role, i) for i, value in enumerate(kept[first:])}
    with ieee(), watch_reads(_refuse(leaves)):
        result = collected(function(*arguments))  # what is lazy reads data only when it is gone through
    outputs = list(flatten(result))
    for output in outputs:
        if not isinstance(output, Value):
            raise TypeError(
                f"the function returned {output!r}; compile needs a Value, or a nested list of Values"
            )
    if not outputs:
        raise TypeError("the function returned nothing to compute; compile needs a Value, or Values")
    shape = None if isinstance(result, Value) else shape_of(result)
    return record(outputs, leaves), shape


_ADVICE = {
    ".data": "use the Value itself: autobp.where, autobp.take, autobp.softmax … record what depends on it; "
    "autobp.stop_gradient(v) is v as a constant",
    ".data = …": "set parameters between steps, by step.write_back(theta)",
    "bool()": "use autobp.where(condition, x, y), which records the choice",
    ".grad": "use autobp.grad, whose result is a graph and is compiled with the rest",
    ".partials": "use autobp.grad, whose result is a graph and is compiled with the rest",
}


def _refuse(leaves: dict[int, tuple[int, int]]) -> Callable[[Value, str], None]:
    def on_read(value: Value, what: str) -> None:
        if not any(id(node) in leaves for node in topological_order(value)):
            return  # a constant: it is the same for every sample
        names = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}
        advice = _ADVICE.get(what) or (
            f"use autobp.{names.get(what, 'equal')}(x, y), a node that is 1 or 0, in autobp.where(…, x, y)"
        )
        label = f" of {value.label}" if value.label else ""
        verb = "sets" if what == ".data = …" else "reads"
        raise TypeError(
            f"{_place()} {verb} {what}{label} while the function is traced: the outcome would be fixed for "
            f"every later sample and parameter; {advice}"
        )

    return on_read


def _place() -> str:
    """The innermost line of the caller's code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, line).strip()
    return f"{os.path.basename(name)}, line {line}" + (f", `{text}`," if text else "")
