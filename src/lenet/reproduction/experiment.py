"""One experiment of 1998 run again: many seeds side by side, a pass at a time."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lenet.checkpoints import pack, read_bounded, unpack
from lenet.data.distortions import Distortions
from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split
from lenet.engines import Engine, select_engine
from lenet.errors import CheckpointError, InputError, RunError
from lenet.files import write_atomic
from lenet.machine import describe_machine, list_versions
from lenet.networks.initialization import initialize
from lenet.networks.lecun1998 import LeCun1998
from lenet.threads import thread_count
from lenet.training.curvature import PATTERNS_FOR_CURVATURE
from lenet.training.losses import RUBBISH_PENALTY

# Paper: Sec. III.B. The learning rate η of each pass.
LEARNING_RATES = (5e-4,) * 2 + (2e-4,) * 3 + (1e-4,) * 3 + (5e-5,) * 4 + (1e-5,) * 8
PASSES = len(LEARNING_RATES)
# Paper: 540,000 distorted patterns beside the 60,000.
COPIES = 9
# Silent: how far. Chosen on a validation part of the training set.
DISTORTIONS = Distortions(shift=1.5, scale=0.1, squeeze=0.1, shear=0.15)
_IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
_CHUNK = 500  # patterns between two looks at the clock

# Streams of random numbers of a seed: no two uses draw from the same one.
_ORDER, _CURVATURE, _DISTORTIONS = 1, 2, 3


@dataclass(frozen=True)
class Experiment:
    """What is run: the printed algorithm, and what the paper leaves open.

    Parameters
    ----------
    seeds : int
        Networks 0, 1, … seeds − 1; each has its own initial weights and order.
    passes : int
        Up to the 20 of the printed schedule; fewer stop early, they do not hurry it.
    subset : int, optional
        The first so many patterns of the training set; all by default.
    distortions : Distortions, optional
        Nine distorted copies of every pattern join the originals; as many patterns are seen as
        without. None by default.
    subsampling : {"added", "averaged"}
        Silent: Sec. II.B adds the four inputs, Sec. II.A averages them. The two tie.
    initialization : str
        A scheme of `lenet.networks.initialization`. Departs: from the printed ±2.4/fan-in the
        printed algorithm diverges. See docs/paper.md for the effect.
    rubbish_penalty : float, optional
        The j of Eq. (9); None for Eq. (8).
    mu : float
        Departs: the paper's 0.02 lets weights that the first 500 patterns hardly move take steps of
        0.025 later, and the error rises in the second pass. See docs/paper.md for the effect.
    learning_rates : tuple of float
        η of each pass.

    Raises
    ------
    InputError
        When a number is out of range.
    """

    seeds: int = 16
    passes: int = PASSES
    subset: int | None = None
    distortions: Distortions | None = None
    subsampling: str = "averaged"
    initialization: str = "root-fan-in"
    rubbish_penalty: float | None = RUBBISH_PENALTY
    mu: float = 0.3
    learning_rates: tuple[float, ...] = LEARNING_RATES

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds must be at least 1, got {self.seeds}")
        if not 1 <= self.passes <= len(self.learning_rates):
            raise InputError(
                f"passes must be from 1 to {len(self.learning_rates)}, got {self.passes}"
            )
        if not self.mu > 0:
            raise InputError(f"mu must be positive, got {self.mu}")
        if self.subset is not None and self.subset < 1:
            raise InputError(f"subset must be at least 1, got {self.subset}")

    @property
    def name(self) -> str:
        """Of its files: what a reader would call it."""
        size = f"-{self.subset}" if self.subset else ""
        return ("distorted" if self.distortions else "plain") + size

    def networks(self) -> list[LeCun1998]:
        """The networks before the first pass."""
        networks = []
        for seed in range(self.seeds):
            network = LeCun1998(subsampling=self.subsampling)
            initialize(network, self.initialization, torch.Generator().manual_seed(seed))
            networks.append(network)
        return networks


@dataclass
class State:
    """How far an experiment has come.

    Parameters
    ----------
    experiment : Experiment
    data : str
        SHA-256 of the data set.
    networks : list of LeCun1998
    train_error : (passes, seeds) float64
        Paper: measured as training proceeds, on patterns not yet learnt from in that pass.
    test_error : (passes, seeds) float64
        After each pass.
    rates : (2,) float64
        The smallest and the largest effective learning rate of the first pass.
    patterns : int
        In the training set.
    seconds : float
        Of training and curvature, without measuring.
    made_on : dict
        Machine, threads and versions of the last pass.
    """

    experiment: Experiment
    data: str
    networks: list[LeCun1998]
    train_error: NDArray[np.float64]
    test_error: NDArray[np.float64]
    rates: NDArray[np.float64]
    patterns: int = 0
    seconds: float = 0.0
    made_on: dict[str, Any] = field(default_factory=dict)

    @property
    def passes(self) -> int:
        """Passes done."""
        return len(self.test_error)


@dataclass(frozen=True)
class Progress:
    """Where a run stands: shown while it runs.

    Parameters
    ----------
    passes : float
        Passes done, the current one in part.
    of : int
    seconds_left : float
    train_error, test_error : float, optional
        Mean over the seeds after the last whole pass, as fractions.
    """

    passes: float
    of: int
    seconds_left: float
    train_error: float | None = None
    test_error: float | None = None


def run(
    experiment: Experiment,
    train: Split,
    test: Split,
    data: str,
    path: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> State:
    """Run the passes that are not done yet; the file at `path` holds those that are.

    Raises
    ------
    RunError
        When the file belongs to another experiment or data set.
    """
    if experiment.subset is not None and experiment.subset > len(train):
        raise InputError(f"subset is {experiment.subset}, but there are {len(train)} patterns")
    state = load(path, experiment, data)
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
    pool = _Pool(experiment, n)
    engine = select_engine("auto", "cpu")
    started, before = time.perf_counter(), state.passes
    for number in range(state.passes, experiment.passes):
        clock = time.perf_counter()
        diagonal = replicas.estimate(*pool.sample(number))
        rate = experiment.learning_rates[number]
        if number == 0:
            rates = [rate / (experiment.mu + h) for h in diagonal.values()]
            state.rates = np.array([min(r.min() for r in rates), max(r.max() for r in rates)])
        n_wrong = np.zeros(experiment.seeds, np.int64)
        for first in range(0, n, _CHUNK):
            order, matrices = pool.patterns(number, slice(first, min(first + _CHUNK, n)))
            _, wrong = replicas.train(order, rate, experiment.mu, matrices)
            n_wrong += wrong.sum(0)
            if on_progress:
                done = number + (first + len(order)) / n
                pace = (time.perf_counter() - started) / (done - before)
                on_progress(_progress(state, done, pace * (experiment.passes - done)))
        state.seconds += time.perf_counter() - clock
        state.made_on = {
            "machine": describe_machine(),
            "threads": thread_count(),
            "versions": list_versions(),
        }
        state.train_error = np.vstack([state.train_error, n_wrong / n])
        state.test_error = np.vstack([state.test_error, errors(engine, state.networks, test)])
        save(path, state)
    return state


def errors(engine: Engine, networks: list[LeCun1998], split: Split) -> NDArray[np.float64]:
    """Each network's error rate."""
    return np.array(
        [
            (
                engine.scores(engine.compile(network), split.images, PAPER_1998).argmax(1)
                != split.labels
            ).mean()
            for network in networks
        ]
    )


class _Pool:
    """The patterns of a training set, distorted copies included, in every seed's constant order."""

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

    def patterns(
        self, number: int, part: slice
    ) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """Some patterns of a pass; with distortions, ten passes go through the pool once."""
        start = number % self.copies * self.n
        return self._look_up(self.orders[start + part.start : start + part.stop])

    def sample(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """The patterns that the curvature is estimated on before a pass."""
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


def _progress(state: State, done: float, left: float) -> Progress:
    def last(rows: NDArray[np.float64]) -> float | None:
        return float(rows[-1].mean()) if len(rows) else None

    return Progress(
        done, state.experiment.passes, left, last(state.train_error), last(state.test_error)
    )


# --- The file of an experiment: the whole state, rewritten after every pass ----------------------


def save(path: Path, state: State) -> None:
    """Write the state, atomically."""
    tensors = {
        name: torch.stack([network.get_parameter(name).detach() for network in state.networks])
        for name, _ in state.networks[0].named_parameters()
    }
    for name in ("train_error", "test_error", "rates"):
        tensors[f"measured.{name}"] = torch.from_numpy(getattr(state, name))
    about = {
        "experiment": _identity(state.experiment),
        "data": state.data,
        "patterns": state.patterns,
        "seconds": state.seconds,
        "made_on": state.made_on,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, pack(tensors, about))


def _identity(experiment: Experiment) -> dict[str, Any]:
    """What must agree for a run to go on: all but the number of passes, as JSON has it."""
    identity: dict[str, Any] = json.loads(json.dumps(asdict(experiment)))
    del identity["passes"]
    return identity


def load(path: Path, experiment: Experiment, data: str) -> State:
    """The state in the file, or the one before the first pass when there is none.

    Raises
    ------
    RunError
        When the file is another experiment's, or was run on other data.
    """
    seeds = experiment.seeds
    none = np.zeros((0, seeds))
    state = State(experiment, data, experiment.networks(), none, none, np.full(2, np.nan))
    if not path.exists():
        return state
    try:
        tensors, about = unpack(read_bounded(path), str(path))
        expected = _identity(experiment)
        changed = [key for key in expected if about["experiment"].get(key) != expected[key]]
        if about["data"] != data:
            changed.append("data")
        if changed:
            raise RunError(
                f"{path} is of an experiment with another {', '.join(changed)}; "
                f"remove it or take another folder"
            )
        for name, _ in state.networks[0].named_parameters():
            for network, weight in zip(state.networks, tensors[name], strict=True):
                with torch.no_grad():
                    network.get_parameter(name).copy_(weight)
        state.train_error, state.test_error, state.rates = (
            tensors[f"measured.{name}"].numpy() for name in ("train_error", "test_error", "rates")
        )
        state.patterns, state.seconds = about["patterns"], about["seconds"]
        state.made_on = about["made_on"]
    except (CheckpointError, KeyError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not an experiment's state: {error}") from error
    return state
