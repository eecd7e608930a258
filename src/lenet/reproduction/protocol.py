"""A whole experiment: its networks trained, measured as the paper measured them, kept and drawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.checkpoints import Checkpoint, describe_origin, save_checkpoint
from lenet.data.datasets import load_dataset
from lenet.data.distortions import Distortions
from lenet.data.downloads import explain_absence
from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split, Splits
from lenet.reproduction import studies
from lenet.reproduction.experiment import DISTORTIONS, PASSES, Experiment
from lenet.reproduction.passes import ExperimentProgress, OnProgress, train_passes
from lenet.reproduction.results import Results, Spread, percent, write_results
from lenet.reproduction.scores import Score, error_rates, make_scorers
from lenet.reproduction.state import ExperimentState

_REJECTION_POINTS = 500  # of the curve that is kept
_GARMENTS = "fashion-mnist"


def reproduce(
    seeds: int = 16,
    passes: int = PASSES,
    *,
    distortions: Distortions | bool = False,
    subset: int | None = None,
    mu: float | None = None,
    folder: str | Path = "runs/1998",
    data: str = "mnist",
    on_progress: OnProgress | None = None,
) -> Results:
    """Train the networks as printed, measure what the paper measured, keep it all in a folder.

    Interrupted, it goes on after the last whole pass when called again. Fashion-MNIST, one kind
    of picture that is no digit, is used when its files are here, and never downloaded.

    Parameters
    ----------
    seeds, passes, distortions, subset, mu
        See `Experiment`; ``distortions=True`` takes `DISTORTIONS`.
    folder : str or Path
        Where the state, the results (JSON), the figures and the chosen weights go. Experiments
        share it: each adds its rows to the table and its points to the figures.
    data : str
        A data set of ten digits; downloaded where it is not here.
    on_progress : function of ExperimentProgress, optional
        Called after every 500 patterns of the training, then before each study.

    Returns
    -------
    results : Results

    Raises
    ------
    InputError
        When a number is out of range.
    RunError
        When the folder holds such an experiment with other settings.
    DataError, DownloadError
        When the data set cannot be had.
    """
    experiment = Experiment(
        seeds, passes, subset, DISTORTIONS if distortions is True else distortions or None
    )
    if mu is not None:
        experiment = replace(experiment, mu=mu)
    splits = load_dataset(data, validation=0)
    folder = Path(folder)
    path = folder / f"{experiment.name}.safetensors"
    state = train_passes(experiment, splits.train, splits.test, splits.sha256, path, on_progress)

    def announce(study: str) -> None:
        if on_progress:
            on_progress(ExperimentProgress.at(state, state.passes, study=study))

    scorers = make_scorers(state.networks)
    announce(f"scores of {len(splits.test):,} test images")
    scores = [score(splits.test.images) for score in scorers]
    results = _measure(state, splits, scorers, scores, announce)
    write_results(folder / f"{experiment.name}.json", results)
    _save_median(folder, state, splits)
    announce("figures")
    # Needs matplotlib: only here.
    from lenet.reproduction.figures import draw_figures

    draw_figures(folder, experiment.name, splits.test, scores[results.median_seed])
    return results


def _measure(
    state: ExperimentState,
    splits: Splits,
    scorers: list[Score],
    scores: list[NDArray[np.float32]],
    announce: Callable[[str], None],
) -> Results:
    """What the paper says of its network, measured for every seed."""
    test, n = splits.test, state.patterns
    announce(f"errors on the {n:,} training patterns")
    train_error = error_rates(scorers, Split(splits.train.images[:n], splits.train.labels[:n]))
    curves = np.stack([studies.rejection(each, test.labels) for each in scores])
    rejection = curves.mean(0)[:: max(1, len(test) // _REJECTION_POINTS)]
    robustness = {}
    for kind in studies.CHANGES:
        announce(f"test errors under changes of {kind}")
        by_size = studies.robustness(kind, scorers, test)
        robustness[kind] = {size: percent(rates) for size, rates in by_size.items()}
    garments, left_out = _find_garments()
    others = studies.other_pictures(garments)
    without = "".join(f"; no {kind}: {why}" for kind, why in left_out.items())
    announce(f"digits told from {', '.join(others)}{without}")
    told = [studies.not_a_digit(score, test.images, others) for score in scorers]
    low, high = state.rates
    return Results(
        patterns=n,
        seconds=round(state.seconds, 1),
        settings=state.experiment.settings,
        test_error_percent_by_pass=tuple(map(percent, state.test_error)),
        train_error_percent_by_pass=tuple(map(percent, state.train_error)),
        train_error_percent=percent(train_error),
        gflops=round(state.gflops, 1),
        weights_gb_per_second=round(state.weights_gb_per_second, 1),
        effective_learning_rates=(float(low), float(high)),
        rejected_percent=percent(
            np.array([studies.share_rejected(each, test.labels) for each in scores])
        ),
        error_percent_by_share_rejected=tuple(round(100 * float(e), 4) for e in rejection),
        robustness_error_percent=robustness,
        not_a_digit_auroc={
            kind: {
                score: Spread(tuple(getattr(found[kind], score) for found in told))
                for score in ("penalty", "confidence")
            }
            for kind in others
        },
        median_seed=state.median_seed,
        made_on=state.made_on,
        left_out=left_out,
    )


def _find_garments() -> tuple[NDArray[np.uint8] | None, dict[str, str]]:
    """Fashion-MNIST's test images if they are here, else why not; nothing is downloaded."""
    if why := explain_absence(_GARMENTS):
        return None, {"garments": why}
    return load_dataset(_GARMENTS, validation=0).test.images, {}


def _save_median(folder: Path, state: ExperimentState, splits: Splits) -> None:
    """Write the network to show: that of the seed with the median test error."""
    seed = state.median_seed
    metrics = {"test_accuracy": 1 - float(state.test_error[-1, seed])}
    origin = describe_origin(splits, seed=seed, metrics=metrics)
    save_checkpoint(
        folder / f"{state.experiment.name}-seed-{seed}.safetensors",
        Checkpoint(state.networks[seed], PAPER_1998, splits.class_names, origin),
    )
