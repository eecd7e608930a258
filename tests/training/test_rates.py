"""The learning-rate test: it suggests what trains, says the same again, and harms nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from lenet.data.datasets import load_dataset
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.errors import DataError, LenetError
from lenet.networks import build_network
from lenet.training.loop import train
from lenet.training.rates import SHARES, RateTest, find_rate
from lenet.training.recipes import RECIPES

RECIPE = RECIPES["digit-small"]


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def engine():
    return select_engine("torch", "cpu")


def test_the_suggestion_trains_and_ten_of_them_do_not(digits, engine):
    test = find_rate(build_network("modern"), digits, RECIPE, engine=engine)
    assert 0.002 < test.suggestion < 0.03  # digit-small itself has 0.004
    losses = {}
    for rate in (test.suggestion / 100, test.suggestion, 20 * test.suggestion):
        recipe = dataclasses.replace(RECIPE, learning_rate=rate, epochs=2)
        state = train(build_network("modern"), digits, recipe, engine=engine)
        losses[rate] = state.best.validation_loss
    assert min(losses, key=losses.__getitem__) == test.suggestion


def test_the_same_again_and_the_network_is_left_as_it_is(digits, engine):
    network = build_network("modern", dropout=0.2).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    generator = torch.get_rng_state()
    first, second = (find_rate(network, digits, RECIPE, engine=engine) for _ in range(2))
    assert np.array_equal(first.losses, second.losses)
    assert first.suggestion == second.suggestion
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not network.training
    assert torch.equal(torch.get_rng_state(), generator)
    third = find_rate(network, digits, dataclasses.replace(RECIPE, seed=1), engine=engine)
    assert not np.array_equal(first.losses[:9], third.losses[:9])


def test_the_recipes_own_rate_has_no_say(digits, engine):
    other = dataclasses.replace(RECIPE, learning_rate=7.0)
    tests = [find_rate(build_network("modern"), digits, r, engine=engine) for r in (RECIPE, other)]
    assert np.array_equal(tests[0].losses, tests[1].losses)


def test_the_test_part_and_the_validation_part_are_not_looked_at(digits, engine):
    none = Split(digits.test.images[:0], digits.test.labels[:0])
    alone = dataclasses.replace(digits, test=none, validation=none)
    tests = [find_rate(build_network("modern"), s, RECIPE, engine=engine) for s in (digits, alone)]
    assert np.array_equal(tests[0].losses, tests[1].losses)


def test_it_ends_where_the_loss_has_exploded(digits, engine):
    network, recipe = build_network("lecun1998"), RECIPES["minibatch-small"]
    steps = []
    test = find_rate(
        network, digits, recipe, engine=engine, on_step=lambda *counts: steps.append(counts)
    )
    assert len(test.rates) == len(test.losses) < 200
    assert steps[-1] == (len(test.rates), 200)
    assert test.rates[-1] < 1
    assert test.averaged[-1] > 2 * test.averaged.min()


def test_initial_weights_begin_lower(digits, engine):
    network = build_network("modern")
    train(network, digits, dataclasses.replace(RECIPE, epochs=1), engine=engine)
    fresh = find_rate(network, digits, RECIPE, engine=engine)
    trained = find_rate(network, digits, RECIPE, engine=engine, initial=network.state_dict())
    assert trained.losses[:5].mean() < fresh.losses[:5].mean()


def test_the_rule():
    rates = np.geomspace(1e-4, 1, 101)
    losses = np.abs(np.log10(rates) + 2)  # lowest at 0.01
    for schedule, share in SHARES.items():
        test = RateTest(rates, losses, SHARES[schedule])
        assert test.lowest == pytest.approx(0.01)
        assert test.suggestion == pytest.approx(share * 0.01)
    assert repr(test) == "<RateTest: 0.002 suggested, lowest loss at 0.01, 101 steps>"


def test_what_cannot_be_learned_is_refused(digits, engine):
    with pytest.raises(DataError, match="10 classes"):
        find_rate(build_network("modern", num_classes=3), digits, RECIPE, engine=engine)
    broken = {"c1.weight": torch.full((6, 1, 5, 5), 1e38)}
    with pytest.raises(LenetError, match="explodes at a learning rate of 1e-05"):
        find_rate(build_network("modern"), digits, RECIPE, engine=engine, initial=broken)
