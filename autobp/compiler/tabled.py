"""What a graph without arrays becomes: its operations in tables, and arrays where somebody asks for them.

Machine code goes through any such tables. Where NumPy is to run them, a graph whose levels are wide becomes
arrays (:mod:`~autobp.compiler.irregular`), and only one with little side by side runs from tables
(:mod:`~autobp.compiler.by_floats`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobp.backends.c_tables import Tables, c_tables
from autobp.backends.c_text import CSource
from autobp.compiler.by_floats import FloatFunction, entries_of
from autobp.compiler.careful import walked
from autobp.compiler.executable import Executable
from autobp.compiler.machine_code import BY_NUMPY, Choice, Wanted, built
from autobp.compiler.pipeline import Reading, Signature
from autobp.compiler.tables import NARROW, is_deep, may_be_tables, tables_of
from autobp.compiler.verified import prove
from autobp.ir import Floats
from autobp.machine import NoMachineCode
from autobp.reading.graph import Graph


def executable_for(graph: Graph, signature: Signature, check: bool, wanted: Wanted) -> Executable:
    """What a graph becomes, as is wanted.

    Raises NoMachineCode where only machine code will do and there can be none.
    """
    if check or not may_be_tables(graph) or (wanted.backend == "numpy" and not is_deep(graph)):
        return Executable(graph, signature, check, wanted)
    reading = Reading(graph)
    tables = tables_of(reading, signature)
    if tables is None or (wanted.backend == "numpy" and not is_narrow(tables)):
        return Executable(graph, signature, check, wanted, reading)
    return Tabled(graph, signature, wanted, tables)


def is_narrow(tables: Tables) -> bool:
    """Whether there is little that one operation does at one level."""
    return len(tables.starts) < NARROW * len(tables.runs)


class Tabled(Executable):
    """A graph as tables. Machine code for them is built in a second or two, however large it is.

    What it has as arrays, programs and sources, it has from the first time that somebody asks.
    """

    def __init__(self, graph: Graph, signature: Signature, wanted: Wanted, tables: Tables) -> None:
        self.graph, self.tables, self.wanted = graph, tables, wanted
        self.signature, self.result_shape = signature, signature.result_shape
        self.about = f"Compiled by autobp from {len(graph.parents):,} scalar nodes."
        self.check, self.looks_at_gradient = False, True
        self.start()
        _ = self.choice
        prove(self.answer, graph, signature)

    def chosen(self) -> Choice:
        """What is to run the functions, chosen once. Raises NoMachineCode as :attr:`choice`."""
        is_auto = self.wanted.backend == "auto"
        if self.wanted.backend == "numpy":
            return Choice("numpy", "asked for", self._by_floats())
        try:
            functions = built(self._code(), self.by_numpy, len(self.graph.parents))
        except NoMachineCode as error:
            if not is_auto:
                raise
            return Choice("numpy", str(error), self._by_floats() if is_narrow(self.tables) else {})
        return Choice("c", "hardly two of its scalars are alike" if is_auto else "asked for", functions)

    def _by_floats(self) -> dict[str, FloatFunction]:
        """The functions, which go through the tables on floats."""
        n, entries = len(self.signature.labels), entries_of(self.tables)

        def functions_with(is_cost: bool, n_numbers: int, with_gradient: bool) -> FloatFunction:
            def walk(theta: Floats, arrays: Sequence[Floats]) -> Floats:
                return walked(self.graph, theta, arrays, n_numbers, is_cost)

            return FloatFunction(self.tables, entries, walk, with_gradient)

        n_outputs = len(self.tables.outputs)
        if self.result_shape is not None:
            return {"value": functions_with(False, n_outputs, False)}
        return {
            "value": functions_with(True, 1, False),
            "cost_and_gradient": functions_with(True, 1 + n, True),
        }

    def _code(self) -> CSource:
        try:
            return self.c_code(self.about)
        except TypeError as error:
            raise NoMachineCode(str(error)) from error

    def c_code(self, about: str) -> CSource:
        """A file of C, its functions as data. Raises TypeError where Python code computes an operation."""
        return c_tables(self.tables, about)

    def __getattr__(self, name: str) -> Any:
        """What the graph has as arrays."""
        if name.startswith("_") or "graph" not in self.__dict__:
            raise AttributeError(name)
        arrays = self.__dict__.get("arrays")
        if arrays is None:
            arrays = self.arrays = Executable(self.graph, self.signature, False, BY_NUMPY)
        return getattr(arrays, name)
