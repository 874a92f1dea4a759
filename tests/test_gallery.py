"""The gallery: its examples run and draw the pictures that it shows, and the pictures are small."""

import dataclasses
import importlib.util
import os
import re
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


def test_the_examples_draw_the_pictures_and_print_what_stands_below_them(in_a_copy, monkeypatch):
    """On few samples and for an epoch, which takes seconds."""
    from autobp import datasets

    load = datasets.load

    def few(*args, **options):
        data = load(*args, **options)
        return dataclasses.replace(data, X=data.X[:20], Y=data.Y[:20])

    monkeypatch.setattr(datasets, "load", few)
    quick = re.sub(r"\bepochs=\d+", "epochs=1", TEXT)
    # What examples print is as it stands there; `python docs/make_gallery.py` writes it.
    assert make_gallery.run(quick, in_a_copy) == quick
    drawn = {path.relative_to(in_a_copy).as_posix() for path in in_a_copy.rglob("*.*")}
    assert drawn == {*make_gallery.pictures(TEXT), *PAGES} - SCREENSHOTS


@pytest.mark.long
def test_the_pictures_are_the_ones_that_the_examples_draw(in_a_copy):
    from PIL import Image, ImageChops, ImageStat

    make_gallery.run(TEXT, in_a_copy)
    for name in {*make_gallery.pictures(TEXT)} - SCREENSHOTS:
        if name.endswith(".png"):
            make_gallery.shrink(in_a_copy / name)
            kept, drawn = (Image.open(folder / name).convert("RGB") for folder in (DOCS, in_a_copy))
            assert max(ImageStat.Stat(ImageChops.difference(kept, drawn)).mean) < 1  # of 255
        else:
            assert (in_a_copy / name).read_text().count("<path") == (DOCS / name).read_text().count("<path")


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
