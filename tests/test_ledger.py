"""The ledger of equations, docs/ledger.md, is complete: its entries and the tests answer to each other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEDGER = ROOT / "docs" / "ledger.md"

MODULES = {
    "induction": "test_induction_proof",
    "ml15": "test_delta_accumulation",
    "bp": "test_bp1_bp4",
    "brawer": "test_general_equations",
    "slides": "test_vectorised_proof",
}
STATUSES = ("definition", "fact", "false", "misprint")
NO_TEST = "—"

#: Misprints that no number can show: a word, or a symbol that means nothing as printed.
OF_NOTATION_ALONE = {
    "induction-67", "ml15-03", "ml15-15", "ml15-23", "bp-02", "bp-34", "bp-36",
    "brawer-t1", "brawer-t4", "brawer-t14", "slides-06",
}  # fmt: skip

#: Displayed formulas by document, counted in the documents themselves, from the first to the last: 47 between
#: double dollars in the induction proof, two of which only say what .× is; 14 in ML15; the 9 numbered ones of
#: BP1-BP4, whose named equations stand in its text; Brawer's 52 numbered and 3 unnumbered; 48 in the slides.
DISPLAYS = {"induction": 47, "ml15": 14, "bp": 9, "brawer": 55, "slides": 48}

#: Entries from those displays: more, where a display has several lines or two statements; fewer, where one
#: equation runs over two displays. Brawer's: 52 numbered displays, of which (8a), (16), (36) and (39) have
#: two lines that state something and (29a) three, and the 3 without a number.
ENTRIES_FROM_DISPLAYS = {"induction": 60, "ml15": 20, "bp": 9, "brawer": 61, "slides": 49}

#: Brawer's own numbers: (1) to (48), of which (4) and (38) do not exist, and six with a letter.
BRAWERS_NUMBERS = {str(number) for number in range(1, 49)} - {"4", "38"} | {
    "1a", "8a", "15a", "17a", "29a", "33a"
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    id: str
    where: str
    equation: str
    status: str
    test: str

    @property
    def document(self) -> str:
        return self.id.split("-")[0]

    @property
    def is_displayed(self) -> bool:
        return not self.where.startswith(("text", "left out"))


def read_ledger() -> list[Entry]:
    entries = []
    for line in LEDGER.read_text(encoding="utf-8").splitlines():
        if re.match(rf"\| ({'|'.join(MODULES)})-", line):
            entries.append(Entry(*[cell.strip() for cell in line.strip("| ").split(" | ")]))
    return entries


ENTRIES = read_ledger()
each_document = pytest.mark.parametrize("document", MODULES)


def of(document: str) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.document == document]


def functions_named_test(module: str) -> list[str]:
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    return [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@pytest.fixture(scope="module")
def collected() -> set[tuple[str, str]]:
    """(module, function) of every test that pytest finds in the five modules."""
    files = [f"tests/{module}.py" for module in MODULES.values()]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return set(re.findall(r"^tests/(\w+)\.py::(\w+)", run.stdout, re.MULTILINE))


def test_every_entry_has_a_valid_status():
    assert {entry.status for entry in ENTRIES} == set(STATUSES)


def test_false_and_misprinted_equations_are_mended_and_no_others():
    for entry in ENTRIES:
        printed, *mended = entry.equation.split("<br> mended: ")
        assert printed.strip(), entry.id
        assert len(mended) == (entry.status in ("false", "misprint")), entry.id
        assert all(form.strip() for form in mended), entry.id


def test_every_claim_has_a_test_of_its_name_that_is_collected(collected):
    for entry in ENTRIES:
        if entry.status == "definition" or entry.id in OF_NOTATION_ALONE:
            assert entry.test == NO_TEST, entry.id
        else:
            name = entry.test.strip("`")
            assert name.startswith(f"test_{entry.id.replace('-', '_')}_"), entry.id
            assert (MODULES[entry.document], name) in collected, entry.id


def test_only_misprints_go_without_a_test():
    assert {entry.status for entry in ENTRIES if entry.id in OF_NOTATION_ALONE} == {"misprint"}
    assert {entry.id for entry in ENTRIES} >= OF_NOTATION_ALONE


def test_ids_are_unique():
    assert [id for id, count in Counter(entry.id for entry in ENTRIES).items() if count > 1] == []


@pytest.mark.parametrize("document", [document for document in MODULES if document != "brawer"])
def test_ids_count_on_without_a_gap(document):
    assert [entry.id for entry in of(document)] == [
        f"{document}-{number:02}" for number in range(1, len(of(document)) + 1)
    ]


@each_document
def test_every_test_of_a_document_is_in_the_ledger_once(document):
    named = [entry.test.strip("`") for entry in of(document) if entry.test != NO_TEST]
    assert sorted(functions_named_test(MODULES[document])) == sorted(named)


@each_document
def test_no_test_of_a_document_is_skipped_or_expected_to_fail(document):
    source = (ROOT / "tests" / f"{MODULES[document]}.py").read_text(encoding="utf-8")
    assert not re.search(r"\b(mark|pytest)\.(skip|skipif|xfail|importorskip)\b", source)


def test_brawers_numbers_are_complete():
    entries = [entry for entry in of("brawer") if re.match(r"brawer-\d", entry.id)]
    assert {entry.id.split("-")[1] for entry in entries} == BRAWERS_NUMBERS
    for entry in entries:
        assert entry.where.startswith(f"({entry.id.split('-')[1]})")


def displays_named(entry: Entry) -> set[str]:
    """The displays that an entry comes from, by position or by the document's own number."""
    if position := re.match(r"displays? (\d+)(?:–(\d+))?", entry.where):
        first, last = position[1], position[2] or position[1]
        return {str(number) for number in range(int(first), int(last) + 1)}
    if number := re.match(r"\((\w+)\)", entry.where):
        return {number[1]}
    assert re.match(r"after \(\w+\)", entry.where), f"{entry.id} comes from no display: {entry.where}"
    return {entry.id}


@each_document
def test_every_display_is_accounted_for(document):
    entries = [entry for entry in of(document) if entry.is_displayed]
    displays = set().union(*[displays_named(entry) for entry in entries])
    assert len(displays) == DISPLAYS[document]
    assert len(entries) == ENTRIES_FROM_DISPLAYS[document]
    if document != "brawer":
        assert displays == {str(number) for number in range(1, DISPLAYS[document] + 1)}


def test_summary_counts_the_entries():
    text = LEDGER.read_text(encoding="utf-8")
    header = f"| document | {' | '.join(STATUSES)} | entries |"
    _, _, *rows = text[text.index(header) :].splitlines()[: 2 + len(MODULES)]
    for document, row in zip(MODULES, rows, strict=True):
        counted = Counter(entry.status for entry in of(document))
        expected = [counted[status] for status in STATUSES] + [counted.total()]
        assert [int(cell) for cell in row.strip("| ").split(" | ")[1:]] == expected, document


def test_equations_are_written_so_that_they_render():
    for entry in ENTRIES:
        in_words = re.sub(r"\$`[^`]+`\$", "", entry.equation)
        assert not re.search(r"[$`\\]", in_words), entry.id
        for formula in re.findall(r"\$`([^`]+)`\$", entry.equation):
            assert formula.count("{") == formula.count("}"), entry.id
            assert len(re.findall(r"\\left\b", formula)) == len(re.findall(r"\\right\b", formula)), entry.id
            assert formula.count(r"\begin{") == formula.count(r"\end{"), entry.id
            assert "|" not in formula, f"{entry.id}: it would end the cell; write \\lvert"


def test_page_links_to_files_that_exist():
    links = re.findall(r"\]\((\.\./[^)]+)\)", LEDGER.read_text(encoding="utf-8"))
    assert {link.split("/")[-1] for link in links} >= {f"{module}.py" for module in MODULES.values()}
    for link in links:
        assert (LEDGER.parent / link).exists(), f"docs/ledger.md links to {link}"
