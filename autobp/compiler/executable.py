"""What one graph became: programs, their source text, and the functions it defines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autobp.compiler.canonical import canonicalise
from autobp.compiler.check import CheckedWriter, Statement, checker
from autobp.compiler.differentiate import differentiate
from autobp.compiler.emit import Module, Writer
from autobp.compiler.fast import FastWriter, Work
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
    Total,
    View,
)
from autobp.compiler.names import is_parameter, name_backward, name_forward, parameter_positions
from autobp.compiler.notation import equations
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
    "outputs": "The outputs for each row.",
}


class Executable:
    """What one graph became: source text, and the functions it defines.

    Attributes:
        programs: by the name of the function each became.
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
        module, fast_module, checked_module = Module(), Module(), Module()
        functions, fast, checked = [], [], []
        self.graph = graph if check else None
        self.statements: list[Statement] = []
        self.work: dict[str, Work] = {}
        for name, program in self.programs.items():
            docstring = _DOCSTRINGS[name if result_shape is None else "outputs"]
            head = _head(program)
            arguments = ", ".join(["theta", *[program.names[x] for x in program.inputs]])
            writer = Writer(module, program)
            functions.append(
                _function(name, arguments, docstring, [*head, *writer.lines], _returned(writer, program))
            )
            self.n_statements = len(writer.lines) + len(head)
            inner = _with_inner_names(program)
            tuned = FastWriter(fast_module, inner)
            returned = _returned(tuned, inner)
            self.work[name] = tuned.work
            lines = [*_head(inner), *tuned.lines]
            if work_names := tuned.work.names():
                lines.insert(0, f"{', '.join(work_names)}, = work")
            inner_arguments = ", ".join(["theta", *[inner.names[x] for x in inner.inputs], "work"])
            fast.append(_function(name, inner_arguments, docstring, lines, returned))
            if check:
                slow = CheckedWriter(checked_module, program)
                lines = [*head, *slow.checked_lines(self.statements, scalars)]
                result = _returned(slow, program)
                checked.append(_function(name, f"{arguments}, work", docstring, lines, result))
        docstring = f"Compiled by autobp from {len(graph.parents):,} scalar nodes."
        self._module, self._functions, self._docstring = module, functions, docstring
        run = (checked_module, checked) if check else (fast_module, fast)
        self.run_source = run[0].text(run[1], docstring, with_constants=False)
        self.constants = run[0].constants
        self.latex = equations(list(self.programs.values())[-1])
        self._start()

    @property
    def source(self) -> str:
        """A module that imports only NumPy and runs on its own, numbers and all."""
        return self._module.text(self._functions, self._docstring)

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


def _function(name: str, arguments: str, docstring: str, lines: Sequence[str], result: str) -> str:
    body = "\n".join(f"    {line}" for line in [f'"""{docstring}"""', *lines, f"return {result}"])
    return f"def {name}({arguments}):\n{body}\n"


def _with_inner_names(program: Program) -> Program:
    """The program with arguments called as no buffer and no helper is."""
    inner: dict[Array, str] = {x: f"_x{x.number + 1}" for x in program.inputs}
    return replace(program, names={**program.names, **inner})


def _head(program: Program) -> list[str]:
    """The statements that make each argument (m, elements of a sample)."""
    names = [program.names[x] for x in program.inputs]
    if not names:
        return []
    return [f"m = len({names[0]})"] + [
        f"{name} = {name}.reshape(m, {x.size})"
        for name, x in zip(names, program.inputs, strict=True)
        if len(x.sample) != 1
    ]


def _returned(writer: Writer, program: Program) -> str:
    """What a function returns."""
    result = program.results[0]
    if program.result_shape is None:
        assert isinstance(result, Total)
        cost = writer.cost_text(result.terms)
        return ", ".join([cost, *[writer.of(x) for x in program.results[1:]]])
    inner = ", ".join(map(str, program.result_shape))
    shaped = f"{writer.of(result)}.reshape({'m, ' if result.batched else ''}{inner})"
    if program.inputs and not result.batched:
        shaped = f"np.broadcast_to({shaped}, (m, {inner}))"
    return f"np.array({shaped})" if isinstance(writer, FastWriter) else shaped


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
