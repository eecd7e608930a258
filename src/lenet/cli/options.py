"""The options that several commands take, and what they accept."""

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lenet.errors import suggestion

# What the options take, so that `--help` need not import torch to say it; tests compare them.
NETWORKS = ("tutorial", "modern", "lecun1998")
ENGINES = ("auto", "numpy", "fused", "torch")
TRAINING_ENGINES = ("auto", "fused", "torch")
DEVICES = ("auto", "cpu", "cuda")
PREPARATIONS = ("auto", "digit", "garment", "plain")
RECIPES = (
    *("article", "tuned", "tuned-small", "digit", "garment", "object", "plain"),
    *("digit-small", "garment-small", "object-small", "plain-small"),
    *("minibatch", "minibatch-small"),
)
CLASS_WEIGHTS = ("none", "balanced")
POOLINGS = ("max", "average")
SPLITS = ("train", "validation", "test")
STUDIES = ("scale", "shift", "rotation", "noise", "others")


def completed(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for a word that has been begun; it offers files where nothing fits."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def dataset_names() -> Iterable[str]:
    """Those that need no folder."""
    from lenet.data.catalogue import DATASETS

    return DATASETS


def weight_names() -> Iterable[str]:
    """The pretrained ones; reads none of them."""
    found = (entry.name.partition(".") for entry in (files("lenet") / "weights").iterdir())
    return sorted(name for name, _, kind in found if kind == "safetensors")


def choice(flag: str, names: Sequence[str], text: str) -> Any:
    """An option that takes one of `names`, and suggests one for a near miss."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            hint = suggestion(value, names)
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}{hint}")
        return value

    return typer.Option(
        flag,
        help=text,
        metavar="|".join(names),
        callback=check,
        autocompletion=completed(lambda: names),
    )


Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        help="A pretrained network's name, a file, or a run folder.",
        metavar="W",
        autocompletion=completed(weight_names),
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="digits, fashion-mnist, mnist, or a folder with one subfolder per class.",
        metavar="NAME|FOLDER",
        autocompletion=completed(dataset_names),
    ),
]
Network = Annotated[str, choice("--network", NETWORKS, "Which LeNet-5.")]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help=f"How to train: {', '.join(RECIPES)} (see lenet recipes); by default the "
        "network's for such data.",
        metavar="NAME",
        autocompletion=completed(lambda: RECIPES),
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other number of the recipe or option of the network, such as dropout=0.2, "
        "activation=tanh, rotate=0.1; may be given again.",
        metavar="NAME=VALUE",
    ),
]
StartWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Trained weights to start from: a pretrained network's name, a file, a run.",
        metavar="W",
    ),
]
if TYPE_CHECKING:  # typer sees text, of which `choice` lets through nothing else
    from lenet import engines

    Engine = engines.TrainingEngineName
    Scorer = engines.EngineName
    Device = engines.DeviceName
else:
    Engine = Annotated[
        str, choice("--engine", TRAINING_ENGINES, "What computes: ours on the CPU, or torch.")
    ]
    Scorer = Annotated[
        str, choice("--engine", ENGINES, "What computes: NumPy at once, ours compiled, or torch.")
    ]
    Device = Annotated[str, choice("--device", DEVICES, "Where torch computes.")]
Preparation = Annotated[
    str,
    choice(
        "--preparation",
        PREPARATIONS,
        "How pictures of a folder become 28×28: cropped as a digit or as a garment, or whole.",
    ),
]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out pictures that cannot be read.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def was_given(context: typer.Context, name: str) -> bool:
    """Whether the user typed the option, even if with its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
