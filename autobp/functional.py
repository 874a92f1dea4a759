"""Derivatives of functions: gradients, Jacobians, Hessians, and their products with vectors.

Each of them records the function's graph once, with inputs of its own, and then walks it: backwards
(reverse mode: cotangents times local derivatives) or forwards (forward mode: each node and its tangent are a
dual number). The inputs are new nodes at every call, and so a derivative inside a derivative never confuses
its variable with the outer one.

Arguments may be numbers, Values, NumPy arrays, and lists, tuples and dicts of them, nested; derivatives come
back in the same structure. The function receives Values in place of numbers, arrays as object arrays of them.

Numbers in give numbers out. Where an argument holds Values, or the call stands inside another derivative, the
result consists of Values with a graph behind them, and can be differentiated further.
"""

from __future__ import annotations

import numbers
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from autobp.chain import gradients, pull_back, push_forward, topological_order
from autobp.engine import Value
from autobp.state import is_traced
from autobp.structures import (
    ArrayLeaf,
    Container,
    ScalarLeaf,
    Structure,
    array_of,
    as_numbers,
    flatten,
    holds_values,
    size,
    values_in,
)

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

# ---------------------------------------------------------------------------------------------- recording


class _Nesting(threading.local):
    """How many derivatives this thread is inside of."""

    def __init__(self) -> None:
        self.depth = 0


_nesting = _Nesting()


@dataclass
class _Record:
    """A function's graph, recorded at one point: its inputs, and what it returned."""

    inputs: list[Value]
    structures: list[Structure]
    result: Any
    aux: Any
    symbolic: bool

    def finish(self, tree: Any) -> Any:
        return tree if self.symbolic else as_numbers(tree)

    def scalar(self) -> Value:
        """The result of a function that must return one number."""
        result = self.result
        if isinstance(result, np.ndarray) and result.ndim == 0:
            result = result.item()
        if isinstance(result, Value):
            return result
        if isinstance(result, numbers.Real):
            return Value(result)
        shown = repr(result)
        raise TypeError(
            f"the function must return one Value to have a gradient; it returned {shown:.80} "
            f"({type(result).__name__}); use jacobian, vjp or jvp for several, has_aux=True for (value, more)"
        )

    def outputs(self) -> tuple[list[Value], Structure]:
        scalars, structure = flatten(self.result, "the function's result")
        return [x if isinstance(x, Value) else Value(x) for x in scalars], structure

    def gradient(self, root: Value) -> list[Any]:
        return self.pull([root], [1.0])

    def pull(self, outputs: list[Value], cotangents: Sequence[Any], symbolic: bool = False) -> list[Any]:
        """Reverse mode: Σ cotangent·∂output/∂input for each input."""
        # a plain 0 says that an output is left out: 0·∞ in its derivatives must not spoil the others'
        wanted = [
            (y, c) for y, c in zip(outputs, cotangents, strict=True) if isinstance(c, Value) or c != 0.0
        ]
        if not (symbolic or self.symbolic):
            # the weighted sum of the outputs, as a node made by hand: its local derivatives are the weights
            root = Value(0.0, tuple([y for y, _ in wanted]), tuple([c for _, c in wanted]) or "")
            return gradients(root, self.inputs)
        found: dict[int, Any] = {}
        for y, c in wanted:
            c = c if isinstance(c, Value) else Value(c)
            found[id(y)] = found[id(y)] + c if id(y) in found else c
        pull_back(_order(outputs), found, self.inputs)
        return [found[id(x)] if id(x) in found else Value(0.0) for x in self.inputs]

    def push(self, outputs: list[Value], tangents: Sequence[Any], order: list[Value]) -> list[Any]:
        """Forward mode: Σ ∂output/∂input·tangent for each output."""
        found: dict[int, Any] = {}
        for x, t in zip(self.inputs, tangents, strict=True):
            if isinstance(t, Value):
                found[id(x)] = t
            elif t != 0.0:
                found[id(x)] = Value(t) if self.symbolic else float(t)
        push_forward(order, found, self.symbolic)
        return [found[id(y)] if id(y) in found else Value(0.0) if self.symbolic else 0.0 for y in outputs]


def _order(outputs: Iterable[Value]) -> list[Value]:
    """The topological order of all that the outputs depend on."""
    outputs = tuple(outputs)
    return topological_order(Value(0.0, outputs, ""))[:-1] if outputs else []


def _input(x: Any) -> Value:
    """A node of the call's own. Of a Value it is a copy, so that it is not taken for the Value itself."""
    if isinstance(x, Value):
        made: Value = x * 1.0
        made.label = x.label
        return made
    return Value(x)


def _record(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: tuple[int, ...],
    has_aux: bool = False,
    symbolic: bool = False,
) -> _Record:
    symbolic = symbolic or _nesting.depth > 0 or is_traced() or holds_values([*args, kwargs])
    inputs: list[Value] = []
    structures: list[Structure] = []
    replaced = list(args)
    for i in argnums:
        scalars, structure = flatten(args[i], f"argument {i}")
        mine = [_input(x) for x in scalars]
        inputs.extend(mine)
        structures.append(structure)
        replaced[i] = structure.build(iter(mine))
    _nesting.depth += 1
    try:
        result = f(*replaced, **kwargs)
    finally:
        _nesting.depth -= 1
    if _nesting.depth == 0 and not is_traced():
        _check_that_inputs_are_used([s for i in argnums for s in flatten(args[i], "")[0]], inputs, result)
    aux = None
    if has_aux:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"with has_aux=True the function must return (result, aux); got {result!r:.80}")
        result, aux = result
    return _Record(inputs, structures, result, aux, symbolic)


def _check_that_inputs_are_used(originals: list[Any], inputs: list[Value], result: Any) -> None:
    """Raise where the result depends on a Value that was passed, but not on the argument in its place."""
    pairs = [(given, x) for given, x in zip(originals, inputs, strict=True) if isinstance(given, Value)]
    if not pairs:
        return
    present = {id(node) for node in _order(values_in(result))}
    for given, x in pairs:
        if id(given) in present and id(x) not in present:
            raise ValueError(
                f"the function uses {given!r} itself and not its argument, which stands for it: the "
                "derivative would be 0. Let it compute with its argument, or use backward()"
            )


def _positions(argnums: int | Sequence[int], args: tuple[Any, ...]) -> tuple[int, ...]:
    """The arguments to differentiate with respect to, counted from 0."""
    positions = []
    for i in [argnums] if isinstance(argnums, int) else argnums:
        if not isinstance(i, int):
            raise TypeError(f"argnums must be an int or a sequence of ints; got {argnums!r}")
        if not -len(args) <= i < len(args):
            raise ValueError(
                f"argnums={argnums!r}, but the function was called with {len(args)} positional argument"
                f"{'s' * (len(args) != 1)}"
            )
        positions.append(i % len(args))
    if len(set(positions)) != len(positions):
        raise ValueError(f"argnums={argnums!r} names an argument twice")
    return tuple(positions)


def _built(structures: list[Structure], scalars: Iterable[Any], argnums: int | Sequence[int]) -> Any:
    """Derivatives in the structure of the arguments: of the one, or a tuple where argnums is a sequence."""
    remaining = iter(scalars)
    built = tuple([structure.build(remaining) for structure in structures])
    return built[0] if isinstance(argnums, int) else built


def _check_function(f: Any, name: str) -> None:
    if not callable(f):
        raise TypeError(f"{name} takes a function, {name}(f)(x); got {f!r}")


# ------------------------------------------------------------------------------------------ the derivatives


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that returns ``(f(*args), gradient)``.

    Args:
        f: a function that returns one Value, or with ``has_aux`` a pair (Value, anything else).
        argnums: which argument to differentiate with respect to, or which ones: a gradient, or a tuple.
        has_aux: whether f returns a pair; then ``((value, aux), gradient)`` is returned.

    Raises:
        TypeError: f returns something else, or an argument holds something that is no number.
        ValueError: argnums names an argument that was not given.
    """
    _check_function(f, "value_and_grad")

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        record = _record(f, args, kwargs, _positions(argnums, args), has_aux)
        root = record.scalar()
        gradient = _built(record.structures, record.gradient(root), argnums)
        value = record.finish(root)
        return ((value, record.finish(record.aux)) if has_aux else value), gradient

    return value_and_gradient


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that returns the gradient of f, in the structure of its argument.

    With ``has_aux`` it returns ``(gradient, aux)``. Arguments and errors are :func:`value_and_grad`'s.
    ``grad(grad(f))`` and so on give derivatives of any order.
    """
    _check_function(f, "grad")
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f at ``primals``, and the function from a cotangent of the result to those of the arguments.

    Returns:
        ``(result, pull)``, or ``(result, pull, aux)``. ``pull(cotangent)``, whose argument has the structure
        of the result, is a tuple with Σ cotangent·∂result/∂argument for each argument.

    Raises TypeError where something is no number, ValueError where the structures differ.
    """
    _check_function(f, "vjp")
    record = _record(f, primals, {}, tuple(range(len(primals))), has_aux)
    outputs, structure = record.outputs()

    def pull(cotangent: Any) -> tuple[Any, ...]:
        scalars, given = flatten(cotangent, "the cotangent")
        _check_structure(given, structure, "the cotangent", "the function's result")
        symbolic = record.symbolic or _nesting.depth > 0 or is_traced() or holds_values(cotangent)
        return tuple(_built(record.structures, record.pull(outputs, scalars, symbolic), ()))

    result = record.finish(structure.build(iter(outputs)))
    return (result, pull, record.finish(record.aux)) if has_aux else (result, pull)


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """f at ``primals``, and its derivative in the direction of ``tangents``, by forward mode.

    Args:
        f: a function of ``len(primals)`` arguments.
        primals: a list or tuple of its arguments.
        tangents: one tangent for each argument, in the argument's structure.
        has_aux: whether f returns a pair (result, anything else).

    Returns:
        ``(result, Σ ∂result/∂argument·tangent)``, both in the structure of the result; with has_aux, and aux.

    Raises TypeError where something is no number or no sequence, ValueError where the structures differ.
    """
    _check_function(f, "jvp")
    for given, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(given, (list, tuple)):
            raise TypeError(
                f"jvp: {name} must be a tuple with one entry for each argument; got {given!r:.80}"
            )
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(primals)} primals need as many tangents; got {len(tangents)}")
    record = _record(f, tuple(primals), {}, tuple(range(len(primals))), has_aux, holds_values(tangents))
    directions: list[Any] = []
    for i, tangent in enumerate(tangents):
        scalars, structure = flatten(tangent, f"tangent {i}")
        _check_structure(structure, record.structures[i], f"tangent {i}", f"argument {i}")
        directions.extend(scalars)
    outputs, structure = record.outputs()
    pushed = structure.build(iter(record.push(outputs, directions, _order(outputs))))
    result = record.finish(structure.build(iter(outputs)))
    return (result, pushed, record.finish(record.aux)) if has_aux else (result, pushed)


def _check_structure(given: Structure, wanted: Structure, what: str, like: str) -> None:
    if given.describe() != wanted.describe():
        raise ValueError(f"{what} has the structure {given.describe()}, {like} {wanted.describe()}")


def jacobian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that returns ∂result/∂argument, in the structure of the result and in it the argument's.

    An array of shape s differentiated with respect to one of shape t gives one of shape s + t; of numbers in
    lists it is a list of lists. Forward mode is used where there are fewer inputs than outputs, reverse mode
    otherwise. Arguments and errors are :func:`value_and_grad`'s, but f may return any structure; with has_aux
    the result is ``(jacobian, aux)``.
    """
    _check_function(f, "jacobian")

    @wraps(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        record = _record(f, args, kwargs, _positions(argnums, args), has_aux)
        outputs, structure = record.outputs()
        n, m = len(record.inputs), len(outputs)
        if n < m:
            order = _order(outputs)
            columns = [record.push(outputs, _unit(n, j), order) for j in range(n)]
            rows = [[columns[j][i] for j in range(n)] for i in range(m)]
        else:
            rows = [record.gradient(y) for y in outputs]
        found = _blocks(rows, structure, record.structures, argnums)
        return (found, record.finish(record.aux)) if has_aux else found

    return jacobian_of_f


def hessian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that returns the second derivatives of f: in the structure of the argument, twice.

    An array argument of shape t gives an array of shape t + t, a list of n numbers a list of n lists.
    It is forward mode over reverse mode: the gradient's graph is built once, and a tangent pushed through it
    for each input. Arguments and errors are :func:`value_and_grad`'s; with has_aux, ``(hessian, aux)``.
    """
    _check_function(f, "hessian")

    @wraps(f)
    def hessian_of_f(*args: Any, **kwargs: Any) -> Any:
        record = _record(f, args, kwargs, _positions(argnums, args), has_aux)
        outputs = record.pull([record.scalar()], [1.0], symbolic=True)
        order = _order(outputs)
        n = len(record.inputs)
        columns = [record.push(outputs, _unit(n, j), order) for j in range(n)]
        rows = [[columns[j][i] for j in range(n)] for i in range(n)]
        structure = record.structures[0]
        if not isinstance(argnums, int):
            structure = Container(tuple, None, tuple(record.structures))
        found = _blocks(rows, structure, record.structures, argnums)
        return (found, record.finish(record.aux)) if has_aux else found

    return hessian_of_f


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of f at x times v, without the Hessian: forward mode over reverse mode.

    Args:
        f: a function of one argument that returns one Value.
        x: the argument.
        v: a direction in the structure of x.

    Returns Σ_j ∂²f/∂x_i∂x_j·v_j in the structure of x.

    Raises TypeError where something is no number, ValueError where the structures differ.
    """
    _check_function(f, "hvp")
    record = _record(f, (x,), {}, (0,), symbolic=holds_values(v))
    scalars, given = flatten(v, "v")
    _check_structure(given, record.structures[0], "v", "x")
    outputs = record.pull([record.scalar()], [1.0], symbolic=True)
    return record.structures[0].build(iter(record.push(outputs, scalars, _order(outputs))))


def _unit(n: int, j: int) -> list[float]:
    return [1.0 if i == j else 0.0 for i in range(n)]


def _blocks(
    rows: list[list[Any]], outputs: Structure, inputs: list[Structure], argnums: int | Sequence[int]
) -> Any:
    """A matrix of derivatives, cut up into the structure of the outputs, and within it that of the inputs."""

    def of_output(leaf: ScalarLeaf | ArrayLeaf, first_row: int) -> Any:
        column = 0
        found = []
        for structure in inputs:
            parts = []
            for part in structure.leaves():
                block = [
                    row[column + k]
                    for row in rows[first_row : first_row + size(leaf)]
                    for k in range(size(part))
                ]
                column += size(part)
                scalar = isinstance(leaf, ScalarLeaf) and isinstance(part, ScalarLeaf)
                parts.append(block[0] if scalar else array_of(block, (*leaf.shape, *part.shape)))
            found.append(structure.fill(iter(parts)))
        return found[0] if isinstance(argnums, int) else tuple(found)

    built = []
    row = 0
    for leaf in outputs.leaves():
        built.append(of_output(leaf, row))
        row += size(leaf)
    return outputs.fill(iter(built))
