"""The experiments of 1998 run again, and their results beside the printed ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.checkpoints import Checkpoint, save_checkpoint
from lenet.data.datasets import load_dataset
from lenet.data.distortions import Distortions
from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.errors import LenetError
from lenet.networks.lecun1998 import LeCun1998
from lenet.reproduction import studies
from lenet.reproduction.experiment import (
    DISTORTIONS,
    LEARNING_RATES,
    PASSES,
    Experiment,
    Progress,
    errors,
    run,
)
from lenet.reproduction.report import Reproduction, Row, Spread, finished, rows

__all__ = [
    "DISTORTIONS",
    "LEARNING_RATES",
    "PASSES",
    "Experiment",
    "Progress",
    "Reproduction",
    "Row",
    "Spread",
    "finished",
    "reproduce",
    "rows",
]


def reproduce(
    seeds: int = 16,
    passes: int = PASSES,
    *,
    distortions: Distortions | bool = False,
    subset: int | None = None,
    mu: float | None = None,
    folder: str | Path = "runs/1998",
    data: str = "mnist",
    on_progress: Callable[[Progress], None] | None = None,
) -> Reproduction:
    """Train the networks as printed, measure what the paper measured, keep it all in a folder.

    Interrupted, it goes on after the last whole pass when called again.

    Parameters
    ----------
    seeds, passes, distortions, subset, mu
        See `Experiment`; ``distortions=True`` takes `DISTORTIONS`.
    folder : str or Path
        Where the state, the results (JSON), the figures and the chosen weights go. Experiments
        share it: each adds its rows to the table and its points to the figures.
    data : str
        A data set of ten digits.
    on_progress : function of Progress, optional
        Called about every second.

    Returns
    -------
    reproduction : Reproduction

    Raises
    ------
    InputError
        When a number is out of range.
    RunError
        When the folder holds such an experiment with other settings.
    DataError, DownloadError
        When the data set cannot be had.
    """
    limits = DISTORTIONS if distortions is True else (distortions or None)
    experiment = Experiment(seeds, passes, subset, limits)
    if mu is not None:
        experiment = replace(experiment, mu=mu)
    splits = load_dataset(data, validation=0)
    folder = Path(folder)
    state = run(
        experiment,
        splits.train,
        splits.test,
        splits.sha256,
        folder / f"{experiment.name}.safetensors",
        on_progress,
    )
    engine = select_engine("auto", "cpu")

    def scorer(network: LeCun1998) -> studies.Score:
        module = engine.compile(network)
        return lambda ink: engine.scores(module, ink, PAPER_1998)

    scorers = [scorer(network) for network in state.networks]
    test = splits.test
    scores = [score(test.images) for score in scorers]
    curves = np.stack([studies.rejection(each, test.labels) for each in scores])
    median = int(np.argsort(state.test_error[-1], kind="stable")[(seeds - 1) // 2])
    others = studies.other_pictures(_garments())
    n = state.patterns
    reproduction = Reproduction(
        experiment=experiment,
        passes=state.passes,
        patterns=n,
        seconds=state.seconds,
        test_error=state.test_error,
        train_error=state.train_error,
        final_train_error=errors(engine, state.networks, _first(splits.train, n)),
        rates=(float(state.rates[0]), float(state.rates[1])),
        rejected=np.array([studies.share_rejected(each, test.labels) for each in scores]),
        rejection=curves.mean(0)[:: max(1, len(test) // 500)],
        robustness=studies.robustness(scorers, test.images, test.labels),
        not_a_digit=[studies.not_a_digit(score, test.images, others) for score in scorers],
        median_seed=median,
        made_on=state.made_on,
    )
    reproduction.save(folder)
    save_checkpoint(
        folder / f"{experiment.name}-seed-{median}.safetensors",
        Checkpoint(
            state.networks[median],
            PAPER_1998,
            splits.class_names,
            {
                "seed": median,
                "data": {"name": splits.name, "sha256": splits.sha256},
                "metrics": {"test_accuracy": 1 - float(state.test_error[-1, median])},
            },
        ),
    )
    from lenet.reproduction.figures import draw

    draw(folder, experiment.name, test, scores[median])
    return reproduction


def _first(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


def _garments() -> NDArray[np.uint8] | None:
    """Fashion-MNIST's test images, unless they cannot be had."""
    try:
        return load_dataset("fashion-mnist").test.images
    except LenetError:
        return None
