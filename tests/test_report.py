"""report.py: a page that stands alone, says what a reader needs, and needs nothing but a run."""

import html.parser
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

from lenet.engines import Engine, select_engine
from lenet.errors import InputError
from lenet.evaluation import evaluate
from lenet.mistakes import Mistake
from lenet.report import report_html, write_report
from lenet.runs import create_run, finish_run, open_run
from lenet.training.diagnosis import Diagnosis
from lenet.training.history import Epoch
from lenet.training.recipes import default_recipe

REPORT = {"curves.png", "confusion.png", "mistakes.png", "filters.png", "report.html"}
STRANGE = ("$5 bill$", "<b>bold</b>", "七", "a" * 300, "[red]", "x_{1", "\u202eabc", "é", "8", "9")
OVERFITS = [
    Epoch(1, 0.001, 0.3, 0.80, 0.50, 0.80, 1000.0, 2.0),
    Epoch(2, 0.001, 0.3, 0.90, 0.30, 0.88, 1000.0, 4.0),
    Epoch(3, 0.001, 0.3, 0.978, 0.45, 0.907, 1000.0, 6.0),
]


def some_evaluation():
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=300)
    return evaluate(rng.normal(size=(300, 10)) + 2 * np.eye(10)[labels], labels, STRANGE)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.text = [], [], ""
        self.attributes = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        self.sources += [v for k, v in attrs if k in ("src", "href", "srcset", "action")]

    @property
    def descriptions(self):
        return [attributes["alt"] for tag, attributes in self.attributes if tag == "img"]

    def handle_data(self, data):
        self.text += data


class TestReport:
    @pytest.fixture
    def page(self):
        return report_html(
            "<script>alert(1)</script>",
            some_evaluation(),
            OVERFITS,
            2,
            Diagnosis("overfits", "Overfits by 7.1 points <b>.", "Try more pictures."),
            {"Curves of <a training>.": b"\x89PNG", "Who was taken for whom.": b"\x89PNG"},
            {"data": "a & b", "folder": "caf\udce9"},
            ["Two pictures are <the same>."],
            {"read a picture": "lenet predict PICTURE --weights 'my <run>'"},
            [Mistake(3, "é/<1>.png", "é", "8", 0.75, 0.0004)],
        )

    def test_nothing_is_fetched(self, page):
        found = Page(page)
        assert len(found.sources) == 2
        assert all(source.startswith("data:image/png;base64,") for source in found.sources)
        assert "script" not in found.tags
        assert "link" not in found.tags
        assert "http:" not in page
        assert "https:" not in page
        assert "default-src 'none'" in page

    def test_text_is_escaped(self, page):
        assert "&lt;script&gt;alert(1)" in page
        assert "&lt;b&gt;bold" in page
        assert "a &amp; b" in page
        page.encode("utf-8")

    def test_it_says_what_a_reader_needs(self, page):
        result = some_evaluation()
        text = Page(page).text
        assert f"{result.n_errors} of 300" in text
        assert f"{100 * result.accuracy:.2f} %" in text
        low, high = result.interval
        assert f"{100 * low:.2f} to {100 * high:.2f} %" in text
        assert "Overfits by 7.1 points <b>. Try more pictures." in " ".join(text.split())
        assert "$5 bill$" in text

    def test_it_says_what_was_noticed_and_how_to_use_the_run(self, page):
        text = Page(page).text
        assert "Two pictures are <the same>." in text
        assert "lenet predict PICTURE --weights 'my <run>'" in text

    def test_it_names_the_files_of_mistakes(self, page):
        assert "é/<1>.pngé875.0 %" in Page(page).text

    def test_a_picture_is_described_for_who_cannot_see_it(self, page):
        found = Page(page)
        assert found.descriptions == ["Curves of <a training>.", "Who was taken for whom."]

    def test_what_may_be_wider_than_the_page_scrolls_by_keys(self, page):
        boxes = [attributes for tag, attributes in Page(page).attributes if tag == "div"]
        wide = [box for box in boxes if box.get("class") == "wide"]
        assert len(wide) == 5  # two pictures, the classes, the confusions, the mistakes
        assert all(box["tabindex"] == "0" and box["role"] and box["aria-label"] for box in wide)

    def test_every_row_and_column_has_its_head(self, page):
        heads = [a["scope"] for tag, a in Page(page).attributes if tag == "th"]
        assert heads.count("col") == 5 + 2 + 4
        assert heads.count("row") == 10 + len(some_evaluation().most_confused[:10]) + 1

    def test_it_suits_phones_and_the_dark(self, page):
        assert 'name="viewport"' in page
        assert "prefers-color-scheme: dark" in page
        assert "max-width: 800px" in page


def test_a_run_alone_gives_the_figures_and_the_page(tmp_path, monkeypatch):
    recipe = replace(default_recipe("tutorial"), epochs=1)
    run = create_run("digits", "tutorial", recipe, out=tmp_path, engine=select_engine("torch"))
    with pytest.raises(InputError, match="finish_run"):
        write_report(run)
    run = finish_run(run)
    before = set(run.folder.iterdir())
    monkeypatch.setattr(Engine, "scores", pytest.fail)  # nothing is scored twice
    page = write_report(run)
    assert page == run.folder / "report.html"
    written = set(run.folder.iterdir()) - before
    assert {path.name for path in written} == REPORT
    found = Page(page.read_text("utf-8"))
    assert len(found.sources) == 6
    assert all(len(shown.split()) > 5 for shown in found.descriptions)
    assert f"{100 * run.results['test_accuracy']:.2f} %" in found.text
    for fact in (
        "tutorial trained on digits",
        "61,706 parameters",
        str(run.folder),
        run.splits.sha256[:16],
        run.command,
        f"lenet predict PICTURE --weights {run.folder}",
    ):
        assert fact in found.text


def test_the_versions_are_those_that_the_weights_were_made_with(tmp_path, monkeypatch):
    engine = select_engine("torch")
    run = create_run("digits", "tutorial", changes={"epochs": 1}, out=tmp_path, engine=engine)
    write_report(finish_run(run))
    page = run.folder / "report.html"
    before = page.read_text("utf-8")
    monkeypatch.setattr("lenet.machine.metadata.version", lambda package: "99.0")
    write_report(finish_run(open_run(run.folder)))
    assert f"torch {version('torch')}" in Page(before).text
    assert page.read_text("utf-8") == before
