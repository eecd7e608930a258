"""The digits that come with scikit-learn, enlarged as MNIST was made."""

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from lenet.data.digits import enlarge, load_digits


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def extent(inked):
    """First and last index with ink."""
    present = np.flatnonzero(inked)
    return present[0], present[-1]


def test_digits_are_scikit_learns_enlarged_as_pillow_enlarges(digits):
    # Pillow's bicubic filter is the same cubic convolution, computed independently.
    small, labels = datasets.load_digits(return_X_y=True)
    assert np.array_equal(digits.labels, labels)
    pad = 10
    for i in range(0, len(small), 60):
        picture = Image.fromarray(np.pad(small[i].reshape(8, 8), pad).astype(np.float32))
        fine = np.asarray(picture.resize((8 * picture.width,) * 2, Image.Resampling.BICUBIC)) >= 8
        (top, bottom), (left, right) = extent(fine.any(1)), extent(fine.any(0))
        step = max(bottom + 1 - top, right + 1 - left) / 8 / 20
        weights = small[i].reshape(8, 8) / small[i].sum()
        row = weights.sum(1) @ np.arange(8) + pad + 0.5
        column = weights.sum(0) @ np.arange(8) + pad + 0.5
        box = (column - 14 * step, row - 14 * step, column + 14 * step, row + 14 * step)
        expected = picture.resize((28, 28), Image.Resampling.BICUBIC, box=box)
        expected = np.clip(np.asarray(expected) * 255 / 16, 0, 255)
        assert np.abs(digits.images[i] - expected).max() < 1


def test_digits_follow_mnists_recipe(digits):
    images = digits.images.astype(float)
    mass = images.sum((1, 2))
    positions = np.arange(28)
    rows = images.sum(2) @ positions / mass
    columns = images.sum(1) @ positions / mass
    assert np.abs(rows - 13.5).max() < 0.5
    assert np.abs(columns - 13.5).max() < 0.5
    for image in digits.images >= 128:
        (top, bottom), (left, right) = extent(image.any(1)), extent(image.any(0))
        assert 19 <= max(bottom - top, right - left) + 1 <= 21
    assert digits.images.max() == 255
    assert digits.images.max((1, 2)).min() > 200


def test_digits_agree_with_mnists_recipe_on_a_square():
    small = np.zeros((1, 8, 8))
    small[0, 2:7, 1:6] = 16  # off centre
    large = enlarge(small)[0]
    assert np.array_equal(large, large[::-1])
    assert np.array_equal(large, large[:, ::-1])
    assert np.array_equal(np.flatnonzero((large >= 128).any(0)), np.arange(4, 24))


def test_digits_are_the_same_by_scikit_learns_own_reader(digits, monkeypatch):
    monkeypatch.setattr("lenet.data.digits._FILE", "moved elsewhere")
    assert np.array_equal(load_digits().images, digits.images)
    assert np.array_equal(load_digits().labels, digits.labels)
