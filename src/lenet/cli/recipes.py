"""`lenet recipes`: the named recipes, and every number of one."""

from typing import Annotated, Any

import typer

from lenet.cli.options import RECIPES, Json, completed
from lenet.cli.output import show_json, show_table


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show all numbers of this one.",
            metavar="NAME",
            autocompletion=completed(lambda: RECIPES),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The recipes that lenet train knows, or what one says; any of them runs on any network."""
    if name is None:
        _show_all(as_json)
    else:
        _show_one(name, as_json)


def _show_one(name: str, as_json: bool) -> None:
    from lenet.training.changes import flatten_recipe
    from lenet.training.recipes import PURPOSES, find_recipe

    recipe = find_recipe(name)
    if as_json:
        show_json(recipe.to_dict())
        return
    rows = [(key, _written(value)) for key, value in flatten_recipe(recipe).items()]
    show_table(("--set", "value"), rows, title=f"{name}: {PURPOSES[name]}", names=2)


def _show_all(as_json: bool) -> None:
    from lenet.training.changes import flatten_recipe
    from lenet.training.recipes import PURPOSES, RECIPES

    if as_json:
        show_json({name: {"for": PURPOSES[name], **r.to_dict()} for name, r in RECIPES.items()})
        return
    rows = [
        (
            *(name, PURPOSES[name], recipe.optimizer, recipe.schedule),
            _extras(flatten_recipe(recipe)),
            *(f"{recipe.learning_rate:g}", str(recipe.batch_size), str(recipe.epochs)),
        )
        for name, recipe in RECIPES.items()
    ]
    head = ("recipe", "for", "optimizer", "schedule", "extras", "rate", "batch", "epochs")
    show_table(head, rows, text_columns=5)


def _extras(values: dict[str, Any]) -> str:
    """What a recipe has beside what every one has."""
    named = {
        "weight average": values["weight_average"],
        "label smoothing": values["label_smoothing"],
        "weight decay": values["weight_decay"],
    }
    distorted = [
        name.rpartition(".")[2]
        for name, value in values.items()
        if name.startswith("distortions.") and value
    ]
    found = [f"{name} {value:g}" for name, value in named.items() if value]
    return ", ".join([*distorted, *found]) or "–"


def _written(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
