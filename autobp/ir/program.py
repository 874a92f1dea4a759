"""Programs: arrays in order, what goes in and comes out, and their names beside them; loops over programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autobp.ir.arrays import Argument, Array, Input, Shape, Theta


def in_order(results: Sequence[Array]) -> list[Array]:
    """All arrays that some arrays depend on, operands first."""
    order: list[Array] = []
    state: dict[int, int] = {}
    stack = list(reversed(results))
    while stack:
        array = stack[-1]
        mark = state.get(id(array), 0)
        if mark:
            stack.pop()
            if mark == 1:
                state[id(array)] = 2
                order.append(array)
            continue
        state[id(array)] = 1
        stack.extend([x for x in reversed(array.operands) if id(x) not in state])
    return order


#: What a reader would call arrays: W1, z1, delta1 … Most have no name.
Names = Mapping[Array, str]


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """Arrays that are computed from arguments, and which of them are the results.

    Attributes:
        arguments: theta and the inputs; of the body of a loop, Locals. Arrays depend on no others.
        results: of a cost, the :class:`Total` alone, or it and the gradient; of outputs, one flat array; of
            either, a derivative of another kind may come second, in the shape that it has; of the body of a
            loop, the next states, then the outputs of a step.
        names: what arrays are called, the inputs among them.
        result_shape: of the outputs for one sample; None for a cost and for a body.
    """

    arguments: tuple[Argument, ...]
    results: tuple[Array, ...]
    names: Names
    result_shape: Shape | None = None

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """Everything that the results depend on, themselves included, operands first; bodies keep theirs."""
        return tuple(in_order(self.results))

    @property
    def theta(self) -> Theta:
        """The parameters. Raises ValueError in the body of a loop, which has none of its own."""
        for argument in self.arguments:
            if isinstance(argument, Theta):
                return argument
        raise ValueError("the body of a loop has no theta: what it needs of it is among its arguments")

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The data, in order, and what else it is a function of beside theta."""
        return tuple([x for x in self.arguments if isinstance(x, Input)])

    @property
    def has_samples(self) -> bool:
        """Whether there are data with rows."""
        return any(x.batched for x in self.inputs)

    def __repr__(self) -> str:
        return f"<program of {len(self.arrays)} arrays>"

    def __str__(self) -> str:
        """The program as text, one array a line (docs/programs.md)."""
        from autobp.ir.printed import text_of_program  # which knows every kind

        return text_of_program(self)

    def verify(self) -> None:
        """Check all that holds for a program. Raises :class:`~autobp.ir.verify.ProgramError`."""
        from autobp.ir.verify import verify  # which knows every kind

        verify(self)


# ---------------------------------------------------------------------------------------------------- loops


@dataclass(frozen=True, eq=False, repr=False)
class Loop(Array):
    """A body that is run step after step, each time on the states that the step before left.

    It has no numbers itself, and the shape (): a :class:`Result` picks one of the arrays that it leaves.

    Attributes:
        steps: how often the body is run.
        body: its arguments are :class:`Local` s, one for each of ``initial``, ``sequences`` and
            ``invariants``, in this order. Its results are the next states, as many as ``initial`` and of the
            same shapes, samples or none, and then the outputs of a step.
        initial: the states before the first step.
        sequences: arrays with a leading axis of steps; step t takes the elements at t.
        invariants: what is the same in every step.
        falling: whether t runs from the last step to the first. Sequences and outputs are still ordered by t.
    """

    steps: int
    body: Program
    initial: tuple[Array, ...]
    sequences: tuple[Array, ...] = ()
    invariants: tuple[Array, ...] = ()
    falling: bool = False

    def __post_init__(self) -> None:
        self.derive((), False)


@dataclass(frozen=True, eq=False, repr=False)
class Result(Array):
    """What a loop leaves: a state after the last step, or all outputs of one kind, a leading axis of steps.

    ``number`` counts the results of the loop's body: first the states, then the outputs.
    """

    loop: Loop
    number: int

    def __post_init__(self) -> None:
        made = self.loop.body.results[self.number]
        is_state = self.number < len(self.loop.initial)
        self.derive(made.shape if is_state else (self.loop.steps, *made.shape), made.batched)
