"""How numbers and names are written: in figures, in reports and on the terminal."""

import math
import re
import unicodedata

NOTHING = "–"
"""What stands where nothing was measured."""


def percent(share: float) -> str:
    """0.0314 as "3.14 %"; "–" for NaN, where nothing was measured."""
    return NOTHING if math.isnan(share) else f"{100 * share:.2f} %"


def percents(low: float, high: float) -> str:
    """An interval: "97.18 to 99.57 %"."""
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def cautious_percent(share: float) -> str:
    """A probability: "95.4 %", and at the ends "> 99.9 %" or "< 0.1 %", for none is 0 or 1."""
    if share > 0.999:
        return "> 99.9 %"
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """How long something took: "9.5 s", "1 min 2 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float) -> str:
    """How long something will take: "1:02", "2:05:09"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def short(name: str, length: int) -> str:
    """A class name on one line of at most `length` characters, all of them printable."""
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"
    return name if len(name) <= length else f"{name[: length - 1]}…"


def cells(text: str) -> int:
    """Columns that a text takes on a terminal: Chinese characters take two."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most so many columns: broken at blanks, and beside Chinese characters.

    A word that is longer than a line stays whole, and no line begins with Chinese punctuation.
    """
    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if line and cells(line) + cells(piece) > width:
            lines.append(line)
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line] if line else lines


_PUNCTUATION = "，。、；：！？）》」』”’"
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_PIECES = re.compile(
    rf"\s*(?:[{_WIDE}][{_PUNCTUATION}]*|[^\s{_WIDE}]+[{_PUNCTUATION}]*|[{_PUNCTUATION}]+)"
)
