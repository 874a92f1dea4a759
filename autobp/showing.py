"""What notebooks show: tables as HTML, curves and thumbnails as SVG, written out without any library.

Everything that is text is escaped. Colours stand on white and on black alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Okabe and Ito's blue, vermillion, green, orange, purple: colour-blind readers can tell them apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7")
_GREY = "#808080"
_WIDTH, _HEIGHT, _MARGIN = 420, 160, 34
_PIXEL = 4


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", marked: int | None = None
) -> str:
    """An HTML table; the row of the number ``marked`` stands out."""
    lines = ["<table>"]
    if caption:
        lines.append(f'<caption style="text-align: left">{escape(caption)}</caption>')
    lines.append(f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>")
    for i, row in enumerate(rows):
        style = f' style="outline: 2px solid {COLOURS[1]}; font-weight: bold"' if i == marked else ""
        lines.append(f"<tr{style}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>")
    return "\n".join([*lines, "</table>"])


def paragraphs(lines: Sequence[str]) -> str:
    """Lines of text, a paragraph each."""
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def curves(named: Mapping[str, Sequence[float]], what: str) -> str:
    """Curves over the epochs as SVG, by their names.

    The scale is logarithmic where they are above 0 and span a factor of 50. What is not finite is left out.
    """
    numbers = [y for curve in named.values() for y in curve if math.isfinite(y)]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    log = low > 0 and high >= 50 * low
    bottom, top = (math.log(low), math.log(high)) if log else (low, high)
    span = top - bottom or 1.0
    longest = max([len(curve) for curve in named.values()], default=1)

    def point(epoch: int, y: float) -> str:
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * (epoch / max(longest - 1, 1))
        height = ((math.log(y) if log else y) - bottom) / span
        return f"{x:.1f},{_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * height:.1f}"

    parts = []
    for i, (name, curve) in enumerate(named.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = [point(epoch, y) for epoch, y in enumerate(curve) if math.isfinite(y)]
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        if len(points) == 1:
            x, _, y_at = points[0].partition(",")
            parts.append(f'<circle cx="{x}" cy="{y_at}" r="2.5" fill="{colour}"/>')
        parts.append(_text(_MARGIN + 110 * i, _HEIGHT - 4, name, colour))
    scale = ", logarithmic" if log else ""
    parts.append(_text(_MARGIN, 12, f"{what}{scale}: {high:.4g}", _GREY))
    parts.append(_text(_MARGIN, _HEIGHT - _MARGIN + 14, f"{low:.4g}", _GREY))
    parts.append(_text(_WIDTH - _MARGIN, _HEIGHT - _MARGIN + 14, f"epoch {longest}", _GREY, "end"))
    return _svg(_WIDTH, _HEIGHT, parts)


def scatter(X: Array, groups: Sequence[int]) -> str:
    """Points of a plane, (m, 2), as SVG, each in the colour of its group."""
    low, high = X.min(axis=0), X.max(axis=0)
    at = 6 + 128 * (X - low) / np.where(high > low, high - low, 1.0)
    circles = [
        f'<circle cx="{x:.1f}" cy="{140 - y:.1f}" r="2" fill="{COLOURS[group % len(COLOURS)]}"/>'
        for (x, y), group in zip(at.tolist(), groups, strict=True)
    ]
    return _svg(140, 140, circles)


def thumbnails(images: Array) -> str:
    """Images, (k, height, width), side by side as SVG: white where they are lowest, black where highest."""
    k, height, width = images.shape
    low, high = images.min(), images.max()
    shades = 255 - np.rint(255 * (images - low) / (high - low or 1.0)).astype(int)
    squares = [
        f'<rect x="{(i * (width + 1) + column) * _PIXEL}" y="{row * _PIXEL}" width="{_PIXEL}" '
        f'height="{_PIXEL}" fill="rgb({shade},{shade},{shade})"/>'
        for i, image in enumerate(shades.tolist())
        for row, line in enumerate(image)
        for column, shade in enumerate(line)
    ]
    return _svg(k * (width + 1) * _PIXEL, height * _PIXEL, squares)


def frame(document: str, height: int = 640) -> str:
    """A whole HTML document inside another, in a frame of its own."""
    return f'<iframe srcdoc="{escape(document)}" width="100%" height="{height}" style="border: 0"></iframe>'


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="11" font-family="sans-serif" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )
