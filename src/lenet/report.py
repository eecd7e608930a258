"""The report of a run: one self-contained page, and the figures beside it."""

import base64
import html
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lenet.checkpoints import load_checkpoint
from lenet.data.splits import Split
from lenet.errors import InputError
from lenet.evaluation import Evaluation
from lenet.figures.curves import draw_curves
from lenet.figures.evaluation import (
    MISTAKES,
    draw_calibration,
    draw_confusion,
    draw_mistakes,
    draw_prepared,
)
from lenet.figures.networks import draw_filters
from lenet.figures.style import to_png, write
from lenet.figures.text import cautious_percent, duration, percent, percents
from lenet.files import write_atomic
from lenet.language import spoken, translate, verbatim
from lenet.mistakes import Mistake, list_mistakes
from lenet.networks.frame import LeNet
from lenet.runs.run import Run
from lenet.training.diagnosis import Diagnosis
from lenet.training.history import Epoch

_FOOTER = (
    "The test part was read once, after the best epoch had been chosen by the validation part, if "
    "there is one. Of a hundred 95 % intervals, 95 hold the accuracy on all images of the kind "
    "(Wilson 1927)."
)


def write_report(run: Run) -> Path:
    """Write `curves.png`, `confusion.png`, `mistakes.png`, `filters.png` and `report.html`.

    Parameters
    ----------
    run : Run
        What `lenet.runs.finish_run` returned.

    Returns
    -------
    Path
        Of the page, in the run's folder.

    Raises
    ------
    InputError
        When the run is not finished.
    LenetError
        When a file cannot be written.
    """
    if run.state is None or run.test_scores is None:
        raise InputError(f"{run.folder} is not finished: give finish_run's run to write_report")
    history, best_epoch = run.state.history, run.state.best_epoch
    test, class_names = run.splits.test, run.splits.class_names
    scores, evaluation = run.test_scores, run.evaluation["test"]
    mistakes = list_mistakes(test, scores, class_names)
    pictures = {
        "curves": to_png(draw_curves(history, best_epoch, run.diagnosis.sentence)),
        "confusion": to_png(draw_confusion(evaluation)),
        "mistakes": to_png(draw_mistakes(test, mistakes)),
        "filters": to_png(draw_filters(run.network)),
    }
    for name, png in pictures.items():
        write_atomic(run.folder / f"{name}.png", png)
    train = run.splits.train
    page = report_html(
        f"{run.network.name} trained on {run.splits.name}",
        evaluation,
        history,
        best_epoch,
        run.diagnosis,
        {
            f"Loss and accuracy of training and validation over {len(history)} epochs; "
            f"the best, epoch {best_epoch}, is marked.": pictures["curves"],
            f"Confusion matrix of the test images: {evaluation.n_errors} of {evaluation.n_images} "
            f"wrong, as the tables list them.": pictures["confusion"],
            "The test images with the largest losses, each with what it is and what the network "
            "said.": pictures["mistakes"],
            f"Share of right answers against how sure the network was: calibration error "
            f"{100 * evaluation.calibration.error:.1f} points.": to_png(
                draw_calibration(evaluation)
            ),
            "Training images, prepared as the network sees them.": to_png(
                draw_prepared(train.images, train.labels, class_names, run.splits.preparation)
            ),
            "The kernels of layers C1 and C3, in colours.": pictures["filters"],
        },
        _facts(run),
        run.splits.remarks,
        _commands(run),
        mistakes if test.files is not None else (),
    )
    path = run.folder / "report.html"
    write_atomic(path, page.encode("utf-8"))
    return path


def write_evaluation(
    folder: Path,
    network: LeNet,
    evaluation: Evaluation,
    part: Split,
    mistakes: Sequence[Mistake],
) -> None:
    """Write `confusion.png`, `calibration.png`, `mistakes.png` and `filters.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "confusion.png", draw_confusion(evaluation))
    write(folder / "calibration.png", draw_calibration(evaluation))
    write(folder / "mistakes.png", draw_mistakes(part, mistakes))
    write(folder / "filters.png", draw_filters(network))


def report_html(
    title: str,
    evaluation: Evaluation,
    history: Sequence[Epoch],
    best_epoch: int,
    diagnosis: Diagnosis,
    pictures: Mapping[str, bytes],
    facts: Mapping[str, object],
    remarks: Sequence[str] = (),
    commands: Mapping[str, str] | None = None,
    mistakes: Sequence[Mistake] = (),
) -> str:
    """One self-contained page about a run: nothing in it is fetched from anywhere.

    Parameters
    ----------
    title : str
    evaluation : Evaluation
        Of the test part.
    history : sequence of Epoch
    best_epoch : int
    diagnosis : Diagnosis
    pictures : mapping of str to bytes
        What a picture shows, and the PNG.
    facts : mapping of str to object
        Rows of the last table: data, network, recipe, versions.
    remarks : sequence of str
        What was noticed in the data, a sentence each.
    commands : mapping of str to str
        What can be done with the run, and the command that does it.
    mistakes : sequence of Mistake
        Those whose files are worth to be named, the worst first.
    """
    boxes = "\n".join(
        f'<div class="fact"><b>{_escape(value)}</b><span>{_escape(name)}</span></div>'
        for name, value in _figures(evaluation, history, best_epoch).items()
    )
    sections = _sections(evaluation, pictures, facts, commands or {}, mistakes)
    noticed = "".join(f"<li>{_escape(remark)}</li>" for remark in remarks)
    css = files("lenet").joinpath("report.css").read_text("utf-8")
    newline = "\n"
    return f"""<!doctype html>
<html lang="{spoken()}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{_escape(title)}</title>
<style>
{css}</style>
</head>
<body>
<main>
<h1>{_escape(title)}</h1>
<p class="{"warn" if diagnosis.advice else "muted"}">{_escape(diagnosis.sentence)}</p>
{f"<p>{_escape(diagnosis.advice)}</p>" if diagnosis.advice else ""}
{f'<ul class="muted">{noticed}</ul>' if noticed else ""}
<div class="facts">
{boxes}
</div>
<div class="cards">
{newline.join(sections)}
</div>
<footer class="muted">{_escape(_FOOTER)}</footer>
</main>
</body>
</html>
"""


def _figures(evaluation: Evaluation, history: Sequence[Epoch], best_epoch: int) -> dict[str, str]:
    """The run in five numbers."""
    best = next(epoch for epoch in history if epoch.epoch == best_epoch)
    return {
        f"test accuracy, 95 % interval {percents(*evaluation.interval)}": percent(
            evaluation.accuracy
        ),
        "test images wrong": f"{evaluation.n_errors:,} of {evaluation.n_images:,}",
        "validation accuracy": percent(best.validation_accuracy),
        "best epoch": f"{best_epoch} of {history[-1].epoch}",
        "training time": duration(history[-1].elapsed_seconds),
    }


def _sections(
    evaluation: Evaluation,
    pictures: Mapping[str, bytes],
    facts: Mapping[str, object],
    commands: Mapping[str, str],
    mistakes: Sequence[Mistake],
) -> list[str]:
    """The pictures, then the tables, then what can be done with it."""
    sections = [
        f"<section>{_scrollable('Figure', _image(shown, png))}</section>"
        for shown, png in pictures.items()
    ]
    classes = _table(
        "Class by class",
        ("class", "precision", "recall", "F1", "images"),
        [
            (
                verbatim(c.name),
                percent(c.precision),
                percent(c.recall),
                percent(c.f1),
                f"{c.support:,}",
            )
            for c in evaluation.per_class
        ],
    )
    pairs = [
        (f"{verbatim(p.truth)} → {verbatim(p.prediction)}", f"{p.count:,}")
        for p in evaluation.most_confused[:10]
    ]
    sections.append(classes)
    if pairs:
        sections.append(_table("Most confused", ("truth → answer", "images"), pairs))
    if mistakes:
        files = [
            (str(m.file), verbatim(m.truth), verbatim(m.answer), cautious_percent(m.probability))
            for m in mistakes[:MISTAKES]
        ]
        head = ("file", "truth", "answer", "probability")
        sections.append(_table("The worst mistakes", head, files))
    listed = "".join(
        f"<dt>{_escape(name)}</dt><dd>{_escape(str(value))}</dd>" for name, value in facts.items()
    )
    sections.append(f"<section><h2>{_escape('How it was made')}</h2><dl>{listed}</dl></section>")
    if commands:
        lines = "".join(
            f"<dt>{_escape(what)}</dt><dd><code>{_escape(command)}</code></dd>"
            for what, command in commands.items()
        )
        sections.append(
            f"<section><h2>{_escape('How to use it')}</h2>"
            f'<dl class="commands">{lines}</dl></section>'
        )
    return sections


def _image(shown: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<img alt="{_escape(shown)}" src="{source}">'


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f'<th scope="col">{_escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{_escape(row[0])}</th>'
        + "".join(f"<td>{_escape(value)}</td>" for value in row[1:])
        + "</tr>"
        for row in rows
    )
    table = f"<table><tr>{first}</tr>{body}</table>"
    return f"<section><h2>{_escape(title)}</h2>{_scrollable(title, table)}</section>"


def _scrollable(title: str, content: str) -> str:
    """What may be wider than a phone: it scrolls by itself, by keys too, and a shadow says so."""
    label = _escape(title)
    return f'<div class="wide" tabindex="0" role="group" aria-label="{label}">{content}</div>'


def _escape(text: str) -> str:
    """A text as the page shows it, in the reader's language."""
    # A file name may hold bytes that are no text; a page in UTF-8 cannot hold them.
    return html.escape(translate(text).encode("utf-8", "replace").decode("utf-8"))


def _commands(run: Run) -> dict[str, str]:
    """What can be done with the run."""
    folder = shlex.quote(str(run.folder))
    return {
        "read a picture": f"lenet predict PICTURE --weights {folder}",
        "in Python": f"lenet.Classifier.load({str(run.folder)!r}).predict('PICTURE')",
        "measure it again": f"lenet evaluate --weights {folder}",
        "train the same again": run.command
        or "from Python, with a loss or an optimizer of its own",
    }


def _facts(run: Run) -> dict[str, object]:
    """The report's last table."""
    recipe = run.recipe.to_dict()
    distortions = {name: value for name, value in recipe.pop("distortions").items() if value}
    return {
        "run": run.folder,
        "data": f"{run.source} (SHA-256 {run.splits.sha256[:16]}…)",
        "images": f"{len(run.splits.train):,} train, {len(run.splits.validation):,} validation, "
        f"{len(run.splits.test):,} test",
        "network": f"{run.network.name}, "
        f"{sum(p.numel() for p in run.network.parameters() if p.requires_grad):,} parameters",
        "network options": _listed(run.network.options),
        "recipe": _listed(recipe),
        "distortions": _listed(distortions),
        "engine": run.engine.notice,
        "versions": _listed(load_checkpoint(run.folder).metadata["versions"]),
    }


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in values.items()) or "none"
