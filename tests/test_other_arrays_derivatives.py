"""Derivatives beyond the gradient on other libraries' arrays, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from other_arrays import LIBRARIES, library

import autobp
from autobp import MLP, costs
from autobp.compiler.derivatives import methods

RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(9, 3)), RNG.uniform(size=(9, 2))
NET = MLP(3, [4, 2], ["tanh", "sigmoid"], seed=3)


def cost_step() -> autobp.compiler.Step:
    return autobp.compile(lambda x, y: costs.quadratic(NET(x), y), NET.parameters(), example=(X[0], Y[0]))


def output_step() -> autobp.compiler.Step:
    return autobp.compile(lambda x: NET(x), NET.parameters(), example=(X[0],))


@pytest.fixture(params=LIBRARIES)
def convert(request):
    pytest.importorskip("array_api_compat")
    return library(request.param)


def agree(found: Any, wanted: Any, like: Any) -> None:
    pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
    for got, expected in pairs:
        assert type(got) is type(like)
        assert got.dtype == like.dtype
        assert tuple(got.shape) == np.shape(expected)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=1e-13 * scale)


# ------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("wrt", ["theta", "x"])
def test_derivatives_of_a_cost_are_numpys_and_of_the_library(convert, wrt):
    step = cost_step()
    numbers = (step.theta, X, Y)
    theta, x, y = map(convert, numbers)
    v = RNG.normal(size=step.theta.shape if wrt == "theta" else X.shape)
    weights = RNG.uniform(size=9)
    agree(step.hessian(theta, x, y, wrt=wrt), step.hessian(*numbers, wrt=wrt), theta)
    weighted = step.hessian(*numbers, wrt=wrt, weights=weights)
    agree(step.hessian(theta, x, y, wrt=wrt, weights=convert(weights)), weighted, theta)
    agree(step.hvp(theta, convert(v), x, y, wrt=wrt), step.hvp(step.theta, v, X, Y, wrt=wrt), theta)
    agree(step.rows(theta, x, y, wrt=wrt), step.rows(*numbers, wrt=wrt), theta)
    agree(step(theta, x, y, weights=convert(weights)), step(*numbers, weights=weights), theta)


@pytest.mark.parametrize("wrt", ["theta", "x"])
def test_derivatives_of_outputs_are_numpys_and_of_the_library(convert, wrt):
    step = output_step()
    theta, x = convert(step.theta), convert(X)
    v = RNG.normal(size=step.theta.shape if wrt == "theta" else X.shape)
    w = RNG.normal(size=(9, 2))
    agree(step.jacobian(theta, x, wrt=wrt), step.jacobian(step.theta, X, wrt=wrt), theta)
    agree(step.jvp(theta, convert(v), x, wrt=wrt), step.jvp(step.theta, v, X, wrt=wrt), theta)
    agree(step.vjp(theta, convert(w), x, wrt=wrt), step.vjp(step.theta, w, X, wrt=wrt), theta)


@pytest.mark.parametrize("wrt", ["theta", "x"])
def test_a_large_hessian_is_made_some_columns_at_a_time(convert, wrt, monkeypatch):
    step = cost_step()
    wanted = step.hessian(step.theta, X, Y, wrt=wrt)
    monkeypatch.setattr(methods, "_WHOLE", 2)
    monkeypatch.setattr(methods, "_COLUMNS", 4)
    theta = convert(step.theta)
    agree(step.hessian(theta, convert(X), convert(Y), wrt=wrt), wanted, theta)


def test_without_rows_and_without_anything_to_differentiate_by(convert):
    w = [autobp.Value(0.5, label="w"), autobp.Value(-0.25, label="v")]
    step = autobp.compile(lambda: (w[0] * w[1]).tanh() + w[0] ** 3, w, example=())
    theta = convert(step.theta)
    agree(step.hessian(theta), step.hessian(step.theta), theta)
    agree(step.hvp(theta, theta), step.hvp(step.theta, step.theta), theta)
    flat = autobp.compile(lambda x: 3.0 * x + w[0], w, example=(X[0, 0],))
    agree(flat.rows(theta, convert(X[:, 0])), flat.rows(step.theta, X[:, 0]), theta)


def test_derivatives_of_a_recurrence_are_loops_there_too(convert):
    net = MLP(3, [2], ["tanh"], seed=1)

    def cost(x: Any) -> Any:
        h, total = [autobp.Value(0.1), autobp.Value(0.0)], 0.0
        for t in range(30):
            h = net([*h, x[t]])
            total = total + h[0] * h[1]
        return total

    step = autobp.compile(cost, net.parameters())
    x, v = RNG.normal(size=(5, 30)), RNG.normal(size=step.theta.shape)
    theta = convert(step.theta)
    agree(step.hvp(theta, convert(v), convert(x)), step.hvp(step.theta, v, x), theta)
    agree(step.rows(theta, convert(x)), step.rows(step.theta, x), theta)


def test_jax_jits_and_maps_derivatives():
    convert = library("jax")
    import jax

    step = cost_step()
    theta, x, y = map(convert, (step.theta, X, Y))
    agree(jax.jit(step.hessian)(theta, x, y), step.hessian(step.theta, X, Y), theta)
    agree(jax.hessian(step.value)(theta, x, y), step.hessian(step.theta, X, Y), theta)
    pair = convert(np.stack([step.theta, -step.theta]))
    found = jax.vmap(step.hvp, (None, 0, None, None))(theta, pair, x, y)
    wanted = step.hvp(step.theta, step.theta, X, Y)
    agree(found, np.stack([wanted, -wanted]), theta)


# --------------------------------------------------------------------------- PyTorch's own derivatives


@pytest.fixture
def in_torch():
    """PyTorch, a step, its theta as a tensor, and the step's cost as PyTorch's function of that alone."""
    convert = library("torch")
    import torch

    step = cost_step()
    theta, x, y = map(convert, (step.theta, X, Y))
    cost = autobp.torch_cost(step)
    return torch, step, theta, lambda t: cost(t, x, y)


def test_second_and_third_derivatives_of_a_compiled_cost_in_torch(in_torch):
    """A compiled gradient is a number to PyTorch: a derivative of it alone would be 0, in silence."""
    torch, step, theta, of_theta = in_torch
    hessian, (value, gradient) = step.hessian(step.theta, X, Y), step(step.theta, X, Y)
    agree(torch.autograd.functional.hessian(of_theta, theta), hessian, theta)
    squared = torch.autograd.functional.hessian(lambda t: of_theta(t) ** 2, theta)
    agree(squared, 2 * np.outer(gradient, gradient) + 2 * value * hessian, theta)
    leaf = theta.clone().requires_grad_()
    (first,) = torch.autograd.grad(of_theta(leaf), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first @ theta, leaf, create_graph=True)
    (third,) = torch.autograd.grad(second @ theta, leaf)
    moved = [step.hvp(step.theta * (1 + e), step.theta, X, Y) for e in (1e-4, -1e-4)]
    np.testing.assert_allclose(third.numpy(), (moved[0] - moved[1]) / 2e-4, rtol=0, atol=1e-7)


def test_torch_func_transforms_a_compiled_cost(in_torch):
    torch, step, theta, of_theta = in_torch
    hessian, (value, gradient) = step.hessian(step.theta, X, Y), step(step.theta, X, Y)
    agree(torch.func.grad(of_theta)(theta), gradient, theta)
    agree(torch.func.hessian(of_theta)(theta), hessian, theta)
    agree(torch.func.jacrev(torch.func.jacrev(of_theta))(theta), hessian, theta)
    both = torch.func.vmap(of_theta)(torch.stack([theta, 2 * theta]))
    agree(both, np.array([value, step.value(2 * step.theta, X, Y)]), theta)
    along = torch.func.jvp(of_theta, (theta,), (theta,))[1]
    agree(along, np.asarray(gradient @ step.theta), theta)


def test_torch_compiles_a_step_whole():
    convert = library("torch")
    import torch

    step = cost_step()
    theta, x, y = map(convert, (step.theta, X, Y))
    step(theta, x, y)
    found = torch.compile(step.value, backend="eager", fullgraph=True)(theta, x, y)
    assert float(found) == pytest.approx(step.value(step.theta, X, Y), rel=1e-14)


# ------------------------------------------------------------------------------------------------- refused


def test_what_is_numpys_beside_anothers_is_refused_and_not_brought_over(convert):
    step = cost_step()
    theta, x, y = map(convert, (step.theta, X, Y))
    v, w = np.ones(len(step.theta)), np.ones(9)
    with pytest.raises(TypeError, match=r"theta is a numpy\.ndarray, and x is an array of \w+: give all"):
        step(step.theta, x, y)
    with pytest.raises(TypeError, match=r"theta is a builtins\.list, and y is an array of \w+: give all"):
        step.value(step.theta.tolist(), X, y)
    with pytest.raises(TypeError, match=r"theta is an array of \w+, and v is a numpy\.ndarray: give all"):
        step.hvp(theta, v, x, y)
    with pytest.raises(TypeError, match=r"theta is a numpy\.ndarray, and v is an array of \w+: give all"):
        step.hvp(step.theta, convert(v), X, Y)
    with pytest.raises(TypeError, match=r"and weights is a numpy\.ndarray: give all"):
        step(theta, x, y, weights=w)
    with pytest.raises(TypeError, match=r"and weights is an array of \w+: give all"):
        step.hessian(step.theta, X, Y, weights=convert(w))
    for of_numpys in (step.verify, step.variables):
        with pytest.raises(TypeError, match=r"theta is an array of \w+, and this is computed on NumPy's"):
            of_numpys(theta, x, y)
    with pytest.raises(
        TypeError, match=r"x is an array of \w+, and this is computed on NumPy's arrays alone"
    ):
        step.scipy(x, y)
    with pytest.raises(TypeError, match=r"theta is an array of \w+, and this is computed on NumPy's"):
        output_step().jacobian(theta, x, sparse=True)


def test_shapes_that_do_not_fit_are_refused(convert):
    step = cost_step()
    theta, x, y = map(convert, (step.theta, X, Y))
    with pytest.raises(ValueError, match=r"v has the shape .*2.*; it must have theta's"):
        step.hvp(theta, theta[:2], x, y)
    with pytest.raises(ValueError, match="weights has the shape"):
        step(theta, x, y, weights=theta)
    with pytest.raises(TypeError, match="jacobian is for outputs; this step gives a cost"):
        step.jacobian(theta, x, y)


def test_what_a_tensor_may_not_be():
    convert = library("torch")
    import torch

    step = cost_step()
    theta, x, y = map(convert, (step.theta, X, Y))
    for dtype in (torch.float16, torch.bfloat16, torch.complex128):
        with pytest.raises(TypeError, match=rf"theta must be of float32 or float64; got {dtype}"):
            step(theta.to(dtype), x.to(dtype), y.to(dtype))
    with pytest.raises(TypeError, match="x is on meta, and theta on cpu: give both on one device"):
        step(theta, x.to("meta"), y)
    for sparse in (x.to_sparse(), x.to_sparse_csr()):
        with pytest.raises(
            TypeError,
            match=r"x is sparse, torch\.sparse_\w+, which programs are not written for: give it dense",
        ):
            step(theta, sparse, y)
    with pytest.raises(TypeError, match=r"x is of torch\.int64, and theta of torch\.float64"):
        step(theta, x.long(), y)
    cost = autobp.torch_cost(step)
    with pytest.raises(TypeError, match="theta must be a tensor of PyTorch; got ndarray"):
        cost(step.theta, x, y)
    with pytest.raises(TypeError, match="torch_cost is for the step of a cost, and this one gives outputs"):
        autobp.torch_cost(output_step())(theta, x)


def test_dasks_arrays_are_not_brought_into_memory_for_anything():
    da = pytest.importorskip("dask.array")
    step, outputs = cost_step(), output_step()
    x, y = da.from_array(X, chunks=(4, 3)), da.from_array(Y, chunks=(4, 2))
    for ask in (step.hessian, step.rows, lambda *data: step(*data, weights=np.ones(9))):
        with pytest.raises(TypeError, match="is not computed block by block; give theta and the data as"):
            ask(step.theta, x, y)
    with pytest.raises(TypeError, match="jacobian is not computed block by block"):
        outputs.jacobian(step.theta, x)
    for of_numpys in (step.verify, step.variables):
        with pytest.raises(TypeError, match=r"x is a dask\.array\.core\.Array, and this is computed on"):
            of_numpys(step.theta, x, y)
    with pytest.raises(TypeError, match=r"x is a dask\.array\.core\.Array, and this is computed on"):
        step.scipy(x, y)
    with pytest.raises(TypeError, match=r"theta is a dask\.array\.core\.Array, and this is computed on"):
        step(da.from_array(step.theta), X, Y)
