"""Shapes in pictures, with NumPy alone: running extremes, blur, distance, connected pieces.

`scipy.ndimage` has all of this, but takes longer to import than a picture takes to read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""(top, left, bottom, right), the last two exclusive."""


# Neighbourhoods -----------------------------------------------------------------------------------


def widest(values: NDArray[Any], window: int, axis: int) -> NDArray[Any]:
    """The largest value within a window around each point, along one axis.

    Parameters
    ----------
    values : (H, W)
    window : int
        Odd, so that it has a middle; beyond the border the values of the border go on.
    axis : {0, 1}

    Returns
    -------
    largest : (H, W)
    """
    reach = window // 2
    if reach == 0:
        return values
    largest = _with_margin(values, reach, axis)
    # Windows of 1, 2, 4 … points, and at last two that overlap.
    covered = 1
    while covered < window:
        step = min(covered, window - covered)
        if axis == 0:
            largest = np.maximum(largest[step:], largest[:-step])
        else:
            largest = np.maximum(largest[:, step:], largest[:, :-step])
        covered += step
    return largest


def _with_margin(values: NDArray[Any], reach: int, axis: int) -> NDArray[Any]:
    """The border goes on for so many points; `np.pad` takes several times as long."""
    length = values.shape[axis]
    return np.take(values, np.arange(-reach, length + reach).clip(0, length - 1), axis)


def dilated(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """The largest value in a window of so many rows and columns, both odd."""
    if values.dtype == bool:  # NumPy compares bytes many at a time, but bools one by one
        return dilated(values.view(np.uint8), rows, columns).view(bool)
    return widest(widest(values, rows, 0), columns, 1)


def eroded(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """The smallest value in a window of so many rows and columns, both odd."""
    if values.dtype == bool:
        return ~dilated(~values, rows, columns)
    return -dilated(-values, rows, columns)


def closed(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """What is lower than its surroundings and smaller than the window is filled."""
    return eroded(dilated(values, rows, columns), rows, columns)


def opened(values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """What is higher than its surroundings and smaller than the window is taken away."""
    return dilated(eroded(values, rows, columns), rows, columns)


def blurred(levels: Levels, sigma: float) -> Levels:
    """Levels under a Gaussian of so many pixels; beyond the border the border goes on."""
    reach = max(1, round(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2).astype(np.float32)
    weights /= weights[0] + 2 * weights[1:].sum()
    for axis in (0, 1):
        wide = _with_margin(levels, reach, axis)
        parts = [
            wide[k : k + levels.shape[0]] if axis == 0 else wide[:, k : k + levels.shape[1]]
            for k in range(2 * reach + 1)
        ]
        levels = weights[0] * parts[reach]
        for step in range(1, reach + 1):
            levels += weights[step] * (parts[reach - step] + parts[reach + step])
    return levels


def distance_inside(inside: Mask, reach: int | None = None) -> NDArray[np.float32]:
    """How far each point is from the nearest that is not inside; 0 for those.

    Parameters
    ----------
    inside : (H, W) bool
    reach : int, optional
        Distances along a row above it need not be right; without it all are.

    Returns
    -------
    distance : (H, W) float32
        Euclidean, between the middles of pixels. Beyond the border all is inside.

    References
    ----------
    Felzenszwalb and Huttenlocher 2012, Distance transforms of sampled functions: along the columns
    first, then along the rows; here by trying the neighbours, which are few.
    """
    height, width = inside.shape
    rows = np.arange(height, dtype=np.float32)[:, None]
    far = np.float32(height + width)
    above = np.maximum.accumulate(np.where(inside, -far, rows), axis=0)
    below = np.minimum.accumulate(np.where(inside, height + far, rows)[::-1], axis=0)[::-1]
    along = np.minimum(rows - above, below - rows) ** 2
    squared = along.copy()
    for step in range(1, width if reach is None else min(reach + 1, width)):
        if step * step >= squared.max():
            break
        apart = np.float32(step * step)
        np.minimum(squared[:, step:], along[:, :-step] + apart, out=squared[:, step:])
        np.minimum(squared[:, :-step], along[:, step:] + apart, out=squared[:, :-step])
    return np.asarray(np.sqrt(squared))


# Pieces -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pieces:
    """The connected pieces of a mask, as runs: unbroken stretches of a row.

    Parameters
    ----------
    shape : (H, W)
    rows, starts, stops : (R,) intp
        Where each run is; `stops` is exclusive. From top to bottom, from left to right.
    piece_of : (R,) intp
        To which piece each run belongs.
    count : int
        How many pieces there are.
    """

    shape: tuple[int, int]
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    piece_of: NDArray[np.intp]
    count: int

    @property
    def areas(self) -> NDArray[np.intp]:
        """How many pixels each piece has: (count,)."""
        lengths = self.stops - self.starts
        return np.bincount(self.piece_of, lengths, self.count).astype(np.intp)

    @property
    def boxes(self) -> NDArray[np.intp]:
        """Where each piece is: (count, 4), as (top, left, bottom, right)."""
        boxes = np.empty((self.count, 4), np.intp)
        boxes[:, :2], boxes[:, 2:] = max(self.shape), 0
        np.minimum.at(boxes[:, 0], self.piece_of, self.rows)
        np.minimum.at(boxes[:, 1], self.piece_of, self.starts)
        np.maximum.at(boxes[:, 2], self.piece_of, self.rows + 1)
        np.maximum.at(boxes[:, 3], self.piece_of, self.stops)
        return boxes

    def mask(self, chosen: Mask) -> Mask:
        """The chosen pieces drawn: chosen (count,) bool to (H, W) bool."""
        mine = chosen[self.piece_of]
        return draw_runs(self.shape, self.rows[mine], self.starts[mine], self.stops[mine])

    def cut(self, piece: int) -> tuple[Mask, Box]:
        """One piece cut to its box: (h, w) bool, and the box."""
        mine = np.flatnonzero(self.piece_of == piece)
        rows, starts, stops = self.rows[mine], self.starts[mine], self.stops[mine]
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(starts.min()), int(stops.max())
        mask = draw_runs((bottom - top, right - left), rows - top, starts - left, stops - left)
        return mask, (top, left, bottom, right)

    def touching(self, mask: Mask) -> Mask:
        """Which pieces have a point in common with a mask: (count,) bool."""
        before = np.zeros((mask.shape[0], mask.shape[1] + 1), np.intp)
        np.cumsum(mask, axis=1, out=before[:, 1:])
        inside = before[self.rows, self.stops] > before[self.rows, self.starts]
        return np.bincount(self.piece_of[inside], minlength=self.count) > 0

    def edge_points(self, piece: int) -> NDArray[np.intp]:
        """The ends of one piece's runs, as (n, 2) rows and columns."""
        mine = self.piece_of == piece
        rows = np.concatenate([self.rows[mine]] * 2)
        return np.stack([rows, np.concatenate([self.starts[mine], self.stops[mine] - 1])], 1)


def find_pieces(mask: Mask) -> Pieces:
    """The connected pieces of a mask; pixels that meet at a corner are connected.

    Parameters
    ----------
    mask : (H, W) bool

    Returns
    -------
    Pieces

    References
    ----------
    Shiloach and Vishkin 1982, An O(log n) parallel connectivity algorithm, on runs.
    """
    rows, starts, stops = find_runs(mask)
    stride = mask.shape[1] + 1
    begins, ends = rows * stride + starts, rows * stride + stops
    # Of the next row, those that end no earlier than a run begins, and begin no later than it ends.
    first = np.searchsorted(ends, begins + stride)
    count = np.maximum(np.searchsorted(begins, ends + stride, side="right") - first, 0)
    upper = np.repeat(np.arange(len(rows)), count)
    lower = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    lower += np.repeat(first, count)
    root = np.arange(len(rows))
    while True:
        low, high = np.minimum(root[upper], root[lower]), np.maximum(root[upper], root[lower])
        if np.array_equal(low, high):
            break
        np.minimum.at(root, high, low)
        while not np.array_equal(root, jumped := root[root]):
            root = jumped
    roots, piece_of = np.unique(root, return_inverse=True)
    height, width = mask.shape
    return Pieces((height, width), rows, starts, stops, piece_of, len(roots))


def find_runs(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Unbroken stretches of True in the rows of a mask: rows, starts and (exclusive) stops."""
    stride = mask.shape[1] + 1
    wide = np.zeros((mask.shape[0], stride), np.int8)
    wide[:, :-1] = mask
    flat = wide.reshape(-1)
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if len(flat) and flat[0]:
        ends = np.concatenate([[0], ends])
    begins, stops = ends[::2], ends[1::2]
    rows = begins // stride
    return rows, begins - rows * stride, stops - rows * stride


def draw_runs(
    shape: tuple[int, int],
    rows: NDArray[np.intp],
    starts: NDArray[np.intp],
    stops: NDArray[np.intp],
) -> Mask:
    """Stretches of rows as a mask (H, W): the inverse of `find_runs`."""
    height, width = shape
    change = np.zeros(height * (width + 1), np.int8)
    change[rows * (width + 1) + starts] = 1
    change[rows * (width + 1) + stops] = -1
    return np.cumsum(change, dtype=np.int8).reshape(height, width + 1)[:, :-1] > 0


# Boxes --------------------------------------------------------------------------------------------


def box_of(mask: Mask) -> Box:
    """(top, left, bottom, right) of what is True, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def sides_of(box: Box) -> tuple[int, int]:
    """(height, width)."""
    top, left, bottom, right = box
    return bottom - top, right - left


def touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a box reaches the border of a picture of that shape."""
    return box[0] <= 0 or box[1] <= 0 or box[2] >= shape[0] or box[3] >= shape[1]


def stroke_width(mask: Mask) -> float:
    """Mean width of strokes: twice their area by the length of their outline.

    References
    ----------
    Crofton's formula: an outline's length is π/4 of how often rows and columns cross it.
    """
    padded = np.pad(mask, 1)
    crossings = (padded[:, 1:] != padded[:, :-1]).sum() + (padded[1:] != padded[:-1]).sum()
    return float(2 * mask.sum() / (np.pi / 4 * crossings)) if crossings else 0.0


def border_levels(levels: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels of (H, W), those of the corners twice: (2 H + 2 W,)."""
    return np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
