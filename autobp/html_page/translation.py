"""A compiled program's source as JavaScript, statement by statement.

The page computes what the program says and nothing else: its statements, forward and backward, and the
functions that the compiler wrote from the operation table's rules. What NumPy does to one element after
another becomes a function of numbers, run by ``map``; the rest calls the functions of ``arrays.js``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable

from autobp.compiler.expression import UFUNCS
from autobp.html_page.javascript import JAVASCRIPT, Expression, literal

_INFIX: dict[type[ast.operator], Callable[[Expression, Expression], Expression]] = {
    ast.Add: lambda x, y: x + y,
    ast.Sub: lambda x, y: x - y,
    ast.Mult: lambda x, y: x * y,
    ast.Div: lambda x, y: x / y,
    ast.Pow: lambda x, y: x**y,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Expression, Expression], Expression]] = {
    ast.Gt: lambda x, y: x > y,
    ast.GtE: lambda x, y: x >= y,
    ast.Lt: lambda x, y: x < y,
    ast.LtE: lambda x, y: x <= y,
    ast.Eq: lambda x, y: x == y,
    ast.NotEq: lambda x, y: x != y,
}
#: NumPy's names of elementary functions, to those of the operation table.
_ELEMENTARY = {numpy: name for name, numpy in UFUNCS.items()}
#: Functions of a program that arrays.js and elementary.js have: all that the compiler does not write itself.
_READY = {"spread": "spread", "choose": "chooseEach", "choose_outer": "chooseOuter"}
_READY_FOR_NUMBERS = {"pick", "erf", "erfc"}
_FOLDS = {"sum": "plus", "max": "Math.max", "min": "Math.min",
          "add": "plus", "maximum": "Math.max", "minimum": "Math.min"}  # fmt: skip


def translate(source: str, result: str) -> str:
    """JavaScript for a program's source: OPERATIONS, its functions of numbers, and run(v).

    ``run`` carries out all statements on an object that has the arguments and the constants by name, sets
    there each variable, and under the name ``result`` the cost or the outputs.

    Raises:
        TypeError: an operation is computed by Python code, which has no formula.
    """
    module = ast.parse(source).body
    functions = {node.name: node for node in module if isinstance(node, ast.FunctionDef)}
    for line in module:
        if isinstance(line, ast.Assign) and "lambda" in ast.unparse(line.value):
            name = ast.unparse(line.targets[0])
            raise TypeError(f"{name} is computed by Python code, which has no formula to write down")
    both = functions.get("cost_and_gradient", functions["value"])
    operations = [
        f"  {_quoted(name)}: {_of_numbers(function)},\n"
        for name, function in functions.items()
        if name not in {"value", "cost_and_gradient", "whole", *_READY, *_READY_FOR_NUMBERS}
    ]
    lines = [f"  {_statement(line, result)}\n" for line in both.body if not isinstance(line, ast.Expr)]
    return f"const OPERATIONS = {{\n{''.join(operations)}}};\nfunction run(v) {{\n{''.join(lines)}}}\n"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _of_numbers(function: ast.FunctionDef) -> str:
    """A function that the compiler wrote from a rule, as a function of numbers."""

    def name(node: ast.expr) -> Expression:
        if not isinstance(node, ast.Name):
            raise TypeError(f"{function.name} has {ast.unparse(node)}")
        return Expression(f"${node.id}")  # in JavaScript other words are reserved

    lines = []
    for line in function.body:
        if isinstance(line, ast.Return) and line.value is not None:
            lines.append(f"return {literal(_number(line.value, name))};")
        elif isinstance(line, ast.Assign):
            lines.append(f"const {name(line.targets[0]).text} = {literal(_number(line.value, name))};")
        else:
            raise TypeError(f"{function.name} has {ast.unparse(line)}")
    return f"({', '.join(f'${x.arg}' for x in function.args.args)}) => {{ {' '.join(lines)} }}"


def _called(node: ast.expr) -> str:
    """The function that a call names: "np.exp", "sigmoid"; "" where it is a method or no call."""
    if not isinstance(node, ast.Call):
        return ""
    called = ast.unparse(node.func)
    return called if re.fullmatch(r"np(\.\w+)+|\w+", called) else ""


def _is_elementwise(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in _INFIX
    called = _called(node)
    if not called:
        return isinstance(node, ast.Constant | ast.UnaryOp | ast.Compare) or _is_limit(node)
    if called.startswith("np."):
        return called == "np.where" or called[3:] in _ELEMENTARY
    return called not in {"len", *_READY}


def _is_limit(node: ast.expr) -> bool:
    return ast.unparse(node) in ("np.inf", "np.nan")


def _number(node: ast.expr, other: Callable[[ast.expr], Expression]) -> Expression:
    """What is done to each element, as an expression in numbers; ``other`` gives what is not elementwise."""
    if not _is_elementwise(node):
        return other(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Expression(literal(node.value))
    if _is_limit(node):
        return Expression(literal(float(ast.unparse(node)[3:])))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, other)
    if isinstance(node, ast.BinOp):
        return _INFIX[type(node.op)](_number(node.left, other), _number(node.right, other))
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = _number(node.left, other), _number(node.comparators[0], other)
        return _COMPARISONS[type(node.ops[0])](left, right)
    called = _called(node)
    if not isinstance(node, ast.Call) or not called:
        raise TypeError(f"there is no JavaScript for {ast.unparse(node)}")
    operands = [_number(argument, other) for argument in node.args]
    if called.startswith("np."):
        made: Expression = getattr(JAVASCRIPT, _ELEMENTARY.get(called[3:], called[3:]))(*operands)
        return made
    function = called if called in _READY_FOR_NUMBERS else f"OPERATIONS[{_quoted(called)}]"
    return Expression(f"{function}({', '.join(operand.text for operand in operands)})")


def _statement(line: ast.stmt, result: str) -> str:
    if isinstance(line, ast.Return) and line.value is not None:
        value = line.value.elts[0] if isinstance(line.value, ast.Tuple) else line.value
        return f"v[{_quoted(result)}] = {_array(value)};"
    if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
        return f"v[{_quoted(line.targets[0].id)}] = {_array(line.value)};"
    if isinstance(line, ast.Assign):
        return f"set({_array(line.targets[0])}, {_array(line.value)});"
    if isinstance(line, ast.AugAssign) and isinstance(line.op, ast.Add):
        target = _array(line.target)
        return f"set({target}, map(plus, {target}, {_array(line.value)}));"
    raise TypeError(f"there is no JavaScript for {ast.unparse(line)}")


def _array(node: ast.expr) -> str:
    """JavaScript that gives an array, or a number."""
    if isinstance(node, ast.Name):
        return f"v[{_quoted(node.id)}]"
    if _is_elementwise(node):
        operands: dict[str, Expression] = {}

        def operand(inner: ast.expr) -> Expression:
            return operands.setdefault(_array(inner), Expression(f"x{len(operands)}"))

        formula = _number(node, operand)
        if not operands:
            return formula.text
        names = ", ".join(x.text for x in operands.values())
        return f"map(({names}) => {formula.text}, {', '.join(operands)})"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return f"matmul({_array(node.left)}, {_array(node.right)})"
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return f"transpose({_array(node.value)})"
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return f"at({_array(node.value)}, [{', '.join(map(_index, parts))}])"
    if isinstance(node, ast.Call):
        return _call(node)
    raise TypeError(f"there is no JavaScript for {ast.unparse(node)}")


def _index(part: ast.expr) -> str:
    if isinstance(part, ast.Slice):
        ends = [part.lower, part.upper, part.step]
        return f"[{', '.join('null' if end is None else _size(end) for end in ends)}]"
    if isinstance(part, ast.Constant) and part.value is None:
        return "null"
    if isinstance(part, ast.Constant) and part.value is ...:
        return '"..."'
    return _array(part)


def _size(node: ast.expr) -> str:
    """A number of elements."""
    return str(node.value) if isinstance(node, ast.Constant) else _array(node)


def _sizes(nodes: list[ast.expr]) -> str:
    """A shape, from a tuple or from arguments."""
    if len(nodes) == 1 and isinstance(nodes[0], ast.Tuple):
        nodes = nodes[0].elts
    return f"[{', '.join(map(_size, nodes))}]"


def _call(node: ast.Call) -> str:
    called = _called(node)
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if called == "len":
        return f"{_array(node.args[0])}.shape[0]"
    if called in _READY:
        *arrays, last = node.args
        final = _sizes([last]) if called == "spread" else _array(last)
        return f"{_READY[called]}({', '.join([*map(_array, arrays), final])})"
    if called in ("np.zeros", "np.empty"):
        return f"full({_sizes(node.args)}, 0)"
    if called == "np.full":
        return f"full({_sizes(node.args[:1])}, {_array(node.args[1])})"
    if called == "np.broadcast_to":
        return f"broadcast({_array(node.args[0])}, {_sizes(node.args[1:])})"
    if called == "np.arange":
        return f"arange({_size(node.args[0])})"
    if called == "np.repeat":
        return f"repeat({_array(node.args[0])}, {_array(node.args[1])})"
    if called.endswith(".reduceat"):
        fold = _FOLDS[called.split(".")[1]]
        return f"reduceAt({fold}, {_array(node.args[0])}, {_array(node.args[1])})"
    if not called and isinstance(node.func, ast.Attribute):
        method, source = node.func.attr, _array(node.func.value)
        if method == "reshape":
            return f"reshape({source}, {_sizes(node.args)})"
        if method in _FOLDS:
            axis = options.get("axis")
            axes = "null" if axis is None else _sizes([axis])
            return f"fold({_FOLDS[method]}, {source}, {axes}, {str('keepdims' in options).lower()})"
        if method == "take":
            return f"take({source}, {_array(node.args[0])})"
        if method == "transpose":
            return f"transpose({source}, {_sizes(node.args)})"
        if method == "swapaxes":
            return f"swapAxes({source}, {_array(node.args[0])}, {_array(node.args[1])})"
    raise TypeError(f"there is no JavaScript for {ast.unparse(node)}")
