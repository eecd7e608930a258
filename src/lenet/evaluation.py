"""How good scores are: the only place that counts right and wrong."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet.errors import InputError, ShapeError

CALIBRATION_BINS = 10

CERTAIN = 1.959963984540054
"""Standard errors to either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class ClassResult:
    """How one class fared.

    Parameters
    ----------
    name : str
    precision : float
        Of the images given this label, the share that deserved it; NaN when none was given it.
    recall : float
        Of the class's images, the share given its label; NaN when there is none.
    f1 : float
        Harmonic mean of the two; NaN when the class was neither there nor named.
    support : int
        Number of images of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Confusion:
    """`count` images of class `truth` were taken for `prediction`."""

    truth: str
    prediction: str
    count: int


@dataclass(frozen=True)
class CalibrationBin:
    """Images whose winning probability lies in (low, high].

    Parameters
    ----------
    low, high : float
    count : int
    confidence : float
        Their mean winning probability; NaN when there are none.
    accuracy : float
        The share of them that is right; NaN when there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether 90 % sure means right in 90 of 100.

    Parameters
    ----------
    error : float
        Expected calibration error: mean distance of accuracy and confidence over the bins,
        weighted by their counts.
    bins : tuple of CalibrationBin
        Equally wide, from 0 to 1.

    References
    ----------
    Guo et al. 2017, "On Calibration of Modern Neural Networks", Eq. (3).
    """

    error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network did on one part of a data set.

    Parameters
    ----------
    confusion : (classes, classes) int64
        Row: true class, column: predicted class. Its sum is the number of images.
    class_names : tuple of str
        By label.
    loss : float
        Mean cross-entropy of the softmax of the scores, in nats.
    calibration : Calibration
    """

    confusion: NDArray[np.int64]
    class_names: tuple[str, ...]
    loss: float
    calibration: Calibration

    @property
    def n_images(self) -> int:
        """Number of images, every one counted once."""
        return int(self.confusion.sum())

    @property
    def n_errors(self) -> int:
        """Number of images given a wrong label."""
        return self.n_images - int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of the images given the right label."""
        return (self.n_images - self.n_errors) / self.n_images

    @property
    def interval(self) -> tuple[float, float]:
        """Where `accuracy` would lie for all images of this kind, with 95 % confidence."""
        return wilson_interval(self.n_images - self.n_errors, self.n_images)

    @cached_property
    def per_class(self) -> tuple[ClassResult, ...]:
        """Precision, recall and F1 by label."""
        results = []
        for label, name in enumerate(self.class_names):
            right = int(self.confusion[label, label])
            given = int(self.confusion[:, label].sum())
            support = int(self.confusion[label].sum())
            results.append(
                ClassResult(
                    name,
                    precision=_share(right, given),
                    recall=_share(right, support),
                    f1=_share(2 * right, given + support),
                    support=support,
                )
            )
        return tuple(results)

    @cached_property
    def most_confused(self) -> tuple[Confusion, ...]:
        """Every pair of classes that was confused, most frequent first, then by label."""
        wrong = self.confusion * (1 - np.eye(len(self.confusion), dtype=np.int64))
        pairs = np.argwhere(wrong)  # by true, then by predicted label
        pairs = pairs[np.argsort(-wrong[wrong > 0], kind="stable")]
        return tuple(
            Confusion(self.class_names[i], self.class_names[j], int(wrong[i, j])) for i, j in pairs
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: None where nothing was measured."""
        values = {
            "n_images": self.n_images,
            "n_errors": self.n_errors,
            "accuracy": self.accuracy,
            "interval": self.interval,
            "loss": self.loss,
            "calibration": asdict(self.calibration),
            "per_class": [asdict(one) for one in self.per_class],
            "confusion": self.confusion.tolist(),
        }
        return {name: _without_nan(value) for name, value in values.items()}


def evaluate(scores: ArrayLike, labels: ArrayLike, class_names: tuple[str, ...]) -> Evaluation:
    """Compare scores with the truth.

    Parameters
    ----------
    scores : (N, classes) float, larger is better
        The label of an image is the place of its largest score, the first of equal ones.
    labels : (N,) int, 0 … classes − 1
    class_names : tuple of str
        By label.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ShapeError
        When there is no image, or scores, labels and class names do not fit each other.
    InputError
        When a score is not finite or a label is not a class.
    """
    scores, labels = _checked(scores, labels)
    classes = len(class_names)
    if scores.shape[1] != classes:
        raise ShapeError(f"{classes} class names need scores (N, {classes}), got {scores.shape}")
    probabilities = softmax(scores)
    predictions = scores.argmax(axis=1)
    pairs = np.bincount(labels * classes + predictions, minlength=classes**2)
    return Evaluation(
        confusion=pairs.reshape(classes, classes).astype(np.int64),
        class_names=tuple(class_names),
        loss=float(cross_entropies(scores, labels).mean()),
        calibration=calibrate(probabilities.max(axis=1), predictions == labels),
    )


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """Where a share lies, with 95 % confidence, of which `right` of `n` images are a sample.

    It stays between 0 and 1 and has a width even when all of them, or none, are right.

    Returns
    -------
    low, high : float
        NaN when there are no images.

    References
    ----------
    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", p. 209;
    Brown, Cai & DasGupta 2001, "Interval Estimation for a Binomial Proportion", Eq. (4).
    """
    if n == 0:
        return math.nan, math.nan
    square = CERTAIN**2
    middle = (right + square / 2) / (n + square)
    spread = CERTAIN / (n + square) * math.sqrt(right * (n - right) / n + square / 4)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def softmax(scores: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of the classes: (N, classes) scores → (N, classes), rows sum to 1."""
    powers = np.exp(_shifted(np.asarray(scores, np.float64)))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def count_errors(scores: ArrayLike, labels: ArrayLike) -> int:
    """Number of images given a wrong label: that of `evaluate`, and nothing beside it.

    Parameters
    ----------
    scores : (N, classes) float, larger is better
    labels : (N,) int, 0 … classes − 1

    Raises
    ------
    ShapeError, InputError
        As `evaluate`.
    """
    scores, labels = _checked(scores, labels)
    return int((scores.argmax(axis=1) != labels).sum())


def error_rate(scores: ArrayLike, labels: ArrayLike) -> float:
    """Share of the images given a wrong label, 0 … 1; arguments and errors as `count_errors`."""
    return count_errors(scores, labels) / len(np.asarray(labels))


def cross_entropies(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Cross-entropy of each image, in nats: how surprising the truth was.

    Parameters
    ----------
    scores : (N, classes) float
    labels : (N,) int

    Returns
    -------
    cross_entropies : (N,) float64

    Raises
    ------
    ShapeError, InputError
        As `evaluate`.
    """
    scores, labels = _checked(scores, labels)
    shifted = _shifted(scores)
    of_truth = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - of_truth)


def calibrate(confidences: ArrayLike, right: ArrayLike) -> Calibration:
    """Accuracy against confidence, in equally wide bins.

    Parameters
    ----------
    confidences : (N,) float, 0 … 1
        Probability of the predicted class.
    right : (N,) bool
        Whether the prediction was the truth.
    """
    confidences = np.asarray(confidences, np.float64)
    right = np.asarray(right, np.bool_)
    # (low, high]: a probability of exactly 1 belongs to the last bin, one of 0 to the first.
    place = np.ceil(confidences * CALIBRATION_BINS).astype(np.int64) - 1
    place = place.clip(0, CALIBRATION_BINS - 1)
    bins = []
    error = 0.0
    for i in range(CALIBRATION_BINS):
        inside = place == i
        count = int(inside.sum())
        confidence = float(confidences[inside].mean()) if count else float("nan")
        accuracy = float(right[inside].mean()) if count else float("nan")
        if count:
            error += count / len(right) * abs(accuracy - confidence)
        low, high = i / CALIBRATION_BINS, (i + 1) / CALIBRATION_BINS
        bins.append(CalibrationBin(low, high, count, confidence, accuracy))
    return Calibration(error, tuple(bins))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _without_nan(value: Any) -> Any:
    """The same value with None for every NaN, which JSON does not know."""
    match value:
        case dict():
            return {name: _without_nan(each) for name, each in value.items()}
        case list() | tuple():
            return [_without_nan(each) for each in value]
        case float() if math.isnan(value):
            return None
    return value


def _shifted(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same softmax, with no exponential that overflows."""
    return np.asarray(scores - scores.max(axis=1, keepdims=True))


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores and labels that fit each other, or an error that says why they do not."""
    scores = np.asarray(scores, np.float64)
    labels = np.asarray(labels)
    n = len(labels)
    if scores.ndim != 2 or scores.shape[1] < 2 or labels.shape != (len(scores),) or not n:
        raise ShapeError(
            f"need at least one image, scores (N, classes) and labels (N,), "
            f"got scores {scores.shape} and labels {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels must be whole numbers, got {labels.dtype}")
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise InputError(
            f"the scores of {int((~finite).sum())} of {n} images are not finite "
            f"(first: image {int(finite.argmin())}); are the weights?"
        )
    classes = scores.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"labels must be 0 … {classes - 1} for {classes} scores, "
            f"got {labels.min()} … {labels.max()}"
        )
    return scores, labels.astype(np.int64)
