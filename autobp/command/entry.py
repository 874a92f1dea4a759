"""``main``: find the commands, run the one that is named, and end in one line and a status."""

from __future__ import annotations

import os
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from autobp.command import commands as room
from autobp.command.parser import Command, parse
from autobp.command.signals import Terminated
from autobp.command.streams import take_every_character

#: What ends a command with its message: what people wrote, or what a machine has not.
_TOLD = (ValueError, TypeError, LookupError, ArithmeticError, OSError, ImportError, RuntimeError, MemoryError)


def known_commands() -> dict[str, Command]:
    """name -> command: every module of ``autobp.command.commands`` has one, by the name of its file."""
    return {
        module.name: import_module(f"{room.__name__}.{module.name}").COMMAND
        for module in pkgutil.iter_modules(room.__path__)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 checked and differing, 2 bad arguments.

    1 too where a training diverged; 130 after Ctrl-C and 143 after SIGTERM, as shells have it.
    """
    name = "autobp"
    take_every_character()
    try:
        options = parse(known_commands(), list(sys.argv[1:] if arguments is None else arguments))
        name = f"autobp {options.command}"
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"{name}: {message}", file=sys.stderr)
            status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output has enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except _TOLD as error:
        _drop_what_cannot_be_printed()
        print(f"{name}: {_words(error)}", file=sys.stderr)
        return 2
    except Terminated:
        print(f"{name}: ended by SIGTERM", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130


def _words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory for that"
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        return f"there is no file {error.filename!r}"
    return str(error) or type(error).__name__


def _drop_what_cannot_be_printed() -> None:
    """Standard output is tried once more, now and not at Python's end, where it would be a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
