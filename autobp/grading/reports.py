"""Results as a table, as grades for a course system, and as a page for a student."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape

from autobp.grading.judged import Item, Result
from autobp.grading.tasks import Task

_STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100% } .points { width: auto }
td, th { border-bottom: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top }
.wrong, .missing { background: #fdecea } .follows { background: #fff8e1 } .right { background: #edf7ed }
h1, p, td { overflow-wrap: anywhere } summary { cursor: pointer }
pre { background: #f5f5f5; padding: .6em; overflow: auto }
@media (prefers-color-scheme: dark) { body { background: #181a1b; color: #e8e6e3 } pre { background: #222 }
.wrong, .missing { background: #4a2320 } .follows { background: #453b1a } .right { background: #1f3a24 } }
@media (max-width: 40em) { .items th { display: none } .items td { display: inline-block; border: 0 }
.items tr, .items td:last-child { display: block } .items tr { border-bottom: 1px solid #ccc } }"""


def table(results: Sequence[Result]) -> str:
    """A line for each student: points by equation, and what happened or may be wrong."""
    equations = list(results[0].points or {}) if results else []
    width = max([len("student"), *(len(result.student) for result in results)])
    head = "  ".join(
        [f"{'student':{width}}", *(f"{name:>10}" for name in equations), f"{'points':>10}", "what"]
    )
    lines = [head]
    for result in results:
        points = result.points or {}
        parts = [f"{_points(*points.get(name, (0, 0))):>10}" for name in equations]
        total = f"{_points(result.score, result.maximum):>10}"
        what = result.causes[0] if result.causes else "all right" if result.status == "judged" else ""
        if result.status == "judged" and not result.causes and result.score < result.maximum:
            what = "no usual mistake gives these numbers"
        if result.status != "judged":
            what = f"{result.status}: {result.told}"
        lines.append(_on_one_line("  ".join([f"{result.student:{width}}", *parts, total, what])))
    return "\n".join(lines)


def _on_one_line(text: str) -> str:
    """Without line ends and what else a terminal obeys, which a submission may have put there."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _points(got: float, most: float) -> str:
    return f"{got:g}/{most:g}"


def grades_csv(results: Sequence[Result]) -> str:
    """student,grade,maximum,percent,status: with a header, as course systems import grades."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", "grade", "maximum", "percent", "status"])
    for result in results:
        percent = 100.0 * result.score / result.maximum if result.maximum else 0.0
        formula = result.student.startswith(("=", "+", "-", "@", "\t", "\r"))  # to a spreadsheet
        name = f"'{result.student}" if formula else result.student
        writer.writerow([name, f"{result.score:g}", f"{result.maximum:g}", f"{percent:.1f}", result.status])
    return out.getvalue()


def page(result: Result, task: Task) -> str:
    """A student's page: points, each quantity, and hints at three levels that open one by one."""
    points = "".join(
        f"<tr><td>{escape(name)}</td><td>{_points(got, most)}</td></tr>"
        for name, (got, most) in (result.points or {}).items()
    )
    what = ""
    if result.status != "judged":
        what = f"<p class='wrong'>{escape(result.status)}: {escape(result.told)}</p>"
    rows = "".join(_row(item) for item in result.items)
    head = "<tr><th>equation<th>quantity<th>verdict<th>hints</tr>"
    items = f"<table class='items'>{head}{rows}</table>" if rows else ""
    printed = f"<h2>Printed</h2><pre>{escape(result.printed)}</pre>" if result.printed else ""
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(result.student)}: {escape(task.title)}</title>"
        f"<style>{_STYLE}</style><h1>{escape(task.title)}</h1><p><code>{escape(task.asks)}</code></p>"
        f"<p><b>{escape(result.student)}</b>: {_points(result.score, result.maximum)} points</p>{what}"
        f"<table class='points'><tr><th>equation<th>points</tr>{points}</table>"
        f"<h2>Each quantity</h2>{items}{printed}</html>"
    )


def _row(item: Item) -> str:
    hints = ""
    if item.verdict != "right":
        where = f"[{','.join(str(i) for i in item.where)}]" if item.where else ""
        numbers = (
            f"; {item.quantity}{where} is {item.theirs:.10g}, and should be {item.right:.10g}"
            if where
            else ""
        )
        levels = [item.hints[0] + numbers, item.hints[1], item.hints[2]]
        for level, hint in reversed(list(enumerate(filter(None, levels), start=1))):
            hints = f"<details><summary>hint {level}</summary>{escape(hint)}{hints}</details>"
    verdict = {"follows": "wrong, but right given what came before it"}.get(item.verdict, item.verdict)
    cells = [escape(item.equation), escape(item.quantity), verdict, hints]
    return f"<tr class='{item.verdict}'>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
