"""The estimators: scikit-learn's names for what a network is made of and what it learned."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from autobp.nn import MLP
from autobp.optim import OPTIMIZERS, Optimizer
from autobp.sklearn.descent import Course, Objective, Samples, lbfgs, run_epoch
from autobp.sklearn.parameters import activation_name, check_parameters, checked_weights, hidden_layers
from autobp.sklearn.programs import Form, Inputs, dense, initial_theta, layers, outputs

Array = NDArray[np.float64]
Kind = TypeVar("Kind", bound="MLPEstimator")

_LARGEST_BATCH = 200


class MLPEstimator(BaseEstimator):
    """What classifier and regressor share.

    Args:
        hidden_layer_sizes: the number of neurons in each hidden layer; () for none.
        activation: of the hidden layers, any that :class:`autobp.MLP` knows by name; scikit-learn's
            "logistic" and "identity" too.
        solver: "adam", "sgd" (with momentum), "adamw", "rmsprop", or "lbfgs" on all samples at once.
        alpha: α of the penalty α/(2m) Σ w² over the weights, at least 0.
        batch_size: samples a step; "auto" is 200, or all where they are fewer.
        learning_rate_init: above 0.
        momentum: of "sgd", from 0 to below 1.
        max_iter: epochs at most, or iterations of "lbfgs", at least 1.
        shuffle: whether each epoch takes the samples in another order.
        random_state: for the weights, the order, and the samples set apart.
        tol: an epoch is better where its cost, or its score on samples set apart, is so much better.
        n_iter_no_change: end after so many epochs that are not, at least 1.
        early_stopping: whether to set samples apart, and to keep the parameters with the best score on them.
        validation_fraction: the part to set apart, above 0 and below 1.
        warm_start: whether ``fit`` goes on from what was learned.
        verbose: whether to print each epoch's cost.
    """

    coefs_: list[Array]
    intercepts_: list[Array]
    loss_curve_: list[float]

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        momentum: float = 0.9,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.verbose = verbose

    # -- what they differ in ------------------------------------------------------------------------------

    @abstractmethod
    def _targets(self, y: Any, classes: Any, reset: bool) -> Array:
        """The targets as the cost takes them, (m, K)."""

    @abstractmethod
    def _cost(self) -> str:
        """The name of the cost for the targets seen."""

    @abstractmethod
    def _score_of(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        """How good outputs are, at most 1: accuracy or R²."""

    # -- training -----------------------------------------------------------------------------------------

    def fit(self, X: Inputs, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Train from new weights, or from the old ones with ``warm_start``.

        Args:
            X: the inputs, (m, n), an array, a frame or a sparse matrix, of which each batch is made dense.
            y: the targets, (m,); (m, K) for several quantities.
            sample_weight: how often each sample counts, (m,), at least 0; 0 leaves it out.

        Returns:
            The estimator.
        """
        known = self.warm_start and hasattr(self, "theta_")
        samples = self._samples(X, y, sample_weight, None, not known)
        self._go_on(samples) if known else self._begin(samples)
        self._forget_the_course()
        if self.solver == "lbfgs":
            self._fit_by_lbfgs(samples)
        else:
            self._fit_by_epochs(samples)
        return self

    def _partial_fit(self, X: Inputs, y: ArrayLike, classes: Any, sample_weight: ArrayLike | None) -> Any:
        if self.solver == "lbfgs":
            raise AttributeError("lbfgs takes all samples at once: for partial_fit, take another solver")
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: it sees no sample twice")
        first = not hasattr(self, "theta_")
        samples = self._samples(X, y, sample_weight, classes, first)
        if first:
            self._begin(samples)
            self._forget_the_course()
        else:
            self._go_on(samples)
        objective = Objective(self._form, samples, self.alpha)
        self._run(objective, 1, None)
        return self

    def _samples(
        self, X: Inputs, y: ArrayLike, sample_weight: ArrayLike | None, classes: Any, reset: bool
    ) -> Samples:
        """The samples as arrays, those of weight 0 left out."""
        check_parameters(self)
        rows: Inputs
        rows, told = validate_data(
            self, X, y, reset=reset, dtype=np.float64, multi_output=True, accept_sparse="csr"
        )
        if told.ndim == 2 and told.shape[1] == 1:
            told = column_or_1d(told, warn=True)
        Y = self._targets(told, classes, reset)
        weights = None
        if sample_weight is not None:
            weights = checked_weights(sample_weight, rows.shape[0])
            counted = weights > 0
            if not counted.any():
                raise ValueError("every sample_weight is zero; there is nothing to learn from")
            rows, Y, weights = rows[counted], Y[counted], weights[counted]
        return Samples(rows, Y, weights)

    def _begin(self, samples: Samples) -> None:
        """New weights for these samples, and an optimiser that has seen none."""
        self._rng = check_random_state(self.random_state)
        self._form = self._asked_for(samples)
        self.theta_ = initial_theta(self._form, self._rng)
        self._optimizer, self._optimized_by = self._new_optimizer(), (self.solver, self.momentum)
        self.n_outputs_ = self._form.sizes[-1]
        self.n_layers_ = len(self._form.sizes)
        self.t_ = 0

    def _go_on(self, samples: Samples) -> None:
        """From what was learned; ValueError where the parameters have come to ask for another network."""
        asked = self._asked_for(samples)
        if asked != self._form:
            raise ValueError(
                f"what was learned is a network of the sizes {self._form.sizes}, {self._form.activations}; "
                f"hidden_layer_sizes and activation ask for {asked.sizes}, {asked.activations}: "
                "set them back, or fit a clone of the estimator"
            )
        if self._optimized_by != (self.solver, self.momentum):
            self._optimizer, self._optimized_by = self._new_optimizer(), (self.solver, self.momentum)

    def _asked_for(self, samples: Samples) -> Form:
        """The network that the parameters say, for these samples."""
        sizes = (samples.X.shape[1], *map(int, hidden_layers(self.hidden_layer_sizes)), samples.Y.shape[1])
        hidden = [activation_name(self.activation)] * (len(sizes) - 2)
        return Form(sizes, (*hidden, "linear"), self._cost())

    def _new_optimizer(self) -> Optimizer | None:
        if self.solver == "lbfgs":
            return None
        parameters = self._form.network().parameters()
        if self.solver == "sgd":
            return OPTIMIZERS["sgd"](parameters, self.learning_rate_init, momentum=self.momentum)  # type: ignore[call-arg]
        return OPTIMIZERS[self.solver](parameters, self.learning_rate_init)

    def _forget_the_course(self) -> None:
        self.loss_curve_ = []
        self.n_iter_ = 0
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = None

    def _fit_by_lbfgs(self, samples: Samples) -> None:
        objective = Objective(self._form, replace(samples, X=dense(samples.X)), self.alpha)
        found = lbfgs(self.theta_, objective, self.max_iter, self.tol)
        self.theta_, self.loss_, self.n_iter_, converged = found
        self.loss_curve_, self.best_loss_ = [self.loss_], self.loss_
        if not converged:
            self._warn_of_the_end()
        self._tell()

    def _fit_by_epochs(self, samples: Samples) -> None:
        apart = None
        if self.early_stopping:
            samples, apart = self._set_apart(samples)
        course = self._run(Objective(self._form, samples, self.alpha), self.max_iter, apart)
        if course.waited < self.n_iter_no_change:
            self._warn_of_the_end()
        if apart is not None:
            self.validation_scores_, self.best_validation_score_ = course.scores, course.best_score
            self.best_loss_ = None
            assert course.best_theta is not None  # an epoch has been run
            self.theta_ = course.best_theta
            self._tell()

    def _warn_of_the_end(self) -> None:
        warnings.warn(
            f"max_iter={self.max_iter} is reached, and the training has not converged", ConvergenceWarning,
            stacklevel=4,
        )  # fmt: skip

    def _set_apart(self, samples: Samples) -> tuple[Samples, Samples]:
        """The samples to train on, and those to stop by, of each class in proportion."""
        rows = np.arange(len(samples.Y))
        stratify = self._strata(samples.Y)
        trained, held = train_test_split(
            rows, test_size=self.validation_fraction, random_state=self._rng, stratify=stratify
        )

        def of(which: NDArray[np.int64]) -> Samples:
            weights = None if samples.weights is None else samples.weights[which]
            return Samples(samples.X[which], samples.Y[which], weights)

        return of(trained), of(held)

    def _strata(self, Y: Array) -> Any:
        return None

    def _run(self, objective: Objective, epochs: int, apart: Samples | None) -> Course:
        """So many epochs at most; what they came to is the estimator's."""
        m = len(objective.samples.Y)
        size = min(_LARGEST_BATCH, m) if self.batch_size == "auto" else min(int(self.batch_size), m)
        course = Course(self.theta_, best_cost=self.best_loss_ if self.best_loss_ is not None else np.inf)
        optimizer = self._optimizer if self._optimizer is not None else self._new_optimizer()
        assert optimizer is not None  # lbfgs does not come here
        optimizer.lr = float(self.learning_rate_init)
        for _ in range(epochs):
            cost = run_epoch(course, objective, optimizer, size, self._rng if self.shuffle else None)
            score = None
            if apart is not None:
                score = self._score_of(outputs(self._form, course.theta, apart.X), apart.Y, apart.weights)
            course.see(cost, score, self.tol)
            if self.verbose:
                told = "" if score is None else f", score {score:.4f}"
                print(f"epoch {len(course.costs)}: cost {cost:.6g}{told}")
            if course.waited >= self.n_iter_no_change:
                break
        self._optimizer, self.theta_ = optimizer, course.theta
        self.loss_curve_ += course.costs
        self.n_iter_ += len(course.costs)
        self.t_ += len(course.costs) * m
        self.loss_, self.best_loss_ = course.costs[-1], course.best_cost
        self._tell()
        return course

    def _tell(self) -> None:
        """The weights as scikit-learn has them, (inputs, outputs) and (outputs,) for each layer."""
        views = layers(self._form, self.theta_)
        self.coefs_ = [view[:, :-1].T.copy() for view in views]
        self.intercepts_ = [view[:, -1].copy() for view in views]

    # -- answers ------------------------------------------------------------------------------------------

    def _outputs(self, X: Inputs) -> Array:
        check_is_fitted(self)
        inputs = validate_data(self, X, reset=False, dtype=np.float64, accept_sparse="csr")
        return outputs(self._form, self.theta_, inputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def network_(self) -> MLP:
        """What was learned as a network: a new :class:`autobp.MLP` each time, its output linear."""
        check_is_fitted(self)
        return self._form.network(self.coefs_, self.intercepts_)


def _with_the_settings(estimator: type[Kind]) -> type[Kind]:
    """The class with what the parameters are in its docstring, which is where scikit-learn's users look."""
    settings = (MLPEstimator.__doc__ or "").partition("    Args:")[2]
    estimator.__doc__ = f"{(estimator.__doc__ or '').rstrip()}\n\n    Args:{settings}"
    return estimator


@_with_the_settings
class MLPClassifier(ClassifierMixin, MLPEstimator):  # type: ignore[misc]
    """A classifier: a network whose outputs are the logits of the classes.

    It minimises the cross-entropy of softmax, or of a sigmoid for two classes.

    Attributes:
        classes_: the classes, in the order of ``predict_proba``'s columns.
        coefs_, intercepts_: the weights, (inputs, outputs), and biases of each layer.
        network_: the network, an :class:`autobp.MLP`; its outputs are logits.
        loss_, best_loss_, loss_curve_, n_iter_: the last cost, the lowest, all, and how many epochs.
        validation_scores_, best_validation_score_: with early stopping, the accuracy after each epoch.
        n_features_in_, n_outputs_, n_layers_, t_: sizes, and how many samples were seen.
    """

    classes_: NDArray[Any]

    def partial_fit(
        self,
        X: Inputs,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> MLPClassifier:
        """One epoch on these samples, from what was learned.

        Args:
            X, y, sample_weight: as for ``fit``.
            classes: all that there will be; needed in the first call, where y has not all of them.
        """
        self._partial_fit(X, y, classes, sample_weight)
        return self

    def decision_function(self, X: Inputs) -> Array:
        """The logits, (m, K), or of the second of two classes, (m,)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def predict(self, X: Inputs) -> NDArray[Any]:
        """The likeliest class of each row, (m,)."""
        numbers = _likeliest(self._outputs(X))
        return np.asarray(self.classes_[numbers])

    def predict_log_proba(self, X: Inputs) -> Array:
        """The logarithms of the probabilities, (m, K), also where these are too small for a number."""
        logits = self._outputs(X)
        if logits.shape[1] == 1:
            return -np.hstack([np.logaddexp(0.0, logits), np.logaddexp(0.0, -logits)])
        shifted = logits - logits.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    def predict_proba(self, X: Inputs) -> Array:
        """The probability of each class, (m, K)."""
        return np.asarray(np.exp(self.predict_log_proba(X)))

    def _targets(self, y: Any, classes: Any, reset: bool) -> Array:
        missing = [row for row, told in enumerate(y) if told is None] if y.dtype == object else []
        if missing:
            raise ValueError(
                f"y has no class in row {missing[0]}: leave such samples out, or name one for them"
            )
        check_classification_targets(y)
        if y.ndim != 1:
            raise ValueError(f"y has one class a sample, (m,); got {type_of_target(y)} of shape {y.shape}")
        if reset:
            self.classes_ = np.unique(y if classes is None else np.asarray(classes))
            if len(self.classes_) < 2:
                raise ValueError(f"a classifier needs two classes; got one class, {self.classes_[0]!r}")
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise ValueError(f"classes are {self.classes_} since the first call; got {classes}")
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            raise ValueError(
                f"y has classes that are not among {self.classes_}: {strange}; partial_fit takes all that "
                "there will be as classes= in its first call"
            )
        numbers = np.searchsorted(self.classes_, y)
        if len(self.classes_) == 2:
            return np.asarray(numbers[:, None], dtype=np.float64)
        return np.asarray(np.eye(len(self.classes_))[numbers])

    def _cost(self) -> str:
        return "binary_cross_entropy_with_logits" if len(self.classes_) == 2 else "softmax_cross_entropy"

    def _score_of(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        wanted = Y[:, 0] > 0.5 if Y.shape[1] == 1 else Y.argmax(axis=1)
        return float(np.average(_likeliest(outputs) == wanted, weights=weights))

    def _strata(self, Y: Array) -> Any:
        return Y[:, 0] if Y.shape[1] == 1 else Y.argmax(axis=1)


def _likeliest(logits: Array) -> NDArray[np.int64]:
    """The number of the class with the highest logit; a single one is that of the second class."""
    return np.asarray((logits[:, 0] > 0).astype(np.int64) if logits.shape[1] == 1 else logits.argmax(axis=1))


@_with_the_settings
class MLPRegressor(RegressorMixin, MLPEstimator):  # type: ignore[misc]
    """A regressor: a network whose outputs are quantities.

    It minimises the quadratic cost, half the squared distance of outputs and targets.

    Attributes:
        coefs_, intercepts_: the weights, (inputs, outputs), and biases of each layer.
        network_: the network, an :class:`autobp.MLP`.
        loss_, best_loss_, loss_curve_, n_iter_: the last cost, the lowest, all, and how many epochs.
        validation_scores_, best_validation_score_: with early stopping, R² after each epoch.
        n_features_in_, n_outputs_, n_layers_, t_: sizes, and how many samples were seen.
    """

    def partial_fit(self, X: Inputs, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """One epoch on these samples, from what was learned; arguments as for ``fit``."""
        self._partial_fit(X, y, None, sample_weight)
        return self

    def predict(self, X: Inputs) -> Array:
        """The quantities of each row, (m,), or (m, K) where it was trained on several."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._one_dimensional else outputs

    def _targets(self, y: Any, classes: Any, reset: bool) -> Array:
        try:
            Y = np.asarray(y, dtype=np.float64)
        except ValueError as error:
            raise ValueError(
                f"a regressor's targets are numbers; MLPClassifier takes classes: {error}"
            ) from None
        if reset:
            self._one_dimensional = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        if not reset and Y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {Y.shape[1]} targets, and {self.n_outputs_} before")
        return Y

    def _cost(self) -> str:
        return "quadratic"

    def _score_of(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        mean = np.average(Y, axis=0, weights=weights)
        unexplained = np.average((outputs - Y) ** 2, axis=0, weights=weights)
        variance = np.average((Y - mean) ** 2, axis=0, weights=weights)
        return float(np.mean(1 - unexplained / np.where(variance > 0, variance, 1.0)))
