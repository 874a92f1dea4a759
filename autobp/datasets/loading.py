"""``load``: a data set by name, from a file, or from a table of another library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from autobp.arguments import checked_seed, closest
from autobp.datasets.csv_files import sheet_of_file
from autobp.datasets.dataset import Dataset, Table, dataset_of
from autobp.datasets.dialect import Dialect
from autobp.datasets.frames import READERS, is_frame, sheet_of_binary, sheet_of_frame, sheet_of_seaborn
from autobp.datasets.named_sets import COLLECTED, MADE, collected, made
from autobp.datasets.sheet import Sheet
from autobp.datasets.tables import Choice, Column, table_of

_SEABORN = "seaborn:"


def load(
    source: Any,
    *,
    test_size: float = 0.25,
    seed: SupportsIndex = 0,
    scaled: bool = True,
    samples: int | None = None,
    noise: float | None = None,
    target: Column | Sequence[Column] | None = None,
    drop: Column | Sequence[Column] = (),
    header: bool | None = None,
    task: str | None = None,
    missing: str | None = None,
    categories: Column | Sequence[Column] = (),
    delimiter: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
) -> Dataset:
    """A data set by name, a CSV file, or a table of pandas, polars or PyArrow.

    Args:
        source: a name in :func:`names`, in which spaces and hyphens count as underscores; "seaborn:tips" for
            a set of seaborn's; a path, "-" for standard input; or a DataFrame or a PyArrow Table. A name
            comes before a path: write ``./digits`` for a file called like a data set.
        test_size: the part of the samples to hold out, from 0 to below 1; of each class as near to that part
            as its number of samples allows, at least one staying to train on.
        seed: from 0; for the split, and for the samples of made sets.
        scaled: whether to scale quantities to mean 0 and standard deviation 1 over the samples to train on
            (inputs, and targets that are numbers). The digits are always from 0 to 1; made sets stay as
            they are.
        samples: how many to make; made sets only (200 if left out).
        noise: how far to scatter them, a standard deviation; made sets only.
        target: the column to predict, by its name or by its number, which counts from 1, or from the end as
            -1, -2, …; or a list of columns that are quantities. Left out, it is the last one that is not
            dropped. This and what follows is for files and tables only.
        drop: the column or columns to leave out, likewise.
        header: whether a file's first line holds the columns' names. Left out, it does if no cell of it is a
            number, and a first line that could be either is refused. Without names the columns are x1, x2, …
        task: "classification" or "regression". Left out, text is classes, and so are whole numbers of which
            at most 20 are different, and at most half as many as there are samples; other numbers are
            quantities.
        missing: what to do where something is missing: "drop" leaves out the row, "mean" fills in the mean
            of the samples to train on, "category" does that too and has an input that says where, and in
            columns of words a category for it. Left out, a row in which something is missing is refused.
        categories: columns of which each value is a category, also where it is a number.
        delimiter: one character, or "whitespace". This and what follows is for text files, and found out
            where it is left out.
        decimal, thousands: "." or ",", and what parts thousands.
        encoding: UTF-8 or, where the file says so, UTF-16, if left out.
        comment: what begins a line to leave out.

    Returns:
        The samples in an order shuffled by the seed. Columns of words become an input for each word, 0 or 1,
        "sex=male"; days in ISO 8601 their number since 1970. docs/data.md has all of it in a table.

    Warns:
        UserWarning: what was left out unasked, as a column with another text in each row, and what hardly
            can be meant, as a target with a class in each row.

    Raises:
        ValueError: an unknown name, an option out of range or not for this source, or a file that does not
            hold such a table; the message gives the file, line, column and value.
        OSError: the file cannot be read.
        ImportError: a collected set needs scikit-learn, a set of seaborn's that, or an Excel or Parquet file
            pandas, and it is not installed.
    """
    if not 0 <= test_size < 1:
        raise ValueError(f"test_size is a part of the samples, from 0 to below 1; got {test_size!r}")
    seed = checked_seed(seed)
    rng = np.random.default_rng(seed)
    choice = Choice(_several(target), _several(drop), _several(categories), task, missing, decimal, thousands)
    written = Dialect(delimiter, decimal, thousands, encoding, comment)
    table = None
    if not is_frame(source):
        _check_source(source)
        table = _named(source, choice, header, written, samples, noise, seed)
    if table is None:
        _refuse(f"{_title(source)} is a table", samples=samples, noise=noise)
        table = table_of(*_sheet(source, header, written), choice)
    for note in table.notes:
        warnings.warn(f"{_title(source)}: {note}", stacklevel=2)
    return replace(dataset_of(table, test_size, scaled, rng), test_size=test_size, seed=seed)


def _check_source(source: Any) -> None:
    if not isinstance(source, (str, os.PathLike)):
        kind = type(source)
        raise TypeError(
            "load takes a name, a path, or a DataFrame of pandas or polars or a Table of PyArrow; got a "
            f"{kind.__module__.split('.')[0]} {kind.__name__}; make a DataFrame of it, or give arrays to fit"
        )


def _named(
    source: str | os.PathLike[str],
    choice: Choice,
    header: bool | None,
    written: Dialect,
    samples: int | None,
    noise: float | None,
    seed: int,
) -> Table | None:
    """The set of that name; None where it is no name."""
    name = os.fspath(source).lower().replace(" ", "_").replace("-", "_")
    if name not in MADE and name not in COLLECTED:
        return None
    chosen = {option: given or None for option, given in {**vars(choice), **vars(written)}.items()}
    _refuse(f"{name} is not a file", **chosen, header=header)
    if name in MADE:
        return made(name, samples, noise, seed)
    _refuse(f"{name} is a collected set", samples=samples, noise=noise)
    return collected(name)


def _sheet(source: Any, header: bool | None, written: Dialect) -> tuple[str, Sheet]:
    """The name and the sheet of a file or a frame."""
    if is_frame(source):
        _refuse("a frame has its own", header=header, **vars(written))
        return type(source).__name__, sheet_of_frame(source)
    if str(source).startswith(_SEABORN):
        _refuse(f"{source} is no text", header=header, **vars(written))
        return str(source), sheet_of_seaborn(str(source).removeprefix(_SEABORN))
    path = Path(source)
    if str(path) != "-" and not path.exists():
        raise _unknown(source)
    if path.suffix.lower() in READERS:
        _refuse(f"{path} is no text", header=header, **vars(written))
        return path.name, sheet_of_binary(path)
    return path.name, sheet_of_file(path, written, header)


def _title(source: Any) -> str:
    return type(source).__name__ if is_frame(source) else os.fspath(source)


def names() -> list[str]:
    """The names that :func:`load` knows."""
    return sorted([*COLLECTED, *MADE])


def _several(columns: Column | Sequence[Column] | None) -> list[Column]:
    if columns is None:
        return []
    return [columns] if isinstance(columns, (str, int)) else list(columns)


def _refuse(reason: str, **options: Any) -> None:
    given = [name for name, option in options.items() if option is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} cannot be chosen here: {reason}")


def _unknown(source: str | os.PathLike[str]) -> Exception:
    text = os.fspath(source)
    name = text.lower().replace(" ", "_").replace("-", "_")
    if os.sep in text or "." in text:
        folder = Path(text).parent
        near = closest(Path(text).name, [p.name for p in folder.iterdir()]) if folder.is_dir() else ""
        hint = f"did you mean {near}? Data" if near else "data"
        return FileNotFoundError(f"there is no file {text!r}; {hint} sets by name are {', '.join(names())}")
    near = closest(name, names(), {"mnist": "'digits'"})
    hint = f"did you mean {near}? Known" if near else "known"
    return ValueError(f"no data set and no file is called {text!r}; {hint} are {', '.join(names())}")
