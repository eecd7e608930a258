"""State dicts that others saved with `torch.save`: plain tensors, or a refusal."""

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lenet.errors import CheckpointError

_WAY_OUT = "in the program that made it, save torch.save(model.state_dict(), …) instead"
_TORCHSCRIPT = "constants.pkl"  # what an archive of torch.jit holds, and no other
# What trainers put a state dict under, likeliest first.
_NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")


def read_state_dict(data: bytes, source: str, limit: int) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file, on the CPU; nothing in it is run.

    Parameters
    ----------
    data : bytes
        The file's content, in today's format or that from before PyTorch 1.6.
    source : str
        Names it in messages.
    limit : int
        How many bytes it may unpack to.

    Returns
    -------
    state : dict of str to Tensor
        The one that is the file, or that lies in it beside other things: epoch, optimizer.

    Raises
    ------
    CheckpointError
        When it is too large or anything else than a state dict of plain tensors.
    """
    if zipfile.is_zipfile(io.BytesIO(data)):
        _check_archive(data, source, limit)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # bytes from a stranger: torch and pickle raise almost anything
        raise CheckpointError(_why_not(error, source)) from error
    return _find_state(content, source)


def _check_archive(data: bytes, source: str, limit: int) -> None:
    """The size of what is packed, before torch unpacks it; and what torch would not refuse."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{source} is damaged: copy it again") from error
    if sum(entry.file_size for entry in entries) > limit:
        raise CheckpointError(f"{source} unpacks to more than {limit:,} bytes")
    if any(entry.filename.endswith(_TORCHSCRIPT) for entry in entries):
        raise CheckpointError(f"{source} is a TorchScript program, not weights; {_WAY_OUT}")


def _why_not(error: Exception, source: str) -> str:
    """Torch's refusal in a sentence of ours: its own advises to unpickle."""
    wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
    if wanted:
        return (
            f"{source} is no plain weights: it holds objects of Python ({wanted[1]}), as a whole "
            f"pickled model does, and to open it could run any program; {_WAY_OUT}"
        )
    return f"{source} is not a file of torch.save with plain weights, or it is damaged; {_WAY_OUT}"


def _find_state(content: Any, source: str) -> dict[str, Tensor]:
    if _is_state(content):
        return dict(content)
    inside = content if isinstance(content, Mapping) else {}
    found = [name for name, value in inside.items() if _is_state(value)]
    known = [name for name in _NESTED if name in found]
    if not known and len(found) != 1:
        what = ", ".join(map(repr, inside)) or type(content).__name__
        raise CheckpointError(
            f"{source} holds something else than a state dict of tensors ({what[:120]}); {_WAY_OUT}"
        )
    return dict(inside[(known or found)[0]])


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(map(_is_plain, value, value.values()))


def _is_plain(name: Any, value: Any) -> bool:
    if not isinstance(name, str) or not name.isprintable():
        return False
    return type(value) is Tensor and value.layout == torch.strided and value.device.type == "cpu"
