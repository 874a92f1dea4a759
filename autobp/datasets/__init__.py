"""Data to learn from, by name or from a CSV file: split, scaled and with targets as the costs take them.

>>> data = load("digits")
>>> data.X.shape, data.Y.shape, data.X_test.shape
((1347, 64), (1347, 10), (450, 64))

The collected sets are those that scikit-learn carries; nothing is downloaded.
"""

from autobp.datasets.csv_files import MOST_CLASSES, TASKS
from autobp.datasets.dataset import Dataset
from autobp.datasets.loading import load, names

__all__ = ["MOST_CLASSES", "TASKS", "Dataset", "load", "names"]
