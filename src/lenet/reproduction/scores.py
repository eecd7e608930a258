"""What the networks of an experiment answer, by the engine there is."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.networks.lecun1998 import LeCun1998

Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Scores of (N, 28, 28) ink by one network: (N, classes), minus the penalties."""


def make_scorers(networks: Iterable[LeCun1998]) -> list[Score]:
    """A function for each network as it is now."""
    engine = select_engine("auto", "cpu")

    def scorer(network: LeCun1998) -> Score:
        module = engine.compile(network)
        return lambda ink: engine.scores(module, ink, PAPER_1998)

    return [scorer(network) for network in networks]


def error_rates(scorers: Iterable[Score], split: Split) -> NDArray[np.float64]:
    """Each network's share of wrong answers: (networks,) float64, 0 … 1."""
    # `evaluation.error_rate` refuses NaN; here a network that has diverged is a result.
    return np.array([(score(split.images).argmax(1) != split.labels).mean() for score in scorers])
