"""A compiled program: its statements as boxes, forward and backward, joined by the arrays they pass on.

The picture is read from the program's source, and its shapes from running that.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autobp.compiler.step import Step
from autobp.drawing.picture import Picture
from autobp.drawing.scalars import new_picture, panel, put_caption
from autobp.drawing.style import Style, counted, escape_html, printable

_CODE = "Courier New,Courier,monospace"
_LONGEST = 60  # of a statement that is shown whole


@dataclass
class Statement:
    """An array of the program, and how it is made.

    Attributes:
        name: the variable, or "cost".
        formulas: what it is assigned; several where it is put together in pieces.
        operands: what it is computed from, each once; a program's arguments have no formulas.
        backward: whether the cost does not depend on it.
    """

    name: str
    formulas: list[str] = field(default_factory=list)
    operands: list[Statement] = field(default_factory=list)
    backward: bool = False


def statements(step: Step) -> tuple[list[Statement], list[Statement]]:
    """The arguments of a program, theta first, and its statements in order, the last of them its result.

    Raises:
        ValueError: the step has not been traced yet.
    """
    both = _function(ast.parse(step.source))
    arguments = [Statement(argument.arg) for argument in both.args.args]
    known = {argument.name: argument for argument in arguments}
    found: list[Statement] = []
    for line in both.body:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # the docstring
        read: ast.AST = line
        if isinstance(line, ast.Return):
            read = _result(line)
            name, formula = _result_name(both), ast.unparse(read)
        else:
            name = _assigned(line)
            formula = ast.unparse(line).removeprefix(f"{name} = ")
        loaded = (node for node in ast.walk(read) if isinstance(node, ast.Name))
        used = [node.id for node in loaded if isinstance(node.ctx, ast.Load)]
        if name == "m":
            continue
        if name in used or isinstance(line, ast.AugAssign):  # it is changed
            statement = known[name]
        else:
            statement = Statement(name)
            found.append(statement)
        statement.formulas.append(formula)
        for use in used:
            operand = known.get(use, statement)
            if operand is not statement and not any(operand is x for x in statement.operands):
                statement.operands.append(operand)
        known[name] = statement
    forward = {id(found[-1])}
    stack = [found[-1]]
    while stack:
        for operand in stack.pop().operands:
            if id(operand) not in forward:
                forward.add(id(operand))
                stack.append(operand)
    for statement in found:
        statement.backward = id(statement) not in forward
    return arguments, found


def _assigned(line: ast.stmt) -> str:
    """The variable that a line sets or changes: x in ``x = …``, ``x[…] = …``, ``x += …``, ``f(…, out=x)``."""
    if isinstance(line, ast.Assign | ast.AugAssign):
        target: ast.expr = line.targets[0] if isinstance(line, ast.Assign) else line.target
    elif isinstance(line, ast.Expr) and isinstance(line.value, ast.Call):
        outs = [keyword.value for keyword in line.value.keywords if keyword.arg == "out"]
        target = outs[0] if outs else line.value.args[0]
    else:
        raise ValueError(f"cannot draw the statement {ast.unparse(line)!r}")
    while not isinstance(target, ast.Name):
        inner = next(iter(ast.iter_child_nodes(target)))
        assert isinstance(inner, ast.expr)
        target = inner
    return target.id


def shapes(step: Step) -> dict[str, str]:
    """The shape of each array, such as "m × 16": an axis whose length changes with the samples is m."""
    runs = []
    for m in (2, 3):
        made = variables(step, [np.zeros((m, *x.sample)) for x in step.program.inputs])
        runs.append({name: np.shape(x) for name, x in made.items()})
    found = {}
    for name, first in runs[0].items():
        second = runs[1].get(name, ())
        if len(first) == len(second):
            sizes = ["m" if a != b else f"{a:,}" for a, b in zip(first, second, strict=True)]
            found[name] = " × ".join(sizes) if sizes else "number"
    return found


def variables(step: Step, arguments: Sequence[ArrayLike]) -> dict[str, Any]:
    """The program's variables at its end, "cost" or "result" among them, at the step's own theta.

    Raises:
        ValueError: the arguments' shapes are not those that the program was traced for.
    """
    program, theta, arrays = step._prepare(step.theta, arguments)
    module = ast.parse(program.source)
    both = _function(module)
    last = both.body[-1]
    assert isinstance(last, ast.Return)
    result = f"{{**locals(), {_result_name(both)!r}: {ast.unparse(_result(last))}}}"
    both.body[-1:] = ast.parse(f"return {result}").body
    namespace = _namespace(module)
    with np.errstate(all="ignore"):
        made: dict[str, Any] = namespace[both.name](theta, *arrays)
    return made


def constants(step: Step) -> dict[str, Any]:
    """The arrays of numbers that are fixed in the program, by name."""
    made = _namespace(ast.parse(step.source))
    return {name: x for name, x in made.items() if isinstance(x, np.ndarray)}


def _namespace(module: ast.Module) -> dict[str, Any]:
    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(module), "<compiled by autobp>", "exec"), made)
    return made


def _function(module: ast.Module) -> ast.FunctionDef:
    """The function with all of the program: forward and, where there is a cost, backward."""
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    return functions.get("cost_and_gradient", functions["value"])


def _result(line: ast.Return) -> ast.expr:
    """The cost, or the outputs."""
    assert line.value is not None
    return line.value.elts[0] if isinstance(line.value, ast.Tuple) else line.value


def _result_name(function: ast.FunctionDef) -> str:
    """ "cost" or "result", and an underscore where the program has such a variable itself."""
    taken = {node.arg for node in function.args.args}
    taken |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    name = "cost" if function.name == "cost_and_gradient" else "result"
    while name in taken:
        name += "_"
    return name


def draw_program(
    step: Step, style: Style, max_nodes: int, box: Callable[[Statement], dict[str, str]] | None = None
) -> Picture:
    """The statements of a traced program; the first of them where there are more than max_nodes.

    Args:
        box: the attributes of a statement's node; left out, a table with its name, shape and formulas.
    """
    arguments, found = statements(step)
    shape_of = shapes(step)
    picture = new_picture(style)
    lines = [f"{counted(len(found), 'array')} stand for the scalar graph; m is the number of samples"]
    if len(found) > max_nodes:
        lines.append(f"the first {max_nodes:,} are drawn, {len(found) - max_nodes:,} are left out")
        found = found[:max_nodes]
    put_caption(picture, lines, style)

    def put(graph: Picture, statement: Statement) -> None:
        name = ids[id(statement)]
        look = box(statement) if box else {"label": _label(statement, shape_of, style)}
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


def _label(statement: Statement, shape_of: dict[str, str], style: Style) -> str:
    colours = style.colours
    shape = shape_of.get(statement.name, "")
    head = f'<td align="left"><b>{escape_html(statement.name)}</b></td><td align="right">{shape}</td>'
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
