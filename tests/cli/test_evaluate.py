"""`lenet evaluate`: counts, text, figures, and what it refuses."""

import shutil

import pytest
from PIL import Image

from lenet.cli import options

EVALUATE_KEYS = [
    "weights", "data", "split", "n_images", "n_errors", "accuracy", "interval", "loss",
    "calibration", "per_class", "confusion", "rejection", "mistakes",
]  # fmt: skip


def test_json_has_exactly_the_promised_keys_and_counts_every_image(
    lenet_command, weights, finished
):
    result = lenet_command("evaluate", "--weights", weights, "--data", "digits", "--json")
    assert result.code == 0, result.err
    found = result.json
    assert list(found) == EVALUATE_KEYS
    assert found["n_images"] == 359 == sum(map(sum, found["confusion"]))
    assert found["accuracy"] == pytest.approx(finished.json["test_accuracy"])
    assert found["n_errors"] == round((1 - found["accuracy"]) * 359)
    assert [one["name"] for one in found["per_class"]] == list("0123456789")
    assert set(found["per_class"][0]) == {"name", "precision", "recall", "f1", "support"}


def test_rejection_begins_with_all_the_answers(lenet_command, weights):
    found = lenet_command("evaluate", "--weights", weights, "--data", "digits", "--json").json
    first, *others = found["rejection"]
    assert first == {"rejected": 0, "error_rate": pytest.approx(1 - found["accuracy"])}
    assert others[-1]["rejected"] > others[0]["rejected"] > 0
    assert others[-1]["error_rate"] <= first["error_rate"]


def test_json_holds_the_loss_the_interval_and_the_calibration(lenet_command, weights):
    found = lenet_command("evaluate", "--weights", weights, "--data", "digits", "--json").json
    low, high = found["interval"]
    assert 0 < low < found["accuracy"] < high < 1
    assert found["loss"] > 0
    assert sum(one["count"] for one in found["calibration"]["bins"]) == 359
    assert any(one["accuracy"] is None for one in found["calibration"]["bins"])


def test_parts_differ(lenet_command, weights):
    sizes = {
        part: lenet_command("evaluate", "--weights", weights, "--split", part, "--json").json[
            "n_images"
        ]
        for part in options.SPLITS
    }
    assert sum(sizes.values()) == 1797
    assert sizes["train"] > sizes["test"] > sizes["validation"]


def test_text(lenet_command, weights):
    result = lenet_command("evaluate", "--weights", weights)
    assert result.code == 0
    for word in (
        "accuracy",
        "95 % interval",
        "precision",
        "recall",
        "F1",
        "most confused",
        "calibration",
    ):
        assert word in result.out


def test_figures_on_request(lenet_command, weights, tmp_path):
    folder = tmp_path / "new" / "figures"
    result = lenet_command("evaluate", "--weights", weights, "--figures", folder)
    assert result.code == 0
    assert {path.name for path in folder.iterdir()} == {
        "confusion.png", "calibration.png", "mistakes.png", "filters.png",
    }  # fmt: skip


def test_other_classes_are_refused(lenet_command, weights, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("L", (30, 30), 20 * i).save(tmp_path / "pets" / name / f"{i}.png")
    result = lenet_command("evaluate", "--weights", weights, "--data", tmp_path / "pets")
    assert result.code == 2
    assert "pets has the classes cat, dog" in result.err


@pytest.fixture(scope="module")
def own(lenet_command, tmp_path_factory):
    """A folder of pictures, and a run on it."""
    place = tmp_path_factory.mktemp("own")
    for name, left in (("left", 4), ("right", 26)):
        (place / "bars" / name).mkdir(parents=True)
        for i in range(20):
            picture = Image.new("L", (40, 40), 235 + i)
            picture.paste(10 + i, (left, 6, left + 8, 34))
            picture.save(place / "bars" / name / f"{i}.png")
    result = lenet_command(
        "train", "--data", place / "bars", "--preparation", "plain", "--network", "tutorial",
        "--epochs", 40, "--out", place / "runs", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    return place / "bars", result.json


def test_the_worst_mistakes_are_listed(lenet_command, weights):
    found = lenet_command("evaluate", "--weights", weights, "--data", "digits", "--json").json
    assert len(found["mistakes"]) == found["n_errors"] > 0
    sure = [one["truth_probability"] for one in found["mistakes"]]
    assert sure == sorted(sure)
    assert all(one["file"] is None and one["truth"] != one["answer"] for one in found["mistakes"])


def test_mistakes_in_a_folder_have_their_files(lenet_command, own, tmp_path):
    """The classes' folders change places, so that every answer is wrong."""
    folder, run = own
    for name, other in (("left", "right"), ("right", "left")):
        shutil.copytree(folder / name, tmp_path / "bars" / other)
    asked = ("evaluate", "--weights", run["run"], "--data", tmp_path / "bars")
    found = lenet_command(*asked, "--json").json
    assert len(found["mistakes"]) == found["n_errors"] > 4
    for one in found["mistakes"]:
        assert one["file"].split("/")[0] == one["truth"] != one["answer"]
        assert (tmp_path / "bars" / one["file"]).is_file()
    text = lenet_command(*asked)
    assert "the worst mistakes" in text.out
    assert found["mistakes"][0]["file"] in text.out


def test_what_is_waited_for_is_said(lenet_command, weights, tmp_path):
    result = lenet_command("evaluate", "--weights", weights, "--figures", tmp_path, "--json")
    said = result.err.splitlines()
    data = "the data set that it was trained on"
    waits = [f"reading {weights}", f"reading {data}", "scoring 359 images", "drawing"]
    assert [line for line in said if line in waits] == waits
    assert result.json["n_images"] == 359


def test_a_runs_own_folder_is_found_again(lenet_command, own):
    folder, run = own
    result = lenet_command("evaluate", "--weights", run["run"], "--json")
    assert result.code == 0, result.err
    assert result.json["data"] == "bars"
    assert result.json["n_errors"] == run["test_errors"]
    given = lenet_command("evaluate", "--weights", run["run"], "--data", folder, "--json")
    assert given.json["confusion"] == result.json["confusion"]


def test_a_runs_folder_that_is_gone_or_another_is_said(lenet_command, own):
    folder, run = own
    kept = (folder / "left" / "0.png").read_bytes()
    (folder / "left" / "0.png").unlink()
    result = lenet_command("evaluate", "--weights", run["run"])
    assert result.code == 2
    assert "bars is no longer the data set that" in result.err
    moved = folder.rename(folder.with_name("moved"))
    (moved / "left" / "0.png").write_bytes(kept)
    result = lenet_command("evaluate", "--weights", run["run"])
    assert result.code == 2
    assert "bars is gone" in result.err
    assert "--data FOLDER" in result.err
    result = lenet_command("evaluate", "--weights", run["run"], "--data", moved, "--json")
    assert result.json["n_errors"] == run["test_errors"]
    moved.rename(folder)


def test_damaged_pictures_can_be_left_out(lenet_command, own, tmp_path):
    folder, run = own
    shutil.copytree(folder, tmp_path / "bars")
    damaged = tmp_path / "bars" / "left" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    asked = ("evaluate", "--weights", run["run"], "--split", "train", "--json")
    there = ("--data", tmp_path / "bars")
    assert "--skip-damaged" in lenet_command(*asked, *there).err
    result = lenet_command(*asked, *there, "--skip-damaged")
    assert result.code == 0, result.err
    assert "1 of 40 pictures cannot be read and were left out" in result.err
    refused = lenet_command(*asked, "--skip-damaged")
    assert refused.code == 2
    assert "--data FOLDER" in refused.err


def test_a_file_where_a_folder_must_be(lenet_command, weights, digit):
    result = lenet_command("evaluate", "--weights", weights, "--figures", digit)
    assert result.code == 1
    assert len([line for line in result.err.splitlines() if line.startswith("lenet:")]) == 1
