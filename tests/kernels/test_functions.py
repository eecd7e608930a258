"""Elementary functions against torch in float64, and what the comparisons do to NaN."""

import numpy as np
import pytest
import torch

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

import halide as hl

from lenet.kernels import functions
from lenet.kernels.layout import LANES


def computed(function, *arguments):
    """`function` over float32 arrays, in vectors."""
    x, f = hl.Var("x"), hl.Func("f")
    given = [hl.ImageParam(hl.Float(32), 1, f"given_{i}") for i in range(len(arguments))]
    f[x] = function(*(array[x] for array in given))
    f.vectorize(x, LANES)
    for array, values in zip(given, arguments, strict=True):
        array.set(hl.Buffer(np.asarray(values, np.float32)))
    return np.array(f.realize([len(arguments[0])]))


@pytest.mark.parametrize(
    ("name", "end", "tolerance"),
    [
        ("exp2", 126, 2e-7),
        ("exp", 8, 6e-7),
        ("exp", 87, 4e-6),
        ("tanh", 20, 4e-7),
        ("erf", 6, 4e-7),
    ],
)
def test_functions_err_by_no_more_than_they_say(name, end, tolerance):
    z = np.linspace(-end, end, 1_000_001, dtype=np.float32)
    ours = computed(getattr(functions, name), z).astype(np.float64)
    exact = np.asarray(getattr(torch, name)(torch.from_numpy(z.astype(np.float64))))
    assert (np.abs(ours - exact) <= tolerance * np.abs(exact)).all()


NAN = np.float32(np.nan)
LINE = np.array([NAN, -np.inf, -2, -0.0, 0.5, 3, np.inf] * 8, np.float32)


def test_cuts_propagate_nan():
    np.testing.assert_array_equal(
        computed(lambda z: functions.at_least(z, 0), LINE), np.maximum(LINE, 0)
    )
    np.testing.assert_array_equal(
        computed(lambda z: functions.clamp(z, -1, 2), LINE), np.clip(LINE, -1, 2)
    )


def test_the_larger_of_two_is_nan_when_one_is():
    other = np.roll(LINE, 3)
    np.testing.assert_array_equal(computed(functions.larger, LINE, other), np.maximum(LINE, other))


def test_nan_is_known_by_its_bits():
    said = computed(lambda z: hl.select(functions.is_nan(z), hl.f32(1), hl.f32(0)), LINE)
    np.testing.assert_array_equal(said, np.isnan(LINE))


def test_second_derivatives_take_the_square():
    np.testing.assert_array_equal(computed(lambda z: functions.raised(z, 1), LINE), LINE)
    np.testing.assert_array_equal(computed(lambda z: functions.raised(z, 2), LINE), LINE * LINE)
