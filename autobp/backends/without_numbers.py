"""Python sources without their numbers, so that recurrences of all lengths share what Python makes of them.

The sources of one recurrence for other lengths differ in steps, sizes, positions, and constants such as one
over the length. Python takes milliseconds for each of them.
"""

from __future__ import annotations

import re

_NAME = "number_"  # and what follows, of the numbers
#: Numbers that no length makes, or hardly any, and compilers make something of;
USUAL = frozenset({"0.0", "0.5", "1.0", "2.0"})
#: and how floats are written, in Python as in C.
FLOAT = r"\d+\.\d*(?:e[-+]?\d+)?|\d+e[-+]?\d+"

_NUMBER = re.compile(rf"(?<![\w.])(?:{FLOAT}|\d\d+)(?![\w.])")
_ONES = re.compile(r"\bones\d+\b")  # vectors that are called by their lengths
_ABOUT = re.compile(r'^""".*?"""', re.DOTALL)  # says how many scalars there were


def without_numbers(source: str) -> tuple[str, dict[str, int | float]]:
    """A source that does the same in a namespace which has some more names; and what these are."""
    numbers: dict[str, int | float] = {}
    if _NAME in source:
        return source, numbers
    ones: dict[str, str] = {}

    def called(found: re.Match[str]) -> str:
        return ones.setdefault(found[0], f"ones_of_{_NAME}{len(ones)}")

    def named(found: re.Match[str]) -> str:
        text = found[0]
        if text in USUAL:
            return text
        name = f"{_NAME}{len(numbers)}"
        numbers[name] = int(text) if text.isdigit() else float(text)
        return name

    text = _NUMBER.sub(named, _ONES.sub(called, _ABOUT.sub("", source)))
    return text, numbers
