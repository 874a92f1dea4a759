"""Give a loop more steps, at its beginning and its end.

The first step of a recurrence reads constants or parameters where the others read states; the last may stand
elsewhere in the row of nodes, or was lost to where steps begin. They look different in the row. Here they are
compared, operand by operand, with what the body does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.canonical import Canonical
from autobp.compiler.loops.body import State
from autobp.compiler.loops.matching import Expected, Matcher
from autobp.compiler.loops.recurrence import BodyNode, Own, Recurrence, are_same
from autobp.compiler.loops.tape import Tape


class _Step(NamedTuple):
    """One more step: its nodes and their operands, by number, and what stands before it."""

    nodes: dict[int, int]
    operands: list[list[int]]
    before: dict[State, int]


def extended(tape: Tape, loop: Recurrence, is_taken: Callable[[int], bool]) -> Recurrence:
    """The loop with as many more steps as there are.

    Args:
        is_taken: whether a node belongs to a loop already.
    """
    graph = tape.graph
    same = [_same_in_all_steps(member) for member in loop.body]
    matcher = Matcher(graph, loop)
    first: list[_Step] = []
    before = dict(loop.before)
    while (step := _step_before(matcher, loop, same, before, is_taken)) is not None:
        first.append(step)
        before = step.before
    first.reverse()
    last: list[_Step] = []
    while (step := _step_after(matcher, loop, same, last, tape, is_taken)) is not None:
        last.append(step)
    if not first and not last:
        return loop
    longer = Recurrence([_longer(graph, k, x, first, last) for k, x in enumerate(loop.body)], before)
    return loop if longer.reads_itself() else longer


def _longer(
    graph: Canonical, k: int, member: BodyNode, first: Sequence[_Step], last: Sequence[_Step]
) -> BodyNode:
    """Node k of a body, with what it is in the first steps and in the last."""

    def parts(of_step: Callable[[_Step], object], there: Any) -> Any:
        ends = [np.array([of_step(step) for step in steps], dtype=there.dtype) for steps in (first, last)]
        return np.concatenate([x for x in (ends[0], there, ends[1]) if len(x)])

    return BodyNode(
        parts(lambda step: step.nodes[k], member.nodes),
        parts(lambda step: step.operands[k], member.operands),
        member.own,
        member.terms,
        parts(lambda step: graph.offsets[step.nodes[k]], member.offsets) if member.terms else member.offsets,
    )


def _same_in_all_steps(member: BodyNode) -> Expected:
    """Of each operand from outside, which node it is in all steps; None if it differs."""
    found: list[int | None] = []
    for column, own in zip(member.operands.T, member.own, strict=True):
        alike = own is None and bool((column == column[0]).all())
        found.append(int(column[0]) if alike else None)
    return found


def _step_before(
    matcher: Matcher,
    loop: Recurrence,
    same: Sequence[Expected],
    before: dict[State, int],
    is_taken: Callable[[int], bool],
) -> _Step | None:
    """The step before the first, if what is read of it was computed as the body computes it."""
    graph = matcher.graph
    nodes = {k: x for (k, m), x in before.items() if m == 1}
    earlier = {(k, m - 1): x for (k, m), x in before.items() if m > 1}
    operands: list[list[int]] = [[] for _ in loop.body]

    def known(own: Own | None) -> int | None:
        if own is None:
            return None
        return earlier.get((own.number, own.lag)) if own.lag else nodes.get(own.number)

    for k in reversed(range(len(loop.body))):
        member = loop.body[k]
        if k not in nodes or nodes[k] in graph.fixed or is_taken(nodes[k]):
            return None
        expected = [x if x is not None else known(own) for x, own in zip(same[k], member.own, strict=True)]
        found = matcher.operands(k, nodes[k], expected)
        if found is None:
            return None
        operands[k] = found
        for x, own, outside in zip(found, member.own, same[k], strict=True):
            if own is None:
                fits = outside is None or are_same(graph, outside, x)
            elif own.lag:
                fits = are_same(graph, earlier.setdefault((own.number, own.lag), x), x)
            else:
                fits = nodes.setdefault(own.number, x) == x
            if not fits:
                return None
    distinct = len(set(nodes.values())) == len(nodes) == len(loop.body)
    return _Step(nodes, operands, earlier) if distinct and set(earlier) == set(before) else None


def _step_after(
    matcher: Matcher,
    loop: Recurrence,
    same: Sequence[Expected],
    added: Sequence[_Step],
    tape: Tape,
    is_taken: Callable[[int], bool],
) -> _Step | None:
    """The step after the last, and after those that were added, if all of it is there."""
    nodes: dict[int, int] = {}
    operands: list[list[int]] = []

    def own_node(own: Own) -> int:
        if own.lag == 0:
            return nodes[own.number]
        if own.lag <= len(added):
            return added[-own.lag].nodes[own.number]
        return int(loop.body[own.number].nodes[len(added) - own.lag])

    used = {node for step in added for node in step.nodes.values()}
    for k, member in enumerate(loop.body):
        inner = [None if own is None else own_node(own) for own in member.own]
        expected = [x if x is not None else y for x, y in zip(same[k], inner, strict=True)]
        anchor = next(x for x in inner if x is not None)
        for candidate in tape.readers_of(anchor):
            if candidate not in used and not is_taken(candidate):
                found = matcher.operands(k, candidate, expected)
                if found is not None and all(y is None or x == y for x, y in zip(found, inner, strict=True)):
                    nodes[k] = candidate
                    used.add(candidate)
                    operands.append(found)
                    break
        else:
            return None
    return _Step(nodes, operands, {})
