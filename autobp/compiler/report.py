"""What was found in a graph, in words: its loops and its matrices, what is in none, why, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from autobp.compiler.loops.finding import Note
from autobp.compiler.place import place
from autobp.ir import Array, Indices, Loop, Program, Result

_FEW = 8  # nodes of an array: not every line is known
_MOST = 8  # lines on what is alone

#: File and line of the caller's code, by the number of the node that it computes.
Lines = Mapping[int, tuple[str, int]]


def report(
    program: Program,
    matrices: Sequence[tuple[str, Indices]],
    statements: int,
    notes: Sequence[Note],
    alone: Sequence[Note],
    left: Sequence[Sequence[int]],
    lines: Lines,
) -> str:
    """The report on a compiled function, a line for each thing found.

    Args:
        program: its program.
        matrices: (name, positions in theta) of each matrix of parameters.
        statements: the number of statements of its source.
        notes: why what repeats is no loop.
        alone: why scalars are in no array with others.
        left: of the program's loops in order, nodes of the graph that they compute; no more are known.
        lines: where nodes are computed, as far as that is known.
    """
    written = [f"{statements} statements"]
    shapes = [f"{name} {'×'.join(map(str, x.shape))}" for name, x in matrices if x.ndim == 2]
    others = sum(x.ndim < 2 for _, x in matrices)
    written.append(
        f"matrices of parameters: {', '.join(shapes) or 'none'}"
        + f"; {others} other{'s' * (others > 1)}" * (others > 0)
    )
    loops = [array for array in program.arrays if isinstance(array, Loop)]
    where = {loop: _where(nodes, lines) for loop, nodes in zip(loops, left, strict=True)}
    written += _loops(program, 0, where)
    written += [f"no loop: {note.why}{_where(note.nodes, lines)}" for note in notes]
    written += _counted([f"alone: {note.why}{_where(note.nodes, lines)}" for note in alone])
    return "\n".join(written)


def left_by_loops(program: Program, scalars: Mapping[Array, Indices]) -> list[list[int]]:
    """Of the loops of a program in order, a few nodes of the graph that they compute.

    Args:
        scalars: of the arrays that hold scalar nodes, which ones; -1 for none.
    """
    found: dict[Loop, list[int]] = {x: [] for x in program.arrays if isinstance(x, Loop)}
    for array in program.arrays:
        if isinstance(array, Result) and array in scalars:
            nodes = scalars[array].reshape(-1)
            found[array.loop] += nodes[nodes >= 0][:_FEW].tolist()
    return list(found.values())


def _where(nodes: Iterable[int], lines: Lines) -> str:
    """The line that computes the first of some nodes of which it is known."""
    for node in nodes:
        if node in lines:
            return f": {place(*lines[node]).rstrip(',')}"
    return ""


def _counted(written: Sequence[str]) -> Iterator[str]:
    """Each line once, and only the first of many."""
    number = Counter(written)
    for line, n in islice(number.items(), _MOST):
        yield line + f" ({n} times)" * (n > 1)
    rest = sum(islice(number.values(), _MOST, None))
    if rest:
        yield f"alone: {rest} more"


def _loops(program: Program, depth: int, where: Mapping[Loop, str]) -> Iterator[str]:
    for array in program.arrays:
        if isinstance(array, Loop):
            yield "    " * depth + _of_loop(array) + where.get(array, "")
            yield from _loops(array.body, depth + 1, where)


def _of_loop(loop: Loop) -> str:
    """One loop: its steps, and what they carry, take and leave."""
    body, states = loop.body, len(loop.initial)
    direction = "backwards " * loop.falling
    parts = [f"loop of {loop.steps} steps {direction}of {_computed(body)} arrays"]
    names = [body.names.get(x, "a state") for x in body.arguments[:states]]
    carried = [f"{name} ({x.size})" for name, x in zip(names, body.arguments, strict=False)]
    parts.append(f"carries {', '.join(carried) or 'nothing'}")
    if loop.sequences:
        n = sum(x.size for x in loop.sequences) // loop.steps
        parts.append(f"takes {n} {'number' if n == 1 else 'numbers'} for each step")
    if len(body.results) > states:
        parts.append(f"leaves {sum(x.size for x in body.results[states:])} of each step")
    return ", ".join(parts)


def _computed(body: Program) -> int:
    """How many arrays a step computes."""
    return len([x for x in body.arrays if x not in body.arguments])
