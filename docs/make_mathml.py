"""The formulas on the site's pages, from TeX to MathML, which browsers show by themselves: a hook of MkDocs.

Pages write formulas as GitHub reads them, $`…`$. latex2mathml finds their structure, without what TeX knows
besides: which signs are letters, whether a minus has something on its left, and the spaces around names of
functions. That is added here, and so are the places where a long formula may go on in the next line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element, tostring

#: $`…`$ after Markdown has made code of what is between the backticks.
_FORMULA = re.compile(r"\$<code>(.*?)</code>\$")
_OPENING, _CLOSING = set("([{"), set(")]}")
_RELATIONS = {":=", *"=≡≈≠<>≤≥∈⇒"}
_SIGNS = set("+−")
#: Letters to TeX, operators to latex2mathml.
_LETTERS = set("∂∇…")
_UPRIGHT = re.compile("[∇Α-Ω]")
_SCRIPTS = ("msub", "msup", "msubsup")
_N_PARTS = {"msub": 2, "msup": 2, "msubsup": 3, "mfrac": 2, "mover": 2}
_SHORT = 12  # elements: fewer stay in one line
_THIN = "0.1667em"


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    return _FORMULA.sub(lambda found: mathml(unescape(found[1])), html)


def mathml(formula: str) -> str:
    """One formula from TeX to MathML: one ``math`` element, or several between which a line may end.

    Raises ValueError, with the formula, for what is no TeX or has a command that latex2mathml does not know.
    """
    from latex2mathml.converter import convert_to_element

    try:
        math = convert_to_element(formula)
    except Exception as error:
        raise ValueError(f"latex2mathml does not read the formula {formula}") from error
    unknown = re.search(r"\\\w*", "".join(math.itertext()))
    if unknown:
        raise ValueError(f"latex2mathml does not know {unknown[0]} in the formula {formula}")
    elements = list(math.iter())
    is_whole = all(len(element) == _N_PARTS.get(element.tag, len(element)) for element in elements)
    if not is_whole or formula.count("{") != formula.count("}"):
        raise ValueError(f"latex2mathml does not find all parts of the formula {formula}")
    for element in elements:
        element.text = unescape(element.text or "")  # signs come as numbered entities
    for element in elements:
        _mend(element)
    for element in elements:
        if element.tag in ("mrow", "mtd"):
            element[:] = _spaced(list(element))
    lines = ["".join(tostring(each, encoding="unicode") for each in line) for line in _lines(list(math[0]))]
    return "<wbr>".join(f"<math><mrow>{line}</mrow></math>" for line in lines)


def _mend(element: Element) -> None:
    """Make of one element what TeX takes it for."""
    if element.tag == "mo" and len(element):  # \mathbin: one operator of several signs
        element.text = "".join(element.itertext())
        element[:] = []
    if element.tag == "mo" and element.text in _LETTERS:
        element.tag = "mi"
    if element.tag == "mi" and _UPRIGHT.fullmatch(str(element.text)):
        element.set("mathvariant", "normal")
    if element.tag == "mo" and element.text in ("/", "|"):
        element.attrib.update(lspace="0", rspace="0", stretchy="false")
    if element.tag == "mover":
        element.set("accent", "true")
    if element.tag in _SCRIPTS:
        for sign in [sign for script in element[1:] for sign in script.iter("mo")]:
            sign.attrib.update(lspace="0", rspace="0")


def _spaced(row: list[Element]) -> list[Element]:
    """A row as TeX spaces it: a minus that is a sign, names of functions with space, matrices whole."""
    spaced: list[Element] = []
    for element in row:
        before = spaced[-1] if spaced else None
        if element.text == "=" and before is not None and before.text == ":":
            before.tag, before.text = "mo", ":="
            before.attrib.update(lspace="0.2778em", rspace="0.2778em")
            continue
        if element.text in _SIGNS and (before is None or _begins_anew(before)):
            element.set("form", "prefix")
        if before is not None and (
            (_is_name(before) and element.text not in _OPENING)
            or (_is_name(element) and not _begins_anew(before))
        ):
            spaced.append(Element("mspace", width=_THIN))
        spaced.append(element)
        if element.text == "]" and len(spaced) > 2 and spaced[-2].tag == "mtable":
            matrix = Element("mrow")  # brackets are as high as their row: a matrix has one of its own
            matrix.extend(spaced[-3:])
            spaced[-3:] = [matrix]
    return spaced


def _begins_anew(before: Element) -> bool:
    """Whether what follows has nothing on its left: after an opening bracket, a comma or another operator."""
    return before.tag == "mo" and before.text not in _CLOSING | {"|"}


def _is_name(element: Element) -> bool:
    """Whether it is a function's name, as log, or min with what is below it."""
    base = _base(element)
    return base.tag in ("mi", "mo") and str(base.text).isalpha() and len(str(base.text)) > 1


def _base(element: Element) -> Element:
    return element[0] if element.tag in _SCRIPTS else element


def _lines(row: list[Element]) -> Iterator[list[Element]]:
    """The parts of a formula: each begins with a relation, a sign or a further sum, outside brackets."""
    if len(row) < _SHORT:
        yield row
        return
    line: list[Element] = []
    depth = 0
    for element in row:
        depth += (element.text in _OPENING) - (element.text in _CLOSING)
        is_sign = element.text in _SIGNS and element.get("form") != "prefix"
        is_factor = _base(element).text == "∑" and bool(line) and line[-1].text in _CLOSING
        if line and depth == 0 and (element.text in _RELATIONS or is_sign or is_factor):
            yield line
            line = []
            if is_sign:
                element.set("form", "infix")
        line.append(element)
    yield line
