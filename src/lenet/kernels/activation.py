"""Activations: each an expression, its derivative from its output, and the layer it stands for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import halide as hl
from torch import nn

from lenet.kernels.functions import LOG2_E, Expr, at_least, exp2, tanh
from lenet.networks.layers import ScaledTanh


class Activation:
    """What the kernels must know of a squashing function.

    Attributes
    ----------
    scale : float
        The weighted sum is multiplied by it first; taps and weights may be scaled beforehand.
    is_cheap : bool
        Whether it takes an instruction or two. The others hide their latency only side by side.
    """

    scale: float = 1.0
    is_cheap: ClassVar[bool] = False

    def of_scaled(self, t: Expr) -> Expr:
        """The output for `t`, which is `scale` times the weighted sum; propagates NaN."""
        raise NotImplementedError

    def derivative(self, a: Expr) -> Expr:
        """The slope at the point where the output is `a`."""
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


KNOWN: dict[type[nn.Module], Callable[[Any], Activation]] = {
    nn.Sigmoid: lambda _: Sigmoid(),
    nn.Tanh: lambda _: Tanh(),
    nn.ReLU: lambda _: ReLU(),
    ScaledTanh: lambda layer: Tanh(layer.amplitude, layer.slope),
}
"""The layers that the kernels know: exactly these types, no subclasses."""
