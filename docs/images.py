"""Draw the pictures of the pages, from results/ and the weights; nothing is measured again."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import roofline
from matplotlib.figure import Figure

from lenet.classifier import Classifier
from lenet.data.drawn.handwriting import draw_digits
from lenet.figures.curves import draw_curves
from lenet.figures.networks import draw_explanation
from lenet.figures.style import write
from lenet.reproduction import read_results
from lenet.reproduction.figures import draw_passes, draw_rejection, draw_sizes
from lenet.training.history import Epoch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
SEED, COUNT, CHOSEN = 1998, 300, 218
"""Which digits are drawn by rule, and which of them is photographed."""


def photo() -> bytes:
    """A JPEG file: a handwritten 3 that is nobody's, on paper."""
    sys.path.insert(0, str(ROOT / "tests"))
    from photographs import photograph

    digits = draw_digits(COUNT, SEED)
    jpeg: bytes = photograph(digits.images[CHOSEN], digits.labels[CHOSEN], SEED, CHOSEN).jpeg
    return jpeg


def explained() -> Figure:
    """What `lenet predict photo.jpg --explain` draws."""
    return draw_explanation(Classifier.load("mnist").explain(photo()))


def curves() -> Figure:
    """Of the run that `results/article-run/run.json` describes."""
    run = RESULTS / "article-run"
    results = json.loads((run / "run.json").read_text("utf-8"))["results"]
    with (run / "history.csv").open(encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    history = [Epoch(**row | {"epoch": int(row["epoch"])}) for row in rows]
    return draw_curves(history, results["best_epoch"], results["diagnosis"]["sentence"])


def sizes() -> Figure:
    """The paper's Fig. 6."""
    found = read_results(RESULTS / "1998")
    return draw_sizes([results for name, results in found.items() if name.startswith("plain")])


PICTURES: dict[str, Callable[[], Figure]] = {
    "explained": explained,
    "curves": curves,
    "roofline": roofline.draw,
    "1998-figure-5-passes": lambda: draw_passes(read_results(RESULTS / "1998")["plain"]),
    "1998-figure-6-sizes": sizes,
    "1998-figure-10-rejection": lambda: draw_rejection(read_results(RESULTS / "1998")["plain"]),
}
"""By file name. Fig. 8 is missing: it needs the network that `lenet reproduce` trained."""

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        write(ROOT / "docs" / "images" / f"{name}.png", draw())
