"""Pieces of one digit belong together; two digits are two."""

import numpy as np
import pytest
from drawings import SEVEN, TWO, drawing

from lenet.data.objects import one_object


def ink(points, at=(60, 40)):
    return np.asarray(drawing((320, 200), points, pen=12, at=at, extent=110)) < 128


def test_one_piece_is_taken_as_it_is():
    mask = ink(TWO)
    assert one_object(mask)[0] is mask


@pytest.mark.parametrize("gap", [10, 25, 60])
def test_two_digits_are_two_however_near(gap):
    first = ink(TWO)
    start = np.flatnonzero(first.any(0))[-1] + gap - 60 + 6
    both, several = one_object(first | ink(((0, 0), (0, 1)), (60 + start, 40)))
    assert several
    assert np.array_equal(both, first)


@pytest.mark.parametrize("height", [50, 100])
def test_a_stroke_of_an_open_four_may_be_farther_away_than_another_digit(height):
    mask = np.zeros((200, 200), bool)
    mask[40:150, 120:130] = True
    mask[50 : 50 + height, 80:90] = True  # by more than a quarter of the digit's height
    whole, several = one_object(mask)
    assert several == (height == 100)
    assert np.array_equal(whole, mask) == (height == 50)


def test_a_digit_cut_by_thin_lines_is_one():
    mask = ink(TWO)
    mask[::25] = False
    mask[:, ::25] = False
    whole, several = one_object(mask)
    assert not several
    assert whole.sum() > 0.95 * mask.sum()


def test_segments_of_a_display_are_one_digit():
    mask = np.zeros((300, 200), bool)
    for top, left, bottom, right in ((40, 62, 60, 138), (142, 62, 162, 138), (244, 62, 264, 138)):
        mask[top:bottom, left:right] = True  # the lying ones
    mask[68:134, 40:60] = mask[68:134, 140:160] = True
    mask[170:236, 140:160] = True  # a 9
    whole, several = one_object(mask)
    assert not several
    assert np.array_equal(whole, mask)


def test_a_bar_apart_belongs_to_the_digit_and_dirt_does_not():
    mask = ink(SEVEN)
    mask[20:30, 80:130] = True
    dirty = mask.copy()
    dirty[180:184, 250:254] = True
    whole, several = one_object(dirty)
    assert not several
    assert np.array_equal(whole, mask)
