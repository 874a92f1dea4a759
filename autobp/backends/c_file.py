"""A file of C to hand on: a program's functions, the parameters, and a ``main`` that checks them.

The check needs nothing but the file: it has a sample, what the functions must give for it, and how far
rounding may take them from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from autobp.backends.c_formulas import RESERVED, identifier, listed, number
from autobp.backends.c_text import CFunction, CSource
from autobp.ir import Floats

#: Rows that the check hands in, all the same sample: a whole block of them, and one of the next.
ROWS = 9


@dataclass(frozen=True)
class Example:
    """What a function must give for a sample.

    Attributes:
        arrays: one row of each argument, flat.
        expected: the outputs of the row, flat; or the cost, and after it its derivatives.
        bounds: what each may differ by. Where ``expected`` is not finite, anything may be found.
    """

    arrays: Sequence[Floats]
    expected: Floats
    bounds: Floats


@dataclass(frozen=True)
class CFile:
    """A file of C, and the header that declares what is in it."""

    text: str
    header: str


def c_file(
    source: CSource, parameters: Floats, examples: Mapping[str, Example], about: str, name: str
) -> CFile:
    """Functions of the same parameters as a file, and its header.

    Args:
        source: the functions, with :func:`head` for what it is about.
        parameters: the numbers that the file has for ``theta``.
        examples: by the names of the functions, but one of the name "cost" for all those of a cost.
        about: what the comment at the head says first.
        name: of the file, without ".c".
    """
    count = max(len(parameters), 1)
    blocks = [
        source.text.rstrip(),
        "/* What theta is after the training, or whatever the parameters were. */\n"
        + _table(f"parameters[{count}]", parameters, "const double"),
        "#ifndef NO_MAIN\n#include <stdio.h>",
        *[_numbers(*example) for example in examples.items()],
        _DIFFERS,
        _main(source.functions),
        "#endif",
    ]
    return CFile("\n\n".join(blocks) + "\n", _header(source.functions, count, about, name))


def head(about: str, name: str) -> str:
    """What the comment at the head of a file says, that is called so without ".c"."""
    return f"{about}\n\n{_HEAD.format(name=name)}"


def check_name(name: str) -> None:
    """ValueError where a function cannot have this name in C."""
    if name != identifier(name) or name in RESERVED:
        raise ValueError(f"a function of C cannot be called {name!r}; give it another name")


_HEAD = """It checks itself on one sample: cc -std=c99 -Wall -Wextra -Werror {name}.c -lm && ./a.out
To build it into another program, give -DNO_MAIN and include {name}.h."""

_DIFFERS = """/* Whether one of n numbers of a row is not what it must be; says so. */
static int differs(const char *what, const double *found, long rows,
                   const double *expected, const double *bounds, long n) {
    for (long i = 0; i < rows * n; i++) {
        const double right = expected[i % n], bound = bounds[i % n];
        if (isfinite(right) && !(fabs(found[i] - right) <= bound)) {
            printf("%s: number %ld is %.17g, and must be %.17g to within %.1e\\n",
                   what, i, found[i], right, bound);
            return 1;
        }
    }
    printf("%s: %ld of %ld as they must be\\n", what, rows * n, rows * n);
    return 0;
}"""


def _table(declared: str, numbers: Floats, kind: str = "static const double") -> str:
    return f"{kind} {declared} = {{{listed([number(x) for x in numbers.tolist()] or ['0.0'])}}};"


def _numbers(name: str, example: Example) -> str:
    """What functions are checked with."""
    # rounded up, for they need not be exact
    bounds = np.array([float(f"{1.01 * x:.2e}") for x in example.bounds.tolist()])
    tables = [_table(f"{name}_row{i}[{max(len(x), 1)}]", x) for i, x in enumerate(example.arrays)]
    count = f"[{max(len(bounds), 1)}]"
    tables.append(_table(f"{name}_expected{count}", example.expected))
    return "\n".join([*tables, _table(f"{name}_bounds{count}", bounds)])


def _main(functions: Sequence[CFunction]) -> str:
    lines = ["int wrong = 0;"]
    for function in functions:
        lines += ["{", *[f"    {line}" for line in _check(function)], "}"]
    body = "\n".join([f"    {line}" for line in [*lines, "return wrong;"]])
    return f"int main(void) {{\n{body}\n}}"


def _check(function: CFunction) -> list[str]:
    """The lines that call a function and hold what it gives against the example."""
    name, sizes, scalar = function.name, function.sizes, function.result_shape is None
    of = "cost" if scalar else name
    m = ROWS if sizes else 0
    n, rows = 1 + bool(function.derivative) * function.n_parameters, 1
    if not scalar:
        n, rows = _outputs(function), max(m, 1)
    lines = [f"static double x{i}[{max(m * size, 1)}];" for i, size in enumerate(sizes)]
    lines.append(
        f"static double work[{max(function.fixed + m * function.each, 1)}], found[{max(rows * n, 1)}];"
    )
    for i, size in enumerate(sizes):
        lines.append(f"for (long k = 0; k < {m * size}; k++) x{i}[k] = {of}_row{i}[k % {max(size, 1)}];")
    given = ", ".join(["parameters", *[f"x{i}" for i in range(len(sizes))], str(m)])
    if scalar:
        written = "found + 1, " * bool(function.derivative)
        lines.append(f"found[0] = {name}({given}, {written}work);")
    else:
        lines.append(f"wrong |= {name}({given}, found, work);")
    return [*lines, f'wrong |= differs("{name}", found, {rows}, {of}_expected, {of}_bounds, {n});']


def _outputs(function: CFunction) -> int:
    """How many outputs there are for a sample."""
    return prod(function.result_shape or ())


def _header(functions: Sequence[CFunction], count: int, about: str, name: str) -> str:
    guard = f"{identifier(name).upper()}_H"
    blocks = [
        f"/* Of {name}.c. {about.replace('*/', '* /')} */",
        f"#ifndef {guard}\n#define {guard}",
        '#ifdef __cplusplus\nextern "C" {\n#endif',
        f"extern const double parameters[{count}]; /* for theta */",
    ]
    for function in functions:
        comment = [f"/* {function.about}"]
        pairs = zip(function.arguments, function.sizes, strict=True)
        comment += [f"   {x}: {size} numbers for each sample." for x, size in pairs]
        if function.result_shape is not None:
            comment.append(f"   outputs: {_outputs(function)} numbers for each sample.")
        comment.append(f"   work: {function.needs} doubles. */")
        work = f"#define {function.name.upper()}_WORK(m) ({function.needs.replace('* m', '* (m)')})"
        blocks.append("\n".join([*comment, f"{function.declared};", work]))
    blocks.append("#ifdef __cplusplus\n}\n#endif\n#endif")
    return "\n\n".join(blocks) + "\n"
