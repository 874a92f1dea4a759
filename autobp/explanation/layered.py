"""The network of layers in a scalar graph, as far as one derivative needs it.

The labels of parameters (``W1[2,3]``, ``b1[2]``) say which layer and which neurons they belong to. The rest
is structure: z is a sum of products with one neuron's weights; a is what the next layer multiplies by its
weights; a sample is one use of the parameter; the cost of a sample is the last node that belongs to that
sample alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from autobp.explanation.derivation import Graph
from autobp.ops import ADD, CONSTANT_POWER, DIVIDE, EXP, MULTIPLY, SUBTRACT

_WEIGHT: Final = re.compile(r"(W|w|θ|Θ|theta|Theta)\^?[\[({]?(\d+)[\])}]?_?[\[({](\d+)\s*,\s*(\d+)[\])}]")
_BIAS: Final = re.compile(r"(B|b)\^?[\[({]?(\d+)[\])}]?_?[\[({](\d+)[\])}]")
_COLUMN_0_IS_BIAS: Final = ("θ", "Θ", "theta", "Theta")
_OUTPUT_ACTIVATIONS: Final = frozenset(
    ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "erf", "sin")
)
_LARGEST_ACTIVATION: Final = 60  # operations between z and a


@dataclass(frozen=True)
class Parameter:
    """Where a parameter belongs: the weight to neuron j of a layer from i, or the bias where i is None.

    ``layer`` is the number in the label; layers are counted from 1 by :func:`find`.
    """

    layer: int
    j: int
    i: int | None


@dataclass(frozen=True)
class Neuron:
    """A z and what it is made of.

    Attributes:
        z: its position.
        a: the position of its output; z itself where the layer is linear or the activation is unknown.
        terms: (parameter, position of the parameter, position of its factor or None) of each term.
    """

    z: int
    a: int
    terms: tuple[tuple[Parameter, int, int | None], ...]


@dataclass
class Sample:
    """One use of the parameter.

    Attributes:
        cost: the position of the sample's own cost; of the root, where there is no such node.
        layers: from the parameter's layer to the output, neurons by their number. In the first only the one
            neuron that the parameter leads to, or those that an input leads to.
        factor: the position of what the parameter is multiplied by; None for a bias that is added.
    """

    cost: int
    factor: int | None
    layers: list[dict[int, Neuron]] = field(default_factory=list)


@dataclass(frozen=True)
class Network:
    """What of a network one derivative runs through.

    Attributes:
        by: what it is taken by: a "parameter", a neuron's "z", or a "factor" of weights, which an input and
            the output of a neuron below the last layer are.
        layer, j, i: the parameter's; layers count from 1, i is None for a bias. Of a z the neuron's, without
            i; of a factor its number i, and the layer whose weights it is multiplied by, without j.
        depth: the number of layers.
        samples: in the order in which they were computed.
        penalty: positions of squares of the parameter itself, as in an L2 penalty.
        others: positions of other functions of the parameter alone, as in an L1 penalty.
        outputs: the first sample's output neurons by number, those too that do not depend on the parameter;
            only those that do, where the samples' costs cannot be told apart.
        softmax: whether the outputs are the softmax of the last z.
    """

    by: str
    layer: int
    j: int | None
    i: int | None
    depth: int
    samples: tuple[Sample, ...]
    penalty: tuple[int, ...]
    others: tuple[int, ...]
    outputs: dict[int, Neuron]
    softmax: bool


def parameter(label: str) -> Parameter | None:
    """What a label says: ``W1[2,3]``, ``w^(1)_{2,3}``, ``θ1[2,0]`` (a bias), ``b1[2]``; None for others."""
    match = _WEIGHT.fullmatch(label)
    if match:
        i = int(match[4])
        bias = i == 0 and match[1] in _COLUMN_0_IS_BIAS
        return Parameter(int(match[2]), int(match[3]), None if bias else i)
    match = _BIAS.fullmatch(label)
    return Parameter(int(match[2]), int(match[3]), None) if match else None


def find(graph: Graph, target: int) -> Network | None:
    """The network that the node at a position belongs to; None where it is not one of layers."""
    parameters: dict[int, Parameter] = {}
    for position, node in enumerate(graph.order):
        if node.is_leaf and node.label:
            found = parameter(node.label)
            if found is not None:
                parameters[position] = found
    ranks = {
        layer: rank for rank, layer in enumerate(sorted({p.layer for p in parameters.values()}), start=1)
    }
    parameters = {k: Parameter(ranks[p.layer], p.j, p.i) for k, p in parameters.items()}
    owner = _neurons(graph, parameters)
    depth = len(ranks)
    if target not in parameters:
        return _find_quantity(graph, parameters, owner, target, depth)
    own = parameters[target]
    penalty: list[int] = []
    others: list[int] = []
    tops: dict[int, None] = {}
    for use in graph.consumers[target]:
        if _is_square(graph, use, target):
            penalty.append(use)
            continue
        if owner[use] != (own.layer, own.j) and _is_of_one(graph, use, target):
            others.append(use)
            continue
        top = _top(graph, owner, use, (own.layer, own.j))
        if top is None:
            return None
        tops[top] = None
    groups = [[top] for top in sorted(tops)]
    samples = _samples(graph, parameters, owner, groups, [*penalty, *others], target)
    if samples is None or any(len(sample.layers) != depth - own.layer + 1 for sample in samples):
        return None
    outputs, softmax = _last_layer(graph, parameters, owner, samples, depth)
    return Network(
        "parameter",
        own.layer,
        own.j,
        own.i,
        depth,
        tuple(samples),
        tuple(penalty),
        tuple(others),
        outputs,
        softmax,
    )


def _find_quantity(
    graph: Graph,
    parameters: dict[int, Parameter],
    owner: Sequence[tuple[int, int] | None],
    target: int,
    depth: int,
) -> Network | None:
    """The network in which a node is a z, an input, or the output of a neuron below the last layer."""
    neuron = owner[target]
    j: int | None = None
    i: int | None = None
    if neuron is not None:
        layer, j = neuron
        if _top(graph, owner, target, neuron) != target:
            return None
        tops = {target}
    else:
        weights = [
            parameters[p] for use in graph.consumers[target] for p in graph.parents[use] if p in parameters
        ]
        found = {
            _top(graph, owner, use, neuron)
            for use in graph.consumers[target]
            if (neuron := owner[use]) is not None
        }
        tops = {top for top in found if top is not None}
        places = {(weight.layer, weight.i) for weight in weights}
        if len(places) != 1 or not len(tops) == len(weights) == len(graph.consumers[target]):
            return None
        layer, i = places.pop()
        if i is None:
            return None
    samples = _samples(graph, parameters, owner, [sorted(tops)], [], target)
    if samples is None or len(samples[0].layers) != depth - layer + 1:
        return None
    outputs, softmax = _last_layer(graph, parameters, owner, samples, depth)
    by = "z" if i is None else "factor"
    return Network(by, layer, j, i, depth, tuple(samples), (), (), outputs, softmax)


def _last_layer(
    graph: Graph,
    parameters: dict[int, Parameter],
    owner: Sequence[tuple[int, int] | None],
    samples: Sequence[Sample],
    depth: int,
) -> tuple[dict[int, Neuron], bool]:
    """The ``outputs`` of a Network, and whether they are a softmax."""
    outputs = dict(samples[0].layers[-1]) if samples else {}
    if samples and (len(samples) == 1 or samples[0].cost != len(graph.order) - 1):
        outputs = _outputs(graph, parameters, owner, samples[0].cost, depth) or outputs
    softmax = _softmax(graph, outputs)
    return softmax or outputs, bool(softmax)


def _neurons(graph: Graph, parameters: dict[int, Parameter]) -> list[tuple[int, int] | None]:
    """For each node, the (layer, neuron) of whose z it is a term or a partial sum."""
    owner: list[tuple[int, int] | None] = [None] * len(graph.order)
    for position, node in enumerate(graph.order):
        own = parameters.get(position)
        if own is not None:
            owner[position] = (own.layer, own.j) if own.i is None else None
        elif node.operation is MULTIPLY:
            left, right = graph.parents[position]
            weights = [parameters[p] for p in (left, right) if p in parameters]
            if len(weights) == 1:
                owner[position] = (weights[0].layer, weights[0].j)
        elif node.operation is ADD:
            left, right = graph.parents[position]
            if owner[left] == owner[right]:
                owner[position] = owner[left]
            elif owner[left] is None and _is_zero(graph, left):  # sum() starts from 0
                owner[position] = owner[right]
    return owner


def _outputs(
    graph: Graph,
    parameters: dict[int, Parameter],
    owner: Sequence[tuple[int, int] | None],
    cost: int,
    layer: int,
) -> dict[int, Neuron]:
    """The neurons of the last layer that a cost depends on; none where one is there twice."""
    found: dict[int, Neuron] = {}
    seen: set[int] = set()
    stack = [cost]
    while stack:
        position = stack.pop()
        if position in seen:
            continue
        seen.add(position)
        neuron = owner[position]
        if neuron is not None and neuron[0] == layer and position not in parameters:
            terms = _terms(graph, parameters, position)
            if neuron[1] in found or terms is None:
                return {}
            found[neuron[1]] = Neuron(position, _output(graph, position), terms)
        elif neuron is None:
            stack.extend(graph.parents[position])
    return dict(sorted(found.items()))


def _softmax(graph: Graph, outputs: dict[int, Neuron]) -> dict[int, Neuron]:
    """The outputs with their a, where each is exp(z - s) over one sum of these; else none."""
    found: dict[int, Neuron] = {}
    totals: set[int] = set()
    for j, neuron in outputs.items():
        above = graph.consumers[neuron.z]
        shifted = [neuron.z, *[c for c in above if graph.order[c].operation is SUBTRACT]]
        exponentials = [c for s in shifted for c in graph.consumers[s] if graph.order[c].operation is EXP]
        quotients = [
            c
            for e in exponentials
            for c in graph.consumers[e]
            if graph.order[c].operation is DIVIDE and graph.parents[c][0] == e
        ]
        if len(quotients) != 1:
            return {}
        totals.add(graph.parents[quotients[0]][1])
        found[j] = Neuron(neuron.z, quotients[0], neuron.terms)
    if len(totals) != 1 or len(outputs) < 2:
        return {}
    # one total of all: at other z too, for it is a sum of just these exponentials
    parts: list[int] = []
    stack = list(totals)
    while stack:
        position = stack.pop()
        if graph.order[position].operation is ADD:
            stack.extend(graph.parents[position])
        elif not _is_zero(graph, position):
            parts.append(position)
    return found if sorted(parts) == sorted(graph.parents[n.a][0] for n in found.values()) else {}


def _is_zero(graph: Graph, position: int) -> bool:
    node = graph.order[position]
    return node.is_leaf and not node.label and node._data == 0.0


def _is_square(graph: Graph, position: int, target: int) -> bool:
    node = graph.order[position]
    if node.operation is MULTIPLY:
        return graph.parents[position] == [target, target]
    return node.operation is CONSTANT_POWER and node.constants == (2.0,)


def _is_of_one(graph: Graph, position: int, target: int) -> bool:
    """Whether a node is an operation on the parameter and constants alone."""
    return all(p == target or graph.order[p].is_leaf for p in graph.parents[position])


def _top(
    graph: Graph, owner: Sequence[tuple[int, int] | None], position: int, neuron: tuple[int, int]
) -> int | None:
    """The whole z of a term or a partial sum; None where it is no part of that neuron's z."""
    if owner[position] != neuron:
        return None
    while True:
        above = [c for c in graph.consumers[position] if owner[c] == neuron]
        if not above:
            return position
        if len(above) > 1 or len(graph.consumers[position]) > 1:
            return None
        position = above[0]


def _terms(
    graph: Graph, parameters: dict[int, Parameter], z: int
) -> tuple[tuple[Parameter, int, int | None], ...] | None:
    """The terms of a z in the order in which they were added; None where one parameter is there twice."""
    terms: list[tuple[Parameter, int, int | None]] = []
    stack = [z]
    while stack:
        position = stack.pop()
        node = graph.order[position]
        if position in parameters:
            terms.append((parameters[position], position, None))
        elif node.operation is ADD:
            stack.extend(reversed(graph.parents[position]))
        elif node.operation is MULTIPLY:
            left, right = graph.parents[position]
            if left not in parameters:
                left, right = right, left
            terms.append((parameters[left], left, right))
        elif not _is_zero(graph, position):
            return None
    return tuple(terms) if len({term[0] for term in terms}) == len(terms) else None


def _samples(
    graph: Graph,
    parameters: dict[int, Parameter],
    owner: Sequence[tuple[int, int] | None],
    groups: Sequence[Sequence[int]],
    penalty: Sequence[int],
    target: int,
) -> list[Sample] | None:
    """The samples, where in each the target leads to one group of z; None where it is not so."""
    shared = -1
    sample_of = [0] * len(graph.order)  # 0: none of them; -1: several
    tops = [top for group in groups for top in group]
    for number, group in enumerate(groups, start=1):
        for top in group:
            sample_of[top] = number
    for square in penalty:
        sample_of[square] = len(groups) + 1
    for i in range(min([*tops, *penalty], default=0), len(graph.order)):
        for p in graph.parents[i]:
            if sample_of[p] and sample_of[p] != sample_of[i]:
                sample_of[i] = shared if sample_of[i] else sample_of[p]
    ends: list[list[int]] = [[] for _ in groups]
    zs: list[list[int]] = [[] for _ in groups]
    root = len(graph.order) - 1
    for i, number in enumerate(sample_of):
        above = graph.consumers[i]
        neuron = owner[i]
        is_z = neuron is not None and i not in parameters and not any(owner[c] == neuron for c in above)
        if not 1 <= number <= len(groups):
            if number == shared and is_z:
                return None  # one neuron sees several uses of the parameter: no samples beside each other
            continue
        if is_z:
            zs[number - 1].append(i)
        if i == root or any(sample_of[c] == shared for c in above):
            ends[number - 1].append(i)
    samples = []
    for group, own_ends, own_zs in zip(groups, ends, zs, strict=True):
        sample = _sample(graph, parameters, owner, group, own_ends, own_zs, target)
        if sample is None:
            return None
        samples.append(sample)
    return samples


def _sample(
    graph: Graph,
    parameters: dict[int, Parameter],
    owner: Sequence[tuple[int, int] | None],
    group: Sequence[int],
    ends: Sequence[int],
    zs: Sequence[int],
    target: int,
) -> Sample | None:
    by_layer: dict[int, dict[int, int]] = {}
    for z in zs:
        neuron = owner[z]
        assert neuron is not None
        layer, j = neuron
        if j in by_layer.setdefault(layer, {}):
            return None  # one neuron twice in a sample: weights shared over time or place
        by_layer[layer][j] = z
    layers = sorted(by_layer)
    if layers != list(range(layers[0], layers[0] + len(layers))):
        return None
    if set(by_layer[layers[0]].values()) != set(group):
        return None
    terms: dict[int, tuple[tuple[Parameter, int, int | None], ...]] = {}
    for z in zs:
        found = _terms(graph, parameters, z)
        if found is None:
            return None
        terms[z] = found
    # what the next layer multiplies by its weights is the output a
    outputs: dict[int, int] = {}
    for layer in layers[1:]:
        for z in by_layer[layer].values():
            for own, _, factor in terms[z]:
                below = by_layer[layer - 1].get(own.i) if own.i is not None else None
                if below is None or factor is None:
                    continue
                if outputs.setdefault(below, factor) != factor:
                    return None
    for layer in layers[:-1]:
        for z in by_layer[layer].values():
            if z not in outputs or not _is_function_of(graph, outputs[z], z):
                return None
    for z in by_layer[layers[-1]].values():
        outputs[z] = _output(graph, z)
    sample = Sample(
        ends[0] if len(ends) == 1 else len(graph.order) - 1,
        next((factor for top in group for _, position, factor in terms[top] if position == target), None),
    )
    for layer in layers:
        sample.layers.append({j: Neuron(z, outputs[z], terms[z]) for j, z in sorted(by_layer[layer].items())})
    return sample


def _is_function_of(graph: Graph, a: int, z: int) -> bool:
    """Whether a is computed of z and constants by a few operations."""
    seen: set[int] = set()
    stack = [a]
    reached = False
    while stack:
        position = stack.pop()
        if position == z:
            reached = True
            continue
        if position in seen:
            continue
        seen.add(position)
        if len(seen) > _LARGEST_ACTIVATION:
            return False
        if graph.order[position].is_leaf and graph.order[position].label:
            return False
        stack.extend(graph.parents[position])
    return reached


def _output(graph: Graph, z: int) -> int:
    """The activation of an output z: its only use, where that is an activation; else z itself."""
    if len(graph.consumers[z]) == 1:
        use = graph.consumers[z][0]
        operation = graph.order[use].operation
        if operation is not None and operation.name in _OUTPUT_ACTIVATIONS:
            return use
    return z
