"""What is written twice is computed once, in few statements, and counts as often as it is written."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value, costs
from autobp.compiler import group

RNG = np.random.default_rng(11)
H, M = 5, 7


def leaves(*shape: int) -> Any:
    return np.vectorize(Value, otypes=[object])(RNG.normal(size=shape)).tolist()


def computed(step: Any, name: str) -> list[tuple[int, ...]]:
    """The shapes of what one operation computes."""
    return [
        x.shape for x in step.program.arrays if getattr(getattr(x, "operation", None), "name", None) == name
    ]


def eager(loss: Callable[..., Any], parameters: list[Value], *data: Any) -> tuple[float, Any]:
    """The mean cost over rows and its gradient, by the engine."""
    cost, gradient = 0.0, np.zeros(len(parameters))
    for row in zip(*data, strict=True):
        for p in parameters:
            p.grad = 0.0
        value = loss(*[[Value(float(v)) for v in x] if np.ndim(x) else Value(float(x)) for x in row])
        value.backward()
        cost += value.data / len(data[0])
        gradient += [p.grad / len(data[0]) for p in parameters]
    return cost, gradient


def agrees(loss: Callable[..., Any], parameters: list[Value], *data: Any, backend: str = "numpy") -> Any:
    step = autobp.compile(loss, parameters, example=[x[0] for x in data], backend=backend)
    cost, gradient = step(step.theta, *data)
    expected, derivative = eager(loss, parameters, *data)
    assert cost == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, derivative, rtol=1e-11, atol=1e-13 * np.abs(derivative).max())
    assert step.verify(step.theta, *data)
    return step


# --------------------------------------------------------------------- losses with derivatives by the input


def physics(layers: int) -> tuple[Callable[..., Any], list[Value]]:
    """(u'' + u' u + u)² of a network u, its derivatives written out: 1 - a² stands there five times."""
    w, b, v = leaves(H), leaves(H), leaves(H)
    matrix, c = leaves(H, H), leaves(H)

    def dot(x: Any, y: Any) -> Any:
        return sum(p * q for p, q in zip(x, y, strict=True))

    def loss(x: Any) -> Any:
        a = [(wi * x + bi).tanh() for wi, bi in zip(w, b, strict=True)]
        d = [(1 - ai**2) * wi for ai, wi in zip(a, w, strict=True)]
        dd = [-2 * ai * (1 - ai**2) * wi**2 for ai, wi in zip(a, w, strict=True)]
        if layers == 2:
            z = [dot(row, a) + ci for row, ci in zip(matrix, c, strict=True)]
            zd, zdd = ([dot(row, e) for row in matrix] for e in (d, dd))
            a = [zi.tanh() for zi in z]
            d = [(1 - ai**2) * p for ai, p in zip(a, zd, strict=True)]
            dd = [
                (1 - ai**2) * q - 2 * ai * (1 - ai**2) * p**2 for ai, p, q in zip(a, zd, zdd, strict=True)
            ]
        u, ux, uxx = dot(v, a), dot(v, d), dot(v, dd)
        return (uxx + ux * u + u) ** 2

    return loss, [*w, *b, *v, *([q for row in matrix for q in row] + c if layers == 2 else [])]


@pytest.mark.parametrize("backend", ["numpy", "c"])
@pytest.mark.parametrize(("layers", "statements"), [(1, 40), (2, 60)])
def test_a_loss_with_second_derivatives_has_each_factor_once(layers, statements, backend):
    loss, parameters = physics(layers)
    step = agrees(loss, parameters, RNG.normal(size=M), backend=backend)
    assert len(step) <= statements
    squares = [line for line in str(step.program).splitlines() if "1 - a" in line and "**2" in line]
    assert len(squares) == layers, "1 - a² of each layer"
    assert all(f": m×{H} =" in line for line in squares), "and no more elements than units"


def test_a_loss_with_second_derivatives_is_what_jax_makes_of_the_network():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    loss, parameters = physics(2)
    step = autobp.compile(loss, parameters, example=(0.3,))
    X = RNG.normal(size=M)

    def network(theta: Any, x: Any) -> Any:
        w, b, v, rest = theta[:H], theta[H : 2 * H], theta[2 * H : 3 * H], theta[3 * H :]
        a = jax.numpy.tanh(w * x + b)
        return v @ jax.numpy.tanh(rest[: H * H].reshape(H, H) @ a + rest[H * H :])

    def cost(theta: Any) -> Any:
        ux = jax.grad(network, 1)
        uxx = jax.grad(ux, 1)
        residuals = [uxx(theta, x) + ux(theta, x) * network(theta, x) + network(theta, x) for x in X]
        return sum(r**2 for r in residuals) / len(X)

    expected, derivative = jax.value_and_grad(cost)(step.theta)
    found, gradient = step(step.theta, X)
    assert found == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(gradient, derivative, rtol=1e-10, atol=1e-12)
    v = RNG.normal(size=len(parameters))
    second = jax.jvp(jax.grad(cost), (step.theta,), (v,))[1]
    np.testing.assert_allclose(step.hvp(step.theta, v, X), second, rtol=1e-9, atol=1e-11)


# ----------------------------------------------------------------------------- what is equal, and what is not


def test_a_network_that_is_called_twice_is_computed_once():
    net = autobp.MLP(3, [4, 2], activation="tanh", seed=0)

    def once(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y)

    def twice(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y) + autobp.sum([a**2 for a in net(x)])

    data = RNG.normal(size=(M, 3)), RNG.normal(size=(M, 2))
    parameters = net.parameters()
    assert computed(agrees(twice, parameters, *data), "tanh") == [(4,), (2,)]
    assert computed(agrees(once, parameters, *data), "tanh") == [(4,), (2,)]


def test_equal_elements_of_one_statement_add_up_their_derivatives():
    """Some are there once, some three times: the derivative counts each use."""
    w = leaves(4)
    often = [0, 1, 1, 2, 2, 2, 3]

    def loss(x: Any) -> Any:
        return autobp.sum([(k + 1) * (w[i] * x).sin() ** 3 for k, i in enumerate(often)])

    step = agrees(loss, w, RNG.normal(size=M))
    assert computed(step, "sin") == [(4,)]


def test_sums_that_differ_by_a_constant_are_two():
    w = leaves(3)

    def loss(x: Any) -> Any:
        up, down = ([(wi * x * x + c).exp() for wi in w for _ in range(2)] for c in (0.5, -0.5))
        return autobp.sum([a * a * b for a, b in zip(up, down, strict=True)])

    step = agrees(loss, w, RNG.normal(size=M))
    assert sum(math.prod(shape) for shape in computed(step, "exp")) == 6


def test_what_stands_in_another_order_is_another_operation():
    w = leaves(2)

    def loss(x: Any) -> Any:
        return (w[0] * x - w[1]).sin() + (w[1] - w[0] * x).sin() * 2.0 + (w[0] ** w[1]) * (w[1] ** w[0])

    for p in w:
        p.data = abs(p.data)
    agrees(loss, w, RNG.normal(size=M))


def test_zeros_of_both_signs_stay_two_numbers():
    """x · 0.0 and x · -0.0 are zeros of two signs, which an angle and a division tell apart."""
    w = [Value(1.5), Value(0.75)]

    def outputs() -> list[Value]:
        zeros = [autobp.maximum(p * z, p * z) for p in w for z in (0.0, -0.0, 0.0, -0.0)]
        return [autobp.atan2(z, -p) for z, p in zip(zeros, [p for p in w for _ in range(4)], strict=True)]

    step = autobp.compile(outputs, w, example=())
    np.testing.assert_array_equal(step(step.theta), [v.data for v in outputs()])
    assert set(np.sign(step(step.theta))) == {-1.0, 1.0}


def test_numbers_that_are_none_are_equal_in_their_place():
    w = leaves(2)

    def loss(x: Any) -> Any:
        nan = [autobp.where(autobp.greater(x, 0.0), p * x, math.nan) for p in w for _ in range(2)]
        return autobp.sum([p.exp() * 0.5 for p in nan])

    step = autobp.compile(loss, w, example=(0.3,))
    X = np.abs(RNG.normal(size=M))
    expected, derivative = eager(loss, w, X)
    cost, gradient = step(step.theta, X)
    assert cost == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, derivative, rtol=1e-12)
    X[2] = -1.0
    assert math.isnan(step(step.theta, X)[0])


def test_an_operation_of_ones_own_is_computed_as_often_as_it_is_written():
    """What its rule gives the second time is its own affair."""
    own = autobp.operation("own_cube", lambda xp, x: x * x * x, lambda xp, y, x: (3.0 * x * x,))
    try:
        w = leaves(3)

        def loss() -> Any:
            return autobp.sum([own(p.sin()) * k for k in (1, 2) for p in w])

        step = autobp.compile(loss, w, example=())
        assert step.value(step.theta) == pytest.approx(loss().data, rel=1e-14)
        assert [math.prod(shape) for shape in computed(step, "own_cube")] == [6]
        assert computed(step, "sin") == [(3,)]
    finally:
        autobp.ops.TABLE.pop("own_cube", None)


def test_equal_data_decide_nothing():
    """Which constants happen to be equal changes no statement."""
    w, v = leaves(3), leaves(3)

    def count(data: Any) -> int:
        def loss() -> Any:
            a = [[vi * (wi + x).tanh() for wi, vi in zip(w, v, strict=True)] for x, _ in data]
            return autobp.sum([(autobp.sum(ai) - y) ** 2 for ai, (_, y) in zip(a, data, strict=True)])

        step = autobp.compile(loss, [*w, *v], example=())
        expected = loss()
        assert step.value(step.theta) == pytest.approx(expected.data, rel=1e-12)
        return len(step)

    apart = [(0.1 * k, k * k * 0.3) for k in range(6)]
    assert count(apart) == count([(int(3 * x), y) for x, y in apart]) == count([(x, 1.0) for x, y in apart])


# ------------------------------------------------------------------------------------------------ faithful


def test_a_derivative_of_two_uses_is_near_the_exact_one():
    """Both uses may nearly cancel: the sum of their adjoints is taken before the slope, and loses nothing."""
    numbers = [(random.Random(k).uniform(0.5, 2.0), 1.0 + 2.0**-40 * k) for k in range(20)]
    for p, c in numbers:
        w = [Value(p)]

        def loss(w: list[Value] = w, c: float = c) -> Any:
            square = [w[0] * w[0] for _ in range(2)]
            return (square[0] * square[0]) * c - (square[1] * square[1]) / c

        step = autobp.compile(loss, w, example=())
        exact_p, exact_c = Fraction(p), Fraction(c)
        terms = [4 * exact_p**3 * exact_c, 4 * exact_p**3 / exact_c]
        error = abs(Fraction(step(step.theta)[1].item()) - (terms[0] - terms[1]))
        assert error <= 16 * Fraction(2) ** -53 * (terms[0] + terms[1])


# -------------------------------------------------------------------------------- loops, random programs


@pytest.mark.parametrize("steps", [3, 24])
def test_equal_expressions_within_a_step_of_a_recurrence(steps):
    a, b = leaves(3), leaves(3)

    def loss(x: Any) -> Any:
        h = [Value(0.1) for _ in range(3)]
        for t in range(steps):
            slope = [(1 - hi**2) * ai for hi, ai in zip(h, a, strict=True)]
            bend = [-2 * hi * (1 - hi**2) * ai**2 for hi, ai in zip(h, a, strict=True)]
            z = [bi * x[t] + 0.1 * s - 0.05 * q for bi, s, q in zip(b, slope, bend, strict=True)]
            h = [(zi + 0.2 * autobp.sum(z)).tanh() for zi in z]
        return autobp.sum([hi**2 for hi in h])

    step = agrees(loss, [*a, *b], RNG.normal(size=(M, steps)))
    assert (steps == 24) == any(isinstance(x, autobp.ir.Loop) for x in step.program.arrays)
    assert not re.search("3×2|2×3", str(step.program)), "each factor once"


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_with_repeats(seed):
    """Operations on few numbers, so that many are equal; with shuffled uses."""
    rng = random.Random(seed)
    w = [Value(rng.uniform(0.3, 1.5)) for _ in range(4)]
    steps = [(rng.randrange(7), rng.random(), rng.random()) for _ in range(60)]

    def loss(x: Any) -> Any:
        nodes = [*w, *x]
        for which, i, j in steps:
            p, q = nodes[int(i * 6)], nodes[int(j * len(nodes))]
            nodes.append(
                [
                    lambda p, q: p * q,
                    lambda p, q: p - q,
                    lambda p, q: (p + q).tanh(),
                    lambda p, q: p.sin() * 0.5,
                    lambda p, q: 1 - q.tanh() ** 2,
                    lambda p, q: autobp.maximum(p, q.sin()),
                    lambda p, q: p.tanh() / (1.5 + q.cos()),
                ][which](p, q)
            )
        return autobp.sum([(k % 5) * n.tanh() for k, n in enumerate(nodes[6:])])

    agrees(loss, w, RNG.normal(size=(M, 2)))


def test_without_it_the_tests_above_fail(monkeypatch):
    """The count of statements shows it."""
    monkeypatch.setattr(group, "occurrences", lambda columns: None)
    loss, parameters = physics(1)
    assert len(autobp.compile(loss, parameters, example=(0.3,))) > 40
