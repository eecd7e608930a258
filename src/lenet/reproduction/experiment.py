"""What an experiment of 1998 is: the printed algorithm, and what the paper leaves open."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from lenet.data.distortions import Distortions
from lenet.errors import InputError
from lenet.networks.initialization import initialize
from lenet.networks.lecun1998 import LeCun1998
from lenet.training.losses import RUBBISH_PENALTY

# Paper: Sec. III.B. The learning rate η of each pass.
LEARNING_RATES = (5e-4,) * 2 + (2e-4,) * 3 + (1e-4,) * 3 + (5e-5,) * 4 + (1e-5,) * 8
PASSES = len(LEARNING_RATES)
# Silent: how far. Chosen on a validation part of the training set.
DISTORTIONS = Distortions(shift=1.5, scale=0.1, squeeze=0.1, shear=0.15)


@dataclass(frozen=True)
class Settings:
    """What the paper leaves open, or is departed from: the part of an `Experiment` to report.

    Parameters
    ----------
    distortions, initialization, mu, rubbish_penalty, subsampling
        See `Experiment`.
    """

    distortions: Distortions | None
    initialization: str
    mu: float
    rubbish_penalty: float | None
    subsampling: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """The settings that `to_dict` made the values of."""
        limits = values["distortions"]
        return cls(**{**values, "distortions": None if limits is None else Distortions(**limits)})


@dataclass(frozen=True)
class Experiment:
    """What is run: how many networks, how long, on what, and by which reading of the paper.

    Parameters
    ----------
    seeds : int
        Networks 0, 1, … seeds − 1; each has its own initial weights and order.
    passes : int
        Up to the 20 of the printed schedule; fewer stop early, they do not hurry it.
    subset : int, optional
        The first so many patterns of the training set; all by default.
    distortions : Distortions, optional
        Nine distorted copies of every pattern join the originals; as many patterns are seen as
        without. None by default.
    subsampling : {"added", "averaged"}
        Silent: Sec. II.B adds the four inputs, Sec. II.A averages them. The two tie.
    initialization : str
        A scheme of `lenet.networks.initialization`. Departs: from the printed ±2.4/fan-in the
        printed algorithm diverges. See docs/paper.md for the effect.
    rubbish_penalty : float, optional
        The j of Eq. (9); None for Eq. (8).
    mu : float
        Departs: the paper's 0.02 lets weights that the first 500 patterns hardly move take steps of
        0.025 later, and the error rises in the second pass. See docs/paper.md for the effect.
    learning_rates : tuple of float
        η of each pass.

    Raises
    ------
    InputError
        When a number is out of range.
    """

    seeds: int = 16
    passes: int = PASSES
    subset: int | None = None
    distortions: Distortions | None = None
    subsampling: str = "averaged"
    initialization: str = "root-fan-in"
    rubbish_penalty: float | None = RUBBISH_PENALTY
    mu: float = 0.3
    learning_rates: tuple[float, ...] = LEARNING_RATES

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds must be at least 1, got {self.seeds}")
        if not 1 <= self.passes <= len(self.learning_rates):
            raise InputError(
                f"passes must be from 1 to {len(self.learning_rates)}, got {self.passes}"
            )
        if not self.mu > 0:
            raise InputError(f"mu must be positive, got {self.mu}")
        if self.subset is not None and self.subset < 1:
            raise InputError(f"subset must be at least 1, got {self.subset}")

    @property
    def name(self) -> str:
        """Its files' name: "plain" or "distorted", and the size of a subset."""
        size = f"-{self.subset}" if self.subset else ""
        return ("distorted" if self.distortions else "plain") + size

    @property
    def settings(self) -> Settings:
        """What to report beside its results."""
        return Settings(
            self.distortions,
            self.initialization,
            self.mu,
            self.rubbish_penalty,
            self.subsampling,
        )

    def networks(self) -> list[LeCun1998]:
        """The networks before the first pass."""
        networks = []
        for seed in range(self.seeds):
            network = LeCun1998(subsampling=self.subsampling)
            initialize(network, self.initialization, torch.Generator().manual_seed(seed))
            networks.append(network)
        return networks
