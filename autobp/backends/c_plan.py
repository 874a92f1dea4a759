"""Where C computes each array of a program, before the samples or with a block of them, and in which memory.

Samples are gone through a few at a time, so that what is computed for them stays near the processor. Where an
array without samples sums over them and others with samples need it, the samples are gone through again: a
program has phases, each with what comes before its samples and what is done with them.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from autobp import ir
from autobp.backends.printer import expression_of, occurrences, operands_in_text
from autobp.ir.expression import Expression

_LARGEST_INLINE = 12  # operations in a formula that is written where it is used

#: Arrays that are read where they are used, element by element, and have no memory.
VIRTUAL = (
    *(ir.Theta, ir.Input, ir.Local, ir.Constant),
    *(ir.View, ir.Gather, ir.Reshape, ir.Fill, ir.Repeat, ir.OneHot),
)


class Section(NamedTuple):
    """A phase, and whether it is the part that is done with each block of samples."""

    phase: int
    in_block: bool


class Scope(Enum):
    """For how many samples there is memory: none of them, a block, or all."""

    ONCE = 1
    BLOCK = 2
    ALL = 3


class Available(NamedTuple):
    """The first phase that can read an array before its samples, and the first that can with them."""

    before: int
    with_samples: int


class Plan:
    """Of a program: which arrays are written where they are used, where the others are computed, and kept.

    Attributes:
        inlined: elementwise arrays without memory.
        sections: of each array that is computed.
        scopes: of each array that is kept; of a :class:`~autobp.ir.Loop`, that of all it leaves with samples.
        term_sections: of the terms of the cost.
    """

    def __init__(self, program: ir.Program) -> None:
        self.inlined = inlined_in(program)
        self.sections: dict[ir.Array, Section] = {}
        self.scopes: dict[ir.Array, Scope] = {}
        self.term_sections: list[Section] = []
        self.result_sections: dict[ir.Array, Section] = {}
        self._available: dict[ir.Array, Available] = {}
        self._readers: dict[ir.Array, set[Section]] = {}
        for array in program.arrays:
            self._place(array)
        for result in program.results:
            if not isinstance(result, ir.Total):
                self._place_result(result, program)
        for array, section in self.sections.items():
            near = section.in_block and self._readers.get(array, set()) <= {section}
            self.scopes[array] = Scope.BLOCK if near else Scope.ALL
            if not isinstance(array, ir.Loop) and not array.batched:
                self.scopes[array] = Scope.ONCE

    def _place(self, array: ir.Array) -> None:
        operands = [self._available[x] for x in array.operands]
        before = max([x.before for x in operands], default=0)
        with_samples = max([x.with_samples for x in operands], default=0)
        if isinstance(array, ir.Total):
            self._place_terms(array)
        if not is_computed(array, self.inlined):
            if isinstance(array, ir.Result) and not array.batched:
                with_samples = before  # the last block of samples must be through
            self._available[array] = Available(before, with_samples)
            return
        in_block = _is_done_with_samples(array)
        section = Section(with_samples if in_block else before, in_block)
        self.sections[array] = section
        later = section.phase + in_block
        summed = in_block and not array.batched and not isinstance(array, ir.Loop)
        self._available[array] = Available(later, later if summed else section.phase)
        if not isinstance(array, ir.Total):
            self._read(array.operands, section)

    def _place_terms(self, total: ir.Total) -> None:
        for term in total.terms:
            arrays = [x for x in (term.x, term.y) if x is not None]
            in_block = any(x.batched for x in arrays)
            phases = [self._available[x] for x in arrays]
            phase = max([x.with_samples if in_block else x.before for x in phases])
            self.term_sections.append(Section(phase, in_block))
            self._read(arrays, self.term_sections[-1])

    def _place_result(self, result: ir.Array, program: ir.Program) -> None:
        """Outputs, or a derivative, are put where the caller wants them; outputs for each sample there is."""
        is_outputs = program.result_shape is not None and result is program.results[0]
        in_block = result.batched or (is_outputs and program.has_samples)
        available = self._available[result]
        section = Section(available.with_samples if in_block else available.before, in_block)
        self.result_sections[result] = section
        if is_outputs or not is_computed(result, self.inlined):
            self._read([result], section)

    def _read(self, arrays: tuple[ir.Array, ...] | list[ir.Array], section: Section) -> None:
        for x in arrays:
            if isinstance(x, ir.Result):
                self._readers.setdefault(x.loop, set()).add(section)
            elif is_computed(x, self.inlined):
                self._readers.setdefault(x, set()).add(section)
            else:
                self._read(x.operands, section)


def is_computed(array: ir.Array, inlined: set[ir.Array]) -> bool:
    """Whether an array has memory of its own, or is a loop."""
    return not isinstance(array, (*VIRTUAL, ir.Result)) and array not in inlined


def sums_over_samples(array: ir.Array) -> bool:
    """Whether an array, or one within a loop, has a part of each sample without having samples."""
    if isinstance(array, ir.Loop):
        return any(map(sums_over_samples, array.body.arrays))
    return not array.batched and any(x.batched for x in array.operands)


def _is_done_with_samples(array: ir.Array) -> bool:
    if isinstance(array, ir.Loop):
        has_samples = any(x.batched for x in (*array.operands, *array.body.arrays))
        return has_samples and not sums_over_samples(array)
    return array.batched or any(x.batched for x in array.operands)


def inlined_in(program: ir.Program) -> set[ir.Array]:
    """The elementwise arrays that only one other reads, once, element for element."""
    uses: dict[ir.Array, int] = {}
    reader: dict[ir.Array, ir.Array] = {}
    for array in program.arrays:
        for x in array.operands:
            uses[x] = uses.get(x, 0) + occurrences(array, x)
            reader[x] = array
    for x in program.results:
        uses[x] = uses.get(x, 0) + 2
    weights: dict[ir.Array, int] = {}  # of those that are written where they are used
    for x in program.arrays:
        if not isinstance(x, ir.Map | ir.Sum | ir.Elementwise) or x in program.names or uses[x] != 1:
            continue
        weight = count_operations(expression_of(x)) + sum([weights.get(operand, 0) for operand in x.operands])
        if weight <= _LARGEST_INLINE and x in operands_in_text(reader[x]) and reads_each_once(reader[x], x):
            weights[x] = weight
    return set(weights)


def reads_each_once(array: ir.Array, x: ir.Array) -> bool:
    """Whether an array reads each element of another for one element or sum of its own."""
    if isinstance(array, ir.Map | ir.Sum | ir.Elementwise):
        return (array.shape, array.batched) == (x.shape, x.batched)
    return isinstance(array, ir.Reduce | ir.SumTo | ir.Total)


def count_operations(expression: object) -> int:
    """How many operations an expression has."""
    if not isinstance(expression, Expression):
        return 0
    return 1 + sum(map(count_operations, expression.arguments))
