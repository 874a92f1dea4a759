"""Record the graph of a function of Values, and catch what a graph cannot hold.

A graph holds operations, not Python's decisions. Whatever would be fixed by the numbers of this one trace
— a branch on ``v.data``, a comparison, a random number — is refused with the place in the caller's code:
reads by :mod:`~autobp.compiler.watch`, clocks and sources of chance by :mod:`~autobp.compiler.calls`, random
numbers by looking whether the generators that the function can reach (:mod:`~autobp.compiler.draws`) have
moved on, and what none of these sees by tracing again and comparing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from autobp.compiler.calls import Calls, may_matter
from autobp.compiler.draws import DRAWS, generators_among, place_of_draw, reached, states
from autobp.compiler.elements import nested
from autobp.compiler.watch import Watch
from autobp.engine import BY_HAND, Value, ieee, watch_reads
from autobp.reading.graph import PARAMETER, Graph, describe
from autobp.reading.graph import record as read

_MOST_TRACES = 8
#: How many nodes (of all traces but the last) may be traced more than twice, and watched whatever is reached.
_CHEAP = 2_500
_QUICK = 1.0  # seconds that they may take


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage, would have the collector search them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def record(outputs: Sequence[Value], leaves: dict[int, tuple[int, int]]) -> Graph:
    """The graph of some Values, to compile; ``leaves`` gives (role, position) of traced leaves by their id.

    Raises TypeError where a node was made by hand, or a traced leaf is the result of an operation.
    """
    graph = read(outputs, leaves)
    if BY_HAND in graph.operations:
        node = graph.nodes[graph.operations.index(BY_HAND)]
        raise TypeError(
            f"{node!r} was made by hand and has no rule in the operation table, so it cannot be "
            "compiled; register one with autobp.operation(name, value, partials)"
        )
    for key in leaves:
        number = graph.numbers.get(key)
        if number is not None and not graph.is_leaf(number):
            raise TypeError(
                f"{graph.nodes[number]!r} is the result of an operation; parameters and inputs must be leaves"
            )
    graph.release()
    return graph


def collected(result: Any) -> Any:
    """A scalar, or a nested list of all that can be gone through; TypeError for a dict, a set or a text."""
    if isinstance(result, np.ndarray):
        result = result.tolist()
    if isinstance(result, str | bytes | Mapping | Set):
        kind = type(result).__name__
        raise TypeError(f"the function returned a {kind}; compile needs a Value, or a nested list of Values")
    if isinstance(result, Value) or not hasattr(result, "__iter__"):
        return result
    return [collected(element) for element in result]


def flatten(result: Any) -> Iterator[Any]:
    """The scalars of a nested list, in order."""
    if isinstance(result, Value) or not hasattr(result, "__iter__"):
        yield result
    else:
        for element in result:
            yield from flatten(element)


def shape_of(result: Any) -> tuple[int, ...]:
    """The shape of a nested list of scalars; ValueError where it is ragged."""
    if isinstance(result, Value) or not hasattr(result, "__iter__"):
        return ()
    shapes = [shape_of(element) for element in result]
    if len(set(shapes)) > 1:
        raise ValueError("the function returned lists of different lengths; a result needs one shape")
    return (len(shapes), *(shapes[0] if shapes else ()))


def record_function(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[np.ndarray[Any, Any]]
) -> tuple[Graph, tuple[int, ...] | None]:
    """Record ``function`` of one sample: its graph, and the shape of a nested result (None for a scalar).

    It is traced twice, and a small graph up to 8 times: two traces may well agree on one coin.

    Raises:
        TypeError: the function reads data that it depends on, or returns something else than Values.
        ValueError: two traces differ, random numbers are drawn, or a clock is read.
    """
    started = perf_counter()
    graph, shape = _record_once(function, parameters, samples)
    objects = reached(function)
    generators = generators_among(objects)
    before = states(generators)
    with Calls(2 * len(graph) < _CHEAP or may_matter(objects)) as calls:
        again, shape_again = _record_once(function, parameters, samples)
    traces = 2
    while (
        _same(graph, shape, again, shape_again)
        and traces < _MOST_TRACES
        and traces * len(graph) < _CHEAP
        and perf_counter() - started < _QUICK
    ):
        again, shape_again = _record_once(function, parameters, samples)
        traces += 1
    if calls.found:
        raise ValueError(calls.found)
    if states(generators) != before and _draws(function, parameters, samples, generators):
        found = place_of_draw(lambda: _record_once(function, parameters, samples), generators)
        raise ValueError(f"{found or 'the function'} {DRAWS}")
    if not _same(graph, shape, again, shape_again):
        raise ValueError(
            "two traces of the function on the same sample gave different graphs: something in it, a random "
            "number, a clock or a counter, would be fixed at what it was in one trace. Pass it in as an "
            "argument" + _difference(graph, again)
        )
    return graph, shape


def _same(
    graph: Graph, shape: tuple[int, ...] | None, again: Graph, shape_again: tuple[int, ...] | None
) -> bool:
    return shape == shape_again and graph.same_structure(again)


def _draws(
    function: Callable[..., Any],
    parameters: Sequence[Value],
    samples: Sequence[np.ndarray[Any, Any]],
    generators: Sequence[Any],
) -> bool:
    """Whether the function moves the generators each time, and not another thread by chance."""
    for _ in range(2):
        before = states(generators)
        _record_once(function, parameters, samples)
        if states(generators) == before:
            return False
    return True


def _difference(graph: Graph, again: Graph) -> str:
    """The first operation in which two traces differ, in words."""
    for node in range(min(len(graph.parents), len(again.parents))):
        if graph.operations[node] is None:
            continue
        texts = describe(graph, node), describe(again, node)
        if texts[0] != texts[1]:
            return f" (one had {texts[0]} where the other had {texts[1]})"
    return ""


def _record_once(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[np.ndarray[Any, Any]]
) -> tuple[Graph, tuple[int, ...] | None]:
    trace = traced(function, parameters, samples)
    return record(trace.outputs, trace.leaves), trace.shape


class Trace(NamedTuple):
    """What a function gives for one sample.

    Attributes:
        outputs: what it returned, flat.
        inputs: the numbers of the sample. Their ids are theirs only while they live, so whoever reads
            ``leaves`` has to hold them: nodes of folded sums are made when the graph is read.
        leaves: (role, position) of parameters and inputs, by id.
        shape: of a nested result; None for a scalar.
    """

    outputs: list[Value]
    inputs: list[Value]
    leaves: dict[int, tuple[int, int]]
    shape: tuple[int, ...] | None


def traced(
    function: Callable[..., Any], parameters: Sequence[Value], samples: Sequence[np.ndarray[Any, Any]]
) -> Trace:
    """Trace ``function`` of one sample.

    Raises TypeError where it reads data that it depends on, or returns something else than Values.
    """
    leaves = {id(parameter): (PARAMETER, i) for i, parameter in enumerate(parameters)}
    arguments = []
    inputs: list[Value] = []

    for role, sample in enumerate(samples, start=1):
        first = len(inputs)

        def leaf(x: float) -> Value:
            inputs.append(Value(x))
            return inputs[-1]

        arguments.append(nested(sample, leaf))
        leaves |= {id(value): (role, i) for i, value in enumerate(inputs[first:])}
    watch = Watch(leaves, {id(value) for value in inputs})
    with ieee(), watch_reads(watch.on_read, watch.elsewhere):
        try:
            result = collected(function(*arguments))  # what is lazy reads data only when it is gone through
        except Exception as error:
            if watch.refused is None or error is watch.refused:
                raise
            raise watch.refused from error  # NumPy makes an error of its own of one in __index__
    if watch.swallowed is not None:
        raise watch.swallowed
    outputs = list(flatten(result))
    for output in outputs:
        if not isinstance(output, Value):
            raise TypeError(
                f"the function returned {output!r}; compile needs a Value, or a nested list of Values"
            )
    if not outputs:
        raise TypeError("the function returned nothing to compute; compile needs a Value, or Values")
    return Trace(outputs, inputs, leaves, None if isinstance(result, Value) else shape_of(result))
