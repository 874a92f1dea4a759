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

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

from autobp.compiler.canonical import Canonical, canonicalise
from autobp.compiler.differentiate import differentiate, has_infinite_slopes
from autobp.compiler.loops.building import roll
from autobp.compiler.loops.finding import Found, Limits, Note, loops_of
from autobp.compiler.names import name_backward, name_forward
from autobp.compiler.total import mean_cost
from autobp.compiler.without_loops import without_loops
from autobp.ir import Array, Indices, Loop, Program, Shape
from autobp.ir.substituting import substituted
from autobp.reading.graph import Graph
from autobp.reading.labels import array_name

#: Of the loops that are found where nothing else is asked for.
LIMITS = Limits()


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
        adjoints: of the arrays that have one of their own, up to a factor for all of it.
        infinite_slopes: whether a derivative somewhere may be infinite for finite parameters and data.
        notes: why what repeats in the graph is no loop.
    """

    programs: Mapping[str, Program]
    scalars: Mapping[Array, Indices]
    adjoints: Mapping[Array, Array]
    infinite_slopes: bool = False
    notes: Sequence[Note] = ()

    @property
    def has_loops(self) -> bool:
        """Whether there is a loop in them."""
        return any(isinstance(x, Loop) for program in self.programs.values() for x in program.arrays)


@dataclass(frozen=True)
class Outputs:
    """The program of a graph's outputs, with names for its arguments and layers.

    Attributes:
        outputs: whose result is flat; a cost's has one element.
        scalars: of the arrays that hold scalar nodes, which ones, by position; -1 for none.
        notes: why what repeats in the graph is no loop.
    """

    outputs: Program
    scalars: Mapping[Array, Indices]
    notes: Sequence[Note]


class Reading:
    """What is read of a graph before anything is made of it, each when it is first needed."""

    def __init__(self, graph: Graph, loops: Limits | None = LIMITS) -> None:
        self.graph, self.loops = graph, loops

    @cached_property
    def canonical(self) -> Canonical:
        """The graph in canonical form."""
        return canonicalise(self.graph)

    @cached_property
    def found(self) -> Found:
        """The recurrences that become loops."""
        return Found(self.canonical) if self.loops is None else loops_of(self.canonical, self.loops)


def outputs_of(graph: Graph | Reading, signature: Signature, loops: Limits | None = LIMITS) -> Outputs:
    """The program of the outputs of a graph of one sample; ``loops`` as for :func:`programs_of`."""
    reading = graph if isinstance(graph, Reading) else Reading(graph, loops)
    canonical, found, loops = reading.canonical, reading.found, reading.loops
    n_parameters, samples = len(signature.labels), signature.samples
    if found.levels is None or loops is None:
        unnamed, scalars = without_loops(canonical, n_parameters, samples)
    else:
        taken = {*signature.arguments, *map(array_name, signature.labels)}
        unnamed, scalars = roll(found.graph, found.levels, n_parameters, samples, taken, loops)
    outputs = name_forward(unnamed, signature.arguments, signature.labels)
    return Outputs(replace(outputs, result_shape=signature.result_shape), scalars, found.notes)


def programs_of(graph: Graph | Reading, signature: Signature, loops: Limits | None = LIMITS) -> Compiled:
    """The programs of a graph of one sample.

    Args:
        graph: or what was read of it, loops too.
        loops: which recurrences become loops; None where all are written out step by step.
    """
    forward = outputs_of(graph, signature, loops)
    if signature.result_shape is not None:
        return Compiled({"value": forward.outputs}, forward.scalars, {}, notes=forward.notes)
    return of_cost(forward)


def of_cost(forward: Outputs, recomputed: Set[Loop] = frozenset()) -> Compiled:
    """The programs of the mean over the samples of an output of one element, and of its gradient.

    Args:
        recomputed: the loops whose steps the way back computes once more.
    """
    outputs, scalars = forward.outputs, forward.scalars
    value = mean_cost(outputs)
    derivative = differentiate(outputs, recomputed)
    made = substituted((*value.results, derivative.gradient), derivative.loops)
    names = {made.get(x, x): name for x, name in {**value.names, **derivative.names}.items()}
    both = replace(
        value, results=(*map(made.__getitem__, value.results), made[derivative.gradient]), names=names
    )
    adjoints = {made.get(x, x): made.get(y, y) for x, y in derivative.adjoints.items()}
    programs = {"value": value, "cost_and_gradient": name_backward(both, adjoints)}
    scalars = {**scalars, **{made[x]: nodes for x, nodes in scalars.items() if x in made}}
    return Compiled(programs, scalars, adjoints, has_infinite_slopes(outputs), forward.notes)
