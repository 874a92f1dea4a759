"""Networks and compiled programs as ONNX files, for runtimes that know nothing of Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from autobp.backends.array_api import array_text
from autobp.backends.onnx_graph import OPERATORS, OnnxNamespace, Rows
from autobp.compiler.other_arrays import Place, namespace_of
from autobp.compiler.step import Step
from autobp.nn import MLP

#: Activations as ONNX's operators, with their attributes; "silu" is written as a product.
_OPERATOR_OF: Final[dict[Any, tuple[str, dict[str, float]]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "gelu": ("Gelu", {}),
    "softplus": ("Softplus", {}),
    "softmax": ("Softmax", {"axis": -1}),
}


def to_onnx(
    model: MLP | Step, path: str | os.PathLike[str], *, dtype: Literal["float32", "float64"] = "float32"
) -> Path:
    """Write a network, or the program of a compiled step, as an ONNX file.

    A network has the input ``x``, (m, inputs), and the output ``y``, (m, outputs). A step has its arguments
    by their names, (m, …) each, and the output ``outputs``, (m, …), or ``cost``, (). Its parameters are
    written as they are; loops are written out step by step.

    Args:
        path: of the file, which is written over.
        dtype: of weights, inputs and outputs. Runtimes have all operators in float32, and some in float64.

    Returns the path.

    Raises:
        TypeError: an activation or an operation has no operator in ONNX; the message names it.
        ValueError: there is no such dtype, or the step has no program yet.
        ImportError: onnx is not installed.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64'; got {dtype!r}")
    try:
        import onnx
    except ImportError as error:
        raise ImportError("onnx is needed: pip install onnx") from error
    graph = _network(model, dtype) if isinstance(model, MLP) else _program(model, dtype)
    opset = onnx.helper.make_opsetid("", OPERATORS)
    made = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    target = Path(path)
    target.write_bytes(made.SerializeToString())
    return target


def _program(step: Step, dtype: str) -> Any:
    """The graph of a step's outputs or cost."""
    from onnx import helper

    executable = step.executable
    xp = OnnxNamespace(dtype)
    text = array_text({"value": executable.programs["value"]}, executable.about)
    value = namespace_of(text, Place(xp, "ONNX", xp.dtype, None))["value"]
    signature = executable.signature
    arguments = [xp.argument(*pair) for pair in zip(signature.arguments, signature.samples, strict=True)]
    made = value(xp.asarray(step.theta, xp.dtype), *arguments)
    kind = helper.np_dtype_to_tensor_dtype(xp.dtype)

    def described(name: str, shape: Sequence[Any]) -> Any:
        lengths = ["m" if isinstance(n, Rows) else n for n in shape]
        return helper.make_tensor_value_info(name, kind, lengths)

    name = "cost" if executable.result_shape is None else "outputs"
    nodes = [*xp.nodes, helper.make_node("Identity", [made.name], [name])]
    inputs = [described(x.name, x.shape) for x in arguments]
    return helper.make_graph(nodes, "program", inputs, [described(name, made.shape)], xp.constants)


def _network(net: MLP, dtype: str) -> Any:
    """The graph of a network's layers."""
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes: list[Any] = []
    weights: list[Any] = []
    x = "x"
    for number, layer in enumerate(net.layers, start=1):
        last = number == len(net.layers)
        W = np.array([[w.data for w in neuron.w] for neuron in layer.neurons], dtype=dtype)
        arrays = {f"W{number}": W}
        biases = [neuron.b.data for neuron in layer.neurons if neuron.b is not None]
        if biases:
            arrays[f"b{number}"] = np.array(biases, dtype=dtype)
        weights += [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        z, a = f"z{number}", "y" if last else f"a{number}"
        is_linear = layer.activation in ("linear", "identity")
        nodes.append(helper.make_node("Gemm", [x, *arrays], [a if is_linear else z], transB=1))
        if not is_linear:
            nodes += _activation(helper, layer.activation, z, a)
        x = a
    ends = [
        helper.make_tensor_value_info(name, kind, ["m", size])
        for name, size in (("x", net.sizes[0]), ("y", net.sizes[-1]))
    ]
    return helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)


def _activation(helper: Any, name: Any, z: str, a: str) -> list[Any]:
    if name == "silu":
        return [
            helper.make_node("Sigmoid", [z], [f"sigmoid_{z}"]),
            helper.make_node("Mul", [z, f"sigmoid_{z}"], [a]),
        ]
    if name not in _OPERATOR_OF:
        known = ", ".join(["linear", "silu", *_OPERATOR_OF])
        raise TypeError(f"the activation {name!r} has no operator in ONNX; these have: {known}")
    operator, attributes = _OPERATOR_OF[name]
    return [helper.make_node(operator, [z], [a], **attributes)]
