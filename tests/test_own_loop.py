"""A loop of one's own over `lenet.fuse`: any loss, any optimizer, any network of these layers."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import lenet

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
(LOOP,) = (b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "lenet.fuse" in b)
EPOCHS = "range(20)"


def run(epochs: int) -> dict[str, Any]:
    assert EPOCHS in LOOP
    names: dict[str, Any] = {"lenet": lenet}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(LOOP.replace(EPOCHS, f"range({epochs})"), "README.md", "exec"), names)
    return names


def test_it_runs_in_the_kernels_learns_and_is_saved(tmp_path):
    pytest.importorskip("halide", reason="Halide has no wheel for this machine")
    names = run(epochs=8)
    network, images, digits = names["network"], names["images"], names["digits"]
    assert names["fused"].fallback is None
    with torch.no_grad():
        scores = network.eval()(images)
    assert (scores.argmax(1) == names["labels"]).float().mean() > 0.8
    path = tmp_path / "own.safetensors"
    preprocessing = lenet.Preprocessing("digit")
    lenet.save_checkpoint(path, lenet.Checkpoint(network, preprocessing, digits.class_names))
    again = lenet.load_checkpoint(path)
    assert again.preprocessing == preprocessing
    with torch.no_grad():
        assert torch.equal(again.network(images), scores)
