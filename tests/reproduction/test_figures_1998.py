"""Figures of made-up results: smoke tests, but for what is drawn from which number."""

import itertools

import numpy as np
import pytest

from lenet.data.splits import Split
from lenet.reproduction import figures
from lenet.reproduction.results import write_results


@pytest.fixture
def twelve():
    """A test part of a dozen pictures."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    return Split(images, np.arange(12) % 10)


def test_a_folder_gives_the_figures_that_its_results_allow(made_up, twelve, tmp_path):
    scores = np.eye(10, dtype=np.float32)[np.zeros(12, int)]
    write_results(tmp_path / "plain-15000.json", made_up(patterns=15_000))
    drawn = figures.draw_figures(tmp_path, "plain-15000", twelve, scores)
    expected = {"figure-8-mistakes-plain-15000", "figure-5-passes", "figure-10-rejection"}
    assert {path.stem for path in drawn} == expected
    write_results(tmp_path / "plain.json", made_up())
    drawn = figures.draw_figures(tmp_path, "plain", twelve, scores)
    assert {path.stem for path in drawn} == {
        "figure-8-mistakes-plain",
        "figure-5-passes",
        "figure-6-sizes",
        "figure-10-rejection",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_the_curves_are_the_means(made_up):
    (axes,) = figures.draw_passes(made_up([1.0, 2.0], [3.0])).axes
    assert axes.lines[0].get_ydata().tolist() == [3.0, 1.5]
    assert axes.lines[1].get_ydata().tolist() == [1.0, 1.0]


def test_no_name_of_a_line_lies_on_another_or_on_the_curves(made_up):
    figure = figures.draw_passes(made_up([0.94, 0.96], [3.0, 1.2]))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 3  # all of them end at nearly the same height
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
    assert all(box.x0 > axes.get_window_extent().x1 for box in boxes)
    assert all(box.x1 < figure.bbox.x1 for box in boxes)


def test_sizes_are_drawn_from_small_to_large(made_up):
    results = [made_up([1.0, 1.0]), made_up([2.0, 2.0], patterns=15_000)]
    (axes,) = figures.draw_sizes(results).axes
    assert axes.lines[0].get_xdata().tolist() == [15_000, 60_000]
    assert axes.lines[0].get_ydata().tolist() == [2.0, 1.0]


def test_every_mistake_is_shown_with_truth_and_answer(twelve):
    scores = np.eye(10, dtype=np.float32)[[*twelve.labels[:10], 7, 8]]
    (axes,) = figures.draw_mistakes(twelve, scores).axes
    assert [text.get_text() for text in axes.texts] == ["0→7", "1→8"]
    (page,) = axes.images
    np.testing.assert_array_equal(page.get_array()[4:32, 4:32], 255 - twelve.images[10])


def test_no_mistake_is_an_empty_page(twelve):
    scores = np.eye(10, dtype=np.float32)[twelve.labels]
    (axes,) = figures.draw_mistakes(twelve, scores).axes
    assert not axes.texts


def test_of_too_many_mistakes_the_first_are_shown():
    n = 250
    test = Split(np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.int64))
    figure = figures.draw_mistakes(test, np.tile(np.arange(10.0), (n, 1)))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0→9"] * 200
    heading, below = (text.get_text() for text in figure.texts)
    assert "250 of 250" in heading
    assert "The first 200" in below
