"""What data say of parameters: their covariance from a Jacobian or a Hessian, and flat directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
#: A direction in which the columns of a Jacobian, each of the length 1, add up to less than this is flat.
_FLAT = 1e-13


@dataclass(frozen=True)
class Information:
    """The information matrix RᵀR of k parameters, as the singular values of R with columns of the length 1.

    Attributes:
        lengths: of R's columns, (k,).
        singular: singular values, (r,), the largest first.
        directions: right singular vectors as rows, (r, k).
        left: left singular vectors as columns, (N, r).
    """

    lengths: Array
    singular: Array
    directions: Array
    left: Array

    @property
    def is_flat(self) -> NDArray[np.bool_]:
        """For each direction whether nothing is known along it."""
        if len(self.singular) == 0:
            return np.zeros(0, dtype=bool)
        bound = max(_FLAT, 4.0 * len(self.lengths) * _EPSILON) * max(float(self.singular[0]), _EPSILON)
        return np.asarray(self.singular <= bound)

    @property
    def inverse(self) -> Array:
        """(RᵀR)⁻¹ without the flat directions, (k, k); infinite variances of what has a part in those."""
        known = ~self.is_flat
        scaled = self.directions[known] / self.singular[known, None]
        inverse = (scaled.T @ scaled) / np.outer(self.lengths, self.lengths)
        for direction in self.directions[~known]:
            touched = _touched(direction)
            inverse[touched, :] = inverse[:, touched] = math.nan
            inverse[touched, touched] = math.inf
        return np.asarray(inverse)

    def along(self, right: Array) -> Array:
        """The parts of a vector of R's rows along the directions that are known."""
        return np.asarray(self.left[:, ~self.is_flat].T @ right)

    def flat_directions(self, names: Sequence[str]) -> tuple[str, ...]:
        """Each flat direction in words: how much the parameters change along it, the largest by 1."""
        found = []
        for direction in self.directions[self.is_flat]:
            step = direction / self.lengths
            step = step / step[np.argmax(np.abs(step))]
            terms = [
                f"{part:+.4g}·{name}"
                for part, name, touched in zip(step, names, _touched(direction), strict=True)
                if touched
            ]
            found.append(" ".join(terms).lstrip("+"))
        return tuple(found)


def _touched(direction: Array) -> NDArray[np.bool_]:
    """Which parameters have a part in a direction, whatever units they are in: columns have the length 1."""
    return np.asarray(np.abs(direction) > 1e-6)


def information(root: Array) -> Information:
    """Of R, (N, k). A column of zeros has the length 1."""
    lengths = np.sqrt((root * root).sum(axis=0))
    lengths[lengths == 0.0] = 1.0
    k = root.shape[1]
    rows = root / lengths
    if len(rows) < k:  # so that there is a direction for each parameter
        rows = np.vstack([rows, np.zeros((k - len(rows), k))])
    left, singular, directions = np.linalg.svd(rows, full_matrices=False)
    return Information(lengths, singular, directions, left[: len(root)])


def root_of(hessian: Array) -> tuple[Array, bool]:
    """R with RᵀR = a symmetric matrix, and whether there is one: no direction along which it is negative.

    The matrix is scaled by its diagonal before, so that parameters may be of any size.
    """
    scale = np.sqrt(np.abs(np.diag(hessian)))
    scale[scale == 0.0] = 1.0
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    largest = max(float(np.abs(values).max()), _EPSILON)
    ok = bool((values >= -1e-10 * largest).all())
    return np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T * scale, ok
