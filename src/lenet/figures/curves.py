"""How a training went: loss and accuracy by epoch."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lenet.figures.style import (
    BEST,
    PERCENT,
    TRAIN,
    VALIDATION,
    heading,
    name_ends,
    new_figure,
    styled,
)
from lenet.figures.text import percent
from lenet.training.history import GAP, Epoch, find_gap


@styled
def draw_curves(history: Sequence[Epoch], best_epoch: int, sentence: str = "") -> Figure:
    """Loss and accuracy of train and validation, the best epoch marked, the gap named.

    Parameters
    ----------
    history : sequence of Epoch
        At least one.
    best_epoch : int
        The epoch whose weights were kept.
    sentence : str
        What is to be said of them, below the heading.
    """
    figure = new_figure(6.6)
    best = next(epoch for epoch in history if epoch.epoch == best_epoch)
    parts = {"train": TRAIN, "validation": VALIDATION}
    shown = "validation"
    if math.isnan(best.validation_loss):  # no validation part was held out
        del parts["validation"]
        shown = "train"
    top = heading(
        figure,
        f"Best epoch {best_epoch} of {history[-1].epoch}: "
        f"{shown} accuracy {percent(getattr(best, f'{shown}_accuracy'))}",
        sentence,
    )
    grid = figure.add_gridspec(
        2, 1, left=0.105, right=0.845, top=1 - top - 0.055, bottom=0.075, hspace=0.28
    )
    epochs = [epoch.epoch for epoch in history]
    for place, (title, field) in enumerate((("Loss", "loss"), ("Accuracy", "accuracy"))):
        axes = figure.add_subplot(grid[place])
        axes.set_title(title, weight="bold", pad=8)
        axes.grid(axis="y")
        axes.axvline(best_epoch, color=BEST, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        ends = []
        for part, colour in parts.items():
            values = [getattr(epoch, f"{part}_{field}") for epoch in history]
            marker = "o" if len(history) < 12 else None
            axes.plot(epochs, values, color=colour, marker=marker, markersize=4)
            ends.append((values[-1], part, colour))
        axes.plot(
            best_epoch,
            getattr(best, f"{shown}_{field}"),
            "o",
            color=BEST,
            markersize=7,
            zorder=4,
            clip_on=False,  # whole where it lies on an edge
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(history) == 1:
            axes.set_xticks(epochs)
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        else:
            axes.set_xlim(epochs[0], epochs[-1])
        axes.margins(y=0.08)
        if field == "accuracy":
            axes.yaxis.set_major_formatter(PERCENT)
            axes.set_xlabel("epoch")
            gap = _shade_gap(axes, epochs, history)
        else:
            axes.set_ylim(bottom=0)
            gap = ""
        if gap:
            ends.append((min(y for y, _, _ in ends) - 1e-9, gap, BEST))
        name_ends(axes, ends)
        axes.annotate(
            "best",
            (best_epoch, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            color=BEST,
            size=8.5,
        )
    return figure


def _shade_gap(axes: Axes, epochs: list[int], history: Sequence[Epoch]) -> str:
    """Shade where training is ahead of validation; what the distance at the end is called."""
    gap = find_gap(history)
    if len(history) < 2 or not gap >= GAP:
        return ""
    axes.fill_between(
        epochs,
        [epoch.validation_accuracy for epoch in history],
        [epoch.train_accuracy for epoch in history],
        where=[epoch.train_accuracy > epoch.validation_accuracy for epoch in history],
        color=BEST,
        alpha=0.1,
        linewidth=0,
    )
    return f"gap {100 * gap:.1f}\npoints"
