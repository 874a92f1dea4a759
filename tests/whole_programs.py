"""Whole programs that nobody chose: layers of many kinds, made at random.

A program is a list of statements over scalars, printed as the Python function that runs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import autobp
from autobp import Value

#: An operand: a parameter ("w", i), an input ("x", i), a number, or an earlier result ("v", statement,
#: element); the element is -1 where a statement makes one scalar.
Operand = Any

FINITE_EDGES = (0.0, -0.0, 1e300, -1e300, 1e-300, 1.0)
EDGES = (*FINITE_EDGES, math.inf, -math.inf, math.nan)
CONSTANTS = (0.0, 1.0, -1.0, 0.5, 2.0, 0.5, 3.0, -0.25)


@dataclass(frozen=True)
class Statement:
    """One assignment.

    Attributes:
        form: how it is written, "{}" for each operand; of a sum: "+" a chain, "sum" by autobp.sum, "acc" from
            the other end.
        operands: what stands in the places.
        terms: of a sum, its terms: a sign, and how many operands are multiplied.
    """

    form: str
    operands: tuple[Operand, ...]
    terms: tuple[tuple[int, int], ...] = ()

    def code(self) -> str:
        names = [name(operand) for operand in self.operands]
        if not self.terms:
            return self.form.format(*names)
        texts, at = [], 0
        for _, n in self.terms:
            texts.append("*".join(names[at : at + n]))
            at += n
        signs = [sign for sign, _ in self.terms]
        if self.form == "sum":
            texts = [text if sign > 0 else f"-({text})" for sign, text in zip(signs, texts, strict=True)]
            return f"autobp.sum([{', '.join(texts)}])"
        if self.form == "acc":
            text = f"-({texts[-1]})" if signs[-1] < 0 else texts[-1]
            for sign, more in zip(signs[-2::-1], texts[-2::-1], strict=True):
                text = f"{more if sign > 0 else f'-({more})'} + ({text})"
            return text
        text = texts[0] if signs[0] > 0 else f"-({texts[0]})"
        return text + "".join(
            [f" {'+' if sign > 0 else '-'} {more}" for sign, more in zip(signs[1:], texts[1:], strict=True)]
        )


def name(operand: Operand) -> str:
    if isinstance(operand, float):
        return repr(operand) if operand >= 0.0 else f"({operand!r})"
    if operand[0] == "v":
        return f"v{operand[1]}" if operand[2] < 0 else f"v{operand[1]}[{operand[2]}]"
    return f"{operand[0]}[{operand[1]}]"


@dataclass(frozen=True)
class Program:
    """A function of one sample, its parameters and some rows.

    Attributes:
        statements: in order.
        results: what is returned: the sum of these, or a list of them.
        as_list: whether the outputs are a list.
        whole: whether the rows are constants of the program, which then is their mean and has no arguments.
    """

    theta: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    statements: tuple[Statement, ...]
    results: tuple[Operand, ...]
    as_list: bool = False
    whole: bool = False

    def function(self) -> str:
        lines = [f"    v{k} = {statement.code()}" for k, statement in enumerate(self.statements)]
        results = [name(result) for result in self.results]
        lines.append("    return " + (f"[{', '.join(results)}]" if self.as_list else " + ".join(results)))
        text = "\n".join(["def f(x):", *lines])
        if self.whole:
            rows = [list(row) for row in self.rows]
            text += f"\n\nrows = {rows}\n\ndef whole():\n    return autobp.mean([f(row) for row in rows])"
        return text

    def __str__(self) -> str:
        return "\n".join(
            [
                "import numpy as np",
                "import autobp",
                "from autobp import Value",
                "",
                "inf, nan = np.inf, np.nan",
                f"w = [Value(v) for v in {list(self.theta)}]",
                "",
                self.function(),
                "",
                f"data = [{'' if self.whole else f'np.array({[list(row) for row in self.rows]})'}]",
                f"step = autobp.compile({'whole' if self.whole else 'f'}, w)",
                "print(step.verify(step.theta, *data))",
            ]
        )

    def made(self, w: Sequence[Value]) -> Callable[..., Any]:
        """The function, with these for parameters."""
        names: dict[str, Any] = {"autobp": autobp, "Value": Value, "w": w, "inf": math.inf, "nan": math.nan}
        exec(self.function(), names)
        made: Callable[..., Any] = names["whole" if self.whole else "f"]
        return made


# -------------------------------------------------------------------------------------------------- the maker

UNARY = (
    "{}.tanh()", "{}.sigmoid()", "{}.relu()", "{}.sin()", "({} * 0.3).exp()", "({} * {} + 1.0).log()",
    "({} * {} + 0.5).sqrt()", "{}**2", "({} * {} + 1.0) ** -1", "{}.softplus()", "{}.abs()", "-{}",
    "{}.leaky_relu(0.1)", "{}.elu(0.7)", "{}.gelu()", "{}.silu()", "1.0 - {}", "{}.erf()", "{}.abs().log1p()",
    "autobp.stop_gradient({})", "{}.sign()", "({} + 1e8) - 1e8", "({} - 0.5) + 0.5", "{} * {}", "{} / 3.0",
    "1.0 / ({}.abs() + 0.5)", "({}.abs() + 0.1) ** 0.5", "{}.sigmoid().log()", "(1.0 - {}.sigmoid()).log()",
    "(2.0 * {}.sigmoid()).log()", "{}.cos() * 1e-3", "{}.expm1()", "0.0 * {}", "{}.relu().sqrt()",
)  # fmt: skip
#: What makes infinities and NaN of ordinary numbers.
UNARY_AT_EDGES = ("{}.log1p()", "{}.log()", "{}.sqrt()", "1.0 / {}", "{} ** 0.5", "({} - 1.0) ** -1")
BINARY = (
    "{} + {}", "{} - {}", "{} * {}", "{} / ({}.abs() + 1.0)", "autobp.maximum({}, {})",
    "autobp.minimum({}, {})", "autobp.where(autobp.greater({}, {}), {}, 0.5)", "({}.abs() + 0.5) ** {}",
    "autobp.xlogy({}, {}.sigmoid())", "{} * ({} - {})", "({} + {}) - {}", "autobp.where({}, {}, 0.25)",
    "-({} * {}.sigmoid().log() + (1.0 - {}) * (1.0 - {}.sigmoid()).log())",
    "autobp.costs.binary_cross_entropy([{}.sigmoid()], [{}])",
    "autobp.costs.binary_cross_entropy_with_logits([{}], [{}])",
)  # fmt: skip


class Maker:
    """Makes one program: layers of scalars, each over layers that are there."""

    def __init__(self, seed: int, edges: Sequence[float] = EDGES) -> None:
        self.rng = rng = random.Random(seed)
        self.edges = edges
        self.n_inputs, self.m = rng.randint(1, 5), rng.randint(1, 5)
        self.at_edges = rng.random() < 0.15
        self.constants = rng.random() < 0.3
        self.statements: list[Statement] = []
        self.layers: list[list[Operand]] = [[("x", i) for i in range(self.n_inputs)]]
        self.n_parameters = 0

    def program(self) -> Program:
        rng = self.rng
        for _ in range(rng.randint(1, 5)):
            kinds = [self.dense] * 4 + [self.unary] * 3 + [self.binary] * 2 + [
                self.pairs, self.softmax, self.running, self.reduced, self.taken, self.recurrent,
                self.convolved, self.attended, self.differences,
            ]  # fmt: skip
            rng.choice(kinds)()
            if len(self.statements) > 50:
                break
        if not self.statements:
            self.dense()
        results = [operand for layer in self.layers[1:][-2:] for operand in layer if operand[0] == "v"]
        results = rng.sample(results, min(len(results), rng.randint(1, 5)))
        theta = tuple([self.number(0.05) for _ in range(max(1, self.n_parameters))])
        rows = tuple([self.row() for _ in range(self.m)])
        kind = rng.random()  # outputs, a mean over data that are constants, or as most programs are
        return Program(theta, rows, tuple(self.statements), tuple(results), kind < 0.2, kind > 0.9)

    def number(self, special: float) -> float:
        rng = self.rng
        if rng.random() < special:
            return rng.choice((0.0, 1.0, -1.0, 0.5))
        return round(rng.gauss(0.0, 1.0), 3)

    def row(self) -> tuple[float, ...]:
        row = [self.number(0.2) for _ in range(self.n_inputs)]
        if self.at_edges and self.rng.random() < 0.5:
            row[self.rng.randrange(len(row))] = self.rng.choice(self.edges)
        return tuple(row)

    # ---------------------------------------------------------------------------------------------- operands

    def width(self) -> int:
        """How many scalars a layer has: often as many as there are rows, or inputs."""
        return self.rng.choice([1, 2, 3, 4, self.m, self.n_inputs])

    def layer(self) -> list[Operand]:
        return self.rng.choice(self.layers[-4:])

    def parameter(self) -> Operand:
        """A new parameter, one that is there, or a constant."""
        rng = self.rng
        if self.constants and rng.random() < 0.15:
            return rng.choice(CONSTANTS)
        if self.n_parameters and rng.random() < 0.2:
            return ("w", rng.randrange(self.n_parameters))
        self.n_parameters += 1
        return ("w", self.n_parameters - 1)

    def add(self, form: str, *operands: Operand) -> Operand:
        self.statements.append(Statement(form, operands))
        return ("v", len(self.statements) - 1, -1)

    def add_sum(self, form: str, terms: Sequence[tuple[int, tuple[Operand, ...]]]) -> Operand:
        """A sum of products; a number alone would not be a Value, so there is a parameter in it."""
        operands = tuple([operand for _, factors in terms for operand in factors])
        if all(isinstance(operand, float) for operand in operands):
            terms = [*terms, (1, (self.parameter_only(),))]
            operands = tuple([operand for _, factors in terms for operand in factors])
        self.statements.append(Statement(form, operands, tuple([(s, len(f)) for s, f in terms])))
        return ("v", len(self.statements) - 1, -1)

    def parameter_only(self) -> Operand:
        self.n_parameters += 1
        return ("w", self.n_parameters - 1)

    def push(self, layer: list[Operand]) -> None:
        if layer:
            self.layers.append(layer)

    # ------------------------------------------------------------------------------------------------ layers

    def dense(self) -> None:
        """Sums of products: all or some of a layer's, in any order; rows share weights or have one term."""
        rng, a = self.rng, self.layer()
        form = rng.choice(("+", "+", "sum", "acc"))
        masked, shuffled, shared = rng.random() < 0.4, rng.random() < 0.4, rng.random() < 0.2
        bias, signed = rng.random() < 0.5, rng.random() < 0.2
        row = [self.parameter() for _ in a]
        outputs = []
        for _ in range(self.width()):
            weights = row if shared else [self.parameter() for _ in a]
            pairs = list(zip(weights, a, strict=True))
            if masked:
                pairs = [pair for pair in pairs if rng.random() < 0.6] or pairs[:1]
            if rng.random() < 0.1:
                pairs = pairs[:1]
            terms: list[tuple[int, tuple[Operand, ...]]] = [
                (rng.choice((1, -1)) if signed else 1, pair if rng.random() < 0.9 else pair[::-1])
                for pair in pairs
            ]
            if bias:
                terms.append((1, (self.parameter(),)))
            if shuffled:
                rng.shuffle(terms)
            outputs.append(self.add_sum(form, terms))
        self.push(outputs)

    def unary(self) -> None:
        at_edges = self.at_edges and not all(map(math.isfinite, self.edges)) and self.rng.random() < 0.3
        form = self.rng.choice(UNARY_AT_EDGES if at_edges else UNARY)
        self.push([self.applied(form, [v]) for v in self.layer() if not isinstance(v, float)])

    def applied(self, form: str, operands: Sequence[Operand]) -> Operand:
        """A form on operands, which are used again where it has more places."""
        n = form.count("{}")
        return self.add(form, *[operands[i % len(operands)] for i in range(n)])

    def binary(self) -> None:
        form, a, b = self.rng.choice(BINARY), self.layer(), self.layer()
        if self.rng.random() < 0.3:
            b = [self.parameter_only() for _ in range(self.width())]
        n = max(len(a), len(b))
        self.push([self.applied(form, [a[i % len(a)], b[i % len(b)]]) for i in range(n)])

    def pairs(self) -> None:
        """All pairs of two layers, or those below the diagonal."""
        form, a, b = self.rng.choice(BINARY[:6]), self.layer()[:4], self.layer()[:4]
        causal = self.rng.random() < 0.4
        self.push(
            [
                self.applied(form, [u, v])
                for i, u in enumerate(a)
                for j, v in enumerate(b)
                if not causal or j <= i
            ]
        )

    def listed(self, layer: Sequence[Operand]) -> str:
        return "[" + ", ".join(["{}"] * len(layer)) + "]"

    def softmax(self) -> None:
        a = self.layer()
        made = self.add(f"autobp.softmax({self.listed(a)})", *a)
        self.push([("v", made[1], i) for i in range(len(a))])

    def running(self) -> None:
        """Running sums of products, of different lengths."""
        a, b = self.layer(), self.layer()
        pairs = list(zip(a, b, strict=False))
        form = self.rng.choice(("+", "sum", "acc"))
        self.push([self.add_sum(form, [(1, pair) for pair in pairs[: i + 1]]) for i in range(len(pairs))])

    def reduced(self) -> None:
        a = self.layer()
        some = self.listed(a)
        forms = [f"autobp.{function}({some})" for function in ("logsumexp", "sum", "mean")]
        forms += [f"autobp.{function}({some}, {some})" for function in ("dot", "costs.softmax_cross_entropy")]
        form = self.rng.choice(forms)
        operands = [a[i % len(a)] for i in range(form.count("{}"))]
        if "cross_entropy" in form:
            if len(a) == 1:
                return
            operands[len(a) :] = [1.0, *[0.0] * (len(a) - 1)]
        self.push([self.add(form, *operands), self.rng.choice(a)])

    def taken(self) -> None:
        """Elements by an index that is data."""
        a = self.layer()
        index = self.add(
            f"autobp.greater({{}}, 0.1) * {float(len(a) > 1)!r}", self.rng.choice(self.layers[0])
        )
        made = [self.add(f"autobp.take({self.listed(a)}, {{}})", *a, index) for _ in range(self.width())]
        self.push(made)

    def recurrent(self) -> None:
        """Some steps of h = tanh(W h + u x), all of them kept, or the last."""
        rng, x = self.rng, self.layer()[:3]
        h: list[Operand] = [rng.choice(self.layer()) for _ in range(rng.randint(1, 2))]
        W = [[self.parameter() for _ in h] for _ in h]
        u = [self.parameter_only() for _ in h]
        kept = []
        for t in range(rng.choice((2, 3, 4, 10))):
            sums = [
                self.add_sum(
                    "+", [*[(1, (W[i][j], h[j])) for j in range(len(h))], (1, (u[i], x[t % len(x)]))]
                )
                for i in range(len(h))
            ]
            h = [self.add("{}.tanh()", v) for v in sums]
            kept.extend(h)
        self.push(kept if rng.random() < 0.5 else h)

    def convolved(self) -> None:
        a, size = self.layer(), self.rng.randint(2, 3)
        kernel = [self.parameter() for _ in range(size)]
        self.push(
            [
                self.add_sum("+", [(1, (kernel[k], a[i + k])) for k in range(size) if i + k < len(a)])
                for i in range(max(1, len(a) - size + self.rng.randint(1, size)))
                if i < len(a)
            ]
        )

    def attended(self) -> None:
        """Softmax of q·k over what came before, times v."""
        a, b = self.layer()[:3], self.layer()
        scores = [[self.add("{} * {}", q, b[j % len(b)]) for j in range(i + 1)] for i, q in enumerate(a)]
        outputs = []
        for row in scores:
            made = self.add(f"autobp.softmax({self.listed(row)})", *row)
            outputs.append(
                self.add_sum("+", [(1, (("v", made[1], j), b[(j + 1) % len(b)])) for j in range(len(row))])
            )
        self.push(outputs)

    def differences(self) -> None:
        """A sum of differences: what is grouped stays so."""
        a, b = self.layer(), self.layer()
        minus = [self.add("{} - {}", u, b[i % len(b)]) for i, u in enumerate(a)]
        self.push([self.add_sum(self.rng.choice(("+", "sum")), [(1, (v,)) for v in minus]), minus[0]])
