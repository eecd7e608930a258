"""Digits are read whatever is drawn around them, and two are doubted: a few of tests/stress.py."""

import pytest

from lenet.classifier import Classifier
from stress import examine, pictures


@pytest.fixture(scope="module")
def classifier():
    return Classifier.load("mnist")


@pytest.mark.parametrize(
    "case",
    ["box-4", "desk-half-90", "padded-round", "tight-bold-2", "graph-2-140", "white-grid-30"],
)
def test_what_is_around_a_digit_does_not_matter(case, classifier, mnist):
    shown = pictures(case, mnist.test.images, mnist.test.labels, 6)
    assert examine(classifier, shown)["n_right"] >= 5


def test_two_digits_are_doubted(classifier, mnist):
    shown = pictures("pair-20", mnist.test.images, mnist.test.labels, 6)
    assert examine(classifier, shown)["n_doubted"] >= 5
