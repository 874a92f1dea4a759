"""What a saved network knows of its training, and the answers it gives by it."""

import json

import numpy as np
import pytest

import autobp
from autobp import MLP, answers, datasets, fit
from autobp.about import About, about_of


def flowers(tmp_path, classes):
    """A CSV file of samples far from 0, and its rows."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90, 2)) * [3.0, 0.01] + [100.0, -5.0]
    which = ((rows[:, 0] > 100).astype(int) + (rows[:, 1] > -5)) % classes
    names = np.array(["oak", "ash", "elm"])[which]
    lines = [f"{a!r},{b!r},{name}" for (a, b), name in zip(rows.tolist(), names, strict=True)]
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(["girth,leaf,kind", *lines]) + "\n", encoding="utf-8")
    return path, rows, names


@pytest.mark.parametrize("classes", [2, 3])
def test_a_saved_network_answers_raw_rows_with_names(tmp_path, classes):
    path, rows, names = flowers(tmp_path, classes)
    data = datasets.load(path, test_size=0.0, seed=3)
    net = MLP(2, [16, data.Y.shape[1]], ["tanh", "linear"], seed=0, init="xavier")
    net.about = data.about()
    fit(net, data.X, data.Y, cost=data.cost, epochs=150, lr=0.05, seed=0, progress=False)
    told = answers(MLP.load(net.save(tmp_path / "net")), rows)
    assert np.mean(told == names) > 0.95
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)  # written out, as the data set has it
    outputs = autobp.predict(net, scaled)
    sure = np.abs(outputs).min(axis=1) > 1e-6
    expected = outputs.argmax(axis=1) if classes == 3 else (outputs[:, 0] > 0).astype(int)
    assert (told == np.array(sorted(set(names)))[expected])[sure].all()


def test_quantities_come_in_their_own_units(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.uniform(-3, 3, 50)
    lines = [f"{a!r},{1000 * a + 5e6!r}" for a in x.tolist()]
    (tmp_path / "p.csv").write_text("\n".join(["size,price", *lines]), encoding="utf-8")
    data = datasets.load(tmp_path / "p.csv")
    net = MLP(1, [1], "linear", seed=0)
    net.about = data.about()
    fit(net, data.X, data.Y, epochs=300, lr=0.05, seed=0, progress=False)
    told = answers(net, [[0.0], [2.0]])
    assert told == pytest.approx([5e6, 5.002e6], abs=20)


def test_everything_comes_back_from_the_file(tmp_path):
    data = datasets.load("xor", test_size=0.2, seed=7)
    net = MLP(2, [3, 1], ["tanh", "linear"], seed=0)
    net.about = data.about()
    loaded = MLP.load(net.save(tmp_path / "net")).about
    assert loaded == About(
        "xor", "binary_cross_entropy_with_logits", ("x1", "x2"), ("0", "1"), "class", (0.0, 0.0), (1.0, 1.0),
        test_size=0.2, seed=7, version=autobp.__version__,
    )  # fmt: skip


def test_a_file_of_before_loads_and_knows_nothing(tmp_path):
    net = MLP(2, [1], "sigmoid", seed=0)
    arrays = {"format": np.array(1), "activations": np.array(["sigmoid"]), "W1": net.W[0], "b1": net.b[0]}
    np.savez(tmp_path / "old.npz", **arrays)
    loaded = MLP.load(tmp_path / "old.npz")
    assert loaded.about is None
    assert [p.data for p in loaded.parameters()] == [p.data for p in net.parameters()]
    with pytest.raises(ValueError, match=r"net\.about = data\.about\(\), or take predict"):
        answers(loaded, [[0.0, 0.0]])


def test_fit_notes_the_cost():
    net = MLP(2, [1], "sigmoid", seed=0)
    fit(net, [[0.0, 1.0]], [[1.0]], cost="binary_cross_entropy", epochs=1, progress=False)
    assert net.about == About(cost="binary_cross_entropy")
    fit(net, [[0.0, 1.0]], [[1.0]], cost=lambda a, y: (a[0] - y[0]) ** 2, epochs=1, progress=False)
    assert net.about.cost == ""


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"names": ["a"]}, "1 names need as many offsets"),
        ({"names": ["a"], "offset": [0.0], "scale": [0.0]}, "scales not 0"),
        ({"names": ["a"], "offset": [float("nan")], "scale": [1.0]}, "must be finite"),
        ({"names": ["a"], "offset": ["0"], "scale": [1.0]}, "offset is"),
        ({"seed": "3"}, "seed is '3'"),
        ({"classes": "ab"}, "classes is 'ab'"),
        ([1], "no record of a training"),
    ],
)
def test_a_record_that_cannot_be_is_refused(entry, words):
    with pytest.raises(ValueError, match=words):
        about_of(json.dumps(entry))


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (About(names=("a",), offset=(0.0,), scale=(1.0,)), "1 names for 2 inputs"),
        (About(classes=("a", "b", "c")), "3 classes for 1 outputs"),
    ],
)
def test_a_record_of_another_network_is_refused(about, words, tmp_path):
    net = MLP(2, [1], "sigmoid", seed=0)
    net.about = about
    net.save(tmp_path / "net")
    with pytest.raises(ValueError, match=f"is damaged: {words}"):
        MLP.load(tmp_path / "net")


def test_what_a_later_version_adds_is_left_out():
    assert about_of('{"cost": "quadratic", "mood": "good"}') == About(cost="quadratic")
