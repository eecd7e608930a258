"""Cross-validation: as many runs as folds, each tested on images that it has not learnt from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lenet.data.folds import read_fold
from lenet.data.preprocessing import Wish
from lenet.engines import Engine, select_engine
from lenet.errors import RunError
from lenet.evaluation import wilson_interval
from lenet.fitting import follow
from lenet.progress import Progress
from lenet.runs import Run, begin_run, open_run
from lenet.runs.folders import SETTINGS_FILE, check_name
from lenet.runs.plan import Plan, make_plan
from lenet.training.recipes import Recipe


@dataclass(frozen=True)
class CrossValidation:
    """The runs of a cross-validation, one for each fold.

    Every image of the folds was tested once, by a network that had not learnt from it. Each
    network learnt from less than all of them, and any two from many of the same: the standard
    deviation says how much folds differ, and is no standard error of the mean (Bengio and
    Grandvalet 2004, "No Unbiased Estimator of the Variance of K-Fold Cross-Validation").

    Parameters
    ----------
    runs : tuple of Run
        Finished, in the order of the folds.
    """

    runs: tuple[Run, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The test accuracy of each fold, 0…1."""
        return tuple(run.evaluate().accuracy for run in self.runs)

    @property
    def mean(self) -> float:
        """Of the folds' accuracies."""
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float:
        """The standard deviation of the folds' accuracies."""
        return float(np.std(self.accuracies, ddof=1))

    @property
    def n_errors(self) -> int:
        """Images that were answered wrong when they were tested."""
        return sum(run.evaluate().n_errors for run in self.runs)

    @property
    def n_images(self) -> int:
        """Images that were tested: all but those of the test part."""
        return sum(run.evaluate().n_images for run in self.runs)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy on all folds together."""
        return wilson_interval(self.n_images - self.n_errors, self.n_images)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "errors": self.n_errors,
            "images": self.n_images,
            "interval": list(self.interval),
            "folds": [run.results for run in self.runs],
        }

    def __repr__(self) -> str:
        return (
            f"<CrossValidation of {len(self.runs)} folds: accuracy {100 * self.mean:.2f} "
            f"± {100 * self.deviation:.2f} %>"
        )


def cross_validate(
    data: str | Path = "digits",
    network: str | None = None,
    recipe: Recipe | str | None = None,
    *,
    folds: int = 5,
    validation: int | float | None = None,
    preparation: Wish = "auto",
    skip_damaged: bool = False,
    changes: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    engine: Engine | None = None,
    verbose: bool = True,
) -> CrossValidation:
    """Train once for each fold of what is not test, and test on that fold: for small sets.

    Called again after an interruption, it opens the runs that it finds and goes on.

    Parameters
    ----------
    data, network, recipe
        As for `lenet.fit`.
    folds : int
        How many, 2 … 100.
    validation, preparation, skip_damaged, changes, weights
        As for `lenet.fit`.
    out : str or Path
        Where the run folders are made.
    name : str, optional
        They are called ``<name>-fold-<i>-of-<folds>``; ``<data>-<network>`` when not given.
    engine : Engine, optional
    verbose : bool
        Print what is waited for, and a row for each epoch.

    Returns
    -------
    result : CrossValidation

    Raises
    ------
    LenetError
        When there are too few images for so many folds, or a folder of that name holds a run of
        other settings; else as `lenet.fit`.
    """
    with Progress(silent=not verbose) as progress:
        return train_folds(
            progress,
            *(data, network, recipe),
            folds=folds,
            validation=validation,
            preparation=preparation,
            skip_damaged=skip_damaged,
            changes=changes,
            weights=weights,
            out=out,
            name=name,
            engine=engine,
        )


def train_folds(
    progress: Progress,
    data: str | Path,
    network: str | None,
    recipe: Recipe | str | None,
    *,
    folds: int,
    out: str | Path,
    name: str | None,
    engine: Engine | None,
    **settings: Any,
) -> CrossValidation:
    """What `cross_validate` does, with `lenet.runs.plan.make_plan`'s other settings."""
    read_fold(f"1/{folds}")
    if name is not None:
        check_name(name)
    engine = engine or select_engine()
    runs = []
    for number in range(1, folds + 1):
        fold = f"{number}/{folds}"
        progress.wait(f"reading {data}, fold {fold}")
        plan = make_plan(data, network, recipe, fold=fold, **settings)
        stem = name or f"{plan.splits.name}-{plan.network.name}"
        folder = Path(out) / f"{stem}-fold-{number}-of-{folds}"
        if (folder / SETTINGS_FILE).is_file():
            run = _open_same(folder, plan, engine)
        else:
            run = begin_run(plan, out=out, name=folder.name, engine=engine)
        runs.append(follow(run, progress))
    return CrossValidation(tuple(runs))


def _open_same(folder: Path, plan: Plan, engine: Engine) -> Run:
    """The run that was begun there before, if it was begun by the same plan."""
    run = open_run(folder, engine=engine)

    def identity(made: Run | Plan) -> tuple[object, ...]:
        start = made.start and made.start.source
        network = made.network
        return made.source, dict(made.loading), network.name, network.options, made.recipe, start

    if identity(run) != identity(plan):
        raise RunError(f"{folder} holds a run of other settings; choose another name")
    return run
