"""Answers: what the scores of a network say of a picture, how sure that is, and why to doubt it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.data.ink import Doubt, Ink, Note
from lenet.errors import InputError
from lenet.evaluation import softmax
from lenet.trust import FEATURE_LAYERS, UNSURE, Trust, features_of


@dataclass(frozen=True)
class Prediction:
    """What a picture shows.

    Parameters
    ----------
    label : str or None
        The most probable class's name; None when nothing was found in the picture, or the answer
        was rejected.
    probability : float
        The most probable class's probability, 0…1; 0 when nothing was found.
    top : tuple of (str, float)
        The best classes and their probabilities, the most probable first; empty when nothing was
        found.
    doubts : tuple of Doubt
        Reasons to mistrust it; empty when there is none.
    known : float or None
        The probability, 0…1, that the picture shows a thing of a kind that the weights learnt
        from; None when nothing was found, or the weights do not know what they know.
    notes : tuple of Note
        How the picture was read: what was done to it that a person might not expect.
    """

    label: str | None
    probability: float
    top: tuple[tuple[str, float], ...]
    doubts: tuple[Doubt, ...]
    known: float | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, eq=False)
class Explanation:
    """A prediction with everything that led to it.

    Parameters
    ----------
    grey : (H, W) uint8, black = 0, white = 255
        The picture as it was read.
    ink : Ink
        What the network saw, and where in `grey` it was found.
    activations : dict of str to float32 array
        Each layer's output by its name, `c1` (6, 28, 28) … `f6` (84,), `output` (classes,).
    probabilities : (classes,) float32
    class_names : tuple of str
    prediction : Prediction
    codes : (classes, 84) float32 or None
        What each class's output of the 1998 network compares F6 with.
    """

    grey: NDArray[np.uint8]
    ink: Ink
    activations: dict[str, NDArray[np.float32]]
    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]
    prediction: Prediction
    codes: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says of one image: (classes,) probabilities, and how known it is."""

    probabilities: NDArray[np.float32]
    known: float | None


@dataclass(frozen=True, eq=False)
class Answers:
    """What the network says of images, one `Answer` after another.

    Parameters
    ----------
    scores : (N, classes) float64
        As `Judge.cool` gives them: their softmax are the probabilities.
    confidences : (N,) float64, 0 … 1
        What the least sure are rejected by.
    known : (N,) float64, or None
        As `Answer` has it.
    """

    scores: NDArray[np.float64]
    confidences: NDArray[np.float64]
    known: NDArray[np.float64] | None

    def __iter__(self) -> Iterator[Answer]:
        rows = softmax(self.scores).astype(np.float32)
        known = [None] * len(rows) if self.known is None else self.known.tolist()
        return map(Answer, rows, known)


class Judge:
    """Turns scores into predictions, as far as they may be believed.

    Parameters
    ----------
    class_names : tuple of str
    trust : Trust or None
        What is known of the weights.
    reject : float, optional
        The wanted rate of errors: see `lenet.Classifier`.

    Raises
    ------
    InputError
        When so few errors cannot be promised.
    """

    def __init__(
        self, class_names: tuple[str, ...], trust: Trust | None, reject: float | None
    ) -> None:
        self.class_names, self.trust = class_names, trust
        self.least_probability = UNSURE if trust is None else trust.least_probability
        self.least_confidence = 0.0
        if reject is not None:
            if trust is None:
                raise InputError(
                    "these weights cannot tell how often they are wrong: train some with a "
                    "validation part, or leave the rejection out"
                )
            self.least_confidence = trust.threshold(reject)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose outputs `answers` needs."""
        return () if self.trust is None else FEATURE_LAYERS

    def answers(
        self, scores: NDArray[np.float32], layers: Mapping[str, NDArray[np.float32]]
    ) -> Answers:
        """What scores (N, classes) say, given the outputs of `layers`.

        Raises InputError when they are not finite.
        """
        if not np.isfinite(scores).all():
            raise InputError("these weights give scores that are not finite: take others")
        cooled = self.cool(scores)
        probabilities = softmax(cooled)
        if self.trust is None:
            return Answers(cooled, probabilities.max(axis=1), None)
        known = self.trust.known(features_of(layers))
        return Answers(cooled, self.trust.confidence(probabilities, known), known)

    def cool(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores whose softmax is as often right as it says, where the weights know how often."""
        return scores.astype(np.float64) if self.trust is None else self.trust.cool(scores)

    def prediction(self, answer: Answer, ink: Ink | None, top: int) -> Prediction:
        """An answer in words, with the doubts there are of the picture and those of the answer."""
        doubts, notes = ((), ()) if ink is None else (ink.doubts, ink.notes)
        if any(doubt.name == "nothing-there" for doubt in doubts):
            return Prediction(None, 0.0, (), doubts, notes=notes)
        shares, known = answer.probabilities, answer.known
        order = np.argsort(-shares, kind="stable")
        best = tuple((self.class_names[i], float(shares[i])) for i in order[:top])
        label, probability = self.class_names[order[0]], float(shares[order[0]])
        doubts = (*doubts, *self._doubts(shares, order, known))
        rejected = self._rejection(label, 0.0 if self._is_unknown(known) else probability)
        if rejected is not None:
            return Prediction(None, probability, best, (*doubts, rejected), known, notes)
        return Prediction(label, probability, best, doubts, known, notes)

    def _is_unknown(self, known: float | None) -> bool:
        return self.trust is not None and known is not None and known < self.trust.least_known

    def _doubts(
        self, shares: NDArray[np.float32], order: NDArray[np.intp], known: float | None
    ) -> list[Doubt]:
        doubts = []
        if self._is_unknown(known):
            sentence = "It does not look like anything that these weights learnt from."
            doubts.append(Doubt("unknown", sentence))
        first, second = order[:2]
        if shares[first] < self.least_probability:
            sentence = (
                f"It could as well be {self.class_names[second]}: "
                f"{shares[second]:.0%} against {shares[first]:.0%}."
            )
            doubts.append(Doubt("low-probability", sentence))
        return doubts

    def _rejection(self, label: str, confidence: float) -> Doubt | None:
        if confidence >= self.least_confidence:
            return None
        sentence = (
            f"Rejected: {label} has {confidence:.1%}, the wanted rate of errors needs "
            f"{self.least_confidence:.1%}."
        )
        return Doubt("rejected", sentence)
