"""Prints both sides of equations, the scalar graph's and the formula's, and keeps the largest difference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


class BothSides:
    """A table with a row for each equation: what the graph computed, and what the formula says.

    Args:
        introduction: printed first; a script gives its own docstring.
    """

    def __init__(self, introduction: str | None) -> None:
        print((introduction or "").strip())
        self.differences: list[float] = []

    def heading(self, text: str) -> None:
        print(f"\n{text}\n{'':22}{'graph':>17}{'formula':>19}")

    def row(self, name: str, graph: float, formula: float) -> None:
        print(f"  {name:20}{graph:+17.12f}  {formula:+17.12f}")
        self.differences.append(abs(graph - formula))

    def rows(self, names: Iterable[str], graph: Any, formula: Any) -> None:
        """One row for each entry of two arrays of the same shape, in row-major order."""
        graph, formula = np.asarray(graph, dtype=float), np.asarray(formula, dtype=float)
        if graph.shape != formula.shape:
            raise ValueError(f"the graph's side has shape {graph.shape}, the formula's {formula.shape}")
        for name, left, right in zip(names, graph.flat, formula.flat, strict=True):
            self.row(name, left, right)

    def verdict(self) -> int:
        """Prints the largest difference; the exit status, 0 if the sides agree up to rounding."""
        largest = np.max(self.differences)
        agree = largest <= 1e-12  # which a nan is not
        print(f"\nlargest difference {largest:.1e}: the sides {'agree' if agree else 'DIFFER'}")
        return 0 if agree else 1


def entries(name: str, shape: tuple[int, ...], columns_from: int = 1, rows_from: int = 1) -> list[str]:
    """Names of a vector's or a matrix's entries, counted from 1, as on paper: W[1,1], W[1,2], …"""
    first = (rows_from, columns_from)
    return [
        f"{name}[{','.join(str(i + start) for i, start in zip(index, first, strict=False))}]"
        for index in np.ndindex(*shape)
    ]


def grad(nodes: Any) -> Any:
    """∂root/∂node of each Value in an array, after root.backward()."""
    nodes = np.asarray(nodes, dtype=object)
    return np.array([node.grad for node in nodes.flat]).reshape(nodes.shape)
