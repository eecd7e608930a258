"""What the paper claims of a trained network beside its error: measured for every seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lenet.data.distortions import warp
from lenet.data.ink import to_ink
from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.data.splits import Split
from lenet.errors import InputError, suggestion
from lenet.evaluation import softmax
from lenet.reproduction.scores import Score, error_rates

ERROR_AFTER_REJECTION = 0.005

# Paper: Sec. III.E. The factors of scale, the shifts in pixels (a digit is 20 high), the angles in
# degrees; the paper's limits are 2, half the height, 30 degrees, and noise in one pixel of ten.
SCALES = (0.4, 0.5, 0.6, 0.71, 0.84, 1.0, 1.19, 1.41, 1.68, 2.0)
SHIFTS = (-10, -8, -6, -4, -2, 0, 2, 4, 6, 8, 10)
ANGLES = (-45, -30, -20, -10, 0, 10, 20, 30, 45)
NOISE = (0.0, 0.02, 0.05, 0.1, 0.2)

# Letters that no one could tell from a digit are no test of whether the network can.
_LETTERS = "ACDEFGHJKLMNPQRTUVWXYabdefhkmnprtuvwxy"
_FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


def rejection(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Error on what is kept against the share rejected, smallest gap rejected first.

    Returns
    -------
    error : (N,) float64
        `error[i]` is the error rate on the rest when i patterns are rejected.

    References
    ----------
    LeCun et al. 1998, Fig. 10: rejection by the difference between the two best outputs.
    """
    best = np.sort(scores, axis=1)
    order = np.argsort(best[:, -1] - best[:, -2], kind="stable")
    wrong = (scores.argmax(1) != labels)[order]
    kept = np.arange(len(labels), 0, -1)
    still_wrong = wrong[::-1].cumsum()[::-1]
    error: NDArray[np.float64] = still_wrong / kept
    return error


def share_rejected(
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    error: float = ERROR_AFTER_REJECTION,
) -> float:
    """The smallest share to reject for so small an error rate on the rest."""
    low_enough = np.flatnonzero(rejection(scores, labels) <= error)
    return float(low_enough[0] / len(labels)) if len(low_enough) else 1.0


def robustness(kind: str, scorers: list[Score], split: Split) -> dict[float, NDArray[np.float64]]:
    """Each network's error rate under one kind of change, by the change's size.

    Parameters
    ----------
    kind : str
        In `CHANGES`.
    scorers : list of Score
    split : Split

    Returns
    -------
    error_rates : dict of (networks,) float64

    References
    ----------
    LeCun et al. 1998, Sec. III.E.
    """
    return {
        float(size): error_rates(scorers, Split(changed, split.labels))
        for size, changed in CHANGES[kind](split.images)
    }


def _scaled(ink: NDArray[np.uint8]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    return ((s, _moved(ink, np.eye(2) / s)) for s in SCALES)


def _shifted(ink: NDArray[np.uint8]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    return ((d, _moved(ink, np.eye(2), down=d)) for d in SHIFTS)


def _rotated(ink: NDArray[np.uint8]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    for angle in ANGLES:
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        yield angle, _moved(ink, np.array([[c, s], [-s, c]]))


def _noisy(ink: NDArray[np.uint8]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Paper: each pixel is inverted with this probability."""
    for p in NOISE:
        inverted = np.random.default_rng(0).random(ink.shape) < p
        yield p, np.where(inverted, FULL_INK - ink, ink).astype(np.uint8)


CHANGES = {"scale": _scaled, "shift": _shifted, "rotation": _rotated, "noise": _noisy}
"""Kind to what yields the size of each change and the changed ink."""

SIZES = {"scale": SCALES, "shift": SHIFTS, "rotation": ANGLES, "noise": NOISE}
"""Kind to the sizes of its changes."""

OTHERS = "others"
"""The study of pictures that are no digits."""

STUDIES = (*CHANGES, OTHERS)
"""What can be measured beside the errors and the rejection, which cost next to nothing."""


def choose_studies(names: Sequence[str]) -> tuple[str, ...]:
    """These studies, each once and in the order of `STUDIES`.

    Raises
    ------
    InputError
        When there is no such study.
    """
    for name in names:
        if name not in STUDIES:
            raise InputError(
                f"there is no study {name!r}; use {', '.join(STUDIES)}{suggestion(name, STUDIES)}"
            )
    return tuple(study for study in STUDIES if study in names)


def _moved(
    ink: NDArray[np.uint8], back: NDArray[np.float64], down: float = 0.0
) -> NDArray[np.uint8]:
    """Each pixel from where the (2, 2) `back` says, then down; what leaves the 28×28 is lost."""
    matrix = np.hstack([back, -back @ [[0.0], [down]]]).astype(np.float32)
    frames = warp(ink, np.broadcast_to(matrix, (len(ink), 2, 3)))
    border = (frames.shape[1] - INK_SIZE) // 2
    inside = frames[:, border:-border, border:-border]
    return np.rint(inside).astype(np.uint8)


@dataclass(frozen=True)
class NotADigit:
    """How well a score tells digits from other pictures.

    Parameters
    ----------
    penalty, confidence : float
        Area under the ROC curve of the nearest code's penalty, and of 1 − the largest softmax
        probability: 0.5 is chance, 1 is perfect.
    """

    penalty: float
    confidence: float


def not_a_digit(
    score: Score, digits: NDArray[np.uint8], others: dict[str, NDArray[np.uint8]]
) -> dict[str, NotADigit]:
    """Both scores of one network, for each kind of other picture."""
    from sklearn.metrics import roc_auc_score

    known = score(digits)
    found = {}
    for kind, ink in others.items():
        scores = np.concatenate([known, score(ink)])
        other = np.repeat([0, 1], [len(known), len(ink)])
        found[kind] = NotADigit(
            penalty=float(roc_auc_score(other, -scores.max(1))),
            confidence=float(roc_auc_score(other, 1 - softmax(scores).max(1))),
        )
    return found


def other_pictures(garments: NDArray[np.uint8] | None) -> dict[str, NDArray[np.uint8]]:
    """Pictures that are no digits: garments if given, letters of fonts, noise, nothing at all."""
    rng = np.random.default_rng(0)
    others = {} if garments is None else {"garments": garments}
    return others | {
        "letters": letters(),
        "noise": rng.integers(0, FULL_INK + 1, (1000, INK_SIZE, INK_SIZE), dtype=np.uint8),
        "blank": np.zeros((1, INK_SIZE, INK_SIZE), np.uint8),
    }


@cache
def letters() -> NDArray[np.uint8]:
    """Letters of the fonts that come with matplotlib, prepared as digits are: (N, 28, 28)."""
    from matplotlib import get_data_path

    drawn = []
    for name in _FONTS:
        font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{name}", 64)
        for letter in _LETTERS:
            picture = Image.new("L", (128, 128), 255)
            ImageDraw.Draw(picture).text((64, 64), letter, fill=0, font=font, anchor="mm")
            drawn.append(to_ink(np.asarray(picture), "digit").ink)
    return np.stack(drawn)
