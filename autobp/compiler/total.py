"""The cost as a whole: what is summed and averaged, taken out of the sums of single samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autobp.ir import (
    Array,
    Constant,
    Elementwise,
    Map,
    Program,
    Reduce,
    Reshape,
    RowDot,
    Sum,
    Term,
    Total,
)
from autobp.ir.expression import Expression
from autobp.ops import CONSTANT_POWER, DIVIDE, MULTIPLY, SOFTPLUS

_MOST = 12  # terms; a long chain of sums stays as it is


def mean_cost(outputs: Program) -> Program:
    """The program of the mean of an output, one element for each sample, over the samples."""
    (output,) = outputs.results
    terms: list[Term] = []
    stack = [(output, 1.0, -1 if output.batched else 0)]
    while stack:
        array, factor, samples = stack.pop()
        if isinstance(array, Reshape) or (isinstance(array, Reduce) and array.ufunc == "add"):
            stack.append((array.operands[0], factor, samples))
        elif len(terms) + len(stack) < _MOST and isinstance(array, Map | Sum) and (parts := _linear(array)):
            for x, coefficient in parts:
                repeated = array.size / x.size
                once = array.batched and not x.batched
                stack.append((x, factor * coefficient * repeated, samples + once))
        elif isinstance(array, RowDot) and _alike(array.x, array.y):
            terms.append(Term(factor, samples, array.x, array.y))
        elif (
            isinstance(array, Map)
            and array.operation is CONSTANT_POWER
            and array.constants == (2.0,)
            and array.operands[0].shape == array.shape
        ):
            terms.append(Term(factor, samples, array.operands[0], array.operands[0]))
        else:
            terms.append(Term(factor, samples, array))
    return replace(outputs, results=(Total(tuple(_cross_entropies_whole(terms[::-1]))),))


def _cross_entropies_whole(terms: list[Term]) -> list[Term]:
    """The terms with Σ softplus(z) - Σ y·z as Σ ln(e^(-y·z) + e^(z - y·z)).

    The two sums are large and nearly equal where large logits are right: what is left of their difference
    would be rounding errors, of either sign. Element by element nothing is lost.
    """
    found = list(terms)
    for term in terms:
        x = term.x
        if term.y is not None or not isinstance(x, Map) or x.operation is not SOFTPLUS:
            continue
        (z,) = x.operands
        for other in found:
            y = _times(other, z)
            if y is None or (other.coefficient, other.samples) != (-term.coefficient, term.samples):
                continue
            if z.shape != x.shape or np.broadcast_shapes(y.shape, z.shape) != z.shape:
                continue
            logit, target = Expression("slot", 0), Expression("slot", 1)
            product = target * logit
            whole = Expression("logaddexp", Expression("neg", product), logit - product)
            found[found.index(term)] = Term(term.coefficient, term.samples, Elementwise((z, y), whole))
            found.remove(other)
            break
    return found


def _times(term: Term, z: Array) -> Array | None:
    """y where the term is the sum of y·z."""
    pair: tuple[Array, ...] = (term.x, term.y) if term.y is not None else ()
    if term.y is None and isinstance(term.x, Map) and term.x.operation is MULTIPLY:
        pair = term.x.operands
    if len(pair) != 2 or not any(x is z for x in pair):
        return None
    return pair[1] if pair[0] is z else pair[0]


def _alike(x: Array, y: Array) -> bool:
    return x.shape == y.shape and x.batched == y.batched


def _linear(array: Map | Sum) -> list[tuple[Array, float]]:
    """The operands of an array that is linear in them, with their coefficients."""
    operands = array.operands
    if isinstance(array, Sum):
        return list(zip(operands, array.signs, strict=True))
    if array.operation in (MULTIPLY, DIVIDE) and len(operands) == 2:
        for x, c in (operands, operands[::-1]) if array.operation is MULTIPLY else (operands,):
            if isinstance(c, Constant) and c.size == 1 and x.shape == array.shape:
                value = float(c.values.flat[0])
                return [(x, 1.0 / value if array.operation is DIVIDE else value)]
    return []
