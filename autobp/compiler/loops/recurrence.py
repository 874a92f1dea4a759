"""A recurrence: nodes that are computed step after step from those of the steps before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autobp.compiler.canonical import Canonical
from autobp.compiler.loops.periods import Run
from autobp.compiler.loops.tape import Tape
from autobp.compiler.loops.timing import best_delays, core_of, edges_of, steps_of
from autobp.ir import Floats, Indices


@dataclass(frozen=True)
class Own:
    """An operand that is the loop's own: node ``number`` of the body, so many steps before (0: the same)."""

    number: int
    lag: int


@dataclass(frozen=True, eq=False)
class BodyNode:
    """One node of the body of a loop, in all steps.

    Attributes:
        nodes: (steps,) its numbers in the graph; -1 in steps of which nothing outside can be read.
        operands: (steps, q) the numbers of its operands, each column the copies of one.
        own: of each operand, which node of the body it is; None where it comes from outside.
        terms: of a sum, of each term the sign and whether it is a product; empty for others.
        offsets: of a sum, (steps,) its constants; empty for others.
    """

    nodes: Indices
    operands: Indices
    own: Sequence[Own | None]
    terms: Sequence[tuple[int, bool]]
    offsets: Floats


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A loop in a graph.

    Attributes:
        body: the nodes of a step, operands first.
        before: what stands for node k of the body m steps before the first, by (k, m), m from 1.
        families: operands from outside that nodes computed alike have in one place, whatever they are.
    """

    body: Sequence[BodyNode]
    before: Mapping[tuple[int, int], int]
    families: Sequence[Sequence[Indices]] = ()

    @property
    def steps(self) -> int:
        """How often the body is run."""
        return len(self.body[0].nodes)

    def members(self) -> set[int]:
        """The nodes of the graph that it computes."""
        found = {node for member in self.body for node in member.nodes.tolist()}
        return found - {-1}

    def columns(self) -> Iterator[Indices]:
        """The operands that come from outside, but for states: of each, (steps,) nodes of the graph."""
        for member in self.body:
            for column, own in zip(member.operands.T, member.own, strict=True):
                if own is None:
                    yield column

    def statements(self, codes: Indices) -> int:
        """About how many arrays a step is: nodes of one code are one if they stand as high in it.

        Args:
            codes: what the nodes of the graph look like, by number.
        """
        heights: list[int] = []
        for member in self.body:
            inner = [heights[own.number] for own in member.own if own is not None and own.lag == 0]
            heights.append(1 + max(inner, default=0))
        looks = codes[[member.nodes[0] for member in self.body]].tolist()
        return len(set(zip(heights, looks, strict=True)))

    def reads_itself(self) -> bool:
        """Whether what a step takes from outside, or what stands before the first, is a node of the loop."""
        members = np.concatenate([member.nodes for member in self.body])
        outside = [*self.columns(), np.array(list(self.before.values()), dtype=np.int64)]
        return bool(np.isin(np.concatenate(outside), members).any())

    def parts(self) -> list[Recurrence]:
        """The recurrences of which it consists, none of which reads another."""
        part = list(range(len(self.body)))
        while True:
            before = list(part)
            for k, member in enumerate(self.body):
                together = [k, *[own.number for own in member.own if own is not None]]
                least = min(part[x] for x in together)
                for x in together:
                    part[x] = least
            if part == before:
                return [self._part([k for k, x in enumerate(part) if x == p]) for p in sorted(set(part))]

    def _part(self, numbers: Sequence[int]) -> Recurrence:
        place = {k: i for i, k in enumerate(numbers)}
        body = []
        for k in numbers:
            own = [None if x is None else Own(place[x.number], x.lag) for x in self.body[k].own]
            body.append(replace(self.body[k], own=own))
        return Recurrence(body, {(place[k], m): x for (k, m), x in self.before.items() if k in place})

    def lags(self) -> list[int]:
        """Of each node of the body, how many steps later it is still read."""
        found = [0] * len(self.body)
        for member in self.body:
            for own in member.own:
                if own is not None:
                    found[own.number] = max(found[own.number], own.lag)
        return found


def are_same(graph: Canonical, x: int, y: int) -> bool:
    """Whether two nodes are one, or the same number; -0.0 and 0.0 are two."""
    return x == y or (x in graph.fixed and y in graph.fixed and repr(graph.fixed[x]) == repr(graph.fixed[y]))


def recurrence_of(tape: Tape, run: Run, least: int) -> Recurrence | None:
    """The recurrence in a stretch of a tape: the nodes on cycles through the steps, and between such.

    What no cycle leads to, and what leads to no cycle, is no part of it: that is computed for all steps at
    once. None where nothing is left, or less than so many steps.
    """
    start, period, _ = run
    edges = edges_of(tape, run)
    if not edges.lags.any():
        return None  # no step reads one before
    core = core_of(edges, period)
    if not core.any():
        return None
    delays = best_delays(tape, run, edges, core)
    firsts = np.sort((delays * period + np.arange(period))[core])
    steps = steps_of(run, core, delays)
    while steps >= least:
        # what the first steps read of steps before may differ; those steps then stand before the loop
        places = start + firsts + np.arange(steps, dtype=np.int64)[:, None] * period
        found = _folded(tape, places)
        if found is not None:
            return found
        start, steps = start + period, steps - 1
    return None


def _folded(tape: Tape, places: Indices) -> Recurrence | None:
    """The recurrence of nodes of a tape, (steps, nodes of a step), all of which must fit the last step.

    None where some node reads another than its place in the step says, or two read different nodes in the
    place of one.
    """
    steps = len(places)
    step_of, number_of = np.full((2, len(tape) + 1), -1, dtype=np.int64)  # the last: of leaves, and constants
    step_of[places] = np.arange(steps)[:, None]
    number_of[places] = np.arange(places.shape[1])
    body: list[BodyNode] = []
    before: dict[tuple[int, int], int] = {}
    for column in places.T:
        count = int(tape.starts[column[0] + 1] - tape.starts[column[0]])
        slots = tape.starts[column][:, None] + np.arange(count)
        operands, sources = tape.operands[slots], tape.sources[slots]
        own: list[Own | None] = []
        for x, source in zip(operands.T, sources.T, strict=True):
            inside = step_of[source] >= 0
            if not inside[-1]:
                if inside.any():
                    return None
                own.append(None)
                continue
            number, lag = int(number_of[source[-1]]), steps - 1 - int(step_of[source[-1]])
            if inside[:lag].any() or (source[lag:] != places[: steps - lag, number]).any():
                return None
            for t in range(lag):
                node = int(x[t])
                if not are_same(tape.graph, before.setdefault((number, lag - t), node), node):
                    return None
            own.append(Own(number, lag))
        nodes = tape.nodes[column]
        terms = tape.terms.get(int(tape.codes[column[0]]), ())
        offsets = [tape.graph.offsets[node] for node in nodes.tolist()] if terms else []
        body.append(BodyNode(nodes, operands, own, terms, np.array(offsets)))
    return Recurrence(body, before)
