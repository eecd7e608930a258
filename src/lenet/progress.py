"""What is waited for, and how far it is: lines on stderr, and on a terminal one that moves."""

import contextlib
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lenet.figures.text import cells, clock, wrap
from lenet.language import translate

if TYPE_CHECKING:
    from lenet.training.history import Epoch

_ELSEWHERE = 80  # columns where there is no terminal to ask
_REDRAWN = 0.1  # seconds between two drawings of the line that moves
_SILENT = 4.0  # seconds without a line, where none moves
_REMEMBERED = 15.0  # seconds of the past by which the time left is reckoned
_SHORTEST_BAR, _LONGEST_BAR = 10, 40
_GAP = "  "


def printable(text: str) -> str:
    """A stranger's file name must not steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(message: str) -> None:
    """Progress, or what is worth knowing: a line on stderr."""
    print(printable(translate(message)), file=sys.stderr, flush=True)


class Progress:
    """Lines on stderr. On a terminal the last one is overwritten: what is waited for now.

    In a notebook they are part of the output, and the last one is overwritten too. As a context
    manager it removes that line at the end.

    Parameters
    ----------
    silent : bool
        Show nothing at all.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._began = time.perf_counter()
        self._silent = silent
        notebook = type(sys.stdout).__module__.startswith("ipykernel.")
        self._stream = sys.stdout if notebook else sys.stderr
        terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self.moves = (terminal or notebook) and not silent
        self._drawn = 0  # cells of the line that moves

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._draw("")

    @property
    def seconds(self) -> float:
        """Since this was made."""
        return time.perf_counter() - self._began

    @property
    def width(self) -> int:
        """Columns that a line may have: one less than the terminal's, so that none wraps."""
        columns = os.environ.get("COLUMNS", "")
        if columns.isdecimal() and int(columns):
            return int(columns) - 1
        with contextlib.suppress(OSError, ValueError):  # no terminal, or no file at all
            return (os.get_terminal_size(self._stream.fileno()).columns or _ELSEWHERE) - 1
        return _ELSEWHERE - 1

    def say(self, message: str) -> None:
        """A line that stays."""
        if self._silent:
            return
        self._draw("")
        message = translate(message)
        # In a file a line is a line, whatever its length.
        for line in wrap(message, self.width) if self.moves else [message]:
            print(printable(line), file=self._stream, flush=True)

    def wait(self, what: str) -> None:
        """Name what is waited for from now on."""
        if self.moves:
            self._draw(f"{translate(what)} …")
        else:
            self.say(what)

    def bar(self, head: str, share: float, tail: str) -> None:
        """Draw how much of something is done, 0 … 1, as wide as there is room for."""
        head, tail = f"{translate(head)}{_GAP}", f"{share:5.0%}{_GAP}{translate(tail)}"
        room = min(self.width - cells(head) - cells(tail), _LONGEST_BAR)
        full = round(room * share)
        strokes = self._strokes
        bar = strokes[0] * full + strokes[1] * (room - full) if room >= _SHORTEST_BAR else ""
        self._draw(f"{head}{bar}{tail}")

    @property
    def _strokes(self) -> str:
        """What bars are made of, in the terminal's encoding."""
        with contextlib.suppress(UnicodeError):
            "━─".encode(self._stream.encoding)
            return "━─"
        return "#-"

    def _draw(self, line: str) -> None:
        """Put this in the place of the line that moves, where one can."""
        if not self.moves:
            return
        line = _cut(printable(line), self.width)
        width = cells(line)
        # The cursor waits at the beginning: whatever else is printed takes this line's place.
        self._stream.write(f"\r{line}{' ' * (self._drawn - width)}\r")
        self._stream.flush()
        self._drawn = width


class Pace:
    """How fast something goes, by its last seconds.

    Parameters
    ----------
    done : float
        How much of it was done when this was made.
    """

    def __init__(self, done: float = 0.0) -> None:
        self._marks = deque([(time.perf_counter(), done)])

    def seconds_left(self, done: float, of: float) -> float | None:
        """Seconds from so much to all of it; None while nothing is known."""
        marks = self._marks
        marks.append((time.perf_counter(), done))
        while len(marks) > 2 and marks[-1][0] - marks[1][0] > _REMEMBERED:
            marks.popleft()
        (earlier, before), (now, _) = marks[0], marks[-1]
        return (now - earlier) / (done - before) * (of - done) if done > before else None


class Stages:
    """Work in stages with names; each tells its share done, 0 … 1, and the seconds left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage, self._next = "", 0.0

    def show(self, stage: str, share: float, seconds_left: float | None) -> None:
        """Show how far the stage is; where no line moves, now and then."""
        now = time.perf_counter()
        if stage == self._stage and now < self._next:
            return
        left = "" if seconds_left is None else f"{clock(seconds_left)} left"
        if self._progress.moves:
            self._progress.bar(stage, share, left)
        elif stage != self._stage:
            self._progress.say(stage)
        else:
            self._progress.say(f"{stage}{_GAP}{share:.0%}{_GAP}{left}".rstrip())
        self._stage = stage
        self._next = now + (_REDRAWN if self._progress.moves else _SILENT)


class EpochTable:
    """A training epoch by epoch: a row for each; on a terminal the current one moves below them.

    Parameters
    ----------
    progress : Progress
    epochs : int
    done : int
        Epochs of the training that goes on here.
    n_images : int
        In the training part.
    """

    def __init__(self, progress: Progress, epochs: int, done: int, n_images: int) -> None:
        self._progress, self._epochs, self._n_images = progress, epochs, n_images
        self._done, self._pace = done, Pace(done)
        self._columns: list[_Column] = []
        self._next_drawing = 0.0
        self.on_step: Callable[[int], None] | None = self._step if progress.moves else None

    def on_progress(self, what: str) -> None:
        """Name what is waited for before the first step, which is no part of the pace."""
        self._progress.wait(what)
        self._pace = Pace(self._done)

    def on_epoch(self, epoch: "Epoch") -> None:
        """Add a row."""
        self._done = epoch.epoch
        if not self._columns:
            self._columns = _fitting(self._progress.width)
            self._say(translate(column.heading) for column in self._columns)
        left = _clock(self._pace.seconds_left(self._done, self._epochs))
        self._say(column.text(epoch, self._epochs, left) for column in self._columns)

    def _step(self, n: int) -> None:
        """So many images of the current epoch have been learnt from."""
        now = time.perf_counter()
        if now < self._next_drawing:
            return
        self._next_drawing = now + _REDRAWN
        share = n / self._n_images
        left = self._pace.seconds_left(self._done + share, self._epochs)
        head = f"epoch {self._done + 1}/{self._epochs}"
        self._progress.bar(head, share, f"{_clock(left)} left")

    def _say(self, texts: Iterable[str]) -> None:
        pairs = zip(texts, self._columns, strict=True)
        self._progress.say(
            _GAP.join(" " * (column.cells - cells(text)) + text for text, column in pairs)
        )


@dataclass(frozen=True)
class _Column:
    """A column of the epochs' table; where not all have room, those of a high rank go first."""

    heading: str
    cells: int
    rank: int
    text: Callable[["Epoch", int, str], str]


_COLUMNS = (
    _Column("epoch", 9, 0, lambda e, of, _: f"{e.epoch}/{of}"),
    _Column("loss", 7, 2, lambda e, *_: _loss(e.train_loss)),
    _Column("train %", 7, 3, lambda e, *_: _percent(e.train_accuracy)),
    _Column("val loss", 8, 5, lambda e, *_: _loss(e.validation_loss)),
    _Column("val %", 6, 1, lambda e, *_: _percent(e.validation_accuracy)),
    _Column("images/s", 9, 6, lambda e, *_: f"{e.images_per_second:,.0f}"),
    _Column("left", 7, 4, lambda _, __, left: left),
)


def _fitting(width: int) -> list[_Column]:
    """The columns that there is room for, at least the first."""
    chosen: set[int] = set()
    for column in sorted(_COLUMNS, key=lambda column: column.rank):
        width -= column.cells + len(_GAP)
        if chosen and width + len(_GAP) < 0:
            break
        chosen.add(column.rank)
    return [column for column in _COLUMNS if column.rank in chosen]


def _loss(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}" if value < 100 else f"{value:.1e}"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.2f}"


def _clock(seconds: float | None) -> str:
    """How long something will take, where that is known."""
    return "–:––" if seconds is None else clock(seconds)


def _cut(text: str, width: int) -> str:
    """As much of the beginning as has room."""
    while cells(text) > max(width, 0):
        text = text[:-1]
    return text
