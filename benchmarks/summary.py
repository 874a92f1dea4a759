"""README's tables: the figures that matter most, taken from results.md and never typed by hand."""

from __future__ import annotations

import re
import textwrap

BEGIN, END = "<!-- written by python -m benchmarks -->\n", "<!-- end of what it writes -->\n"

#: Tables by their titles, and rows by their names without versions: the median, × compiled, × plain Python.
Tables = dict[str, dict[str, list[str]]]

_EAGER = (
    ("micrograd's moons demo with micrograd's own `nn`", "micrograd's moons demo, its own nn", "micrograd"),
    ("the same demo, each with its own `nn`", "The same demo", "micrograd"),
    ("a scalar GPT in the shape of microgpt", "A scalar GPT", "microgpt's kind of Value"),
)
_COMPILED = (
    ("micrograd's moons demo, 100 samples", "micrograd's moons demo (2-16-16-1"),
    ("784-30-10, batch 10", "784-30-10, sigmoid, batch 10:"),
    ("784-30-10, batch 100", "784-30-10, sigmoid, batch 100:"),
    ("784-256-128-10, batch 100", "784-256-128-10"),
    ("2-16-16-1, batch 100", "2-16-16-1, tanh"),
    ("a GPT in scalars, one document", "a GPT in scalars"),
)
_PEERS = (
    ("NumPy by hand", ("NumPy by hand",)),
    ("PyTorch eager", ("PyTorch, eager",)),
    ("JAX jit", ("JAX, jit",)),
    ("autograd", ("autograd",)),
    ("micrograd's kind", ("micrograd", "Values in microgpt's manner")),
)


def read(results: str) -> tuple[Tables, list[str]]:
    """The tables of results.md by their titles, and the peers with their versions."""
    tables: Tables = {}
    versions: dict[str, None] = {}
    for line in results.splitlines():
        if not line.startswith("|") or line.startswith("|--"):
            continue
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[-1].startswith("×"):
            rows = tables.setdefault(first, {})
            continue
        name, version, build = re.fullmatch(
            r"(.+?)( \d[\w.+]*)?(, (?:compiled|plain Python))?", first
        ).groups()  # type: ignore[union-attr]
        rows[name + (build or "")] = cells
        if version and not build:
            peer = {"numpy": "NumPy", "torch": "PyTorch"}.get(name.partition(",")[0], name.partition(",")[0])
            versions[peer.removesuffix(" by hand") + version.partition("+")[0]] = None
    return tables, sorted(versions, key=str.lower)


def summary(results: str) -> str:
    """The text and tables for README; a blank cell where results.md has none."""
    tables, versions = read(results)
    machine = results.split("\n\n")[1].splitlines()[0].rstrip(".")
    text = (
        f"Medians of one run, {machine}: the time of a peer as a multiple of autobp's. The peers are "
        f"{', '.join(versions)}."
    )
    lines = [
        *textwrap.wrap(text, 120),
        "",
        "| eager, forward and backward | compiled core | plain Python |",
        "|---|---:|---:|",
    ]  # fmt: skip
    for label, title, peer in _EAGER:
        cells = _table(tables, title).get(peer, [""] * 3)
        lines.append(f"| {label}: {peer} | {_rounded(cells[1])} | {_rounded(cells[2])} |")
    memory = {name: cells[0] for name, cells in _table(tables, "Memory").items()}
    lines += [
        f"| bytes a node (micrograd: {memory.get('micrograd', '')}) | {memory.get('autobp, compiled', '')} "
        f"| {memory.get('autobp, plain Python', '')} |",
        "",
        f"| `autobp.compile`, cost and gradient | {' | '.join(peer for peer, _ in _PEERS)} |",
        "|---" + "|---:" * len(_PEERS) + "|",
    ]
    for label, title in _COMPILED:
        rows = _table(tables, title)
        shown = []
        for _, names in _PEERS:
            found = [rows[name] for name in names if name in rows]
            shown.append(_rounded(found[0][1] or found[0][2]) if found else "")
        lines.append(f"| {' | '.join([label, *shown])} |")
    return "\n".join(lines) + "\n"


def renewed(readme: str, results: str) -> str:
    """README with its tables as results.md has them.

    Raises ValueError where README has not the two marks.
    """
    before, found, rest = readme.partition(BEGIN)
    _, also_found, after = rest.partition(END)
    if not found or not also_found:
        raise ValueError(f"README.md needs the marks {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + "\n" + summary(results) + "\n" + END + after


def _table(tables: Tables, title: str) -> dict[str, list[str]]:
    return next((rows for known, rows in tables.items() if known.startswith(title)), {})


def _rounded(cell: str) -> str:
    """The median of a cell with two digits that count."""
    if not cell:
        return ""
    x = float(cell.split()[0].replace(",", ""))
    text = f"{float(f'{x:.2g}'):,.0f}" if x >= 10 else f"{x:#.2g}"
    return text
