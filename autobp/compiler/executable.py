"""What one graph became: programs, their source text, and the functions it defines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp.backends import numpy_calls
from autobp.backends.latex import equations
from autobp.backends.numpy_checked import Statement, checker, write_checked
from autobp.backends.numpy_text import source_of
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.backends.steps import Work
from autobp.compiler.canonical import canonicalise
from autobp.compiler.differentiate import differentiate
from autobp.compiler.group import Groups
from autobp.compiler.ir import (
    Argument,
    Array,
    Floats,
    Gather,
    Indices,
    Program,
    Reshape,
    Shape,
    View,
)
from autobp.compiler.names import is_parameter, name_backward, name_forward, parameter_positions
from autobp.compiler.total import mean_cost
from autobp.compiler.trace import Graph

_KEPT = 8  # numbers of rows for which a thread keeps buffers


def programs_of(
    graph: Graph,
    result_shape: Shape | None,
    samples: Sequence[Shape],
    names: Sequence[str],
    labels: Sequence[str],
) -> tuple[dict[str, Program], dict[Array, Indices]]:
    """The programs of a graph, by the name of the function each becomes, and their arrays' scalar nodes.

    Args:
        graph: of one sample.
        result_shape: of the outputs; None where the result is a cost.
        samples: the shape of each argument.
        names: what the arguments are called.
        labels: of the parameters.
    """
    groups = Groups(canonicalise(graph), len(labels), samples)
    output = groups.output
    arguments: tuple[Argument, ...] = (groups.theta, *groups.inputs)
    forward: dict[Array, str] = dict(zip(groups.inputs, names, strict=True))
    forward.update(name_forward(output, labels))
    if result_shape is not None:
        value = Program(arguments, (output,), forward, result_shape)
        return {"value": value}, groups.scalars
    cost = mean_cost(output)
    value = Program(arguments, (cost,), forward)
    gradient, adjoints = differentiate(output, groups.theta)
    backward = name_backward({**forward, gradient: "gradient"}, output, gradient, adjoints)
    both = Program(arguments, (cost, gradient), backward)
    return {"value": value, "cost_and_gradient": both}, groups.scalars


_DOCSTRINGS = {
    "value": "The mean cost over the rows.",
    "cost_and_gradient": "The mean cost over the rows, and its gradient by theta.",
}
_DOCSTRING_OF_OUTPUTS = "The outputs for each row."


class Executable:
    """What one graph became: source text, and the functions it defines.

    Attributes:
        programs: by the name of the function each became.
        text: its readable source.
        n_statements: the statements of its functions, forward and backward.
        matrices: (name, positions in theta) of each matrix of parameters.
        result_shape: of the outputs for one sample; None for a scalar.
    """

    def __init__(
        self,
        graph: Graph,
        result_shape: Shape | None,
        samples: Sequence[Shape],
        names: Sequence[str],
        labels: Sequence[str],
        check: bool = False,
    ) -> None:
        self.result_shape = result_shape
        self.programs, scalars = programs_of(graph, result_shape, samples, names, labels)
        self.matrices = _matrices(self.programs["value"], labels)
        docstring = f"Compiled by autobp from {len(graph.parents):,} scalar nodes."
        docstrings = _DOCSTRINGS if result_shape is None else {"value": _DOCSTRING_OF_OUTPUTS}
        self.text = source_of(self.programs, docstring, docstrings)
        self.n_statements = len(self.text.functions[-1].lines)
        self.graph = graph if check else None
        self.statements: list[Statement] = []
        self.work: dict[str, Work] = {}
        fast_module, checked_module = SourceModule(), SourceModule()
        fast, checked = [], []
        for name, program in self.programs.items():
            plan = schedule(program)
            self.work[name] = plan.work
            fast.append(numpy_calls.write(name, program, plan, fast_module, docstrings[name]))
            if check:
                checked.append(
                    write_checked(name, program, checked_module, docstrings[name], self.statements, scalars)
                )
        run = (checked_module, checked) if check else (fast_module, fast)
        self.run_source = run[0].text(run[1], docstring, with_constants=False)
        self.constants = run[0].constants
        self.latex = equations(list(self.programs.values())[-1])
        self._start()

    @property
    def source(self) -> str:
        """A module that imports only NumPy and runs on its own, numbers and all."""
        return self.text.text

    def _start(self) -> None:
        self._namespace: dict[str, Any] | None = None
        self._work = threading.local()

    def prepared(self, name: str, m: int) -> tuple[Callable[..., Any], list[Floats]]:
        """One of the functions, and this thread's buffers for m rows."""
        if self._namespace is None:
            namespace: dict[str, Any] = dict(self.constants)
            if self.graph is not None:
                namespace["finite"] = checker(self.graph, self.statements)
            exec(compile_source(self.run_source), namespace)
            self._namespace = namespace
        kept: dict[tuple[str, int], list[Floats]] = self._work.__dict__.setdefault("buffers", {})
        work = kept.get((name, m))
        if work is None:
            while len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            work = kept[name, m] = self.work[name].allocate(m)
        return self._namespace[name], work

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name not in ("_namespace", "_work")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def compile_source(source: str) -> Any:
    """The source as a code object."""
    return compile(source, "<compiled by autobp>", "exec")


def _matrices(program: Program, labels: Sequence[str]) -> list[tuple[str, Any]]:
    covered = np.zeros(len(labels), dtype=bool)
    found: list[tuple[str, Any]] = []
    names: set[str] = set()
    chosen = []
    for array in program.arrays:
        if isinstance(array, View | Gather | Reshape) and is_parameter(array):
            chosen.append((program.names.get(array, ""), parameter_positions(array)))
    for name, positions in sorted(chosen, key=lambda pair: (not pair[0], pair[1].flat[0])):
        squeezed = positions.squeeze() if positions.ndim > 2 else positions
        flat = squeezed.reshape(-1)
        if covered[flat].any() or len(np.unique(flat)) < len(flat):
            continue
        covered[flat] = True
        unique = name or f"P{1 + len(found)}"
        while unique in names:
            unique += "_"
        names.add(unique)
        found.append((unique, squeezed))
    for i in np.flatnonzero(~covered).tolist():
        found.append((labels[i] or f"theta[{i}]", np.array(i)))
    return sorted(found, key=lambda pair: int(pair[1].flat[0]))
