"""Places in the caller's code, for messages."""

from __future__ import annotations

import linecache
import os
import sys

import numpy as np

#: Where code lies that a caller did not write: autobp, NumPy, and Python's own library.
_OTHERS = tuple(
    [
        os.path.dirname(os.path.abspath(path)) + os.sep
        for path in (os.path.dirname(__file__), np.__file__, os.__file__)
    ]
)


def is_callers(filename: str) -> bool:
    """Whether a file of code is the caller's."""
    return not filename.startswith(_OTHERS)


def place(filename: str, line: int) -> str:
    """A line in words, with its text where it can be had."""
    text = linecache.getline(filename, line).strip()
    return f"{os.path.basename(filename)}, line {line}" + (f", `{text}`," if text else "")


def callers_place() -> str:
    """The innermost line of the caller's code that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not is_callers(frame.f_code.co_filename):
        frame = frame.f_back
    return place(frame.f_code.co_filename, frame.f_lineno)
