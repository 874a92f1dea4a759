"""A recurrent network in scalars that writes names, character by character.

The text is the names of Python's own modules, one after another. A state of 24 numbers goes from character to
character, and the cost is the mean cross-entropy of the next one. It is written for one stretch of 32
characters, in plain Python on Values; its steps become one loop, backpropagation through time another, and a
batch of stretches takes them at once. The same weights, compiled one step alone, then write names.

Run it: ``python examples/scalar_rnn.py [steps]``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import autobp
from autobp import Value

NAMES = sorted(name.strip("_") for name in sys.stdlib_module_names)
CHARACTERS = " " + "".join(sorted(set("".join(NAMES))))  # " " ends a name
TEXT = " ".join(["", *NAMES, ""])
LENGTH, WIDTH, VOCABULARY = 32, 24, len(CHARACTERS)

Matrix = list[list[Value]]


def matrix(rng: np.random.Generator, rows: int, columns: int) -> Matrix:
    """Parameters, small and random."""
    return [[Value(x) for x in row] for row in rng.normal(0.0, columns**-0.5, (rows, columns)).tolist()]


class RNN:
    """h ← tanh(W h + the row of the character), and the scores of the next one, V h + c."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.row = matrix(rng, WIDTH, VOCABULARY)  # a column for each character
        self.W, self.V = matrix(rng, WIDTH, WIDTH), matrix(rng, VOCABULARY, WIDTH)
        self.c = [Value(0.0) for _ in range(VOCABULARY)]

    def parameters(self) -> list[Value]:
        """Every parameter, matrix by matrix."""
        return [v for m in (self.row, self.W, self.V) for row in m for v in row] + self.c

    def step(self, h: list[Any], character: Any) -> list[Any]:
        """The state after one more character."""
        return [
            autobp.tanh(autobp.take(row, character) + sum(w * h_j for w, h_j in zip(weights, h, strict=True)))
            for row, weights in zip(self.row, self.W, strict=True)
        ]

    def scores(self, h: list[Any]) -> list[Any]:
        """Of each character to be the next."""
        return [
            c + sum(v * h_j for v, h_j in zip(row, h, strict=True))
            for row, c in zip(self.V, self.c, strict=True)
        ]

    def loss(self, text: list[Any], following: list[Any]) -> Any:
        """The mean cross-entropy of each character, given those before it in the stretch."""
        h: list[Any] = [0.0] * WIDTH
        total = 0.0
        for character, next_one in zip(text, following, strict=True):
            h = self.step(h, character)
            total = total + autobp.costs.softmax_cross_entropy(self.scores(h), next_one)
        return total / len(text)


def stretches(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Characters of some stretches of the text, (number, LENGTH), and those that follow them."""
    numbers = np.array([CHARACTERS.index(c) for c in TEXT])
    starts = rng.integers(len(numbers) - LENGTH, size=number)
    windows = numbers[starts[:, None] + np.arange(LENGTH + 1)]
    return windows[:, :-1], windows[:, 1:]


def train(model: RNN, step: Any, steps: int) -> tuple[np.ndarray, list[float]]:
    """The parameters and the costs of Adam, on some stretches at a time."""
    rng = np.random.default_rng(0)
    theta, adam, costs = step.theta, autobp.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(steps):
        cost, gradient = step(theta, *stretches(rng, 24))
        costs.append(cost)
        theta = adam.update(theta, gradient)
    return theta, costs


def write(next_step: Callable[..., Any], theta: np.ndarray, rng: np.random.Generator) -> str:
    """A new name: each character is drawn by its odds, and read in its turn."""
    h, name = np.zeros(WIDTH), " "
    while len(name) < 20:
        (out,) = next_step(theta, h[None], [CHARACTERS.index(name[-1])])
        h, scores = out[:WIDTH], out[WIDTH:]
        odds = np.exp(scores - scores.max())
        name += CHARACTERS[rng.choice(VOCABULARY, p=odds / odds.sum())]
        if name[-1] == " ":
            break
    return name.strip()


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    model = RNN()
    example = [0] * LENGTH, [0] * LENGTH
    step = autobp.compile(model.loss, model.parameters(), example=example)
    print(f"{len(model.parameters())} parameters, {len(NAMES)} names\n{step.report()}\n")
    theta, costs = train(model, step, steps)
    bits = np.array(costs) / np.log(2)
    print(f"bits a character: {bits[0]:.2f} at first, {bits[-20:].mean():.2f} after {steps} steps")

    def state_and_scores(h: list[Any], character: Any) -> list[Any]:
        h = model.step(h, character)
        return [*h, *model.scores(h)]

    next_step = autobp.compile(state_and_scores, model.parameters())
    rng = np.random.default_rng(0)
    print("names it writes:", ", ".join(filter(None, (write(next_step, theta, rng) for _ in range(14)))))


if __name__ == "__main__":
    main()
