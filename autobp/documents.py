"""One network by a document's own equations: what the witness computes, under the document's names.

ML15's loop accumulates Δ over the samples and gives D; Brawer has the bias as node 0; the others are BP1-BP4.
"""

# ruff: noqa: E741  (l is the documents' letter for a layer)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autobp import costs, matrix
from autobp.explanation.notation import Notation

Array: TypeAlias = NDArray[np.float64]

#: Where a document whose equations have neither number nor name displays them, counted as in docs/ledger.md:
#: "a - y" is BP1 of a sigmoid under cross-entropy.
_DISPLAYED: Final[Mapping[str, Mapping[str, str]]] = {
    "induction": {
        "cost": "display 1",
        "z": "text",
        "a": "text",
        "a - y": "display 39",
        "BP2": "display 40",
        "BP4": "display 44",
    },
    "slides": {
        "cost": "text",
        "z": "display 3",
        "a": "display 5",
        "BP1": "display 41",
        "a - y": "display 48",
        "BP2": "display 34",
        "BP3": "display 35",
        "BP4": "display 36",
    },
}
#: What stands for an equation that such a document does not have: a bias, or another cost.
_NOWHERE: Final = "—"


@dataclass(frozen=True)
class Side:
    """A quantity by both ways.

    Attributes:
        equation, quantity: the document's number or name of the one, and its name of the other.
        graph, witness: the numbers.
        terms: the largest sum of absolute terms of an entry, where it is a mean over samples.
    """

    equation: str
    quantity: str
    graph: Array
    witness: Array
    terms: float = 0.0


@dataclass(frozen=True)
class Setting:
    """What is compared: a network's arrays, its samples, and what the graph has of them.

    Attributes:
        W, b, X, Y, activations, cost, l2: as for :func:`autobp.matrix.backprop`.
        graph: "cost", "z", "a", "delta", by layer from 0, "dW" and "db", by layer from 0.
    """

    W: Sequence[Array]
    b: Sequence[Array] | None
    X: Array
    Y: Array
    activations: Any
    cost: Any
    l2: float
    graph: Mapping[str, Any]

    @property
    def depth(self) -> int:
        """How many layers of weights."""
        return len(self.W)

    def terms(self, layer: int) -> float:
        """The largest sum of absolute terms in the mean δ aᵀ of a layer, the unit included."""
        errors, inputs = np.abs(self.graph["delta"][layer]), np.abs(self.graph["a"][layer - 1])
        return max(float(np.max(errors.T @ inputs)), float(np.max(errors.sum(axis=0)))) / len(errors)


def sides(setting: Setting, notation: Notation) -> tuple[str, list[Side]]:
    """What stands against the graph, in words, and each quantity by both ways.

    Raises ValueError where the document has no such network: ML15 and Brawer have a bias in every layer, and
    Brawer a sigmoid under cross-entropy without a penalty.
    """
    if notation.accumulates:
        return f"{notation.name}'s loop over the samples", list(_by_loop(setting, notation))
    if notation.node_zero:
        return f"{notation.name}'s equations with node 0", list(_by_nodes(setting, notation))
    return f"{notation.source}, in matrices", list(_by_vectors(setting, notation))


def _theta(setting: Setting, notation: Notation) -> tuple[Array, ...]:
    if setting.b is None:
        raise ValueError(f"{notation.name} has a bias in every layer, and this network has none")
    return matrix.to_theta(setting.W, setting.b)


def _by_loop(s: Setting, n: Notation) -> Iterator[Side]:
    theta = _theta(s, n)
    found = matrix.accumulate(theta, s.X, s.Y, activations=s.activations, cost=s.cost, l2=s.l2)
    m, graph = len(s.X), s.graph
    yield Side("(1)", n.cost_name()[0], graph["cost"], np.array(found.cost))
    for l in range(1, s.depth + 1):
        a = found.a[l] if l == s.depth else found.a[l][:, 1:]
        yield Side("Step 2", n.input_to_neuron(l)[0], graph["z"][l], found.z[l])
        yield Side("Step 2", n.output(l)[0], graph["a"][l], a)
    for l in range(s.depth, 0, -1):
        step = "Step 3" if l == s.depth else "Step 4"
        yield Side(step, n.error(l)[0], graph["delta"][l], found.delta[l])
    gradient = matrix.to_theta(graph["dW"], graph["db"])
    for l in range(s.depth, 0, -1):
        penalty = np.hstack([0.0 * theta[l - 1][:, :1], s.l2 / m * theta[l - 1][:, 1:]])
        Delta = m * (gradient[l - 1] - penalty)
        yield Side("Step 5", n.like_weight(r"\Delta", l)[0], Delta, found.Delta[l - 1], m * s.terms(l))
        yield Side("D", n.like_weight("D", l)[0], gradient[l - 1], found.D[l - 1], s.terms(l))


def _by_nodes(s: Setting, n: Notation) -> Iterator[Side]:
    theta = _theta(s, n)
    if s.cost != costs.suiting("sigmoid").name or s.l2:
        raise ValueError("Brawer's cost (18) is the binary_cross_entropy, without a penalty")
    found = matrix.brawer(theta, s.X, s.Y, activations=s.activations)
    graph = s.graph
    yield Side("(18)", n.cost_name()[0], graph["cost"], np.array(found.J))
    for l in range(1, s.depth + 1):
        yield Side("(5)", n.input_to_neuron(l)[0], graph["z"][l], found.z[l][:, 1:])
        yield Side("(3)", n.applied(l)[0], graph["a"][l], found.h[l][:, 1:])
    for l in range(s.depth, 0, -1):
        equation = "(42)" if l == s.depth else "(43)"
        yield Side(equation, n.error(l)[0], graph["delta"][l], found.delta[l][:, 1:])
        if l < s.depth:
            yield Side("(48)", n.error(l)[0], graph["delta"][l], found.delta_vectorized[l])
    for l in range(s.depth, 0, -1):
        of = f"∂J/∂{n.weight_name(l)[0]}"
        yield Side("(46)", f"{of}, q=0", graph["db"][l - 1], found.gradient[l - 1][:, 0], s.terms(l))
        yield Side("(44)", of, graph["dW"][l - 1], found.gradient[l - 1][:, 1:], s.terms(l))


def _by_vectors(s: Setting, n: Notation) -> Iterator[Side]:
    found = matrix.backprop(s.W, s.b, s.X, s.Y, activations=s.activations, cost=s.cost, l2=s.l2)
    graph, cost = s.graph, n.cost_name()[0]
    place = _places(s, n)
    yield Side(place["cost"], cost, graph["cost"], np.array(found.cost))
    for l in range(1, s.depth + 1):
        yield Side(place["z"], n.input_to_neuron(l)[0], graph["z"][l], found.z[l])
        yield Side(place["a"], n.output(l)[0], graph["a"][l], found.a[l])
    for l in range(s.depth, 0, -1):
        rule = "BP1" if l == s.depth else "BP2"
        yield Side(place[rule], n.error(l)[0], graph["delta"][l], found.delta[l])
    for l in range(s.depth, 0, -1):
        db = found.db[l - 1]
        if db is not None:
            bias = f"∂{cost}/∂{n.bias_vector(l)[0]}"
            yield Side(place["BP3"], bias, graph["db"][l - 1], db, s.terms(l))
        of = f"∂{cost}/∂{n.weight_name(l)[0]}"
        yield Side(place["BP4"], of, graph["dW"][l - 1], found.dW[l - 1], s.terms(l))


def _places(s: Setting, n: Notation) -> dict[str, str]:
    """What the document calls each equation, or where it displays it."""
    rules = ("cost", "z", "a", "BP1", "BP2", "BP3", "BP4")
    if n.name not in _DISPLAYED:
        return {rule: n.equation(rule) for rule in rules} | {"z": "forward", "a": "forward"}
    displayed = _DISPLAYED[n.name]
    place = {rule: displayed.get(rule, _NOWHERE) for rule in rules}
    of_sigmoids = s.cost == costs.suiting("sigmoid").name
    last = s.activations if isinstance(s.activations, str) else s.activations[-1]
    if of_sigmoids and last == "sigmoid":
        place["BP1"] = displayed["a - y"]
    if n.name == "induction" and not of_sigmoids:
        place["cost"] = _NOWHERE
    return place
