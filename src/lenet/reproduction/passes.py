"""The passes of an experiment, as printed: all seeds side by side, one pattern at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split
from lenet.errors import InputError
from lenet.machine import describe_machine, list_versions
from lenet.reproduction.experiment import Experiment
from lenet.reproduction.patterns import Patterns
from lenet.reproduction.scores import error_rates, make_scorers
from lenet.reproduction.state import ExperimentState, load_state, save_state
from lenet.threads import thread_count

if TYPE_CHECKING:
    from lenet.kernels.replicas import Replicas

_CHUNK = 500  # patterns between two looks at the clock


@dataclass(frozen=True)
class ExperimentProgress:
    """Where an experiment stands: shown while it runs.

    Parameters
    ----------
    passes : float
        Passes done, the current one in part.
    of : int
    seconds_left : float
        Of training.
    train_error, test_error : float, optional
        Error rates after the last whole pass, mean over the seeds.
    study : str
        What is measured next, in a few words; empty while the networks are trained.
    """

    passes: float
    of: int
    seconds_left: float
    train_error: float | None = None
    test_error: float | None = None
    study: str = ""

    @classmethod
    def at(
        cls, state: ExperimentState, passes: float, seconds_left: float = 0.0, study: str = ""
    ) -> "ExperimentProgress":
        """The progress of a state whose next pass may have begun."""

        def last(errors: NDArray[np.float64]) -> float | None:
            return float(errors[-1].mean()) if len(errors) else None

        errors = last(state.train_error), last(state.test_error)
        return cls(passes, state.experiment.passes, seconds_left, *errors, study)


OnProgress = Callable[[ExperimentProgress], None]


def train_passes(
    experiment: Experiment,
    train: Split,
    test: Split,
    data: str,
    path: Path,
    on_progress: OnProgress | None = None,
) -> ExperimentState:
    """Train through the passes that are not done yet; the file at `path` holds those that are.

    Parameters
    ----------
    experiment : Experiment
    train, test : Split
        Learnt from; measured on after every pass.
    data : str
        The data set's SHA-256.
    path : Path
        Of the state, written after every pass.
    on_progress : function of ExperimentProgress, optional
        Called after every 500 patterns.

    Raises
    ------
    InputError
        When the subset is larger than the training set.
    RunError
        When the file belongs to another experiment or data set.
    """
    if experiment.subset is not None and experiment.subset > len(train):
        raise InputError(f"subset is {experiment.subset}, but there are {len(train)} patterns")
    state = load_state(path, experiment, data)
    if state.passes >= experiment.passes:
        return state
    # Halide alone runs the replicas: reading a finished experiment does without.
    from lenet.kernels.replicas import Replicas

    n = experiment.subset or len(train)
    state.patterns = n
    replicas = Replicas(
        state.networks,
        train.images[:n],
        train.labels[:n],
        PAPER_1998,
        rubbish_penalty=experiment.rubbish_penalty,
    )
    patterns = Patterns(experiment, n)
    started, before = time.perf_counter(), state.passes

    def told(done: float) -> None:
        if on_progress:
            pace = (time.perf_counter() - started) / (done - before)
            left = pace * (experiment.passes - done)
            on_progress(ExperimentProgress.at(state, done, left))

    for number in range(state.passes, experiment.passes):
        clock = time.perf_counter()
        n_wrong = _train_pass(number, state, replicas, patterns, told)
        state.seconds += time.perf_counter() - clock
        state.made_on = {
            "machine": describe_machine(),
            "threads": thread_count(),
            "versions": list_versions(),
        }
        state.train_error = np.vstack([state.train_error, n_wrong / n])
        measured = error_rates(make_scorers(state.networks), test)
        state.test_error = np.vstack([state.test_error, measured])
        save_state(path, state)
    return state


def _train_pass(
    number: int,
    state: ExperimentState,
    replicas: "Replicas",
    patterns: Patterns,
    told: Callable[[float], None],
) -> NDArray[np.int64]:
    """One pass over all patterns, curvature first; how many each network got wrong on the way.

    References
    ----------
    LeCun et al. 1998, Sec. III.B, App. C.
    """
    experiment = state.experiment
    diagonal = replicas.estimate(*patterns.for_curvature(number))
    rate = experiment.learning_rates[number]
    if number == 0:
        rates = [rate / (experiment.mu + h) for h in diagonal.values()]
        state.rates = np.array([min(r.min() for r in rates), max(r.max() for r in rates)])
    n_wrong = np.zeros(experiment.seeds, np.int64)
    for first in range(0, state.patterns, _CHUNK):
        part = slice(first, min(first + _CHUNK, state.patterns))
        order, matrices = patterns.of_pass(number, part)
        _, wrong = replicas.train(order, rate, experiment.mu, matrices)
        n_wrong += wrong.sum(0)
        told(number + part.stop / state.patterns)
    return n_wrong
