"""Bring a scalar graph into one form, however it was written.

Chains of additions become sums with any number of terms, a product that is used once inside one sum becomes
a term of it, what depends on constants only becomes a constant, ``a * b**-1`` a division. Logarithms of
sigmoid and softmax outputs are taken apart by log σ(z) = -softplus(-z), log(e**u / s) = u - log s, so that
the derivative of a cross-entropy comes out as a - y, and neither 0·∞ nor 0/0 occurs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autobp.compiler.sums import (
    ADDED,
    BOTH_SIGNS,
    FIRST_KIND,
    NO_PRODUCT,
    NOTHING,
    PRODUCT,
    SUBTRACTED,
    has_both_signs,
    has_several_kinds,
    negated,
    runs_of_sums,
    signature,
)
from autobp.ops import (
    ADD,
    CONSTANT_POWER,
    DIVIDE,
    EXP,
    LOG,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATIVE,
    SIGMOID,
    SOFTPLUS,
    STOP_GRADIENT,
    SUBTRACT,
    TABLE,
    XLOGY,
    Operation,
)
from autobp.reading.graph import CONSTANT, PARAMETER, Graph

#: What a canonical node is.
LEAF, MAP, SUM, EXTREMUM = range(4)

#: A term of a sum: its sign, and one operand (the other is then -1) or two that are multiplied.
Term = tuple[int, int, int]

#: What an operand adds to a sum: terms, a constant, what is among the terms, and whether it is sticky.
Addend = tuple[list[Term], float, int, bool]

#: Operations through which no derivative flows.
FLAT = {TABLE[name] for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")} | {
    STOP_GRADIENT
}
_MANY = 2  # uses of a node that no sum takes up
_FEW = 8  # terms among which complementary ones are looked for


@dataclass(frozen=True, eq=False, repr=False)
class Canonical:
    """A graph in canonical form. Nodes keep their numbers; new ones come after them.

    Attributes:
        order: the nodes, constants left out, operands first.
        kinds: LEAF, MAP, SUM or EXTREMUM.
        operations, operands, constants: of a MAP; of an EXTREMUM, maximum or minimum and its operands.
        terms, offsets: of a SUM, Σ ± a·b + offset.
        fixed: the nodes that depend on no parameter and no input, with their values.
        roles, positions: of a LEAF, as the graph has them.
        outputs: the results.
    """

    order: Sequence[int]
    kinds: Sequence[int]
    operations: Sequence[Operation | None]
    operands: Sequence[Sequence[int]]
    constants: Sequence[tuple[float, ...]]
    terms: Mapping[int, Sequence[Term]]
    offsets: Mapping[int, float]
    fixed: Mapping[int, float]
    roles: Sequence[int]
    positions: Sequence[int]
    outputs: Sequence[int]

    def __str__(self) -> str:
        """A line for each node: ``n7 = + n0·n4 + n1·n5 + 0.5``, ``n8 = tanh(n7)``."""
        lines = [f"n{node} = {self._text(node)}" for node in self.order]
        return "\n".join([*lines, f"return {', '.join(map(self._name, self.outputs))}"])

    def _text(self, node: int) -> str:
        kind = self.kinds[node]
        if kind == LEAF:
            role, position = self.roles[node], self.positions[node]
            return f"theta[{position}]" if role == PARAMETER else f"argument {role}[{position}]"
        if kind == SUM:
            terms = []
            for sign, a, b in self.terms[node]:
                product = f"{self._name(a)}·{self._name(b)}" if b >= 0 else self._name(a)
                terms.append(f"{'+' if sign > 0 else '-'} {product}")
            if self.offsets[node]:
                terms.append(f"+ {self.offsets[node]!r}")
            return " ".join(terms)
        operation = self.operations[node]
        assert operation is not None
        inner = [*map(self._name, self.operands[node]), *map(repr, self.constants[node])]
        return f"{operation.name}({', '.join(inner)})"

    def _name(self, node: int) -> str:
        return repr(self.fixed[node]) if node in self.fixed else f"n{node}"


def canonicalise(graph: Graph) -> Canonical:
    """The canonical form of a graph."""
    builder = _Builder(graph)
    builder.convert_all()
    return Canonical(
        builder.used(),
        builder.kinds,
        builder.operations,
        builder.operands,
        builder.constants,
        builder.terms,
        builder.offsets,
        builder.fixed,
        graph.roles,
        graph.positions,
        graph.outputs,
    )


class _Builder:
    """A canonical form in the making: what it will consist of, and what is known of its nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        n = len(graph.parents)
        self.order: list[int] = []
        self.kinds: list[int] = [LEAF] * n
        self.operations: list[Operation | None] = list(graph.operations)
        self.operands: list[tuple[int, ...] | list[int]] = list(graph.parents)
        self.constants: list[tuple[float, ...]] = list(graph.constants)
        self.terms: dict[int, list[Term]] = {}
        self.offsets: dict[int, float] = {}
        self.fixed: dict[int, float] = {}
        self.uses = [0] * n
        self.varies = [False] * n
        self.held = [True] * n  # no derivative flows through the node towards an output
        self.sticky: set[int] = set()  # sums that a sum they are a term of takes up whole
        self.contents: dict[int, int] = {}  # what is among the terms of sums
        self.flags: dict[Any, int] = {}  # of kinds of numbers without rounding errors
        self.runs: set[int] = set()  # sums that go on in the sum that they are an operand of
        self.softplus_of: dict[int, int] = {}
        self.negative_of: dict[int, int] = {}
        self.log_of: dict[int, int] = {}
        self.complement_of: dict[int, int] = {}  # c: y where c = 1 - y

    @cached_property
    def finite(self) -> bool:
        """Whether all constants are.

        0·log p is 0 where a logit of -∞ masks p, but 0·(u - log s) is NaN: so y·log p is left whole where
        they are not.
        """
        leaves = zip(self.graph.values, self.graph.operations, self.graph.roles, strict=True)
        return all(math.isfinite(x) for x, op, role in leaves if op is None and role == CONSTANT)

    def convert_all(self) -> None:
        """Convert every node that depends on a parameter or an argument."""
        graph = self.graph
        self._count_uses()
        self.runs = runs_of_sums(graph, self.uses)
        for node, op in enumerate(graph.operations):
            if not self.varies[node]:
                self.fixed[node] = graph.values[node]
            elif op is None:
                self.order.append(node)
            else:
                self._convert(node, op)

    def _count_uses(self) -> None:
        """Find what varies, how often it is used, and whether derivatives flow through it."""
        graph, varies, uses, held = self.graph, self.varies, self.uses, self.held
        for node, parents in enumerate(graph.parents):
            if graph.operations[node] is None:
                varies[node] = graph.roles[node] != CONSTANT
                continue
            for parent in parents:
                if varies[parent]:
                    varies[node] = True
                    break
            if varies[node]:
                for parent in parents:
                    uses[parent] += 1
        for output in graph.outputs:
            uses[output] += 1
            held[output] = False
        for node in range(len(held) - 1, -1, -1):
            if not held[node] and graph.operations[node] not in FLAT:
                for parent in graph.parents[node]:
                    held[parent] = False

    def _convert(self, node: int, op: Operation) -> None:
        operands = self.graph.parents[node]
        if op is ADD:
            self._sum(node, operands[0], 1, operands[1], 1)
        elif op is SUBTRACT:
            self._sum(node, operands[0], 1, operands[1], -1)
            if self.fixed.get(operands[0]) == 1.0:
                self.complement_of[node] = operands[1]
        elif op is NEGATIVE:
            (x,) = operands
            self._set_sum(node, self._addend(x, -1, self.kinds[x] == SUM and self.uses[x] == 1))
        elif op is XLOGY and self.finite and (logarithm := self._logarithm(operands[1])):
            y = operands[0]
            self._set_sum(node, ([(sign, y, x) for sign, x in logarithm], 0.0, BOTH_SIGNS | PRODUCT, True))
        elif op is LOG and (logarithm := self._logarithm(operands[0])):
            self._set_sum(
                node, ([(sign, x, -1) for sign, x in logarithm], 0.0, BOTH_SIGNS | NO_PRODUCT, True)
            )
        elif (op is MAXIMUM or op is MINIMUM) and self.held[node]:
            self._extremum(node, op, operands)
        else:
            if op is MULTIPLY:
                op, operands = self._as_division(operands)
            self.kinds[node] = MAP
            self.operations[node] = op
            self.operands[node] = operands
            self.order.append(node)

    # ---------------------------------------------------------------------------------------------- sums

    def _sum(self, node: int, x: int, sign_x: int, y: int, sign_y: int) -> None:
        kinds, uses = self.kinds, self.uses
        flat_x, flat_y = kinds[x] == SUM and uses[x] == 1, kinds[y] == SUM and uses[y] == 1
        # Two sums that meet: a contraction among them is a quantity of its own (the z of one sample, an
        # output of a convolution) and stays one; so does one that a single number is subtracted from.
        if flat_x and flat_y:
            flat_x, flat_y = not self._is_contraction(x), not self._is_contraction(y)
        elif sign_y == -1:
            if flat_x and not self._is_product(y):
                flat_x = not self._is_contraction(x)
            elif flat_y and not self._is_product(x):
                flat_y = not self._is_contraction(y)
        if flat_x or flat_y:
            flat_x, flat_y = self._as_grouped(x, sign_x, flat_x, y, sign_y, flat_y)
        terms, offset_x, contents_x, sticky_x = self._addend(x, sign_x, flat_x)
        more, offset_y, contents_y, sticky_y = self._addend(y, sign_y, flat_y)
        if len(more) > len(terms):
            terms, more = more, terms
        terms.extend(more)
        sticky = sticky_x or sticky_y
        contents = contents_x | contents_y
        if contents & PRODUCT and len(terms) <= _FEW and self._collect(terms):
            sticky = True
        self._set_sum(node, (terms, offset_x + offset_y, contents, sticky))

    def _as_grouped(
        self, x: int, sign_x: int, flat_x: bool, y: int, sign_y: int, flat_y: bool
    ) -> tuple[bool, bool]:
        """Which of two addends are taken up term by term, of those that may be (flat).

        Terms of one sum are added in any order; what the user grouped stays together. So a sum stays one term

        - on the right, but for a contraction of the same sign;
        - on the left, where terms of both signs would meet (products may: each is rounded anyway), where
          numbers of several kinds without rounding errors would be added in another order, or where a
          constant would join its own.

        A run is one sum, however it is written, and so is a logarithm taken apart.
        """
        group_x, group_y = flat_x and self._is_group(x), flat_y and self._is_group(y)
        if self.fixed.get(x) == 0.0 or self.fixed.get(y) == 0.0:
            return flat_x and not group_x, flat_y and not group_y
        if group_x and group_y and signature(self.graph, x) == signature(self.graph, y):
            return False, False  # alike, and so elements of one array
        if group_x or group_y:
            of_x, of_y = self._contents_of(x, sign_x, flat_x), self._contents_of(y, sign_y, flat_y)
            if group_y and (has_both_signs(of_x | of_y) or of_y & NO_PRODUCT):
                flat_y = False
                of_y = self._contents_of(y, sign_y, flat_y)
            both = of_x | of_y
            reordered = has_several_kinds(both) and y not in self.fixed  # a constant comes last in any case
            if group_x and (reordered or (has_both_signs(both) and both & NO_PRODUCT)):
                return False, flat_y
        constants = self._constant(x, flat_x) and self._constant(y, flat_y)
        if constants and x not in self.runs and y not in self.runs:
            return False, False
        return flat_x, flat_y

    def _is_group(self, x: int) -> bool:
        """Whether a sum has several terms, and is neither a run nor a logarithm taken apart."""
        if x in self.sticky or x in self.runs:
            return False
        return len(self.terms[x]) > 1 or self.offsets[x] != 0.0

    def _constant(self, x: int, flat: bool) -> float:
        """The constant that x brings into a sum."""
        return self.offsets[x] if flat else self.fixed.get(x, 0.0)

    def _contents_of(self, x: int, sign: int, flat: bool) -> int:
        """What x brings into a sum, term by term or as one term; 0 brings nothing."""
        if flat:
            return self.contents[x] if sign > 0 else negated(self.contents[x])
        if x in self.fixed:
            value = sign * self.fixed[x]
            signs = ADDED if value > 0.0 else SUBTRACTED
            return NOTHING if value == 0.0 else signs | NO_PRODUCT | self._flag(CONSTANT)
        found = ADDED if sign > 0 else SUBTRACTED
        kind, op = self.kinds[x], self.operations[x]
        if kind == MAP and op is MULTIPLY and self.uses[x] == 1:
            return found | PRODUCT
        if kind == LEAF:
            found |= self._flag(self.graph.roles[x])
        elif kind == MAP and op is not None and op.selects:
            found |= self._flag(op)
        return found | NO_PRODUCT

    def _flag(self, kind: Any) -> int:
        """The flag of a kind of exact numbers: of leaves by their role, of choices by their operation."""
        if kind not in self.flags:
            self.flags[kind] = FIRST_KIND << len(self.flags)
        return self.flags[kind]

    def _is_contraction(self, x: int) -> bool:
        return self.contents[x] & PRODUCT != 0 and x not in self.sticky

    def _is_product(self, x: int) -> bool:
        return self.kinds[x] == MAP and self.operations[x] is MULTIPLY and self.uses[x] == 1

    def _addend(self, x: int, sign: int, flat: bool) -> Addend:
        """What x adds to a sum. A sum that is taken up term by term gives its terms away."""
        contents = self._contents_of(x, sign, flat)
        if not flat and not contents & PRODUCT and x not in self.fixed:  # as most are
            return [(sign, x, -1)], 0.0, contents, False
        if x in self.fixed:
            return [], sign * self.fixed[x], contents, False
        if flat:
            terms = self.terms.pop(x)
            if sign < 0:
                terms = [(-s, a, b) for s, a, b in terms]
            return terms, sign * self.offsets[x], contents, x in self.sticky
        a, b = self.operands[x]
        for y, log in ((a, b), (b, a)):
            if log in self.sticky and self.uses[log] == 1 and not self.contents[log] & PRODUCT:
                # y (u - v), a logarithm taken apart: multiply out, so that it meets its complement
                terms = [(sign * s, y, u) for s, u, _ in self.terms[log]]
                if self.offsets[log] == 0.0:
                    return terms, 0.0, contents, True
        return [(sign, a, b)], 0.0, contents, False

    def _set_sum(self, node: int, addend: Addend) -> None:
        self.kinds[node] = SUM
        self.terms[node], self.offsets[node], self.contents[node], sticky = addend
        if sticky:
            self.sticky.add(node)
        self.order.append(node)

    def _collect(self, terms: list[Term]) -> bool:
        """y·s + (1 - y)·s = s, and y·softplus(-z) + (1 - y)·softplus(z) = softplus(z) - y·z, in place."""
        operations = self.operations
        if sum([b >= 0 and SOFTPLUS in (operations[a], operations[b]) for _, a, b in terms]) < 2:
            return False
        for i, (sign, a, b) in enumerate(terms):
            if b < 0:
                continue
            for c, s in ((a, b), (b, a)):
                for j, (other_sign, d, e) in enumerate(terms):
                    if e < 0 or i == j or other_sign != sign:
                        continue
                    for y, t in ((d, e), (e, d)):
                        if not self._complementary(c, y):
                            continue
                        z = self._negated_argument(t, s)
                        if (t == s and operations[s] is SOFTPLUS) or z is not None:
                            kept = [term for k, term in enumerate(terms) if k not in (i, j)]
                            kept.append((sign, s, -1))
                            if z is not None:
                                kept.append((-sign, y, z))
                            terms[:] = kept
                            return True
        return False

    def _complementary(self, c: int, y: int) -> bool:
        fixed = self.fixed
        if c in fixed and y in fixed:
            return fixed[c] == 1.0 - fixed[y]
        return self.complement_of.get(c) == y

    def _negated_argument(self, t: int, s: int) -> int | None:
        """z where t is softplus(-z) and s is softplus(z)."""
        if not (self.operations[t] is SOFTPLUS and self.operations[s] is SOFTPLUS):
            return None
        (z,), (negated,) = self.operands[s], self.operands[t]
        if self.kinds[negated] == SUM and self.terms.get(negated) == [(-1, z, -1)]:
            return z if self.offsets[negated] == 0.0 else None
        return None

    # ---------------------------------------------------------------------------------------- logarithms

    def _logarithm(self, a: int) -> list[tuple[int, int]]:
        """log a as signed summands where a is a sigmoid, its complement, or a softmax; else nothing."""
        if self.kinds[a] == MAP:
            if self.operations[a] is SIGMOID:
                (z,) = self.operands[a]
                return [(-1, self._once(self.softplus_of, SOFTPLUS, self._negated(z)))]
            if self.operations[a] is DIVIDE:
                e, total = self.operands[a]
                if self.operations[e] is EXP and e not in self.fixed and total not in self.fixed:
                    (u,) = self.operands[e]
                    return [(1, u), (-1, self._once(self.log_of, LOG, total))]
        elif self.kinds[a] == SUM and self.offsets[a] == 1.0 and len(self.terms.get(a, ())) == 1:
            ((sign, x, y),) = self.terms[a]
            if sign == -1 and y == -1 and self.operations[x] is SIGMOID:
                (z,) = self.operands[x]
                return [(-1, self._once(self.softplus_of, SOFTPLUS, z))]
        return []

    def _once(self, known: dict[int, int], op: Operation, x: int) -> int:
        """The node op(x), made the first time."""
        if x not in known:
            known[x] = self._new(op, (x,))
            self.order.append(known[x])
        return known[x]

    def _negated(self, x: int) -> int:
        """The node -x, made the first time."""
        if x not in self.negative_of:
            node = self.negative_of[x] = self._new(None, ())
            self._set_sum(node, ([(-1, x, -1)], 0.0, SUBTRACTED | NO_PRODUCT, False))
        return self.negative_of[x]

    def _new(self, op: Operation | None, operands: tuple[int, ...]) -> int:
        """A node that the graph does not have."""
        self.kinds.append(MAP)
        self.operations.append(op)
        self.operands.append(operands)
        self.constants.append(())
        self.uses.append(_MANY)
        return len(self.kinds) - 1

    # -------------------------------------------------------------------------------------------- others

    def _extremum(self, node: int, op: Operation, operands: tuple[int, ...]) -> None:
        members: list[int] = []
        for x in operands:
            if (
                self.kinds[x] == EXTREMUM and self.operations[x] is op and self.uses[x] == 1
            ):  # fmt: skip
                inner = self.operands[x]
                assert isinstance(inner, list)
                self.operands[x] = ()
                longer, shorter = (inner, members) if len(inner) >= len(members) else (members, inner)
                longer.extend(shorter)
                members = longer
            else:
                members.append(x)
        self.kinds[node] = EXTREMUM
        self.operands[node] = members
        self.order.append(node)

    def _as_division(self, operands: tuple[int, ...]) -> tuple[Operation, tuple[int, ...]]:
        for a, b in (operands, operands[::-1]):
            if (
                self.operations[b] is CONSTANT_POWER
                and self.constants[b] == (-1.0,)
                and b not in self.fixed
                and self.uses[b] == 1
            ):
                return DIVIDE, (a, self.operands[b][0])
        return MULTIPLY, operands

    # ------------------------------------------------------------------------------------------- the result

    def used(self) -> list[int]:
        """The nodes that the outputs depend on, in order."""
        used = bytearray(len(self.kinds))
        for output in self.graph.outputs:
            used[output] = 1
        for node in reversed(self.order):
            if used[node]:
                if self.kinds[node] == SUM:
                    for _, a, b in self.terms[node]:
                        used[a] = 1
                        if b >= 0:
                            used[b] = 1
                else:
                    for x in self.operands[node]:
                        used[x] = 1
        return [node for node in self.order if used[node]]
