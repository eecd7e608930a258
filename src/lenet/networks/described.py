"""The parts of a network as it is now in torch, with whatever layers somebody put into it."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import InputError
from lenet.networks.frame import LeNet
from lenet.networks.layers import RadialBasisOutput, Subsampling, TableConvolution, look_up
from lenet.networks.parts import (
    BatchNorm,
    Convolution,
    Dense,
    Part,
    Pooling,
    RadialBasis,
    Shape,
)

_NORMS = {"c1": "norm1", "c3": "norm3"}


class Described(NamedTuple):
    """A layer: what it is made of, the shape of its output, and how many numbers it trains."""

    name: str
    parts: tuple[Part, ...]
    shape: Shape
    parameters: int


def describe(network: LeNet) -> Iterator[Described]:
    """C1 to the output for a 32×32 image; the network's mode is kept.

    Raises
    ------
    InputError
        When a layer is not one of those that are known here.
    """
    image = torch.zeros(1, 1, PADDED_SIZE, PADDED_SIZE, dtype=network.dtype)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        shapes = {name: tuple(x.shape[1:]) for name, x in network.activations(image).items()}
    network.train(was_training)
    known: list[nn.Module] = []
    for name, shape in shapes.items():
        layer = getattr(network, name)
        norm = getattr(network, _NORMS.get(name, ""), None)
        modules = [layer, norm] if type(norm) is nn.BatchNorm2d else [layer]
        known += modules
        parts = tuple(look_up(_PARTS, name, each, "the summary")(each) for each in modules)
        trained = sum(p.numel() for m in modules for p in m.parameters() if p.requires_grad)
        yield Described(name, parts, shape, trained)
    for name, owner in network.owners():
        if not any(owner is module for module in known):
            raise InputError(
                f"{name or 'the network'} is a {type(owner).__name__} with parameters, which the "
                f"summary does not know; it counts {', '.join(shapes)} and BatchNorm2d after c1, c3"
            )


def _convolution(layer: nn.Conv2d) -> Convolution:
    rows, columns = layer.kernel_size
    inputs = layer.in_channels // layer.groups
    return Convolution(inputs, layer.out_channels, (rows, columns), bias=layer.bias is not None)


def _window(layer: nn.AvgPool2d | nn.MaxPool2d) -> int:
    size = layer.kernel_size
    return size**2 if isinstance(size, int) else math.prod(size)


_PARTS: dict[type[nn.Module], Callable[[Any], Part]] = {
    nn.Conv2d: _convolution,
    TableConvolution: lambda layer: Convolution(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.table
    ),
    nn.Linear: lambda layer: Dense(layer.in_features, layer.out_features, layer.bias is not None),
    nn.MaxPool2d: lambda layer: Pooling("max", _window(layer)),
    nn.AvgPool2d: lambda layer: Pooling("average", _window(layer)),
    Subsampling: lambda layer: layer.part,
    RadialBasisOutput: lambda layer: RadialBasis(
        len(layer.centers), layer.centers.shape[1], isinstance(layer.centers, nn.Parameter)
    ),
    nn.BatchNorm2d: lambda layer: BatchNorm(layer.num_features),
}
