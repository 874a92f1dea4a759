"""Pictures of a training: what is drawn is what was measured."""

import doctest
import io
import os
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

from autobp import MLP, History, datasets, fit, plots, predict
from autobp.plots.plane import spread_out

pytest.importorskip("matplotlib")

XOR = datasets.load("xor", samples=40, seed=2)
HISTORY = History(
    cost=[0.9, 0.5, 0.4, 0.3],
    validation_cost=[1.0, 0.6, 0.55, 0.7],
    gradient_norm=[5.0, 4.0, 3.0, 2.0],
    layer_gradient_norm=[[3.0, 4.0], [0.0, 4.0], [0.3, 2.0], [0.2, 1.0]],
)


def lines(axes):
    """label -> (x, y) of each line that is labelled."""
    return {
        line.get_label(): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# -- over the epochs --------------------------------------------------------------------------------------


def test_the_learning_curve_is_the_history():
    (axes,) = plots.learning_curve(HISTORY).axes
    drawn = lines(axes)
    assert list(drawn) == ["training", "validation", "lowest validation: 0.55 in epoch 3"]
    np.testing.assert_array_equal(drawn["training"], [[1, 2, 3, 4], HISTORY.cost])
    np.testing.assert_array_equal(drawn["validation"], [[1, 2, 3, 4], HISTORY.validation_cost])
    np.testing.assert_array_equal(drawn["lowest validation: 0.55 in epoch 3"], [[3], [0.55]])
    assert legend(axes) == list(drawn)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "cost")
    assert axes.get_ylim()[0] == 0


def test_lines_differ_by_more_than_colour():
    for figure in (plots.learning_curve(HISTORY), plots.gradient_norms(HISTORY)):
        drawn = figure.axes[0].get_lines()[:2]
        assert len({line.get_linestyle() for line in drawn}) == 2
        assert len({line.get_marker() for line in drawn}) == 2


def test_a_curve_without_validation_has_one_line():
    (axes,) = plots.learning_curve(History(cost=[3.0, 2.0])).axes
    assert list(lines(axes)) == ["training"]


def test_a_history_that_ctrl_c_cut_before_its_validation():
    cut = History(cost=[3.0, 2.0], validation_cost=[3.5], interrupted=True)
    (axes,) = plots.learning_curve(cut).axes
    np.testing.assert_array_equal(lines(axes)["validation"], [[1], [3.5]])


@pytest.mark.parametrize(
    ("costs", "log", "scale"),
    [
        ([1.0, 0.021], None, "linear"),
        ([1.0, 0.02], None, "log"),
        ([1.0, -1.0], None, "linear"),
        ([1.0, 0.0], None, "linear"),
        ([1.0, 0.5], True, "log"),
        ([1.0, 1e-6], False, "linear"),
    ],
)
def test_the_cost_axis_is_logarithmic_where_costs_span_a_factor_of_fifty(costs, log, scale):
    (axes,) = plots.learning_curve(History(cost=costs), log=log).axes
    assert axes.get_yscale() == scale
    assert axes.get_ylim()[0] <= min(costs)


def test_ticks_at_whole_epochs_and_plain_numbers_along_decades():
    figure = plots.learning_curve(History(cost=[0.5, 0.02, 0.006]), log=True)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert all(x == int(x) for x in axes.get_xticks())
    low, high = axes.get_ylim()
    shown = [t.get_text() for t in axes.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert {"0.01", "0.02", "0.05", "0.1", "0.2", "0.5"} <= set(shown)


@pytest.mark.parametrize("draw", [plots.learning_curve, plots.gradient_norms])
def test_a_history_without_an_epoch_is_refused(draw):
    with pytest.raises(ValueError, match="has no epoch"):
        draw(History())


def test_a_logarithmic_axis_is_refused_where_a_cost_is_not_positive():
    with pytest.raises(ValueError, match="the lowest is -1"):
        plots.learning_curve(History(cost=[1.0, -1.0]), log=True)


def test_gradient_norms_has_a_line_for_each_layer_and_counts_what_its_axis_cannot_show():
    (axes,) = plots.gradient_norms(HISTORY).axes
    assert axes.get_yscale() == "log"
    drawn = lines(axes)
    assert list(drawn) == ["layer 1 (0 in 1 of 4 epochs)", "layer 2"]
    np.testing.assert_array_equal(drawn["layer 1 (0 in 1 of 4 epochs)"][1], [3.0, np.nan, 0.3, 0.2])
    np.testing.assert_array_equal(drawn["layer 2"], [[1, 2, 3, 4], [4, 4, 2, 1]])


def test_the_learning_curve_can_have_the_gradients_below():
    above, below = plots.learning_curve(HISTORY, gradients=True).axes
    assert "training" in lines(above)
    np.testing.assert_array_equal(lines(below)["layer 2"][1], [4, 4, 2, 1])
    assert (above.get_xlabel(), below.get_xlabel()) == ("", "epoch")


# -- two inputs -------------------------------------------------------------------------------------------


def plane(axes):
    """The colours' numbers, (rows, columns), and the two coordinates that they stand for."""
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape[:2]
    return image, np.linspace(left, right, columns), np.linspace(bottom, top, rows)


@pytest.mark.parametrize("activation", ["sigmoid", lambda z: 1 / (1 + (-z).exp())], ids=["named", "function"])
def test_the_plane_shows_the_networks_output(activation):
    net = MLP(2, [4, 1], ["tanh", activation], seed=3)
    figure = plots.decision_boundary(net, XOR.X, XOR.Y, threshold=0.5, resolution=9)
    image, x1, x2 = plane(figure.axes[0])
    assert image.origin == "lower"
    for row in range(9):
        for column in range(9):
            expected = net([x1[column], x2[row]]).data
            assert image.get_array()[row, column] == pytest.approx(expected, rel=1e-12)
    assert image.get_clim() == (0, 1)
    assert (x1[0], x2[0]) < tuple(XOR.X.min(axis=0))


def test_the_line_is_where_the_output_is_the_threshold():
    net = MLP(2, [4, 1], ["tanh", "linear"], seed=3)
    for threshold in (0.0, 0.4):
        figure = plots.decision_boundary(net, XOR.X, XOR.Y, threshold=threshold, resolution=200)
        (contour,) = [c for c in figure.axes[0].collections if hasattr(c, "levels")]
        points = np.concatenate([path.vertices for path in contour.get_paths()])
        assert len(points) > 50
        np.testing.assert_allclose(predict(net, points)[:, 0], threshold, atol=2e-3)
        low, high = figure.axes[0].get_images()[0].get_clim()
        assert (low + high) / 2 == pytest.approx(threshold)


def test_each_class_has_its_samples_its_colour_and_its_marker():
    net = MLP(2, [1], "sigmoid", seed=0)
    classes, names = ["same", "different"], ["left", "right"]
    figure = plots.decision_boundary(net, XOR.X, XOR.Y, classes=classes, names=names)
    axes = figure.axes[0]
    clouds = [c for c in axes.collections if not hasattr(c, "levels")]
    for number, cloud in enumerate(clouds):
        np.testing.assert_array_equal(cloud.get_offsets(), XOR.X[XOR.Y[:, 0] == number])
    assert len({tuple(c.get_facecolor()[0]) for c in clouds}) == 2
    assert len({c.get_paths()[0].vertices.shape for c in clouds}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == classes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("left", "right")


@pytest.mark.parametrize("one_hot", [True, False])
def test_of_several_outputs_the_largest_colours_the_plane(one_hot):
    net = MLP(2, [5, 3], ["tanh", "linear"], seed=1)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.integers(3, size=30)
    figure = plots.decision_boundary(net, X, np.eye(3)[y] if one_hot else y, resolution=15)
    image, x1, x2 = plane(figure.axes[0])
    points = np.array([[a, b] for b in x2 for a in x1])
    winner = predict(net, points).argmax(axis=1)
    colours = image.get_array().reshape(-1, 3)
    by_class = {tuple(colour): set(winner[(colours == colour).all(axis=1)]) for colour in colours}
    assert all(len(winners) == 1 for winners in by_class.values())
    assert len(by_class) == len(set(winner)) > 1
    clouds = [c for c in figure.axes[0].collections if not hasattr(c, "levels")]
    assert [len(c.get_offsets()) for c in clouds] == np.bincount(y).tolist()


def test_snapshots_keep_the_networks_of_their_epochs():
    net = MLP(2, [4, 1], ["tanh", "sigmoid"], seed=3)
    frames = plots.Snapshots(net, every=2)
    seen = {0: predict(net, XOR.X)}

    def on_epoch(epoch, history):
        frames(epoch, history)
        seen[epoch] = predict(net, XOR.X)

    history = fit(net, XOR.X, XOR.Y, epochs=5, lr=0.1, seed=0, progress=False, on_epoch=on_epoch)
    assert frames.epochs == [0, 2, 4]
    assert frames.costs == [None, history.cost[1], history.cost[3]]
    for i, epoch in enumerate(frames.epochs):
        np.testing.assert_array_equal(predict(frames.network(i), XOR.X), seen[epoch])
    assert len(frames) == 3


def test_a_network_without_biases_and_with_a_function_is_kept_too():
    net = MLP(2, [1], lambda z: z.sin(), bias=False, seed=1)
    frames = plots.Snapshots(net)
    before = predict(net, XOR.X)
    net.W = [[[1.0, 2.0]]]
    np.testing.assert_array_equal(predict(frames.network(0), XOR.X), before)


def test_step_by_step_has_a_panel_for_each_epoch_chosen():
    net = MLP(2, [4, 1], ["tanh", "sigmoid"], seed=3)
    frames = plots.Snapshots(net)
    history = fit(net, XOR.X, XOR.Y, epochs=3, lr=0.1, seed=0, progress=False, on_epoch=frames)
    figure = plots.decision_boundary(frames, XOR.X, XOR.Y, resolution=8)
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_images()]
    titles = [axes.get_title() for axes in panels]
    assert titles == ["before training", *[f"epoch {i + 1}, cost {history.cost[i]:.3g}" for i in range(3)]]
    for i, axes in enumerate(panels):
        image, x1, x2 = plane(axes)
        expected = frames.network(i)([x1[2], x2[5]]).data
        assert image.get_array()[5, 2] == pytest.approx(expected, rel=1e-12)
        assert image.get_clim() == (0, 1)
    assert [a.get_xlabel() for a in panels] == ["", "x1", "x1", "x1"]
    assert [a.get_ylabel() for a in panels] == ["x2", "", "", "x2"]


@pytest.mark.parametrize("panels", [2, 3, 6, 9])
@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 10, 60, 1000])
def test_panels_begin_before_training_end_on_the_last_epoch_and_come_closer_early(epochs, panels):
    chosen = spread_out(range(epochs + 1), panels)
    assert chosen[0] == 0
    assert chosen[-1] == epochs
    assert len(chosen) == min(panels, epochs + 1)
    steps = [b - a for a, b in pairwise(chosen)]
    assert min(steps) >= 1
    if epochs > panels**2:
        assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("net", "X", "Y", "options", "message"),
    [
        (MLP(3, [1]), [[0, 0, 0]], [0], {}, "two inputs; the network has 3"),
        (MLP(2, [1]), [[0, 0, 0]], [0], {}, r"X must have the shape \(m, 2\)"),
        (MLP(2, [1], "sigmoid"), [[0, 0]], [0, 1], {}, "a row for each of the 1 samples"),
        (MLP(2, [1]), [[0, 0]], [0], {}, "say the threshold: 0 where the output is a logit"),
        (MLP(2, [3]), [[0, 0]], [3], {}, r"Y\[0\] is 3; class numbers are 0 to 2"),
        (MLP(2, [3]), [[0, 0], [1, 1]], [0, 1.5], {}, r"Y\[1\] is 1.5"),
        (MLP(2, [3]), [[0, 0]], [[0, 1]], {}, "Y has 2 columns, but the network has 3 outputs"),
        (MLP(2, [3]), [[0, 0]], [0], {"classes": ["a"]}, "3 classes need as many names; got 1"),
        (MLP(2, [1]), [[0, 0]], [0], {"resolution": 1}, "at least 2; got 1"),
    ],
)
def test_what_a_wrong_request_for_a_boundary_is_told(net, X, Y, options, message):
    with pytest.raises(ValueError, match=message):
        plots.decision_boundary(net, X, Y, **options)


# -- classes ----------------------------------------------------------------------------------------------

#: answers 0, 1 or 2 by the largest input, and so is right or wrong as a test likes
ECHO = MLP(3, [3], "linear", weights=[np.eye(3)], biases=[np.zeros(3)])
ANSWERS = [[5, 0, 0], [0, 5, 0], [0, 6, 1], [0, 0, 5], [1, 0, 9], [4, 0, 0]]
TRUTH = [0, 0, 0, 2, 0, 2]
COUNTS = {(0, 0): 1, (0, 1): 2, (0, 2): 1, (2, 0): 1, (2, 2): 1}


def texts(axes):
    """(row, column) -> the text at that place, rounded to the cell."""
    found = {}
    for text in axes.texts:
        x, y = text.get_position()
        found[round(y), round(x)] = text.get_text()
    return found


@pytest.mark.parametrize("one_hot", [True, False])
def test_cells_count_the_answers_by_class(one_hot):
    figure = plots.confusion_matrix(ECHO, ANSWERS, np.eye(3)[TRUTH] if one_hot else TRUTH)
    (axes,) = figure.axes
    cells = {place: text for place, text in texts(axes).items() if max(place) < 3}
    assert cells == {**{place: str(n) for place, n in COUNTS.items()}, (1, 1): "0"}
    assert len(axes.patches) == 9
    assert [text.get_text() for text in figure.texts] == ["2 of 6 right (33.3 %)"]


def test_the_margins_are_recall_and_precision_and_a_dash_where_there_is_none():
    (axes,) = plots.confusion_matrix(ECHO, ANSWERS, TRUTH).axes
    found = texts(axes)
    assert [found[i, 3] for i in range(3)] == ["25 %", "–", "50 %"]
    assert [found[3, j] for j in range(3)] == ["50 %", "0 %", "50 %"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "2", "recall"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "1", "2", "precision"]


def test_each_wrong_cell_shows_the_sample_that_is_wrong_by_most():
    images = np.arange(6 * 4 * 2).reshape(6, 4, 2) / 48
    (axes,) = plots.confusion_matrix(ECHO, ANSWERS, TRUTH, images=images).axes
    shown = {}
    for image in axes.get_images():
        left, right, bottom, top = image.get_extent()
        shown[round((top + bottom) / 2), round((left + right) / 2)] = image.get_array()
        assert abs(bottom - top) / abs(right - left) == pytest.approx(4 / 2)  # pixels stay square
    assert set(shown) == {(0, 1), (0, 2), (2, 0)}
    np.testing.assert_array_equal(shown[0, 1], images[2])
    np.testing.assert_array_equal(shown[0, 2], images[4])
    np.testing.assert_array_equal(shown[2, 0], images[5])
    assert {image.get_clim() for image in axes.get_images()} == {(0, images.max())}
    assert texts(axes)[0, 1] == "2"


def test_right_cells_are_blue_wrong_ones_orange_and_empty_ones_neither():
    (axes,) = plots.confusion_matrix(ECHO, ANSWERS, TRUTH).axes
    for cell in axes.patches:
        column, row = (round(x + 0.5) for x in cell.get_xy())
        red, _, blue, _ = cell.get_facecolor()
        count = COUNTS.get((row, column), 0)
        assert np.sign(round(blue - red, 3)) == (0 if not count else 1 if row == column else -1)


def test_one_output_is_two_classes_by_the_threshold():
    net = MLP(1, [1], "linear", weights=[[[1.0]]], biases=[[0.0]])
    X, Y = [[-2.0], [-1.0], [3.0], [0.2]], [[0], [1], [1], [0]]
    (axes,) = plots.confusion_matrix(net, X, Y, threshold=0.0, classes=["no", "yes"]).axes
    found = texts(axes)
    assert [[found[i, j] for j in range(2)] for i in range(2)] == [["1", "1"], ["1", "1"]]
    found = texts(plots.confusion_matrix(net, X, Y, threshold=0.5).axes[0])
    assert (found[0, 0], found[1, 0], found[1, 1]) == ("2", "1", "1")


def test_images_must_be_one_for_each_sample():
    with pytest.raises(ValueError, match=r"shape \(6, height, width\); got \(6, 64\)"):
        plots.confusion_matrix(ECHO, ANSWERS, TRUTH, images=np.zeros((6, 64)))


# -- figures ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figures():
    net = MLP(2, [4, 1], ["tanh", "sigmoid"], seed=3)
    frames = plots.Snapshots(net)
    history = fit(net, XOR.X, XOR.Y, epochs=3, lr=0.1, seed=0, progress=False, on_epoch=frames)
    return [
        plots.learning_curve(history, gradients=True),
        plots.gradient_norms(history),
        plots.decision_boundary(net, XOR.X, XOR.Y, resolution=20),
        plots.decision_boundary(frames, XOR.X, XOR.Y, resolution=20),
        plots.confusion_matrix(net, XOR.X, XOR.Y, images=np.zeros((len(XOR.X), 3, 3))),
    ]


def test_figures_are_written_as_svg_and_png(figures, tmp_path):
    from matplotlib.figure import Figure

    for figure in figures:
        assert isinstance(figure, Figure)
        figure.savefig(tmp_path / "picture.svg")
        assert ET.parse(tmp_path / "picture.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
        figure.savefig(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_notebooks_are_given_a_png_and_figures_can_be_pickled(figures):
    from PIL import Image

    for figure in (figures[0], pickle.loads(pickle.dumps(figures[0]))):
        with Image.open(io.BytesIO(figure._repr_png_())) as image:
            assert image.size == tuple(round(120 * inches) for inches in figure.get_size_inches())


def test_no_text_overlaps_another_and_all_is_inside_the_page(figures):
    for figure in figures:
        figure.draw_without_rendering()
        page = figure.bbox.padded(1)
        for axes in figure.axes:
            if not axes.get_visible():
                continue
            ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
            shown = [t for t in ticks if t.get_visible() and _in_view(axes, t)]
            labels = [axes.xaxis.label, axes.yaxis.label, axes.title]
            boxes = [t.get_window_extent() for t in [*shown, *labels, *axes.texts] if t.get_text()]
            for i, box in enumerate(boxes):
                assert page.x0 <= box.x0 <= box.x1 <= page.x1
                assert page.y0 <= box.y0 <= box.y1 <= page.y1
                assert not any(box.overlaps(other) for other in boxes[:i])


def _in_view(axes, tick):
    """Whether a tick label lies within the axis' limits; those beyond are not drawn."""
    along, limits = (0, axes.get_xlim()) if tick in axes.get_xticklabels() else (1, axes.get_ylim())
    return min(limits) <= tick.get_position()[along] <= max(limits)


def test_the_users_own_style_is_left_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.learning_curve(HISTORY)
    assert dict(matplotlib.rcParams) == before


def run(code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_needs_no_matplotlib_and_drawing_no_pyplot():
    code = (
        "import sys; from autobp import History, plots; print('matplotlib' in sys.modules); "
        "plots.learning_curve(History(cost=[1.0])); print('matplotlib.pyplot' in sys.modules)"
    )
    assert run(code).split() == ["False", "False"]


def test_without_matplotlib_every_picture_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: plots.learning_curve(HISTORY),
        lambda: plots.gradient_norms(HISTORY),
        lambda: plots.decision_boundary(MLP(2, [1], "sigmoid"), XOR.X, XOR.Y),
        lambda: plots.confusion_matrix(ECHO, ANSWERS, TRUTH),
    ):
        with pytest.raises(ImportError, match=r'pip install "autobp\[examples\]"'):
            draw()


def test_the_example_in_the_docstring():
    found = doctest.testmod(sys.modules["autobp.plots.plane"])
    assert found.failed == 0
    assert found.attempted


def test_predictions_are_drawn_against_what_was_measured_in_its_own_units():
    net = MLP(1, [1], "linear", weights=[[[2.0]]], biases=[[1.0]])
    X, Y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 2.5, 5.5])
    figure = plots.predicted_against_measured(net, X, Y, offset=100.0, scale=10.0, target="height")
    (axes,) = figure.axes
    diagonal, points = axes.lines
    assert points.get_xdata().tolist() == [110.0, 125.0, 155.0]  # y·10 + 100
    assert points.get_ydata().tolist() == [110.0, 130.0, 150.0]  # (2x + 1)·10 + 100
    assert diagonal.get_xdata().tolist() == diagonal.get_ydata().tolist()
    assert axes.get_xlim() == axes.get_ylim()
    explained = 1 - 0.5 / ((Y - Y.mean()) ** 2).sum()
    assert axes.get_title() == f"3 samples: R² {explained:.3f}, RMSE {10 * (0.5 / 3) ** 0.5:.4g}"
    assert axes.get_xlabel() == "height, measured"
    with pytest.raises(ValueError, match="targets that vary; got 3 equal ones"):
        plots.predicted_against_measured(net, X, [0.1, 0.1, 0.1])


def test_several_quantities_have_a_panel_each():
    net = MLP(1, [2], "linear", weights=[[[2.0], [-1.0]]], biases=[[1.0, 0.0]])
    X, Y = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0, 0.0], [2.5, -1.0], [5.5, -2.5]])
    units = {"offset": [100.0, 0], "scale": [10.0, 2]}
    figure = plots.predicted_against_measured(net, X, Y, **units, target=["a", "b"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["a, measured", "b, measured"]
    for axes, measured, predicted, error in zip(
        figure.axes, [[110, 125, 155], [0, -2, -5]], [[110, 130, 150], [0, -2, -4]],
        [10 * (0.5 / 3) ** 0.5, 2 * (0.25 / 3) ** 0.5], strict=True,
    ):  # fmt: skip
        assert axes.lines[1].get_xdata().tolist() == measured
        assert axes.lines[1].get_ydata().tolist() == predicted
        assert axes.get_title().endswith(f"RMSE {error:.4g}")
    with pytest.raises(ValueError, match="2 outputs need as many names; got 1"):
        plots.predicted_against_measured(net, X, Y, target=["a"])
