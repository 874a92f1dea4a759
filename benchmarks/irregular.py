"""Graphs in which hardly two scalars are alike: to compile and to run, against the engine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Contender, Sample, timed

Model = tuple[Callable[[], Any], list[Any]]  # builds the graph; what it is drawn from was drawn before


def _operation(which: int, a: Any, b: Any) -> Any:
    return a * b if which == 0 else a + b if which == 1 else (a - b).tanh() if which == 2 else a.sin()


def _parameters(rng: random.Random, n: int) -> list[Any]:
    from autobp import Value

    return [Value(rng.gauss(0.0, 1.0)) for _ in range(n)]


def sparse(n: int) -> Model:
    """n random operations on random earlier values; the cost sums the squares of the last quarter."""
    rng = random.Random(0)
    parameters = _parameters(rng, 200)
    drawn = [
        (rng.randrange(4), rng.randrange(k), rng.randrange(k), rng.random()) for k in range(200, n + 200)
    ]

    def build() -> Any:
        nodes = list(parameters)
        for which, i, j, lot in drawn:
            made = _operation(which, nodes[i], nodes[j])
            nodes.append(made.tanh() if lot < 0.5 else made * 0.5)
        return sum(v * v for v in nodes[-n // 4 :])

    return build, parameters


def tree(n: int) -> Model:
    """A random tree over n/2 leaves."""
    rng = random.Random(0)
    parameters = _parameters(rng, 300)
    leaves = [rng.choice(parameters) for _ in range(n // 2)]
    drawn = [(rng.randrange(3), rng.randrange(k), rng.randrange(k - 1)) for k in range(n // 2, 1, -1)]

    def build() -> Any:
        left: list[Any] = list(leaves)
        for which, i, j in drawn:
            a = left.pop(i)
            left.append(_operation(which, a, left.pop(j)).tanh())
        return left[0]

    return build, parameters


def chain(n: int) -> Model:
    """n operations that do not repeat, each on what the one before gave."""
    rng = random.Random(0)
    parameters = _parameters(rng, 20)
    drawn = [(rng.randrange(4), rng.choice(parameters)) for _ in range(n)]

    def build() -> Any:
        v = parameters[0]
        for which, p in drawn:
            v = _operation(which, v, p)
        return v.tanh()

    return build, parameters


def compiling(model: Callable[[int], Model], n: int) -> Sample:
    """What a node of the graph takes to compile, in µs."""
    import autobp
    from autobp.engine import topological_order

    build, parameters = model(n)
    value = build()
    nodes = len(topological_order(value))

    def sample() -> float:
        start = time.perf_counter()
        autobp.compile(value, parameters)
        return 1e6 * (time.perf_counter() - start) / nodes

    return sample


def calling(model: Callable[[int], Model], n: int, backend: Any) -> Sample:
    """Cost and gradient by the compiled step, in ms."""
    import autobp

    build, parameters = model(n)
    value = build()
    value.backward()
    expected = np.array([p.grad for p in parameters])
    step = autobp.compile(value, parameters, backend=backend)
    theta = step.theta
    np.testing.assert_allclose(step(theta)[1], expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())
    return timed(lambda: step(theta), 5)


def building(model: Callable[[int], Model], n: int) -> Sample:
    """The graph anew and backward(), in ms."""
    build, _ = model(n)
    return timed(lambda: build().backward())


def walking_back(model: Callable[[int], Model], n: int) -> Sample:
    """backward() alone, in ms."""
    value = model(n)[0]()
    return timed(value.backward)


def _comparisons() -> list[Comparison]:
    found = []
    for model, name, n in (
        (sparse, "a random sparse graph", 32_000),
        (tree, "a random tree", 30_000),
        (chain, "a chain that does not repeat", 12_000),
    ):
        title = f"{name} of {n:,} operations"
        contenders = (
            Contender("autobp.compile", partial(calling, model, n, "auto")),
            Contender("autobp.compile, NumPy", partial(calling, model, n, "numpy")),
            Contender("autobp, eager: build and backward()", partial(building, model, n)),
            Contender("autobp, eager: backward() alone", partial(walking_back, model, n)),
        )
        found.append(Comparison(f"{title}: cost and gradient", contenders, reference="autobp.compile"))
        contender = Contender("autobp.compile", partial(compiling, model, n))
        title = f"{title}: to compile"
        found.append(Comparison(title, (contender,), "µs a node", rounds=3, reference="autobp.compile"))
    return found


COMPARISONS = _comparisons()
