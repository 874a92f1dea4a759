"""Derivations on paper: documents that LaTeX sets without a line too long, in every notation."""

import re
import shutil
import subprocess

import pytest

import autobp
from autobp import MLP, Value, explain
from autobp.command import main
from autobp.explanation.notation import NOTATIONS
from autobp.explanation.paper import breakable

needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")

NETWORKS = [
    ((1, 1), ["sigmoid"], "binary_cross_entropy", 1),
    ((3, 2, 2), ["tanh", "sigmoid"], "quadratic", 3),
    ((4, 5, 3), ["tanh", "sigmoid"], "binary_cross_entropy", 1),
    ((4, 5, 3), ["relu", "linear"], "softmax_cross_entropy", 1),
]


def derivation(sizes, activations, cost, m, notation, wrt="W1[1,1]"):
    net = MLP(sizes[0], sizes[1:], activations, seed=0)
    outputs = [net.trace([0.1 * (i + 1) - k for i in range(sizes[0])]).output for k in range(m)]
    target = [1.0] + [0.0] * (sizes[-1] - 1)
    of = autobp.costs.COSTS[cost]
    loss = of(outputs[0], target) if m == 1 else of(outputs, [target] * m)
    return explain(loss, wrt=wrt, notation=notation)


def set_in_type(document, folder):
    """What pdflatex logs; a document that it refuses fails the test."""
    (folder / "d.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"], cwd=folder, capture_output=True
    )
    log = (folder / "d.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, [line for line in log.splitlines() if line.startswith("!")]
    return log


@needs_pdflatex
@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(map(str, network[0])))
def test_a_document_fits_its_pages(network, notation, tmp_path):
    found = derivation(*network, notation)
    assert found.latex in found.document
    log = set_in_type(found.document, tmp_path)
    assert "Overfull" not in log
    assert not re.search(r"Package: breqn", log)


@needs_pdflatex
def test_a_formula_that_is_not_broken_would_not_fit(tmp_path):
    """So the test above does look."""
    document = derivation(*NETWORKS[2], "autobp").document
    kept_whole = re.sub(r"\$\\displaystyle #1\$", r"\\leavevmode\\hbox{$\\displaystyle #1$}", document)
    assert kept_whole != document
    assert "Overfull" in set_in_type(kept_whole, tmp_path)


@needs_pdflatex
@pytest.mark.parametrize("height", [55, 83, 120])
def test_no_page_ends_with_a_steps_first_line_or_begins_with_its_last(height, tmp_path):
    document = derivation(*NETWORKS[1], "ML15").document
    for of in ("step", "further"):  # each line tells its page when that is made
        document = re.sub(rf"(\\def\\{of}#1.*#1\$)", rf"\1\\write-1{{{of} on \\thepage}}", document)
    log = set_in_type(document.replace("{245mm}", f"{{{height}mm}}"), tmp_path)
    chains = [
        [int(page) for page in re.findall(r"on (\d+)", chain)]
        for chain in re.split(r"^step ", log, flags=re.MULTILINE)[1:]
    ]
    assert len(chains) > 20
    assert max(map(max, chains)) > 5
    for pages in filter(lambda pages: len(pages) > 1, chains):
        assert pages[0] == pages[1]
        assert pages[-2] == pages[-1]
    assert any(pages[0] < pages[-1] for pages in chains)  # but between them there is a page's end


@needs_pdflatex
def test_the_latex_breaks_in_an_article_and_leaves_it_as_it_was(tmp_path):
    found = derivation(*NETWORKS[2], "autobp").latex
    article = "\n".join([
        r"\documentclass[a4paper]{article}\usepackage{amsmath}\newcommand{\step}{my own}\begin{document}",
        "Before.", found, "Between.", found, r"\step{} \typeout{Indent \the\parindent}\end{document}",
    ])  # fmt: skip
    log = set_in_type(article, tmp_path)
    assert "Overfull" not in log
    assert "Indent 15.0pt" in log
    assert int(re.search(r"\((\d+) pages", log)[1]) > 1


def test_a_document_has_every_formula_of_the_text():
    found = derivation(*NETWORKS[2], "autobp")
    assert found.document.count(r"\step{") + found.document.count(r"\further{") >= found.text.count(" = ") / 2
    for section in found.sections:
        assert rf"\subsection*{{\raggedright {section.latex_title}}}" in found.document
        for step in section.steps:
            assert step.lines(found.style)
    x = Value(2.0, label="x")
    assert r"\section*{" in explain(x * x, x).document


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\left(a\right)", r"\left(a\right)"),
        (rf"\left({'a + ' * 40}b\right)", rf"\bigl({'a + ' * 40}b\bigr)"),
        (rf"\left(\frac{{1}}{{2}} {'+ a' * 40}\right)", rf"\biggl(\frac{{1}}{{2}} {'+ a' * 40}\biggr)"),
        (rf"\left(a^{{(2)}} {'+ a' * 40}\right)", rf"\Bigl(a^{{(2)}} {'+ a' * 40}\Bigr)"),
        (rf"\left(\left(a^{{[2]}}\right){'a' * 80}\right)", rf"\Bigl(\left(a^{{[2]}}\right){'a' * 80}\Bigr)"),
        (rf"\frac{{\left({'a + ' * 40}b\right)}}{{2}}", rf"\frac{{\left({'a + ' * 40}b\right)}}{{2}}"),
        (rf"\left.{'a + ' * 40}b\right|_{{u}}", rf"\left.{'a + ' * 40}b\right|_{{u}}"),
        (rf"\left({'a + ' * 40}\left(b\right)\right)", rf"\bigl({'a + ' * 40}\left(b\right)\bigr)"),
    ],
)
def test_long_brackets_let_a_line_break(formula, expected):
    assert breakable(formula) == expected


def test_derivations_are_written_as_files(tmp_path, capsys):
    assert main(["explain", "2", "1", "-o", str(tmp_path / "it.tex")]) == 0
    assert (tmp_path / "it.tex").read_text(encoding="utf-8").startswith(r"\documentclass[a4paper]{article}")
    found = derivation(*NETWORKS[0], "ML15")
    assert found.write(tmp_path / "it.txt").read_text(encoding="utf-8") == f"{found.text}\n"
    with pytest.raises(ValueError, match=r"\.tex, \.pdf or \.txt; got 'it\.doc'"):
        found.write(tmp_path / "it.doc")


@needs_pdflatex
def test_a_pdf_is_a_pdf(tmp_path):
    assert derivation(*NETWORKS[0], "slides").write(tmp_path / "it.pdf").read_bytes().startswith(b"%PDF")


def test_without_pdflatex_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="no pdflatex"):
        derivation(*NETWORKS[0], "slides").write(tmp_path / "it.pdf")
    assert not (tmp_path / "it.pdf").exists()
