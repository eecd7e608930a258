"""Any picture comes out as ink or as one clear error."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from lenet.data.pictures import (
    FORMATS,
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    read_picture,
    to_ink,
)
from lenet.data.preprocessing import PREPARATIONS
from lenet.errors import PictureError

SEVEN = ((0.1, 0.0), (0.9, 0.0), (0.4, 1.0))
TWO = ((0.0, 0.2), (0.3, 0.0), (0.8, 0.1), (0.8, 0.4), (0.0, 1.0), (1.0, 1.0))


def drawing(size=(160, 120), points=SEVEN, pen=8, at=(50, 30), extent=60, ink=20, paper=235):
    """A polyline in grey, drawn four times too large and averaged."""
    big = Image.new("L", (size[0] * 4, size[1] * 4), paper)
    path = [((at[0] + x * extent * 0.7) * 4, (at[1] + y * extent) * 4) for x, y in points]
    draw = ImageDraw.Draw(big)
    draw.line(path, fill=ink, width=pen * 4, joint="curve")
    for x, y in path:
        reach = pen * 2
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=ink)
    return big.reduce(4)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def names(ink):
    return [doubt.name for doubt in ink.doubts]


def box(ink):
    rows, columns = np.flatnonzero((ink > 40).any(1)), np.flatnonzero((ink > 40).any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def centre(ink):
    """Of mass, (row, column), 0.5 in the middle of the first pixel."""
    rows, columns = np.mgrid[:28, :28] + 0.5
    return (rows * ink).sum() / ink.sum(), (columns * ink).sum() / ink.sum()


def difference(a, b):
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_reads_from_bytes_and_from_a_file(form, tmp_path):
    image = drawing()
    data = encoded(image, form)
    path = tmp_path / "picture"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        assert difference(read_picture(source), np.asarray(image)) < 6


def in_mode(grey, mode):
    match mode:
        case "LAB":
            flat = Image.new("L", grey.size, 128)
            return Image.merge("LAB", (grey, flat, flat))
        case "I;16" | "I;16L" | "I;16B":
            deep = np.asarray(grey) * np.uint16(257)
            data = deep.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
            return Image.frombytes(mode, grey.size, data)
        case "PA" | "La":
            return grey.convert("LA").convert(mode)
        case "RGBa":
            return grey.convert("RGBA").convert(mode)
        case "HSV" | "YCbCr" | "CMYK":
            return grey.convert("RGB").convert(mode)
    return grey.convert(mode)


MODES = "L P LA PA RGB RGBA RGBX RGBa La CMYK YCbCr LAB HSV I F I;16 I;16L I;16B"


@pytest.mark.parametrize("mode", MODES.split())
def test_every_mode_is_the_same_grey(mode):
    grey = drawing()
    image = in_mode(grey, mode)
    assert image.mode == mode
    assert difference(read_picture(image), np.asarray(grey)) < 2


def test_one_bit_is_black_and_white():
    grey = np.asarray(drawing())
    image = Image.fromarray(grey > 128)
    assert image.mode == "1"
    assert np.array_equal(read_picture(image), np.where(grey > 128, 255, 0))


def test_deep_grey_is_scaled_by_its_bits():
    grey = np.asarray(drawing()).astype(np.uint16)
    for bits in (8, 10, 12, 14, 16):
        top = 2**bits - 1
        deep = np.round(grey / 255 * top).astype(np.uint16)
        deep[0, 0] = top
        assert difference(read_picture(deep), grey) < 1
        assert difference(read_picture(encoded(Image.fromarray(deep), "PNG")), grey) < 1
    assert (
        difference(read_picture(encoded(Image.fromarray(grey / np.float32(255)), "TIFF")), grey) < 1
    )


def test_arrays_of_every_kind_agree():
    grey = np.asarray(drawing())
    rgb = np.stack([grey] * 3, -1)
    opaque = np.full_like(grey, 255)
    for array in (
        grey[:, :, None],
        rgb,
        np.dstack([rgb, opaque]),
        np.dstack([grey, opaque]),
        grey.astype(np.int64),
        grey.astype(np.float64) / 255,
        grey.astype(np.float16) / 255,
        np.asfortranarray(grey),
        np.repeat(grey, 2, 1)[:, ::2],
    ):
        assert difference(read_picture(array), grey) < 0.2
    black = grey < 128
    assert np.array_equal(read_picture(~black), np.where(black, 0, 255))


def test_an_array_is_not_changed_and_not_shared():
    grey = np.asarray(drawing()).copy()
    before = grey.copy()
    result = read_picture(grey)
    result[:] = 0
    assert np.array_equal(grey, before)


def test_transparency_is_laid_on_white():
    ink = 255 - np.asarray(drawing(ink=0, paper=255))
    canvas = np.zeros((*ink.shape, 4), np.uint8)
    canvas[:, :, 3] = ink  # black on nothing, as a drawing canvas gives it
    assert np.array_equal(read_picture(canvas), 255 - ink)
    palette = Image.fromarray((ink > 128).astype(np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 0])
    data = encoded(palette, "PNG", transparency=0)
    assert np.array_equal(read_picture(data), np.where(ink > 128, 0, 255))


def test_white_ink_on_nothing_is_still_seen():
    ink = 255 - np.asarray(drawing(ink=0, paper=255))
    canvas = np.full((*ink.shape, 4), 255, np.uint8)
    canvas[:, :, 3] = ink
    assert np.array_equal(read_picture(canvas), ink)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_applied(orientation, form):
    upright = drawing()
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, form, exif=exif)
    for source in (data, Image.open(io.BytesIO(data))):
        assert difference(read_picture(source), np.asarray(upright)) < 6


def test_only_the_first_frame_is_read():
    first, second = drawing(), drawing(points=TWO)
    for form in ("GIF", "TIFF", "WEBP", "PNG"):
        data = encoded(first, form, save_all=True, append_images=[second])
        assert difference(read_picture(data), np.asarray(first)) < 6


def test_the_users_image_stays_as_it_was():
    image = Image.open(io.BytesIO(encoded(drawing((3000, 2400)), "JPEG")))
    grey = read_picture(image)
    assert max(grey.shape) <= MAX_SIDE
    assert image.size == (3000, 2400)
    image.load()  # still open


def test_a_large_picture_is_made_smaller():
    image = drawing((3000, 2400), pen=150, at=(900, 500), extent=1200)
    whole = to_ink(read_picture(drawing((300, 240), pen=15, at=(90, 50), extent=120)), "digit")
    for form in ("JPEG", "PNG"):
        grey = read_picture(encoded(image, form))
        assert max(grey.shape) <= MAX_SIDE
        assert difference(to_ink(grey, "digit").ink, whole.ink) < 4


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + b"\0" * 4


@pytest.mark.parametrize("size", [(9_000, 9_000), (12_000, 12_000), (60_000, 60_000)])
def test_a_huge_picture_is_refused_before_it_is_decoded(size):
    assert size[0] * size[1] > MAX_PIXELS
    with pytest.raises(PictureError, match="million pixels"):
        read_picture(png_header(*size))


def test_a_huge_open_image_and_array_are_refused():
    lazy = Image.open(io.BytesIO(png_header(8100, 8100)))
    with pytest.raises(PictureError, match="8100 × 8100"):
        read_picture(lazy)
    with pytest.raises(PictureError, match="million pixels"):
        read_picture(np.broadcast_to(np.uint8(0), (9000, 9000)))


def test_a_file_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / "long.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PictureError, match="64 MiB"):
        read_picture(path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_that_is_cut_short_is_one_error(form):
    data = encoded(drawing(), form)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(PictureError):
            read_picture(data[: int(len(data) * share)])


def test_what_is_no_picture_says_so(tmp_path):
    missing = tmp_path / "missing.png"
    with pytest.raises(PictureError, match=r"missing\.png: no such file"):
        read_picture(missing)
    with pytest.raises(PictureError, match="a folder"):
        read_picture(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match="empty"):
        read_picture(tmp_path / "empty.png")
    (tmp_path / "note.png").write_text("not a picture")
    with pytest.raises(PictureError, match="must be one of PNG, JPEG"):
        read_picture(tmp_path / "note.png")
    with pytest.raises(PictureError):
        read_picture("a\0name.png")
    with pytest.raises(PictureError, match="got NoneType"):
        read_picture(None)


def test_a_format_that_is_not_listed_is_refused():
    assert Image.open(io.BytesIO(encoded(drawing(), "TGA"))).format == "TGA"
    for form in ("TGA", "ICO", "PDF", "EPS"):
        with pytest.raises(PictureError, match="must be one of"):
            read_picture(encoded(drawing(), form))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError, match="not a file"):
        read_picture(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((0, 5), np.uint8), "no pixels"),
        (np.zeros(784, np.uint8), "got \\(784,\\)"),
        (np.zeros((1, 28, 28), np.uint8), "got \\(1, 28, 28\\)"),
        (np.full((4, 4), np.nan), "nan"),
        (np.full((4, 4), 200.0), "0 \\(black\\) to 1"),
        (np.full((4, 4), -3), "-3"),
        (np.full((4, 4), 300), "300"),
        (np.full((4, 4), "a"), "<U1"),
        (np.full((4, 4), 1j), "complex"),
        (np.full((4, 4), None), "object"),
    ],
)
def test_an_array_that_is_no_picture_says_why(array, says):
    with pytest.raises(PictureError, match=says):
        read_picture(array)


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_else(data):
    with pytest.raises(PictureError):
        read_picture(data)


SAMPLES = [encoded(drawing((40, 30), at=(10, 5), extent=20, pen=3), form) for form in FORMATS]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_pictures_raise_nothing_else(data):
    damaged = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 6))):
        # Headers are where the traps are.
        place = data.draw(st.one_of(st.integers(0, 60), st.integers(0, len(damaged) - 1)))
        damaged[min(place, len(damaged) - 1)] = data.draw(st.integers(0, 255))
    try:
        grey = read_picture(bytes(damaged))
    except PictureError:
        return
    assert grey.dtype == np.uint8
    assert grey.size


@settings(deadline=None)
@given(
    hnp.arrays(
        st.one_of(
            hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
            hnp.boolean_dtypes(), hnp.complex_number_dtypes(),
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)  # fmt: skip
def test_random_arrays_raise_nothing_else(array):
    try:
        grey = read_picture(array)
    except PictureError:
        return
    assert grey.shape == array.shape[:2]
    assert grey.dtype == np.uint8


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
    widths = [
        box(to_ink(np.asarray(drawing(points=bar, pen=pen)), "digit").ink)[1]
        for pen in (1, 4, 8, 12)
    ]
    assert all(2 <= width <= 5 for width in widths)


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


def test_enlarged_mnist_comes_out_nearly_as_it_was(mnist):
    differences = []
    for image in mnist.test.images[:100]:
        large = Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)
        differences.append(difference(to_ink(np.asarray(large), "digit").ink, image))
    assert np.mean(differences) < 12


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
        ("inverted", drawing(ink=230, paper=30)),
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
    assert names(result) == ["inverted"]


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
