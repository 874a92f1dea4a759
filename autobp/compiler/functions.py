"""Programs as functions that run: their source, the code that it becomes, and each thread's memory for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from autobp.backends import numpy_calls
from autobp.backends.c_text import CSource, c_source
from autobp.backends.float_loops import FEW, KNOWN
from autobp.backends.numpy_checked import Statement, checker, write_checked
from autobp.backends.numpy_text import Source, source_of
from autobp.backends.schedule import schedule
from autobp.backends.source_module import SourceModule
from autobp.backends.steps import Schedule, Work
from autobp.backends.without_numbers import without_numbers
from autobp.compiler.machine_code import BY_NUMPY, Choice, Wanted, choose
from autobp.compiler.other_arrays import OnArrays
from autobp.ir import Array, Floats, Indices, Program
from autobp.machine.memory import check_memory
from autobp.reading.graph import Graph

_KEPT = 8  # numbers of rows for which a thread keeps buffers
_SOURCES = 64  # of which the code is kept


class ForNumPy(NamedTuple):
    """What NumPy runs.

    Attributes:
        source: of the functions, without the constants.
        statements: where each is checked, all of them.
    """

    source: str
    constants: Mapping[str, Floats]
    statements: Sequence[Statement]


class Functions:
    """Programs as functions, by name.

    Attributes:
        programs, docstrings: by the name of the function each became.
        about: what they are, in a sentence.
    """

    OF_THE_PROCESS: ClassVar[frozenset[str]] = frozenset(
        {"_namespace", "_of_few", "plans", "_choice", "_lock", "_work", "_on_arrays"}
    )

    _choice: Choice | None
    _on_arrays: OnArrays | None
    _lock: threading.Lock

    def __init__(
        self,
        programs: Mapping[str, Program],
        docstrings: Mapping[str, str],
        graph: Graph,
        scalars: Mapping[Array, Indices],
        check: bool = False,
        wanted: Wanted = BY_NUMPY,
    ) -> None:
        """Write programs.

        Args:
            docstrings: of each function.
            graph: the scalars that they were made of.
            scalars: of arrays that hold scalar nodes, which ones.
            check: whether to name the first statement whose result is not finite.
            wanted: what is to run them.
        """
        self.programs, self.docstrings = programs, docstrings
        self.about = f"Compiled by autobp from {len(graph.parents):,} scalar nodes."
        self.graph, self.check, self.wanted = graph, check, wanted
        self.start()
        if check:
            self.for_numpy = self._checked(scalars)

    @cached_property
    def text(self) -> Source:
        """The readable source, written when it is first asked for."""
        return source_of(self.programs, self.about, self.docstrings)

    @cached_property
    def plans(self) -> dict[str, Schedule]:
        """In what order and memory NumPy computes each of them."""
        return {name: schedule(program) for name, program in self.programs.items()}

    @cached_property
    def work(self) -> dict[str, Work]:
        """The memory that each needs where NumPy runs it."""
        return {name: plan.work for name, plan in self.plans.items()}

    @cached_property
    def for_numpy(self) -> ForNumPy:
        """What NumPy runs, written when it is first needed: machine code does without."""
        module, docstrings = SourceModule(), self.docstrings
        written = [
            numpy_calls.write(name, program, self.plans[name], module, docstrings[name])
            for name, program in self.programs.items()
        ]
        return ForNumPy(module.text(written, self.about, with_constants=False), module.constants, ())

    def _checked(self, scalars: Mapping[Array, Indices]) -> ForNumPy:
        """The same, with each statement's result checked."""
        module, written = SourceModule(), []
        statements: list[Statement] = []
        for name, program in self.programs.items():
            text, found = write_checked(
                name, program, module, self.docstrings[name], scalars, len(statements)
            )
            written.append(text)
            statements += found
        return ForNumPy(
            module.text(written, self.about, with_constants=False), module.constants, tuple(statements)
        )

    @property
    def run_source(self) -> str:
        """The functions that NumPy runs, without their constants."""
        return self.for_numpy.source

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
        scalars = len(self.graph.parents)
        return choose(self.wanted, self.programs, self.about, self.check, self.by_numpy, scalars)

    @property
    def on_arrays(self) -> OnArrays:
        """The functions over other libraries' arrays."""
        found = self._on_arrays
        if found is None:
            with self._lock:
                if self._on_arrays is None:
                    self._on_arrays = OnArrays(self.programs, self.about)
                found = self._on_arrays
        return found

    def start(self) -> None:
        """Set what belongs to one process."""
        self._on_arrays = None
        self._namespace: dict[str, Any] | None = None
        self._of_few: dict[tuple[str, int], Callable[..., Any]] = {}
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
            namespace: dict[str, Any] = dict(self.for_numpy.constants)
            if self.check:
                namespace["finite"] = checker(self.graph, self.for_numpy.statements)
            self._define(self.run_source, name, namespace)
            self._namespace = namespace
        function: Callable[..., Any] = self._namespace[name]
        if self.work[name].bodies and not self.check:
            function = self._for_rows(name, m, function)
        work: list[Any] = self._kept_work(("numpy", name, m), lambda: self._allocated(name, m))
        return function, work

    def _for_rows(self, name: str, m: int, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function with loops for m rows: where they are few, the loops run on floats if they can."""
        program = self.programs[name]
        rows = m if program.has_samples else 1
        if not 0 < rows <= FEW:
            return function
        if (name, rows) not in self._of_few:
            module = SourceModule()
            text = module.text(
                [numpy_calls.write(name, program, self.plans[name], module, "", rows)], "", False
            )
            namespace: dict[str, Any] = {**KNOWN, **module.constants}
            self._define(text, name, namespace)
            self._of_few[name, rows] = _first_that_can(namespace[name], function)
        return self._of_few[name, rows]

    def _define(self, source: str, name: str, namespace: dict[str, Any]) -> None:
        """Define in a namespace what a source with one of the functions does; all lengths share its code."""
        if self.work[name].bodies:
            source, numbers = without_numbers(source)
            namespace.update(numbers)
        exec(compile_source(source), namespace)

    def _allocated(self, name: str, m: int) -> list[Floats]:
        """Buffers; MemoryError where they are larger than the machine's memory, before they are allocated."""
        check_memory(self.work[name].n_bytes(m), m)
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

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name not in self.OF_THE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.start()


def _first_that_can(on_floats: Callable[..., Any], on_arrays: Callable[..., Any]) -> Callable[..., Any]:
    """A function on floats, or on arrays where floats are out of range: these raise then."""

    def function(*arguments: Any) -> Any:
        try:
            return on_floats(*arguments)
        except (ArithmeticError, ValueError):
            return on_arrays(*arguments)

    return function


@lru_cache(maxsize=_SOURCES)
def compile_source(source: str) -> Any:
    """The source as a code object."""
    return compile(source, "<compiled by autobp>", "exec")
