"""`lenet find-rate`: a table, JSON and a picture, and what it refuses."""

import pytest
from PIL import Image

from lenet.data.datasets import load_dataset
from lenet.networks import build_network
from lenet.training.rates import SHARES, find_rate
from lenet.training.recipes import RECIPES


@pytest.fixture(scope="module")
def asked(lenet_command, tmp_path_factory):
    place = tmp_path_factory.mktemp("rates") / "rate.png"
    result = lenet_command("find-rate", "--network", "tutorial", "--figure", place, "--json")
    assert result.code == 0, result.err
    return result, place


def test_json_is_what_python_gets(asked):
    found = asked[0].json
    assert list(found) == [
        "data", "network", "recipe", "seed", "suggestion", "lowest", "share", "rates", "losses",
    ]  # fmt: skip
    recipe = RECIPES[found["recipe"]]
    test = find_rate(build_network("tutorial"), load_dataset("digits"), recipe)
    assert found["losses"] == test.losses.tolist()
    assert found["suggestion"] == test.suggestion
    assert found["share"] == SHARES[recipe.schedule]


def test_the_picture_is_written(asked):
    with Image.open(asked[1]) as picture:
        assert picture.width > picture.height > 500


def test_text_says_the_rule_and_what_is_next(lenet_command, asked):
    result = lenet_command("find-rate", "--network", "tutorial")
    found = asked[0].json
    assert "learning rate" in result.out
    assert f"suggested is 50 % of that: {found['suggestion']:g}" in result.out
    assert f"try --learning-rate {found['suggestion']:g} with lenet train" in result.out


def test_settings_and_weights_are_heard(lenet_command):
    result = lenet_command(
        "find-rate",
        "--weights",
        "digits",
        "--set",
        "schedule=constant",
        "--set",
        "seed=3",
        "--json",
    )
    assert result.code == 0, result.err
    assert (result.json["network"], result.json["seed"]) == ("modern", 3)
    assert result.json["share"] == SHARES["constant"]
    assert result.json["losses"][0] < 1


def test_what_is_wrong_is_named_as_it_was_typed(lenet_command):
    result = lenet_command("find-rate", "--set", "batch_size=0")
    assert result.code == 2
    assert "--set batch_size must be a whole number of at least 1" in result.err
    assert lenet_command("find-rate", "--data", "digit").code == 2
