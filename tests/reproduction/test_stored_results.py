"""Results are read back as they were written: made-up ones, and those that are published."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from lenet.errors import InputError, RunError
from lenet.reproduction import DISTORTIONS, Experiment, Results, Spread, read_results
from lenet.reproduction.results import write_results

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "results" / "1998").glob("*.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_file_comes_back_to_the_byte(path, tmp_path):
    results = read_results(path.parent)[path.stem]
    write_results(tmp_path / "again.json", results)
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_four_experiments_are_published():
    names = [path.stem for path in PUBLISHED]
    assert names == ["distorted", "plain-15000", "plain-30000", "plain"]
    results = read_results(PUBLISHED[0].parent)
    assert results["distorted"].settings.distortions == DISTORTIONS
    assert results["plain-15000"].patterns == 15_000
    assert {(found.seeds, found.passes) for found in results.values()} == {(16, 20)}


def test_the_round_trip_keeps_what_was_left_out(made_up):
    settings = Experiment(distortions=DISTORTIONS, rubbish_penalty=None).settings
    results = made_up(settings=settings, left_out={"garments": "not here"})
    told = json.loads(json.dumps(results.to_dict()))
    assert Results.from_dict(told) == results
    assert told["left_out"] == {"garments": "not here"}
    assert told["paper"] == {"test_error_percent": 0.8, "train_error_percent": None}


def test_nothing_left_out_is_not_mentioned(made_up):
    assert "left_out" not in made_up().to_dict()


@pytest.mark.parametrize("text", ["[]", "{}", '{"by_pass": 3}', "null", '"plain"'])
def test_another_file_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "plain.json"
    path.write_text(text)
    with pytest.raises(RunError, match=re.escape(f"{path} is not the results of an experiment")):
        read_results(tmp_path)


def test_a_damaged_file_is_refused_by_its_name(tmp_path, made_up):
    path = tmp_path / "plain.json"
    write_results(path, made_up())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match="cannot be read"):
        read_results(tmp_path)


def test_a_spread_is_the_sample_one():
    assert Spread((1.0, 3.0)).to_dict() == {"mean": 2.0, "sd": 2**0.5, "values": [1.0, 3.0]}
    assert Spread((1.0,)).sd is None
    with pytest.raises(InputError, match="at least one seed"):
        Spread(())


def test_published_choices_stand_in_the_order_they_are_written_in():
    source = ROOT / "experiments" / "choices_1998.py"
    spec = importlib.util.spec_from_file_location("choices_1998", source)
    choices = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(choices)
    stored = json.loads(choices.TARGET.read_text("utf-8"))
    assert list(stored) == [name for name in choices.CHOICES if name in stored]
    backwards = dict(reversed([*stored.items(), ("tried once", {})]))
    assert list(choices.in_order(backwards)) == [*stored, "tried once"]
