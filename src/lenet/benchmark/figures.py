"""The picture of a benchmark: a panel for every contest, a bar for every peer."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet.benchmark.results import Benchmark, Speed
from lenet.figures.style import BEST, MUTED, TRAIN, new_figure, styled

_COLUMNS = 3
_WIDTH, _HEIGHT = 4.6, 2.1  # inches of a panel


@styled
def draw_speeds(benchmark: Benchmark) -> Figure:
    """Images per second of every peer at every contest; the lines span the quartiles."""
    contests = benchmark.contests()
    columns = min(_COLUMNS, len(contests))
    lines = -(-len(contests) // columns)
    figure = new_figure(_HEIGHT * lines + 0.5, _WIDTH * columns)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(contests) :]:
        panel.set_axis_off()
    for panel, (contest, speeds) in zip(panels, contests.items(), strict=False):
        _draw_contest(panel, speeds)
        panel.set_title(str(contest), fontsize=9)
    title = f"images per second · {benchmark.machine} · {benchmark.threads} thread"
    title += "s" * (benchmark.threads > 1)
    figure.suptitle("\n".join([title, *benchmark.remarks()]), fontsize=10)
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
    axes.set_xlim(0, 1.3 * max(medians))
    axes.set_xticks([])
    axes.tick_params(labelsize=8)
    axes.spines["bottom"].set_visible(False)
