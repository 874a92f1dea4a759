"""Expressions as steps: one for each operation in them, in place where an operand's memory is free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.backends.builder import Builder
from autobp.backends.moves import Part
from autobp.backends.operands import (
    NUMBER,
    AsFloat,
    Buffer,
    Copied,
    Filled,
    Kind,
    Moved,
    New,
    Number,
    Operand,
    Samples,
    Scalar,
    Variable,
)
from autobp.backends.steps import IN_PLACE, Apply, Copy, Name
from autobp.ir import Array, Constant, Elementwise, Map, Sum
from autobp.ir.expression import COMPARISONS, Expression, rule_of
from autobp.ops import lookup

#: What stands in an expression before the operands.
_NAMED = {"op": 1, "foreign partial": 2}


@dataclass
class _Held:
    """A value while an expression is computed: its kind, its buffer, and how often it is still needed."""

    operand: Operand
    kind: Kind | None
    buffer: int | None = None
    left: int = 0

    @property
    def boolean(self) -> bool:
        return isinstance(self.operand, Variable) and self.operand.boolean

    def as_float(self) -> _Held:
        """1 and 0 for true and false."""
        assert isinstance(self.operand, Variable)
        return _Held(AsFloat(self.operand), self.kind)


def compute(builder: Builder, array: Map | Sum | Elementwise) -> None:
    """Compute an array by the steps of its expression."""
    expression = inline(builder.plan.formulas[array])
    if isinstance(expression, Expression) and expression.name not in ("number", "slot"):
        _Steps(builder, array, expression).take()
        return
    if isinstance(expression, Expression) and expression.name == "slot":
        operand: Operand = builder.operands[array.operands[expression.arguments[0]]]
        operand = operand if builder.placed(array) else Copied(operand)
    else:
        number = expression.arguments[0] if isinstance(expression, Expression) else expression
        operand = Number(float(number))
        if isinstance(array, Map | Sum) or array.shape or array.batched:
            operand = Filled(operand, (array.batched, array.shape))
    assign(builder, array, operand)


def assign(builder: Builder, array: Array, operand: Operand) -> None:
    """Have an operand as an array, in its place where it has one."""
    if builder.placed(array):
        builder.steps.append(Copy(operand, builder.destination(array)))
    else:
        value = builder.new((array.batched, array.shape), array)
        builder.steps.append(Name(operand, value))
        builder.operands[array] = value


class _Steps:
    """The steps of one expression."""

    def __init__(self, builder: Builder, array: Map | Sum | Elementwise, expression: Expression) -> None:
        self.builder, self.array, self.expression = builder, array, expression
        self.order: list[Expression] = []
        self.counts: dict[Any, int] = {}
        _visit(expression, self.counts, self.order)
        self.held: dict[Any, _Held] = {}
        for i, x in enumerate(array.operands):
            if ("slot", i) in self.counts:
                self.held["slot", i] = self.hold(x, self.counts["slot", i])
        # the buffers of operands: who reads them last may write to them, but they are not temporary
        self.borrowed = {held.buffer for held in self.held.values()} - {None}

    def hold(self, x: Array, times: int) -> _Held:
        """An operand of the array."""
        if isinstance(x, Constant) and x.size == 1:
            return _Held(Number(float(x.values.flat[0])), None, None, times)
        numbers = self.builder.plan.numbers
        if x in numbers:
            return _Held(self.builder.operands[x], NUMBER, None, times)
        if self.array in numbers:
            first = Moved(self.builder.operands[x], (Part((0,) * len(x.shape)),)) if x.shape else None
            return _Held(first or self.builder.operands[x], NUMBER, None, times)
        buffer = self.builder.dying(x, self.array.operands)
        return _Held(self.builder.operands[x], (x.batched, x.shape), buffer, times)

    def take(self) -> None:
        """Take the steps, so that the array has its operand."""
        for node in self.order:
            made = self.apply(node)
            made.left = self.counts[id(node)]
            self.held[id(node)] = made
        builder, array, result = self.builder, self.array, self.held[id(self.expression)]
        kind = NUMBER if array in builder.plan.numbers else (array.batched, array.shape)
        if result.boolean:
            result = result.as_float()
        if result.kind is None and array.shape and array not in builder.plan.numbers:
            result = _Held(Filled(result.operand, (array.batched, array.shape)), None)
        if builder.placed(array):
            if result.operand is not builder.operands.get(array):
                assign(builder, array, result.operand)
        elif result.buffer is not None:
            builder.own(array, result.buffer)
            builder.operands[array] = result.operand
        elif isinstance(result.operand, Variable) and result.operand.place == New() and result.kind == kind:
            builder.operands[array] = result.operand
        else:
            assign(builder, array, result.operand)

    def apply(self, node: Expression) -> _Held:
        """Compute one operation."""
        builder = self.builder
        named = _NAMED.get(node.name, 0)
        arguments = [self.argument(x) for x in node.arguments[named:]]
        kind = _broadcast([x.kind for x in arguments if x.kind is not None])
        test = node.name == "where" and arguments[0].boolean
        for i, x in enumerate(arguments):
            keeps = (test and i == 0) or (node.name == "*" and not arguments[1 - i].boolean)
            if x.boolean and not keeps:
                arguments[i] = x.as_float()
        operands = tuple([x.operand for x in arguments])
        used = [
            self.held[_key(x)] for x in node.arguments if isinstance(x, Expression) and _key(x) in self.held
        ]
        for x in used:
            x.left -= 1
        if kind is None and node.name not in (*_NAMED, *COMPARISONS):
            made = _Held(Scalar(node.name, operands), None)
        else:
            made = self.destination(node, kind, used)
            assert isinstance(made.operand, Variable)
            operation = node.arguments[0] if named else ""
            which = node.arguments[1] if node.name == "foreign partial" else 0
            builder.steps.append(Apply(node.name, operands, made.operand, operation, which))
        for x in used:
            if x.left == 0 and x.buffer is not None and x.buffer not in self.borrowed:
                builder.give_back(x.buffer)
                x.buffer = None
        return made

    def destination(self, node: Expression, kind: Kind | None, used: list[_Held]) -> _Held:
        """Where a node is computed: anew, in the array's own place, in an operand's buffer or in another."""
        builder, array, final = self.builder, self.array, node is self.expression
        stands_for = array if final else None
        small = kind is None or (not kind[0] and kind[1] in ((), (1,)))
        if node.name not in IN_PLACE or small:
            return _Held(builder.new(kind, stands_for, node.name in COMPARISONS), kind)
        assert kind is not None
        if final and builder.placed(array) and (array.batched, array.shape) == kind:
            return _Held(builder.destination(array), kind)
        by_step = array in builder.plan.by_step and kind == (array.batched, array.shape)
        reused = next((x for x in used if x.left == 0 and self.fits(x, kind, by_step)), None)
        if reused is None:
            buffer = builder.take(kind, by_step)
        else:
            assert reused.buffer is not None
            buffer, reused.buffer = reused.buffer, None
            if buffer in self.borrowed:
                self.borrowed.remove(buffer)
                builder.disown(buffer)
        return _Held(builder.value(kind, Buffer(buffer), stands_for), kind, buffer)

    def fits(self, held: _Held, kind: Kind, by_step: bool) -> bool:
        """Whether a value's buffer has room for another, laid out like it."""
        if held.buffer is None or held.kind != kind:
            return False
        return self.builder.lies_by_step(held.buffer) == by_step

    def argument(self, x: Any) -> _Held:
        """What an operation is applied to."""
        if not isinstance(x, Expression):
            return _Held(Number(float(x)), None)
        return _Held(Samples(), None) if x.name == "m" else self.held[_key(x)]


def _broadcast(kinds: list[Kind]) -> Kind | None:
    if not kinds:
        return None
    return any(batched for batched, _ in kinds), np.broadcast_shapes(*[shape for _, shape in kinds])


def _key(expression: Expression) -> Any:
    return ("slot", expression.arguments[0]) if expression.name == "slot" else id(expression)


def _visit(expression: Any, counts: dict[Any, int], order: list[Expression]) -> None:
    """Count how often each node is needed, and put them in an order in which they can be computed."""
    if not isinstance(expression, Expression) or expression.name == "m":
        return
    key = _key(expression)
    counts[key] = counts.get(key, 0) + 1
    if counts[key] == 1 and expression.name != "slot":
        for argument in expression.arguments:
            _visit(argument, counts, order)
        order.append(expression)


def inline(expression: Any) -> Any:
    """The expression with operations of the table replaced by their rules, where these can be written out."""
    if not isinstance(expression, Expression) or expression.name in ("slot", "foreign partial"):
        return expression
    if expression.name == "op":
        op = lookup(expression.arguments[0])
        operands = [inline(x) for x in expression.arguments[1:]]
        if op.name in ("take", "erf", "erfc"):
            return Expression("op", op.name, *operands)
        n_constants = len(op.constants)
        rule = rule_of(op, len(operands) - n_constants, n_constants)
        if not isinstance(rule, Expression):
            return Expression("op", op.name, *operands)
        return inline(_shared_substitute(rule, dict(enumerate(operands)), {}))
    arguments = [inline(x) for x in expression.arguments]
    if all(a is b for a, b in zip(arguments, expression.arguments, strict=True)):
        return expression
    return Expression(expression.name, *arguments)


def _shared_substitute(expression: Any, values: dict[int, Any], done: dict[int, Any]) -> Any:
    """The expression with its slots replaced; what is shared in it is still shared after it."""
    if not isinstance(expression, Expression):
        return expression
    if expression.name == "slot":
        return values[expression.arguments[0]]
    if id(expression) not in done:
        arguments = [_shared_substitute(x, values, done) for x in expression.arguments]
        done[id(expression)] = Expression(expression.name, *arguments)
    return done[id(expression)]
