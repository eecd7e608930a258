"""figures/: what a figure says, and that it never fails on strange names and sizes."""

import io
import itertools
import math
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from lenet import language
from lenet.checkpoints import Checkpoint
from lenet.classifier import Classifier
from lenet.data.preprocessing import FULL_INK, Preprocessing
from lenet.data.splits import Split
from lenet.errors import LenetWarning
from lenet.evaluation import evaluate
from lenet.figures import fonts
from lenet.figures.curves import draw_curves
from lenet.figures.evaluation import (
    _RIGHT,
    _WRONG,
    MISTAKES,
    draw_calibration,
    draw_confusion,
    draw_mistakes,
    draw_prepared,
)
from lenet.figures.networks import draw_explanation, draw_filters
from lenet.figures.rates import draw_rates
from lenet.figures.style import spread, text_on, to_png
from lenet.figures.text import cautious_percent, clock, duration, percent, percents, short
from lenet.mistakes import list_mistakes
from lenet.networks import NETWORKS, build_network
from lenet.networks.initialization import initialize
from lenet.training.history import Epoch
from lenet.training.rates import RateTest

STRANGE = ("$5 bill$", "<b>bold</b>", "七", "a" * 300, "[red]", "x_{1", "\u202eabc", "é", "8", "9")


def epoch(number, train=0.9, validation=0.9, loss=0.3):
    return Epoch(number, 0.001, 0.3, train, loss, validation, 1000.0, 2.0 * number)


OVERFITS = [
    epoch(1, 0.80, 0.80, 0.50),
    epoch(2, 0.90, 0.88, 0.30),
    epoch(3, 0.978, 0.907, 0.45),
]


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [axes.get_title("left"), axes.get_title()]
        found += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    return "\n".join(found)


def pixels(figure):
    png = to_png(figure, dpi=40)
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def some_evaluation(classes=10, n=300, names=None):
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=n)
    scores = rng.normal(size=(n, classes)) + 2 * np.eye(classes)[labels]
    return evaluate(scores, labels, names or tuple(map(str, range(classes))))


def trained(name, classes=10):
    network = build_network(name, classes)
    initialize(network, "fan-in" if name == "lecun1998" else "torch", torch.Generator())
    return network.eval()


def every_figure():
    """One of each kind, with what it may say."""
    result, names = some_evaluation(), tuple("0123456789")
    ink = np.zeros((20, 28, 28), np.uint8)
    labels = np.arange(20) % 10
    part = Split(ink, labels)
    checkpoint = Checkpoint(trained("modern"), Preprocessing("digit"), names)
    reader = Classifier(checkpoint, engine="torch")
    rates = np.geomspace(1e-5, 1, 120)
    return {
        "curves": draw_curves(OVERFITS, 2),
        "confusion": draw_confusion(result),
        "calibration": draw_calibration(result),
        "mistakes": draw_mistakes(part, list_mistakes(part, np.eye(10)[labels - 1], names)),
        "prepared": draw_prepared(ink, labels, names, "digit"),
        "filters": draw_filters(trained("modern")),
        "explanation": draw_explanation(reader.explain(np.full((60, 90), 230, np.uint8))),
        "rates": draw_rates(RateTest(rates, 2 + (np.log10(rates) + 2) ** 2, share=0.5)),
    }


@pytest.fixture(scope="module")
def drawn_in_chinese():
    """Every figure, with whatever fonts there are."""
    language.speak("zh")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LenetWarning)
            return every_figure()
    finally:
        language.speak("en")


class TestInChinese:
    def test_no_word_is_left_in_english(self, drawn_in_chinese):
        for name, figure in drawn_in_chinese.items():
            for text in figure.findobj(Text):
                left = set(re.findall("[A-Za-z]{3,}", text.get_text()))
                assert left <= {"digit", "mnist"}, name

    def test_names_of_classes_stay(self):
        labels = np.arange(20) % 2
        names = ("right", "train")
        language.speak("zh")
        try:
            confusion = draw_confusion(some_evaluation(2, names=names))
            prepared = draw_prepared(np.zeros((20, 28, 28), np.uint8), labels, names, "plain")
        finally:
            language.speak("en")
        for figure in (confusion, prepared):
            figure.draw_without_rendering()
            assert set(names) <= set(texts(figure).split("\n"))

    def test_no_text_reaches_beyond_the_figure(self, drawn_in_chinese):
        for name, figure in drawn_in_chinese.items():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
                figure.draw_without_rendering()
                axes = figure.axes
                named = [*figure.texts, *(text for one in axes for text in one.texts)]
                named += [axis.label for one in axes for axis in (one.xaxis, one.yaxis)]
                for text in filter(Text.get_text, named):
                    (left, bottom), (right, top) = text.get_window_extent().get_points()
                    inside = left >= 0 and bottom >= 0
                    inside &= right <= figure.bbox.x1 and top <= figure.bbox.y1
                    assert inside, f"{name}: {text.get_text()}"


def test_the_users_matplotlib_is_left_as_it_was():
    before = dict(mpl.rcParams)
    to_png(draw_curves(OVERFITS, 2), dpi=20)
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_loaded():
    code = "import sys, lenet.report; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_figure_gives_the_same_bytes():
    first, second = (to_png(draw_curves(OVERFITS, 2), dpi=30) for _ in range(2))
    assert first == second


class TestText:
    def test_shares(self):
        assert percent(0.03141) == "3.14 %"
        assert percent(math.nan) == "–"
        assert percents(0.9, 1) == "90.00 to 100.00 %"
        said = [cautious_percent(share) for share in (0, 0.0004, 0.5, 0.9994, 1)]
        assert said == ["< 0.1 %", "< 0.1 %", "50.0 %", "> 99.9 %", "> 99.9 %"]

    @pytest.mark.parametrize(
        ("seconds", "took", "left"),
        [
            (0, "0.0 s", "0:00"),
            (9.46, "9.5 s", "0:09"),
            (62, "1 min 2 s", "1:02"),
            (7509, "2 h 5 min", "2:05:09"),
        ],
    )
    def test_times(self, seconds, took, left):
        assert duration(seconds) == took
        assert clock(seconds) == left

    def test_names_fit_and_steer_nothing(self):
        assert short("a" * 300, 8) == "aaaaaaa…"
        assert short("\u202eabc\n d", 8) == "abc d"
        assert short("\x1b", 8) == "?"


class TestCurves:
    def test_name_the_gap_and_the_best_epoch(self):
        figure = draw_curves(OVERFITS, 2, "What the numbers say.")
        said = texts(figure)
        assert "Best epoch 2 of 3: validation accuracy 88.00 %" in said
        assert "gap 7.1\npoints" in said
        assert "What the numbers say." in said
        marked = [line.get_xdata()[0] for axes in figure.axes for line in axes.lines[-1:]]
        assert marked == [2, 2]
        pixels(figure)

    def test_show_every_value_of_both_parts(self):
        lines = [
            tuple(line.get_ydata())
            for axes in draw_curves(OVERFITS, 2).axes
            for line in axes.lines
            if len(line.get_ydata()) == 3
        ]
        assert lines == [
            (0.3, 0.3, 0.3),
            (0.5, 0.3, 0.45),
            (0.8, 0.9, 0.978),
            (0.8, 0.88, 0.907),
        ]

    def test_name_no_gap_where_there_is_none(self):
        history = [epoch(1), epoch(2)]
        assert "gap" not in texts(draw_curves(history, 2))

    @pytest.mark.parametrize("n", [1, 2, 200])
    def test_any_number_of_epochs(self, n):
        figure = draw_curves([epoch(i + 1) for i in range(n)], n)
        for axes in figure.axes:
            best, train, validation, dot = (len(line.get_ydata()) for line in axes.lines)
            assert (best, train, validation, dot) == (2, n, n, 1)
        pixels(figure)

    def test_without_a_validation_part(self):
        history = [epoch(i, 0.8 + i / 20, math.nan, math.nan) for i in (1, 2)]
        figure = draw_curves(history, 2)
        said = texts(figure)
        assert "Best epoch 2 of 2: train accuracy 90.00 %" in said
        dots = [axes.lines[-1] for axes in figure.axes]
        assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [(2, 0.3), (2, 0.9)]
        pixels(figure)

    def test_a_dot_on_the_edge_is_whole(self):
        figure = draw_curves([epoch(1, loss=0.5), epoch(2, loss=0.0)], 2)
        assert not any(axes.lines[-1].get_clip_on() for axes in figure.axes)

    def test_names_stay_between_the_ends_of_their_axes(self):
        history = [epoch(1, 0.5, 0.5, 0.5), epoch(2, 0.99, 0.5, 0.0)]
        for axes in draw_curves(history, 2).axes:
            low, high = axes.get_ylim()
            names = [text for text in axes.texts if text.get_text() != "best"]
            assert len(names) == (3 if axes.get_title("left") == "Accuracy" else 2)
            assert all(low < name.xy[1] < high for name in names)


class TestConfusion:
    def test_shows_recall_and_counts(self):
        result = evaluate(np.eye(2)[[0, 0, 1, 1]], [0, 0, 0, 1], ("cat", "dog"))
        said = texts(draw_confusion(result)).split("\n")
        assert "1 of 4 wrong" in said
        assert "66.7" in said
        assert "100.0" in said
        assert said.count("1") == 1
        assert "cat" in said

    def test_says_nothing_of_a_class_without_images(self):
        result = evaluate(np.eye(3)[[0, 2]], [0, 0], ("cat", "dog", "cow"))
        figure = draw_confusion(result)
        said = [text.get_text() for text in figure.axes[0].texts]
        assert said == ["50.0", "1", "–", "–"]
        assert {"what it is", "what the network said"} <= set(texts(figure).split("\n"))

    @pytest.mark.parametrize("classes", [2, 10, 25, 200])
    def test_any_number_of_classes(self, classes):
        (axes,) = draw_confusion(some_evaluation(classes)).axes
        assert axes.images[0].get_array().shape[:2] == (classes, classes)
        assert len(axes.get_xticks()) == len(axes.get_yticks()) <= 30
        pixels(axes.figure)

    def test_strange_names(self):
        result = some_evaluation(10, names=STRANGE)
        assert "$5 bill$" in texts(draw_confusion(result))
        pixels(draw_confusion(result))


class TestSpread:
    """Where the names of lines go."""

    @given(
        st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 20)), min_size=1, max_size=6).map(
            sorted
        )
    )
    def test_none_lies_on_another(self, texts):
        wanted, heights = zip(*texts, strict=True)
        places = spread(wanted, heights, -50)
        assert places[0] - heights[0] / 2 >= -50
        for (a, h), (b, k) in itertools.pairwise(zip(places, heights, strict=True)):
            assert b - a >= (h + k) / 2 - 1e-6

    def test_where_there_is_room_each_stands_where_it_should(self):
        assert spread([1, 5, 9], [2, 2, 2], 0) == [1, 5, 9]

    def test_of_two_that_meet_each_gives_way_as_far(self):
        assert spread([4, 5, 20], [3, 3, 3], 0) == [3, 6, 20]

    def test_what_would_lie_below_the_axis_is_lifted_and_the_others_with_it(self):
        assert spread([0.2, 0.4], [2, 4], 0) == [1, 4]


def test_numbers_can_be_read_on_every_colour():
    for share in np.linspace(0, 1, 50):
        for colours in (_RIGHT, _WRONG):
            colour = colours(share)
            light, ink = _luminance(colour), _luminance(to_rgb(text_on(colour)))
            contrast = (max(light, ink) + 0.05) / (min(light, ink) + 0.05)
            assert contrast > 3.9


def _luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


class TestFonts:
    def test_a_name_gets_a_font_that_has_its_characters(self, monkeypatch):
        paths = [p for p in font_manager.findSystemFonts() if fonts._has(fonts._open(p), "螺")]
        if not paths:
            pytest.skip("no font here has Chinese characters")
        (axes,) = draw_confusion(some_evaluation(2, names=("螺栓", "nut"))).axes
        families = axes.get_yticklabels()[0].get_fontfamily()
        assert families[0] == "DejaVu Sans"
        assert len(families) == 2

    def test_a_font_installed_a_moment_ago_is_found(self, monkeypatch, tmp_path):
        # Of DejaVu's own fonts one has the Armenian letters, which take the part of a new script.
        path = tmp_path / "New-Sans.ttf"
        path.write_bytes(Path(font_manager.findfont("DejaVu Sans")).read_bytes())
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path)])
        monkeypatch.setattr(fonts, "_first", lambda: fonts._open(font_manager.findfont("cmb10")))
        fonts._find.cache_clear()
        assert fonts._find(frozenset("ա")) == ["DejaVu Sans"]
        assert any(entry.fname == str(path) for entry in font_manager.fontManager.ttflist)

    def test_without_one_a_line_names_the_package(self, monkeypatch):
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["nothing there.ttf"])
        fonts._find.cache_clear()
        with pytest.warns(LenetWarning, match="fonts-noto-cjk"):
            draw_confusion(some_evaluation(2, names=("螺栓", "nut")))
        fonts._find.cache_clear()
        with pytest.warns(LenetWarning, match="fonts-noto$"):
            fonts._find(frozenset("𒀀"))
        fonts._find.cache_clear()


def test_calibration_shows_every_bin_that_has_images():
    result = some_evaluation(10, names=STRANGE)
    filled = [b for b in result.calibration.bins if b.count]
    figure = draw_calibration(result)
    above, below = figure.axes
    assert above.collections[0].get_offsets().tolist() == [
        [b.confidence, b.accuracy] for b in filled
    ]
    assert [bar.get_height() for bar in below.patches] == [b.count / 300 for b in filled]
    pixels(figure)


def test_prepared_images_are_taken_from_each_class_in_turn():
    ink = np.arange(50, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    labels = np.repeat([1, 0, 2], [40, 8, 2])
    figure = draw_prepared(ink, labels, ("a", "b", "c"), "digit")
    names = [axes.texts[0].get_text() for axes in figure.axes]
    assert names == [*"abc", *"abc", *"ab", *"ab", *"ab"]
    first = [int(FULL_INK - axes.images[0].get_array()[0, 0]) for axes in figure.axes[:4]]
    assert first == [40, 0, 48, 41]
    assert "12 of 50 training images" in texts(figure)
    assert len(draw_prepared(ink[:2], labels[:2], ("a", "b", "c"), "digit").axes) == 2
    pixels(figure)


class TestMistakes:
    @staticmethod
    def drawn(ink, labels, scores, names, files=None):
        part = Split(ink, labels, files)
        return draw_mistakes(part, list_mistakes(part, scores, names))

    def test_worst_first(self):
        ink = np.zeros((3, 28, 28), np.uint8)
        scores = np.array([[0.0, 1.0], [0.0, 5.0], [3.0, 0.0]])
        figure = self.drawn(ink, np.zeros(3, np.int64), scores, ("cat", "dog"))
        said = [axes.texts[1].get_text() for axes in figure.axes]
        assert said == ["dog 99.3 %", "dog 73.1 %"]
        truth = [axes.texts[0].get_text() for axes in figure.axes]
        assert truth == ["cat 0.7 %", "cat 26.9 %"]
        assert all(len(axes.texts) == 2 for axes in figure.axes)
        assert "All 2 mistakes" in texts(figure)

    def test_each_has_its_file_where_it_is_known(self):
        ink = np.random.default_rng(0).integers(256, size=(2, 28, 28), dtype=np.uint8)
        scores = np.array([[0.0, 1.0], [0.0, 5.0]])
        files = ("cat/1.jpg", f"cat/{'long' * 9}.jpg")
        figure = self.drawn(ink, np.zeros(2, np.int64), scores, ("cat", "dog"), files)
        said = [axes.texts[2].get_text() for axes in figure.axes]
        assert said == ["longlonglonglong…", "1.jpg"]
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), 255 - ink[1])
        figure.draw_without_rendering()
        last = [axes.texts[2].get_window_extent() for axes in figure.axes]
        assert all(box.y0 > 0 and box.x1 < figure.bbox.x1 for box in last)

    def test_more_than_fit(self):
        rng = np.random.default_rng(0)
        ink = rng.integers(256, size=(100, 28, 28), dtype=np.uint8)
        scores = np.tile(np.arange(10.0), (100, 1))
        figure = self.drawn(ink, np.zeros(100, np.int64), scores, STRANGE)
        assert f"The {MISTAKES} worst of 100 mistakes" in texts(figure)
        assert len(figure.axes) == MISTAKES
        pixels(figure)

    def test_none(self):
        ink = np.zeros((2, 28, 28), np.uint8)
        figure = self.drawn(ink, np.array([0, 1]), np.eye(2), ("a", "b"))
        assert "No mistakes" in texts(figure)
        pixels(figure)


@pytest.mark.parametrize(("name", "kernels"), [("tutorial", 96), ("modern", 96), ("lecun1998", 60)])
def test_filters_show_every_kernel_that_is_there(name, kernels):
    network = trained(name)
    figure = draw_filters(network)
    # and the colours of two scales
    assert sum(len(axes.images) for axes in figure.axes) == 6 + kernels + 2
    first = figure.axes[1].images[0].get_array()
    assert np.array_equal(first, network.c1.weight.detach().numpy()[0, 0])
    pixels(figure)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("classes", [2, 10, 30])
def test_explain(name, classes):
    names = tuple(f"{i} {STRANGE[i % 10]}"[:40] for i in range(classes))
    names = tuple("".join(c for c in one if c.isprintable()) for one in names)
    checkpoint = Checkpoint(trained(name, classes), Preprocessing("digit"), names)
    grey = np.full((60, 90), 230, np.uint8)
    grey[10:50, 40:46] = 20
    explanation = Classifier(checkpoint, engine="torch").explain(grey)
    figure = draw_explanation(explanation)
    said = texts(figure)
    for part in (
        "The picture", "What the network saw", "C1: 6 maps of 28 × 28", "S2: 6 maps of 14 × 14",
        "C3: 16 maps of 10 × 10", "S4: 16 maps of 5 × 5", "C5: 120 features",
        "F6 as 7 × 12" if name == "lecun1998" else "F6: 84 features", f"Output: {classes} scores",
    ):  # fmt: skip
        assert part in said
    if explanation.prediction.doubts:
        assert "Why it doubts" in said
    # Picture, ink, maps and features of seven layers; for 1998 also the two nearest codes.
    expected = 1 + 1 + 2 * (6 + 16) + 1 + 1 + 1 + (2 if name == "lecun1998" else 0)
    legends = 6 if name == "lecun1998" else 7
    assert sum(len(axes.images) for axes in figure.axes) == expected + legends
    for layer, values in explanation.activations.items():
        assert any(_shows(axes, values) for axes in figure.axes), layer
    pixels(figure)


def _shows(axes, values):
    """Whether the axes show a layer's last map, or all the values of a layer that has no maps."""
    wanted = values[-1] if values.size > 120 else values
    shown = [image.get_array() for image in axes.images]
    return any(
        one.size == wanted.size and np.allclose(one.ravel(), wanted.ravel()) for one in shown
    )


@pytest.mark.parametrize("name", ["modern", "lecun1998"])
def test_no_number_of_an_explanation_lies_on_a_bar(name):
    """Of a bar that is full, the number, drawn as wide as numbers get, begins behind its end."""
    checkpoint = Checkpoint(trained(name), Preprocessing("digit"), tuple("0123456789"))
    explanation = Classifier(checkpoint, engine="torch").explain(np.full((60, 90), 230, np.uint8))
    sure = np.eye(10, dtype=np.float32)[3]
    figure = draw_explanation(replace(explanation, probabilities=sure))
    figure.draw_without_rendering()
    (axes,) = [axes for axes in figure.axes if axes.patches and len(axes.patches) == 20]
    (number,) = [text for text in axes.texts if text.get_text() == "> 99.9 %"]
    end = max(bar.get_window_extent().x1 for bar in axes.patches)
    assert number.get_window_extent().x0 > end
    assert not [text for text in axes.texts if text.get_text() in ("0.0 %", "100.0 %")]


def test_an_explanation_of_blank_paper_names_no_class():
    checkpoint = Checkpoint(trained("modern", 10), Preprocessing("digit"), tuple("0123456789"))
    explanation = Classifier(checkpoint).explain(np.full((60, 90), 230, np.uint8))
    said = texts(draw_explanation(explanation))
    assert "Nothing found" in said


def test_a_rate_test_names_the_suggestion_and_shows_every_step():
    rates = np.geomspace(1e-5, 1, 120)
    test = RateTest(rates, 2 + (np.log10(rates) + 2) ** 2, share=0.5)
    figure = draw_rates(test)
    assert figure.texts[0].get_text() == f"A learning rate of {test.suggestion:g} is suggested"
    steps, averaged, *_ = figure.axes[0].lines
    assert np.array_equal(steps.get_ydata(), test.losses)
    assert np.array_equal(averaged.get_ydata(), test.averaged)
    assert to_png(figure) == to_png(draw_rates(test))
