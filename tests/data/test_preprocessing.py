"""Ink becomes network input as the paper says, or as the training images say."""

import re

import numpy as np
import pytest
import torch

from lenet.data.preprocessing import PAPER_1998, Preprocessing, check_ink
from lenet.errors import InputError, ShapeError

INK = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)


def test_the_papers_values_for_paper_and_ink():
    ink = np.zeros((1, 28, 28), np.uint8)
    ink[0, 0, 0] = 255
    images = PAPER_1998.apply(ink)
    assert images.shape == (1, 1, 32, 32)
    assert images.dtype == np.float32
    assert images[0, 0, 2, 2] == pytest.approx(1.175)
    assert images.min() == pytest.approx(-0.1)
    assert (images == np.float32(-0.1)).sum() == 32 * 32 - 1


def test_images_are_padded_never_stretched():
    images = Preprocessing("plain").apply(INK)[:, 0]
    assert np.array_equal(np.rint(images[:, 2:30, 2:30] * 255), INK)
    border = np.ones((32, 32), bool)
    border[2:30, 2:30] = False
    assert not images[:, border].any()


def test_standardized_training_images_have_mean_0_and_variance_1():
    images = Preprocessing.standardized("digit", INK).apply(INK).astype(np.float64)
    assert images.mean() == pytest.approx(0, abs=1e-5)
    assert images.std() == pytest.approx(1, abs=1e-5)


def test_standardizing_does_not_depend_on_the_order():
    shuffled = INK[np.random.default_rng(1).permutation(len(INK))]
    assert Preprocessing.standardized("digit", INK) == Preprocessing.standardized("digit", shuffled)


def test_standardizing_blank_images_changes_nothing():
    assert Preprocessing.standardized("digit", np.zeros_like(INK)) == Preprocessing("digit")


def test_the_values_survive_the_dictionary():
    preprocessing = Preprocessing.standardized("garment", INK)
    assert Preprocessing(**preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize("ink", [INK, INK[:0], INK[::2], torch.from_numpy(INK)])
def test_ink_is_an_array_or_a_tensor(ink):
    check_ink(ink)


NO_INK = [INK[0], INK[:, :27], INK.astype(np.float32), INK[:, None], INK.astype(np.int8)]


@pytest.mark.parametrize("no_ink", [*NO_INK, *map(torch.from_numpy, NO_INK)])
def test_anything_else_is_named(no_ink):
    kind = str(no_ink.dtype).removeprefix("torch.")
    got = re.escape(f"got {tuple(no_ink.shape)} {kind}; ask again")
    with pytest.raises(ShapeError, match=rf"ink must be \(N, 28, 28\) uint8, {got}"):
        check_ink(no_ink, "ask again")


@pytest.mark.parametrize("no_ink", NO_INK)
def test_nothing_else_is_scaled_or_measured(no_ink):
    with pytest.raises(ShapeError, match="ink must be"):
        PAPER_1998.apply(no_ink)
    with pytest.raises(ShapeError, match="ink must be"):
        Preprocessing.standardized("digit", no_ink)


@pytest.mark.parametrize(
    "values",
    [
        {"preparation": "letter"},
        {"preparation": "digit", "scale": 0.0},
        {"preparation": "digit", "scale": -1.0},
        {"preparation": "digit", "scale": float("nan")},
        {"preparation": "digit", "offset": float("inf")},
    ],
)
def test_impossible_values_are_refused(values):
    with pytest.raises(InputError):
        Preprocessing(**values)
