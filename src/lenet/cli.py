"""The command line: arguments, one call, then text, a table or JSON.

Results go to stdout, progress and complaints to stderr. Heavy packages are imported inside the
commands that use them, so that `--help` answers at once.
"""

import contextlib
import dataclasses
import difflib
import errno
import glob
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lenet.errors import InputError, LenetError, PictureError

if TYPE_CHECKING:
    from lenet.classifier import Prediction
    from lenet.evaluation import Evaluation
    from lenet.reproduction import Progress
    from lenet.training.loop import Epoch
    from lenet.training.runs import Run

# What the options take, so that `--help` need not import torch to say it; tests compare them.
NETWORKS = ("tutorial", "modern", "lecun1998")
ENGINES = ("auto", "fused", "torch")
DEVICES = ("auto", "cpu", "cuda")
SPLITS = ("train", "validation", "test")

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
"""The files of a folder given to `predict`; others in it are passed over."""

INTERRUPTED = 130

app = typer.Typer(
    name="lenet",
    help="Train a LeNet-5, see how it did, use it on your own pictures.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="The data sets: list them, get one, check the files.")
app.add_typer(data_app, name="data", no_args_is_help=True)


# The door -----------------------------------------------------------------------------------------


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
    sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("lenet", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.TyperException as error:
        return _complain(_usage(error), InputError.exit_code)
    except LenetError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno == errno.EPIPE:
            # Who read us has left. Whatever is still buffered must not fail at exit.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            return 1
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", 1)
    except MemoryError:
        return _complain("out of memory; a smaller --batch-size or picture needs less", 1)
    except RuntimeError as error:
        if "memory" not in str(error):  # torch has no class of its own for a CPU out of memory
            raise
        return _complain(f"out of memory: {str(error).splitlines()[0]}", 1)
    return 0


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "lenet"
    message = error.format_message().strip().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}; see {path} --help"


def _complain(message: str, code: int) -> int:
    """One line on stderr, whatever is in the message."""
    print(f"lenet: {_printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def _printable(text: str) -> str:
    """A stranger's file name must not steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _say(message: str) -> None:
    print(_printable(message), file=sys.stderr, flush=True)


def _show(message: str) -> None:
    print(_printable(message))


def _show_json(value: object) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


def _one_of(*names: str) -> Callable[[str | None], str | None]:
    """Check a value against what an option takes; a near miss is suggested."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}{hint}")
        return value

    return check


def _option(*names: str, text: str, choices: Sequence[str] = (), metavar: str | None = None) -> Any:
    if choices:
        return typer.Option(
            *names, help=text, metavar="|".join(choices), callback=_one_of(*choices)
        )
    return typer.Option(*names, help=text, metavar=metavar)


Engine = Annotated[
    str, _option("--engine", text="What computes: ours on the CPU, or torch.", choices=ENGINES)
]
Device = Annotated[str, _option("--device", text="Where torch computes.", choices=DEVICES)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.callback(invoke_without_command=True)
def lenet(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    """Train a LeNet-5, see how it did, use it on your own pictures."""
    if show_version:
        print(f"lenet {version('lenet')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


# Train --------------------------------------------------------------------------------------------


@app.command()
def train(
    context: typer.Context,
    data: Annotated[
        str,
        _option(
            "--data",
            text="digits, fashion-mnist, mnist, or a folder with one subfolder per class.",
            metavar="NAME|FOLDER",
        ),
    ] = "digits",
    network: Annotated[
        str, _option("--network", text="Which LeNet-5.", choices=NETWORKS)
    ] = "modern",
    recipe: Annotated[
        str | None,
        _option("--recipe", text="A named recipe; by default the network's.", metavar="NAME"),
    ] = None,
    epochs: Annotated[int | None, _option("--epochs", text="Passes over the images.")] = None,
    batch_size: Annotated[int | None, _option("--batch-size", text="Images a step.")] = None,
    learning_rate: Annotated[
        float | None, _option("--learning-rate", text="The rate, or the peak of its cycle.")
    ] = None,
    seed: Annotated[int | None, _option("--seed", text="The same seed, the same weights.")] = None,
    patience: Annotated[
        int | None, _option("--patience", text="Stop after so many epochs without a better one.")
    ] = None,
    engine: Engine = "auto",
    device: Device = "auto",
    out: Annotated[
        Path, _option("--out", text="Where the run folder is made.", metavar="DIR")
    ] = Path("runs"),
    resume: Annotated[
        Path | None,
        _option("--resume", text="Continue an interrupted run; its plan is kept.", metavar="DIR"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network; everything goes into a run folder, with a report."""
    from lenet.engines import select_engine
    from lenet.training import runs
    from lenet.training.recipes import find_recipe

    given = [
        f"--{name.replace('_', '-')}"
        for name in ("data", "network", "recipe", "epochs", "batch_size", "learning_rate", "seed",
                     "patience", "out")
        if _was_given(context, name)
    ]  # fmt: skip
    chosen = _was_given(context, "engine") or _was_given(context, "device")
    if resume is not None:
        if given:
            raise InputError(
                f"--resume keeps the plan of {resume}: leave out {', '.join(given)}, "
                f"or start a new run"
            )
        run = runs.open_run(resume, engine=select_engine(engine, device) if chosen else None)
    else:
        changes = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "patience": patience,
        }
        run = runs.create_run(
            data,
            network,
            out=out,
            engine=select_engine(engine, device),
            recipe=find_recipe(recipe) if recipe is not None else None,
            changes={name: value for name, value in changes.items() if value is not None},
        )
    run = _finish(run)
    assert run.results is not None
    if as_json:
        _show_json(run.results)
        return
    n_test = len(run.splits.test)
    accuracy = run.results["test_accuracy"]
    error = math.sqrt(accuracy * (1 - accuracy) / n_test)
    n_errors = n_test - round(accuracy * n_test)
    _show(
        f"test accuracy {_percent(accuracy)} ± {100 * error:.2f} "
        f"({n_errors:,} of {n_test:,} images wrong); "
        f"validation {_percent(run.results['validation_accuracy'])}, "
        f"train {_percent(run.results['train_accuracy'])}"
    )
    _show(
        f"best epoch {run.results['best_epoch']} of {run.results['epochs_run']}, "
        f"{run.results['seconds']:.1f} s of training"
    )
    _show(f"report: {run.folder / 'report.html'}")
    _show(f"use it: lenet predict PICTURE --weights {shlex.quote(str(run.folder))}")


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _finish(run: "Run") -> "Run":
    """Train to the end, show how it goes, draw the figures."""
    from lenet import figures
    from lenet.training.runs import finish_run

    _say(
        f"{run.splits.name}: {len(run.splits.train):,} train, {len(run.splits.validation):,} "
        f"validation, {len(run.splits.test):,} test images of {len(run.splits.class_names)} classes"
    )
    _say(f"{run.network.name}, recipe {run.recipe.name}, seed {run.recipe.seed}")
    _say(run.engine.notice)
    _say(f"run folder {run.folder}")
    done = run.state.epoch if run.state is not None else 0
    if run.results is not None:
        _say("the run was finished before")
    elif done:
        _say(f"going on after epoch {done}")
    try:
        with _progress(run.recipe.epochs, done) as on_epoch:
            run = finish_run(run, on_epoch)
        assert run.state is not None
        scores = run.test_scores if run.test_scores is not None else run.score("test")
        figures.write_run(
            run.folder,
            f"{run.network.name} on {run.splits.name}",
            run.network,
            run.state.history,
            run.state.best_epoch,
            run.splits.test,
            scores,
            run.splits.class_names,
            _facts(run),
        )
    except KeyboardInterrupt:
        resume = f"lenet train --resume {shlex.quote(str(run.folder))}"
        raise typer.Exit(_complain(f"interrupted; go on with: {resume}", INTERRUPTED)) from None
    return run


def _facts(run: "Run") -> dict[str, object]:
    """The report's last table."""
    recipe = run.recipe.to_dict()
    distortions = {name: value for name, value in recipe.pop("distortions").items() if value}
    return {
        "run": run.folder,
        "data": f"{run.source} (SHA-256 {run.splits.sha256[:16]}…)",
        "images": f"{len(run.splits.train):,} train, {len(run.splits.validation):,} validation, "
        f"{len(run.splits.test):,} test",
        "network": f"{run.network.name}, "
        f"{sum(p.numel() for p in run.network.parameters() if p.requires_grad):,} parameters",
        "network options": _listed(run.network.options),
        "recipe": _listed(recipe),
        "distortions": _listed(distortions),
        "engine": run.engine.notice,
        "lenet": version("lenet"),
    }


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {v}" for name, v in values.items()) or "none"


@contextlib.contextmanager
def _progress(epochs: int, done: int) -> Iterator[Callable[["Epoch"], None]]:
    """A line for every epoch; on a terminal a bar with the time left below them."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("epoch {task.completed}/{task.total}"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    width = len(str(epochs))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=epochs, completed=done)

        def on_epoch(epoch: "Epoch") -> None:
            left = epoch.elapsed_seconds / epoch.epoch * (epochs - epoch.epoch)
            line = (
                f"epoch {epoch.epoch:{width}}/{epochs}  "
                f"train loss {epoch.train_loss:.4f} accuracy {_percent(epoch.train_accuracy)}  "
                f"validation loss {epoch.validation_loss:.4f} "
                f"accuracy {_percent(epoch.validation_accuracy)}  "
                f"{epoch.images_per_second:,.0f} images/s  {_time(left)} left"
            )
            console.print(line, markup=False)
            bar.update(task, completed=epoch.epoch)

        yield on_epoch


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


# Evaluate -----------------------------------------------------------------------------------------


@app.command()
def evaluate(
    weights: Annotated[
        str,
        _option("--weights", text="A name in the box, a file, or a run folder.", metavar="W"),
    ],
    data: Annotated[
        str | None,
        _option(
            "--data", text="By default what the weights were trained on.", metavar="NAME|FOLDER"
        ),
    ] = None,
    split: Annotated[str, _option("--split", text="Which part of it.", choices=SPLITS)] = "test",
    figures: Annotated[
        Path | None,
        _option("--figures", text="Draw the figures into this folder.", metavar="DIR"),
    ] = None,
    engine: Engine = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure weights on a data set: errors, classes, confusions, calibration."""
    from lenet.checkpoints import load_checkpoint
    from lenet.data.datasets import DATASETS, load_dataset
    from lenet.engines import select_engine
    from lenet.evaluation import evaluate

    checkpoint = load_checkpoint(weights)
    if data is None:
        data = (checkpoint.metadata.get("data") or {}).get("name")
        if data not in DATASETS:
            raise InputError(f"{weights} does not say which data set it is for; give --data")
    splits = load_dataset(data)
    if splits.class_names != checkpoint.class_names:
        raise InputError(
            f"{weights} tells {', '.join(checkpoint.class_names[:12])} apart, "
            f"{splits.name} has the classes {', '.join(splits.class_names[:12])}"
        )
    part = splits.part(split)
    if not len(part):
        raise InputError(f"{splits.name} has no {split} images")
    preparation = checkpoint.preprocessing.preparation
    if splits.preparation != preparation:
        _say(
            f"note: the pictures of {splits.name} are taken as they are, the weights were trained "
            f"on ones prepared as {preparation}; lenet predict prepares them"
        )
    chosen = select_engine(engine, device)
    _say(chosen.notice)
    scores = chosen.scores(
        chosen.compile(checkpoint.network), part.images, checkpoint.preprocessing
    )
    result = evaluate(scores, part.labels, splits.class_names)
    if figures is not None:
        from lenet.figures import write_evaluation

        write_evaluation(figures, checkpoint.network, result, part, scores)
        _say(f"figures in {figures}")
    if as_json:
        _show_json(
            {
                "weights": weights,
                "data": splits.name,
                "split": split,
                "n_images": result.n_images,
                "n_errors": result.n_errors,
                "accuracy": result.accuracy,
                "per_class": [dataclasses.asdict(one) for one in result.per_class],
                "confusion": result.confusion.tolist(),
            }
        )
        return
    _show(
        f"{weights} on {splits.name}, {split}: accuracy {_percent(result.accuracy)} "
        f"± {100 * result.standard_error:.2f}, {result.n_errors:,} of {result.n_images:,} wrong"
    )
    _show_evaluation(result)


def _show_evaluation(result: "Evaluation") -> None:
    _table(
        ("class", "precision", "recall", "F1", "images"),
        [
            (c.name, _percent(c.precision), _percent(c.recall), _percent(c.f1), f"{c.support:,}")
            for c in result.per_class
        ],
    )
    if len(result.class_names) <= 20:
        short = [name[:8] for name in result.class_names]
        _table(
            ("truth \\ said", *short),
            [
                (name, *(f"{n:,}" if n else "·" for n in row))
                for name, row in zip(result.class_names, result.confusion, strict=True)
            ],
        )
    if result.most_confused:
        pairs = (f"{p.truth} → {p.prediction} ({p.count:,})" for p in result.most_confused[:5])
        _show(f"most confused: {', '.join(pairs)}")
    sure = sum(b.count * b.confidence for b in result.calibration.bins if b.count)
    _show(
        f"calibration: {_percent(sure / result.n_images)} sure on average, "
        f"expected error {_percent(result.calibration.error)}; mean loss {result.loss:.4f}"
    )


# Predict ------------------------------------------------------------------------------------------


@app.command()
def predict(
    pictures: Annotated[
        list[str], typer.Argument(help="Files, folders or patterns.", metavar="PICTURE…")
    ],
    weights: Annotated[
        str,
        _option("--weights", text="A name in the box, a file, or a run folder.", metavar="W"),
    ] = "mnist",
    top: Annotated[int, _option("--top", text="How many classes to show.")] = 3,
    explain: Annotated[
        Path | None,
        _option("--explain", text="Draw what the network saw into this PNG.", metavar="PNG"),
    ] = None,
    engine: Engine = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say what pictures show: any photo, scan or drawing."""
    if top < 1:
        raise InputError(f"--top must be at least 1, got {top}")
    found = [place for pattern in pictures for place in _expand(pattern)]
    if explain is not None and len(found) != 1:
        raise InputError(f"--explain draws one picture, got {len(found)}")
    from lenet.classifier import Classifier

    classifier = Classifier.load(weights, engine=engine, device=device)
    rows: list[dict[str, Any]] = []
    for place in found:
        try:
            if explain is not None:
                from lenet import figures

                look = classifier.look(place, top=top)
                prediction = look.prediction
                figures.write(explain, figures.explain(look, classifier.checkpoint.network))
            else:
                prediction = classifier.predict(place, top=top)
        except PictureError as error:
            _complain(str(error), error.exit_code)
            rows.append({"picture": place, "error": str(error)})
            continue
        if not any("label" in row for row in rows):
            _say(classifier.engine.notice)  # not before: a bad picture alone is worth one line
        rows.append(_row(place, prediction))
        if not as_json:
            _show_prediction(place, prediction)
    if as_json:
        _show_json(rows)
    failed = sum("error" in row for row in rows)
    if failed:
        # Bad input when nothing came of it, a failure when it was only a part of the work.
        raise typer.Exit(PictureError.exit_code if failed == len(rows) else 1)


def _expand(pattern: str) -> list[str]:
    """A file, the pictures in a folder, or what a pattern matches where the shell left it alone."""
    path = Path(pattern)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise InputError(f"{pattern} holds no pictures ({', '.join(SUFFIXES)})")
        return [str(p) for p in inside]
    if glob.has_magic(pattern) and not os.path.lexists(pattern):
        return sorted(glob.glob(pattern, recursive=True)) or [pattern]  # noqa: PTH207
    return [pattern]


def _row(place: str, prediction: "Prediction") -> dict[str, Any]:
    return {
        "picture": place,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": share} for label, share in prediction.top],
        "doubts": [dataclasses.asdict(doubt) for doubt in prediction.doubts],
    }


def _show_prediction(place: str, prediction: "Prediction") -> None:
    others = ", ".join(f"{label} {_percent(share)}" for label, share in prediction.top[1:])
    then = f"  (then {others})" if others else ""
    _show(f"{place}: {prediction.label}  {_percent(prediction.probability)}{then}")
    for doubt in prediction.doubts:
        _show(f"  doubt: {doubt.sentence}")


# Summary, models, data ----------------------------------------------------------------------------


@app.command()
def summary(
    network: Annotated[
        str | None, _option("--network", text="Only this one.", choices=NETWORKS)
    ] = None,
    classes: Annotated[int, _option("--classes", text="Number of classes.")] = 10,
    as_json: Json = False,
) -> None:
    """Show each network layer by layer: shapes, parameters, connections, multiply-adds."""
    from lenet.networks import build_network
    from lenet.networks.summary import summarize

    names = NETWORKS if network is None else (network,)
    tables = {name: summarize(build_network(name, classes)) for name in names}
    if as_json:
        _show_json(
            {name: [dataclasses.asdict(row) for row in rows] for name, rows in tables.items()}
        )
        return
    for name, rows in tables.items():
        total = [
            f"{sum(getattr(row, field) for row in rows):,}"
            for field in ("parameters", "connections", "multiply_adds")
        ]
        _table(
            ("layer", "kind", "output", "parameters", "connections", "multiply-adds"),
            [
                (
                    row.layer,
                    row.kind,
                    " × ".join(map(str, row.output_shape)),
                    f"{row.parameters:,}",
                    f"{row.connections:,}",
                    f"{row.multiply_adds:,}",
                )
                for row in rows
            ]
            + [("total", "", "", *total)],
            title=name,
            text_columns=2,
        )


@app.command()
def models(as_json: Json = False) -> None:
    """List the trained weights in the box, with what is known of them."""
    from lenet.checkpoints import boxed_weights

    cards = boxed_weights()
    if as_json:
        _show_json(cards)
        return
    if not cards:
        _show("no trained weights are in the box; make some with: lenet train")
    for name, card in cards.items():
        _show(name)
        for key, value in card.items():
            if key != "name":
                _show(f"  {key.replace('_', ' ')}: {_plain(value)}")


def _plain(value: Any) -> str:
    """A JSON value as a phrase."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the data sets and whether their files are here."""
    from lenet.data.datasets import DATASETS, verify_dataset

    rows = []
    for name, dataset in DATASETS.items():
        states = {check.state for check in verify_dataset(name)}
        state = next((s for s in ("damaged", "missing") if s in states), "ready")
        rows.append({"name": name, "state": state, "description": dataset.description})
    if as_json:
        _show_json(rows)
        return
    _table(("name", "state", "description"), [tuple(row.values()) for row in rows], text_columns=3)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="mnist or fashion-mnist.", metavar="NAME")],
) -> None:
    """Download a data set into the cache, checked; nothing is done when it is here."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from lenet.data.datasets import fetch_dataset

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def on_progress(file: str, received: int, size: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=size)
                if not console.is_terminal:
                    _say(f"downloading {file}, {size:,} bytes")
            bar.update(tasks[file], completed=received)

        paths = fetch_dataset(name, on_progress)
    for path in paths:
        _show(str(path))
    if not paths:
        _show(f"{name} is built in")


@data_app.command("verify")
def data_verify(
    name: Annotated[
        str | None, typer.Argument(help="Only this one; by default all.", metavar="[NAME]")
    ] = None,
) -> None:
    """Compare the files that are here with the published SHA-256."""
    from lenet.data.datasets import DATASETS, verify_dataset

    bad = False
    for each in DATASETS if name is None else (name,):
        checks = verify_dataset(each)
        if not checks:
            _show(f"{each}: built in")
        for check in checks:
            _show(f"{each}: {check.path}: {check.problem or check.state}")
            # Not to have a data set is no fault, unless it was asked for by its name.
            bad |= check.state == "damaged" or (check.state == "missing" and name is not None)
    if bad:
        raise typer.Exit(1)


# Bench --------------------------------------------------------------------------------------------


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Less than a minute.")] = False,
    out: Annotated[Path, _option("--out", text="The picture.", metavar="PNG")] = Path("bench.png"),
    as_json: Json = False,
) -> None:
    """Measure the engine on this machine beside named peers, by turns, in one run."""
    from lenet import benchmark

    result = benchmark.run_benchmark(benchmark.QUICK if quick else benchmark.FULL, _say)
    benchmark.draw(result, out)
    _say(f"picture {out}")
    if as_json:
        _show_json(result.to_dict())
    else:
        print(benchmark.format_table(result))


@app.command()
def reproduce(
    seeds: Annotated[int, _option("--seeds", text="Networks trained side by side.")] = 16,
    passes: Annotated[int, _option("--passes", text="Passes over the patterns.")] = 20,
    distortions: Annotated[
        bool, typer.Option("--distortions", help="Nine distorted copies of every pattern.")
    ] = False,
    subset: Annotated[
        int | None, _option("--subset", text="Only the first N training patterns.")
    ] = None,
    mu: Annotated[
        float | None, _option("--mu", text="The μ of η / (μ + h); the paper prints 0.02.")
    ] = None,
    out: Annotated[
        Path, _option("--out", text="Where state, results and figures go.", metavar="DIR")
    ] = Path("runs/1998"),
    as_json: Json = False,
) -> None:
    """Run the 1998 experiments on MNIST again, many seeds at once, beside the printed numbers."""
    from lenet import benchmark, reproduction

    told = 0.0

    def on_progress(progress: "Progress") -> None:
        nonlocal told
        last = progress.passes >= progress.of
        if progress.passes - told < 0.1 and not last:
            return
        told = progress.passes
        errors = "".join(
            f"  {name} error {_percent(error)}"
            for name, error in (("train", progress.train_error), ("test", progress.test_error))
            if error is not None
        )
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        _say(f"pass {progress.passes:4.1f}/{progress.of}{errors}  {minutes}:{seconds:02d} left")

    try:
        result = reproduction.reproduce(
            seeds,
            passes,
            distortions=distortions,
            subset=subset,
            mu=mu,
            folder=out,
            on_progress=on_progress,
        )
    except KeyboardInterrupt:
        raise typer.Exit(
            _complain("interrupted; the same command goes on after the last pass", INTERRUPTED)
        ) from None
    limits = benchmark.measure_limits()
    _say(
        f"{result.seconds:.0f} s of training: {result.gflops:.0f} GFLOP/s, "
        f"{result.gflops / limits.product_gflops:.0%} of this machine's matrix product; weights at "
        f"{result.weights_gb_per_second:.0f} GB/s, its memory copies at "
        f"{limits.copy_gb_per_second:.0f} GB/s"
    )
    _say(f"results and figures in {out}")
    if as_json:
        _show_json(result.to_dict())
    else:
        _table(
            ("", "paper", "ours", "band", "verdict"),
            [
                (row.what, row.paper, row.ours, row.band, row.verdict)
                for row in reproduction.rows(reproduction.finished(out))
            ],
        )


# Tables -------------------------------------------------------------------------------------------


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    text_columns: int = 1,
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(head):
        # Text, not str: a class called "[red]" is no markup.
        table.add_column(
            Text(_printable(name)), justify="left" if place < text_columns else "right"
        )
    for row in rows:
        table.add_row(*(Text(_printable(value)) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 200)  # a file has no right edge
    console.print(table)
