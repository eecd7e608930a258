"""Where an experiment stands, told while it runs."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.reproduction.scores import Score
from lenet.reproduction.state import ExperimentState


@dataclass(frozen=True)
class ExperimentProgress:
    """Where an experiment stands.

    Parameters
    ----------
    stage : str
        What is done now, in a few words: compiling, a pass, a study.
    share : float
        How much of it is done, 0 … 1.
    seconds_left : float or None
        Of all passes, or of a study; None while nothing is known.
    passes : float
        Passes done, the current one in part.
    of : int
    measured : int
        Passes whose errors are known.
    train_error, test_error : float, optional
        Error rates after the last of them, mean over the seeds.
    """

    stage: str
    share: float
    seconds_left: float | None
    passes: float
    of: int
    measured: int = 0
    train_error: float | None = None
    test_error: float | None = None


OnProgress = Callable[[ExperimentProgress], None]


class Announcer:
    """Tells of an experiment's stages, one after another.

    Parameters
    ----------
    state : ExperimentState
    tell : function of ExperimentProgress, optional
    """

    def __init__(self, state: ExperimentState, tell: OnProgress | None) -> None:
        self._state, self._tell = state, tell or (lambda _: None)
        self._trained_since: tuple[float, float] | None = None  # seconds, passes
        self._trained = float(state.passes)

    def begin(self, stage: str, parts: int = 1, *, trains: bool = False) -> None:
        """A stage of so many equal parts begins; one that `trains` is a whole pass."""
        self._stage, self._parts, self._done, self._trains = stage, parts, 0, trains
        self._began = time.perf_counter()
        if trains and self._trained_since is None:
            self._trained_since = self._began, self._state.passes
        self.advance(0)

    def advance(self, parts: int = 1) -> None:
        """So many parts more of the stage are done."""
        self._done += parts
        share = self._done / self._parts
        if self._trains:
            self._trained = self._state.passes + share
        of = self._state.experiment.passes
        known = self._state.passes, _last(self._state.train_error), _last(self._state.test_error)
        self._tell(
            ExperimentProgress(
                self._stage, share, self._seconds_left(share), self._trained, of, *known
            )
        )

    def watched(self, scorers: Iterable[Score]) -> list[Score]:
        """The same scorers; each use of one is a part of the stage."""

        def watched(score: Score) -> Score:
            def scored(ink: NDArray[np.uint8]) -> NDArray[np.float32]:
                scores = score(ink)
                self.advance()
                return scores

            return scored

        return [watched(score) for score in scorers]

    def _seconds_left(self, share: float) -> float | None:
        """Of the passes, by their pace with the measuring between them; after them of the stage."""
        now, left = time.perf_counter(), self._state.experiment.passes - self._trained
        if left == 0 and not self._trains:
            return (now - self._began) * (1 - share) / share if share else None
        if self._trained_since is None:
            return None
        began, before = self._trained_since
        done = self._trained - before
        return (now - began) / done * left if done else None


def _last(errors: NDArray[np.float64]) -> float | None:
    return float(errors[-1].mean()) if len(errors) else None
