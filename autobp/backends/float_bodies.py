"""Write the body of a loop as statements of Python's floats, one for each number of each sample.

The steps of the body's schedule are gone through with arrays of names in place of arrays of numbers: to slice
and turn what lies in memory is to slice and turn those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from autobp.backends import steps
from autobp.backends.moves import SAMPLES, Axes, Moves, Part, Size, Sizes, sizes_of, view_moves
from autobp.backends.operands import (
    NUMBER,
    AsFloat,
    Broadcast,
    Copied,
    Filled,
    Fixed,
    Moved,
    Number,
    Ones,
    Operand,
    Region,
    Samples,
    Scalar,
    Variable,
    WithOnes,
)
from autobp.backends.operands import Part as PartOf
from autobp.backends.source_module import number
from autobp.ir.expression import COMPARISONS

#: What those are called that the module ``math`` has; they raise, or give what NumPy does.
_OF_MATH = {
    "power": "pow", "erf": "erf", "erfc": "erfc",
    **{name: name for name in (
        "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan",
        "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "atan2", "hypot",
    )},
}  # fmt: skip
_OF_FLOATS = {
    **{name: f"{{0}} {name} {{1}}" for name in "+-*/"},
    **{name: f"{{0}} {sign} {{1}}" for name, sign in COMPARISONS.items()},
    "neg": "-{0}",
    "square": "{0} * {0}",
    "abs": "abs({0})",
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "where": "{1} if {0} else {2}",
}

#: Of one operation on floats, nanoseconds; of a call of NumPy, and of an operation on its own numbers.
_ON_FLOATS, _CALL, _ON_NUMBERS = 30, 500, 70


def add_exponentials(x: float, y: float) -> float:
    """log(exp(x) + exp(y))."""
    if x == y:
        return x + math.log(2.0)
    return (x if x > y else y) + math.log1p(math.exp(-abs(x - y)))


#: Texts, an array of them: of each sample, where there are samples, what stands for each of its numbers.
Names = np.ndarray[Any, np.dtype[np.object_]]


class NoFloats(Exception):
    """A body has what floats do not have, or would be slower on them."""


def _each(write: Callable[..., str], *texts: Any) -> Names:
    """What is written of each of the texts of arrays, which are spread to one shape."""
    return np.asarray(np.frompyfunc(write, len(texts), 1)(*texts), dtype=object)


def _times(x: str, y: str) -> str:
    """A product, in which nothing is done for a one."""
    return y if x == "1.0" else x if y == "1.0" else f"{x} * {y}"


def _literal(x: float) -> str:
    text = number(x)
    return f"({text})" if text.startswith("-") else text


class FloatBody:
    """Writes a body.

    Attributes:
        lines: its statements so far.
        functions: what functions are called in it, by what they are called elsewhere.
    """

    def __init__(self, schedule: steps.Schedule, rows: int, variable: Callable[[str], str]) -> None:
        """Have a body to be written, for so many rows.

        Args:
            variable: gives a name that is not taken, with a prefix.
        """
        self.schedule, self.rows, self.variable = schedule, rows, variable
        self.lines: list[str] = []
        self.functions: dict[str, str] = {}
        self._values: dict[int, Names] = {}
        on_numbers = [isinstance(x, steps.Apply) and x.into.kind == NUMBER for x in schedule.steps]
        self._budget = sum(_ON_NUMBERS if x else _CALL for x in on_numbers)  # that arrays would take

    def spend(self, operations: int) -> None:
        """Count operations on floats. Raises NoFloats where arrays take less time."""
        self._budget -= operations * _ON_FLOATS
        if self._budget < 0:
            raise NoFloats

    def sizes(self, sizes: Sequence[Size]) -> tuple[int, ...]:
        """Sizes of axes with the number of samples."""
        return tuple([self.rows if n == SAMPLES else int(n) for n in sizes])

    def sizes_of(self, value: Variable) -> tuple[int, ...]:
        """The sizes of a variable with its samples."""
        batched, shape = value.kind or NUMBER
        return self.sizes(sizes_of(shape, batched))

    def name(self, prefix: str, value: Variable) -> Names:
        """Have new names for all numbers of a variable."""
        sizes = self.sizes_of(value)
        self.spend(math.prod(sizes))
        made = np.array([self.variable(prefix) for _ in range(math.prod(sizes))], dtype=object)
        self._values[value.number] = made.reshape(sizes)
        return self._values[value.number]

    def write(self) -> None:
        """Write the steps. Raises NoFloats where there is one for which floats have no words."""
        for step in self.schedule.steps:
            if type(step) not in self.STEPS:
                raise NoFloats
            self.STEPS[type(step)](self, step)

    # ------------------------------------------------------------------------------------------- operands

    def of(self, operand: Operand) -> Names:
        """What an operand's numbers are called; each text binds as an atom."""
        return self.OPERANDS[type(operand)](self, operand)

    def _variable(self, operand: Variable) -> Names:
        if operand.number not in self._values:
            if not isinstance(operand.place, Fixed):
                raise NoFloats
            constants = self.schedule.constants[operand.place.number]
            self.spend(constants.size)
            self._values[operand.number] = _each(_literal, constants.astype(object))
        return self._values[operand.number]

    def _number(self, operand: Number) -> Names:
        return np.array(_literal(operand.value), dtype=object)

    def _samples(self, operand: Samples) -> Names:
        return np.array(str(self.rows), dtype=object)

    def _scalar(self, operand: Scalar) -> Names:
        return _each("({})".format, self.applied(operand.function, operand.operands))

    def _ones(self, operand: Ones) -> Names:
        return np.full(self.rows if operand.n is None else operand.n, "1.0", dtype=object)

    def _with_ones(self, operand: WithOnes) -> Names:
        found = self.of(operand.source)
        return np.concatenate([found, np.full((*found.shape[:-1], 1), "1.0", dtype=object)], axis=-1)

    def _filled(self, operand: Filled) -> Names:
        batched, shape = operand.kind
        return np.broadcast_to(self.of(operand.source), self.sizes(sizes_of(shape, batched)))

    def _broadcast(self, operand: Broadcast) -> Names:
        return np.broadcast_to(self.of(operand.source), self.sizes(operand.sizes))

    def _as_float(self, operand: AsFloat) -> Names:
        return _each("(1.0 if {} else 0.0)".format, self.of(operand.source))

    def _copied(self, operand: Copied) -> Names:
        return self.of(operand.source)

    def _moved(self, operand: Moved) -> Names:
        return self.moved(self.of(operand.source), operand.moves)

    def moved(self, names: Names, moves: Moves) -> Names:
        """Names sliced, reshaped and turned; where memory would be, it is the same memory."""
        for move in moves:
            if isinstance(move, Part):
                names = np.asarray(names[move.entries], dtype=object)
            elif isinstance(move, Sizes):
                names = names.reshape(self.sizes(move.sizes))
            elif isinstance(move, Axes):
                names = names.transpose(move.order)
            else:
                names = names.swapaxes(move.first, move.second)
        return names

    # ------------------------------------------------------------------------------------------- the steps

    def applied(self, function: str, arguments: Sequence[Operand], operation: str = "") -> Names:
        """A function of elements as expressions."""
        named = operation if function == "op" else function
        if function in _OF_FLOATS:
            write: Callable[..., str] = _OF_FLOATS[function].format
        elif named == "logaddexp" or named in _OF_MATH:
            called = self.called(f"math.{_OF_MATH[named]}" if named in _OF_MATH else "add_exponentials")
            write = (called + "(" + ", ".join(["{}"] * len(arguments)) + ")").format
        else:
            raise NoFloats
        return _each(write, *[self.of(x) for x in arguments])

    def called(self, text: str) -> str:
        """A name for a function: a local one is found faster."""
        if text not in self.functions:
            self.functions[text] = self.variable("f")
        return self.functions[text]

    def _apply(self, step: steps.Apply) -> None:
        self.assign(step.into, self.applied(step.function, step.operands, step.operation))

    def _name_or_copy(self, step: steps.Name | steps.Copy) -> None:
        self.set(step.into, self.of(step.source))

    def _product(self, step: steps.MatrixProduct) -> None:
        left, right = self.of(step.left), self.of(step.right)
        product = self.moved(self.multiplied(left, right), step.after)
        product = product.swapaxes(0, 1) if step.by_step else product
        self.assign(step.into, product.reshape(self.sizes_of(step.into)))

    def multiplied(self, left: Names, right: Names) -> Names:
        """The sums of products of a matrix product."""
        rows = left if left.ndim > 1 else left[None]
        columns = right.swapaxes(-1, -2) if right.ndim > 1 else right[None]
        pairs = rows[..., :, None, :], columns[..., None, :, :]
        self.spend(math.prod(np.broadcast_shapes(*[x.shape for x in pairs])))
        made = self.added(_each(_times, *pairs), (-1,), False)
        made = made[..., 0, :] if left.ndim == 1 else made
        return made[..., 0] if right.ndim == 1 else made

    def _outer_product(self, step: steps.OuterProduct) -> None:
        self.assign(step.into, _each(_times, self.of(step.left), self.of(step.right)))

    def added(self, texts: Names, axes: tuple[int, ...], keep: bool) -> Names:
        """Sums over axes."""
        kept = [i for i in range(texts.ndim) if i not in [axis % texts.ndim for axis in axes]]
        last = texts.transpose(*kept, *[i for i in range(texts.ndim) if i not in kept])
        last = last.reshape(*[texts.shape[i] for i in kept], -1)
        made = np.empty(last.shape[:-1], dtype=object)
        for place in np.ndindex(made.shape):
            made[place] = " + ".join(last[place])
        return made.reshape([n if i in kept else 1 for i, n in enumerate(texts.shape)]) if keep else made

    def _add_up(self, step: steps.AddUp) -> None:
        source = self.of(step.source)
        self.spend(source.size)
        self.assign(step.into, self.added(source, step.axes, step.keep))

    def _collapse(self, step: steps.Collapse) -> None:
        if step.ufunc != "add":
            raise NoFloats
        source = self.of(step.source)
        self.spend(source.size)
        self.assign(step.into, self.moved(self.added(source, step.axes, step.keep), step.after))

    def assign(self, into: Variable, texts: Names) -> None:
        """Have expressions as a variable."""
        self.set(into, self.assigned(texts))

    def assigned(self, texts: Names) -> Names:
        """Names for expressions, whose statements are written."""
        self.spend(texts.size)
        names = _each(lambda _: self.variable("v"), texts)
        self.lines += [f"{x} = {text}" for x, text in zip(names.flat, texts.flat, strict=True)]
        return names

    # ------------------------------------------------------------------------------------------ assemblies

    def set(self, into: Variable, names: Names) -> None:
        """Have names as a variable, and in the assembly that it is a part of."""
        names = np.broadcast_to(names, self.sizes_of(into))
        self._values[into.number] = names
        if isinstance(into.place, PartOf):
            part = self.part(into.place.whole, into.place.region)
            part[...] = names.reshape(part.shape)

    def part(self, whole: Variable, region: Region | None) -> Names:
        """A part of an assembly, which can be written to."""
        names = self._variable(whole)
        if not names.flags.writeable:
            raise NoFloats
        if region is None:
            return names
        batched, shape = whole.kind or NUMBER
        flat = names.reshape((self.rows, -1) if batched else (-1,))
        size = math.prod(shape)
        return self.moved(flat, view_moves(size, region.base, region.shape, region.strides, batched))

    def _start(self, step: steps.Start) -> None:
        if isinstance(step.into.place, PartOf):
            raise NoFloats
        self.spend(math.prod(self.sizes_of(step.into)))
        self._values[step.into.number] = np.full(self.sizes_of(step.into), "0.0", dtype=object)

    def _put(self, step: steps.Put) -> None:
        if isinstance(step.where, Variable) or isinstance(step.into.place, PartOf):
            raise NoFloats
        part, names = self.part(step.into, step.where), self.of(step.source)
        if step.added:
            names = self.assigned(_each(_OF_FLOATS["+"].format, part, np.broadcast_to(names, part.shape)))
        part[...] = names

    OPERANDS: ClassVar[dict[type[Any], Callable[[FloatBody, Any], Names]]] = {
        Variable: _variable,
        Number: _number,
        Samples: _samples,
        Scalar: _scalar,
        Ones: _ones,
        WithOnes: _with_ones,
        Filled: _filled,
        Broadcast: _broadcast,
        AsFloat: _as_float,
        Copied: _copied,
        Moved: _moved,
    }
    STEPS: ClassVar[dict[type[Any], Callable[[FloatBody, Any], None]]] = {
        steps.Apply: _apply,
        steps.Name: _name_or_copy,
        steps.Copy: _name_or_copy,
        steps.MatrixProduct: _product,
        steps.OuterProduct: _outer_product,
        steps.AddUp: _add_up,
        steps.Collapse: _collapse,
        steps.Start: _start,
        steps.Put: _put,
    }
