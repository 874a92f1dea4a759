"""Networks as scikit-learn's estimators: for Pipeline, GridSearchCV, cross_val_score and the rest of it.

>>> from sklearn.datasets import load_iris
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> X, y = load_iris(return_X_y=True)
>>> model = make_pipeline(StandardScaler(), MLPClassifier((16,), learning_rate_init=0.01, random_state=0))
>>> print(model.fit(X, y).score(X, y) > 0.95)
True

They train on compiled programs, cost and gradient as :func:`autobp.compile` makes them of one sample's graph.
``model.network_`` is what they learned as an :class:`autobp.MLP`, to explain, draw, check and save.
"""

try:
    import sklearn as _scikit_learn  # noqa: F401
except ImportError as error:
    raise ImportError(
        'autobp.sklearn needs scikit-learn; install it with: pip install "autobp[sklearn]"'
    ) from error

from autobp.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
