"""grad, jacobian, hessian, jvp, vjp, hvp and check_grad: their conventions, their nesting, their numbers."""

import contextlib
import gc
import math
import random
import threading
from collections import namedtuple

import numpy as np
import pytest
import scipy.optimize
import sympy as sp
from witnesses import agree, central_difference

import autobp
from autobp import Value, check_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from autobp.engine import ieee
from autobp.ops import TABLE


@pytest.fixture
def registered():
    """Operations that a test registers are gone after it."""
    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        del TABLE[name]


def rosenbrock(x):
    return sum((1 - x[i]) ** 2 + 100 * (x[i + 1] - x[i] ** 2) ** 2 for i in range(len(x) - 1))


POINT = np.array([0.3, 1.2, -0.7, 0.5])

# -------------------------------------------------------------------------------------- derivatives are right


def test_derivatives_to_the_sixth_order_agree_with_sympy():
    t = sp.symbols("t")
    f = lambda x: autobp.exp(x.sin()) / (1 + x**2)  # noqa: E731
    for order in range(1, 7):
        f = grad(f)
        expected = sp.diff(sp.exp(sp.sin(t)) / (1 + t**2), t, order).subs(t, sp.Rational(5, 4)).evalf(30)
        assert f(1.25) == pytest.approx(float(expected), rel=1e-11)


def test_the_fifth_derivative_of_x_to_the_seventh_sine():
    f = lambda x: x**7 * autobp.sin(x)  # noqa: E731
    for _ in range(5):
        f = grad(f)
    t = sp.symbols("t")
    for x in (-2.5, 0.0, 0.3, 1.0, 4.0):
        expected = float(sp.diff(t**7 * sp.sin(t), t, 5).subs(t, sp.Float(x, 30)).evalf(30))
        assert f(x) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_rosenbrock_against_scipys_derivatives():
    v = np.array([1.0, -2.0, 0.5, 3.0])
    assert grad(rosenbrock)(POINT) == pytest.approx(scipy.optimize.rosen_der(POINT), rel=1e-13)
    assert hessian(rosenbrock)(POINT) == pytest.approx(scipy.optimize.rosen_hess(POINT), rel=1e-13)
    assert hvp(rosenbrock, POINT, v) == pytest.approx(scipy.optimize.rosen_hess_prod(POINT, v), rel=1e-13)


def test_forward_and_reverse_mode_agree_and_hessians_are_what_all_the_ways_give():
    def f(x):
        return (x[0] * x[1]).sin() * x[2].exp() + x[3] ** 3 / (1 + x[0] ** 2)

    reverse = grad(f)(POINT)
    forward = [jvp(f, (POINT,), (np.eye(4)[i],))[1] for i in range(4)]
    assert reverse == pytest.approx(forward, rel=1e-14)
    ways = [
        hessian(f)(POINT),
        jacobian(grad(f))(POINT),
        np.array([jvp(grad(f), (POINT,), (e,))[1] for e in np.eye(4)]),
        np.array([vjp(grad(f), POINT)[1](e)[0] for e in np.eye(4)]),
        np.array([hvp(f, POINT, e) for e in np.eye(4)]),
        np.array([grad(lambda x, e=e: jvp(f, (x,), (e,))[1])(POINT) for e in np.eye(4)]),
        np.array(
            [
                [jvp(lambda x, e=e: jvp(f, (x,), (e,))[1], (POINT,), (d,))[1] for d in np.eye(4)]
                for e in np.eye(4)
            ]
        ),
    ]
    for way in ways[1:]:
        assert way == pytest.approx(ways[0], rel=1e-13, abs=1e-15)
    for i in range(4):
        for j in range(4):
            along = lambda t, i=i, j=j: grad(f)([*POINT[:j], t, *POINT[j + 1 :]])[i]  # noqa: E731
            assert ways[0][i, j] == pytest.approx(central_difference(along, POINT[j]), rel=1e-8, abs=1e-9)


def test_jacobian_of_more_outputs_than_inputs_and_of_fewer():
    wide = lambda x: np.array([x[0] * x[1], x[1].sin(), x[0] ** 3, 2.0])  # noqa: E731
    expected = [[2.0, 1.0], [0.0, math.cos(2.0)], [3.0, 0.0], [0.0, 0.0]]
    assert jacobian(wide)(np.array([1.0, 2.0])) == pytest.approx(np.array(expected))
    narrow = lambda x: [x[0] * x[1] * x[2]]  # noqa: E731
    assert jacobian(narrow)([1.0, 2.0, 3.0]) == [[6.0, 3.0, 2.0]]


def test_against_jax_in_values_and_structure():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def f(np_, exp, sin):
        return lambda p, x: {"a": [exp(p["w"][0]) * x[0], sin(p["b"])], "c": p["w"] * x[1]}

    mine, theirs = f(np, autobp.exp, autobp.sin), f(jnp, jnp.exp, jnp.sin)
    p, x = {"b": 0.5, "w": np.array([0.3, -1.0])}, np.array([2.0, 0.7])
    for ours, jaxs in (
        (jacobian(mine)(p, x), jax.jacobian(theirs)(p, x)),
        (jacobian(mine, (0, 1))(p, x), jax.jacobian(theirs, (0, 1))(p, x)),
        (jvp(mine, (p, x), (p, x)), jax.jvp(theirs, (p, x), (p, x))),
    ):
        assert jax.tree_util.tree_structure(ours) == jax.tree_util.tree_structure(jaxs)
        for a, b in zip(jax.tree_util.tree_leaves(ours), jax.tree_util.tree_leaves(jaxs), strict=True):
            assert np.shape(a) == np.shape(b)
            assert np.asarray(a) == pytest.approx(np.asarray(b), rel=1e-14)
    scalar = lambda sin: lambda p, x: sin(p["b"] * x[0]) * p["w"][1] + p["w"][0] * x[1] ** 3  # noqa: E731
    for argnums in (0, 1, (0, 1), (1, 0), -1):
        for ours, jaxs in (
            (grad(scalar(autobp.sin), argnums)(p, x), jax.grad(scalar(jnp.sin), argnums)(p, x)),
            (hessian(scalar(autobp.sin), argnums)(p, x), jax.hessian(scalar(jnp.sin), argnums)(p, x)),
        ):
            assert jax.tree_util.tree_structure(ours) == jax.tree_util.tree_structure(jaxs)
            for a, b in zip(jax.tree_util.tree_leaves(ours), jax.tree_util.tree_leaves(jaxs), strict=True):
                assert np.shape(a) == np.shape(b)
                assert np.asarray(a) == pytest.approx(np.asarray(b), rel=1e-13)


# ----------------------------------------------------------------------------------------------- structures


def test_the_gradient_has_the_structure_of_the_argument():
    Pair = namedtuple("Pair", "a b")
    f = lambda tree: tree["w"][0][1] * 2 + tree["pair"].a * tree["pair"].b + tree["x"].sum() + tree["n"]  # noqa: E731
    tree = {
        "w": [[1.0, 2.0], (3.0,)],
        "pair": Pair(4.0, 5),
        "x": np.ones((2, 2)),
        "n": np.array(1.0),
        "e": [],
    }
    found = grad(f)(tree)
    assert found["w"] == [[0.0, 2.0], (0.0,)]
    assert found["pair"] == Pair(5.0, 4.0)
    assert isinstance(found["x"], np.ndarray)
    assert found["x"].dtype == np.float64
    assert found["x"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert isinstance(found["n"], np.ndarray)
    assert (found["n"].shape, found["e"]) == ((), [])
    assert type(grad(lambda x: x * x)(3)) is float


def test_values_in_values_out_and_numbers_in_numbers_out():
    x = Value(3.0, label="x")
    found = grad(lambda y: y**3)(x)
    assert isinstance(found, Value)
    found.backward()
    assert (found.data, x.grad) == (27.0, 18.0)
    inside = grad(lambda y: x * y)(2.0)
    assert inside == 3.0
    assert type(inside) is float
    mixed = grad(lambda y: y[0] * y[1])(np.array([x, 2.0], dtype=object))
    assert mixed.dtype == object
    assert [v.data for v in mixed] == [2.0, 3.0]
    result, (one,) = value_and_grad(lambda y: y[0] * 2)([x])
    assert (result.data, one.data) == (6.0, 2.0)
    by_other = grad(lambda y, w: y * w)(2.0, x)
    assert isinstance(by_other, Value)
    assert by_other.data == 3.0


def test_has_aux():
    assert grad(lambda x: (x * x, {"twice": 2 * x, "of": [1]}), has_aux=True)(3.0) == (
        6.0,
        {"twice": 6.0, "of": [1]},
    )
    assert value_and_grad(lambda x: (x * x, [2 * x]), has_aux=True)(3.0) == ((9.0, [6.0]), 6.0)
    assert hessian(lambda x: (x * x, "aux"), has_aux=True)(3.0) == (2.0, "aux")
    assert jacobian(lambda x: ([x * x, x], "aux"), has_aux=True)(3.0) == ([6.0, 1.0], "aux")
    assert jvp(lambda x: (x * x, "aux"), (3.0,), (2.0,), has_aux=True) == (9.0, 12.0, "aux")
    result, pull, aux = vjp(lambda x: (x * x, "aux"), 3.0, has_aux=True)
    assert (result, pull(2.0), aux) == (9.0, (12.0,), "aux")


def test_arguments_by_keyword_pass_through():
    assert grad(lambda x, k=1, name="": x**k if name == "power" else x)(2.0, k=3, name="power") == 12.0


def test_unused_inputs_and_constant_functions_have_the_gradient_zero():
    assert grad(lambda x: 3.0)(1.0) == 0.0
    assert grad(lambda x: Value(3.0))(1.0) == 0.0
    assert grad(lambda x: x[0])([1.0, 2.0]) == [1.0, 0.0]
    assert grad(grad(lambda x: 2 * x))(1.0) == 0.0
    assert hessian(lambda x: x[0])([1.0, 2.0]) == [[0.0, 0.0], [0.0, 0.0]]
    assert jacobian(lambda x: [1.0, x[0], np.array([x[0], 5.0])])([2.0])[1] == [1.0]
    assert jvp(lambda x: 1.0, (2.0,), (1.0,)) == (1.0, 0.0)
    assert vjp(lambda x, y: x, 2.0, 3.0)[1](1.0) == (1.0, 0.0)


def test_leaves_that_a_function_closes_over_keep_their_grads():
    w = Value(2.0)
    (w * w).backward()
    h = w * 3.0
    h.backward()
    before = (w.grad, h.grad)
    assert grad(lambda x: (x * h + w) ** 2)(1.0) == 2 * 8.0 * 6.0
    hessian(lambda x: (x * h + w) ** 2)(1.0)
    jacobian(lambda x: [x * h, w])(1.0)
    assert (w.grad, h.grad) == before


# -------------------------------------------------------------------------------------------------- nesting


def test_no_perturbation_confusion():
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(3.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(3.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert grad(lambda x: grad(lambda y: x * y * y)(x))(3.0) == 12.0  # d/dx 2x·x
    forward = lambda f: lambda x: jvp(f, (x,), (1.0,))[1]  # noqa: E731
    for outer in (grad, forward):
        for inner in (grad, forward):
            assert outer(lambda x, inner=inner: x * inner(lambda y: x + y)(x))(3.0) == 1.0
            assert outer(lambda x, inner=inner: x * inner(lambda y: x * y)(1.0))(3.0) == 6.0
            assert outer(lambda x, inner=inner: inner(lambda y: x.sin() * y**2)(x) * x)(1.0) == pytest.approx(
                2 * math.cos(1.0) + 4 * math.sin(1.0)
            )


def test_every_nesting_of_transformations():
    third = 6.0  # of x³
    forward = lambda f: lambda x: jvp(f, (x,), (1.0,))[1]  # noqa: E731
    back = lambda f: lambda x: vjp(f, x)[1](1.0)[0]  # noqa: E731
    both = lambda f: lambda x: value_and_grad(f)(x)[1]  # noqa: E731
    ways = [grad, forward, back, both, jacobian]
    for a in ways:
        for b in ways:
            for c in ways:
                assert a(b(c(lambda x: x**3)))(5.0) == third
    for a in ways:
        assert a(hessian(lambda x: x**3))(5.0) == third
        assert a(lambda x: hvp(lambda y: y**3, x, 1.0))(5.0) == third
        assert hessian(a(lambda x: x**3))(5.0) == third
    assert hessian(hessian(lambda x: x**5))(2.0) == 240.0


def test_the_pullback_is_linear_and_differentiable_in_its_cotangent():
    def f(c):
        return vjp(lambda x: x**3, 2.0)[1](c * c)[0]

    assert grad(f)(3.0) == 12.0 * 6.0


def test_threads_nest_on_their_own():
    seen = []

    def f(x):
        other = threading.Thread(target=lambda: seen.append(grad(lambda y: y * y)(2.0)))
        other.start()
        other.join()
        return x

    grad(f)(1.0)
    assert seen == [4.0]
    assert type(seen[0]) is float


def test_an_error_inside_leaves_the_nesting_as_it_was():
    def wrong(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        grad(wrong)(1.0)
    assert type(grad(lambda x: x * x)(1.0)) is float


def test_a_long_chain_has_a_second_derivative():
    def f(x):
        y = x
        for _ in range(5_000):
            y = y * 0.999 + 0.001 * x.sin()
        return y

    k = 0.999**5000
    expected = -math.sin(1.0) * 0.001 * (1 - k) / (1 - 0.999)
    assert hessian(f)(1.0) == pytest.approx(expected, rel=1e-9)
    assert grad(grad(f))(1.0) == pytest.approx(expected, rel=1e-9)


# ---------------------------------------------------------------------------------------------- hard cases


def test_repeated_arguments():
    assert grad(lambda x: x * x)(3.0) == 6.0
    assert grad(lambda x: x / x)(3.0) == pytest.approx(0.0, abs=1e-16)
    assert grad(lambda x: x - x)(3.0) == 0.0
    assert grad(lambda x: x + x)(3.0) == 2.0
    assert grad(grad(lambda x: x / x))(3.0) == pytest.approx(0.0, abs=1e-16)
    assert grad(lambda x: x**x)(2.0) == pytest.approx(4 * (math.log(2) + 1))
    assert grad(lambda x: autobp.maximum(x, x))(2.0) == 1.0
    assert grad(lambda x: autobp.where(x, x, x))(2.0) == 1.0


def test_object_arrays_broadcast():
    W, b = np.arange(6.0).reshape(3, 2), np.array([0.1, 0.2, 0.3])
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    f = lambda W, b: np.tanh(x @ W.T + b).sum()  # noqa: E731
    dW, db = grad(f, (0, 1))(W, b)
    delta = 1 - np.tanh(x @ W.T + b) ** 2
    assert dW == pytest.approx(delta.T @ x, rel=1e-12)
    assert db == pytest.approx(delta.sum(axis=0), rel=1e-12)


def test_powers_at_zero():
    for k in (0, 0.0):
        assert grad(lambda x, k=k: x**k)(0.0) == 0.0
        assert grad(lambda x, k=k: x**k)(2.0) == 0.0
    assert grad(lambda x: x**1)(0.0) == 1.0
    assert grad(grad(lambda x: x**2))(0.0) == 2.0
    assert grad(grad(grad(lambda x: x**3)))(0.0) == 6.0
    assert grad(grad(grad(lambda x: x**2)))(0.0) == 0.0
    assert grad(lambda y: 0**y)(2.0) == 0.0
    assert grad(lambda y: 0**y)(0.0) == 0.0
    assert grad(lambda x: x ** Value(2.0))(0.0) == 0.0
    assert grad(grad(lambda x: x ** Value(2.0)))(0.0) == 2.0
    assert grad(lambda x: x**0.5)(0.0) == math.inf


def test_kinks_and_singularities():
    assert grad(abs)(0.0) == 0.0
    assert grad(autobp.sqrt)(0.0) == math.inf
    assert grad(lambda x: autobp.sqrt(x.relu()))(-1.0) == 0.0
    assert grad(lambda x: autobp.where(x, x.sqrt(), 0.0))(4.0) == 0.25
    safe = lambda x: autobp.where(autobp.greater(x, 0), autobp.where(autobp.greater(x, 0), x, 1).sqrt(), 0.0)  # noqa: E731
    for x in (-1.0, 0.0):
        assert grad(safe)(x) == 0.0
        assert grad(grad(safe))(x) == 0.0
        assert jvp(safe, (x,), (1.0,)) == (0.0, 0.0)


def test_an_infinite_derivative_stays_with_its_own_input():
    f = lambda x: x[0].sqrt() + x[1] ** 2  # noqa: E731
    assert grad(f)([0.0, 3.0]) == [math.inf, 6.0]
    assert jacobian(lambda x: [f(x), f(x), f(x)])([0.0, 3.0])[0] == [math.inf, 6.0]
    assert hessian(f)([0.0, 3.0])[1] == [0.0, 2.0]
    assert jvp(f, ([0.0, 3.0],), ([0.0, 1.0],))[1] == 6.0


def test_stop_gradient_and_detach():
    assert grad(lambda x: x * autobp.stop_gradient(x))(3.0) == 3.0
    assert grad(lambda x: x * x.detach())(3.0) == 3.0
    assert grad(grad(lambda x: x**2 * x.detach()))(3.0) == 6.0
    assert jvp(lambda x: x * x.detach(), (3.0,), (1.0,)) == (9.0, 3.0)
    x = Value(0.0)
    x.detach().sqrt().backward()
    assert x.grad == 0.0, "not 0·∞"


# -------------------------------------------------------------------------------- backward(create_graph=True)


def test_backward_with_create_graph():
    x, y = Value(2.0), Value(3.0)
    z = x**3 * y.sin()
    z.backward(create_graph=True)
    gx, gy = x.grad, y.grad
    assert isinstance(gx, Value)
    assert gx.data == pytest.approx(12 * math.sin(3.0))
    x.grad = y.grad = 0
    gx.backward()
    assert (x.grad, y.grad) == pytest.approx((12 * math.sin(3.0), 12 * math.cos(3.0)))
    x.grad = y.grad = 0
    gy.backward(create_graph=True)
    gyx = x.grad
    x.grad = y.grad = 0
    gyx.backward()
    assert (x.grad, y.grad) == pytest.approx((12 * math.cos(3.0), -12 * math.sin(3.0)))


def test_grads_accumulate_over_both_kinds_of_backward():
    x = Value(2.0)
    (x * x).backward()
    (x**3).backward(create_graph=True)
    assert x.grad.data == 4.0 + 12.0
    (x * 5).backward()
    assert x.grad == 21.0
    (x**3).backward(2.0, create_graph=True)
    (x**3).backward(create_graph=True)
    total = x.grad
    assert total.data == 21.0 + 24.0 + 12.0
    x.grad = 0
    total.backward()
    assert x.grad == 36.0


def test_a_gradient_penalty_trains_as_calculus_says():
    w, x = Value(0.7), Value(1.3)
    y = (w * x).tanh()
    y.backward(create_graph=True)
    penalty = x.grad**2
    w.grad = x.grad = 0
    penalty.backward()
    s, c = math.tanh(0.91), 1 - math.tanh(0.91) ** 2
    assert w.grad == pytest.approx(2 * (0.7 * c) * (c - 2 * 0.7 * s * c * 1.3))


def test_interior_grads_are_numbers_after_create_graph_and_the_cycle_can_be_broken():
    x = Value(2.0)
    h = x * x
    z = h * 3.0
    z.backward(create_graph=True)
    assert (h.grad, z.grad) == (3.0, 1.0)
    gc.collect()
    x.grad = 0.0
    del h, z
    assert gc.collect() == 0


# ------------------------------------------------------------------------------------ operations of one's own


def test_an_operation_of_ones_own_has_everything(registered):
    softsign = autobp.operation(
        "softsign",
        lambda xp, x: x / (1.0 + xp.abs(x)),
        lambda xp, y, x: ((1.0 - xp.abs(y)) ** 2,),
        text="softsign({0})",
        latex=r"\operatorname{{softsign}}\left({0}\right)",
    )
    f = autobp.function(softsign)
    for x in (-2.0, 0.5, 3.0):
        s = math.copysign(1.0, x)
        assert grad(f)(x) == pytest.approx((1 + abs(x)) ** -2)
        assert grad(grad(f))(x) == pytest.approx(-2 * s * (1 + abs(x)) ** -3)
        assert grad(grad(grad(f)))(x) == pytest.approx(6 * (1 + abs(x)) ** -4)
        assert jvp(f, (x,), (2.0,))[1] == pytest.approx(2 * (1 + abs(x)) ** -2)
        assert hessian(lambda v: f(v[0]) * v[1])([x, 2.0])[0][1] == pytest.approx((1 + abs(x)) ** -2)
        assert check_grad(f, x)


def test_an_operation_may_stand_on_another_of_ones_own_and_have_constants(registered):
    autobp.operation("square", lambda xp, x: x * x, lambda xp, y, x: (2.0 * x,))
    scaled = autobp.operation(
        "scaled_quartic",
        lambda xp, x, k: k * xp.square(x) * xp.square(x),
        lambda xp, y, x, k: (4.0 * k * x * xp.square(x),),
        constants=("k",),
        defaults=(1.0,),
    )
    f = autobp.function(scaled)
    assert (f(2.0).data, f(2.0, 3.0).data, f(2.0, k=3.0).data) == (16.0, 48.0, 48.0)
    assert grad(grad(lambda x: f(x, k=3.0)))(2.0) == 3 * 12 * 4.0
    assert hessian(lambda x: f(x, k=3.0))(2.0) == 3 * 12 * 4.0


def test_nodes_made_by_hand_have_first_derivatives_and_refuse_second_ones():
    square = lambda x: Value(x.data**2, (x,), (2 * x.data,))  # noqa: E731
    assert grad(square)(3.0) == 6.0
    assert jvp(square, (3.0,), (1.0,)) == (9.0, 6.0)
    with pytest.raises(TypeError, match="by hand"):
        grad(grad(square))(3.0)
    with pytest.raises(TypeError, match="by hand"):
        square(Value(3.0)).backward(create_graph=True)

    def closure(x):
        y = Value(x.data**2, (x,), "sq")

        def backward():
            x.grad += 2 * x.data * y.grad

        y._backward = backward
        return y

    assert grad(closure)(3.0) == 6.0
    with pytest.raises(TypeError, match="by hand"):
        jvp(closure, (3.0,), (1.0,))


# ------------------------------------------------------------------------------------------ wrong use is told


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: grad(3.0), TypeError, ["function", "3.0"]),
        (lambda: grad(lambda x: x)("a"), TypeError, ["argument 0", "'a'", "str"]),
        (lambda: grad(lambda x: x)([1.0, None]), TypeError, ["argument 0[1]", "None"]),
        (lambda: grad(lambda x: x)(np.array(["a"])), TypeError, ["argument 0", "dtype"]),
        (lambda: grad(lambda x: x)(np.array([1j])), TypeError, ["argument 0", "complex"]),
        (lambda: grad(lambda x: x, 1)(1.0), ValueError, ["argnums=1", "1 positional argument"]),
        (lambda: grad(lambda x: x, (0, 0))(1.0), ValueError, ["twice"]),
        (lambda: grad(lambda x: x, "x")(1.0), TypeError, ["argnums"]),
        (lambda: grad(lambda x: [x, x])(1.0), TypeError, ["one Value", "list", "jacobian"]),
        (lambda: grad(lambda x: None)(1.0), TypeError, ["one Value", "None"]),
        (lambda: grad(lambda x: x, has_aux=True)(1.0), TypeError, ["has_aux", "(result, aux)"]),
        (lambda: jvp(lambda x: x, 1.0, 1.0), TypeError, ["primals", "tuple"]),
        (lambda: jvp(lambda x: x, (1.0,), (1.0, 2.0)), ValueError, ["1 primals", "2"]),
        (lambda: jvp(lambda x: x[0], ([1.0],), ([1.0, 2.0],)), ValueError, ["tangent 0", "[·, ·]", "[·]"]),
        (lambda: vjp(lambda x: x, 1.0)[1]([1.0]), ValueError, ["cotangent", "[·]"]),
        (lambda: hvp(lambda x: x[0], [1.0], [1.0, 2.0]), ValueError, ["v has", "[·, ·]"]),
        (lambda: jacobian(lambda x: "a")(1.0), TypeError, ["result", "'a'"]),
        (lambda: check_grad(lambda x: x[0], [1.0], [1.0, 2.0]), ValueError, ["gradient", "[·, ·]"]),
        (
            lambda: autobp.operation("exp", lambda xp, x: x, lambda xp, y, x: (1,)),
            ValueError,
            ["exp", "already"],
        ),
        (lambda: autobp.operation("pow", lambda xp, x: x, lambda xp, y, x: (1,)), ValueError, ["pow"]),
    ],
)
def test_wrong_use_is_told(wrong, error, words):
    with pytest.raises(error) as raised:
        wrong()
    for word in words:
        assert word in str(raised.value)


def test_a_function_that_ignores_its_argument_for_the_value_that_was_passed_is_told():
    w = Value(2.0, label="w")
    with pytest.raises(ValueError, match=r"uses Value.*w.*itself"):
        grad(lambda _: w * w)(w)
    with pytest.raises(ValueError, match="itself"):
        grad(lambda v: v[0] * w)([Value(1.0), w])
    assert grad(lambda v: v * v)(w).data == 4.0


# ------------------------------------------------------------------------------------------------ check_grad


@pytest.mark.parametrize(
    ("f", "x", "words"),
    [
        (lambda x: x.relu(), 0.0, ["kink", "0 on its left", "1 on its right"]),
        (lambda x: x.sqrt(), 0.0, ["sqrt(0)", "inf"]),
        (lambda x: 0 * (x - x).sqrt() + x, 1.0, ["sqrt(0)", "inf"]),
        (lambda x: x * x.data, 3.0, ["off by 3", ".data"]),
        (lambda x: x * x if x > 3.0 else x * 4 + 1, 3.0, ["jump"]),
        (lambda x: x * x.detach(), 3.0, ["detach", "off by 3"]),
        (lambda x: x * random.random(), 3.0, ["not the same function"]),
        (lambda x: 1e17 + x.relu(), 3.0, ["lost precision"]),
        (lambda x: Value(x.data**2, (x,), (3.0,)), 2.0, ["by hand", "off by 1"]),
    ],
)
def test_check_grad_gives_the_likely_reason(f, x, words):
    report = check_grad(f, x)
    assert not report
    assert not report.ok
    for word in words:
        assert word in str(report)


def test_check_grad_names_the_wrong_rule_and_the_wrong_component(registered):
    wrong = autobp.function(
        autobp.operation("cube", lambda xp, x: x * x * x, lambda xp, y, x: (2.0 * x * x,))
    )
    report = check_grad(lambda p: wrong(p["w"][1]) + p["w"][0], {"w": np.array([5.0, 2.0])})
    assert [c.name for c in report.wrong] == ["x['w'][1]"]
    assert (report.wrong[0].gradient, report.wrong[0].expected) == pytest.approx((8.0, 12.0))
    assert report.wrong[0].verdict == "off"
    assert "operation cube" in str(report)
    assert "1 of 2 components" in str(report)


def test_check_grad_takes_a_gradient_derived_by_hand():
    f = lambda x: x[0] * x[1] ** 2  # noqa: E731
    assert check_grad(f, [2.0, 3.0], [9.0, 12.0])
    report = check_grad(f, [2.0, 3.0], [9.0, 6.0])
    assert [c.name for c in report.wrong] == ["x[1]"]


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x.exp() * x.sin(), 1.0),
        (lambda x: x.log(), 1e-20),
        (lambda x: x**0.5, 1e-8),
        (lambda x: (1e6 * x).sin(), 1.0),
        (lambda x: x.sin() ** 2 + x.cos() ** 2, 1.0),
        (lambda x: 1e9 + x.gelu(), 3.0),
        (lambda x: 3.0, 2.0),
        (lambda x: abs(x), 0.01),
        (lambda x: abs(x), -0.0),
        (lambda x: (-2 * x) ** 7, 1.5),
        (rosenbrock, POINT),
        (lambda x: autobp.logsumexp(x), [1.0, 2.0, 3.0]),
        (lambda x: x[0].sigmoid() + x[1].sigmoid(), [100.0, -100.0]),
    ],
)
def test_check_grad_finds_no_fault_where_there_is_none(f, x):
    report = check_grad(f, x)
    assert report, str(report)


OMEGA = 2.0 * math.pi * 1e6


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda c: 1.0 / (1.0 + (OMEGA * c) ** 2), 1e-5),  # a capacity in farads, at a megahertz
        (lambda c: 1.0 / (1.0 + (OMEGA * c) ** 2), 1e-7),
        (lambda c: 1.0 / (1.0 + (OMEGA * c) ** 2), 1e-12),
        (lambda c: 1.0 / (1.0 + (OMEGA * c.relu()) ** 2), 1e-5),  # no complex step is there to help
        (lambda c: 1.0 / (1.0 + (OMEGA * c.relu()) ** 2), 1e-7),
        (lambda c: 1.0 / (1.0 + (OMEGA * c.relu()) ** 2), 1e-9),
        (lambda v: (v.relu() / 0.02585).exp() * 1e-14, 0.6),  # a diode's current in amperes
        (lambda m: 6.674e-11 * 5.97e24 * m.relu() / 6.371e6**2, 1e3),
        (lambda x: (1e9 * x.relu()).sin(), 1.0),
        (lambda x: (1e9 * x).sin(), 0.0),
        (lambda x: x * (-((abs(x) / 1e-7) ** 2)).exp(), 0.0),
        (lambda x: x.relu() ** 2, 0.0),  # differentiable once
        (lambda x: 1.0 + x.relu() ** 2, 0.0),
        (lambda x: x.relu() ** 1.5, 0.0),
        (lambda x: x * abs(x), 0.0),
        (lambda x: abs(x), 1e-7),  # near a kink, and not at it
        (lambda x: abs(x - 1.0), 1.0 + 1e-7),
        (lambda x: 1.0 + (x - 5.0).relu(), 1e-3),
    ],
)
def test_check_grad_finds_the_scale_of_the_function(f, x):
    """The right gradient is right, and one that is off by a thousandth, or by the scale of f, is caught."""
    report = check_grad(f, x)
    assert report.ok, str(report)
    right = report.components[0].gradient
    size = right if right != 0.0 else 1.0
    for wrong in (right + 1e-3 * size, right - size, -right + size, right + 1e3 * size):
        if wrong == right:
            continue
        caught = check_grad(f, x, wrong)
        assert not caught.ok
        assert caught.components[0].verdict == "off", (wrong, str(caught))
        assert [c.name for c in caught.wrong] == ["x"]


SHAPES = {
    "wave": lambda u, v: u.sin() + 0.0 * v,
    "level and wave": lambda u, v: 1e3 + u.sin() + 0.0 * v,
    "decay of a wave": lambda u, v: (-u).exp() * v.cos(),
    "wave on a slope": lambda u, v: u.cos() + u * v,
    "resonance": lambda u, v: 1.0 / (1.0 + u**2) + v**3,
    "radiation": lambda u, v: u**3 / u.expm1() + v.log1p(),
    "not analytic": lambda u, v: u.relu() ** 2 + v.norm_cdf(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_check_grad_of_arguments_of_any_size(name):
    """Units from 1e-13 to 1e13, another for each argument: the first steps jump over whole waves."""
    rng = random.Random(name)
    for _ in range(30):
        units = [10.0 ** rng.uniform(-13, 13) for _ in range(2)]
        x = [unit * rng.uniform(0.1, 3.0) for unit in units]
        f = lambda x, units=units: SHAPES[name](x[0] / units[0], x[1] / units[1])  # noqa: E731
        report = check_grad(f, x)
        assert report.ok, (units, x, str(report))
        right = [component.gradient for component in report.components]
        wrong = check_grad(f, x, [1.001 * right[0], right[1]])
        assert [component.name for component in wrong.wrong] == ["x[0]"], (units, x, str(wrong))
        assert not wrong.unclear


def test_check_grad_knows_a_constant_however_large_it_is():
    f = lambda x: 1e15 + (x - 5.0).relu()  # noqa: E731
    assert check_grad(f, 1e-3)
    assert check_grad(f, 1e-3, 1.0).unclear


@pytest.mark.parametrize(
    ("f", "x", "words"),
    [
        (lambda x: x.relu(), 0.0, ["kink", "0 on its left", "1 on its right"]),
        (lambda x: x * x if x > 3.0 else x * 4 + 1, 3.0, ["jump"]),
        (lambda x: x.sqrt() * x, 0.0, ["sqrt(0)"]),
        (lambda x: (x + abs(x)).sqrt() + x, 0.0, ["sqrt(0)"]),
        (lambda x: 1e17 + x.relu(), 3.0, ["lost precision"]),
        (lambda x: (1e17 + x.relu()) - 1e17, 3.0, ["lost precision"]),  # f itself is small: 0
        (lambda x: x * random.random(), 3.0, ["not the same function"]),
    ],
)
def test_check_grad_says_where_it_cannot_tell(f, x, words):
    report = check_grad(f, x)
    assert not report.ok
    assert report.wrong == ()
    assert [c.verdict for c in report.unclear] == ["cannot tell"]
    for word in ["cannot tell", *words]:
        assert word in str(report)
    assert "off" not in str(report)


def test_check_grad_measures_what_is_near_zero_by_the_function():
    """A slope of 1e-15 is not near 0 where all of f's slopes are of that size; atol, if given, says else."""
    f = lambda x: 1e-15 * x.relu()  # noqa: E731
    assert check_grad(f, 3.0)
    assert check_grad(f, 3.0, 2e-15).wrong
    assert check_grad(f, 3.0, 2e-15, atol=1e-9)


@pytest.mark.parametrize("name", sorted(n for n, op in TABLE.items() if op.arity == 1 and not op.constants))
def test_check_grad_catches_a_rule_whose_partial_is_a_little_off(name, registered):
    """A rule of the table with its partial changed by a hundredth, as an operation of its own."""
    right = TABLE[name]

    def partials(xp, y, x):
        return (right.partials(xp, y, x)[0] * 1.01 + 0.02,)

    mutant = autobp.function(autobp.operation("mutant", right.value, partials))
    for x in (0.3, 0.7, 1.6):
        with contextlib.suppress(ValueError):  # where it is not defined
            assert not check_grad(mutant, x).ok
            assert name == "stop_gradient" or check_grad(autobp.function(right), x).ok


def test_check_grad_says_what_it_used():
    assert check_grad(lambda x: x.exp(), 1.0).components[0].method == "complex step"
    assert check_grad(lambda x: x.relu(), 1.0).components[0].method == "differences"
    assert check_grad(lambda x: x.erf(), 1.0).components[0].method == "differences"


def test_check_grad_passes_a_network():
    net = autobp.MLP(2, [3, 1], activation="tanh")
    theta = [p.data for p in net.parameters()]

    def loss(theta):
        h = [(theta[3 * j] * 0.5 + theta[3 * j + 1] * -1.0 + theta[3 * j + 2]).tanh() for j in range(3)]
        return (theta[9] * h[0] + theta[10] * h[1] + theta[11] * h[2] + theta[12]).softplus()

    assert len(theta) == 13
    assert check_grad(loss, theta)


def test_non_finite_second_derivatives_pass_without_raising():
    assert grad(grad(autobp.sqrt))(0.0) == -math.inf
    with ieee():
        assert agree(grad(grad(autobp.log))(0.0), -math.inf)


def test_an_operation_of_ones_own_is_compiled_drawn_and_explained(registered):
    bump = autobp.operation(
        "bump",
        lambda xp, x: 1.0 / (1.0 + x * x),
        lambda xp, y, x: (-2.0 * x * y * y,),
        text="bump({0})",
        latex=r"b\left({0}\right)",
    )
    x = Value(0.5, label="x")
    y = autobp.function(bump)(x) * 3.0
    cost, gradient = autobp.compile(y, [x])(np.array([2.0]))
    assert (cost, gradient[0]) == pytest.approx((3 / 5, -12 / 25))
    assert "bump" in autobp.draw(y).source
    explained = autobp.explain(y, wrt=x)
    assert "bump" in explained.text
    assert r"b\left(" in explained.latex
