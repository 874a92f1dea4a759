"""The stages from a scalar graph to programs, each from one value to the next.

::

    Graph                     the scalar operations, as they were recorded
    Canonical                 one form, however it was written
    Program of outputs        scalars of one kind as arrays, sums of products as matrix products,
                              recurrences as loops
    Program of the cost       their mean over the samples
    Program of both           and its gradient

Arrays get their names beside them: layers from labels and from where they stand, adjoints from layers. A
backend reads the last of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autobp.compiler.canonical import canonicalise
from autobp.compiler.differentiate import differentiate
from autobp.compiler.group import group
from autobp.compiler.loops.building import roll
from autobp.compiler.names import name_backward, name_forward
from autobp.compiler.total import mean_cost
from autobp.ir import Array, Indices, Program, Shape
from autobp.reading.graph import Graph
from autobp.reading.labels import array_name


@dataclass(frozen=True)
class Signature:
    """What a compiled function takes and gives.

    Attributes:
        labels: of the parameters, "W1[2,3]" or "" for each.
        arguments: what the arguments are called.
        samples: the shape of one sample of each argument.
        result_shape: of the outputs for one sample; None where the result is a cost.
    """

    labels: Sequence[str]
    arguments: Sequence[str]
    samples: Sequence[Shape]
    result_shape: Shape | None


@dataclass(frozen=True)
class Compiled:
    """The programs of one graph.

    Attributes:
        programs: by the name of the function that each becomes.
        scalars: of the arrays that hold scalar nodes, which ones, by position; -1 for none.
    """

    programs: Mapping[str, Program]
    scalars: Mapping[Array, Indices]


def programs_of(graph: Graph, signature: Signature, loops: bool = False) -> Compiled:
    """The programs of a graph of one sample.

    Args:
        loops: whether recurrences become loops, or are written out step by step.
    """
    canonical = canonicalise(graph)
    n_parameters, samples = len(signature.labels), signature.samples
    taken = {*signature.arguments, *map(array_name, signature.labels)}
    rolled = roll(canonical, n_parameters, samples, taken) if loops else None
    unnamed, scalars = rolled or group(canonical, n_parameters, samples)
    outputs = name_forward(unnamed, signature.arguments, signature.labels)
    if signature.result_shape is not None:
        return Compiled({"value": replace(outputs, result_shape=signature.result_shape)}, scalars)
    value = mean_cost(outputs)
    gradient, adjoints = differentiate(outputs)
    both = replace(value, results=(*value.results, gradient))
    return Compiled({"value": value, "cost_and_gradient": name_backward(both, adjoints)}, scalars)
