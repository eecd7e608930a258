"""Any picture comes out as grey or as one clear error."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from drawings import TWO, difference, drawing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from lenet.data.ink import to_ink
from lenet.data.pictures import FORMATS, MAX_BYTES, MAX_PIXELS, MAX_SIDE, read_picture
from lenet.errors import PictureError


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


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


def test_an_open_file_is_read(tmp_path):
    path = tmp_path / "one.png"
    Image.new("L", (9, 7), 100).save(path)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_picture(file), read_picture(path))
    with pytest.raises(PictureError, match="this open file cannot be read"):
        read_picture(file)
    assert read_picture(io.BytesIO(path.read_bytes())).shape == (7, 9)
    with pytest.raises(PictureError, match="this open file: empty"):
        read_picture(io.BytesIO())
    with pytest.raises(PictureError, match="must give bytes, got str; open it 'rb'"):
        read_picture(io.StringIO("text"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_integers_that_are_0_or_1_are_a_mask(dtype):
    mask = np.zeros((30, 20), dtype)
    mask[5:25, 9:12] = 1
    np.testing.assert_array_equal(read_picture(mask), read_picture(mask.astype(bool)))
    assert read_picture(mask).max() == 255


def test_colours_of_the_same_grey_are_told_apart():
    picture = np.full((60, 80, 3), (60, 160, 60), np.uint8)
    picture[20:40, 30:50] = (220, 80, 58)
    assert np.ptp(np.asarray(Image.fromarray(picture).convert("L")).astype(int)) < 10
    grey = read_picture(picture).astype(int)
    assert abs(grey[30, 40] - grey[5, 5]) > 100
    faint = np.full((60, 80, 3), (128, 130, 128), np.uint8)
    faint[20:40, 30:50] = (130, 128, 130)
    assert np.array_equal(read_picture(faint), np.asarray(Image.fromarray(faint).convert("L")))
