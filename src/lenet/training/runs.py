"""The run folder: a training on disk that can be interrupted at any moment and continued."""

import contextlib
import csv
import dataclasses
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lenet.checkpoints import (
    MODEL_FILE,
    Checkpoint,
    check_class_names,
    describe_origin,
    load_checkpoint,
    read_bounded,
    save_checkpoint,
)
from lenet.data.catalogue import DATASETS
from lenet.data.datasets import load_dataset
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.engines import Engine, select_engine
from lenet.errors import CheckpointError, DataError, InputError, RunError
from lenet.evaluation import Evaluation, evaluate
from lenet.files import write_atomic
from lenet.machine import describe_system, list_versions
from lenet.networks import LeNet, build_network
from lenet.training.diagnosis import Diagnosis, diagnose
from lenet.training.history import Epoch, State
from lenet.training.loop import train
from lenet.training.recipes import Recipe, default_recipe
from lenet.training.states import read_state, write_state

SETTINGS_FILE = "run.json"
HISTORY_FILE = "history.csv"
STATE_FOLDER = "state"
PARTS = ("train", "validation", "test")

_FORMAT = 1
_LOCK = "lock"


@dataclass(frozen=True)
class Run:
    """A training with a folder of its own.

    Parameters
    ----------
    folder : Path
        ``<data>-<network>-<n>``: `model.safetensors` (the best weights so far), `history.csv`,
        `run.json` (its settings, at the end also the results), `state/` (for continuing).
    source : str
        The data set's name, or the absolute path of its folder.
    splits : Splits
    network : LeNet
        With the best weights once the run is finished.
    recipe : Recipe
    preprocessing : Preprocessing
        What the recipe does with these splits.
    engine : Engine
    state : State or None
        After the last epoch on disk; None before the first.
    results : dict or None
        Once finished: run, network, data, recipe, seed, epochs_run, best_epoch, seconds, and by the
        best weights, for train, validation and test: accuracy (a fraction), its 95 % interval,
        errors, images (counts); and the diagnosis.
    evaluation : dict of str to Evaluation
        By the best weights, of train, validation and test, once `finish_run` has returned it;
        before that empty.
    test_scores : (N, classes) float32 or None
        What ``evaluation["test"]`` was made of.
    """

    folder: Path
    source: str
    splits: Splits
    network: LeNet
    recipe: Recipe
    preprocessing: Preprocessing
    engine: Engine
    state: State | None = None
    results: dict[str, Any] | None = None
    evaluation: dict[str, Evaluation] = field(default_factory=dict)
    test_scores: NDArray[np.float32] | None = None

    @property
    def diagnosis(self) -> Diagnosis:
        """What the numbers say; RunError before `finish_run` has returned it."""
        if self.state is None or not self.evaluation:
            raise RunError(f"{self.folder} is not finished: finish_run returns it finished")
        return diagnose(self.state.history, self.recipe, self.evaluation)


def create_run(
    data: str | Path = "digits",
    network: str = "modern",
    recipe: Recipe | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    engine: Engine | None = None,
) -> Run:
    """Load the data and make a folder with the settings; nothing is trained yet.

    Parameters
    ----------
    data : str or Path
        A name in `lenet.data.catalogue.DATASETS`, or a folder of pictures.
    network : str
    recipe : Recipe, optional
        The network's default for such data when not given.
    changes : dict, optional
        Fields of the recipe that shall have other values.
    options : dict, optional
        The network's own.
    out : str or Path
        Where the folder is made.
    engine : Engine, optional

    Raises
    ------
    LenetError
        When the data, the network or the folder cannot be had.
    """
    splits = load_dataset(data)
    for name in PARTS:
        if len(splits.part(name)) == 0:
            raise DataError(f"{splits.name} has no {name} images; add some to every class")
    built = build_network(network, num_classes=len(splits.class_names), **(options or {}))
    if recipe is None:
        recipe = default_recipe(network, splits.preparation, len(splits.train))
    recipe = dataclasses.replace(recipe, **(changes or {}))
    check_class_names(splits.class_names, built.num_classes)  # here, not after the training
    named = isinstance(data, str) and data in DATASETS
    source = str(data) if named else str(Path(data).resolve())
    preprocessing, engine = recipe.preprocessing(splits), engine or select_engine()
    folder = make_folder(Path(out), f"{splits.name}-{network}")
    run = Run(folder, source, splits, built, recipe, preprocessing, engine)
    _write_settings(run)
    return run


def open_run(folder: str | Path, *, engine: Engine | None = None) -> Run:
    """A run from its folder, ready to be finished, or finished already.

    Parameters
    ----------
    folder : str or Path
    engine : Engine, optional
        The one it began with when not given. Another one gives slightly other weights.

    Raises
    ------
    RunError
        When the folder is no run, is damaged, or the data set is not the one it began with.
    """
    folder = Path(folder)
    settings = _read_settings(folder)
    try:
        source, recipe = settings["data"]["source"], Recipe.from_dict(settings["recipe"])
        name, options = settings["network"], settings["options"]
        wanted = (settings["engine"], settings["device"])
        sha256, results = settings["data"]["sha256"], settings["results"]
    except (KeyError, TypeError, InputError) as error:
        raise RunError(f"{folder / SETTINGS_FILE} is damaged: {error!r}") from error
    splits = load_dataset(source if source in DATASETS else Path(source))
    if splits.sha256 != sha256:
        raise RunError(
            f"{source} is no longer the data set that {folder} began with; "
            f"put it back, or start a new run"
        )
    if results is not None:
        network = load_checkpoint(folder).network
    else:
        network = build_network(name, num_classes=len(splits.class_names), **options)
    preprocessing, engine = recipe.preprocessing(splits), engine or select_engine(*wanted)
    state = read_state(folder / STATE_FOLDER)
    return Run(folder, source, splits, network, recipe, preprocessing, engine, state, results)


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

    with _locked(run.folder):
        _remove_leftovers(run.folder)
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
        _save_weights(run, run.network, metrics)
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
    parts = {name: run.splits.part(name) for name in PARTS}
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
    metrics: dict[str, Any] = {f"{name}_accuracy": e.accuracy for name, e in evaluation.items()}
    for name, each in evaluation.items():
        metrics |= {
            f"{name}_interval": list(each.interval),
            f"{name}_errors": each.n_errors,
            f"{name}_images": each.n_images,
        }
    return metrics


def make_folder(out: Path, stem: str) -> Path:
    """Make ``<out>/<stem>-<n>`` with the next free number; two processes never get the same one.

    Raises
    ------
    RunError
        When it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        pattern = re.compile(re.escape(stem) + r"-(\d{1,9})")
        taken = [int(m[1]) for entry in out.iterdir() if (m := pattern.fullmatch(entry.name))]
        number = max(taken, default=0) + 1
        while True:
            folder = out / f"{stem}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            (folder / STATE_FOLDER).mkdir()
            return folder
    except OSError as error:
        raise RunError(f"cannot make a run folder in {out}: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the run; the lock dies with the process."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / STATE_FOLDER / _LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder} is being trained by another process; wait for it") from None
        yield


def _remove_leftovers(folder: Path) -> None:
    """Files whose writer was killed before they got their name."""
    for place in (folder, folder / STATE_FOLDER):
        for file in place.glob(".*.tmp"):
            file.unlink(missing_ok=True)


def _write_settings(run: Run) -> None:
    settings = {
        "format": _FORMAT,
        "data": {"source": run.source, "name": run.splits.name, "sha256": run.splits.sha256},
        "network": run.network.name,
        "options": run.network.options,
        "recipe": run.recipe.to_dict(),
        "engine": run.engine.name,
        "device": run.engine.device.type,
        "threads": torch.get_num_threads(),
        "versions": {**list_versions(), "system": describe_system()},
        "results": run.results,
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(run.folder / SETTINGS_FILE, f"{text}\n".encode())


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS_FILE
    if not path.is_file():
        raise RunError(f"{folder} is no run: it has no {SETTINGS_FILE}; start a new one")
    try:
        settings = json.loads(read_bounded(path))
    except (ValueError, RecursionError, CheckpointError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(settings, dict) or settings.get("format") != _FORMAT:
        raise RunError(f"{path} is not format {_FORMAT} of lenet")
    return settings


def _save_best(run: Run, state: State) -> None:
    """The best weights so far, for whoever cannot wait for the end."""
    network = build_network(run.network.name, run.network.num_classes, **run.network.options)
    network.load_state_dict(state.part("best"))
    accuracy = state.best.validation_accuracy
    metrics = {"best_epoch": state.best_epoch, "validation_accuracy": accuracy}
    _save_weights(run, network, metrics)


def _save_weights(run: Run, network: LeNet, metrics: Mapping[str, Any]) -> None:
    recipe = run.recipe
    origin = describe_origin(run.splits, seed=recipe.seed, metrics=metrics, recipe=recipe.to_dict())
    checkpoint = Checkpoint(network, run.preprocessing, run.splits.class_names, origin)
    save_checkpoint(run.folder / MODEL_FILE, checkpoint)


def _csv(state: State) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [field.name for field in dataclasses.fields(Epoch)], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(dataclasses.asdict(epoch) for epoch in state.history)
    return text.getvalue()
