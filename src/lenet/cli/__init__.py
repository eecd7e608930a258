"""The command line: arguments, one call, then text, a table or JSON.

Results go to stdout, progress and complaints to stderr. Heavy packages are imported inside the
commands that use them, so that `--help` answers at once.
"""

import atexit
import contextlib
import errno
import gc
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer

from lenet.cli import data, evaluate, export, inspect, measure, predict, rates, recipes, train
from lenet.cli.languages import Language, choose_language, translated_help
from lenet.cli.output import complain, say_warnings
from lenet.errors import InputError, LenetError

INTERRUPTED = 130

_OBJECTS = 20_000  # new ones before the garbage among them is looked for
_COMPLETION = "_LENET_COMPLETE"  # how a shell asks what to offer: set by typer's own scripts

app = typer.Typer(
    name="lenet",
    help="Train a LeNet-5, see how it did, use it on your own pictures.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(inspect.summary)
app.command()(inspect.models)
app.command()(recipes.recipes)
app.command()(rates.find_rate)
app.command()(measure.bench)
app.command()(measure.reproduce)
app.add_typer(data.app, name="data")
app.add_typer(export.app, name="export")


@app.callback(invoke_without_command=True)
def door(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
    lang: Annotated[str | None, Language] = None,  # taken by `choose_language`; here for its help
) -> None:
    """Train a LeNet-5, see how it did, use it on your own pictures."""
    if show_version:
        print(f"lenet {version('lenet')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code: 0 ok, 1 failure, 2 bad input, 130 Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, optional
        `sys.argv` without the program's name when not given.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is no reason to fail.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Python looks for circles among all that torch and others have made, every 700 objects while
    # they are imported and once more at exit: two seconds for nothing.
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # what is to be done at exit, and to be flushed, still is
    # What it says of its caches and fonts is for programmers; what a user can mend, we say.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    if question := os.environ.get(_COMPLETION):
        from typer.completion import shell_complete

        return shell_complete(command, {}, "lenet", _COMPLETION, question)
    try:
        arguments = choose_language(arguments)
        with (
            say_warnings(),
            translated_help(command),
            command.make_context("lenet", arguments) as context,
        ):
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.TyperException as error:
        return complain(_usage(error), InputError.exit_code)
    except LenetError as error:
        return complain(str(error), error.exit_code)
    except KeyboardInterrupt as how_to_go_on:
        return complain("; ".join(("interrupted", *how_to_go_on.args)), INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno == errno.EPIPE:
            # Who read us has left. Whatever is still buffered must not fail at exit.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            return 1
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}", 1)
    except MemoryError:
        return complain("out of memory; a smaller --batch-size or picture needs less", 1)
    except RuntimeError as error:
        if "memory" not in str(error):  # torch has no class of its own for a CPU out of memory
            raise
        return complain(f"out of memory: {str(error).splitlines()[0]}", 1)
    return 0


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "lenet"
    message = _wrong_number(error) or error.format_message().strip().rstrip(".")
    message = message.replace(". Did you mean", "; did you mean")
    message = re.sub(r" \(Possible options: (.*)\)", r"; did you mean \1?", message)
    message = f"{message[:1].lower()}{message[1:]}"
    options = context.command.params if context is not None else []
    settable = any("--set" in each.opts for each in options)
    if settable and type(error).__name__ == "NoSuchOption":
        return message + f" (see {path} --help, or set it by --set NAME=VALUE)"
    return message + f" (see {path} --help)"


def _wrong_number(error: typer.TyperException) -> str | None:
    """What is to be said of a text that is not the number an option takes: typer omits the text."""
    wrong: Any = error.__cause__  # pydantic's, which is typer's affair
    flag = getattr(getattr(error, "param", None), "opts", ["an argument"])[0]
    for what, kind in (("int_parsing", "a whole number"), ("float_parsing", "a number")):
        for each in wrong.errors() if hasattr(wrong, "errors") else ():
            if each["type"] == what:
                return f"{flag} must be {kind}, got {each['input']!r}"
    return None
