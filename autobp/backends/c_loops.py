"""What C does with loops before they are written: they are run for a few samples at a time.

A loop that sums over the samples in its steps has to be run for all samples at once. Where no sample needs
such a sum in the loop, what is summed is left by step instead, and summed after the loop; what else a step
computes of the sums, a second loop computes then. And what is the same for all samples, a loop of its own
computes before them (loop fission). So the loop between is run for a block of samples at a time, and what it
works on stays near the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from autobp import ir
from autobp.backends.c_plan import sums_over_samples
from autobp.ir.expression import Expression
from autobp.ir.substituting import of_operands, substituted


def with_loops_of_samples(program: ir.Program) -> ir.Program:
    """The program, its loops in parts: what all samples share, what is of each, and what sums over them."""
    for part in (_without_unread, _sums_last, _same_for_all_first):
        program = _parted(program, part)
    return program


class _AfterTheLoop(NamedTuple):
    """A sum over the samples in each step, as it is made after the loop.

    Attributes:
        left: what the loop leaves by step for it.
        total: the sums of all steps, from what was left.
    """

    left: tuple[ir.Array, ...]
    total: Callable[[Sequence[ir.Array]], ir.Array]


#: What stands for each of the results of a loop; None where the loop stays as it is.
_Results = Sequence[ir.Array] | None


def _parted(program: ir.Program, part: Callable[[ir.Loop], _Results]) -> ir.Program:
    """The program with loops, and those within their bodies, as parts."""
    made: dict[ir.Array, ir.Array] = {}
    results_of: dict[ir.Array, Sequence[ir.Array]] = {}
    for array in ir.in_order(program.results):
        new = of_operands(array, made)
        if isinstance(new, ir.Loop):
            body = _parted(new.body, part)
            if body is not new.body:
                new = replace(new, body=body)
            results = part(new)
            if results is not None:
                results_of[new] = results
        elif isinstance(new, ir.Result) and new.loop in results_of:
            new = results_of[new.loop][new.number]
        made[array] = new
    if all(new is array for array, new in made.items()):
        return program
    names = {made.get(x, x): name for x, name in program.names.items()}
    return replace(program, results=tuple([made[x] for x in program.results]), names=names)


def _without_unread(loop: ir.Loop) -> _Results:
    """A loop that takes what it reads alone: what is of each sample would have it run for each."""
    body, n = loop.body, len(loop.initial)
    if set(body.arguments[n:]) <= set(body.arrays):
        return None
    made = _part_of(loop, range(n), body.results[n:], {})
    return [ir.Result(made, number) for number in range(len(body.results))]


def _sums_last(loop: ir.Loop) -> _Results:
    """A loop without its sums over samples, and what follows of them; as it is where a sample needs a sum."""
    late = _reached(loop, sums_over_samples)
    sums = [x for x in loop.body.arrays if sums_over_samples(x)]
    if not sums or any(x.batched for x in late):
        return None
    after = {x: _after_the_loop(x, loop.steps) for x in sums}
    if any(made is None or not late.isdisjoint(ir.in_order(made.left)) for made in after.values()):
        return None
    return _in_two(loop, late, {x: made for x, made in after.items() if made is not None})


def _same_for_all_first(loop: ir.Loop) -> _Results:
    """A loop of states without samples, and what depends on samples after it, where it has both."""
    states = loop.body.arguments[: len(loop.initial)]
    if all(x.batched for x in states) or not any(x.batched for x in states):
        return None
    late = _reached(loop, lambda x: x.batched)
    return _in_two(loop, late, {}) if any(not x.batched and x not in late for x in states) else None


def _reached(loop: ir.Loop, starts: Callable[[ir.Array], bool]) -> Set[ir.Array]:
    """What a step computes of some arrays, in this step or one before, these among it."""
    body, n = loop.body, len(loop.initial)
    found: set[ir.Array] = set()
    before = -1
    while len(found) > before:
        before = len(found)
        found |= {x for x, new in zip(body.arguments, body.results[:n], strict=False) if new in found}
        found |= {x for x in body.arrays if starts(x) or not found.isdisjoint(x.operands)}
    return found


def _in_two(loop: ir.Loop, late: Set[ir.Array], sums: Mapping[ir.Array, _AfterTheLoop]) -> _Results:
    """The results of a loop as those of two, of which the second computes what is late.

    Args:
        sums: over the samples, which come between the two.
    """
    body, n = loop.body, len(loop.initial)
    given = {*body.arguments[n:], *[x for x in body.arrays if isinstance(x, ir.Constant)]}
    read = [x for y in body.arrays if y in late and y not in sums for x in y.operands]
    read = [x for x in dict.fromkeys(read) if x not in late and x not in given]
    states = [i for i in range(n) if body.arguments[i] not in late]
    left = [*[x for x in body.results[n:] if x not in late], *[x for y in sums.values() for x in y.left]]
    outputs = [*dict.fromkeys([*left, *read])]
    first = _part_of(loop, states, outputs, {})
    found: dict[ir.Array, ir.Array] = {x: ir.Result(first, len(states) + i) for i, x in enumerate(outputs)}
    ends: dict[int, ir.Array] = {i: ir.Result(first, k) for k, i in enumerate(states)}
    by_step = {x: found[x] for x in read}
    by_step |= {x: made.total([found[part] for part in made.left]) for x, made in sums.items()}
    found |= by_step
    states = [i for i in range(n) if body.arguments[i] in late]
    outputs = [*dict.fromkeys([x for x in body.results[n:] if x in late and x not in sums])]
    if states or outputs:
        second = _part_of(loop, states, outputs, by_step)
        found |= {x: ir.Result(second, len(states) + i) for i, x in enumerate(outputs)}
        ends |= {i: ir.Result(second, k) for k, i in enumerate(states)}
    return [ends[i] if i < n else found[x] for i, x in enumerate(body.results)]


def _part_of(
    loop: ir.Loop, states: Sequence[int], outputs: Sequence[ir.Array], by_step: Mapping[ir.Array, ir.Array]
) -> ir.Loop:
    """A loop with some states of a loop, that leaves some outputs; it takes what is read ``by_step``."""
    body, n = loop.body, len(loop.initial)
    taken = {x: ir.Local(x.shape, x.batched) for x in by_step}
    wanted = [*[body.results[i] for i in states], *outputs]
    made = substituted(wanted, taken)
    results = tuple([made[x] for x in wanted])
    used = set(ir.in_order(results))
    n_sequences = len(loop.sequences)
    arguments = body.arguments[n:]
    given = list(zip(arguments, (*loop.sequences, *loop.invariants), strict=True))
    sequences = [(x, y) for x, y in given[:n_sequences] if x in used]
    sequences += [(taken[x], y) for x, y in by_step.items() if taken[x] in used]
    invariants = [(x, y) for x, y in given[n_sequences:] if x in used]
    names = {made.get(x, x): name for x, name in body.names.items()}
    return ir.Loop(
        loop.steps,
        ir.Program(
            (*[body.arguments[i] for i in states], *[x for x, _ in (*sequences, *invariants)]),
            results,
            {x: name for x, name in names.items() if x in used},
        ),
        tuple([loop.initial[i] for i in states]),
        tuple([x for _, x in sequences]),
        tuple([x for _, x in invariants]),
        loop.falling,
    )


def _after_the_loop(array: ir.Array, steps: int) -> _AfterTheLoop | None:
    """A sum over the samples in each of some steps, as it is made after them."""

    def of_all_steps(left: Sequence[ir.Array]) -> ir.Array:
        return ir.SumTo(left[0], (), True)

    if isinstance(array, ir.SumTo):
        if array.axes:
            return _AfterTheLoop((replace(array, samples=False),), of_all_steps)
        source = ir.Reshape(array.source, array.shape) if array.drop else array.source
        return _AfterTheLoop((source,), of_all_steps)
    if not isinstance(array, ir.Product) or array.spec != "columns":
        return None
    delta, other = array.delta, array.other
    if not (delta.batched and other.batched):
        return None
    has_p = len(delta.shape) == len(array.shape)
    if not has_p and 1 in array.shape:
        factors = ir.Reshape(delta, (*delta.shape, 1)), ir.Reshape(other, (1, *other.shape))
        times = Expression("*", Expression("slot", 0), Expression("slot", 1))
        return _AfterTheLoop((ir.Elementwise(factors, times),), of_all_steps)

    def product(left: Sequence[ir.Array]) -> ir.Array:
        a, b = left if has_p else [ir.Reshape(x, (*x.shape[:-1], 1, x.shape[-1])) for x in left]
        return ir.Product(a, b, "columns", (steps, *array.shape), False)

    return _AfterTheLoop((delta, other), product)
