"""What is printed, and where: results on stdout, progress and complaints on stderr."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from lenet.errors import LenetWarning
from lenet.language import translate
from lenet.progress import printable, say


def complain(message: str, code: int) -> int:
    """One line on stderr, whatever is in the message."""
    line = translate(" ".join(message.split()))
    print(f"lenet: {printable(line)}", file=sys.stderr)
    return code


@contextlib.contextmanager
def say_warnings() -> Iterator[None]:
    """What the package warns of is said as a note, without the line of code that led there."""
    with warnings.catch_warnings():
        show_others = warnings.showwarning

        def show_one(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, LenetWarning):
                say(f"note: {message}")
            else:
                show_others(message, category, *where)

        warnings.simplefilter("default", LenetWarning)
        setattr(warnings, "showwarning", show_one)  # noqa: B010  (its arguments have other names)
        yield


def show(message: str) -> None:
    """A result: a line on stdout."""
    print(printable(translate(message)))


def show_json(value: object) -> None:
    """The result as JSON on stdout, and nothing else there; names stay in their own script."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    # What a terminal would obey is escaped as JSON has it; line ends are the indentation's.
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def show_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    text_columns: int = 1,
    names: int = 1,
) -> None:
    """A table on stdout: so many columns of text on the left, then numbers.

    In the first `names` columns a single word is a name, and stays as it is.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else translate(title)
    table = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", title_style="bold")
    for place, name in enumerate(head):
        # Text, not str: a class called "[red]" is no markup.
        table.add_column(
            Text(printable(translate(name))), justify="left" if place < text_columns else "right"
        )
    for row in rows:
        cells = (
            value if place < names and len(value.split()) == 1 else translate(value)
            for place, value in enumerate(row)
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 200)  # a file has no right edge
    console.print(table)
