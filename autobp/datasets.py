"""Data to learn from, by name or from a CSV file: split, scaled and with targets as the costs take them.

>>> data = load("digits")
>>> data.X.shape, data.Y.shape, data.X_test.shape
((1347, 64), (1347, 10), (450, 64))

The collected sets are those that scikit-learn carries; nothing is downloaded.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs
from autobp.arguments import closest

Array = NDArray[np.float64]

#: Whole numbers are taken for classes up to so many different ones, and for quantities beyond.
MOST_CLASSES = 20

TASKS = ("classification", "regression")

#: How a missing number is written, in small letters.
_MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")


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
        target: what Y is, the name of its column.
        offset, scale: (n,) each: X is (inputs as given - offset) / scale.
        target_offset, target_scale: the same for Y; 0 and 1 for classes.
        image_shape: (height, width) where each input is an image, row by row, else None.
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
    target_offset: float = 0.0
    target_scale: float = 1.0
    image_shape: tuple[int, int] | None = None

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

    def images(self, X: ArrayLike) -> Array:
        """Inputs, (m, n), as images, (m, height, width). ValueError where the inputs are no images."""
        if self.image_shape is None:
            raise ValueError(f"the inputs of {self.name} are not images")
        inputs = np.asarray(X, dtype=np.float64)
        return inputs.reshape(len(inputs), *self.image_shape)

    def __str__(self) -> str:
        what = f"classes {', '.join(self.classes)}" if self.classes else f"numbers, {self.target}"
        return (
            f"{self.name}: {len(self.X)} samples to train on and {len(self.X_test)} held out, "
            f"{self.X.shape[1]} inputs, {what}"
        )


def load(
    source: str | os.PathLike[str],
    *,
    test_size: float = 0.25,
    seed: int = 0,
    scaled: bool = True,
    samples: int | None = None,
    noise: float | None = None,
    target: str | int | None = None,
    drop: str | int | Sequence[str | int] = (),
    header: bool | None = None,
    task: str | None = None,
) -> Dataset:
    """A data set by name, or a CSV file.

    Args:
        source: a name in :func:`names`, in which spaces and hyphens count as underscores, or a path. A name
            comes first: write ``./digits`` for a file called like a data set.
        test_size: the part of the samples to hold out, from 0 to below 1; of each class as near to that part
            as its number of samples allows, at least one staying to train on.
        seed: for the split, and for the samples of made sets.
        scaled: whether to scale quantities to mean 0 and standard deviation 1 over the samples to train on
            (inputs, and targets that are numbers). The digits are always from 0 to 1; made sets stay as
            they are.
        samples: how many to make; made sets only (200 if left out).
        noise: how far to scatter them, a standard deviation; made sets only.
        target: the column to predict, by its name or by its number, which counts from 1, or from the end as
            -1, -2, …; files only. Left out, it is the last one that is not dropped.
        drop: the column or columns to leave out, likewise; files only.
        header: whether a file's first line holds the columns' names. Left out, it does if no cell of it is a
            number, and a first line that could be either is refused. Without names the columns are x1, x2, …
        task: "classification" or "regression"; files only. Left out, text is classes, and so are whole
            numbers of which at most 20 are different, and at most half as many as there are samples; other
            numbers are quantities.

    Returns:
        The samples in an order shuffled by the seed. A file has a line for each sample, with commas,
        semicolons or tabs between the cells; every cell must be a finite number, but for the target's and
            those dropped.

    Raises:
        ValueError: an unknown name, an option out of range or not for this source, or a file that does not
            hold such a table; the message gives the file, line, column and value.
        OSError: the file cannot be read.
        ImportError: a collected set needs scikit-learn, and it is not installed.
    """
    if not 0 <= test_size < 1:
        raise ValueError(f"test_size is a part of the samples, from 0 to below 1; got {test_size!r}")
    name = os.fspath(source).lower().replace(" ", "_").replace("-", "_")
    rng = np.random.default_rng(seed)
    if name in _MADE or name in _COLLECTED:
        _refuse(f"{name} is not a file", target=target, drop=_several(drop) or None, header=header, task=task)
        if name in _MADE:
            table = _made(name, samples, noise, seed)
        else:
            _refuse(f"{name} is a collected set", samples=samples, noise=noise)
            table = _collected(name)
    else:
        path = Path(source)
        if not path.exists():
            raise _unknown(source, name)
        _refuse(f"{path} is a file", samples=samples, noise=noise)
        table = _read_csv(path, target, _several(drop), header, task)
    return _dataset(table, test_size, scaled, rng)


def names() -> list[str]:
    """The names that :func:`load` knows."""
    return sorted([*_COLLECTED, *_MADE])


@dataclass
class _Table:
    """Samples before the split. ``labels`` are class numbers if there are classes, else quantities."""

    name: str
    X: Array
    labels: Array
    names: tuple[str, ...]
    classes: tuple[str, ...]
    target: str = "class"
    scale: float | None = None  # what to divide the inputs by; None: as their spread asks
    image_shape: tuple[int, int] | None = None


def _dataset(table: _Table, test_size: float, scaled: bool, rng: np.random.Generator) -> Dataset:
    train, test = _split(table.labels if table.classes else None, len(table.X), test_size, rng)
    X, offset, scale = table.X, np.zeros(len(table.names)), np.ones(len(table.names))
    if table.scale is not None:
        scale *= table.scale
        X = X / scale
    elif scaled:
        X, offset, scale = _standardised(table.name, table.names, X, train)
    target_offset, target_scale = np.zeros(1), np.ones(1)
    if len(table.classes) > 2:
        Y = np.eye(len(table.classes))[table.labels.astype(int)]
    else:
        Y = table.labels.reshape(-1, 1)
        if not table.classes and scaled:
            Y, target_offset, target_scale = _standardised(table.name, [table.target], Y, train)
    return Dataset(
        table.name,
        X[train],
        Y[train],
        X[test],
        Y[test],
        table.names,
        table.classes,
        table.target,
        offset,
        scale,
        float(target_offset[0]),
        float(target_scale[0]),
        table.image_shape,
    )


def _standardised(
    name: str, columns: Sequence[str], X: Array, train: NDArray[np.int64]
) -> tuple[Array, Array, Array]:
    """(X - offset) / scale, the offset and the scale: mean and standard deviation over the rows to train on.

    The scale is 1 where a column is constant up to rounding.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        offset, deviation = X[train].mean(axis=0), X[train].std(axis=0)
        scale = np.where(deviation > 1e-12 * np.abs(X[train]).max(axis=0), deviation, 1.0)
        scaled = (X - offset) / scale
    fine = np.isfinite(offset) & np.isfinite(scale) & np.isfinite(scaled).all(axis=0)
    if not fine.all():
        column = columns[int(np.argmin(fine))]
        raise ValueError(f"{name}: the numbers of {column} are too large to scale; divide them first")
    return scaled, offset, scale


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


def _refuse(reason: str, **options: Any) -> None:
    given = [name for name, option in options.items() if option is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} cannot be chosen here: {reason}")


def _unknown(source: str | os.PathLike[str], name: str) -> Exception:
    text = os.fspath(source)
    if os.sep in text or "." in text:
        folder = Path(text).parent
        near = closest(Path(text).name, [p.name for p in folder.iterdir()]) if folder.is_dir() else ""
        hint = f"did you mean {near}? Data" if near else "data"
        return FileNotFoundError(f"there is no file {text!r}; {hint} sets by name are {', '.join(names())}")
    near = closest(name, names(), {"mnist": "'digits'"})
    hint = f"did you mean {near}? Known" if near else "known"
    return ValueError(f"no data set and no file is called {text!r}; {hint} are {', '.join(names())}")


# -- collected and made sets ------------------------------------------------------------------------------


def _scikit_learn() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            'this data set comes with scikit-learn; install it with: pip install "autobp[examples]"'
        ) from error
    return datasets


#: name -> (scikit-learn's loader, what the targets are)
_COLLECTED = {
    "breast_cancer": ("load_breast_cancer", "diagnosis"),
    "diabetes": ("load_diabetes", "progression"),
    "digits": ("load_digits", "digit"),
    "iris": ("load_iris", "species"),
    "wine": ("load_wine", "cultivar"),
}


def _collected(name: str) -> _Table:
    loader, target = _COLLECTED[name]
    bunch = getattr(_scikit_learn(), loader)()
    classes = tuple(str(c) for c in bunch.target_names) if "target_names" in bunch else ()
    table = _Table(
        name,
        np.asarray(bunch.data, dtype=np.float64),
        np.asarray(bunch.target, dtype=np.float64),
        tuple(str(n) for n in bunch.feature_names),
        classes,
        target,
    )
    if name == "digits":
        table.scale, table.image_shape = 16.0, (8, 8)  # a pixel counts the dark ones of 4×4, from 0 to 16
    return table


def _moons(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    X, labels = _scikit_learn().make_moons(m, noise=noise, random_state=seed)
    return X, labels


def _circles(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    X, labels = _scikit_learn().make_circles(m, noise=noise, factor=0.4, random_state=seed)
    return X, labels


def _xor(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    """A cloud around each corner (±1, ±1), in turn; class 1 where the signs differ."""
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    corner = np.arange(m) % 4
    X = corners[corner] + noise * np.random.default_rng(seed).standard_normal((m, 2))
    return X, np.isin(corner, (1, 2)).astype(float)


def _spirals(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    """Two arms of one and a half turns around each other, out to radius 1."""
    labels = (np.arange(m) % 2).astype(float)
    rng = np.random.default_rng(seed)
    radius = np.sqrt(rng.uniform(0.02, 1.0, m))  # its square is uniform: as dense outside as inside
    angle = 3 * np.pi * radius + np.pi * labels
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return X + noise * rng.standard_normal((m, 2)), labels


#: name -> (maker of (m, noise, seed), the noise where none is asked for)
_MADE: dict[str, tuple[Callable[[int, float, int], tuple[Array, Array]], float]] = {
    "circles": (_circles, 0.1),
    "moons": (_moons, 0.15),
    "spirals": (_spirals, 0.02),
    "xor": (_xor, 0.3),
}


def _made(name: str, samples: int | None, noise: float | None, seed: int) -> _Table:
    make, usual_noise = _MADE[name]
    m = 200 if samples is None else samples
    scatter = usual_noise if noise is None else noise
    if m < 4:
        raise ValueError(f"{name} needs at least 4 samples; got samples = {m}")
    if not (scatter >= 0 and math.isfinite(scatter)):
        raise ValueError(f"noise is a standard deviation, at least 0 and finite; got {noise!r}")
    X, labels = make(m, scatter, seed)
    return _Table(
        name, np.asarray(X, dtype=np.float64), labels.astype(np.float64), ("x1", "x2"), ("0", "1"), scale=1.0
    )


# -- CSV files --------------------------------------------------------------------------------------------


def _read_csv(
    path: Path, target: str | int | None, drop: Sequence[str | int], header: bool | None, task: str | None
) -> _Table:
    if task is not None and task not in TASKS:
        raise ValueError(f"task is {' or '.join(TASKS)}; got {task!r}")
    lines = _lines(path)
    first_number, first = lines[0]
    guessed = header is None
    if header is None:
        header = not any(_is_number(cell) for cell in first)
    columns = [f"x{i + 1}" for i in range(len(first))]
    if header:
        columns = first
        lines = lines[1:]
    dropped = {_column(path, columns, column) for column in drop}
    if header:
        _check_names(path, first_number, columns, dropped)
    if len(first) < 2:
        raise ValueError(f"{path}, line {first_number}: only one column; an input and a target are two")
    if len(lines) < 2:
        raise ValueError(f"{path}: {len(lines)} samples; at least two are needed")
    kept = [i for i in range(len(columns)) if i not in dropped]
    chosen = kept[-1] if kept else -1
    if target is not None:
        chosen = _column(path, columns, target)
        if chosen in dropped:
            raise ValueError(f"{path}: the column {columns[chosen]!r} is the target, and dropped")
    inputs = [i for i in kept if i != chosen]
    if not inputs:
        raise ValueError(f"{path}: no column is left for the inputs")
    for number, cells in lines:
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}, line {number}: {len(cells)} cells, but line {first_number} has {len(columns)}"
            )
    if guessed and not header and _like_names([cells for _, cells in lines], chosen):
        raise ValueError(
            f"{path}, line {first_number}: {','.join(first)!r} may be the columns' names or a sample; "
            "say header=True or header=False (--header or --no-header)"
        )
    _refuse_text(path, columns, inputs, [cells for _, cells in lines])
    X = np.array([[_number(path, n, columns, i, cells[i]) for i in inputs] for n, cells in lines])
    labels, classes = _targets(path, lines, columns, chosen, task)
    return _Table(path.name, X, labels, tuple(columns[i] for i in inputs), classes, columns[chosen])


def _several(columns: str | int | Sequence[str | int]) -> list[str | int]:
    return [columns] if isinstance(columns, (str, int)) else list(columns)


def _column(path: Path, columns: list[str], wanted: str | int) -> int:
    """The index of a column by its name, or by its number from 1 or from -1, which may be text too."""
    if wanted in columns:
        return columns.index(str(wanted))
    whole = isinstance(wanted, int) or wanted.lstrip("-").isdecimal()
    number = int(wanted) if whole else 0
    if 1 <= number <= len(columns):
        return number - 1
    if -len(columns) <= number <= -1:
        return len(columns) + number
    near = "" if whole else closest(wanted, columns)
    hint = f"did you mean {near}? The" if near else "the"
    raise ValueError(
        f"{path}: there is no column {wanted!r}; {hint} columns are {', '.join(columns)}, numbered from 1"
    )


def _refuse_text(path: Path, columns: list[str], inputs: list[int], rows: list[list[str]]) -> None:
    """ValueError where columns for inputs have text and no number at all; it names all of them."""
    text = [i for i in inputs if all(_is_text(row[i]) for row in rows)]
    if text:
        where = ", ".join(f"column {i + 1} ({columns[i]}) has {rows[0][i]!r}, …" for i in text)
        names = [columns[i] for i in text]
        raise ValueError(
            f"{path}: {where}, text alone; leave out what is no quantity, drop={names} or --drop "
            f"{' '.join(names)}, or make numbers of it"
        )


def _is_text(cell: str) -> bool:
    """Whether a cell is neither a number, however written, nor missing."""
    return cell.lower() not in _MISSING and not _is_number(cell) and not _like_comma(cell)


def _like_comma(cell: str) -> bool:
    return _is_number(cell.replace(",", ".", 1))


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each line that is not blank, at least one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    first = next((row for row in text.split("\n") if row.strip()), "")
    delimiter = "\t" if "\t" in first else ";" if ";" in first else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    lines = [(number, cells) for number, cells in found if cells not in ([], [""])]
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines


def _check_names(path: Path, number: int, names: list[str], dropped: set[int]) -> None:
    for i, name in enumerate(names):
        if i in dropped:
            continue
        if not name:
            raise ValueError(
                f"{path}, line {number}, column {i + 1}: the column has no name; name it, or leave it out, "
                f"drop=[{i + 1}] or --drop {i + 1}, if it only numbers the lines"
            )
        if name in names[:i]:
            raise ValueError(f"{path}, line {number}, column {i + 1}: a second column called {name!r}")


def _number(path: Path, line: int, columns: list[str], i: int, cell: str) -> float:
    if _is_number(cell) and math.isfinite(float(cell)):
        return float(cell)
    where = f"{path}, line {line}, column {i + 1} ({columns[i]})"
    if not cell:
        raise ValueError(f"{where}: the cell is empty; fill it, or leave the line or the column out")
    hint = ""
    if line == 1:
        hint = "; if line 1 holds the columns' names, say header=True (--header)"
    elif cell.lower() in _MISSING:
        hint = "; fill it, or leave the line or the column out"
    elif _like_comma(cell):
        hint = f"; write {cell.replace(',', '.', 1)}"
    raise ValueError(f"{where}: {cell!r} is not a finite number{hint}")


def _targets(
    path: Path, lines: Sequence[tuple[int, list[str]]], columns: list[str], i: int, task: str | None
) -> tuple[Array, tuple[str, ...]]:
    """Class numbers and the classes' names, or quantities and no names."""
    cells = [cells[i] for _, cells in lines]
    numeric = [_is_number(cell) for cell in cells]
    if "" in cells:
        line = lines[cells.index("")][0]
        raise ValueError(f"{path}, line {line}, column {i + 1} ({columns[i]}): the target is missing")
    if task is None and any(numeric) and not all(numeric):
        odd = numeric.index(numeric.count(True) * 2 < len(numeric))
        raise ValueError(
            f"{path}, line {lines[odd][0]}, column {i + 1} ({columns[i]}): {cells[odd]!r}, but other targets "
            f'are {"text" if numeric[odd] else "numbers"}; say task="classification" (--task classification) '
            "if all are classes"
        )
    if task == "regression" or (task is None and all(numeric) and not _like_classes(cells)):
        return np.array([_number(path, n, columns, i, row[i]) for n, row in lines]), ()
    if all(numeric) and all(math.isfinite(float(cell)) for cell in cells):
        by_number: dict[float, str] = {}
        for cell in cells:
            by_number.setdefault(float(cell), cell)  # "1" and "1.0" are one class, called as it came first
        order = sorted(by_number)
        classes = [by_number[number] for number in order]
        labels = [order.index(float(cell)) for cell in cells]
    else:
        classes = sorted(set(cells))
        labels = [classes.index(cell) for cell in cells]
    if len(classes) < 2:
        raise ValueError(f"{path}, column {i + 1} ({columns[i]}): every target is {cells[0]!r}")
    return np.array(labels, dtype=np.float64), tuple(classes)


def _like_classes(cells: list[str]) -> bool:
    """Whether numbers look like class numbers: whole, few, and few against the samples."""
    numbers = [float(cell) for cell in cells]
    whole = all(math.isfinite(x) and x == int(x) for x in numbers)
    return whole and 2 <= len(set(numbers)) <= min(MOST_CLASSES, len(numbers) / 2)


def _like_names(lines: list[list[str]], target: int) -> bool:
    """Whether a first line with numbers in it looks like names all the same.

    It does where it counts the columns from 0, as pandas names them, and where its target is the only one
    that comes once among labels.
    """
    first = lines[0]
    if len(first) > 2 and first == [str(i) for i in range(len(first))]:
        return True
    counts = Counter(cells[target] for cells in lines)
    alone = [label for label, count in counts.items() if count == 1]
    return alone == [first[target]] and len(counts) > 2 and not any(_is_number(label) for label in counts)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python's own 1_000
