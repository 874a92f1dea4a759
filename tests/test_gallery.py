"""The gallery: its examples run and draw the pictures that it shows, and the pictures are small."""

import importlib.util
import os
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "gallery.md").read_text(encoding="utf-8")

spec = importlib.util.spec_from_file_location("make_gallery", DOCS / "make_gallery.py")
make_gallery = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_gallery)
PAGES = make_gallery.pages(TEXT)
SCREENSHOTS = {name.replace(".html", ".png") for name in PAGES}  # which take a browser


@pytest.fixture
def in_a_copy(tmp_path, monkeypatch):
    """A folder to draw into, from which the process comes back."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(os.getcwd())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    return tmp_path


def test_the_examples_draw_the_pictures_and_print_what_stands_below_them(in_a_copy):
    """Where this fails after a change that is meant, ``python docs/make_gallery.py`` renews the page."""
    from PIL import Image

    assert make_gallery.run(TEXT, in_a_copy) == TEXT
    drawn = {path.relative_to(in_a_copy).as_posix() for path in in_a_copy.rglob("*.*")}
    assert drawn == {*make_gallery.pictures(TEXT), *PAGES} - SCREENSHOTS
    for name in drawn:
        if name.endswith(".png"):
            width, height = Image.open(in_a_copy / name).size
            shown = Image.open(DOCS / name).size
            assert abs(width - shown[0]) <= 2, name  # Matplotlib's releases measure text differently
            assert abs(height - shown[1]) <= 2, name


def test_the_page_shows_every_picture_there_is_and_describes_it():
    shown = make_gallery.pictures(TEXT)
    assert len(shown) == TEXT.count("![") >= 8
    assert {f"pictures/{path.name}" for path in (DOCS / "pictures").iterdir()} == {*shown, *PAGES}
    assert set(shown) >= SCREENSHOTS


def test_the_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in (DOCS / "pictures").iterdir()}
    for name, size in sizes.items():
        assert size <= make_gallery.LARGEST[Path(name).suffix], name
    assert sum(sizes.values()) <= make_gallery.LARGEST_SUM
