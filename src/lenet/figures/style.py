"""What every figure shares: palette, fonts, heading, and the way into a PNG file."""

import functools
import io
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenet.data.preprocessing import FULL_INK
from lenet.files import write_atomic

WIDTH = 6.4  # inches: text of a figure this wide is still legible on a phone
DPI = 160

TEXT, MUTED, FAINT, PAPER = "#1f2430", "#667085", "#dfe3ea", "#f6f7f9"
TRAIN, VALIDATION, BEST = "#94a3b8", "#2563eb", "#d9480f"
_GREY = colormaps["gray"]
SIGNED = colormaps["RdBu_r"]

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


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Draw in our style whatever the user's matplotlib is set to, and leave that as it was."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with mpl.rc_context(_style()):
            return draw(*args, **kwargs)

    return styled


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of so many inches, without pyplot and its list of open figures."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@styled
def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as the bytes of a PNG file: the same bytes for the same figure."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class named in a script that no font here has: boxes in the figure are enough.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def heading(figure: Figure, title: str, subtitle: str = "") -> float:
    """Write the heading; returns its height as a share of the figure's."""
    inches = figure.get_figheight()
    figure.text(0.02, 1 - 0.14 / inches, title, size=13, weight="bold", va="top")
    lines = textwrap.wrap(subtitle, 88)
    figure.text(
        0.02, 1 - 0.41 / inches, "\n".join(lines), size=8.8, color=MUTED, va="top", linespacing=1.4
    )
    return (0.5 + 0.18 * len(lines)) / inches


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


def write(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomic(path, to_png(figure))
