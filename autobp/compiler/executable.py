"""What one graph became: programs, their source text, and the functions it defines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from autobp.backends import numpy_calls
from autobp.backends.latex import equations
from autobp.backends.numpy_checked import Statement, checker, write_checked
from autobp.backends.numpy_text import source_of
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.backends.steps import Work
from autobp.compiler.names import matrices
from autobp.compiler.pipeline import Signature, programs_of
from autobp.ir import Floats
from autobp.reading.graph import Graph

_KEPT = 8  # numbers of rows for which a thread keeps buffers


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
        notes: why what repeats in the graph is no loop.
    """

    def __init__(self, graph: Graph, signature: Signature, check: bool = False) -> None:
        self.result_shape = signature.result_shape
        compiled = programs_of(graph, signature)
        self.programs = compiled.programs
        self.matrices = matrices(self.programs["value"], signature.labels)
        docstring = f"Compiled by autobp from {len(graph.parents):,} scalar nodes."
        docstrings = _DOCSTRINGS if self.result_shape is None else {"value": _DOCSTRING_OF_OUTPUTS}
        self.text = source_of(self.programs, docstring, docstrings)
        self.n_statements = len(self.text.functions[-1].lines)
        self.notes = tuple(compiled.notes)
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
                text, found = write_checked(
                    name, program, checked_module, docstrings[name], compiled.scalars, len(self.statements)
                )
                checked.append(text)
                self.statements += found
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
        """One of the functions, and this thread's buffers for m rows.

        Raises MemoryError where they are larger than the machine's memory, before they are allocated.
        """
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
            _check_memory(self.work[name].n_bytes(m), m)
            work = kept[name, m] = self.work[name].allocate(m)
        return self._namespace[name], work

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name not in ("_namespace", "_work")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def _check_memory(needed: int, m: int) -> None:
    """Raise where buffers cannot fit: NumPy would get their memory, and the system end the process in use."""
    there = memory_of_machine()
    if there is not None and needed > there:
        raise MemoryError(
            f"what is kept for {max(m, 1):,} rows, of each step of a loop too, needs {needed / 1e9:,.1f} GB "
            f"of memory, and this machine has {there / 1e9:,.1f} GB: pass fewer rows at a time, and average "
            "costs and gradients"
        )


def memory_of_machine() -> int | None:
    """The bytes of memory that the machine has; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def compile_source(source: str) -> Any:
    """The source as a code object."""
    return compile(source, "<compiled by autobp>", "exec")
