"""What one graph became: programs, their source text, and the functions it defines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autobp.compiler.check import CheckedWriter, Statement, checker
from autobp.compiler.emit import Module, Writer
from autobp.compiler.fast import FastWriter, Work
from autobp.compiler.ir import Array, Floats, Indices, Program, Total
from autobp.compiler.names import matrices
from autobp.compiler.notation import equations
from autobp.compiler.pipeline import Signature, programs_of
from autobp.reading.graph import Graph

_KEPT = 8  # numbers of rows for which a thread keeps buffers


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

    def __init__(self, graph: Graph, signature: Signature, check: bool = False) -> None:
        self.result_shape = signature.result_shape
        compiled = programs_of(graph, signature)
        self.programs = compiled.programs
        self.matrices = matrices(self.programs["value"], signature.labels)
        self.graph = graph if check else None
        self.statements: list[Statement] = []
        self.work: dict[str, Work] = {}
        module, fast_module, checked_module = Module(), Module(), Module()
        functions, fast, checked = [], [], []
        for name, program in self.programs.items():
            text, self.n_statements = _readable(module, name, program)
            functions.append(text)
            text, self.work[name] = _fast(fast_module, name, program)
            fast.append(text)
            if check:
                checked.append(_checked(checked_module, name, program, self.statements, compiled.scalars))
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


def _readable(module: Module, name: str, program: Program) -> tuple[str, int]:
    """A function to read, and the number of its statements."""
    writer = Writer(module, program)
    lines = [*_head(program), *writer.lines]
    return _function(name, program, (), lines, _returned(writer, program)), len(lines)


def _fast(module: Module, name: str, program: Program) -> tuple[str, Work]:
    """A function to run, and the buffers that it needs."""
    inner = _with_inner_names(program)
    writer = FastWriter(module, inner)
    returned = _returned(writer, inner)
    lines = [*_head(inner), *writer.lines]
    if work_names := writer.work.names():
        lines.insert(0, f"{', '.join(work_names)}, = work")
    return _function(name, inner, ("work",), lines, returned), writer.work


def _checked(
    module: Module,
    name: str,
    program: Program,
    statements: list[Statement],
    scalars: Mapping[Array, Indices],
) -> str:
    """A function that calls ``finite`` after each statement."""
    writer = CheckedWriter(module, program)
    lines = [*_head(program), *writer.checked_lines(statements, scalars)]
    return _function(name, program, ("work",), lines, _returned(writer, program))


def _function(name: str, program: Program, more: Sequence[str], lines: Sequence[str], result: str) -> str:
    docstring = _DOCSTRINGS[name if program.result_shape is None else "outputs"]
    arguments = ", ".join(["theta", *[program.names[x] for x in program.inputs], *more])
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
