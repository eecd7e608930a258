"""evaluation.py against scikit-learn's metrics and against counting by hand."""

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from lenet.errors import InputError, ShapeError
from lenet.evaluation import (
    calibrate,
    count_errors,
    cross_entropies,
    error_rate,
    evaluate,
    softmax,
    wilson_interval,
)

NAMES = ("zero", "one", "two", "three")


def random_case(n, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, classes)).astype(np.float32), rng.integers(classes, size=n)


@pytest.mark.parametrize("n", [1, 2, 17, 1000, 1003])
def test_agrees_with_scikit_learn(n):
    scores, labels = random_case(n, seed=n)
    result = evaluate(scores, labels, NAMES)
    predictions = scores.argmax(1)
    everything = {"labels": range(4), "zero_division": np.nan}
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predictions, **everything
    )
    assert_array_equal(
        result.confusion, metrics.confusion_matrix(labels, predictions, labels=range(4))
    )
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert_allclose([c.precision for c in result.per_class], precision)
    assert_allclose([c.recall for c in result.per_class], recall)
    assert_allclose([c.f1 for c in result.per_class], f1)
    assert_array_equal([c.support for c in result.per_class], support)
    assert [c.name for c in result.per_class] == list(NAMES)
    assert result.loss == pytest.approx(
        metrics.log_loss(labels, softmax(scores), labels=range(4)), rel=1e-12
    )


@pytest.mark.parametrize("n", [1, 63, 64, 65, 129])
def test_every_image_is_counted_once(n):
    scores, labels = random_case(n)
    result = evaluate(scores, labels, NAMES)
    assert result.n_images == n
    assert result.n_errors == int((scores.argmax(1) != labels).sum())
    assert count_errors(scores, labels) == result.n_errors
    assert error_rate(scores, labels) == result.n_errors / n
    assert result.accuracy == (scores.argmax(1) == labels).mean()
    assert sum(b.count for b in result.calibration.bins) == n
    assert sum(c.support for c in result.per_class) == n
    assert sum(pair.count for pair in result.most_confused) == result.n_errors


@pytest.mark.parametrize(("right", "n"), [(90, 100), (1, 3), (0, 10), (10, 10), (1, 1), (7, 9000)])
def test_the_interval_ends_where_the_share_seen_is_just_not_surprising(right, n):
    # Wilson's definition: the shares p whose distance from right / n is 1.96 of their own errors.
    for bound in wilson_interval(right, n):
        surprise = abs(right / n - bound) / math.sqrt(bound * (1 - bound) / n or 1)
        assert surprise == pytest.approx(1.959964) or bound == right / n


def test_the_interval_is_that_of_the_textbook():
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_one_image_says_little_and_none_says_nothing():
    result = evaluate([[1.0, 0.0]], [0], ("a", "b"))
    assert result.accuracy == 1
    assert result.interval == pytest.approx((0.2065, 1.0), abs=5e-5)
    assert all(math.isnan(bound) for bound in wilson_interval(0, 0))


def test_most_confused_pairs_come_most_frequent_first():
    truth = [0, 0, 0, 1, 1, 2, 2, 2]
    taken = [1, 1, 0, 0, 1, 1, 1, 1]
    result = evaluate(np.eye(3)[taken], truth, ("a", "b", "c"))
    found = [(pair.truth, pair.prediction, pair.count) for pair in result.most_confused]
    assert found == [("c", "b", 3), ("a", "b", 2), ("b", "a", 1)]


def test_a_class_without_images_or_predictions_has_no_shares_and_no_warning():
    result = evaluate(np.eye(3)[[0, 0]], [0, 0], ("a", "b", "c"))
    empty = result.per_class[2]
    assert np.isnan([empty.precision, empty.recall, empty.f1]).all()
    assert empty.support == 0
    assert result.to_dict()["per_class"][2] == {
        "name": "c", "precision": None, "recall": None, "f1": None, "support": 0,
    }  # fmt: skip
    assert result.to_dict()["calibration"]["bins"][0]["accuracy"] is None
    json.dumps(result.to_dict(), allow_nan=False)
    assert result.n_errors == 0
    assert result.most_confused == ()


def test_the_first_of_equal_scores_wins():
    assert evaluate([[1.0, 1.0]], [0], ("a", "b")).n_errors == 0
    assert evaluate([[1.0, 1.0]], [1], ("a", "b")).n_errors == 1


def test_a_perfectly_calibrated_network_has_no_calibration_error():
    confidences = np.repeat([0.75, 0.95], [400, 2000])
    right = np.concatenate([np.arange(400) < 300, np.arange(2000) < 1900])
    assert calibrate(confidences, right).error == pytest.approx(0, abs=1e-12)


def test_calibration_error_weighs_bins_by_their_counts():
    # 30 images say 0.55 and are right half the time, 10 say 1.0 and are never right.
    confidences = np.repeat([0.55, 1.0], [30, 10])
    right = np.concatenate([np.arange(30) < 15, np.zeros(10, bool)])
    result = calibrate(confidences, right)
    assert result.error == pytest.approx(0.75 * 0.05 + 0.25 * 1.0)
    assert [b.count for b in result.bins] == [0, 0, 0, 0, 0, 30, 0, 0, 0, 10]
    assert result.bins[9].accuracy == 0
    assert math.isnan(result.bins[0].accuracy)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=8),
    st.floats(-1e3, 1e3),
)
def test_shifting_all_scores_changes_nothing_and_nothing_overflows(scores, shift):
    scores = np.array(scores)
    labels = np.zeros(len(scores), int)
    assert_allclose(softmax(scores).sum(axis=1), 1)
    assert_allclose(softmax(scores + shift), softmax(scores), atol=1e-6)
    assert np.isfinite(cross_entropies(scores, labels)).all()
    assert (cross_entropies(scores, labels) >= 0).all()


def test_the_result_is_frozen():
    with pytest.raises(FrozenInstanceError):
        evaluate(np.eye(2), [0, 1], ("a", "b")).loss = 0.0


@pytest.mark.parametrize(
    ("scores", "labels", "error", "says"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), ShapeError, "at least one image"),
        (np.zeros((3, 2)), [0, 1], ShapeError, r"scores \(3, 2\) and labels \(2,\)"),
        (np.zeros((2, 3)), [0, 1], ShapeError, r"2 class names need scores \(N, 2\)"),
        (np.zeros(2), [0, 1], ShapeError, "scores"),
        (np.array([[0, 1], [np.nan, 0]]), [0, 1], InputError, "1 of 2 images are not finite"),
        (np.zeros((2, 2)), [0, 2], InputError, "labels must be 0 … 1"),
        (np.zeros((2, 2)), [0, -1], InputError, "labels must be 0 … 1"),
        (np.zeros((2, 2)), [0.0, 1.0], InputError, "whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(scores, labels, error, says):
    with pytest.raises(error, match=says):
        evaluate(scores, labels, ("a", "b"))
    for count in (count_errors, error_rate, cross_entropies) if "class names" not in says else ():
        with pytest.raises(error, match=says):
            count(scores, labels)
