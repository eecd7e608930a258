"""The paper's Figs. 5, 6, 8 and 10 with our numbers, drawn in the paper's own form."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK, INK_SIZE
from lenet.data.splits import Split
from lenet.figures.style import to_png
from lenet.files import write_atomic
from lenet.reproduction.report import TEST_ERROR, Report, finished


def draw(folder: Path, name: str, test: Split, scores: NDArray[np.float32]) -> list[Path]:
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
    reports = finished(folder)
    figures: dict[str, Figure] = {f"figure-8-mistakes-{name}": mistakes(test, scores)}
    shown = reports.get("plain") or next(iter(reports.values()), None)
    if shown:
        figures["figure-5-passes"] = passes(shown)
        figures["figure-10-rejection"] = rejection(shown)
    sizes = [report for key, report in reports.items() if key.startswith("plain")]
    if len(sizes) > 1:
        figures["figure-6-sizes"] = sizes_of_the_training_set(sizes)
    paths = []
    for title, figure in figures.items():
        path = folder / f"{title}.png"
        write_atomic(path, to_png(figure))
        paths.append(path)
    return paths


def passes(report: Report) -> Figure:
    """Fig. 5: training and test error against the passes; the band is ± 1 sd over the seeds."""
    figure, axes = _axes("Training set iterations", "Error rate (%)")
    curves = {"Test": "test_error_percent", "Training": "train_error_percent_on_the_fly"}
    for (name, key), marker in zip(curves.items(), "os", strict=True):
        spreads = report["by_pass"][key]
        at = np.arange(1, len(spreads) + 1)
        mean = np.array([s["mean"] for s in spreads])
        sd = np.array([s["sd"] or 0 for s in spreads])
        (line,) = axes.plot(at, mean, marker=marker, markersize=4, label=name)
        axes.fill_between(at, mean - sd, mean + sd, alpha=0.2, color=line.get_color(), linewidth=0)
    axes.axhline(TEST_ERROR, color="0.6", linewidth=1, linestyle="--", zorder=0)
    axes.text(1, TEST_ERROR, "0.95 % in 1998", va="top", fontsize=8, color="0.4")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tests = [s["mean"] for s in report["by_pass"]["test_error_percent"]]
    axes.set_ylim(0, max(2.0, 2.5 * min(tests)))
    axes.legend(frameon=False)
    return figure


def sizes_of_the_training_set(reports: list[Report]) -> Figure:
    """Fig. 6: errors against the number of training patterns."""
    figure, axes = _axes("Training set size", "Error rate (%)")
    reports = sorted(reports, key=lambda report: report["patterns"])
    at = [report["patterns"] for report in reports]
    curves = {"Test error": "test_error_percent", "Training error": "train_error_percent"}
    for (name, key), marker in zip(curves.items(), "os", strict=True):
        spreads = [report[key] for report in reports]
        axes.errorbar(
            at,
            [s["mean"] for s in spreads],
            yerr=[s["sd"] or 0 for s in spreads],
            marker=marker,
            capsize=3,
            label=name,
        )
    axes.set_ylim(bottom=0)
    axes.set_xticks(at, [f"{n:,}" for n in at])
    axes.legend(frameon=False)
    return figure


def rejection(report: Report) -> Figure:
    """Error on what is kept against the share rejected: the curve behind Fig. 10's bars."""
    figure, axes = _axes("Rejected (%)", "Error on the rest (%)")
    error = np.array(report["error_percent_by_share_rejected"])
    rejected = 100 * np.arange(len(error)) / len(error)
    axes.plot(rejected, error)
    share = report["rejected_percent_for_half_a_percent_error"]["mean"]
    axes.plot([0, share, share], [0.5, 0.5, 0], color="0.6", linewidth=1, linestyle="--")
    axes.text(share, 0.5, f" {share:.1f} % rejected for 0.5 %", va="bottom", fontsize=8)
    axes.set_xlim(0, max(5.0, 2 * share))
    axes.set_ylim(bottom=0)
    return figure


def mistakes(test: Split, scores: NDArray[np.float32]) -> Figure:
    """Fig. 8: every test digit misread; below it the truth, then the answer."""
    answers = scores.argmax(1)
    wrong = np.flatnonzero(answers != test.labels)
    columns, across, down = 10, INK_SIZE + 8, INK_SIZE + 14
    rows = max(1, -(-len(wrong) // columns))
    page = np.full((rows * down, columns * across), FULL_INK, np.uint8)
    figure = Figure(figsize=(6.4, 6.4 * page.shape[0] / page.shape[1]), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for place, i in enumerate(wrong):
        top, left = place // columns * down + 4, place % columns * across + 4
        page[top : top + INK_SIZE, left : left + INK_SIZE] = FULL_INK - test.images[i]
        axes.text(
            left + INK_SIZE / 2,
            top + INK_SIZE + 1,
            f"{test.labels[i]}→{answers[i]}",
            ha="center",
            va="top",
            fontsize=8,
        )
    axes.imshow(page, cmap="gray", vmin=0, vmax=FULL_INK)
    return figure


def _axes(across: str, up: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.6, 3.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes
