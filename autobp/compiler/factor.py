"""Find the matrix products in sums of products, from nothing but which operands meet in which sum.

n sums of K products each have index tables A (n, K) and B (n, K). With o different rows in A and p in B, and
all o·p pairs of them present, the sums are the elements of a matrix product. This holds for each connected
component of (rows of A, rows of B) by itself; components of one shape are a stack of products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autobp.ir import Indices

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

_FILL = 0.25  # a product this full is computed whole
_SHAPES = 3  # components of more shapes than these are not products of their own


@dataclass
class Factors:
    """Sums as a stack of matrix products.

    Attributes:
        rows: positions of B's elements, (c, p, K); -1 where there is none.
        columns: positions of A's elements, (c, o, K).
        places: for each sum its element in the flattened (c, p, o).
    """

    rows: Indices
    columns: Indices
    places: Indices


@dataclass
class Split:
    """The sums are of several kinds after all: ``labels`` (n,) tell them apart."""

    labels: Indices


@dataclass
class Pairs:
    """No matrix: the sums of products as they are, terms of one sum together.

    Attributes:
        a, b: the positions of the factors, one after another.
        starts: where each sum's terms start.
    """

    a: Indices
    b: Indices
    starts: Indices


def factor(
    a: Indices, b: Indices, lengths: Indices, column_first: bool, may_split: bool
) -> Factors | Split | Pairs:
    """How n sums Σ a·b, with ``lengths`` terms each, are computed.

    Args:
        a, b: positions of the factors, sum after sum; a become columns (weights), b rows (samples).
        lengths: (n,) the numbers of terms.
        column_first: whether terms are ordered by a rather than by b where both would do.
        may_split: whether sums that differ in kind may be told apart, or must be computed together.
    """
    if len(np.unique(lengths)) == 1:
        shape = (len(lengths), int(lengths[0]))
        best = _best_order(a.reshape(shape), b.reshape(shape), column_first)
    else:
        aligned = _align(a, b, lengths)
        if aligned is None and (swapped := _align(b, a, lengths)) is not None:
            aligned = swapped[1], swapped[0]
        if aligned is None:
            if may_split and len(np.unique(lengths)) <= _SHAPES:
                return Split(lengths)
            return _pairs(a, b, lengths)
        best = aligned
    table_a, table_b = best
    ia, unique_a = _unique_rows(table_a)
    ib, unique_b = _unique_rows(table_b)
    component_a, component_b, count = _components(ia, ib, len(unique_a), len(unique_b))
    o = np.bincount(component_a, minlength=count)
    p = np.bincount(component_b, minlength=count)
    kinds, kind = np.unique(np.stack([o, p], axis=1), axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    if len(kinds) > 1:
        if may_split and len(kinds) <= _SHAPES:
            return Split(kind[component_a[ia]].astype(np.int64))
        return _pairs(a, b, lengths)
    o_size, p_size = int(kinds[0, 0]), int(kinds[0, 1])
    pairs = np.unique(ia * len(unique_b) + ib)
    if len(pairs) < _FILL * count * o_size * p_size:
        return _pairs(a, b, lengths)
    # number rows within their component, and components by where their rows live
    rank = _rank_components(component_b, unique_b, count)
    within_a = _number_within(rank[component_a], unique_a)
    within_b = _number_within(rank[component_b], unique_b)
    k = table_a.shape[1]
    columns = np.empty((count, o_size, k), dtype=np.int64)
    rows = np.empty((count, p_size, k), dtype=np.int64)
    columns[rank[component_a], within_a] = unique_a
    rows[rank[component_b], within_b] = unique_b
    places = (rank[component_a[ia]] * p_size + within_b[ib]) * o_size + within_a[ia]
    return Factors(rows, columns, places)


def _pairs(a: Indices, b: Indices, lengths: Indices) -> Pairs:
    return Pairs(a, b, np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64))


def _best_order(a: Indices, b: Indices, column_first: bool) -> tuple[Indices, Indices]:
    """Terms in the order with the fewest different rows: by one operand, by the other, or as written."""
    best: tuple[Indices, Indices] | None = None
    fewest = -1
    n = len(a)
    for how in ("a", "b", "as written") if column_first else ("b", "a", "as written"):
        if how == "as written":
            x, y = a, b
        else:
            key, other = (a, b) if how == "a" else (b, a)
            if a.shape[1] > 1 and not (np.diff(key, axis=1) > 0).all():
                order = np.lexsort((other, key), axis=1)
                x, y = np.take_along_axis(a, order, 1), np.take_along_axis(b, order, 1)
            else:
                x, y = a, b
        different = len(np.unique(_hash_rows(x))), len(np.unique(_hash_rows(y)))
        if best is None or sum(different) < fewest:
            best, fewest = (x, y), sum(different)
        if different[0] * different[1] <= n:
            break
    assert best is not None
    return best


def _align(whole: Indices, padded: Indices, lengths: Indices) -> tuple[Indices, Indices] | None:
    """Tables (n, K) of sums with different numbers of terms, or None.

    Where the elements of each short row of ``whole`` are among those of some longest row, it is completed to
    that row, and ``padded`` has -1 in the places that are not there.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])
    longest = int(lengths.max())
    by_element: dict[int, list[int]] = {}
    full: list[list[int]] = []
    known: dict[tuple[int, ...], int] = {}
    chosen = np.empty(len(lengths), dtype=np.int64)
    slots: list[dict[int, int]] = []
    table = np.full((len(lengths), longest), -1, dtype=np.int64)
    for r in np.argsort(-lengths, kind="stable"):
        row = whole[starts[r] : starts[r + 1]].tolist()
        if len(set(row)) < len(row):
            return None
        found = -1
        if len(row) == longest:
            row.sort()
            key = tuple(row)
            found = known.get(key, -1)
            if found < 0:
                found = known[key] = len(full)
                full.append(row)
                slots.append({element: k for k, element in enumerate(row)})
                for element in row:
                    by_element.setdefault(element, []).append(found)
        else:
            for candidate in by_element.get(row[0], ())[:8]:
                if all(element in slots[candidate] for element in row):
                    found = candidate
                    break
            if found < 0:
                return None
        chosen[r] = found
        table[r, [slots[found][element] for element in whole[starts[r] : starts[r + 1]].tolist()]] = padded[
            starts[r] : starts[r + 1]
        ]
    return np.array(full, dtype=np.int64)[chosen], table


_FACTORS = np.random.default_rng(20120914).integers(1, 2**63, size=1 << 12, dtype=np.uint64) * 2 + 1


def _hash_rows(table: Indices) -> Hashes:
    """A 64-bit number for each row; different rows of one table share one with a chance below 1e-6."""
    k = table.shape[1]
    factors = _FACTORS[:k] if k <= len(_FACTORS) else _more_factors(k)
    x = (table + 2).astype(np.uint64)
    x ^= x >> np.uint64(31)
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(29)
    hashed: Hashes = (x * factors).sum(axis=1, dtype=np.uint64)
    return hashed


def _more_factors(k: int) -> Hashes:
    factors: Hashes = np.random.default_rng(k).integers(1, 2**63, size=k, dtype=np.uint64) * 2 + 1
    return factors


def _unique_rows(table: Indices) -> tuple[Indices, Indices]:
    """(number of each row among the different ones, the different rows)."""
    _, first, inverse = np.unique(_hash_rows(table), return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    unique = table[first]
    if not np.array_equal(unique[inverse], table):  # two rows shared a hash
        unique, inverse = np.unique(table, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
    return inverse.astype(np.int64), unique


def _components(ia: Indices, ib: Indices, n_a: int, n_b: int) -> tuple[Indices, Indices, int]:
    """The connected component of each row of A and of B, where a sum connects its two rows."""
    label_a, label_b = np.arange(n_a, dtype=np.int64), np.full(n_b, n_a, dtype=np.int64)
    while True:
        np.minimum.at(label_b, ib, label_a[ia])
        before = label_a.copy()
        np.minimum.at(label_a, ia, label_b[ib])
        label_a = label_a[label_a]
        if np.array_equal(before, label_a):
            break
    np.minimum.at(label_b, ib, label_a[ia])
    kept, component_a = np.unique(label_a, return_inverse=True)
    return component_a.reshape(-1), np.searchsorted(kept, label_b), len(kept)


def _rank_components(component: Indices, rows: Indices, count: int) -> Indices:
    """A number for each component, in the order of the smallest row that it holds."""
    smallest = np.full(count, np.iinfo(np.int64).max)
    key = np.empty(len(rows), dtype=np.int64)
    key[_row_order(rows)] = np.arange(len(rows))
    np.minimum.at(smallest, component, key)
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(smallest, kind="stable")] = np.arange(count)
    return rank


def _number_within(component: Indices, rows: Indices) -> Indices:
    """The number of each row within its component, in the order of the rows."""
    position = np.empty(len(rows), dtype=np.int64)
    position[_row_order(rows)] = np.arange(len(rows))
    order = np.lexsort((position, component))
    sorted_component = component[order]
    first = np.searchsorted(sorted_component, sorted_component)
    within = np.empty(len(rows), dtype=np.int64)
    within[order] = np.arange(len(rows)) - first
    return within


def _row_order(rows: Indices) -> Indices:
    """The rows in lexicographic order."""
    if len(np.unique(rows[:, 0])) == len(rows):
        return np.argsort(rows[:, 0], kind="stable")
    return np.lexsort(rows.T[::-1])
