"""step.report() says with the caller's line what was found, and why what repeats is no loop."""

from __future__ import annotations

import functools
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

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
    w, u = parameters()

    def cost(x):
        s, total = 1.0, 0.0
        for t in range(30):
            s = s * (w + u * x[t]).exp()
            total = total + s
        return (total / 30 - 1.0).relu()

    (note,) = [
        line
        for line in autobp.compile(cost, [w, u], example=(np.zeros(30),)).report().splitlines()
        if line.startswith("no loop: ")
    ]
    assert "would save too little" in note
    assert note.endswith(line_of(cost, "s = s *"))


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
