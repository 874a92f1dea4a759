"""Cost functions on Values.

Each takes a network's outputs and their targets: a flat list (or one Value) is one sample and gives its cost
C_x; a nested list, a row of outputs for each of m samples, gives the mean C = (1/m) Σ C_x. Targets have the
shape of the outputs and may be numbers or Values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from autobp.arguments import unknown
from autobp.engine import Value
from autobp.functions import logsumexp, mean, relu, softplus, sum, take, xlogy
from autobp.nn import MLP

#: What to do about text among targets.
TEXT_TARGETS = "; number the classes from 0, as np.unique(labels, return_inverse=True) does"


def quadratic(a: Any, y: Any) -> Value:
    """½ Σ_k (a_k - y_k)². Source: the slides' Ex1.

    Raises ValueError where outputs and targets differ in shape.
    """
    return _mean_over_samples("quadratic", lambda a_k, y_k: 0.5 * (a_k - y_k) ** 2, a, y)


def binary_cross_entropy(a: Any, y: Any) -> Value:
    """-Σ_k [y_k log a_k + (1 - y_k) log(1 - a_k)] of probabilities a, summed over the outputs.

    Source: the cost of the induction proof, of ML15 (1) and of Brawer (18). A term whose factor y or 1 - y is
    0 counts as 0, whatever its logarithm. Targets lie in 0 … 1.

    Raises:
        ValueError: an output is exactly 0 or 1 against its target, where the cost is infinite (train on
            :func:`binary_cross_entropy_with_logits`, which is not), or a number among the targets is not in
            0 … 1, or outputs and targets differ in shape.
    """
    check_targets("binary_cross_entropy", y)
    return _mean_over_samples(
        "binary_cross_entropy", lambda a_k, y_k: -(xlogy(y_k, a_k) + xlogy(1.0 - y_k, 1.0 - a_k)), a, y
    )


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Value:
    """:func:`binary_cross_entropy` of sigmoid(z), summed over the outputs; accurate and finite for every z.

    Raises ValueError where a target is not in 0 … 1, or outputs and targets differ in shape.
    """
    name = "binary_cross_entropy_with_logits"
    check_targets(name, y)
    return _mean_over_samples(name, lambda z_k, y_k: y_k * softplus(-z_k) + (1.0 - y_k) * softplus(z_k), z, y)


def softmax_cross_entropy(z: Any, y: Any) -> Value:
    """-Σ_k y_k log softmax(z)_k of logits z, at least two; finite for every z.

    The target of a sample is a list of probabilities (one-hot, say), or the number of its class, 0, 1, …

    Raises ValueError where a probability is not in 0 … 1, or outputs and targets differ in shape, and
    IndexError where there is no class of that number.
    """
    name = "softmax_cross_entropy"
    if not _is_nested(z):
        return _softmax_cross_entropy_of_sample(name, z, y)
    rows, targets = list(z), list(y)
    if len(rows) != len(targets):
        raise ValueError(f"{name}: {len(rows)} samples, but targets for {len(targets)}")
    pairs = zip(rows, targets, strict=True)
    return mean([_softmax_cross_entropy_of_sample(name, row, target) for row, target in pairs])


def _softmax_cross_entropy_of_sample(name: str, z: Any, y: Any) -> Value:
    if not _is_list(z) or len(z) < 2:
        raise ValueError(f"{name} needs the logits of two classes or more, as a list; got {z!r}")
    logits = list(z)
    if not _is_list(y):
        _refuse_text(name, y)
        try:
            return logsumexp(logits) - take(logits, y)
        except IndexError as error:
            last = len(logits) - 1
            raise IndexError(
                f"{name}: there is no class {y!r}; {len(logits)} outputs are the classes 0 to {last}"
            ) from error
    check_targets(name, y)
    log_sum = logsumexp(logits)
    return _sum_over_outputs(name, lambda z_k, y_k: y_k * (log_sum - z_k), logits, y)


def hinge(a: Any, y: Any) -> Value:
    """Σ_k max(0, 1 - y_k a_k), for targets -1 and 1; the derivative at the kink is 0.

    Source: the margin loss of support vector machines (Cortes and Vapnik 1995), an output at a time.

    Raises ValueError where a number among the targets is neither, or outputs and targets differ in shape.
    """
    check_targets("hinge", y)
    return _mean_over_samples("hinge", lambda a_k, y_k: relu(1.0 - y_k * a_k), a, y)


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


#: The costs by name, as ``fit``, ``check.compare`` and the command take them.
COSTS: dict[str, Callable[[Any, Any], Value]] = {
    "quadratic": quadratic,
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "softmax_cross_entropy": softmax_cross_entropy,
    "hinge": hinge,
}
#: What others call them, and what comes closest here.
ELSEWHERE = {
    **dict.fromkeys(["mse", "meansquarederror", "squarederror", "squared"], "'quadratic', ½ Σ (a - y)²"),
    **dict.fromkeys(["bce", "logloss"], "'binary_cross_entropy'"),
    "bcewithlogits": "'binary_cross_entropy_with_logits'",
    **dict.fromkeys(
        ["crossentropy", "ce", "categoricalcrossentropy"],
        "'softmax_cross_entropy', of several classes, or 'binary_cross_entropy', of probabilities",
    ),
    **dict.fromkeys(["svm", "maxmargin", "margin"], "'hinge'"),
}


def named(cost: str | Callable[[Any, Any], Value]) -> Callable[[Any, Any], Value]:
    """The cost of that name, or the function itself; ValueError lists the names where there is none."""
    if callable(cost):
        return cost
    if cost not in COSTS:
        raise ValueError(unknown("cost", cost, COSTS, ELSEWHERE, ", or a function of (outputs, y)"))
    return COSTS[cost]


def __getattr__(name: str) -> Any:
    raise AttributeError(unknown("cost", name, COSTS, ELSEWHERE))


def check_targets(name: str, y: Any) -> None:
    """ValueError where a number among the targets y, nested at will, is none that the named cost takes.

    Values pass, since they may be inputs yet to come: the costs check what they are given, and whoever runs a
    compiled cost checks by this what it is run on. Not for class numbers.
    """
    if _is_list(y):
        for element in y:
            check_targets(name, element)
    elif isinstance(y, (Real, np.bool_)):
        number = float(y)
        if name == "hinge" and number not in (-1.0, 1.0):
            raise ValueError(f"hinge: targets are -1 or 1; got {y!r}")
        if "cross_entropy" in name and not 0.0 <= number <= 1.0:
            raise ValueError(f"{name}: targets are probabilities, from 0 to 1; got {y!r}")


def _refuse_text(name: str, target: Any) -> None:
    if isinstance(target, str):
        raise ValueError(f"{name}: targets are numbers; got {target!r}{TEXT_TARGETS}")


def _is_list(a: Any) -> bool:
    return hasattr(a, "__len__") and not isinstance(a, str)


def _is_nested(a: Any) -> bool:
    return _is_list(a) and len(a) > 0 and _is_list(a[0])


def _mean_over_samples(name: str, term: Callable[[Any, Any], Value], a: Any, y: Any) -> Value:
    """The mean over samples of Σ_k term(a_k, y_k)."""
    if not _is_nested(a):
        return _sum_over_outputs(name, term, a, y)
    rows, targets = list(a), list(y) if _is_list(y) else [y]
    if len(rows) != len(targets):
        raise ValueError(f"{name}: {len(rows)} samples, but targets for {len(targets)}")
    pairs = zip(rows, targets, strict=True)
    return mean([_sum_over_outputs(name, term, row, target) for row, target in pairs])


def _sum_over_outputs(name: str, term: Callable[[Any, Any], Value], a: Any, y: Any) -> Value:
    outputs: Sequence[Any] = list(a) if _is_list(a) else [a]
    targets: Sequence[Any] = list(y) if _is_list(y) else [y]
    if not outputs:
        raise ValueError(f"{name}: there are no outputs")
    if len(outputs) != len(targets):
        raise ValueError(f"{name}: {len(outputs)} outputs, but {len(targets)} targets")
    for target in targets:
        _refuse_text(name, target)
    if any(_is_list(t) for t in targets):
        raise ValueError(f"{name}: the outputs are one sample's, a flat list, but the targets are nested")
    return sum([term(a_k, y_k) for a_k, y_k in zip(outputs, targets, strict=True)])
