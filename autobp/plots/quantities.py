"""Quantities: what the network predicts against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.arguments import numbers
from autobp.nn import MLP
from autobp.plots.answers import outputs_of
from autobp.plots.figures import BLUE, GREY, figure_of, style
from autobp.training import by_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = NDArray[np.float64]


def predicted_against_measured(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    offset: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    target: str | Sequence[str] = "",
) -> Figure:
    """A point for each sample, the nearer to the diagonal the better predicted; R² and RMSE above.

    Args:
        net: the network; each of its K outputs has a panel.
        X, Y: the samples, (m, n) and (m, K), or (m,) for one output.
        offset, scale: the quantity is Y · scale + offset in its own units, those of the axes and the RMSE;
            one number, or K.
        target: the quantity's name, or K names.

    Raises:
        ValueError: shapes do not fit, or the targets of an output are all equal.
        ImportError: matplotlib is not installed.
    """
    k = net.sizes[-1]
    names = [target] * k if isinstance(target, str) else list(target)
    offsets, scales = np.broadcast_to(offset, k), np.broadcast_to(scale, k)
    if len(names) != k:
        raise ValueError(f"{k} outputs need as many names; got {len(names)}")
    inputs, targets = numbers("X", X), numbers("Y", Y)
    explained, errors = by_output(net, inputs, targets)
    if np.isnan(explained).any():
        raise ValueError(f"R² needs targets that vary; got {len(targets)} equal ones")
    measured = targets.reshape(-1, k) * scales + offsets
    predicted = outputs_of(net, inputs) * scales + offsets
    with style():
        figure = figure_of(4.8 * k, 4.8 if k == 1 else 5.2)  # room for titles: panels side by side fill it
        panels = figure.subplots(1, k, squeeze=False)[0]
        for i, (axes, name) in enumerate(zip(panels, names, strict=True)):
            _points(axes, measured[:, i], predicted[:, i], name)
            told = f"R² {explained[i]:.3f}, RMSE {errors[i] * scales[i]:.4g}"
            axes.set_title(f"{len(targets):,} samples: {told}")
    return figure


def _points(axes: Axes, measured: Array, predicted: Array, name: str) -> None:
    """One quantity's points and the diagonal."""
    ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
    ends += 0.04 * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    axes.plot(measured, predicted, linestyle="none", marker="o", markersize=5, color=BLUE, alpha=0.6,
              markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{name or 'quantity'}, measured")
    axes.set_ylabel("predicted by the network")
