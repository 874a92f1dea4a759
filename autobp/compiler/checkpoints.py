"""A gradient whose way back through loops keeps little, for as many rows as would else keep too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from autobp.compiler.functions import Functions
from autobp.compiler.machine_code import Wanted
from autobp.compiler.pipeline import Outputs, Signature, of_cost
from autobp.compiler.stretches import in_stretches
from autobp.compiler.verified import prove
from autobp.ir import Floats
from autobp.reading.graph import Graph


class WithCare(Protocol):
    """What counts where a function gave what is not finite: of an executable, the method."""

    def __call__(self, name: str, found: Any, theta: Floats, arrays: list[Floats]) -> Any: ...


def from_checkpoints(
    graph: Graph, signature: Signature, outputs: Outputs, with_care: WithCare, wanted: Wanted
) -> Functions:
    """The functions of a cost, "value" and "cost_and_gradient", the gradient from checkpoints.

    They are held against the graph, as those are that keep everything.

    Args:
        outputs: the program of the graph's outputs.
        with_care: what counts where they give what is not finite.
        wanted: what is to run them.

    Raises ProgramDiffers, and NoMachineCode where only machine code will do and there can be none.
    """
    stretches = in_stretches(outputs.outputs)
    forward = Outputs(stretches.outputs, {}, outputs.notes)
    compiled = of_cost(forward, stretches.recomputed)
    functions = Functions(compiled.programs, dict.fromkeys(compiled.programs, ""), graph, {}, wanted=wanted)

    def answer(name: str, theta: Floats, arrays: Any) -> Any:
        found = functions.run(name, theta, arrays)
        finite = np.isfinite(np.hstack(found) if isinstance(found, tuple) else found).all()
        return found if finite else with_care(name, found, theta, arrays)

    prove(answer, graph, signature, replace(compiled, scalars={}))
    return functions
