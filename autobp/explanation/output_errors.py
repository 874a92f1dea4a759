"""BP1: δ of the output layer, from the cost and the last activation.

Where the form of ∂C/∂a is known, its target gets the name y and the formula is written shorter: δ = a - y for
a sigmoid under its cross-entropy, and for a softmax under its own.
"""

from __future__ import annotations

import math

from autobp.explanation.equations import Equation, Section, equal, same, sum_of
from autobp.explanation.formula import Formula, Number, Symbol, add, divide, multiply, negate, rational
from autobp.explanation.names import derivative_name, name_of
from autobp.explanation.network_sheet import LONGEST_FORMULA, LayerError, NetworkSheet, require, titled
from autobp.explanation.notation import Name
from autobp.explanation.rules import apply
from autobp.ops import LOG, SIGMOID
from autobp.reading.layers import NeuronInGraph
from autobp.reading.targets import Target, softmax_targets, target_of

#: What ∂C/∂a is, of those forms that are written shorter.
_SHORTER = ("difference", "ratio", "sigmoid")


class OutputErrors:
    """δ of the outputs of a network; they are put among its ``errors``.

    Attributes:
        section: BP1.
        softmax: y_k where ∂C/∂z_k is softmax(z)_k - y_k; else None.
    """

    def __init__(self, on: NetworkSheet) -> None:
        self.on = on
        self.softmax = self._softmax_targets()
        self.differences = 0  # outputs whose δ is a - y, a sigmoid's under its cross-entropy
        self.quadratic = 0  # outputs whose ∂C/∂a is a - y
        steps = tuple(self._steps())
        self.section = Section(*self._titles(), steps, ((len(steps), len(steps) // len(on.layers[-1])),))

    def _titles(self) -> tuple[str, str]:
        on, layer = self.on, self.on.network.depth
        neurons = on.layers[-1].values()
        error, rule = on.notation.error(layer), "BP1"
        if self.differences == len(neurons) and "a - y" in on.notation.equations:
            rule, a, y = "a - y", *self._a_and_y()
            text, latex = f"{a[0]} - {y[0]}", f"{a[1]} - {y[1]}"
        elif all(neuron.output != neuron.z for neuron in neurons):
            slope, a, y = on.notation.slope(layer, function=on.function(neurons)), *self._a_and_y()
            by_a = derivative_name(name_of(on.cost), on.notation.output(layer))
            if self.quadratic == len(neurons) and "(a - y) ⊙ σ'" in on.notation.equations:
                rule, by_a = "(a - y) ⊙ σ'", (f"({a[0]} - {y[0]})", f"({a[1]} - {y[1]})")
            times = on.notation.elementwise
            text, latex = f"{by_a[0]} {times[0]} {slope[0]}", f"{by_a[1]} {times[1]} {slope[1]}"
        else:
            text, latex = derivative_name(name_of(on.cost), on.notation.input_to_neuron(layer))
        what = titled(on.notation.equation(rule), "the error of the output layer")
        return f"{what}, {error[0]} = {text}", f"{what}, ${error[1]} = {latex}$"

    def _a_and_y(self) -> tuple[Name, Name]:
        return self.on.notation.output(self.on.network.depth), self.on.notation.target()

    def _steps(self) -> list[Equation]:
        on, layer = self.on, self.on.network.depth
        steps: list[Equation] = []
        for k, neuron in on.layers[-1].items():
            delta = on.delta(layer, k, neuron)
            if on.network.softmax:
                if not steps:
                    steps += self._costs_by_outputs()
                steps += self._of_softmax(k, neuron, delta)
            elif self.softmax is not None:
                difference = add(self._softmax(k), -self._target_of_softmax(k))
                on.errors[layer, k] = LayerError(delta, difference)
                steps.append(equal(delta, on.of_cost(neuron.z), difference))
            elif neuron.output == neuron.z:
                steps.append(self._of_linear(k, neuron, delta))
            else:
                steps += self._of_activation(k, neuron, delta)
        for k, neuron in on.network.outputs.items():
            if k not in on.layers[-1] and self.softmax is None and not on.network.softmax:
                self._cost_by_output(neuron, k)  # which names the target, for the formula of the cost
        return steps

    # ------------------------------------------------------------------------------ outputs one at a time

    def _of_linear(self, k: int, neuron: NeuronInGraph, delta: Symbol) -> Equation:
        """δ = ∂C/∂z, of an output without an activation."""
        on = self.on
        derived, target = self._cost_by_output(neuron, k)
        simple = derived
        if target is not None and target.form == "sigmoid":
            simple = self._times_difference(target, k, apply(SIGMOID, [on.z(neuron)]))
        elif target is not None and target.form == "difference":
            simple = self._times_difference(target, k, on.output(neuron))
        on.errors[on.network.depth, k] = LayerError(delta, simple)
        require(simple, delta.value)
        return equal(delta, on.of_cost(neuron.z), derived, simple)

    def _of_activation(self, k: int, neuron: NeuronInGraph, delta: Symbol) -> list[Equation]:
        """δ = ∂C/∂a σ'(z)."""
        on = self.on
        derived, target = self._cost_by_output(neuron, k)
        of_a, slope, a = on.of_cost(neuron.output), on.slope(neuron), on.output(neuron)
        forms = [derived]
        if target is not None:
            difference = self._times_difference(target, k, a)
            ratio = target.form != "difference"
            forms.append(divide(difference, multiply(a, 1.0 - a)) if ratio else difference)
        steps = [equal(of_a, *forms), on.slope_step(neuron)]
        simple = multiply(forms[-1], slope)
        products = [multiply(of_a, on.slope_symbol(neuron)), simple]
        if not on.notation.labels:
            products.insert(1, multiply(of_a, on.prime(neuron)))
        if target is not None and target.form == "difference":
            products.insert(-1, multiply(difference, on.prime(neuron)))
            self.quadratic += target.coefficient == 1
        is_sigmoid = on.graph.operations[neuron.output] is SIGMOID
        if target is not None and target.form == "ratio" and is_sigmoid:
            simple = difference
            products.append(simple)
            self.differences += target.coefficient == 1
        steps.append(equal(delta, on.of_cost(neuron.z), *products))
        on.errors[on.network.depth, k] = LayerError(delta, simple)
        require(simple, delta.value)
        return steps

    def _times_difference(self, target: Target, k: int, output: Formula) -> Formula:
        """c (a - y)."""
        return multiply(rational(target.coefficient), add(output, -self.on.targets[k]))

    def _cost_by_output(self, neuron: NeuronInGraph, k: int) -> tuple[Formula, Target | None]:
        """∂C/∂a_k as a formula with its target named, and the target, where the form is written shorter."""
        on, sheet = self.on, self.on.sheet
        output, linear = neuron.output, neuron.output == neuron.z
        true = sheet.adjoint[output] / on.scales[0]
        found = target_of(on.graph, on.sample.cost, output, sheet.names, linear)
        if found is not None:
            symbol = sheet.symbol(found.number, on.notation.target(k))
            sheet.names[found.number] = symbol
            on.targets[k] = symbol
            for number in found.complements:
                sheet.names[number] = add(1.0, -symbol)
        derived = sheet.derivative(on.sample.cost, output)
        if derived is None or derived.size > LONGEST_FORMULA or not same(derived.value, true):
            derived = Number(true)
        return derived, found if found is not None and found.form in _SHORTER else None

    # --------------------------------------------------------------------------------------- all together

    def _costs_by_outputs(self) -> list[Equation]:
        """∂C/∂a of every output, for a softmax, in which each z changes them all."""
        self.by_output: dict[int, Formula] = {}
        steps = []
        for k, neuron in self.on.network.outputs.items():
            self.by_output[k], _ = self._cost_by_output(neuron, k)
            steps.append(equal(self.on.of_cost(neuron.output), self.by_output[k]))
        return steps

    def _of_softmax(self, j: int, neuron: NeuronInGraph, delta: Symbol) -> list[Equation]:
        """δ_j = Σ_k ∂C/∂a_k ∂a_k/∂z_j, and a_j - y_j where that is what it comes to."""
        on = self.on
        a_j = on.output(on.network.outputs[j])
        steps, chain, written = [], [], []
        for k, other in on.network.outputs.items():
            a_k = on.output(other)
            slope = multiply(a_k, 1.0 - a_k) if k == j else -multiply(a_k, a_j)
            symbol = on.sheet.by(other.output, neuron.z, (a_k, on.z(neuron)), slope.value)
            steps.append(equal(symbol, slope))
            chain.append(multiply(on.of_cost(other.output), symbol))
            written.append(multiply(self.by_output[k], slope))
        expression = sum_of(written)
        forms = [on.of_cost(neuron.z), sum_of(chain), expression]
        if self.softmax is not None:
            expression = add(a_j, -self._target_of_softmax(j))
            forms.append(expression)
        require(expression, delta.value)
        on.errors[on.network.depth, j] = LayerError(delta, expression)
        return [*steps, equal(delta, *forms)]

    def _softmax_targets(self) -> dict[int, float] | None:
        neurons, softmax = self.on.network.outputs, self.on.network.softmax
        if len(neurons) < 2 or (not softmax and any(n.output != n.z for n in neurons.values())):
            return None
        y = softmax_targets(self.on.graph, self.on.sample.cost, [neuron.z for neuron in neurons.values()])
        return None if y is None else dict(zip(neurons, y, strict=True))

    def _softmax(self, k: int) -> Formula:
        """softmax(z)_k: an output where there is a softmax layer, else a symbol."""
        if self.on.network.softmax:
            return self.on.output(self.on.network.outputs[k])
        return self.softmax_symbol(k)

    def softmax_symbol(self, k: int) -> Symbol:
        """softmax(z)_k by name."""
        graph, neurons = self.on.graph, self.on.network.outputs
        z = [graph.values[neuron.z] for neuron in neurons.values()]
        largest = max(z)
        total = sum(math.exp(x - largest) for x in z)
        name = self.on.notation.input_to_neuron(self.on.network.depth)
        nodes = tuple(graph.nodes[neuron.z] for neuron in neurons.values())
        return Symbol(
            f"softmax({name[0]})[{k}]",
            rf"\operatorname{{softmax}}({name[1]})_{{{k}}}",
            math.exp(graph.values[neurons[k].z] - largest) / total,
            ("softmax", nodes, graph.nodes[neurons[k].z]),
        )

    def cost(self) -> Formula | None:
        """-Σ y log softmax(z), where that is the cost."""
        assert self.softmax is not None
        logs = [multiply(self._target_of_softmax(k), apply(LOG, [self._softmax(k)])) for k in self.softmax]
        written = negate(sum_of(logs))
        return written if same(written.value, self.on.cost.value) else None

    def _target_of_softmax(self, k: int) -> Symbol:
        assert self.softmax is not None
        return Symbol(*self.on.notation.target(k), self.softmax[k])
