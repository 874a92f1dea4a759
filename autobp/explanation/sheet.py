"""A sheet of paper: a graph whose nodes get names, and the formulas that are written with these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from autobp.engine import BY_HAND
from autobp.explanation.equations import same
from autobp.explanation.formula import Formula, Number, Symbol, add, formula, multiply
from autobp.explanation.names import derivative_of, label_name
from autobp.explanation.notation import Name
from autobp.explanation.rules import FORMULAS, apply
from autobp.ops import ADD
from autobp.reading.adjoints import Differentiated
from autobp.reading.graph import Graph

LARGEST_REGION: Final = 80  # operations between two named quantities whose derivative is one formula


class Sheet(Differentiated):
    """A graph with its derivatives and with names for its nodes.

    Attributes:
        names: what nodes are called in formulas, by number.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.names: dict[int, Formula] = {}

    def symbol(self, number: int, name: Name) -> Symbol:
        """A node under a name."""
        return Symbol(*name, self.graph.values[number], ("node", self.graph.nodes[number]))

    def by(self, top: int, bottom: int, names: tuple[Formula, Formula], value: float) -> Symbol:
        """∂top/∂bottom as a symbol, written with two names."""
        nodes = self.graph.nodes
        return derivative_of(*names, value, ("total", nodes[top], nodes[bottom]))

    def dependent(self, bottom: int) -> list[bool]:
        """Which nodes depend on one, itself included."""
        depends = [False] * len(self.graph)
        depends[bottom] = True
        for i in range(bottom + 1, len(self.graph)):
            depends[i] = any(depends[parent] for parent in self.graph.parents[i])
        return depends

    # ------------------------------------------------------------------------------------------ formulas

    def inline(self, number: int, most: int = LARGEST_REGION) -> Formula | None:
        """A node as a formula of named nodes and leaves; None where more than ``most`` operations make it."""
        found = self.inline_all([number], most)
        return None if found is None else found[number]

    def inline_all(self, numbers: Iterable[int], most: int = LARGEST_REGION) -> dict[int, Formula] | None:
        """Each of several nodes as :meth:`inline` gives it; None where together they are too large."""
        graph = self.graph
        cone: set[int] = set()
        stack = list(numbers)
        wanted = list(stack)
        while stack:
            i = stack.pop()
            if i in cone or i in self.names:
                continue
            cone.add(i)
            if len(cone) > most or graph.operations[i] is BY_HAND:
                return None
            stack.extend(graph.parents[i])
        made: dict[int, Formula] = {}
        for i in sorted(cone):
            operation = graph.operations[i]
            if operation is None:
                made[i] = self.leaf(i)
            else:
                operands = [self.names[p] if p in self.names else made[p] for p in graph.parents[i]]
                made[i] = apply(operation, operands, graph.constants[i])
        return {i: self.names[i] if i in self.names else made[i] for i in wanted}

    def written(self, number: int, most: int = LARGEST_REGION) -> Formula | None:
        """A computed node as its operation on its operands; None where they are too large, or it has none."""
        graph = self.graph
        operation, operands = graph.operations[number], self.inline_all(graph.parents[number], most)
        if operation is None or operation is BY_HAND or operands is None:
            return None
        return apply(operation, [operands[p] for p in graph.parents[number]], graph.constants[number])

    def leaf(self, number: int) -> Formula:
        """A leaf without a name of its own: its label, or its number."""
        label = self.graph.label(number)
        return self.symbol(number, label_name(label)) if label else Number(self.graph.values[number])

    # --------------------------------------------------------------------------------------- derivatives

    def local(self, consumer: int, parent: int) -> Formula:
        """∂consumer/∂parent, one application of the consumer's rule, as a formula of its operands."""
        parents = self.graph.parents[consumer]
        true = self.partial(consumer, parent)
        operands = self.inline_all(parents, 12)
        own = self.names[consumer] if consumer in self.names else self.inline(consumer, 12)
        if operands is None or own is None:
            return Number(true)
        result = self._rule(consumer, own, [operands[p] for p in parents])
        if result is None:
            return Number(true)
        derived = add(*[d for q, d in zip(parents, result, strict=True) if q == parent])
        return derived if same(derived.value, true) else Number(true)

    def derivative(self, top: int, bottom: int) -> Formula | None:
        """∂top/∂bottom as one formula of named quantities; None where it would be too large.

        Reverse accumulation from top, over formulas, through the nodes between the two.
        """
        if top == bottom:
            return Number(1.0)
        region = self._region(top, bottom)
        if top not in region:
            return Number(0.0)
        terms: dict[int, list[Formula]] = {top: [Number(1.0)]}
        work = 0
        for i in sorted(region, reverse=True):
            if i == bottom or i not in terms:
                continue
            above = add(*reversed(terms.pop(i)))  # in the order in which the consumers were computed
            parents = self.graph.parents[i]
            partials: Sequence[Formula] | None
            if self.graph.operations[i] is ADD:
                partials = (Number(1.0), Number(1.0))
            else:
                work += 1
                operands = self.inline_all([i, *parents])
                if work > LARGEST_REGION or operands is None:
                    return None
                partials = self._rule(i, operands[i], [operands[p] for p in parents])
            if partials is None:
                return None
            for p, partial in zip(parents, partials, strict=True):
                if p in region:
                    terms.setdefault(p, []).append(multiply(above, partial))
        return add(*reversed(terms.get(bottom, [Number(0.0)])))

    def direct(self, top: int, bottom: int) -> Formula:
        """∂top/∂bottom through nodes without names alone: a formula where there is one, else its number."""
        numbers = {top: 1.0}
        terms: dict[int, list[Formula]] | None = {top: [Number(1.0)]}
        for i in sorted(self._between(top, bottom), reverse=True):
            parents = self.graph.parents[i]
            partials: Sequence[Formula] | None = None
            operands = self.inline_all([i, *parents])
            if operands is not None:
                partials = self._rule(i, operands[i], [operands[p] for p in parents])
            if partials is None:
                terms = None
            above = None if terms is None else add(*reversed(terms.pop(i)))
            for slot, p in enumerate(parents):
                numbers[p] = numbers.get(p, 0.0) + self.partials[i][slot] * numbers[i]
                if terms is not None and partials is not None and above is not None:
                    terms.setdefault(p, []).append(multiply(above, partials[slot]))
        true = numbers.get(bottom, 0.0)
        found = None if terms is None else add(*reversed(terms.get(bottom, [Number(0.0)])))
        return found if found is not None and same(found.value, true) else Number(true)

    def _between(self, top: int, bottom: int) -> set[int]:
        """The nodes without names that are computed from bottom and that top is computed from, and top."""
        below = {top}
        stack = [top]
        while stack:
            for parent in self.graph.parents[stack.pop()]:
                if parent > bottom and parent not in below and parent not in self.names:
                    below.add(parent)
                    stack.append(parent)
        found: set[int] = set()
        for i in sorted(below):
            if any(parent == bottom or parent in found for parent in self.graph.parents[i]):
                found.add(i)
        return found

    def _region(self, top: int, bottom: int) -> set[int]:
        """The nodes up to top that depend on bottom, itself included."""
        region = {bottom}
        stack = [bottom]
        while stack:
            for consumer in self.graph.consumers[stack.pop()]:
                if consumer <= top and consumer not in region:
                    region.add(consumer)
                    stack.append(consumer)
        return region

    def _rule(self, number: int, y: Formula, operands: Sequence[Formula]) -> list[Formula] | None:
        """The operation's partials on formulas; None where its rule does not run on them."""
        operation = self.graph.operations[number]
        if operation is None or operation is BY_HAND:
            return None
        try:
            partials = operation.partials(FORMULAS, y, *operands, *self.graph.constants[number])
            return [formula(d) for d in partials]
        except (TypeError, ValueError, AttributeError, ArithmeticError):
            return None  # somebody's own operation, whose rule wants numbers
