"""Finding a network's neurons in a graph of scalars, by the labels of its parameters or by a trace."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from autobp.engine import Value
from autobp.nn import ACTIVATIONS, Trace
from autobp.ops import ADD, MULTIPLY

_WEIGHT = re.compile(r"W(\d+)\[(\d+),(\d+)\]")
_BIAS = re.compile(r"b(\d+)\[(\d+)\]")


@dataclass
class NeuronInGraph:
    """One neuron's computation for one sample.

    Attributes:
        layer, index: counted from 1.
        z: the weighted input; its grad is δ.
        a: the activation; z itself in a linear neuron, None where it could not be told.
        inside: the nodes of the computation, z and a among them, and the parameters only it uses.
    """

    layer: int
    index: int
    z: Value
    a: Value | None
    inside: list[Value] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As labels write it, "1[2]" for the second neuron of the first layer."""
        return f"{self.layer}[{self.index}]"


@dataclass
class Layers:
    """The neurons of a graph, and what belongs to a layer without belonging to one neuron.

    Attributes:
        neurons: of every layer.
        inputs: the leaves that the first layer takes in.
        shared: for each layer's number, the nodes that several of its neurons use.
    """

    neurons: list[NeuronInGraph]
    inputs: list[Value]
    shared: dict[int, list[Value]]

    def numbers(self) -> list[int]:
        """The layers there are, in order."""
        return sorted({neuron.layer for neuron in self.neurons})


def find_layers(order: list[Value], trace: Trace | None = None) -> Layers:
    """The neurons in a graph, given in topological order: those of the trace, or those the labels tell of."""
    uses: dict[Value, list[Value]] = defaultdict(list)
    for node in order:
        for parent in node.parents:
            uses[parent].append(node)
    neurons, bodies = _from_labels(order, uses) if trace is None else _from_trace(trace, set(order))
    owners: dict[Value, set[int]] = defaultdict(set)
    for i, body in enumerate(bodies):
        for node in body:
            owners[node].add(i)
    for node in order:
        if not node.is_leaf:
            continue
        # a parameter stays in its layer though a penalty uses it as well
        if all(use in owners for use in uses[node]) or _is_parameter(node):
            owners[node] = {i for use in uses[node] for i in owners.get(use, ())}
    inputs = set() if trace is None else set(trace.a[0])
    if trace is None:
        inside = {node for body in bodies for node in body}
        for body, neuron in zip(bodies, neurons, strict=True):
            if neuron.layer == 1:
                operands = {parent for node in body for parent in node.parents} - inside
                inputs |= {node for node in operands if node.is_leaf and not _is_parameter(node)}
    shared: dict[int, list[Value]] = defaultdict(list)
    for node in order:
        owned_by = owners.get(node, set())
        in_layers = {neurons[i].layer for i in owned_by}
        is_input = node in inputs or (node.is_leaf and not _is_parameter(node) and trace is None)
        if is_input or len(in_layers) != 1:
            continue
        if len(owned_by) == 1:
            neurons[next(iter(owned_by))].inside.append(node)
        else:
            shared[next(iter(in_layers))].append(node)
    return Layers(neurons, [node for node in order if node in inputs], dict(shared))


def _is_parameter(node: Value) -> bool:
    return node.is_leaf and bool(_WEIGHT.fullmatch(node.label) or _BIAS.fullmatch(node.label))


def _from_trace(trace: Trace, present: set[Value]) -> tuple[list[NeuronInGraph], list[set[Value]]]:
    neurons, bodies = [], []
    for layer in range(1, len(trace.z)):
        ends = {*trace.a[layer - 1], *trace.z[layer]}
        for j, (z, a) in enumerate(zip(trace.z[layer], trace.a[layer], strict=True), start=1):
            if z not in present:
                continue
            neurons.append(NeuronInGraph(layer, j, z, a if a in present else None))
            body = _back_from([z], set(trace.a[layer - 1]))
            if a in present and a is not z:
                body |= _back_from([a], ends) | {a}
            bodies.append(body & present)
    return neurons, bodies


def _back_from(starts: Iterable[Value], ends: set[Value]) -> set[Value]:
    """The computed nodes that starts depend on, themselves included, up to ends and without them."""
    found: set[Value] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node in found or node.is_leaf:
            continue
        found.add(node)
        stack.extend(parent for parent in node.parents if parent not in ends)
    return found


def _from_labels(
    order: list[Value], uses: dict[Value, list[Value]]
) -> tuple[list[NeuronInGraph], list[set[Value]]]:
    """z is b + Σ w·x: products with one weight as a factor, added up, that hold all a neuron's parameters."""
    parameters: dict[tuple[int, int], set[Value]] = defaultdict(set)
    belongs: dict[Value, tuple[int, int]] = {}
    for node in order:
        found = (_WEIGHT.fullmatch(node.label) or _BIAS.fullmatch(node.label)) if node.is_leaf else None
        if found:
            belongs[node] = int(found[1]), int(found[2])
            parameters[belongs[node]].add(node)
    sums: dict[Value, tuple[int, int]] = {}
    for node in order:
        parents = node.parents
        keys = [belongs.get(parent) for parent in parents]
        if node.operation is MULTIPLY and sum(key is not None for key in keys) == 1:
            sums[node] = next(key for key in keys if key is not None)
        elif node.operation is ADD:
            kinds = {sums.get(p) or (belongs.get(p) if _BIAS.fullmatch(p.label) else None) for p in parents}
            key = next(iter(kinds))
            if len(kinds) == 1 and key is not None:
                sums[node] = key
    neurons, bodies = [], []
    for node, key in sums.items():
        if any(sums.get(use) == key for use in uses[node]):
            continue
        body, stack = set(), [node]
        held: set[Value] = set()
        while stack:
            term = stack.pop()
            if term not in body:
                body.add(term)
                stack.extend(parent for parent in term.parents if parent in sums and sums[parent] == key)
                held.update(parent for parent in term.parents if belongs.get(parent) == key)
        if held != parameters[key]:
            continue
        a: Value | None = None
        after = uses[node]
        if len(after) == 1 and after[0].operation is not None and after[0].operation.name in ACTIVATIONS:
            a = after[0]
            body.add(a)
        elif all(use in sums for use in after):
            a = node  # linear: the next layer, or nothing, takes z itself
        neurons.append(NeuronInGraph(*key, node, a))
        bodies.append(body)
    return neurons, bodies
