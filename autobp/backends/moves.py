"""How the elements of an array are picked and arranged, as data: what is sliced, reshaped and turned.

Slices, shapes and turned axes are the same in every language of arrays; :class:`Part`, :class:`Sizes`,
:class:`Axes` and :class:`Swap` are the steps, one after another, that a writer of any of them spells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import EllipsisType
from typing import Final, NamedTuple

from autobp.ir import Array, Assemble, Gather, Indices, MatMul, Product, Shape, SumTo
from autobp.ir.slicing import Slicing, slicing

#: The number of samples, as the size of an axis.
SAMPLES: Final = "m"
Size = int | str

_ALL: Final = slice(None)


@dataclass(frozen=True)
class Part:
    """x[…]: of each axis a slice, a position or positions; None for a new axis of size 1."""

    entries: tuple[slice | int | EllipsisType | Indices | None, ...]


@dataclass(frozen=True)
class Sizes:
    """The same elements under another shape, in which -1 is what is left."""

    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Axes:
    """The axes in another order."""

    order: tuple[int, ...]


@dataclass(frozen=True)
class Swap:
    """Two axes exchanged."""

    first: int
    second: int


Move = Part | Sizes | Axes | Swap
Moves = tuple[Move, ...]

TURNED: Final = Axes((1, 0))
_LAST_TURNED: Final = Swap(-1, -2)


def is_view(move: Move) -> bool:
    """Whether what is moved changes with the array: an element or a list of them does not."""
    if not isinstance(move, Part):
        return True
    entries = [x for x in move.entries if not isinstance(x, int)]
    return bool(entries) and all(x is None or x is ... or isinstance(x, slice) for x in entries)


def may_copy(how: Moves) -> bool:
    """Whether memory without gaps is perhaps copied as it is moved: what was cut or turned has gaps."""
    loose = are_rows = False
    for move in how:
        if isinstance(move, Sizes):
            if loose or (are_rows and move.sizes[0] != SAMPLES):
                return True
        elif isinstance(move, Part) and not loose and not are_rows and _is_of_rows(move):
            are_rows = True
        else:
            loose = True
    return False


def _is_of_rows(part: Part) -> bool:
    """Whether it is [:, a:b], of which a row is without gaps."""
    if len(part.entries) != 2 or part.entries[0] != _ALL:
        return False
    return isinstance(part.entries[1], slice) and part.entries[1].step is None


def sizes_of(shape: Shape, batched: bool) -> tuple[Size, ...]:
    """The shape with samples before it where there are any."""
    return (SAMPLES, *shape) if batched else shape


def flattened(array: Array) -> Moves:
    """How to give each sample of an array one axis."""
    if len(array.shape) == 1:
        return ()
    return (Sizes((SAMPLES, -1) if array.batched else (-1,)),)


def view_moves(size: int, base: int, shape: Shape, strides: tuple[int, ...], batched: bool) -> Moves:
    """How to view elements base + Σ stride·index of a flat array of ``size`` elements, for each sample."""
    how = slicing(size, base, shape, strides)
    assert how is not None
    lead = [_ALL] if batched else []
    moves: list[Move] = []
    if (how.start, how.stop, how.step) != (0, size, 1):
        moves.append(Part((*lead, slice(how.start, how.stop, how.step if how.step != 1 else None))))
    if how.sizes:
        moves.append(Sizes(sizes_of(how.sizes, batched)))
    index = _entries(how)
    lengths: list[int] = []
    part = how
    while part.within is not None:
        lengths += [last - first for first, last in part.stretches]
        part = part.within
        index.append(slice(part.start, part.stop, part.step if part.step != 1 else None))
        if part.sizes:
            moves += [Part((*lead, *index)), Sizes(sizes_of((*lengths, *part.sizes), batched))]
            index = [*[_ALL] * len(lengths), *_entries(part)]
    if how.axes != tuple(range(len(how.axes))):
        if any(entry != _ALL for entry in index):
            moves.append(Part((*lead, *index)))
        moves.append(Axes((0, *[axis + 1 for axis in how.axes]) if batched else how.axes))
        index = []
    index = index or [_ALL] * (len(how.axes) or 1)
    ones = [i for i, n in enumerate(shape) if n == 1] if how.axes else list(range(len(shape) - 1))
    if ones:
        kept = iter([entry for entry in index if not isinstance(entry, int)])
        put = [None if i in ones else next(kept) for i in range(len(shape))]
        moves.append(Part((*lead, *put, *[entry for entry in index if isinstance(entry, int)])))
    elif any(entry != _ALL for entry in index):
        moves.append(Part((*lead, *index)))
    return tuple(moves)


def _entries(how: Slicing) -> list[slice | int]:
    """What is picked of each axis that a flat array was reshaped to."""
    index: list[slice | int] = []
    for part, n in zip(how.parts, how.sizes, strict=how.within is None):
        if isinstance(part, int) or part == (0, n):
            index.append(part if isinstance(part, int) else _ALL)
        else:
            index.append(slice(part[0], part[1] if part[1] < n else None))
    return index


# ------------------------------------------------------------------------------------------------ products


class Factors(NamedTuple):
    """A product of two arrays, each moved first; ``after`` is what is done to the product.

    ``matrices`` is false where the factors are multiplied element by element.
    """

    left: Array
    left_moves: Moves
    right: Array
    right_moves: Moves
    after: Moves = ()
    matrices: bool = True


def factors(array: MatMul | Product) -> Factors:
    """What is multiplied by what."""
    if isinstance(array, MatMul):
        return _factors_of_rows_and_columns(array)
    return _factors_for_rows(array) if array.spec == "rows" else _factors_for_columns(array)


def _factors_of_rows_and_columns(array: MatMul) -> Factors:
    rows, columns = array.rows, array.columns
    has_p = len(rows.shape) == len(columns.shape)
    flat = len(columns.shape) == 2 and not columns.batched
    turned: Moves = (TURNED if flat else _LAST_TURNED,)
    if columns.batched and not has_p:
        return Factors(columns, (), rows, (Part((..., None)),), (Part((..., 0)),))
    if has_p and rows.batched and flat:
        after = (Sizes(sizes_of(array.shape, array.batched)),)
        return Factors(rows, (Sizes((-1, rows.shape[-1])),), columns, turned, after)
    return Factors(rows, (), columns, turned)


def _factors_for_rows(array: Product) -> Factors:
    delta, other = array.delta, array.other
    if other.batched and len(delta.shape) < len(other.shape):
        return Factors(delta, (Part((..., None, _ALL)),), other, (), (Part((..., 0, _ALL)),))
    if delta.batched and not other.batched and len(other.shape) == 2 and len(delta.shape) == 2:
        after = (Sizes(sizes_of(array.shape, array.batched)),)
        return Factors(delta, (Sizes((-1, delta.shape[-1])),), other, (), after)
    return Factors(delta, (), other, ())


def _factors_for_columns(array: Product) -> Factors:
    delta, other = array.delta, array.other
    has_p = len(delta.shape) == len(array.shape)
    o, k = delta.shape[-1], other.shape[-1]
    if array.batched or not delta.batched:
        if not has_p:
            outer = (Part((..., _ALL, None)),), (Part((..., None, _ALL)),)
            return Factors(delta, outer[0], other, outer[1], matrices=False)
        flat = len(delta.shape) == 2 and not delta.batched
        return Factors(delta, (TURNED if flat else _LAST_TURNED,), other, ())
    if len(array.shape) == 2:
        if not has_p:
            return Factors(delta, (TURNED,), other, ())
        return Factors(delta, (Sizes((-1, o)), TURNED), other, (Sizes((-1, k)),))
    c = array.shape[0]
    left = (Swap(0, 1), Sizes((c, -1, o)), Swap(1, 2))
    return Factors(delta, left, other, (Swap(0, 1), Sizes((c, -1, k))))


# ------------------------------------------------------------------------------------- sums and assemblies


class Summing(NamedTuple):
    """Over which axes of the whole array is summed, whether these stay with size 1, and what comes after."""

    axes: tuple[int, ...]
    keep: bool
    after: Moves


def summing(array: SumTo) -> Summing:
    """How to sum to an array."""
    source = array.source
    shift = 1 if source.batched else 0
    axes = (*([0] if array.samples else []), *[axis + shift for axis in array.axes])
    left = tuple([n for i, n in enumerate(source.shape) if i not in array.axes])
    if left == array.shape:
        return Summing(axes, False, ())
    if len(array.shape) == len(source.shape) and not array.samples:
        return Summing(axes, True, ())
    return Summing(axes, False, (Sizes(sizes_of(array.shape, array.batched)),))


class Placement(NamedTuple):
    """A piece of an assembly: where in it, flat, the piece belongs, and how the piece is moved to fit."""

    target: Moves
    piece: Array
    piece_moves: Moves
    added: bool


def placements(array: Assemble) -> Iterator[Placement]:
    """What is put where, in order; the targets end in a Part."""
    for piece, place, added in zip(array.pieces, array.places, array.added, strict=True):
        piece_moves: Moves = ()
        if place is None:
            target: Moves = (Sizes(sizes_of(array.shape, array.batched)),) if len(array.shape) > 1 else ()
        elif isinstance(place, Gather):
            target = (Part((..., place.positions.reshape(-1))),)
            if len(place.shape) > 1 and piece.shape:
                piece_moves = (Sizes((SAMPLES, -1) if piece.batched else (-1,)),)
        else:
            target = view_moves(array.size, place.base, place.shape, place.strides, array.batched)
        if not target or not isinstance(target[-1], Part):
            target = (*target, Part((...,)))
        yield Placement(target, piece, piece_moves, added)
