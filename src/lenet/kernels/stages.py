"""The arithmetic of a LeNet and its schedules, in Halide: each piece stated once and composed.

The batch is the SIMD lane: images go in blocks of 16 with the image index innermost,
``[block, map, row, column, image]``, so that every map width vectorises perfectly and a weight is
a scalar broadcast to the lanes. Halide lists the innermost dimension first: such an array is
indexed ``f[lane, column, row, map, block]``.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import halide as hl
import numpy as np

from lenet.data.preprocessing import BORDER, INK_SIZE, PADDED_SIZE
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

lane, x, y, m, b, k, group, point = hl.vars("lane x y m b k group point")


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

    @property
    def scale(self) -> float:
        """What the weighted sum is multiplied by, whatever comes then."""
        match self.kind:
            case "sigmoid":
                return -_LOG2_E
            case "tanh":
                return self.slope
            case "relu":
                return 1.0

    def value(self, z: Expr) -> Expr:
        """The output for the weighted sum `z`."""
        return self.of_scaled(z * hl.f32(self.scale))

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `scale` times the weighted sum: the weights may have been scaled."""
        # A weighted sum that is not a number must not come out as one: see `at_least`.
        match self.kind:
            case "sigmoid":
                return hl.f32(1) / (hl.f32(1) + exp2(t))
            case "tanh":
                return hl.f32(self.amplitude) * tanh(t)
            case "relu":
                return at_least(t, 0)

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


# 2^r on [-1/2, 1/2], the smallest largest relative error that ends in 1: 1.7e-7 in float32.
_EXP2 = (1.32648100e-3, 9.67151485e-3, 5.55073358e-2, 2.40222424e-1, 6.93147004e-1, 1.0)
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
_NO_FRACTION = 1.5 * 2**23
_EXP2_END = 126.0  # 2^±126 and its inverse are normal float32 numbers
_LOG2_E = math.log2(math.e)


def exp(z: Expr) -> Expr:
    """e^z, cut at e^±87, to 6e-7 relative where |z| ≤ 8 and 4e-6 at the ends.

    Halide's own `fast_exp` errs by 1e-5 in our gradients.
    """
    return exp2(z * hl.f32(_LOG2_E))


def exp2(t: Expr) -> Expr:
    """2^t, t cut to ±126, to 2e-7 relative."""
    t = between(t, -_EXP2_END, _EXP2_END)
    # Beside 1.5 · 2^23 a float32 has no fraction: the sum's last bits are t, rounded.
    shifted = hl.strict_float(t + hl.f32(_NO_FRACTION))
    n = hl.strict_float(shifted - hl.f32(_NO_FRACTION))
    mantissa = _polynomial(_EXP2, t - n)
    bits = hl.reinterpret(hl.Int(32), mantissa) + (hl.reinterpret(hl.Int(32), shifted) << 23)
    return hl.reinterpret(hl.Float(32), bits)


def tanh(z: Expr) -> Expr:
    """Hyperbolic tangent to 4e-7 relative."""
    t = between(z, -_TANH_END, _TANH_END)
    square = t * t
    return t * _polynomial(_TANH_P, square) / _polynomial(_TANH_Q, square)


def at_least(z: Expr, low: float) -> Expr:
    """The larger of two; what is not a number stays so (an ordinary `max` may lose it)."""
    return hl.strict_float(hl.select(z < hl.f32(low), hl.f32(low), z))


def between(z: Expr, low: float, high: float) -> Expr:
    """`z` cut off at both ends; what is not a number stays so."""
    return at_least(hl.strict_float(hl.select(z > hl.f32(high), hl.f32(high), z)), low)


def is_nan(z: Expr) -> Expr:
    """By the bits: the compiler may take for granted that float32 comparisons see numbers only."""
    return (hl.reinterpret(hl.Int(32), z) & 0x7FFFFFFF) > 0x7F800000


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
            return larger(larger(window[0], window[1]), larger(window[2], window[3]))
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


def larger(u: Expr, v: Expr) -> Expr:
    """The larger of two; what is not a number wins, as in torch."""
    return hl.select(is_nan(u) | (u > v), u, v)


def window(f: Func, column: Expr, row: Expr, *rest: Expr, lane: Expr = lane) -> list[Expr]:
    """The four inputs of the pooled unit at (column, row), row by row."""
    refs = [
        f[(lane, POOLING_SIZE * column + i, POOLING_SIZE * row + j, *rest)]
        for j in range(POOLING_SIZE)
        for i in range(POOLING_SIZE)
    ]
    # `hl.select` takes what a Func gives for a tuple.
    return [hl.Expr(ref) if isinstance(ref, hl.FuncRef) else ref for ref in refs]


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


# --- A convolution along a row in fewer products --------------------------------------------------


@dataclass(frozen=True)
class Points:
    """Where the polynomials of a row of a convolution are known: 0, ±p for each pair, infinity.

    Neighbouring outputs with their taps and inputs are a piece of a product of polynomials, and
    that is known from its values at as many points as there are inputs: so many products, instead
    of outputs times taps. (Toom 1963, Cook 1966; Winograd, Arithmetic Complexity of Computations,
    1980.) Of each linear map the backward pass takes the transpose.

    Parameters
    ----------
    outputs : int
        Neighbours that are computed together.
    pairs : tuple of float
        p, of the points p and -p.
    zero : bool
        Whether 0 is a point.
    """

    outputs: int
    pairs: tuple[float, ...]
    zero: bool

    @property
    def count(self) -> int:
        """The number of points, products, and inputs."""
        return self.zero + 2 * len(self.pairs) + 1

    def evaluate(self, c: Sequence[Expr]) -> list[Expr]:
        """A polynomial's coefficients, lowest power first → its values at the points."""
        values = [c[0]] if self.zero else []
        for p in self.pairs:
            powers = [p**i for i in range(len(c))]
            even, odd = _dot(powers[::2], c[::2]), _dot(powers[1::2], c[1::2])
            values += [even + odd, even - odd]
        return [*values, c[-1]]

    def evaluate_transposed(self, v: Sequence[Expr], n: int) -> list[Expr]:
        """Values at the points → `n` sums over the points; of products, the outputs."""
        zero, pairs, infinity = self._apart(v)
        parts = [[plus + minus for plus, minus in pairs], [plus - minus for plus, minus in pairs]]
        sums = [_dot([p**i for p in self.pairs], parts[i % 2]) for i in range(n)]
        return [sum(zero, sums[0]), *sums[1:-1], sums[-1] + infinity]

    def evaluate_taps(self, w: Sequence[Expr]) -> list[Expr]:
        """Taps → their values at the points, each over its distances to the other points."""
        return self._over_distances(self.evaluate(w))

    def evaluate_taps_transposed(self, v: Sequence[Expr]) -> list[Expr]:
        """Sums of products at the points → what they say of the taps."""
        return self.evaluate_transposed(self._over_distances(v), KERNEL_SIZE)

    def evaluate_inputs(self, d: Sequence[Expr]) -> list[Expr]:
        """Neighbouring inputs → their values at the points."""
        # Polynomials that vanish at all other points: a polynomial in x², times x if 0 is one of
        # them, times x + p for the point p.
        vanishing, d_x = self._vanishing(), d[self.zero :]
        values = [_dot(vanishing, d[::2])] if self.zero else []
        for p in self.pairs:
            others = self._vanishing(p)
            low, high = _dot([p * c for c in others], d_x[::2]), _dot(others, d_x[1::2])
            values += [high + low, high - low]
        return [*values, _dot(vanishing, d_x[::2])]

    def evaluate_inputs_transposed(self, v: Sequence[Expr]) -> list[Expr]:
        """Sums of products at the points → what they say of the inputs."""
        zero, pairs, infinity = self._apart(v)
        terms: list[list[tuple[float, Expr]]] = [[] for _ in range(self.count)]

        def add(lowest: int, coefficients: Sequence[float], value: Expr) -> None:
            for i, c in enumerate(coefficients):
                terms[lowest + 2 * i].append((c, value))

        for p, (plus, minus) in zip(self.pairs, pairs, strict=True):
            others = self._vanishing(p)
            add(self.zero, [p * c for c in others], plus - minus)
            add(self.zero + 1, others, plus + minus)
        add(self.zero, self._vanishing(), infinity)
        for value in zero:
            add(0, self._vanishing(), value)
        return [_dot(*zip(*some, strict=True)) for some in terms]

    def _apart(self, v: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]], Expr]:
        """Values at the points: at 0 (or none), at the pairs, at infinity."""
        zero, pairs = list(v[: self.zero]), v[self.zero : -1]
        return zero, list(zip(pairs[::2], pairs[1::2], strict=True)), v[-1]

    def _vanishing(self, but: float = 0) -> list[float]:
        """The product of x² - p² over the pairs `but` one: its coefficients in x²."""
        c = [1.0]
        for p in self.pairs:
            if p != but:
                c = [low - p**2 * high for low, high in zip([0.0, *c], [*c, 0.0], strict=True)]
        return c

    def _over_distances(self, v: Sequence[Expr]) -> list[Expr]:
        """Values over the product of their point's distances to the other finite points."""
        points = [0.0] * self.zero + [sign * p for p in self.pairs for sign in (1, -1)]
        distances = [math.prod(a - b for b in points if b != a) for a in points]
        return [*(_dot([1 / d], [u]) for d, u in zip(distances, v[:-1], strict=True)), v[-1]]


def _dot(coefficients: Sequence[float], values: Sequence[Expr]) -> Expr:
    """The sum of the first values times the coefficients, those rounded to float32."""
    terms = [float(np.float32(c)) * v for c, v in zip(coefficients, values, strict=False)]
    return functools.reduce(operator.add, terms)


# C1's rows are 28 outputs, C3's 10. Of as many points these lose the least, or nearly: gradients
# err two to three times as much as a direct convolution's.
POINTS = {
    "c1": Points(4, (1, 2, 1 / 2), zero=True),
    "c3": Points(5, (1, 2, 1 / 4, 2 / 3), zero=False),
}


def dense_taps(name: str, weight: Any, connections: Connections) -> Func:
    """A convolution's kernels side by side: [input map, kernel row, column, output map].

    Where there is no link the taps are zeros.
    """
    column, row, into, f = hl.Var("column"), hl.Var("kernel_row"), hl.Var("into"), hl.Func(name)
    place = m * connections.inputs + into
    if connections.is_dense:
        f[m, column, row, into] = weight[column, row, place]
        return f
    of = {ends: i for i, ends in enumerate(connections.links)}
    every = [(out, i) for out in range(len(connections.table)) for i in range(connections.inputs)]
    is_link = lookup([int(ends in of) for ends in every], f"{name}_is_link")(place) == 1
    link = lookup([of.get(ends, 0) for ends in every], f"{name}_link")(place)
    f[m, column, row, into] = hl.select(is_link, weight[column, row, link], hl.f32(0))
    return f


def taps_at_points(
    name: str, weight: Any, connections: Connections, points: Points, scale: float
) -> Func:
    """A convolution's scaled kernels at the points: [input map, kernel row, output map, point].

    A table runs as if it were dense: that costs no more than a loop over its links.
    """
    row, into, f = hl.Var("kernel_row"), hl.Var("into"), hl.Func(name)
    inputs, outputs = connections.inputs, len(connections.table)
    taps = dense_taps(f"{name}_dense", weight, connections)
    scaled = [hl.f32(scale) * taps[m, i, row, into] for i in range(KERNEL_SIZE)]
    f[point, m, row, into] = hl.mux(point, points.evaluate_taps(scaled))
    f.bound(point, 0, points.count).bound(m, 0, outputs)
    f.bound(row, 0, KERNEL_SIZE).bound(into, 0, inputs)
    f.compute_root().reorder(m, point, row, into).unroll(point)
    if not connections.is_dense:
        taps.compute_at(f, row).vectorize(m, LANES)
    return f.vectorize(m, min(outputs, LANES), hl.TailStrategy.ShiftInwards)


def inputs_at_points(name: str, source: Any, points: Points) -> Func:
    """A convolution's input maps at the points: [block, map, row, group, point, image]."""
    f = hl.Func(name)
    neighbours = [source[lane, points.outputs * group + i, y, m, b] for i in range(points.count)]
    f[lane, point, group, y, m, b] = hl.mux(point, points.evaluate_inputs(neighbours))
    return f.bound(point, 0, points.count).unroll(point)


def deltas_at_points(name: str, delta: Func, points: Points) -> Func:
    """A convolution's deltas at the points: [block, map, row, group, point, image]."""
    f = hl.Func(name)
    neighbours = [delta[lane, points.outputs * group + i, y, m, b] for i in range(points.outputs)]
    f[lane, point, group, y, m, b] = hl.mux(point, points.evaluate(neighbours))
    return f.bound(point, 0, points.count).unroll(point)


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

    def compile(self, *, trusting: bool = False) -> "Kernel":
        """Machine code for this machine.

        `trusting` leaves out the checks of the arrays' extents, half of the compiler's work: for
        callers that make every array from the same extents.
        """
        # One body for all blocks, the last one's spare lanes included: half the code to compile.
        outputs = [f.never_partition_all() for f in self.outputs.values()]
        pipeline = hl.Pipeline(outputs)
        target = hl.get_jit_target_from_environment()
        if trusting:
            target = target.with_feature(hl.TargetFeature.NoAsserts)
            target = target.with_feature(hl.TargetFeature.NoBoundsQuery)
        call = pipeline.compile_to_callable(list(self.inputs.values()), target)
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

    images_in_block = LANES

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        arch = architecture
        self.rows = hl.Func("rows")
        self.x = self._input()
        self.w = w = {name: self.read(name, e) for name, e in weight_extents(arch).items()}
        self.masks = masks = {name: self.read(name, e) for name, e in mask_extents(arch).items()}

        self.sums: dict[str, Func] = {}
        source = hl.Func("x_maps")
        source[lane, x, y, m, b] = self.x[lane, x, y, b]
        self.c1 = self._convolution("c1", source, Connections.dense(C1_MAPS, 1), w)
        self.s2 = self._pooling("s2", self.c1, w)
        self.c3 = self._convolution("c3", self.s2, arch.connections, w)
        self.s4 = self._pooling("s4", self.c3, w)
        self.flat = flat = hl.Func("s4_flat")
        area = S4_SIZE**2
        flat[lane, k, b] = self.s4[lane, k % S4_SIZE, (k // S4_SIZE) % S4_SIZE, k // area, b]
        self.c5 = self._dense("c5", flat, S4_FEATURES, w, squash=True)
        self.f6 = self._dense("f6", masked(self.c5, masks.get("c5.mask")), C5_UNITS, w, squash=True)
        features = masked(self.f6, masks.get("f6.mask"))
        if arch.output == "rbf":
            self.output = self._radial_basis(features, w)
        else:
            self.output = self._dense("output", features, F6_UNITS, w, squash=False)
        self.tape = {
            "x": self.x,
            "c1": self.c1,
            "s2": self.s2,
            "c3": self.c3,
            "s4": self.flat,
            "c5": self.c5,
            "f6": self.f6,
        }
        self.scores = hl.Func("scores")
        n = self.images_in_block
        self.scores[k, m] = self.output[m % n, k, m // n]

    def _input(self) -> Func:
        """The images, blocked."""
        images, f = self.read("images", ("n", PADDED_SIZE, PADDED_SIZE)), hl.Func("x")
        # The last block's spare lanes repeat the last image; the backward pass gives them nothing.
        last = images.dim(2).extent() - 1
        self.rows[x, lane, y, b] = images[x, y, hl.min(b * self.images_in_block + lane, last)]
        f[lane, x, y, b] = self.rows[x, lane, y, b]
        return f

    def _convolution(
        self, name: str, source: Func, connections: Connections, w: dict[str, Any]
    ) -> Func:
        """5×5, squashed, from the input maps that the connections say."""
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
        total[lane, k, b] += difference * difference
        f[lane, k, b] = -total[lane, k, b]
        self.sums["output"] = total
        return f


class ManyImages(Forward):
    """The same for blocks of images, scheduled within one loop over them.

    Parameters
    ----------
    architecture : Architecture
    """

    def __init__(self, architecture: Architecture) -> None:
        self.taps: dict[str, Func] = {}
        self.at_points: dict[str, Func] = {}
        self.products: dict[str, Func] = {}
        super().__init__(architecture)

    def _convolution(
        self, name: str, source: Func, connections: Connections, w: dict[str, Any]
    ) -> Func:
        """The same, some columns of a row at a time, in fewer products."""
        at, scale = POINTS[name], self.architecture.activation.scale
        inputs = inputs_at_points(f"{name}_inputs", source, at)
        taps = taps_at_points(f"{name}_taps", w[f"{name}.weight"], connections, at, scale)
        products, t, f = (hl.Func(f"{name}{n}") for n in ("_products", "_scaled_sum", ""))
        r = hl.RDom([(0, KERNEL_SIZE), (0, connections.inputs)], f"{name}_r")
        products[lane, point, group, y, m, b] = hl.f32(0)
        products[lane, point, group, y, m, b] += (
            taps[point, m, r[0], r[1]] * inputs[lane, point, group, y + r[0], r[1], b]
        )
        found = [products[lane, i, x // at.outputs, y, m, b] for i in range(at.count)]
        sums = at.evaluate_transposed(found, at.outputs)
        t[lane, x, y, m, b] = hl.mux(x % at.outputs, sums) + hl.f32(scale) * w[f"{name}.bias"][m]
        f[lane, x, y, m, b] = self.architecture.activation.of_scaled(t[lane, x, y, m, b])
        self.at_points[name], self.taps[name] = inputs, taps
        self.products[name], self.sums[name] = products, t
        return f

    def schedule_input(self, tasks: Func) -> None:
        """Where images become lanes, within a block's task."""
        self._schedule_rows(y)

    def _schedule_rows(self, row: Any) -> None:
        """A row of sixteen images side by side: in place, their pixels would share a cache line."""
        self.rows.compute_at(self.x, row).bound_extent(lane, LANES).vectorize(x, LANES)


def masked(f: Func, mask: Any | None) -> Func:
    """Dropout: `f` times a mask that torch has drawn, image by image."""
    if mask is None:
        return f
    g = hl.Func(f"{f.name()}_kept")
    g[lane, k, b] = f[lane, k, b] * mask[k, row_of(mask)]
    return g


def row_of(array: Any) -> Expr:
    """The row of an (images, …) array for this lane; spare lanes repeat the last image."""
    return hl.min(b * LANES + lane, array.dim(array.dimensions() - 1).extent() - 1)


def is_spare(array: Any) -> Expr:
    """Whether this lane has no image: all that it says of the parameters must be 0."""
    return b * LANES + lane >= array.dim(array.dimensions() - 1).extent()


def forward_bulk(architecture: Architecture) -> Kernel:
    """Images and weights to scores, many images at once, nothing kept."""
    f = ManyImages(architecture)
    _schedule_layers(f, _by_images(f.scores))
    f.write("scores", f.scores, ("n", architecture.classes))
    return f.compile(trusting=True)


def _by_images(scores: Func) -> Func:
    """Scores, a task for each block of images."""
    rows = hl.Var("rows")
    return scores.split(m, b, rows, LANES, hl.TailStrategy.GuardWithIf).parallel(b)


def _schedule_layers(f: ManyImages, tasks: Func) -> None:
    """Every layer within the task of a block: its maps stay in the core's own cache."""
    stages = [f.x, f.c1, f.s2, *f.at_points.values(), f.c3, f.flat, f.c5, f.f6, f.output]
    for stage in stages:
        stage.compute_at(tasks, b).bound_extent(lane, LANES).vectorize(lane, LANES)
        stage.never_partition_all()
    f.schedule_input(tasks)
    _tile_convolutions(f)
    for name in ("c5", "f6", "output"):
        _tile_dense(getattr(f, name), f.sums[name])


class _OneImage(Forward):
    images_in_block = 1

    def _convolution(
        self, name: str, source: Func, connections: Connections, w: dict[str, Any]
    ) -> Func:
        """C1 as it is; C3 from taps that lie side by side for all its maps, which are lanes."""
        if name == "c1":
            return super()._convolution(name, source, connections, w)
        total, f = hl.Func("c3_sum"), hl.Func("c3")
        self.taps = dense_taps("c3_taps", w["c3.weight"], connections)
        r = hl.RDom([(0, KERNEL_SIZE), (0, KERNEL_SIZE), (0, connections.inputs)], "c3_r")
        total[m, lane, x, y, b] = w["c3.bias"][m]
        total[m, lane, x, y, b] += (
            self.taps[m, r[0], r[1], r[2]] * source[lane, x + r[0], y + r[1], r[2], b]
        )
        f[lane, x, y, m, b] = self.architecture.activation.value(total[m, lane, x, y, b])
        self.sums[name] = total
        return f


def forward_one(architecture: Architecture) -> Kernel:
    """One image and the weights to its scores: lanes are columns, maps, then inputs."""
    f = _OneImage(architecture)
    stages = [f.x, f.c1, f.s2, f.c3, f.s4, f.flat, f.c5, f.f6, f.output]
    for stage in stages:
        stage.compute_root().bound_extent(lane, 1).bound_extent(b, 1).never_partition_all()
    # Wider than a map's last columns: they are computed twice rather than one by one.
    for stage, wide in ((f.x, LANES), (f.s2, 8)):
        stage.vectorize(x, wide, hl.TailStrategy.ShiftInwards)
    f.s4.bound(m, 0, C3_MAPS).reorder_storage(m, lane, x, y, b).vectorize(m, LANES)
    f.s4.reorder(m, x, y)
    _tile_columns(f.c1, f.sums["c1"], wide=LANES, maps=C1_MAPS, rows=2)
    _tile_maps(f.c3, f.sums["c3"], f.taps)
    # Eight lanes are summed in a tenth of the time of sixteen (Halide 21, AVX-512).
    for name, units, wide in (
        ("c5", C5_UNITS, LANES // 2),
        ("f6", F6_UNITS, LANES // 2),
        ("output", architecture.classes, 4),
    ):
        _tile_inputs(getattr(f, name), f.sums[name], units, wide)
    f.write("scores", f.scores, ("n", architecture.classes))
    return f.compile(trusting=True)


def _tile_columns(f: Func, total: Func, *, wide: int, maps: int, rows: int) -> None:
    """Accumulators in registers: a vector of columns, by maps and rows."""
    column, row, map_ = hl.Var("column"), hl.Var("row"), hl.Var("map")
    f.split(x, x, column, wide, hl.TailStrategy.ShiftInwards).vectorize(column)
    f.split(y, y, row, rows).split(m, m, map_, maps)
    f.reorder(column, row, map_, x, y, m).unroll(row).unroll(map_)
    total.compute_at(f, x).vectorize(x).unroll(y).unroll(m)
    r = total.rvars(0)
    total.update().reorder(x, y, m, r[0], r[1], r[2]).vectorize(x).unroll(y).unroll(m)


def _tile_maps(f: Func, total: Func, taps: Func) -> None:
    """Accumulators in registers: a vector of maps, by the columns of a row."""
    taps.compute_root().bound(m, 0, C3_MAPS).vectorize(m, LANES).never_partition_all()
    f.bound(m, 0, C3_MAPS).bound(x, 0, C3_SIZE).reorder_storage(m, lane, x, y, b)
    f.reorder(m, x, y).vectorize(m, LANES).unroll(x)
    total.compute_at(f, y).vectorize(m, LANES).unroll(x)
    r = total.rvars(0)
    total.update().reorder(m, x, r[0], r[1], r[2]).vectorize(m, LANES).unroll(x)


def _tile_inputs(f: Func, total: Func, units: int, wide: int) -> None:
    """Each lane sums its share of a unit's inputs; some units at once."""
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


def _tile_convolutions(f: ManyImages) -> None:
    """Accumulators in registers: all points of a group of columns by some maps."""
    column = hl.Var("column")
    f.flat.bound(k, 0, S4_FEATURES).split(k, k, column, S4_SIZE).unroll(column)
    _tile_groups(f, "c1", f.c1, outputs=C1_MAPS, maps=3)
    _tile_groups(f, "c3", f.c3, outputs=C3_MAPS, maps=2)


def _tile_groups(forward: ManyImages, name: str, f: Func, *, outputs: int, maps: int) -> None:
    products, t, columns = forward.products[name], forward.sums[name], POINTS[name].outputs
    column, map_ = hl.Var("column"), hl.Var("map")
    f.bound(m, 0, outputs).align_bounds(x, columns)
    f.split(x, x, column, columns).split(m, m, map_, maps)
    f.reorder(lane, column, map_, m, x, y)
    if forward.architecture.activation.kind == "relu":
        f.unroll(column).unroll(map_)
    else:
        # A group's columns are one vector, so that their squashing functions go side by side: one
        # after the other, each would wait for its own steps.
        f.vectorize(column)
        t.compute_at(f, m).bound_extent(lane, LANES).vectorize(lane).unroll(x).unroll(m)
        t.align_bounds(x, columns).bound_extent(x, columns)
    products.compute_at(f, m).bound_extent(lane, LANES).vectorize(lane).unroll(point).unroll(m)
    update, r = products.update(), products.rvars(0)
    update.reorder(lane, point, m, r[0], r[1]).vectorize(lane).unroll(point).unroll(m)


def _tile_dense(f: Func, total: Func) -> None:
    """Accumulators in registers: twelve units."""
    unit = hl.Var("unit")
    f.split(k, k, unit, 12, hl.TailStrategy.GuardWithIf)
    total.compute_at(f, k).bound_extent(lane, LANES).vectorize(lane).unroll(k)
    r = total.rvars(0)
    total.update().reorder(lane, k, r[0]).vectorize(lane).unroll(k)


def whole_vectors(n: int) -> int:
    """`n` rounded up to whole vectors of lanes."""
    return -(-n // LANES) * LANES


def block_extents(architecture: Architecture) -> dict[str, Extents]:
    """What the blocks of images say of the parameters, before it is added up."""
    extents: dict[str, Extents] = {
        "output.delta": ("b", architecture.classes, LANES),
        "f6.delta": ("b", F6_UNITS, LANES),
        "c5.delta": ("b", C5_UNITS, LANES),
        "s4.rows": ("b", LANES, whole_vectors(S4_FEATURES)),
        "c5.rows": ("b", LANES, whole_vectors(C5_UNITS)),
        "f6.rows": ("b", LANES, whole_vectors(F6_UNITS)),
        "c3.weight": ("b", C3_MAPS, C1_MAPS, KERNEL_SIZE, POINTS["c3"].count),
        "c3.bias": ("b", C3_MAPS, LANES),
        "c1.weight": ("b", C1_MAPS, 1, KERNEL_SIZE + 1, POINTS["c1"].count),
    }
    if architecture.pooling.trainable:
        for layer, maps in (("s2", C1_MAPS), ("s4", C3_MAPS)):
            extents[f"{layer}.coefficient"] = ("b", maps, LANES)
            extents[f"{layer}.bias"] = ("b", maps, LANES)
    return extents


class Backward(Pipeline):
    """From images and answers to scores and every parameter's gradient.

    A task for each block of images goes forward and back through all layers; what the blocks say
    of the parameters is added up afterwards.
    """

    def __init__(self, forward: "Learner") -> None:
        arch = forward.architecture
        super().__init__(arch)
        self.inputs, self.w, self.masks = forward.inputs, forward.w, forward.masks
        self.tape, self.taps = forward.tape, forward.taps["c3"]
        self.found: dict[str, Func] = {}
        delta = self._cross_entropy(forward)
        output, tape = delta, self.tape
        self.leader: Func | None = None
        features = {
            name: masked(_func(tape[name], f"{name}_features"), self.masks.get(f"{name}.mask"))
            for name in ("s4", "c5", "f6")
        }

        # Dense layers: the gradient of the inputs, times the slope.
        if arch.output == "rbf":
            back = self._radial_basis_back(output, features["f6"])
        else:
            back = self._dense_back("output", output, arch.classes)
        f6 = self._slope("f6", back)
        c5 = self._slope("c5", self._dense_back("f6", f6, F6_UNITS))
        flat = self._dense_back("c5", c5, C5_UNITS)

        # The convolutions and their poolings.
        s4, feature = hl.Func("s4_delta"), (m * S4_SIZE + y) * S4_SIZE + x
        s4[lane, x, y, m, b] = self._squashed_pooling(
            flat[lane, feature, b], tape["s4"][lane, feature, b]
        )
        c3 = self._unpool("s4", s4, tape["c3"])
        _by_windows(c3)
        deltas = deltas_at_points("c3_deltas", c3, POINTS["c3"])
        # Again rather than kept from the forward pass: it is little work, and much memory.
        inputs = inputs_at_points("c3_inputs", tape["s2"], POINTS["c3"])
        s2 = self._c3_inputs(deltas)
        c3_weight = self._c3_weights(inputs, deltas)
        c1_weight = self._c1_weights(s2, forward.at_points["c1"])

        self._keep("c3.weight", c3_weight)
        for name, delta in (("output", output), ("f6", f6), ("c5", c5)):
            self._keep_copy(f"{name}.delta", delta)
        for name, rows in features.items():
            self._keep_rows(f"{name}.rows", rows)
        self._keep("c1.weight", c1_weight)
        self._keep_copy("c3.bias", self._map_sums(c3, C3_SIZE))
        if arch.pooling.trainable:
            for name, delta, source, size in (
                ("s2", s2, tape["c1"], S2_SIZE),
                ("s4", s4, tape["c3"], S4_SIZE),
            ):
                pooled = hl.Func(f"{name}_pooled")
                pooled[lane, x, y, m, b] = arch.pooling.sum(window(source, x, y, m, b))
                self._keep_copy(f"{name}.coefficient", self._map_sums(delta, size, pooled))
                self._keep_copy(f"{name}.bias", self._map_sums(delta, size))
        for stage in (output, f6, c5, flat, s4, c3, deltas, inputs, s2):
            stage.compute_at(c3_weight, b).bound_extent(lane, LANES).vectorize(lane)
            stage.never_partition_all()
        for stage in self.loss:
            stage.compute_at(c3_weight, b).bound_extent(lane, LANES).vectorize(lane)
        _schedule_layers(forward, c3_weight)
        _by_images(forward.scores).compute_with(c3_weight, b)
        self._add_up((forward.n + LANES - 1) // LANES)
        self.write("scores", forward.scores, ("n", arch.classes))

    def _cross_entropy(self, forward: "Learner") -> Func:
        """The scores' gradient: the given one, or the cross-entropy's, label smoothing included."""
        classes = self.architecture.classes
        labels, indices = hl.ImageParam(hl.Int(64), 1, "labels"), forward.pictures.indices
        pack(labels, ("all",))
        self.inputs["labels"] = labels
        # Label smoothing, and what an image counts for: one over the batch.
        settings = self.read("settings", (2,))
        top, power, total, delta = (
            hl.Func(f"output_{n}") for n in ("top", "power", "total", "delta")
        )
        r = hl.RDom([(0, classes)], "classes")
        top[lane, b] = hl.maximum(forward.output[lane, r[0], b], "output_largest")
        power[lane, k, b] = exp(forward.output[lane, k, b] - top[lane, b])
        total[lane, b] = hl.f32(0)
        total[lane, b] += power[lane, r[0], b]
        target = settings[0] / hl.f32(classes) + hl.select(
            k == hl.cast(hl.Int(32), labels[forward.pictures.chosen(row_of(indices))]),
            hl.f32(1) - settings[0],
            hl.f32(0),
        )
        error = settings[1] * (power[lane, k, b] / total[lane, b] - target)
        if forward.given is not None:
            gradient = self.read("gradient", ("n", classes))
            error = hl.select(forward.given, gradient[k, row_of(gradient)], error)
        delta[lane, k, b] = hl.select(is_spare(indices), hl.f32(0), error)
        total.update().vectorize(lane)
        self.loss = (top, power, total)
        return delta

    def _keep(self, name: str, f: Func) -> None:
        """What is added up over the blocks, found in the one loop over them."""
        extents = block_extents(self.architecture)[name]
        for variable, extent in zip(f.args(), reversed(extents), strict=True):
            if isinstance(extent, int):
                f.bound(variable, 0, extent)
        self.found[name] = f
        self.write(f"{name}.blocks", f, extents)
        f.parallel(b)
        if self.leader is None:
            self.leader = f
        else:
            f.compute_with(self.leader, b)

    def _keep_copy(self, name: str, f: Func) -> None:
        """What others read cannot lead out of their loop, but its copy can."""
        copy, at = hl.Func(f"{name}_copy".replace(".", "_")), tuple(f.args())
        copy[at] = f[at]
        copy.vectorize(lane)
        self._keep(name, copy)

    def _keep_rows(self, name: str, f: Func) -> None:
        """A layer's output image by image, so that weights, not images, can be the lanes."""
        image, unit = hl.Var("image"), hl.Var("unit")
        rows = hl.Func(name.replace(".", "_"))
        # Whole vectors: what lies beyond the last unit repeats it and is never stored.
        inputs = {"s4.rows": S4_FEATURES, "c5.rows": C5_UNITS, "f6.rows": F6_UNITS}[name]
        rows[unit, image, b] = f[image, hl.min(unit, inputs - 1), b]
        rows.vectorize(unit, LANES)
        self._keep(name, rows)

    def _slope(self, name: str, back: Func) -> Func:
        """Through Dropout and the squashing function of a dense layer."""
        f, unit = hl.Func(f"{name}_delta"), hl.Var("unit")
        slope = self.architecture.activation.derivative(self.tape[name][lane, k, b])
        f[lane, k, b] = masked(back, self.masks.get(f"{name}.mask"))[lane, k, b] * slope
        back.compute_at(f, k).bound_extent(lane, LANES).vectorize(lane).unroll(k)
        f.split(k, k, unit, 12)
        return f

    def _dense_back(self, name: str, delta: Func, units: int) -> Func:
        """The gradient of a dense layer's inputs."""
        f = hl.Func(f"{name}_back")
        r = hl.RDom([(0, units)], f"{name}_back_r")
        f[lane, k, b] = hl.f32(0)
        f[lane, k, b] += self.w[f"{name}.weight"][k, r[0]] * delta[lane, r[0], b]
        if name == "c5":
            unit = hl.Var("unit")
            f.update().split(k, k, unit, 16).reorder(lane, unit, r[0], k, b)
            f.update().vectorize(lane).unroll(unit)
        else:
            f.update().reorder(lane, k, r[0]).vectorize(lane).unroll(k)
        return f

    def _radial_basis_back(self, output: Func, features: Func) -> Func:
        """d/dx of −Σ (x − w)², for each score."""
        f = hl.Func("output_back")
        r = hl.RDom([(0, self.architecture.classes)], "output_back_r")
        difference = features[lane, k, b] - self.w["output.centers"][k, r[0]]
        f[lane, k, b] = hl.f32(0)
        f[lane, k, b] -= hl.f32(2) * difference * output[lane, r[0], b]
        f.update().reorder(lane, k, r[0]).vectorize(lane).unroll(k)
        return f

    def _squashed_pooling(self, gradient: Expr, pooled: Expr) -> Expr:
        """Through the squashing function after a pooling, where there is one."""
        arch = self.architecture
        return gradient * arch.activation.derivative(pooled) if arch.squash_pooled else gradient

    def _unpool(self, name: str, gradient: Func, output: Any) -> Func:
        """Through a pooling and the squashing function before it."""
        arch = self.architecture
        f = hl.Func(f"{name}_unpooled")
        column, row = x // POOLING_SIZE, y // POOLING_SIZE
        coefficient = self.w[f"{name}.coefficient"][m] if arch.pooling.trainable else None
        back = arch.pooling.back(
            gradient[lane, column, row, m, b],
            window(output, column, row, m, b),
            x % POOLING_SIZE,
            y % POOLING_SIZE,
            coefficient,
        )
        f[lane, x, y, m, b] = back * arch.activation.derivative(output[lane, x, y, m, b])
        return f

    def _map_sums(self, delta: Func, size: int, factor: Func | None = None) -> Func:
        """A number for each map: the sum over it, for instance the gradient of its bias."""
        f = hl.Func(f"{delta.name()}_sums")
        r = hl.RDom([(0, size), (0, size)], f"{delta.name()}_r")
        at = (lane, r[0], r[1], m, b)
        f[lane, m, b] = hl.f32(0)
        f[lane, m, b] += delta[at] if factor is None else delta[at] * factor[at]
        f.update().vectorize(lane)
        return f

    def _c3_weights(self, inputs: Func, deltas: Func) -> Func:
        """The gradients of C3's kernels at the points, summed over a block's images."""
        row, into = hl.Var("kernel_row"), hl.Var("into")
        tile, f = hl.Func("c3_weight_tile"), hl.Func("c3_weight")
        r = hl.RDom([(0, C3_SIZE // POINTS["c3"].outputs), (0, C3_SIZE)], "c3_weight_r")
        tile[lane, row, m, into, point, b] = hl.f32(0)
        tile[lane, row, m, into, point, b] += (
            inputs[lane, point, r[0], row + r[1], into, b] * deltas[lane, point, r[0], r[1], m, b]
        )
        at = (row, m, into, point, b)
        summed = _sum_of_lanes("c3_weight_lanes", lambda i: tile[(i, *at)], *at)
        f[point, row, into, m, b] = summed[at]
        some = hl.Var("some")
        f.split(m, m, some, 4).reorder(row, some, into, m, point, b).unroll(row).unroll(some)
        summed.compute_at(f, into).unroll(row).unroll(m)
        summed.update().unroll(row).unroll(m)
        tile.compute_at(f, into)
        _unroll_tile(tile, row)
        return f

    def _c3_inputs(self, deltas: Func) -> Func:
        """The gradient of S2's maps.

        Each group of C3's columns adds to those of S2 that it sees: no product with a border's
        zero. The taps at the points are scaled.
        """
        at = POINTS["c3"]
        total, spread, row, f = (hl.Func(f"s2_{n}") for n in ("total", "spread", "row", "delta"))
        r = hl.RDom([(0, C3_MAPS), (0, KERNEL_SIZE)], "s2_r")
        source_row = y - r[1]
        r.where((source_row >= 0) & (source_row < C3_SIZE))
        source_row = hl.unsafe_promise_clamped(source_row, 0, C3_SIZE - 1)
        total[lane, point, group, y, m, b] = hl.f32(0)
        total[lane, point, group, y, m, b] += (
            self.taps[point, r[0], r[1], m] * deltas[lane, point, group, source_row, r[0], b]
        )
        found = [total[lane, i, group, y, m, b] for i in range(at.count)]
        column = hl.Var("column")
        spread[lane, column, group, y, m, b] = hl.mux(column, at.evaluate_inputs_transposed(found))
        c = hl.RDom([(0, at.count), (0, C3_SIZE // at.outputs)], "s2_columns")
        row[lane, x, y, m, b] = hl.f32(0)
        row[lane, at.outputs * c[1] + c[0], y, m, b] += spread[lane, c[0], c[1], y, m, b]
        f[lane, x, y, m, b] = self._squashed_pooling(
            row[lane, x, y, m, b] * hl.f32(1 / self.architecture.activation.scale),
            self.tape["s2"][lane, x, y, m, b],
        )
        f.bound(x, 0, S2_SIZE).bound(y, 0, S2_SIZE).bound(m, 0, C1_MAPS)
        some, maps = hl.Var("some"), 3
        f.split(m, m, some, maps).reorder(lane, x, some, m, y, b).unroll(x)
        row.compute_at(f, m).bound_extent(lane, LANES).vectorize(lane).unroll(x)
        row.update().reorder(lane, c[0], m, c[1]).vectorize(lane).unroll(c[0]).unroll(m)
        total.compute_at(row, c[1]).bound_extent(lane, LANES).vectorize(lane)
        total.unroll(point).unroll(m)
        total.update().reorder(lane, point, m, r[0], r[1]).vectorize(lane).unroll(point).unroll(m)
        return f

    def _c1_weights(self, s2: Func, inputs: Func) -> Func:
        """The gradients of C1's kernels at the points, summed over a block's images.

        A sixth row, over ones, holds the sums of its deltas.
        """
        at_points = POINTS["c1"]
        deltas = deltas_at_points("c1_deltas", self._unpool("s2", s2, self.tape["c1"]), at_points)
        row, into, strip, rows = hl.Var("kernel_row"), hl.Var("into"), hl.Var("strip"), 4
        tile, total, f = (hl.Func(f"c1_weight{n}") for n in ("_tile", "_total", ""))
        r = hl.RDom([(0, C1_SIZE // at_points.outputs), (0, rows)], "c1_weight_r")
        y_in = hl.min(row, KERNEL_SIZE - 1) + rows * strip + r[1]
        tile[lane, row, m, point, strip, b] = hl.f32(0)
        tile[lane, row, m, point, strip, b] += (
            hl.select(row < KERNEL_SIZE, inputs[lane, point, r[0], y_in, 0, b], hl.f32(1))
            * deltas[lane, point, r[0], rows * strip + r[1], m, b]
        )
        strips = hl.RDom([(0, C1_SIZE // rows)], "c1_strips")
        total[lane, row, m, point, b] = hl.f32(0)
        total[lane, row, m, point, b] += tile[lane, row, m, point, strips[0], b]
        at = (row, m, point, b)
        summed = _sum_of_lanes("c1_weight_lanes", lambda i: total[(i, *at)], *at)
        f[point, row, into, m, b] = summed[at]
        f.reorder(row, m, point, into, b)
        summed.compute_at(f, row)
        total.compute_at(f, b).bound_extent(lane, LANES).vectorize(lane)
        total.bound(point, 0, at_points.count).bound(row, 0, KERNEL_SIZE + 1).bound(m, 0, C1_MAPS)
        some = hl.Var("some")
        update = (
            total.update().split(m, m, some, 3).reorder(lane, row, some, m, point, strips[0], b)
        )
        update.vectorize(lane).unroll(row).unroll(some)
        # A pooling's window at a time: what its four inputs share is computed once.
        in_window = hl.Var("in_window")
        deltas.align_bounds(y, POOLING_SIZE).split(y, y, in_window, POOLING_SIZE)
        deltas.reorder(lane, point, in_window, group, y).unroll(in_window).vectorize(lane)
        deltas.compute_at(total, strips[0]).hoist_storage(f, b).bound_extent(lane, LANES)
        tile.compute_at(total, m)
        _unroll_tile(tile, row)
        return f

    def _add_up(self, blocks: Expr) -> None:
        """From what each block says to every parameter's gradient."""
        arch, found, self.blocks = self.architecture, self.found, blocks
        self.extents = weight_extents(arch)
        self._kernels("c1.weight", Connections.dense(C1_MAPS, 1))
        self._c1_bias()
        self._kernels("c3.weight", arch.connections)
        self._sum("c3.bias", (m,), (m,))
        if arch.pooling.trainable:
            for name in ("s2", "s4"):
                self._sum(f"{name}.coefficient", (m,), (m,))
                self._sum(f"{name}.bias", (m,), (m,))
        self._outer("c5", found["c5.delta"], found["s4.rows"], S4_FEATURES)
        self._outer("f6", found["f6.delta"], found["c5.rows"], C5_UNITS)
        if arch.output == "rbf":
            self._radial_basis_centers(found["output.delta"], found["f6.rows"])
        else:
            self._outer("output", found["output.delta"], found["f6.rows"], F6_UNITS)

    def _kernels(self, name: str, connections: Connections) -> None:
        """The gradient of a convolution's kernels: what the blocks found, back from the points."""
        title, at = name.replace(".", "_"), POINTS[name.split(".")[0]]
        f, total, link = hl.Func(f"{title}_gradient"), hl.Func(f"{title}_total"), hl.Var("link")
        column, row = hl.Var("kernel_column"), hl.Var("kernel_row")
        out, into = (
            lookup([ends[i] for ends in connections.links], f"{title}_end_{i}")(link)
            for i in range(2)
        )
        r = hl.RDom([(0, self.blocks)], f"{title}_blocks")
        total[point, row, link] = hl.f32(0)
        total[point, row, link] += self.found[name][point, row, into, out, r[0]]
        taps = at.evaluate_taps_transposed([total[i, row, link] for i in range(at.count)])
        f[column, row, link] = hl.mux(column, taps)
        for variable, extent in zip(f.args(), reversed(self.extents[name]), strict=True):
            f.bound(variable, 0, extent)
        f.unroll(column)
        total.compute_at(f, row)
        self.write(name, f, self.extents[name])

    def _c1_bias(self) -> None:
        """Over ones, the sums at the point 1 are those of the deltas."""
        f, r = hl.Func("c1_bias_gradient"), hl.RDom([(0, self.blocks)], "c1_bias_blocks")
        at_1 = POINTS["c1"].zero + 2 * POINTS["c1"].pairs.index(1)
        f[m] = hl.f32(0)
        f[m] += self.found["c1.weight"][at_1, KERNEL_SIZE, 0, m, r[0]]
        f.update().unscheduled()
        f.bound(m, 0, C1_MAPS)
        self.write("c1.bias", f, self.extents["c1.bias"])

    def _sum(
        self, name: str, at: tuple[Any, ...], place: tuple[Expr, ...], found: Any = None
    ) -> None:
        """A parameter's gradient at `at`: what the blocks found at `place`, all lanes added."""
        found = self.found[name] if found is None else found
        title = name.replace(".", "_")
        f, lanes = hl.Func(f"{title}_gradient"), hl.Func(f"{title}_lanes")
        r = hl.RDom([(0, self.blocks)], f"{title}_blocks")
        lanes[(lane, *at)] = hl.f32(0)
        lanes[(lane, *at)] += found[(lane, *place, r[0])]
        f[at] = _sum_of_lanes(f"{title}_sum", lambda i: lanes[(i, *at)], *at)[at]
        lanes.compute_at(f, at[0]).bound_extent(lane, LANES).vectorize(lane)
        lanes.update().vectorize(lane)
        for variable, extent in zip(at, reversed(self.extents[name]), strict=True):
            f.bound(variable, 0, extent)
        self.write(name, f, self.extents[name])

    def _outer(self, name: str, delta: Any, rows: Any, inputs: int) -> None:
        """A dense layer: an outer product summed over the images, and the sum of its deltas."""
        (units,) = (n for n in self.extents[f"{name}.bias"] if isinstance(n, int))
        f, total = hl.Func(f"{name}_weight_gradient"), hl.Func(f"{name}_weight_sum")
        unit = hl.Var("unit_index")
        r = hl.RDom([(0, LANES), (0, self.blocks)], f"{name}_outer_r")
        total[k, unit] = hl.f32(0)
        total[k, unit] += rows[k, r[0], r[1]] * delta[r[0], unit, r[1]]
        f[k, unit] = total[k, unit]
        inner, column = hl.Var("inner"), hl.Var("column")
        vectors = next(t for t in (5, 4, 3, 2, 1) if (whole_vectors(inputs) // LANES) % t == 0)
        tile = next(t for t in (24 // vectors, 5, 4, 3, 2, 1) if units % t == 0)
        wide = vectors * LANES
        f.bound(k, 0, inputs).bound(unit, 0, units)
        f.split(unit, unit, inner, tile)
        f.split(k, k, column, wide, hl.TailStrategy.GuardWithIf)
        f.vectorize(column, LANES).reorder(column, inner, unit, k)
        if name != "output":
            # Some inputs with many units: the inputs stay in the first-level cache.
            task, tiles = hl.Var("task"), units // tile
            f.split(unit, task, unit, next(t for t in (5, 7) if tiles % t == 0))
            f.reorder(column, inner, unit, k, task).parallel(task)
        total.compute_at(f, unit).vectorize(k, LANES).unroll(k).unroll(unit)
        total.update().reorder(k, unit, r[0], r[1]).vectorize(k, LANES).unroll(k).unroll(unit)
        self.write(f"{name}.weight", f, self.extents[f"{name}.weight"])
        self._sum(f"{name}.bias", (k,), (k,), delta)

    def _radial_basis_centers(self, delta: Any, rows: Any) -> None:
        """Of −Σ (x − w)²: 2 (x − w) for each score's gradient."""
        f, unit = hl.Func("centers_gradient"), hl.Var("unit_index")
        r = hl.RDom([(0, LANES), (0, self.blocks)], "centers_r")
        center = self.w["output.centers"]
        f[k, unit] = hl.f32(0)
        difference = rows[k, r[0], r[1]] - center[k, unit]
        f[k, unit] += hl.f32(2) * difference * delta[r[0], unit, r[1]]
        f.update().vectorize(k, 4)
        self.write("output.centers", f, self.extents["output.centers"])


def _unroll_tile(tile: Func, row: Any) -> None:
    """Accumulators in registers: the rows of kernels by some maps."""
    r = tile.rvars(0)
    tile.update().reorder(lane, row, m, r[0], r[1])
    for stage in (tile.bound_extent(lane, LANES), tile.update()):
        stage.vectorize(lane).unroll(row).unroll(m)


def _by_windows(f: Func) -> None:
    """A pooling's window at a time: what its four inputs share is computed once."""
    column, row = hl.Var("column"), hl.Var("row")
    f.align_bounds(x, POOLING_SIZE).align_bounds(y, POOLING_SIZE)
    f.split(x, x, column, POOLING_SIZE).split(y, y, row, POOLING_SIZE)
    f.reorder(lane, column, row, x, y).unroll(column).unroll(row)


def _func(array: Any, name: str) -> Func:
    """An array as a Func over lanes, units and blocks."""
    f = hl.Func(name)
    f[lane, k, b] = array[lane, k, b]
    return f


def _sum_of_lanes(name: str, of: Callable[[Expr], Expr], *variables: Any) -> Func:
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


# --- The data path --------------------------------------------------------------------------------


LEVELS = 4  # in a word of ink


class Pictures:
    """Chosen pictures of a uint8 set, padded with paper, distorted if wanted, and scaled.

    The bits are those of `lenet.data.preprocessing.Preprocessing.apply` and
    `lenet.data.distortions.warp`: every product and sum is rounded as NumPy rounds it.
    """

    def __init__(self, distorted: bool) -> None:
        # Four levels at a time: what makes picking slow is the number of loads.
        self.ink = hl.ImageParam(hl.UInt(32), 3, "ink")
        self.indices = hl.ImageParam(hl.Int(64), 1, "indices")
        self.scaling = hl.ImageParam(hl.Float(32), 1, "scaling")
        self.inputs = {"ink": self.ink, "scaling": self.scaling, "indices": self.indices}
        pack(self.ink, ("all", INK_SIZE, INK_SIZE // LEVELS))
        pack(self.indices, ("n",))
        pack(self.scaling, (2,))
        self.stages: list[Func] = []
        self.matrices: Any = None
        if distorted:
            self.matrices = hl.ImageParam(hl.Float(32), 3, "matrices")
            self.inputs["matrices"] = self.matrices
            pack(self.matrices, ("n", 2, 3))
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
        side = INK_SIZE + 2

        def source(axis: int) -> Expr:
            def step(at: Expr) -> Expr:
                return hl.cast(hl.Float(32), at) - hl.f32((PADDED_SIZE - 1) / 2)

            across = hl.strict_float(self.matrices[0, axis, n] * step(x))
            down = hl.strict_float(self.matrices[1, axis, n] * step(y))
            place = hl.strict_float(hl.strict_float(across + self.matrices[2, axis, n]) + down)
            origin = hl.f32((PADDED_SIZE - 1) / 2 - BORDER + 1)
            return hl.clamp(hl.strict_float(place + origin), hl.f32(0), hl.f32(side - 1))

        column, row = source(0), source(1)
        left = hl.clamp(hl.cast(hl.Int(32), column), 0, side - 2)
        top = hl.clamp(hl.cast(hl.Int(32), row), 0, side - 2)
        cell = self.cells[left, top, n]
        corners = [hl.cast(hl.Float(32), (cell >> (8 * i)) & 255) for i in range(4)]

        def between(low: Expr, high: Expr, share: Expr) -> Expr:
            return hl.strict_float(low + hl.strict_float(share * (high - low)))

        share = hl.strict_float(column - hl.cast(hl.Float(32), left))
        upper = between(corners[0], corners[1], share)
        lower = between(corners[2], corners[3], share)
        return between(upper, lower, hl.strict_float(row - hl.cast(hl.Float(32), top)))


class Learner(ManyImages):
    """A forward pass over chosen pictures of a set or, undistorted, over images that are given.

    Parameters
    ----------
    architecture : Architecture
    distorted : bool
    """

    given: Expr | None = None

    def __init__(self, architecture: Architecture, distorted: bool) -> None:
        self.pictures = Pictures(distorted)
        super().__init__(architecture)
        self.inputs = self.pictures.inputs | self.inputs
        self.n = self.pictures.indices.dim(0).extent()

    def _input(self) -> Func:
        f, at = hl.Func("x"), (lane, x, y, b)
        row = row_of(self.pictures.indices)
        if self.pictures.matrices is not None:
            self.pictures.fill(f, at, row)
            return f
        images = self.read("images", ("n", PADDED_SIZE, PADDED_SIZE))
        self.given = images.dim(2).extent() > 0
        self.pictures.fill(f, at, row, hl.select(self.given, 0, INK_SIZE))
        self.rows[x, lane, y, b] = images[x, y, row_of(images)]
        rows = hl.select(self.given, PADDED_SIZE, 0)
        r = hl.RDom([(0, PADDED_SIZE), (0, rows)], "images_r")
        f[lane, r[0], r[1], b] = self.rows[r[0], lane, r[1], b]
        return f

    def schedule_input(self, tasks: Func) -> None:
        """Where pictures and images become lanes, within a block's task."""
        if self.given is not None:
            self._schedule_rows(self.x.rvars(1)[1])
        level = hl.RVar("level")
        for i in range(self.x.num_update_definitions()):
            r = self.x.rvars(i)
            update = self.x.update(i).split(r[0], r[0], level, LEVELS)
            update.reorder(lane, level, r[0], r[1]).vectorize(lane).unroll(level)
        for stage in self.pictures.stages:
            stage.compute_at(tasks, b)


def gather(distorted: bool) -> Kernel:
    """Chosen pictures of a set as images."""
    pictures, n, images = Pictures(distorted), hl.Var("n"), hl.Func("images")
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
    pack(images.output_buffer(), ("n", PADDED_SIZE, PADDED_SIZE))
    call = hl.Pipeline([images]).compile_to_callable(
        list(pictures.inputs.values()), hl.get_jit_target_from_environment()
    )
    return Kernel(call, tuple(pictures.inputs), ("images",))


def learning(architecture: Architecture, *, distorted: bool = False) -> Kernel:
    """A set or given images, and the weights, to gradients and scores.

    Gather, forward, cross-entropy and backward in one task for each block: nothing leaves the cache
    but what the gradients are added up from.
    """
    step = Backward(Learner(architecture, distorted))
    chosen = ["indices", "matrices"] if distorted else ["indices", "images", "gradient"]
    read = ["ink", "scaling", "labels", *chosen, "settings"]
    read += [*weight_extents(architecture), *mask_extents(architecture)]
    written = [f"{name}.blocks" for name in block_extents(architecture)]
    written += [*weight_extents(architecture), "scores"]
    step.inputs = {name: step.inputs[name] for name in read}
    step.outputs = {name: step.outputs[name] for name in written}
    return step.compile(trusting=True)


def learning_distorted(architecture: Architecture) -> Kernel:
    """`learning` from distorted pictures."""
    return learning(architecture, distorted=True)
