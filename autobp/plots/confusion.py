"""The confusion matrix: how often each class was taken for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp.nn import MLP
from autobp.plots.answers import class_names, outputs_of, true_classes
from autobp.plots.figures import BLUE, EMPTY, INK, VERMILLION, figure_of, mixed, style
from autobp.training import classes_of, threshold_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


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
    outputs = outputs_of(net, inputs)
    truth = true_classes(Y, len(inputs), outputs.shape[1], threshold)
    answer = classes_of(outputs, threshold)
    k = max(2, outputs.shape[1])
    labels = class_names(classes, k)
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

    with style():
        cell = 0.62 if k > 5 else 0.85
        figure = figure_of(cell * (k + 1) + 1.5, cell * (k + 1) + 1.0)
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
        _name_classes(axes, labels, crowded=max(map(len, labels)) > 13 * cell)
        right_ones = int(np.trace(counts))
        figure.suptitle(
            f"{right_ones:,} of {len(inputs):,} right ({100 * right_ones / len(inputs):.1f} %)", fontsize=11
        )
    return figure


def _name_classes(axes: Axes, labels: Sequence[str], crowded: bool) -> None:
    """Classes and margins along both axes; columns are named on top, upright where there is little room."""
    k = len(labels)
    axes.set_xlim(-0.5, k + 0.5)
    axes.set_ylim(k + 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks(range(k + 1), [*labels, "recall"], rotation=90 if crowded else 0)
    axes.set_yticks(range(k + 1), [*labels, "precision"])
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("the network's answer", labelpad=7)
    axes.set_ylabel("the class")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_cell(axes: Axes, i: int, j: int, count: int, of_class: int) -> None:
    """The square of row i, column j, and its count."""
    from matplotlib.patches import Rectangle

    part = count / of_class if of_class else 0.0
    strength = 0.0 if not count else 0.12 + 0.88 * (part if i == j else min(1.0, 4 * part))
    colour = mixed(BLUE if i == j else VERMILLION, strength) if count else EMPTY
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
