"""Which backend runs a program: NumPy, or machine code from C where it can be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Protocol

from autobp import machine
from autobp.backends.c_general import GeneralSource, general
from autobp.backends.c_text import CSource, c_source
from autobp.compiler import work
from autobp.ir import Floats, Loop, Program
from autobp.machine import MachineFunction, NoMachineCode

Backend = Literal["numpy", "c", "auto"]
BACKENDS: Final = ("numpy", "c", "auto")

_LONGEST = 20_000  # lines of C, for which a compiler takes some 5 s

#: Multiplications in products of matrices, in a call, up to which C is faster than NumPy's library for them
#: (times the steps of loops, in each of which the library is called anew),
LARGEST: float = 150_000
#: and numbers of a matrix (where each sample has its own, multiplications of a product), up to which it is as
#: fast however many rows there are.
LARGEST_MATRIX: Final = 1_024
#: Rows of a call, where nobody has said,
ROWS: Final = 32
#: and how many calls there will be.
CALLS: Final = 10_000

_SAVED = 0.7e-6, 0.2e-9  # seconds that NumPy takes longer for each statement, and for each element
_BUILDING = 1.0, 0.005  # seconds at most that compilers take, and for each line: on a machine that is busy

#: Of a function, by its name, and a number of samples: what NumPy runs, and its work.
Otherwise = Callable[[str, int], tuple[Callable[..., Any], Any]]


class Wanted(NamedTuple):
    """What is to run a program.

    Attributes:
        backend: NumPy, machine code, or "auto": what is faster.
        rows: of a call.
        calls: how many there will be.
        before: what was built for other shapes of the same function's arguments, "" where nothing was for
            any length; empty for the first shapes.
    """

    backend: Backend
    rows: int = ROWS
    calls: float = CALLS
    before: frozenset[str] = frozenset()

    def after(self, choices: Sequence[Choice], rows: int) -> Wanted:
        """What is wanted for so many rows of other shapes than those that were chosen for."""
        calls = self.calls / (len(choices) + 1)  # shared with the shapes before
        return self._replace(rows=rows, calls=calls, before=frozenset([x.built for x in choices]))


BY_NUMPY: Final = Wanted("numpy")


class Function(Protocol):
    """A function of a graph, called with (theta, …data, work)."""

    @property
    def direct(self) -> Callable[..., Any] | None:
        """The same function of (theta, …data) alone, where there is one."""

    def work(self, m: int) -> Any:
        """What it works in, for m rows."""

    def __call__(self, theta: Floats, *arguments: Any) -> Any:
        """What it gives."""

    def looked_at(self, theta: Floats, *arguments: Any) -> tuple[Any, bool]:
        """The same, and whether all of it is finite."""


class Choice(NamedTuple):
    """What runs a program.

    Attributes:
        name: "c" or "numpy".
        why: in one line.
        functions: by name, in machine code or what goes through tables; none for NumPy's programs.
        built: for recurrences of any length, a digest of what was; else "".
    """

    name: str
    why: str
    functions: Mapping[str, Function]
    built: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def choose(
    wanted: Wanted,
    programs: Mapping[str, Program],
    about: str,
    check: bool,
    otherwise: Otherwise,
    scalars: int,
) -> Choice:
    """What runs programs.

    Args:
        about: what the C says that it is.
        check: whether every statement is checked, which only NumPy does.
        otherwise: what runs instead where an index in the data is none.
        scalars: of the graph that they were made of.

    Raises NoMachineCode where only machine code will do and there can be none.
    """
    if wanted.backend == "numpy":
        return Choice("numpy", "asked for", {})
    is_auto = wanted.backend == "auto"
    try:
        if check:
            raise NoMachineCode("each statement is checked, which only NumPy does")
        program = list(programs.values())[-1]
        of_any_length = bool(wanted.before) and any(isinstance(x, Loop) for x in program.arrays)
        may_be_built = of_any_length and any(wanted.before)
        why = _why_not(program, wanted.rows) if is_auto else ""
        if is_auto and not may_be_built:
            why = why or _too_few(wanted, program, 0)
        if why:
            return Choice("numpy", why, {})
        source = _source(programs, about, of_any_length)
        is_built = isinstance(source, GeneralSource) and source.digest in wanted.before
        why = _too_few(wanted, program, source.text.count("\n")) if is_auto and not is_built else ""
        if why:
            return Choice("numpy", why, {})
        functions = built(source, otherwise, scalars)
    except NoMachineCode as error:
        if not is_auto:
            raise
        return Choice("numpy", str(error), {})
    digest = source.digest if isinstance(source, GeneralSource) else ""
    return Choice("c", "it is faster for so little work" if is_auto else "asked for", functions, digest)


def _why_not(program: Program, rows: int) -> str:
    """Why NumPy, which hands large products to a library for them, is faster; "" where it is not."""
    found = work.multiplications(program, rows, larger_than=LARGEST_MATRIX)
    if found <= LARGEST * work.runs(program):
        return ""
    return f"{found:,} multiplications by large matrices, for {rows:,} rows, are faster in NumPy's library"


def _too_few(wanted: Wanted, program: Program, lines: int) -> str:
    """Why so few calls are not worth a compiler's time for so many lines; "" where they are."""
    statement, element = _SAVED
    saved = statement * work.statements(program) + element * work.elements(program, wanted.rows)
    least, line = _BUILDING
    if saved * wanted.calls > least + line * lines:
        return ""
    return f"{wanted.calls:,.0f} calls do not make up for the time that a compiler takes"


def _source(programs: Mapping[str, Program], about: str, of_any_length: bool) -> CSource | GeneralSource:
    try:
        source = general(programs) if of_any_length else c_source(programs, about)
    except TypeError as error:
        raise NoMachineCode(str(error)) from error
    lines = source.text.count("\n")
    if lines > _LONGEST:
        raise NoMachineCode(f"it has {lines:,} lines of C, and compilers are given up to {_LONGEST:,}")
    return source


def built(source: CSource | GeneralSource, otherwise: Otherwise, scalars: int) -> dict[str, MachineFunction]:
    """The functions of a source, of so many scalars. Raises NoMachineCode where there can be none."""
    library = machine.build(source)
    return {
        function.name: MachineFunction(library, function, partial(otherwise, function.name), scalars)
        for function in source.functions
    }
