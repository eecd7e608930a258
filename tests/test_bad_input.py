"""What strangers send: each ends in one line and the right exit code, and leaves nothing behind."""

import gzip
import io
import json
import pickle
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from lenet.checkpoints import Checkpoint, save_checkpoint
from lenet.data import downloads
from lenet.data.catalogue import DATASETS
from lenet.data.preprocessing import Preprocessing
from lenet.errors import DownloadError, LenetError
from lenet.networks import build_network
from lenet.networks.tutorial import to_article


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """An empty working folder, no user's files, no network."""

    def no_network(dataset, file, *_):
        raise DownloadError(f"{dataset.name}: no mirror gave {file.name}; try again later")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / ".cache"))
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setattr(downloads, "download", no_network)


def files():
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.fixture
def refused(lenet_command):
    """Runs a command that must be refused: one complaint, nothing on stdout, no file more."""

    def check(*arguments, code=2, says=""):
        before = files()
        left, out, err = lenet_command(*arguments)
        complaints = [line for line in err.splitlines() if line.startswith("lenet: ")]
        assert left == code, err
        assert len(complaints) == 1, err
        assert complaints[0] == err.splitlines()[-1]
        assert says in complaints[0]
        assert "Traceback" not in err
        assert out == ""
        assert files() == before

    return check


# Data ---------------------------------------------------------------------------------------------


def idx(*shape, body=b"", kind=8):
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + body


IDX_FILES = {
    "truncated": gzip.compress(idx(60000, 28, 28, body=bytes(784)))[:60],
    "oversized": gzip.compress(idx(1, 28, 28, body=bytes(784 * 2))),
    "lying": gzip.compress(idx(2**32 - 1, 2**32 - 1, 2**32 - 1)),
    "bombed": gzip.compress(bytes(20_000_000)),
    "no gzip": b"<html>404</html>",
    "empty": b"",
}


@pytest.mark.parametrize("kind", IDX_FILES)
def test_idx_files(refused, lenet_command, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for file in DATASETS["mnist"].files:
        (folder / file.name).write_bytes(IDX_FILES[kind])
    refused("train", "--data", "mnist", says="train-images-idx3-ubyte.gz")
    refused("data", "get", "mnist", says="train-images-idx3-ubyte.gz")
    code, out, _ = lenet_command("data", "verify", "mnist")
    assert code == 1
    assert len(out.splitlines()) == 4


def test_no_mirror_answers(refused):
    refused("train", "--data", "fashion-mnist", code=1, says="no mirror")
    refused("data", "get", "mnist", code=1, says="no mirror")


def picture_folder(**classes):
    for name, count in classes.items():
        folder = Path("pictures", name)
        folder.mkdir(parents=True)
        for i in range(count):
            Image.new("L", (20, 20), 10 * i).save(folder / f"{i}.png")


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ({"only": 5}, "1 class; 2 to"),
        ({"full": 5, "hollow": 0}, "empty"),
        ({}, "neither a data set"),
        ({"a": 1, "b": 1}, "too small"),
    ],
)
def test_folders_of_pictures(refused, classes, says):
    picture_folder(**classes)
    refused("train", "--data", "pictures", says=says)


def test_a_folder_with_a_damaged_picture_in_it(refused):
    picture_folder(a=5, b=5)
    Path("pictures", "b", "notes.png").write_text("no picture")
    refused("train", "--data", "pictures", says="notes.png")


# Pictures -----------------------------------------------------------------------------------------


def png(width, height):
    """A PNG whose header promises any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def real_png():
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(256, size=(80, 80), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = {
    "truncated.png": real_png()[:200],
    "huge.png": png(60_000, 60_000),
    "text.png": b"not a picture",
    "empty.png": b"",
    "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "good.safetensors"
    torch.manual_seed(0)
    network = build_network("tutorial")
    save_checkpoint(path, Checkpoint(network, Preprocessing("digit"), tuple("0123456789")))
    return path


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(refused, name, weights):
    Path(name).write_bytes(PICTURES[name])
    refused("predict", name, "--weights", weights, says=name)
    refused("predict", name, "--weights", weights, "--explain", "out.png", says=name)


def test_pictures_that_are_not_there(refused, weights):
    refused("predict", "nowhere.png", "--weights", weights, says="nowhere.png")
    refused("predict", "*.png", "--weights", weights, says="*.png")
    Path("nothing").mkdir()
    refused("predict", "nothing", "--weights", weights, says="holds no pictures")


# Weights ------------------------------------------------------------------------------------------


class Harm:
    def __reduce__(self):
        return Path.touch, (Path("harmed"),)


def changed(good, change):
    """The good file with other tensors, under the same metadata."""
    state = load(good)
    length = int.from_bytes(good[:8], "little")
    metadata = json.loads(good[8 : 8 + length])["__metadata__"]
    return save(change(dict(state)), metadata)


def bad_weights(kind, good):
    match kind:
        case "wrong keys":
            return changed(good, lambda s: {f"module.{name}": t for name, t in s.items()})
        case "a key more":
            return changed(good, lambda s: {**s, "c7.weight": torch.zeros(1)})
        case "a key less":
            return changed(good, lambda s: {n: t for n, t in s.items() if n != "f6.bias"})
        case "wrong shape":
            return changed(good, lambda s: {**s, "f6.bias": torch.zeros(85)})
        case "wrong type":
            return changed(good, lambda s: {**s, "f6.bias": torch.zeros(84, dtype=torch.int32)})
        case "nan":
            return changed(good, lambda s: {**s, "f6.bias": torch.full((84,), torch.nan)})
        case "infinite":
            return changed(good, lambda s: {**s, "f6.bias": torch.full((84,), torch.inf)})
        case "no metadata":
            return save(load(good))
        case "truncated":
            return good[: len(good) // 2]
        case "header bomb":
            return (2**60).to_bytes(8, "little") + b"{}"
        case "pickle":
            return pickle.dumps(Harm())
        case "zip":
            buffer = io.BytesIO()
            torch.save({"c1.weight": torch.zeros(1)}, buffer)
            return buffer.getvalue()
        case "text":
            return b"weights"
        case "empty":
            return b""
        case "too large":
            return bytes(32 * 2**20)
    raise AssertionError(kind)


KINDS = (
    "wrong keys", "a key more", "a key less", "wrong shape", "wrong type", "nan", "infinite",
    "no metadata", "truncated", "header bomb", "pickle", "zip", "text", "empty", "too large",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights(refused, kind, suffix, weights):
    bad = Path(f"bad{suffix}")
    bad.write_bytes(bad_weights(kind, weights.read_bytes()))
    Path("one.png").write_bytes(real_png())
    refused("predict", "one.png", "--weights", bad, says="bad")
    refused("evaluate", "--weights", bad, "--data", "digits", says="bad")
    assert not Path("harmed").exists()


def test_a_pickle_that_runs_a_program_does_not_run(refused, weights):
    state = to_article(build_network("tutorial").state_dict())
    torch.save({**state, "classifier.4.bias": Harm()}, "bad.pth")
    Path("one.png").write_bytes(real_png())
    refused("predict", "one.png", "--weights", "bad.pth", says="bad.pth")
    assert not Path("harmed").exists()


def test_weights_that_are_not_there(refused):
    refused("evaluate", "--weights", "nowhere.safetensors", says="nowhere")
    Path("empty-run").mkdir()
    refused("evaluate", "--weights", "empty-run", says="empty-run")


# Flags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        "--epochs -1", "--epochs 0", "--batch-size -64", "--batch-size 0", "--learning-rate -0.1",
        "--learning-rate 0", "--learning-rate nan", "--learning-rate inf", "--seed -1",
        "--patience -2", "--patience 0", "--epochs 1.5", "--epochs 1e3", "--recipe nothing",
        "--network 7", "--device tpu", "--data /nowhere/at/all", "--resume /nowhere",
    ],
)  # fmt: skip
def test_flags(refused, flags):
    refused("train", *flags.split())


def test_a_place_that_cannot_be_written(refused, weights):
    Path("file").write_text("in the way")
    refused("train", "--epochs", "1", "--out", "file/runs", says="file")
    Path("one.png").write_bytes(real_png())
    refused(
        "predict",
        "one.png",
        "--weights",
        weights,
        "--explain",
        "no/such/out.png",
        code=1,
        says="no",
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 99}', "{" * 100_000])
def test_a_damaged_run(refused, text):
    Path("run").mkdir()
    Path("run", "run.json").write_text(text)
    refused("train", "--resume", "run", says="run")


# Anything -----------------------------------------------------------------------------------------

COMMANDS = (
    "train", "evaluate", "predict", "summary", "models", "data list", "data get", "data verify",
    "data", "bench", "reproduce",
)  # fmt: skip
WORDS = (
    "--data", "--network", "--recipe", "--epochs", "--batch-size", "--learning-rate", "--seed",
    "--patience", "--engine", "--device", "--out", "--resume", "--json", "--weights", "--split",
    "--figures", "--top", "--explain", "--classes", "--quick", "--seeds", "--passes", "--subset",
    "--distortions", "--help", "-h", "--version", "--",
    "-", "--=", "--epochs=", "--epochs=3", "-x", "digits", "mnist", "modern", "tutorial", "tuned",
    "article", "lecun1998", "auto", "torch", "cpu", "cuda", "test", "validation", "train",
    "good.safetensors", "one.png", "folder", "*", "[", "**", ".", "~", "", " ", "0", "-1", "1",
    "3", "1e999", "nan", str(10**30), "七", "é", "\udce9", "\x1b[31m", "\n", "%s", "{}", "$HOME",
    "a" * 5000, "NaN",
)  # fmt: skip


def test_no_traceback_in_500_random_command_lines(lenet_command, weights, monkeypatch):
    def stop(*_, **__):
        raise LenetError("far enough")

    # What would take long: everything before and after it is real.
    monkeypatch.setattr("lenet.runs.lifecycle.train", stop)
    monkeypatch.setattr("lenet.benchmark.run.run_benchmark", stop)
    monkeypatch.setattr("lenet.reproduction.reproduce", stop)
    Path("one.png").write_bytes(real_png())
    picture_folder(a=3, b=3)
    Path("pictures").rename("folder")
    random_ = random.Random(5)
    codes = []
    for _ in range(500):
        line = random_.choice(COMMANDS).split() if random_.random() < 0.9 else []
        line += random_.choices(WORDS, k=random_.randrange(7))
        code, _, err = lenet_command(*line)
        assert code in (0, 1, 2), line
        assert "Traceback" not in err, line
        if code:
            assert err or "verify" in line, line
        codes.append(code)
    # The lines are not all refused at the door.
    assert {0, 1, 2} == set(codes)
