"""The paper's numbers and ours, line by line."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lenet.reproduction.experiment import PASSES
from lenet.reproduction.results import (
    TEST_ERROR,
    TEST_ERROR_DISTORTED,
    TRAIN_ERROR,
    Results,
    Spread,
)
from lenet.reproduction.studies import ERROR_AFTER_REJECTION

# Paper: Sec. III.B and C, Fig. 5.
SETTLED_AFTER = 10
RATES = (7e-5, 0.016)
SETTLED_WITHIN = 0.05
"""Percentage points: five test digits of 10,000."""

# Paper: Sec. III.E names these limits of what is still recognised.
_ROBUSTNESS = {
    "scale": ((0.5, 2.0), "size × {:g}"),
    "shift": ((-10.0, 10.0), "moved by {:g} px"),
    "rotation": ((-30.0, 30.0), "turned by {:g}°"),
    "noise": ((0.1,), "noise in {:g} of the pixels"),
}


@dataclass(frozen=True)
class Comparison:
    """A line of the table.

    Parameters
    ----------
    what : str
    paper : str
        Empty where the paper prints none.
    ours : str
        Mean ± sd over the seeds, or why there is none.
    band : str
        Where 19 experiments of 20 fall: mean ± 2 sd.
    verdict : str
        Empty where there is nothing to compare; what was cut short, where something was.
    """

    what: str
    paper: str = ""
    ours: str = ""
    band: str = ""
    verdict: str = ""


def compare(results: Mapping[str, Results]) -> list[Comparison]:
    """The table of all experiments finished so far.

    Parameters
    ----------
    results : dict of str to Results
        By name, as `read_results` returns them.
    """
    plain, distorted = results.get("plain"), results.get("distorted")
    table = [_test_error("test error, %", TEST_ERROR, plain)]
    if plain:
        error = _error("training error, %", TRAIN_ERROR, plain.train_error_percent)
        table += [_marked(line, plain) for line in (error, _settled(plain), _rates(plain))]
    table += _subsets(results, "plain-", "test error from {:,} patterns, %")
    what = "test error with distortions, %"
    table.append(_test_error(what, TEST_ERROR_DISTORTED, distorted))
    table += _subsets(results, "distorted-", "test error from {:,} patterns with distortions, %")
    name = "plain" if plain else next(iter(results), None)
    if name is not None:
        subset = results[name].patterns if "-" in name else None
        table += [_marked(line, results[name], subset) for line in _claims(results[name])]
    return table


def _marked(line: Comparison, results: Results, subset: int | None = None) -> Comparison:
    """The line, which says so where the run was shorter than the printed one: no verdict then."""
    marks = [f"{subset:,} patterns"] if subset else []
    if results.passes < PASSES:
        marks.append(f"{results.passes} of {PASSES} passes")
    return replace(line, verdict=", ".join(marks)) if marks else line


def _subsets(results: Mapping[str, Results], prefix: str, what: str) -> list[Comparison]:
    return [
        _test_error(what.format(found.patterns), None, found)
        for name, found in results.items()
        if name.startswith(prefix)
    ]


def _claims(results: Results) -> list[Comparison]:
    """What the paper says of a trained network beside its error."""
    what = f"rejected for {100 * ERROR_AFTER_REJECTION:g} % error, %"
    table = [_error(what, None, results.rejected_percent)]
    for kind, by_size in results.robustness_error_percent.items():
        sizes, words = _ROBUSTNESS[kind]
        for size in sizes:
            table.append(_error(f"test error, {words.format(size)}, %", None, by_size[size]))
    for kind, why in results.left_out.items():
        table.append(Comparison(f"AUROC of digits against {kind}", ours=f"not measured: {why}"))
    for kind, by_score in results.not_a_digit_auroc.items():
        for score, spread in by_score.items():
            what = f"AUROC of digits against {kind}, by {score}"
            table.append(Comparison(what, ours=_plus_minus(spread, 4)))
    return table


def _test_error(what: str, paper: float | None, results: Results | None) -> Comparison:
    if results is None:
        return Comparison(what, "" if paper is None else f"{paper:g}", "not run")
    return _marked(_error(what, paper, results.test_error_percent), results)


def _error(what: str, paper: float | None, spread: Spread) -> Comparison:
    printed = "" if paper is None else f"{paper:g}"
    mean, sd = spread.mean, spread.sd
    if sd is None:
        return Comparison(what, printed, f"{mean:.2f}")
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
    return Comparison(what, printed, _plus_minus(spread, 2), band, verdict)


def _plus_minus(spread: Spread, digits: int) -> str:
    sd = "" if spread.sd is None else f" ± {spread.sd:.{digits}f}"
    return f"{spread.mean:.{digits}f}{sd}"


def settled_after(results: Results) -> int:
    """The pass after which the mean test error stays within 0.05 points of the last."""
    means = [spread.mean for spread in results.test_error_percent_by_pass]
    far = [i for i, mean in enumerate(means) if abs(mean - means[-1]) > SETTLED_WITHIN]
    return 1 + (far[-1] + 1 if far else 0)


def _settled(results: Results) -> Comparison:
    what = "passes until the test error settles"
    return Comparison(what, f"about {SETTLED_AFTER}", str(settled_after(results)))


def _rates(results: Results) -> Comparison:
    low, high = results.effective_learning_rates
    what = "effective learning rates, first pass"
    return Comparison(what, f"{RATES[0]:.0e} … {RATES[1]:g}", f"{low:.0e} … {high:.2g}")
