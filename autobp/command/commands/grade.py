"""``autobp grade``."""

from __future__ import annotations

import argparse
from pathlib import Path

from autobp.command.arguments import one_of, size
from autobp.command.parser import Command
from autobp.grading import READY, grade
from autobp.grading.process import protection
from autobp.grading.reports import grades_csv, table
from autobp.grading.tasks import as_toml


def _add_arguments(command: argparse.ArgumentParser) -> None:
    what = "a folder with a .py file a student, or a folder a student, or one file"
    command.add_argument("submissions", nargs="?", type=Path, help=what)
    command.add_argument("--task", metavar="TASK", help=f"a .toml or .json file, or {', '.join(READY)}")
    where = "for a JSON and an HTML file a student, and grades.csv (default: grades)"
    command.add_argument("-o", "--output", type=Path, default=Path("grades"), metavar="FOLDER", help=where)
    command.add_argument("-j", "--jobs", type=size, default=2, help="submissions at a time (default: 2)")
    command.add_argument(
        "--show", metavar="TASK", type=one_of("task", READY), help="print a ready-made task's file"
    )


def _run(options: argparse.Namespace) -> int:
    if options.show:
        print(as_toml(READY[options.show]), end="")
        return 0
    if options.submissions is None or options.task is None:
        raise ValueError("give a folder of submissions and --task; --show prints a ready-made task's file")
    print(protection())
    results = grade(options.submissions, options.task, out=options.output, jobs=options.jobs)
    (options.output / "grades.csv").write_text(grades_csv(results), encoding="utf-8")
    print(table(results))
    print(f"wrote {options.output / 'grades.csv'} and a page for each of {len(results)}")
    return 0


COMMAND = Command(
    "Grade students' submissions, equation by equation, each in a process of its own.",
    "  autobp grade submissions/ --task backprop\n"
    "  autobp grade --show backprop > task.toml\n"
    "  autobp grade submissions/ --task task.toml --output grades --jobs 2\n\n"
    "Call it again to go on where it stopped: what was graded, and has not changed, is kept.",
    _add_arguments,
    _run,
)
