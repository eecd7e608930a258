"""Where training starts: schemes draw from the generator they are given, never the global one."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from lenet.errors import InputError
from lenet.networks.frame import LAYERS, LeNet
from lenet.networks.layers import Subsampling, TableConvolution

SCHEMES = ("torch", "xavier", "kaiming", "fan-in", "root-fan-in")
_SIGMOID_GAIN = 4.0  # the logistic sigmoid's slope at 0 is 1/4


def initialize(network: LeNet, scheme: str, generator: Generator) -> LeNet:
    """Draw every parameter of `network` anew, in place; BatchNorm starts as the identity.

    Parameters
    ----------
    scheme : {"torch", "xavier", "kaiming", "fan-in", "root-fan-in"}
        ``torch``: weights and biases uniform in ±1/√fan-in, what `torch.nn` does by itself.
        ``xavier``: uniform, gain 4 before a logistic sigmoid and 1 elsewhere, zero biases
        (Glorot & Bengio 2010).
        ``kaiming``: normal, variance 2/fan-in before a ReLU (He et al. 2015) and 1/fan-in at the
        output, zero biases.
        ``fan-in``: weights and biases uniform in ±2.4/fan-in, as LeCun et al. 1998 print it
        (Sec. III.B).
        ``root-fan-in``: in ±2.4/√fan-in, which makes the spread of a weighted sum independent of
        the fan-in: the reason that the paper gives. Trainable pooling starts as the average of
        its inputs, so that no map is lost to a small coefficient. See docs/paper.md.

    Returns
    -------
    network : the same object
    """
    if scheme not in SCHEMES:
        raise InputError(f"initialization {scheme!r} is unknown; use one of {', '.join(SCHEMES)}")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    with torch.no_grad():
        for name in LAYERS:
            layer = getattr(network, name)
            if scheme == "root-fan-in" and isinstance(layer, Subsampling):
                layer.coefficient.fill_(1 / (layer.size**2 * layer.weight_of_an_input))
                layer.bias.zero_()
                continue
            for weight, bias, fan_in, fan_out in _units(layer):
                last = name == "output"
                if scheme == "torch":
                    bound = 1 / math.sqrt(fan_in)
                    weight.uniform_(-bound, bound, generator=generator)
                    bias.uniform_(-bound, bound, generator=generator)
                elif scheme in ("fan-in", "root-fan-in"):
                    bound = 2.4 / (fan_in if scheme == "fan-in" else math.sqrt(fan_in))
                    weight.uniform_(-bound, bound, generator=generator)
                    bias.uniform_(-bound, bound, generator=generator)
                elif scheme == "xavier":
                    sigmoid = isinstance(network.squash, nn.Sigmoid) and not last
                    gain = _SIGMOID_GAIN if sigmoid else 1.0
                    bound = gain * math.sqrt(6 / (fan_in + fan_out))
                    weight.uniform_(-bound, bound, generator=generator)
                    bias.zero_()
                else:
                    rectified = isinstance(network.squash, nn.ReLU) and not last
                    deviation = math.sqrt((2 if rectified else 1) / fan_in)
                    weight.normal_(0, deviation, generator=generator)
                    bias.zero_()
    return network


def _units(layer: nn.Module) -> Iterator[tuple[Tensor, Tensor, int, int]]:
    """Groups of units that share a fan-in: their weights, biases, fan-in and fan-out."""
    match layer:
        case nn.Conv2d():
            area = math.prod(layer.kernel_size)
            yield (
                layer.weight,
                _bias(layer),
                layer.in_channels * area,
                layer.out_channels * area,
            )
        case nn.Linear():
            yield layer.weight, layer.bias, layer.in_features, layer.out_features
        case TableConvolution():
            area = math.prod(layer.kernel_size)
            first = 0
            for map_, row in enumerate(layer.table):
                # Silent: the fan-in of a C3 unit is taken as that of its own row of Table I.
                kernels = layer.weight[first : first + len(row)]
                first += len(row)
                yield (
                    kernels,
                    layer.bias[map_ : map_ + 1],
                    len(row) * area,
                    layer.out_channels * area,
                )
        case Subsampling():
            yield layer.coefficient, layer.bias, layer.size**2, layer.size**2
        case _:
            return


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None, "every convolution of a LeNet has a bias"
    return layer.bias
