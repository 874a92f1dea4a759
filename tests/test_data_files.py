"""Files as they come: twins of kinds of public files with their quirks, frames, and what each is told."""

import bz2
import gzip
import io
import lzma
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import autobp
from autobp import MLP, datasets, fit
from autobp.command import main
from autobp.datasets import load
from autobp.datasets.csv_files import sheet_of_file, sheet_of_numbers
from autobp.datasets.dialect import Dialect
from autobp.datasets.new_rows import read_inputs
from autobp.datasets.numerals import Numerals, days_of, numerals_of
from autobp.datasets.tables import Choice, table_of
from autobp.datasets.whole_numbers import whole_numbers

DOCUMENT = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")

M = 24  # rows of a twin


def rows(*columns):
    """Lines with commas, from columns that are functions of the row's number or lists to go round in."""
    return [
        ",".join(c(i) if callable(c) else str(c[i % len(c)]) for c in columns) for i in range(M)
    ]


def number(i):
    return f"{(i * 37 % 29) / 4}"


def comma(i):
    return number(i).replace(".", ",") + "5"


def semicolons(lines):
    return [line.replace(",", ";") for line in lines]


KINDS = ["setosa", "virginica", "versicolor"]

#: quirk -> (bytes or lines, options, (names of inputs, task))
TWINS = {
    "numbers with a header": (["a,b,y", *rows(number, number, [0, 1])], {}, ("a", "b")),
    "numbers without a header": (rows(number, number, [0, 1]), {}, ("x1", "x2")),
    "class names, no header": (rows(number, number, KINDS), {}, ("x1", "x2")),
    "words among the inputs": (
        ["sex,size,y", *rows(["M", "F", "I"], number, number)], {}, ("sex=F", "sex=I", "sex=M", "size")),
    "all columns words, no header": (
        rows(["x", "b", "s"], ["n", "t"], ["p", "e"]), {}, ("x1=b", "x1=s", "x1=x", "x2=n", "x2=t")),
    "truth values": (["alone,size,y", *rows(["True", "False"], number, number)], {}, ("alone=True", "size")),
    "yes and no": (["smoker,bill,tip", *rows(["No", "Yes"], number, number)], {}, ("smoker=Yes", "bill")),
    "days": (["day,births", *rows(lambda i: f"1959-01-{i + 1:02}", number)], {}, ("day[days]",)),
    "months": (["month,passengers", *rows(lambda i: f"{1949 + i // 12}-{i % 12 + 1:02}", number)], {},
               ("month[days]",)),
    "months of numbered years": (
        ["month,sales", *rows(lambda i: f"{1 + i // 12}-{i % 12 + 1:02}", number)], {}, ("month[days]",)),
    "days as numbers": (
        ["day,births", *rows(lambda i: str(19590120 + i + 80 * (i > 11)), number)], {}, ("day",)),
    "days in other ways": (
        ["day,a,births", *rows(lambda i: f"{i + 1}-Sep-03", number, number)], {}, ("a",)),
    "times": (["pickup,fare", *rows(lambda i: f"2019-03-23 20:{i:02}:09", number)], {}, ("pickup[days]",)),
    "quoted words with commas": (
        ["group,size,y", *rows(['"old, small"', '"new"'], number, number)], {},
        ("group=new", "group=old, small", "size")),
    "quoted header": (['"a","b","y"', *rows(number, number, ['"0"', '"1"'])], {}, ("a", "b")),
    "single quotes": (rows(["'40-49'", "'50-59'"], ["'yes'", "'no'"], ["'x'", "'z'"]), {},
                      ("x1='40-49'", "x1='50-59'", "x2='no'", "x2='yes'")),
    "semicolons": (semicolons(["a,b,y", *rows(number, number, [0, 1])]), {}, ("a", "b")),
    "tabs": ([line.replace(",", "\t") for line in ["a,b,y", *rows(number, number, [0, 1])]], {}, ("a", "b")),
    "tabs, now and then two": (
        ["a\tb\ty", *[f"{number(i)}\t{'' if i % 3 else chr(9)}{number(i)}\t{i % 2}" for i in range(M)]], {},
        ("a", "b")),
    "bars": ([line.replace(",", "|") for line in ["a,b,y", *rows(number, number, [0, 1])]], {}, ("a", "b")),
    "spaces": ([line.replace(",", "   ") for line in rows(number, number, [0, 1])], {}, ("x1", "x2")),
    "columns set with spaces, indented": (
        [f"{number(i):>8} {number(i):>7} {i % 2}" for i in range(M)], {}, ("x1", "x2")),
    "a space after each comma": (
        ["a, b, y", *[line.replace(",", ", ") for line in rows(number, number, KINDS)]], {},
        ("a", "b")),
    "sep= of Excel": (["sep=;", *semicolons(["a,b,y", *rows(number, number, [0, 1])])], {}, ("a", "b")),
    "decimal comma": (["a;b;y", *[f"{comma(i)};{comma(i + 1)};{i % 2}" for i in range(M)]], {}, ("a", "b")),
    "decimal comma, points for thousands": (
        ["a;b;y", *[f"1.234,{i:02};{comma(i)};{i % 2}" for i in range(M)]], {}, ("a", "b")),
    "quoted thousands": (["a,b,y", *[f'"1,234,{i:03}",{number(i)},{i % 2}' for i in range(M)]], {},
                         ("a", "b")),
    "comments before the names": (
        ["# of 1988", "# cm, cm, kind", "", "a,b,y", *rows(number, number, KINDS)], {}, ("a", "b")),
    "a percent sign before comments": (["% a title", *rows(number, number, [0, 1])], {}, ("x1", "x2")),
    "a byte order mark, and CRLF": (
        b"\xef\xbb\xbf" + "\r\n".join(["a,b,y", *rows(number, number, [0, 1])]).encode(), {}, ("a", "b")),
    "UTF-16": ("\n".join(["größe,b,y", *rows(number, number, [0, 1])]).encode("utf-16"), {}, ("größe", "b")),
    "latin-1": ("\n".join(["größe,b,y", *rows(number, number, [0, 1])]).encode("latin-1"),
                {"encoding": "latin-1"}, ("größe", "b")),
    "gz": (gzip.compress("\n".join(["a,b,y", *rows(number, number, [0, 1])]).encode()), {}, ("a", "b")),
    "bz2": (bz2.compress("\n".join(["a,b,y", *rows(number, number, [0, 1])]).encode()), {}, ("a", "b")),
    "xz": (lzma.compress("\n".join(["a,b,y", *rows(number, number, [0, 1])]).encode()), {}, ("a", "b")),
    "pandas' index": ([",a,y", *rows(str, number, [0, 1])], {}, ("a",)),
    "R's names of rows": (['"a","y"', *rows(lambda i: f'"car {i}"', number, [0, 1])], {}, ("a",)),
    "R's write.table": (
        ['"a" "kind"', *[f'"car {i}" {number(i)} "{KINDS[i % 3]}"' for i in range(M)]], {}, ("a",)),
    "a comma at each end": (
        ["a,b,y,", *[f"{line}," for line in rows(number, number, [0, 1])]], {}, ("a", "b")),
    "a name in each row": (["name,a,y", *rows(lambda i: f"rabbit {i}", number, [0, 1])], {}, ("a",)),
    "a question mark for what is missing": (
        ["a,b,y", *rows(lambda i: "?" if i == 3 else number(i), number, [0, 1])], {"missing": "drop"},
        ("a", "b")),
    "empty cells": (
        ["a,b,y", *rows(lambda i: "" if i == 3 else number(i), number, [0, 1])], {"missing": "mean"},
        ("a", "b")),
    "empty cells among words": (
        ["sex,b,y", *rows(lambda i: "" if i == 3 else "MF"[i % 2], number, [0, 1])], {"missing": "category"},
        ("sex=F", "sex=M", "sex=missing", "b")),
    "nan among words, no header": (
        rows(["x", "b", "s"], lambda i: "nan" if i == 3 else "nt"[i % 2], ["p", "e"]),
        {"missing": "category"},
        ("x1=b", "x1=s", "x1=x", "x2=missing", "x2=n", "x2=t")),
    "a question mark in the first line, no header": (
        rows(lambda i: "?" if i < 2 else number(i), ["gas", "oil"], KINDS), {"missing": "mean"},
        ("x1", "x2=gas", "x2=oil")),
    "years for names": (
        ["land,1990,1991,1992", *rows(["Peru", "Mali"], number, number, number)], {"header": True},
        ("land=Mali", "land=Peru", "1990", "1991")),
    "NA among the targets": (
        ["a,b,y", *rows(number, number, lambda i: "NA" if i == 3 else KINDS[i % 3])], {"missing": "drop"},
        ("a", "b")),
    "numbers for categories, one with a word": (
        ["doors,a,y", *rows(["2", "3", "5more"], number, [0, 1])], {"categories": "doors"},
        ("doors=2", "doors=3", "doors=5more", "a")),
    "a target for each of two": (
        ["a,heat,cool", *rows(number, number, number)], {"target": ["heat", "cool"]}, ("a",)),
    "a footer": (["a,b", *rows(number, number), "", "Source: somewhere"], {}, "cells, but"),
    "thousands that may be decimals": (["a;y", *[f"1,{i:03};{i}" for i in range(M)]], {}, "say decimal=','"),
    "apostrophes for thousands": (
        ["a;y", *[f"1'{i:03};{i}" for i in range(M)]], {"thousands": "'"}, ("a",)),
    "a comma at each end but that of the names": (
        ["a,b,y", *[f"{line}," for line in rows(number, number, [0, 1])]], {}, ("a", "b")),
    "currency": (["a,b,y", *[f"${i},1,{number(i)}" for i in range(M)]], {}, "is left out"),
    "units below the names": (["a,b,y", "cm,kg,", *rows(number, number, number)], {}, "leave it out"),
    "an unnamed column inside": (["a,,y", *rows(number, number, [0, 1])], {}, "has no name"),
}  # fmt: skip


def write(tmp_path, content):
    path = tmp_path / "twin.csv"
    path.write_bytes(content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode())
    return path


@pytest.mark.parametrize("quirk", TWINS)
def test_a_twin_loads_or_is_told_what_to_do(quirk, tmp_path):
    content, options, expected = TWINS[quirk]
    path = write(tmp_path, content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        told = ""
        try:
            data = load(path, test_size=0, scaled=False, **options)
        except ValueError as error:
            told = str(error)
    if isinstance(expected, str):
        assert expected in told or any(expected in str(each.message) for each in said)
        return
    assert not told
    assert data.names == expected
    lost = sum(f"{option!r}" in ("'drop'",) for option in options.values())
    assert len(data.X) == M - lost
    assert np.isfinite(data.X).all()
    assert np.isfinite(data.Y).all()
    asked = ("missing", "encoding", "header", "thousands")
    if any(option in options for option in asked):
        unsaid = {name: each for name, each in options.items() if name not in asked}
        option = next(f"{name}=" for name in options if name in asked)
        with pytest.raises(ValueError, match=option):
            load(path, **unsaid)


def test_nine_of_ten_twins_load():
    loaded = [quirk for quirk, (_, _, expected) in TWINS.items() if isinstance(expected, tuple)]
    assert len(TWINS) >= 40
    assert len(loaded) >= 0.9 * len(TWINS)


def test_the_table_of_the_document_has_the_twins_and_no_others():
    table = DOCUMENT.partition("## How files are written")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", table, flags=re.MULTILINE)
    assert sorted(rows[1:]) == sorted(TWINS)


# -- what the numbers are ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1,5", "1,200"], [1.5, 1.2]),
        (["0,123", "12"], [0.123, 12.0]),
        (["1.234,5", "1.200"], [1234.5, 1200.0]),
        (["1.234.567", "0,5"], [1234567.0, 0.5]),
        (["1,5", "1.200"], [1.5, None]),
        (["1,234,567", "1,200"], [1234567.0, 1200.0]),
        (["1,234.5", "0.5"], [1234.5, 0.5]),
        (["1,200", "3"], [None, 3.0]),
        (["1,5", "0.5"], [None, 0.5]),
        (["1,5", "1,234.5"], [None, None]),
        (["1,5", "1,23,4"], [1.5, None]),
        (["-1,5e3", "+0,5"], [-1500.0, 0.5]),
        (["1.200", "2.300"], [1.2, 2.3]),
        (["1_000", "5"], [None, 5.0]),
    ],
)
def test_a_comma_is_what_the_column_shows_it_to_be(cells, read):
    numerals = numerals_of(None, None, cells)
    assert [numerals.value(cell) for cell in cells] == read


@pytest.mark.parametrize(
    ("numerals", "cell", "value"),
    [
        (Numerals(",", "."), "1.234,5", 1234.5),
        (Numerals(",", "."), "1.23,5", None),
        (Numerals(",", ""), "1.5", None),
        (Numerals(".", ","), "1,234.5", 1234.5),
        (Numerals(".", ","), "1,23.5", None),
        (Numerals(".", ","), "1.5,234", None),
        (Numerals(".", " "), "1 234 567", 1234567.0),
        (Numerals(".", "'"), "1'234", 1234.0),
        (Numerals(".", "'"), "12'34", None),
    ],
)
def test_groups_of_thousands_have_three_digits(numerals, cell, value):
    assert numerals.value(cell) == value


def test_days_are_those_of_the_calendar():
    from datetime import date

    for day in ("1970-01-01", "1969-12-31", "2024-02-29", "0001-01-01"):
        assert days_of(day) == date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()
    assert days_of("1970-01-02 06:00:00") == 1.25
    assert days_of("1970-02") == 31.0
    for cell in ("1970-13", "1970-01-02T00:00:00+02:00", "1970", "19700102"):
        assert days_of(cell) is None


def test_a_month_of_a_numbered_year_is_one_only_where_months_follow_each_other(tmp_path):
    assert days_of("0001-01") == days_of("1-01")
    assert days_of("12-11") == days_of("0012-11")
    assert days_of("1-13") is None
    assert days_of("1-1") is None
    lines = ["month,sales", *rows(lambda i: f"{1 + i // 12}-{i % 12 + 1:02}", number)]
    data = load(write(tmp_path, lines), test_size=0, scaled=False)
    steps = np.diff(np.sort(data.X[:, 0]))
    assert steps[0] == 31
    assert set(steps) == {28, 30, 31}
    assert read_inputs(write(tmp_path, ["month", "3-01"]), data.names)[0, 0] == days_of("0003-01")
    ages = ["age,sales", *rows(["1-04", "5-09", "10-12"], number)]
    assert load(write(tmp_path, ages)).names == ("age=1-04", "age=10-12", "age=5-09")


def test_a_missing_word_in_the_first_line_makes_no_name_of_the_others(tmp_path):
    for quirk in ("nan among words, no header", "a question mark in the first line, no header"):
        lines, options, _ = TWINS[quirk]
        assert len(load(write(tmp_path, lines), test_size=0, **options).X) == M
    sodium = ["RI,Na,Mg,kind", *rows(number, number, number, KINDS)]
    assert load(write(tmp_path, sodium)).names == ("RI", "Na", "Mg")


def test_a_question_mark_in_the_first_line_is_not_told_to_be_a_name(tmp_path):
    lines = rows(lambda i: "?" if i == 0 else number(i), number, KINDS)
    with pytest.raises(ValueError, match=r"line 1, column 1 \(x1\): '\?' is not .*missing='drop'") as caught:
        load(write(tmp_path, lines))
    assert "header" not in str(caught.value)


def test_a_word_above_numbers_is_told_before_what_is_missing_below(tmp_path):
    lines = ["5,land,y", *rows(lambda i: "" if i == 2 else number(i), number, number)]
    with pytest.raises(ValueError, match=r"line 1, column 2 \(x2\): 'land' is not .*header=True"):
        load(write(tmp_path, lines))
    assert load(write(tmp_path, lines), header=True, missing="drop").names == ("5", "land")


def test_decimal_commas_are_the_numbers_that_were_written(tmp_path):
    lines = ["a;b;y", "1,5;1.234,25;0,5", "-2,25;7;1,75", "0;1.000.000;3"]
    data = load(write(tmp_path, lines), test_size=0, scaled=False, task="regression")
    found = sorted([*x, *y] for x, y in zip(data.X.tolist(), data.Y.tolist(), strict=True))
    assert found == [[-2.25, 7, 1.75], [0, 1e6, 3], [1.5, 1234.25, 0.5]]


def test_a_first_line_of_decimal_commas_is_a_sample(tmp_path):
    data = load(write(tmp_path, ["1,5;2,5", "2,5;3,25", "4,5;5,5"]), test_size=0, scaled=False)
    assert sorted(data.X[:, 0]) == [1.5, 2.5, 4.5]


# -- what is missing --------------------------------------------------------------------------------------

HOLES = ["sex,age,y", "m,1,0", "f,,1", "m,3,0", "f,NA,1", ",5,0", "m,9,1"]


def by_row(data):
    return {tuple(row) for row in data.X.tolist()}


def test_what_is_missing_is_refused_unless_a_choice_is_made(tmp_path):
    path = write(tmp_path, HOLES)
    with pytest.raises(ValueError, match=r"line 3, column 2 \(age\): the cell is empty; .*missing='drop'"):
        load(path, drop="sex")
    with pytest.raises(ValueError, match=r"line 6, column 1 \(sex\): .*, and it is no category"):
        load(path, drop="age")
    with pytest.raises(ValueError, match=r"line 6, column 1 \(sex\): .*, and text has no mean"):
        load(path, missing="mean")
    with pytest.raises(ValueError, match="missing is drop, mean, category; got 'zero'"):
        load(path, missing="zero")


def test_rows_with_a_gap_are_left_out(tmp_path):
    data = load(write(tmp_path, HOLES), missing="drop", test_size=0, scaled=False)
    assert by_row(data) == {(0, 1, 1), (0, 1, 3), (0, 1, 9)} or data.names == ("sex=m", "age")
    assert sorted(data.X[:, -1]) == [1, 3, 9]


def test_a_mean_is_that_of_the_samples_to_train_on_alone(tmp_path):
    path = write(tmp_path, ["a,y", *[f"{'' if i % 5 == 0 else i * i},{i / 7}" for i in range(40)]])
    data = load(path, missing="mean", test_size=0.4, seed=3, scaled=False)
    squares = [float(i * i) for i in range(40) if i % 5]
    known = [x for x in data.X[:, 0].tolist() if x in squares]
    filled = set(data.X[:, 0].tolist()) - set(squares) | set(data.X_test[:, 0].tolist()) - set(squares)
    (mean,) = filled
    assert mean == pytest.approx(np.mean(known), rel=1e-14)
    assert mean != pytest.approx(np.mean(squares), rel=1e-3)


def test_a_category_says_where_something_was_missing(tmp_path):
    data = load(write(tmp_path, HOLES), missing="category", test_size=0, scaled=False)
    assert data.names == ("sex=f", "sex=m", "sex=missing", "age", "age=missing")
    assert by_row(data) == {
        (0, 1, 0, 1, 0), (1, 0, 0, 4.5, 1), (0, 1, 0, 3, 0), (0, 0, 1, 5, 0), (0, 1, 0, 9, 0)
    }  # fmt: skip


def test_na_is_never_silently_a_class(tmp_path):
    path = write(tmp_path, ["a,kind", "1,oak", "2,NA", "3,ash", "4,NA", "5,oak", "6,ash"])
    with pytest.raises(ValueError, match=r"line 3, column 2 \(kind\): the target is missing: 'NA'"):
        load(path)
    assert load(path, missing="drop").classes == ("ash", "oak")
    assert load(path, missing="category").classes == ("ash", "missing", "oak")
    with pytest.raises(ValueError, match="the target is missing"):
        load(path, missing="mean")


def test_words_that_others_use_for_nothing_stay_classes(tmp_path):
    assert load(write(tmp_path, ["1,+", "2,-", "3,+", "4,-"])).classes == ("+", "-")
    assert load(write(tmp_path, ["1,none", "2,red", "3,none", "4,red"])).classes == ("none", "red")


def test_a_column_that_names_rows_drops_none_of_them_for_its_gaps(tmp_path):
    lines = ["cabin,a,y", *[f"{'' if i % 2 else f'C{i}'},{i / 3},{i % 3 / 2}" for i in range(20)]]
    with pytest.warns(UserWarning, match=r"column 1 \(cabin\) has 11 different texts in 20 rows"):
        data = load(write(tmp_path, lines), missing="drop", test_size=0)
    assert len(data.X) == 20


def test_what_is_missing_everywhere_names_the_column(tmp_path):
    lines = ["a,b,y", *[f"{i},{'' if i else 3},{i / 2}" for i in range(6)]]
    with pytest.raises(ValueError, match=r"missing in 5 of 6 rows, most in column 2 \(b\)"):
        load(write(tmp_path, lines), missing="drop")
    empty = write(tmp_path, ["a,b,y", *[f"{i},,{i / 2}" for i in range(6)]])
    with pytest.raises(ValueError, match=r"column 2 \(b\) is empty in every row; leave it out, drop=\[2\]"):
        load(empty, missing="mean")


# -- what is said -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["id,a,y", *rows(lambda i: str(i + 1), number, [0, 1])], "column 1 (id) counts the rows"),
        (["user id,a,y", *rows(lambda i: str(907 - 7 * i), number, [0, 1])], "(user id) counts the rows"),
        (["a,name", *rows(number, lambda i: f"car {i}")], "has 24 classes in 24 rows"),
        (["share,a,y", *rows(["12%", "15%"], number, [0, 1])], "numbers with signs, '12%'"),
        (["cost,a,y", *rows(["$1", "$2.50"], number, [0, 1])], "numbers with signs, '$1'"),
        ([",a,y", *rows(str, number, [0, 1])], "column 1 has no name, and another value in every row"),
        (["day,a,y", *rows(lambda i: str(20190301 + i), number, number)], "have days, 20190301, …, which"),
        (["day,a,y", *rows(lambda i: f"3/{i + 1}/2019", number, number)], "read if written as 2019-03-23"),
    ],
)
def test_what_can_hardly_be_meant_is_said(lines, said, tmp_path):
    with pytest.warns(UserWarning, match=re.escape(said)):
        load(write(tmp_path, lines))


@pytest.mark.parametrize("first", [1990, 20190320, 20190101.5])
def test_nothing_is_said_of_what_is_plain(first, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(write(tmp_path, ["year,a,y", *rows(lambda i: str(first + i), number, [0, 1])]))


def test_targets_that_may_be_thousands_or_decimals_are_no_classes(tmp_path):
    lines = ["a;y", *[f"{number(i)};{1 + i % 2},{200 + i % 3}" for i in range(M)]]
    with pytest.raises(ValueError, match=r"'1,200' is not a finite number; .*or thousands=','"):
        load(write(tmp_path, lines))
    data = load(write(tmp_path, lines), thousands=",", task="regression", test_size=0, scaled=False)
    assert sorted(set(data.Y[:, 0].tolist())) == [1200, 1201, 1202, 2200, 2201, 2202]
    assert "1,200" in load(write(tmp_path, lines), task="classification").classes


def test_a_line_of_words_is_a_sample_where_its_words_come_again(tmp_path):
    lines = rows(["x", "b"], ["n", "t", "u"], ["p", "e"])
    assert len(load(write(tmp_path, lines), test_size=0).X) == M
    assert len(load(write(tmp_path, ["cap,gill,y", *lines]), test_size=0).X) == M
    with pytest.raises(ValueError, match="None"):
        load(write(tmp_path, lines), header=None, target="None")


def test_several_targets_are_quantities_each_in_its_units(tmp_path):
    path = write(tmp_path, ["a,heat,cool", *[f"{M - i},{100 + 3 * (M - i)},{(i - M) / 8}" for i in range(M)]])
    data = load(path, target=["cool", 2], test_size=0)
    assert (data.target, data.names, data.Y.shape) == ("cool, heat", ("a",), (M, 2))
    own = data.Y * data.target_scale + data.target_offset
    np.testing.assert_allclose(own[:, 1], 100 - 24 * own[:, 0], rtol=1e-12)
    net = MLP(1, [2], "linear", seed=0)
    net.about = data.about()
    fit(net, data.X, data.Y, cost=data.cost, epochs=400, lr=0.05, seed=0, progress=False)
    told = autobp.answers(MLP.load(net.save(tmp_path / "net")), [[8.0]])
    np.testing.assert_allclose(told, [[-1.0, 124.0]], rtol=1e-2)
    with pytest.raises(ValueError, match="several targets are quantities"):
        load(path, target=["cool", "heat"], task="classification")


# -- one way to read, in two speeds -----------------------------------------------------------------------


def test_the_fast_way_reads_what_the_other_reads(tmp_path):
    random = np.random.default_rng(0)
    pool = ["1", "2.5", "-3e2", " 4", "1e-300", "0.1", "", "x", "1_0", "+5", ".5", "7.", "1e999", "nan"]
    fast = 0
    for _ in range(300):
        delimiter = random.choice([",", ";", "\t"])
        n = int(random.integers(2, 5))
        some = pool[: int(random.integers(1, 7))] if random.random() < 0.7 else pool
        lines = [delimiter.join(random.choice(some, n)) for _ in range(int(random.integers(2, 7)))]
        lines = [*[delimiter.join("abcde"[:n])] * int(random.random() < 0.5), *lines]
        text = "\n".join(lines)
        sheet = sheet_of_numbers("it", text, Dialect(), None)
        if sheet is None:
            continue
        fast += 1
        path = write(tmp_path, text.encode())
        slow = sheet_of_file(path, Dialect(decimal="."), None)  # said, so that it takes the other way
        assert slow.table is None
        assert (sheet.names, list(sheet.rows)) == (slow.names, list(slow.rows))
        for i in range(n):
            assert list(sheet.cells(i)) == list(slow.cells(i))
            assert sheet.table[:, i].tolist() == [float(cell) for cell in slow.cells(i)]
        try:
            expected = table_of("it", slow, Choice())
        except ValueError as error:
            with pytest.raises(ValueError, match=re.escape(str(error).partition(", ")[2])):
                table_of("it", sheet, Choice())
            continue
        found = table_of("it", sheet, Choice())
        assert found.X.tolist() == expected.X.tolist()
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.classes == expected.classes
    assert fast > 100


@pytest.mark.parametrize("digits", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 16])
def test_whole_numbers_are_read_all_at_once(digits, chunk):
    random = np.random.default_rng(digits)
    wanted = random.integers(0, 10 ** random.integers(1, digits + 1, (40, 5)))
    wanted[7, 3] = 10**digits - 1
    cells = [[str(number).zfill(int(random.integers(1, digits + 1))) for number in row] for row in wanted]
    content = "".join(",".join(row) + "\n" for row in cells).encode()
    found = whole_numbers(content, ",", 5, chunk)
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "text",
    ["1,2\n3,x\n", "1,2\n3,-4\n", "1,2\n3,4.5\n", "1,2\n3, 4\n", "1,2\n3,\n", "1,2\n,3\n", ",2\n3,4\n",
     "1,2\n\n3,4\n", "1,2\n3\n4,5,6\n", "1,2,3,4\n", "1\n2,3,4\n", "1,2\n3,1234567890\n", "1;2\n3;4\n"],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [1, 1 << 16])
def test_what_is_not_whole_numbers_alone_is_left_to_other_ways(text, chunk):
    assert whole_numbers(text.encode(), ",", 2, chunk) is None


def test_a_file_of_pixels_is_what_its_cells_say(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 30)) * (np.arange(30) % 3 > 0)
    names = ",".join(["label", *(f"{i}x{i}" for i in range(30))])
    lines = [names, "", *(f"{i % 4}," + ",".join(map(str, row)) for i, row in enumerate(pixels.tolist()))]
    data = load(write(tmp_path, lines), target="label", test_size=0, scaled=False)
    assert sorted(data.X.tolist()) == sorted(pixels.tolist())
    assert data.classes == ("0", "1", "2", "3")
    pictures = {tuple(row): i % 4 for i, row in enumerate(pixels.tolist())}
    assert [pictures[tuple(row)] for row in data.X.tolist()] == data.Y.argmax(axis=1).tolist()


def test_standard_input_is_a_file_too(monkeypatch):
    content = "\n".join(["a,b,y", *rows(number, number, [0, 1])]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert load("-").names == ("a", "b")


def test_a_damaged_file_is_told(tmp_path):
    with pytest.raises(ValueError, match="is damaged, or no gzip file"):
        load(write(tmp_path, gzip.compress(b"a,b\n1,2\n" * 100)[:-9]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "::"}, 'one character, or "whitespace"; got \'::\''),
        ({"decimal": ";"}, 'decimal is "." or ","'),
        ({"thousands": "."}, "cannot be both"),
        ({"thousands": "x"}, "the one character that parts them"),
        ({"encoding": "utf-99"}, "no encoding 'utf-99'"),
        ({"comment": ""}, "begins with; got ''"),
        ({"categories": "z"}, "there is no column 'z'"),
    ],
)
def test_what_a_wrong_option_is_told(options, message, tmp_path):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load(write(tmp_path, ["a,b,y", *rows(number, number, [0, 1])]), **options)
    assert message in str(caught.value)


def test_options_of_files_are_not_those_of_sets():
    with pytest.raises(ValueError, match="missing and decimal cannot be chosen here: xor is not a file"):
        load("xor", missing="drop", decimal=",")


# -- from training to answers -----------------------------------------------------------------------------


def test_new_rows_are_encoded_as_those_of_the_training(tmp_path):
    lines = ["sex,born,smoker,age,y", *[
        f"{'mf'[i % 2]},19{50 + i}-01-01,{['no', 'yes'][i % 3 == 0]},{'' if i == 4 else i},{i / 3}"
        for i in range(M)]]  # fmt: skip
    path = write(tmp_path, lines)
    data = load(path, missing="category", test_size=0, scaled=False)
    X = read_inputs(path, data.names)
    filled = np.where(np.isnan(X), data.X[data.X[:, -1] == 1][0], X)
    assert sorted(filled.tolist()) == sorted(data.X.tolist())
    no_names = tmp_path / "new.csv"
    no_names.write_text("f,1960-01-01,yes,7\n", encoding="utf-8")
    assert read_inputs(no_names, data.names).tolist() == [[1, 0, days_of("1960-01-01"), 1, 7, 0]]
    for bad, message in [
        ("x,1960-01-01,yes,7", "line 2, column 1 (sex): 'x' is none of f, m"),
        ("f,1960,yes,7", "line 2, column 2 (born): '1960' is not a finite number"),
        ("f,1960-01-01,1,7", "line 2, column 3 (smoker): '1' is none of no, yes"),
        ("f,1960-01-01,yes,yes", "line 2, column 4 (age): 'yes' is not a finite number"),
    ]:
        no_names.write_text(f"sex,born,smoker,age\n{bad}\n", encoding="utf-8")
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            read_inputs(no_names, data.names)
        assert message in str(caught.value)


@pytest.mark.parametrize("quirk", [
    "numbers without a header", "class names, no header", "all columns words, no header", "single quotes",
    "nan among words, no header", "a question mark in the first line, no header", "spaces",
])  # fmt: skip
def test_a_file_without_names_is_answered_as_it_was_trained_on(quirk, tmp_path):
    lines, options, _ = TWINS[quirk]
    path = write(tmp_path, lines)
    data = load(path, test_size=0, scaled=False, **options)
    width = data.target[1:]
    with pytest.warns(UserWarning, match=f" of {width}, and {data.target} is left out"):
        X = read_inputs(path, data.names, target=data.target, missing="mean")
    X = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    np.testing.assert_allclose(sorted(X.tolist()), sorted(data.X.tolist()), rtol=1e-14)


def test_columns_are_taken_from_their_places_only_where_the_training_had_them_there(tmp_path):
    path = write(tmp_path, ["9,1,2,7"])
    for names, target, taken in [("x2 x3", "x4", [1, 2]), ("x1 x4", "x2", [9, 7]), ("x2", "x3, x4", [1])]:
        with pytest.warns(UserWarning, match=f" of 4, and {target} is left out"):
            assert read_inputs(path, names.split(), target=target).tolist() == [taken]
    for names, target in [("x1, x2", "x3"), ("x2, x3", "y"), ("a, x3", "x4"), ("x2, x5", "x4")]:
        with pytest.raises(ValueError, match=f"line 1: 4 cells, but the columns are {names}; name"):
            read_inputs(path, names.split(", "), target=target)


def test_a_line_of_unknown_words_is_no_sample(tmp_path):
    with pytest.raises(ValueError, match=r"there is no column 'sex'; the columns are x, n"):
        read_inputs(write(tmp_path, ["x,n", "m,yes"]), ["sex=f", "sex=m", "smoker=yes"])
    assert read_inputs(write(tmp_path, ["m,no", "f,yes"]), ["sex=f", "sex=m", "smoker=yes"]).tolist() == [
        [0, 1, 0], [1, 0, 1]
    ]  # fmt: skip


def test_what_is_missing_in_new_rows_is_refused_until_the_mean_is_chosen(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows_with = [*(f"{i % 7},{i % 5 / 2},{i % 7 + i % 5}.5" for i in range(40)), ",1,4.5"]
    Path("t.csv").write_text("\n".join(["a,b,y", *rows_with]), encoding="utf-8")
    options = ["--missing", "mean", "--epochs", "40", "--hidden", "3", "--quiet", "--out", "out"]
    assert main(["train", "t.csv", *options, "--test-size", "0"]) == 0
    Path("new.csv").write_text("a,b\n,1\n", encoding="utf-8")
    Path("same.csv").write_text(f"a,b\n{sum(i % 7 for i in range(40)) / 40},1\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", "out/network.npz", "new.csv"]) == 2
    assert "say missing='mean' (--missing mean) for the mean of the training" in capsys.readouterr().err
    assert main(["predict", "out/network.npz", "new.csv", "--missing", "mean"]) == 0
    filled = capsys.readouterr().out.split()
    assert main(["predict", "out/network.npz", "same.csv"]) == 0
    assert float(capsys.readouterr().out.split()[1]) == pytest.approx(float(filled[1]), rel=1e-12)


def test_the_command_trains_and_answers_with_words_and_gaps(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = [("m", "12,5", "ja"), ("f", "3,25", "nein"), ("m", "", "ja"), ("f", "2,75", "nein")]
    lines = ["sex;size;kauft", *[";".join(kinds[i % 4]) for i in range(40)]]
    Path("t.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    options = ["--missing", "category", "--epochs", "60", "--hidden", "4", "--quiet", "--out", "out"]
    assert main(["train", "t.csv", *options]) == 0
    Path("new.csv").write_text("size;sex\n3,0;f\n;m\n11,5;m\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", "out/network.npz", "new.csv"]) == 0
    assert capsys.readouterr().out.split() == ["kauft", "nein", "ja", "ja"]


# -- frames -----------------------------------------------------------------------------------------------


def columns():
    from datetime import date

    return {
        "size": [1.5, 2.0, None, 4.0] * 3,
        "n": [1, 2, 3, 4] * 3,
        "sex": ["m", "f", None, "m"] * 3,
        "alone": [True, False] * 6,
        "day": [date(1970, 1, 1), date(1970, 1, 3)] * 6,
        "y": [0.5, 1.5, 2.5] * 4,
    }


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_frame_is_what_the_file_of_it_is(library, tmp_path):
    module = pytest.importorskip(library)
    frame = module.table(columns()) if library == "pyarrow" else module.DataFrame(columns())
    data = load(frame, missing="category", test_size=0, scaled=False)
    assert data.names == (
        "size", "size=missing", "n", "sex=f", "sex=m", "sex=missing", "alone=True", "day[days]"
    )  # fmt: skip
    lines = ["size,n,sex,alone,day,y"]
    for row in zip(*columns().values(), strict=True):
        lines.append(",".join("" if cell is None else str(cell) for cell in row))
    twin = load(write(tmp_path, lines), missing="category", test_size=0, scaled=False)
    assert twin.names == data.names
    np.testing.assert_array_equal(twin.X, data.X)
    np.testing.assert_array_equal(twin.Y, data.Y)
    with pytest.raises(ValueError, match=r"the \w+ \w+, row 3, column 1 \(size\): the cell is empty"):
        load(frame)
    with pytest.raises(ValueError, match="header cannot be chosen here: a frame has its own"):
        load(frame, header=True)


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
def test_files_that_pandas_reads(ending, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl" if ending == ".xlsx" else "pyarrow")
    frame = pandas.DataFrame({"a": [1.5, 2.5, 3.5], "sex": ["m", "f", "m"], "y": [1.25, 2.5, 4.0]})
    path = tmp_path / f"data{ending}"
    frame.to_excel(path, index=False) if ending == ".xlsx" else frame.to_parquet(path)
    data = load(path, test_size=0, categories="sex", scaled=False)
    assert data.names == ("a", "sex=f", "sex=m")
    assert sorted(data.X.tolist()) == [[1.5, 0, 1], [2.5, 1, 0], [3.5, 0, 1]]
    path.write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=f"cannot be read as a {ending} file"):
        load(path)


def test_without_pandas_a_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pandas", None)
    path = tmp_path / "data.xlsx"
    path.write_bytes(b"")
    with pytest.raises(ImportError, match=r'pip install "autobp\[data\]"'):
        load(path)


def test_a_frame_of_scikit_learn_is_its_set():
    loader = pytest.importorskip("sklearn.datasets").load_wine
    pytest.importorskip("pandas")
    bunch = loader(as_frame=True)
    data = load(bunch.frame, test_size=0, scaled=False)
    assert data.names == tuple(bunch.feature_names)
    assert sorted(data.X.tolist()) == sorted(bunch.data.to_numpy().tolist())
    assert data.classes == ("0", "1", "2")


def test_a_frame_of_categories_as_seaborn_hands_out_is_what_its_file_is(tmp_path):
    pd = pytest.importorskip("pandas")
    words = {"sex": ["Male", "Female", "Female"], "day": ["Sun", "Sat", "Sun"]}
    frame = pd.DataFrame({"total_bill": [float(number(i)) + i for i in range(M)]})
    for name, kinds in words.items():
        cells = [kinds[i % 3] for i in range(M)]
        frame[name] = pd.Categorical(cells, categories=sorted(set(cells), reverse=True))
    frame["size"] = [i % 4 + 1 for i in range(M)]
    frame["tip"] = [float(number(i + 1)) for i in range(M)]
    path = tmp_path / "tips.csv"
    frame.to_csv(path, index=False)
    handed, written = load(frame, target="tip"), load(path, target="tip")
    assert handed.names == ("total_bill", "sex=Female", "sex=Male", "day=Sat", "day=Sun", "size")
    assert handed.names == written.names
    np.testing.assert_array_equal(handed.X, written.X)
    np.testing.assert_array_equal(handed.Y, written.Y)


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_numbers_that_a_frame_calls_categories_are(tmp_path, library):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"zone": [i % 4 * 7 for i in range(M)], "b": [float(number(i)) for i in range(M)]})
    frame["y"] = [float(number(i + 1)) for i in range(M)]
    path = tmp_path / "zones.csv"
    frame.to_csv(path, index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what was asked for is not warned of
        written = load(path, categories="zone")
    frame["zone"] = frame["zone"].astype("category")
    handed = load(frame if library == "pandas" else pytest.importorskip("pyarrow").Table.from_pandas(frame))
    assert handed.names == written.names == ("zone=0", "zone=14", "zone=21", "zone=7", "b")
    np.testing.assert_array_equal(handed.X, written.X)
    classes = pd.DataFrame({"b": range(0, 300, 4), "k": pd.Categorical([i % 25 for i in range(75)])})
    assert load(classes).task == "classification"
    assert load(classes.astype(float)).task == "regression"


def test_sets_of_seaborn_come_from_its_cache(tmp_path, monkeypatch, capsys):
    seaborn = pytest.importorskip("seaborn")
    monkeypatch.setenv("SEABORN_DATA", str(tmp_path))
    lines = ["total_bill,tip,sex,smoker,day,time,size", *rows(
        number, number, ["Male", "Female"], ["No", "Yes"], ["Sun", "Sat"], ["Lunch", "Dinner"], [1, 2])]
    (tmp_path / "tips.csv").write_text("\n".join(lines), encoding="utf-8")
    named, handed = load("seaborn:tips", target="tip"), load(seaborn.load_dataset("tips"), target="tip")
    assert named.name == "seaborn:tips"
    assert named.names == handed.names == load(tmp_path / "tips.csv", target="tip").names
    np.testing.assert_array_equal(named.X, handed.X)
    options = ["--target", "tip", "--epochs", "2", "--quiet", "--out", str(tmp_path / "out")]
    assert main(["train", "seaborn:tips", *options]) == 0
    assert "seaborn:tips: 18 samples to train on" in capsys.readouterr().out
    with pytest.raises(ValueError, match="decimal cannot be chosen here: seaborn:tips is no text"):
        load("seaborn:tips", decimal=",")

    def no_net(name):
        raise OSError("no route")

    monkeypatch.setattr(seaborn, "load_dataset", no_net)
    with pytest.raises(OSError, match=f"seaborn:flights is not in {tmp_path}, .*: no route"):
        load("seaborn:flights")


def test_without_seaborn_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "seaborn", None)
    with pytest.raises(ImportError, match="pip install seaborn"):
        load("seaborn:tips")


def test_an_index_that_pandas_has_read_as_a_column_is_left_out():
    pd = pytest.importorskip("pandas")
    frame = pd.read_csv(io.StringIO("\n".join([",a,y", *rows(str, number, [0, 1])])))
    with pytest.warns(UserWarning, match="column 1 has no name, and another value in every row"):
        assert load(frame).names == ("a",)


def test_what_a_frame_cannot_hold_is_told():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [[1], [2]], "y": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"row 1, column 'a': '\[1\]', of the type list"):
        load(frame)
    twice = pandas.DataFrame([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], columns=["a", "a", "y"])
    with pytest.raises(ValueError, match="a second column called 'a'"):
        load(twice)


def test_what_is_no_table_is_told_what_to_make_of_it():
    for source, name in [({"a": [1]}, "builtins dict"), (np.zeros((4, 2)), "numpy ndarray")]:
        with pytest.raises(TypeError, match=f"got a {name}; make a DataFrame of it"):
            load(source)
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match="got a polars LazyFrame; make a DataFrame"):
        load(polars.DataFrame({"a": [1.0]}).lazy())


def test_a_batch_of_arrow_and_months_of_pandas_load():
    pa, pd = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    data = {"a": [2.0, 1.0, 4.0], "y": [0.5, 1.5, 2.5]}
    batch, whole = load(pa.record_batch(data), test_size=0), load(pa.table(data), test_size=0)
    np.testing.assert_array_equal(batch.X, whole.X)
    frame = pd.DataFrame({"month": pd.period_range("1970-01", periods=3, freq="M"), "y": [0.5, 1.5, 2.5]})
    assert sorted(load(frame, test_size=0, scaled=False).X[:, 0]) == [0, 31, 59]


def test_a_number_that_is_another_columns_name_is_refused():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([[1.5, 2.0, 3.5], [2.5, 3.0, 4.5], [0.5, 1.0, 9.5]])
    with pytest.raises(ValueError, match="1 may be the column called '1' or the number of one"):
        load(frame, target=1)
    assert load(frame, target="1").target == "1"
    assert load(frame, target=3).target == "2"
    assert load(frame.rename(columns=lambda i: i + 1), target=1).target == "1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1 \x15\xc0", r"is a Parquet file, and no text; call it by a name that ends with \.parquet"),
        (b"PK\x03\x04\x15", r"is an Excel or a zip file, and no text"),
        ("a,y\n1,2\n".encode("utf-16-le"), "has characters NUL: .*encoding='utf-16-le'"),
        ("a,y\n1,2\n".encode("utf-32"), "has characters NUL: .*encoding='utf-32'"),
        (b'a,y\n"1,2\n3,4\n', "line 3: .*a quotation mark is not closed"),
        (b"a;b\n1 234;2\n567;3\n", r"'1 234' is not a finite number; .*thousands=' '"),
        (b"a,b\n1e999,2\n567,3\n", "'1e999' is not a finite number$"),
    ],
)
def test_what_is_no_text_or_number_says_what_it_may_be(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, content))


def test_numbers_in_groups_are_said_where_they_become_words(tmp_path):
    lines = ["a;b;y", *[f"{1 + i % 2}'000;{number(i)};{number(i)}" for i in range(M)]]
    with pytest.warns(UserWarning, match=r"which become categories; thousands=\"'\" .* reads it as numbers"):
        load(write(tmp_path, lines))


def test_the_names_of_choices_are_offered():
    assert datasets.MISSING_CHOICES == ("drop", "mean", "category")


def test_the_example_of_the_document_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == printed
