"""What a cell says: a number, written in one of several ways, a day, or that something is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

#: How a missing number is written, in small letters.
MISSING_NUMBER = ("", "na", "n/a", "nan", "null", "none", "?", "-", ".", "nat", "<na>", "missing")
#: How a missing text is: "none" may be an answer, and "-" the counterpart of "+".
MISSING_TEXT = ("", "na", "n/a", "nan", "null", "?", "nat", "<na>")

#: Pairs of words that say no and yes, in small letters.
NO_AND_YES = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"))

_ONE_COMMA = re.compile(r"[+-]?(\d*),\d+([eE][+-]?\d+)?")
_US = re.compile(r"[+-]?[1-9]\d{0,2}((,\d{3})+\.\d*|(,\d{3}){2,})")
_EU = re.compile(r"[+-]?[1-9]\d{0,2}((\.\d{3})+,\d*|(\.\d{3}){2,})")
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_EITHER_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_GROUPED = re.compile(r"[+-]?\d{1,3}([ '’\u00a0\u202f])\d{3}(?:\1\d{3})*(?:[.,]\d+)?")
_SHORT_MONTH = re.compile(r"\d{1,3}-(0[1-9]|1[0-2])")
_EPOCH = datetime(1970, 1, 1)


def is_number(cell: str) -> bool:
    """Whether Python reads a number, and not its own 1_000."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def like_comma(cell: str) -> bool:
    """Whether a comma, and that alone, keeps a cell from being a number: "1,5", "1,234,567"."""
    return "," in cell and (is_number(cell.replace(",", ".", 1)) or is_number(cell.replace(",", "")))


def like_thousands(cell: str) -> bool:
    """Whether the commas in a cell may part thousands: "1,200", and surely in "1,200,000.5"."""
    return re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", cell) is not None


def grouping(cell: str) -> str:
    """What else than a comma or a point may part thousands in a cell, "1'234", "1 234,5"; else ""."""
    found = _GROUPED.fullmatch(cell)
    return found[1] if found else ""


@dataclass(frozen=True)
class Numerals:
    """How numbers are written: the decimal point, and what parts thousands, "" where nothing does."""

    decimal: str = "."
    thousands: str = ""

    def is_number(self, cell: str) -> bool:
        """Whether a cell is a number, infinite and nan too."""
        return self.value(cell) is not None

    def value(self, cell: str) -> float | None:
        """The number; None where it is none, as where groups of thousands do not have three digits."""
        if self.decimal == "." and not self.thousands:
            return float(cell) if is_number(cell) else None
        if self.decimal != "." and "." in cell and self.thousands != ".":
            return None
        if self.thousands and self.thousands in cell:
            mark = re.escape(self.thousands)
            whole, _, part = cell.partition(self.decimal)
            if not re.fullmatch(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+", whole) or self.thousands in part:
                return None
            cell = whole.replace(self.thousands, "") + self.decimal * bool(part) + part
        plain = cell.replace(self.decimal, ".")
        return float(plain) if is_number(plain) else None


def numerals_of(decimal: str | None, thousands: str | None, cells: Iterable[str]) -> Numerals:
    """How the numbers among these cells are written: as is said, else as they tell.

    A comma is the decimal point where a cell can be read in no other way ("1,5", "1.234,5"), none has a point
    for it, and none can only be thousands ("1,234.5", "1,234,567"); it parts thousands where these are, and
    none of the first. Where nothing decides ("1,200" alone), a comma makes no number.
    """
    if decimal is not None or thousands is not None:
        return Numerals(decimal or ".", thousands or "")
    comma = parts = point = dots = False
    for cell in cells:
        if "," in cell:
            if _EU.fullmatch(cell):
                comma, dots = True, dots or "." in cell
            elif _US.fullmatch(cell):
                parts = True
            elif not _EITHER.fullmatch(cell) and _ONE_COMMA.fullmatch(cell):
                comma = True
        elif "." in cell:
            if _EU.fullmatch(cell):
                dots = True
            elif not _EITHER_POINT.fullmatch(cell) and is_number(cell):
                point = True
    if comma and not parts and not point:
        return Numerals(",", "." if dots else "")
    return Numerals(".", "," if parts and not comma and not dots else "")


def days_of(cell: str) -> float | None:
    """Days since 1970 of a day or a time in ISO 8601, "2019-03-23", "2019-03", "2019-03-23 20:21:09".

    A month may have a year of fewer digits: "3-01" is January of the year 3. None where it is none of these,
    or has an offset from UTC.
    """
    if _SHORT_MONTH.fullmatch(cell):
        cell = cell.zfill(len("0003-01"))
    if not re.match(r"\d{4}-\d\d(-\d\d|$)", cell):
        return None
    try:
        time = datetime.fromisoformat(f"{cell}-01" if len(cell) == 7 else cell)
    except ValueError:
        return None
    return None if time.tzinfo is not None else (time - _EPOCH).total_seconds() / 86400


def are_days(cells: Sequence[str]) -> bool:
    """Whether all are days or times. "3-01" may be much else, but not where each is the next month."""
    if any(days_of(cell) is None for cell in cells):
        return False
    if not any(map(_SHORT_MONTH.fullmatch, cells)):
        return True
    months = [12 * int(year) + int(month) for year, _, month in (cell.partition("-") for cell in cells)]
    return len(months) > 2 and all(after == month + 1 for month, after in pairwise(months))


def finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)
