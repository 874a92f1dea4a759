"""Graphs in which hardly two scalars are alike: to compile and to run, against the engine, in one process.

Run it with ``python -m benchmarks.irregular`` where the compiled package is the one imported.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import autobp
from autobp import Value

Model = tuple[Callable[[], Value], list[Value]]  # builds the graph; what it is drawn from was drawn before


def _operation(which: int, a: Any, b: Any) -> Any:
    return a * b if which == 0 else a + b if which == 1 else (a - b).tanh() if which == 2 else a.sin()


def _parameters(rng: random.Random, n: int) -> list[Value]:
    return [Value(rng.gauss(0.0, 1.0)) for _ in range(n)]


def sparse(n: int) -> Model:
    """n random operations on random earlier values; the cost sums the squares of the last quarter."""
    rng = random.Random(0)
    parameters = _parameters(rng, 200)
    drawn = [
        (rng.randrange(4), rng.randrange(k), rng.randrange(k), rng.random()) for k in range(200, n + 200)
    ]

    def build() -> Value:
        nodes = list(parameters)
        for which, i, j, lot in drawn:
            made = _operation(which, nodes[i], nodes[j])
            nodes.append(made.tanh() if lot < 0.5 else made * 0.5)
        return sum((v * v for v in nodes[-n // 4 :]), Value(0.0))

    return build, parameters


def tree(n: int) -> Model:
    """A random tree over n/2 leaves."""
    rng = random.Random(0)
    parameters = _parameters(rng, 300)
    leaves = [rng.choice(parameters) for _ in range(n // 2)]
    drawn = [(rng.randrange(3), rng.randrange(k), rng.randrange(k - 1)) for k in range(n // 2, 1, -1)]

    def build() -> Value:
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

    def build() -> Value:
        v = parameters[0]
        for which, p in drawn:
            v = _operation(which, v, p)
        return v.tanh()

    return build, parameters


def least(step: Callable[[], object], rounds: int = 20) -> float:
    """The shortest of some calls, in ms."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return 1e3 * min(found)


def measure(model: Callable[[int], Model], n: int) -> str:
    """A line for a graph."""
    build, parameters = model(n)
    value = build()
    value.backward()
    expected = np.array([p.grad for p in parameters])
    start = time.perf_counter()
    step = autobp.compile(value, parameters)
    compiling = time.perf_counter() - start
    theta = step.theta
    np.testing.assert_allclose(step(theta)[1], expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())
    run = least(lambda: step(theta))

    again, back = least(lambda: build().backward(), 5), least(value.backward)
    return (
        f"{model.__name__:7}{n:8,}: compile {compiling:5.2f} s, a call {run:6.2f} ms, "
        f"{again / run:5.1f} times as fast as building and backward(), {back / run:5.2f} as backward() alone"
    )


def main() -> None:
    """Print all."""
    autobp.compile(Value(1.0).tanh(), [])  # imports
    for model, n in ((sparse, 32_000), (tree, 30_000), (chain, 12_000)):
        print(measure(model, n), flush=True)


if __name__ == "__main__":
    main()
