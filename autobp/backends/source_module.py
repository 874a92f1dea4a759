"""What all writers of NumPy share: expressions and moves as its text, and the module that holds functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, ClassVar

import numpy as np

from autobp.backends.moves import (
    TURNED,
    Axes,
    Move,
    Moves,
    Part,
    Size,
    Sizes,
    flattened,
    sizes_of,
    view_moves,
)
from autobp.backends.printer import INFIX_COMPARISONS, INFIX_SUMS, Formulas, Template, Text
from autobp.ir import Array, Input, Program, Shape
from autobp.ir.expression import COMPARISONS, UFUNCS, Expression, rule_of
from autobp.ops import ATOM, POWER_OF, PRODUCT, SIGN, SUM, lookup

#: Functions that written programs bring along, by name.
HELPER_TEXTS = {
    "spread": '''
def spread(x, positions, shape):
    """x in zeros of a shape: element k at positions[k] of the flattened shape."""
    spread = np.zeros((*x.shape[:-1], np.prod(shape)))
    spread[..., positions] = x
    return spread.reshape(*x.shape[:-1], *shape)
''',
    "whole": '''
def whole(index, n):
    """The index as integers; IndexError where one is not 0, 1, …, n - 1."""
    index = np.asarray(index, dtype=float)
    wrong = ~((index >= 0) & (index < n) & (index == np.floor(index)))
    if wrong.any():
        raise IndexError(f"take: the index {float(index[wrong][0])!r} is not one of 0, 1, …, {n - 1}")
    return index.astype(np.intp)
''',
    "choose_outer": '''
def choose_outer(values, index):
    """values[…, o, index[…, p]] as (…, p, o)."""
    index = whole(index, values.shape[-1])
    if values.ndim == 2:
        return values.T[index]
    index = index.reshape(-1, index.shape[-1], 1, 1)
    return np.take_along_axis(values[:, None], index, axis=-1)[..., 0]
''',
    "choose": '''
def choose(values, index):
    """values[…, r, index[…, r]] as (…, r)."""
    index = whole(index, values.shape[-1])
    values = np.broadcast_to(values, (*np.broadcast_shapes(values.shape[:-1], index.shape), values.shape[-1]))
    return np.take_along_axis(values, np.broadcast_to(index, values.shape[:-1])[..., None], axis=-1)[..., 0]
''',
    "scatter_add": '''
def scatter_add(delta, index, n):
    """The sums of all delta[…, p, o] with index[…, p] = k, as (o, n)."""
    index = np.broadcast_to(whole(index, n), delta.shape[:-1])
    o = delta.shape[-1]
    places = index.reshape(-1, 1) * o + np.arange(o)
    return np.bincount(places.ravel(), delta.ravel(), n * o).reshape(n, o).T
''',
    "pick": '''
def pick(index, *values):
    """values[index], element by element."""
    index = whole(index, len(values))
    values = np.stack(np.broadcast_arrays(*values, index)[:-1])
    return np.take_along_axis(values, np.broadcast_to(index, values.shape[1:])[None], axis=0)[0]
''',
}




# ------------------------------------------------------------------------------------------------- texts


def number(x: float) -> str:
    """A float as source text."""
    if math.isfinite(x):
        return repr(float(x))
    return "np.nan" if x != x else ("np.inf" if x > 0 else "-np.inf")


def literal(values: np.ndarray[Any, Any]) -> str:
    """An array as source text."""
    n = math.isqrt(values.size)
    if n > 2 and values.dtype.kind == "f" and np.array_equal(values.reshape(-1), np.eye(n).reshape(-1)):
        return f"np.eye({n})" + (f".reshape({joined(values.shape)})" if values.shape != (n, n) else "")
    numbers = [number(x) if values.dtype.kind == "f" else str(x) for x in values.reshape(-1).tolist()]
    lines, line = [], ""
    for text in numbers:
        if len(line) + len(text) > 100:
            lines.append(line)
            line = ""
        line += text + ", "
    lines.append(line.rstrip(", "))
    body = "\n    ".join([line.rstrip() for line in lines])
    body = f"\n    {body}\n" if len(lines) > 1 else body
    made = f"np.array([{body}])" if values.size else "np.zeros(0)"
    if values.dtype.kind != "f":
        made = made[:-1] + ", dtype=np.intp)"
    return made if values.ndim == 1 else f"{made}.reshape({', '.join(map(str, values.shape))})"


def joined(sizes: Sequence[Size]) -> str:
    """A shape as arguments; that of one number is an empty tuple."""
    return ", ".join(map(str, sizes)) or "()"


def as_tuple(sizes: Sequence[Size]) -> str:
    """A shape as a tuple."""
    return f"({joined(sizes)}{',' if len(sizes) == 1 else ''})" if sizes else "()"


class SourceModule:
    """A module in the making: the helpers, constants and functions of operations that its functions need.

    Attributes:
        helpers: their source text, by name, in an order in which they can be defined.
        constants: the arrays that are fixed at the trace, by name.
        operations: of the helpers, functions of operations by name: their rules, and their arguments' names.
        foreign: of the helpers, those that are computed by Python code, which only autobp itself has.
        formulas: how this module's functions write expressions.
    """

    def __init__(self) -> None:
        self.helpers: dict[str, str] = {}
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self.operations: dict[str, tuple[Expression, list[str]]] = {}
        self.foreign: list[str] = []
        self.formulas = NumpyFormulas(self)
        self._numbers: dict[str, int] = {}
        self._constant_names: dict[tuple[Any, ...], str] = {}

    def helper(self, name: str) -> str:
        """Have one of the ready-made helpers."""
        if name not in self.helpers:
            if name != "whole" and "whole(" in HELPER_TEXTS[name]:
                self.helper("whole")
            self.helpers[name] = HELPER_TEXTS[name].strip("\n")
        return name

    def constant(self, values: np.ndarray[Any, Any], prefix: str) -> str:
        """A name for an array of numbers."""
        key = (values.shape, values.dtype.str, values.tobytes())
        if key not in self._constant_names:
            self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
            name = f"{prefix}{self._numbers[prefix]}"
            self._constant_names[key] = name
            self.constants[name] = values
        return self._constant_names[key]

    def positions(self, indices: np.ndarray[Any, Any]) -> str:
        """A name for an array of positions."""
        return self.constant(indices.astype(np.intp), "I")

    def operation(self, name: str, n_arguments: int) -> str:
        """Have a function for an operation of the table, written from its rule."""
        if name in self.helpers:
            return name
        if name == "take":
            return self.helper("pick")
        if name in ("erf", "erfc"):
            self.helpers[name] = (
                f"from math import {name} as _{name}\n\n{name} = np.vectorize(_{name}, otypes=[float])"
            )
            return name
        rule, names = recorded_rule(name, n_arguments)
        if rule is None:
            self.helpers[name] = (
                f"{name} = np.vectorize(lambda *x: lookup({name!r}).value(FLOATS, *x), otypes=[float])"
            )
            self.foreign.append(name)
            return name
        self.helpers[name] = ""  # in use: an operation may call itself by another
        assigned, result = self.formulas.body(rule, names)
        lines = [*[f"{left} = {right}" for left, right in assigned], f"return {result}"]
        del self.helpers[name]
        self.operations[name] = rule, names
        self.helpers[name] = "\n".join([f"def {name}({', '.join(names)}):", *[f"    {x}" for x in lines]])
        return name

    def foreign_partial(self, name: str, which: int) -> str:
        """Have a function for a derivative whose rule cannot be written out."""
        function = f"{name}_partial{which + 1}"
        self.helpers[function] = (
            f"{function} = np.vectorize(\n"
            f"    lambda *x: lookup({name!r}).partials(FLOATS, *x)[{which}], otypes=[float]\n)"
        )
        self.foreign.append(function)
        return function

    def moved(self, text: str, moves: Moves) -> str:
        """An array, sliced, reshaped and turned; ``text`` must bind as an atom."""
        return text + "".join(map(self._move, moves))

    def _move(self, move: Move) -> str:
        if isinstance(move, Part):
            return f"[{', '.join(map(self._entry, move.entries))}]"
        if isinstance(move, Sizes):
            return f".reshape({joined(move.sizes)})"
        if isinstance(move, Axes):
            return ".T" if move == TURNED else f".transpose({joined(move.order)})"
        return f".swapaxes({move.first}, {move.second})"

    def _entry(self, entry: slice | int | EllipsisType | np.ndarray[Any, Any] | None) -> str:
        if isinstance(entry, slice):
            first, last = ("" if end is None else str(end) for end in (entry.start, entry.stop))
            return f"{first}:{last}" + (f":{entry.step}" if entry.step is not None else "")
        if isinstance(entry, np.ndarray):
            return self.positions(entry)
        return "..." if entry is ... else str(entry)

    def flat(self, array: Array, text: str) -> str:
        """The text of an array with one axis for each sample."""
        return self.moved(text, flattened(array))

    def view(
        self, text: str, size: int, base: int, shape: Shape, strides: tuple[int, ...], batched: bool
    ) -> str:
        """The elements base + Σ stride·index of a flat array of ``size`` elements, whose text is given."""
        return self.moved(text, view_moves(size, base, shape, strides, batched))

    def text(self, functions: Sequence[str], docstring: str, with_constants: bool = True) -> str:
        """The module's source; without its constants, these must be put into its namespace."""
        head = f'"""{docstring}"""\n\nimport numpy as np\n'
        if self.foreign:
            head += "from autobp.ops import FLOATS, lookup\n"
        shown = self.constants if with_constants else {}
        constants = "\n".join([f"{name} = {literal(values)}" for name, values in shown.items()])
        blocks = [constants] if constants else []
        return "\n\n".join([head, *[f"{block}\n" for block in [*self.helpers.values(), *blocks]], *functions])


def recorded_rule(name: str, n_arguments: int) -> tuple[Expression | None, list[str]]:
    """An operation's rule, or None where it cannot be recorded, and what its arguments are called."""
    op = lookup(name)
    n_operands = n_arguments - len(op.constants)
    if n_operands > 6:
        return None, []
    rule = rule_of(op, n_operands, len(op.constants))
    names = [*"xyzuvw"[:n_operands], *op.constants]
    return (rule if isinstance(rule, Expression) else None), names


# -------------------------------------------------------------------------------------------- expressions


class NumpyFormulas(Formulas):
    """Writes expressions over whole arrays; what it calls, it has its module define."""

    tests: ClassVar = INFIX_COMPARISONS
    templates: ClassVar = {
        **INFIX_SUMS,
        "*": Template("{0} * {1}", PRODUCT, (PRODUCT, SIGN), truths=(0, 1)),
        "/": Template("{0} / {1}", PRODUCT, (PRODUCT, SIGN), truths=(0, 1)),
        "neg": Template("-{0}", SIGN, (SIGN,)),
        "square": Template("{0}**2", POWER_OF, (ATOM,)),
        "power": Template("{0}**{1}", POWER_OF, (ATOM, ATOM)),
        "where": Template("np.where({})"),
        **{name: Template(f"np.{numpy}({{}})") for name, numpy in UFUNCS.items()},
        **{
            name: Template(f"np.where({{0}} {sign} {{1}}, 1.0, 0.0)", ATOM, (SUM, SUM))
            for name, sign in COMPARISONS.items()
        },
    }

    def __init__(self, module: SourceModule) -> None:
        self.module = module

    def number(self, x: float) -> Text:
        text = number(x)
        return Text(text, SIGN if text.startswith("-") else ATOM)

    def operation(self, name: str, operands: Sequence[Text]) -> Text:
        called = self.module.operation(name, len(operands))
        return self.apply(Template(f"{called}({{}})"), operands)

    def foreign_partial(self, name: str, which: int, operands: Sequence[Text]) -> Text:
        called = self.module.foreign_partial(name, which)
        return self.apply(Template(f"{called}({{}})"), operands)


# ---------------------------------------------------------------------------------------------- functions


def function(name: str, arguments: str, docstring: str, lines: Sequence[str], result: str) -> str:
    """A function as source text."""
    body = "\n".join([f"    {line}" for line in [f'"""{docstring}"""', *lines, f"return {result}"]])
    return f"def {name}({arguments}):\n{body}\n"


def reshaped_inputs(program: Program) -> list[Input]:
    """The arguments that a function must make (m, elements of a sample)."""
    return [x for x in program.inputs if x.batched and len(x.sample) != 1]


def head(program: Program) -> list[str]:
    """The statements with which a function begins: m, and each argument as (m, elements of a sample)."""
    names = [program.names[x] for x in program.inputs if x.batched]
    if not names:
        return []
    return [f"m = len({names[0]})"] + [
        f"{program.names[x]} = {program.names[x]}.reshape(m, {x.size})" for x in reshaped_inputs(program)
    ]


def shaped_outputs(program: Program, text: str) -> str:
    """The outputs in the shape that the caller gets, for each sample; ``text`` is that of the flat array."""
    assert program.result_shape is not None
    batched = program.results[0].batched
    shaped = f"{text}.reshape({joined(sizes_of(program.result_shape, batched))})"
    if program.has_samples and not batched:
        shaped = f"np.broadcast_to({shaped}, {as_tuple(sizes_of(program.result_shape, True))})"
    return shaped
