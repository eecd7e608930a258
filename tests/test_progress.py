"""What is shown while one waits: on terminals of any width, and in a file."""

import io
import math
import subprocess
import sys

import pytest

from lenet import language
from lenet import progress as room
from lenet.figures.text import cells, wrap
from lenet.progress import EpochTable, Pace, Progress, Stages
from lenet.training.history import Epoch

HEADINGS = ["epoch", "loss", "train %", "val loss", "val %", "images/s", "left"]


class Terminal(io.StringIO):
    """A stream that is a terminal, and remembers every line that was ever seen on it."""

    def __init__(self, encoding="utf-8"):
        super().__init__()
        self._name = encoding
        self.seen = []
        self.screen = [""]

    @property
    def encoding(self):
        return self._name

    def isatty(self):
        return True

    def write(self, text):
        for piece in text.replace("\n", "\r\n").split("\r"):
            if piece.startswith("\n"):
                self.screen.append("")
                piece = piece[1:]
            self.screen[-1] = piece + self.screen[-1][len(piece) :]
            if piece.strip():
                self.seen.append(self.screen[-1].rstrip())
        return super().write(text)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to: `clock[0] += 1`."""
    now = [100.0]
    monkeypatch.setattr(room.time, "perf_counter", lambda: now[0])
    return now


def terminal(monkeypatch, columns, encoding="utf-8"):
    stream = Terminal(encoding)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    return stream


def epoch(number, validation=0.5, loss=1.0):
    return Epoch(number, 0.1, loss, 0.25, validation, validation, 53_575.0, 1.0)


def train(clock, epochs=12, n_images=1000, loss=1.0):
    """A training of two steps an epoch, each a second long."""
    with Progress() as progress:
        progress.wait("loading torch")
        table = EpochTable(progress, epochs, 0, n_images)
        table.on_progress("compiling for this processor")
        clock[0] += 60
        table.on_progress("training")
        for number in range(1, epochs + 1):
            for n in (n_images // 2, n_images):
                clock[0] += 1
                if table.on_step is not None:
                    table.on_step(n)
            table.on_epoch(epoch(number, loss=loss))


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (200, HEADINGS),
        (80, HEADINGS),
        (66, HEADINGS),
        (65, [name for name in HEADINGS if name != "images/s"]),
        (40, ["epoch", "loss", "train %", "val %"]),
        (20, ["epoch", "val %"]),
        (10, ["epoch"]),
        (1, ["epoch"]),
    ],
)
def test_every_line_fits_the_terminal(monkeypatch, clock, columns, headings):
    stream = terminal(monkeypatch, columns)
    train(clock)
    rows = [line for line in stream.screen if line.strip()]
    assert rows[0].replace("  ", " ").split() == " ".join(headings).split()
    assert len(rows) == 13
    if columns >= 10:
        assert max(map(len, stream.seen)) < columns


def test_an_epoch_moves_within_and_leaves_its_row(monkeypatch, clock):
    stream = terminal(monkeypatch, 80)
    train(clock, epochs=2)
    assert "loading torch …" in stream.seen
    bars = [line for line in stream.seen if line.startswith("epoch ")]
    assert [line.split()[1:2] + line.split()[-3:] for line in bars] == [
        ["1/2", "50%", "0:03", "left"],
        ["1/2", "100%", "0:02", "left"],
        ["2/2", "50%", "0:01", "left"],
        ["2/2", "100%", "0:00", "left"],
    ]
    assert [line.count("━") for line in bars] == [20, 40, 20, 40]
    assert [line.split()[0] for line in stream.screen if line.strip()] == ["epoch", "1/2", "2/2"]


def test_time_left_is_reckoned_without_what_came_before_the_first_step(clock, capsys):
    train(clock, epochs=100)  # 60 s of compiling, 2 s an epoch
    rows = capsys.readouterr().err.splitlines()[4:]
    assert [row.split()[-1] for row in rows[:3]] == ["3:18", "3:16", "3:14"]


def test_time_left_follows_the_last_seconds(clock):
    pace = Pace()
    assert pace.seconds_left(0, 10) is None
    clock[0] += 100
    assert pace.seconds_left(1, 10) == 900  # a hundred seconds a piece
    for done in range(2, 30):
        clock[0] += 1
        left = pace.seconds_left(done, 100)
    assert left == 100 - 29


def test_a_training_that_goes_on_is_not_reckoned_by_what_was_done_before(clock):
    pace = Pace(50)
    clock[0] += 3
    assert pace.seconds_left(51, 53) == 6


def test_a_file_gets_plain_lines(clock, capsys):
    train(clock, epochs=2)
    err = capsys.readouterr().err
    assert "\r" not in err
    assert "\x1b" not in err
    assert err.splitlines() == [
        "loading torch",
        "compiling for this processor",
        "training",
        "    epoch     loss  train %  val loss   val %   images/s     left",
        "      1/2   1.0000    25.00    0.5000   50.00     53,575     0:02",
        "      2/2   1.0000    25.00    0.5000   50.00     53,575     0:00",
    ]


def test_a_dumb_terminal_is_a_file(monkeypatch, clock):
    stream = terminal(monkeypatch, 80)
    monkeypatch.setenv("TERM", "dumb")
    train(clock, epochs=1)
    assert "\r" not in stream.getvalue()
    assert not any("%" in line and "━" in line for line in stream.seen)


def test_steps_are_drawn_ten_times_a_second_at_most(monkeypatch, clock):
    stream = terminal(monkeypatch, 80)
    table = EpochTable(Progress(), 1, 0, 1000)
    for n in range(1, 1001):
        clock[0] += 0.001
        table.on_step(n)
    assert 9 <= sum(line.startswith("epoch") for line in stream.seen) <= 11


def test_bars_are_made_of_what_the_encoding_has(monkeypatch, clock):
    stream = terminal(monkeypatch, 60, encoding="ascii")
    Progress().bar("pass 1/2", 0.5, "")
    assert "###---" in stream.seen[-1]


def test_what_was_not_measured_is_a_dash_and_what_is_huge_stays_short(monkeypatch, clock):
    stream = terminal(monkeypatch, 80)
    with Progress() as progress:
        EpochTable(progress, 1, 0, 10).on_epoch(epoch(1, validation=math.nan, loss=1.8e9))
    assert stream.screen[1].split() == ["1/1", "1.8e+09", "25.00", "–", "–", "53,575", "0:00"]


def test_wide_characters_take_two_columns(monkeypatch):
    stream, progress = terminal(monkeypatch, 12), Progress()
    progress.wait("reading 螺栓螺母")
    assert stream.seen[-1] == "reading 螺"
    progress.say("读取 螺栓螺母")
    assert [line.rstrip() for line in stream.screen] == ["读取 螺栓螺", "母", ""]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("short", ["short"]),
        ("one two three", ["one two", "three"]),
        ("  two blanks", ["  two", "blanks"]),
        ("unbreakable-word", ["unbreakable-word"]),
        ("准确率很好，轮次少。", ["准确率很", "好，轮次", "少。"]),
        ("用 lenet，好", ["用 lenet，", "好"]),
    ],
)
def test_lines_break_at_blanks_and_beside_chinese_characters(text, lines):
    assert wrap(text, 10) == lines


def test_chinese_headings_stand_above_their_columns(monkeypatch, clock):
    language.speak("zh")
    stream = terminal(monkeypatch, 80)
    train(clock)
    language.speak("en")
    table = [line for line in stream.screen if "损失" in line or "/12" in line]
    assert [cells(line.rstrip()) for line in table] == [cells(table[0].rstrip())] * 13
    assert max(cells(line.rstrip()) for line in stream.screen) < 80
    assert any("剩余" in line and "第 3/12 轮" in line for line in stream.seen)


def test_nothing_stays_of_the_line_that_moves(monkeypatch):
    stream = terminal(monkeypatch, 80)
    with Progress() as progress:
        progress.wait("reading a long name of a data set")
        progress.wait("short")
        assert stream.screen[-1].rstrip() == "short …"
        progress.say("a fact")
    assert [line.rstrip() for line in stream.screen] == ["a fact", ""]


def test_the_first_line_comes_before_torch_is_imported():
    code = "import sys\nsys.modules['torch'] = None\nfrom lenet import cli\ncli.main(['train'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("loading torch\n")


def test_a_stage_is_named_at_once_and_is_never_silent_for_long(clock, capsys):
    stages = Stages(Progress())
    for second in range(60):
        stages.show("a study", second / 60, 60.0 - second if second else None)
        clock[0] += 1
    stages.show("the next one", 0, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a study"
    assert lines[1] == "a study  7%  0:56 left"
    assert lines[-1] == "the next one"
    assert len(lines) == 2 + 60 // 4 - 1


def test_a_stage_moves_on_a_terminal(monkeypatch, clock):
    stream = terminal(monkeypatch, 60)
    with Progress() as progress:
        stages = Stages(progress)
        stages.show("pass 1/2", 0, None)
        assert stream.seen[-1].endswith(" 0%")
        clock[0] += 1
        stages.show("pass 1/2", 0.5, 61)
        assert stream.seen[-1].endswith("50%  1:01 left")
    assert "".join(stream.screen).strip() == ""
