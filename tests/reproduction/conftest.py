"""Results that nobody measured, to compare and to draw."""

from dataclasses import replace

import pytest

from lenet.reproduction import Experiment, Results, Spread

SAME = Spread((0.9, 1.1))


def made_up(test_error=(0.9, 1.1), by_pass=(), **changes):
    """Results with these test errors after the last pass, and such means before it."""
    last = Spread(tuple(test_error))
    results = Results(
        patterns=60_000,
        seconds=12.5,
        settings=Experiment().settings,
        test_error_percent_by_pass=(*(Spread((mean, mean)) for mean in by_pass), last),
        train_error_percent_by_pass=(SAME,) * (len(by_pass) + 1),
        train_error_percent=SAME,
        gflops=90.0,
        weights_gb_per_second=60.0,
        effective_learning_rates=(7e-5, 0.016),
        rejected_percent=SAME,
        error_percent_by_share_rejected=(0.9, 0.5, 0.2),
        robustness_error_percent={
            "scale": {0.5: SAME, 2.0: SAME},
            "shift": {-10.0: SAME, 10.0: SAME},
            "rotation": {-30.0: SAME, 30.0: SAME},
            "noise": {0.1: SAME},
        },
        not_a_digit_auroc={"noise": {"penalty": SAME, "confidence": SAME}},
        median_seed=1,
        made_on={"machine": "a machine", "threads": 2, "versions": {"python": "3.12"}},
    )
    return replace(results, **changes)


@pytest.fixture(name="made_up")
def made_up_fixture():
    """The function `made_up`."""
    return made_up
