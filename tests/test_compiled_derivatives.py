"""Derivatives of compiled programs: against the engine's, differences, and what they are made of."""

from __future__ import annotations

import contextlib
import io
import math
import pickle
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_loops
from whole_programs import EDGES, Maker, Program

import autobp
from autobp import MLP, Value, costs, functional, ir, machine
from autobp.compiler.derivatives import forward, made, methods, proof, sparse, sparsity, symmetric
from autobp.compiler.derivatives import several as several_module
from autobp.compiler.derivatives.formulas import NoDerivative
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.verified import ProgramDiffers
from autobp.state import ieee

PARTS = 4


def differences(f: Callable[[Any], Any], x: Any, size: float = 1e-5) -> Any:
    """The derivatives of f at x, by central differences; those by the entries of x on the last axes."""
    x = np.asarray(x, dtype=float)
    columns = []
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = size
        columns.append((np.asarray(f(x + step)) - np.asarray(f(x - step))) / (2 * size))
    found = np.stack(columns, axis=-1)
    return found.reshape(*found.shape[:-1], *x.shape)


# ------------------------------------------------------------------------------------------ random programs


def pairs(program: Program) -> Iterator[tuple[str, Any, Any]]:
    """What a step gives of derivatives, and what the engine does."""
    w = [Value(x) for x in program.theta]
    theta, rows = list(program.theta), [list(row) for row in program.rows]
    data = [] if program.whole else [np.array(rows)]
    step = autobp.compile(program.made(w), w)
    random = np.random.default_rng(len(theta))

    def at(parameters: Any, row: Any) -> Any:
        made = program.made(parameters)
        return made() if program.whole else made(row)

    def by_theta(derivative: Callable[..., Any], *more: Any) -> Any:
        def of(row: list[float]) -> Any:
            return derivative(lambda u: at(u, [Value(x) for x in row]), *more)

        return [of(row) for row in (rows[:1] if program.whole else rows)]

    def by_x(derivative: Callable[..., Any]) -> Any:
        return np.array([derivative(lambda u: at(w, u))(row) for row in rows])

    v = random.normal(size=len(theta))
    if program.as_list and not program.whole:
        jacobian = np.array([f(theta) for f in by_theta(functional.jacobian)])
        yield "jacobian", step.jacobian(theta, *data), jacobian
        yield "jvp", step.jvp(theta, v, *data), jacobian @ v
        weights = random.normal(size=jacobian.shape[:2])
        yield "vjp", step.vjp(theta, weights, *data), np.einsum("mq,mqn->n", weights, jacobian)
        yield "jacobian by x", step.jacobian(theta, *data, wrt="x"), by_x(functional.jacobian)
        return
    yield "hessian", step.hessian(theta, *data), np.mean([f(theta) for f in by_theta(functional.hessian)], 0)
    products = by_theta(functional.hvp, theta, list(v))
    yield "hvp", step.hvp(theta, v, *data), np.mean(products, 0)
    gradients = np.array([f(theta) for f in by_theta(functional.grad)])
    yield "rows", step.rows(theta, *data)[1], gradients[0] if program.whole else gradients
    if not program.whole:
        yield "rows by x", step.rows(theta, *data, wrt="x")[1], by_x(functional.grad)
        yield "hessian by x", step.hessian(theta, *data, wrt="x"), by_x(functional.hessian)


def differs(found: Any, expected: Any) -> str:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    finite = np.isfinite(expected)
    if not finite.any():
        return ""
    with np.errstate(all="ignore"):
        scale = max(1e-3, float(np.abs(expected[finite]).max()))
        wrong = finite & np.isfinite(found) & ~(np.abs(found - expected) <= 1e-7 * scale)
    return f"{found[wrong][0]} for {expected[wrong][0]}" if wrong.any() else ""


def check(seeds: range) -> int:
    """Where rows are finite, all numbers are the engine's; at edges no finite number is another one."""
    count = 0
    for seed in seeds:
        program = Maker(seed, EDGES).program()
        try:
            with ieee(), np.errstate(all="ignore"):
                for name, found, expected in pairs(program):
                    assert not differs(found, expected), (seed, name, differs(found, expected))
                    if np.isfinite(program.rows).all() and np.abs(program.rows).max() < 1e100:
                        assert np.isfinite(np.asarray(found)[np.isfinite(expected)]).all(), (seed, name)
                    count += 1
        except AttributeError:  # a number where the program needs a Value, which has methods
            continue
    return count


@pytest.mark.float64
@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs_have_the_engines_derivatives(part: int) -> None:
    assert check(range(part, 80, PARTS)) > 50


@pytest.mark.long
@pytest.mark.float64
@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_programs_have_the_engines_derivatives(part: int) -> None:
    check(range(80 + part, 1_080, PARTS))


# ------------------------------------------------------------------------------------------------- networks


def network_step(*sizes: int, activation: str = "tanh") -> tuple[Any, Any, Any, Any]:
    net = MLP(sizes[0], list(sizes[1:]), activation=activation, seed=1)

    def loss(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y)

    random = np.random.default_rng(0)
    step = autobp.compile(loss, net.parameters())
    x, y = random.normal(size=(7, sizes[0])), random.uniform(0.2, 0.8, size=(7, sizes[-1]))
    step(step.theta, x, y)
    return step, step.theta, x, y


def kinds_of(step: Any, name: str) -> list[str]:
    wanted = Wanted(name)
    program = made.made_of(step._executable(), wanted).program
    return [type(array).__name__ for array in program.arrays]


def test_the_product_with_a_hessian_is_products_of_matrices() -> None:
    step, theta, x, y = network_step(4, 5, 3, activation="sigmoid")
    v = np.random.default_rng(1).normal(size=len(theta))
    expected = differences(lambda t: step(theta + t * v, x, y)[1], 0.0)
    assert np.allclose(step.hvp(theta, v, x, y), expected, rtol=1e-7, atol=1e-9)
    kinds = kinds_of(step, "hvp")
    # x V1ᵀ; a1_dot W2ᵀ and a1 V2ᵀ beside x W1ᵀ and a1 W2ᵀ; of the gradient's products two each, of dW1's one
    assert kinds.count("MatMul") == 5
    assert kinds.count("Product") == 6
    text = step.source_of("hvp")
    assert "z1_dot = x @ W1_dot.T + b1_dot" in text
    assert "z2_dot = a1_dot @ W2.T + a1 @ W2_dot.T + b2_dot" in text


def test_large_graphs_are_proved_by_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_LARGE", 0)
    monkeypatch.setattr(proof._Test, "expected", None)  # which is not asked
    step, theta, x, y = network_step(3, 4, 2)
    assert step.hessian(theta, x, y).shape == (len(theta), len(theta))
    assert step.rows(theta, x, y, wrt="x")[1].shape == x.shape
    net = MLP(3, [2], seed=0)
    outputs = autobp.compile(net, net.parameters())
    assert outputs.jvp(outputs.theta, outputs.theta, x).shape == (7, 2)


def test_an_attention_has_the_hessian_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(5)
    numbers = random.normal(size=(3, 2, 2))
    w = [[[Value(e) for e in row] for row in matrix] for matrix in numbers]
    rows = random.normal(size=(4, 3, 2))

    def attended(x: Any) -> Any:
        q, k, v = ([[autobp.dot(row, token) for row in matrix] for token in x] for matrix in w)
        out = []
        for i in range(3):
            weights = autobp.softmax([autobp.dot(q[i], k[j]) for j in range(3)])
            out += [autobp.dot(weights, [v[j][c] for j in range(3)]).tanh() for c in range(2)]
        return autobp.dot(out, out)

    step = autobp.compile(attended, [e for matrix in w for row in matrix for e in row])

    def by_torch(theta: Any) -> Any:
        q, k, v = (torch.tensor(rows) @ matrix.T for matrix in theta.reshape(3, 2, 2))
        out = torch.tanh(torch.softmax(q @ k.transpose(1, 2), -1) @ v)
        return (out**2).sum((1, 2)).mean()

    theta = torch.tensor(step.theta)
    expected = torch.func.hessian(by_torch)(theta).numpy()
    assert np.allclose(step.hessian(step.theta, rows), expected, rtol=1e-9, atol=1e-11)


def test_the_hessian_is_symmetric_and_the_differences_of_the_gradient() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    hessian = step.hessian(theta, x, y)
    assert np.allclose(hessian, hessian.T, rtol=0.0, atol=1e-15)
    expected = differences(lambda t: step(t, x, y)[1], theta)
    assert np.allclose(hessian, expected, rtol=1e-7, atol=1e-9)


def test_of_layers_each_pair_has_second_derivatives_once() -> None:
    """Against one direction after another; only the first layer's own go through its part of the gradient."""
    step, theta, x, y = network_step(3, 8, 5, 1)
    found = step.hessian(theta, x, y)
    columns = np.stack([step.hvp(theta, v, x, y) for v in np.eye(len(theta))])
    np.testing.assert_allclose(found, columns, rtol=0, atol=1e-13 * np.abs(columns).max())
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-13 * np.abs(found).max())
    program = made.made_of(step._executable(), Wanted("hessian")).program
    names = {name: array for array, name in program.names.items()}
    assert names["delta2_dot"].shape == (8 * 4 + 5 * 9, 5)
    order = np.arange(len(theta))
    gradient = step.program.results[1]
    half = symmetric.half_of(gradient, order)
    assert half is not None
    (weights,) = [x for x in gradient.pieces if x.shape == (8, 3)]  # the first layer's
    assert half.needed[weights] <= set(range(8 * 4))
    assert (half.computed | half.computed.T).all()
    assert half.computed.sum() < 0.7 * half.computed.size


@pytest.mark.parametrize("sizes", [(2, 8, 5, 1), (3, 9, 4, 3, 2), (4, 20)])
def test_a_hessian_of_layers_is_put_together_by_slices(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block where it belongs, and the same turned: what indices of single elements give, bit for bit."""
    step, theta, x, y = network_step(*sizes)
    found, source = step.hessian(theta, x, y), step.source_of("hessian")
    assert "\nI1 = " not in source
    assert source.count("\n") < 200
    monkeypatch.setattr(symmetric, "_MOST_BLOCKS", 0)
    other, theta, x, y = network_step(*sizes)
    np.testing.assert_array_equal(found, other.hessian(theta, x, y))
    assert "\nI1 = " in other.source_of("hessian")


def scaled_on_its_way_back(xp: Any, z: Any, x: Any, y: Any) -> tuple[Any, ...]:
    """Partials of x·y that are no gradient: ∂/∂x of the second is not ∂/∂y of the first."""
    return y, 2.0 * x * y


@pytest.mark.parametrize("n", [2, 6])
def test_second_derivatives_of_partials_that_are_no_gradient(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row i has the derivatives of what the rules give by the i-th, as the engine has; by 8 and by 72."""
    name = "scaled_for_this_test"
    autobp.operation(name, lambda xp, x, y: x * y, scaled_on_its_way_back, arity=2)
    try:
        theta = 0.4 * np.random.default_rng(1).normal(size=2 * n * n)
        w = [Value(x) for x in theta]

        def loss(w: Any, x: Any) -> Any:
            first = [autobp.dot(w[n * i : n * i + n], x).tanh() for i in range(n)]
            second = [autobp.dot(w[n * (n + i) : n * (n + i + 1)], first) for i in range(n)]
            return sum(getattr(autobp, name)(a, b) for a, b in zip(first, second, strict=True)) ** 2

        x = np.random.default_rng(2).normal(size=(3, n))
        step = autobp.compile(lambda x: loss(w, x), w)
        rows = [autobp.hessian(lambda w, row=row: loss(w, row))(theta.tolist()) for row in x.tolist()]
        expected = np.mean(rows, axis=0)
        assert np.abs(expected - expected.T).max() > 0.1 * np.abs(expected).max()
        near = {"rtol": 1e-11, "atol": 1e-13 * np.abs(expected).max()}
        assert np.allclose(step.hessian(theta, x), expected, **near)
        products = [step.hvp(theta, e, x) for e in np.eye(len(w))]
        assert np.allclose(np.stack(products, axis=1), expected, **near)
        of_rows = np.einsum("mij,m->ij", rows, [1.0, 0.0, 2.0]) / 3
        assert np.allclose(step.hessian(theta, x, weights=[1.0, 0.0, 2.0]), of_rows, **near)
        by_x = [autobp.hessian(lambda row: loss(theta.tolist(), row))(row) for row in x.tolist()]
        assert np.allclose(step.hessian(theta, x, wrt="x"), by_x, rtol=1e-11, atol=1e-13)
        monkeypatch.setattr(methods, "_WHOLE", 1)
        monkeypatch.setattr(methods, "_COLUMNS", 3)
        assert np.allclose(step.hessian(theta, x), expected, **near)
        assert np.allclose(step.hessian(theta, x, wrt="x"), by_x, rtol=1e-11, atol=1e-13)
    finally:
        del autobp.ops.TABLE[name]


def test_of_many_parameters_some_columns_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    step, theta, x, y = network_step(3, 4, 2)
    whole = step.hessian(theta, x, y)
    by_x = step.hessian(theta, x, y, wrt="x")
    monkeypatch.setattr(methods, "_WHOLE", 1)
    monkeypatch.setattr(methods, "_COLUMNS", 5)
    assert np.allclose(step.hessian(theta, x, y), whole, rtol=1e-12, atol=1e-15)
    assert np.allclose(step.hessian(theta, x, y, wrt="x"), by_x, rtol=1e-12, atol=1e-15)


def test_rows_are_taken_some_at_a_time_and_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    step, theta, x, y = network_step(3, 4, 2)
    x, y = np.tile(x, (20, 1)), np.tile(y, (20, 1))
    whole, (costs_, gradients) = step.hessian(theta, x, y), step.rows(theta, x, y)
    for wanted in ("hessian", "rows"):
        made.made_of(step._executable(), Wanted(wanted)).at_once = 33
    assert np.allclose(step.hessian(theta, x, y), whole, rtol=1e-12, atol=1e-15)
    assert np.allclose(step.rows(theta, x, y)[0], costs_, rtol=1e-13, atol=0.0)
    assert np.allclose(step.rows(theta, x, y)[1], gradients, rtol=1e-12, atol=1e-16)


def test_rows_are_what_each_row_alone_gives() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    found, gradients = step.rows(theta, x, y)
    for i in range(len(x)):
        cost, gradient = step(theta, x[i : i + 1], y[i : i + 1])
        assert found[i] == pytest.approx(cost, rel=1e-14)
        assert np.allclose(gradients[i], gradient, rtol=1e-12, atol=1e-16)
    by_y = step.rows(theta, x, y, wrt="y")[1]
    expected = [differences(lambda u, i=i: step(theta, x[i : i + 1], u[None])[0], y[i]) for i in range(7)]
    assert np.allclose(by_y, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("sizes", [(3, 4, 2), (2, 2), (1, 3)])
def test_jacobians_by_theta_and_by_inputs(sizes: tuple[int, ...]) -> None:
    net = MLP(sizes[0], list(sizes[1:]), activation="tanh", seed=0)
    step = autobp.compile(net, net.parameters())
    random = np.random.default_rng(0)
    theta, x = step.theta, random.normal(size=(6, sizes[0]))
    jacobian = step.jacobian(theta, x)
    assert jacobian.shape == (6, sizes[-1], len(theta))
    assert np.allclose(jacobian, differences(lambda t: step(t, x), theta), rtol=1e-7, atol=1e-9)
    by_x = step.jacobian(theta, x, wrt="x")
    expected = [differences(lambda u, i=i: step(theta, u[None])[0], x[i]) for i in range(6)]
    assert np.allclose(by_x, expected, rtol=1e-7, atol=1e-9)
    v, w = random.normal(size=x.shape), random.normal(size=(6, sizes[-1]))
    assert np.allclose(step.jvp(theta, v, x, wrt="x"), np.einsum("mqi,mi->mq", by_x, v), rtol=1e-12)
    assert np.allclose(step.vjp(theta, w, x, wrt="x"), np.einsum("mqi,mq->mi", by_x, w), rtol=1e-12)


def test_of_up_to_twice_as_many_inputs_as_outputs_forward_mode_is_used() -> None:
    w = [Value(0.3), Value(-0.2)]
    step = autobp.compile(lambda x: [(w[0] * x + w[1] * k).sin() for k in range(5)], w, example=(0.5,))
    x = np.linspace(-1.0, 1.0, 4)
    expected = differences(lambda t: step(t, x), step.theta)
    assert np.allclose(step.jacobian(step.theta, x), expected, rtol=1e-8, atol=1e-9)
    assert "def jacobian(theta, x):" in step.source_of("jacobian")
    w.append(Value(1.5))
    deep = autobp.compile(lambda x: [(w[0] * x + w[1]).sin() * w[2]], w, example=(0.5,))
    deep.jacobian(deep.theta, x)
    assert "def vjp_of_rows(theta, x, w):" in deep.source_of("jacobian")


def test_a_function_without_data_has_derivatives_too() -> None:
    w = [Value(0.3), Value(-1.2), Value(2.0)]

    def rosenbrock() -> Any:
        return autobp.sum([(1 - a) ** 2 + 100 * (b - a * a) ** 2 for a, b in pairwise(w)])

    step = autobp.compile(rosenbrock, w)
    theta = step.theta
    hessian = step.hessian(theta)
    assert np.allclose(hessian, differences(lambda t: step(t)[1], theta), rtol=1e-7)
    assert np.allclose(step.hvp(theta, theta), hessian @ theta, rtol=1e-13)
    assert np.allclose(step.rows(theta)[1], step(theta)[1], rtol=1e-14)
    residuals = autobp.compile(lambda: [10 * (b - a * a) for a, b in pairwise(w)], w)
    jacobian = residuals.jacobian(theta)
    assert jacobian.shape == (2, 3)
    assert np.allclose(jacobian, [[-6.0, 10.0, 0.0], [0.0, 24.0, 10.0]], rtol=1e-13)
    assert np.allclose(residuals.jvp(theta, theta), jacobian @ theta, rtol=1e-13)
    assert np.allclose(residuals.vjp(theta, [1.0, -2.0]), [1.0, -2.0] @ jacobian, rtol=1e-13)


def test_shapes_where_there_is_nothing_or_little_to_differentiate() -> None:
    w = [Value(0.5), Value(2.0)]
    x = np.arange(1.0, 4.0)
    alone = autobp.compile(lambda x: [w[0] * w[1]], w)  # the same for all rows
    assert np.array_equal(alone.jacobian([0.5, 2.0], x), np.tile([2.0, 0.5], (3, 1, 1)))
    assert alone.jvp([0.5, 2.0], [1.0, 0.0], x).shape == (3, 1)
    assert np.array_equal(alone.vjp([0.5, 2.0], np.ones((3, 1)), x), [6.0, 1.5])
    assert np.array_equal(alone.jacobian([0.5, 2.0], x, wrt="x"), np.zeros((3, 1)))
    bare = autobp.compile(lambda x: [x * x, x], [])
    assert bare.jacobian([], x).shape == (3, 2, 0)
    assert np.array_equal(bare.jacobian([], x, wrt="x"), np.stack([2 * x, np.ones(3)], 1))
    squares = autobp.compile(lambda x: x * x, [])
    assert squares.hessian([], x).shape == (0, 0)
    assert squares.hvp([], [], x).shape == (0,)
    assert squares.rows([], x)[1].shape == (3, 0)
    matrix = autobp.compile(lambda x: w[0] * x[0][0] * x[1][1] ** 2 + w[1], w)
    rows = np.arange(8.0).reshape(2, 2, 2)
    assert matrix.rows([0.5, 2.0], rows, wrt="x")[1].shape == (2, 2, 2)
    assert matrix.hessian([0.5, 2.0], rows, wrt="x").shape == (2, 4, 4)
    assert matrix.hvp([0.5, 2.0], rows, rows, wrt="x").shape == (2, 2, 2)


def test_greeks_of_black_and_scholes() -> None:
    """Delta and gamma by the spot, vega by the volatility: against the textbook's formulas."""
    sigma = Value(0.2)

    def price(spot: Any) -> Any:
        strike, years, rate = 100.0, 0.75, 0.03
        d1 = ((spot / strike).log() + (rate + sigma * sigma / 2) * years) / (sigma * math.sqrt(years))
        d2 = d1 - sigma * math.sqrt(years)
        return spot * autobp.norm_cdf(d1) - strike * math.exp(-rate * years) * autobp.norm_cdf(d2)

    step = autobp.compile(price, [sigma], example=(100.0,))
    spot = np.array([80.0, 100.0, 125.0])
    d1 = (np.log(spot / 100.0) + (0.03 + 0.02) * 0.75) / (0.2 * math.sqrt(0.75))
    density = np.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    delta = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in d1])
    prices, found = step.rows([0.2], spot, wrt="spot")
    assert np.allclose(found, delta, rtol=1e-12)
    gamma = step.hessian([0.2], spot, wrt="spot")
    assert np.allclose(gamma[:, 0, 0], density / (spot * 0.2 * math.sqrt(0.75)), rtol=1e-11)
    vega = step.rows([0.2], spot)[1]
    assert np.allclose(vega[:, 0], spot * density * math.sqrt(0.75), rtol=1e-11)
    assert prices.shape == (3,)


def test_derivatives_inside_the_compiled_function_agree() -> None:
    w = [Value(0.4), Value(-0.7)]

    def f(u: Any, x: Any) -> Any:
        return (u[0] * x).sin() * u[1] ** 2 + u[0] * u[1]

    step = autobp.compile(lambda x: f(w, x), w, example=(0.5,))
    inside = autobp.compile(lambda x: autobp.hessian(lambda u: f(u, x))(w), w, example=(0.5,))
    x = np.array([0.3, -1.5, 2.0])
    assert np.allclose(step.hessian(step.theta, x), inside(step.theta, x).mean(0), rtol=1e-13)


# ------------------------------------------------------------------------------- weights, and several thetas


def test_weights_multiply_each_rows_cost() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    weights = np.random.default_rng(2).uniform(0.0, 3.0, len(x))
    costs_, gradients = step.rows(theta, x, y)
    cost, gradient = step(theta, x, y, weights=weights)
    assert cost == pytest.approx(np.mean(weights * costs_), rel=1e-14)
    assert np.allclose(gradient, np.mean(weights[:, None] * gradients, axis=0), rtol=1e-12, atol=1e-16)
    expected = differences(lambda t: step(t, x, y, weights=weights)[1], theta)
    hessian = step.hessian(theta, x, y, weights=weights)
    assert np.allclose(hessian, expected, rtol=1e-7, atol=1e-9)
    assert np.allclose(step.hvp(theta, theta, x, y, weights=weights), hessian @ theta, rtol=1e-12, atol=1e-15)
    ones = step(theta, x, y, weights=np.ones(len(x)))
    assert ones[0] == pytest.approx(step(theta, x, y)[0], rel=1e-15)
    with pytest.raises(ValueError, match=r"weights has the shape \(3,\); it must have one number"):
        step(theta, x, y, weights=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="weights are of rows"):
        autobp.compile(lambda: Value(1.0) * 2.0, [])(np.zeros(0), weights=[1.0])


def test_a_row_without_weight_is_left_out_whatever_it_holds() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    weights = np.array([1.0, 0.0, 2.0, 1.0, 0.0, 1.0, 1.0])
    expected = step(theta, x, y, weights=weights)
    hessian = step.hessian(theta, x, y, weights=weights)
    x[1], y[4] = np.nan, np.inf
    cost, gradient = step(theta, x, y, weights=weights)
    assert cost == pytest.approx(expected[0], rel=1e-14)
    assert np.allclose(gradient, expected[1], rtol=1e-12, atol=1e-16)
    assert np.allclose(step.hessian(theta, x, y, weights=weights), hessian, rtol=1e-11, atol=1e-15)


def test_several_thetas_at_once() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    thetas = theta + np.arange(3.0)[:, None]
    found, gradients = step(thetas, x, y)
    assert found.shape == (3,)
    for i in range(3):
        cost, gradient = step(thetas[i], x, y)
        assert found[i] == cost
        assert np.array_equal(gradients[i], gradient)
    outputs = autobp.compile(lambda x: [Value(2.0) * x, x * x], [], example=(1.0,))
    assert outputs(np.zeros((4, 0)), np.ones(5)).shape == (4, 5, 2)
    with pytest.raises(ValueError, match=r"theta has the shape \(2,\)"):
        step(np.zeros((3, 2)), x, y)


def bell(x: Any, y: Any, w: Any) -> Any:
    return (w[0] * (-((x - w[1]) ** 2) / (2.0 * w[2] ** 2)).exp() + w[3] - y) ** 2


def walkers(rows: int) -> Any:
    """The mean cost of rows, and the same written as a whole; many thetas, and the data."""
    w = [Value(x) for x in (1.0, 0.5, 0.3, 0.1)]
    x = np.linspace(-1.0, 2.0, rows)
    y = np.sin(x)

    def whole() -> Any:
        costs = [bell(a, b, w) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        return autobp.sum(costs) / rows

    by_row = autobp.compile(lambda x, y: bell(x, y, w), w)
    thetas = by_row.theta + 0.05 * np.random.default_rng(0).normal(size=(40, 4))
    return by_row, autobp.compile(whole, w), thetas, (x, y)


def one_by_one(step: Any, thetas: Any, *data: Any) -> Any:
    found = [step(theta, *data) for theta in thetas]
    return np.array([cost for cost, _ in found]), np.array([gradient for _, gradient in found])


def test_many_thetas_are_computed_all_at_once() -> None:
    by_row, whole, thetas, data = walkers(20)
    recurrence = test_loops.kalman(40)
    kalman = autobp.compile(lambda x: recurrence[0](x), recurrence[1], backend="numpy")
    around = kalman.theta * np.linspace(0.9, 1.1, 30)[:, None]
    for step, several, arguments in (
        (by_row, thetas, data),
        (whole, thetas, ()),
        (kalman, around, recurrence[2]),
    ):
        costs, gradients = step(several, *arguments)
        expected = one_by_one(step, several, *arguments)
        together = several_module.all_at_once(step._executable(), several, arguments)
        assert together is not None
        assert np.array_equal(together[1], gradients)
        np.testing.assert_allclose(costs, expected[0], rtol=1e-12)
        scale = np.abs(expected[1]).max()
        np.testing.assert_allclose(gradients, expected[1], rtol=1e-12, atol=1e-13 * scale)
    np.testing.assert_allclose(by_row(thetas, *data)[0], whole(thetas)[0], rtol=1e-12)


def test_many_rows_or_few_thetas_are_computed_one_by_one() -> None:
    step, _, thetas, data = walkers(5_000)
    step(step.theta, *data)
    executable = step._executable()
    assert several_module.all_at_once(executable, thetas, data) is None
    assert several_module.all_at_once(executable, thetas[:7], [x[:9] for x in data]) is None
    assert several_module.all_at_once(executable, thetas[:8], [x[:9] for x in data]) is not None


def test_a_theta_among_many_where_a_number_is_not_finite_is_computed_alone() -> None:
    """A mean of which only the sum is too large for a number is put together from its parts, as ever."""
    w = [Value(0.5), Value(0.3)]
    step = autobp.compile(lambda x: w[0] * x + w[1] * w[1], w)
    thetas = np.linspace(-1.0, 1.0, 22).reshape(11, 2)
    thetas[3, 0] = 1.5e8
    x = np.array([1e300, 1e300, 1e300])
    costs, gradients = step(thetas, x)
    assert several_module.all_at_once(step._executable(), thetas, [x])[0][3] == np.inf
    assert costs[3] == pytest.approx(1.5e308, rel=1e-12)
    expected = one_by_one(step, thetas, x)
    np.testing.assert_allclose(costs, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradients, expected[1], rtol=1e-12)


# --------------------------------------------------------------------------------------- sparse Jacobians


def chain(states: int) -> Any:
    """Residuals of a chain: each state and the next, and its own rate."""
    w = [Value(0.1 * k) for k in range(states + 1)]

    def residuals() -> list[Any]:
        return [w[k + 1] - w[k] - 0.1 * (w[k] * w[k + 1]).sin() for k in range(states)]

    return autobp.compile(residuals, w)


def test_the_jacobian_of_a_chain_takes_two_directions() -> None:
    pytest.importorskip("scipy")
    step = chain(50)
    theta = step.theta
    dense = step.jacobian(theta)
    sparse = step.jacobian(theta, sparse=True)
    assert sparse.format == "csr"
    assert sparse.shape == (50, 51)
    assert sparse.nnz == 100
    assert np.allclose(sparse.toarray(), dense, rtol=1e-13, atol=0.0)
    (wanted,) = [key for key in step._executable()._others if getattr(key, "kind", "") == "jvp"]
    assert wanted.directions == 2


def test_sparse_jacobians_of_rows_are_blocks() -> None:
    pytest.importorskip("scipy")
    w = [Value(0.5), Value(-1.0), Value(2.0)]
    step = autobp.compile(lambda x: [w[0] * x[0] * x[0], (w[1] * x[1]).sin(), w[2] * x[2]], w)
    x = np.random.default_rng(0).normal(size=(4, 3))
    theta = step.theta
    dense = step.jacobian(theta, x)
    sparse = step.jacobian(theta, x, sparse=True)
    assert np.allclose(sparse.toarray(), dense.reshape(12, 3), rtol=1e-14, atol=0.0)
    by_x = step.jacobian(theta, x, wrt="x", sparse=True)
    blocks = step.jacobian(theta, x, wrt="x")
    whole = np.zeros((12, 12))
    for i in range(4):
        whole[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] = blocks[i]
    assert by_x.nnz == 12
    assert np.allclose(by_x.toarray(), whole, rtol=1e-14, atol=0.0)


def sparse_structures(n: int, w: Any, sin: Any) -> Any:
    """Residuals of n + 2 numbers: neighbours, groups of three, and all tied to the last."""
    return {
        "banded": [w[k] * w[k + 1] - sin(w[k + 2] * 0.5) for k in range(n)],
        "groups": [
            (sin(w[k] * w[k + 1]) + w[k + 2]) if first else (w[k] * w[k] - w[k + 2])
            for k in range(0, n - 2, 3)
            for first in (True, False)
        ],
        "arrow": [w[k] * w[n] - w[k + 1] * w[k + 1] for k in range(n)],
    }


@pytest.mark.parametrize("name", ["banded", "groups", "arrow"])
def test_two_thousand_columns_cost_as_many_directions_as_colours(name: str) -> None:
    """Against PyTorch's product of a vector with the Jacobian, and differences in a direction."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("scipy")
    n = 2_000
    w = [Value(math.sin(k)) for k in range(n + 2)]
    step = autobp.compile(lambda: sparse_structures(n, w, autobp.sin)[name], w)
    theta = step.theta
    found = step.jacobian(theta, sparse=True)
    executable = step._executable()
    pattern = sparse.pattern_of(executable, 0, n + 2)
    assert len(pattern.directions) == 3
    assert found.nnz <= 3 * found.shape[0]
    program = made.made_of(executable, Wanted("jvp", 0, 3)).program
    assert max(x.size for x in program.arrays) <= 2 * 3 * (n + 2)
    random = np.random.default_rng(0)
    v, u = random.normal(size=n + 2), random.normal(size=found.shape[0])
    at = torch.tensor(theta, requires_grad=True)
    outputs = torch.stack(sparse_structures(n, list(at), torch.sin)[name])
    (pulled,) = torch.autograd.grad(outputs, at, torch.tensor(u))
    np.testing.assert_allclose(u @ found, pulled.numpy(), rtol=1e-12, atol=1e-14)
    slopes = (step(theta + 1e-6 * v) - step(theta - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose(found @ v, slopes, rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_has_a_colour_twice(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 30))
    rows = [sorted(random.choice(n, size=min(n, int(random.integers(0, 5))), replace=False).tolist())
            for _ in range(int(random.integers(1, 40)))]  # fmt: skip
    colours = sparsity.colours_of(rows, n)
    assert all(len({int(colours[j]) for j in row}) == len(row) for row in rows)
    directions = sparsity.directions_of(colours)
    assert np.array_equal(directions.sum(0), np.ones(n))


# ------------------------------------------------------------------------------------------------- at edges


def test_edges_are_the_engines() -> None:
    w = [Value(0.5), Value(2.0)]

    def f(u: Any, x: Any) -> Any:
        positive = autobp.where(autobp.greater(x, 0.0), x, 1.0)
        return (u[0] * x).relu().sqrt() * u[1] + positive.log() * u[0] ** 2

    step = autobp.compile(lambda x: f(w, x), w, example=(0.5,))
    rows = np.array([-1.0, 2.0, 0.0, np.nan, 1e300, 1e-310])
    for row in rows[np.isfinite(rows)]:
        with ieee(), np.errstate(all="ignore"):
            second = np.array(functional.hessian(lambda u, x=row: f(u, Value(x)))(list(step.theta)))
            first = np.array(functional.grad(lambda u, x=row: f(u, Value(x)))(list(step.theta)))
        assert np.array_equal(np.isfinite(step.hessian(step.theta, [row])), np.isfinite(second)), row
        found = step.hessian(step.theta, [row])
        assert np.allclose(found[np.isfinite(second)], second[np.isfinite(second)], rtol=1e-12), row
        gradient = step.rows(step.theta, [row])[1][0]
        assert np.array_equal(np.isfinite(gradient), np.isfinite(first)), row
        assert np.allclose(gradient[np.isfinite(first)], first[np.isfinite(first)], rtol=1e-12), row
    # a row that is no number leaves the others as they are
    gradients = step.rows(step.theta, rows)[1]
    assert np.array_equal(gradients[1], step.rows(step.theta, rows[1:2])[1][0])


def test_a_mean_that_overflows_is_put_together_from_its_parts() -> None:
    w = Value(1.0)
    step = autobp.compile(lambda x: w * w * x, [w], example=(1.0,))
    x = np.full(10, 8e307)
    assert step.hessian([1.0], x)[0, 0] == pytest.approx(1.6e308, rel=1e-12)
    assert step.hvp([1.0], [0.5], x)[0] == pytest.approx(8e307, rel=1e-12)


# ----------------------------------------------------------------------------------------------- the surface


def test_what_is_asked_of_the_wrong_kind_is_refused() -> None:
    step, theta, x, y = network_step(3, 2)
    with pytest.raises(TypeError, match="jacobian is for outputs; this step gives a cost, and has hessian"):
        step.jacobian(theta, x, y)
    with pytest.raises(ValueError, match=r"wrt must be one of 'theta', 'x', 'y'; got 'z'"):
        step.rows(theta, x, y, wrt="z")
    with pytest.raises(ValueError, match=r"v has the shape \(3,\); it must have theta's: \(8,\)"):
        step.hvp(theta, np.ones(3), x, y)
    with pytest.raises(ValueError, match="no derivative 'jvp' of this step; there are hessian, hvp, rows"):
        step.source_of("jvp")
    with pytest.raises(ValueError, match=r"theta has the shape \(2,\)"):
        step.hessian(np.ones(2), x, y)
    outputs = autobp.compile(MLP(3, [2], seed=0), MLP(3, [2], seed=0).parameters())
    with pytest.raises(TypeError, match="hessian is for a cost; this step gives outputs, and has jacobian"):
        outputs.hessian(np.ones(8), x)
    with pytest.raises(ValueError, match=r"w has the shape \(7,\); it must have the outputs': \(7, 2\)"):
        outputs.vjp(np.ones(8), np.ones(7), x)


def test_rules_that_are_python_code_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def value(xp: Any, x: Any) -> Any:
        return x * x

    def partials(xp: Any, y: Any, x: Any) -> tuple[Any, ...]:
        return (2.0 * float(x),)

    autobp.operation("branching_for_this_test", value, partials, replace=True)
    w = Value(0.5)
    try:
        step = autobp.compile(lambda x: autobp.branching_for_this_test(w * x), [w], example=(1.0,))
        with pytest.raises(NoDerivative, match="branching_for_this_test has rules that Python runs on"):
            step.hessian([0.5], [1.0])
    finally:
        del autobp.ops.TABLE["branching_for_this_test"]


def test_what_is_printed_runs_alone() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    v = np.random.default_rng(3).normal(size=len(theta))
    names: dict[str, Any] = {}
    exec(step.source_of("hessian"), names)
    cost, hessian = names["hessian"](theta, x, y)
    assert cost == pytest.approx(step(theta, x, y)[0], rel=1e-14)
    assert np.allclose(hessian, step.hessian(theta, x, y), rtol=1e-12, atol=1e-16)
    exec(step.source_of("hvp"), names)
    assert np.allclose(names["hvp"](theta, x, y, v)[1], hessian @ v, rtol=1e-11, atol=1e-15)
    in_c = step.source_of("hvp", language="c")
    assert "double hvp(const double *theta, const double *x, const double *y, const double *v," in in_c
    exec(step.source_of("rows", wrt="x"), names)
    assert np.allclose(names["rows"](theta, x, y)[1], step.rows(theta, x, y, wrt="x")[1], rtol=1e-13)


def test_a_pickle_and_threads_make_them_anew() -> None:
    step, theta, x, y = network_step(3, 4, 2)
    expected = step.hessian(theta, x, y)
    again = pickle.loads(pickle.dumps(step))
    assert np.array_equal(again.hessian(theta, x, y), expected)
    fresh = pickle.loads(pickle.dumps(step))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: fresh.hessian(theta, x, y), range(12)):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("large", [0, 5_000])
def test_a_wrong_rule_is_found_before_it_is_handed_out(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule of a tangent that is broken shows in the proof, of large graphs by numbers first."""
    monkeypatch.setattr(proof, "_LARGE", large)
    reduce, sumto = forward.Forward.sum, forward.Forward.elementwise

    def halved(rule: Any) -> Any:
        def broken(self: Any, array: Any) -> Any:
            t = rule(self, array)
            if t is None:
                return None
            half = ir.Map((t.array, ir.Constant(np.array(0.5))), t.array.shape, autobp.ops.MULTIPLY)
            return type(t)(half, t.directions)

        return broken

    for name, rule in (("sum", reduce), ("elementwise", sumto), ("matmul", forward.Forward.matmul),
                       ("product", forward.Forward.product)):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(forward.Forward, name, halved(rule))
            for derivative in ("hessian", "hvp"):
                step, theta, x, y = network_step(3, 4, 2)
                arguments = (theta, x, y) if derivative == "hessian" else (theta, theta, x, y)
                with pytest.raises(ProgramDiffers, match=f"the program of {derivative} does not compute"):
                    getattr(step, derivative)(*arguments)


# -------------------------------------------------------------------------------------------- machine code


def in_machine_code(function: Any, parameters: Any) -> Any:
    try:
        return autobp.compile(function, parameters, backend="c")
    except machine.NoMachineCode as error:
        pytest.skip(str(error))


def test_machine_code_has_the_derivatives_of_numpy() -> None:
    net = MLP(3, [4, 2], activation="tanh", seed=1)
    parameters = net.parameters()

    def loss(x: Any, y: Any) -> Any:
        return costs.quadratic(net(x), y)

    random = np.random.default_rng(0)
    x, y = random.normal(size=(19, 3)), random.uniform(size=(19, 2))
    fast, slow = in_machine_code(loss, parameters), autobp.compile(loss, parameters)
    theta, v = slow.theta, random.normal(size=len(parameters))
    assert np.allclose(fast.hessian(theta, x, y), slow.hessian(theta, x, y), rtol=1e-11, atol=1e-14)
    assert np.allclose(fast.hvp(theta, v, x, y), slow.hvp(theta, v, x, y), rtol=1e-11, atol=1e-14)
    assert made.made_of(fast._executable(), Wanted("hvp")).choice.name == "c"
    assert np.allclose(fast.rows(theta, x, y)[0], slow.rows(theta, x, y)[0], rtol=1e-13)
    assert np.allclose(fast.rows(theta, x, y)[1], slow.rows(theta, x, y)[1], rtol=1e-11, atol=1e-14)
    outputs, by_numpy = in_machine_code(net, parameters), autobp.compile(net, parameters)
    assert np.allclose(outputs.jacobian(theta, x), by_numpy.jacobian(theta, x), rtol=1e-11, atol=1e-14)
    assert np.allclose(outputs.jvp(theta, v, x), by_numpy.jvp(theta, v, x), rtol=1e-11, atol=1e-14)
    assert np.allclose(outputs.vjp(theta, y, x), by_numpy.vjp(theta, y, x), rtol=1e-11, atol=1e-14)


def test_reads_in_one_branch_of_a_choice_are_of_their_own_elements() -> None:
    """GCC 12 takes them from the wrong lanes where they were written in another order, if only one reads."""
    program = Maker(1, EDGES).program()
    w = [Value(x) for x in program.theta]
    x = np.array([list(row) for row in program.rows])
    fast, slow = in_machine_code(program.made(w), w), autobp.compile(program.made(w), w)
    v = np.random.default_rng(12).normal(size=len(w))
    assert np.allclose(fast.hvp(slow.theta, v, x), slow.hvp(slow.theta, v, x), rtol=1e-12)


# --------------------------------------------------------------------------------------------- the document


def test_the_document_prints_what_it_says() -> None:
    text = (Path(__file__).parents[1] / "docs" / "compiled-derivatives.md").read_text(encoding="utf-8")
    assert f"Of more than {methods._WHOLE} parameters, {methods._COLUMNS} columns are made at a time" in text
    blocks = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for code, printed in blocks:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(code, names)
        assert shown.getvalue().rstrip("\n") == printed.rstrip("\n")


def test_derivatives_of_loops_are_loops() -> None:
    w = [Value(0.3), Value(-0.4)]

    def loss(x: Any) -> Any:
        h: Any = 0.0
        for k in range(40):
            h = (w[0] * h + w[1] * x[k]).tanh()
        return h * h

    step = autobp.compile(loss, w)
    x = np.random.default_rng(0).normal(size=(3, 40))
    expected = differences(lambda t: step(t, x)[1], step.theta)
    assert np.allclose(step.hessian(step.theta, x), expected, rtol=1e-7, atol=1e-9)
    assert kinds_of(step, "hessian").count("Loop") == 2
