"""Cost functions on Values, each a record that says all there is to know of it.

A :class:`Cost` takes a network's outputs and their targets: a flat list (or one Value) is one sample and
gives its cost C_x; a nested list, a row of outputs for each of m samples, gives the mean C = (1/m) Σ C_x.
Targets have the shape of the outputs and may be numbers or Values.

Whoever needs to know something of a cost (``fit``, ``check.compare``, the command) reads its record, so one
that you define is at home everywhere from then on, by its name.

Examples:
    >>> @define(targets=NUMBERS)
    ... def absolute(a, y):
    ...     "Σ_k |a_k - y_k|."
    ...     return abs(a - y)
    >>> absolute([Value(1.0), Value(5.0)], [3.0, 4.0]).data
    3.0
    >>> named("absolute") is absolute
    True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autobp.arguments import unknown
from autobp.chain import gradients
from autobp.engine import Value
from autobp.functions import logsumexp, mean, relu, softplus, sum, take, xlogy
from autobp.nn import MLP
from autobp.state import is_traced

Array = NDArray[np.float64]

#: What to do about text among targets.
TEXT_TARGETS = "; number the classes from 0, as np.unique(labels, return_inverse=True) does"

#: The activations whose outputs are probabilities.
PROBABILISTIC = ("sigmoid", "softmax")


@dataclass(frozen=True)
class Targets:
    """What a cost takes for the target of one output.

    Attributes:
        words: for messages, "-1 or 1".
        takes: whether a number is one.
        examples: two of them, to draw random targets from.
    """

    words: str
    takes: Callable[[float], bool]
    examples: tuple[float, float]


NUMBERS = Targets("numbers", lambda y: True, (0.0, 1.0))
PROBABILITIES = Targets("probabilities, from 0 to 1", lambda y: 0.0 <= y <= 1.0, (0.0, 1.0))
SIGNS = Targets("-1 or 1", lambda y: y in (-1.0, 1.0), (-1.0, 1.0))


@dataclass(frozen=True, eq=False, repr=False)
class Cost:
    """A cost function, ``cost(outputs, targets)``, and what there is to know of it.

    Attributes:
        name: a Python name, by which ``fit`` and the others take it.
        term: of one output and its target, Values or numbers; their sum is a sample's cost.
        targets: what it takes for targets, :data:`NUMBERS`, :data:`PROBABILITIES` or :data:`SIGNS`.
        outputs: what it takes a network's outputs for.
        applies: the activation that it applies itself, of a cost that takes logits; the network's output
            layer is linear then.
        on_logits: of a cost that takes probabilities, the name of the same cost on logits.
        threshold: the output above which the answer is class 1 of two; None where the cost does not tell.
        together: what the term takes instead of the outputs where each of those depends on all of them, made
            of a sample's outputs, at least two.
        of_class: the cost of a sample's outputs, given the number of its class, where that is a target too.
        matrices: the same once more for :func:`autobp.check.compare`, as functions of arrays (m, K) of
            outputs and targets: each row's cost, (m,), and its derivative by the outputs, (m, K).
        elsewhere: what others call it, in small letters alone, with what to add to its name in each case.
        doc: what ``help(cost)`` shows.

    ``cost(outputs, targets)`` raises ValueError where outputs and targets differ in shape, or a number among
    the targets is none that the cost takes; IndexError where there is no class of that number.
    """

    name: str
    term: Callable[[Any, Any], Value]
    _: KW_ONLY
    targets: Targets = NUMBERS
    outputs: Literal["numbers", "probabilities", "logits"] = "numbers"
    applies: str = ""
    on_logits: str = ""
    threshold: float | None = None
    together: Callable[[list[Any]], list[Any]] | None = None
    of_class: Callable[[list[Any], Any], Value] | None = None
    matrices: tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]] | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    doc: str = ""

    def __post_init__(self) -> None:
        names = {"__name__": self.name, "__qualname__": self.name, "__module__": self.term.__module__}
        for attribute, text in {**names, "__doc__": self.doc or None}.items():
            object.__setattr__(self, attribute, text)  # for help() and whoever else looks at functions

    def __repr__(self) -> str:
        return f"<cost {self.name} of {self.outputs}>"

    def __reduce__(self) -> Any:
        """A registered cost is pickled and copied by its name, as functions are; another whole."""
        return (named, (self.name,)) if COSTS.get(self.name) is self else super().__reduce__()

    def __call__(self, outputs: Any, targets: Any) -> Value:
        if self.of_class is None:
            self.check_targets(targets)
        if not _is_nested(outputs):
            return self._of_sample(outputs, targets)
        rows, of_rows = list(outputs), list(targets) if _is_list(targets) else [targets]
        if len(rows) != len(of_rows):
            raise ValueError(f"{self.name}: {len(rows)} samples, but targets for {len(of_rows)}")
        return mean([self._of_sample(row, target) for row, target in zip(rows, of_rows, strict=True)])

    def slope(self, output: float, target: float) -> float:
        """∂term/∂output, from the term's own graph."""
        x = Value(output)
        return gradients(self.term(x, target), [x])[0]

    def check_output(self, activation: object) -> None:
        """ValueError where the cost applies itself what the output layer, of that activation, has applied."""
        if self.applies and activation == self.applies:
            raise ValueError(
                f"{self.name} takes {self.outputs} and applies {self.applies} itself, but the output layer "
                f"is {self.applies} too: make it linear, or take {suiting(self.applies).name}"
            )

    def check_targets(self, y: Any) -> None:
        """ValueError where a number among the targets y, nested at will, is none that the cost takes.

        Values pass, since they may be inputs yet to come: the cost checks what it is given, and whoever runs
        a compiled cost checks by this what it is run on. Not for class numbers.
        """
        if _is_list(y):
            for element in y:
                self.check_targets(element)
        elif isinstance(y, (Real, np.bool_)) and not self.targets.takes(float(y)):
            raise ValueError(f"{self.name}: targets are {self.targets.words}; got {y!r}")

    def random_targets(self, m: int, k: int, rng: np.random.Generator) -> Array:
        """Targets for m samples of k outputs, (m, k); one-hot where the cost takes class numbers."""
        if self.of_class is not None:
            return np.eye(k)[rng.integers(k, size=m)]
        return np.array(self.targets.examples)[rng.integers(2, size=(m, k))]

    def _of_sample(self, outputs: Any, targets: Any) -> Value:
        if self.together is not None and (not _is_list(outputs) or len(outputs) < 2):
            raise ValueError(
                f"{self.name} needs the {self.outputs} of two classes or more, as a list; got {outputs!r}"
            )
        of_outputs: list[Any] = list(outputs) if _is_list(outputs) else [outputs]
        if self.of_class is not None and not _is_list(targets):
            return self._of_class_number(self.of_class, of_outputs, targets)
        self.check_targets(targets)
        of_targets: list[Any] = list(targets) if _is_list(targets) else [targets]
        self._check_shapes(of_outputs, of_targets)
        if self.together is not None:
            of_outputs = self.together(of_outputs)
        return sum([self.term(a_k, y_k) for a_k, y_k in zip(of_outputs, of_targets, strict=True)])

    def _of_class_number(
        self, of_class: Callable[[list[Any], Any], Value], outputs: list[Any], number: Any
    ) -> Value:
        self._refuse_text(number)
        try:
            return of_class(outputs, number)
        except IndexError as error:
            n = len(outputs)
            raise IndexError(
                f"{self.name}: there is no class {number!r}; {n} outputs are the classes 0 to {n - 1}"
            ) from error

    def _check_shapes(self, outputs: Sequence[Any], targets: Sequence[Any]) -> None:
        if not outputs:
            raise ValueError(f"{self.name}: there are no outputs")
        if len(outputs) != len(targets):
            raise ValueError(f"{self.name}: {len(outputs)} outputs, but {len(targets)} targets")
        for target in targets:
            self._refuse_text(target)
        if any(_is_list(target) for target in targets):
            raise ValueError(
                f"{self.name}: the outputs are one sample's, a flat list, but the targets are nested"
            )

    def _refuse_text(self, target: Any) -> None:
        if isinstance(target, str):
            raise ValueError(f"{self.name}: targets are numbers; got {target!r}{TEXT_TARGETS}")


#: The costs by name, as ``fit``, ``check.compare`` and the command take them.
COSTS: dict[str, Cost] = {}


def register(cost: Cost, *, replace: bool = False) -> Cost:
    """Let the cost be known by its name from now on; it is returned.

    Raises ValueError where the name is no Python name, or taken; ``replace`` allows a cost's (for notebooks).
    """
    taken = cost.name in COSTS and not replace
    if taken or (cost.name in globals() and cost.name not in COSTS):
        raise ValueError(f"the name {cost.name!r} is taken; a cost of its own needs another")
    if not cost.name.isidentifier():
        raise ValueError(f"a cost's name is a Python name, such as 'quadratic'; got {cost.name!r}")
    COSTS[cost.name] = cost
    return cost


def define(*, replace: bool = False, **known: Any) -> Callable[[Callable[[Any, Any], Value]], Cost]:
    """Make a function of one output and its target a registered cost: name and docstring are the function's.

    Args:
        replace: see :func:`register`.
        known: attributes of :class:`Cost`.
    """

    def of(term: Callable[[Any, Any], Value]) -> Cost:
        return register(Cost(term.__name__, term, doc=term.__doc__ or "", **known), replace=replace)

    return of


@define(
    targets=NUMBERS,
    elsewhere=dict.fromkeys(["mse", "meansquarederror", "squarederror", "squared"], ", ½ Σ (a - y)²"),
)
def quadratic(a: Any, y: Any) -> Value:
    """½ Σ_k (a_k - y_k)². Source: the slides' Ex1.

    Raises ValueError where outputs and targets differ in shape.
    """
    return 0.5 * (a - y) ** 2  # type: ignore[no-any-return]


@define(
    targets=PROBABILITIES,
    outputs="probabilities",
    on_logits="binary_cross_entropy_with_logits",
    threshold=0.5,
    elsewhere=dict.fromkeys(["bce", "logloss"], ""),
)
def binary_cross_entropy(a: Any, y: Any) -> Value:
    """-Σ_k [y_k log a_k + (1 - y_k) log(1 - a_k)] of probabilities a, summed over the outputs.

    Source: the cost of the induction proof, of ML15 (1) and of Brawer (18). A term whose factor y or 1 - y is
    0 counts as 0, whatever its logarithm. Targets lie in 0 … 1.

    Raises:
        ValueError: an output is exactly 0 or 1 against its target, where the cost is infinite (train on
            :func:`binary_cross_entropy_with_logits`, which is not), or a number among the targets is not in
            0 … 1, or outputs and targets differ in shape.
    """
    return -(xlogy(y, a) + xlogy(1.0 - y, 1.0 - a))


@define(
    targets=PROBABILITIES,
    outputs="logits",
    applies="sigmoid",
    threshold=0.0,
    elsewhere={"bcewithlogits": ""},
)
def binary_cross_entropy_with_logits(z: Any, y: Any) -> Value:
    """:func:`binary_cross_entropy` of sigmoid(z), summed over the outputs; accurate and finite for every z.

    Raises ValueError where a target is not in 0 … 1, or outputs and targets differ in shape.
    """
    return y * softplus(-z) + (1.0 - y) * softplus(z)  # type: ignore[no-any-return]


def _surprisals(logits: list[Any]) -> list[Any]:
    """-log softmax(z)_k of each class."""
    log_sum = logsumexp(logits)
    return [log_sum - z_k for z_k in logits]


def _is_number(x: Any, number: float) -> bool:
    """Whether x, a Value or a float, has that number."""
    data = x.data if isinstance(x, Value) else x
    return isinstance(data, int | float) and data == number


@define(
    targets=PROBABILITIES,
    outputs="logits",
    applies="softmax",
    together=_surprisals,
    of_class=lambda logits, number: logsumexp(logits) - take(logits, number),
    elsewhere=dict.fromkeys(
        ["crossentropy", "ce", "categoricalcrossentropy"],
        ", of several classes, or 'binary_cross_entropy', of probabilities",
    ),
)
def softmax_cross_entropy(surprisal: Any, y: Any) -> Value:
    """-Σ_k y_k log softmax(z)_k of logits z, at least two; finite for every z.

    A class with the target 0 may have the logit -∞; in compiled programs that is NaN.

    The target of a sample is a list of probabilities (one-hot, say), or the number of its class, 0, 1, …

    Raises ValueError where a probability is not in 0 … 1, or outputs and targets differ in shape, and
    IndexError where there is no class of that number.
    """
    if not is_traced() and _is_number(surprisal, math.inf) and _is_number(y, 0.0):
        return Value(0.0)  # of a class that a logit of -∞ masks
    return y * surprisal  # type: ignore[no-any-return]


@define(targets=SIGNS, threshold=0.0, elsewhere=dict.fromkeys(["svm", "maxmargin", "margin"], ""))
def hinge(a: Any, y: Any) -> Value:
    """Σ_k max(0, 1 - y_k a_k), for targets -1 and 1; the derivative at the kink is 0.

    Source: the margin loss of support vector machines (Cortes and Vapnik 1995), an output at a time.

    Raises ValueError where a number among the targets is neither, or outputs and targets differ in shape.
    """
    return relu(1.0 - y * a)


def l2(weights: MLP | Iterable[Value], lam: float, m: int = 1) -> Value:
    """λ/(2m) Σ w² over the weights, biases left out.

    Source: the penalty of the induction proof and of ML15 (1), whose derivative by a weight is (λ/m) w.

    Args:
        weights: a network, whose biases are left out, or the Values themselves.
        lam: λ, at least 0.
        m: the number of samples, at least 1.

    Raises ValueError where λ or m is less.
    """
    if not lam >= 0:
        raise ValueError(f"l2: λ must be at least 0; got {lam!r}")
    if m < 1:
        raise ValueError(f"l2: the number of samples m must be at least 1; got {m!r}")
    values = weights.weights() if isinstance(weights, MLP) else weights
    return lam / (2 * m) * sum([w * w for w in values])


def named(cost: str | Callable[[Any, Any], Value]) -> Callable[[Any, Any], Value]:
    """The cost of that name, or the function itself; ValueError lists the names where there is none."""
    if callable(cost):
        return cost
    if cost not in COSTS:
        raise ValueError(unknown("cost", cost, COSTS, elsewhere(), ", or a function of (outputs, y)"))
    return COSTS[cost]


def suiting(activation: object) -> Cost:
    """The cost that suits a network whose output layer has this activation."""
    return binary_cross_entropy if activation in PROBABILISTIC else quadratic


def elsewhere() -> dict[str, str]:
    """What others call the costs, and what comes closest here."""
    return {
        alias: f"{cost.name!r}{more}" for cost in COSTS.values() for alias, more in cost.elsewhere.items()
    }


def __getattr__(name: str) -> Any:
    if name in COSTS:
        return COSTS[name]
    raise AttributeError(unknown("cost", name, COSTS, elsewhere()))


def __dir__() -> list[str]:
    return sorted({*globals(), *COSTS})


def _is_list(a: Any) -> bool:
    return hasattr(a, "__len__") and not isinstance(a, str)


def _is_nested(a: Any) -> bool:
    return _is_list(a) and len(a) > 0 and _is_list(a[0])
