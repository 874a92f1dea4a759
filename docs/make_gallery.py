"""Draw every picture of gallery.md anew, and write what is printed there, by running its examples.

    python docs/make_gallery.py

The same versions of the libraries give the same files, so that a picture changes only if what it shows does.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).parent
#: bytes, so that the repository stays small
LARGEST = {".svg": 60_000, ".png": 80_000, ".html": 60_000}
LARGEST_SUM = 600_000


#: an example, and what it prints where that stands below it
EXAMPLE = re.compile(r"^```python\n(.*?)^```$(\n\n```text\n(.*?)^```$)?", flags=re.MULTILINE | re.DOTALL)


def pictures(text: str) -> list[str]:
    """The files that the page shows, relative to it."""
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)


def pages(text: str) -> list[str]:
    """The HTML files that the page links to; of x.html it shows the screenshot x.png."""
    return re.findall(r"\]\(([^):]+\.html)\)", text)


def run(text: str, folder: Path) -> str:
    """Run the examples one after another, in one namespace and in that folder, as a reader would.

    Returns the page with what they print below them.
    """
    import matplotlib

    (folder / "pictures").mkdir(exist_ok=True)
    os.chdir(folder)
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # no date in SVG files
    namespace: dict[str, object] = {}

    def run_one(example: re.Match[str]) -> str:
        code, prints = example[1], example[2] is not None
        out = io.StringIO()
        line = text[: example.start()].count("\n") + 1
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * line + code, "gallery.md", "exec"), namespace)
        return f"```python\n{code}```" + (f"\n\n```text\n{out.getvalue()}```" if prints else "")

    with matplotlib.rc_context({"svg.hashsalt": "autobp"}):
        return EXAMPLE.sub(run_one, text)


def screenshot(page: Path) -> None:
    """Picture an HTML file, 1000 by 640, if there is a browser for it."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print(f"no Chromium is installed: {page.stem}.png stays as it is")
        return
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,640"]
    target = page.with_suffix(".png")
    command = [browser, *options, f"--screenshot={target}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def shrink(path: Path) -> None:
    """Keep 128 colours of a PNG, more than these pictures need."""
    from PIL import Image

    with Image.open(path) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main() -> None:
    page = DOCS / "gallery.md"
    text = page.read_text(encoding="utf-8")
    started = time.time()
    page.write_text(run(text, DOCS), encoding="utf-8")
    for name in pages(text):
        screenshot(DOCS / name)
    total = 0
    for name in [*pictures(text), *pages(text)]:
        path = DOCS / name
        new = path.exists() and path.stat().st_mtime >= started - 1
        if not new and path.with_suffix(".html").name not in map(os.path.basename, pages(text)):
            sys.exit(f"no example draws {name}")
        if path.suffix == ".png":
            shrink(path)
        size = path.stat().st_size
        total += size
        print(f"{size:8,} bytes  {name}")
        if size > LARGEST[path.suffix]:
            sys.exit(f"{name} is too large: at most {LARGEST[path.suffix]:,} bytes")
    print(f"{total:8,} bytes in all")
    if total > LARGEST_SUM:
        sys.exit(f"the pictures are too large: at most {LARGEST_SUM:,} bytes")


if __name__ == "__main__":
    main()
