"""Where training starts: schemes draw from the generator they are given, never the global one."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from lenet.errors import InputError, suggestion
from lenet.networks.frame import LeNet
from lenet.networks.layers import (
    RadialBasisOutput,
    ScaledTanh,
    Subsampling,
    TableConvolution,
    look_up,
)
from lenet.networks.sizes import LAYERS


def initialize(network: LeNet, scheme: str, generator: Generator) -> LeNet:
    """Draw every parameter of `network` anew, in place; BatchNorm starts as the identity.

    Parameters
    ----------
    scheme : {"torch", "xavier", "kaiming", "fan-in", "root-fan-in"}
        ``torch``: weights and biases uniform in ±1/√fan-in, what `torch.nn` does by itself.
        ``xavier``: uniform, gain 4 before a logistic sigmoid, 6 before a hard one and 1 elsewhere,
        zero biases (Glorot & Bengio 2010).
        ``kaiming``: normal, variance 2/fan-in before a ReLU (He et al. 2015), what corresponds to
        it before the other rectifiers, and 1/fan-in elsewhere, zero biases.
        ``fan-in``: weights and biases uniform in ±2.4/fan-in, as LeCun et al. 1998 print it
        (Sec. III.B).
        ``root-fan-in``: in ±2.4/√fan-in, which makes the spread of a weighted sum independent of
        the fan-in: the reason that the paper gives. Trainable pooling starts as the average of
        its inputs, so that no map is lost to a small coefficient. See docs/paper.md.

    Returns
    -------
    network : the same object

    Raises
    ------
    InputError
        When the scheme is unknown, or a layer with parameters, or under ``xavier`` and ``kaiming``
        the activation. Nothing is drawn then.
    """
    if scheme not in _DRAWS:
        hint = suggestion(scheme, SCHEMES)
        raise InputError(
            f"initialization {scheme!r} is unknown; use one of {', '.join(SCHEMES)}{hint}"
        )
    layers = [
        (name, layer, look_up(_UNITS, name, layer, "initialization"))
        for name, layer in network.owners()
    ]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    with torch.no_grad():
        for name, layer, units_of in layers:
            squash = None if name.split(".")[0] == LAYERS[-1] else network.squash
            for units in units_of(layer):
                _DRAWS[scheme](units, squash, generator)
    return network


class _Units(NamedTuple):
    """Units that share a fan-in; `average` is the weight by which they average their inputs."""

    weight: Tensor
    bias: Tensor | None
    fan_in: int
    fan_out: int
    average: float | None = None


# --- What a layer has to draw ---------------------------------------------------------------------


def _convolution(layer: nn.Conv2d) -> Iterator[_Units]:
    area = math.prod(layer.kernel_size)
    fan_in = layer.in_channels // layer.groups * area
    yield _Units(layer.weight, layer.bias, fan_in, layer.out_channels * area)


def _dense(layer: nn.Linear) -> Iterator[_Units]:
    yield _Units(layer.weight, layer.bias, layer.in_features, layer.out_features)


def _table(layer: TableConvolution) -> Iterator[_Units]:
    area = math.prod(layer.kernel_size)
    first = 0
    for map_, row in enumerate(layer.table):
        # Silent: the fan-in of a C3 unit is taken as that of its own row of Table I.
        kernels = layer.weight[first : first + len(row)]
        first += len(row)
        bias = layer.bias[map_ : map_ + 1]
        yield _Units(kernels, bias, len(row) * area, layer.out_channels * area)


def _subsampling(layer: Subsampling) -> Iterator[_Units]:
    area = layer.size**2
    average = 1 / (area * layer.weight_of_an_input)
    yield _Units(layer.coefficient, layer.bias, area, area, average)


def _none(layer: nn.Module) -> Iterator[_Units]:
    return iter(())


_UNITS: dict[type[nn.Module], Callable[[Any], Iterator[_Units]]] = {
    nn.Conv2d: _convolution,
    nn.Linear: _dense,
    TableConvolution: _table,
    Subsampling: _subsampling,
    nn.BatchNorm2d: _none,  # the identity
    RadialBasisOutput: _none,  # released or not, its codes start as the characters they are
}


# --- How it is drawn ------------------------------------------------------------------------------


class _Gain(NamedTuple):
    """What the squashing function after a layer asks of its weights."""

    xavier: float = 1.0  # of the range
    kaiming: float = 1.0  # of the variance


# Of a rectifier, Kaiming's is 1 / E[f(z)²] for normal z: 2 for ReLU, and what keeps the variance in
# the same way for the others. Of a sigmoid, Xavier's is one over its slope at 0.
_GAINS: dict[type[nn.Module], Callable[[Any], _Gain]] = {
    nn.ReLU: lambda _: _Gain(kaiming=2),
    nn.LeakyReLU: lambda layer: _Gain(kaiming=2 / (1 + layer.negative_slope**2)),
    nn.ELU: lambda layer: _Gain(kaiming=1 / (0.5 + 0.144945 * layer.alpha**2)),
    nn.GELU: lambda _: _Gain(kaiming=2.3517),
    nn.SiLU: lambda _: _Gain(kaiming=2.8108),
    nn.Hardswish: lambda _: _Gain(kaiming=3.0160),
    nn.Tanh: lambda _: _Gain(),
    nn.Hardtanh: lambda _: _Gain(),
    ScaledTanh: lambda _: _Gain(),
    nn.Sigmoid: lambda _: _Gain(xavier=4.0),
    nn.Hardsigmoid: lambda _: _Gain(xavier=6.0),
}


def _gain(squash: nn.Module | None) -> _Gain:
    if squash is None:
        return _Gain()
    return look_up(_GAINS, "squash", squash, "initialization by xavier or kaiming")(squash)


def _uniform(units: _Units, bound: float, generator: Generator) -> None:
    units.weight.uniform_(-bound, bound, generator=generator)
    if units.bias is not None:
        units.bias.uniform_(-bound, bound, generator=generator)


def _without_bias(units: _Units) -> None:
    if units.bias is not None:
        units.bias.zero_()


def _torch(units: _Units, squash: nn.Module | None, generator: Generator) -> None:
    _uniform(units, 1 / math.sqrt(units.fan_in), generator)


def _xavier(units: _Units, squash: nn.Module | None, generator: Generator) -> None:
    bound = _gain(squash).xavier * math.sqrt(6 / (units.fan_in + units.fan_out))
    units.weight.uniform_(-bound, bound, generator=generator)
    _without_bias(units)


def _kaiming(units: _Units, squash: nn.Module | None, generator: Generator) -> None:
    deviation = math.sqrt(_gain(squash).kaiming / units.fan_in)
    units.weight.normal_(0, deviation, generator=generator)
    _without_bias(units)


def _fan_in(units: _Units, squash: nn.Module | None, generator: Generator) -> None:
    _uniform(units, 2.4 / units.fan_in, generator)


def _root_fan_in(units: _Units, squash: nn.Module | None, generator: Generator) -> None:
    if units.average is None:
        _uniform(units, 2.4 / math.sqrt(units.fan_in), generator)
    else:
        units.weight.fill_(units.average)
        _without_bias(units)


_DRAWS: dict[str, Callable[[_Units, nn.Module | None, Generator], None]] = {
    "torch": _torch,
    "xavier": _xavier,
    "kaiming": _kaiming,
    "fan-in": _fan_in,
    "root-fan-in": _root_fan_in,
}
SCHEMES = tuple(_DRAWS)
