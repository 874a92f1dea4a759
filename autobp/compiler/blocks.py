"""Steps on Dask arrays: cost and gradient by blocks of rows, where the blocks are, added up in a tree."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from autobp.compiler.arrays import floats
from autobp.ir import Floats

if TYPE_CHECKING:
    from autobp.compiler.step import Step

_AT_ONCE = 8  # sums that are added in one task
_KEPT = 8  # steps that a worker keeps


def in_blocks(arguments: Sequence[Any]) -> bool:
    """Whether one of the arguments is a Dask array."""
    return any(type(x).__module__.partition(".")[0] == "dask" for x in arguments)


def check_rows_are_known(names: Sequence[str], arguments: Sequence[Any]) -> None:
    """Raise ValueError where Dask does not know how many rows an array has."""
    for name, x in zip(names, arguments, strict=True):
        if in_blocks([x]) and any(n != n for n in x.shape):
            raise ValueError(f"the rows of {name} are not counted yet: call its compute_chunk_sizes() first")


def run_in_blocks(
    step: Step, theta: Floats, arguments: Sequence[Any], names: Sequence[str], scalar: bool, gradient: bool
) -> Any:
    """What a step gives for Dask arrays of rows: (cost, gradient), or outputs as a Dask array, by blocks.

    A block's cost is the mean over its rows; the mean of all is theirs weighted by their rows. Dask's
    scheduler in use computes it, of threads, processes or a cluster; the step travels to each worker once.

    The arguments have as many rows as one another, and these are known (:func:`check_rows_are_known`).
    """
    import dask

    blocks = rows_together(arguments, names)
    there = dask.delayed(_Sent(step), pure=False, traverse=False)
    if not scalar:
        return _outputs(step, there, theta, blocks)
    one = dask.delayed(_cost_and_gradient if gradient else _cost, pure=False)
    parts = zip(*[x.to_delayed().ravel() for x in blocks], strict=True)
    sums = [one(there, theta, *part) for part in parts]
    add = dask.delayed(_added, pure=False)
    while len(sums) > 1:
        sums = [add(sums[i : i + _AT_ONCE]) for i in range(0, len(sums), _AT_ONCE)]
    total = sums[0].compute()
    mean = total[1:] / total[0]
    return (float(mean[0]), mean[1:]) if gradient else float(mean[0])


def rows_together(arguments: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Dask arrays with the rows of the first that is one in the same blocks, and each row in one block.

    No block is empty.
    """
    import dask.array

    chunks = next(x.chunks[0] for x in arguments if in_blocks([x]))
    rows = tuple([m for m in chunks if m])
    found = []
    for name, x in zip(names, arguments, strict=True):
        array = x if in_blocks([x]) else dask.array.from_array(floats(name, x))
        found.append(array.rechunk((rows, *[-1] * (array.ndim - 1))))
    return found


def _outputs(step: Step, there: Any, theta: Floats, blocks: Sequence[Any]) -> Any:
    import dask
    import dask.array

    one = dask.delayed(_value, pure=False)
    shape = step.program.result_shape
    assert shape is not None
    parts = zip(blocks[0].chunks[0], zip(*[x.to_delayed().ravel() for x in blocks], strict=True), strict=True)
    return dask.array.concatenate(
        [dask.array.from_delayed(one(there, theta, *part), (m, *shape), float) for m, part in parts]
    )


# What workers do: functions of this module, so that they are sent by name.


class _Sent:
    """A step on its way to workers: it is read once in each process, however often it is sent there."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def __reduce__(self) -> tuple[Any, ...]:
        import cloudpickle

        return _received, (cloudpickle.dumps(self.step),)


@lru_cache(maxsize=_KEPT)
def _received(sent: bytes) -> _Sent:
    return _Sent(pickle.loads(sent))


def _cost_and_gradient(there: _Sent, theta: Floats, *block: Floats) -> Floats:
    cost, gradient = there.step(theta, *block)
    m = len(block[0])
    return np.array([m, m * cost, *(m * gradient)])


def _cost(there: _Sent, theta: Floats, *block: Floats) -> Floats:
    m = len(block[0])
    return np.array([m, m * there.step.value(theta, *block)])


def _value(there: _Sent, theta: Floats, *block: Floats) -> Any:
    return there.step.value(theta, *block)


def _added(sums: Sequence[Floats]) -> Floats:
    total: Floats = np.sum(sums, axis=0)
    return total


