"""Networks as estimators: autobp.sklearn against scikit-learn's own, with the same settings and epochs.

    python -m benchmarks.estimators
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.harness import timed

SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")
EPOCHS = 100
ROUNDS = 5


def samples(name: str) -> tuple[Any, Any]:
    """The set of that name in scikit-learn, inputs standardised."""
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return StandardScaler().fit_transform(X), y if name != "diabetes" else (y - y.mean()) / y.std()


def fitting(module: str, name: str) -> Callable[[], Callable[[], float]]:
    def prepare() -> Callable[[], float]:
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


def main() -> None:
    """Print, for each set, the median times in turns and how many times autobp's scikit-learn's is."""
    for name in SETS:
        ours = fitting("autobp.sklearn", name)()
        theirs = fitting("sklearn.neural_network", name)()
        rounds = [(ours(), theirs()) for _ in range(ROUNDS)]
        mine, others = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = statistics.median(their / own for own, their in rounds)
        print(f"{name:14} autobp.sklearn {mine:8.0f} ms   scikit-learn {others:8.0f} ms   {ratio:5.2f} times")


if __name__ == "__main__":
    main()
