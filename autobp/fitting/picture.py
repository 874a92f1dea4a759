"""A fit as a picture: the data, the model with its band, and the residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autobp.plots.figures import BLUE, GREY, VERMILLION, figure_of, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autobp.fitting.result import ModelFit


def picture(fit: ModelFit, level: float) -> Figure:
    """Data and curve above, residuals below; against the fitted values where a row has several numbers."""
    data = fit.objective.data
    x, y = data.arguments[0], data.y
    on_a_line = len(data.arguments) == 1 and x.size == len(x) and not fit.layout.groups
    value = fit.predict(data.arguments, fit_groups(fit)).value.reshape(y.shape)
    with style():
        figure = figure_of(6.4, 5.2)
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
        across = x.reshape(-1) if on_a_line else None
        for k in range(y.shape[1]):
            at = across if across is not None else value[:, k]
            above.plot(at, y[:, k], linestyle="none", marker="o", markersize=4, color=BLUE, alpha=0.7)
            below.plot(
                at, y[:, k] - value[:, k], linestyle="none", marker="o", markersize=4, color=BLUE, alpha=0.7
            )
        if across is not None:
            grid = np.linspace(across.min(), across.max(), 200)
            curve = fit.predict(grid.reshape(200, *x.shape[1:])).value.reshape(200, -1)
            low, high = (end.reshape(200, -1) for end in fit.band(grid.reshape(200, *x.shape[1:]), level))
            for k in range(y.shape[1]):
                above.plot(grid, curve[:, k], color=VERMILLION)
                if np.isfinite(low[:, k]).all():
                    above.fill_between(grid, low[:, k], high[:, k], color=VERMILLION, alpha=0.2, linewidth=0)
            below.set_xlabel("x")
            above.set_ylabel("y")
        else:
            ends = [min(value.min(), y.min()), max(value.max(), y.max())]
            above.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
            below.set_xlabel("fitted")
            above.set_ylabel("measured")
        below.axhline(0.0, color=GREY, linewidth=1)
        below.set_ylabel("residual")
        above.set_title(f"{fit.kind}{'' if fit.converged else ', not converged'}: band of {100 * level:g} %")
    return figure


def fit_groups(fit: ModelFit) -> list[object] | None:
    """The label of each row's group; None where there are no groups."""
    index = fit.objective.data.groups
    return None if index is None else [fit.layout.groups[int(i)] for i in index]
