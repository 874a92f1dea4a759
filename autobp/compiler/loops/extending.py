"""Give a loop more steps, at its beginning and its end.

The first step of a recurrence reads constants or parameters where the others read states; the last may stand
elsewhere in the row of nodes, or was lost to where steps begin. They look different in the row. Here they are
compared, operand by operand, with what the body does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.canonical import MAP, Canonical
from autobp.compiler.loops.body import State
from autobp.compiler.loops.recurrence import BodyNode, Own, Recurrence, are_same
from autobp.compiler.loops.tape import Tape
from autobp.ops import Operation

_MANY = 12  # terms among which those that look most alike are searched for

#: The node that an operand must be, as far as is known: what is expected of a slot.
Expected = Sequence[int | None]


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
    first: list[_Step] = []
    before = dict(loop.before)
    while (step := _step_before(graph, loop, same, before, is_taken)) is not None:
        first.insert(0, step)
        before = step.before
    last: list[_Step] = []
    readers = Readers(tape)
    while (step := _step_after(graph, loop, same, last, readers, is_taken)) is not None:
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


class Readers:
    """Who reads what in a graph."""

    def __init__(self, tape: Tape) -> None:
        order = np.argsort(tape.operands, kind="stable")
        self._read = tape.operands[order]
        self._readers = tape.nodes[tape.owners()[order]]

    def of(self, node: int) -> list[int]:
        """The nodes that read a node, each once."""
        a, b = np.searchsorted(self._read, [node, node + 1])
        found: list[int] = self._readers[a:b].tolist()
        return list(dict.fromkeys(found))


def _same_in_all_steps(member: BodyNode) -> Expected:
    """Of each operand from outside, which node it is in all steps; None if it differs."""
    found: list[int | None] = []
    for column, own in zip(member.operands.T, member.own, strict=True):
        alike = own is None and bool((column == column[0]).all())
        found.append(int(column[0]) if alike else None)
    return found


def _step_before(
    graph: Canonical,
    loop: Recurrence,
    same: Sequence[Expected],
    before: dict[State, int],
    is_taken: Callable[[int], bool],
) -> _Step | None:
    """The step before the first, if what is read of it was computed as the body computes it."""
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
        found = _matched(graph, member, nodes[k], expected)
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
    graph: Canonical,
    loop: Recurrence,
    same: Sequence[Expected],
    added: Sequence[_Step],
    readers: Readers,
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

    for k, member in enumerate(loop.body):
        inner = [None if own is None else own_node(own) for own in member.own]
        expected = [x if x is not None else y for x, y in zip(same[k], inner, strict=True)]
        anchor = next(x for x in inner if x is not None)
        used = set(nodes.values())
        for candidate in readers.of(anchor):
            if (
                candidate not in used
                and not is_taken(candidate)
                and all(candidate not in x.nodes.values() for x in added)
            ):
                found = _matched(graph, member, candidate, expected)
                if found is not None and all(y is None or x == y for x, y in zip(found, inner, strict=True)):
                    nodes[k] = candidate
                    operands.append(found)
                    break
        else:
            return None
    return _Step(nodes, operands, {})


def _matched(graph: Canonical, member: BodyNode, node: int, expected: Expected) -> list[int] | None:
    """The operands of a node in the order of a node of the body; None where the two differ."""
    like = int(member.nodes[0])
    alike = graph.kinds[node] == graph.kinds[like]
    if not alike or graph.operations[node] is not graph.operations[like]:
        return None
    if member.terms:
        offset = graph.offsets[node]
        if (member.offsets == member.offsets[0]).all() and offset != member.offsets[0]:
            return None
        return _matched_terms(graph, member, node, expected)
    operands = list(graph.operands[node])
    if len(operands) != len(expected) or graph.constants[node] != graph.constants[like]:
        return None
    if graph.kinds[node] == MAP:
        return operands
    wanted = [_Term(1, (x,), (y,)) for x, y in zip(expected, member.operands[-1].tolist(), strict=True)]
    return _assigned(graph, wanted, [(1, (x,)) for x in operands])


def _matched_terms(graph: Canonical, member: BodyNode, node: int, expected: Expected) -> list[int] | None:
    """The operands of a sum, term by term in the order of the body."""
    terms = [(sign, (a, b) if b >= 0 else (a,)) for sign, a, b in graph.terms[node]]
    known, like = iter(expected), iter(member.operands[-1].tolist())
    wanted = []
    for sign, product in member.terms:
        n = 1 + product
        wanted.append(_Term(sign, tuple(islice(known, n)), tuple(islice(like, n))))
    return _assigned(graph, wanted, terms)


class _Term(NamedTuple):
    """A term that is wanted: its sign, its operands as far as they are known, and those of a later step."""

    sign: int
    known: tuple[int | None, ...]
    like: tuple[int, ...]


def _assigned(
    graph: Canonical, wanted: Sequence[_Term], terms: Sequence[tuple[int, tuple[int, ...]]]
) -> list[int] | None:
    """Terms in the order in which they are wanted: those first that are known, then those that look alike.

    Any order computes the same; one in which the operands are others than in later steps is of no use.
    """
    if len(wanted) != len(terms):
        return None
    by_operand: dict[tuple[int, str], list[int]] = {}
    for j, (sign, operands) in enumerate(terms):
        for x in operands:
            by_operand.setdefault((sign, _name(graph, x)), []).append(j)
    left = set(range(len(terms)))
    found: dict[int, tuple[int, ...]] = {}
    for i, term in enumerate(wanted):
        sure = next((x for x in term.known if x is not None), None)
        if sure is not None:
            candidates = [j for j in by_operand.get((term.sign, _name(graph, sure)), []) if j in left]
            fitting = next(((j, t) for j in candidates if (t := _turned(graph, term, terms[j])[1])), None)
            if fitting is None:
                return None
            left.remove(fitting[0])
            found[i] = fitting[1]
    rest = [i for i in range(len(wanted)) if i not in found]
    while rest:
        pairs = [
            (*_turned(graph, wanted[i], terms[j]), i, j) for i in rest[:_MANY] for j in sorted(left)[:_MANY]
        ]
        score, turned, i, j = max(pairs, key=lambda pair: pair[0])
        if score < 0:
            return None
        found[i] = turned
        rest.remove(i)
        left.remove(j)
    return [x for i in range(len(wanted)) for x in found[i]]


def _turned(
    graph: Canonical, wanted: _Term, term: tuple[int, tuple[int, ...]]
) -> tuple[int, tuple[int, ...]]:
    """How many operands look like what is wanted, and the operands, the two exchanged if that is better.

    -1 and none where they are not what is wanted.
    """
    best: tuple[int, tuple[int, ...]] = -1, ()
    sign, operands = term
    if sign == wanted.sign and len(operands) == len(wanted.known):
        for turned in (operands, operands[::-1]):
            if all(x is None or are_same(graph, x, y) for x, y in zip(wanted.known, turned, strict=True)):
                score = sum(
                    _look(graph, x) == _look(graph, y) for x, y in zip(wanted.like, turned, strict=True)
                )
                best = max(best, (score, turned), key=lambda pair: pair[0])
            if best[0] == len(operands):
                break  # the other way round can be no better
    return best


def _look(graph: Canonical, node: int) -> tuple[bool, int, Operation | None, int]:
    return (
        node in graph.fixed,
        graph.kinds[node],
        graph.operations[node],
        graph.roles[node] if node < len(graph.roles) else 0,
    )


def _name(graph: Canonical, node: int) -> str:
    """The same for what are the same nodes or numbers."""
    return repr(graph.fixed[node]) if node in graph.fixed else f"node {node}"
