"""What a benchmark says: its speeds, and its table for people."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lenet.networks import build_network
from lenet.networks.summary import count_flops

Task = Literal["training", "inference"]


@dataclass(frozen=True)
class Contest:
    """One piece of work that every peer does: a `Speed` for each of them."""

    task: Task
    network: str
    batch_size: int

    def __str__(self) -> str:
        return f"{self.task} · {self.network} · batch {self.batch_size:,}"


@dataclass(frozen=True)
class Speed:
    """One peer's speed at one contest: the median over the rounds and its quartiles."""

    task: Task
    network: str
    batch_size: int
    who: str
    images_per_second: float
    low: float
    high: float

    @property
    def contest(self) -> Contest:
        """What was done."""
        return Contest(self.task, self.network, self.batch_size)


@dataclass(frozen=True)
class Stage:
    """A part of our own training step: its time, its arithmetic, its share of the peak.

    Parameters
    ----------
    who : {"lenet", "lenet-fuse"}
        The step of `lenet train`, or the one with `lenet.fuse` and torch around it.
    microseconds : float
        For one batch, median.
    flops_per_image : int
        Multiplications and additions with the layers' weights; 0 where there are none.
    share_of_peak : float
        Of the measured matrix-product peak, 0 … 1.
    """

    network: str
    batch_size: int
    who: str
    stage: str
    microseconds: float
    flops_per_image: int
    share_of_peak: float


@dataclass(frozen=True)
class Benchmark:
    """What `lenet bench` measured.

    Parameters
    ----------
    machine : str
    versions : dict of str to str
    threads : int
        The same for every peer.
    engine : str
        The notice of the engine that `lenet` stands for.
    peak_gflops : float
        float32 matrix product with the same threads, measured by turns with the peers; the best
        of all turns.
    memory_gb_per_second : float
        Copying what no cache holds, bytes read and written, 10⁹ a second; likewise.
    rows : tuple of Speed
    stages : tuple of Stage
    left_out : dict of str to str
        Peers that could not take part, and `memory` where it could not be measured: why.
    compile_seconds : dict of str to float
        By network: what the first use in a fresh process costs beyond a warm one.
    training_memory_mb : float or None
        Peak memory of a training process with a set of Fashion-MNIST's size beyond
        `import torch`, in 2²⁰ bytes; None where it cannot be measured, `left_out` says why.
    """

    machine: str
    versions: dict[str, str]
    threads: int
    engine: str
    peak_gflops: float
    memory_gb_per_second: float
    rows: tuple[Speed, ...]
    stages: tuple[Stage, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    compile_seconds: dict[str, float] = field(default_factory=dict)
    training_memory_mb: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return asdict(self)

    def contests(self) -> dict[Contest, list[Speed]]:
        """The speeds at each contest, the contests as they were run, the fastest first."""
        rows = sorted(self.rows, key=lambda row: -row.images_per_second)
        contests = dict.fromkeys(row.contest for row in self.rows)
        return {contest: [row for row in rows if row.contest == contest] for contest in contests}

    def share_of_peak(self, speed: Speed) -> float:
        """The part of the measured matrix-product peak that a speed amounts to, 0 … 1."""
        flops = count_flops(build_network(speed.network))
        done = flops["forward"] + (flops["backward"] if speed.task == "training" else 0)
        return speed.images_per_second * done / (self.peak_gflops * 1e9)


def format_table(benchmark: Benchmark) -> str:
    """The benchmark as plain text, a line for every row."""
    lines = [
        benchmark.machine,
        benchmark.engine,
        f"float32 matrix product {benchmark.peak_gflops:.0f} GFLOP/s, "
        f"memory {benchmark.memory_gb_per_second:.0f} GB/s",
    ]
    for contest, rows in benchmark.contests().items():
        ours = next((row.images_per_second for row in rows if row.who == "lenet"), None)
        lines += ["", str(contest)]
        for row in rows:
            spread = f"({row.low:,.0f} – {row.high:,.0f})"
            against = ""
            if row.who.startswith("lenet"):
                against = f"{benchmark.share_of_peak(row):4.0%} of peak"
            elif ours is not None:
                against = f"lenet is {ours / row.images_per_second:.1f} × as fast"
            lines.append(
                f"  {row.who:<20}{row.images_per_second:>11,.0f} images/s  {spread:<22}{against}"
            )
    for stage in benchmark.stages:
        head = f"{stage.who}, a step of {stage.network} · batch {stage.batch_size:,}"
        if head not in lines:
            lines += ["", head]
        share = f"{stage.share_of_peak:4.0%} of peak" if stage.flops_per_image else ""
        lines.append(f"  {stage.stage:<20}{stage.microseconds:>11,.0f} µs        {share}".rstrip())
    lines.append("")
    for network, seconds in benchmark.compile_seconds.items():
        lines.append(f"first use of {network}: {seconds:.1f} s more than a warm one")
    if benchmark.training_memory_mb is not None:
        lines.append(
            f"memory of a training process: {benchmark.training_memory_mb:.0f} MB over torch"
        )
    lines += [f"left out: {who}: {why}" for who, why in benchmark.left_out.items()]
    return "\n".join(lines).rstrip()
