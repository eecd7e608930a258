"""`lenet bench` and `lenet reproduce`: what is measured and compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lenet.cli.options import Json
from lenet.cli.output import say, show, show_json, show_table
from lenet.figures.text import clock, percent

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
    seeds: Annotated[int, typer.Option("--seeds", help="Networks trained side by side.")] = 16,
    passes: Annotated[int, typer.Option("--passes", help="Passes over the patterns.")] = 20,
    distortions: Annotated[
        bool, typer.Option("--distortions", help="Nine distorted copies of every pattern.")
    ] = False,
    subset: Annotated[
        int | None, typer.Option("--subset", help="Only the first N training patterns.")
    ] = None,
    mu: Annotated[
        float | None, typer.Option("--mu", help="The μ of η / (μ + h); the paper prints 0.02.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Where state, results and figures go.", metavar="DIR")
    ] = Path("runs/1998"),
    as_json: Json = False,
) -> None:
    """Run the 1998 experiments on MNIST again, many seeds at once, beside the printed numbers."""
    from lenet import reproduction
    from lenet.benchmark.limits import measure_limits

    told = 0.0

    def on_progress(progress: "ExperimentProgress") -> None:
        nonlocal told
        if progress.study:
            say(progress.study)
            return
        last = progress.passes >= progress.of
        if progress.passes - told < 0.1 and not last:
            return
        told = progress.passes
        errors = "".join(
            f"  {name} error {percent(error)}"
            for name, error in (("train", progress.train_error), ("test", progress.test_error))
            if error is not None
        )
        left = clock(progress.seconds_left)
        say(f"pass {progress.passes:4.1f}/{progress.of}{errors}  {left} left")

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
        raise KeyboardInterrupt("the same command goes on after the last pass") from None
    limits = measure_limits()
    say(
        f"{result.seconds:.0f} s of training: {result.gflops:.0f} GFLOP/s, "
        f"{result.gflops / limits.product_gflops:.0%} of this machine's matrix product; weights at "
        f"{result.weights_gb_per_second:.0f} GB/s, its memory copies at "
        f"{limits.copy_gb_per_second:.0f} GB/s"
    )
    say(f"results and figures in {out}")
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
