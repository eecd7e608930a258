"""Where a training starts that goes on from trained weights: which of them, and on what input."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lenet.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.errors import InputError
from lenet.networks import LAYERS

_FILE = "start.safetensors"
_CHARACTERS = "characters"  # one for each class: not to be carried over to another number of them


@dataclass(frozen=True)
class Start:
    """Trained weights that a run starts from.

    Parameters
    ----------
    source : str
        What the user named: pretrained weights, a file, or the absolute path of a run folder.
    checkpoint : Checkpoint
    """

    source: str
    checkpoint: Checkpoint

    def check_network(self, name: str) -> None:
        """Refuse a network of another name.

        Raises
        ------
        InputError
        """
        theirs = self.checkpoint.network.name
        if name != theirs:
            raise InputError(
                f"the weights {self.source} are those of network {theirs}, not {name}; "
                f"leave the network out"
            )

    def options(self, num_classes: int) -> dict[str, Any]:
        """What the network is built with."""
        theirs = self.checkpoint.network
        same = num_classes == theirs.num_classes
        return {k: v for k, v in theirs.options.items() if same or k != _CHARACTERS}

    def initial(self, class_names: tuple[str, ...]) -> dict[str, Tensor]:
        """The weights to start from: all, or all but the output layer's for other classes."""
        state = self.checkpoint.network.state_dict()
        if class_names == self.checkpoint.class_names:
            return state
        return {k: v for k, v in state.items() if k.split(".")[0] != LAYERS[-1]}

    def preprocessing(self, splits: Splits) -> Preprocessing:
        """The scale of the weights, which their first layer has learnt, for these pictures."""
        theirs = self.checkpoint.preprocessing
        return dataclasses.replace(theirs, preparation=splits.preparation)

    def describe(self) -> dict[str, str]:
        """Which weights they were, as plain JSON: as named, and the SHA-256 over all of them."""
        return {"source": self.source, "sha256": _digest(self.checkpoint.network.state_dict())}


def load_start(weights: str | Path) -> Start:
    """Weights by what `lenet.load_checkpoint` takes.

    Raises
    ------
    CheckpointError
        When there are none.
    """
    checkpoint = load_checkpoint(weights)
    path = Path(weights)
    return Start(str(path.resolve()) if path.exists() else str(weights), checkpoint)


def keep_start(folder: Path, start: Start) -> None:
    """Copy the weights into a run's state folder: what they were read from may change."""
    save_checkpoint(folder / _FILE, start.checkpoint)


def read_start(folder: Path, about: Mapping[str, str]) -> Start:
    """What `keep_start` kept; `about` is its description.

    Raises
    ------
    CheckpointError
        When the file is missing or damaged.
    """
    return Start(about["source"], load_checkpoint(folder / _FILE))


def _digest(state: Mapping[str, Tensor]) -> str:
    sha256 = hashlib.sha256()
    for name in sorted(state):
        sha256.update(name.encode())
        sha256.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return sha256.hexdigest()
