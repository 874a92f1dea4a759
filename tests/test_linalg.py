"""autobp.linalg against NumPy's and SciPy's numbers, SymPy's derivatives, differences; eager and compiled."""

import numpy as np
import pytest
import scipy.linalg
import sympy as sp
from numpy.linalg import LinAlgError

import autobp
from autobp import Value, check_grad, grad, hessian, jacobian, linalg

RNG = np.random.default_rng(4)
SIZES = (1, 2, 3, 5, 6, 7, 9)


def numbers(tree):
    return np.vectorize(lambda v: float(v.data), otypes=[float])(np.array(tree, dtype=object))


def spd(n):
    a = RNG.normal(size=(n, n))
    return a @ a.T + 0.1 * np.eye(n)


# ------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("n", SIZES)
def test_numbers_against_numpy(n):
    a, b, several = RNG.normal(size=(n, n)), RNG.normal(size=n), RNG.normal(size=(n, 2))
    bound = 1e-14 * n * np.linalg.cond(a)
    assert numbers(linalg.solve(a, b)) == pytest.approx(np.linalg.solve(a, b), rel=bound, abs=bound)
    expected = np.linalg.solve(a, several)
    assert numbers(linalg.solve(a, several)) == pytest.approx(expected, rel=bound, abs=bound)
    inverse = np.linalg.inv(a)
    assert numbers(linalg.inv(a)) == pytest.approx(inverse, rel=bound, abs=bound * np.abs(inverse).max())
    assert linalg.det(a).data == pytest.approx(np.linalg.det(a), rel=bound)
    assert numbers(linalg.matmul(a, several)) == pytest.approx(a @ several, rel=1e-13, abs=1e-13)
    s = spd(n)
    assert numbers(linalg.cholesky(s)) == pytest.approx(np.linalg.cholesky(s), rel=1e-12, abs=1e-13)
    assert linalg.logdet(s).data == pytest.approx(np.linalg.slogdet(s)[1], rel=1e-12, abs=1e-12)
    tall, right = RNG.normal(size=(n + 4, n)), RNG.normal(size=n + 4)
    expected = scipy.linalg.lstsq(tall, right)[0]
    assert numbers(linalg.lstsq(tall, right)) == pytest.approx(expected, rel=1e-11, abs=1e-12)


def test_hilberts_matrix_is_solved_as_well_as_by_numpy():
    n = 8
    a = scipy.linalg.hilbert(n)
    x = np.ones(n)
    ours = numbers(linalg.solve(a, a @ x))
    # backward stable: the residual is of the size of rounding, whatever the condition (1.5e10)
    assert np.abs(a @ ours - a @ x).max() < 1e-14
    assert linalg.det(a).data == pytest.approx(np.prod(np.linalg.svd(a)[1]), rel=1e-4)
    assert linalg.logdet(a).data == pytest.approx(np.log(np.linalg.svd(a)[1]).sum(), abs=1e-5)


@pytest.mark.parametrize(
    "a",
    [
        [[0.0, 1.0], [1.0, 0.0]],
        [[1e-20, 1.0], [1.0, 1.0]],  # elimination without pivots gives 0 here
        [[0.0, 0.0, 2.0], [0.0, 3.0, 1.0], [4.0, 1.0, 1.0]],
        [[1e150, 1e-150], [1e150, 3e-150]],  # columns of any size
    ],
)
def test_no_pivot_is_needed(a):
    expected = np.linalg.solve(a, np.arange(1.0, len(a) + 1))
    assert numbers(linalg.solve(a, np.arange(1.0, len(a) + 1))) == pytest.approx(expected, rel=1e-12)
    assert linalg.det(a).data == pytest.approx(np.linalg.det(a), rel=1e-12)


def test_shapes_come_back_as_they_were_given():
    a, b = [[2.0, 1.0], [1.0, 3.0]], [1.0, 2.0]
    assert isinstance(linalg.solve(a, b), list)
    assert isinstance(linalg.solve(np.array(a), b), np.ndarray)
    assert linalg.solve(np.array(a), b).shape == (2,)
    assert linalg.inv(np.array(a)).dtype == object
    assert isinstance(linalg.inv(a)[0], list)
    assert isinstance(linalg.matmul([1.0, 2.0], b), Value)
    assert linalg.matmul(np.array(a), b).shape == (2,)
    assert linalg.matmul(b, np.array(a)).shape == (2,)
    assert numbers(linalg.matmul(b, a)) == pytest.approx(np.array(b) @ np.array(a))
    objects = np.array([[Value(2.0), 1], [Value(1.0), 3]], dtype=object)
    assert numbers(linalg.solve(objects, b)) == pytest.approx(np.linalg.solve(a, b))


# --------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(
    "f",
    [
        lambda a: linalg.det(a),
        lambda a: linalg.logdet(linalg.matmul(a, a.T)),
        lambda a: autobp.sum((linalg.inv(a) * np.arange(a.size).reshape(a.shape)).ravel()),
        lambda a: autobp.sum(linalg.solve(a, a[0] * a[0])),
        lambda a: autobp.sum(linalg.cholesky(linalg.matmul(a, a.T) + np.eye(len(a))).ravel()),
        lambda a: autobp.sum(linalg.lstsq(np.concatenate([a, a * a + 1.0]), np.arange(2.0 * len(a)))),
    ],
    ids=["det", "logdet", "inv", "solve", "cholesky", "lstsq"],
)
def test_gradients_against_differences(f, n):
    a = RNG.normal(size=(n, n)) + 2.0 * np.eye(n)
    report = check_grad(f, a)
    assert report.ok, str(report)


def test_second_derivatives_against_sympy():
    x, y = sp.symbols("x y")

    def matrix(x, y):
        return [[x * y, 1, x], [y, x + 3, 2], [1, y * y, x - y]]

    def expected(f):
        return [[float(sp.diff(f, p, q).subs({x: 0.7, y: -1.3})) for q in (x, y)] for p in (x, y)]

    symbolic = sp.Matrix(matrix(x, y))
    right = sp.Matrix([x, 1, y])
    solution = symbolic.LUsolve(right)
    point = [0.7, -1.3]
    det = hessian(lambda p: linalg.det(matrix(*p)))(point)
    assert det == [pytest.approx(row, rel=1e-12) for row in expected(symbolic.det())]
    for k in range(3):
        solved = hessian(lambda p, k=k: linalg.solve(matrix(*p), [p[0], 1, p[1]])[k])(point)
        assert solved == [pytest.approx(row, rel=1e-10) for row in expected(solution[k])]
    squared = symbolic * symbolic.T

    def logdet(p):
        m = matrix(*p)
        return linalg.logdet(linalg.matmul(m, [list(column) for column in zip(*m, strict=True)]))

    logarithm = sp.log(squared.det())
    assert hessian(logdet)(point) == [pytest.approx(row, rel=1e-10) for row in expected(logarithm)]


def test_the_closed_forms_of_the_derivatives():
    a = RNG.normal(size=(8, 8))  # large enough for reflections in det
    inverse = np.linalg.inv(a)
    assert np.array(grad(linalg.det)(a)) == pytest.approx(np.linalg.det(a) * inverse.T, rel=1e-10)
    j = jacobian(linalg.inv)(a[:3, :3])
    small = np.linalg.inv(a[:3, :3])
    assert j == pytest.approx(-np.einsum("ij,kl->iljk", small, small), rel=1e-9)


def test_the_determinant_of_a_singular_matrix_has_its_derivatives():
    a = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 1.0, 1.0]])  # rank 2
    symbols = sp.Matrix(3, 3, sp.symbols("a:9"))
    cofactors = [[float(symbols.det().diff(s).subs(dict(zip(symbols, a.ravel(), strict=True)))) for s in row]
                 for row in symbols.tolist()]  # fmt: skip
    assert linalg.det(a).data == 0.0
    assert grad(linalg.det)(a) == pytest.approx(np.array(cofactors), abs=1e-14)
    assert np.array(grad(linalg.det)(np.zeros((3, 3)))) == pytest.approx(np.zeros((3, 3)))
    last = RNG.normal(size=(8, 8))
    last[:, 7] = last[:, 2] - last[:, 5]  # only the last column depends on others: the product of R's has it
    u, s, vt = np.linalg.svd(last)
    adjugate = np.prod(s[:-1]) * np.linalg.det(u) * np.linalg.det(vt) * np.outer(u[:, -1], vt[-1])
    assert np.array(grad(linalg.det)(last)) == pytest.approx(adjugate, rel=1e-9, abs=1e-10)


# -------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: linalg.solve([[1.0, 2.0], [2.0, 4.0]], [1.0, 1.0]), ["solve", "singular", "column 1"]),
        (lambda: linalg.inv([[0.0, 2.0], [0.0, 4.0]]), ["inv", "singular", "column 0"]),
        (lambda: linalg.inv([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]), ["singular", "column 2"]),
        (lambda: linalg.solve([[float("nan"), 1.0], [1.0, 2.0]], [1.0, 1.0]), ["singular", "not finite"]),
        (lambda: linalg.lstsq([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], [1.0, 2.0, 3.0]), ["lstsq", "column 1"]),
        (lambda: linalg.logdet([[0.0, 1.0], [1.0, 0.0]]), ["logdet", "negative"]),
        (lambda: linalg.logdet([[1.0, 1.0], [1.0, 1.0]]), ["logdet", "singular"]),
        (lambda: linalg.cholesky([[1.0, 2.0], [2.0, 1.0]]), ["positive definite", "[1, 1]", "-3"]),
        (lambda: linalg.cholesky([[1.0, 2.0], [0.0, 5.0]]), ["not symmetric", "[1, 0]"]),
        (lambda: linalg.det(np.outer(np.ones(8), np.arange(8.0) + 1)), ["det", "column 1"]),
    ],
)
def test_singular_matrices_are_named(call, words):
    with pytest.raises(LinAlgError) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linalg.solve([[1.0, 2.0]], [1.0]), ValueError, ["square", "(1, 2)"]),
        (lambda: linalg.solve([[1.0]], [1.0, 2.0]), ValueError, ["1 rows", "2"]),
        (lambda: linalg.det([1.0, 2.0]), ValueError, ["a must be a matrix"]),
        (lambda: linalg.det([[1.0, 2.0], [1.0]]), ValueError, ["same length", "[2, 1]"]),
        (lambda: linalg.det([]), ValueError, ["empty"]),
        (lambda: linalg.det(3.0), TypeError, ["vector or a matrix"]),
        (lambda: linalg.det(np.zeros((2, 2, 2))), ValueError, ["more axes"]),
        (lambda: linalg.matmul([[1.0, 2.0]], [[1.0, 2.0]]), ValueError, ["(1, 2)", "inner"]),
        (lambda: linalg.lstsq([[1.0, 2.0]], [1.0]), ValueError, ["as many rows as columns"]),
    ],
)
def test_shapes_that_do_not_fit_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    for word in words:
        assert word in str(raised.value)


# ------------------------------------------------------------------------------------------------ compiled


def compiled(n):
    parameters = [Value(float(i == j)) for i in range(n) for j in range(n)]  # traced at the unit matrix

    def outputs(b):
        a = [parameters[n * i : n * i + n] for i in range(n)]
        square = linalg.matmul(a, [list(column) for column in zip(*a, strict=True)])
        lower = linalg.cholesky([[square[i][j] + (i == j) for j in range(n)] for i in range(n)])
        return [*linalg.solve(a, b), linalg.det(a), linalg.logdet(square), lower[n - 1][n - 1]]

    return autobp.compile(outputs, parameters, example=(np.zeros(n),))


@pytest.mark.parametrize("n", [2, 4, 7])
def test_compiled_programs_hold_for_matrices_that_need_other_pivots(n):
    step = compiled(n)
    matrices = [RNG.normal(size=(n, n)), np.eye(n)[::-1] * 2.0, RNG.normal(size=(n, n)) * 1e-6]
    tiny_pivot = RNG.normal(size=(n, n))
    tiny_pivot[0, 0] = 1e-18
    for a in [*matrices, tiny_pivot]:
        b = RNG.normal(size=(3, n))
        found = step(a.ravel(), b)
        bound = 1e-13 * np.linalg.cond(a)
        expected = np.linalg.solve(a, b.T).T
        assert found[:, :n] == pytest.approx(expected, rel=bound, abs=bound * np.abs(expected).max())
        assert found[:, n] == pytest.approx(np.full(3, np.linalg.det(a)), rel=bound)
        assert found[:, n + 1] == pytest.approx(np.full(3, np.linalg.slogdet(a @ a.T)[1]), abs=1e-8)
        assert found[:, n + 2] == pytest.approx(np.full(3, np.linalg.cholesky(a @ a.T + np.eye(n))[-1, -1]))
        assert step.verify(a.ravel(), b).ok


@pytest.mark.parametrize("n", [12, 30])
def test_a_program_has_statements_for_columns_and_not_for_entries(n):
    """Reflections are loops over arrays: 17 statements a column, where the scalars are n³ operations."""
    parameters = [Value(v) for v in RNG.normal(size=n * n)]
    rows = [parameters[n * i : n * i + n] for i in range(n)]
    step = autobp.compile(lambda b: linalg.solve(rows, b), parameters, example=(np.ones(n),))
    assert 10 * n < len(step) < 20 * n
    b = RNG.normal(size=(2, n))
    a = np.reshape(step.theta, (n, n))
    assert step(step.theta, b) == pytest.approx(np.linalg.solve(a, b.T).T, rel=1e-10, abs=1e-10)


def test_compiled_programs_give_nan_where_the_matrix_is_singular():
    step = compiled(3)
    a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    found = step(a.ravel(), np.ones((1, 3)))[0]
    assert np.isnan(found[:3]).all()
    assert found[3] == pytest.approx(0.0, abs=1e-14)
    assert np.isfinite(found[5]).all()


def test_compiled_gradients_against_differences_of_numpy():
    n = 3
    parameters = [Value(v) for v in RNG.normal(size=n * n)]

    def loss(b):
        a = [parameters[n * i : n * i + n] for i in range(n)]
        return autobp.sum([x * x for x in linalg.solve(a, b)])

    step = autobp.compile(loss, parameters)
    b = RNG.normal(size=(5, n))
    theta = step.theta
    _, gradient = step(theta, b)

    def by_numpy(theta):
        return (np.linalg.solve(theta.reshape(n, n), b.T) ** 2).sum() / len(b)

    for i, g in enumerate(gradient):
        h = 1e-6 * np.eye(n * n)[i]
        assert g == pytest.approx((by_numpy(theta + h) - by_numpy(theta - h)) / 2e-6, rel=1e-6, abs=1e-6)
