"""The arrays that a step is called with: what they may be, and as float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autobp.arguments import is_masked
from autobp.ir import Floats

_FLOAT64 = np.dtype(np.float64)


def shapes_of_floats(theta: Any, arguments: Sequence[Any]) -> Any:
    """The shapes, where all are arrays of float64; else None."""
    shapes = []
    for x in (theta, *arguments):
        if type(x) is not np.ndarray or x.dtype is not _FLOAT64:
            return None
        shapes.append(x.shape)
    return tuple(shapes)


def floats(name: str, x: ArrayLike) -> Floats:
    """An argument as an array of float64; TypeError where it holds no real numbers, ValueError if ragged."""
    if type(x) is np.ndarray and x.dtype is _FLOAT64:
        return x
    if is_masked(x):
        raise TypeError(f"{name} has masked elements, whose mask would be lost; fill them in first")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its rows have different lengths") from error
    except (RuntimeError, TypeError) as error:  # a tensor of another library that keeps its numbers to itself
        raise TypeError(f"{name} is no array of real numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers; got an array of {array.dtype}")
    converted: Floats = array.astype(np.float64)
    return converted
