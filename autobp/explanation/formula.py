"""Formulas: expressions of named quantities, to be written in text or LaTeX and evaluated on any numbers.

Sums and products are kept flat; factors 1, terms 0 and double signs are dropped, equal factors become powers,
and nothing else is rewritten.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from autobp.explanation.writing import Writing
from autobp.ops import (
    ATOM,
    CONSTANT_POWER,
    FLOATS,
    NUMPY,
    PRODUCT,
    SIGN,
    SUM,
    Operation,
)
from autobp.reading.labels import superscript

#: An operation applied to operands and constants.
Apply: TypeAlias = Callable[[Operation, Sequence[Any], Sequence[float]], Any]


class Formula:
    """An expression. Combine formulas with + - * / and with the operation table's rules.

    Attributes:
        precedence: how tightly its notation binds, as in :mod:`autobp.ops`.
    """

    __slots__ = ("_value",)
    precedence: int = ATOM

    @property
    def value(self) -> float:
        """Its number, in IEEE 754 arithmetic."""
        try:
            return self._value  # type: ignore[has-type, no-any-return]
        except AttributeError:
            self._value = self.at(lambda leaf: leaf.value)
            return self._value

    def at(self, leaf: Callable[[Formula], float]) -> float:
        """Its number where each Symbol and Number has the one that ``leaf`` gives."""
        try:
            return float(self.evaluate(lambda op, x, constants: op.value(FLOATS, *x, *constants), leaf))
        except (ArithmeticError, ValueError):
            with np.errstate(all="ignore"):
                return float(
                    self.evaluate(
                        lambda op, x, constants: op.value(NUMPY, *x, *constants),
                        lambda formula: np.float64(leaf(formula)),
                    )
                )

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        """The formula computed on anything that has arithmetic.

        Args:
            run: ``run(operation, operands, constants)``, an operation of the table applied.
            leaf: what stands for a Symbol or a Number.
        """
        raise NotImplementedError

    def write(self, writing: Writing) -> str:
        """The formula as text or LaTeX."""
        raise NotImplementedError

    @property
    def magnitude(self) -> float:
        """What its terms would add up to if none cancelled another; rounding is a part of this."""
        return abs(self.value)

    @property
    def size(self) -> int:
        """How many symbols, numbers and operations it is written with; counted up to 1000."""
        n = 0
        stack: list[Formula] = [self]
        while stack and n < 1000:
            n += 1
            stack.extend(stack.pop().operands)
        return n

    @property
    def operands(self) -> tuple[Formula, ...]:
        """What it is made of."""
        return ()

    def parts(self, writing: Writing) -> list[str]:
        """What it is written as, in pieces between which a long line may be broken."""
        return [self.write(writing)]

    @property
    def key(self) -> Any:
        """Equal for formulas that are written alike."""
        raise NotImplementedError

    def binds(self, writing: Writing) -> int:
        """How tightly it binds as it is written so."""
        return self.precedence

    def __str__(self) -> str:
        return self.write(Writing())

    def __repr__(self) -> str:
        return f"<formula {self}>"

    def __add__(self, other: Formula | float) -> Formula:
        return add(self, other)

    def __radd__(self, other: float) -> Formula:
        return add(other, self)

    def __sub__(self, other: Formula | float) -> Formula:
        return add(self, negate(formula(other)))

    def __rsub__(self, other: float) -> Formula:
        return add(other, negate(self))

    def __mul__(self, other: Formula | float) -> Formula:
        return multiply(self, other)

    def __rmul__(self, other: float) -> Formula:
        return multiply(other, self)

    def __truediv__(self, other: Formula | float) -> Formula:
        return divide(self, formula(other))

    def __rtruediv__(self, other: float) -> Formula:
        return divide(formula(other), self)

    def __neg__(self) -> Formula:
        return negate(self)

    def __bool__(self) -> bool:
        raise TypeError("a formula is neither true nor false; rules decide with xp.where")

    def inside(self, writing: Writing, least: int) -> str:
        """Written as an operand of something that needs operands to bind at least so tightly."""
        written = self.write(writing)
        if self.binds(writing) >= least:
            return written
        return rf"\left({written}\right)" if writing.latex else f"({written})"


class Symbol(Formula):
    """A named quantity with its number.

    Attributes:
        text, latex: its name.
        meaning: what it stands for, for whoever checks a derivation; the printed formula does not use it.
    """

    __slots__ = ("latex", "meaning", "text")

    def __init__(self, text: str, latex: str, value: float, meaning: Any = None) -> None:
        self.text = text
        self.latex = latex
        self.meaning = meaning
        self._value = value

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return leaf(self)

    def write(self, writing: Writing) -> str:
        if writing.numbers:
            return writing.number(self.value)
        return self.latex if writing.latex else self.text

    def binds(self, writing: Writing) -> int:
        return writing.binding(self.value) if writing.numbers else ATOM

    @property
    def key(self) -> Any:
        return ("symbol", self.text)


class Number(Formula):
    """A plain number."""

    __slots__ = ()

    def __init__(self, value: float) -> None:
        self._value = float(value)

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return leaf(self)

    def write(self, writing: Writing) -> str:
        return writing.number(self.value)

    def binds(self, writing: Writing) -> int:
        return writing.binding(self.value)

    @property
    def key(self) -> Any:
        return ("number", self.value)


class Sum(Formula):
    """Terms added up. ``short``: how (text, LaTeX) it is written with Σ where there are many terms."""

    __slots__ = ("short", "terms")
    precedence = SUM

    def __init__(self, terms: Sequence[Formula], short: tuple[str, str] | None = None) -> None:
        self.terms = tuple(terms)
        self.short = short

    @property
    def operands(self) -> tuple[Formula, ...]:
        return self.terms

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return reduce(operator.add, [term.evaluate(run, leaf) for term in self.terms])

    @property
    def magnitude(self) -> float:
        return math.fsum(term.magnitude for term in self.terms)

    def write(self, writing: Writing) -> str:
        return " ".join(self.parts(writing))

    def parts(self, writing: Writing) -> list[str]:
        terms: list[Formula | None] = list(self.terms)
        if len(terms) > writing.longest:
            if self.short is not None and not writing.numbers:
                return [self.short[writing.latex]]
            terms = [*terms[:2], None, terms[-1]]
        parts: list[str] = []
        for term in terms:
            if term is None:
                parts.append(r"+ \dots" if writing.latex else "+ …")
            elif not parts:
                parts.append(term.inside(writing, PRODUCT) if isinstance(term, Sum) else term.write(writing))
            elif isinstance(term, Negative):
                parts.append(f"- {term.operand.inside(writing, PRODUCT)}")
            elif isinstance(term, Number) and term.value < 0:
                parts.append(f"- {writing.number(-term.value)}")
            else:
                parts.append(f"+ {term.inside(writing, PRODUCT)}")
        return parts

    @property
    def key(self) -> Any:
        return ("sum", *[term.key for term in self.terms])


class Negative(Formula):
    """Minus something."""

    __slots__ = ("operand",)
    precedence = SUM

    def __init__(self, operand: Formula) -> None:
        self.operand = operand

    @property
    def operands(self) -> tuple[Formula, ...]:
        return (self.operand,)

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return -self.operand.evaluate(run, leaf)

    @property
    def magnitude(self) -> float:
        return self.operand.magnitude

    def write(self, writing: Writing) -> str:
        return f"-{self.operand.inside(writing, PRODUCT)}"

    @property
    def key(self) -> Any:
        return ("negative", self.operand.key)


class Product(Formula):
    """Factors multiplied."""

    __slots__ = ("factors",)
    precedence = PRODUCT

    def __init__(self, factors: Sequence[Formula]) -> None:
        self.factors = tuple(factors)

    @property
    def operands(self) -> tuple[Formula, ...]:
        return self.factors

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return reduce(operator.mul, [factor.evaluate(run, leaf) for factor in self.factors])

    @property
    def magnitude(self) -> float:
        return math.prod(factor.magnitude for factor in self.factors)

    def write(self, writing: Writing) -> str:
        if not writing.latex:
            return " · ".join([factor.inside(writing, PRODUCT) for factor in self.factors])
        parts: list[str] = []
        for factor in self.factors:
            written = factor.inside(writing, PRODUCT)
            if parts:
                # two numbers side by side would be read as one
                digit = written[:1].isdigit() or writing.numbers
                parts.append(r" \cdot " if digit else writing.times)
            parts.append(written)
        return "".join(parts)

    @property
    def key(self) -> Any:
        return ("product", *[factor.key for factor in self.factors])


class Quotient(Formula):
    """One thing divided by another."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Formula, denominator: Formula) -> None:
        self.numerator = numerator
        self.denominator = denominator

    @property
    def operands(self) -> tuple[Formula, ...]:
        return (self.numerator, self.denominator)

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return self.numerator.evaluate(run, leaf) / self.denominator.evaluate(run, leaf)

    @property
    def magnitude(self) -> float:
        divisor = abs(self.denominator.value)
        return self.numerator.magnitude / divisor if divisor else math.inf

    def write(self, writing: Writing) -> str:
        if writing.latex:
            return rf"\frac{{{self.numerator.write(writing)}}}{{{self.denominator.write(writing)}}}"
        return f"{self.numerator.inside(writing, SIGN)}/{self.denominator.inside(writing, SIGN)}"

    def binds(self, writing: Writing) -> int:
        return ATOM if writing.latex else PRODUCT

    @property
    def key(self) -> Any:
        return ("quotient", self.numerator.key, self.denominator.key)


class Power(Formula):
    """A constant power, of the exponent that is a number."""

    __slots__ = ("base", "exponent")
    precedence = CONSTANT_POWER.precedence

    def __init__(self, base: Formula, exponent: float) -> None:
        self.base = base
        self.exponent = exponent

    @property
    def operands(self) -> tuple[Formula, ...]:
        return (self.base,)

    def evaluate(self, run: Apply, leaf: Callable[[Formula], Any]) -> Any:
        return run(CONSTANT_POWER, [self.base.evaluate(run, leaf)], (self.exponent,))

    def write(self, writing: Writing) -> str:
        written = self.base.inside(writing, ATOM)
        if isinstance(self.base, Symbol) and not writing.numbers and re.search(r"[\^⁰¹²³⁴-⁹⁽]", written):
            written = (
                rf"\left({written}\right)" if writing.latex else f"({written})"
            )  # it has a superscript already
        exponent = writing.number(self.exponent)
        if writing.latex:
            return f"{{{written}}}^{{{exponent}}}"
        if exponent.isdigit():
            return written + superscript(exponent)
        return f"{written}**({exponent})" if exponent.startswith("-") else f"{written}**{exponent}"

    @property
    def key(self) -> Any:
        return (CONSTANT_POWER.name, self.base.key, self.exponent)


def formula(x: Formula | float) -> Formula:
    """x as a Formula."""
    return x if isinstance(x, Formula) else Number(float(x))


def add(*terms: Formula | float) -> Formula:
    """The sum, flat, without zeros; a term that is there n times is written n times itself."""
    flat: list[Formula] = []
    for term in terms:
        term = formula(term)
        flat.extend(term.terms if isinstance(term, Sum) and term.short is None else [term])
    counted: dict[Any, list[Formula]] = {}
    for term in flat:
        if not (isinstance(term, Number) and term.value == 0.0):
            counted.setdefault(term.key, []).append(term)
    merged = [same[0] if len(same) == 1 else multiply(float(len(same)), same[0]) for same in counted.values()]
    if not merged:
        return Number(0.0)
    return merged[0] if len(merged) == 1 else Sum(merged)


def multiply(*factors: Formula | float) -> Formula:
    """The product, flat, its sign and its numbers in front; 0 where a factor is the number 0."""
    coefficient = 1.0
    flat: list[Formula] = []
    stack = [formula(factor) for factor in reversed(factors)]
    while stack:
        factor = stack.pop()
        if isinstance(factor, Negative):
            coefficient = -coefficient
            stack.append(factor.operand)
        elif isinstance(factor, Product):
            stack.extend(reversed(factor.factors))
        elif isinstance(factor, Number):
            coefficient *= factor.value
        else:
            flat.append(factor)
    if coefficient == 0.0:
        return Number(0.0)
    flat = _powers(flat)
    # y · 1/a is y/a
    unit = next((f for f in flat if isinstance(f, Quotient) and f.numerator.key == ("number", 1.0)), None)
    if unit is not None and (len(flat) > 1 or abs(coefficient) != 1.0):
        rest = [f for f in flat if f is not unit]
        product: Formula = divide(multiply(abs(coefficient), *rest), unit.denominator)
    else:
        if abs(coefficient) != 1.0 or not flat:
            flat.insert(0, Number(abs(coefficient)))
        product = flat[0] if len(flat) == 1 else Product(flat)
    return negate(product) if coefficient < 0.0 else product


def _powers(factors: Sequence[Formula]) -> list[Formula]:
    """The factors, with those that are there n times as a power."""
    counted: dict[Any, list[Formula]] = {}
    for factor in factors:
        counted.setdefault(factor.key, []).append(factor)
    return [alike[0] if len(alike) == 1 else Power(alike[0], float(len(alike))) for alike in counted.values()]


def negate(x: Formula) -> Formula:
    """-x."""
    if isinstance(x, Negative):
        return x.operand
    if isinstance(x, Number):
        return Number(-x.value)
    return Negative(x)


def divide(numerator: Formula, denominator: Formula) -> Formula:
    """numerator / denominator, the sign in front."""
    if isinstance(denominator, Number) and denominator.value == 1.0:
        return numerator
    if isinstance(numerator, Number) and numerator.value == 0.0:
        return numerator
    if isinstance(numerator, Number) and numerator.value < 0.0:
        return Negative(Quotient(Number(-numerator.value), denominator))
    if isinstance(numerator, Negative):
        return negate(divide(numerator.operand, denominator))
    if isinstance(denominator, Negative):
        return negate(divide(numerator, denominator.operand))
    return Quotient(numerator, denominator)


def rational(c: float) -> Formula:
    """c as a fraction, where it is one of small numbers but for rounding."""
    near = Fraction(c).limit_denominator(1000)
    if not math.isclose(float(near), c, rel_tol=1e-9):
        return Number(c)
    return divide(Number(float(near.numerator)), Number(float(near.denominator)))
