"""How large the picture of a graph becomes, and the layers that are drawn as one box to keep it readable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from autobp.drawing.reach import columns
from autobp.reading.graph import Graph
from autobp.reading.neurons import Neurons

LARGEST: Final = 2.0  # square metres
#: What a column, the labels of its arrows, a row and a neuron's title take on average, in points.
_COLUMN, _LABELS, _ROW, _TITLE = 128.0, 30.0, 70.0, 25.0
_SQUARE_METRE = (1000 / 25.4 * 72) ** 2  # in square points


def area(
    graph: Graph, neurons: Neurons, shown: Collection[int], collapsed: Collection[int], *, labelled: bool
) -> float:
    """An estimate of a picture's area in square metres, node by node but for the layers that are one box;
    ``labelled`` where arrows have labels.

    Neurons stand above one another, those of later layers too; what is in no neuron stands beside them.
    """
    column = columns(graph, sorted(shown))
    gone = {number for layer in collapsed for number in in_layer(neurons, layer)}
    bodies = [[n for n in numbers if n in column and n not in gone] for numbers in neurons.inside]
    inside = {number for body in bodies for number in body} | gone
    heights = [_ROW * _deepest(column[n] for n in body) + _TITLE for body in bodies if body]
    rest = _ROW * _deepest(column[number] for number in column if number not in inside)
    height = max(sum(heights) + _ROW * len(collapsed), rest)
    n_columns = len({column[number] for number in column if number not in gone}) + len(collapsed)
    return n_columns * (_COLUMN + _LABELS * labelled) * height / _SQUARE_METRE


def _deepest(column_of_each: Iterable[int]) -> int:
    return max(Counter(column_of_each).values(), default=0)


def in_layer(neurons: Neurons, layer: int) -> list[int]:
    """The nodes of a layer, its parameters among them."""
    pairs = zip(neurons.neurons, neurons.inside, strict=True)
    own = [number for neuron, numbers in pairs if neuron.layer == layer for number in numbers]
    return [*own, *neurons.shared.get(layer, ())]


def layers_to_collapse(
    graph: Graph, neurons: Neurons, shown: Collection[int], *, labelled: bool
) -> list[int]:
    """The layers that are drawn as one box each: those with the most nodes first, until two square metres are
    not filled; none where that is so anyway."""
    collapsed: list[int] = []
    by_size = sorted(neurons.layers(), key=lambda layer: -len(in_layer(neurons, layer)))
    for layer in by_size:
        if area(graph, neurons, shown, collapsed, labelled=labelled) <= LARGEST:
            break
        collapsed.append(layer)
    return sorted(collapsed)
