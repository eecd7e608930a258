"""`lenet evaluate`: how good weights are on a data set."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lenet.cli.options import (
    SPLITS,
    Device,
    Json,
    Scorer,
    SkipDamaged,
    Weights,
    choice,
    completed,
    dataset_names,
)
from lenet.cli.output import show, show_json, show_table
from lenet.errors import InputError
from lenet.figures.text import cautious_percent, percent, percents
from lenet.language import verbatim
from lenet.progress import Progress

if TYPE_CHECKING:
    from lenet.checkpoints import Checkpoint
    from lenet.data.splits import Splits
    from lenet.evaluation import Evaluation

_MISTAKES = 100
"""How many the JSON lists at most."""

_SHOWN = 10


def evaluate(
    weights: Weights,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="By default what the weights were trained on.",
            metavar="NAME|FOLDER",
            autocompletion=completed(dataset_names),
        ),
    ] = None,
    split: Annotated[str, choice("--split", SPLITS, "Which part of it.")] = "test",
    skip_damaged: SkipDamaged = False,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", help="Draw the figures into this folder.", metavar="DIR"),
    ] = None,
    engine: Scorer = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure weights on a data set: errors, classes, confusions, calibration."""
    if skip_damaged and data is None:
        raise InputError("--skip-damaged is for pictures of a folder: give it by --data FOLDER")
    with Progress() as progress:
        progress.wait(f"reading {weights}")
        from lenet import evaluation
        from lenet.classifier import Classifier
        from lenet.mistakes import list_mistakes
        from lenet.trust import errors_by_rejection

        classifier = Classifier.load(weights, engine=engine, device=device)
        progress.say(classifier.engine.notice)
        progress.wait(f"reading {data or 'the data set that it was trained on'}")
        splits = classifier.load_data(
            data or _find_data(weights, classifier.checkpoint), skip_damaged=skip_damaged
        )
        for remark in (*splits.remarks, *_as_they_are(splits, classifier.checkpoint)):
            progress.say(remark)
        part = splits.part_with_images(split)
        progress.wait(f"scoring {len(part):,} images")
        answers = classifier.answers(part.images)
        result = evaluation.evaluate(answers.scores, part.labels, splits.class_names)
        right = answers.scores.argmax(axis=1) == part.labels
        rejection = errors_by_rejection(answers.confidences, right)
        mistakes = list_mistakes(part, answers.scores, splits.class_names)
        if figures is not None:
            progress.wait("drawing")
            from lenet.report import write_evaluation

            network = classifier.checkpoint.network
            write_evaluation(figures, network, result, part, mistakes)
            progress.say(f"figures in {figures}")
    if as_json:
        named = {"weights": weights, "data": splits.name, "split": split}
        rows = [{"rejected": share, "error_rate": error} for share, error in rejection]
        worst = [dataclasses.asdict(mistake) for mistake in mistakes[:_MISTAKES]]
        show_json(named | result.to_dict() | {"rejection": rows, "mistakes": worst})
        return
    show(
        f"{weights} on {splits.name}, {split}: accuracy {percent(result.accuracy)} "
        f"(95 % interval {percents(*result.interval)}), "
        f"{result.n_errors:,} of {result.n_images:,} wrong"
    )
    _show_evaluation(result)
    if part.files is not None and mistakes:
        show_table(
            ("the worst mistakes", "truth", "answer", "probability"),
            [
                (
                    str(m.file),
                    verbatim(m.truth),
                    verbatim(m.answer),
                    cautious_percent(m.probability),
                )
                for m in mistakes[:_SHOWN]
            ],
            text_columns=3,
        )
    show_table(
        ("least sure answers rejected", *(percent(share) for share, _ in rejection)),
        [("wrong of the others", *(percent(error) for _, error in rejection))],
    )


def _as_they_are(splits: "Splits", checkpoint: "Checkpoint") -> Iterator[str]:
    """What to know where pictures are prepared in another way than the weights' own."""
    preparation = checkpoint.preprocessing.preparation
    if splits.preparation != preparation:
        yield (
            f"note: the pictures of {splits.name} are taken as they are, the weights were trained "
            f"on ones prepared as {preparation}; lenet predict prepares them"
        )


def _find_data(weights: str, checkpoint: "Checkpoint") -> "Splits | str":
    """What the weights were trained on."""
    from lenet.data.catalogue import DATASETS
    from lenet.runs.folders import SETTINGS_FILE
    from lenet.runs.origin import load_origin

    if (Path(weights) / SETTINGS_FILE).is_file():
        return load_origin(weights).splits
    if checkpoint.data_name not in DATASETS:
        raise InputError(f"{weights} does not say which data set it is for; give --data")
    return checkpoint.data_name


def _show_evaluation(result: "Evaluation") -> None:
    show_table(
        ("class", "precision", "recall", "F1", "images"),
        [
            (c.name, percent(c.precision), percent(c.recall), percent(c.f1), f"{c.support:,}")
            for c in result.per_class
        ],
    )
    if len(result.class_names) <= 20:
        short = [name[:8] for name in result.class_names]
        show_table(
            ("truth \\ said", *map(verbatim, short)),
            [
                (name, *(f"{n:,}" if n else "·" for n in row))
                for name, row in zip(result.class_names, result.confusion, strict=True)
            ],
        )
    if result.most_confused:
        pairs = (
            f"{verbatim(p.truth)} → {verbatim(p.prediction)} ({p.count:,})"
            for p in result.most_confused[:5]
        )
        show(f"most confused: {', '.join(pairs)}")
    sure = sum(b.count * b.confidence for b in result.calibration.bins if b.count)
    show(
        f"calibration: {percent(sure / result.n_images)} sure on average, "
        f"expected error {percent(result.calibration.error)}; mean loss {result.loss:.4f}"
    )
