"""Loops in stretches, of which the way back keeps little: checkpoints, and what is computed once more.

A loop of T steps becomes a loop over stretches of about √T steps, in whose body stands the loop over the
steps of one. Its way back (:mod:`~autobp.compiler.through_time`) keeps the states before each stretch, and
computes a stretch once more before it goes back through it: so of what steps leave, one stretch's is there
at a time. What is computed step for step before the loop goes into its stretches, and so does what is
computed step for step after it and then summed over the steps (:mod:`~autobp.compiler.after_loops`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from autobp import ir
from autobp.compiler.adjoint import Adjoint, full, materialise
from autobp.compiler.after_loops import After, Late
from autobp.compiler.by_rows import Rows, is_computed, operands_by_rows, some_rows
from autobp.ir.substituting import of_operands

#: Of fewer steps, a stretch keeps about as much as all of them.
LEAST = 16
_FEW = 4  # rows of so many are few: they are computed once more


class Stretches(NamedTuple):
    """A program whose loops go from stretch to stretch.

    Attributes:
        outputs: the program.
        recomputed: its loops over stretches, whose bodies the way back computes once more.
    """

    outputs: ir.Program
    recomputed: frozenset[ir.Loop]


def in_stretches(outputs: ir.Program) -> Stretches:
    """The program of a graph's outputs, whose loops of at least :data:`LEAST` steps go by stretches."""
    writer = _Writer(outputs)
    results = tuple(map(writer.of, outputs.results))
    return Stretches(replace(outputs, results=results), frozenset(writer.recomputed))


def length_of_stretches(steps: int) -> int:
    """How many steps a stretch has: of the numbers just above the root of all, the one that leaves fewest."""
    root = math.isqrt(steps - 1) + 1
    return min(range(root, root + root // 4 + 1), key=lambda length: steps % length)


class Some(NamedTuple):
    """Some steps of a loop: from the ``first`` on ``times`` stretches, of ``length`` steps each."""

    first: int
    times: int
    length: int

    def are_in(self, steps: range) -> bool:
        """Whether they are all among some steps."""
        return steps.start <= self.first and self.first + self.times * self.length <= steps.stop


class Read(NamedTuple):
    """What is read of a loop's outputs, in order.

    Attributes:
        sums: over steps, which are carried from stretch to stretch.
        late: what is carried to be read in later steps.
        ends: what is read of the first step or the last.
        numbers: of the outputs that are left, for what else there is.
    """

    sums: Sequence[ir.Array]
    late: Sequence[Late]
    ends: Sequence[ir.View]
    numbers: Sequence[int]


def _stretches(after: After, read: Read) -> Iterator[Some]:
    """All steps of a loop, in stretches, of which each is in a sum, or there to be read late, or not."""
    steps = after.loop.steps
    cuts = {0, steps}
    for array in [*read.sums, *[x.array for x in read.late]]:
        found = after.steps(array)
        cuts |= {found.start, found.stop}
    for step in [after.ends[x] for x in read.ends]:
        cuts |= {step, step + 1}
    for first, stop in pairwise(sorted(cuts)):
        n = stop - first
        length = length_of_stretches(n) if n >= LEAST else n
        whole = n // length
        yield Some(first, whole, length)
        if n % length:
            yield Some(first + whole * length, 1, n % length)


def _computed_within(loops: Sequence[ir.Loop]) -> Iterator[ir.Array]:
    """What is computed step for step for loops to take."""
    stack = [x for loop in loops for x in loop.sequences]
    while stack:
        array = stack.pop()
        if is_computed(array):
            yield array
            parts = [(array.source, True)] if isinstance(array, ir.View) else operands_by_rows(array)
            stack += [x for x, by_row in parts or () if by_row]


class _Writer:
    """Writes a program anew: its loops by stretches, and what is read of few steps for these alone.

    Attributes:
        made: what arrays of the program have become.
        recomputed: the loops over stretches.
    """

    def __init__(self, program: ir.Program) -> None:
        self.made: dict[ir.Array, ir.Array] = {}
        self.recomputed: list[ir.Loop] = []
        loops = [x for x in program.arrays if isinstance(x, ir.Loop) and x.steps >= LEAST and not x.falling]
        self._after = {loop: After(program, loop) for loop in loops}
        self._loop_of = {read: x.loop for x in self._after.values() for read in (*x.sums, *x.ends)}
        self._needed = self._marked(program)
        self._parts: dict[ir.Array, ir.Array] = {}
        self._within = set(_computed_within(loops))

    def _marked(self, program: ir.Program) -> set[ir.Array]:
        """The arrays that are read where they are; what goes into the stretches of a loop alone is not."""
        needed = set(program.results)
        for array in reversed(program.arrays):
            if array not in needed:
                continue
            loop = self._loop_of.get(array)
            needed.update(array.operands if loop is None else (loop, *self._after[loop].around(array)))
        return needed

    def of(self, array: ir.Array) -> ir.Array:
        """What an array becomes."""
        for x in ir.in_order([array]):
            if x in self._needed and x not in self.made:
                self.made[x] = self._written(x)
        return self.made[array]

    def _written(self, array: ir.Array) -> ir.Array:
        if isinstance(array, ir.Loop) and array in self._after:
            self._parts.update(self._by_stretches(array))
        if array in self._parts:
            return self._parts[array]
        if isinstance(array, ir.View) and array.source in self._within:
            few = self._of_few_rows(array)
            if few is not None:
                return few
        return of_operands(array, self.made)

    def _of_few_rows(self, view: ir.View) -> ir.Array | None:
        """A view of few rows of what is computed in the stretches of a loop, from these rows alone."""
        source = view.source
        width = math.prod(source.shape[1:])
        reach = sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
        first, n = view.base // width, (view.base + reach) // width - view.base // width + 1
        if min(view.strides, default=0) < 0 or _FEW * n > source.shape[0]:
            return None
        rows = _FewRows(self, n).rows(source, first)
        return ir.View(rows, view.base - first * width, view.shape, view.strides)

    def _by_stretches(self, loop: ir.Loop) -> Mapping[ir.Array, ir.Array]:
        """What becomes of what a loop leaves, and of what goes into its stretches."""
        after, n = self._after[loop], len(loop.initial)
        read = self._read(after)
        states = [*map(self.of, loop.initial), *[_zeros(x) for x in read.sums]]
        states += [_zeros(ir.Absent((x.by, *x.array.shape[1:]), x.array.batched)) for x in read.late]
        found: dict[ir.Array, ir.Array] = {}
        left: dict[int, list[ir.Array]] = {number: [] for number in read.numbers}
        for some in _stretches(after, read):
            ends = [x for x in read.ends if after.ends[x] == some.first and some.times * some.length == 1]
            made = _Stretch(self, after, read, some).loop(states, ends)
            self.recomputed.append(made)
            results = [ir.Result(made, i) for i in range(len(made.body.results))]
            states = list(results[: len(states)])
            for view, rows in zip(ends, results[len(states) :], strict=False):
                width = math.prod(view.source.shape[1:])
                found[view] = ir.View(rows, view.base % width, view.shape, view.strides)
            for number, rows in zip(read.numbers, results[len(states) + len(ends) :], strict=True):
                left[number].append(rows)
            found[loop] = made
        found |= zip(read.sums, states[n:], strict=False)
        for x in after.results:
            if x.number < n:
                found[x] = states[x.number]
            elif x.number in left:
                found[x] = _joined(left[x.number], x)
        return found

    def _read(self, after: After) -> Read:
        mine = [x for x in self._needed if self._loop_of.get(x) is after.loop]
        sums = [x for x in after.sums if x in mine]
        ends = [x for x in after.ends if x in mine]
        n = len(after.loop.initial)
        numbers = sorted({x.number for x in after.results if x.number >= n and x in self._needed})
        return Read(sums, after.all_late([*sums, *ends]), ends, numbers)


class _FewRows(Rows):
    """Rows of what is computed outside loops."""

    def __init__(self, writer: _Writer, n: int) -> None:
        super().__init__(n)
        self._writer = writer

    def given(self, array: ir.Array, first: int, apart: int) -> ir.Array:
        return some_rows(self._writer.of(array), first, apart, (self.n,))

    def whole(self, array: ir.Array) -> ir.Array:
        return self._writer.of(array)


class _Stretch(Rows):
    """The body of a loop over some stretches: one of them."""

    def __init__(self, writer: _Writer, after: After, read: Read, some: Some) -> None:
        super().__init__(some.length)
        self._writer, self._after, self._read, self._some = writer, after, read, some
        self._sequences: dict[ir.Local, ir.Array] = {}
        self._invariants: dict[ir.Array, ir.Local] = {}
        self._carried = {x: ir.Local((x.by, *x.array.shape[1:]), x.array.batched) for x in read.late}
        self._late: dict[Late, ir.Array] = {}

    def loop(self, initial: Sequence[ir.Array], ends: Sequence[ir.View]) -> ir.Loop:
        """The loop over the stretches, which leaves the steps that ``ends`` are read of too."""
        loop = self._after.loop
        n = len(loop.initial)
        states = [ir.Local(x.shape, x.batched) for x in loop.body.arguments[:n]]
        self._inner = replace(
            loop,
            steps=self.n,
            initial=tuple(states),
            sequences=tuple(map(self.rows, loop.sequences)),
            invariants=tuple(map(self.whole, loop.invariants)),
        )
        so_far = [ir.Local(x.shape, x.batched) for x in self._read.sums]
        results = [
            *[ir.Result(self._inner, i) for i in range(n)],
            *map(self._added, so_far, self._read.sums),
            *map(self._handed_on, self._read.late),
            *[self.rows(x.source) for x in ends],
            *[ir.Result(self._inner, i) for i in self._read.numbers],
        ]
        arguments = (
            *states,
            *so_far,
            *self._carried.values(),
            *self._sequences,
            *self._invariants.values(),
        )
        body = ir.Program(arguments, tuple(results), {})
        sequences = tuple(self._sequences.values())
        return ir.Loop(self._some.times, body, tuple(initial), sequences, tuple(self._invariants))

    def _added(self, so_far: ir.Local, total: ir.Array) -> ir.Array:
        """A sum with the part of this stretch."""
        if not self._some.are_in(self._after.steps(total)):
            return so_far
        part = of_operands(total, {x: self._operand(total, x, True) for x in total.operands})
        return ir.Sum((so_far, part), total.shape, (1.0, 1.0))

    def _handed_on(self, late: Late) -> ir.Array:
        """The rows that the next stretch reads late."""
        return some_rows(self._with_earlier(late), self.n, 1, (late.by,))

    def _with_earlier(self, late: Late) -> ir.Array:
        """The rows that were handed on, and those of this stretch, or 0 where there are none."""
        if late not in self._late:
            array = late.array
            there = self._some.are_in(self._after.steps(array))
            absent = ir.Absent((self.n, *array.shape[1:]), array.batched)
            rows = self.rows(array) if there else _zeros(absent)
            self._late[late] = _joined_rows([self._carried[late], rows])
        return self._late[late]

    def _operand(self, array: ir.Array, x: ir.Array, by_row: bool) -> ir.Array:
        """What an array by step is computed from in this stretch."""
        if not by_row:
            return self.whole(x)
        if x not in self._after.shifts:
            return self.rows(x, -self._after.steps(array).start)
        late = Late(x, self._after.late(array, x))
        return some_rows(self._with_earlier(late), 0, 1, (self.n,)) if late.by else self.rows(x)

    def goes_into(self, array: ir.Array) -> bool:
        within = array in self._after.shifts and not isinstance(array, ir.Result)
        return within or is_computed(array)

    def operand(self, array: ir.Array, x: ir.Array, by_row: bool, first: int, apart: int) -> ir.Array:
        if array in self._after.shifts:
            return self._operand(array, x, by_row)
        return super().operand(array, x, by_row, first, apart)

    def source(self, view: ir.View, first: int, apart: int) -> ir.Array:
        if view in self._after.shifts:
            return self.rows(view.source)
        return super().source(view, first, apart)

    def given(self, array: ir.Array, first: int, apart: int) -> ir.Array:
        if array in self._after.shifts:
            assert isinstance(array, ir.Result)
            return ir.Result(self._inner, array.number)
        local = ir.Local((self.n, *array.shape[1:]), array.batched)
        shape = self._some.times, self.n
        self._sequences[local] = some_rows(
            self._writer.of(array), first + apart * self._some.first, apart, shape
        )
        return local

    def whole(self, array: ir.Array) -> ir.Array:
        if isinstance(array, ir.Constant):
            return array
        made = self._writer.of(array)
        if made not in self._invariants:
            self._invariants[made] = ir.Local(made.shape, made.batched)
        return self._invariants[made]


def _zeros(like: ir.Array) -> ir.Array:
    return full(materialise(Adjoint(0.0)), like)


def _joined(parts: Sequence[ir.Array], like: ir.Array) -> ir.Array:
    """What all steps leave, from what the stretches leave."""
    rest = like.shape[1:]
    return _joined_rows([ir.Reshape(x, (x.shape[0] * x.shape[1], *rest)) for x in parts])


def _joined_rows(parts: Sequence[ir.Array]) -> ir.Array:
    """The rows of arrays, one after another."""
    if len(parts) == 1:
        return parts[0]
    starts = [sum(x.shape[0] for x in parts[:i]) for i in range(len(parts) + 1)]
    whole = ir.Absent((starts[-1], *parts[0].shape[1:]), parts[0].batched)
    places = [some_rows(whole, start, 1, x.shape[:1]) for start, x in zip(starts, parts, strict=False)]
    added = (False,) * len(parts)
    return ir.Assemble(tuple(parts), tuple(places), added, False, whole.shape, whole.batched)
