"""What writers of programs have in common, whatever the language.

A :class:`Printer` finds the method for an array by its kind (``matmul`` writes a
:class:`~autobp.ir.MatMul`), decides what becomes a statement with a name, and what is written where
it is used. A :class:`Formulas` writes the expressions inside, by a table: name to :class:`Template`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from autobp import ir
from autobp.ir.expression import COMPARISONS, Expression, used_slots, value_of
from autobp.ops import ATOM, PRODUCT, SUM

COMPARISON = 0  # binds less tightly than a sum

_LONGEST = 88  # of a text that is written where it is used


class Text(NamedTuple):
    """Source text, and how tightly it binds: COMPARISON, or SUM … ATOM of the operation table."""

    text: str
    binds: int


# -------------------------------------------------------------------------------------------- expressions


class Template(NamedTuple):
    """How what is applied to operands is written.

    Attributes:
        text: with ``{0}``, ``{1}`` … for the operands, or with one ``{}`` for all of them, by commas.
        binds: how tightly the whole binds.
        least: how tightly each operand must bind to stand there without parentheses; empty with ``{}``.
        truths: the operands for which a comparison may stand as true or false, without becoming 1 or 0.
    """

    text: str
    binds: int = ATOM
    least: tuple[int, ...] = ()
    truths: tuple[int, ...] = ()


#: Comparisons, sums and differences as Python and C alike write them.
INFIX_COMPARISONS: Final = {
    name: Template(f"{{0}} {sign} {{1}}", COMPARISON, (SUM, SUM)) for name, sign in COMPARISONS.items()
}
INFIX_SUMS: Final = {
    "+": Template("{0} + {1}", SUM, (SUM, PRODUCT)),
    "-": Template("{0} - {1}", SUM, (SUM, PRODUCT)),
}


class Formulas:
    """Writes expressions. A language has its table of templates, and says how it writes what is in none.

    Attributes:
        templates: of what expressions apply, by its name. Comparisons give 1 or 0.
        tests: of comparisons that stand for true or false; empty where a language has only numbers.
        brackets: parentheses.
    """

    templates: ClassVar[Mapping[str, Template]] = {}
    tests: ClassVar[Mapping[str, Template]] = {}
    brackets: ClassVar[tuple[str, str]] = ("(", ")")

    def template_of(self, expression: Expression) -> Template | None:
        """The template of what an expression applies, or None where it is in no table here."""
        return self.templates.get(expression.name)

    def number(self, x: float) -> Text:
        """A number that is written in."""
        raise NotImplementedError

    def operation(self, name: str, operands: Sequence[Text]) -> Text:
        """An operation of the table that has no template here, applied to operands and constants."""
        raise NotImplementedError

    def foreign_partial(self, name: str, which: int, operands: Sequence[Text]) -> Text:
        """A derivative whose rule cannot be recorded, of y and the operands."""
        raise NotImplementedError

    def samples(self) -> Text:
        """The number of samples."""
        return Text("m", ATOM)

    def wrap(self, text: Text, least: int) -> str:
        """The text, in parentheses where it binds less tightly than ``least``."""
        return text.text if text.binds >= least else f"{self.brackets[0]}{text.text}{self.brackets[1]}"

    def apply(self, template: Template, operands: Sequence[Text]) -> Text:
        """What the template makes of the operands."""
        if not template.least:
            return Text(template.text.format(", ".join([x.text for x in operands])), template.binds)
        shown = [self.wrap(x, least) for x, least in zip(operands, template.least, strict=True)]
        return Text(template.text.format(*shown), template.binds)

    def write(self, expression: Any, slots: Any, known: Mapping[int, Text] | None = None) -> Text:
        """An expression.

        Args:
            slots: the operands' texts, ``slots[i]``.
            known: the names of subexpressions that have one, by their id.
        """
        if not isinstance(expression, Expression):
            return self.number(expression)
        if known and id(expression) in known:
            return known[id(expression)]
        name, arguments = expression.name, expression.arguments
        if name == "slot":
            slot: Text = slots[arguments[0]]
            return slot
        if name == "number":
            return Text(self.number(arguments[0]).text, ATOM)
        if name == "m":
            return self.samples()

        def of(x: Any, truth: bool = False) -> Text:
            return (self.test if truth and self.tests else self.write)(x, slots, known)

        if name == "op":
            return self.operation(arguments[0], [of(x) for x in arguments[1:]])
        if name == "foreign partial":
            return self.foreign_partial(arguments[0], arguments[1], [of(x) for x in arguments[2:]])
        template = self.template_of(expression)
        if name == "where" and self.tests and template is not None:
            return self.apply(template, [of(x, i == 0) for i, x in enumerate(arguments)])
        if template is not None:
            truths = [i in template.truths and is_comparison(x) for i, x in enumerate(arguments)]
            operands = [of(x, truth) for x, truth in zip(arguments, truths, strict=True)]
            return self.apply(template, operands)
        return self.operation("take" if name == "choose" else name, [of(x) for x in arguments])

    def test(self, expression: Any, slots: Any, known: Mapping[int, Text] | None = None) -> Text:
        """An expression as true or false."""
        if is_comparison(expression):
            operands = [self.write(x, slots, known) for x in expression.arguments]
            return self.apply(self.tests[expression.name], operands)
        return self.apply(self.tests["not_equal"], [self.write(expression, slots, known), self.number(0.0)])

    def body(
        self, rule: Expression, operands: Sequence[str], prefix: str = ""
    ) -> tuple[list[tuple[str, str]], str]:
        """A rule as the body of a function: (name, text) of what is used again or is long, then the result.

        Args:
            operands: the names of the operands and constants.
            prefix: of all names.
        """
        slots = [Text(prefix + name, ATOM) for name in operands]
        known: dict[int, Text] = {}
        named: list[tuple[str, str]] = []
        kept: list[tuple[str, str]] = []
        free = (name for name in _letters() if name not in operands)
        for expression, uses in _parts(rule):
            text = self.write(expression, slots, known).text
            if uses > 1 or (len(text) > _LONGEST and expression is not rule):
                name = prefix + next(free)
                named.append((name, text))
                known[id(expression)] = Text(name, ATOM)
        result = self.write(rule, slots, known).text
        read = result  # a comparison that is asked for its truth is written where it is asked
        for name, text in reversed(named):
            if re.search(rf"\b{name}\b", read):
                kept.append((name, text))
                read += " " + text
        return kept[::-1], result


def _letters() -> Iterator[str]:
    """e, a, b … h, then e2, a2 and so on."""
    yield from "eabcdfgh"
    for number in itertools.count(2):
        yield from [f"{letter}{number}" for letter in "eabcdfgh"]


def is_comparison(expression: Any) -> bool:
    """Whether an expression is 1 or 0 by a comparison."""
    return isinstance(expression, Expression) and expression.name in COMPARISONS


def _parts(rule: Expression) -> list[tuple[Expression, int]]:
    """The parts of a rule, itself the last, each after its own parts, and how often each is used."""
    counts: dict[int, int] = {}
    order: list[Expression] = []

    def visit(expression: Any) -> None:
        if isinstance(expression, Expression) and expression.name != "slot":
            counts[id(expression)] = counts.get(id(expression), 0) + 1
            if counts[id(expression)] == 1:
                for argument in expression.arguments:
                    visit(argument)
                order.append(expression)

    visit(rule)
    return [(expression, counts[id(expression)]) for expression in order]


def used_again(rule: Expression) -> list[Expression]:
    """The parts of a rule that it uses several times, each after its own parts."""
    return [expression for expression, uses in _parts(rule) if uses > 1]


def map_expression(array: ir.Map | ir.Sum) -> Expression:
    """The formula of a Map or a Sum over its operands, constants of one value written in."""
    operands: list[Any] = []
    for i, x in enumerate(array.operands):
        if isinstance(x, ir.Constant) and x.size == 1 and len(array.operands) > 1:
            operands.append(float(x.values.flat[0]))
        else:
            operands.append(Expression("slot", i))
    if isinstance(array, ir.Map):
        made = value_of(array.operation, operands, array.constants)
        if isinstance(made, Expression) and not _has_shape(made, array):
            # one of constants was chosen from, and not taken: it still tells how many elements there are
            operands = [Expression("slot", i) for i in range(len(array.operands))]
            made = value_of(array.operation, operands, array.constants)
        return made if isinstance(made, Expression) else Expression("number", made)
    total: Any = None
    # a positive term first reads better
    terms = sorted(zip(array.signs, operands, strict=True), key=lambda term: term[0] < 0)
    for sign, operand in terms:
        if not isinstance(operand, Expression):
            operand *= sign
            sign = 1.0 if total is None or not operand < 0 else -1.0
            operand *= sign
        if total is None:
            total = operand * sign if isinstance(operand, Expression) else operand
        elif sign < 0:
            total = Expression("-", total, operand * -sign if isinstance(operand, Expression) else operand)
        else:
            total = Expression("+", total, operand * sign if isinstance(operand, Expression) else operand)
    return total if isinstance(total, Expression) else Expression("number", total)


def _has_shape(expression: Expression, array: ir.Map) -> bool:
    """Whether the operands that an expression uses tell the shape of the array."""
    used = [array.operands[i] for i in used_slots(expression)]
    if len(used) == len(array.operands):
        return True
    shape = np.broadcast_shapes(*[x.shape for x in used])
    return shape == array.shape and any(x.batched for x in used) == array.batched


def expression_of(array: ir.Map | ir.Sum | ir.Elementwise) -> Any:
    """The formula of an array over the elements of its operands."""
    return array.expression if isinstance(array, ir.Elementwise) else map_expression(array)


def total_expression(total: ir.Total) -> Any:
    """The formula of the mean cost over the sums that its terms stand for: slot i for that of term i."""
    found: Any = None
    for i, term in enumerate(total.terms):
        first_and_negative = found is None and term.coefficient < 0
        size = term.coefficient if first_and_negative else abs(term.coefficient)
        scaled = Expression("slot", i)
        if size == -1.0:
            scaled = Expression("neg", scaled)
        elif size != 1.0:
            scaled = Expression("*", size, scaled)
        for _ in range(abs(term.samples)):
            scaled = Expression("/" if term.samples < 0 else "*", scaled, Expression("m"))
        found = scaled if found is None else Expression("-" if term.coefficient < 0 else "+", found, scaled)
    return found


def operands_in_text(array: ir.Array) -> list[ir.Array]:
    """The operands that an array's text holds, in order: an expression need not use them all."""
    if isinstance(array, ir.Map | ir.Sum | ir.Elementwise):
        used = used_slots(expression_of(array))
        return [x for i, x in enumerate(array.operands) if i in used]
    return list(array.operands)


def occurrences(array: ir.Array, operand: ir.Array) -> int:
    """How often the text of an operand stands in the text of an array; in a loop it is used again."""
    if isinstance(array, ir.Loop):
        again = any(operand is x for x in (*array.sequences, *array.invariants))
        return 2 if again else 1
    if isinstance(array, ir.Map | ir.Sum | ir.Elementwise):
        expression = expression_of(array)
        mine = [i for i, x in enumerate(array.operands) if x is operand]
        return max(1, sum(_count(expression, i) for i in mine)) if mine else 0
    return 1


def _count(expression: Any, slot: int) -> int:
    if not isinstance(expression, Expression):
        return 0
    if expression.name == "slot":
        return int(expression.arguments[0] == slot)
    return sum(_count(argument, slot) for argument in expression.arguments)


# ------------------------------------------------------------------------------------------------ programs


class Printer:
    """Writes the arrays of one program, operands first: what is short and used once where it is used.

    For each kind of array there is a method with the name of its class in small letters. It gives the array's
    text; or None where it has written all that is needed itself, and has set ``texts``.

    Attributes:
        texts: how each array that is written already is referred to.
        uses: how often each array stands in the text of others.
        taken: names that a variable cannot have any more.
    """

    inline = True  # whether short texts are written where they are used

    def __init__(self, program: ir.Program, formulas: Formulas, reserved: Iterable[str] = ()) -> None:
        self.program = program
        self.formulas = formulas
        self.names = program.names
        self.texts: dict[ir.Array, Text] = {}
        self.taken = {*reserved, *[self.names[x] for x in program.inputs]}
        self.uses: dict[ir.Array, int] = {}
        self._next: dict[str, int] = {}  # the number to try next, by prefix
        for array in program.arrays:
            for x in array.operands:
                self.uses[x] = self.uses.get(x, 0) + occurrences(array, x)
        for result in program.results:
            self.uses[result] = self.uses.get(result, 0) + 1

    def write_all(self) -> None:
        """Write every array."""
        for array in self.program.arrays:
            self.write(array)

    def write(self, array: ir.Array) -> None:
        """Write an array, as a statement or, later on, where it is used."""
        text = self.method(array)(array)
        if text is None:
            return
        if array in self.names or not self.is_written_where_used(array, text):
            self.assign(array, text.text)
        else:
            self.texts[array] = text

    def method(self, array: ir.Array) -> Callable[[Any], Text | None]:
        """The method for an array's kind. Raises NotImplementedError where the language has none."""
        method = ir.method_for(array, self)
        if method is None:
            raise NotImplementedError(f"{type(self).__name__} has no method to write {type(array).__name__}")
        return method

    def map(self, array: ir.Map | ir.Sum) -> Text | None:
        """One operation on each element."""
        return self.elementwise(array)

    def sum(self, array: ir.Sum) -> Text | None:
        """Elements added up and subtracted."""
        return self.map(array)

    def elementwise(self, array: ir.Map | ir.Sum | ir.Elementwise) -> Text | None:
        """What computes each element by a formula."""
        return self.formulas.write(expression_of(array), [self.texts[x] for x in array.operands])

    def is_written_where_used(self, array: ir.Array, text: Text) -> bool:
        """Whether an array needs no variable of its own."""
        inline = self.inline or isinstance(array, ir.View | ir.Reshape | ir.Fill)
        return inline and len(text.text) <= _LONGEST and self.uses.get(array, 0) <= 1

    def assign(self, array: ir.Array, text: str) -> None:
        """Write a statement that gives an array a name, and refer to it by that."""
        raise NotImplementedError

    def of(self, array: ir.Array, least: int = ATOM) -> str:
        """The text of an array that is written already, in parentheses where they are needed."""
        return self.formulas.wrap(self.texts[array], least)

    def name_for(self, array: ir.Array) -> str:
        """A variable's name that is not taken: the array's own, or t1, t2 …"""
        return self.free_name(self.names.get(array, ""))

    def free_name(self, name: str) -> str:
        """The name, or one like it that is not taken; t1, t2 … for "". It is taken from now on."""
        if not name or name in self.taken:
            prefix = f"{name}_" if name else "t"
            k = self._next.get(prefix, 2 if name else 1)
            while f"{prefix}{k}" in self.taken:
                k += 1
            self._next[prefix] = k + 1
            name = f"{prefix}{k}"
        self.taken.add(name)
        return name

    def output_names(self, loop: ir.Loop) -> list[str]:
        """Free names for the outputs of all steps of a loop, after the results that pick them."""
        results = [x for x in self.program.arrays if isinstance(x, ir.Result) and x.loop is loop]
        wanted = {x.number: self.names.get(x, "") for x in results}
        numbers = range(len(loop.initial), len(loop.body.results))
        return [self.free_name(wanted.get(number, "")) for number in numbers]

    def share_names(self, outer: Printer) -> None:
        """Give no name that the printer of the program around this one gives, or has given."""
        self.taken, self._next = outer.taken, outer._next
