"""How a file is written: its bytes as text, and its text as lines of cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from autobp.datasets.numerals import is_number

#: A line of a file: its number, from 1, and its cells.
Line = tuple[int, list[str]]

WHITESPACE = "whitespace"

#: In this order: a semicolon or a tab is seldom part of a cell where commas part the cells.
_DELIMITERS = ("\t", ";", ",", "|")
#: What a compressed file begins with, and the module that takes it apart.
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma"}
#: What files that are no text begin with, and the ending by which they are known.
_TABLES = (
    (b"PAR1", "a Parquet file", ".parquet"),
    (b"ARROW1", "a Feather file", ".feather"),
    (b"PK\x03\x04", "an Excel or a zip file", ".xlsx, or take it apart"),
)
_SEP_LINE = re.compile(r'\A\s*"?sep=(.)"?[ \t]*\n', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
#: What may begin a line that is a comment, where the line has another number of cells than the others.
_COMMENTS = ("#", "%")


@dataclass(frozen=True)
class Dialect:
    """What callers say of a file; None: as the file itself tells.

    Attributes:
        delimiter: one character, or "whitespace" for any run of spaces and tabs.
        decimal: "." or ",".
        thousands: what parts thousands.
        encoding: a name that Python knows.
        comment: what begins a line to leave out.

    Raises ValueError where one of them is something else, or two are one.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and self.delimiter != WHITESPACE and len(self.delimiter) != 1:
            raise ValueError(f'a delimiter is one character, or "whitespace"; got {self.delimiter!r}')
        if self.decimal not in (None, ".", ","):
            raise ValueError(f'decimal is "." or ","; got {self.decimal!r}')
        if self.thousands is not None and (len(self.thousands) != 1 or self.thousands.isalnum()):
            raise ValueError(f"thousands is the one character that parts them; got {self.thousands!r}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(f"{self.thousands!r} cannot be both, decimal and thousands; say decimal too")
        if self.comment == "":
            raise ValueError("comment is what a line to leave out begins with; got ''")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise ValueError(
                    f"Python knows no encoding {self.encoding!r}; there are utf-8, utf-16, latin-1, cp1252, …"
                ) from None


def text_of(path: Path, encoding: str | None) -> str:
    """What a file says, or standard input for the path "-", with \\n at the ends of lines.

    Raises ValueError where it is damaged or no text in that encoding, and OSError where it cannot be read.
    """
    content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    for magic, module in _PACKED.items():
        if content.startswith(magic):
            try:
                content = import_module(module).decompress(content)
            except Exception as error:  # each of them has exceptions of its own
                raise ValueError(f"{path} is damaged, or no {module} file: {error}") from error
    for magic, kind, ending in _TABLES:
        if content.startswith(magic):
            raise ValueError(f"{path} is {kind}, and no text; call it by a name that ends with {ending}")
    if encoding is None:
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        encoding = "utf-16" if wide else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        named = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise ValueError(
            f"{path} is not text in {named}: {error}; say which it is, encoding='cp1252' (--encoding cp1252) "
            "for what programs on Windows write in western Europe"
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{path} has characters NUL: it is no text, or in another encoding; say which, as "
            "encoding='utf-16-le' or encoding='utf-32' (--encoding)"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def without_preamble(text: str, dialect: Dialect) -> tuple[str, Dialect]:
    """The text with blank lines for comments and Excel's line ``sep=;``, and the dialect that this names."""
    found = _SEP_LINE.match(text)
    if found:
        if dialect.delimiter is None:
            dialect = Dialect(found[1], dialect.decimal, dialect.thousands, dialect.encoding, dialect.comment)
        text = "\n" + text[found.end() :]
    if dialect.comment is not None:
        pattern = rf"^[ \t]*{re.escape(dialect.comment)}.*$"
        return re.sub(pattern, "", text, flags=re.MULTILINE), dialect
    seen = [mark for mark in _COMMENTS if mark in text]  # one character is found far faster than two
    if any(f"\n{mark}" in text or text.startswith(mark) for mark in seen):
        text = _without_comments(text, dialect.delimiter)
    return text, dialect


def _without_comments(text: str, delimiter: str | None) -> str:
    """The text with blank lines for those that begin like comments.

    A line with as many cells as the first other line may be the names, where that line has a number, or a
    sample, where it stands below; so it stays.
    """
    lines = text.split("\n")
    at = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith(_COMMENTS)), None)
    if at is None:
        return text
    if delimiter is None:
        likely = delimiters(lines[at])
        delimiter = next((each for each in likely if each in delimiters(first_line(text))), likely[0])
    cells = _bare_cells(lines[at], delimiter)
    names = not any(map(is_number, cells))
    for i, line in enumerate(lines):
        if line.startswith(_COMMENTS) and (
            len(_bare_cells(line, delimiter)) != len(cells) or (names and i < at)
        ):
            lines[i] = ""
    return "\n".join(lines)


def _bare_cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line, near enough to count them and to see numbers: quotes and delimiters in them go."""
    apart = r"\s" if delimiter == WHITESPACE else re.escape(delimiter)
    bare = _QUOTED.sub(lambda quoted: re.sub(apart, "", quoted[0][1:-1]), line)
    return bare.split(None if delimiter == WHITESPACE else delimiter)


def delimiters(first: str) -> list[str]:
    """What may part the cells of a file with this first line, the likeliest first."""
    bare = _QUOTED.sub("quoted", first)
    found = [delimiter for delimiter in _DELIMITERS if delimiter in bare]
    if found in ([], ["\t"]) and len(bare.split()) > 1:
        found.append(WHITESPACE)
    return found or [","]


def lines_of(where: str, text: str, delimiter: str | None) -> list[Line]:
    """Each line that is not blank, cells stripped, at least one.

    Of several delimiters that there may be, the first with which all lines have one width.

    Raises ValueError where there is no line, or quotes do not close.
    """
    first = first_line(text)
    error: ValueError | None = None
    found: list[Line] = []
    for chosen in [delimiter] if delimiter is not None else delimiters(first):
        try:
            lines = list(_parsed(where, text, chosen))
        except ValueError as caught:
            error = error or caught
            continue
        if lines and len({len(cells) for _, cells in lines}) == 1 < len(lines[0][1]):
            return lines
        found = found or lines
    if error is not None:
        raise error
    if not found:
        raise ValueError(f"{where} is empty")
    return found


def first_line(text: str) -> str:
    """The first line that is not blank; "" where there is none."""
    found = re.search(r"^.*\S.*$", text, re.MULTILINE)
    return found[0] if found else ""


def _parsed(where: str, text: str, delimiter: str) -> Iterator[Line]:
    spaced = delimiter == WHITESPACE
    if spaced:
        text = "\n".join(line.replace("\t", " ").strip() for line in text.split("\n"))
    reader = csv.reader(
        io.StringIO(text), delimiter=" " if spaced else delimiter, skipinitialspace=spaced, strict=True
    )
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if cells not in ([], [""]):
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(
            f"{where}, line {reader.line_num}: {error}; it may be that a quotation mark is not closed"
        ) from error
