"""Distortions are drawn within their limits, and warping is bilinear look-up, pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet.data.distortions import Distortions, warp
from lenet.errors import InputError, ShapeError

RNG = np.random.default_rng(7)
INK = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
PADDED = np.pad(INK, ((0, 0), (2, 2), (2, 2)))
EVERYTHING = Distortions(shift=3, scale=0.3, squeeze=0.2, rotate=0.5, shear=0.4, flip=True)


def repeat(matrix):
    return np.tile(np.array(matrix, dtype=np.float32), (len(INK), 1, 1))


def naive_warp(ink, matrix):
    """One pixel at a time, in double precision."""

    def at(row, column):
        inside = 0 <= row < 28 and 0 <= column < 28
        return float(ink[row, column]) if inside else 0.0

    frame = np.zeros((32, 32))
    for row in range(32):
        for column in range(32):
            x, y = matrix.astype(float) @ (column - 15.5, row - 15.5, 1) + 15.5 - 2
            left, top = math.floor(x), math.floor(y)
            for i, row_share in ((top, 1 - (y - top)), (top + 1, y - top)):
                for j, column_share in ((left, 1 - (x - left)), (left + 1, x - left)):
                    frame[row, column] += row_share * column_share * at(i, j)
    return frame


def test_warp_equals_one_pixel_at_a_time():
    matrices = EVERYTHING.sample(len(INK), np.random.default_rng(3))
    expected = np.stack([naive_warp(i, m) for i, m in zip(INK, matrices, strict=True)])
    assert np.abs(warp(INK, matrices) - expected).max() < 0.01


def test_identity_is_padding_exactly():
    assert np.array_equal(warp(INK, repeat([[1, 0, 0], [0, 1, 0]])), PADDED)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 1), (-3, 2), (2, -2), (40, 0)])
def test_integer_shift_is_exact(right, down):
    expected = np.zeros_like(PADDED)
    for row in range(32):
        for column in range(32):
            if 0 <= row - down < 32 and 0 <= column - right < 32:
                expected[:, row, column] = PADDED[:, row - down, column - right]
    moved = warp(INK, repeat([[1, 0, -right], [0, 1, -down]]))
    assert np.array_equal(moved, expected)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[-1, 0, 0], [0, -1, 0]], PADDED[:, ::-1, ::-1]),
        ([[-1, 0, 0], [0, 1, 0]], PADDED[:, :, ::-1]),
        ([[0, 1, 0], [1, 0, 0]], PADDED.transpose(0, 2, 1)),
        # The pixel at (column, row) comes from (row, -column): a quarter turn.
        ([[0, 1, 0], [-1, 0, 0]], np.rot90(PADDED, axes=(2, 1))),
    ],
    ids=["half turn", "mirror", "transpose", "quarter turn"],
)
def test_turns_and_mirrors_are_exact(matrix, expected):
    assert np.array_equal(warp(INK, repeat(matrix)), expected)


def test_half_a_pixel_is_the_mean_of_two():
    expected = (PADDED[:, :, :-1].astype(float) + PADDED[:, :, 1:]) / 2
    assert np.array_equal(warp(INK, repeat([[1, 0, 0.5], [0, 1, 0]]))[:, :, :-1], expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_values_stay_within_the_ink(seed):
    rng = np.random.default_rng(seed)
    matrices = rng.normal(0, 10.0 ** rng.integers(-2, 5), (len(INK), 2, 3))
    frames = warp(INK, matrices)
    assert frames.shape == (5, 32, 32)
    assert frames.dtype == np.float32
    assert frames.min() >= 0
    assert frames.max() <= 255.001


def test_no_distortion_draws_identities():
    matrices = Distortions().sample(4, np.random.default_rng(0))
    assert matrices.dtype == np.float32
    assert np.array_equal(matrices, np.tile(np.eye(2, 3, dtype=np.float32), (4, 1, 1)))


@pytest.mark.parametrize(
    ("distortions", "measure", "limit"),
    [
        (Distortions(shift=2), lambda m: m[:, 0, 2], 2),
        (Distortions(shift=2), lambda m: m[:, 1, 2], 2),
        (Distortions(scale=0.1), lambda m: 1 / m[:, 0, 0] - 1, 0.1),
        (Distortions(scale=0.1), lambda m: 1 / m[:, 1, 1] - 1, 0.1),
        (Distortions(squeeze=0.2), lambda m: 1 / m[:, 1, 1] - 1, 0.2),
        (Distortions(squeeze=0.2), lambda m: m[:, 0, 0] - 1, 0.2),
        (Distortions(rotate=0.3), lambda m: np.arctan2(m[:, 0, 1], m[:, 0, 0]), 0.3),
        (Distortions(shear=0.4), lambda m: -m[:, 0, 1], 0.4),
    ],
)
def test_draws_fill_their_range_evenly(distortions, measure, limit):
    drawn = measure(distortions.sample(4000, np.random.default_rng(1)))
    assert np.abs(drawn).max() <= limit * 1.0001
    # A uniform draw: mean 0, variance limit² / 3, both ends reached.
    assert abs(drawn.mean()) < 0.05 * limit
    assert drawn.var() == pytest.approx(limit**2 / 3, rel=0.05)
    assert drawn.min() < -0.99 * limit
    assert drawn.max() > 0.99 * limit


def test_a_draw_is_the_inverse_of_mirror_and_stretch_then_shear_then_turn_then_shift():
    matrices = EVERYTHING.sample(100, np.random.default_rng(8))
    limits = (3, 3, 0.3, 0.2, 0.5, 0.4, 1)
    draws = np.random.default_rng(8).uniform(-1, 1, (100, 7)) * limits
    for matrix, (right, down, scale, squeeze, angle, shear, side) in zip(
        matrices, draws, strict=True
    ):
        mirrored, c, s = (-1 if side < 0 else 1), math.cos(angle), math.sin(angle)
        stretch = np.diag([mirrored * (1 + scale) / (1 + squeeze), (1 + scale) * (1 + squeeze)])
        forward = np.array([[c, -s], [s, c]]) @ [[1, shear], [0, 1]] @ stretch
        frame = np.vstack([np.column_stack([forward, [right, down]]), [0, 0, 1]])
        assert matrix == pytest.approx(np.linalg.inv(frame)[:2], abs=1e-5)


def test_squeeze_and_shear_and_turn_keep_the_area():
    matrices = Distortions(squeeze=0.3, rotate=0.5, shear=0.5).sample(100, np.random.default_rng(2))
    assert np.allclose(np.linalg.det(matrices[:, :, :2].astype(float)), 1)


def test_shear_is_horizontal():
    matrices = Distortions(shear=0.5).sample(100, np.random.default_rng(2))
    assert np.allclose(matrices[:, 1], [0, 1, 0])


def test_half_of_the_images_are_mirrored():
    mirrored = Distortions(flip=True).sample(4000, np.random.default_rng(5))[:, 0, 0] < 0
    assert 0.47 < mirrored.mean() < 0.53


def test_the_same_generator_gives_the_same_draws():
    first, second = (EVERYTHING.sample(50, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first, second)


def test_one_limit_does_not_change_the_draws_of_another():
    alone = Distortions(shift=2).sample(50, np.random.default_rng(9))
    with_flip = Distortions(shift=2, flip=True).sample(50, np.random.default_rng(9))
    assert np.array_equal(alone[:, 1], with_flip[:, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift", -1), ("scale", 1), ("squeeze", 1.5), ("rotate", math.nan), ("shear", math.inf)],
)
def test_impossible_limits_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Distortions(**{name: value})


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match=r"5 images need matrices \(5, 2, 3\), got \(4, 2, 3\)"):
        warp(INK, repeat(np.eye(2, 3))[:4])
    with pytest.raises(ShapeError, match="uint8"):
        warp(INK.astype(float), repeat(np.eye(2, 3)))
    for value in (math.nan, math.inf, 1e30):
        with pytest.raises(InputError, match="matrix"):
            warp(INK, repeat([[1, 0, value], [0, 1, 0]]))
    assert warp(INK[:0], np.zeros((0, 2, 3))).shape == (0, 32, 32)


def test_every_image_gets_its_own_matrix_whatever_the_number_of_images():
    ink = RNG.integers(0, 256, (600, 28, 28), dtype=np.uint8)
    matrices = EVERYTHING.sample(600, np.random.default_rng(4))
    together = warp(ink, matrices)
    for i in (0, 127, 128, 255, 256, 511, 512, 599):
        assert np.array_equal(together[i : i + 1], warp(ink[i : i + 1], matrices[i : i + 1]))
