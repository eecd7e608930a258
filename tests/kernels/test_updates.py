"""The update kernel against torch's own Adam."""

import copy

import pytest
import torch

pytest.importorskip("halide", reason="Halide has no wheel for this machine")

from lenet.engines import select_engine
from lenet.kernels.updates import updater
from lenet.networks import build_network

FUSED, TORCH = select_engine("fused", "cpu"), select_engine("torch", "cpu")
OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}),
    "adam, decay": (torch.optim.Adam, {"weight_decay": 0.1}),
    "adam, decoupled": (torch.optim.Adam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-6}),
}


def two_parameters():
    generator = torch.Generator().manual_seed(0)
    # One longer than a task, and neither a multiple of the lanes.
    return [torch.nn.Parameter(torch.randn(n, generator=generator)) for n in (9001, 3)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_updates_are_those_of_torch_in_float64(name):
    kind, options = OPTIMIZERS[name]
    ours = two_parameters()
    start = [p.detach().clone() for p in ours]
    theirs = [torch.nn.Parameter(p.detach().double()) for p in ours]
    optimizer, reference = kind(ours, 1e-2, **options), kind(theirs, 1e-2, **options)
    update = updater(optimizer)
    assert update != optimizer.step
    for step in range(20):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(step))
            b.grad = a.grad.double()
        for group in (*optimizer.param_groups, *reference.param_groups):
            group["lr"] = 1e-2 / (1 + step)
        update()
        reference.step()
    for a, b, first in zip(ours, theirs, start, strict=True):
        assert (a - b).abs().max() <= 1e-6 * b.abs().max()  # float32 sums, rounded each step
        assert (b - first).abs().max() > 1e-3


def test_torch_goes_on_where_the_kernel_stopped_and_back():
    weights = [two_parameters()[0] for _ in range(2)]
    optimizers = [torch.optim.Adam([w], 1e-2, fused=True) for w in weights]
    updates = [updater(optimizers[0]), optimizers[1].step]
    for step in range(6):
        gradient = torch.randn(9001, generator=torch.Generator().manual_seed(step))
        for w in weights:
            w.grad = gradient.clone()
        if step == 2:
            updates[0] = optimizers[0].step
        if step == 4:
            optimizers[0].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
            updates[0] = updater(optimizers[0])
        for update in updates:
            update()
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-7)
    assert optimizers[0].state[weights[0]]["step"] == 6


def test_a_parameter_without_a_gradient_stays():
    first, second = two_parameters()
    first.grad, before = torch.ones(9001), second.detach().clone()
    updater(torch.optim.Adam([first, second], 1e-2))()
    assert torch.equal(second, before)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, 1e-2),
        lambda p: torch.optim.Adam(p, 1e-2, amsgrad=True),
        lambda p: torch.optim.Adam(p, 1e-2, maximize=True),
        lambda p: torch.optim.Adam(p, 1e-2, differentiable=True),
        lambda p: torch.optim.Adam([q.double() for q in p], 1e-2),
    ],
    ids=["sgd", "amsgrad", "maximize", "differentiable", "float64"],
)
def test_what_the_kernel_does_not_cover_takes_its_own_step(make):
    optimizer = make([p.detach() for p in two_parameters()])
    assert FUSED.updater(optimizer) == optimizer.step


def test_the_torch_engine_takes_torch_s_step():
    optimizer = torch.optim.Adam(two_parameters(), 1e-2)
    assert TORCH.updater(optimizer) == optimizer.step


def test_a_graph_notices_that_its_weights_were_updated():
    network = build_network("tutorial")
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    update, images = FUSED.updater(optimizer), torch.randn(2, 1, 32, 32)
    network(images).sum().backward()
    scores = network(images)
    update()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        scores.sum().backward()
