"""What is wrong with a compiled program, found in every way there is, and shrunk to what it takes.

A program is compiled as a user would compile it, and held against the engine's own numbers, row by row: the
step, and its source run alone in an empty namespace. A difference that rounding does not explain is a fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from whole_programs import Operand, Program, Statement

import autobp
from autobp import Value
from autobp.compiler.verified import ProgramDiffers
from autobp.compiler.witness import Witness, agree
from autobp.engine import ieee

# ------------------------------------------------------------------------------------------------- the checks


@dataclass(frozen=True)
class Fault:
    """What is wrong: in short, so that two faults can be told apart, and in full."""

    kind: str
    details: str


def fault_of(program: Program) -> Fault | None:
    """What is wrong with the compiled program; None where all ways agree, as far as rounding lets them."""
    w = [Value(v) for v in program.theta]
    function = program.made(w)
    data = [] if program.whole else [np.array(program.rows, dtype=np.float64)]
    try:
        with ieee():
            by_engine = _by_engine(function, w, data, program.as_list)
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError):
        return None  # not a program at all; shrinking comes to such
    step = autobp.compile(function, w)
    try:
        found = step(step.theta, *data)
    except ProgramDiffers as error:
        kind = ": not finite" if re.search(r" is -?(nan|inf) by the program", str(error)) else ""
        return Fault(f"differs at the trace{kind}", str(error))
    except Exception as error:
        return Fault(f"raises {type(error).__name__}", repr(error))
    certificate = step.verify(step.theta, *data)
    if not certificate:
        kind = "" if np.isfinite(certificate.first_failure.program) else ": not finite"
        return Fault(f"differs at other rows{kind}", str(certificate))
    return _among_witnesses(program, step, data, by_engine, found)


def _by_engine(function: Any, w: Sequence[Value], data: Sequence[np.ndarray], as_list: bool) -> np.ndarray:
    """Outputs, and after a cost its gradient, of each row, by Values and backward()."""
    found = []
    for arguments in zip(*data, strict=True) if data else [()]:
        made = function(*[[Value(v) for v in argument] for argument in arguments])
        if as_list:
            found.append([output.data for output in made])
        else:
            for v in w:
                v.grad = 0.0
            made.backward()
            found.append([made.data, *[v.grad for v in w]])
    return np.array(found)


def _among_witnesses(
    program: Program, step: Any, data: Sequence[np.ndarray], by_engine: np.ndarray, found: Any
) -> Fault | None:
    """The engine against the walk that certifies, and the source alone against both."""
    graph = step._executable().graph
    witness = Witness(graph, not program.as_list, step.theta, data)
    with np.errstate(all="ignore"):
        if not np.allclose(witness.numbers, by_engine, rtol=1e-9, atol=0.0, equal_nan=True):
            bounds = witness.bounds(by_engine)
            if not agree(by_engine, witness.numbers, bounds).all():
                return Fault("the walk is not the engine's", f"{witness.numbers}\n{by_engine}")
        names: dict[str, Any] = {}
        exec(compile(step.source, "<source>", "exec"), names)
        if program.as_list:
            alone, together, expected = names["value"](step.theta, *data), found, witness.numbers
        else:
            alone, together = np.hstack(names["cost_and_gradient"](step.theta, *data)), np.hstack(found)
            expected = (witness.numbers / witness.m).sum(0)
        for who, numbers in (("the step", together), ("the source", alone)):
            numbers = np.asarray(numbers).reshape(expected.shape)
            right = agree(numbers, expected, 1e-13 * np.abs(expected))
            if who == "the source":  # a step has other ways where this is not finite
                right |= ~np.isfinite(numbers)
            if not right.all():
                whole = witness.bounds(np.where(right, witness.numbers, np.nan))
                bounds = whole if program.as_list else (whole / witness.m).sum(0)
                right |= agree(numbers, expected, bounds)
            if not right.all():
                return Fault(f"{who} differs over all rows", f"{numbers}\n{expected}\n{bounds}")
    return None


# ------------------------------------------------------------------------------------------------- shrinking


def shrunk(program: Program, fault: Fault, find: Callable[[Program], Fault | None] = fault_of) -> Program:
    """A smallest program with the same kind of fault: nothing can be left out or made simpler."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(program):
            found = _quietly(find, candidate)
            if found is not None and found.kind == fault.kind:
                program, smaller = candidate, True
                break
    return program


def _quietly(find: Callable[[Program], Fault | None], program: Program) -> Fault | None:
    try:
        return find(program)
    except Exception:
        return None


def _smaller(program: Program) -> Iterator[Program]:
    """Programs with something less, the boldest first."""
    yield from _compact(program)
    yield from _fewer_results(program)
    for k in range(len(program.statements) - 1, -1, -1):
        yield from _without(program, k)
    for i in range(len(program.rows)):
        if len(program.rows) > 1:
            yield replace(program, rows=program.rows[:i] + program.rows[i + 1 :])
    for k, statement in enumerate(program.statements):
        for made in _simpler(statement):
            yield replace(program, statements=(*program.statements[:k], made, *program.statements[k + 1 :]))
    for i, value in enumerate(program.theta):
        for simple in _simpler_numbers(value):
            yield replace(program, theta=(*program.theta[:i], simple, *program.theta[i + 1 :]))
    for k, row in enumerate(program.rows):
        for i, value in enumerate(row):
            for simple in _simpler_numbers(value):
                made = (*row[:i], simple, *row[i + 1 :])
                yield replace(program, rows=(*program.rows[:k], made, *program.rows[k + 1 :]))


def _compact(program: Program) -> Iterator[Program]:
    """Without the parameters and inputs that nothing uses."""
    operands = [operand for statement in program.statements for operand in statement.operands]
    used = {operand for operand in [*operands, *program.results] if not isinstance(operand, float)}
    w, x = [sorted({i for kind, i, *_ in used if kind == which}) for which in ("w", "x")]
    if len(w) < len(program.theta) > 1 or len(x) < len(program.rows[0]) > 1:
        w, x = w or [0], x or [0]
        places = {
            **{("w", i): ("w", k) for k, i in enumerate(w)},
            **{("x", i): ("x", k) for k, i in enumerate(x)},
        }

        def moved(operand: Operand) -> Operand:
            return places.get(operand, operand)

        yield replace(
            program,
            theta=tuple([program.theta[i] for i in w]),
            rows=tuple([tuple([row[i] for i in x]) for row in program.rows]),
            statements=tuple(
                [replace(s, operands=tuple(map(moved, s.operands))) for s in program.statements]
            ),
            results=tuple(map(moved, program.results)),
        )


def _fewer_results(program: Program) -> Iterator[Program]:
    n = len(program.results)
    for size in (n // 2, 1):
        for first in range(0, n if 0 < size < n else 0, max(size, 1)):
            yield replace(program, results=program.results[:first] + program.results[first + size :])


def _without(program: Program, k: int) -> Iterator[Program]:
    """Without statement k: one of its operands, or a number, in its place."""
    for other in dict.fromkeys([*program.statements[k].operands, 0.5]):

        def moved(operand: Operand, other: Operand = other) -> Operand:
            if isinstance(operand, float) or operand[0] != "v":
                return operand
            if operand[1] == k:
                return other
            return ("v", operand[1] - 1, operand[2]) if operand[1] > k else operand

        results = tuple(map(moved, program.results))
        if all(isinstance(result, float) for result in results):
            continue
        statements = tuple(
            [
                replace(statement, operands=tuple(map(moved, statement.operands)))
                for statement in program.statements[:k] + program.statements[k + 1 :]
            ]
        )
        yield replace(program, statements=statements, results=results)


def _simpler(statement: Statement) -> Iterator[Statement]:
    at = 0
    for i, (_, n) in enumerate(statement.terms):
        if len(statement.terms) > 1:
            yield replace(
                statement,
                operands=statement.operands[:at] + statement.operands[at + n :],
                terms=statement.terms[:i] + statement.terms[i + 1 :],
            )
        at += n
    for i, operand in enumerate(statement.operands):
        if not isinstance(operand, float) and operand[0] == "v":
            yield replace(statement, operands=(*statement.operands[:i], 0.5, *statement.operands[i + 1 :]))


def _simpler_numbers(value: float) -> Iterator[float]:
    simple = [0.0, 1.0, 2.0, round(value, 1) if math.isfinite(value) else 0.5, 0.5]
    if value not in (0.0, 1.0, 2.0, 0.5):
        yield from [number for number in simple if number != value]
