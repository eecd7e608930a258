"""A learning-rate test: the loss of every step over the rate it was made with."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from lenet.figures.style import BEST, TRAIN, VALIDATION, heading, new_figure, styled
from lenet.training.rates import RateTest

_HEADROOM = 1.25  # of the loss it began with: an explosion has no upper end


@styled
def draw_rates(test: RateTest) -> Figure:
    """Each step's loss, the average that the suggestion goes by, and the suggestion.

    Parameters
    ----------
    test : RateTest
    """
    figure = new_figure(4.2)
    top = heading(
        figure,
        f"A learning rate of {test.suggestion:g} is suggested",
        f"{100 * test.share:.0f} % of {test.lowest:.2g}, where the averaged loss was lowest.",
    )
    axes = figure.add_axes((0.105, 0.14, 0.86, 1 - top - 0.2))
    axes.grid(axis="y")
    axes.set_xscale("log")
    axes.plot(test.rates, test.losses, ".", color=TRAIN, markersize=4, label="each step")
    axes.plot(test.rates, test.averaged, color=VALIDATION, label="their average")
    axes.axvline(test.suggestion, color=BEST, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    axes.plot(test.lowest, test.averaged.min(), "o", color=VALIDATION, markersize=7, zorder=4)
    axes.annotate(
        f"{test.suggestion:g}",
        (test.suggestion, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        color=BEST,
        size=9,
        weight="bold",
    )
    axes.set_xlim(test.rates[0], test.rates[-1])
    axes.set_ylim(0, _HEADROOM * max(test.averaged[0], test.losses[:20].max()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("learning rate")
    axes.set_title("Loss", weight="bold", pad=8)
    axes.legend(loc="best", fontsize=9, facecolor="white", edgecolor="none")
    return figure
