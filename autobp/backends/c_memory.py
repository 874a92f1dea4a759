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
    _names: list[str] = field(default_factory=list)
    _lines: list[tuple[str, str]] = field(default_factory=list)  # declarations, and where in work they begin

    def keep(self, name: str, scope: Scope, size: int, zero: bool = False) -> Kept:
        """Declare an array.

        Args:
            zero: whether the function's own begin with zeros, lest compilers warn that no samples set none.
        """
        self._names.append(name)
        if scope is Scope.ALL:
            self._lines.append((f"double *const {name} = work", f"FIXED + m * {self.each}"))
            self.each += size
            return Kept(name, scope, size)
        n = size * BLOCK if scope is Scope.BLOCK else size
        if n <= _LARGEST and self._own + n <= _ALL:
            self._own += n
            count = f"BLOCK * {size}" if n > size else str(n)
            self._lines.append((f"double {name}[{count.removesuffix(' * 1')}]{' = {0.0}' * zero}", ""))
        else:
            self._lines.append((f"double *const {name} = work", str(self.fixed)))
            self.fixed += n
        return Kept(name, scope, size)

    def names(self) -> list[str]:
        """What is declared."""
        return self._names

    def declarations(self) -> list[str]:
        """The lines with which the function begins."""
        return [
            f"{declared} + {begins.replace('FIXED', str(self.fixed))};" if begins else f"{declared};"
            for declared, begins in self._lines
        ]
