"""Data to learn from, by name, from a file or a frame: split, scaled and with targets as the costs take them.

>>> data = load("digits")
>>> data.X.shape, data.Y.shape, data.X_test.shape
((1347, 64), (1347, 10), (450, 64))

The collected sets are those that scikit-learn carries; nothing is downloaded.
"""

from autobp.datasets.dataset import Dataset
from autobp.datasets.dialect import Dialect
from autobp.datasets.loading import load, names
from autobp.datasets.tables import MISSING_CHOICES
from autobp.datasets.targets import MOST_CLASSES, TASKS

__all__ = ["MISSING_CHOICES", "MOST_CLASSES", "TASKS", "Dataset", "Dialect", "load", "names"]
