"""Activations: by name or as functions of a Value, what their names are, and how each is applied.

A name is one of :data:`ACTIVATIONS`, or any operation of the table that needs one operand, those included
that are registered at run time: ask :func:`is_activation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from autobp.arguments import unknown
from autobp.ops import BUILT_IN, TABLE, Operation

if TYPE_CHECKING:
    from autobp.engine import Value

#: An activation: a name or a function from a Value to a Value.
Activation: TypeAlias = "str | Callable[[Value], Value]"

#: The usual ones, by name; "softmax" takes a whole layer at once, the others each z by itself.
ACTIVATIONS: Final = (
    "linear",
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "softmax",
)

# What others call them, and the name here.
_ELSEWHERE: Final = {
    "logistic": "'sigmoid'",
    "expit": "'sigmoid'",
    "swish": "'silu'",
    "lrelu": "'leaky_relu'",
    "none": "'linear'",
}


def is_activation(name: object) -> bool:
    """Whether networks know an activation of that name."""
    return name in ACTIVATIONS or (isinstance(name, str) and name in TABLE and TABLE[name].takes_one)


def known_activations() -> tuple[str, ...]:
    """The names to tell people: ``ACTIVATIONS``, and operations of one operand that were registered since."""
    return (*ACTIVATIONS, *[name for name in TABLE if name not in BUILT_IN and TABLE[name].takes_one])


def of_each_layer(activation: Activation | Sequence[Activation] | None, depth: int) -> list[Activation]:
    """One for every layer, or those of a sequence; by default relu, and a linear output, as in micrograd.

    Raises ValueError where a sequence has another length than there are layers.
    """
    if activation is None:
        return [*["relu"] * (depth - 1), "linear"]
    if isinstance(activation, str) or callable(activation):
        return [activation] * depth
    if len(activation) != depth:
        raise ValueError(f"{depth} layers need as many activations, or one for all; got {len(activation)}")
    return list(activation)


def checked(activation: Activation) -> Activation:
    """The activation, an operation as its name; ValueError for an unknown name, TypeError for no function."""
    if isinstance(activation, Operation) and TABLE.get(activation.name) is activation:
        activation = activation.name  # by which it can be saved
    if isinstance(activation, str):
        if not is_activation(activation):
            raise ValueError(
                unknown("activation", activation, known_activations(), _ELSEWHERE, ", or a function")
            )
    elif not callable(activation):
        raise TypeError(f"an activation is a name or a function of a Value; got {activation!r}")
    return activation


def activate(activation: Activation, z: Value) -> Value:
    """a = σ(z) of one neuron; softmax is none of these, since it takes a whole layer."""
    if not isinstance(activation, str):
        return activation(z)
    if activation in ("linear", "identity"):
        return z
    # a method is faster than the table, and may be a subclass's own; not every operation has one
    method = getattr(z, activation, None)
    result: Value = TABLE[activation](z) if method is None else method()
    return result


def title(activation: Activation) -> str:
    """What goes before "Neuron" in its repr, micrograd's "ReLU"."""
    if not isinstance(activation, str):
        return getattr(activation, "__name__", "Custom").title()
    symbol = TABLE[activation].symbol if activation in TABLE else activation
    return symbol[0].upper() + symbol[1:]
