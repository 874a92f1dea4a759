"""What users hold: a function that was compiled, called with parameters and data."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
from numpy.typing import ArrayLike

from autobp.backends.numpy_text import Source
from autobp.compiler.apart import notes_on
from autobp.compiler.arrays import floats, shapes_of_floats
from autobp.compiler.blocks import check_rows_are_known, run_in_blocks
from autobp.compiler.certificate import Certificate, certify
from autobp.compiler.derivatives.methods import Derivatives
from autobp.compiler.executable import Executable
from autobp.compiler.exporting import export
from autobp.compiler.lines import lines_of
from autobp.compiler.machine_code import BY_NUMPY, Wanted
from autobp.compiler.other_arrays import (
    Place,
    check_numpys,
    is_elsewhere,
    is_foreign,
    place_of,
    sample_of,
)
from autobp.compiler.pipeline import Signature
from autobp.compiler.problems import Minimization, Residuals
from autobp.compiler.recording import no_garbage_collection, record_function
from autobp.compiler.report import report
from autobp.compiler.tabled import executable_for
from autobp.engine import Value
from autobp.ir import Floats, Program

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any, covariant=True)
else:
    from typing import TypeVar

    R = TypeVar("R", covariant=True)

_KEPT = 8  # numbers of rows for which a thread keeps buffers

Shapes = tuple[tuple[int, ...], ...]


class Step(Derivatives, Generic[R]):
    """A compiled function of parameters and data: the mean cost over samples, and its gradient.

    Made by :func:`compile`. ``step(theta, X, Y)`` takes the parameters as one array (n_parameters,) and the
    function's arguments as arrays with samples as rows; it returns the mean cost, a float, and the gradient,
    a fresh array (n_parameters,). Where the function gives a list, it returns the outputs, (m, …). To type
    checkers a step is ``Step[tuple[float, NDArray]]`` or ``Step[NDArray]``, as the function's own type tells.
    """

    def __init__(
        self,
        function: Callable[..., Any] | None,
        parameters: Sequence[Value],
        names: Sequence[str],
        check: bool,
        known: tuple[Shapes, Executable] | None = None,
        wanted: Wanted = BY_NUMPY,
    ) -> None:
        self._function = function
        self._parameters: list[Value] | None = list(parameters)
        self._labels = [parameter.label for parameter in parameters]
        self._theta = _numbers(parameters)
        self._names = list(names)
        self._check = check
        self._wanted = wanted
        # by the shapes of the arguments for one sample
        self._executables: dict[Shapes, Executable] = {} if known is None else {known[0]: known[1]}
        self._last = None if known is None else known[1]
        self._start()

    def _start(self) -> None:
        """Set what belongs to one process."""
        self._lock = threading.Lock()
        self._thread = threading.local()  # of each thread, the calls that it is prepared for
        # machine code of the last call: it looks at the arrays itself, and gives None where others must
        self._direct: Callable[..., Any] | None = None

    def __call__(self, theta: ArrayLike, *arguments: ArrayLike, weights: ArrayLike | None = None) -> R:
        """(cost, gradient) at theta for the samples in ``arguments``; the outputs, where they are a list.

        With ``weights``, (m,), each row's cost is multiplied with its weight (:meth:`weighted`). Of several
        thetas, (k, n), it gives the costs, (k,), and the gradients, (k, n), or the outputs, (k, m, …).

        Raises ValueError where shapes do not fit, TypeError where an argument is missing or no real numbers.
        """
        if weights is not None:
            weighed: Any = self.weighted(theta, weights, *arguments)
            return weighed  # type: ignore[no-any-return]
        if self._direct is not None:
            told: Any = self._direct(theta, *arguments)
            if told is not None:
                return told  # type: ignore[no-any-return]
        # What was found out for arrays of these shapes holds for others of them: the checks are for the rest.
        calls = self._thread.__dict__
        key = shapes_of_floats(theta, arguments)
        call = calls.get(key)
        arrays: Sequence[Any] = arguments
        function: Any
        if call is None:
            if key is None and is_elsewhere(theta, arguments):
                elsewhere: R = self._elsewhere(theta, arguments, "cost_and_gradient")
                return elsewhere
            if np.ndim(theta) == 2:
                several: R = self._of_each(floats("theta", theta), arguments)
                return several
            executable, theta, arrays = self._prepare(theta, arguments)
            scalar = executable.result_shape is None
            name = "cost_and_gradient" if scalar else "value"
            prepared = executable.prepared(name, len(arrays[0]) if arrays else 0)
            looks = None if executable.choice.functions else executable.looks_at_gradient
            call = (*prepared, scalar, looks)
            if key is not None:
                while len(calls) >= _KEPT:
                    del calls[next(iter(calls))]
                calls[key] = call
        function, work, scalar, looks = call
        if looks is None:
            result: Any
            result, finite = function.looked_at(theta, *arrays, work)
            self._direct = function.direct
        else:
            with np.errstate(all="ignore"):
                result = function(theta, *arrays, work)
                if scalar:
                    finite = isfinite(result[0]) and (not looks or isfinite(result[1].dot(result[1])))
                else:
                    finite = isfinite(np.vdot(result, result))
        if not finite:
            executable, theta, arrays = self._prepare(theta, arguments)
            result = executable.with_care("cost_and_gradient" if scalar else "value", result, theta, arrays)
        told = (float(result[0]), result[1]) if scalar else result
        return told  # type: ignore[no-any-return]

    def _of_each(self, thetas: Floats, arguments: Sequence[ArrayLike]) -> Any:
        """What the step gives for each of several thetas: of models that are small all at once."""
        if len(thetas):
            from autobp.compiler.derivatives.several import all_at_once  # which most steps never need

            executable, _, arrays = self._prepare(thetas[0], arguments)
            together = all_at_once(executable, thetas, arrays)
            if together is not None:
                costs, gradients = together
                for i in np.flatnonzero(~np.isfinite(costs + gradients.sum(1))).tolist():
                    alone: Any = self(thetas[i], *arguments)
                    costs[i], gradients[i] = alone
                return costs, gradients
        found: list[Any] = [self(theta, *arguments) for theta in thetas]
        if found and isinstance(found[0], tuple):
            return np.array([cost for cost, _ in found]), np.array([gradient for _, gradient in found])
        return np.array(found)

    def value(self, theta: ArrayLike, *arguments: ArrayLike) -> Any:
        """The mean cost at theta alone, or the outputs, where they are a list."""
        if is_elsewhere(theta, arguments):
            return self._elsewhere(theta, arguments, "value")
        executable, vector, arrays = self._prepare(theta, arguments)
        found = executable.answer("value", vector, arrays)
        return found if executable.result_shape is not None else float(found)

    def verify(self, theta: ArrayLike, *arguments: ArrayLike) -> Certificate:
        """Whether the program gives at these numbers what the scalar graph gives, row by row.

        The graph that was traced is walked anew for each row, by the operations' own rules and the chain
        rule, which takes much longer than a call. Compared are each row's cost and gradient, as the program
        gives them for that row alone, and their means over all rows; or the outputs.

        Returns:
            a report: true where differences are within what rounding explains; ``str`` shows a table.

        Raises as a call of the step does.
        """
        executable, vector, arrays = self._prepare(theta, arguments)
        return certify(self, executable.graph, executable.matrices, executable.result_shape, vector, arrays)

    def scipy(self, *arguments: ArrayLike) -> Minimization | Residuals:
        """The step with its data, as SciPy's minimizers take it.

        Of a cost ``scipy(X, Y)`` has ``fun``, ``jac``, ``hess`` and ``hessp`` of theta for ``minimize``; of
        outputs ``scipy(X, targets)`` has residuals, ``fun``, and ``jac`` for ``least_squares``.

        Raises as a call of the step does, and TypeError where the targets of outputs are missing.
        """
        n = len(self._names)
        executable, _, _ = self._prepare(self.theta, arguments[:n] if len(arguments) == n + 1 else arguments)
        if executable.result_shape is None:
            if len(arguments) != n:
                raise TypeError(f"scipy takes the {n} arguments of a cost; got {len(arguments)}")
            return Minimization(self, arguments)
        if len(arguments) != n + 1:
            given = f"got {len(arguments)}"
            raise TypeError(f"scipy takes the {n} arguments of outputs and their targets; {given}")
        return Residuals(self, arguments[:n], arguments[n])

    # -------------------------------------------------------------------------------------- arguments

    def _prepare(
        self, theta: ArrayLike, arguments: Sequence[ArrayLike]
    ) -> tuple[Executable, Floats, list[Floats]]:
        self._check_number(arguments)
        check_numpys(["theta", *self._names], [theta, *arguments])
        vector = floats("theta", theta)
        arrays = [floats(name, x) for name, x in zip(self._names, arguments, strict=True)]
        shapes = self._checked_shapes(vector.shape, [array.shape for array in arrays])
        executable = self._executable_for(shapes, _rows(arrays), lambda: [array[0] for array in arrays])
        return executable, vector, arrays

    def _elsewhere(self, theta: Any, arguments: Sequence[Any], name: str) -> Any:
        """What one of the functions gives on arrays that are not NumPy's, as arrays of their kind."""
        executable, place = self._placed(theta, arguments)
        scalar = executable.result_shape is None
        if place is None:
            gradient = scalar and name == "cost_and_gradient"
            return run_in_blocks(self, floats("theta", theta), arguments, self._names, scalar, gradient)
        return executable.on_arrays.function(name if scalar else "value", place)(theta, *arguments)

    def _placed(self, theta: Any, arguments: Sequence[Any]) -> tuple[Executable, Place | None]:
        """The program for arrays that are not NumPy's, and where these are; None where they are Dask's."""
        self._check_number(arguments)
        check_rows_are_known(self._names, arguments)
        place = None
        if is_foreign(theta) or any(map(is_foreign, arguments)):
            place = place_of(theta, arguments, self._names)
        else:
            check_numpys(["theta"], [theta])
        shapes = self._checked_shapes(tuple(np.shape(theta)), [tuple(np.shape(x)) for x in arguments])
        samples = lambda: list(map(sample_of, self._names, arguments))  # noqa: E731
        return self._executable_for(shapes, _rows(arguments), samples), place

    def _check_number(self, arguments: Sequence[Any]) -> None:
        if len(arguments) != len(self._names):
            wanted = ", ".join(["theta", *self._names])
            raise TypeError(
                f"step({wanted}) takes {1 + len(self._names)} arguments; got {1 + len(arguments)}"
            )

    def _checked_shapes(self, theta: tuple[int, ...], arrays: Sequence[tuple[int, ...]]) -> Shapes:
        """The shapes of the arguments for one sample, from those of all rows."""
        if theta != self._theta.shape:
            raise ValueError(
                f"theta has the shape {theta}; there are {len(self._theta)} parameters, so it must be "
                f"{self._theta.shape}"
            )
        for name, shape in zip(self._names, arrays, strict=True):
            if not shape:
                raise ValueError(f"{name} is one number; it needs a row for each sample, shape (m, …)")
            if shape[0] != arrays[0][0]:
                raise ValueError(
                    f"{name} has {shape[0]} rows, but {self._names[0]} has {arrays[0][0]}: both have one "
                    "row for each sample"
                )
            if shape[0] == 0:
                raise ValueError(f"{name} has no rows; the mean over no samples is not defined")
        return tuple([shape[1:] for shape in arrays])

    def _executable_for(
        self, shapes: Shapes, rows: int, samples: Callable[[], Sequence[Floats]]
    ) -> Executable:
        """The program for the shapes of one sample's arguments, made the first time for so many rows."""
        executable = self._executables.get(shapes)
        if executable is None:
            with self._lock:
                executable = self._executables.get(shapes)
                if executable is None:
                    executable = self._compile(shapes, samples(), rows)
                    self._executables[shapes] = executable
        self._last = executable
        return executable

    def _compile(self, shapes: Shapes, samples: Sequence[Floats], rows: int) -> Executable:
        if self._function is None or self._parameters is None:
            known = "; ".join(str(shape) for shape in self._executables) or "none at all"
            raise ValueError(
                f"there is no program for arguments of the shapes {shapes} a sample, and the function to "
                f"trace is not here (a pickle holds programs only); there are programs for {known}"
            )
        wanted = self._wanted.after([x.choice for x in self._executables.values()], rows)
        return executable_of(self._function, self._parameters, self._names, samples, self._check, wanted)

    # ---------------------------------------------------------------------------------------- readings

    def _executable(self) -> Executable:
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
        vector = floats("theta", theta)
        if vector.shape != self._theta.shape:
            raise ValueError(f"theta has the shape {vector.shape}; it must be {self._theta.shape}")
        if self._parameters is None:
            raise ValueError("a step from a pickle has no parameters to write to; use unflatten(theta)")
        for parameter, x in zip(self._parameters, vector.tolist(), strict=True):
            parameter.data = x

    def unflatten(self, theta: ArrayLike) -> dict[str, Floats]:
        """The parameters as the matrices that were found, by name. Raises ValueError before the trace."""
        vector = floats("theta", theta)
        if vector.shape != self._theta.shape:
            raise ValueError(f"theta has the shape {vector.shape}; it must be {self._theta.shape}")
        return {name: np.asarray(vector[positions]) for name, positions in self._executable().matrices}

    def __len__(self) -> int:
        """The number of statements of the program. Raises ValueError before the trace."""
        return self._executable().n_statements

    def __bool__(self) -> bool:
        return True

    @property
    def executable(self) -> Executable:
        """What the last trace became: programs and what they take. Raises ValueError before the trace."""
        return self._executable()

    @property
    def program(self) -> Program:
        """The arrays that cost and gradient (or outputs) are computed by; ``str`` shows them, one a line.

        docs/programs.md tells how to read it. Raises ValueError before the trace.
        """
        return list(self._executable().programs.values())[-1]

    @property
    def source(self) -> str:
        """The program as a NumPy module that runs on its own. Raises ValueError before the trace."""
        return self._executable().source

    @property
    def backend(self) -> str:
        """What runs the step and why, "numpy: asked for" or "c: …". Raises ValueError before the trace."""
        return str(self._executable().choice)

    @property
    def c_source(self) -> str:
        """The program as a file of C99 that needs only math.h.

        Raises ValueError before the trace, TypeError where an operation is computed by Python code.
        """
        return self._executable().c_source

    def export_c(self, path: str | os.PathLike[str], *, about: str = "", **outputs: Step) -> Path:
        """Write the program as a file of C99, with the parameters as they are and a ``main`` that checks it.

        The check is the sample that was traced, and what the scalar graph gives there; it runs where no
        Python is. A header that declares the functions is written beside it.

        Args:
            path: ends in ".c".
            about: what the comment at its head says first.
            outputs: other steps of the same parameters, which give outputs, by the names of their functions.

        Returns:
            the path.

        Raises:
            OSError: it cannot be written.
            TypeError: an operation is computed by Python code, which has no formula.
            ValueError: nothing is traced yet; a step of other parameters, or of a cost, is given, or a name
                that a function of C cannot have.
        """
        executables = {"value": self._executable()}
        for name, step in outputs.items():
            executables[name] = step._executable()
            if step._labels != self._labels or not np.array_equal(step.theta, self.theta):
                raise ValueError(f"{name} is a step of other parameters")
            if executables[name].result_shape is None:
                raise ValueError(f"{name} is the step of a cost; the others must give outputs")
        return export(executables, self.theta, path, about or self._executable().about)

    @property
    def written(self) -> Source:
        """The source as data: its functions, statement by statement. Raises ValueError before the trace."""
        return self._executable().text

    def variables(self, theta: ArrayLike, *arguments: ArrayLike) -> dict[str, Any]:
        """What each variable of the source is for these arguments, the cost or the outputs among them.

        Raises as a call of the step does.
        """
        executable, vector, arrays = self._prepare(theta, arguments)
        return executable.text.variables(vector, arrays)

    @property
    def latex(self) -> str:
        """The program as equations, an ``aligned`` block. Raises ValueError before the trace."""
        return self._executable().latex

    def report(self) -> str:
        """Which matrices and loops were found, a line each, what is in none, why, and where it is computed.

        The function is traced once more, to see which of its lines compute what; a pickle does not hold it.
        Raises ValueError before the trace.
        """
        found = self._executable()
        lines = (
            lines_of(self._function, self._parameters, found.signature.samples, found.graph)
            if self._function is not None and self._parameters is not None
            else {}
        )
        alone = notes_on(found.graph, found.signature)
        return report(self.program, found.matrices, found.n_statements, found.notes, alone, found.left, lines)

    def __repr__(self) -> str:
        about = f"{len(self._theta)} parameters"
        if self._last is None:
            return f"<compiled step: {about}, not traced yet>"
        names = ", ".join(
            f"{name} {'×'.join(map(str, positions.shape)) or 'scalar'}"
            for name, positions in self._last.matrices[:8]
        )
        return f"<compiled step: {self._last.n_statements} statements, {about} ({names})>"

    def _repr_markdown_(self) -> str:
        return f"```\n{self!r}\n```" if self._last is None else f"```python\n{self.source}\n```"

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.update(
            _function=None, _parameters=None, _theta=self.theta, _executables=dict(self._executables)
        )
        del state["_lock"], state["_thread"], state["_direct"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def executable_of(
    function: Callable[..., Any],
    parameters: Sequence[Value],
    names: Sequence[str],
    samples: Sequence[Floats],
    check: bool,
    wanted: Wanted = BY_NUMPY,
) -> Executable:
    """Trace a function with one sample, and compile what it does.

    Args:
        names: of the arguments.
        samples: one of each argument.
        check: whether to name the first statement whose result is not finite.
        wanted: what is to run it.

    Raises what :func:`~autobp.compiler.recording.record_function` raises, and what the function itself does.
    """
    shapes = tuple([sample.shape for sample in samples])
    labels = [parameter.label for parameter in parameters]
    with no_garbage_collection():
        try:
            graph, result_shape = record_function(function, parameters, samples)
        except (IndexError, TypeError, ValueError) as error:
            given = " and ".join(
                f"{name} of the shape {shape}" for name, shape in zip(names, shapes, strict=True)
            )
            if type(error) not in (IndexError, TypeError, ValueError) or not given:
                raise
            raise type(error)(f"{error} [tracing the function with one sample, {given}]") from error
        return executable_for(graph, Signature(labels, names, shapes, result_shape), check, wanted)


def _rows(arrays: Sequence[Any]) -> int:
    """The number of samples that a call has; 1 where the function has no arguments."""
    return int(np.shape(arrays[0])[0]) if arrays else 1


def _numbers(parameters: Sequence[Value]) -> Floats:
    # by .data, so that a function that is traced cannot take the parameters for constants
    return np.array([parameter.data for parameter in parameters], dtype=np.float64)
