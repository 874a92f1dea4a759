"""``autobp cache``."""

from __future__ import annotations

import argparse

from autobp import machine
from autobp.command.parser import Command


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--clear", action="store_true", help="delete them")


def _run(options: argparse.Namespace) -> int:
    if options.clear:
        print(f"deleted {_libraries(machine.clear())} from {machine.folder()}")
    else:
        kept = machine.kept()
        print(f"{_libraries(len(kept))}, {sum(kept.values()) / 1e6:.1f} MB, in {machine.folder()}")
    return 0


def _libraries(n: int) -> str:
    return f"{n:,} {'library' if n == 1 else 'libraries'}"


COMMAND = Command(
    "Say where libraries of machine code are kept, how many, and how large they are; or delete them.",
    "  autobp cache\n"
    "  autobp cache --clear\n\n"
    "What is deleted is built again when it is needed. AUTOBP_CACHE names another folder.",
    _add_arguments,
    _run,
)
