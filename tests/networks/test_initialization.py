"""Every scheme draws what it says, and only from the generator it is given."""

import math

import pytest
import torch
from torch import nn

from lenet.errors import InputError
from lenet.networks import NETWORKS, build_network
from lenet.networks.initialization import SCHEMES, initialize


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_gives_the_same_bits_and_the_global_generator_is_left_alone(name, scheme):
    first, second = build_network(name), build_network(name)
    before = torch.get_rng_state()
    initialize(first, scheme, generator())
    initialize(second, scheme, generator())
    assert torch.equal(torch.get_rng_state(), before)
    for (key, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), key
    initialize(second, scheme, generator(1))
    assert not torch.equal(first.c1.weight, second.c1.weight)


def test_torchs_own_bounds_and_spread():
    network = initialize(build_network("tutorial"), "torch", generator())
    for layer, fan_in in (
        (network.c1, 25),
        (network.c3, 150),
        (network.c5, 400),
        (network.f6, 120),
    ):
        bound = 1 / math.sqrt(fan_in)
        for drawn in (layer.weight, layer.bias):
            assert drawn.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_xavier_has_gain_four_before_a_sigmoid_and_one_at_the_output():
    network = initialize(build_network("tutorial"), "xavier", generator())
    fans = {
        "c1": (25, 150),
        "c3": (150, 400),
        "c5": (400, 120),
        "f6": (120, 84),
        "output": (84, 10),
    }
    for name, (fan_in, fan_out) in fans.items():
        layer = getattr(network, name)
        bound = (1 if name == "output" else 4) * math.sqrt(6 / (fan_in + fan_out))
        assert 0.9 * bound < layer.weight.abs().max() <= bound, name
        assert not layer.bias.any()


def test_kaiming_has_variance_two_over_fan_in_before_a_relu():
    network = initialize(build_network("modern"), "kaiming", generator())
    assert network.c5.weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.03)
    assert network.output.weight.std().item() == pytest.approx(math.sqrt(1 / 84), rel=0.1)


@pytest.mark.parametrize(
    "squash",
    [
        *(nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7)),
        *(nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Hardswish()),
    ],
    ids=str,
)
def test_kaiming_keeps_the_mean_square_of_any_rectifier(squash):
    """He et al. 2015: the variance is one over what is left of a normal variable's square."""
    z = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    kept = float((squash(z).square() * density).sum())
    network = build_network("modern")
    network.squash = squash
    initialize(network, "kaiming", generator())
    spread = float(network.c5.weight.detach().square().mean())
    assert spread == pytest.approx(1 / kept / 400, rel=0.02)


@pytest.mark.parametrize(
    "squash", [nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh(), nn.Hardtanh()], ids=str
)
def test_xavier_makes_up_for_a_sigmoids_slope(squash):
    at = torch.zeros((), dtype=torch.float64, requires_grad=True)
    squash(at).backward()
    network = build_network("tutorial")
    network.squash = squash
    initialize(network, "xavier", generator())
    bound = math.sqrt(6 / (400 + 120)) / float(at.grad)
    assert float(network.c5.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)


def test_the_papers_range_is_per_unit_also_where_fan_ins_differ():
    """LeCun et al. 1998, Sec. III.B: uniform in ±2.4 / F_i."""
    network = initialize(build_network("lecun1998"), "fan-in", generator())
    first = 0
    for map_, row in enumerate(network.c3.table):
        bound = 2.4 / (25 * len(row))
        kernels = network.c3.weight[first : first + len(row)]
        first += len(row)
        assert 0.8 * bound < kernels.abs().max() <= bound
        assert network.c3.bias[map_].abs() <= bound
    assert network.s2.coefficient.abs().max() <= 2.4 / 4


@pytest.mark.parametrize("subsampling", ["added", "averaged"])
def test_trainable_pooling_may_start_as_the_average(subsampling):
    network = build_network("lecun1998", subsampling=subsampling)
    initialize(network, "root-fan-in", generator())
    maps = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(network.s2(maps), torch.nn.functional.avg_pool2d(maps, 2))
    # The others are as far from zero as the root of the fan-in says, and no farther.
    assert 0.97 < float(network.c5.weight.detach().abs().max()) * 400**0.5 / 2.4 <= 1


def test_batch_norm_starts_anew():
    network = build_network("modern", batch_norm=True)
    network(torch.randn(8, 1, 32, 32))
    initialize(network, "kaiming", generator())
    for norm in (network.norm1, network.norm3):
        assert isinstance(norm, nn.BatchNorm2d)
        assert not norm.running_mean.any()
        assert int(norm.num_batches_tracked) == 0


def test_batch_norm_without_weights_starts_anew_too():
    network = build_network("modern")
    network.norm1 = nn.BatchNorm2d(6, affine=False)
    network(torch.randn(8, 1, 32, 32))
    initialize(network, "torch", generator())
    assert not network.norm1.running_mean.any()


def test_an_unknown_scheme_is_refused():
    with pytest.raises(InputError, match="orthogonal"):
        initialize(build_network("tutorial"), "orthogonal", generator())


def test_every_network_starts_as_torch_layers_do():
    """No parameter is left as the memory happened to be."""
    for name in NETWORKS:
        torch.manual_seed(0)
        first = build_network(name).state_dict()
        torch.manual_seed(0)
        again = build_network(name).state_dict()
        for key, tensor in first.items():
            assert torch.equal(tensor, again[key]), (name, key)
            assert tensor.abs().max() <= 1, (name, key)
            assert tensor.abs().max() > 0, (name, key)
