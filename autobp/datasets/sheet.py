"""A sheet: named columns of cells, wherever they come from, and where in it a cell stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autobp.arguments import closest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sheet:
    """The samples of a file or a frame, a row each, before anything is chosen or made numbers.

    Attributes:
        where: the file or the frame, for messages.
        names: of the columns; "" where one has none.
        rows: where each row stands, "line 3".
        cells: the texts of the column of that index, from 0.
        numbers: of the column of that index as an array, NaN where one is missing; None where it has texts.
        table: all numbers, (m, columns), where there is nothing else and none is missing.
        names_at: where the names stand, "line 1"; "" where they are no part of the sheet.
        first: whether the first row may be the columns' names, for messages.
        head: the first row, where it was taken for no names, and nobody said so; else empty.
        categorical: the columns of numbers that a frame says are categories.
        remedy: what to do where something is missing, for messages.
    """

    where: str
    names: tuple[str, ...]
    rows: Sequence[str]
    cells: Callable[[int], Sequence[str]]
    numbers: Callable[[int], Array | None] = lambda i: None
    table: Array | None = None
    names_at: str = ""
    first: bool = False
    head: tuple[str, ...] = ()
    categorical: frozenset[int] = frozenset()
    remedy: str = (
        "fill it, or leave the line or the column out (missing='drop' or --missing drop leaves out such "
        "lines; mean and category are the other choices)"
    )

    def place(self, row: int, i: int) -> str:
        """Where a cell is, for messages: file, line, column."""
        return f"{self.where}, {self.rows[row]}, {self.column(i)}"

    def column(self, i: int) -> str:
        """A column, for messages."""
        return f"column {i + 1} ({self.names[i]})"

    def index(self, wanted: str | int) -> int:
        """The index of a column by its name, or by its number from 1 or from -1, which may be text too."""
        if wanted in self.names:
            return self.names.index(str(wanted))
        whole = isinstance(wanted, int) or wanted.lstrip("-").isdecimal()
        number = int(wanted) if whole else 0
        named = str(wanted)
        if isinstance(wanted, int) and named in self.names and self.names.index(named) + 1 != number:
            raise ValueError(
                f"{self.where}: {wanted} may be the column called {named!r} or the number of one, counted "
                f"from 1; say {named!r} for the first, or the other one's name"
            )
        if 1 <= number <= len(self.names):
            return number - 1
        if -len(self.names) <= number <= -1:
            return len(self.names) + number
        raise ValueError(without(self.where, self.names, wanted))

    def kept(self, rows: Sequence[int]) -> Sheet:
        """The sheet of these rows alone."""
        cells, numbers = self.cells, self.numbers

        def numbers_kept(i: int) -> Array | None:
            column = numbers(i)
            return None if column is None else column[list(rows)]

        def cells_kept(i: int) -> list[str]:
            column = cells(i)
            return [column[row] for row in rows]

        return replace(
            self, rows=[self.rows[row] for row in rows], cells=cells_kept, numbers=numbers_kept,
            table=None if self.table is None else self.table[list(rows)], first=False,
        )  # fmt: skip


def without(where: str, names: Sequence[str], wanted: str | int) -> str:
    """The message that there is no such column."""
    near = "" if str(wanted).lstrip("-").isdecimal() else closest(wanted, names)
    hint = f"did you mean {near}? The" if near else "the"
    return f"{where}: there is no column {wanted!r}; {hint} columns are {', '.join(names)}, numbered from 1"
