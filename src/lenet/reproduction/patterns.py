"""Which patterns a pass sees, and in which order, for every seed: the rules of the paper."""

import numpy as np
from numpy.typing import NDArray

from lenet.reproduction.experiment import Experiment
from lenet.training.curvature import PATTERNS_FOR_CURVATURE

# Paper: 540,000 distorted patterns beside the 60,000.
COPIES = 9
_IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], np.float32)

# Streams of random numbers of a seed: no two uses draw from the same one.
_ORDER, _CURVATURE, _DISTORTIONS = 1, 2, 3


class Patterns:
    """The patterns of a training set, distorted copies included, in each seed's constant order.

    Parameters
    ----------
    experiment : Experiment
    n : int
        Patterns in the training set, without copies.

    Attributes
    ----------
    orders : (copies · n, seeds) int32
        Each seed's permutation of all patterns; pattern i is a copy of training image i mod n.
    matrices : (copies · n, 2, 3) float32, optional
        Where a pattern's pixels come from, as `Distortions.sample` draws them; None without
        distortions.
    """

    def __init__(self, experiment: Experiment, n: int) -> None:
        self.n, self.seeds = n, experiment.seeds
        self.copies = 1 + (COPIES if experiment.distortions else 0)
        self.matrices: NDArray[np.float32] | None = None
        if experiment.distortions:
            # One distorted training set for all seeds, as there was one then.
            rng = np.random.default_rng([_DISTORTIONS])
            drawn = experiment.distortions.sample(COPIES * n, rng)
            self.matrices = np.concatenate([np.tile(_IDENTITY, (n, 1, 1)), drawn])
        self.orders = np.stack(
            [
                np.random.default_rng([_ORDER, seed]).permutation(self.copies * n)
                for seed in range(self.seeds)
            ],
            axis=1,
        ).astype(np.int32)

    def of_pass(
        self, number: int, part: slice
    ) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """A part of a pass; with distortions, ten passes go through all patterns once.

        Parameters
        ----------
        number : int
            Of the pass, from 0.
        part : slice
            Of the n patterns that the pass sees.

        Returns
        -------
        indices : (patterns, seeds) int32
            Of training images.
        matrices : (patterns, seeds, 2, 3) float32, optional
            Their distortions.
        """
        start = number % self.copies * self.n
        return self._look_up(self.orders[start + part.start : start + part.stop])

    def for_curvature(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """The 500 patterns, drawn for each seed, that the curvature is estimated on before a pass.

        Returns
        -------
        indices, matrices
            As of `of_pass`.
        """
        count = min(PATTERNS_FOR_CURVATURE, self.n)
        drawn = [
            np.random.default_rng([_CURVATURE, seed, number]).choice(
                self.copies * self.n, count, replace=False
            )
            for seed in range(self.seeds)
        ]
        return self._look_up(np.stack(drawn, axis=1).astype(np.int32))

    def _look_up(
        self, order: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        matrices = None if self.matrices is None else self.matrices[order]
        return order % self.n, matrices
