"""`lenet train`: a network trained into a run folder, with its report."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lenet.cli.options import NETWORKS, Device, Engine, Json, choice, was_given
from lenet.cli.output import say, show, show_json
from lenet.errors import InputError
from lenet.figures.text import clock, percent

if TYPE_CHECKING:
    from lenet.training.history import Epoch
    from lenet.training.recipes import Recipe
    from lenet.training.runs import Run


def train(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="digits, fashion-mnist, mnist, or a folder with one subfolder per class.",
            metavar="NAME|FOLDER",
        ),
    ] = "digits",
    network: Annotated[str, choice("--network", NETWORKS, "Which LeNet-5.")] = "modern",
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A named recipe; by default the network's.", metavar="NAME"),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Images a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The rate, or the peak of its cycle.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed, the same weights.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option("--patience", help="Stop after so many epochs without a better one."),
    ] = None,
    engine: Engine = "auto",
    device: Device = "auto",
    out: Annotated[
        Path, typer.Option("--out", help="Where the run folder is made.", metavar="DIR")
    ] = Path("runs"),
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", help="Continue an interrupted run; its settings are kept.", metavar="DIR"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network; everything goes into a run folder, with a report."""
    from lenet.engines import select_engine
    from lenet.training import runs

    if resume is not None:
        _refuse_other_settings(context, resume)
        chosen = was_given(context, "engine") or was_given(context, "device")
        run = runs.open_run(resume, engine=select_engine(engine, device) if chosen else None)
    else:
        changes = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "patience": patience,
        }
        run = runs.create_run(
            data,
            network,
            out=out,
            engine=select_engine(engine, device),
            recipe=_recipe(recipe) if recipe is not None else None,
            changes={name: value for name, value in changes.items() if value is not None},
        )
    run = _finish(run)
    if as_json:
        show_json(run.results)
    else:
        _show_run(run)


def _recipe(name: str) -> "Recipe":
    from lenet.training.recipes import find_recipe

    if name == "paper":
        raise InputError(
            "recipe 'paper' learns one pattern at a time, sixteen networks side by side: "
            "run it with lenet reproduce; lenet train has 'minibatch' for the same network"
        )
    return find_recipe(name)


def _refuse_other_settings(context: typer.Context, resume: Path) -> None:
    """A resumed run may change its engine, and nothing that decides its weights."""
    allowed = {"resume", "engine", "device", "as_json"}
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name and option.name not in allowed and was_given(context, option.name)
    ]
    if given:
        raise InputError(
            f"--resume keeps the settings of {resume}: leave out {', '.join(given)}, "
            f"or start a new run"
        )


def _finish(run: "Run") -> "Run":
    """Train to the end, show how it goes, draw the figures."""
    from lenet.report import write_report
    from lenet.training.runs import finish_run

    say(
        f"{run.splits.name}: {len(run.splits.train):,} train, {len(run.splits.validation):,} "
        f"validation, {len(run.splits.test):,} test images of {len(run.splits.class_names)} classes"
    )
    say(f"{run.network.name}, recipe {run.recipe.name}, seed {run.recipe.seed}")
    say(run.engine.notice)
    say(f"run folder {run.folder}")
    done = run.state.epoch if run.state is not None else 0
    if run.results is not None:
        say("the run was finished before")
    elif done:
        say(f"going on after epoch {done}")
    try:
        with _progress(run.recipe.epochs, done) as (on_epoch, on_progress):
            run = finish_run(run, on_epoch, on_progress)
        write_report(run)
    except KeyboardInterrupt:
        resume = f"lenet train --resume {shlex.quote(str(run.folder))}"
        raise KeyboardInterrupt(f"go on with: {resume}") from None
    return run


@contextlib.contextmanager
def _progress(
    epochs: int, done: int
) -> Iterator[tuple[Callable[["Epoch"], None], Callable[[str], None]]]:
    """A line for every epoch and for what is waited for; on a terminal a bar below them."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("epoch {task.completed}/{task.total}"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    width = len(str(epochs))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=epochs, completed=done)

        def on_epoch(epoch: "Epoch") -> None:
            left = epoch.elapsed_seconds / epoch.epoch * (epochs - epoch.epoch)
            line = (
                f"epoch {epoch.epoch:{width}}/{epochs}  "
                f"train loss {epoch.train_loss:.4f} accuracy {percent(epoch.train_accuracy)}  "
                f"validation loss {epoch.validation_loss:.4f} "
                f"accuracy {percent(epoch.validation_accuracy)}  "
                f"{epoch.images_per_second:,.0f} images/s  {clock(left)} left"
            )
            console.print(line, markup=False)
            bar.update(task, completed=epoch.epoch)

        yield on_epoch, partial(console.print, markup=False)


def _show_run(run: "Run") -> None:
    assert run.state is not None
    test = run.evaluation["test"]
    show(
        f"test accuracy {percent(test.accuracy)} ± {100 * test.standard_error:.2f} "
        f"({test.n_errors:,} of {test.n_images:,} images wrong); "
        f"validation {percent(run.evaluation['validation'].accuracy)}, "
        f"train {percent(run.evaluation['train'].accuracy)}"
    )
    show(
        f"best epoch {run.state.best_epoch} of {run.state.epoch}, "
        f"{run.state.history[-1].elapsed_seconds:.1f} s of training"
    )
    show(f"report: {run.folder / 'report.html'}")
    show(f"use it: lenet predict PICTURE --weights {shlex.quote(str(run.folder))}")
