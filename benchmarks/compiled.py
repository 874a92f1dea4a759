"""Compiled programs against hand-written NumPy, PyTorch, JAX and the scalar engines.

Every contender computes one cost and its whole gradient, for parameters and data that are there as arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.eager import demo_step, micrograds_nn, moons
from benchmarks.harness import Comparison, Contender, timed
from benchmarks.microgpt import GPT
from benchmarks.numpy_by_hand import backprop

Sample = Callable[[], float]


class Case:
    """A network, its data and its cost: sigmoid or relu layers, a sigmoid output under cross-entropy."""

    def __init__(self, sizes: tuple[int, ...], m: int, activation: str) -> None:
        rng = np.random.default_rng(0)
        self.sizes, self.m, self.activation = sizes, m, activation
        self.W = [rng.normal(size=(o, k)) / np.sqrt(k) for k, o in pairwise(sizes)]
        self.b = [rng.normal(size=o) for o in sizes[1:]]
        self.x = rng.normal(size=(m, sizes[0]))
        self.y = (rng.uniform(size=(m, sizes[-1])) > 0.5).astype(float)
        self.calls = max(3, 4_000_000 // (sizes[0] * sizes[1] + 4_000))

    @property
    def title(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, {self.activation}, batch {self.m}: cost and gradient"

    def compiled(self) -> Sample:
        import autobp

        depth = len(self.W)
        activations = [self.activation] * (depth - 1) + ["sigmoid"]
        net = autobp.MLP(
            self.sizes[0], list(self.sizes[1:]), activation=activations, weights=self.W, biases=self.b
        )
        cost = autobp.costs.binary_cross_entropy
        step = autobp.compile(lambda x, y: cost(net(x), y), net.parameters())
        theta = step.theta
        step(theta, self.x, self.y)
        return timed(lambda: step(theta, self.x, self.y), self.calls)

    def by_hand(self) -> Sample:
        return timed(
            lambda: backprop(self.W, self.b, self.x, self.y, self.activation, "cross-entropy"), self.calls
        )

    def torch(self) -> Sample:
        import torch

        torch.set_default_dtype(torch.float64)
        W = [torch.tensor(w, requires_grad=True) for w in self.W]
        b = [torch.tensor(v, requires_grad=True) for v in self.b]
        x, y = torch.tensor(self.x), torch.tensor(self.y)
        hidden = getattr(torch, self.activation)

        def step() -> Any:
            a = x
            for i in range(len(W)):
                z = torch.nn.functional.linear(a, W[i], b[i])
                a = hidden(z) if i < len(W) - 1 else z
            loss = torch.nn.functional.binary_cross_entropy_with_logits(a, y, reduction="sum") / len(x)
            return torch.autograd.grad(loss, [*W, *b])

        return timed(step, self.calls)

    def jax(self) -> Sample:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        hidden = getattr(jax.nn, self.activation)

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            a = x
            for i, (w, v) in enumerate(parameters):
                z = a @ w.T + v
                a = hidden(z) if i < len(parameters) - 1 else z
            return jnp.sum(jax.nn.softplus(a) - y * a) / len(x)

        step = jax.jit(jax.value_and_grad(loss))
        parameters = [(jnp.array(w), jnp.array(v)) for w, v in zip(self.W, self.b, strict=True)]
        x, y = jnp.array(self.x), jnp.array(self.y)
        return timed(lambda: jax.block_until_ready(step(parameters, x, y)), self.calls)

    def autograd(self) -> Sample:
        import autograd
        import autograd.numpy as anp

        hidden = {
            "sigmoid": lambda z: 1.0 / (1.0 + anp.exp(-z)),
            "tanh": anp.tanh,
            "relu": lambda z: anp.maximum(z, 0.0),
        }[self.activation]

        def loss(parameters: Any) -> Any:
            a = self.x
            for i, (w, v) in enumerate(parameters):
                z = anp.dot(a, w.T) + v
                a = hidden(z) if i < len(parameters) - 1 else z
            return anp.sum(anp.logaddexp(0.0, a) - self.y * a) / self.m

        step = autograd.value_and_grad(loss)
        parameters = list(zip(self.W, self.b, strict=True))
        return timed(lambda: step(parameters), self.calls)

    def comparison(self) -> Comparison:
        return Comparison(
            self.title,
            (
                Contender("autobp.compile", self.compiled),
                Contender("NumPy by hand", self.by_hand, "numpy"),
                Contender("PyTorch, eager", self.torch, "torch"),
                Contender("JAX, jit", self.jax, "jax"),
                Contender("autograd", self.autograd, "autograd"),
            ),
            rounds=25,
            reference="autobp.compile",
        )


def moons_step(backend: Any) -> Any:
    """The demo's cost, its data in the graph."""
    import autobp

    net = autobp.MLP(2, [16, 16, 1])
    X, y = moons()

    def loss() -> Any:
        scores = [net(row) for row in X]
        losses = [(1 + -y_i * score).relu() for y_i, score in zip(y, scores, strict=True)]
        return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in net.parameters())

    return autobp.compile(loss, net.parameters(), example=(), backend=backend)


def moons_in_micrograd() -> Sample:
    from micrograd.engine import Value

    net = micrograds_nn(Value).MLP(2, [16, 16, 1])
    return timed(demo_step(net, Value))


DOCUMENT = [0, 13, 1, 20, 9, 12, 4, 1, 0]


def gpt_step(backend: Any) -> Any:
    """The GPT's cost of a document."""
    import autobp
    from autobp import Value

    model = GPT(Value)
    rows = [model.tokens, model.positions, model.query, model.key, model.value]
    rows += [model.out, model.up, model.down, model.head]
    parameters = [v for matrix in rows for row in matrix for v in row]

    class Rows:
        """A table that an index picks from by ``take``."""

        def __init__(self, table: list[list[Any]]) -> None:
            self.columns = list(zip(*table, strict=True))

        def __getitem__(self, index: Any) -> list[Any]:
            return [autobp.take(column, index) for column in self.columns]

    tokens = Rows(model.tokens)

    def loss(document: list[Any]) -> Any:
        from benchmarks import microgpt

        model.tokens, before = tokens, model.tokens  # type: ignore[assignment]
        softmax, microgpt.softmax = microgpt.softmax, autobp.softmax
        try:
            keys: list[Any] = []
            values: list[Any] = []
            losses = []
            for i in range(len(document) - 1):
                odds = microgpt.softmax(model.logits(document[i], i, keys, values))
                losses.append(-autobp.take(odds, document[i + 1]).log())
            return sum(losses) * (1 / len(losses))
        finally:
            model.tokens, microgpt.softmax = before, softmax

    return autobp.compile(loss, parameters, backend=backend)


def gpt_on_values(make: Callable[[float], Any]) -> Callable[[], object]:
    model = GPT(make)
    return lambda: model.loss(DOCUMENT).backward()


COMPARISONS = [
    Case(sizes, m, activation).comparison()
    for sizes, m, activation in (
        ((784, 30, 10), 10, "sigmoid"),
        ((784, 30, 10), 100, "sigmoid"),
        ((784, 256, 128, 10), 100, "relu"),
    )
]
