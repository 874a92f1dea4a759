"""The usual mistakes in a backprop of one's own, each made on purpose, to see which gives just its numbers.

:class:`Way` is backprop for a network with places in which it can go wrong. A mistake changes one or two of
them, and two mistakes may be made together. What flows in: a network's arrays, and the gradients that
somebody's function returned; what flows out: in words, the mistakes that lead to these.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autobp import matrix

Array: TypeAlias = NDArray[np.float64]
#: delta, dW and db, a layer each
Gradients: TypeAlias = tuple[Sequence[Array] | None, Sequence[Array], Sequence[Array | None] | None]
#: A mistake: in words, and what it changes of a Way.
Mistake: TypeAlias = tuple[str, dict[str, Any]]

#: As large a difference still counts as the same number: rounding, in whatever order sums were taken.
_SAME = 1e-9
#: Multiplications in all pairs of mistakes; where there would be more, only single ones are looked for.
_MOST_WORK = 4e9
#: σ' as it is written of a = σ(z), which gives something else of z.
_SLOPE_BY_A: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda a: a * (1.0 - a),
    "tanh": lambda a: 1.0 - a * a,
}


@dataclass(frozen=True)
class Problem:
    """What a function was given.

    Attributes:
        W, b: the network's arrays; b None without biases.
        X, Y: samples in rows.
        sigma: (σ, σ') of each layer.
        names: the activations' names.
        nabla: ∂C_x/∂a of the cost, of (a, y).
        l2: λ.
    """

    W: Sequence[Array]
    b: Sequence[Array] | None
    X: Array
    Y: Array
    sigma: Sequence[Any]
    names: Sequence[str]
    nabla: Callable[[Array, Array], Array]
    l2: float

    @property
    def depth(self) -> int:
        """How many layers of weights."""
        return len(self.W)

    @property
    def softmax(self) -> bool:
        """Whether the outputs are a softmax."""
        return self.names[-1] == "softmax"


@dataclass(frozen=True)
class Way:
    """How somebody might compute the gradients; as it stands, rightly.

    Attributes:
        bias: whether z has its bias.
        every_target: whether each output meets the targets of all samples, as (m, 1) and (m,) broadcast.
        factor: of δ^L: 2 for a cost without its ½, 1/K for a mean over the outputs.
        error: δ^L by "BP1", with "no slope", as the "difference" a - y, or of the Jacobian's "diagonal".
        slope_at_a: layers whose σ' is taken at a, and not at z.
        swapped: layers whose σ' is written of a, and taken at z.
        without_slope: hidden layers whose δ lacks σ'.
        untransposed: layers whose W is not transposed in BP2.
        step: how far W had moved along its gradient before δ went through it.
        inputs: of BP4: the layer "below", its "z", or the layer's "own" a.
        delta_of: in BP4, how many layers too high δ is taken from.
        summed: whether "dW", "db", both or "" are sums and no means over the samples.
        penalty: times λ/m W; bias_penalty: times λ/m b.
        last: whether each sample overwrites the one before.
        across: whether db is summed over the neurons and not over the samples.
        transposed: whether square dW are transposed.
    """

    bias: bool = True
    every_target: str = ""
    factor: float = 1.0
    error: str = "BP1"
    slope_at_a: frozenset[int] = frozenset()
    swapped: frozenset[int] = frozenset()
    without_slope: frozenset[int] = frozenset()
    untransposed: frozenset[int] = frozenset()
    step: float = 0.0
    inputs: str = "below"
    delta_of: int = 0
    summed: str = ""
    penalty: float = 1.0
    bias_penalty: float = 0.0
    last: bool = False
    across: bool = False
    transposed: bool = False


#: Without a mistake.
RIGHT = Way()


def gradients(problem: Problem, way: Way) -> Gradients | None:
    """δ of each sample's own cost, dW and db that way; None where the shapes do not fit."""
    try:
        with np.errstate(all="ignore"):
            z, a = forward(problem, way)
            return _gradient(problem, way, a, z, _errors(problem, way, z, a))
    except ValueError:  # of NumPy: the shapes do not conform
        return None


def forward(p: Problem, way: Way = RIGHT) -> tuple[list[Array], list[Array]]:
    """z and a by layer, 0 for the input."""
    z, a = [p.X], [p.X]
    for layer in range(p.depth):
        b = p.b[layer] if p.b is not None and way.bias else 0.0
        z.append(a[-1] @ p.W[layer].T + b)
        a.append(p.sigma[layer][0](z[-1]))
    return z, a


def _slope(p: Problem, way: Way, layer: int, z: Array, a: Array) -> Array:
    """σ' of a layer, counted from 1."""
    if layer in way.swapped:
        return _SLOPE_BY_A[p.names[layer - 1]](z)
    derived: Array = p.sigma[layer - 1][1](a if layer in way.slope_at_a else z)
    return derived


def _errors(p: Problem, way: Way, z: Sequence[Array], a: Sequence[Array]) -> list[Array]:
    """δ of the layers 1 to the last."""
    Y = p.Y if not way.every_target else np.broadcast_to(p.Y.mean(axis=0), p.Y.shape)
    if way.error == "difference":
        delta = a[-1] - Y
    else:
        delta = p.nabla(a[-1], Y)
        if way.error == "BP1":
            slope = _slope(p, way, p.depth, z[-1], a[-1])
            delta = np.einsum("mj,mjk->mk", delta, slope) if slope.ndim > 2 else delta * slope
        elif way.error == "diagonal":
            delta = delta * a[-1] * (1.0 - a[-1])
    deltas = [way.factor * (len(Y) if way.every_target == "summed" else 1.0) * delta]
    for layer in range(p.depth - 1, 0, -1):
        W = p.W[layer]
        if way.step:
            W = W - way.step * (deltas[0].T @ a[layer] / len(p.X) + p.l2 / len(p.X) * W)
        back = deltas[0] @ (W.T if layer + 1 in way.untransposed else W)
        deltas.insert(0, back)
        if layer not in way.without_slope:
            deltas[0] = back * _slope(p, way, layer, z[layer], a[layer])
    return deltas


def _gradient(
    p: Problem, way: Way, a: Sequence[Array], z: Sequence[Array], delta: Sequence[Array]
) -> Gradients:
    m, rows = len(p.X), slice(-1, None) if way.last else slice(None)
    dW: list[Array] = []
    db: list[Array | None] = []
    for layer, W in enumerate(p.W):
        inputs = {"below": a[layer], "z": z[layer], "own": a[layer + 1]}[way.inputs]
        error = delta[min(layer + way.delta_of, p.depth - 1)]
        product = error[rows].T @ inputs[rows]
        if product.shape != W.shape:
            raise ValueError("the shapes do not conform")
        gradient = product / (1 if "dW" in way.summed else m) + way.penalty * p.l2 / m * W
        dW.append(gradient.T if way.transposed and W.shape[0] == W.shape[1] else gradient)
        summed = delta[layer][rows].sum(axis=1 if way.across else 0)
        if summed.shape != W.shape[:1]:
            raise ValueError("the shapes do not conform")
        bias = 0.0 if p.b is None else way.bias_penalty * p.l2 / m * p.b[layer]
        db.append(None if p.b is None else summed / (1 if "db" in way.summed else m) + bias)
    return delta, dW, db


# ------------------------------------------------------------------------------------------------ by name


def mistakes(p: Problem) -> Iterator[Mistake]:
    """Each usual mistake that could be made here, the likeliest first."""
    yield from _in_errors(p)
    yield from _over_samples(p)
    yield from _of_penalty(p)
    yield from _in_products(p)


def _in_errors(p: Problem) -> Iterator[Mistake]:
    """In δ."""
    depth, K = p.depth, p.Y.shape[1]
    hidden = range(1, depth)
    if p.softmax:
        yield "softmax's σ' is a matrix, and only its diagonal a(1 - a) is taken", {"error": "diagonal"}
    yield f"σ' is missing in BP1, layer {depth}", {"error": "no slope"}
    everywhere = {"error": "no slope", "without_slope": frozenset(hidden)}
    yield "σ' is missing in BP1 and BP2, every layer", everywhere
    for layers in _one_or_all(hidden):
        which = ", ".join(map(str, layers))
        yield f"σ' is missing in BP2, layer {which}", {"without_slope": frozenset(layers)}
    square = [layer for layer in range(2, depth + 1) if p.W[layer - 1].shape[0] == p.W[layer - 1].shape[1]]
    for layers in _one_or_all(square):
        names = ", ".join(f"W{layer}" for layer in layers)
        yield f"BP2 multiplies by {names}, not by its transpose", {"untransposed": frozenset(layers)}
    under = "a softmax under this cost" if p.softmax else "this output and cost"
    yield f"δ is a - y in the last layer, which it is not for {under}", {"error": "difference"}
    for where, layers in _parts(range(1, depth + 1), depth):
        yield f"σ' is taken at a, σ'(a), and not at z, σ'(z){where}", {"slope_at_a": frozenset(layers)}
    by_a = {"sigmoid": "sigmoid's a(1 - a)", "tanh": "tanh's 1 - a²"}
    known = [name for name in dict.fromkeys(p.names) if name in by_a]
    for these in _one_or_all(known):
        which = " and ".join(by_a[name] for name in these)
        own = [layer for layer, name in enumerate(p.names, start=1) if name in these]
        for where, layers in _parts(own, depth):
            yield f"σ' is written of a, {which}, and given z{where}", {"swapped": frozenset(layers)}
    yield (
        "δ of the last layer is twice what it should be: ∂C/∂a is a - y for ½(a - y)², not 2(a - y)",
        {"factor": 2.0},
    )
    yield f"the cost is a sum over the {K} outputs, and δ is that of their mean", {"factor": 1.0 / K}
    yield "the sign of δ is the other way round: a - y, not y - a", {"factor": -1.0}


def _one_or_all(parts: Sequence[Any]) -> list[list[Any]]:
    """Each by itself, and all of several."""
    return [[part] for part in parts] + ([list(parts)] if len(parts) > 1 else [])


def _parts(layers: Sequence[int], depth: int) -> list[tuple[str, list[int]]]:
    """All of these layers, and the last and the hidden ones by themselves, each with where that is."""
    hidden = [layer for layer in layers if layer < depth]
    parts = [("", list(layers))]
    if hidden and depth in layers:
        parts += [(", in BP2", hidden), (", in BP1", [depth])]
    return parts


def _over_samples(p: Problem) -> Iterator[Mistake]:
    """In sums and means over the samples."""
    yield "the sum over the samples is not divided by m", {"summed": "dW db"}
    if p.b is not None:
        yield "dW is not divided by m, and db is", {"summed": "dW"}
        yield "db is not divided by m, and dW is", {"summed": "db"}
        yield "db is a sum over the neurons, the wrong axis, and not over the samples", {"across": True}
        yield "z lacks the bias: z = W a, without + b", {"bias": False}
    yield "Δ is overwritten by each sample, not added to", {"last": True}
    what = "a - y of shapes (m, 1) and (m,) is (m, m): each output meets every sample's target"
    yield f"{what}, in the mean", {"every_target": "mean"}
    yield f"{what}, in sum", {"every_target": "summed"}


def _of_penalty(p: Problem) -> Iterator[Mistake]:
    """In what λ adds; there is none without it."""
    if not p.l2:
        return
    m = len(p.X)
    yield "the penalty's derivative is λ/m times W, not λ times W", {"penalty": float(m)}
    yield "the penalty is λ/(2m) Σ w²; its derivative has no 2", {"penalty": 2.0}
    yield "the penalty's derivative, λ/m times W, is missing", {"penalty": 0.0}
    yield "the penalty's derivative is subtracted, not added", {"penalty": -1.0}
    if p.b is not None:
        yield "the biases are regularised; the penalty leaves them out", {"bias_penalty": 1.0}


def _in_products(p: Problem) -> Iterator[Mistake]:
    """In BP4."""
    yield "the sign is the other way round", {"factor": -1.0, "penalty": -1.0}
    yield "dW is transposed: BP4 is δ aᵀ, not a δᵀ", {"transposed": True}
    yield "BP4 takes a of the layer itself, and not of the layer below", {"inputs": "own"}
    yield "BP4 takes z of the layer below, and not its a", {"inputs": "z"}
    yield "BP4 takes δ of the layer above, and not of the layer itself", {"delta_of": 1}


# -------------------------------------------------------------------------------------------- which it was


def likely(p: Problem, theirs: Gradients) -> list[str]:
    """The mistakes that give these numbers: each that does by itself, else the first two that do together.

    For dW and db that are right but for a difference as small as those that are taken for rounding it is none
    of theirs: any mistake would give them, if it is made small enough.
    """
    right = gradients(p, Way())
    if right is None:
        return []
    if same(right, theirs):
        return _of_delta_alone(right[0] or (), theirs[0] or (), len(p.X))
    known = list(mistakes(p))
    effective: list[Mistake] = []
    found = []
    for words, changes in known:
        made = gradients(p, replace(Way(), **changes))
        if made is None or same(made, right):
            continue
        effective.append((words, changes))
        if same(made, theirs):
            found.append(words)
    if found:
        return found
    if updated := _updated_first(p, theirs):
        return [updated]
    work = 3.0 * len(p.X) * sum(w.size for w in p.W) * len(effective) ** 2 / 2
    return _two(p, effective, right, theirs) if work <= _MOST_WORK else []


def _of_delta_alone(right: Sequence[Array], theirs: Sequence[Array], m: int) -> list[str]:
    """What δ is taken for, where dW and db are right: that of another cost, all the way down."""
    if not theirs or m == 1 or not same((None, right, None), (None, theirs, None), float(m)):
        return []
    return ["δ is divided by m: it is that of each sample's own cost, and BP3 and BP4 take the mean"]


def _two(p: Problem, known: Sequence[Mistake], right: Gradients, theirs: Gradients) -> list[str]:
    """The first two mistakes that together give these numbers."""
    for (words, changes), (others, more) in itertools.combinations(known, 2):
        if changes.keys() & more.keys():
            continue
        made = gradients(p, replace(Way(), **changes, **more))
        if made is not None and same(made, theirs) and not same(made, right):
            return [f"two at once: {words}; and {others}"]
    return []


def _updated_first(p: Problem, theirs: Gradients) -> str:
    """Whether δ went through weights that had been updated, by a step that is found from the numbers."""
    if p.depth < 2:
        return ""
    (_, plain, _), moved = gradients(p, Way()) or (None, [], None), gradients(p, Way(step=1.0))
    if moved is None:
        return ""
    layer = p.depth - 2  # the last whose δ has gone through one W: there the difference grows with the step
    by_one, differs = moved[1][layer] - plain[layer], theirs[1][layer] - plain[layer]
    scale = float((by_one**2).sum())
    step = float((by_one * differs).sum()) / scale if scale else 0.0
    if not np.isfinite(step) or abs(step) < 1e-12:
        return ""
    made = gradients(p, Way(step=step))
    if made is None or not same(made, theirs):
        return ""
    return f"δ goes back through weights that are updated already, by {step:.4g} times their gradient"


def same(ours: Gradients, theirs: Gradients, factor: float = 1.0) -> bool:
    """Whether dW and db are ``factor`` times those of theirs, up to rounding."""
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        if mine is None or other is None:
            continue
        for x, y in zip(mine, other, strict=True):
            if x is None or y is None:
                continue
            scale = max(float(np.max(np.abs(x))), 1e-300)
            if not np.max(np.abs(x - factor * y)) <= _SAME * scale:
                return False
    return True


def problem_of(
    W: Sequence[Array],
    b: Sequence[Array] | None,
    X: Array,
    Y: Array,
    sigma: Iterable[Any],
    names: Sequence[str],
    cost: Any,
    l2: float,
) -> Problem:
    """The problem, of what :func:`autobp.matrix.backprop` takes: activations and cost by name or function."""
    functions = [matrix.ACTIVATIONS[s] if isinstance(s, str) else s for s in sigma]
    nabla = matrix.COSTS[cost][1] if isinstance(cost, str) else cost[1]
    return Problem(W, b, X, Y, functions, names, nabla, l2)
