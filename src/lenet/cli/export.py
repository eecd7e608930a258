"""`lenet export`: weights in other programs' formats, each checked before it is written."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lenet.cli.options import POOLINGS, choice, completed, dataset_names, weight_names
from lenet.cli.output import show

if TYPE_CHECKING:
    from lenet.networks import LeNet

app = typer.Typer()

Weights = Annotated[
    str,
    typer.Argument(
        help="A pretrained network's name, a file, or a run folder.",
        metavar="W",
        autocompletion=completed(weight_names),
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Written, or replaced.", metavar="FILE")]


def _activation_names() -> Iterable[str]:
    from lenet.networks.activations import SQUASHES

    return SQUASHES


@app.callback(invoke_without_command=True)
def door(context: typer.Context) -> None:
    """Write weights for other programs, and check that they give the same scores."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("article")
def export_article(weights: Weights, out: Out = Path("model.pth")) -> None:
    """A state dict for the article's own class (PyTorch): features.0.weight …"""
    from lenet.export.article import article_file

    _write(weights, out, article_file)


@app.command("onnx")
def export_onnx(weights: Weights, out: Out = Path("model.onnx")) -> None:
    """An ONNX graph: images (N, 1, 32, 32), 0 paper, 1 ink, to scores; tried in ONNX Runtime."""
    from lenet.export.onnx import check_onnx, onnx_model

    def checked(network: "LeNet") -> bytes:
        model = onnx_model(network)
        show(check_onnx(model, network))
        return model

    _write(weights, out, checked)


@app.command("safetensors")
def export_safetensors(
    weights: Weights,
    out: Out = Path("model.safetensors"),
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation",
            help="What the network of a .pth squashes with; the article's: sigmoid.",
            metavar="NAME",
            autocompletion=completed(_activation_names),
        ),
    ] = None,
    pooling: Annotated[
        str | None,
        choice("--pooling", POOLINGS, "How it pools; the article: average."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="The data set whose classes it knows; the article's: fashion-mnist.",
            metavar="NAME",
            autocompletion=completed(dataset_names),
        ),
    ] = None,
) -> None:
    """A file of lenet's own, that says what the .pth of another program does not."""
    from lenet.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
    from lenet.data.catalogue import find_dataset

    checkpoint = load_checkpoint(weights, activation=activation, pooling=pooling)
    if data is not None:
        known = find_dataset(data)
        preprocessing = dataclasses.replace(checkpoint.preprocessing, preparation=known.preparation)
        checkpoint = Checkpoint(
            checkpoint.model, preprocessing, known.class_names, checkpoint.metadata
        )
    save_checkpoint(out, checkpoint)
    show(str(out))


def _write(weights: str, out: Path, export: "Callable[[LeNet], bytes]") -> None:
    from lenet.checkpoints import load_checkpoint
    from lenet.export.inputs import take_pixels
    from lenet.files import write_atomic

    checkpoint = load_checkpoint(weights)
    write_atomic(out, export(take_pixels(checkpoint.network, checkpoint.preprocessing)))
    show(str(out))
