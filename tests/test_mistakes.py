"""mistakes.py: every wrong answer, the worst first, with what was said of it."""

import numpy as np
import pytest

from lenet.data.splits import Split
from lenet.mistakes import Mistake, list_mistakes

SCORES = np.log([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.01, 0.99]])
LABELS = np.array([0, 0, 0, 1])


def part(files=None):
    return Split(np.zeros((4, 28, 28), np.uint8), LABELS, files)


def test_the_largest_loss_comes_first():
    first, second = list_mistakes(part(("a", "b", "c", "d")), SCORES, ("cat", "dog"))
    probabilities = {
        "probability": pytest.approx(0.8),
        "truth_probability": pytest.approx(0.2),
    }
    assert first == Mistake(1, "b", "cat", "dog", **probabilities)
    assert (second.image, second.file) == (2, "c")


def test_images_that_are_no_files_have_a_place_alone():
    assert [(m.image, m.file) for m in list_mistakes(part(), SCORES, ("cat", "dog"))] == [
        (1, None),
        (2, None),
    ]


def test_there_may_be_none():
    assert list_mistakes(part(), np.eye(2)[LABELS], ("cat", "dog")) == ()
