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


def known_commands() -> dict[str, Command]:
    """name -> command: every module of ``autobp.command.commands`` has one, by the name of its file."""
    return {
        module.name: import_module(f"{room.__name__}.{module.name}").COMMAND
        for module in pkgutil.iter_modules(room.__path__)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 checked and differing, 2 bad arguments.

    130 after Ctrl-C, as shells have it.
    """
    options = parse(known_commands(), list(sys.argv[1:] if arguments is None else arguments))
    name = f"autobp {options.command}"
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"{name}: {message}", file=sys.stderr)
            status: int = options.run(options)
        return status
    except BrokenPipeError:  # whoever reads the output has enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except (ValueError, OSError, ImportError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
