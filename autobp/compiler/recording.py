"""Record the graph of a function of Values, and catch what a graph cannot hold.

A graph holds operations, not Python's decisions. Whatever would be fixed by the numbers of this one trace
— a branch on ``v.data``, a comparison, a random number — is refused with the place in the caller's code:
reads by :mod:`~autobp.compiler.watch`, random numbers by tracing twice, comparing, and looking whether the
generators that the function can reach have moved on.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import numpy as np

from autobp.compiler.draws import generators_of, place_of_draw, states
from autobp.compiler.watch import Watch
from autobp.engine import BY_HAND, Value, ieee, topological_order, watch_reads
from autobp.ops import Operation

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


def record_function(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[np.ndarray[Any, Any]]
) -> tuple[Graph, tuple[int, ...] | None]:
    """Record ``function`` of one sample: its graph, and the shape of a nested result (None for a scalar).

    Raises:
        TypeError: the function reads data that it depends on, or returns something else than Values.
        ValueError: two traces differ, or random numbers are drawn.
    """
    generators = generators_of(function)
    graph, shape = _record_once(function, parameters, samples)
    before = states(generators)
    again, shape_again = _record_once(function, parameters, samples)
    if states(generators) != before and _draws(function, parameters, samples, generators):
        # Two traces may well agree on one coin that was thrown.
        found = place_of_draw(lambda: _record_once(function, parameters, samples), generators)
        raise ValueError(
            f"{found or 'the function'} draws random numbers: what they decide would be fixed at what it was "
            "in one trace. Draw them outside and pass them in as an argument"
        )
    if shape != shape_again or not graph.same_structure(again):
        raise ValueError(
            "two traces of the function on the same sample gave different graphs: something in it, a random "
            "number, a clock or a counter, would be fixed at what it was in one trace. Pass it in as an "
            "argument" + _difference(graph, again)
        )
    return graph, shape


def _draws(
    function: Callable[..., Any],
    parameters: Sequence[Value],
    samples: Sequence[np.ndarray[Any, Any]],
    generators: Sequence[Any],
) -> bool:
    """Whether the function moves the generators each time, and not another thread by chance."""
    for _ in range(2):
        before = states(generators)
        _record_once(function, parameters, samples)
        if states(generators) == before:
            return False
    return True


def _difference(graph: Graph, again: Graph) -> str:
    """The first operation in which two traces differ, in words."""
    for node in range(min(len(graph.parents), len(again.parents))):
        if graph.operations[node] is None:
            continue
        texts = describe(graph, node), describe(again, node)
        if texts[0] != texts[1]:
            return f" (one had {texts[0]} where the other had {texts[1]})"
    return ""


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


def _record_once(
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
    watch = Watch(leaves, {id(value) for value in kept})
    with ieee(), watch_reads(watch.on_read, watch.elsewhere):
        try:
            result = collected(function(*arguments))  # what is lazy reads data only when it is gone through
        except Exception as error:
            if watch.refused is None or error is watch.refused:
                raise
            raise watch.refused from error  # NumPy makes an error of its own of one in __index__
    if watch.swallowed is not None:
        raise watch.swallowed
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
