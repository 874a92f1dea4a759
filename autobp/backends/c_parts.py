"""Long functions in C as functions of bounded length, one after another: compilers take far longer over one.

All arrays lie in the work area, so that each part finds them there: it is handed what it reads, and says at
its head where the arrays are that it mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autobp.backends.c_nests import begins_a_loop

#: Lines that a function may have before it is written in parts, and about as many as a part has.
LONGEST = 1000
LONGEST_OF_ANY_LENGTH = 400  # whose arrays are mostly in the work area anyway
_PART = 100

#: What stands before a part, lest the compiler make one long function of them again.
APART = """#if defined(__GNUC__)
#define PART __attribute__((noinline)) static
#else
#define PART static
#endif"""


@dataclass
class Parts:
    """The parts that one function is written in.

    Args:
        name: of the function.
        arguments: the declarations of what a part may be handed, by name.
        areas: of the arrays in the work area, by name, the lines that say where they are.
    """

    name: str
    arguments: Mapping[str, str]
    areas: Mapping[str, str]
    texts: list[str] = field(default_factory=list)

    def calls(self, lines: Sequence[str], inner: bool) -> list[str]:
        """Lines as calls of parts that hold them, ``inner`` those done with each block of samples."""
        return [self._call(chunk, inner) for chunk in _chunks(lines)]

    def _call(self, lines: Sequence[str], inner: bool) -> str:
        heads, words = self.heads(lines)
        more = {"first": "long first", "rows": "long rows"} if inner else {}
        given = {x: text for x, text in {**self.arguments, **more}.items() if x in words}
        name = f"{self.name}_part{len(self.texts) + 1}"
        checks = "&wrong" in "\n".join(lines)
        body = [*heads, "int wrong = 0;", *lines, "return wrong;"] if checks else [*heads, *lines]
        head = f"PART {'int' if checks else 'void'} {name}({', '.join(given.values()) or 'void'}) {{"
        self.texts.append("\n".join([head, *[f"    {line}" for line in body], "}"]))
        return f"{'wrong |= ' if checks else ''}{name}({', '.join(given)});"

    def heads(self, lines: Iterable[str]) -> tuple[list[str], set[str]]:
        """Where the arrays are that lines mention, and all words of both."""
        words = {word for line in lines for word in re.findall(r"\w+", line)}
        heads = [line for name, line in self.areas.items() if name in words]
        return heads, words | {word for line in heads for word in re.findall(r"\w+", line)}


def _chunks(lines: Sequence[str]) -> list[list[str]]:
    """Lines in groups of about a part's length; none ends within a statement."""
    found: list[list[str]] = [[]]
    depth, is_open = 0, False
    for line in lines:
        if len(found[-1]) >= _PART and not depth and not is_open:
            found.append([])
        found[-1].append(line)
        depth += line.count("{") - line.count("}")
        has_head = begins_a_loop(line) or line.lstrip().startswith("if ")
        is_open = has_head and not line.endswith(("{", ";"))
    return [chunk for chunk in found if chunk]
