"""A model compiled: its outputs and their derivatives by the parameters, for all rows at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.compiler import Step
from autobp.compiler import compile as compiled
from autobp.engine import Value
from autobp.fitting.parameters import Layout

Array = NDArray[np.float64]


class CompiledModel:
    """The outputs of a model and their Jacobian by the n parameters.

    Args:
        model: ``model(p, *row)`` gives a Value, or a list of q.
        parameters: their layout; all n are parameters of the program, fixed ones too.
        names: of what a row has: "x", "x1", "x2" …
    """

    def __init__(self, model: Callable[..., Any], parameters: Layout, names: Sequence[str]) -> None:
        outputs = _outputs(model, parameters, len(names))
        arguments = [*names, "group"] if parameters.groups else list(names)
        self._step = _compiled(outputs, parameters, arguments)

    def value(self, theta: Array, rows: Sequence[Array]) -> Array:
        """(m, q)."""
        return np.asarray(self._step(theta, *rows))

    def jacobian(self, theta: Array, rows: Sequence[Array]) -> Array:
        """(m, q, n)."""
        return np.asarray(self._step.jacobian(theta, *rows))


class CompiledLikelihood:
    """The logarithm of a likelihood, its gradient and its Hessian, each a sum over the rows.

    Args:
        model, parameters, names: as above.
        log_density: ``log_density(output, y)`` of a row: the logarithm of the probability of what was seen.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        log_density: Callable[[Any, Any], Any],
        parameters: Layout,
        names: Sequence[str],
    ) -> None:
        outputs = _outputs(model, parameters, len(names))
        arguments = [*names, *(["group"] if parameters.groups else []), "y"]

        def density(theta: list[Any], *row: Any) -> Any:
            *rest, y = row
            made = outputs(theta, *rest)
            return log_density(made[0], y[0]) if len(made) == 1 else log_density(made, list(y))

        self._step = _compiled(density, parameters, arguments)

    def value(self, theta: Array, rows: Sequence[Array]) -> float:
        """The logarithm of the likelihood of all rows."""
        return len(rows[0]) * float(self._step.value(theta, *rows))

    def gradient(self, theta: Array, rows: Sequence[Array]) -> tuple[float, Array]:
        """The logarithm, and its derivatives (n,)."""
        mean, slopes = self._step(theta, *rows)
        return len(rows[0]) * mean, len(rows[0]) * slopes

    def hessian(self, theta: Array, rows: Sequence[Array]) -> Array:
        """(n, n)."""
        return len(rows[0]) * self._step.hessian(theta, *rows)


def _outputs(model: Callable[..., Any], parameters: Layout, n_arguments: int) -> Callable[..., list[Any]]:
    """The model as a function of a list of numbers and a row, with a list of outputs."""

    def outputs(theta: list[Any], *row: Any) -> list[Any]:
        group = row[n_arguments] if parameters.groups else None
        made = model(parameters.named(theta, group), *row[:n_arguments])
        if isinstance(made, np.ndarray):
            made = made.ravel().tolist()
        return list(made) if isinstance(made, list | tuple) else [made]

    return outputs


def _compiled(function: Callable[..., Any], parameters: Layout, arguments: Sequence[str]) -> Step:
    """The function of parameters and a row as a step; the row's arguments get their names."""
    start = parameters.start.tolist()
    values = [Value(x, label=name) for name, x in zip(parameters.names, start, strict=True)]

    def of_row(*row: Any) -> Any:
        made = function(values, *row)
        return [_value(y) for y in made] if isinstance(made, list) else _value(made)

    named = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in arguments]
    vars(of_row)["__signature__"] = inspect.Signature(named)
    return compiled(of_row, values)


def _value(y: Any) -> Value:
    return y if isinstance(y, Value) else Value(y)
