"""Shapes in pictures are what `scipy.ndimage` says they are."""

import numpy as np
import pytest
from scipy import ndimage

from lenet.data import morphology

SHAPES = [(1, 1), (1, 9), (9, 1), (5, 8), (40, 31)]
EIGHT = np.ones((3, 3))


def random_mask(shape, share=0.5):
    return np.random.default_rng(sum(shape)).random(shape) < share


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [1, 3, 5, 11])
def test_extremes_of_a_window(shape, window):
    levels = np.random.default_rng(0).random(shape)
    largest = ndimage.maximum_filter(levels, (window, 3), mode="nearest")
    assert np.array_equal(morphology.dilated(levels, window, 3), largest)
    smallest = ndimage.minimum_filter(levels, (window, 3), mode="nearest")
    assert np.array_equal(morphology.eroded(levels, window, 3), smallest)
    mask = levels > 0.5
    assert np.array_equal(morphology.eroded(mask, window, 3), smallest > 0.5)


def test_closing_and_opening():
    levels = np.random.default_rng(0).random((40, 31))
    closed = ndimage.grey_closing(levels, (5, 7), mode="nearest")
    assert np.array_equal(morphology.closed(levels, 5, 7), closed)
    opened = ndimage.grey_opening(levels, (5, 7), mode="nearest")
    assert np.array_equal(morphology.opened(levels, 5, 7), opened)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 3.0])
def test_blur(sigma):
    levels = np.random.default_rng(0).random((30, 20)).astype(np.float32)
    expected = ndimage.gaussian_filter(levels, sigma, mode="nearest")
    assert morphology.blurred(levels, sigma) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_distance(share):
    inside = random_mask((40, 31), share)
    exact = ndimage.distance_transform_edt(inside)
    assert morphology.distance_inside(inside) == pytest.approx(exact, abs=1e-4)
    near = exact <= 2
    assert morphology.distance_inside(inside, 2)[near] == pytest.approx(exact[near], abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
def test_pieces(shape, share):
    mask = random_mask(shape, share)
    labels, count = ndimage.label(mask, EIGHT)
    pieces = morphology.find_pieces(mask)
    assert pieces.count == count
    for piece in range(count):
        one = pieces.mask(np.arange(count) == piece)
        label = labels[one][0]
        assert np.array_equal(one, labels == label)
        assert pieces.areas[piece] == one.sum()
        assert tuple(pieces.boxes[piece]) == morphology.box_of(one)
    few = random_mask(shape, 0.1)
    touched = {labels[row, column] for row, column in np.argwhere(few & mask)}
    assert pieces.touching(few).sum() == len(touched)


def test_stroke_width():
    mask = np.zeros((60, 200), bool)
    mask[20:30, 10:190] = True
    assert morphology.stroke_width(mask) == pytest.approx(10 * 4 / np.pi, rel=0.1)
    assert morphology.stroke_width(np.zeros((5, 5), bool)) == 0
