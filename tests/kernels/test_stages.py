"""The pieces that the pipelines are made of."""

import numpy as np
import pytest

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

import halide as hl

from lenet.kernels import stages


@pytest.mark.parametrize(
    ("name", "end", "tolerance"), [("exp", 8, 6e-7), ("exp", 87, 4e-6), ("tanh", 20, 4e-7)]
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
