"""A folder of submissions, graded one by one, some at a time, and taken up again where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autobp.grading.judged import Result, points_of
from autobp.grading.kinds import KINDS, prove
from autobp.grading.limits import prove_limits
from autobp.grading.process import ask
from autobp.grading.reports import page
from autobp.grading.submissions import Submission, submissions_of
from autobp.grading.tasks import Task, read_task

_VERSION = 3  # of the judgement: earlier results of another are not taken up


def grade(
    submissions: str | os.PathLike[str],
    task: str | os.PathLike[str] | Task,
    *,
    out: str | os.PathLike[str] | None = None,
    jobs: int = 2,
    told: Callable[[Result], object] = lambda _: None,
) -> list[Result]:
    """Grade every submission of a folder, or one file.

    Args:
        submissions: the folder, or the file. In the folder each ``.py`` file is a submission by its name
            without the ending, and each folder with one Python file in it by the folder's name, as course
            systems have it; where a folder has several, or none though all hand in folders, that is told.
            Names that begin with a dot, which archives and editors leave, are nobody's.
        task: a task, its ``.toml`` or ``.json`` file, or the name of one that is ready made.
        out: where each student's JSON and HTML go as soon as they are known. A result that is there already,
            of the same file and task, is taken as it is.
        jobs: how many submissions run at a time.
        told: called with each result as it is known.

    The results come in the order of the names. No submission can make it fail, or hang.

    Raises ValueError where there is nothing to grade, or the task is none, or none that could be answered,
    as for lack of memory.
    """
    chosen = read_task(task if isinstance(task, (str, Task)) else Path(task))
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1; got {jobs}")
    prove(chosen)
    target = None if out is None else Path(out)
    everybodys = submissions_of(Path(submissions), but=target)
    prove_limits(chosen)
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)

    def one(submission: Submission) -> Result:
        result = _graded(submission, chosen, target)
        told(result)
        return result

    with ThreadPoolExecutor(jobs) as workers:
        return list(workers.map(one, everybodys))


def _graded(submission: Submission, task: Task, out: Path | None) -> Result:
    student = submission.student
    try:
        file = submission.file()
        key = _key(file, task)
    except OSError as error:
        result = _failed(student, task, "not loaded", f"the file cannot be read: {error.strerror}")
    except ValueError as error:
        result = _failed(student, task, "not loaded", str(error))
    else:
        known = None if out is None else _earlier(out / f"{submission.name}.json", key)
        if known is not None:
            return known
        result = judge(file, task, student, key)
    if out is not None:
        _write(out / f"{submission.name}.html", page(result, task))
        _write(out / f"{submission.name}.json", json.dumps(result.as_json(), ensure_ascii=False, indent=1))
    return result


def judge(file: Path, task: Task, student: str, key: str = "") -> Result:
    """One student's file, asked and judged."""
    kind = KINDS[task.kind]
    answers = ask(
        file, kind.how, task.name, kind.probes(task), seconds=task.seconds, megabytes=task.megabytes,
        refused=task.refused,
    )  # fmt: skip

    def failed(status: str, why: str) -> Result:
        return _failed(student, task, status, why, answers.printed, key)

    if answers.status != "ok":
        return failed(answers.status, answers.told)
    raised = [line["raised"] for line in answers.lines if "raised" in line]
    if raised and kind.how == "call":
        return failed("raised", str(raised[0]))
    try:
        items, causes = kind.judge(task, answers.lines)
    except Exception as error:  # whatever was returned, one submission harms no other
        return failed("wrong return", f"{error}" or type(error).__name__)
    points = points_of(items, task.points)
    if any("which it was given" in cause for cause in causes):  # an argument was changed
        points = {equation: (got / 2, most) for equation, (got, most) in points.items()}
    return Result(student, "judged", "", items, causes, points, answers.printed, key)


def _failed(student: str, task: Task, status: str, why: str, printed: str = "", key: str = "") -> Result:
    none = {equation: (0.0, float(most)) for equation, most in task.points.items()}
    return Result(student, status, why, points=none, printed=printed, key=key)


def _key(file: Path, task: Task) -> str:
    """What a result depends on: the file, the task, and how it is judged."""
    made = hashlib.sha256(file.read_bytes())
    made.update(repr((_VERSION, task)).encode())
    return made.hexdigest()


def _earlier(path: Path, key: str) -> Result | None:
    try:
        found = Result.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.key == key else None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, so that a file that is there is a result."""
    made = path.with_suffix(f"{path.suffix}.part")
    made.write_text(text, encoding="utf-8")
    made.replace(path)
