"""The derivation through a recurrence: its step, the errors from step to step, the sum over the steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from autobp.explanation.equations import Equation, Equations, Section, equal, sum_of
from autobp.explanation.formula import Formula, Number, Symbol, multiply
from autobp.explanation.names import label_name, name_of
from autobp.explanation.notation import Name
from autobp.explanation.sheet import Sheet
from autobp.explanation.writing import Writing
from autobp.reading.labels import element, superscript
from autobp.recurrences import Recurrence, letters_of

_LONGEST: Final = 8  # operations of a step that are one formula
_MOST: Final = 60  # and all that an equation may have in it
_FARTHEST: Final = 4  # steps from t that are written as t - 4 to t + 4
_WIDE: Final = Writing(longest=1000)


class Steps:
    """A recurrence on a sheet, where what a step computes has names.

    Attributes:
        loop: the recurrence; its steps are counted from 1.
        named: which nodes of a step have a name, in order.
        letters: what these are called, "h".
        place: of nodes with a name, (number in ``named``, step).
    """

    def __init__(self, sheet: Sheet, loop: Recurrence) -> None:
        self.sheet, self.loop = sheet, loop
        self.members = {node for member in loop.body for node in member.nodes.tolist()}
        self.named = _named(sheet, loop)
        self.letters = self._letters()
        self.place: dict[int, tuple[int, int]] = {}
        for i, k in enumerate(self.named):
            for t, node in enumerate(loop.body[k].nodes.tolist(), start=1):
                self.place[node] = i, t
                sheet.names[node] = sheet.symbol(node, in_step(self.letters[i], str(t)))
        self.taken = self._taken()

    def is_named_outside(self, node: int) -> bool:
        """Whether a node has a name that is no step's: the result has, and what is in no step."""
        return node not in self.members or node == self.sheet.graph.root

    def node(self, i: int, t: int) -> int:
        """Node i of those with a name, in step t."""
        return int(self.loop.body[self.named[i]].nodes[t - 1])

    def delta(self, node: int) -> Symbol:
        """∂J/∂node, a δ with the node's name."""
        i, t = self.place[node]
        return self._delta(node, i, str(t))

    def _delta(self, node: int, i: int, t: str) -> Symbol:
        text, latex = self.letters[i]
        graph = self.sheet.graph
        meaning = ("total", graph.nodes[graph.root], graph.nodes[node])
        names = in_step((f"δ_{text}", rf"\delta_{{{latex}}}"), t)
        return Symbol(*names, self.sheet.adjoint[node], meaning)

    @contextmanager
    def at(self, step: int) -> Iterator[dict[int, Symbol]]:
        """Within it, the nodes of this step are those of step t, and their neighbours of t - 1 or t + 1.

        It gives the δ that nodes have there.
        """
        sheet = self.sheet
        before = dict(sheet.names)
        deltas: dict[int, Symbol] = {}
        renamed = set(self.place)
        for shift in sorted(range(-_FARTHEST, _FARTHEST + 1), key=abs):
            if not 1 <= step + shift <= self.loop.steps:
                continue
            t = f"t{shift:+d}" if shift else "t"
            for i in range(len(self.named)):
                node = self.node(i, step + shift)
                sheet.names[node] = sheet.symbol(node, in_step(self.letters[i], t))
                deltas[node] = self._delta(node, i, t)
            for letter, column in self.taken:
                node = column[step + shift - 1]
                if node not in renamed:
                    renamed.add(node)
                    sheet.names[node] = sheet.symbol(node, in_step(letter, t))
        try:
            yield deltas
        finally:
            sheet.names = before

    def _letters(self) -> list[Name]:
        """What each node with a name is called."""
        graph, loop = self.sheet.graph, self.loop
        return [label_name(letter) for letter in letters_of(graph, loop, self.named, self.carried)]

    @property
    def carried(self) -> set[int]:
        """The nodes of a step that stand for its states."""
        return set(_states(self.sheet, self.loop))

    def _taken(self) -> list[tuple[Name, Sequence[int]]]:
        """What each step takes of its own, by the letter that stands for it."""
        graph = self.sheet.graph
        used = {element(label).array for label in graph.labels.values()} | {x[0] for x in self.letters}
        columns: dict[bytes, Sequence[int]] = {}
        for column in self.loop.columns():
            values = [graph.values[x] for x in column.tolist()]
            fixed = all(graph.is_leaf(x) and not graph.label(x) for x in column.tolist())
            if (column != column[0]).any() and not (fixed and len(set(map(repr, values))) == 1):
                columns.setdefault(column.tobytes(), column.tolist())
        names: list[tuple[Name, Sequence[int]]] = []
        arrays = [{element(graph.label(x)).array for x in found} for found in columns.values()]
        labelled = [found.pop() if len(found) == 1 else "" for found in arrays]
        many = labelled.count("") > 1
        numbered = (f"x{n}" for n in itertools.count(1))
        letters = (x for x in itertools.chain(() if many else ("x",), numbered) if x not in used)
        for name, found in zip(labelled, columns.values(), strict=True):
            names.append((label_name(name or next(letters)), found))
        return names


def in_step(letter: Name, t: str) -> Name:
    """A name with a step: h⁽³⁾, or h⁽ᵗ⁻¹⁾."""
    return letter[0] + superscript(f"({t})"), rf"{letter[1]}^{{({t})}}"


def _states(sheet: Sheet, loop: Recurrence) -> list[int]:
    """The nodes of a step that stand for what it carries on: rather tanh(z) than z or w·tanh(z)."""
    graph = sheet.graph
    readers: dict[int, list[tuple[int, int]]] = {}
    for k, member in enumerate(loop.body):
        for own in member.own:
            if own is not None:
                readers.setdefault(own.number, []).append((k, own.lag))

    def is_function(k: int) -> bool:
        operation = graph.operations[int(loop.body[k].nodes[0])]
        return operation is not None and operation.arity == 1

    found = []
    for k, lag in enumerate(loop.lags()):
        if not lag:
            continue
        state, reading = k, readers[k]
        inner = [own for own in loop.body[k].own if own is not None]
        if lag == 1 and not is_function(k):
            if len(reading) == 1 and is_function(reading[0][0]):
                state = reading[0][0]
            elif (
                len(inner) == 1
                and inner[0].lag == 0
                and is_function(inner[0].number)
                and readers[inner[0].number] == [(k, 0)]
            ):
                state = inner[0].number
        found.append(state)
    return sorted(set(found))


def _named(sheet: Sheet, loop: Recurrence) -> list[int]:
    """Which nodes of a step get a name: states, what is used several times, and what is long."""
    consumers = sheet.graph.consumers
    members = {int(node) for member in loop.body for node in member.nodes}
    named = set(_states(sheet, loop))
    sizes = [0] * len(loop.body)
    for k, member in enumerate(loop.body):
        uses = consumers[int(member.nodes[len(member.nodes) // 2])]
        size = 1 + sum(
            sizes[own.number]
            for own in member.own
            if own is not None and own.number not in named and own.number < k
        )
        outside = any(x not in members for node in member.nodes.tolist()[:-1] for x in consumers[node])
        if outside or size > _LONGEST or (size > 1 and len(uses) > 1):
            named.add(k)
        sizes[k] = 0 if k in named else size
    return sorted(named)


def recurrence_sections(steps: Steps, target: int, depends: Sequence[bool]) -> list[Section]:
    """What a step computes, how errors go back through it, and the derivative by ``target``, in sections."""
    return _Derivation(steps, target, depends).sections()


class _Derivation:
    """The derivation of ∂root/∂target."""

    def __init__(self, steps: Steps, target: int, depends: Sequence[bool]) -> None:
        self.steps, self.sheet, self.graph = steps, steps.sheet, steps.sheet.graph
        self.target, self.depends = target, depends
        self.used = [
            node for node in self.sheet.names if depends[node] and node != target and node in steps.place
        ]
        self.around = [
            node
            for node in sorted(self.sheet.names)
            if depends[node] and node not in (target, *steps.place) and not self.graph.is_leaf(node)
        ]
        first = min(steps.place)
        reached = self._reached_from_loop()
        self.after = [node for node in self.around if node in reached]
        self.before = [node for node in self.around if node not in reached]
        self.first = min((steps.place[node][1] for node in self.used), default=first)

    def _reached_from_loop(self) -> set[int]:
        found: set[int] = set(self.steps.place)
        for node, parents in enumerate(self.graph.parents):
            if any(parent in found for parent in parents):
                found.add(node)
        return found

    def sections(self) -> list[Section]:
        steps = self.steps
        last = steps.loop.steps
        n = len(steps.named)
        forward = [node for t in range(1, last + 1) for node in self._of_step(t)]
        backward = [
            node
            for t in range(last, self.first - 1, -1)
            for node in reversed(self._of_step(t))
            if self.depends[node] and node not in (self.target, self.graph.root)
        ]
        of_last = len([node for node in self._of_step(last) if self.depends[node]])
        top, latex_top = name_of(self.sheet.names[self.graph.root])
        letters = [steps.letters[i] for i in self._concerned()]
        names = ", ".join([f"δ_{x}⁽ᵗ⁾ = ∂{top}/∂{x}⁽ᵗ⁾" for x, _ in letters])
        latex = ", ".join(
            [rf"$\delta_{{{x}}}^{{(t)}} = \partial {latex_top} / \partial {x}^{{(t)}}$" for _, x in letters]
        )
        found = [
            self._section("Before the recurrence", [self._forward(x) for x in self.before]),
            self._section(
                f"The recurrence: {last} steps, t = 1, …, {last}", self._starting() + self._alike(False)
            ),
            Section(
                "Its steps in numbers",
                "Its steps in numbers",
                Equations(len(forward), lambda i: self._forward(forward[i])),
                ((len(forward), n),),
            ),
            self._section("After the recurrence", [self._forward(x) for x in self.after]),
            self._section("Back to the recurrence", [self._back(x) for x in reversed(self.after[:-1])]),
            Section(
                f"Backpropagation through time: {names}",
                f"Backpropagation through time: {latex}",
                self._alike(True),
            ),
            Section(
                f"From the last step back to step {self.first}, in numbers",
                f"From the last step back to step {self.first}, in numbers",
                Equations(len(backward), lambda i: self._back(backward[i])),
                ((len(backward), of_last),),
            ),
            self._section("Before the recurrence, backwards", [self._back(x) for x in reversed(self.before)]),
            self._gradient(),
        ]
        return [section for section in found if len(section.steps)]

    @staticmethod
    def _section(title: str, steps: Sequence[Equation]) -> Section:
        return Section(title, title.replace("…", r"\dots").replace("t = ", "$t$ = "), steps)

    def _of_step(self, t: int) -> list[int]:
        return [self.steps.node(i, t) for i in range(len(self.steps.named))]

    def _concerned(self) -> list[int]:
        """Which nodes of a step the target changes."""
        return [i for i, node in enumerate(self._of_step(self.steps.loop.steps)) if self.depends[node]]

    # ------------------------------------------------------------------------------------------ equations

    def _forward(self, node: int) -> Equation:
        written = self.sheet.written(node, _MOST)
        name = self.sheet.names[node]
        return Equation(name, (), self.graph.values[node]) if written is None else equal(name, written)

    def _adjoint(self, node: int) -> Formula:
        if node == self.graph.root:
            return Number(1.0)
        if node in self.steps.place:
            return self.steps.delta(node)
        names = self.sheet.names
        return self.sheet.by(
            self.graph.root, node, (names[self.graph.root], names[node]), self.sheet.adjoint[node]
        )

    def _readers(self, node: int) -> list[int]:
        """The nodes with names that are computed from a node directly, through nodes without."""
        found: dict[int, None] = {}
        stack, seen = list(self.graph.consumers[node]), set()
        while stack:
            x = stack.pop()
            if x in self.sheet.names:
                found[x] = None
            elif x not in seen:
                seen.add(x)
                stack += self.graph.consumers[x]
        return sorted(found)

    def _terms(self, node: int, adjoints: Mapping[int, Formula]) -> list[Formula]:
        """δ of each reader times its derivative by the node."""
        return [self._term(reader, node, adjoints) for reader in self._readers(node)]

    def _term(self, reader: int, node: int, adjoints: Mapping[int, Formula]) -> Formula:
        above = adjoints[reader] if reader in adjoints else self._adjoint(reader)
        return multiply(above, self.sheet.direct(reader, node))

    def _back(self, node: int) -> Equation:
        return equal(self._adjoint(node), sum_of(self._terms(node, {})))

    def _rehearsed(self, backward: bool) -> list[list[Equation]]:
        """The equations of step t, as each of a few steps has them."""
        found = []
        for step in self._few_steps():
            with self.steps.at(step) as deltas:
                made = []
                for i in self._concerned() if backward else range(len(self.steps.named)):
                    node = self.steps.node(i, step)
                    if not backward:
                        written = self.sheet.written(node, _MOST)
                        right = () if written is None else ((written, False),)
                        made.append(Equation(self.sheet.names[node], right, self.graph.values[node], False))
                    elif node != self.target and self.depends[node]:
                        right = ((sum_of(self._terms(node, deltas)), False),)
                        made.append(Equation(deltas[node], right, self.sheet.adjoint[node], False))
                found.append(made[::-1] if backward else made)
        return found

    def _few_steps(self) -> list[int]:
        """An early step, a middle one and a late one, before and after all of which there are others."""
        first = self.first + 2 * max(self.steps.loop.lags())  # a state may be read by way of another
        last = self.steps.loop.steps - 1
        return sorted({min(first, last), (self.first + last + 1) // 2, last})

    def _alike(self, backward: bool) -> list[Equation]:
        """The equations of step t that are written alike in a few steps."""
        rehearsed = self._rehearsed(backward)
        found = []
        for equations in zip(*rehearsed, strict=False):
            written = {repr(x.lines(_WIDE)) for x in equations}
            if len(written) == 1 and len(equations[0].lines(_WIDE)) > 1:
                found.append(equations[-1])
        return found

    def _starting(self) -> list[Equation]:
        """What stands for the states before the first step."""
        found = []
        for (k, lag), node in sorted(self.steps.loop.before.items()):
            written = self.sheet.inline(node)
            if k in self.steps.named and written is not None:
                letter = self.steps.letters[self.steps.named.index(k)]
                left = self.sheet.symbol(node, in_step(letter, str(1 - lag)))
                found.append(Equation(left, ((written, False),), self.graph.values[node]))
        return found

    def _gradient(self) -> Section:
        """The derivative by the target: what each step adds to it."""
        target, names, graph = self.target, self.sheet.names, self.graph
        left = self.sheet.by(
            graph.root, target, (names[graph.root], names[target]), self.sheet.adjoint[target]
        )
        inside = [x for x in self._readers(target) if x in self.steps.place]
        steps = sorted({self.steps.place[x][1] for x in inside})
        title = f"The derivative by {name_of(names[target])[0]}"
        if len(steps) > 1:
            title += f": what each step adds to it, t = {steps[0]}, …, {steps[-1]}"
        terms = self._terms(target, {})
        short = self._short(inside, steps)
        if short is not None:
            of_steps = sum_of([self._term(x, target, {}) for x in inside], short)
            outside = [x for x in self._readers(target) if x not in self.steps.place]
            others = [self._term(x, target, {}) for x in outside]
            terms = [of_steps, *[x for x in others if x.key != Number(0.0).key]]
        return self._section(title, (equal(left, sum_of(terms)),))

    def _short(self, readers: Sequence[int], steps: Sequence[int]) -> Name | None:
        """What is added up over the steps, written with Σ, where it is alike in all of them."""
        if len(steps) <= 2 * _FARTHEST or steps != list(range(steps[0], steps[-1] + 1)):
            return None
        written = set()
        for step in self._few_steps():
            with self.steps.at(step) as deltas:
                at_step = [x for x in readers if self.steps.place[x][1] == step]
                total = sum_of([self._term(x, self.target, deltas) for x in at_step])
                written.add(tuple([total.inside(replace(_WIDE, latex=latex), 2) for latex in (False, True)]))
        if len(written) > 1:
            return None
        text, latex = written.pop()
        return f"Σₜ {text}", rf"\sum_{{t={steps[0]}}}^{{{steps[-1]}}} {latex}"
