"""What answers at once loads nothing heavy, and a process may fork after it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lenet

# The package under test, wherever a child runs.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(lenet.__file__).parents[1])}
HEAVY = {"torch", "halide", "sklearn", "scipy", "matplotlib"}


def loaded_by(code, folder):
    """The packages that a fresh interpreter has loaded after `code`."""
    report = "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        capture_output=True, text=True, cwd=folder, check=True, env=ENVIRONMENT,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


@pytest.fixture
def folder(tmp_path):
    """A picture of a 1 and a folder with it twice."""
    grey = np.full((90, 70), 235, np.uint8)
    grey[15:75, 32:38] = 25
    for place in ("one.png", "scans/one.png", "scans/two.png"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(grey).save(path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("predict one.png", 0),
        ("predict scans --json", 0),
        ("predict one.png --weights lecun1998", 0),
        ("predict one.png --weights fashion-mnist", 0),
        ("predict one.png --weights nowhere", 2),
        ("predict nowhere.png", 2),
        ("predict one.png --engine fuzed", 2),
        ("models", 0),
        ("models mnist", 0),
        ("summary", 0),
        ("summary --network lecun1998 --json", 0),
        ("summary --classes 1", 2),
        ("data list", 0),
        ("evaluate --weights nowhere", 2),
    ],
)
def test_a_command_that_answers_at_once_loads_nothing_heavy(line, code, folder):
    run = (
        "from lenet.cli import main\n"
        f"try:\n    main({line.split()!r})\n"
        f"except SystemExit as left:\n    assert (left.code or 0) == {code}, left.code"
    )
    assert not loaded_by(run, folder) & HEAVY


def test_a_classifier_loads_nothing_heavy(folder):
    run = (
        "import lenet; reader = lenet.Classifier.load('mnist')\n"
        "reader.predict('one.png'), reader.explain('one.png')\n"
        "lenet.save_checkpoint('again.safetensors', reader.checkpoint)"
    )
    assert not loaded_by(run, folder) & HEAVY


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_a_child_predicts_what_its_parent_loaded(engine, folder):
    """torch's threads do not live in a child: with them it would wait for ever."""
    code = (
        "import multiprocessing, sys\n"
        "from lenet import Classifier\n"
        f"reader = Classifier.load('mnist', engine={engine!r}, device='cpu')\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    print(pool.map_async(reader.predict, ['one.png'] * 3).get(60)[2].label)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, cwd=folder, timeout=120,
        env={**ENVIRONMENT, "LENET_THREADS": "2", "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.stdout == "1\n", done.stderr
