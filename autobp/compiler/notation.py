"""Write a program as equations in LaTeX, with the names that BP1–BP4 have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from autobp.compiler.emit import Module, Text, Writer, expression_of
from autobp.compiler.expression import COMPARISONS, Expression
from autobp.compiler.ir import (
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
from autobp.ops import TABLE

_COMPARISON, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(6)


def symbol(name: str) -> str:
    """A program's name as LaTeX: W1 is W^{1}, delta2 \\delta^{2}, dW1 the derivative by W^{1}."""
    match = re.fullmatch(r"d?(W|b|z|a|delta|t|v|C|I|P|x)_?(\d+)(_\d+)?", name)
    if match is None:
        return rf"\mathit{{{name}}}".replace("_", r"\_") if len(name) > 1 else name
    letter = {"delta": r"\delta", "C": r"\mathrm{C}"}.get(match[1], match[1])
    over = f"_{{{match[2]}}}" if match[1] in "tvCIPx" else f"^{{{match[2]}}}"
    written = letter + over + (f"_{{{match[3][1:]}}}" if match[3] else "")
    derivative = name.startswith("d") and match[1] in "Wb"
    return rf"\frac{{\partial C}}{{\partial {written}}}" if derivative else written


class EquationWriter(Writer):
    """Writes a program's arrays as equations; ``lines`` holds them."""

    def __init__(self, program: Program) -> None:
        super().__init__(Module(), program)

    def assign(self, array: Array, text: str) -> None:
        name = symbol(self.name_for(array))
        self.lines.append(f"{name} &= {text}")
        self.steps.append(array)
        self.texts[id(array)] = (name, _ATOM)

    def write(self, array: Array) -> None:
        if isinstance(array, Theta):
            self.texts[id(array)] = (r"\theta", _ATOM)
        elif isinstance(array, Input):
            self.texts[id(array)] = (symbol(self.names[array]), _ATOM)
        elif isinstance(array, Constant):
            value = array.values
            name = "" if value.size == 1 else self.module.constant(value, "C")
            text = symbol(name) if name else _number(float(value.flat[0]))
            self.texts[id(array)] = (text, _ATOM)
        elif isinstance(array, Assemble):
            self.write_assembly(array)
        elif isinstance(array, View | Gather) and array in self.names:
            self.taken.add(self.names[array])
            self.texts[id(array)] = (symbol(self.names[array]), _ATOM)
        else:
            super().write(array)

    def write_assembly(self, array: Assemble) -> None:
        name = symbol(self.name_for(array))
        self.texts[id(array)] = (name, _ATOM)
        for piece, place in zip(array.operands, array.places, strict=True):
            if place and place in self.names and self.names.get(piece) == f"d{self.names[place]}":
                continue  # it is written already, as the derivative that it is
            where = "" if place is None else f"_{{{_places(place, array.size)}}}"
            self.lines.append(f"{name}{where} &\\mathrel{{+}}= {self.of(piece, 0)}")
            self.steps.append(None)

    def of(self, array: Array, least: int = _ATOM) -> str:
        return _wrapped(self.texts[id(array)], least)

    def text_of(self, array: Array) -> Text:
        if isinstance(array, Map | Sum | Elementwise):
            return _formula(expression_of(array), [self.texts[id(x)] for x in array.operands])
        if isinstance(array, MatMul):
            rows, columns = array.operands
            return rf"{self.of(rows)} {{{self.of(columns)}}}^{{\top}}", _PRODUCT
        if isinstance(array, Product):
            delta, other = array.operands
            if array.spec == "rows":
                return f"{self.of(delta)} {self.of(other)}", _PRODUCT
            return rf"{{{self.of(delta)}}}^{{\top}} {self.of(other)}", _PRODUCT
        if isinstance(array, RowDot):
            x, y = array.operands
            return rf"\sum_k {self.of(x, _PRODUCT)} \odot {self.of(y, _SIGN)}", _PRODUCT
        if isinstance(array, Choose | OneHot):
            index = self.of(array.operands[0])
            if isinstance(array, OneHot):
                return rf"\left[{index} = k\right]", _ATOM
            return rf"{{{self.of(array.operands[1])}}}_{{{index}}}", _ATOM
        source = array.operands[0]
        text = self.texts[id(source)]
        if isinstance(array, View | Gather):
            return f"{{{self.of(source)}}}_{{{_places(array, source.size)}}}", _ATOM
        if isinstance(array, Reduce | Segments):
            sign = {"add": r"\sum_k", "maximum": r"\max_k", "minimum": r"\min_k"}[array.ufunc]
            return f"{sign} {_wrapped(text, _PRODUCT)}", _PRODUCT
        if isinstance(array, SumTo):
            over = ["i"] * array.samples + ["k"] * bool(array.axes)
            return rf"\sum_{{{','.join(over)}}} {_wrapped(text, _PRODUCT)}", _PRODUCT
        assert isinstance(array, Reshape | Fill | Spread | Repeat)
        return text  # the same numbers in another arrangement

    def cost_text(self, terms: Sequence[Term]) -> str:
        text = ""
        for term in terms:
            x = self.of(term.x, _PRODUCT)
            if term.y is term.x:
                x = f"{{{self.of(term.x)}}}^{{2}}"
            elif term.y is not None:
                x = rf"{x} \odot {self.of(term.y, _SIGN)}"
            scale = "" if abs(term.coefficient) == 1.0 else _number(abs(term.coefficient))
            scale += r"\frac{1}{m}" * (term.samples < 0) + "m" * (term.samples > 0)
            sign = "-" if term.coefficient < 0 else "+" if text else ""
            text += rf" {sign} {scale} \sum {x}"
        return text.strip()


def equations(program: Program) -> str:
    """The whole program in an ``aligned`` block."""
    writer = EquationWriter(program)
    result = program.results[0]
    if isinstance(result, Total):
        lines = [*writer.lines, f"C &= {writer.cost_text(result.terms)}"]
    else:
        lines = [*writer.lines, rf"\text{{outputs}} &= {writer.of(result)}"]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _places(place: View | Gather, size: int) -> str:
    indices = place.indices().reshape(-1)
    first, last = int(indices[0]) + 1, int(indices[-1]) + 1
    shown = f"{first}" if first == last else rf"{first} \ldots {last}"
    return shown if len(indices) < size or first != 1 else r"\cdot"


def _wrapped(text: Text, least: int) -> str:
    return text[0] if text[1] >= least else rf"\left({text[0]}\right)"


def _number(x: float) -> str:
    mantissa, _, exponent = f"{x:.6g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _formula(expression: Any, operands: Sequence[Text]) -> Text:
    if not isinstance(expression, Expression):
        return _number(expression), _SIGN if expression < 0 else _ATOM
    name, arguments = expression.name, expression.arguments
    if name == "slot":
        which: int = arguments[0]
        return operands[which]
    if name == "m":
        return "m", _ATOM
    if name == "number":
        return _number(arguments[0]), _ATOM
    named = {"op": 1, "foreign partial": 2}.get(name, 0)
    parts = [_formula(x, operands) for x in arguments[named:]]
    if name in ("+", "-"):
        right = _wrapped(parts[1], _SUM if name == "+" else _PRODUCT)
        return f"{_wrapped(parts[0], _SUM)} {name} {right}", _SUM
    if name == "*":
        sign = r"\odot" if isinstance(arguments[0], Expression) else r"\,"
        return f"{_wrapped(parts[0], _PRODUCT)} {sign} {_wrapped(parts[1], _SIGN)}", _PRODUCT
    if name == "/":
        return rf"\frac{{{parts[0][0]}}}{{{parts[1][0]}}}", _PRODUCT
    if name == "neg":
        return f"-{_wrapped(parts[0], _SIGN)}", _SIGN
    if name == "square":
        return f"{{{_wrapped(parts[0], _ATOM)}}}^{{2}}", _POWER
    if name == "power":
        return f"{{{_wrapped(parts[0], _ATOM)}}}^{{{parts[1][0]}}}", _POWER
    if name == "logaddexp":
        return rf"\ln\left(e^{{{parts[0][0]}}} + e^{{{parts[1][0]}}}\right)", _ATOM
    if name == "foreign partial":
        inner = ", ".join(text for text, _ in parts)
        return rf"\partial_{{{arguments[1] + 1}}}\operatorname{{{arguments[0]}}}\left({inner}\right)", _ATOM
    op = TABLE[arguments[0] if name == "op" else "take" if name == "choose" else name]
    if op.arity is None:
        inner = ", ".join(text for text, _ in parts)
        return rf"\operatorname{{{op.name}}}\left({inner}\right)".replace("_", r"\_"), _ATOM
    # inside brackets and braces of its own an operand needs none; before an operator it may
    loose = op.precedence == _ATOM or name in COMPARISONS
    written = [text if loose else _wrapped((text, least), _ATOM) for text, least in parts]
    return op.latex.format(*written), op.precedence


