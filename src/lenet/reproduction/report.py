"""What an experiment found, as one JSON value, and the table that sets it beside the paper."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import RunError
from lenet.files import write_atomic
from lenet.networks import build_network
from lenet.networks.summary import count_flops
from lenet.reproduction.experiment import Experiment
from lenet.reproduction.studies import ERROR_AFTER_REJECTION, NotADigit

# Paper: Sec. III.B and C, Figs. 5, 6 and 8. In percent.
TEST_ERROR, TEST_ERROR_DISTORTED, TRAIN_ERROR = 0.95, 0.8, 0.35
SETTLED_AFTER = 10
RATES = (7e-5, 0.016)
PARAMETERS = 60_000
SETTLED_WITHIN = 0.05
"""Percentage points: five test digits of 10,000."""

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """A number over the seeds.

    Parameters
    ----------
    values : tuple of float
        By seed.
    """

    values: tuple[float, ...]

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


def percent(rates: NDArray[np.float64]) -> dict[str, Any]:
    """Fractions by seed as a spread in percent."""
    return Spread(tuple(round(100 * float(rate), 6) for rate in rates)).to_dict()


@dataclass(frozen=True)
class Reproduction:
    """An experiment's results, measured on the networks after the last pass.

    Parameters
    ----------
    experiment : Experiment
    passes, patterns : int
        Done; in the training set.
    seconds : float
        Of training.
    test_error, train_error : (passes, seeds) float64
        After each pass; while the pass went on (the paper's way, Fig. 5).
    final_train_error : (seeds,) float64
        Over the training set, after the last pass.
    rates : (float, float)
        Smallest and largest effective learning rate of the first pass.
    rejected : (seeds,) float64
        Share rejected for 0.5 % error on the rest.
    rejection : (points,) float64
        Error on the rest, mean over the seeds, from nothing rejected to all.
    robustness : dict
        See `lenet.reproduction.studies.robustness`.
    not_a_digit : list of dict
        By seed; see `lenet.reproduction.studies.not_a_digit`.
    median_seed : int
        The seed whose test error is the median: the one to show.
    made_on : dict
        Machine, threads and versions of the training.
    """

    experiment: Experiment
    passes: int
    patterns: int
    seconds: float
    test_error: NDArray[np.float64]
    train_error: NDArray[np.float64]
    final_train_error: NDArray[np.float64]
    rates: tuple[float, float]
    rejected: NDArray[np.float64]
    rejection: NDArray[np.float64]
    robustness: dict[str, dict[float, NDArray[np.float64]]]
    not_a_digit: list[dict[str, NotADigit]]
    median_seed: int
    made_on: dict[str, Any]

    @property
    def gflops(self) -> float:
        """Multiplications and additions of the training, 10⁹ a second: the layers' and updates'."""
        of_layers = sum(count_flops(build_network("lecun1998")).values())
        return (of_layers + 2 * PARAMETERS) * self._lessons / self.seconds / 1e9

    @property
    def weights_gb_per_second(self) -> float:
        """Bytes of weights and rates, 10⁹ a second.

        Each weight is read forward, backward and for its update, and written; its rate is read.
        """
        return 5 * 4 * PARAMETERS * self._lessons / self.seconds / 1e9

    @property
    def _lessons(self) -> int:
        return self.experiment.seeds * self.passes * self.patterns

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what ``--json`` prints."""
        distorted = self.experiment.distortions is not None
        kinds = self.not_a_digit[0]
        return {
            "seeds": self.experiment.seeds,
            "passes": self.passes,
            "patterns": self.patterns,
            "seconds": round(self.seconds, 1),
            "test_error_percent": percent(self.test_error[-1]),
            "train_error_percent": percent(self.final_train_error),
            "paper": {
                "test_error_percent": TEST_ERROR_DISTORTED if distorted else TEST_ERROR,
                "train_error_percent": None if distorted else TRAIN_ERROR,
            },
            "gflops": round(self.gflops, 1),
            "weights_gb_per_second": round(self.weights_gb_per_second, 1),
            "settings": {
                "distortions": vars(self.experiment.distortions) if distorted else None,
                "initialization": self.experiment.initialization,
                "mu": self.experiment.mu,
                "rubbish_penalty": self.experiment.rubbish_penalty,
                "subsampling": self.experiment.subsampling,
            },
            "by_pass": {
                "test_error_percent": [percent(row) for row in self.test_error],
                "train_error_percent_on_the_fly": [percent(row) for row in self.train_error],
            },
            "effective_learning_rates": list(self.rates),
            "rejected_percent_for_half_a_percent_error": percent(self.rejected),
            "error_percent_by_share_rejected": [round(100 * float(e), 4) for e in self.rejection],
            "robustness_error_percent": {
                kind: {f"{size:g}": percent(rates) for size, rates in sizes.items()}
                for kind, sizes in self.robustness.items()
            },
            "not_a_digit_auroc": {
                kind: {
                    score: Spread(
                        tuple(getattr(found[kind], score) for found in self.not_a_digit)
                    ).to_dict()
                    for score in ("penalty", "confidence")
                }
                for kind in kinds
            },
            "median_seed": self.median_seed,
            "made_on": self.made_on,
        }

    def save(self, folder: Path) -> None:
        """Write the results beside the experiment's state."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_atomic(folder / f"{self.experiment.name}.json", f"{text}\n".encode())


def finished(folder: Path) -> dict[str, Report]:
    """The results in a folder by the experiment's name.

    Raises
    ------
    RunError
        When a file there is damaged.
    """
    found: dict[str, Report] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            report = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(report, dict) or not report.keys() >= {
            "by_pass",
            "robustness_error_percent",
        }:
            raise RunError(f"{path} is not the results of an experiment; remove it")
        found[path.stem] = report
    return found


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Parameters
    ----------
    what : str
    paper : str
        Empty where the paper prints none.
    ours : str
    band : str
        Where 19 runs of 20 fall: mean ± 2 sd.
    verdict : str
        Empty where there is nothing to compare.
    """

    what: str
    paper: str = ""
    ours: str = ""
    band: str = ""
    verdict: str = ""


def rows(reports: Mapping[str, Report]) -> list[Row]:
    """The table of all experiments finished so far.

    Parameters
    ----------
    reports : dict of str to report
        As `finished` reads them.
    """
    table = []
    plain, distorted = reports.get("plain"), reports.get("distorted")
    missing = "not run"
    if plain:
        table += [
            _error("test error, %", TEST_ERROR, plain["test_error_percent"]),
            _error("training error, %", TRAIN_ERROR, plain["train_error_percent"]),
            _settled(plain),
            _rates(plain),
        ]
    else:
        table.append(Row("test error, %", f"{TEST_ERROR:g}", missing))
    for name, report in reports.items():
        if name.startswith("plain-"):
            what = f"test error from {report['patterns']:,} patterns, %"
            table.append(_error(what, None, report["test_error_percent"]))
    if distorted:
        what = "test error with distortions, %"
        table.append(_error(what, TEST_ERROR_DISTORTED, distorted["test_error_percent"]))
    else:
        table.append(Row("test error with distortions, %", f"{TEST_ERROR_DISTORTED:g}", missing))
    for name, report in reports.items():
        if name.startswith("distorted-"):
            what = f"test error from {report['patterns']:,} patterns with distortions, %"
            table.append(_error(what, None, report["test_error_percent"]))
    shown = plain or next(iter(reports.values()), None)
    return table + (_claims(shown) if shown else [])


def _claims(report: Report) -> list[Row]:
    rejected = report["rejected_percent_for_half_a_percent_error"]
    table = [_error(f"rejected for {100 * ERROR_AFTER_REJECTION:g} % error, %", None, rejected)]
    claims = {
        "scale": ("0.5", "2", "size × {}"),
        "shift": ("-10", "10", "moved by {} px"),
        "rotation": ("-30", "30", "turned by {}°"),
        "noise": ("0.1", "noise in {} of the pixels"),
    }
    for kind, (*sizes, words) in claims.items():
        measured = report["robustness_error_percent"][kind]
        for size in sizes:
            what = f"test error, {words.format(size)}, %"
            table.append(_error(what, None, measured[size]))
    for kind, scores in report["not_a_digit_auroc"].items():
        for score, spread in scores.items():
            what = f"AUROC of digits against {kind}, by {score}"
            table.append(Row(what, ours=_plus_minus(spread, 4)))
    return table


def _error(what: str, paper: float | None, spread: Mapping[str, Any]) -> Row:
    mean, sd = spread["mean"], spread["sd"]
    printed = "" if paper is None else f"{paper:g}"
    if sd is None:
        return Row(what, printed, f"{mean:.2f}")
    low, high = mean - 2 * sd, mean + 2 * sd
    band = f"{max(low, 0):.2f} … {high:.2f}"
    if paper is None:
        verdict = ""
    elif paper < low:
        verdict = "worse"
    elif paper > high:
        verdict = "better"
    else:
        verdict = "reproduced"
    return Row(what, printed, _plus_minus(spread, 2), band, verdict)


def _plus_minus(spread: Mapping[str, Any], digits: int) -> str:
    sd = "" if spread["sd"] is None else f" ± {spread['sd']:.{digits}f}"
    return f"{spread['mean']:.{digits}f}{sd}"


def settled_after(report: Report) -> int:
    """The pass after which the mean test error stays within 0.05 points of the last."""
    means = [spread["mean"] for spread in report["by_pass"]["test_error_percent"]]
    far = [i for i, mean in enumerate(means) if abs(mean - means[-1]) > SETTLED_WITHIN]
    return 1 + (far[-1] + 1 if far else 0)


def _settled(report: Report) -> Row:
    what = "passes until the test error settles"
    return Row(what, f"about {SETTLED_AFTER}", str(settled_after(report)))


def _rates(report: Report) -> Row:
    low, high = report["effective_learning_rates"]
    what = "effective learning rates, first pass"
    return Row(what, f"{RATES[0]:.0e} … {RATES[1]:g}", f"{low:.0e} … {high:.2g}")
