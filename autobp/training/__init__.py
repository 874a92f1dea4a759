"""Training: mini-batches, an optimiser, progress, and what happened epoch by epoch.

In: a network, samples as arrays, a cost (:mod:`autobp.costs`) and an optimiser (:mod:`autobp.optim`). Out:
the network's new parameters, a :class:`History`, and numbers that say how good the network is.
"""

from autobp.training.fitting import Diverged, fit
from autobp.training.meaning import answers
from autobp.training.measures import (
    accuracy,
    by_output,
    classes_of,
    mean_cost,
    predict,
    r_squared,
    rmse,
    threshold_of,
)
from autobp.training.progress import History

__all__ = [
    "Diverged", "History", "accuracy", "answers", "by_output", "classes_of", "fit", "mean_cost", "predict",
    "r_squared", "rmse", "threshold_of",
]  # fmt: skip
