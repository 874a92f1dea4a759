"""Loops in stretches, of which the way back keeps little: checkpoints, and what is computed once more.

A loop of T steps becomes a loop over stretches of about √T steps, in whose body stands the loop over the
steps of one. Its way back (:mod:`~autobp.compiler.through_time`) keeps the states before each stretch, and
computes a stretch once more before it goes back through it: so of what steps leave, one stretch's is there
at a time. What is computed step for step before the loop goes into its stretches, and so does what is
computed step for step after it and then summed over the steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from autobp import ir
from autobp.compiler.adjoint import Adjoint, full, materialise
from autobp.compiler.by_rows import Rows, is_computed, operands_by_rows, some_rows
from autobp.compiler.substituting import of_operands

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


class _After:
    """What is computed from what a loop leaves by step.

    Attributes:
        dependent: all that depends on the loop.
        by_step: what is computed step for step, what the loop leaves among it.
        sums: the sums of that over the steps.
        results: what it leaves.
    """

    def __init__(self, program: ir.Program, loop: ir.Loop) -> None:
        self.loop = loop
        self.dependent: set[ir.Array] = {loop}
        self.by_step: set[ir.Array] = set()
        self.sums: list[ir.Array] = []
        self.results: list[ir.Result] = []
        for array in program.arrays:
            if not self.dependent.isdisjoint(array.operands):
                self.dependent.add(array)
                self._look_at(array)

    def _look_at(self, array: ir.Array) -> None:
        if isinstance(array, ir.Result) and array.loop is self.loop:
            self.results.append(array)
            if array.number >= len(self.loop.initial):
                self.by_step.add(array)
        elif isinstance(array, ir.Reduce | ir.RowDot) and array.shape == (1,) and _is_sum(array):
            steps = (self.loop.steps,)
            if all(x.shape == steps and self._is_known(x, True) for x in array.operands):
                self.sums.append(array)
        elif array.shape[:1] == (self.loop.steps,):
            parts = operands_by_rows(array)
            if parts is not None and all(self._is_known(x, by_row) for x, by_row in parts):
                self.by_step.add(array)

    def _is_known(self, x: ir.Array, by_row: bool) -> bool:
        return x not in self.dependent or (by_row and x in self.by_step)

    def around(self, total: ir.Array) -> Iterator[ir.Array]:
        """What a sum over the steps needs that does not depend on the loop."""
        seen, stack = {total}, [total]
        while stack:
            for x in stack.pop().operands:
                if x not in self.dependent:
                    yield x
                elif x in self.by_step and x not in seen:
                    seen.add(x)
                    stack.append(x)


def _is_sum(array: ir.Array) -> bool:
    return isinstance(array, ir.RowDot) or (isinstance(array, ir.Reduce) and array.ufunc == "add")


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
        self._after = {loop: _After(program, loop) for loop in loops}
        self._loop_of = {total: x.loop for x in self._after.values() for total in x.sums}
        self._needed = self._marked(program)
        self._parts: dict[ir.Array, ir.Array] = {}
        self._within = set(_computed_within(loops))

    def _marked(self, program: ir.Program) -> set[ir.Array]:
        """The arrays that are read where they are; what is summed over the steps of a loop is not."""
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
        """What becomes of what a loop leaves, and of the sums over its steps."""
        after, n = self._after[loop], len(loop.initial)
        sums = [x for x in after.sums if self._loop_of[x] is loop and x in self._needed]
        numbers = sorted({x.number for x in after.results if x.number >= n and x in self._needed})
        length = length_of_stretches(loop.steps)
        count, rest = divmod(loop.steps, length)
        states = [*map(self.of, loop.initial), *[_zeros(x) for x in sums]]
        made: list[ir.Loop] = []
        for first, times, steps in ((0, count, length), (count * length, 1, rest)):
            if steps:
                made.append(_Stretch(self, after, sums, numbers, first, times, steps).loop(states))
                states = [ir.Result(made[-1], i) for i in range(len(states))]
        self.recomputed += made
        found = {loop: made[-1], **dict(zip(sums, states[n:], strict=True))}
        for x in after.results:
            if x.number < n:
                found[x] = states[x.number]
            elif x.number in numbers:
                found[x] = _joined([ir.Result(y, len(states) + numbers.index(x.number)) for y in made], x)
        return found


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
    """The body of a loop over stretches: one of them.

    Args:
        sums: over the steps, which are carried from stretch to stretch.
        numbers: of the outputs that are left.
        first: the first step.
        count, length: how many stretches there are, of so many steps each.
    """

    def __init__(
        self,
        writer: _Writer,
        after: _After,
        sums: Sequence[ir.Array],
        numbers: Sequence[int],
        first: int,
        count: int,
        length: int,
    ) -> None:
        super().__init__(length)
        self._writer, self._after, self._sums, self._numbers = writer, after, sums, numbers
        self._first, self._count = first, count
        self._sequences: dict[ir.Local, ir.Array] = {}
        self._invariants: dict[ir.Array, ir.Local] = {}

    def loop(self, initial: Sequence[ir.Array]) -> ir.Loop:
        """The loop over the stretches."""
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
        so_far = [ir.Local(x.shape, x.batched) for x in self._sums]
        sums = [
            ir.Sum((before, of_operands(x, {y: self.rows(y) for y in x.operands})), x.shape, (1.0, 1.0))
            for before, x in zip(so_far, self._sums, strict=True)
        ]
        following = [ir.Result(self._inner, i) for i in range(n)]
        outputs = [ir.Result(self._inner, i) for i in self._numbers]
        body = ir.Program(
            (*states, *so_far, *self._sequences, *self._invariants.values()),
            (*following, *sums, *outputs),
            {},
        )
        return ir.Loop(
            self._count, body, tuple(initial), tuple(self._sequences.values()), tuple(self._invariants)
        )

    def goes_into(self, array: ir.Array) -> bool:
        within = array in self._after.by_step and not isinstance(array, ir.Result)
        return within or is_computed(array)

    def given(self, array: ir.Array, first: int, apart: int) -> ir.Array:
        if array in self._after.by_step:
            assert isinstance(array, ir.Result)
            return ir.Result(self._inner, array.number)
        local = ir.Local((self.n, *array.shape[1:]), array.batched)
        shape = self._count, self.n
        self._sequences[local] = some_rows(self._writer.of(array), first + apart * self._first, apart, shape)
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
    flat = [ir.Reshape(x, (x.shape[0] * x.shape[1], *rest)) for x in parts]
    if len(flat) == 1:
        return flat[0]
    whole = ir.Absent(like.shape, like.batched)
    starts = [0, flat[0].shape[0]]
    places = [some_rows(whole, start, 1, x.shape[:1]) for start, x in zip(starts, flat, strict=True)]
    return ir.Assemble(tuple(flat), tuple(places), (False, False), False, like.shape, like.batched)
