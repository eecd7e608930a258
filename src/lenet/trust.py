"""What a network's answers are worth: its temperature, what it knows, what it had better reject.

Fitted on images that were held out and on strangers drawn by rule, and stored with the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.engines.in_numpy import NumpyNetwork, layers_of
from lenet.errors import DataError, InputError, ShapeError
from lenet.evaluation import cross_entropies, softmax
from lenet.networks.models import Model

FEATURE_LAYERS = ("s4", "c5", "f6")
"""The layers that are asked whether they know an image."""

N_FEATURES = 400 + 120 + 84
"""Values of these layers, in every LeNet-5."""

UNKNOWN_SHARE = 0.01
"""Right answers on held-out images, at most, that are doubted because the image looks unknown."""

UNSURE = 0.65
"""Probabilities below this are doubted where nothing was fitted."""

UNSURE_SHARE = 0.02
"""Right answers on held-out images, at most, that are doubted for their probability."""

SURE = 0.9
"""No probability above this is doubted, however rare lower ones are."""

REJECTED = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the answers, the least sure first, that an evaluation tries to do without."""

MAX_ROWS = 64
"""Of a rejection curve."""

N_EXAMPLES = 4000
"""Training images, at most, and strangers, that tell what is known from what is not."""

_NUMBERS = ("temperature", "bias", "least_known", "least_probability")
_ARRAYS = ("weight", "rejection")
_PREFIX = "trust."
_SEED = 1936
_RIDGE = 1e-2
_NEWTON_STEPS = 25
_TEMPERATURES = (0.02, 50.0)


@dataclass(frozen=True, eq=False)
class Trust:
    """How far to believe a network.

    Parameters
    ----------
    temperature : float
        Scores divided by it give probabilities that are as often right as they say.
    weight : (604,) float32
        Of each value of `FEATURE_LAYERS` in the score of being known.
    bias : float
    least_known : float
        Being known less than this is a doubt.
    least_probability : float
        A winning probability below it is a doubt.
    rejection : (K, 3) float32
        As `rejection_curve` gives it, of held-out images; no rows when there were none.

    Raises
    ------
    InputError
        When a number is not finite or out of its range.
    ShapeError
        When an array has another shape.
    """

    temperature: float
    weight: NDArray[np.float32]
    bias: float
    least_known: float
    least_probability: float
    rejection: NDArray[np.float32]

    def __post_init__(self) -> None:
        curve = self.rejection.shape
        if self.weight.shape != (N_FEATURES,) or len(curve) != 2 or curve[1] != 3:
            raise ShapeError(
                f"trust needs a weight ({N_FEATURES},) and a rejection curve (K, 3), "
                f"got {self.weight.shape} and {curve}"
            )
        numbers = [self.temperature, self.bias, self.least_known, self.least_probability]
        for values in (numbers, self.weight, self.rejection):
            if not np.isfinite(values).all():
                raise InputError("trust holds NaN or infinity")
        shares = [self.least_known, self.least_probability, *self.rejection.flat]
        low, high = _TEMPERATURES
        if not low <= self.temperature <= high or min(shares) < 0 or max(shares) > 1:
            raise InputError(
                f"trust needs a temperature from {low} to {high} and shares from 0 to 1"
            )

    def cool(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores (N, classes) divided by the temperature: their softmax is calibrated."""
        return np.asarray(scores, np.float64) / self.temperature

    def known(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability that each image is no stranger, were half of all strangers: (N,)."""
        return _logistic(features.astype(np.float64) @ self.weight + self.bias)

    def confidence(
        self, probabilities: NDArray[np.float64], known: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What answers are rejected by: the winning probability, and 0 for what is unknown."""
        return np.where(known < self.least_known, 0.0, probabilities.max(axis=1))

    def threshold(self, error_rate: float) -> float:
        """The confidence that an answer needs for no more than so many to be wrong.

        Parameters
        ----------
        error_rate : float, 0 … 1
            Wanted among the answers that are left, on images like the held-out ones.

        Raises
        ------
        InputError
            When it is no such fraction, or fewer than the held-out images can show, or when there
            were no such images.
        """
        if not 0 <= error_rate <= 1:
            raise InputError(f"a rate of errors is a fraction from 0 to 1, got {error_rate}")
        if not len(self.rejection):
            raise InputError(
                "these weights learnt from every image they had, so that none says how often they "
                "are wrong; take weights that were trained with a validation part"
            )
        enough = np.flatnonzero(self.rejection[:, 2] <= error_rate)
        if not len(enough):
            least = float(self.rejection[:, 2].min())
            raise InputError(
                f"the held-out images reach an error of {least:.4f} at best, not {error_rate}"
            )
        return float(self.rejection[enough[0], 0])

    def to_dict(self) -> dict[str, float]:
        """What is no array, as plain JSON values."""
        return {name: getattr(self, name) for name in _NUMBERS}

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What is no number, by names that no weight has."""
        return {_PREFIX + name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def of(cls, numbers: Any, arrays: dict[str, NDArray[Any]]) -> "Trust":
        """What `to_dict` and `arrays` gave; its arrays are taken out of `arrays`.

        Raises
        ------
        InputError
            When it is anything else.
        """
        own = {key: arrays.pop(key) for key in [*arrays] if key.startswith(_PREFIX)}
        if set(own) != {_PREFIX + name for name in _ARRAYS} or any(
            array.dtype != np.float32 for array in own.values()
        ):
            raise InputError(f"trust needs {' and '.join(_ARRAYS)} as float32, got {sorted(own)}")
        if not isinstance(numbers, dict) or set(numbers) != set(_NUMBERS):
            raise InputError(f"trust needs {', '.join(_NUMBERS)}")
        if any(type(value) is not float for value in numbers.values()):
            raise InputError(f"{', '.join(_NUMBERS)} of trust must be numbers")
        values: dict[str, Any] = numbers | {name: own[_PREFIX + name] for name in _ARRAYS}
        return cls(**values)


def features_of(activations: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """What `Trust.known` takes: (N, 604), the outputs of `FEATURE_LAYERS` side by side."""
    layers = [activations[name] for name in FEATURE_LAYERS]
    return np.concatenate([layer.reshape(len(layer), -1) for layer in layers], axis=1)


def learn_trust(model: Model, preprocessing: Preprocessing, splits: Splits) -> Trust:
    """How far to believe a network that was trained on a data set.

    Parameters
    ----------
    model : Model
    preprocessing : Preprocessing
        What was done to the images it learnt from.
    splits : Splits
        Its training part is what is known, with digits drawn where classes are named after them;
        strangers are drawn; thresholds come from the validation part.

    Returns
    -------
    trust : Trust

    Raises
    ------
    DataError
        When there is no validation part.
    """
    from lenet.data.drawn.strangers import draw_known, draw_strangers

    train, held_out = splits.train.images, splits.validation
    if not len(held_out):
        raise DataError(f"{splits.name} has no validation part: hold one out")
    chosen = np.random.default_rng(_SEED).permutation(len(train))[:N_EXAMPLES]
    size = max(len(chosen), N_EXAMPLES // 8)
    drawn = draw_known(size // 2, splits.class_names, _SEED)
    network = NumpyNetwork(model)

    def ask(ink: NDArray[np.uint8], *more: str) -> dict[str, NDArray[np.float32]]:
        return layers_of(network, ink, preprocessing, (*FEATURE_LAYERS, *more))

    layers = ask(held_out.images, "output")
    return fit_trust(
        features_of(ask(np.concatenate([train[np.sort(chosen)], drawn]))),
        features_of(ask(draw_strangers(size, splits.class_names, _SEED))),
        features_of(layers),
        layers["output"],
        held_out.labels,
    )


def fit_trust(
    known: NDArray[np.float32],
    strangers: NDArray[np.float32],
    held_out: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> Trust:
    """Learn from examples how far to believe a network.

    Parameters
    ----------
    known, strangers : (N, 604) float32
        Features of what the network learnt from, and of what is none of it.
    held_out : (N, 604) float32
        Features of images that it did not learn from.
    scores : (N, classes) float32
        Of the held-out images.
    labels : (N,) int64
        Theirs.

    Returns
    -------
    trust : Trust
    """
    weight, bias = fit_known(known, strangers)
    temperature = fit_temperature(scores, labels)
    probabilities = softmax(scores.astype(np.float64) / temperature)
    winning = probabilities.max(axis=1)
    right = scores.argmax(axis=1) == labels
    how_known = _logistic(held_out.astype(np.float64) @ weight + bias)
    # Where nothing is right, nothing right can be doubted.
    judged = right if right.any() else ~right
    trust = Trust(
        temperature=temperature,
        weight=weight,
        bias=bias,
        least_known=float(np.quantile(how_known[judged], UNKNOWN_SHARE)),
        least_probability=min(SURE, float(np.quantile(winning[judged], UNSURE_SHARE))),
        rejection=np.zeros((1, 3), np.float32),
    )
    curve = rejection_curve(trust.confidence(probabilities, how_known), right)
    return replace(trust, rejection=curve)


def rejection_curve(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], rows: int = MAX_ROWS
) -> NDArray[np.float32]:
    """What is left wrong when the least confident answers are rejected, and one more.

    The one more keeps a few images from promising that none will ever be wrong.

    Parameters
    ----------
    confidences : (N,) float, 0 … 1
    right : (N,) bool
    rows : int
        At most.

    Returns
    -------
    curve : (K, 3) float32
        A confidence, the share of answers with less, and the share of wrong ones among the others,
        were one more of them wrong.
        All three are monotonic: a row is where fewer are wrong than in all rows before it.

    References
    ----------
    Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks".
    """
    order = np.argsort(confidences, kind="stable")
    levels, first = np.unique(confidences[order].astype(np.float32), return_index=True)
    n = len(right)
    wrong_from = np.cumsum(~right[order][::-1])[::-1]  # among this one and all more confident
    errors = (wrong_from[first] + 1) / (n - first + 1)
    better = errors < np.minimum.accumulate(np.concatenate([[np.inf], errors[:-1]]))
    curve = np.stack([levels, first / n, errors], axis=1)[better].astype(np.float32)
    curve[0, 0] = 0  # before anything is rejected
    chosen = np.unique(np.linspace(0, len(curve) - 1, rows).round().astype(int))
    return np.asarray(curve[chosen])


def errors_by_rejection(
    confidences: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[tuple[float, float], ...]:
    """What is wrong among the answers that are left, for each of `REJECTED` shares.

    Parameters
    ----------
    confidences : (N,) float, 0 … 1
    right : (N,) bool

    Returns
    -------
    errors : tuple of (share rejected, share of the others that is wrong)
    """
    wrong = ~right[np.argsort(confidences, kind="stable")]
    return tuple((share, float(wrong[int(share * len(wrong)) :].mean())) for share in REJECTED)


def fit_known(
    known: NDArray[np.float32], strangers: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """A plane between the features of what is known and those of strangers.

    Logistic regression with a small ridge, by Newton's method. Each side counts as much as the
    other, however many examples it has.

    Returns
    -------
    weight : (features,) float32
    bias : float
    """
    x = np.concatenate([known, strangers]).astype(np.float64)
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    x = np.hstack([(x - mean) / deviation, np.ones((len(x), 1))])
    truth = np.arange(len(x)) < len(known)
    share = np.where(truth, 0.5 / len(known), 0.5 / len(strangers))
    ridge = np.full(x.shape[1], _RIDGE)
    ridge[-1] = 1e-9
    plane = np.zeros(x.shape[1])
    for _ in range(_NEWTON_STEPS):
        p = _logistic(x @ plane)
        slope = x.T @ (share * (p - truth)) + ridge * plane
        curvature = (x * (share * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        plane -= step
        if np.abs(step).max() < 1e-3:
            break
    weight = (plane[:-1] / deviation).astype(np.float32)
    return weight, float(plane[-1] - mean @ weight)


def fit_temperature(scores: ArrayLike, labels: ArrayLike) -> float:
    """The temperature at which the labels surprise least, had there been one image more: a riddle.

    The riddle's label could be any. Without it, a network that is right on all the images would
    have to be sure beyond all measure.

    References
    ----------
    Guo et al. 2017, "On Calibration of Modern Neural Networks", Sec. 4.2.
    """
    scores = np.asarray(scores, np.float64)

    def surprise(logarithm: float) -> float:
        cooled = scores / np.exp(logarithm)
        classes = range(scores.shape[1])
        riddle = np.mean([cross_entropies(cooled, np.full(len(cooled), k)).mean() for k in classes])
        return float(cross_entropies(cooled, labels).sum() + riddle)

    low, high = np.log(_TEMPERATURES)
    section = (np.sqrt(5) - 1) / 2  # golden: the function has one valley
    while high - low > 1e-3:
        left, right = high - section * (high - low), low + section * (high - low)
        low, high = (low, right) if surprise(left) <= surprise(right) else (left, high)
    return float(np.exp((low + high) / 2))


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 + np.tanh(x / 2)) / 2)
