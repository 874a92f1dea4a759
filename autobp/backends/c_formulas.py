"""Expressions as C, and the functions and constants that a C program brings along for them."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Sequence, Set
from typing import Any, ClassVar

import numpy as np

from autobp.backends.c_exponentials import EXPONENTIALS
from autobp.backends.printer import (
    COMPARISON,
    INFIX_COMPARISONS,
    INFIX_SUMS,
    Formulas,
    Template,
    Text,
    used_again,
)
from autobp.backends.source_module import recorded_rule
from autobp.ir.expression import COMPARISONS, UFUNCS, Expression
from autobp.ops import ATOM, PRODUCT, SIGN, SUM

#: Functions that glibc has for several numbers at once,
SEVERAL = ("exp", "tanh", "log", "log1p", "expm1")

#: and all that compilers do for several numbers at once, with those that are inlined.
_AT_ONCE = frozenset({*SEVERAL, "short_exp", "short_tanh"})

#: Functions that C programs bring along, by name.
HELPERS = {
    **EXPONENTIALS,
    "square": "static double square(double x) { return x * x; }",
    "maximum": """/* The greater of two numbers; not a number where one is none. */
static double maximum(double x, double y) { return x >= y || x != x ? x : y; }""",
    "minimum": """/* The smaller of two numbers; not a number where one is none. */
static double minimum(double x, double y) { return x <= y || x != x ? x : y; }""",
    "logaddexp": """/* log(e^x + e^y), without overflow. */
static double logaddexp(double x, double y) {
    const double d = x - y;
    if (x == y) return x + 0.69314718055994530942;
    return d > 0.0 ? x + log1p(short_exp(-d)) : d <= 0.0 ? y + log1p(short_exp(d)) : d;
}""",
    "remainder": """/* What is left of x where y goes into it, with the sign of y; exact. */
static double modulo(double x, double y) {
    const double left = fmod(x, y);
    return left != 0.0 && (left < 0.0) != (y < 0.0) ? left + y : left == 0.0 ? copysign(0.0, y) : left;
}""",
    # a function, whose operands are all read: reads in one branch alone GCC 12 may take from the wrong lanes
    "where": "static double where(int holds, double x, double y) { return holds ? x : y; }",
    "whole": """/* An index as a whole number; where it is none of 0, 1, ..., n - 1, 0, and *wrong is set. */
static long whole(double index, long n, int *wrong) {
    if (index >= 0.0 && index < (double)n && index == floor(index)) return (long)index;
    *wrong = 1;
    return 0;
}""",
}

_C_WORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while asm bool catch class delete explicit export false friend mutable namespace new
operator private protected public template this throw true try typename using virtual and or not xor
bitand bitor compl main linux unix acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos
cosh div erf erfc exp exp2 expm1 fabs fdim floor fma fmax fmin fmod frexp gamma hypot ilogb isnan
isinf ldexp lgamma log log10 log1p log2 logb lrint lround modf nan nearbyint pow remainder rint
round scalb sin sinh sqrt tan tanh tgamma trunc abs labs first rows theta m gradient outputs work
wrong cost value cost_and_gradient modulo parameters differs short_exp short_tanh
""".split()  # noqa: SIM905

_READ = re.compile(r"\w+(?=[(\[])")  # functions and tables, and not what a comment speaks of
_DEFINED = re.compile(r"^(?:#define |static (?:inline )?\w+ )(\w+)", re.MULTILINE)
_HELPER_OF = {defined: name for name, text in HELPERS.items() for defined in _DEFINED.findall(text)}

#: What no variable of a C program can be called.
RESERVED = frozenset({*_C_WORDS, *keyword.kwlist, *HELPERS, *"ijklnopqrst"})


def identifier(name: str) -> str:
    """A name as C can have it; the same for every name that is one already."""
    shown = re.sub(r"[^A-Za-z0-9_]", lambda found: f"u{ord(found[0]):x}", name)
    return f"v{shown}" if not shown or shown[0].isdigit() or shown[0] == "_" else shown


def number(x: float) -> str:
    """A number as C."""
    if math.isfinite(x):
        return repr(float(x))
    return "NAN" if x != x else ("INFINITY" if x > 0 else "-INFINITY")


class CModule:
    """A C file in the making: the functions and tables that its functions need.

    Attributes:
        helpers: functions, by name, in an order in which they can be defined.
        tables: numbers that were fixed at the trace, by name.
        same_sizes: where recurrences of other lengths are to differ in numbers alone, the sizes of axes that
            no length has to do with; None where this length is the only one.
    """

    def __init__(self, same_sizes: Set[int] | None = None) -> None:
        self.same_sizes = same_sizes
        self.helpers: dict[str, str] = {}
        self.tables: dict[str, np.ndarray[Any, Any]] = {}
        self._names: dict[tuple[str, bytes], str] = {}
        self.formulas = CFormulas(self)

    def table(self, values: np.ndarray[Any, Any]) -> str:
        """A name for a table of numbers, flat."""
        whole = values.dtype.kind != "f"
        key = ("I" if whole else "C", values.tobytes())
        if key not in self._names:
            name = f"{key[0]}{1 + sum(x.startswith(key[0]) for x in self.tables)}"
            self._names[key] = name
            self.tables[name] = values.reshape(-1)
        return self._names[key]

    def helper(self, name: str) -> str:
        """Have one of the ready-made functions, and before it those that it calls."""
        if name not in self.helpers:
            text = HELPERS.get(name, "")
            for called in _READ.findall(text):
                if _HELPER_OF.get(called, name) != name:
                    self.helper(_HELPER_OF[called])
            self.helpers[name] = text
        return name

    def pick(self, n: int) -> str:
        """Have the function that chooses one of n numbers."""
        name = f"pick{n}"
        if name not in self.helpers:
            self.helper("whole")
            names = [f"x{i}" for i in range(n)]
            arguments = ", ".join([f"double {x}" for x in names])
            self.helpers[name] = (
                f"static double {name}(double index, {arguments}, int *wrong) {{\n"
                f"    const double x[] = {{{', '.join(names)}}};\n"
                f"    return x[whole(index, {n}, wrong)];\n}}"
            )
        return name

    def operation(self, name: str, n_arguments: int) -> str:
        """Have a function for an operation of the table, written from its rule.

        Raises TypeError where it is computed by Python code, which has no formula.
        """
        called = f"{identifier(name)}_" if identifier(name) in _C_WORDS else identifier(name)
        if called in self.helpers:
            return called
        rule, names = recorded_rule(name, n_arguments)
        if rule is None:
            raise TypeError(f"{name} is computed by Python code, which has no formula to write down")
        names = [f"{x}_" if x in RESERVED else x for x in names]
        assigned, result = self.formulas.body(rule, names)
        lines = [*[f"const double {left} = {right};" for left, right in assigned], f"return {result};"]
        arguments = ", ".join([f"double {x}" for x in names])
        body = "".join([f"    {line}\n" for line in lines])
        self.helpers[called] = f"static double {called}({arguments}) {{\n{body}}}"
        return called

    def calls_several(self, lines: Sequence[str]) -> bool:
        """Whether lines call a function that is there for several numbers at once, or a helper that does."""
        names = {*_AT_ONCE}
        for name, text in self.helpers.items():
            if names & {*re.findall(r"\w+", text)}:
                names.add(name)
        return any(names & {*re.findall(r"\w+(?=\()", line)} for line in lines)

    def text(self, readers: Iterable[str]) -> str:
        """As C those helpers and tables that some texts read: compilers warn of others."""
        read = {word for text in readers for word in _READ.findall(text)}
        blocks: list[str] = []
        for text in reversed(self.helpers.values()):  # each is called by later ones
            if not read.isdisjoint(_DEFINED.findall(text)):
                read.update(_READ.findall(text))
                blocks.insert(0, text)
        for name, values in self.tables.items():
            if name not in read:
                continue
            kind = "double" if name.startswith("C") else "long"
            numbers = [number(x) if kind == "double" else str(x) for x in values.tolist()]
            blocks.append(f"static const {kind} {name}[] = {{{listed(numbers)}}};")
        return "\n\n".join(blocks)


def listed(numbers: Sequence[str]) -> str:
    """Numbers with commas between them, in lines."""
    lines, line = [], ""
    for text in numbers:
        if len(line) + len(text) > 100:
            lines.append(line.rstrip())
            line = ""
        line += f"{text}, "
    lines.append(line.rstrip(", "))
    return lines[0] if len(lines) == 1 else "\n    " + "\n    ".join(lines) + "\n"


class CFormulas(Formulas):
    """Writes expressions over numbers; what it calls, it has its module define."""

    tests: ClassVar = INFIX_COMPARISONS
    templates: ClassVar = {
        **INFIX_SUMS,
        "*": Template("{0} * {1}", PRODUCT, (PRODUCT, SIGN)),
        "/": Template("{0} / {1}", PRODUCT, (PRODUCT, SIGN)),
        "neg": Template("-{0}", SIGN, (ATOM,)),
        "power": Template("pow({})"),
        "where": Template("where({0}, {1}, {2})", ATOM, (COMPARISON, SUM, SUM)),
        "abs": Template("fabs({})"),
        "erf": Template("erf({})"),
        "erfc": Template("erfc({})"),
        **{name: Template(f"{name}({{}})") for name in UFUNCS if name != "abs"},
        "exp": Template("short_exp({})"),
        "tanh": Template("short_tanh({})"),
        "square": Template("square({})"),
        "remainder": Template("modulo({})"),
        **{
            name: Template(f"({{0}} {sign} {{1}} ? 1.0 : 0.0)", ATOM, (SUM, SUM))
            for name, sign in COMPARISONS.items()
        },
    }

    def __init__(self, module: CModule) -> None:
        self.module = module

    def template_of(self, expression: Expression) -> Template | None:
        if expression.name in HELPERS:
            self.module.helper(expression.name)
        return super().template_of(expression)

    def number(self, x: float) -> Text:
        text = number(x)
        return Text(text, SIGN if text.startswith("-") else ATOM)

    def samples(self) -> Text:
        return Text("(double)m", SIGN)

    def operation(self, name: str, operands: Sequence[Text]) -> Text:
        listed = ", ".join([x.text for x in operands])
        if name == "take":
            return Text(f"{self.module.pick(len(operands) - 1)}({listed}, &wrong)", ATOM)
        if name in ("erf", "erfc"):
            return Text(f"{name}({listed})", ATOM)
        return Text(f"{self.module.operation(name, len(operands))}({listed})", ATOM)

    def foreign_partial(self, name: str, which: int, operands: Sequence[Text]) -> Text:
        raise TypeError(f"a derivative of {name} is computed by Python code, which has no formula to write")

    def body(
        self, rule: Expression, operands: Sequence[str], prefix: str = ""
    ) -> tuple[list[tuple[str, str]], str]:
        named, result = self.parts(rule, [Text(prefix + x, ATOM) for x in operands])
        return named, result.text

    def parts(self, rule: Any, slots: Any) -> tuple[list[tuple[str, str]], Text]:
        """(name, text) of what a rule uses several times, then the whole."""
        known: dict[int, Text] = {}
        named = []
        for expression in used_again(rule):
            name = f"e{len(known) + 1}"
            named.append((name, self.write(expression, slots, known).text))
            known[id(expression)] = Text(name, ATOM)
        result = self.write(rule, slots, known)
        return _read_later(named, result.text), result


def _read_later(named: Sequence[tuple[str, str]], result: str) -> list[tuple[str, str]]:
    """Those names that are read: a comparison stands where it decides, whether it has a name or not."""
    read, kept = set(re.findall(r"\w+", result)), []
    for name, text in reversed(named):
        if name in read:
            kept.append((name, text))
            read |= set(re.findall(r"\w+", text))
    return kept[::-1]
