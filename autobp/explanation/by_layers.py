"""The derivation of a network's derivative in layers: BP1 for the output, BP2 downwards, then BP4 or BP3.

The derivative by a z is its δ, and that by an input the sum of the δ that it leads to, times the weights.
"""

from __future__ import annotations

import itertools

from autobp.explanation.equations import Equation, Section, equal, sum_of
from autobp.explanation.formula import multiply
from autobp.explanation.gradients import (
    by_parameter,
    by_quantity,
    chain_sum,
    over_samples,
    sum_over_samples,
    whole_cost,
)
from autobp.explanation.hidden_errors import hidden_errors
from autobp.explanation.network_sheet import LONGEST_FORMULA, NetworkSheet, NotSo
from autobp.explanation.notation import Name, Notation
from autobp.explanation.output_errors import OutputErrors
from autobp.explanation.sheet import Sheet
from autobp.ops import SIGMOID
from autobp.reading.layers import NeuronInGraph
from autobp.reading.network import find_network


def by_layers(sheet: Sheet, target: int, notation: Notation) -> tuple[Name, list[Section]] | None:
    """The heading and sections of the derivation by layers; None where the graph is no network of layers,
    or where the numbers of such a derivation would not give the graph's own derivative."""
    root = sheet.graph.root
    network = find_network(sheet.graph, target)
    if network is None or not network.samples:
        return None
    if len(network.samples) > 1 and any(sample.cost == root for sample in network.samples):
        for sample in network.samples:  # the samples' costs are not in the graph by themselves
            sample.cost = root
    try:
        on = NetworkSheet(sheet, target, network, notation)
        output = OutputErrors(on)
        hidden = hidden_errors(on)
        forward = _forward(on, output)
        gradient = by_parameter(on) if network.by == "parameter" else by_quantity(on)
        sections = [_chain_rule(on), forward, output.section, *hidden, *gradient, *over_samples(on)]
    except NotSo:
        return None
    return _heading(on), sections


def _heading(on: NetworkSheet) -> Name:
    depth = on.notation.layers(on.network.depth)
    samples = "" if on.m == 1 else f", {on.m} samples"
    network = f"in a network of {depth} layer{'s' * (depth != 1)}{samples}"
    return f"{on.left.text} {network}", f"${on.left.latex}$ {network}"


def _chain_rule(on: NetworkSheet) -> Section:
    steps = []
    if on.left_of_sample is not on.left:
        if (cost := whole_cost(on)) is not None:
            steps.append(Equation(on.total, ((cost, False),), on.total.value, False))
        steps.append(Equation(on.left, ((sum_over_samples(on, False), False),), on.left.value, False))
    steps.append(Equation(on.left_of_sample, ((chain_sum(on), False),), on.left_of_sample.value, False))
    title = "The chain rule" if on.m == 1 else "The chain rule, for one sample; the numbers are the first's"
    return Section(title, title, tuple(steps))


def _forward(on: NetworkSheet, output: OutputErrors) -> Section:
    """z, a and the cost, with this graph's numbers."""
    sheet = on.sheet
    steps: list[Equation] = []
    groups = []
    for _, neurons in itertools.groupby(on.neurons(), key=lambda neuron: neuron.layer):
        of_layer = [_of_neuron(on, output, neuron) for neuron in neurons]
        steps += itertools.chain(*of_layer)
        groups.append((sum(map(len, of_layer)), max(map(len, of_layer))))
    cost = sheet.names.pop(on.sample.cost)
    formula = output.cost() if output.softmax is not None else sheet.inline(on.sample.cost, 40)
    sheet.names[on.sample.cost] = cost
    if formula is not None and formula.size <= LONGEST_FORMULA and cost is on.cost:
        steps.append(equal(on.cost, formula))
        groups.append((1, 1))
    return Section(*_forward_titles(on), tuple(steps), tuple(groups))


def _forward_titles(on: NetworkSheet) -> Name:
    """What the section is called, with what the document says of the activation and of whole layers."""
    title, neurons, graph = "Forward, with this graph's numbers", on.neurons(), on.graph
    text, latex = "", ""
    if all(graph.operations[n.output] is SIGMOID and graph.parents[n.output] == (n.z,) for n in neurons):
        if on.notation.defines_sigmoid:
            text, latex = on.notation.sigmoid()
        elif "forward" in on.notation.whole_layers:
            has_bias = [any(term.parameter.i is None for term in neuron.terms) for neuron in neurons]
            if all(has_bias) or not any(has_bias):
                text, latex = on.notation.forward(all(has_bias))
    return (f"{title}: {text}", f"{title}: {latex}") if text else (title, title)


def _of_neuron(on: NetworkSheet, output: OutputErrors, neuron: NeuronInGraph) -> list[Equation]:
    """z and a of one neuron."""
    sheet, terms = on.sheet, []
    for term in neuron.terms:
        factor = on.multiplied_by(neuron.layer, term.parameter.i, term.factor, None)
        terms.append(multiply(sheet.names[term.number], factor))
    steps = [equal(on.z(neuron), sum_of(terms))] if terms else []
    if on.network.softmax and neuron.layer == on.network.depth:
        value = on.graph.values[neuron.output]
        steps.append(Equation(on.output(neuron), ((output.softmax_symbol(neuron.index), False),), value))
    elif neuron.output != neuron.z and (written := sheet.written(neuron.output)) is not None:
        steps.append(equal(on.output(neuron), written))
    return steps
