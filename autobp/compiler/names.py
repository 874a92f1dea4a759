"""Give arrays the names that BP1–BP4 have for them: W1, b1, z1, a1, delta1, dW1 …"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from autobp.compiler.differentiate import in_order
from autobp.compiler.emit import is_free
from autobp.compiler.program import (
    Array,
    Assemble,
    Gather,
    Indices,
    Map,
    MatMul,
    Reshape,
    Theta,
    View,
)
from autobp.ops import DIVIDE
from autobp.reading.labels import array_name


def name_forward(output: Array, labels: Sequence[str]) -> None:
    """Name the layers of a program. ``labels`` are those of the parameters, "W1[2,3]" or "" for each."""
    order = in_order([output])
    users: dict[int, list[Array]] = {}
    for array in order:
        for x in array.operands:
            users.setdefault(id(x), []).append(array)
    layer = 0
    for array in order:
        if not isinstance(array, MatMul) or not _is_parameter(array.operands[1]):
            continue
        if _is_parameter(array.operands[0]):
            continue
        weights = array.operands[1]
        if weights.name:  # shared: the layer has its name already
            continue
        layer += 1
        label = _common_label(weights, labels)
        number = re.fullmatch(r"W(\d+)", label)
        suffix = number[1] if number else str(layer)
        weights.name = label or f"W{suffix}"
        z: Array = array
        after = users.get(id(array), [])
        if (
            len(after) == 1
            and isinstance(after[0], Map)
            and after[0].operation is None
            and all(isinstance(x, MatMul) or _is_parameter(x) for x in after[0].operands)
        ):
            z = after[0]
            biases = [x for x in z.operands if _is_parameter(x) and x is not array]
            if len(biases) == 1 and not biases[0].name:
                biases[0].name = _common_label(biases[0], labels) or f"b{suffix}"
        z.name = f"z{suffix}"
        activations = [
            x for x in users.get(id(z), []) if isinstance(x, Map) and x.operation and len(x.operands) == 1
        ]
        for x in activations:
            inner = any(isinstance(user, MatMul) for user in users.get(id(x), []))
            if inner or (x.operation and x.operation.name not in ("softplus", "exp", "log", "stop_gradient")):
                x.name = f"a{suffix}"
                break
    for array in order:
        if isinstance(array, View | Gather | Reshape) and _is_parameter(array) and not array.name:
            array.name = _common_label(array, labels)


def name_backward(output: Array, gradient: Array, adjoints: dict[int, Array]) -> None:
    """Name the adjoints after what they are derivatives by."""
    for array in in_order([output]):
        adjoint = adjoints.get(id(array))
        match = re.fullmatch(r"z(\w+)", array.name)
        if adjoint is not None and match and not adjoint.name and not isinstance(adjoint, Theta):
            adjoint.name = f"delta{match[1]}"
    named = {array.name for array in in_order([output])}
    for array in in_order([gradient]):
        if isinstance(array, Map) and array.operation and len(array.operands) == 1 and not array.name:
            match = re.fullmatch(r"z(\w+)", array.operands[0].name)
            if match and f"a{match[1]}" not in named:
                array.name = f"a{match[1]}"
                named.add(array.name)
        if isinstance(array, Map) and array.operation is DIVIDE and not array.name:
            exponentials = array.operands[0]
            logits = exponentials.operands[0] if isinstance(exponentials, Map) else exponentials
            for x in (logits, *logits.operands):
                match = re.fullmatch(r"z(\w+)", x.name)
                if match and f"a{match[1]}" not in named:
                    array.name = f"a{match[1]}"
                    named.add(array.name)
    if isinstance(gradient, Assemble):
        for piece, place in zip(gradient.operands, gradient.places, strict=True):
            if place is not None and place.name and not piece.name and not isinstance(piece, Theta):
                piece.name = f"d{place.name}"


def _is_parameter(array: Array) -> bool:
    while isinstance(array, View | Gather | Reshape):
        array = array.operands[0]
    return isinstance(array, Theta)


def parameter_positions(array: Array) -> Indices:
    """Which parameters a view or choice of theta holds."""
    if isinstance(array, Theta):
        return np.arange(array.size, dtype=np.int64)
    inner = parameter_positions(array.operands[0]).reshape(-1)
    if isinstance(array, View | Gather):
        return inner[array.indices()]
    return inner.reshape(array.shape)


def _common_label(array: Array, labels: Sequence[str]) -> str:
    """The name of the array that all the labels of an array's parameters tell of, or ""."""
    found = {array_name(labels[i]) for i in parameter_positions(array).reshape(-1)[:1000]}
    name = found.pop() if len(found) == 1 else ""
    return name if is_free(name) else ""
