"""Quantities: what the network predicts against what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from autobp.arguments import numbers
from autobp.nn import MLP
from autobp.plots.answers import outputs_of
from autobp.plots.figures import BLUE, GREY, figure_of, style
from autobp.training import r_squared, rmse

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predicted_against_measured(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    offset: float = 0.0,
    scale: float = 1.0,
    target: str = "",
) -> Figure:
    """A point for each sample, the nearer to the diagonal the better predicted; R² and RMSE above.

    Args:
        net: the network, of one output.
        X, Y: the samples, (m, n) and (m, 1) or (m,).
        offset, scale: the quantity is Y · scale + offset in its own units, those of the axes and the RMSE.
        target: the quantity's name.

    Raises:
        ValueError: shapes do not fit, the network has several outputs, or the targets are all equal.
        ImportError: matplotlib is not installed.
    """
    if net.sizes[-1] != 1:
        raise ValueError(f"a quantity is one output; the network has {net.sizes[-1]}")
    inputs, targets = numbers("X", X), numbers("Y", Y).reshape(-1)
    explained, error = r_squared(net, inputs, targets), rmse(net, inputs, targets) * scale
    measured = targets * scale + offset
    predicted = outputs_of(net, inputs)[:, 0] * scale + offset
    with style():
        figure = figure_of(4.8, 4.8)
        axes = figure.subplots()
        ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
        ends += 0.04 * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
        axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
        axes.plot(measured, predicted, linestyle="none", marker="o", markersize=5, color=BLUE, alpha=0.6,
                  markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_aspect("equal")
        axes.set_xlabel(f"{target or 'quantity'}, measured")
        axes.set_ylabel("predicted by the network")
        axes.set_title(f"{len(targets):,} samples: R² {explained:.3f}, RMSE {error:.4g}")
    return figure
