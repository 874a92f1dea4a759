"""compile: from a function of Values, or a graph, to a step that runs as matrices."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autobp.backends.source_module import is_free
from autobp.compiler.executable import Executable
from autobp.compiler.ir import Floats
from autobp.compiler.trace import collected, flatten, no_garbage_collection, record, shape_of, trace
from autobp.engine import Value
from autobp.nn import MLP, Layer, Neuron

_KEPT = 8  # numbers of rows for which a thread keeps buffers

Shapes = tuple[tuple[int, ...], ...]


class Step:
    """A compiled function of parameters and data: the mean cost over samples, and its gradient.

    Made by :func:`compile`. ``step(theta, X, Y)`` takes the parameters as one array (n_parameters,) and the
    function's arguments as arrays with samples as rows; it returns the mean cost, a float, and the gradient,
    a fresh array (n_parameters,). Where the function gives a list, it returns the outputs, (m, …).
    """

    def __init__(
        self,
        function: Callable[..., Any] | None,
        parameters: Sequence[Value],
        names: Sequence[str],
        check: bool,
    ) -> None:
        self._function = function
        self._parameters: list[Value] | None = list(parameters)
        self._labels = [parameter.label for parameter in parameters]
        self._theta = _numbers(parameters)
        self._names = list(names)
        self._check = check
        self._programs: dict[Shapes, Executable] = {}
        self._last: Executable | None = None
        self._lock = threading.Lock()
        self._thread = threading.local()  # of each thread, the calls that it is prepared for

    def __call__(self, theta: ArrayLike, *arguments: ArrayLike) -> Any:
        """(cost, gradient) at theta for the samples in ``arguments``; the outputs, where they are a list.

        Raises ValueError where shapes do not fit, TypeError where an argument is missing or no real numbers.
        """
        # What was found out for arrays of these shapes holds for others of them: the checks are for the rest.
        calls = self._thread.__dict__
        key = _shapes_of_floats(theta, arguments)
        call = calls.get(key)
        arrays: Sequence[Any] = arguments
        if call is None:
            program, theta, arrays = self._prepare(theta, arguments)
            scalar = program.result_shape is None
            name = "cost_and_gradient" if scalar else "value"
            call = (*program.prepared(name, len(arrays[0]) if arrays else 0), scalar)
            if key is not None:
                while len(calls) >= _KEPT:
                    del calls[next(iter(calls))]
                calls[key] = call
        function, work, scalar = call
        with np.errstate(all="ignore"):
            result = function(theta, *arrays, work)
        return (float(result[0]), result[1]) if scalar else result

    def value(self, theta: ArrayLike, *arguments: ArrayLike) -> Any:
        """The mean cost at theta alone, or the outputs, where they are a list."""
        program, vector, arrays = self._prepare(theta, arguments)
        function, work = program.prepared("value", len(arrays[0]) if arrays else 0)
        with np.errstate(all="ignore"):
            found = function(vector, *arrays, work)
        return float(found) if program.result_shape is None else found

    # -------------------------------------------------------------------------------------- arguments

    def _prepare(
        self, theta: ArrayLike, arguments: Sequence[ArrayLike]
    ) -> tuple[Executable, Floats, list[Floats]]:
        vector = _floats("theta", theta)
        if vector.shape != self._theta.shape:
            raise ValueError(
                f"theta has the shape {vector.shape}; there are {len(self._theta)} parameters, so it must be "
                f"{self._theta.shape}"
            )
        if len(arguments) != len(self._names):
            wanted = ", ".join(["theta", *self._names])
            raise TypeError(
                f"step({wanted}) takes {1 + len(self._names)} arguments; got {1 + len(arguments)}"
            )
        arrays = [_floats(name, x) for name, x in zip(self._names, arguments, strict=True)]
        for name, array in zip(self._names, arrays, strict=True):
            if array.ndim == 0:
                raise ValueError(f"{name} is one number; it needs a row for each sample, shape (m, …)")
            if len(array) != len(arrays[0]):
                raise ValueError(
                    f"{name} has {len(array)} rows, but {self._names[0]} has {len(arrays[0])}: both have one "
                    "row for each sample"
                )
            if len(array) == 0:
                raise ValueError(f"{name} has no rows; the mean over no samples is not defined")
        shapes = tuple([array.shape[1:] for array in arrays])
        program = self._programs.get(shapes)
        if program is None:
            with self._lock:
                program = self._programs.get(shapes)
                if program is None:
                    program = self._trace(shapes, [array[0] for array in arrays])
        self._last = program
        return program, vector, arrays

    def _trace(self, shapes: Shapes, samples: Sequence[Floats]) -> Executable:
        if self._function is None or self._parameters is None:
            known = "; ".join(str(shape) for shape in self._programs) or "none at all"
            raise ValueError(
                f"there is no program for arguments of the shapes {shapes} a sample, and the function to "
                f"trace is not here (a pickle holds programs only); there are programs for {known}"
            )
        with no_garbage_collection():
            try:
                graph, result_shape = trace(self._function, self._parameters, samples)
            except (IndexError, TypeError, ValueError) as error:
                given = " and ".join(
                    f"{name} of the shape {shape}" for name, shape in zip(self._names, shapes, strict=True)
                )
                if type(error) not in (IndexError, TypeError, ValueError) or not given:
                    raise
                raise type(error)(f"{error} [tracing the function with one sample, {given}]") from error
            program = Executable(graph, result_shape, shapes, self._names, self._labels, self._check)
        self._programs[shapes] = program
        return program

    # ---------------------------------------------------------------------------------------- readings

    def _program(self) -> Executable:
        if self._last is None:
            raise ValueError(
                "nothing is traced yet: call the step once, or give compile an example=(x, y) of one sample"
            )
        return self._last

    @property
    def theta(self) -> Floats:
        """The parameters' numbers, a new array (n_parameters,), in their order."""
        if self._parameters is not None:
            self._theta = _numbers(self._parameters)
        return np.array(self._theta)

    def write_back(self, theta: ArrayLike) -> None:
        """Set the parameters' data. ValueError where theta does not fit, or after unpickling."""
        vector = _floats("theta", theta)
        if vector.shape != self._theta.shape:
            raise ValueError(f"theta has the shape {vector.shape}; it must be {self._theta.shape}")
        if self._parameters is None:
            raise ValueError("a step from a pickle has no parameters to write to; use unflatten(theta)")
        for parameter, x in zip(self._parameters, vector.tolist(), strict=True):
            parameter.data = x

    def unflatten(self, theta: ArrayLike) -> dict[str, Floats]:
        """The parameters as the matrices that were found, by name. Raises ValueError before the trace."""
        vector = _floats("theta", theta)
        if vector.shape != self._theta.shape:
            raise ValueError(f"theta has the shape {vector.shape}; it must be {self._theta.shape}")
        return {name: np.asarray(vector[positions]) for name, positions in self._program().matrices}

    def __len__(self) -> int:
        """The number of statements of the program. Raises ValueError before the trace."""
        return self._program().n_statements

    def __bool__(self) -> bool:
        return True

    @property
    def source(self) -> str:
        """The program as a NumPy module that runs on its own. Raises ValueError before the trace."""
        return self._program().source

    @property
    def latex(self) -> str:
        """The program as equations, an ``aligned`` block. Raises ValueError before the trace."""
        return self._program().latex

    def __repr__(self) -> str:
        about = f"{len(self._theta)} parameters"
        if self._last is None:
            return f"<compiled step: {about}, not traced yet>"
        names = ", ".join(
            f"{name} {'×'.join(map(str, positions.shape)) or 'scalar'}"
            for name, positions in self._last.matrices[:8]
        )
        return f"<compiled step: {self._last.n_statements} statements, {about} ({names})>"

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.update(_function=None, _parameters=None, _theta=self.theta, _programs=dict(self._programs))
        del state["_lock"], state["_thread"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._thread = threading.local()


def _numbers(parameters: Sequence[Value]) -> Floats:
    # by .data, so that a function that is traced cannot take the parameters for constants
    return np.array([parameter.data for parameter in parameters], dtype=np.float64)


_FLOAT64 = np.dtype(np.float64)


def _shapes_of_floats(theta: Any, arguments: Sequence[Any]) -> Any:
    """The shapes, where all are arrays of float64; else None."""
    shapes = []
    for x in (theta, *arguments):
        if type(x) is not np.ndarray or x.dtype is not _FLOAT64:
            return None
        shapes.append(x.shape)
    return tuple(shapes)


def _floats(name: str, x: ArrayLike) -> Floats:
    if type(x) is np.ndarray and x.dtype is _FLOAT64:
        return x
    if np.ma.is_masked(x):
        raise TypeError(f"{name} has masked elements, whose mask would be lost; fill them in first")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its rows have different lengths") from error
    except (RuntimeError, TypeError) as error:  # a tensor of another library that keeps its numbers to itself
        raise TypeError(f"{name} is no array of real numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers; got an array of {array.dtype}")
    converted: Floats = array.astype(np.float64)
    return converted


def compile_step(
    function: Callable[..., Any] | Value | Sequence[Any],
    parameters: Sequence[Value],
    *,
    inputs: Sequence[Any] | None = None,
    example: Sequence[Any] | None = None,
    check: bool = False,
) -> Step:
    """Compile a function of Values, or a graph that exists, to a step that runs as NumPy matrix operations.

    Args:
        function: of one sample: ``loss(x, y)``, each argument a scalar or a nested list of scalars, gives a
            Value (the cost), or a nested list of Values (outputs). Or the Value, the graph, itself.
        parameters: the leaves that theta holds, in this order.
        inputs: for a graph that exists, its arguments: each a leaf or a nested list of leaves.
        example: arguments of one sample, (x, y), to trace the function with at once.
        check: name the first statement whose result is not finite (FloatingPointError).

    Returns:
        a Step. A function is traced at the first call, once for each shape of its arguments.

    Raises:
        TypeError: a parameter is no leaf, or the function reads data that it depends on, or has arguments
            that cannot be samples.
        ValueError: two traces of the function differ; leaves are named twice.

    Decisions that Python made while an existing graph was built (``if v.data > 0``) cannot be seen in it, and
    hold for whatever the step computes; from a function they raise.
    """
    if isinstance(parameters, Value) or not hasattr(parameters, "__iter__"):
        raise TypeError(f"parameters must be a list of leaves, such as net.parameters(); got {parameters!r}")
    parameters = list(parameters)
    for parameter in parameters:
        if not isinstance(parameter, Value) or parameter.operation is not None:
            raise TypeError(f"parameters must be leaves, Values that were not computed; got {parameter!r}")
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        raise ValueError("a parameter is named twice")
    if callable(function):
        if inputs is not None:
            raise TypeError("inputs= is for a graph that exists; a function has its arguments")
        is_model = callable(getattr(function, "parameters", None))
        traced = _listed(function) if is_model else function
        step = Step(traced, parameters, _argument_names(function), check)
        if example is not None:
            if len(example) != len(step._names):
                wanted = len(step._names)
                raise TypeError(f"example has {len(example)} arguments; the function takes {wanted}")
            samples = [
                _floats(f"{name} of the example", x) for name, x in zip(step._names, example, strict=True)
            ]
            step._last = step._trace(tuple([sample.shape for sample in samples]), samples)
        return step
    if example is not None:
        raise TypeError("example= is for a function; a graph that exists is traced already")
    if isinstance(inputs, Value):
        raise TypeError(f"inputs must be a list of arguments, inputs=[x]; got {inputs!r}")
    return _from_graph(function, parameters, [] if inputs is None else list(inputs), check)


def _listed(model: Callable[..., Any]) -> Callable[..., Any]:
    """The model with its outputs as a list, one output too: predictions, not a cost to be averaged."""

    def outputs(*arguments: Any) -> Any:
        made = model(*arguments)
        return [made] if isinstance(made, Value) else made

    return outputs


def _from_graph(value: Any, parameters: Sequence[Value], inputs: Sequence[Any], check: bool) -> Step:
    leaves = {id(parameter): (0, i) for i, parameter in enumerate(parameters)}
    shapes = []
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(f"compile needs a function, a Value, or a nested list of Values; got {value!r}")
    value, inputs = collected(value), [collected(argument) for argument in inputs]
    for role, argument in enumerate(inputs, start=1):
        try:
            shapes.append(shape_of(argument))
        except ValueError as error:
            raise ValueError(f"input {role} is ragged: its rows have different lengths") from error
        for i, leaf in enumerate(flatten(argument)):
            if not isinstance(leaf, Value) or leaf.operation is not None:
                raise TypeError(f"inputs must be leaves, Values that were not computed; got {leaf!r}")
            if id(leaf) in leaves:
                raise ValueError(f"{leaf!r} is named twice among parameters and inputs")
            leaves[id(leaf)] = (role, i)
    outputs = list(flatten(value))
    if not outputs or not all(isinstance(output, Value) for output in outputs):
        raise TypeError(f"compile needs a function, a Value, or a nested list of Values; got {value!r}")
    graph = record(outputs, leaves)
    names = [f"x{i + 1}" for i in range(len(inputs))] if len(inputs) > 1 else ["x"] * len(inputs)
    step = Step(None, parameters, names, check)
    result_shape = None if isinstance(value, Value) else shape_of(value)
    step._last = Executable(graph, result_shape, tuple(shapes), names, step._labels, check)
    step._programs[tuple(shapes)] = step._last
    return step


def _is_overridden(method: Any) -> bool:
    """Whether this __call__ is a user's; nn's own, when compiled by mypyc, do not show their arguments."""
    return method not in (MLP.__call__, Layer.__call__, Neuron.__call__)


def _argument_names(function: Callable[..., Any]) -> list[str]:
    if isinstance(function, (MLP, Layer, Neuron)) and not _is_overridden(type(function).__call__):
        return ["x"]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the arguments of {function!r} cannot be seen; wrap it in a def") from error
    names = []
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{function!r} takes *{name}: compile needs a fixed number of arguments")
        if parameter.default is parameter.empty:
            if parameter.kind is parameter.KEYWORD_ONLY:
                raise TypeError(f"{name} can be given by name only; compile passes samples by position")
            names.append(name)
    return [name if is_free(name) else f"{name}_" for name in names]
