"""The lesson as a notebook: it runs from a fresh start without data, the same in both languages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
LESSON, CHINESE = DOCS / "lesson.ipynb", DOCS / "lesson.zh-CN.ipynb"


def cells(path, kind):
    notebook = json.loads(path.read_text("utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_both_languages_have_the_same_code_and_as_many_paragraphs():
    assert cells(LESSON, "code") == cells(CHINESE, "code")
    english, chinese = cells(LESSON, "markdown"), cells(CHINESE, "markdown")
    assert [text.count("#") for text in english] == [text.count("#") for text in chinese]
    assert sum(text.startswith("## ") for text in english) == 7


@pytest.mark.parametrize("path", [LESSON, CHINESE], ids=lambda path: path.name)
def test_nothing_that_a_run_left_is_stored(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_every_cell_runs_in_order_on_what_comes_with_the_package(tmp_path):
    """In one namespace, as a notebook has it; what it would show is looked at too."""
    program = tmp_path / "lesson.py"
    shown = "for name in ('_repr_html_', '_repr_png_'):\n    getattr(_, name, lambda: 0)()\n"
    lines = []
    for code in cells(LESSON, "code"):
        *before, last = code.splitlines()
        # A cell's last line, where it is an expression, is what the notebook shows.
        shows = (
            last[:1].isidentifier()
            and not last.startswith(("import ", "from "))
            and ("=" not in last.split("(")[0])
        )
        lines += [*before, f"_ = {last}\n{shown}" if shows else last]
    lines.append("assert run.evaluate('test').accuracy > 0.95\nassert loss.item() < 0.5")
    program.write_text("\n".join(lines), "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "LENET_DATA"}
    environment["LENET_CACHE"] = str(tmp_path / "nothing")
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("%") == 2  # the two variants, each with its accuracy
