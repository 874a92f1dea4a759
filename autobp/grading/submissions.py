"""Who handed in what: a folder of submissions has a file a student, or a folder a student."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Folders that Python and archives leave behind, and nobody handed in.
_NOBODYS: Final = ("__pycache__", "__MACOSX")
_SHOWN: Final = 5  # files that a message names


@dataclass(frozen=True)
class Submission:
    """What somebody handed in.

    Attributes:
        path: a file, or a folder with one Python file in it, however deep.
        name: the file's name without its ending, or the folder's name.
    """

    path: Path
    name: str

    @property
    def student(self) -> str:
        """The name as text that can be written, whatever its bytes are."""
        return os.fsencode(self.name).decode("utf-8", "replace")

    def file(self) -> Path:
        """The file to ask.

        Raises OSError where it is no file, ValueError where a folder has none, or several.
        """
        file = _only(self.path) if self.path.is_dir() else self.path
        if not file.is_file():
            raise FileNotFoundError(errno.ENOENT, "it is no file")
        return file


def submissions_of(folder: Path, but: Path | None = None) -> list[Submission]:
    """Everybody's, in the order of their names; a file by itself is one.

    A folder without a Python file is somebody's who handed in none, unless the others' files lie beside it:
    then it is nobody's, as are names that begin with a dot and the folder ``but``, of earlier results.

    Raises ValueError where there is nothing to grade, or a file and a folder are of one name.
    """
    if folder.is_file():
        return [Submission(folder, folder.stem)]
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}")
    left_out = None if but is None else os.path.realpath(but)
    files, folders = [], []
    for path in filter(_is_somebodys, folder.iterdir()):
        if path.is_dir():
            folders += [Submission(path, path.name)] if os.path.realpath(path) != left_out else []
        elif path.suffix == ".py":
            files.append(Submission(path, path.stem))
    handed_in = [one for one in folders if any(path.suffix == ".py" for path in _files(one.path))]
    if not files and not handed_in:
        raise ValueError(f"there are no .py files in {folder}, and no folders with one")
    both = {one.name for one in files} & {one.name for one in folders}
    if both:
        name = min(both)
        raise ValueError(f"{name}.py and the folder {name} would have the same page: rename one of them")
    return sorted([*files, *(handed_in if files else folders)], key=lambda one: one.name)


def _is_somebodys(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in _NOBODYS


def _only(folder: Path) -> Path:
    """The one Python file in it; ValueError where there is none, or more."""
    found = _files(folder)
    python = [path for path in found if path.suffix == ".py"]
    if len(python) == 1:
        return python[0]
    if python:
        raise ValueError(f"the folder has {len(python)} Python files, {_listed(python)}: hand in one")
    raise ValueError("the folder has no Python file" + (f", but {_listed(found)}" if found else ""))


def _files(folder: Path) -> list[Path]:
    """The files in a folder and in those within it, but no links to what lies elsewhere, as others' files."""
    inside = Path(os.path.realpath(folder))
    return sorted(path for path in _below(folder) if Path(os.path.realpath(path)).is_relative_to(inside))


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _is_somebodys(Path(name))]
        yield from (Path(where, name) for name in names if _is_somebodys(Path(name)))


def _listed(files: list[Path]) -> str:
    names = ", ".join(path.name for path in files[:_SHOWN])
    return names + (" …" if len(files) > _SHOWN else "")
