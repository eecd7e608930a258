"""Loss functions of scores and labels: cross-entropy, and those of 1998."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lenet.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES = ("cross-entropy", "mean-square", "map")

# Silent: the paper only says that j is positive. The value was chosen on a validation part.
RUBBISH_PENALTY = 10.0


def mean_square(scores: Tensor, labels: Tensor) -> Tensor:
    """Eq. (8): the mean penalty y of the right class.

    Parameters
    ----------
    scores : (N, classes) float32
        score = −y, y the squared distance of Eq. (7).
    labels : (N,) int64

    Returns
    -------
    loss : () float32

    Notes
    -----
    It has a trivial minimum when the codes are trainable: every code equal, every penalty zero.

    References
    ----------
    LeCun et al. 1998, Sec. II.C, Eq. (8).
    """
    return -scores.gather(1, labels[:, None]).mean()


def maximum_a_posteriori(
    scores: Tensor, labels: Tensor, rubbish_penalty: float = RUBBISH_PENALTY
) -> Tensor:
    """Eq. (9): the penalty of the right class, in competition with all classes and a constant j.

    With score = −y it is the cross-entropy over the scores and one more class, "rubbish", whose
    score is always −j.

    Parameters
    ----------
    scores : (N, classes) float32
    labels : (N,) int64
    rubbish_penalty : float
        The paper's j, positive.

    Returns
    -------
    loss : () float32

    Raises
    ------
    InputError
        When j is not positive.

    References
    ----------
    LeCun et al. 1998, Sec. II.C, Eq. (9).
    """
    if not rubbish_penalty > 0:
        raise InputError(f"the rubbish penalty j must be positive, got {rubbish_penalty}")
    rubbish = scores.new_full((len(scores), 1), -rubbish_penalty)
    # e^−y underflows for the usual penalties of 50 and more; logsumexp does not.
    competition = torch.cat([scores, rubbish], 1).logsumexp(1)
    return (competition - scores.gather(1, labels[:, None]).squeeze(1)).mean()


def balance(labels: NDArray[np.int64], num_classes: int) -> Tensor:
    """What an image of each class must weigh for all classes to weigh the same.

    Parameters
    ----------
    labels : (N,) int64
        Of the training images.
    num_classes : int

    Returns
    -------
    weights : (classes,) float32
        N / (classes that have images · images of the class), so that the mean over the images is 1;
        0 for a class without.
    """
    counts = np.bincount(labels, minlength=num_classes)
    there = counts > 0
    weights = np.zeros(num_classes)
    weights[there] = len(labels) / (there.sum() * counts[there])
    return torch.from_numpy(weights.astype(np.float32))


def checked(loss: Loss) -> Loss:
    """A user's loss, which must give one number to differentiate.

    Raises
    ------
    InputError
        From the loss that is returned, when it gives something else.
    """

    def checked_loss(scores: Tensor, labels: Tensor) -> Tensor:
        value = loss(scores, labels)
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"loss must give one number, made of scores {tuple(scores.shape)} and labels "
                f"{tuple(labels.shape)} by torch's functions, got {got}"
            )
        return value.reshape(())

    return checked_loss


def build_loss(
    name: str, *, label_smoothing: float = 0.0, rubbish_penalty: float = RUBBISH_PENALTY
) -> Loss:
    """A loss by its name.

    Parameters
    ----------
    name : {"cross-entropy", "mean-square", "map"}
    label_smoothing : float
        For ``cross-entropy`` only.
    rubbish_penalty : float
        The paper's j, for ``map`` only.

    Raises
    ------
    InputError
        When the name is unknown or label smoothing is asked of a loss that has none.
    """
    if name not in LOSSES:
        raise InputError(f"loss {name!r} is unknown; use one of {', '.join(LOSSES)}")
    if name == "cross-entropy":
        return lambda scores, labels: functional.cross_entropy(
            scores, labels, label_smoothing=label_smoothing
        )
    if label_smoothing:
        raise InputError(
            f"loss {name!r} has no label smoothing, got {label_smoothing}; use cross-entropy"
        )
    if name == "mean-square":
        return mean_square
    return lambda scores, labels: maximum_a_posteriori(scores, labels, rubbish_penalty)
