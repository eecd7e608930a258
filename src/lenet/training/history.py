"""What a training has been through: its epochs, and its state after one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from lenet.training.recipes import Recipe

GAP = 0.02
"""Train accuracy this far above validation accuracy is worth a sentence."""

_RISE = 1.05
"""Overfitting lets the validation loss end this many times above its lowest value."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    Parameters
    ----------
    epoch : int
        From 1.
    learning_rate : float
        Of its last step.
    train_loss, train_accuracy : float
        Over the images as they were presented, distorted and with Dropout, while learning.
    validation_loss, validation_accuracy : float
        After it, by the weights that would be kept; NaN without a validation part. Losses are
        without label smoothing.
    images_per_second : float
        Training alone: neither compiling nor evaluation.
    elapsed_seconds : float
        Since the training began, not counting compiling and interruptions.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float
    elapsed_seconds: float

    def is_better(self, best: "Epoch") -> bool:
        """Whether its weights are to be kept: fewer validation errors, then the smaller loss."""
        if math.isnan(self.validation_accuracy):  # no validation images: the last one is kept
            return True
        return (self.validation_accuracy, -self.validation_loss) > (
            best.validation_accuracy,
            -best.validation_loss,
        )


History = tuple[Epoch, ...]


@dataclass(frozen=True, repr=False)
class State:
    """A training at the end of an epoch: all that is needed to go on as if never interrupted.

    Parameters
    ----------
    history : tuple of Epoch
    best_epoch : int
        The number of the epoch whose weights are kept.
    tensors : dict
        Copies on the CPU: ``network.*``, ``best.*``, ``optimizer.*`` and, when the weights are
        averaged, ``average.*``.
    """

    history: History
    best_epoch: int
    tensors: Mapping[str, Tensor]

    def __repr__(self) -> str:
        accuracy = self.best.validation_accuracy
        how_good = "" if math.isnan(accuracy) else f", validation accuracy {accuracy:.2%}"
        return f"<State after epoch {self.epoch}, best {self.best_epoch}{how_good}>"

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept."""
        return self.history[self.best_epoch - 1]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under `name`, without it."""
        prefix = f"{name}."
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def is_over(self, recipe: Recipe) -> bool:
        """Whether the recipe asks for no further epoch."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= recipe.epochs or (
            recipe.patience is not None and waited >= recipe.patience
        )


def overfits(history: Sequence[Epoch]) -> bool:
    """Training ends well ahead of validation, and validation has become worse on the way."""
    lowest = min(epoch.validation_loss for epoch in history)
    return find_gap(history) >= GAP and history[-1].validation_loss > _RISE * lowest


def find_gap(history: Sequence[Epoch]) -> float:
    """Train accuracy minus validation accuracy at the last epoch; NaN without a validation part."""
    return history[-1].train_accuracy - history[-1].validation_accuracy
