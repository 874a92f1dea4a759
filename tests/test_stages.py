"""The stages of the compiler as values: what they print, and what is known of arrays beforehand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import autobp
from autobp import Value, ir
from autobp.compiler.bounds import ANY, NOT_NEGATIVE, POSITIVE, Bounds, bounds_of, bounds_of_arrays
from autobp.compiler.canonical import canonicalise
from autobp.compiler.pipeline import Signature, programs_of
from autobp.compiler.recording import record
from autobp.compiler.without_loops import without_loops
from autobp.functions import exp, maximum, relu, sigmoid, softplus, sqrt
from autobp.ir.expression import Expression, slots
from autobp.ops import TABLE


def graph_of(output: Value, parameters: list[Value], inputs: list[Value]) -> Any:
    leaves = {id(x): (0, i) for i, x in enumerate(parameters)}
    leaves |= {id(x): (1, i) for i, x in enumerate(inputs)}
    return record([output], leaves)


def neuron() -> tuple[Value, list[Value], list[Value]]:
    w, x, b = [Value(2.0), Value(3.0)], [Value(5.0), Value(7.0)], Value(1.0)
    return (w[0] * x[0] + w[1] * x[1] + b + (Value(3.0) - 2.5)).tanh(), [*w, b], x


def test_the_canonical_form_prints() -> None:
    canonical = canonicalise(graph_of(*neuron()))
    lines = str(canonical).splitlines()
    assert sorted(line.split(" = ")[1] for line in lines[:5]) == [
        "argument 1[0]",
        "argument 1[1]",
        "theta[0]",
        "theta[1]",
        "theta[2]",
    ]
    names = {line.split(" = ")[1]: line.split(" = ")[0] for line in lines[:5]}
    w, x, b = (
        [names[f"theta[{i}]"] for i in (0, 1)],
        [names[f"argument 1[{i}]"] for i in (0, 1)],
        "theta[2]",
    )
    total, tanh = lines[5].split(" = "), lines[6].split(" = ")
    assert total[1] == f"+ {w[0]}·{x[0]} + {w[1]}·{x[1]} + {names[b]} + 0.5"
    assert tanh[1] == f"tanh({total[0]})"
    assert lines[7] == f"return {tanh[0]}"


def test_the_stages_are_values() -> None:
    graph = graph_of(*neuron())
    canonical = canonicalise(graph)
    for _ in range(2):  # a stage leaves what it was given as it was
        outputs, scalars = without_loops(canonical, 3, [(2,)])
        assert str(outputs).splitlines()[:2] == ["theta: 3", "t1: m×2"]
        assert str(outputs).splitlines()[-1].startswith("return t")
        assert scalars[outputs.results[0]].tolist() == list(graph.outputs)
    with pytest.raises(FrozenInstanceError):
        canonical.order = []  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        outputs.results = ()  # type: ignore[misc]
    signature = Signature(["W1[1,1]", "W1[1,2]", "b1[1]"], ["x"], [(2,)], None)
    programs = programs_of(graph, signature).programs
    assert list(programs) == ["value", "cost_and_gradient"]
    assert str(programs["value"]) == str(programs_of(graph, signature).programs["value"])


# -------------------------------------------------------------------------------------------------- bounds


def of_value(f: Any) -> Bounds:
    """The bounds of a function of two inputs."""
    x = [Value(0.5), Value(0.25)]
    outputs, _ = without_loops(canonicalise(graph_of(f(*x), [], x)), 0, [(2,)])
    return bounds_of_arrays(outputs.arrays)[outputs.results[0]]


@pytest.mark.parametrize(
    ("f", "sign", "finite"),
    [
        (lambda x, y: x + y, ANY, True),
        (lambda x, y: x * x + y * y, NOT_NEGATIVE, True),
        (lambda x, y: x**2 + 1e-5, POSITIVE, True),
        (lambda x, y: x**2 - 1e-5, ANY, True),
        (lambda x, y: exp(x) + exp(y), POSITIVE, True),
        (lambda x, y: exp(x) / (exp(x) + exp(y)), POSITIVE, True),
        (lambda x, y: x / (exp(x) + exp(y)), ANY, True),
        (lambda x, y: x / y, ANY, False),
        (lambda x, y: x / 3.0, ANY, True),
        (lambda x, y: exp(x / y), POSITIVE, False),
        (lambda x, y: softplus(x) * sigmoid(y), POSITIVE, True),
        (lambda x, y: relu(x), NOT_NEGATIVE, True),
        (lambda x, y: sqrt(relu(x)), NOT_NEGATIVE, True),
        (lambda x, y: sqrt(x), ANY, False),
        (lambda x, y: sqrt(x * x + 1.0), POSITIVE, True),
        (lambda x, y: (x * x + 1.0) ** -0.5, POSITIVE, True),
        (lambda x, y: (x * x) ** -0.5, NOT_NEGATIVE, False),
        (lambda x, y: x**-2, NOT_NEGATIVE, False),
        (lambda x, y: x**3, ANY, True),
        (lambda x, y: x**1.5, ANY, False),
        (lambda x, y: exp(x) ** y, POSITIVE, True),
        (lambda x, y: x**y, ANY, False),
        (lambda x, y: maximum(x, 0.1).log(), ANY, True),
        (lambda x, y: maximum(x, 0.1), POSITIVE, True),
        (lambda x, y: autobp.minimum(x, 0.1), ANY, True),
        (lambda x, y: autobp.log1p(exp(x)), POSITIVE, True),
        (lambda x, y: autobp.log1p(x), ANY, False),
        (lambda x, y: autobp.where(autobp.greater(x, y), exp(x), 2.0), POSITIVE, True),
        (lambda x, y: autobp.where(autobp.greater(x, y), exp(x), y), ANY, True),
        (lambda x, y: autobp.greater(x, y), NOT_NEGATIVE, True),
        (lambda x, y: abs(x), NOT_NEGATIVE, True),
        (lambda x, y: autobp.take([exp(x), exp(y)], 1), POSITIVE, True),
        (lambda x, y: autobp.asin(x), ANY, False),
        (lambda x, y: autobp.gelu(x) + autobp.elu(x) + autobp.silu(y) + autobp.tanh(y), ANY, True),
        (lambda x, y: -exp(x), ANY, True),
    ],
)
def test_what_is_known_of_arrays(f: Any, sign: int, finite: bool) -> None:
    assert of_value(f) == Bounds(sign, finite)


def test_what_is_known_of_expressions_and_arrangements() -> None:
    x, y = slots(2)
    known = [Bounds(POSITIVE), Bounds()]
    assert bounds_of(0.5 / x, known) == Bounds(POSITIVE, True)
    assert bounds_of(1.0 / y, known) == Bounds(ANY, False)
    assert bounds_of(y * y, known) == Bounds(NOT_NEGATIVE, True)
    assert bounds_of(0.0, known) == Bounds(NOT_NEGATIVE)
    assert bounds_of(Expression("foreign partial", "mine", 0, x, y), known) == Bounds(ANY, False)
    ones = ir.Constant(np.ones((2, 3)))
    spread = ir.Spread(ir.Reshape(ones, (6,)), np.arange(6), (2, 4))
    arrays: list[ir.Array] = [ones, spread.source, spread]
    made = {
        "matmul": ir.MatMul(ones, ones),
        "padded": ir.MatMul(spread, spread),
        "square": ir.RowDot(spread, spread),
        "reduce": ir.Reduce(ones),
        "segments": ir.Segments(spread.source, np.array([0, 2]), "add"),
        "fill": ir.Fill(ones, (2, 3), True),
        "repeat": ir.Repeat(spread.source, np.arange(1, 7)),
        "gather": ir.Gather(ones, np.array([0])),
        "one of": ir.OneHot(spread.source, 3),
    }
    found = bounds_of_arrays([*arrays, *made.values()])
    weak = {"padded", "square", "one of"}
    assert {name: found[x].sign for name, x in made.items()} == {
        name: NOT_NEGATIVE if name in weak else POSITIVE for name in made
    }
    nothing = ir.Map((ones,), (2, 3), TABLE["log"])
    assert bounds_of_arrays([ones, nothing])[nothing] == Bounds(ANY, True)
