"""Find the first statement of a program whose result is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autobp.compiler.emit import Writer
from autobp.compiler.ir import Array, Indices
from autobp.compiler.recording import describe
from autobp.reading.graph import Graph

#: What is needed to speak of a statement: its text, and the scalar nodes that its array holds, or None.
Statement = tuple[str, Indices | None]


class CheckedWriter(Writer):
    """Writes every operation as a statement of its own, and a check after it."""

    inline = False

    def checked_lines(self, statements: list[Statement], scalars: Mapping[Array, Indices]) -> list[str]:
        """The statements with a call ``finite(name, number)`` after each; adds to ``statements``.

        Args:
            scalars: the scalar nodes of arrays, by position.
        """
        lines = []
        for line, array in zip(self.lines, self.steps, strict=True):
            lines.append(line)
            name = line.partition(" = ")[0]
            if array is not None and name.isidentifier() and "np.empty(" not in line:
                lines.append(f"finite({name}, {len(statements)})")
                statements.append((line, scalars.get(array)))
        return lines


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
