"""step.report() says with the caller's line what was found, and why what repeats is no loop."""

from __future__ import annotations

import functools
import inspect
import pickle
import re
from typing import Any

import numpy as np
import pytest
from test_irregular import Random
from test_loops import gru, hidden_markov, lstm, rnn
from test_through_time import total

import autobp
from autobp import Value

HERE = "test_report.py"


def line_of(function: Any, text: str) -> str:
    """What a report says of the line of a function that has this text."""
    lines, first = inspect.getsourcelines(function)
    (found,) = [i for i, line in enumerate(lines) if text in line]
    return f": {HERE}, line {first + found}, `{lines[found].strip()}`"


def parameters() -> tuple[Value, Value]:
    return Value(0.9, label="w"), Value(0.5, label="u")


def test_of_a_loop_the_line_of_its_step() -> None:
    w, u = parameters()

    def cost(x, y):
        h = 0.0
        for t in range(40):
            drive = u * x[t]
            h = (w * h + drive).tanh()
        return (h - y) ** 2

    found = autobp.compile(cost, [w, u], example=(np.zeros(40), 0.0)).report().splitlines()
    assert found[2].startswith("loop of 40 steps of ")
    assert found[2].endswith(line_of(cost, "h = (w"))
    assert found[3].startswith("loop of 40 steps backwards")
    assert ".py" not in found[3]


def test_of_what_is_no_loop_the_line_too() -> None:
    u = [autobp.Value(0.1 * t) for t in range(20)]

    def cost(x):
        p, v, total = x[0], x[1], 0.0
        for t in range(20):
            p, v = p + 0.1 * v, v + 0.1 * (u[t] - p.sin())
            total = total + p * p + 0.1 * u[t] * u[t]
        return total

    (note,) = [
        line
        for line in autobp.compile(cost, u, example=(np.zeros(2),)).report().splitlines()
        if line.startswith("no loop: ")
    ]
    assert "would run" in note
    assert note.endswith(line_of(cost, "p, v = p"))


def test_of_loops_one_after_another_each_its_own_and_of_a_reduction_the_step() -> None:
    w, u = parameters()

    def step(h, x_t):
        return (w * h + u * x_t).tanh()

    def cost(x, y):
        h = functools.reduce(step, x, 0.0)
        g = h
        for t in range(40):
            g = autobp.sin(w * g) + y[t] / (1.0 + g * g)
        return g

    found = autobp.compile(cost, [w, u], example=(np.zeros(50), np.zeros(40))).report().splitlines()
    assert found[2].startswith("loop of 50 steps")
    assert found[2].endswith(line_of(step, "return (w"))
    assert found[3].startswith("loop of 40 steps")
    assert found[3].endswith(line_of(cost, "g = autobp.sin"))


def test_a_report_leaves_parameters_and_the_program_as_they_are() -> None:
    w, u = parameters()

    def cost(x):
        h = 0.0
        for x_t in x:
            h = (w * h + u * x_t).tanh()
        return h

    step = autobp.compile(cost, [w, u], example=(np.zeros(30),))
    before = step(step.theta, np.ones((2, 30)))
    report = step.report()
    assert (w.data, u.data, w.grad) == (0.9, 0.5, 0.0)
    assert step.report() == report
    np.testing.assert_array_equal(step(step.theta, np.ones((2, 30)))[1], before[1])


def test_without_the_function_that_was_traced_the_lines_are_left_out() -> None:
    w, u = parameters()
    slope = [u]

    def cost(x):
        h = 0.0
        for x_t in x:
            h = (w * h + slope[0] * x_t).tanh()
        return h

    step = autobp.compile(cost, [w, u], example=(np.zeros(30),))
    whole = step.report()
    again = pickle.loads(pickle.dumps(step)).report()
    assert whole == again.replace("of each step", "of each step" + line_of(cost, "h = (w"), 1)
    slope[0] = 2.0 * u  # computes something else by now
    assert step.report() == again


@pytest.mark.parametrize("function", [lambda: (Value(1.0) * 2.0).exp(), lambda x: x.relu().exp()])
def test_what_is_short_has_no_lines(function) -> None:
    n = function.__code__.co_argcount
    step = autobp.compile(function, [Value(1.0)], example=(0.0,) * n)
    assert ".py" not in step.report()


# --------------------------------------------------------------------------------------- what stays alone


def weights(*shape: int) -> Any:
    rng = np.random.default_rng(0)
    return [[Value(x) for x in row] for row in rng.normal(size=shape).tolist()]


def alone(function: Any, parameters: Any, *example: Any) -> list[str]:
    """What a report says of scalars that are in no array."""
    step = autobp.compile(function, parameters, example=example)
    return [line for line in step.report().splitlines() if line.startswith("alone: ")]


def layer(act: Any) -> tuple[Any, list[Value]]:
    """A layer of eight units, whose sums and activations one function of a number and its row makes."""
    W, b = weights(8, 3), weights(8, 1)

    def cost(x, y):
        units = [act(i, [w * x_j for w, x_j in zip(row, x, strict=True)], c, y) for i, (row, [c]) in rows]
        return sum(u * u for u in units)

    rows = list(enumerate(zip(W, b, strict=True)))
    return cost, [v for row in W + b for v in row]


def plain(i, products, c, y):
    return (sum(products) + c).tanh()


def test_a_layer_whose_units_are_alike_has_none_alone() -> None:
    assert alone(*layer(plain), np.zeros(3), 0.0) == []


def other_operation(i, products, c, y):
    z = sum(products) + c
    if i == 3:
        return z.sigmoid()
    return z.tanh()


def no_bias(i, products, c, y):
    if i == 3:
        return sum(products).tanh()
    return (sum(products) + c).tanh()


def a_term_more(i, products, c, y):
    if i == 3:
        return (sum(products) + c + y).tanh()
    return (sum(products) + c).tanh()


def a_term_less(i, products, c, y):
    if i != 3:
        return (sum(products) + c + y).tanh()
    return (sum(products) + c).tanh()


def other_sign(i, products, c, y):
    if i == 3:
        return (y - c).sin()
    return (y + c).sin()


def other_operand(i, products, c, y):
    if i == 3:
        return (sum(products) + y).tanh()
    return (sum(products) + c).tanh()


@pytest.mark.parametrize(
    ("act", "text", "why"),
    [
        (other_operation, "z.sigmoid()", "sigmoid, where 7 others are tanh"),
        (no_bias, "sum(products).tanh()", "a sum without + parameter, which 7 others have"),
        (a_term_more, "c + y", "a sum with + y + z1, where 7 others are tanh of z1"),
        (a_term_less, "c).tanh()", "tanh of z1, where 7 others are a sum with + y + z1"),
        (other_sign, "y - c", "a sum with - parameter, where 7 others have + parameter"),
        (other_operand, "+ y)", "a sum with + y, where 7 others have + parameter"),
    ],
)
def test_a_unit_that_differs_is_told_with_its_line_and_what_it_is(act: Any, text: str, why: str) -> None:
    """And that alone: what is computed of it further up is in no array for the same reason."""
    (said,) = alone(*layer(act), np.zeros(3), 0.0)
    assert said == f"alone: {why}{line_of(act, text)}"


def test_operands_and_constants_of_an_operation() -> None:
    w = Value(0.5)

    def cost(x, y):
        waves = [v.sin() for v in x]
        waves.append(y.sin())
        cubes = [v**2.5 for v in x[1:]]
        cubes.append(x[0] ** 3.5)
        shares = [v / w for v in x]
        shares.append(w / w)
        return sum(waves + cubes + shares)

    sin, power, divide = alone(cost, [w], np.ones(5), 1.0)
    assert sin == f"alone: sin of y, where 5 others are of x{line_of(cost, 'y.sin')}"
    assert power == (
        "alone: constant_power(3.5), where 4 others are constant_power(2.5)" + line_of(cost, "** 3.5")
    )
    # of what depends on no argument the line is not known
    assert divide == "alone: divide of parameter and parameter, where 5 others are of x and parameter"


def test_of_two_lines_with_one_operation_on_the_same_operand_none_is_told() -> None:
    """Powers that differ in their exponents alone: which line computes which is not seen."""
    w = Value(0.5)

    def cost(x):
        powers = [v**2.5 for v in x]
        other = x[0] ** 3.5
        return sum(powers, w * other)

    said = alone(cost, [w], np.ones(5))
    assert said == ["alone: constant_power(3.5), where 5 others are constant_power(2.5)"]


def test_what_is_alone_for_one_reason_on_one_line_is_told_once() -> None:
    W = weights(6, 4)

    def cost(x, y):
        both = []
        for data in (x, y):
            z = [sum(w * v for w, v in zip(row, data, strict=True)) for row in W]
            both.append([v.sin() if i else v.tanh() for i, v in enumerate(z)])
        return sum(autobp.exp(p) * q for p, q in zip(*both, strict=True))

    parameters = [w for row in W for w in row]
    (said,) = alone(cost, parameters, np.zeros(4), np.zeros(4))
    assert said == f"alone: tanh, where 5 others are sin{line_of(cost, 'v.tanh')} (2 times)"


def test_of_many_that_are_alone_the_first_are_told() -> None:
    w = Value(0.5)
    names = ["tanh", "sigmoid", "sinh", "cosh", "relu", "exp", "log1p", "expm1", "softplus", "atan", "asinh"]

    def cost(x, y):
        others = [getattr(autobp, name)(x[0] * w) for name in names]
        return sum([(v * w).sin() for v in x], sum(others))

    said = alone(cost, [w], np.ones(5), 0.0)
    assert said[-1] == "alone: 3 more"
    assert len(said) == 9


def test_a_graph_without_arrays_says_how_few_of_its_scalars_are_alike() -> None:
    graph = Random(0, 800, 6)
    (said,) = alone(graph.sample, graph.parameters, graph.rows[0])
    told = r"alone: \d+ of the first [\d,]+ scalars are computed as no other one at their level"
    assert re.fullmatch(told + ": test_irregular.py, line .*", said)


@pytest.mark.parametrize("model", [rnn, lstm, gru, hidden_markov])
def test_nothing_is_told_of_models_that_are_alike_throughout(model: Any) -> None:
    function, parameters, data = model(30)
    cost = {1: lambda x: total(function(x)), 2: lambda x, y: total(function(x, y))}[len(data)]
    assert alone(cost, parameters, *[x[0] for x in data]) == []
