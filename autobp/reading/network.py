"""The network of layers in a graph, as far as one derivative runs through it.

The labels of parameters say which layer and which neurons they belong to. The rest is structure: a is what
the next layer multiplies by its weights; a sample is one use of the parameter; the cost of a sample is the
last node that belongs to that sample alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from autobp.ops import CONSTANT_POWER, MULTIPLY
from autobp.reading.graph import Graph
from autobp.reading.labels import Parameter
from autobp.reading.layers import (
    NeuronInGraph,
    Term,
    WeightedSums,
    activation_of,
    labelled_parameters,
    softmax_of,
)

_LARGEST_ACTIVATION: Final = 60  # operations between z and a
_SHARED: Final = -1


@dataclass
class Sample:
    """One use of the parameter.

    Attributes:
        cost: the number of the sample's own cost; of the root, where there is no such node.
        layers: from the parameter's layer to the output, neurons by their index. In the first only the one
            neuron that the parameter leads to, or those that an input leads to.
        factor: the number of what the parameter is multiplied by; None for a bias that is added.
    """

    cost: int
    factor: int | None
    layers: list[dict[int, NeuronInGraph]] = field(default_factory=list)


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
        penalty: squares of the parameter itself, as in an L2 penalty.
        others: other functions of the parameter alone, as in an L1 penalty.
        outputs: the first sample's output neurons by index, those too that do not depend on the parameter;
            only those that do, where the samples' costs cannot be told apart.
        softmax: whether the outputs are the softmax of the last z.
        beside: the first sample's other neurons whose outputs these take in, by layer and index.
    """

    by: str
    layer: int
    j: int | None
    i: int | None
    depth: int
    samples: tuple[Sample, ...]
    penalty: tuple[int, ...]
    others: tuple[int, ...]
    outputs: dict[int, NeuronInGraph]
    softmax: bool
    beside: tuple[NeuronInGraph, ...]


def find_network(graph: Graph, target: int) -> Network | None:
    """The network that a node belongs to; None where it is not one of layers."""
    parameters = labelled_parameters(graph)
    ranks = {
        layer: rank for rank, layer in enumerate(sorted({p.layer for p in parameters.values()}), start=1)
    }
    parameters = {k: Parameter(ranks[p.layer], p.j, p.i) for k, p in parameters.items()}
    finder = _Finder(WeightedSums(graph, parameters), target, len(ranks))
    return finder.by_parameter(parameters[target]) if target in parameters else finder.by_quantity()


class _Finder:
    """The search for what one derivative runs through, in a graph whose weighted sums are known."""

    def __init__(self, sums: WeightedSums, target: int, depth: int) -> None:
        self.graph = sums.graph
        self.sums = sums
        self.target = target
        self.depth = depth

    def by_parameter(self, own: Parameter) -> Network | None:
        """The network in which the node is a parameter."""
        penalty: list[int] = []
        others: list[int] = []
        tops: dict[int, None] = {}
        for use in self.graph.consumers[self.target]:
            if self._is_square(use):
                penalty.append(use)
                continue
            if self.sums.owner[use] != (own.layer, own.j) and self._is_of_target_alone(use):
                others.append(use)
                continue
            top = self.sums.whole(use, (own.layer, own.j))
            if top is None:
                return None
            tops[top] = None
        samples = self._samples([[top] for top in sorted(tops)], [*penalty, *others])
        if samples is None or any(len(sample.layers) != self.depth - own.layer + 1 for sample in samples):
            return None
        place = own.layer, own.j, own.i
        return self._network("parameter", place, samples, tuple(penalty), tuple(others))

    def by_quantity(self) -> Network | None:
        """The network in which the node is a z, an input, or the output of a neuron below the last layer."""
        graph, sums, target = self.graph, self.sums, self.target
        neuron = sums.owner[target]
        j: int | None = None
        i: int | None = None
        if neuron is not None:
            layer, j = neuron
            if sums.whole(target, neuron) != target:
                return None
            tops = {target}
        else:
            uses = graph.consumers[target]
            weights = [sums.parameters[p] for c in uses for p in graph.parents[c] if p in sums.parameters]
            found = {sums.whole(c, neuron) for c in uses if (neuron := sums.owner[c]) is not None}
            tops = {top for top in found if top is not None}
            places = {(weight.layer, weight.i) for weight in weights}
            if len(places) != 1 or not len(tops) == len(weights) == len(uses):
                return None
            layer, i = places.pop()
            if i is None:
                return None
        samples = self._samples([sorted(tops)], [])
        if samples is None or len(samples[0].layers) != self.depth - layer + 1:
            return None
        return self._network("z" if i is None else "factor", (layer, j, i), samples)

    def _network(
        self,
        by: str,
        place: tuple[int, int | None, int | None],
        samples: Sequence[Sample],
        penalty: tuple[int, ...] = (),
        others: tuple[int, ...] = (),
    ) -> Network:
        outputs = dict(samples[0].layers[-1]) if samples else {}
        if samples and (len(samples) == 1 or samples[0].cost != self.graph.root):
            outputs = self._outputs(samples[0].cost) or outputs
        softmax = softmax_of(self.graph, {j: neuron.z for j, neuron in outputs.items()})
        if softmax:
            outputs = {j: self._neuron(outputs[j].z, softmax[j], outputs[j].terms) for j in outputs}
        beside: tuple[NeuronInGraph, ...] = ()
        if samples:
            layers = samples[0].layers
            known = itertools.chain(*(layer.values() for layer in layers), outputs.values())
            beside = self._beside(list(known))
        return Network(
            by, *place, self.depth, tuple(samples), penalty, others, outputs, bool(softmax), beside
        )

    def _beside(self, known: Sequence[NeuronInGraph]) -> tuple[NeuronInGraph, ...]:
        """The neurons below some, down to the inputs, without those themselves."""
        found: list[NeuronInGraph] = []
        seen = {neuron.output for neuron in known}
        stack = list(known)
        while stack:
            neuron = stack.pop()
            for term in neuron.terms:
                a, i = term.factor, term.parameter.i
                if a is None or i is None or a in seen:
                    continue
                seen.add(a)
                z = self._z_of(a, (neuron.layer - 1, i))
                terms = None if z is None else self.sums.terms(z)
                if z is not None and terms is not None:
                    found.append(self._neuron(z, a, terms))
                    stack.append(found[-1])
        return tuple(sorted(found, key=lambda neuron: (neuron.layer, neuron.index)))

    def _z_of(self, a: int, neuron: tuple[int, int]) -> int | None:
        """The z that an output is a function of; None where it is not one of that neuron's alone."""
        seen: set[int] = set()
        stack = [a]
        while stack and len(seen) <= _LARGEST_ACTIVATION:
            number = stack.pop()
            if self.sums.owner[number] == neuron and self.sums.is_z(number):
                return number if self._is_function_of(a, number) else None
            if number not in seen:
                seen.add(number)
                stack.extend(self.graph.parents[number])
        return None

    def _neuron(self, z: int, a: int | None, terms: tuple[Term, ...]) -> NeuronInGraph:
        owner = self.sums.owner[z]
        assert owner is not None
        return NeuronInGraph(*owner, z, a, terms)

    def _outputs(self, cost: int) -> dict[int, NeuronInGraph]:
        """The neurons of the last layer that a cost depends on; none where one is there twice."""
        found: dict[int, NeuronInGraph] = {}
        seen: set[int] = set()
        stack = [cost]
        while stack:
            number = stack.pop()
            if number in seen:
                continue
            seen.add(number)
            neuron = self.sums.owner[number]
            if neuron is not None and neuron[0] == self.depth and number not in self.sums.parameters:
                terms = self.sums.terms(number)
                if neuron[1] in found or terms is None:
                    return {}
                found[neuron[1]] = self._neuron(number, activation_of(self.graph, number), terms)
            elif neuron is None:
                stack.extend(self.graph.parents[number])
        return dict(sorted(found.items()))

    def _is_square(self, number: int) -> bool:
        """Whether a node is the target's square."""
        operation = self.graph.operations[number]
        if operation is MULTIPLY:
            return self.graph.parents[number] == (self.target, self.target)
        return operation is CONSTANT_POWER and self.graph.constants[number] == (2.0,)

    def _is_of_target_alone(self, number: int) -> bool:
        """Whether a node is an operation on the target and constants alone."""
        return all(p == self.target or self.graph.is_leaf(p) for p in self.graph.parents[number])

    # ------------------------------------------------------------------------------------------- samples

    def _samples(self, groups: Sequence[Sequence[int]], penalty: Sequence[int]) -> list[Sample] | None:
        """The samples, where in each the target leads to one group of z; None where it is not so."""
        graph, n = self.graph, len(groups)
        sample_of = self._sample_of(groups, penalty)
        ends: list[list[int]] = [[] for _ in groups]
        zs: list[list[int]] = [[] for _ in groups]
        for i, sample_number in enumerate(sample_of):
            if not 1 <= sample_number <= n:
                if sample_number == _SHARED and self.sums.is_z(i):
                    return None  # one neuron sees several uses of the parameter: no samples side by side
                continue
            if self.sums.is_z(i):
                zs[sample_number - 1].append(i)
            if i == graph.root or any(sample_of[c] == _SHARED for c in graph.consumers[i]):
                ends[sample_number - 1].append(i)
        samples = []
        for group, own_ends, own_zs in zip(groups, ends, zs, strict=True):
            sample = self._sample(group, own_ends, own_zs)
            if sample is None:
                return None
            samples.append(sample)
        return samples

    def _sample_of(self, groups: Sequence[Sequence[int]], penalty: Sequence[int]) -> list[int]:
        """For each node the number of the group that it depends on, from 1; 0: none of them, -1: several."""
        sample_of = [0] * len(self.graph)
        tops = [top for group in groups for top in group]
        for number, group in enumerate(groups, start=1):
            for top in group:
                sample_of[top] = number
        for square in penalty:
            sample_of[square] = len(groups) + 1
        for i in range(min([*tops, *penalty], default=0), len(self.graph)):
            for p in self.graph.parents[i]:
                if sample_of[p] and sample_of[p] != sample_of[i]:
                    sample_of[i] = _SHARED if sample_of[i] else sample_of[p]
        return sample_of

    def _sample(self, group: Sequence[int], ends: Sequence[int], zs: Sequence[int]) -> Sample | None:
        """One sample, of its z and the last nodes that are its own; None where they make no layers."""
        by_layer = self._by_layer(zs)
        if by_layer is None:
            return None
        layers = sorted(by_layer)
        if layers != list(range(layers[0], layers[0] + len(layers))):
            return None
        if set(by_layer[layers[0]].values()) != set(group):
            return None
        terms: dict[int, tuple[Term, ...]] = {}
        for z in zs:
            found = self.sums.terms(z)
            if found is None:
                return None
            terms[z] = found
        outputs = self._outputs_below(by_layer, layers, terms)
        if outputs is None:
            return None
        own = (term.factor for top in group for term in terms[top] if term.number == self.target)
        sample = Sample(ends[0] if len(ends) == 1 else self.graph.root, next(own, None))
        for layer in layers:
            neurons = sorted(by_layer[layer].items())
            sample.layers.append({j: self._neuron(z, outputs[z], terms[z]) for j, z in neurons})
        return sample

    def _by_layer(self, zs: Sequence[int]) -> dict[int, dict[int, int]] | None:
        """Each layer's z by their index; None where one neuron is there twice: weights shared over time."""
        found: dict[int, dict[int, int]] = {}
        for z in zs:
            neuron = self.sums.owner[z]
            assert neuron is not None
            layer, j = neuron
            if j in found.setdefault(layer, {}):
                return None
            found[layer][j] = z
        return found

    def _outputs_below(
        self, by_layer: dict[int, dict[int, int]], layers: Sequence[int], terms: dict[int, tuple[Term, ...]]
    ) -> dict[int, int | None] | None:
        """The output of each z: what the next layer multiplies by its weights; None where that is no function
        of the z alone."""
        outputs: dict[int, int | None] = {}
        for layer in layers[1:]:
            for z in by_layer[layer].values():
                for term in terms[z]:
                    i = term.parameter.i
                    below = by_layer[layer - 1].get(i) if i is not None else None
                    if below is None or term.factor is None:
                        continue
                    if outputs.setdefault(below, term.factor) != term.factor:
                        return None
        for layer in layers[:-1]:
            for z in by_layer[layer].values():
                a = outputs.get(z)
                if a is None or not self._is_function_of(a, z):
                    return None
        for z in by_layer[layers[-1]].values():
            outputs[z] = activation_of(self.graph, z)
        return outputs

    def _is_function_of(self, a: int, z: int) -> bool:
        """Whether a is computed of z and constants by a few operations."""
        seen: set[int] = set()
        stack = [a]
        reached = False
        while stack:
            number = stack.pop()
            if number == z:
                reached = True
                continue
            if number in seen:
                continue
            seen.add(number)
            if len(seen) > _LARGEST_ACTIVATION:
                return False
            if self.graph.is_leaf(number) and number in self.graph.labels:
                return False
            stack.extend(self.graph.parents[number])
        return reached
