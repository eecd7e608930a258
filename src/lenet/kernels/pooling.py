"""S2 and S4: 2×2 poolings, and the way back through them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import halide as hl
from torch import nn

from lenet.kernels.activation import Activation
from lenet.kernels.functions import Expr, Func, larger, raised
from lenet.kernels.layout import b, lane, m, x, y
from lenet.networks.layers import Subsampling
from lenet.networks.sizes import POOLING_SIZE


class Pooling:
    """What the kernels must know of a 2×2 pooling.

    Attributes
    ----------
    trainable : bool
        Whether there is a coefficient and a bias for each map.
    """

    trainable: ClassVar[bool] = False

    def value(self, window: Sequence[Expr], coefficient: Expr = None, bias: Expr = None) -> Expr:
        """The pooled value of the window's four inputs, row by row."""
        raise NotImplementedError

    def back(
        self, gradient: Expr, window: Sequence[Expr], column: Expr, row: Expr, coefficient: Expr
    ) -> Expr:
        """The gradient of the window's input at (column, row), from the pooled value's."""
        raise NotImplementedError


@dataclass(frozen=True)
class Average(Pooling):
    """The mean of the four inputs."""

    weight_of_an_input: float = 1 / POOLING_SIZE**2

    def sum(self, window: Sequence[Expr]) -> Expr:
        """The weighted sum of the four inputs."""
        total = (window[0] + window[1]) + (window[2] + window[3])
        return total * hl.f32(self.weight_of_an_input)

    def value(self, window: Sequence[Expr], coefficient: Expr = None, bias: Expr = None) -> Expr:
        """The mean."""
        return self.sum(window)

    def back(
        self, gradient: Expr, window: Sequence[Expr], column: Expr, row: Expr, coefficient: Expr
    ) -> Expr:
        """A quarter for each."""
        return gradient * hl.f32(self.weight_of_an_input)


@dataclass(frozen=True)
class Trainable(Average):
    """The 1998 network's subsampling: the sum of the inputs, or their mean, times a coefficient.

    Parameters
    ----------
    weight_of_an_input : float
        1 when the four inputs are added, 1/4 when they are averaged.
    """

    trainable = True

    def value(self, window: Sequence[Expr], coefficient: Expr = None, bias: Expr = None) -> Expr:
        """Coefficient · sum + bias."""
        return self.sum(window) * coefficient + bias

    def back(
        self, gradient: Expr, window: Sequence[Expr], column: Expr, row: Expr, coefficient: Expr
    ) -> Expr:
        """The coefficient's share for each."""
        return gradient * (coefficient * hl.f32(self.weight_of_an_input))


@dataclass(frozen=True)
class Max(Pooling):
    """The largest input; NaN wins."""

    def value(self, window: Sequence[Expr], coefficient: Expr = None, bias: Expr = None) -> Expr:
        """The maximum."""
        return larger(larger(window[0], window[1]), larger(window[2], window[3]))

    def back(
        self, gradient: Expr, window: Sequence[Expr], column: Expr, row: Expr, coefficient: Expr
    ) -> Expr:
        """The first maximum, row by row, gets it all: torch's convention."""
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


KNOWN: dict[type[nn.Module], Callable[[Any], Pooling]] = {
    nn.AvgPool2d: lambda _: Average(),
    nn.MaxPool2d: lambda _: Max(),
    Subsampling: lambda layer: Trainable(layer.weight_of_an_input),
}
"""The layers that the kernels know: exactly these types, no subclasses."""


def window(f: Func, column: Expr, row: Expr, *rest: Expr, lane: Expr = lane) -> list[Expr]:
    """The four inputs of the pooled unit at (column, row), row by row."""
    refs = [
        f[(lane, POOLING_SIZE * column + i, POOLING_SIZE * row + j, *rest)]
        for j in range(POOLING_SIZE)
        for i in range(POOLING_SIZE)
    ]
    # `hl.select` takes what a Func gives for a tuple.
    return [hl.Expr(ref) if isinstance(ref, hl.FuncRef) else ref for ref in refs]


def pool(
    name: str,
    source: Func,
    pooling: Pooling,
    weights: dict[str, Any],
    squash: Activation | None,
) -> Func:
    """The pooled maps, squashed where the network does."""
    f = hl.Func(name)
    parameters = (
        [weights[f"{name}.{part}"][m] for part in ("coefficient", "bias")]
        if pooling.trainable
        else []
    )
    pooled = pooling.value(window(source, x, y, m, b), *parameters)
    f[lane, x, y, m, b] = pooled if squash is None else squash.value(pooled)
    return f


def unsquash(gradient: Expr, pooled: Expr, squash: Activation | None, power: int = 1) -> Expr:
    """Back through the function that squashes pooled sums, where there is one."""
    return gradient if squash is None else gradient * raised(squash.derivative(pooled), power)


def unpool(
    gradient: Func,
    source: Func,
    pooling: Pooling,
    coefficient: Any,
    activation: Activation,
    power: int = 1,
    slope_from: Func | None = None,
) -> Expr:
    """Back through a pooling and the activation before it, at (x, y) of its input `source`.

    With `power` 2, second derivatives: each factor squared. `slope_from` is what the activation's
    derivative takes, where it is not `source`.
    """
    column, row = x // POOLING_SIZE, y // POOLING_SIZE
    inputs = window(source, column, row, m, b)
    back, here = gradient[lane, column, row, m, b], (x % POOLING_SIZE, y % POOLING_SIZE)
    for _ in range(power):
        back = pooling.back(back, inputs, *here, None if coefficient is None else coefficient[m])
    slope_from = slope_from or source
    return back * raised(activation.derivative(slope_from[lane, x, y, m, b]), power)


def sum_over_positions(delta: Func, size: int, factor: Func | None = None) -> Func:
    """A number for each map: the sum over it, for instance the gradient of its bias."""
    f = hl.Func(f"{delta.name()}_sums")
    r = hl.RDom([(0, size), (0, size)], f"{delta.name()}_r")
    at = (lane, r[0], r[1], m, b)
    f[lane, m, b] = hl.f32(0)
    f[lane, m, b] += delta[at] if factor is None else delta[at] * factor[at]
    f.update().vectorize(lane)
    return f


def loop_over_windows(f: Func) -> None:
    """Schedule a window at a time: what its four inputs share is computed once."""
    column, row = hl.Var("column"), hl.Var("row")
    f.align_bounds(x, POOLING_SIZE).align_bounds(y, POOLING_SIZE)
    f.split(x, x, column, POOLING_SIZE).split(y, y, row, POOLING_SIZE)
    f.reorder(lane, column, row, x, y).unroll(column).unroll(row)
