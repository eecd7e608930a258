"""A training step but its update in one kernel: forward, cross-entropy and back, block by block.

::

    parallel loop over blocks of 16 images                      then, in parallel:
    ┌───────────────────────────────────────────────────────┐
    │ images → c1 → s2 → c3 → s4 → c5 → f6 → output          │   sum over the blocks:
    │                                           │ loss       │   every parameter's
    │ c1 ← s2 ← c3 ← s4 ← c5 ← f6 ← output's delta           │   gradient
    └─────┬─────────┬──────────┬──────────┬─────────────────┘        ▲
          └─────────┴──────────┴──────────┴── partial sums ──────────┘

A block's maps and deltas never leave its core's cache; only partial sums do. They are added in one
fixed order, so that the bits do not depend on the number of threads.
"""

from dataclasses import dataclass
from typing import Any

import halide as hl

from lenet.kernels.architecture import C1_CONNECTIONS, Architecture
from lenet.kernels.convolution import (
    TOOM_COOK,
    FastConvolution,
    c1_bias_gradient,
    c1_weight_partial,
    c3_weight_partial,
    convolve_fast,
    kernel_gradient,
    s2_delta,
    transform_deltas,
    transform_inputs,
)
from lenet.kernels.dense import (
    activation_back,
    center_gradient,
    dense_back,
    masked,
    radial_basis_back,
    tile_back,
    tile_weight_gradient,
    tile_wide_back,
    weight_gradient,
)
from lenet.kernels.forward import Layers, compose, loop_over_blocks, schedule_layers
from lenet.kernels.functions import Func, exp
from lenet.kernels.images import StepImages
from lenet.kernels.layout import (
    C3_SIZE,
    LANES,
    Extents,
    b,
    is_spare,
    k,
    lane,
    m,
    row_of,
    whole_vectors,
    x,
    y,
)
from lenet.kernels.pipeline import Kernel, Pipeline
from lenet.kernels.pooling import (
    Average,
    loop_over_windows,
    sum_over_positions,
    unpool,
    unsquash,
    window,
)
from lenet.kernels.sums import PartialSums, sum_of_blocks
from lenet.networks.sizes import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    S2_SIZE,
    S4_FEATURES,
    S4_SIZE,
)


def block_extents(architecture: Architecture) -> dict[str, Extents]:
    """The arrays of partial sums: each block's share of the gradients, before the sum over blocks.

    Dense layers leave deltas and inputs instead, whose outer product is summed over all images.
    """
    extents: dict[str, Extents] = {
        "output.delta": ("b", architecture.classes, LANES),
        "f6.delta": ("b", F6_UNITS, LANES),
        "c5.delta": ("b", C5_UNITS, LANES),
        "s4.rows": ("b", LANES, whole_vectors(S4_FEATURES)),
        "c5.rows": ("b", LANES, whole_vectors(C5_UNITS)),
        "f6.rows": ("b", LANES, whole_vectors(F6_UNITS)),
        "c3.weight": ("b", C3_MAPS, C1_MAPS, KERNEL_SIZE, TOOM_COOK["c3"].count),
        "c3.bias": ("b", C3_MAPS, LANES),
        "c1.weight": ("b", C1_MAPS, 1, KERNEL_SIZE + 1, TOOM_COOK["c1"].count),
    }
    if architecture.pooling.trainable:
        for layer, maps in (("s2", C1_MAPS), ("s4", C3_MAPS)):
            extents[f"{layer}.coefficient"] = ("b", maps, LANES)
            extents[f"{layer}.bias"] = ("b", maps, LANES)
    return extents


def build_step(
    architecture: Architecture, *, distorted: bool = False, weighted: bool = False
) -> Kernel:
    """A set or given images, and the weights, to gradients and scores.

    Parameters
    ----------
    distorted : bool
        From distorted pictures of a set; no images can be given then.
    weighted : bool
        A class's images may weigh more than another's.
    """
    pipeline = Pipeline()
    images = StepImages(pipeline, distorted)
    weights, masks = pipeline.read_weights(architecture), pipeline.read_masks(architecture)
    layers = compose(architecture, images.output, weights, masks, convolve_fast)
    loss = _cross_entropy(pipeline, layers.output.output, images, architecture.classes, weighted)
    back = _Backward(architecture, layers, weights, masks, loss.delta)
    partial = _write_partial_sums(pipeline, architecture, layers, back)
    scores = layers.scores(LANES)
    _schedule(partial.loop, architecture, layers, loss, back, images)
    loop_over_blocks(scores).compute_with(partial.loop, b)
    _write_gradients(pipeline, architecture, partial, weights, images)
    pipeline.write("scores", scores, ("n", architecture.classes))
    return _in_order(pipeline, architecture, distorted).compile(trusting=True)


@dataclass(frozen=True)
class _Loss:
    """The scores' gradient, Func of (lane, k, b), and what it is computed from."""

    delta: Func
    stages: tuple[Func, ...]


def _cross_entropy(
    pipeline: Pipeline, output: Func, images: StepImages, classes: int, weighted: bool
) -> _Loss:
    """The scores' gradient: the given one, or the cross-entropy's, label smoothing included."""
    indices = images.pictures.indices
    labels = pipeline.read("labels", ("all",), hl.Int(64))
    # Label smoothing, and the weight of one image's loss (one over the batch for the mean), or that
    # of an image of each class.
    settings = pipeline.read("settings", (1 + classes if weighted else 2,))
    top, power, total, delta = (hl.Func(f"output_{n}") for n in ("top", "power", "total", "delta"))
    r = hl.RDom([(0, classes)], "classes")
    top[lane, b] = hl.maximum(output[lane, r[0], b], "output_largest")
    power[lane, k, b] = exp(output[lane, k, b] - top[lane, b])
    total[lane, b] = hl.f32(0)
    total[lane, b] += power[lane, r[0], b]
    label = hl.cast(hl.Int(32), labels[images.pictures.chosen(row_of(indices))])
    target = settings[0] / hl.f32(classes) + hl.select(
        k == label, hl.f32(1) - settings[0], hl.f32(0)
    )
    weight = settings[1 + hl.clamp(label, 0, classes - 1) if weighted else 1]
    error = weight * (power[lane, k, b] / total[lane, b] - target)
    if images.given is not None:
        gradient = pipeline.read("gradient", ("n", classes))
        error = hl.select(images.given, gradient[k, row_of(gradient)], error)
    delta[lane, k, b] = hl.select(is_spare(indices), hl.f32(0), error)
    total.update().vectorize(lane)
    return _Loss(delta, (top, power, total))


class _Backward:
    """Back through the layers: the deltas, and the partial sums of the convolutions' kernels."""

    def __init__(
        self,
        architecture: Architecture,
        layers: Layers[FastConvolution],
        weights: dict[str, Any],
        masks: dict[str, Any],
        output: Func,
    ) -> None:
        activation, pooling = architecture.activation, architecture.pooling
        squash_pooled = architecture.pooled_activation
        self.output = output
        self.features = {
            "s4": _copy(layers.flat, "s4_features"),
            "c5": masked(_copy(layers.c5.output, "c5_features"), masks.get("c5.mask")),
            "f6": masked(_copy(layers.f6.output, "f6_features"), masks.get("f6.mask")),
        }

        # The dense layers.
        if architecture.output == "rbf":
            centers = weights["output.centers"]
            back = radial_basis_back(output, self.features["f6"], architecture.classes, centers)
        else:
            back = dense_back("output", output, architecture.classes, weights["output.weight"])
        self.f6_back, mask = back, masks.get("f6.mask")
        self.f6 = activation_back("f6", back, layers.f6.slope_from, activation, mask)
        self.c5_back = dense_back("f6", self.f6, F6_UNITS, weights["f6.weight"])
        mask = masks.get("c5.mask")
        self.c5 = activation_back("c5", self.c5_back, layers.c5.slope_from, activation, mask)
        self.flat = dense_back("c5", self.c5, C5_UNITS, weights["c5.weight"])

        # The convolutions and their poolings.
        feature = (m * S4_SIZE + y) * S4_SIZE + x
        self.s4, self.c3 = hl.Func("s4_delta"), hl.Func("s4_unpooled")
        self.s4[lane, x, y, m, b] = unsquash(
            self.flat[lane, feature, b], layers.flat[lane, feature, b], squash_pooled
        )
        self.c3[lane, x, y, m, b] = unpool(
            self.s4,
            layers.c3.output,
            pooling,
            weights.get("s4.coefficient"),
            activation,
            slope_from=layers.c3.slope_from(activation),
        )
        self.c3_transformed = transform_deltas("c3_deltas", self.c3, TOOM_COOK["c3"])
        # Again rather than kept from the forward pass: it is little work, and much memory.
        self.s2_transformed = transform_inputs("c3_inputs", layers.s2, TOOM_COOK["c3"])
        self.s2 = s2_delta(
            self.c3_transformed, layers.c3.taps, layers.s2, activation, architecture.squash_pooled
        )
        c1 = hl.Func("s2_unpooled")
        c1[lane, x, y, m, b] = unpool(
            self.s2,
            layers.c1.output,
            pooling,
            weights.get("s2.coefficient"),
            activation,
            slope_from=layers.c1.slope_from(activation),
        )
        self.c3_weight = c3_weight_partial(self.s2_transformed, self.c3_transformed)
        self.c1_weight = c1_weight_partial(layers.c1.inputs, c1)

    @property
    def stages(self) -> tuple[Func, ...]:
        """What is computed in a block's turn and stays there."""
        return (
            *(self.output, self.f6, self.c5, self.flat, self.s4, self.c3),
            *(self.c3_transformed, self.s2_transformed, self.s2),
        )


def _copy(layer: Func, name: str) -> Func:
    """A Func over lanes, units and blocks by another name, for what is written of it."""
    f = hl.Func(name)
    f[lane, k, b] = layer[lane, k, b]
    return f


def _write_partial_sums(
    pipeline: Pipeline, architecture: Architecture, layers: Layers[FastConvolution], back: _Backward
) -> PartialSums:
    """What leaves the loop over the blocks; the first is the loop that the others join."""
    partial = PartialSums(pipeline, block_extents(architecture))
    partial.write("c3.weight", back.c3_weight)
    partial.write_copy("output.delta", back.output)
    partial.write_copy("f6.delta", back.f6)
    partial.write_copy("c5.delta", back.c5)
    for name, units in (("s4", S4_FEATURES), ("c5", C5_UNITS), ("f6", F6_UNITS)):
        partial.write_transposed(f"{name}.rows", back.features[name], units)
    partial.write("c1.weight", back.c1_weight)
    partial.write_copy("c3.bias", sum_over_positions(back.c3, C3_SIZE))
    pooling = architecture.pooling
    if pooling.trainable:
        assert isinstance(pooling, Average)
        for name, delta, source, size in (
            ("s2", back.s2, layers.c1.output, S2_SIZE),
            ("s4", back.s4, layers.c3.output, S4_SIZE),
        ):
            pooled = hl.Func(f"{name}_pooled")
            pooled[lane, x, y, m, b] = pooling.sum(window(source, x, y, m, b))
            partial.write_copy(f"{name}.coefficient", sum_over_positions(delta, size, pooled))
            partial.write_copy(f"{name}.bias", sum_over_positions(delta, size))
    return partial


def _schedule(
    loop: Func,
    architecture: Architecture,
    layers: Layers[FastConvolution],
    loss: _Loss,
    back: _Backward,
    images: StepImages,
) -> None:
    """All of a block within its turn of the loop."""
    for stage in (*back.stages, *loss.stages):
        stage.compute_at(loop, b).bound_extent(lane, LANES).vectorize(lane)
    for stage in back.stages:
        stage.never_partition_all()
    tile_back(back.f6_back, back.f6)
    tile_back(back.c5_back, back.c5)
    tile_wide_back(back.flat)
    loop_over_windows(back.c3)
    schedule_layers(layers, architecture, loop, keep=True)
    images.schedule(loop)


def _write_gradients(
    pipeline: Pipeline,
    architecture: Architecture,
    partial: PartialSums,
    weights: dict[str, Any],
    images: StepImages,
) -> None:
    """Every parameter's gradient: the sums over the blocks."""
    extents = architecture.weight_extents
    blocks = (images.pictures.n + LANES - 1) // LANES

    def write(name: str, f: Func) -> None:
        pipeline.write(name, f, extents[name])

    def write_sum(name: str, partial_sum: Func, unit: Any) -> None:
        (extent,) = extents[name]
        assert isinstance(extent, int)
        write(name, sum_of_blocks(name.replace(".", "_"), partial_sum, unit, extent, blocks))

    def write_dense(name: str, delta: Func, rows: Func, units: int, inputs: int) -> None:
        total, f = weight_gradient(name, delta, rows, blocks)
        tile_weight_gradient(name, total, f, inputs=inputs, units=units, parallel=name != "output")
        write(f"{name}.weight", f)
        write_sum(f"{name}.bias", delta, k)

    c1_weight = partial["c1.weight"]
    write("c1.weight", kernel_gradient("c1", c1_weight, C1_CONNECTIONS, blocks))
    write("c1.bias", c1_bias_gradient(c1_weight, blocks))
    write(
        "c3.weight", kernel_gradient("c3", partial["c3.weight"], architecture.connections, blocks)
    )
    write_sum("c3.bias", partial["c3.bias"], m)
    if architecture.pooling.trainable:
        for name in ("s2.coefficient", "s2.bias", "s4.coefficient", "s4.bias"):
            write_sum(name, partial[name], m)
    write_dense("c5", partial["c5.delta"], partial["s4.rows"], C5_UNITS, S4_FEATURES)
    write_dense("f6", partial["f6.delta"], partial["c5.rows"], F6_UNITS, C5_UNITS)
    delta, rows = partial["output.delta"], partial["f6.rows"]
    if architecture.output == "rbf":
        centers = weights["output.centers"]
        write("output.centers", center_gradient(delta, rows, centers, blocks))
    else:
        write_dense("output", delta, rows, architecture.classes, F6_UNITS)


def _in_order(pipeline: Pipeline, architecture: Architecture, distorted: bool) -> Pipeline:
    """The arrays in the order in which `lenet.kernels.compiled` passes them."""
    chosen = ["indices", "matrices"] if distorted else ["indices", "images", "gradient"]
    read = ["ink", "scaling", "labels", *chosen, "settings"]
    read += [*architecture.weight_extents, *architecture.mask_extents]
    written = [f"{name}.blocks" for name in block_extents(architecture)]
    written += [*architecture.weight_extents, "scores"]
    pipeline.inputs = {name: pipeline.inputs[name] for name in read}
    pipeline.outputs = {name: pipeline.outputs[name] for name in written}
    return pipeline
