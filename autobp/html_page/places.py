"""Where Graphviz put things, in points, y downwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from autobp.drawing.picture import Picture, lay_out

MOST_NODES: Final = 1000  # to lay out one by one; also about as many as anybody can read


@dataclass
class Places:
    """A picture as it was laid out.

    Attributes:
        width, height: of the whole.
        boxes: for each node's name, x and y of its centre, its width and its height.
        clusters: titles and places: left, top, width, height.
        edges: for each edge's id, its path in SVG's language.
    """

    width: float
    height: float
    boxes: dict[str, list[float]]
    clusters: list[dict[str, Any]]
    edges: dict[str, str]


def find_places(picture: Picture) -> Places:
    """Lay a picture out with dot and read where its parts are. Every edge must have an id."""
    laid_out = json.loads(lay_out(picture.source, "dot", "json0"))
    _, _, width, height = map(float, laid_out["bb"].split(","))

    def point(text: str) -> tuple[float, float]:
        x, y = map(float, text.split(","))
        return round(x, 1), round(height - y, 1)

    boxes: dict[str, list[float]] = {}
    clusters = []
    for found in laid_out["objects"]:
        if found["name"].startswith("cluster"):
            left, bottom, right, top = map(float, found["bb"].split(","))
            at = [round(x, 1) for x in (left, height - top, right - left, top - bottom)]
            clusters.append({"title": found["label"], "at": at})
        else:
            size = [round(72 * float(found[side]), 1) for side in ("width", "height")]
            boxes[found["name"]] = [*point(found["pos"]), *size]
    edges = {}
    for found in laid_out.get("edges", []):
        tip, *curve = found["pos"].removeprefix("e,").split(" ")
        start, *rest = [f"{x} {y}" for x, y in map(point, curve)]
        edges[found["id"]] = "M{}C{}L{} {}".format(start, " ".join(rest), *point(tip))
    return Places(width, height, boxes, clusters, edges)


def view_of(places: Places, items: list[dict[str, Any]]) -> dict[str, Any]:
    """The view of a picture that was laid out, with what can be chosen in it.

    A view says where everything stands, in points, y downwards: titled boxes; marks that only stand there;
    edges as paths, each for an operand or for a weight; and items that can be chosen, with texts (class, x,
    y, content) and numbers (class, x, y, node, "data" or "grad", prefix).
    """
    edges = []
    for edge, path in places.edges.items():
        head, slot = edge[1:].split("_")
        edges.append({"head": int(head), "slot": int(slot), "path": path})
    return {
        "width": places.width,
        "height": places.height,
        "clusters": places.clusters,
        "marks": [],
        "edges": edges,
        "items": sorted(items, key=lambda item: int(item["node"])),
    }
