"""What one graph became: programs, their source text, and the functions it defines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from autobp.backends.latex import equations
from autobp.compiler.careful import mean_with_care, rows_with_care, walked
from autobp.compiler.checkpoints import from_checkpoints, most_kept
from autobp.compiler.functions import Functions
from autobp.compiler.machine_code import BY_NUMPY, Wanted
from autobp.compiler.names import matrices
from autobp.compiler.pipeline import Reading, Signature, outputs_of, programs_of
from autobp.compiler.report import left_by_loops
from autobp.compiler.verified import prove
from autobp.ir import Floats
from autobp.reading.graph import Graph

_FEW = 4096  # parameters: to look at so many is nothing beside the rest

_DOCSTRINGS = {
    "value": "The mean cost over the rows.",
    "cost_and_gradient": "The mean cost over the rows, and its gradient by theta.",
}
_DOCSTRING_OF_OUTPUTS = "The outputs for each row."

T = TypeVar("T")


class Executable(Functions):
    """What one graph became: source text, and the functions it defines.

    Attributes:
        signature: what the function takes and gives.
        matrices: (name, positions in theta) of each matrix of parameters.
        result_shape: of the outputs for one sample; None for a scalar.
        notes: why what repeats in the graph is no loop.
        left: of the loops in order, a few nodes of the graph that each computes.
        looks_at_gradient: whether a gradient is looked at: it may be infinite, or is short enough.
    """

    OF_THE_PROCESS = Functions.OF_THE_PROCESS | {"_others", "_making"}

    def __init__(
        self,
        graph: Graph,
        signature: Signature,
        check: bool = False,
        wanted: Wanted = BY_NUMPY,
        reading: Reading | None = None,
    ) -> None:
        self.signature, self.result_shape = signature, signature.result_shape
        compiled = programs_of(graph if reading is None else reading, signature)
        docstrings = _DOCSTRINGS if self.result_shape is None else {"value": _DOCSTRING_OF_OUTPUTS}
        super().__init__(compiled.programs, docstrings, graph, compiled.scalars, check, wanted)
        self.matrices = matrices(self.programs["value"], signature.labels)
        self.notes = tuple(compiled.notes)
        self.left = left_by_loops(list(self.programs.values())[-1], compiled.scalars)
        self.looks_at_gradient = len(signature.labels) <= _FEW or compiled.infinite_slopes
        _ = self.choice
        prove(self.answer, graph, signature, compiled)

    @cached_property
    def latex(self) -> str:
        """The program as equations."""
        return equations(list(self.programs.values())[-1])

    @property
    def n_statements(self) -> int:
        """The statements of the cost and gradient, or of the outputs, as they are written."""
        return len(self.text.functions[-1].lines)

    def start(self) -> None:
        super().start()
        self._others: dict[Any, Any] = {}
        self._making = threading.RLock()

    def other(self, key: Any, make: Callable[[], T]) -> T:
        """What is made of the graph when first asked for, by key, and kept; a pickle does not hold it."""
        with self._making:
            if key not in self._others:
                self._others[key] = make()
            found: T = self._others[key]
            return found

    def by_numpy(self, name: str, m: int) -> tuple[Callable[..., Any], list[Any]]:
        """The function that NumPy runs, and this thread's work for m rows; from checkpoints for many."""
        work = self.work[name]
        if name == "cost_and_gradient" and work.bodies and not self.check:
            kept = work.n_bytes(m)
            if kept > most_kept() and 2 * self.from_checkpoints.work[name].n_bytes(m) < kept:
                return self.from_checkpoints.by_numpy(name, m)
        return super().by_numpy(name, m)

    @property
    def from_checkpoints(self) -> Functions:
        """The functions of the cost that keep little of loops, made when they are first needed."""
        graph, signature = self.graph, self.signature
        outputs = self.other("outputs", lambda: outputs_of(graph, signature))
        return self.other("checkpoints", lambda: from_checkpoints(graph, signature, outputs, self.with_care))

    def answer(self, name: str, theta: Floats, arrays: Sequence[Floats]) -> Any:
        """What one of the functions gives, and what counts where that is not finite."""
        found = self.run(name, theta, arrays)
        finite = np.isfinite(np.hstack(found) if name == "cost_and_gradient" else found).all()
        return found if finite else self.with_care(name, found, theta, arrays)

    def with_care(self, name: str, found: Any, theta: Floats, arrays: Sequence[Floats]) -> Any:
        """What counts where a function gave what is not finite (:mod:`autobp.compiler.careful`)."""
        if self.result_shape is not None:
            rows = found.reshape(len(arrays[0]) if arrays else 1, -1)
            n = rows.shape[1]
            with np.errstate(all="ignore"):
                merged = rows_with_care(
                    rows, n, lambda some: walked(self.graph, theta, some, n, False), arrays
                )
            return merged.reshape(found.shape)

        def flat(result: Any) -> Floats:
            return np.hstack(result) if isinstance(result, tuple) else np.full(1, result)

        numbers = flat(found)
        with np.errstate(all="ignore"):
            total = mean_with_care(
                numbers,
                lambda rows: flat(self.run(name, theta, rows)),
                lambda rows: walked(self.graph, theta, rows, len(numbers)),
                theta,
                arrays,
            )
        return (total[0], total[1:]) if name == "cost_and_gradient" else total[0]
