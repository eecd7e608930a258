"""The door of the command line: help, suggestions, exit codes, and no traceback."""

import os
import re
import subprocess
import sys
import time

import pytest

from lenet import cli
from lenet.cli import options


def test_the_names_in_the_options_are_those_of_the_library():
    from lenet import engines
    from lenet.data.preprocessing import PREPARATIONS
    from lenet.data.splits import PARTS
    from lenet.networks import NETWORKS
    from lenet.networks.plans import POOLINGS
    from lenet.reproduction.studies import STUDIES
    from lenet.training import recipes
    from lenet.training.recipes import RECIPES

    assert tuple(NETWORKS) == options.NETWORKS
    assert tuple(RECIPES) == options.RECIPES
    assert engines.ENGINES == options.ENGINES
    assert engines.TRAINING_ENGINES == options.TRAINING_ENGINES
    assert engines.DEVICES == options.DEVICES
    assert STUDIES == options.STUDIES
    assert ("auto", *PREPARATIONS) == options.PREPARATIONS
    assert PARTS == options.SPLITS
    assert recipes._CHOICES["class_weights"] == options.CLASS_WEIGHTS
    assert POOLINGS == options.POOLINGS


@pytest.mark.parametrize(
    "command", [[], *([name] for name in ("train", "evaluate", "predict", "summary", "models",
                                          "recipes", "bench", "reproduce", "data")),
                ["data", "get"]]
)  # fmt: skip
def test_help(lenet_command, command):
    result = lenet_command(*command, "--help")
    assert result.code == 0
    assert "Usage" in result.out
    assert result.err == ""


@pytest.mark.parametrize(("command", "offered"), [([], "train"), (["data"], "verify")])
def test_nothing_asked_shows_help(lenet_command, command, offered):
    result = lenet_command(*command)
    assert result.code == 0
    assert offered in result.out
    assert result.err == ""


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("trian", "did you mean 'train'? (see lenet --help)"),
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
        ("train --epochs many", "--epochs must be a whole number, got 'many'"),
        ("train --learning-rate fast", "--learning-rate must be a number, got 'fast'"),
        ("train --learning-rate -1", "--learning-rate must be a finite number greater than 0, got"),
        ("train --epochs 0", "--epochs must be a whole number of at least 1, got 0"),
        ("train --set dropout", "NAME=VALUE"),
        ("train --set dropuot=0.1", "did you mean 'dropout'"),
        ("train --set dropout=much", "--set dropout must be a number, got 'much'"),
        ("train --set dropout=2", "--set dropout must be at least 0 and less than 1, got 2.0"),
        ("train --set network.batch_norm=2", "batch_norm must be true or false, got '2'"),
        ("train --set distortions.rotation=1", "did you mean 'rotate'"),
        ("train --set rotate=-1", "--set rotate must be finite and not negative, got -1.0"),
        ("train --set activation=rellu", "did you mean 'relu'"),
        ("train --network tutorial --set dropout=0.1", "network modern has it"),
        ("train --epochs 2 --set epochs=3", "given twice: by --epochs and by --set epochs"),
        ("train --validation 1.5", "--validation must be a fraction"),
        ("train --validation 1500", "hold out fewer"),
        ("train --name a/b", "--name must be the name of a folder"),
        ("train --name .", "--name must be the name of a folder"),
        ("recipes tunde", "did you mean 'tuned'"),
    ],
)
def test_near_misses_get_a_suggestion_in_one_line(lenet_command, line, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = lenet_command(*line.split())
    assert result.code == 2
    *waited_for, complaint = result.err.splitlines()
    assert complaint.startswith("lenet: ")
    assert hint in complaint
    assert set(waited_for) <= {"loading torch", "reading digits", "reading fashion_mnist"}
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
def test_what_the_machine_does_is_no_traceback(lenet_command, error, code, says, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lenet.checkpoints.pretrained_weights", fail)
    result = lenet_command("models")
    assert result.code == code
    assert says in result.err
    assert len(result.err.splitlines()) == (1 if says else 0)


def test_a_bug_is_not_hidden(monkeypatch):
    def fail():
        raise RuntimeError("a bug")

    monkeypatch.setattr("lenet.checkpoints.pretrained_weights", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["models"])


def test_a_reader_that_leaves_early():
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
def test_no_color(no_colour):
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


def test_python_minus_m():
    done = subprocess.run(
        [sys.executable, "-m", "lenet", "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"lenet \d+\.\d+\.\d+\n", done.stdout)


def test_nothing_is_searched_for_circles_at_exit():
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "from lenet import cli\n"
        "cli.main(['--version'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_a_setting_typed_as_a_flag_is_told_how_to_be_set(lenet_command):
    assert "or set it by --set NAME=VALUE" in lenet_command("train", "--dropout", "0.5").err
    assert "--set" not in lenet_command("predict", "--dropout", "0.5").err
