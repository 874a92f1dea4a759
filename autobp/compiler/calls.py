"""Clocks and sources of chance: which of them a function calls while it is traced, as a profiler sees it."""

from __future__ import annotations

import datetime
import os
import random
import sys
import time
from _random import Random as Twister
from collections.abc import Iterable
from types import BuiltinFunctionType, FrameType, FunctionType
from typing import Any

import numpy as np

from autobp.compiler.draws import DRAWS
from autobp.compiler.place import callers_line, is_autobps_or_numpys, is_callers, is_installed, place

_TIMES = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_CLOCKS = frozenset(
    [getattr(time, name) for name in (*_TIMES, *[f"{name}_ns" for name in _TIMES]) if hasattr(time, name)]
    + [time.localtime, time.gmtime, time.ctime]
    + [datetime.datetime.now, datetime.datetime.utcnow, datetime.datetime.today, datetime.date.today]
)
_CHANCE = frozenset([getattr(os, name) for name in ("urandom", "getrandom") if hasattr(os, name)])
#: Python's modules that turn chance into numbers, so that whoever calls them is who draws.
_SOURCES = tuple(
    [os.path.join(os.path.dirname(os.__file__), name) for name in ("random.py", "secrets.py", "uuid.py")]
)
#: Classes whose making or whose methods look at a clock or at chance.
_CLASSES = (datetime.date, Twister, np.random.RandomState, np.random.BitGenerator, np.random.SeedSequence)


def may_matter(objects: Iterable[Any]) -> bool:
    """Whether a clock or a source of chance is among what a function can reach."""
    return any(map(_matters, objects))


def _matters(x: Any) -> bool:
    kind = type(x)
    if kind is BuiltinFunctionType:
        return x in _CLOCKS or x in _CHANCE
    if kind is FunctionType:
        return x.__code__.co_filename in _SOURCES
    if issubclass(kind, type):
        return issubclass(x, _CLASSES)
    return issubclass(kind, random.SystemRandom) or x is np.random.default_rng


class Calls:
    """Context manager: what this thread calls of clocks and of sources of chance.

    It sees what Python code calls and C code does: not what C code calls, such as map, nor the methods of
    NumPy's generators. Where a profiler is at work already, it sees nothing.

    Args:
        look: whether to look at all. Code runs several times as slowly while it is looked at.

    Attributes:
        found: the first call, as a sentence about a line of the caller's code; "" for none.
    """

    def __init__(self, look: bool = True) -> None:
        self.found = ""
        self._watches = look and sys.getprofile() is None
        #: generators that were seeded meanwhile, by id: their numbers are the same each time
        self._seeded: dict[int, Any] = {}

    def __enter__(self) -> Calls:
        if self._watches:
            sys.setprofile(self._look)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._watches:
            sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        if function in _CLOCKS:
            self._clock(frame, function)
        elif function in _CHANCE:
            self._draw(frame)
        elif issubclass(type(function.__self__), Twister):
            self._twister(frame, function)

    def _twister(self, frame: FrameType, function: Any) -> None:
        """For the methods of random.Random that are C's: all the others call them."""
        generator = function.__self__
        if function.__name__ in ("random", "getrandbits"):
            if id(generator) not in self._seeded:
                self._draw(frame)
        elif function.__name__ == "setstate":
            self._seeded[id(generator)] = generator
        elif function.__name__ == "seed" and frame.f_code is random.Random.seed.__code__:
            if frame.f_locals["a"] is None:
                self._seeded.pop(id(generator), None)
            else:
                self._seeded[id(generator)] = generator

    def _draw(self, frame: FrameType) -> None:
        drawing: FrameType | None = frame
        while drawing is not None and _hands_on(drawing.f_code.co_filename):
            drawing = drawing.f_back
        if self.found or drawing is None or not _is_watched(drawing.f_code.co_filename):
            return  # Python's own library may draw: the name of a temporary file decides nothing
        self.found = f"{place(*callers_line(drawing))} {DRAWS}"

    def _clock(self, frame: FrameType, function: Any) -> None:
        file = frame.f_code.co_filename
        if self.found or not is_callers(file) or is_installed(file):
            return  # a progress bar or a log may look at the clock
        self.found = (
            f"{place(file, frame.f_lineno)} reads a clock, {function.__qualname__}(): what it decides would "
            "be fixed at what it was in one trace. Read it outside and pass it in as an argument"
        )


def _hands_on(file: str) -> bool:
    return file in _SOURCES or is_autobps_or_numpys(file)


def _is_watched(file: str) -> bool:
    return is_callers(file) or is_installed(file)
