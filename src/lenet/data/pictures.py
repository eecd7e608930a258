"""Any picture to 28×28 ink: the only room where a photo changes.

Two steps. `read_picture` turns whatever a user has into a plain grey picture, upright and bounded.
`to_ink` rebuilds the recipe by which the training images were made, because a network that has
only seen centred light ink on black reads nothing else.
"""

import io
import os
import stat
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lenet.data.preprocessing import FULL_INK, INK_SIZE, PREPARATIONS, Preparation
from lenet.errors import PictureError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000
MAX_SIDE = 2048
"""Larger pictures are halved, or more, while they are read."""

Picture = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]
"""A file, the bytes of a file, an open image or an array."""

Levels = NDArray[np.floating[Any]]

BOX_SIZE = 20
"""A digit's ink fills this box in 28×28 (LeCun et al. 1998, Sec. III.A)."""

_CENTRE = INK_SIZE / 2 + 0.5
"""Where the centre of mass is in MNIST: its makers rounded down to whole pixels, which leaves it
between 14 and 15 (measured: 14.50 in rows and columns), not at 14."""

# How fine the working pictures are. Nothing below depends on them but speed and smoothness.
_WORK_SIDE = 400
_LIGHT_SIDE = 64
_FINE = 5
_GRID = BOX_SIZE * _FINE

# Grey levels between ink and paper. Fashion-MNIST's makers cut what is within 5 % of the corner.
_LEAST_CONTRAST = 8
_LOW_CONTRAST = 30
_GARMENT_CONTRAST = round(0.05 * 255)

_SMALL = 14  # pixels of the picture: less than the box it is to fill, by a third
_WIDEST_STROKE = 0.35  # of the picture's long side
_STROKE_LENGTH = 1.75  # of the stroke's width: shorter is a dot
_GAP = 0.15  # of the digit's size: farther apart is another object

# Strokes are brought between the median and the upper quartile of MNIST's training part, in its
# own pixels as `_stroke_width` measures them (quartiles 2.1, 2.5, 2.9). It is not critical:
# 1.6 to 2.8 and 2.9 to 4.6 read 784 to 789 of 800 photographs of training digits.
_THIN, _THICK = 2.5, 2.9


@dataclass(frozen=True)
class Doubt:
    """A reason to mistrust what the network saw.

    Parameters
    ----------
    name : str
        Stable: `inverted`, `too-small`, `touching-edge`, `nothing-there`, `low-contrast`,
        `several-objects`, and `low-margin` from the classifier.
    sentence : str
        The same for people.
    """

    name: str
    sentence: str


_SENTENCES = {
    "inverted": "The ink is lighter than the paper; it was read as light on dark.",
    "too-small": "The ink is only a few pixels high; move closer or use a larger picture.",
    "touching-edge": "The ink touches the edge of the picture; part of it may be missing.",
    "nothing-there": "Nothing stands out from the background.",
    "low-contrast": "The ink is hardly darker or lighter than the paper.",
    "several-objects": "There is more than one object; only the largest was read.",
}


def _doubt(name: str) -> Doubt:
    return Doubt(name, _SENTENCES[name])


@dataclass(frozen=True, eq=False)
class Ink:
    """What the network will see of a picture.

    Parameters
    ----------
    ink : (28, 28) uint8, paper = 0, full ink = 255
    doubts : tuple of Doubt
    box : (top, left, bottom, right) or None
        Where the ink was found, in pixels of the grey picture; None when nothing was found.
    """

    ink: NDArray[np.uint8]
    doubts: tuple[Doubt, ...] = ()
    box: tuple[int, int, int, int] | None = None


# Reading ------------------------------------------------------------------------------------------

# `warnings.catch_warnings` swaps a global list: two threads reading pictures must take turns.
_quiet = threading.Lock()


def read_picture(source: Picture) -> NDArray[np.uint8]:
    """Any picture as grey, upright, on white, at most 2048 pixels long.

    Parameters
    ----------
    source : path, bytes, PIL.Image.Image or numpy array
        A file or the bytes of one (PNG, JPEG, BMP, GIF, TIFF, WebP, PPM; the first frame); an
        image in any mode; an array (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4) of uint8,
        uint16, bool, integers 0…255 or floats 0…1, as grey, grey + alpha, RGB or RGBA.

    Returns
    -------
    grey : (H, W) uint8, black = 0, white = 255
        EXIF rotation is applied and transparency laid on white.

    Raises
    ------
    PictureError
        When there is no picture in it, or more than 64 MiB or 64 million pixels.
    """
    if isinstance(source, np.ndarray):
        return _grey(_from_array(source), "array")
    if isinstance(source, Image.Image):
        return _decode(source, "image")
    if isinstance(source, bytes):
        return _open(source, "these bytes")
    if isinstance(source, str | os.PathLike):
        return _open(_read_bytes(Path(source)), str(source))
    raise PictureError(
        f"a picture is a path, bytes, a PIL image or a numpy array, got {type(source).__name__}"
    )


def _read_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # Reading a pipe or a device might never end.
            kind = "a folder" if stat.S_ISDIR(mode) else "not a file"
            raise PictureError(f"{path}: {kind}; give the path of a picture")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:  # a null character
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{str(path)!r}: not a file name ({error})") from None


def _open(data: bytes, name: str) -> NDArray[np.uint8]:
    if len(data) > MAX_BYTES:
        raise PictureError(
            f"{name}: larger than {MAX_BYTES // 2**20} MiB; save it smaller, JPEG will do"
        )
    if not data:
        raise PictureError(f"{name}: empty")
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: {_too_many_pixels()}") from None
    except Exception:  # Pillow's plugins raise whatever a malformed header makes them stumble on.
        raise PictureError(
            f"{name}: not a picture; it must be one of {', '.join(FORMATS)}"
        ) from None
    with image:
        return _decode(image, name, ours=True)


def _decode(image: Image.Image, name: str, *, ours: bool = False) -> NDArray[np.uint8]:
    """Check the size before a pixel is decoded, decode, turn upright."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"{name}: {width} × {height} is {_too_many_pixels()}")
    if not width or not height:
        raise PictureError(f"{name}: {width} × {height} has no pixels")
    try:
        with _quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if ours:
                # JPEG decodes at 1/2, 1/4, 1/8 for nothing. Only our own image: draft changes it.
                image.draft(None, (MAX_SIDE // 2, MAX_SIDE // 2))
            image.load()
            return _grey(ImageOps.exif_transpose(image), name)
    except PictureError:
        raise
    except Exception as error:  # as above, now for malformed pixels
        raise PictureError(f"{name}: damaged or cut short ({error or 'unreadable'})") from None


def _too_many_pixels() -> str:
    return f"more than {MAX_PIXELS // 10**6} million pixels; make the picture smaller"


def _from_array(array: NDArray[Any]) -> Image.Image:
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (2, 3, 4)):
        raise PictureError(
            f"an array must be (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, got {shape}"
        )
    height, width = shape[:2]
    if not height or not width:
        raise PictureError(f"an array of shape {shape} has no pixels")
    if height * width > MAX_PIXELS:
        raise PictureError(f"an array of shape {shape} has {_too_many_pixels()}")
    kind = array.dtype.kind
    if kind == "f":
        low, high = float(array.min()), float(array.max())  # NaN stays NaN, and fails the test
        if not (low >= -0.01 and high <= 1.01):
            raise PictureError(
                f"a float picture holds 0 (black) to 1 (white), got {low:g} to {high:g}; "
                f"scale it, or give uint8"
            )
        levels = np.rint(np.clip(array, 0, 1) * np.float32(255))
    elif kind == "b":
        levels = array * np.uint8(255)
    elif array.dtype == np.uint16:
        levels = _by_bit_depth(array)
    elif kind in "iu":
        if int(array.min()) < 0 or int(array.max()) > 255:
            raise PictureError(
                f"an integer picture holds 0 to 255, got {array.min()} to {array.max()}"
            )
        levels = array
    else:
        raise PictureError(f"an array must be of uint8, bool or floats, got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(levels, np.uint8))


def _by_bit_depth(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale to 8 bits by the smallest usual depth that holds the largest value.

    Scanners and microscopes store 10, 12 and 14 bits in 16 without saying so.
    """
    high = max(int(levels.max()), 0)
    top = next((2**bits - 1 for bits in (8, 10, 12, 14, 16) if high < 2**bits), high)
    scaled = np.clip(levels, 0, top).astype(np.float32) * np.float32(255 / top)
    return np.array(np.rint(scaled), np.uint8)


def _grey(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """One grey level per pixel, whatever the mode."""
    if image.mode.startswith("I"):
        image = Image.fromarray(_by_bit_depth(np.asarray(image)))
    elif image.mode == "F":
        image = Image.fromarray(_by_range(np.asarray(image), name))
    elif image.mode == "LAB":
        image = image.getchannel(0)
    elif image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    factor = -(-max(image.size) // MAX_SIDE)
    image = image.convert("L")
    if factor > 1:
        image = image.reduce(factor)
    return np.array(image, np.uint8)


def _by_range(levels: Levels, name: str) -> NDArray[np.uint8]:
    """Floating-point files say nothing of their range: 0…1 and 0…255 are kept, others fitted."""
    if not np.isfinite(levels).all():
        raise PictureError(f"{name}: holds values that are not finite")
    low, high = float(levels.min()), float(levels.max())
    if low >= 0 and high <= 255:
        return np.rint(levels * (255 if high <= 1 else 1)).astype(np.uint8)
    fitted = (levels.astype(np.float64) - low) * (255 / (high - low) if high > low else 0)
    return np.rint(fitted).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white, or on black when it is white ink on nothing."""
    for paper in ("white", "black"):
        laid = Image.new("RGBA", image.size, paper)
        laid.alpha_composite(image)
        grey = laid.convert("L")
        low, high = grey.getextrema()
        if low != high:
            break
    return grey


# Preparing ----------------------------------------------------------------------------------------


def to_ink(grey: NDArray[np.uint8], preparation: Preparation) -> Ink:
    """Rebuild the recipe of the training images.

    Parameters
    ----------
    grey : (H, W) uint8, black = 0, white = 255
        As `read_picture` gives it.
    preparation : {"digit", "garment", "plain"}
        `digit`: MNIST's. Uneven light is removed, dark on light told from light on dark, ink
        separated from paper and specks; the ink's box is scaled to 20×20 with its aspect kept,
        strokes brought to MNIST's width, and the centre of mass put at the centre of 28×28.
        `garment`: Fashion-MNIST's. The background is removed, the longest side scaled to 28, the
        box centred, the garment made light on dark.
        `plain`: the whole picture, made light on dark by its border, padded square, scaled to 28.

    Returns
    -------
    Ink
        Pictures that already follow the recipe come out as they are.

    Raises
    ------
    PictureError
        When `grey` is not (H, W) uint8 with at least one pixel, or `preparation` is unknown.

    References
    ----------
    LeCun et al. 1998, Sec. III.A; Xiao, Rasul and Vollgraf 2017, Sec. 2.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8 or not grey.size:
        raise PictureError(f"grey must be (H, W) uint8, got {grey.shape} {grey.dtype}")
    match preparation:
        case "digit":
            return _digit(grey)
        case "garment":
            return _garment(grey)
        case "plain":
            return _plain(grey)
    raise PictureError(f"preparation {preparation!r} is unknown; use {', '.join(PREPARATIONS)}")


# A digit ------------------------------------------------------------------------------------------


def _digit(grey: NDArray[np.uint8]) -> Ink:
    if (ready := _ready_digit(grey)) is not None:
        return Ink(ready, (), (0, 0, *grey.shape))
    factor = -(-max(grey.shape) // _WORK_SIDE)
    work = np.array(Image.fromarray(grey).reduce(factor), np.float32)
    signal, inverted = _without_paper(work)
    mask, level = _ink_mask(signal)
    if mask is None:
        return Ink(np.zeros((INK_SIZE, INK_SIZE), np.uint8), (_doubt("nothing-there"),))
    mask, several = _one_object(mask)
    box = _box(mask)
    doubts = []
    if inverted:
        doubts.append("inverted")
    if level < _LOW_CONTRAST:
        doubts.append("low-contrast")
    if several:
        doubts.append("several-objects")
    if _touches_edge(box, mask.shape):
        doubts.append("touching-edge")
    if factor * max(box[2] - box[0], box[3] - box[1]) < _SMALL:
        doubts.append("too-small")
    ink = _render(signal / level, mask, box)
    top, left, bottom, right = (side * factor for side in box)
    height, width = grey.shape
    found = (top, left, min(bottom, height), min(right, width))
    return Ink(ink, tuple(_doubt(name) for name in doubts), found)


def _ready_digit(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture that already follows MNIST's recipe, or its negative; else None."""
    if grey.shape != (INK_SIZE, INK_SIZE):
        return None
    for ink in (grey, FULL_INK - grey):
        if not 0 < np.count_nonzero(ink) <= ink.size // 2:
            continue
        top, left, bottom, right = _box(ink > 0)
        centred = max(abs(at - _CENTRE) for at in _centre_of_mass(ink)) < 1
        if centred and BOX_SIZE - 1 <= max(bottom - top, right - left) <= BOX_SIZE:
            return ink.copy()
    return None


def _without_paper(work: Levels) -> tuple[Levels, bool]:
    """Take the paper and its uneven light away: what is left is ink, positive on paper near 0."""
    from scipy import ndimage

    height, width = work.shape
    factor = -(-max(height, width) // _LIGHT_SIDE)
    coarse = np.array(Image.fromarray(work).reduce(factor))
    coarse, bowl, inverted = _flattened(coarse)
    if inverted:
        work = -work
    # Closing fills whatever is darker than its surroundings and narrower than the window with the
    # paper around it; a shadow is wider, and stays.
    window = max(3, round(max(coarse.shape) * _WIDEST_STROKE))
    paper = bowl + ndimage.grey_closing(coarse, (window, window), mode="nearest")
    paper = ndimage.gaussian_filter(paper, 1, mode="nearest")
    paper = np.array(Image.fromarray(paper).resize((width, height), Image.Resampling.BILINEAR))
    signal = ndimage.gaussian_filter(paper - work, 0.6)
    return signal - np.median(signal), inverted


def _flattened(coarse: Levels) -> tuple[Levels, Levels, bool]:
    """Fit the light by a bowl; the outliers are ink, and tell whether it is light on dark.

    Returns
    -------
    rest, bowl : (H, W)
        Their sum is `coarse`, or −`coarse` where ink is lighter than paper: ink is low.
    inverted : bool
    """
    height, width = coarse.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    x_powers, y_powers = (1, x, x * x, x * x * x), (1, y, y * y, y * y * y)
    terms = np.stack(
        [x_powers[i] * y_powers[j] * np.ones_like(x) for i in range(4) for j in range(4 - i)], -1
    )  # (H, W, 10)
    # Paper is most likely at the border: the fit starts there. A quarter of the points will do.
    border = np.maximum(abs(x), abs(y)) > 0.8
    some = (slice(None, None, 2), slice(None, None, 2))
    fit = _robust_fit(
        terms[some].reshape(-1, terms.shape[-1]),
        coarse[some].reshape(-1),
        start=float(np.median(coarse[border])),
    )
    bowl = (terms @ fit).astype(np.float32)
    rest = coarse - bowl
    if (rest**3).sum() > 0:
        return -rest, -bowl, True
    return rest, bowl, False


def _robust_fit(terms: Levels, levels: Levels, start: float | None = None) -> Levels:
    """Coefficients of a least-squares fit that gives up on outliers (iterated weights)."""
    residual = levels - (np.median(levels) if start is None else start)
    ridge = 1e-6 * np.eye(terms.shape[1])
    for _ in range(8):
        spread = 2 * np.median(abs(residual)) + 0.5
        weighted = (terms / ((1 + (residual / spread) ** 2) ** 2)[:, None]).T
        fit = np.linalg.solve(weighted @ terms + ridge, weighted @ levels)
        residual = levels - terms @ fit
    return np.asarray(fit)


def _ink_mask(signal: Levels) -> tuple[NDArray[np.bool_] | None, float]:
    """Where the ink is, and how much it differs from the paper in grey levels."""
    from scipy import ndimage

    noise = 1.4826 * float(np.median(abs(signal)))
    least = max(_LEAST_CONTRAST, 4 * noise)
    candidates = signal > least
    if not candidates.any():
        return None, 0.0
    level = float(np.percentile(signal[candidates], 80))
    # Ink that fades stays connected to ink that does not.
    weak = signal > max(least / 2, 0.35 * level)
    strong = signal > max(least, 0.6 * level)
    labels, count = ndimage.label(weak, np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[np.unique(labels[strong])] = True
    kept[0] = False
    mask = kept[labels]
    return (mask, level) if mask.any() else (None, 0.0)


def _one_object(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], bool]:
    """Drop specks and other objects, keep the strokes of one digit; were there several?"""
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 1:
        return mask, False
    areas = np.bincount(labels.reshape(-1))
    boxes = [(0, 0, 0, 0)] + [
        (rows.start, columns.start, rows.stop, columns.stop)
        for rows, columns in ndimage.find_objects(labels)
    ]
    # A table's edge or a shadow may be larger than the digit, but they run out of the picture.
    weights = np.array([1 - 0.75 * _touches_edge(box, mask.shape) for box in boxes]) * areas
    weights[0] = 0
    main = int(weights.argmax())
    top, left, bottom, right = boxes[main]
    size = max(bottom - top, right - left)
    alone = np.pad(labels[top:bottom, left:right] == main, 1)
    stroke = _stroke_width(ndimage.distance_transform_edt(alone) - 0.5)
    kept = np.arange(count + 1) == main
    several = False
    for label in np.flatnonzero(weights >= 0.02 * areas[main]):
        above, before, below, after = boxes[label]
        # A dot is a speck: no digit has one. What is longer than the pen is wide is a stroke.
        if label == main or max(below - above, after - before) < _STROKE_LENGTH * stroke:
            continue
        if max(above - bottom, top - below, before - right, left - after) < _GAP * size:
            kept[label] = True
        elif weights[label] > 0.3 * areas[main]:
            several = True
    return kept[labels], several


def _render(
    strength: Levels, mask: NDArray[np.bool_], box: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Draw the ink as MNIST would: its box, its stroke width, its place, its grey levels.

    The outline is taken where ink and paper meet half way. Widening or narrowing a stroke by d on
    each side moves the outline by d along the distance to it; the box grows by 2 d with it, so a
    box of L and a stroke of w become 20 and `target` when 20 (w + 2d) = target (L + 2d).
    """
    from scipy import ndimage

    top, left, bottom, right = box
    height, width = strength.shape
    around = (max(top - 2, 0), max(left - 2, 0), min(bottom + 2, height), min(right + 2, width))
    rows, columns = slice(around[0], around[2]), slice(around[1], around[3])
    # The grey edge of the ink belongs to it; and one pixel of paper around, also at the edge.
    grown = ndimage.binary_dilation(mask[rows, columns], np.ones((3, 3)))
    cut = np.pad(np.where(grown, np.clip(strength[rows, columns], 0, 1), 0), 1)
    scale = _GRID / max(bottom - top, right - left)
    size = tuple(max(1, round(side * scale)) for side in cut.shape)
    fine = Image.fromarray(cut.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
    inside = np.pad(np.array(fine) > 0.5, _GRID // 4)
    if not inside.any():
        inside = np.pad(np.array(fine) > 0.5 * np.max(np.array(fine)), _GRID // 4)
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    # `distance` jumps from −1 to 1 across the outline; make it pass through 0 with slope 1.
    distance -= 0.5 * np.sign(distance)

    stroke = _stroke_width(distance)
    length = max(_extent(inside))
    thin, thick = _THIN * _FINE, _THICK * _FINE
    target = min(max(stroke * _GRID / length, thin), thick)
    grow = (target * length - _GRID * stroke) / (2 * (_GRID - target))
    drawn = np.clip(distance + grow + 0.5, 0, 1)
    return _place(drawn)


def _stroke_width(distance: Levels) -> float:
    """Mean width of the strokes: inside a straight one the mean distance to its edge is w / 4."""
    return 4 * float(distance[distance > 0].mean())


def _place(drawn: Levels) -> NDArray[np.uint8]:
    """Scale the box to 20×20 and put its centre of mass where MNIST has it."""
    top, left, bottom, right = _box(drawn > 0)
    drawn = drawn[top:bottom, left:right]
    pixel = max(drawn.shape) / BOX_SIZE
    row, column = _centre_of_mass(drawn)
    # Pixels of paper above and before the box, which must not leave the frame. MNIST has whole
    # ones; fractions keep a hardly moved picture from jumping by one.
    above = min(max(_CENTRE - row / pixel, 0), INK_SIZE - drawn.shape[0] / pixel)
    before = min(max(_CENTRE - column / pixel, 0), INK_SIZE - drawn.shape[1] / pixel)
    margin = int(np.ceil(INK_SIZE * pixel))
    canvas = Image.fromarray(np.pad(drawn, margin).astype(np.float32))
    y, x = margin - above * pixel, margin - before * pixel
    frame = (x, y, x + INK_SIZE * pixel, y + INK_SIZE * pixel)
    small = canvas.resize((INK_SIZE, INK_SIZE), Image.Resampling.BOX, box=frame)
    return np.array(np.rint(np.clip(np.array(small), 0, 1) * FULL_INK), np.uint8)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of what is True, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int]:
    top, left, bottom, right = _box(mask)
    return bottom - top, right - left


def _centre_of_mass(ink: NDArray[Any]) -> tuple[float, float]:
    """(row, column), with 0.5 in the middle of the first pixel."""
    rows, columns = ink.sum(1, dtype=np.float64), ink.sum(0, dtype=np.float64)
    total = rows.sum()
    return (
        float(rows @ (np.arange(len(rows)) + 0.5) / total),
        float(columns @ (np.arange(len(columns)) + 0.5) / total),
    )


def _touches_edge(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    return box[0] == 0 or box[1] == 0 or box[2] == shape[0] or box[3] == shape[1]


# A garment, and anything --------------------------------------------------------------------------


def _garment(grey: NDArray[np.uint8]) -> Ink:
    from scipy import ndimage

    border = _border(grey)
    if grey.shape == (INK_SIZE, INK_SIZE) and np.median(border) < 128:
        return Ink(grey.copy(), (), (0, 0, *grey.shape))
    factor = -(-max(grey.shape) // _WORK_SIDE)
    work = np.array(Image.fromarray(grey).reduce(factor), np.float32)
    paper = _border_plane(work)
    difference = work - paper
    noise = 1.4826 * float(np.median(abs(_border(difference))))
    mask = abs(difference) > max(_GARMENT_CONTRAST, 4 * noise)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return Ink(np.zeros((INK_SIZE, INK_SIZE), np.uint8), (_doubt("nothing-there"),))
    areas = np.bincount(labels.reshape(-1))
    areas[0] = 0
    mask = (areas >= 0.02 * areas.max())[labels]
    box = _box(mask)
    top, left, bottom, right = box
    inverted = bool(difference[mask].mean() > 0)
    # As far from the background as black, or white, would be.
    reach = 255 - paper if inverted else paper
    share = np.clip(abs(difference) / np.maximum(reach, 1), 0, 1)
    share[((difference > 0) != inverted) | ~mask] = 0
    small = _fit(share[top:bottom, left:right])
    # Departs: Xiao et al. thin out pixels and then sharpen. Averaging without sharpening comes
    # closer to their images (mean difference 13 grey levels against 15 with a full unsharp mask).
    ink = np.rint(small * FULL_INK).astype(np.uint8)
    doubts = []
    if inverted:
        doubts.append("inverted")
    if share[mask].mean() * 255 < _LOW_CONTRAST:
        doubts.append("low-contrast")
    if _touches_edge(box, mask.shape):
        doubts.append("touching-edge")
    if factor * max(bottom - top, right - left) < INK_SIZE:
        doubts.append("too-small")
    height, width = grey.shape
    found = (
        top * factor,
        left * factor,
        min(bottom * factor, height),
        min(right * factor, width),
    )
    return Ink(ink, tuple(_doubt(name) for name in doubts), found)


def _plain(grey: NDArray[np.uint8]) -> Ink:
    paper = float(np.median(_border(grey)))
    light = paper > 127
    share = (255 - grey if light else grey).astype(np.float32) / 255
    small = _fit(share, paper=(255 - paper if light else paper) / 255)
    doubts = () if grey.min() < grey.max() else (_doubt("nothing-there"),)
    return Ink(np.rint(small * FULL_INK).astype(np.uint8), doubts, (0, 0, *grey.shape))


def _fit(share: Levels, paper: float = 0.0) -> Levels:
    """Longest side to 28 with the aspect kept, in the middle of 28×28 paper."""
    height, width = share.shape
    pixel = max(height, width) / INK_SIZE
    size = max(1, round(height / pixel)), max(1, round(width / pixel))
    filled = np.full((INK_SIZE, INK_SIZE), paper, np.float32)
    if size != share.shape:
        # Antialiased when it shrinks, smooth when it grows, and never beyond 0…1.
        image = Image.fromarray(share).resize(size[::-1], Image.Resampling.BICUBIC)
        share = np.clip(np.array(image, np.float32), 0, 1)
    top, left = (INK_SIZE - size[0]) // 2, (INK_SIZE - size[1]) // 2
    filled[top : top + size[0], left : left + size[1]] = share
    return filled


def _border(levels: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels."""
    return np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])


def _border_plane(work: Levels) -> Levels:
    """Background that brightens evenly from one side to another, judged by the border."""
    height, width = work.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] + np.zeros(width, np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32) + np.zeros((height, 1), np.float32)
    terms = np.stack([np.ones_like(_border(x)), _border(x), _border(y)], -1).astype(np.float64)
    a, b, c = _robust_fit(terms, _border(work).astype(np.float64))
    return np.asarray(np.clip(a + b * x + c * y, 1, 254), np.float32)
