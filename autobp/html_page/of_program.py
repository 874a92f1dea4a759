"""The page of a compiled program: its statements as boxes, and as JavaScript that carries them out anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autobp.backends.javascript import javascript
from autobp.compiler.step import Step
from autobp.drawing.picture import Picture
from autobp.drawing.program import Statement, draw_program, shown_lines, statements
from autobp.drawing.style import Style
from autobp.html_page.document import Document
from autobp.html_page.places import MOST_NODES, find_places, view_of

_MOST_NUMBERS = 500_000  # in a program's arrays, to be computed anew while one is dragged
_SCRIPTS = ("elementary.js", "arrays.js", "program.js")


def program_page(step: Step, data: Sequence[ArrayLike], direction: str) -> Document:
    """The document of a traced step; ``data`` as :func:`autobp.page` takes them.

    Raises ValueError where there are too many statements, or the data are not the program's arguments.
    """
    arguments, found = statements(step)
    if len(found) > MOST_NODES:
        raise ValueError(
            f"a page shows every statement, and {len(found):,} are too many (at most {MOST_NODES:,})"
        )
    everything = [*arguments, *found]
    position = {id(statement): i for i, statement in enumerate(everything)}
    if len(data) not in (0, len(arguments) - 1):
        names = ", ".join(argument.name for argument in arguments[1:]) or "nothing"
        raise ValueError(
            f"data must hold the program's arguments ({names}), each with samples as rows; got {len(data)}"
        )
    numbers = step.variables(step.theta, *data) if len(data) or len(arguments) == 1 else {}
    given, code, note = _live(step, arguments, numbers)

    def box(statement: Statement) -> dict[str, str]:
        lines = shown_lines(statement)
        head = len(statement.name) + len(statement.shape)
        width = max(150.0, 7.5 * head + 40, 7.3 * max(map(len, lines), default=0) + 20)
        size = {"width": f"{width / 72:.4f}", "height": f"{(27 + 16 * (len(lines) + bool(code))) / 72:.4f}"}
        return {"shape": "box", "fixedsize": "true", "label": "", **size}

    style = Style(direction, (), ".4g", "light", "none")
    picture = draw_program(step, style, MOST_NODES, box=box)
    nodes = []
    for statement in everything:
        described: dict[str, Any] = {
            "name": statement.name,
            "shape": statement.shape,
            "formulas": statement.formulas,
            "backward": statement.backward,
        }
        if statement in found:
            described["operands"] = [position[id(operand)] for operand in statement.operands]
        if not code and statement.name in numbers:
            described["numbers"] = _first_numbers(numbers[statement.name])
        nodes.append(described)
    model = {
        "root": len(everything) - 1,
        "nodes": nodes,
        "given": given,
        "note": note,
        "view": _program_view(everything, picture, with_numbers=bool(code)),
    }
    return Document(f"A program of {len(found)} arrays", model, code or "const run = null;\n", _SCRIPTS)


def _live(
    step: Step, arguments: Sequence[Statement], numbers: dict[str, Any]
) -> tuple[dict[str, Any], str, str]:
    """The arguments' and constants' numbers, and the statements as JavaScript; or why there are none."""
    if not numbers:
        names = ", ".join(argument.name for argument in arguments[1:])
        return {}, "", f"Made without data; with page(step, path, data=({names},)) it computes with numbers."
    n_numbers = sum(np.size(x) for x in numbers.values())
    if n_numbers > _MOST_NUMBERS:
        return {}, "", (
            f"The arrays hold {n_numbers:,} numbers, too many to compute anew while one is dragged (at most "
            f"{_MOST_NUMBERS:,}); a page with fewer samples has fewer."
        )  # fmt: skip
    try:
        code = javascript(step.written)
    except TypeError as error:
        return {}, "", f"Nothing is computed anew: {error}."
    given = {argument.name: _packed(numbers[argument.name]) for argument in arguments}
    return given | {name: _packed(x) for name, x in step.written.module.constants.items()}, code, ""


def _packed(numbers: Any) -> dict[str, Any]:
    array = np.asarray(numbers, dtype=np.float64)
    return {"shape": list(array.shape), "numbers": array.reshape(-1).tolist()}


def _first_numbers(numbers: Any) -> dict[str, Any]:
    """An array's shape and the numbers of its upper left corner, as many as can be read."""
    array = np.asarray(numbers, dtype=np.float64)
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    return {"shape": list(array.shape), "corner": rows[:12, :5].tolist()}


def _program_view(found: list[Statement], picture: Picture, *, with_numbers: bool) -> dict[str, Any]:
    places = find_places(picture)
    items: list[dict[str, Any]] = []
    for name, at in places.boxes.items():
        statement = found[int(name[1:])]
        x, y, width, height = at
        left, right, top = x - width / 2 + 8, x + width / 2 - 8, y - height / 2
        texts: list[list[Any]] = [["symbol", left, top + 17, statement.name]]
        texts.append(["right", right, top + 17, statement.shape])
        lines = shown_lines(statement)
        texts += [["code", left, top + 35 + 16 * k, line] for k, line in enumerate(lines)]
        numbers = [["range", left, top + 35 + 16 * len(lines), int(name[1:]), "data", ""]]
        items.append(
            {
                "node": int(name[1:]),
                "tint": int(name[1:]),
                "shape": "backward" if statement.backward else "box",
                "at": at,
                "texts": texts,
                "numbers": numbers if with_numbers else [],
            }
        )
    return view_of(places, items)
