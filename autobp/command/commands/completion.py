"""``autobp completion``."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from autobp.command.arguments import one_of
from autobp.command.parser import Command
from autobp.datasets import names as named_sets

#: For each command, the words that may follow.
Words: TypeAlias = dict[str, list[str]]

_BASH = """\
_autobp() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{commands}" ;;
    esac
    [ "$COMP_CWORD" = 1 ] && words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _autobp autobp
"""


def _bash(words: Words) -> str:
    cases = "\n".join(f'    {name}) words="{" ".join(known)}" ;;' for name, known in words.items())
    return _BASH.format(cases=cases, commands=" ".join(words))


def _zsh(words: Words) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(words)


def _fish(words: Words) -> str:
    lines = [f"complete -c autobp -n __fish_use_subcommand -a '{' '.join(words)}'"]
    for name, known in words.items():
        options = [word for word in known if word.startswith("--")]
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        lines += [f"complete -c autobp {seen} -l {option[2:]}" for option in options]
        others = [word for word in known if not word.startswith("--")]
        if others:
            lines.append(f"complete -c autobp {seen} -a '{' '.join(others)}'")
    return "\n".join(lines) + "\n"


_SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("shell", type=one_of("shell", _SHELLS), metavar="SHELL", help=", ".join(_SHELLS))


def _run(options: argparse.Namespace) -> int:
    words = {name: parser.known_options() for name, parser in options.parsers.items()}
    words["train"] += named_sets()
    words[options.command] += _SHELLS
    print(_SHELLS[options.shell](words), end="")
    return 0


COMMAND = Command(
    "Write what lets a shell complete commands, options and names of data sets.",
    '  eval "$(autobp completion bash)"            in ~/.bashrc\n'
    '  eval "$(autobp completion zsh)"             in ~/.zshrc\n'
    "  autobp completion fish > ~/.config/fish/completions/autobp.fish",
    _add_arguments,
    _run,
)
