"""State dicts that others saved with `torch.save`: the weights of a LeNet-5, or a refusal."""

import io
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lenet.data.catalogue import DATASETS
from lenet.errors import CheckpointError, InputError, LenetWarning
from lenet.networks.activations import SQUASHES
from lenet.networks.models import Model
from lenet.networks.plans import POOLINGS, plan_network
from lenet.networks.shapes import ARTICLE_OPTIONS, match_layers, variant
from lenet.networks.tutorial import ARTICLE_KEYS

ARTICLE_DATA = "fashion-mnist"
"""What a file of weights alone is taken to be trained on."""

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
    except Exception as error:  # bytes from a stranger, as above
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


def read_model(
    data: bytes, source: str, limit: int, hints: Mapping[str, str | None]
) -> tuple[Model, tuple[str, ...]]:
    """A LeNet-5 and its classes from a ``.pth`` file, which holds neither its options nor names.

    Parameters
    ----------
    data, source, limit
        As for `read_state_dict`.
    hints : mapping of str to str or None
        The ``activation`` and the ``pooling``; None for the article's.

    Raises
    ------
    CheckpointError
        When the file holds no LeNet-5.

    Warns
    -----
    LenetWarning
        When one of them had to be assumed for names that are not the article's.
    """
    theirs = read_state_dict(data, source, limit)
    options = {name: value or ARTICLE_OPTIONS[name] for name, value in hints.items()}
    try:
        names = match_layers({name: tuple(tensor.shape) for name, tensor in theirs.items()})
        num_classes = len(theirs[names["output.bias"]])
        name, options = variant({**options, "batch_norm": "norm1.weight" in names})
        state = {ours: _as_ours(ours, theirs[of]) for ours, of in names.items()}
        model = Model(plan_network(name, num_classes, **options), state)
    except InputError as error:
        raise CheckpointError(f"{source}: {error}") from error
    class_names = DATASETS[ARTICLE_DATA].class_names
    if num_classes != len(class_names):
        class_names = tuple(str(label) for label in range(num_classes))
    keys = {name.removeprefix("module.") for name in theirs}  # DataParallel's
    if keys != set(ARTICLE_KEYS) and None in hints.values():
        warnings.warn(_assumed(source, hints, class_names), LenetWarning, stacklevel=3)
    return model, class_names


def _as_ours(name: str, tensor: Tensor) -> NDArray[Any]:
    """In float32; C5's kernels as rows, in the order in which its maps are flattened."""
    if tensor.is_floating_point():
        tensor = (tensor.flatten(1) if name == "c5.weight" else tensor).float()
    array: NDArray[Any] = tensor.numpy()
    return array


def _assumed(source: str, hints: Mapping[str, str | None], class_names: Sequence[str]) -> str:
    assumed = [ARTICLE_OPTIONS[name] for name, value in hints.items() if value is None]
    return (
        f"{source} holds weights alone: {' and '.join(assumed)}, pixels from 0 to 1 and the "
        f"classes {class_names[0]} … {class_names[-1]} are assumed, as in the article; "
        f"lenet export safetensors, and load_checkpoint, take another activation "
        f"({', '.join(SQUASHES)}) and pooling ({', '.join(POOLINGS)})"
    )
