"""Where steps begin: which of a node's copies belong to one step of a loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.loops.periods import Run
from autobp.compiler.loops.tape import Tape
from autobp.ir import Indices

_LOST = 8  # of so many steps one may be lost to steps that begin better
_MOST_CUTS = 16  # that are looked at where all are as good
_MOST_PASSES = 1_000  # over the edges of a period

Marks = np.ndarray[Any, np.dtype[np.bool_]]


class Edges(NamedTuple):
    """Which nodes of a period read which: producers and consumers, and how many periods lie between."""

    producers: Indices
    consumers: Indices
    lags: Indices


def edges_of(tape: Tape, run: Run) -> Edges:
    """The edges within a run, as its last whole period has them."""
    start, period, length = run
    steps = length // period
    last = start + (steps - 1) * period
    starts = tape.starts[last : last + period + 1]
    consumers = np.repeat(np.arange(period, dtype=np.int64), np.diff(starts))
    sources = tape.sources[starts[0] : starts[-1]]
    inside = sources >= start
    steps_of_sources, producers = np.divmod(sources[inside] - start, period)
    return Edges(producers, consumers[inside], steps - 1 - steps_of_sources)


def core_of(edges: Edges, period: int) -> Marks:
    """Which nodes are on a cycle through the periods or between two: what is left without all loose ends."""
    left = np.ones(period, dtype=bool)
    while True:
        inner = left[edges.producers] & left[edges.consumers]
        read, reading = np.zeros(period, dtype=bool), np.zeros(period, dtype=bool)
        read[edges.producers[inner]] = True
        reading[edges.consumers[inner]] = True
        kept = read & reading
        if np.array_equal(kept, left):
            return left
        left = kept


def best_delays(tape: Tape, run: Run, edges: Edges, core: Marks) -> Indices:
    """By how many periods the copies of each node are later than the step that they belong to, (period,).

    The best has the fewest statements, then the fewest numbers that are carried from step to step. Steps may
    begin anywhere in the row. Where nodes were recorded as they were needed, one of a row of equals first and
    the others with the next step, it is better to begin at a level above the leaves: equals stand on one.
    """
    inner = core[edges.producers] & core[edges.consumers]
    edges = Edges(*[x[inner] for x in edges])
    codes = tape.codes[run.start : run.start + run.period]
    sums = np.isin(codes, list(tape.terms))
    found = [_best_cut(edges, core, sums, np.arange(run.period), run)]
    most = steps_of(run, core, found[0])
    for times, turn in _levels(tape, run, edges, core):
        delays = _best_cut(edges, core, sums, times, run, turn)
        if steps_of(run, core, delays) >= most - max(1, most // _LOST):
            found.append(delays)
    return min(found, key=lambda x: (_statements(edges, x, codes, core), _carried(edges, sums, x)))


def steps_of(run: Run, core: Marks, delays: Indices) -> int:
    """How many whole steps a run has."""
    firsts = (delays * run.period + np.arange(run.period))[core]
    return int((run.length - 1 - firsts.max()) // run.period) + 1


def _best_cut(
    edges: Edges, core: Marks, sums: Marks, times: Indices, run: Run, turn: int | None = None
) -> Indices:
    """The delays of steps that begin when the fewest numbers are alive, and of these the fewest sums.

    Args:
        times: of each node of the period, when it is computed.
        turn: how much later its next copy is; left out, a period.
    """
    producers, consumers, lags = edges
    turn = run.period if turn is None else turn
    reach = np.zeros(len(core), dtype=np.int64)  # how long each node is read
    np.maximum.at(reach, producers, times[consumers] + lags * turn - times[producers])
    # a node is alive at each of the next `reach` moments, which go round the turn; whole turns count for all
    changes = np.zeros(2 * turn + 1, dtype=np.int64)
    first = times % turn + 1
    weights = len(core) + 1 + sums
    np.add.at(changes, first, weights)
    np.add.at(changes, first + reach % turn, -weights)
    alive = np.cumsum(changes)[: 2 * turn].reshape(2, turn).sum(axis=0)
    best: Indices | None = None
    for cut in np.flatnonzero(alive == alive.min())[:_MOST_CUTS].tolist():
        begun = (times - cut) // turn
        delays = np.where(core, begun[core].max() - begun, 0)
        if best is None or steps_of(run, core, delays) > steps_of(run, core, best):
            best = delays
    assert best is not None
    return best


def _levels(tape: Tape, run: Run, edges: Edges, core: Marks) -> Iterator[tuple[Indices, int]]:
    """Levels at which nodes can be computed, as early and as late as may be, and how far a step rises."""
    start, period, length = run
    last = start + (length // period - 1) * period
    rise = int((tape.levels[last : last + period] - tape.levels[last - period : last])[core].max())
    producers, consumers, lags = edges
    if (early := _longest_paths(Edges(producers, consumers, lags), period, rise)) is not None:
        yield early, rise
    if (late := _longest_paths(Edges(consumers, producers, lags), period, rise)) is not None:
        yield late.max() - late, rise


def _longest_paths(edges: Edges, period: int, rise: int) -> Indices | None:
    """The longest paths that lead to nodes where each step begins that much higher; None if they grow on."""
    found = np.zeros(period, dtype=np.int64)
    for _ in range(_MOST_PASSES):
        longer = found.copy()
        np.maximum.at(longer, edges.consumers, found[edges.producers] + 1 - rise * edges.lags)
        if np.array_equal(longer, found):
            return found
        found = longer
    return None


def _carried(edges: Edges, sums: Marks, delays: Indices) -> tuple[int, int]:
    """How many numbers are carried from step to step, and how many of them are sums."""
    producers, consumers, lags = edges
    carried = np.zeros(len(delays), dtype=np.int64)
    np.maximum.at(carried, producers, lags + delays[producers] - delays[consumers])
    return int(carried.sum()), int(carried[sums].sum())


def _statements(edges: Edges, delays: Indices, codes: Indices, core: Marks) -> int:
    """How many arrays the nodes of a step are, by what they look like and how high they stand in it."""
    producers, consumers, lags = edges
    now = lags + delays[producers] - delays[consumers] == 0
    producers, consumers = producers[now], consumers[now]
    height = np.zeros(len(delays), dtype=np.int64)
    while True:
        higher = height.copy()
        np.maximum.at(higher, consumers, height[producers] + 1)
        if np.array_equal(higher, height):
            break
        height = higher
    return len(np.unique(height[core] * (int(codes.max()) + 1) + codes[core]))
