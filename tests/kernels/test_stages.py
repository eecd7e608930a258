"""The pieces that the pipelines are made of."""

import numpy as np
import pytest

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

import halide as hl

from lenet.kernels import stages


@pytest.mark.parametrize(
    ("name", "end", "tolerance"),
    [("exp2", 126, 2e-7), ("exp", 8, 6e-7), ("exp", 87, 4e-6), ("tanh", 20, 4e-7)],
)
def test_functions_err_by_no_more_than_they_say(name, end, tolerance):
    z = np.linspace(-end, end, 1_000_001, dtype=np.float32)
    x, given, f = hl.Var("x"), hl.ImageParam(hl.Float(32), 1, "given"), hl.Func("f")
    f[x] = getattr(stages, name)(given[x])
    f.vectorize(x, stages.LANES)
    given.set(hl.Buffer(z))
    ours = np.asarray(f.realize([len(z)])).astype(np.float64)
    exact = getattr(np, name)(z.astype(np.float64))
    assert (np.abs(ours - exact) <= tolerance * np.abs(exact)).all()


@pytest.mark.parametrize("points", stages.POINTS.values(), ids=stages.POINTS)
def test_products_at_points_are_a_convolution_and_its_gradients(points):
    random = np.random.default_rng(0)
    inputs, taps, deltas = (random.normal(size=n) for n in (points.count, 5, points.outputs))
    at_inputs, at_taps, at_deltas = (
        np.array(values)
        for values in (
            points.evaluate_inputs(inputs),
            points.evaluate_taps(taps),
            points.evaluate(deltas),
        )
    )
    assert points.count == points.outputs + len(taps) - 1
    for ours, exact in (
        (
            points.evaluate_transposed(at_inputs * at_taps, points.outputs),
            np.correlate(inputs, taps),
        ),
        (points.evaluate_taps_transposed(at_inputs * at_deltas), np.correlate(inputs, deltas)),
        (points.evaluate_inputs_transposed(at_taps * at_deltas), np.convolve(taps, deltas)),
    ):
        # The coefficients are rounded to float32.
        np.testing.assert_allclose(ours, exact, atol=1e-6)
