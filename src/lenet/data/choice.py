"""Which preparation suits pictures: cropped to the object where that is safe and better."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.data.ink import Ink
from lenet.data.layouts.source import Part
from lenet.data.preprocessing import PREPARATIONS, Preparation
from lenet.data.reading import prepare_pictures
from lenet.errors import PictureError

SAMPLE = 400
"""Pictures that are looked at; they need a second or two, and the rest would say the same."""

_RELIABLE = 0.9  # of the pictures have one object that is found without a doubt
_FILLED = 2 / 3  # of a picture's side: a digit of MNIST takes 20 of 28 pixels, and is not to crop
_DOUBTS = {"nothing-there", "several-objects", "touching-edge"}
_FOLDS = 5
_RIDGE = 0.01
_CROPS: tuple[Preparation, ...] = ("garment", "digit")  # the first is kept when they are equal


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Parameters
    ----------
    preparation : {"digit", "garment", "plain"}
    reason : str
        One sentence for people.
    """

    preparation: Preparation
    reason: str


def choose_preparation(part: Part, places: NDArray[np.intp]) -> Choice:
    """Crop to the object where one is found in nearly all pictures and it helps to tell them apart.

    How well the classes are told apart is measured on pictures held out in turn, by kernel ridge
    regression on the 28×28 ink: a second instead of the minutes that three trainings would take.
    Nothing is drawn at random, so the same pictures always give the same choice.

    Parameters
    ----------
    part : Part
    places : (n,) int
        Which of its pictures may be looked at: those to learn from, never those to test with. One
        that cannot be read is left out.

    Returns
    -------
    choice : Choice
    """
    places = places[_spread(len(places), SAMPLE)]
    found = [
        (inks, label)
        for inks, label in zip(
            prepare_pictures([part.pictures[i] for i in places], PREPARATIONS),
            part.labels[places],
            strict=True,
        )
        if not isinstance(inks, PictureError)
    ]
    n = len(found)
    if not n:
        return Choice("plain", "The whole picture is used, for none could be read to try a crop.")
    labels = np.array([label for _, label in found])
    ways = {name: [inks[i] for inks, _ in found] for i, name in enumerate(PREPARATIONS)}
    whole = ways["plain"]
    clear = {name: sum(map(_is_clear, ways[name])) for name in _CROPS}
    reliable = [name for name in _CROPS if clear[name] >= _RELIABLE * n]
    if not reliable:
        why = f"one object that stands out was found in only {max(clear.values())} of {n} pictures"
        return Choice("plain", f"The whole picture is used, for {why}.")
    loose = [name for name in reliable if _filled(ways[name], whole) < _FILLED]
    if not loose:
        return Choice("plain", "The whole picture is used, for objects fill it already.")
    right = {name: _count_right(ways[name], labels) for name in ("plain", *loose)}
    best = max(loose, key=lambda name: right[name])
    if right[best] < right["plain"]:
        counts = f"names {right['plain']} of {n} right, and {right[best]} of them cropped"
        return Choice("plain", f"The whole picture is used, for a quick comparison {counts}.")
    return Choice(
        best,
        f"Pictures are cropped to the object (preparation {best}): it was found in {clear[best]} "
        f"of {n} pictures, and a quick comparison names {right[best]} of them right, "
        f"{right['plain']} when the whole picture is used.",
    )


def _spread(n_pictures: int, limit: int) -> NDArray[np.intp]:
    """Places of at most `limit` pictures, evenly: of those in class order each class its share."""
    return np.linspace(0, n_pictures - 1, min(n_pictures, limit)).round().astype(np.intp)


def _is_clear(ink: Ink) -> bool:
    return ink.box is not None and not _DOUBTS & {doubt.name for doubt in ink.doubts}


def _filled(inks: Sequence[Ink], whole: Sequence[Ink]) -> float:
    """Median share that an object takes of its picture's height or width, whichever is larger."""
    boxes = np.array(
        [(ink.box, full.box) for ink, full in zip(inks, whole, strict=True) if ink.box]
    )
    sizes = boxes[..., 2:] - boxes[..., :2]  # (N, object and picture, height and width)
    return float(np.median((sizes[:, 0] / sizes[:, 1]).max(axis=1)))


def _count_right(inks: Sequence[Ink], labels: NDArray[np.int64]) -> int:
    """How many are given their label by kernel ridge regression on the others, a fold at a time.

    References
    ----------
    Saunders, Gammerman and Vovk 1998, Ridge regression learning algorithm in dual variables.
    """
    x = np.stack([ink.ink for ink in inks]).reshape(len(inks), -1) / 255.0
    squares = (x * x).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)  # (N, N), squared
    kernel = np.exp(-2 * distances / max(float(np.median(distances)), 1e-9))
    wanted = np.eye(int(labels.max()) + 1)[labels]
    wanted -= wanted.mean(axis=0)
    fold = np.empty(len(labels), int)  # each class is spread over all folds
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        fold[of_class] = np.arange(len(of_class)) % _FOLDS
    right = 0
    for each in range(_FOLDS):
        out = fold == each
        among = kernel[np.ix_(~out, ~out)] + _RIDGE * np.eye(int(np.count_nonzero(~out)))
        scores = kernel[np.ix_(out, ~out)] @ np.linalg.solve(among, wanted[~out])
        right += int((scores.argmax(axis=1) == labels[out]).sum())
    return right
