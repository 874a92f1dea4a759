"""The variables of a schedule, the memory they lie in, and the operands that read them.

Everything is frozen plain data. A :class:`Variable` is what one step makes, once; where it lies is told by
its ``place``, and several variables share a place one after another. Shapes leave out the samples, which are
one more axis before all others where a variable has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from autobp.backends import moves
from autobp.backends.moves import Move, Moves, Size
from autobp.ir import Shape

#: Whether there are samples, and the shape of one.
Kind = tuple[bool, Shape]


# ---------------------------------------------------------------------------------------------------- places


@dataclass(frozen=True)
class Region:
    """Elements of flat memory: base + Σ stride·index for the indices of a shape."""

    base: int
    shape: Shape
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Given:
    """An argument of the function."""

    number: int


@dataclass(frozen=True)
class Fixed:
    """A constant of the schedule."""

    number: int


@dataclass(frozen=True)
class Buffer:
    """A work buffer, which other values had before and will have after."""

    number: int


@dataclass(frozen=True)
class Extended:
    """A work buffer with one more column, of ones, that nobody writes to."""

    number: int


@dataclass(frozen=True)
class Made:
    """Memory that is made at each call and handed out."""


@dataclass(frozen=True)
class Part:
    """A place in another value, an assembly: the elements of a region, or all of them where it is None."""

    whole: Variable
    region: Region | None


@dataclass(frozen=True)
class Left:
    """In the body of a loop, the memory that the loop has for a result, by number."""

    number: int


@dataclass(frozen=True)
class New:
    """No memory that is known before: the result of an expression, or another name for what is there."""


Place = Given | Fixed | Buffer | Extended | Made | Part | Left | New

#: Of what one calculates with as with a number: it is no array, and no more is known of it.
NUMBER: Kind = (False, ())


@dataclass(frozen=True)
class Variable:
    """What a step makes.

    Attributes:
        number: in the order of the steps; negative for arguments and constants.
        kind: None for a number that depends on no array.
        label: what a reader calls it; "" for most.
        boolean: whether it is true or false, which must be made 1 or 0 before one calculates with it.
    """

    number: int
    kind: Kind | None
    place: Place
    label: str = ""
    boolean: bool = False

    def __str__(self) -> str:
        return self.label or f"%{self.number}"


# -------------------------------------------------------------------------------------------------- operands


@dataclass(frozen=True)
class Number:
    """A number fixed at the trace."""

    value: float

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Samples:
    """The number of samples."""

    def __str__(self) -> str:
        return "m"


@dataclass(frozen=True)
class Scalar:
    """A function of numbers alone."""

    function: str
    operands: tuple[Operand, ...]

    def __str__(self) -> str:
        return f"{self.function}({listed(self.operands)})"


@dataclass(frozen=True)
class Filled:
    """One number for every element of an array."""

    source: Operand
    kind: Kind

    def __str__(self) -> str:
        return f"filled({self.source}, {shown(self.kind)})"


@dataclass(frozen=True)
class Ones:
    """A work vector of ones; n is None for one for each sample."""

    n: int | None

    def __str__(self) -> str:
        return f"ones({'m' if self.n is None else self.n})"


@dataclass(frozen=True)
class WithOnes:
    """An extended buffer's value, its column of ones included."""

    source: Variable

    def __str__(self) -> str:
        return f"[{self.source} 1]"


@dataclass(frozen=True)
class Moved:
    """The same memory, sliced, reshaped or turned."""

    source: Operand
    moves: Moves

    def __str__(self) -> str:
        return f"{self.source}{''.join(map(_move, self.moves))}"


@dataclass(frozen=True)
class Broadcast:
    """An array repeated to a shape, without a copy."""

    source: Operand
    sizes: tuple[Size, ...]

    def __str__(self) -> str:
        return f"broadcast({self.source}, {_sizes(self.sizes)})"


@dataclass(frozen=True)
class AsFloat:
    """1 and 0 for true and false."""

    source: Variable

    def __str__(self) -> str:
        return f"float({self.source})"


@dataclass(frozen=True)
class Copied:
    """The same numbers in memory of their own."""

    source: Operand

    def __str__(self) -> str:
        return f"copy({self.source})"


Operand = (
    Variable | Number | Samples | Scalar | Filled | Ones | WithOnes | Moved | Broadcast | AsFloat | Copied
)


def roots(operand: Operand) -> tuple[Variable, ...]:
    """The values whose memory an operand reads."""
    if isinstance(operand, Variable):
        return (operand,)
    if isinstance(operand, Number | Samples | Ones):
        return ()
    if isinstance(operand, Scalar):
        return tuple([x for argument in operand.operands for x in roots(argument)])
    return roots(operand.source)


def all_moves(operand: Operand) -> Moves:
    """How what an operand reads is moved, one after another."""
    return (*all_moves(operand.source), *operand.moves) if isinstance(operand, Moved) else ()


# -------------------------------------------------------------------------------------------------- printing


def shown(kind: Kind | None) -> str:
    """A kind as m×3×2; "number" for none."""
    if kind is None:
        return "number"
    return "×".join([*["m"] * kind[0], *map(str, kind[1])]) or "1"


def _sizes(sizes: Iterable[Size]) -> str:
    return "×".join(["…" if n == -1 else str(n) for n in sizes]) or "1"


def _move(move: Move) -> str:
    if isinstance(move, moves.Sizes):
        return f" as {_sizes(move.sizes)}"
    if isinstance(move, moves.Axes):
        return "ᵀ" if move == moves.TURNED else f" axes {listed(move.order)}"
    if isinstance(move, moves.Swap):
        return f" swapped {move.first}, {move.second}"
    return f"[{', '.join(map(_entry, move.entries))}]"


def _entry(entry: Any) -> str:
    if isinstance(entry, slice):
        first, last = ("" if x is None else str(x) for x in (entry.start, entry.stop))
        return f"{first}:{last}" + (f":{entry.step}" if entry.step is not None else "")
    return "…" if entry is ... else "1" if entry is None else str(entry)


def shown_region(region: Region) -> str:
    terms = [
        f"{stride}·{index}:{n}"
        for index, n, stride in zip("ijklpqrs", region.shape, region.strides, strict=False)
        if n > 1
    ]
    return " + ".join([str(region.base), *terms])


def listed(operands: Iterable[Any]) -> str:
    return ", ".join(map(str, operands))


def shown_place(place: Place) -> str:
    """Where a value lies, for readers."""
    if isinstance(place, Buffer):
        return f"B{place.number}"
    if isinstance(place, Extended):
        return f"E{place.number}"
    if isinstance(place, Part):
        where = "" if place.region is None else f"[{shown_region(place.region)}]"
        return f"{place.whole}{where}"
    if isinstance(place, Left):
        return f"result {place.number + 1}"
    return "memory of the results" if isinstance(place, Made) else ""
