"""Put other arrays in the places of some, in all that is computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from autobp import ir


def substituted(results: Sequence[ir.Array], by: Mapping[ir.Array, ir.Array]) -> dict[ir.Array, ir.Array]:
    """What each array becomes that some results depend on, where others stand for some of them.

    What stands for an array is computed from what that array's operands become, where it has them as operands
    too. An array that depends on none that is replaced stays itself.
    """
    made: dict[ir.Array, ir.Array] = {}
    for array in ir.in_order(results):
        chosen = by.get(array, array)
        if chosen not in made:
            made[chosen] = of_operands(chosen, made)
        made[array] = made[chosen]
    return made


def of_operands(array: ir.Array, made: Mapping[ir.Array, ir.Array]) -> ir.Array:
    """The array, of what its operands have become."""
    if all(made.get(x, x) is x for x in array.operands):
        return array
    if isinstance(array, ir.Total):
        terms = [
            replace(term, x=made[term.x], y=None if term.y is None else made[term.y]) for term in array.terms
        ]
        return ir.Total(tuple(terms))
    changed: dict[str, Any] = {}
    for item in fields(array):  # type: ignore[arg-type]  # every kind is a dataclass
        content = getattr(array, item.name)
        if isinstance(content, ir.Array):
            changed[item.name] = made.get(content, content)
        elif isinstance(content, tuple) and item.metadata.get("operand", True):
            changed[item.name] = tuple([made.get(x, x) if isinstance(x, ir.Array) else x for x in content])
    new: ir.Array = replace(array, **changed)  # type: ignore[type-var]
    return new
