"""New rows of a file that a network has been trained on, as its inputs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.csv_files import check_width, numerals_in, sheet_of_lines
from autobp.datasets.dialect import Dialect, Line, lines_of, text_of, without_preamble
from autobp.datasets.encoding import Encoding, encodings_of
from autobp.datasets.sheet import without

Array = NDArray[np.float64]

_UNASKED = Dialect()
#: So many columns a message names.
_MOST_NAMES = 4
_REMEDY = "fill it, or say missing='mean' (--missing mean) for the mean of the training"


def read_inputs(
    path: Path,
    names: Sequence[str],
    dialect: Dialect = _UNASKED,
    *,
    target: str = "",
    missing: str | None = None,
) -> Array:
    """The inputs of these names in a file, (m, n).

    They are in its columns of these names; where its first line has no names, in all of its columns, or where
    the training had them if that file had no names either.

    Args:
        path: the file; "-" for standard input.
        names: of the inputs. What was encoded for the training, as :mod:`autobp.datasets.encoding` says, is
            encoded likewise.
        dialect: how the file is written.
        target: the name of the column that was the target in the training.
        missing: "mean" leaves a number NaN where it is missing. It is NaN too where an input says so.

    Warns:
        UserWarning: the file has more columns than inputs, and no names: which ones are taken.

    Raises:
        ValueError: a column is not there, or a cell is no finite number, or no known category.
    """
    text, dialect = without_preamble(text_of(path, dialect.encoding), dialect)
    where = str(path)
    lines = lines_of(where, text, dialect.delimiter)
    number, first = lines[0]
    encodings = encodings_of(names, first)
    wanted = [encoding.column for encoding in encodings]
    columns: list[str] | None = None
    if set(wanted) <= set(first):
        columns, lines = first, lines[1:]
        chosen = [columns.index(name) for name in wanted]
        for i, name in enumerate(columns):
            if name in wanted and name in columns[:i]:
                raise ValueError(f"{where}, line {number}, column {i + 1}: a second column called {name!r}")
        if not lines:
            raise ValueError(f"{where}: there are names, and no sample below them")
        check_width(where, lines, len(columns), f"the columns are {', '.join(columns)}")
    else:
        encodings = encodings_of(names, ())
    if missing == "mean":
        encodings = [each.with_gaps() for each in encodings]
    if columns is None:
        columns, chosen = _columns_without_names(where, lines, encodings, dialect, target.split(", "))
    numerals = numerals_in([(n, [cells[i] for i in chosen]) for n, cells in lines], dialect)
    sheet = replace(sheet_of_lines(where, columns, lines), remedy=_REMEDY)
    return np.hstack([e.array(sheet, i, numerals) for e, i in zip(encodings, chosen, strict=True)])


def _columns_without_names(
    where: str, lines: Sequence[Line], encodings: Sequence[Encoding], dialect: Dialect, targets: list[str]
) -> tuple[list[str], list[int]]:
    """The names of a file's columns, and the indices of those that are encoded.

    Raises ValueError where the first line has names, or a line is not as wide.
    """
    wanted = [encoding.column for encoding in encodings]
    _, first = lines[0]
    columns, chosen = wanted, list(range(len(wanted)))
    as_trained = [f"x{i + 1}" for i in range(len(first))]
    trained = {*wanted, *targets}
    if len(first) > len(wanted) and trained <= set(as_trained) and as_trained[-1] in trained:
        columns, chosen = as_trained, [as_trained.index(name) for name in wanted]
        many = len(wanted) > _MOST_NAMES
        shown = ", ".join([*wanted[:2], "…", wanted[-1]] if many else wanted)
        warnings.warn(
            f"{where} has no names, and as many columns as in the training: the inputs are taken from "
            f"{shown} of {len(columns)}, and {', '.join(targets)} is left out",
            stacklevel=3,
        )
    numerals = numerals_in(lines, dialect)
    fitting = len(first) == len(columns) and all(
        encoding.fits(first[i], numerals) for encoding, i in zip(encodings, chosen, strict=True)
    )
    if not any(map(numerals.is_number, first)) and not fitting:
        raise ValueError(without(where, first, next(name for name in wanted if name not in first)))
    advice = "name the columns in a first line, or leave out what is no input"
    check_width(where, lines, len(columns), f"the columns are {', '.join(columns)}", advice)
    return columns, chosen
