"""autobp.sklearn: estimators as scikit-learn has them, and what they compute."""

import doctest
import pickle
import re
import sys
import tracemalloc
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import scipy.sparse
from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import autobp
import autobp.sklearn
from autobp.sklearn import MLPClassifier, MLPRegressor, programs
from autobp.sklearn.descent import Objective, Samples
from autobp.sklearn.programs import Form, initial_theta, layers

DOCUMENT = (Path(__file__).parents[1] / "docs" / "scikit-learn.md").read_text(encoding="utf-8")


def blobs(m=90, classes=3):
    X = np.random.default_rng(m).normal(size=(m, 4))
    y = np.arange(m) % classes
    return X + 3 * np.eye(4)[y], np.array(["oak", "ash", "elm", "fir"])[y]


@pytest.fixture(autouse=True)
def _calm():
    """Short trainings have not converged, and say so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor()])
def test_scikit_learn_checks_them(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = check_estimator(estimator, on_skip=None)
    assert len(told) > 40
    assert {each["status"] for each in told} <= {"passed", "skipped"}
    reasons = [str(each["exception"]) for each in told if each["status"] == "skipped"]
    missing = ["SCIPY_ARRAY_API is not set"] + ["pandas is not installed"] * (find_spec("pandas") is None)
    assert all(any(reason.startswith(known) for known in missing) for reason in reasons), reasons


# -- what is computed -------------------------------------------------------------------------------------


def cost_by_hand(form, theta, X, Y, weights, alpha):
    """The objective, written out in NumPy."""
    a, squares = X, 0.0
    for i, view in enumerate(layers(form, theta)):
        z = a @ view[:, :-1].T + view[:, -1]
        squares += (view[:, :-1] ** 2).sum()
        a = np.tanh(z) if i < len(form.activations) - 1 else z
    if form.cost == "quadratic":
        costs = 0.5 * ((a - Y) ** 2).sum(axis=1)
    elif form.cost == "softmax_cross_entropy":
        costs = -(Y * (a - np.log(np.exp(a).sum(axis=1, keepdims=True)))).sum(axis=1)
    else:
        p = 1 / (1 + np.exp(-a[:, 0]))
        costs = -(Y[:, 0] * np.log(p) + (1 - Y[:, 0]) * np.log(1 - p))
    return (weights * costs).sum() / weights.sum() + alpha / 2 / weights.sum() * squares


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("cost", "K"), [("quadratic", 2), ("softmax_cross_entropy", 3), ("binary_cross_entropy_with_logits", 1)]
)
def test_the_objective_is_what_it_says_and_its_gradient_by_differences(cost, K, weighted):
    form = Form((4, 5, K), ("tanh", "linear"), cost)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(7, 4))
    Y = np.eye(3)[np.arange(7) % 3][:, :K] if cost != "quadratic" else rng.normal(size=(7, K))
    weights = rng.uniform(0.5, 3, 7) if weighted else None
    theta = initial_theta(form, np.random.RandomState(1))
    value, gradient = Objective(form, Samples(X, Y, weights), 0.7)(theta)
    own = np.ones(7) if weights is None else weights
    assert value == pytest.approx(cost_by_hand(form, theta, X, Y, own, 0.7), rel=1e-12)
    h = 1e-6
    for k in range(0, len(theta), 3):
        step = h * np.eye(len(theta))[k]
        up, down = (cost_by_hand(form, theta + s * step, X, Y, own, 0.7) for s in (1, -1))
        assert gradient[k] == pytest.approx((up - down) / (2 * h), abs=1e-8)


def test_one_step_is_scikit_learns_step():
    """From the same weights, a step of gradient descent without momentum ends where scikit-learn's does."""
    X, y = blobs()
    settings = {"solver": "sgd", "momentum": 0.0, "batch_size": 90, "shuffle": False, "random_state": 0,
                "learning_rate_init": 0.1, "alpha": 0.5, "max_iter": 1, "activation": "tanh"}  # fmt: skip
    theirs = neural_network.MLPClassifier((5,), nesterovs_momentum=False, **settings).fit(X, y)
    ours = MLPClassifier((5,), **settings)
    first = neural_network.MLPClassifier((5,), nesterovs_momentum=False, **settings)
    first.set_params(learning_rate_init=1e-300).fit(X, y)  # a step that goes nowhere: its first weights
    ours.fit(X, y)
    for view, coef, intercept in zip(
        layers(ours._form, ours.theta_), first.coefs_, first.intercepts_, strict=True
    ):
        view[:, :-1], view[:, -1] = coef.T, intercept
    ours._tell()
    ours.partial_fit(X, y)
    theirs_all = [*theirs.coefs_, *theirs.intercepts_]
    for mine, other in zip([*ours.coefs_, *ours.intercepts_], theirs_all, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


def test_probabilities_are_those_of_the_logits():
    for classes in (2, 3):
        X, y = blobs(classes=classes)
        model = MLPClassifier((4,), max_iter=5, random_state=0).fit(X, y)
        logits = model.decision_function(X)
        both = np.stack([0 * logits, logits], axis=1) if classes == 2 else logits
        expected = np.exp(both) / np.exp(both).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(expected), rtol=1e-9, atol=1e-12)
        assert (model.predict(X) == model.classes_[expected.argmax(axis=1)]).all()
        net = model.network_
        outputs = autobp.predict(net, X)
        np.testing.assert_allclose(outputs if classes == 3 else outputs[:, 0], logits, rtol=1e-12, atol=1e-14)


def test_far_logits_keep_their_logarithms():
    X, y = blobs(classes=2)
    model = MLPClassifier((4,), max_iter=2, random_state=0).fit(X, y)
    told = model.predict_log_proba(1e4 * X)
    assert np.isfinite(told).all()
    assert told.min() < -1000


# -- how it is used ---------------------------------------------------------------------------------------


def test_a_weight_of_two_is_a_sample_twice_and_of_zero_none():
    X, y = blobs(30)
    weights = np.arange(30) // 3 % 3
    settings = {"hidden_layer_sizes": (6,), "max_iter": 30, "random_state": 3}
    weighted = MLPClassifier(**settings).fit(X, y, sample_weight=weights)
    rows = np.repeat(np.arange(30), weights)
    repeated = MLPClassifier(**settings).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.theta_, repeated.theta_, rtol=1e-6, atol=1e-9)
    plain = MLPClassifier(**settings).fit(X, y)
    assert np.abs(plain.theta_ - weighted.theta_).max() > 1e-3


def test_parts_add_up_to_epochs():
    X, y = blobs()
    parts = MLPClassifier((6,), random_state=0, shuffle=False)
    for _ in range(4):
        parts.partial_fit(X, y, classes=np.unique(y))
    whole = MLPClassifier((6,), random_state=0, shuffle=False, max_iter=4).fit(X, y)
    np.testing.assert_array_equal(parts.theta_, whole.theta_)
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.t_, parts.n_iter_) == (whole.t_, whole.n_iter_) == (360, 4)
    with pytest.raises(ValueError, match=r"y has classes that are not among .*'yew'"):
        parts.partial_fit(X[:2], ["yew", "oak"])


def test_the_first_part_need_not_have_all_classes():
    X, y = blobs()
    model = MLPClassifier((6,), random_state=0)
    model.partial_fit(X[:1], y[:1], classes=["ash", "elm", "oak"])
    assert model.classes_.tolist() == ["ash", "elm", "oak"]
    assert model.predict_proba(X[:2]).shape == (2, 3)


def test_early_stopping_keeps_the_best():
    X, y = blobs(200)
    y = np.where(np.random.default_rng(1).random(200) < 0.3, "oak", y)
    settings = {"early_stopping": True, "n_iter_no_change": 5, "learning_rate_init": 0.1}
    model = MLPClassifier((30,), random_state=0, **settings)
    model.fit(X, y)
    assert model.n_iter_ < 200
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) - 1 - int(np.argmax(model.validation_scores_)) >= 4
    best = int(np.argmax(model.validation_scores_)) + 1
    assert 1 < best < model.n_iter_
    before, until = (
        MLPClassifier((30,), random_state=0, max_iter=epochs, **settings).fit(X, y)
        for epochs in (best - 1, best)
    )
    np.testing.assert_array_equal(model.theta_, until.theta_)
    assert (model.theta_ != before.theta_).any()
    regressor = MLPRegressor((5,), random_state=0, early_stopping=True, max_iter=5).fit(X, X[:, :2])
    assert len(regressor.validation_scores_) == 5


def test_a_warm_start_goes_on():
    X, y = blobs()
    model = MLPClassifier((6,), random_state=0, max_iter=3, warm_start=True, shuffle=False)
    first = model.fit(X, y).theta_
    on = model.fit(X, y)
    whole = MLPClassifier((6,), random_state=0, max_iter=6, shuffle=False).fit(X, y)
    assert (on.theta_ != first).any()
    np.testing.assert_array_equal(on.theta_, whole.theta_)


def test_what_was_learned_is_not_taken_for_another_network():
    X, y = blobs()
    whole = MLPClassifier((6,), max_iter=2, warm_start=True).fit(X, y)
    parts = MLPClassifier((6,)).partial_fit(X, y)
    for setting in ({"hidden_layer_sizes": (3,)}, {"hidden_layer_sizes": (6, 6)}, {"activation": "tanh"}):
        with pytest.raises(ValueError, match=r"ask for .* or fit a clone"):
            clone(whole).fit(X, y).set_params(**setting).fit(X, y)
        with pytest.raises(ValueError, match=r"ask for .* or fit a clone"):
            pickle.loads(pickle.dumps(parts)).set_params(**setting).partial_fit(X, y)
    before = parts.theta_
    parts.set_params(solver="sgd", momentum=0.0, batch_size=len(X), learning_rate_init=0.5)
    first, gradient = Objective(parts._form, Samples(X, np.eye(3)[np.searchsorted(parts.classes_, y)]), 1e-4)(
        before
    )
    np.testing.assert_allclose(parts.partial_fit(X, y).theta_, before - 0.5 * gradient, rtol=1e-12)
    assert parts.loss_ == pytest.approx(first)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_array"])
@pytest.mark.parametrize(
    "model",
    [
        MLPClassifier((6,), batch_size=20, max_iter=5, early_stopping=True),
        MLPClassifier((6,), solver="lbfgs", max_iter=20),
        MLPRegressor((6,), max_iter=5),
    ],
)
def test_a_sparse_matrix_is_the_array_that_it_stands_for(model, kind, monkeypatch):
    monkeypatch.setattr(programs, "_LARGEST_BLOCK", 13)
    X, y = blobs()
    X[X < 1] = 0
    target = X[:, :2] if isinstance(model, MLPRegressor) else y
    weights = np.arange(len(X)) % 3
    whole = clone(model).set_params(random_state=0).fit(X, target, sample_weight=weights)
    sparse = getattr(scipy.sparse, kind)(X)
    model = clone(model).set_params(random_state=0).fit(sparse, target, sample_weight=weights)
    np.testing.assert_array_equal(model.theta_, whole.theta_)
    np.testing.assert_array_equal(model.predict(sparse), whole.predict(X))
    assert model.score(sparse, target) == whole.score(X, target)


def test_a_large_sparse_matrix_is_never_dense_as_a_whole():
    rng = np.random.default_rng(0)
    sparse = scipy.sparse.random(40_000, 500, density=1e-3, format="csr", random_state=0)  # 160 MB if dense
    y = rng.normal(size=40_000)
    tracemalloc.start()
    try:
        model = MLPRegressor((2,), max_iter=1, random_state=0).fit(sparse, y)
        model.partial_fit(sparse, y).predict(sparse)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_words_become_columns_in_a_pipeline():
    pd = pytest.importorskip("pandas")
    X, y = blobs()
    frame = pd.DataFrame(
        {"size": X[:, 0], "of": pd.Categorical(y), "tree": y}, index=np.arange(len(y))[::-1] + 7
    )
    target = pd.Series(np.where((frame["size"] > 0) & (y != "oak"), "tall", "small"), index=frame.index)
    fitted = []
    for sparse in (0.0, 1.0):
        prepared = ColumnTransformer(
            [("words", OneHotEncoder(), ["of", "tree"]), ("numbers", StandardScaler(), ["size"])],
            sparse_threshold=sparse,
        )
        model = MLPClassifier((6,), learning_rate_init=0.03, random_state=0)
        fitted.append(make_pipeline(prepared, model).fit(frame, target))
        assert scipy.sparse.issparse(fitted[-1][0].transform(frame)) == bool(sparse)
    prepared = clone(fitted[0][0]).set_params(words__sparse_output=False)
    shown = make_pipeline(prepared, clone(fitted[0][-1])).set_output(transform="pandas").fit(frame, target)
    assert shown[-1].feature_names_in_.tolist()[:2] == ["words__of_ash", "words__of_elm"]
    for model in (fitted[1], shown, pickle.loads(pickle.dumps(shown))):
        np.testing.assert_array_equal(model.predict_proba(frame), fitted[0].predict_proba(frame))
    assert shown.score(frame, target) > 0.95
    assert set(shown.predict(frame)) == {"tall", "small"}


def test_the_classes_are_those_of_the_first_part():
    X, y = blobs()
    model = MLPClassifier((6,)).partial_fit(X, y, classes=["oak", "ash", "elm", "fir"])
    assert model.partial_fit(X, y, classes=["fir", "elm", "oak", "ash"]).classes_.tolist() == [
        "ash",
        "elm",
        "fir",
        "oak",
    ]
    with pytest.raises(ValueError, match="since the first call; got"):
        model.partial_fit(X, y, classes=["oak", "ash", "elm"])
    with pytest.raises(ValueError, match=r"\['oak'\]; partial_fit takes all"):
        MLPClassifier((6,)).partial_fit(X[y != "oak"], y[y != "oak"]).partial_fit(X, y)


def test_what_strange_targets_are_told():
    X, y = blobs(12)
    with pytest.raises(ValueError, match="no class in row 1: leave"):
        MLPClassifier().fit(X, np.array([y[0], None, *y[2:]], dtype=object))
    with pytest.raises(ValueError, match=r"targets are numbers; MLPClassifier takes classes.*oak"):
        MLPRegressor().fit(X, y)


def test_in_a_pipeline_and_a_search_and_a_pickle():
    X, y = blobs()
    model = make_pipeline(StandardScaler(), MLPClassifier((6,), learning_rate_init=0.03, max_iter=60))
    model.set_params(mlpclassifier__random_state=0)
    search = GridSearchCV(model, {"mlpclassifier__activation": ["tanh", "logistic", "gelu"]}, cv=3).fit(X, y)
    assert search.score(X, y) > 0.8
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))
    again[-1].partial_fit(X, y)
    assert clone(search.best_estimator_)[-1].get_params() == search.best_estimator_[-1].get_params()


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw", "rmsprop", "lbfgs"])
def test_every_solver_learns(solver):
    X, y = blobs()
    model = MLPClassifier((6,), solver=solver, max_iter=60, learning_rate_init=0.03, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.loss_ == model.loss_curve_[-1]
    Y = X @ np.arange(-3.0, 5.0).reshape(4, 2)
    rate = 0.003 if solver == "sgd" else 0.1
    regressor = MLPRegressor((), solver=solver, max_iter=300, learning_rate_init=rate, random_state=0)
    assert regressor.fit(X, Y).score(X, Y) > 0.99


def test_it_says_where_it_has_not_converged():
    X, y = blobs()
    with pytest.warns(ConvergenceWarning, match="max_iter=2 is reached"):
        MLPClassifier((3,), max_iter=2).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 is reached"):
        MLPClassifier((3,), max_iter=1, solver="lbfgs").fit(X, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (0,)}, "whole numbers above 0; got (0,)"),
        ({"activation": "rellu"}, "did you mean 'relu'?"),
        ({"activation": "softmax"}, "is a name, not softmax"),
        ({"solver": "adams"}, "did you mean 'adam'?"),
        ({"batch_size": 0}, 'batch_size is "auto" or a whole number above 0; got 0'),
        ({"max_iter": 0}, "max_iter is a whole number above 0; got 0"),
        ({"alpha": -1.0}, "alpha is a number of at least 0; got -1.0"),
        ({"learning_rate_init": 0}, "learning_rate_init is a number above 0; got 0"),
        ({"tol": float("nan")}, "tol is a number of at least 0; got nan"),
        ({"validation_fraction": 1.0}, "above 0 and below 1; got 1.0"),
        ({"validation_fraction": "all"}, "above 0 and below 1; got 'all'"),
        ({"hidden_layer_sizes": 4.0}, "whole numbers above 0; got 4.0"),
        ({"hidden_layer_sizes": "4"}, "whole numbers above 0; got '4'"),
    ],
)
def test_what_a_wrong_parameter_is_told(settings, message):
    X, y = blobs(12)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        MLPClassifier(**settings).fit(X, y)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"has the shape \(3,\); 12 samples need \(12,\)"),
        (-np.ones(12), "negative or not finite"),
        (np.full(12, np.nan), "negative or not finite"),
        (np.zeros(12), "every sample_weight is zero"),
    ],
)
def test_what_wrong_weights_are_told(weights, message):
    X, y = blobs(12)
    with pytest.raises(ValueError, match=message):
        MLPClassifier((3,), max_iter=2).fit(X, y, sample_weight=weights)


def test_a_training_that_diverges_is_told():
    X, _ = blobs()
    with pytest.raises(ValueError, match="no longer finite; take a smaller learning_rate_init"):
        MLPRegressor((3,), solver="sgd", learning_rate_init=1e6, max_iter=50).fit(1e3 * X, X)


def test_lbfgs_and_early_stopping_have_no_parts():
    X, y = blobs(12)
    with pytest.raises(AttributeError, match="lbfgs takes all samples at once"):
        MLPClassifier(solver="lbfgs").partial_fit(X, y)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(X, y)


def test_without_scikit_learn_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "autobp.sklearn")
    with pytest.raises(ImportError, match=r'pip install "autobp\[sklearn\]"'):
        import autobp.sklearn  # noqa: F401


def test_the_example_in_the_docstring():
    assert doctest.testmod(autobp.sklearn).attempted
    assert doctest.testmod(autobp.sklearn).failed == 0


def test_the_examples_of_the_document_print_what_stands_below_them(capsys):
    namespace = {}
    codes = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    printed = re.findall(r"```text\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    assert len(codes) == len(printed) == 2
    for code, text in zip(codes, printed, strict=True):
        exec(code, namespace)
        assert capsys.readouterr().out == text


SETS = ["iris", "wine", "breast_cancer", "digits", "diabetes"]


@pytest.mark.long
@pytest.mark.parametrize("name", SETS)
def test_they_are_as_good_as_scikit_learns(name):
    """Over ten folds the mean score is no further below than the folds scatter: two standard errors of it."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    settings = {"hidden_layer_sizes": (32,), "max_iter": 300, "learning_rate_init": 0.005, "random_state": 0}
    kind, folds = "MLPClassifier", StratifiedKFold(10, shuffle=True, random_state=0)
    if name == "diabetes":
        kind, folds, y = "MLPRegressor", 10, (y - y.mean()) / y.std()
        settings["alpha"] = 10.0
    ours, theirs = (
        cross_val_score(make_pipeline(StandardScaler(), getattr(module, kind)(**settings)), X, y, cv=folds)
        for module in (autobp.sklearn, neural_network)
    )
    difference = ours - theirs
    print(name, ours.mean(), theirs.mean())
    assert difference.mean() > -2 * difference.std(ddof=1) / np.sqrt(10) - 1e-12
