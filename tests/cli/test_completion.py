"""What a shell offers for a line that has been begun, asked as the scripts of the shells ask."""

import os
import subprocess
import sys

import pytest

from lenet.cli import options

ASK = """
import sys
from lenet import cli
try:
    cli.main()
finally:
    heavy = {"torch", "halide", "sklearn", "matplotlib"} & set(sys.modules)
    assert not heavy, heavy
"""


def offered(line):
    """What bash would offer at the end of the line."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_LENET_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lenet tr", ["train"]),
        ("lenet train --net", ["--network"]),
        ("lenet train --network ", list(options.NETWORKS)),
        ("lenet train --network m", ["modern"]),
        ("lenet train --recipe digit", ["digit", "digit-small"]),
        ("lenet train --data fa", ["fashion-mnist"]),
        ("lenet evaluate --split te", ["test"]),
        ("lenet predict --weights fashion-", ["fashion-mnist", "fashion-mnist-tutorial"]),
        ("lenet export onnx dig", ["digits"]),
        ("lenet recipes art", ["article"]),
        ("lenet data get fa", ["fashion-mnist"]),
        ("lenet predict --weights runs/", []),  # the shell then offers files
    ],
)
def test_names_and_options_are_offered(line, words):
    assert offered(line) == words


def test_the_weights_that_are_offered_are_those_that_are_there():
    from lenet.checkpoints import pretrained_weights

    assert list(options.weight_names()) == sorted(pretrained_weights())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_is_told_how_to_ask(shell, monkeypatch, lenet_command):
    monkeypatch.setenv("_LENET_COMPLETE", f"source_{shell}")
    result = lenet_command()
    assert result.code == 0
    assert "_LENET_COMPLETE" in result.out


def test_the_help_says_how_to_install_it(lenet_command):
    assert "--install-completion" in lenet_command("--help").out
