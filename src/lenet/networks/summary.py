"""A network in numbers, layer by layer: shapes, parameters, connections, multiply-adds."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lenet.networks.parts import Part, Shape
from lenet.networks.plans import Plan

if TYPE_CHECKING:
    from torch import nn


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


def summarize(network: "nn.Module | Plan") -> list[LayerSummary]:
    """The rows of `lenet summary` for a 32×32 image.

    Parameters
    ----------
    network : LeNet or Plan
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
    if isinstance(network, Plan):
        return [
            _row(name, layer.parts, layer.shape, sum(part.parameters for part in layer.parts))
            for name, layer in network.layers.items()
        ]
    from lenet.networks.described import describe
    from lenet.networks.recognition import as_lenet

    return [_row(*layer) for layer in describe(as_lenet(network))]


def _row(name: str, parts: tuple[Part, ...], shape: Shape, parameters: int) -> LayerSummary:
    kind = " + ".join(part.kind for part in parts)
    return LayerSummary(name, kind, shape, parameters, *parts[0].work(math.prod(shape)))


def count_flops(network: "nn.Module | Plan") -> dict[str, int]:
    """Multiplications and additions of one image with the layers' weights, by direction.

    Back through a layer costs its weights' gradient and its input's, each as much as forward;
    C1 has no use for its input's.

    Parameters
    ----------
    network : LeNet or Plan

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
