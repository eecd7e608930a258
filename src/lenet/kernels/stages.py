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
    last = len(values) - 1
    # Promised, so that Halide need not prove where a link leads.
    low, high = min(values), max(values)
    return lambda i: hl.unsafe_promise_clamped(
        table[hl.unsafe_promise_clamped(i, 0, last)], low, high
    )
