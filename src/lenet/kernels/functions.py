"""Elementary functions in float32, each to the error it states, and comparisons that keep NaN."""

import math
from collections.abc import Sequence
from typing import Any

import halide as hl

# Halide's Python has no type annotations.
Expr = Any
Func = Any

# 2^r on [-1/2, 1/2], the smallest largest relative error that ends in 1: 1.7e-7 in float32.
_EXP2 = (1.32648100e-3, 9.67151485e-3, 5.55073358e-2, 2.40222424e-1, 6.93147004e-1, 1.0)
# tanh t = t P(t²) / Q(t²) on [-_TANH_END, _TANH_END], as in Eigen; beyond, tanh is ±1 in float32.
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
# erf t = t P(t²) / Q(t²) on [-_ERF_END, _ERF_END], as in Eigen; beyond, erf is ±1 in float32.
_ERF_END = 4.0
_ERF_P = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_NO_FRACTION = 1.5 * 2**23
_EXP2_END = 126.0  # 2^±126 and its inverse are normal float32 numbers
LOG2_E = math.log2(math.e)


def exp(z: Expr) -> Expr:
    """e^z, cut at e^±87, to 6e-7 relative where |z| ≤ 8 and 4e-6 at the ends.

    Halide's own `fast_exp` errs by 1e-5 in our gradients.
    """
    return exp2(z * hl.f32(LOG2_E))


def exp2(t: Expr) -> Expr:
    """2^t, t cut to ±126, to 2e-7 relative."""
    t = clamp(t, -_EXP2_END, _EXP2_END)
    # Beside 1.5 · 2^23 a float32 has no fraction: the sum's last bits are t, rounded.
    shifted = hl.strict_float(t + hl.f32(_NO_FRACTION))
    n = hl.strict_float(shifted - hl.f32(_NO_FRACTION))
    mantissa = _polynomial(_EXP2, t - n)
    bits = hl.reinterpret(hl.Int(32), mantissa) + (hl.reinterpret(hl.Int(32), shifted) << 23)
    return hl.reinterpret(hl.Float(32), bits)


def tanh(z: Expr) -> Expr:
    """Hyperbolic tangent to 4e-7 relative."""
    t = clamp(z, -_TANH_END, _TANH_END)
    square = t * t
    return t * _polynomial(_TANH_P, square) / _polynomial(_TANH_Q, square)


def erf(z: Expr) -> Expr:
    """Error function to 4e-7 relative."""
    t = clamp(z, -_ERF_END, _ERF_END)
    square = t * t
    return t * _polynomial(_ERF_P, square) / _polynomial(_ERF_Q, square)


def at_least(z: Expr, low: float) -> Expr:
    """max(z, low) that propagates NaN; `hl.max` need not."""
    return hl.strict_float(hl.select(z < hl.f32(low), hl.f32(low), z))


def clamp(z: Expr, low: float, high: float) -> Expr:
    """`z` clamped to [low, high]; propagates NaN, which `hl.clamp` need not."""
    return at_least(hl.strict_float(hl.select(z > hl.f32(high), hl.f32(high), z)), low)


def larger(u: Expr, v: Expr) -> Expr:
    """max(u, v); NaN wins, as in torch."""
    return hl.select(is_nan(u) | (u > v), u, v)


def is_nan(z: Expr) -> Expr:
    """By the bits: the compiler may assume that float32 comparisons never meet NaN."""
    return (hl.reinterpret(hl.Int(32), z) & 0x7FFFFFFF) > 0x7F800000


def _polynomial(coefficients: Sequence[float], t: Expr) -> Expr:
    """Horner's rule, highest power first."""
    value = hl.f32(coefficients[0])
    for c in coefficients[1:]:
        value = value * t + hl.f32(c)
    return value


def raised(factor: Expr, power: int) -> Expr:
    """The factor by which a backward pass multiplies first (1) or second (2) derivatives."""
    return factor if power == 1 else factor * factor
