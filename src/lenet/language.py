"""English sentences in another language, translated where they leave the program.

Everything is said in English at the place where it is known. Whoever shows it to a person, the
command line, a figure or a report, passes it through `translate`; what other programs read (JSON,
CSV, weights, a Python exception) stays English.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import NamedTuple

from lenet.errors import InputError, suggestion

LANGUAGES = ("en", "zh")

_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # in the order in which POSIX has them decide
_HOLE = re.compile(r"\{(\d+)\}")
_SPACED_HOLE = re.compile(r"( ?)\{(\d+)\}( ?)")
_COLUMNS = re.compile(r"(\n| {2,})")  # what stands side by side or line by line
_SENTENCES = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_JOINTS = {"; ": "；", ": ": "：", ", ": "，"}  # between a message and what it wraps, or the next
_CONTINUES = (" ", ";", "must ")  # how a text begins that stands behind another
_ENDING = re.compile(r"(s|es)?([;,(].*)?")  # of a word: a plural's, and what follows it
_LETTER = re.compile(r"[^\W\d_]")
_VERBATIM = "\u2060"  # a word joiner: no sentence of the program has one

_spoken = "en"


def speak(language: str) -> None:
    """Choose the language of `translate`, for the whole process.

    Parameters
    ----------
    language : {"en", "zh"}

    Raises
    ------
    InputError
        When there is no such language.
    """
    global _spoken
    if language not in LANGUAGES:
        raise InputError(
            f"language {language!r} is unknown; use one of {', '.join(LANGUAGES)}"
            f"{suggestion(language, LANGUAGES)}"
        )
    _spoken = language


def spoken() -> str:
    """The language that `speak` chose; English at first."""
    return _spoken


def find_language(environment: Mapping[str, str]) -> str:
    """The language that the locale variables ask for; English where it is none of ours."""
    locale = next((environment[name] for name in _VARIABLES if environment.get(name)), "en")
    language = re.split(r"[_.@-]", locale.lower())[0]
    return language if language in LANGUAGES else "en"


def verbatim(name: str) -> str:
    """A name that `translate` leaves as it is, though it may be a word of the program too."""
    return f"{_VERBATIM}{name}"


def translate(text: str) -> str:
    """A text of the program in the chosen language.

    Parameters
    ----------
    text : str
        English, with names and numbers filled in: a sentence, several, or a part of one.

    Returns
    -------
    translated : str
        `text` itself where the catalogue has nothing like it.
    """
    core = text.strip()
    said = None if _spoken == "en" or not core else _said(core)
    return (text if said is None else text.replace(core, said, 1)).replace(_VERBATIM, "")


def _said(text: str) -> str | None:
    """The translation of a text without blanks around it; None where nothing in it is known."""
    catalogue = _catalogue(_spoken)
    if text in catalogue.exact:
        return catalogue.exact[text]
    columns = _COLUMNS.split(text)
    if len(columns) > 1:
        return _joined(columns, "")
    sentences = _SENTENCES.split(text)
    if len(sentences) > 1 and None not in [_said(one) for one in sentences]:
        return _joined(sentences, "")
    found = _filled(catalogue.templates, text)
    for mark, translated in _JOINTS.items() if found is None else ():
        if mark in text:
            found = found or _joined(_parted(text, mark), translated)
    found = found or _filled(catalogue.counts, text)
    return found or (_joined(sentences, " ") if len(sentences) > 1 else None)


def _filled(templates: "list[_Template]", text: str) -> str | None:
    """The translation by the first template that fits."""
    for template in templates:
        if template.longest not in text:  # most of them are sorted out at once
            continue
        values = _match(template.parts, text)
        if values is not None:
            return _fill(template.target, values)
    return None


def _fill(target: str, values: list[str]) -> str:
    """A translation with its holes filled, by translations too: blanks part Chinese from Latin."""

    def filled(hole: re.Match[str]) -> str:
        value = values[int(hole[2])]
        said = translate(value)
        before, after = hole[1], hole[3]
        if said and _is_chinese(target[: hole.start()][-1:]):
            before = _blank(before, said[0], changed=said != value)
        if said and _is_chinese(target[hole.end() :][:1]):
            after = _blank(after, said[-1], changed=said != value)
        return f"{before}{said}{after}"

    return _SPACED_HOLE.sub(filled, target)


def _blank(written: str, edge: str, *, changed: bool) -> str:
    """What stands between a Chinese character and what fills a hole beside it."""
    if _is_chinese(edge):
        return "" if changed else written
    return " " if edge.isalnum() else written


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _parted(text: str, mark: str) -> list[str]:
    """Cut at the mark: at every one, but a message may have another colon."""
    return text.split(mark, 1 if mark == ": " else -1)


def _joined(pieces: list[str], mark: str) -> str | None:
    """What is known of the pieces, and the others as they are; None where none is known."""
    # In a list, a single word is the name of something.
    names = mark == _JOINTS[", "]
    said = [_said(one) if len(one.split()) > names else None for one in pieces]
    if not any(said):
        return None
    return mark.join(new or old for new, old in zip(said, pieces, strict=True))


def _match(parts: tuple[str, ...], text: str) -> list[str] | None:
    """What stands between a template's parts, each as short as can be but the last; or None."""
    end = len(text) - len(parts[-1])
    position = len(parts[0])
    if end < position or not text.startswith(parts[0]) or not text.endswith(parts[-1]):
        return None
    values = []
    for part in parts[1:-1]:
        found = text.find(part, position, end)
        if found < 0:
            return None
        values.append(text[position:found])
        position = found + len(part)
    values.append(text[position:end])
    glued = (value for part, value in zip(parts, values, strict=False) if part[-1:].isalpha())
    if not all(map(_ENDING.fullmatch, glued)):
        return None
    if _counts(parts) and not any(map(_may_be_counted, values)):
        return None
    return values


def _counts(parts: tuple[str, ...]) -> bool:
    """Whether a single word stands behind a hole, as in "{0} files": that alone says little."""
    literal = "".join(parts)
    return not parts[0] and len(literal.split()) == 1 and literal.replace(" ", "").isalpha()


def _may_be_counted(value: str) -> bool:
    """Whether it is a number, or has a translation of its own."""
    return not _LETTER.search(value) or translate(value) != value


@dataclass(frozen=True)
class _Template:
    """A sentence cut at its holes, its translation, and how early it is tried."""

    parts: tuple[str, ...]
    target: str
    rank: int

    @cached_property
    def longest(self) -> str:
        """The longest part."""
        return max(self.parts, key=len)


class _Catalogue(NamedTuple):
    """Sentences without holes, and templates in the order in which they are tried.

    First those that begin with words, then what is added in brackets, then the others; of each
    the longest first. Those that are little but holes stand apart.
    """

    exact: dict[str, str]
    templates: list[_Template]
    counts: list[_Template]


@cache
def _catalogue(language: str) -> _Catalogue:
    import json

    pairs = json.loads(files("lenet").joinpath("locale", f"{language}.json").read_text("utf-8"))
    exact, templates = {}, []
    for english, other in pairs.items():
        for template in _templates(english, other):
            if len(template.parts) == 1:
                exact[template.parts[0]] = template.target
            else:
                templates.append(template)
    templates.sort(key=lambda one: (one.rank, -sum(map(len, one.parts))))
    counts = [one for one in templates if _counts(one.parts)]
    return _Catalogue(exact, [one for one in templates if not _counts(one.parts)], counts)


def _templates(english: str, other: str) -> Iterator[_Template]:
    """Cut at the holes; what continues another text may stand behind it or in a hole of its own."""
    parts = tuple(_HOLE.split(english.strip())[::2])
    yield _Template(parts, other, 0 if parts[0] else 2)
    if english.startswith(_CONTINUES):
        glue = " " if english[0].isalpha() else ""
        shifted = _HOLE.sub(lambda hole: f"{{{int(hole[1]) + 1}}}", other)
        parts = tuple(_HOLE.split(english)[::2])
        rank = 1 if english.startswith(" (") else 2
        yield _Template(("", f"{glue}{parts[0]}", *parts[1:]), f"{{0}}{glue}{shifted}", rank)
