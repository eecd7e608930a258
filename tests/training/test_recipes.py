"""Recipes refuse what cannot be, by name, and come back from JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest

from lenet.checkpoints import load_checkpoint
from lenet.data.distortions import Distortions
from lenet.data.preprocessing import PREPARATIONS
from lenet.data.splits import Split, Splits
from lenet.errors import InputError
from lenet.networks import NETWORKS, LeNet5, build_network
from lenet.training.recipes import (
    PURPOSES,
    RECIPES,
    SMALL,
    Recipe,
    default_recipe,
    find_recipe,
)


def test_the_articles_recipe_is_the_articles():
    recipe = RECIPES["article"]
    assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 0.001, "constant")
    assert (recipe.batch_size, recipe.epochs) == (64, 20)
    assert (recipe.initialization, recipe.pixels) == ("torch", "unit")
    assert recipe.distortions == Distortions()
    assert recipe.weight_decay == recipe.label_smoothing == recipe.weight_average == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("epochs", v) for v in (0, -1, 1.5, "3", None, True, math.nan)],
        *[("batch_size", v) for v in (0, -64, 2.0)],
        *[("learning_rate", v) for v in (0, -0.1, math.nan, math.inf, "0.1", None)],
        *[("weight_decay", v) for v in (-0.01, math.nan, math.inf)],
        *[("label_smoothing", v) for v in (-0.1, 1, math.nan)],
        *[("weight_average", v) for v in (-0.1, 1, math.nan)],
        *[("patience", v) for v in (0, -2, 0.5)],
        *[("seed", v) for v in (-1, 0.5, None)],
        *[("optimizer", v) for v in ("lion", None)],
        ("schedule", "cosine"),
        ("initialization", "zeros"),
        ("pixels", "colour"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_constraint(field, value):
    with pytest.raises(InputError) as caught:
        dataclasses.replace(RECIPES["tuned"], **{field: value})
    message = str(caught.value)
    assert field in message
    assert repr(value) in message
    assert "must be" in message or "use one of" in message


def test_numpy_numbers_are_numbers():
    recipe = dataclasses.replace(
        RECIPES["tuned"], epochs=np.int64(3), learning_rate=np.float32(0.5), seed=np.uint8(7)
    )
    assert json.loads(json.dumps(recipe.to_dict()))["epochs"] == 3


@pytest.mark.parametrize("name", RECIPES)
def test_it_comes_back_from_json(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_recipe_that_names_the_only_loss_is_read_and_no_other_loss():
    """Runs and weights of version 0.1.0 hold it."""
    values = {**RECIPES["tuned"].to_dict(), "loss": "cross-entropy"}
    assert Recipe.from_dict(values) == RECIPES["tuned"]
    assert "loss" in values
    with pytest.raises(InputError, match="hinge"):
        Recipe.from_dict({**values, "loss": "hinge"})
    old = load_checkpoint("fashion-mnist-tutorial").metadata["recipe"]
    assert old["loss"] == "cross-entropy"
    assert Recipe.from_dict(old).name == old["name"]


@pytest.mark.parametrize("values", [{}, {"name": "x"}, {"distortions": {"colour": 1}}])
def test_what_is_no_recipe_is_refused(values):
    with pytest.raises(InputError, match="recipe"):
        Recipe.from_dict(values)


def test_an_unknown_name_gets_a_suggestion():
    assert find_recipe("tuned") is RECIPES["tuned"]
    with pytest.raises(InputError, match="did you mean 'article'"):
        find_recipe("artcle")
    with pytest.raises(InputError, match="did you mean 'sgd'"):
        Recipe("mine", optimizer="sdg")
    with pytest.raises(InputError, match="did you mean 'modern'"):
        default_recipe("modrn")


def a_set(n_images, preparation):
    some = Split(np.zeros((n_images, 28, 28), np.uint8), np.zeros(n_images, np.int64))
    return Splits("some", some, some, some, ("a", "b"), preparation, "")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_every_network_has_a_default(network, preparation):
    large = default_recipe(network, a_set(SMALL, preparation))
    small = default_recipe(network, a_set(SMALL - 1, preparation))
    assert small == RECIPES[f"{large.name}-small"]
    assert small.batch_size <= large.batch_size
    if network == "modern":
        assert not large.distortions.flip  # of a person's own pictures nobody knows
    if preparation == "digit":
        assert large == default_recipe(network)


def test_garments_are_mirrored_and_digits_are_not():
    garments = dataclasses.replace(a_set(SMALL, "garment"), name="fashion-mnist")
    assert default_recipe("modern", garments) == RECIPES["garment"]
    assert RECIPES["garment"].distortions.flip
    assert not RECIPES["digit"].distortions.flip


def test_a_network_will_do_for_its_name():
    splits = a_set(100, "plain")
    assert default_recipe(build_network("modern"), splits) == default_recipe("modern", splits)
    assert default_recipe(LeNet5(), splits) == default_recipe("tutorial", splits)


def test_every_recipe_says_what_it_is_for():
    assert set(PURPOSES) == set(RECIPES)


def test_no_default_for_what_is_no_network():
    with pytest.raises(InputError, match="lenet6"):
        default_recipe("lenet6")
