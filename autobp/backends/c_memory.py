"""The memory of a C function: small arrays of its own, and pieces of the work area that it is handed."""

from __future__ import annotations

from dataclasses import dataclass, field

from autobp.backends.c_plan import Scope

#: How many samples are gone through together.
BLOCK = 8

_LARGEST = 4096  # doubles that an array of the function's own may have, and
_ALL = 8192  # all of them together: some systems have stacks of 128 KiB

#: Where C is for recurrences of any length: numbers from which on an array may have some of each step,
LEAST_BY_STEP = 12
#: and up to which it is the function's own, if it has none of a sample.
MOST_BY_STEP = 512


@dataclass(frozen=True)
class Kept:
    """An array in memory: what it is called, for how many samples it is kept, and the elements of one."""

    name: str
    scope: Scope
    size: int


@dataclass
class Memory:
    """What a function declares.

    Attributes:
        of_any_length: whether arrays lie alike however many steps the loops have.
        fixed: doubles of the work area, whatever the number of samples.
        each: doubles of the work area for each sample.
    """

    of_any_length: bool = False
    fixed: int = 0
    each: int = 0
    _own: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})  # those by step, and others
    _lines: dict[str, str] = field(default_factory=dict)  # declarations, by name
    _sizes: dict[str, int] = field(default_factory=dict)  # of the function's own

    def keep(self, name: str, scope: Scope, size: int, zero: bool = False, of_a_step: bool = False) -> Kept:
        """Declare an array.

        Args:
            zero: whether the function's own begin with zeros, lest compilers warn that no samples set none.
            of_a_step: whether it has what one step of a loop computes.
        """
        if scope is Scope.ALL:
            self._lines[name] = f"double *const {name} = work + @ + m * {self.each};"
            self.each += size
            return Kept(name, scope, size)
        n = size * BLOCK if scope is Scope.BLOCK else size
        by_step = self.of_any_length and not of_a_step and size >= LEAST_BY_STEP
        largest = (0 if scope is Scope.BLOCK else MOST_BY_STEP) if by_step else _LARGEST
        room = MOST_BY_STEP if by_step else n
        if n <= largest and self._own[by_step] + room <= (_ALL // 2 if self.of_any_length else _ALL):
            self._own[by_step] += room
            count = f"BLOCK * {size}" if n > size else str(room)
            self._sizes[name] = n
            begun = " = {0.0}" * (zero and not by_step)  # nobody reads the warnings of what is built
            self._lines[name] = f"double {name}[{count.removesuffix(' * 1')}]{begun};"
        else:
            self._in_work(name, n)
        return Kept(name, scope, size)

    def _in_work(self, name: str, n: int) -> None:
        self._lines[name] = f"double *const {name} = work + {self.fixed};"
        self.fixed += n

    def move_to_work(self) -> None:
        """Let the function's own arrays lie in the work area as well."""
        for name, n in self._sizes.items():
            self._in_work(name, n)
        self._sizes = {}

    def names(self) -> list[str]:
        """What is declared."""
        return list(self._lines)

    def declarations(self) -> dict[str, str]:
        """The lines with which the function begins, by name."""
        return {name: line.replace("@", str(self.fixed)) for name, line in self._lines.items()}
