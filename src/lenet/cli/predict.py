"""`lenet predict`: what pictures show."""

import dataclasses
import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lenet.cli.options import Device, Json, Scorer, Weights
from lenet.cli.output import complain, show, show_json
from lenet.errors import InputError, PictureError
from lenet.figures.text import percent

if TYPE_CHECKING:
    from lenet.classifier import Classifier, Prediction

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
"""The files of a folder given to `predict`; others in it are passed over."""


def predict(
    pictures: Annotated[
        list[str], typer.Argument(help="Files, folders or patterns.", metavar="PICTURE…")
    ],
    weights: Weights = "mnist",
    top: Annotated[int, typer.Option("--top", help="How many classes to show.")] = 3,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", help="Draw what the network saw into this PNG.", metavar="PNG"),
    ] = None,
    engine: Scorer = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say what pictures show: any photo, scan or drawing."""
    if top < 1:
        raise InputError(f"--top must be at least 1, got {top}")
    found = [place for pattern in pictures for place in _expand(pattern)]
    if explain is not None and len(found) != 1:
        raise InputError(f"--explain draws one picture, got {len(found)}")
    from lenet.classifier import Classifier

    classifier = Classifier.load(weights, engine=engine, device=device)
    outcomes: Iterable[Prediction | PictureError]
    if explain is None:
        outcomes = classifier.stream(found, top=top)
    else:
        outcomes = [_explain(classifier, found[0], top, explain)]
    rows: list[dict[str, Any]] = []
    for place, prediction in zip(found, outcomes, strict=True):
        if isinstance(prediction, PictureError):
            complain(str(prediction), prediction.exit_code)
            rows.append({"picture": place, "error": str(prediction)})
            continue
        rows.append(_row(place, prediction))
        if not as_json:
            _show_prediction(place, prediction)
    if as_json:
        show_json(rows)
    failed = sum("error" in row for row in rows)
    if failed:
        # Bad input when nothing came of it, a failure when it was only a part of the work.
        raise typer.Exit(PictureError.exit_code if failed == len(rows) else 1)


def _explain(
    classifier: "Classifier", place: str, top: int, target: Path
) -> "Prediction | PictureError":
    """The outcome for one picture, drawn into `target`."""
    from lenet.figures.networks import draw_explanation
    from lenet.figures.style import write

    try:
        explanation = classifier.explain(place, top=top)
    except PictureError as error:
        return error
    write(target, draw_explanation(explanation, classifier.checkpoint.network))
    return explanation.prediction


def _expand(pattern: str) -> list[str]:
    """A file, the pictures in a folder, or what a pattern matches where the shell left it alone."""
    path = Path(pattern)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise InputError(f"{pattern} holds no pictures ({', '.join(SUFFIXES)})")
        return [str(p) for p in inside]
    if glob.has_magic(pattern) and not os.path.lexists(pattern):
        return sorted(glob.glob(pattern, recursive=True)) or [pattern]  # noqa: PTH207
    return [pattern]


def _row(place: str, prediction: "Prediction") -> dict[str, Any]:
    return {
        "picture": place,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": share} for label, share in prediction.top],
        "doubts": [dataclasses.asdict(doubt) for doubt in prediction.doubts],
    }


def _show_prediction(place: str, prediction: "Prediction") -> None:
    others = ", ".join(f"{label} {percent(share)}" for label, share in prediction.top[1:])
    then = f"  (then {others})" if others else ""
    if prediction.label is None:
        show(f"{place}: nothing found")
    else:
        show(f"{place}: {prediction.label}  {percent(prediction.probability)}{then}")
    for doubt in prediction.doubts:
        show(f"  doubt: {doubt.sentence}")
