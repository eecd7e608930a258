"""Weight files: the only place that reads or writes them."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from lenet.data.catalogue import DATASETS
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.errors import CheckpointError, InputError, LenetWarning, suggestion
from lenet.files import write_atomic
from lenet.machine import describe_system, list_versions
from lenet.networks import LeNet, build_network
from lenet.networks.layers import ACTIVATIONS
from lenet.networks.modern import POOLINGS
from lenet.networks.rebuild import check_rebuildable
from lenet.networks.recognition import as_lenet
from lenet.networks.shapes import match_layers, variant
from lenet.networks.tutorial import ARTICLE_KEYS, ARTICLE_OPTIONS
from lenet.state_dicts import read_state_dict

MODEL_FILE = "model.safetensors"
"""The best weights inside a run folder."""

MAX_BYTES = 16 * 1024**2
"""No LeNet-5 comes near: 62,500 parameters are 250 KB."""

_FORMAT = 1
_METADATA_KEY = "lenet"
_REQUIRED = ("format", "network", "options", "num_classes", "class_names", "preprocessing")
_ADDITIONAL = ("recipe", "seed", "data", "versions", "metrics")
_STATE_DICT_SUFFIXES = (".pth", ".pt", ".tar")
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_ARTICLE_DATA = "fashion-mnist"


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights with all that is needed to use them.

    Parameters
    ----------
    network : LeNet
        Another's module is taken too: see `lenet.networks.recognition.as_lenet`.
    preprocessing : Preprocessing
        What was done to the training images; prediction does the same.
    class_names : tuple of str
        By label.
    metadata : dict
        Where the weights come from, as plain JSON values: any of ``recipe``, ``seed``, ``data``
        (name and SHA-256), ``versions``, ``metrics``.

    Raises
    ------
    CheckpointError
        When the class names do not fit the network or the metadata has an unknown key.
    InputError
        When a module is not a LeNet-5.
    """

    network: LeNet
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", as_lenet(self.network, self.preprocessing))
        check_class_names(self.class_names, self.network.num_classes)
        unknown = sorted(set(self.metadata) - set(_ADDITIONAL))
        if unknown:
            raise CheckpointError(
                f"unknown metadata {', '.join(map(repr, unknown))}; "
                f"known are {', '.join(_ADDITIONAL)}"
            )


def check_class_names(names: Sequence[str], num_classes: int) -> None:
    """Refuse names that a weight file cannot hold.

    Raises
    ------
    CheckpointError
        When there are not `num_classes` different ones, or one is empty or not printable.
    """
    if len(names) != num_classes or len(set(names)) != len(names):
        raise CheckpointError(
            f"{num_classes} classes need as many different names, "
            f"got {len(names)}: {', '.join(map(repr, names[:20]))}"
        )
    # A name is printed to terminals and into reports: no control characters.
    odd = [name for name in names if not name or not name.isprintable()]
    if odd:
        raise CheckpointError(f"class names must be printable and not empty, got {odd[0]!r}")


def describe_origin(
    splits: Splits,
    *,
    seed: int,
    metrics: Mapping[str, Any],
    recipe: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Where weights come from, as `Checkpoint.metadata`: the only writer of its keys.

    Parameters
    ----------
    splits : Splits
        What they were trained on.
    seed : int
    metrics : mapping of str to plain JSON values
        How good they are, on which part.
    recipe : mapping, optional
        What `Recipe.to_dict` gives, where there is a recipe.

    Returns
    -------
    metadata : dict
        With the versions of the packages in use.
    """
    return {
        **({"recipe": dict(recipe)} if recipe is not None else {}),
        "seed": seed,
        "data": {"name": splits.name, "sha256": splits.sha256},
        "versions": {**list_versions(), "system": describe_system()},
        "metrics": dict(metrics),
    }


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write weights as safetensors, atomically.

    The same checkpoint gives the same bytes: nothing in the file depends on the time or place.

    Parameters
    ----------
    path : str or Path
        Replaced if it exists; its folder must exist.
    checkpoint : Checkpoint

    Raises
    ------
    CheckpointError
        When a weight is not finite, the metadata is not plain JSON, or the network is not what its
        name and options say: a layer was replaced, has other settings or a hook.
    LenetError
        When the file cannot be written.
    """
    network = checkpoint.network
    try:
        check_rebuildable(network)
    except InputError as error:
        raise CheckpointError(f"{path} is not written: {error}") from error
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    _require_finite(state, "these weights")
    about = {
        "format": _FORMAT,
        "network": network.name,
        "options": network.options,
        "num_classes": network.num_classes,
        "class_names": list(checkpoint.class_names),
        "preprocessing": checkpoint.preprocessing.to_dict(),
        **checkpoint.metadata,
    }
    write_atomic(Path(path), pack(state, about))


def load_checkpoint(
    name_or_path: str | Path, *, activation: str | None = None, pooling: str | None = None
) -> Checkpoint:
    """Pretrained weights by their name, or those of a file or a run folder.

    Parameters
    ----------
    name_or_path : str or Path
        A name in `pretrained_weights` (a file of that name is meant by ``./name``), a
        ``.safetensors`` file, a run folder, or a ``.pth`` state dict with the weights of a LeNet-5
        under any names.
    activation, pooling : str, optional
        What lies between the layers of a ``.pth``, which does not say: a name in
        `lenet.networks.layers.ACTIVATIONS`, and ``max`` or ``average``. By default the article's,
        sigmoid and average.

    Returns
    -------
    checkpoint : Checkpoint
        The network on the CPU and in evaluation mode.

    Raises
    ------
    CheckpointError
        When there are no such weights, or the file is not exactly what it must be.

    Warns
    -----
    LenetWarning
        When an activation and a pooling had to be assumed for names that are not the article's.

    Notes
    -----
    A ``.pth`` holds nothing but weights. Its preprocessing is taken to be what the article's text
    says: Fashion-MNIST, pixels / 255, padded from 28×28 to 32×32.
    """
    hints = {"activation": activation, "pooling": pooling}
    pretrained = pretrained_weights()
    if isinstance(name_or_path, str) and name_or_path in pretrained:
        file = resources.files("lenet.weights").joinpath(f"{name_or_path}.safetensors")
        _refuse(hints, name_or_path)
        return _from_safetensors(file.read_bytes(), f"the pretrained weights {name_or_path!r}")
    path = Path(name_or_path)
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise CheckpointError(f"{path} holds no {MODEL_FILE}: not a run, or one just begun")
        path = path / MODEL_FILE
    if not path.is_file():
        hint = suggestion(str(name_or_path), pretrained)
        known = ", ".join(pretrained) or "none"
        raise CheckpointError(
            f"no weights {str(name_or_path)!r}: neither a file, nor a run folder, "
            f"nor pretrained ({known}){hint}"
        )
    data = read_bounded(path)
    if path.suffix.lower() in _STATE_DICT_SUFFIXES:
        return _from_state_dict(data, str(path), hints)
    _refuse(hints, str(path))
    return _from_safetensors(data, str(path))


@cache
def pretrained_weights() -> dict[str, dict[str, Any]]:
    """The trained weights that come with the package: their names and cards.

    Returns
    -------
    cards : dict
        By name: the data, recipe, seed, accuracy, limits and size of each.
    """
    folder = resources.files("lenet").joinpath("weights")
    if not folder.is_dir():
        return {}
    files = {file.name: file for file in folder.iterdir()}
    names = sorted(name.removesuffix(".safetensors") for name in files if ".safetensors" in name)
    return {
        name: {
            **json.loads(files[f"{name}.json"].read_text("utf-8")),
            "size_bytes": len(files[f"{name}.safetensors"].read_bytes()),
        }
        for name in names
    }


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


def pack(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """Tensors and one JSON value as the bytes of a safetensors file.

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
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save_tensors(contiguous, metadata={_METADATA_KEY: text})


def unpack(data: bytes, source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `pack` packed.

    Raises
    ------
    CheckpointError
        When the bytes are not such a file; `source` names them in the message.
    """
    try:
        tensors = load_tensors(data)
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_METADATA_KEY])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        # Looked at only now: a good file's first bytes are a length, and may look like these.
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
    return tensors, about


def _from_safetensors(data: bytes, source: str) -> Checkpoint:
    state, about = unpack(data, source)
    unknown = sorted(set(about) - {*_REQUIRED, *_ADDITIONAL})
    missing = sorted(set(_REQUIRED) - set(about))
    if missing or unknown or about["format"] != _FORMAT:
        raise CheckpointError(
            f"{source} is not format {_FORMAT} of lenet: format {about.get('format')!r}, "
            f"missing metadata {missing}, unknown metadata {unknown}"
        )
    try:
        network = _network(about, state)
        names = about["class_names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError("class names must be a list of strings")
        return Checkpoint(
            network,
            _preprocessing(about["preprocessing"]),
            tuple(names),
            {key: about[key] for key in _ADDITIONAL if key in about},
        )
    except (InputError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: {error}") from error


def _refuse(hints: Mapping[str, str | None], source: str) -> None:
    given = [name for name, value in hints.items() if value is not None]
    if given:
        raise CheckpointError(f"{source} says its {' and '.join(given)} itself; give none")


def _from_state_dict(data: bytes, source: str, hints: Mapping[str, str | None]) -> Checkpoint:
    theirs = read_state_dict(data, source, MAX_BYTES)
    options = {name: value or ARTICLE_OPTIONS[name] for name, value in hints.items()}
    try:
        names = match_layers({name: tuple(tensor.shape) for name, tensor in theirs.items()})
        num_classes = len(theirs[names["output.bias"]])
        name, options = variant({**options, "batch_norm": "norm1.weight" in names})
        state = {ours: _as_ours(ours, theirs[of]) for ours, of in names.items()}
        about = {"network": name, "options": options, "num_classes": num_classes}
        network = _network(about, state)
    except InputError as error:
        raise CheckpointError(f"{source}: {error}") from error
    class_names = DATASETS[_ARTICLE_DATA].class_names
    if num_classes != len(class_names):
        class_names = tuple(str(label) for label in range(num_classes))
    keys = {name.removeprefix("module.") for name in theirs}  # DataParallel's
    if keys != set(ARTICLE_KEYS) and None in hints.values():
        warnings.warn(_assumed(source, hints, class_names), LenetWarning, stacklevel=3)
    return Checkpoint(network, Preprocessing("garment"), class_names)


def _as_ours(name: str, tensor: Tensor) -> Tensor:
    """In float32; C5's kernels as rows, in the order in which its maps are flattened."""
    if not tensor.is_floating_point():
        return tensor
    return (tensor.flatten(1) if name == "c5.weight" else tensor).float()


def _assumed(source: str, hints: Mapping[str, str | None], class_names: Sequence[str]) -> str:
    assumed = [ARTICLE_OPTIONS[name] for name, value in hints.items() if value is None]
    return (
        f"{source} holds weights alone: {' and '.join(assumed)}, pixels from 0 to 1 and the "
        f"classes {class_names[0]} … {class_names[-1]} are assumed, as in the article; "
        f"load_checkpoint(…, activation=, pooling=) takes others ({', '.join(ACTIVATIONS)}; "
        f"{', '.join(POOLINGS)})"
    )


def _network(about: Mapping[str, Any], state: Mapping[str, Tensor]) -> LeNet:
    """The network that `about` describes, with exactly the weights of `state`."""
    name, options, num_classes = about["network"], about["options"], about["num_classes"]
    if type(name) is not str or type(options) is not dict or type(num_classes) is not int:
        raise CheckpointError("network must be a name, options an object, num_classes a number")
    # On the meta device nothing is allocated, whatever number of classes a stranger writes.
    with torch.device("meta"):
        defaults = build_network(name, num_classes).options
        for option, value in options.items():
            if option in defaults and not _same_kind(value, defaults[option]):
                raise CheckpointError(f"{name} has an option {option}, but not {value!r}")
        expected = build_network(name, num_classes, **options).state_dict()
    if set(state) != set(expected):
        raise CheckpointError(
            f"weights do not fit {name}: missing {sorted(set(expected) - set(state))}, "
            f"unknown {sorted(set(state) - set(expected))}"
        )
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape or state[key].dtype != tensor.dtype:
            raise CheckpointError(
                f"{key} must be {tuple(tensor.shape)} {tensor.dtype}, "
                f"got {tuple(state[key].shape)} {state[key].dtype}"
            )
    _require_finite(state, "the file")
    network = build_network(name, num_classes, **options)
    network.load_state_dict(dict(state))
    return network.eval()


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)


def _preprocessing(value: Any) -> Preprocessing:
    if not isinstance(value, dict) or set(value) != {"preparation", "scale", "offset"}:
        raise CheckpointError("preprocessing needs preparation, scale and offset, nothing else")
    return Preprocessing(**value)


def _require_finite(state: Mapping[str, Tensor], source: str) -> None:
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{key} in {source} holds NaN or infinity")
