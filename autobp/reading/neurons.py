"""All neurons of a graph, and what belongs to each: as a trace has them, or as labels tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autobp.engine import Value
from autobp.nn import Trace
from autobp.reading.graph import Graph
from autobp.reading.layers import NeuronInGraph, WeightedSums, activation_of, labelled_parameters


@dataclass(frozen=True)
class Neurons:
    """The neurons of a graph, and what belongs to a layer without belonging to one neuron.

    Attributes:
        neurons: of every layer.
        inside: for each of them the nodes of its computation, z and a among them, and the parameters that
            only it uses.
        inputs: the leaves that the first layer takes in.
        shared: for each layer's number, the nodes that several of its neurons use.
    """

    neurons: Sequence[NeuronInGraph]
    inside: Sequence[Sequence[int]]
    inputs: Sequence[int]
    shared: dict[int, list[int]]

    def layers(self) -> list[int]:
        """The numbers of the layers there are, in order."""
        return sorted({neuron.layer for neuron in self.neurons})


def find_neurons(graph: Graph, trace: Trace | None = None) -> Neurons:
    """The neurons in a graph: those of the trace, or those that the labels tell of."""
    parameters = labelled_parameters(graph)
    if trace is None:
        neurons, bodies = _from_labels(graph)
        inputs = _inputs(graph, neurons, bodies) - parameters.keys()
    else:
        neurons, bodies = _from_trace(graph, trace)
        inputs = set(_numbers(graph, trace.a[0]))
    owners: dict[int, set[int]] = defaultdict(set)
    for i, body in enumerate(bodies):
        for node in body:
            owners[node].add(i)
    leaves = [node for node in range(len(graph)) if graph.is_leaf(node)]
    for leaf in leaves:
        # a parameter stays in its layer though a penalty uses it as well
        if leaf in parameters or all(use in owners for use in graph.consumers[leaf]):
            owners[leaf] = {i for use in graph.consumers[leaf] for i in owners.get(use, ())}
    outside = set(inputs)
    if trace is None:
        outside.update(leaf for leaf in leaves if leaf not in parameters)
    inside: list[list[int]] = [[] for _ in neurons]
    shared: dict[int, list[int]] = defaultdict(list)
    for node in sorted(owners):
        owned_by = owners[node]
        in_layers = {neurons[i].layer for i in owned_by}
        if node in outside or len(in_layers) != 1:
            continue
        if len(owned_by) == 1:
            inside[next(iter(owned_by))].append(node)
        else:
            shared[next(iter(in_layers))].append(node)
    return Neurons(neurons, inside, sorted(inputs), dict(shared))


def _inputs(graph: Graph, neurons: Sequence[NeuronInGraph], bodies: Sequence[set[int]]) -> set[int]:
    """The leaves that neurons of the first layer take in, parameters among them."""
    inside = {node for body in bodies for node in body}
    operands = {
        parent
        for body, neuron in zip(bodies, neurons, strict=True)
        if neuron.layer == 1
        for node in body
        for parent in graph.parents[node]
    }
    return {node for node in operands - inside if graph.is_leaf(node)}


def _numbers(graph: Graph, values: Iterable[Value]) -> list[int]:
    """The numbers of those Values that are in the graph."""
    return [number for value in values if (number := graph.number(value)) is not None]


def _from_trace(graph: Graph, trace: Trace) -> tuple[list[NeuronInGraph], list[set[int]]]:
    neurons, bodies = [], []
    for layer in range(1, len(trace.z)):
        below = set(_numbers(graph, trace.a[layer - 1]))
        ends = below.union(_numbers(graph, trace.z[layer]))
        for j, values in enumerate(zip(trace.z[layer], trace.a[layer], strict=True), start=1):
            z, a = map(graph.number, values)
            if z is None:
                continue
            neurons.append(NeuronInGraph(layer, j, z, a))
            body = _back_from(graph, z, below)
            if a is not None and a != z:
                body |= _back_from(graph, a, ends) | {a}
            bodies.append(body)
    return neurons, bodies


def _back_from(graph: Graph, start: int, ends: set[int]) -> set[int]:
    """The computed nodes that start depends on, itself included, up to ends and without them."""
    found: set[int] = set()
    stack = [start]
    while stack:
        node = stack.pop()
        if node in found or graph.is_leaf(node):
            continue
        found.add(node)
        stack.extend(parent for parent in graph.parents[node] if parent not in ends)
    return found


def _from_labels(graph: Graph) -> tuple[list[NeuronInGraph], list[set[int]]]:
    """Of the weighted sums those that hold all of a neuron's parameters."""
    parameters = labelled_parameters(graph)
    sums = WeightedSums(graph, parameters)
    members: dict[tuple[int, int], set[int]] = defaultdict(set)
    for number, own in parameters.items():
        members[own.layer, own.j].add(number)
    neurons, bodies = [], []
    for z, neuron in enumerate(sums.owner):
        if neuron is None or not sums.is_z(z):
            continue
        body: set[int] = set()
        held: set[int] = set()
        stack = [z]
        while stack:
            node = stack.pop()
            if node not in body:
                body.add(node)
                operands = graph.parents[node]
                stack.extend(p for p in operands if sums.owner[p] == neuron and p not in parameters)
                held.update(p for p in operands if p in members[neuron])
        if held != members[neuron]:
            continue
        a = activation_of(graph, z)
        if a is not None:
            body.add(a)
        elif all(sums.owner[use] is not None for use in graph.consumers[z]):
            a = z  # linear: the next layer, or nothing, takes z itself
        neurons.append(NeuronInGraph(*neuron, z, a))
        bodies.append(body)
    return neurons, bodies
