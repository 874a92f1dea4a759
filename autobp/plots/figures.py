"""What all pictures share: colours, style, and an empty figure."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILLION = "#0072B2", "#D55E00"
#: Okabe and Ito's colours, the two of most contrast first; markers to tell classes apart without colour.
COLOURS = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
INK, GREY, GRID, EMPTY = "#222222", "#767676", "#dddddd", "#f3f3f3"

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


def mixed(colour: str, part: float) -> str:
    """So much of the colour, the rest white."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (1 - part * (1 - c) for c in to_rgb(colour))
    return str(to_hex((red, green, blue)))


def style() -> Any:
    """The context in which figures have their style; ImportError where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            'pictures of a training need matplotlib; install it with: pip install "autobp[examples]"'
        ) from error
    return matplotlib.rc_context(_STYLE)


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    vars(figure)["_repr_png_"] = partial(_png, figure)  # what notebooks look for
    return figure


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
