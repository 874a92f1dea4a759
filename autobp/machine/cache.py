"""Libraries that were built, kept in a folder of the user's, each in one file that is whole or not there.

What is loaded runs with all that the user may do. So a file is read only from a folder that belongs to the
user and that nobody else can write to, and only where it holds what was written: its last bytes are a digest
of the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autobp.machine.toolchain import NoMachineCode

_ENDS = ".so"
_MARK = b"autobp-1"  # before the digest


def folder() -> Path:
    """Where libraries are kept: ``AUTOBP_CACHE``, or ``autobp`` in the user's folder for such things."""
    named = os.environ.get("AUTOBP_CACHE", "")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError as error:
            raise NoMachineCode(f"there is no home folder to keep libraries in: {error}") from error
    return Path(base) / "autobp"


def prepared_folder() -> Path:
    """The folder, made where it is not there. Raises NoMachineCode where it is not safe or cannot be made."""
    path = folder()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise NoMachineCode(f"libraries cannot be kept in {path}: {error.strerror}") from error
    why = _not_safe(found, stat.S_ISDIR)
    if why:
        raise NoMachineCode(f"libraries are not kept in {path}, which {why}")
    return path


def _not_safe(found: os.stat_result, is_kind: object) -> str:
    """Why a file or folder may hold what others put there; "" where it cannot."""
    if not is_kind(found.st_mode):  # type: ignore[operator]
        return "is a link or something else"
    if found.st_uid != os.geteuid():
        return "belongs to somebody else"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others can write to"
    return ""


def find(key: str) -> Path | None:
    """The library of a key, checked; None where there is none to trust."""
    path = prepared_folder() / f"{key}{_ENDS}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if _not_safe(os.fstat(descriptor), stat.S_ISREG):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read()
    end = len(content) - len(_MARK) - 32
    if end <= 0 or content[end:] != _MARK + _digest(key, content[:end]):
        return None
    return path


def _digest(key: str, library: bytes) -> bytes:
    return hashlib.sha256(key.encode() + library).digest()


def put(key: str, library: bytes) -> Path:
    """Keep a library. Raises NoMachineCode where it cannot be written."""
    path = prepared_folder() / f"{key}{_ENDS}"
    with _written(library + _MARK + _digest(key, library)) as temporary:
        os.replace(temporary, path)
    return path


@contextlib.contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of a library, for as long as it takes to load it: what is loaded from it shares nothing.

    Raises NoMachineCode where it cannot be read or written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NoMachineCode(f"{path} cannot be read: {error.strerror}") from error
    with _written(content) as temporary:
        yield temporary


@contextlib.contextmanager
def _written(content: bytes) -> Iterator[Path]:
    """A new file in the folder, which is gone afterwards. Raises NoMachineCode where there can be none."""
    parent = prepared_folder()
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=_ENDS, dir=parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), 0o700)
            yield Path(temporary)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    except OSError as error:
        raise NoMachineCode(f"no library can be written to {parent}: {error.strerror}") from error


def kept() -> dict[str, int]:
    """The libraries that are kept, by name, and the bytes of each. Makes no folder where there is none."""
    path = folder()
    try:
        names = sorted([x for x in os.listdir(path) if x.endswith(_ENDS)])
    except FileNotFoundError:
        return {}
    sizes = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # another process may be clearing
            sizes[name] = os.lstat(path / name).st_size
    return sizes


def clear() -> int:
    """Delete all libraries that are kept; how many there were. Those that are loaded go on working."""
    if not folder().exists():
        return 0
    path, deleted = prepared_folder(), 0
    for name in kept():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path / name)
            deleted += 1
    return deleted
