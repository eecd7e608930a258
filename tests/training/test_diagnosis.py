"""What is said of a training: each finding from numbers made for it, and from real trainings."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lenet.engines import select_engine
from lenet.errors import RunError
from lenet.evaluation import evaluate
from lenet.runs import create_run, finish_run
from lenet.training.diagnosis import diagnose
from lenet.training.history import Epoch
from lenet.training.recipes import Recipe, find_recipe

RECIPE = Recipe("any", epochs=20, batch_size=1, learning_rate=0.001)


def part(right, supports=(100,) * 10, sure=3.0, always=None):
    """An evaluation with the share `right` of each class right, the others taken for the next."""
    labels = np.repeat(np.arange(len(supports)), supports)
    place = np.concatenate([np.arange(n) for n in supports])
    wrong = place >= np.round(right * np.array(supports))[labels]
    answers = (labels + wrong) % len(supports) if always is None else np.full(len(labels), always)
    names = tuple("abcdefghij"[: len(supports)])
    return evaluate(sure * np.eye(len(supports))[answers], labels, names)


def going(validation, train=None, losses=None):
    """A history with such accuracies, the losses as far below one."""
    train = validation if train is None else train
    losses = [1 - share for share in validation] if losses is None else losses
    return [
        Epoch(i, 0.001, 1 - t, t, loss, v, 1000.0, float(i))
        for i, (t, v, loss) in enumerate(zip(train, validation, losses, strict=True), 1)
    ]


SETTLED = going([0.5, 0.7, 0.8, 0.9, *[0.95] * 16])


def test_a_good_training_stays_unremarked():
    found = diagnose(SETTLED, RECIPE, {"train": part(0.96), "test": part(0.95)})
    assert (found.name, found.advice, found.learned) == ("fine", "", True)
    assert found.sentence == "Training and validation end together."


@pytest.mark.parametrize("supports", [(100,) * 10, (970, 30), (5, 5), (3, 3, 3, 200)])
def test_always_the_same_answer_is_not_learning_whatever_the_classes_sizes(supports):
    largest = int(np.argmax(supports))
    guessing = part(0, supports, always=largest)
    found = diagnose(SETTLED, RECIPE, {"train": guessing, "test": guessing})
    assert (found.name, found.learned) == ("not-learned", False)
    share = max(supports) / sum(supports)
    assert f"{100 * share:.1f} % of the training images are right" in found.sentence
    assert f"always saying {'abcdefghij'[largest]} gives {100 * share:.1f} %" in found.sentence
    assert "--learning-rate 0.0001 or 0.003" in found.advice


@pytest.mark.parametrize("supports", [(60,) * 10, (6000,) * 10, (9700, 300), (50, 50)])
@pytest.mark.parametrize("seed", range(5))
def test_random_answers_are_not_learning_however_many_there_are(supports, seed):
    labels = np.repeat(np.arange(len(supports)), supports)
    answers = np.random.default_rng(seed).permutation(labels)
    names = tuple("abcdefghij"[: len(supports)])
    result = evaluate(np.eye(len(supports))[answers], labels, names)
    assert not diagnose(SETTLED, RECIPE, {"train": result, "test": result}).learned


def test_a_rare_class_that_is_found_is_learning_though_guessing_is_right_more_often():
    result = part(0.9, (970, 30))
    assert result.accuracy < 0.97
    assert diagnose(SETTLED, RECIPE, {"train": result, "test": result}).learned


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_too_few_images_accuse_nobody(right):
    evaluation = {"train": part(0.95), "test": part(right, (1, 0))}
    assert diagnose(SETTLED, RECIPE, evaluation).learned
    evaluation["train"] = part(1.0, (1, 1))
    assert diagnose(SETTLED, RECIPE, evaluation).learned


def test_training_images_known_by_heart_are_not_learned():
    evaluation = {"train": part(1.0), "validation": part(0.1), "test": part(0.12)}
    found = diagnose(SETTLED, RECIPE, evaluation)
    assert (found.name, found.learned) == ("by-heart", False)
    assert "100.0 % of its training images and guesses on others: 220 of 2,000" in found.sentence


def test_steps_that_are_too_large_are_named_as_the_cause():
    guessing = part(0.1, sure=1e6)
    recipe = replace(RECIPE, learning_rate=100.0)
    found = diagnose(SETTLED, recipe, {"train": guessing, "test": guessing})
    assert not found.learned
    assert "The loss has grown to 900,000." in found.sentence
    assert found.advice == "Try --learning-rate 0.002; it was 100."
    # Without a large loss, a rate that nobody uses is the cause still.
    found = diagnose(SETTLED, recipe, {"train": part(0.1), "test": part(0.1)})
    assert found.advice == "Try --learning-rate 0.002; it was 100."


def test_right_answers_with_a_huge_loss_are_unstable():
    found = diagnose(SETTLED, RECIPE, {"train": part(0.8), "validation": part(0.8, sure=1e4)})
    assert (found.name, found.learned) == ("unstable", True)
    assert "Its validation loss is 2,000, where guessing has 2.3" in found.sentence
    assert found.advice == "Try --learning-rate 0.0001; it was 0.001."


def test_few_steps():
    recipe = replace(RECIPE, batch_size=500, epochs=20)
    found = diagnose(SETTLED, recipe, {"train": part(0.7)})
    assert (found.name, found.learned) == ("few-steps", True)
    assert found.sentence == "The weights were changed in 40 steps only."
    assert "--epochs 50 or more" in found.advice
    assert diagnose(SETTLED, recipe, {"train": part(0.99)}).name == "fine"


def test_a_batch_larger_than_the_set():
    recipe = replace(RECIPE, batch_size=1_000_000, epochs=1)
    history = going([0.1])
    for right, learned in ((0.1, False), (0.4, True)):
        found = diagnose(history, recipe, {"train": part(right)})
        assert found.learned == learned
        assert (
            "A batch of 1,000,000 is more than the 1,000 training images: every epoch is one "
            "step, and there were 1." in found.sentence
        )
        assert "--batch-size 32" in found.advice


def test_overfitting():
    history = going([0.80, 0.88, 0.907], [0.80, 0.90, 0.978], [0.50, 0.30, 0.45])
    found = diagnose(history, RECIPE, {"train": part(0.98), "validation": part(0.9)})
    assert (found.name, found.learned) == ("overfits", True)
    assert found.sentence == (
        "Overfits by 7.1 points: after epoch 2 the validation loss rises from 0.300 to 0.450."
    )
    assert "more pictures" in found.advice


def test_still_improving_at_the_last_epoch():
    rising = [0.5 + i / 50 for i in range(20)]
    found = diagnose(going(rising), RECIPE, {"train": part(0.88)})
    assert (found.name, found.advice) == ("unfinished", "Try --epochs 40.")
    assert "validation gained 8.0 points in the last 4 epochs" in found.sentence
    # One that was stopped early had waited in vain.
    assert diagnose(going(rising), replace(RECIPE, epochs=99), {"train": part(0.9)}).name == "fine"
    # A better accuracy with a worse loss is chance.
    losses = [1 - share for share in rising[:-1]] + [0.5]
    found = diagnose(going(rising, losses=losses), RECIPE, {"train": part(0.88)})
    assert found.name == "fine"


def test_underfitting_at_a_plateau():
    history = going([0.5, 0.6, *[0.7] * 18])
    found = diagnose(history, RECIPE, {"train": part(0.7)})
    assert (found.name, found.learned) == ("underfits", True)
    assert "70.0 % of its own training images" in found.sentence
    assert "--network modern" in found.advice


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (0.97, "Training ends 7.0 points ahead of validation, which does not suffer."),
        (0.85, "Validation ends 5.0 points ahead of training"),
        (0.9, "Training and validation end together."),
    ],
)
def test_the_gap_of_a_good_training_is_told(train, says):
    history = going([0.9] * 20, [train] * 20)
    assert says in diagnose(history, RECIPE, {"train": part(0.95)}).sentence


def test_without_a_validation_part_nothing_is_known_of_overfitting():
    history = going([math.nan] * 3, [0.8, 0.9, 0.95], [math.nan] * 3)
    found = diagnose(history, RECIPE, {"train": part(0.95), "test": part(0.5)})
    assert (found.name, found.learned) == ("unchecked", True)
    assert "No validation part" in found.sentence


@pytest.mark.parametrize(
    ("network", "changes", "name"),
    [
        ("tutorial", {"learning_rate": 100.0, "epochs": 1}, "not-learned"),
        ("modern", {"learning_rate": 100.0, "epochs": 1}, "not-learned"),
        ("tutorial", {"batch_size": 1_000_000, "epochs": 1}, "not-learned"),
        ("tutorial", {"epochs": 1}, "few-steps"),
        ("tutorial", {"epochs": 2}, "unfinished"),
        ("tutorial", {"epochs": 8}, "fine"),
    ],
)
def test_real_trainings(network, changes, name, tmp_path):
    recipe = replace(find_recipe("tuned-small"), name="test", batch_size=24)
    engine = select_engine("torch")
    run = create_run("digits", network, recipe, changes=changes, out=tmp_path, engine=engine)
    with pytest.raises(RunError, match="not finished"):
        run.diagnosis  # noqa: B018
    run = finish_run(run)
    assert run.diagnosis.name == name
    assert run.results["diagnosis"]["name"] == name
    assert run.results["diagnosis"]["learned"] == (name != "not-learned")
