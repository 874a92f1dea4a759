"""What one step through the passes takes together: a node, a neuron, a layer, or what is equally deep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from autobp.drawing.scalars import Marks
from autobp.reading.graph import Graph
from autobp.reading.neurons import Neurons

MOST_STEPS: Final = 60  # forward; a finer way of stepping is not the one to begin with
_MOST_RESULTS = 6  # of a stage, told after its step

#: A group of nodes: its place among groups that are equally deep, and its title.
_Key = tuple[tuple[int, ...], str]


def stagings(graph: Graph, neurons: Neurons, marks: Marks) -> dict[str, list[dict[str, Any]]]:
    """The ways to step through a graph that are coarser than node by node, the finest first.

    A way is a list of stages in the order of the forward pass: its title, the computed nodes that it takes
    together, and of these its results, which are what other stages use. "neuron" and "layer" are there where
    the graph has neurons whose layers follow one another, "level" in every graph: the nodes of one level are
    as far from the leaves.
    """
    found = {}
    if neurons.neurons:
        # a softmax leaves its neurons and comes back to them
        joint = {k for k, numbers in neurons.shared.items() if not all(map(graph.is_leaf, numbers))}
        for way, whole_layers in (("neuron", joint), ("layer", set(neurons.layers()))):
            try:
                found[way] = _stages(graph, _keys(graph, neurons, whole_layers), marks)
            except CycleError:
                continue
    found["level"] = _stages(graph, _levels(graph), marks)
    return found


def first_way(n_computed: int, ways: Mapping[str, Collection[Any]], *, finest: str = "node") -> str:
    """The way to begin with: the finest, from ``finest`` on, with at most MOST_STEPS steps; else the
    coarsest."""
    sizes = {"node": n_computed, **{way: len(stages) for way, stages in ways.items()}}
    names = list(sizes)
    allowed = names[names.index(finest) :] if finest in sizes else names
    fewest = min(allowed, key=lambda way: sizes[way])
    return next((way for way in allowed if sizes[way] <= MOST_STEPS), fewest)


def _keys(graph: Graph, neurons: Neurons, whole_layers: Collection[int]) -> dict[int, _Key]:
    """The group of each computed node: its neuron, or its layer where that is taken whole; else it is what
    the neurons need, node by node, or what comes after them, the cost."""
    keys: dict[int, _Key] = {}
    for neuron, numbers in zip(neurons.neurons, neurons.inside, strict=True):
        key = ((neuron.layer, 0), f"layer {neuron.layer}")
        if neuron.layer not in whole_layers:
            key = ((neuron.layer, neuron.index), f"neuron {neuron.name}")
        keys.update((number, key) for number in numbers if not graph.is_leaf(number))
    for layer, numbers in neurons.shared.items():
        keys.update((n, ((layer, 0), f"layer {layer}")) for n in numbers if not graph.is_leaf(n))
    needed = set(keys)
    for number in range(graph.root, -1, -1):
        if number in needed:
            needed.update(graph.parents[number])
    for number in _computed(graph):
        if number not in keys:
            keys[number] = ((0, number), "") if number in needed else ((len(graph),), "the cost")
    return keys


def _levels(graph: Graph) -> dict[int, _Key]:
    level = [0] * len(graph)
    for number in _computed(graph):
        level[number] = 1 + max(level[parent] for parent in graph.parents[number])
    return {number: ((level[number],), f"level {level[number]}") for number in _computed(graph)}


def _computed(graph: Graph) -> Iterable[int]:
    return (number for number in range(len(graph)) if not graph.is_leaf(number))


def _stages(graph: Graph, keys: Mapping[int, _Key], marks: Marks) -> list[dict[str, Any]]:
    """The groups, each after those that it needs.

    Raises CycleError where two groups need one another.
    """
    members: dict[_Key, list[int]] = defaultdict(list)
    needs: dict[_Key, set[_Key]] = {key: set() for key in keys.values()}
    results = {graph.root} | (marks.keys() & keys.keys())
    for number, key in sorted(keys.items()):
        members[key].append(number)
        for parent in graph.parents[number]:
            if parent in keys and keys[parent] != key:
                needs[key].add(keys[parent])
                results.add(parent)
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    stages = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        for key in ready:
            shown = [number for number in members[key] if number in results][-_MOST_RESULTS:]
            stages.append({"title": key[1], "nodes": members[key], "results": shown})
        sorter.done(*ready)
    return stages
