"""What derivations are made of: a graph by positions, names for its nodes, and the lines of a derivation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, overload

from autobp.by_hand import BY_HAND, HandMade
from autobp.engine import Value, topological_order
from autobp.explanation.formula import (
    FORMULAS,
    Formula,
    Number,
    Style,
    Sum,
    Symbol,
    add,
    apply,
    formula,
    multiply,
)
from autobp.explanation.notation import Name
from autobp.ops import ADD

LARGEST_REGION: Final = 80  # operations between two named quantities whose derivative is one formula


@dataclass(frozen=True)
class Step:
    """One line of a derivation: several ways of writing one quantity, each equal to the one before.

    Attributes:
        left: the quantity.
        right: (formula, whether it is written with numbers), in order.
        value: the number that all of them have.
        number_shown: whether the printed step ends in that number.
    """

    left: Formula
    right: tuple[tuple[Formula, bool], ...]
    value: float
    number_shown: bool = True

    def lines(self, style: Style) -> list[list[str]]:
        """The left side, then each right side that differs from the one before it, then the number.

        Each is in pieces between which a long line may be broken.
        """
        written = [self.left.parts(style)]
        for part, numbers in self.right:
            written.append(part.parts(replace(style, numbers=numbers)))
        result = [style.number(self.value)]
        if self.number_shown and written[-1] != result:
            if self.right and self.right[-1][1]:
                written[-1][-1] += f" = {result[0]}"
            else:
                written.append(result)
        return [line for i, line in enumerate(written) if i == 0 or line != written[i - 1]]


class Steps(Sequence[Step]):
    """Steps that are made when they are asked for: of a hundred thousand only a few are printed."""

    def __init__(self, n: int, make: Callable[[int], Step]) -> None:
        self._n = n
        self._make = make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._n))]
        return self._make(range(self._n)[index])


@dataclass(frozen=True)
class Section:
    """Steps that belong together.

    Attributes:
        title: what they are, in text.
        latex_title: the same with mathematics between dollar signs.
        steps: the lines. Where there are many, only the first and the last are printed.
    """

    title: str
    latex_title: str
    steps: Sequence[Step]


# ------------------------------------------------------------------------------------------------ the graph


class Graph:
    """A Value's graph by positions in topological order, parents first, with its adjoints.

    Attributes:
        order: the nodes; the last is the root.
        index: id of a node to its position.
        parents, consumers: positions; a parent once for each use, a consumer once.
        partials: local derivatives, one for each of ``parents``.
        adjoint: ∂root/∂node, the numbers that backward() would put into grad.
        names: what nodes are called in formulas, by position.
    """

    def __init__(self, root: Value) -> None:
        self.order = topological_order(root)
        self.index = {id(node): i for i, node in enumerate(self.order)}
        self.parents: list[list[int]] = []
        self.partials: list[tuple[float, ...]] = []
        self.consumers: list[list[int]] = [[] for _ in self.order]
        for i, node in enumerate(self.order):
            parents = [self.index[id(parent)] for parent in node.parents]
            self.parents.append(parents)
            self.partials.append(_local_derivatives(node))
            for parent in dict.fromkeys(parents):
                self.consumers[parent].append(i)
        self.adjoint = [0.0] * len(self.order)
        self.adjoint[-1] = 1.0
        for i in range(len(self.order) - 1, -1, -1):
            for parent, partial in zip(self.parents[i], self.partials[i], strict=True):
                self.adjoint[parent] += partial * self.adjoint[i]
        self.names: dict[int, Formula] = {}

    @property
    def root(self) -> int:
        return len(self.order) - 1

    def dependent(self, bottom: int) -> list[bool]:
        """Which nodes depend on one, itself included."""
        depends = [False] * len(self.order)
        depends[bottom] = True
        for i in range(bottom + 1, len(self.order)):
            depends[i] = any(depends[parent] for parent in self.parents[i])
        return depends

    def inline(self, position: int, most: int = LARGEST_REGION) -> Formula | None:
        """A node as a formula of named nodes and leaves; None where more than ``most`` operations make it."""
        found = self.inline_all([position], most)
        return None if found is None else found[position]

    def inline_all(self, positions: Iterable[int], most: int = LARGEST_REGION) -> dict[int, Formula] | None:
        """Each of several nodes as :meth:`inline` gives it; None where together they are too large."""
        cone: set[int] = set()
        stack = list(positions)
        wanted = list(stack)
        while stack:
            i = stack.pop()
            if i in cone or i in self.names:
                continue
            cone.add(i)
            if len(cone) > most:
                return None
            if self.order[i].operation is BY_HAND:
                return None
            stack.extend(self.parents[i])
        made: dict[int, Formula] = {}
        for i in sorted(cone):
            node = self.order[i]
            if node.operation is None:
                made[i] = self.leaf(i)
            else:
                operands = [self.names[p] if p in self.names else made[p] for p in self.parents[i]]
                made[i] = apply(node.operation, operands, node.constants)
        return {i: self.names[i] if i in self.names else made[i] for i in wanted}

    def leaf(self, position: int) -> Formula:
        """A leaf without a name of its own: its label, or its number."""
        node = self.order[position]
        if not node.label:
            return Number(node._data)
        text, latex = label_name(node.label)
        return Symbol(text, latex, node._data, ("node", node))

    def local(self, consumer: int, parent: int) -> Formula:
        """∂consumer/∂parent, one application of the consumer's rule, as a formula of its operands."""
        node = self.order[consumer]
        true = total(
            p for q, p in zip(self.parents[consumer], self.partials[consumer], strict=True) if q == parent
        )
        operands = self.inline_all(self.parents[consumer], 12)
        own = self.names[consumer] if consumer in self.names else self.inline(consumer, 12)
        if node.operation is None or node.operation is BY_HAND or operands is None or own is None:
            return Number(true)
        result = _rule(node, own, [operands[p] for p in self.parents[consumer]])
        if result is None:
            return Number(true)
        derived = add(*[d for q, d in zip(self.parents[consumer], result, strict=True) if q == parent])
        return derived if same(derived.value, true) else Number(true)

    def derivative(self, top: int, bottom: int) -> Formula | None:
        """∂top/∂bottom as one formula of named quantities; None where it would be too large.

        Reverse accumulation from top, over formulas, through the nodes between the two.
        """
        if top == bottom:
            return Number(1.0)
        region = {bottom}
        stack = [bottom]
        while stack:
            for consumer in self.consumers[stack.pop()]:
                if consumer <= top and consumer not in region:
                    region.add(consumer)
                    stack.append(consumer)
        if top not in region:
            return Number(0.0)
        terms: dict[int, list[Formula]] = {top: [Number(1.0)]}
        work = 0
        for i in sorted(region, reverse=True):
            if i == bottom or i not in terms:
                continue
            node = self.order[i]
            above = add(*reversed(terms.pop(i)))  # in the order in which the consumers were computed
            towards = [p in region for p in self.parents[i]]
            partials: Sequence[Formula] | None
            if node.operation is ADD:
                partials = (Number(1.0), Number(1.0))
            else:
                work += 1
                operands = self.inline_all([i, *self.parents[i]])
                if work > LARGEST_REGION or node.operation in (None, BY_HAND) or operands is None:
                    return None
                partials = _rule(node, operands[i], [operands[p] for p in self.parents[i]])
            if partials is None:
                return None
            for p, concerned, partial in zip(self.parents[i], towards, partials, strict=True):
                if concerned:
                    terms.setdefault(p, []).append(multiply(above, partial))
        return add(*reversed(terms.get(bottom, [Number(0.0)])))


def _local_derivatives(node: Value) -> tuple[float, ...]:
    """A node's local derivatives; of one made by hand, by calling its _backward, with gradients put back."""
    details = node._details
    by_function = isinstance(details, HandMade) and (details.backward is not None or not details.partials)
    if not by_function:
        return node.partials
    concerned = list(dict.fromkeys([node, *node.parents]))
    before = [n._grad for n in concerned]
    try:
        for n in concerned:
            n._grad = 0.0
        node._grad = 1.0
        node._propagate()
        unseen = {id(parent): parent._grad for parent in node.parents}
        # a parent that is used twice has its whole derivative at its first use
        return tuple([unseen.pop(id(parent), 0.0) for parent in node.parents])
    finally:
        for n, grad in zip(concerned, before, strict=True):
            n._grad = grad


def _rule(node: Value, y: Formula, operands: Sequence[Formula]) -> list[Formula] | None:
    """The operation's partials on formulas; None where its rule does not run on them."""
    if node.operation is None:
        return None
    try:
        return [formula(d) for d in node.operation.partials(FORMULAS, y, *operands, *node.constants)]
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        return None  # somebody's own operation, whose rule wants numbers


def total(terms: Iterable[float]) -> float:
    total = 0.0
    for term in terms:
        total += term
    return total


def agrees(x: Formula, number: float) -> bool:
    """Whether a formula has that number, but for the rounding of its terms."""
    if same(x.value, number):
        return True
    return math.isfinite(x.value) and abs(x.value - number) <= 1e-9 * x.magnitude


def same(x: float, y: float) -> bool:
    """Equal up to rounding."""
    return x == y or (x != x and y != y) or math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-300)


# ------------------------------------------------------------------------------------------------- names

_INDEXED: Final = re.compile(r"([^\W\d_]+)(\d+)\[(\d+(?:,\s*\d+)*)\]")
_NUMBERED: Final = re.compile(r"([^\W\d_]+)_?(\d+)")
_PLAIN: Final = re.compile(r"[\w\[\],.'^(){}⟨⟩]+")
_ESCAPES: Final = {
    "\\": r"\backslash ",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\wedge ",
    "_": r"\_",
    "%": r"\%",
    "~": r"\sim ",
    "<": r"\lt ",
    ">": r"\gt ",
    " ": r"\ ",
}
_GREEK_LETTERS: Final = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta",
    "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ψ": "psi",
    "ω": "omega", "Θ": "Theta", "Δ": "Delta", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip


def label_name(label: str) -> Name:
    """A label as a name in text and in LaTeX: ``W1[2,3]`` and ``x_1`` become letters with indices."""
    match = _INDEXED.fullmatch(label)
    if match:
        letter, layer, indices = match.groups()
        return label, f"{_letters(letter)}^{{({layer})}}_{{{indices}}}"
    match = _NUMBERED.fullmatch(label)
    if match:
        return label, f"{_letters(match[1])}_{{{match[2]}}}"
    if _PLAIN.fullmatch(label):
        return label, _letters(label)
    shown = label if label.isprintable() else repr(label)[1:-1]
    return f'"{shown}"', _letters(f'"{shown}"')


def _letters(word: str) -> str:
    if word in _GREEK_LETTERS:
        return "\\" + _GREEK_LETTERS[word]
    if word in _GREEK_LETTERS.values():
        return "\\" + word
    escaped = "".join(_ESCAPES.get(character, character) for character in word)
    return word if len(word) == 1 and word.isalnum() else rf"\mathrm{{{escaped}}}"


def derivative_name(top: Name, bottom: Name, held: Sequence[Name] = ()) -> Name:
    text, latex = f"∂{top[0]}/∂{bottom[0]}", rf"\frac{{\partial {top[1]}}}{{\partial {bottom[1]}}}"
    if not held:
        return text, latex
    fixed, latex_fixed = ", ".join(name[0] for name in held), ", ".join(name[1] for name in held)
    return f"({text} at fixed {fixed})", rf"\left.{latex}\right|_{{{latex_fixed}}}"


def name_of(symbol: Formula) -> Name:
    assert isinstance(symbol, Symbol)
    return symbol.text, symbol.latex


def derivative_of(top: Formula, bottom: Formula, value: float, meaning: Any) -> Symbol:
    return Symbol(*derivative_name(name_of(top), name_of(bottom)), value, meaning)


def shortened(steps: Sequence[Step], most: int) -> Iterator[Step | int]:
    """The steps, or the first and the last of them with the number of those between."""
    if len(steps) <= most:
        yield from steps
        return
    yield from steps[: most - 2]
    yield len(steps) - most + 1
    yield steps[-1]


def equal(left: Formula, *right: Formula | tuple[Formula, bool], value: float | None = None) -> Step:
    """A step: each formula in symbols, then the last of them in numbers, then the number.

    A formula that cannot be computed at this graph's numbers is left out: 0/0, say, where an output is 1.
    """
    number = left.value if value is None else value
    parts = [part if isinstance(part, tuple) else (part, False) for part in right]
    parts = [part for part in parts if agrees(part[0], number)]
    if parts and not any(numbers for _, numbers in parts):
        parts.append((parts[-1][0], True))
    return Step(left, tuple(parts), number)


def sum_of(terms: Sequence[Formula], short: Name | None = None) -> Formula:
    """The terms added, each as it stands, with a short form for many."""
    if len(terms) == 1:
        return terms[0]
    return Sum(terms, short)
