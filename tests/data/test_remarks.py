"""What makes an accuracy doubtful is said: few pictures, copies, very unequal classes."""

import numpy as np
import pytest

from lenet.data.remarks import remark_on
from lenet.data.splits import Split, Splits

RNG = np.random.default_rng(0)


def split(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split(RNG.integers(0, 256, (len(labels), 28, 28)).astype(np.uint8), labels)


def remarks(train, validation, test):
    return remark_on(Splits("toy", train, validation, test, ("nut", "bolt"), "plain", ""))


def test_a_good_set_needs_no_remark():
    assert remarks(split(20, 20), split(5, 5), split(10, 10)) == ()


def test_few_pictures_are_named():
    (remark,) = remarks(split(30, 5), split(5, 1), split(9, 3))
    assert remark.startswith("1 class has fewer than ten pictures, ")
    assert remark.endswith(": bolt (9).")


@pytest.mark.parametrize(("test", "n"), [((1, 0), "1 image"), ((4, 3), "7 images")])
def test_a_tiny_test_part_is_named(test, n):
    (remark, *_) = remarks(split(20, 20), split(5, 5), split(*test))
    assert remark.startswith(f"The test part has {n}: ")


def test_a_class_without_test_images_is_named():
    (remark, guess) = remarks(split(20, 20), split(5, 5), split(12, 0))
    assert remark == "The test part has no image of: bolt."
    assert guess.startswith("100 % of the test images are 'nut'")


def test_copies_are_counted():
    train, test = split(20, 20), split(10, 10)
    copied = Split(np.concatenate([test.images[3:], train.images[:3]]), test.labels)
    (remark,) = remarks(train, split(5, 5), copied)
    assert remark.startswith("3 test images are also in the training or validation part")


def test_guessing_the_largest_class_is_named():
    (remark,) = remarks(split(90, 10), split(5, 5), split(32, 1))
    assert remark.startswith("97 % of the test images are 'nut': to answer that always is 97 %")
