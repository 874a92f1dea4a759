"""From a graph with loops to a program: what is outside loops in arrays as ever, their bodies in their own.

The body of a loop is grouped like a graph is. Its leaves are elements of the arrays around it, of the colours
that these have there, and of the states that steps carry on. What its arrays pick from around it is picked
once, for all steps, and handed to the loop: an invariant where all steps pick the same, a sequence where each
has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autobp.compiler.canonical import Canonical
from autobp.compiler.group import Builder, arguments_of
from autobp.compiler.layout import drop_repeated_axes
from autobp.compiler.loops.body import State, body_of
from autobp.compiler.loops.finding import Limits, loops_of
from autobp.compiler.loops.leaves import Leaves
from autobp.compiler.loops.order import Level, Placed, plain_levels
from autobp.compiler.names import Distinct
from autobp.ir import Array, Fill, Indices, Local, Loop, Program, Reshape, Result, Shape


def roll(
    canonical: Canonical,
    levels: Sequence[Level],
    n_parameters: int,
    samples: Sequence[Shape],
    taken: Iterable[str],
    limits: Limits,
) -> tuple[Program, dict[Array, Indices]]:
    """The program of a graph's outputs, as :func:`~autobp.compiler.without_loops.without_loops` makes it,
    but with loops.

    Args:
        levels: the order of nodes and loops.
        taken: names that no state of a loop may have.
        limits: which loops within the bodies of loops are worth being loops.
    """
    arguments = arguments_of(n_parameters, samples)
    distinct = Distinct()
    for name in taken:
        distinct(name)
    builder = LoopBuilder(canonical, arguments, distinct, limits)
    builder.build_levels(levels)
    output = builder.collect(canonical.outputs)
    return Program(arguments, (output,), {}), builder.scalars


class LoopBuilder(Builder):
    """Groups nodes into arrays, and makes loops of recurrences.

    Attributes:
        distinct: gives states their names; None where they get none.
        limits: which loops within the bodies of loops are worth being loops.
    """

    def __init__(
        self, graph: Canonical, arrays: Sequence[Array], distinct: Distinct | None, limits: Limits
    ) -> None:
        super().__init__(graph, arrays)
        self.distinct, self.limits = distinct, limits

    def build_levels(self, levels: Sequence[Level]) -> None:
        """Build everything, from the leaves up."""
        for level in levels:
            self.build_level(level.nodes)
            for placed in level.loops:
                _Maker(self, self.graph, placed).make()

    # ------------------------------------------------------------------------------ what bodies ask for

    def number(self, node: int) -> float | None:
        """The value of a constant; None of other nodes."""
        return self.graph.fixed.get(node)

    def places(self, nodes: Indices) -> tuple[Indices, Indices]:
        """Of nodes the numbers of their arrays, -1 of constants, and their positions there."""
        colours = np.array([self.colour[x] for x in nodes.tolist()], dtype=np.int64)
        assert self.graph.fixed.keys() >= set(nodes[colours < 0].tolist()), (
            "a node is read before it is built"
        )
        return colours, self.position[nodes]

    def array_of(self, nodes: Sequence[int], shape: Shape, samples: bool) -> Array:
        """Some nodes as an array of that shape, with samples where it should have them."""
        colours, positions = self.places(np.array(nodes))
        if (colours == colours[0]).all():
            found = self.fetch(int(colours[0]), positions.reshape(shape), full=True)
        else:
            found = Reshape(self.collect(nodes), shape)
        if not samples or found.batched:
            return found
        return Fill(found.source if isinstance(found, Fill) else found, shape, True)

    def has_samples(self, node: int) -> bool:
        """Whether a node depends on data."""
        return node not in self.graph.fixed and self.arrays[self.colour[node]].batched


class _BodyBuilder(LoopBuilder):
    """Groups the nodes of a loop's body, for some of whose colours the arrays are outside.

    Attributes:
        sequences, invariants: what is handed in from outside, by the arguments of the body that stand for it.
    """

    def __init__(
        self,
        graph: Canonical,
        outer: LoopBuilder,
        tables: Mapping[int, Indices],
        states: Sequence[Local],
        distinct: Distinct | None,
    ) -> None:
        super().__init__(graph, [*outer.arrays, *states], distinct, outer.limits)
        self._outer = outer
        self._tables = tables
        self.sequences: dict[Local, Array] = {}
        self.invariants: dict[Local, Array] = {}

    def picked(self, colour: int, indices: Indices) -> Array:
        table = self._tables.get(colour)
        if table is None:
            return super().picked(colour, indices)
        indices = drop_repeated_axes(indices)
        key = (colour, indices.shape, indices.tobytes())
        if key not in self.fetched:
            taken = table[:, indices]
            if (taken == taken[:1]).all():
                array = self._outer.fetch(colour, taken[0])
                local = Local(array.shape, array.batched)
                self.invariants[local] = array
            else:
                array = self._outer.fetch(colour, taken, full=True)
                local = Local(array.shape[1:], array.batched)
                self.sequences[local] = array
            self.fetched[key] = local
        return self.fetched[key]

    def settle(self, nodes: Sequence[int], colour: int, positions: Indices) -> None:
        self.position[np.array(nodes)] = positions
        for node in nodes:
            self.colour[node] = colour  # and no array's scalars: a node of the body is many of the graph's

    def output(self, nodes: Sequence[int]) -> tuple[Array, Indices]:
        """An array with some nodes of one colour, and their positions in it."""
        colours, positions = self.places(np.array(nodes))
        colour = int(colours[0])
        found, places = np.unique(positions, return_inverse=True)
        if colour not in self._tables and len(found) == self.arrays[colour].size:
            return self.arrays[colour], positions
        return self.fetch(colour, found, full=True), places.reshape(-1).astype(np.int64)


@dataclass
class _StateArray:
    """States that are carried on as one array, in their order there."""

    states: list[State]
    shape: Shape
    samples: bool


class _Maker:
    """Makes one loop."""

    def __init__(self, outer: LoopBuilder, graph: Canonical, placed: Placed) -> None:
        self._outer = outer
        self.graph = graph
        self._loop = placed.loop
        self._read = placed.read
        self._leaves = Leaves(outer, placed.loop)
        lags = placed.loop.lags()
        self._states = [(k, m) for k, lag in enumerate(lags) for m in range(1, lag + 1)]
        self._results = [
            k
            for k, member in enumerate(placed.loop.body)
            if lags[k] or not placed.read.isdisjoint(member.nodes.tolist())
        ]

    def make(self) -> None:
        """Add the loop, and say where the nodes are that are read outside it."""
        arrays = self._arranged(self._with_samples())
        distinct = self._outer.distinct
        builder, nodes, states = self._built(arrays, distinct)
        numbered = [f"h{i + 1}" for i in range(len(states))] if len(states) > 1 else ["h"]
        names: dict[Array, str] = {}
        if distinct is not None:
            names.update(zip(states, map(distinct, numbered), strict=True))
        following = [
            builder.array_of([nodes[k, m - 1] for k, m in x.states], x.shape, x.samples) for x in arrays
        ]
        last, all_steps = self._left()
        alike = self._alike(builder, nodes, all_steps)
        outputs = [(same, *builder.output([nodes[k, 0] for k in same])) for same in alike]
        made = Loop(
            self._loop.steps,
            Program(
                (*states, *builder.sequences, *builder.invariants),
                (*following, *[array for _, array, _ in outputs]),
                names,
            ),
            tuple([self._initial(x) for x in arrays]),
            tuple(builder.sequences.values()),
            tuple(builder.invariants.values()),
        )
        for number, x in enumerate(arrays):
            places = [i for i, (k, m) in enumerate(x.states) if m == 1 and k in last]
            if places:
                final = [int(self._loop.body[x.states[i][0]].nodes[-1]) for i in places]
                self._outer.settle(final, self._outer.add(Result(made, number)), np.array(places))
        for number, (same, array, positions) in enumerate(outputs, start=len(arrays)):
            steps = np.arange(self._loop.steps, dtype=np.int64) * array.size
            everywhere = np.concatenate([self._loop.body[k].nodes for k in same])
            there = (positions[:, None] + steps).reshape(-1)[everywhere >= 0]
            left = everywhere[everywhere >= 0].tolist()
            self._outer.settle(left, self._outer.add(Result(made, number)), there)

    def _built(
        self, arrays: Sequence[_StateArray], distinct: Distinct | None = None
    ) -> tuple[_BodyBuilder, Mapping[State, int], list[Local]]:
        """The body, built for states in these arrays."""
        states = [Local(x.shape, x.samples) for x in arrays]
        first = len(self._outer.arrays)
        places = {state: (first + g, i) for g, x in enumerate(arrays) for i, state in enumerate(x.states)}
        body = body_of(self.graph, self._loop, self._leaves, places, self._results)
        found = loops_of(body.graph, self._outer.limits)
        builder = _BodyBuilder(found.graph, self._outer, self._leaves.tables, states, distinct)
        builder.build_levels(found.levels or plain_levels(found.graph))
        return builder, body.nodes, states

    def _with_samples(self) -> list[bool]:
        """Whether each node of the body depends on data, in some step."""
        found = [
            any(self._outer.has_samples(x) for (k, _), x in self._loop.before.items() if k == number)
            for number in range(len(self._loop.body))
        ]
        outside = {}
        for column in self._loop.columns():
            outside[column.tobytes()] = any(map(self._outer.has_samples, set(column.tolist())))
        while True:
            before = list(found)
            for number, member in enumerate(self._loop.body):
                for column, own in zip(member.operands.T, member.own, strict=True):
                    if outside[column.tobytes()] if own is None else found[own.number]:
                        found[number] = True
            if found == before:
                return found

    def _arranged(self, samples: Sequence[bool]) -> list[_StateArray]:
        """The states as arrays: those that one array of the body computes are one."""
        alike: dict[tuple[int, bool], list[State]] = {}
        for k, m in self._states:
            alike.setdefault((m, samples[k]), []).append((k, m))
        draft = [_StateArray(x, (len(x),), flag) for (_, flag), x in alike.items()]
        if len(self._states) == len(draft):
            return draft
        builder, nodes, _ = self._built(draft)
        arrays: dict[tuple[int, int, bool], list[State]] = {}
        place = {}
        for k, m in self._states:
            colours, positions = builder.places(np.array([nodes[k, 0]]))
            arrays.setdefault((m, int(colours[0]), samples[k]), []).append((k, m))
            place[k] = int(positions[0])
        found = []
        for (_, colour, flag), x in sorted(arrays.items()):
            x.sort(key=lambda state: place[state[0]])
            shape = builder.arrays[colour].shape if colour >= 0 else ()
            whole = [place[k] for k, _ in x] == list(range(int(np.prod(shape, dtype=np.int64))))
            found.append(_StateArray(x, shape if whole and shape else (len(x),), flag))
        return found

    def _initial(self, x: _StateArray) -> Array:
        return self._outer.array_of([self._loop.before[state] for state in x.states], x.shape, x.samples)

    def _left(self) -> tuple[set[int], list[int]]:
        """The nodes of the body of which the last state is read outside, and those read after more steps."""
        last, all_steps = set(), []
        for k, member in enumerate(self._loop.body):
            read = [t for t, node in enumerate(member.nodes.tolist()) if node in self._read]
            if read == [self._loop.steps - 1] and (k, 1) in self._states:
                last.add(k)
            elif read:
                all_steps.append(k)
        return last, all_steps

    def _alike(
        self, builder: LoopBuilder, nodes: Mapping[State, int], numbers: Sequence[int]
    ) -> list[list[int]]:
        """Nodes of the body by the array that they are in."""
        found: dict[int, list[int]] = {}
        for k in numbers:
            colours, _ = builder.places(np.array([nodes[k, 0]]))
            found.setdefault(int(colours[0]), []).append(k)
        return list(found.values())
