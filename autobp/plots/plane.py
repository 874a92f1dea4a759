"""The decision boundary of a network with two inputs, and the snapshots to show it epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.nn import MLP
from autobp.plots.answers import class_names, outputs_of, true_classes
from autobp.plots.figures import BLUE, COLOURS, INK, MARKERS, VERMILLION, figure_of, mixed, style
from autobp.training import History, threshold_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


class Snapshots:
    """The network as it was before training and after the epochs, for :func:`decision_boundary`.

    Examples:
        >>> import autobp
        >>> data = autobp.datasets.load("xor")
        >>> net = MLP(2, [3, 1], ["tanh", "sigmoid"], seed=0)
        >>> frames = Snapshots(net)
        >>> history = autobp.fit(net, data.X, data.Y, epochs=4, progress=False, on_epoch=frames)
        >>> frames.epochs
        [0, 1, 2, 3, 4]

    Args:
        net: the network that will be trained.
        every: keep the state after each so many epochs, at least 1.
    """

    def __init__(self, net: MLP, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every is a number of epochs, at least 1; got {every}")
        self.net = net
        self.every = every
        self.epochs: list[int] = []
        self.costs: list[float | None] = []
        self._parameters: list[tuple[tuple[Array, ...], tuple[Array, ...] | None]] = []
        self._keep(0, None)

    def __call__(self, epoch: int, history: History) -> None:
        """Keep the state after this epoch; this is what fit calls."""
        if epoch % self.every == 0:
            self._keep(epoch, history.cost[-1])

    def __len__(self) -> int:
        return len(self.epochs)

    def network(self, i: int) -> MLP:
        """The network of snapshot i, as a new one."""
        W, b = self._parameters[i]
        sizes = self.net.sizes
        return MLP(
            sizes[0], sizes[1:], self.net.activations, bias=b is not None, init="zeros", weights=W, biases=b
        )

    def _keep(self, epoch: int, cost: float | None) -> None:
        self.epochs.append(epoch)
        self.costs.append(cost)
        self._parameters.append((self.net.W, self.net.b))


def decision_boundary(
    net: MLP | Snapshots,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    threshold: float | None = None,
    classes: Sequence[str] = (),
    names: Sequence[str] = ("x1", "x2"),
    panels: int = 6,
    resolution: int = 120,
) -> Figure:
    """What a network of two inputs answers everywhere in the plane, with the samples on top.

    With one output the colour is the output and the line is where it equals the threshold; with several, the
    colour is the class of the largest and the lines are where two are equal.

    Args:
        net: the network, or :class:`Snapshots` of it for one panel an epoch: the first and last snapshot, and
            between them epochs like the square numbers, since more happens early.
        X, Y: the samples to draw, (m, 2) and (m, K), or (m,) for class numbers.
        threshold: as for :func:`autobp.accuracy`: 0 for a logit or targets ±1; 0.5, which is taken where it
            is left out, after a sigmoid.
        classes: their names; left out, their numbers.
        names: of the two inputs.
        panels: how many snapshots to show at most, at least 2.
        resolution: points of the grid along each axis, at least 2.

    Raises:
        ValueError: the network has not two inputs, shapes do not fit, or a class number has no output.
        ImportError: matplotlib is not installed.
    """
    model = net.net if isinstance(net, Snapshots) else net
    if model.sizes[0] != 2:
        raise ValueError(f"a decision boundary is drawn over two inputs; the network has {model.sizes[0]}")
    if resolution < 2 or panels < 2:
        raise ValueError(f"resolution and panels must be at least 2; got {resolution} and {panels}")
    inputs = np.asarray(X, dtype=np.float64)
    if inputs.ndim != 2 or inputs.shape[1] != 2 or not len(inputs):
        raise ValueError(f"X must have the shape (m, 2), a sample in each row; got {inputs.shape}")
    threshold = threshold_of(model, threshold)
    truth = true_classes(Y, len(inputs), model.sizes[-1], threshold)
    k = max(2, model.sizes[-1])
    labels = class_names(classes, k)

    x1, x2 = _around(inputs, resolution)
    plane = np.stack([axis.ravel() for axis in np.meshgrid(x1, x2)], axis=1)
    if isinstance(net, Snapshots):
        chosen = spread_out(net.epochs, panels)
        networks = [net.network(i) for i in chosen]
        titles = [_snapshot_title(net.epochs[i], net.costs[i]) for i in chosen]
    else:
        networks, titles = [net], [""]
    outputs = [outputs_of(network, plane).reshape(resolution, resolution, -1) for network in networks]

    columns = min(3, len(networks))
    rows = -(-len(networks) // columns)
    with style():
        size = (5.4, 4.2) if len(networks) == 1 else (2.5 * columns + 1.2, 2.5 * rows + 0.3)
        figure = figure_of(*size)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        reach = _reach([output[..., 0] for output in outputs], threshold)
        small = len(networks) > 1
        for axes, output, title in zip(grid, outputs, titles, strict=False):
            background = _draw_regions(axes, output, x1, x2, threshold, reach)
            _draw_samples(axes, inputs, truth, labels, 14 if small else 34)
            axes.set_title(title)
            axes.set_xlim(x1[0], x1[-1])
            axes.set_ylim(x2[0], x2[-1])
            for spine in axes.spines.values():
                spine.set_visible(False)
        _name_axes(grid, len(networks), columns, names)
        if background is not None:
            bar = figure.colorbar(background, ax=grid.tolist(), shrink=0.8, label="output", extend="neither")
            bar.outline.set_visible(False)
            bar.ax.axhline(threshold, color=INK, linewidth=1.2)
        handles, texts = grid[0].get_legend_handles_labels()
        figure.legend(
            handles, texts, title="class", loc="outside upper center", ncols=min(k, 5), handletextpad=0.2
        )
    return figure


def _around(inputs: Array, resolution: int) -> tuple[Array, Array]:
    """So many points along each axis, somewhat beyond the samples."""
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    margin = np.where(high > low, 0.12 * (high - low), 1.0)
    (left, bottom), (right, top) = low - margin, high + margin
    return np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)


def _draw_samples(
    axes: Axes, inputs: Array, truth: NDArray[np.int64], labels: Sequence[str], size: float
) -> None:
    for number, label in enumerate(labels):
        of_class = inputs[truth == number]
        axes.scatter(
            of_class[:, 0],
            of_class[:, 1],
            s=size,
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            edgecolors="white",
            linewidths=0.6,
            label=label,
        )


def _name_axes(grid: Any, n: int, columns: int, names: Sequence[str]) -> None:
    """The inputs' names below and left of the first n panels; the others are hidden."""
    for axes in grid[n:]:
        axes.set_visible(False)
    for axes in grid[-columns:] if len(grid) == columns else grid[n - columns : n]:
        axes.set_xlabel(names[0])
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in grid[::columns]:
        axes.set_ylabel(names[1])


def _draw_regions(
    axes: Axes, output: Array, x1: Array, x2: Array, threshold: float, reach: float
) -> Any:
    """Colour the plane by the network's outputs, (rows, columns, K); the image if its colour is a scale."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    extent = (float(x1[0]), float(x1[-1]), float(x2[0]), float(x2[-1]))
    if output.shape[-1] == 1:
        pale = [mixed(BLUE, 0.6), "#ffffff", mixed(VERMILLION, 0.4)]  # darker and lighter in print
        image = axes.imshow(
            output[..., 0],
            origin="lower",
            extent=extent,
            aspect="auto",
            interpolation="bilinear",
            cmap=LinearSegmentedColormap.from_list("output", pale),
            vmin=threshold - reach,
            vmax=threshold + reach,
        )
        _draw_line(axes, x1, x2, output[..., 0] - threshold)
        return image
    winner = np.argmax(output, axis=-1)
    palette = np.array([to_rgb(mixed(COLOURS[k % len(COLOURS)], 0.35)) for k in range(output.shape[-1])])
    axes.imshow(palette[winner], origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    for k in range(output.shape[-1]):
        rivals = np.delete(output, k, axis=-1).max(axis=-1)
        _draw_line(axes, x1, x2, output[..., k] - rivals)
    return None


def _draw_line(axes: Axes, x1: Array, x2: Array, difference: Array) -> None:
    if difference.min() < 0 < difference.max():  # contour warns where there is no line
        axes.contour(x1, x2, difference, levels=[0.0], colors=[INK], linewidths=1.3)


def _reach(outputs: Sequence[Array], threshold: float) -> float:
    """How far from the threshold colours reach: all probabilities, or 9 in 10 points of the last picture."""
    lowest, highest = min(output.min() for output in outputs), max(output.max() for output in outputs)
    if lowest >= 0 and highest <= 1 and 0 < threshold < 1:
        return max(threshold, 1 - threshold)
    distance = np.abs(outputs[-1] - threshold)
    return float(np.quantile(distance, 0.9)) or 1.0


def spread_out(epochs: Sequence[int], panels: int) -> list[int]:
    """At most so many indices into epochs: the first, the last, and between them like the square numbers."""
    last = len(epochs) - 1
    if last < panels:
        return list(range(len(epochs)))
    chosen = [0]
    for i in range(1, panels):
        chosen.append(max(chosen[-1] + 1, round(last * (i / (panels - 1)) ** 2)))
    return chosen


def _snapshot_title(epoch: int, cost: float | None) -> str:
    return "before training" if cost is None else f"epoch {epoch}, cost {cost:.3g}"
