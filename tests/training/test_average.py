"""The average of weights against the sum written out."""

import pytest
import torch

from lenet.networks import build_network
from lenet.training.average import WeightAverage
from lenet.training.optimizers import flatten


@pytest.mark.parametrize("decay", [0.9, 0.15])
def test_it_is_the_weighted_sum_of_all_steps(decay):
    network = build_network("modern", batch_norm=True)
    weights = flatten(network)
    average = WeightAverage(network, weights, decay)
    assert all(
        torch.equal(tensor, average.network.state_dict()[name])
        for name, tensor in network.state_dict().items()
    )
    expected = {name: tensor.double() for name, tensor in network.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        with torch.no_grad():
            weights.copy_(torch.randn(len(weights), generator=generator))
            network.norm1.running_mean.normal_(generator=generator)
            network.norm1.num_batches_tracked += 1
        average.update(step)
        left = min(decay, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            expected[name] = left * expected[name] + (1 - left) * tensor.double()
    average.copy_counters()
    for name, tensor in average.network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
    assert int(average.network.norm1.num_batches_tracked) == 20


def test_averaging_leaves_the_followed_network_as_it_is():
    network = build_network("tutorial")
    weights = flatten(network)
    average = WeightAverage(network, weights, 0.5)
    with torch.no_grad():
        weights.add_(1.0)
    before = weights.detach().clone()
    average.update(0)
    assert torch.equal(weights, before)
    assert not torch.equal(average.network.c1.weight, network.c1.weight)
