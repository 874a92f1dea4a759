"""A command's record, and the parser that reads what people write after its name."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import autobp
from autobp.arguments import closest


@dataclass(frozen=True)
class Command:
    """A command: what it is for, what it takes, and what it does.

    Attributes:
        summary: one sentence, for ``--help`` here and in the list of all commands.
        examples: lines to copy, and what else there is to know, for the end of its ``--help``.
        add_arguments: adds what it takes to its parser.
        run: does it, and returns the exit status: 0 done, 1 checked and found wanting. ValueError, OSError
            and ImportError end it with status 2 and their message.
    """

    summary: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def known_options(self) -> list[str]:
        """The long options that there are, "--seed", …."""
        return re.findall(r"--[a-z][a-z0-9-]*", self.format_usage())


def parser_of(commands: Mapping[str, Command]) -> Parser:
    """The parser of ``autobp COMMAND …``; what it reads has ``run``, ``command``, its name, ``parser``,
    its own, and ``parsers``, by name.
    """
    parser = Parser(
        prog="autobp",
        description="Write scalars, see every derivative, run at matrix speed.",
        epilog="Each command has its own --help, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"autobp {autobp.__version__}")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in commands.items():
        own = chosen.add_parser(
            name,
            help=command.summary[0].lower() + command.summary[1:].rstrip("."),
            description=command.summary,
            epilog=f"examples:\n{command.examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run, parser=own, parsers=chosen.choices)
    return parser


def parse(commands: Mapping[str, Command], arguments: list[str]) -> argparse.Namespace:
    """What the arguments say; SystemExit after a line on standard error where they are not known."""
    parser = parser_of(commands)
    first = arguments[0] if arguments else ""
    if first and not first.startswith("-") and first not in commands:
        meant = closest(first, commands)
        hint = f"did you mean {meant}? Known" if meant else "known"
        parser.error(f"unknown COMMAND {first!r}; {hint} are {', '.join(commands)}")
    options, left = parser.parse_known_args(arguments)
    if left:
        own: Parser = options.parser
        option = left[0].split("=")[0]
        meant = closest(option, own.known_options()) if option.startswith("--") else ""
        own.error(f"unknown argument {left[0]!r}" + (f"; did you mean {meant}?" if meant else ""))
    return options
