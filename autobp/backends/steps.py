"""What a schedule consists of: steps, each of which makes one value from others, and the results.

In :mod:`~autobp.backends.operands` is told what values are and where they lie. Steps are frozen plain data,
free of any language; :func:`~autobp.backends.schedule.schedule` makes them of a program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from autobp.backends.moves import Moves
from autobp.backends.operands import (
    Buffer,
    Extended,
    Kind,
    Operand,
    Region,
    Variable,
    listed,
    shown,
    shown_place,
    shown_region,
)
from autobp.ir import Shape
from autobp.ir.expression import UFUNCS

#: Functions of elements that can be written into memory, that of an operand too.
IN_PLACE = frozenset({"+", "-", "*", "/", "neg", "square", "power", *UFUNCS})


# ----------------------------------------------------------------------------------------------------- steps


@dataclass(frozen=True)
class Start:
    """Have the memory of an assembly, with zeros in it or with anything."""

    into: Variable
    zeros: bool


@dataclass(frozen=True)
class Name:
    """Give a name to an operand that is used several times; ``into`` is no memory of its own."""

    source: Operand
    into: Variable


@dataclass(frozen=True)
class Copy:
    """Write the numbers of an operand into memory."""

    source: Operand
    into: Variable


@dataclass(frozen=True)
class Apply:
    """A function of elements, by its name in expressions.

    Attributes:
        operation: of the table, where the function is "op" or "foreign partial".
        which: the operand by which a foreign partial is one.
    """

    function: str
    operands: tuple[Operand, ...]
    into: Variable
    operation: str = ""
    which: int = 0


@dataclass(frozen=True)
class MatrixProduct:
    """left times right, over the last axis of the one and the last but one of the other.

    Attributes:
        dense: whether both and the destination are matrices without gaps.
        after: how the product is then moved.
        by_step: whether the left and the product are taken with their second axis first.
    """

    left: Operand
    right: Operand
    into: Variable
    dense: bool = False
    after: Moves = ()
    by_step: bool = False


@dataclass(frozen=True)
class OuterProduct:
    """The products of elements of two arrays that are moved so that each meets each."""

    left: Operand
    right: Operand
    into: Variable


@dataclass(frozen=True)
class AddUp:
    """Sums over axes, written into memory."""

    source: Operand
    axes: tuple[int, ...]
    into: Variable
    keep: bool = False


@dataclass(frozen=True)
class Collapse:
    """The sum, maximum or minimum over axes as an array of its own, which is then moved."""

    ufunc: str
    source: Operand
    axes: tuple[int, ...]
    into: Variable
    keep: bool = False
    after: Moves = ()


@dataclass(frozen=True)
class Take:
    """Elements of a flat array, by position."""

    source: Operand
    positions: Variable
    into: Variable


@dataclass(frozen=True)
class Scatter:
    """A one-dimensional array set into zeros, by position."""

    source: Operand
    positions: Variable
    shape: Shape
    into: Variable


@dataclass(frozen=True)
class Stretches:
    """What a ufunc makes of the stretches of an array that begin at ``starts``."""

    ufunc: str
    source: Operand
    starts: Variable
    into: Variable


@dataclass(frozen=True)
class Repetition:
    """Each element as often as its count."""

    source: Operand
    counts: Variable
    into: Variable


@dataclass(frozen=True)
class Choice:
    """Elements of values by an index that is itself computed."""

    index: Operand
    values: Operand
    outer: bool
    into: Variable


@dataclass(frozen=True)
class Indicator:
    """1 where index[…] = k, else 0."""

    index: Operand
    n: int
    into: Variable


@dataclass(frozen=True)
class Accumulation:
    """The sums of those rows of a source that have the same index, one of n."""

    source: Operand
    index: Operand
    n: int
    into: Variable


@dataclass(frozen=True)
class Put:
    """Write or add numbers to a part of an assembly.

    Attributes:
        where: a region of it, the constant that lists positions, or None for all of it.
    """

    source: Operand
    into: Variable
    where: Region | Variable | None
    added: bool


@dataclass(frozen=True)
class State:
    """What a loop carries from step to step.

    Attributes:
        initial: it before the first step.
        memory: two buffers that take turns; one array of all states, those before the steps and the last; or
            what gets the last, where the state is a number that has no memory within the loop.
        is_number: whether it is one.
    """

    initial: Operand
    memory: tuple[Variable, ...]
    is_number: bool = False

    def final(self, steps: int) -> Variable:
        """Where the last is, or are all."""
        return self.memory[steps % 2] if len(self.memory) > 1 else self.memory[0]


@dataclass(frozen=True)
class Repeat:
    """Run a body for t = 0, 1, …, or falling: on the states, a step's part of the sequences, the invariants.

    Attributes:
        sequences, invariants: the other arguments of the body; it gets the elements at t of the first.
        outputs: what gets, at t, the results of the body that are no states; None where that is known from
            the memory of a state, or of another output.
    """

    body: Schedule
    steps: int
    falling: bool
    states: tuple[State, ...]
    sequences: tuple[Operand, ...]
    invariants: tuple[Operand, ...]
    outputs: tuple[Variable | None, ...]

    @property
    def memory(self) -> tuple[Variable, ...]:
        """All that is written to."""
        states = [x for state in self.states for x in state.memory]
        return (*states, *[x for x in self.outputs if x is not None])


Instruction = (
    Start
    | Name
    | Copy
    | Apply
    | MatrixProduct
    | OuterProduct
    | AddUp
    | Collapse
    | Take
    | Scatter
    | Stretches
    | Repetition
    | Choice
    | Indicator
    | Accumulation
    | Put
    | Repeat
)


# ------------------------------------------------------------------------------------------------- schedules


@dataclass(frozen=True)
class MeanTerm:
    """coefficient · m**samples · Σ x, or the sum of the products where there is a y."""

    coefficient: float
    samples: int
    x: Operand
    y: Operand | None
    single: bool  # x is one number already


@dataclass(frozen=True)
class Mean:
    """The mean cost: the sum of its terms."""

    terms: tuple[MeanTerm, ...]

    def __str__(self) -> str:
        terms = []
        for term in self.terms:
            product = f"{term.x}" if term.y is None else f"{term.x}·{term.y}"
            scale = {0: "", -1: " / m", 1: " · m"}.get(term.samples, f" · m^{term.samples}")
            terms.append(f"{term.coefficient} · Σ {product}{scale}")
        return " + ".join(terms)


_OF_A_VIEW = 128  # bytes that NumPy needs to say where one step lies


class Work(NamedTuple):
    """The arrays that a function needs beside its arguments.

    Attributes:
        buffers: their kinds.
        extended: the kinds of buffers that have a last column of ones, this column included.
        ones: the lengths of vectors of ones; None for the number of samples.
        bodies: what the bodies of its loops need.
        by_step: the numbers of the buffers in which what belongs to one step lies together: in memory the
            first axis of a sample, of steps, is before the samples.
    """

    buffers: tuple[Kind, ...]
    extended: tuple[Kind, ...]
    ones: tuple[int | None, ...]
    bodies: tuple[Work, ...] = ()
    by_step: frozenset[int] = frozenset()

    def n_bytes(self, m: int) -> int:
        """The memory that the arrays for m samples take."""
        kinds = (*self.buffers, *self.extended)
        numbers = sum(math.prod(shape) * (m if batched else 1) for batched, shape in kinds)
        numbers += sum(m if n is None else n for n in self.ones)
        steps = sum(self.buffers[i][1][0] for i in self.by_step)
        return 8 * numbers + _OF_A_VIEW * steps + sum(body.n_bytes(m) for body in self.bodies)

    def allocate(self, m: int) -> list[Any]:
        """The arrays for m samples: buffers, extended ones without and with ones, ones, steps, bodies' lists.

        Of the buffers by step, the steps are listed: lists are gone through faster than arrays.
        """
        made: list[Any] = []
        steps: list[list[Any]] = []
        for number, (batched, shape) in enumerate(self.buffers):
            if number not in self.by_step:
                made.append(np.empty((m, *shape) if batched else shape))
                continue
            whole = np.empty((shape[0], m, *shape[1:]) if batched else shape)
            made.append(whole.swapaxes(0, 1) if batched else whole)
            steps.append(list(whole))
        for batched, shape in self.extended:
            whole = np.ones((m, *shape) if batched else shape)
            made += [whole[..., :-1], whole]
        made += [np.ones(m if n is None else n) for n in self.ones]
        return [*made, *steps, *[body.allocate(m) for body in self.bodies]]


@dataclass(frozen=True, eq=False)
class Schedule:
    """Steps that compute results from arguments in the memory that ``work`` lists."""

    arguments: tuple[Variable, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    work: Work
    steps: tuple[Instruction, ...]
    results: tuple[Operand | Mean, ...]

    def __str__(self) -> str:
        given = [f"{x} {shown(x.kind)}" for x in self.arguments]
        lines = [f"given {', '.join(given)}"]
        lines += [f"{shown_place(Buffer(i))}: {shown(kind)}" for i, kind in enumerate(self.work.buffers)]
        lines += [f"{shown_place(Extended(i))}: {shown(kind)}" for i, kind in enumerate(self.work.extended)]
        lines += [line for step in self.steps for line in _lines(step)]
        return "\n".join([*lines, f"return {listed(self.results)}"])


def operands_of(step: Instruction) -> tuple[Operand, ...]:
    """What a step reads, the constants that list positions left out."""
    if isinstance(step, Apply):
        return step.operands
    if isinstance(step, MatrixProduct | OuterProduct):
        return step.left, step.right
    if isinstance(step, Choice):
        return step.index, step.values
    if isinstance(step, Indicator):
        return (step.index,)
    if isinstance(step, Accumulation):
        return step.source, step.index
    if isinstance(step, Repeat):
        return *[x.initial for x in step.states], *step.sequences, *step.invariants
    return () if isinstance(step, Start) else (step.source,)


# -------------------------------------------------------------------------------------------------- printing


def _lines(step: Instruction) -> list[str]:
    """A step for readers, the body of a loop indented."""
    if isinstance(step, Repeat):
        head = f"for t = {step.steps} … 1" if step.falling else f"for t = 1 … {step.steps}"
        body = ["    " + line for line in str(step.body).split("\n")]
        made = [f"{x} in {shown_place(x.place)}" for x in step.memory]
        return [f"{', '.join(made)} = {head}: body({listed(operands_of(step))})", *body]
    if isinstance(step, Put):
        where = f"[{shown_region(step.where)}]" if isinstance(step.where, Region) else ""
        where = f"[{step.where}]" if isinstance(step.where, Variable) else where
        return [f"{step.into}{where} {'+=' if step.added else '='} {step.source}"]
    where = shown_place(step.into.place)
    target = f"{step.into} {shown(step.into.kind)}" + (f" in {where}" if where else "")
    if isinstance(step, Start):
        return [f"{target} = {'zeros' if step.zeros else 'anything'}"]
    if isinstance(step, Name):
        return [f"{target} is {step.source}"]
    rest = {x.name: getattr(step, x.name) for x in fields(step) if x.name not in _READ}
    details = [f"{name} {x}" for name, x in rest.items() if x not in (None, False, "", 0, ())]
    name = step.function if isinstance(step, Apply) else type(step).__name__
    return [f"{target} = {name}({', '.join([*map(str, operands_of(step)), *details])})"]


#: The fields that a printed step shows without their names.
_READ = {"into", "function", "operands", "left", "right", "source", "index", "values"}
