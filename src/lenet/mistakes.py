"""The wrong answers one by one, the worst first: which image, what it is, what was said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.data.splits import Split
from lenet.evaluation import cross_entropies, softmax


@dataclass(frozen=True)
class Mistake:
    """An image that was given a wrong label.

    Parameters
    ----------
    image : int
        Its place in its part, from 0.
    file : str or None
        The picture's file, where the part knows it.
    truth : str
        The class it is of.
    answer : str
        The class that was said.
    probability : float
        That was given to the answer, 0 … 1.
    truth_probability : float
        That was given to the truth.
    """

    image: int
    file: str | None
    truth: str
    answer: str
    probability: float
    truth_probability: float


def list_mistakes(
    part: Split, scores: NDArray[np.floating[Any]], class_names: Sequence[str]
) -> tuple[Mistake, ...]:
    """Every wrong answer, the largest loss first: where the truth was held for the least probable.

    Parameters
    ----------
    part : Split
    scores : (N, classes) float, larger is better
    class_names : sequence of str
        By label.

    Returns
    -------
    mistakes : tuple of Mistake

    Raises
    ------
    ShapeError, InputError
        As `lenet.evaluation.evaluate`.
    """
    answers = scores.argmax(axis=1)
    loss = cross_entropies(scores, part.labels)
    wrong = np.flatnonzero(answers != part.labels)
    worst = wrong[np.argsort(-loss[wrong], kind="stable")]
    rows = zip(worst, part.labels[worst], answers[worst], softmax(scores[worst]), strict=True)
    return tuple(
        Mistake(
            image=int(place),
            file=part.files[place] if part.files is not None else None,
            truth=class_names[truth],
            answer=class_names[answer],
            probability=float(sure[answer]),
            truth_probability=float(sure[truth]),
        )
        for place, truth, answer, sure in rows
    )
