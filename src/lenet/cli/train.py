"""`lenet train`: a network trained into a run folder, with its report."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lenet.cli.options import (
    CLASS_WEIGHTS,
    Data,
    Device,
    Engine,
    Json,
    Network,
    Preparation,
    RecipeName,
    Settings,
    SkipDamaged,
    StartWeights,
    choice,
    was_given,
)
from lenet.cli.output import complain, show, show_json, show_table
from lenet.cli.settings import as_typed, network_of, read_amount, read_changes
from lenet.errors import InputError
from lenet.figures.text import duration, percent, percents
from lenet.progress import Progress

if TYPE_CHECKING:
    from lenet.runs.run import Run


def train(
    context: typer.Context,
    data: Data = "digits",
    network: Network = "modern",
    recipe: RecipeName = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation",
            help="How much of the training images chooses the best epoch; 0: all are learnt from, "
            "and the last epoch is kept.",
            metavar="FRACTION|N",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            help="Cross-validation: as many runs, each tested on its fold of what is not test.",
            metavar="K",
        ),
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
    class_weights: Annotated[
        str | None,
        choice(
            "--class-weights",
            CLASS_WEIGHTS,
            "Whether rare classes weigh as much as frequent ones.",
        ),
    ] = None,
    settings: Settings = None,
    preparation: Preparation = "auto",
    skip_damaged: SkipDamaged = False,
    weights: StartWeights = None,
    engine: Engine = "auto",
    device: Device = "auto",
    out: Annotated[
        Path, typer.Option("--out", help="Where the run folder is made.", metavar="DIR")
    ] = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option("--name", help="The run folder's name.", metavar="NAME"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            help="Continue an interrupted run; its settings are kept. With --epochs (and "
            "--patience) to more epochs, after its end too.",
            metavar="DIR",
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Write each epoch's figures for TensorBoard into the run folder."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a network; everything goes into a run folder, with a report."""
    if resume is not None:
        _refuse_other_settings(context, resume)
    with Progress() as progress:
        progress.wait("loading torch")
        from lenet import runs
        from lenet.engines import select_engine
        from lenet.fitting import follow
        from lenet.runs.tensorboard import find_writer

        if tensorboard:
            find_writer()  # before a folder is made

        progress.wait(f"reading {data if resume is None else resume}")
        if resume is not None:
            chosen = was_given(context, "engine") or was_given(context, "device")
            run = runs.open_run(
                resume,
                data=data if was_given(context, "data") else None,
                engine=select_engine(engine, device) if chosen else None,
            )
            if epochs is not None or patience is not None:
                with as_typed({"epochs": "--epochs", "patience": "--patience"}):
                    run = runs.extend_run(run, epochs, patience)
        else:
            kind = network if weights is None or was_given(context, "network") else None
            flags = {
                "epochs": epochs,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "class_weights": class_weights,
                "seed": seed,
                "patience": patience,
            }
            changes, typed = read_changes(flags, settings or [], kind or network_of(weights))
            plan: dict[str, Any] = {
                "data": data,
                "network": kind,
                "recipe": recipe,
                "validation": None if validation is None else read_amount(validation),
                "preparation": preparation,
                "skip_damaged": skip_damaged,
                "changes": changes,
                "weights": weights,
                "out": out,
                "name": name,
                "engine": select_engine(engine, device),
            }
            with as_typed({**typed, "name": "--name"}):
                if folds is not None:
                    _cross_validate(folds, plan, progress, as_json)
                    return
                run = runs.create_run(**plan)
        try:
            run = follow(run, progress, tensorboard=tensorboard)
        except KeyboardInterrupt:
            command = f"lenet train --resume {shlex.quote(str(run.folder))}"
            raise KeyboardInterrupt(f"go on with: {command}") from None
    if as_json:
        show_json(run.results)
    else:
        _show_run(run, progress.seconds)
    if not run.diagnosis.learned:
        raise typer.Exit(complain(f"{run.diagnosis.sentence} {run.diagnosis.advice}", 1))


def _cross_validate(folds: int, plan: dict[str, Any], progress: Progress, as_json: bool) -> None:
    from lenet.cross_validation import train_folds

    result = train_folds(progress, folds=folds, **plan)
    if as_json:
        show_json(result.to_dict())
        return
    show_table(
        ["run", "accuracy", "wrong", "images"],
        [
            [str(run.folder), percent(test.accuracy), f"{test.n_errors:,}", f"{test.n_images:,}"]
            for run in result.runs
            for test in [run.evaluate()]
        ],
    )
    show(
        f"accuracy {percent(result.mean)}, standard deviation of the folds "
        f"{percent(result.deviation)}; of all together {result.n_errors:,} of "
        f"{result.n_images:,} wrong (95 % interval {percents(*result.interval)})"
    )


def _refuse_other_settings(context: typer.Context, resume: Path) -> None:
    """A resumed run may become longer, find its data elsewhere, change its engine; no more."""
    allowed = {"resume", "data", "epochs", "patience", "engine", "device", "as_json", "tensorboard"}
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


def _show_run(run: "Run", seconds: float) -> None:
    assert run.state is not None
    test = run.evaluation["test"]
    others = [
        f"{name} accuracy {percent(run.evaluation[name].accuracy)}"
        for name in ("validation", "train")
        if name in run.evaluation
    ]
    show(
        f"test accuracy {percent(test.accuracy)} (95 % interval {percents(*test.interval)}), "
        f"{test.n_errors:,} of {test.n_images:,} wrong"
    )
    show(", ".join(others))
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
