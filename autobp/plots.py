"""Pictures of a training: learning curve, gradient norms, decision boundary, confusion matrix.

Each function returns a matplotlib Figure: ``figure.savefig("curve.svg")`` writes it in the format of the
file's ending, and a notebook shows it. The figures belong to no pyplot session, so that nothing has to be
closed and no display is needed. Colours are those of Okabe and Ito, which colour-blind readers can tell
apart; line styles and markers say the same once more for print.

matplotlib comes with the extra ``examples``; importing this module does not need it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import matrix
from autobp.nn import MLP
from autobp.training import History, classes_of, predict, threshold_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

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


# -- over the epochs --------------------------------------------------------------------------------------


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
    with _style():
        figure = _figure(6.4, 5.6 if gradients else 3.6)
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
    with _style():
        figure = _figure(6.4, 3.6)
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


# -- two inputs -------------------------------------------------------------------------------------------


class Snapshots:
    """The network as it was before training and after the epochs, for :func:`decision_boundary`.

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
    truth = _true_classes(Y, len(inputs), model.sizes[-1], threshold)
    k = max(2, model.sizes[-1])
    labels = _class_names(classes, k)

    low, high = inputs.min(axis=0), inputs.max(axis=0)
    margin = np.where(high > low, 0.12 * (high - low), 1.0)
    (left, bottom), (right, top) = low - margin, high + margin
    x1, x2 = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    plane = np.stack([axis.ravel() for axis in np.meshgrid(x1, x2)], axis=1)

    if isinstance(net, Snapshots):
        chosen = _spread_out(net.epochs, panels)
        networks = [net.network(i) for i in chosen]
        titles = [_snapshot_title(net.epochs[i], net.costs[i]) for i in chosen]
    else:
        networks, titles = [net], [""]
    outputs = [_outputs(network, plane).reshape(resolution, resolution, -1) for network in networks]

    columns = min(3, len(networks))
    rows = -(-len(networks) // columns)
    with _style():
        figure = _figure(5.4, 4.2) if len(networks) == 1 else _figure(2.5 * columns + 1.2, 2.5 * rows + 0.3)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        reach = _reach([output[..., 0] for output in outputs], threshold)
        small = len(networks) > 1
        for axes, output, title in zip(grid, outputs, titles, strict=False):
            background = _draw_regions(axes, output, x1, x2, threshold, reach)
            for number, label in enumerate(labels):
                of_class = inputs[truth == number]
                axes.scatter(
                    of_class[:, 0],
                    of_class[:, 1],
                    s=14 if small else 34,
                    marker=MARKERS[number % len(MARKERS)],
                    color=COLOURS[number % len(COLOURS)],
                    edgecolors="white",
                    linewidths=0.6,
                    label=label,
                )
            axes.set_title(title)
            axes.set_xlim(left, right)
            axes.set_ylim(bottom, top)
            for spine in axes.spines.values():
                spine.set_visible(False)
        for axes in grid[len(networks) :]:
            axes.set_visible(False)
        for axes in grid[-columns:] if rows == 1 else grid[len(networks) - columns : len(networks)]:
            axes.set_xlabel(names[0])
            axes.xaxis.set_tick_params(labelbottom=True)
        for axes in grid[::columns]:
            axes.set_ylabel(names[1])
        if background is not None:
            bar = figure.colorbar(background, ax=grid.tolist(), shrink=0.8, label="output", extend="neither")
            bar.outline.set_visible(False)
            bar.ax.axhline(threshold, color=INK, linewidth=1.2)
        handles, texts = grid[0].get_legend_handles_labels()
        figure.legend(
            handles, texts, title="class", loc="outside upper center", ncols=min(k, 5), handletextpad=0.2
        )
    return figure


def _draw_regions(
    axes: Axes, output: Array, x1: Array, x2: Array, threshold: float, reach: float
) -> Any:
    """Colour the plane by the network's outputs, (rows, columns, K); the image if its colour is a scale."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    extent = (float(x1[0]), float(x1[-1]), float(x2[0]), float(x2[-1]))
    if output.shape[-1] == 1:
        pale = [_mixed(BLUE, 0.6), "#ffffff", _mixed(VERMILLION, 0.4)]  # darker and lighter in print
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
    palette = np.array([to_rgb(_mixed(COLOURS[k % len(COLOURS)], 0.35)) for k in range(output.shape[-1])])
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


def _spread_out(epochs: Sequence[int], panels: int) -> list[int]:
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


# -- classes ----------------------------------------------------------------------------------------------


def confusion_matrix(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    classes: Sequence[str] = (),
    images: ArrayLike | None = None,
    threshold: float | None = None,
) -> Figure:
    """How often each class (row) was taken for each class (column).

    The diagonal counts right answers and is blue, the rest wrong ones and is orange, both the darker the
    larger a part of the row they are. The right margin has each class's recall, right ones of those that are
    of it; the lower margin its precision, right ones of those taken for it.

    Args:
        net: the network.
        X, Y: the samples, (m, n) and (m, K), or (m,) for class numbers.
        classes: their names; left out, their numbers.
        images: each sample as an image, (m, height, width), dark for large numbers. Each wrong cell then
            shows one of its samples: the one whose wrong output exceeds the right one by most.
        threshold: as for :func:`autobp.accuracy`, where there is one output.

    Raises:
        ValueError: shapes do not fit, or a class number has no output.
        ImportError: matplotlib is not installed.
    """
    threshold = threshold_of(net, threshold)
    inputs = np.asarray(X, dtype=np.float64)
    outputs = _outputs(net, inputs)
    truth = _true_classes(Y, len(inputs), outputs.shape[1], threshold)
    answer = classes_of(outputs, threshold)
    k = max(2, outputs.shape[1])
    labels = _class_names(classes, k)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (truth, answer), 1)
    pictures = None if images is None else np.asarray(images, dtype=np.float64)
    if pictures is not None and (pictures.ndim != 3 or len(pictures) != len(inputs)):
        raise ValueError(f"images must have the shape ({len(inputs)}, height, width); got {pictures.shape}")
    if outputs.shape[1] == 1:
        wrongness = np.abs(outputs[:, 0] - threshold)
    else:
        rows = np.arange(len(inputs))
        wrongness = outputs[rows, answer] - outputs[rows, truth]

    with _style():
        cell = 0.62 if k > 5 else 0.85
        figure = _figure(cell * (k + 1) + 1.5, cell * (k + 1) + 1.0)
        axes = figure.subplots()
        of_class, taken_for = counts.sum(axis=1), counts.sum(axis=0)
        for i in range(k):
            for j in range(k):
                _draw_cell(axes, i, j, int(counts[i, j]), int(of_class[i]))
                if pictures is not None and i != j and counts[i, j]:
                    confused = np.flatnonzero((truth == i) & (answer == j))
                    shown = pictures[confused[np.argmax(wrongness[confused])]]
                    _draw_sample(axes, i, j, shown, float(pictures.min()), float(pictures.max()))
            for x, y, right, all_ in ((k, i, counts[i, i], of_class[i]), (i, k, counts[i, i], taken_for[i])):
                text = f"{100 * right / all_:.0f} %" if all_ else "–"
                axes.text(x, y, text, ha="center", va="center", fontsize=9, color=INK)
        axes.set_xlim(-0.5, k + 0.5)
        axes.set_ylim(k + 0.5, -0.5)
        axes.set_aspect("equal")
        crowded = max(map(len, labels)) > 13 * cell
        axes.set_xticks(range(k + 1), [*labels, "recall"], rotation=90 if crowded else 0)
        axes.set_yticks(range(k + 1), [*labels, "precision"])
        axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("the network's answer", labelpad=7)
        axes.set_ylabel("the class")
        for spine in axes.spines.values():
            spine.set_visible(False)
        right_ones = int(np.trace(counts))
        figure.suptitle(
            f"{right_ones:,} of {len(inputs):,} right ({100 * right_ones / len(inputs):.1f} %)", fontsize=11
        )
    return figure


def _draw_cell(axes: Axes, i: int, j: int, count: int, of_class: int) -> None:
    """The square of row i, column j, and its count."""
    from matplotlib.patches import Rectangle

    part = count / of_class if of_class else 0.0
    strength = 0.0 if not count else 0.12 + 0.88 * (part if i == j else min(1.0, 4 * part))
    colour = _mixed(BLUE if i == j else VERMILLION, strength) if count else EMPTY
    axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5))
    if count or i == j:
        ink = "white" if strength > 0.55 else INK
        axes.text(j, i, f"{count:,}", ha="center", va="center", fontsize=10, color=ink, zorder=4)


def _draw_sample(axes: Axes, i: int, j: int, image: Array, low: float, high: float) -> None:
    """The image inside its cell, with the count moved to the corner."""
    height, width = (0.7 * side / max(image.shape) for side in image.shape)
    axes.texts[-1].set(position=(j + 0.42, i - 0.42), ha="right", va="top", fontsize=8, fontweight="bold")
    axes.imshow(
        image,
        extent=(j - 0.45, j - 0.45 + width, i + 0.45, i + 0.45 - height),
        cmap="gray_r",
        vmin=low,
        vmax=high,
        interpolation="nearest",
        zorder=3,
        aspect="auto",
    )


# -- shared -----------------------------------------------------------------------------------------------


def _outputs(net: MLP, X: Array) -> Array:
    """The outputs, (m, K), by matrices where the activations are named ones: a grid has many points."""
    if all(isinstance(activation, str) for activation in net.activations):
        return matrix.forward(net.W, net.b, X, [str(a) for a in net.activations]).a[-1]
    return predict(net, X)


def _true_classes(Y: ArrayLike, m: int, n_outputs: int, threshold: float) -> NDArray[np.int64]:
    targets = np.asarray(Y, dtype=np.float64)
    if targets.ndim not in (1, 2) or len(targets) != m:
        raise ValueError(f"Y must have a row for each of the {m} samples; got {targets.shape}")
    if n_outputs == 1:
        targets = targets.reshape(m, -1)
    if targets.ndim == 2 and targets.shape[1] != n_outputs:
        raise ValueError(f"Y has {targets.shape[1]} columns, but the network has {n_outputs} outputs")
    classes = classes_of(targets, threshold)
    wrong = (classes != np.round(classes)) | (classes < 0) | (classes >= max(2, n_outputs))
    if wrong.any():
        raise ValueError(
            f"Y[{int(np.argmax(wrong))}] is {classes[wrong][0]:g}; class numbers are 0 to {n_outputs - 1}"
        )
    return classes.astype(np.int64)


def _class_names(classes: Sequence[str], k: int) -> list[str]:
    if classes and len(classes) != k:
        raise ValueError(f"{k} classes need as many names; got {len(classes)}")
    return [str(name) for name in classes] or [f"{number}" for number in range(k)]


def _mixed(colour: str, part: float) -> str:
    """So much of the colour, the rest white."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (1 - part * (1 - c) for c in to_rgb(colour))
    return str(to_hex((red, green, blue)))


def _style() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            'pictures of a training need matplotlib; install it with: pip install "autobp[examples]"'
        ) from error
    return matplotlib.rc_context(_STYLE)


def _figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    vars(figure)["_repr_png_"] = partial(_png, figure)  # what notebooks look for
    return figure


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
