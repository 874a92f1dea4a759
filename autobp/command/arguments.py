"""The kinds of arguments that commands take, each with a message of its own, and files to write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from autobp.arguments import unknown


def one_of(
    what: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> Callable[[str], str]:
    """A type of arguments that says which name is meant, as ``choices`` do not."""

    def name(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(unknown(what, text, known, elsewhere or {}))
        return text

    return name


def names(text: str) -> list[str]:
    return text.split(",")


def size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def above_zero(text: str) -> float:
    given = number(text)
    if not given > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return given


def at_least_zero(text: str) -> float:
    given = number(text)
    if not given >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 or more")
    return given


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def picture_format(path: Path) -> str:
    kind = path.suffix.lstrip(".").lower()
    if kind not in ("svg", "png", "pdf"):
        raise ValueError(f"the output must end in .svg, .png or .pdf; got {path}")
    return kind


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


