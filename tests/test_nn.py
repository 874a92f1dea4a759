"""Networks: their shapes, names, starts, and files."""

import math
import random
import re
import subprocess
import sys

import numpy as np
import pytest

import autobp
from autobp import MLP, Layer, Module, Neuron, Value
from autobp.nn import ACTIVATIONS


def test_micrograds_random_numbers_in_micrograds_order():
    random.seed(1337)
    net = MLP(3, [4, 1])
    random.seed(1337)
    for layer in net.layers:
        for neuron in layer.neurons:
            assert [w.data for w in neuron.w] == [random.uniform(-1, 1) for _ in neuron.w]
            assert neuron.b.data == 0.0
    assert repr(net) == (
        "MLP of [Layer of [ReLUNeuron(3), ReLUNeuron(3), ReLUNeuron(3), ReLUNeuron(3)], "
        "Layer of [LinearNeuron(4)]]"
    )


def test_micrograds_positional_signatures():
    assert Neuron(2, False).nonlin is False
    assert isinstance(Neuron(2)([1.0, 2.0]), Value)
    assert isinstance(Layer(2, 1, nonlin=False)([1.0, 2.0]), Value)
    assert len(Layer(2, 3, nonlin=False)([1.0, 2.0])) == 3
    assert isinstance(MLP(2, [3, 1])([1.0, 2.0]), Value)
    assert len(MLP(2, [3, 2])([Value(1.0), 2.0])) == 2


def test_a_module_of_ones_own():
    class Scale(Module):
        def __init__(self):
            self.k = Value(2.0, label="k")

        def __call__(self, x):
            return self.k * x

        def parameters(self):
            return [self.k]

    module = Scale()
    module(3.0).backward()
    assert module.named_parameters() == [("k", module.k)]
    assert module.k.grad == 3.0
    module.zero_grad()
    assert module.k.grad == 0.0


def test_names_count_from_one_and_rows_are_neurons():
    net = MLP(2, [3, 1], seed=0)
    names = dict(net.named_parameters())
    assert list(names)[:3] == ["W1[1,1]", "W1[1,2]", "b1[1]"]
    assert names["W1[3,2]"].data == net.W[0][2, 1]
    assert names["W2[1,3]"].data == net.W[1][0, 2]
    assert names["b1[2]"].data == net.b[0][1]
    assert len(names) == len(net.parameters()) == 13


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a != "softmax"])
def test_every_activation_is_applied_to_z(activation):
    net = MLP(2, [2, 2], activation, seed=3, init="xavier")
    trace = net.trace([0.3, -0.7])
    a = np.array([0.3, -0.7])
    forward = autobp.matrix.forward(net.W, net.b, a[None], activation)
    for layer in (1, 2):
        assert [z.data for z in trace.z[layer]] == pytest.approx(forward.z[layer][0], rel=1e-14)
        assert [v.data for v in trace.a[layer]] == pytest.approx(forward.a[layer][0], rel=1e-14)
    assert [v.data for v in net([0.3, -0.7])] == [v.data for v in trace.output]


def test_activations_per_layer_by_name_or_function():
    net = MLP(2, [2, 2, 2], ["tanh", lambda z: z * z, "softmax"], seed=0)
    trace = net.trace([1.0, 2.0])
    assert [a.data for a in trace.a[1]] == [math.tanh(z.data) for z in trace.z[1]]
    assert [a.data for a in trace.a[2]] == [z.data**2 for z in trace.z[2]]
    assert sum(a.data for a in trace.a[3]) == pytest.approx(1.0, rel=1e-15)


def test_an_input_is_one_leaf_however_many_neurons_read_it():
    net = MLP(1, [5], "linear", seed=0)
    trace = net.trace([2.0])
    autobp.sum(trace.output).backward()
    assert trace.a[0][0].grad == pytest.approx(net.W[0].sum(), rel=1e-14)


@pytest.mark.parametrize(("init", "spread"), [("uniform", 1 / 3), ("xavier", 2 / 150), ("he", 2 / 100)])
def test_initialisations_have_their_variance_and_follow_the_seed(init, spread):
    W = MLP(100, [50], init=init, seed=5).W[0]
    assert np.var(W) == pytest.approx(spread, rel=0.1)
    assert abs(np.mean(W)) < 3 * math.sqrt(spread / W.size)
    assert (MLP(100, [50], init=init, seed=5).W[0] == W).all()
    assert (MLP(100, [50], init=init, seed=6).W[0] != W).any()


def test_weights_are_read_and_set_as_arrays():
    W = [np.arange(6.0).reshape(2, 3), np.array([[7.0, 8.0]])]
    b = [np.array([1.0, 2.0]), np.array([3.0])]
    for sequence in (list, tuple):
        net = MLP(3, [2, 1], weights=sequence(W), biases=sequence(b))
        assert all((x == y).all() for x, y in zip(net.W + net.b, W + b, strict=True))
    with pytest.raises(ValueError, match="read-only"):  # a change to the copy would be lost
        net.W[0][0, 0] = 99.0
    with pytest.raises(TypeError):
        net.b[0] = np.zeros(2)
    net.layers[0].W = -W[0]
    assert net.layers[0].neurons[1].w[2].data == -5.0
    assert net.sizes == [3, 2, 1]


def test_sizes_may_be_numpys_integers():
    net = MLP(np.int64(3), np.array([2, 1]), seed=0)
    assert net.sizes == [3, 2, 1]
    assert {type(size) for size in net.sizes} == {int}
    assert repr(Layer(np.int64(1), np.int64(2))) == repr(Layer(1, 2))
    assert len(Neuron(np.int64(2)).w) == 2
    with pytest.raises(TypeError, match="float"):
        MLP(3.0, [1])


def test_without_biases():
    net = MLP(2, [2, 1], "sigmoid", bias=False, seed=0)
    assert net.b is None
    assert len(net.parameters()) == 6
    assert net.trace([1.0, 1.0]).z[1][0].data == pytest.approx(net.W[0][0].sum())
    with pytest.raises(ValueError, match="without biases"):
        net.b = [[0.0, 0.0], [0.0]]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: MLP(2, [2])([1.0]), ValueError, ["2 inputs", "given 1"]),
        (lambda: MLP(2, [2])([[1.0, 2.0]]), TypeError, ["one sample", "autobp.predict"]),
        (lambda: Neuron(2)([1.0, 2.0, 3.0]), ValueError, ["2 inputs", "given 3"]),
        (lambda: MLP(2, []), ValueError, ["nouts"]),
        (lambda: MLP(2, 3), TypeError, ["[3]"]),
        (lambda: MLP(0, [1]), ValueError, ["nin = 0"]),
        (lambda: MLP(2, [0]), ValueError, ["nout = 0"]),
        (lambda: MLP(2, [1], "sigmod"), ValueError, ["'sigmod'; did you mean 'sigmoid'?", "or a function"]),
        (lambda: MLP(2, [1], "LeakyReLU"), ValueError, ["did you mean 'leaky_relu'?"]),
        (lambda: MLP(2, [1], "swish"), ValueError, ["did you mean 'silu'?"]),
        (lambda: MLP(2, [1], "xyz"), ValueError, ["unknown activation 'xyz'; known are linear"]),
        (lambda: MLP(2, [1], init="kaiming"), ValueError, ["did you mean 'he'?"]),
        (lambda: MLP(2, ["3"]), TypeError, ["'3'", "str"]),
        (lambda: MLP(1, [1])(0.5), TypeError, ["net([1.0])", "0.5"]),
        (lambda: MLP(2, [1], ["tanh", "tanh"]), ValueError, ["1 layers", "got 2"]),
        (lambda: MLP(2, [2, 2], "softmax"), ValueError, ["output layer"]),
        (lambda: Neuron(2, activation="softmax"), ValueError, ["whole layer"]),
        (lambda: MLP(2, [1], activation=[3]), TypeError, ["3"]),
        (lambda: MLP(2, [1], init="xaver"), ValueError, ["'xaver'", "xavier"]),
        (lambda: MLP(2, [1], weights=[np.zeros((2, 1))]), ValueError, ["W[0]", "(1, 2)", "(2, 1)"]),
        (lambda: MLP(2, [1], weights=[]), ValueError, ["1 layers", "got 0"]),
        (lambda: MLP(2, [1], weights=[[[math.nan, 0]]]), ValueError, ["W[0]", "finite"]),
        (lambda: MLP(2, [1], weights=[[[1j, 0]]]), TypeError, ["W[0]", "real", "complex128"]),
        (lambda: MLP(2, [1])(["a", "b"]), TypeError, ["'a'"]),
    ],
)
def test_wrong_use_is_told(wrong, error, words):
    with pytest.raises(error) as raised:
        wrong()
    for word in words:
        assert word in str(raised.value)


def test_nothing_is_set_where_one_of_several_arrays_does_not_fit():
    net = MLP(2, [2, 1], seed=0)
    before = net.W
    with pytest.raises(ValueError, match=r"W\[1\]"):
        net.W = [np.zeros((2, 2)), np.zeros((2, 2))]
    assert all((x == y).all() for x, y in zip(net.W, before, strict=True))


@pytest.mark.parametrize("name", ["W", "b"])
def test_weights_and_biases_cannot_be_deleted(name):
    net = MLP(2, [3, 1], seed=0)
    before = repr(getattr(net, name))
    for part in (net, net.layers[0]):
        with pytest.raises(AttributeError):
            delattr(part, name)
    assert repr(getattr(net, name)) == before


@pytest.mark.parametrize("bias", [True, False])
def test_a_saved_network_comes_back_whole(tmp_path, bias):
    net = MLP(3, [4, 2], ["gelu", "softmax"], bias=bias, seed=2, init="he")
    path = tmp_path / "net.npz"
    net.save(path)
    again = MLP.load(path)
    assert [a.data for a in again([1.0, 2.0, 3.0])] == [a.data for a in net([1.0, 2.0, 3.0])]
    assert again.activations == net.activations
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in net.named_parameters()]
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"format", "activations", "W1", "W2"} | ({"b1", "b2"} if bias else set())
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left behind"


def test_saving_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.npz"
    MLP(1, [1], seed=0).save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="layer 1"):
        MLP(1, [1], [lambda z: z]).save(path)
    assert path.read_bytes() == before


def test_loading_what_is_no_network_says_so(tmp_path):
    text, other = tmp_path / "text.npz", tmp_path / "other.npz"
    text.write_text("hello")
    np.savez(other, x=np.zeros(2))
    damaged = tmp_path / "damaged.npz"
    np.savez(damaged, format=1, activations=np.array(["relu", "linear"]), W1=np.zeros((1, 1)))
    for path, words in [(text, "not a saved network"), (other, "holds x"), (damaged, "W2 missing")]:
        with pytest.raises(ValueError, match=words):
            MLP.load(path)
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        MLP.load(tmp_path / "missing.npz")


def test_the_ending_npz_is_added_where_it_is_left_out(tmp_path):
    net = MLP(2, [1], seed=0)
    assert net.save(tmp_path / "small") == tmp_path / "small.npz"
    assert net.save(tmp_path / "v1.2") == tmp_path / "v1.2.npz"
    for name in ("small", "small.npz", "v1.2"):
        assert (MLP.load(tmp_path / name).W[0] == net.W[0]).all()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        net.save(tmp_path / "missing" / "small.npz")
    (tmp_path / "results.npz").mkdir()
    for folder in (tmp_path, tmp_path / "results"):  # the first became a file beside the folder
        with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
            net.save(folder)


def test_a_wide_layer_is_printed_in_short():
    assert str(MLP(2, [2, 1])) == str(MLP(2, [2, 1])).replace("×", "")
    wide = str(MLP(784, [30, 10], "sigmoid"))
    assert len(wide) < 200
    assert "30 ×" in wide
    assert "10 ×" in wide


def test_a_file_cut_short_or_with_a_bit_changed_loads_the_same_network_or_says_so(tmp_path):
    net, path = MLP(2, [2, 1], seed=0), tmp_path / "net.npz"
    net.save(path)
    whole = path.read_bytes()
    rng = random.Random(0)
    for length in [0, 1, 4, 30, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net\.npz is not a saved network"):
            MLP.load(path)
    for _ in range(200):
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            again = MLP.load(path)
        except ValueError:
            continue
        assert [p.data for p in again.parameters()] == [p.data for p in net.parameters()]


@pytest.mark.parametrize(
    "arrays",
    [
        {"W1": np.zeros(3)},
        {"W1": np.array([["a"]])},
        {"W1": np.zeros((2, 2)), "b1": np.zeros(3)},
        {"W1": np.zeros((0, 2))},
        {"W1": np.zeros((2, 2)), "activations": np.array("relu")},
        {"W1": np.zeros((2, 2)), "activations": np.array(["no such thing"])},
        {"activations": np.array([], dtype=str)},
    ],
)
def test_arrays_that_make_no_network_are_told_with_the_files_name(tmp_path, arrays):
    path = tmp_path / "net.npz"
    np.savez(path, **{"format": 1, "activations": np.array(["relu"]), **arrays})
    with pytest.raises(ValueError, match=r"net\.npz is damaged"):
        MLP.load(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"array\.npy is not a saved network"):
        MLP.load(tmp_path / "array.npy")


def test_a_saved_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    MLP(1, [1], seed=0).save(tmp_path / "net.npz")
    assert (tmp_path / "net.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_code_written_for_micrograd_runs_with_only_its_imports_changed():
    code = """
import random
import re
from autobp.engine import Value
from autobp.nn import Neuron, Layer, MLP, Module
random.seed(4)
n = MLP(3, [4, 4, 1])
xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]
for k in range(60):
    ypred = [n(x) for x in xs]
    loss = sum((yout - ygt)**2 for ygt, yout in zip(ys, ypred))
    for p in n.parameters():
        p.grad = 0.0
    loss.backward()
    for p in n.parameters():
        p.data += -0.01 * p.grad
print(loss.data)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(out) < 1.0


# ------------------------------------------------------------------------- inputs as others hold them


class Column:
    """What pandas' Series is to a network: indexed by names, with a list of its entries."""

    def __init__(self, **entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, name):
        return self.entries[name]

    def tolist(self):
        return list(self.entries.values())


@pytest.mark.parametrize("module", [MLP(2, [3, 1], seed=0), autobp.Layer(2, 2), autobp.Neuron(2)])
def test_arrays_columns_and_tensors_are_inputs(module):
    expected = str(module([0.5, -1.25]))
    array = np.array([0.5, -1.25])
    values = np.array([Value(0.5), Value(-1.25)])
    for x in (array, array.astype(np.float32), Column(height=0.5, width=-1.25), (0.5, -1.25), values):
        assert str(module(x)) == expected
    torch = pytest.importorskip("torch")
    assert str(module(torch.tensor([0.5, -1.25]))) == expected
    with pytest.raises(TypeError, match=r"would lose it; give x\.detach\(\)"):
        module(torch.tensor([0.5, -1.25], requires_grad=True))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"a": 1.0, "b": 2.0}, r"not by names; give a list, as list\(x\.values\(\)\)"),
        ({1.0, 2.0}, "takes a list of its inputs"),
        ((n for n in [1.0, 2.0]), "takes a list of its inputs"),
        (np.array(1.0), "takes a list of its inputs"),
        (np.ones((1, 2)), "one sample at a time"),
        (["1", 2.0], "holds one real number"),
    ],
)
def test_what_is_no_sample_is_told(x, words):
    with pytest.raises(TypeError, match=words):
        MLP(2, [1], seed=0)(x)


def test_what_others_networks_have_as_methods_is_named():
    net = MLP(2, [1], seed=0)
    for name, instead in (("fit", "autobp.fit(net, X, Y)"), ("predict", "autobp.predict(net, X)")):
        told = re.escape(f"'MLP' object has no attribute '{name}'; write {instead}")
        with pytest.raises(AttributeError, match=told):
            getattr(net, name)
    with pytest.raises(AttributeError, match=r"^'MLP' object has no attribute 'foo'$"):
        net.foo  # noqa: B018
    assert not hasattr(net, "__array__")
    assert net.sizes == [2, 1]


def test_a_property_that_fails_keeps_its_own_error():
    class Own(MLP):
        @property
        def broken(self):
            return self.layers.nothing

    with pytest.raises(AttributeError, match="'list' object has no attribute 'nothing'"):
        Own(2, [1]).broken  # noqa: B018


@pytest.mark.parametrize("given", ["no", 1, 0, None, np.True_])
def test_a_switch_that_is_no_truth_is_refused_in_every_build(given):
    compiled = bool(autobp.__compiled__)
    for name, make in (
        ("bias", lambda: MLP(2, [1], bias=given)), ("bias", lambda: Layer(2, 1, bias=given)),
        ("bias", lambda: Neuron(2, bias=given)), ("nonlin", lambda: Layer(2, 1, nonlin=given)),
        ("nonlin", lambda: Neuron(2, nonlin=given, activation="tanh")),
    ):  # fmt: skip
        # mypyc has its own words
        told = "bool object expected" if compiled else f"{name} is True or False; got"
        with pytest.raises(TypeError, match=told):
            make()
