"""Neurons, layers and multi-layer perceptrons built of Values.

Numbering follows the documents: layers, neurons and inputs count from 1 in names, so that ``W1[2,3]`` is the
weight of the first layer that leads from input 3 to neuron 2, and ``b1[2]`` that neuron's bias.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from operator import index as whole
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from mypy_extensions import mypyc_attr
from numpy.typing import ArrayLike, NDArray

from autobp.about import About
from autobp.activations import ACTIVATIONS as ACTIVATIONS
from autobp.activations import Activation as Activation
from autobp.activations import activate, checked, of_each_layer, title
from autobp.activations import is_activation as is_activation
from autobp.arguments import checked_seed, listed, real, truth, unknown
from autobp.engine import Value, set_data
from autobp.errors import explain_missing_methods
from autobp.folded import Operands, weighted_sum
from autobp.functions import softmax
from autobp.saving import load, save

if TYPE_CHECKING:
    from autobp.typed import Output

INITIALISATIONS = ("uniform", "xavier", "he", "zeros")

_INITIALISATIONS_ELSEWHERE = {
    "glorot": "'xavier'",
    "glorotuniform": "'xavier'",
    "xavieruniform": "'xavier'",
    "kaiming": "'he'",
    "kaimingnormal": "'he'",
    "henormal": "'he'",
}

_MOST_SHOWN = 4  # neurons of a layer that its repr names one by one, as micrograd's does


@mypyc_attr(allow_interpreted_subclasses=True)
class Module:
    """Something with parameters. Subclasses say which, in :meth:`named_parameters` or :meth:`parameters`."""

    def named_parameters(self) -> list[tuple[str, Value]]:
        """(name, Value) of each parameter; the name is the parameter's label."""
        return [(parameter.label, parameter) for parameter in self.parameters()]

    def parameters(self) -> list[Value]:
        """The parameters, in a fixed order."""
        return []

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for parameter in self.parameters():
            parameter.grad = 0.0

    def call_arguments(self) -> list[str] | None:
        """What the arguments of a call are named, for ``compile``; None where its signature tells.

        Methods that mypyc compiled do not show theirs: so those of this module's own classes are told here.
        """
        call = getattr(type(self), "__call__", None)  # noqa: B004
        return ["x"] if call in (Neuron.__call__, Layer.__call__, MLP.__call__) else None

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _reduced(self, protocol)


def _reduced(x: Any, protocol: Any) -> Any:
    # pickle's protocols 0 and 1 know no compiled classes; what protocol 2 makes, they write too
    return object.__reduce_ex__(x, max(protocol, 2))


def _activation(activation: Activation | None, nonlin: bool) -> Activation:
    """The activation, or what micrograd's ``nonlin`` stands for."""
    left_out = "relu" if truth("nonlin", nonlin) else "linear"
    return left_out if activation is None else activation


@mypyc_attr(allow_interpreted_subclasses=True)
class Neuron(Module):
    """a = σ(Σ w_i x_i + b).

    Args:
        nin: the number of inputs, at least 1.
        nonlin: micrograd's switch, where no activation is given: relu if true, else linear.
        activation: σ, a name in ``ACTIVATIONS`` (not softmax) or a function of a Value.
        bias: whether there is a b; it starts at 0.
        init: how the weights start. "uniform": from -1 to 1, as in micrograd; "xavier": uniform within
            ±√(6 / (nin + nout)); "he": normal with standard deviation √(2 / nin); "zeros". Sources: Glorot
            and Bengio 2010, equation 16; He et al. 2015, equation 10.
        nout: the number of neurons in the layer, for "xavier".
        rng: where random numbers come from; the module :mod:`random` itself if left out, as in micrograd.
        name: what goes before the indices in the labels, "1[2," for the second neuron of the first layer.

    Raises ValueError where nin is below 1 or a name is unknown, and TypeError where the activation is neither
    a name nor a function.
    """

    _w: Operands | None = None  # w, as it was for the last input

    def __init__(
        self,
        nin: SupportsIndex,
        nonlin: bool = True,
        *,
        activation: Activation | None = None,
        bias: bool = True,
        init: str = "uniform",
        nout: SupportsIndex = 1,
        rng: random.Random | None = None,
        name: str = "[",
    ) -> None:
        nin, nout = whole(nin), whole(nout)
        if nin < 1:
            raise ValueError(f"a neuron needs at least one input; got nin = {nin}")
        activation = _activation(activation, nonlin)
        if activation == "softmax":
            raise ValueError("softmax is the activation of a whole layer, not of one neuron")
        self.activation: Activation = checked(activation)
        self.nonlin = activation not in ("linear", "identity")
        draw = _sampler(init, nin, nout, rng)
        self.w: list[Value] = [Value(draw(), label=f"w{name}{i + 1}]") for i in range(nin)]
        self.b: Value | None = Value(0.0, label=f"b{name}".rstrip(",[")) if truth("bias", bias) else None

    def weighted_input(self, x: Sequence[Any]) -> Value:
        """z = b + Σ w_i x_i; ValueError where x has not as many elements as the neuron has weights."""
        if len(x) != len(self.w):
            raise ValueError(f"a neuron of {len(self.w)} inputs was given {len(x)}")
        w = self._w
        if w is None or not w.are(self.w):
            w = self._w = Operands(self.w)
        z = weighted_sum(self.b, w, x if isinstance(x, Operands) else Operands(_values(x)))
        assert z is not None  # nin is at least 1
        return z

    def __call__(self, x: Sequence[Any]) -> Value:
        """The activation a for the inputs x, ``nin`` Values or numbers."""
        return activate(self.activation, self.weighted_input(x))

    def parameters(self) -> list[Value]:
        """The weights, then the bias."""
        return [*self.w, self.b] if self.b is not None else list(self.w)

    def __repr__(self) -> str:
        return f"{title(self.activation)}Neuron({len(self.w)})"


@mypyc_attr(allow_interpreted_subclasses=True)
class Layer(Module):
    """``nout`` neurons that share their ``nin`` inputs.

    Args:
        nin, nout: the numbers of inputs and neurons, at least 1 each.
        nonlin, activation, bias, init, rng: as for :class:`Neuron`; the activation may also be "softmax".
        index: the layer's number in names.

    Raises what :class:`Neuron` does, and ValueError where nout is below 1.
    """

    def __init__(
        self,
        nin: SupportsIndex,
        nout: SupportsIndex,
        nonlin: bool = True,
        *,
        activation: Activation | None = None,
        bias: bool = True,
        init: str = "uniform",
        rng: random.Random | None = None,
        index: int = 1,
    ) -> None:
        nin, nout = whole(nin), whole(nout)
        if nout < 1:
            raise ValueError(f"a layer needs at least one neuron; got nout = {nout}")
        activation = _activation(activation, nonlin)
        self.activation: Activation = checked(activation)
        self.nin: int = nin
        own: Activation = "linear" if activation == "softmax" else activation
        self.neurons: list[Neuron] = [
            Neuron(nin, activation=own, bias=bias, init=init, nout=nout, rng=rng) for _ in range(nout)
        ]
        for j, neuron in enumerate(self.neurons, start=1):
            for i, w_i in enumerate(neuron.w, start=1):
                w_i.label = f"W{index}[{j},{i}]"
            if neuron.b is not None:
                neuron.b.label = f"b{index}[{j}]"

    def weighted_inputs(self, x: Sequence[Any]) -> list[Value]:
        """z of each neuron for the inputs x, ``nin`` Values or numbers; ValueError for another number."""
        operands: Any = Operands(_values(x))
        return [neuron.weighted_input(operands) for neuron in self.neurons]

    def activations(self, z: Sequence[Value]) -> list[Value]:
        """a of each neuron from all their z."""
        if self.activation == "softmax":
            return softmax(z)
        return [activate(self.activation, z_j) for z_j in z]

    def __call__(self, x: Sequence[Any]) -> Output:
        """The activations for the inputs x: a list, or one Value of one neuron, as in micrograd."""
        a: Any = self.activations(self.weighted_inputs(x))
        return a[0] if len(a) == 1 else a  # type: ignore[no-any-return]

    def parameters(self) -> list[Value]:
        """The parameters of each neuron in turn."""
        return [parameter for neuron in self.neurons for parameter in neuron.parameters()]

    @property
    def W(self) -> NDArray[np.float64]:
        """The weights as a read-only copy, (nout, nin). Can be set as a whole, ``layer.W = array``.

        Raises ValueError where the array that is set does not fit.
        """
        return _read_only([[w_i.data for w_i in neuron.w] for neuron in self.neurons])

    @W.setter
    def W(self, weights: ArrayLike) -> None:
        array = _finite("W", weights, (len(self.neurons), self.nin))
        for neuron, row in zip(self.neurons, array, strict=True):
            for w_i, number in zip(neuron.w, row, strict=True):
                set_data(w_i, number)

    @property
    def b(self) -> NDArray[np.float64] | None:
        """The biases as a read-only copy, (nout,), or None. Can be set, as ``W``."""
        if self.neurons[0].b is None:
            return None
        return _read_only([neuron.b.data for neuron in self.neurons if neuron.b is not None])

    @b.setter
    def b(self, biases: ArrayLike) -> None:
        if self.neurons[0].b is None:
            raise ValueError("the layer was made without biases, bias=False; they cannot be set")
        array = _finite("b", biases, (len(self.neurons),))
        for neuron, number in zip(self.neurons, array, strict=True):
            assert neuron.b is not None
            set_data(neuron.b, number)

    def __repr__(self) -> str:
        if len(self.neurons) > _MOST_SHOWN:
            return f"Layer of {len(self.neurons)} × {self.neurons[0]}"
        return f"Layer of [{', '.join(str(neuron) for neuron in self.neurons)}]"


@mypyc_attr(serializable=True)
class Trace:
    """The Values of one forward pass through an MLP.

    After ``backward()`` from one sample's cost, ``z[l][j].grad`` is δ of neuron j; under the mean over m
    samples it is δ/m.

    Attributes:
        a: ``a[0]`` the inputs, ``a[l]`` the activations of layer l, a list each.
        z: ``z[l]`` the weighted inputs of layer l; ``z[0]`` is empty: the input layer has none.
    """

    def __init__(self, x: list[Value]) -> None:
        self.a: list[list[Value]] = [x]
        self.z: list[list[Value]] = [[]]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _reduced(self, protocol)

    @property
    def output(self) -> list[Value]:
        """The last layer's activations."""
        return self.a[-1]


@mypyc_attr(allow_interpreted_subclasses=True)
class MLP(Module):
    """A multi-layer perceptron: fully connected layers one after another.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons of each layer, the output layer last.
        activation: one for every layer, the output too, or a sequence with one for each layer. A name in
            ``ACTIVATIONS`` or a function of a Value; "softmax" for the output only. Left out: relu, and a
            linear output, as in micrograd.
        bias: whether the neurons have biases.
        init: "uniform" (-1 to 1, as in micrograd), "xavier", "he" or "zeros"; see :class:`Neuron`.
        seed: for the random numbers of the initialisation, from 0; left out, they come from :mod:`random`.
        weights: arrays to start from instead, ``weights[l]`` of shape (nouts[l], inputs of layer l).
        biases: likewise, ``biases[l]`` of shape (nouts[l],).

    Raises:
        ValueError: a size below 1, a seed below 0, an unknown name, arrays that do not fit. The message says
            which.
    """

    #: What it was trained on, for ``answers``; ``save`` keeps it. Set it to ``data.about()``.
    about: About | None = None

    def __init__(
        self,
        nin: SupportsIndex,
        nouts: Sequence[SupportsIndex],
        activation: Activation | Sequence[Activation] | None = None,
        *,
        bias: bool = True,
        init: str = "uniform",
        seed: SupportsIndex | None = None,
        weights: Sequence[ArrayLike] | None = None,
        biases: Sequence[ArrayLike] | None = None,
    ) -> None:
        if isinstance(nouts, int):
            raise TypeError(f"nouts is a list with the size of each layer: MLP({nin}, [{nouts}])")
        for size in (nin, *nouts):
            if not hasattr(size, "__index__"):
                raise TypeError(f"sizes are whole numbers; got {size!r}, a {type(size).__name__}")
        sizes = [whole(size) for size in (nin, *nouts)]
        if len(sizes) < 2:
            raise ValueError("an MLP needs at least one layer: nouts is empty")
        activations = of_each_layer(activation, len(nouts))
        if "softmax" in activations[:-1]:
            raise ValueError("softmax is for the output layer; a hidden layer cannot have it")
        rng = None if seed is None else random.Random(checked_seed(seed))
        self.layers: list[Layer] = [
            Layer(
                sizes[i], sizes[i + 1], activation=activations[i], bias=bias, init=init, rng=rng, index=i + 1
            )
            for i in range(len(nouts))
        ]
        if weights is not None:
            self._set_weights(weights)
        if biases is not None:
            self._set_biases(biases)

    @property
    def sizes(self) -> list[int]:
        """The number of inputs, then of each layer's neurons."""
        return [self.layers[0].nin, *[len(layer.neurons) for layer in self.layers]]

    @property
    def activations(self) -> list[Activation]:
        """Each layer's activation, as it was given."""
        return [layer.activation for layer in self.layers]

    def __call__(self, x: Sequence[Any]) -> Output:
        """The output for the inputs x: a list, or one Value where there is one output, as in micrograd."""
        a: Any = self.trace(x).output
        return a[0] if len(a) == 1 else a  # type: ignore[no-any-return]

    def trace(self, x: Sequence[Any]) -> Trace:
        """The forward pass of one sample with every z and a at hand.

        Raises ValueError where x has not ``nin`` elements, and TypeError where they are no numbers.
        """
        if not isinstance(x, (list, tuple)):
            x = listed(x)
        if not hasattr(x, "__len__") or not hasattr(x, "__getitem__"):
            raise TypeError(f"a network takes a list of its inputs, as in net([1.0]); got {x!r}")
        if len(x) and not isinstance(x[0], Value) and hasattr(x[0], "__len__") and not isinstance(x[0], str):
            raise TypeError(
                "a network takes one sample at a time, a flat list; for many, a sample in each row, there "
                "are autobp.predict(net, X) and [net(x) for x in X]"
            )
        inputs = _values(x)
        if len(inputs) != self.layers[0].nin:
            raise ValueError(f"a network of {self.layers[0].nin} inputs was given {len(inputs)}")
        trace = Trace(inputs)
        for layer in self.layers:
            trace.z.append(layer.weighted_inputs(trace.a[-1]))
            trace.a.append(layer.activations(trace.z[-1]))
        return trace

    def parameters(self) -> list[Value]:
        """The parameters of each layer in turn: of each neuron its weights, then its bias."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def weights(self) -> list[Value]:
        """The parameters that are weights and not biases, those that an L2 penalty is for."""
        return [w_i for layer in self.layers for neuron in layer.neurons for w_i in neuron.w]

    @property
    def W(self) -> tuple[NDArray[np.float64], ...]:
        """Each layer's weights as a read-only copy, (nout, nin). Can be set as a whole, ``net.W = arrays``.

        Raises ValueError, and sets nothing, where one of the arrays that are set does not fit.
        """
        return tuple([layer.W for layer in self.layers])

    @W.setter
    def W(self, weights: Sequence[ArrayLike]) -> None:
        self._set_weights(weights)

    def _set_weights(self, weights: Sequence[ArrayLike]) -> None:
        arrays = [
            _finite(f"W[{i}]", array, (len(layer.neurons), layer.nin))
            for i, (layer, array) in enumerate(_paired(self.layers, weights, "weights"))
        ]
        for layer, array in zip(self.layers, arrays, strict=True):
            layer.W = array

    @property
    def b(self) -> tuple[NDArray[np.float64], ...] | None:
        """Each layer's biases as a read-only copy, (nout,), or None without. Can be set, as ``W``."""
        found = [layer.b for layer in self.layers]
        return None if found[0] is None else tuple([b for b in found if b is not None])

    @b.setter
    def b(self, biases: Sequence[ArrayLike]) -> None:
        self._set_biases(biases)

    def _set_biases(self, biases: Sequence[ArrayLike]) -> None:
        if self.b is None:
            raise ValueError("the network was made without biases, bias=False; they cannot be set")
        arrays = [
            _finite(f"b[{i}]", array, (len(layer.neurons),))
            for i, (layer, array) in enumerate(_paired(self.layers, biases, "biases"))
        ]
        for layer, array in zip(self.layers, arrays, strict=True):
            layer.b = array

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole network to an ``.npz`` file, which :meth:`load` and plain NumPy read.

        A file that is there already is replaced only once the new one is complete.

        Args:
            path: where to; ``.npz`` is added where it does not end so, as NumPy does.

        Returns:
            The path that was written.

        Raises:
            ValueError: an activation is a function: give it a name to save it by.
            FileNotFoundError: there is no such folder.
        """
        return save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MLP:
        """The network that :meth:`save` wrote to this path, with or without its ``.npz``.

        Raises ValueError where the file is not one of those or is damaged, and FileNotFoundError where there
        is none.
        """
        return load(cls, path)

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


explain_missing_methods(MLP)


def _sampler(init: str, nin: int, nout: int, rng: random.Random | None) -> Callable[[], float]:
    uniform = random.uniform if rng is None else rng.uniform
    if init == "uniform":
        return lambda: uniform(-1, 1)
    if init == "xavier":
        bound = math.sqrt(6 / (nin + nout))
        return lambda: uniform(-bound, bound)
    if init == "he":
        gauss = random.gauss if rng is None else rng.gauss
        return lambda: gauss(0.0, math.sqrt(2 / nin))
    if init == "zeros":
        return lambda: 0.0
    raise ValueError(unknown("initialisation", init, INITIALISATIONS, _INITIALISATIONS_ELSEWHERE))


def _values(x: Sequence[Any]) -> list[Value]:
    """x as Values: each number becomes one leaf, shared by all the neurons that read it."""
    given = x if isinstance(x, (list, tuple)) else listed(x)
    return [x_i if isinstance(x_i, Value) else Value(x_i) for x_i in given]


def _paired(layers: list[Layer], arrays: Sequence[ArrayLike], what: str) -> list[tuple[Layer, ArrayLike]]:
    if len(arrays) != len(layers):
        raise ValueError(f"{len(layers)} layers need as many arrays of {what}; got {len(arrays)}")
    return list(zip(layers, arrays, strict=True))


def _read_only(numbers: list[Any]) -> NDArray[np.float64]:
    """An array that refuses to be changed: it is a copy, and the network would not notice."""
    array = np.array(numbers, dtype=np.float64)
    array.flags.writeable = False
    return array


def _finite(name: str, array: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    result = real(name, array)
    if result.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}; got {result.shape}")
    if not np.isfinite(result).all():
        raise ValueError(f"{name} has entries that are not finite")
    return result
