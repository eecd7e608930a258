"""Partial sums: what leaves the loop over blocks, and is then added in one fixed order."""

from collections.abc import Callable
from typing import Any

import halide as hl

from lenet.kernels.functions import Expr, Func
from lenet.kernels.layout import LANES, Extents, b, lane
from lenet.kernels.pipeline import Pipeline


class PartialSums:
    """Each block's share of the gradients, written in the one loop over the blocks.

    Parameters
    ----------
    pipeline : Pipeline
        Whose outputs they become, as ``NAME.blocks``.
    extents : dict of str to Extents
        Of each partial sum's array.
    """

    def __init__(self, pipeline: Pipeline, extents: dict[str, Extents]) -> None:
        self._pipeline, self._extents = pipeline, extents
        self._funcs: dict[str, Func] = {}
        self.loop: Func | None = None

    def __getitem__(self, name: str) -> Func:
        """The partial sum of that name."""
        return self._funcs[name]

    def write(self, name: str, f: Func) -> None:
        """Written at the end of a block's turn; the first one is the loop that all share."""
        extents = self._extents[name]
        for variable, extent in zip(f.args(), reversed(extents), strict=True):
            if isinstance(extent, int):
                f.bound(variable, 0, extent)
        self._funcs[name] = f
        self._pipeline.write(f"{name}.blocks", f, extents)
        f.parallel(b)
        if self.loop is None:
            self.loop = f
        else:
            f.compute_with(self.loop, b)

    def write_copy(self, name: str, f: Func) -> None:
        """`compute_with` refuses a Func that another Func of the loop reads: a copy is written."""
        copy, at = hl.Func(f"{name}_copy".replace(".", "_")), tuple(f.args())
        copy[at] = f[at]
        copy.vectorize(lane)
        self.write(name, copy)

    def write_transposed(self, name: str, f: Func, units: int) -> None:
        """A layer's output image by image, so that weights, not images, can be the lanes."""
        image, unit = hl.Var("image"), hl.Var("unit")
        rows = hl.Func(name.replace(".", "_"))
        # Whole vectors: what lies beyond the last unit repeats it and is never stored.
        rows[unit, image, b] = f[image, hl.min(unit, units - 1), b]
        rows.vectorize(unit, LANES)
        self.write(name, rows)


def sum_of_lanes(name: str, of: Callable[[Expr], Expr], *variables: Any) -> Func:
    """The sum over the 16 lanes, in one fixed order."""
    f = hl.Func(name)
    quarter = LANES // 4
    r = hl.RDom([(0, quarter)], f"{name}_r")
    f[variables] = hl.f32(0)
    f[variables] += (of(r[0]) + of(r[0] + 2 * quarter)) + (
        of(r[0] + quarter) + of(r[0] + 3 * quarter)
    )
    f.update().atomic().vectorize(r[0])
    return f


def sum_of_blocks(name: str, partial: Func, unit: Any, extent: int, blocks: Expr) -> Func:
    """A bias's or coefficient's gradient: (lane, unit, b) summed over images, then over blocks."""
    f, lanes = hl.Func(f"{name}_gradient"), hl.Func(f"{name}_lanes")
    r = hl.RDom([(0, blocks)], f"{name}_blocks")
    lanes[lane, unit] = hl.f32(0)
    lanes[lane, unit] += partial[lane, unit, r[0]]
    f[unit] = sum_of_lanes(f"{name}_sum", lambda i: lanes[i, unit], unit)[unit]
    lanes.compute_at(f, unit).bound_extent(lane, LANES).vectorize(lane)
    lanes.update().vectorize(lane)
    return f.bound(unit, 0, extent)
