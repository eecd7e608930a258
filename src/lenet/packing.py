"""Arrays and one JSON value as the bytes of a safetensors file, and back, within bounds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from lenet.data.signatures import name_kind
from lenet.errors import CheckpointError

Arrays = Mapping[str, NDArray[Any]]

MAX_BYTES = 16 * 1024**2
"""No LeNet-5 comes near: 62,500 parameters are 250 KB."""

_METADATA_KEY = "lenet"
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_bounded(path: Path, n_networks: int = 1) -> bytes:
    """A whole file of weights, unless it is larger than so many LeNets can be.

    Raises
    ------
    CheckpointError
        When it is too large or cannot be read.
    """
    limit = n_networks * MAX_BYTES
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise CheckpointError(f"{path} has more than {limit:,} bytes: not weights of a LeNet")
    return data


def pack(arrays: Arrays, about: Mapping[str, Any]) -> bytes:
    """Arrays and one JSON value as the bytes of a safetensors file.

    Raises
    ------
    CheckpointError
        When `about` is not plain JSON.
    """
    try:
        # One value under one key: the order of several would be left to chance.
        text = json.dumps(about, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"metadata must be plain JSON: {error}") from error
    in_rows = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    return save_arrays(in_rows, metadata={_METADATA_KEY: text})


def unpack(data: bytes, source: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `pack` packed.

    Raises
    ------
    CheckpointError
        When the bytes are not such a file; `source` names them in the message.
    """
    try:
        arrays = load_arrays(data)
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_METADATA_KEY])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        # Looked at only now: a good file's first bytes are a length, and may look like these.
        if kind := name_kind(data):
            raise CheckpointError(
                f"{source} is {kind}, not weights of lenet; give the .safetensors of a run, or in "
                f"PyTorch torch.save(model.state_dict(), 'weights.pth')"
            ) from error
        if data.startswith(_PICKLES):
            raise CheckpointError(
                f"{source} is a pickle or a zip file, not safetensors; opening one could run any "
                f"program, so lenet does not (only the article's .pth is read, as plain weights)"
            ) from error
        raise CheckpointError(
            f"{source} is not a safetensors file written by lenet: {error}"
        ) from error
    if not isinstance(about, dict):
        raise CheckpointError(f"{source} has metadata that is not a JSON object")
    return arrays, about
