"""A whole experiment: its networks trained, measured as the paper measured them, kept and drawn."""

from collections.abc import Sequence
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
from lenet.reproduction.experiment import DISTORTIONS, PASSES, Experiment
from lenet.reproduction.passes import train_passes
from lenet.reproduction.progress import Announcer, OnProgress
from lenet.reproduction.results import Results, Spread, percent, write_results
from lenet.reproduction.scores import Score, error_rates, make_scorers
from lenet.reproduction.state import ExperimentState
from lenet.reproduction.studies import (
    CHANGES,
    OTHERS,
    SIZES,
    STUDIES,
    choose_studies,
    not_a_digit,
    other_pictures,
    rejection,
    robustness,
    share_rejected,
)

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
    studies: Sequence[str] | None = None,
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
    studies : sequence of str, optional
        Of `lenet.reproduction.studies.STUDIES`: what is measured beside errors and rejection. By
        default all of them, and none when the networks saw a subset.
    on_progress : function of ExperimentProgress, optional
        Called as each stage begins, and as it goes on.

    Returns
    -------
    results : Results

    Raises
    ------
    InputError
        When a number is out of range, or a study unknown.
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
    if studies is None:
        studies = STUDIES if subset is None else ()
    studies = choose_studies(studies)
    splits = load_dataset(data, validation=0)
    folder = Path(folder)
    path = folder / f"{experiment.name}.safetensors"
    state = train_passes(experiment, splits.train, splits.test, splits.sha256, path, on_progress)
    announcer = Announcer(state, on_progress)
    scorers = announcer.watched(make_scorers(state.networks))
    announcer.begin(f"scores of {len(splits.test):,} test images", seeds)
    scores = [score(splits.test.images) for score in scorers]
    results = _measure(state, splits, scorers, scores, studies, announcer)
    write_results(folder / f"{experiment.name}.json", results)
    _save_median(folder, state, splits)
    announcer.begin("drawing the figures")
    # Needs matplotlib: only here.
    from lenet.reproduction.figures import draw_figures

    draw_figures(folder, experiment.name, splits.test, scores[results.median_seed])
    return results


def _measure(
    state: ExperimentState,
    splits: Splits,
    scorers: list[Score],
    scores: list[NDArray[np.float32]],
    studies: tuple[str, ...],
    announcer: Announcer,
) -> Results:
    """What the paper says of its network, measured for every seed."""
    test, n, seeds = splits.test, state.patterns, len(scorers)
    announcer.begin(f"errors on the {n:,} training patterns", seeds)
    train_error = error_rates(scorers, Split(splits.train.images[:n], splits.train.labels[:n]))
    curves = np.stack([rejection(each, test.labels) for each in scores])
    step = max(1, len(test) // _REJECTION_POINTS)
    by_kind = {}
    for kind in studies:
        if kind in CHANGES:
            announcer.begin(f"test errors under changes of {kind}", seeds * len(SIZES[kind]))
            by_size = robustness(kind, scorers, test)
            by_kind[kind] = {size: percent(rates) for size, rates in by_size.items()}
    told: dict[str, dict[str, Spread]] = {}
    left_out: dict[str, str] = {}
    if OTHERS in studies:
        told, left_out = _tell_apart(test, scorers, announcer)
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
        rejected_percent=percent(np.array([share_rejected(each, test.labels) for each in scores])),
        error_percent_by_share_rejected=tuple(
            round(100 * float(e), 4) for e in curves.mean(0)[::step]
        ),
        robustness_error_percent=by_kind,
        not_a_digit_auroc=told,
        median_seed=state.median_seed,
        made_on=state.made_on,
        left_out=left_out,
    )


def _tell_apart(
    test: Split, scorers: list[Score], announcer: Announcer
) -> tuple[dict[str, dict[str, Spread]], dict[str, str]]:
    """How well digits are told from other pictures, and which pictures could not be had."""
    garments, left_out = _find_garments()
    others = other_pictures(garments)
    without = "".join(f"; no {kind}: {why}" for kind, why in left_out.items())
    stage = f"digits told from {', '.join(others)}{without}"
    announcer.begin(stage, len(scorers) * (1 + len(others)))
    found = [not_a_digit(score, test.images, others) for score in scorers]
    told = {
        kind: {
            score: Spread(tuple(getattr(each[kind], score) for each in found))
            for score in ("penalty", "confidence")
        }
        for kind in others
    }
    return told, left_out


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
