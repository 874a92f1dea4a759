"""A program as equations in LaTeX, with the names that BP1–BP4 have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from autobp import ir
from autobp.backends.printer import Formulas, Printer, Template, Text
from autobp.backends.source_module import SourceModule
from autobp.ir.expression import COMPARISONS, NUMPYS, Expression
from autobp.ir.reserved import RESERVED
from autobp.ops import ATOM, POWER_OF, PRODUCT, SIGN, SUM, TABLE

_FOLDS = {"add": r"\sum_k", "maximum": r"\max_k", "minimum": r"\min_k"}


def equations(program: ir.Program) -> str:
    """The whole program in an ``aligned`` block."""
    printer = Latex(program)
    printer.write_all()
    result = program.results[0]
    if isinstance(result, ir.Total):
        lines = [*printer.lines, f"C &= {printer.cost_text(result)}"]
    else:
        lines = [*printer.lines, rf"\text{{outputs}} &= {printer.of(result)}"]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


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


#: What counts the steps of a loop, and of those within it: t with a number is an array.
_STEPS = (r"\tau", r"\sigma", r"\rho")


class LatexFormulas(Formulas):
    """Writes expressions; what is not in this table has its notation in the operation table."""

    templates: ClassVar = {
        "+": Template("{0} + {1}", SUM, (SUM, PRODUCT)),
        "-": Template("{0} - {1}", SUM, (SUM, PRODUCT)),
        "*": Template(r"{0} \odot {1}", PRODUCT, (PRODUCT, SIGN)),
        "/": Template(r"\frac{{{0}}}{{{1}}}", PRODUCT, (0, 0)),
        "neg": Template("-{0}", SIGN, (SIGN,)),
        "square": Template("{{{0}}}^{{2}}", POWER_OF, (ATOM,)),
        "power": Template("{{{0}}}^{{{1}}}", POWER_OF, (ATOM, 0)),
        "logaddexp": Template(r"\ln\left(e^{{{0}}} + e^{{{1}}}\right)", ATOM, (0, 0)),
    }
    scaled: ClassVar = Template(r"{0} \, {1}", PRODUCT, (PRODUCT, SIGN))
    brackets = (r"\left(", r"\right)")

    def template_of(self, expression: Expression) -> Template | None:
        by_a_number = expression.name == "*" and not isinstance(expression.arguments[0], Expression)
        return self.scaled if by_a_number else super().template_of(expression)

    def number(self, x: float) -> Text:
        return Text(decimal(x), SIGN if x < 0 else ATOM)

    def operation(self, name: str, operands: Sequence[Text]) -> Text:
        op = TABLE[NUMPYS.get(name, name)]
        if op.arity is None:
            inner = ", ".join([x.text for x in operands])
            return Text(rf"\operatorname{{{op.name}}}\left({inner}\right)".replace("_", r"\_"), ATOM)
        # inside brackets and braces of its own an operand needs none; before an operator it may
        least = 0 if op.precedence == ATOM or name in COMPARISONS else ATOM
        return Text(op.latex.format(*[self.wrap(x, least) for x in operands]), op.precedence)

    def foreign_partial(self, name: str, which: int, operands: Sequence[Text]) -> Text:
        inner = ", ".join([x.text for x in operands])
        return Text(rf"\partial_{{{which + 1}}}\operatorname{{{name}}}\left({inner}\right)", ATOM)


def decimal(x: float) -> str:
    """A number to six digits, with a power of ten."""
    mantissa, _, exponent = f"{x:.6g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


class Latex(Printer):
    """Writes a program's arrays as equations; ``lines`` holds them."""

    def __init__(self, program: ir.Program) -> None:
        super().__init__(program, LatexFormulas(), RESERVED)
        self.lines: list[str] = []
        self.module = SourceModule()  # which gives constants their names
        self.left_by: dict[ir.Loop, list[str]] = {}  # what the results of a loop are called
        self.depth = 0  # loops around

    def assign(self, array: ir.Array, text: str) -> None:
        name = symbol(self.name_for(array))
        self.lines.append(f"{name} &= {text}")
        self.texts[array] = Text(name, ATOM)

    # ------------------------------------------------------------------------------ arguments, constants

    def theta(self, array: ir.Theta) -> None:
        self.texts[array] = Text(r"\theta", ATOM)

    def input(self, array: ir.Input) -> None:
        self.texts[array] = Text(symbol(self.names[array]), ATOM)

    def constant(self, array: ir.Constant) -> None:
        values = array.values
        text = decimal(values.item()) if values.size == 1 else symbol(self.module.constant(values, "C"))
        self.texts[array] = Text(text, ATOM)

    # ------------------------------------------------------------------------- elements and arrangement

    def view(self, array: ir.View | ir.Gather) -> Text | None:
        if array not in self.names:
            source = array.source
            return Text(f"{{{self.of(source)}}}_{{{_places(array, source.size)}}}", ATOM)
        self.taken.add(self.names[array])
        self.texts[array] = Text(symbol(self.names[array]), ATOM)
        return None

    def gather(self, array: ir.Gather) -> Text | None:
        return self.view(array)

    def reshape(self, array: ir.Reshape | ir.Fill | ir.Spread | ir.Repeat) -> Text:
        return self.texts[array.source]  # the same numbers in another arrangement

    def fill(self, array: ir.Fill) -> Text:
        return self.reshape(array)

    def spread(self, array: ir.Spread) -> Text:
        return self.reshape(array)

    def repeat(self, array: ir.Repeat) -> Text:
        return self.reshape(array)

    def choose(self, array: ir.Choose) -> Text:
        return Text(rf"{{{self.of(array.values)}}}_{{{self.of(array.index)}}}", ATOM)

    def onehot(self, array: ir.OneHot) -> Text:
        return Text(rf"\left[{self.of(array.index)} = k\right]", ATOM)

    def scatteradd(self, array: ir.ScatterAdd) -> Text:
        index = rf"\left[{self.of(array.index)} = k\right]"
        return Text(rf"{{{self.of(array.delta)}}}^{{\top}} {index}", PRODUCT)

    def assemble(self, array: ir.Assemble) -> None:
        name = symbol(self.name_for(array))
        self.texts[array] = Text(name, ATOM)
        for piece, place in zip(array.pieces, array.places, strict=True):
            if place is not None and place in self.names and self.names.get(piece) == f"d{self.names[place]}":
                continue  # it is written already, as the derivative that it is
            # in braces: a second subscript is an error in LaTeX
            there = name if place is None else f"{{{name}}}_{{{_places(place, array.size)}}}"
            self.lines.append(f"{there} &\\mathrel{{+}}= {self.of(piece, 0)}")

    # -------------------------------------------------------------------------- products and reductions

    def matmul(self, array: ir.MatMul) -> Text:
        return Text(rf"{self.of(array.rows)} {{{self.of(array.columns)}}}^{{\top}}", PRODUCT)

    def product(self, array: ir.Product) -> Text:
        delta, other = self.of(array.delta), self.of(array.other)
        if array.spec == "rows":
            return Text(f"{delta} {other}", PRODUCT)
        return Text(rf"{{{delta}}}^{{\top}} {other}", PRODUCT)

    def rowdot(self, array: ir.RowDot) -> Text:
        return Text(rf"\sum_k {self.of(array.x, PRODUCT)} \odot {self.of(array.y, SIGN)}", PRODUCT)

    def reduce(self, array: ir.Reduce | ir.Segments) -> Text:
        return Text(f"{_FOLDS[array.ufunc]} {self.of(array.source, PRODUCT)}", PRODUCT)

    def segments(self, array: ir.Segments) -> Text:
        return self.reduce(array)

    def sumto(self, array: ir.SumTo) -> Text:
        over = ["i"] * array.samples + ["k"] * bool(array.axes)
        return Text(rf"\sum_{{{','.join(over)}}} {self.of(array.source, PRODUCT)}", PRODUCT)

    def total(self, array: ir.Total) -> None:
        """Nothing: it is written last."""

    def cost_text(self, total: ir.Total) -> str:
        """The mean cost."""
        text = ""
        for term in total.terms:
            scale = "" if abs(term.coefficient) == 1.0 else decimal(abs(term.coefficient))
            scale += r"\frac{1}{m}" * (term.samples < 0) + "m" * (term.samples > 0)
            sign = "-" if term.coefficient < 0 else "+" if text else ""
            text += rf" {sign} {scale} \sum {self.summed(term)}"
        return text.strip()

    def summed(self, term: ir.Term) -> str:
        """What a term of the cost sums up."""
        if term.y is term.x:
            return f"{{{self.of(term.x)}}}^{{2}}"
        x = self.of(term.x, PRODUCT)
        return x if term.y is None else rf"{x} \odot {self.of(term.y, SIGN)}"

    # --------------------------------------------------------------------------------------------- loops

    def local(self, array: ir.Local) -> None:
        """Nothing: the loop has said already what it is called."""

    def loop(self, array: ir.Loop) -> None:
        n, body = len(array.initial), array.body
        inner = Latex(body)
        inner.share_names(self)
        inner.module, inner.left_by, inner.depth = self.module, self.left_by, self.depth + 1
        step = _STEPS[self.depth % len(_STEPS)]
        states = [symbol(self.free_name(body.names.get(x, ""))) for x in body.arguments[:n]]
        self.lines += [f"{name} &= {self.of(x, 0)}" for name, x in zip(states, array.initial, strict=True)]
        stacks = list(map(symbol, self.output_names(array)))
        parts = [f"{{{self.of(x)}}}_{{{step}}}" for x in array.sequences]
        texts = [*states, *parts, *map(self.of, array.invariants)]
        inner.texts.update(zip(body.arguments, [Text(text, ATOM) for text in texts], strict=True))
        inner.write_all()
        results = [inner.of(x, 0) for x in body.results]
        left = [f"{{{name}}}_{{{step}}} &= {x}" for name, x in zip(stacks, results[n:], strict=True)]
        if states:
            left.append(rf"{', '.join(states)} &\leftarrow {', '.join(results[:n])}")
        steps = [1, array.steps] if not array.falling else [array.steps, 1]
        self.lines.append(rf"&\text{{for }} {step} = {steps[0]}, \ldots, {steps[1]}\text{{:}}")
        self.lines += [_indented(line) for line in [*inner.lines, *left]]
        self.left_by[array] = [*states, *stacks]

    def result(self, array: ir.Result) -> None:
        self.texts[array] = Text(self.left_by[array.loop][array.number], ATOM)


def _indented(line: str) -> str:
    """An equation that stands further to the right, as one piece: what stands before its & would move it."""
    left, _, right = line.partition("&")
    return rf"&\quad {left}{right}"


def _places(place: ir.View | ir.Gather, size: int) -> str:
    indices = place.indices().reshape(-1)
    first, last = int(indices[0]) + 1, int(indices[-1]) + 1
    shown = f"{first}" if first == last else rf"{first} \ldots {last}"
    return shown if len(indices) < size or first != 1 else r"\cdot"
