"""The derivation of a network's derivative in layers: BP1 for the output, BP2 downwards, then BP4 or BP3.

The derivative by a z is its δ, and that by an input the sum of the δ that it leads to, times the weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from autobp.engine import BY_HAND
from autobp.explanation.derivation import (
    Graph,
    Section,
    Step,
    agrees,
    derivative_name,
    derivative_of,
    equal,
    name_of,
    same,
    sum_of,
)
from autobp.explanation.formula import (
    Formula,
    Number,
    Product,
    Quotient,
    Symbol,
    add,
    apply,
    divide,
    multiply,
    negate,
)
from autobp.explanation.layered import Network, Neuron, Sample, find, parameter
from autobp.explanation.notation import Name, Notation
from autobp.explanation.recognition import rational, softmax_targets, target_of
from autobp.ops import SIGMOID, TABLE

_MOST_PATHS: Final = 4  # through the layers above; where there are more, δ of the next layer sums them up
_LONGEST_FORMULA: Final = 60  # symbols, numbers and signs; nobody reads longer ones


@dataclass
class _Error:
    """δ of one neuron.

    Attributes:
        symbol: δ.
        expression: the simplest formula for it, of outputs, targets and weights.
    """

    symbol: Symbol
    expression: Formula


def by_layers(graph: Graph, target: int, notation: Notation) -> tuple[Name, list[Section]] | None:
    """The heading and sections of the derivation by layers; None where the graph is no network of layers,
    or where the numbers of such a derivation would not give the graph's own derivative."""
    network = find(graph, target)
    if network is None or not network.samples:
        return None
    if len(network.samples) > 1 and any(sample.cost == graph.root for sample in network.samples):
        for sample in network.samples:  # the samples' costs are not in the graph by themselves
            sample.cost = graph.root
    try:
        return _Derivation(graph, target, network, notation).written()
    except _NotSo:
        return None


class _NotSo(Exception):
    """The derivation does not give the numbers that the graph has."""


def _require(x: Formula, number: float) -> None:
    if not agrees(x, number):
        raise _NotSo(f"{x!r} is {x.value!r} and not {number!r}")


class _Derivation:
    def __init__(self, graph: Graph, target: int, network: Network, notation: Notation) -> None:
        self.graph = graph
        self.target = target
        self.network = network
        self.notation = notation
        self.m = len(network.samples)
        self.sample = network.samples[0]
        self.number: int | None = None  # what is derived holds for each sample, whose number is left out
        self.total = self._node(graph.root, notation.cost_name())
        self.bottom = self._bottom()
        self.scales = [graph.adjoint[sample.cost] for sample in network.samples]
        self.costs = [self._cost(number, sample) for number, sample in enumerate(network.samples, start=1)]
        self.cost = self.total if self.sample.cost == graph.root else self._cost(None, self.sample)
        if any(scale == 0.0 or not math.isfinite(scale) for scale in self.scales):
            raise _NotSo("a sample's cost does not count")
        self.layers = self.sample.layers
        self.errors: dict[tuple[int, int], _Error] = {}
        self.slopes: dict[int, tuple[Symbol, Formula]] = {}
        self.targets: dict[int, Symbol] = {}
        self._name_everything()

    # ------------------------------------------------------------------------------------------- naming

    def _node(self, position: int, name: Name) -> Symbol:
        node = self.graph.order[position]
        return Symbol(*name, node._data, ("node", node))

    def _cost(self, number: int | None, sample: Sample) -> Symbol:
        if sample.cost == self.graph.root:
            return self.total
        return self._node(sample.cost, self.notation.cost_of_sample(number if self.m > 1 else None))

    def _bottom(self) -> Symbol:
        """What the derivative is taken by."""
        layer, j, i = self.network.layer, self.network.j, self.network.i
        if j is None:
            assert i is not None
            return self._node(self.target, self.notation.output(layer - 1, i))
        if self.network.by == "z":
            return self._node(self.target, self.notation.input_to_neuron(layer, j))
        return self._parameter(layer, j, i, self.target)

    def _parameter(self, layer: int, j: int, i: int | None, position: int) -> Symbol:
        text, latex = (
            self.notation.bias_name(layer, j) if i is None else self.notation.weight_name(layer, j, i)
        )
        label = self.graph.order[position].label
        own = parameter(label)
        if self.notation.labels and own is not None and own.layer == layer:
            text = label
        return self._node(position, (text, latex))

    def _name_everything(self) -> None:
        names = self.graph.names
        names[self.target] = self.bottom
        for layer, neurons in enumerate(self.layers, start=self.network.layer):
            for j, neuron in neurons.items():
                z = self.notation.input_to_neuron(layer, j, sample=self.number)
                names[neuron.z] = self._node(neuron.z, z)
                if neuron.a != neuron.z:
                    names[neuron.a] = self._node(neuron.a, self.notation.output(layer, j, sample=self.number))
                for own, position, _ in neuron.terms:
                    if position not in names:
                        names[position] = self._parameter(own.layer, own.j, own.i, position)
        layer = self.network.depth
        for j, neuron in self.network.outputs.items():
            z = self.notation.input_to_neuron(layer, j, sample=self.number)
            names.setdefault(neuron.z, self._node(neuron.z, z))
            if neuron.a != neuron.z:
                a = self.notation.output(layer, j, sample=self.number)
                names.setdefault(neuron.a, self._node(neuron.a, a))
        names.setdefault(self.sample.cost, self.cost)

    def _factor(self, layer: int, i: int | None, position: int | None, sample: int | None) -> Formula:
        """What a weight of a layer is multiplied by: the output i of the layer below."""
        if position is None:
            return Number(1.0)
        node = self.graph.order[position]
        if i is None:
            return Number(node._data)
        if position in self.graph.names and sample == self.number:
            return self.graph.names[position]
        return self._node(position, self.notation.output(layer - 1, i, sample=sample))

    def _output(self, neuron: Neuron) -> Formula:
        return self.graph.names[neuron.a]

    # -------------------------------------------------------------------------------------- the sections

    def written(self) -> tuple[Name, list[Section]]:
        meaning = ("total", self.graph.order[-1], self.graph.order[self.target])
        self.left = derivative_of(self.total, self.bottom, self.graph.adjoint[self.target], meaning)
        self.j, self.own = next(iter(self.layers[0].items()))
        self.factor = self._factor(self.network.layer, self.network.i, self.sample.factor, self.number)
        self.left_of_sample = self._left_of_sample()
        output = self._output_errors()
        hidden = self._hidden_errors()
        forward = self._forward()
        gradient = self._gradient() if self.network.by == "parameter" else self._by_quantity()
        sections = [self._chain_rule(), forward, *output, *hidden, *gradient, *self._over_samples()]
        return self._heading(), sections

    def _heading(self) -> Name:
        n = self.m
        samples = "" if n == 1 else f", {n} samples"
        network = f"in a network of {self.network.depth} layer{'s' * (self.network.depth != 1)}{samples}"
        return f"{self.left.text} {network}", f"${self.left.latex}$ {network}"

    def _chain(self, path: Sequence[int]) -> list[Formula]:
        """The chain rule's factors along one neuron in each layer, from the cost downwards."""
        factors: list[Formula] = []
        output = self.layers[-1][path[-1]]
        if output.a != output.z:
            factors.append(self._of_cost(output.a))
            factors.append(self._slope_symbol(output))
        else:
            factors.append(self._of_cost(output.z))
        for t in range(len(path) - 1, 0, -1):
            factors += self._z_by_z(self.layers[t][path[t]], self.layers[t - 1][path[t - 1]], path[t - 1])
        return [*factors, *self._z_by_bottom(self.layers[0][path[0]])]

    def _of_cost(self, position: int) -> Symbol:
        """∂C/∂node for the first sample's cost."""
        graph = self.graph
        meaning = ("total", graph.order[self.sample.cost], graph.order[position])
        value = graph.adjoint[position] / self.scales[0]
        return derivative_of(self.cost, graph.names[position], value, meaning)

    def _slope_symbol(self, neuron: Neuron) -> Symbol:
        graph = self.graph
        meaning = ("total", graph.order[neuron.a], graph.order[neuron.z])
        value = self._slope(neuron).value
        return derivative_of(graph.names[neuron.a], graph.names[neuron.z], value, meaning)

    def _z_by_z(self, above: Neuron, below: Neuron, j: int) -> list[Formula]:
        """∂z/∂z of neurons in neighbouring layers: as it is, or as ∂z/∂a · ∂a/∂z."""
        if below.a == below.z or not self.notation.through_z:
            by_output = self._z_by_output(above, below, j)
            return [by_output] if below.a == below.z else [by_output, self._slope_symbol(below)]
        graph = self.graph
        value = self._weight(above, j).value * self._slope(below).value
        meaning = ("total", graph.order[above.z], graph.order[below.z])
        return [derivative_of(graph.names[above.z], graph.names[below.z], value, meaning)]

    def _z_by_output(self, above: Neuron, below: Neuron, j: int) -> Symbol:
        graph = self.graph
        weight = self._weight(above, j)
        meaning = ("total", graph.order[above.z], graph.order[below.a])
        return derivative_of(graph.names[above.z], self._output(below), weight.value, meaning)

    def _weight(self, above: Neuron, j: int) -> Formula:
        for own, position, _ in above.terms:
            if own.i == j:
                return self.graph.names[position]
        return Number(0.0)  # not every neuron need be joined to every other

    def _slope(self, neuron: Neuron) -> Formula:
        """∂a/∂z as a formula: 1 for a linear layer."""
        if neuron.a == neuron.z:
            return Number(1.0)
        graph = self.graph
        if neuron.z not in self.slopes:
            output = graph.names[neuron.a]
            layer, j = self._place(neuron)
            if self.notation.derivative == "expanded":
                name = self.notation.applied(layer, j, sample=self.number)
                graph.names[neuron.a] = self._node(neuron.a, name)
            derived = graph.derivative(neuron.a, neuron.z)
            graph.names[neuron.a] = output
            if derived is None:
                raise _NotSo("the activation is too long for one formula")
            meaning = ("total", graph.order[neuron.a], graph.order[neuron.z])
            name = self.notation.slope(layer, j, sample=self.number, function=self._function([neuron]))
            symbol = Symbol(*name, derived.value, meaning)
            self.slopes[neuron.z] = (symbol, derived)
        return self.slopes[neuron.z][1]

    def _slope_step(self, neuron: Neuron) -> Step:
        derived = self._slope(neuron)
        prime = self.slopes[neuron.z][0]
        forms = [derived] if self.notation.derivative == "expanded" else [prime, derived]
        return equal(self._slope_symbol(neuron), *forms)

    def _function(self, neurons: Iterable[Neuron]) -> str | None:
        """What the neurons' activation is called, where it is one operation of z, and no sigmoid."""
        operations = {
            self.graph.order[neuron.a].operation if self.graph.parents[neuron.a] == [neuron.z] else None
            for neuron in neurons
        }
        operation = operations.pop()
        return None if operations or operation in (None, SIGMOID, BY_HAND) else operation.name

    def _place(self, neuron: Neuron) -> tuple[int, int]:
        own = neuron.terms[0][0]
        return own.layer, own.j

    # ---------------------------------------------------------------------------------------- chain rule

    def _paths(self) -> list[tuple[int, ...]] | None:
        """One neuron of each layer from the parameter's to the output; None where there are too many."""
        if math.prod(len(neurons) for neurons in self.layers) > _MOST_PATHS:
            return None
        return list(itertools.product(*self.layers))

    def _chain_sum(self) -> Formula:
        paths = self._paths()
        if paths is not None:
            return sum_of([multiply(*self._chain(path)) for path in paths])
        # too many: the next layer's δ sum up what lies above
        if self.network.j is None:
            return self._sum_over_neurons()
        terms = []
        for above in self.layers[1].values():
            factors = [self._of_cost(above.z), *self._z_by_z(above, self.own, self.j)]
            terms.append(multiply(*factors, *self._z_by_bottom(self.own)))
        return sum_of(terms)

    def _sum_over_neurons(self) -> Formula:
        """Σ ∂C/∂z ∂z/∂x over the neurons that an input leads to."""
        neurons = self.layers[0].values()
        return sum_of([multiply(self._of_cost(n.z), *self._z_by_bottom(n)) for n in neurons])

    def _z_by_bottom(self, neuron: Neuron) -> list[Formula]:
        """∂z/∂bottom for a neuron that the bottom leads to; nothing where it is this z itself."""
        if self.network.by == "parameter":
            return [self._z_by_parameter()]
        return [] if self.network.i is None else [self._z_by_input(neuron, self.network.i)]

    def _z_by_input(self, neuron: Neuron, i: int) -> Symbol:
        graph = self.graph
        meaning = ("total", graph.order[neuron.z], graph.order[self.target])
        return derivative_of(graph.names[neuron.z], self.bottom, self._weight(neuron, i).value, meaning)

    def _z_by_parameter(self) -> Symbol:
        graph = self.graph
        meaning = ("total", graph.order[self.own.z], graph.order[self.target])
        return derivative_of(graph.names[self.own.z], self.bottom, self.factor.value, meaning)

    def _left_of_sample(self) -> Formula:
        """What is derived for one sample: ∂C/∂w; where samples have no cost of their own in the graph, their
        part of ∂J/∂w, ∂J/∂z ∂z/∂w."""
        if self.sample.cost != self.graph.root:
            meaning = ("total", self.graph.order[self.sample.cost], self.graph.order[self.target])
            value = self.graph.adjoint[self.own.z] / self.scales[0] * self.factor.value
            return derivative_of(self.cost, self.bottom, value, meaning)
        if self.m == 1 and not self.network.penalty and not self.network.others:
            return self.left
        return multiply(self._of_cost(self.own.z), self._z_by_parameter())

    def _chain_rule(self) -> Section:
        steps = []
        if self.left_of_sample is not self.left:
            steps.append(Step(self.left, ((self._sum_over_samples(False), False),), self.left.value, False))
        steps.append(
            Step(self.left_of_sample, ((self._chain_sum(), False),), self.left_of_sample.value, False)
        )
        title = (
            "The chain rule" if self.m == 1 else "The chain rule, for one sample; the numbers are the first's"
        )
        return Section(title, title, tuple(steps))

    # ------------------------------------------------------------------------------------------- forward

    def _forward(self) -> Section:
        graph = self.graph
        steps = []
        for layer, neurons in enumerate(self.layers, start=self.network.layer):
            for neuron in neurons.values():
                terms = [
                    multiply(graph.names[position], self._factor(layer, own.i, factor, self.number))
                    for own, position, factor in neuron.terms
                ]
                steps.append(equal(graph.names[neuron.z], sum_of(terms)))
                node = graph.order[neuron.a]
                if neuron.a != neuron.z and node.operation is not None and node.operation is not BY_HAND:
                    operands = graph.inline_all(graph.parents[neuron.a])
                    if operands is not None:
                        parents = [operands[p] for p in graph.parents[neuron.a]]
                        steps.append(
                            equal(graph.names[neuron.a], apply(node.operation, parents, node.constants))
                        )
        if self.network.softmax:
            steps += [
                Step(graph.names[neuron.a], ((self._softmax_symbol(k), False),), graph.order[neuron.a]._data)
                for k, neuron in self.network.outputs.items()
            ]
        cost = graph.names.pop(self.sample.cost)
        written = self._softmax_cost() if self.softmax is not None else graph.inline(self.sample.cost, 40)
        if written is not None and written.size > _LONGEST_FORMULA:
            written = None
        graph.names[self.sample.cost] = cost
        if written is not None and cost is self.cost:
            steps.append(equal(self.cost, written))
        return Section(
            "Forward, with this graph's numbers", "Forward, with this graph's numbers", tuple(steps)
        )

    # ----------------------------------------------------------------------------------------------- BP1

    def _output_errors(self) -> list[Section]:
        layer = self.network.depth
        self.softmax = self._softmax_targets()
        steps: list[Step] = []
        for k, neuron in self.layers[-1].items():
            delta = self._delta(layer, k, neuron)
            of_z = self._of_cost(neuron.z)
            if self.network.softmax:
                if not steps:
                    steps += self._costs_by_outputs()
                steps += self._softmax_error(k, neuron, delta)
                continue
            if self.softmax is not None:
                y, p = self._target_of_softmax(k), self._softmax(k)
                self.errors[layer, k] = _Error(delta, add(p, -y))
                steps.append(equal(delta, of_z, add(p, -y)))
                continue
            derived, coefficient, kind = self._cost_by_output(neuron, k)
            if neuron.a == neuron.z:
                simple = derived
                forms = [of_z, derived]
                if kind == "sigmoid":
                    sigma = apply(SIGMOID, [self.graph.names[neuron.z]])
                    simple = multiply(rational(coefficient), add(sigma, -self.targets[k]))
                elif kind == "difference":
                    simple = multiply(rational(coefficient), add(self._output(neuron), -self.targets[k]))
                forms.append(simple)
                steps.append(equal(delta, *forms))
            else:
                of_a, slope = self._of_cost(neuron.a), self._slope(neuron)
                forms = [derived]
                difference = None
                if kind is not None:
                    a, y = self._output(neuron), self.targets[k]
                    difference = multiply(rational(coefficient), add(a, -y))
                    forms.append(
                        difference if kind == "difference" else divide(difference, multiply(a, 1.0 - a))
                    )
                steps.append(equal(of_a, *forms))
                steps.append(self._slope_step(neuron))
                simple = multiply(forms[-1], slope)
                products = [multiply(of_a, self._slope_symbol(neuron)), simple]
                if kind == "ratio" and self.graph.order[neuron.a].operation is SIGMOID:
                    assert difference is not None
                    simple = difference
                    products.append(simple)
                steps.append(equal(delta, of_z, *products))
            self.errors[layer, k] = _Error(delta, simple)
            _require(simple, of_z.value)
        for k, neuron in self.network.outputs.items():
            if k not in self.layers[-1] and self.softmax is None and not self.network.softmax:
                self._cost_by_output(neuron, k)  # which names the target, for the formula of the cost
        error = self.notation.error(layer)
        slope_name = self.notation.slope(layer, function=self._function(self.layers[-1].values()))
        output, z = self.notation.output(layer), self.notation.input_to_neuron(layer)
        if all(neuron.a != neuron.z for neuron in self.layers[-1].values()):
            by_a = derivative_name(name_of(self.cost), output)
            text, latex = f"{by_a[0]} ⊙ {slope_name[0]}", rf"{by_a[1]} \odot {slope_name[1]}"
        else:
            text, latex = derivative_name(name_of(self.cost), z)
        what = _titled(self.notation.equation("BP1"), "the error of the output layer")
        return [Section(f"{what}, {error[0]} = {text}", f"{what}, ${error[1]} = {latex}$", tuple(steps))]

    def _costs_by_outputs(self) -> list[Step]:
        """∂C/∂a of every output, for a softmax, in which each z changes them all."""
        self.by_output: dict[int, Formula] = {}
        steps = []
        for k, neuron in self.network.outputs.items():
            self.by_output[k], _, _ = self._cost_by_output(neuron, k)
            steps.append(equal(self._of_cost(neuron.a), self.by_output[k]))
        return steps

    def _softmax_error(self, j: int, neuron: Neuron, delta: Symbol) -> list[Step]:
        """δ_j = Σ_k ∂C/∂a_k ∂a_k/∂z_j, and a_j - y_j where that is what it comes to."""
        graph, layer = self.graph, self.network.depth
        a_j = graph.names[self.network.outputs[j].a]
        steps, chain, written = [], [], []
        for k, other in self.network.outputs.items():
            a_k = graph.names[other.a]
            slope = multiply(a_k, 1.0 - a_k) if k == j else -multiply(a_k, a_j)
            meaning = ("total", graph.order[other.a], graph.order[neuron.z])
            symbol = derivative_of(a_k, graph.names[neuron.z], slope.value, meaning)
            steps.append(equal(symbol, slope))
            chain.append(multiply(self._of_cost(other.a), symbol))
            written.append(multiply(self.by_output[k], slope))
        expression = sum_of(written)
        forms = [self._of_cost(neuron.z), sum_of(chain), expression]
        if self.softmax is not None:
            expression = add(a_j, -self._target_of_softmax(j))
            forms.append(expression)
        _require(expression, delta.value)
        self.errors[layer, j] = _Error(delta, expression)
        return [*steps, equal(delta, *forms)]

    def _delta(self, layer: int, j: int, neuron: Neuron) -> Symbol:
        of_z = self._of_cost(neuron.z)
        return Symbol(*self.notation.error(layer, j, sample=self.number), of_z.value, of_z.meaning)

    def _cost_by_output(self, neuron: Neuron, k: int) -> tuple[Formula, float, str | None]:
        """∂C/∂a_k as a formula with its target named, and what it is known to be: c (a - y), "difference";
        c (a - y)/(a(1 - a)), "ratio"; or c (σ(z) - y), "sigmoid"."""
        graph, bottom = self.graph, neuron.a
        true = graph.adjoint[bottom] / self.scales[0]
        coefficient, kind = 1.0, None
        found = target_of(graph, self.sample.cost, bottom, neuron.a == neuron.z)
        if found is not None:
            coefficient, kind = found.coefficient, found.kind
            node = graph.order[found.position]
            symbol = Symbol(*self.notation.target(k, sample=self.number), node._data, ("node", node))
            graph.names[found.position] = symbol
            self.targets[k] = symbol
            for position in found.complements:
                graph.names[position] = add(1.0, -symbol)
        derived = graph.derivative(self.sample.cost, bottom)
        if derived is None or derived.size > _LONGEST_FORMULA or not same(derived.value, true):
            derived = Number(true)
            if found is None or kind is None:
                return derived, 1.0, None
        return derived, coefficient, kind

    def _softmax_targets(self) -> dict[int, float] | None:
        """y_k where ∂C/∂z_k is softmax(z)_k - y_k; else None."""
        neurons = self.network.outputs
        if len(neurons) < 2 or (not self.network.softmax and any(n.a != n.z for n in neurons.values())):
            return None
        y = softmax_targets(self.graph, self.sample.cost, [neuron.z for neuron in neurons.values()])
        return None if y is None else dict(zip(neurons, y, strict=True))

    def _softmax(self, k: int) -> Formula:
        """softmax(z)_k: an output where there is a softmax layer, else a symbol."""
        if self.network.softmax:
            return self.graph.names[self.network.outputs[k].a]
        return self._softmax_symbol(k)

    def _softmax_symbol(self, k: int) -> Symbol:
        neurons = self.network.outputs
        z = [self.graph.order[neuron.z]._data for neuron in neurons.values()]
        largest = max(z)
        total = sum(math.exp(x - largest) for x in z)
        name = self.notation.input_to_neuron(self.network.depth, sample=self.number)
        value = math.exp(self.graph.order[neurons[k].z]._data - largest) / total
        nodes = tuple(self.graph.order[neuron.z] for neuron in neurons.values())
        return Symbol(
            f"softmax({name[0]})[{k}]",
            rf"\operatorname{{softmax}}({name[1]})_{{{k}}}",
            value,
            ("softmax", nodes, self.graph.order[neurons[k].z]),
        )

    def _softmax_cost(self) -> Formula | None:
        """-Σ y log softmax(z), where that is the cost."""
        assert self.softmax is not None
        logs = [
            multiply(self._target_of_softmax(k), apply(TABLE["log"], [self._softmax(k)]))
            for k in self.softmax
        ]
        written = negate(sum_of(logs))
        return written if same(written.value, self.cost.value) else None

    def _target_of_softmax(self, k: int) -> Symbol:
        assert self.softmax is not None
        return Symbol(*self.notation.target(k, sample=self.number), self.softmax[k])

    # ----------------------------------------------------------------------------------------------- BP2

    def _hidden_errors(self) -> list[Section]:
        sections = []
        for t in range(len(self.layers) - 2, -1, -1):
            layer = self.network.layer + t
            steps: list[Step] = []
            for j, neuron in self.layers[t].items():
                steps += self._hidden_error(t, layer, j, neuron)
            below, above = self.notation.error(layer), self.notation.error(layer + 1)
            w = self.notation.weight_name(layer + 1)
            slope = self.notation.slope(layer, function=self._function(self.layers[t].values()))
            text = f"{below[0]} = {w[0]}ᵀ {above[0]}"
            latex = rf"{below[1]} = \left({w[1]}\right)^T {above[1]}"
            if any(neuron.a != neuron.z for neuron in self.layers[t].values()):
                text, latex = f"{text} ⊙ {slope[0]}", rf"{latex} \odot {slope[1]}"
            what = _titled(self.notation.equation("BP2"), "the error of the layer below")
            sections.append(Section(f"{what}, {text}", f"{what}, ${latex}$", tuple(steps)))
        return sections

    def _hidden_error(self, t: int, layer: int, j: int, neuron: Neuron) -> list[Step]:
        """δ of one neuron, and where few lead up from it the local derivatives that it is made of."""
        joined = {
            k: above
            for k, above in self.layers[t + 1].items()
            if isinstance(self._weight(above, j), Symbol)  # not every neuron need be joined to every other
        }
        if not joined:
            raise _NotSo("a neuron leads nowhere")
        chain, factored, terms, expressions = [], [], [], []
        steps = []
        linear = neuron.a == neuron.z
        slope = self._slope(neuron)
        prime = slope if linear or self.notation.derivative == "expanded" else self.slopes[neuron.z][0]
        for k, above in joined.items():
            weight, error = self._weight(above, j), self.errors[layer + 1, k]
            chain.append(multiply(self._of_cost(above.z), *self._z_by_z(above, neuron, j)))
            factored.append(multiply(self._of_cost(above.z), self._z_by_output(above, neuron, j)))
            terms.append(self._ordered(error.symbol, weight))
            expressions.append(multiply(error.expression, weight))
            if len(joined) <= _MOST_PATHS:
                between = self._z_by_z(above, neuron, j)
                if len(between) == 1 and not linear:
                    steps.append(equal(between[0], multiply(weight, prime), multiply(weight, slope)))
                else:
                    steps.append(equal(between[0], weight))
        if not linear and not self.notation.through_z:
            steps.append(self._slope_step(neuron))
        delta = self._delta(layer, j, neuron)
        summed = sum_of(terms, self._short_sum(layer, j, len(terms)))
        forms: list[Formula] = [self._of_cost(neuron.z)]
        if len(joined) <= _MOST_PATHS:
            if linear or self.notation.through_z:
                forms.append(sum_of(chain))
            else:
                forms.append(multiply(sum_of(factored), self._slope_symbol(neuron)))
        forms += [multiply(summed, prime), multiply(summed, slope)]
        # written out in full only where few paths lead up
        few = self._paths() is not None
        self.errors[layer, j] = _Error(delta, multiply(sum_of(expressions), slope) if few else delta)
        _require(forms[-1], delta.value)
        return [*steps, equal(delta, *forms)]

    def _short_sum(self, layer: int, j: int, n: int) -> Name:
        """Σ_k δ_k w_kj."""
        error = self.notation.error(layer + 1, "k", sample=self.number)
        weight = self.notation.weight_name(layer + 1, "k", j)
        first, second = (weight, error) if self.notation.output_first else (error, weight)
        times = self.notation.times
        return f"Σₖ {first[0]} · {second[0]}", rf"\sum_{{k=1}}^{{{n}}} {first[1]}{times}{second[1]}"

    def _ordered(self, error: Formula, factor: Formula) -> Formula:
        return multiply(factor, error) if self.notation.output_first else multiply(error, factor)

    # -------------------------------------------------------------------------------------- BP3 and BP4

    def _gradient(self) -> list[Section]:
        error = self.errors[self.network.layer, self.j]
        of_z, by_w = self._of_cost(self.own.z), self._z_by_parameter()
        gradient = self._ordered(error.symbol, self.factor)
        is_bias = isinstance(self.factor, Number) and self.factor.value == 1.0
        left = self.left_of_sample
        steps = [equal(by_w, self.factor)] if not is_bias else [Step(by_w, (), 1.0)]
        steps.append(equal(left, multiply(of_z, by_w), gradient))
        _require(gradient, left.value)
        what = "bias" if self.network.i is None else "weight"
        rule = self.notation.equation("BP3" if self.network.i is None else "BP4")
        title = _titled(rule, f"the derivative by the {what}")
        together = self._together(gradient, multiply(error.expression, self.factor))
        return [Section(title, title, tuple(steps)), together]

    def _together(self, gradient: Formula, simple: Formula) -> Section:
        """From the whole chain to what it comes to, with numbers below each form."""
        forms: list[tuple[Formula, bool]] = []
        if self._paths() is not None:
            for form in (self._chain_sum(), simple):
                if form.size <= _LONGEST_FORMULA:
                    forms += [(form, False), (form, True)]
        forms += [(gradient, False), (gradient, True)]
        return Section("Together", "Together", (equal(self.left_of_sample, *forms),))

    # ------------------------------------------------------------------------------ by a z or by an input

    def _by_quantity(self) -> list[Section]:
        layer, i = self.network.layer, self.network.i
        errors = {j: self.errors[layer, j] for j in self.layers[0]}
        if i is None:
            return [self._together(errors[self.j].symbol, errors[self.j].expression)]
        weights = {j: self._weight(neuron, i) for j, neuron in self.layers[0].items()}
        terms = [self._ordered(errors[j].symbol, w) for j, w in weights.items()]
        gradient = sum_of(terms, self._short_sum(layer - 1, i, len(terms)))
        _require(gradient, self.left.value)
        steps = []
        if len(weights) <= _MOST_PATHS:
            steps = [equal(self._z_by_input(self.layers[0][j], i), w) for j, w in weights.items()]
        steps.append(equal(self.left, self._sum_over_neurons(), gradient))
        what = "the derivative by the input" if layer == 1 else "the derivative by the output below"
        name = derivative_name(name_of(self.total), self.notation.output(layer - 1))
        matrix, error = self.notation.weight_name(layer), self.notation.error(layer)
        section = Section(
            _titled("", f"{what}, {name[0]} = {matrix[0]}ᵀ {error[0]}"),
            _titled("", rf"{what}, ${name[1]} = \left({matrix[1]}\right)^T {error[1]}$"),
            tuple(steps),
        )
        simple = sum_of([multiply(errors[j].expression, w) for j, w in weights.items()])
        return [section, self._together(gradient, simple)]

    # ------------------------------------------------------------------------------- samples and penalty

    def _sum_over_samples(self, simplified: bool) -> Formula:
        """∂J/∂w of the samples' costs and the penalty, in ∂ or in δ."""
        whole = self._weighted(self._terms(simplified))
        penalty = self._penalty()
        return whole if penalty is None else sum_of([whole, penalty])

    def _terms(self, simplified: bool) -> list[Formula]:
        graph, m = self.graph, self.m
        terms: list[Formula] = []
        for number, (sample, scale) in enumerate(
            zip(self.network.samples, self.scales, strict=True), start=1
        ):
            neuron = sample.layers[0][self.j]
            value = graph.adjoint[neuron.z] / scale
            index = number if m > 1 else None
            node = graph.order[sample.cost]
            factor = self._factor(self.network.layer, self.network.i, sample.factor, index)
            if simplified:
                name = self.notation.error(self.network.layer, self.j, sample=index)
                delta = Symbol(*name, value, ("total", node, graph.order[neuron.z]))
                terms.append(self._ordered(delta, factor))
            else:
                meaning = ("total", node, graph.order[self.target])
                top = self.costs[number - 1]
                if sample.cost == graph.root:
                    z = Symbol(*self.notation.input_to_neuron(self.network.layer, self.j, sample=index), 0.0)
                    by_z = derivative_of(self.total, z, value, ("total", node, graph.order[neuron.z]))
                    by_w = derivative_of(
                        z,
                        self.bottom,
                        factor.value,
                        ("total", graph.order[neuron.z], graph.order[self.target]),
                    )
                    terms.append(multiply(by_z, by_w))
                else:
                    terms.append(derivative_of(top, self.bottom, value * factor.value, meaning))
        return terms

    def _is_mean(self) -> bool:
        return self.m > 1 and all(same(scale, 1.0 / self.m) for scale in self.scales)

    def _over_m(self) -> Formula:
        return Quotient(Number(1.0), Symbol("m", "m", float(self.m)))

    def _weighted(self, terms: Sequence[Formula]) -> Formula:
        if self._is_mean():
            total = sum_of(terms)
            return Product([self._over_m(), total])
        if all(scale == 1.0 for scale in self.scales):
            return sum_of(terms)
        weights = [
            Symbol(
                *derivative_name(name_of(self.total), name_of(cost)),
                scale,
                ("total", self.graph.order[-1], self.graph.order[sample.cost]),
            )
            for cost, scale, sample in zip(self.costs, self.scales, self.network.samples, strict=True)
        ]
        return sum_of([multiply(weight, term) for weight, term in zip(weights, terms, strict=True)])

    def _penalty(self) -> Formula | None:
        """(λ/m) w, the derivative of λ/(2m) w², without m if the cost is no mean; and of other penalties."""
        graph, terms = self.graph, []
        if self.network.penalty:
            rate = sum(graph.adjoint[square] for square in self.network.penalty)
            lam = Symbol("λ", r"\lambda", 2.0 * rate * (self.m if self._is_mean() else 1))
            rest = divide(lam, Symbol("m", "m", float(self.m))) if self._is_mean() else lam
            terms.append(multiply(rest, self.bottom))
        for use in self.network.others:
            terms.append(multiply(graph.adjoint[use], graph.local(use, self.target)))
        return sum_of(terms) if terms else None

    def _over_samples(self) -> list[Section]:
        if self.left_of_sample is self.left:
            return []
        symbols, simplified = self._sum_over_samples(False), self._sum_over_samples(True)
        _require(simplified, self.left.value)
        steps = []
        if self.notation.accumulates and self._is_mean():
            steps += self._accumulated()
        else:
            steps.append(equal(self.left, symbols, simplified))
        w = self.notation.weight_name(1)[0][0], self.notation.weight
        penalty = (f"λ/2 Σ {w[0]}²", rf"$\frac{{\lambda}}{{2}} \sum {w[1]}^2$")
        if self._is_mean():
            penalty = (f"λ/(2m) Σ {w[0]}²", rf"$\frac{{\lambda}}{{2m}} \sum {w[1]}^2$")
        title = "The whole cost"
        if self.m > 1:
            title = f"All {self.m} samples: the same for each, then the mean"
            if not self._is_mean():
                title = f"All {self.m} samples: the same for each, then the sum"
        if self.network.penalty:
            title += f", and the penalty {penalty[0]}"
        if self.network.others:
            title += ", and what else the cost has of the parameter itself"
        latex = title.replace(*penalty)
        return [Section(title, latex, tuple(steps))]

    def _accumulated(self) -> list[Step]:
        """Δ, the sum over the samples, then its mean."""
        layer, i = self.network.layer, self.network.i or 0
        summed = sum_of(self._terms(True))
        accumulator = Symbol(*self.notation.accumulator(layer, self.j, i), summed.value, ("formula", summed))
        mean = multiply(accumulator, self._over_m())
        penalty = self._penalty()
        whole = mean if penalty is None else sum_of([mean, penalty])
        return [equal(accumulator, summed), equal(self.left, self._sum_over_samples(False), whole)]


def _titled(rule: str, what: str) -> str:
    """What a section is about, after the name of its equation where it has one."""
    return f"{rule}: {what}" if rule else what[0].upper() + what[1:]
