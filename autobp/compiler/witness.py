"""What a graph gives by its own walk, row by row, and how far from that rounding may drive a program.

It is the witness of compiled programs: the rules of the table from node to node, the chain rule from edge to
edge (:mod:`autobp.reading.walk`). Nothing of the compiler takes part in it.

Two numbers agree if they differ by at most

- 1e-12 of the graph's number,
- or 1e-13 of the absolute terms of a derivative, one term for each use of the parameter,
- or four times what random roundings do to the graph's number (:class:`autobp.reading.walk.Spread`), which is
  looked at only where the others are not enough.

Where the graph comes to no finite number, a program may: it may have taken the logarithm of a rounded number
apart. Where the graph's number is finite, a program's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.ir import Floats
from autobp.reading.graph import PARAMETER, Graph
from autobp.reading.walk import Spread, adjoints_of, given, leaves, terms_of, values_of

#: The part of a number that two ways of computing it may always differ by.
TOLERANCE = 1e-12
_OF_TERMS = 1e-13
#: How many times the largest deviation of the random walks it may be.
OF_ROUNDING = 4.0

Bools = NDArray[np.bool_]


class Witness:
    """A graph's outputs, and the gradient of a cost, at some rows of data.

    Attributes:
        numbers: (m, n): the outputs of each row, and after one that is a cost its derivatives by theta.
        n_outputs: how many of them are outputs.
        values: what each node is: a float, or a vector (m,).
        adjoints: the derivative of the cost by each node, likewise; empty where the outputs are no cost.
    """

    def __init__(
        self,
        graph: Graph,
        is_cost: bool,
        theta: Floats,
        arguments: Sequence[Floats],
        known: tuple[Sequence[Any], Sequence[int]] | None = None,
    ) -> None:
        """Walk over the graph.

        Args:
            theta: the parameters, (n_parameters,).
            arguments: of each argument, rows of numbers, (m, size).
            known: what the nodes are, where that is known, of one row; and which are parameters.
        """
        self.graph, self.theta, self.arguments = graph, theta, arguments
        self.m = len(arguments[0]) if arguments else 1
        self.n_outputs = len(graph.outputs)
        if known is None:
            known = values_of(graph, leaves(graph, theta, arguments)), given(graph)[PARAMETER]
        self.values, self.parameters = known
        self.at = [graph.positions[i] for i in self.parameters]
        self.adjoints = adjoints_of(graph, graph.outputs[0], self.values) if is_cost else []
        self.numbers = self._numbers(self.values, self.adjoints, self.m)

    def _numbers(self, values: Sequence[Any], adjoints: Sequence[Any], m: int) -> Floats:
        """Of what is known of nodes and adjoints, that of outputs and parameters, (m, n)."""
        n = self.n_outputs
        numbers = np.zeros((m, n + (len(self.theta) if len(adjoints) else 0)))
        for k, i in enumerate(self.graph.outputs):
            numbers[:, k] = values[i]
        if len(adjoints) and m == 1:  # all at once: a graph of one sample may have many parameters
            derivatives = [adjoints[i] for i in self.parameters]
            numbers[0, n:][self.at] = [x if isinstance(x, float) else x.item() for x in derivatives]
        elif len(adjoints):
            for i, position in zip(self.parameters, self.at, strict=True):
                numbers[:, n + position] = adjoints[i]
        return numbers

    def bounds(self, found: Floats) -> Floats:
        """What each number may differ by, (m, n); as much of it as ``found`` makes necessary."""
        bounds = TOLERANCE * np.abs(self.numbers)
        right: Bools = agree(found, self.numbers, bounds)
        if not right.all():
            bounds = np.maximum(bounds, self._of_terms(np.any(~right, axis=0)))
            right = agree(found, self.numbers, bounds)
        if not right.all():
            rows = np.flatnonzero(~right.all(1))
            bounds[rows] = np.maximum(bounds[rows], self.of_rounding(rows)[0])
        return bounds

    def _of_terms(self, wanted: Bools) -> Floats:
        bounds = np.zeros(self.numbers.shape)
        uses = zip(self.parameters, self.at, strict=True) if len(self.adjoints) else ()
        columns = {i: self.n_outputs + k for i, k in uses if wanted[self.n_outputs + k]}
        if columns:
            terms = terms_of(self.graph, self.values, self.adjoints, columns)
            for i, k in columns.items():
                bounds[:, k] = _OF_TERMS * terms[i]
        return np.where(np.isfinite(bounds), bounds, 0.0)

    def of_rounding(self, rows: NDArray[np.intp]) -> tuple[Floats, Spread]:
        """The bounds, for some rows, that random roundings show, and what they do to nodes and adjoints."""
        some = [argument[rows] for argument in self.arguments]
        values, adjoints = [
            [x if np.ndim(x) == 0 else x[rows] for x in numbers] for numbers in (self.values, self.adjoints)
        ]
        spread = Spread(self.graph, self.theta, some, values, adjoints, len(rows))
        return OF_ROUNDING * self._numbers(spread.values, spread.adjoints, len(rows)), spread


def agree(found: Any, expected: Floats, bounds: Floats) -> Bools:
    """Where numbers agree with the graph's, within bounds; and where the graph has none."""
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= bounds
    agreeing: Bools = near | ~np.isfinite(expected) | np.isinf(bounds)
    return agreeing
