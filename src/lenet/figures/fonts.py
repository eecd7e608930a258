"""Fonts for every script: installed ones that have what the first font lacks."""

import functools
import unicodedata
import warnings

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from lenet.errors import LenetWarning

FIRST = "DejaVu Sans"
"""Comes with matplotlib, so every figure's Latin, Greek and Cyrillic look alike."""

_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC")


def spell(figure: Figure) -> None:
    """Give a figure's texts a font for each of their characters.

    Warns
    -----
    LenetWarning
        When no font installed here has one, so that a box stands in its place.
    """
    axes = [axis for one in figure.axes for axis in (one.xaxis, one.yaxis)]
    texts = [label for axis in axes for label in axis.get_ticklabels()]
    texts += [text for text in figure.findobj(Text) if isinstance(text, Text)]
    characters = {c for text in texts for c in text.get_text() if c.isprintable()}
    lacking = frozenset(c for c in characters if not _has(_first(), c))
    if lacking:
        families = [FIRST, *_find(lacking)]
        for text in texts:
            text.set_fontfamily(families)


@functools.cache
def _find(characters: frozenset[str]) -> list[str]:
    """The families of some installed fonts that have as many of these characters as can be had."""
    left = set(characters)
    families = []
    # Read from the disk: matplotlib remembers the fonts that there were when it was first used.
    installed = sorted(font_manager.findSystemFonts(), key=_preference)
    for path in installed:
        font = _open(path)
        found = {c for c in left if font is not None and _has(font, c)}
        if font is not None and found:
            for weight in installed:  # of the same family
                if weight.rpartition("-")[0] == path.rpartition("-")[0] != "" or weight == path:
                    font_manager.fontManager.addfont(weight)
            families.append(font.family_name)
            left -= found
        if not left:
            return families
    names = [unicodedata.name(c, "") for c in left]
    package = "fonts-noto-cjk" if any(name.startswith(_CJK) for name in names) else "fonts-noto"
    warnings.warn(
        f"no font here has some of the names' characters, so figures show boxes: "
        f"install one, such as the package {package}",
        LenetWarning,
        stacklevel=2,
    )
    return families


def _preference(path: str) -> tuple[bool, bool, str]:
    """Regular sans-serif fonts first."""
    name = path.rpartition("/")[2].lower()
    return ("sans" not in name, any(word in name for word in ("bold", "italic", "light")), name)


def _open(path: str) -> FT2Font | None:
    try:
        return FT2Font(path)
    except (OSError, RuntimeError):  # damaged, or of coloured pictures
        return None


def _first() -> FT2Font:
    return font_manager.get_font(font_manager.findfont(FontProperties(family=FIRST)))


def _has(font: FT2Font, character: str) -> bool:
    return bool(font.get_char_index(ord(character)))
