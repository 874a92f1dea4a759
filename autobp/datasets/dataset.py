"""Samples: a table of them as read or made, and a data set, split and scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs
from autobp.about import About
from autobp.showing import paragraphs, scatter, table, thumbnails

Array = NDArray[np.float64]

#: So much of a data set a notebook shows.
_MOST_IMAGES, _MOST_POINTS, _MOST_ROWS, _MOST_COLUMNS = 10, 500, 5, 8
#: So many stay in a processor's cache.
_NUMBERS = 1 << 17


@dataclass(frozen=True)
class Dataset:
    """Samples to train on and samples held out.

    Attributes:
        name: the data set's name, or the file's.
        X: the inputs to train on, (m, n), scaled as ``offset`` and ``scale`` say.
        Y: their targets, (m, K): one-hot for three classes or more; 0 or 1, K = 1, for two; else numbers.
        X_test, Y_test: the samples held out, likewise; no rows where none are.
        names: of the n inputs.
        classes: the classes' names in the order of Y's columns, or of 0 and 1; empty for numbers.
        target: what Y is, the name of its column, or the names with commas.
        offset, scale: (n,) each: X is (inputs as given - offset) / scale.
        target_offset, target_scale: the same for Y, (K,) each for several targets; 0 and 1 for classes.
        image_shape: (height, width) where each input is an image, row by row, else None.
        test_size, seed: the part of the samples that was to be held out, and the seed of the split.
    """

    name: str
    X: Array
    Y: Array
    X_test: Array
    Y_test: Array
    names: tuple[str, ...]
    classes: tuple[str, ...]
    target: str
    offset: Array
    scale: Array
    target_offset: float | Array = 0.0
    target_scale: float | Array = 1.0
    image_shape: tuple[int, int] | None = None
    test_size: float = 0.0
    seed: int = 0

    @property
    def task(self) -> str:
        """"classification" or "regression"."""
        return "classification" if self.classes else "regression"

    @property
    def cost(self) -> str:
        """The name of the cost that suits the targets, for a network whose output layer is linear."""
        if not self.classes:
            return costs.quadratic.name
        two = len(self.classes) == 2
        return (costs.binary_cross_entropy_with_logits if two else costs.softmax_cross_entropy).name

    def about(self, cost: str | None = None) -> About:
        """What a network trained on these samples should know of them: ``net.about = data.about()``.

        The cost is the one that suits the targets, or the one that is named.
        """
        return About(
            self.name, cost or self.cost, self.names, self.classes, self.target,
            tuple(self.offset.tolist()), tuple(self.scale.tolist()),
            _number_or_tuple(self.target_offset), _number_or_tuple(self.target_scale),
            self.test_size, self.seed,
        )  # fmt: skip

    def images(self, X: ArrayLike) -> Array:
        """Inputs, (m, n), as images, (m, height, width). ValueError where the inputs are no images."""
        if self.image_shape is None:
            raise ValueError(f"the inputs of {self.name} are not images")
        inputs = np.asarray(X, dtype=np.float64)
        return inputs.reshape(len(inputs), *self.image_shape)

    def _repr_html_(self) -> str:
        return self._picture() + paragraphs([str(self)])

    def _picture(self) -> str:
        """The first samples: as images, in the plane, or as rows."""
        if self.image_shape is not None:
            return thumbnails(self.images(self.X[:_MOST_IMAGES]))
        if self.X.shape[1] == 2 and self.classes:
            numbers = self.Y[:, 0] > 0.5 if self.Y.shape[1] == 1 else self.Y.argmax(axis=1)
            shown = slice(_MOST_POINTS)
            return scatter(self.X[shown], [int(number) for number in numbers[shown]])
        head = list(self.names[:_MOST_COLUMNS]) + ["…"] * (len(self.names) > _MOST_COLUMNS) + [self.target]
        rows = []
        for x, y in zip(self.X[:_MOST_ROWS].tolist(), self.Y[:_MOST_ROWS].tolist(), strict=True):
            cells = [f"{number:.4g}" for number in x[:_MOST_COLUMNS]] + ["…"] * (len(x) > _MOST_COLUMNS)
            rows.append([*cells, self._answer(y)])
        return table(head, rows)

    def _answer(self, y: list[float]) -> str:
        """One sample's target in words."""
        if not self.classes:
            return ", ".join(f"{number:.4g}" for number in y)
        return self.classes[int(y[0] > 0.5) if len(y) == 1 else y.index(max(y))]

    def __str__(self) -> str:
        what = f"classes {', '.join(self.classes)}" if self.classes else f"numbers, {self.target}"
        return (
            f"{self.name}: {len(self.X)} samples to train on and {len(self.X_test)} held out, "
            f"{self.X.shape[1]} inputs, {what}"
        )


@dataclass
class Table:
    """Samples before the split. ``labels`` are class numbers if there are classes, (m,), else quantities,
    (m,) or (m, K). An input is NaN where it is missing, and the mean is to stand for it.
    """

    name: str
    X: Array
    labels: Array
    names: tuple[str, ...]
    classes: tuple[str, ...]
    target: str = "class"
    scale: float | None = None  # what to divide the inputs by; None: as their spread asks
    image_shape: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()  # what a user should know


def dataset_of(table: Table, test_size: float, scaled: bool, rng: np.random.Generator) -> Dataset:
    """The table split, the part test_size held out, and its quantities scaled, where that is asked for."""
    train, test = _split(table.labels if table.classes else None, len(table.X), test_size, rng)
    X = _filled(table, train)
    parts, offset, scale = (X[train], X[test]), np.zeros(len(table.names)), np.ones(len(table.names))
    if table.scale is not None:
        scale *= table.scale
        parts = (parts[0] / scale, parts[1] / scale)
    elif scaled:
        offset, scale = _standardise(table.name, table.names, *parts)
    target_offset, target_scale = np.zeros(1), np.ones(1)
    if len(table.classes) > 2:
        Y = np.eye(len(table.classes))[table.labels.astype(int)]
    else:
        Y = table.labels.reshape(len(table.X), -1)
        target_offset, target_scale = np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    targets = (Y[train], Y[test])
    if not table.classes and scaled:
        target_offset, target_scale = _standardise(table.name, [table.target] * Y.shape[1], *targets)
    return Dataset(
        table.name,
        parts[0],
        targets[0],
        parts[1],
        targets[1],
        table.names,
        table.classes,
        table.target,
        offset,
        scale,
        _one_or_several(target_offset),
        _one_or_several(target_scale),
        table.image_shape,
    )


def _filled(table: Table, train: NDArray[np.int64]) -> Array:
    """The inputs with the mean over the samples to train on where one is missing."""
    gaps = np.isnan(table.X)
    if not gaps.any():
        return table.X
    known = ~gaps[train]
    counts = known.sum(axis=0)
    if not counts.all():
        column = table.names[int(np.argmin(counts))]
        raise ValueError(f"{table.name}: {column} is missing in every sample to train on; leave it out")
    means = np.where(known, table.X[train], 0.0).sum(axis=0) / counts
    return np.where(gaps, means, table.X)


def _number_or_tuple(numbers: float | Array) -> float | tuple[float, ...]:
    return numbers if isinstance(numbers, float) else tuple(numbers.tolist())


def _one_or_several(numbers: Array) -> float | Array:
    return float(numbers[0]) if len(numbers) == 1 else numbers


def _standardise(name: str, columns: Sequence[str], train: Array, test: Array) -> tuple[Array, Array]:
    """The offset and the scale: mean and standard deviation over the rows to train on.

    ``train`` and ``test`` become (… - offset) / scale in place, since copies of a large set cost more time
    than the arithmetic. The scale is 1 where a column is constant up to rounding.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.maximum(train.max(axis=0), -train.min(axis=0))
        offset = train.mean(axis=0)
        deviation = _centre(train, offset)
        scale = np.where(deviation > 1e-12 * largest, deviation, 1.0)
        train /= scale
        test -= offset
        test /= scale
    fine = np.isfinite(offset) & np.isfinite(scale)
    for part in (train, test):
        fine &= np.isfinite(part).all(axis=0)
    if not fine.all():
        column = columns[int(np.argmin(fine))]
        raise ValueError(f"{name}: the numbers of {column} are too large to scale; divide them first")
    return offset, scale


def _centre(X: Array, offset: Array) -> Array:
    """The root of the mean square of each column of X - offset, which X becomes in place.

    Some rows at a time, since all squares at once would be as large as X.
    """
    total = np.empty((0, X.shape[1]))
    some = max(1, _NUMBERS // X.shape[1])
    for start in range(0, len(X), some):
        rows = X[start : start + some]
        rows -= offset
        total = np.concatenate([total, rows * rows]).sum(axis=0, keepdims=True)
    return np.asarray(np.sqrt(total[0] / len(X)))


def _split(
    classes: Array | None, m: int, test_size: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and those held out, each in a shuffled order, class by class in proportion.

    Written here, since a CSV file must not need scikit-learn.
    """
    order = rng.permutation(m)
    of_class = np.zeros(m) if classes is None else classes
    held_out = np.zeros(m, dtype=bool)
    for label in np.unique(of_class):
        rows = order[of_class[order] == label]
        held_out[rows[: min(round(test_size * len(rows)), len(rows) - 1)]] = True
    return order[~held_out[order]], order[held_out[order]]
