"""Data sets: what is in them, how they are split and scaled, and what a file that is no table is told."""

import doctest
import sys

import numpy as np
import pytest

from autobp import datasets
from autobp.datasets import load


@pytest.fixture
def table(tmp_path):
    """Writes lines to a CSV file and gives its path."""

    def write(*lines, encoding="utf-8", name="table.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    return write


# -- by name ----------------------------------------------------------------------------------------------


def test_digits_are_the_scans_of_scikit_learn_in_another_order():
    raw = pytest.importorskip("sklearn.datasets").load_digits()
    data = load("digits")
    assert data.X.min() == 0
    assert data.X.max() == 1
    assert data.images(data.X_test).shape == (450, 8, 8)
    assert data.classes == tuple("0123456789")
    rows = {(*pixels, label) for pixels, label in zip(raw.data.tolist(), raw.target.tolist(), strict=True)}
    X, Y = np.concatenate([data.X, data.X_test]), np.concatenate([data.Y, data.Y_test])
    assert (Y.sum(axis=1) == 1).all()
    labels = Y.argmax(axis=1).tolist()
    found = {(*pixels, label) for pixels, label in zip((16 * X).tolist(), labels, strict=True)}
    assert found == rows
    assert len(X) == 1797


def test_the_split_takes_a_quarter_of_every_digit_and_no_sample_twice():
    pytest.importorskip("sklearn")
    data = load("digits")
    train, test = data.Y.sum(axis=0), data.Y_test.sum(axis=0)
    np.testing.assert_allclose(test, (train + test) / 4, atol=0.5)
    assert len({tuple(x) for x in data.X} & {tuple(x) for x in data.X_test}) == 0


def test_a_seed_gives_the_same_split_and_another_seed_another():
    pytest.importorskip("sklearn")
    first, again, other = load("iris", seed=3), load("iris", seed=3), load("iris", seed=4)
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(first.Y_test, again.Y_test)
    assert not np.array_equal(first.Y_test, other.Y_test)


def test_the_first_samples_are_of_all_classes_though_the_collection_is_sorted_by_class():
    pytest.importorskip("sklearn")
    assert (load("iris").Y[:20].sum(axis=0) > 0).all()


@pytest.mark.parametrize("name", ["iris", "wine", "breast cancer", "breast-cancer"])
def test_quantities_are_scaled_by_the_samples_to_train_on_alone(name):
    pytest.importorskip("sklearn")
    data, raw = load(name), load(name, scaled=False)
    np.testing.assert_allclose(data.X.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.X.std(axis=0), 1)
    np.testing.assert_allclose(data.X_test * data.scale + data.offset, raw.X_test)
    np.testing.assert_allclose(data.offset, raw.X.mean(axis=0))
    assert (raw.offset == 0).all()
    assert (raw.scale == 1).all()


@pytest.mark.parametrize("m", [5000, 60000])
def test_large_sets_are_scaled_some_rows_at_a_time_to_the_same_numbers(m, tmp_path):
    X = np.random.default_rng(0).normal([1e6, 0, -3], [1, 1e-6, 40], (m, 3))
    path = tmp_path / "large.csv"
    np.savetxt(path, np.hstack([X, X[:, :1]]), delimiter=",", fmt="%.17g")
    data, raw = load(path, header=False), load(path, header=False, scaled=False)
    offset = raw.X.mean(axis=0)
    scale = np.sqrt(((raw.X - offset) ** 2).mean(axis=0))
    np.testing.assert_array_equal(data.offset, offset)
    np.testing.assert_array_equal(data.scale, scale)
    np.testing.assert_array_equal(data.X, (raw.X - offset) / scale)
    np.testing.assert_array_equal(data.X_test, (raw.X_test - offset) / scale)


def test_a_number_to_predict_is_scaled_too_and_can_be_scaled_back():
    pytest.importorskip("sklearn")
    data, raw = load("diabetes"), load("diabetes", scaled=False)
    assert (data.task, data.cost, data.classes) == ("regression", "quadratic", ())
    np.testing.assert_allclose([data.Y.mean(), data.Y.std()], [0, 1], atol=1e-12)
    np.testing.assert_allclose(data.Y_test * data.target_scale + data.target_offset, raw.Y_test)
    assert (raw.Y.min(), raw.Y.max()) > (24, 300)


@pytest.mark.parametrize("name", ["moons", "circles", "spirals", "xor"])
def test_made_sets_are_two_equal_classes_in_the_plane(name):
    if name in ("moons", "circles"):
        pytest.importorskip("sklearn")
    data = load(name, samples=80, seed=1)
    assert (data.X.shape, data.X_test.shape) == ((60, 2), (20, 2))
    assert (data.Y.shape, data.Y_test.shape) == ((60, 1), (20, 1))
    assert (data.Y.sum(), data.Y_test.sum()) == (30, 10)
    assert data.cost == "binary_cross_entropy_with_logits"
    assert not np.array_equal(data.X, load(name, samples=80, seed=2).X)


def test_xor_without_noise_is_its_truth_table():
    data = load("xor", samples=4, noise=0, test_size=0)
    table = {(*x, *y) for x, y in zip(data.X.tolist(), data.Y.tolist(), strict=True)}
    assert table == {(-1, -1, 0), (-1, 1, 1), (1, -1, 1), (1, 1, 0)}
    assert data.X_test.shape == (0, 2)
    assert data.Y_test.shape == (0, 1)


def test_spirals_without_noise_wind_one_and_a_half_turns_apart_by_half_a_turn():
    data = load("spirals", samples=400, noise=0, test_size=0)
    radius = np.hypot(*data.X.T)
    assert radius.max() <= 1
    angle = 3 * np.pi * radius + np.pi * data.Y[:, 0]
    np.testing.assert_allclose(data.X, radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def test_what_a_data_set_says_of_itself():
    assert str(load("xor")) == "xor: 150 samples to train on and 50 held out, 2 inputs, classes 0, 1"
    with pytest.raises(ValueError, match="xor are not images"):
        load("xor").images([[0, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "digitz"}, "did you mean 'digits'?"),
        ({"source": "qqq"}, "known are breast_cancer, circles, diabetes, digits"),
        ({"source": "xor", "test_size": 1}, "from 0 to below 1; got 1"),
        ({"source": "xor", "test_size": -0.1}, "from 0 to below 1; got -0.1"),
        ({"source": "xor", "samples": 3}, "at least 4 samples; got samples = 3"),
        ({"source": "xor", "noise": -1.0}, "at least 0 and finite; got -1.0"),
        ({"source": "xor", "noise": float("nan")}, "got nan"),
        ({"source": "xor", "target": "y", "header": False}, "target and header cannot be chosen here: xor"),
        ({"source": "digits", "samples": 5}, "samples cannot be chosen here: digits is a collected set"),
    ],
)
def test_what_a_wrong_request_is_told(arguments, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load(**arguments)
    assert message in str(caught.value)


def test_a_path_to_nothing_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*missing.csv'"):
        load(tmp_path / "missing.csv")


def test_a_collected_set_without_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'pip install "autobp\[examples\]"'):
        load("digits")
    load("xor")  # needs nothing


def test_the_example_in_the_docstring():
    pytest.importorskip("sklearn")
    found = doctest.testmod(datasets)
    assert found.failed == 0
    assert found.attempted


# -- CSV files --------------------------------------------------------------------------------------------

FLOWERS = ["long,wide,kind", "1,10,rose", "2,20,tulip", "3,30,rose", "4,40,tulip"]


def test_a_file_with_names_and_class_labels(table):
    data = load(table(*FLOWERS), test_size=0, scaled=False)
    assert (data.name, data.names, data.target) == ("table.csv", ("long", "wide"), "kind")
    assert data.classes == ("rose", "tulip")
    rows = sorted((*x, *y) for x, y in zip(data.X.tolist(), data.Y.tolist(), strict=True))
    assert rows == [(1, 10, 0), (2, 20, 1), (3, 30, 0), (4, 40, 1)]


def test_three_labels_are_one_hot_in_alphabetical_order(table):
    data = load(table("1,c", "2,a", "3,b", "4,a"), test_size=0, scaled=False)
    assert data.classes == ("a", "b", "c")
    assert data.names == ("x1",)
    by_input = {x: y for (x,), y in zip(data.X.tolist(), data.Y.tolist(), strict=True)}
    assert by_input == {1: [0, 0, 1], 2: [1, 0, 0], 3: [0, 1, 0], 4: [1, 0, 0]}


def test_the_target_may_be_any_column_by_name(table):
    data = load(table(*FLOWERS[:1], *FLOWERS[1:]), target="kind", test_size=0)
    assert data.names == ("long", "wide")
    prices = load(table("price,rooms", "1.5,3", "2.5,4", "3.7,5"), target="price", test_size=0, scaled=False)
    assert (prices.names, prices.classes, prices.task) == (("rooms",), (), "regression")
    assert sorted(prices.Y[:, 0]) == [1.5, 2.5, 3.7]
    unnamed = load(table("0,5,0", "1,6,0", "0,7,1", "1,8,1"), target="x1", test_size=0, scaled=False)
    assert unnamed.names == ("x2", "x3")
    assert sorted(zip(unnamed.X[:, 0], unnamed.Y[:, 0], strict=True)) == [(5, 0), (6, 1), (7, 0), (8, 1)]


@pytest.mark.parametrize(
    ("drop", "target"), [("name", "kind"), ([1], 4), (["name"], -1), (["-4"], "4"), (("name", "name"), None)]
)
def test_columns_are_left_out_by_name_or_number(table, drop, target):
    path = table("name,long,wide,kind", "ann,1,10,rose", "bob,2,20,tulip", "eve,3,30,rose", "joe,4,40,tulip")
    data = load(path, drop=drop, target=target, test_size=0, scaled=False)
    assert (data.names, data.target, data.classes) == (("long", "wide"), "kind", ("rose", "tulip"))
    assert sorted(data.X.tolist()) == [[1, 10], [2, 20], [3, 30], [4, 40]]


def test_a_column_of_the_left_out_needs_no_name_of_its_own(table):
    data = load(table(",a,y", "0,1,0", "1,2,1", "2,3,0"), drop=1, test_size=0, scaled=False)
    assert data.names == ("a",)
    unnamed = load(table("7,x,1,0", "8,y,2,1", "9,z,3,0"), drop=["x2", 1], test_size=0, scaled=False)
    assert unnamed.names == ("x3",)


@pytest.mark.parametrize(
    ("targets", "task", "classes"),
    [
        (["0", "1", "1", "0"], None, ("0", "1")),
        (["0", "0", "0", "1"], None, ("0", "1")),
        (["-1", "1", "1.0", "-1"], None, ("-1", "1")),
        (["10", "9", "9", "10"], None, ("9", "10")),
        (["1", "2", "3", "4"], None, ()),
        (["0.5", "1", "0.5", "1"], None, ()),
        (["1", "2", "3", "4"], "classification", ("1", "2", "3", "4")),
        (["0", "1", "1", "0"], "regression", ()),
        (["7", "none", "none", "7"], "classification", ("7", "none")),
    ],
)
def test_which_numbers_are_classes(table, targets, task, classes):
    data = load(table(*[f"{i},{y}" for i, y in enumerate(targets)]), task=task, test_size=0, scaled=False)
    assert data.classes == classes
    order = np.argsort(data.X[:, 0])
    Y = data.Y[order]
    numbers = Y.argmax(axis=1) if Y.shape[1] > 1 else Y[:, 0]
    if classes:
        assert [float(classes[int(k)]) if task is None else classes[int(k)] for k in numbers] == [
            float(y) if task is None else y for y in targets
        ]
    else:
        assert numbers.tolist() == [float(y) for y in targets]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " , "])
def test_delimiters_quotes_blank_lines_and_a_byte_order_mark(table, delimiter):
    lines = [line.replace(",", delimiter) for line in FLOWERS]
    lines[1] = lines[1].replace("rose", '"rose"') if delimiter != " , " else lines[1]
    data = load(table("", *lines[:3], "", *lines[3:], encoding="utf-8-sig"), test_size=0, scaled=False)
    assert data.names == ("long", "wide")
    assert sorted(data.X[:, 0]) == [1, 2, 3, 4]
    assert data.classes == ("rose", "tulip")


def test_a_header_is_taken_as_told(table):
    years = table("2019,2020,kind", "1,2,a", "3,4,b", "5,6,a")
    assert load(years, header=True, test_size=0).names == ("2019", "2020")
    with pytest.raises(ValueError, match="line 1"):
        load(table("long,wide,kind", "1,2,a", "3,4,b"), header=False)


@pytest.mark.parametrize(
    "lines",
    [
        ["0,1,2", "5,6,0", "6,7,1"],
        ["2019,2020,kind", "1,2,a", "3,4,b", "5,6,a", "6,7,b"],
    ],
)
def test_a_first_line_that_may_be_names_or_a_sample_is_asked_about(table, lines):
    path = table(*lines)
    with pytest.raises(ValueError, match=r"line 1: '.*' may be the columns' names or a sample"):
        load(path)
    assert load(path, header=True, test_size=0).names == tuple(lines[0].split(",")[:2])
    assert len(load(path, header=False, test_size=0).X) == len(lines)


def test_a_first_sample_with_a_label_of_its_own_is_a_sample_where_others_are_alone_too(table):
    data = load(table("1,c", "2,a", "3,b", "4,a"), test_size=0)
    assert len(data.X) == 4


@pytest.mark.parametrize("huge", ["1e308", "1e200"])
def test_numbers_too_large_to_scale_are_told_and_not_scaled_to_nothing(table, huge):
    inputs = table(f"1,{huge},0", f"2,-{huge},0", f"3,{huge},1", f"4,{huge},1")
    with pytest.raises(ValueError, match="the numbers of x2 are too large to scale"):
        load(inputs)
    assert np.abs(load(inputs, scaled=False).X).max() == float(huge)
    with pytest.raises(ValueError, match="the numbers of x2 are too large to scale"):
        load(table(f"1,{huge}", f"2,-{huge}", "3,0.5"))


def test_a_column_that_never_changes_scales_to_zero(table):
    data = load(table("1,0.1,0", "2,0.1,0", "3,0.1,1", "4,0.1,1"), test_size=0)
    np.testing.assert_allclose(data.X[:, 1], 0, atol=1e-15)
    np.testing.assert_allclose(data.X[:, 0].std(), 1)


def test_the_split_keeps_a_sample_of_each_class_to_train_on(table):
    data = load(table("1,a", "2,b", "3,b", "4,b", "5,c", "6,c"), test_size=0.9, header=False)
    assert data.Y.sum(axis=0).tolist() == [1, 1, 1]
    assert data.Y_test.sum(axis=0).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["a,b,y", "1,2,0", "1,x,1"], {}, "line 3, column 2 (b): 'x' is not a finite number"),
        (["1,2,0", "1,,1"], {}, "line 2, column 2 (x2): the cell is empty"),
        (["1,2,0", "1,nan,1"], {}, "line 2, column 2 (x2): 'nan' is not a finite number"),
        (["1,2,0", "1,1e999,1"], {}, "line 2, column 2 (x2): '1e999' is not a finite number"),
        (["1,2,0", "1,1_0,1"], {}, "line 2, column 2 (x2): '1_0' is not a finite number"),
        (["1,2,0", "", "1,2"], {}, "line 3: 2 cells, but line 1 has 3"),
        (["1,2,0", ",,"], {}, "line 2, column 1 (x1): the cell is empty"),
        (["1,2,0", "3,4,"], {}, "line 2, column 3 (x3): the target is missing"),
        (["1,0.5", "2,0.25", "3,o.5"], {}, "line 3, column 2 (x2): 'o.5', but other targets are numbers"),
        (["1,a", "2,b", "3,7"], {}, "line 3, column 2 (x2): '7', but other targets are text"),
        (["1,a", "2,b"], {"task": "regression"}, "line 1, column 2 (x2): 'a' is not a finite number"),
        (["1,0", "2,inf"], {}, "line 2, column 2 (x2): 'inf' is not a finite number"),
        (["1,a", "2,a"], {}, "column 2 (x2): every target is 'a'"),
        (["2019,b,y", "1,2,0", "3,4,1"], {}, "line 1, column 2 (x2): 'b' is not a finite number; if line 1"),
        (["a,a,y", "1,2,0", "1,2,1"], {}, "line 1, column 2: a second column called 'a'"),
        (["n,,y", "1,2,0", "1,2,1"], {}, "line 1, column 2: the column has no name"),
        (["a,b,y", "1,2,0", "1,2,1"], {"target": "z"}, "there is no column 'z'; the columns are a, b, y"),
        (["size,b,y", "1,2,0", "1,2,1"], {"target": "sise"}, "did you mean 'size'? The columns"),
        (["a,b,y", "1,2,0", "1,2,1"], {"target": 4}, "there is no column 4; the columns are a, b, y"),
        (["a,b,y", "1,2,0", "1,2,1"], {"target": 0}, "there is no column 0"),
        (["a,b,y", "1,2,0", "1,2,1"], {"drop": "c"}, "there is no column 'c'"),
        (["a,b,y", "1,2,0", "1,2,1"], {"drop": "y", "target": "y"}, "'y' is the target, and dropped"),
        (["a,b,y", "1,2,0", "1,2,1"], {"drop": ["a", "b"]}, "no column is left for the inputs"),
        (["a,y", "NA,0", "2,1"], {}, "line 2, column 1 (a): 'NA' is not a finite number; fill it"),
        (["a,y", '"1,200",0', "2,1"], {}, "decimal point, write 1.200; if it parts thousands, write 1200"),
        (["a,y", '"1,2,00",0', "2,1"], {}, "'1,2,00' is not a finite number"),
        (["a,b,y", '"1,5",0.5,0', "2,1.5,1"], {}, "'1,5' is not a finite number; write 1.5, or say decimal"),
        (["1", "2"], {}, "line 1: only one column"),
        (["a,y", "1,2"], {}, "1 samples; at least two are needed"),
        ([""], {}, "is empty"),
        (['1,"2,0', "3,4,1"], {}, "unexpected end of data"),
        (["1,2", "2,3"], {"task": "guess"}, "task is classification or regression; got 'guess'"),
        (["1,2", "2,3"], {"noise": 0.1}, "noise cannot be chosen here"),
    ],
)
def test_what_a_wrong_file_is_told(table, lines, options, message):
    path = table(*lines)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load(path, **options)
    assert message in str(caught.value)
    assert "write inf" not in str(caught.value)
    assert "1.2,00" not in str(caught.value)  # which would be refused as well
    if "task" not in options:
        assert str(path) in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match=r"picture\.csv is not text in UTF-8"):
        load(path)


def test_the_target_message_points_at_the_odd_one_out(table):
    with pytest.raises(ValueError, match="line 1, column 2"):
        load(table("1,x", "2,0.25", "3,0.5", "4,0.75"))


def test_scaling_leaves_the_table_alone_and_both_parts_have_one_scale():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.normal(5, 2, 40), "b": rng.normal(-3, 9, 40), "y": rng.normal(7, 4, 40)})
    before = frame.copy()
    data, plain = datasets.load(frame, seed=2), datasets.load(frame, seed=2, scaled=False)
    pd.testing.assert_frame_equal(frame, before)
    mean, deviation = plain.X.mean(axis=0), plain.X.std(axis=0)
    np.testing.assert_allclose(data.X, (plain.X - mean) / deviation, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(data.X_test, (plain.X_test - mean) / deviation, rtol=1e-13, atol=1e-13)
    mean, deviation = plain.Y.mean(), plain.Y.std()
    np.testing.assert_allclose(data.Y, (plain.Y - mean) / deviation, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(data.Y_test, (plain.Y_test - mean) / deviation, rtol=1e-13, atol=1e-13)
