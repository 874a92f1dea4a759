"""Compiled programs agree with the eager engine, whoever wrote the graph, and have few statements."""

from __future__ import annotations

import copy
import math
import pickle
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import MLP, Value, costs
from autobp.compiler.elements import Elements
from autobp.functions import softmax, take, xlogy

RNG = np.random.default_rng(7)


def values(*shape: int) -> Any:
    """An object array of parameters."""
    made = np.empty(shape, dtype=object)
    flat = made.reshape(-1)
    for i in range(flat.size):
        flat[i] = Value(float(RNG.normal()))
    return made


def nested(array: Any) -> Any:
    return [nested(row) for row in array] if np.ndim(array) else Value(float(array))


def eager(loss: Callable[..., Any], parameters: list[Value], *data: Any) -> tuple[float, Any]:
    """The mean over the samples, one graph for each, and its gradient."""
    m = len(data[0]) if data else 1
    cost, gradient = 0.0, np.zeros(len(parameters))
    for i in range(m):
        for parameter in parameters:
            parameter.grad = 0.0
        root = loss(*[nested(x[i]) for x in data])
        root.backward()
        cost += root.data / m
        gradient += [parameter.grad / m for parameter in parameters]
    return cost, gradient


def agrees(loss: Callable[..., Any], parameters: list[Value], *data: Any) -> autobp.compiler.Step:
    step = autobp.compile(loss, parameters)
    cost, gradient = step(step.theta, *data)
    expected, derivative = eager(loss, parameters, *data)
    assert cost == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert step.value(step.theta, *data) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(gradient, derivative, rtol=1e-11, atol=1e-12 * np.abs(derivative).max())
    return step


X = RNG.normal(size=(7, 3))
Y = RNG.uniform(size=(7, 2))
CLASSES = np.array([0, 1, 2, 3, 4, 0, 1])


def products(source: str) -> int:
    """The matrix products in cost_and_gradient."""
    return source.partition("def cost_and_gradient")[2].count(" @ ")


# ------------------------------------------------------------------------------------------ dense networks


@pytest.mark.parametrize("cost", ["quadratic", "binary_cross_entropy", "hinge"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "silu"])
@pytest.mark.parametrize("bias", [True, False])
def test_networks_of_layers(cost: str, activation: str, bias: bool) -> None:
    output = "sigmoid" if cost == "binary_cross_entropy" else "linear"
    net = MLP(3, [4, 3, 2], activation=[activation, activation, output], bias=bias, seed=1)
    y = np.sign(Y - 0.5) if cost == "hinge" else Y
    step = agrees(lambda x, y: costs.COSTS[cost](net(x), y), net.parameters(), X, y)
    # BP1-BP4 have a product for each layer forward and for each dW, and one for each delta but the last
    assert products(step.source) == 3 + 3 + 2
    assert "delta3" in step.source
    assert "dW1 = delta1.T @ x" in step.source


@pytest.mark.parametrize("cost", ["binary_cross_entropy_with_logits", "softmax_cross_entropy"])
def test_costs_of_logits(cost: str) -> None:
    net = MLP(3, [4, 2], activation=["tanh", "linear"], seed=1)
    step = agrees(lambda x, y: costs.COSTS[cost](net(x), y), net.parameters(), X, Y)
    assert products(step.source) == 2 + 2 + 1


def test_softmax_with_classes() -> None:
    net = MLP(3, [4, 5], activation=["tanh", "linear"], seed=1)
    agrees(lambda x, y: costs.softmax_cross_entropy(net(x), y), net.parameters(), X, CLASSES)


def test_softmax_output_under_cross_entropy() -> None:
    net = MLP(3, [4, 5], activation=["tanh", "softmax"], seed=1)
    one_hot = np.eye(5)[CLASSES]
    loss: Any = lambda x, y: -sum([xlogy(t, a) for t, a in zip(y, net(x), strict=True)])  # noqa: E731
    step = agrees(loss, net.parameters(), X, one_hot)
    # a - y, but that the targets of a sample may add up to something else than 1
    assert "delta2 = (a2 * y.sum(axis=1, keepdims=True) - y) / m" in step.source
    # stable where the naive quotient is 0/0: logits of ±1000 saturate the softmax
    net.W = [net.W[0], 1000.0 * net.W[1]]
    _, gradient = step(step.theta, X, one_hot)
    assert np.isfinite(gradient).all()


def test_sigmoid_output_under_cross_entropy_is_a_minus_y() -> None:
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)
    step = autobp.compile(lambda x, y: costs.binary_cross_entropy(net(x), y), net.parameters())
    step(step.theta, X, Y)
    backward = step.source.partition("def cost_and_gradient")[2]
    assert "a2 = sigmoid(z2)" in backward
    assert "delta2 = (a2 - y) / m" in backward
    theta = 1000.0 * step.theta
    cost, gradient = step(theta, X, np.round(Y))
    assert np.isfinite(cost)
    assert np.isfinite(gradient).all()


@pytest.mark.float64
@pytest.mark.parametrize("scale", [1.0, 10.0, 40.0, 300.0])
@pytest.mark.parametrize("k", [1, 3])
def test_the_cost_of_large_logits_that_are_right_is_not_lost_in_a_difference(scale: float, k: int) -> None:
    w = Value(1.0)
    logits = scale * RNG.uniform(1.0, 2.0, size=(9, k)) * RNG.choice([-1.0, 1.0], size=(9, k))
    soft = RNG.uniform(size=(9, k))

    def loss(x: Any, y: Any) -> Any:
        return costs.binary_cross_entropy_with_logits([w * x_k for x_k in x], y)

    for targets in (np.where(logits > 0, 1.0, 0.0), np.where(logits > 0, 0.0, 1.0), soft):
        step = autobp.compile(loss, [w])
        expected, _ = eager(loss, [w], logits, targets)
        assert step(step.theta, logits, targets)[0] == pytest.approx(expected, rel=1e-13, abs=0.0)
        assert step.value(step.theta, logits, targets) > 0.0


def test_micrograds_moons_loss() -> None:
    net = MLP(2, [16, 16, 1], seed=3)
    rows = RNG.normal(size=(20, 2)).tolist()
    labels = [1 if i % 2 else -1 for i in range(20)]

    def loss() -> Any:
        scores = [net([Value(v) for v in row]) for row in rows]
        losses = [(1 + -yi * score).relu() for yi, score in zip(labels, scores, strict=True)]
        return sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in net.parameters())

    step = agrees(loss, net.parameters())
    assert products(step.source) == 3 + 3 + 2
    shapes = {name: array.shape for name, array in step.unflatten(step.theta).items()}
    assert shapes == {"W1": (16, 2), "b1": (16,), "W2": (16, 16), "b2": (16,), "W3": (1, 16), "b3": (1,)}


def test_penalty() -> None:
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)
    agrees(
        lambda x, y: costs.quadratic(net(x), y) + costs.l2(net, 0.1, 10), net.parameters(), X, Y
    )  # fmt: skip


# -------------------------------------------------------------------------------- however it is written


def dense(how: str) -> tuple[Callable[..., Any], list[Value]]:
    W, b, V = values(4, 3), values(4), values(2, 4)

    def shuffled(items: Any, rng: random.Random) -> list[Any]:
        items = list(items)
        rng.shuffle(items)
        return items

    def loss(x: Any, y: Any) -> Any:
        if how == "object arrays":
            h = np.tanh(W @ np.array(x, dtype=object) + b)
            return ((V @ h - np.array(y, dtype=object)) ** 2).sum()
        if how == "reduce":
            h = [
                reduce(lambda s, t: s + t, [W[i, j] * x[j] for j in range(3)], b[i]).tanh() for i in range(4)
            ]
            z = [reduce(lambda s, t: t + s, [V[i, j] * h[j] for j in range(4)]) for i in range(2)]
            return sum((z_i - y_i) ** 2 for z_i, y_i in zip(z, y, strict=True))
        rng = random.Random(11)
        h = [None] * 4
        for i in shuffled(range(4), rng):
            total: Any = 0.0
            for j in shuffled(range(3), rng):
                total = total + (W[i, j] * x[j] if rng.random() < 0.5 else x[j] * W[i, j])
            h[i] = (total + b[i]).tanh()
        z = [sum(V[i, j] * h[j] for j in shuffled(range(4), rng)) for i in range(2)]
        return sum((z_i - y_i) ** 2 for z_i, y_i in shuffled(zip(z, y, strict=True), rng))

    return loss, [*W.reshape(-1), *b, *V.reshape(-1)]


@pytest.mark.parametrize("how", ["object arrays", "reduce", "shuffled loops"])
def test_any_way_of_writing_gives_the_products(how: str) -> None:
    loss, parameters = dense(how)
    step = agrees(loss, parameters, X, Y)
    assert products(step.source) == 2 + 2 + 1
    assert {"W1", "b1", "W2"} <= set(step.unflatten(step.theta))


# ------------------------------------------------------------------------- a weight with its bias beside it


def beside(o: int, k: int, gap: int = 0) -> tuple[Any, Any, list[Value]]:
    """W (o, k) and b (o,) that lie row by row as w, b, then ``gap`` parameters of no use."""
    rows = values(o, k + 1 + gap)
    return rows[:, :k], rows[:, k], rows.reshape(-1).tolist()


def affine(W: Any, a: Any, b: Any) -> list[Any]:
    return [sum(w * x for w, x in zip(row, a, strict=True)) + c for row, c in zip(W, b, strict=True)]


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "abs", "identity"])
def test_two_heads_on_one_layer(activation: str, gap: int) -> None:
    W1, b1, first = beside(5, 3, gap)
    W2, b2, second = beside(4, 5, gap)
    W3, b3, third = beside(1, 5, gap)
    activate = {"identity": lambda z: z, "abs": abs}.get(activation) or getattr(autobp, activation)

    def loss(x: Any, y: Any) -> Any:
        a = [activate(z) for z in affine(W1, x, b1)]
        heads = affine(W2, a, b2) + affine(W3, a, b3)
        return sum((h - t) ** 2 for h, t in zip(heads, [*y, *y, 0.5], strict=True)) + a[0] * a[1]

    penalised = [*first, *second, *third]
    step = agrees(lambda x, y: loss(x, y) + 0.1 * sum(p * p for p in penalised), penalised, X, Y)
    for m in (1, 3, 1, 7):  # buffers of other sizes, and the same ones again
        expected, derivative = eager(loss, penalised, X[:m], Y[:m])
        without = autobp.compile(loss, penalised, example=(X[0], Y[0]))
        for _ in range(2):
            cost, gradient = without(step.theta, X[:m], Y[:m])
            assert cost == pytest.approx(expected, rel=1e-12)
            np.testing.assert_allclose(gradient, derivative, atol=1e-12 * np.abs(derivative).max())


def test_one_weight_used_at_every_step_of_a_recurrence() -> None:
    W, b, parameters = beside(3, 3)

    def loss(x: Any, y: Any) -> Any:
        h = x
        for _ in range(3):
            h = [z.tanh() for z in affine(W, h, b)]
        return sum((a - t) ** 2 for a, t in zip(h, y, strict=True))

    agrees(loss, parameters, X, X[::-1])
    agrees(lambda: sum(loss(x.tolist(), y.tolist()) for x, y in zip(X, X[::-1], strict=True)), parameters)


@pytest.mark.parametrize("bias", ["first", "before its row", "shared", "scaled"])
def test_biases_elsewhere(bias: str) -> None:
    rows = values(4, 4)
    W, b = {
        "first": (rows.reshape(-1)[4:].reshape(4, 3), rows.reshape(-1)[:4]),
        "before its row": (rows[:, 1:], rows[:, 0]),
        "shared": (rows[:, :3], [rows[0, 3]] * 4),
        "scaled": (rows[:, :3], 2.0 * rows[:, 3]),
    }[bias]
    V, c, last = beside(2, 4)

    def loss(x: Any, y: Any) -> Any:
        a = [autobp.relu(z) for z in affine(W, x, b)]
        b_twice = affine(V, [autobp.relu(z) for z in affine(W, x, b)], c)
        return sum((h - t) ** 2 for h, t in zip(affine(V, a, c), y, strict=True)) + b_twice[0]

    agrees(loss, [*rows.reshape(-1), *last], X, Y)


def test_infinities_in_a_layer_with_its_bias_beside_it() -> None:
    W1, b1, first = beside(2, 3)
    W2, b2, second = beside(2, 2)

    def loss(x: Any, y: Any) -> Any:
        a = [autobp.relu(z) for z in affine(W1, x, b1)]
        return sum(h * t for h, t in zip(affine(W2, a, b2), y, strict=True))

    step = autobp.compile(loss, [*first, *second])
    wild = X.copy()
    wild[2, 1], wild[4, 0] = np.inf, np.nan
    cost, gradient = step(step.theta, wild, Y)
    assert np.isnan(cost)
    assert np.isnan(gradient).any()
    np.testing.assert_array_equal(step(step.theta, X, Y)[1], step(step.theta, X, Y)[1])
    agrees(loss, [*first, *second], X, Y)
    assert np.isfinite(step(step.theta, X, Y)[1]).all()  # what was not finite is gone from the buffers


@pytest.mark.parametrize("padding", [0, 1])
def test_convolution(padding: int) -> None:
    K, w = values(2, 3, 3), values(2)
    images = RNG.normal(size=(5, 6, 6))

    def loss(x: Any, y: Any) -> Any:
        pooled = []
        for c in range(2):
            outputs = []
            for i in range(4 + 2 * padding):
                for j in range(4 + 2 * padding):
                    terms = [
                        K[c, u, v] * x[i + u - padding][j + v - padding]
                        for u in range(3)
                        for v in range(3)
                        if 0 <= i + u - padding < 6 and 0 <= j + v - padding < 6
                    ]
                    outputs.append(sum(terms).tanh())
            pooled.append(sum(outputs) / len(outputs))
        return (sum(a * b for a, b in zip(w, pooled, strict=True)) - y) ** 2

    step = agrees(loss, [*K.reshape(-1), *w], images, RNG.normal(size=5))
    assert len(step) < 30
    assert products(step.source) >= 2


def test_sum_of_linear_convolution_outputs() -> None:
    K = values(3, 3)

    def loss(x: Any, y: Any) -> Any:
        total = 0
        for i in range(4):
            for j in range(4):
                total = total + sum(K[u, v] * x[i + u][j + v] for u in range(3) for v in range(3))
        return (total - y) ** 2

    agrees(loss, list(K.reshape(-1)), RNG.normal(size=(5, 6, 6)), RNG.normal(size=5))


def recurrence(steps: int) -> autobp.compiler.Step:
    U, W, b, V = values(4, 4), values(4, 3), values(4), values(4)

    def loss(x: Any, y: Any) -> Any:
        h: list[Any] = [0.1] * 4
        for t in range(steps):
            h = [
                (
                    sum(U[i, j] * h[j] for j in range(4)) + sum(W[i, k] * x[t][k] for k in range(3)) + b[i]
                ).tanh()
                for i in range(4)
            ]
        return (sum(v * a for v, a in zip(V, h, strict=True)) - y) ** 2

    parameters = [*U.reshape(-1), *W.reshape(-1), *b, *V]
    return agrees(loss, parameters, RNG.normal(size=(5, steps, 3)), RNG.normal(size=5))


def test_unrolled_recurrence_grows_linearly() -> None:
    lengths = [len(recurrence(steps)) for steps in (4, 6, 8)]
    assert lengths[2] - lengths[1] <= lengths[1] - lengths[0]


def attention(length: int, heads: int, causal: bool) -> autobp.compiler.Step:
    d = 4
    Wq, Wk, Wv, w = values(d, d), values(d, d), values(d, d), values(d)

    def linear(W: Any, h: Any) -> Any:
        return [sum(a * b for a, b in zip(row, h, strict=True)) for row in W]

    def loss(x: Any, y: Any) -> Any:
        q, k, v = ([linear(W, h) for h in x] for W in (Wq, Wk, Wv))
        outputs = []
        for t in range(length):
            mixed = []
            for head in range(heads):
                part = range(head * d // heads, (head + 1) * d // heads)
                seen = range(t + 1) if causal else range(length)
                p = softmax([sum(q[t][i] * k[s][i] for i in part) / len(part) ** 0.5 for s in seen])
                mixed += [sum(p[s] * v[s][i] for s in seen) for i in part]
            outputs.append(sum(a * b for a, b in zip(w, mixed, strict=True)).tanh())
        return (sum(outputs) - y) ** 2

    parameters = [*Wq.reshape(-1), *Wk.reshape(-1), *Wv.reshape(-1), *w]
    return agrees(loss, parameters, RNG.normal(size=(3, length, d)), RNG.normal(size=3))


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_does_not_grow_with_the_context(heads: int, causal: bool) -> None:
    lengths = {len(attention(length, heads, causal)) for length in (3, 5, 8)}
    assert len(lengths) == 1
    assert lengths.pop() < 70


def test_layer_norm_before_softmax() -> None:
    g, b, W = values(4), values(4), values(3, 4)

    def loss(x: Any, y: Any) -> Any:
        mean = sum(x) / 4
        variance = sum((x_i - mean) ** 2 for x_i in x) / 4
        h = [
            g_i * (x_i - mean) * (variance + 1e-5) ** -0.5 + b_i
            for g_i, x_i, b_i in zip(g, x, b, strict=True)
        ]
        return costs.softmax_cross_entropy(
            [sum(w * h_i for w, h_i in zip(row, h, strict=True)) for row in W], y
        )

    step = agrees(loss, [*g, *b, *W.reshape(-1)], RNG.normal(size=(5, 4)), np.array([0, 1, 2, 0, 1]))
    assert len(step) < 30


def test_branches_of_different_widths() -> None:
    A, B = values(5, 3), values(2, 3)

    def loss(x: Any, y: Any) -> Any:
        a = [sum(w * v for w, v in zip(row, x, strict=True)).tanh() for row in A]
        b = [sum(w * v for w, v in zip(row, x, strict=True)).tanh() for row in B]
        return (sum(A[i, 0] * a[i] for i in range(5)) - sum(B[i, 1] * b[i] for i in range(2)) - y[0]) ** 2

    agrees(loss, [*A.reshape(-1), *B.reshape(-1)], X, Y)


def test_pieces_and_choices() -> None:
    p = values(3)

    def loss(x: Any, y: Any) -> Any:
        a = autobp.where(autobp.greater(x[0], 0.1), p[0] * x[0], p[1].exp() / (1 + x[1] * x[1]))
        b = autobp.maximum(a, x[2] * p[2]) + autobp.leaky_relu(p[0] + x[1], 0.1) + autobp.elu(p[1] * x[2])
        return b**3 + autobp.abs(a - y[0]) + p[0] ** 2 * y[1] + (x[0].abs() + 0.1) ** p[1] + p[2].gelu()

    agrees(loss, list(p), X, Y)


def test_take_with_a_traced_index() -> None:
    table, w = values(5, 3), values(3)

    def loss(i: Any, y: Any) -> Any:
        embedded = [take(table[:, j], i) for j in range(3)]
        return (sum(a * b for a, b in zip(w, embedded, strict=True)).tanh() - y) ** 2

    step = agrees(loss, [*table.reshape(-1), *w], CLASSES, RNG.normal(size=7))
    with pytest.raises(IndexError, match=r"5\.0 is not one of 0, 1, …, 4"):
        step(step.theta, [5], [0.0])
    with pytest.raises(IndexError, match="-1"):
        step(step.theta, [-1], [0.0])


@pytest.mark.parametrize("index", [1, 1.0])
def test_take_with_an_index_that_is_a_constant(index: float) -> None:
    W, table = values(3, 3), [2.0, 3.0, 5.0]

    def loss(x: Any, y: Any) -> Any:
        z = [sum(w * v for w, v in zip(row, x, strict=True)) for row in W]
        return take(z, index) * take(table, index) + take([z[0], x[1], W[0, 0]], index)

    agrees(loss, list(W.reshape(-1)), X, Y)


def test_products_of_parameters() -> None:
    U, V = values(3, 2), values(2, 3)

    def loss(x: Any, y: Any) -> Any:
        W = [[sum(U[i, k] * V[k, j] for k in range(2)) for j in range(3)] for i in range(3)]
        z = [sum(W[i][j] * x[j] for j in range(3)) for i in range(3)]
        return sum((z_i - y[0]) ** 2 for z_i in z)

    agrees(loss, [*U.reshape(-1), *V.reshape(-1)], X, Y)


def test_gram_matrix() -> None:
    A = values(4, 3)

    def loss() -> Any:
        pairs = [(i, j) for i in range(4) for j in range(i)]
        return sum(sum(A[i, k] * A[j, k] for k in range(3)).tanh() for i, j in pairs)

    agrees(loss, list(A.reshape(-1)))


def test_an_operation_of_ones_own() -> None:
    from autobp import ops

    name = "test_compile_cube"
    op = autobp.operation(
        name,
        lambda xp, x: x * x * x + xp.exp(-x * x),
        lambda xp, y, x: (3.0 * x * x - 2.0 * x * xp.exp(-x * x),),
    )  # fmt: skip
    branching = autobp.operation(
        name + "_branch", lambda xp, x: x if x > 0 else 2.0 * x, lambda xp, y, x: (1.0 if x > 0 else 2.0,)
    )
    try:
        W = values(3, 3)
        f, g = autobp.functions.function(op), autobp.functions.function(branching)
        agrees(
            lambda x, y: sum(g(f(sum(w * v for w, v in zip(row, x, strict=True)))) for row in W) * y[0],
            list(W.reshape(-1)),
            X,
            Y,
        )
    finally:
        del ops.TABLE[name], ops.TABLE[name + "_branch"]


# ------------------------------------------------------------------------------ how statements grow


def statements(sizes: list[int], seed: int = 0, m: int = 0) -> int:
    net = MLP(3, sizes, activation="tanh", seed=seed)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(max(m, 5), 3)), rng.integers(0, 2, size=(max(m, 5), sizes[-1])).astype(float)
    if not m:
        step = autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters())
        step(step.theta, x, y)
    else:  # the data are constants of the graph
        step = autobp.compile(
            lambda: costs.quadratic([net(list(row)) for row in x], y.tolist()), net.parameters(), example=()
        )
    return len(step)


def test_statements_do_not_grow_with_width_batch_or_constants() -> None:
    assert statements([4, 2]) == statements([40, 2]) == statements([7, 5])
    assert len({statements([4, 2], seed, m) for seed in range(3) for m in (6, 30)}) == 1


def test_statements_do_not_depend_on_which_targets_are_equal() -> None:
    def count(targets: Any) -> int:
        net = MLP(3, [4, 3], activation=["tanh", "softmax"], seed=0)

        def loss() -> Any:
            return autobp.mean(
                -autobp.sum([xlogy(t, a) for t, a in zip(y, net(list(x)), strict=True)])
                for x, y in zip(X, targets.tolist(), strict=True)
            )

        return len(agrees(loss, net.parameters()))

    one_hot = np.eye(3)[[0, 1, 2, 2, 0, 1, 1]]
    assert count(one_hot) == count(one_hot[::-1]) == count(0.7 * one_hot + 0.1 * RNG.uniform(size=(7, 3)))


def test_statements_grow_linearly_with_depth() -> None:
    counts = [statements([4] * depth + [2]) for depth in (1, 2, 3, 4)]
    assert len(set(np.diff(counts))) == 1


# ------------------------------------------------------------------------------------- what is refused


def test_decisions_on_traced_values_are_refused() -> None:
    w = Value(0.5, label="w")
    with pytest.raises(TypeError, match=r"test_compile.py.*w\.data.*autobp\.where"):
        autobp.compile(lambda x: x * (1.0 if w.data > 0 else 2.0), [w], example=(1.0,))
    with pytest.raises(TypeError, match=r"test_compile.py, line \d+, .*reads > .*autobp\.greater"):
        autobp.compile(lambda x: x * w if x > 0 else w, [w], example=(1.0,))
    with pytest.raises(TypeError, match=r"autobp\.where"):
        autobp.compile(lambda x: x * w if x * w else w, [w], example=(1.0,))
    here = r"test_compile\.py, line \d+, .*"
    for table in ([w, w], np.array([w, w])):  # of an error in __index__ NumPy makes another
        with pytest.raises(TypeError, match=here + r"takes a Value as an index .*autobp\.take"):
            autobp.compile(lambda i, table=table: table[i], [w], example=(1.0,))
    for convert, what in (
        (float, "turns a Value into a float"),
        (math.exp, "turns a Value into a float"),
        (np.float64, "turns a Value into a float"),
        (int, "turns a Value into an int"),
        (round, "rounds a Value"),
        (lambda x: x == 1.0, "reads =="),
        (lambda x: sorted([x, w])[0], "reads <"),
        (lambda x: np.sort(np.array([x, w]))[0], "reads <"),
        (copy.copy, "copies a Value"),
        (copy.deepcopy, "copies a Value"),
        (lambda x: pickle.loads(pickle.dumps(x)), "copies a Value"),
    ):
        with pytest.raises(TypeError, match=here + what):
            autobp.compile(lambda x, convert=convert: w * convert(x), [w], example=(1.0,))


def test_a_refusal_cannot_be_caught_and_passed_over() -> None:
    w = Value(0.5)

    def number_of(v: Any) -> float:
        try:
            return float(v.data)
        except TypeError:
            return 1.0

    with pytest.raises(TypeError, match=r"reads \.data"):
        autobp.compile(lambda x: w * x * number_of(x), [w], example=(1.0,))

    def is_number(v: Any) -> bool:  # what raises outside a trace too may be asked
        try:
            float(v)
        except TypeError:
            return False
        return True

    step = autobp.compile(lambda x: w if is_number(x) else w * x, [w])
    assert step([0.5], [4.0])[0] == 2.0


def test_reads_in_threads_of_the_function_are_refused() -> None:
    w = Value(0.5)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(TypeError, match=r"reads \.data"):
            autobp.compile(lambda x: w * pool.submit(lambda: x.data).result(), [w], example=(1.0,))
        # threads that know nothing of the arguments are left alone
        step = autobp.compile(lambda x: (pool.submit(lambda: w.data).result(), w * x)[1], [w])
        assert step([0.5], [4.0])[0] == 2.0
    assert w.data == 0.5


def test_a_step_inside_a_function_that_is_traced_is_refused() -> None:
    w = Value(0.5)
    inner = autobp.compile(lambda x: w * x, [w])
    with pytest.raises(TypeError, match=r"reads \.data"):
        autobp.compile(lambda x: x * inner.value(inner.theta, [2.0]), [w], example=(1.0,))


def test_constants_may_be_read() -> None:
    w, c = Value(0.5), Value(3.0)
    step = autobp.compile(lambda x: x * w * (2.0 if c.data > 0 else 1.0), [w])
    assert step(step.theta, [1.0, 3.0]) == (2.0, np.array([4.0]))


def test_random_numbers_are_refused() -> None:
    w = Value(0.5)
    with pytest.raises(ValueError, match=r"test_compile\.py, line \d+, .*draws random numbers"):
        autobp.compile(lambda x: x * w * random.random(), [w], example=(1.0,))
    calls: list[float] = []
    with pytest.raises(ValueError, match=r"two traces .*had multiply\(.*, 0\) where the other had .*, 1\)\)"):
        autobp.compile(lambda x: (calls.append(0.0), x * (len(calls) - 1.0) * w)[1], [w], example=(1.0,))


GENERATOR = np.random.default_rng(3)


class Noise:
    def __init__(self) -> None:
        self.generators = {"mine": random.Random(3)}

    def draw(self) -> float:
        return self.generators["mine"].gauss(0.5, 1.0)


NOISE = Noise()
NEW = np.random.RandomState(3)


@pytest.mark.parametrize(
    "draw", [random.random, np.random.rand, lambda: GENERATOR.random(), NOISE.draw, NEW.rand]
)
def test_one_coin_is_refused_however_it_falls(draw: Callable[[], float]) -> None:
    w = Value(0.5)
    for _ in range(10):  # two traces agree on half of the coins
        with pytest.raises(ValueError, match=r"traces|draws random numbers"):
            autobp.compile(lambda x: x * w if draw() < 0.5 else w, [w], example=(1.0,))


def test_random_numbers_of_another_thread_are_nothing_to_the_function() -> None:
    w = Value(0.5)
    traces: list[int] = []

    def loss(x: Any) -> Any:
        traces.append(0)
        if len(traces) == 2:  # the second trace
            thread = threading.Thread(target=random.random)
            thread.start()
            thread.join()
        return x * w

    assert autobp.compile(loss, [w])([0.5], [4.0])[0] == 2.0


def test_random_numbers_from_a_seed_of_the_functions_own_are_constants() -> None:
    w = Value(0.5)
    assert autobp.compile(lambda x: x * w * random.Random(3).random(), [w])([2.0], [1.0])[0] > 0


class Lazy:
    def __init__(self, elements: Callable[[], Any]) -> None:
        self.elements = elements

    def __iter__(self) -> Any:
        return self.elements()


def test_results_that_are_lazy_are_traced_too() -> None:
    w = Value(0.5)
    with pytest.raises(TypeError, match=r"reads \.data"):
        autobp.compile(lambda x: Lazy(lambda: (v * w if v.data > 0 else w for v in x)), [w], example=([1.0],))
    step = autobp.compile(lambda x: (v * w for v in x), [w])
    np.testing.assert_array_equal(step([0.5], [[1.0, 2.0], [3.0, 4.0]]), [[0.5, 1.0], [1.5, 2.0]])
    scalar = autobp.compile(lambda x: np.array(x * w), [w])
    assert scalar([0.5], [1.0, 3.0])[0] == 1.0
    for result in ({"y": w}, "w"):
        with pytest.raises(TypeError, match=r"returned a (dict|str); compile needs"):
            autobp.compile(lambda x, result=result: result, [w], example=(1.0,))


def test_masked_elements_are_refused() -> None:
    w = Value(0.5)
    step = autobp.compile(lambda x: x * w, [w])
    with pytest.raises(TypeError, match="x has masked elements"):
        step([0.5], np.ma.array([1.0, 2.0], mask=[False, True]))


def test_arguments_that_do_not_fit_are_refused() -> None:
    net = MLP(3, [2], activation="sigmoid", seed=1)
    step = autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters())
    for what in (lambda: step.source, lambda: len(step), lambda: step.unflatten(step.theta)):
        with pytest.raises(ValueError, match="nothing is traced yet"):
            what()
    with pytest.raises(ValueError, match="y has 6 rows, but x has 7"):
        step(step.theta, X, Y[:6])
    with pytest.raises(ValueError, match=r"theta has the shape \(3,\)"):
        step([1.0, 2.0, 3.0], X, Y)
    with pytest.raises(TypeError, match=r"step\(theta, x, y\) takes 3 arguments; got 2"):
        step(step.theta, X)
    with pytest.raises(TypeError, match="x must be real numbers"):
        step(step.theta, X + 1j, Y)
    with pytest.raises(ValueError, match="y is one number"):
        step(step.theta, X, 1.0)
    with pytest.raises(ValueError, match="no rows"):
        step(step.theta, X[:0], Y[:0])
    with pytest.raises(ValueError, match="a network of 3 inputs was given 2"):
        step(step.theta, X[:, :2], Y)
    with pytest.raises(TypeError, match="leaves"):
        autobp.compile(lambda x: x, [net.parameters()[0] * 2])
    for parameters in (net, net.parameters()[0], None):
        with pytest.raises(TypeError, match=r"parameters must be a list of leaves"):
            autobp.compile(lambda x: x, parameters)  # type: ignore[arg-type]
    for example, message in (
        ((None, 1.0), "x of the example must be real numbers"),
        (([[1.0], [1.0, 2.0]], 1.0), "x of the example is ragged"),
        (([1.0],), "example has 1 arguments"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            autobp.compile(lambda x, y: x, net.parameters(), example=example)
    leaf, other = Value(1.0), Value(2.0)
    with pytest.raises(ValueError, match="input 1 is ragged"):
        autobp.compile(leaf * other, [leaf], inputs=[[[other], Value(3.0), Value(4.0)]])
    with pytest.raises(TypeError, match=r"inputs must be a list of arguments"):
        autobp.compile(leaf * other, [leaf], inputs=other)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"example= is for a function"):
        autobp.compile(leaf * other, [leaf], example=(1.0,))
    w = Value(1.0)
    with pytest.raises(TypeError, match="made by hand"):
        autobp.compile(lambda: Value(2.0, (w,), (1.0,)), [w], example=())


def test_nan_and_infinity_pass_through() -> None:
    net = MLP(3, [2], activation="sigmoid", seed=1)
    step = autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters())
    cost, gradient = step(step.theta, np.full((2, 3), np.nan), Y[:2])
    assert np.isnan(cost)
    assert np.isnan(gradient).any()
    cost, _ = step(step.theta, np.full((2, 3), np.inf), Y[:2])
    assert not np.isfinite(cost) or cost >= 0


def test_a_class_masked_by_an_infinite_logit_costs_nothing() -> None:
    w = list(values(3))
    x = np.array([[1.0, 0.4, -2.0], [-0.3, 0.7, 0.2]])
    y = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

    def loss(x: Any, y: Any) -> Any:
        first = autobp.where(autobp.greater(x[0], 0.0), float("-inf"), w[0] * x[0])
        p = softmax([first, w[1] * x[1], w[2] * x[2]])
        return -sum(xlogy(y_k, p_k) for y_k, p_k in zip(y, p, strict=True))

    step = agrees(loss, w, x, y)
    assert np.isfinite(step.value(step.theta, x, y))


# ----------------------------------------------------------------------------------- what users hold


def make() -> tuple[MLP, autobp.compiler.Step]:
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)
    return net, autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters())


def test_the_gradient_is_a_fresh_array() -> None:
    _, step = make()
    _, first = step(step.theta, X, Y)
    kept = first.copy()
    _, second = step(step.theta + 1.0, X, Y)
    assert first is not second
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)


def test_write_back_and_unflatten() -> None:
    net, step = make()
    step(step.theta, X, Y)
    theta = RNG.normal(size=len(net.parameters()))
    step.write_back(theta)
    assert np.array_equal([p.data for p in net.parameters()], theta)
    assert np.array_equal(step.theta, theta)
    found = step.unflatten(theta)
    for i in range(2):
        assert np.array_equal(found[f"W{i + 1}"], net.W[i])
        assert np.array_equal(found[f"b{i + 1}"], net.b[i])


def test_pickle_holds_the_programs() -> None:
    _, step = make()
    cost, gradient = step(step.theta, X, Y)
    copy = pickle.loads(pickle.dumps(step))
    again, derivative = copy(copy.theta, X, Y)
    assert again == cost
    assert np.array_equal(gradient, derivative)
    assert copy.source == step.source
    with pytest.raises(ValueError, match="a pickle holds programs only"):
        copy(copy.theta, X, Y[:, :1])


def test_threads() -> None:
    _, step = make()
    data = [(RNG.normal(size=(m, 3)), RNG.uniform(size=(m, 2))) for m in (3, 5, 8, 13)]
    expected = [step(step.theta, *xy) for xy in data]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(200):
            cost, gradient = step(step.theta, *data[i])
            if cost != expected[i][0] or not np.array_equal(gradient, expected[i][1]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_scipy_minimises_it() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    _, step = make()
    result = optimize.minimize(
        step, step.theta, args=(X, Y), jac=True, method="BFGS", options={"maxiter": 300}
    )
    assert result.fun < 0.5 * step.value(step.theta, X, Y)
    assert np.abs(result.jac).max() < 1e-2


def test_the_source_runs_alone(tmp_path: Any) -> None:
    _, step = make()
    cost, gradient = step(step.theta, X, Y)
    np.savez(tmp_path / "data.npz", theta=step.theta, x=X, y=Y)
    (tmp_path / "program.py").write_text(step.source, encoding="utf-8")
    script = (
        "import sys, numpy as np, program; d = np.load('data.npz')\n"
        "cost, gradient = program.cost_and_gradient(d['theta'], d['x'], d['y'])\n"
        "assert 'autobp' not in sys.modules\n"
        "np.savez('out.npz', cost=cost, gradient=gradient)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    with np.load(tmp_path / "out.npz") as out:
        assert out["cost"] == pytest.approx(cost, rel=1e-14)
        np.testing.assert_allclose(out["gradient"], gradient, rtol=1e-13, atol=1e-16)


def test_predictions() -> None:
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)
    predict = autobp.compile(net, net.parameters())
    expected = [[a.data for a in net(list(row))] for row in X]
    np.testing.assert_allclose(predict(predict.theta, X), expected, rtol=1e-12)
    one = MLP(3, [4, 1], activation="sigmoid", seed=1)
    predict = autobp.compile(one, one.parameters())
    np.testing.assert_allclose(
        predict(predict.theta, X), [[one(list(row)).data] for row in X], rtol=1e-12
    )  # fmt: skip


def test_a_graph_that_exists() -> None:
    net = MLP(3, [4, 2], activation="sigmoid", seed=1)
    x, y = nested(X[0]), nested(Y[0])
    root = costs.quadratic(net(x), y)
    fixed = autobp.compile(root, net.parameters())
    root.backward()
    cost, gradient = fixed(fixed.theta)
    assert cost == pytest.approx(root.data, rel=1e-12)
    np.testing.assert_allclose(gradient, [p.grad for p in net.parameters()], rtol=1e-11)
    general = autobp.compile(root, net.parameters(), inputs=[x, y])
    expected = eager(lambda x, y: costs.quadratic(net(x), y), net.parameters(), X, Y)
    cost, gradient = general(general.theta, X, Y)
    assert cost == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-11)


def test_equations_are_bp1_to_bp4() -> None:
    _, step = make()
    step(step.theta, X, Y)
    for line in (
        r"z^{1} &= x {W^{1}}^{\top} + b^{1}",
        r"a^{1} &= \sigma\left(z^{1}\right)",
        r"\frac{\partial C}{\partial b^{1}} &= \sum_{i} \delta^{1}",
        r"\frac{\partial C}{\partial W^{2}} &= {\delta^{2}}^{\top} a^{1}",
        r"\delta^{1} &= \delta^{2} W^{2} \odot \left(a^{1} \odot \left(1 - a^{1}\right)\right)",
    ):
        assert line in step.latex


def test_checking_names_the_statement_and_the_scalar() -> None:
    w, b = Value(0.5, label="w"), Value(1.0, label="b")
    step = autobp.compile(lambda x: (x * w).sigmoid() + (x - b).log(), [w, b], check=True)
    plain = autobp.compile(lambda x: (x * w).sigmoid() + (x - b).log(), [w, b])
    cost, gradient = step(step.theta, [3.0, 2.0])
    assert cost == pytest.approx(plain.value(plain.theta, [3.0, 2.0]), rel=1e-14)
    np.testing.assert_allclose(gradient, plain(plain.theta, [3.0, 2.0])[1], rtol=1e-14)
    message = r"np\.log\(.*(?s:.)made nan.*log\(subtract\(.*b\)\) of sample 1"
    with pytest.raises(FloatingPointError, match=message):
        step(step.theta, [3.0, 0.5, 2.0])
    with pytest.raises(FloatingPointError, match="sample 1"):
        pickle.loads(pickle.dumps(step))(step.theta, [3.0, 0.5, 2.0])


def test_kernels_are_the_operations_of_the_table() -> None:
    from autobp.ir.expression import KERNELS
    from autobp.ops import FLOATS, lookup

    z = np.concatenate([np.linspace(-700.0, 700.0, 2001), np.linspace(-40.0, 40.0, 2001)])
    v = Value(0.0)
    for name in KERNELS:
        step = autobp.compile(lambda x, name=name: [getattr(x, name)() + 0.0 * v], [v])
        found = step(step.theta, z).reshape(-1)
        expected = [lookup(name).value(FLOATS, float(x)) for x in z]
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_another_shape_is_traced_once_more() -> None:
    w = Value(2.0)
    traces = []

    def loss(x: Any) -> Any:
        traces.append(len(x))
        return sum(x) * w

    step = autobp.compile(loss, [w])
    assert step(step.theta, [[1.0, 2.0]])[0] == 6.0
    assert step(step.theta, [[1.0, 2.0, 3.0]])[0] == 12.0
    assert step(step.theta, [[1.0, 2.0], [3.0, 4.0]])[0] == 10.0
    assert traces == [2] * 8 + [3] * 8  # small graphs are traced 8 times, to catch what chance decides


def test_names_of_arguments_and_labels_cannot_collide() -> None:
    w = Value(2.0, label="sigmoid[1]")
    v = Value(0.5, label="lambda[1]")
    step = autobp.compile(lambda B0, ones, C1, sigmoid: (B0 * w * ones + C1 * v).sigmoid() * sigmoid, [w, v])
    data = ([1.0, 2.0], [0.5, 0.25], [2.0, -1.0], [3.0, 1.0])
    cost, gradient = step(step.theta, *data)
    a = [1.0 / (1.0 + np.exp(-(b0 * 2.0 * one + c1 * 0.5))) for b0, one, c1, _ in zip(*data, strict=True)]
    assert cost == pytest.approx((a[0] * 3.0 + a[1]) / 2, rel=1e-14)
    namespace: dict[str, Any] = {}
    exec(step.source, namespace)
    alone = namespace["cost_and_gradient"](step.theta, *map(np.array, data))
    assert alone[0] == pytest.approx(cost, rel=1e-14)
    np.testing.assert_allclose(alone[1], gradient, rtol=1e-14)


@pytest.mark.parametrize("inner", ["tanh", "affine"])
def test_long_chains(inner: str) -> None:
    w = Value(0.9)

    def loss(x: Any) -> Any:
        for _ in range(1500):
            x = (x * w).tanh() if inner == "tanh" else x * 0.999 + w
        return x

    agrees(loss, [w], np.array([0.5, 0.2]))


def test_outputs_of_every_kind() -> None:
    w = Value(2.0)
    step = autobp.compile(lambda x: [x[1], w, w * x[0], x[1], Value(5.0), w * w], [w])
    expected = [[2.0, 2.0, 2.0, 2.0, 5.0, 4.0], [4.0, 2.0, 6.0, 4.0, 5.0, 4.0]]
    assert np.array_equal(step(step.theta, [[1.0, 2.0], [3.0, 4.0]]), expected)
    for function, cost, derivative in (
        (lambda x: w, 2.0, 1.0),
        (lambda x: x, 2.0, 0.0),
        (lambda x: Value(3.0), 3.0, 0.0),
    ):
        step = autobp.compile(function, [w])
        assert step(step.theta, [1.0, 3.0]) == (cost, np.array([derivative]))


def test_matrices_and_other_layouts_are_arrays() -> None:
    net, step = make()
    cost, gradient = step(step.theta, X, Y)
    for x in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.tolist()):
        again, derivative = step(step.theta, x, Y)
        assert again == pytest.approx(cost, rel=1e-14)
        np.testing.assert_allclose(derivative, gradient, rtol=1e-13)
    assert len(net.parameters()) == len(gradient)


def test_unused_parameters_have_gradient_zero() -> None:
    w, unused = Value(2.0), Value(1.0)
    step = autobp.compile(lambda x: x * w, [w, unused])
    assert np.array_equal(step(step.theta, [3.0])[1], [3.0, 0.0])


def test_importing_autobp_leaves_the_compiler_for_later() -> None:
    code = "import sys, autobp; assert 'autobp.compiler' not in sys.modules; assert callable(autobp.compile)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("read", "what"),
    [(lambda x, w: x * w.grad, ".grad"), (lambda x, w: x * (w * x).partials[0], ".partials")],
)
def test_gradients_read_as_numbers_are_refused_while_tracing(read, what):
    w = Value(2.0, label="w")
    with pytest.raises(TypeError, match=rf"reads \{what}.*autobp\.grad"):
        autobp.compile(lambda x: read(x, w), [w], example=(1.0,))


def test_a_traced_value_may_be_printed_but_not_set() -> None:
    w = Value(2.0, label="w")
    step = autobp.compile(lambda x: (print(w, x), w * x)[1], [w])
    assert step(step.theta, [3.0])[0] == 6.0

    def sets(x: Value) -> Value:
        w.data = 5.0
        return w * x

    with pytest.raises(TypeError, match=r"sets \.data = … of w .*write_back"):
        autobp.compile(sets, [w], example=(1.0,))
    assert w.data == 2.0


def test_an_argument_of_too_few_columns_is_named() -> None:
    w = Value(2.0)
    step = autobp.compile(lambda x, y: w * x[2] - y, [w])
    with pytest.raises(IndexError, match=r"x of the shape \(2,\) and y of the shape \(\)"):
        step(step.theta, np.ones((4, 2)), np.ones(4))


def test_a_square_has_one_term_in_its_derivative() -> None:
    weights = [Value(float(i)) for i in range(5)]
    step = autobp.compile(autobp.sum([w * w for w in weights]), weights)
    cost, grad = step(step.theta)
    assert cost == 30.0
    assert grad.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert step.source.split("def cost_and_gradient")[1].count("2.0 * theta") == 1


def test_models_name_the_arguments_of_their_calls() -> None:
    """Where a signature cannot be seen, call_arguments() tells; a call of one's own is looked at."""

    class Pair(MLP):
        def __call__(self, first: Any, second: Any) -> Any:  # type: ignore[override]
            return super().__call__([first, second])

    class Plain(MLP):
        pass

    for net, names in ((MLP(2, [1]), "x"), (Plain(2, [1]), "x"), (Pair(2, [1]), "first, second")):
        n = len(names.split(", "))
        with pytest.raises(TypeError, match=rf"step\(theta, {names}\) takes {1 + n} arguments; got 1"):
            autobp.compile(net, net.parameters())(np.zeros(3))


@pytest.mark.parametrize("call", ["sum()", "mean()", "shape", "T"])
def test_an_attribute_of_arrays_that_a_traced_argument_has_not_is_told(call: str) -> None:
    w = Value(1.0, label="w")

    def loss(x: Any) -> Any:
        return w * getattr(x, call.removesuffix("()"))

    with pytest.raises(AttributeError, match=re.escape(f"write np.array(x).{call}")):
        autobp.compile(loss, [w])(np.ones(1), np.ones((2, 3)))
    assert not hasattr(Elements([1.0]), "shape")
    assert not hasattr(Elements([1.0]), "unheard_of")
