"""Compiled programs agree with the eager engine, for programs that nobody chose."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autobp
from autobp import Value
from autobp.engine import topological_order

TOLERANCE = 1e-12

UNARY: list[Callable[[Any], Any]] = [
    lambda v: v.tanh(),
    lambda v: v.sigmoid(),
    lambda v: v.relu(),
    lambda v: v.sin(),
    lambda v: (v * 0.3).exp(),
    lambda v: (v * v + 1.0).log(),
    lambda v: (v * v + 0.5).sqrt(),
    lambda v: v**2,
    lambda v: (v * v + 1.0) ** -1,
    lambda v: v.softplus(),
    lambda v: v.abs(),
    lambda v: -v,
    lambda v: v.leaky_relu(0.1),
    lambda v: v.elu(0.7),
    lambda v: v.gelu(),
    lambda v: v.silu(),
    lambda v: 1.0 - v,
    lambda v: v.erf(),
    lambda v: autobp.stop_gradient(v) * v,
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (b * b + 1.0),
    # shifted, so that ties, where rounding would decide, do not happen between equal expressions
    lambda a, b: autobp.maximum(a, b + 0.0317),
    lambda a, b: autobp.where(autobp.greater(a, b + 0.1271), a * b, b),
    lambda a, b: (a * a + 0.5) ** (b * 0.1),
]


class Program:
    """A random function of one sample, the same for the same seed: layers of loops over what there is."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = random.Random(seed)
        self.n = rng.randint(1, 4)
        self.parameters = [Value(rng.uniform(-1.0, 1.0)) for _ in range(rng.randint(1, 14))]
        self.whole = rng.random() < 0.3  # no arguments: the data are constants
        numbers = [0.0, 1.0, -0.5, *[rng.uniform(-1.0, 1.0) for _ in range(5)]]
        self.rows = [[rng.choice(numbers) for _ in range(self.n)] for _ in range(3)]

    def sample(self, x: list[Any]) -> Any:
        rng = random.Random(self.seed + 1)
        parameters = self.parameters
        layers: list[list[Any]] = [list(x), list(parameters)]
        for _ in range(rng.randint(1, 5)):
            layers.append(self.layer(rng, layers))
        rng.shuffle(layers)
        chosen = [v for layer in layers[:3] for v in layer]
        rng.shuffle(chosen)
        return autobp.sum(chosen) + 0.0 * parameters[0]

    def layer(self, rng: random.Random, layers: list[list[Any]]) -> list[Any]:
        kind = rng.randrange(7)
        a, b = rng.choice(layers), rng.choice(layers)
        width = rng.randint(1, 4)
        if kind == 0:  # dense, with or without bias, terms in any order
            offset, bias = rng.randrange(len(b)), rng.random() < 0.5
            outputs = []
            for i in range(width):
                terms = [b[(offset + i * len(a) + j) % len(b)] * v for j, v in enumerate(a)]
                if bias:
                    terms.append(rng.choice(self.parameters))
                if rng.random() < 0.5:
                    rng.shuffle(terms)
                outputs.append(sum(terms))
            return outputs
        if kind == 1:
            f = rng.choice(UNARY)
            return [f(v if isinstance(v, Value) else Value(v)) for v in a]
        if kind == 2:
            g = rng.choice(BINARY)
            return [g(a[i % len(a)], b[i % len(b)]) for i in range(max(len(a), len(b)))]
        if kind == 3:  # all pairs
            g = rng.choice(BINARY)
            return [g(u, v) for u in a[:4] for v in b[:4]]
        if kind == 4:
            return autobp.softmax(a)
        if kind == 5:  # running sums and products, of different lengths
            pairs = [u * v for u, v in zip(a, b, strict=False)]
            return [autobp.sum(pairs[: i + 1]) for i in range(len(pairs))]
        return [autobp.sum(a) * (1.0 / len(a)), a[0] * b[-1] - autobp.logsumexp(b)]

    def on_all_rows(self) -> Any:
        return sum(self.sample(list(row)) for row in self.rows) * (1.0 / len(self.rows))


def magnitudes(root: Value, parameters: list[Value]) -> tuple[float, dict[int, float]]:
    """The sum of the absolute terms: of the value, and of the derivative by each parameter."""
    order = topological_order(root)
    size: dict[int, float] = {}
    for node in order:
        parents, partials = node.parents, node.partials
        size[id(node)] = abs(node.data) + sum(
            abs(d) * size[id(p)] for p, d in zip(parents, partials, strict=True)
        )
    reach = {id(node): 0.0 for node in order}
    reach[id(root)] = 1.0
    for node in reversed(order):
        for parent, partial in zip(node.parents, node.partials, strict=True):
            reach[id(parent)] += abs(partial) * reach[id(node)]
    largest = 1.0 + max(size.values())
    return size[id(root)], {id(p): reach.get(id(p), 0.0) * largest for p in parameters}


def check(program: Program) -> None:
    parameters = program.parameters
    cost, gradient = 0.0, np.zeros(len(parameters))
    scale, scales = 1e-300, np.full(len(parameters), 1e-300)
    m = 1 if program.whole else len(program.rows)
    for row in program.rows[:m]:
        for parameter in parameters:
            parameter.grad = 0.0
        root = program.on_all_rows() if program.whole else program.sample([Value(v) for v in row])
        root.backward()
        cost += root.data / m
        gradient += [parameter.grad / m for parameter in parameters]
        size, reaches = magnitudes(root, parameters)
        scale += size
        scales += [reaches[id(parameter)] for parameter in parameters]
    if program.whole:
        step = autobp.compile(program.on_all_rows, parameters)
        found, derivative = step(step.theta)
        assert abs(step.value(step.theta) - cost) <= TOLERANCE * scale
    else:
        step = autobp.compile(program.sample, parameters)
        x = np.array(program.rows)
        found, derivative = step(step.theta, x)
        assert abs(step.value(step.theta, x) - cost) <= TOLERANCE * scale
    assert abs(found - cost) <= TOLERANCE * scale
    assert np.all(np.abs(derivative - gradient) <= TOLERANCE * scales), (derivative, gradient)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(min_value=0, max_value=10**9))
def test_random_programs_agree_with_eager(seed: int) -> None:
    check(Program(seed))
