"""A program as NumPy source that a person can read, paste elsewhere and run alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autobp import ir
from autobp.backends.moves import Moves, factors, flattened, placements, sizes_of, summing, view_moves
from autobp.backends.printer import Printer, Text, expression_of, operands_in_text, total_expression
from autobp.backends.source_module import (
    SourceModule,
    as_tuple,
    function,
    head,
    joined,
    number,
    shaped_outputs,
)
from autobp.ir.reserved import RESERVED
from autobp.ops import ATOM, PRODUCT, SIGN

#: The functions that reduce an axis, by their ufuncs.
REDUCTIONS = {"add": "sum", "maximum": "max", "minimum": "min"}


@dataclass(frozen=True)
class Line:
    """A statement of a function.

    Attributes:
        text: all of it.
        name: the variable that it sets or changes.
        formula: what the variable is set to; the whole text where only a part of it is.
        reads: the arrays with names, arguments among them, that it is computed from, each once.
        array: what the variable begins to stand for; None where it does already, or for no array.
    """

    text: str
    name: str
    formula: str
    reads: tuple[ir.Array, ...] = ()
    array: ir.Array | None = None


@dataclass(frozen=True)
class Function:
    """A program as a function.

    Attributes:
        lines: its statements, but for the docstring and the last.
        result: the text of the cost, or of the outputs, and what it reads.
        variables: the names of arrays, arguments among them.
    """

    name: str
    docstring: str
    program: ir.Program
    lines: tuple[Line, ...]
    result: Line
    variables: Mapping[ir.Array, str]
    returned: str

    @property
    def arguments(self) -> list[str]:
        """What it is a function of, theta first."""
        return ["theta", *[self.program.names[x] for x in self.program.inputs]]

    @property
    def text(self) -> str:
        """Its source."""
        lines = [line.text for line in self.lines]
        return function(self.name, ", ".join(self.arguments), self.docstring, lines, self.returned)


@dataclass(frozen=True)
class Source:
    """A module that imports only NumPy and runs on its own, numbers and all."""

    docstring: str
    module: SourceModule
    functions: tuple[Function, ...]

    @property
    def text(self) -> str:
        """The source."""
        return self.module.text([function.text for function in self.functions], self.docstring)

    def variables(self, theta: ir.Floats, arguments: Sequence[ir.Floats]) -> dict[str, Any]:
        """What the variables of the last function are at its end, the cost or the outputs among them."""
        last = self.functions[-1]
        names = dict.fromkeys([*last.arguments, *[line.name for line in last.lines]])
        shown = "".join([f"{name!r}: {name}, " for name in names])
        lines = [line.text for line in last.lines]
        result = f"{{{shown}{last.result.name!r}: {last.result.formula}}}"
        text = function(last.name, ", ".join(last.arguments), last.docstring, lines, result)
        namespace: dict[str, Any] = dict(self.module.constants)
        source = self.module.text([text], self.docstring, with_constants=False)
        exec(compile(source, "<compiled by autobp>", "exec"), namespace)
        with np.errstate(all="ignore"):
            made: dict[str, Any] = namespace[last.name](theta, *arguments)
        return made


def source_of(programs: Mapping[str, ir.Program], docstring: str, docstrings: Mapping[str, str]) -> Source:
    """The source of a module with one function for each program, by name."""
    module = SourceModule()
    functions = [write(name, program, module, docstrings[name]) for name, program in programs.items()]
    return Source(docstring, module, tuple(functions))


def write(name: str, program: ir.Program, module: SourceModule, docstring: str) -> Function:
    """A program as a function of a module."""
    printer = NumpyText(module, program)
    printer.write_all()
    result = printer.result_line()
    variables = {**printer.variables, program.theta: "theta"}
    return Function(name, docstring, program, tuple(printer.lines), result, variables, printer.returned())


class NumpyText(Printer):
    """Writes the statements of one function.

    Attributes:
        lines: the statements.
        variables: the names of the arrays that have one.
    """

    def __init__(self, module: SourceModule, program: ir.Program) -> None:
        super().__init__(program, module.formulas, RESERVED)
        self.module = module
        self.lines: list[Line] = []
        self.variables: dict[ir.Array, str] = {x: program.names[x] for x in program.inputs}
        self.left_by: dict[ir.Loop, list[str]] = {}  # what the results of a loop are called

    def write_all(self) -> None:
        inputs = {self.names[x]: x for x in self.program.inputs}
        for text in self.head():
            name, _, formula = text.partition(" = ")
            self.lines.append(Line(text, name, formula, (inputs[name],) if name in inputs else ()))
        super().write_all()

    def head(self) -> list[str]:
        """The statements with which a function begins."""
        return head(self.program)

    def assign(self, array: ir.Array, text: str) -> None:
        name = self.name_for(array)
        reads = self.read_by(operands_in_text(array))
        self.lines.append(Line(f"{name} = {text}", name, text, reads, array))
        self.texts[array] = Text(name, ATOM)
        self.variables[array] = name

    def read_by(self, arrays: Iterable[ir.Array]) -> tuple[ir.Array, ...]:
        """The arrays with names that the texts of some arrays mention, each once, in order."""
        found: dict[ir.Array, None] = {}
        seen: set[ir.Array] = set()
        stack = [*arrays][::-1]
        while stack:
            array = stack.pop()
            if array in seen:
                continue
            seen.add(array)
            if array in self.variables or isinstance(array, ir.Theta):
                found[array] = None
            else:
                stack += reversed(operands_in_text(array))
        return tuple(found)

    def result_line(self) -> Line:
        """The cost, or the outputs, under a name that no variable has."""
        array = self.program.results[0]
        if self.program.result_shape is None:
            assert isinstance(array, ir.Total)
            name, formula = "cost", self.cost_text(array)
        else:
            name, formula = "result", self.shaped(array)
        while name in {"theta", *self.variables.values()}:
            name += "_"
        return Line(f"{name} = {formula}", name, formula, self.read_by([array]), array)

    def shaped(self, array: ir.Array) -> str:
        """The outputs as the caller gets them."""
        return shaped_outputs(self.program, self.of(array))

    def returned(self) -> str:
        """What the function returns."""
        return ", ".join([self.result_line().formula, *[self.of(x) for x in self.program.results[1:]]])

    # ---------------------------------------------------------------------------------- texts of arrays

    def flat(self, array: ir.Array) -> str:
        """An array with one axis for each sample."""
        return self.moved(array, flattened(array))

    def moved(self, array: ir.Array, moves: Moves, least: int = ATOM) -> str:
        """An array after some moves; without any, in parentheses where it binds less than ``least``."""
        return self.module.moved(self.of(array), moves) if moves else self.of(array, least)

    def array(self, array: ir.Array, least: int = 0) -> str:
        """What stands for an array by itself, in parentheses where it binds less than ``least``."""
        return self.of(array, least)

    def sizes(self, array: ir.Array) -> str:
        """The whole shape of an array, as arguments."""
        return joined(sizes_of(array.shape, array.batched))

    # ------------------------------------------------------------------------------ arguments, constants

    def theta(self, array: ir.Theta) -> None:
        self.texts[array] = Text("theta", ATOM)

    def input(self, array: ir.Input) -> None:
        self.texts[array] = Text(self.names[array], ATOM)

    def constant(self, array: ir.Constant) -> None:
        values = array.values
        if values.size != 1:
            text = self.module.constant(values, "C")
        else:
            text = number(float(values.flat[0]))
            if array.shape and self.uses.get(array, 0):
                text = f"np.full({as_tuple(array.shape)}, {text})"
        self.texts[array] = Text(text, ATOM)

    # ------------------------------------------------------------------------- elements and arrangement

    def view(self, array: ir.View) -> Text:
        source = array.source
        moves = view_moves(source.size, array.base, array.shape, array.strides, array.batched)
        return Text(self.module.moved(self.flat(source), moves), ATOM)

    def gather(self, array: ir.Gather) -> Text:
        where = self.module.positions(array.positions)
        return Text(f"{self.flat(array.source)}.take({where}, axis=-1)", ATOM)

    def spread(self, array: ir.Spread) -> Text:
        where = self.module.positions(array.positions)
        helper = self.module.helper("spread")
        return Text(f"{helper}({self.of(array.source, 0)}, {where}, {array.shape})", ATOM)

    def reshape(self, array: ir.Reshape) -> Text:
        return Text(f"{self.of(array.source)}.reshape({self.sizes(array)})", ATOM)

    def fill(self, array: ir.Fill) -> Text:
        sizes = as_tuple(sizes_of(array.shape, array.batched))
        return Text(f"np.broadcast_to({self.of(array.source, 0)}, {sizes})", ATOM)

    def repeat(self, array: ir.Repeat) -> Text:
        counts = self.module.positions(array.counts)
        return Text(f"np.repeat({self.of(array.source, 0)}, {counts}, axis=-1)", ATOM)

    def choose(self, array: ir.Choose) -> Text:
        helper = self.module.helper("choose_outer" if array.outer else "choose")
        return Text(f"{helper}({self.of(array.values, 0)}, {self.of(array.index, 0)})", ATOM)

    def onehot(self, array: ir.OneHot) -> Text:
        index = self.of(array.index)
        return Text(f"np.where({index}[..., None] == np.arange({array.n}), 1.0, 0.0)", ATOM)

    def scatteradd(self, array: ir.ScatterAdd) -> Text:
        helper = self.module.helper("scatter_add")
        return Text(f"{helper}({self.of(array.delta, 0)}, {self.of(array.index, 0)}, {array.n})", ATOM)

    def assemble(self, array: ir.Assemble) -> None:
        name = self.name_for(array)
        self.texts[array] = Text(name, ATOM)
        maker = "zeros" if array.zeros else "empty"
        made = f"np.{maker}({f'(m, {array.size})' if array.batched else array.size})"
        self.lines.append(Line(f"{name} = {made}", name, made, (), array))
        for target, piece, piece_moves, added in placements(array):
            part = self.module.moved(name, target)
            line = f"{part} {'+=' if added else '='} {self.moved(piece, piece_moves, 0)}"
            self.lines.append(Line(line, name, line, self.read_by([piece])))
        self.variables[array] = name
        if len(array.shape) != 1:
            shaped = f"{name}.reshape({self.sizes(array)})"
            self.lines.append(Line(f"{name} = {shaped}", name, shaped))

    # ------------------------------------------------------------------------------------- elementwise

    def map(self, array: ir.Map | ir.Sum) -> Text | None:
        expression = expression_of(array)
        if expression.name == "number":  # x**0
            return Text(f"np.full(({self.sizes(array)},), {number(expression.arguments[0])})", ATOM)
        return self.elementwise(array)

    # -------------------------------------------------------------------------- products and reductions

    def matmul(self, array: ir.MatMul) -> Text:
        return self.product(array)

    def product(self, array: ir.MatMul | ir.Product) -> Text:
        of = factors(array)
        left = self.moved(of.left, of.left_moves, PRODUCT)
        right = self.moved(of.right, of.right_moves)
        text = f"{left} {'@' if of.matrices else '*'} {right}"
        return Text(self.module.moved(f"({text})", of.after), ATOM) if of.after else Text(text, PRODUCT)

    def rowdot(self, array: ir.RowDot) -> Text:
        keep = ", keepdims=True" if len(array.x.shape) == len(array.y.shape) == 1 else ""
        x, y = self.of(array.x, PRODUCT), self.of(array.y, SIGN)
        return Text(f"({x} * {y}).sum(axis=-1{keep})", ATOM)

    def reduce(self, array: ir.Reduce) -> Text:
        keep = ", keepdims=True" if len(array.source.shape) == 1 else ""
        return Text(f"{self.of(array.source)}.{REDUCTIONS[array.ufunc]}(axis=-1{keep})", ATOM)

    def segments(self, array: ir.Segments) -> Text:
        where = self.module.positions(array.starts)
        return Text(f"np.{array.ufunc}.reduceat({self.of(array.source, 0)}, {where}, axis=-1)", ATOM)

    def sumto(self, array: ir.SumTo) -> Text:
        how = summing(array)
        axes = how.axes[0] if len(how.axes) == 1 else how.axes
        summed = f"{self.of(array.source)}.sum(axis={axes}{', keepdims=True' if how.keep else ''})"
        return Text(self.module.moved(summed, how.after), ATOM)

    def total(self, array: ir.Total) -> None:
        """Nothing: it is written last, where the results are returned."""

    def cost_text(self, array: ir.Total) -> str:
        """The mean cost."""
        sums = [Text(self.summed(term), ATOM) for term in array.terms]
        return self.formulas.write(total_expression(array), sums).text

    def summed(self, term: ir.Term) -> str:
        """The sum that a term of the cost scales."""
        text = self.of(term.x)
        if term.y is term.x:
            text = f"({text}**2)"
        elif term.y is not None:
            text = f"({text} * {self.of(term.y)})"
        return f"{text}[0]" if term.x.shape == (1,) and not term.x.batched else f"{text}.sum()"

    # --------------------------------------------------------------------------------------------- loops

    def local(self, array: ir.Local) -> None:
        """Nothing: the loop has said already what it is called."""

    def loop(self, array: ir.Loop) -> None:
        n, body = len(array.initial), array.body
        inner = type(self)(self.module, body)
        inner.share_names(self)
        inner.variables, inner.left_by = self.variables, self.left_by
        states = [inner.name_for(local) for local in body.arguments[:n]]
        for name, x in zip(states, array.initial, strict=True):
            text = self.array(x)
            self.lines.append(Line(f"{name} = {text}", name, text, self.read_by([x])))
        stacks = self.output_names(array)
        left = list(zip(stacks, body.results[n:], strict=True))
        for name, x in left:
            text = self.stack(x, array.steps)
            self.lines.append(Line(f"{name} = {text}", name, text))
        t = self.free_name("t")
        parts = [self.step_of(x, t) for x in array.sequences]
        texts = [*states, *parts, *[self.array(x, ATOM) for x in array.invariants]]
        inner.texts.update(zip(body.arguments, [Text(text, ATOM) for text in texts], strict=True))
        inner.write_all()
        for name, x in left:
            put = self.put(name, x, t, inner.array(x))
            inner.lines.append(Line(put, name, put, inner.read_by([x])))
        if states:
            following = ", ".join(map(inner.array, body.results[:n]))
            text = f"{', '.join(states)} = {following}"
            inner.lines.append(Line(text, states[0], text, inner.read_by(body.results[:n])))
        steps = f"range({array.steps - 1}, -1, -1)" if array.falling else f"range({array.steps})"
        self.lines.append(Line(f"for {t} in {steps}:", t, steps))
        self.lines += [replace(line, text=f"    {line.text}") for line in inner.lines]
        self.lines += [line for name, x in left for line in self.stacked(name, x, array.falling)]
        self.taken.discard(t)  # the next loop may count by it too
        self.left_by[array] = [*states, *stacks]

    def stack(self, array: ir.Array, steps: int) -> str:
        """What holds an output of all steps, before the first."""
        return f"np.empty({as_tuple(sizes_of((steps, *array.shape), array.batched))})"

    def step_of(self, array: ir.Array, t: str) -> str:
        """What a step takes of a sequence."""
        return f"{self.of(array)}[{':, ' if array.batched else ''}{t}]"

    def put(self, stack: str, array: ir.Array, t: str, text: str) -> str:
        """The statement by which a step leaves an output."""
        return f"{stack}[{':, ' if array.batched else ''}{t}] = {text}"

    def stacked(self, stack: str, array: ir.Array, falling: bool) -> list[Line]:
        """What is done with an output of all steps after the last."""
        return []

    def result(self, array: ir.Result) -> None:
        self.texts[array] = Text(self.left_by[array.loop][array.number], ATOM)
