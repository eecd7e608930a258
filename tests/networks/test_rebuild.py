"""A saved network is the network that was trained, or it is not saved."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lenet.checkpoints import Checkpoint
from lenet.data.preprocessing import Preprocessing
from lenet.errors import InputError
from lenet.networks import NETWORKS, build_network
from lenet.networks.modern import Modern
from lenet.networks.rebuild import check_rebuildable


class Mine(Modern):
    pass


def change(network, what):
    """Something that neither the name nor the options say."""
    match what:
        case "squash is a GELU, where ReLU is expected":
            network.squash = nn.GELU()
        case "s2 is a AvgPool2d":
            network.s2 = nn.AvgPool2d(2)
        case "s4 has kernel_size 3, not 2":
            network.s4 = nn.MaxPool2d(3, 2, padding=1)
        case "c1 has padding":
            network.c1.padding = (2, 2)
        case "dropout has p 0.5, not 0.0":
            network.dropout.p = 0.5
        case "c3 has a forward hook":
            network.c3.register_forward_hook(lambda *_: None)
        case "f6 has a forward hook":
            prune.l1_unstructured(network.f6, "weight", 0.5)
        case "c5 is a ParametrizedLinear":
            nn.utils.parametrizations.weight_norm(network.c5)
        case "extra is a Linear, where nothing is expected":
            network.extra = nn.Linear(2, 2)
        case r"output.weight is \(9, 84\) float32, where \(10, 84\)":
            network.output.weight = nn.Parameter(torch.zeros(9, 84))
        case r"c1.weight is \(6, 1, 5, 5\) float64":
            network.double()
        case "the network has walk":
            network.walk = lambda images: iter(())
        case "Mine is not lenet's modern":
            network.__class__ = Mine
        case _:
            raise AssertionError(what)


CHANGES = [
    "squash is a GELU, where ReLU is expected",
    "s2 is a AvgPool2d",
    "s4 has kernel_size 3, not 2",
    "c1 has padding",
    "dropout has p 0.5, not 0.0",
    "c3 has a forward hook",
    "f6 has a forward hook",
    "c5 is a ParametrizedLinear",
    "extra is a Linear, where nothing is expected",
    r"output.weight is \(9, 84\) float32, where \(10, 84\)",
    r"c1.weight is \(6, 1, 5, 5\) float64",
    "the network has walk",
    "Mine is not lenet's modern",
]


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_network_makes_no_checkpoint_and_the_change_is_named(what):
    network = build_network("modern")
    change(network, what)
    with pytest.raises(InputError, match=what) as caught:
        Checkpoint(network, Preprocessing("digit"), tuple("abcdefghij"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_does_not_change_a_network_is_no_change(name):
    network = build_network(name, 3).eval()
    network.remark = "mine"
    network.c1.requires_grad_(False)
    network.c3.register_full_backward_hook(lambda *_: None)
    check_rebuildable(network)


def test_settings_of_the_1998_layers_count_too():
    network = build_network("lecun1998")
    network.squash.amplitude = 1.0
    with pytest.raises(ValueError, match=r"squash has amplitude 1\.0, not 1\.7159"):
        check_rebuildable(network)
