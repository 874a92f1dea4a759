"""Compiled programs as ONNX files, run by onnxruntime and by ONNX's own reference, against their steps."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from test_compile_random import Program

import autobp
from autobp import MLP, Value, costs
from autobp.ops import TABLE

pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
runtime = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(9, 3)), RNG.uniform(size=(9, 2))
#: Why a program has no file; each names what it is.
REFUSED = re.compile(r"'\w+' is computed by Python code|this program calls \w+, which ONNX does not have")

#: Operations that ONNX has nothing for, or that Python code computes.
NOT_WRITTEN = {"atan2", "erfc", "gelu", "hypot", "inverse_mills", "log_norm_cdf", "mod", "norm_cdf"}


def tolerance(path: Any) -> float:
    """Of a file in float64: the runtime has no Erf in it, and ONNX's reference computes that in float32."""
    return 1e-6 if b"Erf" in path.read_bytes() else 1e-12


def answer(path: Any, arguments: Any, dtype: str = "float64") -> Any:
    """What onnxruntime gives; ONNX's reference, where the runtime has no such operators."""
    given = {name: np.asarray(x, dtype=dtype) for name, x in arguments.items()}
    try:
        session: Any = runtime.InferenceSession(str(path))
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        session = reference.ReferenceEvaluator(str(path))
    with np.errstate(all="ignore"):
        (found,) = session.run(None, given)
    assert found.dtype == dtype
    return found


def written(step: Any, folder: Any) -> Any:
    """The step's file; None where it is refused by the name of an operation."""
    try:
        return autobp.to_onnx(step, folder / "program.onnx", dtype="float64")
    except TypeError as error:
        if REFUSED.search(str(error)):
            return None
        raise


def network(*layers: str) -> tuple[Any, Any, dict[str, Any]]:
    net = MLP(3, [4, 2], list(layers), seed=3)
    return net, net.parameters(), {"x": X}


def of_cost() -> tuple[Any, Any, dict[str, Any]]:
    net = MLP(3, [4, 2], ["tanh", "linear"], seed=3)
    return (lambda x, y: costs.softmax_cross_entropy(net(x), y)), net.parameters(), {"x": X, "y": Y}


def recurrence() -> tuple[Any, Any, dict[str, Any]]:
    net = MLP(3, [2], ["tanh"], seed=1)

    def states(x: Any) -> Any:
        h, found = [Value(0.1), Value(0.0)], []
        for t in range(40):
            h = net([*h, x[t]])
            found.append(h[0] * h[1])
        return found

    return states, net.parameters(), {"x": RNG.normal(size=(5, 40))}


def table() -> tuple[Any, Any, dict[str, Any]]:
    values = [Value(v, label=f"v[{i}]") for i, v in enumerate([0.5, -1.0, 2.0])]
    return (lambda i: autobp.take(values, i) ** 2), values, {"i": np.array([0.0, 2.0, 2.0, 1.0])}


def of_no_row() -> tuple[Any, Any, dict[str, Any]]:
    w = Value(2.0, label="w")
    return (lambda x: [w * w, 3.0 * w]), [w], {"x": X[:, 0]}


def of_no_data() -> tuple[Any, Any, dict[str, Any]]:
    w = [Value(v) for v in (0.3, -0.2)]
    return (lambda: autobp.exp(w[0]) * w[1]), w, {}


PROGRAMS = {
    "softmax": functools.partial(network, "tanh", "softmax"),
    "softplus": functools.partial(network, "softplus", "silu"),
    "elu": functools.partial(network, "elu", "leaky_relu"),
    "cost": of_cost,
    "loop": recurrence,
    "table": table,
    "no row": of_no_row,
    "no data": of_no_data,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_gives_what_the_step_gives(name, dtype, tmp_path):
    function, parameters, data = PROGRAMS[name]()
    step = autobp.compile(function, parameters, example=tuple(x[0] for x in data.values()))
    path = autobp.to_onnx(step, tmp_path / "program.onnx", dtype=dtype)
    wanted = np.asarray(step.value(step.theta, *data.values()))
    found = answer(path, data, dtype)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol={"float64": 1e-14, "float32": 1e-6}[dtype] * np.abs(wanted).max()
    )


def test_a_file_takes_any_number_of_rows_and_names_its_arguments(tmp_path):
    function, parameters, _ = of_cost()
    step = autobp.compile(function, parameters, example=(X[0], Y[0]))
    path = autobp.to_onnx(step, tmp_path / "cost.onnx", dtype="float64")
    session = runtime.InferenceSession(str(path))
    assert [(x.name, x.shape) for x in session.get_inputs()] == [("x", ["m", 3]), ("y", ["m", 2])]
    assert [(x.name, x.shape) for x in session.get_outputs()] == [("cost", [])]
    for m in (1, 2, 9):
        (found,) = session.run(None, {"x": X[:m], "y": Y[:m]})
        assert float(found) == pytest.approx(step.value(step.theta, X[:m], Y[:m]), rel=1e-14)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_operation_is_written_or_refused_by_name(name, tmp_path):
    function = getattr(autobp, name, None) or getattr(autobp.functions, name, None)
    if function is None:
        pytest.skip("an operator of Python")
    w = Value(0.75, label="w")
    x = np.array([[0.3, 1.7], [0.62, 0.4], [0.999, 2.6], [1e-9, 3e-12], [0.5, 0.5]])
    try:
        step = autobp.compile(lambda x: [function(w * x[0])], [w], example=(x[0],))
        wanted = step(step.theta, x)
    except (TypeError, ValueError):
        try:
            step = autobp.compile(lambda x: [function(w * x[0], x[1])], [w], example=(x[0],))
            wanted = step(step.theta, x)
        except (TypeError, ValueError):
            pytest.skip("takes more than two numbers, or is not defined for these")
    path = written(step, tmp_path)
    if path is None:
        assert name in NOT_WRITTEN
        return
    assert name not in NOT_WRITTEN
    np.testing.assert_allclose(answer(path, {"x": x}), wanted, rtol=tolerance(path), atol=0)


def test_random_programs_agree_with_their_files(tmp_path):
    compared = 0
    for seed in range(100):
        program = Program(seed)
        if program.whole:
            continue  # no rows: its data are constants
        x = RNG.normal(size=(4, program.n))
        step = autobp.compile(lambda x, p=program: p.sample(x), program.parameters, example=(x[0],))
        path = written(step, tmp_path)
        if path is None:
            continue
        wanted = step.value(step.theta, x)
        if np.isfinite(wanted):
            error = tolerance(path)
            assert answer(path, {"x": x}) == pytest.approx(wanted, rel=error, abs=error), seed
            compared += 1
    assert compared > 50


def test_what_is_not_finite_comes_out_of_a_file_too(tmp_path):
    w = Value(1.0, label="w")
    step = autobp.compile(
        lambda x: [autobp.maximum(w * x, 0.0), autobp.softplus(w * x), autobp.tanh(w * x)],
        [w],
        example=(1.0,),
    )
    x = np.array([np.inf, -np.inf, np.nan, 800.0, -800.0])
    path = autobp.to_onnx(step, tmp_path / "edges.onnx", dtype="float64")
    with np.errstate(all="ignore"):
        wanted = [[np.maximum(v, 0.0), np.logaddexp(0.0, v), np.tanh(v)] for v in x]
    np.testing.assert_allclose(answer(path, {"x": x}), wanted, rtol=1e-15)


def test_what_onnx_cannot_do_is_refused_and_no_file_is_left(tmp_path):
    w = Value(1.5, label="w")
    step = autobp.compile(lambda x: autobp.hypot(w, x), [w], example=(2.0,))
    with pytest.raises(TypeError, match="this program calls hypot, which ONNX does not have"):
        autobp.to_onnx(step, tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="nothing is traced yet: call the step once"):
        autobp.to_onnx(autobp.compile(lambda x: w * x, [w]), tmp_path / "none.onnx")
    assert not any(tmp_path.iterdir())
