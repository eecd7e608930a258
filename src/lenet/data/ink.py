"""A grey picture as 28×28 ink: the recipes by which the training images were made, rebuilt.

A network that has only seen centred light ink on black reads nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.digits import SMALL_FULL, SMALL_SIZE, enlarge
from lenet.data.lines import remove_lines
from lenet.data.morphology import (
    Box,
    Mask,
    border_levels,
    box_of,
    find_pieces,
    sides_of,
    stroke_width,
    touches_edge,
)
from lenet.data.objects import one_object
from lenet.data.paper import find_ink, fit_border, noise_level, remove_paper, shrink
from lenet.data.preprocessing import FULL_INK, INK_SIZE, PREPARATIONS, Preparation
from lenet.data.rendering import BOX_SIZE, CENTRE, centre_of_mass, fit_frame, render_digit
from lenet.data.sheet import cut_to_sheet
from lenet.errors import PictureError

_STRONG = 0.75  # of the ink's level: a stroke's middle, not its grey edge
_LOW_CONTRAST = 30  # grey levels between ink and paper
# Fashion-MNIST's makers cut what is within 5 % of the corner.
_GARMENT_CONTRAST = round(0.05 * 255)

# How programs enlarge, and by how much of the contrast an enlarged picture may differ: JPEG's loss.
_ENLARGEMENTS = (
    Image.Resampling.NEAREST,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_SAME_PIXELS = 0.03

_SMALL = 14  # pixels of the picture: less than the box it is to fill, by a third


@dataclass(frozen=True)
class Doubt:
    """A reason to mistrust what the network saw.

    Parameters
    ----------
    name : str
        Stable: `too-small`, `touching-edge`, `nothing-there`, `low-contrast`, `several-objects`,
        and from the classifier `unknown`, `low-probability` and `rejected`.
    sentence : str
        The same for people.
    """

    name: str
    sentence: str


@dataclass(frozen=True)
class Note:
    """How a picture was read: what was done to it that a person might not expect.

    Parameters
    ----------
    name : str
        Stable: `inverted`, `cut-to-sheet`, `lines-removed`.
    sentence : str
        The same for people.
    """

    name: str
    sentence: str


_NOTES = {
    "inverted": "The ink is lighter than the paper; it was read as light on dark.",
    "cut-to-sheet": "Only the sheet that carries the ink was read, without what lies around it.",
    "lines-removed": "Lines around, beside or across the ink were taken out.",
}
_DOUBTS = {
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
    notes : tuple of Note
    """

    ink: NDArray[np.uint8]
    doubts: tuple[Doubt, ...] = ()
    box: Box | None = None
    notes: tuple[Note, ...] = ()


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
    return tuple(Doubt(name, _DOUBTS[name]) for name, is_so in found.items() if is_so)


def _notes(found: Mapping[str, bool]) -> tuple[Note, ...]:
    return tuple(Note(name, _NOTES[name]) for name, is_so in found.items() if is_so)


def _nothing() -> Ink:
    return Ink(np.zeros((INK_SIZE, INK_SIZE), np.uint8), _doubts({"nothing-there": True}))


# A digit ------------------------------------------------------------------------------------------


def _digit(grey: NDArray[np.uint8]) -> Ink:
    """Sheet, paper, ink, lines, objects, and the digit drawn anew: in this order."""
    if (ready := _ready_digit(grey)) is not None:
        return Ink(ready, (), (0, 0, *grey.shape))
    if (small := _small_digit(grey)) is not None:
        return small
    work, factor = shrink(grey)
    work, (top, left, *_), is_cut = cut_to_sheet(work)
    signal, inverted = remove_paper(work)
    ink, level = find_ink(signal)
    if ink is None:
        return _nothing()
    strokes, lined = remove_lines(ink, signal)
    digit, several = one_object(strokes)
    box = box_of(digit)
    doubts = {
        "low-contrast": level < _LOW_CONTRAST,
        "several-objects": several,
        "touching-edge": _runs_out(box, digit & (signal > _STRONG * level)),
        "too-small": factor * max(sides_of(box)) < _SMALL,
    }
    notes = {"inverted": inverted, "cut-to-sheet": is_cut, "lines-removed": lined}
    found = (box[0] + top, box[1] + left, box[2] + top, box[3] + left)
    return Ink(
        render_digit(signal / level, digit, box),
        _doubts(doubts),
        _in_pixels_of(grey, found, factor),
        _notes(notes),
    )


def _small_digit(grey: NDArray[np.uint8]) -> Ink | None:
    """A picture of 8×8, or made from one, by the recipe of scikit-learn's digits; else None."""
    small = _small_pixels(grey)
    if small is None:
        return None
    paper = float(np.median(border_levels(small)))
    inverted = bool(small.mean() > paper)
    strength = np.clip(small - paper if inverted else paper - small, 0, None)
    level = float(strength.max())
    if level < _LOW_CONTRAST:
        return _nothing()
    ink = enlarge(strength[None] * (SMALL_FULL / level))[0]
    doubts, notes = _doubts({"too-small": True}), _notes({"inverted": inverted})
    return Ink(ink, doubts, (0, 0, *grey.shape), notes)


def _small_pixels(grey: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The 8×8 pixels that a square picture was enlarged from, whatever the program; else None.

    They are still in the middles of its tiles, and all between follows from them. A picture of
    anything else has edges between, by which it differs from them three times as much or more.
    """
    small = _sampled(grey, SMALL_SIZE)
    if grey.shape == small.shape:
        return small
    if grey.shape[0] != grey.shape[1] or min(grey.shape) < 2 * SMALL_SIZE or not np.ptp(small):
        return None
    fine = _sampled(grey, 4 * SMALL_SIZE)
    image = Image.fromarray(small)
    difference = min(
        float(np.std(np.clip(np.array(image.resize(fine.shape, kernel)), 0, 255) - fine))
        for kernel in _ENLARGEMENTS
    )
    return small if difference < _SAME_PIXELS * np.ptp(small) else None


def _sampled(grey: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """The grey in the middles of so many by so many tiles."""
    height, width = grey.shape
    middles = (width / side, 0, 0, 0, height / side, 0)
    sampled = Image.fromarray(grey).transform(
        (side, side), Image.Transform.AFFINE, middles, Image.Resampling.BILINEAR
    )
    return np.array(sampled, np.float32)


def _runs_out(box: Box, strong: Mask) -> bool:
    """Whether a stroke goes on beyond the border: it is there as strong and as wide as elsewhere.

    Whoever cuts a digit out tightly leaves no margin above and below, or left and right.
    """
    top, left, bottom, right = box
    height, width = strong.shape
    if not touches_edge(box, strong.shape):
        return False
    if (top == 0 and bottom == height) or (left == 0 and right == width):
        return False
    contact = border_levels(strong).sum()
    return bool(contact >= 1.2 * stroke_width(strong[top:bottom, left:right]))


def _ready_digit(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture that already follows MNIST's recipe, or its negative; else None."""
    if grey.shape != (INK_SIZE, INK_SIZE):
        return None
    for ink in (grey, FULL_INK - grey):
        if not 0 < np.count_nonzero(ink) <= ink.size // 2:
            continue
        size = max(sides_of(box_of(ink > 0)))
        centred = max(abs(at - CENTRE) for at in centre_of_mass(ink)) < 1
        if centred and BOX_SIZE - 1 <= size <= BOX_SIZE:
            return ink.copy()
    return None


def _in_pixels_of(grey: NDArray[np.uint8], box: Box, factor: float) -> Box:
    """The box that was found in a picture `factor` times smaller."""
    top, left, bottom, right = box
    height, width = grey.shape
    return (
        int(top * factor),
        int(left * factor),
        min(math.ceil(bottom * factor), height),
        min(math.ceil(right * factor), width),
    )


# A garment, and anything --------------------------------------------------------------------------


def _garment(grey: NDArray[np.uint8]) -> Ink:
    border = border_levels(grey)
    if grey.shape == (INK_SIZE, INK_SIZE) and np.median(border) < 128:
        return Ink(grey.copy(), (), (0, 0, *grey.shape))
    work, factor = shrink(grey)
    paper = fit_border(work)
    difference = work - paper
    noise = noise_level(border_levels(difference))
    mask = abs(difference) > max(_GARMENT_CONTRAST, 4 * noise)
    pieces = find_pieces(mask)
    if pieces.count == 0:
        return _nothing()
    mask = pieces.mask(pieces.areas >= 0.02 * pieces.areas.max())
    box = box_of(mask)
    top, left, bottom, right = box
    inverted = bool(difference[mask].mean() > 0)
    # As far from the background as black, or white, would be.
    reach = 255 - paper if inverted else paper
    share = np.clip(abs(difference) / np.maximum(reach, 1), 0, 1)
    share[((difference > 0) != inverted) | ~mask] = 0
    small = fit_frame(share[top:bottom, left:right])
    # Departs: Xiao et al. thin out pixels and then sharpen. Averaging without sharpening comes
    # closer to their images (mean difference 13 grey levels against 15 with a full unsharp mask).
    ink = np.rint(small * FULL_INK).astype(np.uint8)
    doubts = {
        "low-contrast": share[mask].mean() * 255 < _LOW_CONTRAST,
        "touching-edge": touches_edge(box, mask.shape),
        "too-small": factor * max(sides_of(box)) < INK_SIZE,
    }
    notes = _notes({"inverted": inverted})
    return Ink(ink, _doubts(doubts), _in_pixels_of(grey, box, factor), notes)


def _plain(grey: NDArray[np.uint8]) -> Ink:
    paper = float(np.median(border_levels(grey)))
    light = paper > 127
    share = (255 - grey if light else grey).astype(np.float32) / 255
    small = fit_frame(share, paper=(255 - paper if light else paper) / 255)
    doubts = _doubts({"nothing-there": bool(grey.min() == grey.max())})
    return Ink(np.rint(small * FULL_INK).astype(np.uint8), doubts, (0, 0, *grey.shape))
