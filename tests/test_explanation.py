"""The derivations that explain() writes: SymPy on each line, the gradient at the end, the documents' words.

A printed line says that several formulas are equal. Here every symbol in them is replaced by what it stands
for, as SymPy computes it from the graph's operations (in SymPy's words, tests/witnesses.py) with SymPy's own
derivatives, and the formulas are compared in forty digits at points other than the graph's.
"""

import functools
import random

import mpmath
import pytest
import sympy as sp
from witnesses import WITNESSES

from autobp import MLP, Value, costs
from autobp.engine import topological_order
from autobp.explanation import explain
from autobp.formula import Number
from autobp.notation import NOTATIONS

# ------------------------------------------------------------------------------------ SymPy, line by line


class Sympy:
    """What the symbols of an explanation stand for. Leaves with a label and those given are free."""

    def __init__(self, root, free=()):
        self.symbols = {}
        for node in topological_order(root):
            if node.is_leaf and (node.label or node in set(free)):
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
                elif node.is_leaf:
                    made[node] = self.symbols.get(node, exact(node.data))
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
            expression = sp.sympify(self.sympy.meaning(symbol))
            function = self.sympy.compiled.setdefault(
                key, sp.lambdify(list(self.sympy.symbols.values()), expression, "mpmath", cse=True)
            )
            self.known[key] = mpmath.mpf(function(*self.point))
        return self.known[key]

    @staticmethod
    def run(operation, operands, constants):
        return compiled(operation.name, len(operands), tuple(constants))(*operands)


@functools.cache
def compiled(name, n, constants):
    operands = sp.symbols(f"x0:{n}", real=True)
    return sp.lambdify(operands, WITNESSES[name].sympy(*operands, *[exact(k) for k in constants]), "mpmath")


def confirm(explanation, root, free=(), seed=0, positive=()):
    """SymPy's word that every line is an identity, at points away from the graph's own numbers too.

    ``positive``: leaves to keep between 0 and 1. Returns how many equalities were confirmed.
    """
    sympy = Sympy(root, free)
    rng = random.Random(seed)
    leaves = list(sympy.symbols)
    points = [[leaf.data for leaf in leaves]] + [
        [rng.uniform(0.2, 0.8) if x in set(positive) else x.data + rng.uniform(-0.3, 0.3) for x in leaves]
        for _ in range(2)
    ]
    equalities = 0
    with mpmath.workdps(40):
        for point in points:
            numbers = Numbers(sympy, [mpmath.mpf(x) for x in point])
            for step in explanation.steps:
                left = numbers(step.left)
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
