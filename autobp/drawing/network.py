"""A network as textbooks draw it: circles in columns by layer, weights on the edges, bias units apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphviz import escape, nohtml

from autobp.drawing.images import Image
from autobp.drawing.picture import Picture
from autobp.drawing.placed import PlacedPicture
from autobp.drawing.plan import INPUT_IMAGE, LINE, Plan, Unit, coloured, plan_network, shown_value, width_of
from autobp.drawing.scalars import new_picture
from autobp.drawing.style import Style, is_rounding, largest_of, legend
from autobp.nn import MLP, Layer, Neuron, Trace

_VEIL = "b3"  # how opaque the ground of a text is, of ff: lines beneath it stay to be seen


def draw_network(
    net: MLP | Layer | Neuron,
    style: Style,
    trace: Trace | None = None,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    pixels: Sequence[int] | None = None,
) -> Picture:
    """A network, with the a and δ of a trace and the names of inputs and classes, where they are given.

    Raises:
        ValueError: the trace is another network's, or there are not as many names, or pixels, as inputs.
    """
    plan = plan_network(net, style, trace, names=names, classes=classes, pixels=pixels)
    picture = new_picture(style, PlacedPicture, engine="neato")
    picture.attr(inputscale="72", splines="line", outputorder="edgesfirst", forcelabels="false")
    picture.attr("node", shape="circle", fixedsize="true", fontsize="10", style="filled", penwidth="1.2")
    values = [coloured(edge.weight, style) for edge in plan.edges]
    largest = largest_of(values)
    for edge, value in zip(plan.edges, values, strict=True):
        tip = escape(f"{edge.weight.label or 'weight'}: {edge.weight.data!r}")
        look = _edge_look(value, largest, style)
        picture.edge(edge.source.id, edge.target.id, arrowhead="none", tooltip=tip, **look)
    colours = style.colours
    strongest = _strongest(trace, style)
    for layer, column in enumerate(plan.columns):
        for unit in column:
            if not unit.index:
                _text(picture, unit, style, filled=True)
                continue
            shown = shown_value(trace, layer, unit.index, style)
            picture.node(
                unit.id,
                _centred(unit.lines),
                id=unit.id,
                pos=_position(unit, style),
                width=f"{plan.radius / 36:.4f}",
                fillcolor=style.tint(shown, strongest),
                color=colours.ink if layer else colours.line,
                tooltip=escape(", ".join(unit.lines)),
            )
    for bias in filter(None, plan.biases):
        picture.node(
            bias.id, "1", width="0.36", pos=_position(bias, style), style="filled,dashed", id=bias.id,
            fillcolor=colours.panel, tooltip="bias unit",
        )  # fmt: skip
    for edge in plan.edges:
        if edge.label is not None:
            _text(picture, edge.label, style, filled=True)
    _put_images(picture, plan, style)
    for name in plan.names:
        _text(picture, name, style)
    for title in plan.titles:
        _text(picture, title, style, muted=True)
    if style.colour != "none" and (largest or plan.images):
        shortened = any(not unit.index for column in plan.columns[bool(plan.images) :] for unit in column)
        _put_legend(picture, largest, _largest_weight(plan.images), style, shortened)
    return picture


def _largest_weight(images: Sequence[Image]) -> float:
    return largest_of(image.largest for image in images if image.id != INPUT_IMAGE)


def _put_images(picture: PlacedPicture, plan: Plan, style: Style) -> None:
    largest = _largest_weight(plan.images)
    for image in plan.images:
        place = _position(Unit(image.id, [], along=image.along, across=image.across), style)
        colours = image.colours(style, image.largest if image.id == INPUT_IMAGE else largest)
        picture.grid(
            image.id,
            colours,
            pixel=image.pixel,
            pos=place,
            tooltip=escape(image.tip),
            color=style.colours.line,
        )


def _put_legend(picture: Picture, largest: float, in_images: float, style: Style, shortened: bool) -> None:
    what = "weights" if style.colour == "data" else "gradients"
    reach = f"lines: {what} of at most {style.number(largest)}"
    if in_images:
        reach += f"; images: of at most {style.number(in_images)}"
    if shortened:
        reach += "; of many circles, those with the largest weights"
    lines = (" ", legend(style.colour, network=True), reach)
    picture.attr(
        # Graphviz crashes on freeing a label with an empty line
        label="".join(f"{escape(line)}\\l" for line in lines),
        labelloc="b",
        fontsize="9",
        fontcolor=style.colours.muted,
    )


def _text(picture: Picture, unit: Unit, style: Style, *, filled: bool = False, muted: bool = False) -> None:
    colours = style.colours
    width = width_of(unit)
    picture.node(
        unit.id,
        _centred(unit.lines),
        id=unit.id,
        shape="plaintext",
        margin="0",
        penwidth="0",
        pos=_position(unit, style),
        width=f"{width / 72:.4f}",
        height=f"{len(unit.lines) * (LINE - 1) / 72:.4f}",
        tooltip=" ",
        style="filled" if filled else "solid",
        fillcolor=colours.background + _VEIL,
        fontcolor=colours.muted if muted else colours.ink,
    )


def _centred(lines: list[str]) -> Any:
    """Lines one below another; "<…>", which Graphviz would take for HTML, as it is."""
    return nohtml("\n".join(escape(line) for line in lines))


def _position(unit: Unit, style: Style) -> str:
    return "{:.2f},{:.2f}!".format(*unit.place(style.direction))


def _edge_look(value: float, largest: float, style: Style) -> dict[str, str]:
    if style.colour == "none" or not largest or not math.isfinite(value):
        return {"penwidth": "1"}
    strength = math.sqrt(min(1.0, abs(value) / largest))
    look = {"penwidth": f"{0.4 + 3.2 * strength:.2f}"}
    if is_rounding(value, largest):
        return look
    look["color"] = style.colours.positive if value > 0 else style.colours.negative
    if value < 0:
        look["style"] = "dashed"
    return look


def _strongest(trace: Trace | None, style: Style) -> float:
    if trace is None:
        return 0.0
    return largest_of(
        shown_value(trace, layer, index, style)
        for layer, a in enumerate(trace.a)
        for index in range(1, len(a) + 1)
    )
