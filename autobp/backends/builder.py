"""A schedule in the making: its steps so far, the values of arrays, and which buffers are free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autobp import ir
from autobp.backends.moves import flattened
from autobp.backends.operands import (
    Buffer,
    Extended,
    Filled,
    Fixed,
    Kind,
    Left,
    Made,
    Moved,
    New,
    Number,
    Operand,
    Part,
    Place,
    Region,
    Variable,
    WithOnes,
)
from autobp.backends.placement import Plan
from autobp.backends.steps import Instruction, Start, Work


class Builder:
    """Takes steps, and gives them memory.

    Attributes:
        plan: what is known of the program.
        steps: those taken so far.
        operands: how arrays are read that are computed already.
        index: the position of the array that is being computed.
        constants, ones: those needed so far.
        is_body: whether the program is the body of a loop.
        left_by: how the states and outputs are read that loops have left.
        bodies: the work of the bodies of loops.
    """

    def __init__(self, program: ir.Program, plan: Plan) -> None:
        self.program, self.plan = program, plan
        self.steps: list[Instruction] = []
        self.operands: dict[ir.Array, Operand] = {}
        self.index = 0
        self.is_body = any(isinstance(x, ir.Local) for x in program.arguments)
        self.left_by: dict[ir.Loop, tuple[Operand, ...]] = {}
        self.constants: list[ir.Floats | ir.Indices] = []
        self.ones: list[int | None] = []
        self.bodies: list[Work] = []
        self._n_values = 0
        self._n_fixed = 0
        self._buffers: list[Kind] = []
        self._by_step: set[int] = set()
        self._free: dict[tuple[Kind, bool], list[int]] = {}
        self._buffer_of: dict[ir.Array, int] = {}
        self._array_in: dict[int, ir.Array] = {}  # whose numbers a buffer was last given for
        self._started: dict[ir.Array, Variable] = {}
        self._extended: list[Kind] = []
        self._with_ones: dict[ir.Array, Extended | Variable] = {}
        for rows in plan.extended:
            self._extend(rows)

    # ------------------------------------------------------------------------------------- values, steps

    def value(
        self, kind: Kind | None, place: Place, array: ir.Array | None = None, boolean: bool = False
    ) -> Variable:
        """A value that the next step makes; ``array`` is what it stands for."""
        self._n_values += 1
        label = self.program.names.get(array, "") if array is not None else ""
        return Variable(self._n_values - 1, kind, place, label, boolean)

    def fixed(self, kind: Kind, place: Place, label: str = "") -> Variable:
        """A value that is there before the first step."""
        self._n_fixed += 1
        return Variable(-self._n_fixed, kind, place, label)

    def new(self, kind: Kind | None, array: ir.Array | None = None, boolean: bool = False) -> Variable:
        """A value without memory that is known before."""
        return self.value(kind, New(), array, boolean)

    def constant(self, values: ir.Floats | ir.Indices) -> Variable:
        """A value of numbers fixed at the trace."""
        self.constants.append(values)
        return self.fixed((False, values.shape), Fixed(len(self.constants) - 1), f"C{len(self.constants)}")

    def positions(self, indices: ir.Indices) -> Variable:
        """A constant that lists positions."""
        return self.constant(indices.astype(np.intp))

    def vector_of_ones(self, n: int | None) -> None:
        """Have a vector of ones."""
        if n not in self.ones:
            self.ones.append(n)

    def flat(self, array: ir.Array) -> Operand:
        """An array that is computed already, with one axis for each sample."""
        moves = flattened(array)
        return Moved(self.operands[array], moves) if moves else self.operands[array]

    # ------------------------------------------------------------------------------------------- buffers

    def take(self, kind: Kind, by_step: bool = False) -> int:
        """A buffer that is free; ``by_step`` is whether what belongs to a step is to lie together."""
        free = self._free.get((kind, by_step))
        if free:
            return free.pop()
        self._buffers.append(kind)
        number = len(self._buffers) - 1
        if by_step:
            self._by_step.add(number)
        return number

    def lies_by_step(self, buffer: int) -> bool:
        """Whether in a buffer what belongs to a step lies together."""
        return buffer in self._by_step

    def give_back(self, buffer: int) -> None:
        """Let a buffer be taken again."""
        kind = self._buffers[buffer], buffer in self._by_step
        self._free.setdefault(kind, []).append(buffer)

    def own(self, array: ir.Array, buffer: int) -> None:
        """Note whose numbers a buffer holds."""
        self._buffer_of[array] = buffer
        self._array_in[buffer] = array

    def disown(self, buffer: int) -> None:
        """Let a buffer be written to by who reads its array last, who then owns it."""
        self._buffer_of.pop(self._array_in[buffer], None)

    def release(self, array: ir.Array) -> None:
        """Give back the buffer under an array if it is read for the last time."""
        root = self.plan.root[array]
        if self.plan.last.get(root) == self.index and root in self._buffer_of:
            self.give_back(self._buffer_of.pop(root))

    def dying(self, array: ir.Array, operands: Sequence[ir.Array]) -> int | None:
        """The buffer of an array that may be overwritten while ``operands`` are read, or None."""
        root = self.plan.root
        if root[array] is not array or array not in self._buffer_of:
            return None
        if self.plan.last.get(array) != self.index or sum(root[x] is array for x in operands) > 1:
            return None
        return self._buffer_of[array]

    def work(self) -> Work:
        """What is needed beside the arguments."""
        buffers, by_step = tuple(self._buffers), frozenset(self._by_step)
        return Work(buffers, tuple(self._extended), tuple(self.ones), tuple(self.bodies), by_step)

    # -------------------------------------------------------------------------------------- destinations

    def placed(self, array: ir.Array) -> bool:
        """Whether an array has a place of its own to be written to."""
        return array in self.plan.direct or array in self.plan.extended or array in self.plan.left

    def destination(self, array: ir.Array) -> Variable:
        """Where an array is to be written: a value in its place of an assembly, or in a buffer."""
        kind = array.batched, array.shape
        extended = self._with_ones.get(array)
        if isinstance(extended, Extended):
            value = self.value(kind, extended, array)
        elif array in self.plan.direct:
            assembly, view = self.plan.direct[array]
            region = None if view is None else Region(view.base, view.shape, view.strides)
            if array in self.plan.joint:
                region = self.plan.joint[array].both
                kind = False, region.shape
            value = self.value(kind, Part(self.start(assembly), region), array)
        elif array in self.plan.left:
            value = self.value(kind, Left(self.plan.left[array]), array)
        else:
            buffer = self.take(kind, array in self.plan.by_step)
            self.own(array, buffer)
            value = self.value(kind, Buffer(buffer), array)
        self.operands[array] = value
        return value

    def start(self, assembly: ir.Assemble) -> Variable:
        """Have the memory of an assembly."""
        if assembly not in self._started:
            place: Place = Made()
            kind = assembly.batched, assembly.shape
            if assembly in self.plan.left:
                place = Left(self.plan.left[assembly])
            elif self.is_body or assembly not in self.program.results:
                buffer = self.take(kind)
                self.own(assembly, buffer)
                place = Buffer(buffer)
            value = self._started[assembly] = self.value(kind, place, assembly)
            self.steps.append(Start(value, assembly.zeros))
            self.operands[assembly] = value
        return self._started[assembly]

    # ------------------------------------------------------------------------------------ columns of ones

    def _extend(self, rows: ir.Array) -> None:
        """Have rows with a column of ones."""
        if isinstance(rows, ir.Constant):
            ones = np.ones((len(rows.values), 1))
            self._with_ones[rows] = self.constant(np.hstack([rows.values, ones]))
        else:
            self._with_ones[rows] = Extended(len(self._extended))
            self._extended.append((rows.batched, (*rows.shape[:-1], rows.shape[-1] + 1)))

    def with_ones(self, rows: ir.Array) -> Operand:
        """The rows and their column of ones."""
        extended = self._with_ones[rows]
        if isinstance(extended, Variable):
            return extended
        value = self.operands[rows]
        assert isinstance(value, Variable)
        return WithOnes(value)

    def lone_number(self, array: ir.Constant) -> Operand:
        """A constant of one number, of the constant's shape."""
        one = Number(float(array.values.flat[0]))
        return Filled(one, (False, array.shape)) if array.shape else one
