"""A pen that goes along lines: its width, its ink, and the place that MNIST gives a character."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.data.rendering import BOX_SIZE

Floats = NDArray[np.float32]
Strokes = NDArray[np.intp]
"""(points,) the stroke that each point of a line belongs to."""

_SPACING = 3.0  # hundredths of a character's height between the points of a line
_FULL = 0.45  # of the room of a character, at most, is ink
_FINEST, _BROADEST = 0.75, 3.2  # half of a pen's width in pixels
_CENTRE = INK_SIZE / 2 + 0.5  # of MNIST's digits, by `lenet.data.ink`


def smooth(points: NDArray[np.float64], corners: Sequence[bool]) -> NDArray[np.float64]:
    """The matrix from the points of a stroke to a line of close points through them.

    Parameters
    ----------
    points : (points, 2) float64
        Across and down in hundredths of a character's height: how far apart they are says how many
        points of the line lie between them.
    corners : (points,) bool
        Where the line may change its direction at once.

    Returns
    -------
    matrix : (line, points) float64

    References
    ----------
    Catmull and Rom 1974, A class of local interpolating splines.
    """
    last = len(points) - 1
    ends = {0, last, *np.flatnonzero(corners).tolist()}
    at = np.eye(len(points))
    rows = []
    for i in range(last):
        step = at[i + 1] - at[i]
        start = step if i in ends else (at[i + 1] - at[i - 1]) / 2
        end = step if i + 1 in ends else (at[i + 2] - at[i]) / 2
        count = max(2, round(float(np.hypot(*(points[i + 1] - points[i]))) / _SPACING))
        t = (np.arange(count + (i == last - 1)) / count)[:, None]
        rows.append(
            (2 * t**3 - 3 * t**2 + 1) * at[i]
            + (t**3 - 2 * t**2 + t) * start
            + (3 * t**2 - 2 * t**3) * at[i + 1]
            + (t**3 - t**2) * end
        )
    return np.concatenate(rows)


def ink_lines(lines: Floats, strokes: Strokes, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw each line with a pen of its own, in MNIST's box and place.

    Parameters
    ----------
    lines : (N, points, 2) float32
        Across and down, in any unit.
    strokes : (points,) intp
    rng : numpy.random.Generator

    Returns
    -------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
    """
    count, n_points = lines.shape[:2]
    radius = _widths(lines, strokes, rng)
    lines = _place(lines, radius)
    # How far a pixel is inside the pen's disc is nearly (r² − distance²) / 2r where it matters, at
    # the rim; and that is a sum of a part by row and a part by column.
    pixels = np.arange(INK_SIZE, dtype=np.float32) + np.float32(0.5)
    width = 2 * radius[..., None]
    across = -((pixels - lines[..., 0, None]) ** 2) / width  # (N, points, 28)
    down = -((pixels - lines[..., 1, None]) ** 2) / width + radius[..., None] / 2
    down[_gaps(count, n_points, rng)] = -INK_SIZE
    inside = np.full((count, INK_SIZE, INK_SIZE), -INK_SIZE, np.float32)
    reach = np.empty_like(inside)
    for point in range(n_points):
        np.add(down[:, point, :, None], across[:, point, None, :], out=reach)
        np.maximum(inside, reach, out=inside)
    rim = rng.uniform(0.8, 2.4, (count, 1, 1)).astype(np.float32)  # pixels from paper to ink
    strength = rng.uniform(0.75, 1.15, (count, 1, 1)).astype(np.float32)
    ink = np.clip(np.clip(inside / rim + 0.5, 0, 1) * strength, 0, 1)
    return np.array(np.rint(ink * FULL_INK), np.uint8)


def _widths(lines: Floats, strokes: Strokes, rng: np.random.Generator) -> Floats:
    """Half of the pen's width in pixels along each line: (N, points).

    A long line in a small space is written with a fine pen. A broad nib writes wide in one
    direction and fine in the other.
    """
    count = len(lines)
    extent = lines.max(1) - lines.min(1)
    step = np.diff(lines, axis=1)
    length = (np.hypot(step[..., 0], step[..., 1]) * (np.diff(strokes) == 0)).sum(1)
    pixels = (BOX_SIZE - 2) / extent.max(1)
    room = (extent * pixels[:, None] + 6).prod(1)
    widest = np.clip(_FULL * room / (2 * length * pixels), 1, _BROADEST)[:, None]
    radius = np.exp(rng.uniform(np.log(_FINEST), np.log(widest)))
    along = np.gradient(lines, axis=1)
    direction = np.arctan2(along[..., 1], along[..., 0])
    nib = np.abs(rng.normal(0, 0.15, (count, 1)))
    held = rng.uniform(0, np.pi, (count, 1))
    return np.asarray(radius * np.exp(nib * np.cos(2 * (direction - held))), np.float32)


def _place(lines: Floats, radius: Floats) -> Floats:
    """Fit each line into the box, in pixels, its centre of mass in the middle of the frame."""
    low, high = lines.min(1), lines.max(1)
    pen = radius.max(1)
    scale = (BOX_SIZE - 2 * pen) / (high - low).max(1)
    lines = (lines - low[:, None]) * scale[:, None, None]
    mass = np.einsum("np,npk->nk", radius, lines) / radius.sum(1, keepdims=True)
    # Ink must not leave the frame.
    room = INK_SIZE - (high - low) * scale[:, None] - pen[:, None]
    corner = np.clip(_CENTRE - mass, pen[:, None], room)
    return np.asarray(lines + corner[:, None], np.float32)


def _gaps(count: int, n_points: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where a pen that writes badly leaves nothing: one short gap in one line of twelve."""
    middle = rng.uniform(0, n_points, (count, 1))
    length = rng.uniform(0, 2.5, (count, 1)) * (rng.random((count, 1)) < 1 / 12)
    return np.asarray(np.abs(np.arange(n_points) - middle) < length)
