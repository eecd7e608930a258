"""A network in numbers, layer by layer: shapes, parameters, connections, multiply-adds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.errors import InputError
from lenet.networks.frame import LeNet
from lenet.networks.layers import (
    RadialBasisOutput,
    Subsampling,
    TableConvolution,
    look_up,
)
from lenet.networks.recognition import as_lenet

_NORMS = {"c1": "norm1", "c3": "norm3"}


@dataclass(frozen=True)
class LayerSummary:
    """One row of the table.

    Parameters
    ----------
    layer : str
    kind : str
    output_shape : tuple of int
        Without the batch: (maps, rows, columns) or (units,).
    parameters : int
        Trainable ones.
    connections : int
        Links into the layer's units, a trainable bias counting as one, as the paper counts them.
    multiply_adds : int
        Multiplications of one image's forward pass, each with its addition; squashing not counted.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    connections: int
    multiply_adds: int


def summarize(network: nn.Module) -> list[LayerSummary]:
    """The rows of `lenet summary` for a 32×32 image.

    Parameters
    ----------
    network : LeNet
        Or another's module: see `lenet.networks.recognition.as_lenet`. Its mode is kept.

    Returns
    -------
    rows : list of LayerSummary
        C1 to the output.

    Raises
    ------
    InputError
        When a layer is not one of those that are counted here, or a module is not a LeNet-5.

    References
    ----------
    LeCun et al. 1998, Sec. II.B, for the counts of the 1998 network.
    """
    network = as_lenet(network)
    image = torch.zeros(1, 1, PADDED_SIZE, PADDED_SIZE, dtype=network.dtype)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        shapes = {name: tuple(x.shape[1:]) for name, x in network.activations(image).items()}
    network.train(was_training)
    rows = []
    counted: list[nn.Module] = []
    for name, shape in shapes.items():
        layer = getattr(network, name)
        work = look_up(_WORK, name, layer, "the summary")
        norm = getattr(network, _NORMS.get(name, ""), None)
        parts = [layer, norm] if type(norm) is nn.BatchNorm2d else [layer]
        counted += parts
        connections, multiply_adds = work(layer, math.prod(shape))
        parameters = sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)
        kind = " + ".join(type(part).__name__ for part in parts)
        rows.append(LayerSummary(name, kind, shape, parameters, connections, multiply_adds))
    for name, owner in network.owners():
        if not any(owner is part for part in counted):
            raise InputError(
                f"{name or 'the network'} is a {type(owner).__name__} with parameters, which the "
                f"summary does not know; it counts {', '.join(shapes)} and BatchNorm2d after c1, c3"
            )
    return rows


def count_flops(network: LeNet) -> dict[str, int]:
    """Multiplications and additions of one image with the layers' weights, by direction.

    Back through a layer costs its weights' gradient and its input's, each as much as forward;
    C1 has no use for its input's.

    Parameters
    ----------
    network : LeNet

    Returns
    -------
    flops : dict
        `forward`, and `backward`, which a training step adds.

    Raises
    ------
    InputError
        As `summarize`.
    """
    layers = {row.layer: 2 * row.multiply_adds for row in summarize(network)}
    forward = sum(layers.values())
    return {"forward": forward, "backward": 2 * forward - layers["c1"]}


def _convolution(layer: nn.Conv2d, units: int) -> tuple[int, int]:
    inputs = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    return units * (inputs + (layer.bias is not None)), units * inputs


def _table(layer: TableConvolution, units: int) -> tuple[int, int]:
    positions = units // layer.out_channels
    weights = layer.weight.numel()
    return positions * (weights + layer.out_channels), positions * weights


def _dense(layer: nn.Linear, units: int) -> tuple[int, int]:
    return units * (layer.in_features + (layer.bias is not None)), units * layer.in_features


def _subsampling(layer: Subsampling, units: int) -> tuple[int, int]:
    return units * (layer.size**2 + 1), units


def _pooling(layer: nn.AvgPool2d | nn.MaxPool2d, units: int) -> tuple[int, int]:
    size = layer.kernel_size
    return units * (size**2 if isinstance(size, int) else math.prod(size)), 0


def _radial_basis(layer: RadialBasisOutput, units: int) -> tuple[int, int]:
    return layer.centers.numel(), layer.centers.numel()


# From a layer and its number of units to its connections and multiply-adds for one image.
_WORK: dict[type[nn.Module], Callable[[Any, int], tuple[int, int]]] = {
    nn.Conv2d: _convolution,
    TableConvolution: _table,
    nn.Linear: _dense,
    nn.MaxPool2d: _pooling,
    nn.AvgPool2d: _pooling,
    Subsampling: _subsampling,
    RadialBasisOutput: _radial_basis,
}
