"""docs/teaching.md: its notebook's cells run, alone and in order, and fail for a student who is wrong."""

import doctest
import re
from pathlib import Path

import pytest

from autobp.grading import READY

TEXT = (Path(__file__).parent.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
SOLUTION, TESTS, OTTER = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def otter_says(namespace):
    """How many of the otter test's examples fail, run as otter does: doctests on the notebook's names."""
    made = {}
    exec(OTTER, made)
    assert made["OK_FORMAT"]
    runner = doctest.DocTestRunner(verbose=False)
    for suite in made["test"]["suites"]:
        assert suite["type"] == "doctest"
        for case in suite["cases"]:
            parsed = doctest.DocTestParser().get_doctest(case["code"], dict(namespace), "q1", "q1.py", 0)
            assert parsed.examples
            runner.run(parsed, out=lambda _: None)
    return runner.summarize(verbose=False).failed


def test_the_cells_of_the_notebook_run_alone_and_pass():
    notebook = {}
    exec(SOLUTION, notebook)
    exec(TESTS, notebook)
    assert otter_says(notebook) == 0


@pytest.mark.parametrize(
    ("right", "wrong"), [("(1 - a[l] ** 2)", "1"), ("/ m +", "+"), ("d.mean(", "d.sum(")]
)
def test_the_cells_fail_for_a_student_who_is_wrong(right, wrong, capsys):
    assert right in SOLUTION
    notebook = {}
    exec(SOLUTION.replace(right, wrong), notebook)
    with pytest.raises(AssertionError, match="Likely cause"):
        exec(TESTS, notebook)
    assert otter_says(notebook) == 1


def test_the_students_version_without_the_solution_fails():
    notebook = {}
    exec(
        re.sub(
            r"    ### BEGIN.*### END SOLUTION", "    raise NotImplementedError", SOLUTION, flags=re.DOTALL
        ),
        notebook,
    )
    with pytest.raises(NotImplementedError):
        exec(TESTS, notebook)


def test_the_table_has_every_ready_made_task():
    assert re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE) == list(READY)
