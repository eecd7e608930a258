"""The command line from end to end: what it prints where, what it writes, how it leaves."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet import cli
from lenet.checkpoints import boxed_weights
from lenet.cli import options

TRAIN_KEYS = [
    "run", "network", "data", "recipe", "seed", "epochs_run", "best_epoch", "train_accuracy",
    "validation_accuracy", "test_accuracy", "seconds",
]  # fmt: skip
EVALUATE_KEYS = [
    "weights", "data", "split", "n_images", "n_errors", "accuracy", "per_class", "confusion",
]  # fmt: skip


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        cli.main([str(argument) for argument in arguments])
    return Result(left.value.code or 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs on the built-in digits, and what training it said."""
    out = tmp_path_factory.mktemp("train") / "runs"
    result = run("train", "--network", "tutorial", "--epochs", 2, "--out", out, "--json")
    assert result.code == 0, result.err
    return result


@pytest.fixture(scope="module")
def weights(finished):
    return finished.json["run"]


@pytest.fixture
def digit(tmp_path):
    """A drawn 1: dark on light."""
    grey = np.full((90, 70), 235, np.uint8)
    grey[15:75, 32:38] = 25
    path = tmp_path / "one.png"
    Image.fromarray(grey).save(path)
    return path


class TestTrain:
    def test_json_has_exactly_the_promised_keys(self, finished):
        assert list(finished.json) == TRAIN_KEYS
        assert finished.json["data"] == "digits"
        assert finished.json["network"] == "tutorial"
        assert finished.json["epochs_run"] == 2

    def test_progress_goes_to_stderr_in_plain_lines(self, finished):
        lines = [line for line in finished.err.splitlines() if line.startswith("epoch")]
        number = r"[\d.,]+"
        assert len(lines) == 2
        for i, line in enumerate(lines, 1):
            assert re.fullmatch(
                rf"epoch {i}/2  train loss {number} accuracy {number} %  "
                rf"validation loss {number} accuracy {number} %  {number} images/s  \d+:\d\d left",
                line,
            )
        assert "\x1b" not in finished.err
        assert "engine" in finished.err

    def test_the_run_folder_is_complete(self, weights):
        assert {path.name for path in Path(weights).iterdir()} == {
            "model.safetensors", "state", "history.csv", "run.json", "curves.png", "confusion.png",
            "mistakes.png", "filters.png", "report.html",
        }  # fmt: skip

    def test_text_says_what_came_of_it_and_what_is_next(self, weights, finished):
        result = run("train", "--resume", weights)
        assert result.code == 0
        assert f"test accuracy {100 * finished.json['test_accuracy']:.2f} %" in result.out
        assert f"lenet predict PICTURE --weights {weights}" in result.out
        assert "epoch 1/2" not in result.out

    def test_every_flag_reaches_the_plan(self, tmp_path):
        result = run(
            "train", "--network", "tutorial", "--recipe", "article", "--epochs", 1, "--batch-size",
            300, "--learning-rate", 0.002, "--seed", 7, "--patience", 3, "--engine", "torch",
            "--device", "cpu", "--out", tmp_path, "--json",
        )  # fmt: skip
        assert result.code == 0, result.err
        plan = json.loads((Path(result.json["run"]) / "run.json").read_text("utf-8"))
        recipe = plan["recipe"]
        assert (recipe["name"], recipe["epochs"], recipe["batch_size"]) == ("article", 1, 300)
        assert (recipe["learning_rate"], recipe["seed"], recipe["patience"]) == (0.002, 7, 3)
        assert (plan["engine"], plan["device"], plan["network"]) == ("torch", "cpu", "tutorial")

    def test_resume_takes_no_other_plan(self, weights):
        result = run("train", "--resume", weights, "--epochs", 5, "--seed", 3)
        assert result.code == 2
        assert "leave out --epochs, --seed" in result.err

    def test_a_folder_of_pictures(self, tmp_path):
        rng = np.random.default_rng(0)
        for name, place in (("left", 5), ("right", 25)):
            (tmp_path / "shapes" / name).mkdir(parents=True)
            for i in range(20):
                grey = rng.integers(200, 256, (40, 40), dtype=np.uint8)
                grey[8:32, place : place + 6] = 10
                Image.fromarray(grey).save(tmp_path / "shapes" / name / f"{i}.png")
        result = run(
            "train", "--data", tmp_path / "shapes", "--network", "tutorial", "--epochs", 1,
            "--out", tmp_path / "runs", "--json",
        )  # fmt: skip
        assert result.code == 0, result.err
        assert result.json["data"] == "shapes"
        picture = tmp_path / "shapes" / "left" / "0.png"
        said = run("predict", picture, "--weights", result.json["run"], "--json")
        assert said.json[0]["label"] in ("left", "right")

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one child")
    def test_ctrl_c_leaves_130_and_says_how_to_go_on(self, tmp_path):
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
            if line.startswith("epoch"):
                break
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=300)
        assert child.returncode == 130
        folder = tmp_path / "my runs" / "digits-tutorial-1"
        assert err.splitlines()[-1] == (
            f"lenet: interrupted; go on with: lenet train --resume '{folder}'"
        )
        assert out == ""
        plan = json.loads((folder / "run.json").read_text("utf-8"))
        plan["recipe"]["epochs"] = 1  # over: only the measuring and the figures are left
        (folder / "run.json").write_text(json.dumps(plan), "utf-8")
        result = run("train", "--resume", folder, "--json")
        assert result.code == 0, result.err
        assert "going on after epoch" in result.err
        assert (folder / "report.html").is_file()


class TestEvaluate:
    def test_json_has_exactly_the_promised_keys_and_counts_every_image(self, weights, finished):
        result = run("evaluate", "--weights", weights, "--data", "digits", "--json")
        assert result.code == 0, result.err
        found = result.json
        assert list(found) == EVALUATE_KEYS
        assert found["n_images"] == 359 == sum(map(sum, found["confusion"]))
        assert found["accuracy"] == pytest.approx(finished.json["test_accuracy"])
        assert found["n_errors"] == round((1 - found["accuracy"]) * 359)
        assert [one["name"] for one in found["per_class"]] == list("0123456789")
        assert set(found["per_class"][0]) == {"name", "precision", "recall", "f1", "support"}

    def test_parts_differ(self, weights):
        sizes = {
            part: run("evaluate", "--weights", weights, "--split", part, "--json").json["n_images"]
            for part in options.SPLITS
        }
        assert sum(sizes.values()) == 1797
        assert sizes["train"] > sizes["test"] > sizes["validation"]

    def test_text(self, weights):
        result = run("evaluate", "--weights", weights)
        assert result.code == 0
        for word in ("accuracy", "±", "precision", "recall", "F1", "most confused", "calibration"):
            assert word in result.out

    def test_figures_on_request(self, weights, tmp_path):
        folder = tmp_path / "new" / "figures"
        result = run("evaluate", "--weights", weights, "--figures", folder)
        assert result.code == 0
        assert {path.name for path in folder.iterdir()} == {
            "confusion.png", "calibration.png", "mistakes.png", "filters.png",
        }  # fmt: skip

    def test_other_classes_are_refused(self, weights, tmp_path):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / name).mkdir(parents=True)
            for i in range(12):
                Image.new("L", (30, 30), 20 * i).save(tmp_path / "pets" / name / f"{i}.png")
        result = run("evaluate", "--weights", weights, "--data", tmp_path / "pets")
        assert result.code == 2
        assert "pets has the classes cat, dog" in result.err


class TestPredict:
    def test_json_has_exactly_the_promised_keys(self, weights, digit):
        result = run("predict", digit, "--weights", weights, "--json")
        assert result.code == 0, result.err
        (row,) = result.json
        assert list(row) == ["picture", "label", "probability", "top", "doubts"]
        assert row["picture"] == str(digit)
        assert len(row["top"]) == 3
        assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}

    def test_top(self, weights, digit):
        result = run("predict", digit, "--weights", weights, "--top", 10, "--json")
        assert len(result.json[0]["top"]) == 10
        assert run("predict", digit, "--weights", weights, "--top", 0).code == 2

    def test_explain_draws_a_picture(self, weights, digit, tmp_path):
        result = run("predict", digit, "--weights", weights, "--explain", tmp_path / "why.png")
        assert result.code == 0, result.err
        with Image.open(tmp_path / "why.png") as drawn:
            assert drawn.size[0] > 800
        two = run("predict", digit, digit, "--weights", weights, "--explain", tmp_path / "no.png")
        assert two.code == 2
        assert not (tmp_path / "no.png").exists()

    def test_folders_and_patterns(self, weights, digit):
        with Image.open(digit) as drawn:
            drawn.save(digit.with_name("two.jpg"))
        digit.with_name("notes.txt").write_text("no picture")
        for where in (digit.parent, digit.parent / "*.[pj]*g"):
            result = run("predict", where, "--weights", weights, "--json")
            assert result.code == 0, result.err
            assert [Path(row["picture"]).name for row in result.json] == ["one.png", "two.jpg"]

    def test_unreadable_files_are_reported_and_the_rest_done(self, weights, digit):
        broken = digit.with_name("broken.png")
        broken.write_bytes(b"no picture")
        result = run("predict", broken, digit, "--weights", weights, "--json")
        assert result.code == 1
        assert list(result.json[0]) == ["picture", "error"]
        assert result.json[1]["label"]
        assert result.err.count("lenet: ") == 1
        text = run("predict", broken, digit, "--weights", weights)
        assert text.code == 1
        assert text.out.startswith(f"{digit}: ")

    def test_a_name_cannot_steer_the_terminal(self, weights, digit):
        odd = digit.with_name("a\x1b[31m\nb.png")
        try:
            digit.rename(odd)
        except OSError:
            pytest.skip("this file system has no such names")
        for result in (
            run("predict", odd, "--weights", weights),
            run("predict", str(odd) + "x", "--weights", weights),
        ):
            assert "\x1b" not in result.out + result.err
            assert len(result.err.splitlines()) <= 1


class TestSummaryModelsData:
    def test_summary_shows_the_totals(self):
        result = run("summary")
        assert result.code == 0
        for total in ("61,706", "60,000", "340,908"):
            assert total in result.out
        only = run("summary", "--network", "lecun1998", "--json").json
        assert list(only) == ["lecun1998"]
        assert sum(row["parameters"] for row in only["lecun1998"]) == 60_000

    def test_models(self):
        assert run("models").code == 0
        assert run("models", "--json").json == boxed_weights()

    def test_data(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LENET_CACHE", str(tmp_path))
        monkeypatch.delenv("LENET_DATA", raising=False)
        states = {row["name"]: row["state"] for row in run("data", "list", "--json").json}
        assert states == {"digits": "ready", "mnist": "missing", "fashion-mnist": "missing"}
        assert "missing" in run("data", "list").out
        assert run("data", "verify").code == 0
        assert run("data", "verify", "mnist").code == 1
        assert run("data", "get", "digits").out == "digits is built in\n"

    def test_published_files_verify(self, mnist):
        result = run("data", "verify", "mnist")
        assert result.code == 0
        assert result.out.count("verified") == 4
        assert run("data", "get", "mnist").out.count("mnist") >= 4


class TestManners:
    def test_the_names_in_the_options_are_those_of_the_library(self):
        from lenet import engines
        from lenet.networks import NETWORKS

        assert tuple(NETWORKS) == options.NETWORKS
        assert engines.ENGINES == options.ENGINES
        assert engines.DEVICES == options.DEVICES

    @pytest.mark.parametrize(
        "command", [[], *([name] for name in ("train", "evaluate", "predict", "summary", "models",
                                              "bench", "reproduce", "data")), ["data", "get"]]
    )  # fmt: skip
    def test_help(self, command):
        result = run(*command, "--help")
        assert result.code == 0
        assert "Usage" in result.out
        assert result.err == ""

    def test_nothing_asked_shows_help(self):
        result = run()
        assert result.code == 0
        assert "train" in result.out

    @pytest.mark.skipif(os.name == "nt", reason="needs os.times of children")
    def test_help_takes_less_than_half_a_second(self):
        # Processor time, which other programs on this machine do not lengthen much; best of five.
        def once():
            before = os.times()
            subprocess.run(
                [sys.executable, "-m", "lenet", "--help"], check=True, stdout=subprocess.DEVNULL
            )
            after = os.times()
            return after[2] + after[3] - before[2] - before[3]

        assert min(once() for _ in range(5)) < 0.5

    @pytest.mark.parametrize(
        ("line", "hint"),
        [
            ("trian", "Did you mean 'train'"),
            ("train --epoch 3", "--epochs"),
            ("train --network modrn", "did you mean 'modern'"),
            ("train --engine fuzed", "did you mean 'fused'"),
            ("train --data fashion_mnist", "did you mean 'fashion-mnist'"),
            ("train --recipe tunde", "did you mean 'tuned'"),
            ("evaluate --weights x --split tset", "did you mean 'test'"),
            ("data get mnits", "did you mean 'mnist'"),
            ("summary --network lecun", "did you mean 'lecun1998'"),
            ("evaluate", "--weights"),
            ("predict", "PICTURE"),
            ("train extra", "extra"),
            ("train --epochs many", "integer"),
        ],
    )
    def test_near_misses_get_a_suggestion_in_one_line(self, line, hint, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = run(*line.split())
        assert result.code == 2
        assert hint in result.err
        assert result.err.startswith("lenet: ")
        assert len(result.err.splitlines()) == 1
        assert result.out == ""
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("error", "code", "says"),
        [
            (MemoryError(), 1, "out of memory"),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 1, "memory"),
            (OSError(28, "No space left on device", "/x/y"), 1, "/x/y: No space left on device"),
            (KeyboardInterrupt(), 130, "interrupted"),
            (BrokenPipeError(), 1, ""),
        ],
    )
    def test_what_the_machine_does_is_no_traceback(self, error, code, says, monkeypatch):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr("lenet.checkpoints.boxed_weights", fail)
        result = run("models")
        assert result.code == code
        assert says in result.err
        assert len(result.err.splitlines()) == (1 if says else 0)

    def test_a_bug_is_not_hidden(self, monkeypatch):
        def fail():
            raise RuntimeError("a bug")

        monkeypatch.setattr("lenet.checkpoints.boxed_weights", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            cli.main(["models"])

    def test_a_reader_that_leaves_early(self):
        child = subprocess.Popen(
            [sys.executable, "-m", "lenet", "summary"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        child.stdout.close()
        err = child.stderr.read()
        child.stderr.close()
        assert child.wait(60) == 1
        assert err == b""

    @pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
    @pytest.mark.parametrize("no_colour", [False, True])
    def test_no_color(self, no_colour):
        import pty

        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("NO_COLOR", None)
        if no_colour:
            environment["NO_COLOR"] = "1"
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "lenet", "--help"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
        )  # fmt: skip
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not chunk:
                break
            seen += chunk
        os.close(ours)
        assert child.wait(60) == 0
        coloured = re.search(rb"\x1b\[[0-9;]*3[0-7]m", seen)
        assert bool(coloured) is not no_colour

    def test_a_weight_file_where_a_folder_must_be(self, weights, digit):
        result = run("evaluate", "--weights", weights, "--figures", digit)
        assert result.code == 1
        assert len([line for line in result.err.splitlines() if line.startswith("lenet:")]) == 1

    def test_python_minus_m(self):
        done = subprocess.run(
            [sys.executable, "-m", "lenet", "--version"], capture_output=True, text=True, check=True
        )
        assert re.fullmatch(r"lenet \d+\.\d+\.\d+\n", done.stdout)


class TestReproduce:
    def test_goes_the_whole_way_on_few_patterns(self, mnist, tmp_path):
        assert len(mnist.test) == 10000
        result = run(
            "reproduce", "--seeds", 2, "--passes", 1, "--subset", 600, "--out", tmp_path, "--json"
        )
        assert result.code == 0, result.err
        keys = ("seeds", "passes", "patterns", "seconds", "test_error_percent",
                "train_error_percent", "paper")  # fmt: skip
        assert list(result.json)[: len(keys)] == list(keys)
        assert (result.json["seeds"], result.json["patterns"]) == (2, 600)
        assert len(result.json["test_error_percent"]["values"]) == 2
        assert "pass  1.0/1" in result.err

    def test_refuses_no_seeds(self, tmp_path):
        result = run("reproduce", "--seeds", 0, "--out", tmp_path)
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert not list(tmp_path.iterdir())
