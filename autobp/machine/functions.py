"""The functions of a library, called with arrays as those that NumPy runs are."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autobp.backends.c_general import TOLD, GeneralSource
from autobp.backends.c_text import CFunction, CSource
from autobp.ir import Floats
from autobp.machine import cache
from autobp.machine.memory import check_memory
from autobp.machine.toolchain import NoMachineCode, toolchain
from autobp.machine.wrapper import direct

_DOUBLE = np.dtype(np.float64)


def build(source: CSource | GeneralSource) -> ctypes.CDLL:
    """The library of a source, kept or new. Raises NoMachineCode where there can be none."""
    path = _path_of(source.text)
    if not isinstance(source, GeneralSource):
        return _loaded(path)
    with cache.copied(path) as own:  # from a file of its own, so that it has numbers of its own
        library = _loaded(own)
    numbers = source.longs, source.doubles
    vars(library)["numbers"] = numbers  # which live as long as it does
    told = getattr(library, TOLD)
    told.argtypes, told.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    told(*[x.__array_interface__["data"][0] for x in numbers])
    return library


def _path_of(text: str) -> Path:
    tools = toolchain()
    key = tools.key(text)
    return cache.find(key) or cache.put(key, tools.build(text))


def _loaded(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))  # which lets other threads run while a function of it does
    except OSError as error:
        raise NoMachineCode(f"the library cannot be loaded: {error}") from error


class MachineFunction:
    """A program's function in machine code, called with (theta, …data, work) as the one that NumPy runs.

    Args:
        otherwise: the function that NumPy runs, and its work for m samples: it is called where an index in
            the data is none, and says which.
        scalars: about as many as it computes for one sample.

    Attributes:
        direct: the same function of (theta, …data) alone, for arrays as they are most often: it gives None
            where something is to be looked at; None where there can be none.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        function: CFunction,
        otherwise: Callable[[int], tuple[Callable[..., Any], Any]],
        scalars: int,
    ) -> None:
        self._run = getattr(library, function.name)
        is_cost = function.result_shape is None
        self._run.restype = ctypes.c_double if is_cost else ctypes.c_int
        pointers = [ctypes.c_void_p] * (1 + len(function.arguments))
        self._run.argtypes = [*pointers, ctypes.c_long, *[ctypes.c_void_p] * (len(function.written) + 1)]
        self._library = library
        self.direct = direct(function, ctypes.cast(self._run, ctypes.c_void_p).value or 0, scalars)
        self._is_cost, self._written = is_cost, function.written
        self._has_samples = function.has_samples
        self._needs = function.fixed, function.each
        self._checks = function.checks
        self._otherwise = otherwise

    def work(self, m: int) -> tuple[int, Floats]:
        """A work area for m samples: its address, and what holds it. MemoryError where it is too large."""
        fixed, each = self._needs
        check_memory(_DOUBLE.itemsize * (fixed + each * m), m)
        area = np.empty(max(fixed + each * m, 1))
        return area.__array_interface__["data"][0], area

    def __call__(self, theta: Floats, *arguments: Any) -> Any:
        """What the function gives for parameters and data, the last argument its work area."""
        return self.looked_at(theta, *arguments)[0]

    def looked_at(self, theta: Floats, *arguments: Any) -> tuple[Any, bool]:
        """The same, and whether all of it is finite."""
        found = None if self.direct is None else self.direct(theta, *arguments[:-1])
        if found is not None:
            return found, True
        result = self._by_ctypes(theta, list(arguments[:-1]), arguments[-1][0])
        parts = result if isinstance(result, tuple) else (result,)
        return result, all(bool(np.isfinite(part).all()) for part in parts)

    def _by_ctypes(self, theta: Floats, arrays: list[Any], work: int) -> Any:
        """The same for arrays of every layout."""
        m = len(arrays[0]) if self._has_samples else 0
        made = [np.empty([m if n < 0 else n for n in shape]) for shape in self._written]
        held = []  # copies, until the function has read them
        addresses = []
        for x in (theta, *arrays):
            told = x.__array_interface__
            address = told["data"][0]
            if told["strides"] is not None or address & 7:
                x = np.array(x, dtype=_DOUBLE, order="C")
                held.append(x)
                address = x.__array_interface__["data"][0]
            addresses.append(address)
        written = [x.__array_interface__["data"][0] for x in made]
        found = self._run(*addresses, m, *written, work)
        if (self._checks and found != found) if self._is_cost else found:
            return self._by_numpy(theta, arrays)
        results = [found, *made] if self._is_cost else made
        return results[0] if len(results) == 1 else tuple(results)

    def _by_numpy(self, theta: Floats, arrays: list[Any]) -> Any:
        function, work = self._otherwise(len(arrays[0]) if self._has_samples else 0)
        with np.errstate(all="ignore"):
            return function(theta, *arrays, work)
