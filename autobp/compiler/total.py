"""The cost as a whole: what is summed and averaged, taken out of the sums of single samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from autobp.compiler.bounds import ANY, Bounds, bounds_of_arrays
from autobp.ir import (
    Array,
    Constant,
    Elementwise,
    Fill,
    Gather,
    Input,
    Map,
    Program,
    Reduce,
    Reshape,
    RowDot,
    Sum,
    Term,
    Theta,
    Total,
    View,
)
from autobp.ir.expression import Expression, may_fold
from autobp.ops import CONSTANT_POWER, DIVIDE, MULTIPLY, SOFTPLUS

_MOST = 12  # terms; a long chain of sums stays as it is


def mean_cost(outputs: Program) -> Program:
    """The program of the mean of an output, one element for each sample, over the samples.

    The cost of each sample comes first, and then their mean: only what cannot cancel in a sample is averaged
    by itself.
    """
    (output,) = outputs.results
    terms = _Mean(outputs).terms(output, 1.0, -1 if output.batched else 0)
    return replace(outputs, results=(Total(tuple(terms)),))


class _Mean:
    """Takes a cost apart into terms whose sums over everything add up to it."""

    def __init__(self, outputs: Program) -> None:
        self._outputs = outputs
        self._left = _MOST

    @cached_property
    def _bounds(self) -> Mapping[Array, Bounds]:
        """What is known of the arrays."""
        return bounds_of_arrays(self._outputs.arrays)

    def terms(self, array: Array, factor: float, samples: int) -> list[Term]:
        """factor · m**samples · the sum of an array's elements."""
        whole = Term(factor, samples, array)
        if isinstance(array, Reshape):
            return self.terms(array.source, factor, samples)
        if isinstance(array, Reduce) and array.ufunc == "add":
            terms = self.terms(array.source, factor, samples)
            together = not _is_exact(array.source) or self._cannot_cancel(terms)
            return terms if together else [whole]
        if isinstance(array, RowDot) and _alike(array.x, array.y):
            return [Term(factor, samples, array.x, array.y)]
        if _is_square(array):
            return [Term(factor, samples, array.operands[0], array.operands[0])]
        self._left -= 1
        parts = _linear(array) if self._left > 0 and isinstance(array, Map | Sum) else []
        if not parts or not all(may_fold(factor, c * (array.size / x.size)) for x, c in parts):
            return [whole]
        terms = self._of_parts(array, parts, factor, samples)
        if len(parts) == 1 or self._cannot_cancel(terms):
            return terms
        # what is the same for all samples, a penalty on the weights, is no part of any sample's cost
        own = [(x, c) for x, c in parts if x.batched or not array.batched or _is_exact(x)]
        if not 0 < len(own) < len(parts):
            return [whole]
        arrays, signs = zip(*own, strict=True)
        rest = Sum(arrays, np.broadcast_shapes(*[x.shape for x in arrays]), signs)
        shared = [part for part in parts if part not in own]
        return self._of_parts(array, [(rest, 1.0), *shared], factor, samples)

    def _of_parts(
        self, array: Array, parts: Sequence[tuple[Array, float]], factor: float, samples: int
    ) -> list[Term]:
        terms = []
        for x, c in parts:
            repeated = c * (array.size / x.size)
            terms += self.terms(x, factor * repeated, samples + (array.batched and not x.batched))
        return _cross_entropies_whole(terms)

    def _cannot_cancel(self, terms: Sequence[Term]) -> bool:
        """Whether no term is negative, or none is positive."""
        signs = {term.coefficient > 0.0 for term in terms}
        return len(signs) == 1 and all(map(self._is_not_negative, terms))

    def _is_not_negative(self, term: Term) -> bool:
        """Whether the sum of a term is 0 or more, its coefficient aside; of a cross-entropy, whole, it is."""
        if term.y is not None:
            return term.x is term.y
        whole = isinstance(term.x, Elementwise) and term.x.expression.name == "logaddexp"
        bounds = self._bounds.get(term.x)  # none where a sum is new, of parts that may cancel
        return whole or (bounds is not None and bounds.sign != ANY)


def _is_exact(array: Array) -> bool:
    """Whether the elements carry no rounding error of their own: they are data, or chosen from data."""
    while isinstance(array, View | Gather | Reshape | Fill):
        array = array.source
    return isinstance(array, Theta | Input | Constant) or (isinstance(array, Map) and array.operation.selects)


def _is_square(array: Array) -> bool:
    return (
        isinstance(array, Map)
        and array.operation is CONSTANT_POWER
        and array.constants == (2.0,)
        and array.operands[0].shape == array.shape
    )


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
