"""State dicts that others saved with `torch.save`: plain tensors, or a refusal."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lenet.errors import CheckpointError, LenetError


def read_state_dict(data: bytes, source: str, limit: int) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file, on the CPU; nothing in it is run.

    Parameters
    ----------
    data : bytes
        The file's content.
    source : str
        Names it in messages.
    limit : int
        How many bytes it may unpack to.

    Raises
    ------
    CheckpointError
        When it is too large or anything else than a state dict of plain tensors.
    """
    try:
        # The size of what is packed, before torch unpacks it.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise CheckpointError(f"{source} unpacks to more than {limit:,} bytes")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except LenetError:
        raise
    except Exception as error:  # bytes from a stranger: torch and pickle raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{source} is not a state dict of plain weights ({reason[:200]}); save it again with "
            f"torch.save(model.state_dict(), …)"
        ) from error
    if not isinstance(state, Mapping) or not all(map(_is_plain, state.values())):
        raise CheckpointError(f"{source} holds something else than a state dict of tensors")
    return dict(state)


def _is_plain(value: Any) -> bool:
    return type(value) is Tensor and value.layout == torch.strided and value.device.type == "cpu"
