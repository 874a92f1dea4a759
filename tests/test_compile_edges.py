"""Edges in compiled programs: docs/derivatives-at-edges.md holds, and what was not selected gets 0.

Where nothing infinite can arrive the programs have no guards.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_edges_document import function_of, numbers, point_of, rows
from witnesses import agree

import autobp
from autobp import MLP, Value, costs
from autobp.engine import ieee
from autobp.functions import (
    exp,
    greater,
    log,
    maximum,
    minimum,
    relu,
    softmax,
    sqrt,
    stop_gradient,
    take,
    where,
)


def alone(step: autobp.compiler.Step, *arguments: Any) -> tuple[float, Any]:
    """Cost and gradient by the source that is printed, run on its own."""
    space: dict[str, Any] = {}
    exec(step.source, space)
    with np.errstate(all="ignore"):
        cost, gradient = space["cost_and_gradient"](step.theta, *arguments)
    return float(cost), gradient


def compiled(f: Callable[..., Any], leaves: list[Value]) -> autobp.compiler.Step:
    return autobp.compile(lambda: f(*leaves), leaves, example=())


@pytest.mark.parametrize(("expression", "point", "value", "first", "second", "in_pytorch"), rows())
def test_compiled_programs_do_what_the_row_says(
    expression: str, point: str, value: str, first: str, second: str, in_pytorch: str
) -> None:
    names, x = point_of(point)
    leaves = [Value(x_i) for x_i in x]
    step = compiled(function_of(expression, names, vars(autobp)), leaves)
    for cost, gradient in (step(step.theta), alone(step)):
        assert agree(cost, *numbers(value.split("else ")[-1]))
        for name, found, expected in zip(names, gradient.tolist(), numbers(first), strict=True):
            assert agree(found, expected), f"by {name}"


def eager(f: Callable[..., Any], x: list[float]) -> tuple[float, list[float]]:
    leaves = [Value(x_i) for x_i in x]
    with ieee():
        y = f(*leaves)
        y.backward()
    return y.data, [leaf.grad for leaf in leaves]


def same(f: Callable[..., Any], x: list[float]) -> None:
    """Compiled is what eager is, and has 0 where the derivative stops."""
    step = compiled(f, [Value(x_i) for x_i in x])
    value, gradient = eager(f, x)
    for cost, found in (step(step.theta), alone(step)):
        assert agree(cost, value)
        for a, b in zip(found.tolist(), gradient, strict=True):
            assert agree(a, b), (found, gradient)
    assert "np.where(" in step.source


#: What selects, and where: the derivative by what was not selected is 0, that by the others infinite.
SELECTING: dict[str, tuple[Callable[..., Any], list[float]]] = {
    "relu": (lambda x: sqrt(relu(x)), [-1.0]),
    "maximum": (lambda x: maximum(x, 0.0).sqrt(), [-1.0]),
    "maximum of two": (lambda x, y: maximum(x, y).sqrt(), [-1.0, 0.0]),
    "maximum, a tie": (lambda x, y: maximum(x, y).sqrt(), [0.0, 0.0]),
    "minimum": (lambda x, y: log(minimum(x, y)), [0.0, 3.0]),
    "where": (lambda v: where(greater(v, 0.0), v, 0.0).sqrt(), [-1.0]),
    "where, the other": (lambda v, w: where(greater(v, 0.0), v, w).sqrt(), [-1.0, 0.0]),
    "take": (lambda i, x, y: take([x, y], i).sqrt(), [1.0, 3.0, 0.0]),
    "take of a constant": (lambda x, y: take([x, y], 0).sqrt(), [0.0, 3.0]),
    "a quotient": (lambda x, y: y / relu(x), [-1.0, 2.0]),
    "a reciprocal": (lambda x: 1.0 / relu(x), [-1.0]),
    "a logarithm": (lambda x: relu(x).log(), [-2.0]),
    "a fractional power": (lambda x: relu(x) ** 0.3, [-2.0]),
    "a power": (lambda x, y: relu(x) ** y, [-2.0, 0.5]),
    "an arc sine": (lambda x: autobp.functions.asin(relu(x) + 1.0), [-2.0]),
    "further away": (lambda x, w: (3.0 * relu(x) * w + 0.0).sqrt().tanh(), [-1.0, 2.0]),
    "an infinite factor": (lambda x, y: relu(x) * y**-0.5, [-1.0, 0.0]),
    "one of several uses": (lambda x: sqrt(relu(x)) + relu(x) ** 2, [-1.0]),
    "in a sum": (lambda x, y: sqrt(relu(x) + relu(y)), [-1.0, -1.0]),
}


@pytest.mark.parametrize("what", SELECTING)
def test_what_is_not_selected_gets_0_of_an_infinite_gradient(what: str) -> None:
    same(*SELECTING[what])


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: where(greater(x, 0.0), sqrt(x), 0.0), [0.0]),  # infinite in the branch not taken
        (lambda x: sqrt(abs(x)), [0.0]),  # abs does not select
        (lambda x: sqrt(stop_gradient(x)) * 1.0, [0.0]),
        (lambda x: sqrt(greater(x, 1.0)), [0.0]),
        (lambda x: sqrt(x * x), [0.0]),
    ],
)
def test_other_zeros_times_infinity_are_no_numbers_as_in_the_eager_engine(f: Any, x: list[float]) -> None:
    step = compiled(f, [Value(x_i) for x_i in x])
    value, gradient = eager(f, x)
    for cost, found in (step(step.theta), alone(step)):
        assert agree(cost, value)
        assert agree(found[0], gradient[0])


def test_a_gradient_inside_a_compiled_function() -> None:
    x = Value(-1.0)
    step = autobp.compile(lambda: autobp.grad(lambda v: sqrt(relu(v)))(x) * 2.0, [x], example=())
    assert step.value(step.theta) == 0.0


def by_second(f: Callable[[Any, Any], Any], c: Any, x: Any) -> Any:
    return autobp.grad(lambda t: f(c, t))(x)


def by_first(f: Callable[[Any, Any], Any], c: Any, x: Any) -> Any:
    return autobp.grad(lambda t: f(t, x))(c)


def by_second_forward(f: Callable[[Any, Any], Any], c: Any, x: Any) -> Any:
    return autobp.jvp(lambda t: f(c, t), [x], [1.0])[1]


def by_first_forward(f: Callable[[Any, Any], Any], c: Any, x: Any) -> Any:
    return autobp.jvp(lambda t: f(t, x), [c], [1.0])[1]


@pytest.mark.parametrize("inner", [by_second, by_first, by_second_forward, by_first_forward])
@pytest.mark.parametrize(
    "f",
    [
        lambda c, x: c * sqrt(relu(x)),
        lambda c, x: sqrt(c * relu(x)),
        lambda c, x: c * maximum(x, 0.0).sqrt(),
        lambda c, x: c * where(greater(x, 0.0), x, 0.0).sqrt(),
        lambda c, x: c * take([x, 0.0], autobp.less(x, 0.0)).sqrt(),
        lambda c, x: c * relu(x) ** 0.5,
        lambda c, x: sqrt(relu(x) * relu(c)) * c,
        lambda c, x: log(1.0 + c * sqrt(relu(2.0 * x + 0.5))),
    ],
)
def test_mixed_derivatives_of_what_is_not_selected_are_0_too(f: Any, inner: Any) -> None:
    """∂²/∂c∂x, where nothing passes to x though the derivative by what comes after it is infinite."""
    for x in (-1.0, 3.0):
        leaves = [Value(2.0), Value(x)]
        y = inner(f, *leaves) * 1.0
        y.backward()
        step = autobp.compile(lambda: inner(f, *parameters) * 1.0, parameters := [Value(2.0), Value(x)])
        cost, gradient = step(step.theta)
        assert agree(cost, y.data)
        for found, leaf in zip(gradient.tolist(), leaves, strict=True):
            assert math.isfinite(leaf.grad) or not math.isfinite(y.data)  # ∂/∂c √(c·0) is 0·∞
            assert agree(found, leaf.grad), (x, gradient, [leaf.grad for leaf in leaves])


def test_layers_and_samples() -> None:
    """Some units of some samples are off, and their root is infinitely steep."""
    net = MLP(3, [4, 2], activation="relu")
    rng = np.random.default_rng(0)
    for parameter in net.parameters():
        parameter.data = float(rng.normal())

    def loss(x: Any) -> Any:
        return sum(a.sqrt() for a in net(x))

    X = rng.normal(size=(20, 3))
    step = autobp.compile(loss, net.parameters())
    cost, gradient = step(step.theta, X)
    expected = np.zeros(len(step.theta))
    total = 0.0
    for row in X.tolist():
        for parameter in net.parameters():
            parameter.grad = 0.0
        with ieee():
            y = loss([Value(x) for x in row])
            y.backward()
        total += y.data / len(X)
        expected += np.array([parameter.grad for parameter in net.parameters()]) / len(X)
    assert np.isfinite(expected).all()
    assert cost == pytest.approx(total, rel=1e-13)
    for found in (gradient, alone(step, X)[1]):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_a_choice_by_data() -> None:
    """take with an index from data: the rows that no sample chose get 0."""
    table = [[Value(float(3 * i + j)) for j in range(3)] for i in range(2)]

    def loss(i: Any) -> Any:
        return sum(take(row, i).sqrt() for row in table)

    step = autobp.compile(loss, [x for row in table for x in row])
    for found in (step(step.theta, [0.0, 2.0])[1], alone(step, np.array([0.0, 2.0]).reshape(2, 1))[1]):
        expected = [math.inf, 0.0, 0.25 / math.sqrt(2), 0.25 / math.sqrt(3), 0.0, 0.25 / math.sqrt(5)]
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("weights", "ends"),
    [([[1.0, -1.0, 2.0], [2.0, -1.0, 1.0]], [3, 3, 2]), ([[1.0, -1.0, 2.0], [2.0, -1.0]], [3, 3, 3])],
    ids=["windows", "weights"],
)
def test_what_was_padded_gets_nothing(weights: list[list[float]], ends: list[int]) -> None:
    """A shorter sum beside longer ones is padded with zeros; 0·∞ must not reach what it has no term of."""
    W = [[Value(w) for w in row] for row in weights]
    a = [Value(x) for x in (1.0, 2.0, 1.0, 1.0, 1.0)]

    def loss() -> Any:
        windows = [a[i : i + n] for i, n in enumerate(ends)]
        return sum(
            sqrt(sum(w * x for w, x in zip(row, window, strict=False))) for window in windows for row in W
        )

    leaves = [w for row in W for w in row] + a
    step = autobp.compile(loss, leaves, example=())
    assert "spread(" in str(step.program)
    with ieee():
        loss().backward()
    expected = [leaf.grad for leaf in leaves]
    assert math.inf in expected
    assert np.isfinite(expected).any()
    for found in (step(step.theta)[1], alone(step)[1]):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_padded_sum_of_squares_gets_nothing() -> None:
    """The same for sums of products of rows, which are no matrix product."""
    a = [[Value(1.0 + i + j) for j in range(3)] for i in range(3)]
    b = [[Value(x) for x in row] for row in ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [4.0, -3.0])]

    def loss() -> Any:
        return sum(sqrt(sum(x * y for x, y in zip(*pair, strict=False))) for pair in zip(a, b, strict=True))

    leaves = [x for row in a + b for x in row]
    step = autobp.compile(loss, leaves, example=())
    with ieee():
        loss().backward()
    expected = [leaf.grad for leaf in leaves]
    for found in (step(step.theta)[1], alone(step)[1]):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


# --------------------------------------------------------------------------- where no guard is needed


def source(loss: Callable[..., Any], parameters: list[Value], *example: Any) -> str:
    return autobp.compile(loss, parameters, example=example).source


def test_networks_have_no_guards() -> None:
    net = MLP(3, [4, 2], activation=["relu", "linear"])
    x, y = [1.0, 2.0, 3.0], [1.0, 0.0]
    for cost in (
        costs.quadratic,
        costs.softmax_cross_entropy,
        costs.binary_cross_entropy_with_logits,
        lambda z, y: costs.binary_cross_entropy([v.sigmoid() for v in z], y),
        lambda z, y: -sum(t * log(a) for a, t in zip(softmax(z), y, strict=True)),
    ):
        assert "np.where(" not in source(lambda x, y, cost=cost: cost(net(x), y), net.parameters(), x, y)


def norm(a: list[Any], eps: float) -> list[Any]:
    mean = sum(a) / len(a)
    variance = sum((v - mean) ** 2 for v in a) / len(a)
    return [(v - mean) / (variance + eps).sqrt() for v in a]


@pytest.mark.parametrize(
    ("after", "guarded"),
    [
        (lambda a: norm(a, 1e-5), False),
        (lambda a: norm(a, 0.0), True),
        (lambda a: [v * (sum(u * u for u in a) + 1e-5) ** -0.5 for v in a], False),
        (lambda a: [exp(v) / sum(exp(u) for u in a) for v in a], False),
        (lambda a: [log(1.0 + exp(v)) for v in a], False),
        (lambda a: [(v.softplus() + 1.0).log() for v in a], False),
        (lambda a: [v / 3.0 for v in a], False),
        (lambda a: [v**3 for v in a], False),
        (lambda a: [v**1.5 for v in a], False),  # of relu, which is not below 0
        (lambda a: [v**0.5 for v in a], True),
        (lambda a: [maximum(v, 1e-3).log() for v in a], False),
        (lambda a: [v.sigmoid().log() for v in a], False),
        (lambda a: [(1.0 + v * v).sqrt() for v in a], False),
        (lambda a: [v.log() for v in a], True),
        (lambda a: [1.0 / v for v in a], True),
    ],
)
def test_guards_stand_where_a_derivative_may_be_infinite(after: Any, guarded: bool) -> None:
    net = MLP(2, [3], activation="relu")
    for parameter in net.parameters():
        parameter.data = 0.1
    text = source(lambda x: sum(v * v for v in after(net(x))), net.parameters(), [1.0, 2.0])
    first = [line for line in text.splitlines() if line.strip().startswith("delta1 =")]
    assert len(first) == 1
    assert ("np.where(" in first[0]) == guarded, text


STATEMENTS: dict[str, Callable[..., Any]] = {
    "relu": lambda x, y, z: relu(x),
    "sqrt": lambda x, y, z: sqrt(x),
    "log": lambda x, y, z: log(x),
    "maximum": lambda x, y, z: maximum(x, y),
    "minimum": lambda x, y, z: minimum(x, y),
    "where": lambda x, y, z: where(greater(x, y), y, z),
    "take": lambda x, y, z: take([x, y, z], 1),
    "abs": lambda x, y, z: abs(x),
    "tanh": lambda x, y, z: x.tanh(),
    "square": lambda x, y, z: x * x,
    "add": lambda x, y, z: x + y,
    "subtract": lambda x, y, z: x - y,
    "multiply": lambda x, y, z: x * y,
    "divide": lambda x, y, z: x / y,
}


@pytest.mark.parametrize("seed", range(20))
def test_programs_at_edges_do_what_the_eager_engine_does(seed: int) -> None:
    """Random programs at whole numbers, where roots and quotients are steep and units are off.

    (Eager may have NaN where a comparison stopped a derivative: its 0 flows on there, into 0·∞.)
    """
    rng = random.Random(seed)
    finite = 0
    for _ in range(30):
        statements = []
        for k in range(3, 15):
            operands = [rng.choice([k - 1, rng.randrange(k)]) for _ in range(3)]
            statements.append((rng.choice([*STATEMENTS, "relu", "relu", "sqrt", "sqrt"]), operands))

        def run(*leaves: Any, statements: Any = statements) -> Any:
            made = list(leaves)
            for name, operands in statements:
                made.append(STATEMENTS[name](*[made[i] for i in operands]))
            return made[-1] + made[-2]

        x = [rng.choice([-1.0, 0.0, 1.0, 2.0]) for _ in range(3)]
        value, gradient = eager(run, x)
        step = compiled(run, [Value(x_i) for x_i in x])
        cost, found = step(step.theta)
        assert agree(cost, value)
        for a, b in zip(found.tolist(), gradient, strict=True):
            assert not math.isfinite(value) or math.isnan(b) or agree(a, b), (statements, x)
        finite += math.isfinite(value)
    assert finite > 5
