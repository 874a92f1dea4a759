"""The sets that go by a name: collected ones, which scikit-learn carries, and made ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobp.datasets.dataset import Table

Array = NDArray[np.float64]


def _scikit_learn() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            'this data set comes with scikit-learn; install it with: pip install "autobp[examples]"'
        ) from error
    return datasets


#: name -> (scikit-learn's loader, what the targets are)
COLLECTED = {
    "breast_cancer": ("load_breast_cancer", "diagnosis"),
    "diabetes": ("load_diabetes", "progression"),
    "digits": ("load_digits", "digit"),
    "iris": ("load_iris", "species"),
    "wine": ("load_wine", "cultivar"),
}


def collected(name: str) -> Table:
    """A collected set; ImportError where scikit-learn is not installed."""
    loader, target = COLLECTED[name]
    bunch = getattr(_scikit_learn(), loader)()
    classes = tuple(str(c) for c in bunch.target_names) if "target_names" in bunch else ()
    table = Table(
        name,
        np.asarray(bunch.data, dtype=np.float64),
        np.asarray(bunch.target, dtype=np.float64),
        tuple(str(n) for n in bunch.feature_names),
        classes,
        target,
    )
    if name == "digits":
        table.scale, table.image_shape = 16.0, (8, 8)  # a pixel counts the dark ones of 4×4, from 0 to 16
    return table


def _moons(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    X, labels = _scikit_learn().make_moons(m, noise=noise, random_state=seed)
    return X, labels


def _circles(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    X, labels = _scikit_learn().make_circles(m, noise=noise, factor=0.4, random_state=seed)
    return X, labels


def _xor(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    """A cloud around each corner (±1, ±1), in turn; class 1 where the signs differ."""
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    corner = np.arange(m) % 4
    X = corners[corner] + noise * np.random.default_rng(seed).standard_normal((m, 2))
    return X, np.isin(corner, (1, 2)).astype(float)


def _spirals(m: int, noise: float, seed: int) -> tuple[Array, Array]:
    """Two arms of one and a half turns around each other, out to radius 1."""
    labels = (np.arange(m) % 2).astype(float)
    rng = np.random.default_rng(seed)
    radius = np.sqrt(rng.uniform(0.02, 1.0, m))  # its square is uniform: as dense outside as inside
    angle = 3 * np.pi * radius + np.pi * labels
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return X + noise * rng.standard_normal((m, 2)), labels


#: name -> (maker of (m, noise, seed), the noise where none is asked for)
MADE: dict[str, tuple[Callable[[int, float, int], tuple[Array, Array]], float]] = {
    "circles": (_circles, 0.1),
    "moons": (_moons, 0.15),
    "spirals": (_spirals, 0.02),
    "xor": (_xor, 0.3),
}


def made(name: str, samples: int | None, noise: float | None, seed: int) -> Table:
    """A made set; ValueError where samples (200 if left out) or noise are out of range."""
    make, usual_noise = MADE[name]
    m = 200 if samples is None else samples
    scatter = usual_noise if noise is None else noise
    if m < 4:
        raise ValueError(f"{name} needs at least 4 samples; got samples = {m}")
    if not (scatter >= 0 and math.isfinite(scatter)):
        raise ValueError(f"noise is a standard deviation, at least 0 and finite; got {noise!r}")
    X, labels = make(m, scatter, seed)
    return Table(
        name, np.asarray(X, dtype=np.float64), labels.astype(np.float64), ("x1", "x2"), ("0", "1"), scale=1.0
    )
