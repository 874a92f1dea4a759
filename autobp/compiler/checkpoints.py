"""A gradient whose way back through loops keeps little, for as many rows as would else keep too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from autobp.compiler.functions import Functions
from autobp.compiler.pipeline import Outputs, Signature, of_cost
from autobp.compiler.stretches import in_stretches
from autobp.compiler.verified import prove
from autobp.ir import Floats
from autobp.machine.memory import memory_of_machine
from autobp.reading.graph import Graph

_SHARE = 4  # a gradient may keep one part in so many of the machine's memory
_UNTOLD = 2**30  # bytes that it may keep where the system does not say how much memory there is


def most_kept() -> int:
    """The bytes of what is kept for a gradient, above which it is computed from checkpoints."""
    there = memory_of_machine()
    return _UNTOLD if there is None else there // _SHARE


class WithCare(Protocol):
    """What counts where a function gave what is not finite: of an executable, the method."""

    def __call__(self, name: str, found: Any, theta: Floats, arrays: list[Floats]) -> Any: ...


def from_checkpoints(graph: Graph, signature: Signature, outputs: Outputs, with_care: WithCare) -> Functions:
    """The functions of a cost, "value" and "cost_and_gradient", the gradient from checkpoints.

    They are held against the graph, as those are that keep everything.

    Args:
        outputs: the program of the graph's outputs.
        with_care: what counts where they give what is not finite.

    Raises ProgramDiffers.
    """
    stretches = in_stretches(outputs.outputs)
    forward = Outputs(stretches.outputs, {}, outputs.notes)
    compiled = of_cost(forward, stretches.recomputed)
    functions = Functions(compiled.programs, dict.fromkeys(compiled.programs, ""), graph, {})

    def answer(name: str, theta: Floats, arrays: Any) -> Any:
        found = functions.run(name, theta, arrays)
        finite = np.isfinite(np.hstack(found) if isinstance(found, tuple) else found).all()
        return found if finite else with_care(name, found, theta, arrays)

    prove(answer, graph, signature, replace(compiled, scalars={}))
    return functions
