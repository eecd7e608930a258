"""The numbers of a training: one frozen value, the named ones, and which is whose default."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lenet.data.catalogue import DATASETS
from lenet.data.distortions import Distortions
from lenet.data.preprocessing import PAPER_1998, Preprocessing
from lenet.data.splits import Splits
from lenet.errors import InputError, SettingError, suggestion
from lenet.networks import NETWORKS
from lenet.networks.initialization import SCHEMES
from lenet.networks.recognition import as_lenet

SMALL = 10_000
"""Training images below which a set gets smaller batches and more epochs."""

_FEW = "-small"
_LOSS = "cross-entropy"
_NO_DISTORTIONS = Distortions()
_CHOICES = {
    "optimizer": ("adam", "adamw", "sgd"),
    "schedule": ("constant", "one-cycle"),
    "initialization": SCHEMES,
    "pixels": ("unit", "standardized", "1998"),
    "class_weights": ("none", "balanced"),
}


@dataclass(frozen=True)
class Recipe:
    """How to train: every number that the final weights depend on, beside the data.

    Parameters
    ----------
    name : str
    optimizer : {"adam", "adamw", "sgd"}
        ``sgd`` is with a Nesterov momentum of 0.9.
    learning_rate : float
        The constant rate, or the peak of the cycle.
    schedule : {"constant", "one-cycle"}
        ``one-cycle`` rises along a cosine from 1/25 of the peak to the peak during the first 30 %
        of the steps and falls along a cosine to zero (Smith & Topin 2019).
    batch_size, epochs : int
    initialization : str
        A scheme of `lenet.networks.initialization`.
    pixels : {"unit", "standardized", "1998"}
        Network input: 0 … 1; zero mean and unit variance over the training images; or the paper's
        −0.1 … 1.175.
    distortions : Distortions
        Drawn anew for every image in every epoch.
    weight_decay : float
        With ``adamw`` apart from the gradient (Loshchilov & Hutter 2019), else added to it.
    label_smoothing : float
        0 ≤ label_smoothing < 1.
    weight_average : float
        Decay per step of a running average of the weights, which is then what is measured and
        kept; 0 for none. Early on the decay is smaller: (1 + step) / (10 + step).
    class_weights : {"none", "balanced"}
        ``balanced`` makes a rare class's images weigh more, so that all classes weigh the same: an
        image's loss counts N / (classes · images of its class) times.
    seed : int
        Of the initial weights, the order, the distortions and Dropout.
    patience : int, optional
        Stop after so many epochs without a better one.

    Raises
    ------
    InputError
        When a value is out of its range; the message says which.
    """

    name: str
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    batch_size: int = 64
    epochs: int = 20
    initialization: str = "torch"
    pixels: str = "unit"
    distortions: Distortions = _NO_DISTORTIONS
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    weight_average: float = 0.0
    class_weights: str = "none"
    seed: int = 0
    patience: int | None = None

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                hint = suggestion(str(value), choices)
                raise SettingError(
                    field, f"{value!r} is unknown; use one of {', '.join(choices)}{hint}"
                )
        self._whole("batch_size", 1)
        self._whole("epochs", 1)
        self._whole("seed", 0)
        if self.patience is not None:
            self._whole("patience", 1)
        self._real("learning_rate", "greater than 0", lambda value: value > 0)
        self._real("weight_decay", "at least 0", lambda value: value >= 0)
        for field in ("label_smoothing", "weight_average"):
            self._real(field, "at least 0 and less than 1", lambda value: 0 <= value < 1)

    def _whole(self, field: str, least: int) -> None:
        value = getattr(self, field)
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise SettingError(field, f"must be a whole number of at least {least}, got {value!r}")
        object.__setattr__(self, field, int(value))  # a NumPy integer would not go into JSON

    def _real(self, field: str, constraint: str, holds: Any) -> None:
        value = getattr(self, field)
        if (
            not isinstance(value, numbers.Real)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not holds(value)
        ):
            raise SettingError(field, f"must be a finite number {constraint}, got {value!r}")
        object.__setattr__(self, field, float(value))

    def preprocessing(self, splits: Splits) -> Preprocessing:
        """How the ink of `splits` becomes network input; only training images have a say."""
        if self.pixels == "standardized":
            return Preprocessing.standardized(splits.preparation, splits.train.images)
        if self.pixels == "1998":
            return dataclasses.replace(PAPER_1998, preparation=splits.preparation)
        return Preprocessing(splits.preparation)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """What `to_dict` gave, in this version or an older one.

        Raises
        ------
        InputError
            When a field is unknown or a value out of range.
        """
        fields = dict(values)
        # Recipes once named their loss, and there was one.
        if fields.pop("loss", _LOSS) != _LOSS:
            raise InputError(f"not a recipe: loss {values['loss']!r}, where all have {_LOSS}")
        try:
            return cls(**{**fields, "distortions": Distortions(**fields["distortions"])})
        except (TypeError, KeyError) as error:
            raise InputError(f"not a recipe: {error}") from error


_DIGIT = Distortions(rotate=0.2, scale=0.12, shear=0.2, shift=2.5)
_GARMENT = Distortions(flip=True, shift=1.0, scale=0.05)
_OBJECT = Distortions(shift=1.0, scale=0.05)
_PLAIN = Distortions(shift=2.0, scale=0.08)


def _modern(name: str, distortions: Distortions, epochs: int, weight_decay: float = 0.01) -> Recipe:
    return Recipe(
        name,
        optimizer="adamw",
        learning_rate=0.004,
        schedule="one-cycle",
        batch_size=128,
        epochs=epochs,
        initialization="kaiming",
        pixels="standardized",
        distortions=distortions,
        weight_decay=weight_decay,
        label_smoothing=0.05,
        weight_average=0.998,
    )


def _small(recipe: Recipe, epochs: int) -> Recipe:
    """For some thousand images: as many steps as a learner's patience allows."""
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}{_FEW}",
        batch_size=32,
        epochs=epochs,
        weight_average=0.99 if recipe.weight_average else 0.0,
    )


_ARTICLE = Recipe("article")
_TUNED = Recipe(
    "tuned",
    learning_rate=0.004,
    schedule="one-cycle",
    batch_size=128,
    epochs=20,
    initialization="xavier",
    pixels="standardized",
)
_MINIBATCH = Recipe(
    "minibatch",
    learning_rate=0.002,
    schedule="one-cycle",
    batch_size=64,
    epochs=20,
    initialization="fan-in",
    pixels="1998",
)
_MODERN = (
    _modern("digit", _DIGIT, 40),
    _modern("garment", _GARMENT, 60, weight_decay=0.05),
    _modern("object", _OBJECT, 60, weight_decay=0.05),
    _modern("plain", _PLAIN, 40),
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _ARTICLE,
        _TUNED,
        _small(_TUNED, 30),
        *_MODERN,
        *(_small(recipe, 30) for recipe in _MODERN),
        _MINIBATCH,
        _small(_MINIBATCH, 30),
    )
}
"""The named recipes; any of them runs on any network."""

PURPOSES = {
    "article": "tutorial, as the article trains it",
    "tuned": "tutorial",
    "digit": "modern on digits",
    "garment": "modern on garments",
    "object": "modern on other pictures cropped to their object",
    "plain": "modern on other pictures",
    "minibatch": "lecun1998",
}
"""What each is the recipe for. Most have a ``…-small`` for few images: that of `default_recipe`."""
PURPOSES |= {
    name: f"{PURPOSES[name.removesuffix(_FEW)]}, fewer than {SMALL:,} images"
    for name in RECIPES
    if name.endswith(_FEW)
}


def find_recipe(name: str) -> Recipe:
    """A named recipe.

    Raises
    ------
    InputError
        When there is none of that name; a near miss is suggested.
    """
    if name == "paper":
        raise InputError(
            "recipe 'paper' learns one pattern at a time, sixteen networks side by side: "
            "run it with lenet reproduce; lenet train has 'minibatch' for the same network"
        )
    if name not in RECIPES:
        hint = suggestion(name, RECIPES)
        raise InputError(f"recipe {name!r} is unknown; use one of {', '.join(RECIPES)}{hint}")
    return RECIPES[name]


def default_recipe(network: str | nn.Module, splits: Splits | None = None) -> Recipe:
    """The recipe a network is trained with when none is named.

    Parameters
    ----------
    network : {"tutorial", "modern", "lecun1998"} or LeNet
        Or another's module: see `lenet.networks.recognition.as_lenet`.
    splits : Splits, optional
        What it is to learn. What the pictures show has a say (a garment may be mirrored, a digit
        may not, and of a person's own pictures it is not known), and so has how many there are:
        fewer than `SMALL` training images take a ``…-small`` recipe. A large set of digits when
        not given.

    Returns
    -------
    recipe : Recipe

    Raises
    ------
    InputError
        When the network is unknown, or a module is not a LeNet-5.
    """
    kind = network if isinstance(network, str) else as_lenet(network).name
    shows: str = "digit" if splits is None else splits.preparation
    if shows == "garment" and splits is not None and splits.name not in DATASETS:
        shows = "object"
    names = {"tutorial": "tuned", "modern": shows, "lecun1998": "minibatch"}
    if kind not in names:
        hint = suggestion(kind, NETWORKS)
        raise InputError(f"network {kind!r} is unknown; use one of {', '.join(NETWORKS)}{hint}")
    few = splits is not None and len(splits.train) < SMALL
    return RECIPES[f"{names[kind]}{_FEW}" if few else names[kind]]
