"""Write a loop of a schedule: a ``for`` statement in which the statements of its body stand.

States change places with what comes after them, and what a step leaves is computed where it belongs: no array
is made in a step. What all steps pick from the same arrays is picked before the loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autobp.backends.loop_memory import is_number
from autobp.backends.moves import Part
from autobp.backends.operands import NUMBER, Buffer, Left, Moved, Number, Operand, Variable
from autobp.backends.steps import Mean, Repeat, State

if TYPE_CHECKING:
    from autobp.backends.numpy_calls import NumpyCalls


def loop_lines(calls: NumpyCalls, step: Repeat) -> list[str]:
    """The statements of a loop, for the writer of what it stands in."""
    return _Loop(calls, step).lines()


class _Loop:
    """One loop.

    Attributes:
        head: the statements before it.
        taken: what a step takes, by name, from what: an expression that gives it step after step.
        arguments: what the body's arguments are called.
        left: what the memory of the body's results is called.
    """

    def __init__(self, calls: NumpyCalls, step: Repeat) -> None:
        self.calls, self.step = calls, step
        self.head: list[str] = []
        self.taken: dict[str, str] = {}
        self.arguments: list[str] = []
        self.left: list[str] = []

    def lines(self) -> list[str]:
        """All of it."""
        calls, step = self.calls, self.step
        for state in step.states:
            self.begin(state)
        n = len(step.states)
        for operand, argument in zip(step.sequences, step.body.arguments[n:], strict=False):
            self.take("s", self.steps_of(operand, argument))
        same = range(len(self.arguments), len(step.body.arguments))
        self.arguments += map(self.name, step.invariants)
        for output in step.outputs:
            self.leave(output)
        body = calls.body(step.body, self.arguments, same)
        body.left = self.left
        for x in step.body.steps:
            body.write(x)
        end = [*self.put(body), *self.go_on(body)]
        before = [f"{name} = {text}" for text, name in body.before.items()]
        lines = [f"    {line}" for line in (*body.lines, *end)] or ["    pass"]
        return [*self.head, *before, self.heading(), *lines, *self.after()]

    # ------------------------------------------------------------------------------------------ the memory

    def begin(self, state: State) -> None:
        """Have a state before the first step, and room for the one that is next."""
        calls = self.calls
        initial, names = calls.alone(state.initial), [calls.name(x) for x in state.memory]
        h = calls.variable("h")
        if state.is_number:
            self.head.append(f"{h} = {_as_number(state.initial, initial)}")
            self.arguments.append(h)
            self.left.append("")
        elif len(names) == 2:
            after = calls.variable("n")
            self.head += [f"{names[0]}[...] = {initial}", f"{h}, {after} = {names[0]}, {names[1]}"]
            self.arguments.append(h)
            self.left.append(after)
        else:
            all_states = self.steps_of(state.memory[0])
            self.head.append(f"{all_states}[{-1 if self.step.falling else 0}][...] = {initial}")
            first, second = ("[:0:-1]", "[-2::-1]") if self.step.falling else ("[:-1]", "[1:]")
            self.take("h", self.own(f"{all_states}{first}"), False)
            self.left.append(calls.variable("n"))
            self.taken[self.left[-1]] = self.own(f"{all_states}{second}")

    def name(self, operand: Operand) -> str:
        """A name for what is the same in every step."""
        text = self.calls.of(operand)
        if text.isidentifier():
            return text
        name = self.calls.variable("c")
        self.head.append(f"{name} = {text}")
        return name

    def take(self, prefix: str, text: str, in_order: bool = True) -> None:
        """Have an argument of the body from what has it for each step."""
        self.arguments.append(self.calls.variable(prefix))
        self.taken[self.arguments[-1]] = f"{text}[::-1]" if in_order and self.step.falling else text

    def leave(self, output: Variable | None) -> None:
        """Have memory for an output of a step; a number is put into the array of all steps."""
        name = "" if output is None else self.calls.variable("o")
        self.left.append(name)
        if output is None:
            return
        if is_number(output.kind):
            text = f"{self.calls.name(output)}.reshape(-1)"
            self.left[-1] = self.calls.before_loop(text) if self.calls.suffix else name
            if not self.calls.suffix:
                self.head.append(f"{name} = {text}")
        else:
            text = self.steps_of(output)
            self.taken[name] = self.own(f"{text}[::-1]" if self.step.falling else text)

    def own(self, text: str) -> str:
        """What is picked of the loop's own memory: within a loop, before that."""
        return self.calls.before_loop(text) if self.calls.suffix else text

    def steps_of(self, operand: Operand, step: Variable | None = None) -> str:
        """What gives the steps of an array; in the memory of the work they are listed.

        Args:
            step: what the body calls one of them.
        """
        if step is not None and step.kind == NUMBER:  # the lists have arrays of one element
            return f"{self.calls.of(operand)}.reshape(-1)"
        whole, which = _some_steps(operand)
        by_step = self.calls.schedule.work.by_step
        if whole is not None and isinstance(whole.place, Buffer) and whole.place.number in by_step:
            return f"S{whole.place.number}{self.calls.suffix}{which}"
        assert step is not None
        assert step.kind is not None
        text = self.calls.of(operand)
        return f"{text}.swapaxes(0, 1)" if step.kind[0] else text

    # --------------------------------------------------------------------------------------- the statements

    def heading(self) -> str:
        """What goes through the steps: an array gives them faster than they are looked up."""
        names, texts = list(self.taken), list(self.taken.values())
        steps = self.step.steps
        if self.t or not names:
            names = [self.t or "_", *names]
            texts = [f"range({steps - 1}, -1, -1)" if self.step.falling else f"range({steps})", *texts]
        if len(names) == 1:
            return f"for {names[0]} in {texts[0]}:"
        return f"for {', '.join(names)} in zip({', '.join(texts)}):"

    t = ""  # what the number of the step is called, where it is needed

    def result(self, number: int) -> Operand:
        """A result of the body."""
        found = self.step.body.results[number]
        assert not isinstance(found, Mean), "only a whole program has a cost"
        return found

    def put(self, body: NumpyCalls) -> Iterator[str]:
        """Put what a step leaves where it belongs."""
        n = len(self.step.states)
        for i, output in enumerate(self.step.outputs, start=n):
            operand = self.result(i)
            if output is None or _is_there(operand, i):
                continue
            where = "..."
            if is_number(output.kind):
                where = self.t = self.t or self.calls.variable("t")
            yield f"{self.left[i]}[{where}] = {body.alone(operand)}"

    def go_on(self, body: NumpyCalls) -> Iterator[str]:
        """Have the states of the next step."""
        names: list[str] = []
        texts: list[str] = []
        for i, state in enumerate(self.step.states):
            operand, h, after = self.result(i), self.arguments[i], self.left[i]
            text = body.alone(operand)
            if state.is_number:
                names.append(h)
                texts.append(_as_number(operand, text))
                continue
            if not _is_there(operand, i):
                yield f"{after}[...] = {text}"
            if len(state.memory) == 2:
                names += [h, after]
                texts += [after, h]
        if names:
            yield f"{', '.join(names)} = {', '.join(texts)}"

    def after(self) -> Iterator[str]:
        """Put states that are numbers where they are read after the loop."""
        for state, h in zip(self.step.states, self.arguments, strict=False):
            if state.is_number:
                yield f"{self.calls.name(state.memory[0])}[...] = {h}"


def _some_steps(operand: Operand) -> tuple[Variable | None, str]:
    """The array of which an operand is some steps, and which of them; None where it is something else."""
    if isinstance(operand, Variable):
        return operand, ""
    if isinstance(operand, Moved) and isinstance(operand.source, Variable) and len(operand.moves) == 1:
        (move,) = operand.moves
        if isinstance(move, Part):
            *lead, steps = move.entries
            if lead in ([], [slice(None)]) and isinstance(steps, slice) and steps.step is None:
                return operand.source, f"[{steps.start}:{steps.stop}]"
    return None, ""


def _is_there(operand: Operand, number: int) -> bool:
    """Whether a result of a body was computed where it belongs."""
    return isinstance(operand, Variable) and operand.place == Left(number)


def _as_number(operand: Operand, text: str) -> str:
    """A number that divides by zero as arrays do."""
    return f"np.float64({text})" if isinstance(operand, Number) else text
