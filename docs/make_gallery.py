"""Draw every picture of gallery.md anew, by running the examples that stand there.

    python docs/make_gallery.py

The same versions of the libraries give the same files, so that a picture changes only if what it shows does.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

DOCS = Path(__file__).parent
#: bytes, so that the repository stays small
LARGEST = {".svg": 60_000, ".png": 80_000}
LARGEST_SUM = 600_000


def examples(text: str) -> list[str]:
    """The page's examples in Python, in order."""
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def pictures(text: str) -> list[str]:
    """The files that the page shows, relative to it."""
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)


def run(text: str, folder: Path) -> None:
    """Run the examples one after another, in one namespace and in that folder, as a reader would."""
    import matplotlib

    (folder / "pictures").mkdir(exist_ok=True)
    os.chdir(folder)
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # no date in SVG files
    namespace: dict[str, object] = {}
    with matplotlib.rc_context({"svg.hashsalt": "autobp"}):
        for code in examples(text):
            line = text[: text.index(code)].count("\n") + 1
            exec(compile("\n" * (line - 1) + code, "gallery.md", "exec"), namespace)


def shrink(path: Path) -> None:
    """Keep 128 colours of a PNG, more than these pictures need."""
    from PIL import Image

    with Image.open(path) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    started = time.time()
    run(text, DOCS)
    total = 0
    for name in pictures(text):
        path = DOCS / name
        if not path.exists() or path.stat().st_mtime < started - 1:
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
