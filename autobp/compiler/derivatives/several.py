"""Costs and gradients at several thetas in one call, for walkers and several starts.

The scalar graph is compiled once more, with theta as one more argument that has rows: each row of the data is
there once for each theta. What a call costs is then paid once and not for each theta; but a product with a
matrix of parameters is one of each row's own matrix, so that this is for models of few numbers and few rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from autobp.compiler import machine_code, work
from autobp.compiler.derivatives.made import Made, made_of
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.executable import Executable
from autobp.compiler.pipeline import Signature
from autobp.ir import Floats, Program
from autobp.reading.graph import PARAMETER, Graph

_LEAST = 8  # thetas, for which it is worth to compile once more
_ELEMENTS = 300  # numbers for one theta that take NumPy as long as a call for a statement does

T = TypeVar("T")


@dataclass(frozen=True)
class _ThetaAsArgument:
    """What an executable is made of, with theta as the last argument."""

    executable: Executable
    graph: Graph
    signature: Signature

    @property
    def check(self) -> bool:
        return self.executable.check

    @property
    def wanted(self) -> machine_code.Wanted:
        return self.executable.wanted

    def other(self, key: Any, make: Callable[[], T]) -> T:
        return self.executable.other(("of several thetas", key), make)


def _made(executable: Executable) -> Made:
    """The function of each row's cost and gradient by its own theta."""
    signature, by = executable.signature, len(executable.signature.samples) + 1
    graph = copy.copy(executable.graph)
    graph.roles = [by if role == PARAMETER else role for role in graph.roles]
    name = "theta_of_the_row"
    while name in signature.arguments:
        name += "_"
    changed = replace(
        signature,
        labels=(),
        arguments=(*signature.arguments, name),
        samples=(*signature.samples, (len(signature.labels),)),
    )
    return made_of(_ThetaAsArgument(executable, graph, changed), Wanted("rows", by))


def all_at_once(
    executable: Executable, thetas: Floats, arrays: Sequence[Floats]
) -> tuple[Floats, Floats] | None:
    """The mean cost, (k,), and the gradient, (k, n), at each of k thetas, by the program alone.

    None where one theta after another is faster: for few of them, many rows, in machine code.

    Args:
        arrays: the arguments with rows, the same for each theta.
    """
    k, m = len(thetas), len(arrays[0]) if arrays else 1
    scalar, program = executable.result_shape is None, list(executable.programs.values())[-1]
    if k < _LEAST or not scalar or executable.check or executable.choice.functions:
        return None
    most = _ELEMENTS * work.statements(program)
    if m * _work(program) > most:
        return None
    made = executable.other("of several thetas", lambda: _made(executable))
    if m * _work(made.program) > most:
        return None
    rows = [np.tile(x, (k, *[1] * (x.ndim - 1))) for x in arrays]
    costs, gradients = made.some_at_a_time(np.empty(0), [*rows, np.repeat(thetas, m, axis=0)])
    with np.errstate(all="ignore"):
        return costs.reshape(k, m).mean(1), gradients.reshape(k, m, -1).mean(1)


def _work(program: Program) -> int:
    """How many numbers are computed for one row, and how many products in products of matrices."""
    return work.multiplications(program, 1) + work.elements(program, 1)
