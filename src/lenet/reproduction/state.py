"""How far an experiment has come, in one file that is written anew after every pass."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lenet.errors import CheckpointError, RunError
from lenet.files import write_atomic
from lenet.networks.lecun1998 import LeCun1998
from lenet.networks.summary import count_flops
from lenet.packing import pack, read_bounded, unpack
from lenet.reproduction.experiment import Experiment

PARAMETERS = 60_000  # Paper: Sec. II.B
_MEASURED = ("train_error", "test_error", "rates")


@dataclass
class ExperimentState:
    """The networks, and what was measured on the way.

    Parameters
    ----------
    experiment : Experiment
    data : str
        SHA-256 of the data set.
    networks : list of LeCun1998
        By seed.
    train_error : (passes, seeds) float64
        Error rates. Paper: measured as training proceeds, on patterns not yet learnt from in that
        pass.
    test_error : (passes, seeds) float64
        Error rates after each pass.
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

    @property
    def median_seed(self) -> int:
        """The seed whose test error is the median; of two in the middle the better one."""
        order = np.argsort(self.test_error[-1], kind="stable")
        return int(order[(self.experiment.seeds - 1) // 2])

    @property
    def gflops(self) -> float:
        """Multiplications and additions of layers and updates, 10⁹ a second of training."""
        layers = sum(count_flops(self.networks[0]).values())
        return (layers + 2 * PARAMETERS) * self._presentations / self.seconds / 1e9

    @property
    def weights_gb_per_second(self) -> float:
        """Bytes of weights and rates, 10⁹ a second of training.

        Each weight is read forward, backward and for its update, and written; its rate is read.
        """
        return 5 * 4 * PARAMETERS * self._presentations / self.seconds / 1e9

    @property
    def _presentations(self) -> int:
        return self.experiment.seeds * self.passes * self.patterns


def save_state(path: Path, state: ExperimentState) -> None:
    """Write the state, atomically."""
    arrays = {
        name: np.stack([network.get_parameter(name).detach().numpy() for network in state.networks])
        for name, _ in state.networks[0].named_parameters()
    }
    for name in _MEASURED:
        arrays[f"measured.{name}"] = getattr(state, name)
    about = {
        "experiment": _identity(state.experiment),
        "data": state.data,
        "patterns": state.patterns,
        "seconds": state.seconds,
        "made_on": state.made_on,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, pack(arrays, about))


def _identity(experiment: Experiment) -> dict[str, Any]:
    """What must agree for training to go on: all but the number of passes, as JSON has it."""
    identity: dict[str, Any] = json.loads(json.dumps(asdict(experiment)))
    del identity["passes"]
    return identity


def load_state(path: Path, experiment: Experiment, data: str) -> ExperimentState:
    """The state in the file, or the one before the first pass when there is none.

    Raises
    ------
    RunError
        When the file is another experiment's, or was made on other data.
    """
    none = np.zeros((0, experiment.seeds))
    state = ExperimentState(experiment, data, experiment.networks(), none, none, np.full(2, np.nan))
    if not path.exists():
        return state
    try:
        arrays, about = unpack(read_bounded(path, experiment.seeds), str(path))
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
            for network, weight in zip(state.networks, arrays[name], strict=True):
                with torch.no_grad():
                    network.get_parameter(name).copy_(torch.from_numpy(weight.copy()))
        state.train_error, state.test_error, state.rates = (
            arrays[f"measured.{name}"].copy() for name in _MEASURED
        )
        state.patterns, state.seconds = about["patterns"], about["seconds"]
        state.made_on = about["made_on"]
    except (CheckpointError, KeyError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not an experiment's state: {error}") from error
    return state
