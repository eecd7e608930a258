"""The paper's Figs. 5, 6, 8 and 10 with our numbers, each in the form the paper gave it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.data.splits import Split
from lenet.figures.style import (
    BEST,
    MUTED,
    TRAIN,
    VALIDATION,
    WIDTH,
    heading,
    name_ends,
    new_figure,
    styled,
    write,
)
from lenet.reproduction.results import TEST_ERROR, Results, Spread, read_results
from lenet.reproduction.studies import ERROR_AFTER_REJECTION

_COLOURS = {"test": VALIDATION, "training": TRAIN}
_COLUMNS = 10  # digits in a row of Fig. 8
_MOST_MISTAKES = 200  # the paper has 82 to show
_HEADING = 0.68  # inches of a heading with a line below it
_ACROSS, _DOWN = INK_SIZE + 8, INK_SIZE + 14  # pixels of a digit with its margin and its label


def draw_figures(folder: Path, name: str, test: Split, scores: NDArray[np.float32]) -> list[Path]:
    """Every figure that the results in the folder allow.

    Parameters
    ----------
    folder : Path
        Results are read from it, PNG files written into it.
    name : str
        The experiment whose mistakes are shown.
    test : Split
    scores : (N, 10) float32
        Of the network whose mistakes are shown.

    Returns
    -------
    paths : list of Path
    """
    results = read_results(folder)
    figures = {f"figure-8-mistakes-{name}": draw_mistakes(test, scores)}
    shown = results.get("plain") or next(iter(results.values()), None)
    if shown:
        figures["figure-5-passes"] = draw_passes(shown)
        figures["figure-10-rejection"] = draw_rejection(shown)
    sizes = [found for key, found in results.items() if key.startswith("plain")]
    if len(sizes) > 1:
        figures["figure-6-sizes"] = draw_sizes(sizes)
    paths = []
    for title, figure in figures.items():
        paths.append(folder / f"{title}.png")
        write(paths[-1], figure)
    return paths


@styled
def draw_passes(results: Results) -> Figure:
    """Fig. 5: training and test error against the passes; the band is ± 1 sd over the seeds."""
    curves = {
        "test": results.test_error_percent_by_pass,
        "training": results.train_error_percent_by_pass,
    }
    last = curves["test"][-1]
    figure, axes = _panel(
        f"Fig. 5: test error {last.mean:.2f} % after {_counted(results.passes, 'pass', 'es')}",
        f"Means over {_counted(len(last.values), 'seed')}; the bands are ± 1 standard deviation. "
        "The training error is measured while each pass goes on.",
        "passes over the training set",
    )
    at = np.arange(1, results.passes + 1)
    ends = [(TEST_ERROR, f"1998: {TEST_ERROR:g}", MUTED)]
    for (name, spreads), marker in zip(curves.items(), "os", strict=True):
        mean, sd = _mean_and_sd(spreads)
        colour = _COLOURS[name]
        axes.plot(at, mean, marker=marker, markersize=4, color=colour)
        axes.fill_between(at, mean - sd, mean + sd, alpha=0.2, color=colour, linewidth=0)
        ends.append((mean[-1], name, colour))
    axes.axhline(TEST_ERROR, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    best = min(spread.mean for spread in results.test_error_percent_by_pass)
    axes.set_ylim(0, max(2.0, 2.5 * best))
    name_ends(axes, ends)
    return figure


@styled
def draw_sizes(results: Sequence[Results]) -> Figure:
    """Fig. 6: errors against the number of training patterns; the bars are ± 1 sd."""
    results = sorted(results, key=lambda found: found.patterns)
    at = [found.patterns for found in results]
    curves = {
        "test": [found.test_error_percent for found in results],
        "training": [found.train_error_percent for found in results],
    }
    first, last = curves["test"][0].mean, curves["test"][-1].mean
    figure, axes = _panel(
        f"Fig. 6: test error {first:.2f} % → {last:.2f} %",
        f"From {at[0]:,} to {at[-1]:,} training patterns. Means over "
        f"{_counted(len(results[-1].test_error_percent.values), 'seed')}; the bars are ± 1 "
        "standard deviation.",
        "training patterns",
    )
    ends = []
    for (name, spreads), marker in zip(curves.items(), "os", strict=True):
        mean, sd = _mean_and_sd(spreads)
        axes.errorbar(at, mean, sd, marker=marker, capsize=3, color=_COLOURS[name])
        ends.append((mean[-1], name, _COLOURS[name]))
    axes.set_ylim(bottom=0)
    axes.set_xticks(at, [f"{n:,}" for n in at])
    name_ends(axes, ends)
    return figure


@styled
def draw_rejection(results: Results) -> Figure:
    """Error on what is kept against the share rejected: the curve behind Fig. 10's bars."""
    error = np.array(results.error_percent_by_share_rejected)
    share, wanted = results.rejected_percent.mean, 100 * ERROR_AFTER_REJECTION
    figure, axes = _panel(
        f"Fig. 10: {share:.1f} % rejected for {wanted:g} % error",
        "The more of the least sure answers are rejected, the fewer of the rest are wrong. "
        f"Means over {_counted(len(results.rejected_percent.values), 'seed')}.",
        "rejected, %",
        right=0.97,
    )
    axes.plot(100 * np.arange(len(error)) / len(error), error, color=VALIDATION)
    dashes = (0, (3, 3))
    axes.plot([0, share, share], [wanted, wanted, 0], color=BEST, linewidth=1, linestyle=dashes)
    axes.plot(share, wanted, "o", color=BEST, markersize=7)
    axes.set_xlim(0, max(5.0, 2 * share))
    axes.set_ylim(bottom=0)
    return figure


@styled
def draw_mistakes(test: Split, scores: NDArray[np.float32]) -> Figure:
    """Fig. 8: the test digits misread, the first 200; below each the truth, then the answer.

    Parameters
    ----------
    test : Split
    scores : (N, 10) float32
    """
    answers = scores.argmax(1)
    misread = np.flatnonzero(answers != test.labels)
    wrong = misread[:_MOST_MISTAKES]
    rows = max(1, -(-len(wrong) // _COLUMNS))
    page = np.full((rows * _DOWN, _COLUMNS * _ACROSS), FULL_INK, np.uint8)
    figure = new_figure(WIDTH * page.shape[0] / page.shape[1] + _HEADING)
    shown = "" if len(wrong) == len(misread) else f" The first {len(wrong)} of them."
    top = heading(
        figure,
        f"Fig. 8: {len(misread):,} of {len(test):,} test digits misread",
        f"Below each what it is → what the network said.{shown}",
    )
    axes = figure.add_axes((0, 0, 1, 1 - top))
    axes.set_axis_off()
    for place, i in enumerate(wrong):
        top, left = place // _COLUMNS * _DOWN + 4, place % _COLUMNS * _ACROSS + 4
        page[top : top + INK_SIZE, left : left + INK_SIZE] = FULL_INK - test.images[i]
        below = (left + INK_SIZE / 2, top + INK_SIZE + 1)
        answer = f"{test.labels[i]}→{answers[i]}"
        axes.text(*below, answer, ha="center", va="top", fontsize=8)
    axes.imshow(page, cmap="gray", vmin=0, vmax=FULL_INK)
    return figure


def _mean_and_sd(
    spreads: Sequence[Spread],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each spread; no sd counts as 0."""
    return np.array([s.mean for s in spreads]), np.array([s.sd or 0.0 for s in spreads])


def _panel(title: str, subtitle: str, across: str, right: float = 0.845) -> tuple[Figure, Axes]:
    """Error rates against something; right of it there is room for the names of lines."""
    figure = new_figure(4.4)
    top = heading(figure, title, subtitle)
    axes = figure.add_axes((0.105, 0.12, right - 0.105, 1 - top - 0.15))
    axes.set_xlabel(across)
    axes.set_ylabel("error rate, %")
    axes.grid(axis="y")
    return figure, axes


def _counted(count: int, what: str, plural: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else plural}"
