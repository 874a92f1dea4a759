"""The document: a model, the scripts that bring it to life, and the page around them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from autobp.drawing.style import THEMES, Theme, printable

_LONGEST_TITLE = 200


@dataclass(frozen=True)
class Document:
    """What one page shows.

    Attributes:
        heading: its title, where the user gives none.
        model: what the scripts read: root, nodes, view ….
        table: JavaScript that was written for this model, its rules or its program.
        scripts: the files with the model's own part, after stage.js, which every page has.
    """

    heading: str
    model: dict[str, Any]
    table: str
    scripts: Sequence[str]

    def html(self, title: str | None) -> str:
        """The page, complete in itself."""
        # "<" would let a label end the script
        data = json.dumps(_finite(self.model), ensure_ascii=False, separators=(",", ":"))
        return Template(_read("page.html")).substitute(
            title=escape(printable(title or self.heading, _LONGEST_TITLE)),
            style=f"{_colours(':root', THEMES['light'])}\n@media (prefers-color-scheme: dark) "
            f"{{ {_colours(':root', THEMES['dark'])} }}\n{_read('page.css')}",
            data=data.replace("<", "\\u003c"),
            script=_read("stage.js") + self.table + "".join(map(_read, self.scripts)),
        )


def _read(name: str) -> str:
    return files("autobp.html_page").joinpath(name).read_text(encoding="utf-8")


def _colours(selector: str, theme: Theme) -> str:
    names = (
        "background",
        "ink",
        "muted",
        "line",
        "node",
        "panel",
        "inner_panel",
        "positive",
        "negative",
        "highlight",
    )
    values = "; ".join(f"--{name.replace('_', '-')}: {getattr(theme, name)}" for name in names)
    return f"{selector} {{ {values} }}"


def _finite(x: Any) -> Any:
    """JSON has no infinities and no NaN: they travel as text."""
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_finite(value) for value in x]
    return x
