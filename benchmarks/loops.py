"""Recurrences as the compiler finds them, against the engine and JAX's loop, at several numbers of rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Comparison, Contender, Sample, timed
from benchmarks.recurrent_models import MODELS, Model

ROWS = (1, 4, 256, 1000)
FEW = 4  # of more, the engine takes in proportion


def _step(model: Model, backend: Any = "auto") -> Any:
    import autobp

    theta = [autobp.Value(float(x)) for x in model.theta]
    if len(model.row) == 1:
        return autobp.compile(lambda x: model.scalars(theta, x), theta, backend=backend)
    return autobp.compile(lambda x, y: model.scalars(theta, x, y), theta, backend=backend)


def compiled(model: Model, m: int, backend: str) -> Sample:
    step, data = _step(model, backend), model.data(m)
    return timed(lambda: step(step.theta, *data), max(1, 20 // m))


def compiling(model: Model) -> Sample:
    """What a node of the graph takes to compile after the trace, in µs."""
    import autobp
    from autobp.engine import topological_order

    theta = [autobp.Value(float(x)) for x in model.theta]
    inputs = [_values(x[0]) for x in model.data(1)]
    cost = model.scalars(theta, *inputs)
    nodes = len(topological_order(cost))

    def sample() -> float:
        start = time.perf_counter()
        autobp.compile(cost, theta, inputs=inputs)
        return 1e6 * (time.perf_counter() - start) / nodes

    return sample


def _values(x: Any) -> Any:
    import autobp

    return [_values(row) for row in x] if np.ndim(x) else autobp.Value(float(x))


def eagerly(model: Model, m: int) -> Sample | None:
    """The engine: each row's graph anew, and backward()."""
    if m > FEW:
        return None
    data = [x.tolist() for x in model.data(m)]

    def step() -> None:
        import autobp

        theta = [autobp.Value(float(x)) for x in model.theta]
        for row in zip(*data, strict=True):
            inputs = [_values(x) for x in row]
            (model.scalars(theta, *inputs) / m).backward()

    return timed(step)


def by_jax(model: Model, m: int) -> Sample:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    axes = (None, *[0] * len(model.row))
    made = jax.jit(jax.value_and_grad(lambda *given: jnp.mean(jax.vmap(model.by_scan, axes)(*given))))
    given = [jnp.array(x) for x in (model.theta, *model.data(m))]
    step = _step(model, "numpy")
    for ours, theirs in zip(step(step.theta, *model.data(m)), made(*given), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    return timed(lambda: jax.block_until_ready(made(*given)), max(1, 20 // m))


def _comparisons() -> Iterator[Comparison]:
    for model in MODELS:
        for m in ROWS:
            yield Comparison(
                f"{model.name}, {m} row{'s' * (m != 1)}: cost and gradient by a loop",
                (
                    Contender("autobp.compile", partial(compiled, model, m, "auto")),
                    Contender("autobp.compile, NumPy", partial(compiled, model, m, "numpy")),
                    Contender("autobp, eager", partial(eagerly, model, m)),
                    Contender("JAX, jit of a scan", partial(by_jax, model, m), "jax"),
                ),
                rounds=3,
                reference="autobp.compile",
            )
    contenders = tuple(Contender(model.name, partial(compiling, model)) for model in MODELS)
    yield Comparison("recurrences: to compile", contenders, "µs a node", rounds=3, reference=MODELS[0].name)


COMPARISONS = list(_comparisons())
