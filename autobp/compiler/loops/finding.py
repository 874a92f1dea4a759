"""Find the loops of a graph, and say which of them are worth one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from autobp.compiler.canonical import Canonical
from autobp.compiler.levels import levels_of
from autobp.compiler.loops.diagonals import over_diagonals
from autobp.compiler.loops.extending import extended
from autobp.compiler.loops.order import Level, levels_with
from autobp.compiler.loops.periods import Run, finer_runs, runs_of, stretches
from autobp.compiler.loops.recurrence import Recurrence, recurrence_of
from autobp.compiler.loops.tables import table_of
from autobp.compiler.loops.tape import Tape, tape_of
from autobp.ir import Indices
from autobp.ops import MULTIPLY
from autobp.reading.graph import PARAMETER

_LAYERS = 32  # steps up to which weights of each step's own make them layers
_MOST_RUNS = 64  # looked into, and more where they are no longer together than the row twice


@dataclass(frozen=True)
class Limits:
    """Which loops are worth being loops.

    Measured on fifteen recurrences, cost and gradient, with NumPy: from 16 steps on, where at most 18 % of
    the statements are left, a loop runs as fast as what is written out or up to three times so, with 1 to
    128 rows. Where up to half are left, it takes 0.6 to 0.9 of the time with 1 row, and up to 1.14 with 256;
    machine code takes 0.3 to 0.6 of it, and is built once for other lengths. What groups worse step by step
    than all steps together is slower in a loop where steps are few.

    Attributes:
        steps: of a loop, at least.
        saved: statements that loops must save.
        share: of the statements that there would be without them, at most so many may be left.
        many: statements without loops, from which on loops may run more of them.
        slower: how many times as many.
    """

    steps: int = 16
    saved: int = 16
    share: float = 0.5
    many: int = 300
    slower: float = 1.6


class Note(NamedTuple):
    """Why what repeats is no loop.

    Attributes:
        why: in words.
        nodes: of the graph, those of the first step, the last of them first.
    """

    why: str
    nodes: tuple[int, ...]


class Found(NamedTuple):
    """What a search has found.

    Attributes:
        graph: the one searched; where a table is a loop, with a few nodes more.
        levels: the order in which nodes and loops are computed; None where no loop is worth being one.
        notes: why what repeats is no loop.
    """

    graph: Canonical
    levels: list[Level] | None = None
    notes: tuple[Note, ...] = ()


def loops_of(graph: Canonical, limits: Limits) -> Found:
    """The loops of a graph that are worth being loops."""
    height = levels_of(graph)
    if max(height, default=0) < limits.steps:
        return Found(graph)  # every step of a loop stands above the one before
    tape = tape_of(graph, height)
    plain = len(np.unique(tape.levels * (int(tape.codes.max()) + 1) + tape.codes))
    if plain < limits.saved:
        return Found(graph)
    codes = np.zeros(len(graph.kinds), dtype=np.int64)
    codes[tape.nodes] = tape.codes
    if (with_table := _around_table(tape, tape, codes, plain, limits)) is not None:
        return with_table
    best, fewest = None, plain
    notes: dict[str, Note] = {}
    for row in (tape, tape.by_level()):
        loops, why_not = find(row, limits.steps)
        notes.update({note.why: note for note in why_not})
        if not loops:
            continue
        levels = _in_order(tape, loops)
        if not loops:
            continue
        written, run = _statements(levels, codes)
        steps = ", ".join(str(placed.loop.steps) for level in levels for placed in level.loops)
        if run > plain * (limits.slower if plain >= limits.many else 1.0):
            why = f"loops of {steps} steps would run {run:,} statements, where {plain:,} do"
            notes[why] = _note(why, max(loops, key=_covered))
        elif plain - written < limits.saved or written > limits.share * plain:
            why = f"loops of {steps} steps would save too little: {plain - written} of {plain} statements"
            notes[why] = _note(why, max(loops, key=_covered))
        elif written < fewest:
            best, fewest = levels, written
            if run <= plain:
                break
    if best is not None:
        return Found(graph, best)
    # rows of a table may stand in pieces where they were recorded, and look like loops that are not worth one
    with_table = _around_table(tape, tape.deepest_first(), codes, plain, limits) if notes else None
    return with_table or Found(graph, None, tuple(notes.values()))


def _around_table(tape: Tape, row: Tape, codes: Indices, plain: int, limits: Limits) -> Found | None:
    """A table of dynamic programming as a loop over its diagonals, and the loops around it.

    None where there is no table, or it would save too little.

    Args:
        tape: the nodes as they were recorded.
        row: the same in the order in which a table is searched for.
    """
    least = max(2, limits.steps // 2)  # as many diagonals then as steps of a loop, or more
    table = table_of(row, least)
    made = None if table is None else over_diagonals(tape.graph, table)
    if table is None or made is None:
        return None
    graph, diagonals = made
    tape = replace(tape, graph=graph)
    rest = replace(row.without(np.concatenate([x.reshape(-1) for x in table.places])), graph=graph)
    best, fewest = None, plain - limits.saved
    for row in (rest, rest.by_level()):
        loops, _ = find(row, least, diagonals.members())
        levels, loops = _with_most(tape, diagonals, loops)
        if levels is None:
            return None
        outside = sum(len(set(codes[level.nodes].tolist())) for level in levels)
        inside = sum(loop.statements(codes) for loop in loops)
        written = outside + inside + len(table.places)
        if written <= fewest:
            best, fewest = levels, written
    return None if best is None else Found(graph, best)


def _with_most(
    tape: Tape, first: Recurrence, loops: Sequence[Recurrence]
) -> tuple[list[Level] | None, list[Recurrence]]:
    """The order of nodes, one loop, and of the others as many as there is an order with, or parts of them."""
    levels = levels_with(tape, [first, *loops])
    if levels is not None:
        return levels, list(loops)
    kept: list[Recurrence] = []
    levels = levels_with(tape, [first])
    waiting = sorted(loops, key=_covered)
    while waiting and levels is not None:
        loop = waiting.pop()
        with_it = levels_with(tape, [first, *kept, loop])
        if with_it is not None:
            levels = with_it
            kept.append(loop)
        elif len(parts := loop.parts()) > 1:
            waiting += sorted(parts, key=_covered)
    return levels, kept


def _note(why: str, loop: Recurrence) -> Note:
    return Note(why, tuple([int(member.nodes[0]) for member in reversed(loop.body)]))


def _in_order(tape: Tape, loops: list[Recurrence]) -> list[Level]:
    """The order of nodes and loops, without those loops for which there is none."""
    while (levels := levels_with(tape, loops)) is None:
        loops.remove(min(loops, key=_covered))
    return levels


def _statements(levels: Sequence[Level], codes: Indices) -> tuple[int, int]:
    """About how many statements a program has, and how many it runs."""
    written = run = 0
    for level in levels:
        outside = len(set(codes[level.nodes].tolist()))
        written, run = written + outside, run + outside
        for placed in level.loops:
            inside = placed.loop.statements(codes)
            written, run = written + inside, run + inside * placed.loop.steps
    return written, run


def find(tape: Tape, least: int, others: Collection[int] = ()) -> tuple[list[Recurrence], list[Note]]:
    """The loops of so many steps in a graph, none of whose nodes are in two; and why others are none.

    Args:
        others: nodes of the graph that are in no loop.
    """
    found: list[Recurrence] = []
    notes: list[Note] = []
    for run in _candidates(tape, least):
        loop = recurrence_of(tape, run, least)
        if loop is None:
            continue
        if loop.steps <= _LAYERS and _has_layers(loop, tape.graph):
            notes.append(_note(f"{loop.steps} equal steps have weights of their own: they are layers", loop))
        else:
            found.append(loop)
    found.sort(key=_covered, reverse=True)
    taken = np.zeros(len(tape.graph.kinds), dtype=bool)
    taken[list(others)] = True
    chosen = []
    for loop in found:
        members = np.concatenate([member.nodes for member in loop.body])
        if not taken[members].any():
            taken[members] = True
            chosen.append(loop)
    for i, loop in enumerate(chosen):
        chosen[i] = extended(tape, loop, taken.__getitem__)
        taken[np.concatenate([member.nodes for member in chosen[i].body])] = True
    return chosen, notes


def _covered(loop: Recurrence) -> int:
    return loop.steps * len(loop.body)


def _candidates(tape: Tape, least: int) -> list[Run]:
    """Stretches of the tape that repeat."""
    waiting = sorted(runs_of(tape.codes, least), key=attrgetter("length"))
    seen: set[tuple[int, int]] = set()
    found: list[Run] = []
    looked = 0
    while waiting and (len(seen) < _MOST_RUNS or looked < 2 * len(tape)):
        run = waiting.pop()
        if (run.start, run.period) in seen:
            continue
        seen.add((run.start, run.period))
        looked += run.length
        good = stretches(tape, run, least)
        found += good
        if sum(x.length for x in good) < 0.9 * run.length:
            waiting += finer_runs(tape, run, least)
    return found


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
