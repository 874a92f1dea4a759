"""Operations of the table on formulas: applied by name, and the namespace on which their rules run.

``op.partials(FORMULAS, y, x)`` is the local derivative as a formula, so that a derivation prints the very
rule that the engine computes with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from autobp.explanation.formula import (
    Apply,
    Formula,
    Number,
    Power,
    Product,
    divide,
    formula,
    multiply,
)
from autobp.explanation.writing import Writing
from autobp.ops import (
    ADD,
    ATOM,
    CONSTANT_POWER,
    DIVIDE,
    MULTIPLY,
    NEGATIVE,
    POWER,
    SIGMOID,
    SUBTRACT,
    SUM,
    TABLE,
    Operation,
)

_ARITHMETIC: Final = (ADD, SUBTRACT, MULTIPLY, DIVIDE, NEGATIVE)


class Applied(Formula):
    """An operation of the table applied to formulas, written as the table says."""

    __slots__ = ("_operands", "constants", "operation")

    def __init__(
        self, operation: Operation, operands: Sequence[Formula], constants: Sequence[float] = ()
    ) -> None:
        self.operation = operation
        self._operands = tuple(operands)
        self.constants = tuple(constants)

    @property
    def operands(self) -> tuple[Formula, ...]:
        return self._operands

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        operands = [operand.evaluate(run, leaf) for operand in self.operands]
        return run(self.operation, operands, self.constants)

    def write(self, writing: Writing) -> str:
        op = self.operation
        template = op.latex if writing.latex else op.text
        if "…" in template:  # any number of operands
            template = template.replace("…", ", ".join(f"{{{i}}}" for i in range(len(self.operands))))
            if writing.latex:
                template = rf"\operatorname{{{{{op.name}}}}}\left({template.split('(', 1)[1]}".replace(
                    "_", r"\_"
                )
        if not writing.latex and "**" not in template:
            template = template.replace("*", " · ")
        before = r"\\ln\b" if writing.latex else r"\blog\b"
        template = re.sub(before, lambda _: writing.logarithm[not writing.latex], template)
        if op is SIGMOID:
            letter = writing.sigmoid[not writing.latex]
            template = rf"{letter}\left({{0}}\right)" if writing.latex else f"{letter}({{0}})"
        least = [self._least(template, i) for i in range(len(self.operands))]
        written = [operand.inside(writing, at) for operand, at in zip(self.operands, least, strict=True)]
        if op.name == "where":  # a condition after "if" needs no brackets
            brackets = (r"\left[", r"\right]") if writing.latex else ("[", "]")
            written[0] = written[0].removeprefix(brackets[0]).removesuffix(brackets[1])
        written.extend([writing.number(constant) for constant in self.constants])
        return template.format(*written)

    def _least(self, template: str, i: int) -> int:
        """How tightly operand i must bind not to need parentheses."""
        op = self.operation
        if op is POWER and i == 0:
            return ATOM
        slot = template.find(f"{{{i}}}")
        before = template[:slot]
        if op.precedence == ATOM or before.endswith(("(", "{", "|", ", ")):
            return SUM
        return min(op.precedence + 1, ATOM)

    def binds(self, writing: Writing) -> int:
        return self.operation.precedence

    @property
    def key(self) -> Any:
        return (self.operation.name, *[operand.key for operand in self.operands], *self.constants)


def apply(op: Operation, operands: Iterable[Formula | float], constants: Sequence[float] = ()) -> Formula:
    """The operation on formulas."""
    formulas = [formula(operand) for operand in operands]
    if op in _ARITHMETIC:
        result: Formula = op.value(FORMULAS, *formulas)
        return result
    if op is CONSTANT_POWER:
        return _power(formulas[0], constants[0])
    return _reduced(Applied(op, formulas, constants))


def _power(base: Formula, exponent: float) -> Formula:
    if exponent == 1.0:
        return base
    if exponent == 0.0:
        return Number(1.0)
    return divide(Number(1.0), base) if exponent == -1.0 else _reduced(Power(base, exponent))


def _reduced(x: Formula) -> Formula:
    """The formula, or its number where it is one of numbers alone."""
    return Number(x.value) if all(isinstance(operand, Number) for operand in x.operands) else x


class _Formulas:
    """The namespace that writes rules down: each function of the table makes a formula.

    ``where`` on a test for equality takes the branch of the general case: only at a = b would the other hold,
    and whoever prints the formula compares its number with the true one.
    """

    name = "formulas"

    def __getattr__(self, name: str) -> Callable[..., Formula]:
        op = TABLE.get("constant_power" if name == "pow" else name)
        if op is None:
            raise AttributeError(f"no operation {name!r} in the table")
        if op.inline:
            return partial(op.value, self)
        chosen = op
        n = chosen.arity

        def function(*operands: Any) -> Formula:
            if n is None:
                return apply(chosen, operands)
            return apply(chosen, operands[:n], [float(constant) for constant in operands[n:]])

        return function

    def pow(self, x: Any, y: Any) -> Formula:
        if isinstance(y, Formula):
            return apply(POWER, (x, y))
        return apply(CONSTANT_POWER, (x,), (float(y),))

    def choose(self, index: Any, values: Sequence[Any]) -> Formula:
        return apply(TABLE["take"], (index, *values))

    def where(self, condition: Any, x: Any, y: Any) -> Formula:
        if isinstance(condition, Number):
            return formula(x if condition.value else y)
        if _is_exceptional(condition):
            return formula(y)
        if isinstance(condition, Applied) and condition.operation.name == "not_equal":
            return formula(x)
        x, y = _given(formula(x), condition, True), _given(formula(y), condition, False)
        if x.key == ("number", 1.0) and y.key == ("number", 0.0):
            return formula(condition)
        return Applied(TABLE["where"], (formula(condition), x, y))


def _is_exceptional(condition: Any) -> bool:
    """Whether a condition is an equation, or several at once: it fails in the general case."""
    if isinstance(condition, Product):
        return any(_is_exceptional(factor) for factor in condition.factors)
    return isinstance(condition, Applied) and condition.operation.name == "equal"


def _given(branch: Formula, condition: Formula, holds: bool) -> Formula:
    """The branch with each ``where`` on the same condition decided."""
    if isinstance(branch, Applied):
        if branch.operation.name == "where" and branch.operands[0].key == condition.key:
            return branch.operands[1 if holds else 2]
        return apply(
            branch.operation, [_given(x, condition, holds) for x in branch.operands], branch.constants
        )
    if isinstance(branch, Power):
        return apply(CONSTANT_POWER, [_given(branch.base, condition, holds)], [branch.exponent])
    if isinstance(branch, Product):
        return multiply(*[_given(x, condition, holds) for x in branch.factors])
    return branch


#: Pass it to an operation's value or partials together with Formulas.
FORMULAS: Final = _Formulas()
