"""How much a program computes in a call, in each step of its loops: statements, elements, multiplications."""

from __future__ import annotations

import math

from autobp import ir
from autobp.ir import Program


def statements(program: Program) -> int:
    """How many statements NumPy runs in a call."""
    return sum(x.steps * statements(x.body) if isinstance(x, ir.Loop) else 1 for x in program.arrays)


def elements(program: Program, rows: int) -> int:
    """How many elements the arrays with samples have, for so many rows."""
    return sum(
        x.steps * elements(x.body, rows) if isinstance(x, ir.Loop) else rows * x.size * x.batched
        for x in program.arrays
    )


def multiplications(program: Program, rows: int, larger_than: int = 0) -> int:
    """How many multiplications the products of matrices take for so many rows.

    Args:
        larger_than: of those products alone whose matrix has more numbers, which all samples share or are
            summed into; where each sample has its own, that take more multiplications each.
    """
    found = 0
    for x in program.arrays:
        if isinstance(x, ir.Loop):
            found += x.steps * multiplications(x.body, rows, larger_than)
        elif isinstance(x, ir.MatMul | ir.Product):
            left, right = (x.rows, x.columns) if isinstance(x, ir.MatMul) else (x.delta, x.other)
            inner, outer = right.shape[-2:] if isinstance(x, ir.MatMul) else (left.shape[-1], right.shape[-1])
            own = left.batched and right.batched and x.batched
            times = inner if isinstance(x, ir.MatMul) else outer
            if (math.prod(left.shape[-2:]) * times if own else inner * outer) > larger_than:
                found += left.size * times * (rows if left.batched or right.batched else 1)
    return found


def runs(program: Program) -> int:
    """How often NumPy is called for a program's statements: once, and for those of a loop at each step."""
    return 1 + sum(x.steps * runs(x.body) for x in program.arrays if isinstance(x, ir.Loop))
