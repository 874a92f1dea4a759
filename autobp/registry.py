"""The registry of operations: what an operation is, the table of all there are, and what rules are run on.

A rule is written against a namespace ``xp`` that supplies the elementary functions. With :data:`FLOATS` it
drives the eager engine; with :data:`NUMPY` (or another array library) it drives compiled programs; with SymPy
it gives the derivation; with ``ops.VALUES`` it gives derivatives of derivatives::

    value(xp, *operands, *constants)           the result y
    partials(xp, y, *operands, *constants)     one local derivative ∂y/∂operand for each operand

Rules are free to divide by zero or to overflow. Python's floats raise there; :func:`evaluate` and
:func:`partials_at` then repeat the rule in IEEE 754 arithmetic, so that a partial may be infinite (sqrt at
0) or not a number.

In: entries, from :mod:`autobp.ops` and from users, by :func:`operation`. Out: the table, and each entry in
every namespace. Who does more with entries, such as making functions of them, is told by :func:`follow`.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from autobp.elementary import COMPOSED, ELEMENTARY, ON_ARRAYS, ON_FLOATS

# How tightly an operation binds when it is written down; an operand that binds less tightly gets parentheses.
SUM: Final = 1
PRODUCT: Final = 2
SIGN: Final = 3
POWER_OF: Final = 4
ATOM: Final = 5


class Operation:
    """One primitive operation.

    Attributes:
        name: its name in the table, and of the function and method that apply it.
        value: ``value(xp, *operands, *constants)``, the result.
        partials: ``partials(xp, y, *operands, *constants)``, a tuple with ∂y/∂operand for each operand.
        text: how it is written in plain text, with ``{0}``, ``{1}`` … for operands, then constants.
        latex: how it is written in LaTeX, likewise.
        precedence: SUM, PRODUCT, SIGN, POWER_OF or ATOM: how tightly the notation binds.
        symbol: what a drawing shows, micrograd's ``_op``; may hold ``{0}`` for the first constant.
        constants: the names of trailing operands that are plain numbers, part of the operation: the exponent
            of ``x**k``, the slope of a leaky relu. Nothing is differentiated with respect to them.
        defaults: the constants' values where the caller gives none; empty where they must be given.
        arity: the number of operands that are Values; None where any number will do.
        domain: what the operands must satisfy, for error messages ("an operand > 0").
        analytic: whether the rule holds for complex operands, so that the complex step applies.
        selects: whether it chooses among its operands: a partial 0 then means that one was not chosen, and
            stops even an infinite gradient, where 0·∞ would not be a number.
        inline: whether derivations and compiled programs write its rule out in place of its name: so it is
            with operations that are there for the derivatives of others.
        function: the function of Values and numbers that applies it, which calling the operation calls; None
            until :mod:`autobp.functions`, which makes it, is imported.
    """

    __slots__ = ("analytic", "arity", "constants", "defaults", "domain", "function", "inline", "latex",
                 "name", "partials", "precedence", "selects", "symbol", "text", "value")  # fmt: skip

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        partials: Callable[..., tuple[Any, ...]],
        text: str,
        latex: str,
        precedence: int,
        symbol: str,
        constants: tuple[str, ...],
        defaults: tuple[float, ...],
        arity: int | None,
        domain: str,
        analytic: bool,
        selects: bool,
        inline: bool,
    ) -> None:
        self.name = name
        self.value = value
        self.partials = partials
        self.text = text
        self.latex = latex
        self.precedence = precedence
        self.symbol = symbol
        self.constants = constants
        self.defaults = defaults
        self.arity = arity
        self.domain = domain
        self.analytic = analytic
        self.selects = selects
        self.inline = inline
        self.function: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The Value that the operation makes of its operands, then its constants; see ``function``."""
        if self.function is None:
            raise TypeError(f"{self!r} applies to Values once autobp is imported: import autobp")
        return self.function(*arguments, **named)

    @property
    def takes_one(self) -> bool:
        """Whether one operand is all that it needs, as an activation does."""
        return self.arity == 1 and len(self.defaults) == len(self.constants) and not self.inline

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return lookup, (self.name,)


TABLE: Final[dict[str, Operation]] = {}


class _Follower:
    """Who is told of entries: whether one may be added, and that it was."""

    def __init__(
        self, approve: Callable[[Operation, bool], None], install: Callable[[Operation], None]
    ) -> None:
        self.approve = approve
        self.install = install


_FOLLOWERS: Final[list[_Follower]] = []


def follow(approve: Callable[[Operation, bool], None], install: Callable[[Operation], None]) -> None:
    """Have operations installed, those that there are and those to come, which are to be approved first.

    Args:
        approve: ``approve(op, replaces)`` raises, with the reason, where op may not be added.
        install: ``install(op)`` is called once it is in the table.
    """
    for op in TABLE.values():
        install(op)
    _FOLLOWERS.append(_Follower(approve, install))


def lookup(name: str) -> Operation:
    """The operation of that name; KeyError names what is missing and lists what there is."""
    if name not in TABLE:
        raise KeyError(
            f"no operation {name!r} in the table; if it is one of your own, register it before what was made "
            f"with it is read: autobp.operation({name!r}, value, partials). Registered are "
            f"{', '.join(sorted(TABLE))}"
        )
    return TABLE[name]


def operation(
    name: str,
    value: Callable[..., Any],
    partials: Callable[..., tuple[Any, ...]],
    *,
    text: str = "",
    latex: str = "",
    precedence: int = ATOM,
    symbol: str = "",
    constants: tuple[str, ...] = (),
    defaults: tuple[float, ...] = (),
    arity: int | None = 1,
    domain: str = "",
    analytic: bool = False,
    selects: bool = False,
    inline: bool = False,
    replace: bool = False,
) -> Operation:
    """Add an operation to the table and return it. The arguments are :class:`Operation`'s attributes.

    What is returned can be called, on Values and numbers. Under the name mish, say, it is ``autobp.mish``
    too, the method ``v.mish()`` and, with one operand, the activation ``"mish"`` of networks. Everything
    else, from compiled programs to derivations, reads it from the table.

    Args:
        replace: whether it may take the place of an operation that was registered under this name before, as
            in a notebook whose cells run twice. Nodes that the old one has made keep the old one.

    Raises:
        ValueError: the name is taken or is no identifier, or the arity is no positive number, or a rule calls
            a function that no namespace has. The message says which.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"an operation's name must be an identifier, not {name!r}")
    if name in ("name", "pow", "choose"):
        raise ValueError(f"{name!r} means something else in a namespace; choose another name")
    if name in TABLE and not replace:
        raise ValueError(f"there is an operation {name!r} already; choose another name")
    if arity is not None and arity < 1:
        raise ValueError(f"operation {name!r}: arity must be at least 1, or None for any number; got {arity}")
    slots = ", ".join(f"{{{i}}}" for i in range((arity or 0) + len(constants))) or "…"
    made = Operation(
        name,
        value,
        partials,
        text or f"{name}({slots})",
        latex or rf"\operatorname{{{{{name}}}}}\left({slots}\right)".replace("_", r"\_"),
        precedence,
        symbol or name,
        constants,
        defaults,
        arity,
        domain,
        analytic,
        selects,
        inline,
    )
    for follower in _FOLLOWERS:
        follower.approve(made, name in TABLE)
    TABLE[name] = made
    for xp in _NAMESPACES:
        xp.complete(made)
    for follower in _FOLLOWERS:
        follower.install(made)
    return made


def without_rule(name: str, why: str) -> Operation:
    """An operation that is not in the table, of nodes that have no rule: to run one raises TypeError(why)."""

    def no_rule(*arguments: Any) -> Any:
        raise TypeError(why)

    return Operation(name, no_rule, no_rule, "", "", ATOM, "", (), (), None, "", False, False, False)


# ---------------------------------------------------------------------------------------------- namespaces


class _Completion:
    """How a namespace gets the functions of operations that it was not given."""

    def __init__(
        self, xp: SimpleNamespace, make: Callable[[Any, Operation], Callable[..., Any]], given: set[str]
    ) -> None:
        self.xp = xp
        self.make = make
        self.given = given

    def complete(self, op: Operation) -> None:
        if op.name not in self.given:
            setattr(self.xp, op.name, self.make(self.xp, op))


_NAMESPACES: Final[list[_Completion]] = []


def _by_its_rule(xp: Any, op: Operation) -> Callable[..., Any]:
    return partial(op.value, xp)


def namespace(
    name: str,
    complete: Callable[[Any, Operation], Callable[..., Any]] = _by_its_rule,
    **functions: Callable[..., Any],
) -> SimpleNamespace:
    """Elementary functions on one kind of number, for rules to be written against.

    Args:
        name: what kind of number.
        complete: ``complete(xp, op)`` gives the function for an operation that is not among ``functions``;
            by default the operation's own rule.
        functions: exp, expm1, log, log1p, sqrt, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, erf, erfc,
            abs, floor, pow, maximum, minimum, where, and choose(index, values), by name; of ``COMPOSED``,
            what it has better ones of. Operations that are not among them, now or registered later, come
            from ``complete``.

    Raises ValueError where one of those is missing whose own rule would call it again.
    """
    missing = [known for known in ELEMENTARY if known not in functions]
    if missing and complete is _by_its_rule:
        raise ValueError(f"the namespace {name!r} needs {', '.join(missing)}, which rules are made of")
    made = SimpleNamespace(name=name, **functions)
    given = set(functions)
    if complete is _by_its_rule:
        for known, rule in COMPOSED.items():
            if known not in functions:
                setattr(made, known, partial(rule, made))
        given |= set(COMPOSED)
    completion = _Completion(made, complete, given)
    for op in TABLE.values():
        completion.complete(op)
    _NAMESPACES.append(completion)
    return made


def names_a_function(op: Operation, error: AttributeError) -> AttributeError | None:
    """What to raise where a rule called a function that its namespace lacks; None for another error."""
    xp = getattr(error, "obj", None)
    if not isinstance(xp, SimpleNamespace):
        return None
    what = "which is itself" if error.name == op.name else "and no namespace has that function"
    known = ", ".join(sorted({*ELEMENTARY, *COMPOSED, *TABLE} - {op.name}))
    return AttributeError(
        f"the rule of operation {op.name!r} calls xp.{error.name}, {what}; it may call {known}",
        name=error.name,
        obj=xp,
    )


#: The eager engine's functions, on Python floats. They raise as :mod:`math` does.
FLOATS: Final = namespace("floats", **ON_FLOATS)

#: The same functions on NumPy arrays, in IEEE 754 arithmetic (silence its warnings with ``np.errstate``).
NUMPY: Final = namespace("numpy", **ON_ARRAYS)


def evaluate(op: Operation, *operands: float) -> float:
    """The operation's value on plain floats as IEEE 754 has it: infinities and NaN instead of exceptions."""
    try:
        with np.errstate(all="ignore"):
            return float(op.value(NUMPY, *[np.float64(x) for x in operands]))
    except AttributeError as error:
        raise names_a_function(op, error) or error from None


def partials_at(op: Operation, y: float, *operands: float) -> tuple[float, ...]:
    """The local derivatives on plain floats as IEEE 754 has them: infinities and NaN, no exceptions."""
    try:
        with np.errstate(all="ignore"):
            arguments = [np.float64(x) for x in operands]
            return tuple(float(d) for d in op.partials(NUMPY, np.float64(y), *arguments))
    except AttributeError as error:
        raise names_a_function(op, error) or error from None
