"""A program proves itself before it is used: on the sample that was traced, it gives what the graph gave.

:func:`prove` is called where programs are made. A fault of their structure, which is one for all numbers,
shows there; what they do at other numbers is what ``step.verify`` shows.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.backends.numpy_checked import write_checked
from autobp.backends.source_module import SourceModule
from autobp.compiler.pipeline import Compiled, Signature
from autobp.compiler.witness import OF_ROUNDING, TOLERANCE, Witness, agree
from autobp.ir import Floats, Indices
from autobp.reading.graph import PARAMETER, Graph, describe
from autobp.reading.walk import Spread, given

#: Of the traced sample: as many as it takes for rows and columns to be told apart, and for machine code to go
#: through several at once and have some left.
ROWS = 11
FEW_ROWS = 2  # for which loops run on floats, if they can
_OF_ADJOINTS = -2  # less a node's number: its adjoint

#: Runs one of the programs, "value" or "cost_and_gradient", on theta and arrays of rows.
Run = Callable[[str, Floats, Sequence[Floats]], Any]


class ProgramDiffers(RuntimeError):
    """A compiled program does not compute what its graph does. It is a fault of autobp, to be reported.

    Raised in place of handing the program out.
    """


def prove(run: Run, graph: Graph, signature: Signature, compiled: Compiled | None = None) -> None:
    """Hold new programs against the graph, on the sample that it was recorded with; some rows of it.

    Args:
        run: runs one of the programs.
        graph: with the numbers of the trace.
        compiled: the programs, for a message that names what is wrong in them; None where there are none.

    Raises ProgramDiffers where cost, outputs or gradient differ by more than rounding can explain.
    """
    sample = Sample(graph, signature)
    try:
        found = sample.found(run)
        if compiled is not None and compiled.has_loops:
            found = np.vstack([found, sample.found(run, FEW_ROWS)])
    except (FloatingPointError, IndexError):
        return  # the program refuses these numbers itself: an index out of range, or a step with check=True
    witness = sample.witness
    worst = found[np.argmax(_distance(found, witness.numbers), 0), np.arange(found.shape[1])]
    bounds = witness.bounds(worst[None, :])[0]
    wrong = np.argwhere(~agree(found, witness.numbers, bounds))
    if not len(wrong):
        return
    row, at = wrong[0].tolist()
    first = "" if compiled is None else f" {_first_difference(compiled, sample)}."
    raise ProgramDiffers(
        "the program does not compute what its graph does, so it is not handed out: "
        f"{sample.name(row, at)} is {found[row, at]:.10g} by the program and "
        f"{witness.numbers[0, at]:.10g} by the graph; rounding explains a difference of {bounds[at]:.2g}."
        f"{first}\n{how_to_report()}"
    )


def _distance(found: Floats, expected: Floats) -> Floats:
    """The absolute differences, infinite where there is no number."""
    with np.errstate(all="ignore"):
        distance = np.abs(found - expected)
    return np.where(np.isnan(distance), np.inf, distance)


def how_to_report() -> str:
    """What to do about a program that differs, and the facts that matter."""
    return (
        "This is a fault of autobp and not of your function. Please report it as CONTRIBUTING.md tells: the "
        "function, the numbers of the sample, this message, and what `python -m autobp --version` prints "
        f"(Python {platform.python_version()}, NumPy {np.__version__}, {platform.platform()}). Until it is "
        "mended, the function itself and backward() give the right numbers"
    )


class Sample:
    """The sample of a trace: the arguments that it had, and what the graph made of them."""

    def __init__(self, graph: Graph, signature: Signature) -> None:
        self.graph, self.signature = graph, signature
        self.is_cost = signature.result_shape is None
        self.theta = np.zeros(len(signature.labels))
        arguments = [np.zeros((1, int(np.prod(shape)))) for shape in signature.samples]
        flat = [self.theta, *[argument[0] for argument in arguments]]
        by_role = given(graph)
        for role, nodes in by_role.items():
            flat[role][[graph.positions[i] for i in nodes]] = [graph.values[i] for i in nodes]
        known = graph.values, by_role[PARAMETER]
        self.witness = Witness(graph, self.is_cost, self.theta, arguments, known)

    def rows(self, m: int) -> list[Floats]:
        """The arguments, m rows of one sample."""
        pairs = zip(self.witness.arguments, self.signature.samples, strict=True)
        return [argument.repeat(m, 0).reshape(m, *shape) for argument, shape in pairs]

    def found(self, run: Run, m: int = ROWS) -> Floats:
        """What programs make of m rows of the sample.

        The outputs of each row; or cost and gradient twice, first with the cost that ``value`` gives.
        """
        found = self._found(run, m)
        # A sum over rows may be out of range, of which a step averages parts.
        return found if np.isfinite(found).all() else self._found(run, 1)

    def _found(self, run: Run, m: int) -> Floats:
        rows = self.rows(m)
        value = np.asarray(run("value", self.theta, rows))
        if not self.is_cost:
            return value.reshape(-1, self.witness.n_outputs)
        cost, gradient = run("cost_and_gradient", self.theta, rows)
        return np.vstack([np.hstack([value, gradient]), np.hstack([cost, gradient])])

    def name(self, row: int, at: int) -> str:
        """What was found, in words."""
        if not self.is_cost:
            return f"output {at}, {describe(self.graph, self.graph.outputs[at])},"
        if at == 0:
            return ("the cost that value() gives", "the cost")[row % 2]
        label = self.signature.labels[at - 1]
        return f"the derivative by {f'{label}, ' if label else ''}theta[{at - 1}],"


# ------------------------------------------------------------------------------------------- what is at fault


class _Stop(Exception):
    """The first statement that differs has been found."""


def _first_difference(compiled: Compiled, sample: Sample) -> str:
    """The first statement whose numbers are not those of its scalars, and the first of these scalars."""
    name, program = list(compiled.programs.items())[-1]
    adjoints = {
        adjoint: _OF_ADJOINTS - compiled.scalars[array]
        for array, adjoint in compiled.adjoints.items()
        if array in compiled.scalars and adjoint not in compiled.scalars
    }
    spread = sample.witness.of_rounding(np.array([0]))[1]
    module = SourceModule()
    text, statements = write_checked(name, program, module, "", {**adjoints, **compiled.scalars}, 0)

    def finite(values: Any, number: int) -> None:
        line, nodes = statements[number]
        found = None if nodes is None else _difference(np.asarray(values), nodes, sample.witness, spread)
        if found is not None:
            raise _Stop(f"The first statement that differs is `{line.strip()}`: it has {found}")

    namespace: dict[str, Any] = {**module.constants, "finite": finite}
    exec(compile(module.text([text], "", with_constants=False), "<compiled by autobp>", "exec"), namespace)
    try:
        with np.errstate(all="ignore"):
            namespace[name](sample.theta, *sample.rows(ROWS), None)
    except _Stop as found:
        return str(found)
    return "The statements that hold scalars of the graph agree with it, so it is one of the others"


def _factor_to_come(row: Floats, expected: Floats) -> float:
    """What adjoints are yet to be multiplied with: 1/m is in them or not, and so may be a power of 2."""
    largest = int(np.argmax(np.abs(expected)))
    with np.errstate(all="ignore"):
        ratio = float(expected[largest] / row[largest])
    for factor in (1.0, float(ROWS)):
        if np.isfinite(ratio) and abs(abs(np.frexp(ratio / factor)[0]) - 0.75) > 0.25 - TOLERANCE:
            return ratio
    return float(ROWS)


def _is_alone(graph: Graph, nodes: Indices) -> NDArray[np.bool_]:
    """Whether no other node has a node's number: equal ones may be one element, and their adjoints a sum."""
    _, which, times = np.unique(np.array(graph.values), return_inverse=True, return_counts=True)
    alone: NDArray[np.bool_] = times[which.reshape(-1)[nodes]] == 1
    return alone


def _difference(values: Floats, nodes: Indices, witness: Witness, spread: Spread) -> str | None:
    """The first of some scalars (or adjoints) that an array does not have right, in words; None if it has."""
    graph, nodes = witness.graph, nodes.reshape(-1)
    of_adjoints = bool((nodes <= _OF_ADJOINTS).any())
    numbers = _OF_ADJOINTS - nodes if of_adjoints else nodes
    known = np.flatnonzero((numbers >= 0) & (numbers < len(graph)))
    if not known.size or values.size % nodes.size:
        return None
    if of_adjoints:
        known = known[_is_alone(graph, numbers[known])]
        if not known.size:
            return None
    of, deviations = (witness.adjoints, spread.adjoints) if of_adjoints else (witness.values, spread.values)
    expected = np.array([of[i] for i in numbers[known]])
    by_rounding = OF_ROUNDING * np.array([deviations[i][0] for i in numbers[known]])
    bounds = np.maximum(TOLERANCE * np.abs(expected), by_rounding)
    rows = values.reshape(-1, nodes.size)[:, known]
    if of_adjoints:
        rows = rows * _factor_to_come(rows[0], expected)
    wrong = np.argwhere(~agree(rows, expected, bounds))
    if not len(wrong):
        return None
    row, at = wrong[0].tolist()
    scalar = f"the scalar {describe(graph, int(numbers[known][at]))}"
    of_what = f"the derivative by {scalar}" if of_adjoints else scalar
    return f"{rows[row, at]:.10g} for {expected[at]:.10g}, {of_what}"
