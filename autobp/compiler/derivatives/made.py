"""A derivative that was made: its function, what counts where it is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from autobp.compiler import machine_code
from autobp.compiler.careful import mean_with_care, rows_with_care
from autobp.compiler.derivatives.programs import program_of
from autobp.compiler.derivatives.proof import prove
from autobp.compiler.derivatives.symmetric import is_symmetric
from autobp.compiler.derivatives.walked import Walks, jacobian, numbers
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.functions import Functions
from autobp.compiler.other_arrays import is_foreign, place_of
from autobp.compiler.pipeline import Outputs, Signature, outputs_of
from autobp.ir import Floats
from autobp.reading.graph import Graph

_DOCSTRINGS = {
    "gradient": "{cost}, and its gradient by {x}.",
    "hessian": "{cost}, and its second derivatives by {x}.",
    "hvp": "{cost}, and its second derivatives by {x} times v.",
    "rows": "Each row's cost, and its derivatives by {x}.",
    "columns": "The outputs for each row, and their derivatives by {x}.",
    "pulled": "The outputs for each row, and the derivatives by {x} of their sum weighted by w.",
    "vjp": "The outputs for each row, and the derivatives by {x} of their sum weighted by w.",
    "jvp": "The outputs for each row, and their derivative by {x} in the direction v.",
}
T = TypeVar("T")

#: Bytes that are worked on at once, where rows can be taken some at a time; more where as much is needed
#: however few rows there are, which all parts pay for: so many times that, up to a bound.
_MEMORY, _TIMES, _MOST_MEMORY = 4_000_000, 16, 256_000_000


class Origin(Protocol):
    """What a derivative is made of: an executable, or what stands for one.

    Attributes:
        graph, signature: what is differentiated.
        check: whether to name the first statement whose result is not finite.
        wanted: what was asked for to run it.
    """

    @property
    def graph(self) -> Graph: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def check(self) -> bool: ...
    @property
    def wanted(self) -> machine_code.Wanted: ...
    def other(self, key: Any, make: Callable[[], T]) -> T:
        """What is made of it when first asked for, and kept."""
        ...


def _runs(executable: Origin) -> machine_code.Wanted:
    """What is to run a derivative: what was asked for, or what is faster for as many calls and rows."""
    if executable.wanted.backend == "c":  # which there may be none of for the derivative
        return machine_code.Wanted("auto", calls=math.inf, before=executable.wanted.before)
    return executable.wanted


class Made(Functions):
    """The function of a derivative, made from the graph of an executable.

    Args:
        wanted: which one.

    Raises NoDerivative where it cannot be made.
    """

    def __init__(self, executable: Origin, wanted: Wanted) -> None:
        graph, signature = executable.graph, executable.signature
        outputs: Outputs = executable.other("outputs", lambda: outputs_of(graph, signature))
        program = program_of(wanted, outputs, is_symmetric(graph))
        target = ["theta", *signature.arguments][wanted.by]
        cost = "The mean cost over the rows" if wanted.over_rows else "Each row's cost"
        cost += ", times its weight" if wanted.weighted else ""
        docstring = _DOCSTRINGS[wanted.kind].format(cost=cost, x=target)
        name = wanted.name
        runs = _runs(executable)
        super().__init__({name: program}, {name: docstring}, graph, outputs.scalars, executable.check, runs)
        self.which, self.signature, self.program = wanted, signature, program
        self.walks: Walks = executable.other(("walks", wanted.by), lambda: Walks(graph, signature, wanted.by))
        work = self.work[name]
        each = max(1, work.n_bytes(2) - work.n_bytes(1))
        whatever_the_rows = max(0, work.n_bytes(1) - each)
        most = max(_MEMORY, min(_TIMES * whatever_the_rows, _MOST_MEMORY))
        self.at_once = max(16, most // each)
        self.executable = executable
        self.n_data = len(signature.samples) + wanted.weighted

    def __call__(self, theta: Floats, arrays: Sequence[Floats]) -> tuple[Any, Floats]:
        """Cost or outputs, and the derivative, as they are right at edges too.

        Args:
            arrays: the arguments with rows, and the vector where there is one; one with rows as (m, size).
        """
        if is_foreign(theta):
            names = [self.program.names[x] for x in self.program.inputs]
            elsewhere = self.on_arrays.function(self.which.name, place_of(theta, arrays, names))
            given: tuple[Any, Any] = elsewhere(theta, *arrays)
            return given
        found = self.some_at_a_time(theta, arrays)
        if np.isfinite(found[0]).all() and np.isfinite(found[1]).all():
            return found
        with np.errstate(all="ignore"):
            return self.with_care(found, theta, arrays)

    # --------------------------------------------------------------------------------------------- rows

    def some_at_a_time(self, theta: Floats, arrays: Sequence[Floats]) -> tuple[Any, Floats]:
        """What the program gives, for as many rows at once as there is fast memory for."""
        name, m = self.which.name, self.n_rows(arrays)
        if m <= self.at_once or self.which.kind == "vjp":
            found: tuple[Any, Floats] = self.run(name, theta, arrays)
            return found
        parts = []
        weights = []
        size = -(-m // -(-m // self.at_once))  # as many rows in each part, but for the last
        for first in range(0, m, size):
            rows = slice(first, min(m, first + size))
            parts.append(self.run(name, theta, self.taken(arrays, rows)))
            weights.append((rows.stop - first) / m)
        firsts, derivatives = zip(*parts, strict=True)
        if self.which.over_rows:
            with np.errstate(all="ignore"):
                cost = sum(weight * x for weight, x in zip(weights, firsts, strict=True))
                total = derivatives[0] * weights[0]
                for weight, derivative in zip(weights[1:], derivatives[1:], strict=True):
                    total += weight * derivative
                return cost, total
        return np.concatenate(firsts), np.concatenate(derivatives)

    def n_rows(self, arrays: Sequence[Floats]) -> int:
        """The number of rows; 0 where there are no data."""
        return len(arrays[0]) if self.program.has_samples else 0

    def taken(self, arrays: Sequence[Floats], rows: Any) -> list[Floats]:
        """Some rows of those arrays that have rows."""
        return [
            array[rows] if x.batched else array for x, array in zip(self.program.inputs, arrays, strict=True)
        ]

    # ------------------------------------------------------------------------------------------- at edges

    def with_care(
        self, found: tuple[Any, Floats], theta: Floats, arrays: Sequence[Floats]
    ) -> tuple[Any, Floats]:
        """The program's numbers, and the graph's own in place of those that are not finite."""
        first, derivative = found
        if self.which.kind == "vjp" and self.which.over_rows:
            outputs, rows = made_of(self.executable, Wanted("pulled"))(theta, arrays)
            return outputs, rows.sum(0) if self.n_rows(arrays) else rows
        if not self.which.over_rows:
            m = max(1, self.n_rows(arrays))
            outputs = np.reshape(first, (m, -1))
            rows = np.hstack([outputs, derivative.reshape(m, -1)])
            merged = rows_with_care(
                rows, outputs.shape[1], lambda some: self.walked(theta, some), self.by_row(arrays)
            )
            n = outputs.shape[1]
            return merged[:, :n].reshape(np.shape(first)), merged[:, n:].reshape(derivative.shape)

        def flat(result: tuple[Any, Floats]) -> Floats:
            return np.hstack([result[0], result[1].reshape(-1)])

        data = arrays[: self.n_data]
        vector = arrays[len(data) :]
        total = mean_with_care(
            flat(found),
            lambda rows: flat(self.some_at_a_time(theta, [*rows, *vector])),
            lambda rows: self.walked(theta, [*rows, *vector]),
            theta,
            data,
        )
        return total[0], total[1:].reshape(derivative.shape)

    def by_row(self, arrays: Sequence[Floats]) -> list[Floats]:
        """All arguments with rows, a vector that is the same for all of them too."""
        m = max(1, self.n_rows(arrays))
        return [
            array if x.batched else np.broadcast_to(array, (m, *array.shape))
            for x, array in zip(self.program.inputs, arrays, strict=True)
        ]

    def walked(self, theta: Floats, arrays: Sequence[Floats]) -> Floats:
        """Each row's cost or outputs, and the derivative, by the scalar graph."""
        if self.which.weighted:
            weights = arrays[self.n_data - 1].reshape(-1, 1)
            rest = [*arrays[: self.n_data - 1], *arrays[self.n_data :]]
            rows = self.walked_without_weights(theta, rest)
            return np.where(weights == 0.0, 0.0, weights * rows)  # a row without weight is left out
        return self.walked_without_weights(theta, arrays)

    def walked_without_weights(self, theta: Floats, arrays: Sequence[Floats]) -> Floats:
        kind, walks = self.which.kind, self.walks
        data = arrays[: len(self.signature.samples)]
        vector = arrays[-1] if self.which.has_vector else None
        m = len(data[0]) if data else 1
        if kind in ("hessian", "hvp"):
            n = walks.size
            columns = [numbers(walks.column_of_hessian(j), theta, data) for j in range(n)]
            outputs = columns[0][:, :1]
            matrix = np.stack([column[:, 1:] for column in columns], axis=2)
        else:
            walk = jacobian(self.graph, self.which.by, walks.size, theta, data)
            outputs, matrix = walk[:, : walks.n_outputs], walk[:, walks.n_outputs :]
            matrix = matrix.reshape(m, walks.n_outputs, walks.size)
        if vector is not None:
            if not self.program.inputs[-1].batched and vector.ndim == 1 + (self.which.directions > 0):
                vector = np.broadcast_to(vector, (m, *vector.shape))
            if self.which.directions:
                matrix = np.stack([_times(matrix, v) for v in np.moveaxis(vector, 1, 0)], axis=1)
            elif kind in ("pulled", "vjp"):
                matrix = _times(np.swapaxes(matrix, 1, 2), vector)
            else:
                matrix = _times(matrix, vector)
        return np.hstack([outputs, matrix.reshape(m, -1)])


def made_of(executable: Origin, wanted: Wanted) -> Made:
    """The function of a derivative, made when it is first asked for."""

    def make() -> Made:
        made = Made(executable, wanted)
        prove(made)
        return made

    return executable.other(wanted, make)


def _times(matrix: Floats, vector: Floats) -> Floats:
    """Each row's matrix (m, a, b) times its vector (m, b); what a 0 is multiplied with is left out."""
    v = vector[:, None, :]
    product: Floats = np.where(v == 0.0, 0.0, matrix * v).sum(-1)
    return product
