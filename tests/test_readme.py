"""README does what it says: its examples run, and print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_every_example_runs_and_prints_what_stands_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("sklearn")
    namespace = {}
    compared = 0
    for i, (language, code) in enumerate(BLOCKS):
        if language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"README example: {code.splitlines()[0]}", "exec"), namespace)
        if i + 1 < len(BLOCKS) and BLOCKS[i + 1][0] == "text" and f"{code}```\n\n```text" in README:
            assert out.getvalue().strip() == BLOCKS[i + 1][1].strip()
            compared += 1
    assert compared >= 4


def test_the_first_screen_has_a_picture_and_two_commands():
    first_screen = README.splitlines()[:30]
    assert sum(line == "```sh" for line in first_screen) == 2
    pictures = re.findall(r"!\[.+\]\((.+?)\)", "\n".join(first_screen))
    assert len(pictures) == 1


def test_every_file_that_readme_points_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (Path(__file__).parent.parent / target).is_file(), target
