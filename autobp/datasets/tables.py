"""From a sheet to a table of samples: which columns, what each becomes, and what is said of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.dataset import Table
from autobp.datasets.encoding import Encoding, bad_number, encoding_of, gaps, kind_of
from autobp.datasets.numerals import MISSING_NUMBER, Numerals, grouping, numerals_of
from autobp.datasets.sheet import Sheet
from autobp.datasets.targets import TASKS, like_names, quantities_of, target_gaps, targets_of

Array = NDArray[np.float64]
Column = str | int

MISSING_CHOICES = ("drop", "mean", "category")
#: "$1,200", "12 %".
_WITH_A_SIGN = re.compile(r"[$€£¥]?\s*[+-]?\d[\d.,'’ \u00a0\u202f]*\s*[%$€£¥]?")
#: "19-Sep-03", "3/23/2019".
_LIKE_A_DAY = re.compile(r"(\d{1,4}|[A-Za-z]{3,9})[-/. ](\d{1,2}|[A-Za-z]{3,9})([-/., ]+\d{2,4}.*)?")
#: So much of a line a message shows.
_LONGEST = 80
#: In fewer rows a column that counts them, or a class a row, may be chance.
_FEWEST_ROWS = 10


@dataclass(frozen=True)
class Choice:
    """What callers say of a sheet's columns; see :func:`autobp.datasets.load`."""

    target: Sequence[Column] = ()
    drop: Sequence[Column] = ()
    categories: Sequence[Column] = ()
    task: str | None = None
    missing: str | None = None
    decimal: str | None = None
    thousands: str | None = None

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise ValueError(f"task is {' or '.join(TASKS)}; got {self.task!r}")
        if self.missing is not None and self.missing not in MISSING_CHOICES:
            raise ValueError(f"missing is {', '.join(MISSING_CHOICES)}; got {self.missing!r}")


def table_of(name: str, sheet: Sheet, choice: Choice) -> Table:
    """The samples of a sheet, and in ``notes`` what a user should know of it.

    Raises ValueError where it does not hold such a table.
    """
    if len(sheet.names) < 2:
        raise ValueError(f"{sheet.where}: only one column; an input and a target are two")
    if len(sheet.rows) < 2:
        raise ValueError(f"{sheet.where}: {len(sheet.rows)} samples; at least two are needed")
    targets, inputs, notes = _columns(sheet, choice)
    numerals = numerals_of(choice.decimal, choice.thousands, _texts(sheet, [*inputs, *targets]))
    if sheet.head and like_names(sheet.head, sheet.cells(targets[0]), targets[0]):
        raise ValueError(
            f"{sheet.where}, {sheet.names_at}: {_shortened(','.join(sheet.head))!r} may be the columns' "
            "names or a sample; say header=True or header=False (--header or --no-header)"
        )
    categorical = {sheet.index(column) for column in choice.categories} | sheet.categorical
    if choice.task is None and len(targets) == 1 and targets[0] in sheet.categorical:
        choice = replace(choice, task="classification")
    _check_first(sheet, [i for i in [*inputs, *targets] if i not in categorical], numerals)
    kinds = {i: kind_of(sheet, i, numerals, i in categorical) for i in inputs}
    notes += _notes_on_inputs(sheet, {i: kind for i, kind in kinds.items() if i not in categorical})
    kinds = {i: kind for i, kind in kinds.items() if kind != "names"}
    if not kinds:
        raise ValueError("; ".join([f"{sheet.where}: no column is left for the inputs", *notes]))
    if choice.missing == "drop":
        sheet = _without_gaps(sheet, kinds, targets, numerals, choice.task)
    encodings = {i: encoding_of(sheet, i, kind, choice.missing) for i, kind in kinds.items()}
    X = _inputs(sheet, encodings, numerals)
    labels, classes = _labels(sheet, targets, numerals, choice)
    notes += _notes_on_classes(sheet, targets[0], classes)
    names = tuple(name for encoding in encodings.values() for name in encoding.inputs)
    target = ", ".join(sheet.names[i] for i in targets)
    return Table(name, X, labels, names, classes, target, notes=tuple(notes))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _check_first(sheet: Sheet, columns: Sequence[int], numerals: Numerals) -> None:
    """Raise ValueError where the first row has a word above numbers, and may be the columns' names.

    What is missing below it would hide that.
    """
    for i in columns if sheet.head else ():
        if not numerals.is_number(sheet.head[i]) and sheet.head[i].lower() not in MISSING_NUMBER:
            known = [cell for cell in sheet.cells(i)[1:] if cell.lower() not in MISSING_NUMBER]
            if known and all(map(numerals.is_number, known)):
                raise ValueError(bad_number(sheet, 0, i))


def _texts(sheet: Sheet, columns: Sequence[int]) -> list[str]:
    """The cells of these columns but for those of numbers."""
    return [cell for i in columns if sheet.numbers(i) is None for cell in sheet.cells(i)]


def _columns(sheet: Sheet, choice: Choice) -> tuple[list[int], list[int], list[str]]:
    """The columns of the targets and those of the inputs, and what was left out unasked."""
    dropped = {sheet.index(column) for column in choice.drop}
    chosen = [sheet.index(column) for column in choice.target]
    for i in chosen:
        if i in dropped:
            raise ValueError(f"{sheet.where}: the column {sheet.names[i]!r} is the target, and dropped")
    notes = []
    for i in range(len(sheet.names)):
        if i not in dropped and i not in chosen:
            out, note = _names_nothing(sheet, i)
            dropped |= {i} if out else set()
            notes += [note] if note else []
    _check_names(sheet, dropped)
    kept = [i for i in range(len(sheet.names)) if i not in dropped]
    targets = chosen or kept[-1:]
    inputs = [i for i in kept if i not in targets]
    if not inputs:
        raise ValueError(f"{sheet.where}: no column is left for the inputs")
    return targets, inputs, notes


def _names_nothing(sheet: Sheet, i: int) -> tuple[bool, str]:
    """Whether a column is left out unasked, and what to say of it.

    It is where it ends the lines and is empty, and where it is the first, has no name and tells rows apart.
    """
    last = i == len(sheet.names) - 1
    unnamed = not sheet.names[i]
    if not unnamed and not (last and sheet.names[i] == f"x{i + 1}"):
        return False, ""
    if sheet.numbers(i) is None and not any(sheet.cells(i)):
        return True, ""
    if not unnamed or i > 0 or len(set(sheet.cells(i))) < len(sheet.rows):
        return False, ""
    return True, "column 1 has no name, and another value in every row: it is left out (drop=[1] says so too)"


def _check_names(sheet: Sheet, dropped: set[int]) -> None:
    for i, name in enumerate(sheet.names):
        if i in dropped:
            continue
        where = ", ".join(part for part in (sheet.where, sheet.names_at, f"column {i + 1}") if part)
        if not name:
            raise ValueError(
                f"{where}: the column has no name; name it, or leave it out, drop=[{i + 1}] or --drop "
                f"{i + 1}, if it only numbers the lines"
            )
        if name in sheet.names[:i]:
            raise ValueError(
                f"{where}: a second column called {name!r}; give it another name, or leave one out, "
                f"drop=[{i + 1}] or --drop {i + 1}"
            )


def _notes_on_inputs(sheet: Sheet, kinds: dict[int, str]) -> list[str]:
    """What to say of columns that name rows, and of those that count them."""
    notes = []
    for i, kind in kinds.items():
        name = sheet.names[i]
        if kind == "names":
            cells = sheet.cells(i)
            days = all(map(_LIKE_A_DAY.fullmatch, filter(None, cells)))
            notes.append(
                f"{sheet.column(i)} has {len(set(cells))} different texts in {len(cells)} rows, "
                f"{cells[0]!r}, …: it is left out, as by drop=[{name!r}] (--drop {name}); "
                + ("days are read if written as 2019-03-23; " if days else "")
                + _how_to_group(cells)
                + f"categories=[{name!r}] (--categories {name}) takes it all the same"
            )
        elif kind == "categories" and all(map(_WITH_A_SIGN.fullmatch, sheet.cells(i))):
            notes.append(
                f"{sheet.column(i)} has numbers with signs, {sheet.cells(i)[0]!r}, …, which become "
                "categories; "
                + (_how_to_group(sheet.cells(i)) or "write the numbers alone to have them as such")
            )
        elif kind == "number" and len(sheet.rows) >= _FEWEST_ROWS and _counts_rows(sheet, i):
            notes.append(
                f"{sheet.column(i)} counts the rows, which says nothing of new ones; drop=[{name!r}] (--drop "
                f"{name}) leaves it out"
            )
        elif kind == "number" and len(sheet.rows) >= _FEWEST_ROWS and _has_days(sheet, i):
            notes.append(
                f"{sheet.column(i)} seems to have days, {sheet.cells(i)[0]}, …, which are taken for numbers: "
                "from one month to the next these leap; write them as 2019-03-23"
            )
    return notes


def _how_to_group(cells: Sequence[str]) -> str:
    """What to say of texts that are numbers but for what parts their thousands."""
    marks = {grouping(cell) for cell in cells} - {""}
    like = len(marks) == 1 and all(map(_WITH_A_SIGN.fullmatch, cells))
    return f"thousands={min(marks)!r} (--thousands {min(marks)!r}) reads it as numbers; " if like else ""


def _plain_numbers(sheet: Sheet, i: int) -> Array | None:
    """A column of numbers as an array; None where a cell is none, or is written in another way."""
    column = sheet.numbers(i)
    if column is not None:
        return column
    read = [Numerals().value(cell) for cell in sheet.cells(i)]
    return None if any(number is None for number in read) else np.array(read, dtype=np.float64)


def _has_days(sheet: Sheet, i: int) -> bool:
    """Whether each number is a day of a calendar, as 20190323 is."""
    column = _plain_numbers(sheet, i)
    if column is None or not 17000101 <= column[0] <= 21991231 or not (column == np.floor(column)).all():
        return False
    year, month, day = column // 10000, column // 100 % 100, column % 100
    inside = (year >= 1700) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(inside.all())


def _counts_rows(sheet: Sheet, i: int) -> bool:
    """Whether a column of numbers counts from 0 or 1, or is called an id and has another whole one a row."""
    column = _plain_numbers(sheet, i)
    if column is None:
        return False
    if column[0] in (0.0, 1.0) and column[1] - column[0] == 1 and (np.diff(column) == 1).all():
        return True
    words = sheet.names[i].lower().replace("_", " ").replace("-", " ").split()
    if "id" not in words or not np.isfinite(column).all():
        return False
    return bool((column == np.floor(column)).all()) and len(np.unique(column)) == len(column)


def _notes_on_classes(sheet: Sheet, i: int, classes: Sequence[str]) -> list[str]:
    m = len(sheet.rows)
    if m < _FEWEST_ROWS or len(classes) <= m / 2:
        return []
    return [
        f"the target, {sheet.column(i)}, has {len(classes)} classes in {m} rows, hardly one twice; target=… "
        "(--target) chooses another column"
    ]


def _without_gaps(
    sheet: Sheet, kinds: dict[int, str], targets: Sequence[int], numerals: Numerals, task: str | None
) -> Sheet:
    """The rows in which nothing is missing; ValueError where these are fewer than two."""
    missing = np.zeros(len(sheet.rows), dtype=bool)
    worst, most = 0, 0
    for i in [*kinds, *targets]:
        column = gaps(sheet, i, kinds[i]) if i in kinds else target_gaps(sheet, i, numerals, task)
        missing |= column
        if column.sum() > most:
            worst, most = i, int(column.sum())
    if len(missing) - missing.sum() < 2:
        raise ValueError(
            f"{sheet.where}: something is missing in {missing.sum()} of {len(missing)} rows, most in "
            f"{sheet.column(worst)}; leave that column out, drop=[{sheet.names[worst]!r}], or choose "
            "missing='category'"
        )
    return sheet.kept(np.flatnonzero(~missing).tolist()) if missing.any() else sheet


def _inputs(sheet: Sheet, encodings: dict[int, Encoding], numerals: Numerals) -> Array:
    """The inputs, (m, n), NaN where a number is missing that is to be filled in."""
    if sheet.table is not None and all(each.kind == "number" for each in encodings.values()):
        chosen = list(encodings)
        row = chosen == list(range(chosen[0], chosen[-1] + 1))
        return sheet.table[:, chosen[0] : chosen[-1] + 1] if row else sheet.table[:, chosen]
    return np.hstack([encoding.array(sheet, i, numerals) for i, encoding in encodings.items()])


def _labels(
    sheet: Sheet, targets: Sequence[int], numerals: Numerals, choice: Choice
) -> tuple[Array, tuple[str, ...]]:
    if len(targets) == 1:
        return targets_of(sheet, targets[0], numerals, choice.task, choice.missing)
    if choice.task == "classification":
        raise ValueError("several targets are quantities; classes have one column")
    for i in targets:
        gone = target_gaps(sheet, i, numerals, "regression")
        if gone.any():
            where = sheet.place(int(gone.argmax()), i)
            raise ValueError(f"{where}: the target is missing; missing='drop' leaves such lines out")
    return np.stack([quantities_of(sheet, i, numerals) for i in targets], axis=1), ()
