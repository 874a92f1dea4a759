"""The documentation: its code runs, and it builds as a site, strictly."""

import contextlib
import importlib
import importlib.util
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

import autobp

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))

spec = importlib.util.spec_from_file_location("make_site", ROOT / "docs" / "make_site.py")
make_site = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_site)

#: Run by tests of their own: the gallery's code draws the pictures beside it, and some needs libraries that
#: may be missing (tests/test_gallery.py, test_models_document.py, test_other_arrays.py).
ELSEWHERE = ("gallery", "models", "other-arrays")
WITH_CODE = [
    page for page in DOCS if "```python" in page.read_text(encoding="utf-8") and page.stem not in ELSEWHERE
]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", minversion="1.6")
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        if "def cost_and_gradient(theta" in code:
            continue  # a program, printed in part
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, page.name, "exec"), namespace)


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    named = set(re.findall(r"\S+\.md", navigation))
    made = {*make_site.PAGES.values(), *[f"reference/{name}.md" for name in make_site.REFERENCE]}
    assert named == made | {page.name for page in DOCS}


@pytest.mark.parametrize("name", sorted(name for _, names in make_site.REFERENCE.values() for name in names))
def test_the_reference_names_what_there_is(name):
    if "sklearn" in name:
        pytest.importorskip("sklearn")
    module, found = name, None
    while found is None:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            module = module.rpartition(".")[0]
    for part in name[len(module) + 1 :].split(".") if name != module else ():
        found = getattr(found, part)
    assert found.__doc__


def test_help_on_compile_says_compile():
    assert autobp.compile.__name__ == "compile"
    assert autobp.compile.__qualname__ == "compile"


class Links(HTMLParser):
    """Where a page points to."""

    def __init__(self, page):
        super().__init__()
        self.links = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("href", "src") and value]


def test_the_site_builds_strictly_and_its_links_lead_somewhere(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    n_links = 0
    for page in tmp_path.rglob("*.html"):
        if page.parent.name == "pictures" or page.name == "404.html":
            continue
        for link in Links(page.read_text(encoding="utf-8")).links:
            target = urlparse(urldefrag(link)[0])
            if target.scheme or not target.path:
                continue
            there = page.parent / unquote(target.path)
            assert there.exists(), f"{page.relative_to(tmp_path)}: {link}"
            n_links += 1
    assert n_links > 500
    networks = (tmp_path / "reference" / "networks" / "index.html").read_text(encoding="utf-8")
    assert "patience" in networks
    assert 'href="../../site.css"' in networks
    assert ":func:" not in networks
