"""What can be changed of a training by a name, and in which type."""

import dataclasses

import pytest

from lenet.errors import InputError, SettingError
from lenet.training.changes import (
    change_recipe,
    find_name,
    flatten_recipe,
    list_changes,
    list_names,
    read_value,
    split_changes,
)
from lenet.training.recipes import RECIPES


def test_every_field_and_every_option_has_a_name():
    names = list_names("modern")
    assert {"epochs", "distortions.rotate", "network.dropout", "network.batch_norm"} <= set(names)
    assert set(names) >= set(flatten_recipe(RECIPES["digit"]))
    assert "network.characters" in list_names("lecun1998")
    assert not [name for name in list_names("tutorial") if name.startswith("network.")]


@pytest.mark.parametrize("name", ["rotate", "distortions.rotate"])
def test_the_first_word_may_be_left_out(name):
    assert find_name(name, "modern") == "distortions.rotate"


def test_a_name_that_fits_twice_is_to_be_given_whole(monkeypatch):
    monkeypatch.setattr(
        "lenet.training.changes.list_names", lambda _: {"seed": int, "network.seed": int}
    )
    with pytest.raises(InputError, match=r"seed or network\.seed"):
        find_name("seed", "modern")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "3", 3),
        ("patience", "none", None),
        ("patience", "2", 2),
        ("learning_rate", "1e-3", 0.001),
        ("optimizer", "sgd", "sgd"),
        ("distortions.flip", "Yes", True),
        ("network.batch_norm", "false", False),
        ("network.dropout", "1", 1.0),
    ],
)
def test_a_value_is_read_in_the_type_of_what_it_is_for(name, text, value):
    read = read_value(name, text, "modern")
    assert read == value
    assert type(read) is type(value)


def test_digits_can_be_text():
    assert read_value("network.characters", "0123", "lecun1998") == "0123"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("epochs", "3.5", "a whole number"),
        ("patience", "never", "a whole number"),
        ("weight_decay", "", "a number"),
        ("distortions.flip", "1", "true or false"),
    ],
)
def test_a_value_of_another_kind_is_refused(name, text, kind):
    with pytest.raises(SettingError, match=kind) as caught:
        read_value(name, text, "modern")
    assert caught.value.name == name.rpartition(".")[2]
    assert repr(text) in str(caught.value)


def test_changes_go_to_the_recipe_or_to_the_network():
    changes, options = split_changes({"dropout": 0.2, "rotate": 0.3, "epochs": 2}, "modern")
    assert options == {"dropout": 0.2}
    recipe = change_recipe(RECIPES["digit"], changes)
    assert (recipe.epochs, recipe.distortions.rotate) == (2, 0.3)
    assert recipe.distortions.shift == RECIPES["digit"].distortions.shift
    with pytest.raises(InputError, match="twice"):
        split_changes({"rotate": 0.2, "distortions.rotate": 0.3}, "modern")


def test_the_difference_of_two_recipes_makes_one_of_the_other():
    ours, theirs = RECIPES["garment"], RECIPES["article"]
    changes = list_changes(ours, theirs)
    assert change_recipe(theirs, changes) == ours
    assert list_changes(ours, ours) == {}
    assert list(list_changes(dataclasses.replace(ours, epochs=3), ours)) == ["epochs"]
