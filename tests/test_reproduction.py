"""A reduced reproduction by the same code path, and what it makes of its numbers."""

import json

import numpy as np
import pytest
import torch

from lenet import reproduction
from lenet.checkpoints import load_checkpoint
from lenet.data.preprocessing import PAPER_1998
from lenet.data.splits import Split, Splits
from lenet.errors import InputError, RunError
from lenet.reproduction import LEARNING_RATES, Experiment, reproduce, rows
from lenet.reproduction.experiment import COPIES, _Pool
from lenet.reproduction.report import finished, settled_after
from lenet.reproduction.studies import letters, not_a_digit, rejection, robustness, share_rejected

pytest.importorskip("halide", reason="replicas run on Halide alone")


def test_the_printed_schedule():
    assert [LEARNING_RATES.count(rate) for rate in (5e-4, 2e-4, 1e-4, 5e-5, 1e-5)] == [
        2,
        3,
        3,
        4,
        8,
    ]
    assert list(LEARNING_RATES) == sorted(LEARNING_RATES, reverse=True)


@pytest.fixture
def small(mnist, monkeypatch):
    """MNIST with few test images."""
    few = Split(mnist.test.images[:300], mnist.test.labels[:300])
    splits = Splits(
        mnist.name,
        mnist.train,
        few,
        few,
        mnist.class_names,
        mnist.preparation,
        mnist.sha256,
    )
    monkeypatch.setattr(reproduction, "load_dataset", lambda *args, **kwargs: splits)
    return splits


def test_a_reduced_reproduction(small, tmp_path):
    seen = []
    found = reproduce(3, 2, subset=1500, folder=tmp_path, on_progress=seen.append)
    assert [round(p.passes, 2) for p in seen] == [0.33, 0.67, 1.0, 1.33, 1.67, 2.0]
    assert seen[-1].seconds_left == pytest.approx(0, abs=0.1)
    assert seen[0].test_error is None
    assert seen[-1].test_error is not None
    report = found.to_dict()
    assert set(report) >= {
        "seeds",
        "passes",
        "patterns",
        "seconds",
        "test_error_percent",
        "train_error_percent",
        "paper",
    }
    assert (report["seeds"], report["passes"], report["patterns"]) == (3, 2, 1500)
    values = report["test_error_percent"]["values"]
    assert len(values) == 3
    assert report["test_error_percent"]["mean"] == pytest.approx(np.mean(values))
    assert report["test_error_percent"]["sd"] == pytest.approx(np.std(values, ddof=1))
    # It has learnt: chance is 90.
    assert report["test_error_percent"]["mean"] < 30
    assert report["train_error_percent"]["mean"] < 30
    low, high = report["effective_learning_rates"]
    assert 0 < low < high <= LEARNING_RATES[0] / 0.02
    assert json.loads((tmp_path / "plain-1500.json").read_text()) == report
    for figure in ("figure-5-passes", "figure-8-mistakes-plain-1500", "figure-10-rejection"):
        assert (tmp_path / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    # The network that is shown is the median one, and predicts as it was measured.
    median = report["median_seed"]
    assert sorted(values)[1] == values[median]
    shown = load_checkpoint(tmp_path / f"plain-1500-seed-{median}.safetensors")
    with torch.no_grad():
        answers = shown.network(torch.from_numpy(PAPER_1998.apply(small.test.images))).argmax(1)
    wrong = (answers.numpy() != small.test.labels).mean()
    assert 100 * wrong == pytest.approx(values[median], abs=1e-6)
    # Run again: nothing is trained anew.
    again = []
    assert reproduce(3, 2, subset=1500, folder=tmp_path, on_progress=again.append).to_dict() == (
        report
    )
    assert again == []


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
    np.testing.assert_array_equal(parts.test_error, whole.test_error)
    np.testing.assert_array_equal(parts.train_error, whole.train_error)
    np.testing.assert_array_equal(parts.final_train_error, whole.final_train_error)
    assert parts.rates == whole.rates


def test_a_folder_belongs_to_its_settings(small, tmp_path):
    reproduce(2, 1, subset=200, folder=tmp_path)
    with pytest.raises(RunError, match="another seeds"):
        reproduce(3, 1, subset=200, folder=tmp_path)
    # Another experiment lives beside it.
    reproduce(2, 1, subset=100, folder=tmp_path, distortions=True)
    assert set(finished(tmp_path)) == {"plain-200", "distorted-100"}
    (tmp_path / "plain-200.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="not an experiment's state"):
        reproduce(2, 1, subset=200, folder=tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"seeds": 0}, {"passes": 0}, {"passes": 21}, {"subset": 0}, {"mu": 0.0}], ids=str
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Experiment(**wrong)


def test_more_patterns_than_there_are(small, tmp_path):
    with pytest.raises(InputError, match="55000"):
        reproduce(1, 1, subset=55_001, folder=tmp_path)


def test_every_pattern_once_a_pass_in_one_order():
    pool = _Pool(Experiment(seeds=2), 50)
    first, matrices = pool.patterns(0, slice(0, 50))
    assert matrices is None
    for seed in range(2):
        assert sorted(first[:, seed]) == list(range(50))
    assert not np.array_equal(first[:, 0], first[:, 1])
    np.testing.assert_array_equal(pool.patterns(7, slice(0, 50))[0], first)
    sample, _ = pool.sample(0)
    assert not np.array_equal(sample, pool.sample(1)[0])


def test_distorted_copies_are_seen_as_often_as_the_originals():
    experiment = Experiment(seeds=1, distortions=reproduction.DISTORTIONS)
    pool = _Pool(experiment, 40)
    parts = [pool.patterns(number, slice(0, 40)) for number in range(20)]
    seen = np.concatenate([order[:, 0] for order, _ in parts])
    # Twenty passes of 40: every pattern twenty times, twice as it is and eighteen times distorted.
    assert np.bincount(seen).tolist() == [20] * 40
    matrices = np.concatenate([m[:, 0] for _, m in parts])
    plain = (matrices == np.array([[1, 0, 0], [0, 1, 0]])).all((1, 2))
    assert plain.sum() == 2 * 40
    assert np.bincount(seen[plain]).tolist() == [2] * 40
    distinct = np.unique(matrices.reshape(-1, 6), axis=0)
    assert len(distinct) == 1 + COPIES * 40


def test_rejection_by_the_gap():
    # Gaps 1, 2, 3, 4; the first and the third are wrong.
    scores = np.array([[1, 0], [0, 2], [3, 0], [0, 4]], np.float32)
    labels = np.array([1, 1, 1, 1])
    np.testing.assert_allclose(rejection(scores, labels), [1 / 2, 1 / 3, 1 / 2, 0])
    assert share_rejected(scores, labels, 0.4) == 0.25
    assert share_rejected(scores, labels, 0.0) == 0.75
    assert share_rejected(scores, 1 - labels, -1.0) == 1.0


def test_robustness_moves_what_it_says():
    ink = np.zeros((1, 28, 28), np.uint8)
    ink[0, 8:20, 8:20] = 200
    seen = []

    def score(changed):
        seen.append(changed[0].astype(float))
        return np.array([[1.0, 0.0]], np.float32)

    found = robustness([score], ink, np.array([0]))
    assert {kind: list(sizes) for kind, sizes in found.items()}["scale"][0] == 0.4
    pictures = iter(seen)

    def centre(picture):
        rows, columns = np.nonzero(picture > 100)
        return rows.mean(), columns.mean()

    for scale in found["scale"]:
        # Where it is sampled shrunken, and what leaves the frame enlarged: not to the last pixel.
        area = next(pictures).sum() / ink.sum()
        assert area == pytest.approx(scale**2, rel=0.15)
    for shift in found["shift"]:
        moved = centre(next(pictures))
        if abs(shift) <= 8:  # further, part of it leaves the frame
            assert moved == (13.5 + shift, 13.5)
    turned = [next(pictures) for _ in found["rotation"]]
    assert all(picture.sum() == pytest.approx(ink.sum(), rel=0.05) for picture in turned)
    shares = [(next(pictures) != ink[0]).mean() for _ in found["noise"]]
    assert shares == pytest.approx(list(found["noise"]), abs=0.05)
    assert all(rate == [0.0] for sizes in found.values() for rate in sizes.values())


def test_a_score_that_knows_and_one_that_does_not():
    def score(ink):
        # Digits here are bright: near their code, and no surer than the others.
        penalty = np.where(ink.mean((1, 2)) > 100, 1.0, 50.0)[:, None]
        return -(penalty + np.array([[0.0, 3.0]])).astype(np.float32)

    digits = np.full((5, 28, 28), 200, np.uint8)
    found = not_a_digit(score, digits, {"dark": np.zeros((4, 28, 28), np.uint8)})
    assert found["dark"].penalty == 1.0
    assert found["dark"].confidence == pytest.approx(0.5)


def test_letters_are_prepared_as_digits_are():
    drawn = letters()
    assert drawn.shape[1:] == (28, 28)
    assert len(drawn) == len(np.unique(drawn.reshape(len(drawn), -1), axis=0)) > 100
    boxes = [np.ptp(np.nonzero(letter)[0]) + 1 for letter in drawn]
    assert max(boxes) <= 22


def report(values, by_pass, patterns=60_000):
    spread = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "values": values}
    same = {"mean": 1.0, "sd": 0.1, "values": [0.9, 1.1]}
    return {
        "patterns": patterns,
        "test_error_percent": spread,
        "train_error_percent": same,
        "by_pass": {"test_error_percent": [{"mean": m, "sd": 0.1} for m in by_pass]},
        "effective_learning_rates": [7e-5, 0.016],
        "rejected_percent_for_half_a_percent_error": same,
        "robustness_error_percent": {
            kind: dict.fromkeys(("0.5", "2", "-10", "10", "-30", "30", "0.1"), same)
            for kind in ("scale", "shift", "rotation", "noise")
        },
        "not_a_digit_auroc": {"noise": {"penalty": same, "confidence": same}},
    }


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([0.9, 1.0, 1.1], "reproduced"), ([0.6, 0.61, 0.62], "better"), ([1.4, 1.41], "worse")],
)
def test_verdicts(values, verdict):
    table = {row.what: row for row in rows({"plain": report(values, [2.0, 1.0])})}
    row = table["test error, %"]
    assert row.verdict == verdict
    assert row.paper == "0.95"
    assert table["test error with distortions, %"].ours == "not run"


def test_experiments_in_one_folder_share_a_table():
    table = {
        row.what: row
        for row in rows(
            {
                "plain": report([0.9, 1.0], [1.0]),
                "plain-15000": report([1.7, 1.8], [1.0], 15_000),
                "distorted": report([0.7, 0.8], [1.0]),
            }
        )
    }
    assert table["test error from 15,000 patterns, %"].ours == "1.75 ± 0.07"
    assert table["test error with distortions, %"].verdict == "reproduced"


def test_where_the_error_settles():
    assert settled_after(report([1, 1.1], [3.0, 1.2, 1.04, 0.97, 1.0])) == 3
    assert settled_after(report([1, 1.1], [1.0, 1.0])) == 1
