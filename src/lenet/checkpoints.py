"""Weight files: the only place that reads or writes one of a network, and what must be in it."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet.data.catalogue import DATASETS
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.errors import CheckpointError, InputError, suggestion
from lenet.files import write_atomic
from lenet.machine import describe_system, list_versions
from lenet.networks.models import Model
from lenet.networks.plans import plan_network
from lenet.packing import MAX_BYTES, Arrays, pack, read_bounded, unpack
from lenet.trust import Trust

if TYPE_CHECKING:
    from torch import nn

    from lenet.networks import LeNet

MODEL_FILE = "model.safetensors"
"""The best weights inside a run folder."""

_FORMAT = 1
_REQUIRED = ("format", "network", "options", "num_classes", "class_names", "preprocessing")
_ADDITIONAL = ("recipe", "seed", "data", "weights", "versions", "metrics")
_STATE_DICT_SUFFIXES = (".pth", ".pt", ".tar")


class Checkpoint:
    """Trained weights with all that is needed to use them.

    Parameters
    ----------
    network : LeNet or Model
        Its weights are kept as they are now. Another's module is taken too: see
        `lenet.networks.recognition.as_lenet`.
    preprocessing : Preprocessing
        What was done to the training images; prediction does the same.
    class_names : tuple of str
        By label.
    metadata : dict, optional
        Where the weights come from, as plain JSON values: any of ``recipe``, ``seed``, ``data``
        (name and SHA-256), ``weights`` (those they were trained further from), ``versions``,
        ``metrics``.
    trust : Trust, optional
        How far to believe the network.

    Attributes
    ----------
    model : Model
        The network without torch.
    preprocessing, class_names, metadata, trust

    Raises
    ------
    InputError
        When the network is not what its name and options say (a layer was replaced, has other
        settings or a hook), a weight is not finite, or another's module is not a LeNet-5.
    CheckpointError
        When the class names do not fit the network or the metadata has an unknown key.
    """

    def __init__(
        self,
        network: "nn.Module | Model",
        preprocessing: Preprocessing,
        class_names: tuple[str, ...],
        metadata: Mapping[str, Any] | None = None,
        trust: Trust | None = None,
    ) -> None:
        if not isinstance(network, Model):
            from lenet.networks.recognition import as_lenet

            network = Model.of(as_lenet(network, preprocessing))
        self.model = network
        self.preprocessing = preprocessing
        self.class_names = class_names
        self.metadata = dict(metadata or {})
        self.trust = trust
        check_class_names(class_names, self.model.plan.num_classes)
        if unknown := sorted(set(self.metadata) - set(_ADDITIONAL)):
            names = ", ".join(map(repr, unknown))
            raise CheckpointError(f"unknown metadata {names}; known are {', '.join(_ADDITIONAL)}")

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:10])
        return f"<Checkpoint of {self.model.plan.name}: {names}>"

    @property
    def data_name(self) -> str | None:
        """The data set that the weights were trained on, where the metadata say it."""
        data = self.metadata.get("data")
        name = data.get("name") if isinstance(data, Mapping) else None
        return name if isinstance(name, str) else None

    @cached_property
    def network(self) -> "LeNet":
        """The network in torch, on the CPU and in evaluation mode; made when first asked for."""
        return self.model.build()


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
    weights: Mapping[str, str] | None = None,
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
    weights : mapping, optional
        Which trained weights they started from: their source and SHA-256.

    Returns
    -------
    metadata : dict
        With the versions of the packages in use.
    """
    return {
        **({"recipe": dict(recipe)} if recipe is not None else {}),
        "seed": seed,
        "data": {"name": splits.name, "sha256": splits.sha256},
        **({"weights": dict(weights)} if weights is not None else {}),
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
        When the metadata is not plain JSON.
    LenetError
        When the file cannot be written.
    """
    plan = checkpoint.model.plan
    about = {
        "format": _FORMAT,
        "network": plan.name,
        "options": plan.options,
        "num_classes": plan.num_classes,
        "class_names": list(checkpoint.class_names),
        "preprocessing": checkpoint.preprocessing.to_dict(),
        **checkpoint.metadata,
    }
    arrays = {**checkpoint.model.weights}
    if checkpoint.trust is not None:
        about["trust"] = checkpoint.trust.to_dict()
        arrays |= checkpoint.trust.arrays()
    write_atomic(Path(path), pack(arrays, about))


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
        from lenet.state_dicts import ARTICLE_DATA, read_model

        model, class_names = read_model(data, str(path), MAX_BYTES, hints)
        return Checkpoint(model, Preprocessing(DATASETS[ARTICLE_DATA].preparation), class_names)
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


def _from_safetensors(data: bytes, source: str) -> Checkpoint:
    state, about = unpack(data, source)
    unknown = sorted(set(about) - {*_REQUIRED, *_ADDITIONAL, "trust"})
    missing = sorted(set(_REQUIRED) - set(about))
    if missing or unknown or about["format"] != _FORMAT:
        raise CheckpointError(
            f"{source} is not format {_FORMAT} of lenet: format {about.get('format')!r}, "
            f"missing metadata {missing}, unknown metadata {unknown}"
        )
    try:
        trust = Trust.of(about["trust"], state) if "trust" in about else None
        model = _model(about, state)
        names = about["class_names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError("class names must be a list of strings")
        return Checkpoint(
            model,
            _preprocessing(about["preprocessing"]),
            tuple(names),
            {key: about[key] for key in _ADDITIONAL if key in about},
            trust,
        )
    except (InputError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: {error}") from error


def _refuse(hints: Mapping[str, str | None], source: str) -> None:
    given = [name for name, value in hints.items() if value is not None]
    if given:
        raise CheckpointError(f"{source} says its {' and '.join(given)} itself; give none")


def _model(about: Mapping[str, Any], arrays: Arrays) -> Model:
    """The network that `about` describes, with exactly these weights."""
    name, options, num_classes = about["network"], about["options"], about["num_classes"]
    if type(name) is not str or type(options) is not dict or type(num_classes) is not int:
        raise CheckpointError("network must be a name, options an object, num_classes a number")
    defaults = plan_network(name, num_classes).options
    for option, value in options.items():
        if option in defaults and not _same_kind(value, defaults[option]):
            raise CheckpointError(f"{name} has an option {option}, but not {value!r}")
    return Model(plan_network(name, num_classes, **options), arrays)


def _same_kind(value: Any, default: Any) -> bool:
    return type(value) in ((int, float) if isinstance(default, float) else (type(default),))


def _preprocessing(value: Any) -> Preprocessing:
    if not isinstance(value, dict) or set(value) != {"preparation", "scale", "offset"}:
        raise CheckpointError("preprocessing needs preparation, scale and offset, nothing else")
    return Preprocessing(**value)
