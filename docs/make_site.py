"""What the site has beside the pages of this folder: hooks of MkDocs, named in ``mkdocs.yml``.

README is its first page; files that pages point to are on it as they are; and the reference is made of the
docstrings of what ``REFERENCE`` names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: Pages that are files of the tree, and where they are on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "benchmarks/results.md": "benchmarks/results.md",
}
#: What pages point to, and is handed out as it is.
FILES = ("examples/*.py", "tests/test_*.py", "notebooks/*.ipynb")

#: The reference: of each page its title, and what is described on it.
REFERENCE = {
    "values": ("Values and functions", ("autobp.engine.Value", "autobp.functions", "autobp.ops.operation")),
    "networks": (
        "Networks and training",
        ("autobp.nn", "autobp.costs", "autobp.optim", "autobp.training.fitting.fit",
         "autobp.training.progress.History", "autobp.training.measures", "autobp.training.meaning.answers",
         "autobp.about.About"),
    ),
    "data": (
        "Data and scikit-learn",
        ("autobp.datasets.loading.load", "autobp.datasets.loading.names", "autobp.datasets.dataset.Dataset",
         "autobp.sklearn.estimators.MLPEstimator", "autobp.sklearn.estimators.MLPClassifier",
         "autobp.sklearn.estimators.MLPRegressor"),
    ),
    "derivatives": (
        "Derivatives",
        ("autobp.functional", "autobp.gradient_check.check_grad"),
    ),
    "programs": (
        "Programs",
        ("autobp.compiler.entry.compile", "autobp.compiler.step.Step", "autobp.ir.program.Program"),
    ),
    "shown": (
        "Derivations, pictures, pages",
        ("autobp.explanation.explain", "autobp.explanation.Explanation", "autobp.drawing.draw",
         "autobp.drawing.picture.Picture", "autobp.html_page.page", "autobp.plots.epochs",
         "autobp.plots.plane", "autobp.plots.confusion", "autobp.plots.quantities"),
    ),
    "checks": (
        "Checks",
        ("autobp.check.compare", "autobp.check.Report", "autobp.matrix.vectorised",
         "autobp.matrix.node_zero"),
    ),
}  # fmt: skip

#: Pages whose tables need the room of the contents beside them.
WIDE = ("ledger.md", "derivatives-at-edges.md")

_TEST = re.compile(r"(?<=<code>)test_\w+(?=</code>)")
_TAG = re.compile("<[^>]*>")
_SEVERAL = re.compile(r"(<b><code><[^>]*>[^<]*,)(</\w+></code></b>)\s*\(<code>(.*?)</code>\)", re.S)
_ROLE = re.compile(r":(?:py:)?(?:func|class|mod|meth|attr|data|exc):<code>~?")


def on_files(files: Any, config: Any) -> Any:
    """Add README and its like, what pages point to, and the pages of the reference."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for pattern in FILES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, content=path.read_bytes()))
    for name, (title, objects) in REFERENCE.items():
        content = "\n\n".join([f"# {title}", *[f"::: {each}" for each in objects]])
        files.append(File.generated(config, f"reference/{name}.md", content=f"{content}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links as they are in the tree, to where the same things are on the site."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    if page.file.src_uri in PAGES.values():
        markdown = markdown.replace("](docs/", "](")
    return markdown.replace("](../", "](").replace("](README.md", "](index.md")


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """What is shown of docstrings and tests.

    Roles, :func:`x`, are the names alone; of attributes that are told of together, the others are no type of
    the first; and a test's name may go on in the next line.
    """
    html = _TEST.sub(lambda found: found[0].replace("_", "_<wbr>"), html)
    html = _SEVERAL.sub(lambda found: f"{found[1]} {_TAG.sub('', found[3]).strip('()')}{found[2]}", html)
    return _ROLE.sub("<code>", html)
