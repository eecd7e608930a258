"""A grey picture as 28×28 ink: the recipes by which the training images were made, rebuilt.

A network that has only seen centred light ink on black reads nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.paper import (
    Levels,
    border_levels,
    find_ink,
    fit_border,
    noise_level,
    remove_paper,
    shrink,
)
from lenet.data.preprocessing import FULL_INK, INK_SIZE, PREPARATIONS, Preparation
from lenet.errors import PictureError

Box = tuple[int, int, int, int]
"""(top, left, bottom, right), the last two exclusive."""

BOX_SIZE = 20
"""A digit's ink fills this box in 28×28 (LeCun et al. 1998, Sec. III.A)."""

_CENTRE = INK_SIZE / 2 + 0.5
"""Where the centre of mass is in MNIST: its makers rounded down to whole pixels, which leaves it
between 14 and 15 (measured: 14.50 in rows and columns), not at 14."""

_FINE = 5  # dots for each pixel of 28×28 while a digit is drawn: smoothness
_GRID = BOX_SIZE * _FINE

_LOW_CONTRAST = 30  # grey levels between ink and paper
# Fashion-MNIST's makers cut what is within 5 % of the corner.
_GARMENT_CONTRAST = round(0.05 * 255)

_SMALL = 14  # pixels of the picture: less than the box it is to fill, by a third
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
        `several-objects`, and from the classifier `unknown`, `low-probability` and `rejected`.
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
    box: Box | None = None


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


def _doubts(found: Mapping[str, bool]) -> tuple[Doubt, ...]:
    return tuple(Doubt(name, _SENTENCES[name]) for name, is_so in found.items() if is_so)


def _nothing() -> Ink:
    return Ink(np.zeros((INK_SIZE, INK_SIZE), np.uint8), _doubts({"nothing-there": True}))


# A digit ------------------------------------------------------------------------------------------


def _digit(grey: NDArray[np.uint8]) -> Ink:
    if (ready := _ready_digit(grey)) is not None:
        return Ink(ready, (), (0, 0, *grey.shape))
    work, factor = shrink(grey)
    signal, inverted = remove_paper(work)
    mask, level = find_ink(signal)
    if mask is None:
        return _nothing()
    mask, several = _one_object(mask)
    box = _box(mask)
    doubts = {
        "inverted": inverted,
        "low-contrast": level < _LOW_CONTRAST,
        "several-objects": several,
        "touching-edge": _touches_edge(box, mask.shape),
        "too-small": factor * max(_size(box)) < _SMALL,
    }
    ink = _render(signal / level, mask, box)
    return Ink(ink, _doubts(doubts), _in_pixels_of(grey, box, factor))


def _ready_digit(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture that already follows MNIST's recipe, or its negative; else None."""
    if grey.shape != (INK_SIZE, INK_SIZE):
        return None
    for ink in (grey, FULL_INK - grey):
        if not 0 < np.count_nonzero(ink) <= ink.size // 2:
            continue
        size = max(_size(_box(ink > 0)))
        centred = max(abs(at - _CENTRE) for at in _centre_of_mass(ink)) < 1
        if centred and BOX_SIZE - 1 <= size <= BOX_SIZE:
            return ink.copy()
    return None


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
    size = max(_size(boxes[main]))
    alone = np.pad(labels[top:bottom, left:right] == main, 1)
    stroke = _stroke_width(ndimage.distance_transform_edt(alone) - 0.5)
    kept = np.arange(count + 1) == main
    several = False
    for label in np.flatnonzero(weights >= 0.02 * areas[main]):
        above, before, below, after = boxes[label]
        # A dot is a speck: no digit has one. What is longer than the pen is wide is a stroke.
        if label == main or max(_size(boxes[label])) < _STROKE_LENGTH * stroke:
            continue
        if max(above - bottom, top - below, before - right, left - after) < _GAP * size:
            kept[label] = True
        elif weights[label] > 0.3 * areas[main]:
            several = True
    return kept[labels], several


def _render(strength: Levels, mask: NDArray[np.bool_], box: Box) -> NDArray[np.uint8]:
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
    scale = _GRID / max(_size(box))
    size = tuple(max(1, round(side * scale)) for side in cut.shape)
    fine = Image.fromarray(cut.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
    inside = np.pad(np.array(fine) > 0.5, _GRID // 4)
    if not inside.any():
        inside = np.pad(np.array(fine) > 0.5 * np.max(np.array(fine)), _GRID // 4)
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    # `distance` jumps from −1 to 1 across the outline; make it pass through 0 with slope 1.
    distance -= 0.5 * np.sign(distance)

    stroke = _stroke_width(distance)
    length = max(_size(_box(inside)))
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


def _box(mask: NDArray[np.bool_]) -> Box:
    """(top, left, bottom, right) of what is True, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _size(box: Box) -> tuple[int, int]:
    """(height, width)."""
    top, left, bottom, right = box
    return bottom - top, right - left


def _centre_of_mass(ink: NDArray[Any]) -> tuple[float, float]:
    """(row, column), with 0.5 in the middle of the first pixel."""
    rows, columns = ink.sum(1, dtype=np.float64), ink.sum(0, dtype=np.float64)
    total = rows.sum()
    return (
        float(rows @ (np.arange(len(rows)) + 0.5) / total),
        float(columns @ (np.arange(len(columns)) + 0.5) / total),
    )


def _in_pixels_of(grey: NDArray[np.uint8], box: Box, factor: int) -> Box:
    """The box that was found in a picture `factor` times smaller."""
    top, left, bottom, right = (side * factor for side in box)
    height, width = grey.shape
    return top, left, min(bottom, height), min(right, width)


def _touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    return box[0] == 0 or box[1] == 0 or box[2] == shape[0] or box[3] == shape[1]


# A garment, and anything --------------------------------------------------------------------------


def _garment(grey: NDArray[np.uint8]) -> Ink:
    from scipy import ndimage

    border = border_levels(grey)
    if grey.shape == (INK_SIZE, INK_SIZE) and np.median(border) < 128:
        return Ink(grey.copy(), (), (0, 0, *grey.shape))
    work, factor = shrink(grey)
    paper = fit_border(work)
    difference = work - paper
    noise = noise_level(border_levels(difference))
    mask = abs(difference) > max(_GARMENT_CONTRAST, 4 * noise)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return _nothing()
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
    doubts = {
        "inverted": inverted,
        "low-contrast": share[mask].mean() * 255 < _LOW_CONTRAST,
        "touching-edge": _touches_edge(box, mask.shape),
        "too-small": factor * max(_size(box)) < INK_SIZE,
    }
    return Ink(ink, _doubts(doubts), _in_pixels_of(grey, box, factor))


def _plain(grey: NDArray[np.uint8]) -> Ink:
    paper = float(np.median(border_levels(grey)))
    light = paper > 127
    share = (255 - grey if light else grey).astype(np.float32) / 255
    small = _fit(share, paper=(255 - paper if light else paper) / 255)
    doubts = _doubts({"nothing-there": bool(grey.min() == grey.max())})
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
