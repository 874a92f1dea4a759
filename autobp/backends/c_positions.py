"""Positions of elements in flat memory, as sums of loop variables: what C writes between brackets.

A :class:`Position` is base + Σ coefficient·variable. Each variable is C text with a known number of values, 0
up, so that a position in a flat array can be taken apart into one position for each axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autobp.ir import Shape
from autobp.ir.slicing import row_strides


class Variable(NamedTuple):
    """coefficient · text, where the text has one of the values 0, 1, …, values - 1."""

    text: str
    coefficient: int
    values: int

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the greatest that it adds to a position."""
        last = self.coefficient * (self.values - 1)
        return min(0, last), max(0, last)


class Position(NamedTuple):
    """base + Σ variables."""

    base: int
    variables: tuple[Variable, ...] = ()

    @property
    def lowest(self) -> int:
        """The least that it can be."""
        return self.base + sum([x.ends[0] for x in self.variables])

    @property
    def highest(self) -> int:
        """The greatest that it can be."""
        return self.base + sum([x.ends[1] for x in self.variables])

    @property
    def text(self) -> str:
        """It as C; binds as a sum."""
        found = ""
        for text, coefficient, _ in self.variables:
            size = abs(coefficient)
            part = text if size == 1 else f"{size} * {text}"
            sign = "-" if coefficient < 0 else "+" if found else ""
            found = f"{found} {sign} {part}" if found else f"{sign}{part}"
        if not found:
            return str(self.base)
        return f"{found} {'-' if self.base < 0 else '+'} {abs(self.base)}" if self.base else found


ZERO = Position(0)


def loop_variable(name: str, count: int) -> Position:
    """A variable of a loop, or a text that binds as tightly as a name, with ``count`` values."""
    return Position(0, (Variable(name, 1, count),)) if count > 1 else ZERO


def combined(base: int, parts: Sequence[tuple[int, Position]]) -> Position:
    """base + Σ factor·position."""
    found: dict[str, Variable] = {}
    for factor, position in parts:
        base += factor * position.base
        for text, coefficient, values in position.variables:
            before = found[text].coefficient if text in found else 0
            found[text] = Variable(text, before + factor * coefficient, values)
    return Position(base, tuple([x for x in found.values() if x.coefficient]))


def flat(shape: Shape, index: Sequence[Position]) -> Position:
    """The position in flat memory of the element at an index."""
    return combined(0, list(zip(row_strides(shape), index, strict=True)))


def unflat(shape: Shape, position: Position) -> tuple[Position, ...]:
    """The index of the element at a position in flat memory."""
    parts, rest = [], position
    for size, stride in zip(shape, row_strides(shape), strict=True):
        if size == 1:
            parts.append(ZERO)
            continue
        mine = [x for x in rest.variables if x.coefficient % stride == 0]
        base = rest.base // stride
        part = Position(base, tuple([x._replace(coefficient=x.coefficient // stride) for x in mine]))
        others = tuple([x for x in rest.variables if x.coefficient % stride != 0])
        rest = Position(rest.base - base * stride, others)
        if part.lowest < 0 or part.highest >= size or rest.lowest < 0 or rest.highest >= stride:
            return _divided(shape, position)
        parts.append(part)
    return tuple(parts)


def _divided(shape: Shape, position: Position) -> tuple[Position, ...]:
    """The same by division, where the variables do not tell."""
    parts = []
    for size, stride in zip(shape, row_strides(shape), strict=True):
        quotient = f"({position.text})" + (f" / {stride}" if stride > 1 else "")
        parts.append(loop_variable(f"({quotient} % {size})", size))
    return tuple(parts)


def broadcast(shape: Shape, index: Sequence[Position]) -> tuple[Position, ...]:
    """The index into an array of a shape that is repeated to fill a larger one, at an index of that one."""
    last = index[len(index) - len(shape) :]
    return tuple([ZERO if size == 1 else x for size, x in zip(shape, last, strict=True)])
