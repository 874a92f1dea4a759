"""Run the comparisons and write the table: ``python -m benchmarks [--quick] [--only WORD] [--out FILE]``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import benchmarks
from benchmarks.built_c import processor
from benchmarks.harness import COMPILED, ROOT, SOURCE, Build, Comparison, Row, run
from benchmarks.summary import renewed


def comparisons() -> dict[str, Comparison]:
    """All comparisons, by a name that a child process finds them by."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name != "__main__":
            for i, comparison in enumerate(
                getattr(importlib.import_module(f"benchmarks.{module.name}"), "COMPARISONS", [])
            ):
                found[f"{module.name}:{i}"] = comparison
    return found


def compile_into(folder: Path) -> str:
    """Build the compiled package of this source there; what went wrong, or nothing."""
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(folder / "work")]
    command += ["--build-lib", str(folder / "lib")]
    environment = {**os.environ, "AUTOBP_COMPILE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or "unknown reason").splitlines()[-1]


def measured(name: str, comparison: Comparison, compiled: Path | None, quick: bool) -> list[Row]:
    """The rows of a comparison, measured in a process of its own, or in one for each contender."""
    if not comparison.apart:
        return in_a_process(name, compiled, quick)
    children = [f"{name}:{i}" for i in range(len(comparison.contenders))]
    return [row for child in children for row in in_a_process(child, compiled, quick)]


def chosen(child: str) -> Comparison:
    """The comparison of that name, or with the place of a contender after it that one alone."""
    module, i, *contender = child.split(":")
    comparison = comparisons()[f"{module}:{i}"]
    alone = [comparison.contenders[int(k)] for k in contender]
    return replace(comparison, contenders=tuple(alone)) if alone else comparison


def in_a_process(name: str, compiled: Path | None, quick: bool) -> list[Row]:
    command = [sys.executable, "-m", "benchmarks", "--child", name, *(["--quick"] if quick else [])]
    command += ["--compiled", str(compiled)] if compiled else []
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the comparison {name} ended with status {done.returncode}")
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def number(x: float) -> str:
    """x with three digits that count."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def ratio(row: Row, reference: Row | None) -> str:
    """How many times the reference: the median of the rounds' ratios, the smallest and the largest."""
    if reference is None or not row.samples or not reference.samples or row is reference:
        return ""
    ratios = [a / b for a, b in zip(row.samples, reference.samples, strict=True)]
    return f"{number(statistics.median(ratios))} ({number(min(ratios))}–{number(max(ratios))})"


def table(comparison: Comparison, rows: list[Row]) -> str:
    if comparison.reference:
        named = next((row for row in rows if row.name == comparison.reference and row.samples), None)
        references = {comparison.reference: named}
    else:
        references = {
            build: next((row for row in rows if row.build == build and row.samples), None)
            for build in (COMPILED, SOURCE)
        }
    lines = [
        f"| {comparison.title} | {comparison.unit} | {' | '.join(f'× {name}' for name in references)} |",
        f"|---|---:|{'---:|' * len(references)}",
    ]
    for row in rows:
        name = " ".join(part for part in (row.name, row.version) if part) + (
            f", {row.build}" if row.build else ""
        )
        median = number(statistics.median(row.samples)) if row.samples else ""
        ratios = [ratio(row, reference) for reference in references.values()]
        lines.append(f"| {name} | {median} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def preface(quick: bool) -> str:
    machine = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return (
        "# Measured\n\n"
        f"{machine} ({platform.machine()}, {os.cpu_count()} cores){', few rounds' if quick else ''}.\n"
        f"{processor()}.\n"
        "Medians; the ratios are to autobp in the same round: the median, and in parentheses the smallest\n"
        "and the largest. A blank cell: that peer is not installed, or cannot do it.\n"
        "Written by `python -m benchmarks`.\n"
    )


def write(results: str) -> None:
    """The figures into results.md, and the first of them into README.md."""
    readme = ROOT / "README.md"
    text = renewed(readme.read_text(encoding="utf-8"), results)
    (ROOT / "benchmarks" / "results.md").write_text(results, encoding="utf-8")
    readme.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of each comparison")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="the comparisons with this in name or title"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where to write the tables; if all is run, benchmarks/results.md, and their gist into README.md",
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument(
        "--compiled", type=Path, metavar="FOLDER", help="a compiled build to use, instead of a new one"
    )
    options = parser.parse_args()
    if options.child:
        builds = [Build(COMPILED, options.compiled)] if options.compiled else []
        rows = run(chosen(options.child), [*builds, Build(SOURCE, ROOT)], options.quick)
        print(json.dumps([asdict(row) for row in rows]))
        return
    with tempfile.TemporaryDirectory() as folder:
        compiled = options.compiled
        if compiled is None:
            print("compiling …", file=sys.stderr)
            obstacle = compile_into(Path(folder))
            compiled = None if obstacle else Path(folder, "lib")
            if obstacle:
                print(f"not compiled, its cells stay blank: {obstacle}", file=sys.stderr)
        tables = [preface(options.quick)]
        for name, comparison in comparisons().items():
            if options.only.lower() in f"{name} {comparison.title}".lower():
                tables.append(table(comparison, measured(name, comparison, compiled, options.quick)) + "\n")
                print(tables[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(tables), encoding="utf-8")
    elif not options.only and not options.quick:
        write("\n".join(tables))


if __name__ == "__main__":
    main()
