"""What is said where a Value cannot be what it is asked for, or an operation has no finite result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from autobp.describing import describe
from autobp.registry import Operation, evaluate
from autobp.state import announce_read, announce_result, lets_pass, shared

if TYPE_CHECKING:
    from autobp.engine import Value

#: What a Value cannot be made into, by how it is asked for.
_CONVERSIONS: Final = {
    "float()": "cannot be turned into a float: its gradient would be lost. Use .data for the number, and for "
    "functions the Value's own, v.exp() or v.sqrt(), and not those of math; an array to put Values in is "
    "np.zeros(n, dtype=object)",
    "int()": "cannot be turned into an int: use int(v.data) for the number",
    "complex()": "cannot be turned into a complex number: use .data for the number",
    "round()": "cannot be rounded by Python's round: use autobp.round(v), whose derivative is 0, or "
    "round(v.data) for the number",
    "index": "cannot be an index: use autobp.take(values, i), which records the choice, or int(v.data)",
}

#: What code that keeps an optimiser's state on its parameters calls it.
_OFTEN_KEPT: Final = ("m", "v", "momentum", "velocity", "state", "cache", "buffer")


def refuse_conversions(cls: type[Value]) -> None:
    """Give the class the methods that ``float(value)`` and its like call, to raise TypeError.

    To those who watch reads of data they are some.
    """
    for asked in _CONVERSIONS:
        method = f"__{asked.removesuffix('()')}__"
        type.__setattr__(cls, method, _refusal(asked, method))


def _refusal(asked: str, method: str) -> Callable[..., Any]:
    def refuse(value: Value, digits: object = None) -> Any:
        if shared.watchers:
            announce_read(value, asked)
        raise TypeError(f"{describe(value)} {_CONVERSIONS[asked]}")

    refuse.__name__, refuse.__qualname__ = method, f"Value.{method}"
    return refuse


def explain_new_attributes(cls: type[Value]) -> None:
    """Let ``value.m = …`` say where to keep an ``m``: a node has no room for more than it is made of.

    Only code outside the compiled core sets attributes this way. Uncompiled, every slot of every node would
    be set by it: there the names that optimisers use are told, and for others Python's own words must do.
    """
    if hasattr(cls.backward, "__code__"):
        for each in _OFTEN_KEPT:
            type.__setattr__(cls, each, _often_kept(each))
        return

    def set_attribute(value: Value, name: str, given: object) -> None:
        try:
            object.__setattr__(value, name, given)
        except AttributeError:
            if hasattr(cls, name):
                raise
            raise _no_room(name) from None

    type.__setattr__(cls, "__setattr__", set_attribute)


def _often_kept(name: str) -> property:
    """An attribute that a Value has no room for, and its subclasses with a __dict__ have."""

    def read(value: Value) -> Any:
        try:
            return value.__dict__[name]
        except (AttributeError, KeyError):
            raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}") from None

    def keep(value: Value, given: object) -> None:
        try:
            value.__dict__[name] = given
        except AttributeError:
            raise _no_room(name) from None

    def drop(value: Value) -> None:
        read(value)
        del value.__dict__[name]

    return property(read, keep, drop)


def _no_room(name: str) -> AttributeError:
    return AttributeError(
        f"a Value has no room for an attribute {name!r}; keep what belongs to a parameter beside it, "
        f"in a dict by Value, {name} = {{p: 0.0 for p in parameters}}, or take one of autobp.optim"
    )


def no_number(data: object, is_value: bool) -> TypeError:
    """The error of ``Value(data)`` where data is no real number."""
    if is_value:
        return TypeError(f"{data!r} is a Value already; use it as it is, or its number, .data")
    hint = "" if isinstance(data, str) or not hasattr(data, "__len__") else "; make one Value of each element"
    kind = type(data).__name__
    shown = repr(data)
    return TypeError(f"a Value holds one real number, an int or a float; got {shown:.80} ({kind}){hint}")


def no_label(label: object) -> TypeError:
    """The error of ``value.label = label`` where label is no text."""
    return TypeError(f"a label is a text, as in Value(1.0, label='x'); got {label!r:.80}")


#: What others' networks have as methods, and what does it here.
_INSTEAD: Final = {
    "fit": "autobp.fit(net, X, Y)",
    "train": "autobp.fit(net, X, Y)",
    "predict": "autobp.predict(net, X)",
    "predict_proba": "autobp.predict(net, X)",
    "score": "autobp.accuracy(net, X, Y)",
    "forward": "net(x), or net.trace(x) with every z and a",
    "backward": "cost.backward(), of a Value",
    "compile": "autobp.compile(loss, net.parameters())",
    "state_dict": "net.save(path), or net.W and net.b",
}


def explain_missing_methods(cls: type) -> None:
    """Let ``net.fit`` say what to call: mypyc takes no ``__getattr__`` in a class that can be derived."""

    def missing(x: object, name: str) -> Any:
        if hasattr(type(x), name):
            return object.__getattribute__(x, name)  # a property that fails: its own error is told
        said = f"{type(x).__name__!r} object has no attribute {name!r}"
        instead = f"; write {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise AttributeError(said + instead, name=name, obj=x)

    type.__setattr__(cls, "__getattr__", missing)


def no_setting(value: Value) -> ValueError:
    """The error of ``value.data = …`` where value is computed."""
    return ValueError(
        f"cannot set the data of {value!r}: it is the result of an operation, and its gradients "
        "belong to the value it had; set the data of leaves and compute it anew"
    )


def no_order(value: Value, other: object, sign: str) -> TypeError:
    """The error of ``value < other``, or another sign, where other is no number."""
    return TypeError(
        f"{describe(value)} {sign} {other!r}: a Value is ordered among Values and numbers only"
    )


def no_equality(value: Value, number: object) -> TypeError:
    """The error of ``value == number``."""
    if shared.watchers:
        announce_read(value, "==")
    return TypeError(
        f"{describe(value)} == {number!r} compares a Value with a number: == between Values means the "
        "same node. Use v.data == number, or autobp.equal(v, number) for a node that is 1 or 0"
    )


def exceptional(
    op: Operation, operands: tuple[Value, ...], constants: tuple[float, ...], error: Exception
) -> float:
    """The IEEE 754 value where floats raised; the error, explained, where it is one for the user."""
    y = evaluate(op, *[x._data for x in operands], *constants)
    if y - y != 0.0:
        check_finite(op, operands, constants, error)
    return y


def check_finite(
    op: Operation,
    operands: tuple[Value, ...],
    constants: tuple[float, ...] = (),
    error: Exception | None = None,
) -> None:
    """Raise where finite operands gave a result that is not finite, unless that may pass."""
    if lets_pass():
        announce_result(op.name, operands)
        return
    for operand in operands:
        if not math.isfinite(operand._data):
            return
    shown = [f"{x.label} = {x._data!r}" if x.label else repr(x._data) for x in operands]
    shown.extend([f"{name} = {constant!r}" for name, constant in zip(op.constants, constants, strict=True)])
    call = f"{op.name}({', '.join(shown)})"
    needs = f": {op.name} needs {op.domain}" if op.domain else ""
    if isinstance(error, ZeroDivisionError):
        raise ZeroDivisionError(f"{call} divides by zero{needs}")
    if isinstance(error, ValueError) or (
        error is None and math.isnan(evaluate(op, *[x._data for x in operands], *constants))
    ):
        raise ValueError(f"{call} is not defined{needs}")
    raise OverflowError(f"{call} overflows: the result is too large for a float")
