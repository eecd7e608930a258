"""Toom–Cook's three matrices, against the definition of a convolution."""

import numpy as np
import pytest

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

from lenet.kernels.toomcook import C1, C3, apply, apply_transposed


@pytest.mark.parametrize("at", [C1, C3], ids=["c1", "c3"])
def test_products_are_a_convolution_and_its_gradients(at):
    random = np.random.default_rng(0)
    inputs, taps, deltas = (random.normal(size=n) for n in (at.count, 5, at.outputs))
    of_inputs, of_taps, of_deltas = (
        np.array(apply(matrix, values))
        for matrix, values in ((at.B, inputs), (at.G, taps), (at.A, deltas))
    )
    for ours, exact in (
        (apply_transposed(at.A, of_inputs * of_taps), np.correlate(inputs, taps)),
        (apply_transposed(at.G, of_inputs * of_deltas), np.correlate(inputs, deltas)),
        (apply_transposed(at.B, of_taps * of_deltas), np.convolve(taps, deltas)),
    ):
        # The coefficients are rounded to float32.
        np.testing.assert_allclose(ours, exact, atol=1e-6)
