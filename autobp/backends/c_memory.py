"""The memory of a C function: small arrays of its own, and pieces of the work area that it is handed."""

from __future__ import annotations

from dataclasses import dataclass, field

from autobp.backends.c_plan import Scope

#: How many samples are gone through together.
BLOCK = 8

_LARGEST = 4096  # doubles that an array of the function's own may have, and
_ALL = 8192  # all of them together: some systems have stacks of 128 KiB


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
        fixed: doubles of the work area, whatever the number of samples.
        each: doubles of the work area for each sample.
    """

    fixed: int = 0
    each: int = 0
    _own: int = 0
    _lines: dict[str, str] = field(default_factory=dict)  # declarations, by name
    _sizes: dict[str, int] = field(default_factory=dict)  # of the function's own

    def keep(self, name: str, scope: Scope, size: int, zero: bool = False) -> Kept:
        """Declare an array.

        Args:
            zero: whether the function's own begin with zeros, lest compilers warn that no samples set none.
        """
        if scope is Scope.ALL:
            self._lines[name] = f"double *const {name} = work + @ + m * {self.each};"
            self.each += size
            return Kept(name, scope, size)
        n = size * BLOCK if scope is Scope.BLOCK else size
        if n <= _LARGEST and self._own + n <= _ALL:
            self._own += n
            count = f"BLOCK * {size}" if n > size else str(n)
            self._sizes[name] = n
            self._lines[name] = f"double {name}[{count.removesuffix(' * 1')}]{' = {0.0}' * zero};"
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
