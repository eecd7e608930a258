"""Characters drawn by rule look like MNIST's to who measures them, and differ where they must."""

import numpy as np
import pytest

from lenet.data.datasets import load_dataset
from lenet.data.drawn.glyphs import DIGITS, LETTERS
from lenet.data.drawn.handwriting import draw, draw_digits
from lenet.data.drawn.pen import ink_lines, smooth
from lenet.data.drawn.strangers import draw_known, draw_scribbles, draw_strangers


def extent(inked):
    """First and last index with ink."""
    present = np.flatnonzero(inked)
    return present[0], present[-1]


@pytest.fixture(scope="module")
def digits():
    return draw_digits(2000, 1)


def test_each_digit_is_drawn_equally_often_in_random_order(digits):
    assert np.array_equal(np.bincount(digits.labels), [200] * 10)
    assert len(np.unique(digits.labels[:10])) < 10


def test_the_seed_decides_everything(digits):
    again, other = draw_digits(2000, 1), draw_digits(2000, 2)
    assert np.array_equal(digits.images, again.images)
    assert not np.array_equal(digits.images, other.images)
    assert len({image.tobytes() for image in digits.images}) == 2000


def test_a_drawn_digit_fills_mnists_box_with_its_mass_in_mnists_place(digits):
    images = digits.images.astype(float)
    mass = images.sum((1, 2))
    rows = images.sum(2) @ np.arange(28) / mass
    columns = images.sum(1) @ np.arange(28) / mass
    assert abs(np.median(rows) - 14) < 0.2  # MNIST's are at 14.0, counted from the first pixel's 0
    assert abs(np.median(columns) - 14) < 0.2
    assert np.abs(rows - 14).max() < 2.5
    for image in images[:300] >= 64:
        (top, bottom), (left, right) = extent(image.any(1)), extent(image.any(0))
        assert 17 <= max(bottom - top, right - left) + 1 <= 22


def test_a_network_that_knows_mnist_reads_most_of_them():
    from lenet.classifier import Classifier

    drawn = draw_digits(300, 3)
    reader = Classifier.load("mnist")
    read = [int(one.label) for one in reader.predict_ink(drawn.images)]
    assert np.mean(read == drawn.labels) > 0.9


@pytest.mark.parametrize("glyphs", [DIGITS, LETTERS])
def test_the_extremes_of_a_form_have_the_same_strokes_and_corners(glyphs):
    for name, forms in glyphs.items():
        for form in forms:
            shapes = {
                tuple((len(stroke.split()), stroke.count("!")) for stroke in drawing.split("/"))
                for drawing in form
            }
            assert len(shapes) == 1, (name, form)


def test_a_flag_is_drawn_up_to_the_top_of_the_stem():
    plain = draw({"1": (("30,0 30,50 30,100",),)}, np.zeros(50, np.int64), np.random.default_rng(0))
    flagged = draw(
        {"1": (("-4,44 30,0! 30,100",),)}, np.zeros(50, np.int64), np.random.default_rng(0)
    )
    for images, widest in ((plain, 14), (flagged, 20)):
        widths = [np.ptp(np.flatnonzero((image > 64).any(0))) + 1 for image in images]
        assert np.median(widths) < widest
    left = [image[:, :12].sum() / image.sum() for image in flagged]
    assert np.median(left) > 0.1


def test_a_line_goes_through_its_points_and_turns_at_once_only_at_corners():
    points = np.array([[0.0, 0.0], [30.0, 0.0], [30.0, 30.0]])
    round_, sharp = (smooth(points, (False, corner, False)) @ points for corner in (False, True))
    for line in (round_, sharp):
        assert np.abs(line[0] - points[0]).max() < 1e-12
        assert np.abs(line[-1] - points[-1]).max() < 1e-12
        assert np.abs(line - points[1]).sum(1).min() < 1e-12
    turns = []
    for line in (round_, sharp):
        step = np.diff(line, axis=0)
        angle = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        turns.append(np.degrees(np.abs(np.diff(angle)).max()))
    assert turns[0] < 30
    assert abs(turns[1] - 90) < 1e-6


def test_a_pen_leaves_ink_along_its_line_and_nowhere_else():
    line = np.array([[[x, 0.0] for x in np.linspace(0, 1, 60)]], np.float32)
    for seed in range(20):
        image = ink_lines(line, np.zeros(60, np.intp), np.random.default_rng(seed))[0]
        rows = np.flatnonzero(image.any(1))
        assert 1 <= len(rows) <= 10
        assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))


def test_strangers_are_never_characters_that_are_classes():
    images = draw_strangers(400, "0123456789", 1)
    assert images.shape == (400, 28, 28)
    assert np.array_equal(images, draw_strangers(400, "0123456789", 1))
    # With letters for classes, digits are strangers: a network that knows digits then sees more.
    from lenet.classifier import Classifier

    reader = Classifier.load("mnist")
    known = [
        np.mean([one.known for one in reader.predict_ink(draw_strangers(400, names, 1)[:200])])
        for names in ("0123456789", [*LETTERS])
    ]
    assert known[0] < 0.2 < 0.9 < known[1]


def test_what_a_class_is_named_after_can_be_drawn_as_known():
    assert draw_known(30, ("1", "7"), 0).shape == (30, 28, 28)
    assert draw_known(30, ("bolt", "nut"), 0).shape == (0, 28, 28)


def test_scribbles_are_full_of_line():
    inked = (draw_scribbles(64, np.random.default_rng(0)) > 64).mean((1, 2))
    assert inked.min() > 0.05
    assert inked.mean() > 0.15


def test_drawn_digits_are_added_to_what_is_learnt_from_and_chosen_by_and_never_to_the_test(mnist):
    plain, both = mnist, load_dataset("mnist+drawn")
    n = len(plain.train)
    assert len(both.train) == n + 40_000
    assert np.array_equal(both.train.images[:n], plain.train.images)
    assert len(both.validation) == len(plain.validation) + 5_000
    assert np.array_equal(both.validation.images[: len(plain.validation)], plain.validation.images)
    parts = [{image.tobytes() for image in part.images} for part in (both.train, both.validation)]
    assert not parts[0] & parts[1]
    assert np.array_equal(both.test.images, plain.test.images)
    assert both.sha256 != plain.sha256
    assert both.sha256 == load_dataset("mnist+drawn", seed=1).sha256
