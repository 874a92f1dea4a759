"""What each kind of task asks, and how its answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from autobp.arguments import unknown
from autobp.check import Report, compare
from autobp.explanation.notation import Notation, named
from autobp.grading import witnesses
from autobp.grading.judged import Item
from autobp.grading.tasks import READY, Task
from autobp.grading.worker import decoded, encoded
from autobp.nn import MLP

#: The largest difference of a witness's largest entry that counts as right.
_RIGHT: Final = 1e-8
Judged = tuple[tuple[Item, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    Attributes:
        how: "call" a function, or "value", programs on a class.
        probes: what to ask.
        judge: items and causes, of the task and the answers; TypeError or ValueError where what was returned
            cannot be compared.
    """

    how: str
    probes: Callable[[Task], list[dict[str, Any]]]
    judge: Callable[[Task, Sequence[Mapping[str, Any]]], Judged]


def _call(*arguments: Any, **named_arguments: Any) -> dict[str, Any]:
    return {
        "arguments": [encoded(x) for x in arguments],
        "named": {key: encoded(x) for key, x in named_arguments.items()},
    }


# ------------------------------------------------------------------------------------------------- backprop


def network_of(task: Task) -> tuple[MLP, Any, Any]:
    """The network that a task describes, with biases that are not 0, and its samples."""
    rng = np.random.default_rng(task.seed)
    n, *sizes = task.sizes
    net = MLP(n, list(sizes), list(task.activations), seed=task.seed)
    net.b = [rng.uniform(0.1, 0.6, size=size).tolist() for size in sizes]
    X = rng.normal(size=(task.samples, n))
    Y = np.eye(sizes[-1])[rng.integers(sizes[-1], size=task.samples)]
    return net, X, Y if sizes[-1] > 1 else rng.integers(2, size=(task.samples, 1)).astype(float)


def _backprop_probes(task: Task) -> list[dict[str, Any]]:
    net, X, Y = network_of(task)
    how = {"activations": list(task.activations), "cost": task.cost, "l2": task.l2}
    return 2 * [_call(list(net.W), net.b and list(net.b), X, Y, **how)]


def _judge_backprop(task: Task, answers: Sequence[Mapping[str, Any]]) -> Judged:
    net, X, Y = network_of(task)
    calls = iter(answers)

    def submission(W: Any, b: Any, X: Any, Y: Any, **_: Any) -> Any:
        """What was returned in its process, and done to the arguments."""
        answer = next(calls)
        for now, after in zip((W, b, X, Y), map(decoded, answer["after"]), strict=True):
            _overwrite(now, after)
        return decoded(answer["returned"])

    submission.__name__ = task.name
    report = compare(net, X, Y, cost=task.cost, l2=task.l2, against=submission)
    return tuple(_items_of(report, task, len(net.layers))), report.causes


def _overwrite(now: Any, after: Any) -> None:
    """Do to an array, or to a list of them, what was done to its copy."""
    if now is None:
        return
    pairs = [(now, after)] if isinstance(now, np.ndarray) else zip(now, after, strict=False)
    for array, changed in pairs:
        if np.shape(array) == np.shape(changed):
            array[...] = changed


def _items_of(report: Report, task: Task, depth: int) -> Iterator[Item]:
    notation = named(task.notation)
    cause = report.causes[0] if report.causes else ""
    equations = {row.equation for row in report.rows}
    for row in report.rows:
        layer = int(row.quantity.lstrip("deltaWb"))
        verdict = "right" if row.ok else "follows" if row.follows else "wrong"
        where = () if row.ok else row.where
        equation = _equation(row.quantity, notation, row.equation)
        hints = (f"look at {row.equation}, {row.quantity}", equation, cause)
        if row.follows:
            given = f"delta{layer + (row.equation == 'BP2')}"
            hints = (f"nothing to mend here: it is right for the {given} that it was given", "", "")
        yield Item(
            row.equation, row.quantity, verdict, where, *_entries(row.witness, row.graph, where), hints
        )
    if "BP1" not in equations:  # δ was not returned: db and dW of a layer tell of it
        for layer in range(depth, 0, -1):
            own = [row for row in report.rows if row.quantity in (f"dW{layer}", f"db{layer}")]
            equation = "BP1" if layer == depth else "BP2"
            verdict = "right" if any(row.ok for row in own) else "wrong"
            name = f"delta{layer}"
            hints = (f"look at {equation}, {name}", _equation(name, notation, equation), cause)
            yield Item(equation, name, verdict, hints=hints)


def _equation(quantity: str, notation: Notation, equation: str) -> str:
    """The equation of a quantity, beside the name that it has in the notation, which may count otherwise."""
    printed = sides(notation, equation, int(quantity.lstrip("deltaWb")))
    return f"{quantity} is {printed.partition(' = ')[0]}, and {printed}"


def _entries(theirs: Any, right: Any, where: tuple[int, ...]) -> tuple[float | None, float | None]:
    return (float(theirs[where]), float(right[where])) if where else (None, None)


def sides(notation: Notation, equation: str, layer: int) -> str:
    """One of BP1 … BP4 of a layer, in a notation."""
    error, slope, times = notation.error(layer)[0], notation.slope(layer)[0], notation.elementwise[0]
    cost, below = notation.cost_name()[0], notation.output(layer - 1)[0]
    if equation == "BP1":
        return f"{error} = ∂{cost}/∂{notation.output(layer)[0]} {times} {slope}"
    if equation == "BP2":
        return (
            f"{error} = {notation.without_bias(layer + 1)[0]}ᵀ {notation.error(layer + 1)[0]} {times} {slope}"
        )
    if equation == "BP3":
        return f"∂{cost}/∂{notation.bias_name(layer, 1)[0]} = 1/m Σ {notation.error(layer, 1)[0]}, and so on"
    w = notation.weight_name(layer)[0]
    return f"∂{cost}/∂{w} = 1/m Σ {error} {below}ᵀ + λ/m {w}"


# --------------------------------------------------------------------------------- functions with a witness


def _judge_arrays(task: Task, answer: Any, witness: witnesses.Witness) -> Judged:
    """Arrays by name against the witness's, and against those of mistakes made on purpose."""
    found = _by_name(task, answer, tuple(witness.right))
    first = [
        _array_item(name, found.get(name), np.asarray(expected, dtype=float), witness.m)
        for name, expected in witness.right.items()
    ]
    causes = {
        words: mistaken
        for words, mistaken in witness.mistakes.items()
        if all(_close(found.get(name), mistaken[name]) for name in mistaken)
        and not all(_close(mistaken[name], witness.right[name]) for name in mistaken)  # as λ/m Θ where λ is 0
    }
    items = []
    for item in first:
        name = item.quantity
        if item.verdict == "wrong" and _follows(witness, found, name):
            words = f"nothing to mend here: it is right for the {witness.given[name][0]} that it was given"
            item = replace(item, verdict="follows", hints=(words, "", ""))
        elif item.verdict == "wrong":
            look, _, factor = item.hints
            cause = "; ".join(words for words, mistaken in causes.items() if name in mistaken)
            item = replace(item, hints=(look, witness.equations[item.equation], cause or factor))
        items.append(item)
    own = [item.hints[2] for item in items if item.verdict == "wrong" and item.hints[2]]
    return tuple(items), tuple(dict.fromkeys([*causes, *own]))


def _follows(witness: witnesses.Witness, found: Mapping[str, Any], name: str) -> bool:
    """Whether an array is what its equation makes of the wrong one that it starts from."""
    before, equation = witness.given.get(name, ("", None))
    if equation is None or before not in found:
        return False
    start = np.asarray(found[before], dtype=float)
    return start.shape == np.shape(witness.right[before]) and _close(found[name], equation(start))


def _by_name(task: Task, answer: Any, names: Sequence[str]) -> dict[str, Any]:
    """What was returned, a dict or a tuple in this order, by name."""
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, (tuple, list)) and len(answer) == len(names):
        return dict(zip(names, answer, strict=True))
    what = "None: it has no return at its end" if answer is None else repr(answer)[:200]
    raise TypeError(f"{task.name} must return {', '.join(names)}; got {what}")


def _array_item(name: str, given: Any, right: Any, m: int) -> Item:
    equation = name.rstrip("0123456789")
    first = f"look at {name}"
    if given is None:
        return Item(equation, name, "missing", hints=(first, "", f"{name} is not returned"))
    try:
        theirs = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers; got {given!r}"[:300]) from None
    if theirs.squeeze().shape != right.squeeze().shape:
        words = f"{name} has the shape {theirs.shape}, and should have {right.shape}"
        return Item(equation, name, "wrong", hints=(first, "", words))
    theirs = theirs.reshape(right.shape)
    if _close(theirs, right):
        return Item(equation, name, "right")
    difference = np.where(np.isnan(theirs - right), np.inf, np.abs(theirs - right))
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(difference)), difference.shape))
    hints = (first, "", _factor(name, theirs, right, m))
    return Item(equation, name, "wrong", where, float(theirs[where]), float(right[where]), hints)


def _close(theirs: Any, right: Any) -> bool:
    if theirs is None:
        return False
    theirs, right = np.asarray(theirs, dtype=float), np.asarray(right, dtype=float)
    if theirs.size != right.size:
        return False
    largest = max(float(np.max(np.abs(right), initial=0.0)), 1e-300)
    return bool(np.max(np.abs(theirs.ravel() - right.ravel()), initial=0.0) <= _RIGHT * largest)


def _factor(name: str, theirs: Any, right: Any, m: int) -> str:
    """What simple factor lies between them, in words."""
    if not np.isfinite(theirs).all():
        return f"{name} has entries that are not finite"
    for factor, words in [(-1.0, "the sign is the other way round"), (2.0, "it is twice what it should be"),
                          (0.5, "it is half of what it should be"), (float(m), "it is not divided by m"),
                          (1.0 / m, "it is divided by m, and should not be")]:  # fmt: skip
        if _close(theirs, factor * right):
            return f"{name}: {words}"
    return ""


def _named_kind(probes: Callable[[Task], list[Any]], witness: Callable[..., witnesses.Witness]) -> Kind:
    """A kind whose function is called on each probe's arrays and compared with the witness."""

    def ask(task: Task) -> list[dict[str, Any]]:
        return [_call(*arguments) for arguments in probes(task)]

    def judge(task: Task, answers: Sequence[Mapping[str, Any]]) -> Judged:
        items: list[Item] = []
        causes: list[str] = []
        for arguments, answer in zip(probes(task), answers, strict=True):
            got, told = _judge_arrays(task, decoded(answer["returned"]), witness(*arguments))
            items += got
            causes += told
        return tuple(items), tuple(dict.fromkeys(causes))

    return Kind("call", ask, judge)


def _delta_probes(task: Task) -> list[Any]:
    rng = np.random.default_rng(task.seed)
    shapes = [(n, k + 1) for k, n in zip(task.sizes, task.sizes[1:], strict=False)]
    Theta = [rng.normal(size=shape) for shape in shapes]
    X = rng.normal(size=(task.samples, task.sizes[0]))
    return [(Theta, X, rng.integers(2, size=(task.samples, task.sizes[-1])).astype(float), task.l2)]


def _softmax_probes(task: Task) -> list[Any]:
    rng = np.random.default_rng(task.seed)
    y = np.eye(4)[rng.integers(4, size=5)]
    return [(rng.normal(size=(5, 4)), y)]


def _judge_softmax(task: Task, answers: Sequence[Mapping[str, Any]]) -> Judged:
    small, large = answers
    ((z, y),) = _softmax_probes(task)
    items, causes = _judge_arrays(task, decoded(small["returned"]), witnesses.softmax_cross_entropy(z, y))
    far, told = _judge_arrays(
        task, decoded(large["returned"]), witnesses.softmax_cross_entropy(_LARGE * z, y)
    )
    quantity = "cost and delta"
    if all(item.verdict == "right" for item in far):
        return (*items, Item("large", quantity, "right")), causes
    if causes and causes == told:
        as_small = Item("large", quantity, "follows", hints=("wrong as it is for small z", "", ""))
        return (*items, as_small), causes
    words = _of_large(items, far)
    item = Item("large", quantity, "wrong", hints=("look at large z", "log a = z - log Σ exp z", words))
    return (*items, item), tuple(dict.fromkeys((*causes, words))) if words else causes


def _of_large(near: Sequence[Item], far: Sequence[Item]) -> str:
    """The mistake at large z of what is right at small z; "" where these do not tell."""
    right = {item.quantity for item in near if item.verdict == "right"}
    wrong = {item.quantity for item in far if item.verdict == "wrong"}
    finite = all(item.theirs is None or np.isfinite(item.theirs) for item in far)
    if "delta" in wrong & right and not finite:
        return "exp overflows, or is 0, for large z: subtract the largest z of the row first"
    if "delta" in wrong or "cost" not in wrong & right:
        return ""
    if not finite:
        return "a is 0 where exp underflows, and log 0 is not finite: log a = z - log Σ exp z"
    return "log a is cut off or has lost its digits: z - log Σ exp z has them all"


#: By which a large z is as large: exp overflows from 710 on.
_LARGE: Final = 800.0


def _ask_softmax(task: Task) -> list[dict[str, Any]]:
    ((z, y),) = _softmax_probes(task)
    return [_call(z, y), _call(_LARGE * z, y)]


def _batch_norm_probes(task: Task) -> list[Any]:
    rng = np.random.default_rng(task.seed)
    return [(rng.normal(size=(6, 3)), rng.uniform(0.5, 1.5, 3), rng.normal(size=3), rng.normal(size=(6, 3)))]


def _rnn_probes(task: Task) -> list[Any]:
    rng = np.random.default_rng(task.seed)
    shapes = [(3, 2), (3, 3), (3,), (2, 3), (5, 2), (5, 2)]
    return [tuple(0.7 * rng.normal(size=shape) for shape in shapes)]


# ----------------------------------------------------------------------------------------------- class Value

#: (equation, program, leaves): the root is the last name.
PROGRAMS: Final = (
    ("operations", "r = a + b", {"a": 2.0, "b": -3.0}),
    ("operations", "r = a * b", {"a": 2.0, "b": -3.0}),
    ("operations", "r = a - b", {"a": 2.0, "b": -3.0}),
    ("operations", "r = a / b", {"a": 2.0, "b": -4.0}),
    ("operations", "r = -a", {"a": 2.0}),
    ("operations", "r = a ** 3", {"a": 1.5}),
    ("operations", "r = a.exp()", {"a": 0.3}),
    ("operations", "r = a.tanh()", {"a": 0.7}),
    ("operations", "r = 2 * a + 1", {"a": 0.7}),
    ("operations", "r = 1 - 2 / a", {"a": 0.7}),
    ("reuse", "r = a * a", {"a": 3.0}),
    ("reuse", "r = a + a", {"a": 3.0}),
    ("reuse", "c = a * b\nd = c + a\ne = c * d\nr = e + c", {"a": 2.0, "b": -3.0}),
    ("reuse", "u = a * a\nv = u * u\nr = v + u + a", {"a": 1.1}),
)


def _value_probes(_: Task) -> list[dict[str, Any]]:
    return [{"program": program, "leaves": leaves, "root": "r"} for _, program, leaves in PROGRAMS]


def _judge_value(_: Task, answers: Sequence[Mapping[str, Any]]) -> Judged:
    items: list[Item] = []
    gradients: list[Any] = []
    for (equation, program, leaves), answer in zip(PROGRAMS, answers, strict=True):
        right = witnesses.program(program, leaves)
        shown = program.replace("\n", "; ")
        if "raised" in answer:
            hints = (f"look at {shown}", "", str(answer["raised"]))
            items += [
                Item("forward", shown, "wrong", hints=hints),
                Item(equation, shown, "wrong", hints=hints),
            ]
            continue
        found = decoded(answer["returned"])
        gradients += [found.get(name) for name in leaves]
        for of, names in (("forward", ["data"]), (equation, list(leaves))):
            wrong = [name for name in names if not _number(found.get(name), right[name])]
            hint = f"the gradient of {', '.join(wrong)}" if of != "forward" else "the number"
            numbers = [f"{name} is {found.get(name)!r}, and should be {right[name]!r}" for name in wrong]
            hints = (f"look at {shown}", f"{hint} of {shown}", ", ".join(numbers)[:500])
            verdict = "wrong" if wrong else "right"
            items.append(Item(of, shown, verdict, hints=hints if wrong else ("", "", "")))
    wrong_in = {item.equation for item in items if item.verdict == "wrong"}
    if wrong_in == {"reuse"}:
        return tuple(items), (_USED_TWICE,)
    if wrong_in == {"operations", "reuse"} and not any(gradients):
        return tuple(items), ("every gradient is 0: backward() begins with 1, the root's own",)
    return tuple(items), ()


_USED_TWICE: Final = (
    "a Value that is used twice gets the sum of both gradients: grad += …, each node after all its uses"
)


def _number(theirs: Any, right: float) -> bool:
    try:
        return abs(float(theirs) - right) <= 1e-9 * max(abs(right), 1e-9)
    except (TypeError, ValueError):
        return False


KINDS: Final[dict[str, Kind]] = {
    "backprop": Kind("call", _backprop_probes, _judge_backprop),
    "delta_loop": _named_kind(_delta_probes, witnesses.delta_loop),
    "softmax": Kind("call", _ask_softmax, _judge_softmax),
    "batch_norm": _named_kind(_batch_norm_probes, witnesses.batch_norm),
    "rnn": _named_kind(_rnn_probes, witnesses.rnn),
    "value": Kind("value", _value_probes, _judge_value),
}


def prove(task: Task) -> None:
    """Raise ValueError where no submission could answer the task, which would be laid to all of them."""
    if task.kind not in KINDS:
        raise ValueError(unknown("kind of task", task.kind, KINDS))
    named(task.notation)
    known = READY[task.kind].points
    for equation in task.points:
        if equation not in known:
            raise ValueError(unknown("equation to give points for", equation, known))
    if not any(task.points.values()):
        raise ValueError(f"the task gives no points: give some for {', '.join(known)}")
    if KINDS[task.kind].how == "call" and "numpy" in task.refused:
        raise ValueError("refused has numpy, whose arrays are the arguments: leave it out")
    if task.kind == "backprop":
        net, X, Y = network_of(task)
        compare(net, X, Y, cost=task.cost, l2=task.l2)
    KINDS[task.kind].probes(task)
