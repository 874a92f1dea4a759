"""A CSV file as a table of samples, with messages that give the file, line, column and value."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobp.arguments import closest
from autobp.datasets.dataset import Table

Array = NDArray[np.float64]

#: Whole numbers are taken for classes up to so many different ones, and for quantities beyond.
MOST_CLASSES = 20

TASKS = ("classification", "regression")

#: How a missing number is written, in small letters.
_MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")


def read_csv(
    path: Path, target: str | int | None, drop: Sequence[str | int], header: bool | None, task: str | None
) -> Table:
    """The file's samples; the options are those of :func:`autobp.datasets.load`."""
    if task is not None and task not in TASKS:
        raise ValueError(f"task is {' or '.join(TASKS)}; got {task!r}")
    lines = _lines(path)
    first_number, first = lines[0]
    guessed = header is None
    if header is None:
        header = not any(_is_number(cell) for cell in first)
    columns = [f"x{i + 1}" for i in range(len(first))]
    if header:
        columns = first
        lines = lines[1:]
    dropped = {_column(path, columns, column) for column in drop}
    if header:
        _check_names(path, first_number, columns, dropped)
    if len(first) < 2:
        raise ValueError(f"{path}, line {first_number}: only one column; an input and a target are two")
    if len(lines) < 2:
        raise ValueError(f"{path}: {len(lines)} samples; at least two are needed")
    kept = [i for i in range(len(columns)) if i not in dropped]
    chosen = kept[-1] if kept else -1
    if target is not None:
        chosen = _column(path, columns, target)
        if chosen in dropped:
            raise ValueError(f"{path}: the column {columns[chosen]!r} is the target, and dropped")
    inputs = [i for i in kept if i != chosen]
    if not inputs:
        raise ValueError(f"{path}: no column is left for the inputs")
    _check_width(path, lines, len(columns), f"line {first_number} has {len(columns)}")
    if guessed and not header and _like_names([cells for _, cells in lines], chosen):
        raise ValueError(
            f"{path}, line {first_number}: {','.join(first)!r} may be the columns' names or a sample; "
            "say header=True or header=False (--header or --no-header)"
        )
    _refuse_text(path, columns, inputs, [cells for _, cells in lines])
    X = np.array([[_number(path, n, columns, i, cells[i]) for i in inputs] for n, cells in lines])
    labels, classes = _targets(path, lines, columns, chosen, task)
    return Table(path.name, X, labels, tuple(columns[i] for i in inputs), classes, columns[chosen])


def read_inputs(path: Path, names: Sequence[str]) -> Array:
    """The inputs of these names in a file, (m, n): its columns of these names, or all where it names none.

    Raises ValueError where a column is not there, or a cell is no finite number.
    """
    lines = _lines(path)
    number, first = lines[0]
    if set(names) <= set(first):
        columns, lines = first, lines[1:]
        _check_names(path, number, columns, {i for i, name in enumerate(columns) if name not in names})
        chosen = [columns.index(name) for name in names]
    elif not any(_is_number(cell) for cell in first):
        raise ValueError(_without(path, first, next(name for name in names if name not in first)))
    else:
        columns, chosen = list(names), list(range(len(names)))
    if not lines:
        raise ValueError(f"{path}: there are names, and no sample below them")
    _check_width(path, lines, len(columns), f"the columns are {', '.join(columns)}")
    return np.array([[_number(path, n, columns, i, cells[i], False) for i in chosen] for n, cells in lines])


def _check_width(path: Path, lines: Sequence[tuple[int, Sequence[str]]], width: int, wanted: str) -> None:
    """Raise ValueError where a line does not have as many cells as it should."""
    for number, cells in lines:
        if len(cells) != width:
            raise ValueError(f"{path}, line {number}: {len(cells)} cells, but {wanted}")


def _without(path: Path, columns: Sequence[str], wanted: str | int) -> str:
    """The message that there is no such column."""
    near = "" if str(wanted).lstrip("-").isdecimal() else closest(wanted, columns)
    hint = f"did you mean {near}? The" if near else "the"
    return f"{path}: there is no column {wanted!r}; {hint} columns are {', '.join(columns)}, numbered from 1"


def _column(path: Path, columns: list[str], wanted: str | int) -> int:
    """The index of a column by its name, or by its number from 1 or from -1, which may be text too."""
    if wanted in columns:
        return columns.index(str(wanted))
    whole = isinstance(wanted, int) or wanted.lstrip("-").isdecimal()
    number = int(wanted) if whole else 0
    if 1 <= number <= len(columns):
        return number - 1
    if -len(columns) <= number <= -1:
        return len(columns) + number
    raise ValueError(_without(path, columns, wanted))


def _refuse_text(path: Path, columns: list[str], inputs: list[int], rows: list[list[str]]) -> None:
    """ValueError where columns for inputs have text and no number at all; it names all of them."""
    text = [i for i in inputs if all(_is_text(row[i]) for row in rows)]
    if text:
        where = ", ".join(f"column {i + 1} ({columns[i]}) has {rows[0][i]!r}, …" for i in text)
        names = [columns[i] for i in text]
        raise ValueError(
            f"{path}: {where}, text alone; leave out what is no quantity, drop={names} or --drop "
            f"{' '.join(names)}, or make numbers of it"
        )


def _is_text(cell: str) -> bool:
    """Whether a cell is neither a number, however written, nor missing."""
    return cell.lower() not in _MISSING and not _is_number(cell) and not _like_comma(cell)


def _like_comma(cell: str) -> bool:
    """Whether a comma, and that alone, keeps a cell from being a number: "1,5", "1,234,567"."""
    return "," in cell and (_is_number(cell.replace(",", ".", 1)) or _is_number(cell.replace(",", "")))


def _like_thousands(cell: str) -> bool:
    """Whether the commas in a cell may part thousands: "1,200", and surely in "1,200,000.5"."""
    return re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", cell) is not None


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each line that is not blank, at least one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    first = next((row for row in text.split("\n") if row.strip()), "")
    delimiter = "\t" if "\t" in first else ";" if ";" in first else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    lines = [(number, cells) for number, cells in found if cells not in ([], [""])]
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines


def _check_names(path: Path, number: int, names: list[str], dropped: set[int]) -> None:
    for i, name in enumerate(names):
        if i in dropped:
            continue
        if not name:
            raise ValueError(
                f"{path}, line {number}, column {i + 1}: the column has no name; name it, or leave it out, "
                f"drop=[{i + 1}] or --drop {i + 1}, if it only numbers the lines"
            )
        if name in names[:i]:
            raise ValueError(f"{path}, line {number}, column {i + 1}: a second column called {name!r}")


def _number(
    path: Path, line: int, columns: list[str], i: int, cell: str, may_be_name: bool = True
) -> float:
    if _is_number(cell) and math.isfinite(float(cell)):
        return float(cell)
    where = f"{path}, line {line}, column {i + 1} ({columns[i]})"
    if not cell:
        raise ValueError(f"{where}: the cell is empty; fill it, or leave the line or the column out")
    hint = ""
    if line == 1 and may_be_name:
        hint = "; if line 1 holds the columns' names, say header=True (--header)"
    elif cell.lower() in _MISSING:
        hint = "; fill it, or leave the line or the column out"
    elif _like_thousands(cell):
        hint = f"; if the comma is the decimal point, write {cell.replace(',', '.')}; if it parts thousands, "
        hint += f"write {cell.replace(',', '')}"
    elif _like_comma(cell):
        hint = f"; write {cell.replace(',', '.', 1)}"
    raise ValueError(f"{where}: {cell!r} is not a finite number{hint}")


def _targets(
    path: Path, lines: Sequence[tuple[int, list[str]]], columns: list[str], i: int, task: str | None
) -> tuple[Array, tuple[str, ...]]:
    """Class numbers and the classes' names, or quantities and no names."""
    cells = [cells[i] for _, cells in lines]
    numeric = [_is_number(cell) for cell in cells]
    if "" in cells:
        line = lines[cells.index("")][0]
        raise ValueError(f"{path}, line {line}, column {i + 1} ({columns[i]}): the target is missing")
    if task is None and any(numeric) and not all(numeric):
        odd = numeric.index(numeric.count(True) * 2 < len(numeric))
        raise ValueError(
            f"{path}, line {lines[odd][0]}, column {i + 1} ({columns[i]}): {cells[odd]!r}, but other targets "
            f'are {"text" if numeric[odd] else "numbers"}; say task="classification" (--task classification) '
            "if all are classes"
        )
    if task == "regression" or (task is None and all(numeric) and not _like_classes(cells)):
        return np.array([_number(path, n, columns, i, row[i]) for n, row in lines]), ()
    if all(numeric) and all(math.isfinite(float(cell)) for cell in cells):
        by_number: dict[float, str] = {}
        for cell in cells:
            by_number.setdefault(float(cell), cell)  # "1" and "1.0" are one class, called as it came first
        order = sorted(by_number)
        classes = [by_number[number] for number in order]
        labels = [order.index(float(cell)) for cell in cells]
    else:
        classes = sorted(set(cells))
        labels = [classes.index(cell) for cell in cells]
    if len(classes) < 2:
        raise ValueError(f"{path}, column {i + 1} ({columns[i]}): every target is {cells[0]!r}")
    return np.array(labels, dtype=np.float64), tuple(classes)


def _like_classes(cells: list[str]) -> bool:
    """Whether numbers look like class numbers: whole, few, and few against the samples."""
    numbers = [float(cell) for cell in cells]
    whole = all(math.isfinite(x) and x == int(x) for x in numbers)
    return whole and 2 <= len(set(numbers)) <= min(MOST_CLASSES, len(numbers) / 2)


def _like_names(lines: list[list[str]], target: int) -> bool:
    """Whether a first line with numbers in it looks like names all the same.

    It does where it counts the columns from 0, as pandas names them, and where its target is the only one
    that comes once among labels.
    """
    first = lines[0]
    if len(first) > 2 and first == [str(i) for i in range(len(first))]:
        return True
    counts = Counter(cells[target] for cells in lines)
    alone = [label for label, count in counts.items() if count == 1]
    return alone == [first[target]] and len(counts) > 2 and not any(_is_number(label) for label in counts)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python's own 1_000
