"""C for recurrences of any length: its numbers are handed to the library, and are not in the text.

Programs of one recurrence for other lengths differ in numbers: steps, sizes, positions, tables, and constants
such as one over the length. A compiler takes a second for each text. So what is built has names for the
numbers, is one text for all lengths, and gets them once, when it is loaded.

Numbers stay where they are if compilers make use of them, and a length hardly shows in them: small ones, the
sizes within a step, those of the parameters' matrices, and of arrays that a loop nest declares. Whatever they
are, the text and the numbers together are the program.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobp import ir
from autobp.backends.c_memory import LEAST_BY_STEP
from autobp.backends.c_text import CFunction, CSource, c_source
from autobp.backends.without_numbers import FLOAT, USUAL
from autobp.ir import Floats

#: The function of the library that is told its numbers.
TOLD = "numbers_are"

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TABLE = re.compile(r"^static const (long|double) (\w+)\[\] = \{([^}]*)\};\n", re.MULTILINE)
_INNER_SIZE = re.compile(r"^ {5,}double \w+\[(\d+)\]", re.MULTILINE)
_AREA = re.compile(r"(?<=^    double \*const )(\w+)( = work \+ )(\d+)(?: \+ m \* (\d+))?;", re.MULTILINE)
_TOKEN = re.compile(
    r"(?:theta|gradient)\[[^][]*\]"  # whose positions are those of parameters
    r"|(?P<array>\w+)\[|(?P<end>\])"
    rf"|(?<![\w.])(?P<number>{FLOAT}|\d+)(?![\w.])"
)
_OWN = re.compile(r" *double \w+\[")  # whose sizes are the same for all lengths


@dataclass(frozen=True)
class GeneralSource:
    """A file of C without some of its numbers, and these.

    Attributes:
        text: with :data:`TOLD`, which takes the addresses of the two arrays.
        functions: as of this length.
        longs: whole numbers, where tables begin, and tables.
        doubles: other numbers, and tables.
    """

    text: str
    functions: tuple[CFunction, ...]
    longs: NDArray[np.int64]
    doubles: Floats

    @property
    def digest(self) -> str:
        """The same for other lengths that have the same text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def general(programs: Mapping[str, ir.Program]) -> GeneralSource:
    """A file of C for the programs' recurrences of any length, and the numbers of this one.

    Raises TypeError where an operation is computed by Python code, which has no formula.
    """
    sizes = _sizes(programs.values())
    source = c_source(programs, "", sizes)
    first = min(source.text.index(function.text) for function in source.functions)
    return _Writer(sizes).written(source, first)


def _sizes(programs: Iterable[ir.Program]) -> set[int]:
    """The sizes of axes within the steps of loops, and of what is picked from the parameters."""
    found: set[int] = set()
    for program in programs:
        for array in program.arrays:
            if isinstance(array, ir.Loop):
                found.update([n for x in array.body.arrays for n in x.shape])
            elif isinstance(array, ir.View | ir.Reshape) and isinstance(array.source, ir.Theta):
                found.update(array.shape)
    return found


class _Writer:
    """A text in the making, in which names stand for numbers."""

    def __init__(self, sizes: Set[int]) -> None:
        self._kept = set(map(str, sizes))
        self._longs: dict[tuple[str, str], int] = {}  # names, by where numbers stand, and what they are
        self._doubles: dict[str, int] = {}
        self._tables: dict[str, tuple[str, Sequence[str]]] = {}

    def written(self, source: CSource, first: int) -> GeneralSource:
        """The file, in which the functions begin at a place."""
        head = _TABLE.sub(self._table, _COMMENT.sub("", source.text[:first]))
        body = _COMMENT.sub("", source.text[first:])
        self._kept.update(_INNER_SIZE.findall(body))
        self._name = "n"
        while re.search(rf"\b{self._name}[ld]\d*\b", head + body):
            self._name += "_"
        body = "\n".join(map(self._line, body.splitlines())) + "\n"
        longs, doubles = self._numbers()
        text = f"{head}\n{self._told()}\n{body}"
        return GeneralSource(text, source.functions, longs, doubles)

    def _table(self, found: re.Match[str]) -> str:
        kind, name, listed = found.groups()
        numbers = listed.replace(",", " ").split()
        is_short = len(numbers) < LEAST_BY_STEP
        if is_short and (kind == "double" or all(int(x) < LEAST_BY_STEP for x in numbers)):
            return found[0]
        self._tables[name] = kind, numbers
        return ""

    # ------------------------------------------------------------------------------------- numbers in lines

    def _line(self, line: str) -> str:
        if _OWN.match(line):
            return line
        area = _AREA.search(line)
        if area:  # places of their own, which are no sizes even where they are as large
            name, text, fixed, each = area.groups()
            place = self._long(f"fixed of {name}", fixed)
            if each:
                place += f" + m * {self._long(f'each of {name}', each)}"
            return f"    double *const restrict {name}{text}{place};"
        arrays = [""]

        def token(found: re.Match[str]) -> str:
            if found["array"]:
                arrays.append(found["array"])
            elif found["end"]:
                arrays.pop()
            elif found["number"]:
                return self._number(arrays[-1], found["number"])
            return found[0]

        return _TOKEN.sub(token, line)

    def _number(self, where: str, text: str) -> str:
        if not text.isdigit():
            if text in USUAL:
                return text
            return f"{self._name}d{self._doubles.setdefault(text, len(self._doubles))}"
        return text if text in self._kept else self._long(where, text)

    def _long(self, where: str, text: str) -> str:
        if int(text) < LEAST_BY_STEP:
            return text
        return f"{self._name}l{self._longs.setdefault((where, text), len(self._longs))}"

    # ------------------------------------------------------------------------------------ where they are had

    def _told(self) -> str:
        """The numbers by their names, and the function that is told them."""
        lines, told = [], []
        for kind, n in (("long", len(self._longs)), ("double", len(self._doubles))):
            names = [f"{self._name}{kind[0]}{i}" for i in range(n)]
            lines += [f"static {kind} {name};" for name in names]
            told += [f"{name} = {kind}s[{i}];" for i, name in enumerate(names)]
        for i, (name, (kind, _)) in enumerate(self._tables.items(), start=len(self._longs)):
            lines.append(f"static const {kind} *{name};")
            told.append(f"{name} = {kind}s + longs[{i}];")
        lines += ["", f"void {TOLD}(const long *longs, const double *doubles) {{"]
        return "\n".join([*lines, *[f"    {line}" for line in told], "}"]) + "\n"

    def _numbers(self) -> tuple[NDArray[np.int64], Floats]:
        longs = [int(x) for _, x in self._longs]
        doubles = [float(x) for x in self._doubles]
        begins: list[int] = []
        after = len(longs) + len(self._tables)
        tables: list[int] = []
        for kind, numbers in self._tables.values():
            if kind == "long":
                begins.append(after + len(tables))
                tables += [int(x) for x in numbers]
            else:
                begins.append(len(doubles))
                doubles += [float(x.lower()) for x in numbers]
        return np.array([*longs, *begins, *tables], dtype=np.int64), np.array(doubles, dtype=np.float64)
