"""The replicas against torch: one network, one pattern, one step at a time, in float64."""

import copy

import numpy as np
import pytest
import torch

from lenet.data.distortions import Distortions, warp
from lenet.data.preprocessing import PAPER_1998, Preprocessing
from lenet.errors import InputError, ShapeError
from lenet.networks import build_network
from lenet.networks.initialization import initialize
from lenet.training.curvature import DiagonalLevenbergMarquardt, estimate_curvature
from lenet.training.losses import RUBBISH_PENALTY, build_loss

pytest.importorskip("halide", reason="replicas run on Halide alone")
from lenet.kernels.replicas import Replicas
from lenet.threads import set_threads

RATE, MU = 2e-5, 0.02
LOSSES = {"map": RUBBISH_PENALTY, "mean-square": None}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Two pools of threads on busy cores make the reference a hundred times slower."""
    monkeypatch.setenv("LENET_THREADS", "1")
    yield
    monkeypatch.undo()
    set_threads()


def drawn(n: int, **options):
    return [
        initialize(
            build_network("lecun1998", **options), "fan-in", torch.Generator().manual_seed(seed)
        )
        for seed in range(n)
    ]


def blobs(n: int, seed: int = 0):
    """Ink with a shape for each of ten classes, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    shapes = np.random.default_rng(99).integers(0, 256, (10, 7, 7)) * (
        np.random.default_rng(98).random((10, 7, 7)) < 0.4
    )
    ink = np.kron(shapes[labels], np.ones((1, 4, 4))) * rng.uniform(0.7, 1, (n, 1, 1))
    return ink.astype(np.uint8), labels.astype(np.int64)


def orders(n: int, patterns: int, networks: int):
    return np.stack(
        [np.random.default_rng(10 + s).integers(0, n, patterns) for s in range(networks)], axis=1
    )


def in_torch(network, ink, labels, order, loss, matrices=None, *, estimate_on):
    """The printed algorithm for one network, in float64."""
    network = copy.deepcopy(network).double()
    images = torch.from_numpy(PAPER_1998.apply(ink)).double()
    targets = torch.from_numpy(labels)
    found = estimate_curvature(network, images[estimate_on], targets[estimate_on], loss)
    optimizer = DiagonalLevenbergMarquardt(network.parameters(), RATE, MU)
    optimizer.set_curvature([found[name] for name, _ in network.named_parameters()])
    penalties = []
    for step, i in enumerate(order):
        image = images[i][None]
        if matrices is not None:
            frame = warp(ink[i][None], matrices[step][None])
            image = torch.from_numpy(frame * PAPER_1998.factor + PAPER_1998.offset)[:, None]
        optimizer.zero_grad()
        penalty = loss(network(image.double()), targets[i][None])
        penalty.backward()
        optimizer.step()
        penalties.append(penalty.item())
    return network, np.array(penalties)


def differ(network, reference) -> float:
    """The largest difference of a parameter, relative to the largest parameter of its kind."""
    return max(
        ((p - reference.get_parameter(name)).abs().max() / p.abs().max()).item()
        for name, p in network.named_parameters()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode", "lanes", "patterns"),
    [("map", "added", 16, 1000), ("mean-square", "averaged", 8, 200)],
)
def test_the_same_weights_as_torch(name, mode, lanes, patterns):
    ink, labels = blobs(200)
    networks = drawn(3, subsampling=mode)
    start = copy.deepcopy(networks)
    order = orders(200, patterns, 3)
    replicas = Replicas(networks, ink, labels, rubbish_penalty=LOSSES[name], lanes=lanes)
    diagonal = replicas.estimate(order[:50])
    penalty, wrong = replicas.train(order, RATE, MU)
    assert penalty.shape == wrong.shape == (patterns, 3)
    loss = build_loss(name)
    for which in (0, 2):
        column = order[:, which]
        images = torch.from_numpy(PAPER_1998.apply(ink))[column[:50]].double()
        exact = estimate_curvature(
            copy.deepcopy(start[which]).double(),
            images,
            torch.from_numpy(labels)[column[:50]],
            loss,
        )
        for parameter, value in exact.items():
            assert np.abs(diagonal[parameter][which] - value.numpy()).max() < 1e-5 * value.max()
        reference, penalties = in_torch(
            start[which], ink, labels, column, loss, estimate_on=column[:50]
        )
        assert differ(networks[which], reference) < 1e-5
        assert differ(networks[which], start[which]) > 0.1
        np.testing.assert_allclose(penalty[:, which], penalties, rtol=1e-4, atol=1e-3)
    # What was learnt is worth something.
    assert penalty[-50:].mean() < 0.9 * penalty[:50].mean()


@pytest.mark.slow
def test_distorted_patterns_as_the_reference_warps_them():
    ink, labels = blobs(50)
    networks = drawn(2)
    start = copy.deepcopy(networks)
    order = orders(50, 60, 2)
    distortions = Distortions(shift=3, scale=0.3, squeeze=0.2, shear=0.3, rotate=0.5)
    matrices = np.stack(
        [distortions.sample(60, np.random.default_rng(seed)) for seed in range(2)], axis=1
    )
    replicas = Replicas(networks, ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    replicas.estimate(order)
    penalty, _ = replicas.train(order, RATE, MU, matrices)
    for which in range(2):
        reference, penalties = in_torch(
            start[which],
            ink,
            labels,
            order[:, which],
            build_loss("map"),
            matrices[:, which],
            estimate_on=order[:, which],
        )
        np.testing.assert_allclose(penalty[:, which], penalties, rtol=1e-4)
        assert differ(networks[which], reference) < 1e-5


def test_more_networks_than_lanes_are_groups_that_do_not_meet():
    ink, labels = blobs(40)
    many, alone = drawn(18), drawn(18)[17:]
    order = orders(40, 30, 18)
    for networks, their in ((many, order), (alone, order[:, 17:])):
        replicas = Replicas(networks, ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
        replicas.estimate(their)
        replicas.train(their, RATE, MU)
    for name, value in alone[0].named_parameters():
        assert torch.equal(many[17].get_parameter(name), value)


def test_a_walk_in_chunks_is_the_same_walk():
    ink, labels = blobs(40)
    whole, parts = drawn(2), drawn(2)
    order = orders(40, 30, 2)
    replicas = Replicas(whole, ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    replicas.estimate(order)
    penalty, wrong = replicas.train(order, RATE, MU)
    replicas = Replicas(parts, ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    replicas.estimate(order)
    halves = [replicas.train(order[:11], RATE, MU), replicas.train(order[11:], RATE, MU)]
    np.testing.assert_array_equal(penalty, np.concatenate([p for p, _ in halves]))
    np.testing.assert_array_equal(wrong, np.concatenate([w for _, w in halves]))
    for one, other in zip(whole, parts, strict=True):
        assert all(
            torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True)
        )


def test_wrong_is_what_the_network_answered_before_it_learnt():
    ink, labels = blobs(40)
    networks = drawn(1)
    before = copy.deepcopy(networks[0])
    replicas = Replicas(
        networks, ink, labels, Preprocessing("digit"), rubbish_penalty=RUBBISH_PENALTY, lanes=16
    )
    replicas.estimate(np.arange(40)[:, None])
    _, wrong = replicas.train(np.zeros((1, 1), int), RATE, MU)
    answer = before(torch.from_numpy(Preprocessing("digit").apply(ink[:1]))).argmax().item()
    assert wrong[0, 0] == (answer != labels[0])


def test_what_cannot_be_trained_is_refused():
    ink, labels = blobs(10)
    order = np.zeros((5, 2), int)
    with pytest.raises(InputError, match="at least one"):
        Replicas([], ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    mixed = [*drawn(1), *drawn(1, subsampling="averaged")]
    with pytest.raises(InputError, match="same options"):
        Replicas(mixed, ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    with pytest.raises(InputError, match="trainable_codes"):
        Replicas(
            drawn(1, trainable_codes=True), ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16
        )
    with pytest.raises(InputError, match="positive"):
        Replicas(drawn(1), ink, labels, rubbish_penalty=0.0)
    with pytest.raises(ShapeError, match="28"):
        Replicas(drawn(1), ink[:, :20], labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    replicas = Replicas(drawn(2), ink, labels, rubbish_penalty=RUBBISH_PENALTY, lanes=16)
    with pytest.raises(InputError, match="estimate"):
        replicas.train(order, RATE, MU)
    with pytest.raises(ShapeError, match="order"):
        replicas.estimate(order[:, :1])
    with pytest.raises(InputError, match="within the 10"):
        replicas.estimate(order + 10)
    with pytest.raises(ShapeError, match="matrices"):
        replicas.estimate(order, np.zeros((4, 2, 2, 3), np.float32))
