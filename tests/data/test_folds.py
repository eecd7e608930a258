"""Cross-validation's folds: each image is tested once, and the test part never."""

import numpy as np
import pytest

import lenet
from lenet.data.folds import read_fold, take_fold
from lenet.data.splits import Split, Splits
from lenet.errors import DataError


def marked(first, labels):
    """A part whose images each have a mark of their own."""
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[:, 0, 0] = first + np.arange(len(labels))
    return Split(
        images, np.array(labels, np.int64), tuple(f"{first + i}" for i in range(len(labels)))
    )


@pytest.fixture
def splits():
    train, held_out = marked(0, [0] * 17 + [1] * 10), marked(100, [0] * 3 + [1] * 2)
    return Splits("toy", train, held_out, marked(200, [0, 1]), ("a", "b"), "plain", "sum")


def marks(split):
    return sorted(split.images[:, 0, 0].tolist())


def test_every_image_that_is_not_test_is_tested_once(splits):
    folds = [take_fold(splits, f"{number}/5", 0.25, seed=0) for number in range(1, 6)]
    pool = marks(splits.train) + marks(splits.validation)
    assert sorted(mark for fold in folds for mark in marks(fold.test)) == pool
    for fold in folds:
        assert sorted(marks(fold.train) + marks(fold.validation) + marks(fold.test)) == pool
        assert fold.test.count(2).tolist() in ([4, 2], [4, 3], [4, 4])
        assert len(fold.validation) == round(0.25 * (len(pool) - len(fold.test)))
        assert fold.test.files == tuple(map(str, fold.test.images[:, 0, 0]))
        assert "the test part itself is not read" in fold.remarks[-1]
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_the_same_for_every_seed_and_validation_is_not(splits):
    one, other = (take_fold(splits, "1/3", 6, seed) for seed in (0, 1))
    assert marks(one.test) == marks(other.test)
    assert marks(one.validation) != marks(other.validation)


@pytest.mark.parametrize("fold", ["", "0/5", "6/5", "1/1", "2", "a/b", "1/101", "-1/5", "1/5/2"])
def test_what_is_no_fold_is_refused(fold):
    with pytest.raises(DataError, match="such as 2/5"):
        read_fold(fold)
    with pytest.raises(DataError, match="such as 2/5"):
        lenet.load_dataset("digits", fold=fold)


def test_a_class_needs_an_image_in_every_fold(splits):
    with pytest.raises(DataError, match="12 images of b that are not test, too few for 13 folds"):
        take_fold(splits, "1/13", 0, seed=0)


def test_a_data_set_is_loaded_by_fold():
    whole, fold = lenet.load_dataset("digits"), lenet.load_dataset("digits", fold="2/4")
    pool = len(whole.train) + len(whole.validation)
    assert abs(len(fold.test) - pool / 4) <= 1
    assert len(fold.train) + len(fold.validation) + len(fold.test) == pool
    assert fold.sha256 == whole.sha256
