"""The 1998 layers against loops that know nothing of torch."""

import numpy as np
import pytest
import torch

from lenet.errors import InputError
from lenet.networks.layers import (
    TABLE_I,
    RadialBasisOutput,
    ScaledTanh,
    Subsampling,
    TableConvolution,
)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_squashing_maps_one_to_one():
    f = ScaledTanh()
    ends = f(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    # 1.7159 is rounded to four places, so f(1) = 1 to the same.
    assert ends.tolist() == pytest.approx([-1, 0, 1], abs=1e-5)
    assert f(torch.tensor(100.0)).item() == pytest.approx(1.7159)


def test_squashing_bends_most_at_one():
    # App. A: the second derivative of f is largest at ±1, where the targets are.
    points = torch.linspace(0, 3, 3001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ScaledTanh()(points).sum(), points, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), points)
    assert points[bend.abs().argmax()].item() == pytest.approx(1, abs=0.02)


def test_table_one_has_sixty_links_in_three_kinds_of_rows():
    assert sum(len(row) for row in TABLE_I) == 60
    assert [len(row) for row in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    assert all(list(row) == sorted(set(row)) for row in TABLE_I)
    seen = [sum(map_ in row for row in TABLE_I) for map_ in range(6)]
    assert seen == [10] * 6
    # Six contiguous triples, six contiguous fours, three with a gap, all six.
    contiguous = [{(first + i) % 6 for i in range(3)} for first in range(6)]
    assert [set(row) in contiguous for row in TABLE_I[:6]] == [True] * 6
    fours = [{(first + i) % 6 for i in range(4)} for first in range(6)]
    assert sum(set(row) in fours for row in TABLE_I[6:15]) == 6
    assert len({frozenset(row) for row in TABLE_I}) == 16


@pytest.mark.parametrize("mode", ["added", "averaged"])
def test_subsampling_against_a_loop(mode):
    layer = Subsampling(3, mode)
    inputs, coefficient, bias = drawn(2, 3, 6, 4), drawn(3, seed=1), drawn(3, seed=2)
    with torch.no_grad():
        layer.coefficient.copy_(torch.from_numpy(coefficient))
        layer.bias.copy_(torch.from_numpy(bias))
    expected = np.zeros((2, 3, 3, 2))
    for n, m, row, column in np.ndindex(expected.shape):
        total = 0.0
        for i in range(2):
            for j in range(2):
                total += float(inputs[n, m, 2 * row + i, 2 * column + j])
        if mode == "averaged":
            total /= 4
        expected[n, m, row, column] = total * coefficient[m] + bias[m]
    np.testing.assert_allclose(layer(torch.from_numpy(inputs)).detach(), expected, atol=1e-6)


def test_the_two_readings_of_subsampling_differ_by_four_in_the_coefficient():
    added, averaged = Subsampling(3, "added"), Subsampling(3, "averaged")
    with torch.no_grad():
        added.coefficient.copy_(torch.tensor([0.5, -1.0, 2.0]))
        added.bias.fill_(0.25)
        averaged.coefficient.copy_(4 * added.coefficient)
        averaged.bias.copy_(added.bias)
    inputs = torch.from_numpy(drawn(1, 3, 4, 4))
    torch.testing.assert_close(added(inputs), averaged(inputs))


def test_subsampling_reads_only_two_ways():
    with pytest.raises(InputError, match="median"):
        Subsampling(3, "median")


def test_table_convolution_against_a_loop():
    layer = TableConvolution()
    inputs, weight, bias = drawn(2, 6, 7, 6), drawn(60, 5, 5, seed=1), drawn(16, seed=2)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    expected = np.zeros((2, 16, 3, 2))
    for n, row, column in np.ndindex(2, 3, 2):
        link = 0
        for out, seen in enumerate(TABLE_I):
            total = float(bias[out])
            for into in seen:
                patch = inputs[n, into, row : row + 5, column : column + 5]
                total += float((patch.astype(np.float64) * weight[link]).sum())
                link += 1
            expected[n, out, row, column] = total
    np.testing.assert_allclose(layer(torch.from_numpy(inputs)).detach(), expected, atol=1e-5)


def test_table_convolution_has_no_parameter_without_a_link():
    layer = TableConvolution()
    assert layer.weight.shape == (60, 5, 5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    linked = layer.dense_weight()[:, :, 0, 0] != 0
    expected = torch.tensor([[into in row for into in range(6)] for row in TABLE_I])
    assert torch.equal(linked, expected)


@pytest.mark.parametrize("trainable", [False, True])
def test_radial_basis_output_against_a_loop(trainable):
    centers, inputs = np.sign(drawn(4, 9)), drawn(3, 9, seed=1)
    layer = RadialBasisOutput(torch.from_numpy(centers), trainable)
    expected = np.zeros((3, 4))
    for n, i in np.ndindex(expected.shape):
        for j in range(9):
            expected[n, i] -= (float(inputs[n, j]) - float(centers[i, j])) ** 2
    np.testing.assert_allclose(layer(torch.from_numpy(inputs)).detach(), expected, atol=1e-5)
    assert sum(p.numel() for p in layer.parameters()) == (36 if trainable else 0)
    assert "centers" in layer.state_dict()


def test_a_penalty_near_its_code_does_not_cancel():
    center = torch.ones(1, 84)
    near = center + 1e-4
    penalty = -RadialBasisOutput(center)(near).item()
    assert penalty == pytest.approx(84e-8, rel=1e-2)
