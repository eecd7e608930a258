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
    train_error, test_error : float, optional
        Error rates after the last whole pass, mean over the seeds.
    """

    stage: str
    share: float
    seconds_left: float | None
    passes: float
    of: int
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
        passes = self._state.passes + (share if self._trains else 0)
        of = self._state.experiment.passes
        errors = _last(self._state.train_error), _last(self._state.test_error)
        self._tell(
            ExperimentProgress(self._stage, share, self._seconds_left(share), passes, of, *errors)
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
        """By the pace of the passes so far, measuring between them included, or of the study."""
        now = time.perf_counter()
        if self._state.passes >= self._state.experiment.passes:
            return (now - self._began) * (1 - share) / share if share else None
        if self._trained_since is None:
            return None
        began, before = self._trained_since
        done = self._state.passes + (share if self._trains else 0)
        left = self._state.experiment.passes - done
        return (now - began) / (done - before) * left if done > before else None


def _last(errors: NDArray[np.float64]) -> float | None:
    return float(errors[-1].mean()) if len(errors) else None
