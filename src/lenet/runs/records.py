"""What a run writes beside its states: its settings, its history, its best weights."""

import csv
import dataclasses
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lenet.checkpoints import MODEL_FILE, Checkpoint, describe_origin, save_checkpoint
from lenet.files import write_atomic
from lenet.machine import describe_system, list_versions
from lenet.networks import LeNet
from lenet.networks.models import Model
from lenet.runs.folders import write_settings
from lenet.runs.run import OWN, Run
from lenet.training.history import Epoch, State
from lenet.trust import learn_trust

HISTORY_FILE = "history.csv"


def write_run(run: Run) -> None:
    """Write `run.json`: what the run is made with, and its results."""
    about_data = {"source": run.source, "name": run.splits.name, "sha256": run.splits.sha256}
    settings = {
        "command": run.command,
        "data": {**about_data, **run.loading},
        "network": run.network.name,
        "options": run.network.options,
        "recipe": run.recipe.to_dict(),
        "weights": run.start.describe() if run.start is not None else None,
        "own": [name for name in OWN if run.own.get(name) is not None],
        "extensions": [*run.extensions],
        "engine": run.engine.name,
        "device": run.engine.device.type,
        "threads": torch.get_num_threads(),
        "versions": {**list_versions(), "system": describe_system()},
        "results": run.results,
    }
    write_settings(run.folder, settings)


def write_best(run: Run, state: State) -> None:
    """The best weights so far, for whoever cannot wait for the end."""
    best = {name: tensor.numpy() for name, tensor in state.part("best").items()}
    accuracy = state.best.validation_accuracy
    metrics: dict[str, Any] = {"best_epoch": state.best_epoch}
    if not math.isnan(accuracy):
        metrics["validation_accuracy"] = accuracy
    write_weights(run, Model(run.network.plan, best), metrics)


def write_weights(
    run: Run, network: LeNet | Model, metrics: Mapping[str, Any], *, final: bool = False
) -> None:
    """Write `model.safetensors`: a network, where it is from, in the end its trust."""
    origin = describe_origin(
        run.splits,
        seed=run.recipe.seed,
        metrics=metrics,
        recipe=run.recipe.to_dict(),
        weights=run.start.describe() if run.start is not None else None,
    )
    checkpoint = Checkpoint(network, run.preprocessing, run.splits.class_names, origin)
    if final and len(run.splits.validation):
        checkpoint.trust = learn_trust(checkpoint.model, run.preprocessing, run.splits)
    save_checkpoint(run.folder / MODEL_FILE, checkpoint)


def write_history(folder: Path, state: State) -> None:
    """Write `history.csv`: a row for every epoch."""
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Epoch)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(epoch) for epoch in state.history)
    write_atomic(folder / HISTORY_FILE, text.getvalue().encode())
