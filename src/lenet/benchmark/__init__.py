"""How fast it is here: the engine beside named peers, in one run, by turns, on the same work."""

from lenet.benchmark.results import Benchmark, Contest, Row, Stage, draw, format_table
from lenet.benchmark.run import (
    FULL,
    QUICK,
    Limits,
    Plan,
    measure_limits,
    run_benchmark,
)

__all__ = [
    "FULL",
    "QUICK",
    "Benchmark",
    "Contest",
    "Limits",
    "Plan",
    "Row",
    "Stage",
    "draw",
    "format_table",
    "measure_limits",
    "run_benchmark",
]
