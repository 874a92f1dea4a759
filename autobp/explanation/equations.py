"""The steps of a derivation: equations, each a chain of equal formulas, in sections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, overload

from autobp.explanation.formula import Formula, Sum
from autobp.explanation.notation import Name
from autobp.explanation.writing import Writing


@dataclass(frozen=True)
class Equation:
    """One line of a derivation: several ways of writing one quantity, each equal to the one before.

    Attributes:
        left: the quantity.
        right: (formula, whether it is written with numbers), in order.
        value: the number that all of them have.
        number_shown: whether the printed step ends in that number.
    """

    left: Formula
    right: tuple[tuple[Formula, bool], ...]
    value: float
    number_shown: bool = True

    def lines(self, writing: Writing) -> list[list[str]]:
        """The left side, then each right side that differs from the one before it, then the number.

        Each is in pieces between which a long line may be broken.
        """
        written = [self.left.parts(writing)]
        for part, numbers in self.right:
            written.append(part.parts(replace(writing, numbers=numbers)))
        result = [writing.number(self.value)]
        if self.number_shown and written[-1] != result:
            if self.right and self.right[-1][1]:
                written[-1][-1] += f" = {result[0]}"
            else:
                written.append(result)
        return [line for i, line in enumerate(written) if i == 0 or line != written[i - 1]]


class Equations(Sequence[Equation]):
    """Equations that are made when they are asked for: of a hundred thousand only a few are printed."""

    def __init__(self, n: int, make: Callable[[int], Equation]) -> None:
        self._n = n
        self._make = make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Equation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Equation]: ...
    def __getitem__(self, index: int | slice) -> Equation | Sequence[Equation]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._n))]
        return self._make(range(self._n)[index])


@dataclass(frozen=True)
class Section:
    """Equations that belong together, the steps of a derivation.

    Attributes:
        title: what they are, in text.
        latex_title: the same with mathematics between dollar signs.
        steps: the lines. Where there are many, only the first and the last are printed.
        groups: (how many steps, how many of them belong together) of each run of steps that are alike, such
            as a layer's, in order; none where all are alike.
    """

    title: str
    latex_title: str
    steps: Sequence[Equation]
    groups: tuple[tuple[int, int], ...] = ()


#: What belongs together is never left out of so few, as sums of so few terms are written out.
_FEW: Final = 4


def shortened(section: Section, most: int) -> Iterator[Equation | int]:
    """The steps, or of each group the first and the last with the number of those between."""
    start, steps = 0, section.steps
    for length, together in section.groups or ((len(steps), 1),):
        end = start + length
        first = start + max(1, (most - 1 - together) // together) * together
        last = end - together
        if length <= max(most, _FEW * together) or first >= last:
            yield from steps[start:end]
        else:
            yield from steps[start:first]
            yield last - first
            yield from steps[last:end]
        start = end


def equal(left: Formula, *right: Formula | tuple[Formula, bool], value: float | None = None) -> Equation:
    """A step: each formula in symbols, then the last of them in numbers, then the number.

    A formula that cannot be computed at this graph's numbers is left out: 0/0, say, where an output is 1.
    """
    number = left.value if value is None else value
    parts = [part if isinstance(part, tuple) else (part, False) for part in right]
    parts = [part for part in parts if agrees(part[0], number)]
    if parts and not any(numbers for _, numbers in parts):
        parts.append((parts[-1][0], True))
    return Equation(left, tuple(parts), number)


def sum_of(terms: Sequence[Formula], short: Name | None = None) -> Formula:
    """The terms added, each as it stands, with a short form for many."""
    if len(terms) == 1:
        return terms[0]
    return Sum(terms, short)


def agrees(x: Formula, number: float) -> bool:
    """Whether a formula has that number, but for the rounding of its terms."""
    if same(x.value, number):
        return True
    return math.isfinite(x.value) and abs(x.value - number) <= 1e-9 * x.magnitude


def same(x: float, y: float) -> bool:
    """Equal up to rounding."""
    return x == y or (x != x and y != y) or math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-300)
