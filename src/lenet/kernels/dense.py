"""C5, F6 and the output: dense layers, radial basis units, and the way back through them."""

from dataclasses import dataclass
from typing import Any

import halide as hl

from lenet.kernels.activation import Activation
from lenet.kernels.functions import Expr, Func, raised
from lenet.kernels.layout import LANES, b, k, lane, row_of, whole_vectors
from lenet.networks.sizes import F6_UNITS

_UNITS = 12  # accumulators of a register tile


@dataclass(frozen=True)
class Dense:
    """A dense layer's Funcs of (lane, k, b): what it sees, its weighted sums, its output.

    `slope_from` is what the activation's derivative takes: the output, or a copy of the sums.
    """

    source: Func
    sums: Func
    output: Func
    slope_from: Func


def dense_layer(
    name: str, source: Func, inputs: int, weights: dict[str, Any], squash: Activation | None
) -> Dense:
    """Every unit sees every input."""
    total, f = hl.Func(f"{name}_sum"), hl.Func(name)
    r = hl.RDom([(0, inputs)], f"{name}_r")
    total[lane, k, b] = weights[f"{name}.bias"][k]
    total[lane, k, b] += weights[f"{name}.weight"][r[0], k] * source[lane, r[0], b]
    if squash is None or squash.is_monotonic:
        z = total[lane, k, b]
        f[lane, k, b] = z if squash is None else squash.value(z)
        return Dense(source, total, f, f)
    kept = hl.Func(f"{name}_kept_sum")  # only where a schedule says so: else it is no Func at all
    kept[lane, k, b] = total[lane, k, b]
    f[lane, k, b] = squash.value(kept[lane, k, b])
    return Dense(source, total, f, kept)


def radial_basis(source: Func, centers: Any) -> Dense:
    """Score = −Σ (x − w)², difference by difference: its expansion cancels near a code."""
    total, f = hl.Func("output_sum"), hl.Func("output")
    r = hl.RDom([(0, F6_UNITS)], "output_r")
    difference = source[lane, r[0], b] - centers[r[0], k]
    total[lane, k, b] = hl.f32(0)
    total[lane, k, b] += difference * difference
    f[lane, k, b] = -total[lane, k, b]
    return Dense(source, total, f, f)


def masked(f: Func, mask: Any | None) -> Func:
    """Dropout: `f` times a mask that torch has drawn, image by image."""
    if mask is None:
        return f
    g = hl.Func(f"{f.name()}_kept")
    g[lane, k, b] = f[lane, k, b] * mask[k, row_of(mask)]
    return g


def dense_back(name: str, delta: Func, units: int, weight: Any, power: int = 1) -> Func:
    """The gradient of a dense layer's inputs; with `power` 2 their second derivatives."""
    f = hl.Func(f"{name}_back")
    r = hl.RDom([(0, units)], f"{name}_back_r")
    f[lane, k, b] = hl.f32(0)
    f[lane, k, b] += raised(weight[k, r[0]], power) * delta[lane, r[0], b]
    return f


def radial_basis_back(delta: Func, features: Func, classes: int, centers: Any) -> Func:
    """d/dx of −Σ (x − w)², times each score's gradient."""
    f = hl.Func("output_back")
    r = hl.RDom([(0, classes)], "output_back_r")
    difference = features[lane, k, b] - centers[k, r[0]]
    f[lane, k, b] = hl.f32(0)
    f[lane, k, b] -= hl.f32(2) * difference * delta[lane, r[0], b]
    return f


def activation_back(
    name: str,
    back: Func,
    slope_from: Func,
    activation: Activation,
    mask: Any = None,
    power: int = 1,
) -> Func:
    """Through Dropout and the squashing function of a dense layer."""
    f = hl.Func(f"{name}_delta")
    slope = raised(activation.derivative(slope_from[lane, k, b]), power)
    f[lane, k, b] = masked(back, mask)[lane, k, b] * slope
    return f


def weight_gradient(name: str, delta: Func, rows: Func, blocks: Expr) -> tuple[Func, Func]:
    """A dense layer's weights: the outer product of deltas and inputs, summed over the images.

    Parameters
    ----------
    delta : Func of (lane, unit, b)
    rows : Func of (input, image of the block, b)
        The layer's inputs image by image, so that weights, not images, are the lanes.

    Returns
    -------
    total, f : Func of (k, unit)
        The sum, and the gradient that it is copied into.
    """
    f, total = hl.Func(f"{name}_weight_gradient"), hl.Func(f"{name}_weight_sum")
    unit, r = hl.Var("unit_index"), hl.RDom([(0, LANES), (0, blocks)], f"{name}_outer_r")
    total[k, unit] = hl.f32(0)
    total[k, unit] += rows[k, r[0], r[1]] * delta[r[0], unit, r[1]]
    f[k, unit] = total[k, unit]
    return total, f


def center_gradient(delta: Func, rows: Func, centers: Any, blocks: Expr) -> Func:
    """Of −Σ (x − w)², the codes: 2 (x − w) for each score's gradient; Func of (k, unit)."""
    f, unit = hl.Func("centers_gradient"), hl.Var("unit_index")
    r = hl.RDom([(0, LANES), (0, blocks)], "centers_r")
    f[k, unit] = hl.f32(0)
    difference = rows[k, r[0], r[1]] - centers[k, unit]
    f[k, unit] += hl.f32(2) * difference * delta[r[0], unit, r[1]]
    f.update().vectorize(k, 4)
    return f


# --- Schedules ------------------------------------------------------------------------------------


def tile_units(layer: Dense, f: Func) -> None:
    """Register tile: twelve units of a block's images; `f` is the Func that reads the sums."""
    total, unit = layer.sums, hl.Var("unit")
    f.split(k, k, unit, _UNITS, hl.TailStrategy.GuardWithIf)
    total.compute_at(f, k).bound_extent(lane, LANES).vectorize(lane).unroll(k)
    r = total.rvars(0)
    total.update().reorder(lane, k, r[0]).vectorize(lane).unroll(k)


def tile_inputs(layer: Dense, units: int, wide: int) -> None:
    """One image: each lane sums its share of a unit's inputs; some units at once."""
    f, total = layer.output, layer.sums
    unit, share = hl.Var("unit"), hl.Var("share")
    outer, inner = hl.RVar("outer"), hl.RVar("inner")
    some = next(n for n in (12, 10, 8, 7, 6, 5, 4, 3, 2, 1) if units % n == 0)
    f.bound(k, 0, units).vectorize(k, min(LANES, units), hl.TailStrategy.ShiftInwards)
    total.compute_root().bound_extent(lane, 1).bound_extent(b, 1).bound(k, 0, units)
    update = total.update().split(total.rvars(0)[0], outer, inner, wide)
    shares = update.rfactor(inner, share)
    update.split(k, k, unit, some).reorder(inner, unit, k).atomic().vectorize(inner).unroll(unit)
    shares.compute_at(total, k).vectorize(share).unroll(k)
    shares.update().reorder(share, k, outer).vectorize(share).unroll(k)


def tile_back(back: Func, delta: Func) -> None:
    """Register tile: the gradient of twelve inputs at a time, each taken on through its slope."""
    unit = hl.Var("unit")
    accumulate_units(back)
    back.compute_at(delta, k).bound_extent(lane, LANES).vectorize(lane).unroll(k)
    delta.split(k, k, unit, _UNITS)


def accumulate_units(back: Func) -> None:
    """All of `k` that is asked for in registers, by turns of the layer's units."""
    back.update().reorder(lane, k, back.rvars(0)[0]).vectorize(lane).unroll(k)


def tile_wide_back(back: Func) -> None:
    """C5 has 400 inputs: sixteen of them in registers, the rest in the first-level cache."""
    unit, r = hl.Var("unit"), back.rvars(0)
    back.update().split(k, k, unit, 16).reorder(lane, unit, r[0], k, b)
    back.update().vectorize(lane).unroll(unit)


def tile_weight_gradient(
    name: str, total: Func, f: Func, *, inputs: int, units: int, parallel: bool
) -> None:
    """Register tile: up to 24 accumulators, some units by some vectors of inputs."""
    unit, inner, column = hl.Var("unit_index"), hl.Var("inner"), hl.Var("column")
    r = total.rvars(0)
    vectors = next(t for t in (5, 4, 3, 2, 1) if (whole_vectors(inputs) // LANES) % t == 0)
    tile = next(t for t in (24 // vectors, 5, 4, 3, 2, 1) if units % t == 0)
    f.bound(k, 0, inputs).bound(unit, 0, units)
    f.split(unit, unit, inner, tile)
    f.split(k, k, column, vectors * LANES, hl.TailStrategy.GuardWithIf)
    f.vectorize(column, LANES).reorder(column, inner, unit, k)
    if parallel:
        # Some inputs with many units: the inputs stay in the first-level cache.
        task, tiles = hl.Var("task"), units // tile
        f.split(unit, task, unit, next(t for t in (5, 7) if tiles % t == 0))
        f.reorder(column, inner, unit, k, task).parallel(task)
    total.compute_at(f, unit).vectorize(k, LANES).unroll(k).unroll(unit)
    total.update().reorder(k, unit, r[0], r[1]).vectorize(k, LANES).unroll(k).unroll(unit)
