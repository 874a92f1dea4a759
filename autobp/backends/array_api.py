"""A program as text over the Array API: functions of any library's arrays, which set nothing in place.

What the text calls stands in its namespace: ``xp``, the library's own functions, and the constants C1, I1 ….
Source of the functions' names: the Python array API standard, version 2024.12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, ClassVar

import numpy as np

from autobp import ir
from autobp.backends.array_helpers import HELPERS
from autobp.backends.moves import Axes, Move, Moves, Part, Sizes, sizes_of, summing
from autobp.backends.numpy_text import REDUCTIONS, Line, NumpyText
from autobp.backends.printer import INFIX_SUMS, Template, Text, expression_of
from autobp.backends.source_module import (
    NumpyFormulas,
    SourceModule,
    as_tuple,
    function,
    recorded_rule,
    reshaped_inputs,
)
from autobp.ir.expression import COMPARISONS, UFUNCS, Expression, used_slots
from autobp.ops import ATOM, POWER_OF, PRODUCT, SIGN

_ONE, _ZERO, _NAN = np.array(1.0), np.array(0.0), np.array(np.nan)

#: Functions that the standard has under another name, or not at all.
_WRITTEN = {
    "rint": Template("xp.round({})"),
    "exp2": Template("2.0**{0}", POWER_OF, (ATOM,)),
    "cbrt": Template("xp.sign({0}) * xp.abs({0})**(1.0 / 3.0)", PRODUCT, (0,)),
}


@dataclass(frozen=True)
class ArrayText:
    """Functions over ``xp``.

    Attributes:
        text: their source, all but the constants and ``xp``.
        constants: numbers and positions by name.
        functions: the names of what ``xp`` must have.
        special: functions that no standard has, which a library may: erf, erfc.
        helpers: the names of the ready-made functions among them, for which a library may have better ones.
        programs: the names of the functions that programs became.
    """

    text: str
    constants: Mapping[str, np.ndarray[Any, Any]]
    functions: tuple[str, ...]
    special: tuple[str, ...]
    helpers: frozenset[str]
    programs: tuple[str, ...]


def array_text(programs: Mapping[str, ir.Program], docstring: str) -> ArrayText:
    """The functions of programs, by name.

    Raises TypeError where an operation is computed by Python code, which knows no arrays.
    """
    module = ArrayModule()
    functions = {name: _write(name, program, module) for name, program in programs.items()}
    return module.as_text(functions, docstring)


def _write(name: str, program: ir.Program, module: ArrayModule) -> str:
    printer = _Writer(module, program)
    printer.write_all()
    arguments = ["theta", *[program.names[x] for x in program.inputs]]
    what = "The mean cost" if program.result_shape is None else "The outputs"
    docstring = what + (", and its gradient by theta." if len(program.results) > 1 else ".")
    lines = [line.text for line in printer.lines]
    return function(name, ", ".join(arguments), docstring, lines, printer.returned())


class ArrayFormulas(NumpyFormulas):
    """Writes expressions over arrays; a number that a function is given is an array too, by the standard."""

    module: ArrayModule
    templates: ClassVar = {
        **INFIX_SUMS,
        "*": Template("{0} * {1}", PRODUCT, (PRODUCT, SIGN)),
        "/": Template("{0} / {1}", PRODUCT, (PRODUCT, SIGN)),
        "neg": Template("-{0}", SIGN, (SIGN,)),
        "square": Template("{0}**2", POWER_OF, (ATOM,)),
        "power": Template("{0}**{1}", POWER_OF, (ATOM, ATOM)),
        "where": Template("xp.where({})"),
        **{name: Template(f"xp.{name}({{}})") for name in UFUNCS},
        **_WRITTEN,
    }

    def number(self, x: float) -> Text:
        if not np.isfinite(x):
            return Text(self.module.constant(np.array(x), "C"), ATOM)
        return Text(repr(float(x)), SIGN if x < 0 or repr(x).startswith("-") else ATOM)

    def apply(self, template: Template, operands: Sequence[Text]) -> Text:
        if not template.least:
            operands = [Text(self.module.as_array(text), binds) for text, binds in operands]
        return super().apply(template, operands)

    def write(self, expression: Any, slots: Any, known: Mapping[int, Text] | None = None) -> Text:
        if isinstance(expression, Expression) and expression.name in COMPARISONS:
            truth = self.test(expression, slots, known).text
            one, zero = self.module.constant(_ONE, "C"), self.module.constant(_ZERO, "C")
            return Text(f"xp.where({truth}, {one}, {zero})", ATOM)
        return super().write(expression, slots, known)

    def foreign_partial(self, name: str, which: int, operands: Sequence[Text]) -> Text:
        self.module.foreign.append(name)
        return Text(name, ATOM)


class ArrayModule(SourceModule):
    """The helpers, constants and functions of operations that functions over ``xp`` need."""

    def __init__(self) -> None:
        super().__init__()
        self.special: set[str] = set()
        self.formulas: Any = ArrayFormulas(self)

    def as_text(self, functions: Mapping[str, str] | None = None, docstring: str = "") -> ArrayText:
        """The module with some functions, by name; TypeError where Python code computes an operation."""
        functions = functions or {}
        if self.foreign:
            raise TypeError(f"{self.foreign[0]!r} is computed by Python code, which runs on NumPy alone")
        blocks = [f"{text}\n" for text in self.helpers.values() if text]
        text = "\n\n".join([f'"""{docstring}"""\n', *blocks, *functions.values()])
        called = tuple(sorted(set(re.findall(r"\bxp\.(\w+)", text))))
        ready = frozenset(HELPERS.keys() & self.helpers.keys())
        special = tuple(sorted(self.special))
        return ArrayText(text, self.constants, called, special, ready, tuple(functions))

    def helper(self, name: str) -> str:
        """Have one of the ready-made helpers."""
        if name not in self.helpers:
            text = HELPERS[name]
            if "whole(" in text and name != "whole":
                self.helper("whole")
            if "NAN" in text:
                text = text.replace("NAN", self.constant(_NAN, "C"))
            self.helpers[name] = text.strip("\n")
        return name

    def operation(self, name: str, n_arguments: int) -> str:
        """Have a function for an operation of the table, written from its rule."""
        if name in self.helpers or name in self.special:
            return name
        if name == "take":
            return self.helper("pick")
        if name in ("erf", "erfc"):
            self.special.add(name)
            return name
        if recorded_rule(name, n_arguments)[0] is None:
            self.foreign.append(name)
            return name
        return super().operation(name, n_arguments)

    def as_array(self, text: str) -> str:
        """A number that is written in as the name of a constant; any other text as it is."""
        try:
            return self.constant(np.array(float(text)), "C")
        except ValueError:
            return text

    def moved(self, text: str, moves: Moves) -> str:
        for move in moves:
            text = self._moved(text, move)
        return text

    def _moved(self, text: str, move: Move) -> str:
        if isinstance(move, Part):
            return f"{text}[{', '.join(map(self._entry, move.entries))}]"
        if isinstance(move, Sizes):
            return f"xp.reshape({text}, {as_tuple(move.sizes)})"
        if isinstance(move, Axes):
            return f"xp.permute_dims({text}, {move.order})"
        if {move.first, move.second} == {-1, -2}:
            return f"xp.matrix_transpose({text})"
        return self.exchanged(text, move.first, move.second)

    def exchanged(self, text: str, first: int, second: int) -> str:
        """An array whose two axes have changed places."""
        return f"{self.helper('exchanged')}({text}, {first}, {second})"

    def _entry(self, entry: slice | int | EllipsisType | np.ndarray[Any, Any] | None) -> str:
        assert not isinstance(entry, np.ndarray), "nothing is set by position"
        return super()._entry(entry)


class _Writer(NumpyText):
    """Writes the statements of one function."""

    module: ArrayModule

    def __init__(self, module: SourceModule, program: ir.Program) -> None:
        super().__init__(module, program)
        self.plain: set[ir.Array] = set()  # those whose text is a number and no array

    def head(self) -> list[str]:
        names = [self.names[x] for x in self.program.inputs if x.batched]
        if not names:
            return []
        shaped = [(self.names[x], x.size) for x in reshaped_inputs(self.program)]
        return [f"m = {names[0]}.shape[0]", *[f"{name} = xp.reshape({name}, (m, {n}))" for name, n in shaped]]

    def returned(self) -> str:
        return ", ".join([self.result_line().formula, *map(self.array, self.program.results[1:])])

    def shaped(self, array: ir.Array) -> str:
        assert self.program.result_shape is not None
        sizes = as_tuple(sizes_of(self.program.result_shape, array.batched))
        text = f"xp.reshape({self.array(array)}, {sizes})"
        if self.program.has_samples and not array.batched:
            return f"xp.broadcast_to({text}, {as_tuple(sizes_of(self.program.result_shape, True))})"
        return text

    # ---------------------------------------------------------------------------------- texts of arrays

    def array(self, array: ir.Array, least: int = 0) -> str:
        return self.module.as_array(self.of(array, least))  # a number will not do

    def filled(self, array: ir.Array, shape: ir.Shape, batched: bool) -> str:
        """An array repeated to a shape."""
        if (array.shape, array.batched) == (shape, batched):
            return self.array(array)
        return f"xp.broadcast_to({self.array(array)}, {as_tuple(sizes_of(shape, batched))})"

    def picked(self, text: str, positions: ir.Indices) -> str:
        return f"xp.take({text}, {self.module.positions(positions.reshape(-1))}, axis=-1)"

    # ------------------------------------------------------------------------- elements and arrangement

    def constant(self, array: ir.Constant) -> None:
        if array.size == 1 and not array.shape:
            self.texts[array] = self.formulas.number(float(array.values.flat[0]))
            self.plain.add(array)
        else:
            self.texts[array] = Text(self.module.constant(array.values, "C"), ATOM)

    def gather(self, array: ir.Gather) -> Text:
        text = self.picked(self.flat(array.source), array.positions)
        if array.positions.ndim != 1:
            text = f"xp.reshape({text}, {as_tuple(sizes_of(array.shape, array.batched))})"
        return Text(text, ATOM)

    def spread(self, array: ir.Spread) -> Text:
        sources = np.full(array.size, array.source.size, dtype=np.int64)
        sources[array.positions.reshape(-1)] = np.arange(array.source.size)
        text = f"{self.module.helper('spread')}({self.array(array.source)}, {self.module.positions(sources)})"
        return Text(f"xp.reshape({text}, {as_tuple(sizes_of(array.shape, array.batched))})", ATOM)

    def reshape(self, array: ir.Reshape) -> Text:
        sizes = as_tuple(sizes_of(array.shape, array.batched))
        return Text(f"xp.reshape({self.array(array.source)}, {sizes})", ATOM)

    def fill(self, array: ir.Fill) -> Text:
        return Text(self.filled(array.source, array.shape, array.batched), ATOM)

    def repeat(self, array: ir.Repeat) -> Text:
        positions = np.repeat(np.arange(len(array.counts)), array.counts)
        return Text(self.picked(self.array(array.source), positions), ATOM)

    def onehot(self, array: ir.OneHot) -> Text:
        one, zero = [self.module.constant(x, "C") for x in (_ONE, _ZERO)]
        index, numbers = self.of(array.index), self.numbers_to(array.n)
        return Text(f"xp.where({index}[..., None] == {numbers}, {one}, {zero})", ATOM)

    def numbers_to(self, n: int) -> str:
        """0.0, 1.0, …, n - 1."""
        return self.module.constant(np.arange(n, dtype=np.float64), "C")

    def scatteradd(self, array: ir.ScatterAdd) -> Text:
        given = ", ".join([self.array(array.delta), self.array(array.index), self.numbers_to(array.n)])
        return Text(f"{self.module.helper('scatter_add')}({given})", ATOM)

    def assemble(self, array: ir.Assemble) -> None:
        """What is set, side by side and then put in order; what is added to it, spread to its size."""
        name = self.name_for(array)
        batched = array.batched
        sources = np.full(array.size, -1, dtype=np.int64)  # where among what is set each element is
        texts: list[str] = []
        sums: list[str] = []
        n = 0
        for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
            where = np.arange(array.size) if place is None else place.indices().reshape(-1)
            assert len(np.unique(where)) == len(where)
            text = self.filled(piece, array.shape if place is None else place.shape, batched)
            if len(array.shape if place is None else place.shape) != 1:
                text = f"xp.reshape({text}, {'(m, -1)' if batched else '(-1,)'})"
            if added:
                own = np.full(array.size, len(where), dtype=np.int64)
                own[where] = np.arange(len(where))
                whole = len(where) == array.size and np.array_equal(own, np.arange(array.size))
                helper = self.module.helper("spread")
                sums.append(text if whole else f"{helper}({text}, {self.module.positions(own)})")
            else:
                sources[where] = np.arange(n, n + len(where))
                texts.append(text)
                n += len(where)
        if texts:
            made = texts[0] if len(texts) == 1 else f"xp.concat([{', '.join(texts)}], axis=-1)"
            if (sources < 0).any():
                positions = self.module.positions(np.where(sources < 0, n, sources))
                made = f"{self.module.helper('spread')}({made}, {positions})"
            elif not np.array_equal(sources, np.arange(array.size)):
                made = self.picked(made, sources)
            sums.insert(0, made)
        if not sums:
            sizes = as_tuple(sizes_of((array.size,), batched))
            sums = [f"xp.broadcast_to({self.module.constant(_ZERO, 'C')}, {sizes})"]
        text = " + ".join(sums)
        self.lines.append(Line(f"{name} = {text}", name, text, self.read_by(array.pieces), array))
        if len(array.shape) != 1:
            text = f"xp.reshape({name}, {as_tuple(sizes_of(array.shape, batched))})"
            self.lines.append(Line(f"{name} = {text}", name, text))
        self.texts[array] = Text(name, ATOM)
        self.variables[array] = name

    # ------------------------------------------------------------------------------------- elementwise

    def map(self, array: ir.Map | ir.Sum) -> Text | None:
        expression = expression_of(array)
        if expression.name == "number":  # x**0
            number = self.module.constant(np.array(expression.arguments[0]), "C")
            return Text(f"xp.broadcast_to({number}, {as_tuple(sizes_of(array.shape, array.batched))})", ATOM)
        return self.elementwise(array)

    def elementwise(self, array: ir.Map | ir.Sum | ir.Elementwise) -> Text | None:
        text = super().elementwise(array)
        used = used_slots(expression_of(array))
        if text is None or any(array.operands[i] not in self.plain for i in used):
            return text
        one = self.module.constant(_ONE, "C")  # makes an array of a number such as 1/m
        return Text(f"{one} * {self.formulas.wrap(text, SIGN)}", PRODUCT)

    # -------------------------------------------------------------------------- products and reductions

    def rowdot(self, array: ir.RowDot) -> Text:
        keep = ", keepdims=True" if len(array.x.shape) == len(array.y.shape) == 1 else ""
        x, y = self.of(array.x, PRODUCT), self.of(array.y, SIGN)
        return Text(f"xp.sum({x} * {y}, axis=-1{keep})", ATOM)

    def reduce(self, array: ir.Reduce) -> Text:
        keep = ", keepdims=True" if len(array.source.shape) == 1 else ""
        return Text(f"xp.{REDUCTIONS[array.ufunc]}({self.array(array.source)}, axis=-1{keep})", ATOM)

    def segments(self, array: ir.Segments) -> Text:
        ends = np.append(array.starts[1:], array.source.size)
        lengths = ends - array.starts
        steps = np.arange(int(lengths.max()))
        positions = np.where(
            steps < lengths[:, None], array.starts[:, None] + steps, array.source.size
        )  # fmt: skip
        filler = self.module.constant(np.array(_FILLERS[array.ufunc]), "C")
        taken = (
            f"{self.module.helper('segments')}({self.array(array.source)}, "
            f"{self.module.positions(positions.reshape(-1))}, {positions.shape}, {filler})"
        )
        return Text(f"xp.{REDUCTIONS[array.ufunc]}({taken}, axis=-1)", ATOM)

    def sumto(self, array: ir.SumTo) -> Text:
        how = summing(array)
        keep = ", keepdims=True" if how.keep else ""
        summed = f"xp.sum({self.array(array.source)}, axis={how.axes}{keep})"
        return Text(self.module.moved(summed, how.after), ATOM)

    def summed(self, term: ir.Term) -> str:
        text = self.of(term.x)
        if term.y is not None:
            text = f"{text}**2" if term.y is term.x else f"{text} * {self.of(term.y)}"
        return f"({text})[0]" if term.x.shape == (1,) and not term.x.batched else f"xp.sum({text})"

    # --------------------------------------------------------------------------------------------- loops

    def loop(self, array: ir.Loop) -> None:
        """A function of one step, for the helper that repeats it, which a library may do in its way."""
        n, body = len(array.initial), array.body
        n_parts = len(array.sequences)
        inner = _Writer(self.module, body)
        inner.share_names(self)
        inner.variables, inner.left_by = self.variables, self.left_by
        step = self.free_name("step")
        names = [inner.name_for(local) for local in body.arguments[: n + n_parts]]
        texts = [*names, *[self.array(x, ATOM) for x in array.invariants]]
        inner.texts.update(zip(body.arguments, [Text(text, ATOM) for text in texts], strict=True))
        inner.write_all()
        states, parts = self.free_name("states"), self.free_name("parts")
        following = [
            inner.filled(x, local.shape, local.batched)
            for x, local in zip(body.results, body.arguments[:n], strict=False)
        ]
        left = [inner.array(x) for x in body.results[n:]]
        lines = [
            f"def {step}({states}, {parts}):",
            f"    {_tuple(names[:n])}, {_tuple(names[n:])} = {states}, {parts}",
            *[f"    {line.text}" for line in inner.lines],
            f"    return {_tuple(following)}, {_tuple(left)}",
        ]
        begun = [
            self.filled(x, local.shape, local.batched)
            for x, local in zip(array.initial, body.arguments[:n], strict=False)
        ]
        sequences = [
            self.module.exchanged(self.array(x), 0, 1) if x.batched else self.array(x)
            for x in array.sequences
        ]
        results = [self.free_name(name) for name in names[:n]]
        stacks = self.output_names(array)
        given = f"{step}, {_tuple(begun)}, {_tuple(sequences)}, {array.steps}, {array.falling}"
        repeated = f"{self.module.helper('repeated')}({given})"
        lines.append(f"{_tuple(results)}, {_tuple(stacks)} = {repeated}")
        for name, x in zip(stacks, body.results[n:], strict=True):
            if x.batched:
                lines.append(f"{name} = {self.module.exchanged(name, 0, 1)}")
        self.lines += [Line(line, step, line) for line in lines]
        self.left_by[array] = [*results, *stacks]


def _tuple(texts: Sequence[str]) -> str:
    return f"({''.join([f'{text}, ' for text in texts])})"


_FILLERS = {"add": 0.0, "maximum": -np.inf, "minimum": np.inf}
