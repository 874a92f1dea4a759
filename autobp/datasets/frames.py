"""Tables that other libraries hold, pandas, polars or PyArrow, and the files that pandas reads, as sheets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.sheet import Sheet

Array = NDArray[np.float64]

#: The ends of files that pandas reads, and its function for each.
READERS = {
    ".xlsx": "read_excel", ".xlsm": "read_excel", ".xls": "read_excel", ".ods": "read_excel",
    ".parquet": "read_parquet", ".feather": "read_feather",
}  # fmt: skip

_LIBRARIES = {
    ("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"), ("pyarrow", "RecordBatch"),
}  # fmt: skip


def is_frame(source: Any) -> bool:
    """Whether it is a table of one of these libraries, none of which is imported here."""
    return any(
        (kind.__module__.split(".")[0], kind.__name__) in _LIBRARIES for kind in type(source).__mro__
    )


def sheet_of_frame(frame: Any, where: str = "") -> Sheet:
    """A frame as a sheet. The index of pandas is no column, and numbers of its dtype category are categories.

    Raises ValueError where a cell is neither a number, a word, a truth value, a day nor nothing.
    """
    where = where or f"the {type(frame).__module__.split('.')[0]} {type(frame).__name__}"
    columns = [_column(where, str(name), column) for name, column in _named_columns(frame)]
    names = tuple(_name(i, str(name)) for i, (name, _) in enumerate(_named_columns(frame)))
    n_rows = len(columns[0]) if columns else 0

    def cells(i: int) -> Sequence[str]:
        column = columns[i]
        return [_as_text(number) for number in column] if isinstance(column, np.ndarray) else column

    def numbers(i: int) -> Array | None:
        column = columns[i]
        return column if isinstance(column, np.ndarray) else None

    said = [_says_categories(column) for _, column in _named_columns(frame)]
    categorical = frozenset(i for i in range(len(columns)) if said[i] and numbers(i) is not None)
    rows = [f"row {row + 1}" for row in range(n_rows)]
    return Sheet(where, names, rows, cells, numbers, categorical=categorical)


def sheet_of_binary(path: Path) -> Sheet:
    """An Excel, Parquet or Feather file as a sheet: of Excel's the first sheet, its first row the names.

    Raises ImportError where pandas, or what it needs for that, is not installed, and ValueError where the
    file is damaged.
    """
    try:
        import pandas

        frame = getattr(pandas, READERS[path.suffix.lower()])(path)
    except ImportError as error:
        raise ImportError(
            f'pandas reads {path.suffix} files; install it with: pip install "autobp[data]" ({error})'
        ) from error
    except OSError:
        raise
    except Exception as error:  # each reader has exceptions of its own
        raise ValueError(f"{path} cannot be read as a {path.suffix} file: {error}") from error
    return sheet_of_frame(frame, str(path))


def sheet_of_seaborn(name: str) -> Sheet:
    """One of seaborn's sets, "tips", which it has in its cache or fetches.

    Raises ImportError where seaborn is not installed, ValueError where it has no such set, and OSError where
    it cannot fetch it.
    """
    try:
        import seaborn
    except ImportError as error:
        raise ImportError(
            f"seaborn:{name} comes with seaborn; install it with: pip install seaborn"
        ) from error
    try:
        frame = seaborn.load_dataset(name)
    except OSError as error:
        raise OSError(
            f"seaborn:{name} is not in {seaborn.get_data_home()}, where seaborn keeps its sets, and it "
            f"cannot be fetched: {error}"
        ) from error
    return sheet_of_frame(frame, f"seaborn:{name}")


def _name(i: int, name: str) -> str:
    """The name of a column; "" where pandas has read an index as the first one."""
    return "" if i == 0 and name == "Unnamed: 0" else name


def _named_columns(frame: Any) -> list[tuple[Any, Any]]:
    """(name, column) of each column, in order, whichever the library."""
    if hasattr(frame, "iloc"):
        return [(name, frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    names = frame.column_names if hasattr(frame, "column_names") else frame.columns
    columns = frame.columns if hasattr(frame, "column_names") else frame.get_columns()
    return list(zip(names, columns, strict=True))


def _says_categories(column: Any) -> bool:
    kind = str(getattr(column, "dtype", getattr(column, "type", "")))
    return kind == "category" or kind.startswith("dictionary<")


def _column(where: str, name: str, column: Any) -> Array | list[str]:
    """Numbers as an array, NaN where one is missing, and anything else as texts, "" where it is missing."""
    kind = getattr(column, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind in "iuf":
        return np.asarray(column, dtype=np.float64)
    if hasattr(column, "isna"):
        values = [None if gone else value for value, gone in zip(column.tolist(), column.isna(), strict=True)]
    else:
        values = column.to_list() if hasattr(column, "to_list") else column.to_pylist()
    known = [value for value in values if value is not None and value == value]
    numeric = [isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in known]
    if known and all(numeric):
        return np.array([np.nan if value is None else float(value) for value in values])
    return [_cell(where, name, row, value) for row, value in enumerate(values)]


def _cell(where: str, name: str, row: int, value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool | np.bool_ | str | int | float | np.number):
        return str(value).strip()
    if isinstance(value, date):  # a datetime is one, and so is pandas' own
        return str(value if isinstance(value, datetime) else datetime(value.year, value.month, value.day))
    if type(value).__name__ in ("Decimal", "Period"):
        return str(value)
    raise ValueError(
        f"{where}, row {row + 1}, column {name!r}: {str(value)[:40]!r}, of the type {type(value).__name__}, "
        "is no number, word, truth value or day; leave the column out of the frame"
    )


def _as_text(number: float) -> str:
    """A number as a file would have it: a whole one without its point."""
    if np.isnan(number):
        return ""
    return str(int(number)) if np.isfinite(number) and number == int(number) else repr(float(number))
