"""Linear algebra of small matrices of Values: products, determinants, solutions, written in scalars.

Matrices are nested lists, rows first, or NumPy arrays, of Values and numbers. Where an argument is an array
the result is one too, of objects; else it consists of lists. All of it is made of operations of the table, so
that every reading of the graph has it: derivatives to any order, explanations, pictures, compiled programs.

Elimination would have to look for pivots, rows to be swapped by how large their numbers are; in a compiled
program that choice would stay what it was for the sample that was traced, and be unstable or divide by 0 for
others. So systems are solved by Householder's reflections, A = QR, which are backward stable without pivots
(Golub and Van Loan, "Matrix Computations", 5.2; Higham, "Accuracy and Stability of Numerical Algorithms",
19.3); Cholesky's factor needs none either. The one decision, which way a reflection goes, is an operation.

A matrix is taken for singular where a column depends on those before it up to rounding: what is left of it is
at most n·2.2e-16 of it. ``numpy.linalg.LinAlgError`` (a ValueError) says which. In compiled programs, which
cannot raise, the result is then NaN. How large columns are does not matter; rows that differ by fifteen
orders of magnitude do: divide equations by their size before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
from numpy.linalg import LinAlgError

from autobp.engine import Value
from autobp.functions import greater, greater_equal, log, sqrt, where
from autobp.functions import sum as sum_of
from autobp.state import is_traced

__all__ = ["cholesky", "det", "inv", "logdet", "lstsq", "matmul", "solve"]

_EPSILON = float(np.finfo(np.float64).eps)
_EXPANDED = 6  # determinants up to this size are written out: 2⁶ minors

Matrix = list[list[Value]]


def matmul(a: Any, b: Any) -> Any:
    """The product of matrices (m, k) and (k, n): (m, n).

    Either may be a vector (k,), and the result is one then; of two it is their inner product, a Value.

    Raises ValueError where shapes do not fit, TypeError for what is neither.
    """
    left, right = _tensor(a, "a"), _tensor(b, "b")
    rows = left if _is_matrix(left) else [left]
    columns = [list(column) for column in zip(*right, strict=True)] if _is_matrix(right) else [right]
    if len(rows[0]) != len(columns[0]):
        raise ValueError(f"matmul of {_shape(left)} and {_shape(right)}: the inner lengths must be equal")
    product: Any = [[_dot(row, column) for column in columns] for row in rows]
    if not _is_matrix(right):
        product = [row[0] for row in product]
    return _like(product if _is_matrix(left) else product[0], a, b)


def solve(a: Any, b: Any) -> Any:
    """The x with A x = b, for a square matrix (n, n) and a vector (n,), or several as columns (n, k).

    Raises LinAlgError where A is singular, ValueError where shapes do not fit.
    """
    matrix = _square(a, "solve")
    return _like(_least_squares(matrix, b, "solve"), a, b)


def lstsq(a: Any, b: Any) -> Any:
    """The x with the least Σ (A x - b)², for m ≥ n rows: (n,), or (n, k) for b with k columns.

    Raises LinAlgError where the columns of A are linearly dependent, ValueError where shapes do not fit.
    """
    matrix = _matrix(a, "a")
    if len(matrix) < len(matrix[0]):
        raise ValueError(
            f"lstsq needs at least as many rows as columns; a has the shape {_shape(matrix)}, and its "
            "solutions are many"
        )
    return _like(_least_squares(matrix, b, "lstsq"), a, b)


def inv(a: Any) -> Any:
    """The inverse of a square matrix (n, n). Raises LinAlgError where it is singular."""
    matrix = _square(a, "inv")
    n = len(matrix)
    unit = [[Value(1.0 if i == j else 0.0) for j in range(n)] for i in range(n)]
    return _like(_least_squares(matrix, unit, "inv"), a)


def det(a: Any) -> Value:
    """The determinant of a square matrix (n, n), that of a singular one included.

    Up to 6 × 6 it is written out, without a division, so that it has its derivatives everywhere. Beyond that
    it is the product of R's diagonal; LinAlgError is raised where one of the first n - 1 columns depends on
    those before it: the product is 0 there, but its derivatives would be lost.
    """
    matrix = _square(a, "det")
    if len(matrix) <= _EXPANDED:
        return _minors(matrix)
    factor = _triangular(matrix, [], "det", last=False)
    product = Value(1.0 if len(matrix) % 2 else -1.0)  # each of the n - 1 reflections has the determinant -1
    for k, row in enumerate(factor):
        product = product * row[k]
    return product


def logdet(a: Any) -> Value:
    """The logarithm of the determinant of a square matrix (n, n), which must be positive.

    It is the sum of logarithms, and finite where the determinant itself is out of range.

    Raises LinAlgError where the matrix is singular or its determinant negative; in compiled programs the
    result is NaN there.
    """
    matrix = _square(a, "logdet")
    factor = _triangular(matrix, [], "logdet")
    sign: Any = 1.0 if len(matrix) % 2 else -1.0
    for k, row in enumerate(factor):
        sign = sign * _sign(row[k])
    if not is_traced() and sign.data < 0.0:
        raise LinAlgError("logdet: the determinant is negative, and has no logarithm; det(a) gives it")
    return sum_of([log(abs(row[k])) for k, row in enumerate(factor)]) + log(sign)


def cholesky(a: Any) -> Any:
    """The lower triangular L with A = L Lᵀ of a symmetric positive definite matrix (n, n).

    It reads the lower half of A alone, and the derivatives are by that half.

    Raises LinAlgError where A is not symmetric (to 1e-9 of its entries) or not positive definite; in compiled
    programs the result is NaN where A is not positive definite, and the upper half is not looked at.
    """
    matrix = _square(a, "cholesky")
    n = len(matrix)
    if not is_traced():
        _check_symmetric(matrix)
    factor: Matrix = []
    for i in range(n):
        row: list[Value] = []
        for j in range(i):
            row.append(
                (matrix[i][j] - _dot(row, factor[j][:j])) / factor[j][j] if j else matrix[i][0] / factor[0][0]
            )
        pivot = matrix[i][i] - _dot(row, row) if i else matrix[0][0]
        if not is_traced() and not pivot.data > 0.0:
            raise LinAlgError(
                f"cholesky: the matrix is not positive definite: what is left of its diagonal at [{i}, {i}] "
                f"is {pivot.data:.6g}"
            )
        factor.append([*row, sqrt(pivot)])
    return _like([[*row, *[Value(0.0)] * (n - len(row))] for row in factor], a)


# --------------------------------------------------------------------------------------- reflections


def _least_squares(matrix: Matrix, b: Any, name: str) -> Any:
    right = _tensor(b, "b")
    if len(right) != len(matrix):
        raise ValueError(f"{name}: a has {len(matrix)} rows and b {len(right)}; they must be as many")
    several = _is_matrix(right)
    columns = [list(column) for column in zip(*right, strict=True)] if several else [list(right)]
    factor = _triangular(matrix, columns, name)
    solutions = [_back_substituted(factor, column) for column in columns]
    return [list(row) for row in zip(*solutions, strict=True)] if several else solutions[0]


def _triangular(matrix: Matrix, right: list[list[Value]], name: str, last: bool = True) -> Matrix:
    """R of A = QR, the rows 0 … n - 1 from the diagonal on; the columns ``right`` become Qᵀ times them.

    Args:
        last: whether the last column has to be independent of the others too.
    """
    m, n = len(matrix), len(matrix[0])
    columns = [list(column) for column in zip(*matrix, strict=True)]
    # what is left of a column is held against all of it; reflections keep its length, so that of A's will do
    sizes = [_dot(column, column) for column in columns] if is_traced() else []
    for k in range(n):
        column = columns[k]
        if k < m - 1:
            x = column[k:]
            if not is_traced() and all(entry.data == 0.0 for entry in x):
                raise _singular(name, k)
            length = sqrt(_dot(x, x))
            away = -_sign(x[0])  # to where nothing cancels
            scale = length * (length + abs(x[0]))
            column[k] = away * length
            v = [x[0] - column[k], *x[1:]]
            for other in (*columns[k + 1 :], *right):
                part = _dot(v, other[k:]) / scale
                other[k:] = [y - part * v_i for y, v_i in zip(other[k:], v, strict=True)]
        if last or k < n - 1:
            few = max(m, n) * _EPSILON
            if sizes:
                column[k] = where(greater(column[k] * column[k], few**2 * sizes[k]), column[k], math.nan)
            elif not abs(column[k].data) > few * math.hypot(*[entry.data for entry in column[: k + 1]]):
                raise _singular(name, k)
    return [[columns[j][i] if j >= i else Value(0.0) for j in range(n)] for i in range(n)]


def _singular(name: str, k: int) -> LinAlgError:
    if k == 0:
        return LinAlgError(f"{name}: the matrix is singular: its column 0 is 0, or not finite")
    return LinAlgError(
        f"{name}: the matrix is singular to rounding: its column {k}, counted from 0, is a combination of "
        "those before it"
    )


def _back_substituted(factor: Matrix, right: list[Value]) -> list[Value]:
    n = len(factor)
    found: list[Value] = []
    for i in range(n - 1, -1, -1):
        rest = right[i] - _dot(factor[i][i + 1 :], found) if found else right[i]
        found.insert(0, rest / factor[i][i])
    return found


def _minors(matrix: Matrix) -> Value:
    """The determinant by the minors of the first rows, over all sets of columns, without a division."""
    n = len(matrix)
    minors: dict[tuple[int, ...], Value] = {(j,): matrix[0][j] for j in range(n)}
    for i in range(1, n):
        larger = {}
        for chosen in combinations(range(n), i + 1):
            terms = [matrix[i][j] * minors[chosen[:k] + chosen[k + 1 :]] for k, j in enumerate(chosen)]
            total = terms[-1]
            for k in range(i - 1, -1, -1):
                total = total + terms[k] if (i - k) % 2 == 0 else total - terms[k]
            larger[chosen] = total
        minors = larger
    return minors[tuple(range(n))]


# --------------------------------------------------------------------------------------- small things


def _sign(x: Value) -> Value:
    return where(greater_equal(x, 0.0), 1.0, -1.0)


def _dot(x: Sequence[Value], y: Sequence[Value]) -> Value:
    return sum_of([a * b for a, b in zip(x, y, strict=True)])


def _is_matrix(tensor: list[Any]) -> bool:
    return isinstance(tensor[0], list)


def _shape(tensor: list[Any]) -> tuple[int, ...]:
    return (len(tensor), len(tensor[0])) if _is_matrix(tensor) else (len(tensor),)


def _tensor(given: Any, name: str) -> list[Any]:
    """A vector or a matrix as lists of Values."""
    try:
        rows = list(given)
    except TypeError:
        raise TypeError(
            f"{name} must be a vector or a matrix, in lists or an array; got {given!r:.80}"
        ) from None
    if not rows:
        raise ValueError(f"{name} is empty")
    if not all(isinstance(row, Sequence | np.ndarray) for row in rows):
        return [_entry(x, name) for x in rows]
    made = [[_entry(x, name) for x in row] for row in rows]
    if not made[0] or any(len(row) != len(made[0]) for row in made):
        raise ValueError(
            f"{name}: all rows of a matrix must have the same length; got {[len(r) for r in made]}"
        )
    return made


def _entry(x: Any, name: str) -> Value:
    if isinstance(x, Value):
        return x
    if isinstance(x, Sequence | np.ndarray):
        raise ValueError(f"{name} must be a vector or a matrix; it has more axes, or rows beside numbers")
    return Value(x)


def _matrix(given: Any, name: str) -> Matrix:
    tensor = _tensor(given, name)
    if not _is_matrix(tensor):
        raise ValueError(f"{name} must be a matrix; it is a vector of the length {len(tensor)}")
    return cast(Matrix, tensor)


def _square(given: Any, name: str) -> Matrix:
    matrix = _matrix(given, "a")
    if len(matrix) != len(matrix[0]):
        raise ValueError(f"{name} needs a square matrix; a has the shape {_shape(matrix)}")
    return matrix


def _check_symmetric(matrix: Matrix) -> None:
    for i, row in enumerate(matrix):
        for j in range(i):
            below, above = row[j].data, matrix[j][i].data
            if abs(below - above) > 1e-9 * max(abs(below), abs(above)):
                raise LinAlgError(
                    f"cholesky: the matrix is not symmetric: at [{i}, {j}] it is {below:.6g}, at [{j}, {i}] "
                    f"{above:.6g}"
                )


def _like(result: Any, *given: Any) -> Any:
    """Lists, or an object array where one of the arguments is an array."""
    if isinstance(result, Value) or not any(isinstance(x, np.ndarray) for x in given):
        return result
    made = np.empty(_shape(result), dtype=object)
    for index in np.ndindex(made.shape):
        entry: Any = result
        for i in index:
            entry = entry[i]
        made[index] = entry
    return made
