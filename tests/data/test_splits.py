import numpy as np
import pytest

from lenet.data.splits import Split, Splits
from lenet.errors import DataError


def split(n: int) -> Split:
    return Split(np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.int64))


def test_parts_are_found_by_name_and_never_confused():
    splits = Splits("toy", split(3), split(2), split(1), ("a", "b"), "plain", "")
    assert len(splits.part("train")) == 3
    assert len(splits.part("validation")) == 2
    assert splits.part("test") is splits.test
    with pytest.raises(DataError, match="'val' is unknown; use one of train, validation, test"):
        splits.part("val")


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 28, 28), np.uint8), np.zeros((3, 32, 32), np.uint8), np.zeros((3, 28, 28))],
)
def test_images_must_fit_their_labels(images):
    with pytest.raises(DataError, match="3 labels need images"):
        Split(images, np.zeros(3, np.int64))


def test_labels_must_be_int64():
    with pytest.raises(DataError, match="uint8"):
        Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.uint8))
