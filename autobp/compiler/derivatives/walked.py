"""Derivatives by the scalar graph itself: what those of programs are held against, and what counts at edges.

The graph is made again of Values, and the engine's own derivatives of it are recorded. Walks over what was
recorded (:mod:`autobp.reading.walk`) then give numbers, for many rows at once. Nothing of the programs of
derivatives takes part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp import functional
from autobp.compiler.pipeline import Signature
from autobp.engine import Value, ieee, watch_reads
from autobp.ir import Floats
from autobp.reading.graph import PARAMETER, Graph, record
from autobp.reading.walk import adjoints_of, given, leaves, values_of

_AT_ONCE = 2_000_000  # numbers of a walk


class Walks:
    """Derivatives of a graph by one of its arguments, recorded when they are asked for.

    Args:
        by: 0 for theta; k for the k-th argument, counted from 1.
    """

    def __init__(self, graph: Graph, signature: Signature, by: int) -> None:
        self.graph, self.signature, self.by = graph, signature, by
        self.n_outputs = len(graph.outputs)

    def product_with_hessian(self) -> Graph:
        """Cost, and the Hessian times a vector, which is one more argument."""
        return self._recorded(lambda f, x, v: [f(x)[0], *functional.hvp(lambda u: f(u)[0], x, v)], self.size)

    def column_of_hessian(self, j: int) -> Graph:
        """Cost, and one column of the Hessian."""

        def column(f: Any, x: list[Value], _: list[Value]) -> list[Any]:
            unit = [1.0 if i == j else 0.0 for i in range(len(x))]
            return [f(x)[0], *functional.hvp(lambda u: f(u)[0], x, unit)]

        return self._recorded(column, 0)

    def pulled(self) -> Graph:
        """Outputs, and the derivative of their sum weighted by a vector, which is one more argument."""

        def pulled(f: Any, x: list[Value], w: list[Value]) -> list[Any]:
            outputs, pull = functional.vjp(f, x)
            return [*outputs, *pull(w)[0]]

        return self._recorded(pulled, self.n_outputs)

    def once(self, second: bool, vector: Floats) -> Floats:
        """What :meth:`product_with_hessian` or :meth:`pulled` come to at the numbers of the trace.

        By numbers at once, which takes a fraction of the time that recording them does.
        """
        with ieee(), np.errstate(all="ignore"):
            arguments = self._arguments(0)
            x = [value.data for value in arguments[self.by]]

            def f(u: Sequence[Any]) -> list[Any]:
                return rebuilt(self.graph, [*arguments[: self.by], u, *arguments[self.by + 1 :]])

            if second:
                first = [f(arguments[self.by])[0].data]
                return np.hstack([first, functional.hvp(lambda u: f(u)[0], x, vector.tolist())])
            outputs, pull = functional.vjp(f, x)
            return np.hstack([outputs, pull(vector.tolist())[0]])

    def _arguments(self, n: int) -> list[list[Value]]:
        """Theta, the arguments and n numbers more, as leaves; with the numbers of the trace."""
        graph, signature = self.graph, self.signature
        sizes = [len(signature.labels), *[int(np.prod(shape)) for shape in signature.samples]]
        arguments = [[Value(0.0) for _ in range(size)] for size in (*sizes, n)]
        for number, role in enumerate(graph.roles):
            if role >= PARAMETER and graph.is_leaf(number):
                arguments[role][graph.positions[number]] = Value(graph.values[number])
        return arguments

    @property
    def size(self) -> int:
        """The elements of what is differentiated by."""
        signature = self.signature
        return len(signature.labels) if self.by == 0 else int(np.prod(signature.samples[self.by - 1]))

    def _recorded(self, derivative: Callable[[Any, list[Value], list[Value]], list[Any]], n: int) -> Graph:
        """What ``derivative(f, x, v)`` gives as a graph, v being n numbers more."""
        graph = self.graph
        with ieee(), watch_reads(lambda value, what: None):
            arguments = self._arguments(n)
            leaves = {
                id(x): (role, i) for role, argument in enumerate(arguments) for i, x in enumerate(argument)
            }

            def f(x: Sequence[Any]) -> list[Any]:
                return rebuilt(graph, [*arguments[: self.by], x, *arguments[self.by + 1 :]])

            made = derivative(f, arguments[self.by], arguments[-1])
            outputs = [x if isinstance(x, Value) else Value(x) for x in made]
            recorded = record([x * 1.0 if id(x) in leaves else x for x in outputs], leaves)
            recorded.release()
        return recorded


def rebuilt(graph: Graph, arguments: Sequence[Sequence[Any]]) -> list[Any]:
    """The outputs of a graph at other leaves: theta, then each argument's elements."""
    made: list[Any] = []
    for number, operation in enumerate(graph.operations):
        if operation is not None:
            operands = [made[parent] for parent in graph.parents[number]]
            made.append(operation(*operands, *graph.constants[number]))
        elif graph.roles[number] >= PARAMETER:
            made.append(arguments[graph.roles[number]][graph.positions[number]])
        else:
            made.append(Value(graph.values[number]))
    return [made[number] for number in graph.outputs]


def numbers(graph: Graph, theta: Floats, arrays: Sequence[Floats]) -> Floats:
    """The outputs of a graph for each row, (m, outputs)."""

    def outputs(values: Sequence[Any], m: int) -> Floats:
        return _as_columns([values[i] for i in graph.outputs], m)

    return _some_at_a_time(graph, theta, arrays, outputs)


def jacobian(graph: Graph, by: int, size: int, theta: Floats, arrays: Sequence[Floats]) -> Floats:
    """Each row's outputs, and their derivatives one output after another, (m, outputs·(1 + size)).

    By the chain rule as the engine has it, from node to node, and for each output anew.

    Args:
        by: 0 for theta; k for the k-th argument.
        size: of what is differentiated by.
    """
    uses = [(i, graph.positions[i]) for i in given(graph).get(by, [])]

    def derivatives(values: Sequence[Any], m: int) -> Floats:
        found = [_as_columns([values[i] for i in graph.outputs], m)]
        for output in graph.outputs:
            adjoints = adjoints_of(graph, output, values)
            row = np.zeros((m, size))
            for node, position in uses:
                row[:, position] = adjoints[node]
            found.append(row)
        return np.hstack(found)

    return _some_at_a_time(graph, theta, arrays, derivatives)


def _as_columns(found: Sequence[Any], m: int) -> Floats:
    return np.stack([np.broadcast_to(x, (m,)) for x in found], axis=1)


def _some_at_a_time(
    graph: Graph,
    theta: Floats,
    arrays: Sequence[Floats],
    made: Callable[[Sequence[Any], int], Floats],
) -> Floats:
    """What is made of the nodes' numbers, for as many rows at once as there is memory for."""
    m = len(arrays[0]) if arrays else 1
    flat = [array.reshape(m, -1) for array in arrays]
    at_once = max(1, _AT_ONCE // len(graph))
    parts = []
    for first in range(0, m, at_once):
        some = [array[first : first + at_once] for array in flat]
        values = values_of(graph, leaves(graph, theta, some))
        parts.append(made(values, min(m, first + at_once) - first))
    return np.concatenate(parts)
