"""What is inside a network: its kernels, and one picture on its way through it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec as Spec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lenet.answers import Explanation
from lenet.data.preprocessing import BORDER, FULL_INK
from lenet.figures.style import (
    BEST,
    FAINT,
    MUTED,
    PAPER,
    SIGNED,
    TRAIN,
    VALIDATION,
    draw_picture,
    heading,
    new_figure,
    styled,
    text_on,
)
from lenet.figures.text import cautious_percent, short, wrap
from lenet.language import translate, verbatim
from lenet.networks.activations import AMPLITUDE
from lenet.networks.codes import COLUMNS, ROWS

if TYPE_CHECKING:
    from lenet.networks.frame import LeNet

_POSITIVE = ListedColormap(SIGNED(np.linspace(0.5, 1, 128)), "positive")
_NAMED = 12
"""Classes up to which each score has its name and number written on it."""


@styled
def draw_filters(network: "LeNet") -> Figure:
    """The 5×5 kernels of C1, and those of C3 in the order of the paper's Table I."""
    first, kernels, linked = _kernels(network)
    figure = new_figure(5.35)
    heading(
        figure,
        f"{len(first)} kernels of C1, {int(linked.sum())} of C3",
        "Red adds, blue takes away. That most of them look like noise says nothing against them.",
    )
    limit = np.abs(first).max() or 1.0
    place = _part(figure, f"C1: {len(first)} kernels", 0.82, 1.0, 0.06)
    _legend(figure, 0.82, np.array([-limit, limit]))
    upper = place.subgridspec(1, len(first), wspace=0.12)
    for i, kernel in enumerate(first):
        draw_picture(figure.add_subplot(upper[i]), kernel, SIGNED, -limit, limit)
    limit = np.abs(kernels).max() or 1.0
    _title(figure, "C3: columns are its maps, rows the S2 maps they see", 2.3, 0.06)
    place = _part(figure, "", 2.45, 2.6, 0.06)  # room for the numbers of the columns
    _legend(figure, 2.3, np.array([-limit, limit]))
    _draw_table(figure.add_subplot(place), kernels, linked, limit)
    return figure


def _draw_table(
    axes: Axes, kernels: NDArray[np.float32], linked: NDArray[np.bool_], limit: float
) -> None:
    """Kernels in their columns and rows, numbered, where they are linked."""
    size = kernels.shape[-1]
    gap = 0.16 * size
    tiles = [
        (out * (size + gap), into * (size + gap), kernels[out, into])
        for out, into in np.argwhere(linked)
    ]
    _tile(axes, tiles, SIGNED, -limit, limit)
    columns, rows = linked.shape
    for out in range(columns):
        at = out * (size + gap) + size / 2
        axes.text(at, -gap, f"{out}", ha="center", va="bottom", size=8, color=MUTED)
    for into in range(rows):
        at = into * (size + gap) + size / 2
        name = f"S2 {into}" if into == 0 else f"{into}"
        axes.text(-1.5 * gap, at, name, ha="right", va="center", size=8, color=MUTED)
    axes.set_xlim(0, columns * (size + gap) - gap)
    axes.set_ylim(rows * (size + gap) - gap, 0)
    axes.set_anchor("N")
    axes.set_axis_off()


def _kernels(
    network: "LeNet",
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """(6, 5, 5) of C1, (16, 6, 5, 5) of C3, and which of C3's (16, 6) are there."""
    from lenet.networks.layers import TableConvolution

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


@styled
def draw_explanation(explanation: Explanation) -> Figure:
    """One picture on its way through the network, and why its answer may be wrong.

    Parameters
    ----------
    explanation : Explanation
        What `Classifier.explain` returned. When it has codes, F6 is drawn as a character beside
        those it was nearest to.
    """
    class_names, probabilities = explanation.class_names, explanation.probabilities
    box = explanation.ink.box
    codes = explanation.codes
    order = np.argsort(-probabilities, kind="stable")
    best = int(order[0])
    doubts = [
        line
        for doubt in explanation.prediction.doubts
        for line in wrap(f"• {translate(doubt.sentence)}", 96)
    ]
    below = 10.3 if codes is None else 11.2  # where the doubts begin, in inches
    figure = new_figure(below + 0.35 + 0.18 * len(doubts))
    next_best = (
        f"{verbatim(short(class_names[i], 16))} {cautious_percent(probabilities[i])}"
        for i in order[1:3]
    )
    others = f"then {', '.join(next_best)}"
    said = f"{verbatim(short(class_names[best], 30))}  {cautious_percent(probabilities[best])}"
    if explanation.prediction.label is None:
        said, others = "Nothing found", "this is what the network says of blank paper"
    heading(
        figure,
        said,
        f"{others}. In the layers, red is above zero, blue below.",
    )

    axes = figure.add_subplot(_part(figure, "The picture", 0.82, 1.95, 0.02, 0.3))
    draw_picture(axes, explanation.grey)
    axes.set_anchor("NW")
    if box is not None and box != (0, 0, *explanation.grey.shape):
        up, left, down, right = box
        axes.add_patch(
            Rectangle((left, up), right - left, down - up, fill=False, color=BEST, linewidth=1.5)
        )
    axes = figure.add_subplot(_part(figure, "What the network saw", 0.82, 1.95, 0.325, 0.605))
    draw_picture(axes, FULL_INK - np.pad(explanation.ink.ink, BORDER))
    axes.set_anchor("NW")
    title = "Probabilities" if codes is None else "Probabilities, distances"
    shown = np.sort(order[:10])
    axes = figure.add_subplot(_part(figure, title, 0.82, 1.95, 0.63, 0.98))
    distances = None if codes is None else -explanation.activations["output"]
    _bars(axes, shown, best, probabilities, class_names, distances)

    layers = explanation.activations
    top = 3.16
    for name, rows, height in (("c1", 1, 1.0), ("s2", 1, 0.5), ("c3", 2, 1.5), ("s4", 1, 0.36)):
        maps = layers[name]
        title = f"{name.upper()}: {len(maps)} maps of {maps.shape[1]} × {maps.shape[2]}"
        _legend(figure, top, maps)
        _maps(figure, _part(figure, title, top, height), maps, rows)
        top += height + 0.4
    _strip(figure, "C5", top, layers["c5"], 3)
    top += 0.73
    if codes is None:
        _strip(figure, "F6", top, layers["f6"], 2)
        top += 0.7
    else:
        _codes(figure, top, layers["f6"], codes, class_names, order)
        top += 1.6
    _output(figure, top, layers["output"], class_names)
    _title(figure, "Why it doubts" if doubts else "No reason to doubt", below)
    top = 1 - (below + 0.24) / figure.get_figheight()
    figure.text(0.02, top, "\n".join(doubts), size=9, va="top", linespacing=1.4)
    return figure


def _title(figure: Figure, title: str, top: float, left: float = 0.02) -> None:
    """A part's title; `top` is in inches from the top of the figure."""
    figure.text(left, 1 - top / figure.get_figheight(), title, size=9.5, weight="bold", va="top")


def _part(
    figure: Figure, title: str, top: float, height: float, left: float = 0.02, right: float = 0.98
) -> Spec:
    """A rectangle below its title; `top` and `height` are in inches, `top` from the figure's."""
    _title(figure, title, top, left)
    inches = figure.get_figheight()
    top += 0.23
    return figure.add_gridspec(
        1, 1, left=left, right=right, top=1 - top / inches, bottom=1 - (top + height) / inches
    )[0]


def _legend(figure: Figure, top: float, values: NDArray[np.floating[Any]]) -> None:
    """The colours of a layer and the values at their ends, to the right of its title."""
    colours, low, high = _scale(values)
    inches = figure.get_figheight()
    axes = figure.add_axes((0.78, 1 - (top + 0.15) / inches, 0.14, 0.1 / inches))
    ramp = np.linspace(low, high, 64)[None]
    draw_picture(axes, ramp, colours, low, high)
    axes.set_aspect("auto")
    for x, value, side in ((-0.06, low, "right"), (1.06, high, "left")):
        axes.text(
            x, 0.5, _number(value), transform=axes.transAxes, ha=side,
            va="center", size=8, color=MUTED,
        )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.{1 if abs(value) >= 100 else 2}f}".replace("-", "−")


def _strip(
    figure: Figure, name: str, top: float, values: NDArray[np.floating[Any]], rows: int
) -> None:
    """A layer without a plane of its own, value by value in reading order."""
    _legend(figure, top, values)
    place = _part(figure, f"{name}: {values.size} features", top, 0.11 * rows + 0.05)
    axes = figure.add_subplot(place)
    draw_picture(axes, values.reshape(rows, -1), *_scale(values))
    axes.set_aspect("auto")


def _output(
    figure: Figure, top: float, scores: NDArray[np.floating[Any]], class_names: Sequence[str]
) -> None:
    """The scores that the probabilities are made of, each with its class's name where it fits."""
    _legend(figure, top, scores)
    axes = figure.add_subplot(_part(figure, f"Output: {len(scores)} scores", top, 0.36))
    colours, low, high = _scale(scores)
    draw_picture(axes, scores[None], colours, low, high)
    axes.set_aspect("auto")
    if len(scores) > _NAMED:
        return
    for i, score in enumerate(scores):
        text = f"{verbatim(short(class_names[i], 7))}\n{_number(score)}"
        ink = text_on(colours((score - low) / (high - low)))
        axes.text(i + 0.5, 0.5, text, ha="center", va="center", size=7.5, color=ink)


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
    names = [short(class_names[i], 12) for i in shown]
    start = 0.04 + 0.037 * max(len(name) for name in names)
    room = (0.74 if distances is None else 0.54) - start
    for row, (i, name) in enumerate(zip(shown, names, strict=True)):
        colour = VALIDATION if i == best else TRAIN
        weight = "bold" if i == best else "normal"
        axes.text(
            start - 0.03, row, verbatim(name), ha="right", va="center", size=8.5, weight=weight
        )
        axes.barh(row, room, left=start, color=PAPER, height=0.62)
        axes.barh(row, room * probabilities[i], left=start, color=colour, height=0.62)
        number = cautious_percent(probabilities[i])
        axes.text(start + room + 0.26, row, number, ha="right", va="center", size=8, weight=weight)
        if distances is not None:
            text = f"{distances[i]:.1f}"
            axes.text(1, row, text, ha="right", va="center", size=8, color=MUTED, weight=weight)


def _maps(figure: Figure, place: Spec, maps: NDArray[np.floating[Any]], rows: int) -> None:
    """Feature maps side by side across the page, in one scale so that they can be compared."""
    axes = figure.add_subplot(place)
    columns, size = len(maps) // rows, maps.shape[-1]
    gap = 0.07 * size
    box = axes.get_position()
    shape = box.width * figure.get_figwidth() / (box.height * figure.get_figheight())
    down = size + gap
    across = max(down, (shape * (rows * down - gap) + gap) / columns)
    tiles = []
    for i, values in enumerate(maps):
        row, column = divmod(i, columns)
        tiles.append((column * across + (across - down) / 2, row * down, values))
    _tile(axes, tiles, *_scale(maps))
    axes.set_xlim(0, columns * across - gap)
    axes.set_ylim(rows * down - gap, 0)
    axes.set_axis_off()


def _tile(
    axes: Axes,
    tiles: Sequence[tuple[float, float, NDArray[np.floating[Any]]]],
    colours: Colormap,
    low: float,
    high: float,
) -> None:
    """Square pictures, each framed, at their left and top, a unit for each value.

    All in one set of axes: a set for each of 96 takes half a second to make.
    """
    frames = []
    for left, top, values in tiles:
        size = len(values)
        place = (left, left + size, top + size, top)
        axes.imshow(values, cmap=colours, vmin=low, vmax=high, extent=place)
        frames.append(Rectangle((left, top), size, size))
    edges = PatchCollection(frames, facecolor="none", edgecolor=FAINT, linewidth=0.6, clip_on=False)
    axes.add_collection(edges)


def _codes(
    figure: Figure,
    top: float,
    f6: NDArray[np.floating[Any]],
    codes: NDArray[np.floating[Any]],
    class_names: Sequence[str],
    order: NDArray[np.int64],
) -> None:
    """F6 as the character it draws, beside the codes it was nearest to."""
    shown = [(f"F6 as {COLUMNS} × {ROWS}", f6)]
    for title, label in zip(("Nearest code", "Next"), order, strict=False):
        shown.append((f"{title}: {verbatim(short(class_names[label], 8))}", codes[label]))
    for place, (title, values) in enumerate(shown):
        left = 0.02 + 0.33 * place
        axes = figure.add_subplot(_part(figure, title, top, 1.2, left, left + 0.3))
        # (84,) → (12, 7), row by row as the codes are
        dots = np.reshape(values, (ROWS, COLUMNS))
        draw_picture(axes, dots, SIGNED, -AMPLITUDE, AMPLITUDE)
        axes.set_anchor("NW")


def _scale(values: NDArray[np.floating[Any]]) -> tuple[Colormap, float, float]:
    """A colour map and its range: white is zero where there are signs, else the smallest value."""
    low, high = float(values.min()), float(values.max())
    if low < 0:
        limit = max(-low, high)
        return SIGNED, -limit, limit
    return _POSITIVE, low, high if high > low else low + 1
