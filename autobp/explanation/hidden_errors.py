"""BP2: δ of each layer below the output, from that of the layer above."""

from __future__ import annotations

from autobp.explanation.equations import Equation, Section, equal, sum_of
from autobp.explanation.formula import Formula, Symbol, multiply
from autobp.explanation.network_sheet import MOST_PATHS, LayerError, NetworkSheet, NotSo, require, titled
from autobp.reading.layers import NeuronInGraph


def hidden_errors(on: NetworkSheet) -> list[Section]:
    """A section for each layer, from the top down; the errors are put among the network's."""
    sections = []
    for t in range(len(on.layers) - 2, -1, -1):
        steps: list[Equation] = []
        for j, neuron in on.layers[t].items():
            steps += _hidden_error(on, t, j, neuron)
        of_each = len(steps) // len(on.layers[t])
        sections.append(Section(*_titles(on, t), tuple(steps), ((len(steps), of_each),)))
    return sections


def _titles(on: NetworkSheet, t: int) -> tuple[str, str]:
    """What a layer's section is called, in text and in LaTeX."""
    layer, notation = on.network.layer + t, on.notation
    w, mend = on.matrix(layer + 1, on.layers[t + 1].values())
    below, above, times = notation.error(layer), notation.error(layer + 1), notation.elementwise
    text, latex = f"{below[0]} = {w[0]}ᵀ {above[0]}", rf"{below[1]} = \left({w[1]}\right)^T {above[1]}"
    if any(neuron.output != neuron.z for neuron in on.layers[t].values()):
        slope = notation.slope(layer, function=on.function(on.layers[t].values()))
        text, latex = f"{text} {times[0]} {slope[0]}", rf"{latex} {times[1]} {slope[1]}"
    what = titled(notation.equation("BP2"), "the error of the layer below")
    return f"{what}, {text}{mend[0]}", f"{what}, ${latex}${mend[1]}"


def _hidden_error(on: NetworkSheet, t: int, j: int, neuron: NeuronInGraph) -> list[Equation]:
    """δ of one neuron, and where few lead up from it the local derivatives that it is made of."""
    layer = neuron.layer
    joined = {
        k: above
        for k, above in on.layers[t + 1].items()
        if isinstance(on.weight(above, j), Symbol)  # not every neuron need be joined to every other
    }
    if not joined:
        raise NotSo("a neuron leads nowhere")
    few, linear, slope = len(joined) <= MOST_PATHS, neuron.output == neuron.z, on.slope(neuron)
    steps = _factors(on, joined, j, neuron) if few else []
    if not linear and not on.notation.through_z:
        steps.append(on.slope_step(neuron))
    terms, expressions, by_M = [], [], []
    for k, above in joined.items():
        weight, error = on.weight(above, j), on.errors[layer + 1, k]
        terms.append(on.ordered(error.symbol, weight))
        expressions.append(multiply(error.expression, weight))
        by_M.append(multiply(error.symbol, _M(on, above, j, neuron)))
    summed = sum_of(terms, on.short_sum(layer, j, len(terms)))
    delta = on.delta(layer, j, neuron)
    forms: list[Formula] = [on.of_cost(neuron.z)]
    if few:
        forms.append(_chain(on, joined, j, neuron))
    if few and on.notation.node_zero:
        forms.append(sum_of(by_M))
    forms += [multiply(summed, on.prime(neuron)), multiply(summed, slope)]
    require(forms[-1], delta.value)
    # written out in full only where few paths lead up
    whole = multiply(sum_of(expressions), slope) if on.few_paths() is not None else delta
    on.errors[layer, j] = LayerError(delta, whole)
    if on.notation.derivative == "expanded" and few and layer == on.network.depth - 1:
        forms.append(multiply(sum_of(expressions), slope))
    return [*steps, equal(delta, *forms)]


def _factors(
    on: NetworkSheet, joined: dict[int, NeuronInGraph], j: int, neuron: NeuronInGraph
) -> list[Equation]:
    """∂z/∂a, or ∂z/∂z, of the neurons above."""
    steps = []
    for above in joined.values():
        weight, between = on.weight(above, j), on.z_by_z(above, neuron, j)
        if on.notation.node_zero:
            M, factors = _M(on, above, j, neuron), (weight, on.C(above.layer, above.index, j))
            steps.append(equal(M, multiply(*factors, on.prime(neuron)), multiply(weight, on.slope(neuron))))
            steps.append(equal(between[0], M))
        elif len(between) == 1 and neuron.output != neuron.z:
            forms = [multiply(weight, on.prime(neuron)), multiply(weight, on.slope(neuron))]
            steps.append(equal(between[0], *forms))
        else:
            steps.append(equal(between[0], weight))
    return steps


def _M(on: NetworkSheet, above: NeuronInGraph, j: int, neuron: NeuronInGraph) -> Symbol:
    """Brawer's (31), θ C Ψ: the derivative of a z by a z below."""
    made = multiply(on.weight(above, j), on.slope(neuron))
    name = on.notation.like_weight("M", above.layer, above.index, j)
    return Symbol(*name, made.value, ("formula", made))


def _chain(on: NetworkSheet, joined: dict[int, NeuronInGraph], j: int, neuron: NeuronInGraph) -> Formula:
    """The chain rule from the layer above: Σ ∂C/∂z ∂z/∂z, or (Σ ∂C/∂z ∂z/∂a) ∂a/∂z."""
    if neuron.output == neuron.z or on.notation.through_z:
        chain = [multiply(on.of_cost(n.z), *on.z_by_z(n, neuron, j)) for n in joined.values()]
        return sum_of(chain)
    factored = [multiply(on.of_cost(n.z), on.z_by_output(n, neuron, j)) for n in joined.values()]
    return multiply(sum_of(factored), on.slope_symbol(neuron))
