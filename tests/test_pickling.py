"""Pickling, copying and subclassing: the same whether the core is compiled or not."""

import base64
import copy
import io
import math
import pickle

import pytest

import autobp
from autobp import MLP, Value
from autobp.about import About
from autobp.engine import topological_order


class Weight(Value):
    """A subclass with a __dict__ and a constructor of its own."""

    def __init__(self, data, layer):
        super().__init__(data, label="w")
        self.layer = layer


class Slotted(Value):
    __slots__ = ("unit",)


def interpreted_pickle(x):
    """What pickle.dumps gives without its accelerator, as cloudpickle's and dill's relatives use it."""
    file = io.BytesIO()
    pickle._Pickler(file, protocol=4).dump(x)
    return file.getvalue()


COPIERS = {
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "pickle, protocol 0": lambda x: pickle.loads(pickle.dumps(x, protocol=0)),
    "pickle, protocol 2": lambda x: pickle.loads(pickle.dumps(x, protocol=2)),
    "interpreted pickle": lambda x: pickle.loads(interpreted_pickle(x)),
    "deepcopy": copy.deepcopy,
}

each_copier = pytest.mark.parametrize("copied", COPIERS.values(), ids=COPIERS.keys())


def described(root):
    """Everything about a graph but the identity of its nodes."""
    order = topological_order(root)
    place = {id(node): i for i, node in enumerate(order)}
    return [
        (
            type(node),
            node.data,
            node.grad,
            node.operation,
            node._op,
            node.constants,
            node.partials,
            node.label,
            [place[id(parent)] for parent in node.parents],
        )
        for node in order
    ]


@each_copier
def test_a_graph_comes_back_as_it_was_and_differentiates_again(copied):
    x, y = Value(0.5, label="x"), Value(-1.5, label="y")
    a = (x * y + x**3).tanh()
    b = autobp.where(autobp.greater(a, y), a.leaky_relu(0.2) - y, x / y) + autobp.take([x, a, y], 1) + a * a
    root = b + Value(4.0, (x, a), (0.25, -1.0)) + Value(1.0, (), "mark")
    root.backward()
    twin = copied(root)
    assert described(twin) == described(root)
    assert not {id(node) for node in topological_order(twin)} & {id(node) for node in topological_order(root)}
    twin.backward()
    root.backward()
    assert described(twin) == described(root)


@each_copier
def test_what_two_results_share_stays_shared(copied):
    x = Value(2.0)
    square = x * x
    x2, square2, (again, sin) = copied((x, square, [square + 1, square.sin()]))
    assert square2.parents == (x2, x2)
    assert again.parents[0] is square2
    assert sin.parents[0] is square2


@each_copier
def test_a_long_chain_is_copied_without_recursion(copied):
    x = Value(1.0)
    y = x
    for i in range(20_000):
        y = y + x if i % 2 else y * 1.0
    twin = copied(y)
    twin.backward()
    assert twin.data == y.data
    assert topological_order(twin)[0].grad == 10_001.0


@each_copier
def test_a_long_chain_is_copied_after_a_pickling_that_failed_half_way(copied):
    x = Value(1.0)
    y = x
    for _ in range(5_000):
        y = y * x
    w = Weight(1.0, layer=lambda: None)  # nothing that pickle can write, and met after the chain
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(w * y)
    assert copied(y).data == 1.0


def test_a_hand_made_backward_cannot_be_copied_and_says_so():
    x = Value(3.0)
    y = Value(9.0, (x,), "square")
    y._backward = lambda: None
    for copier in COPIERS.values():
        with pytest.raises(TypeError, match="_backward made by hand"):
            copier(y * 2)


def test_a_shallow_copy_is_another_node_of_the_same_parents():
    x = Value(3.0)
    y = x * x
    twin = copy.copy(y)
    assert twin is not y
    assert (twin.parents, twin.data) == ((x, x), 9.0)


@each_copier
def test_subclasses_keep_their_attributes(copied):
    w, s = Weight(0.5, layer=2), Slotted(1.5)
    s.unit = "mV"
    w2, s2, y = copied((w, s, w * s))
    assert (type(w2), w2.data, w2.label, w2.layer) == (Weight, 0.5, "w", 2)
    assert (type(s2), s2.data, s2.unit) == (Slotted, 1.5, "mV")
    y.backward()
    assert (w2.grad, s2.grad) == (1.5, 0.5)


def test_a_subclass_overrides_what_it_likes():
    class Loud(Value):
        def __add__(self, other):
            return Loud(self.data + (other.data if isinstance(other, Value) else other), (self,), (1.0,))

        def backward(self, *arguments, **named):
            self.walked = True
            super().backward(*arguments, **named)

    x = Loud(1.0)
    y = x + 2
    assert type(y) is Loud
    y.backward()
    assert y.walked
    assert x.grad == 1.0
    assert type(x * 2) is Value


@each_copier
def test_networks_are_copied_with_their_weights(copied):
    net = MLP(3, [4, 2], activation="tanh", seed=1)
    twin = copied(net)
    x = [0.1, -0.2, 0.3]
    assert [a.data for a in twin(x)] == [a.data for a in net(x)]
    twin.parameters()[0].data = 9.0
    assert net.parameters()[0].data != 9.0


PARTS = {
    "network": lambda net: net,
    "layer": lambda net: net.layers[0],
    "neuron": lambda net: net.layers[0].neurons[0],
}


@each_copier
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_a_network_and_its_parts_are_copied_before_and_after_use(copied, used, part):
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    x = [0.5, -1.0]
    if used:
        net(x).backward()
        for parameter in net.parameters():
            parameter.data *= 2.0
        net(x)
    module = part(net)
    twin = copied(module)
    assert str(twin(x)) == str(module(x))
    assert [p.label for p in twin.parameters()] == [p.label for p in module.parameters()]
    assert [p.grad for p in twin.parameters()] == [p.grad for p in module.parameters()]
    twin.zero_grad()
    twin(x)
    before = str(module(x))
    for parameter in twin.parameters():
        parameter.data = 0.0
    assert str(module(x)) == before
    outputs = twin(x) if isinstance(twin(x), list) else [twin(x)]
    assert [a.data for a in outputs] == [0.0] * len(outputs)


@each_copier
@pytest.mark.parametrize("used", [False, True])
def test_snapshots_and_histories_are_copied_before_and_after_use(copied, used):
    net, history = MLP(2, [3, 1], activation="tanh", seed=1), autobp.History()
    frames = autobp.plots.Snapshots(net)
    samples = [[0.5, -1.0], [1.0, 0.25]], [[1.0], [-1.0]]
    if used:
        history = autobp.fit(net, *samples, epochs=3, seed=0, progress=False, on_epoch=frames)
    twin_frames, twin_history = copied((frames, history))
    assert twin_history == history
    assert list(twin_frames.epochs) == list(frames.epochs)
    autobp.fit(net, *samples, epochs=2, seed=0, progress=False, on_epoch=frames)
    assert len(frames.epochs) > len(twin_frames.epochs)
    autobp.fit(twin_frames.net, *samples, epochs=1, seed=0, progress=False, on_epoch=twin_frames)


@each_copier
def test_a_network_keeps_what_it_is_about(copied):
    net = MLP(2, [1], seed=1)
    assert copied(net).about is None
    net.about = About(source="moons", names=("a", "b"), offset=(0.0, 1.0), scale=(1.0, 2.0))
    assert copied(net).about == net.about


@each_copier
@pytest.mark.parametrize("look", [False, True])
def test_a_forward_pass_is_copied_with_the_network_it_belongs_to(copied, look):
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    trace = net.trace([0.5, -1.0])
    if look:
        trace.output[0].backward()
        topological_order(trace.output[0])
    twin_net, twin = copied((net, trace))
    assert described(twin.output[0]) == described(trace.output[0])
    assert [[a.data for a in layer] for layer in twin.a] == [[a.data for a in layer] for layer in trace.a]
    assert [[z.data for z in layer] for layer in twin.z] == [[z.data for z in layer] for layer in trace.z]
    before = [p.grad for p in twin_net.parameters()]
    twin.output[0].backward()
    assert [p.grad for p in twin_net.parameters()] != before, "its leaves are the copied network's"


def test_what_a_neuron_keeps_for_its_next_call_does_not_travel():
    neuron = autobp.Neuron(50, activation="tanh")
    fresh = len(pickle.dumps(neuron))
    neuron([1.0] * 50)
    assert len(pickle.dumps(neuron)) < fresh + 100


def test_a_module_can_be_subclassed_in_plain_python():
    class Residual(autobp.Module):
        def __init__(self, n):
            self.layer = autobp.Layer(n, n, activation="tanh")

        def __call__(self, x):
            return [x_i + y_i for x_i, y_i in zip(x, self.layer(x), strict=True)]

        def parameters(self):
            return self.layer.parameters()

    block = Residual(2)
    autobp.sum(block([Value(0.5), Value(1.0)])).backward()
    assert any(p.grad for p in block.parameters())
    block.zero_grad()
    assert not any(p.grad for p in block.parameters())
    assert len(block.named_parameters()) == 6


#: (a·b + eᵃ).relu() + (a + b + a·b + eᵃ) at a = 2, b = -3 after backward(), as version 0.1.0 pickled it.
OF_VERSION_0_1_0 = base64.b64decode(
    "gAJjYXV0b2JwLmVuZ2luZQpfcmVidWlsZApxAChjX19idWlsdGluX18KbGlzdApxASlScQIoaAAoTmNhdXRvYnAuZW5naW5lClZh"
    "bHVlCnEDKEdAAAAAAAAAAEdAI45kuNTdrikpdHEEWAAAAABxBSloBVgBAAAAYXEGdHEHUnEIaAAoTmgDKEfACAAAAAAAAEdAFAAA"
    "AAAAACkpdHEJaAUpaAVYAQAAAGJxCnRxC1JxDGgAKE5oAyhHwBgAAAAAAABHQAAAAAAAAABHwAgAAAAAAABHQAAAAAAAAACGcQ0p"
    "dHEOWAgAAABtdWx0aXBseXEPaAhoDIZxEGgFaAV0cRFScRJoAChOaAMoR0AdjmS41N2uR0AAAAAAAAAAR0AdjmS41N2uhXETKXRx"
    "FFgDAAAAZXhwcRVoCIVxFmgFaAV0cRdScRhoAChOaAMoRz/2OZLjU3a4R0AAAAAAAAAARz/wAAAAAAAARz/wAAAAAAAAhnEZKXRx"
    "GlgDAAAAYWRkcRtoEmgYhnEcaAVYAQAAAGNxHXRxHlJxH2gAKE5oAyhHP/Y5kuNTdrhHP/AAAAAAAABHP/AAAAAAAACFcSApdHEh"
    "WAQAAAByZWx1cSJoH4VxI2gFaAV0cSRScSVoAChOaAMoR7/wAAAAAAAARz/wAAAAAAAARz/wAAAAAAAARz/wAAAAAAAAhnEmKXRx"
    "J2gbaAhoDIZxKGgFaAV0cSlScSpoAChOaAMoRz/Y5kuNTdrgRz/wAAAAAAAARz/wAAAAAAAARz/wAAAAAAAAhnErKXRxLGgbaCpo"
    "H4ZxLWgFaAV0cS5ScS9laAMoRz/8cyXGpu1wRz/wAAAAAAAARz/wAAAAAAAARz/wAAAAAAAAhnEwKXRxMWgbaCVoL4ZxMmgFaAV0"
    "cTNScTQu"
)


def test_a_graph_that_version_0_1_0_pickled_comes_back():
    root = pickle.loads(OF_VERSION_0_1_0)
    leaves = {node.label: node for node in topological_order(root) if node.label in ("a", "b")}
    a, b = leaves["a"], leaves["b"]
    assert root.data == pytest.approx(2 * (math.exp(2) - 6) - 1, rel=1e-15)
    assert (a.grad, b.grad) == (pytest.approx(2 * (math.exp(2) - 3) + 1, rel=1e-15), 5.0)
    a.grad = b.grad = 0.0
    root.backward()
    assert (a.grad, b.grad) == (pytest.approx(2 * (math.exp(2) - 3) + 1, rel=1e-15), 5.0)
