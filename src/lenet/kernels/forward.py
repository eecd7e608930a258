"""The forward pass: the layers composed, and scheduled for many images or for one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import halide as hl

from lenet.kernels.architecture import C1_CONNECTIONS, Architecture
from lenet.kernels.convolution import (
    TOOM_COOK,
    Convolution,
    FastConvolution,
    OneImageConvolution,
    convolve_fast,
    convolve_one_image,
    tile_columns,
    tile_groups,
    tile_maps,
)
from lenet.kernels.dense import Dense, dense_layer, masked, radial_basis, tile_inputs, tile_units
from lenet.kernels.functions import Func
from lenet.kernels.images import ImageBlocks
from lenet.kernels.layout import LANES, b, k, lane, m, x, y
from lenet.kernels.pipeline import Kernel, Pipeline
from lenet.kernels.pooling import pool
from lenet.networks.sizes import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    S4_FEATURES,
    S4_SIZE,
)

image = hl.Var("image")
C = TypeVar("C", bound=Convolution)


@dataclass(frozen=True)
class Layers(Generic[C]):
    """Every layer of a network as Funcs, not yet scheduled; `flat` is S4 as C5 sees it."""

    images: Func
    c1: C
    s2: Func
    c3: C
    s4: Func
    flat: Func
    c5: Dense
    f6: Dense
    output: Dense

    def scores(self, images_in_block: int) -> Func:
        """The output image by image: Func of (k, image)."""
        scores, n = hl.Func("scores"), images_in_block
        scores[k, image] = self.output.output[image % n, k, image // n]
        return scores


def compose(
    architecture: Architecture,
    images: Func,
    weights: dict[str, Any],
    masks: dict[str, Any],
    convolve: Callable[..., C],
) -> Layers[C]:
    """From images to scores, with one of the forms of a convolution.

    Parameters
    ----------
    images : Func of (lane, x, y, b)
    weights, masks : dict of str to array
        By dotted name, indexed innermost dimension first.
    convolve : function
        `convolve`, `convolve_fast` or `convolve_one_image`.
    """
    activation, squash_pooled = architecture.activation, architecture.pooled_activation
    maps, flat = hl.Func("x_maps"), hl.Func("s4_flat")
    maps[lane, x, y, m, b] = images[lane, x, y, b]
    c1 = convolve("c1", maps, weights, C1_CONNECTIONS, activation)
    s2 = pool("s2", c1.output, architecture.pooling, weights, squash_pooled)
    c3 = convolve("c3", s2, weights, architecture.connections, activation)
    s4 = pool("s4", c3.output, architecture.pooling, weights, squash_pooled)
    flat[lane, k, b] = s4[lane, k % S4_SIZE, (k // S4_SIZE) % S4_SIZE, k // S4_SIZE**2, b]
    c5 = dense_layer("c5", flat, S4_FEATURES, weights, activation)
    f6 = dense_layer("f6", masked(c5.output, masks.get("c5.mask")), C5_UNITS, weights, activation)
    features = masked(f6.output, masks.get("f6.mask"))
    if architecture.output == "rbf":
        output = radial_basis(features, weights["output.centers"])
    else:
        output = dense_layer("output", features, F6_UNITS, weights, None)
    return Layers(images, c1, s2, c3, s4, flat, c5, f6, output)


def score_many(architecture: Architecture) -> Kernel:
    """Images and weights to scores, many images at once, nothing kept."""
    pipeline = Pipeline()
    images = ImageBlocks(pipeline, LANES)
    weights, masks = pipeline.read_weights(architecture), pipeline.read_masks(architecture)
    layers = compose(architecture, images.output, weights, masks, convolve_fast)
    scores = layers.scores(LANES)
    loop = loop_over_blocks(scores)
    schedule_layers(layers, architecture, loop, keep=False)
    images.transpose_rows()
    pipeline.write("scores", scores, ("n", architecture.classes))
    return pipeline.compile(trusting=True)


def loop_over_blocks(scores: Func) -> Func:
    """Scores, a task for each block of images."""
    rows = hl.Var("rows")
    return scores.split(image, b, rows, LANES, hl.TailStrategy.GuardWithIf).parallel(b)


def schedule_layers(
    layers: Layers[FastConvolution], architecture: Architecture, loop: Func, *, keep: bool
) -> None:
    """Every layer within the turn of a block: its maps stay in the core's own cache.

    With `keep` what tells the activation's slope stays there too.
    """
    c1, c3, activation = layers.c1, layers.c3, architecture.activation
    keep = keep and not activation.is_monotonic
    dense_layers = (layers.c5, layers.f6, layers.output)
    stages = [layers.images, c1.output, layers.s2, c1.inputs, c3.inputs, c3.output, layers.flat]
    stages += [layer.output for layer in dense_layers]
    if keep:
        stages += [c1.sums, c3.sums, layers.c5.slope_from, layers.f6.slope_from]
    for stage in stages:
        stage.compute_at(loop, b).bound_extent(lane, LANES).vectorize(lane, LANES)
        stage.never_partition_all()
    column = hl.Var("column")
    layers.flat.bound(k, 0, S4_FEATURES).split(k, k, column, S4_SIZE).unroll(column)
    c1.output.bound(m, 0, C1_MAPS)
    c3.output.bound(m, 0, C3_MAPS)
    tile_groups(c1, TOOM_COOK["c1"], activation, maps=3, keep=keep)
    tile_groups(c3, TOOM_COOK["c3"], activation, maps=2, keep=keep)
    for layer in dense_layers:
        tile_units(layer, layer.slope_from if keep else layer.output)


def score_one(architecture: Architecture) -> Kernel:
    """One image and the weights to its scores: lanes are columns, maps, then inputs."""
    pipeline = Pipeline()
    images = ImageBlocks(pipeline, 1)
    weights, masks = pipeline.read_weights(architecture), pipeline.read_masks(architecture)
    layers = compose(architecture, images.output, weights, masks, convolve_one_image)
    c1, s2, c3, s4 = layers.c1, layers.s2, layers.c3, layers.s4
    dense_layers = (layers.c5, layers.f6, layers.output)
    stages = [layers.images, c1.output, s2, c3.output, s4, layers.flat]
    for stage in (*stages, *(layer.output for layer in dense_layers)):
        stage.compute_root().bound_extent(lane, 1).bound_extent(b, 1).never_partition_all()
    # Wider than a map's last columns: they are computed twice rather than one by one.
    for stage, wide in ((layers.images, LANES), (s2, 8)):
        stage.vectorize(x, wide, hl.TailStrategy.ShiftInwards)
    s4.bound(m, 0, C3_MAPS).reorder_storage(m, lane, x, y, b).vectorize(m, LANES)
    s4.reorder(m, x, y)
    tile_columns(c1, wide=LANES, maps=C1_MAPS, rows=2)
    assert isinstance(c3, OneImageConvolution)
    tile_maps(c3)
    # Eight lanes are summed in a tenth of the time of sixteen (Halide 21, AVX-512).
    for layer, units, wide in zip(
        dense_layers, (C5_UNITS, F6_UNITS, architecture.classes), (8, 8, 4), strict=True
    ):
        tile_inputs(layer, units, wide)
    pipeline.write("scores", layers.scores(1), ("n", architecture.classes))
    return pipeline.compile(trusting=True)
