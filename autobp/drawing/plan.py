"""Where everything of a network stands: circles in columns by layer, texts on edges, images of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap

import numpy as np

from autobp.drawing.images import SIDE, Image, in_rows, pixel_shape
from autobp.drawing.scalars import gradient
from autobp.drawing.style import Style, printable
from autobp.engine import Value
from autobp.nn import MLP, Activation, Layer, Neuron, Trace

_MOST_ROWS = 10  # a layer of more neurons is shortened,
_SHOWN_ROWS = 8  # to so many: those with the largest weights
_MOST_ACROSS = 900.0  # points for the labels between two layers; past it, width and colour alone tell weights
_CHARACTER = 6.4  # the width of a character and
LINE = 13.0  # the height of a line, in points: a wide font of size 10, so that narrower ones fit as well
_GAP = 16.0
_LONGEST_NAME = 24
INPUT_IMAGE = "image0"


@dataclass
class Unit:
    """A circle or a text, and where its centre is, in points along the layers and across them.

    Attributes:
        id: unique in the picture: "u1_2" for the second neuron of the first layer, "bias0", "title1", "w7" ….
        lines: what is written in it.
        index: a neuron's or an input's number in its layer; 0 for everything else.
    """

    id: str
    lines: list[str]
    index: int = 0
    along: float = 0.0
    across: float = 0.0

    def place(self, direction: str) -> tuple[float, float]:
        """x and y, y upwards."""
        return {
            "LR": (self.along, -self.across),
            "RL": (-self.along, -self.across),
            "TB": (self.across, -self.along),
            "BT": (self.across, self.along),
        }[direction]


@dataclass
class Edge:
    """A weight or a bias; ``label`` is None where there are too many edges to label."""

    source: Unit
    target: Unit
    weight: Value
    label: Unit | None


@dataclass
class Plan:
    """Where everything of a network stands.

    Attributes:
        columns: the units of each layer, the inputs first; a unit of index 0 stands for those left out.
        biases: the bias unit beside each column but the last, None where a layer has no biases.
        names: texts beside inputs and outputs, the names of quantities and classes.
        images: before the neurons of the first layer, their weights, where the inputs are pixels.
        radius: of the circles of inputs and neurons, in points.
    """

    columns: list[list[Unit]]
    biases: list[Unit | None]
    edges: list[Edge]
    titles: list[Unit]
    names: list[Unit]
    images: list[Image]
    radius: float


def plan_network(
    net: MLP | Layer | Neuron,
    style: Style,
    trace: Trace | None = None,
    *,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    with_delta: bool = False,
    pixels: Sequence[int] | None = (),
) -> Plan:
    """The layout of a network, with room for what the style shows; for δ, where there is one or in any case.

    Raises:
        ValueError: the trace is another network's, or there are not as many names, or pixels, as inputs.
    """
    layers = _rows(net)
    sizes = [len(layers[0][0].w), *[len(neurons) for neurons in layers]]
    if trace is not None and [len(a) for a in trace.a] != sizes:
        raise ValueError(
            f"the trace has layers of {[len(a) for a in trace.a]} values, the network of {sizes}; "
            "give the trace that this network's trace(x) returned"
        )
    # before backward() every grad is 0, and there is no δ yet
    with_delta |= trace is not None and any(gradient(z) for layer in [*trace.z, *trace.a] for z in layer)
    shown = [_shown_units(layers, layer, size) for layer, size in enumerate(sizes)]
    columns = [
        _column(layer, size, shown[layer], style, trace, with_delta) for layer, size in enumerate(sizes)
    ]
    biases = [
        Unit(f"bias{layer}", ["1"]) if any(neuron.b is not None for neuron in neurons) else None
        for layer, neurons in enumerate(layers)
    ]
    shape = pixel_shape(sizes[0], names, pixels)
    if shape is not None:
        columns[0] = [Unit("pixels", [f"{sizes[0]:,} inputs", f"{shape[0]} × {shape[1]} pixels"])]
        biases[0] = None
    edges = [
        Edge(source, target, weight, None)
        for layer, neurons in enumerate(layers)
        for target in columns[layer + 1]
        if target.index
        for source, weight in _incoming(columns[layer], biases[layer], neurons[target.index - 1])
    ]
    labels, extent = _labels(edges, columns, style)
    radius = max(_radius(unit.lines) for column in columns for unit in column if unit.index)
    shares = _place(columns, biases, radius, extent if labels else None, SIDE + 8 if shape else 0.0)
    layer_of = {unit.id: layer for layer, column in enumerate(columns) for unit in column}
    for i, (edge, label) in enumerate(zip(edges, labels, strict=False)):
        edge.label = _on_edge(edge, shares[layer_of[edge.target.id]], Unit(f"w{i}", label))
    tops = [column[0].across - radius for column in columns] + [bias.across - 14 for bias in biases if bias]
    titles = [
        Unit(f"title{layer}", _title(net, layer), along=column[0].along, across=min(tops) - 24)
        for layer, column in enumerate(columns)
    ]
    texts = _names(columns[0], [[str(name)] for name in names], sizes[0], "names", style, -radius)
    texts += _names(columns[-1], _class_lines(classes, sizes[-1]), sizes[-1], "classes", style, radius)
    images = _images(layers[0], columns[1], shape, radius, style) if shape else []
    if shape and trace is not None:
        images.insert(0, _input_image(trace, columns[0][0], shape, style))
    return Plan(columns, biases, edges, titles, texts, images, radius)


def _images(
    neurons: Sequence[Neuron], column: Sequence[Unit], shape: tuple[int, int], radius: float, style: Style
) -> list[Image]:
    """The weights of the neurons that are drawn, each before its circle."""
    return [
        Image(
            f"image1_{unit.index}",
            in_rows([coloured(weight, style) for weight in neurons[unit.index - 1].w], shape),
            unit.along - radius - 6 - SIDE / 2,
            unit.across,
            f"weights of a1[{unit.index}], pixel by pixel",
        )
        for unit in column
        if unit.index
    ]


def _input_image(trace: Trace, unit: Unit, shape: tuple[int, int], style: Style) -> Image:
    """The sample, beside the text that stands for the inputs."""
    aside = SIDE / 2 + (20 if style.direction in ("LR", "RL") else 12 + width_of(unit) / 2)
    numbers = [shown_value(trace, 0, index + 1, style) for index in range(len(trace.a[0]))]
    rows = in_rows(numbers, shape)
    return Image(INPUT_IMAGE, rows, unit.along, unit.across - aside, "the sample's pixels")


def _labels(
    edges: Sequence[Edge], columns: Sequence[Sequence[Unit]], style: Style
) -> tuple[list[list[str]], tuple[float, float]]:
    """The lines on each edge, none where there is no room for them; and how far a label reaches, along the
    layers and across."""
    labels = _edge_labels([edge.weight for edge in edges], style)
    longest = max((len(line) for label in labels for line in label), default=0) * _CHARACTER + 8
    height = max(map(len, labels), default=0) * LINE + 3
    extent = (longest, height) if style.direction in ("LR", "RL") else (height, longest)
    most = max((len(column) + 1) * len(targets) for column, targets in pairwise(columns))
    return [] if not any(labels) or most * extent[1] > _MOST_ACROSS else labels, extent


def _on_edge(edge: Edge, share: float, label: Unit) -> Unit:
    """The label, put on its edge at a share of the way from the target."""
    label.along = edge.target.along + (edge.source.along - edge.target.along) * share
    label.across = edge.target.across + (edge.source.across - edge.target.across) * share
    return label


def _rows(net: MLP | Layer | Neuron) -> list[list[Neuron]]:
    if isinstance(net, MLP):
        return [layer.neurons for layer in net.layers]
    return [net.neurons] if isinstance(net, Layer) else [[net]]


def _shown_units(layers: list[list[Neuron]], layer: int, size: int) -> list[int]:
    """The numbers of a layer's units that are drawn, from 1: of many those with the largest sum of squared
    weights on the edges that meet there, in their order."""
    if size <= _MOST_ROWS:
        return list(range(1, size + 1))
    met = np.zeros(size)
    if layer:
        met += [sum(w.data**2 for w in neuron.w) for neuron in layers[layer - 1]]
    if layer < len(layers):
        met += np.square([[w.data for w in neuron.w] for neuron in layers[layer]]).sum(axis=0)
    strongest = np.argsort(-met, kind="stable")[:_SHOWN_ROWS]
    return sorted((strongest + 1).tolist())


def _column(
    layer: int, size: int, shown: Sequence[int], style: Style, trace: Trace | None, with_delta: bool
) -> list[Unit]:
    column = []
    for index in shown:
        name = f"a{layer}[{index}]" if layer else f"x[{index}]"
        lines = [name]
        if trace is not None:
            a = trace.a[layer][index - 1]
            if not layer and a.label:
                lines = [printable(a.label, 12)]
            lines.append(style.number(a.data))
            if layer and with_delta:
                lines.append(f"δ {style.number(gradient(trace.z[layer][index - 1]))}")
        column.append(Unit(f"u{layer}_{index}", lines, index))
    if len(shown) < size:
        column.append(Unit(f"u{layer}_more", ["⋮", f"{size - len(shown):,} more"]))
    return column


def _class_lines(classes: Sequence[str], n_outputs: int) -> list[list[str]]:
    """What to write beside each output: its class; of two classes, what a large and a small output mean."""
    if n_outputs == 1 and len(classes) == 2:
        no, yes = [f"class {name}" if str(name).isdecimal() else f"{name}" for name in classes]
        return [[f"large: {yes}", f"small: {no}"]]
    return [[str(name)] for name in classes]


def _names(
    column: list[Unit], names: list[list[str]], size: int, what: str, style: Style, radius: float
) -> list[Unit]:
    """Texts before (radius < 0) or after the circles of a layer, none where there are no names."""
    if names and len(names) != size:
        raise ValueError(f"{what} must have one for each of the {size}; got {len(names)}: {_some(names)}")
    texts = []
    horizontal = style.direction in ("LR", "RL")
    # one above another they have a line each; side by side, two lines as wide as the circles
    longest = _LONGEST_NAME if horizontal else int((2 * abs(radius) + _GAP) / _CHARACTER) - 1
    for unit in column if names else ():
        if unit.index:
            lines = [printable(name, _LONGEST_NAME) for name in names[unit.index - 1]]
            if not horizontal:
                lines = [part for line in lines for part in _wrapped(line, longest)]
            text = Unit(f"{unit.id}_name", lines, across=unit.across)
            room = width_of(text) if horizontal else len(lines) * LINE
            text.along = unit.along + math.copysign(abs(radius) + 6 + room / 2, radius)
            texts.append(text)
    return texts


def _wrapped(line: str, longest: int) -> list[str]:
    return wrap(line, longest, max_lines=2, placeholder="…") or [line]


def _some(names: list[list[str]]) -> str:
    shown = ", ".join(repr(line) for lines in names[:4] for line in lines)
    return f"{shown}, …" if len(names) > 4 else shown


def _incoming(column: list[Unit], bias: Unit | None, neuron: Neuron) -> list[tuple[Unit, Value]]:
    edges = [(unit, neuron.w[unit.index - 1]) for unit in column if unit.index]
    if bias is not None and neuron.b is not None:
        edges.insert(0, (bias, neuron.b))
    return edges


def _edge_labels(weights: list[Value], style: Style) -> list[list[str]]:
    """The lines on each edge."""
    return [
        [style.number(weight.data)] * ("data" in style.show)
        + [f"∂ {style.number(gradient(weight))}"] * ("grad" in style.show)
        for weight in weights
    ]


def _radius(lines: list[str]) -> float:
    """That of the circle around centred lines of text, in points."""
    corners = []
    for i, line in enumerate(lines):
        farthest = (abs(i + 0.5 - len(lines) / 2) + 0.3) * LINE
        corners.append(math.hypot(len(line) * _CHARACTER / 2, farthest))
    return max(20.0, *corners)


def _place(
    columns: list[list[Unit]],
    biases: list[Unit | None],
    radius: float,
    extent: tuple[float, float] | None,
    image: float = 0.0,
) -> list[float]:
    """Give every unit its place; the result says where on the edges into each layer their labels go.

    That is a share of the edge's length, measured from the target. All labels between two layers stand side
    by side: the largest share up to one half is taken at which none overlaps another, and the targets move
    apart where there is none.
    """
    least = max(2 * radius + _GAP, image, 2.2 * extent[1] if extent else 0.0)
    shares = [0.0]
    along = 0.0
    for layer, column in enumerate(columns):
        spacing = least
        if layer:
            sources = [unit.across for unit in [*columns[layer - 1], biases[layer - 1]] if unit is not None]
            distance = 4 * radius + 40 + 6.0 * max(len(sources), len(column)) * (extent is None)
            if layer == 1 and image:
                sources, distance = [], 2 * radius + image + 40
            share = 0.5
            if extent is not None and sources:
                spacing, share = _spread(sources, len(column), least, extent[1])
                distance = max(distance, (radius + extent[0] / 2 + 8) / share)
            shares.append(share)
            along += distance
        for i, unit in enumerate(column):
            unit.along = along
            unit.across = (i - (len(column) - 1) / 2) * spacing
        bias = biases[layer] if layer < len(biases) else None
        if bias is not None:
            bias.along = along
            bias.across = column[0].across - least
    return shares


def _spread(sources: list[float], n_targets: int, least: float, extent: float) -> tuple[float, float]:
    """The spacing of targets and the share of the edges that keep labels of an extent apart."""
    spacing = least
    while True:
        targets = [(j - (n_targets - 1) / 2) * spacing for j in range(n_targets)]
        for percent in range(50, 14, -1):
            share = percent / 100
            places = sorted(t + (s - t) * share for t in targets for s in sources)
            if all(b - a >= extent for a, b in pairwise(places)):
                return spacing, share
        spacing *= 1.05


def _title(net: MLP | Layer | Neuron, layer: int) -> list[str]:
    return [f"layer {layer}", _activation_name(_activation(net, layer))] if layer else ["inputs"]


def _activation(net: MLP | Layer | Neuron, layer: int) -> Activation:
    return net.layers[layer - 1].activation if isinstance(net, MLP) else net.activation


def _activation_name(activation: Activation) -> str:
    name = activation if isinstance(activation, str) else getattr(activation, "__name__", "custom")
    return printable(name, 20)


def width_of(unit: Unit) -> float:
    """Room for a text, in points."""
    return max(map(len, unit.lines)) * _CHARACTER + 2


def coloured(value: Value, style: Style) -> float:
    return gradient(value) if style.colour == "grad" else value.data


def shown_value(trace: Trace | None, layer: int, index: int, style: Style) -> float:
    """What tints a circle: its a, or its δ where gradients are what is shown."""
    if trace is None or style.colour == "none":
        return 0.0
    if style.colour == "data":
        return trace.a[layer][index - 1].data
    return gradient(trace.z[layer][index - 1] if layer else trace.a[0][index - 1])
