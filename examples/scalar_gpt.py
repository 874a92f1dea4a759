"""A GPT written in scalars, trained at matrix speed.

The model has microgpt's size: 16 dimensions, 4 heads, one layer, a context of 8 characters. Every number in
it is a Value, every sum a loop over Values. ``autobp.compile`` traces the loss of one name once for each
length of name and runs cost and gradient as a NumPy program. Two things make a function of Values fit for
that: a traced index picks from a list by ``autobp.take``, and ``autobp.softmax`` needs no ``.data``.

Run it: ``python examples/scalar_gpt.py [steps]``.
"""

from __future__ import annotations

import random
import re
import sys
from itertools import pairwise
from typing import Any

import numpy as np

import autobp
from autobp import Value

NAMES = re.findall(
    r"\w+",
    """ada agnes aida alan albert alma amalie anna anton ari arthur astrid aurel bela bettina boris
carl carla cecil clara cora dana david dora edgar edith edna ella elsa emil emma erik erna esther eva felix
flora frida georg gerda greta hanna hedy helen henri hilda hugo ida ilse inga irene iris ivan jan jane jonas
julia kai karin karl kurt lara lars laura lea lena leo lilli lina lotte luca lucia luis lydia mara marc marie
martin mathis maya mila mina mira moritz nadia nele nils nina nora olga oskar otto paul paula pia rafael rita
robert romy rosa ruth sara selma simon sofia sonja stella svea tess theo thea tilda tim tom ulla ute vera
viola walter willa yara zoe""",
)

CHARACTERS = "." + "abcdefghijklmnopqrstuvwxyz"  # "." begins and ends a name
VOCABULARY, CONTEXT, WIDTH, HEADS = len(CHARACTERS), 8, 16, 4


def matrix(rng: random.Random, rows: int, columns: int) -> list[list[Value]]:
    """Parameters, small and random."""
    return [[Value(rng.gauss(0.0, 0.1)) for _ in range(columns)] for _ in range(rows)]


class GPT:
    """Token and position embeddings, one layer of causal attention and an MLP, and a linear head."""

    def __init__(self, seed: int = 0) -> None:
        rng = random.Random(seed)
        self.tokens = matrix(rng, VOCABULARY, WIDTH)
        self.positions = matrix(rng, CONTEXT, WIDTH)
        self.query, self.key, self.value, self.out = (matrix(rng, WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = matrix(rng, 4 * WIDTH, WIDTH), matrix(rng, WIDTH, 4 * WIDTH)
        self.head = matrix(rng, VOCABULARY, WIDTH)

    def parameters(self) -> list[Value]:
        """Every parameter, matrix by matrix."""
        matrices = [self.tokens, self.positions, self.query, self.key, self.value, self.out]
        return [v for m in [*matrices, self.up, self.down, self.head] for row in m for v in row]

    def logits(self, token: Any, position: int, keys: list[Any], values: list[Any]) -> list[Any]:
        """Scores of the character that follows; keys and values are those of the past, and grow by one."""
        embedding = [autobp.take([row[i] for row in self.tokens], token) for i in range(WIDTH)]
        x = [t + p for t, p in zip(embedding, self.positions[position], strict=True)]
        y = rms_norm(x)
        query = linear(self.query, y)
        keys.append(linear(self.key, y))
        values.append(linear(self.value, y))
        attended = []
        size = WIDTH // HEADS
        for first in range(0, WIDTH, size):
            head = range(first, first + size)
            scores = [sum(query[i] * key[i] for i in head) / size**0.5 for key in keys]
            weights = autobp.softmax(scores)
            for i in head:
                attended.append(sum(w * value[i] for w, value in zip(weights, values, strict=True)))
        x = [a + b for a, b in zip(x, linear(self.out, attended), strict=True)]
        hidden = [z.relu() for z in linear(self.up, rms_norm(x))]
        x = [a + b for a, b in zip(x, linear(self.down, hidden), strict=True)]
        return linear(self.head, x)

    def loss(self, document: list[Any]) -> Any:
        """The mean cross-entropy of each character but the first, given those before it."""
        keys: list[Any] = []
        values: list[Any] = []
        losses = [
            autobp.costs.softmax_cross_entropy(self.logits(token, i, keys, values), following)
            for i, (token, following) in enumerate(pairwise(document))
        ]
        return sum(losses) / len(losses)


def linear(weights: list[list[Value]], x: list[Any]) -> list[Any]:
    """Each row's weighted sum of x."""
    return [sum(w * x_i for w, x_i in zip(row, x, strict=True)) for row in weights]


def rms_norm(x: list[Any]) -> list[Any]:
    """x over the root of the mean of its squares."""
    scale = (sum(x_i * x_i for x_i in x) / len(x) + 1e-5) ** -0.5
    return [x_i * scale for x_i in x]


def document(name: str) -> list[int]:
    """A name as numbers, with a "." before and after."""
    return [CHARACTERS.index(c) for c in f".{name}."]


def sample(predict: Any, theta: Any, rng: np.random.Generator) -> str:
    """A new name, drawn character by character from the model."""
    tokens = [0]
    while len(tokens) <= CONTEXT:
        logits = predict(theta, [tokens])[0, -1]
        odds = np.exp(logits - logits.max())
        tokens.append(int(rng.choice(VOCABULARY, p=odds / odds.sum())))
        if tokens[-1] == 0:
            break
    return "".join(CHARACTERS[t] for t in tokens if t)


def train(steps: int, seed: int = 0) -> tuple[GPT, Any, list[float]]:
    """Train with Adam on all names of one length at a time; the model, the step and the losses."""
    model = GPT(seed)
    rng = random.Random(seed)
    by_length: dict[int, list[list[int]]] = {}
    for name in NAMES:
        if len(name) < CONTEXT:
            by_length.setdefault(len(name), []).append(document(name))
    step = autobp.compile(model.loss, model.parameters())
    theta = step.theta
    momentum, spread = np.zeros_like(theta), np.zeros_like(theta)
    losses = []
    for t in range(1, steps + 1):
        (length,) = rng.choices(list(by_length), weights=[len(d) for d in by_length.values()])
        loss, gradient = step(theta, by_length[length])
        losses.append(loss)
        momentum = 0.9 * momentum + 0.1 * gradient
        spread = 0.99 * spread + 0.01 * gradient**2
        theta -= 0.01 * (momentum / (1 - 0.9**t)) / (np.sqrt(spread / (1 - 0.99**t)) + 1e-8)
    step.write_back(theta)
    return model, step, losses


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    model, step, losses = train(steps)
    tenth = max(1, steps // 10)
    print(f"{len(model.parameters())} parameters, {len(step)} statements")
    print(f"loss {np.mean(losses[:tenth]):.3f} at first, {np.mean(losses[-tenth:]):.3f} at last")

    def predictions(document: list[Any]) -> list[Any]:
        keys: list[Any] = []
        values: list[Any] = []
        return [model.logits(token, i, keys, values) for i, token in enumerate(document)]

    predict = autobp.compile(predictions, model.parameters())
    rng = np.random.default_rng(0)
    print("new names:", ", ".join(sample(predict, step.theta, rng) for _ in range(12)))


if __name__ == "__main__":
    main()
