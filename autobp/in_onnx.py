"""Networks as ONNX files, for runtimes that know nothing of Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from autobp.nn import MLP

#: The version of the operators that a file is written in: 20 is the first that has Gelu.
_OPERATORS: Final = 20

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
    net: MLP, path: str | os.PathLike[str], *, dtype: Literal["float32", "float64"] = "float32"
) -> Path:
    """Write a network as an ONNX file: input ``x``, (m, inputs), and output ``y``, (m, outputs).

    Args:
        path: of the file, which is written over.
        dtype: of weights, inputs and outputs. Runtimes have all operators in float32, and some in float64.

    Returns the path.

    Raises:
        TypeError: an activation has no operator in ONNX; the message names those that have.
        ValueError: there is no such dtype. ImportError: onnx is not installed.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64'; got {dtype!r}")
    try:
        import onnx
    except ImportError as error:
        raise ImportError("onnx is needed: pip install onnx") from error
    helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
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
        weights += [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
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
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPERATORS)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    target = Path(path)
    target.write_bytes(model.SerializeToString())
    return target


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
