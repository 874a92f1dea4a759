"""The mean where the sum over the samples is too large for a number, though their mean is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autobp.ir import Floats


def mean_of_parts(mean: Callable[[Sequence[Floats]], Floats], arrays: Sequence[Floats]) -> Floats | None:
    """The mean over the rows of some arrays from the means over halves of them, halved as long as need be.

    Args:
        mean: the mean over some rows, a vector whose first element is the cost. It is not finite for all.

    Returns:
        None where a single row's cost is not finite: no order of addition helps then. That is found out in
        as many calls of ``mean`` as the rows can be halved.
    """
    m = len(arrays[0])
    if m == 1:
        alone = mean(arrays)
        return alone if np.isfinite(alone[0]) else None
    total: Floats | None = None
    for part in (slice(0, m // 2), slice(m // 2, m)):
        rows = [array[part] for array in arrays]
        found: Floats | None = mean(rows)
        if found is None or not np.isfinite(found).all():
            found = mean_of_parts(mean, rows)
        if found is None:
            return None
        share = found * (len(rows[0]) / m)
        total = share if total is None else total + share
    return total
