"""Activations: each an expression, its derivative, and the layer it stands for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import halide as hl
from torch import nn

from lenet.kernels.functions import LOG2_E, Expr, at_least, clamp, erf, exp, exp2, tanh
from lenet.networks.layers import ScaledTanh


class Activation:
    """What the kernels must know of a squashing function.

    Attributes
    ----------
    scale : float
        The weighted sum is multiplied by it first; taps and weights may be scaled beforehand.
    is_cheap : bool
        Whether it takes an instruction or two. The others hide their latency only side by side.
    is_monotonic : bool
        Whether an output tells the slope. Where it does not, training keeps the weighted sums.
    """

    scale: float = 1.0
    is_cheap: ClassVar[bool] = False
    is_monotonic: ClassVar[bool] = True

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `t`, which is `scale` times the weighted sum; propagates NaN."""
        raise NotImplementedError

    def derivative(self, a: Expr) -> Expr:
        """The slope at the point where the output is `a`.

        Where it is not monotonic, at the point where the weighted sum, times `scale`, is `a`.
        """
        raise NotImplementedError

    def value(self, z: Expr) -> Expr:
        """The output for the weighted sum `z`."""
        return self.of_scaled(z * hl.f32(self.scale))


@dataclass(frozen=True)
class Sigmoid(Activation):
    """The logistic sigmoid 1 / (1 + e^−z)."""

    scale: float = -LOG2_E

    def of_scaled(self, t: Expr) -> Expr:
        """1 / (1 + 2^t)."""
        return hl.f32(1) / (hl.f32(1) + exp2(t))

    def derivative(self, a: Expr) -> Expr:
        """The slope a (1 − a)."""
        return a * (hl.f32(1) - a)


@dataclass(frozen=True)
class Tanh(Activation):
    """amplitude · tanh(scale · z); neither may be 0."""

    amplitude: float = 1.0
    scale: float = 1.0

    def of_scaled(self, t: Expr) -> Expr:
        """The output amplitude · tanh t."""
        return hl.f32(self.amplitude) * tanh(t)

    def derivative(self, a: Expr) -> Expr:
        """The slope amplitude · scale − scale / amplitude · a²."""
        return hl.f32(self.amplitude * self.scale) - hl.f32(self.scale / self.amplitude) * (a * a)


@dataclass(frozen=True)
class ReLU(Activation):
    """max(0, z)."""

    is_cheap = True

    def of_scaled(self, t: Expr) -> Expr:
        """max(0, t)."""
        return at_least(t, 0)

    def derivative(self, a: Expr) -> Expr:
        """1 where there is an output, else 0."""
        return hl.select(a > 0, hl.f32(1), hl.f32(0))


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """z where it is positive, else slope · z; the slope is not negative."""

    slope: float = 0.01

    is_cheap = True

    def of_scaled(self, t: Expr) -> Expr:
        """The output t or slope · t."""
        return hl.select(t < 0, t * hl.f32(self.slope), t)

    def derivative(self, a: Expr) -> Expr:
        """1 where the output is positive, else the slope."""
        return hl.select(a > 0, hl.f32(1), hl.f32(self.slope))


@dataclass(frozen=True)
class ELU(Activation):
    """z where it is positive, else alpha (e^z − 1); alpha is not negative."""

    alpha: float = 1.0

    def of_scaled(self, t: Expr) -> Expr:
        """The output t or alpha (e^t − 1)."""
        return hl.select(t < 0, hl.f32(self.alpha) * (exp(t) - hl.f32(1)), t)

    def derivative(self, a: Expr) -> Expr:
        """1 where the output is positive, else a + alpha."""
        return hl.select(a > 0, hl.f32(1), a + hl.f32(self.alpha))


@dataclass(frozen=True)
class Clamp(Activation):
    """slope · z + offset, clamped to [low, high]: hard tanh, hard sigmoid."""

    slope: float = 1.0
    offset: float = 0.0
    low: float = -1.0
    high: float = 1.0

    is_cheap = True

    def of_scaled(self, t: Expr) -> Expr:
        """The line, clamped."""
        return clamp(t * hl.f32(self.slope) + hl.f32(self.offset), self.low, self.high)

    def derivative(self, a: Expr) -> Expr:
        """The slope between the ends, 0 at them."""
        inside = (a > hl.f32(self.low)) & (a < hl.f32(self.high))
        return hl.select(inside, hl.f32(self.slope), hl.f32(0))


@dataclass(frozen=True)
class HardSwish(Activation):
    """z · clamp(z / 6 + 1/2, 0, 1)."""

    is_cheap = True
    is_monotonic = False

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `t`."""
        return t * clamp(t * hl.f32(1 / 6) + hl.f32(0.5), 0, 1)

    def derivative(self, a: Expr) -> Expr:
        """Z / 3 + 1/2 between −3 and 3, else 0 or 1."""
        inside = a * hl.f32(1 / 3) + hl.f32(0.5)
        return hl.select(a < -3, hl.f32(0), hl.select(a > 3, hl.f32(1), inside))


@dataclass(frozen=True)
class SiLU(Activation):
    """z / (1 + e^−z)."""

    is_monotonic = False

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `t`."""
        return t * Sigmoid().value(t)

    def derivative(self, a: Expr) -> Expr:
        """S (1 + z (1 − s)), where s is the logistic sigmoid of z."""
        s = Sigmoid().value(a)
        return s * (hl.f32(1) + a * (hl.f32(1) - s))


@dataclass(frozen=True)
class GELU(Activation):
    """z Φ(z), Φ being the normal distribution's (Hendrycks & Gimpel 2016)."""

    is_monotonic = False

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `t`."""
        return t * self._share(t)

    def derivative(self, a: Expr) -> Expr:
        """Φ(z) + z φ(z)."""
        density = exp(a * a * hl.f32(-0.5)) * hl.f32(1 / math.sqrt(2 * math.pi))
        return self._share(a) + a * density

    def _share(self, z: Expr) -> Expr:
        """Φ(z)."""
        return hl.f32(0.5) + hl.f32(0.5) * erf(z * hl.f32(math.sqrt(0.5)))


@dataclass(frozen=True)
class TanhGELU(Activation):
    """GELU's approximation z (1 + tanh u) / 2 = z / (1 + e^−2u), u = √(2/π) (z + 0.044715 z³)."""

    is_monotonic = False

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `t`."""
        return t * Sigmoid().value(hl.f32(2) * self._u(t))

    def derivative(self, a: Expr) -> Expr:
        """The slope s + 2 u' z s (1 − s), where s is the logistic sigmoid of 2u."""
        u = self._u(a)
        # By the smaller of e^2u and e^−2u: 1 − s would cancel, and z multiplies what is left.
        e = exp(hl.f32(-2) * hl.abs(u))
        share = hl.f32(1) / (hl.f32(1) + e)
        s = hl.select(u < 0, e, hl.f32(1)) * share
        slope = hl.f32(_ROOT) + hl.f32(3 * _ROOT * _CUBIC) * (a * a)
        return s + hl.f32(2) * slope * a * (e * share * share)

    def _u(self, z: Expr) -> Expr:
        return z * (hl.f32(_ROOT) + hl.f32(_ROOT * _CUBIC) * (z * z))


_ROOT, _CUBIC = math.sqrt(2 / math.pi), 0.044715

KNOWN: dict[type[nn.Module], Callable[[Any], Activation]] = {
    nn.Sigmoid: lambda _: Sigmoid(),
    nn.Tanh: lambda _: Tanh(),
    nn.ReLU: lambda _: ReLU(),
    ScaledTanh: lambda layer: Tanh(layer.amplitude, layer.slope),
    nn.LeakyReLU: lambda layer: LeakyReLU(slope=float(layer.negative_slope)),
    nn.ELU: lambda layer: ELU(alpha=float(layer.alpha)),
    nn.Hardtanh: lambda layer: Clamp(low=float(layer.min_val), high=float(layer.max_val)),
    nn.Hardsigmoid: lambda _: Clamp(slope=1 / 6, offset=0.5, low=0.0),
    nn.Hardswish: lambda _: HardSwish(),
    nn.SiLU: lambda _: SiLU(),
    nn.GELU: lambda layer: GELU() if layer.approximate == "none" else TanhGELU(),
}
"""The layers that the kernels know: exactly these types, no subclasses."""
