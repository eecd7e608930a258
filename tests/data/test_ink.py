"""Any grey comes out as ink, made as the training images were."""

import numpy as np
import pytest
from drawings import SEVEN, TWO, cropped_ink, difference, drawing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from lenet.data.digits import enlarge
from lenet.data.ink import to_ink
from lenet.data.pictures import read_picture
from lenet.data.preprocessing import PREPARATIONS
from lenet.errors import PictureError


def names(ink):
    return [doubt.name for doubt in ink.doubts]


def box(ink):
    rows, columns = np.flatnonzero((ink > 40).any(1)), np.flatnonzero((ink > 40).any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def centre(ink):
    """Of mass, (row, column), 0.5 in the middle of the first pixel."""
    rows, columns = np.mgrid[:28, :28] + 0.5
    return (rows * ink).sum() / ink.sum(), (columns * ink).sum() / ink.sum()


@settings(deadline=None)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)),
    st.sampled_from(PREPARATIONS),
)
def test_random_greys_become_ink(grey, preparation):
    before = grey.copy()
    result = to_ink(grey, preparation)
    assert result.ink.shape == (28, 28)
    assert result.ink.dtype == np.uint8
    assert np.array_equal(grey, before)
    if result.box is not None:
        top, left, bottom, right = result.box
        assert 0 <= top < bottom <= grey.shape[0]
        assert 0 <= left < right <= grey.shape[1]


@pytest.mark.parametrize("preparation", PREPARATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (2, 500), (28, 28), (600, 3)])
def test_odd_shapes_become_ink(preparation, shape):
    rng = np.random.default_rng(0)
    for grey in (np.zeros(shape, np.uint8), rng.integers(0, 256, shape, dtype=np.uint8)):
        assert to_ink(grey, preparation).ink.shape == (28, 28)


@pytest.mark.parametrize(
    "grey", [np.zeros((3, 3)), np.zeros(9, np.uint8), np.zeros((0, 3), np.uint8)]
)
def test_ink_needs_grey(grey):
    with pytest.raises(PictureError, match="grey must be"):
        to_ink(grey, "digit")


def test_an_unknown_preparation_says_which_there_are():
    with pytest.raises(PictureError, match="digit, garment, plain"):
        to_ink(np.zeros((3, 3), np.uint8), "letter")


# Digits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [SEVEN, TWO])
@pytest.mark.parametrize("pen", [2, 5, 9, 14])
def test_a_digit_follows_mnists_recipe(points, pen):
    result = to_ink(np.asarray(drawing(points=points, pen=pen)), "digit")
    assert max(box(result.ink)) in (19, 20, 21)
    assert centre(result.ink) == pytest.approx((14.5, 14.5), abs=0.6)
    assert result.ink.max() > 240
    assert (result.ink == 0).mean() > 0.5
    assert result.doubts == ()


def test_the_aspect_is_kept():
    wide = to_ink(np.asarray(drawing(points=((0, 0), (1.4, 0.3)), pen=4)), "digit").ink
    height, width = box(wide)
    assert 19 <= width <= 21
    assert height <= 9


def test_any_pen_gives_mnists_stroke():
    bar = ((0.5, 0.0), (0.5, 1.0))
    greys = [np.asarray(drawing(points=bar, pen=pen)) for pen in (1, 2, 4, 8, 12)]
    # A bar of 20 pixels: as wide as its ink, laid out in rows.
    widths = [to_ink(grey, "digit").ink.sum() / 255 / 20 for grey in greys]
    assert all(2.1 <= width <= 2.9 for width in widths)  # the quartiles of MNIST's strokes
    cropped = [cropped_ink(grey).sum() / 255 / 20 for grey in greys]
    assert max(cropped) / min(cropped) > 3


def test_where_how_large_and_which_way_round_does_not_matter():
    reference = to_ink(np.asarray(drawing(points=TWO)), "digit").ink
    moved = drawing(points=TWO, at=(95, 50))
    larger = drawing((960, 720), TWO, pen=48, at=(300, 180), extent=360)
    inverted = drawing(points=TWO, ink=235, paper=20)
    for other in (moved, larger, inverted):
        assert difference(to_ink(np.asarray(other), "digit").ink, reference) < 4


def test_uneven_light_does_not_matter():
    grey = np.asarray(drawing((400, 300), TWO, pen=14, at=(150, 80), extent=150)).astype(float)
    reference = to_ink(grey.astype(np.uint8), "digit").ink
    slope = np.linspace(1, 0.3, 400)[None, :] * np.linspace(1, 0.7, 300)[:, None]
    shadow = np.where(np.arange(400) < 220, 1.0, 0.55)[None, :]
    for light in (slope, shadow):
        result = to_ink((grey * light).astype(np.uint8), "digit")
        assert difference(result.ink, reference) < 8


def test_noise_and_specks_do_not_matter():
    grey = np.asarray(drawing((400, 300), TWO, pen=14, at=(150, 80), extent=150)).astype(float)
    reference = to_ink(grey.astype(np.uint8), "digit").ink
    rng = np.random.default_rng(1)
    noisy = grey + rng.normal(0, 12, grey.shape)
    noisy[240:248, 300:308] = 30
    noisy[60:66, 140:146] = 60
    result = to_ink(np.clip(noisy, 0, 255).astype(np.uint8), "digit")
    assert difference(result.ink, reference) < 5
    assert result.doubts == ()


def test_a_table_edge_is_not_ink():
    grey = np.asarray(drawing((400, 300), TWO, pen=10, at=(150, 80), extent=120)).copy()
    reference = to_ink(grey, "digit").ink
    grey[:, :40] = 60
    assert difference(to_ink(grey, "digit").ink, reference) < 4


def test_a_separate_stroke_belongs_to_the_digit():
    image = drawing((160, 120), ((0.0, 0.15), (0.0, 1.0)), pen=6)
    ImageDraw.Draw(image).line((60, 28, 90, 28), fill=20, width=6)
    result = to_ink(np.asarray(image), "digit")
    assert box(result.ink)[1] > 10
    assert "several-objects" not in names(result)


def ready_digit():
    ink = np.zeros((28, 28), np.uint8)
    ink[4:24, 14] = 255
    ink[4:24, [13, 15]] = 90
    ink[4, 11:13] = 170
    ink[23, 16:18] = 130
    return ink


def test_ink_and_its_negative_come_out_as_they_are():
    ink = ready_digit()
    for grey in (ink, 255 - ink):
        result = to_ink(grey, "digit")
        assert np.array_equal(result.ink, ink)
        assert result.doubts == ()


def test_mnist_comes_out_as_it_is(mnist):
    for image in mnist.test.images[:500]:
        assert np.array_equal(to_ink(read_picture(image), "digit").ink, image)
        assert np.array_equal(to_ink(read_picture(255 - image), "digit").ink, image)


def test_mnist_drawn_large_on_a_page_comes_out_nearly_as_it_was(mnist):
    ours, cropped = [], []
    for image in mnist.test.images[:100]:
        large = Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)
        page = np.full((600, 500), 235, np.uint8)
        page[200:480, 40:320] -= np.round(np.asarray(large) * 0.85).astype(np.uint8)
        ours.append(difference(to_ink(page, "digit").ink, image))
        cropped.append(difference(cropped_ink(page), image))
    assert np.mean(ours) < 10
    assert np.mean(ours) < 0.5 * np.mean(cropped)


def test_nothing_there():
    rng = np.random.default_rng(0)
    blank = np.full((100, 100), 220, np.uint8)
    noise = np.clip(rng.normal(128, 3, (100, 100)), 0, 255).astype(np.uint8)
    for grey in (blank, noise):
        result = to_ink(grey, "digit")
        assert names(result) == ["nothing-there"]
        assert result.box is None
        assert not result.ink.any()


def test_the_ink_box_is_in_pixels_of_the_picture():
    grey = np.full((1000, 800), 230, np.uint8)
    grey[300:600, 400:440] = 20
    assert to_ink(grey, "digit").box == pytest.approx((300, 400, 600, 440), abs=4)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("too-small", drawing(extent=8, pen=1, at=(60, 50))),
        ("touching-edge", drawing(at=(50, -20))),
        ("low-contrast", drawing(ink=215, paper=235)),
        ("several-objects", Image.fromarray(np.hstack([np.asarray(drawing())] * 2))),
    ],
)
def test_each_doubt_is_named_and_said(name, image):
    doubts = to_ink(np.asarray(image), "digit").doubts
    assert [doubt.name for doubt in doubts] == [name]
    assert doubts[0].sentence.endswith(".")


def boxed(line):
    image = drawing((320, 240), TWO, pen=14, at=(100, 60), extent=120)
    ImageDraw.Draw(image).rectangle((20, 15, 300, 225), outline=20, width=line)
    return np.asarray(image)


def on_a_desk(level):
    desk = np.full((500, 600), level, np.uint8)
    desk[120:360, 150:470] = np.asarray(drawing((320, 240), TWO, pen=14, at=(100, 60), extent=120))
    return desk


@pytest.mark.parametrize(
    ("name", "grey"),
    [
        ("inverted", np.asarray(drawing((320, 240), TWO, 14, (100, 60), 120, ink=235, paper=20))),
        ("lines-removed", boxed(4)),
        ("cut-to-sheet", on_a_desk(90)),
    ],
)
def test_each_note_is_named_and_said_and_the_ink_is_the_same(name, grey):
    result = to_ink(grey, "digit")
    assert [note.name for note in result.notes] == [name]
    assert result.notes[0].sentence.endswith(".")
    assert result.doubts == ()
    plain = drawing((320, 240), TWO, pen=14, at=(100, 60), extent=120)
    assert difference(result.ink, to_ink(np.asarray(plain), "digit").ink) < 4


def test_the_box_is_in_pixels_of_the_picture_although_a_desk_was_cut_away():
    plain = drawing((320, 240), TWO, pen=14, at=(100, 60), extent=120)
    top, left, bottom, right = to_ink(np.asarray(plain), "digit").box
    moved = top + 120, left + 150, bottom + 120, right + 150
    assert to_ink(on_a_desk(90), "digit").box == pytest.approx(moved, abs=4)


def test_a_tight_crop_is_no_reason_to_doubt():
    grey = np.asarray(drawing((320, 240), TWO, pen=30, at=(100, 60), extent=120))
    tight = grey[45:196, 85:200]
    assert to_ink(tight, "digit").doubts == ()


def test_a_picture_of_eight_pixels_follows_the_recipe_of_scikit_learns_digits():
    small = np.zeros((8, 8))
    small[1:7, 3:5] = 16
    small[1, 2:5] = 12
    expected = enlarge(small[None])[0]
    for grey in (255 - small * 15, small * 15):
        assert difference(to_ink(grey.astype(np.uint8), "digit").ink, expected) < 2
    assert names(to_ink(np.full((8, 8), 90, np.uint8), "digit")) == ["nothing-there"]


@pytest.mark.parametrize("side", [64, 97, 400])
@pytest.mark.parametrize("kernel", ["NEAREST", "BILINEAR", "BICUBIC", "LANCZOS"])
def test_a_picture_of_eight_pixels_is_known_however_it_was_enlarged(side, kernel):
    small = np.full((8, 8), 240, np.uint8)
    small[1:7, 3:5], small[1, 2:5], small[6, 2:6] = 20, 90, 60
    image = Image.fromarray(small).resize((side, side), Image.Resampling[kernel])
    seen = to_ink(np.asarray(image), "digit")
    assert difference(seen.ink, to_ink(small, "digit").ink) < 3
    assert names(seen) == ["too-small"]


# Garments and anything ----------------------------------------------------------------------------


def shirt(size=(300, 400), paper=250, cloth=90):
    image = Image.new("L", size, paper)
    draw = ImageDraw.Draw(image)
    draw.rectangle((100, 80, 199, 279), fill=cloth)
    draw.rectangle((80, 80, 219, 120), fill=cloth)
    return image


def test_a_garment_follows_fashion_mnists_recipe():
    result = to_ink(np.asarray(shirt()), "garment")
    assert box(result.ink) == (28, 20)
    columns = np.flatnonzero(result.ink.any(0))
    assert columns[0] == 27 - columns[-1]
    assert result.ink[14, 14] == pytest.approx(255 * (1 - 90 / 250), abs=4)
    assert result.ink[0, 0] == 0
    assert result.doubts == ()


def test_a_light_garment_on_dark_is_taken_as_it_is():
    result = to_ink(np.asarray(shirt(paper=0, cloth=165)), "garment")
    assert box(result.ink) == (28, 20)
    assert result.ink[14, 14] == pytest.approx(165, abs=4)
    assert result.doubts == ()
    assert [note.name for note in result.notes] == ["inverted"]


def test_a_shaded_background_is_taken_away():
    light = np.linspace(1, 0.8, 300)[None, :]
    result = to_ink((np.asarray(shirt()) * light).astype(np.uint8), "garment")
    assert box(result.ink) == (28, 20)
    assert "nothing-there" in names(to_ink(np.full((50, 50), 200, np.uint8), "garment"))


def test_fashion_mnist_comes_out_as_it_is(fashion):
    for image in fashion.test.images[:300]:
        result = to_ink(read_picture(image), "garment")
        # A few bags fill the whole border; to them the rule for photos applies.
        if np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])) < 128:
            assert np.array_equal(result.ink, image)


def test_plain_keeps_the_whole_picture():
    grey = np.full((40, 20), 255, np.uint8)
    grey[:20, 5:15] = 55
    ink = to_ink(grey, "plain").ink
    assert abs(ink[1:13, 12:16].astype(int) - 200).max() <= 2
    assert not ink[16:].any()
    assert not ink[:, :7].any()
    assert np.array_equal(to_ink(255 - grey, "plain").ink, ink)


def test_plain_leaves_small_ink_as_it_is():
    rng = np.random.default_rng(0)
    ink = rng.integers(0, 256, (28, 28), dtype=np.uint8)
    ink[[0, -1]] = ink[:, [0, -1]] = 0
    assert np.array_equal(to_ink(ink, "plain").ink, ink)
