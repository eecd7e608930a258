"""How much a benchmark measures: the whole, or enough for a first look."""

from dataclasses import dataclass

from lenet.benchmark.peers import PEERS
from lenet.benchmark.results import Contest
from lenet.errors import InputError


@dataclass(frozen=True)
class Scope:
    """Who does what, how often and for how long.

    Parameters
    ----------
    contests : tuple of Contest
    peers : tuple of str
        Those of `PEERS` that take part, where they can.
    n_images : int
        The set in memory: as large as MNIST, so that the caches behave as they would there.
    rounds : int
        Turns each peer takes: a speed is their median, its low and high their quartiles.
    turn_seconds : float
        How long one turn lasts, at least a step.
    processes : bool
        Measure fresh processes too: compile time at first use, memory of a training.
    product_size : int
        Rows of the square matrices whose product is the machine's peak.

    Raises
    ------
    InputError
        When a peer is unknown, there is nothing to do, or a batch is larger than the set.
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


FULL = Scope(
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
QUICK = Scope(
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
