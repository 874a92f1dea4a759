"""What one graph became: programs, their source text, and the functions it defines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autobp.backends import numpy_calls
from autobp.backends.c_text import CSource, c_source
from autobp.backends.latex import equations
from autobp.backends.numpy_checked import Statement, checker, write_checked
from autobp.backends.numpy_text import source_of
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.backends.steps import Work
from autobp.compiler.careful import mean_with_care, outputs_with_care
from autobp.compiler.machine_code import BY_NUMPY, Choice, Wanted, choose
from autobp.compiler.names import matrices
from autobp.compiler.other_arrays import OnArrays
from autobp.compiler.pipeline import Signature, programs_of
from autobp.compiler.verified import prove
from autobp.ir import Floats
from autobp.reading.graph import Graph

_FEW = 4096  # parameters: to look at so many is nothing beside the rest
_KEPT = 8  # numbers of rows for which a thread keeps buffers
_OF_THE_PROCESS = ("_namespace", "_choice", "_lock", "_work", "_on_arrays")

_DOCSTRINGS = {
    "value": "The mean cost over the rows.",
    "cost_and_gradient": "The mean cost over the rows, and its gradient by theta.",
}
_DOCSTRING_OF_OUTPUTS = "The outputs for each row."


class Executable:
    """What one graph became: source text, and the functions it defines.

    Attributes:
        signature: what it takes and gives.
        programs: by the name of the function each became.
        text: its readable source.
        n_statements: the statements of its functions, forward and backward.
        matrices: (name, positions in theta) of each matrix of parameters.
        result_shape: of the outputs for one sample; None for a scalar.
        notes: why what repeats in the graph is no loop.
        looks_at_gradient: whether a gradient is looked at: it may be infinite, or is short enough.
    """

    _choice: Choice | None
    _on_arrays: OnArrays | None
    _lock: threading.Lock

    def __init__(
        self, graph: Graph, signature: Signature, check: bool = False, wanted: Wanted = BY_NUMPY
    ) -> None:
        self.signature, self.result_shape = signature, signature.result_shape
        compiled = programs_of(graph, signature)
        self.programs = compiled.programs
        self.matrices = matrices(self.programs["value"], signature.labels)
        docstring = self.about = f"Compiled by autobp from {len(graph.parents):,} scalar nodes."
        docstrings = _DOCSTRINGS if self.result_shape is None else {"value": _DOCSTRING_OF_OUTPUTS}
        self.text = source_of(self.programs, docstring, docstrings)
        self.n_statements = len(self.text.functions[-1].lines)
        self.notes = tuple(compiled.notes)
        self.looks_at_gradient = len(signature.labels) <= _FEW or compiled.infinite_slopes
        self.graph, self.check = graph, check
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
        self.wanted = wanted
        self.start()
        _ = self.choice
        prove(self.answer, graph, signature, compiled)

    @property
    def source(self) -> str:
        """A module that imports only NumPy and runs on its own, numbers and all."""
        return self.text.text

    @property
    def c_source(self) -> str:
        """A file of C that needs only math.h. Raises TypeError where Python code computes an operation."""
        return self.c_code(self.about).text

    def c_code(self, about: str) -> CSource:
        """The same with its functions as data, and a comment of one's own at the head."""
        return c_source(self.programs, about)

    @property
    def choice(self) -> Choice:
        """What runs the functions. Raises NoMachineCode where only machine code will do and there is none."""
        with self._lock:
            if self._choice is None:
                self._choice = self.chosen()
            return self._choice

    def chosen(self) -> Choice:
        """What is to run the functions, chosen once. Raises as :attr:`choice`."""
        return choose(self.wanted, self.programs, self.about, self.check, self.by_numpy)

    @property
    def on_arrays(self) -> OnArrays:
        """The functions over other libraries' arrays."""
        with self._lock:
            if self._on_arrays is None:
                self._on_arrays = OnArrays(self.programs, self.about)
            return self._on_arrays

    def start(self) -> None:
        """Set what belongs to one process."""
        self._on_arrays = None
        self._namespace: dict[str, Any] | None = None
        self._choice = None
        self._lock = threading.Lock()
        self._work = threading.local()

    def prepared(self, name: str, m: int) -> tuple[Callable[..., Any], Any]:
        """One of the functions, called with (theta, …data, work), and this thread's work for m rows."""
        functions = self.choice.functions
        if not functions:
            return self.by_numpy(name, m)
        function = functions[name]
        return function, self._kept_work(("c", name, m), lambda: function.work(m))

    def by_numpy(self, name: str, m: int) -> tuple[Callable[..., Any], list[Any]]:
        """The function that NumPy runs, and this thread's work for m rows."""
        if self._namespace is None:
            namespace: dict[str, Any] = dict(self.constants)
            if self.check:
                namespace["finite"] = checker(self.graph, self.statements)
            exec(compile_source(self.run_source), namespace)
            self._namespace = namespace
        work: list[Any] = self._kept_work(("numpy", name, m), lambda: self._allocated(name, m))
        return self._namespace[name], work

    def _allocated(self, name: str, m: int) -> list[Floats]:
        """Buffers; MemoryError where they are larger than the machine's memory, before they are allocated."""
        _check_memory(self.work[name].n_bytes(m), m)
        return self.work[name].allocate(m)

    def _kept_work(self, key: tuple[str, str, int], make: Callable[[], Any]) -> Any:
        kept: dict[tuple[str, str, int], Any] = self._work.__dict__.setdefault("buffers", {})
        work = kept.get(key)
        if work is None:
            while len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            work = kept[key] = make()
        return work

    def run(self, name: str, theta: Floats, arrays: Sequence[Floats]) -> Any:
        """What one of the functions gives for theta and arrays of rows."""
        function, work = self.prepared(name, len(arrays[0]) if arrays else 0)
        with np.errstate(all="ignore"):
            return function(theta, *arrays, work)

    def answer(self, name: str, theta: Floats, arrays: Sequence[Floats]) -> Any:
        """What one of the functions gives, and what counts where that is not finite."""
        found = self.run(name, theta, arrays)
        finite = np.isfinite(np.hstack(found) if name == "cost_and_gradient" else found).all()
        return found if finite else self.with_care(name, found, theta, arrays)

    def with_care(self, name: str, found: Any, theta: Floats, arrays: Sequence[Floats]) -> Any:
        """What counts where a function gave what is not finite (:mod:`autobp.compiler.careful`)."""
        if self.result_shape is not None:
            with np.errstate(all="ignore"):
                return outputs_with_care(found, self.graph, theta, arrays)

        def flat(result: Any) -> Floats:
            return np.hstack(result) if isinstance(result, tuple) else np.full(1, result)

        with np.errstate(all="ignore"):
            total = mean_with_care(
                flat(found), lambda rows: flat(self.run(name, theta, rows)), self.graph, theta, arrays
            )
        return (total[0], total[1:]) if name == "cost_and_gradient" else total[0]

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name not in _OF_THE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.start()


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
