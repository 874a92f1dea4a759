"""Where steps begin: which of a node's copies belong to one step of a loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.loops.periods import Run
from autobp.compiler.loops.tape import Tape
from autobp.ir import Indices

_LOST = 8  # of so many steps one may be lost to steps that begin better
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

    The best has the fewest statements, then the fewest numbers that are carried from step to step. Steps can
    begin anywhere in the period. Where nodes were recorded as they were needed, one of a row of equals first
    and the others with the next step, it is better to begin at a level above the leaves: equals stand on one.
    """
    inner = core[edges.producers] & core[edges.consumers]
    edges = Edges(*[x[inner] for x in edges])
    codes = tape.codes[run.start : run.start + run.period]
    longest = max(1, run.length // run.period // _LOST)
    candidates = [_best_cut(edges, run)]
    candidates += [delays for delays in _by_level(tape, run, edges, core) if delays.max() <= longest]
    candidates[1:] = sorted(candidates[1:], key=lambda delays: (_states(edges, delays), delays.max()))[:1]

    def cost(delays: Indices) -> tuple[int, int]:
        return _statements(edges, delays, codes, core), _states(edges, delays)

    return min(candidates, key=cost)


def _best_cut(edges: Edges, run: Run) -> Indices:
    """Steps that begin where the fewest numbers are alive, and if that can be, where no step is lost."""
    period = run.period
    reach = np.zeros(period, dtype=np.int64)  # how far on each node is read
    far = edges.consumers + edges.lags * period - edges.producers
    np.maximum.at(reach, edges.producers, far)
    # a node is alive at each of the next `reach` places, which go round the period
    changes = np.zeros(2 * period + 1, dtype=np.int64)
    first = np.arange(period) + 1
    np.add.at(changes, first, 1)
    np.add.at(changes, first + reach % period, -1)
    alive = np.cumsum(changes)[: 2 * period].reshape(2, period).sum(axis=0)
    cuts = np.arange(period)
    cut = int(np.lexsort((cuts, cuts > run.length % period, alive))[0])
    return (cuts < cut).astype(np.int64)


def _by_level(tape: Tape, run: Run, edges: Edges, core: Marks) -> Iterator[Indices]:
    """Steps that begin at a level, where every step lies as far above the last as the tallest path rises."""
    start, period, length = run
    last = start + (length // period - 1) * period
    rise = int((tape.levels[last : last + period] - tape.levels[last - period : last])[core].max())
    levels = _steady_levels(edges, period, rise)
    if levels is not None:
        for cut in range(rise):
            steps = (levels - cut) // rise
            yield np.where(core, steps[core].max() - steps, 0)


def _steady_levels(edges: Edges, period: int, rise: int) -> Indices | None:
    """The longest paths that lead to nodes where each step begins that much higher; None if they grow on."""
    levels = np.zeros(period, dtype=np.int64)
    for _ in range(_MOST_PASSES):
        higher = levels.copy()
        np.maximum.at(higher, edges.consumers, levels[edges.producers] + 1 - rise * edges.lags)
        if np.array_equal(higher, levels):
            return levels
        levels = higher
    return None


def _states(edges: Edges, delays: Indices) -> int:
    """How many numbers are carried from step to step."""
    producers, consumers, lags = edges
    carried = np.zeros(len(delays), dtype=np.int64)
    np.maximum.at(carried, producers, lags + delays[producers] - delays[consumers])
    return int(carried.sum())


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
