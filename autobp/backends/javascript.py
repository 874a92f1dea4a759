"""A program as JavaScript, statement by statement, for a page to compute with.

The statements are those of the readable source, under the same names, and compute the same in the same order.
What is done to one element after another becomes a function of numbers, run by ``map``; the rest calls the
functions of ``arrays.js`` and ``elementary.js``.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any, ClassVar

import numpy as np

from autobp import ir
from autobp.backends.javascript_numbers import JAVASCRIPT, Number, literal
from autobp.backends.moves import (
    SAMPLES,
    TURNED,
    Axes,
    Move,
    Moves,
    Part,
    Size,
    Sizes,
    factors,
    flattened,
    placements,
    sizes_of,
    summing,
    view_moves,
)
from autobp.backends.numpy_text import Source
from autobp.backends.printer import (
    Formulas,
    Printer,
    Template,
    Text,
    expression_of,
    total_expression,
)
from autobp.backends.source_module import reshaped_inputs
from autobp.ir.expression import COMPARISONS, UFUNCS, Expression
from autobp.ops import ATOM

_FOLDS = {"add": "plus", "maximum": "Math.max", "minimum": "Math.min"}


def javascript(source: Source) -> str:
    """JavaScript for the last function of a source: OPERATIONS, functions of numbers, and run(v).

    ``run`` carries out all statements on an object that has the arguments and the constants by name, sets
    there each variable, and under the name of the function's result the cost or the outputs.

    Raises:
        TypeError: an operation is computed by Python code, which has no formula; or there is a loop.
    """
    for name in source.module.foreign:
        raise TypeError(f"{name} is computed by Python code, which has no formula to write down")
    printer = Javascript(source)
    printer.write_all()
    operations = "".join(
        [f"  {_quoted(name)}: {_function(*rule)},\n" for name, rule in source.module.operations.items()]
    )
    lines = "".join([f"  {line}\n" for line in printer.lines])
    return f"const OPERATIONS = {{\n{operations}}};\nfunction run(v) {{\n{lines}}}\n"


def _function(rule: Expression, names: Sequence[str]) -> str:
    """An operation's rule as a function of numbers."""
    named, result = JavascriptFormulas().body(rule, names, "$")  # in JavaScript other words are reserved
    lines = [*[f"const {name} = {text};" for name, text in named], f"return {result};"]
    return f"({', '.join([f'${name}' for name in names])}) => {{ {' '.join(lines)} }}"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _variable(name: str) -> str:
    return f"v[{_quoted(name)}]"


def _size(n: Size) -> str:
    return _variable(SAMPLES) if isinstance(n, str) else str(n) if n >= 0 else literal(n)


def _sizes(sizes: Sequence[Size]) -> str:
    return f"[{', '.join(map(_size, sizes))}]"


# -------------------------------------------------------------------------------------------- expressions


def _template(n: int, function: Callable[..., Number], truths: tuple[int, ...] = ()) -> Template:
    """How the page's numbers write a function of n operands."""
    return Template(function(*[Number(f"{{{i}}}") for i in range(n)]).text, ATOM, (0,) * n, truths)


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
    "equal": operator.eq,
    "not_equal": operator.ne,
}


def _one_or_zero(name: str) -> Callable[[Number, Number], Number]:
    return lambda x, y: JAVASCRIPT.where(_COMPARE[name](x, y), 1.0, 0.0)


class JavascriptFormulas(Formulas):
    """Writes expressions in numbers, as :mod:`~autobp.backends.javascript_numbers` has them."""

    tests: ClassVar = {name: _template(2, _COMPARE[name]) for name in COMPARISONS}
    templates: ClassVar = {
        "+": _template(2, operator.add),
        "-": _template(2, operator.sub),
        "*": _template(2, operator.mul, truths=(0, 1)),
        "/": _template(2, operator.truediv, truths=(0, 1)),
        "neg": _template(1, operator.neg),
        "square": _template(1, lambda x: x**2.0),
        "power": _template(2, operator.pow),
        "where": _template(3, JAVASCRIPT.where),
        **{
            name: _template(getattr(np, numpy).nin, getattr(JAVASCRIPT, name))
            for name, numpy in UFUNCS.items()
        },
        **{name: _template(2, _one_or_zero(name)) for name in COMPARISONS},
    }
    _ready: ClassVar = {"take": "pick", "erf": "erf", "erfc": "erfc"}

    def number(self, x: float) -> Text:
        return Text(literal(x), ATOM)

    def operation(self, name: str, operands: Sequence[Text]) -> Text:
        called = self._ready.get(name) or f"OPERATIONS[{_quoted(name)}]"
        return Text(f"{called}({', '.join([x.text for x in operands])})", ATOM)


class _Operands(dict[str, Text]):
    """The operands of a function of numbers, x0, x1 … in the order in which they are met, by their text."""

    def __missing__(self, text: str) -> Text:
        return self.setdefault(text, Text(f"x{len(self)}", ATOM))


# ------------------------------------------------------------------------------------------------- arrays


class Javascript(Printer):
    """Writes the statements of ``run``.

    Methods give expressions whose slots are texts of arrays, so that what is done element by element to what
    was done element by element is one function. Variables are those of the readable source.
    """

    def __init__(self, source: Source) -> None:
        self.function = source.functions[-1]
        super().__init__(self.function.program, JavascriptFormulas())
        self.module = source.module
        self.values: dict[ir.Array, Any] = {}
        self.lines: list[str] = []

    def write_all(self) -> None:
        inputs = self.program.inputs
        if inputs:
            self.set_variable(SAMPLES, f"{_variable(self.names[inputs[0]])}.shape[0]")
        for x in reshaped_inputs(self.program):
            name = self.names[x]
            self.set_variable(name, f"reshape({_variable(name)}, {_sizes((SAMPLES, x.size))})")
        super().write_all()
        self.set_variable(self.function.result.name, self.result_text())

    def set_variable(self, name: str, text: str) -> None:
        """Write a statement that sets a variable."""
        self.lines.append(f"{_variable(name)} = {text};")

    def write(self, array: ir.Array) -> None:
        value: Any = self.method(array)(array)
        if value is None:
            return
        name = self.function.variables.get(array)
        if name is not None:
            self.set_variable(name, self.text(value))
            value = Expression("slot", _variable(name))
        self.values[array] = value

    def result_text(self) -> str:
        """The cost, or the outputs in the shape that the caller gets, for each sample."""
        array, shape = self.program.results[0], self.program.result_shape
        if shape is None:
            assert isinstance(array, ir.Total)
            sums = [Expression("slot", self.summed(term)) for term in array.terms]
            return self.text(_filled(total_expression(array), sums))
        shaped = self.moved(array, (Sizes(sizes_of(shape, array.batched)),))
        if self.program.inputs and not array.batched:
            shaped = f"broadcast({shaped}, {_sizes((SAMPLES, *shape))})"
        return shaped

    def summed(self, term: ir.Term) -> str:
        """The sum that a term of the cost scales."""
        value = self.values[term.x]
        if term.y is not None:
            squared = term.y is term.x
            value = Expression("square", value) if squared else Expression("*", value, self.values[term.y])
        if term.x.shape == (1,) and not term.x.batched:
            return self.moved_text(self.text(value), (Part((0,)),))
        return f"fold(plus, {self.text(value)}, null, false)"

    # ------------------------------------------------------------------------------------------- texts

    def text(self, value: Any) -> str:
        """An array, or a number, as JavaScript."""
        if isinstance(value, Expression) and value.name == "slot":
            text: str = value.arguments[0]
            return text
        operands = _Operands()
        formula = self.formulas.write(value, operands).text
        if not operands:
            return formula
        names = ", ".join([x.text for x in operands.values()])
        return f"map(({names}) => {formula}, {', '.join(operands)})"

    def of(self, array: ir.Array, least: int = ATOM) -> str:
        return self.text(self.values[array])

    def moved(self, array: ir.Array, moves: Moves) -> str:
        """An array, sliced, reshaped and turned."""
        return self.moved_text(self.of(array), moves)

    def moved_text(self, text: str, moves: Moves) -> str:
        """The same for its text."""
        for move in moves:
            text = self._moved(text, move)
        return text

    def _moved(self, text: str, move: Move) -> str:
        if isinstance(move, Part):
            return f"at({text}, [{', '.join(map(self._entry, move.entries))}])"
        if isinstance(move, Sizes):
            return f"reshape({text}, {_sizes(move.sizes)})"
        if isinstance(move, Axes):
            return f"transpose({text})" if move == TURNED else f"transpose({text}, {_sizes(move.order)})"
        return f"swapAxes({text}, {literal(move.first)}, {literal(move.second)})"

    def _entry(self, entry: slice | int | EllipsisType | np.ndarray[Any, Any] | None) -> str:
        if isinstance(entry, slice):
            ends = (entry.start, entry.stop, entry.step)
            return f"[{', '.join(['null' if end is None else str(end) for end in ends])}]"
        if isinstance(entry, np.ndarray):
            return self.positions(entry)
        return "null" if entry is None else '"..."' if entry is ... else literal(entry)

    def positions(self, indices: np.ndarray[Any, Any]) -> str:
        """An array of positions."""
        return _variable(self.module.positions(indices))

    def folded(self, ufunc: str, text: str, axes: Sequence[int], keep: bool) -> str:
        """An array folded over some axes."""
        return f"fold({_FOLDS[ufunc]}, {text}, {_sizes(axes)}, {str(keep).lower()})"

    # ------------------------------------------------------------------------------ arguments, constants

    def theta(self, array: ir.Theta) -> None:
        self.values[array] = Expression("slot", _variable("theta"))

    def input(self, array: ir.Input) -> None:
        self.values[array] = Expression("slot", _variable(self.names[array]))

    def constant(self, array: ir.Constant) -> None:
        if array.values.size != 1:
            name = self.module.constant(array.values, "C")
            self.values[array] = Expression("slot", _variable(name))
            return
        x = array.values.item()
        whole = Expression("slot", f"full({_sizes(array.shape)}, {literal(x)})")
        self.values[array] = whole if array.shape else x

    # ------------------------------------------------------------------------- elements and arrangement

    def view(self, array: ir.View) -> Expression:
        source = array.source
        moves = view_moves(source.size, array.base, array.shape, array.strides, array.batched)
        return Expression("slot", self.moved(source, (*flattened(source), *moves)))

    def gather(self, array: ir.Gather) -> Expression:
        flat = self.moved(array.source, flattened(array.source))
        return Expression("slot", f"take({flat}, {self.positions(array.positions)})")

    def spread(self, array: ir.Spread) -> Expression:
        where = self.positions(array.positions)
        return Expression("slot", f"spread({self.of(array.source)}, {where}, {_sizes(array.shape)})")

    def reshape(self, array: ir.Reshape) -> Expression:
        return Expression("slot", self.moved(array.source, (Sizes(sizes_of(array.shape, array.batched)),)))

    def fill(self, array: ir.Fill) -> Expression:
        sizes = _sizes(sizes_of(array.shape, array.batched))
        return Expression("slot", f"broadcast({self.of(array.source)}, {sizes})")

    def repeat(self, array: ir.Repeat) -> Expression:
        return Expression("slot", f"repeat({self.of(array.source)}, {self.positions(array.counts)})")

    def choose(self, array: ir.Choose) -> Expression:
        function = "chooseOuter" if array.outer else "chooseEach"
        return Expression("slot", f"{function}({self.of(array.values)}, {self.of(array.index)})")

    def onehot(self, array: ir.OneHot) -> Expression:
        index = Expression("slot", self.moved(array.index, (Part((..., None)),)))
        return Expression("equal", index, Expression("slot", f"arange({array.n})"))

    def scatteradd(self, array: ir.ScatterAdd) -> Expression:
        texts = f"{self.of(array.delta)}, {self.of(array.index)}, {array.n}"
        return Expression("slot", f"scatterAdd({texts})")

    def assemble(self, array: ir.Assemble) -> None:
        name = self.function.variables[array]
        self.set_variable(name, f"full({_sizes(sizes_of((array.size,), array.batched))}, 0)")
        for target, piece, piece_moves, added in placements(array):
            part = self.moved_text(_variable(name), target)
            text = self.moved(piece, piece_moves)
            self.lines.append(f"set({part}, {f'map(plus, {part}, {text})' if added else text});")
        if len(array.shape) != 1:
            self.set_variable(
                name, f"reshape({_variable(name)}, {_sizes(sizes_of(array.shape, array.batched))})"
            )
        self.values[array] = Expression("slot", _variable(name))

    # ------------------------------------------------------------------------------------- elementwise

    def map(self, array: ir.Map | ir.Sum) -> Any:
        expression = expression_of(array)
        if expression.name == "number":
            sizes = _sizes(sizes_of(array.shape, array.batched))
            return Expression("slot", f"full({sizes}, {literal(expression.arguments[0])})")
        return self.elementwise(array)

    def sum(self, array: ir.Sum) -> Any:
        return self.map(array)

    def elementwise(self, array: ir.Map | ir.Sum | ir.Elementwise) -> Any:
        return _filled(expression_of(array), [self.values[x] for x in array.operands])

    # -------------------------------------------------------------------------- products and reductions

    def matmul(self, array: ir.MatMul) -> Expression:
        return self.product(array)

    def product(self, array: ir.MatMul | ir.Product) -> Expression:
        of = factors(array)
        left, right = self.moved(of.left, of.left_moves), self.moved(of.right, of.right_moves)
        if not of.matrices:
            return Expression("*", Expression("slot", left), Expression("slot", right))
        return Expression("slot", self.moved_text(f"matmul({left}, {right})", of.after))

    def rowdot(self, array: ir.RowDot) -> Expression:
        product = self.text(Expression("*", self.values[array.x], self.values[array.y]))
        keep = len(array.x.shape) == len(array.y.shape) == 1
        return Expression("slot", self.folded("add", product, (-1,), keep))

    def reduce(self, array: ir.Reduce) -> Expression:
        keep = len(array.source.shape) == 1
        return Expression("slot", self.folded(array.ufunc, self.of(array.source), (-1,), keep))

    def segments(self, array: ir.Segments) -> Expression:
        arguments = f"{_FOLDS[array.ufunc]}, {self.of(array.source)}, {self.positions(array.starts)}"
        return Expression("slot", f"reduceAt({arguments})")

    def sumto(self, array: ir.SumTo) -> Expression:
        how = summing(array)
        summed = self.folded("add", self.of(array.source), how.axes, how.keep)
        return Expression("slot", self.moved_text(summed, how.after))

    def total(self, array: ir.Total) -> None:
        """Nothing: it is written last."""

    # --------------------------------------------------------------------------------------------- loops

    def loop(self, array: ir.Loop) -> None:
        """Refused: a page shows each array once, and a loop sets its states again and again."""
        raise TypeError("the program has a loop, whose steps a page does not carry out")

    def result(self, array: ir.Result) -> None:
        """Refused with its loop."""
        self.loop(array.loop)

    def local(self, array: ir.Local) -> None:
        """Refused with its loop: it is in the loop's body."""
        raise TypeError("the program has a loop, whose steps a page does not carry out")


def _filled(expression: Any, operands: Sequence[Any]) -> Any:
    """An expression with operands in its slots, and the number of samples a variable as any other."""
    if not isinstance(expression, Expression):
        return expression
    if expression.name == "slot":
        return operands[expression.arguments[0]]
    if expression.name == "m":
        return Expression("slot", _variable(SAMPLES))
    return Expression(expression.name, *[_filled(x, operands) for x in expression.arguments])
