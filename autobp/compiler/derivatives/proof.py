"""A derivative proves itself before it is used: on the sample that was traced it gives what the graph gives.

A matrix is held against the graph by its product with a vector of chance, which the engine's forward and
reverse mode give at the cost of a few walks: a fault of structure would have to be blind to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autobp.compiler.verified import ROWS, ProgramDiffers, Sample, how_to_report
from autobp.compiler.witness import Witness, agree
from autobp.ir import Floats

if TYPE_CHECKING:
    from autobp.compiler.derivatives.made import Made

_ROUNDING = 1e-13  # of the absolute terms of the sums that the test itself adds up
_WEIGHT = 4.0  # of each row, where there are weights
_LARGE = 5_000  # nodes, of whose derivatives a graph is made only where numbers alone leave a doubt
_UNDERFLOW = 1e-280  # a number so small may have had factors that lost their digits


def prove(made: Made) -> None:
    """Hold a derivative against the graph; three rows of one sample.

    Raises ProgramDiffers where it differs by more than rounding can explain.
    """
    test = _Test(made)
    try:
        found, terms = test.found()
    except (FloatingPointError, IndexError):
        return  # the program refuses these numbers itself: an index out of range, or a step with check=True
    if len(made.graph) > _LARGE and test.is_near(found):
        return
    expected, bounds = test.expected(found)
    bounds = bounds + _ROUNDING * np.where(np.isfinite(terms), terms, 0.0) + _UNDERFLOW
    wrong = np.flatnonzero(~agree(found, expected, bounds))
    if len(wrong):
        at = int(wrong[0])
        raise ProgramDiffers(
            f"the program of {made.which.name} does not compute what its graph does, so it is not handed "
            f"out: number {at} of its product with a vector is {found[at]:.10g} by the program and "
            f"{expected[at]:.10g} by the graph; rounding explains a difference of {bounds[at]:.2g}.\n"
            f"{how_to_report()}"
        )


class _Test:
    """The sample of the trace, and a vector.

    Attributes:
        v: a direction; where there are second derivatives, what they are multiplied with.
        w: weights of the outputs.
    """

    def __init__(self, made: Made) -> None:
        self.made, self.walks = made, made.walks
        sample = Sample(made.graph, made.signature)
        self.theta, self.rows = sample.theta, sample.rows(ROWS)
        self.kind = made.which.kind
        self.second = self.kind in ("hessian", "hvp")
        random = np.random.default_rng(0)

        def vector(n: int) -> Floats:
            entries: Floats = random.uniform(0.5, 1.5, n) * random.choice([-1.0, 1.0], n)
            return entries

        self.v, self.w = vector(self.walks.size), vector(self.walks.n_outputs)
        if self.kind in ("rows", "gradient"):
            self.w[:] = 1.0

    def found(self) -> tuple[Floats, Floats]:
        """Cost or outputs of a row, and the derivative times the vector; and the absolute terms of that."""
        made, wanted = self.made, self.made.which
        arrays = list(self.rows)
        if wanted.weighted:
            arrays.append(np.full(ROWS, _WEIGHT) if self.rows else np.array([_WEIGHT]))
        vector = self.v if self.kind in ("hvp", "jvp") else self.w
        if wanted.has_vector:
            if wanted.directions:
                vector = np.tile(vector, (wanted.directions, 1))
            batched = made.program.inputs[-1].batched
            arrays.append(np.tile(vector, (ROWS, *[1] * vector.ndim)) if batched else vector)
        first, derivative = made(self.theta, arrays)
        if wanted.over_rows:
            n = ROWS if self.rows else 1
            derivative = derivative / n if self.kind == "vjp" else derivative
            first = np.reshape(first, (n, -1))[0] if self.kind == "vjp" else np.reshape(first, -1)
        elif self.rows:
            first, derivative = _first_of_the_same(first), _first_of_the_same(derivative)
        if wanted.directions:
            derivative = _first_of_the_same(derivative)
        outputs = np.reshape(first, -1)
        if self.kind == "hessian":
            product, terms = derivative @ self.v, np.abs(derivative) @ np.abs(self.v)
        elif self.kind == "columns":
            product, terms = self.w @ derivative, np.abs(self.w) @ np.abs(derivative)
        elif self.kind == "jvp":
            product = np.atleast_1d(derivative @ self.w)
            terms = np.atleast_1d(np.abs(derivative) @ np.abs(self.w))
        else:
            product, terms = derivative.reshape(-1), 0.0 * derivative.reshape(-1)
        found, of_sums = np.hstack([outputs, product]), np.hstack([0.0 * outputs, terms])
        return (found / _WEIGHT, of_sums / _WEIGHT) if wanted.weighted else (found, of_sums)

    def is_near(self, found: Floats) -> bool:
        """Whether all agree to nine digits with what the graph has by numbers, or to 13 of the largest."""
        numbers = self.walks.once(self.second, self.v if self.second else self.w)
        if self.kind == "jvp":
            n = self.walks.n_outputs
            numbers = np.hstack([numbers[:n], numbers[n:] @ self.v])
        if not np.isfinite(numbers).all():
            return False
        allowed = 1e-9 * np.abs(numbers) + 1e-13 * np.abs(numbers).max()
        return bool((np.abs(found - numbers) <= allowed).all())

    def expected(self, found: Floats) -> tuple[Floats, Floats]:
        """What the graph has for it, and what rounding allows."""
        graph = self.walks.product_with_hessian() if self.second else self.walks.pulled()
        last = self.v if self.second else self.w
        data = [array[:1].reshape(1, -1) for array in self.rows]
        witness = Witness(graph, False, self.theta, [*data, last[None, :]])
        numbers, n = witness.numbers[0], self.walks.n_outputs
        if self.kind != "jvp":
            return numbers, witness.bounds(found[None, :])[0]
        # w·(J v) is one number, (wᵀ J)·v the sum of several, each of which may be rounded as it may
        bounds = witness.of_rounding(np.array([0]))[0][0] + 1e-12 * np.abs(numbers)
        return (
            np.hstack([numbers[:n], numbers[n:] @ self.v]),
            np.hstack([bounds[:n], bounds[n:] @ np.abs(self.v)]),
        )


def _first_of_the_same(rows: Floats) -> Floats:
    """The first of rows that must be the same; NaN where they are not, to within rounding."""
    same = np.abs(rows - rows[0]) <= 1e-9 * np.abs(rows[0])
    same |= ~np.isfinite(rows)
    first: Floats = np.where(same.all(0), rows[0], np.nan)
    return first
