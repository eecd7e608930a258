"""`lenet train`: what it prints where, what it writes, how it is interrupted."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TRAIN_KEYS = [
    "run", "network", "data", "recipe", "seed", "epochs_run", "best_epoch", "train_accuracy",
    "validation_accuracy", "test_accuracy", "train_interval", "train_errors", "train_images",
    "validation_interval", "validation_errors", "validation_images", "test_interval",
    "test_errors", "test_images", "seconds", "diagnosis",
]  # fmt: skip


def test_json_has_exactly_the_promised_keys(finished):
    assert list(finished.json) == TRAIN_KEYS
    assert finished.json["data"] == "digits"
    assert finished.json["network"] == "tutorial"
    assert finished.json["epochs_run"] == 2


def test_progress_goes_to_stderr_in_plain_lines(finished):
    lines = finished.err.splitlines()
    assert lines[:2] == ["loading torch", "reading digits"]
    assert lines[-1] == "drawing the report"
    heading = next(i for i, line in enumerate(lines) if "epoch" in line)
    assert lines[heading].split("  ")[-1].strip() == "left"
    rows = [line.split() for line in lines[heading + 1 : -1]]
    assert [row[0] for row in rows] == ["1/2", "2/2"]
    assert all(re.fullmatch(r"\d+:\d\d", row[-1]) for row in rows)
    assert all(len(line) == len(lines[heading]) for line in lines[heading:-1])
    assert "\x1b" not in finished.err
    assert "\r" not in finished.err
    assert "engine" in finished.err


def test_the_run_folder_is_complete(weights):
    assert {path.name for path in Path(weights).iterdir()} == {
        "model.safetensors", "state", "history.csv", "run.json", "curves.png", "confusion.png",
        "mistakes.png", "filters.png", "report.html",
    }  # fmt: skip


def test_text_says_what_came_of_it_and_what_is_next(lenet_command, weights, finished):
    result = lenet_command("train", "--resume", weights)
    assert result.code == 0
    assert f"test accuracy {100 * finished.json['test_accuracy']:.2f} %" in result.out
    assert f"lenet predict PICTURE --weights {weights}" in result.out
    assert re.search(r"best epoch \d of 2; .* s of training, .* s in all", result.out)


def test_every_flag_reaches_the_settings(lenet_command, tmp_path):
    result = lenet_command(
        "train", "--network", "tutorial", "--recipe", "article", "--epochs", 1, "--batch-size",
        300, "--learning-rate", 0.002, "--seed", 7, "--patience", 3, "--engine", "torch",
        "--device", "cpu", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert result.code == 1, result.err  # five steps teach nothing
    settings = json.loads((Path(result.json["run"]) / "run.json").read_text("utf-8"))
    recipe = settings["recipe"]
    assert (recipe["name"], recipe["epochs"], recipe["batch_size"]) == ("article", 1, 300)
    assert (recipe["learning_rate"], recipe["seed"], recipe["patience"]) == (0.002, 7, 3)
    assert (settings["engine"], settings["device"], settings["network"]) == (
        "torch",
        "cpu",
        "tutorial",
    )


def test_the_papers_recipe_says_where_it_is_run(lenet_command, tmp_path):
    result = lenet_command("train", "--recipe", "paper", "--out", tmp_path / "runs")
    assert result.code == 2
    assert "lenet reproduce" in result.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("flags", [("--learning-rate", 100), ("--batch-size", 1_000_000)])
def test_a_run_that_learned_nothing_is_complete_and_a_failure(lenet_command, tmp_path, flags):
    for answer in ((), ("--json",)):
        result = lenet_command(
            "train", "--network", "tutorial", "--epochs", 1, "--out", tmp_path, *flags, *answer
        )
        assert result.code == 1
        last = result.err.splitlines()[-1]
        assert last.startswith("lenet: It has not learned: ")
        assert "Try --" in last
    assert result.json["diagnosis"]["learned"] is False
    folder = Path(result.json["run"])
    settings = json.loads((folder / "run.json").read_text("utf-8"))
    assert settings["results"]["diagnosis"]["name"] == "not-learned"
    assert "It has not learned" in (folder / "report.html").read_text("utf-8")
    assert lenet_command("train", "--resume", folder).code == 1


def test_resume_takes_no_other_settings(lenet_command, weights):
    result = lenet_command("train", "--resume", weights, "--epochs", 5, "--seed", 3, "--name", "x")
    assert result.code == 2
    assert "leave out --seed, --name" in result.err


def test_a_run_from_weights_goes_on_to_more_epochs(lenet_command, tmp_path):
    flags = ("--class-weights", "balanced", "--engine", "torch", "--out", tmp_path, "--json")
    begun = lenet_command("train", "--weights", "mnist", "--epochs", 1, *flags)
    assert begun.code == 0, begun.err
    assert "starting from mnist, output layer included" in begun.err
    longer = lenet_command("train", "--resume", begun.json["run"], "--epochs", 2, "--json")
    assert longer.code == 0, longer.err
    assert longer.json["epochs_run"] == 2
    settings = json.loads((Path(begun.json["run"]) / "run.json").read_text("utf-8"))
    assert settings["recipe"]["class_weights"] == "balanced"
    assert "--weights mnist" in settings["command"]
    again = lenet_command("train", "--resume", begun.json["run"], "--epochs", 2)
    assert again.code == 2
    assert "has 2 epochs already" in again.err
    wrong = lenet_command("train", "--weights", "mnist", "--network", "tutorial", *flags)
    assert wrong.code == 2
    assert "of network modern, not tutorial" in wrong.err


def test_a_folder_of_pictures(lenet_command, tmp_path):
    rng = np.random.default_rng(0)
    for name, place in (("left", 5), ("right", 25)):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for i in range(20):
            grey = rng.integers(200, 256, (40, 40), dtype=np.uint8)
            grey[8:32, place : place + 6] = 10
            Image.fromarray(grey).save(tmp_path / "shapes" / name / f"{i}.png")
    result = lenet_command(
        "train", "--data", tmp_path / "shapes", "--network", "tutorial", "--epochs", 60,
        "--out", tmp_path / "runs", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert result.json["data"] == "shapes"
    picture = tmp_path / "shapes" / "left" / "0.png"
    said = lenet_command("predict", picture, "--weights", result.json["run"], "--json")
    assert said.json[0]["label"] in ("left", "right")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one child")
def test_ctrl_c_leaves_130_and_says_how_to_go_on(lenet_command, tmp_path):
    command = [
        sys.executable, "-m", "lenet", "train", "--network", "tutorial", "--epochs", "100000",
        "--out", str(tmp_path / "my runs"),
    ]  # fmt: skip
    child = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        # A shell starts background jobs deaf to Ctrl-C, and their children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in child.stderr:
        if re.match(r" +1/100000 ", line):
            break
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 130
    folder = tmp_path / "my runs" / "digits-tutorial-1"
    assert err.splitlines()[-1] == (
        f"lenet: interrupted; go on with: lenet train --resume '{folder}'"
    )
    assert out == ""
    settings = json.loads((folder / "run.json").read_text("utf-8"))
    settings["recipe"]["epochs"] = 1  # over: only the measuring and the figures are left
    (folder / "run.json").write_text(json.dumps(settings), "utf-8")
    result = lenet_command("train", "--resume", folder, "--json")
    assert result.json["run"] == str(folder)
    assert "going on after epoch" in result.err
    assert (folder / "report.html").is_file()


def test_a_run_s_command_trains_the_same_again(lenet_command, tmp_path):
    """All that was changed is in it, and nothing else."""
    asked = [
        "train", "--recipe", "digit-small", "--validation", "0", "--epochs", "1", "--set",
        "activation=tanh", "--set", "rotate=0.1", "--set", "network.batch_norm=true", "--seed", "3",
        "--set", "optimizer=sgd", "--engine", "torch",
    ]  # fmt: skip
    found = []
    for name in ("asked", "again"):
        result = lenet_command(*asked, "--out", tmp_path, "--name", name, "--json")
        assert result.code == 0, result.err
        assert result.json["run"] == str(tmp_path / name)
        assert result.json["validation_accuracy"] is None
        found.append(json.loads((tmp_path / name / "run.json").read_text("utf-8")))
        asked = shlex.split(found[-1]["command"])[1:]
    first, second = ({k: v for k, v in each.items() if k != "results"} for each in found)
    assert first == second
    assert first["options"]["activation"] == "tanh"
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("asked", "again")]
    assert weights[0] == weights[1]
    assert "patience" not in first["command"]
    shown = lenet_command("train", "--resume", tmp_path / "again")
    assert shown.code == 0, shown.err
    assert "nan" not in shown.out + shown.err + found[1]["command"]
    assert "validation" not in shown.out


def test_the_recipes_are_listed(lenet_command):
    result = lenet_command("recipes")
    assert result.code == 0
    for name in ("article", "digit-small", "minibatch"):
        assert name in result.out
    assert lenet_command("recipes", "--json").json["article"]["epochs"] == 20
    one = lenet_command("recipes", "digit")
    assert "distortions.rotate" in one.out
    assert lenet_command("recipes", "digit", "--json").json["distortions"]["rotate"] == 0.2
