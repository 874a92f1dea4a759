"""A CSV file as a sheet: which line has the names, and numbers alone read fast."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.dialect import (
    WHITESPACE,
    Dialect,
    Line,
    delimiters,
    first_line,
    lines_of,
    text_of,
    without_preamble,
)
from autobp.datasets.numerals import Numerals, finite, is_number, numerals_of
from autobp.datasets.sheet import Sheet
from autobp.datasets.whole_numbers import whole_numbers

Array = NDArray[np.float64]

_WIDTH = (
    "mend the line that is wrong or leave it out, or say delimiter=… (--delimiter) if something else parts "
    "the cells"
)
#: What says that a cell is missing, and is no column's name: "Na" may be sodium.
_NO_NAMES = ("?", "<NA>", "N/A")


def sheet_of_file(path: Path, dialect: Dialect, header: bool | None) -> Sheet:
    """The file as a sheet; the options are those of :func:`autobp.datasets.load`.

    Raises ValueError where it is no table, or its first line may be names or a sample.
    """
    text, dialect = without_preamble(text_of(path, dialect.encoding), dialect)
    where = str(path)
    return sheet_of_numbers(where, text, dialect, header) or _sheet_of_text(where, text, dialect, header)


def _sheet_of_text(where: str, text: str, dialect: Dialect, header: bool | None) -> Sheet:
    lines = lines_of(where, text, dialect.delimiter)
    number, first = lines[0]
    guessed = header is None
    if header is None:
        numerals = numerals_in(lines, dialect)
        header = not any(numerals.is_number(cell) or cell in _NO_NAMES for cell in first)
        if header and _like_sample([cells for _, cells in lines], numerals):
            header = False
    names = first if header else [f"x{i + 1}" for i in range(len(first))]
    said = f"line {number} has {len(first)}"
    if header:
        lines = lines[1:]
        if lines and all(len(cells) == len(first) + 1 for _, cells in lines):
            if any(cells[-1] for _, cells in lines):
                names = ["", *first]  # as R writes names of rows
            else:  # a comma ends each line but that of the names
                lines = [(line, cells[:-1]) for line, cells in lines]
    check_width(where, lines, len(names), said)
    if len(first) < 2:
        raise ValueError(
            f"{where}, line {number}: only one column; an input and a target are two. If something else than "
            "a comma, semicolon, tab, | or spaces parts the cells, say delimiter=… (--delimiter)"
        )
    return replace(
        sheet_of_lines(where, names, lines),
        names_at=f"line {number}",
        first=bool(lines) and lines[0][0] == 1,
        head=tuple(first) if guessed and not header else (),
    )


def sheet_of_lines(where: str, names: Sequence[str], lines: Sequence[Line]) -> Sheet:
    """Lines below their names as a sheet."""
    rows = [f"line {number}" for number, _ in lines]
    return Sheet(where, tuple(names), rows, lambda i: [cells[i] for _, cells in lines])


def numerals_in(lines: Sequence[Line], dialect: Dialect) -> Numerals:
    """How these cells have their numbers."""
    return numerals_of(dialect.decimal, dialect.thousands, (cell for _, cells in lines for cell in cells))


def check_width(where: str, lines: Sequence[Line], width: int, wanted: str, advice: str = _WIDTH) -> None:
    """Raise ValueError where a line does not have as many cells as it should."""
    for number, cells in lines:
        if len(cells) != width:
            raise ValueError(
                f"{where}, line {number}: {len(cells)} cells, but {wanted}; {advice}"
            )


def _like_sample(rows: Sequence[Sequence[str]], numerals: Numerals) -> bool:
    """Whether a first line of words is a sample: below it are words too, and each of its own comes again.

    "nan" is no number here: it says that a word is missing as well as that a number is.
    """
    first, others = rows[0], rows[1:]
    columns = list(zip(*others, strict=False))
    return (
        len(columns) == len(first)
        and not any(finite(numerals.value(cell)) for column in columns for cell in column)
        and all(cell in column for cell, column in zip(first, columns, strict=True))
    )


def sheet_of_numbers(where: str, text: str, dialect: Dialect, header: bool | None) -> Sheet | None:
    """The sheet of a file of numbers alone, but for its first line; None where it is anything else.

    It reads what the way for all files reads, many times as fast.
    """
    first = first_line(text)
    delimiter = dialect.delimiter or delimiters(first)[0]
    if dialect.decimal or dialect.thousands or delimiter == WHITESPACE or not first:
        return None
    lines, numbers = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.isspace():
            lines.append(line)
            numbers.append(number)
    try:
        (head,) = csv.reader([first], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError):
        return None
    head = [cell.strip() for cell in head]
    guessed = header is None
    if header is None:
        header = not any(map(is_number, head))
    body = lines[1:] if header else lines
    table = _table_of_numbers(body, delimiter, len(head)) if len(head) > 1 and body else None
    if table is None or table.shape != (len(body), len(head)) or not np.isfinite(table).all():
        return None

    def cells(i: int) -> list[str]:
        if 2 * i < len(head):
            return [line.split(delimiter, i + 1)[i].strip() for line in body]
        return [line.rsplit(delimiter, len(head) - i)[-(len(head) - i)].strip() for line in body]

    return Sheet(
        where,
        tuple(head) if header else tuple(f"x{i + 1}" for i in range(len(head))),
        [f"line {number}" for number in numbers[len(lines) - len(body) :]],
        cells,
        lambda i: table[:, i],
        table,
        names_at=f"line {numbers[0]}",
        first=not header and numbers[0] == 1,
        head=tuple(head) if guessed and not header else (),
    )


def _table_of_numbers(lines: Sequence[str], delimiter: str, width: int) -> Array | None:
    """The numbers in these lines; None where something else is in them, or not as many in each."""
    content = ("\n".join(lines) + "\n").encode()
    table = whole_numbers(content, delimiter, width)
    if table is not None or content.translate(None, f"0123456789.eE+- \n{delimiter}".encode()):
        return table
    try:
        return np.loadtxt(lines, delimiter=delimiter, ndmin=2, comments=None)
    except ValueError:  # the way for all files says what is wrong, and where
        return None
