"""A small GPT written out in scalars, as a user writes it, and the kind of Value that such a program brings.

The model has the shape of microgpt: token and position embeddings, one layer of causal attention with several
heads and a feed-forward part, both behind an RMS norm, and a cross-entropy for the next token.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

VOCABULARY, CONTEXT, WIDTH, HEADS = 27, 8, 16, 4


class TupleValue:
    """A Value in the manner of microgpt: children and local gradients in tuples, backward() by recursion."""

    __slots__ = ("_children", "_local_grads", "data", "grad")

    def __init__(self, data: float, children: tuple = (), local_grads: tuple = ()) -> None:
        self.data = data
        self.grad = 0.0
        self._children = children
        self._local_grads = local_grads

    def __add__(self, other: Any) -> TupleValue:
        other = other if isinstance(other, TupleValue) else TupleValue(other)
        return TupleValue(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> TupleValue:
        other = other if isinstance(other, TupleValue) else TupleValue(other)
        return TupleValue(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, exponent: float) -> TupleValue:
        return TupleValue(self.data**exponent, (self,), (exponent * self.data ** (exponent - 1),))

    def log(self) -> TupleValue:
        return TupleValue(math.log(self.data), (self,), (1 / self.data,))

    def exp(self) -> TupleValue:
        y = math.exp(self.data)
        return TupleValue(y, (self,), (y,))

    def relu(self) -> TupleValue:
        return TupleValue(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> TupleValue:
        return self * -1

    def __sub__(self, other: Any) -> TupleValue:
        return self + (-other)

    def __truediv__(self, other: Any) -> TupleValue:
        return self * other**-1

    __radd__ = __add__
    __rmul__ = __mul__

    def backward(self) -> None:
        order: list[TupleValue] = []
        seen: set[TupleValue] = set()

        def visit(value: TupleValue) -> None:
            if value not in seen:
                seen.add(value)
                for child in value._children:
                    visit(child)
                order.append(value)

        visit(self)
        self.grad = 1.0
        for value in reversed(order):
            for child, local_grad in zip(value._children, value._local_grads, strict=True):
                child.grad += local_grad * value.grad


class GPT:
    """The model, on any Value with + - * / ** exp log relu."""

    def __init__(self, make: Callable[[float], Any]) -> None:
        rng = random.Random(0)

        def matrix(n_out: int, n_in: int) -> list[list[Any]]:
            return [[make(rng.gauss(0.0, 0.2)) for _ in range(n_in)] for _ in range(n_out)]

        self.tokens, self.positions = matrix(VOCABULARY, WIDTH), matrix(CONTEXT, WIDTH)
        self.query, self.key, self.value, self.out = [matrix(WIDTH, WIDTH) for _ in range(4)]
        self.up, self.down = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
        self.head = matrix(VOCABULARY, WIDTH)

    def logits(self, token: int, position: int, keys: list[Any], values: list[Any]) -> list[Any]:
        """The scores of the token that follows; keys and values are those of the past, and grow by one."""
        x = [t + p for t, p in zip(self.tokens[token], self.positions[position], strict=True)]
        y = norm(x)
        query = linear(y, self.query)
        keys.append(linear(y, self.key))
        values.append(linear(y, self.value))
        attended = []
        size = WIDTH // HEADS
        for h in range(0, WIDTH, size):
            q = query[h : h + size]
            scores = [sum(a * b for a, b in zip(q, k[h : h + size], strict=True)) / size**0.5 for k in keys]
            weights = softmax(scores)
            for i in range(h, h + size):
                attended.append(sum(w * v[i] for w, v in zip(weights, values, strict=True)))
        x = [a + b for a, b in zip(x, linear(attended, self.out), strict=True)]
        hidden = [z.relu() for z in linear(norm(x), self.up)]
        x = [a + b for a, b in zip(x, linear(hidden, self.down), strict=True)]
        return linear(x, self.head)

    def loss(self, tokens: list[int]) -> Any:
        """The mean cross-entropy of each token but the first, given those before it."""
        keys: list[Any] = []
        values: list[Any] = []
        losses = []
        for i, (token, following) in enumerate(pairwise(tokens)):
            losses.append(-softmax(self.logits(token, i, keys, values))[following].log())
        return sum(losses) * (1 / len(losses))


def linear(x: list[Any], weights: list[list[Any]]) -> list[Any]:
    return [sum(w * x_i for w, x_i in zip(row, x, strict=True)) for row in weights]


def norm(x: list[Any]) -> list[Any]:
    scale = (sum(x_i * x_i for x_i in x) / len(x) + 1e-5) ** -0.5
    return [x_i * scale for x_i in x]


def softmax(x: list[Any]) -> list[Any]:
    largest = max(x_i.data for x_i in x)
    exponentials = [(x_i - largest).exp() for x_i in x]
    total = sum(exponentials)
    return [e / total for e in exponentials]
