"""The eager engine: time and memory of scalar graphs, against engines that record scalars as well."""

from __future__ import annotations

import gc
import importlib.util
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any
from unittest import mock

from benchmarks.harness import Comparison, Contender, timed
from benchmarks.microgpt import CONTEXT, GPT, VOCABULARY, TupleValue

sys.setrecursionlimit(10**6)  # peers walk the graph by recursion

# ------------------------------------------------------------------------------------ micrograd's moons demo


def moons() -> tuple[list[list[float]], list[int]]:
    """Two half circles of 50 points each, one in the other, and their labels, 1 and -1."""
    rng = random.Random(0)
    X, y = [], []
    for i in range(100):
        angle, upper = math.pi * (i // 2) / 49, i % 2 == 0
        point = (math.cos(angle), math.sin(angle)) if upper else (1 - math.cos(angle), 0.5 - math.sin(angle))
        X.append([c + rng.gauss(0.0, 0.1) for c in point])
        y.append(1 if upper else -1)
    return X, y


def demo_step(net: Any, make: Callable[[float], Any]) -> Callable[[], object]:
    """One step of micrograd's demo but for the update: hinge loss with an L2 penalty, and its gradient."""
    X, y = moons()

    def step() -> None:
        inputs = [[make(x) for x in row] for row in X]
        scores = [net(row) for row in inputs]
        losses = [(1 + -y_i * score).relu() for y_i, score in zip(y, scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in net.parameters())
        net.zero_grad()
        loss.backward()

    return step


def micrograds_nn(value: Any) -> ModuleType:
    """micrograd's nn.py, as it is installed, on another Value."""
    spec = importlib.util.find_spec("micrograd.nn")
    if spec is None or spec.loader is None:
        raise ImportError("micrograd")
    engine = ModuleType("micrograd.engine")
    engine.Value = value  # type: ignore[attr-defined]
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"micrograd.engine": engine}):
        spec.loader.exec_module(module)
    return module


def moons_micrograd() -> Callable[[], float]:
    from micrograd.engine import Value
    from micrograd.nn import MLP

    return timed(demo_step(MLP(2, [16, 16, 1]), Value))


def moons_micrograds_nn() -> Callable[[], float]:
    from autobp import Value

    return timed(demo_step(micrograds_nn(Value).MLP(2, [16, 16, 1]), Value))


def moons_own_nn() -> Callable[[], float]:
    from autobp import MLP, Value

    return timed(demo_step(MLP(2, [16, 16, 1]), Value))


def moons_torch() -> Callable[[], float]:
    import torch

    def make(x: float) -> Any:
        return torch.tensor(x, dtype=torch.float64, requires_grad=True)

    class Net:
        def __init__(self) -> None:
            self.net = micrograds_nn(make).MLP(2, [16, 16, 1])
            self.parameters = self.net.parameters

        def __call__(self, x: Sequence[Any]) -> Any:
            return self.net(x)

        def zero_grad(self) -> None:
            for p in self.net.parameters():
                p.grad = None

    return timed(demo_step(Net(), make))


# ------------------------------------------------------------------------------------------- a scalar GPT


def gpt(make: Callable[[float], Any]) -> Callable[[], float]:
    model = GPT(make)
    tokens = [(7 * i + 3) % VOCABULARY for i in range(CONTEXT + 1)]
    return timed(lambda: model.loss(tokens).backward())


def gpt_autobp() -> Callable[[], float]:
    from autobp import Value

    return gpt(Value)


def gpt_micrograd() -> Callable[[], float] | None:
    from micrograd.engine import Value

    del Value  # micrograd has neither exp nor log
    return None


# ----------------------------------------------------------------------------------------- size and growth


def graph(make: Callable[[float], Any], n: int) -> Any:
    """A graph of about n nodes: dot products of ten terms each, added up in a tree."""
    w = [make(0.1 * i) for i in range(10)]
    level = []
    for _ in range(max(1, n // 20)):
        total = w[0] * w[1]
        for i in range(1, 10):
            total = total + w[i] * w[i - 1]
        level.append(total)
    while len(level) > 1:
        level = [a + b for a, b in zip(level[::2], level[1::2], strict=False)] + (
            level[-1:] if len(level) % 2 else []
        )
    return level[0]


def bytes_per_node(make: Callable[[float], Any], n: int = 20_000) -> Callable[[], float]:
    """After backward(), all that is allocated for the graph, its numbers included."""

    def sample() -> float:
        gc.collect()
        tracemalloc.start()
        try:
            root = graph(make, n)
            root.backward()
            gc.collect()
            used = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        del root
        return used / n

    return sample


def on_values_of(package: str, measure: Callable[[Callable[[float], Any]], Any]) -> Contender:
    """The contender that does it with the package's Value."""

    def prepare() -> Any:
        return measure(importlib.import_module(f"{package}.engine").Value)

    return Contender(package, prepare, package)


def growth(n: int) -> Comparison:
    repeats = max(1, 20_000 // n)

    def measure(make: Callable[[float], Any]) -> Callable[[], float]:
        sample = timed(lambda: graph(make, n).backward(), repeats)
        return lambda: 1e6 * sample() / n

    contenders = [on_values_of("autobp", measure)]
    if n <= 100_000:  # micrograd needs 700 MB for a million nodes
        contenders.append(on_values_of("micrograd", measure))
        contenders.append(Contender("microgpt's kind of Value", lambda: measure(TupleValue), ""))
    title = f"A graph of {n:,} nodes: build, backward and free"
    return Comparison(title, tuple(contenders), "ns a node", rounds=7 if n < 10**6 else 5)


# ------------------------------------------------------------------------------------------------- import


def importing(package: str) -> Callable[[], Callable[[], float]]:
    """Samples of how long the import takes in a new interpreter, in ms, by its own account."""

    # bytecode is kept, as it is of what is installed
    environment = {
        **os.environ,
        "PYTHONPYCACHEPREFIX": os.path.join(tempfile.gettempdir(), "autobp-benchmarks"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def sample() -> float:
        command = [sys.executable, "-X", "importtime", "-c", f"import {package}"]
        folder = importlib.util.find_spec(package).submodule_search_locations[0]  # type: ignore[union-attr,index]
        said = subprocess.run(
            command, cwd=f"{folder}/..", env=environment, capture_output=True, text=True, check=True
        ).stderr
        times = re.findall(rf"\| +(\d+) \| {package}$", said, flags=re.MULTILINE)
        return int(times[-1]) / 1e3

    def prepare() -> Callable[[], float]:
        importlib.import_module(package)
        return sample

    return prepare


COMPARISONS = [
    Comparison(
        "micrograd's moons demo, its own nn.py: forward and backward",
        (
            Contender("autobp", moons_micrograds_nn),
            Contender("micrograd", moons_micrograd, "micrograd"),
            Contender("torch, scalar by scalar", moons_torch, "torch"),
        ),
    ),
    Comparison(
        "The same demo, each with its own nn",
        (Contender("autobp", moons_own_nn), Contender("micrograd", moons_micrograd, "micrograd")),
    ),
    Comparison(
        "A scalar GPT in the shape of microgpt, one step",
        (
            Contender("autobp", gpt_autobp),
            Contender("microgpt's kind of Value", lambda: gpt(TupleValue), ""),
            Contender("micrograd", gpt_micrograd, "micrograd"),
        ),
    ),
    Comparison(
        "Memory",
        (
            on_values_of("autobp", bytes_per_node),
            on_values_of("micrograd", bytes_per_node),
            Contender("microgpt's kind of Value", lambda: bytes_per_node(TupleValue), ""),
        ),
        "bytes a node",
        rounds=3,
    ),
    *[growth(n) for n in (10**3, 10**4, 10**5, 10**6)],
    Comparison(
        "import",
        (Contender("autobp", importing("autobp")), Contender("numpy", importing("numpy"), "numpy")),
        rounds=15,
    ),
]
