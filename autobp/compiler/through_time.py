"""The derivative of a loop: backpropagation through time.

The adjoints of the states are carried back by a loop whose steps run in the other order, and whose body is
the derivative of the forward body. What that body needs of a step is left by the forward loop, one more
output each: the states before the step, and what was computed from them. What is as quickly computed as
read, it computes again.

A step adds to the adjoint of what is the same in every step. Where it adds a product, as for a matrix of
weights, the factors are left by step, and one product sums over the steps as well: Σ_t δ_tᵀ·h_t. Of other
small things what each step adds is left, and summed after the loop; the rest is summed up as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from autobp import ir
from autobp.compiler.adjoint import Adjoint, Piece, combine, full, materialise
from autobp.compiler.bounds import Bounds, bounds_of_loop
from autobp.ir.substituting import substituted

if TYPE_CHECKING:
    from autobp.compiler.differentiate import Reverse

_FEW = 64  # elements that a step may leave of an adjoint that is summed up


def through_time(reverse: Reverse, loop: ir.Loop) -> None:
    """Give what a loop is computed from its adjoints, which a loop backwards computes.

    Args:
        reverse: the reverse pass through the program that the loop is in. It has the adjoints of the loop's
            results.
    """
    given = {
        number: combine([(None, adjoint) for adjoint in adjoints], loop)
        for number, adjoints in reverse.left.pop(loop, {}).items()
    }
    if given:
        _WayBack(reverse, loop, given).run()


@dataclass(frozen=True)
class _Left:
    """What is known by step: an array of the forward or of the backward body."""

    array: ir.Array


class _WayBack:
    """Makes the loop that goes back through another, and the forward loop that leaves what it needs.

    Attributes:
        given: the adjoints of the loop's results, by number.
        again: whether a step is computed once more before the way back goes through it, from the states
            before it: then these are all that is kept, and no array of the forward body is there to be read.
        samples: whether adjoints of states are each row's own, also where the states are the same for all.
        adjoints: of the states before a step, as the backward body gets them, by state.
        sequences, invariants: the other arguments of the backward body, and what is handed in for them.
        leaves: the arrays of the backward body that it leaves by step.
        kept: the arrays of the forward body that the loop is to leave by step.
    """

    def __init__(self, reverse: Reverse, loop: ir.Loop, given: Mapping[int, Adjoint]) -> None:
        self.reverse, self.loop, self.given = reverse, loop, given
        self.again = loop in reverse.recomputed
        self.n = len(loop.initial)
        self.arguments = loop.body.arguments
        self.results: Sequence[ir.Array] = loop.body.results
        self.outside: dict[ir.Array, ir.Array] = dict(
            zip(self.arguments, (*loop.initial, *loop.sequences, *loop.invariants), strict=True)
        )
        self.samples = reverse.by_row and any(x.batched for x in reverse.order)
        self.adjoints = [ir.Local(x.shape, x.batched or self.samples) for x in self.arguments[: self.n]]
        self.stacks: dict[ir.Array, ir.Array] = {}
        self.sequences: dict[ir.Local, ir.Array | _Left] = {}
        self.invariants: dict[ir.Local, ir.Array] = {}
        self.seeds = {number: self.seed(number, g) for number, g in given.items() if number >= self.n}

    def run(self) -> None:
        loop, n = self.loop, self.n
        body = self.differentiated()
        states = [self.arguments[i] for i in self.carried]
        following = [self.whole(_sum_of(body.pieces.get(x), x), x) for x in states]
        by_step = {x: combine(body.pieces[x], x) for x in self.arguments[n:] if self.is_sequence(x, body)}
        summed = {x: body.pieces[x] for x in self.arguments[n + len(loop.sequences) :] if x in body.pieces}
        parts = [g.array for pieces in summed.values() for _, g in pieces if g.array is not None]
        wanted = [full(g.array, x) for x, g in by_step.items() if g.array is not None]
        made = substituted([*self.results, *following, *wanted, *parts], body.loops)
        if not self.again:
            self.results = [made[x] for x in self.results]
        self.names = {made.get(x, x): name for x, name in loop.body.names.items()}
        self.forward_arrays = (
            set(self.arguments) if self.again else _forward(self.results, self.arguments, made.values())
        )
        self.kept: list[ir.Array] = list(self.results[n:])
        self.leaves: list[ir.Array] = []
        self.accumulated: list[tuple[ir.Local, ir.Array]] = []
        stacks = iter([self.left(made[x]) for x in wanted])
        sums = {
            x: [(place, g, None if g.array is None else self.summing(made[g.array])) for place, g in pieces]
            for x, pieces in summed.items()
        }
        forward, backward = self.loops([made[x] for x in following])
        if forward is not loop:
            self.reverse.loops[loop] = forward
        self.forward, self.backward = forward, backward
        for k, x in enumerate(states):
            self.give(x, Adjoint(array=ir.Result(backward, k)), body)
        for x, g in by_step.items():
            array = g.array if g.array is None else self.stack(next(stacks))
            self.give(x, replace(g, array=array), body)
        for x, terms in sums.items():
            for place, g, total in terms:
                if total is None:
                    self.give(x, g.times(float(loop.steps)), body, place)
                else:
                    self.give(x, replace(g, array=total.array(self)), body, place)

    def is_sequence(self, x: ir.Array, body: Reverse) -> bool:
        after = self.n + len(self.loop.sequences)
        return x in body.pieces and x in self.arguments[self.n : after]

    def give(self, x: ir.Array, g: Adjoint, body: Reverse, place: ir.Place | None = None) -> None:
        """Give what is handed in for an argument of the body its adjoint."""
        self.reverse.give(self.outside[x], g, self.loop, place, finite=x not in body.unbounded)

    # ----------------------------------------------------------------------------- the body's derivative

    def seed(self, number: int, g: Adjoint) -> Adjoint:
        """The adjoint of an output of one step: a number, or the same in all steps, or of a sequence."""
        if g.array is None:
            return g
        output = self.results[number]
        array, rank = materialise(g), len(output.shape)
        local = ir.Local(output.shape, output.batched or array.batched)
        if len(array.shape) <= rank or (array.shape[0] == 1 and self.loop.steps > 1):
            if len(array.shape) > rank:
                array = ir.Reshape(array, array.shape[1:])
            self.invariants[local] = full(array, output)
        else:
            self.sequences[local] = full(array, ir.Result(self.loop, number))
        return Adjoint(array=local)

    @cached_property
    def targets(self) -> AbstractSet[ir.Array]:
        """The arguments of the body that depend on parameters, in some step."""
        arrays = self.loop.body.arrays
        found: set[ir.Array] = {x for x in self.arguments if self.outside[x] in self.reverse.active}
        while True:
            active = set(found)
            for array in arrays:
                if any(x in active for x in array.operands):
                    active.add(array)
            states = zip(self.arguments[: self.n], self.results, strict=False)
            more = {x for x, after in states if after in active} - found
            if not more:
                return found
            found |= more

    def needed(self) -> set[int]:
        """The results that something depends on which has an adjoint."""
        found = set(self.given)
        while True:
            reached = set(ir.in_order([self.results[i] for i in sorted(found)]))
            more = {i for i in range(self.n) if self.arguments[i] in reached} - found
            if not more:
                return found
            found |= more

    def differentiated(self) -> Reverse:
        """The reverse pass through the body; which states it carries adjoints of is found here.

        An adjoint is carried where something flows back to the state, and it may be infinite where that may
        be, in any step.
        """
        self.carried = [i for i in sorted(self.needed()) if i < self.n and self.arguments[i] in self.targets]
        known: Mapping[ir.Array, Bounds] | None = None
        if self.reverse.guards:
            known = bounds_of_loop(self.loop, self.reverse.bounds)[0]
        outer = self.loop in self.reverse.unbounded
        unbounded = {i for i in self.carried if outer and i in self.given}
        while True:
            body = self.passed_back(known, unbounded, outer)
            idle = [i for i in self.carried if self.arguments[i] not in body.pieces and i not in self.given]
            more = {i for i in self.carried if self.arguments[i] in body.unbounded} - unbounded
            if not idle and not more:
                return body
            self.carried = [i for i in self.carried if i not in idle]
            unbounded |= more

    def passed_back(
        self, known: Mapping[ir.Array, Bounds] | None, unbounded: AbstractSet[int], outer: bool
    ) -> Reverse:
        around = self.reverse
        body = type(around)(self.results, self.targets, around.guards, known, around.taken, around.by_row)
        for i in self.carried:
            body.start(self.results[i], Adjoint(array=self.adjoints[i]), i in unbounded)
        for number, seed in self.seeds.items():
            body.start(self.results[number], seed, outer)
        body.run()
        return body

    # ------------------------------------------------------------------------ sums over the steps

    def summing(self, part: ir.Array) -> _Total:
        """How what each step adds to an adjoint is summed up; what that needs is left by step, or carried."""
        if self.again:
            return self.as_it_goes(part)
        room = max(_FEW, sum(x.size for x in self.arguments[: self.n]))
        if isinstance(part, ir.Product) and part.spec == "columns":
            if len(part.shape) == 2:
                return _Total(part, (self.left(part.delta), self.left(part.other)))
        elif isinstance(part, ir.ScatterAdd):
            return _Total(part, (self.left(part.delta), self.left(part.index)))
        elif isinstance(part, ir.SumTo) and part.source.size <= room:
            return _Total(part, (self.left(part.source),))
        if part.size <= room:
            return _Total(None, (self.left(part),))
        return self.as_it_goes(part)

    def as_it_goes(self, part: ir.Array) -> _Total:
        """The sum as a state of the way back."""
        sum_so_far = ir.Local(part.shape, part.batched)
        self.accumulated.append((sum_so_far, ir.Sum((sum_so_far, part), part.shape, (1.0, 1.0))))
        return _Total(None, (), len(self.carried) + len(self.accumulated) - 1)

    def left(self, array: ir.Array) -> _Left:
        """An array of the forward or the backward body, to be known by step."""
        if array not in self.forward_arrays:
            if array not in self.leaves:
                self.leaves.append(array)
        elif array not in self.outside or array in self.arguments[: self.n]:
            self.keep(array)
        return _Left(array)

    def stack(self, left: _Left) -> ir.Array:
        """The array by step, all steps of it."""
        array, n = left.array, self.n
        if array not in self.forward_arrays or array in self.kept:
            if array not in self.stacks:
                self.stacks[array] = self.result(array)
            return self.stacks[array]
        outside = self.outside[array]
        if array in self.arguments[: n + len(self.loop.sequences)]:
            return outside
        whole = (self.loop.steps, *outside.shape)
        return ir.Fill(ir.Reshape(outside, (1, *outside.shape)), whole, outside.batched)

    def result(self, array: ir.Array) -> ir.Array:
        """What one of the loops leaves of an array of its body; the states before the steps h are hs."""
        if array not in self.forward_arrays:
            return ir.Result(self.backward, len(self.backward.initial) + self.leaves.index(array))
        made = ir.Result(self.forward, self.n + self.kept.index(array))
        if array in self.names:
            self.reverse.names[made] = f"{self.names[array]}s"
        return made

    # ---------------------------------------------------------------------------------- the two loops

    def keep(self, array: ir.Array) -> None:
        """Have an array of the forward body left by step."""
        if array not in self.kept:
            self.kept.append(array)

    def loops(self, following: Sequence[ir.Array]) -> tuple[ir.Loop, ir.Loop]:
        """The forward loop, which leaves what the way back needs, and the loop backwards."""
        loop = self.loop
        roots = [*following, *[x for _, x in self.accumulated], *self.leaves]
        by = self.taken(roots)
        forward = loop
        if len(self.kept) + self.n > len(loop.body.results) or any(
            x is not y for x, y in zip(self.results, loop.body.results, strict=True)
        ):
            body = ir.Program(self.arguments, (*self.results[: self.n], *self.kept), self.names)
            forward = replace(loop, body=body)
        self.forward = forward
        states = [*[self.adjoints[i] for i in self.carried], *[x for x, _ in self.accumulated]]
        made = substituted(roots, by)
        names: dict[ir.Array, str] = {
            self.adjoints[i]: f"d{self.names[x]}"
            for i, x in enumerate(self.arguments[: self.n])
            if i in self.carried and x in self.names and f"d{self.names[x]}" not in self.reverse.taken
        }
        handed = [self.stack(x) if isinstance(x, _Left) else x for x in self.sequences.values()]
        backward = ir.Loop(
            loop.steps,
            ir.Program((*states, *self.sequences, *self.invariants), tuple([made[x] for x in roots]), names),
            tuple([self.first(i) for i in self.carried] + [_zeros(x) for x, _ in self.accumulated]),
            tuple(handed),
            tuple(self.invariants.values()),
            not loop.falling,
        )
        return forward, backward

    def first(self, i: int) -> ir.Array:
        """The adjoint of a state after the last step."""
        return self.whole(self.given.get(i, Adjoint(0.0)), self.arguments[i])

    def whole(self, g: Adjoint, state: ir.Array) -> ir.Array:
        """The adjoint of a state, of its shape; each row's own where adjoints are."""
        return full(materialise(g), ir.Absent(state.shape, state.batched or self.samples))

    def taken(self, roots: Iterable[ir.Array]) -> dict[ir.Array, ir.Array]:
        """The backward body's arguments, by the forward body's arrays that they stand for, which are kept."""
        by: dict[ir.Array, ir.Array] = {}
        seen: set[ir.Array] = set()
        stack = list(roots)[::-1]
        while stack:
            array = stack.pop()
            if array in seen:
                continue
            seen.add(array)
            if array not in self.forward_arrays or self.is_quick(array):
                stack += reversed(array.operands)
                continue
            local = by[array] = ir.Local(array.shape, array.batched)
            if array in self.arguments[self.n + len(self.loop.sequences) :]:
                self.invariants[local] = self.outside[array]
            elif array in self.arguments[self.n :]:
                self.sequences[local] = self.outside[array]
            else:
                self.keep(array)
                self.sequences[local] = _Left(array)
        return by

    def is_quick(self, array: ir.Array) -> bool:
        """Whether an array is as quickly computed again as it is read, from what needs no more room."""
        if isinstance(array, ir.Result | ir.Loop):
            return False
        if array not in self.varying:
            return array not in self.outside
        if isinstance(array, ir.OneHot):
            return True
        if isinstance(array, ir.View | ir.Reshape | ir.Fill):
            return array.source.size <= max(array.size, _FEW)
        return False

    @cached_property
    def varying(self) -> AbstractSet[ir.Array]:
        """The arrays of the forward body that differ from step to step."""
        found: set[ir.Array] = set(self.arguments[: self.n + len(self.loop.sequences)])
        for array in ir.in_order(list(self.forward_arrays)):
            if any(x in found for x in array.operands):
                found.add(array)
        return found


@dataclass(frozen=True)
class _Total:
    """The sum over the steps of what each adds.

    Attributes:
        part: what a step adds, where it is a product or a sum of what is left by step.
        of: what is left by step: the operands of ``part``, or what is added itself; nothing for a state.
        state: the number of the state of the way back that the sum is.
    """

    part: ir.Array | None
    of: tuple[_Left, ...]
    state: int = 0

    def array(self, way: _WayBack) -> ir.Array:
        """The sum, after the loop."""
        if not self.of:
            return ir.Result(way.backward, self.state)
        stacks = [way.stack(x) for x in self.of]
        part = self.part
        if isinstance(part, ir.Product):
            delta, other = map(_as_rows, stacks)
            return ir.Product(delta, other, "columns", part.shape, part.with_samples)
        if isinstance(part, ir.ScatterAdd):
            delta, index = stacks
            return ir.ScatterAdd(_as_rows(delta), ir.Reshape(index, (index.size,)), part.n)
        if isinstance(part, ir.SumTo):
            axes = (0, *[axis + 1 for axis in part.axes])
            return ir.SumTo(stacks[0], axes, part.samples, part.drop + 1)
        return ir.SumTo(stacks[0], (0,), False, 1)


def _sum_of(pieces: Sequence[Piece] | None, array: ir.Array) -> Adjoint:
    return Adjoint(0.0) if pieces is None else combine(pieces, array)


def _zeros(like: ir.Array) -> ir.Array:
    return full(materialise(Adjoint(0.0)), like)


def _forward(
    results: Sequence[ir.Array], arguments: Sequence[ir.Array], arrays: Iterable[ir.Array]
) -> AbstractSet[ir.Array]:
    """The arrays of a forward body, and all that its own loops leave."""
    found = set(ir.in_order([*results, *arguments]))
    return found | {x for x in arrays if isinstance(x, ir.Result) and x.loop in found}


def _as_rows(array: ir.Array) -> ir.Array:
    """The array with all axes but the last as one."""
    if len(array.shape) == 2:
        return array
    width = array.shape[-1]
    return ir.Reshape(array, (array.size // width, width))
