"""The run folder: a training on disk that can be interrupted at any moment and continued."""

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from lenet.checkpoints import (
    MODEL_FILE,
    Checkpoint,
    check_class_names,
    describe_origin,
    load_checkpoint,
    save_checkpoint,
)
from lenet.data.catalogue import DATASETS
from lenet.data.datasets import load_dataset
from lenet.data.preprocessing import Wish
from lenet.data.splits import Splits
from lenet.engines import Engine, select_engine
from lenet.errors import DataError, InputError, RunError
from lenet.evaluation import Evaluation, evaluate
from lenet.files import write_atomic
from lenet.machine import describe_system, list_versions
from lenet.networks import LeNet, build_network
from lenet.training.changes import change_recipe, split_changes
from lenet.training.folders import (
    SETTINGS_FILE,
    STATE_FOLDER,
    check_name,
    locked,
    make_folder,
    read_settings,
    remove_leftovers,
    write_settings,
)
from lenet.training.history import Epoch, State
from lenet.training.loop import train
from lenet.training.recipes import Recipe, default_recipe, find_recipe
from lenet.training.run import Run
from lenet.training.states import read_state, write_state
from lenet.trust import learn_trust

HISTORY_FILE = "history.csv"
PARTS = ("train", "validation", "test")


def create_run(
    data: str | Path = "digits",
    network: str = "modern",
    recipe: Recipe | str | None = None,
    *,
    validation: int | float | None = None,
    preparation: Wish = "auto",
    skip_damaged: bool = False,
    changes: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    engine: Engine | None = None,
) -> Run:
    """Load the data and make a folder with the settings; nothing is trained yet.

    Parameters
    ----------
    data : str or Path
        A name in `lenet.data.catalogue.DATASETS`, or a folder of pictures.
    network : str
    recipe : Recipe or str, optional
        One, or the name of one; the network's default for such data when not given.
    validation : int or float, optional
        As for `lenet.load_dataset`; with 0 the last epoch's weights are kept.
    preparation, skip_damaged
        As for `lenet.load_dataset`.
    changes : dict, optional
        Fields of the recipe that shall have other values, and options of the network:
        ``{"epochs": 3, "distortions.rotate": 0.1, "network.dropout": 0.2}``. The first word may be
        left out.
    out : str or Path
        Where the folder is made.
    name : str, optional
        The folder's; ``<data>-<network>-<n>`` when not given.
    engine : Engine, optional

    Raises
    ------
    LenetError
        When the data, the network or the folder cannot be had.
    """
    if name is not None:
        check_name(name)
    changed, options = split_changes(changes or {}, network)
    if isinstance(recipe, str):
        recipe = find_recipe(recipe)
    source = _name_source(data)
    loading: dict[str, Any] = {"validation": validation}
    splits = load_dataset(data, preparation=preparation, skip_damaged=skip_damaged, **loading)
    if source not in DATASETS:  # what was chosen is kept, so that a resumed run has the same
        loading |= {"preparation": splits.preparation, "skip_damaged": skip_damaged}
    for part in PARTS:
        if len(splits.part(part)) == 0 and not (part == "validation" and validation == 0):
            raise DataError(f"{splits.name} has no {part} images; add some to every class")
    built = build_network(network, num_classes=len(splits.class_names), **options)
    recipe = change_recipe(recipe or default_recipe(network, splits), changed)
    check_class_names(splits.class_names, built.num_classes)  # here, not after the training
    preprocessing, engine = recipe.preprocessing(splits), engine or select_engine()
    folder = make_folder(Path(out), f"{splits.name}-{network}", name)
    run = Run(folder, source, loading, splits, built, recipe, preprocessing, engine)
    _write_settings(run)
    return run


def open_run(
    folder: str | Path, *, data: str | Path | None = None, engine: Engine | None = None
) -> Run:
    """A run from its folder, ready to be finished, or finished already.

    Parameters
    ----------
    folder : str or Path
    data : str or Path, optional
        Where its data set is now, when it has moved; it must be the same to the last bit.
    engine : Engine, optional
        The one it began with when not given. Another one gives slightly other weights.

    Raises
    ------
    RunError
        When the folder is no run, is damaged, or the data set is not the one it began with.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    try:
        source, recipe = settings["data"]["source"], Recipe.from_dict(settings["recipe"])
        name, options = settings["network"], settings["options"]
        wanted = (settings["engine"], settings["device"])
        sha256, results = settings["data"]["sha256"], settings["results"]
        loading = {"validation": settings["data"].get("validation")}
        if source not in DATASETS:  # older runs knew no preparation but plain
            loading |= {
                "preparation": settings["data"].get("preparation", "plain"),
                "skip_damaged": settings["data"].get("skip_damaged", False),
            }
    except (KeyError, TypeError, InputError) as error:
        raise RunError(f"{folder / SETTINGS_FILE} is damaged: {error!r}") from error
    if data is not None:
        source = _find_moved(folder, source, data)
    splits = _load_again(folder, source, loading)
    if splits.sha256 != sha256:
        raise RunError(
            f"{source} is {'no longer' if data is None else 'not'} the data set that {folder} "
            f"began with; put it back, or start a new run"
        )
    if results is not None:
        network = load_checkpoint(folder).network
    else:
        network = build_network(name, num_classes=len(splits.class_names), **options)
    preprocessing, engine = recipe.preprocessing(splits), engine or select_engine(*wanted)
    state = read_state(folder / STATE_FOLDER)
    return Run(
        folder, source, loading, splits, network, recipe, preprocessing, engine, state, results
    )


def _name_source(data: str | Path) -> str:
    """A data set's name as it is; a folder's absolute path."""
    named = isinstance(data, str) and data in DATASETS
    return str(data) if named else str(Path(data).resolve())


def _find_moved(folder: Path, source: str, data: str | Path) -> str:
    """Where the data set of a run is now; a name never becomes a folder, nor the other way."""
    moved = _name_source(data)
    if source != moved and (source in DATASETS or moved in DATASETS):
        raise RunError(f"{moved} is not the data set that {folder} began with: that is {source}")
    return moved


def _load_again(folder: Path, source: str, loading: Mapping[str, Any]) -> Splits:
    if source in DATASETS:
        return load_dataset(source, **loading)
    if not Path(source).exists():
        raise RunError(
            f"{source} is gone, the data set that {folder} began with; say where it is now: "
            f"--resume {folder} --data FOLDER"
        )
    return load_dataset(Path(source), **loading)


def finish_run(
    run: Run,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Run:
    """Train what is left to train, then measure the best weights; the test part is read here, once.

    After an interruption of any kind, kill -9 included, `open_run` and this give the same weight
    file, to the last bit, as one uninterrupted run (same machine, engine, number of threads).

    Parameters
    ----------
    run : Run
        One that was finished before is measured again, and nothing else.
    on_epoch : callable, optional
        Called after every epoch, when it is safe on disk.
    on_step : callable, optional
        Called after every step with how many images of the epoch have been learnt from.
    on_progress : callable, optional
        Told in a few words what is waited for: compiling, then the training itself.

    Returns
    -------
    run : Run
        With results and evaluation.

    Raises
    ------
    RunError
        When another process is at work in the folder.
    LenetError
        When the training diverges or a file cannot be written.
    """
    if run.results is not None:
        return run if run.evaluation else _evaluated(run)

    def keep(epoch: Epoch, state: State) -> None:
        if state.best_epoch == state.epoch:
            _save_best(run, state)
        write_state(run.folder / STATE_FOLDER, state)
        write_atomic(run.folder / HISTORY_FILE, _csv(state).encode())
        if on_epoch is not None:
            on_epoch(epoch)

    with locked(run.folder):
        remove_leftovers(run.folder)
        state = train(
            run.network,
            run.splits,
            run.recipe,
            run.preprocessing,
            engine=run.engine,
            state=run.state,
            on_epoch=keep,
            on_step=on_step,
            on_progress=on_progress,
        )

        run = _evaluated(dataclasses.replace(run, state=state))
        epochs = {"epochs_run": state.epoch, "best_epoch": state.best_epoch}
        metrics = {**epochs, **_metrics(run.evaluation)}
        _save_weights(run, run.network, metrics, final=True)
        write_atomic(run.folder / HISTORY_FILE, _csv(state).encode())

        results = {
            "run": str(run.folder),
            "network": run.network.name,
            "data": run.splits.name,
            "recipe": run.recipe.name,
            "seed": run.recipe.seed,
            **metrics,
            "seconds": round(state.history[-1].elapsed_seconds, 3),
            "diagnosis": dataclasses.asdict(run.diagnosis),
        }
        run = dataclasses.replace(run, results=results)
        _write_settings(run)  # last: only now the run is finished
    return run


def _evaluated(run: Run) -> Run:
    """The run with its network's scores compared with the truth, the test part last."""
    module = run.engine.compile(run.network)
    parts = {name: part for name in PARTS if len(part := run.splits.part(name))}
    scores = {
        name: run.engine.scores(module, part.images, run.preprocessing)
        for name, part in parts.items()
    }
    run.network.cpu()
    evaluation = {
        name: evaluate(scores[name], part.labels, run.splits.class_names)
        for name, part in parts.items()
    }
    return dataclasses.replace(run, evaluation=evaluation, test_scores=scores["test"])


def _metrics(evaluation: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The counts of every part, and the fractions that are made of them."""
    found = {name: evaluation.get(name) for name in PARTS}
    metrics: dict[str, Any] = {f"{name}_accuracy": e and e.accuracy for name, e in found.items()}
    for name, e in found.items():
        metrics |= {
            f"{name}_interval": list(e.interval) if e else None,
            f"{name}_errors": e.n_errors if e else 0,
            f"{name}_images": e.n_images if e else 0,
        }
    return metrics


def _write_settings(run: Run) -> None:
    about_data = {"source": run.source, "name": run.splits.name, "sha256": run.splits.sha256}
    settings = {
        "command": run.command,
        "data": {**about_data, **run.loading},
        "network": run.network.name,
        "options": run.network.options,
        "recipe": run.recipe.to_dict(),
        "engine": run.engine.name,
        "device": run.engine.device.type,
        "threads": torch.get_num_threads(),
        "versions": {**list_versions(), "system": describe_system()},
        "results": run.results,
    }
    write_settings(run.folder, settings)


def _save_best(run: Run, state: State) -> None:
    """The best weights so far, for whoever cannot wait for the end."""
    network = build_network(run.network.name, run.network.num_classes, **run.network.options)
    network.load_state_dict(state.part("best"))
    accuracy = state.best.validation_accuracy
    metrics: dict[str, Any] = {"best_epoch": state.best_epoch}
    if not math.isnan(accuracy):
        metrics["validation_accuracy"] = accuracy
    _save_weights(run, network, metrics)


def _save_weights(
    run: Run, network: LeNet, metrics: Mapping[str, Any], *, final: bool = False
) -> None:
    recipe = run.recipe
    origin = describe_origin(run.splits, seed=recipe.seed, metrics=metrics, recipe=recipe.to_dict())
    checkpoint = Checkpoint(network, run.preprocessing, run.splits.class_names, origin)
    if final and len(run.splits.validation):
        checkpoint.trust = learn_trust(checkpoint.model, run.preprocessing, run.splits)
    save_checkpoint(run.folder / MODEL_FILE, checkpoint)


def _csv(state: State) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [field.name for field in dataclasses.fields(Epoch)], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(dataclasses.asdict(epoch) for epoch in state.history)
    return text.getvalue()
