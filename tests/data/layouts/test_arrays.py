"""Archives of NumPy arrays are data sets, whoever named the arrays; a pickle never is."""

import struct
import zipfile

import numpy as np
import pytest

from lenet.data.datasets import load_dataset
from lenet.data.layouts import arrays
from lenet.errors import DataError

RNG = np.random.default_rng(0)


def images(n, shape=(28, 28)):
    ink = np.zeros((n, *shape), np.uint8)
    ink[:, 4:-4, 4:-4] = RNG.integers(1, 256, ink[:, 4:-4, 4:-4].shape)
    return ink


@pytest.mark.parametrize("file", [True, False])
@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_keras_and_medmnist(tmp_path, names, file):
    train, test = images(40), images(10)
    labels = np.arange(40) % 4
    values = (train, labels[:, None], test, labels[:10, None])
    np.savez_compressed(tmp_path / "mnist.npz", **dict(zip(names, values, strict=True)))
    splits = load_dataset(tmp_path / "mnist.npz" if file else tmp_path)
    assert splits.name == ("mnist" if file else tmp_path.name)
    assert splits.class_names == ("0", "1", "2", "3")
    assert np.array_equal(splits.test.images, test)
    assert splits.test.labels.tolist() == labels[:10].tolist()


def test_words_as_labels_fractions_as_ink_and_no_test_part(tmp_path):
    ink = images(40)
    words = np.array(["bolt", "nut"])[np.arange(40) % 2]
    np.savez(tmp_path / "a.npz", images=(ink / 255).reshape(40, 784), labels=words)
    splits = load_dataset(tmp_path, validation=0, preparation="plain")
    assert splits.class_names == ("bolt", "nut")
    assert (len(splits.train), len(splits.test)) == (32, 8)
    assert {image.tobytes() for image in splits.train.images} < {image.tobytes() for image in ink}


def test_kmnist_s_files_say_what_their_one_array_is(tmp_path):
    ours = {}
    for part, n in (("train", 40), ("test", 10)):
        ours[part] = images(n)
        np.savez(tmp_path / f"kmnist-{part}-imgs.npz", ours[part])
        np.savez(tmp_path / f"kmnist-{part}-labels.npz", np.arange(n) % 2)
    assert np.array_equal(load_dataset(tmp_path).test.images, ours["test"])


def test_larger_pictures_in_colour_are_prepared(tmp_path):
    np.savez(tmp_path / "c.npz", x=images(40, (32, 40, 3)), y=np.arange(40) % 2)
    assert load_dataset(tmp_path).train.images.shape[1:] == (28, 28)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"x": images(20)}, "does not hold images and labels of the same parts"),
        ({"x_test": images(20), "y_test": np.arange(20) % 2}, "train among them"),
        ({"x": images(20), "y": np.arange(19) % 2}, "20 train images, but 19 labels"),
        ({"x": images(20), "y": np.array([None] * 20, object)}, "cannot be loaded|Object"),
        ({"x": images(20), "y": np.eye(20)}, r"labels are \(N,\)"),
        ({"x": images(20) * 1000.0, "y": np.arange(20) % 2}, "images are 0 to 1, or 0 to 255"),
        ({"x": images(20), "images": images(20), "y": np.arange(20) % 2}, "second array"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(tmp_path, contents, message):
    np.savez(tmp_path / "bad.npz", **contents)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_a_bomb_and_rubbish_are_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "big.npz", x=images(20), y=np.arange(20) % 2)
    monkeypatch.setattr(arrays, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1000 bytes are read"):
        load_dataset(tmp_path)
    monkeypatch.undo()
    (tmp_path / "big.npz").write_bytes(b"PK\x03\x04 rubbish")
    with pytest.raises(DataError, match=r"no \.npz archive that can be read"):
        load_dataset(tmp_path)
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match=r"no \.npz archive that can be read"):
        load_dataset(tmp_path)


def header(text):
    """An array's first bytes, as NumPy writes them."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def encrypted(data):
    """The same archive, its members said to be encrypted."""
    data = bytearray(data)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + flags] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "method", "spoil"),
    [
        (header(b"{'descr': '|u1', ((("), zipfile.ZIP_STORED, bytes),
        (header(b"(" * 9000), zipfile.ZIP_STORED, bytes),
        (bytes(100), zipfile.ZIP_STORED, encrypted),
        (bytes(range(256)) * 20, zipfile.ZIP_LZMA, lambda data: data[:60] + bytes(60) + data[120:]),
    ],
)
def test_whatever_zipfile_and_numpy_stumble_on_is_one_line(tmp_path, content, method, spoil):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
        archive.writestr("x_train.npy", content)
    (tmp_path / "x.npz").write_bytes(spoil((tmp_path / "x.npz").read_bytes()))
    with pytest.raises(DataError, match=r"no \.npz archive that can be read"):
        load_dataset(tmp_path)


def test_arrays_that_fail_alike_are_said_once(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.full((40, 32, 32), np.nan), y=np.arange(40) % 2)
    with pytest.raises(DataError, match="40 of 40 pictures") as caught:
        load_dataset(tmp_path)
    assert str(caught.value).count("nan to nan") == 1
