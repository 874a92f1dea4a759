"""A submission's process: a fresh folder, limits of time and memory, and an end whatever happens."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autobp.grading import worker

#: New user, network and process namespaces, where Linux gives them to everybody: no network, and no process
#: outlives the submission.
_APART: Final = ("unshare", "-r", "-n", "-p", "-f", "--kill-child")


_BRACKETS: Final = re.compile(r"[][{}]")
_DEEPEST: Final = 200  # brackets open at once in a line of answers
#: Halves of characters as JSON writes them: with another half a character, alone none that can be written.
_SURROGATE: Final = re.compile(r"(\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|\\u[dD][89a-fA-F]\w\w")


@dataclass(frozen=True)
class Answers:
    """What came back.

    Attributes:
        status: "ok", "too slow", "crashed", or "not loaded".
        told: why, where it is not "ok".
        lines: an answer for each probe that was reached: {"returned": …, "after": …} or {"raised": …}.
        printed: the beginning of what the submission printed.
    """

    status: str
    told: str
    lines: tuple[dict[str, Any], ...]
    printed: str


@functools.cache
def apart() -> tuple[str, ...]:
    """The command before Python's that takes network and other processes away, where there is one."""
    if shutil.which(_APART[0]) is None:
        return ()
    try:
        done = subprocess.run([*_APART, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return _APART if done.returncode == 0 else ()


def protection() -> str:
    """What a submission is kept from here, in a sentence."""
    has_limits = hasattr(os, "fork")
    held = "a process, a fresh folder and a limit of time" + (" and of memory" if has_limits else "")
    network = "has no network" if apart() else "has the network"
    files = (
        "neither reads nor changes files but Python's, the system's and its own"
        if worker.fences()
        else "can read and change files"
    )
    return f"Each submission has {held}. It {network} and {files}. This is no sandbox."


def ask(
    file: Path,
    how: str,
    name: str,
    probes: Sequence[Any],
    *,
    seconds: int = 10,
    megabytes: int = 1024,
    refused: Sequence[str] = (),
) -> Answers:
    """Ask a submission for its answers; it never raises and never hangs, whatever the file does.

    Args:
        file: the submission.
        how: "call" a function, or run a program on a "value".
        name: of the function, or the class.
        probes: what to ask, as JSON.
        seconds, megabytes: what it may take, altogether.
        refused: packages that it cannot import.
    """
    with tempfile.TemporaryDirectory(prefix="autobp-", ignore_cleanup_errors=True) as made:
        folder = Path(made).resolve()
        shutil.copyfile(file, folder / "submission.py")
        request = {"file": str(folder / "submission.py"), "how": how, "name": name, "probes": list(probes),
                   "seconds": seconds, "megabytes": megabytes, "refused": list(refused)}  # fmt: skip
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        status, told = _run(folder, seconds)
        with contextlib.suppress(OSError):
            printed = (folder / "printed.txt").read_text(encoding="utf-8", errors="replace")[:2000]
        return _read(folder / "answers.jsonl", status, told, printed, len(probes))


def _run(folder: Path, seconds: int) -> tuple[str, str]:
    """Run the worker in the folder; how it ended."""
    script = [sys.executable, "-B", str(Path(worker.__file__)), "request.json", "answers.jsonl"]
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    system = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    variables = {**system, **threads, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONHASHSEED": "0"}
    with open(folder / "printed.txt", "wb") as printed:
        process = subprocess.Popen(
            [*apart(), *script], cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=printed,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(timeout=seconds + 2)
        except subprocess.TimeoutExpired:
            return "too slow", f"it took more than {seconds} s"
        finally:
            _end(process)
    if status in (-signal.SIGXCPU, 128 + signal.SIGXCPU) if hasattr(signal, "SIGXCPU") else False:
        return "too slow", f"it took more than {seconds} s"
    return ("ok", "") if status == 0 else ("crashed", f"the process ended with status {status}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started."""
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


def _read(path: Path, status: str, told: str, printed: str, n: int) -> Answers:
    """The lines that were written, those of a process that was ended too."""
    lines: list[dict[str, Any]] = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                answer = json.loads(_SURROGATE.sub(_kept, line)) if _is_flat(line) else None
                if isinstance(answer, dict):
                    lines.append(answer)
    if lines and "import" in lines[0]:
        return Answers("not loaded", str(lines[0]["import"]), (), printed)
    if status == "ok" and len(lines) < n:
        status, told = "crashed", "the process ended before all was answered"
    return Answers(status, told, tuple(lines), printed)


def _is_flat(line: str) -> bool:
    """Whether a line is nested no deeper than answers are: reading deep ones may end the process that reads.

    Brackets within strings count too, which only lets fewer lines pass.
    """
    depth = 0
    for bracket in _BRACKETS.findall(line):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            return False
    return True


def _kept(found: re.Match[str]) -> str:
    return found[1] or r"\ufffd"
