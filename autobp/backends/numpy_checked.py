"""A program as NumPy source that finds its first statement whose result is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autobp.backends.numpy_text import NumpyText
from autobp.backends.source_module import SourceModule, function
from autobp.ir import Array, Indices, Program
from autobp.reading.graph import Graph, describe

#: What is needed to speak of a statement: its text, and the scalar nodes that its array holds, or None.
Statement = tuple[str, Indices | None]


class NumpyChecked(NumpyText):
    """Writes every operation as a statement of its own."""

    inline = False


def write_checked(
    name: str,
    program: Program,
    module: SourceModule,
    docstring: str,
    scalars: Mapping[Array, Indices],
    first: int,
) -> tuple[str, list[Statement]]:
    """A function that calls ``finite(name, number)`` after each statement, and the statements.

    Args:
        scalars: the scalar nodes of arrays, by position.
        first: the number of the first statement.
    """
    printer = NumpyChecked(module, program)
    printer.write_all()
    lines: list[str] = []
    statements: list[Statement] = []
    for line in printer.lines:
        lines.append(line.text)
        if line.array is not None and not line.formula.startswith("np.empty("):  # yet to be set
            statement = line.text.lstrip()
            indent = line.text[: -len(statement)]
            lines.append(f"{indent}finite({line.name}, {first + len(statements)})")
            statements.append((statement, scalars.get(line.array)))
    arguments = ", ".join(["theta", *[program.names[x] for x in program.inputs], "work"])
    return function(name, arguments, docstring, lines, printer.returned()), statements


def checker(graph: Graph, statements: Sequence[Statement]) -> Callable[[Any, int], None]:
    """The function ``finite`` that checked programs call. It raises FloatingPointError."""

    def finite(values: Any, number: int) -> None:
        values = np.asarray(values)
        if np.isfinite(values).all():
            return
        where = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(values)))
        line, nodes = statements[number]
        message = f"{line}\nmade {float(values[where])!r} at {list(where)}"
        if nodes is not None and nodes.size:
            batched = values.size // nodes.size > 1 or values.ndim > 1
            flat = int(np.ravel_multi_index(where, values.shape)) % nodes.size
            node = int(nodes[flat])
            if 0 <= node < len(graph.parents):
                message += f", the scalar {describe(graph, node)}"
                if batched and values.size != nodes.size:
                    message += f" of sample {where[0]}"
        raise FloatingPointError(message)

    return finite
