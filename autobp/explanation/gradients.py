"""BP3 and BP4: the derivative by a bias or a weight, from δ; by a z or an input; and of all samples' cost."""

from __future__ import annotations

from collections.abc import Sequence

from autobp.explanation.equations import Equation, Section, agrees, equal, same, sum_of
from autobp.explanation.formula import Formula, Number, Product, Quotient, Symbol, divide, multiply
from autobp.explanation.names import derivative_name, derivative_of, name_of
from autobp.explanation.network_sheet import LONGEST_FORMULA, MOST_PATHS, NetworkSheet, require, titled
from autobp.explanation.notation import Name


def chain_sum(on: NetworkSheet) -> Formula:
    """The chain rule from the sample's cost to the bottom, over all paths or over the next layer's δ."""
    paths = on.few_paths()
    if paths is not None:
        return sum_of([multiply(*on.chain(path)) for path in paths])
    # too many: the next layer's δ sum up what lies above
    if on.network.j is None:
        return _sum_over_neurons(on)
    terms = []
    for above in on.layers[1].values():
        factors = [on.of_cost(above.z), *on.z_by_z(above, on.own, on.j)]
        terms.append(multiply(*factors, *on.z_by_bottom(on.own)))
    return sum_of(terms)


def _sum_over_neurons(on: NetworkSheet) -> Formula:
    """Σ ∂C/∂z ∂z/∂x over the neurons that an input leads to."""
    return sum_of([multiply(on.of_cost(n.z), *on.z_by_bottom(n)) for n in on.layers[0].values()])


def by_parameter(on: NetworkSheet) -> list[Section]:
    """The derivative by a weight or a bias."""
    error = on.errors[on.network.layer, on.j]
    of_z, by_w, left = on.of_cost(on.own.z), on.z_by_parameter(), on.left_of_sample
    gradient = on.ordered(error.symbol, on.factor)
    is_bias = isinstance(on.factor, Number) and on.factor.value == 1.0
    output = _output_by_C(on)
    steps = [Equation(by_w, (), 1.0) if is_bias and not output else equal(by_w, *output, on.factor)]
    steps.append(equal(left, multiply(of_z, by_w), *[multiply(error.symbol, x) for x in output], gradient))
    require(gradient, left.value)
    what = "bias" if on.network.i is None else "weight"
    rule = "of many" if on.m > 1 and "of many" in on.notation.equations else None
    rule = on.notation.equation(rule or ("BP3" if on.network.i is None else "BP4"))
    title, (text, latex) = titled(rule, f"the derivative by the {what}"), _of_whole_layer(on)
    together = _together(on, gradient, multiply(error.expression, on.factor))
    return [Section(title + text, title + latex, tuple(steps)), together]


def _of_whole_layer(on: NetworkSheet) -> Name:
    """The equation ∂C/∂w = δ aᵀ, or ∂C/∂b = δ, after a comma, where the document has it; else nothing."""
    layer, notation, is_bias = on.network.layer, on.notation, on.network.i is None
    if ("BP3" if is_bias else "BP4") not in notation.whole_layers:
        return "", ""
    error, a = notation.error(layer), notation.output(layer - 1)
    array = notation.bias_vector(layer) if is_bias else notation.weight_name(layer)
    name = derivative_name(name_of(on.cost), array)
    if is_bias:
        return f", {name[0]} = {error[0]}", f", ${name[1]} = {error[1]}$"
    return f", {name[0]} = {error[0]} {a[0]}ᵀ", rf", ${name[1]} = {error[1]} \left({a[1]}\right)^T$"


def _output_by_C(on: NetworkSheet) -> list[Formula]:
    """Brawer's C h(z), by which his (44) multiplies δ; nothing in other notations, or for a bias."""
    layer, i, notation = on.network.layer, on.network.i, on.notation
    if not notation.node_zero or i is None:
        return []
    name = notation.applied(layer - 1, i) if layer == 1 else name_of(on.factor)
    return [multiply(on.C(layer, 1, i), Symbol(*name, on.factor.value, ("formula", on.factor)))]


def by_quantity(on: NetworkSheet) -> list[Section]:
    """The derivative by a z, or by an input."""
    layer, i = on.network.layer, on.network.i
    errors = {j: on.errors[layer, j] for j in on.layers[0]}
    if i is None:
        return [_together(on, errors[on.j].symbol, errors[on.j].expression)]
    weights = {j: on.weight(neuron, i) for j, neuron in on.layers[0].items()}
    terms = [on.ordered(errors[j].symbol, w) for j, w in weights.items()]
    gradient = sum_of(terms, on.short_sum(layer - 1, i, len(terms)))
    require(gradient, on.left.value)
    steps = []
    if len(weights) <= MOST_PATHS:
        steps = [equal(on.z_by_input(on.layers[0][j], i), w) for j, w in weights.items()]
    steps.append(equal(on.left, _sum_over_neurons(on), gradient))
    what = "the derivative by the input" if layer == 1 else "the derivative by the output below"
    name = derivative_name(name_of(on.total), on.notation.output(layer - 1))
    (matrix, mend), error = on.matrix(layer, on.layers[0].values()), on.notation.error(layer)
    section = Section(
        titled("", f"{what}, {name[0]} = {matrix[0]}ᵀ {error[0]}{mend[0]}"),
        titled("", rf"{what}, ${name[1]} = \left({matrix[1]}\right)^T {error[1]}${mend[1]}"),
        tuple(steps),
    )
    simple = sum_of([multiply(errors[j].expression, w) for j, w in weights.items()])
    return [section, _together(on, gradient, simple)]


def _together(on: NetworkSheet, gradient: Formula, simple: Formula) -> Section:
    """From the whole chain to what it comes to, with numbers below each form."""
    forms: list[tuple[Formula, bool]] = []
    if on.few_paths() is not None:
        for form in (chain_sum(on), simple):
            if form.size <= LONGEST_FORMULA:
                forms += [(form, False), (form, True)]
    forms += [(gradient, False), (gradient, True)]
    return Section("Together", "Together", (equal(on.left_of_sample, *forms),))


# ----------------------------------------------------------------------------------- samples and penalty


def over_samples(on: NetworkSheet) -> list[Section]:
    """The derivative of the whole cost, where that is more than the one sample's."""
    if on.left_of_sample is on.left:
        return []
    symbols, simplified = sum_over_samples(on, False), sum_over_samples(on, True)
    require(simplified, on.left.value)
    of_others = _of_other_samples(on)
    steps = [equal(on.left, symbols, simplified)]
    if on.notation.accumulates and _is_mean(on):
        steps = _accumulated(on)
    text, latex = _penalty_name(on)
    title = "The whole cost"
    if on.notation.accumulates and _is_mean(on):
        title = f"All {on.m} samples, the same steps for each: Δ, then D, the gradient"
    elif on.m > 1:
        title = f"All {on.m} samples: the same for each, then the {'mean' if _is_mean(on) else 'sum'}"
    if on.network.penalty:
        title += f", and the penalty {text}"
    if on.network.others:
        title += ", and what else the cost has of the parameter itself"
    groups = ((len(of_others), 1), (len(steps), 1))
    latex_title = title.replace(text, f"${latex}$").replace("Δ, then D", r"$\Delta$, then $D$")
    return [Section(title, latex_title, (*of_others, *steps), groups)]


def whole_cost(on: NetworkSheet) -> Formula | None:
    """The cost of several samples as the mean of theirs, and the penalty; None where there is more to it."""
    if on.m == 1 or any(sample.cost == on.graph.root for sample in on.network.samples):
        return None
    whole = _weighted(on, on.costs)
    if on.network.penalty:
        terms = [term for neuron in on.neurons() for term in neuron.terms if term.parameter.i is not None]
        weights = [on.sheet.names[number] for number in sorted({term.number for term in terms})]
        penalty = multiply(0.5, _rate(on), sum_of([multiply(w, w) for w in weights]))
        whole = sum_of([whole, Symbol(*_penalty_name(on), penalty.value, ("formula", penalty))])
    return whole if agrees(whole, on.total.value) else None


def _penalty_name(on: NetworkSheet) -> Name:
    """λ/(2m) Σ w², without m if the cost is no mean."""
    w = on.notation.weight_name(1)[0][0], on.notation.weight
    if _is_mean(on):
        return f"λ/(2m) Σ {w[0]}²", rf"\frac{{\lambda}}{{2m}} \sum {w[1]}^2"
    return f"λ/2 Σ {w[0]}²", rf"\frac{{\lambda}}{{2}} \sum {w[1]}^2"


def _of_other_samples(on: NetworkSheet) -> list[Equation]:
    """The numbers of the other samples, by the same steps: δ, and the output that it is multiplied by."""
    steps = []
    for sample, term in enumerate(_terms(on, True)[1:], start=2):
        for factor in term.factors if isinstance(term, Product) else [term]:
            if isinstance(factor, Symbol) and not _is_input(on, sample, factor):
                steps.append(Equation(factor, (), factor.value))
    return steps


def _is_input(on: NetworkSheet, sample: int, factor: Symbol) -> bool:
    """Whether a factor of a weight is given, as inputs are."""
    number = on.network.samples[sample - 1].factor
    if number is None or on.network.layer > 1:
        return False
    return bool(factor.meaning == ("node", on.graph.nodes[number]))


def sum_over_samples(on: NetworkSheet, simplified: bool) -> Formula:
    """∂J/∂w of the samples' costs and the penalty, in ∂ or in δ."""
    whole = _weighted(on, _terms(on, simplified))
    penalty = _penalty(on)
    return whole if penalty is None else sum_of([whole, penalty])


def _terms(on: NetworkSheet, simplified: bool) -> list[Formula]:
    """Each sample's ∂C/∂w, or δ a."""
    sheet, root = on.sheet, on.graph.root
    terms: list[Formula] = []
    for number, (sample, scale) in enumerate(zip(on.network.samples, on.scales, strict=True), start=1):
        neuron = sample.layers[0][on.j]
        value = sheet.adjoint[neuron.z] / scale
        index = number if on.m > 1 else None
        factor = on.multiplied_by(on.network.layer, on.network.i, sample.factor, index)
        if simplified:
            name = on.notation.error(on.network.layer, on.j, sample=index)
            meaning = ("total", on.graph.nodes[sample.cost], on.graph.nodes[neuron.z])
            terms.append(on.ordered(Symbol(*name, value, meaning), factor))
        elif sample.cost == root:
            z = Symbol(*on.notation.input_to_neuron(on.network.layer, on.j, sample=index), 0.0)
            by_z = sheet.by(root, neuron.z, (on.total, z), value)
            terms.append(multiply(by_z, sheet.by(neuron.z, on.target, (z, on.bottom), factor.value)))
        else:
            names = on.costs[number - 1], on.bottom
            terms.append(sheet.by(sample.cost, on.target, names, value * factor.value))
    return terms


def _is_mean(on: NetworkSheet) -> bool:
    return on.m > 1 and all(same(scale, 1.0 / on.m) for scale in on.scales)


def _over_m(on: NetworkSheet) -> Formula:
    return Quotient(Number(1.0), _number_of_samples(on))


def _number_of_samples(on: NetworkSheet) -> Symbol:
    return Symbol("m", "m", float(on.m))


def _weighted(on: NetworkSheet, terms: Sequence[Formula]) -> Formula:
    """The samples' terms, each times ∂J/∂C of its cost."""
    if _is_mean(on):
        return Product([_over_m(on), sum_of(terms)])
    if all(scale == 1.0 for scale in on.scales):
        return sum_of(terms)
    nodes, root = on.graph.nodes, on.graph.root
    weights = [
        derivative_of(on.total, cost, scale, ("total", nodes[root], nodes[sample.cost]))
        for cost, scale, sample in zip(on.costs, on.scales, on.network.samples, strict=True)
    ]
    return sum_of([multiply(weight, term) for weight, term in zip(weights, terms, strict=True)])


def _penalty(on: NetworkSheet) -> Formula | None:
    """(λ/m) w, the derivative of λ/(2m) w², without m if the cost is no mean; and of other penalties."""
    sheet, terms = on.sheet, []
    if on.network.penalty:
        terms.append(multiply(_rate(on), on.bottom))
    for use in on.network.others:
        terms.append(multiply(sheet.adjoint[use], sheet.local(use, on.target)))
    return sum_of(terms) if terms else None


def _rate(on: NetworkSheet) -> Formula:
    """λ/m, or λ if the cost is no mean."""
    by_square = sum(on.sheet.adjoint[square] for square in on.network.penalty)
    if not _is_mean(on):
        return Symbol("λ", r"\lambda", 2.0 * by_square)
    return divide(Symbol("λ", r"\lambda", 2.0 * by_square * on.m), _number_of_samples(on))


def _accumulated(on: NetworkSheet) -> list[Equation]:
    """Δ, the sum over the samples, then D, its mean and the penalty's derivative."""
    place = on.network.layer, on.j, on.network.i or 0
    summed = sum_of(_terms(on, True))
    accumulator = Symbol(*on.notation.like_weight(r"\Delta", *place), summed.value, ("formula", summed))
    mean = Product([_over_m(on), accumulator])
    penalty = _penalty(on)
    whole = mean if penalty is None else sum_of([mean, penalty])
    D = Symbol(*on.notation.like_weight("D", *place), whole.value, ("formula", whole))
    return [equal(accumulator, summed), equal(D, whole), equal(on.left, sum_over_samples(on, False), D)]
