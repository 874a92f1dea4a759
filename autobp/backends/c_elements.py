"""Elements of arrays as C: where each lies, and what stands for those that lie nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp import ir
from autobp.backends.c_formulas import RESERVED, CModule, identifier, number
from autobp.backends.c_memory import Kept, Memory
from autobp.backends.c_plan import Scope, is_computed
from autobp.backends.c_positions import (
    Position,
    broadcast,
    combined,
    flat,
    loop_variable,
    unflat,
)
from autobp.backends.printer import Printer, Text, expression_of
from autobp.ir.reserved import is_free
from autobp.ir.slicing import row_strides
from autobp.ops import ATOM, PRODUCT, SIGN

Index = Sequence[Position]

AXES = "ijlnopqr"  # loop variables of an array's axes; k is what is summed over, s the sample, t a step


#: Names that a nest has for itself, and macros, of math.h among them.
_OWN = re.compile(
    r"(e|pick)\d+|sums?|part|best|[A-Z]+_\w+|\w+_part\d+|BLOCK|PART|NAN|INFINITY|OVERFLOW|UNDERFLOW|DOMAIN|SING|[TP]LOSS"
)


class Slots:
    """The operands of an array's formula at one of its elements, written when they are asked for."""

    def __init__(self, elements: Elements, array: ir.Array, index: Index) -> None:
        self.elements, self.array, self.index = elements, array, index

    def __getitem__(self, i: int) -> Text:
        x = self.array.operands[i]
        return self.elements.element(x, broadcast(x.shape, self.index))


class Elements(Printer):
    """Finds the elements of the arrays of one program.

    Attributes:
        kept: the arrays in memory.
        locals: of the body of a loop, how the elements of its arguments are written.
        in_block: whether what is written now is done with a block of samples; else with all, or none.
    """

    def __init__(self, module: CModule, program: ir.Program, memory: Memory, inlined: set[ir.Array]) -> None:
        super().__init__(program, module.formulas)
        self.module = module
        self.memory = memory
        self.inlined = inlined
        self.taken = set(RESERVED)
        self.kept: dict[ir.Array, Kept] = {}
        self.left_by: dict[ir.Loop, dict[int, Kept]] = {}
        self.locals: dict[ir.Array, Callable[[Index], Text]] = {}
        self.in_block = False

    def free_name(self, name: str) -> str:
        name = identifier(name) if name else ""
        # no variable hides a table or a function of the file, or what a nest has for itself
        own = _OWN.fullmatch(name) is not None
        return super().free_name(f"{name}_" if name and (own or not is_free(name)) else name)

    # ------------------------------------------------------------------------------------------- in memory

    def at(self, kept: Kept, position: Position) -> str:
        """An element in memory, by its position among those of one sample."""
        if kept.scope is Scope.ONCE:
            return f"{kept.name}[{position.text}]"
        row = "first + s" if kept.scope is Scope.ALL and self.in_block else "s"
        if kept.size == 1:
            return f"{kept.name}[{row}]"
        row = f"({row})" if len(row) > 1 else row
        shown = position.text
        return f"{kept.name}[{kept.size} * {row}{'' if shown == '0' else f' + {shown}'}]"

    def element(self, array: ir.Array, index: Index) -> Text:
        """The element of an array at an index, of sample s where it has samples."""
        if array in self.locals:
            return self.locals[array](index)
        if array in self.inlined:
            return self.formulas.write(expression_of(array), Slots(self, array, index))  # type: ignore[arg-type]
        if is_computed(array, self.inlined):
            return Text(self.at(self.kept[array], flat(array.shape, index)), ATOM)
        reader: Callable[[Any, Index], Text] | None = ir.method_for(array, self, "read_")
        assert reader is not None
        return reader(array, index)

    def flat_element(self, array: ir.Array, position: Position) -> Text:
        """The same by its position among the elements of one sample."""
        if array not in self.locals:
            if array in self.kept:
                return Text(self.at(self.kept[array], position), ATOM)
            if isinstance(array, ir.Reshape):
                return self.flat_element(array.source, position)
        return self.element(array, unflat(array.shape, position))

    def filling(self, array: ir.Array, index: Index) -> Text:
        """The element of an array that is repeated to fill a larger one, at an index of that."""
        return self.element(array, broadcast(array.shape, index))

    # ---------------------------------------------------------------------------------------- in no memory

    def read_theta(self, array: ir.Theta, index: Index) -> Text:
        return Text(f"theta[{index[0].text}]", ATOM)

    def read_input(self, array: ir.Input, index: Index) -> Text:
        return Text(self.at(self.kept[array], index[0]), ATOM)

    def read_constant(self, array: ir.Constant, index: Index) -> Text:
        if array.size == 1:
            text = number(float(array.values.flat[0]))
            return Text(text, SIGN if text.startswith("-") else ATOM)
        return Text(f"{self.module.table(array.values)}[{flat(array.shape, index).text}]", ATOM)

    def read_view(self, array: ir.View, index: Index) -> Text:
        position = combined(array.base, list(zip(array.strides, index, strict=True)))
        return self.flat_element(array.source, position)

    def read_gather(self, array: ir.Gather, index: Index) -> Text:
        return self.flat_element(array.source, self.looked_up(array.positions, array.source.size, index))

    def looked_up(self, positions: ir.Indices, size: int, index: Index) -> Position:
        """One of many positions among ``size``."""
        if positions.size == 1:
            return Position(int(positions.flat[0]))
        where = flat(positions.shape, index)
        if not where.variables:
            return Position(int(positions.flat[where.base]))
        return loop_variable(f"{self.module.table(positions.astype(np.int64))}[{where.text}]", size)

    def read_reshape(self, array: ir.Reshape, index: Index) -> Text:
        return self.flat_element(array.source, flat(array.shape, index))

    def read_fill(self, array: ir.Fill, index: Index) -> Text:
        return self.filling(array.source, index)

    def read_repeat(self, array: ir.Repeat, index: Index) -> Text:
        positions = np.repeat(np.arange(array.source.size), array.counts)
        return self.element(array.source, [self.looked_up(positions, array.source.size, index)])

    def read_onehot(self, array: ir.OneHot, index: Index) -> Text:
        wanted = self.formulas.wrap(self.element(array.index, index[:-1]), PRODUCT)
        return Text(f"({wanted} == (double)({index[-1].text}) ? 1.0 : 0.0)", ATOM)

    def read_result(self, array: ir.Result, index: Index) -> Text:
        return Text(self.at(self.left_by[array.loop][array.number], flat(array.shape, index)), ATOM)

    def chosen(self, array: ir.Choose, index: Index) -> Text:
        """The element of values that an index from data chooses."""
        values = array.values
        at = index[:-1] if array.outer else index
        n = values.shape[-1]
        which = self.element(array.index, at).text
        position = loop_variable(f"whole({which}, {n}, &wrong)", n)
        self.module.helper("whole")
        if n == 1:
            position = loop_variable(f"whole({which}, {n}, &wrong)", 2)
        rows = [index[-1]] if array.outer else list(broadcast(values.shape[:-1], index))
        where = combined(0, list(zip(row_strides(values.shape), [*rows, position], strict=True)))
        if isinstance(values, ir.Constant) and values.size == 1:
            return Text(f"({number(float(values.values.flat[0]))} + 0.0 * (double){position.text})", ATOM)
        return self.flat_element(values, where)
