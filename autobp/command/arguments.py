"""The kinds of arguments that commands take, each with a message of its own."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

from autobp.arguments import unknown
from autobp.datasets import Dialect

#: The options that say how a file is written, with their help.
_DIALECT = {
    "delimiter": 'what parts the cells, a character or "whitespace"',
    "decimal": '"." or ","',
    "thousands": "what parts thousands",
    "encoding": "as utf-8, cp1252 or latin-1",
    "comment": "what begins a line to leave out",
}


def one_of(
    what: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> Callable[[str], str]:
    """A type of arguments that says which name is meant, as ``choices`` do not."""

    def name(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(unknown(what, text, known, elsewhere or {}))
        return text

    return name


#: More than these take gigabytes, or days: a slip of the finger, and no error of Python's later on.
_MOST_COUNTED = 1_000_000
_MOST_WEIGHTS = 5_000_000


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return text.split(",")


def columns(text: str) -> list[str]:
    """Columns with commas between them; one whose name has a comma stands in quotes."""
    try:
        return next(csv.reader([text], skipinitialspace=True), [text])
    except csv.Error:  # of line ends, or a NUL on Python 3.10: no column is called so
        return [text]


def size(text: str) -> int:
    """A whole number above 0, of neurons, samples or epochs."""
    digits = text.lstrip("0")
    is_long = len(digits) > len(str(_MOST_COUNTED))  # Python reads no numbers of thousands of digits
    if not digits.isdecimal() or not (is_long or int(digits)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    if is_long or int(digits) > _MOST_COUNTED:
        raise argparse.ArgumentTypeError(f"{text[:30]} is too large: at most {_MOST_COUNTED:,}")
    return int(digits)


def fitting(sizes: Sequence[int]) -> Sequence[int]:
    """Sizes of layers, whose weights fit a computer.

    Raises:
        ValueError: they do not.
    """
    n_weights = sum(n * k for n, k in pairwise(sizes))
    if n_weights > _MOST_WEIGHTS:
        shown = "-".join(map(str, sizes))
        raise ValueError(f"a network {shown} has {n_weights:,} weights, too many: at most {_MOST_WEIGHTS:,}")
    return sizes


def count(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def part(text: str) -> float:
    """A number from 0 to below 1."""
    given = number(text)
    if not 0 <= given < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part, from 0 to below 1")
    return given


def above_zero(text: str) -> float:
    """A finite number above 0."""
    given = number(text)
    if not given > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return given


def at_least_zero(text: str) -> float:
    """A finite number from 0."""
    given = number(text)
    if not given >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 or more")
    return given


def number(text: str) -> float:
    """A finite number."""
    try:
        given = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(given):
        raise argparse.ArgumentTypeError(f"{text!r} is not finite")
    return given


def add_dialect(command: Any) -> None:
    """Add to a parser or a group the options that say how a file is written; by default it tells itself."""
    for name, what in _DIALECT.items():
        command.add_argument(f"--{name}", metavar="TEXT", help=f"{what} (default: as the file tells)")


def dialect_of(options: argparse.Namespace) -> Dialect:
    """What :func:`add_dialect` has read; ValueError where one is out of range."""
    return Dialect(**{field.name: getattr(options, field.name) for field in fields(Dialect)})
