"""Write a program so that a person can read it: what ``str(program)`` gives.

One array a line, with its shape and what it is computed by, after the arguments; docs/programs.md shows each
kind. An array without a name that is used once is written where it is used if it is short; others without
one are called t1, t2 …
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from autobp import ir
from autobp.ir.expression import COMPARISONS, Expression, slots, value_of
from autobp.ops import ATOM, POWER_OF, PRODUCT, SIGN, SUM, TABLE

#: Text and how tightly it binds, as in the table of operations.
Text = tuple[str, int]

_LONGEST = 60  # of a text that is written where it is used
_LINE = 100  # beyond which an assembly takes a line for each piece
_SHOWN = 6  # of a list of numbers
_AXES = "ijklpqrs"
_SIGNS = {"add": "Σ", "maximum": "max", "minimum": "min"}


def text_of_program(program: ir.Program) -> str:
    """The program, a line for each argument and array, and one for what it returns."""
    printer = _Printer(program, set(program.names.values()), count(1))
    heads = [printer.argument(x) for x in program.arguments]
    return "\n".join([*heads, *printer.lines(), f"return {printer.returned()}"])


def shape_text(shape: ir.Shape, batched: bool) -> str:
    """A shape: m×2×3, where m is the number of samples; "number" for no axes at all."""
    return "×".join([*["m"] * batched, *map(str, shape)]) or "number"


def number_text(x: float) -> str:
    """A number in full, whole ones without a point."""
    if x == math.floor(x) if math.isfinite(x) else False:
        return f"{x:.0f}" if abs(x) < 1e16 else repr(x)
    return {math.inf: "∞", -math.inf: "-∞"}.get(x, repr(x))


def wrapped(text: Text, least: int) -> str:
    """The text, in parentheses where it binds less tightly than ``least``."""
    return text[0] if text[1] >= least else f"({text[0]})"


def places_text(place: ir.Place) -> str:
    """The positions that a place picks: 3i + j for an affine one, a list for any other."""
    if isinstance(place, ir.View):
        return _affine_text(place.base, place.shape, place.strides)
    return _list_text(place.positions.reshape(-1).tolist())


def _affine_text(base: int, shape: ir.Shape, strides: Sequence[int]) -> str:
    text = str(base) if base or all(n == 1 for n in shape) else ""
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        if size > 1 and stride:
            step = ("" if abs(stride) == 1 else str(abs(stride))) + _AXES[axis]
            sign = "-" if stride < 0 else "+"
            text = f"{text} {sign} {step}" if text else step if stride > 0 else f"-{step}"
    return text or "0"


def _list_text(numbers: Iterable[Any]) -> str:
    shown = [number_text(float(x)) for x in numbers]
    if len(shown) > _SHOWN + 1:
        shown = [*shown[:_SHOWN], f"… {shown[-1]}"]
    return ", ".join(shown)


class _Printer:
    """Writes the lines of one program; a method for each kind of array, by its class's name, has its text."""

    def __init__(self, program: ir.Program, taken: set[str], numbers: count[int]) -> None:
        self.program = program
        self.taken = taken
        self.numbers = numbers
        self.texts: dict[ir.Array, Text] = {}
        self.uses: dict[ir.Array, int] = {}
        for x in [x for array in program.arrays for x in _operands_as_written(array)]:
            self.uses[x] = self.uses.get(x, 0) + 1
        for result in program.results:
            self.uses[result] = self.uses.get(result, 0) + 2  # so that it has a line
        for argument in program.arguments:
            self.texts[argument] = (self.name(argument), ATOM)

    def lines(self) -> list[str]:
        """A line for each array that has one; of a loop those of its body too."""
        found = []
        for array in self.program.arrays:
            if array in self.texts:
                continue
            if isinstance(array, ir.Loop):
                found += self.loop(array)
                continue
            method = ir.method_for(array, self)
            assert method is not None
            text: Text = method(array)
            number = isinstance(array, ir.Constant) and array.size == 1
            short = len(text[0]) <= _LONGEST and not isinstance(array, ir.Assemble)
            if array not in self.program.names and (number or (short and self.uses.get(array, 0) == 1)):
                self.texts[array] = text
            else:
                found.append(f"{self.declared(array)} = {text[0]}")
        return found

    def declared(self, array: ir.Array) -> str:
        """Name and shape; from here on the array is called by its name."""
        self.texts[array] = (self.name(array), ATOM)
        return f"{self.texts[array][0]}: {shape_text(array.shape, array.batched)}"

    def name(self, array: ir.Array) -> str:
        """What the array is called: by the table, or theta, cost, t1, t2 …"""
        known = self.program.names.get(array)
        if known is not None:
            return known
        usual = "theta" if isinstance(array, ir.Theta) else "cost" if isinstance(array, ir.Total) else ""
        name = usual if usual and usual not in self.taken else f"t{next(self.numbers)}"
        while name in self.taken and name != usual:
            name = f"t{next(self.numbers)}"
        self.taken.add(name)
        return name

    def argument(self, array: ir.Argument) -> str:
        """An argument with its shape, and how it is passed where that is another one."""
        text = f"{self.texts[array][0]}: {shape_text(array.shape, array.batched)}"
        if isinstance(array, ir.Input) and array.sample != array.shape:
            text += f", passed as {shape_text(array.sample, array.batched)}"
        return text

    def returned(self) -> str:
        """The results, and the shape that outputs take."""
        text = ", ".join([self.of(x) for x in self.program.results])
        shape, result = self.program.result_shape, self.program.results[0] if self.program.results else None
        if shape is not None and result is not None and shape != result.shape:
            text += f" as {shape_text(shape, self.program.has_samples)}"
        return text

    def of(self, array: ir.Array, least: int = SUM) -> str:
        """What stands for an array where it is used."""
        return wrapped(self.texts[array], least)

    def loop(self, array: ir.Loop) -> list[str]:
        """A loop: its head, then its body, indented."""
        body = _Printer(array.body, self.taken | set(array.body.names.values()), self.numbers)
        self.texts[array] = (self.name(array), ATOM)
        steps = range(array.steps)[:: -1 if array.falling else 1]
        inner = []
        states = len(array.initial)
        sources = [
            *[self.of(x) for x in array.initial],
            *[f"{self.of(x, ATOM)}[t]" for x in array.sequences],
            *[self.of(x) for x in array.invariants],
        ]
        for argument, source in zip(array.body.arguments, sources, strict=True):
            inner.append(f"{body.argument(argument)} ← {source}")
        lines = body.lines()
        for i in range(states):
            inner[i] += f", then {body.of(array.body.results[i])}"
        outputs = ", ".join([body.of(x) for x in array.body.results[states:]])
        ends = [f"leave {outputs}"] if outputs else []
        head = f"{self.texts[array][0]}: for t = {steps[0]} … {steps[-1]}" if array.steps else "for no t"
        return [head, *[f"    {line}" for line in [*inner, *lines, *ends]]]

    # -------------------------------------------------------------------------- a method for each kind

    def result(self, array: ir.Result) -> Text:
        return f"{self.of(array.loop, ATOM)}[{array.number}]", ATOM

    def constant(self, array: ir.Constant) -> Text:
        if array.size == 1:
            text = number_text(float(array.values.flat[0]))
            return text, SIGN if text.startswith("-") else ATOM
        return f"[{_list_text(array.values.reshape(-1).tolist())}]", ATOM

    def view(self, array: ir.View | ir.Gather) -> Text:
        return f"{self.of(array.source, ATOM)}[{places_text(array)}]", ATOM

    def gather(self, array: ir.Gather) -> Text:
        return self.view(array)

    def spread(self, array: ir.Spread) -> Text:
        where = _list_text(array.positions.tolist())
        return f"spread({self.of(array.source)} to {where} of {shape_text(array.shape, False)})", ATOM

    def reshape(self, array: ir.Reshape) -> Text:
        return f"reshape({self.of(array.source)}, {shape_text(array.shape, array.batched)})", ATOM

    def fill(self, array: ir.Fill) -> Text:
        return f"fill({self.of(array.source)}, {shape_text(array.shape, array.batched)})", ATOM

    def repeat(self, array: ir.Repeat) -> Text:
        return f"repeat({self.of(array.source)}, {_list_text(array.counts.tolist())} times)", ATOM

    def choose(self, array: ir.Choose) -> Text:
        rows = "j" if array.outer else "i"
        return f"{self.of(array.values, ATOM)}[{rows}, {self.of(array.index, ATOM)}[i]]", ATOM

    def onehot(self, array: ir.OneHot) -> Text:
        return f"one_hot({self.of(array.index)}, {array.n})", ATOM

    def scatteradd(self, array: ir.ScatterAdd) -> Text:
        return f"scatter_add({self.of(array.delta)}, {self.of(array.index)}, {array.n})", ATOM

    def assemble(self, array: ir.Assemble) -> Text:
        parts = ["zeros"] if array.zeros else []
        for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
            name = "[…]" if place is None else self.program.names.get(place) or f"[{places_text(place)}]"
            parts.append(f"{name} {'+=' if added else '='} {self.of(piece)}")
        if sum(map(len, parts)) + 2 * len(parts) <= _LINE:
            return f"assemble({', '.join(parts)})", ATOM
        return "assemble(\n" + "".join([f"    {part},\n" for part in parts]) + ")", ATOM

    def map(self, array: ir.Map) -> Text:
        return self.formula(_applied(array), array.arrays)

    def sum(self, array: ir.Sum) -> Text:
        text = ""
        # a positive term first reads better
        for sign, x in sorted(zip(array.signs, array.arrays, strict=True), key=lambda term: term[0] < 0):
            size = "" if abs(sign) == 1.0 else f"{number_text(abs(sign))}*"
            term = size + self.of(x, SIGN if size else PRODUCT)
            text = f"{text} {'-' if sign < 0 else '+'} {term}" if text else f"{'-' * (sign < 0)}{term}"
        return text, SUM

    def elementwise(self, array: ir.Elementwise) -> Text:
        return self.formula(array.expression, array.arrays)

    def matmul(self, array: ir.MatMul) -> Text:
        return f"{self.of(array.rows, PRODUCT)} · {self.of(array.columns, ATOM)}ᵀ", PRODUCT

    def product(self, array: ir.Product) -> Text:
        if array.spec == "rows":
            return f"{self.of(array.delta, PRODUCT)} · {self.of(array.other, SIGN)}", PRODUCT
        return f"{self.of(array.delta, ATOM)}ᵀ · {self.of(array.other, SIGN)}", PRODUCT

    def rowdot(self, array: ir.RowDot) -> Text:
        axis = _AXES[max(len(array.x.shape), len(array.y.shape)) - 1]
        return f"Σ[{axis}] {self.of(array.x, PRODUCT)} * {self.of(array.y, SIGN)}", PRODUCT

    def reduce(self, array: ir.Reduce) -> Text:
        over = _AXES[len(array.source.shape) - 1]
        return f"{_SIGNS[array.ufunc]}[{over}] {self.of(array.source, PRODUCT)}", PRODUCT

    def segments(self, array: ir.Segments) -> Text:
        starts = _list_text(array.starts.tolist())
        return f"{_SIGNS[array.ufunc]}[from {starts}] {self.of(array.source, PRODUCT)}", PRODUCT

    def sumto(self, array: ir.SumTo) -> Text:
        over = ["m"] * array.samples + [_AXES[axis] for axis in array.axes]
        return f"Σ[{', '.join(over)}] {self.of(array.source, PRODUCT)}", PRODUCT

    def total(self, array: ir.Total) -> Text:
        text = ""
        for term in array.terms:
            summed = f"Σ {self.of(term.x, PRODUCT)}"
            if term.y is not None:
                summed += f" * {self.of(term.y, SIGN)}"
            factors = [] if abs(term.coefficient) == 1.0 else [number_text(abs(term.coefficient))]
            factors += ["m"] * max(0, term.samples)
            scale = "*".join(factors) or ("1" if term.samples < 0 else "")
            scale += "/m" * max(0, -term.samples)
            summed = f"{scale} * {summed}" if scale else summed
            negative = term.coefficient < 0
            text = f"{text} {'-' if negative else '+'} {summed}" if text else f"{'-' * negative}{summed}"
        return text or "0", SUM

    # ----------------------------------------------------------------------------------------- formulas

    def formula(self, expression: Any, arrays: Sequence[ir.Array]) -> Text:
        """An expression over the elements of arrays."""
        if not isinstance(expression, Expression):
            text = number_text(expression)
            return text, SIGN if text.startswith("-") else ATOM
        name, arguments = expression.name, expression.arguments
        if name == "slot":
            return self.texts[arrays[arguments[0]]]
        if name == "m":
            return "m", ATOM
        parts = [self.formula(x, arrays) for x in arguments[{"op": 1, "foreign partial": 2}.get(name, 0) :]]
        if name == "number":
            return parts[0]
        if name in ("+", "-"):
            right = wrapped(parts[1], PRODUCT)
            return f"{wrapped(parts[0], SUM)} {name} {right}", SUM
        if name in ("*", "/"):
            return f"{wrapped(parts[0], PRODUCT)} {name} {wrapped(parts[1], SIGN)}", PRODUCT
        if name == "neg":
            return f"-{wrapped(parts[0], SIGN)}", SIGN
        if name in ("square", "power"):
            exponent = "2" if name == "square" else wrapped(parts[1], ATOM)
            return f"{wrapped(parts[0], ATOM)}**{exponent}", POWER_OF
        return self.applied(expression, parts)

    def applied(self, expression: Expression, parts: Sequence[Text]) -> Text:
        """An operation of the table, in its own notation."""
        name, arguments = expression.name, expression.arguments
        inner = ", ".join([text for text, _ in parts])
        if name == "foreign partial":
            return f"∂{arguments[1] + 1} {arguments[0]}({inner})", ATOM
        name = arguments[0] if name == "op" else "take" if name == "choose" else name
        op = TABLE.get(name)
        if op is None or op.arity is None:
            return f"{name}({inner})", ATOM
        if op.text.startswith(f"{name}("):
            return op.text.format(*[text for text, _ in parts]), ATOM
        loose = op.precedence == ATOM or name in COMPARISONS
        inside = [text if loose else wrapped((text, k), ATOM) for text, k in parts]
        return op.text.format(*inside), op.precedence


def _applied(array: ir.Map) -> Any:
    """The formula of a Map over its operands."""
    return value_of(array.operation, slots(len(array.arrays)), array.constants)


def _operands_as_written(array: ir.Array) -> list[ir.Array]:
    """The operands of an array as often as its text has them."""
    if not isinstance(array, ir.Map | ir.Elementwise):
        return list(array.operands)
    found: list[ir.Array] = []
    stack = [array.expression if isinstance(array, ir.Elementwise) else _applied(array)]
    while stack:
        x = stack.pop()
        if isinstance(x, Expression):
            if x.name == "slot":
                found.append(array.operands[x.arguments[0]])
            else:
                stack.extend(x.arguments)
    return found
