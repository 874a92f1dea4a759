"""How pictures look: themes, colours by sign and size, and the text that goes into them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

DIRECTIONS: Final = ("LR", "TB", "RL", "BT")
SHOWN: Final = ("data", "grad", "partials")
#: A number this part of the picture's largest, or less, counts as 0: some rounding errors of a sum.
ROUNDING: Final = 1e-13
COLOURS: Final = ("data", "grad", "none")
#: What colours show where nothing else is asked for, in pictures and on pages.
GRAPH_COLOUR: Final = "grad"
NETWORK_COLOUR: Final = "data"


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb. Positive and negative are blue and orange, apart for colour-blind eyes too."""

    background: str
    ink: str
    muted: str
    line: str
    node: str
    panel: str
    inner_panel: str
    positive: str
    negative: str
    highlight: str


THEMES: Final[dict[str, Theme]] = {
    "light": Theme(
        background="#ffffff",
        ink="#1a1a1a",
        muted="#595959",
        line="#8a8a8a",
        node="#ffffff",
        panel="#f3f4f6",
        inner_panel="#e7e9ed",
        positive="#0072b2",
        negative="#d55e00",
        highlight="#8f1d6d",
    ),
    "dark": Theme(
        background="#15171c",
        ink="#f4f4f4",
        muted="#b4b8c0",
        line="#868c98",
        node="#23262e",
        panel="#1b1e25",
        inner_panel="#262a33",
        positive="#56b4e9",
        negative="#e69f00",
        highlight="#f59ad5",
    ),
}

#: Helvetica's metrics are known to every layout engine; Arial and its relatives share them.
FONT: Final = "Helvetica,Arial,sans-serif"


@dataclass(frozen=True)
class Style:
    """The choices that hold for a whole picture.

    Args:
        direction: where the computation flows: "LR", "TB", "RL" or "BT".
        show: which numbers to write: any of "data", "grad", "partials" (local derivatives, on the edges).
        number_format: a format specification for numbers, such as ".4g" or "+.2f".
        theme: "light" or "dark".
        colour: what tints the nodes, blue above zero and orange below: "data", "grad" or "none".

    Raises:
        ValueError: an argument is none of what it may be.
    """

    direction: str
    show: tuple[str, ...]
    number_format: str
    theme: str
    colour: str

    def __post_init__(self) -> None:
        _one_of("direction", self.direction, DIRECTIONS)
        _one_of("theme", self.theme, tuple(THEMES))
        _one_of("color", self.colour, COLOURS)
        for shown in self.show:
            _one_of("show", shown, SHOWN)
        try:
            format(1.5, self.number_format)
        except (ValueError, TypeError):
            raise ValueError(f"number_format {self.number_format!r} formats no float; try '.4g'") from None

    @property
    def colours(self) -> Theme:
        """The theme's colours."""
        return THEMES[self.theme]

    def number(self, x: float) -> str:
        """x as text; a zero has no sign."""
        return format(x + 0.0 if x == 0 else x, self.number_format)

    def range_of(self, numbers: Sequence[float]) -> str:
        """The smallest and the largest number, and how many are NaN."""
        known = [x for x in numbers if not math.isnan(x)]
        missing = len(numbers) - len(known)
        if not known:
            return "nan"
        low, high = self.number(min(known)), self.number(max(known))
        return (low if low == high else f"{low} … {high}") + (f", {missing:,} nan" if missing else "")

    def tint(self, x: float, largest: float) -> str:
        """A fill for a number: the node's own where it is 0 up to rounding, else the sign's, the stronger the
        larger |x|."""
        if not math.isfinite(x) or is_rounding(x, largest):
            return self.colours.node
        strength = 0.08 + 0.42 * math.sqrt(min(1.0, abs(x) / largest))
        return mix(self.colours.node, self.colours.positive if x > 0 else self.colours.negative, strength)


def legend(colour: str, *, network: bool = False) -> str:
    """What the colours of a graph's boxes, or of a network's circles and lines, mean."""
    if colour == "none":
        return ""
    what = {"data": "data", "grad": "gradient"}[colour]
    if not network:
        return f"blue: {what} above 0; orange: below 0; the stronger, the larger"
    what = {"data": "weight or activation", "grad": "gradient"}[colour]
    return f"blue: {what} above 0; orange, dashed: below 0; the stronger, the larger"


def is_rounding(x: float, largest: float) -> bool:
    """Whether a number is so small beside the largest that its sign may be rounding's alone."""
    return abs(x) <= ROUNDING * largest


def largest_of(numbers: Iterable[float]) -> float:
    """The largest absolute value of those that are finite; 0 where there are none."""
    return max((abs(x) for x in numbers if math.isfinite(x)), default=0.0)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")


def mix(ground: str, colour: str, strength: float) -> str:
    """ground with a share of colour, 0 to 1, both #rrggbb."""
    channels = [
        round(int(ground[i : i + 2], 16) * (1 - strength) + int(colour[i : i + 2], 16) * strength)
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def printable(label: str, longest: int = 40) -> str:
    """A label on one line, cut where it is too long; what does not print becomes a space."""
    text = "".join(c if c.isprintable() else " " for c in label)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def escape_html(text: str) -> str:
    """text for a Graphviz HTML label, where a single backslash would begin an escape."""
    return html.escape(text).replace("\\", "\\\\")


def counted(n: int, noun: str) -> str:
    """ "1 node", "12,345 nodes", "3 boxes"."""
    ending = "" if n == 1 else "es" if noun.endswith(("s", "x")) else "s"
    return f"{n:,} {noun}{ending}"
