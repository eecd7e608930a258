"""`lenet summary` and `lenet models`: the networks layer by layer, and the pretrained ones."""

import dataclasses
from typing import Annotated, Any

import typer

from lenet.cli.options import NETWORKS, Json, choice
from lenet.cli.output import show, show_json, show_table


def summary(
    network: Annotated[str | None, choice("--network", NETWORKS, "Only this one.")] = None,
    classes: Annotated[int, typer.Option("--classes", help="Number of classes.")] = 10,
    as_json: Json = False,
) -> None:
    """Show each network layer by layer: shapes, parameters, connections, multiply-adds."""
    from lenet.networks import build_network
    from lenet.networks.summary import summarize

    names = NETWORKS if network is None else (network,)
    tables = {name: summarize(build_network(name, classes)) for name in names}
    if as_json:
        show_json(
            {name: [dataclasses.asdict(row) for row in rows] for name, rows in tables.items()}
        )
        return
    for name, rows in tables.items():
        total = [
            f"{sum(getattr(row, field) for row in rows):,}"
            for field in ("parameters", "connections", "multiply_adds")
        ]
        show_table(
            ("layer", "kind", "output", "parameters", "connections", "multiply-adds"),
            [
                (
                    row.layer,
                    row.kind,
                    " × ".join(map(str, row.output_shape)),
                    f"{row.parameters:,}",
                    f"{row.connections:,}",
                    f"{row.multiply_adds:,}",
                )
                for row in rows
            ]
            + [("total", "", "", *total)],
            title=name,
            text_columns=2,
        )


def models(as_json: Json = False) -> None:
    """List the pretrained networks, and what is known of them."""
    from lenet.checkpoints import pretrained_weights

    cards = pretrained_weights()
    if as_json:
        show_json(cards)
        return
    if not cards:
        show("no pretrained networks are here; make one with: lenet train")
    for name, card in cards.items():
        show(name)
        for key, value in card.items():
            if key != "name":
                show(f"  {key.replace('_', ' ')}: {_plain(value)}")


def _plain(value: Any) -> str:
    """A JSON value as a phrase."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
