"""How good scores are: confusion, calibration, the worst mistakes."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK
from lenet.data.splits import Split
from lenet.evaluation import Evaluation
from lenet.figures.style import (
    BEST,
    MUTED,
    PAPER,
    PERCENT,
    TEXT,
    TRAIN,
    VALIDATION,
    WIDTH,
    draw_picture,
    heading,
    new_figure,
    styled,
    text_on,
)
from lenet.figures.text import NOTHING, cautious_percent, short
from lenet.language import verbatim
from lenet.mistakes import Mistake

MISTAKES = 30
PREPARED = 12
_RIGHT = LinearSegmentedColormap.from_list("right", ["#eef4ff", "#93b9fb", "#2563eb"])
_WRONG = LinearSegmentedColormap.from_list("wrong", ["#fff3ea", "#fdb27b", "#d9480f"])


@styled
def draw_confusion(evaluation: Evaluation) -> Figure:
    """Who was taken for whom: right answers in blue by recall, wrong ones in orange by count."""
    counts = evaluation.confusion
    classes = len(counts)
    names = [short(name, 14) for name in evaluation.class_names]
    figure = new_figure(WIDTH + 0.5)
    top = heading(
        figure,
        f"{evaluation.n_errors:,} of {evaluation.n_images:,} wrong",
        "Blue: right, in % of the class's images. Orange: wrong, in images.",
    )
    recall = np.array([one.recall for one in evaluation.per_class])
    wrong = counts * (1 - np.eye(classes, dtype=np.int64))
    colours = _WRONG(wrong / max(5, wrong.max()))  # one mistake is no alarm
    colours[wrong == 0] = to_rgba(PAPER)
    there = np.flatnonzero(np.isfinite(recall))
    colours[there, there] = _RIGHT(recall[there])
    margin = 0.06 + 0.0115 * max(len(name) for name in names)
    axes = figure.add_axes((margin, margin, 0.975 - margin, 1 - top - margin - 0.02))
    figure.supylabel("what it is", x=0.01, size=9, color=MUTED)
    figure.supxlabel("what the network said", y=0.01, size=9, color=MUTED)
    axes.imshow(colours, aspect="auto")
    axes.spines[:].set_visible(False)
    ticks = range(0, classes, math.ceil(classes / 30))
    size = min(9.0, 190 / max(classes, 12))
    upright = max(len(name) for name in names) > 2
    axes.set_xticks(
        ticks, [names[i] for i in ticks], rotation=90 if upright else 0, size=max(size, 6)
    )
    axes.set_yticks(ticks, [names[i] for i in ticks], size=max(size, 6))
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=min(2.0, 24 / classes))
    axes.tick_params(which="both", length=0)
    if classes <= 24:
        for i, j in np.argwhere(wrong + np.eye(classes, dtype=np.int64)):
            share = f"{100 * recall[i]:.1f}" if i in there else NOTHING
            axes.text(
                j,
                i,
                share if i == j else f"{wrong[i, j]:,}",
                ha="center",
                va="center",
                size=size,
                weight="bold" if i == j else "normal",
                color=text_on(colours[i, j]),
            )
    return figure


@styled
def draw_calibration(evaluation: Evaluation) -> Figure:
    """Accuracy against confidence, and how many images were how sure."""
    figure = new_figure(4.6)
    bins = [b for b in evaluation.calibration.bins if b.count]
    confidence = sum(b.count * b.confidence for b in bins) / evaluation.n_images
    lean = "too sure" if confidence > evaluation.accuracy else "not sure enough"
    top = heading(
        figure,
        f"Calibration error {100 * evaluation.calibration.error:.1f} points",
        f"On average {100 * confidence:.1f} % sure and {100 * evaluation.accuracy:.1f} % right: "
        f"{lean}. On the diagonal, sure and right agree.",
    )
    grid = figure.add_gridspec(
        2,
        1,
        left=0.13,
        right=0.97,
        top=1 - top - 0.02,
        bottom=0.115,
        hspace=0.12,
        height_ratios=(4, 1),
    )
    axes = figure.add_subplot(grid[0])
    axes.grid()
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    for b in bins:
        axes.plot((b.confidence, b.confidence), (b.confidence, b.accuracy), color=BEST, alpha=0.5)
    axes.scatter(
        [b.confidence for b in bins],
        [b.accuracy for b in bins],
        s=[20 + 130 * math.sqrt(b.count / evaluation.n_images) for b in bins],
        color=VALIDATION,
        zorder=3,
    )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    axes.set_xticklabels([])
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("right")
    below = figure.add_subplot(grid[1])
    below.bar(
        [(b.low + b.high) / 2 for b in bins],
        [b.count / evaluation.n_images for b in bins],
        width=0.092,
        color=TRAIN,
    )
    below.set_xlim(0, 1.02)
    below.xaxis.set_major_formatter(PERCENT)
    below.yaxis.set_major_formatter(PERCENT)
    below.set_yticks([0, 1])
    below.set_xlabel("sure")
    below.set_ylabel("images")
    return figure


@styled
def draw_mistakes(part: Split, mistakes: Sequence[Mistake], limit: int = MISTAKES) -> Figure:
    """The wrong answers that were furthest from the truth.

    Parameters
    ----------
    part : Split
        Whose images they are of.
    mistakes : sequence of Mistake
        All of them, the worst first.
    limit : int
        How many to draw at most.
    """
    worst = mistakes[:limit]
    columns = 6
    rows = max(1, math.ceil(len(worst) / columns))
    has_files = part.files is not None
    inches = 0.85 + (1.6 if has_files else 1.42) * rows
    figure = new_figure(inches)
    if not worst:
        heading(figure, "No mistakes", f"All {len(part):,} images were given the right label.")
        return figure
    title = f"The {len(worst)} worst of {len(mistakes):,} mistakes"
    if len(worst) == len(mistakes):
        title = f"All {len(worst)} mistakes" if len(worst) > 1 else "The one mistake"
    top = heading(
        figure,
        title,
        "What it is, and in orange what the network said, each with the probability it gave. "
        "The largest loss first: where it held the truth for the least probable.",
    )
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.02,
        right=0.98,
        top=1 - top,
        bottom=(0.6 if has_files else 0.42) / inches,
        hspace=0.62 if has_files else 0.45,
        wspace=0.14,
    )
    for place, mistake in enumerate(worst):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        draw_picture(axes, FULL_INK - part.images[mistake.image])
        axes.set_anchor("N")
        truth = f"{verbatim(short(mistake.truth, 9))} {cautious_percent(mistake.truth_probability)}"
        answer = f"{verbatim(short(mistake.answer, 9))} {cautious_percent(mistake.probability)}"
        lines = [(truth, TEXT), (answer, BEST)]
        if mistake.file is not None:
            lines.append((short(mistake.file.rpartition("/")[2], 17), MUTED))
        for line, (text, colour) in enumerate(lines):
            below = -0.04 - 0.15 * line
            axes.text(0, below, text, transform=axes.transAxes, va="top", size=7.5, color=colour)
    return figure


@styled
def draw_prepared(
    ink: NDArray[np.uint8],
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    preparation: str,
    limit: int = PREPARED,
) -> Figure:
    """Some images of a data set as the network sees them: of each class in turn the first ones.

    Parameters
    ----------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
    labels : (N,) int64
    class_names : sequence of str
        By label.
    preparation : str
        How pictures become such images.
    limit : int
        How many at most.
    """
    turn = np.zeros(len(labels), np.int64)  # which image of its class each is
    for label in np.unique(labels):
        turn[labels == label] = np.arange(np.count_nonzero(labels == label))
    shown = np.lexsort((labels, turn))[:limit]
    columns = 6
    rows = math.ceil(len(shown) / columns)
    inches = 0.85 + 1.3 * rows
    figure = new_figure(inches)
    top = heading(
        figure,
        f"{len(shown)} of {len(labels):,} training images",
        f"As the network sees them. Preparation: {preparation}.",
    )
    grid = figure.add_gridspec(
        rows, columns, left=0.02, right=0.98, top=1 - top, bottom=0.28 / inches, hspace=0.3,
        wspace=0.14,
    )  # fmt: skip
    for place, i in enumerate(shown):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        draw_picture(axes, FULL_INK - ink[i])
        axes.set_anchor("N")
        name = verbatim(short(class_names[labels[i]], 15))
        axes.text(0, -0.04, name, transform=axes.transAxes, va="top", size=8)
    return figure
