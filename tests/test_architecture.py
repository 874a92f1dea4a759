"""docs/architecture.md: its rooms are the package's, its files exist, and its picture is its script's."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROWS = [line.split("|") for line in PAGE.split("## The rooms")[1].split("## ")[0].splitlines() if "|" in line]
PACKAGE = ROOT / "autobp"
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
FILES = re.findall(r"`((?:autobp|compiler|reading|backends|tests|docs)/[\w./]+)`", PAGE)

spec = importlib.util.spec_from_file_location("make_rooms", ROOT / "docs" / "make_rooms.py")
make_rooms = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_rooms)


def named(text):
    return set(re.findall(r"`(\w+)`", text))


def test_the_table_has_every_room_and_no_other():
    rooms = ROOMS - {"__init__", "__main__"}
    first = {name for row in ROWS for name in named(row[1])}
    beside = {name for row in ROWS for name in named(row[2])}
    assert first <= rooms
    assert rooms <= first | beside


@pytest.mark.parametrize("path", sorted(set(FILES)))
def test_its_files_exist(path):
    assert (ROOT / path).exists() or (PACKAGE / path).exists()


def test_the_picture_is_what_the_script_draws():
    svg = (ROOT / "docs" / "rooms.svg").read_text(encoding="utf-8")
    texts = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)).replace("&#45;", "-")
    for _, rooms in make_rooms.ROWS:
        for name, holds in rooms:
            for words in (name, *holds.split("\n")):
                assert words in texts
    for _, _, what in make_rooms.FLOWS:
        assert what in texts


def test_the_picture_shows_rooms_that_there_are():
    boxes = {name for _, rooms in make_rooms.ROWS for name, _ in rooms}
    assert {room for name in boxes for room in name.split(", ")} <= ROOMS
    assert {name for start, end, _ in make_rooms.FLOWS for name in (start, end)} <= boxes
