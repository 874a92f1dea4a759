"""Write a schedule as a function of NumPy calls that put their results into buffers.

The function takes one more argument, ``work``: the arrays that :meth:`~autobp.backends.steps.Work.allocate`
makes. Each kind of step has a method, and each kind of operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import Any, ClassVar

from autobp.backends import moves, steps
from autobp.backends.float_loops import float_lines
from autobp.backends.moves import Sizes, sizes_of, view_moves
from autobp.backends.numpy_loops import loop_lines
from autobp.backends.operands import (
    AsFloat,
    Broadcast,
    Buffer,
    Copied,
    Extended,
    Filled,
    Fixed,
    Given,
    Left,
    Made,
    Moved,
    New,
    Number,
    Ones,
    Operand,
    Part,
    Place,
    Region,
    Samples,
    Scalar,
    Variable,
    WithOnes,
    all_moves,
    roots,
)
from autobp.backends.source_module import SourceModule, as_tuple, function, number, reshaped_inputs
from autobp.ir import Program
from autobp.ir.expression import COMPARISONS, UFUNCS

_UFUNCS = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "neg": "negative",
    "square": "square",
    "power": "power",
    **UFUNCS,
}
_BETWEEN = {**{name: f" {name} " for name in "+-*/"}, "power": "**"}
_METHODS = {"add": "sum", "maximum": "max", "minimum": "min"}
#: Whose output NumPy 1 takes by name alone.
_OUT_BY_NAME = ("maximum", "minimum")


def write(
    name: str,
    program: Program,
    schedule: steps.Schedule,
    module: SourceModule,
    docstring: str,
    rows: int | None = None,
) -> str:
    """A program's schedule as a function of a module, ``name(theta, _x1, …, work)``.

    What it needs beside NumPy, the module's helpers and constants are, is added to the module.

    Args:
        rows: the only number of rows that it is for, few: loops run on floats where they can
            (:mod:`~autobp.backends.float_loops`, which tells what the module has to know then).
    """
    inputs = [(f"_x{x.number + 1}", x) for x in program.inputs]
    writer = NumpyCalls(module, schedule, ["theta", *[text for text, _ in inputs]], rows=rows)
    head = [f"m = len({text})" for text, x in inputs if x.batched][:1]
    flat = reshaped_inputs(program)
    head += [f"{text} = {text}.reshape(m, {x.size})" for text, x in inputs if x in flat]
    for step in schedule.steps:
        writer.write(step)
    result = ", ".join(map(writer.result, schedule.results))
    lines = [*_taken_apart(schedule.work, ""), *head, *writer.lines]
    return function(name, ", ".join([*writer.arguments, "work"]), docstring, lines, result)


def _taken_apart(work: steps.Work, suffix: str) -> list[str]:
    """Names for the arrays of the work: an extended buffer is A without the ones and E with them.

    S are the steps of a buffer by step.
    """
    extended = [name for i in range(len(work.extended)) for name in (f"A{i}", f"E{i}")]
    names = [*[f"B{i}" for i in range(len(work.buffers))], *extended, *map(_name_of_ones, work.ones)]
    names += [f"S{i}" for i in range(len(work.buffers)) if i in work.by_step]
    bodies = [f"{suffix}_{i + 1}" for i in range(len(work.bodies))]
    names = [*[f"{name}{suffix}" for name in names], *[f"work{body}" for body in bodies]]
    lines = [f"{', '.join(names)}, = work{suffix}"] if names else []
    for body, name in zip(work.bodies, bodies, strict=True):
        lines += _taken_apart(body, name)
    return lines


def _name_of_ones(n: int | None) -> str:
    return "ones" if n is None else f"ones{n}"


class NumpyCalls:
    """Writes steps as statements.

    Attributes:
        arguments: what the schedule's arguments are called.
        lines: the statements so far.
        rows: the only number of samples that what is written is for; None where it is for any.
        suffix: of the names of the work, which is that of one body of a loop among several.
        same: the numbers of the arguments that every step of a loop reads as they are.
        before: what is picked before the loop, as a text, and what it is called then.
    """

    def __init__(
        self,
        module: SourceModule,
        schedule: steps.Schedule,
        arguments: Sequence[str],
        suffix: str = "",
        same: Container[int] = (),
        rows: int | None = None,
    ) -> None:
        self.module = module
        self.rows = rows
        self.schedule = schedule
        self.arguments = list(arguments)
        self.lines: list[str] = []
        self.suffix, self.same = suffix, same
        self.before: dict[str, str] = {}
        self.constants = [module.constant(x, "C" if x.dtype.kind == "f" else "I") for x in schedule.constants]
        self.numbers: dict[str, int] = {}  # of names, how many there are that begin so
        self.left: list[str] = []  # what the memory is called for what a body leaves, by number
        self._names: dict[int, str] = {}  # the variables of values, by number
        self._n_bodies = 0

    def body(self, schedule: steps.Schedule, arguments: Sequence[str], same: Container[int]) -> NumpyCalls:
        """A writer for the next loop's body, whose names are others."""
        self._n_bodies += 1
        suffix = f"{self.suffix}_{self._n_bodies}"
        made = NumpyCalls(self.module, schedule, arguments, suffix, same, self.rows)
        made.numbers = self.numbers
        return made

    def write(self, step: steps.Instruction) -> None:
        """Write a step."""
        self.STEPS[type(step)](self, step)

    # --------------------------------------------------------------------------------------------- values

    def variable(self, prefix: str = "v") -> str:
        """A name that is not taken."""
        number = self.numbers[prefix] = self.numbers.get(prefix, 0) + 1
        return f"{prefix}{number}"

    def name(self, value: Variable) -> str:
        """What a value is called that is there already."""
        place = value.place
        if value.number in self._names:
            return self._names[value.number]
        if isinstance(place, Buffer):
            return f"B{place.number}{self.suffix}"
        if isinstance(place, Extended):
            return f"A{place.number}{self.suffix}"
        if isinstance(place, Fixed):
            return self.constants[place.number]
        if isinstance(place, Made):
            return "gradient"
        if isinstance(place, Left):
            return self.left[place.number]
        if isinstance(place, Part | New):
            raise AssertionError(f"{value} is read before it is made")
        return self.arguments[place.number]

    def destination(self, value: Variable) -> str:
        """Where a value is to be written; a part of an assembly gets a name first."""
        place = value.place
        if not isinstance(place, Part):
            return self.name(value)
        text = self.part(place.whole, place.region)
        if text != self.name(place.whole):
            text = self.named(text, place.whole)
        self._names[value.number] = text
        return text

    def named(self, text: str, whole: Variable) -> str:
        """A name for a part of what is in memory."""
        if self.stays(whole.place):
            return self.before_loop(text)
        variable = self.variable()
        self.lines.append(f"{variable} = {text}")
        return variable

    def stays(self, *places: Place) -> bool:
        """Whether memory is the same in all steps of a loop and has no gaps: any part of it is a view."""
        by_step = self.schedule.work.by_step
        lasting = [
            (isinstance(x, Given) and x.number in self.same)
            or (isinstance(x, Buffer) and x.number not in by_step)
            for x in places
        ]
        return bool(self.suffix) and all(lasting)

    def before_loop(self, text: str) -> str:
        """A name for what is picked before the loop."""
        if text not in self.before:
            self.before[text] = self.variable("c")
        return self.before[text]

    def flat(self, value: Variable) -> str:
        """A value with one axis for each sample."""
        assert value.kind is not None
        batched, shape = value.kind
        how = () if len(shape) == 1 else (Sizes(sizes_of((-1,), batched)),)
        return self.module.moved(self.name(value), how)

    def part(self, whole: Variable, region: Region | None) -> str:
        """A part of an assembly."""
        assert whole.kind is not None
        if region is None:
            return self.name(whole)
        batched, shape = whole.kind
        how = view_moves(math.prod(shape), region.base, region.shape, region.strides, batched)
        return self.module.moved(self.flat(whole), how)

    def assign(self, value: Variable, text: str) -> None:
        """Set a value to an expression: a new variable, or numbers copied into memory."""
        if isinstance(value.place, New):
            name = self._names[value.number] = self.variable()
            self.lines.append(f"{name} = {text}")
        else:
            self.lines.append(f"{self.destination(value)}[...] = {text}")

    # ------------------------------------------------------------------------------------------- operands

    def of(self, operand: Operand) -> str:
        """An operand's text, which binds as an atom."""
        return self.OPERANDS[type(operand)](self, operand)

    def alone(self, operand: Operand) -> str:
        """An operand's text where no operator is beside it."""
        return number(operand.value) if isinstance(operand, Number) else self.of(operand)

    def _number(self, operand: Number) -> str:
        text = number(operand.value)
        return f"({text})" if text.startswith("-") else text

    def _samples(self, operand: Samples) -> str:
        return "m"

    def _scalar(self, operand: Scalar) -> str:
        return f"({self.expression(operand.function, operand.operands)})"

    def _filled(self, operand: Filled) -> str:
        batched, shape = operand.kind
        return f"np.full({as_tuple(sizes_of(shape, batched))}, {self.of(operand.source)})"

    def _ones(self, operand: Ones) -> str:
        return f"{_name_of_ones(operand.n)}{self.suffix}"

    def _with_ones(self, operand: WithOnes) -> str:
        assert isinstance(operand.source.place, Extended)
        return f"E{operand.source.place.number}{self.suffix}"

    def _moved(self, operand: Moved) -> str:
        text = self.module.moved(self.of(operand.source), operand.moves)
        places = [x.place for x in roots(operand)]
        if not self.stays(*places) or not all(map(moves.is_view, operand.moves)):
            return text
        changes = any(isinstance(x, Buffer) for x in places)
        return text if changes and moves.may_copy(all_moves(operand)) else self.before_loop(text)

    def _broadcast(self, operand: Broadcast) -> str:
        return f"np.broadcast_to({self.of(operand.source)}, {as_tuple(operand.sizes)})"

    def _as_float(self, operand: AsFloat) -> str:
        text = self.of(operand.source)
        return f"float({text})" if operand.source.kind is None else f"{text}.astype(float)"

    def _copied(self, operand: Copied) -> str:
        return f"np.array({self.of(operand.source)})"

    # ----------------------------------------------------------------------------------------- expressions

    def expression(self, name: str, operands: Sequence[Operand], operation: str = "", which: int = 0) -> str:
        """A function of elements as an expression that makes an array."""
        texts = [self.of(x) for x in operands]
        if name in COMPARISONS:
            return f"{texts[0]} {COMPARISONS[name]} {texts[1]}"
        if name in _BETWEEN:
            return _BETWEEN[name].join(texts)
        if name == "neg":
            return f"-{texts[0]}"
        if name == "where":
            boolean = isinstance(operands[0], Variable) and operands[0].boolean
            return f"np.where({texts[0] if boolean else f'{texts[0]} != 0.0'}, {texts[1]}, {texts[2]})"
        if name == "op":
            called = self.module.operation(operation, len(texts))
        elif name == "foreign partial":
            called = self.module.foreign_partial(operation, which)
        elif name == "choose":
            called = self.module.helper("pick")
        else:
            called = f"np.{_UFUNCS[name]}"
        return f"{called}({', '.join(texts)})"

    def apply(self, step: steps.Apply) -> None:
        """An operation on elements: into memory by position, which is faster, where NumPy allows it."""
        if isinstance(step.into.place, New):
            self.assign(step.into, self.expression(step.function, step.operands, step.operation, step.which))
            return
        function, texts = step.function, [self.of(x) for x in step.operands]
        if function == "neg" and not (self._is_whole(step.into) and self._is_whole(step.operands[0])):
            # np.negative reads what lies 64 bytes apart as if it were side by side
            function, texts = "*", ["-1.0", *texts]
        ufunc = _UFUNCS[function]
        named = "out=" if ufunc in _OUT_BY_NAME else ""
        self.lines.append(f"np.{ufunc}({', '.join([*texts, named + self.destination(step.into)])})")

    def _is_whole(self, operand: Operand) -> bool:
        """Whether an operand's numbers are a buffer, side by side."""
        place = operand.place if isinstance(operand, Variable) else None
        return isinstance(place, Buffer) and place.number not in self.schedule.work.by_step

    def name_or_copy(self, step: steps.Name | steps.Copy) -> None:
        self.assign(step.into, self.alone(step.source))

    # --------------------------------------------------------------------------------- products and sums

    def matrix_product(self, step: steps.MatrixProduct) -> None:
        left, right = self.of(step.left), self.of(step.right)
        if step.by_step:
            self.lines.append(f"np.matmul({left}, {right}, {self.destination(step.into)}.swapaxes(0, 1))")
        elif not step.after and not isinstance(step.into.place, New):
            # dot is called faster; what has gaps it would copy, where matmul need not
            called = "dot" if step.dense else "matmul"
            self.lines.append(f"np.{called}({left}, {right}, {self.destination(step.into)})")
        elif step.after and isinstance(step.into.place, Buffer):
            assert step.into.kind is not None
            into = f"{self.name(step.into)}.reshape(-1, {step.into.kind[1][-1]})"
            into = self.before_loop(into) if self.stays(step.into.place) else into
            self.lines.append(f"np.matmul({left}, {right}, {into})")
        else:
            text = self.module.moved(f"({left} @ {right})", step.after) if step.after else f"{left} @ {right}"
            self.assign(step.into, text)

    def outer_product(self, step: steps.OuterProduct) -> None:
        self.assign(step.into, f"{self.of(step.left)} * {self.of(step.right)}")

    def add_up(self, step: steps.AddUp) -> None:
        keep = ", True" if step.keep else ""
        source = self.of(step.source)
        into = self.destination(step.into)
        self.lines.append(f"np.add.reduce({source}, {_axes(step.axes)}, None, {into}{keep})")

    def collapse(self, step: steps.Collapse) -> None:
        keep = ", keepdims=True" if step.keep else ""
        text = f"{self.of(step.source)}.{_METHODS[step.ufunc]}(axis={_axes(step.axes)}{keep})"
        self.assign(step.into, self.module.moved(text, step.after))

    # -------------------------------------------------------------------------------- arrays made elsewhere

    def take(self, step: steps.Take) -> None:
        self.assign(step.into, f"{self.of(step.source)}.take({self.of(step.positions)}, axis=-1)")

    def scatter(self, step: steps.Scatter) -> None:
        called = self.module.helper("spread")
        texts = f"{self.of(step.source)}, {self.of(step.positions)}, {as_tuple(step.shape)}"
        self.assign(step.into, f"{called}({texts})")

    def stretches(self, step: steps.Stretches) -> None:
        texts = f"{self.of(step.source)}, {self.of(step.starts)}"
        self.assign(step.into, f"np.{step.ufunc}.reduceat({texts}, axis=-1)")

    def repetition(self, step: steps.Repetition) -> None:
        self.assign(step.into, f"np.repeat({self.of(step.source)}, {self.of(step.counts)}, axis=-1)")

    def choice(self, step: steps.Choice) -> None:
        called = self.module.helper("choose_outer" if step.outer else "choose")
        self.assign(step.into, f"{called}({self.of(step.values)}, {self.of(step.index)})")

    def indicator(self, step: steps.Indicator) -> None:
        test = f"{self.of(step.index)}[..., None] == np.arange({step.n})"
        self.assign(step.into, f"np.where({test}, 1.0, 0.0)")

    def accumulation(self, step: steps.Accumulation) -> None:
        called = self.module.helper("scatter_add")
        self.assign(step.into, f"{called}({self.of(step.source)}, {self.of(step.index)}, {step.n})")

    # ------------------------------------------------------------------------------------------ assemblies

    def start(self, step: steps.Start) -> None:
        """Memory for an assembly: a buffer is there already."""
        assert step.into.kind is not None
        if isinstance(step.into.place, Made):
            batched, shape = step.into.kind
            sizes = str(shape[0]) if len(shape) == 1 and not batched else as_tuple(sizes_of(shape, batched))
            self.lines.append(f"{self.name(step.into)} = np.{'zeros' if step.zeros else 'empty'}({sizes})")
        elif step.zeros:
            self.lines.append(f"{self.name(step.into)}.fill(0.0)")

    def put(self, step: steps.Put) -> None:
        name, value = self.name(step.into), self.of(step.source)
        if isinstance(step.where, Variable):
            sign = "+=" if step.added else "="
            self.lines.append(f"{self.flat(step.into)}[..., {self.of(step.where)}] {sign} {value}")
            return
        text = self.part(step.into, step.where)
        if not step.added:
            text = text if text.endswith("]") else f"{text}[...]"
            self.lines.append(f"{text} = {value}")
            return
        if step.where is not None:  # into a name first: an indexed += would look the part up twice
            name = self.named(text, step.into)
        self.lines.append(f"np.add({name}, {value}, {name})")

    # ----------------------------------------------------------------------------------------------- loops

    def repeat(self, step: steps.Repeat) -> None:
        """A loop, whose body stands in it (:mod:`~autobp.backends.numpy_loops`)."""
        on_floats = None if self.rows is None else float_lines(self, step, self.rows)
        if on_floats is None:
            self.lines += loop_lines(self, step)
        else:
            self._n_bodies += 1  # whose arrays the work has, unused
            self.lines += on_floats

    # --------------------------------------------------------------------------------------------- results

    def result(self, result: Operand | steps.Mean) -> str:
        """The text of what is returned."""
        return self.mean(result) if isinstance(result, steps.Mean) else self.of(result)

    def mean(self, mean: steps.Mean) -> str:
        """The mean cost, by dot products and one reduction a term."""
        return " + ".join(map(self._mean_term, mean.terms))

    def _mean_term(self, term: steps.MeanTerm) -> str:
        x = self.alone(term.x)
        if term.single:
            summed = f"{x}[0]"
        elif term.y is None:
            summed = f"np.add.reduce({x}, None)"
        else:
            summed = f"np.dot({x}.ravel(), {self.of(term.y)}.ravel())"
        scaled = f"{number(term.coefficient)} * {summed}" if term.coefficient != 1.0 else summed
        return scaled + (" / m" if term.samples < 0 else " * m") * abs(term.samples)

    OPERANDS: ClassVar[dict[type[Any], Callable[[NumpyCalls, Any], str]]] = {
        Variable: name,
        Number: _number,
        Samples: _samples,
        Scalar: _scalar,
        Filled: _filled,
        Ones: _ones,
        WithOnes: _with_ones,
        Moved: _moved,
        Broadcast: _broadcast,
        AsFloat: _as_float,
        Copied: _copied,
    }
    STEPS: ClassVar[dict[type[Any], Callable[[NumpyCalls, Any], None]]] = {
        steps.Start: start,
        steps.Name: name_or_copy,
        steps.Copy: name_or_copy,
        steps.Repeat: repeat,
        steps.Apply: apply,
        steps.MatrixProduct: matrix_product,
        steps.OuterProduct: outer_product,
        steps.AddUp: add_up,
        steps.Collapse: collapse,
        steps.Take: take,
        steps.Scatter: scatter,
        steps.Stretches: stretches,
        steps.Repetition: repetition,
        steps.Choice: choice,
        steps.Indicator: indicator,
        steps.Accumulation: accumulation,
        steps.Put: put,
    }


def _axes(axes: tuple[int, ...]) -> int | tuple[int, ...]:
    return axes[0] if len(axes) == 1 else axes
