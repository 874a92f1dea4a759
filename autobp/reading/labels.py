"""What the label of a leaf says: one grammar for all who read it.

A parameter has a letter, the number of its layer and its indices: two for a weight, to neuron j from i, and
one for a bias. ``W1[2,3]`` and ``b1[2]`` are autobp's own way of writing them, ``w^(1)_{2,3}`` and
``w^{(1)}_{2,3}`` LaTeX's; round brackets, ``W1(2, 3)``, blanks between the indices and the letters θ and Θ
are understood as well. Of a matrix θ, column 0 is the biases', as the documents that write θ have it.

Other labels may have indices too, ``x[2]`` or ``h1[0,3]``: they say which array a number belongs to.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_COLUMN_0_IS_BIAS: Final = ("θ", "Θ", "theta", "Theta")
_WEIGHTS: Final = ("W", "w", *_COLUMN_0_IS_BIAS)
_BIASES: Final = ("B", "b")

_LAYER: Final = r"\^?[\[({]{0,2}(\d+)[\])}]{0,2}_?"
_WEIGHT: Final = re.compile(rf"({'|'.join(_WEIGHTS)}){_LAYER}[\[({{](\d+)\s*,\s*(\d+)[\])}}]")
# Of one index LaTeX needs no braces: b^(1)_2.
_BIAS: Final = re.compile(rf"({'|'.join(_BIASES)}){_LAYER}(?:[\[({{](\d+)[\])}}]|(?<=[\])}}]_)(\d+))")
_ARRAY: Final = re.compile(rf"({'|'.join(_WEIGHTS + _BIASES)})(\d+)")
_ELEMENT: Final = re.compile(r"(.*?)\[(\d+(?:,\s*\d+)*)\]")

_RAISED: Final = str.maketrans("0123456789()+-t", "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾⁺⁻ᵗ")


def superscript(text: str) -> str:
    """Digits, brackets, signs and the letter t as superscripts, as of h⁽ᵗ⁻¹⁾; all else as it is."""
    return text.translate(_RAISED)


@dataclass(frozen=True)
class Parameter:
    """Where a parameter belongs: the weight to neuron j of a layer from i, or the bias where i is None.

    Attributes:
        layer: its number in the label, or counted from 1, as whoever made this says.
    """

    layer: int
    j: int
    i: int | None


@dataclass(frozen=True)
class Element:
    """A label as an element of an array: "W1" and (2, 3) of ``W1[2,3]``; of "x7" or "x" no indices."""

    array: str
    indices: tuple[int, ...]


def parameter(label: str) -> Parameter | None:
    """What a label says: ``W1[2,3]``, ``w^(1)_{2,3}``, ``θ1[2,0]`` (a bias), ``b1[2]``; None for others."""
    match = _WEIGHT.fullmatch(label)
    if match:
        i = int(match[4])
        bias = i == 0 and match[1] in _COLUMN_0_IS_BIAS
        return Parameter(int(match[2]), int(match[3]), None if bias else i)
    match = _BIAS.fullmatch(label)
    return Parameter(int(match[2]), int(match[3] or match[4]), None) if match else None


def element(label: str) -> Element:
    """The array that a label's number belongs to: "w1" for ``w^(1)_{2,3}``, "x" for ``x[2]`` and ``x7``."""
    match = _WEIGHT.fullmatch(label) or _BIAS.fullmatch(label)
    if match:
        return Element(match[1] + match[2], tuple([int(index) for index in match.groups()[2:] if index]))
    match = _ELEMENT.fullmatch(label)
    if match:
        return Element(match[1], tuple(map(int, match[2].split(","))))
    return Element(label.rstrip("0123456789") or label, ())


def array_name(label: str) -> str:
    """A name for the array that a label's number belongs to, as Python reads identifiers; perhaps none.

    It is what stands before the first "[", where that is an identifier, as in ``W1[2,3]``; else a parameter's
    letter and layer, "w1" for ``w^(1)_{2,3}``.
    """
    before = unicodedata.normalize("NFKC", label.partition("[")[0])  # two ways of writing one are the same
    if before.isidentifier():
        return before
    return element(label).array if parameter(label) else before


def layer_of_array(array: str) -> int | None:
    """The number of the layer whose weights or biases an array holds: 1 for "W1" and "b1"; else None."""
    match = _ARRAY.fullmatch(array)
    return int(match[2]) if match else None


def holds_biases(label: str) -> bool:
    """Whether a label is an element of an array of biases, or of their column in a matrix of weights."""
    own, match = parameter(label), _ARRAY.fullmatch(element(label).array)
    return (own is not None and own.i is None) or (match is not None and match[1] in _BIASES)
