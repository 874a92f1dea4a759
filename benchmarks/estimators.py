"""Networks as estimators: autobp.sklearn against scikit-learn's own, with the same settings and epochs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Comparison, Contender, Sample, timed

SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")
EPOCHS = 100


def samples(name: str) -> tuple[Any, Any]:
    """The set of that name in scikit-learn, inputs standardised."""
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return StandardScaler().fit_transform(X), y if name != "diabetes" else (y - y.mean()) / y.std()


def fitting(module: str, name: str) -> Callable[[], Sample]:
    def prepare() -> Sample:
        import importlib

        kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
        estimator = getattr(importlib.import_module(module), kind)
        X, y = samples(name)

        def fit() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # not converged, as is asked for
                estimator(max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=0).fit(X, y)

        fit()
        return timed(fit)

    return prepare


COMPARISONS = [
    Comparison(
        f"{name}, {EPOCHS} epochs of the estimator with its defaults",
        (
            Contender("autobp.sklearn", fitting("autobp.sklearn", name)),
            Contender("scikit-learn", fitting("sklearn.neural_network", name), "scikit-learn"),
        ),
        rounds=5,
        reference="autobp.sklearn",
        apart=True,
    )
    for name in SETS
]
