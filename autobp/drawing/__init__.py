"""Pictures of a graph of scalars, of a network, and of a compiled program.

What flows in: the flat graph and its neurons, from :mod:`autobp.reading`; a network itself; or a compiled
step. Each is drawn by a module of its own (``scalars``, ``summary`` where the graph is too large,
``network``, ``program``) in one ``style``. What flows out: a :class:`Picture`, Graphviz's language, laid out
where it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobp.compiler.step import Step
from autobp.drawing.network import draw_network
from autobp.drawing.picture import LayoutError as LayoutError
from autobp.drawing.picture import Picture as Picture
from autobp.drawing.program import draw_program
from autobp.drawing.reach import HARD, Reach
from autobp.drawing.recurrence import draw_recurrence
from autobp.drawing.scalars import down_to, draw_scalars
from autobp.drawing.style import GRAPH_COLOUR, NETWORK_COLOUR, Style
from autobp.drawing.summary import draw_summary
from autobp.engine import Value
from autobp.nn import MLP, Layer, Neuron, Trace
from autobp.reading.graph import record
from autobp.reading.neurons import find_neurons
from autobp.recurrences import recurrence_in

_MOST_BOXES = 100  # of such a picture


def draw(
    what: Any,
    *,
    direction: str | None = None,
    show: Sequence[str] | None = None,
    number_format: str | None = None,
    theme: str = "light",
    color: str | None = None,
    depth: int | None = None,
    highlight: Value | Sequence[Value] = (),
    trace: Trace | None = None,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    pixels: Sequence[int] | None = None,
    max_nodes: int = 300,
) -> Picture:
    """Draw a Value's graph, a network, or a compiled program.

    A graph of more than ``max_nodes`` nodes, or with arrows that no layout could place in time, is
    summarised: nodes computed in the same way become one, and the picture says how many each stands for; the
    step of a recurrence is drawn once, in a panel that says how often it is run, with dashed arrows to the
    next. A leaf that is used far from its box is drawn again there, dashed; a layer is one box where the
    picture would else fill more than two square metres. A network's wide layers are shortened.

    Args:
        what: a Value, whose whole graph is drawn; an MLP, a Layer or a Neuron; or what compile() returned,
            once it has been traced: its statements, forward and backward.
        direction: where the computation flows: "LR" (left to right), "TB", "RL" or "BT". Left out: TB for a
            program, else LR.
        show: which numbers to write: any of "data", "grad" and "partials" (a graph's local derivatives, on
            its edges). Left out: data and grad for a Value, the weights' data for a network.
        number_format: the format specification of numbers, such as "+.2f". Left out: ".4g" for a Value, ".3g"
            for a network.
        theme: "light", also for print, or "dark".
        color: what tints the nodes, blue above zero and orange below, the stronger the larger: "data", "grad"
            or "none". Left out: grad for a Value, data for a network.
        depth: draw a Value's graph only so many steps down from it, at least 0.
        highlight: one Value or several, on which ``what`` depends: the paths between them, the terms of the
            derivative, stand out, with the local derivatives that are multiplied along each.
        trace: a forward pass, ``net.trace(x)``. It tells a network's a and δ, and finds the neurons in a
            Value's graph; without it they are found by labels such as ``W1[1,2]``.
        names, classes: what a network's inputs are called, and the classes that its outputs stand for (two,
            where one output tells them apart): they are written beside the circles.
        pixels: the height and width of the pictures that a network's inputs are: the weights of its first
            layer are then drawn as images, in what ``color`` says. Left out: names such as pixel_3_7 tell,
            and without names 64 inputs or more that make a square are pixels. () for none.
        max_nodes: the largest graph to be drawn node by node, at least 1.

    Returns:
        A graphviz.Digraph, shown by notebooks, with ``.pipe(format="svg")``, ``.render()`` and
        ``.write("graph.svg")`` (or .png, .pdf), which need no installed Graphviz.

    Raises:
        TypeError: ``what`` is nothing that can be drawn.
        ValueError: an option is none of what it may be.
    """
    is_network = isinstance(what, MLP | Layer | Neuron)
    is_program = isinstance(what, Step)
    if show is None:
        show = ("data",) if is_network else ("data", "grad")
    style = Style(
        direction or ("TB" if is_program else "LR"),
        (show,) if isinstance(show, str) else tuple(show),
        number_format or (".3g" if is_network else ".4g"),
        theme,
        color or (NETWORK_COLOUR if is_network else GRAPH_COLOUR),
    )
    if depth is not None and depth < 0:
        raise ValueError(f"depth must be at least 0; got {depth}")
    if max_nodes < 1:
        raise ValueError(f"max_nodes must be at least 1; got {max_nodes}")
    if not is_network and (len(names) or len(classes) or pixels):
        raise ValueError(
            "names=, classes= and pixels= are for the picture of a network; a graph's nodes have their labels"
        )
    if is_network:
        return draw_network(what, style, trace, names, classes, pixels)
    if is_program:
        return draw_program(what, style, max_nodes)
    if not isinstance(what, Value):
        raise TypeError(
            f"cannot draw {what!r}: give a Value, a network (MLP, Layer, Neuron) or a compiled step"
        )
    return _draw_graph(what, style, highlight, depth, trace, max_nodes)


def _draw_graph(
    root: Value,
    style: Style,
    highlight: Value | Sequence[Value],
    depth: int | None,
    trace: Trace | None,
    max_nodes: int,
) -> Picture:
    """A graph node by node, or where it is too large summarised."""
    graph = record([root])
    highlighted = [highlight] if isinstance(highlight, Value) else list(highlight)
    shown = range(len(graph)) if depth is None else down_to(graph, depth)
    why = ""
    if len(shown) > max_nodes:
        why = "too many to draw each"
    elif Reach(graph, shown).passed > HARD:
        why = "each alone, the arrows would reach too far"
    if why and depth is None and not highlighted and not find_neurons(graph, trace).neurons:
        loop = recurrence_in(graph)
        if loop is not None and 2 * loop.steps * len(loop.body) > len(graph):
            found = draw_recurrence(graph, loop, style, min(max_nodes, _MOST_BOXES))
            if found is not None:
                return found
    if why:
        return draw_summary(graph, style, highlight=highlighted, trace=trace, max_groups=max_nodes, why=why)
    return draw_scalars(graph, style, depth=depth, highlight=highlighted, trace=trace)
