"""The derivatives that a step gives beside its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from autobp.compiler.arrays import floats
from autobp.compiler.derivatives.wanted import Wanted
from autobp.compiler.executable import Executable
from autobp.compiler.other_arrays import (
    Place,
    check_numpys,
    is_elsewhere,
    is_foreign,
    like,
    namespace,
    place_of,
)
from autobp.ir import Floats, Shape

if TYPE_CHECKING:
    from autobp.compiler.derivatives.made import Made

_WHOLE = 512  # second derivatives by so many numbers are made in one pass; by more, some columns at a time
_COLUMNS = 64  # of them


class Derivatives:
    """What :class:`~autobp.compiler.step.Step` has of derivatives; made when they are first asked for.

    ``wrt`` is "theta" or the name of an argument. Derivatives by an argument are each row's own: those of its
    cost, without the 1/m of the mean, or of its outputs, by its elements.
    """

    _names: list[str]

    def _prepare(
        self, theta: ArrayLike, arguments: Sequence[ArrayLike]
    ) -> tuple[Executable, Floats, list[Floats]]:
        raise NotImplementedError

    def _placed(self, theta: Any, arguments: Sequence[Any]) -> tuple[Executable, Place | None]:
        raise NotImplementedError

    def _executable(self) -> Executable:
        raise NotImplementedError

    def weighted(self, theta: ArrayLike, weights: ArrayLike, *arguments: ArrayLike) -> tuple[float, Floats]:
        """The mean over the rows of each row's cost times its weight, (m,), and its gradient by theta.

        What a row of weight 0 holds does not matter, if it is no number either. The sum is divided by m, not
        by the sum of the weights: with weights of 1 it is the mean cost.

        Raises as :meth:`hessian` does, and ValueError where there is not one weight for each row.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "a weighted cost", True)
        given = self._weights(weights, arrays)
        cost, gradient = made_of(executable, Wanted("gradient", weighted=True))(vector, [*arrays, *given])
        return (cost if is_foreign(vector) else float(cost)), gradient

    def hessian(
        self,
        theta: ArrayLike,
        *arguments: ArrayLike,
        wrt: str = "theta",
        weights: ArrayLike | None = None,
    ) -> Floats:
        """The second derivatives of the mean cost, (n, n); by an argument of each row's, (m, size, size).

        With ``weights``, (m,), each row's cost is multiplied with its weight.

        Raises TypeError where the function gives outputs, NoDerivative (a TypeError) where an operation's
        rules are Python code; else as a call of the step does.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "hessian", True)
        by = self._by(wrt)
        n, weighted = _size(executable, by), weights is not None
        arrays = [*arrays, *self._weights(weights, arrays)]
        if n <= _WHOLE:
            found = made_of(executable, Wanted("hessian", by, weighted=weighted))(vector, arrays)[1]
            return found
        made = made_of(executable, Wanted("hvp", by, _COLUMNS, weighted))
        columns = []
        for first in range(0, n, _COLUMNS):
            directions = np.eye(_COLUMNS, n, first)
            if by:
                directions = np.broadcast_to(directions, (*_samples(arrays), _COLUMNS, n))
            columns.append(made(vector, [*arrays, like(vector, directions)])[1])
        whole: Floats
        if is_foreign(vector):
            whole = namespace(vector).concat(columns, axis=-2)[..., :n, :].mT
        else:
            whole = np.concatenate(columns, axis=-2)[..., :n, :].swapaxes(-1, -2)
        return whole

    def hvp(
        self,
        theta: ArrayLike,
        v: ArrayLike,
        *arguments: ArrayLike,
        wrt: str = "theta",
        weights: ArrayLike | None = None,
    ) -> Floats:
        """The second derivatives of the mean cost times v, both (n,), without these derivatives.

        By an argument, v has its shape, and so has the result: row by row. With ``weights``, (m,), each row's
        cost is multiplied with its weight.

        Raises as :meth:`hessian` does, and ValueError where v has another shape.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "hvp", True)
        wanted = Wanted("hvp", self._by(wrt), weighted=weights is not None)
        return self._product(executable, wanted, vector, arrays, v, self._weights(weights, arrays))

    def rows(self, theta: ArrayLike, *arguments: ArrayLike, wrt: str = "theta") -> tuple[Any, Floats]:
        """Each row's cost, (m,), and its gradient, (m, n); by an argument of the shape of that, (m, …).

        Raises as :meth:`hessian` does.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "rows", True)
        by = self._by(wrt)
        costs, gradients = made_of(executable, Wanted("rows", by))(vector, arrays)
        shape = arrays[by - 1].shape if by else gradients.shape
        return costs, namespace(vector).reshape(gradients, shape)

    def jacobian(
        self, theta: ArrayLike, *arguments: ArrayLike, wrt: str = "theta", sparse: bool = False
    ) -> Any:
        """The derivatives of each row's outputs, (m, …, n); by an argument (m, …, …).

        By forward mode where there are at most twice as many inputs as outputs, by reverse mode otherwise.

        Args:
            sparse: whether to give a ``scipy.sparse.csr_array`` of all outputs by all that is differentiated
                by, (m·outputs, n), or (m·outputs, m·elements), block by block. What can be other than 0 is
                found from the graph, and columns that no row shares are computed together.

        Raises as :meth:`hessian` does, but TypeError where the function gives a cost.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "jacobian", False)
        by = self._by(wrt)
        shape = executable.result_shape
        assert shape is not None
        n, q = _size(executable, by), int(np.prod(shape))
        samples = _samples(arrays)
        if sparse:
            check_numpys(["theta"], [vector])
            from autobp.compiler.derivatives.sparse import sparse_jacobian

            return sparse_jacobian(executable, by, n, vector, arrays)
        xp = namespace(vector)
        if n == 0:
            found = like(vector, np.zeros((*samples, q, 0)))
        elif _by_columns(n, q):
            found = made_of(executable, Wanted("columns", by))(vector, arrays)[1]
        else:
            made = made_of(executable, Wanted("pulled", by))
            units = [like(vector, _unit(q, k, samples)) for k in range(q)]
            found = xp.stack([made(vector, [*arrays, unit])[1] for unit in units], axis=-2)
        whole: Floats = xp.reshape(found, (*samples, *shape, *_shape(executable, by)))
        return whole

    def jvp(self, theta: ArrayLike, v: ArrayLike, *arguments: ArrayLike, wrt: str = "theta") -> Floats:
        """The outputs' derivative in the direction v, which is (n,) or of the argument's shape; (m, …).

        Raises as :meth:`jacobian` does, and ValueError where v has another shape.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "jvp", False)
        by = self._by(wrt)
        found = self._product(executable, Wanted("jvp", by), vector, arrays, v, (), flat=True)
        shape = executable.result_shape
        assert shape is not None
        samples = _samples(arrays)
        shaped: Floats = namespace(vector).reshape(found, (*samples, *shape))
        return shaped

    def vjp(self, theta: ArrayLike, w: ArrayLike, *arguments: ArrayLike, wrt: str = "theta") -> Floats:
        """The derivatives of Σ w·outputs, w of the shape of the outputs (m, …): (n,), or as the argument.

        Raises as :meth:`jvp` does.
        """
        executable, vector, arrays = self._prepared(theta, arguments, "vjp", False)
        by = self._by(wrt)
        samples = _samples(arrays)
        shape = executable.result_shape
        assert shape is not None
        xp = namespace(vector)
        given = _checked("w", w, (*samples, *shape), "the outputs'", vector)
        weights = xp.reshape(given, (*samples, -1))
        found = made_of(executable, Wanted("vjp", by))(vector, [*arrays, weights])[1]
        shaped: Floats = xp.reshape(found, arrays[by - 1].shape if by else found.shape)
        return shaped

    def source_of(self, name: str, wrt: str = "theta", language: Literal["numpy", "c"] = "numpy") -> str:
        """The program of a derivative, "hessian", "jvp" …, as a NumPy module that runs on its own, or as C.

        What it returns first is the cost, or the outputs. A vector is its last argument.

        Raises ValueError before the trace, and where there is no derivative of that name or no such language.
        """
        if language not in ("numpy", "c"):
            raise ValueError(f"language must be 'numpy' or 'c'; got {language!r}")
        made = self._made(name, wrt)
        return made.source if language == "numpy" else made.c_source

    def _made(self, name: str, wrt: str) -> Made:
        executable = self._executable()
        by = self._by(wrt)
        outputs = executable.result_shape is not None
        kinds = ("jacobian", "jvp", "vjp") if outputs else ("hessian", "hvp", "rows")
        if name not in kinds:
            raise ValueError(f"there is no derivative {name!r} of this step; there are {', '.join(kinds)}")
        if name == "jacobian":
            q = int(np.prod(executable.result_shape or ()))
            name = "columns" if _by_columns(_size(executable, by), q) else "pulled"
        if name == "hessian" and _size(executable, by) > _WHOLE:
            return made_of(executable, Wanted("hvp", by, _COLUMNS))
        return made_of(executable, Wanted(name, by))

    # ---------------------------------------------------------------------------------------- arguments

    def _weights(self, weights: ArrayLike | None, arrays: Sequence[Floats]) -> list[Floats]:
        """The weights of rows, as one more argument; none where there are none."""
        if weights is None:
            return []
        if not arrays:
            raise ValueError("weights are of rows, and this step has no arguments with rows")
        return [_checked("weights", weights, (arrays[0].shape[0],), "one number for each row", arrays[0])]

    def _prepared(
        self, theta: ArrayLike, arguments: Sequence[ArrayLike], name: str, of_cost: bool
    ) -> tuple[Executable, Floats, list[Floats]]:
        vector: Any
        arrays: Any
        if is_elsewhere(theta, arguments):
            executable, place = self._placed(theta, arguments)
            if place is None:
                raise TypeError(
                    f"{name} is not computed block by block; give theta and the data as NumPy's arrays"
                )
            vector, arrays = theta, list(arguments)
        else:
            executable, vector, arrays = self._prepare(theta, arguments)
        if (executable.result_shape is None) != of_cost:
            kinds = ("a cost", "hessian, hvp and rows"), ("outputs", "jacobian, jvp and vjp")
            (wanted, _), (given, there) = kinds if of_cost else kinds[::-1]
            raise TypeError(f"{name} is for {wanted}; this step gives {given}, and has {there} instead")
        return executable, vector, arrays

    def _by(self, wrt: str) -> int:
        names = ["theta", *self._names]
        if wrt not in names:
            raise ValueError(f"wrt must be one of {', '.join(map(repr, names))}; got {wrt!r}")
        return names.index(wrt)

    def _product(
        self,
        executable: Executable,
        wanted: Wanted,
        theta: Floats,
        arrays: Sequence[Floats],
        v: ArrayLike,
        weights: Sequence[Floats],
        flat: bool = False,
    ) -> Floats:
        """A derivative times a vector of the shape of theta or an argument."""
        by = wanted.by
        shape = arrays[by - 1].shape if by else theta.shape
        direction = _checked("v", v, shape, f"{['theta', *self._names][by]}'s", theta)
        xp = namespace(theta)
        if by:
            direction = xp.reshape(direction, (direction.shape[0], -1))
        found: Floats = made_of(executable, wanted)(theta, [*arrays, *weights, direction])[1]
        return found if flat else xp.reshape(found, shape)


def made_of(executable: Executable, wanted: Wanted) -> Made:
    """The function of a derivative."""
    from autobp.compiler.derivatives import made  # which most steps never need

    return made.made_of(executable, wanted)


def _samples(arrays: Sequence[Floats]) -> Shape:
    """(m,), or () where there are no arguments with rows."""
    return (arrays[0].shape[0],) if arrays else ()


def _by_columns(n: int, q: int) -> bool:
    """Whether a Jacobian is made by forward mode, in one pass for n columns, or in q passes backwards."""
    return n <= 2 * q


def _checked(name: str, x: ArrayLike, shape: Shape, whose: str, beside: Any) -> Floats:
    """An argument of a shape, an array of the library that the one beside it is of."""
    if is_foreign(x) or is_foreign(beside):
        place_of(beside, [x], [name])
    array: Any = x if is_foreign(x) else floats(name, x)
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}; it must have {whose}: {shape}")
    checked: Floats = array
    return checked


def _shape(executable: Executable, by: int) -> Shape:
    signature = executable.signature
    return tuple(signature.samples[by - 1]) if by else (len(signature.labels),)


def _size(executable: Executable, by: int) -> int:
    return int(np.prod(_shape(executable, by)))


def _unit(n: int, k: int, samples: tuple[int, ...]) -> Floats:
    unit = np.zeros(n)
    unit[k] = 1.0
    return np.broadcast_to(unit, (*samples, n))
