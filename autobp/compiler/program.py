"""Arrays: the statements of a program, and how they depend on one another.

An array stands for one group of scalar nodes. Its shape leaves out the samples: where ``batched`` is set,
they are one more axis before all others. What an array is made of is told by its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autobp.compiler.expression import Expression
from autobp.ops import Operation

Indices = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


class Array:
    """One array of a program.

    Attributes:
        operands: the arrays it is computed from.
        shape: its shape for one sample.
        batched: whether it has samples as its first axis.
        name: what a reader would call it, or "".
        node: a scalar node that it holds (for messages), or -1.
    """

    def __init__(self, operands: Sequence[Array], shape: tuple[int, ...], batched: bool) -> None:
        self.operands = list(operands)
        self.shape = shape
        self.batched = batched
        self.name = ""
        self.nodes: Indices | None = None

    @property
    def size(self) -> int:
        """The number of elements for one sample."""
        return int(np.prod(self.shape, dtype=np.int64))


class Theta(Array):
    """The parameters, (n,)."""


class Input(Array):
    """An argument, flattened to (elements of a sample,)."""

    def __init__(self, number: int, size: int) -> None:
        super().__init__([], (size,), True)
        self.number = number


class Constant(Array):
    """Numbers fixed at the trace."""

    def __init__(self, values: Floats) -> None:
        super().__init__([], values.shape, False)
        self.values = values


class View(Array):
    """Elements of an array whose positions are affine in the axes: base + Σ stride·index. Costs no copy."""

    def __init__(self, source: Array, base: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__([source], shape, source.batched)
        self.base = base
        self.strides = strides

    def indices(self) -> Indices:
        """The positions in the flattened source."""
        found = np.full(self.shape, self.base, dtype=np.int64)
        for axis, stride in enumerate(self.strides):
            steps = np.arange(self.shape[axis], dtype=np.int64) * stride
            found += steps.reshape([-1] + [1] * (len(self.shape) - axis - 1))
        return found


class Gather(Array):
    """Any elements of an array, by position in the flattened source."""

    def __init__(self, source: Array, indices: Indices) -> None:
        super().__init__([source], indices.shape, source.batched)
        self.positions = indices

    def indices(self) -> Indices:
        """The positions in the flattened source."""
        return self.positions


class Spread(Array):
    """A one-dimensional array set into zeros, element k at ``positions[k]`` of the flattened shape."""

    def __init__(self, source: Array, positions: Indices, shape: tuple[int, ...]) -> None:
        super().__init__([source], shape, source.batched)
        self.positions = positions


class Map(Array):
    """An operation of the table, or a signed sum, element by element."""

    def __init__(
        self,
        operands: Sequence[Array],
        shape: tuple[int, ...],
        operation: Operation | None,
        constants: tuple[float, ...] = (),
        signs: tuple[float, ...] = (),
    ) -> None:
        super().__init__(operands, shape, any(x.batched for x in operands))
        self.operation = operation
        self.constants = constants
        self.signs = signs


class Elementwise(Array):
    """An expression over the elements of other arrays: a derivative."""

    def __init__(self, operands: Sequence[Array], expression: Expression) -> None:
        shape = np.broadcast_shapes(*[x.shape for x in operands])
        super().__init__(operands, shape, any(x.batched for x in operands))
        self.expression = expression


class MatMul(Array):
    """rows (…, p, K) times columns (…, o, K) transposed: (…, p, o); the axis p may be missing."""

    def __init__(self, rows: Array, columns: Array) -> None:
        shape = (*rows.shape[:-1], columns.shape[-2])
        super().__init__([rows, columns], shape, rows.batched or columns.batched)


class RowDot(Array):
    """Σ_k x[…, k]·y[…, k]; an only axis stays with size 1."""

    def __init__(self, x: Array, y: Array) -> None:
        shape = np.broadcast_shapes(x.shape, y.shape)[:-1] or (1,)
        super().__init__([x, y], shape, x.batched or y.batched)


class Reduce(Array):
    """The sum, maximum or minimum over the last axis; ``ufunc`` is NumPy's name of it.

    Over an only axis, that axis stays with size 1.
    """

    def __init__(self, source: Array, ufunc: str = "add") -> None:
        super().__init__([source], source.shape[:-1] or (1,), source.batched)
        self.ufunc = ufunc


class Segments(Array):
    """Sums, maxima or minima over stretches of a one-dimensional array that start at ``starts``."""

    def __init__(self, source: Array, starts: Indices, ufunc: str) -> None:
        super().__init__([source], starts.shape, source.batched)
        self.starts = starts
        self.ufunc = ufunc


class Choose(Array):
    """values[o, index[p]] as (p, o), or values[r, index[r]] as (r,): ``take`` with a traced index."""

    def __init__(self, index: Array, values: Array, outer: bool) -> None:
        shape = (*index.shape, values.shape[0]) if outer else index.shape
        super().__init__([index, values], shape, index.batched or values.batched)
        self.outer = outer


class Reshape(Array):
    """The same elements under another shape."""

    def __init__(self, source: Array, shape: tuple[int, ...]) -> None:
        super().__init__([source], shape, source.batched)


class SumTo(Array):
    """The sum over some axes of one sample's shape, and over the samples.

    The axes stay with size 1, but for the first ``drop`` of the shape, which are dropped.
    """

    def __init__(self, source: Array, axes: tuple[int, ...], samples: bool, drop: int = 0) -> None:
        shape = tuple([1 if axis in axes else size for axis, size in enumerate(source.shape)])
        super().__init__([source], shape[drop:], source.batched and not samples)
        self.axes = axes
        self.samples = samples


class Fill(Array):
    """An array repeated to a shape, or a number (no operand)."""

    def __init__(self, source: Array | None, shape: tuple[int, ...], batched: bool) -> None:
        super().__init__([] if source is None else [source], shape, batched)


class Product(Array):
    """Two arrays' matrix product as NumPy has it, a @ b, each perhaps transposed.

    ``samples`` sums over the samples as well: aᵀ b with samples and rows as one axis.
    """

    def __init__(self, a: Array, b: Array, spec: str, shape: tuple[int, ...], batched: bool) -> None:
        super().__init__([a, b], shape, batched)
        self.spec = spec


class Repeat(Array):
    """Element k of the source (n,) repeated ``counts[k]`` times."""

    def __init__(self, source: Array, counts: Indices) -> None:
        super().__init__([source], (int(counts.sum()),), source.batched)
        self.counts = counts


class OneHot(Array):
    """1 where index[…] = k, else 0, (…, n): the derivatives of ``take``."""

    def __init__(self, index: Array, n: int) -> None:
        super().__init__([index], (*index.shape, n), index.batched)


class Assemble(Array):
    """An adjoint put together from pieces: element ``indices`` of the flattened result receive the piece.

    ``pieces`` are (View or Gather that picked them, or None for all, whether it is added to what is there).
    ``zeros`` says whether the pieces leave gaps or add to what was not set.
    """

    def __init__(
        self,
        pieces: Sequence[Array],
        places: Sequence[View | Gather | None],
        added: Sequence[bool],
        zeros: bool,
        shape: tuple[int, ...],
        batched: bool,
    ) -> None:
        super().__init__(pieces, shape, batched)
        self.places = list(places)
        self.added = list(added)
        self.zeros = zeros
