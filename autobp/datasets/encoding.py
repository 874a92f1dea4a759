"""Inputs of a network from a column: numbers as they are, days as numbers, words as 0 and 1.

What an input is called says how it comes from its column, so that new rows can be encoded alike:

========================  ==================================================================
``age``                   the number in the column ``age``
``born[days]``            days since 1970-01-01
``smoker=yes``            1 for yes, 0 for no, in a column of these two words
``sex=male``              1 where the column says male, else 0; an input for each category
``age=missing``           1 where nothing is known, else 0
========================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.numerals import (
    MISSING_NUMBER,
    MISSING_TEXT,
    NO_AND_YES,
    Numerals,
    are_days,
    days_of,
    finite,
    grouping,
    like_comma,
    like_thousands,
)
from autobp.datasets.sheet import Sheet

Array = NDArray[np.float64]

#: More categories in a column than this name rows, or nearly.
MOST_CATEGORIES = 100
MISSING = "missing"


@dataclass(frozen=True)
class Encoding:
    """How one column becomes inputs.

    Attributes:
        column: its name.
        kind: "number", "days", "yes" (one of ``NO_AND_YES``) or "categories".
        categories: the words: of "yes" that one, else all; in text that is missing, ``MISSING`` is one.
        missing: what becomes of missing numbers: None refuses them, "mean" leaves them NaN, to be filled in,
            and "category" has an input besides that says where they are.
    """

    column: str
    kind: str
    categories: tuple[str, ...] = ()
    missing: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs."""
        if self.kind in ("yes", "categories"):
            return tuple(f"{self.column}={category}" for category in self.categories)
        own = f"{self.column}[days]" if self.kind == "days" else self.column
        return (own, f"{self.column}={MISSING}") if self.missing == "category" else (own,)

    def array(self, sheet: Sheet, i: int, numerals: Numerals) -> Array:
        """The inputs from the i-th column of a sheet, (m, number of inputs); NaN where a number is missing.

        Raises ValueError where a cell is not of this kind.
        """
        if self.kind == "categories":
            return self._one_hot(sheet, i)
        if self.kind == "yes":
            return self._yes(sheet, i)
        column = sheet.numbers(i) if self.kind == "number" else None
        if column is None:
            read = numerals.value if self.kind == "number" else days_of
            column = np.array([self._number(sheet, row, i, cell, read(cell))
                               for row, cell in enumerate(sheet.cells(i))])  # fmt: skip
        missing = np.isnan(column)
        bad = np.isinf(column) if self.missing is not None else ~np.isfinite(column)
        if bad.any():
            raise ValueError(bad_number(sheet, int(np.argmax(bad)), i))
        marked = self.missing == "category"
        return np.stack([column, missing.astype(float)], axis=1) if marked else column[:, None]

    def with_gaps(self) -> Encoding:
        """The same, which leaves numbers NaN where they are missing."""
        return replace(self, missing=self.missing or "mean") if self.kind in ("number", "days") else self

    def fits(self, cell: str, numerals: Numerals) -> bool:
        """Whether a cell may stand in this column, and something does in it."""
        if self.kind == "categories":
            return cell in self.categories or (MISSING in self.categories and cell.lower() in MISSING_TEXT)
        if self.kind == "yes":
            return cell.lower() in (self.categories[0].lower(), self._no)
        if self.missing is not None and cell.lower() in MISSING_NUMBER:
            return True
        return finite(numerals.value(cell) if self.kind == "number" else days_of(cell))

    @property
    def _no(self) -> str:
        """The counterpart of the word for yes."""
        return next(no for no, word in NO_AND_YES if word == self.categories[0].lower())

    def _number(self, sheet: Sheet, row: int, i: int, cell: str, number: float | None) -> float:
        if number is not None and finite(number):
            return number
        if self.missing is not None and cell.lower() in MISSING_NUMBER:
            return np.nan
        raise ValueError(bad_number(sheet, row, i))

    def _yes(self, sheet: Sheet, i: int) -> Array:
        yes = self.categories[0]
        no = self._no
        words = [cell.lower() for cell in sheet.cells(i)]
        for row, word in enumerate(words):
            if word not in (no, yes.lower()):
                raise ValueError(_not_among(sheet, row, i, (no, yes)))
        return np.array([[float(word == yes.lower())] for word in words])

    def _one_hot(self, sheet: Sheet, i: int) -> Array:
        cells = sheet.cells(i)
        found = np.zeros((len(cells), len(self.categories)))
        positions = {category: k for k, category in enumerate(self.categories)}
        for row, cell in enumerate(cells):
            k = positions.get(cell)
            if k is None and cell.lower() in MISSING_TEXT:
                k = positions.get(MISSING)
            if k is None:
                raise ValueError(_not_among(sheet, row, i, self.categories))
            found[row, k] = 1.0
        return found


def kind_of(sheet: Sheet, i: int, numerals: Numerals, categorical: bool) -> str:
    """What the i-th column holds: "number", "days", "yes" or "categories"; "names" where texts name the rows.

    Texts do where there are over ``MOST_CATEGORIES`` of them, or one for less than two rows each.
    """
    if sheet.numbers(i) is not None and not categorical:
        return "number"
    cells = sheet.cells(i)
    text = [cell for cell in cells if cell.lower() not in MISSING_TEXT]
    if categorical:
        return "categories"
    if any(map(numerals.is_number, text)) or any(map(like_comma, text)) or not text:
        return "number"
    if len(text) == len(cells) and {cell.lower() for cell in text} in [set(pair) for pair in NO_AND_YES]:
        return "yes"
    if are_days(text):
        return "days"
    return "names" if len(set(text)) > min(MOST_CATEGORIES, len(text) / 2) else "categories"


def gaps(sheet: Sheet, i: int, kind: str) -> NDArray[np.bool_]:
    """Of each row, whether nothing is known in the i-th column, which is of that kind."""
    column = sheet.numbers(i) if kind == "number" else None
    if column is not None:
        # a table has no gaps, and to go through its columns takes long where there are many
        return np.isnan(column) if sheet.table is None else np.zeros(len(column), dtype=np.bool_)
    words = MISSING_NUMBER if kind in ("number", "days") else MISSING_TEXT
    return np.array([cell.lower() in words for cell in sheet.cells(i)])


def encoding_of(sheet: Sheet, i: int, kind: str, missing: str | None) -> Encoding:
    """How the i-th column, of that kind, becomes inputs.

    Raises ValueError where it holds nothing, or something is missing and nobody said what to do.
    """
    gone = gaps(sheet, i, kind)
    if gone.all():
        raise ValueError(
            f"{sheet.where}: {sheet.column(i)} is empty in every row; leave it out, drop=[{i + 1}] or "
            f"--drop {i + 1}"
        )
    name = sheet.names[i]
    if kind == "yes":
        yes = next(cell for cell in sheet.cells(i) if cell.lower() in [word for _, word in NO_AND_YES])
        return Encoding(name, kind, (yes,))
    if kind == "categories":
        known = {cell for cell, gap in zip(sheet.cells(i), gone, strict=True) if not gap}
        if gone.any() and missing != "category":
            raise ValueError(_no_category(sheet, int(gone.argmax()), i, missing))
        return Encoding(name, kind, tuple(sorted({*known, MISSING} if gone.any() else known)))
    if gone.any() and missing is None:
        raise ValueError(bad_number(sheet, int(gone.argmax()), i))
    return Encoding(name, kind, missing=missing if gone.any() else None)


def _no_category(sheet: Sheet, row: int, i: int, missing: str | None) -> str:
    cell = sheet.cells(i)[row]
    said = f"{cell!r} is taken for missing" if cell else "the cell is empty"
    why = "text has no mean" if missing == "mean" else "it is no category unasked"
    return (
        f"{sheet.place(row, i)}: {said}, and {why}; leave such lines out, missing='drop' (--missing drop), "
        "or say missing='category' (--missing category) to make it one"
    )


def encodings_of(inputs: Sequence[str], columns: Sequence[str]) -> list[Encoding]:
    """The encodings that make these inputs of such columns, in the order of the inputs.

    An input that names a column is its number. Where no column is known, the names alone tell.
    """
    found: dict[str, Encoding] = {}
    for name in inputs:
        column, kind, category = _parts(name, columns)
        before = found.get(column)
        if before is None or (kind == "categories" and before.kind == "categories"):
            found[column] = Encoding(column, kind, (*(before.categories if before else ()), *category))
        else:
            found[column] = Encoding(column, before.kind, missing="category")
    yes = tuple(word for _, word in NO_AND_YES)
    return [
        Encoding(column, "yes", each.categories)
        if len(each.categories) == 1 and each.categories[0].lower() in yes
        else each
        for column, each in found.items()
    ]


def _parts(name: str, columns: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
    """The column of an input, the kind of its encoding, and its category in a tuple, if it is of one."""
    if name in columns:
        return name, "number", ()
    if name.endswith("[days]") and (name[:-6] in columns or not columns):
        return name[:-6], "days", ()
    cuts = [k for k, character in enumerate(name) if character == "="]
    for k in reversed(cuts):
        if name[:k] in columns:
            return name[:k], "categories", (name[k + 1 :],)
    if cuts and not columns:
        return name[: cuts[0]], "categories", (name[cuts[0] + 1 :],)
    return name, "number", ()


def bad_number(sheet: Sheet, row: int, i: int) -> str:
    """The message that a cell is no number, and what to do about it."""
    cell, where = sheet.cells(i)[row], sheet.place(row, i)
    if not cell:
        return f"{where}: the cell is empty; {sheet.remedy}"
    hint = ""
    if cell.lower() in MISSING_NUMBER:
        hint = f"; {sheet.remedy}"
    elif row == 0 and sheet.first:
        hint = "; if line 1 holds the columns' names, say header=True (--header)"
    elif like_thousands(cell):
        hint = f"; if the comma is the decimal point, write {cell.replace(',', '.')}; if it parts thousands, "
        hint += f"write {cell.replace(',', '')}; or say decimal=',' or thousands=',' (--decimal, --thousands)"
    elif grouping(cell):
        mark = grouping(cell)
        hint = f"; if {mark!r} parts thousands, say thousands={mark!r} (--thousands {mark!r})"
    elif "," in cell and Numerals(",").is_number(cell):
        hint = f"; write {cell.replace(',', '.', 1)}, or say decimal=',' (--decimal ,)"
    elif row == 0 and sheet.names_at and cell.isalpha() and _are_numbers(sheet.cells(i)[1:]):
        hint = f"; if {sheet.rows[0]} belongs to the names above it, leave it out"
    elif _python_number(cell) is None:
        name = sheet.names[i]
        hint = f"; if its values are categories, say categories=[{name!r}] (--categories {name})"
        hint += f"; if they only name the rows, drop=[{name!r}] (--drop {name})"
    return f"{where}: {cell!r} is not a finite number{hint}"


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(finite(_python_number(cell)) for cell in cells)


def _python_number(cell: str) -> float | None:
    return Numerals().value(cell)


def _not_among(sheet: Sheet, row: int, i: int, known: Sequence[str]) -> str:
    cell = sheet.cells(i)[row]
    what = repr(cell) if cell else "the cell is empty, and"
    return f"{sheet.place(row, i)}: {what} is none of {', '.join(known)}"
