"""The scalar graph against the matrix formulas, equation by equation.

:func:`compare` computes one network's cost and gradients twice, by the graph of Values and by BP1-BP4 in
NumPy (or by a function of the caller's), and reports the largest difference in each equation of each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autobp import costs, matrix
from autobp.agreement import Agreement, Agreements
from autobp.arguments import numbers
from autobp.engine import Value
from autobp.functions import mean
from autobp.in_matrices import OfOutputs, activations_in_matrices, cost_in_matrices, names_of
from autobp.nn import MLP
from autobp.showing import paragraphs, table

#: The largest difference that rounding can explain, as a part of the witness's largest entry.
TOLERANCE = 1e-12
#: Of the sum of the absolute terms of a mean over the samples: 32 units in the last place.
_OF_TERMS = 32 * 2.0**-53

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row(Agreement):
    """One quantity of one layer, by both ways: true where they agree.

    Attributes:
        equation: "forward", "cost", "BP1", "BP2", "BP3" or "BP4".
        quantity: its name, such as "delta2" or "dW1"; layers count from 1, the first after the input.
        graph, witness: both arrays, of one shape, a sample in each row for z, a and delta.
        absolute: the largest absolute difference.
        relative: the same divided by the witness's largest absolute entry.
        rounding: what the rounding of the samples' terms explains, which may cancel one another.
    """

    equation: str
    quantity: str
    graph: Array
    witness: Array
    absolute: float
    relative: float
    rounding: float = 0.0

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
        return self.equation, self.quantity, shape, largest, *differences, "ok" if self.ok else "DIFFERS"

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
        causes: what may be wrong, the likeliest first, where something differs.
    """

    rows: tuple[Row, ...]
    against: str
    sizes: tuple[int, ...]
    n_samples: int
    causes: tuple[str, ...] = ()

    @property
    def compared(self) -> tuple[Row, ...]:
        """The rows."""
        return self.rows

    def __str__(self) -> str:
        lines = [
            self._title(),
            "",
            f"{'equation':9} {'quantity':9} {'shape':>10} {'largest entry':>14} {'absolute':>10} "
            f"{'relative':>10}",
        ]
        for row in self.rows:
            equation, quantity, shape, largest, absolute, relative, mark = row.cells
            lines.append(
                f"{equation:9} {quantity:9} {shape:>10} {largest:>14} {absolute:>10} {relative:>10}  {mark}"
            )
        return "\n".join([*lines, "", *self._verdict()])

    def _title(self) -> str:
        network = "-".join(str(size) for size in self.sizes)
        samples = f"{self.n_samples} sample{'s' * (self.n_samples != 1)}"
        return f"The scalar graph against {self.against}: network {network}, {samples}"

    def _verdict(self) -> list[str]:
        """What all rows together say, and the first that differs."""
        failed = self.first_failure
        if failed is None:
            besides = "" if all(row.relative <= TOLERANCE for row in self.rows) else ", or to rounding"
            return [f"All {len(self.rows)} agree to {TOLERANCE:g} of the largest entry{besides}."]
        index = f"[{','.join(str(i) for i in failed.where)}]" if failed.where else ""
        n_failed = sum(not row.ok for row in self.rows)
        first = (
            f"{n_failed} of {len(self.rows)} differ. The first is {failed.equation}: "
            f"{failed.quantity}{index} is {failed.graph[failed.where]:.10g} by the graph "
            f"and {failed.witness[failed.where]:.10g} by {self.against}."
        )
        return [first, *[f"Likely cause: {cause}." for cause in self.causes]]

    def _repr_html_(self) -> str:
        head = ["equation", "quantity", "shape", "largest entry", "absolute", "relative", ""]
        marked = next((i for i, row in enumerate(self.rows) if not row.ok), None)
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
            first are right once. (A penalty on the biases shows only with ``l2`` above 0 and biases that are
            not 0, as those of a new network are.)

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
    if against is None:
        rows = [_row("cost", "C", graph["cost"], np.array(witness.cost))]
        for layer in range(1, depth + 1):
            rows.append(_row("forward", f"z{layer}", graph["z"][layer], witness.z[layer]))
            rows.append(_row("forward", f"a{layer}", graph["a"][layer], witness.a[layer]))
        rows += _gradient_rows(graph, list(witness.delta[1:]), list(witness.dW), list(witness.db))
        causes = _rounding(rows, witness.a[-1], Y)
        by = f"BP1-BP4 in matrices{by_rule}{by_graph}"
        return Report(tuple(rows), by, tuple(net.sizes), m, tuple(causes))

    name = getattr(against, "__name__", type(against).__name__)
    theirs = cost_of.name if isinstance(cost_of, costs.Cost) else cost
    first, transposed = _result_of(against, name, net, X, Y, names, theirs, l2)
    second, _ = _result_of(against, name, net, X, Y, names, theirs, l2)
    rows = _gradient_rows(graph, *first)
    if all(row.ok for row in rows):
        rows = _gradient_rows(graph, *second)
    if all(row.ok for row in rows):
        return Report(tuple(rows), name, tuple(net.sizes), m)
    causes = transposed or _likely_causes(net, l2, witness, first, second)
    causes = causes or _rounding(rows, witness.a[-1], Y)
    return Report(tuple(rows), name, tuple(net.sizes), m, tuple(causes))


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


#: delta, dW and db, a layer each
_Gradients = tuple[Sequence[Array] | None, Sequence[Array], Sequence[Array | None] | None]


def _result_of(
    function: Callable[..., Any],
    name: str,
    net: MLP,
    X: Array,
    Y: Array,
    activations: list[str],
    cost: str | OfOutputs,
    l2: float,
) -> tuple[_Gradients, list[str]]:
    """(delta, dW, db) as the function gives them, with their shapes checked, and what is transposed."""
    transposed: list[str] = []
    W, b = [w.copy() for w in net.W], None if net.b is None else [bias.copy() for bias in net.b]
    result = function(W, b, X.copy(), Y.copy(), activations=activations, cost=cost, l2=l2)
    if isinstance(result, dict):
        get = result.get
    elif isinstance(result, (tuple, list)) and len(result) == 2:
        get = {"dW": result[0], "db": result[1]}.get
    elif hasattr(result, "dW"):

        def get(key: str, default: Any = None) -> Any:
            return getattr(result, key, default)
    else:
        raise TypeError(f"{name} must return (dW, db), or an object or a dict with dW and db; got {result!r}")
    depth, m = len(net.layers), len(X)
    dW = _arrays(name, "dW", get("dW"), [layer.W.shape for layer in net.layers], transposed)
    if dW is None:
        raise TypeError(f"{name} returned no dW")
    db: list[Array | None] | None = None
    if net.b is not None:
        shapes = [(len(layer.neurons),) for layer in net.layers]
        found = _arrays(name, "db", get("db"), shapes, transposed)
        if found is None:
            raise TypeError(f"{name} returned no db, and the network has biases")
        db = list(found)
    delta = get("delta")
    if delta is not None and len(delta) == depth + 1:
        delta = delta[1:]
    shapes_of_delta = [(m, len(layer.neurons)) for layer in net.layers]
    return (_arrays(name, "delta", delta, shapes_of_delta, transposed), dW, db), transposed


def _arrays(
    name: str, what: str, arrays: Any, shapes: Sequence[tuple[int, ...]], transposed: list[str]
) -> list[Array] | None:
    """The arrays in the shapes they should have; one that is transposed is noted and not used."""
    if arrays is None:
        return None
    if len(arrays) != len(shapes):
        raise ValueError(f"{name}: {what} has {len(arrays)} arrays for {len(shapes)} layers")
    result = []
    for layer, (array, shape) in enumerate(zip(arrays, shapes, strict=True), start=1):
        array = np.array(array, dtype=np.float64)  # a copy, since the next call may add to the same array
        columns = what == "delta" and len(array.shape) == 2 and 1 in shape  # one sample's δ as a column
        if array.shape == shape[::-1] != shape and not columns:
            transposed.append(f"{what}{layer} is transposed: {array.shape} for {shape}")
            array = np.full(shape, np.nan)
        elif array.squeeze().shape == np.empty(shape).squeeze().shape:
            array = array.reshape(shape)  # a column for a vector, say: the same numbers
        if array.shape != shape:
            raise ValueError(f"{name}: {what}{layer} must have the shape {shape}; got {array.shape}")
        result.append(array)
    return result


def _rounding(rows: Sequence[Row], a: Array, Y: Array) -> list[str]:
    """The cause, or none, of differences that are small beside the outputs a and targets Y."""
    tiny = TOLERANCE * max(float(np.max(np.abs(a))), float(np.max(np.abs(Y))))
    failed = [row for row in rows if not row.ok]
    if not failed or not all(row.equation != "forward" and row.absolute <= tiny for row in failed):
        return []
    return ["rounding: δ is so small beside the outputs and targets that few of its digits are left"]


def _likely_causes(
    net: MLP, l2: float, truth: matrix.Backprop, theirs: _Gradients, again: _Gradients
) -> list[str]:
    """What common mistake gives just these numbers: each is made on purpose and compared.

    ``theirs`` is what the function returned at first, ``again`` what it did at the second call.
    """
    for what, arrays in [("dW", theirs[1]), ("db", theirs[2])]:
        for layer, array in enumerate(arrays or [], start=1):
            if array is not None and not np.isfinite(array).all():
                return [f"{what}{layer} has entries that are not finite"]
    found = []
    if not _same(again, theirs):
        if _same_scaled(again, theirs, 2.0):
            found.append("gradients are not set to zero first: the second call returned twice the first")
        else:
            found.append("two calls with the same arguments return different gradients: something is kept")
    right: _Gradients = (None, list(truth.dW), list(truth.db))
    for cause, mistaken in _mistakes(net, truth, l2, len(truth.cost_x)):
        if cause not in found and _same(mistaken, theirs) and not _same(mistaken, right):
            found.append(cause)
    return found


def _same(ours: _Gradients, theirs: _Gradients, tolerance: float = 1e-9) -> bool:
    return _same_scaled(ours, theirs, 1.0, tolerance)


def _same_scaled(ours: _Gradients, theirs: _Gradients, factor: float, tolerance: float = 1e-9) -> bool:
    """Whether dW and db are ``factor`` times those of theirs."""
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        if mine is None or other is None:
            continue
        for x, y in zip(mine, other, strict=True):
            if x is None or y is None:
                continue
            scale = max(float(np.max(np.abs(x))), 1e-300)
            if not np.max(np.abs(x - factor * y)) <= tolerance * scale:
                return False
    return True


def _mistakes(net: MLP, truth: matrix.Backprop, l2: float, m: int) -> Iterator[tuple[str, _Gradients]]:
    """(cause, the gradients it leads to) for the mistakes that students make."""
    W, b, depth = net.W, net.b, len(net.layers)
    right_dW, right_db = list(truth.dW), list(truth.db)
    penalty = [l2 / m * w for w in W]

    def propagate(
        without_sigma_prime: Iterable[int] = (), as_they_stand: Iterable[int] = (), n: int = m
    ) -> _Gradients:
        """BP1-BP4 with σ' left out in some layers, some W not transposed, and n for m."""
        delta = [truth.nabla_a if depth in without_sigma_prime else truth.delta[-1]]
        for layer in range(depth - 1, 0, -1):
            back = delta[0] @ (W[layer].T if layer + 1 in as_they_stand else W[layer])
            delta.insert(0, back if layer in without_sigma_prime else back * truth.sigma_prime[layer])
        dW = [delta[layer].T @ truth.a[layer] / n + penalty[layer] for layer in range(depth)]
        return delta, dW, [d.sum(axis=0) / n for d in delta]

    hidden = range(1, depth)
    softmax = truth.sigma_prime[-1].ndim > 2
    if not softmax:
        yield f"σ' is missing in BP1, layer {depth}", propagate([depth])
        yield "σ' is missing in BP1 and BP2, every layer", propagate([*hidden, depth])
    for layers in [[layer] for layer in hidden] + [list(hidden)]:
        yield f"σ' is missing in BP2, layer {', '.join(map(str, layers))}", propagate(layers)
    square = [layer for layer in range(2, depth + 1) if W[layer - 1].shape[0] == W[layer - 1].shape[1]]
    for layers in [[layer] for layer in square] + [square]:
        names = ", ".join(f"W{layer}" for layer in layers)
        yield f"BP2 multiplies by {names}, not by its transpose", propagate((), layers)
    yield "the sum over the samples is not divided by m", propagate(n=1)

    for cause, factor in [
        ("the penalty's derivative is λ/m times W, not λ times W", m),
        ("the penalty is λ/(2m) Σ w²; its derivative has no 2", 2),
        ("the penalty's derivative, λ/m times W, is missing", 0),
        ("the penalty's derivative is subtracted, not added", -1),
    ]:
        dW = [g + (factor - 1) * p for g, p in zip(right_dW, penalty, strict=True)]
        yield cause, (None, dW, right_db)
    if b is not None:
        shrunk = [g + l2 / m * b_l for g, b_l in zip(_all(right_db), b, strict=True)]
        yield "the biases are regularised; the penalty leaves them out", (None, right_dW, [*shrunk])

    negative = None if b is None else [-g for g in _all(right_db)]
    yield "the sign is the other way round", (None, [-g for g in right_dW], negative)
    transposed = [g.T if g.shape[0] == g.shape[1] else g for g in right_dW]
    yield "dW is transposed: BP4 is δ aᵀ, not a δᵀ", (None, transposed, right_db)
    last = [truth.delta[layer + 1][-1:] for layer in range(depth)]
    dW = [last[layer].T @ truth.a[layer][-1:] / m + penalty[layer] for layer in range(depth)]
    yield "Δ is overwritten by each sample, not added to", (None, dW, [d[0] / m for d in last])


def _all(arrays: Iterable[Array | None]) -> list[Array]:
    return [array for array in arrays if array is not None]
