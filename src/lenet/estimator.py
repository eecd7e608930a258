"""LeNet-5 as a scikit-learn estimator: fit, predict, predict_proba, score."""

import dataclasses
import math
import numbers
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch.nn import functional

from lenet.data.ink import to_ink
from lenet.data.preprocessing import (
    FULL_INK,
    INK_SIZE,
    PREPARATIONS,
    Preparation,
    Preprocessing,
)
from lenet.data.splits import Split, Splits, hold_out
from lenet.engines import DeviceName, TrainingEngineName, select_engine
from lenet.errors import InputError
from lenet.evaluation import softmax
from lenet.networks import LeNet, build_network
from lenet.training.history import History
from lenet.training.loop import train
from lenet.training.recipes import default_recipe, find_recipe

_LARGEST_SEED = np.iinfo(np.int32).max


class LeNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A LeNet-5 that learns from an array of small grey pictures.

    Parameters
    ----------
    network : {"modern", "tutorial", "lecun1998"}
    recipe : str, optional
        A name in `lenet.training.recipes.RECIPES`; the network's default for so many plain
        pictures when not given.
    epochs, batch_size : int, optional
    learning_rate : float, optional
        Instead of the recipe's.
    preparation : {"plain", "digit", "garment"}
        `digit` and `garment` crop photographs to what is on them, as `lenet.data.ink.to_ink`
        describes, dark on light or light on dark; `plain` keeps the whole picture.
    validation_fraction : float
        Share of the pictures that is held out, of every class in proportion, to choose the best
        epoch by, 0 ≤ fraction < 1; 0 keeps the last epoch.
    random_state : int, RandomState or None
        Of the initial weights, the order and the distortions.
    engine, device : str
        See `lenet.engines.select_engine`.

    Attributes
    ----------
    classes_ : (classes,)
    n_features_in_ : int
    network_ : LeNet
    preprocessing_ : Preprocessing
    history_ : tuple of Epoch
    grid_ : (rows, columns)
        How the features are laid out.
    value_range_ : (paper, ink)
        What value became paper (0) and what full ink (255).

    Notes
    -----
    Pictures are (n, rows, columns), or flat: (n, rows·columns) for a square picture. Features of
    any other number are laid row by row into the smallest square that holds them, the rest paper.

    Values from 0 to 1 and from 0 to 255 are taken as they are meant, with 0 as paper; any other
    range is stretched from the smallest to the largest training value. The training data decide;
    later values beyond the range are clipped.

    A picture of at most 14×14 is enlarged by whole pixels, one of more than 28×28 is reduced by
    averaging, and either is centred on 28×28 paper.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from lenet import LeNetClassifier
    >>> images, labels = load_digits(return_X_y=True)
    >>> scores = cross_val_score(LeNetClassifier(random_state=0), images, labels)
    """

    classes_: NDArray[Any]
    network_: LeNet
    preprocessing_: Preprocessing
    history_: History
    grid_: tuple[int, int]
    value_range_: tuple[float, float]

    def __init__(
        self,
        network: str = "modern",
        *,
        recipe: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        preparation: Preparation = "plain",
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        engine: TrainingEngineName = "auto",
        device: DeviceName = "auto",
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.preparation = preparation
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.engine = engine
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 (scikit-learn's name)
        """Train.

        Parameters
        ----------
        X : (n, rows, columns) or (n, features)
        y : (n,)
            Labels of any kind.

        Raises
        ------
        ValueError
            When the arrays do not fit each other, or there are fewer than two classes.
        InputError
            When a parameter is out of its range.
        """
        fraction = self.validation_fraction
        if not isinstance(fraction, numbers.Real) or not 0 <= fraction < 1:
            raise InputError(f"validation_fraction must be at least 0 and below 1, got {fraction}")
        if self.preparation not in PREPARATIONS:
            known = ", ".join(PREPARATIONS)
            raise InputError(f"preparation must be one of {known}, got {self.preparation!r}")
        flat, grid = _flatten(X)
        values, y = validate_data(self, flat, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"LeNetClassifier needs at least 2 classes, the data has "
                f"{len(self.classes_)} class: {self.classes_[0]!r}"
            )
        self.value_range_ = _value_range(values)
        side = math.isqrt(values.shape[1] - 1) + 1
        self.grid_ = grid or (side, side)

        random = check_random_state(self.random_state)
        seed = int(random.randint(_LARGEST_SEED))
        whole = Split(self._ink(values), labels.astype(np.int64))
        kept, held_out = hold_out(whole, float(fraction), seed)
        splits = Splits(
            name="arrays",
            train=kept,
            validation=held_out,
            test=Split(whole.images[:0], whole.labels[:0]),
            class_names=tuple(map(str, self.classes_)),
            preparation=self.preparation,
            sha256="",
        )
        if self.recipe is None:
            recipe = default_recipe(self.network, splits)
        else:
            recipe = find_recipe(self.recipe)
        wishes: dict[str, Any] = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
        }
        changes = {name: value for name, value in wishes.items() if value is not None}
        recipe = dataclasses.replace(recipe, seed=seed, **changes)
        self.network_ = build_network(self.network, num_classes=len(self.classes_))
        self.preprocessing_ = recipe.preprocessing(splits)
        engine = select_engine(self.engine, self.device)
        self.history_ = train(
            self.network_, splits, recipe, self.preprocessing_, engine=engine
        ).history
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The most likely class of each picture: (n,)."""
        best = self._scores(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """(n, classes) in the order of `classes_`; rows sum to 1 as exactly as float32 can."""
        return softmax(self._scores(X)).astype(np.float32)

    def _scores(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        check_is_fitted(self)
        values = validate_data(self, _flatten(X)[0], reset=False)
        engine = select_engine(self.engine, self.device)
        module = engine.compile(self.network_)
        try:
            return engine.scores(module, self._ink(values), self.preprocessing_)
        finally:
            self.network_.cpu()  # a pickle of a fitted estimator opens on any machine

    def _ink(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """(n, features) values to (n, 28, 28) ink, by what `fit` learned."""
        paper, ink = self.value_range_
        rows, columns = self.grid_
        grey = (values.astype(np.float64) - paper) * (FULL_INK / (ink - paper))
        grey = np.pad(grey.clip(0, FULL_INK), ((0, 0), (0, rows * columns - values.shape[1])))
        if self.preparation != "plain":
            levels = grey.round().astype(np.uint8).reshape(-1, rows, columns)
            return np.stack([to_ink(each, self.preparation).ink for each in levels])
        # (n, rows·columns) → (n, 1, rows, columns)
        pictures = torch.from_numpy(grey).reshape(-1, 1, rows, columns)
        factor = INK_SIZE // max(rows, columns)
        if factor > 1:
            pictures = pictures.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        elif factor == 0:
            shrink = INK_SIZE / max(rows, columns)
            size = max(1, round(rows * shrink)), max(1, round(columns * shrink))
            pictures = functional.adaptive_avg_pool2d(pictures, size)
        height, width = pictures.shape[2:]
        top, left = (INK_SIZE - height) // 2, (INK_SIZE - width) // 2
        centred = np.zeros((len(values), INK_SIZE, INK_SIZE), np.uint8)
        centred[:, top : top + height, left : left + width] = pictures[:, 0].round().numpy()
        return centred


def _flatten(X: Any) -> tuple[Any, tuple[int, int] | None]:  # noqa: N803
    """Pictures (n, rows, columns) as (n, rows·columns) with their size; all else unchanged."""
    if getattr(X, "ndim", None) != 3 and not (isinstance(X, list) and np.ndim(X) == 3):
        return X, None
    pictures = np.asarray(X)
    return pictures.reshape(len(pictures), -1), pictures.shape[1:]


def _value_range(values: NDArray[Any]) -> tuple[float, float]:
    """What is paper and what full ink."""
    smallest, largest = float(values.min()), float(values.max())
    if smallest >= 0 and largest <= 1:
        return 0.0, 1.0
    if smallest >= 0 and largest <= FULL_INK:
        return 0.0, float(FULL_INK)
    return smallest, largest if largest > smallest else smallest + 1
