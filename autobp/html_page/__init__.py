"""A graph, a network or a program as one HTML page to click through, with no server, nothing to install.

What flows in: the flat graph from :mod:`autobp.reading`, a network's plan from :mod:`autobp.drawing`, or a
compiled step. ``of_graph``, ``of_network`` and ``of_program`` make a model of it: nodes to choose, where they
stand (``places``), what one step takes together (``stages``), and the operation table's rules in JavaScript.
What flows out: a ``document``, the model with the scripts that read it: ``stage.js`` is every page's;
``passes.js`` carries out a graph's passes by the chain rule as :mod:`autobp.reading.adjoints` has it, and
``scalars.js`` shows them; ``arrays.js`` and ``program.js`` are a program's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from autobp.compiler.step import Step
from autobp.engine import Value
from autobp.html_page.of_graph import graph_page
from autobp.html_page.of_network import network_page
from autobp.html_page.of_program import program_page
from autobp.nn import MLP, Trace
from autobp.showing import frame


def page(
    what: Any,
    path: str | os.PathLike[str],
    *,
    trace: Trace | None = None,
    of: Value | None = None,
    data: Sequence[ArrayLike] = (),
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    title: str | None = None,
    direction: str | None = None,
) -> Path:
    """Write a page on which a Value's graph, a network, or a compiled program can be explored.

    The page holds everything it needs. A click on a node shows its data, gradient and local derivatives, and
    the chain-rule sum that makes its gradient; the passes can be stepped through, forward and backward, by
    nodes, neurons, layers or levels of equal depth, at first the finest with at most 60 steps; and inputs and
    weights can be dragged, upon which the page computes data and gradients anew, by rules written out from
    the operation table. Colours show at first what draw()'s show, a graph's gradients and a network's data.

    Args:
        what: a Value, the root of the graph; an MLP; or what compile() returned, once it has been traced.
        path: where to write; replaced if it is there.
        trace: a forward pass, ``net.trace(x)``: of a network, the sample to show (inputs of 1 if left out);
            for a Value, how to find neurons, instead of by labels.
        of: for a network, the Value to differentiate, such as a cost, computed from the trace. Left out: the
            output, or ½ Σ a² where there are several.
        data: for a program, its arguments, samples as rows: the page then shows the numbers of each array,
            at first at the step's own theta, and carries the statements out anew where one is dragged. It
            says so and only shows numbers where the arrays hold more than 500,000 of them, or an operation
            is computed by Python code that is no formula.
        names, classes: for a network, what its inputs are called and the classes that its outputs stand for,
            as for draw().
        title: the page's title and heading.
        direction: where the computation flows: "LR" (left to right), "TB", "RL" or "BT". Left out: TB for a
            program, else LR.

    Returns the path; a notebook shows the page.

    Raises:
        TypeError: ``what`` is none of these.
        ValueError: the path does not end in .html; the graph is too large, or has nodes made by hand, for
            which there is no rule to compute them anew; data are not the program's arguments; or trace, of,
            names, classes and the network do not belong together.
        FileNotFoundError: there is no folder of the path.
        autobp.drawing.LayoutError: there is nothing here that lays out graphs.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a page is HTML, which browsers tell by the ending: end {target.name!r} in .html")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} to write {target.name} in")
    if isinstance(what, Step):
        document = program_page(what, data, direction or "TB")
    elif isinstance(what, MLP):
        document = network_page(what, trace, of, direction or "LR", names, classes)
    elif not isinstance(what, Value):
        raise TypeError(f"cannot make a page of {what!r}: give a Value, an MLP or a compiled step")
    elif of is not None:
        raise ValueError("of= is for a network; a Value's page is about the Value itself")
    else:
        document = graph_page(what, trace, direction or "LR")
    target.write_text(document.html(title), encoding="utf-8")
    return Page(target)


class Page(type(Path())):  # type: ignore[misc]
    """The path of a page, which a notebook shows in a frame."""

    def _repr_html_(self) -> str:
        return frame(self.read_text(encoding="utf-8"))
