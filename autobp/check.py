"""The scalar graph against the matrix formulas, equation by equation.

:func:`compare` computes one network's cost and gradients twice, by the graph of Values and by BP1-BP4 in
NumPy (or by a function of the caller's), and reports the largest difference in each equation of each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs, matrix
from autobp.agreement import Agreement, Agreements
from autobp.arguments import numbers
from autobp.documents import Setting, sides
from autobp.engine import Value
from autobp.explanation.notation import Notation, named
from autobp.functions import mean
from autobp.in_matrices import OfOutputs, activations_in_matrices, cost_in_matrices, names_of
from autobp.mistakes import Problem, Way, forward, gradients, likely, problem_of, same
from autobp.nn import MLP
from autobp.returned import Given, Returned, call
from autobp.showing import paragraphs, table

#: The largest difference that rounding can explain, as a part of the witness's largest entry.
TOLERANCE = 1e-12
#: Of the sum of the absolute terms of a mean over the samples: 32 units in the last place.
_OF_TERMS = 32 * 2.0**-53

#: What differs by less may be float32.
_OF_SINGLE = 1e-4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row(Agreement):
    """One quantity of one layer, by both ways: true where they agree.

    Attributes:
        equation: "forward", "cost", "BP1", "BP2", "BP3" or "BP4", or a document's number.
        quantity: its name, such as "delta2" or "dW1"; layers count from 1, the first after the input. In a
            document's notation its name there.
        graph, witness: both arrays, of one shape, a sample in each row for z, a and delta.
        absolute: the largest absolute difference.
        relative: the same divided by the witness's largest absolute entry.
        rounding: what the rounding of the samples' terms explains, which may cancel one another.
        follows: whether it differs, and yet is right given the δ that a function returned: the mistake lies
            before it.
    """

    equation: str
    quantity: str
    graph: Array
    witness: Array
    absolute: float
    relative: float
    rounding: float = 0.0
    follows: bool = False

    @property
    def ok(self) -> bool:
        """Whether the largest difference is at most 1e-12 of the witness's largest entry."""
        return self.relative <= TOLERANCE or self.absolute <= self.rounding

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table says of it: equation, quantity, shape, largest entry, differences, verdict."""
        shape = "×".join(str(n) for n in self.witness.shape) or "scalar"
        largest = f"{np.max(np.abs(self.witness)):.6g}"
        differences = (f"{self.absolute:.2e}", f"{self.relative:.2e}")
        verdict = "ok" if self.ok else "follows" if self.follows else "DIFFERS"
        return self.equation, self.quantity, shape, largest, *differences, verdict

    @property
    def where(self) -> tuple[int, ...]:
        """The index of the largest difference."""
        difference = np.abs(self.graph - self.witness)
        difference = np.where(np.isnan(difference), np.inf, difference)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), difference.shape))


@dataclass(frozen=True)
class Report(Agreements[Row]):
    """What :func:`compare` found: true where every equation agrees.

    ``str(report)`` is a table, and says what differs and where.

    Attributes:
        rows: one for each equation and layer, in the order in which they are computed.
        against: what the graph was compared with, for the table's head.
        sizes: the network's layer sizes.
        n_samples: m.
        causes: what may be wrong, the likeliest first, where something differs; and which arguments a
            function has changed, which is wrong whatever it returned.
        unseen: what this network cannot show of a function, such as whether it uses biases that are all 0.
    """

    rows: tuple[Row, ...]
    against: str
    sizes: tuple[int, ...]
    n_samples: int
    causes: tuple[str, ...] = ()
    unseen: str = ""

    @property
    def compared(self) -> tuple[Row, ...]:
        """The rows."""
        return self.rows

    @property
    def ok(self) -> bool:
        """Whether every equation agrees, and no argument was changed."""
        return super().ok and not self.causes

    @property
    def first_failure(self) -> Row | None:
        """The first equation that is wrong by itself; None where all agree."""
        failed = [row for row in self.rows if not row.ok]
        return next((row for row in failed if not row.follows), failed[0] if failed else None)

    def __str__(self) -> str:
        width = max([9, *(len(row.quantity) for row in self.rows)])
        first = max([9, *(len(row.equation) for row in self.rows)])
        lines = [
            self._title(),
            "",
            f"{'equation':{first}} {'quantity':{width}} {'shape':>10} {'largest entry':>14} {'absolute':>10} "
            f"{'relative':>10}",
        ]
        for row in self.rows:
            equation, quantity, shape, largest, *differences = row.cells
            absolute, relative, mark = differences
            lines.append(
                f"{equation:{first}} {quantity:{width}} {shape:>10} {largest:>14} "
                f"{absolute:>10} {relative:>10}  {mark}"
            )
        return "\n".join([*lines, "", *self._verdict()])

    def _title(self) -> str:
        network = "-".join(str(size) for size in self.sizes)
        samples = f"{self.n_samples} sample{'s' * (self.n_samples != 1)}"
        return f"The scalar graph against {self.against}: network {network}, {samples}"

    def _verdict(self) -> list[str]:
        """What all rows together say, and the first that differs."""
        failed = self.first_failure
        if failed is None and self.causes:
            return [f"But {cause}." for cause in self.causes]
        if failed is None:
            besides = "" if all(row.relative <= TOLERANCE for row in self.rows) else ", or to rounding"
            all_agree = f"All {len(self.rows)} agree to {TOLERANCE:g} of the largest entry{besides}."
            return [all_agree, *([f"But {self.unseen}."] if self.unseen else [])]
        index = f"[{','.join(str(i) for i in failed.where)}]" if failed.where else ""
        n_failed = sum(not row.ok for row in self.rows)
        n_following = sum(row.follows for row in self.rows)
        but = f", of which {n_following} follow from the δ returned" if n_following else ""
        first = (
            f"{n_failed} of {len(self.rows)} differ{but}. The first is {failed.equation}: "
            f"{failed.quantity}{index} is {failed.graph[failed.where]:.10g} by the graph "
            f"and {failed.witness[failed.where]:.10g} by {self.against}."
        )
        return [first, *[f"Likely cause: {cause}." for cause in self.causes]]

    def _repr_html_(self) -> str:
        head = ["equation", "quantity", "shape", "largest entry", "absolute", "relative", ""]
        failed = self.first_failure
        marked = next((i for i, row in enumerate(self.rows) if row is failed), None)
        rows = [row.cells for row in self.rows]
        return table(head, rows, self._title(), marked) + paragraphs(self._verdict())


def compare(
    net: MLP,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    cost: str | Callable[[Any, Any], Value] = "quadratic",
    l2: float = 0.0,
    against: Callable[..., Any] | None = None,
    notation: str | Notation = "autobp",
) -> Report:
    """Compare the graph's z, a, δ and gradients with the matrix formulas'.

    Args:
        net: a network whose activations are given by name. Of an operation of the table, or one of your own,
            that :mod:`autobp.matrix` does not have, the witness takes σ and σ' from the rule that the graph
            has them from: the report says that they are no independent witness.
        X: the inputs, (m, n), a sample in each row.
        Y: the targets, (m, K).
        cost: a name in ``costs.COSTS``, or a function of one sample's outputs and targets. Of a cost that
            neither :mod:`autobp.matrix` nor its record has in matrices, the witness takes C_x and ∂C_x/∂a
            from the graph of the cost alone, and the report says so.
        l2: λ of the penalty λ/(2m) Σ w², at least 0.
        against: a function to put to the test instead of :func:`autobp.matrix.backprop`, called as
            ``against(W, b, X, Y, activations=…, cost=…, l2=…)`` with W a list of (n_out, n_in) arrays, b one
            of (n_out,) arrays, or None, and the activations' names. It returns (dW, db), two lists of arrays,
            or an object or a dict that has dW and db and may have delta (a list with each layer's δ,
            (m, n_out), of each sample's own cost; the input's may come first). Without biases db may be left
            out. It is called twice, and both results are put to the test: gradients that are not set to zero
            first are right once. (Biases that are all 0, as those of a new network are, show neither whether
            they are used nor whether they are penalised: the report says so.)
        notation: by whose equations the witness computes, and under whose names, as for
            :func:`autobp.explain`: "ML15" accumulates Δ over the samples, "Brawer" has the bias as node 0.
            Not together with ``against``.

    The gradients in the network's parameters are left as they were.

    Raises:
        ValueError: shapes, targets or names do not fit. TypeError: ``against`` returns something else.
    """
    X = numbers("X", X)
    Y = numbers("Y", Y, costs.TEXT_TARGETS)
    cost_of = costs.named(cost)
    in_matrices, by_graph = cost_in_matrices(cost, cost_of, net, Y)
    names = names_of(net.activations)
    sigma, by_rule = activations_in_matrices(names)
    witness = matrix.backprop(net.W, net.b, X, Y, activations=sigma, cost=in_matrices, l2=l2)
    graph = _by_graph(net, X, Y, cost_of, l2)
    depth, m = len(net.layers), len(X)
    chosen = named(notation)
    if not chosen.labels:
        if against is not None:
            raise ValueError("a function is compared by autobp's names: give against or notation, not both")
        setting = Setting(net.W, net.b, X, Y, sigma, in_matrices, l2, graph)
        by, pairs = sides(setting, chosen)
        rows = [_row(s.equation, s.quantity, s.graph, s.witness, s.terms) for s in pairs]
        causes = _rounding(rows, witness.a[-1], Y)
        return Report(tuple(rows), f"{by}{by_rule}{by_graph}", tuple(net.sizes), m, tuple(causes))
    if against is None:
        rows = [_row("cost", "C", graph["cost"], np.array(witness.cost))]
        for layer in range(1, depth + 1):
            rows.append(_row("forward", f"z{layer}", graph["z"][layer], witness.z[layer]))
            rows.append(_row("forward", f"a{layer}", graph["a"][layer], witness.a[layer]))
        rows += _gradient_rows(graph, list(witness.delta[1:]), list(witness.dW), list(witness.db))
        causes = _rounding(rows, witness.a[-1], Y)
        by = f"BP1-BP4 in matrices{by_rule}{by_graph}"
        return Report(tuple(rows), by, tuple(net.sizes), m, tuple(causes))

    theirs = cost_of.name if isinstance(cost_of, costs.Cost) else cost
    given = Given(net.W, net.b, X, Y, names, theirs, l2)
    problem = problem_of(net.W, net.b, X, Y, sigma, names, in_matrices, l2)
    own, name, found = _own_function(against, given, graph, problem)
    found = found or tuple(_rounding(own, witness.a[-1], Y))
    return Report(tuple(own), name, tuple(net.sizes), m, found, _unseen(net))


def _unseen(net: MLP) -> str:
    if net.b is None or any(np.any(b) for b in net.b):
        return ""
    return "the network's biases are all 0, as a new one's are: whether the function uses them does not show"


def _by_graph(net: MLP, X: Array, Y: Array, cost_of: OfOutputs, l2: float) -> dict[str, Any]:
    """Everything the graph knows of the mean cost, as arrays; δ is each sample's own."""
    parameters = net.parameters()
    before = [parameter.grad for parameter in parameters]
    try:
        return _walked_back(net, X, Y, cost_of, l2)
    finally:
        for parameter, grad in zip(parameters, before, strict=True):
            parameter.grad = grad


def _walked_back(net: MLP, X: Array, Y: Array, cost_of: OfOutputs, l2: float) -> dict[str, Any]:
    net.zero_grad()
    traces = [net.trace(x) for x in X]
    C = mean([cost_of(trace.output, list(y)) for trace, y in zip(traces, Y, strict=True)])
    if l2:
        C = C + costs.l2(net, l2, len(X))
    C.backward()
    m, depth = len(X), len(net.layers)

    def stack(attribute: str, part: str) -> list[Array]:
        return [
            np.array([[getattr(v, attribute) for v in getattr(trace, part)[layer]] for trace in traces])
            for layer in range(depth + 1)
        ]

    return {
        "cost": np.array(C.data),
        "z": stack("data", "z"),
        "a": stack("data", "a"),
        "delta": [m * delta for delta in stack("grad", "z")],
        "dW": [np.array([[w.grad for w in n.w] for n in layer.neurons]) for layer in net.layers],
        "db": [
            np.array([n.b.grad for n in layer.neurons if n.b is not None]) if layer.b is not None else None
            for layer in net.layers
        ],
    }


def _row(equation: str, quantity: str, graph: Array, witness: Array, terms: float = 0.0) -> Row:
    """A row; ``terms`` is the largest sum of absolute terms of an entry, where it is a mean over samples."""
    difference = float(np.max(np.abs(graph - witness)))
    largest = float(np.max(np.abs(witness)))
    # Where all is 0 in truth, nothing but 0 agrees; where a number is missing, nothing does.
    relative = 0.0 if difference == 0 else difference / largest if largest else float("inf")
    if np.isnan(difference):
        difference = relative = float("inf")
    return Row(equation, quantity, graph, witness, difference, relative, _OF_TERMS * terms)


def _gradient_rows(
    graph: dict[str, Any],
    delta: Sequence[Array] | None,
    dW: Sequence[Array],
    db: Sequence[Array | None] | None,
) -> list[Row]:
    depth = len(dW)
    rows = []
    if delta is not None:
        for layer in range(depth, 0, -1):
            equation = "BP1" if layer == depth else "BP2"
            rows.append(_row(equation, f"delta{layer}", graph["delta"][layer], delta[layer - 1]))
    for layer in range(depth, 0, -1):
        bias = None if db is None else db[layer - 1]
        errors, inputs = np.abs(graph["delta"][layer]), np.abs(graph["a"][layer - 1])
        if bias is not None:
            terms = float(np.max(errors.mean(0)))
            rows.append(_row("BP3", f"db{layer}", graph["db"][layer - 1], bias, terms))
        terms = float(np.max(errors.T @ inputs)) / len(errors)
        rows.append(_row("BP4", f"dW{layer}", graph["dW"][layer - 1], dW[layer - 1], terms))
    return rows


# ------------------------------------------------------------------------------- somebody's own function


def _own_function(
    against: Callable[..., Any], given: Given, graph: dict[str, Any], problem: Problem
) -> tuple[Sequence[Row], str, tuple[str, ...]]:
    """The rows of what a function returns, called twice, and what may be wrong with it."""
    name = getattr(against, "__name__", type(against).__name__)
    first, second = call(against, name, given), call(against, name, given)
    rows = _gradient_rows(graph, *first.gradients)
    if all(row.ok for row in rows):
        rows = _gradient_rows(graph, *second.gradients)
    if first.delta is not None:
        rows = _marked(rows, first, given, problem)
    changed = tuple(f"{name} changes {what}, which it was given" for what in first.changed)
    if all(row.ok for row in rows):
        return rows, name, changed
    causes = list(first.transposed) or _likely_causes(problem, first, second)
    if not causes and first.single and all(row.relative < _OF_SINGLE for row in rows):
        causes = ["the arithmetic is in float32, of which 7 digits are right: compute in float64"]
    elif not causes and (worst := max(row.relative for row in rows)) < _OF_SINGLE and _most_fail(rows):
        digits = math.floor(-math.log10(worst))
        what = "as difference quotients are, and numbers that were rounded"
        causes = [f"every dW and db is right to {digits} digits and no further, {what}"]
    return rows, name, (*changed, *causes)


def _most_fail(rows: Sequence[Row]) -> bool:
    """Whether more than half fail: a mistake in one equation leaves those before it right."""
    return 2 * sum(not row.ok for row in rows) > len(rows)


def _marked(rows: Sequence[Row], theirs: Returned, given: Given, problem: Problem) -> list[Row]:
    """The rows, each with whether it follows from δ as the function has it: wrong, and not to blame."""
    delta = theirs.delta or []
    follows: dict[str, tuple[Array, Array]] = {}
    truth = gradients(problem, Way())
    if truth is None:
        return list(rows)
    z, a = forward(problem)
    for layer in range(len(delta), 0, -1):
        if layer < len(delta):
            mine = delta[layer] @ given.W[layer] * problem.sigma[layer - 1][1](z[layer])
            follows[f"delta{layer}"] = mine, delta[layer - 1]
        m, W = len(given.X), given.W[layer - 1]
        dW = delta[layer - 1].T @ a[layer - 1] / m + given.l2 / m * W
        follows[f"dW{layer}"] = dW, theirs.dW[layer - 1]
        bias = None if theirs.db is None else theirs.db[layer - 1]
        if bias is not None:
            follows[f"db{layer}"] = delta[layer - 1].mean(axis=0), bias
    return [
        replace(row, follows=not row.ok and _close(*follows[row.quantity]))
        if row.quantity in follows
        else row
        for row in rows
    ]


def _close(mine: Array, theirs: Array) -> bool:
    """Whether an array is what it should be, given what it was computed from."""
    scale = float(np.max(np.abs(mine)))
    return bool(np.max(np.abs(mine - theirs)) <= 1e-9 * scale)


def _rounding(rows: Sequence[Row], a: Array, Y: Array) -> list[str]:
    """The cause, or none, of differences that are small beside the outputs a and targets Y."""
    tiny = TOLERANCE * max(float(np.max(np.abs(a))), float(np.max(np.abs(Y))))
    failed = [row for row in rows if not row.ok]
    if not failed or not all(row.equation != "forward" and row.absolute <= tiny for row in failed):
        return []
    return ["rounding: δ is so small beside the outputs and targets that few of its digits are left"]


def _likely_causes(problem: Problem, first: Returned, second: Returned) -> list[str]:
    """What common mistake gives just these numbers, of the first call and of the second."""
    for what, arrays in [("dW", first.dW), ("db", first.db)]:
        for layer, array in enumerate(arrays or [], start=1):
            if array is not None and not np.isfinite(array).all():
                return [f"{what}{layer} has entries that are not finite"]
    found = []
    if not same(second.gradients, first.gradients):
        if same(second.gradients, first.gradients, 2.0):
            found.append("gradients are not set to zero first: the second call returned twice the first")
        else:
            found.append("two calls with the same arguments return different gradients: something is kept")
    return found + [cause for cause in likely(problem, first.gradients) if cause not in found]
