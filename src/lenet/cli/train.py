"""`lenet train`: a network trained into a run folder, with its report."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lenet.cli.options import NETWORKS, Device, Engine, Json, choice, was_given
from lenet.cli.output import complain, show, show_json
from lenet.cli.progress import EpochTable, Progress
from lenet.errors import InputError
from lenet.figures.text import duration, percent, percents

if TYPE_CHECKING:
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
    if resume is not None:
        _refuse_other_settings(context, resume)
    with Progress() as progress:
        progress.wait("loading torch")
        from lenet.engines import select_engine
        from lenet.training import runs

        progress.wait(f"reading {data if resume is None else resume}")
        if resume is not None:
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
        run = _finish(run, progress)
    if as_json:
        show_json(run.results)
    else:
        _show_run(run, progress.seconds)
    if not run.diagnosis.learned:
        raise typer.Exit(complain(f"{run.diagnosis.sentence} {run.diagnosis.advice}", 1))


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


def _finish(run: "Run", progress: Progress) -> "Run":
    """Train to the end, show how it goes, draw the figures."""
    from lenet.training.runs import finish_run

    progress.say(
        f"{run.splits.name}: {len(run.splits.train):,} train, {len(run.splits.validation):,} "
        f"validation, {len(run.splits.test):,} test images of {len(run.splits.class_names)} classes"
    )
    progress.say(f"{run.network.name}, recipe {run.recipe.name}, seed {run.recipe.seed}")
    progress.say(run.engine.notice)
    progress.say(f"run folder {run.folder}")
    done = run.state.epoch if run.state is not None else 0
    if run.results is not None:
        progress.say("the run was finished before")
    elif done:
        progress.say(f"going on after epoch {done}")
    table = EpochTable(progress, run.recipe.epochs, done, len(run.splits.train))
    try:
        run = finish_run(run, table.on_epoch, table.on_step, table.on_progress)
        progress.wait("drawing the report")
        from lenet.report import write_report

        write_report(run)
    except KeyboardInterrupt:
        resume = f"lenet train --resume {shlex.quote(str(run.folder))}"
        raise KeyboardInterrupt(f"go on with: {resume}") from None
    return run


def _show_run(run: "Run", seconds: float) -> None:
    assert run.state is not None
    test = run.evaluation["test"]
    show(
        f"test accuracy {percent(test.accuracy)} (95 % interval {percents(*test.interval)}), "
        f"{test.n_errors:,} of {test.n_images:,} wrong"
    )
    show(
        f"validation {percent(run.evaluation['validation'].accuracy)}, "
        f"train {percent(run.evaluation['train'].accuracy)}"
    )
    show(
        f"best epoch {run.state.best_epoch} of {run.state.epoch}; "
        f"{duration(run.state.history[-1].elapsed_seconds)} of training, "
        f"{duration(seconds)} in all"
    )
    if run.diagnosis.learned:  # otherwise it is the last line of all
        show(run.diagnosis.sentence)
        if run.diagnosis.advice:
            show(run.diagnosis.advice)
    show(f"report: {run.folder / 'report.html'}")
    show(f"use it: lenet predict PICTURE --weights {shlex.quote(str(run.folder))}")
