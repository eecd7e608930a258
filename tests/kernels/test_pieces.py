"""Each layer's algorithm by itself, forward and back, against NumPy's definition in float64."""

import numpy as np
import pytest
import torch
from torch.nn import functional

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

import halide as hl

from lenet.kernels.activation import (
    ELU,
    GELU,
    Clamp,
    HardSwish,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
    TanhGELU,
)
from lenet.kernels.architecture import C1_CONNECTIONS, Connections
from lenet.kernels.convolution import convolve, convolve_fast, convolve_one_image
from lenet.kernels.dense import dense_back, dense_layer, radial_basis, radial_basis_back
from lenet.kernels.layout import LANES, b, k, lane, m, x, y
from lenet.kernels.pooling import Average, Max, Trainable, pool, unpool
from lenet.kernels.sums import sum_of_lanes
from lenet.networks.sizes import TABLE_I

TABLE = Connections(TABLE_I)
ACTIVATIONS = {
    "sigmoid": (Sigmoid(), torch.sigmoid),
    "scaled tanh": (Tanh(1.7159, 2 / 3), lambda z: 1.7159 * torch.tanh(2 / 3 * z)),
    "relu": (ReLU(), functional.relu),
    "leaky relu": (LeakyReLU(0.2), lambda z: functional.leaky_relu(z, 0.2)),
    "elu": (ELU(0.7), lambda z: functional.elu(z, 0.7)),
    "hard tanh": (Clamp(low=-0.5, high=2.0), lambda z: functional.hardtanh(z, -0.5, 2.0)),
    "hard sigmoid": (Clamp(1 / 6, 0.5, 0.0), functional.hardsigmoid),
    "hard swish": (HardSwish(), functional.hardswish),
    "silu": (SiLU(), functional.silu),
    "gelu": (GELU(), functional.gelu),
    "gelu by tanh": (TanhGELU(), lambda z: functional.gelu(z, approximate="tanh")),
}


def value(name, z):
    """In float64."""
    return ACTIVATIONS[name][1](torch.from_numpy(np.asarray(z, np.float64))).numpy()


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def given(array, *at):
    """A Func over an array, outermost dimension first, clamped so that no bound can fail."""
    buffer, f = hl.Buffer(np.ascontiguousarray(array)), hl.Func("given")
    index = [hl.clamp(v, 0, n - 1) for v, n in zip(at, reversed(array.shape), strict=True)]
    f[at] = buffer[tuple(index)]
    return f


def maps(array):
    """(block, map, row, column, image) as the kernels index it."""
    return given(array, lane, x, y, m, b)


def units(array):
    """(block, unit, image)."""
    return given(array, lane, k, b)


def weights(**arrays):
    return {
        name.replace("_", "."): hl.Buffer(np.ascontiguousarray(array))
        for name, array in arrays.items()
    }


def realized(f, *shape):
    """The Func's values, outermost dimension first."""
    return np.array(f.realize([*reversed(shape)]))


def close(ours, exact, tolerance=3e-6):
    np.testing.assert_allclose(ours, exact, rtol=0, atol=tolerance * max(1, np.abs(exact).max()))


def convolved(source, weight, bias, connections):
    """The weighted sums, link by link: (block, map, row, column, image)."""
    blocks, _, height, width, images = source.shape
    sums = np.zeros((blocks, connections.outputs, height - 4, width - 4, images))
    sums += bias[:, None, None, None]
    for link, (out, into) in enumerate(connections.links):
        for row in range(5):
            for column in range(5):
                part = source[:, into, row : row + height - 4, column : column + width - 4]
                sums[:, out] += float(weight[link, row, column]) * part
    return sums


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_derivative(name):
    activation, exact = ACTIVATIONS[name]
    z = np.linspace(-9, 9, 998, dtype=np.float32)  # of even number: no bend is met
    buffer, i = hl.Buffer(z), hl.Var("i")
    f, g = hl.Func("value"), hl.Func("derivative")
    f[i] = activation.value(buffer[i])
    g[i] = activation.derivative(f[i] if activation.is_monotonic else buffer[i])
    at = torch.from_numpy(z.astype(np.float64)).requires_grad_()
    exact(at).sum().backward()
    close(np.array(f.realize([len(z)])), value(name, z))
    close(np.array(g.realize([len(z)])), at.grad.numpy())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_propagates_nan(name):
    f, i = hl.Func("value"), hl.Var("i")
    buffer = hl.Buffer(np.full(4, np.nan, np.float32))
    f[i] = ACTIVATIONS[name][0].value(buffer[i])
    assert np.isnan(np.array(f.realize([4]))).all()


CONVOLVED = ["sigmoid", "relu", "gelu"]  # a dear one, a cheap one, one that is not monotonic


@pytest.mark.parametrize("activation", CONVOLVED)
@pytest.mark.parametrize(
    ("form", "connections", "name"),
    [
        (convolve, C1_CONNECTIONS, "c1"),
        (convolve, TABLE, "c3"),
        (convolve, Connections.dense(16, 6), "c3"),
        (convolve_fast, C1_CONNECTIONS, "c1"),
        (convolve_fast, TABLE, "c3"),
        (convolve_fast, Connections.dense(16, 6), "c3"),
        (convolve_one_image, TABLE, "c3"),
    ],
)
def test_a_convolution_sees_what_its_links_say(form, connections, name, activation):
    function, _ = ACTIVATIONS[activation]
    images, size = (1 if form is convolve_one_image else 2), 14
    source = drawn(0, 1, connections.inputs, size, size, images)
    weight, bias = drawn(1, len(connections.links), 5, 5) / 8, drawn(2, connections.outputs)
    arrays = weights(**{f"{name}_weight": weight, f"{name}_bias": bias})
    layer = form(name, maps(source), arrays, connections, function)
    if form is convolve_fast:
        layer.inputs.compute_root()  # it is unrolled over the points wherever it is computed
    # The columns that Toom–Cook computes together, at most those that there are.
    width = 8 if name == "c1" else 10
    ours = realized(layer.output, 1, connections.outputs, 10, width, images)
    sums = convolved(source.astype(np.float64), weight, bias, connections)
    close(ours, value(activation, sums)[..., :width, :], tolerance=1e-5)


POOLINGS = {
    "average": (Average(), lambda w, c, d: w.mean((-1, -2)), 0.25),
    "max": (Max(), lambda w, c, d: w.max((-1, -2)), None),
    "added": (Trainable(1.0), lambda w, c, d: c * w.sum((-1, -2)) + d, 1.0),
    "averaged": (Trainable(0.25), lambda w, c, d: c * w.mean((-1, -2)) + d, 0.25),
}


def windows(array):
    """(block, map, row, column, image) → (…, image, 2, 2)."""
    blocks, n, height, width, images = array.shape
    apart = array.reshape(blocks, n, height // 2, 2, width // 2, 2, images)
    return apart.transpose(0, 1, 2, 4, 6, 3, 5)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling_and_the_way_back_through_it(name):
    pooling, pooled_by, share = POOLINGS[name]
    squash, _ = ACTIVATIONS["scaled tanh"]
    source = np.tanh(drawn(3, 1, 6, 6, 8, 3))
    coefficient, bias = drawn(4, 6), drawn(5, 6)
    arrays = weights(s2_coefficient=coefficient, s2_bias=bias)
    c, d = (v[:, None, None, None].astype(np.float64) for v in (coefficient, bias))
    pooled = pooled_by(windows(source.astype(np.float64)), c, d)

    f = pool("s2", maps(source), pooling, arrays, squash)
    close(realized(f, *pooled.shape), value("scaled tanh", pooled))

    gradient, back = drawn(6, *pooled.shape), hl.Func("back")
    back[lane, x, y, m, b] = unpool(
        maps(gradient), maps(source), pooling, arrays["s2.coefficient"], squash
    )
    spread = gradient.repeat(2, 2).repeat(2, 3).astype(np.float64)
    if share is None:
        largest = pooled.repeat(2, 2).repeat(2, 3)
        exact = np.where(source == largest.astype(np.float32), spread, 0)
    else:
        exact = spread * share * (c if pooling.trainable else 1)
    slope = 2 / 3 / 1.7159 * (1.7159**2 - source.astype(np.float64) ** 2)
    close(realized(back, *source.shape), exact * slope)


def test_a_dense_layer_and_the_way_back_through_it():
    source, delta = drawn(7, 2, 20, 3), drawn(8, 2, 12, 3)
    weight, bias = drawn(9, 12, 20), drawn(10, 12)
    arrays = weights(f6_weight=weight, f6_bias=bias)
    layer = dense_layer("f6", units(source), 20, arrays, None)
    exact = np.einsum("ui,bin->bun", weight.astype(np.float64), source) + bias[:, None]
    close(realized(layer.output, 2, 12, 3), exact)
    for power in (1, 2):
        back = dense_back("f6", units(delta), 12, arrays["f6.weight"], power)
        exact = np.einsum("ui,bun->bin", weight.astype(np.float64) ** power, delta)
        close(realized(back, 2, 20, 3), exact)


def test_radial_basis_units_and_the_way_back_through_them():
    source, delta, centers = drawn(11, 1, 84, 3), drawn(12, 1, 4, 3), np.sign(drawn(13, 4, 84))
    apart = source.astype(np.float64)[:, None] - centers[:, :, None]  # (block, class, unit, image)
    layer = radial_basis(units(source), hl.Buffer(centers))
    close(realized(layer.output, 1, 4, 3), -np.square(apart).sum(2))
    back = radial_basis_back(units(delta), units(source), 4, hl.Buffer(centers))
    close(realized(back, 1, 84, 3), (-2 * apart * delta[:, :, None]).sum(1))


def test_lanes_are_added_in_one_fixed_order():
    values, i = drawn(14, 5, LANES), hl.Var("i")
    buffer = hl.Buffer(values)
    f = sum_of_lanes("sum", lambda place: buffer[place, i], i)
    ours = np.array(f.realize([5]))
    close(ours, values.astype(np.float64).sum(1))
    assert np.array_equal(ours, np.array(f.realize([5])))
