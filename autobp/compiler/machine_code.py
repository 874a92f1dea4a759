"""Which backend runs a program: NumPy, or machine code from C where it can be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from autobp import machine
from autobp.backends.c_text import c_source
from autobp.ir import Program
from autobp.machine import MachineFunction, NoMachineCode

Backend = Literal["numpy", "c", "auto"]
BACKENDS: Final = ("numpy", "c", "auto")

_LONGEST = 4000  # lines of C, for which a compiler takes some seconds; it takes minutes for ten times as many

#: Of a function, by its name, and a number of samples: what NumPy runs, and its work.
Otherwise = Callable[[str, int], tuple[Callable[..., Any], Any]]


class Choice(NamedTuple):
    """What runs a program.

    Attributes:
        name: "c" or "numpy".
        why: in one line.
        functions: in machine code, by name; none for NumPy.
    """

    name: str
    why: str
    functions: Mapping[str, MachineFunction]

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def choose(
    wanted: Backend, programs: Mapping[str, Program], about: str, check: bool, otherwise: Otherwise
) -> Choice:
    """What runs programs.

    Args:
        about: what the C says that it is.
        check: whether every statement is checked, which only NumPy does.
        otherwise: what runs instead where an index in the data is none.

    Raises NoMachineCode where ``wanted`` is "c" and there can be none.
    """
    if wanted == "numpy":
        return Choice("numpy", "asked for", {})
    try:
        if check:
            raise NoMachineCode("each statement is checked, which only NumPy does")
        functions = _built(programs, about, otherwise)
    except NoMachineCode as error:
        if wanted == "c":
            raise
        return Choice("numpy", str(error), {})
    return Choice("c", "asked for" if wanted == "c" else "a compiler is there", functions)


def _built(programs: Mapping[str, Program], about: str, otherwise: Otherwise) -> dict[str, MachineFunction]:
    try:
        source = c_source(programs, about)
    except TypeError as error:
        raise NoMachineCode(str(error)) from error
    lines = source.text.count("\n")
    if lines > _LONGEST:
        raise NoMachineCode(f"it has {lines:,} lines of C, and compilers are given up to {_LONGEST:,}")
    library = machine.build(source)
    return {
        function.name: MachineFunction(
            library, function, programs[function.name], partial(otherwise, function.name)
        )
        for function in source.functions
    }
