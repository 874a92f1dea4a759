"""Whole numbers from the bytes of a file, all of its cells at once, as files of pixels have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = type[np.uint16] | type[np.uint32]

#: So many bytes at a time stay in a processor's cache.
_CHUNK = 1 << 16
#: Numbers of up to so many digits, and what holds them.
_KINDS: tuple[tuple[int, Kind], ...] = ((4, np.uint16), (9, np.uint32))
_NEWLINE = ord("\n")


def whole_numbers(content: bytes, delimiter: str, n: int, chunk: int = _CHUNK) -> Array | None:
    """The numbers in lines of n cells each, (lines, n); None where a cell is anything but one to nine digits.

    Args:
        content: the lines, each with its newline.
        delimiter: one character of ASCII, and no digit.
        n: the cells of a line.
        chunk: about so many bytes are read at a time.
    """
    if content.translate(None, b"0123456789\n" + delimiter.encode()):
        return None
    for most, kind in _KINDS:
        table = _table(content, n, most, kind, chunk)
        if table is not None:
            return table
    return None


def _table(content: bytes, n: int, most: int, kind: Kind, chunk: int) -> Array | None:
    table = np.empty((content.count(b"\n"), n))
    everything = np.frombuffer(content, dtype=np.uint8)
    at = row = 0
    while at < len(content):
        end = content.rfind(b"\n", at, at + chunk) + 1 or content.index(b"\n", at) + 1
        rows = _rows(everything[at:end], n, most, kind)
        if rows is None:
            return None
        table[row : row + len(rows)] = rows
        at, row = end, row + len(rows)
    return table


def _rows(part: NDArray[np.uint8], n: int, most: int, kind: Kind) -> NDArray[Any] | None:
    """The numbers of these lines; None where one has not n cells, or a cell has no digit or more than most.

    Each digit becomes the number that ends with it: itself, then itself and ten times what ended with the one
    before, as often as there are digits.
    """
    digits = part - np.uint8(ord("0"))  # what is no digit is none after that either: it wraps around
    apart = digits > 9
    ends = np.flatnonzero(apart)
    lines = np.flatnonzero(part == _NEWLINE)
    if len(ends) != n * len(lines) or (ends[n - 1 :: n] != lines).any():
        return None
    if apart[0] or (apart[1:] & apart[:-1]).any():
        return None
    inside = ~apart
    own = (digits * inside).astype(kind)
    tens = inside[1:] * kind(10)
    number, longer, length = own, inside[1:] & inside[:-1], 1
    while longer.any():
        length += 1
        if length > most:
            return None
        number = np.concatenate([own[:1], own[1:] + tens * number[:-1]])
        longer = longer[1:] & inside[:-length]
    rows: NDArray[Any] = number[ends - 1].reshape(-1, n)
    return rows
