"""`lenet.fit`: from Python what the command does, with or without a word about it."""

import io
import sys

import lenet
from lenet.engines import select_engine

FILES = {
    *("model.safetensors", "history.csv", "run.json", "state", "report.html"),
    *("curves.png", "confusion.png", "mistakes.png", "filters.png"),
}


def fit(tmp_path, **options):
    changes = {"epochs": 1, "batch_size": 128}
    engine = select_engine("torch", "cpu")
    return lenet.fit("digits", "tutorial", changes=changes, out=tmp_path, engine=engine, **options)


def test_a_run_in_python_leaves_what_the_command_leaves(tmp_path, capsys):
    run = fit(tmp_path)
    assert {path.name for path in run.folder.iterdir()} == FILES
    assert run.evaluate("test").n_images == len(run.splits.test)
    said = capsys.readouterr()
    assert said.out == ""
    for word in ("reading digits", "recipe tuned-small", str(run.folder), "drawing the report"):
        assert word in said.err
    assert [line.split()[0] for line in said.err.splitlines() if "/1 " in line] == ["1/1"]


def test_it_can_be_silent(tmp_path, capsys):
    fit(tmp_path, verbose=False)
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_a_notebook_has_its_progress_in_the_output(tmp_path, capsys, monkeypatch):
    """What a notebook's stream writes is taken for its output; that of errors is shown in red."""
    kind = {"__module__": "ipykernel.iostream", "encoding": "UTF-8"}
    stream = type("OutStream", (io.StringIO,), kind)()
    monkeypatch.setattr(sys, "stdout", stream)
    fit(tmp_path)
    assert "1/1" in stream.getvalue()
    assert "drawing the report …" in stream.getvalue()
    assert capsys.readouterr().err == ""
