"""A recipe's optimizer takes the recipe's numbers, and its rate follows the schedule."""

import pytest
import torch

from lenet.networks import build_network
from lenet.training.optimizers import (
    choose_optimizer,
    flatten,
    learning_rate,
    optimizer_tensors,
    restore_optimizer,
)
from lenet.training.recipes import RECIPES, Recipe


def test_a_constant_rate_is_constant():
    assert {learning_rate(RECIPES["article"], p) for p in (0, 0.3, 0.999)} == {0.001}


def test_one_cycle_rises_for_a_third_and_falls_to_nothing():
    recipe = RECIPES["tuned"]
    rates = [learning_rate(recipe, step / 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 25)
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert rates.index(max(rates)) == 300
    assert rates[:301] == sorted(rates[:301])
    assert rates[300:] == sorted(rates[300:], reverse=True)
    assert 0 < rates[-1] < recipe.learning_rate / 1e4


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_optimizer_takes_the_recipes_numbers(optimizer):
    """Others accepted an argument and ignored it."""
    recipe = Recipe("x", optimizer=optimizer, learning_rate=0.25, weight_decay=0.125)
    built = choose_optimizer(recipe, build_network("tutorial").parameters())
    assert type(built).__name__.lower() == optimizer
    (group,) = built.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_an_optimizer_goes_on_from_its_tensors(optimizer):
    recipe = Recipe("x", optimizer=optimizer, learning_rate=0.1)
    start = torch.randn(20, generator=torch.Generator().manual_seed(0))
    gradients = torch.randn(4, 20, generator=torch.Generator().manual_seed(1))

    def steps(weights, built, gradients):
        for gradient in gradients:
            weights.grad = gradient.clone()
            built.step()

    through = torch.nn.Parameter(start.clone())
    built = choose_optimizer(recipe, [through])
    steps(through, built, gradients[:2])
    resumed = torch.nn.Parameter(through.detach().clone())
    taken = {name: tensor.clone() for name, tensor in optimizer_tensors(built).items()}
    again = choose_optimizer(recipe, [resumed])
    restore_optimizer(again, taken)
    steps(through, built, gradients[2:])
    steps(resumed, again, gradients[2:])
    assert torch.equal(through, resumed)
    assert not torch.equal(through, start)
    assert optimizer_tensors(again).keys() == taken.keys()


def test_flattened_parameters_are_parts_of_one_tensor():
    network = build_network("tutorial")
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    weights = flatten(network)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert len(weights) == sum(p.numel() for p in before.values())
    with torch.no_grad():
        weights.fill_(2.0)
        weights.grad.fill_(3.0)
    for parameter in network.parameters():
        assert (parameter == 2).all()
        assert (parameter.grad == 3).all()
