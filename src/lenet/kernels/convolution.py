"""C1 and C3: 5×5 convolutions, direct and by Toom–Cook, and the way back through them."""

from dataclasses import dataclass
from typing import Any

import halide as hl

from lenet.kernels import toomcook
from lenet.kernels.activation import Activation
from lenet.kernels.architecture import Connections
from lenet.kernels.functions import Expr, Func
from lenet.kernels.layout import C1_SIZE, C3_SIZE, LANES, b, group, lane, lookup, m, point, x, y
from lenet.kernels.pooling import unsquash
from lenet.kernels.sums import sum_of_lanes
from lenet.kernels.toomcook import Matrix, ToomCook, apply, apply_transposed
from lenet.networks.sizes import C1_MAPS, C3_MAPS, KERNEL_SIZE, POOLING_SIZE, S2_SIZE

TOOM_COOK = {"c1": toomcook.C1, "c3": toomcook.C3}
_STRIP = 4  # rows of C1's deltas that are in the first-level cache together


@dataclass(frozen=True)
class Convolution:
    """A convolution's Funcs of (lane, x, y, m, b): its weighted sums, and its squashed output."""

    sums: Func
    output: Func

    def slope_from(self, activation: Activation) -> Func:
        """What the activation's derivative takes."""
        return self.output if activation.is_monotonic else self.sums


@dataclass(frozen=True)
class FastConvolution(Convolution):
    """The same by Toom–Cook: scaled sums, B times the inputs, G times the taps, and ⊙ of both."""

    inputs: Func
    taps: Func
    products: Func


@dataclass(frozen=True)
class OneImageConvolution(Convolution):
    """The same with maps as lanes, from taps that lie side by side for all maps."""

    taps: Func


# --- Forward --------------------------------------------------------------------------------------


def convolve(
    name: str,
    source: Func,
    weights: dict[str, Any],
    connections: Connections,
    activation: Activation,
) -> Convolution:
    """By the definition: each output map sees the input maps that its links say."""
    total, f = hl.Func(f"{name}_sum"), hl.Func(name)
    widest = max(connections.fan_in)
    r = hl.RDom([(0, KERNEL_SIZE), (0, KERNEL_SIZE), (0, widest)], f"{name}_r")
    if connections.is_dense:
        link, into = m * widest + r[2], r[2]
    else:
        fan_in = lookup(connections.fan_in, f"{name}_fan_in")
        starts = [sum(connections.fan_in[:i]) for i in range(connections.outputs)]
        r.where(r[2] < fan_in(m))
        link = lookup(starts, f"{name}_start")(m) + r[2]
        into = lookup([into for _, into in connections.links], f"{name}_into")(link)
    total[lane, x, y, m, b] = weights[f"{name}.bias"][m]
    total[lane, x, y, m, b] += (
        weights[f"{name}.weight"][r[0], r[1], link] * source[lane, x + r[0], y + r[1], into, b]
    )
    f[lane, x, y, m, b] = activation.value(total[lane, x, y, m, b])
    return Convolution(total, f)


def convolve_one_image(
    name: str,
    source: Func,
    weights: dict[str, Any],
    connections: Connections,
    activation: Activation,
) -> Convolution:
    """For one image: C1 by the definition, its columns as lanes; C3 with its maps as lanes."""
    if name == "c1":
        return convolve(name, source, weights, connections, activation)
    total, f = hl.Func("c3_sum"), hl.Func("c3")
    taps = _dense_taps("c3_taps", weights["c3.weight"], connections)
    r = hl.RDom([(0, KERNEL_SIZE), (0, KERNEL_SIZE), (0, connections.inputs)], "c3_r")
    total[m, lane, x, y, b] = weights["c3.bias"][m]
    total[m, lane, x, y, b] += taps[m, r[0], r[1], r[2]] * source[lane, x + r[0], y + r[1], r[2], b]
    f[lane, x, y, m, b] = activation.value(total[m, lane, x, y, b])
    return OneImageConvolution(total, f, taps)


def convolve_fast(
    name: str,
    source: Func,
    weights: dict[str, Any],
    connections: Connections,
    activation: Activation,
) -> FastConvolution:
    """By Toom–Cook, a group of columns at a time.

    A table of connections runs as if it were dense, with zero kernels where there is no link: that
    takes fewer products than its links would by the definition.
    """
    toom_cook, scale = TOOM_COOK[name], activation.scale
    inputs = transform_inputs(f"{name}_inputs", source, toom_cook)
    taps = _transform_taps(f"{name}_taps", weights[f"{name}.weight"], connections, toom_cook, scale)
    products, t, f = (hl.Func(f"{name}{n}") for n in ("_products", "_scaled_sum", ""))
    r = hl.RDom([(0, KERNEL_SIZE), (0, connections.inputs)], f"{name}_r")
    products[lane, point, group, y, m, b] = hl.f32(0)
    products[lane, point, group, y, m, b] += (
        taps[point, m, r[0], r[1]] * inputs[lane, point, group, y + r[0], r[1], b]
    )
    of_group = [products[lane, i, x // toom_cook.outputs, y, m, b] for i in range(toom_cook.count)]
    sums = apply_transposed(toom_cook.A, of_group)
    t[lane, x, y, m, b] = (
        hl.mux(x % toom_cook.outputs, sums) + hl.f32(scale) * weights[f"{name}.bias"][m]
    )
    f[lane, x, y, m, b] = activation.of_scaled(t[lane, x, y, m, b])
    return FastConvolution(t, f, inputs, taps, products)


def transform_inputs(name: str, source: Func, toom_cook: ToomCook) -> Func:
    """B times the inputs of each group of columns: Func of (lane, point, group, y, m, b)."""
    return _transform_columns(name, source, toom_cook, toom_cook.B)


def transform_deltas(name: str, delta: Func, toom_cook: ToomCook) -> Func:
    """A times the deltas of each group of columns: Func of (lane, point, group, y, m, b)."""
    return _transform_columns(name, delta, toom_cook, toom_cook.A)


def _transform_columns(name: str, source: Func, toom_cook: ToomCook, matrix: Matrix) -> Func:
    f, first = hl.Func(name), toom_cook.outputs * group
    neighbours = [source[lane, first + i, y, m, b] for i in range(len(matrix[0]))]
    f[lane, point, group, y, m, b] = hl.mux(point, apply(matrix, neighbours))
    return f.bound(point, 0, toom_cook.count).unroll(point)


def _transform_taps(
    name: str, weight: Any, connections: Connections, toom_cook: ToomCook, scale: float
) -> Func:
    """G times the scaled kernels: Func of (point, m, kernel row, input map)."""
    row, into, f = hl.Var("kernel_row"), hl.Var("into"), hl.Func(name)
    taps = _dense_taps(f"{name}_dense", weight, connections)
    scaled = [hl.f32(scale) * taps[m, i, row, into] for i in range(KERNEL_SIZE)]
    f[point, m, row, into] = hl.mux(point, apply(toom_cook.G, scaled))
    f.bound(point, 0, toom_cook.count).bound(m, 0, connections.outputs)
    f.bound(row, 0, KERNEL_SIZE).bound(into, 0, connections.inputs)
    f.compute_root().reorder(m, point, row, into).unroll(point)
    if not connections.is_dense:
        taps.compute_at(f, row).vectorize(m, LANES)
    return f.vectorize(m, min(connections.outputs, LANES), hl.TailStrategy.ShiftInwards)


def _dense_taps(name: str, weight: Any, connections: Connections) -> Func:
    """The kernels side by side, zeros where there is no link: Func of (m, column, row, into)."""
    column, row, into, f = hl.Var("column"), hl.Var("kernel_row"), hl.Var("into"), hl.Func(name)
    place = m * connections.inputs + into
    if connections.is_dense:
        f[m, column, row, into] = weight[column, row, place]
        return f
    of = {ends: i for i, ends in enumerate(connections.links)}
    every = [(out, i) for out in range(connections.outputs) for i in range(connections.inputs)]
    is_link = lookup([int(ends in of) for ends in every], f"{name}_is_link")(place) == 1
    link = lookup([of.get(ends, 0) for ends in every], f"{name}_link")(place)
    f[m, column, row, into] = hl.select(is_link, weight[column, row, link], hl.f32(0))
    return f


# --- Forward: schedules ---------------------------------------------------------------------------


def tile_groups(
    layer: FastConvolution, toom_cook: ToomCook, activation: Activation, maps: int, *, keep: bool
) -> None:
    """Register tile: all points of a group of columns by some maps, of a block's images.

    With `keep` the sums leave the tile as they are, and are squashed afterwards.
    """
    products, t = layer.products, layer.sums
    f = t if keep else layer.output
    column, map_ = hl.Var("column"), hl.Var("map")
    f.align_bounds(x, toom_cook.outputs)
    f.split(x, x, column, toom_cook.outputs).split(m, m, map_, maps)
    f.reorder(lane, column, map_, m, x, y)
    if activation.is_cheap or keep:
        f.unroll(column).unroll(map_)
    else:
        # A group's columns are one vector, so that their squashing functions go side by side: one
        # after the other, each would wait for its own steps.
        f.vectorize(column)
        t.compute_at(f, m).bound_extent(lane, LANES).vectorize(lane).unroll(x).unroll(m)
        t.align_bounds(x, toom_cook.outputs).bound_extent(x, toom_cook.outputs)
    products.compute_at(f, m).bound_extent(lane, LANES).vectorize(lane).unroll(point).unroll(m)
    update, r = products.update(), products.rvars(0)
    update.reorder(lane, point, m, r[0], r[1]).vectorize(lane).unroll(point).unroll(m)


def tile_columns(layer: Convolution, *, wide: int, maps: int, rows: int) -> None:
    """Register tile of one image: a vector of columns, by maps and rows."""
    f, total = layer.output, layer.sums
    column, row, map_ = hl.Var("column"), hl.Var("row"), hl.Var("map")
    f.split(x, x, column, wide, hl.TailStrategy.ShiftInwards).vectorize(column)
    f.split(y, y, row, rows).split(m, m, map_, maps)
    f.reorder(column, row, map_, x, y, m).unroll(row).unroll(map_)
    total.compute_at(f, x).vectorize(x).unroll(y).unroll(m)
    r = total.rvars(0)
    total.update().reorder(x, y, m, r[0], r[1], r[2]).vectorize(x).unroll(y).unroll(m)


def tile_maps(layer: OneImageConvolution) -> None:
    """Register tile of one image: a vector of maps, by the columns of a row."""
    f, total = layer.output, layer.sums
    layer.taps.compute_root().bound(m, 0, C3_MAPS).vectorize(m, LANES).never_partition_all()
    f.bound(m, 0, C3_MAPS).bound(x, 0, C3_SIZE).reorder_storage(m, lane, x, y, b)
    f.reorder(m, x, y).vectorize(m, LANES).unroll(x)
    total.compute_at(f, y).vectorize(m, LANES).unroll(x)
    r = total.rvars(0)
    total.update().reorder(m, x, r[0], r[1], r[2]).vectorize(m, LANES).unroll(x)


# --- Backward: each with its schedule below the algorithm -----------------------------------------


def s2_delta(deltas: Func, taps: Func, s2: Func, activation: Activation, squashed: bool) -> Func:
    """C3's input gradient, taken on through the function that squashes S2, if one does.

    Of each group of C3's columns Bᵀ [(G taps) ⊙ (A deltas)] is added to those columns of S2 that
    the group sees: there is no product with a border's zero. The taps are scaled.

    Parameters
    ----------
    deltas : Func of (lane, point, group, y, m, b)
        A times the deltas of C3.
    taps : Func of (point, m, kernel row, input map)
        G times the taps of C3.
    s2 : Func of (lane, x, y, m, b)
        S2's output.
    """
    toom_cook = TOOM_COOK["c3"]
    total, spread, back, f = (hl.Func(f"s2_{n}") for n in ("total", "spread", "row", "delta"))
    r = hl.RDom([(0, C3_MAPS), (0, KERNEL_SIZE)], "s2_r")
    source_row = y - r[1]
    r.where((source_row >= 0) & (source_row < C3_SIZE))
    source_row = hl.unsafe_promise_clamped(source_row, 0, C3_SIZE - 1)
    total[lane, point, group, y, m, b] = hl.f32(0)
    total[lane, point, group, y, m, b] += (
        taps[point, r[0], r[1], m] * deltas[lane, point, group, source_row, r[0], b]
    )
    column = hl.Var("column")
    of_group = [total[lane, i, group, y, m, b] for i in range(toom_cook.count)]
    spread[lane, column, group, y, m, b] = hl.mux(column, apply_transposed(toom_cook.B, of_group))
    c = hl.RDom([(0, toom_cook.count), (0, C3_SIZE // toom_cook.outputs)], "s2_columns")
    back[lane, x, y, m, b] = hl.f32(0)
    back[lane, toom_cook.outputs * c[1] + c[0], y, m, b] += spread[lane, c[0], c[1], y, m, b]
    f[lane, x, y, m, b] = unsquash(
        back[lane, x, y, m, b] * hl.f32(1 / activation.scale),
        s2[lane, x, y, m, b],
        activation if squashed else None,
    )

    some, maps = hl.Var("some"), 3
    f.bound(x, 0, S2_SIZE).bound(y, 0, S2_SIZE).bound(m, 0, C1_MAPS)
    f.split(m, m, some, maps).reorder(lane, x, some, m, y, b).unroll(x)
    back.compute_at(f, m).bound_extent(lane, LANES).vectorize(lane).unroll(x)
    back.update().reorder(lane, c[0], m, c[1]).vectorize(lane).unroll(c[0]).unroll(m)
    total.compute_at(back, c[1]).bound_extent(lane, LANES).vectorize(lane)
    total.unroll(point).unroll(m)
    total.update().reorder(lane, point, m, r[0], r[1]).vectorize(lane).unroll(point).unroll(m)
    return f


def c3_weight_partial(inputs: Func, deltas: Func) -> Func:
    """(B inputs) ⊙ (A deltas) of C3, summed over a block's images and groups of columns.

    Func of (point, kernel row, input map, m, b).
    """
    row, into = hl.Var("kernel_row"), hl.Var("into")
    tile, f = hl.Func("c3_weight_tile"), hl.Func("c3_weight")
    r = hl.RDom([(0, C3_SIZE // TOOM_COOK["c3"].outputs), (0, C3_SIZE)], "c3_weight_r")
    tile[lane, row, m, into, point, b] = hl.f32(0)
    tile[lane, row, m, into, point, b] += (
        inputs[lane, point, r[0], row + r[1], into, b] * deltas[lane, point, r[0], r[1], m, b]
    )
    at = (row, m, into, point, b)
    summed = sum_of_lanes("c3_weight_lanes", lambda i: tile[(i, *at)], *at)
    f[point, row, into, m, b] = summed[at]

    some = hl.Var("some")
    f.split(m, m, some, 4).reorder(row, some, into, m, point, b).unroll(row).unroll(some)
    summed.compute_at(f, into).unroll(row).unroll(m)
    summed.update().unroll(row).unroll(m)
    tile.compute_at(f, into)
    _tile_kernel_rows(tile, row)
    return f


def c1_weight_partial(inputs: Func, c1_delta: Func) -> Func:
    """(B inputs) ⊙ (A deltas) of C1, summed over a block's images and groups of columns.

    Func of (point, kernel row, input map, m, b). A sixth kernel row has ones in place of the
    transformed inputs: it holds the sums of A times the deltas.
    """
    toom_cook = TOOM_COOK["c1"]
    deltas = transform_deltas("c1_deltas", c1_delta, toom_cook)
    row, into, strip = hl.Var("kernel_row"), hl.Var("into"), hl.Var("strip")
    tile, total, f = (hl.Func(f"c1_weight{n}") for n in ("_tile", "_total", ""))
    r = hl.RDom([(0, C1_SIZE // toom_cook.outputs), (0, _STRIP)], "c1_weight_r")
    y_in = hl.min(row, KERNEL_SIZE - 1) + _STRIP * strip + r[1]
    tile[lane, row, m, point, strip, b] = hl.f32(0)
    tile[lane, row, m, point, strip, b] += (
        hl.select(row < KERNEL_SIZE, inputs[lane, point, r[0], y_in, 0, b], hl.f32(1))
        * deltas[lane, point, r[0], _STRIP * strip + r[1], m, b]
    )
    strips = hl.RDom([(0, C1_SIZE // _STRIP)], "c1_strips")
    total[lane, row, m, point, b] = hl.f32(0)
    total[lane, row, m, point, b] += tile[lane, row, m, point, strips[0], b]
    at = (row, m, point, b)
    summed = sum_of_lanes("c1_weight_lanes", lambda i: total[(i, *at)], *at)
    f[point, row, into, m, b] = summed[at]

    some, in_window = hl.Var("some"), hl.Var("in_window")
    f.reorder(row, m, point, into, b)
    summed.compute_at(f, row)
    total.compute_at(f, b).bound_extent(lane, LANES).vectorize(lane)
    total.bound(point, 0, toom_cook.count).bound(row, 0, KERNEL_SIZE + 1).bound(m, 0, C1_MAPS)
    update = total.update().split(m, m, some, 3).reorder(lane, row, some, m, point, strips[0], b)
    update.vectorize(lane).unroll(row).unroll(some)
    # A pooling's window at a time: what its four inputs share is computed once.
    deltas.align_bounds(y, POOLING_SIZE).split(y, y, in_window, POOLING_SIZE)
    deltas.reorder(lane, point, in_window, group, y).unroll(in_window).vectorize(lane)
    deltas.compute_at(total, strips[0]).hoist_storage(f, b).bound_extent(lane, LANES)
    tile.compute_at(total, m)
    _tile_kernel_rows(tile, row)
    return f


def _tile_kernel_rows(tile: Func, row: Any) -> None:
    """Register tile: the rows of kernels by some maps, of a block's images."""
    r = tile.rvars(0)
    tile.update().reorder(lane, row, m, r[0], r[1])
    for stage in (tile.bound_extent(lane, LANES), tile.update()):
        stage.vectorize(lane).unroll(row).unroll(m)


# --- Sums over the blocks -------------------------------------------------------------------------


def kernel_gradient(name: str, partial: Func, connections: Connections, blocks: Expr) -> Func:
    """Gᵀ times the partial sums over all blocks: Func of (kernel column, kernel row, link)."""
    toom_cook = TOOM_COOK[name]
    f, total = hl.Func(f"{name}_weight_gradient"), hl.Func(f"{name}_weight_total")
    column, row, link = hl.Var("kernel_column"), hl.Var("kernel_row"), hl.Var("link")
    out, into = (
        lookup([ends[i] for ends in connections.links], f"{name}_weight_end_{i}")(link)
        for i in range(2)
    )
    r = hl.RDom([(0, blocks)], f"{name}_weight_blocks")
    total[point, row, link] = hl.f32(0)
    total[point, row, link] += partial[point, row, into, out, r[0]]
    taps = apply_transposed(toom_cook.G, [total[i, row, link] for i in range(toom_cook.count)])
    f[column, row, link] = hl.mux(column, taps)

    f.bound(column, 0, KERNEL_SIZE).bound(row, 0, KERNEL_SIZE)
    f.bound(link, 0, len(connections.links)).unroll(column)
    total.compute_at(f, row)
    return f


def c1_bias_gradient(weight_partial: Func, blocks: Expr) -> Func:
    """The sum of the deltas: A's row of the point 1 is all ones, as the sixth row's inputs are."""
    f, r = hl.Func("c1_bias_gradient"), hl.RDom([(0, blocks)], "c1_bias_blocks")
    at_1 = TOOM_COOK["c1"].points.index(1)
    f[m] = hl.f32(0)
    f[m] += weight_partial[at_1, KERNEL_SIZE, 0, m, r[0]]
    f.update().unscheduled()
    return f.bound(m, 0, C1_MAPS)
