"""fit(): what it learns, what it tells, and what it does when stopped."""

import numpy as np
import pytest

import autobp
from autobp import MLP, Value, accuracy, costs, fit, optim, predict

rng = np.random.default_rng(3)
X = rng.uniform(-1, 1, (40, 2))
Y = (X[:, :1] * X[:, 1:] > 0).astype(float)


def network(seed=0):
    return MLP(2, [6, 1], ["tanh", "sigmoid"], seed=seed, init="xavier")


def test_it_learns_xor():
    net = network()
    history = fit(
        net, X, Y, cost="binary_cross_entropy", epochs=60, batch_size=8, lr=0.05, seed=1, progress=False
    )
    assert len(history.cost) == len(history.gradient_norm) == 60
    assert history.cost[-1] < 0.3 * history.cost[0]
    assert accuracy(net, X, Y) >= 0.95


def test_the_same_seed_gives_the_same_run():
    runs = []
    for seed in (5, 5, 6):
        net = network()
        fit(net, X, Y, epochs=2, seed=seed, progress=False)
        runs.append([p.data for p in net.parameters()])
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("compiled", [True, False])
def test_one_step_on_all_samples_is_gradient_descent_on_the_whole_cost(compiled):
    net = network()
    loss = costs.binary_cross_entropy([net.trace(x).output for x in X], Y.tolist())
    loss += costs.l2(net, 0.4, len(X))
    loss.backward()
    expected = [p.data - 0.1 * p.grad for p in net.parameters()]
    history = fit(
        net, X, Y, cost="binary_cross_entropy", epochs=1, batch_size=len(X), optimizer="sgd", lr=0.1, l2=0.4,
        progress=False, compiled=compiled,
    )  # fmt: skip
    assert history.cost == pytest.approx([loss.data], rel=1e-13)
    assert [p.data for p in net.parameters()] == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_validation_and_epochs_are_reported():
    seen = []
    history = fit(
        network(), X, Y, epochs=3, validation=(X[:5], Y[:5]), progress=False,
        on_epoch=lambda epoch, h: seen.append((epoch, len(h.cost), len(h.validation_cost))),
    )  # fmt: skip
    assert seen == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    assert not history.interrupted


def test_an_interrupt_keeps_what_was_learned():
    net = network()
    start = [p.data for p in net.parameters()]
    after_two = []

    def stop(epoch, history):
        if epoch == 2:
            after_two.extend(p.data for p in net.parameters())
            raise KeyboardInterrupt

    history = fit(net, X, Y, epochs=50, seed=0, progress=False, on_epoch=stop)
    assert history.interrupted
    assert len(history.cost) == 2
    assert [p.data for p in net.parameters()] == after_two != start


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("compiled", [True, False])
def test_divergence_is_told_and_the_last_finite_parameters_stay(compiled):
    net = MLP(2, [1], "linear", seed=0)
    with pytest.raises(ValueError, match=r"epoch \d+ the cost is .* smaller learning rate than 1000"):
        fit(net, 1e6 * X, Y, epochs=200, optimizer="sgd", lr=1e3, progress=False, compiled=compiled)
    assert all(np.isfinite(p.data) for p in net.parameters())


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_step_to_infinity_is_not_taken():
    net = MLP(2, [1], "linear", seed=0)
    before = [p.data for p in net.parameters()]
    with pytest.raises(ValueError, match="epoch 1 a step leads to parameters that are not finite"):
        fit(net, 1e6 * X, Y, epochs=1, batch_size=len(X), optimizer="sgd", lr=1e308, progress=False)
    assert [p.data for p in net.parameters()] == before


def test_an_infinite_validation_cost_is_kept_and_stops_nothing():
    # sigmoid(-1e6) is 0, and log 0 infinite; the program takes the logarithm of the sigmoid as a whole
    for compiled in (False, True):
        history = fit(
            MLP(1, [1], "sigmoid", seed=0), [[0.0], [0.1]], [[0.0], [1.0]], cost="binary_cross_entropy",
            epochs=2, validation=([[1e6], [-1e6]], [[1.0], [1.0]]), progress=False, compiled=compiled,
        )  # fmt: skip
        assert len(history.validation_cost) == 2
        assert all(1e4 < cost < 1e6 if compiled else cost == np.inf for cost in history.validation_cost)


def test_many_samples_are_predicted_by_the_program_as_by_the_graph():
    many = rng.uniform(-1, 1, (150, 2))
    net = network()
    assert predict(net, many) == pytest.approx(np.array([[net(x).data] for x in many]), rel=1e-13)



def test_parameters_set_between_epochs_are_trained_on():
    net = network()

    def start_again(epoch, history):
        net.W = [np.zeros((6, 2)), np.zeros((1, 6))]

    fit(net, X, Y, epochs=1, progress=False, on_epoch=start_again)
    assert not any(w.data for w in net.weights())


def test_a_cost_of_ones_own_and_an_optimizer_of_ones_own():
    net = MLP(2, [1], "linear", seed=0)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def absolute(a, y):
        return abs(a[0] - y[0])

    history = fit(net, X, X[:, :1], cost=absolute, epochs=30, optimizer=optimizer, seed=0, progress=False)
    assert history.cost[-1] < history.cost[0]


def test_class_numbers_as_targets():
    classes = (X[:, 0] > 0).astype(int)
    net = MLP(2, [2], "linear", seed=0)
    fit(net, X, classes, cost="softmax_cross_entropy", epochs=30, lr=0.1, seed=0, progress=False)
    assert accuracy(net, X, classes) >= 0.95
    assert accuracy(net, X, np.eye(2)[classes]) == accuracy(net, X, classes)
    assert predict(net, X).shape == (40, 2)


def test_the_progress_bar_shows_epochs_and_cost(capsys):
    fit(network(), X, Y, epochs=2, batch_size=20)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown
    assert "cost " in shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": X[:, :1]}, ["(m, 2)", "(40, 1)"]),
        ({"X": X[0]}, ["(m, 2)", "(2,)"]),
        ({"X": np.where(X.max() == X, np.nan, X)}, ["X[", "nan"]),
        ({"Y": Y[:-1]}, ["40", "(39, 1)"]),
        ({"Y": np.full_like(Y, np.inf)}, ["Y", "finite"]),
        ({"epochs": 0}, ["epochs", "0"]),
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"l2": -1.0}, ["λ", "-1.0"]),
        ({"cost": "cross"}, ["'cross'", "quadratic"]),
        ({"cost": "MSE"}, ["did you mean 'quadratic', ½ Σ (a - y)²?"]),
        ({"cost": "bce"}, ["did you mean 'binary_cross_entropy'?"]),
        ({"optimizer": "adm"}, ["unknown optimizer 'adm'; did you mean 'adam'?"]),
        ({"X": X.T}, ["(m, 2)", "X.T"]),
        ({"Y": np.hstack([Y, Y])}, ["(40, 1)", "got (40, 2)"]),
        ({"Y": [["yes"], ["no"]] * 20}, ["Y[0, 0] is 'yes'", "no number", "np.unique"]),
        ({"X": [[1.0, 2.0], [1.0]]}, ["X[0] has 2 entries, and X[1] has 1"]),
        ({"X": np.where(X.max() == X, None, X)}, ["X[", "not finite", "missing"]),
        ({"cost": "softmax_cross_entropy"}, ["two or more", "binary_cross_entropy_with_logits"]),
        ({"optimizer": optim.SGD([Value(1.0)], lr=1.0)}, ["other parameters"]),
        ({"validation": (X[:, :1], Y)}, ["validation X", "(m, 2)"]),
    ],
)
def test_wrong_use_is_told(change, words):
    arguments = {"X": X, "Y": Y, "epochs": 1, "progress": False, **change}
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fit(network(), arguments.pop("X"), arguments.pop("Y"), **arguments)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "targets", [np.zeros((40, 1)), np.eye(3)[[0] * 40], np.zeros(39), np.zeros((40, 2, 1))]
)
def test_the_accuracy_on_targets_of_another_shape_is_refused(targets):
    with pytest.raises(ValueError, match=r"\(40, 2\) or \(40,\); got"):
        accuracy(MLP(2, [2], "linear", seed=0), X, targets)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("cost", "targets"),
    [
        ("hinge", Y),
        (costs.hinge, Y),
        ("binary_cross_entropy", 2 * Y - 1),
        ("binary_cross_entropy_with_logits", 2 * Y),
        ("softmax_cross_entropy", np.hstack([5 * Y, Y])),
    ],
)
def test_targets_that_the_cost_does_not_take_are_told(cost, targets, compiled):
    arguments = {"cost": cost, "epochs": 1, "progress": False, "compiled": compiled}
    net = MLP(2, [targets.shape[1]], "linear", seed=0)
    with pytest.raises(ValueError, match=r"targets are .*; got \d|targets are .*; got -1"):
        fit(net, X, targets, **arguments)
    good = np.where(targets == targets.max(), 1.0, -1.0 if "hinge" in str(cost) else 0.0)
    with pytest.raises(ValueError, match="targets are"):
        fit(net, X, good, validation=(X, targets), **arguments)


def test_activations_of_ones_own_predict_as_many_samples_as_named_ones():
    def rectified(z):
        return max(z, 0 * z)  # which no matrix program can hold

    inputs = rng.normal(size=(200, 2))
    own, named = (MLP(2, [3, 1], [f, "linear"], seed=0) for f in (rectified, "relu"))
    assert predict(own, inputs) == pytest.approx(predict(named, inputs), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("seed", range(8))  # the order of samples decides how the first cost is rounded
@pytest.mark.parametrize("compiled", [True, False])
def test_a_cost_that_grows_is_told_and_the_best_parameters_are_kept(compiled, seed):
    net = MLP(2, [1], "linear", seed=0)
    with pytest.warns(UserWarning, match=r"the cost was .* smaller learning rate than 0\.9, or standardise"):
        history = fit(
            net, 100 * X, Y, cost="quadratic", epochs=3, batch_size=len(X), optimizer="sgd", lr=0.9,
            progress=False, compiled=compiled, seed=seed,
        )  # fmt: skip
    assert history.cost[-1] > 10 * history.cost[0]
    kept = autobp.training.mean_cost(net, 100 * X, Y, cost=costs.quadratic)
    assert kept <= history.cost[0] * (1 + 1e-12)


@pytest.mark.parametrize("compiled", [True, False])
def test_what_good_epochs_have_reached_is_kept_when_a_later_one_diverges(compiled):
    net = MLP(2, [6, 1], ["tanh", "linear"], seed=0)
    reached = []

    def spoil(epoch, history):
        reached.append(autobp.training.mean_cost(net, X, Y, cost=costs.quadratic))
        if epoch == 5:
            for parameter in net.parameters():
                parameter.data = 1e6

    with pytest.warns(UserWarning, match="the lowest cost it had, 0.1247"):
        history = fit(
            net, X, Y, cost="quadratic", epochs=7, batch_size=5, lr=0.01, progress=False, compiled=compiled,
            seed=0, on_epoch=spoil,
        )  # fmt: skip
    best = int(np.argmin(history.cost))
    assert best == 2
    kept = autobp.training.mean_cost(net, X, Y, cost=costs.quadratic)
    assert kept == pytest.approx(min(reached[best - 1], reached[best]))


def test_a_training_that_goes_well_warns_of_nothing(recwarn):
    fit(network(), X, Y, epochs=3, progress=False)
    assert not recwarn.list


@pytest.mark.parametrize("epochs", [2.5, "3", None])
def test_epochs_are_whole_numbers(epochs):
    with pytest.raises(TypeError, match="epochs must be a whole number"):
        fit(network(), X, Y, epochs=epochs, progress=False)


def test_a_cost_that_applies_the_outputs_own_function_again_is_refused():
    for activation, cost in [
        ("softmax", "softmax_cross_entropy"), ("sigmoid", "binary_cross_entropy_with_logits")
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"applies {activation} itself"):
            fit(MLP(2, [2], activation), X, np.hstack([Y, 1 - Y]), cost=cost, progress=False)


def test_r_squared_and_rmse_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    net = MLP(2, [4, 2], ["tanh", "linear"], seed=1)
    targets = np.random.default_rng(3).normal(size=(len(X), 2))
    outputs = autobp.predict(net, X)
    squared = metrics.mean_squared_error(targets, outputs)
    assert autobp.rmse(net, X, targets) == pytest.approx(np.sqrt(squared))
    one = MLP(2, [1], "linear", seed=1)
    first = targets[:, 0]
    assert autobp.r_squared(one, X, first) == pytest.approx(metrics.r2_score(first, autobp.predict(one, X)))
    weighted = metrics.r2_score(targets, outputs, multioutput="variance_weighted")
    assert autobp.r_squared(net, X, targets) == pytest.approx(weighted)
    with pytest.raises(ValueError, match="targets that vary"):
        autobp.r_squared(one, X, np.ones(len(X)))
    with pytest.raises(ValueError, match=r"\(40, 2\); got \(40, 1\)"):
        autobp.rmse(net, X, targets[:, :1])


def test_a_threshold_is_asked_for_where_the_output_does_not_tell():
    with pytest.raises(ValueError, match="say the threshold: 0 where the output is a logit"):
        accuracy(MLP(2, [1], "linear", seed=0), X, Y)
    net = MLP(2, [1], "sigmoid", seed=0)
    assert accuracy(net, X, Y) == accuracy(net, X, Y, threshold=0.5)
    with pytest.raises(ValueError, match="40 different numbers"):
        accuracy(net, X, np.arange(40.0))


# ------------------------------------------------------------------------- early stopping and schedules


def overfitting():
    """A network and few samples of noise, on which the validation cost soon rises."""
    noise = np.random.default_rng(0)
    samples = noise.normal(size=(40, 2)), noise.normal(size=(40, 1))
    return MLP(2, [20, 1], ["tanh", "linear"], seed=1), samples, (X[:20], Y[:20])


@pytest.mark.parametrize("compiled", [True, False])
def test_patience_ends_the_training_and_leaves_the_best_network(compiled):
    net, samples, validation = overfitting()
    history = fit(net, *samples, epochs=60, lr=0.02, validation=validation, patience=5, seed=0,
                  progress=False, compiled=compiled)  # fmt: skip
    costs_seen = history.validation_cost
    assert len(costs_seen) == history.best_epoch + 5 < 60
    assert costs_seen[history.best_epoch - 1] == min(costs_seen)
    assert costs.quadratic([net.trace(x).output for x in validation[0]], validation[1].tolist()).data == (
        pytest.approx(min(costs_seen), rel=1e-12)
    )


def test_ctrl_c_leaves_the_best_network_too():
    net, samples, validation = overfitting()

    def stop(epoch, history):
        if epoch == 12:
            raise KeyboardInterrupt

    history = fit(net, *samples, epochs=60, lr=0.02, validation=validation, patience=50, seed=0,
                  progress=False, on_epoch=stop)  # fmt: skip
    assert history.interrupted
    assert 1 <= history.best_epoch < 12
    best = costs.quadratic([net.trace(x).output for x in validation[0]], validation[1].tolist()).data
    assert best == pytest.approx(min(history.validation_cost), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"patience": 3}, ValueError, "say validation="),
        ({"patience": 0, "validation": (X, Y)}, ValueError, "at least 1; got 0"),
        ({"patience": 1.5, "validation": (X, Y)}, TypeError, "a number of epochs; got 1.5"),
        ({"schedule": "cosin"}, ValueError, "did you mean 'cosine'"),
        ({"schedule": 3}, TypeError, "a schedule is a name"),
        ({"lr": "0.1"}, TypeError, "got the text '0.1': leave out the quotes"),
        ({"l2": "0.1"}, TypeError, "got the text '0.1': leave out the quotes"),
    ],
)
def test_wrong_options_are_named(options, error, words):
    with pytest.raises(error, match=words):
        fit(network(), X, Y, progress=False, **options)


def test_a_schedule_is_the_same_as_setting_the_rate_by_hand():
    scheduled, by_hand = network(), network()
    fit(scheduled, X, Y, epochs=5, lr=0.1, optimizer="sgd", schedule="linear", seed=0, progress=False)
    optimizer = optim.SGD(by_hand.parameters(), lr=0.1)

    def fall(epoch, history):
        optimizer.lr = 0.1 * (1 - epoch / 5)

    fit(by_hand, X, Y, epochs=5, optimizer=optimizer, on_epoch=fall, seed=0, progress=False)
    assert [p.data for p in by_hand.parameters()] == pytest.approx([p.data for p in scheduled.parameters()])


def test_a_training_that_is_no_longer_finite_is_called_diverged():
    from autobp.training import Diverged

    with pytest.raises(Diverged, match="try a smaller learning rate"):
        fit(network(), X, 1e300 * Y, epochs=5, lr=1e200, optimizer="sgd", progress=False)


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (X + 0j, Y, "X must be real numbers; got an array of complex128"),
        (X, (Y + 1j).tolist(), "Y must be real numbers; got an array of complex128"),
        (np.ma.masked_less(X, 0.0), Y, "X has masked elements"),
        (list(np.ma.masked_less(X, 0.0)), Y, "X has masked elements"),
    ],
)
def test_what_numpy_would_drop_is_refused(inputs, targets, words):
    """An imaginary part and a mask: both were lost on the way to floats, and the training went on."""
    net = network()
    for use in (
        lambda: fit(net, inputs, targets, cost="quadratic", epochs=1, progress=False),
        lambda: autobp.check.compare(net, inputs, targets, cost="quadratic"),
        lambda: accuracy(net, inputs, targets),
    ):
        with pytest.raises(TypeError, match=words):
            use()
