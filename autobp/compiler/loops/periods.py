"""Where a row of nodes repeats: runs of what looks alike, and stretches of them that compute alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.loops.tape import Tape, order_of
from autobp.ir import Indices

Marks = np.ndarray[Any, np.dtype[np.bool_]]


class Run(NamedTuple):
    """Elements start … start + length - 1 of a row, of which each is like the one a period before."""

    start: int
    period: int
    length: int


def runs_of(codes: Indices, least: int) -> list[Run]:
    """The longest runs of a row, with at least so many repetitions, in time n·log n.

    Words of 1, 2, 4 … codes are numbered, each length from the one before. Where the last word equal to the
    one at i starts g before it, and the two touch or overlap, the row repeats with the period g there.
    """
    n = len(codes)
    order = order_of(codes)
    repeats = codes[order[1:]] == codes[order[:-1]]  # of words in order, whether each is the one before again
    found: dict[tuple[int, int], int] = {}
    size = 1
    while len(order) > 1:
        gaps = np.zeros(len(order), dtype=np.int64)
        gaps[order[1:][repeats]] = (order[1:] - order[:-1])[repeats]
        gaps[(gaps > size) | (gaps <= size // 2)] = 0  # shorter ones were seen with shorter words
        edges = np.flatnonzero(gaps[1:] != gaps[:-1]) + 1
        first, last = np.append(0, edges), np.append(edges, len(gaps))
        gap = gaps[first]
        lengths = last - first + size - 1 + gap
        for i in np.flatnonzero((gap > 0) & (lengths >= least * gap)).tolist():
            key = int(first[i] - gap[i]), int(gap[i])
            found[key] = max(int(lengths[i]), found.get(key, 0))
        if size * least > n:
            break
        order, repeats = _doubled(order, repeats, size)
        size *= 2
    return [Run(start, period, length) for (start, period), length in found.items()]


def _doubled(order: Indices, repeats: Marks, size: int) -> tuple[Indices, Marks]:
    """The words of twice the size in order, and whether each is the one before again."""
    numbers = np.zeros(len(order), dtype=np.int64)
    numbers[order[1:]] = np.cumsum(~repeats)
    halves = order[order >= size] - size  # in order of their second halves
    order = halves[order_of(numbers[halves])]
    first, second = numbers[order], numbers[order + size]
    return order, (first[1:] == first[:-1]) & (second[1:] == second[:-1])


def stretches(tape: Tape, run: Run, least: int) -> list[Run]:
    """The longest stretches of a run in which every step computes from the steps before it as the next does.

    An operand either moves on with the steps, or stands before the stretch, whatever it is.
    """
    start, period, length = run
    end = start + length
    needed = _needed(tape, run)
    second = start + period
    found = []
    for k in np.flatnonzero(needed >= start).tolist():
        i, need = second + k, int(needed[k])
        if need < start or i < start + period:
            continue
        if i - start >= least * period:
            found.append(Run(start, period, i - start))
        start = need + 1
    if end - start >= least * period:
        found.append(Run(start, period, end - start))
    return found


def _needed(tape: Tape, run: Run) -> Indices:
    """Of the nodes from the second step on, the last operand that does not move on with the steps, or -1.

    A stretch with both the node and the one before it has to start after that.
    """
    start, period, length = run
    starts, sources = tape.starts, tape.sources
    counts = np.diff(starts[start + period : start + length + 1])
    before = np.diff(starts[start : start + length - period + 1])
    assert (counts == before).all(), "nodes that look alike have as many operands"
    a, b = int(starts[start + period]), int(starts[start + length])
    shifts = starts[start + period : start + length] - starts[start : start + length - period]
    shift = np.repeat(shifts, counts)
    now, then = sources[a:b], sources[np.arange(a, b) - shift]
    found = np.full(length - period, -1, dtype=np.int64)
    off = (now - period != then) & (now >= 0)
    np.maximum.at(found, np.repeat(np.arange(length - period), counts)[off], now[off])
    return found


def finer_runs(tape: Tape, run: Run, least: int) -> list[Run]:
    """Runs of other periods within a run: of nodes whose operands stand as far before them too.

    Rows within a step look like steps. They are not, where their operands are not as far away.
    """
    start, _, length = run
    a, b = int(tape.starts[start]), int(tape.starts[start + length])
    counts = np.diff(tape.starts[start : start + length + 1])
    owners = np.repeat(np.arange(start, start + length), counts)
    slots = np.arange(a, b) - np.repeat(tape.starts[start : start + length], counts)
    sources = tape.sources[a:b]
    distances = np.where(sources >= start, owners - sources, 0)
    hashes = np.zeros(length, dtype=np.uint64)
    np.add.at(hashes, owners - start, _mixed(distances, slots))
    hashes += tape.codes[start : start + length].astype(np.uint64) * np.uint64(0x94D049BB133111EB)
    found = runs_of(hashes.view(np.int64), least)
    return [Run(start + x, period, n) for x, period, n in found if period != run.period]


def _mixed(x: Indices, y: Indices) -> np.ndarray[Any, np.dtype[np.uint64]]:
    mixed: np.ndarray[Any, np.dtype[np.uint64]] = x.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= y.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed
