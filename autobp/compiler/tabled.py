"""What a graph without arrays becomes: machine code from tables, and arrays where somebody asks for them."""

from __future__ import annotations

from typing import Any

from autobp.backends.c_tables import Tables, c_tables
from autobp.backends.c_text import CSource
from autobp.compiler.executable import Executable
from autobp.compiler.machine_code import BY_NUMPY, Choice, Wanted, built
from autobp.compiler.pipeline import Signature
from autobp.compiler.tables import tables_of
from autobp.compiler.verified import prove
from autobp.machine import NoMachineCode
from autobp.reading.graph import Graph


def executable_for(graph: Graph, signature: Signature, check: bool, wanted: Wanted) -> Executable:
    """What a graph becomes, as is wanted.

    Raises NoMachineCode where only machine code will do and there can be none.
    """
    tables = None if wanted.backend == "numpy" or check else tables_of(graph, signature)
    if tables is None:
        return Executable(graph, signature, check, wanted)
    return Tabled(graph, signature, wanted, tables)


class Tabled(Executable):
    """A graph as tables, of which machine code is built in a second or two, however large it is.

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
        try:
            functions = built(self._code(), self.by_numpy, len(self.graph.parents))
        except NoMachineCode as error:
            if not is_auto:
                raise
            return Choice("numpy", str(error), {})
        return Choice("c", "hardly two of its scalars are alike" if is_auto else "asked for", functions)

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
