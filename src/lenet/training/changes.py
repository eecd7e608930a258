"""What of a training goes by a name: the recipe's numbers and the network's options."""

import contextlib
import dataclasses
import types
from collections.abc import Mapping
from typing import Any, get_args

from lenet.data.distortions import Distortions
from lenet.errors import InputError, SettingError, suggestion
from lenet.networks.plans import PLANS, list_options
from lenet.training.recipes import Recipe

_DISTORTIONS, _NETWORK = "distortions", "network"
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def list_names(network: str) -> dict[str, Any]:
    """All that can be changed of a training, and the type of each.

    Parameters
    ----------
    network : str

    Returns
    -------
    types : dict
        By ``field`` of the recipe, ``distortions.field`` and ``network.option``.

    Raises
    ------
    InputError
        When the network is unknown.
    """
    options = {f"{_NETWORK}.{name}": p.annotation for name, p in list_options(network).items()}
    fields = {f.name: f.type for f in dataclasses.fields(Recipe) if f.name != _DISTORTIONS}
    limits = {f"{_DISTORTIONS}.{f.name}": f.type for f in dataclasses.fields(Distortions)}
    return fields | limits | options


def find_name(name: str, network: str) -> str:
    """The full name of what `name` means: ``rotate`` is ``distortions.rotate``.

    Raises
    ------
    InputError
        When it means nothing, or several things; a near miss is suggested.
    """
    known = list_names(network)
    wanted = name.replace("-", "_")
    found = [full for full in known if wanted in (full, full.rpartition(".")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{name!r} may be {' or '.join(found)}: give the whole name")
    short = [full.rpartition(".")[2] for full in known]
    others = [o for o in PLANS if wanted.removeprefix(f"{_NETWORK}.") in list_options(o)]
    hint = (
        f"; network {' or '.join(others)} has it"
        if others
        else suggestion(wanted.rpartition(".")[2], short)
    )
    what = hint or f"; use one of {', '.join(short)}"
    raise InputError(f"{name!r} is nothing that can be set for {network}{what}")


def read_value(name: str, text: str, network: str) -> Any:
    """A value as it was typed, in the type of what it is for.

    Parameters
    ----------
    name : str
        As `find_name` returned it.
    text : str

    Raises
    ------
    SettingError
        When it cannot be such a value.
    """
    kind = list_names(network)[name]
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if types.NoneType in kinds and text.lower() == "none":
        return None
    if bool in kinds and text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    for number, what in ((int, "a whole number"), (float, "a number"), (bool, "true or false")):
        if number in kinds:
            with contextlib.suppress(ValueError):
                if number is not bool:
                    return number(text)
            raise SettingError(name.rpartition(".")[2], f"must be {what}, got {text!r}")
    return text


def split_changes(
    changes: Mapping[str, Any], network: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the recipe's changes, by their full names, from the network's options.

    Raises
    ------
    InputError
        When a name means nothing, or one thing is named twice.
    """
    found: dict[str, Any] = {}
    for name, value in changes.items():
        full = find_name(name, network)
        if full in found:
            raise InputError(f"{full} is given twice: leave one out")
        found[full] = value
    prefix = f"{_NETWORK}."
    options = {n.removeprefix(prefix): v for n, v in found.items() if n.startswith(prefix)}
    return {n: v for n, v in found.items() if not n.startswith(prefix)}, options


def change_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with other values for what `split_changes` found to be the recipe's.

    Raises
    ------
    SettingError
        When a value is out of its range.
    """
    prefix = f"{_DISTORTIONS}."
    limits = {n.removeprefix(prefix): v for n, v in changes.items() if n.startswith(prefix)}
    fields = {n: v for n, v in changes.items() if not n.startswith(prefix)}
    distortions = dataclasses.replace(recipe.distortions, **limits)
    return dataclasses.replace(recipe, distortions=distortions, **fields)


def list_changes(recipe: Recipe, base: Recipe) -> dict[str, Any]:
    """What `change_recipe` must be given to make `recipe` of `base`."""
    ours, theirs = flatten_recipe(recipe), flatten_recipe(base)
    return {name: value for name, value in ours.items() if value != theirs[name]}


def flatten_recipe(recipe: Recipe) -> dict[str, Any]:
    """Every number of a recipe by its full name, in the order of the fields."""
    values: dict[str, Any] = {}
    for name, value in recipe.to_dict().items():
        if name == _DISTORTIONS:
            values |= {f"{_DISTORTIONS}.{limit}": v for limit, v in value.items()}
        else:
            values[name] = value
    return values
