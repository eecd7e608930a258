"""The arithmetic of a LeNet and its schedules, in Halide: each piece stated once and composed.

The batch is the SIMD lane: images go in blocks of 16 with the image index innermost,
``[block, map, row, column, image]``, so that every map width vectorises perfectly and a weight is
a scalar broadcast to the lanes. Halide lists the innermost dimension first: such an array is
indexed ``f[lane, column, row, map, block]``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import halide as hl

from lenet.data.preprocessing import PADDED_SIZE
from lenet.networks.frame import (
    C1_MAPS,
    C3_MAPS,
    C5_UNITS,
    F6_UNITS,
    KERNEL_SIZE,
    POOLING_SIZE,
    S2_SIZE,
    S4_FEATURES,
    S4_SIZE,
    convolved,
)

LANES = 16
C1_SIZE, C3_SIZE = convolved(PADDED_SIZE), convolved(S2_SIZE)

# Halide's Python has no type annotations.
Expr = Any
Func = Any

lane, x, y, m, b, k = hl.vars("lane x y m b k")


# --- Activations: an expression, and its derivative from the output -------------------------


@dataclass(frozen=True)
class Activation:
    """A squashing function: what `torch.nn` calls by the same name, in float32.

    Parameters
    ----------
    kind : {"sigmoid", "tanh", "relu"}
    amplitude, slope : float
        Of tanh only: amplitude · tanh(slope · z).
    """

    kind: Literal["sigmoid", "tanh", "relu"]
    amplitude: float = 1.0
    slope: float = 1.0

    def value(self, z: Expr) -> Expr:
        """The output for the weighted sum `z`."""
        match self.kind:
            case "sigmoid":
                return hl.f32(1) / (hl.f32(1) + exp(-z))
            case "tanh":
                return hl.f32(self.amplitude) * tanh(hl.f32(self.slope) * z)
            case "relu":
                return hl.max(z, hl.f32(0))

    def derivative(self, a: Expr) -> Expr:
        """The slope at the point where the output is `a`."""
        match self.kind:
            case "sigmoid":
                return a * (hl.f32(1) - a)
            case "tanh":
                return hl.f32(self.amplitude * self.slope) - hl.f32(self.slope / self.amplitude) * (
                    a * a
                )
            case "relu":
                return hl.select(a > 0, hl.f32(1), hl.f32(0))


# 2^r on [-1/2, 1/2], from the Chebyshev nodes: 1.1e-7 relative in float32.
_EXP2 = (
    1.54614447e-4,
    1.34004282e-3,
    9.61805668e-3,
    5.55032723e-2,
    2.40226509e-1,
    6.93147207e-1,
    1.0,
)
# tanh t = t P(t²) / Q(t²) on [-TANH_END, TANH_END], as in Eigen; beyond, tanh is ±1 in float32.
_TANH_END = 7.90531110763549805
_TANH_P = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
_EXP_END = 87.0  # e^±87 and its inverse are normal float32 numbers


def exp(z: Expr) -> Expr:
    """e^z to 5e-7 relative, z cut to ±87: Halide's own `fast_exp` errs by 1e-5 in our gradients."""
    t = hl.clamp(z, hl.f32(-_EXP_END), hl.f32(_EXP_END)) * hl.f32(math.log2(math.e))
    n = hl.round(t)
    mantissa = _polynomial(_EXP2, t - n)
    bits = hl.reinterpret(hl.Int(32), mantissa) + (hl.cast(hl.Int(32), n) << 23)
    return hl.reinterpret(hl.Float(32), bits)


def tanh(z: Expr) -> Expr:
    """Hyperbolic tangent to 4e-7 relative."""
    t = hl.clamp(z, hl.f32(-_TANH_END), hl.f32(_TANH_END))
    square = t * t
    return t * _polynomial(_TANH_P, square) / _polynomial(_TANH_Q, square)


def _polynomial(coefficients: Sequence[float], t: Expr) -> Expr:
    """Horner's rule, highest power first."""
    value = hl.f32(coefficients[0])
    for c in coefficients[1:]:
        value = value * t + hl.f32(c)
    return value


# --- Poolings: an expression over a 2×2 window, and what the window's inputs get back ---------


@dataclass(frozen=True)
class Pooling:
    """A 2×2 pooling.

    Parameters
    ----------
    kind : {"average", "max", "subsampling"}
        Subsampling is trainable: a coefficient and a bias for each map.
    weight_of_an_input : float
        1 when subsampling adds its four inputs, 1/4 when it averages them.
    """

    kind: Literal["average", "max", "subsampling"]
    weight_of_an_input: float = 0.25

    @property
    def trainable(self) -> bool:
        """Whether there is a coefficient and a bias for each map."""
        return self.kind == "subsampling"

    def value(self, window: Sequence[Expr], coefficient: Expr = None, bias: Expr = None) -> Expr:
        """The pooled value of the window's four inputs, row by row."""
        if self.kind == "max":
            return hl.max(hl.max(window[0], window[1]), hl.max(window[2], window[3]))
        pooled = self.sum(window)
        return pooled * coefficient + bias if self.trainable else pooled

    def sum(self, window: Sequence[Expr]) -> Expr:
        """The weighted sum that average and subsampling begin with."""
        total = (window[0] + window[1]) + (window[2] + window[3])
        return total * hl.f32(self.weight_of_an_input)

    def back(
        self, gradient: Expr, window: Sequence[Expr], column: Expr, row: Expr, coefficient: Expr
    ) -> Expr:
        """What the window's input at (column, row) gets of the pooled value's gradient."""
        match self.kind:
            case "average":
                return gradient * hl.f32(self.weight_of_an_input)
            case "subsampling":
                return gradient * (coefficient * hl.f32(self.weight_of_an_input))
            case "max":
                # The first maximum, row by row, gets it all: torch's convention.
                a, b, c, d = window
                first = a >= hl.max(b, hl.max(c, d))
                second = ~first & (b >= hl.max(c, d))
                third = ~first & ~second & (c >= d)
                mine = hl.select(
                    row == 0,
                    hl.select(column == 0, first, second),
                    hl.select(column == 0, third, ~first & ~second & ~third),
                )
                return hl.select(mine, gradient, hl.f32(0))


def window(f: Func, column: Expr, row: Expr, *rest: Expr, lane: Expr = lane) -> list[Expr]:
    """The four inputs of the pooled unit at (column, row), row by row."""
    return [
        f[(lane, POOLING_SIZE * column + i, POOLING_SIZE * row + j, *rest)]
        for j in range(POOLING_SIZE)
        for i in range(POOLING_SIZE)
    ]


# --- Connections: which input maps an output map sees ----------------------------------------


@dataclass(frozen=True)
class Connections:
    """The links of a convolution, numbered output map by output map, as its weights are stored.

    Parameters
    ----------
    table : tuple of tuples of int
        For each output map, the input maps it sees, ascending.
    """

    table: tuple[tuple[int, ...], ...]

    @classmethod
    def dense(cls, outputs: int, inputs: int) -> "Connections":
        """Every output map sees every input map."""
        return cls((tuple(range(inputs)),) * outputs)

    @property
    def links(self) -> tuple[tuple[int, int], ...]:
        """(output map, input map) of every link, in order."""
        return tuple((out, into) for out, row in enumerate(self.table) for into in row)

    @property
    def inputs(self) -> int:
        """Number of input maps."""
        return 1 + max(max(row) for row in self.table)

    @property
    def is_dense(self) -> bool:
        """Whether every output map sees every input map."""
        return all(row == tuple(range(self.inputs)) for row in self.table)

    @property
    def fan_in(self) -> tuple[int, ...]:
        """Links into each output map."""
        return tuple(len(row) for row in self.table)

    @property
    def outgoing(self) -> tuple[tuple[int, ...], ...]:
        """For each input map, the links that leave it, ascending."""
        return tuple(
            tuple(link for link, (_, into) in enumerate(self.links) if into == map_)
            for map_ in range(self.inputs)
        )


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


@dataclass(frozen=True)
class Architecture:
    """All that tells one LeNet's pipelines from another's.

    Parameters
    ----------
    activation : Activation
    pooling : Pooling
    squash_pooled : bool
        Whether the pooled sums are squashed too, as in 1998.
    connections : Connections
        Of C3.
    output : {"linear", "rbf"}
    classes : int
    dropout : bool
        Whether C5's and F6's outputs are multiplied by masks.
    """

    activation: Activation
    pooling: Pooling
    squash_pooled: bool
    connections: Connections
    output: Literal["linear", "rbf"]
    classes: int
    dropout: bool = False


# --- Layers -------------------------------------------------------------------------------------

# What the pipelines read and write, by name: the extents of the array, outermost first; "n" is
# the number of images, "b" that of blocks.
Extents = tuple[int | str, ...]


def weight_extents(architecture: Architecture) -> dict[str, Extents]:
    """The parameters a network's pipelines read, in the network's order, by dotted name."""
    links = len(architecture.connections.links)
    extents: dict[str, Extents] = {
        "c1.weight": (C1_MAPS, KERNEL_SIZE, KERNEL_SIZE),
        "c1.bias": (C1_MAPS,),
        "c3.weight": (links, KERNEL_SIZE, KERNEL_SIZE),
        "c3.bias": (C3_MAPS,),
        "c5.weight": (C5_UNITS, S4_FEATURES),
        "c5.bias": (C5_UNITS,),
        "f6.weight": (F6_UNITS, C5_UNITS),
        "f6.bias": (F6_UNITS,),
    }
    if architecture.pooling.trainable:
        for layer, maps in (("s2", C1_MAPS), ("s4", C3_MAPS)):
            extents[f"{layer}.coefficient"] = (maps,)
            extents[f"{layer}.bias"] = (maps,)
    if architecture.output == "rbf":
        extents["output.centers"] = (architecture.classes, F6_UNITS)
    else:
        extents["output.weight"] = (architecture.classes, F6_UNITS)
        extents["output.bias"] = (architecture.classes,)
    return extents


def mask_extents(architecture: Architecture) -> dict[str, Extents]:
    """The Dropout masks, if there are any."""
    if not architecture.dropout:
        return {}
    return {"c5.mask": ("n", C5_UNITS), "f6.mask": ("n", F6_UNITS)}


TAPE_EXTENTS: dict[str, Extents] = {
    "x": ("b", PADDED_SIZE, PADDED_SIZE, LANES),
    "c1": ("b", C1_MAPS, C1_SIZE, C1_SIZE, LANES),
    "s2": ("b", C1_MAPS, S2_SIZE, S2_SIZE, LANES),
    "c3": ("b", C3_MAPS, C3_SIZE, C3_SIZE, LANES),
    "s4": ("b", C3_MAPS, S4_SIZE, S4_SIZE, LANES),
    "c5": ("b", C5_UNITS, LANES),
    "f6": ("b", F6_UNITS, LANES),
}
"""What the forward pass in training keeps for the backward pass: squashed, before Dropout."""


class Pipeline:
    """A network's pipeline under construction: inputs and outputs by name."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Func] = {}

    def read(self, name: str, extents: Extents) -> Func:
        """An input array with these extents, packed."""
        source = hl.ImageParam(hl.Float(32), len(extents), name.replace(".", "_"))
        pack(source, extents)
        self.inputs[name] = source
        return source

    def write(self, name: str, f: Func, extents: Extents) -> None:
        """An output array with these extents, packed."""
        pack(f.output_buffer(), extents)
        self.outputs[name] = f

    def compile(self) -> "Kernel":
        """Machine code for this machine."""
        pipeline = hl.Pipeline(list(self.outputs.values()))
        call = pipeline.compile_to_callable(
            list(self.inputs.values()), hl.get_jit_target_from_environment()
        )
        return Kernel(call, tuple(self.inputs), tuple(self.outputs))


@dataclass(frozen=True)
class Kernel:
    """Compiled code: call with one buffer for each of `inputs`, then of `outputs`."""

    call: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def pack(array: Any, extents: Extents) -> None:
    """Tell Halide the array's extents, innermost last, and that nothing lies between them."""
    stride = 1
    for i, extent in enumerate(reversed(extents)):
        dimension = array.dim(i)
        dimension.set_stride(stride)
        dimension.set_min(0)
        if isinstance(extent, int):
            dimension.set_extent(extent)
            stride *= extent


class Forward(Pipeline):
    """From images to scores: every layer of the network as a Func, not yet scheduled."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        arch = architecture
        self.images = self.read("images", ("n", PADDED_SIZE, PADDED_SIZE))
        w = {name: self.read(name, e) for name, e in weight_extents(arch).items()}
        masks = {name: self.read(name, e) for name, e in mask_extents(arch).items()}

        self.x = hl.Func("x")
        # The last block's spare lanes repeat the last image; the backward pass gives them nothing.
        last = self.images.dim(2).extent() - 1
        self.x[lane, x, y, b] = self.images[x, y, hl.min(b * LANES + lane, last)]

        self.sums: dict[str, Func] = {}
        source = hl.Func("x_maps")
        source[lane, x, y, m, b] = self.x[lane, x, y, b]
        self.c1 = self._convolution("c1", source, Connections.dense(C1_MAPS, 1), w)
        self.s2 = self._pooling("s2", self.c1, w)
        self.c3 = self._convolution("c3", self.s2, arch.connections, w)
        self.s4 = self._pooling("s4", self.c3, w)
        flat = hl.Func("s4_flat")
        area = S4_SIZE**2
        flat[lane, k, b] = self.s4[lane, k % S4_SIZE, (k // S4_SIZE) % S4_SIZE, k // area, b]
        self.c5 = self._dense("c5", flat, S4_FEATURES, w, squash=True)
        self.f6 = self._dense("f6", masked(self.c5, masks.get("c5.mask")), C5_UNITS, w, squash=True)
        features = masked(self.f6, masks.get("f6.mask"))
        if arch.output == "rbf":
            self.output = self._radial_basis(features, w)
        else:
            self.output = self._dense("output", features, F6_UNITS, w, squash=False)
        self.scores = hl.Func("scores")
        self.scores[k, m] = self.output[m % LANES, k, m // LANES]

    def _convolution(
        self, name: str, source: Func, connections: Connections, w: dict[str, Any]
    ) -> Func:
        """5×5, as much input maps as the connections say, squashed."""
        total, f = hl.Func(f"{name}_sum"), hl.Func(name)
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        widest = max(connections.fan_in)
        r = hl.RDom([(0, KERNEL_SIZE), (0, KERNEL_SIZE), (0, widest)], f"{name}_r")
        if connections.is_dense:
            link, into = m * widest + r[2], r[2]
        else:
            fan_in = lookup(connections.fan_in, f"{name}_fan_in")
            starts = [sum(connections.fan_in[:i]) for i in range(len(connections.fan_in))]
            r.where(r[2] < fan_in(m))
            link = lookup(starts, f"{name}_start")(m) + r[2]
            into = lookup([into for _, into in connections.links], f"{name}_into")(link)
        total[lane, x, y, m, b] = bias[m]
        total[lane, x, y, m, b] += (
            weight[r[0], r[1], link] * source[lane, x + r[0], y + r[1], into, b]
        )
        f[lane, x, y, m, b] = self.architecture.activation.value(total[lane, x, y, m, b])
        self.sums[name] = total
        return f

    def _pooling(self, name: str, source: Func, w: dict[str, Any]) -> Func:
        """2×2, squashed where the network does."""
        arch, f = self.architecture, hl.Func(name)
        parameters = (
            (w[f"{name}.coefficient"][m], w[f"{name}.bias"][m]) if arch.pooling.trainable else ()
        )
        pooled = arch.pooling.value(window(source, x, y, m, b), *parameters)
        f[lane, x, y, m, b] = arch.activation.value(pooled) if arch.squash_pooled else pooled
        return f

    def _dense(
        self, name: str, source: Func, inputs: int, w: dict[str, Any], *, squash: bool
    ) -> Func:
        """Every unit sees every input; squashed but for the output."""
        total, f = hl.Func(f"{name}_sum"), hl.Func(name)
        r = hl.RDom([(0, inputs)], f"{name}_r")
        total[lane, k, b] = w[f"{name}.bias"][k]
        total[lane, k, b] += w[f"{name}.weight"][r[0], k] * source[lane, r[0], b]
        z = total[lane, k, b]
        f[lane, k, b] = self.architecture.activation.value(z) if squash else z
        self.sums[name] = total
        return f

    def _radial_basis(self, source: Func, w: dict[str, Any]) -> Func:
        """Score = −Σ (x − w)², difference by difference: its expansion cancels near a code."""
        total, f = hl.Func("output_sum"), hl.Func("output")
        r = hl.RDom([(0, F6_UNITS)], "output_r")
        difference = source[lane, r[0], b] - w["output.centers"][r[0], k]
        total[lane, k, b] = hl.f32(0)
        total[lane, k, b] -= difference * difference
        f[lane, k, b] = total[lane, k, b]
        self.sums["output"] = total
        return f


def masked(f: Func, mask: Any | None) -> Func:
    """Dropout: `f` times a mask that torch has drawn, image by image."""
    if mask is None:
        return f
    g = hl.Func(f"{f.name()}_kept")
    g[lane, k, b] = f[lane, k, b] * mask[k, row_of(mask)]
    return g


def row_of(array: Any) -> Expr:
    """The row of an (images, units) array for this lane; spare lanes repeat the last image."""
    return hl.min(b * LANES + lane, array.dim(1).extent() - 1)


def forward_training(architecture: Architecture) -> Kernel:
    """Images and weights to scores and the tape."""
    f = Forward(architecture)
    tape = {"x": f.x, "c1": f.c1, "s2": f.s2, "c3": f.c3, "s4": f.s4, "c5": f.c5, "f6": f.f6}
    for stage in tape.values():
        stage.compute_root().bound(lane, 0, LANES).vectorize(lane).parallel(b)
    _tile_convolutions(f)
    f.output.compute_root().bound(lane, 0, LANES).vectorize(lane).parallel(b)
    for name in ("c5", "f6", "output"):
        _tile_dense(getattr(f, name), f.sums[name])
    for name, stage in tape.items():
        f.write(name, stage, TAPE_EXTENTS[name])
    f.write("scores", f.scores, ("n", architecture.classes))
    return f.compile()


def forward_bulk(architecture: Architecture) -> Kernel:
    """Images and weights to scores, many images at once, nothing kept."""
    f = Forward(architecture)
    # One task a block: its scratch stays in the core's own cache.
    rows = hl.Var("rows")
    f.scores.split(m, b, rows, LANES, hl.TailStrategy.GuardWithIf).parallel(b)
    stages = [f.x, f.c1, f.s2, f.c3, f.s4, f.c5, f.f6, f.output]
    for stage in stages:
        stage.compute_at(f.scores, b).bound_extent(lane, LANES).vectorize(lane, LANES)
    _tile_convolutions(f)
    for name in ("c5", "f6", "output"):
        _tile_dense(getattr(f, name), f.sums[name])
    f.write("scores", f.scores, ("n", architecture.classes))
    return f.compile()


def _tile_convolutions(f: Forward) -> None:
    """Accumulators in registers: C1 four columns by six maps, C3 a row of ten columns."""
    _tile(f.c1, f.sums["c1"], columns=4, maps=C1_MAPS)
    _tile(f.c3, f.sums["c3"], columns=C3_SIZE, maps=1)


def _tile(f: Func, total: Func, *, columns: int, maps: int) -> None:
    column, map_ = hl.Var("column"), hl.Var("map")
    f.bound(m, 0, C1_MAPS if maps == C1_MAPS else C3_MAPS)
    f.split(x, x, column, columns).split(m, m, map_, maps)
    f.reorder(lane, column, map_, x, m, y).unroll(column).unroll(map_)
    total.compute_at(f, x).bound_extent(lane, LANES).vectorize(lane)
    total.unroll(x).unroll(m)
    r = total.rvars(0)
    total.update().reorder(lane, x, m, r[0], r[1], r[2]).vectorize(lane)
    total.update().unroll(x).unroll(m).unroll(r[0])


def _tile_dense(f: Func, total: Func) -> None:
    """Accumulators in registers: twelve units."""
    unit = hl.Var("unit")
    f.split(k, k, unit, 12, hl.TailStrategy.GuardWithIf).unroll(unit)
    total.compute_at(f, k).bound_extent(lane, LANES).vectorize(lane).unroll(k)
    r = total.rvars(0)
    total.update().reorder(lane, k, r[0]).vectorize(lane).unroll(k)
