"""The tangent of a loop: a loop that computes the tangents of its states and outputs beside them.

The body of it is the body and its tangent, so that its size does not grow with the steps. A state has a
tangent where one flows into it, before the first step or from any step; what has none is not carried.
Directions and samples are those that reach it in any step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autobp import ir
from autobp.compiler.adjoint import Adjoint, full, materialise
from autobp.compiler.derivatives.formulas import NoDerivative
from autobp.compiler.derivatives.tangents import (
    Known,
    Tangent,
    filled,
    ranked,
    reshaped,
    spread_over,
    turned,
)

if TYPE_CHECKING:
    from typing import TypeGuard

    from autobp.compiler.derivatives.forward import Forward


@dataclass(frozen=True)
class Stepped:
    """A loop with its tangent.

    Attributes:
        results: what became of each result of the loop that it was, and its tangent.
    """

    loop: ir.Loop
    results: Sequence[tuple[ir.Array, Known | None]]


def through_steps(forward: Forward, loop: ir.Loop) -> Stepped:
    """The loop that takes the place of another, whose operands have tangents.

    Args:
        forward: the pass through the program that the loop is in.
    """
    return _Steps(forward, loop).made()


class _Steps:
    """Makes one loop.

    Attributes:
        seeds: the tangents of the body's arguments, but for the states.
        sequences, invariants: the arguments that these take, and what is handed in for them.
    """

    def __init__(self, forward: Forward, loop: ir.Loop) -> None:
        self.forward, self.loop, self.n = forward, loop, len(loop.initial)
        self.taken = {*forward.taken, *loop.body.names.values()}
        n, last = self.n, self.n + len(loop.sequences)
        self.states = loop.body.arguments[:n]
        self.seeds: dict[ir.Array, Known] = {}
        self.sequences: dict[ir.Local, ir.Array] = {}
        self.invariants: dict[ir.Local, ir.Array] = {}
        for x, given in zip(loop.body.arguments[n:last], loop.sequences, strict=True):
            self.seed(x, self.by_step(forward.tangents.get(given), given))
        for x, given in zip(loop.body.arguments[last:], loop.invariants, strict=True):
            self.seed(x, (forward.tangents.get(given), False))

    # -------------------------------------------------------------------------------------- what goes in

    def by_step(self, known: Known | None, given: ir.Array) -> tuple[Known | None, bool]:
        """The tangent of a sequence, with the steps before the directions; and whether it has steps."""
        if not isinstance(known, Tangent):
            return known, False
        array, n = ranked(known, len(given.shape)), len(known.lead)
        if array.shape[n] != self.loop.steps or self.loop.steps == 1:  # the same in each step
            return replace(known, array=reshaped(array, (*array.shape[:n], *array.shape[n + 1 :]))), False
        if n:
            array = turned(array, (1, 0, *range(2, len(array.shape))))
        return replace(known, array=array), True

    def seed(self, x: ir.Array, given: tuple[Known | None, bool]) -> None:
        """Give an argument of the body its tangent, which the loop takes by step, or is the same in all."""
        known, by_step = given
        if known is None:
            return
        if isinstance(known, NoDerivative) or (isinstance(known.array, ir.Constant) and not by_step):
            self.seeds[x] = known
            return
        shape = known.array.shape[1:] if by_step else known.array.shape
        local = ir.Local(shape, known.array.batched)
        (self.sequences if by_step else self.invariants)[local] = known.array
        self.seeds[x] = replace(known, array=local)

    def pushed(self) -> Forward:
        """The pass through the body, with tangents of all states that have one in some step."""
        results = self.loop.body.results
        states: dict[ir.Array, Known] = {}
        for x, given in zip(self.states, self.loop.initial, strict=True):
            _grow(states, x, self.forward.tangents.get(given))
        while True:
            body = type(self.forward)({**self.seeds, **states}, self.taken).run(results)
            grown = dict(states)
            for x, after in zip(self.states, results, strict=False):
                _grow(grown, x, body.tangents.get(body.made[after]))
            if grown == states:
                return body
            states = grown

    # ------------------------------------------------------------------------------------- what comes out

    def made(self) -> Stepped:
        loop, n = self.loop, self.n
        last = n + len(loop.sequences)
        body = self.pushed()
        after = [body.made[x] for x in loop.body.results]
        carried = {
            i: t for i, x in enumerate(self.states) if isinstance(t := body.tangents.get(x), Tangent)
        }
        following = [_whole(body.tangents.get(after[i]), t, self.states[i]) for i, t in carried.items()]
        left = [t.array for y in after[n:] if _is_left(t := body.tangents.get(y))]
        results = (*after[:n], *following, *after[n:], *left)
        arguments = (
            *self.states,
            *[_local(t) for t in carried.values()],
            *loop.body.arguments[n:last],
            *self.sequences,
            *loop.body.arguments[last:],
            *self.invariants,
        )
        initial = [
            _whole(self.forward.tangents.get(loop.initial[i]), t, self.states[i]) for i, t in carried.items()
        ]
        names = {body.made.get(x, x): name for x, name in loop.body.names.items()}
        body.name(names, results)
        new = ir.Loop(
            loop.steps,
            ir.Program(arguments, results, names),
            (*loop.initial, *initial),
            (*loop.sequences, *self.sequences.values()),
            (*loop.invariants, *self.invariants.values()),
            loop.falling,
        )
        return Stepped(new, [*self.left_states(new, body, carried), *self.left_outputs(new, body, after)])

    def left_states(
        self, new: ir.Loop, body: Forward, carried: Mapping[int, Tangent]
    ) -> Iterator[tuple[ir.Array, Known | None]]:
        """The states after the last step, and their tangents."""
        numbers = {i: self.n + k for k, i in enumerate(carried)}
        for i, x in enumerate(self.states):
            t = body.tangents.get(x)
            if isinstance(t, Tangent):
                t = replace(t, array=ir.Result(new, numbers[i]))
            yield ir.Result(new, i), t

    def left_outputs(
        self, new: ir.Loop, body: Forward, after: Sequence[ir.Array]
    ) -> Iterator[tuple[ir.Array, Known | None]]:
        """What is left by step, and its tangents, the directions before the steps."""
        first = len(new.initial)
        number = first + len(after) - self.n
        for k, y in enumerate(after[self.n :]):
            t = body.tangents.get(y)
            if _is_left(t):
                array: ir.Array = ir.Result(new, number)
                number += 1
                if t.lead:
                    array = turned(array, (1, 0, *range(2, len(array.shape))))
                t = replace(t, array=array)
            elif isinstance(t, Tangent):  # the same in each step
                array, n = ranked(t, len(y.shape)), len(t.lead)
                t = replace(t, array=reshaped(array, (*array.shape[:n], 1, *array.shape[n:])))
            yield ir.Result(new, first + k), t


def _grow(states: dict[ir.Array, Known], x: ir.Array, more: Known | None) -> None:
    """Have a state's tangent hold one more that flows into it: its directions, and its samples."""
    known = states.get(x)
    if more is None or isinstance(known, NoDerivative):
        return
    if isinstance(more, NoDerivative):
        states[x] = more
        return
    directions, batched = more.directions, more.array.batched
    if known is not None:
        batched = batched or known.array.batched
        if directions is not None and known.directions is not None:
            directions = tuple(sorted({*directions, *known.directions}))
        if (directions, batched) == (known.directions, known.array.batched):
            return
    lead = () if directions is None else (len(directions),)
    states[x] = Tangent(ir.Local((*lead, *x.shape), batched), directions)


def _whole(known: Known | None, like: Tangent, x: ir.Array) -> ir.Array:
    """What a state's tangent is before a step, in all directions in which it may be other than 0."""
    if not isinstance(known, Tangent):
        zeros = materialise(Adjoint(0.0))
        return full(zeros, ir.Absent(like.array.shape, like.array.batched))
    assert like.directions is None or known.directions is not None
    array = known.array if like.directions is None else spread_over(known, like.directions, x)
    return filled(Tangent(array, like.directions), x, like.array.batched)


def _is_left(known: Known | None) -> TypeGuard[Tangent]:
    """Whether a tangent in the body differs from step to step, as far as can be told."""
    return isinstance(known, Tangent) and not isinstance(known.array, ir.Constant)


def _local(tangent: Tangent) -> ir.Local:
    assert isinstance(tangent.array, ir.Local)
    return tangent.array
