"""What the tests of several commands share: a finished run, and a picture of a digit."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def finished(lenet_command, tmp_path_factory):
    """A run of two epochs on the built-in digits, and what training it said."""
    out = tmp_path_factory.mktemp("train") / "runs"
    result = lenet_command("train", "--network", "tutorial", "--epochs", 2, "--out", out, "--json")
    assert result.code == 0, result.err
    return result


@pytest.fixture(scope="session")
def weights(finished):
    """The folder of the finished run."""
    return finished.json["run"]


@pytest.fixture
def digit(tmp_path):
    """A drawn 1: dark on light."""
    grey = np.full((90, 70), 235, np.uint8)
    grey[15:75, 32:38] = 25
    path = tmp_path / "one.png"
    Image.fromarray(grey).save(path)
    return path
