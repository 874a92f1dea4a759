"""The kinds of arrays that programs are made of, one class each.

An :class:`Array` stands for one group of scalar nodes. Its shape leaves out the samples: where ``batched`` is
set, they are one more axis before all others. What an array is computed by is told by its class, one for
each kind, and by that class's fields; ``operands`` are those fields that are arrays. Arrays never change, and
two are the same only where they are one object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any

import numpy as np

from autobp.ir.expression import Expression
from autobp.ops import Operation

Indices = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Shape = tuple[int, ...]

#: Marks a field that refers to an array without computing from it.
_NO_OPERAND = {"operand": False}


def method_for(array: Array, of: object, prefix: str = "") -> Callable[..., Any] | None:
    """The method of an object that is named after an array's class, ``matmul`` for MatMul, or None."""
    method: Callable[..., Any] | None = getattr(of, prefix + type(array).__name__.lower(), None)
    return method


class Array:
    """One array of a program.

    Attributes:
        shape: its shape for one sample.
        batched: whether it has samples as its first axis.
    """

    shape: Shape
    batched: bool

    @cached_property
    def operands(self) -> tuple[Array, ...]:
        """The arrays it is computed from, in the order of the fields, repeated where one is there twice."""
        found: list[Array] = []
        for name in _fields_of(type(self)):  # type: ignore[arg-type]  # a class can be hashed
            content = getattr(self, name)
            if isinstance(content, Array):
                found.append(content)
            elif isinstance(content, tuple):
                found += [x for x in content if isinstance(x, Array)]
        return tuple(found)

    @property
    def size(self) -> int:
        """The number of elements for one sample."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        sizes = [*["m"] * self.batched, *map(str, self.shape)]
        return f"<{type(self).__name__} {'×'.join(sizes) or 'of one number'}>"

    def derive(self, shape: Iterable[int], batched: bool) -> None:
        """Set what follows from the fields, which are frozen, once."""
        object.__setattr__(self, "shape", tuple(shape))
        object.__setattr__(self, "batched", batched)


@cache
def _fields_of(kind: Any) -> tuple[str, ...]:
    """The fields of a class of arrays that may hold operands."""
    return tuple([item.name for item in fields(kind) if item.metadata.get("operand", True)])


# ----------------------------------------------------------------------------------------------- arguments


@dataclass(frozen=True, eq=False, repr=False)
class Theta(Array):
    """The parameters, (n,)."""

    n: int

    def __post_init__(self) -> None:
        self.derive((self.n,), False)


@dataclass(frozen=True, eq=False, repr=False)
class Input(Array):
    """Argument ``number``, flattened to (elements of a sample,); ``sample`` is its shape as it is passed.

    Without samples it is one array for all of them, such as a direction.
    """

    number: int
    sample: Shape
    with_samples: bool = True

    def __post_init__(self) -> None:
        self.derive((math.prod(self.sample),), self.with_samples)


@dataclass(frozen=True, eq=False, repr=False)
class Local(Array):
    """An argument of a loop's body: a state, what belongs to one step, or what stays the same."""

    of_shape: Shape
    with_samples: bool

    def __post_init__(self) -> None:
        self.derive(self.of_shape, self.with_samples)


#: What programs are functions of.
Argument = Theta | Input | Local


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Array):
    """Numbers fixed at the trace."""

    values: Floats

    def __post_init__(self) -> None:
        self.derive(self.values.shape, False)


# ----------------------------------------------------------------------------------- elements and arrangement


@dataclass(frozen=True, eq=False, repr=False)
class View(Array):
    """Elements of an array whose positions are affine in the axes: base + Σ stride·index. Costs no copy."""

    source: Array
    base: int
    view_shape: Shape
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        self.derive(self.view_shape, self.source.batched)

    def indices(self) -> Indices:
        """The positions in the flattened source."""
        found = np.full(self.shape, self.base, dtype=np.int64)
        for axis, stride in enumerate(self.strides):
            steps = np.arange(self.shape[axis], dtype=np.int64) * stride
            found += steps.reshape([-1] + [1] * (len(self.shape) - axis - 1))
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Gather(Array):
    """Any elements of an array, by position in the flattened source."""

    source: Array
    positions: Indices

    def __post_init__(self) -> None:
        self.derive(self.positions.shape, self.source.batched)

    def indices(self) -> Indices:
        """The positions in the flattened source."""
        return self.positions


#: What picks elements of an array, or says where a piece of it belongs.
Place = View | Gather


@dataclass(frozen=True, eq=False, repr=False)
class Absent(Array):
    """An array that is not computed: what a :data:`Place` picks from that only says where pieces belong."""

    of_shape: Shape
    with_samples: bool

    def __post_init__(self) -> None:
        self.derive(self.of_shape, self.with_samples)


@dataclass(frozen=True, eq=False, repr=False)
class Spread(Array):
    """A one-dimensional array set into zeros, element k at ``positions[k]`` of the flattened shape."""

    source: Array
    positions: Indices
    into: Shape

    def __post_init__(self) -> None:
        self.derive(self.into, self.source.batched)


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Array):
    """The same elements under another shape."""

    source: Array
    to: Shape

    def __post_init__(self) -> None:
        self.derive(self.to, self.source.batched)


@dataclass(frozen=True, eq=False, repr=False)
class Fill(Array):
    """An array repeated to a shape, and for each sample where ``to_samples`` is set."""

    source: Array
    to: Shape
    to_samples: bool

    def __post_init__(self) -> None:
        self.derive(self.to, self.to_samples)


@dataclass(frozen=True, eq=False, repr=False)
class Repeat(Array):
    """Element k of the source (n,) repeated ``counts[k]`` times."""

    source: Array
    counts: Indices

    def __post_init__(self) -> None:
        self.derive((int(self.counts.sum()),), self.source.batched)


@dataclass(frozen=True, eq=False, repr=False)
class Choose(Array):
    """values[o, index[p]] as (p, o), or values[r, index[r]] as (r,): ``take`` with a traced index."""

    index: Array
    values: Array
    outer: bool

    def __post_init__(self) -> None:
        index, values = self.index, self.values
        shape = (*index.shape, values.shape[0]) if self.outer else index.shape
        self.derive(shape, index.batched or values.batched)


@dataclass(frozen=True, eq=False, repr=False)
class OneHot(Array):
    """1 where index[…] = k, else 0, (…, n): the derivatives of ``take``."""

    index: Array
    n: int

    def __post_init__(self) -> None:
        self.derive((*self.index.shape, self.n), self.index.batched)


@dataclass(frozen=True, eq=False, repr=False)
class ScatterAdd(Array):
    """Σ of delta[p, o] over all p, and samples, where index[p] = k, as (o, n): the adjoint of a table's rows.

    It is delta transposed times ``OneHot(index, n)``, without the zeros; ``delta`` is (p, o), ``index`` (p,).
    """

    delta: Array
    index: Array
    n: int

    def __post_init__(self) -> None:
        self.derive((self.delta.shape[-1], self.n), False)


@dataclass(frozen=True, eq=False, repr=False)
class Assemble(Array):
    """An adjoint put together from pieces: the elements that ``places[i]`` picks receive ``pieces[i]``.

    Attributes:
        places: what picked the elements, or None for all of them.
        added: whether a piece is added to what is there already.
        zeros: whether the pieces leave gaps or add to what was not set.
    """

    pieces: tuple[Array, ...]
    places: tuple[Place | None, ...] = field(metadata=_NO_OPERAND)
    added: tuple[bool, ...]
    zeros: bool
    whole: Shape
    with_samples: bool

    def __post_init__(self) -> None:
        self.derive(self.whole, self.with_samples)


# ---------------------------------------------------------------------------------------------- elementwise


@dataclass(frozen=True, eq=False, repr=False)
class Map(Array):
    """An operation of the table on arrays, element by element."""

    arrays: tuple[Array, ...]
    over: Shape
    operation: Operation
    constants: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.derive(self.over, any(x.batched for x in self.arrays))


@dataclass(frozen=True, eq=False, repr=False)
class Sum(Array):
    """A signed sum of arrays, Σ sign·array, element by element; a sign may be any number."""

    arrays: tuple[Array, ...]
    over: Shape
    signs: tuple[float, ...]

    def __post_init__(self) -> None:
        self.derive(self.over, any(x.batched for x in self.arrays))


@dataclass(frozen=True, eq=False, repr=False)
class Elementwise(Array):
    """An expression over the elements of other arrays: a derivative."""

    arrays: tuple[Array, ...]
    expression: Expression

    def __post_init__(self) -> None:
        shape = np.broadcast_shapes(*[x.shape for x in self.arrays])
        self.derive(shape, any(x.batched for x in self.arrays))


# ------------------------------------------------------------------------------------ products and reductions


@dataclass(frozen=True, eq=False, repr=False)
class MatMul(Array):
    """rows (…, p, K) times columns (…, o, K) transposed: (…, p, o); the axis p may be missing."""

    rows: Array
    columns: Array

    def __post_init__(self) -> None:
        shape = (*self.rows.shape[:-1], self.columns.shape[-2])
        self.derive(shape, self.rows.batched or self.columns.batched)


@dataclass(frozen=True, eq=False, repr=False)
class Product(Array):
    """The adjoint of one factor of a :class:`MatMul`, from that of the product, delta, and the other factor.

    Attributes:
        delta: (…, p, o).
        spec: "rows": delta times the columns, for the rows' adjoint; "columns": delta transposed times the
            rows, for the columns'.
        of_shape, with_samples: the factor's. Where it has no samples, they are summed over.
    """

    delta: Array
    other: Array
    spec: str
    of_shape: Shape
    with_samples: bool

    def __post_init__(self) -> None:
        self.derive(self.of_shape, self.with_samples)


@dataclass(frozen=True, eq=False, repr=False)
class RowDot(Array):
    """Σ_k x[…, k]·y[…, k]; an only axis stays with size 1."""

    x: Array
    y: Array

    def __post_init__(self) -> None:
        shape = np.broadcast_shapes(self.x.shape, self.y.shape)[:-1] or (1,)
        self.derive(shape, self.x.batched or self.y.batched)


@dataclass(frozen=True, eq=False, repr=False)
class Reduce(Array):
    """The sum, maximum or minimum over the last axis; ``ufunc`` is NumPy's name of it.

    Over an only axis, that axis stays with size 1.
    """

    source: Array
    ufunc: str = "add"

    def __post_init__(self) -> None:
        self.derive(self.source.shape[:-1] or (1,), self.source.batched)


@dataclass(frozen=True, eq=False, repr=False)
class Segments(Array):
    """Sums, maxima or minima over stretches of a one-dimensional array that start at ``starts``."""

    source: Array
    starts: Indices
    ufunc: str

    def __post_init__(self) -> None:
        self.derive(self.starts.shape, self.source.batched)


@dataclass(frozen=True, eq=False, repr=False)
class SumTo(Array):
    """The sum over some axes of one sample's shape, and over the samples.

    The axes stay with size 1, but for the first ``drop`` of the shape, which are dropped.
    """

    source: Array
    axes: tuple[int, ...]
    samples: bool
    drop: int = 0

    def __post_init__(self) -> None:
        shape = [1 if axis in self.axes else size for axis, size in enumerate(self.source.shape)]
        self.derive(shape[self.drop :], self.source.batched and not self.samples)


@dataclass(frozen=True)
class Term:
    """coefficient · m**samples · Σ over everything in x (times y where there is one)."""

    coefficient: float
    samples: int
    x: Array
    y: Array | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Total(Array):
    """The mean cost over the samples, one number: the sum of its terms."""

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        self.derive((), False)

    @cached_property
    def operands(self) -> tuple[Array, ...]:
        """The arrays that the terms sum up."""
        return tuple([x for term in self.terms for x in (term.x, term.y) if x is not None])
