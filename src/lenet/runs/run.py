"""A training with a folder of its own: what it is made of, and what came of it."""

import base64
import dataclasses
import itertools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.answers import Prediction
from lenet.checkpoints import load_checkpoint, save_checkpoint
from lenet.classifier import Classifier
from lenet.data.pictures import Picture
from lenet.data.preprocessing import Preprocessing
from lenet.data.splits import Splits
from lenet.engines import Engine
from lenet.errors import RunError
from lenet.evaluation import Evaluation
from lenet.figures.text import percent
from lenet.networks import LeNet, build_network
from lenet.runs.starts import Start
from lenet.training.changes import list_changes
from lenet.training.diagnosis import Diagnosis, diagnose
from lenet.training.history import State
from lenet.training.recipes import RECIPES, Recipe, default_recipe

FLAGS = ("epochs", "batch_size", "learning_rate", "class_weights", "seed", "patience")
"""The recipe's fields that `lenet train` has a flag of its own for."""

OWN = ("loss", "optimizer")
"""What a run may have of its own that no file holds."""


@dataclass(frozen=True, repr=False)
class Run:
    """A training with a folder of its own.

    Parameters
    ----------
    folder : Path
        ``<data>-<network>-<n>``, or the name it was given: `model.safetensors` (the best weights so
        far), `history.csv`, `run.json` (its settings, at the end also the results), `state/` (for
        continuing).
    source : str
        The data set's name, or the absolute path of its folder.
    loading : dict
        What else `lenet.load_dataset` is to be given to have the same again: ``validation``,
        ``fold``, and of a folder ``preparation`` and ``skip_damaged``.
    splits : Splits
    network : LeNet
        With the best weights once the run is finished.
    recipe : Recipe
    preprocessing : Preprocessing
        What the recipe does with these splits, or the scale of the weights it started from.
    engine : Engine
    start : Start or None
        The trained weights it started from, if any.
    own : dict
        A ``loss`` and an ``optimizer`` of its own, as for `lenet.train`, or None for each.
    extensions : tuple of dict
        How often it was made longer: ``after`` how many epochs, and the recipe's ``epochs`` and
        ``patience`` before.
    state : State or None
        After the last epoch on disk; None before the first.
    results : dict or None
        Once finished: run, network, data, recipe, seed, epochs_run, best_epoch, seconds, and by the
        best weights, for train, validation and test: accuracy (a fraction; None of an empty part),
        its 95 % interval, errors, images (counts); and the diagnosis.
    evaluation : dict of str to Evaluation
        By the best weights, of those of train, validation and test that have images, once
        `finish_run` has returned it; before that empty.
    test_scores : (N, classes) float32 or None
        What ``evaluation["test"]`` was made of.
    """

    folder: Path
    source: str
    loading: Mapping[str, Any]
    splits: Splits
    network: LeNet
    recipe: Recipe
    preprocessing: Preprocessing
    engine: Engine
    start: Start | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    extensions: tuple[Mapping[str, Any], ...] = ()
    state: State | None = None
    results: dict[str, Any] | None = None
    evaluation: dict[str, Evaluation] = field(default_factory=dict)
    test_scores: NDArray[np.float32] | None = None

    def _require_finished(self) -> None:
        if self.state is None or not self.evaluation:
            raise RunError(f"{self.folder} is not finished: finish_run returns it finished")

    @property
    def diagnosis(self) -> Diagnosis:
        """What the numbers say; RunError before `finish_run` has returned it."""
        self._require_finished()
        assert self.state is not None
        return diagnose(self.state.history, self.recipe, self.evaluation)

    def evaluate(self, part: str = "test") -> Evaluation:
        """How good the best weights are on ``train``, ``validation`` or ``test``.

        Parameters
        ----------
        part : str

        Returns
        -------
        evaluation : Evaluation

        Raises
        ------
        DataError
            When there is no such part, or no image in it.
        RunError
            When the run is not finished.
        """
        self.splits.part_with_images(part)
        self._require_finished()
        return self.evaluation[part]

    def predict(self, picture: Picture, *, top: int = 3) -> Prediction:
        """What a picture shows, by the best weights so far.

        Parameters
        ----------
        picture : path, bytes, open file, PIL.Image.Image or numpy array
        top : int
            As for `lenet.Classifier.predict`.

        Returns
        -------
        prediction : Prediction

        Raises
        ------
        CheckpointError
            When no epoch has ended yet.
        PictureError
            When the picture cannot be read.
        """
        return Classifier.load(self.folder).predict(picture, top=top)

    def save(self, path: str | Path) -> None:
        """Write the best weights so far into a file of their own, preprocessing and names inside.

        Parameters
        ----------
        path : str or Path
            Replaced if it exists; its folder must exist.

        Raises
        ------
        CheckpointError
            When no epoch has ended yet.
        LenetError
            When the file cannot be written.
        """
        save_checkpoint(path, load_checkpoint(self.folder))

    def __repr__(self) -> str:
        if self.results is None:
            done = self.state.epoch if self.state is not None else 0
            return f"<Run {self.folder}: {done} of {self.recipe.epochs} epochs>"
        accuracy = percent(self.results["test_accuracy"])
        return f"<Run {self.folder}: finished, test accuracy {accuracy}>"

    def _repr_html_(self) -> str:
        """Its curves and its numbers, for a notebook."""
        from lenet.figures.curves import draw_curves
        from lenet.figures.style import to_png

        lines = [f"<p><code>{escape(str(self.folder))}</code></p>"]
        if self.state is not None:
            sentence = self.diagnosis.sentence if self.evaluation else ""
            curves = to_png(draw_curves(self.state.history, self.state.best_epoch, sentence))
            image = base64.b64encode(curves).decode()
            lines.append(f'<img alt="loss and accuracy" src="data:image/png;base64,{image}">')
        rows = "".join(
            f"<tr><td>{name}</td><td>{percent(e.accuracy)}</td>"
            f"<td>{e.n_errors:,} of {e.n_images:,}</td></tr>"
            for name, e in self.evaluation.items()
        )
        head = "<tr><th></th><th>accuracy</th><th>wrong</th></tr>"
        return "".join([*lines, f"<table>{head}{rows}</table>" if rows else ""])

    @property
    def command(self) -> str | None:
        """The command that trains the same again: data, network, and all that was changed.

        None when it has a loss or an optimizer of its own, which no command has.
        """
        if any(value is not None for value in self.own.values()):
            return None
        plans = [*self.extensions, {"epochs": self.recipe.epochs, "patience": self.recipe.patience}]
        first = {name: plans[0][name] for name in ("epochs", "patience")}
        commands = [self._command(dataclasses.replace(self.recipe, **first))]
        for before, plan in itertools.pairwise(plans):
            words = ["lenet", "train", "--resume", str(self.folder)]
            words += _option("epochs", plan["epochs"])
            if plan["patience"] != before["patience"]:
                words += _option("patience", plan["patience"])
            commands.append(shlex.join(words))
        return " && ".join(commands)

    def _command(self, recipe: Recipe) -> str:
        """The command that begins it."""
        base = RECIPES.get(recipe.name, default_recipe(self.network, self.splits))
        words = ["lenet", "train", "--data", self.source]
        if self.start is None:
            words += ["--network", self.network.name]
            usual = build_network(self.network.name, self.network.num_classes).options
        else:
            words += ["--weights", self.start.source]
            usual = self.start.checkpoint.network.options
        words += ["--recipe", base.name]
        for name, value in self.loading.items():
            if value is not None and value is not False:
                words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        for name, value in list_changes(recipe, base).items():
            words += _option(name, value)
        for name, value in self.network.options.items():
            words += _option(f"network.{name}", value) if value != usual[name] else []
        return shlex.join([*words, "--engine", self.engine.name])


def _option(name: str, value: object) -> list[str]:
    """A change as the command line takes it."""
    text = str(value).lower() if value is None or isinstance(value, bool) else str(value)
    if name in FLAGS:
        return [f"--{name.replace('_', '-')}", text]
    return ["--set", f"{name}={text}"]
