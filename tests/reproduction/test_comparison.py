"""What the table says of made-up results."""

import pytest

from lenet.reproduction import compare
from lenet.reproduction.comparison import settled_after

FULL = [2.0] * 19  # the errors of all passes but the last


def table_of(results):
    return {line.what: line for line in compare(results)}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([0.9, 1.0, 1.1], "reproduced"), ([0.6, 0.61, 0.62], "better"), ([1.4, 1.41], "worse")],
)
def test_verdicts(made_up, values, verdict):
    table = table_of({"plain": made_up(values, FULL)})
    line = table["test error, %"]
    assert line.verdict == verdict
    assert line.paper == "0.95"
    assert table["test error with distortions, %"].ours == "not run"


def test_one_seed_has_no_band_and_no_verdict(made_up):
    line = table_of({"plain": made_up([0.95], FULL)})["test error, %"]
    assert (line.ours, line.band, line.verdict) == ("0.95", "", "")


def test_experiments_in_one_folder_share_a_table(made_up):
    table = table_of(
        {
            "plain": made_up([0.9, 1.0]),
            "plain-15000": made_up([1.7, 1.8], patterns=15_000),
            "distorted": made_up([0.7, 0.8], FULL),
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


def test_a_run_cut_short_says_so_beside_the_printed_numbers(made_up):
    table = table_of({"plain": made_up([0.9, 1.0, 1.1], [2.0, 1.5])})
    assert table["test error, %"].ours == "1.00 ± 0.10"
    paper = [line for line in table.values() if line.paper and line.ours != "not run"]
    assert {line.verdict for line in paper} == {"3 of 20 passes"}
    assert table["rejected for 0.5 % error, %"].verdict == "3 of 20 passes"


def test_what_a_subset_says_of_the_paper_names_its_patterns(made_up):
    table = table_of({"plain-15000": made_up([1.7, 1.8], FULL, patterns=15_000)})
    assert table["test error from 15,000 patterns, %"].verdict == ""
    assert table["rejected for 0.5 % error, %"].verdict == "15,000 patterns"


def test_only_studies_that_were_made_have_a_line(made_up):
    kinds = made_up().robustness_error_percent
    some = made_up(robustness_error_percent={"noise": kinds["noise"]}, not_a_digit_auroc={})
    lines = table_of({"plain": some})
    assert "test error, noise in 0.1 of the pixels, %" in lines
    assert not any("AUROC" in what or "turned" in what for what in lines)
