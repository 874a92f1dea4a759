"""What C does with loops before they are written: their sums over the samples are made after them.

A loop that sums over the samples in its steps has to be run for all samples at once. Where what is summed
is only left by step, and no step reads it, each sample's part can be left instead and summed after the loop:
then the loop is run for a block of samples at a time, and what it works on stays near the processor.
"""

from __future__ import annotations

from dataclasses import replace

from autobp import ir
from autobp.backends.c_plan import sums_over_samples
from autobp.ir.expression import Expression
from autobp.ir.substituting import of_operands


def with_sums_after_loops(program: ir.Program) -> ir.Program:
    """The program, of loops that leave each sample's part of what they only sum over the samples."""
    made: dict[ir.Array, ir.Array] = {}
    late: dict[ir.Array, frozenset[int]] = {}  # of loops, which of their results are summed after them
    for array in ir.in_order(program.results):
        new = of_operands(array, made)
        if isinstance(new, ir.Loop):
            body, numbers = _body_of(new)
            if body is not new.body:
                new = replace(new, body=body)
                late[new] = numbers
        elif isinstance(new, ir.Result) and new.number in late.get(new.loop, ()):
            new = ir.SumTo(new, (), True)
        made[array] = new
    if not late:
        return program
    results = tuple([made[x] for x in program.results])
    names = {made.get(x, x): name for x, name in program.names.items()}
    return replace(program, results=results, names=names)


def _body_of(loop: ir.Loop) -> tuple[ir.Program, frozenset[int]]:
    """The body, which sums over no samples, and which of its results are to be summed; or as it is."""
    body, n = with_sums_after_loops(loop.body), len(loop.initial)
    late = {
        number: part
        for number, x in enumerate(body.results)
        if number >= n and sums_over_samples(x) and (part := _of_each_sample(x)) is not None
    }
    results = tuple([late.get(number, x) for number, x in enumerate(body.results)])
    if not late or any(map(sums_over_samples, ir.in_order(results))):
        return body, frozenset()
    return replace(body, results=results), frozenset(late)


def _of_each_sample(array: ir.Array) -> ir.Array | None:
    """What a sum over the samples adds up, where that is no larger than what it is computed from."""
    if isinstance(array, ir.SumTo):
        if array.axes:
            return replace(array, samples=False)
        return ir.Reshape(array.source, array.shape) if array.drop else array.source
    if isinstance(array, ir.Product) and array.spec == "columns":
        delta, other = array.delta, array.other
        if len(delta.shape) == len(other.shape) == 1 and delta.batched and other.batched and 1 in array.shape:
            factors = ir.Reshape(delta, (*delta.shape, 1)), ir.Reshape(other, (1, *other.shape))
            return ir.Elementwise(factors, Expression("*", Expression("slot", 0), Expression("slot", 1)))
    return None
