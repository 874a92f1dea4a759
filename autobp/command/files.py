"""Files that a command writes: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

PICTURES = ("svg", "png", "pdf")


def picture_format(path: Path) -> str:
    """The format that a picture's name ends in; ValueError where it is none of ``PICTURES``."""
    kind = path.suffix.lstrip(".").lower()
    if kind not in PICTURES:
        raise ValueError(f"the output must end in .svg, .png or .pdf; got {path}")
    return kind


def write(path: Path, content: bytes) -> None:
    """Write a file, its folder too where there is none; where that fails, what was there stays as it was.

    Raises OSError; its message names the file.
    """
    temporary = path.with_name(f"{path.name}.{token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def write_by(path: Path, make: Callable[[Path], object]) -> None:
    """Write a file whole, as :func:`write`, by a function that is given where to."""
    with TemporaryDirectory() as folder:
        made = Path(folder, path.name)
        make(made)
        write(path, made.read_bytes())


class Folder:
    """The folder that a command writes into: made, and tried, before the work is done.

    Attributes:
        written: the names of the files that were written, in order.

    Raises OSError where nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[str] = []
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"cannot write {path}: it is a file, and no folder to write into")
        trial = path / f"trial.{token_hex(4)}"
        write(trial, b"\0" * 4096)
        trial.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, or raise OSError."""
        write(self.path / name, content)
        self.written.append(name)

    def left_from_before(self, names: list[str]) -> list[str]:
        """Which of these files are there and were not written now."""
        return [name for name in names if name not in self.written and (self.path / name).exists()]
