"""`lenet bench` and `lenet reproduce`: what is measured and compared."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lenet.cli.options import STUDIES, Json
from lenet.cli.output import show, show_json, show_table
from lenet.figures.text import duration, percent
from lenet.progress import Progress, Stages, say

if TYPE_CHECKING:
    from lenet.reproduction import ExperimentProgress


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Less than a minute.")] = False,
    out: Annotated[Path, typer.Option("--out", help="The picture.", metavar="PNG")] = Path(
        "bench.png"
    ),
    as_json: Json = False,
) -> None:
    """Measure the engine on this machine beside named peers, by turns, in one run."""
    from lenet.benchmark.figures import draw_speeds
    from lenet.benchmark.results import format_table
    from lenet.benchmark.run import run_benchmark
    from lenet.benchmark.scope import FULL, QUICK
    from lenet.figures.style import write

    result = run_benchmark(QUICK if quick else FULL, say)
    write(out, draw_speeds(result))
    say(f"picture {out}")
    if as_json:
        show_json(result.to_dict())
    else:
        for line in format_table(result).splitlines():
            show(line)


def reproduce(
    seeds: Annotated[int, typer.Option("--seeds", help="Networks side by side.", min=1)] = 16,
    passes: Annotated[
        int, typer.Option("--passes", help="Passes over the patterns.", min=1, max=20)
    ] = 20,
    distortions: Annotated[
        bool, typer.Option("--distortions", help="Nine distorted copies of every pattern.")
    ] = False,
    subset: Annotated[
        int | None, typer.Option("--subset", help="Only the first N training patterns.", min=1)
    ] = None,
    mu: Annotated[
        float | None, typer.Option("--mu", help="The μ of η / (μ + h); the paper prints 0.02.")
    ] = None,
    studies: Annotated[
        str | None,
        typer.Option(
            "--studies",
            help=f"What is measured beside errors and rejection: some of {','.join(STUDIES)}; "
            "all, or none. By default all, and none with --subset.",
            metavar="NAME,…|all|none",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Where state, results and figures go.", metavar="DIR")
    ] = Path("runs/1998"),
    as_json: Json = False,
) -> None:
    """Run the 1998 experiments on MNIST again, many seeds at once, beside the printed numbers."""
    with Progress() as progress:
        patterns = "the whole training set" if subset is None else f"{subset:,} patterns"
        distorted = " and distorted copies" if distortions else ""
        progress.say(
            f"LeNet-5 as trained in 1998: mnist, {passes} pass{'es' * (passes > 1)} over "
            f"{patterns}{distorted}, {seeds:,} network{'s' * (seeds > 1)} side by side"
        )
        progress.say(f"results and figures go to {out}")
        progress.wait("loading torch")
        from lenet import reproduction
        from lenet.benchmark.limits import measure_limits
        from lenet.engines import select_engine

        progress.say(select_engine("auto", "cpu").notice)
        progress.wait("reading mnist")
        try:
            result = reproduction.reproduce(
                seeds,
                passes,
                distortions=distortions,
                subset=subset,
                mu=mu,
                folder=out,
                studies=_studies(studies),
                on_progress=_teller(progress),
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on after the last pass") from None
        progress.wait("measuring what this machine can do")
        limits = measure_limits()
        progress.say(f"{duration(result.seconds)} of training, {duration(progress.seconds)} in all")
        progress.say(
            f"{result.gflops:.0f} GFLOP/s, {result.gflops / limits.product_gflops:.0%} of this "
            f"machine's matrix product; weights at {result.weights_gb_per_second:.0f} GB/s, its "
            f"memory copies at {limits.copy_gb_per_second:.0f} GB/s"
        )
    if as_json:
        show_json(result.to_dict())
    else:
        show_table(
            ("", "paper", "ours", "band", "verdict"),
            [
                (line.what, line.paper, line.ours, line.band, line.verdict)
                for line in reproduction.compare(reproduction.read_results(out))
            ],
        )


def _studies(names: str | None) -> tuple[str, ...] | None:
    """What `--studies` names; None where the experiment decides."""
    if names is None:
        return None
    everything = {"all": STUDIES, "none": ()}
    return everything.get(names, tuple(name.strip() for name in names.split(",")))


def _teller(progress: Progress) -> "Callable[[ExperimentProgress], None]":
    """Shows every stage, and after each pass its errors."""
    stages, told = Stages(progress), 0

    def tell(at: "ExperimentProgress") -> None:
        nonlocal told
        if at.measured > told and at.train_error is not None and at.test_error is not None:
            told = at.measured
            progress.say(
                f"pass {told}/{at.of}: error {percent(at.train_error)} on the training patterns, "
                f"{percent(at.test_error)} on the test images"
            )
        stages.show(at.stage, at.share, at.seconds_left)

    return tell
