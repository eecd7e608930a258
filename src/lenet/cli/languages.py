"""The language of the command line: `--lang` anywhere, else the locale's; the help in it too."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from lenet import language
from lenet.errors import InputError
from lenet.language import translate

FLAG = "--lang"
RICH_TEXTS = (
    *("ARGUMENTS_PANEL_TITLE", "OPTIONS_PANEL_TITLE", "COMMANDS_PANEL_TITLE"),
    *("DEFAULT_STRING", "REQUIRED_LONG_STRING"),
)
"""Names of typer's own words in its help."""

USAGE = ("Usage:", "[OPTIONS]", "COMMAND [ARGS]...")
"""And those in the line above it."""


def choose_language(arguments: Sequence[str]) -> list[str]:
    """Speak the language that the arguments or the locale ask for; `--lang` is taken out.

    Parameters
    ----------
    arguments : sequence of str
        As typed. ``--lang LANGUAGE`` may stand before or behind the command.

    Returns
    -------
    arguments : list of str
        The others.

    Raises
    ------
    InputError
        When the language is unknown.
    """
    language.speak(language.find_language(os.environ))
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*rest, argument, *waiting]
        flag, equals, value = argument.partition("=")
        if flag != FLAG:
            rest.append(argument)
        elif equals or waiting:
            language.speak(value if equals else waiting.pop(0))
        else:
            raise InputError(f"{FLAG} needs a language: {', '.join(language.LANGUAGES)}")
    return rest


@contextlib.contextmanager
def translated_help(command: Any) -> Iterator[None]:
    """Translate what typer says of a command and of all that are under it."""
    if language.spoken() == "en":
        yield
        return
    from typer import rich_utils

    english = {name: getattr(rich_utils, name) for name in RICH_TEXTS}
    make = rich_utils._make_rich_text

    def make_folding(**arguments: Any) -> Any:
        text: Any = make(**arguments)
        text.overflow = "fold"  # Chinese has no blanks to break a line at
        return text

    _translate_command(command)
    translated = {name: translate(text) for name, text in english.items()}
    vars(rich_utils).update(translated, _make_rich_text=make_folding)
    try:
        yield
    finally:
        vars(rich_utils).update(english, _make_rich_text=make)


def _translate_command(command: Any) -> None:
    command.help = translate(command.help or "")
    usage, parameters = command.get_usage, command.get_params
    command.get_usage = lambda context: _translated_usage(usage(context))
    # Not command.params: typer makes --help only when it is asked for.
    command.get_params = lambda context: [_translated(one) for one in parameters(context)]
    for inner in getattr(command, "commands", {}).values():
        _translate_command(inner)


def _translated_usage(line: str) -> str:
    for words in USAGE:
        line = line.replace(words, translate(words))
    return line


def _translated(parameter: Any) -> Any:
    if getattr(parameter, "help", None):
        parameter.help = translate(parameter.help)
    return parameter


Language = typer.Option(FLAG, help="English or Chinese; by default the locale's.", metavar="en|zh")
