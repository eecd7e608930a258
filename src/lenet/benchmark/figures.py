"""The picture of a benchmark: a panel for every contest, a bar for every peer."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet.benchmark.results import Benchmark, Speed
from lenet.figures.style import BEST, MUTED, TRAIN, heading, new_figure, styled

_COLUMNS = 2
_WIDTH, _HEIGHT = 4.0, 2.0  # inches of a panel
_HEADING = 1.2  # inches, with what is to be said of the machine


@styled
def draw_speeds(benchmark: Benchmark) -> Figure:
    """Images per second of every peer at every contest; the lines span the quartiles."""
    contests = benchmark.contests()
    columns = min(_COLUMNS, len(contests))
    lines = -(-len(contests) // columns)
    threads = f"{benchmark.threads} thread{'s' * (benchmark.threads > 1)}"
    about = [f"{benchmark.machine}, {threads}", *benchmark.remarks()]
    height = _HEIGHT * lines + _HEADING
    figure = new_figure(height, _WIDTH * columns)
    top = heading(figure, "Images per second", "; ".join(about))
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - top))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(contests) :]:
        panel.set_axis_off()
    for panel, (contest, speeds) in zip(panels, contests.items(), strict=False):
        _draw_contest(panel, speeds)
        panel.set_title(str(contest), weight="bold")
    return figure


def _draw_contest(axes: Axes, speeds: Sequence[Speed]) -> None:
    """The fastest on top."""
    rows = list(reversed(speeds))
    medians = [row.images_per_second for row in rows]
    quartiles = [
        [row.images_per_second - row.low for row in rows],
        [row.high - row.images_per_second for row in rows],
    ]
    colours = [BEST if row.who.startswith("lenet") else TRAIN for row in rows]
    bars = axes.barh(
        [row.who for row in rows], medians, color=colours, xerr=quartiles, ecolor=MUTED
    )
    axes.bar_label(bars, [f" {speed:,.0f}" for speed in medians], fontsize=8)
    axes.set_xlim(0, 1.3 * max(row.high for row in rows))
    axes.set_xticks([])
    axes.tick_params(labelsize=8)
    axes.spines["bottom"].set_visible(False)
