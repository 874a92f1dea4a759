"""``load``: a data set by name, or from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autobp.arguments import closest
from autobp.datasets.csv_files import read_csv
from autobp.datasets.dataset import Dataset, dataset_of
from autobp.datasets.named_sets import COLLECTED, MADE, collected, made


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
    if name in MADE or name in COLLECTED:
        _refuse(f"{name} is not a file", target=target, drop=_several(drop) or None, header=header, task=task)
        if name in MADE:
            table = made(name, samples, noise, seed)
        else:
            _refuse(f"{name} is a collected set", samples=samples, noise=noise)
            table = collected(name)
    else:
        path = Path(source)
        if not path.exists():
            raise _unknown(source, name)
        _refuse(f"{path} is a file", samples=samples, noise=noise)
        table = read_csv(path, target, _several(drop), header, task)
    return replace(dataset_of(table, test_size, scaled, rng), test_size=test_size, seed=seed)


def names() -> list[str]:
    """The names that :func:`load` knows."""
    return sorted([*COLLECTED, *MADE])


def _several(columns: str | int | Sequence[str | int]) -> list[str | int]:
    return [columns] if isinstance(columns, (str, int)) else list(columns)


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
