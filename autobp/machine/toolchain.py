"""The system's C compiler: found once; run without a shell, in a folder of its own, for a limited time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0  # that a compiler may take,
_SLOW = 1.0  # and after which somebody is told who wants to be

_tell: ContextVar[Callable[[], object] | None] = ContextVar("_tell", default=None)

#: They keep what a program says: no sum in another order, no fused multiply-add, infinities and NaN.
FLAGS = (
    "-std=c99",
    "-march=native",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "--param=max-completely-peel-times=8",  # loops stay loops, of which several turns are done at once
    "-fPIC",
    "-shared",
)

#: Lines, without tables, beyond which compilers would take too long to make the best of it.
_LONG = 2000

_NUMBERS = re.compile(r"\n[-0-9 ,.e+]*(?=\n)")


class NoMachineCode(RuntimeError):
    """There is no machine code for a program; the message is one line that says why."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler: how it is called, what it says that it is, and the processor it builds for."""

    command: tuple[str, ...]
    version: str
    processor: str

    def options(self, source: str) -> tuple[str, ...]:
        """What it is told to do with a source."""
        lines = source.count("\n") - len(_NUMBERS.findall(source))
        # of short loops GCC 12 leaves elements out where vectors have 8 numbers, and its code crashes
        width = ("-mprefer-vector-width=256",) if "avx512f" in self.processor.split() else ()
        return (*FLAGS, "-O3" if lines <= _LONG else "-O1", *width)

    def key(self, source: str) -> str:
        """A name for what it makes of a source: another for another compiler, processor or option."""
        parts = [source, *self.options(source), *self.command, self.version, self.processor]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def build(self, source: str, *options: str) -> bytes:
        """The shared library that it makes of a source. Raises NoMachineCode where it makes none."""
        with private_folder() as folder:
            Path(folder, "program.c").write_text(source, encoding="utf-8")
            told = [*self.options(source), *options]
            run([*self.command, *told, "program.c", "-o", "program.so", "-lm"], folder)
            try:
                return Path(folder, "program.so").read_bytes()
            except OSError as error:
                raise NoMachineCode(f"{self.command[0]} left no library: {error.strerror}") from error


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder that nobody else can read. Raises NoMachineCode where there can be none."""
    try:
        return tempfile.TemporaryDirectory(prefix="autobp-")
    except OSError as error:
        raise NoMachineCode(f"no temporary folder can be made: {error.strerror}") from error


def run(command: list[str], folder: str) -> str:
    """What a command prints. Raises NoMachineCode where it fails or takes too long."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a compiler starts others, which must end with it
        )
    except (OSError, ValueError) as error:
        raise NoMachineCode(f"{command[0]} cannot be run: {error}") from error
    try:
        printed, complained = _waited_for(process)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise NoMachineCode(f"{command[0]} took more than {SECONDS:.0f} s") from error
        raise
    if process.returncode:
        said = complained.decode(errors="replace").strip().splitlines()
        wrong = next((line for line in said if "error" in line), said[0] if said else "it says nothing")
        raise NoMachineCode(f"{command[0]} fails with {process.returncode}: {wrong}")
    return printed.decode(errors="replace")


def _waited_for(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    tell, slow = _tell.get(), min(_SLOW, SECONDS)
    if tell is None:
        return process.communicate(timeout=SECONDS)
    try:
        return process.communicate(timeout=slow)
    except subprocess.TimeoutExpired:
        _tell.set(None)  # once is enough
        tell()
    return process.communicate(timeout=SECONDS - slow)


@contextlib.contextmanager
def slow_builds_told(tell: Callable[[], object]) -> Iterator[None]:
    """Within it, ``tell`` is called once where a compiler takes longer than a second."""
    before = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(before)


def toolchain() -> Toolchain:
    """The compiler that CC names, or cc, gcc or clang. Raises NoMachineCode where there is none to use."""
    return _toolchain(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@functools.lru_cache(maxsize=8)
def _answer(named: str, path: str) -> Toolchain | str:
    if sys.platform != "linux" or struct.calcsize("P") != 8 or sys.byteorder != "little":
        return f"machine code is tested on 64-bit Linux alone, and this is {platform.platform()}"
    if sys.implementation.name != "cpython":
        return f"machine code is tested with CPython alone, and this is {sys.implementation.name}"
    try:
        tried = [shlex.split(named)] if named.strip() else [["cc"], ["gcc"], ["clang"]]
    except ValueError as error:
        return f"CC is {named!r}, which is no command: {error}"
    why = "there is no C compiler: no cc, gcc or clang on PATH, and CC names none"
    for command in tried:
        program = shutil.which(command[0], path=path)
        if program is None:
            why = f"CC is {named!r}, and there is no {command[0]}" if named.strip() else why
            continue
        try:
            with private_folder() as folder:
                version = run([os.path.abspath(program), *command[1:], "--version"], folder)
        except NoMachineCode as error:
            why = str(error)
            continue
        return Toolchain((os.path.abspath(program), *command[1:]), version, _processor())
    return why


def _toolchain(named: str, path: str) -> Toolchain:
    found = _answer(named, path)
    if isinstance(found, str):
        raise NoMachineCode(found)
    return found


def _processor() -> str:
    """The processor with its instructions, as the system names them: code for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line for line in lines[:64] if line.startswith(("model name", "flags", "CPU part", "Features"))]
    return "\n".join(dict.fromkeys([platform.machine(), *told]))
