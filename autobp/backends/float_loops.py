"""Write a loop of a schedule for a few rows as statements of Python's floats, one for each row.

A call of NumPy takes as long as twenty operations on floats. So a loop each of whose arrays is one number for
each sample runs on floats where rows are few: x of two rows is v1 and v2. What the loop takes is listed
before it, and what it leaves becomes arrays after it.

Where arrays have infinity or NaN, floats may raise ArithmeticError or ValueError: who calls what is written
here runs it on arrays then. They never give another number in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from autobp.backends import operands, steps
from autobp.backends.operands import Kind, Operand, Variable
from autobp.backends.source_module import as_tuple, number
from autobp.ir.expression import COMPARISONS

if TYPE_CHECKING:
    from autobp.backends.numpy_calls import NumpyCalls

#: Rows up to which floats are faster than arrays.
FEW = 8

#: What those that the module ``math`` has are called there; they raise, or give what NumPy does.
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


def add_exponentials(x: float, y: float) -> float:
    """log(exp(x) + exp(y))."""
    if x == y:
        return x + math.log(2.0)
    return (x if x > y else y) + math.log1p(math.exp(-abs(x - y)))


#: What a module of such functions has to know.
KNOWN: dict[str, Any] = {"math": math, "add_exponentials": add_exponentials}

#: A number for each sample, or one for all.
Texts = tuple[str, ...]


class _NoFloats(Exception):
    """The loop has something else than a number for each sample."""


def float_lines(calls: NumpyCalls, step: steps.Repeat, rows: int) -> list[str] | None:
    """The statements of a loop, for the writer of what it stands in; None where it cannot run on floats."""
    try:
        return list(_Loop(calls, step, rows).lines())
    except _NoFloats:
        return None


class _Loop:
    """One loop.

    Attributes:
        rows: the number of samples.
        head: the statements before it.
        values: of what the body has so far, by number, what it is called.
        lines_of_body: the statements so far.
    """

    def __init__(self, calls: NumpyCalls, step: steps.Repeat, rows: int) -> None:
        self.calls, self.step, self.rows = calls, step, rows
        self.head: list[str] = []
        self.values: dict[int, Texts] = {}
        self.lines_of_body: list[str] = []
        self._functions: dict[str, str] = {}

    def lines(self) -> Iterator[str]:
        """All of it."""
        step, n = self.step, len(self.step.states)
        arguments = iter(step.body.arguments)
        states = [self.start("h", x.initial, a) for x, a in zip(step.states, arguments, strict=False)]
        arguments = iter(step.body.arguments[n:])
        taken = [self.take(x, a) for x, a in zip(step.sequences, arguments, strict=False)]
        arguments = iter(step.body.arguments[n + len(step.sequences) :])
        for x, a in zip(step.invariants, arguments, strict=True):
            self.start("c", x, a)
        for instruction in step.body.steps:
            self.write(instruction)
        results = [self.result(i) for i in range(len(step.body.results))]
        # of states of which all are kept, then of outputs: what a step leaves, in this order
        stacked = [i for i, state in enumerate(step.states) if self.is_stacked(state)]
        left = [(step.states[i].memory[0], states[i]) for i in stacked]
        left += [(x, y) for x, y in zip(step.outputs, results[n:], strict=True) if x is not None]
        following = [list(chain(*x)) for x in (states, results[:n])]
        end = [f"{', '.join(following[0])} = {', '.join(following[1])}"] if states else []
        if left:
            kept, put = self.calls.variable("k"), self.calls.variable("k")
            self.head += [f"{kept} = []", f"{put} = {kept}.append"]
            end.insert(0, f"{put}(({', '.join(chain(*[x for _, x in left]))},))")
        yield from self.head
        yield self.heading(taken)
        yield from [f"    {line}" for line in (*self.lines_of_body, *end)] or ["    pass"]
        if left:
            if stacked:  # the states after the last step, beside nothing
                last = [*chain(*[states[i] for i in stacked])]
                last += ["0.0"] * (sum(len(x) for _, x in left) - len(last))
                yield f"{put}(({', '.join(last)},))"
            yield from self.put(kept, left, len(stacked))
        for state, names in zip(step.states, states, strict=True):
            if not self.is_stacked(state):
                yield f"{self.calls.name(state.final(step.steps))}[...] = {self.array(names, state)}"

    def is_stacked(self, state: steps.State) -> bool:
        """Whether all states are kept, those before the steps and the last."""
        return len(state.memory) == 1 and not state.is_number

    # ------------------------------------------------------------------------------------ before and after

    def names(self, prefix: str, variable: Variable) -> Texts:
        """Names for what the body calls a variable."""
        kind = _of_one(variable.kind)
        made = tuple([self.calls.variable(prefix) for _ in range(self.rows if kind[0] else 1)])
        self.values[variable.number] = made
        return made

    def start(self, prefix: str, operand: Operand, argument: Variable) -> Texts:
        """Have an argument of the body that is there before the loop."""
        batched, shape = _of_one(argument.kind)
        names, text = self.names(prefix, argument), self.calls.alone(operand)
        sizes = (self.rows, *shape) if batched else shape
        if isinstance(operand, operands.Number) and not batched:
            self.head.append(f"{names[0]} = {text}")
        else:
            all_of_it = f"np.broadcast_to({text}, {as_tuple(sizes)})"
            self.head.append(f"{', '.join(names)}, = {all_of_it}.ravel().tolist()")
        return names

    def take(self, operand: Operand, argument: Variable) -> list[tuple[str, str]]:
        """Have an argument of the body that is another in each step: its names, each with what lists it."""
        names = self.names("s", argument)
        lists = [self.calls.variable("q") for _ in names]
        order = "[:, ::-1]" if self.step.falling else ""
        text = f"{self.calls.of(operand)}.reshape({len(names)}, {self.step.steps}){order}.tolist()"
        self.head.append(f"{', '.join(lists)}, = {text}")
        return list(zip(names, lists, strict=True))

    def heading(self, taken: Sequence[Sequence[tuple[str, str]]]) -> str:
        """What goes through the steps."""
        pairs = list(chain(*taken))
        if not pairs:
            return f"for _ in range({self.step.steps}):"
        names, lists = (", ".join(x) for x in zip(*pairs, strict=True))
        return f"for {names} in {f'zip({lists})' if len(pairs) > 1 else lists}:"

    def put(self, kept: str, left: Sequence[tuple[Variable, Texts]], n_stacked: int) -> Iterator[str]:
        """Make arrays of what the steps have left."""
        falling = self.step.falling
        yield f"{kept} = np.array({kept}){'[::-1]' if falling else ''}"
        rows = ("[1:" if falling else "[:-1") if n_stacked else "[:"
        first = 0
        for i, (memory, names) in enumerate(left):
            batched, shape = _known(memory.kind)
            part = ":" if i < n_stacked else rows[1:]
            columns = f"{kept}[{part}, {first}:{first + len(names)}].T"
            sizes = (self.rows, *shape) if batched else shape
            yield f"{self.calls.name(memory)}[...] = {columns}.reshape({', '.join(map(str, sizes))})"
            first += len(names)

    def array(self, names: Texts, state: steps.State) -> str:
        """A state as what can be put into its memory."""
        if len(names) == 1:
            return names[0]
        _, shape = _known(state.memory[0].kind)
        return f"np.array(({', '.join(names)})).reshape({', '.join(map(str, (self.rows, *shape)))})"

    # ---------------------------------------------------------------------------------------------- values

    def result(self, number: int) -> Texts:
        """A result of the body; a state has as many numbers as before the step."""
        found = self.step.body.results[number]
        assert not isinstance(found, steps.Mean), "only a whole program has a cost"
        texts = self.of(found)
        if number < len(self.step.states):
            return self.spread(texts, self.step.body.arguments[number].kind)
        output = self.step.outputs[number - len(self.step.states)]
        return texts if output is None else self.spread(texts, output.kind)

    def spread(self, texts: Texts, kind: Kind | None) -> Texts:
        """One number for all samples as one for each, where the kind says so."""
        return texts * self.rows if len(texts) == 1 and kind is not None and kind[0] else texts

    def of(self, operand: Operand) -> Texts:
        """What an operand is called, of each sample or of all; an atom."""
        if isinstance(operand, Variable) and operand.number in self.values:
            return self.values[operand.number]
        if isinstance(operand, operands.Number):
            text = number(operand.value)
            return (f"({text})" if text.startswith("-") else text,)
        if isinstance(operand, operands.Samples):
            return (str(self.rows),)
        if isinstance(operand, operands.Scalar):
            return tuple([f"({x})" for x in self.applied(operand.function, operand.operands)])
        if isinstance(operand, operands.AsFloat):
            return tuple([f"(1.0 if {x} else 0.0)" for x in self.of(operand.source)])
        if isinstance(operand, operands.Filled):
            return self.spread(self.of(operand.source), _of_one(operand.kind))
        if isinstance(operand, operands.Broadcast):
            batched = "m" in operand.sizes
            sizes = tuple([n for n in operand.sizes if not isinstance(n, str)])
            return self.spread(self.of(operand.source), _of_one((batched, sizes)))
        if isinstance(operand, operands.Moved | operands.Copied):
            return self.of(operand.source)  # one number has one order
        raise _NoFloats

    def applied(self, function: str, arguments: Sequence[Operand], operation: str = "") -> Texts:
        """A function of elements as expressions."""
        texts = [self.of(x) for x in arguments]
        n = max(map(len, texts))
        by_row = [[x[i if len(x) > 1 else 0] for x in texts] for i in range(n)]
        template = _OF_FLOATS.get(function)
        if function == "op":
            function = operation
        if template is not None:
            return tuple([template.format(*x) for x in by_row])
        if function == "logaddexp":
            called = "add_exponentials"
        elif function in _OF_MATH:
            called = self.before(f"math.{_OF_MATH[function]}")
        else:
            raise _NoFloats
        return tuple([f"{called}({', '.join(x)})" for x in by_row])

    def before(self, text: str) -> str:
        """A name for a function: a local one is found faster."""
        if text not in self._functions:
            self._functions[text] = self.calls.variable("f")
            self.head.append(f"{self._functions[text]} = {text}")
        return self._functions[text]

    # ---------------------------------------------------------------------------------------------- the steps

    def write(self, step: steps.Instruction) -> None:
        """Write a step."""
        if isinstance(step, steps.Apply):
            self.assign(step.into, self.applied(step.function, step.operands, step.operation))
        elif isinstance(step, steps.Name | steps.Copy):
            _of_one(step.into.kind)
            self.values[step.into.number] = self.spread(self.of(step.source), step.into.kind)
        elif isinstance(step, steps.MatrixProduct) and isinstance(step.left, operands.Ones):
            self.add_up(self.of(step.right), step.into)
        elif isinstance(step, steps.MatrixProduct | steps.OuterProduct):
            self.multiply(self.of(step.left), self.of(step.right), step.into)
        elif isinstance(step, steps.AddUp) or (isinstance(step, steps.Collapse) and step.ufunc == "add"):
            self.add_up(self.of(step.source), step.into)
        else:
            raise _NoFloats

    def assign(self, into: Variable, texts: Texts) -> None:
        """Have expressions as a variable."""
        kind = _of_one(into.kind) if into.kind is not None else (False, ())
        names = tuple([self.calls.variable() for _ in texts])
        self.lines_of_body += [f"{name} = {text}" for name, text in zip(names, texts, strict=True)]
        self.values[into.number] = self.spread(names, kind)

    def multiply(self, left: Texts, right: Texts, into: Variable) -> None:
        """A product: of each sample, or summed over the samples where both have them and it has not."""
        batched, _ = _of_one(into.kind)
        n = max(len(left), len(right))
        if n > 1 and not batched and len(left) != len(right):
            raise _NoFloats
        pairs = zip(*[x * (n if len(x) == 1 else 1) for x in (left, right)], strict=True)
        products = tuple([f"{x} * {y}" for x, y in pairs])
        self.assign(into, products if batched else (" + ".join(products),))

    def add_up(self, texts: Texts, into: Variable) -> None:
        """The sum over the samples, where they are not left."""
        batched, _ = _of_one(into.kind)
        self.assign(into, texts if batched else (" + ".join(texts),))


def _known(kind: Kind | None) -> Kind:
    assert kind is not None
    return kind


def _of_one(kind: Kind | None) -> Kind:
    """A kind that has one number for each sample, or one alone."""
    if kind is None or math.prod(kind[1]) != 1:
        raise _NoFloats
    return kind
