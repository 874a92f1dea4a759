"""README's tables: the figures that matter most, taken from results.md and never typed by hand."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

BEGIN, END = "<!-- written by python -m benchmarks -->\n", "<!-- end of what it writes -->\n"

#: Tables by their titles, and rows by their names without versions: the median, and × each reference.
Tables = dict[str, dict[str, list[str]]]

_EAGER = (
    ("micrograd's moons demo with micrograd's own `nn`", "micrograd's moons demo, its own nn", "micrograd"),
    ("the same demo, each with its own `nn`", "The same demo", "micrograd"),
    ("a scalar GPT in the shape of microgpt", "A scalar GPT", "microgpt's kind of Value"),
)


@dataclass(frozen=True)
class Peers:
    """A table of README: peers in multiples of the reference of some tables of results.md.

    Attributes:
        rows: what README calls a comparison, and how its title begins.
        columns: what README calls a peer, and its names; the first that a comparison has is shown.
    """

    heading: str
    rows: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, tuple[str, ...]], ...]


_PROGRAM = ("its NumPy program", ("autobp.compile, NumPy",))
_PEERS = (
    Peers(
        "`autobp.compile`, cost and gradient",
        (
            ("784-30-10, batch 10", "784-30-10, sigmoid, batch 10:"),
            ("784-30-10, batch 100", "784-30-10, sigmoid, batch 100:"),
            ("784-256-128-10, batch 100", "784-256-128-10"),
        ),
        (
            ("NumPy by hand", ("NumPy by hand",)),
            ("PyTorch eager", ("PyTorch, eager",)),
            ("JAX jit", ("JAX, jit",)),
            ("autograd", ("autograd",)),
        ),
    ),
    Peers(
        "the same in machine code, where work is small",
        (
            ("2-16-16-1, one sample", "2-16-16-1, tanh, batch 1:"),
            ("2-16-16-1, batch 100", "2-16-16-1, tanh, batch 100:"),
            ("a Kalman filter, 200 steps, 4 rows", "kalman"),
            ("Runge–Kutta, 200 steps, 4 rows", "runge_kutta"),
            ("a GPT in scalars, one document", "a GPT in scalars"),
            ("micrograd's moons demo, 100 samples", "micrograd's moons demo (2-16-16-1"),
            ("7,000 scalars, hardly two alike", "7,000 scalars"),
        ),
        (
            ("C by hand", ("C by hand, with care", "C by hand, plain")),
            _PROGRAM,
            ("CasADi's C", ("CasADi, its C called the same way",)),
            ("Numba", ("Numba, on the source of the NumPy program",)),
            ("JAX jit", ("JAX, jit", "JAX, jit of a scan")),
            ("torch.compile", ("PyTorch, torch.compile",)),
            ("micrograd's kind", ("micrograd", "Values in microgpt's manner")),
        ),
    ),
    Peers(
        "derivatives beyond the gradient",
        (
            ("Hessian of 2-16-16-1, batch 100", "the Hessian of 2-16-16-1"),
            ("Hessian of a curve of 10 parameters, 10,000 rows", "the Hessian of a curve"),
            ("Jacobian of a chain of 50 states", "the Jacobian of a chain"),
            ("Jacobian of 200 Runge–Kutta steps", "the Jacobian of 200"),
        ),
        (
            _PROGRAM,
            ("JAX jit", ("JAX, jit of hessian", "JAX, jit of jacfwd", "JAX, jit of jacfwd of a scan")),
            ("PyTorch", ("PyTorch, func.hessian", "PyTorch, func.jacfwd")),
            ("autograd", ("autograd",)),
        ),
    ),
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
            r"(.+?)( \d+\.[\w.+]*)?(, (?:compiled|plain Python))?", first
        ).groups()  # type: ignore[union-attr]
        rows[name + (build or "")] = cells
        if version and not build:
            peer = {"numpy": "NumPy", "torch": "PyTorch"}.get(name.partition(",")[0], name.partition(",")[0])
            versions[peer.removesuffix(" by hand") + version.partition("+")[0]] = None
    return tables, sorted(versions, key=str.lower)


def summary(results: str) -> str:
    """The text and tables for README; a blank cell where results.md has none."""
    tables, versions = read(results)
    machine = "; ".join(line.rstrip(".") for line in results.split("\n\n")[1].splitlines()[:2])
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
    ]
    for peers in _PEERS:
        lines += ["", *_shown(tables, peers)]
    return "\n".join(lines) + "\n"


def _shown(tables: Tables, peers: Peers) -> list[str]:
    lines = [
        f"| {' | '.join([peers.heading, *[label for label, _ in peers.columns]])} |",
        "|---" + "|---:" * len(peers.columns) + "|",
    ]
    for label, title in peers.rows:
        rows = _table(tables, title)
        cells = []
        for _, names in peers.columns:
            found = [rows[name] for name in names if name in rows]
            cells.append(_rounded(found[0][1]) if found else "")
        lines.append(f"| {' | '.join([label, *cells])} |")
    return lines


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
