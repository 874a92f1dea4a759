"""Loop nests in C, and how neighbours that go through the same elements become one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Loops: the variable of each, and how often it runs.
Loops = Sequence[tuple[str, "int | str"]]

_LONGEST = 40  # statements in one nest: compilers take long over more

#: Before a loop that GCC would write out turn by turn, and then call a function for each number by itself.
KEPT_A_LOOP = "KEPT_A_LOOP"
KEPT_A_LOOP_DEFINED = f"""#if defined(__GNUC__) && !defined(__clang__)
#define {KEPT_A_LOOP} _Pragma("GCC unroll 1") /* several of its turns are done at once */
#else
#define {KEPT_A_LOOP}
#endif"""

_SHORT = range(4, 9)  # turns: of fewer not even two are done at once, more are not written out

_TARGET = re.compile(r"(\w+)(\[.*?\])? \+?= ")


class Nest(NamedTuple):
    """A statement in loops: its lines, of which the last sets an element of an array.

    Attributes:
        calls: whether it calls functions that the C library has for several numbers at once.
    """

    loops: tuple[tuple[str, int | str], ...]
    lines: tuple[str, ...]
    calls: bool = False

    @property
    def target(self) -> tuple[str, str]:
        """The array that it sets, and which element, with brackets."""
        found = _TARGET.match(self.lines[-1])
        assert found is not None, self.lines
        return found[1], found[2] or ""

    @property
    def is_by_element(self) -> bool:
        """Whether it does for each element what could be done for several at once: it sums nothing up."""
        last = self.loops[-1][0] if self.loops else ""
        summed = any(map(begins_a_loop, self.lines))
        return not summed and re.search(rf"\b{last}\b", self.target[1]) is not None


    @property
    def is_scattered(self) -> bool:
        """Whether an innermost turn reads or sets elements apart from those of the one before."""
        last = self.loops[-1][0] if self.loops else ""
        return any(are_apart(line, last) for line in self.lines)

    @property
    def is_for_several(self) -> bool:
        """Whether it calls functions for several numbers at once that lie one after another."""
        n = self.loops[-1][1] if self.loops else 1
        return self.calls and (isinstance(n, str) or n >= _SHORT.start) and not self.is_scattered


def are_apart(text: str, variable: str) -> bool:
    """Whether elements of which a text speaks lie apart for neighbours of a loop's variable."""
    apart = rf"\d \* {variable}\b|\bI\d+\[[^\]]*\b{variable}\b|\({variable}\)"
    return re.search(apart, text) is not None


def nest(loops: Loops, lines: Iterable[str], calls: bool = False) -> Nest:
    """A nest, without the loops that run once."""
    return Nest(tuple([loop for loop in loops if loop[1] != 1]), tuple(lines), calls)


def begins_a_loop(line: str) -> bool:
    """Whether a line is the head of a loop."""
    return line.lstrip().removeprefix(f"{KEPT_A_LOOP} ").startswith("for ")


def nested(loops: Loops, lines: Iterable[str], calls: bool = False) -> list[str]:
    """Lines in loops; a short innermost one is kept where they call what is there for several numbers."""
    lines = list(lines)
    is_one = len(lines) == 1  # a statement, which needs no braces
    for name, n in reversed([loop for loop in loops if loop[1] != 1]):
        head = f"for (long {name} = 0; {name} < {n}; {name}++)"
        inner = [f"    {line}" for line in lines]
        if calls and isinstance(n, int) and n in _SHORT:
            head = f"{KEPT_A_LOOP} {head}"
        lines = [head, *inner] if is_one else [f"{head} {{", *inner, "}"]
        is_one, calls = True, False
    return lines if is_one else ["{", *[f"    {line}" for line in lines], "}"]


def written(parts: Iterable[str | Nest]) -> list[str]:
    """Lines and nests as lines."""
    lines: list[str] = []
    group: list[Nest] = []
    for part in [*parts, ""]:
        if group and not (isinstance(part, Nest) and _joins(group, part)):
            lines += _together(group)
            group = []
        if isinstance(part, Nest):
            group.append(part)
        elif part:
            lines.append(part)
    return lines


def _joins(group: Sequence[Nest], other: Nest) -> bool:
    """Whether a nest may do its part after the others have done theirs for the same element alone."""
    if other.loops != group[0].loops or len(group) >= _LONGEST:
        return False
    if not (other.is_by_element and group[0].is_by_element):
        return False
    every = [*group, other]
    if any(x.is_for_several for x in every) and any(x.is_scattered for x in every):
        return False  # compilers would then call the functions for each number by itself
    if not all(_reads_only(*x.target, other.lines) for x in group):
        return False
    name, element = other.target
    return _reads_only(name, element, [line for x in group for line in x.lines])


def _reads_only(name: str, element: str, lines: Iterable[str]) -> bool:
    """Whether lines mention an array for one of its elements alone."""
    text = "\n".join(lines)
    return len(re.findall(rf"\b{name}\b", text)) == len(re.findall(rf"\b{name}{re.escape(element)}", text))


def _together(group: Sequence[Nest]) -> list[str]:
    if len(group) == 1:
        return nested(*group[0])
    lines: list[str] = []
    for part in group:
        lines += nested((), part.lines)
    return nested(group[0].loops, lines, any(x.calls for x in group)) if group[0].loops else lines
