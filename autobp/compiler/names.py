"""Give arrays the names that BP1–BP4 have for them: W1, b1, z1, a1, delta1, dW1 …"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from autobp.backends.source_module import is_free
from autobp.compiler.ir import (
    Array,
    Assemble,
    Gather,
    Indices,
    Map,
    MatMul,
    Names,
    Reshape,
    Sum,
    Theta,
    View,
    in_order,
)
from autobp.ops import DIVIDE


def name_forward(output: Array, labels: Sequence[str]) -> dict[Array, str]:
    """The names of a program's layers. ``labels`` are those of the parameters, "W1[2,3]" or "" for each."""
    names: dict[Array, str] = {}
    order = in_order([output])
    users: dict[Array, list[Array]] = {}
    for array in order:
        for x in array.operands:
            users.setdefault(x, []).append(array)
    layer = 0
    for array in order:
        if not isinstance(array, MatMul) or not is_parameter(array.columns) or is_parameter(array.rows):
            continue
        weights = array.columns
        if weights in names:  # shared: the layer has its name already
            continue
        layer += 1
        label = _common_label(weights, labels)
        number = re.fullmatch(r"W(\d+)", label)
        suffix = number[1] if number else str(layer)
        names[weights] = label or f"W{suffix}"
        z: Array = array
        after = users.get(array, [])
        if (
            len(after) == 1
            and isinstance(after[0], Sum)
            and all(isinstance(x, MatMul) or is_parameter(x) for x in after[0].operands)
        ):
            z = after[0]
            biases = [x for x in z.operands if is_parameter(x) and x is not array]
            if len(biases) == 1 and biases[0] not in names:
                names[biases[0]] = _common_label(biases[0], labels) or f"b{suffix}"
        names[z] = f"z{suffix}"
        for x in users.get(z, []):
            if not isinstance(x, Map) or len(x.operands) != 1:
                continue
            inner = any(isinstance(user, MatMul) for user in users.get(x, []))
            if inner or x.operation.name not in ("softplus", "exp", "log", "stop_gradient"):
                names[x] = f"a{suffix}"
                break
    for array in order:
        if array in names or not isinstance(array, View | Gather | Reshape) or not is_parameter(array):
            continue
        if label := _common_label(array, labels):
            names[array] = label
    return names


def name_backward(
    names: Names, output: Array, gradient: Array, adjoints: Mapping[int, Array]
) -> dict[Array, str]:
    """The names with those of the adjoints, after what they are derivatives by.

    Args:
        adjoints: of each forward array that has one of its own, by its id.
    """
    names = dict(names)
    for array in in_order([output]):
        adjoint = adjoints.get(id(array))
        match = re.fullmatch(r"z(\w+)", names.get(array, ""))
        if adjoint is not None and match and adjoint not in names and not isinstance(adjoint, Theta):
            names[adjoint] = f"delta{match[1]}"
    named = {names[array] for array in in_order([output]) if array in names}
    for array in in_order([gradient]):
        if array in names or not isinstance(array, Map):
            continue
        below: list[Array] = []
        if len(array.operands) == 1:
            below = [array.operands[0]]
        elif array.operation is DIVIDE:  # a softmax: its logits, or those less their maximum
            exponentials = array.operands[0]
            logits = exponentials.operands[0] if isinstance(exponentials, Map | Sum) else exponentials
            below = [logits, *logits.operands]
        for x in below:
            match = re.fullmatch(r"z(\w+)", names.get(x, ""))
            if match and f"a{match[1]}" not in named:
                names[array] = f"a{match[1]}"
                named.add(names[array])
    if isinstance(gradient, Assemble):
        for piece, place in zip(gradient.pieces, gradient.places, strict=True):
            if place in names and piece not in names and not isinstance(piece, Theta):
                assert place is not None
                names[piece] = f"d{names[place]}"
    return names


def is_parameter(array: Array) -> bool:
    """Whether an array holds parameters as they are."""
    while isinstance(array, View | Gather | Reshape):
        array = array.source
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
    """What all the labels "name[…]" of an array's parameters have before the bracket, or ""."""
    found = {labels[i].partition("[")[0] for i in parameter_positions(array).reshape(-1)[:1000]}
    # as Python reads identifiers: two ways of writing one are the same
    name = unicodedata.normalize("NFKC", found.pop()) if len(found) == 1 else ""
    return name if is_free(name) else ""
