"""Find the loops of a graph, and say which of them are worth one."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from autobp.compiler.canonical import Canonical
from autobp.compiler.loops.order import Level, levels_with
from autobp.compiler.loops.periods import Run, finer_runs, runs_of, stretches
from autobp.compiler.loops.recurrence import Recurrence, recurrence_of
from autobp.compiler.loops.tape import Tape, tape_of
from autobp.ops import MULTIPLY
from autobp.reading.graph import PARAMETER

_LEAST = 8  # steps of a loop
_SAVED = 40  # statements that it must save
_LAYERS = 32  # steps up to which weights of each step's own make them layers
_MOST_RUNS = 64  # looked into


def levels_of_loops(graph: Canonical) -> list[Level]:
    """The order in which a graph's nodes are computed, and those of its loops that are worth being one."""
    for by_level in (False, True):
        loops = find(graph, by_level)
        while loops:
            levels = levels_with(graph, loops)
            if levels is not None:
                return levels
            loops.remove(min(loops, key=_covered))
    found = levels_with(graph, [])
    assert found is not None, "without loops there is always an order"
    return found


def find(graph: Canonical, by_level: bool = False) -> list[Recurrence]:
    """The loops in a graph, none of whose nodes are in two.

    Args:
        by_level: whether to search the nodes in the order of their levels, or as they were recorded.
    """
    tape = tape_of(graph, by_level)
    if len(tape) < _LEAST:
        return []
    found = [loop for run in _candidates(tape) if (loop := recurrence_of(tape, run, _LEAST)) is not None]
    found = [loop for loop in found if _is_worth_it(loop, tape)]
    found.sort(key=_covered, reverse=True)
    taken = np.zeros(len(graph.kinds), dtype=bool)
    chosen = []
    for loop in found:
        members = np.concatenate([member.nodes for member in loop.body])
        if not taken[members].any():
            taken[members] = True
            chosen.append(loop)
    return chosen


def _covered(loop: Recurrence) -> int:
    return loop.steps * len(loop.body)


def _candidates(tape: Tape) -> list[Run]:
    """Stretches of the tape that repeat."""
    waiting = sorted(runs_of(tape.codes, _LEAST), key=attrgetter("length"))
    seen: set[tuple[int, int]] = set()
    found: list[Run] = []
    while waiting and len(seen) < _MOST_RUNS:
        run = waiting.pop()
        if (run.start, run.period) in seen:
            continue
        seen.add((run.start, run.period))
        good = stretches(tape, run, _LEAST)
        found += good
        if sum(x.length for x in good) < 0.9 * run.length:
            waiting += finer_runs(tape, run, _LEAST)
    return found


def _is_worth_it(loop: Recurrence, tape: Tape) -> bool:
    """Whether a loop saves enough, and is not a row of layers."""
    return len(loop.body) * (loop.steps - 1) >= _SAVED and not (
        loop.steps <= _LAYERS and _has_layers(loop, tape.graph)
    )


def _has_layers(loop: Recurrence, graph: Canonical) -> bool:
    """Whether a parameter of one step alone is multiplied by what is no constant: a weight of a layer."""
    for member in loop.body:
        first = int(member.nodes[0])
        if member.terms:
            products = _pairs_of(member.terms)
        elif graph.operations[first] is MULTIPLY:
            products = [(0, 1)]
        else:
            continue
        for pair in products:
            for x, y in (pair, pair[::-1]):
                weights, others = member.operands[:, x], member.operands[:, y]
                is_weight = member.own[x] is None and _is_parameter(graph, int(weights[-1]))
                if is_weight and (weights != weights[0]).any() and int(others[-1]) not in graph.fixed:
                    return True
    return False


def _pairs_of(terms: Sequence[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Which operands of a sum are multiplied."""
    found, i = [], 0
    for _, product in terms:
        if product:
            found.append((i, i + 1))
        i += 1 + product
    return found


def _is_parameter(graph: Canonical, node: int) -> bool:
    return node not in graph.fixed and graph.operations[node] is None and graph.roles[node] == PARAMETER
