"""A whole step but its update, in one kernel, against autograd in float64."""

import copy
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional

from lenet.data.distortions import Distortions
from lenet.data.preprocessing import PAPER_1998, Preprocessing
from lenet.engines import select_engine
from lenet.errors import EngineError, ShapeError
from lenet.networks import build_network
from lenet.networks.initialization import initialize
from lenet.training.optimizers import flatten

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

TOLERANCE = 1e-5  # of the reference's largest entry
FUSED, TORCH = select_engine("fused", "cpu"), select_engine("torch", "cpu")
NETWORKS = {
    "tutorial": ("tutorial", {}),
    "modern": ("modern", {}),
    "modern, tanh and average": ("modern", {"activation": "tanh", "pooling": "average"}),
    "modern, gelu": ("modern", {"activation": "gelu"}),
    "modern, silu and average": ("modern", {"activation": "silu", "pooling": "average"}),
    "modern, dropout": ("modern", {"dropout": 0.2}),
    "1998": ("lecun1998", {}),
    "1998, averaged and trained codes": (
        "lecun1998",
        {"subsampling": "averaged", "trainable_codes": True},
    ),
}


def a_set(n=90, classes=10):
    random = np.random.default_rng(3)
    # Ink of every level, but no two windows tied.
    ink = torch.from_numpy(random.integers(0, 256, (n, 28, 28), np.uint8))
    return ink, torch.from_numpy(random.integers(0, classes, n))


def drawn(name):
    kind, options = NETWORKS[name]
    network = build_network(kind, **options)
    scheme = "torch" if kind == "modern" else "root-fan-in"
    return initialize(network, scheme, torch.Generator().manual_seed(1))


def error(ours, reference):
    return float((ours.double() - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize("distorted", [False, True], ids=["plain", "distorted"])
@pytest.mark.parametrize("batch", [1, 17, 64])
@pytest.mark.parametrize("name", [n for n in NETWORKS if "dropout" not in n])
def test_scores_and_gradients_are_those_of_float64_autograd(name, batch, distorted):
    network, (ink, labels) = drawn(name), a_set()
    random = np.random.default_rng(batch)
    indices = torch.from_numpy(random.permutation(len(ink))[:batch])
    matrices = Distortions(shift=2, rotate=0.2).sample(batch, random) if distorted else None
    module = FUSED.compile(network).train()
    backprop = FUSED.backprop(module, ink, labels, PAPER_1998, label_smoothing=0.1, weight=0.25)
    scores = backprop(indices, matrices)
    assert module.fallback is None

    reference = copy.deepcopy(network).double().train()
    reference.zero_grad()
    images = TORCH.gather(ink, indices, PAPER_1998, matrices).double()
    expected = reference(images)
    # The loss at our scores: those of radial basis units are in the hundreds, where float32's own
    # spacing is 1.5e-5, and that is what a softmax makes of it.
    at = scores.double().requires_grad_()
    loss = functional.cross_entropy(at, labels[indices], label_smoothing=0.1, reduction="sum")
    (0.25 * loss).backward()
    expected.backward(at.grad)
    assert error(scores, expected.detach()) <= TOLERANCE
    for (key, ours), theirs in zip(network.named_parameters(), reference.parameters(), strict=True):
        assert error(ours.grad, theirs.grad) <= TOLERANCE, key


@pytest.mark.parametrize("engine", [FUSED, TORCH], ids=["fused", "torch"])
@pytest.mark.parametrize("distorted", [False, True], ids=["plain", "distorted"])
def test_a_class_may_weigh_more_than_another(engine, distorted):
    network, (ink, labels) = drawn("modern"), a_set()
    indices = torch.arange(40, 73)
    weight = torch.linspace(0, 2, 10) / 33
    matrices = None
    if distorted:
        matrices = Distortions(shift=2).sample(33, np.random.default_rng(0))
    backprop = engine.backprop(
        engine.compile(network).train(), ink, labels, PAPER_1998, label_smoothing=0.1, weight=weight
    )
    backprop(indices, matrices)

    reference = copy.deepcopy(network).double().train()
    reference.zero_grad()
    images = TORCH.gather(ink, indices, PAPER_1998, matrices).double()
    answers = torch.nn.functional.one_hot(labels[indices], 10) * 0.9 + 0.01
    losses = -(answers * reference(images).log_softmax(1)).sum(1)
    (losses * weight.double()[labels[indices]]).sum().backward()
    for (key, ours), theirs in zip(network.named_parameters(), reference.parameters(), strict=True):
        assert error(ours.grad, theirs.grad) <= TOLERANCE, key


@pytest.mark.parametrize("engine", [FUSED, TORCH], ids=["fused", "torch"])
@pytest.mark.parametrize("name", ["modern, dropout", "tutorial"])
def test_any_loss_has_the_gradient_that_the_network_itself_gives(name, engine):
    def loss(scores, labels):
        return functional.multi_margin_loss(scores, labels)

    network, (ink, labels) = drawn(name), a_set()
    module, indices = engine.compile(network).train(), torch.arange(5, 38)
    backprop = engine.backprop_of(module, ink, labels, PAPER_1998, loss)
    torch.manual_seed(3)
    backprop(indices)
    backprop(indices)  # replaced, not added up
    torch.manual_seed(3)
    scores = backprop(indices)

    reference = copy.deepcopy(network)
    reference.zero_grad()
    torch.manual_seed(3)
    expected = reference(TORCH.gather(ink, indices, PAPER_1998))
    loss(expected, labels[indices]).backward()
    assert getattr(module, "fallback", None) is None
    assert error(scores, expected.detach().double()) <= TOLERANCE
    for ours, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        assert error(ours.grad, theirs.grad.double()) <= TOLERANCE


@pytest.mark.parametrize("name", ["modern, dropout", "tutorial"])
def test_both_engines_learn_the_same_and_draw_the_same(name):
    found = []
    for engine in (FUSED, TORCH):
        network, (ink, labels) = drawn(name), a_set()
        module = engine.compile(network).train()
        torch.manual_seed(9)
        backprop = engine.backprop(
            module, ink, labels, PAPER_1998, label_smoothing=0.05, weight=1 / 33
        )
        scores = backprop(torch.arange(33))
        found.append((scores, [p.grad for p in network.parameters()], torch.rand(1)))
    (ours, gradients, draw), (theirs, others, other_draw) = found
    assert torch.equal(draw, other_draw)
    assert not theirs.requires_grad
    assert error(ours, theirs.double()) <= TOLERANCE
    for gradient, other in zip(gradients, others, strict=True):
        assert error(gradient, other.double()) <= TOLERANCE


@pytest.mark.parametrize("engine", [FUSED, TORCH], ids=["fused", "torch"])
def test_gradients_are_replaced_in_their_place(engine):
    network, (ink, labels) = drawn("tutorial"), a_set()
    weights = flatten(network)
    module = engine.compile(network).train()

    step = engine.backprop(module, ink, labels, PAPER_1998, weight=1 / 20)

    def gradients(first):
        step(torch.arange(first, first + 20))
        return weights.grad.clone()

    place = network.c5.weight.grad.data_ptr()
    once = gradients(0)
    assert not torch.equal(gradients(20), once)
    assert torch.equal(gradients(0), once)
    assert network.c5.weight.grad.data_ptr() == place
    assert torch.equal(once[:150], network.c1.weight.grad.flatten())


def test_a_frozen_parameter_gets_no_gradient():
    network, (ink, labels) = drawn("modern"), a_set()
    network.c3.weight.requires_grad_(False)
    module = FUSED.compile(network).train()
    FUSED.backprop(module, ink, labels, PAPER_1998, weight=1 / 16)(torch.arange(16))
    assert module.fallback is None
    assert network.c3.weight.grad is None
    assert network.c1.weight.grad.abs().max() > 0


def test_what_the_kernel_does_not_cover_learns_through_torch():
    network, (ink, labels) = build_network("modern", batch_norm=True), a_set()
    module = FUSED.compile(network).train()
    FUSED.backprop(module, ink, labels, PAPER_1998, weight=1 / 16)(torch.arange(16))
    assert "BatchNorm" in module.fallback
    assert network.norm1.weight.grad.abs().max() > 0


def test_python_threads_do_not_mix_their_gradients():
    ink, labels = a_set()

    def work(found, i):
        network = drawn("tutorial")
        module = FUSED.compile(network).train()
        backprop = FUSED.backprop(module, ink, labels, PAPER_1998, weight=1 / 20)
        for _ in range(5):
            backprop(torch.arange(20 * i, 20 * i + 20))
        found[i] = [p.grad for p in network.parameters()]

    alone, together = {}, {}
    for i in range(4):
        work(alone, i)
    workers = [threading.Thread(target=work, args=(together, i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, gradients in alone.items():
        assert all(torch.equal(a, b) for a, b in zip(gradients, together[i], strict=True))


def test_moved_weights_and_gradients_are_followed():
    network, (ink, labels) = drawn("tutorial"), a_set()
    module = FUSED.compile(network).train()
    backprop = FUSED.backprop(module, ink, labels, PAPER_1998, weight=1 / 20)
    backprop(torch.arange(20))
    once = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()  # sets them to None
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    backprop(torch.arange(20))
    assert all(torch.equal(p.grad, g) for p, g in zip(network.parameters(), once, strict=True))
    network.c5.weight.data.mul_(2)
    backprop(torch.arange(20))
    assert not torch.equal(network.c5.weight.grad, once[4])


def test_a_parameter_s_hook_is_called_on_both_engines():
    found = []
    for engine in (FUSED, TORCH):
        network, (ink, labels) = drawn("tutorial"), a_set()
        network.c1.weight.register_hook(lambda gradient: gradient * 2)
        module = engine.compile(network).train()
        engine.backprop(module, ink, labels, PAPER_1998, weight=1 / 20)(torch.arange(20))
        found.append(network.c1.weight.grad)
    assert error(found[0], found[1].double()) <= TOLERANCE


def test_weights_of_another_type_are_refused():
    network, (ink, labels) = drawn("tutorial"), a_set()
    backprop = FUSED.backprop(
        FUSED.compile(network).train(), ink, labels, PAPER_1998, weight=1 / 20
    )
    backprop(torch.arange(20))
    network.half()
    with pytest.raises(EngineError, match="call backprop again"):
        backprop(torch.arange(20))


def test_wrong_labels_are_refused():
    module, (ink, labels) = FUSED.compile(drawn("tutorial")), a_set()
    for wrong in (labels[:-1], labels.int()):
        with pytest.raises(ShapeError, match="labels"):
            FUSED.backprop(module, ink, wrong, Preprocessing("plain"), weight=1 / 4)


@pytest.mark.parametrize("engine", [FUSED, TORCH], ids=["fused", "torch"])
def test_indices_and_labels_out_of_range_are_refused(engine):
    module, (ink, labels) = engine.compile(drawn("tutorial")), a_set()
    backprop = engine.backprop(module, ink, labels, PAPER_1998, weight=1 / 2)
    with pytest.raises(IndexError, match="90"):
        backprop(torch.tensor([3, 90]))
    backprop(torch.tensor([3, 89]))
    labels[3] = 10  # in place: what was checked is another set now
    with pytest.raises(IndexError, match="10"):
        backprop(torch.tensor([3, 89]))


def test_labels_that_are_strided_are_read_right():
    module, (ink, labels) = FUSED.compile(drawn("tutorial")), a_set()
    spaced = torch.stack([labels, torch.zeros_like(labels)], 1)[:, 0]
    found = []
    for answers in (labels, spaced):
        FUSED.backprop(module, ink, answers, PAPER_1998, weight=1 / 20)(torch.arange(20))
        found.append(module.network.c1.weight.grad.clone())
    assert torch.equal(*found)


def test_slices_of_an_order_are_checked_for_what_they_hold():
    module, (ink, labels) = FUSED.compile(drawn("tutorial")).train(), a_set()
    backprop = FUSED.backprop(module, ink, labels, PAPER_1998, weight=1 / 8)
    order = torch.arange(90)
    backprop(order[:8])
    order[20] = -1
    backprop(order[:8])  # what is wrong lies elsewhere
    with pytest.raises(IndexError, match="-1"):
        backprop(order[16:24])
    order[20] = 20
    backprop(order[16:24])
    order[3] = 90  # in place, after the whole was found in order
    with pytest.raises(IndexError, match="90"):
        backprop(order[:8])


def test_ink_at_any_address_is_read_right():
    module, (ink, labels) = FUSED.compile(drawn("tutorial")).train(), a_set()
    found = []
    for shift in (0, 1, 2):
        store = torch.zeros(ink.numel() + shift, dtype=torch.uint8)
        moved = store[shift:].view_as(ink).copy_(ink)
        FUSED.backprop(module, moved, labels, PAPER_1998, weight=1 / 20)(torch.arange(20))
        found.append(module.network.c1.weight.grad.clone())
        images = FUSED.gather(moved, torch.arange(20), PAPER_1998)
        assert torch.equal(images, TORCH.gather(ink, torch.arange(20), PAPER_1998))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
