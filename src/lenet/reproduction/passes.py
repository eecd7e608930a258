"""The passes of an experiment, as printed: all seeds side by side, one pattern at a time."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split
from lenet.errors import InputError
from lenet.machine import describe_machine, list_versions
from lenet.reproduction.experiment import Experiment
from lenet.reproduction.patterns import Patterns
from lenet.reproduction.progress import Announcer, ExperimentProgress, OnProgress
from lenet.reproduction.scores import error_rates, make_scorers
from lenet.reproduction.state import ExperimentState, load_state, save_state
from lenet.threads import thread_count

if TYPE_CHECKING:
    from lenet.kernels.replicas import Replicas

_CHUNK = 500  # patterns between two words on how far it is, at most
_PRESENTED = 32_000  # to all networks together, likewise


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
        Called as each stage begins, and as it goes on: after every 500 patterns at the latest.

    Raises
    ------
    InputError
        When the subset is larger than the training set.
    RunError
        When the file belongs to another experiment or data set.
    """
    if experiment.subset is not None and experiment.subset > len(train):
        raise InputError(f"subset is {experiment.subset}, but there are {len(train)} patterns")
    if on_progress is not None:
        networks = f"{experiment.seeds:,} network{'s' * (experiment.seeds > 1)}"
        on_progress(ExperimentProgress(f"making {networks}", 0, None, 0, experiment.passes))
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
    announcer = Announcer(state, on_progress)
    _compile(replicas, announcer, distorted=patterns.matrices is not None)
    for number in range(state.passes, experiment.passes):
        clock = time.perf_counter()
        n_wrong = _train_pass(number, state, replicas, patterns, announcer)
        state.seconds += time.perf_counter() - clock
        state.made_on = {
            "machine": describe_machine(),
            "threads": thread_count(),
            "versions": list_versions(),
        }
        announcer.begin(f"test errors after pass {number + 1}", experiment.seeds)
        measured = error_rates(announcer.watched(make_scorers(state.networks)), test)
        state.train_error = np.vstack([state.train_error, n_wrong / n])
        state.test_error = np.vstack([state.test_error, measured])
        save_state(path, state)
    return state


def _compile(replicas: "Replicas", announcer: Announcer, *, distorted: bool) -> None:
    """Compile both walks, for curvatures and for gradients: no part of the training's time."""
    powers: tuple[Literal[1, 2], ...] = (2, 1)
    for number, power in enumerate(powers, 1):
        announcer.begin(f"compiling for this processor, {number} of {len(powers)}")
        replicas.compile(power, distorted=distorted)
        announcer.advance()


def _train_pass(
    number: int,
    state: ExperimentState,
    replicas: "Replicas",
    patterns: Patterns,
    announcer: Announcer,
) -> NDArray[np.int64]:
    """One pass over all patterns, curvature first; how many each network got wrong on the way.

    References
    ----------
    LeCun et al. 1998, Sec. III.B, App. C.
    """
    experiment, n = state.experiment, state.patterns
    chunk = min(_CHUNK, max(1, _PRESENTED // experiment.seeds))
    drawn, distorted = patterns.for_curvature(number)
    announcer.begin(f"curvature before pass {number + 1}", len(drawn))
    diagonal = replicas.estimate(drawn, distorted, chunk=chunk, on_patterns=announcer.advance)
    rate = experiment.learning_rates[number]
    if number == 0:
        rates = [rate / (experiment.mu + h) for h in diagonal.values()]
        state.rates = np.array([min(r.min() for r in rates), max(r.max() for r in rates)])
    n_wrong = np.zeros(experiment.seeds, np.int64)
    announcer.begin(f"pass {number + 1}/{experiment.passes}", n, trains=True)
    for first in range(0, n, chunk):
        part = slice(first, min(first + chunk, n))
        order, matrices = patterns.of_pass(number, part)
        _, wrong = replicas.train(order, rate, experiment.mu, matrices)
        n_wrong += wrong.sum(0)
        announcer.advance(len(order))
    return n_wrong
