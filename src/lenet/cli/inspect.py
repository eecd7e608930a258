"""`lenet summary` and `lenet models`: the networks layer by layer, and the pretrained ones."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from lenet.cli.options import NETWORKS, Json, choice
from lenet.cli.output import show, show_json, show_table
from lenet.errors import InputError, suggestion
from lenet.figures.text import percent


def summary(
    network: Annotated[str | None, choice("--network", NETWORKS, "Only this one.")] = None,
    classes: Annotated[int, typer.Option("--classes", help="Number of classes.")] = 10,
    as_json: Json = False,
) -> None:
    """Show each network layer by layer: shapes, parameters, connections, multiply-adds."""
    from lenet.networks.plans import plan_network
    from lenet.networks.summary import summarize

    names = NETWORKS if network is None else (network,)
    tables = {name: summarize(plan_network(name, classes)) for name in names}
    if as_json:
        show_json(
            {name: [dataclasses.asdict(row) for row in rows] for name, rows in tables.items()}
        )
        return
    for name, rows in tables.items():
        show_table(
            rows.head,
            rows.cells(),
            title=name,
            text_columns=rows.text_columns,
            names=0,
        )


def models(
    name: Annotated[
        str | None, typer.Argument(help="The whole card of this one.", metavar="[NAME]")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the pretrained networks, or show what is known of one."""
    from lenet.checkpoints import pretrained_weights

    cards = pretrained_weights()
    if name is not None and name not in cards:
        known = ", ".join(cards) or "none"
        raise InputError(
            f"no pretrained network {name!r}; there are {known}{suggestion(name, cards)}"
        )
    if as_json:
        show_json(cards if name is None else cards[name])
    elif name is not None:
        for key, value in cards[name].items():
            show(f"{key.replace('_', ' ')}: {_plain(value)}")
    elif cards:
        show_table(
            ("name", "data", "network", "parameters", "test", "size"),
            [_row(name, card) for name, card in cards.items()],
            text_columns=3,
            names=3,
        )
        show("more of one, its limits too: lenet models NAME")
    else:
        show("no pretrained networks are here; make one with: lenet train")


def _row(name: str, card: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        name,
        card["data"]["name"],
        card["network"],
        f"{card['parameters']:,}",
        percent(card["test_accuracy"]),
        f"{card['size_bytes'] / 1000:.0f} kB",
    )


def _plain(value: Any) -> str:
    """A JSON value as a phrase."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
