"""Programs as files of C that check themselves where no Python is, against numbers of the scalar graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from secrets import token_hex

import numpy as np

from autobp.backends.c_file import Example, c_file, check_name, head
from autobp.backends.c_text import CSource, c_source
from autobp.compiler.executable import Executable
from autobp.compiler.witness import Witness
from autobp.ir import Floats, Program
from autobp.reading.walk import given


def export(
    executables: Mapping[str, Executable], theta: Floats, path: str | os.PathLike[str], about: str
) -> Path:
    """Write programs of the same parameters as one file of C, and its header beside it.

    Args:
        executables: by the name of the function that outputs become; for those of a cost, the functions have
            the names that they have.
        theta: the parameters, as the file has them and checks itself with them.
        path: of the file; it ends in ".c".
        about: what its comment says first.

    Raises:
        OSError: it cannot be written.
        TypeError: an operation is computed by Python code, which has no formula.
        ValueError: the path ends otherwise, or a function cannot have its name.
    """
    target = Path(path)
    if target.suffix != ".c":
        raise ValueError(f"a file of C must end in .c; got {str(target)!r}")
    examples: dict[str, Example] = {}
    for name, executable in executables.items():
        outputs = executable.result_shape is not None
        if name != "value":
            check_name(name)
        examples[name if outputs else "cost"] = _example(executable, theta)
    source = _source(executables, head(about, target.stem))
    made = c_file(source, theta, examples, about, target.stem)
    _write(target.with_suffix(".h"), made.header)
    return _write(target, made.text)


def _source(executables: Mapping[str, Executable], about: str) -> CSource:
    if len(executables) == 1:
        return executables["value"].c_code(about)
    programs: dict[str, Program] = {}
    for name, executable in executables.items():
        outputs = executable.result_shape is not None
        programs.update({name: executable.programs["value"]} if outputs else executable.programs)
    return c_source(programs, about)


def _example(executable: Executable, theta: Floats) -> Example:
    """The sample of the trace, what the graph gives for it, and how far rounding may lead from that."""
    graph, is_cost = executable.graph, executable.result_shape is None
    arrays = [np.zeros((1, prod(shape))) for shape in executable.signature.samples]
    for role, nodes in given(graph).items():
        if role > 0:
            arrays[role - 1][0, [graph.positions[i] for i in nodes]] = [graph.values[i] for i in nodes]
    witness = Witness(graph, is_cost, theta, arrays)
    nothing = np.full(witness.numbers.shape, np.nan)  # whatever will be found: all that may explain it
    with np.errstate(all="ignore"):
        bounds = witness.bounds(nothing)
    return Example([x[0] for x in arrays], witness.numbers[0], bounds[0])


def _write(path: Path, text: str) -> Path:
    """Write a file whole, or raise OSError."""
    temporary = path.with_name(f"{path.name}.{token_hex(4)}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
