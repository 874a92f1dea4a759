"""The derivations that explain() writes: SymPy on each line, the gradient at the end, the documents' words.

A printed line says that several formulas are equal. Here every symbol in them is replaced by what it stands
for, as SymPy computes it from the graph's operations (in SymPy's words, tests/witnesses.py) with SymPy's own
derivatives, and the formulas are compared in forty digits at points other than the graph's.
"""

import functools
import itertools
import math
import random
import re

import mpmath
import pytest
import sympy as sp
from test_edges_document import function_of, numbers, point_of, rows
from witnesses import WITNESSES, agree

import autobp
from autobp import MLP, Value, costs
from autobp.engine import ieee, topological_order
from autobp.explanation import explain
from autobp.explanation.formula import Number
from autobp.explanation.notation import NOTATIONS
from autobp.ops import STOP_GRADIENT

# ------------------------------------------------------------------------------------ SymPy, line by line


class Sympy:
    """What the symbols of an explanation stand for. Leaves with a label are free."""

    def __init__(self, root):
        self.symbols = {}
        for node in topological_order(root):
            # what stop_gradient holds is a constant of any size: softmax does not depend on its shift
            if node.operation is STOP_GRADIENT or (node.is_leaf and node.label):
                self.symbols[node] = sp.Symbol(f"v{len(self.symbols)}", real=True)
        self.known = {}
        self.compiled = {}

    def of(self, top, cut=None):
        """A node in terms of the leaves, or of the node ``cut`` standing for itself, a symbol t."""
        t = sp.Symbol("t", real=True)
        key = (id(top), id(cut))
        if key not in self.known:
            made = {}
            for node in topological_order(top):
                if node is cut:
                    made[node] = t
                elif node in self.symbols:
                    made[node] = self.symbols[node]
                elif node.is_leaf:
                    made[node] = exact(node.data)
                else:
                    made[node] = run(node.operation, [made[p] for p in node.parents], node.constants)
            self.known[key] = made[top]
        return self.known[key]

    def derivative(self, top, bottom):
        t = sp.Symbol("t", real=True)
        return sp.diff(self.of(top, bottom), t).subs(t, self.of(bottom))

    def meaning(self, symbol):
        if isinstance(symbol, Number) or symbol.meaning is None:
            return exact(symbol.value)
        kind, *nodes = symbol.meaning
        if kind == "node":
            return self.of(*nodes)
        if kind == "total":
            return self.derivative(*nodes)
        if kind == "softmax":
            exponentials = [sp.exp(self.of(z)) for z in nodes[0]]
            return sp.exp(self.of(nodes[1])) / sp.Add(*exponentials)
        if kind == "formula":  # a name for what stands on its right
            return nodes[0].evaluate(run, self.meaning)
        assert kind == "local"
        consumer, parent = nodes
        operands = {p: sp.Symbol(f"p{i}", real=True) for i, p in enumerate(consumer.parents)}
        by_rule = run(consumer.operation, [operands[p] for p in consumer.parents], consumer.constants)
        return sp.diff(by_rule, operands[parent]).subs({s: self.of(p) for p, s in operands.items()})


def exact(number):
    return sp.Rational(*float(number).as_integer_ratio())


def run(operation, operands, constants):
    return WITNESSES[operation.name].sympy(*operands, *[exact(k) for k in constants])


class Numbers:
    """The same meanings as numbers of forty digits, at one point: SymPy derives, mpmath evaluates."""

    def __init__(self, sympy, point):
        self.sympy = sympy
        self.point = point
        self.known = {}

    def __call__(self, symbol):
        key = symbol.value if isinstance(symbol, Number) else symbol.meaning or symbol.value
        if key not in self.known:
            if key not in self.sympy.compiled:
                symbols = list(self.sympy.symbols.values())
                self.sympy.compiled[key] = sp.lambdify(
                    symbols, self.sympy.meaning(symbol), "mpmath", cse=True
                )
            self.known[key] = mpmath.mpf(self.sympy.compiled[key](*self.point))
        return self.known[key]

    @staticmethod
    def run(operation, operands, constants):
        return compiled(operation.name, len(operands), tuple(constants))(*operands)


@functools.cache
def compiled(name, n, constants):
    operands = sp.symbols(f"x0:{n}", real=True)
    return sp.lambdify(operands, WITNESSES[name].sympy(*operands, *[exact(k) for k in constants]), "mpmath")


def confirm(explanation, root, seed=0, positive=()):
    """SymPy's word that every line is an identity, at points away from the graph's own numbers too.

    ``positive``: leaves to keep between 0 and 1. Returns how many equalities were confirmed.
    """
    sympy = Sympy(root)
    rng = random.Random(seed)
    leaves = list(sympy.symbols)
    points = [
        [leaf.data for leaf in leaves],
        [rng.uniform(0.2, 0.8) if x in set(positive) else x.data + rng.uniform(-0.3, 0.3) for x in leaves],
    ]
    equalities = 0
    with mpmath.workdps(40):
        for point in points:
            numbers = Numbers(sympy, [mpmath.mpf(x) for x in point])
            for step in explanation.steps:
                left = step.left.evaluate(Numbers.run, numbers)
                for right, _ in step.right:
                    equalities += 1
                    error = abs(right.evaluate(Numbers.run, numbers) - left)
                    assert error <= 1e-14 * (1 + abs(left)), (step.lines(explanation.style), point)
    assert equalities
    return equalities


def network(sizes, activation="sigmoid", seed=3, bias=True):
    net = MLP(sizes[0], sizes[1:], activation, seed=seed, bias=bias)
    rng = random.Random(seed)
    for layer in net.layers:
        if bias:
            layer.b = [rng.uniform(-0.5, 0.5) for _ in layer.neurons]
    return net


def inputs(n, seed=1):
    rng = random.Random(seed)
    return [Value(round(rng.uniform(-1, 1), 3), label=f"x{i + 1}") for i in range(n)]


def gradients(value, parameters):
    before = [p.grad for p in parameters]
    for p in parameters:
        p.grad = 0.0
    value.backward()
    found = [p.grad for p in parameters]
    for p, grad in zip(parameters, before, strict=True):
        p.grad = grad
    return found


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("sizes", [(3, 1), (3, 2), (3, 2, 1), (3, 2, 2)])
def test_every_derivative_of_the_induction_proofs_networks(sizes, notation):
    net = network(sizes, bias=False)
    y = [Value(0.3 + 0.4 * k, label=f"y{k + 1}") for k in range(sizes[-1])]
    J = costs.binary_cross_entropy(net.trace(inputs(sizes[0])).output, y)
    parameters = net.parameters()
    for w, grad in zip(parameters, gradients(J, parameters), strict=True):
        found = explain(J, w, notation=notation)
        assert found.value == grad
        if w is parameters[0] or w is parameters[-1]:
            confirm(found, J, positive=y)


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("sizes", [(2, 1), (2, 2, 1), (3, 2, 2), (2, 6, 1)])
def test_every_derivative_by_an_input_a_z_and_an_activation(sizes, notation):
    net = network(sizes, ["tanh"] * (len(sizes) - 2) + ["sigmoid"])
    x = inputs(sizes[0])
    trace = net.trace(x)
    y = [Value(0.3 + 0.4 * (k % 2), label=f"y{k + 1}") for k in range(sizes[-1])]
    J = costs.binary_cross_entropy(trace.output, y)
    J.backward()
    quantities = [*x, *itertools.chain(*trace.z[1:]), *itertools.chain(*trace.a[1:-1])]
    for i, quantity in enumerate(quantities):
        found = explain(J, quantity, notation=notation)
        assert found.value == pytest.approx(quantity.grad, rel=1e-14)
        n = len(sizes) - (notation == "autobp")  # the documents' L counts the input
        assert f"in a network of {n} layer" in found.heading
        if i in (0, len(x), len(quantities) - 1):
            confirm(found, J, positive=y)


def test_the_derivative_by_an_input_in_words():
    net = network((2, 2, 1), ["tanh", "sigmoid"])
    x = inputs(2)
    trace = net.trace(x)
    J = costs.binary_cross_entropy(trace.output, [1.0])
    J.backward()
    found = explain(J, x[0]).text
    assert found.startswith("∂J/∂x[1] in a network of 2 layers\n")
    assert "\nThe derivative by the input, ∂J/∂x = W1ᵀ δ1\n" in found
    assert "∂J/∂x[1] = ∂J/∂z1[1] · ∂z1[1]/∂x[1] + ∂J/∂z1[2] · ∂z1[2]/∂x[1]\n" in found
    *_, simple, last = found.splitlines()
    assert simple.strip() == "= δ1[1] · W1[1,1] + δ1[2] · W1[2,1]"
    assert last.endswith(f" = {x[0].grad:.4g}")
    of_z = explain(J, trace.z[1][0]).text
    assert of_z.split()[-4:] == ["=", "δ1[1]", "=", f"{trace.z[1][0].grad:.4g}"]
    assert "tanh'(z1[1])" in of_z
    assert "The derivative by the output below, ∂J/∂a1 = W2ᵀ δ2" in explain(J, trace.a[1][1]).text


def test_a_wide_layers_sum_over_neurons_is_written_short():
    net = network((2, 30, 1), ["relu", "linear"])
    x = inputs(2)
    J = costs.quadratic(net.trace(x).output, [0.5])
    J.backward()
    found = explain(J, x[1])
    assert found.value == pytest.approx(x[1].grad, rel=1e-13)
    assert "= Σₖ δ1[k] · W1[k,2]\n" in found.text
    assert len(found.text) < 6000


@pytest.mark.parametrize(
    "name", ["partial sum", "product", "input of two layers", "input of the cost", "output", "two samples"]
)
def test_what_is_no_input_z_or_activation_is_derived_node_by_node(name):
    net = network((2, 2, 1), "tanh")
    x = inputs(2)
    trace = net.trace(x)
    z = trace.z[1][0]
    nodes = {"partial sum": z.parents[0], "product": z.parents[1], "output": trace.output[0]}
    quantity = nodes.get(name, x[0])
    J = costs.quadratic(trace.output, [0.5])
    if name == "input of two layers":
        J = costs.quadratic([net.layers[1].neurons[0]([trace.a[1][0], x[0]])], [0.5]) + J
    if name == "input of the cost":
        J = J + x[0] * x[0]
    if name == "two samples":
        J = J + costs.quadratic(net.trace([x[0], Value(0.3)]).output, [0.1])
    J.backward()
    found = explain(J, quantity)
    assert "network" not in found.heading
    assert found.value == pytest.approx(quantity.grad, rel=1e-14)
    confirm(found, J)


def test_each_samples_quantities_have_derivatives_of_their_own():
    net = network((2, 2, 1), "sigmoid")
    samples = [inputs(2, seed=1), inputs(2, seed=2)]
    traces = [net.trace(x) for x in samples]
    y = [Value(0.2, label="y1"), Value(0.7, label="y2")]
    J = costs.quadratic([trace.output for trace in traces], y)
    J.backward()
    for x, trace in zip(samples, traces, strict=True):
        for quantity in (x[0], trace.z[1][1], trace.a[1][0], trace.z[2][0]):
            found = explain(J, quantity)
            assert "network" in found.heading
            assert found.value == pytest.approx(quantity.grad, rel=1e-14)
            confirm(found, J, positive=y)


def test_the_cost_is_written_with_the_targets_of_all_outputs():
    net = network((2, 2, 2), ["tanh", "sigmoid"])
    J = costs.quadratic(net.trace(inputs(2)).output, [1.0, 0.0])
    found = explain(J, "W2[1,1]")
    assert "J = 0.5 · (a2[1] - y[1])² + 0.5 · (a2[2] - y[2])²\n" in found.text
    confirm(found, J)


COSTS = {
    "quadratic": costs.quadratic,
    "binary_cross_entropy": costs.binary_cross_entropy,
    "binary_cross_entropy_with_logits": costs.binary_cross_entropy_with_logits,
    "softmax_cross_entropy": costs.softmax_cross_entropy,
    "hinge": costs.hinge,
}


@pytest.mark.parametrize("labelled", [True, False], ids=["symbolic targets", "numeric targets"])
@pytest.mark.parametrize(
    ("cost", "activation"),
    [
        ("quadratic", "sigmoid"),
        ("quadratic", ["tanh", "linear"]),
        ("quadratic", ["silu", "softmax"]),
        ("binary_cross_entropy", ["tanh", "sigmoid"]),
        ("binary_cross_entropy", ["softplus", "softmax"]),
        ("binary_cross_entropy_with_logits", ["leaky_relu", "linear"]),
        ("softmax_cross_entropy", ["elu", "linear"]),
        ("hinge", ["gelu", "tanh"]),
    ],
)
def test_every_cost_and_activation(cost, activation, labelled):
    net = network((2, 3, 2), activation)
    numbers = [0.25, 0.75] if cost != "hinge" else [-1.0, 1.0]
    if labelled and cost in ("hinge", "softmax_cross_entropy"):
        pytest.skip("true of targets -1 and 1, or of probabilities, alone")
    y = [Value(n, label=f"y{k}") for k, n in enumerate(numbers)] if labelled else numbers
    J = COSTS[cost](net.trace(inputs(2)).output, y)
    parameters = net.parameters()
    for w, grad in zip(parameters, gradients(J, parameters), strict=True):
        found = explain(J, w)
        assert found.value == grad
        assert "layers" in found.heading
        if w.label in ("W1[2,1]", "b2[1]"):
            confirm(found, J, positive=y if labelled else ())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("w", ["W1[2,1]", "b1[1]", "W2[1,2]", "b2[1]"])
def test_a_mean_over_samples_and_a_penalty(w, notation):
    net = network((2, 2, 1))
    X = [inputs(2, seed) for seed in (1, 2, 3)]
    for i, x in enumerate(X):
        for x_j in x:
            x_j.label += f" of {i}"
    Y = [[1], [0], [1]]
    J = costs.binary_cross_entropy([net.trace(x).output for x in X], Y) + costs.l2(net, 0.3, 3)
    found = explain(J, w, notation=notation)
    confirm(found, J)
    truth = autobp.matrix.backprop(
        net.W, net.b, [[x.data for x in row] for row in X], Y, activations="sigmoid",
        cost="binary_cross_entropy", l2=0.3,
    )  # fmt: skip
    layer, j = int(w[1]), int(w[3])
    expected = truth.dW[layer - 1][j - 1, int(w[5]) - 1] if w[0] == "W" else truth.db[layer - 1][j - 1]
    assert found.value == pytest.approx(expected, rel=1e-13)
    assert ("λ/m" in found.text) == (w[0] == "W")  # biases are not regularised
    assert "1/m" in found.text or "Δ" in found.text


def test_sympy_simplifies_each_difference_to_0():
    """The induction proof's first network, not at points but for all numbers."""
    net = network((3, 1), bias=False)
    y = Value(0.4, label="y")
    J = costs.binary_cross_entropy(net(inputs(3)), y)
    found = explain(J, "W1[1,2]", notation="induction")
    sympy = Sympy(J)
    for step in found.steps:
        for right, _ in step.right:
            assert sp.simplify(right.evaluate(run, sympy.meaning) - sympy.meaning(step.left)) == 0, step


# -------------------------------------------------------------------------------- the documents' equations


def written(sizes, w, notation, bias=True, cost=costs.binary_cross_entropy, samples=1, l2=0.0):
    net = network(sizes, bias=bias)
    rng = random.Random(0)
    X = [[round(rng.uniform(-1, 1), 2) for _ in range(sizes[0])] for _ in range(samples)]
    Y = [[rng.randint(0, 1) for _ in range(sizes[-1])] for _ in X]
    a = [net.trace(x).output for x in X]
    J = cost(a[0], Y[0]) if samples == 1 else cost(a, Y)
    return explain(J + costs.l2(net, l2, samples) if l2 else J, w, notation=notation)


def lines(found, latex=False):
    """Every right side that is written, the spaces apart."""
    style = found.style if not latex else found.style.__class__(latex=True, times=found.style.times,
                                                                sigmoid=found.style.sigmoid)  # fmt: skip
    return [" ".join(parts) for step in found.steps for parts in step.lines(style)]


def test_the_induction_proof_in_its_own_words():
    found = written((3, 2, 1), "W1[1,1]", "induction", bias=False)
    assert "∂J(θ)/∂a⁽³⁾₁ · ∂a⁽³⁾₁/∂z⁽³⁾₁ · ∂z⁽³⁾₁/∂a⁽²⁾₁ · ∂a⁽²⁾₁/∂z⁽²⁾₁ · ∂z⁽²⁾₁/∂θ⁽¹⁾₁₁" in lines(found)
    assert "-y₁/a⁽³⁾₁ + (1 - y₁)/(1 - a⁽³⁾₁)" in lines(found)
    assert "g(z⁽³⁾₁) · (1 - g(z⁽³⁾₁))" in lines(found)
    assert "a⁽³⁾₁ - y₁" in lines(found)
    assert "(a⁽³⁾₁ - y₁) · θ⁽²⁾₁₁ · g(z⁽²⁾₁) · (1 - g(z⁽²⁾₁)) · a⁽¹⁾₁" in lines(found)
    assert "δ⁽²⁾₁ · a⁽¹⁾₁" in lines(found)
    # 3x2x2, whose part 2 the document leaves open: both outputs' paths, each with its own y
    found = written((3, 2, 2), "W1[1,1]", "induction", bias=False)
    assert "((a⁽³⁾₁ - y₁) · θ⁽²⁾₁₁ + (a⁽³⁾₂ - y₂) · θ⁽²⁾₂₁) · g(z⁽²⁾₁) · (1 - g(z⁽²⁾₁)) · a⁽¹⁾₁" in lines(
        found
    )
    latex = lines(found, latex=True)
    assert r"\delta_{1}^{(2)} \cdot a_{1}^{(1)}" in latex
    assert r"\frac{\partial J(\theta)}{\partial \theta_{1,1}^{(1)}}" in latex


def test_ml15s_accumulation_in_its_own_words():
    found = written((2, 2, 2, 1), "W1[2,1]", "ML15", samples=3, l2=0.6)
    assert "a⁽¹⁾₁ · δ⁽²⁾₂" in lines(found)
    assert "a⁽¹⁾₁⟨1⟩ · δ⁽²⁾₂⟨1⟩ + a⁽¹⁾₁⟨2⟩ · δ⁽²⁾₂⟨2⟩ + a⁽¹⁾₁⟨3⟩ · δ⁽²⁾₂⟨3⟩" in lines(found)
    assert "1/m · Δ⁽¹⁾₂₁ + λ/m · Θ⁽¹⁾₂₁" in lines(found)
    # the intuition part's δ_2^(2), with the g' that it lacks
    assert "(Θ⁽²⁾₁₂ · δ⁽³⁾₁ + Θ⁽²⁾₂₂ · δ⁽³⁾₂) · g'(z⁽²⁾₂)" in lines(found)
    assert "1/m · Δ⁽¹⁾₂₀" in lines(written((2, 2, 2, 1), "b1[2]", "ML15", samples=3, l2=0.6))


def test_bp1_to_bp4_in_the_study_notes_words():
    found = written((3, 2, 2), "W1[1,3]", "BP1-BP4", cost=costs.quadratic)
    assert "∂C/∂a³₁ · ∂a³₁/∂z³₁" in lines(found)  # (1)
    assert "∂C/∂z³₁ · ∂z³₁/∂z²₁ + ∂C/∂z³₂ · ∂z³₂/∂z²₁" in lines(found)  # (3)
    assert "w³₂₁ · σ'(z²₁)" in lines(found)  # (4)
    assert "(w³₁₁ · δ³₁ + w³₂₁ · δ³₂) · σ'(z²₁)" in lines(found)  # BP2
    assert "∂C/∂z²₁ · ∂z²₁/∂w²₁₃" in lines(found)  # (7)
    assert "a¹₃ · δ²₁" in lines(found)  # BP4
    found = written((3, 2, 2), "b1[1]", "BP1-BP4", cost=costs.quadratic)
    assert "∂C/∂z²₁ · ∂z²₁/∂b²₁" in lines(found)  # (5)
    assert "δ²₁" in lines(found)  # BP3
    assert [s.title.split(":")[0] for s in found.sections][2:5] == ["BP1", "BP2", "BP3"]


def test_the_general_equations_in_brawers_words():
    found = written((2, 2, 2), "W1[1,2]", "Brawer", samples=2)
    assert "h³(z³₁) - y₁" in lines(found)  # (42)
    assert "(δ³₁ · θ²₁₁ + δ³₂ · θ²₂₁) · Ψ²(z²₁)" in lines(found)  # (43)
    assert "δ²₁ · x₂" in lines(found)  # (45)
    assert "1/m · (δ²₁⟨1⟩ · x₂⟨1⟩ + δ²₁⟨2⟩ · x₂⟨2⟩)" in lines(found)  # (44)
    found = written((2, 2, 2), "W2[1,2]", "Brawer")
    assert "δ³₁ · h²(z²₂)" in lines(found)
    found = written((2, 2, 2), "b1[1]", "Brawer", samples=2)
    assert "1/m · (δ²₁⟨1⟩ + δ²₁⟨2⟩)" in lines(found)  # (46)
    found = written((3, 1), "W1[1,2]", "Brawer")
    assert "(h²(z²₁) - y₁) · x₂" in lines(found)  # (29), logistic regression


def test_the_slides_in_their_own_words():
    found = written((2, 2, 1), "W1[1,2]", "slides", cost=costs.quadratic)
    assert "(a^[3]₁ - y₁) · a^[3]₁ · (1 - a^[3]₁)" in lines(found)
    assert "δ^[3]₁ · w^[3]₁₁ · σ'(z^[2]₁)" in lines(found)
    assert "δ^[2]₁ · a^[1]₂" in lines(found)
    latex = lines(written((2, 2, 1), "W1[1,2]", "slides"), latex=True)
    assert r"\frac{a_{1}^{[3]} - y_{1}}{a_{1}^{[3]} \cdot \left(1 - a_{1}^{[3]}\right)}" in latex
    assert r"a_{1}^{[3]} - y_{1}" in latex


# --------------------------------------------------------------------------------------- networks by hand


def by_hand(sizes, letter="W", start=1):
    rng = random.Random(5)
    return [
        [
            [Value(rng.uniform(-1, 1), label=f"{letter}{layer}[{j},{i}]") for i in range(start, n + 1)]
            for j in range(1, k + 1)
        ]
        for layer, (n, k) in enumerate(itertools.pairwise(sizes), start=1)
    ]


def test_a_network_written_by_hand_with_plain_loops():
    (W1, W2), x = by_hand((2, 3, 1)), [0.5, -1.5]

    def cost(x, y):
        a = [sum(w * x_i for w, x_i in zip(row, x, strict=True)).tanh() for row in W1]
        p = sum(w * a_i for w, a_i in zip(W2[0], a, strict=True)).sigmoid()
        return -(y * p.log() + (1 - y) * (1 - p).log())

    J = (cost(x, 1) + cost([0.2, 0.7], 0)) / 2
    found = explain(J, W1[2][0])
    assert "2 layers, 2 samples" in found.heading
    assert "a2[1] - y[1]" in lines(found)
    assert "1/m · (δ1[3]⟨1⟩ · x[1]⟨1⟩ + δ1[3]⟨2⟩ · x[1]⟨2⟩)" in lines(found)
    assert found.value == gradients(J, [W1[2][0]])[0]
    confirm(found, J)


def test_bias_weights_in_column_0_with_a_unit_for_each_layer():
    (T1, T2) = by_hand((2, 2, 1), letter="θ", start=0)

    def layer(theta, a):
        a = [Value(1.0), *a]
        return [sum(t * a_j for t, a_j in zip(row, a, strict=True)).sigmoid() for row in theta]

    (h,) = layer(T2, layer(T1, inputs(2)))
    J = (h - 0.25) ** 2
    for w in (T1[1][0], T1[0][2], T2[0][0]):
        found = explain(J, w, notation="ML15")
        assert "layers" in found.heading
        assert found.value == gradients(J, [w])[0]
        confirm(found, J)
    assert "2 · (a⁽³⁾₁ - y₁)" in lines(explain(J, T1[0][2], notation="ML15"))
    assert "δ1[2] · 1" not in explain(J, T1[1][0]).text
    assert explain(J, T1[1][0]).heading.startswith("∂J/∂θ1[2,0] in")  # its own label


def test_samples_whose_costs_are_not_in_the_graph_by_themselves():
    """One flat sum over samples and outputs: no node is the cost of the second sample."""
    net = network((2, 2, 2))
    X = ([1.0, 2.0], [0.5, -1.0], [1.0, -0.3])
    errors = [(a - y) ** 2 for x in X for a, y in zip(net(x), (1, 0), strict=True)]
    for J in (
        autobp.sum(errors) / 6,
        errors[0] + 0.01 * autobp.sum([w * w for w in net.weights()]) + errors[1],
    ):
        for label in ("W1[1,2]", "W2[2,1]", "b1[2]"):
            found = explain(J, label)
            assert "layers" in found.heading
            (w,) = [p for p in net.parameters() if p.label == label]
            assert found.value == gradients(J, [w])[0]
            confirm(found, J)


def test_penalties_that_are_no_squares():
    net = network((2, 2, 1))
    X = ([1.0, 2.0], [0.5, -1.0])
    J = costs.quadratic([[net(x)] for x in X], [[1], [0]])
    J = J + 0.1 * autobp.sum([w.abs() for w in net.weights()]) + costs.l2(net, 0.4, 2)
    for label in ("W1[1,2]", "W2[1,1]"):
        found = explain(J, label, notation="induction")
        assert "layers" in found.heading
        assert "0.1 · sign(θ" in found.text
        assert found.value == gradients(J, [p for p in net.parameters() if p.label == label])[0]
        confirm(found, J)


def test_a_saturated_output_prints_no_division_by_0():
    net = network((2, 2, 1))
    net.layers[1].b = [45.0]  # the output is 1.0, exactly
    J = costs.binary_cross_entropy(net([1.0, 2.0]), 1)
    found = explain(J, "W1[1,1]")
    assert found.value == gradients(J, [net.layers[0].neurons[0].w[0]])[0] == 0.0
    assert "a2[1] - y[1]" in lines(found)
    assert "nan" not in found.text
    assert "inf" not in found.text


@pytest.mark.parametrize("name", ["recurrent", "tied", "skip"])
def test_what_only_looks_like_a_network_of_layers_is_derived_node_by_node(name):
    (W1, W2), x = by_hand((2, 2, 1)), inputs(2)
    if name == "recurrent":
        h = [Value(0.1), Value(0.2)]
        for _ in range(3):
            h = [sum(w * h_i for w, h_i in zip(row, h, strict=True)).tanh() for row in W1]
        J = h[0] * h[1]
    elif name == "tied":
        z = W1[0][0] * x[0] + W1[0][1] * x[1]
        J = (W1[0][0] * z.tanh() + W2[0][0] * z.tanh()).sigmoid()
    else:
        a = (W1[0][0] * x[0] + W1[0][1] * x[1]).tanh()
        J = (W2[0][0] * (a + x[0]) + W2[0][1] * a).sigmoid()
    found = explain(J, W1[0][0])
    assert "layer" not in found.heading
    assert found.value == gradients(J, [W1[0][0]])[0]
    confirm(found, J)


def test_a_wide_network_is_told_in_layers_and_not_in_paths():
    net = network((10, 12, 12, 12, 4), "tanh")
    J = costs.quadratic(net.trace(inputs(10)).output, [0.1, 0.2, 0.3, 0.4])
    found = explain(J, "W1[3,7]")
    assert found.value == gradients(J, [net.layers[0].neurons[2].w[6]])[0]
    assert "Σₖ δ2[k] · W2[k,3]" in found.text
    assert len(found.text.splitlines()) < 250
    assert sum(step.left.text.startswith("δ") for step in found.steps) == 4 + 12 + 12 + 1
    assert "more like these" in found.text


# ------------------------------------------------------------------------------------------- any graph


def test_one_path():
    a, b, c, f = (Value(v, label=s) for v, s in ((2, "a"), (-3, "b"), (10, "c"), (-2, "f")))
    e = a * b
    e.label = "e"
    d = e + c
    d.label = "d"
    L = d * f
    L.label = "L"
    found = explain(L, wrt=a)
    assert found.text.endswith(
        "Together\n"
        "  ∂L/∂a = ∂L/∂d · ∂d/∂e · ∂e/∂a\n"
        "        = (-2) · 1 · (-3)\n"
        "        = f · b\n"
        "        = (-2) · (-3) = 6"
    )
    assert found.value == 6.0
    confirm(found, L)


def test_a_sum_over_paths_says_what_is_held_fixed():
    x = Value(0.5, label="x")
    u = x.exp()
    u.label = "u"
    J = x * u
    found = explain(J, x)
    assert "(∂J/∂x at fixed u) + ∂J/∂u · ∂u/∂x" in lines(found)
    assert r"\left.\frac{\partial J}{\partial x}\right|_{u} + " in found.latex
    assert found.value == pytest.approx(1.5 * math.exp(0.5), rel=1e-15)
    confirm(found, J)


UNARY = ("exp", "sin", "tanh", "sigmoid", "softplus", "gelu", "silu", "atan", "erf")


def random_graph(seed):
    """A few operations on a few nodes, many of them used more than once."""
    rng = random.Random(seed)
    nodes = [Value(rng.uniform(0.3, 0.9), label=f"x{i}") for i in range(3)]
    operations = [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / (b * b + 1),
        lambda a, b: a**3,
        lambda a, b: -a,
        lambda a, b: (a * a + 0.5).sqrt(),
        lambda a, b: a.maximum(1.1 * b + 0.07),
        *[autobp.functions.function(autobp.ops.TABLE[name]) for name in UNARY],
    ]
    for _ in range(rng.randint(2, 9)):
        operation = rng.choice(operations)
        a, b = rng.choice(nodes), rng.choice(nodes)
        made = operation(a, b) if operation in operations[:8] else operation(a)
        if rng.random() < 0.3:
            made.label = f"n{len(nodes)}"
        nodes.append(made)
    return nodes[:3], autobp.sum(nodes[3:])


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    leaves, J = random_graph(seed)
    for x, grad in zip(leaves, gradients(J, leaves), strict=True):
        found = explain(J, x)
        assert found.value == grad
        if any(step.right for step in found.steps):
            confirm(found, J)


def test_many_paths_are_reused_and_not_listed():
    x = Value(1.0, label="x")
    u = x
    rng = random.Random(0)
    for _ in range(60):  # 2**60 paths, and no step is like the one before
        u = u + (u * u * 0.001 if rng.random() < 0.5 else (u * 0.001).sin())
    found = explain(u, x)
    assert found.value == gradients(u, [x])[0]
    assert "computed once and reused" in found.text
    x = Value(0.9, label="x")
    J = x * x.sin() * x.cos() * x.exp() * x.tanh() * x.sigmoid() * x
    confirm(explain(J, x), J)


def test_a_graph_of_a_hundred_thousand_nodes_in_a_row():
    x = Value(1.0, label="x")
    u = x
    for _ in range(50_000):
        u = u * 1.00001
    found = explain(u, x)
    assert found.value == gradients(u, [x])[0]
    assert len(found.text) < 5000


def test_nodes_made_by_hand():
    a = Value(2.0, label="a")
    cube = Value(8.0, (a,), "cube")

    def backward():
        a.grad += 12.0 * cube.grad

    cube._backward = backward
    a.grad, cube.grad = 5.0, 7.0
    found = explain(cube * cube, a)
    assert found.value == 2 * 8.0 * 12.0
    assert (a.grad, cube.grad) == (5.0, 7.0)
    twice = Value(8.0, (a, a), (1.5, 2.5))
    assert explain(twice * a, a).value == 8.0 + 2.0 * 4.0
    with pytest.raises(TypeError, match="no derivative"):
        explain(Value(1.0, (a,), "?"), a)


def test_an_operation_of_ones_own_whose_rule_wants_numbers():
    name = "kinked_for_test_explanation"
    op = autobp.operation(
        name, lambda xp, x: x if x > 0 else -x, lambda xp, y, x: (1.0 if x > 0 else -1.0,), symbol="k"
    )
    try:
        x = Value(-2.0, label="x")
        J = autobp.functions.function(op)(x) * 3
        found = explain(J, x)
        assert found.value == -3.0
        assert "∂u1/∂x = -1" in found.text
    finally:
        del autobp.ops.TABLE[name]


def test_at_a_kink_the_number_is_the_engines():
    x = Value(0.7, label="x")
    J = x.maximum(Value(0.7)) * 2
    found = explain(J, x)
    assert found.value == gradients(J, [x])[0] == 1.0  # one half of the two
    assert "∂u1/∂x = 0.5" in found.text


# ------------------------------------------------------------------------------------------ what it leaves


def test_nothing_changes_in_the_graph():
    net = network((3, 2, 1))
    J = costs.binary_cross_entropy(net(inputs(3)), 1)
    J.backward()
    nodes = topological_order(J)
    for i, node in enumerate(nodes):
        node.grad = float(i)
    labels = [node.label for node in nodes]
    explain(J, "W1[1,1]")
    explain(J.exp(), net.layers[0].neurons[0].w[0], notation="Brawer")
    assert [node.grad for node in nodes] == [float(i) for i in range(len(nodes))]
    assert [node.label for node in nodes] == labels


def test_a_value_that_does_not_depend_on_wrt():
    found = explain(Value(2.0) * 3, Value(1.0, label="w"))
    assert found.value == 0.0
    assert "computed without w" in found.text
    x = Value(2.0, label="x")
    assert explain(x, x).value == 1.0


def test_labels_that_are_no_names():
    x = Value(2.0, label="x")
    y = x * 3
    y.label = "a*b + <c>$_&"
    z = y * y
    found = explain(z, x)
    assert '"a*b + <c>$_&"' in found.text
    assert r"\mathrm{" in found.latex
    assert "<c>" not in found._repr_markdown_()
    z.label = "<script>"
    assert "<script>" not in explain(z, x)._repr_markdown_()
    assert repr(explain(z, x)) == '<explanation of ∂"<script>"/∂x: 36.0>'
    double = x * 2
    double.label = "x"
    assert "x⟨2⟩" in explain(double.exp(), x).text


def test_latex_is_balanced_in_every_notation():
    for notation in NOTATIONS:
        found = written((2, 3, 2), "W1[1,1]", notation, samples=6, l2=0.1)
        for text in (found.latex, found.aligned, found._repr_latex_(), found._repr_markdown_()):
            depth = 0
            for character in text.replace(r"\{", "").replace(r"\}", ""):
                depth += (character == "{") - (character == "}")
                assert depth >= 0
            assert depth == 0
            lefts, rights = (len(re.findall(rf"\\{way}(?![a-z])", text)) for way in ("left", "right"))
            assert lefts == rights
            assert text.count("$") % 2 == 0
        assert "^{2}^" not in found.latex


def test_digits():
    net = network((2, 1))
    J = costs.quadratic(net([0.5, 1.5]), 0.25)
    shown = explain(J, "W1[1,1]", digits=12).text.splitlines()[-1].split(" = ")[-1]
    assert float(shown) == pytest.approx(explain(J, "W1[1,1]").value, rel=1e-11)


def test_errors_say_what_is_wrong():
    x = Value(1.0, label="x")
    y = x * Value(2.0, label="w")
    with pytest.raises(TypeError, match="explain the derivative of a Value; got 3"):
        explain(3, x)
    with pytest.raises(TypeError, match="by a Value or by its label; got 7"):
        explain(y, 7)
    with pytest.raises(ValueError, match="no Value in the graph has the label 'v'; there are w, x"):
        explain(y, "v")
    with pytest.raises(ValueError, match="2 Values have the label 'x'"):
        explain(y * Value(1.0, label="x"), "x")
    with pytest.raises(ValueError, match="unknown notation 'Nielsen'; known are autobp, induction"):
        explain(y, x, notation="Nielsen")
    with pytest.raises(ValueError, match="digits must be at least 1"):
        explain(y, x, digits=0)


def test_the_command(capsys):
    from autobp.__main__ import main

    assert main(["explain", "3", "2", "1", "--wrt", "W1[1,1]"]) == 0
    out = capsys.readouterr().out
    cost, _, title, *_ = out.split("\n")
    assert cost == "Cost binary_cross_entropy on one random sample, seed 0"
    assert title == "∂J/∂W1[1,1] in a network of 2 layers"
    assert "δ1[1] · x[1]" in out
    arguments = ["explain", "2", "2", "1", "--wrt", "b1[2]", "-m", "3", "--l2", "0.1", "--latex"]
    assert main([*arguments, "--notation", "BP1-BP4"]) == 0
    out = capsys.readouterr().out
    assert r"\delta_{2}^{2\langle 3\rangle}" in out
    assert "Cost" not in out
    for wrt in ("x[3]", "z1[2]", "a1[2]", "z2[1]"):
        assert main(["explain", "3", "2", "1", "--wrt", wrt, "-a", "tanh,linear"]) == 0
        assert f"\n∂J/∂{wrt} in a network of 2 layers\n" in capsys.readouterr().out
    assert main(["explain", "3", "2", "1", "--wrt", "W7[1,1]"]) == 2
    assert "no Value in the graph has the label 'W7[1,1]'" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------- at edges


@pytest.mark.parametrize(
    ("expression", "point", "first"), [(r.values[0], r.values[1], r.values[3]) for r in rows()]
)
def test_it_has_the_derivatives_of_the_table_of_edges(expression, point, first):
    names, x = point_of(point)
    leaves = [Value(number, label=name) for number, name in zip(x, names, strict=True)]
    with ieee():
        root = function_of(expression, names, vars(autobp))(*leaves)
    for leaf, expected in zip(leaves, numbers(first), strict=True):
        found = explain(root, leaf)
        assert agree(found.value, expected)
        assert found.text
        assert found.latex


@pytest.mark.parametrize(
    "make",
    [
        lambda v: autobp.relu(v).sqrt(),
        lambda v: autobp.maximum(v, 0.0).sqrt(),
        lambda v: autobp.where(autobp.greater(v, 0.0), v, 0.0).sqrt(),
        lambda v: autobp.take([v, 0.0], 1).sqrt(),
        lambda v: autobp.relu(v).sqrt() + 3.0 * v,
    ],
)
def test_what_was_not_selected_counts_0_and_the_sheet_says_so(make):
    v = Value(-1.0, label="v")
    with ieee():
        root = make(v)
    root.backward()
    found = explain(root, v)
    assert found.value == v.grad
    together = found.sections[-1]
    says = "what an operation did not select counts 0, even of an infinite derivative"
    assert together.title == f"Together: {says}"
    assert together.steps[0].right[-1][0].value == v.grad
    assert "nan" not in found.text


def test_what_was_not_selected_counts_0_where_there_are_too_many_paths():
    v = Value(-1.0, label="v")
    with ieee():
        u = autobp.relu(v).sqrt()
        root = u + autobp.sum([(u + k) * v for k in range(10)])
    root.backward()
    found = explain(root, v)
    assert found.value == v.grad
    assert "what an operation did not select counts 0" in found.sections[-1].title
    assert found.sections[-1].steps[-1].right[-1][0].value == v.grad


def test_a_branch_that_was_computed_and_not_taken_still_gives_nan():
    v = Value(0.0, label="v")
    with ieee():
        root = autobp.where(autobp.greater(v, 0.0), v.sqrt(), 0.0 * v)
    found = explain(root, v)
    assert math.isnan(found.value)
    assert "did not select" not in found.text


def test_a_network_whose_relu_is_closed_under_a_root_has_derivative_0():
    net = MLP(2, [2, 1], activation=["relu", "linear"], seed=1)
    for neuron in net.layers[0].neurons:
        neuron.b.data = -50.0
    with ieee():
        J = net([0.5, 0.25]).sqrt()  # 0 + 0·w: the hidden layer is closed, so is what lies under the root
    J.backward()
    w = net.layers[0].neurons[0].w[0]
    assert explain(J, w).value == w.grad == 0.0


@pytest.mark.parametrize("label", ["W1[2,3]", "w^(1)_{2,3}", "θ1(2,3)", "Theta^[1]_[2,3]"])
def test_a_weights_label_is_a_letter_with_indices_in_latex(label):
    w = Value(0.5, label=label)
    letter = {"W": "W", "w": "w", "θ": r"\theta", "T": r"\Theta"}[label[0]]
    assert rf"\frac{{\partial J}}{{\partial {letter}^{{(1)}}_{{2,3}}}}" in explain(w.exp(), w).latex
