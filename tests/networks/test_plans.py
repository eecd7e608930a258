"""The plans that need no torch say of every network what torch makes of it."""

import inspect

import numpy as np
import pytest
import torch

from lenet.engines.in_numpy import NumpyNetwork
from lenet.errors import InputError
from lenet.networks import LAYERS, NETWORKS, build_network
from lenet.networks.activations import SQUASHES
from lenet.networks.layers import ACTIVATIONS
from lenet.networks.models import Model
from lenet.networks.plans import PLANS, POOLINGS, plan_network
from lenet.networks.summary import count_flops, summarize

VARIANTS = [
    ("tutorial", 10, {}),
    ("tutorial", 3, {}),
    *(("modern", 10, {"activation": activation}) for activation in SQUASHES),
    *(
        ("modern", 10, {"pooling": pooling, "batch_norm": batch_norm})
        for pooling in POOLINGS
        for batch_norm in (False, True)
    ),
    ("modern", 47, {"dropout": 0.5}),
    ("lecun1998", 10, {}),
    ("lecun1998", 30, {"subsampling": "averaged", "trainable_codes": True}),
    ("lecun1998", 2, {"characters": "ab"}),
]


@pytest.fixture(params=VARIANTS, ids=str)
def planned(request):
    """A plan, and its network in torch with statistics of some batch."""
    name, num_classes, options = request.param
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network(name, num_classes, **options)
        network.train()(torch.randn(32, 1, 32, 32))
    return plan_network(name, num_classes, **options), network.eval()


def test_a_plan_declares_the_weights_that_torch_makes(planned):
    plan, network = planned
    made = {
        name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in network.state_dict().items()
    }
    assert plan.shapes == made
    assert network.plan == plan


def test_a_plan_is_summarized_as_its_network_is(planned):
    plan, network = planned
    assert summarize(plan) == summarize(network)
    assert count_flops(plan) == count_flops(network)


def test_numpy_computes_every_layer_as_torch_does(planned):
    plan, network = planned
    ours = NumpyNetwork(Model.of(network))
    images = torch.randn(9, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = network.activations(images)
    found = ours.activations(images.numpy())
    assert tuple(found) == LAYERS
    for name, expected in theirs.items():
        limit = 1e-5 * max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(found[name], expected.numpy(), rtol=0, atol=limit)
    np.testing.assert_allclose(ours(images.numpy()), found["output"], rtol=1e-5, atol=1e-5)
    assert ours(images.numpy()[:0]).shape == (0, plan.num_classes)


def test_plans_and_networks_take_the_same_options():
    assert tuple(PLANS) == tuple(NETWORKS)
    for name, network in NETWORKS.items():
        options = [
            [(p.name, p.kind, p.default) for p in inspect.signature(of).parameters.values()]
            for of in (network, PLANS[name])
        ]
        assert options[0] == options[1]


def test_activations_have_the_same_names_in_torch_and_numpy():
    assert tuple(SQUASHES) == tuple(ACTIVATIONS)


@pytest.mark.parametrize("name", SQUASHES)
def test_an_activation_is_the_same_far_out_too(name):
    values = torch.cat([torch.linspace(-9, 9, 2001), torch.tensor([-1e4, -88.8, 0.0, 88.8, 1e4])])
    expected = ACTIVATIONS[name]()(values)
    found = torch.from_numpy(SQUASHES[name](values.numpy()))
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("lecun1998", {"characters": "01234567é9"}, "é"),
        ("lecun1998", {"characters": "0"}, "10 different characters"),
        ("lecun1998", {"subsampling": "halved"}, "added or averaged"),
        ("modern", {"pooling": "subsampling"}, "use max, average"),
        ("modern", {"dropout": 1}, "less than 1"),
        ("modern", {"colour": "red"}, "no option colour"),
        ("lenet6", {}, "unknown"),
    ],
)
def test_what_no_network_can_be_is_no_plan(name, options, says):
    with pytest.raises(InputError, match=says):
        plan_network(name, **options)
