"""A reduced reproduction by the same code path: trained, measured, kept, drawn, continued."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lenet.checkpoints import load_checkpoint
from lenet.data.downloads import explain_absence
from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split
from lenet.errors import InputError, RunError
from lenet.reproduction import LEARNING_RATES, protocol, read_results, reproduce
from lenet.reproduction.studies import STUDIES

pytest.importorskip("halide", reason="replicas run on Halide alone")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(mnist):
    """MNIST with few test images."""
    few = Split(mnist.test.images[:300], mnist.test.labels[:300])
    splits = replace(mnist, validation=few, test=few)
    grey = Split(np.full((5, 28, 28), 128, np.uint8), np.arange(5))
    here = {"mnist": splits, "fashion-mnist": replace(mnist, test=grey)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "load_dataset", lambda name, **_: here[name])
        patch.setattr(protocol, "explain_absence", lambda name: "")
        yield splits


@pytest.fixture(scope="module")
def reduced(small, tmp_path_factory):
    """Three seeds, two passes over 1,500 patterns: results, folder and what was announced."""
    folder, seen = tmp_path_factory.mktemp("reduced"), []
    results = reproduce(3, 2, subset=1500, folder=folder, studies=STUDIES, on_progress=seen.append)
    return results, folder, seen


def stages_of(seen):
    """The stages in their order, each with the shares that were told of it."""
    stages = {}
    for progress in seen:
        stages.setdefault(progress.stage, []).append(progress.share)
    return stages


def test_passes_are_told_as_they_go_on(reduced):
    seen = reduced[2]
    training = [p for p in seen if p.stage.startswith("pass ")]
    done = [0, 0.33, 0.67, 1, 1, 1.33, 1.67, 2]
    assert [round(p.passes, 2) for p in training] == done
    assert training[-1].seconds_left == 0
    assert training[0].test_error is None
    assert training[-1].test_error == pytest.approx(
        reduced[0].test_error_percent_by_pass[0].mean / 100
    )
    assert seen[-1].test_error == pytest.approx(reduced[0].test_error_percent.mean / 100)


def test_time_left_does_not_know_of_compiling(reduced):
    seen = reduced[2]
    names = list(stages_of(seen))
    compiling = [f"compiling for this processor, {number} of 2" for number in (1, 2)]
    first = ["making 3 networks", *compiling, "curvature before pass 1"]
    assert names[:4] == first
    before = [p for p in seen if p.stage in first]
    assert {p.seconds_left for p in before} == {None}


def test_what_follows_the_passes_has_a_time_left_of_its_own(reduced):
    after = [p for p in reduced[2] if p.stage == "test errors after pass 2"]
    assert [round(p.share, 2) for p in after] == [0, 0.33, 0.67, 1]
    assert [p.seconds_left is None for p in after] == [True, False, False, False]
    assert after[-1].seconds_left == 0
    between = [p for p in reduced[2] if p.stage == "test errors after pass 1"]
    assert all(p.seconds_left > 0 for p in between)  # of the passes to come


def test_every_stage_goes_from_nothing_to_all(reduced):
    results, _, seen = reduced
    stages = stages_of(seen)
    for name, shares in stages.items():
        assert shares == sorted(shares), name
        assert shares[0] == 0
        assert shares[-1] == 1 or name in ("making 3 networks", "drawing the figures")
    text = "\n".join(stages)
    for word in ("training patterns", *results.robustness_error_percent, "letters", "figures"):
        assert word in text


def test_a_subset_has_no_studies_unless_they_are_asked_for(small, tmp_path):
    seen = []
    results = reproduce(1, 1, subset=50, folder=tmp_path, on_progress=seen.append)
    assert (results.robustness_error_percent, results.not_a_digit_auroc) == ({}, {})
    assert not any("changes of" in stage or "told from" in stage for stage in stages_of(seen))
    assert read_results(tmp_path) == {"plain-50": results}


def test_an_unknown_study_is_refused_before_anything_is_done(small, tmp_path):
    with pytest.raises(InputError, match=r"no study 'rotatoin'.*did you mean 'rotation'"):
        reproduce(1, 1, subset=50, folder=tmp_path, studies=["rotatoin"])
    assert list(tmp_path.iterdir()) == []


def test_the_results_are_those_of_the_run(reduced):
    results = reduced[0]
    assert (results.seeds, results.passes, results.patterns) == (3, 2, 1500)
    assert len(results.test_error_percent.values) == 3
    low, high = results.effective_learning_rates
    assert 0 < low < high <= LEARNING_RATES[0] / results.settings.mu
    assert results.seconds > 0
    assert set(results.made_on) == {"machine", "threads", "versions"}


def test_it_has_learnt(reduced):
    assert reduced[0].test_error_percent.mean < 30  # chance is 90
    assert reduced[0].train_error_percent.mean < 30


def test_the_file_holds_the_results(reduced):
    results, folder, _ = reduced
    assert read_results(folder) == {"plain-1500": results}
    assert json.loads((folder / "plain-1500.json").read_text()) == results.to_dict()


def test_the_figures_are_drawn(reduced):
    for figure in ("figure-5-passes", "figure-8-mistakes-plain-1500", "figure-10-rejection"):
        assert (reduced[1] / f"{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_the_network_that_is_kept_is_the_median_one(reduced, small):
    results, folder, _ = reduced
    values = results.test_error_percent.values
    assert sorted(values)[1] == values[results.median_seed]
    shown = load_checkpoint(folder / f"plain-1500-seed-{results.median_seed}.safetensors")
    with torch.no_grad():
        answers = shown.network(torch.from_numpy(PAPER_1998.apply(small.test.images))).argmax(1)
    wrong = (answers.numpy() != small.test.labels).mean()
    assert shown.metadata["seed"] == results.median_seed
    assert 100 * wrong == pytest.approx(values[results.median_seed], abs=1e-6)


def test_run_again_nothing_is_trained_anew(reduced):
    results, folder, _ = reduced
    seen = []
    again = reproduce(3, 2, subset=1500, folder=folder, studies=STUDIES, on_progress=seen.append)
    assert again == results
    assert not any(stage.startswith("pass ") for stage in stages_of(seen))


def test_interrupted_it_goes_on_where_it_was(small, tmp_path):
    whole = reproduce(2, 3, subset=300, folder=tmp_path / "whole")

    class Interrupted(Exception):
        pass

    def interrupt(progress):
        if progress.passes > 1.5:
            raise Interrupted

    with pytest.raises(Interrupted):
        reproduce(2, 3, subset=300, folder=tmp_path / "parts", on_progress=interrupt)
    parts = reproduce(2, 3, subset=300, folder=tmp_path / "parts")
    # All but the clock's part.
    clock = {"seconds": 0.0, "gflops": 0.0, "weights_gb_per_second": 0.0}
    assert replace(parts, **clock) == replace(whole, **clock)


def test_a_folder_belongs_to_its_settings(small, tmp_path):
    reproduce(2, 1, subset=200, folder=tmp_path)
    with pytest.raises(RunError, match="another seeds"):
        reproduce(3, 1, subset=200, folder=tmp_path)
    # Another experiment lives beside it.
    reproduce(2, 1, subset=100, folder=tmp_path, distortions=True)
    assert set(read_results(tmp_path)) == {"plain-200", "distorted-100"}
    (tmp_path / "plain-200.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="not an experiment's state"):
        reproduce(2, 1, subset=200, folder=tmp_path)


def test_more_patterns_than_there_are(small, tmp_path):
    with pytest.raises(InputError, match="55000"):
        reproduce(1, 1, subset=55_001, folder=tmp_path)


def test_garments_that_are_here_are_used(reduced):
    results = reduced[0]
    assert set(results.not_a_digit_auroc) == {"garments", "letters", "noise", "blank"}
    assert results.left_out == {}


def test_garments_that_are_not_here_are_left_out_and_said(small, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_DATA", str(tmp_path))
    monkeypatch.setenv("LENET_CACHE", str(tmp_path))
    monkeypatch.setattr(protocol, "explain_absence", explain_absence)
    seen = []
    results = reproduce(
        1, 1, subset=50, folder=tmp_path / "out", studies=["others"], on_progress=seen.append
    )
    why = "fashion-mnist is missing, `lenet data get fashion-mnist` fetches it"
    assert results.left_out == {"garments": why}
    assert "garments" not in results.not_a_digit_auroc
    assert any(why in stage for stage in stages_of(seen))
