"""A network's temperature, what it knows and what it rejects, against numbers known beforehand."""

import numpy as np
import pytest

from lenet.checkpoints import load_checkpoint
from lenet.data.datasets import load_dataset
from lenet.data.digits import load_digits
from lenet.data.drawn.strangers import draw_strangers
from lenet.engines.in_numpy import NumpyNetwork, layers_of
from lenet.errors import DataError, InputError, ShapeError
from lenet.evaluation import softmax
from lenet.trust import FEATURE_LAYERS as LAYERS
from lenet.trust import (
    MAX_ROWS,
    N_FEATURES,
    SURE,
    Trust,
    errors_by_rejection,
    features_of,
    fit_known,
    fit_temperature,
    fit_trust,
    learn_trust,
    rejection_curve,
)

RNG = np.random.default_rng(0)


def honest(n, factor):
    """Scores that are `factor` times too sure, and labels that are as they ought to be."""
    scores = RNG.normal(0, 2, (n, 10))
    labels = np.array([RNG.choice(10, p=row) for row in softmax(scores)])
    return factor * scores, labels


def trust(**changes):
    values = {
        "temperature": 2.0,
        "weight": np.zeros(N_FEATURES, np.float32),
        "bias": 0.0,
        "least_known": 0.5,
        "least_probability": 0.9,
        "rejection": np.array([[0, 0, 0.1], [0.6, 0.2, 0.05]], np.float32),
    }
    return Trust(**(values | changes))


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_a_network_too_sure_by_a_factor_has_it_for_temperature(factor):
    assert fit_temperature(*honest(4000, factor)) == pytest.approx(factor, rel=0.06)


def test_a_network_that_is_always_right_is_not_sure_beyond_measure():
    labels = np.arange(100) % 10
    scores = 5.0 * np.eye(10)[labels]
    cooled = softmax(scores / fit_temperature(scores, labels)).max(1)
    # One riddle more: about 100 of 101 right, as Laplace would have it.
    assert 0.98 < cooled.mean() < 0.9999


def test_the_plane_of_what_is_known_is_that_of_linear_discriminants():
    mix = np.eye(6) + RNG.normal(0, 0.2, (6, 6))
    towards = RNG.normal(0, 0.5, 6)
    known = (RNG.normal(0, 1, (20000, 6)) + towards) @ mix
    strangers = RNG.normal(0, 1, (20000, 6)) @ mix
    weight, bias = fit_known(known.astype(np.float32), strangers.astype(np.float32))
    # Gaussians of one covariance Σ: logistic regression is Σ⁻¹ (difference of the means).
    expected = np.linalg.solve(mix.T @ mix, towards @ mix)
    cosine = weight @ expected / np.linalg.norm(weight) / np.linalg.norm(expected)
    assert cosine > 0.99
    # In the middle between the means it cannot say.
    assert abs(weight @ (towards @ mix) / 2 + bias) < 0.1


def test_each_side_counts_as_much_as_the_other_however_many_there_are():
    known, strangers = RNG.normal(1, 1, (300, 4)), RNG.normal(-1, 1, (300, 4))
    evenly = fit_known(known, strangers)
    unevenly = fit_known(known, np.repeat(strangers, 20, axis=0))
    at = np.zeros(4)
    assert abs((at @ evenly[0] + evenly[1]) - (at @ unevenly[0] + unevenly[1])) < 0.3


def test_a_rejection_curve_is_what_counting_gives():
    confidences = RNG.random(200).round(2)
    right = RNG.random(200) < confidences
    curve = rejection_curve(confidences, right)
    for least, rejected, error in curve:
        left = confidences.astype(np.float32) >= least
        assert rejected == pytest.approx(1 - left.mean(), abs=1e-6)
        assert error == pytest.approx(((~right[left]).sum() + 1) / (left.sum() + 1), abs=1e-6)
    assert (np.diff(curve[:, 0]) > 0).all()
    assert (np.diff(curve[:, 2]) < 0).all()
    # No threshold does better than the last row's.
    lefts = [right[confidences >= c] for c in np.unique(confidences)]
    best = min(((~left).sum() + 1) / (len(left) + 1) for left in lefts)
    assert curve[-1, 2] == pytest.approx(best)


def test_a_rejection_curve_is_bounded_and_begins_with_all_answers():
    confidences = np.linspace(0.5, 1, 5000)
    curve = rejection_curve(confidences, np.arange(5000) % 7 > 0)
    assert len(curve) <= MAX_ROWS
    assert curve[0] == pytest.approx([0, 0, 716 / 5001])
    flawless = rejection_curve(confidences, np.ones(5000, bool))
    assert flawless.ravel() == pytest.approx([0, 0, 1 / 5001])


def test_errors_by_rejection_are_those_of_the_answers_left():
    confidences = RNG.permutation(1000) / 1000
    right = RNG.random(1000) < confidences
    for share, error in errors_by_rejection(confidences, right):
        assert error == pytest.approx(1 - right[confidences >= share].mean())


def test_the_wanted_error_is_had_with_the_fewest_rejected():
    one = trust()
    assert one.threshold(0.2) == 0
    assert one.threshold(0.1) == 0
    assert one.threshold(0.07) == pytest.approx(0.6)
    with pytest.raises(InputError, match=r"0\.0500 at best, not 0\.01"):
        one.threshold(0.01)
    with pytest.raises(InputError, match="a fraction from 0 to 1, got 5"):
        one.threshold(5)


def test_weights_that_learnt_from_every_image_promise_no_error():
    with pytest.raises(InputError, match="learnt from every image"):
        trust(rejection=np.zeros((0, 3), np.float32)).threshold(0.1)


def test_what_is_unknown_is_rejected_first():
    one = trust()
    probabilities = np.array([[0.99, 0.01], [0.6, 0.4]])
    assert one.confidence(probabilities, np.array([0.4, 0.5])).tolist() == [0, 0.6]


def test_trust_is_fitted_so_that_right_answers_are_rarely_doubted():
    labels = np.arange(2000) % 10
    scores = (6.0 * np.eye(10)[labels] + RNG.normal(0, 2, (2000, 10))).astype(np.float32)
    known, strangers, held_out = (
        RNG.normal(mean, 1, (size, N_FEATURES)).astype(np.float32)
        for mean, size in ((0.1, 3000), (-0.1, 3000), (0.1, 2000))
    )
    fitted = fit_trust(known, strangers, held_out, scores, labels)
    right = scores.argmax(1) == labels
    how_known = fitted.known(held_out)
    assert (how_known[right] < fitted.least_known).mean() == pytest.approx(0.01, abs=0.002)
    winning = softmax(fitted.cool(scores)).max(1)
    assert (winning[right] < fitted.least_probability).mean() <= 0.021
    assert fitted.least_probability <= SURE
    assert fitted.known(strangers).mean() < 0.1 < 0.9 < how_known.mean()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"weight": np.zeros(600, np.float32)}, ShapeError),
        ({"rejection": np.zeros((2, 2), np.float32)}, ShapeError),
        ({"rejection": np.zeros(3, np.float32)}, ShapeError),
        ({"rejection": np.array([[0, 0, 1.5]], np.float32)}, InputError),
        ({"bias": float("nan")}, InputError),
        ({"weight": np.full(N_FEATURES, np.inf, np.float32)}, InputError),
        ({"temperature": 0.0}, InputError),
        ({"least_known": -0.1}, InputError),
    ],
)
def test_trust_that_cannot_be_is_refused(changes, kind):
    with pytest.raises(kind):
        trust(**changes)


def test_features_are_the_last_hidden_layers_side_by_side():
    layers = {"s4": (16, 5, 5), "c5": (120, 1, 1), "f6": (84,), "output": (10,)}
    activations = {
        name: np.full((2, *shape), i, np.float32) for i, (name, shape) in enumerate(layers.items())
    }
    features = features_of(activations)
    assert features.shape == (2, N_FEATURES)
    assert np.array_equal(features[0], np.repeat([0, 1, 2], [400, 120, 84]))


# scikit-learn's digits are 8×8: to weights that never saw them, every eighth is too blurred.
@pytest.mark.parametrize(("name", "most_doubted"), [("digits", 0.05), ("mnist", 0.2)])
def test_pretrained_weights_tell_digits_of_other_writers_from_strangers(name, most_doubted):
    weights = load_checkpoint(name)
    network, trust = NumpyNetwork(weights.model), weights.trust

    def known(ink):
        return trust.known(features_of(layers_of(network, ink, weights.preprocessing, LAYERS)))

    digits = known(load_digits().images[::6])
    strangers = known(draw_strangers(300, "0123456789", 12345))
    assert (digits < trust.least_known).mean() < most_doubted
    assert (strangers < trust.least_known).mean() > 0.8
    assert np.mean(digits[:, None] > strangers) > 0.95


def test_a_network_without_held_out_images_cannot_be_judged():
    splits = load_dataset("digits", validation=0)
    weights = load_checkpoint("digits")
    with pytest.raises(DataError, match="no validation part"):
        learn_trust(weights.model, weights.preprocessing, splits)


def test_trust_is_learnt_again_as_it_is_in_the_file():
    weights = load_checkpoint("digits")
    again = learn_trust(weights.model, weights.preprocessing, load_dataset("digits"))
    assert again.to_dict() == pytest.approx(weights.trust.to_dict(), rel=0.01)
    assert np.abs(again.rejection - weights.trust.rejection).max() < 0.01
