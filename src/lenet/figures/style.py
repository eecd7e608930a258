"""What every figure shares: palette, fonts, heading, and the way into a PNG file."""

import functools
import io
import itertools
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK
from lenet.figures.fonts import FIRST, spell
from lenet.figures.text import wrap
from lenet.files import write_atomic
from lenet.language import translate

WIDTH = 6.4  # inches: text of a figure this wide is still legible on a phone
DPI = 160

TEXT, MUTED, FAINT, PAPER = "#1f2430", "#667085", "#dfe3ea", "#f6f7f9"
TRAIN, VALIDATION, BEST = "#94a3b8", "#2563eb", "#d9480f"
_GREY = colormaps["gray"]
SIGNED = colormaps["RdBu_r"]
PERCENT = PercentFormatter(1, symbol=" %")

_P = ParamSpec("_P")

_STYLE: Any = {  # the keys' literal type is private to matplotlib
    "font.family": [FIRST],
    "font.size": 10,
    "text.color": TEXT,
    "text.parse_math": False,  # a class may be called "$5 bill"
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": TEXT,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "image.interpolation": "nearest",
}


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw in our style and language; the user's own settings of matplotlib stay as they are."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            for text in figure.findobj(Text):
                text.set_text(translate(text.get_text()))
            spell(figure)
        return figure

    return styled


class _ShownFigure(Figure):
    """A figure that a notebook shows as it is written to files."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of so many inches, without pyplot and its list of open figures."""
    figure = _ShownFigure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as the bytes of a PNG file: the same bytes for the same figure."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context(_STYLE):
        # `spell` has said it already.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def heading(figure: Figure, title: str, subtitle: str = "") -> float:
    """Write the heading; returns its height as a share of the figure's."""
    inches = figure.get_figheight()
    figure.text(0.02, 1 - 0.14 / inches, title, size=13, weight="bold", va="top")
    lines = wrap(translate(subtitle), 88)
    figure.text(
        0.02, 1 - 0.41 / inches, "\n".join(lines), size=8.8, color=MUTED, va="top", linespacing=1.4
    )
    return (0.5 + 0.18 * len(lines)) / inches


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write the name of each line in its colour beside its end, on the right, none over another.

    Parameters
    ----------
    axes : Axes
        Its place and its limits are final.
    ends : sequence of (float, str, str)
        How high a line ends, what it is called, its colour.
    """
    low, high = axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes are drawn on a figure"
    point = (high - low) / (72 * axes.get_position().height * figure.get_figheight())
    ends = sorted(ends, key=lambda end: end[0])
    heights = [point * (14 + 11 * name.count("\n")) for _, name, _ in ends]
    places = spread([y for y, _, _ in ends], heights, low)
    for y, (_, name, colour) in zip(places, ends, strict=True):
        axes.annotate(
            name,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            size=9,
            weight="bold",
            color=MUTED if colour == TRAIN else colour,  # words need more contrast than lines
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], heights: Sequence[float], low: float) -> list[float]:
    """Where texts go, so that each is as near to its place as the others let it be.

    Parameters
    ----------
    wanted : sequence of float
        Their middles, ascending.
    heights : sequence of float
    low : float
        What none may reach below.

    Returns
    -------
    places : list of float
        Their middles: of all that are far enough apart, those with the least squared distances.

    References
    ----------
    Barlow et al. 1972, *Statistical Inference under Order Restrictions*: the max-min formula.
    """
    apart = [(a + b) / 2 for a, b in itertools.pairwise(heights)]
    offsets = list(itertools.accumulate(apart, initial=0.0))
    free = [y - offset for y, offset in zip(wanted, offsets, strict=True)]
    least = low + heights[0] / 2
    places = []
    for i, offset in enumerate(offsets):
        means = [
            min(statistics.fmean(free[first:last]) for last in range(i + 1, len(free) + 1))
            for first in range(i + 1)
        ]
        places.append(max(least, *means) + offset)
    return places


def draw_picture(
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
    axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)


def text_on(colour: Sequence[float]) -> str:
    """Dark or white, whichever is easier to read on a colour: red, green, blue, each 0 … 1.

    References
    ----------
    WCAG 2.2, "relative luminance" and "contrast ratio".
    """
    light = sum(
        weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for weight, c in zip((0.2126, 0.7152, 0.0722), colour, strict=False)
    )
    return TEXT if (light + 0.05) / 0.067 > 1.05 / (light + 0.05) else "white"


def write(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomic(path, to_png(figure))
