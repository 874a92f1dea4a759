"""The documentation: its code runs, and it builds as a site, strictly."""

import contextlib
import importlib
import importlib.util
import io
import re
import subprocess
import sys
import unicodedata
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from urllib.parse import unquote, urldefrag, urlparse
from xml.etree import ElementTree

import pytest
from test_page import in_browser, needs_browser

import autobp

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))


def hook(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_site = hook("make_site")
make_mathml = hook("make_mathml")

#: Run by tests of their own: the gallery's code draws the pictures beside it, and some needs libraries that
#: may be missing (tests/test_gallery.py, test_models_document.py, test_other_arrays.py).
ELSEWHERE = ("gallery", "models", "other-arrays")
WITH_CODE = [
    page for page in DOCS if "```python" in page.read_text(encoding="utf-8") and page.stem not in ELSEWHERE
]


FORMULAS = [
    formula
    for page in [*DOCS, *(ROOT / source for source in make_site.PAGES)]
    for formula in re.findall(r"\$`(.*?)`\$", page.read_text(encoding="utf-8"))
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("latex2mathml")
    built = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(built)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return built


def test_the_site_builds_strictly_and_its_links_lead_somewhere(site):
    n_links = 0
    for page in site.rglob("*.html"):
        if page.parent.name == "pictures" or page.name == "404.html":
            continue
        for link in Links(page.read_text(encoding="utf-8")).links:
            target = urlparse(urldefrag(link)[0])
            if target.scheme or not target.path:
                continue
            there = page.parent / unquote(target.path)
            assert there.exists(), f"{page.relative_to(site)}: {link}"
            n_links += 1
    assert n_links > 500


def test_the_pages_of_the_site_say_what_they_should(site):
    networks = (site / "reference" / "networks" / "index.html").read_text(encoding="utf-8")
    assert "patience" in networks
    assert 'href="../../site.css"' in networks
    assert ":func:" not in networks
    for page in (site / "reference").rglob("index.html"):
        assert "<blockquote>" not in page.read_text(encoding="utf-8"), "a doctest that is no example"
    data = (site / "reference" / "data" / "index.html").read_text(encoding="utf-8")
    data = " ".join(re.sub("<[^>]*>", " ", data).split())
    assert "loss_, best_loss_, loss_curve_, n_iter_ – " in data
    assert data.count("Dataset – ") == 1
    assert "<code>~/.cache</code>" in (site / "machine-code" / "index.html").read_text(encoding="utf-8")
    ledger = (site / "ledger" / "index.html").read_text(encoding="utf-8")
    assert len(re.findall("(?<!<wbr>)<math>", ledger)) == len(FORMULAS)
    assert "$<code>" not in ledger
    assert "<script src=http" not in ledger.replace('"', "")


@needs_browser
def test_formulas_fit_their_page(site, tmp_path):
    ledger = copytree(site, tmp_path / "site") / "ledger"
    made = escape((ledger / "index.html").read_text(encoding="utf-8"))
    frame = f'<iframe srcdoc="{made}" style="border: 0; width: %dpx"></iframe>'
    (ledger / "frames.html").write_text(f"<body>{frame % 1400}{frame % 375}</body>", encoding="utf-8")
    script = """
      const seen = [];
      for (const frame of document.querySelectorAll("iframe")) {
        const page = () => frame.contentDocument;
        while (page()?.readyState !== "complete" || !page().querySelector("math"))
          await new Promise((done) => setTimeout(done, 20));
        const sizes = [...page().querySelectorAll("math")].map((formula) => formula.getBoundingClientRect());
        const root = page().documentElement, width = frame.clientWidth;
        seen.push([width, root.scrollWidth - root.clientWidth,
                   sizes.every((size) => size.width > 3 && size.height > 3 && size.left < width)]);
      }
      return seen;"""
    assert in_browser(ledger / "frames.html", script, ledger) == [[1400, 0, True], [375, 0, True]]


#: Commands of TeX that are a sign, or stand for a word; the others in formulas are Greek letters.
SIGNS = {
    r"\partial": "∂", r"\nabla": "∇", r"\ell": "ℓ", r"\varepsilon": "ε", r"\sum": "∑", r"\times": "×",
    r"\odot": "⊙", r"\cdot": "·", r"\equiv": "≡", r"\geq": "≥", r"\leq": "≤", r"\neq": "≠", r"\approx": "≈",
    r"\in": "∈", r"\Rightarrow": "⇒", r"\dots": "…", r"\lvert": "|", r"\rvert": "|", r"\{": "{", r"\}": "}",
    r"\log": "log", r"\ln": "ln", r"\min": "min", "-": "−", "'": "^<′>", r"\left": "", r"\right": "",
    r"\ ": "", " ": "",
}  # fmt: skip
BRACKETS = {r"\begin bmatrix": "[", r"\end bmatrix": "]", r"\begin cases": "{", r"\end cases": ""}


def read_tex(tokens):
    """What a formula shows, read from its TeX up to a closing brace: what is above or below others in <>."""
    shown = ""
    while tokens and tokens[0] != "}":
        token = tokens.pop(0)
        if token in ("^", "_"):
            shown += f"{token}<{argument(tokens)}>"
        elif token == r"\dfrac":
            shown += f"<{argument(tokens)}>/<{argument(tokens)}>"
        elif token == r"\tilde":
            shown += f"~<{argument(tokens)}>"
        elif token in (r"\begin", r"\end"):
            shown += BRACKETS[f"{token} {argument(tokens)}"]
        elif token in (r"\text", r"\mathrm", r"\mathbin", "{"):
            shown += argument(tokens if token != "{" else ["{", *tokens])
        elif token in SIGNS or not token[1:].isalpha():
            shown += SIGNS.get(token, token)
        else:
            size = "CAPITAL" if token[1].isupper() else "SMALL"
            shown += unicodedata.lookup(f"GREEK {size} LETTER {token[1:]}".replace("lambda", "lamda"))
    return shown


def argument(tokens):
    token = tokens.pop(0)
    if token != "{":
        return read_tex([token])
    shown = read_tex(tokens)
    tokens.pop(0)
    return shown


def read_mathml(element):
    """The same, read from MathML."""
    parts = [read_mathml(child) for child in element]
    match element.tag:
        case "msub":
            return f"{parts[0]}_<{parts[1]}>"
        case "msup":
            return f"{parts[0]}^<{parts[1]}>"
        case "msubsup":
            return f"{parts[0]}_<{parts[1]}>^<{parts[2]}>"
        case "mfrac":
            return f"<{parts[0]}>/<{parts[1]}>"
        case "mover":
            return f"{parts[1]}<{parts[0]}>"
        case "mtable":
            return r"\\".join(parts)
        case "mtr":
            return "&".join(parts)
    return re.sub(r"\s", "", element.text or "") + "".join(parts)


def test_every_formula_shows_what_its_tex_says():
    pytest.importorskip("latex2mathml")
    assert len(FORMULAS) > 500
    for formula in FORMULAS:
        parts = [ElementTree.fromstring(part) for part in make_mathml.mathml(formula).split("<wbr>")]
        assert all(len(part) == 1 and len(part[0]) for part in parts), formula
        said = read_tex(re.findall(r"\\[a-zA-Z]+|\\.|.", formula))
        assert "".join(map(read_mathml, parts)) == said, formula


def test_a_long_formula_has_parts_and_signs_their_spaces():
    pytest.importorskip("latex2mathml")
    short, long = "l - 1", r"J = -y\log(a + b) - (1 - y)\log(1 - a)"
    assert make_mathml.mathml(short).count("<math>") == 1
    parts = make_mathml.mathml(long).split("<wbr>")
    assert [read_mathml(ElementTree.fromstring(part)) for part in parts] == [
        "J",
        "=−ylog(a+b)",
        "−(1−y)log(1−a)",
    ]
    first, second = (ElementTree.fromstring(part)[0] for part in parts[1:])
    assert [first[1].get("form"), second[0].get("form")] == ["prefix", "infix"]
    assert [element.tag for element in first[:5]] == ["mo", "mo", "mi", "mspace", "mi"]
    defined = ElementTree.fromstring(make_mathml.mathml(r"D := 1"))[0][1]
    assert (defined.tag, defined.text, defined.get("lspace")) == ("mo", ":=", "0.2778em")


@pytest.mark.parametrize("formula", [r"\dfrac{1}", r"a_{k", r"\left( a", r"a + \nosuchthing b", r"x_1_2"])
def test_a_formula_that_is_none_is_named(formula):
    pytest.importorskip("latex2mathml")
    with pytest.raises(ValueError, match="latex2mathml does not") as raised:
        make_mathml.mathml(formula)
    assert str(raised.value).endswith(formula)
