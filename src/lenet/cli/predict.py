"""`lenet predict`: what pictures show."""

import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lenet.cli.options import Device, Json, Scorer, Weights
from lenet.cli.output import complain, show, show_json
from lenet.cli.places import STDIN, find_pictures
from lenet.errors import InputError, PictureError
from lenet.figures.text import percent
from lenet.language import verbatim
from lenet.progress import say
from lenet.threads import thread_count

if TYPE_CHECKING:
    from lenet.answers import Prediction
    from lenet.classifier import Classifier
    from lenet.data.pictures import Picture

T = TypeVar("T")

_MANY = 200  # pictures worth starting processes that read them
_EVERY = 5.0  # seconds between two lines of progress


def predict(
    pictures: Annotated[
        list[str],
        typer.Argument(help="Files, folders or patterns; - is standard input.", metavar="PICTURE…"),
    ],
    weights: Weights = "mnist",
    top: Annotated[int, typer.Option("--top", help="How many classes to show.")] = 3,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", help="Draw what the network saw into this PNG.", metavar="PNG"),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Read the subfolders of folders too.")
    ] = False,
    reject: Annotated[
        float | None,
        typer.Option(
            "--reject",
            help="Name no class where unsure, so that no more than this share of the rest is "
            "wrong: 0.001 is one in a thousand.",
            metavar="RATE",
        ),
    ] = None,
    engine: Scorer = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say what pictures show: any photo, scan or drawing."""
    if top < 1:
        raise InputError(f"--top must be at least 1, got {top}")
    if explain is not None and explain.suffix.lower() not in ("", ".png"):
        raise InputError(f"--explain writes PNG; give {explain.with_suffix('.png')}")
    found = [p for pattern in pictures for p in find_pictures(pattern, recursive=recursive)]
    if explain is not None and len(found) != 1:
        raise InputError(f"--explain draws one picture, got {len(found)}")
    from lenet.classifier import Classifier

    classifier = Classifier.load(weights, engine=engine, device=device, reject=reject)
    outcomes: Iterable[Prediction | PictureError]
    if explain is None:
        many = len(found) >= _MANY and STDIN not in found and thread_count() > 1
        processes = thread_count() if many else 0
        stream = classifier.stream(map(_opened, found), top=top, processes=processes)
        outcomes = _with_progress(stream, len(found))
    else:
        outcomes = [_explain(classifier, _opened(found[0]), top, explain)]
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


def _opened(place: str) -> "Picture":
    if place != STDIN:
        return place
    return sys.stdin.buffer if sys.stdin is not None else b""  # a closed one holds nothing


def _with_progress(outcomes: Iterable[T], total: int) -> Iterator[T]:
    """The outcomes; how many there are so far is said now and then where nobody sees them come."""
    started = last = time.monotonic()
    for done, outcome in enumerate(outcomes):
        now = time.monotonic()
        if now - last > _EVERY and not sys.stdout.isatty():
            say(f"{done:,} of {total:,} pictures, {done / (now - started):,.0f} a second")
            last = now
        yield outcome


def _explain(
    classifier: "Classifier", picture: "Picture", top: int, target: Path
) -> "Prediction | PictureError":
    """The outcome for one picture, drawn into `target`."""
    from lenet.figures.networks import draw_explanation
    from lenet.figures.style import write

    try:
        explanation = classifier.explain(picture, top=top)
    except PictureError as error:
        return error
    write(target, draw_explanation(explanation))
    return explanation.prediction


def _row(place: str, prediction: "Prediction") -> dict[str, Any]:
    return {
        "picture": place,
        "label": prediction.label,
        "probability": prediction.probability,
        "known": prediction.known,
        "top": [{"label": label, "probability": share} for label, share in prediction.top],
        "doubts": [dataclasses.asdict(doubt) for doubt in prediction.doubts],
        "notes": [dataclasses.asdict(note) for note in prediction.notes],
    }


def _show_prediction(place: str, prediction: "Prediction") -> None:
    shares = [f"{verbatim(label)} {percent(share)}" for label, share in prediction.top]
    then = f"  (then {', '.join(shares[1:])})" if shares[1:] else ""
    if prediction.label is None:
        show(f"{place}: no answer  ({', '.join(shares)})" if shares else f"{place}: nothing found")
    else:
        show(f"{place}: {verbatim(prediction.label)}  {percent(prediction.probability)}{then}")
    for note in prediction.notes:
        show(f"  note: {note.sentence}")
    for doubt in prediction.doubts:
        show(f"  doubt: {doubt.sentence}")
