"""Graphs of scalars in machine code: a GPT, micrograd's moons, and one of scalars drawn by lot."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.compiled import DOCUMENT, gpt_on_values, gpt_step, moons_in_micrograd, moons_step
from benchmarks.harness import Comparison, Contender, Sample, timed, timed_briefly
from benchmarks.microgpt import TupleValue

_DOCUMENTS = 16
_SCALARS = 7000


def _in_microseconds(sample: Sample) -> Sample:
    return lambda: 1e3 * sample()


def gpt(backend: str, m: int) -> Sample:
    """One document, or so many of its length in a call; of these the time of one."""
    step = gpt_step(backend)
    rng = np.random.default_rng(0)
    others = rng.integers(0, 27, size=(m - 1, len(DOCUMENT)))
    theta, data = step.theta, np.vstack([DOCUMENT, others]).astype(float)
    sample = timed_briefly(lambda: step(theta, data), 5)
    return lambda: sample() / m


def gpt_eagerly() -> Sample:
    from autobp import Value

    return _in_microseconds(timed(gpt_on_values(Value)))


def moons(backend: str) -> Sample:
    step = moons_step(backend)
    theta = step.theta
    return timed_briefly(lambda: step(theta), 20)


def irregular(backend: str) -> Sample:
    """Scalars of operations and operands that are drawn by lot."""
    import autobp

    rng = random.Random(1)
    w = [autobp.Value(0.1 * k - 0.4) for k in range(9)]
    x = [autobp.Value(0.3), autobp.Value(-0.2)]
    nodes: list[Any] = [*w, *x]
    one, two = ["tanh", "sin", "sigmoid", "relu", "softplus", "gelu"], ["maximum", "minimum", "multiply"]
    while len(nodes) < _SCALARS // 4:  # each is of about four
        a, b, c = (rng.choice(nodes[-60:]) for _ in range(3))
        lot = rng.random()
        if lot < 0.4:
            nodes.append(0.5 * a - rng.random() * b + 0.1 * c)
        elif lot < 0.7:
            nodes.append(getattr(autobp, rng.choice(two))(a, b).tanh())
        else:
            nodes.append(getattr(autobp, rng.choice(one))(a).tanh())
    step = autobp.compile(autobp.sum(nodes[-20:]), w, inputs=[x], backend=backend)  # type: ignore[call-overload]
    theta, data = step.theta, np.array([[0.3, -0.2]])
    return timed_briefly(lambda: step(theta, data), 3)


def _comparisons() -> Iterator[Comparison]:
    of_values = lambda: _in_microseconds(timed(gpt_on_values(TupleValue)))  # noqa: E731
    yield Comparison(
        "a GPT in scalars, 8 characters: cost and gradient, a document",
        (
            Contender("autobp.compile, machine code", partial(gpt, "c", 1)),
            Contender("autobp.compile, machine code, sixteen in a call: each", partial(gpt, "c", _DOCUMENTS)),
            Contender("autobp.compile, NumPy", partial(gpt, "numpy", 1)),
            Contender("autobp, eager", gpt_eagerly),
            Contender("Values in microgpt's manner", of_values, ""),
        ),
        "µs",
        rounds=3,
        reference="autobp.compile, machine code",
    )
    yield Comparison(
        "micrograd's moons demo (2-16-16-1, 100 samples, L2): cost and gradient",
        (
            Contender("autobp.compile, machine code", partial(moons, "c")),
            Contender("autobp.compile, NumPy", partial(moons, "numpy")),
            Contender("micrograd", lambda: _in_microseconds(moons_in_micrograd()), "micrograd"),
        ),
        "µs",
        rounds=3,
        reference="autobp.compile, machine code",
    )
    yield Comparison(
        f"{_SCALARS:,} scalars of which hardly two are alike: cost and gradient",
        (
            Contender("autobp.compile, machine code", partial(irregular, "c")),
            Contender("autobp.compile, NumPy", partial(irregular, "numpy")),
        ),
        "µs",
        rounds=3,
        reference="autobp.compile, machine code",
    )


COMPARISONS = list(_comparisons())
