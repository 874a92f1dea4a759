"""A task's limits, tried before anybody is asked: what nobody could keep would be laid to every student."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Final

from autobp.grading.kinds import KINDS
from autobp.grading.process import Answers, ask
from autobp.grading.tasks import Task

#: A submission that is nobody's: it gives its arguments back, after having had 16 megabytes.
_NOBODYS: Final = "bytearray(16 << 20)\ndef {name}(*arguments, **named): return arguments\n"
#: Before it where arguments are arrays: the first product of matrices takes memory of its own.
_PRODUCT: Final = "import numpy\nnumpy.ones((256, 256)) @ numpy.ones((256, 256))\n"
_LEAST: Final = "a submission that only returns its arguments"
_MOST: Final = 1 << 16  # megabytes: as good as no limit


def prove_limits(task: Task) -> None:
    """Raise ValueError where its seconds or megabytes are too few here for a file that does next to nothing.

    The task is one that :func:`~autobp.grading.kinds.prove` lets pass.
    """
    kind = KINDS[task.kind]
    probes = json.dumps(kind.probes(task))
    _prove(kind.how, task.name, probes, task.seconds, task.megabytes, tuple(task.refused))


@functools.lru_cache(maxsize=64)  # what was raised is not kept: the machine may have been busy
def _prove(
    how: str, name: str, probes: str, seconds: int, megabytes: int, refused: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory(prefix="autobp-") as folder:
        file = Path(folder, "nobodys.py")
        file.write_text(_PRODUCT * (how == "call") + _NOBODYS.format(name=name), encoding="utf-8")

        def answers(megabytes: int) -> Answers:
            return ask(
                file, how, name, json.loads(probes), seconds=seconds, megabytes=megabytes, refused=refused
            )

        if not _fault(answers(megabytes)):
            return
        without = answers(_MOST)
        if without.status == "too slow":
            raise ValueError(f"seconds = {seconds} is too little here: {_LEAST} takes longer")
        if _fault(without):
            raise ValueError(f"nobody could answer this task here: {_LEAST} has {_fault(without)}")
        enough = megabytes
        while enough < _MOST and _fault(answers(enough)):
            enough *= 2
        raise ValueError(
            f"megabytes = {megabytes} is too little here: {_LEAST} takes more; {enough} are enough for that, "
            "and students' arrays need room besides"
        )


def _fault(answers: Answers) -> str:
    """What came in the way of an answer; of what was raised only that memory was out, "" where nothing."""
    if answers.status != "ok":
        return f"{answers.status}: {answers.told} {answers.printed}".rstrip()
    raised = [str(line["raised"]) for line in answers.lines if "raised" in line]
    return next((told for told in raised if told.startswith("MemoryError")), "")
