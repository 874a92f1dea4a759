"""Over the epochs: the learning curve, and the norms of the gradient in each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autobp.plots.figures import BLUE, INK, MARKERS, VERMILLION, figure_of, style
from autobp.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


def learning_curve(history: History, *, gradients: bool = False, log: bool | None = None) -> Figure:
    """The cost after each epoch, on the training set and, where there is one, on the validation set.

    The lowest validation cost is marked: from there on the network fits what the validation set does not
    share. The training cost is the mean over the epoch, the L2 penalty included; the validation cost is taken
    after the epoch and has no penalty.

    Args:
        history: what :func:`autobp.fit` returned, of at least one epoch.
        gradients: whether to add a second panel, that of :func:`gradient_norms`.
        log: whether the cost axis is logarithmic; left out, it is where the costs, all above 0, span a factor
            of 50 or more.

    Raises:
        ValueError: the history has no epoch, or log=True and a cost is not above 0.
        ImportError: matplotlib is not installed.
    """
    _require_epochs(history)
    costs = [*history.cost, *history.validation_cost]
    if log is None:
        log = min(costs) > 0 and max(costs) >= 50 * min(costs)
    elif log and min(costs) <= 0:
        raise ValueError(f"a logarithmic axis shows costs above 0; the lowest is {min(costs):g}")
    with style():
        figure = figure_of(6.4, 5.6 if gradients else 3.6)
        panels = figure.subplots(2, 1, sharex=True, squeeze=False)[:, 0] if gradients else [figure.subplots()]
        axes = panels[0]
        training, validation = history.cost, history.validation_cost
        _line(axes, training, label="training", color=BLUE, linestyle="-", marker="o")
        if validation:
            _line(axes, validation, label="validation", color=VERMILLION, linestyle="--", marker="^")
            lowest = int(np.argmin(validation))
            axes.plot(
                [lowest + 1],
                [validation[lowest]],
                linestyle="none",
                marker="o",
                markersize=9,
                markerfacecolor="none",
                markeredgecolor=INK,
                markeredgewidth=1.2,
                clip_on=False,
                label=f"lowest validation: {validation[lowest]:.4g} in epoch {lowest + 1}",
            )
        axes.set_ylabel("cost")
        if log:
            axes.set_yscale("log")
            _plain_decades(axes)
        elif min(costs) >= 0:
            axes.set_ylim(bottom=0)
        _over_epochs(axes, len(training))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)  # where no line can be behind it
        if gradients:
            axes.set_xlabel("")
            _draw_gradient_norms(panels[1], history)
    return figure


def gradient_norms(history: History) -> Figure:
    """The Euclidean norm of the cost's gradient by each layer's parameters, over the epochs, on a log axis.

    Norms that shrink by a constant factor from layer to layer, towards the input, are the vanishing gradient.
    An epoch whose norm is exactly 0 has no place on the axis; the legend counts these.

    Args:
        history: what :func:`autobp.fit` returned, of at least one epoch.

    Raises:
        ValueError: the history has no epoch.
        ImportError: matplotlib is not installed.
    """
    _require_epochs(history)
    with style():
        figure = figure_of(6.4, 3.6)
        _draw_gradient_norms(figure.subplots(), history)
    return figure


def _draw_gradient_norms(axes: Axes, history: History) -> None:
    import matplotlib

    if len(history.layer_gradient_norm) != len(history.cost):
        raise ValueError("the history has not each layer's norm for each epoch")
    norms = np.array(history.layer_gradient_norm)
    depth = norms.shape[1]
    shades = matplotlib.colormaps["cividis"](np.linspace(0.0, 0.75, depth))  # layers are in an order
    for layer in range(depth):
        zeros = int((norms[:, layer] == 0).sum())
        label = f"layer {layer + 1}" + (f" (0 in {zeros} of {len(norms)} epochs)" if zeros else "")
        style = ("-", "--", "-.", ":")[layer % 4]
        seen = np.where(norms[:, layer] > 0, norms[:, layer], np.nan)
        marker = MARKERS[layer % len(MARKERS)]
        _line(axes, seen, label=label, color=shades[layer], linestyle=style, marker=marker)
    axes.set_yscale("log")
    _plain_decades(axes)
    axes.set_ylabel("norm of the gradient")
    _over_epochs(axes, len(norms))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _line(axes: Axes, values: Sequence[float] | Array, **style: Any) -> None:
    """values[i] at epoch i + 1, with about a dozen markers so that lines differ in print."""
    every = max(1, math.ceil(len(values) / 12))
    epochs = range(1, len(values) + 1)
    axes.plot(epochs, values, linewidth=1.6, markersize=4.5, markevery=every, clip_on=False, **style)


def _plain_decades(axes: Axes) -> None:
    """Numbers such as 0.02 along a logarithmic axis; fewer where it spans many decades."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 3.0, 5.0, 7.0) if high < 20 * low else (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _over_epochs(axes: Axes, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlim(0, max(epochs, 2))
    axes.grid(axis="y")


def _require_epochs(history: History) -> None:
    if not history.cost:
        raise ValueError("the history has no epoch: nothing was trained, or Ctrl-C came in the first one")
