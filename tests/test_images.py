"""Weights as images, where a network's inputs are pixels."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from test_drawing import without_graphviz

from autobp import MLP, Value, datasets, draw
from autobp.drawing.images import pixel_shape, stretches
from autobp.drawing.style import THEMES

SVG = "{http://www.w3.org/2000/svg}"


def images_in(svg):
    """For each image of an SVG of our own its columns by row: colour, left, width."""
    root = ElementTree.fromstring(svg)
    found = {}
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "image":
            *pixels, border = group.findall(f"{SVG}rect")
            found[group.get("id")] = (pixels, border)
    return found


def signs(pixels, border, shape):
    """The sign that each pixel's colour tells."""
    theme, table = THEMES["light"], np.zeros(shape)
    left, top, width = (float(border.get(key)) for key in ("x", "y", "width"))
    side = width / shape[1]
    blue, orange = (
        [int(tone[k : k + 2], 16) for k in (1, 3, 5)] for tone in (theme.positive, theme.negative)
    )
    for pixel in pixels:
        colour = [int(pixel.get("fill")[k : k + 2], 16) for k in (1, 3, 5)]
        row = round((float(pixel.get("y")) - top) / side)
        first = round((float(pixel.get("x")) - left) / side)
        n = round(float(pixel.get("width")) / side)
        nearer = np.subtract(colour, 255) @ np.subtract(blue, orange)
        table[row, first : first + n] = np.sign(nearer) if colour != [255, 255, 255] else 0
    return table


def test_each_neuron_of_the_first_layer_has_its_weights_as_an_image(monkeypatch):
    W = np.random.default_rng(0).normal(size=(3, 64))
    W[1, :40] = 0.0
    net = MLP(64, [3, 2], "tanh", weights=[W, np.ones((2, 3))])
    without_graphviz(monkeypatch)
    drawn = draw(net)
    found = images_in(drawn.pipe(encoding="utf-8"))
    assert list(found) == ["image1_1", "image1_2", "image1_3"]
    strongest = np.abs(W).max()
    for j, (pixels, border) in enumerate(found.values()):
        shown = np.where(np.sqrt(np.abs(W[j]) / strongest) < 1 / 16, 0, np.sign(W[j])).reshape(8, 8)
        assert np.array_equal(signs(pixels, border, (8, 8)), shown)
    assert f"images: of at most {strongest:.3g}" in drawn.source
    assert "u0_" not in drawn.source


def test_a_sample_is_an_image_too():
    net = MLP(64, [3], "tanh", seed=0)
    x = np.where(np.arange(64) % 3 == 0, 1.0, 0.0)
    drawn = draw(net, trace=net.trace(x.tolist()))
    pixels, border = images_in(drawn.svg())["image0"]
    assert np.array_equal(signs(pixels, border, (8, 8)), x.reshape(8, 8))


@pytest.mark.parametrize("direction", ["LR", "TB", "RL", "BT"])
def test_images_stand_apart_and_inside_the_picture(direction):
    pytest.importorskip("pygraphviz")
    net = MLP(784, [12, 3], "tanh", seed=0)
    drawn = draw(net, trace=net.trace([0.5] * 784), direction=direction)
    root = ElementTree.fromstring(drawn.svg())
    left, top, width, height = map(float, root.get("viewBox").split())
    frames = []
    for _, border in images_in(drawn.svg()).values():
        x, y, w, h = (float(border.get(key)) for key in ("x", "y", "width", "height"))
        assert left <= x
        assert x + w <= left + width
        assert top <= y
        assert y + h <= top + height
        frames.append((x, y, w, h))
    circles = [tuple(float(c.get(k)) for k in ("cx", "cy", "r")) for c in root.iter(f"{SVG}circle")]
    frames += [(x - r, y - r, 2 * r, 2 * r) for x, y, r in circles]
    for i, (x, y, w, h) in enumerate(frames):
        assert not any(
            x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h for x2, y2, w2, h2 in frames[:i]
        )
    assert b"polygon" in drawn.pipe(format="svg")


def test_what_tells_the_shape_of_pictures():
    digits = datasets.load("digits").names
    assert pixel_shape(64, digits, None) == (8, 8)
    assert pixel_shape(64, [f"x{k}" for k in range(64)], None) is None
    assert pixel_shape(64, (), None) == (8, 8)
    assert pixel_shape(784, (), None) == (28, 28)
    assert pixel_shape(100, (), ()) is None
    assert pixel_shape(60, (), None) is None
    assert pixel_shape(49, (), None) is None
    assert pixel_shape(12, (), (3, 4)) == (3, 4)
    for wrong in [(3, 5), (12,), (-3, -4), (2, 2, 3)]:
        with pytest.raises(ValueError, match=re.escape(f"12 inputs, or (); got {wrong!r}")):
            draw(MLP(12, [2]), pixels=wrong)
    with pytest.raises(ValueError, match="pixels= are for the picture of a network"):
        draw(Value(1.0) * 2.0, pixels=(1, 1))
    assert "image1_1" in draw(MLP(12, [2], seed=0), pixels=(3, 4)).source
    assert "image1_1" not in draw(MLP(64, [2], seed=0), pixels=()).source


def test_stretches_of_one_colour():
    assert stretches(["a", "a", "b", "a"]) == [("a", 0, 2), ("b", 2, 1), ("a", 3, 1)]
    assert stretches([]) == []
