"""The functions that models use, to their last digits, against mpmath: eager, compiled, the source alone."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special

import autobp
from autobp import Value, ops, special
from autobp.registry import TABLE

RANDOM = np.random.default_rng(0)
POSITIVE = np.concatenate(
    [RANDOM.uniform(0.01, 3, 80), RANDOM.uniform(3, 60, 60), 10 ** RANDOM.uniform(-8, 8, 60)]
)
NEGATIVE = -np.concatenate([RANDOM.uniform(0.01, 1, 40), RANDOM.uniform(1, 30, 40)])
REAL = np.concatenate([RANDOM.normal(0, 3, 80), RANDOM.uniform(-36, 36, 60)])


def tail(x):
    """Φ(x)·(-x)/φ(x) for x far below 0, by the asymptotic series (Abramowitz and Stegun 26.2.12)."""
    return sum((-1) ** k * mpmath.fac2(2 * k - 1) / mpmath.mpf(x) ** (2 * k) for k in range(12))


def log_norm_cdf(x):
    if x > -100:
        return mpmath.log(mpmath.ncdf(x))
    return mpmath.log(tail(x)) - x * x / 2 - mpmath.log(-x * mpmath.sqrt(2 * mpmath.pi))


def inverse_mills(x):
    return mpmath.npdf(x) / mpmath.ncdf(x) if x > -100 else -x / tail(x)


#: The function in mpmath, where to compare, and by how much it may differ: relative to its size, or 1.
EXACT = {
    "lgamma": (lambda x: mpmath.log(abs(mpmath.gamma(x))), [*POSITIVE, *NEGATIVE], 4e-15),
    "digamma": (mpmath.digamma, [*POSITIVE, *NEGATIVE], 4e-15),
    "trigamma": (lambda x: mpmath.psi(1, x), [*POSITIVE, *NEGATIVE], 4e-15),
    "hurwitz_zeta": (lambda x: mpmath.zeta(3, x), POSITIVE, 2e-15),
    "norm_cdf": (mpmath.ncdf, REAL, 2e-13),
    "log_norm_cdf": (log_norm_cdf, [*REAL, -1e3, -1e8, -1e150], 2e-13),
    "inverse_mills": (inverse_mills, [*REAL, -1e3, -1e8, -1e150], 2e-13),
    "log_sigmoid": (lambda x: -mpmath.log1p(mpmath.exp(-x)), [*REAL, 700.0, -700.0], 4e-16),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), [*REAL, 1e-300, 1e300], 4e-16),
    "asinh": (mpmath.asinh, [*REAL, 1e-300, 1e300], 8e-16),
    "acosh": (mpmath.acosh, 1.0 + POSITIVE, 8e-16),
    "atanh": (mpmath.atanh, np.tanh(REAL / 10), 8e-16),
    "log2": (lambda x: mpmath.log(x, 2), POSITIVE, 8e-16),
    "log10": (mpmath.log10, POSITIVE, 8e-16),
}
RELATIVE_EVERYWHERE = (
    "norm_cdf",
    "log_norm_cdf",
    "inverse_mills",
    "log_sigmoid",
    "cbrt",
    "asinh",
    "hurwitz_zeta",
)


def in_program(name, constants, points):
    """The values of the compiled program, and of its source run alone."""
    one = Value(1.0)
    step = autobp.compile(
        lambda x: [autobp.function(TABLE[name])(x, *constants) * one],
        [one],
        example=(1.5 if name == "acosh" else 0.5,),
    )
    alone = {}
    exec(step.source, alone)
    x = np.array(points)
    with np.errstate(all="ignore"):
        return step([1.0], x)[:, 0], alone["value"](np.ones(1), x)[:, 0]


@pytest.mark.parametrize("name", EXACT)
def test_values_to_the_last_digits(name):
    exact, points, tolerance = EXACT[name]
    constants = (3.0,) if name == "hurwitz_zeta" else ()
    points = [float(x) for x in points]
    compiled, alone = in_program(name, constants, points)
    for x, *found in zip(points, compiled, alone, strict=True):
        with mpmath.workdps(700 if "norm" in name else 60):
            expected = exact(mpmath.mpf(x))
            size = abs(expected) if name in RELATIVE_EVERYWHERE else max(abs(expected), 1)
            eager = autobp.function(TABLE[name])(x, *constants).data
            for y in (eager, *found):
                assert abs(mpmath.mpf(float(y)) - expected) <= tolerance * size, (x, y, expected)


def test_logarithms_and_powers_of_the_base_are_whole():
    for k in range(-30, 31):
        assert autobp.log2(2.0**k).data == k
        assert autobp.exp2(k).data == 2.0**k
    assert [autobp.log10(10.0**k).data for k in range(20)] == list(range(20))


def test_pieces_are_numpys():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6])
    for name, numpys in (("floor", np.floor), ("ceil", np.ceil), ("round", np.round)):
        assert [autobp.function(TABLE[name])(v).data for v in x] == list(numpys(x))
    for a in (7.5, -7.5, 1.0, 0.3):
        for b in (2.0, -2.0, 0.1):
            assert autobp.mod(a, b).data == np.remainder(a, b)
            z, (by_a, by_b) = autobp.value_and_grad(lambda u, v: autobp.mod(u, v), (0, 1))(a, b)
            quotient = round((a - z) / b)
            assert (by_a, by_b) == (1.0, -quotient)
    assert [autobp.clip(v, -1.0, 1.0).data for v in (-3.0, 0.5, 3.0)] == [-1.0, 0.5, 1.0]


def test_what_is_built_of_them():
    x = [Value(v) for v in (0.3, -1.2, 2.5, 700.0)]
    data = [v.data for v in x]
    assert np.allclose([v.data for v in autobp.log_softmax(x)], scipy.special.log_softmax(data), rtol=1e-15)
    assert [v.data for v in autobp.cumsum(x)] == list(np.cumsum(data))
    assert math.isclose(autobp.var(x).data, np.var(data), rel_tol=1e-15)
    assert math.isclose(autobp.norm(x).data, float(np.linalg.norm(data)), rel_tol=1e-15)
    assert autobp.norm([]).data == 0.0
    with pytest.raises(ValueError, match="no values"):
        autobp.var([])


def test_numpys_names_work_on_values_and_on_arrays_of_them():
    v, w = Value(0.3), Value(0.5)
    for numpys, ours in (
        (np.arcsin, autobp.asin), (np.arccos, autobp.acos), (np.arctan, autobp.atan),
        (np.arcsinh, autobp.asinh), (np.arctanh, autobp.atanh), (np.cbrt, autobp.cbrt),
        (np.log2, autobp.log2), (np.log10, autobp.log10), (np.exp2, autobp.exp2),
        (np.floor, autobp.floor), (np.ceil, autobp.ceil), (np.rint, autobp.round),
    ):  # fmt: skip
        assert numpys(v).data == ours(v).data
        assert numpys(np.array([v, w], dtype=object))[1].data == ours(w).data
    for numpys, ours in ((np.arctan2, autobp.atan2), (np.hypot, autobp.hypot)):
        assert numpys(v, w).data == ours(v, w).data
        assert (
            numpys(np.array([v, w], dtype=object), np.array([w, v], dtype=object))[1].data == ours(w, v).data
        )
    assert np.clip(v, 0.4, 1.0).data == 0.4
    assert autobp.grad(lambda x: np.arctan2(x, 2.0) * np.hypot(x, 1.0))(0.5) == autobp.grad(
        lambda x: autobp.atan2(x, 2.0) * autobp.hypot(x, 1.0)
    )(0.5)


def test_the_remainder_is_python_s_numpy_s_and_that_of_mod():
    v, w = Value(-7.25), Value(2.0)
    of_arrays = [(np.array([v, 5.0]) % w)[0], (v % np.array([w, 5.0]))[0], np.mod(np.array([v, w]), 2.0)[0]]
    for z in (v % w, v % 2.0, -7.25 % w, np.mod(v, w), np.remainder(v, 2), np.float64(-7.25) % w, *of_arrays):
        assert (z.data, z.operation) == (0.75, special.MOD)
    (v % w).backward()
    assert (v.grad, w.grad) == (1.0, 4.0)  # v - w·⌊v/w⌋, of which ⌊v/w⌋ is -4
    assert autobp.check_grad(lambda x: x[0] % x[1], [-7.25, 2.0])
    with pytest.raises(ZeroDivisionError, match="mod"):
        v % 0.0
    with pytest.raises(TypeError, match="unsupported operand"):
        v % "x"
    with pytest.raises(TypeError, match="unsupported operand"):
        None % v
    assert "%s" % Value(2.0, label="w") == repr(Value(2.0, label="w"))  # noqa: UP031  # a text's own operator


def test_the_remainder_compiles_as_the_operator_and_of_arguments_as_arrays():
    p = Value(5.5)
    step = autobp.compile(lambda x: sum(np.array(x) % p) + np.mod(p, 2) + 7.5 % p, [p], backend="numpy")
    cost, gradient = step([5.5], [[-1.0, 7.0]])
    assert cost == 4.5 + 1.5 + 1.5 + 2.0
    assert gradient == [1.0 - 1.0 + 1.0 - 1.0]
    with pytest.raises(TypeError, match="computes with an argument as with a number"):
        autobp.compile(lambda x: x % p, [p])([5.5], [[-1.0, 7.0]])


def many_parts(xp, x):
    """Twelve parts that are each used twice, in pairs that differ."""
    parts = [x * float(k) + 1.0 for k in range(1, 13)]
    total = parts[0]
    for part in parts:
        total = total + xp.sin(part) * part
    for part in reversed(parts):
        total = total * 0.5 + part
    return total


def test_a_rule_of_many_shared_parts_keeps_their_names_apart_in_the_source():
    op = ops.operation("many_parts", many_parts, lambda xp, y, x: (1.0,))
    try:
        compiled, alone = in_program("many_parts", (), [0.5, -1.5])
        expected = [many_parts(math, x) for x in (0.5, -1.5)]
        assert np.allclose(compiled, expected, rtol=1e-14)
        assert np.allclose(alone, expected, rtol=1e-14)
    finally:
        del ops.TABLE[op.name]
