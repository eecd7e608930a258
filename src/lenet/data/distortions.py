"""Planar affine distortions: training images moved, scaled, squeezed, sheared, turned, mirrored."""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import BORDER, INK_SIZE, PADDED_SIZE, check_ink
from lenet.errors import InputError, SettingError, ShapeError

CENTRE = (PADDED_SIZE - 1) / 2
"""Row and column of the frame's centre: what scaling, rotation and shear leave in place."""

_LARGEST_ENTRY = 1e6  # far outside any frame, and safe in float32
_CHUNK = 256  # images warped at once: few enough to stay in the cache


@dataclass(frozen=True)
class Distortions:
    """How far training images may be distorted; all zero means not at all.

    Each value is drawn uniformly between minus and plus its limit.

    Parameters
    ----------
    shift : float, pixels
        Along rows and along columns.
    scale : float, fraction below 1
        0.1 scales by 0.9 to 1.1.
    squeeze : float, fraction below 1
        Stretches rows by 1 + s and compresses columns by it, or the reverse; the area stays.
    rotate : float, radians
    shear : float, pixels per pixel
        Columns move in proportion to their height above the centre.
    flip : bool
        Mirrors left and right, one image in two.

    Raises
    ------
    InputError
        When a limit is negative, not finite, or a fraction of 1 or more.

    References
    ----------
    LeCun et al. 1998, Sec. III.B: translation, scaling, squeezing and horizontal shear, whose
    ranges the paper does not give.
    """

    shift: float = 0.0
    scale: float = 0.0
    squeeze: float = 0.0
    rotate: float = 0.0
    shear: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
                raise SettingError(field.name, f"must be finite and not negative, got {value!r}")
        for name in ("scale", "squeeze"):
            if getattr(self, name) >= 1:
                raise SettingError(name, f"must be a fraction below 1, got {getattr(self, name)}")

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one distortion for each of `n` images.

        Always takes the same count of random numbers, so that changing one limit leaves the draws
        of the others as they were.

        Returns
        -------
        matrices : (n, 2, 3) float32
            From a pixel of the 32×32 frame to its source, both counted from the centre:
            `(source_column, source_row) = m @ (column - 15.5, row - 15.5, 1) + 15.5`.
        """
        draws = rng.uniform(-1, 1, (n, 7))
        right, down, scale, squeeze, rotate, shear = (
            limit * draws[:, i]
            for i, limit in enumerate(
                (self.shift, self.shift, self.scale, self.squeeze, self.rotate, self.shear)
            )
        )
        mirror = np.where(self.flip & (draws[:, 6] < 0), -1.0, 1.0)
        across = mirror * (1 + scale) / (1 + squeeze)
        upright = (1 + scale) * (1 + squeeze)
        c, s = np.cos(rotate), np.sin(rotate)
        # The ink is mirrored and stretched, sheared, turned, then shifted. Each pixel comes from
        # the inverse, whose factors stand in the opposite order:
        #   (1 / across       0     )   (1  -shear)   ( c  s)
        #   (    0       1 / upright) · (0    1   ) · (-s  c)
        inverse = (
            ((c + shear * s) / across, (s - shear * c) / across),
            (-s / upright, c / upright),
        )
        matrices = np.empty((n, 2, 3), np.float32)
        for i, (by_column, by_row) in enumerate(inverse):
            matrices[:, i, 0], matrices[:, i, 1] = by_column, by_row
            matrices[:, i, 2] = -(by_column * right + by_row * down)
        return matrices


def warp(ink: NDArray[np.uint8], matrices: NDArray[np.floating]) -> NDArray[np.float32]:
    """Take every pixel of the padded frame from its source, bilinearly; outside is paper.

    Parameters
    ----------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
    matrices : (N, 2, 3), finite
        As `Distortions.sample` draws them.

    Returns
    -------
    frames : (N, 32, 32) float32, 0 … 255

    Raises
    ------
    ShapeError
        When the shapes do not fit together.
    InputError
        When a matrix holds a number that is not finite or absurdly large.
    """
    check_ink(ink)
    n = len(ink)
    if matrices.shape != (n, 2, 3):
        raise ShapeError(f"{n} images need matrices ({n}, 2, 3), got {matrices.shape}")
    if n and not np.abs(matrices).max() < _LARGEST_ENTRY:  # also refuses not-a-number
        raise InputError(f"a distortion matrix has an entry that is not below {_LARGEST_ENTRY:g}")
    frames = np.empty((n, PADDED_SIZE, PADDED_SIZE), np.float32)
    for first in range(0, n, _CHUNK):
        chunk = slice(first, first + _CHUNK)
        frames[chunk] = _warp_chunk(ink[chunk], matrices[chunk].astype(np.float32))
    return frames


def _warp_chunk(ink: NDArray[np.uint8], matrices: NDArray[np.float32]) -> NDArray[np.float32]:
    n = len(ink)
    # One pixel of paper around the ink: coordinates clipped to its far edge read paper alone.
    side = INK_SIZE + 2
    paper = np.zeros((n, side, side), np.uint8)
    paper[:, 1:-1, 1:-1] = ink
    # Each cell's four corners side by side, so that one look-up fetches all of them.
    cells = np.stack(
        [paper[:, :-1, :-1], paper[:, :-1, 1:], paper[:, 1:, :-1], paper[:, 1:, 1:]], axis=-1
    )  # (n, 29, 29, 4)
    n_cells = side - 1

    steps = np.arange(PADDED_SIZE, dtype=np.float32) - np.float32(CENTRE)
    origin = np.float32(CENTRE - BORDER + 1)
    m = matrices[:, :, :, None, None]  # each entry (n, 1, 1)
    columns = (m[:, 0, 0] * steps + m[:, 0, 2]) + m[:, 0, 1] * steps[:, None] + origin
    rows = (m[:, 1, 0] * steps + m[:, 1, 2]) + m[:, 1, 1] * steps[:, None] + origin
    np.clip(columns, 0, n_cells, out=columns)  # (n, 32, 32)
    np.clip(rows, 0, n_cells, out=rows)
    left = np.minimum(columns.astype(np.int32), n_cells - 1)
    top = np.minimum(rows.astype(np.int32), n_cells - 1)
    columns -= left
    rows -= top

    image = np.arange(n, dtype=np.int32)[:, None, None]
    index = (image * n_cells + top) * n_cells + left
    # (n, 32, 32) look-ups of four bytes each, taken apart again
    quads = cells.reshape(-1, 4).view(np.uint32)[:, 0].take(index)
    corners = quads.view(np.uint8).reshape(n, PADDED_SIZE, PADDED_SIZE, 4)
    top_left, top_right, bottom_left, bottom_right = (
        corners[..., i].astype(np.float32) for i in range(4)
    )
    top_left += columns * (top_right - top_left)
    bottom_left += columns * (bottom_right - bottom_left)
    return top_left + rows * (bottom_left - top_left)
