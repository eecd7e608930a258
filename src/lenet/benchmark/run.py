"""The measurement itself: who takes a turn when, and what fresh processes tell."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from lenet.benchmark import training_memory
from lenet.benchmark.limits import Probes, Work
from lenet.benchmark.peers import OUR_STEPS, LeftOutError, prepare, takes_part
from lenet.benchmark.results import Benchmark, Contest, Speed, Stage
from lenet.benchmark.scope import FULL, Scope
from lenet.data.datasets import load_dataset
from lenet.data.downloads import explain_absence
from lenet.data.splits import Split
from lenet.engines import Engine, select_engine
from lenet.errors import LenetError
from lenet.machine import describe_machine, list_versions, measure_load
from lenet.networks import build_network
from lenet.networks.summary import count_flops
from lenet.threads import set_threads

_LEAST_STEPS = 5

Say = Callable[[str], None]


def run_benchmark(scope: Scope = FULL, on_progress: Say | None = None) -> Benchmark:
    """Measure this machine, the engine and its peers.

    Every peer has the same threads, the same images in memory, the same batches, the same loss
    and the same Adam; only `article` prepares each image on its own, which is its point. Building,
    compiling and warming up are outside the timing. Peers take short turns, so that whoever else
    uses the machine disturbs all of them alike: trust the ratios more than the speeds.

    Parameters
    ----------
    scope : Scope
        `FULL` takes some minutes; `QUICK` less than one, without `torch-compile`.
    on_progress : callable, optional
        Told in a few words what comes next.
    """
    say = on_progress or (lambda _: None)
    load = measure_load()
    threads = set_threads()
    engine = select_engine("auto", "cpu")
    data = _images(scope.n_images)
    probes = Probes(scope.product_size)
    reached: dict[str, list[float]] = {name: [] for name in probes.works}
    speeds: list[Speed] = []
    steps: dict[tuple[Contest, str], dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for contest in scope.contests:
        works = {**probes.works, **_prepare(contest, scope, engine, data, left_out, say)}
        say(f"{contest}: by turns")
        seconds = _take_turns(works, scope)
        for name, taken in reached.items():
            taken += seconds.pop(name)
        speeds += [_speed(contest, who, each) for who, each in seconds.items()]
        if contest.task == "training":
            for who in OUR_STEPS:
                steps[contest, who] = _time_stages(who, contest, scope, engine, data)
    limits = probes.limits(reached)
    compile_seconds, memory_mb = {}, None
    if scope.processes:
        compile_seconds = _measure_first_uses(scope, say)
        memory_mb = _measure_training_memory(left_out, say)
    return Benchmark(
        machine=describe_machine(),
        versions=list_versions(),
        threads=threads,
        engine=engine.notice,
        peak_gflops=limits.product_gflops,
        memory_gb_per_second=limits.copy_gb_per_second,
        rows=tuple(speeds),
        stages=tuple(
            _stage(contest, who, name, taken, limits.product_gflops)
            for (contest, who), stages in steps.items()
            for name, taken in stages.items()
        ),
        load=load,
        left_out=left_out,
        compile_seconds=compile_seconds,
        training_memory_mb=memory_mb,
    )


def _images(n: int) -> Split:
    """Real images without a download: the built-in digits, repeated."""
    digits = load_dataset("digits").train
    index = np.arange(n) % len(digits)
    return Split(digits.images[index], digits.labels[index])


# A contest


def _prepare(
    contest: Contest,
    scope: Scope,
    engine: Engine,
    data: Split,
    left_out: dict[str, str],
    say: Say,
) -> dict[str, Work]:
    """Every peer at the start line; `left_out` gets those that cannot take part, and why."""
    works = {}
    for who in scope.peers:
        if takes_part(who, contest):
            say(f"{contest}: {who}")
            try:
                works[who] = prepare(who, contest, engine, data)
            except LeftOutError as reason:
                left_out[who] = str(reason)
    return works


def _take_turns(works: dict[str, Work], scope: Scope) -> dict[str, list[float]]:
    """Seconds of a step, a value for each round, each round in another order."""
    steps = {who: _steps_in(work, scope.turn_seconds) for who, work in works.items()}
    order = list(works)
    seconds: dict[str, list[float]] = {who: [] for who in works}
    for _ in range(scope.rounds):
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


def _speed(contest: Contest, who: str, seconds: list[float]) -> Speed:
    """Median, quartiles and ends of the rounds."""
    speeds = [contest.batch_size / step for step in seconds]
    slowest, low, median, high, fastest = np.quantile(speeds, (0, 0.25, 0.5, 0.75, 1)).tolist()
    about = contest.task, contest.network, contest.batch_size
    return Speed(*about, who, median, low, high, slowest, fastest)


def _time_stages(
    who: str, contest: Contest, scope: Scope, engine: Engine, data: Split
) -> dict[str, float]:
    """Median seconds of each stage of our own training step."""
    step = OUR_STEPS[who](contest, engine, data)
    step.work(_LEAST_STEPS)
    n_steps = max(_LEAST_STEPS, round(scope.rounds * scope.turn_seconds * 100))
    return {name: statistics.median(each) for name, each in step.times(n_steps).items()}


def _stage(contest: Contest, who: str, name: str, seconds: float, peak_gflops: float) -> Stage:
    parts = count_flops(build_network(contest.network))
    flops = sum(parts.values()) if name == "learn" else parts.get(name, 0)
    share = flops * contest.batch_size / seconds / (peak_gflops * 1e9)
    return Stage(contest.network, contest.batch_size, who, name, seconds * 1e6, flops, share)


# Fresh processes


def _measure_first_uses(scope: Scope, say: Say) -> dict[str, float]:
    """Seconds that the first use of each network costs beyond a warm one."""
    seconds = {}
    for network in dict.fromkeys(contest.network for contest in scope.contests):
        say(f"first use of {network} in a fresh process")
        seconds[network] = float(_ask_fresh_process("first_use", network))
    return seconds


def _measure_training_memory(left_out: dict[str, str], say: Say) -> float | None:
    """In 2²⁰ bytes; None, and why in `left_out`, where it cannot be measured."""
    reason = explain_absence(training_memory.DATA)
    if not training_memory.STATUS.is_file():
        reason = "this system does not tell the peak memory of a process"
    if reason:
        left_out["memory"] = reason
        return None
    say("memory of a training process")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return float(_ask_fresh_process("training_memory", folder)) / 2**20
        except LenetError as error:  # all the rest has been measured: it is not lost for this
            left_out["memory"] = str(error)
            return None


def _ask_fresh_process(module: str, argument: str) -> str:
    """What a new interpreter prints when it runs a module of this room."""
    command = [sys.executable, "-m", f"lenet.benchmark.{module}", argument]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise LenetError(f"a fresh process failed: {run.stderr.strip().splitlines()[-1]}")
    return run.stdout.strip().splitlines()[-1]
