"""Rejection, changed pictures and pictures that are no digits, against made-up scores."""

import numpy as np
import pytest

from lenet.data.splits import Split
from lenet.reproduction.scores import error_rates
from lenet.reproduction.studies import (
    CHANGES,
    letters,
    not_a_digit,
    rejection,
    robustness,
    share_rejected,
)

SQUARE = np.zeros((1, 28, 28), np.uint8)
SQUARE[0, 8:20, 8:20] = 200
ONE = Split(SQUARE, np.array([0]))


def test_rejection_by_the_gap():
    # Gaps 1, 2, 3, 4; the first and the third are wrong.
    scores = np.array([[1, 0], [0, 2], [3, 0], [0, 4]], np.float32)
    labels = np.array([1, 1, 1, 1])
    np.testing.assert_allclose(rejection(scores, labels), [1 / 2, 1 / 3, 1 / 2, 0])
    assert share_rejected(scores, labels, 0.4) == 0.25
    assert share_rejected(scores, labels, 0.0) == 0.75
    assert share_rejected(scores, 1 - labels, -1.0) == 1.0


def pictures_of(kind):
    """Size of each change, and what the network then sees."""
    seen = []

    def score(ink):
        seen.append(ink[0].astype(float))
        return np.array([[1.0, 0.0]], np.float32)

    found = robustness(kind, [score], ONE)
    assert all(rates.tolist() == [0.0] for rates in found.values())
    return zip(found, seen, strict=True)


def test_a_scaled_digit_has_the_area_it_should():
    for scale, picture in pictures_of("scale"):
        # Where it is sampled shrunken, and what leaves the frame enlarged: not to the last pixel.
        assert picture.sum() / SQUARE.sum() == pytest.approx(scale**2, rel=0.15)


def test_a_shifted_digit_lies_where_it_should():
    for shift, picture in pictures_of("shift"):
        if abs(shift) <= 8:  # further, part of it leaves the frame
            rows, columns = np.nonzero(picture > 100)
            assert (rows.mean(), columns.mean()) == (13.5 + shift, 13.5)


def test_a_turned_digit_keeps_its_ink():
    for _, picture in pictures_of("rotation"):
        assert picture.sum() == pytest.approx(SQUARE.sum(), rel=0.05)


def test_noise_inverts_so_many_pixels():
    for share, picture in pictures_of("noise"):
        assert (picture != SQUARE[0]).mean() == pytest.approx(share, abs=0.05)


def test_each_kind_of_change_contains_no_change():
    for kind, changes in CHANGES.items():
        unchanged = [ink for size, ink in changes(SQUARE) if size == (kind == "scale")]
        assert len(unchanged) == 1
        np.testing.assert_array_equal(unchanged[0], SQUARE)


def test_a_network_that_has_diverged_has_an_error_rate():
    def nan(ink):
        return np.full((len(ink), 10), np.nan, np.float32)

    four = Split(np.zeros((4, 28, 28), np.uint8), np.array([0, 1, 2, 3]))
    assert error_rates([nan], four).tolist() == [0.75]


def test_a_score_that_knows_and_one_that_does_not():
    def score(ink):
        # Digits here are bright: near their code, and no surer than the others.
        penalty = np.where(ink.mean((1, 2)) > 100, 1.0, 50.0)[:, None]
        return -(penalty + np.array([[0.0, 3.0]])).astype(np.float32)

    digits = np.full((5, 28, 28), 200, np.uint8)
    found = not_a_digit(score, digits, {"dark": np.zeros((4, 28, 28), np.uint8)})
    assert found["dark"].penalty == 1.0
    assert found["dark"].confidence == pytest.approx(0.5)


def test_letters_are_prepared_as_digits_are():
    drawn = letters()
    assert drawn.shape[1:] == (28, 28)
    assert len(drawn) == len(np.unique(drawn.reshape(len(drawn), -1), axis=0)) > 100
    boxes = [np.ptp(np.nonzero(letter)[0]) + 1 for letter in drawn]
    assert max(boxes) <= 22
