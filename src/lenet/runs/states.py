"""The states of a run on disk: whenever the power fails, a whole one is there."""

import contextlib
import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch

from lenet.errors import CheckpointError, RunError
from lenet.files import write_atomic
from lenet.packing import pack, read_bounded, unpack
from lenet.training.history import Epoch, State

_MARKER = "last.json"


def write_state(folder: Path, state: State) -> None:
    """Write the state, then a marker that names it; the one before stays until this one is safe.

    Raises
    ------
    LenetError
        When a file cannot be written.
    """
    about = {
        "history": [*map(_values, state.history)],
        "best_epoch": state.best_epoch,
    }
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.tensors.items()}
    data = pack(arrays, about)
    newest = {
        "file": f"epoch-{state.epoch:06d}.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    kept = [newest, *(entry for entry in _marked(folder) if entry["file"] != newest["file"])][:2]
    write_atomic(folder / newest["file"], data)
    write_atomic(folder / _MARKER, json.dumps({"states": kept}).encode())
    names = {entry["file"] for entry in kept}
    for file in folder.glob("epoch-*.safetensors"):
        if file.name not in names:
            file.unlink(missing_ok=True)


def _marked(folder: Path) -> list[dict[str, str]]:
    """What the marker names, newest first."""
    try:
        entries = json.loads((folder / _MARKER).read_bytes())["states"]
        return [{"file": str(entry["file"]), "sha256": str(entry["sha256"])} for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / _MARKER} is damaged: {error}") from error


def read_state(folder: Path) -> State | None:
    """Read the newest state that is whole; None when no epoch was finished.

    Raises
    ------
    RunError
        When there are states, and none is whole.
    """
    entries = _marked(folder)
    for entry in entries:
        with contextlib.suppress(CheckpointError, KeyError, TypeError):
            data = read_bounded(folder / Path(entry["file"]).name)
            if hashlib.sha256(data).hexdigest() == entry["sha256"]:
                arrays, about = unpack(data, entry["file"])
                tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
                history = tuple(map(_epoch, about["history"]))
                return State(history, about["best_epoch"], tensors)
    if entries:
        raise RunError(
            f"no state in {folder} is whole; remove that folder's files to train from the start"
        )
    return None


def _values(epoch: Epoch) -> dict[str, Any]:
    """Its numbers for JSON, which has no NaN: what an empty validation part gives."""
    values = dataclasses.asdict(epoch)
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _epoch(values: dict[str, Any]) -> Epoch:
    numbers: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
    return Epoch(**numbers)
