"""Weights that others saved: read under any names, in any form, or refused in a line of our own."""

import copy
import io
import struct
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from lenet.checkpoints import load_checkpoint
from lenet.errors import CheckpointError, LenetWarning
from lenet.networks import LeNet5, build_network
from lenet.networks.tutorial import to_article
from lenet.packing import MAX_BYTES

TUTORIAL = build_network("tutorial").eval()
STATE = to_article(TUTORIAL.state_dict())
IMAGES = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def renamed(*layers):
    parts = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    return OrderedDict(zip(parts, STATE.values(), strict=True))


OTHER_NAMES = {
    "PyTorch's tutorial": renamed("conv1", "conv2", "fc1", "fc2", "fc3"),
    "the book's": renamed("0", "3", "7", "9", "11"),
    "the paper's": renamed("c1", "c2", "f1", "f2", "f3"),
    "backwards": OrderedDict(reversed(renamed("a", "b", "c", "d", "e").items())),
    "C5 a convolution": {**renamed("c1", "c3", "c5", "f6", "out")}
    | {"c5.weight": STATE["classifier.0.weight"].view(120, 16, 5, 5)},
}
ARTICLES = {
    "DataParallel": {f"module.{name}": value for name, value in STATE.items()},
    "nested": {"epoch": 3, "state_dict": STATE, "optimizer": {"state": {}, "param_groups": []}},
    "nested under model": {"model": STATE},
    "nested under net": {"net": STATE, "acc": 91.2, "epoch": 4},
    "nested under its own name": {"lenet": STATE, "epoch": 4},
    "double": {name: value.double() for name, value in STATE.items()},
}


def scores(network):
    with torch.no_grad():
        return network(IMAGES)


@pytest.mark.parametrize("name", ARTICLES)
def test_the_articles_weights_in_any_form(name, tmp_path, recwarn):
    torch.save(ARTICLES[name], tmp_path / "model.pth")
    loaded = load_checkpoint(tmp_path / "model.pth")
    assert loaded.network.name == "tutorial"
    assert torch.equal(scores(loaded.network), scores(TUTORIAL))
    assert not recwarn


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_any_names_are_taken_and_what_is_assumed_is_said(name, tmp_path):
    torch.save(OTHER_NAMES[name], tmp_path / "best_model.PTH")
    with pytest.warns(LenetWarning, match=r"sigmoid and average, .*T-shirt/top … Ankle boot"):
        loaded = load_checkpoint(tmp_path / "best_model.PTH")
    torch.testing.assert_close(scores(loaded.network), scores(TUTORIAL))


def test_half_precision_is_read_as_it_is(tmp_path):
    half = {name: value.half() for name, value in STATE.items()}
    torch.save(half, tmp_path / "half.pt")
    loaded = load_checkpoint(tmp_path / "half.pt").network.state_dict()
    for name, value in to_article(loaded).items():
        assert torch.equal(value, half[name].float())


def test_the_format_before_pytorch_1_6(tmp_path):
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(scores(load_checkpoint(tmp_path / "old.pth").network), scores(TUTORIAL))


def test_hints_say_what_the_weights_do_not(tmp_path, recwarn):
    modern = build_network("modern", 3, activation="tanh", batch_norm=True).eval()
    modern(IMAGES)
    torch.save(modern.state_dict(), tmp_path / "own.pth")
    loaded = load_checkpoint(tmp_path / "own.pth", activation="tanh", pooling="max")
    assert not recwarn
    assert loaded.network.options == modern.options
    assert torch.equal(scores(loaded.network), scores(modern))
    with pytest.raises(CheckpointError, match="says its activation itself"):
        load_checkpoint("mnist", activation="tanh")
    with pytest.raises(CheckpointError, match=r"activation 'realu' is unknown.*'relu'"):
        load_checkpoint(tmp_path / "own.pth", activation="realu")


class Whole(nn.Module):
    pass


def torchscript():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/constants.pkl", b"")
    return buffer.getvalue()


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


def with_(name, shape):
    return {**STATE, name: torch.zeros(shape)}


def from_the_future(data):
    """A zip whose directory wants a newer program: zipfile raises NotImplementedError."""
    data = bytearray(data)
    data[data.find(b"PK\x01\x02") + 6] = 200
    return bytes(data)


REFUSED = {
    "a zip of a later kind": (from_the_future(saved(STATE)), "damaged: copy it again"),
    "a whole model": (saved(LeNet5()), r"lenet\.networks\.tutorial\.LeNet5.*model\.state_dict"),
    "a whole model of a stranger": (saved(Whole()), r"\.Whole.*could run any program.*state_dict"),
    "TorchScript": (torchscript(), "TorchScript.*state_dict"),
    "text": (b"not weights", "damaged"),
    "nothing": (b"", "damaged"),
    "half a file": (saved(STATE)[: 2**17], "damaged"),
    "a tensor": (saved(torch.zeros(3)), r"something else .*\(Tensor\)"),
    "two networks": (
        saved({"student": STATE, "teacher": STATE}),
        r"something else .*\('student', 'teacher'\)",
    ),
    "odd names": (saved({"\x1b[31m": torch.zeros(3)}), "something else"),
    "no bias": (saved(without(STATE, "features.0.bias")), r"features\.0 has no bias"),
    "a missing layer": (
        saved(without(STATE, "classifier.4.weight", "classifier.4.bias")),
        "2 dense layers, not 3",
    ),
    "three channels": (saved(with_("features.0.weight", (6, 3, 5, 5))), "takes 3 channels"),
    "28 unpadded": (saved(with_("classifier.0.weight", (120, 256))), r"16·4·4 = 256 inputs"),
    "another size": (
        saved(with_("features.3.weight", (32, 6, 5, 5))),
        "features.3 is 6 → 32 maps of 5×5 kernels, where c3 is 6 → 16",
    ),
    "something more": (saved(with_("scale", (1,))), "it has scale too"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_plain_line(name, tmp_path):
    content, reason = REFUSED[name]
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(tmp_path / "model.pth")
    text = str(caught.value)
    assert text.isprintable()
    assert "weights_only" not in text
    assert len(text) < 400


def test_an_old_file_that_claims_to_be_huge_is_refused(tmp_path):
    """Before PyTorch 1.6 nothing was packed, so the file's own size bounds what it holds."""
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(STATE), buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue().replace(struct.pack("<H", 48_000), struct.pack("<H", 65_000))
    (tmp_path / "old.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "old.pth")
    (tmp_path / "old.pth").write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(CheckpointError, match="not weights of a LeNet"):
        load_checkpoint(tmp_path / "old.pth")
