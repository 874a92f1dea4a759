"""Give arrays the names that BP1–BP4 have for them: W1, b1, z1, a1, delta1, dW1 …"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from autobp.ir import (
    Array,
    Assemble,
    Gather,
    Indices,
    Map,
    MatMul,
    Names,
    Program,
    Reshape,
    Sum,
    Theta,
    View,
    in_order,
)
from autobp.ir.reserved import is_free
from autobp.ops import DIVIDE
from autobp.reading.labels import array_name, layer_of_array


def name_forward(outputs: Program, arguments: Sequence[str], labels: Sequence[str]) -> Program:
    """The program of outputs with names for its arguments and layers.

    Args:
        arguments: what the inputs are called.
        labels: of the parameters, "W1[2,3]" or "" for each.
    """
    order = outputs.arrays
    names: dict[Array, str] = dict(zip(outputs.inputs, arguments, strict=True))
    users: dict[Array, list[Array]] = {}
    for array in order:
        for x in array.operands:
            users.setdefault(x, []).append(array)
    layer = 0
    for array in order:
        if not isinstance(array, MatMul) or not is_parameter(array.columns) or is_parameter(array.rows):
            continue
        if array.columns in names:  # shared: the layer has its name already
            continue
        layer += 1
        _name_layer(array, layer, names, users, labels)
    for array in order:
        if array in names or not isinstance(array, View | Gather | Reshape) or not is_parameter(array):
            continue
        if label := _common_label(array, labels):
            names[array] = label
    return replace(outputs, names=_unique(names, [*outputs.inputs, *order]))


def _name_layer(
    product: MatMul,
    layer: int,
    names: dict[Array, str],
    users: Mapping[Array, Sequence[Array]],
    labels: Sequence[str],
) -> None:
    """Name the weights of one layer, its biases, z and a."""
    weights = product.columns
    label = _common_label(weights, labels)
    number = layer_of_array(label)
    suffix = str(layer if number is None else number)
    names[weights] = label or f"W{suffix}"
    z: Array = product
    after = users.get(product, [])
    if (
        len(after) == 1
        and isinstance(after[0], Sum)
        and all(isinstance(x, MatMul) or is_parameter(x) for x in after[0].operands)
    ):
        z = after[0]
        biases = [x for x in z.operands if is_parameter(x) and x is not product]
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


def name_backward(program: Program, adjoints: Mapping[Array, Array]) -> Program:
    """The program of cost and gradient with names for adjoints, after what they are derivatives by.

    Args:
        adjoints: of each forward array that has one of its own.
    """
    gradient = program.results[-1]
    order = in_order([gradient])
    names: dict[Array, str] = {**program.names, gradient: "gradient"}
    for array, adjoint in reversed(list(adjoints.items())):  # in the order of the forward arrays
        match = re.fullmatch(r"z(\w+)", names.get(array, ""))
        if match and adjoint not in names and not isinstance(adjoint, Theta):
            names[adjoint] = f"delta{match[1]}"
    _name_activations(order, names)
    if isinstance(gradient, Assemble):
        for piece, place in zip(gradient.pieces, gradient.places, strict=True):
            if place in names and piece not in names and not isinstance(piece, Theta):
                assert place is not None
                names[piece] = f"d{names[place]}"
    return replace(program, names=_unique(names, [*program.names, *order]))


def _name_activations(order: Sequence[Array], names: dict[Array, str]) -> None:
    """Name activations that only the backward program computes: of sigmoid or softmax under their cost."""
    named = set(names.values())
    for array in order:
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


def _unique(names: Names, order: Sequence[Array]) -> dict[Array, str]:
    """The names without those that no variable may have, and each for one array: the second W1 is W1_2.

    The first in the order keeps its name.
    """
    found: dict[Array, str] = {}
    distinct = Distinct()
    for array in dict.fromkeys([*order, *names]):
        name = names.get(array)
        if name is not None and is_free(name):
            found[array] = distinct(name)
    return found


class Distinct:
    """Gives names out, each once: the second W1 is W1_2.

    Args:
        taken: names that are given out already.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}  # the last that was tried, by name

    def __call__(self, name: str) -> str:
        unique, k = name, self._numbers.get(name, 1)
        while unique in self._taken:
            k += 1
            unique = f"{name}_{k}"
        self._numbers[name] = k
        self._taken.add(unique)
        return unique


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


def matrices(program: Program, labels: Sequence[str]) -> list[tuple[str, Indices]]:
    """The matrices of parameters in a program: what each is called, and its positions in theta.

    Together they are all of theta, each parameter once; one that is in no matrix stands alone, with shape ().
    No two have one name, whatever the labels: three parameters w are w, w_2 and w_3.
    """
    covered = np.zeros(len(labels), dtype=bool)
    found: list[tuple[str, Indices]] = []
    distinct = Distinct()
    chosen = []
    for array in program.arrays:
        if isinstance(array, View | Gather | Reshape) and is_parameter(array):
            chosen.append((program.names.get(array, ""), parameter_positions(array)))
    for name, positions in sorted(chosen, key=lambda pair: (not pair[0], pair[1].flat[0])):
        squeezed = positions.squeeze() if positions.ndim > 2 else positions
        flat = squeezed.reshape(-1)
        if covered[flat].any() or len(np.unique(flat)) < len(flat):
            continue
        covered[flat] = True
        found.append((distinct(name or f"P{1 + len(found)}"), squeezed))
    for i in np.flatnonzero(~covered).tolist():
        found.append((distinct(labels[i] or f"theta[{i}]"), np.array(i)))
    return sorted(found, key=lambda pair: int(pair[1].flat[0]))


def _common_label(array: Array, labels: Sequence[str]) -> str:
    """The name of the array that all the labels of an array's parameters tell of, or ""."""
    found = {array_name(labels[i]) for i in parameter_positions(array).reshape(-1)[:1000]}
    name = found.pop() if len(found) == 1 else ""
    return name if is_free(name) else ""
