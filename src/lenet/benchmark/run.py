"""The measurement itself: who takes a turn when, and what fresh processes tell."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lenet.benchmark.peers import OUR_STEPS, PEERS, LeftOutError, Work, prepare, takes_part
from lenet.benchmark.results import Benchmark, Contest, Row, Stage
from lenet.data.datasets import load_dataset
from lenet.data.splits import Split
from lenet.engines import select_engine
from lenet.errors import InputError, LenetError
from lenet.machine import describe_machine, list_versions
from lenet.networks import build_network
from lenet.networks.summary import count_flops
from lenet.threads import set_threads

_LEAST_STEPS = 5


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Parameters
    ----------
    contests : tuple of Contest
    peers : tuple of str
        Those of `PEERS` that take part, where they can.
    n_images : int
        The set in memory: as large as MNIST, so that the caches behave as they would there.
    rounds : int
        Turns each peer takes: a row is their median, its low and high their quartiles.
    turn_seconds : float
        How long one turn lasts, at least a step.
    processes : bool
        Measure fresh processes too: compile time at first use, memory of a training.
    product_size : int
        Rows of the square matrices whose product is the machine's peak.
    """

    contests: tuple[Contest, ...]
    peers: tuple[str, ...] = PEERS
    n_images: int = 60_000
    rounds: int = 11
    turn_seconds: float = 0.3
    processes: bool = True
    product_size: int = 2048

    def __post_init__(self) -> None:
        unknown = sorted(set(self.peers) - set(PEERS))
        if unknown:
            raise InputError(f"unknown peers {', '.join(unknown)}; use {', '.join(PEERS)}")
        if not self.contests or self.rounds < 1:
            raise InputError(
                f"a benchmark needs at least one contest and one round, "
                f"got {len(self.contests)} and {self.rounds}"
            )
        largest = max(contest.batch_size for contest in self.contests)
        if self.n_images < largest:
            raise InputError(f"{self.n_images} images are too few for a batch of {largest}")


FULL = Plan(
    (
        Contest("training", "tutorial", 64),
        Contest("training", "tutorial", 256),
        Contest("training", "modern", 64),
        Contest("training", "modern", 256),
        Contest("inference", "tutorial", 1),
        Contest("inference", "tutorial", 1024),
        Contest("inference", "tutorial", 10_000),
        Contest("inference", "modern", 1),
        Contest("inference", "modern", 1024),
    )
)
QUICK = Plan(
    (
        Contest("training", "tutorial", 64),
        Contest("inference", "tutorial", 1),
        Contest("inference", "tutorial", 1024),
    ),
    peers=tuple(peer for peer in PEERS if peer != "torch-compile"),
    rounds=5,
    turn_seconds=0.1,
    processes=False,
)


def run_benchmark(plan: Plan = FULL, on_progress: Callable[[str], None] | None = None) -> Benchmark:
    """Measure this machine, the engine and its peers.

    Every peer has the same threads, the same images in memory, the same batches, the same loss
    and the same Adam; only `article` prepares each image on its own, which is its point. Building,
    compiling and warming up are outside the timing. Peers take short turns, so that whoever else
    uses the machine disturbs all of them alike: trust the ratios more than the speeds.

    Parameters
    ----------
    plan : Plan
        `FULL` takes some minutes; `QUICK` less than one, without `torch-compile`.
    on_progress : callable, optional
        Told in a few words what comes next.
    """
    say = on_progress or (lambda _: None)
    threads = set_threads()
    engine = select_engine("auto", "cpu")
    data = _images(plan.n_images)
    product, copy = _matrix_product(plan.product_size), _copy(plan.product_size)
    products: list[float] = []
    copies: list[float] = []
    rows: list[Row] = []
    times: dict[tuple[Contest, str], dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for contest in plan.contests:
        works: dict[str, Work] = {"product": product, "copy": copy}
        for who in plan.peers:
            if takes_part(who, contest):
                say(f"{contest}: {who}")
                try:
                    works[who] = prepare(who, contest, engine, data)
                except LeftOutError as reason:
                    left_out[who] = str(reason)
        say(f"{contest}: by turns")
        seconds = _by_turns(works, plan)
        products += seconds.pop("product")
        copies += seconds.pop("copy")
        for who, each in seconds.items():
            low, median, high = _quartiles([contest.batch_size / step for step in each])
            rows.append(
                Row(contest.task, contest.network, contest.batch_size, who, median, low, high)
            )
        for who in OUR_STEPS if contest.task == "training" else ():
            step = OUR_STEPS[who](contest, engine, data)
            step.work(_LEAST_STEPS)
            n_steps = max(_LEAST_STEPS, round(plan.rounds * plan.turn_seconds * 100))
            stages = step.times(n_steps)
            times[contest, who] = {name: statistics.median(each) for name, each in stages.items()}
    limits = _limits(plan.product_size, products, copies)
    peak, memory = limits.product_gflops, limits.copy_gb_per_second
    compile_seconds: dict[str, float] = {}
    training_memory: float | None = None
    if plan.processes:
        for network in dict.fromkeys(contest.network for contest in plan.contests):
            say(f"first use of {network} in a fresh process")
            compile_seconds[network] = float(_fresh_process(_FIRST_USE, network))
        say("memory of a training process")
        try:
            training_memory = _training_memory_mb()
        except LeftOutError as reason:
            left_out["memory"] = str(reason)
    return Benchmark(
        machine=describe_machine(),
        versions=list_versions(),
        threads=threads,
        engine=engine.notice,
        peak_gflops=peak,
        memory_gb_per_second=memory,
        rows=tuple(rows),
        stages=tuple(
            _stage(contest, who, name, taken, peak)
            for (contest, who), stages_taken in times.items()
            for name, taken in stages_taken.items()
        ),
        left_out=left_out,
        compile_seconds=compile_seconds,
        training_memory_mb=training_memory,
    )


@dataclass(frozen=True)
class Limits:
    """What this machine can do with the threads that torch has.

    Parameters
    ----------
    product_gflops : float
        float32 matrix product, 10⁹ multiplications and additions a second.
    copy_gb_per_second : float
        Copying what no cache holds, 10⁹ bytes read and written a second.
    """

    product_gflops: float
    copy_gb_per_second: float


def measure_limits(size: int = 2048, turns: int = 5) -> Limits:
    """The best of some turns, within seconds."""
    taken: list[list[float]] = []
    for work in (_matrix_product(size), _copy(size)):
        taken.append([])
        for _ in range(turns):
            start = time.perf_counter()
            work(1)
            taken[-1].append(time.perf_counter() - start)
    return _limits(size, *taken)


def _limits(size: int, products: list[float], copies: list[float]) -> Limits:
    return Limits(
        product_gflops=2 * size**3 / min(products) / 1e9,
        copy_gb_per_second=2 * _copied_bytes(size) / min(copies) / 1e9,
    )


def _images(n: int) -> Split:
    """Real images without a download: the built-in digits, repeated."""
    digits = load_dataset("digits").train
    index = np.arange(n) % len(digits)
    return Split(digits.images[index], digits.labels[index])


def _matrix_product(size: int) -> Work:
    a, b = torch.rand(2, size, size)
    result = torch.empty_like(a)

    def work(steps: int) -> None:
        for _ in range(steps):
            torch.mm(a, b, out=result)

    work(1)
    return work


def _copied_bytes(size: int) -> int:
    """Sixteen matrices: far more than the caches hold when the product fills a machine."""
    return 4 * 16 * size**2


def _copy(size: int) -> Work:
    source = torch.rand(_copied_bytes(size) // 4)
    target = torch.empty_like(source)

    def work(steps: int) -> None:
        for _ in range(steps):
            target.copy_(source)

    work(1)
    return work


def _by_turns(works: dict[str, Work], plan: Plan) -> dict[str, list[float]]:
    """Seconds of a step, a value for each round, each round in another order."""
    steps = {who: _steps_in(work, plan.turn_seconds) for who, work in works.items()}
    order = list(works)
    seconds: dict[str, list[float]] = {who: [] for who in works}
    for _ in range(plan.rounds):
        for who in order:
            start = time.perf_counter()
            works[who](steps[who])
            seconds[who].append((time.perf_counter() - start) / steps[who])
        order = order[1:] + order[:1]
    return seconds


def _steps_in(work: Work, seconds: float) -> int:
    """How many steps last so long."""
    steps = 1
    while True:
        start = time.perf_counter()
        work(steps)
        taken = time.perf_counter() - start
        if taken >= seconds / 4:
            return max(1, round(steps * seconds / taken))
        steps *= 2


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return low, median, high


def _stage(contest: Contest, who: str, name: str, seconds: float, peak_gflops: float) -> Stage:
    parts = count_flops(build_network(contest.network))
    flops = sum(parts.values()) if name == "learn" else parts.get(name, 0)
    share = flops * contest.batch_size / seconds / (peak_gflops * 1e9)
    return Stage(contest.network, contest.batch_size, who, name, seconds * 1e6, flops, share)


_FIRST_USE = """
import sys, time
import torch
from lenet.data.preprocessing import PAPER_1998
from lenet.engines import select_engine
from lenet.networks import build_network

engine = select_engine("auto", "cpu")
ink, labels = torch.zeros(64, 28, 28, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64)

def use():
    start = time.perf_counter()
    module = engine.compile(build_network(sys.argv[1]))
    engine.backprop(module, ink, labels, PAPER_1998, weight=1)(labels)
    module(engine.gather(ink, labels, PAPER_1998)).sum().backward()
    with torch.no_grad():
        for n in (1, 1024):
            module.eval()(torch.zeros(n, 1, 32, 32))
    return time.perf_counter() - start

torch.nn.Linear(1, 1)(torch.zeros(1, 1)).sum().backward()
first = use()
print(first - min(use() for _ in range(3)))
"""

# VmHWM and not getrusage: a child's ru_maxrss starts at its parent's.
_MEMORY = """
import re, runpy, sys
from pathlib import Path

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

import torch
before = peak()
arguments = "train --data fashion-mnist --network tutorial --recipe article --epochs 1 --out"
sys.argv = ["lenet", *arguments.split(), sys.argv[1]]
try:
    runpy.run_module("lenet", run_name="__main__")
except SystemExit as exit:
    if exit.code:
        raise
print(peak() - before)
"""


def _training_memory_mb() -> float:
    if not Path("/proc/self/status").is_file():
        raise LeftOutError("this system does not tell the peak memory of a process")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return float(_fresh_process(_MEMORY, folder)) / 2**20
        except LenetError as error:  # no Fashion-MNIST here and no network
            raise LeftOutError(str(error)) from error


def _fresh_process(code: str, argument: str) -> str:
    """What a new interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-c", code, argument], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise LenetError(f"a fresh process failed: {run.stderr.strip().splitlines()[-1]}")
    return run.stdout.strip().splitlines()[-1]
