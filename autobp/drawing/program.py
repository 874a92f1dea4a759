"""A compiled program: its statements as boxes, forward and backward, joined by the arrays they pass on.

What is shown are the statements of the readable source, as :mod:`~autobp.backends.numpy_text` tells them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from autobp.backends.numpy_text import Function, Line
from autobp.compiler.step import Step
from autobp.drawing.picture import Picture
from autobp.drawing.scalars import new_picture, panel, put_caption
from autobp.drawing.style import Style, counted, escape_html, printable
from autobp.ir import Array

_CODE = "Courier New,Courier,monospace"
_LONGEST = 60  # of a statement that is shown whole


@dataclass(eq=False)
class Statement:
    """An array of the program, and how it is made.

    Attributes:
        name: the variable, or "cost".
        shape: such as "m × 16", m being the number of samples; "number" without axes.
        formulas: what it is assigned; several where it is put together in pieces.
        operands: what it is computed from, each once; a program's arguments have no formulas.
        backward: whether the cost does not depend on it.
    """

    name: str
    shape: str
    formulas: list[str] = field(default_factory=list)
    operands: list[Statement] = field(default_factory=list)
    backward: bool = False


def statements(step: Step) -> tuple[list[Statement], list[Statement]]:
    """The arguments of a program, theta first, and its statements in order, the last of them its result.

    Raises:
        ValueError: the step has not been traced yet.
    """
    function = step.written.functions[-1]
    arguments = [Statement(function.variables[x], _shape(x)) for x in function.program.arguments]
    known = {argument.name: argument for argument in arguments}
    found: list[Statement] = []
    for line in (*function.lines, function.result):
        if line.name == "m":
            continue
        if line.name not in known:
            known[line.name] = Statement(line.name, _shape_of(line, function))
            found.append(known[line.name])
        statement = known[line.name]
        statement.formulas.append(line.formula)
        for operand in [known[function.variables[x]] for x in line.reads]:
            if operand is not statement and operand not in statement.operands:
                statement.operands.append(operand)
    forward = {found[-1]}
    stack = [found[-1]]
    while stack:
        for operand in stack.pop().operands:
            if operand not in forward:
                forward.add(operand)
                stack.append(operand)
    for statement in found:
        statement.backward = statement not in forward
    return arguments, found


def _shape_of(line: Line, function: Function) -> str:
    """The shape of what a statement sets."""
    program = function.program
    if line is function.result and program.result_shape is not None:
        return _sizes(bool(program.inputs), program.result_shape)
    return "" if line.array is None else _shape(line.array)


def _shape(array: Array) -> str:
    return _sizes(array.batched, array.shape)


def _sizes(batched: bool, shape: tuple[int, ...]) -> str:
    return " × ".join([*["m"] * batched, *[f"{n:,}" for n in shape]]) or "number"


def draw_program(
    step: Step, style: Style, max_nodes: int, box: Callable[[Statement], dict[str, str]] | None = None
) -> Picture:
    """The statements of a traced program; the first of them where there are more than max_nodes.

    Args:
        box: the attributes of a statement's node; left out, a table with its name, shape and formulas.
    """
    arguments, found = statements(step)
    picture = new_picture(style)
    lines = [f"{counted(len(found), 'array')} stand for the scalar graph; m is the number of samples"]
    if len(found) > max_nodes:
        lines.append(f"the first {max_nodes:,} are drawn, {len(found) - max_nodes:,} are left out")
        found = found[:max_nodes]
    put_caption(picture, lines, style)

    def put(graph: Picture, statement: Statement) -> None:
        name = ids[id(statement)]
        look = box(statement) if box else {"label": _label(statement, style)}
        graph.node(name, id=name, tooltip=statement.name, **look)

    ids = {id(statement): f"s{i}" for i, statement in enumerate([*arguments, *found])}
    for argument in arguments:
        put(picture, argument)
    boxes: dict[bool, list[Statement]] = {False: [], True: []}
    for statement in found:
        boxes[statement.backward].append(statement)
        for slot, operand in enumerate(statement.operands):
            if id(operand) in ids:
                name = ids[id(statement)]
                picture.edge(ids[id(operand)], name, id=f"{name}_{slot}", tooltip=operand.name)
    for backward, title in ((False, "forward"), (True, "backward")):
        if not boxes[backward]:
            continue
        with picture.subgraph(name=f"cluster_{title}") as outer:
            panel(outer, title, style)
            for statement in boxes[backward]:
                put(outer, statement)
    return picture


def shown_lines(statement: Statement) -> list[str]:
    """A statement's formulas as far as a box has room for them."""
    shown = [printable(formula, _LONGEST) for formula in statement.formulas[:4]]
    left_out = len(statement.formulas) - len(shown)
    return [*shown, f"… {left_out} more"] if left_out else shown


def _label(statement: Statement, style: Style) -> str:
    colours = style.colours
    head = (
        f'<td align="left"><b>{escape_html(statement.name)}</b></td><td align="right">{statement.shape}</td>'
    )
    body = "".join(
        f'<tr><td colspan="2" align="left"><font face="{_CODE}">{escape_html(line)}</font></td></tr>'
        for line in shown_lines(statement)
    )
    fill = colours.inner_panel if statement.backward else colours.node
    rounded = ' style="rounded"' if statement.formulas else ""
    return (
        f'<<table border="1"{rounded} color="{colours.line}" bgcolor="{fill}" cellborder="0" '
        f'cellspacing="1" cellpadding="3"><tr>{head}</tr>{body}</table>>'
    )
