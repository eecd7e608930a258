"""The options that several commands take, and what they accept."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from lenet.errors import suggestion

# What the options take, so that `--help` need not import torch to say it; tests compare them.
NETWORKS = ("tutorial", "modern", "lecun1998")
ENGINES = ("auto", "fused", "torch")
DEVICES = ("auto", "cpu", "cuda")
RECIPES = (
    *("article", "tuned", "tuned-small", "digit", "garment", "plain"),
    *("digit-small", "garment-small", "plain-small", "minibatch", "minibatch-small"),
)
SPLITS = ("train", "validation", "test")
STUDIES = ("scale", "shift", "rotation", "noise", "others")


def choice(flag: str, names: Sequence[str], text: str) -> Any:
    """An option that takes one of `names`, and suggests one for a near miss."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            hint = suggestion(value, names)
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}{hint}")
        return value

    return typer.Option(flag, help=text, metavar="|".join(names), callback=check)


Weights = Annotated[
    str,
    typer.Option(
        "--weights", help="A pretrained network's name, a file, or a run folder.", metavar="W"
    ),
]
Engine = Annotated[str, choice("--engine", ENGINES, "What computes: ours on the CPU, or torch.")]
Device = Annotated[str, choice("--device", DEVICES, "Where torch computes.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def was_given(context: typer.Context, name: str) -> bool:
    """Whether the user typed the option, even if with its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
