"""What every test may ask for: data sets, the command line, and a fair share of the cores."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Before torch or Halide is imported: each pytest-xdist worker takes its share of the cores.

    The controller must say the same as its workers, which inherit its environment: two of them
    with two spinning threads each make a training a hundred times slower on two cores.
    """
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT") or config.getoption("numprocesses", 1)
    share = str(max(1, (os.cpu_count() or 1) // int(workers or 1)))
    for variable in ("LENET_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, share)
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ["LC_ALL"] = "C.UTF-8"  # the program answers in English, wherever it is tested


def _splits(name: str):
    """The data set `name` from LENET_DATA: tests never use the network or the user's cache."""
    folder = os.environ.get("LENET_DATA")
    if not folder:
        pytest.skip(f"LENET_DATA is not set: no {name} files to test with")
    if not (Path(folder) / name / "t10k-labels-idx1-ubyte.gz").is_file():
        pytest.skip(f"LENET_DATA={folder} has no {name} files")
    from lenet.data.datasets import load_dataset

    return load_dataset(name)


@pytest.fixture(scope="session")
def mnist():
    """MNIST's official files as `Splits`, or a skip that says why."""
    return _splits("mnist")


@pytest.fixture(scope="session")
def fashion():
    """Fashion-MNIST's official files as `Splits`, or a skip that says why."""
    return _splits("fashion-mnist")


class Result(NamedTuple):
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """What `--json` printed."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def lenet_command():
    """`lenet_command("train", "--epochs", 2)` runs the command line in this process."""
    from lenet import cli, language

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            cli.main([str(argument) for argument in arguments])
        language.speak("en")
        return Result(left.value.code or 0, out.getvalue(), err.getvalue())

    return run
