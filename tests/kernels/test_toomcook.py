"""Toom–Cook's three matrices, against the definition of a convolution."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

from lenet.kernels.toomcook import C1, C3, ToomCook, apply, apply_transposed
from lenet.networks.sizes import KERNEL_SIZE

KNOWN = {
    "c1": C1,
    "c3": C3,
    "F(2, 5)": ToomCook(2, (Fraction(1), Fraction(3)), zero=True),
}


@pytest.fixture(params=KNOWN.values(), ids=KNOWN)
def at(request):
    return request.param


def test_the_identity_holds_exactly(at):
    for o, t, i in itertools.product(range(at.outputs), range(KERNEL_SIZE), range(at.count)):
        entries = zip(at.A, at.G, at.B, strict=True)
        assert sum(a[o] * g[t] * b[i] for a, g, b in entries) == (i == o + t)


def test_there_are_as_many_products_as_inputs(at):
    assert len(at.A) == len(at.G) == len(at.B) == at.outputs + KERNEL_SIZE - 1
    with pytest.raises(AssertionError, match="as many points"):
        ToomCook(at.outputs + 1, at.pairs, at.zero)


@pytest.mark.parametrize("name", ["A", "G", "B"])
def test_maps_and_their_transposes_are_those_of_the_matrices(at, name):
    matrix = getattr(at, name)
    exact = np.array(matrix, np.float64)
    random = np.random.default_rng(0)
    rows, columns = (random.normal(size=n) for n in exact.shape)
    # The constants are rounded to float32.
    np.testing.assert_allclose(apply(matrix, columns), exact @ columns, rtol=0, atol=3e-6)
    np.testing.assert_allclose(apply_transposed(matrix, rows), exact.T @ rows, rtol=0, atol=3e-6)


class Counted:
    """A value that counts what is done to it."""

    additions = products = 0

    def __add__(self, other):
        Counted.additions += 1
        return Counted()

    __sub__ = __add__

    def __rmul__(self, constant):
        Counted.products += constant != 1
        return Counted()


def test_a_pair_shares_its_halves():
    Counted.additions = Counted.products = 0
    apply(C3.B, [Counted()] * C3.count)
    terms = [sum(c != 0 for c in row) for row in C3.B]
    assert Counted.additions <= 0.6 * (sum(terms) - len(terms))
    assert Counted.products <= 0.5 * sum(terms)
