"""The recurrence in a graph of scalars as it was recorded, for who draws or explains it.

The compiler's finder looks for it (:mod:`autobp.compiler.loops`), among the graph's own nodes: nothing is
brought into another form before, so that each node of a step is a Value of the caller's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from autobp.compiler.canonical import LEAF, MAP, Canonical
from autobp.compiler.levels import levels_of
from autobp.compiler.loops.finding import find
from autobp.compiler.loops.order import levels_with
from autobp.compiler.loops.recurrence import BodyNode, Own, Recurrence
from autobp.compiler.loops.tape import tape_of
from autobp.ir import Indices
from autobp.ops import ADD, MAXIMUM, MINIMUM, MULTIPLY, SUBTRACT
from autobp.reading.graph import CONSTANT, PARAMETER, Graph
from autobp.reading.labels import element

__all__ = ["BodyNode", "Own", "Recurrence", "accumulators", "letters_of", "recurrence_in"]

_FOLDS = (ADD, SUBTRACT, MULTIPLY, MAXIMUM, MINIMUM)


def recurrence_in(graph: Graph, least: int = 8) -> Recurrence | None:
    """The largest recurrence of a graph, of at least so many steps; None where there is none.

    Numbers that are only added up or multiplied, each computed by itself, are none.
    """
    scalars = _canonical(graph)
    height = levels_of(scalars)
    if max(height, default=0) < least:
        return None  # every step stands above the one before
    tape = tape_of(scalars, height)
    best: Recurrence | None = None
    for row in (tape, tape.by_level()):
        found, _ = find(row, least)
        for loop in found:
            if best is not None and loop.steps * len(loop.body) <= best.steps * len(best.body):
                continue
            folded = accumulators(graph, loop)
            carried = [k for k, lag in enumerate(loop.lags()) if lag and k not in folded]
            if carried and levels_with(tape, [loop]) is not None:
                best = loop
    return None if best is None else _with_inputs(graph, best)


def _with_inputs(graph: Graph, loop: Recurrence) -> Recurrence:
    """The recurrence with what each step computes for itself alone from what it takes."""
    taken = {node for member in loop.body for node in member.nodes.tolist()}
    found: list[Indices] = []  # of what is taken in, the nodes in all steps, readers first
    numbers: dict[bytes, int] = {}
    waiting = list(loop.columns())
    while waiting:
        column = waiting.pop()
        if column.tobytes() in numbers or not _is_alike(graph, column.tolist(), taken):
            continue
        numbers[column.tobytes()] = len(found)
        found.append(column)
        taken.update(column.tolist())
        waiting += list(np.array([graph.parents[node] for node in column.tolist()]).T)
    n = len(found)

    def own_of(column: Indices) -> Own | None:
        number = numbers.get(column.tobytes())
        return None if number is None else Own(n - 1 - number, 0)

    body = []
    for column in reversed(found):
        operands = np.array([graph.parents[node] for node in column.tolist()], dtype=np.int64)
        body.append(BodyNode(column, operands, [own_of(x) for x in operands.T], (), np.zeros(0)))
    for member in loop.body:
        own = [
            own_of(x) if own is None else Own(own.number + n, own.lag)
            for x, own in zip(member.operands.T, member.own, strict=True)
        ]
        body.append(replace(member, own=own))
    return Recurrence(body, {(k + n, lag): node for (k, lag), node in loop.before.items()})


def _is_alike(graph: Graph, nodes: Sequence[int], readers: Collection[int]) -> bool:
    """Whether nodes are one operation in all steps, each read by its own step alone."""
    first = nodes[0]
    return (
        not graph.is_leaf(first)
        and len(set(nodes)) == len(nodes)
        and all(
            graph.operations[x] is graph.operations[first]
            and graph.constants[x] == graph.constants[first]
            and len(graph.parents[x]) == len(graph.parents[first])
            and x != graph.root
            and all(reader in readers for reader in graph.consumers[x])
            for x in nodes
        )
    )


def accumulators(graph: Graph, loop: Recurrence) -> set[int]:
    """The nodes of a step that only add up, multiply, or keep the largest or smallest of what the rest gives.

    No other node of a step reads them.
    """
    found: set[int] = set()
    for cycle in _cycles(loop):
        operations = {graph.operations[int(loop.body[k].nodes[0])] for k in cycle}
        adds = operations <= {ADD, SUBTRACT}
        if not adds and (len(operations) > 1 or not operations <= set(_FOLDS)):
            continue
        one_each = all(
            sum(own is not None and own.number in cycle for own in loop.body[k].own) == 1 for k in cycle
        )
        read = any(
            own is not None and own.number in cycle
            for k, member in enumerate(loop.body)
            if k not in cycle
            for own in member.own
        )
        if one_each and not read:
            found |= cycle
    return found


def letters_of(graph: Graph, loop: Recurrence, numbers: Sequence[int], carried: Collection[int]) -> list[str]:
    """What some nodes of a step are called: by labels, or h what is carried, L what adds up, u1 the rest.

    Args:
        numbers: of the nodes in the step.
        carried: those that stand for states.
    """
    used = {element(label).array for label in graph.labels.values()} | set(graph.labels.values())
    adding, lags = accumulators(graph, loop), loop.lags()
    arrays, kinds = [], []
    for k in numbers:
        labels = {element(graph.label(node)).array for node in loop.body[k].nodes.tolist()}
        arrays.append(labels.pop() if len(labels) == 1 else "")
        kinds.append("L" if k in adding else "h" if lags[k] or k in carried else "u")
    many = Counter(kind for kind, array in zip(kinds, arrays, strict=True) if not array)
    found, counts = [], Counter[str]()
    for kind, array in zip(kinds, arrays, strict=True):
        name = array
        while not name:
            counts[kind] += 1
            name = f"{kind}{counts[kind]}" if many[kind] > 1 or kind == "u" or kind in used else kind
            name = "" if name in used else name
        used.add(name)
        found.append(name)
    return found


def _cycles(loop: Recurrence) -> list[set[int]]:
    """The nodes of a step by the cycles through the steps that they are on."""
    below = [{own.number for own in member.own if own is not None} for member in loop.body]
    n = len(below)
    reach = [1 << k for k in range(n)]
    for _ in range(n):
        before = list(reach)
        for k in range(n):
            for x in below[k]:
                reach[k] |= reach[x]
        if reach == before:
            break
    on: dict[int, set[int]] = {}
    for k in range(n):
        if any(reach[x] >> k & 1 for x in below[k]):
            mutual = [x for x in range(n) if reach[k] >> x & 1 and reach[x] >> k & 1]
            on.setdefault(mutual[0], set(mutual))
    return list(on.values())


def _canonical(graph: Graph) -> Canonical:
    """The graph as the compiler's finder reads it, each operation as it stands; without a label, leaves are
    constants."""
    n = len(graph)
    leaves = [graph.is_leaf(i) for i in range(n)]
    given = {i for i in range(n) if leaves[i] and not graph.label(i)}
    roles: Sequence[int] = [PARAMETER if leaves[i] and i not in given else CONSTANT for i in range(n)]
    return Canonical(
        order=[i for i in range(n) if i not in given],
        kinds=[LEAF if leaf else MAP for leaf in leaves],
        operations=graph.operations,
        operands=graph.parents,
        constants=graph.constants,
        terms={},
        offsets={},
        fixed={i: graph.values[i] for i in given},
        roles=roles,
        positions=range(n),
        outputs=[graph.root],
    )
