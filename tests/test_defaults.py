"""What ``autobp train`` does by default with every named set, beside scikit-learn's networks of that size."""

import numpy as np
import pytest

import autobp
from autobp import MLP, costs, datasets, predict
from autobp.command import main

pytestmark = pytest.mark.long

SEEDS = range(5)
#: What the mean over the seeds may fall short by: of 250 to 2,250 samples in all, one in a hundred.
CLOSE = 0.01


def trained(name, seed, folder):
    """The share of the held out samples that is right, or R² where they are quantities."""
    arguments = ["train", name, "--seed", str(seed), "--check", "0", "--quiet", "--out", str(folder)]
    assert main(arguments) == 0
    net = MLP.load(folder / "network.npz")
    data = datasets.load(name, seed=seed)
    if data.classes:
        threshold = costs.COSTS[data.cost].threshold
        return autobp.accuracy(net, data.X_test, data.Y_test, threshold=threshold)
    missed = ((predict(net, data.X_test) - data.Y_test) ** 2).sum()
    return 1 - missed / ((data.Y_test - data.Y_test.mean()) ** 2).sum()


def of_sklearn(name, seed):
    neural_network = pytest.importorskip("sklearn.neural_network")
    data = datasets.load(name, seed=seed)
    options = {"hidden_layer_sizes": (32, 32), "random_state": seed}
    if not data.classes:
        model = neural_network.MLPRegressor(**options).fit(data.X, data.Y[:, 0])
        return model.score(data.X_test, data.Y_test[:, 0])
    y, y_test = (
        Y.argmax(axis=1) if Y.shape[1] > 1 else (Y[:, 0] > 0).astype(int) for Y in (data.Y, data.Y_test)
    )
    return neural_network.MLPClassifier(**options).fit(data.X, y).score(data.X_test, y_test)


@pytest.mark.filterwarnings("ignore")  # scikit-learn's, that 200 epochs are few
@pytest.mark.parametrize("name", datasets.names())
def test_every_named_set_reaches_what_scikit_learn_reaches(name, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    for picture in ("picture_training", "picture_network"):
        monkeypatch.setattr(f"autobp.command.commands.train.{picture}", lambda *_: None)
    own = [trained(name, seed, tmp_path) for seed in SEEDS]
    theirs = [of_sklearn(name, seed) for seed in SEEDS]
    assert np.mean(own) > np.mean(theirs) - CLOSE, (own, theirs)
