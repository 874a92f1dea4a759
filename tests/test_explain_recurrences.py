"""explain() of a recurrence: its step once, δ from step to step, and each line confirmed in forty digits.

What a symbol stands for is computed anew: a node by mpmath from the graph's leaves, at points other than the
graph's too, and a derivative by central differences, whose error is far below what forty digits show.
"""

from __future__ import annotations

import functools
import math
import random
import re

import mpmath
import pytest
from test_explanation import Numbers, compiled, gradients

import autobp
from autobp import Value
from autobp.engine import topological_order
from autobp.explanation import explain
from autobp.explanation.formula import Number
from autobp.reading.graph import record
from autobp.recurrences import accumulators, recurrence_in


class Differences:
    """The numbers that symbols stand for, with the leaves at some point."""

    def __init__(self, root, point):
        self.order = topological_order(root)
        self.point = point
        self.data = self.run(None, 0)
        self.known = {}

    def run(self, cut, step):
        data = {}
        for node in self.order:
            if node.is_leaf:
                data[node] = self.point[node]
            else:
                rule = compiled(node.operation.name, len(node.parents), tuple(node.constants))
                data[node] = rule(*[data[parent] for parent in node.parents])
            if node is cut:
                data[node] = self.data[node] + step
        return data

    def __call__(self, symbol):
        if isinstance(symbol, Number):
            return mpmath.mpf(symbol.value)
        kind, *nodes = symbol.meaning
        if kind == "node":
            return self.data[nodes[0]]
        assert kind == "total"
        top, bottom = nodes
        if bottom not in self.known:
            h = mpmath.mpf(10) ** -13
            self.known[bottom] = self.run(bottom, h), self.run(bottom, -h), h
        above, below, h = self.known[bottom]
        return (above[top] - below[top]) / (2 * h)


def confirm(explanation, root):
    """That every line is an identity, at the graph's own point and at another. How many were compared."""
    rng = random.Random(1)
    compared = 0
    with mpmath.workdps(40):
        for move in (0.0, 0.05):
            leaves = [node for node in topological_order(root) if node.is_leaf]
            point = {x: mpmath.mpf(x.data) + (rng.uniform(-move, move) if x.label else 0.0) for x in leaves}
            numbers = Differences(root, point)
            for step in explanation.steps:
                left = step.left.evaluate(Numbers.run, numbers)
                for right, _ in step.right:
                    compared += 1
                    error = abs(right.evaluate(Numbers.run, numbers) - left)
                    assert error <= 1e-14 * (1 + abs(left)), step.lines(explanation.style)
    return compared


def weights():
    return Value(0.9, label="w"), Value(0.5, label="u")


def rnn(T, every=True):
    w, u = weights()
    h, cost = 0.0, 0.0
    for t in range(T):
        h = (w * h + u * math.sin(t + 1)).tanh()
        cost = cost + (h - 0.3) ** 2
    return cost if every else (h - 0.3) ** 2


def rnn_at_the_end(T):
    return rnn(T, every=False)


def logistic(T):
    r, x = Value(3.2, label="r"), Value(0.4, label="x0")
    return functools.reduce(lambda x, _: r * x * (1 - x), range(T), x)


def two_back(T):
    w, u = weights()
    a, b = Value(0.8, label="a"), 1.0
    for _ in range(T):
        a, b = b, (w * b + u * a).sin()
    return b


def kalman(T):
    q, r = Value(0.5, label="q"), Value(0.8, label="r")
    m, P, cost = Value(0.0), Value(10.0), 0.0
    for t in range(T):
        S, e = P + r, math.sin(t + 1) - m
        K = P / S
        cost = cost + 0.5 * (S.log() + e * e / S)
        m, P = m + K * e, P * (1 - K) + q
    return cost


def euler(T):
    a, b = Value(0.5, label="a"), Value(0.2, label="b")
    x, y = Value(1.0, label="x0"), Value(0.5, label="y0")
    for _ in range(T):
        x, y = x + 0.1 * (a * x - b * x * y), y + 0.1 * (b * x * y - a * y)
    return (x - 1) ** 2 + (y - 1) ** 2


MODELS = [rnn, rnn_at_the_end, logistic, two_back, kalman, euler]


def titles(explanation):
    return [section.title for section in explanation.sections]


def section(explanation, start):
    (found,) = [x for x in explanation.sections if x.title.startswith(start)]
    return found


@pytest.mark.parametrize("model", MODELS)
def test_each_line_is_an_identity_and_the_number_is_the_gradient(model) -> None:
    J = model(14)
    graph = record([J])
    labelled = [graph.nodes[number] for number in graph.labels]
    for wrt, gradient in zip(labelled, gradients(J, labelled), strict=True):
        found = explain(J, wrt)
        assert any(title.startswith("The recurrence: ") for title in titles(found)), (model, wrt)
        assert found.value == pytest.approx(gradient, rel=1e-12)
        assert found.steps[-1].value == found.value
        assert confirm(found, J) > 20


@pytest.mark.parametrize("model", MODELS)
def test_the_step_and_its_errors_are_written_once_however_many_steps_there_are(model) -> None:
    def general(T):
        J = model(T)
        found = explain(J, next(iter(record([J]).labels.values())))
        back = section(found, "Backpropagation through time")
        forward = section(found, "The recurrence")
        lines = [str(step.lines(found.style)) for part in (forward, back) for step in part.steps]
        return [line for line in lines if "⁽ᵗ⁾" in line]

    few, many = general(30), general(200)
    assert few == many
    assert len(few) >= 2


def test_a_recurrent_neuron_in_words() -> None:
    text = str(explain(rnn_at_the_end(24), "w"))
    for line in [
        "  h⁽ᵗ⁾ = tanh(w · h⁽ᵗ⁻¹⁾ + u · x⁽ᵗ⁾)",
        "Backpropagation through time: δ_h⁽ᵗ⁾ = ∂J/∂h⁽ᵗ⁾",
        "  δ_h⁽ᵗ⁾ = δ_h⁽ᵗ⁺¹⁾ · (1 - (h⁽ᵗ⁺¹⁾)²) · w",
        "The derivative by w: what each step adds to it, t = 2, …, 23",
        "  ∂J/∂w = (Σₜ δ_h⁽ᵗ⁾ · (1 - (h⁽ᵗ⁾)²) · h⁽ᵗ⁻¹⁾) + ∂J/∂u2 · h⁽²³⁾",
    ]:
        assert line in text.splitlines(), line


def test_numbers_of_the_first_and_the_last_steps_are_those_of_differences() -> None:
    J = logistic(24)
    found = explain(J, "x0")
    by_step = {step.lines(found.style)[0][0]: step.value for step in found.steps}
    x = [0.4]
    for _ in range(24):
        x.append(3.2 * x[-1] * (1 - x[-1]))

    def from_step(t, start):
        return functools.reduce(lambda x, _: 3.2 * x * (1 - x), range(t, 24), start)

    for t in (1, 2, 12, 22, 23):
        name = f"δ_h⁽{str(t).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}⁾"
        difference = (from_step(t, x[t] + 1e-6) - from_step(t, x[t] - 1e-6)) / 2e-6
        assert by_step[name] == pytest.approx(difference, rel=1e-5, abs=1e-9)


def test_by_a_state_an_input_and_a_step_of_its_own() -> None:
    w = Value(0.9, label="w")
    x = [Value(math.sin(t + 1), label=f"x[{t}]") for t in range(24)]
    states = [Value(0.0)]
    for x_t in x:
        states.append((w * states[-1] + x_t).tanh())
    J = (states[-1] - 0.3) ** 2
    for wrt in (x[5], states[8], x[0]):
        (gradient,) = gradients(J, [wrt])
        found = explain(J, wrt)
        assert found.value == pytest.approx(gradient, rel=1e-12)
        assert "h⁽ᵗ⁾ = tanh(w · h⁽ᵗ⁻¹⁾ + x⁽ᵗ⁾)" in str(found)
    confirm(explain(J, x[5]), J)


def test_labels_of_states_are_their_letters() -> None:
    w = Value(0.9, label="w")
    s = Value(0.2)
    for t in range(20):
        s = (w * s + math.cos(t)).tanh()
        s.label = f"s{t}"
    assert "  s⁽ᵗ⁾ = tanh(w · s⁽ᵗ⁻¹⁾ + x⁽ᵗ⁾)" in str(explain(s * s, "w")).splitlines()


@pytest.mark.parametrize("T", [24, 1000])
def test_what_is_only_added_up_is_no_recurrence(T) -> None:
    w, u = weights()
    J = sum(((w * math.sin(t) - u) ** 2 for t in range(T)), start=Value(0.0)) / T
    assert recurrence_in(record([J]), 8) is None
    assert "The recurrence" not in " ".join(titles(explain(J, "w")))


def test_a_product_that_the_steps_read_is_one() -> None:
    w, u = weights()
    s, total = Value(1.0), 0.0
    for t in range(20):
        s = s * (w + u * math.sin(t)).exp()
        total = total + s
    graph = record([total])
    loop = recurrence_in(graph, 8)
    assert loop is not None
    assert {graph.operations[loop.body[k].nodes[0]].name for k in accumulators(graph, loop)} == {"add"}
    confirm(explain(total, "u"), total)


def test_a_thousand_steps_and_latex() -> None:
    found = explain(rnn(1000), "u")
    assert len(str(found).splitlines()) < 60
    latex = found.latex
    assert r"h^{(t)} = \tanh\left(w \cdot h^{(t-1)} + u \cdot x^{(t)}\right)" in latex
    assert r"\sum_{t=1}^{1000}" in latex
    assert latex.count("{") == latex.count("}")


def test_layers_of_a_network_are_none() -> None:
    net = autobp.MLP(4, [4] * 20 + [1], seed=1)
    assert recurrence_in(record([net([0.1, 0.2, 0.3, 0.4])]), 8) is None


def test_two_loops_and_a_state_that_is_not_finite() -> None:
    w, u = weights()
    h = functools.reduce(lambda h, t: (w * h + math.sin(t)).tanh(), range(20), Value(0.1))
    g = functools.reduce(lambda g, t: (u * g).sin() + h, range(30), h)
    found = explain(g, "u")
    assert re.search("The recurrence: (29|30) steps", str(found))
    assert found.value == pytest.approx(gradients(g, [u])[0])
    confirm(found, g)
