"""Draw ``rooms.svg``, the picture of architecture.md: autobp's rooms, and what flows from one to the next.

    python docs/make_rooms.py
"""

from __future__ import annotations

from pathlib import Path

from autobp.drawing.picture import Picture
from autobp.drawing.style import FONT, THEMES

#: For each row of the picture, (title, rooms); a room is (name, what it holds).
ROWS = (
    (
        "numbers that remember",
        (
            ("registry, ops", "an operation: its value, its partials,\nhow it is written"),
            ("nodes, engine", "making a node; Value, backward"),
            ("chain", "the chain rule: the order of nodes,\nwhat passes along an edge"),
            ("functions", "functions and methods of operations"),
        ),
    ),
    (
        "what is written with them",
        (
            ("nn", "neurons, layers, MLP"),
            ("costs", "a cost: its term, what targets it takes"),
            ("functional", "grad, jvp, hessian …"),
            ("optim, training, datasets", "fit, and what it needs"),
        ),
    ),
    ("read once", (("reading", "the flat graph, labels, layers, targets"),)),
    (
        "told, drawn, computed",
        (
            ("explanation", "derivations in six notations"),
            ("drawing, html_page", "pictures, pages"),
            ("compiler", "canonical form, groups, factors,\nderivatives, names"),
        ),
    ),
    ("programs", (("ir", "arrays, programs, loops:\nprinted and verified"),)),
    (
        "languages",
        (
            ("backends", "NumPy to read, NumPy to run,\nC, the Array API, LaTeX, JavaScript"),
            ("machine", "machine code from C"),
        ),
    ),
    (
        "beside it all",
        (
            ("matrix", "BP1–BP4 in NumPy,\nthe witness"),
            ("check", "the graph against the witness"),
            ("grading", "submissions against it"),
        ),
    ),
    (
        "with steps",
        (
            ("fitting", "models fitted, with errors"),
            ("sklearn, in_torch", "networks for\nother libraries"),
        ),
    ),
)

#: (from, to, what flows).
FLOWS = (
    ("registry, ops", "nodes, engine", "rules"),
    ("registry, ops", "functions", ""),
    ("chain", "nodes, engine", "order, pull back"),
    ("nodes, engine", "nn", "Values"),
    ("nodes, engine", "costs", "Values"),
    ("nodes, engine", "functional", "Values"),
    ("functions", "costs", ""),
    ("nn", "optim, training, datasets", "networks"),
    ("costs", "optim, training, datasets", ""),
    ("nn", "reading", "Values with labels"),
    ("costs", "reading", ""),
    ("reading", "explanation", "layers, targets"),
    ("reading", "drawing, html_page", "neurons"),
    ("reading", "compiler", "Graph"),
    ("compiler", "ir", "Program"),
    ("ir", "backends", "Program"),
    ("backends", "machine", "C"),
    ("compiler", "fitting", "Step"),
    ("compiler", "sklearn, in_torch", "Step"),
    ("matrix", "check", "gradients"),
    ("check", "grading", "reports"),
    ("nn", "check", ""),
)


def picture() -> Picture:
    """The rooms as boxes in rows, and what flows as arrows."""
    theme = THEMES["light"]
    made = Picture(
        graph_attr={"rankdir": "TB", "bgcolor": theme.background, "nodesep": "0.28", "ranksep": "0.42"},
        node_attr={"shape": "plain", "fontname": FONT, "fontsize": "11", "fontcolor": theme.ink},
        edge_attr={"fontname": FONT, "fontsize": "10", "fontcolor": theme.muted, "color": theme.line},
    )
    ids = {name: f"r{i}" for i, name in enumerate(name for _, rooms in ROWS for name, _ in rooms)}
    for title, rooms in ROWS:
        name = f"cluster_{title}" if len(rooms) > 1 else title  # a room alone needs no frame round it
        with made.subgraph(name=name) as row:
            row.attr(label=title, fontname=FONT, fontsize="10", fontcolor=theme.muted, labeljust="l",
                     style="filled", color=theme.panel, fillcolor=theme.panel)  # fmt: skip
            for room, holds in rooms:
                lines = "<br/>".join(holds.split("\n"))
                row.node(
                    ids[room],
                    f'<<table border="1" cellborder="0" cellspacing="0" cellpadding="5" color="{theme.line}" '
                    f'bgcolor="{theme.node}"><tr><td><b>{room}</b><br/>{lines}</td></tr></table>>',
                )
    for start, end, what in FLOWS:
        made.edge(ids[start], ids[end], label=f" {what} " if what else "")
    return made


if __name__ == "__main__":
    target = Path(__file__).with_name("rooms.svg")
    target.write_bytes(picture().pipe(format="svg"))
    print(f"wrote {target.name}")
