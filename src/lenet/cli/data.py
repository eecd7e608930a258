"""`lenet data`: the data sets listed, fetched, verified, and one's own folder looked through."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lenet.cli.options import (
    SPLITS,
    Json,
    Preparation,
    SkipDamaged,
    completed,
    dataset_names,
)
from lenet.cli.output import show, show_json, show_table
from lenet.language import translate
from lenet.progress import say

if TYPE_CHECKING:
    from lenet.data.preprocessing import Wish

app = typer.Typer()


@app.callback(invoke_without_command=True)
def door(context: typer.Context) -> None:
    """The data sets: list them, get one, verify its files; check a folder of your own."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the data sets and whether their files are here."""
    from lenet.data.catalogue import DATASETS
    from lenet.data.downloads import verify_dataset

    rows = []
    for name, dataset in DATASETS.items():
        states = {check.state for check in verify_dataset(name)}
        state = next((s for s in ("damaged", "missing") if s in states), "ready")
        rows.append({"name": name, "state": state, "description": dataset.description})
    if as_json:
        show_json(rows)
        return
    show_table(
        ("name", "state", "description"), [tuple(row.values()) for row in rows], text_columns=3
    )


@app.command("get")
def data_get(
    name: Annotated[
        str,
        typer.Argument(
            help="mnist or fashion-mnist.",
            metavar="NAME",
            autocompletion=completed(dataset_names),
        ),
    ],
) -> None:
    """Download a data set into the cache, checked; nothing is done when it is here."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from lenet.data.downloads import fetch_dataset

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def on_progress(file: str, received: int, size: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=size)
                if not console.is_terminal:
                    say(f"downloading {file}, {size:,} bytes")
            bar.update(tasks[file], completed=received)

        paths = fetch_dataset(name, on_progress)
    for path in paths:
        show(str(path))
    if not paths:
        show(f"{name} is built in")


@app.command("verify")
def data_verify(
    name: Annotated[
        str | None, typer.Argument(help="Only this one; by default all.", metavar="[NAME]")
    ] = None,
) -> None:
    """Compare the files that are here with the published SHA-256."""
    from lenet.data.catalogue import DATASETS
    from lenet.data.downloads import verify_dataset

    bad = False
    for each in DATASETS if name is None else (name,):
        checks = verify_dataset(each)
        if not checks:
            show(f"{each}: built in")
        for check in checks:
            show(f"{each}: {check.path}: {check.problem or check.state}")
            # Not to have a data set is no fault, unless it was asked for by its name.
            bad |= check.state == "damaged" or (check.state == "missing" and name is not None)
    if bad:
        raise typer.Exit(1)


@app.command("check")
def data_check(
    folder: Annotated[
        str, typer.Argument(help="A folder of pictures, or any data set.", metavar="FOLDER|NAME")
    ],
    preparation: Preparation = "auto",
    skip_damaged: SkipDamaged = False,
    as_json: Json = False,
) -> None:
    """Say what a training would learn from: layout, classes, counts, and what to beware of."""
    from lenet.data.datasets import find_layout, load_dataset

    splits = load_dataset(folder, preparation=cast("Wish", preparation), skip_damaged=skip_damaged)
    layout = find_layout(folder)
    counts = {name: splits.part(name).count(len(splits.class_names)).tolist() for name in SPLITS}
    if as_json:
        facts = {name: getattr(splits, name) for name in ("name", "preparation", "sha256")}
        classes = {"class_names": splits.class_names, "images": counts, "remarks": splits.remarks}
        show_json({**facts, "layout": layout, **classes})
        return
    for remark in splits.remarks:
        say(remark)
    show(f"{splits.name}: {layout}; pictures prepared as {splits.preparation}")
    rows = zip(splits.class_names, *counts.values(), strict=True)
    body = [(name, *(f"{n:,}" for n in numbers)) for name, *numbers in rows]
    total = (translate("all"), *(f"{sum(numbers):,}" for numbers in counts.values()))
    show_table(("class", *SPLITS), [*body, total])
