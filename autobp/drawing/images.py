"""Where a network's inputs are the pixels of a picture: its first layer's weights as images."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from autobp.drawing.style import Style, is_rounding, mix

SIDE: Final = 62.0  # of the longer side of an image, in points
_FEWEST = 64  # inputs without names that are taken for a picture, where they make a square


@dataclass(frozen=True)
class Image:
    """Numbers as pixels.

    Attributes:
        id: unique in the picture: "image1_2" for the second neuron of the first layer.
        rows: of pixels, the upper first; all of a length.
        along, across: where the centre is, as a unit's.
        tip: what it is.
    """

    id: str
    rows: list[list[float]]
    along: float
    across: float
    tip: str

    @property
    def pixel(self) -> float:
        """The side of a pixel, in points: whole ones where the engine has no finer cells."""
        return max(1.0, math.floor(SIDE / max(len(self.rows), len(self.rows[0]))))

    @property
    def largest(self) -> float:
        """The largest size of a number, of those that are finite."""
        return max((abs(x) for row in self.rows for x in row if math.isfinite(x)), default=0.0)

    def colours(self, style: Style, largest: float) -> list[list[str]]:
        """Each pixel's: the stronger, the larger it is beside the largest of all images."""
        return [[_colour(x, style, largest) for x in row] for row in self.rows]


def _colour(x: float, style: Style, largest: float) -> str:
    theme = style.colours
    if not math.isfinite(x) or is_rounding(x, largest):
        return theme.node
    tone = theme.positive if x > 0 else theme.negative
    return mix(theme.node, tone, round(8 * math.sqrt(abs(x) / largest)) / 8)  # few shades: neighbours join


def pixel_shape(n_inputs: int, names: Sequence[str], asked: Sequence[int] | None) -> tuple[int, int] | None:
    """The height and width of the pictures that inputs are; None where they are none.

    ``asked`` is what the user says, () for no pictures; without it, names such as pixel_3_7 tell, and without
    names 64 inputs or more that make a square.

    Raises:
        ValueError: what the user says is no height and width of so many inputs.
    """
    if asked is not None:
        if len(asked) == 0:
            return None
        if len(asked) != 2 or asked[0] * asked[1] != n_inputs or min(asked) < 1:
            raise ValueError(
                f"pixels must be the height and width of pictures of {n_inputs} inputs, or (); got {asked!r}"
            )
        return asked[0], asked[1]
    if names:
        last = re.fullmatch(r"pixel_(\d+)_(\d+)", str(names[-1]))
        shape = (int(last[1]) + 1, int(last[2]) + 1) if last else None
        return shape if shape and shape[0] * shape[1] == n_inputs else None
    side = math.isqrt(n_inputs)
    return (side, side) if side * side == n_inputs >= _FEWEST else None


def in_rows(numbers: Sequence[float], shape: tuple[int, int]) -> list[list[float]]:
    """Numbers in the order of their inputs as rows of pixels."""
    height, width = shape
    return [list(numbers[i * width : (i + 1) * width]) for i in range(height)]


def stretches(colours: Sequence[str]) -> list[tuple[str, int, int]]:
    """Of a row of pixels, those of one colour beside one another: the colour, the first, how many."""
    found, first = [], 0
    for colour, group in groupby(colours):
        n = len(list(group))
        found.append((colour, first, n))
        first += n
    return found
