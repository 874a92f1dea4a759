"""draw() of a recurrence: the step once, with how often it is run, what it carries, takes and leaves."""

from __future__ import annotations

import re

import pytest
from test_explain_recurrences import MODELS, kalman, logistic, rnn

import autobp
from autobp import Value
from autobp.reading.graph import record
from autobp.recurrences import recurrence_in


def boxes(picture):
    return set(re.findall(r"^\s+(\w+) \[", picture.source, re.MULTILINE))


def arrows(picture):
    return re.findall(r"^\s+(\w+) -> (\w+)(.*)$", picture.source, re.MULTILINE)


@pytest.mark.parametrize("model", MODELS)
def test_the_picture_does_not_grow_with_the_steps(model) -> None:
    few, many = autobp.draw(model(100)), autobp.draw(model(200))
    assert len(boxes(few)) == len(boxes(many)) <= 60
    assert [(a, b) for a, b, _ in arrows(few) if "n" not in a + b] == [
        (a, b) for a, b, _ in arrows(many) if "n" not in a + b
    ]


@pytest.mark.parametrize("model", MODELS)
def test_it_says_how_often_and_each_arrow_joins_two_boxes(model) -> None:
    J = model(100)
    loop = recurrence_in(record([J]), 8)
    assert loop is not None
    assert 97 <= loop.steps <= 100
    picture = autobp.draw(J)
    assert f"{loop.steps} times, t = 1, …, {loop.steps}" in picture.source
    known = boxes(picture)
    assert all(start in known and end in known for start, end, _ in arrows(picture))
    carried = [(a, b) for a, b, attributes in arrows(picture) if "dashed" in attributes]
    assert len(carried) == sum(loop.lags())
    assert {int(end[1:].split("_")[0]) for _, end in carried} == {
        k for k, lag in enumerate(loop.lags()) if lag
    }


def test_each_arrow_into_the_step_is_an_operand_of_every_step() -> None:
    J = kalman(100)
    graph = record([J])
    loop = recurrence_in(graph, 8)
    assert loop is not None
    inner = {(a, b) for a, b, attributes in arrows(autobp.draw(J)) if "dashed" not in attributes}
    for k, member in enumerate(loop.body):
        for t, node in enumerate(member.nodes.tolist()):
            for parent, own in zip(graph.parents[node], member.own, strict=True):
                if own is not None:
                    start = f"s{own.number}_{own.lag}" if own.lag else f"k{own.number}"
                    assert (start, f"k{k}") in inner
                    if t >= own.lag:
                        assert loop.body[own.number].nodes[t - own.lag] == parent


def test_numbers_are_those_of_all_steps() -> None:
    J = logistic(200)
    J.backward()
    x = [0.4]
    for _ in range(200):
        x.append(3.2 * x[-1] * (1 - x[-1]))
    source = autobp.draw(J).source
    assert f"{min(x[1:]):.4g} … {max(x[1:]):.4g}" in source
    assert f"{min(x[:-1]):.4g} … {max(x[:-1]):.4g}" in source


def test_what_is_short_is_drawn_whole_and_what_is_highlighted_as_before() -> None:
    assert "times, t = 1" not in autobp.draw(rnn(24)).source
    assert "24 times, t = 1, …, 24" in autobp.draw(rnn(24), max_nodes=60).source
    J = rnn(100)
    w = next(iter(v for v in record([J]).nodes if v.label == "w"))
    assert "times, t = 1" not in autobp.draw(J, highlight=w).source
    assert "times, t = 1" not in autobp.draw(J, depth=60).source


def test_sums_and_networks_are_summarised_as_before() -> None:
    w = Value(0.5, label="w")
    assert "times, t = 1" not in autobp.draw(sum(((w * t - 1) ** 2 for t in range(300)), Value(0.0))).source
    net = autobp.MLP(4, [4] * 20 + [1], seed=1)
    assert "times, t = 1" not in autobp.draw(net([0.1, 0.2, 0.3, 0.4])).source
