"""The options that several commands take, and what they accept."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from lenet.errors import suggestion

# What the options take, so that `--help` need not import torch to say it; tests compare them.
NETWORKS = ("tutorial", "modern", "lecun1998")
ENGINES = ("auto", "fused", "torch")
DEVICES = ("auto", "cpu", "cuda")
SPLITS = ("train", "validation", "test")


def one_of(*names: str) -> Callable[[str | None], str | None]:
    """Check a value against what an option takes; a near miss is suggested."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            hint = suggestion(value, names)
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}{hint}")
        return value

    return check


def option(*names: str, text: str, choices: Sequence[str] = (), metavar: str | None = None) -> Any:
    """An option with its help; of `choices`, if there are any, it takes nothing else."""
    if choices:
        return typer.Option(*names, help=text, metavar="|".join(choices), callback=one_of(*choices))
    return typer.Option(*names, help=text, metavar=metavar)


Engine = Annotated[
    str, option("--engine", text="What computes: ours on the CPU, or torch.", choices=ENGINES)
]
Device = Annotated[str, option("--device", text="Where torch computes.", choices=DEVICES)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def was_given(context: typer.Context, name: str) -> bool:
    """Whether the user typed the option, even if with its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
