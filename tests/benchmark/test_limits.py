"""The limits by times that were given."""

import pytest

from lenet.benchmark.limits import Probes, measure_limits


def test_the_fastest_step_counts():
    limits = Probes(64).limits({"product": [2e-3, 1e-3], "copy": [4e-3, 8e-3]})
    assert limits.product_gflops == pytest.approx(2 * 64**3 / 1e-3 / 1e9)
    # Sixteen matrices of float32, each byte read and written.
    assert limits.copy_gb_per_second == pytest.approx(2 * 16 * 64**2 * 4 / 4e-3 / 1e9)


def test_both_are_measured():
    limits = measure_limits(size=64, turns=2)
    assert limits.product_gflops > 0
    assert limits.copy_gb_per_second > 0
