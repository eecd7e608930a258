"""Parts of a data set fit together, and are held out by every class's share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet.data.splits import Split, Splits, digest, hold_out
from lenet.errors import DataError, ShapeError


def split(n):
    return Split(np.zeros((n, 28, 28), np.uint8), np.zeros(n, np.int64))


def test_parts_are_found_by_name_and_never_confused():
    splits = Splits("toy", split(3), split(2), split(1), ("a", "b"), "plain", "")
    assert len(splits.part("train")) == 3
    assert len(splits.part("validation")) == 2
    assert splits.part("test") is splits.test
    with pytest.raises(DataError, match="'val' is unknown; use one of train, validation, test"):
        splits.part("val")


def test_a_line_says_what_is_in_them():
    splits = Splits("toy", split(1300), split(2), split(1), ("a", "b"), "plain", "")
    assert repr(splits) == (
        "<Splits of toy: 1,300 train, 2 validation, 1 test images of 2 classes>"
    )
    assert repr(splits.train) == "<Split of 1,300 images of 1 classes>"


@pytest.mark.parametrize("images", [np.zeros((3, 32, 32), np.uint8), np.zeros((3, 28, 28))])
def test_images_must_be_ink(images):
    with pytest.raises(ShapeError, match="ink must be"):
        Split(images, np.zeros(3, np.int64))


@pytest.mark.parametrize(
    "labels", [np.zeros(2, np.int64), np.zeros((3, 1), np.int64), np.zeros(3, np.uint8)]
)
def test_every_image_needs_one_label(labels):
    with pytest.raises(ShapeError, match=r"3 images need labels \(3,\) int64, got \("):
        Split(np.zeros((3, 28, 28), np.uint8), labels)


def test_every_image_needs_one_file_or_none_has_any():
    with pytest.raises(ShapeError, match="3 images need as many files, got 2"):
        Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64), ("a", "b"))


def test_the_digest_is_of_images_and_labels_alone():
    images, labels = np.ones((1, 28, 28), np.uint8), np.zeros(1, np.int64)
    assert digest(Split(images, labels)) == digest(Split(images, labels, ("a.png",)))


def numbered(labels):
    """Images that can be told apart by their first two pixels."""
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(len(labels)), 256)
    files = tuple(f"{number}.png" for number in range(len(labels)))
    return Split(images, np.array(labels, np.int64), files)


def numbers(split):
    return (split.images[:, 0, 0].astype(int) * 256 + split.images[:, 0, 1]).tolist()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 9),
)
def test_what_is_held_out_is_every_classs_share(labels, fraction, seed):
    whole = numbered(labels)
    kept, held = hold_out(whole, fraction, seed)
    # Nothing is lost or doubled, and both stay in the order of the file.
    assert sorted(numbers(kept) + numbers(held)) == list(range(len(labels)))
    assert numbers(kept) == sorted(numbers(kept))
    assert numbers(held) == sorted(numbers(held))
    assert np.array_equal(held.labels, whole.labels[numbers(held)])
    assert list(kept.files) == [f"{number}.png" for number in numbers(kept)]
    assert list(held.files) == [f"{number}.png" for number in numbers(held)]
    sizes = np.bincount(whole.labels)
    taken = np.bincount(held.labels, minlength=len(sizes))
    assert (taken <= np.maximum(sizes - 1, 0)).all()
    wanted = max(round(fraction * len(labels)), 1) if fraction else 0
    share = np.minimum(sizes * wanted / len(labels), np.maximum(sizes - 1, 0))
    assert (np.abs(taken - share) < 1 + 1e-9).all()
    assert len(held) <= wanted
    if wanted <= (sizes // 2).sum() and (sizes[sizes > 0] > 1).all():
        assert len(held) == wanted


def test_the_largest_remainders_are_rounded_up():
    # 10 of 100 are 3.3, 3.4 and 3.3: rounded each by itself, one would be missing.
    for amount in (0.1, 10):
        _, held = hold_out(numbered([0] * 33 + [1] * 34 + [2] * 33), amount, seed=0)
        assert np.bincount(held.labels).tolist() == [3, 4, 3]


def test_the_digest_tells_images_labels_and_their_order():
    whole = numbered([0, 1, 0])
    known = digest(whole)
    assert known == digest(Split(np.asfortranarray(whole.images), whole.labels))
    others = [
        digest(numbered([0, 0, 1])),
        digest(Split(whole.images[::-1], whole.labels)),
        digest(whole, whole),
    ]
    assert len({known, *others}) == 4
