"""Write a program's arrays as NumPy source that a person can read, paste elsewhere and run alone."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from autobp.compiler.expression import COMPARISONS, UFUNCS, Expression, rule_of, value_of
from autobp.compiler.ir import (
    Absent,
    Array,
    Assemble,
    Choose,
    Constant,
    Elementwise,
    Fill,
    Gather,
    Input,
    Map,
    MatMul,
    OneHot,
    Product,
    Program,
    Reduce,
    Repeat,
    Reshape,
    RowDot,
    Segments,
    Spread,
    Sum,
    SumTo,
    Term,
    Theta,
    Total,
    View,
)
from autobp.compiler.layout import slicing
from autobp.ops import TABLE, lookup

#: Source text and how tightly it binds: comparison, sum, product, sign, power, atom.
Text = tuple[str, int]
_COMPARISON, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(6)

_LONGEST = 88  # of an expression that is written where it is used

_HELPERS = {
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
    "pick": '''
def pick(index, *values):
    """values[index], element by element."""
    index = whole(index, len(values))
    values = np.stack(np.broadcast_arrays(*values, index)[:-1])
    return np.take_along_axis(values, np.broadcast_to(index, values.shape[1:])[None], axis=0)[0]
''',
}


#: Names that mean something in every program. So do C1, I1 and so on: its constants.
RESERVED = {"theta", "m", "np", "len", "float", "lookup", "FLOATS", "work", "finite", *_HELPERS, *UFUNCS}


def is_free(name: str) -> bool:
    """Whether a program may have a variable of that name."""
    reserved = keyword.iskeyword(name) or name in RESERVED or name in TABLE
    return name.isidentifier() and not reserved and re.fullmatch(r"_erfc?|[CI]\d+", name) is None


class Module:
    """A source module in the making: its functions, and the helpers and constants that they need."""

    def __init__(self) -> None:
        self.helpers: dict[str, str] = {}
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._constant_names: dict[tuple[Any, ...], str] = {}
        self.foreign = False

    def helper(self, name: str) -> str:
        """Have one of the ready-made helpers."""
        if name not in self.helpers:
            if name != "whole" and "whole(" in _HELPERS[name]:
                self.helper("whole")
            self.helpers[name] = _HELPERS[name].strip("\n")
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
        op = lookup(name)
        n_operands = n_arguments - len(op.constants)
        names = [*"xyzuvw"[:n_operands], *op.constants] if n_operands <= 6 else []
        rule = rule_of(op, n_operands, len(op.constants)) if names else None
        if isinstance(rule, Expression):
            self.helpers[name] = ""  # in use: an operation may call itself by another
            body = self._rule_body(rule, names)
            del self.helpers[name]
            self.helpers[name] = f"def {name}({', '.join(names)}):\n" + "\n".join(
                f"    {line}" for line in body
            )
        else:
            self.helpers[name] = (
                f"{name} = np.vectorize(lambda *x: lookup({name!r}).value(FLOATS, *x), otypes=[float])"
            )
            self.foreign = True
        return name

    def foreign_partial(self, name: str, which: int) -> str:
        """Have a function for a derivative whose rule cannot be written out."""
        function = f"{name}_partial{which + 1}"
        self.helpers[function] = (
            f"{function} = np.vectorize(\n"
            f"    lambda *x: lookup({name!r}).partials(FLOATS, *x)[{which}], otypes=[float]\n)"
        )
        self.foreign = True
        return function

    def _rule_body(self, rule: Expression, names: list[str]) -> list[str]:
        """Statements that compute a rule, what it uses several times once."""
        counts: dict[int, int] = {}
        order: list[Expression] = []

        def visit(expression: Any) -> None:
            if isinstance(expression, Expression) and expression.name != "slot":
                counts[id(expression)] = counts.get(id(expression), 0) + 1
                if counts[id(expression)] == 1:
                    for argument in expression.arguments:
                        visit(argument)
                    order.append(expression)

        visit(rule)
        operands: list[Text] = [(name, _ATOM) for name in names]
        known: dict[int, Text] = {}
        lines = []
        for expression in order:
            if counts[id(expression)] > 1:
                name = "eabcdfgh"[len(known) % 8]
                lines.append(f"{name} = {formula(expression, operands, self, known)[0]}")
                known[id(expression)] = (name, _ATOM)
        return [*lines, f"return {formula(rule, operands, self, known)[0]}"]

    def text(self, functions: Sequence[str], docstring: str, with_constants: bool = True) -> str:
        """The module's source; without its constants, these must be put into its namespace."""
        head = f'"""{docstring}"""\n\nimport numpy as np\n'
        if self.foreign:
            head += "from autobp.ops import FLOATS, lookup\n"
        shown = self.constants if with_constants else {}
        constants = "\n".join([f"{name} = {literal(values)}" for name, values in shown.items()])
        blocks = [constants] if constants else []
        return "\n\n".join([head, *[f"{block}\n" for block in [*self.helpers.values(), *blocks]], *functions])


def literal(values: np.ndarray[Any, Any]) -> str:
    """An array as source text."""
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


def number(x: float) -> str:
    """A float as source text."""
    if math.isfinite(x):
        return repr(float(x))
    return "np.nan" if x != x else ("np.inf" if x > 0 else "-np.inf")


def wrap(text: Text, least: int) -> str:
    """The text, in parentheses where it binds less tightly than ``least``."""
    return text[0] if text[1] >= least else f"({text[0]})"


def formula(
    expression: Any, operands: Sequence[Text], module: Module, known: dict[int, Text] | None = None
) -> Text:
    """An expression as source text; ``known`` are subexpressions that have names."""
    if not isinstance(expression, Expression):
        text = number(expression)
        return text, _SIGN if text.startswith("-") else _ATOM
    if known and id(expression) in known:
        return known[id(expression)]
    name, arguments = expression.name, expression.arguments

    def of(x: Any) -> Text:
        return formula(x, operands, module, known)

    if name == "slot":
        slot: int = arguments[0]
        return operands[slot]
    if name == "m":
        return "m", _ATOM
    if name == "number":
        return number(arguments[0]), _ATOM
    if name in ("+", "-"):
        y = of(arguments[1])
        return f"{wrap(of(arguments[0]), _SUM)} {name} {wrap(y, _SUM if name == '+' else _PRODUCT)}", _SUM
    if name in ("*", "/"):
        factors = [
            comparison(a, of) if isinstance(a, Expression) and a.name in COMPARISONS else of(a)
            for a in arguments
        ]
        return f"{wrap(factors[0], _PRODUCT)} {name} {wrap(factors[1], _SIGN)}", _PRODUCT
    if name == "neg":
        return f"-{wrap(of(arguments[0]), _SIGN)}", _SIGN
    if name == "square":
        return f"{wrap(of(arguments[0]), _ATOM)}**2", _POWER
    if name == "power":
        return f"{wrap(of(arguments[0]), _ATOM)}**{wrap(of(arguments[1]), _ATOM)}", _POWER
    if name in COMPARISONS:
        return f"np.where({comparison(expression, of)[0]}, 1.0, 0.0)", _ATOM
    if name == "where":
        condition = arguments[0]
        test = (
            comparison(condition, of)[0]
            if isinstance(condition, Expression) and condition.name in COMPARISONS
            else f"{wrap(of(condition), _SUM)} != 0.0"
        )
        return f"np.where({test}, {of(arguments[1])[0]}, {of(arguments[2])[0]})", _ATOM
    if name in UFUNCS:
        return f"np.{UFUNCS[name]}({', '.join(of(x)[0] for x in arguments)})", _ATOM
    if name == "choose":
        return f"{module.helper('pick')}({', '.join(of(x)[0] for x in arguments)})", _ATOM
    if name == "op":
        called = module.operation(arguments[0], len(arguments) - 1)
        return f"{called}({', '.join(of(x)[0] for x in arguments[1:])})", _ATOM
    if name == "foreign partial":
        called = module.foreign_partial(arguments[0], arguments[1])
        return f"{called}({', '.join(of(x)[0] for x in arguments[2:])})", _ATOM
    raise AssertionError(f"no text for {name}")


def comparison(expression: Expression, of: Any) -> Text:
    """A comparison as a boolean array."""
    x, y = expression.arguments
    return f"{wrap(of(x), _SUM)} {COMPARISONS[expression.name]} {wrap(of(y), _SUM)}", _COMPARISON


def map_expression(array: Map | Sum) -> Any:
    """The formula of a Map or a Sum over its operands, constants of one value written in."""
    operands: list[Any] = []
    for i, x in enumerate(array.operands):
        if isinstance(x, Constant) and x.size == 1 and len(array.operands) > 1:
            operands.append(float(x.values.flat[0]))
        else:
            operands.append(Expression("slot", i))
    if isinstance(array, Map):
        made = value_of(array.operation, operands, array.constants)
        return made if isinstance(made, Expression) else Expression("number", made)
    total: Any = None
    # a positive term first reads better
    terms = sorted(zip(array.signs, operands, strict=True), key=lambda term: term[0] < 0)
    for sign, operand in terms:
        if not isinstance(operand, Expression):
            operand *= sign
            sign = 1.0 if total is None or not operand < 0 else -1.0
            operand *= sign
        if total is None:
            total = operand * sign if isinstance(operand, Expression) else operand
        elif sign < 0:
            total = Expression("-", total, operand * -sign if isinstance(operand, Expression) else operand)
        else:
            total = Expression("+", total, operand * sign if isinstance(operand, Expression) else operand)
    return total if isinstance(total, Expression) else Expression("number", total)


def expression_of(array: Map | Sum | Elementwise) -> Any:
    """The formula of an array over the elements of its operands."""
    return array.expression if isinstance(array, Elementwise) else map_expression(array)


class Writer:
    """Writes one function: the arrays that some results need, as statements.

    Attributes:
        lines: the statements.
        steps: for each of them the array that it sets, or None.
    """

    inline = True  # whether short expressions are written where they are used

    def __init__(self, module: Module, program: Program) -> None:
        self.module = module
        self.names = program.names
        self.order = program.arrays
        self.results = program.results
        self.lines: list[str] = []
        self.steps: list[Array | None] = []  # the array each line sets
        self.texts: dict[int, Text] = {}
        self.numbers: dict[str, int] = {}  # the next to try, by prefix
        self.taken = {*RESERVED, *[self.names[x] for x in program.inputs]}
        self.uses: dict[int, int] = {}
        for array in self.order:
            for x in array.operands:
                self.uses[id(x)] = self.uses.get(id(x), 0) + self.occurrences(array, x)
        for result in self.results:
            self.uses[id(result)] = self.uses.get(id(result), 0) + 1
        self.write_all()

    def write_all(self) -> None:
        """Write every array."""
        for array in self.order:
            self.write(array)

    def occurrences(self, array: Array, operand: Array) -> int:
        """How often the text of an operand stands in the text of an array."""
        if isinstance(array, Map | Sum | Elementwise):
            expression = expression_of(array)
            mine = [i for i, x in enumerate(array.operands) if x is operand]
            return max(1, sum(_count(expression, i) for i in mine)) if mine else 0
        return 1

    def name_for(self, array: Array) -> str:
        """A variable's name that is not taken: the array's own, or t1, t2 …"""
        name = self.names.get(array, "")
        if not name or name in self.taken:
            prefix = f"{name}_" if name else "t"
            k = self.numbers.get(prefix, 2 if name else 1)
            while f"{prefix}{k}" in self.taken:
                k += 1
            self.numbers[prefix] = k + 1
            name = f"{prefix}{k}"
        self.taken.add(name)
        return name

    def assign(self, array: Array, text: str) -> None:
        name = self.name_for(array)
        self.lines.append(f"{name} = {text}")
        self.steps.append(array)
        self.texts[id(array)] = (name, _ATOM)

    def write(self, array: Array) -> None:
        if isinstance(array, Total):
            return  # it is written last, where the results are returned
        if isinstance(array, Theta):
            self.texts[id(array)] = ("theta", _ATOM)
            return
        if isinstance(array, Input):
            self.texts[id(array)] = (self.names[array], _ATOM)
            return
        if isinstance(array, Constant):
            value = array.values
            if value.size == 1:
                shown = number(float(value.flat[0]))
                if array.shape and self.uses.get(id(array), 0):
                    shown = f"np.full({array.shape}, {shown})"
                self.texts[id(array)] = (shown, _ATOM)
            else:
                self.texts[id(array)] = (self.module.constant(value, "C"), _ATOM)
            return
        if isinstance(array, Assemble):
            self.write_assembly(array)
            return
        text = self.text_of(array)
        inline = self.inline or isinstance(array, View | Reshape | Fill)
        short = inline and len(text[0]) <= _LONGEST and self.uses.get(id(array), 0) <= 1
        if array in self.names or not short:
            self.assign(array, text[0])
        else:
            self.texts[id(array)] = text

    # ---------------------------------------------------------------------------------------------- texts

    def of(self, array: Array, least: int = _ATOM) -> str:
        return wrap(self.texts[id(array)], least)

    def flat(self, array: Array) -> str:
        if len(array.shape) == 1:
            return self.of(array)
        return f"{self.of(array)}.reshape(m, -1)" if array.batched else f"{self.of(array)}.reshape(-1)"

    def sizes(self, array: Array, shape: tuple[int, ...] | None = None) -> str:
        sizes = list(map(str, array.shape if shape is None else shape))
        return ", ".join(["m", *sizes] if array.batched else sizes)

    def text_of(self, array: Array) -> Text:
        if isinstance(array, Map | Sum):
            expression = map_expression(array)
            if expression.name == "number":  # x**0
                return f"np.full(({self.sizes(array)},), {number(expression.arguments[0])})", _ATOM
            return formula(expression, [self.texts[id(x)] for x in array.operands], self.module)
        if isinstance(array, Elementwise):
            return formula(array.expression, [self.texts[id(x)] for x in array.operands], self.module)
        if isinstance(array, View):
            return self.view(array, self.flat(array.operands[0])), _ATOM
        if isinstance(array, MatMul | Product):
            return self.product_text(array)
        source = array.operands[0] if array.operands else None
        if isinstance(array, Gather):
            assert source is not None
            where = self.module.constant(array.positions.astype(np.intp), "I")
            return f"{self.flat(source)}.take({where}, axis=-1)", _ATOM
        if isinstance(array, Spread):
            assert source is not None
            where = self.module.constant(array.positions.astype(np.intp), "I")
            return f"{self.module.helper('spread')}({self.of(source, 0)}, {where}, {array.shape})", _ATOM
        if isinstance(array, RowDot):
            x, y = array.operands
            keep = ", keepdims=True" if len(x.shape) == len(y.shape) == 1 else ""
            return f"({self.of(x, _PRODUCT)} * {self.of(y, _SIGN)}).sum(axis=-1{keep})", _ATOM
        if isinstance(array, Reduce):
            assert source is not None
            function = {"add": "sum", "maximum": "max", "minimum": "min"}[array.ufunc]
            keep = ", keepdims=True" if len(source.shape) == 1 else ""
            return f"{self.of(source)}.{function}(axis=-1{keep})", _ATOM
        if isinstance(array, Segments):
            assert source is not None
            where = self.module.constant(array.starts.astype(np.intp), "I")
            return f"np.{array.ufunc}.reduceat({self.of(source, 0)}, {where}, axis=-1)", _ATOM
        if isinstance(array, Choose):
            index, values = array.operands
            function = self.module.helper("choose_outer" if array.outer else "choose")
            return f"{function}({self.of(values, 0)}, {self.of(index, 0)})", _ATOM
        if isinstance(array, Reshape):
            assert source is not None
            return f"{self.of(source)}.reshape({self.sizes(array)})", _ATOM
        if isinstance(array, SumTo):
            assert source is not None
            shift = 1 if source.batched else 0
            axes = (*([0] if array.samples else []), *[axis + shift for axis in array.axes])
            shown = axes[0] if len(axes) == 1 else axes
            summed = f"{self.of(source)}.sum(axis={shown})"
            left = [n for i, n in enumerate(source.shape) if i not in array.axes]
            if left == list(array.shape):
                return summed, _ATOM
            if len(array.shape) == len(source.shape) and not array.samples:
                return f"{summed[:-1]}, keepdims=True)", _ATOM
            return f"{summed}.reshape({self.sizes(array)})", _ATOM
        if isinstance(array, Fill):
            sizes = self.sizes(array)
            sizes = f"({sizes})" if "," in sizes else f"({sizes},)"
            return f"np.broadcast_to({self.of(array.operands[0], 0)}, {sizes})", _ATOM
        if isinstance(array, Repeat):
            assert source is not None
            counts = self.module.constant(array.counts.astype(np.intp), "I")
            return f"np.repeat({self.of(source, 0)}, {counts}, axis=-1)", _ATOM
        if isinstance(array, OneHot):
            assert source is not None
            return f"np.where({self.of(source)}[..., None] == np.arange({array.shape[-1]}), 1.0, 0.0)", _ATOM
        raise AssertionError(f"no text for {type(array).__name__}")

    def view(self, array: View, flat: str) -> str:
        """A view's text, given the text of the flattened source."""
        how = slicing(array.operands[0].size, array.base, array.shape, array.strides)
        assert how is not None
        lead = [":"] if array.batched else []
        text = flat
        if (how.start, how.stop, how.step) != (0, array.operands[0].size, 1):
            step = f":{how.step}" if how.step != 1 else ""
            text += f"[{', '.join([*lead, f'{how.start}:{how.stop}{step}'])}]"
        if how.sizes:
            text += f".reshape({', '.join([*(['m'] if lead else []), *map(str, how.sizes)])})"
        index: list[str] = []
        sliced = False
        for part, size in zip(how.parts, how.sizes, strict=True):
            if isinstance(part, int):
                index.append(str(part))
                sliced = True
            elif part == (0, size):
                index.append(":")
            else:
                index.append(f"{part[0]}:{part[1]}" if part[1] < size else f"{part[0]}:")
                sliced = True
        rank = len(how.axes) or 1
        moved = how.axes != tuple(range(len(how.axes)))
        ones = [i for i, n in enumerate(how.shape) if n == 1] if how.axes else list(range(len(how.shape) - 1))
        if moved:
            if sliced:
                text += f"[{', '.join([*lead, *index])}]"
            order = [0, *[axis + 1 for axis in how.axes]] if lead else list(how.axes)
            text += ".T" if order == [1, 0] else f".transpose({', '.join(map(str, order))})"
            index, sliced = [":"] * rank, False
        if not index:
            index = [":"] * rank
        if ones:
            named = iter([i for i in index if not i.lstrip("-").isdigit()])
            singles = [i for i in index if i.isdigit()]
            put = []
            for i in range(len(how.shape)):
                put.append("None" if i in ones else next(named))
            text += f"[{', '.join([*lead, *put, *singles])}]"
        elif sliced:
            text += f"[{', '.join([*lead, *index])}]"
        return text

    def product_text(self, array: MatMul | Product) -> Text:
        left, right, after = self.factors(array) if isinstance(array, MatMul) else self.adjoint_factors(array)
        if not right:
            return left, _PRODUCT
        return (f"({left} @ {right}){after}", _ATOM) if after else (f"{left} @ {right}", _PRODUCT)

    def factors(self, array: MatMul) -> tuple[str, str, str]:
        """Left and right factor of NumPy's product, and what comes after it."""
        rows, columns = array.operands
        has_p = len(rows.shape) == len(columns.shape)
        flat = len(columns.shape) == 2 and not columns.batched
        turned = f"{self.of(columns)}.T" if flat else f"{self.of(columns)}.swapaxes(-1, -2)"
        if columns.batched and not has_p:
            return self.of(columns, _PRODUCT), f"{self.of(rows)}[..., None]", "[..., 0]"
        if has_p and rows.batched and flat:
            return f"{self.of(rows)}.reshape(-1, {rows.shape[-1]})", turned, f".reshape({self.sizes(array)})"
        return self.of(rows, _PRODUCT), turned, ""

    def adjoint_factors(self, array: Product) -> tuple[str, str, str]:
        """The same for an adjoint of a product; the right factor is "" where it is no product of matrices."""
        delta, other = array.operands
        if array.spec == "rows":
            if other.batched and len(delta.shape) < len(other.shape):
                return f"{self.of(delta)}[..., None, :]", self.of(other), "[..., 0, :]"
            if delta.batched and not other.batched and len(other.shape) == 2 and len(delta.shape) == 2:
                left = f"{self.of(delta)}.reshape(-1, {delta.shape[-1]})"
                return left, self.of(other), f".reshape({self.sizes(array)})"
            return self.of(delta, _PRODUCT), self.of(other), ""
        has_p = len(delta.shape) == len(array.shape)
        o, k = delta.shape[-1], other.shape[-1]
        if array.batched or not delta.batched:
            if not has_p:
                return f"{self.of(delta)}[..., :, None] * {self.of(other)}[..., None, :]", "", ""
            if len(delta.shape) == 2 and not delta.batched:
                return f"{self.of(delta)}.T", self.of(other), ""
            return f"{self.of(delta)}.swapaxes(-1, -2)", self.of(other), ""
        if len(array.shape) == 2:
            if not has_p:
                return f"{self.of(delta)}.T", self.of(other), ""
            return f"{self.of(delta)}.reshape(-1, {o}).T", f"{self.of(other)}.reshape(-1, {k})", ""
        c = array.shape[0]
        left = f"{self.of(delta)}.swapaxes(0, 1).reshape({c}, -1, {o}).swapaxes(1, 2)"
        return left, f"{self.of(other)}.swapaxes(0, 1).reshape({c}, -1, {k})", ""

    def cost_text(self, terms: Sequence[Term]) -> str:
        """The mean cost, from the terms of a Total."""
        text = ""
        for term in terms:
            x = self.of(term.x)
            if term.y is term.x:
                x = f"({x}**2)"
            elif term.y is not None:
                x = f"({x} * {self.of(term.y)})"
            summed = f"{x}[0]" if term.x.shape == (1,) and not term.x.batched else f"{x}.sum()"
            size = abs(term.coefficient)
            scaled = summed if size == 1.0 else f"{number(size)} * {summed}"
            for _ in range(abs(term.samples)):
                scaled += " / m" if term.samples < 0 else " * m"
            if term.coefficient < 0:
                text += f" - {scaled}" if text else f"-{scaled}"
            else:
                text += f" + {scaled}" if text else scaled
        return text

    def write_assembly(self, array: Assemble) -> None:
        name = self.name_for(array)
        self.texts[id(array)] = (name, _ATOM)
        lead = ["m"] if array.batched else []
        maker = "zeros" if array.zeros else "empty"
        sizes = f"(m, {array.size})" if array.batched else str(array.size)
        self.lines.append(f"{name} = np.{maker}({sizes})")
        self.steps.append(array)
        for piece, place, added in zip(array.operands, array.places, array.added, strict=True):
            sign = "+=" if added else "="
            if place is None:
                shaped = f".reshape({self.sizes(array)})" if len(array.shape) > 1 else ""
                self.lines.append(f"{name}{shaped}[...] {sign} {self.of(piece, 0)}")
            elif isinstance(place, Gather):
                where = self.module.constant(place.positions.reshape(-1).astype(np.intp), "I")
                value = self.of(piece, 0)
                if len(place.shape) > 1 and piece.shape:
                    value = (
                        f"{self.of(piece)}.reshape({', '.join([*(['m'] if piece.batched else []), '-1'])})"
                    )
                self.lines.append(f"{name}[..., {where}] {sign} {value}")
            else:
                virtual = View(Absent((array.size,), array.batched), place.base, place.shape, place.strides)
                text = self.view(virtual, name)
                text = text if "[" in text[len(name) :] else f"{text}[...]"
                if not text.endswith("]"):
                    text += "[...]"
                self.lines.append(f"{text} {sign} {self.of(piece, 0)}")
            self.steps.append(None)
        if len(array.shape) != 1:
            self.lines.append(f"{name} = {name}.reshape({', '.join([*lead, *map(str, array.shape)])})")
            self.steps.append(None)


def _count(expression: Any, slot: int) -> int:
    if not isinstance(expression, Expression):
        return 0
    if expression.name == "slot":
        return int(expression.arguments[0] == slot)
    return sum(_count(argument, slot) for argument in expression.arguments)
