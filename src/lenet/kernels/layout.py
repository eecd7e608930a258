"""How arrays lie in memory: blocks of sixteen images with the image innermost, and the dimensions.

Every map of a block is stored as ``[block, map, row, column, image]``: sixteen images fill a SIMD
vector whatever the width of a map is, and a weight is a scalar that is broadcast to its lanes.
Halide lists the innermost dimension first, so such an array is indexed ``f[lane, x, y, m, b]``.

==========  =============================================================  =====================
variable    what it counts                                                 extent
==========  =============================================================  =====================
``lane``    the image within its block                                     16
``x, y``    column and row of a map                                        32, 28, 14, 10 or 5
``m``       map of a convolution or pooling; in weights the output map     6 or 16
``k``       unit of a dense layer; in weights its input                    400, 120, 84, classes
``b``       block of images; of the walk through patterns, the pattern     ⌈images / 16⌉
``group``   columns that Toom–Cook computes together                       7 (C1) or 2 (C3)
``point``   row of Toom–Cook's A, G and B: a product of such a group       8 (C1) or 9 (C3)
==========  =============================================================  =====================

Weights are stored as torch stores them, outermost first.
"""

from collections.abc import Callable, Sequence
from typing import Any

import halide as hl

from lenet.data.preprocessing import PADDED_SIZE
from lenet.kernels.functions import Expr
from lenet.networks.sizes import S2_SIZE, convolved

LANES = 16
C1_SIZE, C3_SIZE = convolved(PADDED_SIZE), convolved(S2_SIZE)  # 28, 10

lane, x, y, m, b, k, group, point = hl.vars("lane x y m b k group point")

Extents = tuple[int | str, ...]
"""Of an array, outermost first; "n" is the number of images, "b" that of blocks."""


def pack(array: Any, extents: Extents) -> None:
    """Tell Halide the array's extents, and that nothing lies between its elements."""
    stride = 1
    for i, extent in enumerate(reversed(extents)):
        dimension = array.dim(i)
        dimension.set_stride(stride)
        dimension.set_min(0)
        if isinstance(extent, int):
            dimension.set_extent(extent)
            stride *= extent


def whole_vectors(n: int) -> int:
    """`n` rounded up to whole vectors of lanes."""
    return -(-n // LANES) * LANES


def row_of(array: Any) -> Expr:
    """The row of an (images, …) array for this lane; spare lanes repeat the last image."""
    return hl.min(b * LANES + lane, array.dim(array.dimensions() - 1).extent() - 1)


def is_spare(array: Any) -> Expr:
    """True in the last block's unused lanes, whose gradient must be 0."""
    return b * LANES + lane >= array.dim(array.dimensions() - 1).extent()


def lookup(values: Sequence[int], name: str) -> Callable[[Expr], Expr]:
    """A constant table of small integers as a function of an index."""
    table = hl.Buffer(hl.Int(32), [len(values)], name)
    for i, value in enumerate(values):
        table[i] = value
    last, low, high = len(values) - 1, min(values), max(values)
    # Promised, so that Halide need not prove where a link leads.
    return lambda i: hl.unsafe_promise_clamped(
        table[hl.unsafe_promise_clamped(i, 0, last)], low, high
    )
