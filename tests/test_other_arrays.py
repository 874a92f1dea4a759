"""Steps on the arrays of PyTorch, JAX, array-api-strict and Dask, against the same steps on NumPy's."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_arrays import LIBRARIES, flat, library

import autobp
from autobp import MLP, costs
from autobp.activations import ACTIVATIONS
from autobp.backends.array_api import array_text
from autobp.compiler.loops.finding import Limits
from autobp.compiler.other_arrays import is_foreign, namespace_of, place_of
from autobp.compiler.pipeline import Signature, programs_of
from autobp.compiler.recording import record_function

RNG = np.random.default_rng(7)
ANY = Limits(8, 24, 0.6, 0, 1.5)
X, Y = RNG.normal(size=(9, 3)), RNG.uniform(size=(9, 2))


def compiled(*layers: str, **options: Any) -> autobp.compiler.Step:
    net = MLP(3, [4, 2], list(layers or ["tanh", "sigmoid"]), seed=3)
    return autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters(), **options)


@pytest.fixture(params=LIBRARIES)
def convert(request):
    pytest.importorskip("array_api_compat")
    return library(request.param)


# ------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu", "softplus", "leaky_relu"])
def test_cost_and_gradient_are_numpys_and_of_the_library(convert, activation):
    step = compiled(activation, "sigmoid")
    theta, x, y = convert(step.theta), convert(X), convert(Y)
    cost, gradient = step(theta, x, y)
    assert type(cost) is type(gradient) is type(theta)
    assert cost.dtype == gradient.dtype == theta.dtype
    assert tuple(gradient.shape) == step.theta.shape
    np.testing.assert_allclose(flat((cost, gradient)), flat(step(step.theta, X, Y)), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(float(step.value(theta, x, y)), step.value(step.theta, X, Y), rtol=1e-14)


def test_outputs_are_arrays_of_the_library(convert):
    net = MLP(3, [4, 2], ["tanh", "softmax"], seed=3)
    step = autobp.compile(net, net.parameters())
    found = step(convert(step.theta), convert(X))
    assert tuple(found.shape) == (9, 2)
    np.testing.assert_allclose(np.asarray(found), step(step.theta, X), rtol=1e-13)


def test_outputs_that_depend_on_no_row_are_there_for_each(convert):
    w = autobp.Value(2.0, label="w")
    step = autobp.compile(lambda x: [w * w, 3.0 * w], [w])
    found = step(convert(np.array([2.0])), convert(X[:, 0]))
    np.testing.assert_array_equal(np.asarray(found), [[4.0, 6.0]] * 9)


def recurrence(T: int) -> tuple[Any, list[autobp.Value], np.ndarray]:
    """A recurrent cell whose outputs are left at every step, of two states."""
    net = MLP(3, [2], ["tanh"], seed=1)

    def states(x: Any) -> list[Any]:
        h, found = [autobp.Value(0.1), autobp.Value(0.0)], []
        for t in range(T):
            h = net([*h, x[t]])
            found.append(h[0] * h[1])
        return found

    return states, net.parameters(), RNG.normal(size=(5, T))


def test_a_loop_runs_step_by_step(convert):
    states, parameters, data = recurrence(24)
    graph, shape = record_function(states, parameters, [data[0]])
    programs = programs_of(graph, Signature(["p"] * len(parameters), ["x"], [(24,)], shape), ANY).programs
    text = array_text(programs, "")
    assert re.search(r" = repeated\(step, .*, 2[34], False\)", text.text)
    theta = convert(np.array([p.data for p in parameters]))
    place = place_of(theta, [convert(data)], ["x"])
    found = namespace_of(text, place)["value"](theta, convert(data))
    wanted = [[v.data for v in states(list(row))] for row in data]
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-13, atol=1e-15)


def summed_recurrence(T: int) -> tuple[autobp.compiler.Step, np.ndarray, np.ndarray]:
    net = MLP(3, [2], ["tanh"], seed=1)

    def cost(x: Any, y: Any) -> Any:
        h, total = [autobp.Value(0.1), autobp.Value(0.0)], 0.0
        for t in range(T):
            h = net([*h, x[t]])
            total = total + (h[0] * h[1] - y[t]) ** 2
        return total

    step = autobp.compile(cost, net.parameters())
    return step, RNG.normal(size=(5, T)), RNG.normal(size=(5, T))


def test_jax_scans_a_loop_which_is_traced_once_whatever_its_steps():
    convert = library("jax")
    import jax

    sizes = []
    for T in (40, 160):
        step, *data = summed_recurrence(T)
        wanted = flat(step(step.theta, *data))
        arrays = [convert(x) for x in (step.theta, *data)]
        np.testing.assert_allclose(flat(step(*arrays)), wanted, rtol=1e-12)
        np.testing.assert_allclose(flat(jax.jit(step)(*arrays)), wanted, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(jax.grad(step.value)(*arrays)), wanted[1:], rtol=1e-12)
        rows = jax.vmap(step.value, (None, 0, 0))(arrays[0], arrays[1][:, None], arrays[2][:, None])
        np.testing.assert_allclose(float(rows.mean()), wanted[0], rtol=1e-12)
        sizes.append(re.sub(r"\d+", "", str(jax.make_jaxpr(step)(*arrays))).count(" = "))
        assert str(jax.make_jaxpr(step)(*arrays)).count("scan[") >= 2  # forward, and back
    assert sizes[0] == sizes[1] < 300


def test_torch_repeats_a_loop_and_transforms_it():
    convert = library("torch")
    import torch

    step, *data = summed_recurrence(24)
    theta, *arrays = [convert(x) for x in (step.theta, *data)]
    wanted = flat(step(step.theta, *data))
    assert "repeated" in step.executable.on_arrays.text.helpers
    np.testing.assert_allclose(flat(step(theta, *arrays)), wanted, rtol=1e-12)
    np.testing.assert_allclose(torch.func.grad(step.value)(theta, *arrays), wanted[1:], rtol=1e-12)
    rows = torch.func.vmap(step.value, (None, 0, 0))(theta, arrays[0][:, None], arrays[1][:, None])
    np.testing.assert_allclose(float(rows.mean()), wanted[0], rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 7])
def test_what_was_taken_is_added_up_by_segments(convert, rows):
    """An embedding: its gradient adds to the places that data name, of which some are named often."""
    table = [[autobp.Value(v, label=f"E[{i},{j}]") for j, v in enumerate(row)]
             for i, row in enumerate(RNG.normal(size=(70, 3)))]  # fmt: skip
    parameters = [p for row in table for p in row]

    def cost(words: Any) -> Any:
        taken = [[autobp.take([row[j] for row in table], word) for j in range(3)] for word in words]
        return autobp.sum([(a * b * c).tanh() for a, b, c in taken])

    step = autobp.compile(cost, parameters)
    words = RNG.integers(5, size=(rows, 4)).astype(float)
    words[0, 0] = 69.0
    wanted = flat(step(step.theta, words))
    assert "scatter_add" in step.executable.on_arrays.text.helpers
    arrays = convert(step.theta), convert(words)
    np.testing.assert_allclose(flat(step(*arrays)), wanted, rtol=1e-12, atol=1e-16)
    for wrong in (-1.0, 70.0, 1.5, np.nan):
        found = step(arrays[0], convert(np.where(words == 69.0, wrong, words)))
        assert np.isnan(float(found[0]))


def test_names_that_written_programs_use_are_free_for_arguments(convert):
    w = [autobp.Value(0.5, label="w"), autobp.Value(-0.25, label="v")]
    step = autobp.compile(lambda xp, segments, repeated, m: (w[0] * xp + w[1] * segments) * repeated + m, w)
    data = list(RNG.normal(size=(4, 6)))
    found = step(convert(step.theta), *map(convert, data))
    np.testing.assert_allclose(flat(found), flat(step(step.theta, *data)), rtol=1e-13)


def test_a_table_is_looked_up_and_a_wrong_index_gives_no_number(convert):
    table = [autobp.Value(v, label=f"v[{i}]") for i, v in enumerate([0.5, -1.0, 2.0])]
    step = autobp.compile(lambda i: autobp.take(table, i) ** 2, table)
    index = np.array([0.0, 2.0, 2.0, 1.0])
    wanted = step(step.theta, index)
    np.testing.assert_allclose(flat(step(convert(step.theta), convert(index))), flat(wanted), rtol=1e-15)
    assert np.isnan(float(step(convert(step.theta), convert(np.array([0.0, 3.0])))[0]))


@pytest.mark.parametrize("name", sorted(autobp.ops.TABLE))
def test_every_operation_is_computed_or_refused_by_name(name):
    """On PyTorch's arrays, cost and gradient, of one operand or two."""
    convert = library("torch")
    function = getattr(autobp, name, None)
    if function is None:
        pytest.skip("an operator of Python")
    w = autobp.Value(0.75, label="w")
    x = np.array([[0.3, 1.7], [0.62, 0.4], [0.999, 2.6], [1e-9, 3e-12], [0.5, 0.5]])
    for n in (1, 2):
        try:
            step = autobp.compile(lambda x, n=n: function(w * x[0], *x[1:n]), [w], example=(x[0],))
            wanted = step(step.theta, x)
        except (TypeError, ValueError):
            continue  # takes another number of operands
        try:
            found = step(convert(step.theta), convert(x))
        except TypeError as error:
            if not re.search(r"is computed by Python code|does not have", str(error)):
                raise
            continue
        np.testing.assert_allclose(flat(found), flat(wanted), rtol=1e-12)


def test_float32_is_computed_in_float32(convert):
    """docs/other-arrays.md: of the largest entry, within 64 units of float32 for a network of this size."""
    step = compiled()
    theta, x, y = [convert(z.astype(np.float32)) for z in (step.theta, X, Y)]
    cost, gradient = step(theta, x, y)
    assert cost.dtype == gradient.dtype == theta.dtype
    numbers = [z.astype(np.float32).astype(float) for z in (step.theta, X, Y)]
    wanted, got = flat(step(*numbers)), flat((cost, gradient))
    assert np.abs(got - wanted).max() <= 64 * 2.0**-24 * np.abs(wanted).max()
    assert not np.array_equal(got, wanted)


# ------------------------------------------------------------------------------------------------- errors


def test_what_is_of_two_libraries_or_dtypes_is_refused(convert):
    step = compiled()
    theta = convert(step.theta)
    with pytest.raises(TypeError, match=r"and x is a numpy\.ndarray: give all of them as"):
        step(theta, X, convert(Y))
    with pytest.raises(TypeError, match=r"y is of .*float32, and theta of .*float64: give both one dtype"):
        step(theta, convert(X), convert(Y.astype(np.float32)))
    with pytest.raises(TypeError, match=r"theta must be of float32 or float64; got .*int64"):
        step(convert(np.zeros(len(step.theta), dtype=np.int64)), convert(X), convert(Y))
    with pytest.raises(ValueError, match=r"theta has the shape \(2,\)"):
        step(theta[:2], convert(X), convert(Y))
    with pytest.raises(ValueError, match="y has 8 rows, but x has 9"):
        step(theta, convert(X), convert(Y[:8]))


def test_an_operation_of_python_code_is_refused_before_anything_runs(convert):
    def value(xp: Any, x: Any) -> Any:
        return float(x) * 2.0  # needs a number

    with np.errstate(all="ignore"):
        operation = autobp.operation("doubled_in_python", value, lambda xp, y, x: (2.0,))
    try:
        w = autobp.Value(1.5, label="w")
        step = autobp.compile(lambda x: operation(w * x), [w])
        step(step.theta, X[:, 0])
        with pytest.raises(TypeError, match="'doubled_in_python' is computed by Python code"):
            step(convert(step.theta), convert(X[:, 0]))
    finally:
        autobp.ops.TABLE.pop("doubled_in_python", None)


def test_a_function_that_a_library_lacks_is_named():
    convert = library("strict")
    w = autobp.Value(1.5, label="w")
    step = autobp.compile(lambda x: autobp.erf(w * x), [w])
    with pytest.raises(TypeError, match="this program calls erf, which array_api_strict does not have"):
        step(convert(step.theta), convert(X[:, 0]))


def test_numpys_arrays_and_lists_stay_numpys():
    assert not any(map(is_foreign, [np.zeros(2), np.float64(1.0), [1.0], (1.0,), 2]))


# ----------------------------------------------------------------------------- what libraries do with it


def test_jax_jits_and_differentiates_it():
    convert = library("jax")
    import jax

    step = compiled()
    arrays = convert(step.theta), convert(X), convert(Y)
    with pytest.raises(ValueError, match="has no numbers yet, and the step no program: call it once"):
        jax.jit(step)(*arrays)
    wanted = flat(step(step.theta, X, Y))
    np.testing.assert_allclose(flat(jax.jit(step)(*arrays)), wanted, rtol=1e-13, atol=1e-15)
    by_jax = jax.grad(step.value)(*arrays)
    np.testing.assert_allclose(flat(by_jax), wanted[1:], rtol=1e-12, atol=1e-15)
    rows = jax.vmap(step.value, in_axes=(None, 0, 0))(arrays[0], arrays[1][:, None], arrays[2][:, None])
    np.testing.assert_allclose(float(rows.mean()), wanted[0], rtol=1e-13)


def test_torch_differentiates_it_by_everything():
    convert = library("torch")
    import torch

    step = compiled()
    theta, x, y = convert(step.theta).requires_grad_(), convert(X).requires_grad_(), convert(Y)
    step.value(theta, x, y).backward()
    np.testing.assert_allclose(theta.grad.numpy(), step(step.theta, X, Y)[1], rtol=1e-12, atol=1e-15)
    eps = 1e-6
    moved = [step.value(step.theta, X + s * eps * (np.arange(27) == 4).reshape(9, 3), Y) for s in (1, -1)]
    assert float(x.grad[1, 1]) == pytest.approx((moved[0] - moved[1]) / (2 * eps), rel=1e-7)
    by_func = torch.func.grad(step.value)(theta.detach(), x.detach(), y)
    np.testing.assert_allclose(by_func.numpy(), theta.grad.numpy(), rtol=1e-13, atol=1e-16)


def test_a_compiled_cost_is_a_function_of_torchs_autograd():
    convert = library("torch")
    import torch

    step = compiled()
    theta, x, y = convert(step.theta).requires_grad_(), convert(X), convert(Y)
    cost = autobp.torch_cost(step)
    (3.0 * cost(theta, x, y)).backward()
    np.testing.assert_allclose(theta.grad.numpy(), 3.0 * step(step.theta, X, Y)[1], rtol=1e-13, atol=1e-16)
    with pytest.raises(ValueError, match=r"argument 1 requires a gradient.*step\.value"):
        cost(theta, x.requires_grad_(), y)
    optimizer = torch.optim.SGD([theta], lr=0.5)
    costs_ = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = cost(theta, x.detach(), y)
        loss.backward()
        optimizer.step()
        costs_.append(float(loss.detach()))
    assert costs_[-1] < costs_[0]
    found = step.value(theta, x, y).item()
    assert found == pytest.approx(step.value(theta.detach().numpy(), X, Y), rel=1e-13)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "activation", [name for name in ACTIVATIONS if name not in ("softmax", "identity")] + ["sin"]
)
def test_a_network_becomes_a_module_of_torch(activation, bias):
    convert = library("torch")
    net = MLP(3, [4, 2], [activation, "softmax"], bias=bias, seed=5)
    module = autobp.to_torch(net)
    found = module(convert(X)).detach().numpy()
    np.testing.assert_allclose(found, [[v.data for v in net(list(x))] for x in X], rtol=1e-13)
    np.testing.assert_allclose(module.float()(convert(X).float()).detach().numpy(), found, rtol=1e-5)


def test_a_function_of_ones_own_is_no_module_of_torch():
    library("torch")
    with pytest.raises(TypeError, match="has no module in PyTorch; use a name"):
        autobp.to_torch(MLP(3, [2], lambda z: z * z))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name not in ("softmax", "identity")])
def test_a_network_becomes_an_onnx_file(activation, dtype, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net = MLP(3, [4, 2], [activation, "softmax"], bias=activation != "tanh", seed=5)
    path = autobp.to_onnx(net, tmp_path / "net.onnx", dtype=dtype)
    if dtype == "float64" and activation in ("leaky_relu", "elu", "gelu", "softplus"):
        return  # the file is checked; the runtime has no such operators
    session = runtime.InferenceSession(str(path))
    (found,) = session.run(["y"], {"x": X.astype(dtype)})
    assert found.dtype == dtype
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(found, [[v.data for v in net(list(x))] for x in X], rtol=0, atol=tolerance)


def test_what_onnx_does_not_have_is_refused(tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(TypeError, match="the activation 'sin' has no operator in ONNX; these have: lin"):
        autobp.to_onnx(MLP(3, [2], "sin"), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'; got 'float16'"):
        autobp.to_onnx(MLP(3, [2], "tanh"), tmp_path / "net.onnx", dtype="float16")
    assert not any(tmp_path.iterdir())


def test_threads_share_a_step():
    convert = library("torch")
    step, found = compiled(example=(X[0], Y[0])), []

    def run() -> None:
        found.append(flat(step(convert(step.theta), convert(X), convert(Y))))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(found[0], x) for x in found)


# --------------------------------------------------------------------------------------------------- Dask


def test_blocks_add_up_to_the_mean_over_all_rows():
    da = pytest.importorskip("dask.array")
    net = MLP(3, [4, 2], ["tanh", "sigmoid"], seed=3)

    def cost(x: Any, y: Any) -> Any:  # with a part that no row has
        return costs.quadratic(net(x), y) + 0.01 * autobp.sum([p * p for p in net.parameters()])

    step = autobp.compile(cost, net.parameters())
    x, y = RNG.normal(size=(101, 3)), RNG.uniform(size=(101, 2))
    wanted = step(step.theta, x, y)
    for chunks in ((101, 3), (10, 2), (1, 3), ((3, 50, 48), 3)):
        cost_, gradient = step(step.theta, da.from_array(x, chunks=chunks), da.from_array(y, chunks=(7, 1)))
        assert cost_ == pytest.approx(wanted[0], rel=1e-12)
        np.testing.assert_allclose(gradient, wanted[1], rtol=1e-12, atol=1e-16)
    assert step.value(step.theta, da.from_array(x, chunks=20), y) == pytest.approx(wanted[0], rel=1e-12)


def test_outputs_of_blocks_are_a_dask_array():
    da = pytest.importorskip("dask.array")
    net = MLP(3, [4, 2], ["tanh", "sigmoid"], seed=3)
    step = autobp.compile(net, net.parameters())
    found = step(step.theta, da.from_array(X, chunks=(2, 3)))
    assert isinstance(found, da.Array)
    np.testing.assert_array_equal(found.compute(), step(step.theta, X))


def test_blocks_of_unknown_or_other_numbers_of_rows_are_refused():
    da = pytest.importorskip("dask.array")
    step = compiled()
    x = da.from_array(X, chunks=(2, 3))
    with pytest.raises(ValueError, match="y has 8 rows, but x has 9"):
        step(step.theta, x, da.from_array(Y[:8], chunks=2))
    with pytest.raises(TypeError, match=r"theta is an array of torch, and x is a dask\.array"):
        step(library("torch")(step.theta), x, da.from_array(Y, chunks=2))
    with pytest.raises(ValueError, match=r"rows of x are not counted yet: call its compute_chunk_sizes"):
        step(step.theta, x[x[:, 0] > 0], da.from_array(Y, chunks=2))


@pytest.mark.long
def test_a_cluster_comes_to_the_same_though_a_worker_is_killed():
    distributed = pytest.importorskip("distributed")
    import dask.array as da

    step = compiled()
    x, y = RNG.normal(size=(4000, 3)), RNG.uniform(size=(4000, 2))
    wanted = step(step.theta, x, y)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        for _ in range(3):
            worker = next(iter(cluster.workers.values()))
            killer = threading.Timer(0.1, lambda w=worker: os.kill(w.process.pid, signal.SIGKILL))
            killer.start()
            blocks = da.from_array(x, chunks=(50, 3)), da.from_array(y, chunks=(50, 2))
            cost, gradient = step(step.theta, *blocks)
            killer.join()
            assert cost == pytest.approx(wanted[0], rel=1e-12)
            np.testing.assert_allclose(gradient, wanted[1], rtol=1e-12, atol=1e-16)


# --------------------------------------------------------------------------------------------- the document


def test_the_document_runs(capsys):
    for module in ("torch", "dask.array", "array_api_compat"):
        pytest.importorskip(module)
    text = (Path(__file__).parents[1] / "docs" / "other-arrays.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "other-arrays.md", "exec"), namespace)
    (shown,) = re.findall(r"  # (Tensor .*)", text)
    assert capsys.readouterr().out == f"{shown}\n"
    step, data = namespace["step"], [namespace[name].compute() for name in ("rows", "classes")]
    wanted = step(step.theta, *data)
    assert namespace["cost"] == pytest.approx(wanted[0], rel=1e-12)


def test_jax_has_zero_for_numbers_that_are_not_normal() -> None:
    """As its page says: the comparison of the suite leaves these out."""
    asarray = library("jax")
    tiny = np.finfo(np.float64).tiny
    assert (np.asarray(asarray(np.array([tiny / 2.0])) * 1.0) == 0.0).all()
    assert (np.asarray(asarray(np.array([tiny])) * 1.0) == tiny).all()
