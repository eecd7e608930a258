"""A network in numbers, layer by layer: shapes, parameters, connections, multiply-adds."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from lenet.data.preprocessing import PADDED_SIZE
from lenet.networks.frame import POOLING_SIZE, LeNet
from lenet.networks.layers import RadialBasisOutput, Subsampling, TableConvolution


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


def summarize(network: LeNet) -> list[LayerSummary]:
    """The rows of `lenet summary` for a 32×32 image.

    References
    ----------
    LeCun et al. 1998, Sec. II.B, for the counts of the 1998 network.
    """
    image = torch.zeros(1, 1, PADDED_SIZE, PADDED_SIZE, dtype=network.dtype)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        shapes = {name: tuple(x.shape[1:]) for name, x in network.activations(image).items()}
    network.train(was_training)
    norms = {"c1": "norm1", "c3": "norm3"}
    rows = []
    for name, shape in shapes.items():
        layer = getattr(network, name)
        connections, multiply_adds = _work(layer, shape)
        parts = [layer]
        if name in norms and isinstance(getattr(network, norms[name], None), nn.BatchNorm2d):
            parts.append(getattr(network, norms[name]))
        parameters = sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)
        kind = " + ".join(type(part).__name__ for part in parts)
        rows.append(LayerSummary(name, kind, shape, parameters, connections, multiply_adds))
    return rows


def _work(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Connections and multiply-adds of one layer for one image."""
    units = math.prod(shape)
    match layer:
        case nn.Conv2d():
            inputs = layer.in_channels * math.prod(layer.kernel_size)
            return units * (inputs + 1), units * inputs
        case TableConvolution():
            positions = units // layer.out_channels
            return positions * (layer.weight.numel() + layer.out_channels), (
                positions * layer.weight.numel()
            )
        case nn.Linear():
            return units * (layer.in_features + 1), units * layer.in_features
        case Subsampling():
            return units * (layer.size**2 + 1), units
        case RadialBasisOutput():
            return layer.centers.numel(), layer.centers.numel()
        case _:  # average or max pooling: no weights
            return units * POOLING_SIZE**2, 0


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
    """
    layers = {row.layer: 2 * row.multiply_adds for row in summarize(network)}
    forward = sum(layers.values())
    return {"forward": forward, "backward": 2 * forward - layers["c1"]}
