"""LeNetClassifier is a scikit-learn estimator like any other."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from lenet.errors import InputError
from lenet.estimator import LeNetClassifier


def quick(**parameters) -> LeNetClassifier:
    return LeNetClassifier(**{"epochs": 4, "engine": "torch", "random_state": 0, **parameters})


def _checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional packages that are not installed
        return [
            pytest.param(check, id=f"{check.func.__name__}-{number}")
            for number, (_, check) in enumerate(
                estimator_checks_generator(quick(epochs=12), mark="skip", legacy=True)
            )
        ]


@pytest.mark.parametrize("check", _checks())
def test_what_scikit_learn_asks_of_every_classifier(check):
    check(quick(epochs=12))


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return images, labels


@pytest.fixture(scope="module")
def fitted(digits):
    images, labels = digits
    return quick(epochs=10).fit(images[:1000], labels[:1000])


def test_it_learns_scikit_learns_own_digits(digits, fitted):
    images, labels = digits
    assert fitted.score(images[1000:], labels[1000:]) > 0.9


def test_cross_validation(digits):
    images, labels = digits
    scores = cross_val_score(quick(), images[:400], labels[:400], cv=2)
    assert scores.shape == (2,)
    assert scores.min() > 0.3


def test_grid_search_over_its_parameters_in_a_pipeline(digits):
    images, labels = digits
    grid = {"lenetclassifier__epochs": [1, 3], "lenetclassifier__network": ["modern", "tutorial"]}
    search = GridSearchCV(make_pipeline(MinMaxScaler(), quick()), grid, cv=2)
    search.fit(images[:200], labels[:200])
    assert search.best_params_["lenetclassifier__network"] in ("modern", "tutorial")
    assert len(search.cv_results_["mean_test_score"]) == 4


def test_a_clone_has_the_parameters_and_not_the_weights(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "network_")


def test_a_pickle_predicts_the_same(digits, fitted):
    images, _ = digits
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(images[:50]), fitted.predict_proba(images[:50]))


def test_probabilities_sum_to_one_and_agree_with_predict(digits, fitted):
    images, _ = digits
    probabilities = fitted.predict_proba(images[:100])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert np.array_equal(fitted.classes_[probabilities.argmax(1)], fitted.predict(images[:100]))


def test_the_same_random_state_gives_the_same_model(digits):
    images, labels = digits
    few = images[:200], labels[:200]
    probabilities = [
        quick(epochs=1, random_state=seed).fit(*few).predict_proba(images[:20])
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(probabilities[0], probabilities[2])


def test_flat_square_and_image_shaped_arrays_are_the_same(digits):
    images, labels = digits
    flat = quick(epochs=1).fit(images[:200], labels[:200])
    shaped = quick(epochs=1).fit(images[:200].reshape(-1, 8, 8), labels[:200])
    assert flat.grid_ == shaped.grid_ == (8, 8)
    expected = flat.predict_proba(images[:20])
    assert np.array_equal(shaped.predict_proba(images[:20].reshape(-1, 8, 8)), expected)
    assert np.array_equal(shaped.predict_proba(images[:20]), expected)


def ink_of(values, shape=None) -> np.ndarray:
    """The 28×28 ink that an estimator makes of the first picture."""
    values = np.asarray(values)
    estimator = quick(epochs=1, validation_fraction=0)
    estimator.fit(values, np.arange(len(values)) % 2)
    return estimator._ink(values.reshape(len(values), -1))[0]


def test_values_to_255_are_taken_as_they_are():
    pictures = np.zeros((2, 28, 28), np.uint8)
    pictures[0, 3, 4], pictures[1, 0, 0] = 200, 77
    assert np.array_equal(ink_of(pictures), pictures[0])
    assert np.array_equal(ink_of(pictures.astype(float)), pictures[0])


def test_values_to_one_are_shares_of_full_ink():
    pictures = np.zeros((2, 28, 28))
    pictures[0, 3, 4] = 0.6
    assert ink_of(pictures)[3, 4] == 153


def test_any_other_range_is_stretched():
    pictures = np.full((2, 28, 28), -3.0)
    pictures[0, 3, 4] = 7
    ink = ink_of(pictures)
    assert ink[3, 4] == 255
    assert ink.sum() == 255


def test_small_pictures_are_enlarged_by_whole_pixels_and_centred():
    pictures = np.zeros((2, 8, 8), np.uint8)
    pictures[0, 1, 2] = 255
    expected = np.zeros((28, 28))
    expected[2 + 3 : 2 + 6, 2 + 6 : 2 + 9] = 255
    assert np.array_equal(ink_of(pictures), expected)


def test_large_pictures_are_reduced_by_averaging_with_their_aspect_kept():
    pictures = np.zeros((2, 28, 56), np.uint8)
    pictures[0, :2, :2] = 100, 200
    ink = ink_of(pictures)
    assert ink[7, 0] == 150
    assert ink.sum() == 150


def test_features_that_are_no_square_are_laid_into_one():
    estimator = quick(epochs=1).fit(np.random.default_rng(0).random((30, 5)), np.arange(30) % 2)
    assert estimator.grid_ == (3, 3)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": -1}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"validation_fraction": 1}, "validation_fraction"),
        ({"validation_fraction": "a"}, "validation_fraction"),
        ({"network": "lenet6"}, "lenet6"),
        ({"recipe": "tunde"}, "did you mean 'tuned'"),
        ({"engine": "steam"}, "steam"),
    ],
)
def test_a_parameter_out_of_range_is_named(digits, parameters, named):
    images, labels = digits
    with pytest.raises(InputError, match=named):
        quick(**parameters).fit(images[:50], labels[:50])


def test_no_parameter_is_accepted_and_ignored(digits):
    images, labels = digits
    few = images[:150], labels[:150]
    base = quick(epochs=2).fit(*few).predict_proba(images[:20])
    for change in (
        {"network": "tutorial"},
        {"recipe": "article"},
        {"epochs": 1},
        {"batch_size": 16},
        {"learning_rate": 0.001},
        {"validation_fraction": 0.5},
        {"random_state": 1},
    ):
        changed = quick(**{"epochs": 2, **change}).fit(*few).predict_proba(images[:20])
        assert not np.array_equal(changed, base), change


def test_photographs_as_arrays_are_cropped_to_what_is_on_them():
    rng = np.random.default_rng(0)
    pictures = np.full((40, 90, 120), 235, np.uint8)
    labels = np.arange(40) % 2
    for picture, label in zip(pictures, labels, strict=True):
        top, left = rng.integers(5, 45), rng.integers(5, 70)
        picture[top : top + 40, left : left + (12 if label else 40)] = rng.integers(20, 90)
    moved = np.roll(pictures, (3, 5), axis=(1, 2))
    for preparation, same in (("garment", True), ("plain", False)):
        classifier = LeNetClassifier(preparation=preparation, epochs=2, random_state=0)
        classifier.fit(pictures, labels)
        assert classifier.preprocessing_.preparation == preparation
        here, there = classifier.predict_proba(pictures), classifier.predict_proba(moved)
        assert np.array_equal(here, there) == same
    with pytest.raises(InputError, match="preparation must be one of digit, garment, plain"):
        LeNetClassifier(preparation="auto").fit(pictures, labels)
