"""Cross-validation: a run for each fold, again the same after an interruption."""

import json

import numpy as np
import pytest

import lenet
from lenet.engines import select_engine
from lenet.errors import DataError, RunError
from lenet.runs import create_run


def cross_validate(out, **options):
    changes = {"epochs": 1, "batch_size": 128, **options.pop("changes", {})}
    engine = select_engine("torch", "cpu")
    return lenet.cross_validate(
        "digits", "tutorial", folds=3, changes=changes, out=out, engine=engine,
        verbose=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def result(out):
    return cross_validate(out)


def test_every_fold_has_a_run_and_the_figures_are_theirs(result, out):
    names = [f"digits-tutorial-fold-{number}-of-3" for number in (1, 2, 3)]
    assert sorted(folder.name for folder in out.iterdir()) == names
    assert [run.folder.name for run in result.runs] == names
    whole = lenet.load_dataset("digits")
    assert result.n_images == len(whole.train) + len(whole.validation)
    assert result.n_errors == sum(run.results["test_errors"] for run in result.runs)
    assert result.mean == np.mean([run.results["test_accuracy"] for run in result.runs])
    assert result.deviation == np.std(result.accuracies, ddof=1)
    low, high = result.interval
    assert low < 1 - result.n_errors / result.n_images < high
    assert result.to_dict()["folds"] == [run.results for run in result.runs]
    assert "of 3 folds: accuracy" in repr(result)
    assert "--fold" not in result.runs[0].command or "1/3" in result.runs[0].command


def test_a_run_is_opened_again_on_its_own_fold(result):
    again = lenet.runs.open_run(result.runs[1].folder)
    assert np.array_equal(again.splits.test.images, result.runs[1].splits.test.images)


def test_what_is_there_already_is_not_trained_again(result, out, monkeypatch):
    monkeypatch.setattr("lenet.runs.lifecycle.train", pytest.fail)
    assert cross_validate(out).to_dict() == result.to_dict()


def test_a_fold_that_is_missing_is_trained_to_the_same_bits(result, tmp_path):
    engine = select_engine("torch", "cpu")
    changes = {"epochs": 1, "batch_size": 128}
    create_run(
        "digits", "tutorial", changes=changes, fold="2/3", out=tmp_path,
        name="digits-tutorial-fold-2-of-3", engine=engine,
    )  # fmt: skip
    again = cross_validate(tmp_path)
    for one, other in zip(result.runs, again.runs, strict=True):
        file = "model.safetensors"
        assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes()


def test_runs_of_other_settings_are_left_alone(result, out):
    with pytest.raises(RunError, match="holds a run of other settings"):
        cross_validate(out, changes={"epochs": 2})


def test_what_cannot_be_dealt_is_refused(tmp_path):
    with pytest.raises(DataError, match="such as 2/5"):
        lenet.cross_validate("digits", folds=1, out=tmp_path)


def test_the_command(lenet_command, tmp_path):
    arguments = ("train", "--folds", 2, "--epochs", 1, "--network", "tutorial", "--out", tmp_path)
    shown = lenet_command(*arguments)
    assert shown.code == 0, shown.err
    assert "digits-tutorial-fold-2-of-2" in shown.out
    assert "standard deviation of the folds" in shown.out
    again = lenet_command(*arguments, "--json")
    assert [fold["network"] for fold in json.loads(again.out)["folds"]] == ["tutorial"] * 2
    assert lenet_command("train", "--folds", 1).code == 2
