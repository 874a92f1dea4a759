"""A program proves itself: it computes what the graph that it was made of does, up to rounding.

:func:`prove` runs a new program on the sample that was traced, before anybody gets it, and :func:`verify` any
program at any numbers. The witness is the graph's own walk (:mod:`autobp.reading.walk`): the rules of the table
from node to node, and the chain rule from edge to edge. Nothing of the compiler takes part in it.

Two numbers agree if they differ by at most 1e-12 of the graph's, or by what random roundings make of the graph's
(four times the largest of their deviations). Where the graph comes to no finite number, a program may: it may
have taken a logarithm of a rounded number apart. Where the graph's number is finite, a program's is.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import autobp

from autobp.backends.numpy_checked import write_checked
from autobp.backends.source_module import SourceModule
from autobp.compiler.pipeline import Compiled, Signature
from autobp.ir import Floats, Indices
from autobp.reading.graph import PARAMETER, Graph, describe
from autobp.reading.walk import Spread, adjoints_of, terms_of

#: The part of a number that two ways of computing it may always differ by.
TOLERANCE = 1e-12
#: The part of the absolute terms of a derivative, one for each use of the parameter, that it may differ by.
TOLERANCE_OF_TERMS = 1e-13
_ALLOWED = 4.0  # of what random roundings did
_ROWS = 3  # of the traced sample: enough for a program to take rows and columns for one another
_AT_ONCE = 2_000_000  # numbers of a walk

#: Runs one of the programs, "value" or "cost_and_gradient", on theta and arrays of rows.
Run = Callable[[str, Floats, Sequence[Floats]], Any]


class ProgramDiffers(RuntimeError):
    """A compiled program does not compute what its graph does. It is a fault of autobp, to be reported.

    Raised in place of handing the program out.
    """


def agree(found: Any, expected: Any, bound: Any = 0.0) -> Any:
    """Where numbers agree with the graph's: by the bound, or as far as doubles go; where the graph has none."""
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= np.maximum(TOLERANCE * np.abs(expected), bound)
    return near | ~np.isfinite(expected) | np.isinf(bound)


# ------------------------------------------------------------------------------------------- the traced sample


def prove(run: Run, graph: Graph, signature: Signature, compiled: Compiled) -> None:
    """Hold new programs against the graph, on the sample that it was recorded with; three rows of it.

    Args:
        run: runs one of the programs.
        graph: with the numbers of the trace.
        compiled: the programs, for a message that names what is wrong in them.

    Raises ProgramDiffers where cost, outputs or gradient differ by more than rounding can explain.
    """
    sample = _Sample(graph, signature)
    try:
        found = sample.found(run)
    except (FloatingPointError, IndexError):
        return  # the program refuses these numbers itself: an index out of range, or a step with check=True
    expected = sample.expected()
    right = agree(found, expected)
    if right.all() or agree(found, expected, sample.of_terms(~right.all(0))).all():
        return
    spread = sample.spread()
    bounds = _ALLOWED * sample.bounds(spread)
    wrong = np.argwhere(~agree(found, expected, bounds))
    if not len(wrong):
        return
    row, at = wrong[0].tolist()
    explained = max(bounds[at], TOLERANCE * abs(expected[at]))
    raise ProgramDiffers(
        f"the program does not compute what its graph does, so it is not handed out: {sample.name(at)} is "
        f"{found[row, at]:.10g} by the program and {expected[at]:.10g} by the graph, and rounding explains a "
        f"difference of {explained:.2g}. {_first_difference(compiled, sample, spread)}.\n{how_to_report()}"
    )


class _Sample:
    """The numbers of a trace: the arguments that it had, and what the graph made of them.

    Attributes:
        parameters: the nodes that are parameters.
        at: their positions in theta.
        adjoints: of the nodes, where the graph has a cost.
    """

    def __init__(self, graph: Graph, signature: Signature) -> None:
        self.graph, self.signature = graph, signature
        self.is_cost = signature.result_shape is None
        self.theta = np.zeros(len(signature.labels))
        self.arguments = [np.zeros((1, int(np.prod(shape)))) for shape in signature.samples]
        roles, positions, values = graph.roles, graph.positions, graph.values
        self.parameters = [i for i, role in enumerate(roles) if role == PARAMETER]
        self.at = [positions[i] for i in self.parameters]
        self.theta[self.at] = [values[i] for i in self.parameters]
        for i in [i for i, role in enumerate(roles) if role > PARAMETER]:
            self.arguments[roles[i] - 1][0, positions[i]] = values[i]
        self.adjoints = adjoints_of(graph, graph.outputs[0], values) if self.is_cost else []

    def rows(self, m: int) -> list[Floats]:
        """The arguments, m rows of one sample."""
        shapes = self.signature.samples
        return [x.repeat(m, 0).reshape(m, *shape) for x, shape in zip(self.arguments, shapes, strict=True)]

    def expected(self) -> Floats:
        """The outputs, or the cost, the cost and the gradient, by the graph."""
        outputs = np.array([self.graph.values[i] for i in self.graph.outputs])
        return np.hstack([outputs, outputs, self._gradient(self.adjoints)]) if self.is_cost else outputs

    def bounds(self, spread: Spread) -> Floats:
        """What rounding does to each number that is expected."""
        outputs = np.array([spread.values[i][0] for i in self.graph.outputs])
        return np.hstack([outputs, outputs, self._gradient([x[0] for x in spread.adjoints])]) if self.is_cost else outputs

    def of_terms(self, wrong: NDArray[np.bool_]) -> Floats:
        """A small part of the absolute terms of derivatives that are wrong at first sight."""
        bounds = np.zeros(len(wrong))
        if self.is_cost and not wrong[:2].any():
            nodes = {i: k + 2 for i, k in zip(self.parameters, self.at, strict=True) if wrong[k + 2]}
            terms = terms_of(self.graph, self.graph.values, self.adjoints, nodes)
            for i, k in nodes.items():
                bounds[k] = TOLERANCE_OF_TERMS * terms[i]
        return np.where(np.isfinite(bounds), bounds, 0.0)

    def _gradient(self, adjoints: Sequence[Any]) -> Floats:
        gradient = np.zeros(len(self.theta))
        gradient[self.at] = [adjoints[i] for i in self.parameters]
        return gradient

    def spread(self) -> Spread:
        """What rounding does to the graph's numbers."""
        return Spread(self.graph, self.theta, self.arguments, self.graph.values, self.adjoints, 1)

    def found(self, run: Run) -> Floats:
        """What programs make of the sample, a row for each result of theirs."""
        found = self._found(run, _ROWS)
        # A sum over rows may be out of range, of which a step averages parts.
        return found if np.isfinite(found).all() else self._found(run, 1)

    def _found(self, run: Run, m: int) -> Floats:
        rows = self.rows(m)
        value = np.asarray(run("value", self.theta, rows))
        if not self.is_cost:
            return value.reshape(-1, len(self.graph.outputs))
        cost, gradient = run("cost_and_gradient", self.theta, rows)
        return np.hstack([value, cost, gradient])[None, :]

    def name(self, at: int) -> str:
        """What is expected at a position, in words."""
        if not self.is_cost:
            return f"output {at}, {describe(self.graph, self.graph.outputs[at])},"
        if at < 2:
            return ("the cost that value() gives", "the cost")[at]
        label = self.signature.labels[at - 2]
        return f"the derivative by {f'{label}, ' if label else ''}theta[{at - 2}],"


def how_to_report() -> str:
    """What to do about a program that differs, and the facts that matter."""
    facts = (
        f"autobp {autobp.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"{platform.system()} {platform.machine()}"
    )
    return (
        "This is a fault of autobp and not of your function: please report it with the function, the numbers of "
        f"the sample and this message (CONTRIBUTING.md); {facts}. Until it is mended, the function itself and "
        "backward() give the right numbers"
    )


# -------------------------------------------------------------------------------------------- what is at fault


class _Stop(Exception):
    """The first statement that differs has been found."""


def _first_difference(compiled: Compiled, sample: _Sample, spread: Spread) -> str:
    """The first statement whose numbers are not those of its scalars, and the first of these scalars."""
    name, program = list(compiled.programs.items())[-1]
    adjoints = {
        adjoint: _OF_ADJOINTS - compiled.scalars[array]
        for array, adjoint in compiled.adjoints.items()
        if array in compiled.scalars and adjoint not in compiled.scalars
    }
    module = SourceModule()
    text, statements = write_checked(name, program, module, "", {**adjoints, **compiled.scalars}, 0)

    def finite(values: Any, number: int) -> None:
        line, nodes = statements[number]
        found = None if nodes is None else _difference(np.asarray(values), nodes, sample, spread)
        if found is not None:
            raise _Stop(f"The first statement that differs is `{line.strip()}`: it has {found}")

    namespace: dict[str, Any] = {**module.constants, "finite": finite}
    exec(compile(module.text([text], "", with_constants=False), "<compiled by autobp>", "exec"), namespace)
    try:
        with np.errstate(all="ignore"):
            namespace[name](sample.theta, *sample.rows(_ROWS), None)
    except _Stop as found:
        return str(found)
    return "The statements of step.source agree one by one, as far as they hold scalars of the graph"


_OF_ADJOINTS = -2  # less a node's number: its adjoint


def _difference(values: Floats, nodes: Indices, sample: _Sample, spread: Spread) -> str | None:
    """The first of some scalars (or adjoints) that an array does not have right, in words; None if it has."""
    graph, nodes = sample.graph, nodes.reshape(-1)
    if not nodes.size or values.size % nodes.size:
        return None
    rows = values.reshape(-1, nodes.size)
    of_adjoints = bool((nodes <= _OF_ADJOINTS).any())
    numbers = _OF_ADJOINTS - nodes if of_adjoints else nodes
    known = np.flatnonzero((numbers >= 0) & (numbers < len(graph)))
    if not known.size:
        return None
    of, deviations = (sample.adjoints, spread.adjoints) if of_adjoints else (graph.values, spread.values)
    expected = np.array([of[i] for i in numbers[known]])
    bounds = _ALLOWED * np.array([deviations[i][0] for i in numbers[known]])
    rows = rows[:, known]
    if of_adjoints:  # the mean's 1/m, or a factor of all, may be to come
        largest = int(np.argmax(np.abs(expected)))
        rows = rows * (expected[largest] / rows[0, largest]) if rows[0, largest] else rows
    wrong = np.argwhere(~agree(rows, expected, bounds))
    if not len(wrong):
        return None
    row, at = wrong[0].tolist()
    what = f"the scalar {describe(graph, int(numbers[known][at]))}"
    what = f"the derivative by {what}" if of_adjoints else what
    return f"{rows[row, at]:.10g} for {expected[at]:.10g}, {what}"
