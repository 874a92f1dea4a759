"""Where ``autobp`` begins, before the package is imported: Ctrl-C then is one line, and no traceback."""

from __future__ import annotations

import sys
from types import TracebackType


def main(arguments: list[str] | None = None) -> int:
    """Import the command and run it on arguments, or the process's own; its status, 130 after Ctrl-C."""
    try:
        from autobp.command import main as command

        return command(arguments)
    except KeyboardInterrupt:
        _tell()
        return 130


def tell_of_interruptions() -> None:
    """Where Python imports the package for ``python -m autobp``, let a KeyboardInterrupt be that one line.

    Nothing of the command runs before that is done, so nothing can catch it; Python then ends as by SIGINT.
    """
    if sys.orig_argv[-len(sys.argv)].removeprefix("-m") == "autobp":
        sys.excepthook = _hook


def _hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _tell()
    else:
        sys.__excepthook__(kind, error, traceback)


def _tell() -> None:
    print("autobp: interrupted", file=sys.stderr)
