"""Jacobians that are mostly zeros: products with a direction for each colour, put where entries belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.compiler.derivatives.made import made_of
from autobp.compiler.derivatives.sparsity import colours_of, directions_of, rows_of
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.executable import Executable
from autobp.ir import Floats, Indices


@dataclass(frozen=True)
class Pattern:
    """Where the Jacobian of one row of data may be other than 0.

    Attributes:
        outputs, columns: of each entry, output after output.
        colours: of each column.
        directions: of each colour, (colours, n).
    """

    outputs: Indices
    columns: Indices
    colours: Indices
    directions: Floats


def pattern_of(executable: Executable, by: int, n: int) -> Pattern:
    """The pattern, found once; ``by`` and n: what is differentiated by, and how many elements it has."""

    def make() -> Pattern:
        rows = rows_of(executable.graph, by)
        colours = colours_of(rows, n)
        lengths = [len(row) for row in rows]
        columns = np.array([column for row in rows for column in row], dtype=np.int64)
        return Pattern(np.repeat(np.arange(len(rows)), lengths), columns, colours, directions_of(colours))

    return executable.other(("pattern", by), make)


def sparse_jacobian(
    executable: Executable, by: int, n: int, theta: Floats, arrays: Sequence[Floats]
) -> Any:
    """The Jacobian of all rows as a ``scipy.sparse.csr_array``; rows of data make blocks.

    Raises ImportError where SciPy is not installed.
    """
    try:
        from scipy.sparse import coo_array
    except ImportError as error:
        raise ImportError("a sparse Jacobian needs SciPy: pip install scipy") from error
    q, m = len(executable.graph.outputs), len(arrays[0]) if arrays else 1
    if n == 0:
        return coo_array((m * q, 0)).tocsr()
    pattern = pattern_of(executable, by, n)
    directions = pattern.directions
    made = made_of(executable, Wanted("jvp", by, len(directions)))
    seeds = np.broadcast_to(directions, (m, *directions.shape)) if by else directions
    found = made(theta, [*arrays, seeds])[1].reshape(m, len(directions), q)
    entries = found[:, pattern.colours[pattern.columns], pattern.outputs]
    first = np.arange(m)[:, None]
    rows = first * q + pattern.outputs
    columns = (first * n if by else 0 * first) + pattern.columns
    shape = (m * q, m * n if by else n)
    return coo_array((entries.reshape(-1), (rows.reshape(-1), columns.reshape(-1))), shape=shape).tocsr()
