"""A loop of one's own over `lenet.fuse`: any loss, any optimizer, any network of these layers."""

from typing import Any

import pytest
import torch

import lenet

LOOP = """
import torch
import lenet

digits = lenet.load_dataset("digits")
network = lenet.build_network("modern", activation="gelu")  # or a class of your own
fused = lenet.fuse(network)
optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
images = torch.from_numpy(lenet.Preprocessing("digit").apply(digits.train.images))
labels = torch.from_numpy(digits.train.labels)
for epoch in range(epochs):
    for batch in torch.randperm(len(images)).split(64):
        scores = fused(images[batch])
        loss = torch.nn.functional.multi_margin_loss(scores, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def run(epochs: int) -> dict[str, Any]:
    names: dict[str, Any] = {"epochs": epochs}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(LOOP, "README", "exec"), names)
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
