"""The pictures of the pages: each is drawn by the command, and the pages say what is on it."""

import importlib
import re
from pathlib import Path

import pytest

from lenet.classifier import Classifier

ROOT = Path(__file__).parents[1]
FROM_A_REPRODUCTION = {"1998-figure-8-mistakes-distorted"}


@pytest.fixture
def images(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("images")


def test_every_picture_of_the_pages_is_drawn_again_by_the_command(images):
    stored = {path.stem for path in (ROOT / "docs" / "images").iterdir()}
    assert stored == images.PICTURES.keys() | FROM_A_REPRODUCTION


def test_every_one_can_be_drawn_and_has_a_heading(images):
    for name, draw in images.PICTURES.items():
        figure = draw()
        heading = figure.texts[0]
        assert heading.get_weight() == "bold", name
        figure.draw_without_rendering()
        ends = [text.get_window_extent().x1 for text in figure.texts]
        assert max(ends) < figure.bbox.x1, f"{name}: the heading is cut off"


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_readme_says_what_the_picture_shows(images, page):
    said = re.search(r"# photo\.jpg: (\d)  ([\d.]+) %", (ROOT / page).read_text("utf-8"))
    prediction = Classifier.load("mnist").predict(images.photo())
    assert prediction.label == said[1] == "3"
    # Other versions of Pillow and SciPy draw another photograph to the last bit.
    assert 100 * prediction.probability == pytest.approx(float(said[2]), abs=0.2)
    assert not prediction.doubts
