"""The compiler, broken on purpose: programs that compute something else than their graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autobp import ir
from autobp.backends import source_module
from autobp.compiler import canonical, differentiate, functions, group, pipeline
from autobp.ir.expression import partials_of
from autobp.ops import SUBTRACT, TANH

Patch = pytest.MonkeyPatch


def padded_with_ones(patch: Patch) -> None:
    """Rows that are shorter than others are filled up with 1."""
    text = source_module.HELPER_TEXTS["spread"]
    patch.setitem(source_module.HELPER_TEXTS, "spread", text.replace("np.zeros(", "np.ones("))


def a_term_is_dropped(patch: Patch) -> None:
    """The last term of a sum of three or more is lost."""

    def dropped(graph: Any) -> Any:
        made = canonical.canonicalise(graph)
        terms = {node: found[:-1] if len(found) > 2 else found for node, found in made.terms.items()}
        return replace(made, terms=terms)

    patch.setattr(pipeline, "canonicalise", dropped)


def sides_are_swapped(patch: Patch) -> None:
    """a - b is b - a."""
    convert = canonical._Builder._convert

    def swapped(self: Any, node: int, op: Any) -> None:
        if op is SUBTRACT:
            x, y = self.graph.parents[node]
            self._sum(node, y, 1, x, -1)
        else:
            convert(self, node, op)

    patch.setattr(canonical._Builder, "_convert", swapped)


def a_matrix_is_transposed(patch: Patch) -> None:
    """A square matrix is multiplied as its transpose."""
    product = group.Builder._product

    def transposed(self: Any, a: Any, b: Any, x: Any, y: Any, made: Any) -> Any:
        _, o, k = made.columns.shape
        if o == k > 1:
            made = replace(made, columns=made.columns.transpose(0, 2, 1))
        return product(self, a, b, x, y, made)

    patch.setattr(group.Builder, "_product", transposed)


def a_sum_goes_over_the_wrong_axis(patch: Patch) -> None:
    """A square table of terms is summed over its columns."""
    reduction = group.Builder._reduction

    def over_columns(self: Any, colour: int, rows: Any, ufunc: str) -> Any:
        if {len(row) for row in rows} == {len(rows)}:
            rows = [list(column) for column in zip(*rows, strict=True)]
        return reduction(self, colour, rows, ufunc)

    patch.setattr(group.Builder, "_reduction", over_columns)


def terms_are_matched_with_others(patch: Patch) -> None:
    """The columns of a product are one place off."""
    product = group.Builder._product

    def rolled(self: Any, a: Any, b: Any, x: Any, y: Any, made: Any) -> Any:
        return product(self, a, b, x, y, replace(made, columns=np.roll(made.columns, 1, axis=2)))

    patch.setattr(group.Builder, "_product", rolled)


def bp2_does_not_transpose(patch: Patch) -> None:
    """The error is passed on by a square matrix, and not by its transpose."""
    give = differentiate.Reverse.give

    def untransposed(self: Any, x: Any, adjoint: Any, *more: Any, **named: Any) -> None:
        made = adjoint.array
        by_columns = isinstance(made, ir.Product) and made.spec == "rows" and isinstance(made.other, ir.View)
        if by_columns and len({*made.other.shape}) == 1 < len(made.other.shape):
            turned = replace(made.other, strides=made.other.strides[::-1])
            adjoint = replace(adjoint, array=replace(made, other=turned))
        give(self, x, adjoint, *more, **named)

    patch.setattr(differentiate.Reverse, "give", untransposed)


def a_derivative_is_off(patch: Patch) -> None:
    """The derivative of tanh is off by a millionth."""

    def off(op: Any, y: Any, operands: Any, constants: Any) -> Any:
        made = partials_of(op, y, operands, constants)
        return [1.000001 * partial for partial in made] if op is TANH else made

    patch.setattr(differentiate, "partials_of", off)


def the_mean_is_not_taken(patch: Patch) -> None:
    """The gradient is that of the sum over the samples."""
    begin = differentiate.Reverse.start

    def without_mean(self: Any, output: Any, adjoint: Any) -> None:
        begin(self, output, replace(adjoint, samples=0))

    patch.setattr(differentiate.Reverse, "start", without_mean)


def a_sign_is_lost_on_the_way_back(patch: Patch) -> None:
    """What is subtracted gets the derivative of what is added."""
    made = differentiate.Reverse.sum

    def positive(self: Any, array: Any, g: Any) -> None:
        signs = array.signs
        object.__setattr__(array, "signs", tuple(map(abs, signs)))
        try:
            made(self, array, g)
        finally:
            object.__setattr__(array, "signs", signs)

    patch.setattr(differentiate.Reverse, "sum", positive)


def a_branch_is_not_added(patch: Patch) -> None:
    """Of an array that is used twice, one use is forgotten on the way back."""
    give = differentiate.Reverse.give

    def once(self: Any, x: Any, adjoint: Any, user: Any, place: Any = None, **named: Any) -> None:
        if not (self.pieces.get(x) and x.operands and place is None):
            give(self, x, adjoint, user, place, **named)

    patch.setattr(differentiate.Reverse, "give", once)


def constants_are_taken_for_one_another(patch: Patch) -> None:
    """A constant factor of a term is that of its neighbour."""
    part = group.Builder._part

    def mixed(self: Any, kind: Any, terms: Any) -> Any:
        values = self._values
        self._values = np.roll(values, 1)
        try:
            return part(self, kind, terms)
        finally:
            self._values = values

    patch.setattr(group.Builder, "_part", mixed)


def what_runs_is_not_what_is_printed(patch: Patch) -> None:
    """The last product in place is a sum."""

    def changed(source: str) -> Any:
        before, _, after = source.rpartition("np.multiply(")
        return compile(f"{before}np.add({after}" if after else source, "<broken>", "exec")

    patch.setattr(functions, "compile_source", changed)


MUTANTS: list[Callable[[Patch], None]] = [
    padded_with_ones,
    a_term_is_dropped,
    sides_are_swapped,
    a_matrix_is_transposed,
    a_sum_goes_over_the_wrong_axis,
    terms_are_matched_with_others,
    bp2_does_not_transpose,
    a_derivative_is_off,
    the_mean_is_not_taken,
    a_sign_is_lost_on_the_way_back,
    a_branch_is_not_added,
    constants_are_taken_for_one_another,
    what_runs_is_not_what_is_printed,
]
