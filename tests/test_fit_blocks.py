"""Training on Dask arrays and on files that are mapped into memory, against training on NumPy's arrays."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import autobp
from autobp import MLP, costs
from autobp.training import Diverged

da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(19)
X, Y = RNG.normal(size=(101, 3)), RNG.uniform(size=(101, 2))
CLASSES = RNG.integers(2, size=101).astype(float)
SETTINGS = {"epochs": 6, "batch_size": 101, "seed": 0, "progress": False, "lr": 0.05}


def network() -> MLP:
    return MLP(3, [4, 2], ["tanh", "sigmoid"], seed=3)


def trained(x, y, net=None, **settings):
    net = net or network()
    history = autobp.fit(net, x, y, **{**SETTINGS, **settings})
    return history, np.array([p.data for p in net.parameters()])


def agree(found, wanted, bound=1e-12):
    for name in ("cost", "validation_cost", "gradient_norm", "layer_gradient_norm"):
        of_both = [getattr(history, name) for history, _ in (found, wanted)]
        np.testing.assert_allclose(*of_both, rtol=bound, err_msg=name)
    assert np.abs(found[1] - wanted[1]).max() <= bound * np.abs(wanted[1]).max()


@pytest.mark.parametrize("chunks", [(101, 3), (10, 2), (1, 3), ((3, 50, 48), 3), ((0, 60, 0, 41), 3)])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_with_all_samples_in_a_batch_it_is_the_training_on_numpys_arrays(chunks, optimizer):
    settings = {"optimizer": optimizer, "l2": 0.3, "validation": (X[:20], Y[:20])}
    wanted = trained(X, Y, **settings)
    blocks = da.from_array(X, chunks=chunks)
    for y in (da.from_array(Y, chunks=(7, 1)), Y):
        agree(trained(blocks, y, **settings), wanted)
    watched = tuple(da.from_array(of_all[:20], chunks=(6, 1)) for of_all in (X, Y))
    agree(trained(blocks, Y, **{**settings, "validation": watched}), wanted)


def test_inputs_in_memory_with_targets_in_blocks_and_class_numbers():
    net = lambda: MLP(3, [4, 2], ["tanh", "linear"], seed=3)  # noqa: E731
    wanted = trained(X, CLASSES, net(), cost="softmax_cross_entropy")
    agree(trained(X, da.from_array(CLASSES, chunks=30), net(), cost="softmax_cross_entropy"), wanted)
    single = da.from_array(X.astype(np.float32), chunks=(30, 3))
    wanted = trained(X.astype(np.float32), CLASSES, net(), cost="softmax_cross_entropy")
    agree(trained(single, CLASSES, net(), cost="softmax_cross_entropy"), wanted)


@pytest.mark.parametrize("batch_size", [1, 32, 40, 51])
def test_a_batch_is_of_whole_blocks_and_an_epoch_of_all(batch_size):
    """Adam on batches, against its steps by hand on the blocks that the training takes."""
    sizes = (20, 20, 20, 20, 21)
    starts = np.cumsum([0, *sizes])
    net, by_hand = network(), network()
    step = autobp.compile(lambda x, y: costs.quadratic(by_hand(x), y), by_hand.parameters())
    adam = autobp.optim.Adam(by_hand.parameters(), lr=0.05)
    theta = step.theta
    rng = random.Random(0)
    each = -(-batch_size * len(sizes) // 101)
    means = []
    for _ in range(6):
        order = list(range(5))
        rng.shuffle(order)
        total = 0.0
        for i in range(0, 5, each):
            rows = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in order[i : i + each]])
            value, gradient = step(theta, X[rows], Y[rows])
            theta = adam.update(theta, gradient)
            total += len(rows) * value
        means.append(total / 101)
    history, found = trained(da.from_array(X, chunks=(sizes, 3)), Y, net, batch_size=batch_size)
    np.testing.assert_allclose(found, theta, rtol=1e-11)
    np.testing.assert_allclose(history.cost, means, rtol=1e-12)


def test_patience_and_divergence_are_as_on_numpys_arrays():
    watched = {"validation": (X[:20], 1 - Y[:20]), "patience": 2, "epochs": 30}
    blocks = da.from_array(X, chunks=(10, 3))
    found, wanted = trained(blocks, Y, **watched), trained(X, Y, **watched)
    agree(found, wanted)
    assert found[0].best_epoch == wanted[0].best_epoch > 0
    net = lambda: MLP(3, [4, 2], ["relu", "linear"], seed=3)  # noqa: E731
    wild = {"optimizer": "sgd", "lr": 30.0}
    for x in (X, blocks):
        with pytest.raises(Diverged, match="standardise the inputs, which go from"):
            trained(100 * x, Y, net(), **wild)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X[:, :2], Y, ValueError, r"X must have the shape \(m, 3\), a sample in each row; got \(101, 2\)"),
        (X, Y[:90], ValueError, r"Y must have a row for each of the 101 samples; got \(90, 2\)"),
        (X, Y[:, :1], ValueError, r"Y must have the shape \(101, 2\), a column for each output"),
        (X, 2 * Y, ValueError, r"begins with row 0: binary_cross_entropy: targets are"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(x, y, error, message):
    with pytest.raises(error, match=message):
        trained(da.from_array(x, chunks=(10, 2)), y, cost="binary_cross_entropy")


def test_a_wrong_number_is_told_with_its_block():
    x = X.copy()
    x[73, 1] = np.nan
    with pytest.raises(ValueError, match=r"block of 10 samples that begins with row 70: X\[3, 1\] is nan"):
        trained(da.from_array(x, chunks=(10, 3)), Y)
    classes = CLASSES.copy()
    classes[42] = 5
    net = MLP(3, [2], seed=0, activation="linear")
    with pytest.raises(IndexError, match=r"begins with row 40: Y\[2\] is 5, but 2 outputs are the classes"):
        trained(da.from_array(X, chunks=(10, 3)), classes, net, cost="softmax_cross_entropy")
    good = da.from_array(X, chunks=(10, 3))
    with pytest.raises(ValueError, match=r"begins with row 70: validation X\[3, 1\] is nan"):
        trained(good, Y, validation=(da.from_array(x, chunks=(10, 3)), Y))
    with pytest.raises(ValueError, match=r"the rows of X are not counted yet: call its compute_chunk_sizes"):
        trained(good[good[:, 0] > 0], Y)
    with pytest.raises(TypeError, match="compiled=False builds the graph of each sample in this process"):
        trained(good, Y, compiled=False)


def test_predictions_are_made_where_the_blocks_are():
    """Nothing is read until they are asked for, and never more than a block at a time."""
    net, read = network(), []

    def seen(block):
        read.append(len(block))
        return block

    blocks = da.from_array(X, chunks=(10, 2)).map_blocks(seen, dtype=float, meta=np.zeros((0, 0)))
    found = autobp.predict(net, blocks)
    assert isinstance(found, da.Array)
    assert found.shape == (101, 2)
    assert not read
    np.testing.assert_allclose(found[20:40].compute(), autobp.predict(net, X[20:40]), rtol=1e-13)
    assert set(read) == {10}
    assert len(read) <= 4
    np.testing.assert_allclose(found.compute(), autobp.predict(net, X), rtol=1e-13)
    with pytest.raises(ValueError, match=r"X must have the shape \(m, 3\)"):
        autobp.predict(net, blocks[:, :2])
    with pytest.raises(ValueError, match=r"rows of X are not counted yet"):
        autobp.predict(net, blocks[blocks[:, 0] > 0])
    x = X.copy()
    x[73, 1] = np.nan
    wrong = autobp.predict(net, da.from_array(x, chunks=(10, 3)))
    with pytest.raises(ValueError, match=r"X\[3, 1\] is nan"):
        wrong.compute()


@pytest.mark.parametrize("measure", ["accuracy", "rmse", "r_squared"])
def test_measures_of_dasks_arrays_are_refused_and_not_brought_into_memory(measure):
    blocks = da.from_array(X, chunks=(10, 3)), da.from_array(Y, chunks=(10, 2))
    for x, y in (blocks, (blocks[0], Y), (X, blocks[1])):
        with pytest.raises(TypeError, match="takes arrays in memory, and X or Y is a Dask array: compute it"):
            getattr(autobp, measure)(network(), x, y)


def test_what_is_mapped_from_a_file_is_not_copied(tmp_path):
    """40 MB of samples; training takes a tenth of that, and comes to the same as on arrays in memory."""
    m, n = 50_000, 100
    path = tmp_path / "samples.npy"
    np.save(path, np.random.default_rng(0).normal(size=(m, n)))
    x = np.load(path, mmap_mode="r")
    y = (np.asarray(x[:, :1]) > 0).astype(float)

    def train(inputs):
        net = MLP(n, [1], "sigmoid", seed=0)
        settings = {"epochs": 1, "batch_size": 1000, "seed": 0, "progress": False}
        autobp.fit(net, inputs, y, cost="binary_cross_entropy", **settings)
        return np.array([p.data for p in net.parameters()])

    tracemalloc.start()
    found = train(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4, f"{peak / 1e6:.1f} MB"
    np.testing.assert_array_equal(found, train(np.array(x)))


@pytest.mark.parametrize("rows", [7, 40])
def test_a_step_moves_a_vector_of_the_parameters_for_each_block(rows):
    """What tasks hand on: P + 2 numbers for each block and each sum of eight, whatever the rows are."""
    from dask.callbacks import Callback

    net = network()
    step = autobp.compile(lambda x, y: costs.quadratic(net(x), y), net.parameters())
    x, y = RNG.normal(size=(100 * rows, 3)), RNG.uniform(size=(100 * rows, 2))
    sizes = []

    def see(key, result, *_):
        if str(key).startswith(("_cost_and_gradient-", "_added-")):
            sizes.append(result.nbytes)

    with Callback(posttask=see):
        step(step.theta, da.from_array(x, chunks=(rows, 3)), da.from_array(y, chunks=(rows, 2)))
    assert sizes == [8 * (len(step.theta) + 2)] * (100 + 13 + 2 + 1)


# ------------------------------------------------------------------------------------- several processes


@pytest.mark.long
def test_training_comes_to_the_same_though_workers_are_killed():
    """A worker is killed in the middle of each epoch; the network that results is that of one process."""
    distributed = pytest.importorskip("distributed")
    x, y = RNG.normal(size=(4000, 3)), RNG.uniform(size=(4000, 2))
    settings = {"epochs": 4, "batch_size": 4000, "l2": 0.1}
    wanted = trained(x, y, **settings)
    killed = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):

        def kill(epoch, history):
            process = next(iter(cluster.workers.values())).process
            timer = threading.Timer(0.05, lambda: killed.append(os.kill(process.pid, signal.SIGKILL)))
            timer.start()

        blocks = da.from_array(x, chunks=(50, 3)), da.from_array(y, chunks=(50, 2))
        found = trained(*blocks, **settings, on_epoch=kill)
    assert len(killed) >= 3
    agree(found, wanted)


@pytest.mark.long
def test_the_example_trains_on_more_than_its_workers_memory():
    pytest.importorskip("distributed")
    root = Path(__file__).parents[1]
    script = root / "examples" / "larger_than_memory.py"
    finished = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    size, limit, workers = map(int, re.findall(r"\d+", finished.stdout)[:3])
    assert size > limit * workers
    (right,) = re.findall(r"\n(\d+\.\d) % of the samples classified rightly", finished.stdout)
    assert float(right) > 75
