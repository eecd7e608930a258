"""`lenet export`: what it writes gives the same scores, and what it cannot write it refuses."""

import importlib.util

import pytest
import torch

from lenet.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from lenet.data.preprocessing import Preprocessing
from lenet.export import onnx as onnx_room
from lenet.networks import LeNet5, build_network


@pytest.fixture
def tutorial(tmp_path):
    path = tmp_path / "tutorial.safetensors"
    network, names = build_network("tutorial", 3), ("a", "b", "c")
    save_checkpoint(path, Checkpoint(network, Preprocessing("digit"), names))
    return path


def test_article_writes_what_the_articles_class_loads(lenet_command, tmp_path, tutorial):
    result = lenet_command("export", "article", tutorial, "-o", tmp_path / "model.pth")
    assert result.code == 0, result.err
    assert result.out == f"{tmp_path / 'model.pth'}\n"
    theirs = LeNet5(3)
    theirs.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(theirs(images), load_checkpoint(tutorial).network(images))


def test_a_scaled_input_goes_into_the_weights(lenet_command, tmp_path):
    """The article's class is given plain pixels, so it must not need to know the scale."""
    scaled = Preprocessing("digit", scale=3.0, offset=-0.5)
    network = build_network("tutorial", 3)
    save_checkpoint(tmp_path / "own.safetensors", Checkpoint(network, scaled, ("a", "b", "c")))
    lenet_command("export", "article", tmp_path / "own.safetensors", "-o", tmp_path / "model.pth")
    theirs = LeNet5(3)
    theirs.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    pixels = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(pixels), network.eval()(pixels * 3.0 - 0.5))


def test_article_refuses_another_network(lenet_command, tmp_path):
    result = lenet_command("export", "article", "mnist", "-o", tmp_path / "model.pth")
    assert result.code == 2
    assert "modern has other layers" in result.err
    assert list(tmp_path.iterdir()) == []


def test_onnx_is_tried_before_it_is_written(lenet_command, tmp_path, tutorial, monkeypatch):
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        pytest.skip("onnx and onnxruntime are not installed (extra: bench)")
    out = tmp_path / "model.onnx"
    result = lenet_command("export", "onnx", tutorial, "-o", out)
    assert result.code == 0, result.err
    assert "scores differ by at most" in result.out
    assert out.is_file()
    out.unlink()
    monkeypatch.setattr(onnx_room, "_TOLERANCE", -1.0)
    result = lenet_command("export", "onnx", tutorial, "-o", out)
    assert result.code == 1
    assert "ONNX Runtime's scores differ" in result.err
    assert not out.exists()


def test_safetensors_says_what_the_weights_do_not(lenet_command, tmp_path):
    modern = build_network("modern", activation="gelu").eval()
    torch.save({f"net.{k}": v for k, v in modern.state_dict().items()}, tmp_path / "own.pth")
    out, options = tmp_path / "own.safetensors", ("--activation", "gelu", "--pooling", "max")
    result = lenet_command(
        "export", "safetensors", tmp_path / "own.pth", "-o", out, *options, "--data", "mnist"
    )
    assert result.code == 0, result.err
    assert result.err == ""
    loaded = load_checkpoint(out)
    assert loaded.network.options == modern.options
    assert loaded.class_names == tuple("0123456789")
    assert loaded.preprocessing == Preprocessing("digit")
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded.network(images), modern(images))
    result = lenet_command("export", "safetensors", tmp_path / "own.pth", "--activation", "gleu")
    assert result.code == 2
    assert "did you mean 'gelu'" in result.err


def test_a_warning_is_a_note_on_stderr(lenet_command, tmp_path, tutorial):
    torch.save(build_network("tutorial").state_dict(), tmp_path / "own.pth")
    result = lenet_command("export", "article", tmp_path / "own.pth", "-o", tmp_path / "model.pth")
    assert result.code == 0
    assert result.err.startswith("note: ")
    assert "sigmoid and average" in result.err
    assert len(result.err.splitlines()) == 1
