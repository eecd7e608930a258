"""Every picture the project draws, and the report that holds them: values in, bytes out."""

import base64
import functools
import html
import io
import math
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec as Spec
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from lenet.classifier import Look
from lenet.data.preprocessing import BORDER, FULL_INK
from lenet.data.splits import Split
from lenet.evaluation import Evaluation, evaluate, losses, softmax
from lenet.files import write_atomic
from lenet.networks.codes import COLUMNS, ROWS
from lenet.networks.frame import LeNet
from lenet.networks.layers import RadialBasisOutput, TableConvolution

if TYPE_CHECKING:
    from lenet.training.loop import Epoch

WIDTH = 6.4  # inches: text of a figure this wide is still legible on a phone
DPI = 160
MISTAKES = 30
GAP = 0.02
"""Train accuracy this far above validation accuracy is named in the curves."""

_TEXT, _MUTED, _FAINT, _PAPER = "#1f2430", "#667085", "#dfe3ea", "#f6f7f9"
_TRAIN, _VALIDATION, _BEST = "#94a3b8", "#2563eb", "#d9480f"
_RIGHT = LinearSegmentedColormap.from_list("right", ["#eef4ff", "#93b9fb", "#2563eb"])
_WRONG = LinearSegmentedColormap.from_list("wrong", ["#fff3ea", "#fdb27b", "#d9480f"])
_GREY = colormaps["gray"]
_SIGNED = colormaps["RdBu_r"]
_POSITIVE = LinearSegmentedColormap.from_list("positive", ["#ffffff", "#7da7f7", "#172554"])

# The first is inside matplotlib; the others are taken, where there, for names in other scripts.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
)

_P = ParamSpec("_P")
_R = TypeVar("_R")


@functools.cache
def _style() -> Any:  # the keys' literal type is private to matplotlib
    known = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in _FONTS if name in known],
        "font.size": 10,
        "text.color": _TEXT,
        "text.parse_math": False,  # a class may be called "$5 bill"
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _MUTED,
        "axes.titlecolor": _TEXT,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "grid.color": _FAINT,
        "grid.linewidth": 0.8,
        "xtick.color": _MUTED,
        "ytick.color": _MUTED,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "lines.linewidth": 2,
        "lines.solid_capstyle": "round",
        "image.interpolation": "nearest",
    }


def _styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Draw in our style whatever the user's matplotlib is set to, and leave that as it was."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with mpl.rc_context(_style()):
            return draw(*args, **kwargs)

    return styled


def _figure(height: float, width: float = WIDTH) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@_styled
def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as the bytes of a PNG file: the same bytes for the same figure."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class named in a script that no font here has: boxes in the figure are enough.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _heading(figure: Figure, title: str, subtitle: str = "") -> float:
    """Write the heading; returns its height as a share of the figure's."""
    inches = figure.get_figheight()
    figure.text(0.02, 1 - 0.14 / inches, title, size=13, weight="bold", va="top")
    lines = textwrap.wrap(subtitle, 88)
    figure.text(
        0.02, 1 - 0.41 / inches, "\n".join(lines), size=8.8, color=_MUTED, va="top", linespacing=1.4
    )
    return (0.5 + 0.18 * len(lines)) / inches


# Curves -------------------------------------------------------------------------------------------


def diagnose(history: Sequence["Epoch"]) -> str:
    """One sentence on the distance between training and validation at the last epoch."""
    last, gap = history[-1], _gap(history)
    if math.isnan(gap):
        return "No validation part was held out: nothing says whether it overfits."
    if overfits(history):
        lowest = min(history, key=lambda epoch: epoch.validation_loss)
        return (
            f"Overfits by {100 * gap:.1f} points: after epoch {lowest.epoch} the validation loss "
            f"rises from {lowest.validation_loss:.3f} to {last.validation_loss:.3f}."
        )
    if gap >= GAP:
        return f"Training ends {100 * gap:.1f} points ahead of validation, which does not suffer."
    if gap <= -GAP:
        return (
            f"Validation ends {-100 * gap:.1f} points ahead of training, "
            f"which is measured while learning and on distorted images, if there are any."
        )
    return "Training and validation end together."


def overfits(history: Sequence["Epoch"]) -> bool:
    """Training ends well ahead of validation, and validation has become worse on the way."""
    lowest = min(epoch.validation_loss for epoch in history)
    return _gap(history) >= GAP and history[-1].validation_loss > 1.05 * lowest


def _gap(history: Sequence["Epoch"]) -> float:
    return history[-1].train_accuracy - history[-1].validation_accuracy


@_styled
def curves(history: Sequence["Epoch"], best_epoch: int) -> Figure:
    """Loss and accuracy of train and validation, the best epoch marked, the gap named.

    Parameters
    ----------
    history : sequence of Epoch
        At least one.
    best_epoch : int
        The epoch whose weights were kept.
    """
    figure = _figure(6.6)
    best = next(epoch for epoch in history if epoch.epoch == best_epoch)
    parts = {"train": _TRAIN, "validation": _VALIDATION}
    shown = "validation"
    if math.isnan(best.validation_loss):  # no validation part was held out
        del parts["validation"]
        shown = "train"
    top = _heading(
        figure,
        f"Best epoch {best_epoch} of {history[-1].epoch}: "
        f"{shown} accuracy {_share(getattr(best, f'{shown}_accuracy'))}",
        diagnose(history),
    )
    grid = figure.add_gridspec(
        2, 1, left=0.105, right=0.845, top=1 - top - 0.055, bottom=0.075, hspace=0.28
    )
    epochs = [epoch.epoch for epoch in history]
    for place, (title, field) in enumerate((("Loss", "loss"), ("Accuracy", "accuracy"))):
        axes = figure.add_subplot(grid[place])
        axes.set_title(title, weight="bold", pad=8)
        axes.grid(axis="y")
        axes.axvline(best_epoch, color=_BEST, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        ends = []
        for part, colour in parts.items():
            values = [getattr(epoch, f"{part}_{field}") for epoch in history]
            marker = "o" if len(history) < 12 else None
            axes.plot(epochs, values, color=colour, marker=marker, markersize=4)
            ends.append((values[-1], part, colour))
        axes.plot(
            best_epoch,
            getattr(best, f"validation_{field}"),
            "o",
            color=_BEST,
            markersize=7,
            zorder=4,
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(history) == 1:
            axes.set_xticks(epochs)
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        else:
            axes.set_xlim(epochs[0], epochs[-1])
        axes.margins(y=0.08)
        if field == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
            axes.set_xlabel("epoch")
            _name_gap(axes, epochs, history)
        else:
            axes.set_ylim(bottom=0)
        _name_ends(axes, ends)
        axes.annotate(
            "best",
            (best_epoch, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            color=_BEST,
            size=8.5,
        )
    return figure


def _name_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each line's name at its end, apart from one another."""
    low, high = axes.get_ylim()
    ends = sorted(ends)
    overlap = max(0.0, 0.085 * (high - low) - (ends[-1][0] - ends[0][0]))
    for way, (y, part, colour) in zip((-1, 1), ends, strict=False):
        y += way * overlap / 2 if len(ends) > 1 else 0.0
        axes.annotate(
            part,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            size=9,
            weight="bold",
            color=_MUTED if part == "train" else colour,
            annotation_clip=False,
        )


def _name_gap(axes: Axes, epochs: list[int], history: Sequence["Epoch"]) -> None:
    last, gap = history[-1], _gap(history)
    if len(history) < 2 or not gap >= GAP:
        return
    axes.fill_between(
        epochs,
        [epoch.validation_accuracy for epoch in history],
        [epoch.train_accuracy for epoch in history],
        where=[epoch.train_accuracy > epoch.validation_accuracy for epoch in history],
        color=_BEST,
        alpha=0.1,
        linewidth=0,
    )
    axes.annotate(
        f"gap {100 * gap:.1f} points",
        (epochs[-1], last.validation_accuracy),
        xytext=(-6, -10),
        textcoords="offset points",
        ha="right",
        va="top",
        size=9,
        color=_BEST,
        weight="bold",
    )


# Confusion and calibration ------------------------------------------------------------------------


@_styled
def confusion(evaluation: Evaluation) -> Figure:
    """Who was taken for whom: right answers in blue by recall, wrong ones in orange by count."""
    counts = evaluation.confusion
    classes = len(counts)
    names = [_short(name, 14) for name in evaluation.class_names]
    figure = _figure(WIDTH + 0.5)
    top = _heading(
        figure,
        f"{evaluation.n_errors:,} of {evaluation.n_images:,} wrong",
        "Rows: what it is. Columns: what the network said. "
        "Blue: right, in % of the row. Orange: wrong, in images.",
    )
    rows = counts.sum(axis=1, keepdims=True).clip(min=1)
    wrong = counts * (1 - np.eye(classes, dtype=np.int64))
    colours = _WRONG(wrong / max(5, wrong.max()))  # one mistake is no alarm
    colours[wrong == 0] = mpl.colors.to_rgba(_PAPER)
    right = np.arange(classes)
    recall = (counts / rows)[right, right]
    colours[right, right] = _RIGHT(recall)
    margin = 0.03 + 0.0115 * max(len(name) for name in names)
    axes = figure.add_axes((margin, margin, 0.975 - margin, 1 - top - margin - 0.02))
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
        for i, j in np.argwhere(counts):
            strong = recall[i] > 0.75 if i == j else wrong[i, j] > 0.6 * max(5, wrong.max())
            axes.text(
                j,
                i,
                f"{100 * recall[i]:.1f}" if i == j else f"{counts[i, j]:,}",
                ha="center",
                va="center",
                size=size,
                weight="bold" if i == j else "normal",
                color="white" if strong else _TEXT,
            )
    return figure


@_styled
def calibration(evaluation: Evaluation) -> Figure:
    """Accuracy against confidence, and how many images were how sure."""
    figure = _figure(4.6)
    bins = [b for b in evaluation.calibration.bins if b.count]
    confidence = sum(b.count * b.confidence for b in bins) / evaluation.n_images
    lean = "too sure" if confidence > evaluation.accuracy else "not sure enough"
    top = _heading(
        figure,
        f"Calibration error {100 * evaluation.calibration.error:.1f} points",
        f"On average {100 * confidence:.1f} % sure and {100 * evaluation.accuracy:.1f} % right: "
        f"{lean}. On the diagonal, sure and right agree.",
    )
    grid = figure.add_gridspec(
        2,
        1,
        left=0.105,
        right=0.97,
        top=1 - top - 0.02,
        bottom=0.115,
        hspace=0.12,
        height_ratios=(4, 1),
    )
    axes = figure.add_subplot(grid[0])
    axes.grid()
    axes.plot((0, 1), (0, 1), color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
    for b in bins:
        axes.plot((b.confidence, b.confidence), (b.confidence, b.accuracy), color=_BEST, alpha=0.5)
    axes.scatter(
        [b.confidence for b in bins],
        [b.accuracy for b in bins],
        s=[20 + 130 * math.sqrt(b.count / evaluation.n_images) for b in bins],
        color=_VALIDATION,
        zorder=3,
    )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    axes.set_xticklabels([])
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("right")
    below = figure.add_subplot(grid[1])
    below.bar(
        [(b.low + b.high) / 2 for b in bins],
        [b.count / evaluation.n_images for b in bins],
        width=0.092,
        color=_TRAIN,
    )
    below.set_xlim(0, 1.02)
    below.xaxis.set_major_formatter(PercentFormatter(1))
    below.yaxis.set_major_formatter(PercentFormatter(1))
    below.set_yticks([0, 1])
    below.set_xlabel("sure")
    below.set_ylabel("images")
    return figure


# Mistakes -----------------------------------------------------------------------------------------


@_styled
def mistakes(
    ink: NDArray[np.uint8],
    labels: NDArray[np.int64],
    scores: NDArray[np.floating[Any]],
    class_names: Sequence[str],
    limit: int = MISTAKES,
) -> Figure:
    """The wrong answers that were furthest from the truth, worst first.

    Parameters
    ----------
    ink : (N, 28, 28) uint8, paper = 0, full ink = 255
    labels : (N,) int64
    scores : (N, classes) float
    class_names : sequence of str
        By label.
    limit : int
        How many at most.
    """
    predictions = scores.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    loss = losses(scores, labels)
    worst = wrong[np.argsort(-loss[wrong], kind="stable")][:limit]
    sure = softmax(scores)
    columns = 6
    rows = max(1, math.ceil(len(worst) / columns))
    inches = 0.85 + 1.42 * rows
    figure = _figure(inches)
    if not len(worst):
        _heading(figure, "No mistakes", f"All {len(labels):,} images were given the right label.")
        return figure
    title = f"The {len(worst)} worst of {len(wrong):,} mistakes"
    if len(worst) == len(wrong):
        title = f"All {len(wrong)} mistakes" if len(wrong) > 1 else "The one mistake"
    top = _heading(
        figure,
        title,
        "What it is, and in orange what the network said and how sure it was. Worst first.",
    )
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.02,
        right=0.98,
        top=1 - top,
        bottom=0.42 / inches,
        hspace=0.45,
        wspace=0.14,
    )
    for place, i in enumerate(worst):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        _picture(axes, FULL_INK - ink[i])
        axes.set_anchor("N")
        said = predictions[i]
        axes.text(
            0, -0.04, _short(class_names[labels[i]], 13), transform=axes.transAxes, va="top", size=8
        )
        axes.text(
            0,
            -0.19,
            f"{_short(class_names[said], 11)} ({100 * sure[i, said]:.0f} %)",
            transform=axes.transAxes,
            va="top",
            size=7.5,
            color=_BEST,
        )
    return figure


# Filters ------------------------------------------------------------------------------------------


@_styled
def filters(network: LeNet) -> Figure:
    """The 5×5 kernels of C1, and those of C3 in the order of the paper's Table I."""
    first, kernels, linked = _kernels(network)
    figure = _figure(4.75)
    top = _heading(
        figure,
        f"{len(first)} kernels of C1, {int(linked.sum())} of C3",
        "Red adds, blue takes away. C3: columns are its maps, rows the S2 maps they see.",
    )
    rows = kernels.shape[1]
    grid = figure.add_gridspec(
        2, 1, left=0.06, right=0.98, top=1 - top, bottom=0.03, height_ratios=(1.05, 2.5), hspace=0.1
    )
    upper = grid[0].subgridspec(1, len(first), wspace=0.12)
    limit = np.abs(first).max() or 1.0
    for i, kernel in enumerate(first):
        axes = figure.add_subplot(upper[i])
        _picture(axes, kernel, _SIGNED, -limit, limit)
        axes.set_title(f"C1 {i}" if i == 0 else f"{i}", size=8, color=_MUTED, pad=3)
    lower = grid[1].subgridspec(rows, len(kernels), wspace=0.16, hspace=0.16)
    limit = np.abs(kernels).max() or 1.0
    for out in range(len(kernels)):
        for into in range(rows):
            axes = figure.add_subplot(lower[into, out])
            if linked[out, into]:
                _picture(axes, kernels[out, into], _SIGNED, -limit, limit)
            else:
                axes.set_axis_off()
                axes.set_box_aspect(1)
            if into == 0:
                axes.set_title(f"{out}", size=8, color=_MUTED, pad=3)
            if out == 0:
                axes.text(
                    -0.25, 0.5, f"S2 {into}" if into == 0 else f"{into}",
                    transform=axes.transAxes, ha="right", va="center", size=8, color=_MUTED,
                )  # fmt: skip
    return figure


def _kernels(
    network: LeNet,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """(6, 5, 5) of C1, (16, 6, 5, 5) of C3, and which of C3's (16, 6) are there."""
    match network.c3:
        case TableConvolution() as layer:
            weight = layer.dense_weight()
            linked = np.zeros(weight.shape[:2], np.bool_)
            linked[layer.outputs.cpu().numpy(), layer.inputs.cpu().numpy()] = True
        case layer:
            weight = layer.get_parameter("weight")
            linked = np.ones(weight.shape[:2], np.bool_)
    first = network.c1.get_parameter("weight").detach().cpu().numpy()[:, 0]
    return first, weight.detach().cpu().numpy(), linked


# One picture explained ----------------------------------------------------------------------------


@_styled
def explain(look: Look, network: LeNet) -> Figure:
    """One picture on its way through the network, and why its answer may be wrong.

    Parameters
    ----------
    look : Look
        What `Classifier.look` returned.
    network : LeNet
        The classifier's. When its output is made of radial basis units, F6 is drawn as a character
        beside the codes it was nearest to.
    """
    class_names, probabilities, box = look.class_names, look.probabilities, look.ink.box
    codes = None
    if isinstance(network.output, RadialBasisOutput):
        codes = network.output.centers.detach().cpu().numpy()
    order = np.argsort(-probabilities, kind="stable")
    best = int(order[0])
    doubts = [doubt.sentence for doubt in look.prediction.doubts]
    reasons = [line for doubt in doubts for line in textwrap.wrap(f"• {doubt}", 96)]
    below = 7.2 if codes is None else 8.1  # where the doubts begin, in inches
    inches = below + 0.35 + 0.18 * len(reasons)
    figure = _figure(inches)
    others = ", ".join(
        f"{_short(class_names[i], 16)} {_percent(probabilities[i])}" for i in order[1:3]
    )
    _heading(
        figure,
        f"{_short(class_names[best], 30)}  {_percent(probabilities[best])}",
        f"then {others}",
    )

    def part(
        title: str, top: float, height: float, left: float = 0.02, right: float = 0.98
    ) -> Spec:
        """A titled rectangle; top and height in inches from the top of the figure."""
        figure.text(left, 1 - top / inches, title, size=9.5, weight="bold", va="top")
        top += 0.23
        return figure.add_gridspec(
            1, 1, left=left, right=right, top=1 - top / inches, bottom=1 - (top + height) / inches
        )[0]

    axes = figure.add_subplot(part("The picture", 0.82, 1.95, 0.02, 0.3))
    _picture(axes, look.grey)
    axes.set_anchor("NW")
    if box is not None and box != (0, 0, *look.grey.shape):
        up, left, down, right = box
        axes.add_patch(
            Rectangle((left, up), right - left, down - up, fill=False, color=_BEST, linewidth=1.5)
        )
    axes = figure.add_subplot(part("What the network saw", 0.82, 1.95, 0.325, 0.605))
    _picture(axes, FULL_INK - np.pad(look.ink.ink, BORDER))
    axes.set_anchor("NW")
    title = "Probabilities" if codes is None else "Probabilities, distances"
    shown = np.sort(order[:10])
    axes = figure.add_subplot(part(title, 0.82, 1.95, 0.63, 0.98))
    distances = None if codes is None else -look.activations["output"]
    _bars(axes, shown, best, probabilities, class_names, distances)

    c1, c3, f6 = (look.activations[name] for name in ("c1", "c3", "f6"))
    _maps(figure, part("C1: 6 maps of 28 × 28", 3.16, 1.0), c1, rows=1)
    _maps(figure, part("C3: 16 maps of 10 × 10", 4.56, 1.5), c3, rows=2)
    if codes is None:
        axes = figure.add_subplot(part(f"F6: {len(f6)} features", 6.48, 0.3))
        _picture(axes, f6.reshape(2, -1), *_scale(f6))
        axes.set_aspect("auto")
    else:
        _codes(figure, part, f6, codes, class_names, order)
    title = "Why it doubts" if reasons else "No reason to doubt"
    figure.text(0.02, 1 - below / inches, title, size=9.5, weight="bold", va="top")
    figure.text(
        0.02, 1 - (below + 0.24) / inches, "\n".join(reasons), size=9, va="top", linespacing=1.4
    )
    return figure


def _bars(
    axes: Axes,
    shown: NDArray[np.int64],
    best: int,
    probabilities: NDArray[np.floating[Any]],
    class_names: Sequence[str],
    distances: NDArray[np.floating[Any]] | None,
) -> None:
    """One bar a class, from left to right inside the axes: name, bar, number."""
    axes.set_xlim(0, 1)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_axis_off()
    names = [_short(class_names[i], 12) for i in shown]
    start = 0.04 + 0.037 * max(len(name) for name in names)
    room = (0.8 if distances is None else 0.64) - start
    for row, (i, name) in enumerate(zip(shown, names, strict=True)):
        colour = _VALIDATION if i == best else _TRAIN
        weight = "bold" if i == best else "normal"
        axes.text(start - 0.03, row, name, ha="right", va="center", size=8.5, weight=weight)
        axes.barh(row, room, left=start, color=_PAPER, height=0.62)
        axes.barh(row, room * probabilities[i], left=start, color=colour, height=0.62)
        number = _percent(probabilities[i])
        axes.text(start + room + 0.2, row, number, ha="right", va="center", size=8, weight=weight)
        if distances is not None:
            text = f"{distances[i]:.1f}"
            axes.text(1, row, text, ha="right", va="center", size=8, color=_MUTED, weight=weight)


def _maps(figure: Figure, place: Spec, maps: NDArray[np.floating[Any]], rows: int) -> None:
    """Feature maps side by side, in one scale so that they can be compared."""
    columns = len(maps) // rows
    grid = place.subgridspec(rows, columns, wspace=0.06, hspace=0.08)
    scale = _scale(maps)
    for i, values in enumerate(maps):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        _picture(axes, values, *scale)


def _codes(
    figure: Figure,
    part: Callable[[str, float, float, float, float], Spec],
    f6: NDArray[np.floating[Any]],
    codes: NDArray[np.floating[Any]],
    class_names: Sequence[str],
    order: NDArray[np.int64],
) -> None:
    """F6 as a character of 7×12 dots beside the codes it was nearest to."""
    shown = [("F6 as 7 × 12", f6)]
    for title, label in zip(("Nearest code", "Next"), order, strict=False):
        shown.append((f"{title}: {_short(class_names[label], 8)}", codes[label]))
    for place, (title, values) in enumerate(shown):
        left = 0.02 + 0.33 * place
        axes = figure.add_subplot(part(title, 6.48, 1.2, left, left + 0.3))
        # (84,) → (12, 7), row by row as the codes are
        _picture(axes, np.reshape(values, (ROWS, COLUMNS)), _SIGNED, -1.7159, 1.7159)
        axes.set_anchor("NW")


def _scale(values: NDArray[np.floating[Any]]) -> tuple[Colormap, float, float]:
    """A colour map and its range: white is zero when there are signs, the smallest value if not."""
    low, high = float(values.min()), float(values.max())
    if low < 0:
        limit = max(-low, high)
        return _SIGNED, -limit, limit
    return _POSITIVE, low, high if high > low else low + 1


def _picture(
    axes: Axes,
    values: NDArray[Any],
    colours: Colormap = _GREY,
    low: float = 0,
    high: float = FULL_INK,
) -> None:
    """A picture in a thin frame, without ticks."""
    height, width = values.shape
    axes.imshow(values, cmap=colours, vmin=low, vmax=high, extent=(0, width, height, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=True, color=_FAINT, linewidth=0.6)


def _percent(share: float) -> str:
    """99.97 % is not 100 %: one digit more where it matters, and never a false certainty."""
    percent = 100 * share
    if 99.9 <= percent < 100:
        return "> 99.9 %"
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %"


def _short(name: str, length: int) -> str:
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"
    return name if len(name) <= length else f"{name[: length - 1]}…"


# The report ---------------------------------------------------------------------------------------

_CSS = """
:root { color-scheme: light dark; --text: #1f2430; --muted: #667085; --paper: #f6f7f9;
  --card: #ffffff; --line: #e4e7ec; --warn: #d9480f; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ef; --muted: #98a2b3;
  --paper: #0f1218; --card: #181c24; --line: #2b313c; --warn: #ff9a5c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 16px 56px; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 10px; }
p { margin: 0; }
.muted { color: var(--muted); }
.warn { color: var(--warn); }
.facts { display: grid; gap: 12px; margin: 22px 0;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.fact, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.fact { padding: 12px 16px; }
.fact b { display: block; font-size: 1.3rem; line-height: 1.3; }
.fact span { color: var(--muted); font-size: .85rem; }
.cards { columns: 2; column-gap: 16px; }
@media (max-width: 800px) { .cards { columns: 1; } }
section { padding: 16px; margin: 0 0 16px; break-inside: avoid; }
img { display: block; width: 100%; height: auto; border-radius: 8px; background: #ffffff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { color: var(--muted); font-weight: 500; }
th:first-child, td:first-child, td.text { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
tr:last-child td { border-bottom: 0; }
footer { margin-top: 12px; font-size: .85rem; }
"""


def report_html(
    title: str,
    evaluation: Evaluation,
    history: Sequence["Epoch"],
    best_epoch: int,
    pictures: Mapping[str, bytes],
    facts: Mapping[str, object],
) -> str:
    """One self-contained page about a run: nothing in it is fetched from anywhere.

    Parameters
    ----------
    title : str
    evaluation : Evaluation
        Of the test part.
    history : sequence of Epoch
    best_epoch : int
    pictures : mapping of str to bytes
        What a picture shows, and the PNG.
    facts : mapping of str to object
        Rows of the last table: data, network, recipe, versions.
    """
    best = next(epoch for epoch in history if epoch.epoch == best_epoch)
    tiles = {
        "test accuracy": f"{_share(evaluation.accuracy)} ± {_share(evaluation.standard_error)}",
        "test images wrong": f"{evaluation.n_errors:,} of {evaluation.n_images:,}",
        "validation accuracy": _share(best.validation_accuracy),
        "best epoch": f"{best_epoch} of {history[-1].epoch}",
        "training time": _duration(history[-1].elapsed_seconds),
    }
    boxes = "\n".join(
        f'<div class="fact"><b>{_escape(value)}</b><span>{name}</span></div>'
        for name, value in tiles.items()
    )
    classes = _table(
        ("class", "precision", "recall", "F1", "images"),
        [
            (c.name, _share(c.precision), _share(c.recall), _share(c.f1), f"{c.support:,}")
            for c in evaluation.per_class
        ],
    )
    pairs = [(f"{p.truth} → {p.prediction}", f"{p.count:,}") for p in evaluation.most_confused[:10]]
    sections = [
        f'<section><img alt="{_escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}"></section>'
        for name, png in pictures.items()
    ]
    sections.append(f"<section><h2>Class by class</h2>{classes}</section>")
    if pairs:
        table = _table(("what it is → what the network said", "images"), pairs)
        sections.append(f"<section><h2>Most confused</h2>{table}</section>")
    table = _table(("", ""), [(name, str(value)) for name, value in facts.items()], text=True)
    sections.append(f"<section><h2>How it was made</h2>{table}</section>")
    newline = "\n"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{_escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<main>
<h1>{_escape(title)}</h1>
<p class="{"warn" if overfits(history) else "muted"}">{_escape(diagnose(history))}</p>
<div class="facts">
{boxes}
</div>
<div class="cards">
{newline.join(sections)}
</div>
<footer class="muted">The test part was read once, after the best epoch had been chosen by the
validation part. ± is one standard error of a share of {evaluation.n_images:,} images.</footer>
</main>
</body>
</html>
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: bool = False) -> str:
    cell = '<td class="text">' if text else "<td>"
    first = "".join(f"<th>{_escape(name)}</th>" for name in head) if any(head) else ""
    body = "".join(
        "<tr>" + "".join(f"{cell}{_escape(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{first}</tr>{body}</table></div>'


def _escape(text: str) -> str:
    # A file name may hold bytes that are no text; a page in UTF-8 cannot hold them.
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))


def _share(share: float) -> str:
    return f"{100 * share:.2f} %"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


# Files --------------------------------------------------------------------------------------------


def write(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomic(path, to_png(figure))


def write_run(
    folder: Path,
    title: str,
    network: LeNet,
    history: Sequence["Epoch"],
    best_epoch: int,
    test: Split,
    scores: NDArray[np.floating[Any]],
    class_names: tuple[str, ...],
    facts: Mapping[str, object],
) -> None:
    """Write `curves.png`, `confusion.png`, `mistakes.png`, `filters.png` and `report.html`.

    Parameters
    ----------
    folder : Path
        The run folder.
    title : str
        Of the report.
    network : LeNet
        With the best weights.
    history : sequence of Epoch
    best_epoch : int
    test : Split
    scores : (N, classes) float
        Of the test images.
    class_names : tuple of str
        By label.
    facts : mapping of str to object
        See `report_html`.
    """
    evaluation = evaluate(scores, test.labels, class_names)
    pictures = {
        "curves": to_png(curves(history, best_epoch)),
        "confusion": to_png(confusion(evaluation)),
        "mistakes": to_png(mistakes(test.images, test.labels, scores, class_names)),
        "filters": to_png(filters(network)),
    }
    for name, png in pictures.items():
        write_atomic(folder / f"{name}.png", png)
    pictures["calibration"] = to_png(calibration(evaluation))
    page = report_html(title, evaluation, history, best_epoch, pictures, facts)
    write_atomic(folder / "report.html", page.encode("utf-8"))


def write_evaluation(
    folder: Path,
    network: LeNet,
    evaluation: Evaluation,
    part: Split,
    scores: NDArray[np.floating[Any]],
) -> None:
    """Write `confusion.png`, `calibration.png`, `mistakes.png` and `filters.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "confusion.png", confusion(evaluation))
    write(folder / "calibration.png", calibration(evaluation))
    worst = mistakes(part.images, part.labels, scores, evaluation.class_names)
    write(folder / "mistakes.png", worst)
    write(folder / "filters.png", filters(network))
