"""Networks in files: what ``MLP.save`` writes, and ``MLP.load`` reads.

A file is NumPy's ``.npz``: ``format``, ``activations`` (the layers' names), and ``W1``, ``b1``, ``W2`` …; a
network without biases has no ``b1``. ``about``, where there is one, is :class:`autobp.about.About` as JSON.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autobp.about import about_of
from autobp.activations import is_activation, known_activations
from autobp.arguments import unknown
from autobp.build import VERSION

if TYPE_CHECKING:
    from autobp.nn import MLP

_FORMAT = 1


def save(net: MLP, path: str | os.PathLike[str]) -> Path:
    """What ``net.save(path)`` does."""
    for i, activation in enumerate(net.activations, start=1):
        if not isinstance(activation, str):
            raise ValueError(
                f"layer {i}'s activation {activation!r} is a function; only named ones can be saved"
            )
    arrays: dict[str, Any] = {"format": np.array(_FORMAT), "activations": np.array(net.activations)}
    for i, layer in enumerate(net.layers, start=1):
        arrays[f"W{i}"] = layer.W
        if layer.b is not None:
            arrays[f"b{i}"] = layer.b
    if net.about is not None:
        arrays["about"] = np.array(replace(net.about, version=VERSION).json())
    target = _npz(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} to save {target.name} in")
    if Path(path).is_dir() or target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder; name a file to save in")
    from secrets import token_hex  # takes its time to import

    temporary = target.with_name(f"{target.name}.{token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def load(make: type[MLP], path: str | os.PathLike[str]) -> MLP:
    """What ``MLP.load(path)`` does, for a network of that class."""
    file = Path(path) if Path(path).exists() else _npz(path)
    from zipfile import is_zipfile  # takes its time to import

    name = str(file)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {name!r}")
    if not is_zipfile(file):
        raise ValueError(f"{name} is not a saved network, an .npz file that MLP.save wrote")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
    except Exception as error:  # NumPy and zipfile raise many kinds on what they cannot read
        raise ValueError(f"{name} is not a saved network, or is damaged: {error}") from error
    if "activations" not in found or "format" not in found or found["format"].tolist() != _FORMAT:
        raise ValueError(
            f"{name} is not a network saved in format {_FORMAT}: it holds {', '.join(sorted(found))}"
        )
    for activation in map(str, found["activations"].ravel()):
        if activation.isidentifier() and not is_activation(activation):
            raise ValueError(
                f"{name}: {unknown('activation', activation, known_activations())}; if it is an operation of "
                f"your own, register it before: autobp.operation({activation!r}, value, partials)"
            )
    try:
        activations = [str(activation) for activation in found["activations"]]
        numbers = range(1, len(activations) + 1)
        missing = [f"W{i}" for i in numbers if f"W{i}" not in found]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        W = [found[f"W{i}"] for i in numbers]
        b = [found[f"b{i}"] for i in numbers if f"b{i}" in found]
        net = make(
            W[0].shape[1], [len(w) for w in W], activations, bias=bool(b), init="zeros", weights=W,
            biases=b or None,
        )  # fmt: skip
        if "about" in found:
            net.about = about_of(str(found["about"]))
            net.about.check_fits(net.sizes)
        return net
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error


def _npz(path: str | os.PathLike[str]) -> Path:
    """The path with the ending .npz."""
    text = os.fspath(path)
    return Path(text if text.endswith(".npz") else f"{text}.npz")
