"""Ink drawn as the training images have it: size, place, stroke width, grey levels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.morphology import Box, Levels, Mask, box_of, dilated, distance_inside, sides_of
from lenet.data.preprocessing import FULL_INK, INK_SIZE

BOX_SIZE = 20
"""A digit's ink fills this box in 28×28 (LeCun et al. 1998, Sec. III.A)."""

CENTRE = INK_SIZE / 2 + 0.5
"""Where the centre of mass is in MNIST: its makers rounded down to whole pixels, which leaves it
between 14 and 15 (measured: 14.50 in rows and columns), not at 14."""

_FINE = 5  # dots for each pixel of 28×28 while a digit is drawn: smoothness
_GRID = BOX_SIZE * _FINE

# Strokes are brought between the median and the upper quartile of MNIST's training part, in its
# own pixels as `_stroke_width` measures them (quartiles 2.1, 2.5, 2.9). It is not critical:
# 1.6 to 2.8 and 2.9 to 4.6 read 784 to 789 of 800 photographs of training digits.
_THIN, _THICK = 2.5, 2.9


def render_digit(strength: Levels, mask: Mask, box: Box) -> NDArray[np.uint8]:
    """Draw the ink as MNIST would: its box, its stroke width, its place, its grey levels.

    The outline is taken where ink and paper meet half way. Widening or narrowing a stroke by d on
    each side moves the outline by d along the distance to it; the box grows by 2 d with it, so a
    box of L and a stroke of w become 20 and `target` when 20 (w + 2d) = target (L + 2d).

    Parameters
    ----------
    strength : (H, W) float
        Ink is 1, paper 0.
    mask : (H, W) bool
        What of it belongs to the digit.
    box : (top, left, bottom, right)
        Of the mask.

    Returns
    -------
    ink : (28, 28) uint8
    """
    top, left, bottom, right = box
    height, width = strength.shape
    around = (max(top - 2, 0), max(left - 2, 0), min(bottom + 2, height), min(right + 2, width))
    rows, columns = slice(around[0], around[2]), slice(around[1], around[3])
    # The grey edge of the ink belongs to it; and one pixel of paper around, also at the edge.
    grown = dilated(mask[rows, columns], 3, 3)
    cut = np.pad(np.where(grown, np.clip(strength[rows, columns], 0, 1), 0), 1)
    scale = _GRID / max(sides_of(box))
    size = tuple(max(1, round(side * scale)) for side in cut.shape)
    fine = Image.fromarray(cut.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
    inside = np.pad(np.array(fine) > 0.5, _GRID // 4)
    if not inside.any():
        inside = np.pad(np.array(fine) > 0.5 * np.max(np.array(fine)), _GRID // 4)
    # Distances jump from 0 to 1 across the outline; half a dot less, and it is where they are 0.
    distance = distance_inside(inside) - 0.5
    stroke = _stroke_width(distance)
    length = max(sides_of(box_of(inside)))
    thin, thick = _THIN * _FINE, _THICK * _FINE
    target = min(max(stroke * _GRID / length, thin), thick)
    grow = (target * length - _GRID * stroke) / (2 * (_GRID - target))
    if grow > 0:
        outside = distance_inside(~inside, int(grow) + 2) - 0.5
        distance = np.where(inside, distance, -outside)
    drawn = np.clip(distance + grow + 0.5, 0, 1)
    return _place(drawn)


def _stroke_width(distance: Levels) -> float:
    """Mean width of the strokes: inside a straight one the mean distance to its edge is w / 4."""
    return 4 * float(distance[distance > 0].mean())


def _place(drawn: Levels) -> NDArray[np.uint8]:
    """Scale the box to 20×20 and put its centre of mass where MNIST has it."""
    top, left, bottom, right = box_of(drawn > 0)
    drawn = drawn[top:bottom, left:right]
    pixel = max(drawn.shape) / BOX_SIZE
    row, column = centre_of_mass(drawn)
    # Pixels of paper above and before the box, which must not leave the frame. MNIST has whole
    # ones; fractions keep a hardly moved picture from jumping by one.
    above = min(max(CENTRE - row / pixel, 0), INK_SIZE - drawn.shape[0] / pixel)
    before = min(max(CENTRE - column / pixel, 0), INK_SIZE - drawn.shape[1] / pixel)
    margin = int(np.ceil(INK_SIZE * pixel))
    canvas = Image.fromarray(np.pad(drawn, margin).astype(np.float32))
    y, x = margin - above * pixel, margin - before * pixel
    frame = (x, y, x + INK_SIZE * pixel, y + INK_SIZE * pixel)
    small = canvas.resize((INK_SIZE, INK_SIZE), Image.Resampling.BOX, box=frame)
    return np.array(np.rint(np.clip(np.array(small), 0, 1) * FULL_INK), np.uint8)


def centre_of_mass(ink: NDArray[Any]) -> tuple[float, float]:
    """(row, column), with 0.5 in the middle of the first pixel."""
    rows, columns = ink.sum(1, dtype=np.float64), ink.sum(0, dtype=np.float64)
    total = rows.sum()
    return (
        float(rows @ (np.arange(len(rows)) + 0.5) / total),
        float(columns @ (np.arange(len(columns)) + 0.5) / total),
    )


def fit_frame(share: Levels, paper: float = 0.0) -> Levels:
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
