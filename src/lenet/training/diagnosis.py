"""What the numbers of a finished training say: whether it learned, what went wrong, what to try."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.evaluation import Evaluation
from lenet.training.history import GAP, Epoch, find_gap, overfits
from lenet.training.recipes import Recipe

_SURE = 2.33
"""Standard errors above guessing that guesses reach once in a hundred times."""

_LIFT = 1.1
"""Guessing with this much luck on top is guessing still, however many images confirm it."""

_HUGE = 10
"""A loss this many times that of guessing comes from steps that were too large."""

_FEW_STEPS = 100
_KNOWN = 0.95
"""Training images recognised as often as this were seen often enough."""

_LATE = 0.2
"""The share of the epochs whose progress tells whether more of them would help."""

_PROGRESS = 0.01
"""More accuracy gained in the late epochs than this is progress."""

_LOW = 0.8
"""Training images recognised less often than this leave something to be learned."""


@dataclass(frozen=True)
class Diagnosis:
    """What a training's numbers say.

    Parameters
    ----------
    name : str
        ``not-learned``, ``by-heart``, ``unstable``, ``few-steps``, ``overfits``, ``unfinished``,
        ``underfits``, ``unchecked`` (no validation part), or ``fine``.
    sentence : str
        What was seen, with its numbers.
    advice : str
        What to try, by the command's options; empty when nothing is wrong.
    learned : bool
        False when the network answers as if it had not seen the pictures.
    """

    name: str
    sentence: str
    advice: str = ""
    learned: bool = True


def diagnose(
    history: Sequence[Epoch], recipe: Recipe, evaluation: Mapping[str, Evaluation]
) -> Diagnosis:
    """What a finished training's numbers say; the gravest finding alone.

    Parameters
    ----------
    history : sequence of Epoch
        At least one.
    recipe : Recipe
        What it was trained by.
    evaluation : mapping of str to Evaluation
        Of the parts there are, by the weights that were kept; ``train`` is one of them.

    Returns
    -------
    diagnosis : Diagnosis
    """
    train = evaluation["train"]
    others = [part.confusion for name, part in evaluation.items() if name != "train"]
    if _guesses(train.confusion):
        return _not_learned(history, recipe, train)
    if others and _guesses(np.sum(others, axis=0)):
        return _by_heart(train, np.sum(others, axis=0))
    findings = (
        _unstable(recipe, evaluation),
        _few_steps(history, recipe, train),
        _overfits(history),
        _unfinished(history, recipe),
        _underfits(history, recipe, train),
    )
    return next((found for found in findings if found is not None), _fine(history))


def _guesses(confusion: NDArray[np.int64]) -> bool:
    """Whether the answers could as well be guesses, where better ones would have shown.

    Answers that do not depend on the picture have a mean recall of 1 / classes, whatever they are
    and however unequal the classes: always the largest class, or any other. Each class's recall is
    then a binomial share, and the mean's standard error follows.
    """
    support = confusion.sum(axis=1)
    there = support > 0
    support, answers = support[there], confusion.sum(axis=0)[there] / confusion.sum()
    classes = len(support)
    recalls = confusion[there, np.flatnonzero(there)] / support
    lucky = _LIFT / classes

    def error(shares: NDArray[np.float64]) -> float:
        return float(np.sqrt((shares * (1 - shares) / support).sum())) / classes

    could_tell = 1 - lucky > _SURE * error(support / support.sum())
    return could_tell and bool(recalls.mean() - lucky < _SURE * error(answers))


def _not_learned(history: Sequence[Epoch], recipe: Recipe, train: Evaluation) -> Diagnosis:
    largest = int(train.confusion.sum(axis=1).argmax())
    share = train.confusion[largest].sum() / train.n_images
    seen = (
        f"It has not learned: {_percent(train.accuracy)} of the training images are right, and "
        f"always saying {train.class_names[largest]} gives {_percent(share)}."
    )
    if _is_huge(train):
        seen += f" The loss has grown to {train.loss:,.0f}."
    if _is_huge(train) or recipe.learning_rate > 10 * _usual_rate(recipe):
        return Diagnosis("not-learned", seen, _smaller_rate(recipe), learned=False)
    few = _few_steps(history, recipe, train)
    if few is not None:
        return Diagnosis("not-learned", f"{seen} {few.sentence}", few.advice, learned=False)
    advice = (
        f"Try --learning-rate {recipe.learning_rate / 10:.2g} or {recipe.learning_rate * 3:.2g}, "
        f"and see whether the pictures in each class are the right ones."
    )
    return Diagnosis("not-learned", seen, advice, learned=False)


def _by_heart(train: Evaluation, others: NDArray[np.int64]) -> Diagnosis:
    right, n = int(np.trace(others)), int(others.sum())
    return Diagnosis(
        "by-heart",
        f"It knows {_percent(train.accuracy)} of its training images and guesses on others: "
        f"{right:,} of {n:,} right.",
        "Try more pictures of each class, and see whether the pictures in each are the right ones.",
        learned=False,
    )


def _unstable(recipe: Recipe, evaluation: Mapping[str, Evaluation]) -> Diagnosis | None:
    for part, each in evaluation.items():
        if _is_huge(each):
            return Diagnosis(
                "unstable",
                f"Its {part} loss is {each.loss:,.0f}, where guessing has {_guess(each):.1f}: "
                f"the answers may be right, their probabilities mean nothing.",
                _smaller_rate(recipe),
            )
    return None


def _few_steps(history: Sequence[Epoch], recipe: Recipe, train: Evaluation) -> Diagnosis | None:
    steps = len(history) * math.ceil(train.n_images / recipe.batch_size)
    if steps >= _FEW_STEPS or train.accuracy >= _KNOWN:
        return None
    many = f"{steps} steps" if steps > 1 else "one step"
    sentence = f"The weights were changed in {many} only."
    if recipe.batch_size > train.n_images:
        sentence = (
            f"A batch of {recipe.batch_size:,} is more than the {train.n_images:,} training "
            f"images: every epoch is one step, and there were {len(history)}."
        )
    epochs = math.ceil(recipe.epochs * _FEW_STEPS / steps)
    advice = f"Try --epochs {epochs} or more, or a smaller batch: --batch-size 32."
    return Diagnosis("few-steps", sentence, advice)


def _overfits(history: Sequence[Epoch]) -> Diagnosis | None:
    if not overfits(history):
        return None
    lowest = min(history, key=lambda epoch: epoch.validation_loss)
    return Diagnosis(
        "overfits",
        f"Overfits by {100 * find_gap(history):.1f} points: after epoch {lowest.epoch} the "
        f"validation loss rises from {lowest.validation_loss:.3f} to "
        f"{history[-1].validation_loss:.3f}.",
        "Try more pictures, or --network modern, whose recipes distort the pictures.",
    )


def _unfinished(history: Sequence[Epoch], recipe: Recipe) -> Diagnosis | None:
    late = max(1, round(_LATE * len(history)))
    earlier, last = history[:-late], history[-1]
    if not earlier or len(history) < recipe.epochs:  # one that stopped early had stopped improving
        return None
    gained = last.validation_accuracy - max(epoch.validation_accuracy for epoch in earlier)
    lowest = min(epoch.validation_loss for epoch in history)
    if not (gained > _PROGRESS and last.validation_loss == lowest):
        return None
    return Diagnosis(
        "unfinished",
        f"Still improving at the last epoch: validation gained {100 * gained:.1f} points in the "
        f"last {f'{late} epochs' if late > 1 else 'one'}.",
        f"Try --epochs {2 * recipe.epochs}.",
    )


def _underfits(history: Sequence[Epoch], recipe: Recipe, train: Evaluation) -> Diagnosis | None:
    if len(history) == 1 or train.accuracy >= _LOW or find_gap(history) >= GAP:
        return None
    return Diagnosis(
        "underfits",
        f"Underfits: it has settled with {_percent(train.accuracy)} of its own training images "
        f"right.",
        f"Try --network modern, --learning-rate {recipe.learning_rate * 3:.2g} or "
        f"{recipe.learning_rate / 3:.2g}, or --epochs {3 * recipe.epochs}.",
    )


def _fine(history: Sequence[Epoch]) -> Diagnosis:
    gap = find_gap(history)
    if math.isnan(gap):
        sentence = "No validation part was held out: nothing says whether it overfits."
        return Diagnosis("unchecked", sentence)
    if gap >= GAP:
        sentence = (
            f"Training ends {100 * gap:.1f} points ahead of validation, which does not suffer."
        )
    elif gap <= -GAP:
        sentence = (
            f"Validation ends {-100 * gap:.1f} points ahead of training, "
            f"which is measured while learning and on distorted images, if there are any."
        )
    else:
        sentence = "Training and validation end together."
    return Diagnosis("fine", sentence)


def _smaller_rate(recipe: Recipe) -> str:
    rate = min(recipe.learning_rate / 10, _usual_rate(recipe))
    return f"Try --learning-rate {rate:.2g}; it was {recipe.learning_rate:g}."


def _usual_rate(recipe: Recipe) -> float:
    return 0.05 if recipe.optimizer == "sgd" else 0.002


def _guess(part: Evaluation) -> float:
    """The loss of the same probability for every class."""
    return math.log(len(part.class_names))


def _is_huge(part: Evaluation) -> bool:
    return part.loss > _HUGE * _guess(part)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
