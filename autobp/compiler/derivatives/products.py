"""The tangents of products: of one factor in some directions, times the other.

A factor of a stack of matrices has the directions in the stack. Where there is one matrix, they lie beside
its rows, so that one product does all of them.
"""

from __future__ import annotations

from autobp import ir
from autobp.compiler.adjoint import padded
from autobp.compiler.derivatives.tangents import Tangent, filled, ranked, reshaped, turned


def matmul(array: ir.MatMul, rows: Tangent | None, columns: Tangent | None) -> ir.Array:
    """The tangent of a :class:`~autobp.ir.MatMul` by that of its rows, or of its columns."""
    t = rows or columns
    assert t is not None
    made = filled(t, array.rows if rows else array.columns, False)
    if not t.lead:
        return ir.MatMul(made, array.columns) if rows else ir.MatMul(array.rows, made)
    k, (o, width) = t.lead[0], array.columns.shape[-2:]
    has_p = len(array.rows.shape) == len(array.columns.shape)
    if len(array.columns.shape) > 2:
        left = _stacked(made if rows else _repeated(array.rows, k))
        right = _stacked(_repeated(array.columns, k) if rows else made)
        return reshaped(ir.MatMul(left, right), (k, *array.shape))
    if rows:
        p = array.rows.shape[0] if has_p else 1
        return reshaped(ir.MatMul(reshaped(made, (k * p, width)), array.columns), (k, *array.shape))
    product = ir.MatMul(array.rows, reshaped(made, (k * o, width)))
    if not has_p:
        return reshaped(product, (k, o))
    return turned(reshaped(product, (array.rows.shape[0], k, o)), (1, 0, 2))


def product(array: ir.Product, delta: Tangent | None, other: Tangent | None) -> ir.Array:
    """The tangent of a :class:`~autobp.ir.Product` by that of delta, or of the other factor."""
    t = delta or other
    assert t is not None
    primal = array.delta if delta else array.other
    made = filled(t, primal, primal.batched)
    if not t.lead:
        pair = (made, array.other) if delta else (array.delta, made)
        return ir.Product(*pair, array.spec, array.of_shape, array.with_samples)
    k = t.lead[0]
    matrix = array.other if array.spec == "rows" else array
    if len(matrix.shape) > 2:
        left = _stacked(made if delta else _repeated(array.delta, k))
        right = _stacked(_repeated(array.other, k) if delta else made)
        shape = (k * array.shape[0], *array.shape[1:])
        stacked = ir.Product(left, right, array.spec, shape, array.with_samples)
        return reshaped(stacked, (k, *array.shape))
    if array.spec == "rows":
        return _for_rows(array, made, k, delta is not None)
    return _for_columns(array, made, k, delta is not None)


def _for_rows(array: ir.Product, made: ir.Array, k: int, of_delta: bool) -> ir.Array:
    """delta times the columns, (p?, o) times (o, K), with directions on one of them."""
    width, with_samples = array.shape[-1], array.with_samples
    *p, o = array.delta.shape
    if of_delta:
        rows = k * (p[0] if p else 1)
        stacked = ir.Product(reshaped(made, (rows, o)), array.other, "rows", (rows, width), with_samples)
        return reshaped(stacked, (k, *array.shape))
    beside = reshaped(turned(made, (1, 0, 2)), (o, k * width))
    found = ir.Product(array.delta, beside, "rows", (*p, k * width), with_samples)
    if not p:
        return reshaped(found, (k, width))
    return turned(reshaped(found, (p[0], k, width)), (1, 0, 2))


def _for_columns(array: ir.Product, made: ir.Array, k: int, of_delta: bool) -> ir.Array:
    """delta transposed times the rows, (p?, o) and (p?, K), with directions on one of them."""
    o, width = array.shape
    p = array.delta.shape[:-1]
    n = o if of_delta else width
    beside = reshaped(turned(made, (1, 0, 2)) if p else made, (*p, k * n))
    if of_delta:
        found = ir.Product(beside, array.other, "columns", (k * o, width), array.with_samples)
        return reshaped(found, (k, o, width))
    found = ir.Product(array.delta, beside, "columns", (o, k * width), array.with_samples)
    return turned(reshaped(found, (o, k, width)), (1, 0, 2))


def rowdot(array: ir.RowDot, x: Tangent | None, y: Tangent | None) -> ir.Array:
    """The tangent of a :class:`~autobp.ir.RowDot` by that of one of the factors."""
    t = x or y
    assert t is not None
    primal, other = (array.x, array.y) if x else (array.y, array.x)
    rank = max(len(array.x.shape), len(array.y.shape))
    made = filled(t, primal, False)
    if not t.lead:
        return ir.RowDot(padded(made, rank), other)
    made = ranked(Tangent(made, t.directions), rank)
    return reshaped(ir.RowDot(made, padded(other, 1 + rank)), (t.lead[0], *array.shape))


def _repeated(array: ir.Array, k: int) -> ir.Array:
    """The array once for each direction, without a copy."""
    shape = (1, *array.shape)
    return ir.Fill(reshaped(array, shape), (k, *array.shape), array.batched)


def _stacked(array: ir.Array) -> ir.Array:
    """The directions as more matrices of a stack: (k, s, …) as (k·s, …)."""
    return reshaped(array, (array.shape[0] * array.shape[1], *array.shape[2:]))
