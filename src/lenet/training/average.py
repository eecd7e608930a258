"""A running average of the weights: smoother than the last step's, and as cheap as one addition."""

import copy

from torch import Tensor

from lenet.networks import LeNet
from lenet.training.optimizers import flatten


class WeightAverage:
    """The average of a network's weights over its steps, each weighing less than the next.

    Parameters
    ----------
    followed : LeNet
        The network that is trained.
    weights : (n,) float32
        What `lenet.training.optimizers.flatten` returned for it.
    decay : float
        What is left of the old average after a step, 0 < decay < 1. Early on it is less,
        (1 + step) / (10 + step), so that the initial weights are soon forgotten.

    Attributes
    ----------
    network : LeNet
        Like the one followed, with the averaged weights; a copy of it before the first step.
    """

    def __init__(self, followed: LeNet, weights: Tensor, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(followed)
        self._followed = followed
        of_followed = [weights.detach(), *_statistics(followed)]
        of_average = [flatten(self.network).detach(), *_statistics(self.network)]
        self._pairs = tuple(zip(of_average, of_followed, strict=True))

    def update(self, step: int) -> None:
        """Take in the followed network's weights after a step, from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, followed in self._pairs:
            average.lerp_(followed, 1 - decay)

    def copy_counters(self) -> None:
        """Copy what cannot be averaged: BatchNorm's number of batches."""
        counted = self._followed.state_dict()
        for name, tensor in self.network.state_dict().items():
            if not tensor.is_floating_point():
                tensor.copy_(counted[name])


def _statistics(network: LeNet) -> list[Tensor]:
    """What belongs in the average beside parameters: BatchNorm's running statistics."""
    return [t for t in network.buffers() if t.is_floating_point()]
