"""Neurons, as the labels of parameters tell: z as a weighted sum, its activation, the softmax of a layer.

Labels only say which layer and neuron a parameter belongs to (:mod:`autobp.reading.labels`). The rest is
structure: z is a sum of products with one neuron's weights, perhaps with its bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from autobp.ops import (
    ABS,
    ADD,
    CONSTANT_POWER,
    DIVIDE,
    EXP,
    EXPM1,
    LOG,
    LOG1P,
    MULTIPLY,
    NEGATIVE,
    SIGN_OF,
    SQRT,
    STOP_GRADIENT,
    SUBTRACT,
)
from autobp.reading.graph import Graph
from autobp.reading.labels import Parameter, parameter

#: What costs and penalties do to a z, rather than a layer.
_OF_COSTS: Final = (ABS, CONSTANT_POWER, EXP, EXPM1, LOG, LOG1P, NEGATIVE, SIGN_OF, SQRT, STOP_GRADIENT)


@dataclass(frozen=True)
class Term:
    """A term of a z: a parameter, its number, and that of its factor; None for a bias that is added."""

    parameter: Parameter
    number: int
    factor: int | None


@dataclass(frozen=True)
class NeuronInGraph:
    """One neuron's computation for one sample.

    Attributes:
        layer, index: counted from 1.
        z: the weighted input; its grad is δ.
        a: the activation; z itself in a linear neuron, None where it could not be told.
        terms: of z, in the order in which they were added, where labels tell them.
    """

    layer: int
    index: int
    z: int
    a: int | None
    terms: tuple[Term, ...] = ()

    @property
    def output(self) -> int:
        """The activation; z where it could not be told."""
        return self.z if self.a is None else self.a

    @property
    def name(self) -> str:
        """As labels write it, "1[2]" for the second neuron of the first layer."""
        return f"{self.layer}[{self.index}]"


def labelled_parameters(graph: Graph) -> dict[int, Parameter]:
    """What the labels of leaves say, by the leaves' numbers."""
    found = {n: parameter(label) for n, label in sorted(graph.labels.items()) if graph.is_leaf(n)}
    return {number: own for number, own in found.items() if own is not None}


class WeightedSums:
    """The weighted sums of a graph.

    Attributes:
        graph: the graph.
        parameters: its parameters by number.
        owner: for each node the (layer, neuron) of whose z it is a term or a partial sum, or None.
    """

    def __init__(self, graph: Graph, parameters: Mapping[int, Parameter]) -> None:
        self.graph = graph
        self.parameters = parameters
        self.owner: list[tuple[int, int] | None] = [None] * len(graph)
        for number, (op, parents) in enumerate(zip(graph.operations, graph.parents, strict=True)):
            own = parameters.get(number)
            if own is not None:
                self.owner[number] = (own.layer, own.j) if own.i is None else None
            elif op is MULTIPLY:
                weights = [parameters[p] for p in parents if p in parameters]
                if len(weights) == 1:
                    self.owner[number] = (weights[0].layer, weights[0].j)
            elif op is ADD:
                left, right = parents
                if self.owner[left] == self.owner[right]:
                    self.owner[number] = self.owner[left]
                elif self.owner[left] is None and is_zero(graph, left):  # sum() starts from 0
                    self.owner[number] = self.owner[right]

    def is_z(self, number: int) -> bool:
        """Whether a node is a weighted sum, and no part of a larger one."""
        neuron = self.owner[number]
        if neuron is None or number in self.parameters:
            return False
        return all(self.owner[above] != neuron for above in self.graph.consumers[number])

    def whole(self, number: int, neuron: tuple[int, int]) -> int | None:
        """The whole z of a term or a partial sum; None where it is no part of that neuron's z."""
        if self.owner[number] != neuron:
            return None
        while True:
            consumers = self.graph.consumers[number]
            above = [c for c in consumers if self.owner[c] == neuron]
            if not above:
                return number
            if len(above) > 1 or len(consumers) > 1:
                return None
            number = above[0]

    def terms(self, z: int) -> tuple[Term, ...] | None:
        """The terms of a z in the order in which they were added; None where one parameter is there twice."""
        terms: list[Term] = []
        stack = [z]
        while stack:
            number = stack.pop()
            operation, parents = self.graph.operations[number], self.graph.parents[number]
            if number in self.parameters:
                terms.append(Term(self.parameters[number], number, None))
            elif operation is ADD:
                stack.extend(reversed(parents))
            elif operation is MULTIPLY:
                left, right = parents
                if left not in self.parameters:
                    left, right = right, left
                terms.append(Term(self.parameters[left], left, right))
            elif not is_zero(self.graph, number):
                return None
        return tuple(terms) if len({term.parameter for term in terms}) == len(terms) else None


def is_zero(graph: Graph, number: int) -> bool:
    """Whether a node is a plain 0."""
    return graph.is_leaf(number) and number not in graph.labels and graph.values[number] == 0.0


def activation_of(graph: Graph, z: int) -> int | None:
    """The activation of a z, where it is one operation of z alone and the only use of z; else None.

    Any operation of one operand counts, a registered one too, but for those that costs are made of.
    """
    if len(graph.consumers[z]) != 1:
        return None
    (use,) = graph.consumers[z]
    operation = graph.operations[use]
    if operation is None or operation.arity != 1 or operation.inline or operation in _OF_COSTS:
        return None
    return use


def softmax_of(graph: Graph, zs: Mapping[int, int]) -> dict[int, int]:
    """The a of each z, by the same keys, where each is exp(z - s) over one sum of all of these; else none."""
    found: dict[int, int] = {}
    totals: set[int] = set()
    for j, z in zs.items():
        shifted = [z, *[c for c in graph.consumers[z] if graph.operations[c] is SUBTRACT]]
        exponentials = [c for s in shifted for c in graph.consumers[s] if graph.operations[c] is EXP]
        quotients = [
            c
            for e in exponentials
            for c in graph.consumers[e]
            if graph.operations[c] is DIVIDE and graph.parents[c][0] == e
        ]
        if len(quotients) != 1:
            return {}
        totals.add(graph.parents[quotients[0]][1])
        found[j] = quotients[0]
    if len(totals) != 1 or len(zs) < 2:
        return {}
    # one total of all: at other z too, for it is a sum of just these exponentials
    parts: list[int] = []
    stack = list(totals)
    while stack:
        number = stack.pop()
        if graph.operations[number] is ADD:
            stack.extend(graph.parents[number])
        elif not is_zero(graph, number):
            parts.append(number)
    return found if sorted(parts) == sorted(graph.parents[a][0] for a in found.values()) else {}
