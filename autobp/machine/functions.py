"""The functions of a library, called with arrays as those that NumPy runs are."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from autobp.backends.c_text import CFunction, CSource
from autobp.ir import Array, Floats, Program
from autobp.machine import cache
from autobp.machine.toolchain import NoMachineCode, toolchain
from autobp.machine.wrapper import MOST, wrapper

_DOUBLE = np.dtype(np.float64)


def build(source: CSource) -> ctypes.CDLL:
    """The library of a source, kept or new. Raises NoMachineCode where there can be none."""
    tools = toolchain()
    key = tools.key(source.text)
    path = cache.find(key) or cache.put(key, tools.build(source.text))
    try:
        return ctypes.CDLL(str(path))  # which lets other threads run while a function of it does
    except OSError as error:
        raise NoMachineCode(f"the library cannot be loaded: {error}") from error


class MachineFunction:
    """A program's function in machine code, called with (theta, …data, work) as the one that NumPy runs.

    Args:
        otherwise: the function that NumPy runs, and its work for m samples: it is called where an index in
            the data is none, and says which.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        function: CFunction,
        program: Program,
        otherwise: Callable[[int], tuple[Callable[..., Any], Any]],
    ) -> None:
        self._run = getattr(library, function.name)
        self._run.restype = ctypes.c_double if program.result_shape is None else ctypes.c_int
        n_written = (len(program.results) == 2) + (program.result_shape is not None)
        pointers = [ctypes.c_void_p] * (1 + len(program.inputs))
        self._run.argtypes = [*pointers, ctypes.c_long, *[ctypes.c_void_p] * (n_written + 1)]
        self._address = ctypes.cast(self._run, ctypes.c_void_p).value
        self._library = library
        self._has_samples = program.has_samples
        self._shape = program.result_shape
        self._derivative = program.results[1] if len(program.results) == 2 else None
        self._call = wrapper() if self._shape is None and len(pointers) <= MOST else None
        self._needs = function.fixed, function.each
        self._checks = function.checks
        self._otherwise = otherwise

    def work(self, m: int) -> tuple[int, Floats]:
        """A work area for m samples: its address, and what holds it."""
        fixed, each = self._needs
        area = np.empty(max(fixed + each * m, 1))
        return area.__array_interface__["data"][0], area

    def __call__(self, theta: Floats, *arguments: Any) -> Any:
        """What the function gives for parameters and data, the last argument its work area."""
        *arrays, work = arguments
        m = len(arrays[0]) if self._has_samples else 0
        derivative = None if self._derivative is None else self._made(self._derivative, m)
        if self._call is not None:
            cost = self._call(self._address, m, work[0], derivative, theta, *arrays)
            if cost is not None and not (self._checks and cost != cost):
                return cost if derivative is None else (cost, derivative)
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
        outputs = None
        if self._shape is not None:
            outputs = np.empty((m, *self._shape) if self._has_samples else self._shape)
        written = [x.__array_interface__["data"][0] for x in (outputs, derivative) if x is not None]
        found = self._run(*addresses, m, *written, work[0])
        if found if outputs is not None else (self._checks and found != found):
            return self._by_numpy(theta, arrays)
        first = found if outputs is None else outputs
        return first if derivative is None else (first, derivative)

    def _made(self, array: Array, m: int) -> Floats:
        return np.empty((m, *array.shape) if array.batched else array.shape)

    def _by_numpy(self, theta: Floats, arrays: list[Any]) -> Any:
        function, work = self._otherwise(len(arrays[0]) if self._has_samples else 0)
        return function(theta, *arrays, work)
