"""What the table says of made-up results."""

import pytest

from lenet.reproduction import compare
from lenet.reproduction.comparison import settled_after


def table_of(results):
    return {line.what: line for line in compare(results)}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([0.9, 1.0, 1.1], "reproduced"), ([0.6, 0.61, 0.62], "better"), ([1.4, 1.41], "worse")],
)
def test_verdicts(made_up, values, verdict):
    table = table_of({"plain": made_up(values, [2.0])})
    line = table["test error, %"]
    assert line.verdict == verdict
    assert line.paper == "0.95"
    assert table["test error with distortions, %"].ours == "not run"


def test_one_seed_has_no_band_and_no_verdict(made_up):
    line = table_of({"plain": made_up([0.95])})["test error, %"]
    assert (line.ours, line.band, line.verdict) == ("0.95", "", "")


def test_experiments_in_one_folder_share_a_table(made_up):
    table = table_of(
        {
            "plain": made_up([0.9, 1.0]),
            "plain-15000": made_up([1.7, 1.8], patterns=15_000),
            "distorted": made_up([0.7, 0.8]),
        }
    )
    assert table["test error from 15,000 patterns, %"].ours == "1.75 ± 0.07"
    assert table["test error with distortions, %"].verdict == "reproduced"


def test_a_row_that_is_missing_says_why(made_up):
    results = made_up(left_out={"garments": "Fashion-MNIST is missing"})
    line = table_of({"plain": results})["AUROC of digits against garments"]
    assert line.ours == "not measured: Fashion-MNIST is missing"


def test_nothing_run_yet():
    assert [line.ours for line in compare({})] == ["not run", "not run"]


def test_where_the_error_settles(made_up):
    assert settled_after(made_up([1.0, 1.0], [3.0, 1.2, 1.04, 0.97])) == 3
    assert settled_after(made_up([1.0, 1.0], [1.0])) == 1
