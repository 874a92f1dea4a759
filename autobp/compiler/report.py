"""What was found in a graph, in words: its loops and its matrices, and why what repeats is no loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autobp.ir import Indices, Loop, Program


def report(
    program: Program, matrices: Sequence[tuple[str, Indices]], statements: int, notes: Sequence[str]
) -> str:
    """The report on a compiled function, a line for each thing found.

    Args:
        program: its program.
        matrices: (name, positions in theta) of each matrix of parameters.
        statements: the number of statements of its source.
        notes: why what repeats is no loop.
    """
    lines = [f"{statements} statements"]
    shapes = [f"{name} {'×'.join(map(str, x.shape))}" for name, x in matrices if x.ndim == 2]
    alone = sum(x.ndim < 2 for _, x in matrices)
    lines.append(f"matrices of parameters: {', '.join(shapes) or 'none'}" + f"; {alone} others" * (alone > 0))
    lines += _loops(program, 0)
    lines += [f"no loop: {note}" for note in notes]
    return "\n".join(lines)


def _loops(program: Program, depth: int) -> Iterator[str]:
    for array in program.arrays:
        if isinstance(array, Loop):
            yield "    " * depth + _of_loop(array)
            yield from _loops(array.body, depth + 1)


def _of_loop(loop: Loop) -> str:
    """One loop: its steps, and what they carry, take and leave."""
    body, states = loop.body, len(loop.initial)
    direction = "backwards " * loop.falling
    parts = [f"loop of {loop.steps} steps {direction}of {_computed(body)} arrays"]
    names = [body.names.get(x, "a state") for x in body.arguments[:states]]
    carried = [f"{name} ({x.size})" for name, x in zip(names, body.arguments, strict=False)]
    parts.append(f"carries {', '.join(carried) or 'nothing'}")
    if loop.sequences:
        parts.append(f"takes {sum(x.size for x in loop.sequences) // loop.steps} numbers for each step")
    if len(body.results) > states:
        parts.append(f"leaves {sum(x.size for x in body.results[states:])} of each step")
    return ", ".join(parts)


def _computed(body: Program) -> int:
    """How many arrays a step computes."""
    return len([x for x in body.arrays if x not in body.arguments])
