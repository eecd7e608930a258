"""What an experiment found, as one typed value: written as JSON, and read back."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError, RunError
from lenet.files import write_atomic
from lenet.reproduction.experiment import Settings

# Paper: Sec. III.B, Figs. 5 and 8. In percent.
TEST_ERROR, TEST_ERROR_DISTORTED, TRAIN_ERROR = 0.95, 0.8, 0.35


@dataclass(frozen=True)
class Spread:
    """A number over the seeds.

    Parameters
    ----------
    values : tuple of float
        By seed.

    Raises
    ------
    InputError
        When there is no value.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("a spread needs the value of at least one seed, got none")

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """The sample standard deviation; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Mean, sd and values."""
        return {"mean": self.mean, "sd": self.sd, "values": list(self.values)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Spread":
        """The spread that `to_dict` made the values of."""
        return cls(tuple(float(value) for value in values["values"]))


def percent(rates: NDArray[np.float64]) -> Spread:
    """Fractions by seed, as a spread in percent."""
    return Spread(tuple(round(100 * float(rate), 6) for rate in rates))


@dataclass(frozen=True)
class Results:
    """What an experiment found, measured on the networks after the last pass.

    Parameters
    ----------
    patterns : int
        In the training set.
    seconds : float
        Of training.
    settings : Settings
    test_error_percent_by_pass : tuple of Spread
        After each pass.
    train_error_percent_by_pass : tuple of Spread
        While each pass went on: the paper's way, Fig. 5.
    train_error_percent : Spread
        Over the training set, after the last pass.
    gflops : float
        Arithmetic of the training, 10⁹ operations a second.
    weights_gb_per_second : float
        Weights and rates that the training read and wrote, 10⁹ bytes a second.
    effective_learning_rates : (float, float)
        Smallest and largest of the first pass.
    rejected_percent : Spread
        To be rejected for 0.5 % error on the rest.
    error_percent_by_share_rejected : tuple of float
        On the rest, mean over the seeds, from nothing rejected to nearly all in equal steps.
    robustness_error_percent : dict of dict of Spread
        By kind of change and its size; see `lenet.reproduction.studies.CHANGES`.
    not_a_digit_auroc : dict of dict of Spread
        By kind of picture and the score that should tell it from a digit: `penalty`,
        `confidence`; see `lenet.reproduction.studies.NotADigit`.
    median_seed : int
        The seed whose test error is the median: the one to show.
    made_on : dict
        Machine, threads and versions of the training.
    left_out : dict of str to str
        Kinds of picture in `not_a_digit_auroc` that could not be had, and why.
    """

    patterns: int
    seconds: float
    settings: Settings
    test_error_percent_by_pass: tuple[Spread, ...]
    train_error_percent_by_pass: tuple[Spread, ...]
    train_error_percent: Spread
    gflops: float
    weights_gb_per_second: float
    effective_learning_rates: tuple[float, float]
    rejected_percent: Spread
    error_percent_by_share_rejected: tuple[float, ...]
    robustness_error_percent: dict[str, dict[float, Spread]]
    not_a_digit_auroc: dict[str, dict[str, Spread]]
    median_seed: int
    made_on: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def seeds(self) -> int:
        """Networks trained."""
        return len(self.train_error_percent.values)

    @property
    def passes(self) -> int:
        """Passes done."""
        return len(self.test_error_percent_by_pass)

    @property
    def test_error_percent(self) -> Spread:
        """After the last pass."""
        return self.test_error_percent_by_pass[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what ``--json`` prints and the file holds."""
        distorted = self.settings.distortions is not None
        return {
            "seeds": self.seeds,
            "passes": self.passes,
            "patterns": self.patterns,
            "seconds": self.seconds,
            "test_error_percent": self.test_error_percent.to_dict(),
            "train_error_percent": self.train_error_percent.to_dict(),
            "paper": {
                "test_error_percent": TEST_ERROR_DISTORTED if distorted else TEST_ERROR,
                "train_error_percent": None if distorted else TRAIN_ERROR,
            },
            "gflops": self.gflops,
            "weights_gb_per_second": self.weights_gb_per_second,
            "settings": self.settings.to_dict(),
            "by_pass": {
                "test_error_percent": [s.to_dict() for s in self.test_error_percent_by_pass],
                "train_error_percent_on_the_fly": [
                    s.to_dict() for s in self.train_error_percent_by_pass
                ],
            },
            "effective_learning_rates": list(self.effective_learning_rates),
            "rejected_percent_for_half_a_percent_error": self.rejected_percent.to_dict(),
            "error_percent_by_share_rejected": list(self.error_percent_by_share_rejected),
            "robustness_error_percent": {
                kind: {f"{size:g}": spread.to_dict() for size, spread in by_size.items()}
                for kind, by_size in self.robustness_error_percent.items()
            },
            "not_a_digit_auroc": {
                kind: {score: spread.to_dict() for score, spread in by_score.items()}
                for kind, by_score in self.not_a_digit_auroc.items()
            },
            **({"left_out": self.left_out} if self.left_out else {}),
            "median_seed": self.median_seed,
            "made_on": self.made_on,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Results":
        """The results that `to_dict` made the values of.

        Raises
        ------
        InputError, KeyError, TypeError, ValueError, AttributeError
            When the values are not those of `to_dict`.
        """
        by_pass = values["by_pass"]
        low, high = values["effective_learning_rates"]
        return cls(
            patterns=values["patterns"],
            seconds=values["seconds"],
            settings=Settings.from_dict(values["settings"]),
            test_error_percent_by_pass=tuple(map(Spread.from_dict, by_pass["test_error_percent"])),
            train_error_percent_by_pass=tuple(
                map(Spread.from_dict, by_pass["train_error_percent_on_the_fly"])
            ),
            train_error_percent=Spread.from_dict(values["train_error_percent"]),
            gflops=values["gflops"],
            weights_gb_per_second=values["weights_gb_per_second"],
            effective_learning_rates=(low, high),
            rejected_percent=Spread.from_dict(values["rejected_percent_for_half_a_percent_error"]),
            error_percent_by_share_rejected=tuple(values["error_percent_by_share_rejected"]),
            robustness_error_percent={
                kind: {float(size): Spread.from_dict(spread) for size, spread in by_size.items()}
                for kind, by_size in values["robustness_error_percent"].items()
            },
            not_a_digit_auroc={
                kind: {score: Spread.from_dict(spread) for score, spread in by_score.items()}
                for kind, by_score in values["not_a_digit_auroc"].items()
            },
            median_seed=values["median_seed"],
            made_on=values["made_on"],
            left_out=values.get("left_out", {}),
        )


def write_results(path: Path, results: Results) -> None:
    """Write the results as JSON, atomically."""
    text = json.dumps(results.to_dict(), indent=1, allow_nan=False)
    write_atomic(path, f"{text}\n".encode())


def read_results(folder: Path) -> dict[str, Results]:
    """The results of every experiment in a folder, by the experiment's name.

    Raises
    ------
    RunError
        When a file there is damaged.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            values = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        try:
            found[path.stem] = Results.from_dict(values)
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{path} is not the results of an experiment; remove it") from error
    return found
