"""IDX files in a folder are a data set, whoever named them."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from lenet.data.datasets import load_dataset
from lenet.data.layouts import find_source
from lenet.errors import DataError

RNG = np.random.default_rng(0)


def write(path, array, kind=8):
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    content = header + array.astype(np.uint8 if kind == 8 else ">i4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def images(n):
    ink = RNG.integers(1, 256, (n, 28, 28)).astype(np.uint8)
    ink[:, :4] = ink[:, -4:] = 0
    ink[:, :, :4] = ink[:, :, -4:] = 0
    return ink


def write_set(folder, prefix="", *, labels=(0, 1, 2), test="t10k", end="-ubyte.gz"):
    pictures = {"train": images(60), test: images(15)}
    for part, each in pictures.items():
        write(folder / f"{prefix}{part}-images-idx3{end}", each)
        write(folder / f"{prefix}{part}-labels-idx1{end}", np.resize(labels, len(each)))
    return pictures


def test_files_under_mnist_s_names_are_taken_as_they_are(tmp_path):
    ours = write_set(tmp_path / "kmnist")
    splits = load_dataset(tmp_path / "kmnist")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54, 6, 15)
    assert np.array_equal(splits.test.images, ours["t10k"])
    assert splits.class_names == ("0", "1", "2")
    assert splits.preparation == "plain"
    assert splits.sha256 == load_dataset(tmp_path / "kmnist", preparation="plain").sha256


def test_the_published_files_are_the_same_by_name_and_by_folder(mnist):
    folder = Path(os.environ["LENET_DATA"]) / "mnist"
    splits = load_dataset(folder, validation=5000)
    assert splits.preparation == "plain"
    for name in ("train", "validation", "test"):
        assert np.array_equal(splits.part(name).images, mnist.part(name).images)
        assert np.array_equal(splits.part(name).labels, mnist.part(name).labels)


def test_emnist_is_turned_upright_and_its_classes_are_named(tmp_path):
    ours = write_set(tmp_path / "gzip", "emnist-letters-", labels=(1, 2, 3), test="test")
    mapping = tmp_path / "gzip" / "emnist-letters-mapping.txt"
    mapping.write_text("1 65 97\n2 66 98\n3 67 99\n")
    splits = load_dataset(tmp_path / "gzip")
    assert splits.class_names == ("A/a", "B/b", "C/c")
    assert splits.test.labels[:4].tolist() == [0, 1, 2, 0]
    assert np.array_equal(splits.test.images, ours["test"].swapaxes(1, 2))
    assert "EMNIST's images were turned upright." in splits.remarks


@pytest.mark.parametrize(
    ("name", "labels", "names"),
    [
        ("letters", range(1, 27), [f"{c}/{c.lower()}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]),
        ("balanced", range(47), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("ByMerge", (0, 9, 10, 35, 36, 46), "09AZat"),
        ("byclass", (0, 10, 35, 36, 61), "0AZaz"),
        ("digits", range(10), "0123456789"),
    ],
)
def test_emnist_s_classes_are_known_without_their_mapping(tmp_path, name, labels, names):
    write_set(tmp_path, f"emnist-{name}-", labels=labels, test="test")
    assert find_source(tmp_path).class_names == tuple(names)


def test_a_mapping_with_a_number_beyond_measure_is_none(tmp_path):
    write_set(tmp_path)
    (tmp_path / "mapping.txt").write_text(f"0 {'9' * 5000}")
    assert load_dataset(tmp_path).class_names == ("0", "1", "2")


def test_one_of_several_sets_is_asked_for_by_its_name(tmp_path):
    ours = [write_set(tmp_path, f"emnist-{name}-", test="test") for name in ("digits", "mnist")]
    with pytest.raises(DataError, match=r"2 data sets \(emnist-digits, emnist-mnist\); give one"):
        load_dataset(tmp_path)
    splits = load_dataset(str(tmp_path / "emnist-mnist"))
    assert splits.name == "emnist-mnist"
    assert np.array_equal(splits.test.images, ours[1]["test"].swapaxes(1, 2))


def test_qmnist_s_table_of_labels_is_read(tmp_path):
    table = np.zeros((30, 8), int)
    table[:, 0] = np.arange(30) % 3
    table[:, 1:] = 1000
    write(tmp_path / "qmnist-train-images-idx3-ubyte", images(30))
    write(tmp_path / "qmnist-train-labels-idx2-int", table, kind=12)
    source = find_source(tmp_path)
    assert source.parts["train"].labels.tolist() == table[:, 0].tolist()
    assert list(source.parts) == ["train"]


def test_dark_on_light_is_turned_as_a_whole(tmp_path):
    light = 255 - images(60)
    write(tmp_path / "train-images.idx3-ubyte", light)
    write(tmp_path / "train-labels.idx1-ubyte", np.arange(60) % 2)
    splits = load_dataset(tmp_path, validation=0, preparation="plain")
    known = {(255 - image).tobytes() for image in light}
    assert {image.tobytes() for image in splits.train.images} < known


def break_labels(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()


def break_count(folder):
    write(folder / "t10k-labels-idx1-ubyte.gz", np.zeros(7))


def break_training(folder):
    for path in folder.glob("train-*"):
        path.unlink()


def break_part(folder):
    write(folder / "test-images-idx3-ubyte", images(3))
    write(folder / "test-labels-idx1-ubyte", np.zeros(3))


def break_class(folder):
    write(folder / "t10k-labels-idx1-ubyte.gz", np.full(15, 9))


def break_file(folder):
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"<html>")


def break_table(folder):
    write(folder / "t10k-labels-idx1-ubyte.gz", np.zeros((15, 0)))


def add_another(folder):
    write_set(folder, "kmnist-")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_table, r"holds no labels: its shape is \(15, 0\)"),
        (add_another, r"2 data sets \(—, kmnist\); give one of them, such as .*set.kmnist"),
        (break_labels, "train-labels-idx1-ubyte is missing"),
        (break_count, r"images \(15, 28, 28\) for 7 labels"),
        (break_training, "no training images"),
        (break_part, "two files of test images"),
        (break_class, "class '9' is in the test part only"),
        (break_file, "is not IDX"),
    ],
)
def test_broken_sets_say_what_is_wrong(tmp_path, damage, message):
    write_set(tmp_path / "set")
    damage(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "set")
