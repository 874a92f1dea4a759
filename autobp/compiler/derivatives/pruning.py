"""Leave out of loops what nothing depends on: states, and what is left by step.

What forward mode makes of a program has the tangents of all that has one, and all that the program had; of
what a loop leaves, a derivative often needs one or the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autobp import ir
from autobp.ir.substituting import of_operands


def pruned(program: ir.Program) -> ir.Program:
    """The program with loops, in bodies too, that carry and leave only what its results depend on."""
    made = _pruned(program.results)
    names = {made.get(x, x): name for x, name in program.names.items()}
    return replace(program, results=tuple([made[x] for x in program.results]), names=names)


def _pruned(results: Sequence[ir.Array]) -> dict[ir.Array, ir.Array]:
    """What arrays become that some results depend on."""
    order = ir.in_order(results)
    needed: set[ir.Array] = set(results)
    kept: dict[ir.Array, _Kept] = {}
    numbers: dict[ir.Array, set[int]] = {}
    for array in reversed(order):
        if array not in needed:
            continue
        if isinstance(array, ir.Loop):
            kept[array] = _Kept(array, numbers[array])
            needed.update(kept[array].loop.operands)
            continue
        needed.update(array.operands)
        if isinstance(array, ir.Result):
            numbers.setdefault(array.loop, set()).add(array.number)
    made: dict[ir.Array, ir.Array] = {}
    for array in order:
        if array not in needed:
            continue
        if isinstance(array, ir.Loop):
            made[array] = of_operands(kept[array].loop, made)
        elif isinstance(array, ir.Result):
            loop = made[array.loop]
            assert isinstance(loop, ir.Loop)
            number = kept[array.loop].numbers[array.number]
            same = loop is array.loop and number == array.number
            made[array] = array if same else ir.Result(loop, number)
        else:
            made[array] = of_operands(array, made)
    return made


class _Kept:
    """What is kept of a loop of which some results are needed.

    Attributes:
        loop: the loop of it, on the operands as they were.
        numbers: of each result that is kept, by what it was.
    """

    def __init__(self, loop: ir.Loop, needed: set[int]) -> None:
        n, arguments = len(loop.initial), loop.body.arguments
        numbers = set(needed)
        while True:
            results = [loop.body.results[i] for i in sorted(numbers)]
            made = _pruned(results)
            used = {x for x in made if isinstance(x, ir.Local)}
            more = {i for i in range(n) if arguments[i] in used} - numbers
            if not more:
                break
            numbers |= more
        self.numbers = {i: k for k, i in enumerate(sorted(numbers))}
        if len(numbers) == len(loop.body.results) and all(made[x] is x for x in results):
            self.loop = loop
            return
        given = list(zip((*loop.initial, *loop.sequences, *loop.invariants), arguments, strict=True))
        last = n + len(loop.sequences)
        initial = [pair for i, pair in enumerate(given[:n]) if i in numbers]
        sequences = [pair for pair in given[n:last] if pair[1] in used]
        invariants = [pair for pair in given[last:] if pair[1] in used]
        names = {made[x]: name for x, name in loop.body.names.items() if x in made}
        names |= {x: loop.body.names[x] for _, x in initial if x in loop.body.names}
        body = replace(
            loop.body,
            arguments=tuple([x for _, x in (*initial, *sequences, *invariants)]),
            results=tuple([made[x] for x in results]),
            names=names,
        )
        self.loop = replace(
            loop,
            body=body,
            initial=tuple([x for x, _ in initial]),
            sequences=tuple([x for x, _ in sequences]),
            invariants=tuple([x for x, _ in invariants]),
        )
