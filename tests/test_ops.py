"""Four witnesses for every operation of the table: SymPy, central differences, the complex step, PyTorch."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from witnesses import (
    WITNESSES,
    agree,
    cases,
    central_difference,
    complex_step,
    derivative,
    derivative_graph,
    n_operands,
    paths,
    sympy_derivative,
    torch_derivative,
)

import autobp
from autobp import Value
from autobp.chain import partials_as_values
from autobp.ops import FLOATS, NUMPY, TABLE, VALUES, evaluate, partials_at

BUILT_IN = dict(TABLE)
EVERY_OPERATION = pytest.mark.parametrize(("op", "constants"), cases(BUILT_IN))


def test_no_operation_is_without_its_witnesses():
    assert set(WITNESSES) == set(BUILT_IN)


@st.composite
def operands(draw, op, away_from_kinks=True):
    witness = WITNESSES[op.name]
    drawn = [
        float(draw(st.integers(low, high) if isinstance(low, int) else st.floats(low, high)))
        for low, high in witness.between
    ]
    if away_from_kinks:
        assume(all(abs(distance) > 0.02 for distance in witness.kinks(*drawn)))
    return drawn


@EVERY_OPERATION
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_sympys_derivatives(op, constants, data):
    x = data.draw(operands(op))
    for order in range(4):
        for path in paths(op, order):
            ours = derivative(op, constants, x, path)
            theirs = sympy_derivative(op, constants, tuple(x), path)
            assert agree(ours, theirs, 1e-10, 1e-12), (x, path)


@EVERY_OPERATION
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_central_differences(op, constants, data):
    x = data.draw(operands(op))
    for order in range(1, 4):
        for path in paths(op, order):
            last = path[-1]
            if last == 0 and op.name in ("where", "take", "stop_gradient"):
                continue  # a condition and an index take no small steps; what is held constant has no say

            def before(x_last, path=path, last=last):
                return derivative(op, constants, [*x[:last], x_last, *x[last + 1 :]], path[:-1])

            expected = central_difference(before, x[last])
            ours = derivative(op, constants, x, path)
            assert agree(ours, expected, 1e-6, 1e-7 * (1 + abs(before(x[last])))), (x, path)


@pytest.mark.parametrize(("op", "constants"), cases({k: v for k, v in BUILT_IN.items() if v.analytic}))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_the_complex_step(op, constants, data):
    x = data.draw(operands(op))
    f = autobp.function(op)
    for order in range(1, 4):
        for path in paths(op, order):
            leaves = [Value(x_i) for x_i in x]
            before = derivative_graph(lambda *x: f(*x, *constants), leaves, path[:-1])
            expected = complex_step(before, leaves[path[-1]])
            assert agree(derivative(op, constants, x, path), expected, 1e-11, 1e-13), (x, path)


@EVERY_OPERATION
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_pytorchs_derivatives(op, constants, data):
    x = data.draw(operands(op, away_from_kinks=False))
    # near their pole what is 0 is a difference of terms as large as 1/r², for PyTorch's rules as for ours
    assume(op.name not in ("atan2", "hypot") or math.hypot(*x) > 0.1)
    for order in range(4):
        for path in paths(op, order):
            ours = derivative(op, constants, x, path)
            theirs = torch_derivative(op, constants, x, path)
            assert agree(ours, theirs, 1e-10, 1e-12) or pytorch_differs(op.name, constants, x, path), (
                x,
                path,
            )


# ------------------------------------------------------------------------------------------------- edges

EDGES = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e-300, 1e300, -1e300, math.inf, -math.inf, math.nan)
FEW_EDGES = (0.0, -0.0, 1.0, math.inf, math.nan)


def edges(op):
    if op.name == "take":
        return [(i, *x) for i in (0.0, 1.0, 2.0) for x in itertools.product(FEW_EDGES, repeat=3)]
    n = n_operands(op)
    return list(itertools.product(EDGES if n < 3 else FEW_EDGES, repeat=n))


def pytorch_differs(name, constants, x, path):
    """Why autobp's derivative along this path differs from PyTorch's on purpose; None where it must not.

    The documentation states each of these conventions.
    """
    order = len(path)
    if order > 0 and name in ("relu", "elu", "abs", "maximum", "minimum") and any(map(math.isnan, x)):
        return "the value is NaN, and so the loss; the derivative means nothing"
    if order > 0 and name == "clip" and (any(map(math.isnan, x)) or x[1] == x[2]):
        return "a NaN makes the value NaN; where the bounds are equal, the one that x is beyond has it"
    if name == "logaddexp" and order > 0 and x[0] == x[1] and math.isinf(x[0]):
        return "of two that are ∞ each has half, and of two that are -∞ none a part; PyTorch's is NaN"
    if name == "cbrt" and order > 0 and x[0] in (0.0, -math.inf, math.inf):
        return "PyTorch has no cube root: what stands for it has no derivative at 0 and far out"
    if name == "asinh" and order > 0 and abs(x[0]) >= 1e300:
        return "PyTorch's 1/√(1 + x²) overflows"
    if name in ("acosh", "hurwitz_zeta") and x[0] < 0.0:
        return "the operation is not defined there, and all its derivatives are NaN but where nobody looks"
    if name in ("atan2", "hypot") and order > 0 and not 1e-3 < max(map(abs, x)) < 1e150:
        return "at the origin there is none: NaN, for PyTorch's 0; near it and far out its squares fail"
    if name == "mod" and (x[1] == 0.0 or math.isinf(x[1])):
        return "there is no remainder, or no quotient, and what it changes by is NaN"
    if name in ("lgamma", "digamma") and order > 0:
        return "PyTorch's trigamma has nine digits; SymPy's derivatives are the witness"
    if name in ("lgamma", "digamma", "trigamma") and (x[0] < 0.0 or math.isinf(x[0])):
        return "at poles and at ∞ ours are NaN where PyTorch's are infinite"
    if name in ("log_norm_cdf", "inverse_mills") and x[0] <= -1e300:
        return "PyTorch's is NaN this far out"
    if name == "sign" and math.isnan(x[0]):
        return "the sign of NaN is NaN, as in NumPy"
    if name == "elu" and order > 1 and x[0] == 0.0:
        return "the second derivative at 0 is the left one, as the first is"
    if name in ("softplus", "gelu") and order > 1 and (abs(x[0]) >= 1e300):
        return "the derivative is 0 there; PyTorch's is NaN"
    if name == "constant_power" and constants[0] % 1.0 == 0.5 and x[0] in (-math.inf, 0.0):
        return "by IEEE 754 (-∞)**0.5 is ∞ and (-0)**-0.5 too; PyTorch takes a square root"
    if name == "xlogy" and order > 0 and x[0] == 0.0 and x[1] == 0.0:
        return "0·log y is 0 for every y, so its derivative by y is 0; PyTorch's is NaN at y = 0"
    if name == "power" and order > 1 and x[1] in (0.0, 1.0, 2.0) and (0 in path) and (1 in path):
        return "PyTorch takes x**0 for constant in the exponent as well"
    if (
        name == "power"
        and order > 1
        and (x[0] in (0.0, 1e-300, 1e300) or not math.isfinite(x[0]) or x[0] < 0)
    ):
        return "x**y has no derivatives by y at x <= 0, and they overflow at 1e±300"
    return None


@EVERY_OPERATION
def test_edges_as_pytorch_has_them(op, constants):
    pytest.importorskip("torch")
    for x in edges(op):
        for order in range(3 if n_operands(op) == 1 else 2):
            for path in paths(op, order):
                ours = derivative(op, constants, x, path)
                theirs = torch_derivative(op, constants, x, path)
                why = pytorch_differs(op.name, constants, x, path)
                assert agree(ours, theirs, 1e-12) or why, (x, path, ours, theirs)


@pytest.mark.long
@EVERY_OPERATION
def test_edges_as_pytorch_has_them_to_third_order(op, constants):
    pytest.importorskip("torch")
    for x in edges(op):
        for order in (2, 3):
            for path in paths(op, order):
                ours = derivative(op, constants, x, path)
                theirs = torch_derivative(op, constants, x, path)
                why = pytorch_differs(op.name, constants, x, path)
                assert agree(ours, theirs, 1e-12, 1e-15) or why, (x, path, ours, theirs)


@EVERY_OPERATION
def test_compiled_programs_have_pytorchs_value_and_gradient_at_edges_where_eager_raises_too(op, constants):
    pytest.importorskip("torch")
    leaves = [Value(0.5 if op.name in ("asin", "acos", "atanh") else 1.0) for _ in range(n_operands(op))]
    step = autobp.compile(autobp.function(op)(*leaves, *constants), leaves)
    for x in edges(op):
        value, gradient = step(np.array(x))
        for path, ours in (((), value), *(((k,), gradient[k]) for k in range(len(x)))):
            theirs = torch_derivative(op, constants, x, path)
            why = pytorch_differs(op.name, constants, x, path)
            assert agree(float(ours), theirs, 1e-12) or why, (x, path, ours, theirs)


@EVERY_OPERATION
def test_finite_operands_without_a_finite_result_raise_and_say_so(op, constants):
    f = autobp.function(op)
    for x in edges(op):
        if op.name in ("power", "constant_power") and (*x, *constants) == (-math.inf, 0.5):
            continue  # NumPy takes a square root here, and IEEE 754 says ∞
        y = evaluate(op, *x, *constants)
        leaves = [Value(x_i, label=f"x{i}") for i, x_i in enumerate(x)]
        if math.isfinite(y) or not all(math.isfinite(x_i) for x_i in x):
            node = f(*leaves, *constants)
            assert agree(node.data, y), (x, node.data, y)
            assert all(map(agree, node.partials, partials_at(op, y, *x, *constants))), x
        else:
            with pytest.raises((ValueError, ZeroDivisionError, OverflowError)) as raised:
                f(*leaves, *constants)
            for word in (op.name, *[f"x{i} = {x_i!r}" for i, x_i in enumerate(x)]):
                assert word in str(raised.value)
            assert "  " not in str(raised.value)
            assert not str(raised.value).endswith("needs "), "the table says what the operation needs"


@EVERY_OPERATION
def test_integers_and_numpys_scalars_are_numbers_like_any_other(op, constants):
    f = autobp.function(op)
    x = [0 if op.name == "atanh" else 1] * n_operands(op)
    expected = f(*[float(x_i) for x_i in x], *constants)
    for kind in (int, np.int64, np.float32, np.float64):
        node = f(*[kind(x_i) for x_i in x], *constants)
        assert (node.data, node.partials) == (expected.data, expected.partials)


# ----------------------------------------------------------------------------------- one rule, all numbers


@EVERY_OPERATION
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_rule_is_the_same_on_floats_on_arrays_and_on_values(op, constants, data):
    x = data.draw(operands(op, away_from_kinks=op.name in ("atan2", "hypot")))
    y = op.value(FLOATS, *x, *constants)
    partials = op.partials(FLOATS, y, *x, *constants)
    node = autobp.function(op)(*x, *constants)
    assert (node.data, node.partials) == (y, partials)

    arrays = [np.array([x_i, x_i]) for x_i in x]
    on_arrays = op.value(NUMPY, *arrays, *constants)
    assert np.shape(on_arrays) == (2,)
    assert agree(on_arrays[1], y, 1e-14)
    for partial, expected in zip(op.partials(NUMPY, on_arrays, *arrays, *constants), partials, strict=True):
        assert agree(np.broadcast_to(partial, (2,))[1], expected, 1e-13, 1e-15)

    for partial, expected in zip(partials_as_values(node), partials, strict=True):
        assert agree(partial.data if isinstance(partial, Value) else partial, expected, 1e-15)


@EVERY_OPERATION
def test_on_values_every_operation_is_one_node(op, constants):
    x = [Value(0.0 if op.name == "atanh" else 1.0) for _ in range(n_operands(op))]
    assert getattr(VALUES, op.name)(*x, *constants).operation is op


@EVERY_OPERATION
def test_both_notations_have_a_place_for_every_operand(op, constants):
    names = [f"<{i}>" for i in range(n_operands(op) + len(constants))]
    for template in (op.text, op.latex):
        written = template.format(*names)
        if op.arity is not None:
            assert all(name in written for name in names[: op.arity]), written
        assert written.count("{") == written.count("}")


# ----------------------------------------------------------------------------------------------- the tails


@pytest.mark.parametrize("x", [-40.0, -20.0, -5.0, 5.0, 20.0, 40.0])
@pytest.mark.parametrize(
    "name", ["sigmoid", "softplus", "silu", "gelu", "tanh", "elu", "erf", "erfc", "expm1"]
)
def test_the_tails_of_activations(name, x):
    op = BUILT_IN[name]
    constants = op.defaults
    for order in range(4):
        ours = derivative(op, constants, [x], (0,) * order)
        theirs = sympy_derivative(op, constants, (x,), (0,) * order)
        assert agree(ours, theirs, 1e-12, 3e-16 * max(1.0, abs(x))), (order, ours, theirs)


@pytest.mark.parametrize("x", [-3.0, -6.0, -9.0])
@pytest.mark.parametrize("order", [0, 1])
def test_the_lower_tail_of_gelu_keeps_its_digits(order, x):
    ours = derivative(BUILT_IN["gelu"], (), [x], (0,) * order)
    theirs = sympy_derivative(BUILT_IN["gelu"], (), (x,), (0,) * order)
    assert abs(ours - theirs) <= 1e-12 * abs(theirs), (ours, theirs)
