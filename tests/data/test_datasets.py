"""Every data set comes in three parts that never mix, and the seed never moves the test part."""

import numpy as np
import pytest
from PIL import Image

from lenet.data.datasets import load_dataset
from lenet.data.ink import to_ink
from lenet.data.pictures import read_picture
from lenet.errors import DataError

RNG = np.random.default_rng(0)


def as_set(split):
    return {image.tobytes() for image in split.images}


def stratified_exactly(part, whole):
    """Every class has its proportional share, rounded up or down."""
    share = np.bincount(whole) * len(part) / len(whole)
    return bool((np.abs(np.bincount(part, minlength=len(share)) - share) < 1).all())


def folder_of_noise(root):
    """Two classes of 20 pictures each."""
    for name in ("a", "b"):
        (root / name).mkdir()
        for i in range(20):
            noise = RNG.integers(0, 256, (30, 20), dtype=np.uint8)
            Image.fromarray(noise).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def test_digits_are_all_there_and_never_in_two_parts(digits):
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1294, 144, 359]
    assert sum(len(as_set(part)) for part in parts) == len(set.union(*map(as_set, parts)))
    labels = np.concatenate([part.labels for part in parts])
    for part in parts:
        assert stratified_exactly(part.labels, labels)
    assert digits.class_names == tuple("0123456789")
    assert digits.preparation == "digit"


@pytest.mark.parametrize("name", ["digits", "folder"])
def test_the_seed_moves_validation_and_never_test(name, tmp_path):
    source = folder_of_noise(tmp_path) if name == "folder" else name
    first, again, other = (load_dataset(source, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    assert np.array_equal(first.test.images, other.test.images)
    assert np.array_equal(first.test.labels, other.test.labels)
    assert first.sha256 == other.sha256


def test_loading_ignores_and_keeps_the_global_generator(digits):
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = load_dataset("digits")
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert np.array_equal(again.validation.images, digits.validation.images)


@pytest.mark.parametrize(("fraction", "size"), [(0.0, 0), (0.25, 360), (0.5, 719), (0.9999, 1428)])
def test_the_validation_fraction_is_obeyed(fraction, size, digits):
    splits = load_dataset("digits", validation=fraction)
    assert len(splits.validation) == size  # the last: each of the ten classes keeps one image
    assert len(splits.train) + size == 1438
    assert np.array_equal(splits.test.images, digits.test.images)
    assert set(splits.train.labels) == set(range(10))


@pytest.mark.parametrize("fraction", [-0.1, 1.0, True, 1.5, -1, float("nan"), float("inf")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(DataError, match="fraction from 0 to below 1"):
        load_dataset("digits", validation=fraction)


def test_validation_may_be_a_number_of_images(digits):
    splits = load_dataset("digits", validation=100)
    assert (len(splits.train), len(splits.validation)) == (1338, 100)
    with pytest.raises(DataError, match="1,438 images of the 1,438 there are to learn from"):
        load_dataset("digits", validation=1438)


def test_a_named_data_set_is_ink_already(digits):
    assert load_dataset("digits", preparation="digit").sha256 == digits.sha256
    with pytest.raises(DataError, match="of preparation digit; leave garment out"):
        load_dataset("digits", preparation="garment")
    with pytest.raises(DataError, match="'crop' is unknown; use one of auto, digit"):
        load_dataset("digits", preparation="crop")


def test_mnist_is_the_published_one(mnist):
    assert [len(mnist.part(p)) for p in ("train", "validation", "test")] == [55000, 5000, 10000]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = np.bincount(mnist.train.labels) + np.bincount(mnist.validation.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    whole = np.repeat(np.arange(10), counts)
    assert stratified_exactly(mnist.validation.labels, whole)
    assert mnist.preparation == "digit"


def test_fashion_mnist_is_the_published_one(fashion):
    assert np.bincount(fashion.validation.labels).tolist() == [500] * 10
    assert np.bincount(fashion.train.labels).tolist() == [5500] * 10
    assert fashion.class_names[9] == "Ankle boot"
    assert fashion.class_names[fashion.test.labels[0]] == "Ankle boot"
    assert fashion.preparation == "garment"


def test_researchers_may_train_on_all_of_mnist(mnist):
    splits = load_dataset("mnist", validation=0.0)
    assert len(splits.train) == 60000
    assert len(splits.validation) == 0
    assert splits.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert splits.sha256 == mnist.sha256


@pytest.mark.parametrize("name", ["", "no/such/folder", "x" * 5000, "nul\0byte", "MNIST "])
def test_no_folder_is_one_clear_error(name):
    with pytest.raises(DataError):
        load_dataset(name)


def test_each_image_knows_its_file(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(20):
            picture = RNG.integers(0, 256, (28, 28), np.uint8)
            Image.fromarray(picture).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "pets" / "cat" / "3.png").write_bytes(b"damaged")
    splits = load_dataset(tmp_path / "pets", preparation="plain", skip_damaged=True)
    found = []
    for part in (splits.train, splits.validation, splits.test):
        for image, label, file in zip(part.images, part.labels, part.files, strict=True):
            assert file.split("/")[0] == splits.class_names[label]
            read = to_ink(read_picture(tmp_path / "pets" / file), "plain")
            assert np.array_equal(read.ink, image)
            found.append(file)
    assert len(set(found)) == len(found) == 39
    table = "file,label\n" + "".join(f"{file},{file[:3]}\n" for file in found)
    (tmp_path / "pets" / "labels.csv").write_text(table)
    again = load_dataset(tmp_path / "pets" / "labels.csv", preparation="plain")
    parts = (again.train, again.validation, again.test)
    assert sorted(file for part in parts for file in part.files) == sorted(found)


def test_images_that_are_no_files_have_none(digits):
    assert digits.train.files is digits.validation.files is digits.test.files is None
