"""A network on a sheet: its quantities under the names that a notation has for them, and how each depends on
the one below. The derivation by layers is written with these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from autobp.engine import BY_HAND
from autobp.explanation.equations import Equation, agrees, equal
from autobp.explanation.formula import Formula, Number, Symbol, multiply
from autobp.explanation.notation import Name, Notation
from autobp.explanation.sheet import Sheet
from autobp.ops import SIGMOID
from autobp.reading.labels import parameter
from autobp.reading.layers import NeuronInGraph
from autobp.reading.network import Network, Sample

MOST_PATHS: Final = 4  # through the layers above; where there are more, δ of the next layer sums them up
LONGEST_FORMULA: Final = 60  # symbols, numbers and signs; nobody reads longer ones


class NotSo(Exception):
    """The derivation does not give the numbers that the graph has."""


def require(x: Formula, number: float) -> None:
    """NotSo, where a formula has not that number."""
    if not agrees(x, number):
        raise NotSo(f"{x!r} is {x.value!r} and not {number!r}")


@dataclass
class LayerError:
    """δ of one neuron.

    Attributes:
        symbol: δ.
        expression: the simplest formula for it, of outputs, targets and weights.
    """

    symbol: Symbol
    expression: Formula


class NetworkSheet:
    """The quantities of a network, for one sample whose number is left out.

    Attributes:
        m: the number of samples.
        sample: the first.
        total, cost: the whole cost and the sample's, the same where the graph has no cost of a sample.
        scales: ∂J/∂C of each sample's cost.
        layers: from the parameter's layer to the output, neurons by their index.
        bottom: what the derivative is taken by.
        j, own: the first neuron that it leads to.
        factor: what a parameter is multiplied by there.
        left: the derivative; left_of_sample: what is derived for one sample.
        errors: δ by layer and neuron, as they are found.
        targets: y of the outputs, as they are found.

    Raises NotSo where a sample's cost does not count.
    """

    def __init__(self, sheet: Sheet, target: int, network: Network, notation: Notation) -> None:
        self.sheet = sheet
        self.graph = sheet.graph
        self.target = target
        self.network = network
        self.notation = notation
        self.m = len(network.samples)
        self.sample = network.samples[0]
        self.total = sheet.symbol(self.graph.root, notation.cost_name())
        self.bottom = self._bottom()
        self.scales = [sheet.adjoint[sample.cost] for sample in network.samples]
        self.costs = [self._cost(number, sample) for number, sample in enumerate(network.samples, start=1)]
        self.cost = self.total if self.sample.cost == self.graph.root else self._cost(None, self.sample)
        if any(scale == 0.0 or not math.isfinite(scale) for scale in self.scales):
            raise NotSo("a sample's cost does not count")
        self.layers = self.sample.layers
        self.errors: dict[tuple[int, int], LayerError] = {}
        self.targets: dict[int, Symbol] = {}
        self._slopes: dict[int, tuple[Symbol, Formula]] = {}
        self._name_everything()
        self.left = sheet.by(self.graph.root, target, (self.total, self.bottom), sheet.adjoint[target])
        self.j, self.own = next(iter(self.layers[0].items()))
        self.factor = self.multiplied_by(network.layer, network.i, self.sample.factor, None)
        self.left_of_sample = self._left_of_sample()

    # ------------------------------------------------------------------------------------------- naming

    def _cost(self, number: int | None, sample: Sample) -> Symbol:
        if sample.cost == self.graph.root:
            return self.total
        return self.sheet.symbol(sample.cost, self.notation.cost_of_sample(number if self.m > 1 else None))

    def _bottom(self) -> Symbol:
        """What the derivative is taken by."""
        layer, j, i = self.network.layer, self.network.j, self.network.i
        if j is None:
            assert i is not None
            return self.sheet.symbol(self.target, self.notation.output(layer - 1, i))
        if self.network.by == "z":
            return self.sheet.symbol(self.target, self.notation.input_to_neuron(layer, j))
        return self._parameter(layer, j, i, self.target)

    def _parameter(self, layer: int, j: int, i: int | None, number: int) -> Symbol:
        text, latex = (
            self.notation.bias_name(layer, j) if i is None else self.notation.weight_name(layer, j, i)
        )
        label = self.graph.label(number)
        own = parameter(label)
        if self.notation.labels and own is not None and own.layer == layer:
            text = label
        return self.sheet.symbol(number, (text, latex))

    def _name_everything(self) -> None:
        names = self.sheet.names
        names[self.target] = self.bottom
        for neuron in self.neurons():
            z, a = self._names(neuron)
            names.setdefault(neuron.z, z)
            names.setdefault(neuron.output, a)
            for term in neuron.terms:
                own = term.parameter
                if term.number not in names:
                    names[term.number] = self._parameter(own.layer, own.j, own.i, term.number)
        names.setdefault(self.sample.cost, self.cost)

    def neurons(self) -> list[NeuronInGraph]:
        """The first sample's neurons that the derivation has numbers of, by layer and index."""
        on_paths = itertools.chain.from_iterable(neurons.values() for neurons in self.layers)
        found = {n.z: n for n in (*self.network.beside, *on_paths, *self.network.outputs.values())}
        return sorted(found.values(), key=lambda neuron: (neuron.layer, neuron.index))

    def _names(self, neuron: NeuronInGraph) -> tuple[Symbol, Symbol]:
        """z and a; the same where the layer is linear."""
        z = self.sheet.symbol(neuron.z, self.notation.input_to_neuron(neuron.layer, neuron.index))
        if neuron.output == neuron.z:
            return z, z
        return z, self.sheet.symbol(neuron.output, self.notation.output(neuron.layer, neuron.index))

    def multiplied_by(self, layer: int, i: int | None, number: int | None, sample: int | None) -> Formula:
        """What a weight of a layer is multiplied by: the output i of the layer below."""
        if number is None:
            return Number(1.0)
        if i is None:
            return Number(self.graph.values[number])
        if number in self.sheet.names and sample is None:
            return self.sheet.names[number]
        return self.sheet.symbol(number, self.notation.output(layer - 1, i, sample=sample))

    def output(self, neuron: NeuronInGraph) -> Formula:
        """a of a neuron."""
        return self.sheet.names[neuron.output]

    def z(self, neuron: NeuronInGraph) -> Formula:
        """z of a neuron."""
        return self.sheet.names[neuron.z]

    def _left_of_sample(self) -> Formula:
        """What is derived for one sample: ∂C/∂w; where samples have no cost of their own in the graph, their
        part of ∂J/∂w, ∂J/∂z ∂z/∂w."""
        if self.sample.cost != self.graph.root:
            value = self.sheet.adjoint[self.own.z] / self.scales[0] * self.factor.value
            return self.sheet.by(self.sample.cost, self.target, (self.cost, self.bottom), value)
        if self.m == 1 and not self.network.penalty and not self.network.others:
            return self.left
        return multiply(self.of_cost(self.own.z), self.z_by_parameter())

    # -------------------------------------------------------------------------------- local derivatives

    def of_cost(self, number: int) -> Symbol:
        """∂C/∂node for the first sample's cost."""
        value = self.sheet.adjoint[number] / self.scales[0]
        return self.sheet.by(self.sample.cost, number, (self.cost, self.sheet.names[number]), value)

    def slope_symbol(self, neuron: NeuronInGraph) -> Symbol:
        """∂a/∂z."""
        names = self.output(neuron), self.z(neuron)
        return self.sheet.by(neuron.output, neuron.z, names, self.slope(neuron).value)

    def slope(self, neuron: NeuronInGraph) -> Formula:
        """∂a/∂z as a formula: 1 for a linear layer."""
        return Number(1.0) if neuron.output == neuron.z else self._slope(neuron)[1]

    def prime(self, neuron: NeuronInGraph) -> Formula:
        """σ'(z); the formula itself for a linear layer, or where the notation writes it out at once."""
        if neuron.output == neuron.z or self.notation.derivative == "expanded":
            return self.slope(neuron)
        return self._slope(neuron)[0]

    def _slope(self, neuron: NeuronInGraph) -> tuple[Symbol, Formula]:
        if neuron.z not in self._slopes:
            names, a = self.sheet.names, neuron.output
            output = names[a]
            if self.notation.derivative == "expanded":
                names[a] = self.sheet.symbol(a, self.notation.applied(neuron.layer, neuron.index))
            derived = self.sheet.derivative(a, neuron.z)
            names[a] = output
            if derived is None:
                raise NotSo("the activation is too long for one formula")
            name = self.notation.slope(neuron.layer, neuron.index, function=self.function([neuron]))
            meaning = ("total", self.graph.nodes[a], self.graph.nodes[neuron.z])
            self._slopes[neuron.z] = Symbol(*name, derived.value, meaning), derived
        return self._slopes[neuron.z]

    def slope_step(self, neuron: NeuronInGraph) -> Equation:
        """∂a/∂z = σ'(z) = …"""
        derived = self.slope(neuron)
        forms = [derived] if self.notation.derivative == "expanded" else [self.prime(neuron), derived]
        return equal(self.slope_symbol(neuron), *forms)

    def function(self, neurons: Iterable[NeuronInGraph]) -> str | None:
        """What the neurons' activation is called, where it is one operation of z, and no sigmoid."""
        operations = {
            self.graph.operations[n.output] if self.graph.parents[n.output] == (n.z,) else None
            for n in neurons
        }
        operation = operations.pop()
        return None if operations or operation in (None, SIGMOID, BY_HAND) else operation.name

    def z_by_z(self, above: NeuronInGraph, below: NeuronInGraph, j: int) -> list[Formula]:
        """∂z/∂z of neurons in neighbouring layers: as it is, or as ∂z/∂a · ∂a/∂z."""
        if below.output == below.z or not self.notation.through_z:
            by_output = self.z_by_output(above, below, j)
            return [by_output] if below.output == below.z else [by_output, self.slope_symbol(below)]
        value = self.weight(above, j).value * self.slope(below).value
        return [self.sheet.by(above.z, below.z, (self.z(above), self.z(below)), value)]

    def z_by_output(self, above: NeuronInGraph, below: NeuronInGraph, j: int) -> Symbol:
        """∂z/∂a of neurons in neighbouring layers."""
        names = self.z(above), self.output(below)
        return self.sheet.by(above.z, below.output, names, self.weight(above, j).value)

    def weight(self, above: NeuronInGraph, j: int) -> Formula:
        """What a neuron multiplies the output j of the layer below by."""
        for term in above.terms:
            if term.parameter.i == j:
                return self.sheet.names[term.number]
        return Number(0.0)  # not every neuron need be joined to every other

    def matrix(self, layer: int, neurons: Iterable[NeuronInGraph]) -> tuple[Name, Name]:
        """The matrix of weights that leads to a layer's neurons, as errors are multiplied by, and what to say
        of it: where the biases are its column 0, it is the matrix without that column."""
        has_bias = any(term.parameter.i is None for neuron in neurons for term in neuron.terms)
        if not (has_bias and self.notation.bias_column):
            return self.notation.weight_name(layer), ("", "")
        text, latex = self.notation.without_bias(layer)
        letter, tilde = text[:2], latex.partition("^")[0]
        return (text, latex), (f", where {letter} has no column 0", f", where ${tilde}$ has no column 0")

    def z_by_bottom(self, neuron: NeuronInGraph) -> list[Formula]:
        """∂z/∂bottom for a neuron that the bottom leads to; nothing where it is this z itself."""
        if self.network.by == "parameter":
            return [self.z_by_parameter()]
        return [] if self.network.i is None else [self.z_by_input(neuron, self.network.i)]

    def z_by_input(self, neuron: NeuronInGraph, i: int) -> Symbol:
        """∂z/∂x_i."""
        names = self.z(neuron), self.bottom
        return self.sheet.by(neuron.z, self.target, names, self.weight(neuron, i).value)

    def z_by_parameter(self) -> Symbol:
        """∂z/∂w."""
        names = self.z(self.own), self.bottom
        return self.sheet.by(self.own.z, self.target, names, self.factor.value)

    def C(self, layer: int, j: int, i: int) -> Symbol:
        """Brawer's (7) of a node i that is no bias, by which its output is multiplied: 1."""
        return Symbol(*self.notation.like_weight("C", layer, j, i), 1.0)

    # ------------------------------------------------------------------------------------------- errors

    def delta(self, layer: int, j: int, neuron: NeuronInGraph) -> Symbol:
        """δ of a neuron."""
        of_z = self.of_cost(neuron.z)
        return Symbol(*self.notation.error(layer, j), of_z.value, of_z.meaning)

    def ordered(self, error: Formula, factor: Formula) -> Formula:
        """δ times something, in the notation's order."""
        return multiply(factor, error) if self.notation.output_first else multiply(error, factor)

    def short_sum(self, layer: int, j: int, n: int) -> Name:
        """Σ_k δ_k w_kj."""
        error = self.notation.error(layer + 1, "k")
        weight = self.notation.weight_name(layer + 1, "k", j)
        first, second = (weight, error) if self.notation.output_first else (error, weight)
        times = self.notation.times
        return f"Σₖ {first[0]} · {second[0]}", rf"\sum_{{k=1}}^{{{n}}} {first[1]}{times}{second[1]}"

    # ------------------------------------------------------------------------------------ the chain rule

    def few_paths(self) -> list[tuple[int, ...]] | None:
        """One neuron of each layer from the parameter's to the output; None where there are too many."""
        if math.prod(len(neurons) for neurons in self.layers) > MOST_PATHS:
            return None
        return list(itertools.product(*self.layers))

    def chain(self, path: Sequence[int]) -> list[Formula]:
        """The chain rule's factors along one neuron in each layer, from the cost downwards."""
        factors: list[Formula] = []
        output = self.layers[-1][path[-1]]
        factors.append(self.of_cost(output.output))
        if output.output != output.z:
            factors.append(self.slope_symbol(output))
        for t in range(len(path) - 1, 0, -1):
            factors += self.z_by_z(self.layers[t][path[t]], self.layers[t - 1][path[t - 1]], path[t - 1])
        return [*factors, *self.z_by_bottom(self.layers[0][path[0]])]


def titled(rule: str, what: str) -> str:
    """What a section is about, after the name of its equation where it has one."""
    return f"{rule}: {what}" if rule else what[0].upper() + what[1:]
