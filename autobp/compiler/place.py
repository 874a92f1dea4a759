"""Places in the caller's code, for messages."""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType

import numpy as np

#: Where autobp, NumPy, and Python's own library lie.
_AUTOBP, _NUMPY, _PYTHON = [
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (os.path.dirname(__file__), np.__file__, os.__file__)
]
_INSTALLED = tuple([f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages")])


def is_callers(filename: str) -> bool:
    """Whether a file of code was written neither for autobp, nor for NumPy, nor for Python's own library."""
    return not filename.startswith((_AUTOBP, _NUMPY, _PYTHON))


def is_autobps_or_numpys(filename: str) -> bool:
    """Whether a file of code is autobp's or NumPy's."""
    return filename.startswith((_AUTOBP, _NUMPY))


def is_installed(filename: str) -> bool:
    """Whether a file of code is a package's that pip or the system installed."""
    return any(name in filename for name in _INSTALLED)


def place(filename: str, line: int) -> str:
    """A line in words, with its text where it can be had."""
    text = linecache.getline(filename, line).strip()
    return f"{os.path.basename(filename)}, line {line}" + (f", `{text}`," if text else "")


def callers_line(frame: FrameType) -> tuple[str, int]:
    """File and line of the innermost frame that runs the caller's code, from this frame outwards."""
    while frame.f_back is not None and not is_callers(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def callers_place() -> str:
    """The innermost line of the caller's code that is running."""
    return place(*callers_line(sys._getframe(1)))
