"""Where the sheet of paper lies in a picture, and what lies around it: a desk, padding, a page.

Known by its shape alone: an even, straight-sided area that goes all around something.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lenet.data.morphology import (
    Box,
    Levels,
    Mask,
    border_levels,
    box_of,
    closed,
    dilated,
    eroded,
    find_pieces,
    opened,
    sides_of,
)

_COARSE_SIDE = 100  # how fine the picture is in which sheets are sought
_LEAST_SIDE = 64  # pixels: in a smaller picture nothing is told from anything by its shape
_STEP = 12  # grey levels between neighbours: light changes by less, the edge of a sheet by more
_CONTENT = 20  # grey levels by which what is on a sheet differs from it
_LEAST_AREA = 0.06  # of the picture: a smaller sheet is a label, or part of what is drawn
_STRAIGHT = 0.86  # of its smallest rectangle: a sheet fills it; a circle fills 0.79
_SQUARE = 0.97  # the same for what could be a bold 0, whose corners are round
_HOLE = (0.15, 0.3)  # of a bold 0: between these only its corners tell
_WHOLE = 0.97  # of the picture: what lies around such a sheet is a dark corner
_AROUND = 0.7  # of its outline: paper is all around what is on it


@dataclass(frozen=True, eq=False)
class _Area:
    """An even area of the coarse picture.

    Parameters
    ----------
    mask, filled, drawn : (h, w) bool
        The area; with all it encloses; and what of that stands out from it.
    level : float
        The area's grey.
    hole : float
        Which share of it is one even area, without bays, as grey as what is around it: a bold 0
        has such a hole.
    """

    mask: Mask
    filled: Mask
    drawn: Mask
    level: float
    hole: float


def cut_to_sheet(work: Levels) -> tuple[Levels, Box, bool]:
    """The sheet that carries something, without what lies around it.

    Even areas are found in a small copy, lines left out. A sheet is one of them with straight
    sides that goes around something. Of sheets on one another the innermost carries the ink,
    if nothing as large is drawn beside it. Its edge is then sought pixel by pixel, and what of
    its box lies outside of it, as when it is turned, is painted over with the paper beside it.

    Parameters
    ----------
    work : (H, W) float32, black = 0, white = 255

    Returns
    -------
    sheet : (h, w) float32
    box : (top, left, bottom, right)
        Where in `work` the sheet is.
    is_cut : bool
        Whether anything lay around it; else all of `work` comes back.
    """
    whole = work, (0, 0, *work.shape), False
    factor = -(-max(work.shape) // _COARSE_SIDE)
    coarse = np.array(Image.fromarray(work).reduce(factor))
    if max(work.shape) < _LEAST_SIDE or min(coarse.shape) < 12:
        return whole
    area = _innermost(_even_areas(coarse), coarse)
    # Ink that runs out of the picture takes no corner with it; what lies around a sheet does.
    if area is None or area.filled[[0, 0, -1, -1], [0, -1, 0, -1]].all():
        return whole
    if area.filled.mean() > _WHOLE:
        return whole
    inside = _to_the_edge(work, area, factor)
    box = box_of(inside)
    top, left, bottom, right = box
    cut = (slice(top, bottom), slice(left, right))
    return _painted_over(work[cut], inside[cut]), box, True


def _even_areas(coarse: Levels) -> list[_Area]:
    """Areas without a step of grey in them, the largest first."""
    # Lines and thin strokes do not part an area.
    even = opened(closed(coarse, 3, 3), 3, 3)
    flat = dilated(even, 3, 3) - eroded(even, 3, 3) <= 2 * _STEP
    pieces = find_pieces(flat)
    large = np.flatnonzero(pieces.areas >= _LEAST_AREA * flat.size / 3)
    masks = [pieces.mask(np.arange(pieces.count) == number) for number in large]
    if (inner := _within_padding(coarse)) is not None:
        masks.append(inner)
    areas = [_area(coarse, even, flat, mask) for mask in masks]
    areas = [area for area in areas if area.filled.sum() >= _LEAST_AREA * flat.size]
    return sorted(areas, key=lambda area: -int(area.filled.sum()))


def _within_padding(coarse: Levels) -> Mask | None:
    """Paper within a border of one grey: found however narrow its margin around the ink is."""
    padding = float(np.median(border_levels(coarse)))
    differs = abs(coarse - padding) > 2 * _STEP
    if not differs.any():
        return None
    top, left, bottom, right = box_of(differs)
    inner = (slice(top + 1, bottom - 1), slice(left + 1, right - 1))  # its edge is a mixture
    level = float(np.median(coarse[inner])) if coarse[inner].size else padding
    if abs(level - padding) < 2 * _STEP:
        return None
    paper = np.zeros_like(differs)
    paper[inner] = abs(coarse[inner] - level) <= _STEP
    return paper if paper.any() else None


def _area(coarse: Levels, even: Levels, flat: Mask, mask: Mask) -> _Area:
    filled = _filled(mask)
    level = float(np.median(coarse[mask]))
    drawn = abs(coarse - even) > _CONTENT
    drawn |= ~dilated(mask, 3, 3) & (abs(coarse - level) > _CONTENT)
    drawn &= eroded(filled, 3, 3)
    hole, around = drawn & flat, ~dilated(filled, 5, 5)
    is_hole = bool(
        hole.any()
        and hole.sum() > 0.5 * drawn.sum()
        and hole.sum() > 0.75 * math.prod(sides_of(box_of(hole)))
        and around.any()
        and abs(np.median(coarse[hole]) - np.median(coarse[around])) < 2 * _CONTENT
    )
    return _Area(mask, filled, drawn, level, is_hole * drawn.sum() / filled.sum())


def _filled(mask: Mask) -> Mask:
    """What is between points of a mask, in its row as well as in its column."""
    between = np.ones_like(mask)
    for axis in (0, 1):
        before = np.maximum.accumulate(mask, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
        between &= before & after
    return between


def _innermost(areas: list[_Area], coarse: Levels) -> _Area | None:
    """Of sheets on one another the innermost; None when more than one sheet is drawn on."""
    sheets = [area for area in areas if _is_sheet(area)]
    chosen = None
    for sheet in sheets:
        if chosen is None:
            chosen = sheet
        elif (sheet.filled & chosen.filled).sum() > 0.9 * sheet.filled.sum():
            beside = chosen.drawn & ~dilated(sheet.filled, 5, 5)
            if beside.sum() <= sheet.drawn.sum():
                chosen = sheet
        elif sheet.drawn.sum() > 0.3 * chosen.drawn.sum():
            return None
    return None if chosen is None or _is_half(chosen, coarse) else chosen


def _is_half(sheet: _Area, coarse: Levels) -> bool:
    """Whether one straight edge, which may be a shadow's, parts a picture drawn on both sides."""
    height, width = coarse.shape
    top, left, bottom, right = box_of(sheet.filled)
    at_border = (top <= 1) + (left <= 1) + (bottom >= height - 1) + (right >= width - 1)
    beyond = ~dilated(sheet.filled, 5, 5)
    if at_border < 3 or not beyond.any():
        return False
    differs = abs(coarse[beyond] - np.median(coarse[beyond])) > _CONTENT
    return bool(differs.sum() > 0.1 * sheet.drawn.sum())


def _is_sheet(area: _Area) -> bool:
    """Whether an area has straight sides, goes around something and has something drawn on it."""
    if area.drawn.sum() < 4:
        return False
    outline = area.filled & ~eroded(np.pad(area.filled, 1), 3, 3)[1:-1, 1:-1]
    if (outline & area.mask).sum() < _AROUND * outline.sum():
        return False
    if area.hole > _HOLE[1]:
        return False
    points = np.argwhere(outline).astype(np.float32)
    angles = np.deg2rad(np.arange(0, 90, 3, dtype=np.float32))
    along = np.outer(np.cos(angles), points[:, 0]) + np.outer(np.sin(angles), points[:, 1])
    across = np.outer(np.cos(angles), points[:, 1]) - np.outer(np.sin(angles), points[:, 0])
    rectangles = (np.ptp(along, axis=1) + 1) * (np.ptp(across, axis=1) + 1)
    straight = _SQUARE if area.hole > _HOLE[0] else _STRAIGHT
    return bool(area.filled.sum() > straight * rectangles.min())


def _to_the_edge(work: Levels, area: _Area, factor: int) -> Mask:
    """The sheet as a mask of the large picture: up to where grey is half way to what is around."""
    near, beyond = dilated(area.filled, 5, 5), dilated(area.filled, 9, 9)
    around = beyond & ~near
    height, width = work.shape
    inside, near = (
        np.repeat(np.repeat(mask, factor, 0), factor, 1)[:height, :width]
        for mask in (area.filled, near)
    )
    if not around.any():
        return inside
    shrunk = np.array(Image.fromarray(work).reduce(factor))
    half = abs(float(np.median(shrunk[around])) - area.level) / 2
    edge = near & ~inside & (abs(work - area.level) < half)
    return np.asarray(_filled(inside | edge))


def _painted_over(sheet: Levels, inside: Mask) -> Levels:
    """What is not inside, in the grey of the nearest point of its row that is."""
    if inside.all():
        return sheet
    columns = np.arange(sheet.shape[1])
    before = np.maximum.accumulate(np.where(inside, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(inside, columns, 2 * len(columns))[:, ::-1], axis=1)[
        :, ::-1
    ]
    nearest = np.where(
        (before < 0) | ((after < len(columns)) & (after - columns < columns - before)),
        after,
        before,
    )
    nearest = np.clip(nearest, 0, len(columns) - 1)
    return np.asarray(np.take_along_axis(sheet, nearest, axis=1))
