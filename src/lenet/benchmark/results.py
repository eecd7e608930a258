"""What a benchmark says: its speeds, and its table for people."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lenet.networks import build_network
from lenet.networks.summary import count_flops

Task = Literal["training", "inference"]

_MUCH_SCATTER = 0.2
_COMPARABLE = 2.0  # fastest turn by slowest, at most
_BUSY = 0.25  # of every CPU, by others, before anything is measured


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
    """One peer's speed at one contest: the median over its turns, their quartiles and ends."""

    task: Task
    network: str
    batch_size: int
    who: str
    images_per_second: float
    low: float
    high: float
    slowest: float
    fastest: float

    @property
    def contest(self) -> Contest:
        """What was done."""
        return Contest(self.task, self.network, self.batch_size)

    @property
    def scatter(self) -> float:
        """How far the middle half of the turns is apart, as a share of the median."""
        return (self.high - self.low) / self.images_per_second

    @property
    def is_steady(self) -> bool:
        """Whether the turns agree well enough to compare the speed with another."""
        return self.fastest <= _COMPARABLE * self.slowest


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
    load : float or None
        Processes that wanted a CPU, a CPU, in the minute before; None where it is not known.
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
    load: float | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    compile_seconds: dict[str, float] = field(default_factory=dict)
    training_memory_mb: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return {**asdict(self), "remarks": list(self.remarks())}

    def remarks(self) -> tuple[str, ...]:
        """Why these numbers should not be trusted, a sentence for each reason."""
        remarks = []
        if self.load is not None and self.load > _BUSY:
            remarks.append(
                f"the machine was busy before the first turn ({self.load:.0%} of every CPU): "
                f"measure again when it is idle"
            )
        scattered = [row for row in self.rows if row.scatter > _MUCH_SCATTER]
        if scattered:
            remarks.append(
                f"{len(scattered)} of {len(self.rows)} speeds are uncertain (~): the middle half "
                f"of their turns spans more than {_MUCH_SCATTER:.0%}"
            )
        return tuple(remarks)

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
    lines += benchmark.remarks()
    for contest, rows in benchmark.contests().items():
        ours = next((row for row in rows if row.who == "lenet"), None)
        lines += ["", str(contest)]
        for row in rows:
            spread = f"({row.low:,.0f} – {row.high:,.0f})"
            against = ""
            if row.who.startswith("lenet"):
                against = f"{benchmark.share_of_peak(row):4.0%} of peak"
            elif ours is not None:
                against = _compare(ours, row)
            about = "~" if row.scatter > _MUCH_SCATTER else ""
            speed = f"{about}{row.images_per_second:,.0f}"
            lines.append(f"  {row.who:<20}{speed:>11} images/s  {spread:<22}{against}")
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


def _compare(ours: Speed, theirs: Speed) -> str:
    """How many times as fast we are; no number where the turns of either differ too much."""
    for row in (theirs, ours):
        if not row.is_steady:
            return f"no ratio: {row.who}'s turns differ {row.fastest / row.slowest:.1f}-fold"
    return f"lenet is {ours.images_per_second / theirs.images_per_second:.1f} × as fast"
