"""Targets from a column: classes with their names, or quantities."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.encoding import MISSING, bad_number
from autobp.datasets.numerals import MISSING_NUMBER, MISSING_TEXT, Numerals, finite, is_number, like_comma
from autobp.datasets.sheet import Sheet

Array = NDArray[np.float64]

#: Whole numbers are taken for classes up to so many different ones, and for quantities beyond.
MOST_CLASSES = 20

_YEAR = re.compile(r"(1[5-9]|2[01])\d\d")

TASKS = ("classification", "regression")


def target_gaps(sheet: Sheet, i: int, numerals: Numerals, task: str | None) -> NDArray[np.bool_]:
    """Of each row, whether its target is missing.

    "none" and "-" are missing numbers, and names of classes like others.
    """
    column = sheet.numbers(i)
    if column is not None:
        return np.isnan(column)
    cells = sheet.cells(i)
    known = [cell for cell in cells if cell.lower() not in MISSING_NUMBER]
    numeric = bool(known) and all(map(numerals.is_number, known)) and task != "classification"
    return np.array([cell.lower() in (MISSING_NUMBER if numeric else MISSING_TEXT) for cell in cells])


def targets_of(
    sheet: Sheet, i: int, numerals: Numerals, task: str | None, missing: str | None
) -> tuple[Array, tuple[str, ...]]:
    """Class numbers, (m,), and the classes' names, or quantities and no names.

    Raises ValueError where one is missing and not asked to be a class, or numbers and words are mixed.
    """
    cells = sheet.cells(i)
    gone = target_gaps(sheet, i, numerals, task)
    numeric = [numerals.is_number(cell) for cell in cells]
    named = [not number for number, gap in zip(numeric, gone, strict=True) if not gap]
    if gone.any() and not (missing == "category" and task != "regression" and any(named)):
        raise ValueError(_missing(sheet, int(gone.argmax()), i, any(named)))
    cells = [MISSING if gap else cell for cell, gap in zip(cells, gone, strict=True)]
    if task is None and any(numeric) and not all(numeric):
        odd = numeric.index(numeric.count(True) * 2 < len(numeric))
        raise ValueError(
            f"{sheet.place(odd, i)}: {cells[odd]!r}, but other targets "
            f'are {"text" if numeric[odd] else "numbers"}; say task="classification" (--task classification) '
            "if all are classes"
        )
    if task is None and not any(numeric) and all(map(like_comma, cells)):  # numbers, if one could read them
        raise ValueError(bad_number(sheet, 0, i))
    if task == "regression" or (task is None and all(numeric) and not _like_classes(cells, numerals)):
        return quantities_of(sheet, i, numerals), ()
    numbers = [numerals.value(cell) for cell in cells]
    if all(map(finite, numbers)):
        by_number: dict[float, str] = {}
        for number, cell in zip(numbers, cells, strict=True):
            # "1" and "1.0" are one class, called as it came first
            by_number.setdefault(float(number or 0.0), cell)
        order = sorted(by_number)
        position = {number: k for k, number in enumerate(order)}
        classes = [by_number[number] for number in order]
        labels = [position[float(number or 0.0)] for number in numbers]
    else:
        classes = sorted(set(cells))
        place = {name: k for k, name in enumerate(classes)}
        labels = [place[cell] for cell in cells]
    if len(classes) < 2:
        raise ValueError(f"{sheet.where}, {sheet.column(i)}: every target is {cells[0]!r}")
    return np.array(labels, dtype=np.float64), tuple(classes)


def quantities_of(sheet: Sheet, i: int, numerals: Numerals) -> Array:
    """The column's numbers, (m,); ValueError where a cell is none."""
    column = sheet.numbers(i)
    if column is None:
        found = [numerals.value(cell) for cell in sheet.cells(i)]
        for row, number in enumerate(found):
            if not finite(number):
                raise ValueError(bad_number(sheet, row, i))
        column = np.array(found, dtype=np.float64)
    if not np.isfinite(column).all():
        raise ValueError(bad_number(sheet, int(np.argmin(np.isfinite(column))), i))
    return column


def _missing(sheet: Sheet, row: int, i: int, named: bool) -> str:
    cell = sheet.cells(i)[row]
    said = f": {cell!r} is taken for that" if cell else ""
    more = ", or missing='category' to make it a class" if named else ""
    return (
        f"{sheet.place(row, i)}: the target is missing{said}; leave such lines out, missing='drop' "
        f"(--missing drop){more}"
    )


def _like_classes(cells: Sequence[str], numerals: Numerals) -> bool:
    """Whether numbers look like class numbers: whole, few, and few against the samples."""
    numbers = {float(numerals.value(cell) or 0.0) for cell in set(cells)}
    whole = all(math.isfinite(x) and x == int(x) for x in numbers)
    return whole and 2 <= len(numbers) <= min(MOST_CLASSES, len(cells) / 2)


def like_names(head: Sequence[str], target: Sequence[str], i: int) -> bool:
    """Whether a first line with numbers in it looks like names all the same.

    It does where it counts the columns from 0, as pandas names them, where its numbers are years in a row,
    and where its target, the i-th cell, is the only one that comes once among labels.
    """
    if len(head) > 2 and list(head) == [str(k) for k in range(len(head))]:
        return True
    numbers = [cell for cell in head if is_number(cell)]
    if len(numbers) > 2 and all(map(_YEAR.fullmatch, numbers)):
        years = [int(number) for number in numbers]
        steps = {after - year for year, after in pairwise(years)}
        if len(steps) == 1 and steps != {0}:
            return True
    counts = Counter(target)
    alone = [label for label, count in counts.items() if count == 1]
    return alone == [head[i]] and len(counts) > 2 and not any(map(is_number, counts))
