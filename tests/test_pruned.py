"""Pruned networks take hardly more statements than dense ones: what is left of their layers is joined."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value, costs
from autobp.compiler import without_loops
from autobp.compiler.joined import JoinedBuilder

RNG = np.random.default_rng(5)
WIDTH = 60


class Pruned:
    """A network of which few weights are left, written as sums over those."""

    def __init__(
        self, density: float, depth: int, width: int = WIDTH, dead: float | None = None, biases: bool = False
    ) -> None:
        rng = random.Random(0)

        def weight() -> Value:
            self.parameters.append(Value(rng.gauss(0.0, 0.4)))
            return self.parameters[-1]

        self.parameters: list[Value] = []
        self.dead = dead  # what a unit without weights sums up to; None for 0·x
        self.layers = [
            [[(j, weight()) for j in range(width) if rng.random() < density] for _ in range(width)]
            for _ in range(depth)
        ]
        self.biases = [[weight() for _ in range(width)] for _ in range(depth)] if biases else None

    def units(self, x: Any, act: Callable[[Value], Any] = autobp.tanh) -> list[Any]:
        for number, rows in enumerate(self.layers):
            z = [self.sum_of(row, x) for row in rows]
            if self.biases:
                z = [zi if b is None else zi + b for zi, b in zip(z, self.biases[number], strict=True)]
            x = [act(zi) for zi in z]
        return list(x)

    def sum_of(self, row: Any, x: Any) -> Any:
        if row:
            return reduce(lambda a, b: a + b, [w * x[j] for j, w in row])
        return 0 * x[0] if self.dead is None else Value(self.dead)

    def __call__(self, x: Any) -> Any:
        return autobp.sum(self.units(x))


def eager(loss: Callable[..., Any], parameters: list[Value], X: Any) -> tuple[float, Any]:
    cost, gradient = 0.0, np.zeros(len(parameters))
    for row in X:
        for p in parameters:
            p.grad = 0.0
        value = loss([Value(float(v)) for v in row])
        value.backward()
        cost += value.data / len(X)
        gradient += [p.grad / len(X) for p in parameters]
    return cost, gradient


def agrees(step: Any, loss: Callable[..., Any], parameters: list[Value], X: Any) -> None:
    expected, derivative = eager(loss, parameters, X)
    module: dict[str, Any] = {}
    exec(step.source, module)
    for cost, gradient in (step(step.theta, X), module["cost_and_gradient"](step.theta, X)):
        assert cost == pytest.approx(expected, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(gradient, derivative, rtol=1e-10, atol=1e-12 * np.abs(derivative).max())


def compiled(loss: Any, parameters: list[Value], width: int = WIDTH, backend: str = "numpy") -> Any:
    return autobp.compile(loss, parameters, example=([0.1 * k - 2.0 for k in range(width)],), backend=backend)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Joins colours wherever it can, and counts the graphs."""
    built: list[int] = []

    class Counting(JoinedBuilder):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            built.append(1)

    monkeypatch.setattr(without_loops, "are_mixed", lambda builder, alike: True)
    monkeypatch.setattr(without_loops, "JoinedBuilder", Counting)
    monkeypatch.setattr(without_loops, "_FEWER", math.inf)
    return built


# ---------------------------------------------------------------------------------------------- statements


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_a_pruned_network_takes_about_a_dense_ones_statements(depth):
    net = Pruned(0.1, depth)
    step = compiled(net, net.parameters)
    assert len(step) <= 8 + 6 * depth, "a dense one takes 2 + 6 a layer"
    agrees(step, net, net.parameters, RNG.normal(size=(3, WIDTH)))


@pytest.mark.parametrize("backend", ["numpy", "c"])
@pytest.mark.parametrize(
    ("density", "dead", "biases", "a_layer"),
    [(0.05, None, False, 11), (0.05, 0.0, True, 17), (0.03, 0.0, False, 25), (0.03, 0.3, True, 26)],
)
def test_units_without_weights_multiply_no_colours(density, dead, biases, a_layer, backend):
    """0·x, a constant, a bias alone: in ever other combinations in each unit above."""
    lengths = []
    for depth in (3, 5):
        net = Pruned(density, depth, dead=dead, biases=biases)
        step = compiled(net, net.parameters, backend=backend)
        lengths.append(len(step))
        agrees(step, net, net.parameters, RNG.normal(size=(3, WIDTH)))
        assert step.verify(step.theta, RNG.normal(size=(5, WIDTH)))
        step.program.verify()
    assert lengths[1] - lengths[0] <= 2 * a_layer


def by_hand(net: Pruned, X: Any, act: str) -> tuple[float, Any]:
    """The mean of Σ a² and its gradient, by the matrix formulas, masked to the weights that are left."""
    a, kept = X, []
    for rows, biases in zip(net.layers, net.biases, strict=True):
        W, mask = np.zeros((len(rows), a.shape[1])), np.zeros((len(rows), a.shape[1]), dtype=bool)
        for i, row in enumerate(rows):
            for j, w in row:
                W[i, j], mask[i, j] = w.data, True
        z = a @ W.T + np.array([b.data for b in biases])
        kept.append((a, W, mask, z))
        a = np.tanh(z) if act == "tanh" else z * (z > 0) if act == "relu" else 1.0 / (1.0 + np.exp(-z))
    cost, adjoint = (a * a).sum() / len(X), 2.0 * a / len(X)
    of_weights, of_biases = [], []
    for before, W, mask, z in reversed(kept):
        s = {"tanh": 1 - np.tanh(z) ** 2, "relu": (z > 0) * 1.0, "sigmoid": 0.25 / np.cosh(z / 2) ** 2}[act]
        delta = adjoint * s
        of_weights.insert(0, (delta.T @ before)[mask])
        of_biases.insert(0, delta.sum(axis=0))
        adjoint = delta @ W
    return cost, np.concatenate([*of_weights, *of_biases])


@pytest.mark.parametrize("act", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("density", [0.02, 0.03, 0.05, 0.1, 0.2, 0.5])
def test_with_biases_it_takes_the_same_statements_a_layer_at_any_depth(density, act):
    """Rows of one weight, and of a bias alone, are rows as the others are: 14 statements a layer at most."""
    X = RNG.normal(size=(5, WIDTH))
    for depth in (2, 3, 4, 5) if density < 0.2 else (2, 3):
        net = Pruned(density, depth, dead=0.0, biases=True)
        rows = [row for layer in net.layers for row in layer]
        assert density > 0.05 or {len(row) for row in rows} >= {0, 1, 2}

        def loss(x: Any, net: Pruned = net) -> Any:
            return autobp.sum([a * a for a in net.units(x, getattr(autobp, act))])

        step = compiled(loss, net.parameters)
        assert len(step) <= 14 * depth + 6, "a dense one takes 9 a layer and 2"
        cost, gradient = step(step.theta, X)
        expected, derivative = by_hand(net, X, act)
        assert cost == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, derivative, rtol=1e-10, atol=1e-13 * np.abs(derivative).max())


@pytest.mark.parametrize(
    ("cost", "backend"),
    [("softmax_cross_entropy", "numpy"), ("quadratic", "c"), (None, "numpy"), (None, "c")],
)
def test_what_lacks_its_bias_is_of_no_colour_of_its_own(cost, backend):
    """Some biases pruned too: as a constant's unit, or one that is 0·x."""
    rng = random.Random(1)
    net = Pruned(0.05, 4, width=40, biases=True)
    net.biases = [[b if rng.random() < 0.5 else None for b in row] for row in net.biases]
    left = [b for row in net.biases for b in row if b is not None]
    net.parameters = [w for layer in net.layers for row in layer for _, w in row] + left
    head = [Value(rng.gauss(0.0, 1.0)) for _ in range(40)]

    def outputs(x: Any) -> list[Any]:
        units = net.units(x)
        return [autobp.sum([w * u for w, u in zip(head[k::2], units[k::2], strict=True)]) for k in (0, 1)]

    def loss(x: Any) -> Any:
        return getattr(costs, cost)(outputs(x), [1.0, 0.0])

    X = RNG.normal(size=(3, 40))
    parameters = [*net.parameters, *head]
    if cost is None:
        step = compiled(outputs, parameters, 40, backend)
        expected = [[v.data for v in outputs([Value(x) for x in row])] for row in X]
        np.testing.assert_allclose(step(step.theta, X), expected, rtol=1e-12)
    else:
        step = compiled(loss, parameters, 40, backend)
        agrees(step, loss, parameters, X)
        assert step.verify(step.theta, X)
    assert len(step) <= 110, "24 a layer, for all four kinds of sums and 0·x"
    step.program.verify()


def test_a_unit_that_two_kinds_of_sums_multiply_is_moved_once(always):
    """By weights here and by constants there, each time with other units beside it."""
    x_, w = 6, [Value(RNG.normal()) for _ in range(40)]

    def loss(x: Any) -> Any:
        a = [(w[k] * x[k]).tanh() for k in range(3)]
        a += [(w[k] * x[k - 3] + w[k + 3] * x[k]).sin() for k in (3, 4, 5)] + [w[k].relu() for k in (9, 10)]
        made = [w[12] * a[0] + w[13] * a[3], w[14] * a[4] + w[15] * a[5], w[16] * a[6] + w[17] * a[1]]
        made += [0.5 * a[0] + 0.25 * a[6], 0.5 * a[3] - 0.75 * a[4], 1.5 * a[2] + 2.5 * a[7]]
        return autobp.sum([z.tanh() * z for z in made])

    step = compiled(loss, w, x_)
    assert always
    agrees(step, loss, w, RNG.normal(size=(4, x_)))


def test_second_derivatives_of_a_pruned_network():
    net = Pruned(0.1, 4, width=25, biases=True)
    step = compiled(net, net.parameters, 25)
    X, v = RNG.normal(size=(4, 25)), RNG.normal(size=len(net.parameters))
    h = 1e-6
    up, down = (step(step.theta + s * v, X)[1] for s in (h, -h))
    np.testing.assert_allclose(step.hvp(step.theta, v, X), (up - down) / (2 * h), atol=1e-7)


def test_networks_and_products_of_matrices_are_left_as_they_are(monkeypatch):
    """Where colours do not multiply, nothing is joined, nor tried."""

    def not_here(*args: Any) -> Any:
        raise AssertionError("colours were joined")

    monkeypatch.setattr(without_loops, "JoinedBuilder", not_here)
    for activation in ("sigmoid", "tanh", "softmax"):
        net = autobp.MLP(5, [4, 3, 3], activation=["tanh", "tanh", activation], seed=0)
        autobp.compile(
            lambda x, y, net=net: costs.quadratic(net(x), y), net.parameters(), example=([0.1] * 5, [0.1] * 3)
        )
    w, u = ([[Value(RNG.normal()) for _ in range(4)] for _ in range(4)] for _ in range(2))

    def dot(x: Any, y: Any) -> Any:
        return sum(a * b for a, b in zip(x, y, strict=True))

    def attention(x: Any) -> Any:
        rows = [x[4 * i : 4 * i + 4] for i in range(3)]
        q, k = ([[dot(row, c) for c in m] for row in rows] for m in (w, u))
        total = 0.0
        for i in range(3):
            p = autobp.functions.softmax([dot(q[i], k[j]) for j in range(i + 1)])
            total = total + sum(p[j] * rows[j][0] for j in range(i + 1)) ** 2
        return total

    compiled(attention, [v for m in (w, u) for row in m for v in row], 12)


# --------------------------------------------------------------------------------- forced, wherever it can be


@pytest.mark.parametrize("seed", range(10))
def test_random_sums_of_products_whose_colours_are_joined(seed, always):
    """Sums of one to five products of parameters, data and what operations made of those."""
    rng = random.Random(seed)
    parameters = [Value(rng.gauss(0.0, 0.6)) for _ in range(30)]
    plan = [
        [
            (
                rng.randrange(5),
                rng.random() < 0.3,
                [(rng.random(), rng.random(), rng.choice((-1, 1, 1, 1))) for _ in range(rng.randint(1, 5))],
            )
            for _ in range(8)
        ]
        for _ in range(4)
    ]

    def loss(x: Any) -> Any:
        nodes = [*x, 0.5, -0.0, 0.25]
        for level in plan:
            made = []
            for which, bias, terms in level:
                z = None
                for i, j, sign in terms:
                    term = parameters[int(30 * i)] * nodes[int(len(nodes) * j)]
                    z = (term if sign > 0 else -term) if z is None else z + term if sign > 0 else z - term
                if bias:
                    z = z + parameters[which]
                made.append([z.tanh(), z.sin(), z.relu(), z, z.tanh() * 0.5][which])
            nodes = made + nodes[:3]
        return autobp.sum([n**2 for n in nodes if isinstance(n, Value)])

    X = RNG.normal(size=(4, 5))
    step = compiled(loss, parameters, 5)
    assert always
    agrees(step, loss, parameters, X)
    step.program.verify()
    for odd in (math.inf, -math.inf, math.nan):
        X[2, 1] = odd
        cost, gradient = step(step.theta, X)
        expected = eager(loss, parameters, X)
        np.testing.assert_allclose(cost, expected[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-12)


def test_a_single_product_keeps_the_sign_of_its_zero(always):
    net = Pruned(0.08, 1, width=30)
    assert {len(row) for row in net.layers[0]} >= {1, 2, 3}
    rows = [row for row in net.layers[0] if row]

    def inverses(x: Any) -> list[Any]:
        return [net.sum_of(row, x) ** -1.0 for row in rows]

    step = compiled(inverses, net.parameters, 30)
    assert always
    single = [k for k, row in enumerate(rows) if len(row) == 1]
    X = np.array([np.full(30, 0.0), np.full(30, -0.0), RNG.normal(size=30)])
    found = step(step.theta, X)
    with autobp.engine.ieee():
        expected = np.array([[v.data for v in inverses([Value(x) for x in row])] for row in X])
    np.testing.assert_array_equal(found[:, single], expected[:, single])


def test_what_is_compared_is_joined_and_not_padded(always):
    """A NaN that reaches a comparison would be a number again."""
    net = Pruned(0.1, 2, width=20)

    def loss(x: Any) -> Any:
        return autobp.sum([autobp.where(autobp.greater(a, 0.1), a * a, -a) for a in net.units(x)])

    step = compiled(loss, net.parameters, 20)
    assert always
    X = RNG.normal(size=(4, 20))
    agrees(step, loss, net.parameters, X)
    X[1, 3] = math.nan
    X[2, 5] = math.inf
    expected = eager(loss, net.parameters, X)
    cost, gradient = step(step.theta, X)
    np.testing.assert_allclose(cost, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-12)
