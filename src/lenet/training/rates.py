"""A learning rate found by trying: it rises with every step, and the loss is watched."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.engines import Engine, select_engine
from lenet.errors import LenetError
from lenet.evaluation import cross_entropies
from lenet.networks.recognition import as_lenet
from lenet.training.loop import Batch, Training, check_fit
from lenet.training.recipes import Recipe

SHARES = {"one-cycle": 1 / 2, "constant": 1 / 5}
"""Of the rate with the lowest loss, what is suggested: a peak may be higher than what lasts."""

_LOWEST, _HIGHEST = 1e-5, 10.0
_STEPS = 200
_WINDOW = 10  # steps on each side that a loss is averaged with
_EXPLODED = 4  # times the lowest averaged loss: nothing better comes after it


@dataclass(frozen=True, eq=False)
class RateTest:
    """What `find_rate` saw.

    Parameters
    ----------
    rates : (n,) float64
        The learning rate of every step, each larger than the one before.
    losses : (n,) float64
        Cross-entropy of each step's images before the step, in nats.
    share : float
        Of the best rate, that is suggested: see `SHARES`.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    share: float

    @property
    def averaged(self) -> NDArray[np.float64]:
        """(n,) float64: each loss averaged with those of some steps before and after it."""
        return np.array([_around(self.losses, step).mean() for step in range(len(self.losses))])

    @property
    def lowest(self) -> float:
        """The rate at which the averaged loss was lowest."""
        return float(self.rates[self.averaged.argmin()])

    @property
    def suggestion(self) -> float:
        """``share`` times `lowest`, to two digits."""
        return float(f"{self.share * self.lowest:.1e}")

    def __repr__(self) -> str:
        return (
            f"<RateTest: {self.suggestion:g} suggested, lowest loss at {self.lowest:.2g}, "
            f"{len(self.rates)} steps>"
        )


def find_rate(
    network: nn.Module,
    splits: Splits,
    recipe: Recipe,
    preprocessing: Preprocessing | None = None,
    *,
    engine: Engine | None = None,
    initial: Mapping[str, Tensor] | None = None,
    on_step: Callable[[int, int], object] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> RateTest:
    """Which learning rate suits: train for some 200 steps while it rises from 0.00001 to 10.

    Everything else is as the recipe says: batches, optimizer, distortions, seed. The test ends
    where the loss has exploded. Suggested is a share of the rate at which the loss, averaged over
    21 steps, was lowest: a half for a one-cycle recipe, where the rate is at its peak only for a
    moment, a fifth for a constant one. The same call gives the same suggestion; another seed one
    that may be two or three times as large or small. It is where to begin, not the best of all, and
    vague where the loss has no valley, as with weights that know the images already.

    Parameters
    ----------
    network : LeNet
        Or another's module: see `lenet.networks.recognition.as_lenet`. It is left as it is.
    splits : Splits
        Only the training part is looked at.
    recipe : Recipe
        Its own learning rate has no say.
    preprocessing : Preprocessing, optional
        ``recipe.preprocessing(splits)``, where that is known already.
    engine : Engine, optional
        What `lenet.engines.select_engine` chooses when not given.
    initial : mapping of str to Tensor, optional
        As for `lenet.train`: weights to start from, where a training shall go on from them.
    on_step : callable, optional
        Called after every step with how many were made, and how many will be at most.
    on_progress : callable, optional
        Told in a few words what is waited for.

    Returns
    -------
    test : RateTest

    Raises
    ------
    DataError
        When the data set and the network do not fit each other.
    InputError
        When a module is not a LeNet-5, or the initial weights do not fit.
    LenetError
        When the loss explodes before it could fall.

    References
    ----------
    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", Sec. 3.3: the range test.
    The shares are our choice.
    """
    preprocessing = preprocessing or recipe.preprocessing(splits)
    tried = copy.deepcopy(as_lenet(network, preprocessing))
    check_fit(tried, splits)
    training = Training(
        *(tried, splits, recipe, preprocessing, engine or select_engine()), initial=initial
    )
    training.compile(on_progress or (lambda _: None))
    rates = np.geomspace(_LOWEST, _HIGHEST, _STEPS)
    losses: list[float] = []
    with training.drawing(0):
        for rate, batch in zip(rates, _deal_on(training), strict=False):
            loss = _step(training, float(rate), batch)
            if not np.isfinite(loss):
                break
            losses.append(loss)
            if on_step is not None:
                on_step(len(losses), _STEPS)
            if _has_exploded(losses):
                break
    test = RateTest(rates[: len(losses)], np.array(losses), SHARES[recipe.schedule])
    if len(losses) <= 2 * _WINDOW:
        raise LenetError(
            f"the loss of {tried.name} explodes at a learning rate of {rates[len(losses)]:.2g} "
            f"already: look at the pictures, their scale and the initial weights"
        )
    return test


def _deal_on(training: Training) -> Iterator[Batch]:
    """The batches of one epoch after the other, without end."""
    return itertools.chain.from_iterable(training.deal(epoch) for epoch in itertools.count())


def _step(training: Training, rate: float, batch: Batch) -> float:
    """Make a step; the mean cross-entropy of its images before it."""
    indices, matrices = batch
    scores = training.step(rate, indices, matrices).cpu().numpy()
    if not np.isfinite(scores).all():
        return float("inf")
    labels = training.splits.train.labels[indices.numpy()]
    return float(cross_entropies(scores, labels).mean())


def _has_exploded(losses: list[float]) -> bool:
    """Whether the last losses are far above the lowest that there were before."""
    n = 2 * _WINDOW + 1
    if len(losses) <= n:
        return False
    averages = np.convolve(losses, np.full(n, 1 / n), "valid")
    return bool(averages[-1] > _EXPLODED * averages.min())


def _around(losses: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    return losses[max(0, step - _WINDOW) : step + _WINDOW + 1]
