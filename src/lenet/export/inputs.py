"""Networks that take plain pixels: the scale of the input becomes a part of C1."""

import copy

import torch

from lenet.data.preprocessing import Preprocessing
from lenet.networks import LeNet


def take_pixels(network: LeNet, preprocessing: Preprocessing) -> LeNet:
    """A copy of a network whose input is pixels from 0 (paper) to 1 (ink), padded with 0.

    Other programs know no `Preprocessing`. C1 is linear and pads nothing, so its weights can take
    the scale, and its biases the offset.

    Parameters
    ----------
    network : LeNet
    preprocessing : Preprocessing
        What its input was in training.

    Returns
    -------
    network : LeNet
        With the same scores up to rounding; to the last bit where nothing was scaled.
    """
    changed = copy.deepcopy(network)
    with torch.no_grad():
        weight = changed.get_parameter("c1.weight")
        changed.get_parameter("c1.bias").add_(preprocessing.offset * weight.sum((1, 2, 3)))
        weight.mul_(preprocessing.scale)
    return changed
