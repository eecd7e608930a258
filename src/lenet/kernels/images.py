"""From a data set in memory to images: chosen, padded, distorted if wanted, scaled."""

from collections.abc import Callable, Sequence
from typing import Any

import halide as hl

from lenet.data.distortions import CENTRE
from lenet.data.preprocessing import BORDER, INK_SIZE, PADDED_SIZE
from lenet.kernels.functions import Expr, Func
from lenet.kernels.layout import LANES, b, lane, row_of, x, y
from lenet.kernels.pipeline import Kernel, Pipeline

LEVELS = 4  # grey levels in a 32-bit word of ink
_CELLS = INK_SIZE + 1  # between the pixels of a row, one pixel of paper around it: 29


class Pictures:
    """Chosen pictures of a uint8 set, padded with paper, distorted if wanted, and scaled.

    The bits are those of `lenet.data.preprocessing.Preprocessing.apply` and
    `lenet.data.distortions.warp`: every product and sum is rounded as NumPy rounds it.
    """

    def __init__(self, pipeline: Pipeline, distorted: bool) -> None:
        # Four levels at a time: what makes picking slow is the number of loads.
        words = ("all", INK_SIZE, INK_SIZE // LEVELS)
        self.ink = pipeline.read("ink", words, hl.UInt(32))
        self.scaling = pipeline.read("scaling", (2,))
        self.indices = pipeline.read("indices", ("n",), hl.Int(64))
        self.n = self.indices.dim(0).extent()
        self.stages: list[Func] = []
        self.matrices: Any = None
        if distorted:
            self.matrices = pipeline.read("matrices", ("n", 2, 3))
            self._lay_out_cells()

    def chosen(self, n: Expr) -> Expr:
        """Which picture of the set is the batch's n-th."""
        last = hl.max(self.ink.dim(2).extent() - 1, 0)
        return hl.clamp(hl.cast(hl.Int(32), self.indices[n]), 0, last)

    def fill(self, f: Func, at: tuple[Any, ...], n: Expr, rows: Expr = INK_SIZE) -> None:
        """Define `f` at `at` (which has `x` and `y`, within the 32×32) from the n-th picture.

        Without distortions, from so many of its rows.
        """
        if self.matrices is not None:
            f[at] = self._scaled(self._warped(n))
            return
        f[at] = self.scaling[1]
        r = hl.RDom([(0, INK_SIZE), (0, rows)], "ink_r")
        level = hl.cast(hl.Float(32), hl.cast(hl.Int(32), self._level(r, n)))
        places = {"x": r[0] + BORDER, "y": r[1] + BORDER}
        f[tuple(places.get(v.name(), v) for v in at)] = self._scaled(level)

    def _level(self, r: Any, n: Expr) -> Expr:
        """The level at column and row `r`, 0 … 255: a word's first byte is its lowest."""
        word = self.ink[r[0] // LEVELS, r[1], self.chosen(n)]
        return (word >> hl.cast(hl.UInt(32), 8 * (r[0] % LEVELS))) & 255

    def _scaled(self, level: Expr) -> Expr:
        return hl.strict_float(hl.strict_float(level * self.scaling[0]) + self.scaling[1])

    def _lay_out_cells(self) -> None:
        # One pixel of paper around the ink: coordinates clipped to its far edge read paper alone.
        n = hl.Var("n")
        paper, self.cells = hl.Func("paper"), hl.Func("cells")
        paper[x, y, n] = hl.cast(hl.UInt(32), 0)
        r = hl.RDom([(0, INK_SIZE), (0, INK_SIZE)], "paper_r")
        paper[r[0] + 1, r[1] + 1, n] = self._level(r, n)
        # Each cell's four corners side by side, so that one look-up fetches all of them.
        self.cells[x, y, n] = (
            paper[x, y, n]
            | (paper[x + 1, y, n] << 8)
            | (paper[x, y + 1, n] << 16)
            | (paper[x + 1, y + 1, n] << 24)
        )
        paper.vectorize(x, LANES)
        paper.update().vectorize(r[0])
        self.cells.vectorize(x, LANES)
        self.stages = [paper, self.cells]

    def _warped(self, n: Expr) -> Expr:
        def corners(left: Expr, top: Expr) -> list[Expr]:
            cell = self.cells[left, top, n]
            return [hl.cast(hl.Float(32), (cell >> (8 * i)) & 255) for i in range(4)]

        return warp(lambda axis, entry: self.matrices[entry, axis, n], corners)


def warp(
    entry: Callable[[int, int], Expr],
    corners: Callable[[Expr, Expr], Sequence[Expr]],
) -> Expr:
    """The level at (x, y) of the distorted 32×32 frame, bilinearly, as `distortions.warp` has it.

    Parameters
    ----------
    entry : function of axis and column
        An entry of the 2×3 matrix that takes the frame's pixel to its source.
    corners : function of column and row, 0 … 28
        The levels at the four corners of a cell of the ink with one pixel of paper around it: the
        upper two, then the lower two.
    """
    rounded = hl.strict_float  # as NumPy rounds, operation by operation

    def source(axis: int) -> Expr:
        dx, dy = (hl.cast(hl.Float(32), v) - hl.f32(CENTRE) for v in (x, y))
        across, down = rounded(entry(axis, 0) * dx), rounded(entry(axis, 1) * dy)
        place = rounded(rounded(across + entry(axis, 2)) + down)
        place = rounded(place + hl.f32(CENTRE - BORDER + 1))
        return hl.clamp(place, hl.f32(0), hl.f32(_CELLS))

    def between(low: Expr, high: Expr, share: Expr) -> Expr:
        return rounded(low + rounded(share * (high - low)))

    column, row = source(0), source(1)
    left = hl.clamp(hl.cast(hl.Int(32), column), 0, _CELLS - 1)
    top = hl.clamp(hl.cast(hl.Int(32), row), 0, _CELLS - 1)
    upper_left, upper_right, lower_left, lower_right = corners(left, top)
    across = rounded(column - hl.cast(hl.Float(32), left))
    down = rounded(row - hl.cast(hl.Float(32), top))
    upper = between(upper_left, upper_right, across)
    lower = between(lower_left, lower_right, across)
    return between(upper, lower, down)


class ImageBlocks:
    """Images that are given, in blocks: Func of (lane, x, y, b)."""

    def __init__(self, pipeline: Pipeline, images_in_block: int) -> None:
        images = pipeline.read("images", ("n", PADDED_SIZE, PADDED_SIZE))
        self.output, self._rows = hl.Func("x"), hl.Func("rows")
        # The last block's spare lanes repeat the last image; the backward pass gives them nothing.
        last = images.dim(2).extent() - 1
        self._rows[x, lane, y, b] = images[x, y, hl.min(b * images_in_block + lane, last)]
        self.output[lane, x, y, b] = self._rows[x, lane, y, b]

    def transpose_rows(self) -> None:
        """Schedule where images become lanes, within a block's turn."""
        _transpose_rows(self._rows, self.output, y)


class StepImages:
    """The images of a training step: pictures of a set or, undistorted, images that are given.

    Attributes
    ----------
    pictures : Pictures
    output : Func of (lane, x, y, b)
    given : Expr or None
        Whether images were given; None when they cannot be.
    """

    def __init__(self, pipeline: Pipeline, distorted: bool) -> None:
        self.pictures = Pictures(pipeline, distorted)
        self.given: Expr | None = None
        self.output, at = hl.Func("x"), (lane, x, y, b)
        row = row_of(self.pictures.indices)
        if distorted:
            self.pictures.fill(self.output, at, row)
            return
        images = pipeline.read("images", ("n", PADDED_SIZE, PADDED_SIZE))
        self.given = images.dim(2).extent() > 0
        self.pictures.fill(self.output, at, row, hl.select(self.given, 0, INK_SIZE))
        self._rows = hl.Func("rows")
        self._rows[x, lane, y, b] = images[x, y, row_of(images)]
        rows = hl.select(self.given, PADDED_SIZE, 0)
        r = hl.RDom([(0, PADDED_SIZE), (0, rows)], "images_r")
        self.output[lane, r[0], r[1], b] = self._rows[r[0], lane, r[1], b]

    def schedule(self, loop: Func) -> None:
        """Where pictures and images become lanes, within a block's turn."""
        f, level = self.output, hl.RVar("level")
        if self.given is not None:
            _transpose_rows(self._rows, f, f.rvars(1)[1])
        for i in range(f.num_update_definitions()):
            r = f.rvars(i)
            update = f.update(i).split(r[0], r[0], level, LEVELS)
            update.reorder(lane, level, r[0], r[1]).vectorize(lane).unroll(level)
        for stage in self.pictures.stages:
            stage.compute_at(loop, b)


def _transpose_rows(rows: Func, images: Func, row: Any) -> None:
    """A row of sixteen images side by side: in place, their pixels would share a cache line."""
    rows.compute_at(images, row).bound_extent(lane, LANES).vectorize(x, LANES)


def gather(distorted: bool) -> Kernel:
    """Chosen pictures of a set as images (n, 32, 32)."""
    pipeline = Pipeline()
    pictures, n, images = Pictures(pipeline, distorted), hl.Var("n"), hl.Func("images")
    pictures.fill(images, (x, y, n), n)
    task = hl.Var("task")
    images.bound(x, 0, PADDED_SIZE).bound(y, 0, PADDED_SIZE)
    images.vectorize(x, LANES)
    images.split(n, task, n, LANES, hl.TailStrategy.GuardWithIf).parallel(task)
    for stage in pictures.stages:
        stage.compute_at(images, n)
    if not distorted:
        update = images.update()
        update.vectorize(images.rvars(0)[0])
        update.split(n, task, n, LANES, hl.TailStrategy.GuardWithIf).parallel(task)
    pipeline.write("images", images, ("n", PADDED_SIZE, PADDED_SIZE))
    return pipeline.compile()
