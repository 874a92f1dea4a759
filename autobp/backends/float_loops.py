"""Write a loop of a schedule for a few rows as statements of Python's floats.

A call of NumPy takes as long as a dozen operations on floats. So a loop whose arrays have few numbers runs on
floats where rows are few: a number x of two rows is v1 and v2 (:mod:`~autobp.backends.float_bodies`). What
the loop takes is listed before it, and what it leaves becomes arrays after it.

Where arrays have infinity or NaN, floats may raise ArithmeticError or ValueError: who calls what is written
here runs it on arrays then. They never give another number in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autobp.backends import steps
from autobp.backends.float_bodies import FloatBody, Names, NoFloats, add_exponentials
from autobp.backends.operands import Number, Operand, Variable
from autobp.backends.source_module import as_tuple, joined

if TYPE_CHECKING:
    from autobp.backends.numpy_calls import NumpyCalls

#: Rows up to which floats are tried.
FEW = 8

#: What a module of functions with such loops has to know.
KNOWN: dict[str, Any] = {"math": math, "add_exponentials": add_exponentials}


def float_lines(calls: NumpyCalls, step: steps.Repeat, rows: int) -> list[str] | None:
    """The statements of a loop, for the writer of what it stands in; None where it is faster on arrays."""
    try:
        return list(_Loop(calls, step, rows).lines())
    except NoFloats:
        return None


class _Left(NamedTuple):
    """What a step leaves: the memory for that of all steps, what it is called, and whether it is a state."""

    memory: Variable
    names: Names
    is_state: bool


class _Loop:
    """One loop.

    Attributes:
        rows: the number of samples.
        head: the statements before it.
        taken: of what a step takes, its name and what lists it.
    """

    def __init__(self, calls: NumpyCalls, step: steps.Repeat, rows: int) -> None:
        self.calls, self.step, self.rows = calls, step, rows
        self.body = FloatBody(step.body, rows, calls.variable)
        self.head: list[str] = []
        self.taken: list[tuple[str, str]] = []

    def lines(self) -> Iterator[str]:
        """All of it."""
        step, body = self.step, self.body
        n, after = len(step.states), len(step.states) + len(step.sequences)
        arguments = step.body.arguments
        states = [self.start("h", x.initial, y) for x, y in zip(step.states, arguments, strict=False)]
        for operand, argument in zip(step.sequences, arguments[n:after], strict=True):
            self.take(operand, argument)
        for operand, argument in zip(step.invariants, arguments[after:], strict=True):
            self.start("c", operand, argument)
        body.write()
        self.head += [f"{name} = {text}" for text, name in body.functions.items()]
        following = [self.result(i, x) for i, x in enumerate(arguments[:n])]
        left = [
            _Left(state.memory[0], names, True)
            for state, names in zip(step.states, states, strict=True)
            if _are_all_kept(state)
        ]
        left += [
            _Left(x, self.result(i, x), False) for i, x in enumerate(step.outputs, start=n) if x is not None
        ]
        end = [f"{_listed(states)} = {_listed(following)}"] if states else []
        kept, put = (self.calls.variable("k") for _ in range(2))
        if left:
            body.spend(sum(x.names.size for x in left))
            self.head += [f"{kept} = []", f"{put} = {kept}.append"]
            end.insert(0, f"{put}(({_listed([x.names for x in left])},))")
        yield from self.head
        yield self.heading()
        yield from [f"    {line}" for line in (*body.lines, *end)] or ["    pass"]
        if left:
            yield from self.put(kept, put, left)
        for state, names in zip(step.states, states, strict=True):
            if not _are_all_kept(state):
                last = state.final(step.steps)
                yield f"{self.calls.name(last)}[...] = {self.array(names, last)}"

    # ------------------------------------------------------------------------------------ before and after

    def start(self, prefix: str, operand: Operand, argument: Variable) -> Names:
        """Have an argument of the body that is there before the loop."""
        names, text = self.body.name(prefix, argument), self.calls.alone(operand)
        if isinstance(operand, Number):
            self.head.append(f"{' = '.join(names.flat)} = {text}")
        else:
            whole = f"np.broadcast_to({text}, {as_tuple(names.shape)})"
            self.head.append(f"{_listed([names])}, = {whole}.ravel().tolist()")
        return names

    def take(self, operand: Operand, argument: Variable) -> None:
        """Have an argument of the body that is another in each step: its names, each with what lists it."""
        if isinstance(operand, Number):
            raise NoFloats
        names, T = self.body.name("s", argument), self.step.steps
        lists = [self.calls.variable("q") for _ in names.flat]
        batched = argument.kind is not None and argument.kind[0]
        rows = self.rows if batched else 1
        order = "[:, ::-1]" if self.step.falling else ""
        whole = f"{self.calls.of(operand)}.reshape({rows}, {T}, {names.size // rows}).swapaxes(1, 2)"
        self.head.append(f"{', '.join(lists)}, = {whole}.reshape({names.size}, {T}){order}.tolist()")
        self.taken += zip(names.flat, lists, strict=True)

    def heading(self) -> str:
        """What goes through the steps."""
        if not self.taken:
            return f"for _ in range({self.step.steps}):"
        names, lists = (", ".join(x) for x in zip(*self.taken, strict=True))
        return f"for {names} in {f'zip({lists})' if len(self.taken) > 1 else lists}:"

    def put(self, kept: str, put: str, left: Sequence[_Left]) -> Iterator[str]:
        """Make arrays of what the steps have left; of states there is one more, after the last step."""
        falling, more = self.step.falling, any(x.is_state for x in left)
        if more:
            last = [x.names if x.is_state else np.full(x.names.shape, "0.0", dtype=object) for x in left]
            yield f"{put}(({_listed(last)},))"
        yield f"{kept} = np.array({kept}){'[::-1]' if falling else ''}"
        first = 0
        for memory, names, is_state in left:
            steps_of_it = ":" if is_state or not more else "1:" if falling else ":-1"
            columns = f"{kept}[{steps_of_it}, {first}:{first + names.size}]"
            if memory.kind is not None and memory.kind[0]:
                _, (n_steps, *shape) = memory.kind
                columns += f".reshape({joined((n_steps, self.rows, *shape))}).swapaxes(0, 1)"
            else:
                columns += f".reshape({joined(self.body.sizes_of(memory))})"
            yield f"{self.calls.name(memory)}[...] = {columns}"
            first += names.size

    def array(self, names: Names, memory: Variable) -> str:
        """Names as what can be put into memory."""
        if names.size == 1:
            return str(names.flat[0])
        return f"np.array(({_listed([names])})).reshape({joined(self.body.sizes_of(memory))})"

    def result(self, number: int, like: Variable) -> Names:
        """A result of the body, with as many numbers as are wanted of a step."""
        found = self.step.body.results[number]
        assert not isinstance(found, steps.Mean), "only a whole program has a cost"
        batched, shape = like.kind or (False, ())
        shape = shape if number < len(self.step.states) else shape[1:]
        sizes = (self.rows, *shape) if batched else shape
        names = self.body.of(found)
        return names.reshape(sizes) if names.size == math.prod(sizes) else np.broadcast_to(names, sizes)


def _are_all_kept(state: steps.State) -> bool:
    """Whether all states are kept, those before the steps and the last."""
    return len(state.memory) == 1 and not state.is_number


def _listed(names: Sequence[Names]) -> str:
    return ", ".join([text for x in names for text in x.flat])
