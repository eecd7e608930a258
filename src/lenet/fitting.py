"""A training from data to report, followed as it goes: what `lenet train` and `lenet.fit` do."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lenet.data.preprocessing import Wish
from lenet.engines import Engine
from lenet.progress import EpochTable, Progress
from lenet.runs import Run, create_run, finish_run
from lenet.runs.tensorboard import find_writer, writing_scalars
from lenet.training.history import Epoch
from lenet.training.losses import Loss
from lenet.training.optimizers import BuildOptimizer
from lenet.training.recipes import Recipe


def fit(
    data: str | Path = "digits",
    network: str | None = None,
    recipe: Recipe | str | None = None,
    *,
    validation: int | float | None = None,
    preparation: Wish = "auto",
    skip_damaged: bool = False,
    changes: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    loss: Loss | None = None,
    optimizer: BuildOptimizer | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    engine: Engine | None = None,
    verbose: bool = True,
    tensorboard: bool = False,
) -> Run:
    """Train in a new run folder and write its report: what `lenet train` does.

    Parameters
    ----------
    data : str or Path
        A data set's name, or a folder of pictures: as for `lenet.load_dataset`.
    network : str, optional
        ``"tutorial"``, ``"modern"`` or ``"lecun1998"``; that of `weights`, else ``"modern"``.
    recipe : Recipe or str, optional
        One, or the name of one; the network's default for such data when not given.
    validation : int or float, optional
        How many of the training images, or which fraction, choose the best epoch; with 0 the last
        epoch's weights are kept.
    preparation : {"auto", "digit", "garment", "plain"}
        How the pictures of a folder become 28×28.
    skip_damaged : bool
        Leave out pictures that cannot be read, instead of naming them.
    changes : dict, optional
        Fields of the recipe and options of the network that shall have other values:
        ``{"epochs": 3, "dropout": 0.2}``.
    weights : str or Path, optional
        Trained weights to start from, as `lenet.load_checkpoint` takes them.
    loss, optimizer : callable, optional
        As for `lenet.train`.
    out : str or Path
        Where the run folder is made.
    name : str, optional
        The folder's; ``<data>-<network>-<n>`` when not given.
    engine : Engine, optional
        What `lenet.select_engine` chooses when not given.
    verbose : bool
        Print what is waited for, and a row for each epoch.
    tensorboard : bool
        Write each epoch's figures into the run folder for TensorBoard, which must be installed.

    Returns
    -------
    run : Run
        Finished, with its results; a notebook shows its curves and a table.

    Raises
    ------
    LenetError
        When the data, the network, the folder or TensorBoard cannot be had, or the training
        diverges.
    """
    if tensorboard:
        find_writer()  # before a folder is made
    with Progress(silent=not verbose) as progress:
        progress.wait(f"reading {data}")
        run = create_run(
            data,
            network,
            recipe,
            validation=validation,
            preparation=preparation,
            skip_damaged=skip_damaged,
            changes=changes,
            weights=weights,
            loss=loss,
            optimizer=optimizer,
            out=out,
            name=name,
            engine=engine,
        )
        return follow(run, progress, tensorboard=tensorboard)


def follow(run: Run, progress: Progress, *, tensorboard: bool = False) -> Run:
    """Train a run to its end and draw its report, while a person looks on.

    Parameters
    ----------
    run : Run
        From `lenet.runs.create_run` or `open_run`.
    progress : Progress
    tensorboard : bool
        As for `fit`.

    Returns
    -------
    run : Run
        Finished.

    Raises
    ------
    LenetError
        As `lenet.runs.finish_run` and `lenet.report.write_report`.
    """
    for line in _headings(run):
        progress.say(line)
    done = run.state.epoch if run.state is not None else 0
    table = EpochTable(progress, run.recipe.epochs, done, len(run.splits.train))
    with contextlib.ExitStack() as stack:
        watchers: list[Callable[[Epoch], object]] = [table.on_epoch]
        if tensorboard and run.results is None:
            watchers.append(stack.enter_context(writing_scalars(run)))

        def on_epoch(epoch: Epoch) -> None:
            for watch in watchers:
                watch(epoch)

        run = finish_run(run, on_epoch, table.on_step, table.on_progress)
    progress.wait("drawing the report")
    from lenet.report import write_report  # matplotlib comes with it

    write_report(run)
    return run


def _headings(run: Run) -> list[str]:
    """What is trained on what, from where and into what: a line each."""
    splits = run.splits
    lines = [
        f"{splits.name}: {len(splits.train):,} train, {len(splits.validation):,} "
        f"validation, {len(splits.test):,} test images of {len(splits.class_names)} classes",
        *splits.remarks,
        f"{run.network.name}, recipe {run.recipe.name}, seed {run.recipe.seed}",
    ]
    if run.start is not None:
        kept = run.start.checkpoint.class_names == splits.class_names
        layer = "output layer included" if kept else "new output layer"
        lines.append(f"starting from {run.start.source}, {layer}")
    lines += [run.engine.notice, f"run folder {run.folder}"]
    if run.results is not None:
        lines.append("the run was finished before")
    elif run.state is not None:
        lines.append(f"going on after epoch {run.state.epoch}")
    return lines
